"""`vitrine serve` under hostile and careless clients: each gets a clear answer, others are unharmed, memory stays flat.

faults_test.py PROGRAM BUILD_FOLDER MAKE_MODEL [REQUESTS: 0 for an instrumented program, whose memory says nothing]
"""
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from server import Server, tiny_model

PROGRAM, BUILD, MAKE_MODEL = sys.argv[1:4]
REQUESTS = int(sys.argv[4]) if len(sys.argv) > 4 else 4000


def ask(server, body, path="/v1/completions", method="POST", timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request(method, path, body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode(),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def complete(server, **more):
    return ask(server, {"model": server.name, "prompt": "a b c", "max_tokens": 3, "temperature": 0} | more)


def resident(server):
    if REQUESTS == 0:
        return 0
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def well(server, expected):
    status, body = complete(server)
    assert status == 200 and json.loads(body)["choices"][0]["text"] == expected, (status, body)


def test_refusals(server, expected):
    big = 10**9
    for name in ["temperature", "top_p", "min_p", "n", "presence_penalty", "frequency_penalty", "repetition_penalty", "logprobs", "best_of"]:
        status, body = complete(server, **{name: big})
        assert status == 400 and name in body.decode(), (name, status, body)
    status, body = complete(server, max_tokens=big, top_k=big, seed=big)
    assert status == 200, body
    broken = b'{"model":"test-model","prompt":"\xff\xfe\xc3(\xed\xa0\x80","max_tokens":3,"temperature":0}'
    status, body = ask(server, broken)
    assert status == 200, (status, body)
    json.loads(body.decode())  # valid UTF-8 comes back
    for body in [b"", b"{", b"[" * 100000, b'{"a":' * 100000, b"null", b'"x"', b'{"model": 1}', b"\xff\xff", b'{"prompt": "\\ud800"']:
        status, text = ask(server, body)
        assert status in (400, 404), (body[:20], status, text)
    well(server, expected)


def test_large(server, expected):
    before = resident(server)
    status, body = ask(server, {"model": server.name, "prompt": "x " * (4 << 20), "max_tokens": 1})  # 8 MiB
    assert status == 400 and "context" in body.decode(), (status, body[:200])
    # 100 MB: refused by its length, before it is read.
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413")
    well(server, expected)
    assert resident(server) - before < 400 << 20, resident(server) - before


def test_schema_bombs(server, expected):
    bombs = [{"$ref": "#"}, {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
             {"anyOf": [{"type": "object", "properties": {str(i): {"$ref": "#"} for i in range(200)}}] * 50},
             {"type": "string", "pattern": "(a{1,1000}){1,1000}"}, {"type": "string", "pattern": "(((((a*)*)*)*)*)*b"},
             {"enum": ["x" * 1000 + str(i) for i in range(5000)]}]
    nested = {}
    for _ in range(60):
        nested = {"allOf": [nested, nested]} if len(json.dumps(nested)) < 200000 else {"not": nested}
    for schema in [*bombs, nested]:
        begin = time.monotonic()
        status, body = complete(server, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
        assert status in (200, 400), (status, body[:300])
        assert time.monotonic() - begin < 30, json.dumps(schema)[:80]
    well(server, expected)


def test_idle_connections(server, expected):
    before = resident(server)
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1000)]
    well(server, expected)
    assert resident(server) - before < 64 << 20, resident(server) - before
    [client.close() for client in idle]


def test_vanishing(server, expected):
    """Clients that send half a request or leave in the middle of a stream."""
    body = json.dumps({"model": server.name, "prompt": "a b c", "max_tokens": 500, "temperature": 0, "stream": True, "n": 2}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for i in range(60):
        client = socket.create_connection(("127.0.0.1", server.port))
        if i % 3 == 0:
            client.sendall((head + body)[: 20 + 3 * i])
        else:
            client.sendall(head + body)
            if i % 3 == 1:
                client.recv(300)
        if i % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # a reset
        client.close()
    for _ in range(200):
        status, text = ask(server, None, "/metrics", "GET")
        values = dict(line.split() for line in text.decode().splitlines() if not line.startswith("#"))
        if float(values["vitrine_sequences_running"]) == 0 and float(values["vitrine_connections_open"]) <= 1:
            break
        time.sleep(0.05)
    else:
        raise AssertionError(text)
    well(server, expected)


def test_slow_reader(server, expected):
    """One that does not read is held; the others get their answers; then it gets its own, whole."""
    body = json.dumps({"model": server.name, "prompt": "a b c", "max_tokens": 900, "temperature": 0, "stream": True, "n": 8,
                       "logprobs": 5}).encode()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    time.sleep(0.5)
    before = resident(server)
    well(server, expected)
    time.sleep(1)
    assert resident(server) - before < 32 << 20
    whole = b""
    while piece := client.recv(1 << 16):
        whole += piece
    assert b"[DONE]" in whole
    client.close()


def test_malformed_http(server, expected):
    for text in [b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\x05hello",
                 b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n", b"A" * 100000 + b"\r\n\r\n"]:
        with socket.create_connection(("127.0.0.1", server.port), timeout=40) as client:
            try:
                client.sendall(text)
            except OSError:
                pass
            client.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while piece := client.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
            assert answer == b"" or answer.split()[1][:1] in (b"4", b"5"), (text[:40], answer[:100])
    well(server, expected)


def test_memory(server, expected):
    """Many requests, answered, refused and broken off: memory and descriptors are what they were."""
    def some(count, failures):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for i in range(count):
            body = {"model": server.name if i % 7 else "nope", "prompt": f"a b {i % 50}", "max_tokens": 1 + i % 3, "stream": i % 2 == 0}
            if i % 11 == 0:
                body["response_format"] = {"type": "json_schema", "json_schema": {"name": "s", "schema": {
                    "type": "object", "properties": {f"p{i}": {"type": "integer"}}}}}
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 400, 404):
                failures.append(answer.status)
        connection.close()
    failures = []
    def round_(count):
        threads = [threading.Thread(target=some, args=(count // 4, failures)) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return resident(server)
    warm = round_(max(REQUESTS // 4, 400))
    open_before = descriptors(server)
    after = round_(REQUESTS)
    assert not failures, failures[:5]
    print(f"  resident {warm >> 20} MiB, after {REQUESTS} requests more {after >> 20} MiB")
    assert after - warm < max(24 << 20, warm // 10), (warm, after)
    assert abs(descriptors(server) - open_before) <= 4
    well(server, expected)


def test_config(model, folder):
    """Options from a file; those of the command line win, unknown ones are refused by name."""
    path = os.path.join(folder, "serve.toml")
    with open(path, "w") as file:
        file.write('name = "from-file"\ncontext = 300\nalias = ["one", "two"]\nsequences = 2\n')
    with Server(PROGRAM, model, "--config", path) as server:
        status, body = ask(server, None, "/v1/models", "GET")
        (found,) = json.loads(body)["data"]
        assert found["id"] == server.name and found["max_model_len"] == 300, body
        assert ask(server, None, "/v1/models/two", "GET")[0] == 200
        server.stop()
    with open(path, "w") as file:
        file.write("contxt = 300\n")
    refused = subprocess.run([PROGRAM, "serve", "-m", model, "--config", path], capture_output=True, text=True)
    assert refused.returncode == 2 and "contxt" in refused.stderr, refused


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(MAKE_MODEL, folder)
        with Server(PROGRAM, model, "--context", "1024", "--sequences", "8") as server:
            expected = json.loads(complete(server)[1])["choices"][0]["text"]
            for test in [test_refusals, test_large, test_schema_bombs, test_idle_connections, test_vanishing, test_slow_reader,
                         test_malformed_http, test_memory]:
                test(server, expected)
                print("ok", test.__name__, flush=True)
            server.stop()
        test_config(model, folder)
        print("ok test_config")


if __name__ == "__main__":
    main()
