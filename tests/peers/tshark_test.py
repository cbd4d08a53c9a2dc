#!/usr/bin/env python3
"""Makes captures that are not in the repository, with real peers on loopback,
and compares what vitrine and tshark read in them: method, authority, path,
status, body digests.

    tshark_test.py VITRINE [CASE…]

Exit status 77 (skipped) when a tool or the right to capture is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import http_cases
import lab
import link_cases
import tls_cases

TOOLS = ["tshark", "tcpdump", "openssl", "node", "curl", "editcap", "mergecap"]
CASES = {name[5:]: function for module in (tls_cases, http_cases, link_cases)
         for name, function in vars(module).items() if name.startswith("case_") and name != "case_http2_br"}  # part of "rewritten"


def main():
    lab.VITRINE = sys.argv[1]
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        lab.skip("not installed: " + ", ".join(missing))
    if os.geteuid() != 0:
        lab.skip("capturing on loopback needs root")
    if not os.access(lab.VITRINE, os.X_OK):
        lab.skip(f"{lab.VITRINE} is not built")
    with tempfile.TemporaryDirectory(prefix="vitrine-peers-") as lab.WORK:
        lab.CERTIFICATE = lab.certificate("peer")
        for name in sys.argv[2:] or CASES:
            begin = time.time()
            try:
                CASES[name]()
            except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
                # A peer that fails is no verdict on vitrine, but must not pass for one.
                detail = getattr(error, "stderr", b"") or b""
                lab.check(name, False, f"could not be made: {error!r} {detail.decode(errors='replace')[-300:]}")
            print(f"  {name}: {time.time() - begin:.1f} s")
    for case in lab.LEFT_OUT:
        print("LEFT OUT", case)
    for failure in lab.FAILURES:
        print("FAILED", failure)
    sys.exit(1 if lab.FAILURES else 0)


if __name__ == "__main__":
    main()
