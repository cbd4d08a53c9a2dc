#!/usr/bin/env python3
"""Writes tests/golden/gguf: small files by the PyPI package `gguf`, and what its reader finds in them.

    pip install gguf && python3 tools/make_gguf_fixtures.py tests/golden/gguf

values.gguf    every metadata type, every array type
tensors.gguf   one tensor of every type the package can size, alignment 64
split-*.gguf   a model in three parts
FILE.json      {"metadata": {key: {"type", "value"}}, "tensors": {name: {"type", "ne", "offset", "sha256"}}}
"""
import hashlib
import json
import pathlib
import sys

import gguf
import numpy as np

QUANTS = gguf.constants.GGML_QUANT_SIZES
SKIPPED = {"Q8_1", "Q8_K", "NVFP4", "Q1_0", "TQ1_0", "TQ2_0"}


def random_bytes(seed, count):
    return np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8)


def add_raw(writer, name, kind, rows, columns, seed):
    block, size = QUANTS[kind]
    data = random_bytes(seed, rows * columns // block * size).reshape(rows, -1)
    writer.add_tensor(name, data, raw_dtype=kind)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def value_of(field):
    value = field.contents()
    if isinstance(value, (list, np.ndarray)):
        return [v.item() if hasattr(v, "item") else v for v in value]
    return value.item() if hasattr(value, "item") else value


def describe(path):
    reader = gguf.GGUFReader(path)
    metadata = {}
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        metadata[key] = {"type": [t.name for t in field.types], "value": value_of(field)}
    tensors = {}
    for t in reader.tensors:
        tensors[t.name] = {
            "type": t.tensor_type.name,
            "ne": [int(n) for n in t.shape],
            "offset": int(t.data_offset),
            "sha256": hashlib.sha256(np.ascontiguousarray(t.data).tobytes()).hexdigest(),
        }
    text = json.dumps({"metadata": metadata, "tensors": tensors}, indent=1, ensure_ascii=False)
    pathlib.Path(f"{path}.json").write_text(text + "\n", encoding="utf-8")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "values.gguf"
    w = gguf.GGUFWriter(path, "llama")
    w.add_uint8("t.u8", 200)
    w.add_int8("t.i8", -100)
    w.add_uint16("t.u16", 60000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000)
    w.add_int32("t.i32", -2000000000)
    w.add_float32("t.f32", 0.15625)
    w.add_bool("t.true", True)
    w.add_bool("t.false", False)
    w.add_string("t.string", "vitrine 유리 진열장 \n\"quoted\"")
    w.add_string("t.empty", "")
    w.add_uint64("t.u64", 2**63 + 5)
    w.add_int64("t.i64", -(2**62))
    w.add_float64("t.f64", 1.0e-300)
    w.add_array("t.strings", ["a", "", "한국어", "long " * 20])
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.floats", [0.5, -1.25])
    w.add_array("t.bools", [True, False, True])
    finish(w)
    describe(path)

    path = folder / "tensors.gguf"
    w = gguf.GGUFWriter(path, "llama")
    w.add_custom_alignment(64)
    for seed, kind in enumerate(k for k in QUANTS if k.name not in SKIPPED):
        add_raw(w, f"blk.{seed}.{kind.name.lower()}.weight", kind, 3, 256, seed)
    w.add_tensor("vector", np.arange(5, dtype=np.float32))
    w.add_tensor("cube", np.arange(24, dtype=np.float16).reshape(2, 3, 4))
    finish(w)
    describe(path)

    w = gguf.GGUFWriter(folder / "split.gguf", "llama", split_max_tensors=2)
    w.add_string("general.name", "split")
    for i in range(5):
        w.add_tensor(f"blk.{i}.attn_norm.weight", np.full(8, i, dtype=np.float32))
    finish(w)
    for part in sorted(folder.glob("split-*.gguf")):
        describe(part)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
