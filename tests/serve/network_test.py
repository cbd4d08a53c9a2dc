"""`vitrine serve` and the network: what it asks before others may reach it, TLS, keys read again, padded streams, and a
whole chat in a network namespace of its own, where there is nothing but loopback.

network_test.py PROGRAM BUILD_FOLDER MAKE_MODEL [--nothing-leaves: the system calls and the namespace alone]
"""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from server import Server, certificate, connect, skip, tiny_model

PROGRAM, BUILD, MAKE_MODEL = sys.argv[1:4]
RECORD = 1024
FIRST, SECOND = "first-key-0123456789", "second-key-0123456789"


def test_exposure(model, cert, key, keys):
    """Beyond loopback it asks for keys and TLS, or to be told that it need not."""
    for listen in ["0.0.0.0:0", "[::]:0"]:
        for more, missing in [([], "--api-keys"), (["--api-keys", keys], "--tls-cert"), (["--tls-cert", cert, "--tls-key", key], "--api-keys")]:
            run = subprocess.run([PROGRAM, "serve", "-m", model, "--listen", listen, *more], capture_output=True, text=True, timeout=60)
            assert run.returncode == 2 and missing in run.stderr, (listen, more, run)
    with Server(PROGRAM, model, "--listen", "0.0.0.0:0", "--insecure", tap=False) as server:
        assert ask(server, "/healthz")[0] == 200
        server.stop()


def ask(server, path, key=None, context=None, body=None):
    connection = connect(server.port, context)
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + key} if key else {})
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def test_tls_and_keys(model, cert, key, keys):
    context = ssl.create_default_context(cafile=cert)
    with open(keys, "w") as file:
        file.write(f"alice {FIRST}\n")
    with Server(PROGRAM, model, "--tls-cert", cert, "--tls-key", key, "--api-keys", keys) as server:
        for given, status in [(None, 401), (SECOND, 401), (FIRST, 200)]:
            assert ask(server, "/v1/models", given, context)[0] == status, given
        assert ask(server, "/healthz", None, context)[0] == 200
        with open(keys, "w") as file:
            file.write(f"bob {SECOND}\n")
        server.process.send_signal(signal.SIGHUP)
        for _ in range(100):
            if ask(server, "/v1/models", SECOND, context)[0] == 200:
                break
            time.sleep(0.05)
        assert ask(server, "/v1/models", FIRST, context)[0] == 401
        with open(keys, "w") as file:
            file.write("short\n")  # what cannot be read changes nothing
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert ask(server, "/v1/models", SECOND, context)[0] == 200
        # In the clear there is no answer.
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert not plain.recv(1000).startswith(b"HTTP/1.1 200")
        body = {"model": server.name, "prompt": "a b c", "max_tokens": 5, "stream": True}
        status, text = ask(server, "/v1/completions", SECOND, context, body)
        assert status == 200 and text.endswith(b"data: [DONE]\n\n"), text[-100:]
        for secret in (FIRST, SECOND):
            assert secret not in server.text(), "a key in the log"
        assert "a b c" not in server.text(), "a prompt in the log"
        server.stop()


def chunks(server, body):
    """The sizes of the pieces of a chunked answer, as they were written, and the answer."""
    raw = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        path = "/api/generate" if "options" in body else "/v1/completions"
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    head, rest = answer.split(b"\r\n\r\n", 1)
    sizes, text = [], b""
    while True:
        size, rest = rest.split(b"\r\n", 1)
        if int(size, 16) == 0:
            return sizes, text
        sizes.append(int(size, 16))
        text += rest[: sizes[-1]]
        rest = rest[sizes[-1] + 2:]


def test_padding(model):
    """Padded, every piece has one size, and the answer reads as without."""
    openai = {"model": "test-model", "prompt": "a b c", "max_tokens": 20, "temperature": 0, "stream": True}
    ollama = {"model": "test-model", "prompt": "a b c", "raw": True, "stream": True, "options": {"temperature": 0, "num_predict": 20}}
    texts = {}
    for mode in ("off", "on"):
        with Server(PROGRAM, model, "--padding", mode, tap=False) as server:
            sizes, text = chunks(server, openai)
            events = [json.loads(line[6:]) for line in text.decode().split("\n") if line.startswith("data: {")]
            more_sizes, lines = chunks(server, ollama)
            texts[mode] = "".join(e["choices"][0]["text"] for e in events), "".join(
                json.loads(line)["response"] for line in lines.decode().split("\n") if line.strip())
            sizes += more_sizes
            assert len(sizes) > 20
            assert (set(sizes) == {RECORD}) == (mode == "on"), sizes
            server.stop()
    assert texts["on"] == texts["off"], texts


def test_system_calls(model):
    """What the kernel is asked for during a chat: strace lists it."""
    with Server(PROGRAM, model) as server:
        trace = os.path.join(server.folder, "trace")
        watcher = subprocess.Popen(["strace", "-f", "-q", "-o", trace, "-e", "trace=%network,%process,io_uring_setup", "-p",
                                    str(server.process.pid)], stderr=subprocess.PIPE)
        for _ in range(200):  # until it sees what we ask
            assert ask(server, "/healthz")[0] == 200
            if os.path.exists(trace) and "accept" in open(trace).read():
                break
            time.sleep(0.05)
        body = {"model": server.name, "prompt": "a b c", "max_tokens": 9, "stream": True}
        assert ask(server, "/v1/completions", None, None, body)[0] == 200
        server.stop()
        watcher.wait(timeout=30)
        calls = [line.split(None, 1)[1] for line in open(trace) if "(" in line]
        names = {call.split("(")[0] for call in calls}
        assert names & {"accept", "accept4"} and names & {"sendmsg", "sendto", "recvmsg", "recvfrom"}, names
        assert not names & {"socket", "socketpair", "connect", "bind", "execve", "fork", "vfork", "io_uring_setup"}, names
        addressed = [call for call in calls if call.startswith(("sendto", "sendmsg")) and ("sin_port" in call or "sin6_port" in call)]
        assert not addressed, addressed


def test_namespace(model):
    """A whole chat where no way out exists: nothing is missed."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "network_test.py")
    run = subprocess.run(["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, script, PROGRAM, BUILD,
                          MAKE_MODEL, "--inside", model], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and "chatted" in run.stdout, run


def inside(model):
    with Server(PROGRAM, model) as server:
        body = {"model": server.name, "prompt": "a b c", "max_tokens": 9, "stream": True}
        status, text = ask(server, "/v1/completions", None, None, body)
        assert status == 200 and text.endswith(b"data: [DONE]\n\n")
        # Whatever this process has open is its listener, its log, its model; no socket is connected to anywhere else.
        with open("/proc/net/tcp") as table:
            remote = {line.split()[2] for line in table.readlines()[1:]}
        assert all(address.startswith(("0100007F:", "00000000:")) for address in remote), remote
        server.stop()
    print("chatted")


def main():
    if "--inside" in sys.argv:
        return inside(sys.argv[-1])
    if "--nothing-leaves" in sys.argv:
        for tool in ("strace", "unshare", "ip"):
            if not shutil.which(tool):
                skip(f"{tool} is not installed (./dev setup --tests)")
        if os.geteuid() != 0:
            skip("a network namespace needs root")
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(MAKE_MODEL, folder)
        if "--nothing-leaves" in sys.argv:
            test_system_calls(model)
            print("ok test_system_calls", flush=True)
            test_namespace(model)
            print("ok test_namespace", flush=True)
            return
        cert, key = certificate(folder)
        keys = os.path.join(folder, "keys")
        with open(keys, "w") as file:
            file.write(f"alice {FIRST}\n")
        test_exposure(model, cert, key, keys)
        print("ok test_exposure", flush=True)
        test_tls_and_keys(model, cert, key, keys)
        print("ok test_tls_and_keys", flush=True)
        test_padding(model)
        print("ok test_padding", flush=True)


if __name__ == "__main__":
    main()
