#!/usr/bin/env python3
"""Refuses a recording that is not fit to be published.

Asserts with tshark that every address is a documentation address, every DNS name is under .test,
every TLS connection decrypts with the embedded secrets, and nothing of the recording machine (host
name, kernel, user, paths, resolver) stands in the packets, decrypted or not. Usage: check_recording.py FILE
"""
import ipaddress
import os
import platform
import re
import subprocess
import sys
import tempfile

NETWORKS = [ipaddress.ip_network(n) for n in
            ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "2001:db8::/32",
             "ff02::/16", "::/128")]                  # neighbour discovery stays on its link


def tshark(path, *args):
    done = subprocess.run(["tshark", "-r", path, "-n", *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return done.stdout.decode("utf-8", "replace")


def rows(path, display_filter, *fields):
    args = ["-Y", display_filter, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]
    for field in fields:
        args += ["-e", field]
    return [line.split("\t") for line in tshark(path, *args).splitlines()]


def foreign_addresses(path):
    seen = {a for row in rows(path, "ip or ipv6", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst")
            for cell in row for a in cell.split(",") if a}
    return [f"address {a} is not a documentation address" for a in sorted(seen)
            if not any(ipaddress.ip_address(a) in n for n in NETWORKS)]


def foreign_names(path):
    names = {n for row in rows(path, "dns", "dns.qry.name") for n in row[0].split(",")}
    names |= {n for row in rows(path, "tls.handshake.type==1", "tls.handshake.extensions_server_name")
              for n in row[0].split(",") if n}
    return [f"name {n} is not under .test" for n in sorted(names) if not n.endswith(".test")]


def undecrypted(path):
    encrypted = {row[0] for row in rows(path, "tls.record.content_type==23", "tcp.stream")}
    opened = {row[0] for row in rows(path, "tls and (http or http2)", "tcp.stream")}
    problems = [f"TLS connection tcp.stream=={s} does not decrypt" for s in sorted(encrypted - opened)]
    malformed = rows(path, "_ws.malformed", "frame.number")
    return problems + [f"packet {row[0]} is malformed to tshark" for row in malformed]


def machine_words():
    words = {platform.node(), platform.release(), os.path.expanduser("~"), os.getcwd(),
             os.path.dirname(os.path.abspath(__file__)), tempfile.gettempdir() + "/",
             "AIza"}                                  # the Google API key that distributions build into Chromium
    words |= {os.environ.get("SUDO_USER", ""), os.environ.get("USER", "")}
    with open("/etc/resolv.conf", encoding="utf-8") as conf:
        words |= {line.split()[1] for line in conf if line.startswith(("nameserver", "search")) and len(line.split()) > 1}
    return sorted(w for w in words if len(w) > 3 and w not in ("root", "localhost"))


def machine_traces(path):
    with open(path, "rb") as raw:
        text = raw.read().decode("latin-1") + tshark(path, "-V")
    text = text.replace(path, "")
    return [f"the recording names this machine: {w}" for w in machine_words()
            if re.search(r"(?<!\w)" + re.escape(w), text)]


def main():
    path = sys.argv[1]
    problems = foreign_addresses(path) + foreign_names(path) + undecrypted(path) + machine_traces(path)
    for problem in problems:
        print(f"{os.path.basename(path)}: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
