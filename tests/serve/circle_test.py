"""The circle: real clients -> local model behind `vitrine serve --tap` -> `vitrine audit` of the log.

OpenAI's and Ollama's clients for Python and, where node has them, for JavaScript. What the audit reports must be what
these clients really sent, and nothing must have left.

circle_test.py PROGRAM BUILD_FOLDER
"""
import json
import os
import shutil
import subprocess
import sys

from server import Server, published, smollm2

PROGRAM, BUILD = sys.argv[1:3]
MODEL = smollm2(BUILD)
ollama, openai = published(BUILD, "ollama", "openai")
PEERS = os.path.join(BUILD, "peers")
KEY = "sk-test-0123456789abcdef0123456789abcdef"
NODE = """
import {createRequire} from "node:module";
const require = createRequire(process.argv[2] + "/");
const OpenAI = require("openai").default ?? require("openai");
const {Ollama} = require("ollama");
const url = process.argv[3];
const messages = [{role: "user", content: "Hello from node"}];
const openai = new OpenAI({baseURL: url + "/v1", apiKey: process.argv[4]});
for await (const event of await openai.chat.completions.create({model: "test-model", messages, max_tokens: 3, stream: true})) void event;
await new Ollama({host: url}).chat({model: "test-model", messages, options: {num_predict: 3}});
"""


def converse(server):
    messages = [{"role": "user", "content": "Hello from python"}]
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
    list(client.chat.completions.create(model="test-model", messages=messages, max_tokens=3, stream=True))
    ollama.Client(host=server.url).chat(model="test-model", messages=messages, options={"num_predict": 3})
    modules = os.path.join(PEERS, "node_modules")
    if shutil.which("node") and os.path.isdir(os.path.join(modules, "openai")) and os.path.isdir(os.path.join(modules, "ollama")):
        script = os.path.join(server.folder, "clients.mjs")
        with open(script, "w") as file:
            file.write(NODE)
        subprocess.run(["node", script, os.path.abspath(PEERS), server.url, KEY], check=True)
        return True
    return False


def audit(tap, *options):
    run = subprocess.run([PROGRAM, "audit", tap, "--json", "-", "--fail-on", "never", *options], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def main():
    with Server(PROGRAM, MODEL) as server:
        node = converse(server)
        tap = server.stop()
        assert os.stat(tap).st_mode & 0o777 == 0o600

        # Nothing leaves: every flow is to this machine, and the rule of no-egress met nothing.
        report = audit(tap, "--rules", "no-egress")
        assert report["rules"] is not None
        broken = [rule for rule in report["rules"] if rule.get("findings") or rule.get("evidence")]
        assert not broken, broken

        # One vendor's text: the same client against that vendor would send these.
        report = audit(tap, "--service", "deepseek", "--policy", "deepseek/2025-02-14", "--stand-in", "127.0.0.1")
        found = {finding.get("type") for finding in report["findings"]}
        for kind in ["device.user-agent", "device.os", "device.architecture", "content.prompt", "account.token"]:
            assert kind in found, (kind, sorted(filter(None, found)))
        text = json.dumps(report)
        assert "answered in the place of" in text or "limits.stand-in" in text
        assert KEY not in text, "a credential must not stand in a report"

        # Every header the clients sent is a field of the log.
        lines = subprocess.run([PROGRAM, "fields", "--sent", tap], capture_output=True, text=True, check=True).stdout
        fields = [json.loads(line) for line in lines.splitlines()]
        values = {(field["path"], field["value"]) for field in fields}
        paths = {path for path, _ in values}
        for header in ["lang", "package-version", "os", "arch", "runtime", "runtime-version", "retry-count"]:
            assert f"header:x-stainless-{header}" in paths, header
        agents = {value for path, value in values if path == "header:user-agent"}
        assert f"OpenAI/Python {openai.__version__}" in agents, agents
        assert any(agent.startswith("ollama-python/") for agent in agents), agents
        if node:
            assert any(agent.startswith("OpenAI/JS ") for agent in agents), agents
            assert any(agent.startswith("ollama-js/") for agent in agents), agents
        assert ("body|json/messages/0/content", "Hello from python") in values
        print(f"ok: {len(fields)} fields of {len(agents)} clients" + ("" if node else " (without those for JavaScript)"))


if __name__ == "__main__":
    main()
