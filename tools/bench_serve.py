"""`./dev bench serve`: the serving line under load, against llama.cpp on the same file in the same run.

bench_serve.py PROGRAM BUILD_FOLDER MODEL [--json] [--rounds N] [--threads N]

Each round runs both servers in turn; every stream is a completion of the same prompts with the same number of tokens.
Printed: tokens/s in all, time to the first token, time between tokens (p50, p99), fairness (Jain's index of the streams'
rates: 1 = all alike), the part of the engine's thread's time that is no step, and the ratio at 8 streams.
"""
import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "serve"))
from server import Server  # noqa: E402

TOKENS = 96
PROMPT = ("Chapter {}. The harbour lay still in the morning, and the ships that had come in overnight were unloading grain, "
          "timber and cloth while the clerks walked along the quay with their lists. ")


class Stream(threading.Thread):
    def __init__(self, port, model, number):
        super().__init__()
        self.port, self.model, self.number, self.times = port, model, number, []

    def run(self):
        body = {"model": self.model, "prompt": PROMPT.format(self.number), "max_tokens": TOKENS, "temperature": 0, "stream": True}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        self.start_time = time.monotonic()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
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
