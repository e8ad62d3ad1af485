#!/usr/bin/env python3
"""BERT's tokenizer against transformers: writes wordpiece/{vocab.txt,cases.json} from tokenizer/corpus.txt.

vocab.txt: the special tokens, every character of the corpus (alone and behind "##"), and the pieces of its words that save the most.
cases.json: [text, the ids that transformers' BertTokenizer in Python gives for it with [DEC] and [ENC] added, cut to 35] for texts of
many scripts, special tokens, signs, controls, and random mixtures of them; broken UTF-8 as [["hex", ...], ids].
`check PROMPTS` writes such cases for a file's lines (of a .tsv: the first column) to stdout.
"""
import collections
import json
import pathlib
import random
import re
import sys
import unicodedata

from transformers import BertTokenizer
from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer, BertTokenizerLegacy

HERE = pathlib.Path(__file__).resolve().parent
LENGTH = 35


def vocabulary(lines, pieces=600):
    basic = BasicTokenizer(do_lower_case=True)
    words = collections.Counter(w for line in lines for w in basic.tokenize(line))
    letters = sorted({c for w in words for c in w} | set("abcdefghijklmnopqrstuvwxyz0123456789") | {chr(c) for c in range(33, 127) if not chr(c).isupper()})
    saved = collections.Counter()
    for word, n in words.items():
        for i in range(len(word)):
            for j in range(i + 2, len(word) + 1):
                saved[("##" if i else "") + word[i:j]] += n * (j - i - 1)
    best = [p for p, _ in sorted(saved.items(), key=lambda kv: (-kv[1], kv[0]))[:pieces]]
    return ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters + ["##" + c for c in letters] + best


def tokenizer(vocab):
    t = BertTokenizerLegacy(str(vocab))
    t.rust, t.differ = BertTokenizer.from_pretrained(str(pathlib.Path(vocab).parent)), []
    for each in (t, t.rust):
        each.add_special_tokens({"bos_token": "[DEC]"})
        each.add_special_tokens({"extra_special_tokens": ["[ENC]"]})
    return t


def lowered(t, text):
    """Transformers 4's first step, which 5 lacks: lower case of each character alone, so that no sigma becomes a final one."""
    return re.sub("(" + "|".join(map(re.escape, t.all_special_tokens)) + ")|(.+?)", lambda m: m[1] or m[2].lower(), text)


def ids(t, text):
    full = t(lowered(t, text), padding="max_length", truncation=True, max_length=LENGTH)
    n = sum(full["attention_mask"])
    assert full["input_ids"][n:] == [t.pad_token_id] * (LENGTH - n)
    rust = t.rust(text, truncation=True, max_length=LENGTH)["input_ids"]
    t.differ += [text] * (rust != full["input_ids"][:n])
    return full["input_ids"][:n]


def texts(lines):
    yield from lines
    yield from ["", " ", "\t\n\r ", "[CLS]", "a [MASK] fox", "x[SEP]y[PAD][PAD]", "[DEC][ENC] the [UNK]", "[mask] [Mask] [MASK", "[[MASK]]", "[DEC] [dec]",
                "fox " * 40, "a" * 100, "a" * 101, "ab" * 50 + "c", "the fox" + "!" * 50, "é" * 100 + " " + "é" * 101, "e\u0301\u0316\u0301 E\u0301",
                "ΟΔΟΣ οδος Σ ΑΣ.", "İstanbul ISTANBUL ıi", "Ǆ ǅ ǆ ß ẞ ﬁ ŉ", "Å Å Å Ω Ω", "1880–1889 — ‘quoted’ “text” … ¿qué? ¡no!", "$5 + 3 = 8 ^ ` ~ | < >",
                "a\u200bb\u00adc\ufeffd\u2060e", "a\x00b\x01c\x7fd\x85e\ufffdf", "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u1680g\u202fh\x0bi\x0cj\x1ck",
                "日本の夜のfox灯台", "𠀀a𪜀b𫝀c𫠠d豈e丽f", "㐀䶿鿿ꀀ가", "작은 빨간 집", "ไทยภาษา เด็ก", "हिन्दी में लोमड़ी", "עִבְרִית שָׁלוֹם", "العَرَبِيَّة ١٢٣", "👩‍👩‍👧 😀fox😍 ♥️ ☺", "🇩🇪",
                "\ue000private\U000f0000 \ufdd0 \uffff \u0378", "ﷺ ㎏ ① ² ½", "a\u0345b \u0345", "𝒻𝑜𝓍 ｆｏｘ", "Ω̈́ ϓ ϔ Ϋ́", "\u1d165\U0001d157\U0001d165\U0001d16e\u302e\u302f", "cafe\u0301s CAFÉS"]
    pool = "aAbzZ019 .,!?-_'\"()[]{}#@&%$\t\nÀéîõüßĞİıŁłſΣσςΩЖжЯ\u0300\u0301\u0308\u0327\u0345\u05b0\u064b\u093f\u0e34\u3099\u20d0\ufe0f\u200d\u200b\u00ad\u2028\u00a0\u3000—“”…·؟।。、「」中国日本語𠀀豈한글ひらがなไทยहअ١२😀❤\ue000\u0378\x00\x1f\x7f\x9f\ufffd"
    random.seed(7)
    for _ in range(150):
        yield "".join(random.choice(pool) for _ in range(random.randint(1, 40)))
    for _ in range(150):  # any characters that have been there for long
        chosen = []
        while len(chosen) < 25:
            c = chr(random.choice([random.randint(0x20, 0x24F), random.randint(0x250, 0x1FFF), random.randint(0x2000, 0x33FF), random.randint(0xA000, 0xFFFF)]))
            if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs") and unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c):
                chosen.append(c)
        yield "".join(c + random.choice(["", "", " ", "a"]) for c in chosen)


BROKEN = ["ff", "61ff62", "c3", "61c328", "e28228", "f09f98", "eda08061", "f8888080", "66 6f 78 20 80 80 66".replace(" ", ""), "c0af61"]


def main():
    lines = (HERE / "tokenizer" / "corpus.txt").read_text(encoding="utf-8").splitlines()
    vocab = HERE / "wordpiece" / "vocab.txt"
    if sys.argv[1:2] == ["check"]:
        path = pathlib.Path(sys.argv[2])
        prompts = [l.split("\t")[0] if path.suffix == ".tsv" else l for l in path.read_text(encoding="utf-8").split("\n")]
        t = tokenizer(sys.argv[3] if len(sys.argv) > 3 else vocab)
        return print(json.dumps([[p, ids(t, p)] for p in prompts]))
    vocab.write_text("\n".join(vocabulary(lines)) + "\n", encoding="utf-8")
    t = tokenizer(vocab)
    rows = [json.dumps([x, ids(t, x)], separators=(",", ":")) for x in texts(lines)]
    rows += [json.dumps([[x], ids(t, bytes.fromhex(x).decode("utf-8", errors="replace"))], separators=(",", ":")) for x in BROKEN]
    (HERE / "wordpiece" / "cases.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
    print("the one in Rust differs:", t.differ, file=sys.stderr)
    print(len(rows), "cases,", len(t), "tokens,", (HERE / "wordpiece" / "cases.json").stat().st_size, "bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
