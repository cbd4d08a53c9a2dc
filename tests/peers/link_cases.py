"""The same traffic in other orders, link layers and containers."""

import datetime
import gzip
import json
import random
import shutil

import http_cases
import lab
import packets


def case_rewritten():
    """One capture, rewritten in every way: the same exchanges."""
    capture, keys = http_cases.case_http2_br()
    expected = lab.vitrine_view(capture, keys)
    link, frames = packets.read_pcap(capture)

    def same(name, path, with_keys=keys, rows=expected):
        got = lab.vitrine_view(path, with_keys)
        lab.check("rewritten", got == rows, f"{name}: {lab.short(got)} is not {lab.short(rows)}")
        print(f"rewritten: {name}")

    for seed in range(3):
        path = f"{lab.WORK}/shuffled-{seed}.pcap"
        shuffled = packets.shuffle(packets.split_segments(frames, 700), random.Random(seed))
        packets.write_pcap(path, link, shuffled)
        same(f"out of order, duplicated (seed {seed})", path)
    for layer in ("vlan", "qinq", "raw", "null", "sll", "sll2"):
        path = f"{lab.WORK}/{layer}.pcap"
        packets.write_pcap(path, *packets.rewrap(frames, layer))
        same(layer, path)
    path = f"{lab.WORK}/whole.pcap.gz"
    with open(capture, "rb") as data, gzip.open(path, "wb") as out:
        shutil.copyfileobj(data, out)
    same("gz", path)
    for size in (24, 296, 1000):
        path = f"{lab.WORK}/fragments-{size}.pcap"
        packets.write_pcap(path, link, packets.fragment(frames, size, random.Random(size)))
        same(f"IPv4 fragments of {size} bytes, out of order", path)
    ng, secret = f"{lab.WORK}/plain.pcapng", f"{lab.WORK}/secrets.pcapng"
    lab.run("editcap", "-F", "pcapng", capture, ng)
    same("pcapng", ng)
    lab.run("editcap", "-F", "pcapng", "--inject-secrets", "tls," + keys, capture, secret)
    same("pcapng with its secrets", secret, None)
    packed = f"{lab.WORK}/secrets.pcapng.gz"
    with open(secret, "rb") as data, gzip.open(packed, "wb") as out:
        shutil.copyfileobj(data, out)
    same("pcapng with its secrets, gz", packed, None)
    other, other_keys = for_merge()
    both = f"{lab.WORK}/both.keys"
    with open(both, "w") as out:
        out.write(open(keys).read() + open(other_keys).read())
    merged = f"{lab.WORK}/merged.pcapng"
    lab.run("mergecap", "-F", "pcapng", "-I", "none", "-w", merged, capture, f"{lab.WORK}/sll.pcap", other)
    rows = sorted(map(json.dumps, lab.vitrine_view(merged, both)))
    # The SLL copy is a duplicate of the first file, packet by packet.
    wanted = sorted(map(json.dumps, expected + lab.vitrine_view(other, other_keys)))
    lab.check("rewritten", rows == wanted, f"several interfaces: {rows} is not {wanted}")
    sections = f"{lab.WORK}/sections.pcapng"
    lab.run("editcap", "-F", "pcapng", other, f"{lab.WORK}/second.pcapng")
    with open(sections, "wb") as out:
        for part in (ng, f"{lab.WORK}/second.pcapng"):
            out.write(open(part, "rb").read())
    rows = sorted(map(json.dumps, lab.vitrine_view(sections, both)))
    lab.check("rewritten", rows == wanted, f"two sections: {rows} is not {wanted}")
    print("rewritten: several interfaces, several sections")


def for_merge():
    return lab.node_case("other", {}, ["--http1.1"], lab.PLAIN[:2])


IPV6 = [("GET", "/br", None), ("POST", "/echo", bytes(range(256)) * 40), ("GET", "/empty", None)]


def case_ipv6():
    """IPv6 as it came, and with hop-by-hop and destination options, in fragments out of order."""
    capture, keys = lab.node_case("ipv6", {"host": "::1"}, ["--http1.1"], IPV6, address="[::1]")
    expected = lab.vitrine_view(capture, keys)
    link, frames = packets.read_pcap(capture)
    for size in (64, 600):
        path = f"{lab.WORK}/ipv6-fragments-{size}.pcap"
        packets.write_pcap(path, link, packets.fragment(packets.add_options(frames), size, random.Random(size)))
        lab.compare(f"ipv6 with options, fragments of {size} bytes", path, keys, [(m, p) for m, p, _ in IPV6])
        lab.check("ipv6", lab.vitrine_view(path, keys) == expected, f"fragments of {size} bytes: other exchanges")
        lab.check("ipv6", lab.count(path, keys, "ipv6.fraghdr.nxt") > len(frames), "there are no fragments")


def case_any_interface():
    """`tcpdump -i any`: the cooked header SLL2."""
    capture, keys = lab.node_case("any-interface", {}, ["--http1.1"], lab.PLAIN, interface="any")
    link, _ = packets.read_pcap(capture)
    lab.check("any-interface", link == packets.LINUX_SLL2, f"the link type is {link}")


def case_nanoseconds():
    """Times keep their nine digits."""
    capture, keys = lab.node_case("nanoseconds", {}, ["--http1.1"], lab.PLAIN, capture_flags=("--time-stamp-precision=nano",))
    times = lab.tshark(capture, keys, "-Y", "http.request", "-T", "fields", "-e", "frame.time_epoch").decode().split()
    lab.check("nanoseconds", any(not time.endswith("000") for time in times), "the capture has no nanoseconds")
    rows = [json.loads(line) for line in lab.run(lab.VITRINE, "exchanges", capture, "--json", "-q", "--keylog", keys).decode().splitlines()]
    for row, time in zip(rows, times, strict=True):
        seconds, nanoseconds = time.split(".")
        opened = datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanoseconds}Z"
        lab.check("nanoseconds", row["time"] == opened, f"{row['time']} is not {opened}")
