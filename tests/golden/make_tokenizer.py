#!/usr/bin/env python3
"""CLIP's tokenizer against transformers: writes tokenizer/{vocab.json,merges.txt,cases.json} from tokenizer/corpus.txt.

vocab.json, merges.txt: learned here by the plainest form of byte-pair encoding (all pairs counted anew for each merge),
with transformers' own normaliser and splitter. The library's trainer must give these bytes.
cases.json: texts as [[hex, times], ...] with the ids that transformers' CLIPTokenizer gives for them under several
configurations ("hf"), those of OpenAI's clean-up without ftfy ("openai"), and what transformers makes of the ids again.
"""
import collections
import html
import json
import os
import pathlib
import random
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import regex
from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent / "tokenizer"
SIZE, FEWEST = 900, 2
START, END = "<|startoftext|>", "<|endoftext|>"


def spelling():
    """byte -> character, in CLIP's order of bytes"""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in visible]
    return {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}


SPELL = spelling()


def train(lines):
    tokens = list(SPELL.values()) + [c + "</w>" for c in SPELL.values()]
    blank = CLIPTokenizer().backend_tokenizer
    counts = collections.Counter()
    for line in lines:
        for word, _ in blank.pre_tokenizer.pre_tokenize_str(blank.normalizer.normalize_str(line)):
            counts[word] += 1
    number = {t: i for i, t in enumerate(tokens)}
    words = [([number[c] for c in w[:-1]] + [number[w[-1] + "</w>"]], n) for w, n in counts.items()]
    merges = []
    while len(tokens) < SIZE - 2:
        pairs = collections.Counter()
        for word, n in words:
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p), default=None)
        if best is None or pairs[best] < FEWEST:
            break
        text = tokens[best[0]] + tokens[best[1]]
        assert text not in number
        number[text] = len(tokens)
        tokens.append(text)
        merges.append((tokens[best[0]], tokens[best[1]]))
        for word, _ in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [number[text]]
                i += 1
    return tokens + [START, END], merges


class OpenAi:
    """The published behaviour of OpenAI's CLIP tokenizer without ftfy."""

    pattern = regex.compile(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE
    )

    def __init__(self, tokens, merges):
        self.id = {t: i for i, t in enumerate(tokens)}
        self.rank = {m: i for i, m in enumerate(merges)}

    def word(self, text):
        if text in (START, END):
            return [self.id[text]]
        parts = [SPELL[b] for b in text.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            rank, at = min((self.rank.get(p, 1e9), i) for i, p in enumerate(zip(parts, parts[1:])))
            if rank == 1e9:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self.id[p] for p in parts]

    def encode(self, text):
        text = html.unescape(html.unescape(text)).strip()
        text = regex.sub(r"\s+", " ", text).strip().lower()
        return [self.id[START]] + [i for w in self.pattern.findall(text) for i in self.word(w)] + [self.id[END]]


def flags(content, normalized, **more):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False, **more}


def configurations(n):
    typed = lambda t: {"__type": "AddedToken", **flags(t, True)}
    # as in the tokenizer folder of Stable Diffusion 1.5, and with the padding of 2.x
    config = {"bos_token": typed(START), "eos_token": typed(END), "unk_token": typed(END), "pad_token": END, "model_max_length": 77,
              "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    specials = {"bos_token": flags(START, True), "eos_token": flags(END, True), "unk_token": flags(END, True), "pad_token": END}
    listed = {"0": flags("!", False, special=True), str(n - 2): flags(START, True, special=True), str(n - 1): flags(END, True, special=True),
              str(n): flags("<Cat-Toy>", True, special=False), str(n + 1): flags("<É>", False, special=False)}
    return {
        "plain": {},
        "sd1": {"tokenizer_config.json": config, "special_tokens_map.json": specials},
        "sd2": {"tokenizer_config.json": config, "special_tokens_map.json": specials | {"pad_token": "!"}},
        "listed": {"tokenizer_config.json": {"added_tokens_decoder": listed, "pad_token": "!", "model_max_length": 40,
                                             "tokenizer_class": "CLIPTokenizer"},
                   "special_tokens_map.json": {"pad_token": "not read"}},
        "added": {"added_tokens.json": {"<cat-toy>": n, "<cat": n + 1}},
    }


BITS = [
    END, END.upper(), START, "<|StartOfText|>", "'s", "'RE", "'ll", "'D", "don't", "''s", "!", "!!!", "</w>", "\u0338", "\u0301", "\u0323", "İ", "Σ", "ΟΔΟΣ",
    "ΑΣ'", "ς", "ſ", "'ſ", "\u0345", "ǅ", "ﬁ", "가", "각", "ㄱ", "ᄀ", "ᅡ", "ᆨ", "中文", "日本", "😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "①", "Ⅷ", "½", "١٢", "123", "\0", "\x01", "\x1c",
    "\x7f", "\x85", "\u00a0", "\u200b", "\u2028", "\u3000", "\ufeff", "\ufffd", "\n", "\r\n", "\t", "   ", "<cat-toy>", "<CAT-TOY>", "<Cat-Toy>", "<É>", "<é>",
    "<E\u0301>", "<cat", "a", "b", "the", "Photograph", "lighthouse", "&amp;", "&amp;lt;b&gt;", "&#233;", "&#x41;", "&#0;", "&#128;", "&#1;", "&#xFDD0;",
    "&#xD800;", "&notit;", "&ampx", "&unknown;", "&", "&;", "&#;", "&#x;", "&eacute", "&CounterClockwiseContourIntegral;", "&#99999999999;", "\u1e9b\u0323",
    "\u212b", "\u2126", "\u0344", "\u0958", "\u2adc",
]
BROKEN = [b"\xff", b"\xc3", b"\xe4\xb8", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80",
          b"\xf8\x88\x80\x80\x80", b"\xe2\x82", b"\xfe"]


def texts():
    """bytes as [[piece, times], ...]"""
    yield []
    for bit in BITS:
        yield [[b"a " + bit.encode() + b" b", 1]]
        yield [[b"x" + bit.encode() + b"y", 1]]
    for broken in BROKEN:
        yield [[b"a" + broken + b"b " + broken, 1]]
    yield [[bytes(range(256)), 1]]
    yield [["".join(map(chr, range(0x250))).encode(), 1]]
    yield [[b"lighthouse", 1000]]  # one word of 10,000 characters
    yield [["é".encode(), 300], [b"!", 3]]
    yield [["!a\u0323".encode(), 1], ["\u0301\u0323".encode(), 300]]
    for line in (HERE / "corpus.txt").read_text().splitlines():
        yield [[line.encode(), 1]]
    rng = random.Random(7)
    for _ in range(120):
        pieces = [rng.choice(BITS).encode() if rng.random() < 0.9 else rng.choice(BROKEN) for _ in range(rng.randint(2, 10))]
        yield [[b"".join(pieces), 1]]


def main():
    tokens, merges = train((HERE / "corpus.txt").read_text().splitlines())
    vocab = "{" + ", ".join(f"{json.dumps(t, ensure_ascii=False)}: {i}" for i, t in enumerate(tokens)) + "}\n"
    (HERE / "vocab.json").write_text(vocab)
    (HERE / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    configs = configurations(len(tokens))
    cases = [{"text": [[piece.hex(), times] for piece, times in t]} for t in texts()]
    openai = OpenAi(tokens, merges)
    for name, files in configs.items():
        with tempfile.TemporaryDirectory() as folder:
            for file in ("vocab.json", "merges.txt"):
                pathlib.Path(folder, file).write_text((HERE / file).read_text())
            for file, content in files.items():
                pathlib.Path(folder, file).write_text(json.dumps(content))
            hf = CLIPTokenizer.from_pretrained(folder)
        for case in cases:
            text = b"".join(bytes.fromhex(piece) * times for piece, times in case["text"]).decode(errors="replace")
            ids = hf(text).input_ids
            if name == "plain":
                case["hf"] = ids
                case["padded"] = hf(text, padding="max_length", truncation=True, max_length=12).input_ids
                case["decoded"] = hf.decode(ids)
                if (other := openai.encode(text)) != ids:
                    case["openai"] = other
            elif ids != case["hf"]:
                case[name] = ids
    rows = ",\n  ".join(json.dumps(c, ensure_ascii=True, separators=(",", ":")) for c in cases)
    head = json.dumps(configs, ensure_ascii=False)
    (HERE / "cases.json").write_text(f'{{"configs": {head},\n "cases": [\n  {rows}\n]}}\n')


main()
