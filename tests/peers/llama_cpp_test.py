#!/usr/bin/env python3
"""The same GGUF here and in llama.cpp, both given the same tokens.

With float32 weights both compute the same function: top-1 agreement >= 99 %, mean KL <= 1e-3, every disagreement
explained by the noise. With quantized weights no two programs can promise that, because each rounds activations to
8 bits before every matrix: where two of them differ in the last bit of a float32 sum, some number falls to the other
side of a rounding step, and a few layers later they differ by all of the quantization noise. llama.cpp differs from
itself so, with and without its flash attention, on one machine. That distance, measured in the same run, is the bar for
ours; and ours must not be farther from the answers with the same weights in float32 ("exact") than llama.cpp's is.
Skipped (77), saying why, without node-llama-cpp.

    llama_cpp_test.py TEACHER_LOGITS MAKE_MODEL PEERS MODELS [NAME…]
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
TOKENS = 64
BEST = 1024  # tokens per position that are compared one by one; the rest counts as one
AGREEMENT, DIVERGENCE = 0.99, 1e-3
# Ours over llama.cpp's: mean KL from it as a part of its own from itself, mean KL from the exact answers as a part of its
# own. About 1, but the fewer positions and the smaller the noise, the less it says; so a KL under NEGLIGIBLE is good.
FROM_ITSELF, FROM_EXACT, NEGLIGIBLE = 2, 1.25, 1e-4
# A disagreement is explained when the gap between the two candidates is within this many standard deviations of
# the difference between the implementations' logits at that position.
DEVIATIONS = 4

PROMPTS = [
    "The capital of France is", "def fibonacci(n):", "Once upon a time, in a village by the sea,",
    "The three laws of thermodynamics are", "1, 1, 2, 3, 5, 8,", "Dear Sir or Madam, I am writing to",
    "To make bread you need flour,", "The mitochondria is", "SELECT name, age FROM", "In 1969, Apollo 11",
    "She opened the door and saw", "Photosynthesis is the process by which", "La casa es", "Water boils at",
    "int main(int argc, char", "Roses are red, violets are", "The quick brown fox", "A prime number is",
    "Question: What is the largest planet? Answer:", "My favourite season is autumn because",
]
SMALL = ["--layers", "3", "--embedding", "512", "--vocabulary", "2048", "--expert-ffn", "256", "--experts", "16",
         "--context", "2048"]
SYNTHETIC = {
    "deepseek2": ["--model", "deepseek-v2-lite", "--ffn", "1024", "--heads", "8", "--type", "q8_0", *SMALL],
    "deepseek2-legacy": ["--model", "deepseek-v2-lite", "--ffn", "1024", "--heads", "8", "--type", "q8_0",
                         "--legacy-mla", *SMALL],
    "qwen3moe": ["--model", "qwen3-30b-a3b", "--type", "q8_0", *SMALL],
    "qwen3moe-q4_k": ["--model", "qwen3-30b-a3b", "--type", "q4_k", *SMALL],
}


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


try:
    sys.path.insert(0, str(pathlib.Path(sys.argv[3]) / "python"))
    import gguf
    import numpy as np
except ImportError as missing:
    skip(f"{missing.name} is not installed: ./dev setup --tests")


def in_float32(path, out):
    """The same file with every tensor as F32."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_key_value(field.name, field.contents(), field.types[0], field.types[-1])
        else:
            writer.add_key_value(field.name, field.contents(), field.types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


class Peer:
    """llama.cpp's best tokens of every position."""

    def __init__(self, tools, model, tokens, folder, flash_attention=True):
        out = folder / "peer.f32"
        subprocess.run([tools["node"], HERE / "llama_cpp.mjs", tools["peers"], model, tokens, str(BEST), out,
                        json.dumps(flash_attention)], check=True)
        rows = np.fromfile(out, np.float32).reshape(-1, 1 + 2 * BEST).astype(np.float64)
        assert np.isfinite(rows).all()
        self.ids = rows[:, 1 : 1 + BEST].astype(np.int64)
        self.log_p = rows[:, 1 + BEST :] - rows[:, :1]
        self.best = self.ids[:, 0]

    def divergence(self, log_p):
        """KL(log_p || this) per position, the tokens beyond the best as one."""
        p = np.take_along_axis(log_p, self.ids, 1)
        return self.divergence_of_best(p)

    def divergence_of_best(self, p):
        """The same for log probabilities of `ids`; -inf where the other has none."""
        known = np.isfinite(p)
        kl = np.where(known, np.exp(p) * (np.where(known, p, 0) - self.log_p), 0).sum(1)
        mine, theirs = (np.maximum(1 - np.where(known, np.exp(x), 0).sum(1), 1e-12) for x in (p, self.log_p))
        return kl + mine * (np.log(mine) - np.log(theirs))

    def divergence_from(self, other):
        """KL(other || this) per position, the tokens that are not among the best of both as one."""
        p = np.full(self.ids.shape, -np.inf)
        for row, (ids, log_p) in enumerate(zip(other.ids, other.log_p)):
            by_id = np.argsort(ids)
            at = by_id[np.minimum(np.searchsorted(ids, self.ids[row], sorter=by_id), len(ids) - 1)]
            p[row] = np.where(ids[at] == self.ids[row], log_p[at], -np.inf)
        return self.divergence_of_best(p)


def ours(tools, model, lines, folder):
    out = folder / "ours.f32"
    run = subprocess.run([tools["teacher"], model, str(TOKENS), out], input="".join(line + "\n" for line in lines),
                         text=True, stdout=subprocess.PIPE, check=True)
    return log_softmax(np.fromfile(out, np.float32).reshape(TOKENS * len(lines), -1)), run.stdout


def unexplained(log_p, peer):
    """Disagreements whose gap is beyond the noise."""
    count = 0
    for row in np.flatnonzero(log_p.argmax(1) != peer.best):
        mine = log_p[row, peer.ids[row]]
        noise = (mine - peer.log_p[row]).std()
        here = np.flatnonzero(peer.ids[row] == log_p[row].argmax())
        if here.size == 0:  # not even among its best
            count += 1
            continue
        gap = max(log_p[row].max() - mine[0], peer.log_p[row, 0] - peer.log_p[row, here[0]])
        count += gap > DEVIATIONS * noise
    return int(count)


def compare(name, model, lines, tools, folder):
    exact_model = folder / "float32.gguf"
    in_float32(model, exact_model)
    quantized, tokens = ours(tools, model, lines, folder)
    (folder / "tokens.txt").write_text(tokens)
    exact, _ = ours(tools, exact_model, ["forced: " + line for line in tokens.splitlines()], folder)
    peer_exact = Peer(tools, exact_model, folder / "tokens.txt", folder)
    exact_model.unlink()
    peer = Peer(tools, model, folder / "tokens.txt", folder)
    itself = Peer(tools, model, folder / "tokens.txt", folder, flash_attention=False)

    result = {
        "model": name, "positions": len(exact),
        "float32": {"agreement": float((exact.argmax(1) == peer_exact.best).mean()),
                    "mean_kl": float(peer_exact.divergence(exact).mean()),
                    "unexplained": unexplained(exact, peer_exact)},
        "quantized": {"agreement": float((quantized.argmax(1) == peer.best).mean()),
                      "mean_kl": float(peer.divergence(quantized).mean()),
                      "unexplained": unexplained(quantized, peer),
                      "ours_from_exact": float((np.exp(exact) * (exact - quantized)).sum(1).mean()),
                      "theirs_from_exact": float(peer.divergence(exact).mean())},
        "llama_cpp_and_itself": {"agreement": float((itself.best == peer.best).mean()),
                                 "mean_kl": float(peer.divergence_from(itself).mean())}}
    print(json.dumps(result), flush=True)
    same, noise, own = result["float32"], result["quantized"], result["llama_cpp_and_itself"]
    few = 2 * len(exact) ** 0.5 / 10 / len(exact)  # two standard deviations of a count of disagreements, of 1 in 100
    bars = {
        "float32 agreement": same["agreement"] >= AGREEMENT,
        "float32 mean KL": same["mean_kl"] <= DIVERGENCE,
        "float32 unexplained": same["unexplained"] == 0,
        "quantized agreement": noise["agreement"] >= min(AGREEMENT, 1 - FROM_ITSELF * (1 - own["agreement"])) - few,
        "quantized mean KL": noise["mean_kl"] <= max(FROM_ITSELF * own["mean_kl"], NEGLIGIBLE),
        "from exact": noise["ours_from_exact"] <= max(FROM_EXACT * noise["theirs_from_exact"], NEGLIGIBLE),
        "quantized unexplained": noise["unexplained"] <= len(exact) // 500,
    }
    for bar, held in bars.items():
        if not held:
            print(f"{name}: missed: {bar}", flush=True)
    return all(bars.values())


def main():
    teacher, make_model, peers, models = (pathlib.Path(p).resolve() for p in sys.argv[1:5])
    node = shutil.which("node")
    if node is None or not (peers / "node_modules/node-llama-cpp").exists():
        skip("node-llama-cpp is not installed: ./dev setup --tests")
    tools = {"teacher": teacher, "node": node, "peers": peers}
    good, compared = True, 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        rng = np.random.default_rng(1)
        for name, arguments in SYNTHETIC.items():
            lines = [" ".join(map(str, rng.integers(0, 256, 24))) for _ in range(3)]
            if not make_model.exists() or (sys.argv[5:] and name not in sys.argv[5:]):
                continue
            path = folder / f"{name}.gguf"
            subprocess.run([make_model, "-o", path, *arguments], check=True)
            good &= compare(name, path, lines, tools, folder)
            compared += 1
            path.unlink()
        smollm2 = models / "SmolLM2-135M-Instruct.gguf"
        if not smollm2.exists():
            print("without SmolLM2: ./dev setup --tests, or ./dev model smollm2")
        elif not sys.argv[5:] or "smollm2" in sys.argv[5:]:
            good &= compare("SmolLM2-135M-Instruct Q4_1", smollm2, ["text: " + p for p in PROMPTS], tools, folder)
            compared += 1
    if compared == 0:
        skip("no model to compare")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
