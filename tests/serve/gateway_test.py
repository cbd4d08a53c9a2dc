"""`vitrine serve --upstream` in front of a real second engine (llama.cpp from npm): answers, keys, leaving, a dead upstream.

gateway_test.py PROGRAM BUILD_FOLDER
"""
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

from server import Gateway, published, skip, smollm2

PROGRAM, BUILD = sys.argv[1:3]
MODEL = smollm2(BUILD)
(openai,) = published(BUILD, "openai")
PEERS = os.path.join(BUILD, "peers")
if shutil.which("node") is None or not os.path.isdir(os.path.join(PEERS, "node_modules", "node-llama-cpp")):
    skip("node-llama-cpp is not there: ./dev setup --tests installs it")

ASK = [{"role": "user", "content": "Name three colours."}]


class Upstream:
    def __enter__(self):
        script = os.path.join(os.path.dirname(__file__), "..", "peers", "llama_server.mjs")
        self.process = subprocess.Popen(["node", script, PEERS, MODEL, "2", "2"], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("port "), line
        self.port = int(line.split()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def exchanges(tap):
    out = subprocess.run([PROGRAM, "fields", "--sent", tap], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def test_answers(upstream):
    with Gateway(PROGRAM, upstream.url) as gateway:
        direct = openai.OpenAI(base_url=f"http://127.0.0.1:{upstream.port}/v1", api_key="x", max_retries=0)
        through = openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0)
        ask = {"model": "llama.cpp", "messages": ASK, "max_tokens": 12}
        whole = direct.chat.completions.create(**ask).choices[0].message.content
        assert through.chat.completions.create(**ask).choices[0].message.content == whole
        pieces = [e.choices[0].delta.content for e in through.chat.completions.create(stream=True, **ask) if e.choices[0].delta.content]
        assert "".join(pieces) == whole and len(pieces) > 2, pieces
        assert [model.id for model in through.models.list()] == ["llama.cpp"]
        # Only what it must: this process is locked, and its one connecting process has no listener or file of ours.
        with open(f"/proc/{gateway.process.pid}/status") as status:
            assert "\nSeccomp:\t2\n" in status.read()
        tap = gateway.stop()
        sent = exchanges(tap)
        paths = {(field["path"], field["value"]) for field in sent}
        assert ("body|json/messages/0/content", "Name three colours.") in paths
        assert any(path == "header:x-stainless-lang" for path, _ in paths)


def test_leaving(upstream):
    """The client goes away: the connection to the engine behind is closed too."""
    with Gateway(PROGRAM, upstream.url) as gateway:
        client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0)
        stream = client.chat.completions.create(model="llama.cpp", messages=ASK, max_tokens=900, stream=True, extra_body={"ignore_end": True})
        next(iter(stream))
        stream.close()
        for _ in range(100):
            with open("/proc/net/tcp") as table:
                established = [line.split() for line in table if f":{upstream.port:04X}" in line.split()[2] and line.split()[3] == "01"]
            if not established:
                return
            time.sleep(0.05)
        raise AssertionError(established)


def test_keys(upstream):
    keys = os.path.join("/tmp", f"vitrine-keys-{os.getpid()}")
    with open(keys, "w") as file:
        file.write("alice 0123456789abcdef-alice\n")
    try:
        with Gateway(PROGRAM, upstream.url, "--api-keys", keys) as gateway:
            for key, status in [(None, 401), ("wrong-key-wrong-key", 401), ("0123456789abcdef-alice", 200)]:
                request = urllib.request.Request(gateway.url + "/v1/models", headers={"Authorization": f"Bearer {key}"} if key else {})
                try:
                    with urllib.request.urlopen(request) as answer:
                        got = answer.status
                except urllib.error.HTTPError as error:
                    got = error.code
                assert got == status, (key, got)
            gateway.stop()
    finally:
        os.unlink(keys)


def test_dead_upstream():
    with Gateway(PROGRAM, "http://127.0.0.1:9") as gateway:  # discard: nobody listens
        try:
            urllib.request.urlopen(gateway.url + "/v1/models")
            raise AssertionError("an answer from nowhere")
        except urllib.error.HTTPError as error:
            assert error.code == 502, error.code
            assert "engine behind" in json.load(error)["error"]["message"]
        gateway.stop()


def main():
    test_dead_upstream()
    print("ok test_dead_upstream", flush=True)
    with Upstream() as upstream:
        for test in [test_answers, test_leaving, test_keys]:
            test(upstream)
            print("ok", test.__name__, flush=True)


if __name__ == "__main__":
    main()
