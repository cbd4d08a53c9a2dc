#!/usr/bin/env python3
"""Writes tests/kernels/data/dequantized.txt: random blocks of every quantized type and
what gguf-py makes of them. One line a type: NAME, the blocks in hex, the float32 results
in hex (little-endian). Needs `pip install gguf numpy`; run it only to make the file anew.
"""
import pathlib
import sys

import numpy
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

# Offsets of f16 factors in a block: random bytes there could be infinite or NaN.
F16_AT = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "MXFP4": [], "BF16": [], "F16": []}


def blocks(name, random):
    elements, size = GGML_QUANT_SIZES[Type[name]]
    count = 3 if elements > 1 else 64
    data = random.integers(0, 256, (count, size), dtype=numpy.uint8)
    for at in F16_AT[name]:
        factors = (random.standard_normal(count) * 10.0 ** random.integers(-6, 2, count)).astype(numpy.float16)
        data[:, at:at + 2] = factors.view(numpy.uint8).reshape(count, 2)
    if name == "MXFP4":
        data[:, 0] = [0, 1, 130]  # both subnormal factors, and a common one
    if name in ("F16", "BF16"):
        data[:, 1] &= 0xBF  # no infinity, no NaN
    return data.reshape(-1)


def main():
    random = numpy.random.default_rng(20261124)
    out = pathlib.Path(__file__).parent.parent / "tests/kernels/data/dequantized.txt"
    with open(out, "w", encoding="ascii") as f:
        for name in F16_AT:
            data = blocks(name, random)
            floats = dequantize(data, Type[name]).astype("<f4")
            f.write(f"{name} {data.tobytes().hex()} {floats.tobytes().hex()}\n")
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    sys.exit(main())
