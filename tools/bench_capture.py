#!/usr/bin/env python3
"""Speed and memory of the capture line against tshark, on a generated capture.

    ./dev bench capture [--json] [--mb N] [--runs R] [--no-tshark]

Runs, alternating, on one file in the same session:
  vitrine fields --threads 1 and 2   every value decoded and typed, NDJSON into a file
  vitrine fields --threads 1 -o .zst the same, compressed by the program
  tshark                             decrypts with the secrets in the file and prints every
                                     HTTP/2 header and DATA payload into a file
and checks that both saw the same requests. tshark neither undoes content
codings nor looks into bodies here; the comparison favours it.

Standard library only; builds nothing.
"""
import argparse
import collections
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys

TSHARK_FIELDS = ["tcp.stream", "http2.streamid", "http2.headers.method", "http2.headers.path",
                 "http2.header.name", "http2.header.value", "http2.data.data"]
AGGREGATOR = "|"


def say(text):
    print(text, file=sys.stderr)


def stop(text):
    say("bench: " + text)
    sys.exit(4)


def tshark_command(capture):
    command = ["tshark", "-n", "-r", capture, "-Y", "http2", "-T", "fields", "-E", "occurrence=a",
               "-E", "aggregator=" + AGGREGATOR]
    for field in TSHARK_FIELDS:
        command += ["-e", field]
    return command


def timed(command, stdout=None):
    """Runs a command; CPU time and peak memory are the kernel's figures for it."""
    begin = os.times().elapsed
    with open(stdout, "wb") if stdout else open(os.devnull, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        stop("%s: exit code %d\n%s" % (" ".join(command), process.returncode, errors.decode(errors="replace")[-2000:]))
    return {"user_s": round(usage.ru_utime, 3), "system_s": round(usage.ru_stime, 3),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3), "wall_s": round(os.times().elapsed - begin, 3),
            "peak_rss_mb": round(usage.ru_maxrss / 1024, 1)}


def output_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def requests_of_tshark(path):
    seen = collections.Counter()
    with open(path, "rb") as lines:
        for line in lines:
            columns = line.split(b"\t", 4)
            if len(columns) < 5 or not columns[2]:
                continue
            seen.update(zip(columns[2].decode().split(AGGREGATOR), columns[3].decode().split(AGGREGATOR)))
    return seen


def requests_of_vitrine(vitrine, capture):
    seen = collections.Counter()
    process = subprocess.Popen([vitrine, "exchanges", "--json", "-q", capture], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        exchange = json.loads(line)
        url = exchange["url"]
        seen[(exchange["method"], url[url.index("/", url.index("://") + 3):])] += 1
    if process.wait() != 0:
        stop("vitrine exchanges failed")
    return seen


def lines_and_requests(path):
    """Lines of an NDJSON file, and how many of them are a request's method."""
    lines = requests = 0
    rest = b""
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            lines += block.count(b"\n")
            cut = block.rfind(b"\n") + 1
            requests += (rest + block[:cut]).count(b'"path":"path:method"')
            rest = block[cut:] if cut else rest + block
    return lines, requests


def machine():
    info = {"cores": os.cpu_count(), "kernel": platform.release(), "load_average": [round(x, 2) for x in os.getloadavg()]}
    try:
        with open("/proc/cpuinfo") as file:
            info["processor"] = next(l.split(":", 1)[1].strip() for l in file if l.startswith("model name"))
        with open("/proc/meminfo") as file:
            info["memory_gb"] = round(int(file.readline().split()[1]) / 1e6, 1)
    except (OSError, StopIteration):
        pass
    return info


def table(title, rows):
    widths = [max(len(str(row[i])) for row in [title] + rows) for i in range(len(title))]
    for row in [title] + rows:
        print("  ".join(str(cell).ljust(w) if i == 0 else str(cell).rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench capture", description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build/release", help="folder with vitrine and the bench programs")
    parser.add_argument("--mb", type=int, default=1000, help="size of the generated capture (default 1000)")
    parser.add_argument("--runs", type=int, default=3, help="rounds; medians are printed (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--no-tshark", action="store_true", help="leave the comparison out")
    options = parser.parse_args()
    if options.mb < 1 or options.runs < 1:
        parser.error("--mb and --runs are at least 1")

    def program(name):
        for place in (os.path.join(options.build, name), os.path.join(options.build, "tests", name)):
            if os.access(place, os.X_OK):
                return place
        stop("%s is not in %s: ./dev build first" % (name, options.build))

    vitrine, make_capture, stages = program("vitrine"), program("make_capture"), program("capture_stages")
    work = "build/bench"
    os.makedirs(work, exist_ok=True)
    capture = os.path.join(work, "capture-%d.pcapng" % options.mb)
    if not os.path.exists(capture):
        say("generating " + capture)
        subprocess.run([make_capture, capture + ".part", str(options.mb)], check=True)
        os.rename(capture + ".part", capture)
    size = os.path.getsize(capture)
    with open(capture, "rb") as file:  # both sides start with the file in memory
        while file.read(1 << 22):
            pass

    plain, packed, printed = (os.path.join(work, name) for name in ("fields.ndjson", "fields.ndjson.zst", "tshark.txt"))
    commands = {"vitrine, 1 thread": ([vitrine, "fields", "--threads", "1", "-q", capture, "-o", plain], None),
                "vitrine, 1 thread, .zst": ([vitrine, "fields", "--threads", "1", "-q", capture, "-o", packed], None),
                "vitrine, 2 threads": ([vitrine, "fields", "--threads", "2", "-q", capture, "-o", plain], None)}
    if not options.no_tshark:
        commands["tshark"] = (tshark_command(capture), printed)
    samples = {name: [] for name in commands}
    fields = requests = 0
    sizes = {}
    for number in range(options.runs):
        for name, (command, stdout) in commands.items():
            for old in (plain, packed, printed):
                if os.path.exists(old) and old in (stdout, command[-1]):
                    os.remove(old)
            say("round %d of %d: %s" % (number + 1, options.runs, name))
            samples[name].append(timed(command, stdout))
            if number == 0:
                sizes[name] = os.path.getsize(stdout or command[-1])
                if name == "vitrine, 1 thread":
                    fields, requests = lines_and_requests(plain)

    seen = requests_of_vitrine(vitrine, capture)
    if sum(seen.values()) != requests:
        stop("vitrine fields shows %d requests, vitrine exchanges %d" % (requests, sum(seen.values())))
    equal = None
    if not options.no_tshark:
        theirs = requests_of_tshark(printed)
        equal = theirs == seen
        if not equal:
            stop("requests differ: vitrine %d, tshark %d; only one of them has %s" %
                 (requests, sum(theirs.values()), list(((seen - theirs) + (theirs - seen)).items())[:5]))

    def median(name, key):
        return statistics.median(sample[key] for sample in samples[name])

    rows = []
    for name in commands:
        cpu, wall = median(name, "cpu_s"), median(name, "wall_s")
        row = [name, "%.1f" % (size / 1e6 / cpu), "%.1f" % (size / 1e6 / wall), "%.2f" % cpu, "%.2f" % wall,
               "%.0f" % max(s["peak_rss_mb"] for s in samples[name]), "%.0f" % (sizes[name] / 1e6)]
        row.append("%.2f M" % (fields / cpu / 1e6) if name != "tshark" else "-")
        if not options.no_tshark:
            # Of one round each: what else the machine did then was the same for both.
            row.append("%.1f" % statistics.median(t["cpu_s"] / v["cpu_s"] for t, v in zip(samples["tshark"], samples[name])))
        rows.append(row)
    title = ["", "MB/s of CPU", "MB/s wall", "CPU s", "wall s", "peak MB", "output MB", "fields/CPU s"]
    if not options.no_tshark:
        title.append("x tshark (CPU)")
    two = statistics.median(a["wall_s"] / b["wall_s"] for a, b in zip(samples["vitrine, 1 thread"], samples["vitrine, 2 threads"]))
    print("%.0f MB of capture, %d requests, %d fields; medians of %d rounds; %d cores, load %s" %
          (size / 1e6, requests, fields, options.runs, os.cpu_count(), "/".join("%.1f" % x for x in os.getloadavg())))
    table(title, rows)
    print("two threads against one, by wall time: %.2f" % two)
    if not options.no_tshark:
        print("equal requests on both sides: %d (method and path)" % requests)
        print("tshark: " + " ".join(tshark_command(os.path.basename(capture))))

    say("stages")
    staged = json.loads(subprocess.run([stages, capture, str(options.runs)], check=True, capture_output=True, text=True).stdout)
    table(["stage", "MB/s of CPU", "CPU s"],
          [[s["stage"], "%.0f" % s["mb_s"] if "mb_s" in s else "-", "%.3f" % s["cpu_s"]] for s in staged["stages"]])
    for old in (plain, packed, printed):
        if os.path.exists(old):
            os.remove(old)
    if options.json:
        print(json.dumps({
            "bench": "capture", "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": output_of(["git", "rev-parse", "HEAD"]),
            "changed_files": len(output_of(["git", "status", "--porcelain", "-uno"]).splitlines()),
            "machine": machine(),
            "versions": {"vitrine": output_of([vitrine, "--version"]),
                         "tshark": (output_of(["tshark", "--version"]).splitlines() or [""])[0] if not options.no_tshark else None,
                         "python": platform.python_version()},
            "settings": {"mb": options.mb, "runs": options.runs, "capture_bytes": size, "seed": 1},
            "commands": {name: command for name, (command, _) in commands.items()},
            "output_bytes": sizes, "fields": fields, "requests": requests, "equal_requests": equal,
            "samples": samples, "two_thread_ratio": round(two, 3), "stages": staged}))


if __name__ == "__main__":
    main()
