#!/usr/bin/env python3
"""Makes captures that are not in the repository, with real peers on loopback,
and compares what vitrine and tshark read in them: method, authority, path,
status, body digests.

    tshark_test.py VITRINE [CASE…]

Exit status 77 (skipped) when a tool or the right to capture is missing.
"""

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import zlib

import packets

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = ["tshark", "tcpdump", "openssl", "node", "curl", "editcap", "mergecap"]
EMPTY = hashlib.sha256(b"").hexdigest()
FAILURES = []


def skip(reason):
    print("SKIPPED:", reason)
    sys.exit(77)


def run(*command, **more):
    more.setdefault("timeout", 120)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more).stdout


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Capture:
    """tcpdump on the loopback interface for the time of a with-block."""

    def __init__(self, path, port):
        self.path, self.port = path, port

    def __enter__(self):
        self.process = subprocess.Popen(
            ["tcpdump", "-i", "lo", "-Z", "root", "-s", "0", "-B", "65536", "--immediate-mode", "-U", "-w", self.path, f"tcp port {self.port}"],
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


def tshark_http2(capture, keys):
    """Streams from tshark's frames; content codings undone here where tshark does not."""
    raw = tshark(capture, keys, "-Y", "http2", "-T", "json", "-J", "tcp http2", "-n")
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


def compare(case, capture, keys, expected, http2=False, names=True):
    """vitrine against tshark, and both against what the client knows it sent."""
    ours = vitrine_view(capture, keys)
    check(case, [(r["method"], r["path"]) for r in ours] == expected, f"vitrine reads {[(r['method'], r['path']) for r in ours]}, sent were {expected}")
    check(case, all(r["complete"] for r in ours), f"vitrine calls an exchange incomplete: {[r for r in ours if not r['complete']]}")
    if http2:
        theirs = tshark_http2(capture, keys)
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

def certificate(name, *, sans=1):
    cert, key = f"{WORK}/{name}.pem", f"{WORK}/{name}.key"
    names = ",".join(f"DNS:host-{i:05d}.certificate-with-many-names.test" for i in range(sans))
    config = f"{WORK}/{name}.cnf"
    with open(config, "w") as out:
        out.write(f"[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=peer.test\n[ext]\nsubjectAltName=DNS:peer.test,{names}\n")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-config", config)
    return cert, key


def curl(port, keys, requests, *flags):
    """All requests on one connection where the protocol allows it."""
    command = ["curl", "-sS", "-k", "--compressed", "--noproxy", "*", "--connect-to", f"peer.test:443:127.0.0.1:{port}", *flags]
    for i, (method, path, body) in enumerate(requests):
        if i:
            command += ["--next", "-sS", "-k", "--compressed", "--connect-to", f"peer.test:443:127.0.0.1:{port}", *flags]
        command += ["-X", method, "-o", "/dev/null", "https://peer.test" + path]
        if body:
            with open(f"{WORK}/body{i}", "wb") as out:
                out.write(body)
            command += ["--data-binary", f"@{WORK}/body{i}", "-H", "content-type: application/octet-stream"]
    run(*command, env={**os.environ, "SSLKEYLOGFILE": keys})


def node_case(case, server_options, flags, requests, http2=False):
    capture, keys = f"{WORK}/{case}.pcap", f"{WORK}/{case}.keys"
    with Peer("node", f"{HERE}/server.js", *CERTIFICATE, json.dumps(server_options)) as server:
        PORT[0] = server.port
        with Capture(capture, server.port):
            curl(server.port, keys, requests, *flags)
    compare(case, capture, keys, [(m, p) for m, p, _ in requests], http2)
    return capture, keys


PLAIN = [("GET", "/br", None), ("GET", "/gzip?x=1", None), ("GET", "/chunks", None), ("POST", "/echo", bytes(range(256)) * 40), ("GET", "/empty", None)]


def case_tls12_chacha():
    node_case("tls12-chacha", {"maxVersion": "TLSv1.2", "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, ["--http1.1", "--tls-max", "1.2"], PLAIN)


def case_tls12_ccm():
    node_case("tls12-ccm", {"maxVersion": "TLSv1.2", "ciphers": "ECDHE-ECDSA-AES128-CCM"},
              ["--http1.1", "--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-CCM"], PLAIN)


def case_tls13_ccm():
    for name in ("TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"):
        node_case("tls13-" + name[8:-7].lower().replace("_", ""), {"ciphers": name + ":DEFAULT@SECLEVEL=0"},
                  ["--http1.1", "--tlsv1.3", "--tls13-ciphers", name, "--ciphers", "DEFAULT:@SECLEVEL=0"], PLAIN)


def case_http2_br():
    requests = [("GET", "/br", None), ("GET", "/gzip", None), ("GET", "/deflate", None), ("GET", "/binary?n=1", None),
                ("POST", "/echo", bytes(range(256)) * 300), ("GET", "/empty", None)]
    return node_case("http2-br", {}, ["--http2", "--tlsv1.3", "--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"], requests, http2=True)


def case_hello_retry():
    capture, keys = node_case("hello-retry", {"ecdhCurve": "P-256"}, ["--http1.1", "--tlsv1.3", "--curves", "X25519:P-256"], PLAIN)
    hellos = tshark(capture, keys, "-Y", "tls.handshake.type==1", "-T", "fields", "-e", "frame.number").split()
    check("hello-retry", len(hellos) == 2, f"the capture has {len(hellos)} ClientHellos, so no HelloRetryRequest")


def case_pipelining():
    case = "pipelining"
    capture, keys = f"{WORK}/{case}.pcap", f"{WORK}/{case}.keys"
    with Peer("node", f"{HERE}/server.js", *CERTIFICATE) as server:
        with Capture(capture, server.port):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.keylog_filename = keys
            with socket.create_connection(("127.0.0.1", server.port)) as raw, context.wrap_socket(raw, server_hostname="peer.test") as tls:
                head = "Host: peer.test\r\n"
                tls.sendall((f"GET /one HTTP/1.1\r\n{head}\r\nGET /chunks HTTP/1.1\r\n{head}\r\n"
                             f"POST /echo HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
                             f"GET /last HTTP/1.1\r\n{head}Connection: close\r\n\r\n").encode())
                while tls.recv(65536):
                    pass
    compare(case, capture, keys, [("GET", "/one"), ("GET", "/chunks"), ("POST", "/echo"), ("GET", "/last")], names=False)


def s_client(port, keys, writes, *flags, patience=1):
    """openssl s_client, its input written in steps; ends when the server closes."""
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "peer.test", "-tls1_3", "-keylogfile", keys, *flags],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for text in writes:
        time.sleep(0.4 * patience)
        process.stdin.write(text.encode())
        process.stdin.flush()
    try:
        process.wait(6)
    except subprocess.TimeoutExpired:
        process.kill()
    process.stdin.close()


def until_made(make, case, expected):
    """openssl's s_client is driven by pauses: on a machine that is too busy the
    peers may not do what was asked. tshark tells; then it is made again."""
    for attempt in range(3):
        capture, keys = make(1 + attempt)
        requests, _ = tshark_http1(capture, keys)
        if [(r["method"], r["path"]) for r in requests] == expected:
            break
    compare(case, capture, keys, expected)
    return capture, keys


def case_key_update():
    until_made(make_key_update, "key-update", [("GET", "/first"), ("GET", "/gzip"), ("GET", "/binary")])


def make_key_update(patience):
    case = f"key-update-{patience}"
    capture, keys = f"{WORK}/{case}.pcap", f"{WORK}/{case}.keys"
    with Peer("node", f"{HERE}/server.js", *CERTIFICATE) as server:
        with Capture(capture, server.port):
            get = "GET {} HTTP/1.1\r\nHost: peer.test\r\n{}\r\n"
            s_client(server.port, keys, [get.format("/first", ""), "K\n", get.format("/gzip", ""), "k\n", "K\n",
                                         get.format("/binary", "Connection: close\r\n")], patience=patience)
    return capture, keys


def case_early_data():
    capture, keys = until_made(make_early_data, "early-data", [("GET", "/ticket"), ("GET", "/early"), ("GET", "/late")])
    accepted = tshark(capture, keys, "-Y", "tls.handshake.extension.type==42 && tls.handshake.type==8", "-T", "fields", "-e", "frame.number")
    check("early-data", accepted.strip() != b"", "the server did not accept early data")


def make_early_data(patience):
    case = f"early-data-{patience}"
    capture, keys, session = f"{WORK}/{case}.pcap", f"{WORK}/{case}.keys", f"{WORK}/{case}.session"
    early = f"{WORK}/{case}.request"
    with open(early, "w") as out:
        out.write("GET /early HTTP/1.1\r\nHost: peer.test\r\n\r\n")
    port = free_port()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
    with Peer("openssl", "s_server", "-accept", str(port), "-cert", CERTIFICATE[0], "-key", CERTIFICATE[1], "-tls1_3", "-early_data",
              "-naccept", "2", port=port, stdin=subprocess.PIPE) as server:
        with Capture(capture, port):
            for flags, request, body in ((["-sess_out", session], "GET /ticket HTTP/1.1\r\nHost: peer.test\r\n\r\n", b"first"),
                                         (["-sess_in", session, "-early_data", early], "GET /late HTTP/1.1\r\nHost: peer.test\r\n\r\n", b"early")):
                client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "peer.test", "-tls1_3", "-keylogfile", keys, *flags],
                                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(0.6 * patience)
                if body == b"early":
                    server.process.stdin.write(answer + body)
                    server.process.stdin.flush()
                    time.sleep(0.4 * patience)
                client.stdin.write(request.encode())
                client.stdin.flush()
                time.sleep(0.4 * patience)
                server.process.stdin.write(answer + (b"later" if body == b"early" else body))
                server.process.stdin.flush()
                time.sleep(0.4 * patience)
                client.stdin.write(b"Q\n")
                client.stdin.flush()
                client.wait(5)
                client.stdin.close()
    return capture, keys


def case_fragmented():
    case = "fragmented"
    cert, key = certificate("many-names", sans=700)
    folder = f"{WORK}/files"
    os.makedirs(folder, exist_ok=True)
    body = b"a page of text\n" * 700
    with open(f"{folder}/page.txt", "wb") as out:  # s_server -HTTP sends a file as the whole response
        out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    for version in ("-tls1_2", "-tls1_3"):
        port = free_port()
        capture, keys = f"{WORK}/{case}{version}.pcap", f"{WORK}/{case}{version}.keys"
        with Peer("openssl", "s_server", "-accept", str(port), "-cert", cert, "-key", key, version, "-max_send_frag", "512", "-HTTP",
                  port=port, cwd=folder, stdin=subprocess.PIPE):
            with Capture(capture, port):
                curl(port, keys, [("GET", "/page.txt", None)], "--http1.1")
        compare(case + version, capture, keys, [("GET", "/page.txt")])
        link, frames = packets.read_pcap(capture)
        small = f"{WORK}/{case}{version}-61.pcap"
        packets.write_pcap(small, link, packets.split_segments(frames, 61))
        compare(case + version + " in segments of 61 bytes", small, keys, [("GET", "/page.txt")])


def case_rewritten():
    """The same traffic in other orders, link layers and containers gives the same exchanges."""
    capture, keys = case_http2_br()
    expected = vitrine_view(capture, keys)
    link, frames = packets.read_pcap(capture)

    def same(name, path, with_keys=keys, rows=expected):
        got = vitrine_view(path, with_keys)
        check("rewritten", got == rows, f"{name}: {short(got)} is not {short(rows)}")
        print(f"rewritten: {name}")

    for seed in range(3):
        path = f"{WORK}/shuffled-{seed}.pcap"
        shuffled = packets.shuffle(packets.split_segments(frames, 700), random.Random(seed))
        packets.write_pcap(path, link, shuffled)
        same(f"out of order, duplicated (seed {seed})", path)
    for layer in ("vlan", "qinq", "raw", "null", "sll", "sll2"):
        path = f"{WORK}/{layer}.pcap"
        packets.write_pcap(path, *packets.rewrap(frames, layer))
        same(layer, path)
    path = f"{WORK}/whole.pcap.gz"
    with open(capture, "rb") as data, gzip.open(path, "wb") as out:
        shutil.copyfileobj(data, out)
    same("gz", path)
    ng, secret = f"{WORK}/plain.pcapng", f"{WORK}/secrets.pcapng"
    run("editcap", "-F", "pcapng", capture, ng)
    same("pcapng", ng)
    run("editcap", "-F", "pcapng", "--inject-secrets", "tls," + keys, capture, secret)
    same("pcapng with its secrets", secret, None)
    other, other_keys = case_for_merge()
    both = f"{WORK}/both.keys"
    with open(both, "w") as out:
        out.write(open(keys).read() + open(other_keys).read())
    merged = f"{WORK}/merged.pcapng"
    run("mergecap", "-F", "pcapng", "-I", "none", "-w", merged, capture, f"{WORK}/sll.pcap", other)
    rows = sorted(map(json.dumps, vitrine_view(merged, both)))
    # The SLL copy is a duplicate of the first file, packet by packet.
    wanted = sorted(map(json.dumps, expected + vitrine_view(other, other_keys)))
    check("rewritten", rows == wanted, f"several interfaces: {rows} is not {wanted}")
    sections = f"{WORK}/sections.pcapng"
    run("editcap", "-F", "pcapng", other, f"{WORK}/second.pcapng")
    with open(sections, "wb") as out:
        for part in (ng, f"{WORK}/second.pcapng"):
            out.write(open(part, "rb").read())
    rows = sorted(map(json.dumps, vitrine_view(sections, both)))
    check("rewritten", rows == wanted, f"two sections: {rows} is not {wanted}")
    print("rewritten: several interfaces, several sections")


def case_for_merge():
    return node_case("other", {}, ["--http1.1"], PLAIN[:2])


CASES = {name[5:]: function for name, function in list(globals().items()) if name.startswith("case_") and name not in ("case_for_merge", "case_http2_br")}
PORT = [0]


def main():
    global VITRINE, WORK, CERTIFICATE
    VITRINE = sys.argv[1]
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        skip("not installed: " + ", ".join(missing))
    if os.geteuid() != 0:
        skip("capturing on loopback needs root")
    if not os.access(VITRINE, os.X_OK):
        skip(f"{VITRINE} is not built")
    with tempfile.TemporaryDirectory(prefix="vitrine-peers-") as WORK:
        CERTIFICATE = certificate("peer")
        for name in sys.argv[2:] or CASES:
            begin = time.time()
            try:
                CASES[name]()
            except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
                # A peer that fails is no verdict on vitrine, but must not pass for one.
                detail = getattr(error, "stderr", b"") or b""
                check(name, False, f"could not be made: {error!r} {detail.decode(errors='replace')[-300:]}")
            print(f"  {name}: {time.time() - begin:.1f} s")
    for failure in FAILURES:
        print("FAILED", failure)
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    main()
