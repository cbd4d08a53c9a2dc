#!/usr/bin/env python3
"""Reads HAR files with Python's json and compares what it finds with what
vitrine reads: method, authority, path, status, digests of both bodies.

    har_test.py VITRINE FILE.har…

A body that the file gives as parameters only has no bytes to compare.
"""

import base64
import gzip
import hashlib
import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

EMPTY = hashlib.sha256(b"").hexdigest()
COMPOSED = "a body composed of parameters"
# Entries that are no transmission: the browser's cache, its extensions, what it blocked.
NOT_SENT = ("net::ERR_BLOCKED_BY_CLIENT", "net::ERR_BLOCKED_BY_ADMINISTRATOR", "net::ERR_BLOCKED_BY_CSP")
FAILURES = []


def sha(data):
    return hashlib.sha256(data).hexdigest()


def sent(entry):
    scheme = entry["request"]["url"].split(":")[0].lower()
    return (scheme in ("http", "https", "ws", "wss") and not entry.get("_fromCache") and "Cache" not in entry.get("_fetchType", "")
            and entry.get("response", {}).get("_error") not in NOT_SENT)


def text_bytes(text, encoding, size):
    if encoding == "base64":
        return base64.b64decode(text)
    utf8 = text.encode("utf-8", "surrogateescape")  # also what is no UTF-8, as it was
    if size == len(text) != len(utf8) and max(text) <= "\xff":
        return text.encode("latin-1")  # one character a byte
    return utf8


def request_digest(request):
    post = request.get("postData") or {}
    if post.get("text"):
        size = request.get("bodySize", -1)
        if size <= 0:
            size = next((int(h["value"]) for h in request.get("headers", []) if h["name"].lower() == "content-length"), -1)
        body = text_bytes(post["text"], post.get("encoding") or post.get("_encoding"), size)
        # A coded body that was kept as it was sent is compared decoded, as all others are.
        return sha(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    return COMPOSED if post.get("params") else EMPTY


def response_digest(entry):
    response = entry.get("response") or {}
    content = response.get("content") or {}
    if content.get("text"):
        return sha(text_bytes(content["text"], content.get("encoding"), None))
    events = entry.get("_eventSourceMessages") or []
    return sha("".join(event["data"] for event in events).encode())


def rows_of_har(path):
    data = open(path, "rb").read().removeprefix(b"\xef\xbb\xbf")
    rows = []
    for entry in json.loads(data.decode("utf-8", "surrogateescape"))["log"]["entries"]:
        if not sent(entry):
            continue
        url = urlsplit(entry["request"]["url"])
        status = entry.get("response", {}).get("status", 0)
        sockets = entry.get("_webSocketMessages") or []
        rows.append({"method": entry["request"]["method"], "authority": url.netloc.rpartition("@")[2],
                     "path": (url.path or "/") + ("?" + url.query if "?" in entry["request"]["url"].split("#")[0] else ""),
                     "status": status if status >= 100 else None,
                     "request": None if sockets else request_digest(entry["request"]), "response": None if sockets else response_digest(entry)})
    return rows


def rows_of_vitrine(program, path):
    out = subprocess.run([program, "exchanges", path, "--json", "-q"], check=True, stdout=subprocess.PIPE).stdout.decode()
    rows = []
    for row in map(json.loads, out.splitlines()):
        rest = row["url"].partition("://")[2]
        authority, slash, tail = rest.partition("/")
        rows.append({"method": row["method"], "authority": authority, "path": slash + tail, "status": row.get("status") or None,
                     "request": row.get("request_sha256") or EMPTY, "response": row.get("response_sha256") or EMPTY})
    return rows


def main():
    program, files = sys.argv[1], sys.argv[2:]
    for path in files:
        name = os.path.basename(path)
        theirs, ours = rows_of_har(path), rows_of_vitrine(program, path)
        if len(theirs) != len(ours):
            FAILURES.append(f"{name}: {len(ours)} exchanges, the file has {len(theirs)}")
        composed = 0
        for a, b in zip(theirs, ours):
            for key in a:
                if a[key] == COMPOSED:
                    composed += b[key] != EMPTY
                elif a[key] is not None and a[key] != b[key]:
                    FAILURES.append(f"{name}: {a['method']} {a['path']}: {key} is {b[key]}, the file says {a[key]}")
        print(f"{name}: {len(ours)} exchanges compared, {composed} request bodies known as parameters only")
    for failure in FAILURES:
        print("FAILED", failure)
    sys.exit(1 if FAILURES or not files else 0)


if __name__ == "__main__":
    main()
