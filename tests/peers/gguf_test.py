#!/usr/bin/env python3
"""Reads synthetic GGUF files with the PyPI package `gguf` and compares with
`vitrine model show --json`: tensors and bytes by type, parameters, tokenizer;
and looks at weights as that package dequantizes them.

    gguf_test.py MAKE_MODEL VITRINE PEERS

PEERS is the folder that `./dev setup --tests` fills. Exit status 77 (skipped)
when the package is missing.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile

NARROW = ["--layers", "2", "--embedding", "512", "--expert-ffn", "256", "--ffn", "512", "--heads", "8", "--vocabulary", "512"]
CASES = [
    ["--model", "deepseek-v2-lite", *NARROW, "--type", "q4_0"],
    ["--model", "deepseek-v3", *NARROW, "--dense-layers", "1", "--q-lora-rank", "256", "--experts", "64", "--type", "q4_k"],
    ["--model", "deepseek-v3", *NARROW, "--dense-layers", "1", "--q-lora-rank", "256", "--experts", "64", "--type", "q8_0",
     "--legacy-mla"],
    ["--model", "qwen3-30b-a3b", *NARROW, "--type", "q6_k"],
    ["--model", "mixtral-8x7b", *NARROW, "--type", "mxfp4"],
    ["--model", "llama-3.1-8b", *NARROW, "--type", "q5_k"],
    ["--model", "qwen2.5-7b", *NARROW, "--type", "q3_k"],
]


def main(make_model, vitrine, peers):
    sys.path.insert(0, os.path.join(peers, "python"))
    try:
        import gguf
        import numpy as np
    except ImportError as error:
        print(f"SKIPPED: {error}; ./dev setup --tests installs it")
        return 77
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            path = os.path.join(folder, "model.gguf")
            subprocess.run([make_model, "-o", path, *case], check=True, stdout=subprocess.DEVNULL)
            shown = json.loads(subprocess.run([vitrine, "model", "show", path, "--json"], check=True, capture_output=True).stdout)
            reader = gguf.GGUFReader(path)
            types = collections.defaultdict(lambda: {"tensors": 0, "elements": 0, "bytes": 0, "supported": True})
            for tensor in reader.tensors:
                entry = types[tensor.tensor_type.name]
                entry["tensors"] += 1
                entry["elements"] += int(tensor.n_elements)
                entry["bytes"] += int(tensor.n_bytes)
            arch = reader.get_field("general.architecture").contents()
            problems = []
            if shown["types"] != types:
                problems.append(f"types {shown['types']} against {dict(types)}")
            if shown["parameters"] != sum(int(t.n_elements) for t in reader.tensors):
                problems.append(f"{shown['parameters']} parameters")
            if shown["memory"]["weights"] != sum(int(t.n_bytes) for t in reader.tensors):
                problems.append(f"{shown['memory']['weights']} bytes of weights")
            if shown["layers"] != reader.get_field(f"{arch}.block_count").contents() or not shown["can_run"]:
                problems.append("layers, or not runnable")
            if not shown["tokenizer"].endswith(f"{len(reader.get_field('tokenizer.ggml.tokens').data)} tokens"):
                problems.append(shown["tokenizer"])
            # The weights are numbers of the intended size: standard deviation 1/sqrt(n_in).
            for tensor in reader.tensors:
                if tensor.name.endswith(("ffn_up.weight", "ffn_up_exps.weight")):
                    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
                    size = float(np.std(values)) * float(tensor.shape[0]) ** 0.5
                    if not 0.6 < size < 1.6:
                        problems.append(f"{tensor.name}: size {size}")
            print("FAILED" if problems else "ok", " ".join(case), *problems, sep="\n    " if problems else " ")
            failures += bool(problems)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
