"""Scripts that drive headless Chromium on the page of `vitrine serve` (browser.mjs)."""
import json
import os
import shutil
import subprocess

from server import skip

HERE = os.path.dirname(os.path.abspath(__file__))


class Browser:
    """The test is skipped without node, chromium or playwright-core."""

    def __init__(self, build):
        for tool in ("node", "chromium"):
            if not shutil.which(tool):
                skip(f"{tool} is not installed (./dev setup --tests)")
        folders = [os.path.join(build, "peers/node_modules"), os.path.join(HERE, "../../examples/aster/lab/node_modules")]
        found = [path for path in (os.path.join(folder, "playwright-core") for folder in folders) if os.path.isdir(path)]
        if not found:
            skip("playwright-core is not installed (./dev setup --tests)")
        self.playwright, self.chromium = os.path.realpath(found[0]), shutil.which("chromium")

    def run(self, script, url, *flags):
        """The one JSON object that the script prints; None, when it prints none."""
        out = subprocess.run(["node", os.path.join(HERE, script), self.playwright, self.chromium, url, *flags],
                             stdout=subprocess.PIPE, timeout=800)
        return json.loads(out.stdout) if out.stdout else None
