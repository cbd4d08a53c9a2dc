"""Captures of HTTP: codings, pipelining, HTTP/2 without TLS, WebSocket."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import zlib

import lab


def case_http2_br():
    requests = [("GET", "/br", None), ("GET", "/gzip", None), ("GET", "/deflate", None), ("GET", "/binary?n=1", None),
                ("POST", "/echo", bytes(range(256)) * 300), ("GET", "/empty", None)]
    return lab.node_case("http2-br", {}, ["--http2", "--tlsv1.3", "--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"], requests, http2=True)


def case_pipelining():
    case = "pipelining"
    capture, keys = f"{lab.WORK}/{case}.pcap", f"{lab.WORK}/{case}.keys"
    with lab.Peer("node", f"{lab.HERE}/server.js", *lab.CERTIFICATE) as server:
        with lab.Capture(capture, server.port):
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
    lab.compare(case, capture, keys, [("GET", "/one"), ("GET", "/chunks"), ("POST", "/echo"), ("GET", "/last")], names=False)


def case_h2c_prior_knowledge():
    """Streams side by side without TLS."""
    case, paths = "h2c-prior-knowledge", ["/gzip", "/chunks", "/binary", "/empty", "/deflate?last"]
    if not lab.have("nghttp"):
        return lab.left_out(case, "nghttp is not installed (Debian: nghttp2-client)")
    capture = f"{lab.WORK}/{case}.pcap"
    with lab.Peer("node", f"{lab.HERE}/server.js", *lab.CERTIFICATE, '{"clear": "h2"}') as server:
        lab.PORT[0] = server.port
        with lab.Capture(capture, server.port):
            lab.run("nghttp", "-n", *[f"http://127.0.0.1:{server.port}{path}" for path in paths])
    lab.compare(case, capture, None, [("GET", path) for path in paths], http2=True)


def case_h2c_upgrade():
    """nghttpx takes the Upgrade and speaks HTTP/1.1 with the server behind it."""
    case, requests = "h2c-upgrade", [("GET", "/gzip?upgraded", None), ("GET", "/chunks", None), ("POST", "/echo", b"after the upgrade " * 200)]
    if not lab.have("nghttpx"):
        return lab.left_out(case, "nghttpx is not installed (Debian: nghttp2-proxy)")
    capture, port = f"{lab.WORK}/{case}.pcap", lab.free_port()
    with lab.Peer("node", f"{lab.HERE}/server.js", *lab.CERTIFICATE, '{"clear": "h1"}') as server:
        proxy = subprocess.Popen(["nghttpx", "--frontend", f"127.0.0.1,{port};no-tls", "--backend", f"127.0.0.1,{server.port}", "--workers", "1",
                                  "--conf", "/dev/null", "--errorlog-file", "/dev/null"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            lab.wait_for_port(port)
            lab.PORT[0] = port
            with lab.Capture(capture, port):
                lab.curl(port, None, requests, "--http2", url="http://peer.test")
        finally:
            proxy.terminate()
            proxy.wait(10)
    first = {"method": "GET", "authority": "peer.test", "path": "/gzip?upgraded"}
    seen = lab.tshark(capture, None, "-Y", "http.upgrade == h2c && http.request", "-T", "fields", "-e", "http.request.method", "-e", "http.host",
                      "-e", "http.request.uri").decode().split()
    lab.check(case, seen == list(first.values()), f"tshark's request with the Upgrade is {seen}")
    lab.compare(case, capture, None, [(m, p) for m, p, _ in requests], http2=True, upgraded=first)


def messages_of_stream(capture, client_port):
    """The WebSocket messages of each side, read from tshark's raw stream: frames
    (RFC 6455), unmasked, inflated with the context kept (RFC 7692)."""
    text = lab.tshark(capture, None, "-q", "-z", "follow,tcp,raw,0").decode()
    sides = [b"", b""]
    for line in text.splitlines()[6:]:
        if set(line.strip()) <= set("0123456789abcdef") and line.strip():
            sides[line.startswith("\t")] += bytes.fromhex(line.strip())
    out = []
    for stream in sides:
        at, inflate, messages, message, packed = stream.index(b"\r\n\r\n") + 4, zlib.decompressobj(-15), [], b"", False
        while at < len(stream):
            first, second = stream[at], stream[at + 1]
            length, at = second & 127, at + 2
            if length > 125:
                width = 2 if length == 126 else 8
                length, at = int.from_bytes(stream[at:at + width], "big"), at + width
            mask = stream[at:at + 4] if second & 128 else bytes(4)
            at += 4 if second & 128 else 0
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(stream[at:at + length]))
            at += length
            if first & 8:  # control frames stand between the fragments of a message
                continue
            packed = bool(first & 64) if first & 15 else packed
            message += payload
            if first & 128:
                messages.append(inflate.decompress(message + b"\0\0\xff\xff") if packed else message)
                message = b""
        out.append(messages)
    return out


def case_websocket():
    """Messages of either side, compressed and not, in fragments with pings between them."""
    case, modules = "websocket", os.path.join(lab.HERE, "../../examples/aster/lab/node_modules")
    if not os.path.isdir(os.path.join(modules, "ws")):
        return lab.left_out(case, "the npm package ws is not installed (./dev setup --lab)")
    for options in ({"deflate": True}, {"deflate": True, "takeover": False}, {"deflate": False}):
        capture = f"{lab.WORK}/{case}.pcap"
        with lab.Peer("node", f"{lab.HERE}/websocket.js", json.dumps(options), stdin=subprocess.PIPE, env={**os.environ, "NODE_PATH": modules}) as peer:
            with lab.Capture(capture, peer.port):
                peer.process.stdin.write(b"go\n")
                peer.process.stdin.flush()
                sent = json.loads(peer.process.stdout.readline())
        client, server = messages_of_stream(capture, peer.port)
        compressed = lab.count(capture, None, "websocket.rsv == 4") if options["deflate"] else 0
        lab.check(case, (compressed > 0) == options["deflate"], f"{options}: {compressed} frames are compressed")
        lab.check(case, [len(m) for m in client] == sent["client"] and [len(m) for m in server] == sent["server"],
                  f"{options}: sent were {sent}, tshark's stream holds {[len(m) for m in client]} and {[len(m) for m in server]}")
        rows = lab.vitrine_view(capture, None)
        lab.check(case, [(r["method"], r["path"], r["status"]) for r in rows] == [("GET", "/socket?x=1", 101)], f"vitrine reads {rows}")
        wanted = [hashlib.sha256(b"".join(side)).hexdigest() for side in (client, server)]
        lab.check(case, [(r["request"], r["response"]) for r in rows] == [tuple(wanted)], f"{options}: messages differ")
        print(f"{case}: {options}: {len(client)} and {len(server)} messages compared")
