"""What the comparisons with tshark share: captures on loopback, peers, and what
each program says of a capture. WORK, VITRINE, CERTIFICATE and PORT are set by
tshark_test.py and by the case that runs."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = [0]
EMPTY = hashlib.sha256(b"").hexdigest()
FAILURES = []


def skip(reason):
    print("SKIPPED:", reason)
    sys.exit(77)


LEFT_OUT = []


def left_out(case, reason):
    """A case that cannot be made here: said, and no verdict."""
    LEFT_OUT.append(f"{case}: {reason}")
    print(f"{case}: LEFT OUT, {reason}")


def have(tool):
    return shutil.which(tool) is not None


def run(*command, **more):
    more.setdefault("timeout", 120)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more).stdout


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Capture:
    """tcpdump on an interface for the time of a with-block."""

    def __init__(self, path, port, *flags, interface="lo"):
        self.path, self.port, self.interface, self.flags = path, port, interface, flags

    def __enter__(self):
        self.process = subprocess.Popen(
            ["tcpdump", "-i", self.interface, *self.flags, "-Z", "root", "-s", "0", "-B", "65536", "--immediate-mode", "-U", "-w", self.path, f"tcp port {self.port}"],
            stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        while "listening on" not in line:
            if not line:
                skip("tcpdump cannot capture on lo (needs root or CAP_NET_RAW)")
            line = self.process.stderr.readline()
        return self

    def __exit__(self, *_):
        # The file has settled when it has stopped growing.
        size = -1
        for _ in range(40):
            time.sleep(0.1)
            now = os.path.getsize(self.path)
            if now == size and now > 24:
                break
            size = now
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


class Peer:
    """A server process; `port` is read from its first line, or given."""

    def __init__(self, *command, port=None, **more):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more)
        self.port = port or int(self.process.stdout.readline())
        for _ in range(100):
            if port is None:
                break
            line = self.process.stdout.readline()
            if b"ACCEPT" in line:
                break

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)


# --- what the two programs say --------------------------------------------------

def vitrine_view(capture, keys):
    command = [VITRINE, "exchanges", capture, "--json", "-q"] + (["--keylog", keys] if keys else [])
    rows = []
    for line in run(*command).decode().splitlines():
        row = json.loads(line)
        scheme, _, rest = row["url"].partition("://")
        authority, slash, path = rest.partition("/")
        rows.append({"method": row.get("method"), "authority": authority, "path": slash + path, "status": row.get("status"),
                     "request": row.get("request_sha256"), "response": row.get("response_sha256"), "complete": row["complete"]})
    return rows


def tshark(capture, keys, *more):
    preferences = ["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tcp.desegment_tcp_streams:TRUE"]
    if keys:
        preferences += ["-o", "tls.keylog_file:" + keys]
    return run("tshark", "-r", capture, *preferences, *more)


def pairs(items):
    """A JSON object as a list: tshark repeats keys."""
    return items


def walk(node, name):
    """All values of members called `name`, in order."""
    if isinstance(node, list):
        for item in node:
            if isinstance(item, tuple):
                if item[0] == name:
                    yield item[1]
                else:
                    yield from walk(item[1], name)
            else:
                yield from walk(item, name)


def first(node, name):
    return next((v for v in walk(node, name) if isinstance(v, str)), None)


def decode(body, coding):
    if coding == "gzip":
        return zlib.decompress(body, 31)
    if coding == "deflate":
        return zlib.decompress(body)
    if coding == "br":
        return run("node", "-e", "const b=[];process.stdin.on('data',d=>b.push(d)).on('end',()=>process.stdout.write(require('zlib').brotliDecompressSync(Buffer.concat(b))))", input=body)
    return body


def tshark_http2(capture, keys, upgraded=None, clear=False):
    """Streams from tshark's frames; content codings undone here where tshark does
    not. `upgraded`: the request line that became stream 1. `clear`: without TLS,
    and tshark must be told."""
    raw = tshark(capture, keys, *(["-d", f"tcp.port=={PORT[0]},http2"] if clear else []), "-Y", "http2", "-T", "json", "-J", "tcp http2", "-n")
    streams = {}
    for packet in json.loads(raw, object_pairs_hook=pairs):
        tcp = first(packet, "tcp.stream")
        from_server = int(first(packet, "tcp.srcport")) == PORT[0]
        for stream in walk(packet, "http2.stream"):
            if not isinstance(stream, list):
                continue
            # One member holds one frame; several frames of a packet repeat it.
            number = int(first(stream, "http2.streamid") or 0)
            if number == 0:
                continue
            entry = streams.setdefault((tcp, number), {"headers": [{}, {}], "data": [b"", b""], "body": [None, None]})
            names = [v for v in walk(stream, "http2.header.name") if isinstance(v, str)]
            values = [v for v in walk(stream, "http2.header.value") if isinstance(v, str)]
            entry["headers"][from_server].update(zip(names, values))
            for data in walk(stream, "http2.data.data"):
                if not isinstance(data, str):
                    continue
                shown = bytes.fromhex(data.replace(":", ""))
                if len(shown) == int(first(stream, "http2.length")):
                    entry["data"][from_server] += shown
                else:  # tshark shows the whole body, decoded, with its last frame
                    entry["body"][from_server] = shown
    if upgraded:
        for key, entry in streams.items():
            if key[1] == 1:
                entry["headers"][0].update({":" + name: upgraded[name] for name in ("method", "authority", "path")})
    rows = []
    for key in sorted(streams, key=lambda k: (int(k[0]), k[1])):
        entry = streams[key]
        request, response = entry["headers"]
        if ":method" not in request:
            continue
        bodies = [sha(body if body is not None else decode(data, headers.get("content-encoding")))
                  for body, data, headers in zip(entry["body"], entry["data"], entry["headers"])]
        rows.append({"method": request[":method"], "authority": request.get(":authority"), "path": request.get(":path"),
                     "status": int(response.get(":status", 0)) or None, "request": bodies[0], "response": bodies[1]})
    return rows


def tshark_http1(capture, keys):
    """Request lines and status from fields, bodies from exported objects (by last path segment)."""
    text = tshark(capture, keys, "-Y", "http", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|", "-e", "tcp.stream",
                  "-e", "http.request.method", "-e", "http.host", "-e", "http.request.uri", "-e", "http.response.code").decode()
    requests, answers = [], {}
    for line in text.splitlines():
        stream, methods, hosts, uris, codes = line.split("\t")
        if methods:
            for method, host, uri in zip(methods.split("|"), hosts.split("|"), uris.split("|")):
                requests.append({"stream": stream, "method": method, "authority": host, "path": uri})
        for code in codes.split("|") if codes else []:
            answers.setdefault(stream, []).append(int(code))
    for request in requests:
        codes = answers.get(request.pop("stream"), [])
        request["status"] = codes.pop(0) if codes else None
    folder = tempfile.mkdtemp(dir=WORK)
    tshark(capture, keys, "-q", "--export-objects", "http," + folder)
    objects = {}
    for name in os.listdir(folder):
        base = name.split("(")[0].split("%3f")[0]
        objects.setdefault(base, []).append(sha(open(os.path.join(folder, name), "rb").read()))
    return requests, {k: sorted(v) for k, v in objects.items()}


# --- comparing -----------------------------------------------------------------

def check(case, condition, message):
    if not condition:
        FAILURES.append(f"{case}: {message}")
        print(f"  FAILED {message}")


def short(rows):
    return [(r["method"], r["authority"], r["path"], r["status"]) for r in rows]


def compare(case, capture, keys, expected, http2=False, names=True, upgraded=None):
    """vitrine against tshark, and both against what the client knows it sent."""
    ours = vitrine_view(capture, keys)
    if http2:  # streams end in another order than they began
        ours = sorted(ours, key=lambda row: expected.index((row["method"], row["path"])))
    check(case, [(r["method"], r["path"]) for r in ours] == expected, f"vitrine reads {[(r['method'], r['path']) for r in ours]}, sent were {expected}")
    check(case, all(r["complete"] for r in ours), f"vitrine calls an exchange incomplete: {[r for r in ours if not r['complete']]}")
    if http2:
        theirs = tshark_http2(capture, keys, upgraded, clear=keys is None and upgraded is None)
        theirs = sorted(theirs, key=lambda row: expected.index((row["method"], row["path"])))
        check(case, short(ours) == short(theirs), f"requests differ:\n    vitrine {short(ours)}\n    tshark  {short(theirs)}")
        for a, b in zip(ours, theirs):
            check(case, (a["request"], a["response"]) == (b["request"], b["response"]), f"bodies of {a['path']} differ: {a} {b}")
    else:
        theirs, objects = tshark_http1(capture, keys)
        check(case, short(ours) == short(theirs), f"requests differ:\n    vitrine {short(ours)}\n    tshark  {short(theirs)}")
        bodies = {}
        for row in ours:
            for digest in (row["request"], row["response"]):
                if digest and digest != EMPTY:
                    bodies.setdefault(row["path"].split("?")[0].rsplit("/", 1)[-1], []).append(digest)
        bodies = {k: sorted(v) for k, v in bodies.items()}
        if not names:  # tshark files pipelined responses under the last request's name
            bodies, objects = (sorted(sum(x.values(), [])) for x in (bodies, objects))
        check(case, bodies == objects, f"bodies differ:\n    vitrine {bodies}\n    tshark  {objects}")
    print(f"{case}: {len(ours)} exchanges compared")
    return ours


# --- the captures --------------------------------------------------------------

def certificate(name, *, sans=1, key_type=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
    cert, key = f"{WORK}/{name}.pem", f"{WORK}/{name}.key"
    names = ",".join(f"DNS:host-{i:05d}.certificate-with-many-names.test" for i in range(sans))
    config = f"{WORK}/{name}.cnf"
    with open(config, "w") as out:
        out.write(f"[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=peer.test\n[ext]\nsubjectAltName=DNS:peer.test,{names}\n")
    run("openssl", "req", "-x509", "-newkey", *key_type, "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-config", config)
    return cert, key


def curl(port, keys, requests, *flags, url="https://peer.test", address="127.0.0.1"):
    """All requests on one connection where the protocol allows it."""
    default = 443 if url.startswith("https") else 80
    common = ["-sS", "-k", "--compressed", "--noproxy", "*", "--connect-to", f"peer.test:{default}:{address}:{port}", *flags]
    command = ["curl"]
    for i, (method, path, body) in enumerate(requests):
        command += (["--next"] if i else []) + common + ["-X", method, "-o", "/dev/null", url + path]
        if body:
            with open(f"{WORK}/body{i}", "wb") as out:
                out.write(body)
            command += ["--data-binary", f"@{WORK}/body{i}", "-H", "content-type: application/octet-stream"]
    run(*command, env={**os.environ, "SSLKEYLOGFILE": keys or ""})


PLAIN = [("GET", "/br", None), ("GET", "/gzip?x=1", None), ("GET", "/chunks", None), ("POST", "/echo", bytes(range(256)) * 40), ("GET", "/empty", None)]


def node_capture(case, options, flags, requests, capture_flags=(), interface="lo", **more):
    """Requests of curl to server.js → (capture, key log)."""
    capture, keys = f"{WORK}/{case}.pcap", f"{WORK}/{case}.keys"
    with Peer("node", f"{HERE}/server.js", *CERTIFICATE, json.dumps(options)) as server:
        PORT[0] = server.port
        with Capture(capture, server.port, *capture_flags, interface=interface):
            curl(server.port, keys, requests, *flags, **more)
    return capture, keys


def node_case(case, options, flags, requests, http2=False, **more):
    capture, keys = node_capture(case, options, flags, requests, **more)
    compare(case, capture, keys if os.path.exists(keys) else None, [(m, p) for m, p, _ in requests], http2)
    return capture, keys


def count(capture, keys, display_filter):
    """Packets that tshark's filter takes."""
    return len(tshark(capture, keys, "-Y", display_filter, "-T", "fields", "-e", "frame.number").split())
