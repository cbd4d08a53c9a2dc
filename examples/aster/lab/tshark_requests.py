#!/usr/bin/env python3
"""Lists the HTTP requests of a recording as tshark sees them: the reference vitrine is held to.

Reads the secrets embedded in the file. One line per request in order of its first header byte. For
each direction: content coding, size of the body on the wire (after chunked or DATA framing, before
content decoding) and SHA-256 of the body after content decoding. "-" is an empty body or no value.
Usage: tshark_requests.py FILE.pcapng
"""
import hashlib
import subprocess
import sys
import zlib
import xml.etree.ElementTree as ElementTree

COLUMNS = ["method", "scheme", "authority", "path", "status",
           "request_encoding", "request_wire_bytes", "request_sha256",
           "response_encoding", "response_wire_bytes", "response_sha256"]
ENCODED = "Content-encoded entity body"


class Exchange:
    def __init__(self, method, scheme, authority, path):
        self.method, self.scheme, self.authority, self.path = method, scheme, authority, path
        self.status = "-"
        self.encoding = {"request": "-", "response": "-"}
        self.body = {"request": b"", "response": b""}

    def row(self):
        cells = [self.method, self.scheme, self.authority, self.path, self.status]
        for side in ("request", "response"):
            body = self.body[side]
            content = decoded(body, self.encoding[side])
            cells += [self.encoding[side], str(len(body)), hashlib.sha256(content).hexdigest() if content else "-"]
        return cells


def decoded(data, coding):
    if coding in ("-", "identity") or not data:
        return data
    if coding == "gzip":
        return zlib.decompress(data, wbits=31)
    if coding == "br":
        return filtered(data, "node", "-e", "process.stdin.pipe(require('zlib').createBrotliDecompress()).pipe(process.stdout)")
    if coding == "zstd":
        return filtered(data, "zstd", "-dcq")
    raise SystemExit(f"a body has the content coding {coding!r}, which this list does not know")


def filtered(data, *command):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def shown(node, name):
    return [f.get("show", "") for f in node.iter("field") if f.get("name") == name]


def raw_body(node, name):
    """The body bytes of one message or DATA frame before content decoding."""
    for field in node.findall("field"):
        if field.get("show", "").startswith(ENCODED) or field.get("name") == name:
            return bytes.fromhex(field.get("value") or "")
    return b""


def reassembled(frame):
    for field in frame.iter("field"):
        if field.get("name") == "http2.body.reassembled.data":
            return bytes.fromhex(field.get("value"))
    return None


def headers_of(frame):
    pairs = []
    for field in frame.iter("field"):
        if field.get("name") == "http2.header":
            pairs.append((shown(field, "http2.header.name")[0], (shown(field, "http2.header.value") or [""])[0]))
    return pairs


class Reader:
    def __init__(self, server_ports=(80, 443)):
        self.server_ports = server_ports
        self.exchanges = []
        self.http2 = {}      # (tcp stream, stream id) -> Exchange
        self.http1 = {}      # tcp stream -> exchanges still without a response

    def packet(self, packet):
        protos = {}
        for proto in packet.findall("proto"):
            protos.setdefault(proto.get("name"), []).append(proto)
        if "tcp" not in protos:
            return
        tcp = protos["tcp"][0]
        stream = shown(tcp, "tcp.stream")[0]
        from_client = int(shown(tcp, "tcp.dstport")[0]) in self.server_ports
        scheme = "https" if "tls" in protos else "http"
        for proto in protos.get("http2", []):
            for frame in proto.iter("field"):
                if frame.get("name") == "http2.stream":
                    self.frame2(stream, frame, from_client)
        for proto in protos.get("http", []):
            self.message1(stream, proto, scheme)

    def frame2(self, stream, frame, from_client):
        key = (stream, (shown(frame, "http2.streamid") or [""])[0])
        side = "request" if from_client else "response"
        kind = (shown(frame, "http2.type") or [""])[0]
        if kind == "1":
            pairs = headers_of(frame)
            pseudo = dict(p for p in pairs if p[0].startswith(":"))
            if ":method" in pseudo:
                self.http2[key] = Exchange(pseudo[":method"], pseudo[":scheme"], pseudo[":authority"], pseudo[":path"])
                self.exchanges.append(self.http2[key])
            elif ":status" in pseudo and not pseudo[":status"].startswith("1"):
                self.http2[key].status = pseudo[":status"]
            for name, value in pairs:
                if name == "content-encoding":
                    self.http2[key].encoding[side] = value
        elif kind == "0":
            whole = reassembled(frame)      # on a stream's last frame: every frame's bytes again
            if whole is not None:
                self.http2[key].body[side] = whole
            else:
                self.http2[key].body[side] += raw_body(frame, "http2.data.data")

    def message1(self, stream, proto, scheme):
        method = shown(proto, "http.request.method")
        status = shown(proto, "http.response.code")
        coding = shown(proto, "http.content_encoding")
        body = raw_body(proto, "http.file_data")
        waiting = self.http1.setdefault(stream, [])
        if method:
            exchange = Exchange(method[0], scheme, shown(proto, "http.host")[0], shown(proto, "http.request.uri")[0])
            self.exchanges.append(exchange)
            waiting.append(exchange)
            self.fill(exchange, "request", coding, body)
        elif status and waiting and status[0] != "100":
            exchange = waiting.pop(0)
            exchange.status = status[0]
            self.fill(exchange, "response", coding, body)

    @staticmethod
    def fill(exchange, side, coding, body):
        exchange.body[side] = body
        if coding:
            exchange.encoding[side] = coding[0]


def main():
    command = ["tshark", "-r", sys.argv[1], "-n", "-T", "pdml", "-Y", "http or http2",
               "-o", "http.decompress_body:FALSE"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tshark:
        reader = Reader()
        for _, node in ElementTree.iterparse(tshark.stdout):
            if node.tag == "packet":
                reader.packet(node)
                node.clear()
    if tshark.returncode != 0:
        raise SystemExit("tshark could not read the recording")
    print("# SIMULATED: requests as tshark decrypts them from the same file; columns are described in lab/tshark_requests.py")
    print("\t".join(COLUMNS))
    for exchange in reader.exchanges:
        print("\t".join(exchange.row()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
