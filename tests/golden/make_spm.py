"""Writes tests/golden/spm: a small SentencePiece model with byte fallback and rules of normalization, and lines with their ids.

    python -m venv venv && venv/bin/pip install transformers==4.57.1 sentencepiece==0.2.1 protobuf
    venv/bin/python tests/golden/make_spm.py [ROWS FILE]   # with two arguments: so many more lines to a file of their own

`ids` are those of transformers 4's fast tokenizer for `spm.model` (transformers 5 passes over the rules); `bytes`, where
they are not null, those of SentencePiece itself between [CLS] and [SEP].
"""
import json
import pathlib
import random
import shutil
import sys
import tempfile
import unicodedata

import sentencepiece
from transformers import AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/golden/spm"
FOREIGN = ["灯台守は毎朝、海を見ながらお茶を飲む。", "彼女は青い手帳に詩を書いている。", "雨の日には古いレコードを聴くのが好きです。",
           "她住在海边的一个小镇上。", "他每天早上六点起床，沿着海滩散步。", "我的猫睡在打开的吉他盒里。"]
ODD = ["😀", "👩‍🚀", "🇯🇵", "é", "e\u0301", "ﬁ", "Ａ", "№", "½", "\t", "\n", "\r\n", "  ", "   ", "\u00a0", "\u3000", "\u200b", "…", "—",
       "“", "’", "™", "Ⅳ", "①", "²", "ﬂ", "ｆｕｌｌ　ｗｉｄｔｈ", "[SEP]", "[MASK]", "▁", "\u0000", "ß", "İ", "ñ", "한", "ع", "𝒜", "<0x41>", "%", "&", "~", "'", "\"", "\\"]


def words():
    text = " ".join(path.read_text() for path in sorted((ROOT / "wiki").glob("*.txt")))
    return text.split()


def rules(path):
    """NFKC of the characters above and of full-width ASCII, and white space as in SentencePiece's own nmt_nfkc: the whole of
    that takes 240 kB."""
    characters = sorted({c for text in ODD for c in text} | {chr(c) for c in range(0xff01, 0xff5f)})
    rows = {c: unicodedata.normalize("NFKC", c) for c in characters}
    rows |= {c: " " for c in "\t\n\r\u00a0\u3000\u200b"}
    rows["e\u0301"] = "é"
    hexadecimal = lambda text: " ".join(f"{ord(c):x}" for c in text)
    path.write_text("".join(f"{hexadecimal(a)}\t{hexadecimal(b)}\n" for a, b in rows.items() if a != b and a != "\0"))
    return str(path)


def train(folder):
    lines = [path.read_text() for path in sorted((ROOT / "wiki").glob("*.txt"))]
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(lines + FOREIGN * 4))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(HERE / "spm"), vocab_size=600, model_type="unigram", byte_fallback=True,
        normalization_rule_tsv=rules(folder / "rules.tsv"), num_threads=1, minloglevel=2, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")
    (HERE / "spm.vocab").unlink()


def lines(count, generator, vocabulary):
    found = ["", " ", "\n", "a", "x" * 10_000, "lighthouse" * 1_000, "日" * 10_000]
    while len(found) < count:
        parts = []
        for _ in range(generator.randint(1, 14)):
            draw = generator.random()
            if draw < 0.6:
                parts.append(generator.choice(vocabulary))
            elif draw < 0.75:
                parts.append(generator.choice(FOREIGN)[generator.randint(0, 4):generator.randint(5, 14)])
            else:
                parts.append(generator.choice(ODD))
            parts.append(generator.choice(["", " ", " ", " "]))
        found.append("".join(parts))
    return found


def main():
    count, out = (int(sys.argv[1]), pathlib.Path(sys.argv[2])) if len(sys.argv) > 1 else (120, HERE / "lines.jsonl")
    if len(sys.argv) == 1:
        shutil.rmtree(HERE, ignore_errors=True)
        HERE.mkdir()
        with tempfile.TemporaryDirectory() as folder:
            train(pathlib.Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copy(HERE / "spm.model", folder)
        (folder / "tokenizer_config.json").write_text("{}")
        (folder / "config.json").write_text('{"model_type": "deberta-v2"}')
        fast = AutoTokenizer.from_pretrained(folder)
    own = sentencepiece.SentencePieceProcessor(model_file=str(HERE / "spm.model"))
    rows = []
    for text in lines(count, random.Random(len(sys.argv)), words()):
        # SentencePiece knows no special tokens in a text, and no spelled bytes.
        plain = "[" not in text and "<0x" not in text and "\0" not in text
        ids = own.encode(text) if plain else None
        rows.append(dict(text=text, ids=fast(text).input_ids, bytes=[1, *ids, 2] if plain else None))
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(len(rows), "lines,", sum(row["bytes"] is not None for row in rows), "of them plain")


main()
