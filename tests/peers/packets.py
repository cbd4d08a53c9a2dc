"""Small tools on pcap files, for tests that need captures nobody recorded:
reading and writing Ethernet pcaps, and rewriting the packets in them."""

import struct

ETHERNET, RAW_IP, LINUX_SLL, LINUX_SLL2, NULL = 1, 101, 113, 276, 0


def read_pcap(path):
    """→ (link type, [(seconds, microseconds, bytes)]) of a little-endian µs or ns pcap."""
    data = open(path, "rb").read()
    magic, = struct.unpack_from("<I", data, 0)
    if magic not in (0xA1B2C3D4, 0xA1B23C4D):
        raise ValueError(f"{path}: not a little-endian pcap")
    scale = 1000 if magic == 0xA1B23C4D else 1
    link, = struct.unpack_from("<I", data, 20)
    packets, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, kept, _ = struct.unpack_from("<IIII", data, at)
        packets.append((seconds, fraction // scale, data[at + 16:at + 16 + kept]))
        at += 16 + kept
    return link & 0xFFFF, packets


def write_pcap(path, link, packets):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link))
        for seconds, micros, data in packets:
            out.write(struct.pack("<IIII", seconds, micros, len(data), len(data)))
            out.write(data)


def tcp_payload(frame):
    """→ (source port, offset of the payload, its length) of an IPv4 TCP frame, or None."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return None
    header = (frame[14] & 15) * 4
    total, = struct.unpack_from(">H", frame, 16)
    tcp = 14 + header
    offset = tcp + (frame[tcp + 12] >> 4) * 4
    source, = struct.unpack_from(">H", frame, tcp)
    return source, offset, 14 + total - offset


def split_segments(packets, size):
    """Every TCP payload in pieces of at most `size` bytes, as a small MSS would make it."""
    out = []
    for seconds, micros, frame in packets:
        found = tcp_payload(frame)
        if not found or found[2] <= size:
            out.append((seconds, micros, frame))
            continue
        _, offset, length = found
        tcp = 14 + (frame[14] & 15) * 4
        sequence, = struct.unpack_from(">I", frame, tcp + 4)
        for begin in range(0, length, size):
            piece = frame[offset + begin:offset + min(begin + size, length)]
            head = bytearray(frame[:offset])
            struct.pack_into(">H", head, 16, offset - 14 + len(piece))
            struct.pack_into(">I", head, tcp + 4, (sequence + begin) & 0xFFFFFFFF)
            if begin + size < length:
                head[tcp + 13] &= ~0x09  # FIN and PSH stay with the last piece
            out.append((seconds, micros, bytes(head) + piece))
    return out


def shuffle(packets, random, window=4, duplicate=0.15):
    """Data segments of a burst leave their place by up to `window`, some come
    twice. A burst ends where the other side sends data: what one side sent
    after it had read the other's bytes stays behind them, as on a real path.
    Packets without data keep their places."""
    out, burst, side = [], [], None

    def flush():
        places = [i for i, p in enumerate(burst) if tcp_payload(p[2])[2] > 0]
        moved = sorted(places, key=lambda i: places.index(i) + random.uniform(0, window))
        mixed = dict(zip(places, moved))
        for i, packet in enumerate(burst):
            seconds, micros, _ = packet
            frame = burst[mixed.get(i, i)][2]
            out.append((seconds, micros, frame))
            if i in mixed and random.random() < duplicate:
                out.append((seconds, micros, frame))
        burst.clear()

    for packet in packets:
        source, _, length = tcp_payload(packet[2])
        if length > 0 and source != side:
            flush()
            side = source
        burst.append(packet)
    flush()
    return out


def rewrap(packets, link):
    """Ethernet frames → another link layer; returns (link type, packets)."""
    def one(frame):
        ip, ethertype = frame[14:], frame[12:14]
        if link == "vlan":
            return frame[:12] + b"\x81\x00\x00\x2a" + ethertype + ip
        if link == "qinq":
            return frame[:12] + b"\x88\xa8\x00\x07\x81\x00\x00\x2a" + ethertype + ip
        if link == "raw":
            return ip
        if link == "null":
            return struct.pack("<I", 2) + ip
        if link == "sll":
            return b"\x00\x00\x03\x04\x00\x06" + bytes(8) + ethertype + ip
        if link == "sll2":
            return ethertype + bytes(2) + struct.pack(">IHBB", 1, 772, 0, 6) + bytes(8) + ip
        raise ValueError(link)
    types = {"vlan": ETHERNET, "qinq": ETHERNET, "raw": RAW_IP, "null": NULL, "sll": LINUX_SLL, "sll2": LINUX_SLL2}
    return types[link], [(s, u, one(f)) for s, u, f in packets]


def ip_header(frame):
    """→ (version, offset of the payload) of an Ethernet frame's IP header."""
    if frame[12:14] == b"\x08\x00":
        return 4, 14 + (frame[14] & 15) * 4
    if frame[12:14] == b"\x86\xdd":
        return 6, 54
    return None, 0


def add_options(packets):
    """IPv6 packets with a hop-by-hop and a destination options header (RFC 8200, section 4) before TCP."""
    out = []
    for seconds, micros, frame in packets:
        version, at = ip_header(frame)
        if version == 6:
            padding = bytes([1, 4, 0, 0, 0, 0])  # PadN
            chain = bytes([60, 0]) + padding + bytes([frame[20], 0]) + padding
            head = bytearray(frame[:at])
            head[20] = 0
            struct.pack_into(">H", head, 18, len(frame) - at + len(chain))
            frame = bytes(head) + chain + frame[at:]
        out.append((seconds, micros, frame))
    return out


def fragment(packets, size, random):
    """Every IP payload longer than `size` (a multiple of 8) in fragments, in any order."""
    out = []
    for number, (seconds, micros, frame) in enumerate(packets):
        version, at = ip_header(frame)
        # A hop-by-hop header stays with every fragment (RFC 8200, section 4.5).
        fixed = at + 8 if version == 6 and frame[20] == 0 else at
        payload = frame[fixed:]
        if version is None or len(payload) <= size:
            out.append((seconds, micros, frame))
            continue
        pieces = []
        for begin in range(0, len(payload), size):
            piece, more = payload[begin:begin + size], begin + size < len(payload)
            head = bytearray(frame[:fixed])
            if version == 4:
                struct.pack_into(">H", head, 16, fixed - 14 + len(piece))
                struct.pack_into(">HH", head, 18, number + 1, begin // 8 | more << 13)
                struct.pack_into(">H", head, 24, 0)
                struct.pack_into(">H", head, 24, checksum(head[14:fixed]))
            else:
                following = fixed - 8 if fixed > at else 20  # where the next header's number stands
                extra = struct.pack(">BBHI", head[following], 0, begin | more, number + 1)
                head[following] = 44
                struct.pack_into(">H", head, 18, fixed - at + len(extra) + len(piece))
                head += extra
            pieces.append((seconds, micros, bytes(head) + piece))
        random.shuffle(pieces)
        out += pieces
    return out


def checksum(header):
    """RFC 1071."""
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
