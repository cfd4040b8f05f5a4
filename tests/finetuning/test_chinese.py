"""Chinese from end to end: poems become a vocabulary and a model, which guesses characters and then learns to judge reviews."""

import csv
import json
import shlex
import unicodedata

import minibert
from minibert import cli
from minibert.text import normalize


def poems(folder):
    """One verse a line, a blank line between poems."""
    found = json.loads((folder / "corpora" / "tang300.json").read_text(encoding="utf-8"))
    return "\n\n".join("\n".join(poem["paragraphs"]) for poem in found) + "\n"


def test_from_poems_to_reviews(shared_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minibert.training.command.keep_freed_memory", lambda: None)  # it would outlast the test
    text, run, tuned = tmp_path / "poems.txt", tmp_path / "poet", tmp_path / "critic"
    text.write_text(poems(shared_data), encoding="utf-8")
    sizes = "--layers 2 --hidden 32 --heads 2 --vocab-size 3000 --max-length 32 --short-first 0".split()
    assert cli.main(["train", "--corpus", str(text), "--out", str(run), *sizes, "--steps", "60", "--device", "cpu"]) == 0
    bert = minibert.load(run, device="cpu")
    assert sum(len(token) == 1 and normalize.is_cjk(token) for token in bert.tokenizer.vocab.tokens) > 1000
    assert bert.tokenizer.tokenize("春眠不覺曉，") == [*"春眠不覺曉", "，"]

    table, said = (run / "guesses.txt").read_text(encoding="utf-8"), capsys.readouterr().out
    assert table.count("<-") == 10
    [proposed] = [line for line in said.splitlines() if "fill-mask" in line]  # to try
    asked = shlex.split(proposed)[-1]
    assert asked in table
    assert "[MASK]" in asked
    assert cli.main(["fill-mask", "--model", str(run), "春眠不覺[MASK]，處處聞啼鳥。"]) == 0
    guess = bert.fill_mask("春眠不覺[MASK]，處處聞啼鳥。", top=1)[0][0]
    assert unicodedata.name(guess[0]).startswith(("CJK", "IDEOGRAPHIC", "FULLWIDTH"))
    assert guess in capsys.readouterr().out

    with open(shared_data / "chnsenticorp" / "train.tsv", encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for name, some in (("train", rows[:96]), ("dev", rows[96:128])):
        lines = ["\t".join(row) for row in [head, *some]]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert cli.main(["finetune", "classify", "--model", str(run), "--train", str(tmp_path / "train.tsv"), "--dev",
                     str(tmp_path / "dev.tsv"), "--out", str(tuned), "--epochs", "1", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "label: label, text: text_a" in shown
    assert "cut to fit into 32" in shown
    reviews = tmp_path / "reviews.txt"
    reviews.write_text("房间很干净，下次还会来住。\n早餐太差了。\n", encoding="utf-8")
    assert cli.main(["predict", str(tuned), str(reviews), "--device", "cpu"]) == 0
    assert len(minibert.load(run).embed(["房间很干净"], threads=1)) == 1
