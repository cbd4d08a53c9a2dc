#!/usr/bin/env python3
"""Writes tests/golden/safetensors by the PyPI package `safetensors`: one file of every dtype it offers for numpy,
a model in two shards, and what its reader finds.

    pip install safetensors numpy && python3 tools/make_safetensors_fixtures.py tests/golden/safetensors
"""
import hashlib
import json
import pathlib
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]


def describe(path):
    out = {}
    with safe_open(path, framework="np") as f:
        for name in f.keys():
            t = f.get_tensor(name)
            out[name] = {"dtype": f.get_slice(name).get_dtype(), "shape": list(t.shape),
                         "sha256": hashlib.sha256(np.ascontiguousarray(t).tobytes()).hexdigest()}
    pathlib.Path(f"{path}.json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    types = folder / "types.safetensors"
    tensors = {f"t.{d}": rng.integers(0, 2, (3, 5)).astype(d) for d in DTYPES}
    tensors["scalar"] = np.array(2.5, dtype=np.float32)
    tensors["empty"] = np.zeros((0, 4), dtype=np.float32)
    save_file(tensors, types, metadata={"format": "pt", "note": "\"quoted\" 유리"})
    describe(types)

    shards = {"model-00001-of-00002.safetensors": {"a": np.arange(6, dtype=np.float32).reshape(2, 3)},
              "model-00002-of-00002.safetensors": {"b": np.arange(4, dtype=np.float16), "c": np.zeros(2, np.float32)}}
    sharded = folder / "sharded"
    sharded.mkdir(exist_ok=True)
    weight_map = {}
    for name, part in shards.items():
        save_file(part, sharded / name)
        weight_map |= {tensor: name for tensor in part}
    index = {"metadata": {"total_size": 40}, "weight_map": weight_map}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
