"""`./dev bench serve`: the serving line under load, against llama.cpp on the same file in the same run.

bench_serve.py PROGRAM BUILD_FOLDER MODEL [--json] [--rounds N] [--threads N]

Each round runs both servers in turn; every stream is a completion of the same prompts with the same number of tokens.
Printed: tokens/s in all, time to the first token, time between tokens (p50, p99), fairness (Jain's index of the streams'
rates from request to last token, waiting included: 1 = all alike; first come, first served, 64 streams on 8 places have
0.60, see queue_index()), the part of the engine's thread's time that is no step, and the ratio at 8 streams. Then fairness
between keys: one key with 57 streams, and seven with one each that ask a moment later.
"""
import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "serve"))
from server import Server  # noqa: E402

TOKENS = 96
PROMPT = ("Chapter {}. The harbour lay still in the morning, and the ships that had come in overnight were unloading grain, "
          "timber and cloth while the clerks walked along the quay with their lists. ")


class Stream(threading.Thread):
    def __init__(self, port, model, number, key=""):
        super().__init__()
        self.port, self.model, self.number, self.key, self.times = port, model, number, key, []

    def run(self):
        body = {"model": self.model, "prompt": PROMPT.format(self.number), "max_tokens": TOKENS, "temperature": 0, "stream": True}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        self.start_time = time.monotonic()
        connection.request("POST", "/v1/completions", json.dumps(body),
                           {"Content-Type": "application/json", "Authorization": "Bearer " + self.key})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        for line in answer:
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0].get("text"):
                self.times.append(time.monotonic())
        connection.close()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def load(port, model, streams):
    threads = [Stream(port, model, i) for i in range(streams)]
    begin = time.monotonic()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    seconds = time.monotonic() - begin
    pieces = sum(len(thread.times) for thread in threads)
    gaps = [b - a for thread in threads for a, b in zip(thread.times, thread.times[1:])]
    rates = [len(t.times) / (t.times[-1] - t.start_time) for t in threads if t.times]
    return {"streams": streams, "pieces": pieces, "seconds": seconds, "per_second": pieces / seconds,
            "first_ms_p50": 1e3 * percentile([t.times[0] - t.start_time for t in threads if t.times], 0.5),
            "first_ms_p99": 1e3 * percentile([t.times[0] - t.start_time for t in threads if t.times], 0.99),
            "gap_ms_p50": 1e3 * percentile(gaps, 0.5), "gap_ms_p99": 1e3 * percentile(gaps, 0.99),
            "fairness": sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))}


def queue_index(streams, places):
    """Jain's index of streams that come at once and are served in turn: a stream's rate is 1 / (rounds it waits + 1)."""
    rates = [1 / (i // places + 1) for i in range(streams)]
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


def load_keys(port, model, keys):
    """One key asks for 57 answers at once, then each other key for one."""
    greedy = [Stream(port, model, i, keys[0]) for i in range(57)]
    [thread.start() for thread in greedy]
    while not any(thread.times for thread in greedy):
        time.sleep(0.01)
    modest = [Stream(port, model, 57 + i, key) for i, key in enumerate(keys[1:])]
    [thread.start() for thread in modest]
    [thread.join() for thread in greedy + modest]
    wait = lambda threads, share: 1e3 * percentile([t.times[0] - t.start_time for t in threads], share)
    return {"greedy_first_ms_p50": wait(greedy, 0.5), "greedy_first_ms_most": wait(greedy, 1), "others_first_ms_p50": wait(modest, 0.5),
            "others_first_ms_most": wait(modest, 1)}


def metrics(port):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return {name.removeprefix("vitrine_"): float(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}


class Peer:
    def __init__(self, build, model, sequences, threads):
        peers = os.path.join(build, "peers")
        self.process = subprocess.Popen(["node", os.path.join(os.path.dirname(__file__), "..", "tests", "peers", "llama_server.mjs"), peers, model,
                                         str(sequences), str(threads), "512"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("build")
    parser.add_argument("model")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 8, 64])
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        round_ = {"vitrine": [], "llama.cpp": []}
        with Server(options.program, options.model, "--sequences", "8", "--context", "512", "--threads", str(options.threads),
                    "--queue", "256") as server:
            load(server.port, server.name, 1)
            before = metrics(server.port)
            for streams in options.streams:
                round_["vitrine"].append(load(server.port, server.name, streams))
            after = metrics(server.port)
            step = after["step_seconds_total"] - before["step_seconds_total"]
            round_["overhead"] = (after["step_overhead_seconds_total"] - before["step_overhead_seconds_total"]) / step
            server.stop()
        keys = [f"bench-key-{i:02}-0123456789" for i in range(8)]
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("\n".join(keys) + "\n")
            file.flush()
            with Server(options.program, options.model, "--sequences", "8", "--context", "512", "--threads", str(options.threads),
                        "--queue", "256", "--api-keys", file.name) as server:
                round_["keys"] = load_keys(server.port, server.name, keys)
                server.stop()
        print("keys: first token of 57 streams of one key {greedy_first_ms_p50:.0f} ms (most {greedy_first_ms_most:.0f}), of seven others' "
              "{others_first_ms_p50:.0f} ms (most {others_first_ms_most:.0f})".format(**round_["keys"]), file=sys.stderr)
        with Peer(options.build, options.model, 8, options.threads) as peer:
            load(peer.port, "llama.cpp", 1)
            for streams in options.streams:
                round_["llama.cpp"].append(load(peer.port, "llama.cpp", streams))
        rounds.append(round_)
        for name in ("vitrine", "llama.cpp"):
            for row in round_[name]:
                print(f"{name:10} {row['streams']:3} streams: {row['per_second']:7.1f} tokens/s, first {row['first_ms_p50']:7.0f} ms, "
                      f"between {row['gap_ms_p50']:6.1f} ms (p99 {row['gap_ms_p99']:6.1f}), fairness {row['fairness']:.3f}", file=sys.stderr)
    ratios = {}
    for i, streams in enumerate(options.streams):
        ratios[streams] = statistics.median(r["vitrine"][i]["per_second"] / r["llama.cpp"][i]["per_second"] for r in rounds)
    overhead = statistics.median(r["overhead"] for r in rounds)
    print("ratios of tokens/s to llama.cpp: " + ", ".join(f"{k} streams {v:.2f}" for k, v in ratios.items())
          + f"; serving costs {100 * overhead:.2f} % of the step time", file=sys.stderr)
    if options.json:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        package = json.load(open(os.path.join(options.build, "peers", "node_modules", "node-llama-cpp", "package.json")))
        print(json.dumps({"bench": "serve", "commit": commit, "machine": platform.processor() or platform.machine(),
                          "threads": options.threads, "tokens": TOKENS, "sequences": 8, "model": os.path.basename(options.model),
                          "peer": "node-llama-cpp " + package["version"], "ratio": ratios, "overhead": overhead, "rounds": rounds}))


if __name__ == "__main__":
    main()
