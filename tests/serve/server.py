"""A `vitrine serve` of its own for a test: a free port, a tap in a temporary folder, stopped at the end."""
import http.client
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(77)


def smollm2(build):
    """The real chat model; the test is skipped without it."""
    path = os.path.join(build, "models", "SmolLM2-135M-Instruct.gguf")
    if not os.path.exists(path):
        skip(f"{path} is not there: ./dev model smollm2")
    return path


def published(build, *names):
    """The modules of the clients (PyPI) that `./dev setup --tests` installs; the test is skipped without them."""
    sys.path.insert(0, os.path.join(build, "peers", "python"))
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        skip(f"{error}: ./dev setup --tests installs the clients")


def tiny_model(make_model, folder):
    """Random weights: it answers at once, and means nothing."""
    model = os.path.join(folder, "tiny.gguf")
    subprocess.run([make_model, "-o", model, "--model", "smollm2-135m", "--layers", "2", "--embedding", "64", "--heads", "3",
                    "--ffn", "128", "--vocabulary", "512", "--type", "f32"], check=True, stdout=subprocess.DEVNULL)
    return model


def certificate(folder):
    """Self-signed, for localhost: its PEM file and its key's."""
    paths = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", paths[0], "-keyout", paths[1]],
                   check=True, capture_output=True)
    return paths


def connect(port, context=None):
    """To this machine; with TLS it asks for localhost, the certificate's name, which no resolver has to know."""
    connection = http.client.HTTPConnection("localhost", port, timeout=60)
    connection.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    if context:
        connection.sock = context.wrap_socket(connection.sock, server_hostname="localhost")
    return connection


class Server:
    def __init__(self, program, model, *options, tap=True, name="test-model"):
        self.folder = tempfile.mkdtemp(prefix="vitrine-serve-")
        self.tap = os.path.join(self.folder, "tap.ndjson")
        self.name = name
        command = self.command(program, model, options)
        if tap:
            command += ["--tap", self.tap]
        self.log = open(os.path.join(self.folder, "log"), "w+b")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.port = self.wait()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self, program, model, options):
        listen = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
        return [program, "serve", "-m", model, *listen, "--name", self.name, *options]

    def text(self):
        self.log.flush()
        with open(self.log.name, "rb") as file:
            return file.read().decode(errors="replace")

    def wait(self):
        for _ in range(1200):
            found = re.search(r"https?://\S+?:(\d+)\s", self.text())
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit("the server did not start: " + self.text())

    def stop(self):
        """Ends it as systemd would; its exit code must be 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        assert code == 0, f"exit code {code}: {self.text()}"
        return self.tap

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Gateway(Server):
    """In front of another server."""

    def __init__(self, program, upstream, *options):
        self.upstream = upstream
        super().__init__(program, "", *options)

    def command(self, program, model, options):
        return [program, "serve", "--upstream", self.upstream, "--listen", "127.0.0.1:0", *options]
