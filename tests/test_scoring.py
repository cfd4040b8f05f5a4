import warnings

import numpy as np
import pytest

from minibert import batched, scoring
from minibert.api import Bert
from minibert.cli import main
from minibert.text import UnknownText
from tests import device, tiny_model

TEXTS = ["the exception raises", ("ab the", "an exceptions."), "x", ["abc", "the", "de"]]


def model(dtype=np.float32, **changes):
    config, parameters, tokenizer = tiny_model.make(**changes)
    return Bert(config, parameters.astype(dtype), tokenizer)


@pytest.fixture
def bert():
    return model()


@pytest.fixture
def folder(bert, tmp_path):
    bert.save(tmp_path / "model")
    return str(tmp_path / "model")


def by_hand(bert, text, metric="original"):
    """One mask at a time, with the plain API."""
    vocab = bert.tokenizer.vocab
    encoding = bert.tokenizer.encode(*(text if isinstance(text, tuple) else (text,)))
    found = []
    for t in range(len(encoding)):
        if encoding.special_tokens_mask[t]:
            continue
        hidden = {t}
        if metric != "original":
            start = t
            while encoding.tokens[start].startswith("##"):
                start -= 1
            end = t + 1
            while encoding.tokens[end].startswith("##"):
                end += 1
            hidden = set(range(start if metric == "whole_word" else t, end))
        ids = [vocab.mask_id if s in hidden else number for s, number in enumerate(encoding.ids)]
        answers = bert.fill_mask(ids, top=len(vocab))
        answer = answers[sorted(hidden).index(t)] if len(hidden) > 1 else answers
        found.append(np.log(dict(answer)[encoding.tokens[t]]))
    return found


@pytest.mark.parametrize("metric", scoring.METRICS)
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_scores_are_those_of_one_mask_at_a_time(metric, dtype, limit):
    bert = model(dtype)
    for text, one in zip(TEXTS, bert.score(TEXTS, metric)):
        expected = by_hand(bert, text, metric)
        np.testing.assert_allclose(one.log_probs, expected, rtol=limit)
        assert one.total == pytest.approx(sum(expected), rel=limit)
    assert bert.score(TEXTS[0]) == bert.score(TEXTS[:1])[0]


def test_what_a_score_says_of_its_tokens(bert):
    one = bert.score("abc the [MASK] \u0930")
    assert one.tokens == ["a", "##b", "##c", "the", "[UNK]"]  # [MASK] is seen, not scored
    assert one.words == [0, 0, 0, 1, 3]
    assert one.offsets == [(0, 1), (1, 2), (2, 3), (4, 7), (15, 16)]
    assert bert.score("") == scoring.Score(0.0, [], [], [], [])
    assert scoring.perplexity([one]) == pytest.approx(np.exp(-one.total / 5))


def test_the_company_the_batches_and_the_device_do_not_matter(bert, monkeypatch):
    expected = bert.score(TEXTS, threads=1)
    for tokens, threads in ((1, 2), (30, 3), (10_000, None)):
        monkeypatch.setattr(batched, "micro_batch_tokens", lambda *_, n=tokens: n)
        for a, b in zip(bert.score(TEXTS, threads=threads), expected):
            np.testing.assert_allclose(a.log_probs, b.log_probs, rtol=2e-6)
    seen = []
    there = Bert(bert.config, bert.parameters.to(device.xp), bert.tokenizer).score(
        TEXTS, "whole_word", progress=lambda done, total: seen.append((done, total)))
    for a, b in zip(there, bert.score(TEXTS, "whole_word")):
        np.testing.assert_allclose(a.log_probs, b.log_probs, rtol=2e-6)
    assert seen[-1] == (136, 136)  # 3 copies of 5 tokens, 7 of 10, 1 of 3, 6 of 8


def test_what_cannot_be_scored(bert):
    with pytest.raises(ValueError, match="metric must be one of original, within_word_l2r, whole_word, got 'pll'"):
        bert.score("the", "pll")
    with pytest.raises(ValueError, match=r"texts\[1\]: the text has 32 tokens"):
        bert.score(["the", "a " * 30])
    assert len(bert.score("a " * 30, truncate=True).tokens) == 22
    config, parameters, tokenizer = tiny_model.make()
    headless = Bert(config, parameters, tokenizer, initialised=["cls.predictions.bias"], folder="some/encoder")
    with pytest.raises(ValueError, match="some/encoder has no masked-word head"):
        headless.score("the")
    with pytest.warns(UnknownText, match="unknown to the model's vocabulary"):
        bert.score("\u0930 \u0930 the")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bert.score("\u0930 the")


@pytest.mark.parametrize(("name", "text"), [
    ("pairs.tsv", "the exception\texception the\nan a\ta an\n"),
    ("pairs.csv", "good,bad\nthe exception,exception the\nan a,a an\n"),
    ("pairs.csv", "id,sentence_bad,sentence_good\n1,exception the,the exception\n2,a an,an a\n"),
    ("blimp.jsonl", '{"sentence_good": "the exception", "sentence_bad": "exception the", "UID": "x"}\n'
                    '{"sentence_good": "an a", "sentence_bad": "a an", "UID": "x"}\n'),
])
def test_minimal_pairs(folder, bert, tmp_path, capsys, name, text):
    path, out = tmp_path / name, tmp_path / "out.tsv"
    path.write_text(text, encoding="utf-8")
    assert main(["score", "--model", folder, "--pairs", str(path), "--out", str(out)]) == 0
    good, bad = bert.score(["the exception", "an a"]), bert.score(["exception the", "a an"])
    right = [a.total > b.total for a, b in zip(good, bad)]
    accuracy = f"accuracy {sum(right) / 2:.1%}: the first text has the higher score in {sum(right)} of 2 pairs"
    assert accuracy in capsys.readouterr().out
    lines = [line.split("\t") for line in out.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == ["first", "second", "right", "first text", "second text"]
    assert [float(line[0]) for line in lines[1:]] == pytest.approx([one.total for one in good], abs=1e-4)
    assert [line[2:] for line in lines[1:]] == [[str(int(right[0])), "the exception", "exception the"],
                                                [str(int(right[1])), "an a", "a an"]]


def test_texts_from_the_command_line_a_file_and_a_pipe(folder, bert, tmp_path, capsys, monkeypatch):
    texts = ["the exception", "an \u0930"]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts), encoding="utf-8")
    assert main(["score", "--model", folder, *texts, "--tokens"]) == 0
    shown = capsys.readouterr()
    rows = [line.split("\t") for line in shown.out.splitlines()]
    assert rows[0] == ["score", "tokens", "text", "by token"]
    for row, text, one in zip(rows[1:], texts, bert.score(texts)):
        assert float(row[0]) == pytest.approx(one.total, abs=1e-4)
        assert row[1:3] == [str(len(one.tokens)), text]
        assert row[3] == " ".join(f"{token} {x:.4f}" for token, x in zip(one.tokens, one.log_probs))
    assert "1 of 4 tokens (25.0%)" in shown.err
    assert "2 texts, 4 tokens, pseudo-perplexity" in shown.err
    assert main(["score", "--model", folder, "--file", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["\t".join(row[:3]) for row in rows]


@pytest.mark.parametrize(("arguments", "message"), [
    (["the", "--pairs", "x"], "give texts, a --file, or --pairs: one of them at a time"),
    (["the", "--columns", "1", "2"], "--columns goes with --pairs"),
    (["--pairs", "one"], "expected two columns, the acceptable text and the other, found"),
    (["--pairs", "three"], r"say which two (--columns)"),
    (["--pairs", "gap"], "line 2: the second text (column 2) is empty"),
    (["--pairs", "nowhere"], "there is no such file"),
])
def test_questions_that_cannot_be_answered(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name, text in {"one": "the\nan\n", "three": "a\tb\tc\nd\te\tf\n", "gap": "a\tb\nc\t\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["score", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_columns_can_be_named(tmp_path):
    path = tmp_path / "three"
    path.write_text("a\tb\tc\nd\te\tf\n", encoding="utf-8")
    assert scoring.read_pairs(path, ("3", "1"))[:2] == (["c", "f"], ["a", "d"])
