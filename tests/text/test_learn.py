"""Vocabulary training: against a trainer that counts everything anew at each step."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.text import Tokenizer
from minibert.text.learn import learn

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEXT = """It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of
a wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this
truth is so well fixed in the minds of the surrounding families, that he is considered the rightful property of some
one or other of their daughters."""
SCORES = ("frequency", "likelihood")


def naive_joins(words, steps, min_frequency, score):
    """The joins of lower-case words, all counts taken from scratch each time: (left, right, value)."""
    splits = {word: [word[0], *("##" + char for char in word[1:])] for word in words}
    counts = Counter(words)
    joins = []
    while len(joins) < steps:
        pieces, pairs = Counter(), Counter()
        for word, count in counts.items():
            for piece in splits[word]:
                pieces[piece] += count
            for pair in zip(splits[word], splits[word][1:]):
                pairs[pair] += count
        values = {
            pair: f if score == "frequency" else f / (pieces[pair[0]] * pieces[pair[1]])
            for pair, f in pairs.items()
            if f >= min_frequency
        }
        if not values:
            break
        left, right = min(values, key=lambda pair: (-values[pair], pair))
        joins.append((left, right, values[left, right]))
        for word, split in splits.items():
            place = 0
            while place + 1 < len(split):
                if split[place : place + 2] == [left, right]:
                    split[place : place + 2] = [left + right[2:]]
                place += 1
            splits[word] = split
    return joins


@pytest.mark.parametrize("score", SCORES)
@given(st.lists(st.text("abc", min_size=1, max_size=8), min_size=1, max_size=25), st.integers(1, 3))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_joins_equal_those_of_the_naive_trainer(score, words, min_frequency):
    joins = []
    vocab = learn(
        [" ".join(words)], 60, min_frequency=min_frequency, score=score,
        on_merge=lambda step, left, right, value: joins.append((step, left, right, value)),
    )  # fmt: skip
    assert [step for step, *_ in joins] == list(range(1, len(joins) + 1))
    assert [rest for _, *rest in joins] == [list(j) for j in naive_joins(words, len(joins), min_frequency, score)]
    if len(vocab) < 60:  # nothing was left to join
        assert len(naive_joins(words, len(joins) + 1, min_frequency, score)) == len(joins)
    made = dict.fromkeys(left + right[2:] for _, left, right, _ in joins)
    assert vocab.tokens[len(vocab) - len(made) :] == tuple(made)


def test_a_pair_that_became_too_rare_is_not_joined_though_its_score_stayed():
    joins = []
    learn(["acb acb bbcb"], 60, min_frequency=2, score="likelihood", on_merge=lambda step, *join: joins.append(join))
    assert joins == [("a", "##c", 1 / 3), ("ac", "##b", 1 / 4)]  # (##c, ##b): 3/(3·4) at first, then 1/(1·4)


@pytest.mark.parametrize("score", SCORES)
def test_joins_on_real_text_equal_those_of_the_naive_trainer(score):
    words = "".join(char if char.isalpha() else " " for char in TEXT.lower()).split()
    joins = []
    learn([" ".join(words)], 150, min_frequency=1, score=score, on_merge=lambda step, *join: joins.append(join))
    assert joins == naive_joins(words, len(joins), 1, score)
    assert len(joins) > 90


def test_special_tokens_then_alphabet_then_joins():
    vocab = learn(["low low low low low lower lower newest newest newest, 北京"], 40)
    assert vocab.tokens[:5] == SPECIAL
    assert vocab.special_ids == (0, 1, 2, 3, 4)
    assert vocab.tokens[5:16] == (",", "e", "l", "n", "o", "r", "s", "t", "w", "京", "北")
    assert vocab.tokens[16:24] == tuple(f"##{char}" for char in "elnorstw")  # but no "##," and no "##北"
    assert vocab.tokens[24:26] == ("##ow", "low")


def test_words_of_the_text_become_short():
    vocab = learn([TEXT], 150, min_frequency=1)
    assert len(vocab) == 150
    tokenizer = Tokenizer(vocab)
    assert tokenizer.tokenize("The truth of a man.") == ["the", "truth", "of", "a", "man", "."]
    assert vocab.unk_id not in tokenizer.ids(TEXT)


def test_case_and_accents_follow_the_tokenizer():
    texts = ["Café Café café"]
    assert "cafe" in learn(texts, 60)
    assert "café" in learn(texts, 60, strip_accents=False)
    assert "Café" in learn(texts, 60, lower_case=False)
    assert "Cafe" in learn(texts, 60, lower_case=False, strip_accents=True)
    assert "北" in learn(["北京"], 60)
    assert "##京" in learn(["北京"], 60, split_cjk=False)


def test_a_limited_alphabet_keeps_the_frequent_characters():
    vocab = learn(["aab aab aab abz q"], 60, limit_alphabet=2)
    assert vocab.tokens[5:] == ("a", "b", "##a", "##b", "##ab", "aab")
    assert Tokenizer(vocab).tokenize("aab abz") == ["aab", "[UNK]"]


def test_an_alphabet_too_large_for_the_size_keeps_the_frequent_characters():
    assert learn(["b b b aa aa c"], 8).tokens[5:] == ("a", "b", "##a")  # "a" first: it stands there four times
    assert len(learn([TEXT], 20)) <= 20


def test_how_the_text_is_cut_up_does_not_matter(monkeypatch):
    expected = learn([TEXT], 150, min_frequency=1)
    assert learn(TEXT.split("\n"), 150, min_frequency=1) == expected
    assert learn(iter(TEXT.split()), 150, min_frequency=1) == expected
    monkeypatch.setattr("minibert.text.learn._RAW_WORDS", 5)
    assert learn(iter(TEXT.split()), 150, min_frequency=1) == expected


@pytest.mark.parametrize("score", SCORES)
def test_the_hash_seed_does_not_matter(score):
    program = f"from minibert.text.learn import learn\nprint(learn([{TEXT!r}], 150, min_frequency=1, score={score!r}).tokens)"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(printed) == 1


def test_progress_reaches_the_end():
    seen = []
    learn([TEXT], 200, min_frequency=1, progress=lambda done, size: seen.append((done, size)))
    assert len(seen) > 1
    assert seen[-1] == (200, 200)


def test_special_tokens_in_the_text_are_ordinary_text():
    vocab = learn(["[MASK] [MASK] [CLS]"], 40)
    assert vocab.tokens.count("[MASK]") == 1
    assert "mask" in vocab
    assert "[" in vocab


def test_too_long_words_teach_nothing():
    assert "zz" not in learn(["z" * 101 + " a a"], 60)


def test_what_cannot_be_learned_is_said():
    with pytest.raises(ValueError, match="the texts hold no word"):
        learn(["", " \n"], 100)
    with pytest.raises(ValueError, match="size 5 is too small"):
        learn([TEXT], 5)
    with pytest.raises(ValueError, match="score must be 'frequency' or 'likelihood', got 'bpe'"):
        learn([TEXT], 100, score="bpe")
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        learn(TEXT, 100)
