#!/usr/bin/env python3
"""Checks every file under policies/: its schema, every reference between files, every quote.

usage: check_policies.py [--policies DIR] [--with DIR]... [--texts DIR]...

--with adds a folder that builds on policies/ (clients, recipients, vendors, laws, org). Without --texts the
quotes are not compared. Development only; needs PyYAML. The JSON Schema subset
below is the part of draft 2020-12 that policies/schema/ uses; a keyword outside it is an error here,
so that a schema cannot silently demand less than it says.
"""
import argparse
import hashlib
import json
import pathlib
import re
import sys

import yaml

NORMATIVE_WORDS = re.compile(r"\b(illegal|violat\w*|breach\w*|unlawful)\b|위반|불법", re.I)
PLACEHOLDERS = {"type", "recipient", "country", "host", "quote", "marker", "count"}


class Loader(yaml.SafeLoader):
    """YAML 1.2 core scalars (NO is a country, 2026-11-01 a string), no duplicate keys, no aliases."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1}: alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: duplicate key {key.value}")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("null", r"^(?:null|~|)$", "n~\0"),
    ("int", r"^-?[0-9]+$", "-0123456789"),
    ("float", r"^-?[0-9]+\.[0-9]+$", "-0123456789"),
):
    Loader.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile(pattern), list(first))

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
KNOWN = set("$schema $id title type properties patternProperties additionalProperties required items enum const pattern "
            "minLength minItems uniqueItems minimum oneOf dependentRequired".split())


def is_type(value, name):
    if name == "integer" and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[name])


def validate(value, schema, where, out):
    unknown = set(schema) - KNOWN
    if unknown:
        out.append(f"{where}: schema keyword {sorted(unknown)} is not supported by this check")
    if "const" in schema and value != schema["const"]:
        out.append(f"{where}: must be {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        out.append(f"{where}: unknown value {value!r}")
    kinds = schema.get("type")
    if kinds is not None and not any(is_type(value, k) for k in ([kinds] if isinstance(kinds, str) else kinds)):
        out.append(f"{where}: {value!r} is not {kinds}")
        return
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            out.append(f"{where}: empty")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            out.append(f"{where}: {value!r} does not match {schema['pattern']}")
    if isinstance(value, int) and not isinstance(value, bool) and value < schema.get("minimum", value):
        out.append(f"{where}: {value} is too small")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            out.append(f"{where}: too few items")
        if schema.get("uniqueItems") and len({json.dumps(v, sort_keys=True) for v in value}) != len(value):
            out.append(f"{where}: an item stands twice")
        for i, item in enumerate(value):
            label = item["id"] if isinstance(item, dict) and "id" in item else i
            validate(item, schema.get("items", {}), f"{where}[{label}]", out)
    if isinstance(value, dict):
        validate_object(value, schema, where, out)
    if "oneOf" in schema:
        validate_one_of(value, schema["oneOf"], where, out)


def validate_object(value, schema, where, out):
    props, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key in schema.get("required", []):
        if key not in value:
            out.append(f"{where}: missing key {key}")
    for key, needed in schema.get("dependentRequired", {}).items():
        if key in value:
            out.extend(f"{where}: {key} needs {n}" for n in needed if n not in value)
    for key, item in value.items():
        if key in props:
            validate(item, props[key], f"{where}.{key}", out)
            continue
        matching = [s for p, s in patterns.items() if re.search(p, key)]
        for s in matching:
            validate(item, s, f"{where}.{key}", out)
        if not matching and schema.get("additionalProperties") is False:
            out.append(f"{where}: unknown key {key}")


def validate_one_of(value, branches, where, out):
    named = [b for b in branches if "kind" in b.get("properties", {})]
    if named:  # a union told apart by its kind: the errors of the one branch are the useful ones
        kind = value.get("kind") if isinstance(value, dict) else None
        branch = [b for b in named if b["properties"]["kind"]["const"] == kind]
        if not branch:
            out.append(f"{where}: unknown kind {kind!r}")
        else:
            validate(value, branch[0], where, out)
        return
    fits = 0
    for b in branches:
        errors = []
        validate(value, b, where, errors)
        fits += not errors
    if fits != 1:
        out.append(f"{where}: {fits} of the alternatives {[b.get('required') for b in branches]} hold, not one")


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


class Check:
    def __init__(self, root, added, texts):
        self.root, self.roots, self.texts, self.errors, self.quotes = root, [root, *added], texts, [], 0
        self.schemas = {p.name.split(".")[0]: json.loads(p.read_text("utf-8")) for p in (root / "schema").glob("*.json")}

    def error(self, path, message):
        self.errors.append(f"{path}: {message}")

    def files(self, pattern):
        return [p for root in self.roots for p in sorted(root.glob(pattern))]

    def load(self, path, schema):
        try:
            data = yaml.load(path.read_text("utf-8"), Loader)
        except (yaml.YAMLError, UnicodeDecodeError) as e:
            self.error(path, str(e))
            return None
        out = []
        validate(data, self.schemas[schema], schema, out)
        for m in out:
            self.error(path, m)
        return None if out else data

    def unique(self, path, what, ids):
        seen = set()
        for i in ids:
            if i in seen:
                self.error(path, f"{what} {i} stands twice")
            seen.add(i)
        return seen

    def known(self, path, where, what, ids, allowed):
        for i in ids:
            if i not in allowed:
                self.error(path, f"{where}: unknown {what} {i}")

    def taxonomy(self):
        path = self.root / "taxonomy.yaml"
        data = self.load(path, "taxonomy") or {"nodes": []}
        nodes = data["nodes"]
        self.types = self.unique(path, "node", [n["id"] for n in nodes])
        self.unique(path, "trackhar property", [t for n in nodes for t in n.get("trackhar", [])])
        self.unique(path, "value check", [c["check"] for n in nodes for c in n.get("value_checks", [])])
        broader = {n["id"]: n["broader"] for n in nodes}
        for start in broader:
            seen, node = set(), start
            while node is not None:
                if node in seen or node not in broader:
                    self.error(path, f"{start}: broader {node} is {'a cycle' if node in seen else 'unknown'}")
                    break
                seen.add(node)
                node = broader[node]

    def recipients(self):
        loaded = [(p, self.load(p, "recipients")) for p in self.files("recipients/*.yaml")]
        loaded = [(p, d) for p, d in loaded if d]
        cats = [c for _, d in loaded for c in d.get("categories", [])]
        where = self.root / "recipients/categories.yaml"
        self.categories = self.unique(where, "category", [c["id"] for c in cats])
        self.known(where, "broader", "category", [c["broader"] for c in cats if c["broader"]], self.categories)
        entities = [(p, e) for p, d in loaded for e in d["entities"]]
        self.entities = self.unique(where, "entity", [e["id"] for _, e in entities])
        self.unique(where, "id (entity and category)", sorted(self.entities) + sorted(self.categories))
        self.unique(where, "domain", [x for _, e in entities for x in e["domains"]])
        self.unique(where, "host", [x for _, e in entities for x in e.get("hosts", [])])
        for p, e in entities:
            self.known(p, e["id"], "category", e["categories"], self.categories)
            self.known(p, e["id"], "entity", [e[k] for k in ("parent",) if k in e], self.entities)
            if not e["domains"] and not e.get("hosts") and e["kind"] != "processor":
                self.error(p, f"{e['id']}: neither domain nor host")
            if (e["kind"] == "first-party") != ("service" in e) and "corporate-group" not in e["categories"]:
                self.error(p, f"{e['id']}: kind first-party and key service belong together")

    def regions(self):
        path = self.root / "laws/regions.yaml"
        data = self.load(path, "regions") or {"lists": [], "adequacy": []}
        self.region_ids = self.unique(path, "list", [x["id"] for x in data["lists"]])
        self.adequacy = self.unique(path, "adequacy list", [x["id"] for x in data["adequacy"]])

    def region_names(self, path, where, names):
        for n in names:
            if len(n) != 2 and n not in self.region_ids and n not in ("world", "any"):
                self.error(path, f"{where}: unknown region {n}")

    def rules(self):
        ids = []
        for path in [p for f in ("laws", "org") for p in self.files(f + "/*.yaml") if p.name != "regions.yaml"]:
            data = self.load(path, "rules")
            for r in data["rules"] if data else []:
                ids.append(r["id"])
                test = r["test"]
                for key in ("types", "except", "beside"):
                    self.known(path, r["id"], "type", test.get(key, []), self.types)
                self.known(path, r["id"], "type", [test["type"]] if "type" in test else [], self.types)
                self.known(path, r["id"], "category", test.get("categories", []), self.categories)
                if test.get("adequacy"):
                    self.known(path, r["id"], "adequacy list", [test["adequacy"]], self.adequacy)
                self.region_names(path, r["id"], r["applies_when"]["user_countries"] + ([test["outside"]] if "outside" in test else []))
                if "marker" in test and test["marker"] not in r["needs"]:
                    self.error(path, f"{r['id']}: marker {test['marker']} is not in needs")
                if (test["kind"] == "document") != (r["inference"] == "document"):
                    self.error(path, f"{r['id']}: a document test has inference document, and no other has")
                for lang, text in r["message"].items():
                    self.known(path, f"{r['id']} {lang}", "placeholder", re.findall(r"{([^}]*)}", text), PLACEHOLDERS)
                if set(re.findall(r"{([^}]*)}", r["message"]["en"])) != set(re.findall(r"{([^}]*)}", r["message"]["ko"])):
                    self.error(path, f"{r['id']}: the two messages fill in different values")
                for text in [*r["message"].values(), r["evidence"], *r["open_questions"]]:
                    if NORMATIVE_WORDS.search(text):
                        self.error(path, f"{r['id']}: wording: {NORMATIVE_WORDS.search(text).group()}")
        self.unique(self.root / "laws/gdpr.yaml", "rule", ids)

    def clients(self):
        ids, names = [], []
        for path in self.files("clients/*.yaml"):
            data = self.load(path, "client")
            if not data:
                continue
            names.append(data["client"])
            if data["client"] != path.stem:
                self.error(path, "client is not the file's name")
            if (data["hosts"] is None) != path.stem.startswith("generic"):
                self.error(path, "hosts: null belongs to generic files only")
            for r in data["rules"]:
                ids.append(r["id"])
                if r["type"] != "none":
                    self.known(path, r["id"], "type", [r["type"]], self.types)
                header = r.get("field", "").startswith("header:") or r.get("locations") == ["header"]
                if r["observation"] == "certain" and not (header or "value_check" in r or "value_pattern" in r):
                    self.error(path, f"{r['id']}: certain without a check of the value")
                if "value_pattern" in r:
                    try:
                        re.compile(r["value_pattern"])
                    except re.error as e:
                        self.error(path, f"{r['id']}: value_pattern: {e}")
            self.shadowed(path, data["rules"])
        self.unique(self.root / "clients/generic.yaml", "rule", ids)
        self.unique(self.root / "clients/generic.yaml", "client", names)

    def shadowed(self, path, rules):
        """A name that earlier rules settle without condition in all its places can never decide."""
        everywhere = ["header", "cookie", "query", "path", "body", "frame"]
        owner = {}
        for r in rules:
            places = r.get("locations", everywhere)
            for n in r.get("names", []):
                if all((n, place) in owner for place in places):
                    self.error(path, f"{r['id']}: name {n} is already settled by {owner[n, places[0]]}")
            if not any(k in r for k in ("host", "url", "method", "parents", "value_check", "value_pattern")):
                owner.update({(n, place): r["id"] for n in r.get("names", []) for place in places})

    def vendors(self):
        for path in self.files("vendors/*/*.yaml"):
            data = self.load(path, "policy")
            if data:
                self.vendor(path, data)

    def vendor(self, path, data):
        own = self.unique(path, "entity", [e["id"] for e in data["publisher"]["entities"]])
        if data["publisher"]["id"] != path.parent.name:
            self.error(path, "publisher.id is not the folder's name")
        if data["complete"] != (not data["missing"]):
            self.error(path, "complete must be true exactly when missing is empty")
        self.known(path, "controller", "entity", data["applies"]["controller"].values(), own)
        self.unique(path, "statement", [s["id"] for s in data["statements"]])
        self.unique(path, "cookie", [c["name"] for c in data["cookies"]])
        recipients = own | self.entities | self.categories | {"self", "any"}
        text = self.text(path, data["record"])
        for m in data["missing"]:
            self.known(path, m["document"], "type", m["data"], self.types)
            self.region_names(path, m["document"], m["regions"])
        for s in data["statements"]:
            self.known(path, s["id"], "type", s["data"], self.types)
            self.known(path, s["id"], "recipient", [s["recipient"]], recipients)
            self.region_names(path, s["id"], s.get("regions", []))
            self.quote(path, s["id"], s["quote"], text)
        for c in data["cookies"]:
            self.known(path, c["name"], "provider", [c["provider"]], recipients - self.categories)
            self.quote(path, c["name"], c["quote"], text)

    def text(self, path, record):
        if not self.texts:
            return None
        file = next((f / record["file"] for f in self.texts if (f / record["file"]).is_file()), None)
        if file is None:
            self.error(path, f"no text {record['file']} in the folders given")
            return None
        raw = file.read_bytes()
        if hashlib.sha256(raw).hexdigest() != record["sha256"]:
            self.error(path, f"{record['file']}: another text than the one recorded (sha256 differs)")
        return squeeze(raw.decode("utf-8"))

    def quote(self, path, where, quote, text):
        if quote != squeeze(quote):
            self.error(path, f"{where}: quote is not normalised")
        if text is not None:
            self.quotes += 1
            if quote not in text:
                self.error(path, f"{where}: quote is not in the text: {quote[:70]!r}")

    def run(self):
        for part in (self.taxonomy, self.recipients, self.regions, self.rules, self.clients, self.vendors):
            part()
        return self.errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policies", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "policies")
    parser.add_argument("--with", dest="added", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--texts", type=pathlib.Path, action="append", default=[])
    args = parser.parse_args()
    for folder in [args.policies, *args.added, *args.texts]:
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    check = Check(args.policies, args.added, args.texts)
    errors = check.run()
    for e in errors:
        print(e, file=sys.stderr)
    print(f"{len(check.types)} types, {len(check.entities)} recipients, {check.quotes} quotes compared, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
