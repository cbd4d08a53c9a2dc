#!/usr/bin/env python3
"""What a test run left out and how it ended: reads CTest's JUnit file, prints
every skipped test with its reason (a suite's parameter once, with how many), every
failed one with the end of what it printed, and one last line of counts that adds
up to all tests. Exit code 1 when a test failed or none ran."""
import collections
import re
import sys
import xml.etree.ElementTree as ElementTree


def reason(case):
    """What the test itself said about why it was skipped."""
    text = case.findtext("system-out") or ""
    # GoogleTest: "file:line: Skipped", then the message; scripts: "skipped: ...".
    found = re.search(r": Skipped\n+(.+)", text) or re.search(r"(?im)^skipped:?\s+(.+)$", text)
    return found.group(1).strip() if found else "no reason given"


def families(names):
    """Backends/Ffn.OneMlp/amx and Backends/Rows.Norms/amx are Backends/*/amx (2)."""
    names = list(names)
    shape = lambda name: re.sub(r"^(\w+)/.*/(\w+)$", r"\1/*/\2", name)
    counts = collections.Counter(map(shape, names))
    return sorted({n if counts[shape(n)] == 1 else f"{shape(n)} ({counts[shape(n)]})" for n in names})


def tail(case, lines=30):
    text = re.sub(r"[^\x20-\x7e\n]", "?", case.findtext("system-out") or "")
    return "".join(f"    {line[:300]}\n" for line in text.strip().split("\n")[-lines:])


def main():
    passed, failed, skipped = 0, [], []
    for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        status = case.get("status")
        said = (case.find("skipped").get("message") or "") if case.find("skipped") is not None else ""
        if status == "run":
            passed += 1
        elif status == "disabled" or (status == "notrun" and said.startswith("SKIP_")):
            skipped.append((reason(case), case.get("name")))
        else:  # also what could not be started: no program, a fixture that failed
            failed.append((case.get("name") + (f" ({said})" if said else ""), tail(case)))
    for why in sorted({why for why, _ in skipped}):
        names = families(name for each, name in skipped if each == why)
        print(f"skipped ({why}): {', '.join(names)}")
    for name, text in sorted(failed):
        print(f"failed: {name}\n{text}", end="")
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
