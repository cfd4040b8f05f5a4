"""Learning a unigram model: each step against sums over all ways to cut a word, and the whole by what it is for."""

import math
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.text import learn_unigram as trainer
from minibert.text import spm
from minibert.text.learn_unigram import ALBERT, expect, learn_unigram, likelihood, maximise
from minibert.text.sentencepiece import SentencePiece

TEXT = """It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a
wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so well
fixed in the minds of the surrounding families, that he is considered the rightful property of some one or other of their
daughters.""".replace("\n", " ")


def ways(word):
    """Every way to cut a word."""
    for n in range(len(word)):
        for at in combinations(range(1, len(word)), n):
            yield [word[a:b] for a, b in zip((0, *at), (*at, len(word)))]


@given(st.dictionaries(st.text("ab", min_size=2, max_size=4), st.integers(-60, -1), max_size=8),
       st.dictionaries(st.text("ab", min_size=1, max_size=7), st.integers(1, 5), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_expected_counts_and_likelihood_are_sums_over_all_ways(pieces, words):
    scores = {piece: score / 10 for piece, score in {"a": -20, "b": -25, **pieces}.items()}
    expected, total = Counter(), 0.0
    for word, count in words.items():
        weights = [(way, math.exp(sum(map(scores.get, way)))) for way in ways(word) if all(piece in scores for piece in way)]
        whole = sum(weight for _, weight in weights)
        total += count * math.log(whole)
        for way, weight in weights:
            for piece in way:
                expected[piece] += count * weight / whole
    assert likelihood(words, scores) == pytest.approx(total, rel=1e-12)
    found = expect(words, scores)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(dict(expected), rel=1e-9)


def test_the_digamma_function():
    gamma = 0.57721566490153286
    assert trainer._digamma(1.0) == pytest.approx(-gamma, abs=1e-9)
    assert trainer._digamma(0.5) == pytest.approx(-gamma - 2 * math.log(2), abs=1e-9)
    assert trainer._digamma(10.0) == pytest.approx(sum(1 / k for k in range(1, 10)) - gamma, abs=1e-9)


def test_rare_pieces_go_and_characters_stay():
    scores = maximise({"a": 0.1, "b": 3.0, "ab": 0.4, "ba": 7.0}, ["a", "b", "c"])
    assert scores.keys() == {"a", "b", "c", "ba"}
    assert scores["ba"] - scores["b"] == pytest.approx(trainer._digamma(7.0) - trainer._digamma(3.0))


def test_what_belongs_together_becomes_a_piece():
    learned = learn_unigram(["the cat the dog the cow", "other weather the", "a cat"] * 5, 30)
    assert len(learned.pieces) <= 30
    assert learned.pieces[:3] == ("<unk>", "<s>", "</s>")
    assert "\u2581the" in learned.pieces
    ours = SentencePiece(learned)
    assert [learned.pieces[number] for number in ours.ids("the cat")] == ["\u2581the", "\u2581cat"]
    assert ours.decode(ours.ids("the weather")) == "the weather"
    assert {*"thecadogwr\u2581"} <= {*learned.pieces}


def test_the_size_is_kept_and_more_pieces_fit_better():
    words = trainer.count_words([TEXT], SentencePiece(spm.Spm(("<unk>",), (0.0,), (2,))))
    sums = []
    for size in (45, 60, 90):
        learned = learn_unigram([TEXT], size)
        assert len(learned.pieces) == size
        assert list(learned.scores[3:]) == sorted(learned.scores[3:], reverse=True)
        sums.append(likelihood(words, dict(zip(learned.pieces[3:], learned.scores[3:]))))
    assert sums == sorted(sums)


def test_a_round_of_expectation_and_maximisation_loses_nothing(monkeypatch):
    monkeypatch.setattr(trainer, "_digamma", math.log)  # plain maximum likelihood, for which that is a theorem
    monkeypatch.setattr(trainer, "_RARE", 1e-300)
    words = Counter("abab ab abba ba baba aab".split())
    scores = {piece: math.log(1 / 6) for piece in ("a", "b", "ab", "ba", "aba", "bab")}
    sums = [likelihood(words, scores)]
    for _ in range(10):
        scores = maximise(expect(words, scores), "ab")
        sums.append(likelihood(words, scores))
    assert all(after >= before - 1e-12 for before, after in pairwise(sums))
    assert sums[-1] > sums[0] + 1


def test_pieces_are_of_one_kind_and_do_not_cross_words():
    learned = learn_unigram(["route66b, route66b, a-b a-b x1 x1"] * 9, 60)
    for piece in learned.pieces[3:]:
        assert "\u2581" not in piece[1:]
        assert len({"digit" if c.isdigit() else "letter" if c.isalpha() else "sign" for c in piece.lstrip("\u2581")}) <= 1


def test_symbols_are_pieces_and_part_of_no_other():
    learned = learn_unigram(["a-b (a.b) a-b (a.b)"] * 9, 40, meta=ALBERT)
    assert learned.pieces[:5] == ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
    ours = SentencePiece(learned)
    assert [learned.pieces[number] for number in ours.ids("(a-b)")][1:2] == ["("]
    assert not any(sign in piece for piece in learned.pieces[13:] for sign in '()"-.')


def test_rare_characters_are_unknown():
    learned = learn_unigram(["abab " * 100 + "z"], 20, coverage=0.99)
    assert "z" not in learned.pieces
    assert SentencePiece(learned).ids("z")[-1] == learned.unknown_id


def test_a_normalisation_is_taken_over_and_written(tmp_path):
    like = spm.Spm((), (), (), remove_extra_whitespaces=False, normalizer="mine")
    learned = learn_unigram(["a  b"] * 9, 12, like=like)
    spm.write(tmp_path / "x.model", learned)
    again = spm.read(tmp_path / "x.model")
    assert again.pieces == learned.pieces
    assert not again.remove_extra_whitespaces
    assert again.normalizer == "mine"


def test_the_hash_seed_does_not_matter():
    program = f"from minibert.text.learn_unigram import learn_unigram\nprint(learn_unigram([{TEXT!r}], 70))"
    printed = {subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
                              check=True).stdout for seed in "012"}
    assert len(printed) == 1


def test_what_cannot_be_learned_is_said():
    with pytest.raises(ValueError, match="the texts hold no word"):
        learn_unigram(["", "  "], 100)
    with pytest.raises(ValueError, match="size 10 is too small: the 3 pieces that are given and"):
        learn_unigram([TEXT], 10)
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        learn_unigram(TEXT, 100)
