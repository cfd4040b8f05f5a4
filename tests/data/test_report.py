"""The corpus report: its numbers, and a warning for each way in which a corpus trains badly."""

import numpy as np
import pytest

from minibert.data.corpora import Corpus
from minibert.data.report import report, unigram_loss


def make(tokenizer, train, held_out, *, text=None, max_length=128):
    text = text or [[f"sentence {d} {s}" for s in range(len(doc))] for d, doc in enumerate([*train, *held_out])]
    return report(train, held_out, tokenizer, Corpus("some text", text, "", ""), max_length)


@pytest.fixture
def good(tokenizer):
    rng = np.random.default_rng(0)
    documents = [[rng.integers(5, 405, 20).tolist() for _ in range(50)] for _ in range(12)]
    return documents[:10], documents[10:]


def test_a_good_corpus_has_its_numbers_and_no_warning(tokenizer, good):
    result = make(tokenizer, *good)
    assert result.warnings == []
    assert result.documents == (10, 2)
    assert result.sentences == (500, 100)
    assert result.tokens == (10_000, 2_000)
    assert (result.duplicates, result.unknown, result.too_long) == (0, 0, 0)
    assert result.lengths == (20, 20, 20, 20)
    assert result.ln_vocabulary == pytest.approx(np.log(405))
    text = str(result)
    for part in ("some text", "10,000", "2,000", "training", "held out", f"{result.unigram_loss:.2f}", "6.00"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 120


def test_unigram_loss_by_hand():
    train = np.array([0, 0, 0, 1])  # counts plus one: 4, 2, 1 of 7
    assert unigram_loss(train, np.array([0]), 3) == pytest.approx(np.log(7 / 4))
    assert unigram_loss(train, np.array([0, 2]), 3) == pytest.approx((np.log(7 / 4) + np.log(7)) / 2)
    assert np.isnan(unigram_loss(train, np.array([], dtype=int), 3))


def test_uniform_text_is_no_easier_than_blind_guessing(tokenizer):
    rng = np.random.default_rng(0)
    documents = [[rng.integers(0, 405, 100_000)], [rng.integers(0, 405, 100_000)]]
    result = make(tokenizer, documents[:1], documents[1:])
    assert result.unigram_loss == pytest.approx(result.ln_vocabulary, abs=0.02)


def joined(documents):
    return [sentence for document in documents for sentence in document]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda train, held_out: (train[:2], held_out), "2,000 training tokens are few for a vocabulary of 405"),
        (lambda train, held_out: (train, [held_out[0][:10]] * 2), "400 held-out tokens make for noisy"),
        (lambda train, held_out: (train, [[[1] * 1000], held_out[0]]), "of the tokens are unknown"),
        (lambda train, held_out: ([joined(train)], held_out), "no next-sentence pairs"),
        (lambda train, held_out: (train, [joined(held_out)]), "next-sentence prediction is not measured"),
    ],
)
def test_each_trouble_has_its_warning(tokenizer, good, change, warning):
    warnings = make(tokenizer, *change(*good)).warnings
    assert len(warnings) == 1
    assert warning in warnings[0]
    assert " (--" in warnings[0]  # and the option that helps


def test_repetitions_and_long_sentences_are_warned_about(tokenizer, good):
    (warning,) = make(tokenizer, *good, text=[["the same"] * 300, ["others"], ["again"]]).warnings
    assert "99% of the sentences are repetitions" in warning
    assert "(--corpus)" in warning
    (warning,) = make(tokenizer, *good, max_length=16).warnings
    assert "100% of the sentences are longer than an example" in warning
    assert "(--max-length)" in warning
    assert "(--layout)" in warning


def test_the_layout_and_special_tokens_in_the_text_are_shown(tokenizer, good):
    text = [["one [SEP]", "one [SEP]"], ["two [MASK][MASK]", "[sep]"]]
    result = report(*good, tokenizer, Corpus("some text", text, "", "", "lines: one a line"), 128)
    assert result.special == 4
    assert "lines: one a line (--layout)" in str(result)
    line, = (line for line in str(result).splitlines() if "[SEP], [MASK]" in line)
    assert line.split()[-4:] == ["4", "read", "as", "words"]
    plain = str(make(tokenizer, *good))
    assert "--layout" not in plain
    assert "[SEP]" not in plain


def test_nothing_held_out_and_nothing_to_learn(tokenizer, good):
    result = make(tokenizer, good[0], [])
    assert np.isnan(result.unigram_loss)
    assert "nan" in str(result)
    with pytest.raises(ValueError, match="no tokens"):
        make(tokenizer, [], good[1])
