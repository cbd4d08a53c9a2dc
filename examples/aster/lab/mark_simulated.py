#!/usr/bin/env python3
"""Writes a pcapng again with a comment on every section and without what names the recording machine.

From each Section Header Block the options hardware, os and userappl are removed and opt_comment is
put first; Interface Description Blocks lose if_os and if_hardware. A recorder's notes on processes
(Custom Blocks, comments and custom options of packets) are left out; all other blocks are copied byte
for byte. draft-ietf-opsawg-pcapng, sections 3 and 4.
Usage: mark_simulated.py COMMENT IN.pcapng OUT.pcapng
"""
import struct
import sys

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
CUSTOM = (0xBAD, 0x40000BAD)
COMMENT, END = 1, 0
CUSTOM_OPTIONS = {2988, 2989, 19372, 19373}
DROPPED = {SECTION: CUSTOM_OPTIONS | {COMMENT, 2, 3, 4}, INTERFACE: CUSTOM_OPTIONS | {COMMENT, 12, 15},
           PACKET: CUSTOM_OPTIONS | {COMMENT}}


def options(data, order):
    at = 0
    while at + 4 <= len(data):
        code, size = struct.unpack_from(order + "HH", data, at)
        if code == END:
            return
        yield code, data[at + 4:at + 4 + size]
        at += 4 + (size + 3) // 4 * 4


def option(code, value, order):
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def fixed_size(kind, body, order):
    """Bytes of a block's body before its options."""
    if kind == PACKET:
        captured = struct.unpack_from(order + "I", body, 12)[0]
        return 20 + (captured + 3) // 4 * 4
    return {SECTION: 16, INTERFACE: 8}[kind]


def rewritten(kind, body, order, comment):
    fixed = fixed_size(kind, body, order)
    kept = [o for o in options(body[fixed:], order) if o[0] not in DROPPED[kind]]
    if kind == SECTION:
        kept.insert(0, (COMMENT, comment.encode()))
        body = body[:8] + b"\xff" * 8 + body[16:]     # section length: not stated, as it changes
    tail = b"".join(option(code, value, order) for code, value in kept)
    return body[:fixed] + tail + (struct.pack(order + "HH", END, 0) if tail else b"")


def main():
    comment, source, target = sys.argv[1:]
    with open(source, "rb") as f:
        data = f.read()
    out, at, order = [], 0, "<"
    while at < len(data):
        if data[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        kind, size = struct.unpack_from(order + "II", data, at)
        if size < 12 or size % 4 or at + size > len(data):
            raise SystemExit(f"{source}: no whole block at byte {at}")
        body = data[at + 8:at + size - 4]
        at += size
        if kind in CUSTOM:
            continue
        if kind in DROPPED:
            body = rewritten(kind, body, order, comment)
        out.append(struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12))
    with open(target, "wb") as f:
        f.write(b"".join(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
