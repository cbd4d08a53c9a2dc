#!/usr/bin/env python3
"""Makes tests/engine/data/chat_template.golden.json: small templates with what
python3-jinja2, set up as `transformers` does, renders of them ("out"), or that it
fails ("error": the message of raise_exception, or null for any other failure).

    python3 tools/make_template_goldens.py
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "peers"))
import chat_template_test as peers
import jinja2

VALUES = {"s": "Hello, wörld! 가나다", "n": 7, "f": 2.5, "l": [3, 1, 2], "w": ["b", "a", "C", "a"], "d": {"b": 1, "a": [1, {"x": None}], "c": "t"},
          "t": True, "o": None, "e": "", "m": [{"r": "u", "c": "x", "k": 1}, {"r": "a", "c": "y"}, {"r": "u", "c": "z", "k": 3}],
          "sp": " \t a b \n\u00a0", "q": "it's \"q\"\\", "lines": "a\nb\r\nc\n\nd"}

EXPRESSIONS = r"""
s | n | f | l | d | t | o | e | m | q | [1, "a", none, true, 1.5] | {"a": {"b": []}} | (1, 2) | ("x",) | ()
1 + 2 * 3 - 4 | 7 / 2 | 7 // 2 | -7 // 2 | 7 % 3 | -7 % 3 | 2 ** 10 | 2 ** -1 | -2 ** 2 | 1.5 + 1 | 1e20 | 0.1 + 0.2 | 1e-5 | 123456789012345680.0 | -0.0 | 1_000
"a" + "b" | "a" ~ 1 ~ none ~ 2.0 | "ab" * 3 | [1] + [2] | [0] * 3 | "a" "b"
1 < 2 | 1 < 2 < 3 | 3 > 2 > 2 | 1 == 1.0 | true == 1 | "a" < "b" | [1, 2] < [1, 3] | "a" != "b" | none == none | l == [3, 1, 2] | d == {"a": 1}
1 in l | 9 not in l | "b" in d | "wör" in s | "x" in "" | none in [none]
true and 0 or "x" | not t | not not n | n and s | e or "empty" | 1 if t else 2 | 1 if o | "a" if o else "b" if t else "c"
s[0] | s[-1] | s[7] | s[1:4] | s[-3:] | s[::-1] | s[::2] | l[::-1] | l[1:] | l[:-1] | l[5:9] | l[-2] | l[9] is defined | d["a"][1]["x"] | d.a.1.x | d["zz"] is defined
s.upper() | s.lower() | s.title() | "ab cd".capitalize() | sp.strip() | sp.lstrip() | sp.rstrip() | "xxaxx".strip("x") | "abcab".rstrip("ab") | "abc".lstrip("cba")
"a,b,,c".split(",") | " a  b ".split() | "a,b,c".split(",", 1) | "a,b,c".rsplit(",", 1) | " a b c ".split(none, 1) | " a b c ".rsplit(none, 1) | lines.splitlines()
s.startswith("Hell") | s.endswith("다") | s.startswith(("x", "H")) | s.find("wör") | s.find("zz") | "abcabc".rfind("bc") | "aaa".count("a") | "a-b".replace("-", "+") | "aaa".replace("a", "b", 2) | "ab".replace("", "-")
",".join(["a", "b"]) | "12".isdigit() | "".isdigit() | "ab".isalpha() | " ".isspace() | "prefix-x".removeprefix("prefix-") | "x.py".removesuffix(".py")
d.get("b") | d.get("zz") | d.get("zz", 5) | d.items()|list | d.keys()|list | d.values()|list | (1,) * 2 | (1,) + [2]
s|length | l|length | d|length | undefinedthing|length | sp|trim | "xax"|trim("x") | l|join("-") | m|join(", ", attribute="r") | [1, none]|join
s|upper | s|lower | "ab cd-ef (gh"|title | "aB"|capitalize | "aXbX"|replace("X", "y") | "aaa"|replace("a", "b", 1) | "a\nb\n\nc"|indent | "a\nb"|indent(2, true) | "a\n\nb"|indent(2, blank=true)
l|first | l|last | []|first is defined | "abc"|first | "abc"|list | d|list | l|reverse|list | "abc"|reverse | l|sort | w|sort | w|sort(case_sensitive=true) | w|sort(reverse=true) | m|sort(attribute="c", reverse=true)|map(attribute="c")|list
w|unique|list | l|min | l|max | l|sum | m|map(attribute="k", default=0)|sum | d|dictsort | d|items|list | w|map("upper")|list | m|map(attribute="r")|list | ["1", "x"]|map("int", 9)|list
m|selectattr("r", "equalto", "u")|map(attribute="c")|list | m|selectattr("k")|list|length | m|rejectattr("k", "defined")|list | [0, 1, "", "a"]|select|list | [0, 1, 2, 3]|select("odd")|list | [1, 2, 3]|reject("gt", 1)|list | [1, "a"]|select("string")|list | m|selectattr("r", "in", ["a"])|list
undefinedthing|default("x") | e|default("x") | e|default("x", true) | o|default("x", boolean=true) | o|d(1) | 0|default(5, true)
"12"|int | "x"|int | "3.7"|int | 3.9|int | "x"|int(5) | "2.5"|float | "x"|float | 5|string | none|string | -3|abs | -2.5|abs
d|tojson | [1, 1.0, "é\u0001\"</script>'&", none, true]|tojson | d|tojson(indent=2) | []|tojson(indent=4) | {}|tojson(indent=4) | d|tojson(sort_keys=true) | d|tojson(separators=(",", ":")) | "é🙂"|tojson(ensure_ascii=true) | q|tojson
s is string | n is number | n is integer | f is float | t is boolean | t is number | t is integer | o is none | l is sequence | d is mapping | l is iterable | n is iterable | s is sequence | zz is defined | zz is undefined | zz is none | zz is iterable | t is true | n is true | t is not false
4 is even | 4 is odd | 9 is divisibleby 3 | 9 is divisibleby(2) | n is eq 7 | n is ne(7) | n is lt 8 | n is ge 8 | "a" is in ["a"] | "AB" is upper | "ab" is lower | none is sameas none | range is callable | n is not none and t
range(3)|list | range(1, 4)|list | range(5, 0, -2)|list | range(0)|list | dict(a=1, b="x") | dict({"a": 1}, b=2) | namespace(a=1).a | [1, 2]|string | strftime_now("%Y-%m-%d %H:%M:%S %j %a %B") | -n | +n | - n|abs
m[0].r ~ m[-1]["c"] | m|map(attribute="r")|unique|join | (s|upper)[0:2] | (l + [9])|last | s.split(" ")[0].lower()|length | "%s" | {"k": n}["k"] | [[1, 2], [3]]|map("length")|list | "x" in m[0].values()|list | (1, 2) + (3,) | "é" < "z" | q|string | [q] | [s] | ["\u200b\u00a0"]
"""

TEMPLATES = [
    "  {% if t %}\n  yes\n  {% endif %}\nend\n", "{%- if t -%}\n  a  \n{%- endif -%}\n b", "a\n  {#- c -#}  \n b", "x {# c #}\n y\n", "a {%+ if t %}b{% endif +%}\n c",
    "\n\n{{ n }}\n\n", "{{ n -}}  \n x", "  {{- n }} ", "a\r\nb\rc\n", "{% raw %}{{ x }}{% if %}{% endraw %}!", "{%- raw -%}  {{ x }}  {%- endraw -%}  !", "{{ '{{' }}{{ '%}' }}",
    "{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}:{{ x }} {% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% else %}-{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for c in s[:5] %}{{ c }}.{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ x * y }}{{ loop.index }} {% endfor %}{{ loop.index }}|{% endfor %}", "{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% if o %}{% set y = 1 %}{% endif %}{{ y is defined }}", "{% if t %}{% set y = 1 %}{% endif %}{{ y }}", "{% set a, b = 1, [2] %}{{ a }}{{ b }}", "{% set x %}a{{ n }}b{% endset %}{{ x }}|{{ x|length }}",
    "{% set x | upper | trim %}  ab {% endset %}{{ x }}", "{% filter upper %}ab{{ n }}{% endfilter %}", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% macro g(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ g(1) }}{{ g(1, 3) }}{{ g(a=5) }}{{ g() }}", "{% macro r(k) %}{{ k }}{% if k > 0 %}{{ r(k - 1) }}{% endif %}{% endmacro %}{{ r(5) }}",
    "{% set x = 1 %}{% macro g() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ g() }}", "{% macro g() -%}\n  a\n{%- endmacro %}<{{ g() | trim }}>",
    "{% if n > 10 %}a{% elif n > 5 %}b{% else %}c{% endif %}", "{% if n is defined and n is not none %}x{% endif %}", "{% if not (n == 7 and e) %}x{% endif %}",
    "{{ raise_exception('no ' ~ n) }}", "{% if t %}{{ raise_exception('한') }}{% endif %}", "{{ zz }}", "{{ zz.y }}", "{{ zz + 1 }}", "{{ zz() }}", "{{ n() }}", "{{ n + s }}", "{{ 1 / 0 }}", "{{ l < s }}",
    "{{ loop }}x", "{% for x in n %}{% endfor %}", "{% for x in zz %}a{% else %}b{% endfor %}", "{{ s.nothing is defined }}", "{{ s.nothing.more }}", "{{ d.nothing }}|",
    "{% generation %}a{{ n }}{% endgeneration %}b", "{{ [1, 2,] }}{{ {'a': 1,} }}", "{{ (1) }}{{ (1,) }}", "{{\n  n\n  +\n  1\n}}", "{{ not zz }}", "{{ loop is defined }}",
    "{% for m1 in m %}{% if loop.previtem is defined and loop.previtem.r != m1.r %}<{% endif %}{{ m1.c }}{% if loop.nextitem is defined %}{{ loop.nextitem.c }}{% endif %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{%- for x in l -%}\n    {{- x -}}\n{%- endfor -%}\n", "{% for x in l %}\n{{ x }}\n{% endfor %}\n", "   {% set a = 1 %}   \n{{ a }}", "{% set d2 = dict(d, z=1) %}{{ d2.z }}{{ d2|length }}",
    "{{ {'a': 1, 'a': 2} }}", "{{ [l, l]|map('sum')|list }}", "{% set x = [] %}{% for i in range(3) %}{% set x = x + [i] %}{% endfor %}{{ x }}", "{{ m | selectattr('k', 'defined') | map(attribute='k') | list | tojson }}",
    "{{ 'a\\tb\\\\n\\x41\\u00e9\\U0001F600\\q\\101\\\nz' }}",
    "{% if 'tool_calls' in m[0] %}a{% else %}b{% endif %}", "{% for x in m[::-1] %}{{ x.c }}{% endfor %}", "{{ '<think>' in 'a<think>b' and 'x</think>y'.split('</think>')[-1] }}",
]


def main():
    made = peers.environment(jinja2)

    class Refused(jinja2.exceptions.TemplateError):
        pass

    def raise_exception(message):
        raise Refused(message)
    made.globals["raise_exception"] = raise_exception
    sources = TEMPLATES + ["{{ " + expression.strip() + " }}" for line in EXPRESSIONS.strip().split("\n")
                           for expression in line.split(" | ")]
    cases = []
    for source in sources:
        case = {"template": source}
        try:
            case["out"] = made.from_string(source).render(**VALUES)
        except Refused as error:
            case["error"] = error.message
        except Exception:
            case["error"] = None
        cases.append(case)
    path = os.path.join(HERE, "..", "tests", "engine", "data", "chat_template.golden.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"now": peers.NOW, "values": VALUES, "cases": cases}, file, ensure_ascii=False, indent=0)
        file.write("\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "fail,", os.path.getsize(path), "bytes")
    for case in cases:
        if case.get("error", "") is None:
            print("fails:", case["template"])


if __name__ == "__main__":
    main()
