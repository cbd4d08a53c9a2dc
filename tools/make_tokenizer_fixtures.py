#!/usr/bin/env python3
"""Makes tests/engine/data/{bytes,pieces}.json, two tiny tokenizers trained on
the text below, and *.golden.json: strings with the ids that Hugging Face's
`tokenizers` gives them. Needs PyPI `tokenizers`; same output at every run with
the same version of it.

    PYTHONPATH=build/peers/python tools/make_tokenizer_fixtures.py
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "peers"))
import tokenizer_test as peers  # the strings
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

DATA = os.path.join(HERE, "..", "tests", "engine", "data")
TEXT = [peers.CODE, " ".join(peers.WORDS)] * 4 + [
    "The quick brown fox jumps over the lazy dog. " * 3, "안녕하세요. 오늘 날씨가 어떻습니까? " * 3, "你好，世界。今天天气怎么样？" * 3,
    "1234567890 12 345 6789 " * 3, "    indented\n        more\n\n\n" * 3]

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
V3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|"
      "\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]


def deepseek_llm():
    """The expressions of DeepSeek-LLM as pre_tokenizer.cc has them: the ranges are data, not code."""
    source = open(os.path.join(HERE, "..", "engine", "pre_tokenizer.cc"), encoding="utf-8").read()

    def constant(name):
        body = re.search(name + r" =\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+);", source).group(1)
        text = "".join(re.findall(r"\"((?:[^\"\\]|\\.)*)\"", body)).replace("\\\\", "\\")
        return re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: chr(int(found.group(1), 16)), text)
    return [r"[\r\n]", constant("kDeepSeekLlmLetters"), constant("kDeepSeekLlmPunctuation"), r"\s+$",
            constant("kDeepSeekLlmCjk")]


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


DIGITS = {"type": "Digits", "individual_digits": True}
NFC = {"type": "NFC"}
# name in tokenizer.ggml.pre -> (pre_tokenizer, normalizer, ignore_merges) of the models' own tokenizer.json
NAMED = {
    "gpt-2": (byte_level(True), None, False),
    "smollm": (sequence(DIGITS, byte_level(True)), None, False),
    "llama-bpe": (sequence(split(LLAMA3), byte_level(False)), None, True),
    "qwen2": (sequence(split(QWEN2), byte_level(False)), NFC, False),
    "deepseek-r1-qwen": (sequence(split(QWEN2), byte_level(False)), None, False),
    "deepseek-v3": (sequence(*map(split, V3), byte_level(False)), None, False),
    "deepseek-llm": (sequence(*map(split, deepseek_llm()), DIGITS, byte_level(False)), None, False),
    "gpt-4o": (sequence(split(O200K), byte_level(False)), None, True),
}


def train_bytes():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(__import__("tokenizers").Regex(LLAMA3), "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>", "<｜User｜>"])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False),
                          AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<tail>", rstrip=True, normalized=False),
                          AddedToken("<norm>", normalized=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))])
    return tokenizer


def train_pieces():
    """The shape of Llama 2's and Mixtral's: SentencePiece with byte fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)  # for training: no merges across words
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=760, special_tokens=special, show_progress=False,
                                                            limit_alphabet=150))
    saved = json.loads(tokenizer.to_str())
    saved["pre_tokenizer"] = None
    saved["added_tokens"] = [token for token in saved["added_tokens"] if token["id"] < 3]
    saved["decoder"] = json.loads(decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                                     decoders.Strip(" ", 1, 0)]).__getstate__())
    # Ids in the order of merges, letters last, as SentencePiece numbers them: then the score of a piece is minus its id.
    vocabulary, merges = saved["model"]["vocab"], [tuple(pair) for pair in saved["model"]["merges"]]
    joined = list(dict.fromkeys(left + right for left, right in merges))
    letters = sorted(token for token, number in vocabulary.items() if number >= 259 and token not in set(joined))
    saved["model"]["vocab"] = {token: number for number, token in enumerate(special + joined + letters)}
    return Tokenizer.from_str(json.dumps(saved))


def golden(tokenizer, strings):
    rows = []
    for index, raw in enumerate(strings):
        mode = (peers.ALL, peers.ALL, peers.NOT_SPECIAL)[index % 3]
        tokenizer.encode_special_tokens = mode == peers.NOT_SPECIAL
        rows.append([mode, raw.hex(), tokenizer.encode(raw.decode("utf-8", "replace"), add_special_tokens=False).ids])
    return rows


def write(name, value, rows=()):
    with open(os.path.join(DATA, name), "w", encoding="utf-8") as file:
        file.write(value)
    print(name, os.path.getsize(os.path.join(DATA, name)))


def main():
    strings = [raw for raw in peers.strings(3000) if len(raw) <= 48]
    own = ["<|begin|>a<|end|>b", "x <mask> y", "x  \n<mask>y", "a <tail>  b", "<tail>\u3000<mask>", "<norm> n <norm>",
           "<think>why</think>", "<｜User｜>hi", "<|begin|", "<|begin|><|begin|>", "</think", " <mask>  <mask> "]
    own = [text.encode() for text in own] * 3
    plain = train_bytes()
    write("bytes.json", json.dumps(json.loads(plain.to_str()), ensure_ascii=False, separators=(",", ":")))
    cases = {"own": golden(plain, own + strings[:200])}
    for offset, (name, (pre_tokenizer, normalizer, ignore_merges)) in enumerate(NAMED.items()):
        saved = json.loads(plain.to_str())
        saved["pre_tokenizer"], saved["normalizer"] = pre_tokenizer, normalizer
        saved["model"]["ignore_merges"] = ignore_merges
        begin = 200 + 80 * offset
        cases[name] = golden(Tokenizer.from_str(json.dumps(saved)), own[:12] + strings[begin:begin + 80] + [
            b"\r\n \r\n  x", b"12345 123456", b"a  b   ", "中文abc한글123 'S 'LL ſ'ſ".encode(), b"   \t \xe4\xb8\xad", "e\u0301\u0323 \u1e9b\u0323".encode()])
    write("bytes.golden.json", json.dumps(cases, separators=(",", ":")))
    pieces = train_pieces()
    write("pieces.json", json.dumps(json.loads(pieces.to_str()), ensure_ascii=False, separators=(",", ":")))
    own = ["<s>a</s> b", " <s> x", "<unk>", "<0x41>", "▁a ▁ b", "  a", "a  "]
    write("pieces.golden.json", json.dumps({"own": golden(pieces, [t.encode() for t in own] + strings[900:1150])}, separators=(",", ":")))


if __name__ == "__main__":
    main()
