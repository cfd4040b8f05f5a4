"""The small models in ``tests/text/sentencepiece``: trained, and asked for pieces and decoded texts, by ``sentencepiece`` itself.

    pip install sentencepiece==0.2.3
    python tools/peers/sentencepiece_models.py

Outside CI. Training is not promised to give the same bytes on another machine; the answers go with the models they come from.
"""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path

import sentencepiece

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "text" / "sentencepiece"

TEXT = """It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.
However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so well
fixed in the minds of the surrounding families, that he is considered the rightful property of some one or other of their girls.
"My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield Park is let at last?" - 1,813 of them (or 9).
Mr. Bennet replied that he had not. "But it is," returned she; "for Mrs. Long has just been here, and she told me all about it."
床前明月光，疑是地上霜。举头望明月，低头思故乡。白日依山尽，黄河入海流。欲穷千里目，更上一层楼。
Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller staatlichen Gewalt.""".split("\n")

DASHES = ["--- -- - a-- --e -- e-- --a e----a --- -- -"] * 9  # pieces that fit together in several ways

RULES = {"é": "e", "e\u0301": "e", "ﬁ": "fi", "Ａ": "A", "\t": " ", "\u3000": " ", "\u00a0": " ", "\u200b": "", "´": " \u0301",
         "½": "1\u20442", "™": "TM", "A\u030a\u0301": "Å"}

MODELS = {
    "unigram": {"vocab_size": 300},
    "dashes": {"vocab_size": 140, "split_by_unicode_script": False},
    "albert": {"vocab_size": 320, "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
               "control_symbols": ["[CLS]", "[SEP]", "[MASK]"], "user_defined_symbols": list('()"-.–£€')},
    "bytes": {"vocab_size": 400, "byte_fallback": True, "character_coverage": 0.98},
    "bpe": {"vocab_size": 300, "model_type": "bpe", "user_defined_symbols": ["Mr.", "of"]},
    "bpe_spaces": {"vocab_size": 600, "model_type": "bpe", "byte_fallback": True, "remove_extra_whitespaces": False,
                   "character_coverage": 0.98, "allow_whitespace_only_pieces": True},
    "suffix": {"vocab_size": 250, "treat_whitespace_as_suffix": True},
    "across": {"vocab_size": 250, "split_by_whitespace": False, "add_dummy_prefix": False},
}

ODD = ["", " ", "  a  b ", "▁", "a▁b ▁ c▁", "\ta\u3000b\u00a0c\r\n", "cafe\u0301 café ﬁne Ａ½™ a\u200bb ´x",
       "A\u030a\u0301 A\u030a", "日本語 и русский 😀😀 x😀y", "----- --- aaaa aaaaaaa ......", "9, 10,000, (9), £5–€6",
       "<s> </s> <unk> [MASK] <0x41>", "Mr. of Mr.of offal", "daughters " * 9, "ab" * 30, "\ufeffx", "e\u0301\u0301", "\x00\x01"]


def lines(seed: int = 0) -> list[str]:
    """Texts like the trained ones, odd ones, and random ones."""
    rng = random.Random(seed)
    parts = [*ODD[2:], *"abe .,-▁é月", " ", "\t", "man", "of", "Mr.", "\u0301", "(", "9"]
    mixed = ["".join(rng.choice(parts) for _ in range(rng.randrange(1, 10))) for _ in range(60)]
    close = ["".join(rng.choice("-aen. ") for _ in range(rng.randrange(20, 150))) for _ in range(20)]
    return [*TEXT, *ODD, *mixed, *close]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.chdir(FOLDER)  # a model holds the name of its rules as it was given
    rules = Path("rules.tsv")
    lines_of = (" ".join(f"{ord(char):X}" for char in source) + "\t" + " ".join(f"{ord(char):X}" for char in target)
                for source, target in RULES.items())
    rules.write_text("".join(f"{line}\n" for line in lines_of), encoding="utf-8")
    texts, answers = lines(), {}
    for name, options in MODELS.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*TEXT * 2, *DASHES]), model_writer=model, num_threads=1, minloglevel=2,
            normalization_rule_tsv=str(rules), **{"hard_vocab_limit": False, **options})
        (FOLDER / f"{name}.model").write_bytes(model.getvalue())
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        found = [processor.encode(text, return_type="offset_mapping") for text in texts]
        pieces = [[[number, *place] for number, place in zip(row["ids"], row["offsets"])] for row in found]
        rng = random.Random(1)
        ids = [[rng.randrange(len(processor)) for _ in range(rng.randrange(9))] for _ in range(40)]
        answers[name] = {"pieces": pieces, "ids": ids, "decoded": [processor.decode(row) for row in ids]}
    rules.unlink()
    content = {"version": sentencepiece.__version__, "texts": texts, "rules": RULES, "answers": answers}
    (FOLDER / "answers.json").write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


if __name__ == "__main__":
    main()
