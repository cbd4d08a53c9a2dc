#!/usr/bin/env python3
"""Speed of the engine against llama.cpp and against the machine's own limit.

    ./dev bench engine [--json] [--types q4_0,q4_k,q8_0] [--layers 6] [--rounds 3] [--no-peer]

Makes synthetic files in the shape of DeepSeek-V2-Lite, and runs in turn, in one
session: the engine (tests/bench/engine_bench.cc) and llama.cpp (npm
node-llama-cpp, tests/peers/llama_cpp_bench.mjs), each with a prompt in one go
and single tokens after it. Ratios are of one round each, so that what else the
machine did was the same for both.

Standard library only; builds nothing.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys

from bench_capture import machine, output_of, say, stop, table

MODEL = "deepseek-v2-lite"


def run(command):
    """Its one JSON object, and the peak memory of its process in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out = process.stdout.read()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        stop("%s: exit code %d\n%s" % (" ".join(command), process.returncode, errors.decode(errors="replace")[-2000:]))
    result = json.loads(out.decode().strip().splitlines()[-1])
    result["peak_rss_mb"] = round(usage.ru_maxrss / 1024, 1)
    return result


def median(values):
    return statistics.median(values) if values else float("nan")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench engine", description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build/release", help="folder with the bench programs")
    parser.add_argument("--peers", default="build/peers", help="folder with node_modules/node-llama-cpp")
    parser.add_argument("--types", default="q4_0,q4_k,q8_0", help="types of the weights (default q4_0,q4_k,q8_0)")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are printed (default 3)")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--decode", type=int, default=48)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--no-peer", action="store_true", help="leave llama.cpp out")
    options = parser.parse_args()
    bench = os.path.join(options.build, "tests", "engine_bench")
    make_model = os.path.join(options.build, "tests", "make_model")
    for program in (bench, make_model):
        if not os.access(program, os.X_OK):
            stop("%s is missing: ./dev bench engine builds it" % program)
    modules = os.path.abspath(options.peers)
    if not options.no_peer and not os.path.isdir(os.path.join(modules, "node_modules", "node-llama-cpp")):
        say("bench: llama.cpp is left out: no node-llama-cpp in %s (./dev setup --peers installs it)" % options.peers)
        options.no_peer = True
    os.makedirs("build/bench", exist_ok=True)

    results = {}
    rows = []
    for kind in options.types.split(","):
        model = "build/bench/%s-%d-%s.gguf" % (MODEL, options.layers, kind)
        if not os.path.exists(model):
            say("generating " + model)
            subprocess.run([make_model, "-o", model + ".part", "--model", MODEL, "--layers", str(options.layers), "--type", kind],
                           check=True, stdout=subprocess.DEVNULL)
            os.rename(model + ".part", model)
        with open(model, "rb") as file:  # both sides start with the file in memory
            while file.read(1 << 22):
                pass
        ours_command = [bench, model, "--threads", str(options.threads), "--prompt", str(options.prompt), "--decode",
                        str(options.decode), "--rounds", "1"]
        theirs_command = ["node", "tests/peers/llama_cpp_bench.mjs", modules, os.path.abspath(model), str(options.threads),
                          str(options.prompt), str(options.decode), "1"]
        ours, theirs = [], []
        for number in range(options.rounds):
            say("%s, round %d of %d" % (kind, number + 1, options.rounds))
            ours.append(run(ours_command))
            if not options.no_peer:
                theirs.append(run(theirs_command))

        def prompt_rate(runs):
            return [options.prompt / run["samples"][0]["prompt_s"] for run in runs]

        def decode_rate(runs):
            return [1 / median(run["samples"][0]["decode_s"]) for run in runs]

        first = ours[0]
        limit = [run["samples"][0]["read_bytes_s"] for run in ours]
        share = [rate * run["bytes_per_step"] / top for rate, run, top in zip(decode_rate(ours), ours, limit)]
        together = [run["bytes_per_step_together"] / top / median(run["samples"][0]["decode_together_s"])
                    for run, top in zip(ours, limit)]
        result = {"model": model, "device": first["device"], "load_s": median([run["load_s"] for run in ours]),
                  "peak_rss_mb": max(run["peak_rss_mb"] for run in ours), "weight_bytes": first["weight_bytes"],
                  "kv_bytes": first["kv_bytes"], "bytes_per_step": first["bytes_per_step"],
                  "prompt_rate": median(prompt_rate(ours)), "decode_rate": median(decode_rate(ours)),
                  "decode_of_read_bandwidth": median(share), "together_of_ideal": median(together),
                  "ours": ours, "theirs": theirs, "commands": {"vitrine": ours_command, "llama.cpp": theirs_command}}
        row = [kind, "%.1f" % result["prompt_rate"], "%.1f" % result["decode_rate"], "%.0f %%" % (100 * median(share)),
               "%.1f" % (median(limit) / 1e9), "%.0f %%" % (100 * median(together)), "%.2f" % result["load_s"],
               "%.0f" % result["peak_rss_mb"]]
        if theirs:
            result["prompt_ratio"] = median([a / b for a, b in zip(prompt_rate(ours), prompt_rate(theirs))])
            result["decode_ratio"] = median([a / b for a, b in zip(decode_rate(ours), decode_rate(theirs))])
            row += ["%.1f" % median(prompt_rate(theirs)), "%.1f" % median(decode_rate(theirs)),
                    "%.2f" % result["prompt_ratio"], "%.2f" % result["decode_ratio"]]
        results[kind] = result
        rows.append(row)

    title = ["type", "prompt tok/s", "decode tok/s", "of bandwidth", "GB/s read", "8 of ideal", "start s", "peak MB"]
    if not options.no_peer:
        title += ["llama.cpp prompt", "decode", "prompt ratio", "decode ratio"]
    print("%s, %d layers, prompt of %d, %d threads; medians of %d rounds; %s; load %s" %
          (MODEL, options.layers, options.prompt, options.threads, options.rounds, results[options.types.split(",")[0]]["device"],
           "/".join("%.1f" % x for x in os.getloadavg())))
    table(title, rows)
    if options.json:
        peer = next((run for result in results.values() for run in result["theirs"]), {})
        print(json.dumps({
            "bench": "engine", "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": output_of(["git", "rev-parse", "HEAD"]),
            "changed_files": len(output_of(["git", "status", "--porcelain", "-uno"]).splitlines()), "machine": machine(),
            "versions": {"llama.cpp": peer.get("llama_cpp"), "node-llama-cpp": peer.get("node_llama_cpp")},
            "settings": {"layers": options.layers, "prompt": options.prompt, "decode": options.decode,
                         "threads": options.threads, "rounds": options.rounds},
            "prompt_ratio": {kind: result.get("prompt_ratio") for kind, result in results.items()},
            "decode_ratio": {kind: result.get("decode_ratio") for kind, result in results.items()},
            "results": results}))


if __name__ == "__main__":
    main()
