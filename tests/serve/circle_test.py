"""The circle: real clients -> local model behind `vitrine serve --tap` -> `vitrine audit` of the log.

OpenAI's and Ollama's clients for Python and for JavaScript, and the page in headless Chromium, against one server, by
the three commands of the README. Each client says itself what it put on the wire; the log must hold exactly that, and the
audit must report it: none of it left, and one vendor's text is held against it.

circle_test.py PROGRAM BUILD_FOLDER
"""
import json
import os
import re
import shlex
import subprocess
import sys

from browser import HERE, Browser
from server import Server, published, skip, smollm2

PROGRAM, BUILD = sys.argv[1:3]
MODEL = smollm2(BUILD)
ollama, openai = published(BUILD, "ollama", "openai")
PEERS = os.path.abspath(os.path.join(BUILD, "peers"))
KEY = "sk-test-0123456789abcdef0123456789abcdef"
PROMPTS = {"python": "Hello from Python", "node": "Hello from node", "page": "Hello from the page"}
STAINLESS = ["lang", "package-version", "os", "arch", "runtime", "runtime-version", "retry-count"]


def readme_commands():
    """Serve, the page, the audit: as a reader would type them, without the comments."""
    with open(os.path.join(HERE, "../../README.md")) as file:
        section = file.read().split("## The same model for any client, behind glass")[1]
    block = section.split("```sh\n")[1].split("```")[0]
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert [command[:2] for command in commands] == [["build/release/vitrine", "serve"], ["xdg-open", "http://127.0.0.1:11434/"],
                                                     ["build/release/vitrine", "audit"]], commands
    return commands


class ReadmeServer(Server):
    """The README's first command, with a port, a model's name and a log of the test's own."""

    def command(self, program, model, options):
        own = {"build/release/vitrine": program, "build/models/SmolLM2-135M-Instruct.gguf": model, "tap.ndjson": self.tap}
        words = readme_commands()[0]
        assert words.pop() == "&" and set(own) <= set(words), words
        return [own.get(word, word) for word in words] + ["--listen", "127.0.0.1:0", "--name", self.name]


# ---- what the clients say they sent: {"method", "path", "headers": [(name, value)], "body"}

def from_python(server):
    sent = []

    def hook(request):
        headers = [(name.decode().lower(), value.decode()) for name, value in request.headers.raw]
        sent.append({"method": request.method, "path": request.url.raw_path.decode(), "headers": headers, "body": request.read().decode()})

    messages = [{"role": "user", "content": PROMPTS["python"]}]
    hooks = {"request": [hook]}
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0, http_client=openai.DefaultHttpxClient(event_hooks=hooks))
    list(client.chat.completions.create(model=server.name, messages=messages, max_tokens=3, stream=True))
    ollama.Client(host=server.url, event_hooks=hooks).chat(model=server.name, messages=messages, options={"num_predict": 3})
    return sent


def from_node(server):
    if not all(os.path.isdir(os.path.join(PEERS, "node_modules", name)) for name in ("openai", "ollama")):
        skip("the clients for node are not installed (./dev setup --tests)")
    out = subprocess.run(["node", os.path.join(HERE, "circle_clients.mjs"), PEERS, server.url, KEY, PROMPTS["node"]],
                         stdout=subprocess.PIPE, check=True, timeout=120)
    sent = []
    for request in json.loads(out.stdout)["requests"]:
        first, *lines = request["head"].strip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = [tuple(line.split(": ", 1)) for line in lines]
        sent.append({"method": method, "path": path, "headers": [(name.lower(), value) for name, value in headers], "body": None})
    return sent


def from_page(server, browser):
    told = browser.run("circle_browser.mjs", server.url + "/", PROMPTS["page"])
    assert told and told["answered"] and told["shown"], told
    assert told["wrong"] == [] and told["elsewhere"] == "0", told
    for request in told["requests"]:
        request["headers"] = [(header["name"].lower(), header["value"]) for header in request["headers"]]
    return told["requests"], told["page"]


# ---- what the log holds

def exchanges_of(tap):
    """Number of the exchange -> {"method", "path", "headers", "fields"}, as `vitrine fields --sent` lists them."""
    lines = subprocess.run([PROGRAM, "fields", "--sent", tap], capture_output=True, text=True, check=True).stdout
    out = {}
    for line in lines.splitlines():
        field = json.loads(line)
        exchange = field["origin"].split(":")[0]
        if exchange.endswith(".0"):
            continue  # the connection itself
        one = out.setdefault(exchange, {"headers": [], "fields": []})
        one["fields"].append(field)
        name, _, rest = field["path"].partition(":")
        if field["path"] == "path:method":
            one["method"] = field["value"]
        elif field["path"] == "path":
            one["path"] = field["value"]
        elif name == "header" and "|" not in rest:
            one["headers"].append((re.sub(r"\[\d+\]$", "", rest), field["value"]))
    return out


def same_as_sent(sent, exchanges):
    """Each request is one exchange of the log, header by header; the log has no other. -> their exchanges, in order.

    Content-Length is left out: undici writes it after it has told its headers."""
    def comparable(headers):
        return sorted((name, value) for name, value in headers if name != "content-length")

    left = dict(exchanges)
    found = []
    for request in sent:
        path = request["path"].split("?")[0]
        wanted = comparable(request["headers"])
        matching = [name for name, one in left.items() if one["method"] == request["method"] and one["path"] == path
                    and comparable(one["headers"]) == wanted]
        assert matching, (request, [one["headers"] for one in left.values() if one["path"] == path])
        found.append(left.pop(matching[0]))
    assert not left, left
    return found


def value_of(exchange, path):
    values = [field["value"] for field in exchange["fields"] if field["path"] == path]
    assert len(values) == 1, (path, values)
    return values[0]


# ---- what the audit reports

def audit(tap, code, *options):
    """The README's third command, on this log; its report, and what it prints."""
    words = [{"build/release/vitrine": PROGRAM, "tap.ndjson": tap}.get(word, word) for word in readme_commands()[2]]
    run = subprocess.run([*words, *options, "--json", tap + ".report.json"], capture_output=True, text=True)
    assert run.returncode == code, (run.returncode, run.stderr, run.stdout)
    with open(tap + ".report.json") as file:
        text = file.read()
    assert KEY not in text and KEY not in run.stdout, "a credential must not stand in a report"
    for prompt in PROMPTS.values():
        assert prompt not in text and prompt not in run.stdout, "nor what people wrote"
    return json.loads(text), run.stdout


def check_report(report, exchanges):
    """Every typed field of the log is counted, and what is shown as evidence is what the clients sent."""
    fields = [field for one in exchanges.values() for field in one["fields"]]
    by_origin = {field["origin"]: field for field in fields}
    typed = {}
    for field in fields:
        if field.get("type"):
            typed.setdefault(field["type"], []).append(field)
    flows = {flow["type"]: flow for flow in report["flows"] if flow["recipient"] == "127.0.0.1"}
    assert set(flows) == set(typed), set(flows) ^ set(typed)
    for kind, flow in flows.items():
        assert flow["count"] == len(typed[kind]), (kind, flow["count"], len(typed[kind]))
        assert flow["distinct_values"] == len({field["value"] for field in typed[kind]}), kind
        for evidence in flow["evidence"]:
            shown = by_origin[evidence["origin"]]
            assert shown["path"] == evidence["path"] and shown["type"] == kind, (shown, evidence)
    # Each is judged by the vendor's text, as what a client sent in the vendor's place.
    found = {finding["type"]: finding for finding in report["findings"] if finding["kind"] == "flow"}
    assert set(found) == set(typed), set(found) ^ set(typed)
    for kind in ["account.token", "app.sdk-version", "content.prompt", "device.architecture", "device.client-hints", "device.locale",
                 "device.os", "device.system-configuration", "device.user-agent", "identifier.session"]:
        assert kind in found, (kind, sorted(found))
    assert {policy["publisher"] for policy in report["policies"]} == {"deepseek"}, report["policies"]
    assert "limits.stand-in" in [limit["id"] for limit in report["limits"]]
    # Nothing left: the organisation's rule looked, and met nothing.
    rules = {rule["id"]: rule["status"] for rule in report["rules"]}
    assert rules["org-no-egress"] == "nothing-seen", rules
    assert not any(rule["hits"] for rule in report["rules"]), report["rules"]
    return typed, {kind: finding["verdict"] for kind, finding in found.items()}


def main():
    browser = Browser(BUILD)
    with ReadmeServer(PROGRAM, MODEL, tap=False) as server:
        python = from_python(server)
        node = from_node(server)
        page, page_id = from_page(server, browser)
        assert (len(python), len(node)) == (2, 2) and len(page) >= 6, (python, node, page)
        server.stop()
        tap = server.tap
        assert os.stat(tap).st_mode & 0o777 == 0o600

        exchanges = exchanges_of(tap)
        logged = same_as_sent(python + node + page, exchanges)
        report, printed = audit(tap, 0)
        typed, _ = check_report(report, exchanges)
        assert "No rule met relevant evidence" in printed and "User agent" in printed, printed
        # Against one text of the vendor's, whatever is in force on the day of the test.
        report, _ = audit(tap, 1, "--policy", "deepseek/2025-02-14")
        _, verdicts = check_report(report, exchanges)
        assert {verdicts[kind] for kind in ("account.token", "app.sdk-version")} == {"omitted"}, verdicts
        assert {verdicts[kind] for kind in ("content.prompt", "device.os", "device.locale")} == {"clear"}, verdicts
        assert verdicts["device.user-agent"] == "vague", verdicts

        # The five clients by name, and what only they send.
        openai_python, ollama_python, openai_js, ollama_js = logged[:4]
        agents = [value_of(one, "header:user-agent") for one in logged]
        assert agents[0] == f"OpenAI/Python {openai.__version__}" and agents[1].startswith("ollama-python/"), agents
        assert agents[2].startswith("OpenAI/JS ") and agents[3].startswith("ollama-js/"), agents
        assert all("HeadlessChrome/" in agent for agent in agents[4:]), agents
        assert {field["value"] for field in typed["device.user-agent"]} == set(agents) and len(set(agents)) == 5
        for client, language in [(openai_python, "python"), (openai_js, "js")]:
            for header in STAINLESS:
                assert value_of(client, f"header:x-stainless-{header}") != "", header
            assert value_of(client, "header:x-stainless-lang") == language
        versions = {field["value"] for field in typed["app.sdk-version"]}
        assert versions == {value_of(client, "header:x-stainless-package-version") for client in (openai_python, openai_js)}, versions
        prompts = {field["value"] for field in typed["content.prompt"]}
        assert prompts == set(PROMPTS.values()), prompts
        for client, prompt in [(openai_python, "python"), (ollama_python, "python"), (openai_js, "node"), (ollama_js, "node")]:
            assert value_of(client, "body|json/messages/0/content") == PROMPTS[prompt]
        asked = [one for one in logged[4:] if one["path"] == "/v1/chat/completions"]
        assert len(asked) == 1 and value_of(asked[0], "body|json/messages/0/content") == PROMPTS["page"]
        assert value_of(asked[0], "header:x-vitrine-page") == page_id
        assert value_of(asked[0], "header:sec-ch-ua-platform") == '"Linux"' and value_of(asked[0], "header:accept-language").startswith("en-GB")
        print(f"ok: {len(logged)} requests of 5 clients, {sum(len(one['fields']) for one in logged)} fields, {len(typed)} types in the report")


if __name__ == "__main__":
    main()
