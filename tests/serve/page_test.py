#!/usr/bin/env python3
"""The page of `vitrine serve`, against the real server: its headers, then the page in headless Chromium
(page_browser.mjs), then the glass panel against what `vitrine fields --sent` lists from the tap's log.

    page_test.py VITRINE BUILD [--pictures FOLDER]

SmolLM2 answers, from BUILD/models."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile

from browser import Browser
from server import Gateway, Server, certificate, smollm2

VITRINE, BUILD = sys.argv[1:3]
PICTURES = sys.argv[4] if len(sys.argv) > 4 else ""
SHORT = ("--context", "512")  # a small model does not always find an end
KEY = "a-key-for-this-test-0123456789"
FAILURES = []


def check(name, ok, why=""):
    print(("ok      " if ok else "FAILED  ") + name + (f": {why}" if not ok and why else ""))
    if not ok:
        FAILURES.append(name)


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response, response.read()


def headers_of_the_page(server):
    response, body = get(server, "/")
    policy = response.getheader("content-security-policy") or ""
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
                 "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]:
        check(f"policy: {part}", part in policy.split("; "), policy)
    check("policy: nothing unsafe", "unsafe" not in policy)
    check("no referrer", response.getheader("referrer-policy") == "no-referrer")
    check("opener, embedder, resource", [response.getheader(f"cross-origin-{name}-policy") for name in ("opener", "embedder", "resource")]
          == ["same-origin", "require-corp", "same-origin"])
    check("no cookie", response.getheader("set-cookie") is None)
    check("the HTML is stored nowhere", response.getheader("cache-control") == "no-store")
    html = body.decode()
    check("no script or style in the HTML", not re.search(r"<style|<script(?![^>]*\ssrc=)[^>]*>|\son\w+=|\sstyle=", html))
    ids = [re.search(r'data-page="([0-9a-f]{32})"', get(server, "/")[1].decode()) for _ in range(2)]
    check("each load has an id of its own", all(ids) and ids[0][1] != ids[1][1])
    response, body = get(server, "/", "HEAD")
    check("HEAD", response.status == 200 and body == b"")
    for name in ("app.js", "style.css", "words.json"):
        response, body = get(server, "/page/" + name)
        tag = response.getheader("etag")
        check(f"{name}: ETag and policy", bool(tag) and response.getheader("content-security-policy") == policy and len(body) > 1000)
        response, body = get(server, "/page/" + name, if_none_match=tag)
        check(f"{name}: not modified", response.status == 304 and body == b"")
    check("no such file", get(server, "/page/../../etc/passwd")[0].status == 404 and get(server, "/page/js/1-words.js")[0].status == 404)
    check("fields of no page", get(server, "/page/fields?page=" + "0" * 32)[0].status == 404 and get(server, "/page/fields")[0].status == 400)
    response, body = get(server, "/page/connections")
    measured = json.loads(body)
    check("connections", measured["elsewhere"] == {"now": 0, "total": 0, "recent": []} and measured["clients"] >= 1
          and measured["listening"] == 1 and measured["measured"]["looks"] >= 1, body)
    lock = measured["seccomp"]
    check("the lock is measured on every thread", lock["locked"] and lock["threads"] == lock["filtered"] > 1, body)


def browse(server, browser, *flags):
    result = browser.run("page_browser.mjs", server.url + "/", *flags)
    if result is None:
        check("the browser", False)
        return {}
    for one in result["checks"]:
        check(one["name"], one["ok"], one["why"])
    return result


def events(stream):
    for block in stream.split("\n\n"):
        lines = block.split("\n")
        kind = next((line[7:] for line in lines if line.startswith("event: ")), None)
        yield kind, [line[6:] for line in lines if line.startswith("data: ")]


def fields_by_exchange(lines):
    """(client's port, number of the exchange on its connection) → fields: the log's reader numbers connections anew."""
    out = {}
    for line in lines:
        field = json.loads(line)
        exchange = (field["client"]["port"], int(field["origin"].split(":")[0].split(".")[1]))
        out.setdefault(exchange, []).append((field["path"], field.get("value", ""), field.get("type", "")))
    return {exchange: sorted(fields) for exchange, fields in out.items()}


def same_as_fields(result, log):
    """Panel, stream and log agree: which exchanges are the page's, and every field of them."""
    blocks = list(events(result["stream"]))
    lines = [line for kind, data in blocks if kind == "fields" for line in data]
    opened = [json.loads(data[0])["exchange"] for kind, data in blocks if kind == "exchange"]
    shown = fields_by_exchange(lines)
    out = subprocess.run([VITRINE, "fields", "--sent", log], stdout=subprocess.PIPE, check=True).stdout.decode()
    listed = fields_by_exchange(out.splitlines())
    requests = {exchange for exchange in shown if exchange[1] > 0}
    check("every exchange of the stream has fields", len(opened) == len(shown), f"{opened} {list(shown)}")
    mine = {("header:x-vitrine-page", result["page"]), ("query:page", result["page"])}
    carried = {exchange for exchange, fields in listed.items() if any((path, value) in mine for path, value, _ in fields)}
    loads = requests - carried
    check("beside those with its id, the page has one exchange: its load", len(loads) == 1 and all(
        ("path", "/", "") in listed[exchange] and ("path:method", "GET", "") in listed[exchange] for exchange in loads), loads)
    paths = [path for exchange in requests for name, path, _ in shown[exchange] if name == "path"]
    check("every request of the page is there, once", sorted(paths) == sorted(
        ["/", "/page/app.js", "/page/style.css", "/page/words.json", "/v1/models", "/v1/chat/completions"] + 2 * ["/page/fields"]), paths)
    for exchange, fields in sorted(shown.items()):
        check(f"exchange {exchange}: the panel's {len(fields)} fields are those of `vitrine fields --sent`", fields == listed.get(exchange),
              set(fields) ^ set(listed.get(exchange, [])))
    rows = sorted(path for exchange in result["rows"].values() for path in exchange)
    check("the panel has a row for each", rows == sorted(path for fields in shown.values() for path, _, _ in fields) and len(rows) > 100)
    check("and counts them", int(result["count"].replace(",", "")) == len(lines), f'{result["count"]} and {len(lines)}')


def left_out(log, mode):
    """The log holds what the page says that it holds."""
    with open(log) as file:
        text = file.read()
    fields = subprocess.run([VITRINE, "fields", "--sent", log], stdout=subprocess.PIPE, check=True).stdout.decode()
    paths = {json.loads(line)["path"] for line in fields.splitlines()}
    check(f"{mode}: no prompt is in the log", "rainbow" not in text and "withheld." in text)
    check(f"{mode}: names of fields are, or are not", ("body|json/messages/0/content" in paths) == (mode == "hash"), paths)
    check(f"{mode}: headers are", {"header:user-agent", "header:x-vitrine-page"} <= paths, paths)


def ends_with_a_follower(server):
    """A stream that would go on for ever does not keep a server from stopping."""
    page = re.search(r'data-page="([0-9a-f]{32})"', get(server, "/")[1].decode())[1]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/page/fields?page=" + page)
    response = connection.getresponse()
    first = response.read1(65536)
    server.stop()  # within a minute, with exit code 0
    check("the server stops while a panel follows", b"event: fields" in first and b"0\r\n\r\n" not in response.read())


def main():
    browser = Browser(BUILD)
    pictures = ["--pictures", PICTURES] if PICTURES else []
    with tempfile.TemporaryDirectory() as folder:
        model = smollm2(BUILD)  # a model with random weights writes nothing that can be seen coming
        name = "smollm2-135m-instruct" if PICTURES else "test-model"
        with Server(VITRINE, model, *SHORT, name=name) as server:
            headers_of_the_page(server)
            result = browse(server, browser, *pictures)
            ends_with_a_follower(server)
            if result.get("stream"):
                same_as_fields(result, server.tap)
            else:
                check("the panel was read", False)
        keys = os.path.join(folder, "keys")
        with open(keys, "w") as file:
            file.write(f"tester {KEY}\n")
        with Server(VITRINE, model, "--api-keys", keys, *SHORT, tap=False) as server:  # the panel needs no log
            check("fields and connections ask for the key",
                  [get(server, where)[0].status for where in ("/page/fields?page=0", "/page/connections", "/")] == [401, 401, 200])
            browse(server, browser, "--key", KEY)
            server.stop()
        for mode in ("hash", "none"):
            with Server(VITRINE, model, "--tap-content", mode, *SHORT) as server:
                browse(server, browser, "--log", mode)
                left_out(server.stop(), mode)
        with Server(VITRINE, model, "--tls-cert", (certificates := certificate(folder))[0], "--tls-key", certificates[1], *SHORT) as server:
            server.url = server.url.replace("http:", "https:")
            browse(server, browser, "--https")
            server.stop()
        with Server(VITRINE, model, "--no-page", tap=False) as upstream, Gateway(VITRINE, upstream.url) as server:
            browse(server, browser, "--upstream", upstream.url, *pictures)
            server.stop()
        with Server(VITRINE, model, "--no-page", "--no-lockdown", tap=False) as server:
            check("--no-page", [get(server, where)[0].status for where in ("/", "/page/app.js", "/healthz")] == [404, 404, 200])
            server.stop()
    print(f"{len(FAILURES)} failed")
    sys.exit(1 if FAILURES else 0)


main()
