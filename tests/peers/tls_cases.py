"""Captures of TLS in all its forms: suites, resumption, early data, key updates, records cut small."""

import os
import subprocess
import time

import lab
import packets


def served(files):
    """A folder for `openssl s_server -HTTP`, which sends a file as the whole response."""
    folder = f"{lab.WORK}/files"
    os.makedirs(folder, exist_ok=True)
    for name, body in files.items():
        with open(f"{folder}/{name}", "wb") as out:
            out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    return folder


def s_server(port, folder, *flags):
    return lab.Peer("openssl", "s_server", "-accept", str(port), "-HTTP", *flags, port=port, cwd=folder, stdin=subprocess.PIPE)


def case_tls12_suites():
    """Every suite of TLS 1.2 that OpenSSL has and a certificate serves: GCM, CCM, CCM-8, ARIA, Camellia, ChaCha20, CBC, NULL."""
    everything = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
    suites = [name for name in lab.run("openssl", "ciphers", "-s", "-tls1_2", everything).decode().strip().split(":")
              if not name.startswith(("TLS_", "ADH-", "AECDH-")) and "PSK" not in name and "SRP" not in name and "DSS" not in name]
    bodies = {f"{name}.txt": f"sent with {name}\n".encode() * 90 for name in suites}
    ecdsa, rsa = lab.CERTIFICATE, lab.certificate("rsa", key_type=("rsa:2048",))
    capture, keys, port = f"{lab.WORK}/suites.pcap", f"{lab.WORK}/suites.keys", lab.free_port()
    with s_server(port, served(bodies), "-tls1_2", "-cert", ecdsa[0], "-key", ecdsa[1], "-dcert", rsa[0], "-dkey", rsa[1], "-cipher", everything):
        with lab.Capture(capture, port):
            for name in suites:
                lab.curl(port, keys, [("GET", f"/{name}.txt", None)], "--http1.1", "--tls-max", "1.2", "--ciphers", f"{name}:@SECLEVEL=0")
    ours = lab.vitrine_view(capture, keys)
    wanted = {f"/{name}": lab.sha(body) for name, body in bodies.items()}
    lab.check("tls12-suites", {r["path"]: r["response"] for r in ours if r["complete"]} == wanted,
              f"not read: {sorted(set(wanted) - {r['path'] for r in ours})}, "
              f"body differs: {[r['path'] for r in ours if r['response'] != wanted.get(r['path'])]}")
    theirs, objects = lab.tshark_http1(capture, keys)
    unread = sorted(set(wanted) - {r["path"] for r in theirs})
    # Its libgcrypt has no ARIA; it must not be behind in anything else.
    lab.check("tls12-suites", all("ARIA" in path for path in unread), f"tshark does not read {unread}")
    lab.check("tls12-suites", lab.short([r for r in ours if r["path"] not in unread]) == lab.short(theirs), "requests differ")
    lab.check("tls12-suites", {"/" + name: [digest] for name, (digest,) in objects.items()} ==
              {path: [digest] for path, digest in wanted.items() if path not in unread}, "tshark's bodies differ")
    lab.check("tls12-suites", len(suites) > 40, f"only {len(suites)} suites were tried")
    print(f"tls12-suites: {len(suites)} suites, {len(unread)} of them not read by tshark")


def case_resumption():
    """By session id and by ticket in TLS 1.2, by ticket and by an external key in TLS 1.3."""
    pages = {"one.txt": b"first\n" * 50, "two.txt": b"second\n" * 50, "three.txt": b"third\n" * 50}
    certificate = ["-cert", lab.CERTIFICATE[0], "-key", lab.CERTIFICATE[1]]
    for name, server, client in (("session-id", ["-tls1_2", "-no_ticket"], ["--tls-max", "1.2"]), ("ticket-tls12", ["-tls1_2"], ["--tls-max", "1.2"]),
                                 ("ticket-tls13", ["-tls1_3"], ["--tlsv1.3"])):
        capture, keys, port = f"{lab.WORK}/{name}.pcap", f"{lab.WORK}/{name}.keys", lab.free_port()
        with s_server(port, served(pages), *server, *certificate):
            with lab.Capture(capture, port):
                lab.curl(port, keys, [("GET", "/" + page, None) for page in pages], "--http1.1", *client)
        lab.compare("resumption-" + name, capture, keys, [("GET", "/" + page) for page in pages])
        connections, full = (lab.count(capture, keys, f"tls.handshake.type=={kind}") for kind in (1, 11))
        lab.check("resumption", (connections, full) == (3, 1), f"{name}: {connections} connections, {full} with a certificate")

    secret = "00112233445566778899aabbccddeeff"
    capture, keys, port = f"{lab.WORK}/psk.pcap", f"{lab.WORK}/psk.keys", lab.free_port()
    with s_server(port, served(pages), "-tls1_3", "-nocert", "-psk", secret):
        with lab.Capture(capture, port):
            s_client(port, keys, ["GET /one.txt HTTP/1.1\r\nHost: peer.test\r\n\r\n"], "-psk", secret)
    lab.compare("resumption-external-psk", capture, keys, [("GET", "/one.txt")])


def case_secrets_of_one_random():
    """Key logs that two programs wrote: lines twice, and other secrets under the same client random."""
    requests = [("GET", "/gzip", None), ("POST", "/echo", b"x" * 5000)]
    for name, flags in (("tls12", ["--tls-max", "1.2"]), ("tls13", ["--tlsv1.3"])):
        capture, keys = lab.node_case("secrets-" + name, {}, ["--http1.1", *flags], requests)
        expected = lab.vitrine_view(capture, keys)
        for order in ("wrong first", "wrong last", "wrong around"):
            mixed = f"{lab.WORK}/mixed.keys"
            with open(keys) as lines, open(mixed, "w") as out:
                for line in lines:
                    words = line.split()
                    if len(words) != 3:
                        continue
                    wrong = " ".join([*words[:2], lab.sha(line.encode())[:1] * len(words[2])]) + "\n"
                    out.write({"wrong first": wrong + line, "wrong last": line + line + wrong, "wrong around": wrong + line + wrong}[order])
            got = lab.vitrine_view(capture, mixed)
            lab.check("secrets", got == expected, f"{name}, {order}: {lab.short(got)} is not {lab.short(expected)}")
    print("secrets: several for one random")


def case_tls12_chacha():
    lab.node_case("tls12-chacha", {"maxVersion": "TLSv1.2", "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, ["--http1.1", "--tls-max", "1.2"], lab.PLAIN)


def case_tls12_ccm():
    lab.node_case("tls12-ccm", {"maxVersion": "TLSv1.2", "ciphers": "ECDHE-ECDSA-AES128-CCM"},
              ["--http1.1", "--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-CCM"], lab.PLAIN)


def case_tls13_ccm():
    for name in ("TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"):
        lab.node_case("tls13-" + name[8:-7].lower().replace("_", ""), {"ciphers": name + ":DEFAULT@SECLEVEL=0"},
                  ["--http1.1", "--tlsv1.3", "--tls13-ciphers", name, "--ciphers", "DEFAULT:@SECLEVEL=0"], lab.PLAIN)


def case_hello_retry():
    capture, keys = lab.node_case("hello-retry", {"ecdhCurve": "P-256"}, ["--http1.1", "--tlsv1.3", "--curves", "X25519:P-256"], lab.PLAIN)
    hellos = lab.count(capture, keys, "tls.handshake.type==1")
    lab.check("hello-retry", hellos == 2, f"the capture has {hellos} ClientHellos, so no HelloRetryRequest")


def s_client(port, keys, writes, *flags, patience=1):
    """openssl s_client, its input written in steps; ends when the server closes."""
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "peer.test", "-tls1_3", "-keylogfile", keys, *flags],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for text in writes:
        time.sleep(0.4 * patience)
        process.stdin.write(text.encode())
        process.stdin.flush()
    try:
        process.wait(6)
    except subprocess.TimeoutExpired:
        process.kill()
    process.stdin.close()


def until_made(make, case, expected):
    """openssl's s_client is driven by pauses: on a machine that is too busy the
    peers may not do what was asked. tshark tells; then it is made again."""
    for attempt in range(3):
        capture, keys = make(1 + attempt)
        requests, _ = lab.tshark_http1(capture, keys)
        if [(r["method"], r["path"]) for r in requests] == expected:
            break
    lab.compare(case, capture, keys, expected)
    return capture, keys


def case_key_update():
    capture, keys = until_made(make_key_update, "key-update", [("GET", "/first"), ("GET", "/gzip"), ("GET", "/binary")])
    for side in ("dstport", "srcport"):
        updates = lab.count(capture, keys, f"tls.handshake.type==24 && tcp.{side}=={lab.PORT[0]}")
        lab.check("key-update", updates >= 2, f"{updates} KeyUpdates with the server as {side}")


def make_key_update(patience):
    case = f"key-update-{patience}"
    capture, keys = f"{lab.WORK}/{case}.pcap", f"{lab.WORK}/{case}.keys"
    with lab.Peer("node", f"{lab.HERE}/server.js", *lab.CERTIFICATE) as server:
        lab.PORT[0] = server.port
        with lab.Capture(capture, server.port):
            get = "GET {} HTTP/1.1\r\nHost: peer.test\r\n{}\r\n"
            s_client(server.port, keys, [get.format("/first", ""), "K\n", get.format("/gzip", ""), "k\n", "K\n",
                                         get.format("/binary", "Connection: close\r\n")], patience=patience)
    return capture, keys


def case_early_data():
    capture, keys = until_made(make_early_data, "early-data", [("GET", "/ticket"), ("GET", "/early"), ("GET", "/late")])
    accepted = lab.count(capture, keys, "tls.handshake.extension.type==42 && tls.handshake.type==8")
    lab.check("early-data", accepted == 1, "the server did not accept early data")


def make_early_data(patience):
    case = f"early-data-{patience}"
    capture, keys, session = f"{lab.WORK}/{case}.pcap", f"{lab.WORK}/{case}.keys", f"{lab.WORK}/{case}.session"
    early = f"{lab.WORK}/{case}.request"
    with open(early, "w") as out:
        out.write("GET /early HTTP/1.1\r\nHost: peer.test\r\n\r\n")
    port = lab.free_port()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
    with lab.Peer("openssl", "s_server", "-accept", str(port), "-cert", lab.CERTIFICATE[0], "-key", lab.CERTIFICATE[1], "-tls1_3", "-early_data",
              "-naccept", "2", port=port, stdin=subprocess.PIPE) as server:
        with lab.Capture(capture, port):
            for flags, request, body in ((["-sess_out", session], "GET /ticket HTTP/1.1\r\nHost: peer.test\r\n\r\n", b"first"),
                                         (["-sess_in", session, "-early_data", early], "GET /late HTTP/1.1\r\nHost: peer.test\r\n\r\n", b"early")):
                client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "peer.test", "-tls1_3", "-keylogfile", keys, *flags],
                                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(0.6 * patience)
                if body == b"early":
                    server.process.stdin.write(answer + body)
                    server.process.stdin.flush()
                    time.sleep(0.4 * patience)
                client.stdin.write(request.encode())
                client.stdin.flush()
                time.sleep(0.4 * patience)
                server.process.stdin.write(answer + (b"later" if body == b"early" else body))
                server.process.stdin.flush()
                time.sleep(0.4 * patience)
                client.stdin.write(b"Q\n")
                client.stdin.flush()
                client.wait(5)
                client.stdin.close()
    return capture, keys


def case_fragmented():
    case = "fragmented"
    cert, key = lab.certificate("many-names", sans=700)
    folder = served({"page.txt": b"a page of text\n" * 700})
    for version in ("-tls1_2", "-tls1_3"):
        port = lab.free_port()
        capture, keys = f"{lab.WORK}/{case}{version}.pcap", f"{lab.WORK}/{case}{version}.keys"
        with lab.Peer("openssl", "s_server", "-accept", str(port), "-cert", cert, "-key", key, version, "-max_send_frag", "512", "-HTTP",
                  port=port, cwd=folder, stdin=subprocess.PIPE):
            with lab.Capture(capture, port):
                lab.curl(port, keys, [("GET", "/page.txt", None)], "--http1.1")
        lab.compare(case + version, capture, keys, [("GET", "/page.txt")])
        link, frames = packets.read_pcap(capture)
        small = f"{lab.WORK}/{case}{version}-61.pcap"
        packets.write_pcap(small, link, packets.split_segments(frames, 61))
        lab.compare(case + version + " in segments of 61 bytes", small, keys, [("GET", "/page.txt")])
