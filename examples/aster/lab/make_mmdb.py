#!/usr/bin/env python3
"""Writes aster-test.mmdb: invented countries for the documentation addresses of the lab. SIMULATED.

MaxMind DB format 2.0: a binary search tree over the address bits (IPv4 under ::/96), 16 zero bytes,
a data section of typed values, then the metadata map. Same input, same bytes. Usage: make_mmdb.py OUT
"""
import ipaddress
import struct
import sys

NETWORKS = [
    ("192.0.2.0/24", "DE"),            # the client's network
    ("203.0.113.0/24", "CN"),          # Aster
    ("198.51.100.16/28", "SG"),        # Metrica
    ("198.51.100.32/28", "CN"),        # Shieldprint
    ("198.51.100.48/28", "US"),        # Helpdesk
    ("198.51.100.192/28", "US"),       # browser updates
    ("198.51.100.208/28", "DE"),       # Tidings
    ("2001:db8:1::/48", "DE"),
    ("2001:db8:10::/48", "CN"),
    ("2001:db8:30::/48", "DE"),        # Metrica answers over IPv6 from Germany, its seat is in Singapore
    ("2001:db8:210::/48", "DE"),
]
NAMES = {"CN": "China", "DE": "Germany", "SG": "Singapore", "US": "United States"}
BUILD_EPOCH = 1793491200               # 2026-11-01, fixed so that the file is reproducible
RECORD_BITS = 24
STRING, UINT16, UINT32, MAP, UINT64, ARRAY = 2, 5, 6, 7, 9, 11


def control(kind, size):
    if size >= 285:
        raise ValueError("this writer needs no value of 285 bytes or more")
    low, extra = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return (bytes([kind << 5 | low]) if kind < 8 else bytes([low, kind - 7])) + extra


def encoded(value):
    if isinstance(value, str):
        raw = value.encode()
        return control(STRING, len(raw)) + raw
    if isinstance(value, dict):
        return control(MAP, len(value)) + b"".join(encoded(k) + encoded(v) for k, v in value.items())
    if isinstance(value, list):
        return control(ARRAY, len(value)) + b"".join(encoded(v) for v in value)
    kind, number = value               # (UINT16 | UINT32 | UINT64, n)
    raw = number.to_bytes(8, "big").lstrip(b"\0")
    return control(kind, len(raw)) + raw


def bits_of(network):
    net = ipaddress.ip_network(network)
    value, length = int(net.network_address), net.prefixlen + (96 if net.version == 4 else 0)
    return [value >> (127 - i) & 1 for i in range(length)]


def tree_and_data():
    nodes, data, offsets = [[None, None]], b"", {}
    for network, country in NETWORKS:
        if country not in offsets:
            offsets[country] = len(data)
            data += encoded({"country": {"iso_code": country, "names": {"en": NAMES[country] + " (SIMULATED)"}}})
        bits, at = bits_of(network), 0
        for bit in bits[:-1]:
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][bits[-1]] = ("data", offsets[country])
    return nodes, data


def record(entry, node_count):
    if entry is None:
        number = node_count                              # "not in the database"
    elif isinstance(entry, tuple):
        number = node_count + 16 + entry[1]
    else:
        number = entry
    return struct.pack(">I", number)[1:]


def main():
    nodes, data = tree_and_data()
    tree = b"".join(record(side, len(nodes)) for node in nodes for side in node)
    metadata = encoded({
        "binary_format_major_version": (UINT16, 2),
        "binary_format_minor_version": (UINT16, 0),
        "build_epoch": (UINT64, BUILD_EPOCH),
        "database_type": "vitrine-simulated-country",
        "description": {"en": "SIMULATED countries of documentation addresses, for examples/aster only"},
        "ip_version": (UINT16, 6),
        "languages": ["en"],
        "node_count": (UINT32, len(nodes)),
        "record_size": (UINT16, RECORD_BITS),
    })
    with open(sys.argv[1], "wb") as out:
        out.write(tree + b"\0" * 16 + data + b"\xab\xcd\xefMaxMind.com" + metadata)
    return 0


if __name__ == "__main__":
    sys.exit(main())
