#!/usr/bin/env python3
"""validate_report.py SCHEMA REPORT...: prints what does not fit; exit 1 then."""
import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
failed = False
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    for error in list(validator.iter_errors(report))[:10]:
        failed = True
        print(f"{path}: /{'/'.join(map(str, error.path))}: {error.message[:300]}")
sys.exit(failed)
