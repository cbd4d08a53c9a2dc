"""`vitrine serve --tap` and its log: the program at a client's end, TLS as a passive reader sees it, a full disk, rotation.

tap_test.py PROGRAM BUILD_FOLDER MAKE_MODEL [--full-disk: that alone, on a file system of its own]
"""
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

from server import Server, certificate, connect, skip, tiny_model

PROGRAM, BUILD, MAKE_MODEL = sys.argv[1:4]


def ask(server, path="/v1/models", body=None, context=None):
    connection = connect(server.port, context)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text, answer


def complete(server, **more):
    return ask(server, "/v1/completions", {"model": server.name, "prompt": "a b c", "max_tokens": 3} | more)


def fields(path, *options):
    lines = subprocess.run([PROGRAM, "fields", *options, path], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def until(condition, seconds=30):
    for _ in range(seconds * 20):
        if condition():
            return True
        time.sleep(0.05)
    return False


# ---- whose connection it is

def program_of_this_process():
    with open("/proc/self/comm") as file:
        return file.read().strip()


def test_programs(model):
    """The log names the program that holds the client's end; a client of several connections, and many at once."""
    own = program_of_this_process()
    curl = shutil.which("curl")
    with Server(PROGRAM, model) as server:
        threads = [threading.Thread(target=complete, args=(server,)) for _ in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        if curl:
            subprocess.run([curl, "-s", "-o", os.devnull, server.url + "/v1/models?by=curl"], check=True)
        tap = server.stop()
        with open(tap) as file:
            connections = [line for line in map(json.loads, file) if line["type"] == "connection"]
        names = [connection.get("process") for connection in connections]
        assert names == [own] * 20 + (["curl"] if curl else []), names
        sent = fields(tap, "--sent")
        assert {field["client"].get("process") for field in sent} == set(names)
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        return
    # A listener for both: an IPv4 client is one, not an IPv6 client with a strange address.
    with Server(PROGRAM, model, "--listen", "[::]:0", "--insecure") as server:
        assert ask(server)[0] == 200
        sent = fields(server.stop(), "--sent")
        assert {(field["client"]["ip"], field["client"].get("process")) for field in sent} == {("127.0.0.1", own)}, sent[0]


# ---- what the handshake showed

class Relay:
    """Between one client and the server: what a wire would have carried, as a capture file."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = ("127.0.0.1", port)
        self.segments = []  # (from the client, bytes), in order
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(self.server)
        pumps = [threading.Thread(target=self.pump, args=pair) for pair in [(client, server, True), (server, client, False)]]
        [pump.start() for pump in pumps]
        [pump.join() for pump in pumps]

    def pump(self, source, target, from_client):
        try:
            while piece := source.recv(1400):
                self.segments.append((from_client, piece))
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def capture(self, path):
        self.thread.join()
        sequence = {True: 1000, False: 5000}
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))  # pcap, raw IP
            def packet(from_client, flags, payload=b""):
                ports = (51000, self.server[1]) if from_client else (self.server[1], 51000)
                tcp = struct.pack(">HHIIBBHHH", *ports, sequence[from_client], sequence[not from_client], 0x50, flags, 65535, 0, 0)
                address = socket.inet_aton("127.0.0.1")
                ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 0, 0, 64, 6, 0, address, address)
                file.write(struct.pack("<IIII", 1800000000, 0, 40 + len(payload), 40 + len(payload)) + ip + tcp + payload)
                sequence[from_client] += len(payload) + (1 if flags & 3 else 0)
            packet(True, 0x02)
            packet(False, 0x12)
            for from_client, payload in self.segments:
                packet(from_client, 0x18, payload)
            packet(True, 0x11)
            packet(False, 0x11)


def test_tls(model, cert, key):
    """Version, cipher, SNI, ALPN, JA3, JA4: the same as `vitrine fields` reads from the packets of the same connection."""
    for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
        with Server(PROGRAM, model, "--tls-cert", cert, "--tls-key", key) as server:
            relay = Relay(server.port)
            keys = os.path.join(server.folder, "keys.log")
            context = ssl.create_default_context(cafile=cert)
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"])
            context.keylog_filename = keys
            connection = connect(relay.port, context)
            connection.request("GET", "/v1/models", headers={"Host": "localhost"})
            assert connection.getresponse().read()
            connection.close()
            tap = server.stop()
            capture = os.path.join(server.folder, "wire.pcap")
            relay.capture(capture)
            def shown(path, *options):
                return sorted((field["path"], field["value"]) for field in fields(path, *options) if field["path"].startswith("tls:"))
            from_wire, from_tap = shown(capture, "--keylog", keys), shown(tap)
            assert from_wire == from_tap, set(from_wire) ^ set(from_tap)
            names = {path for path, _ in from_tap}
            assert {"tls:sni", "tls:ja3", "tls:ja4"} <= names, names
            assert ("tls:sni", "localhost") in from_tap
            with open(tap) as file:
                (opened,) = [line for line in map(json.loads, file) if line["type"] == "connection"]
            tls = opened["tls"]
            assert tls["version"] == (771 if version == ssl.TLSVersion.TLSv1_2 else 772), tls
            assert tls["cipher"].startswith("TLS_") and tls["alpn"] == "http/1.1" and tls["certificate_names"] == ["localhost"], tls
            assert tls["client_hello_seen"] and tls["server_hello_seen"] and tls["decrypted"], tls


# ---- a disk that is full

def refused_while_full(server, fill, free):
    assert complete(server)[0] == 200 and ask(server, "/healthz")[0] == 200
    fill()
    # The request that meets the full disk may still be answered; none after it is.
    assert until(lambda: complete(server)[0] == 503), server.text()
    for path in ["/v1/models", "/api/tags", "/api/version", "/", "/nothing/here"]:
        status, body, answer = ask(server, path)
        assert status == 503 and answer.getheader("Retry-After") == "1", (path, status)
        assert "unrecorded" in body.decode(), body
    status, body, _ = ask(server, "/healthz")
    assert status == 503 and json.loads(body)["status"] == "failed", body
    status, metrics, _ = ask(server, "/metrics")
    assert status == 200 and b"\nvitrine_tap_failing 1\n" in metrics, metrics
    free()
    assert until(lambda: complete(server, prompt="again")[0] == 200)
    assert ask(server, "/healthz")[0] == 200
    assert "writes again" in server.text(), server.text()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 3, server.text()  # the log is not complete, and it says so
    assert "not complete" in server.text()
    # Whole lines only, and a reader is told what is missing.
    with open(server.tap) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    assert any(line["type"] == "issue" and "could not be written" in line["what"] for line in lines)
    assert any("again" in line.get("content", "") for line in lines if line["type"] == "part")


def test_size_limit(model):
    """RLIMIT_FSIZE: no file may grow, that of standard error included."""
    with Server(PROGRAM, model) as server:
        unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        def fill():
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (os.path.getsize(server.log.name), unlimited[1]))
        refused_while_full(server, fill, lambda: resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited))


class SmallDiskServer(Server):
    """Its log is on a file system of its own: 1 MiB, mounted where only this test sees it."""

    def command(self, program, model, options):
        self.disk = os.path.join(self.folder, "disk")
        os.mkdir(self.disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", self.disk], check=True)
        self.tap = os.path.join(self.disk, "tap.ndjson")
        return super().command(program, model, options)

    def __exit__(self, *_):
        super().__exit__()
        subprocess.run(["umount", "-l", self.disk], check=True)


def test_full_disk(model):
    with SmallDiskServer(PROGRAM, model) as server:
        ballast = os.path.join(server.disk, "ballast")
        def fill():
            with open(ballast, "wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
        refused_while_full(server, fill, lambda: os.unlink(ballast))
        assert "No space left on device" in server.text()


# ---- rotation

def test_rotation(model):
    """What logrotate does: rename, then SIGHUP. Each request is whole in one of the two files."""
    with Server(PROGRAM, model) as server:
        assert complete(server, prompt="before")[0] == 200
        body = json.dumps({"model": server.name, "prompt": "across", "max_tokens": 2}).encode()
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:20])
        old = server.tap + ".1"
        def opened(path):
            with open(path) as file:
                return sum(json.loads(line)["type"] == "open" for line in file if line.endswith("\n"))
        assert until(lambda: opened(server.tap) == 2)
        os.rename(server.tap, old)
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: os.path.exists(server.tap)), server.text()
        assert os.stat(server.tap).st_mode & 0o777 == 0o600
        assert complete(server, prompt="after")[0] == 200
        slow.sendall(body[20:])
        assert slow.recv(1000).startswith(b"HTTP/1.1 200"), server.text()
        slow.close()
        # The old file is closed in good order once its last exchange has ended.
        assert until(lambda: '"type":"end"' in open(old).read())
        # With nothing to rotate, SIGHUP changes nothing.
        number = os.stat(server.tap).st_ino
        server.process.send_signal(signal.SIGHUP)
        assert complete(server, prompt="later")[0] == 200
        server.stop()
        assert os.stat(server.tap).st_ino == number
        prompts = lambda path: [field["value"] for field in fields(path, "--sent") if field["path"] == "body|json/prompt"]
        assert prompts(old) == ["before", "across"] and prompts(server.tap) == ["after", "later"], (prompts(old), prompts(server.tap))
        for path in [old, server.tap]:
            run = subprocess.run([PROGRAM, "audit", path, "--rules", "no-egress"], capture_output=True, text=True)
            assert run.returncode == 0 and "warning" not in run.stderr, (path, run)


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(MAKE_MODEL, folder)
        if "--full-disk" in sys.argv:
            if "--mounting" not in sys.argv:
                if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
                    skip("no mounts of its own are to be had here")
                return subprocess.run(["unshare", "-m", sys.executable, *sys.argv, "--mounting"], check=True)
            tests = [(test_full_disk, ())]
        else:
            tests = [(test_programs, ()), (test_tls, certificate(folder)), (test_size_limit, ()), (test_rotation, ())]
        for test, arguments in tests:
            test(model, *arguments)
            print("ok", test.__name__, flush=True)


if __name__ == "__main__":
    main()
