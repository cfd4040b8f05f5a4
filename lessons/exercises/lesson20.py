"""The exercises of lesson 20, tags and spans, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.finetuning.options import Settings
from minibert.tasks.labelled import metrics, qa, tag
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer, Vocabulary

WORDS = Vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "##b", "##c", "x"])


@exercise("(pieces, tags, names)", look="Tags: a word is several tokens", level="easy")
def align(answer: Callable[..., Any]) -> None:
    """The labels of ``[CLS] … [SEP]`` as a list. ``pieces[i]``: how many tokens word i has, at least one; ``tags[i]``: its tag;
    ``names``: the list of tags, in which a tag's place is its number. What has no label is -100.
    """
    tokenizer = Tokenizer(WORDS)
    for words, tags in ((["x", "abc", "ba"], ["O", "B", "I"]), (["abab"], ["B"]), (["a", "b", "x"], ["I", "O", "O"])):
        example = tag.Example(words, tags, "exercise")
        names = ["B", "I", "O"]
        (feature,), _ = tag.encode([example], tokenizer, names, Settings(task="tag", train="x", max_length=64))
        right = feature.labels.tolist()
        pieces = [len(tokenizer.ids(word)) for word in words]
        got = answer(list(pieces), list(tags), list(names))
        what = f"pieces {pieces}, tags {tags}"
        expect(got is not None, f"{what}: got None")
        got = [int(n) for n in got]
        expect(len(got) == len(right), f"{what}: expected {len(right)} labels, [CLS] and [SEP] counted, got {len(got)}")
        expect(got[0] == got[-1] == -100, f"{what}: [CLS] and [SEP] have no label: -100, got {got}")
        expect(got == right, f"{what}: expected one label for the first piece of each word and -100 elsewhere, got {got}")


@exercise("(tags)", look="BIO, and whole entities", level="medium")
def entities(answer: Callable[..., Any]) -> None:
    """The entities of a sentence as a list of (type, first word, last word), from its tags. An I- that continues no entity of its
    own type begins one.
    """
    rng = np.random.default_rng(7)
    cases = [(["B-PER", "I-PER", "O"], "the simplest case"), (["O", "B-LOC"], "the last word may end an entity"),
             (["B-PER", "B-PER"], "B begins a new one, also directly after another"),
             (["O", "I-LOC", "I-LOC"], "an I- that continues nothing begins one"),
             (["B-PER", "I-LOC"], "another type is another entity"), (["O", "O"], "there may be none")]
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    cases += [([names[i] for i in rng.integers(0, 5, 7)], "tags at random") for _ in range(50)]
    for tags, hint in cases:
        got = answer(list(tags))
        expect(got is not None, f"{tags}: got None")
        found = [(str(kind), int(first), int(last)) for kind, first, last in got]
        right = metrics.entities(tags)
        expect(sorted(found) == sorted(right), f"{tags}: expected {right}, got {found}; {hint}")


@exercise("(start, end, longest)", look="Spans: a start and an end", level="medium")
def best_span(answer: Callable[..., Any]) -> None:
    """(i, j) with the greatest ``start[i] + end[j]``, both (T,), where i ≤ j and the span has at most ``longest`` tokens."""
    rng = np.random.default_rng(8)
    cases = [(np.array([0.0, 1, 5]), np.array([5.5, 2, 1]), 3, "it must not end before it begins"),
             (np.array([9.0, 0, 0, 1]), np.array([0.0, 0, 0, 9]), 2, "it must not be longer than allowed"),
             (np.array([-3.0, -1]), np.array([-2.5, -4]), 2, "scores may all be negative")]
    cases += [(rng.standard_normal(9), rng.standard_normal(9), int(n), "random scores") for n in (1, 2, 4, 9)]
    for start, end, longest, hint in cases:
        T = len(start)
        window = qa.Window(0, [(t, t + 1) for t in range(T)], np.ones(T, bool))
        text = "abcdefghi"[:T]
        example = qa.Example("", "?", text, [], "")
        how = Settings(task="qa", train="x", max_answer=longest)
        guess = qa.guess([np.stack([start, end])], [Feature((), (), np.array(0), 0, window)], [example], ["answer"], how)[0]
        right = text.index(guess.text), text.index(guess.text) + len(guess.text) - 1
        got = answer(start.copy(), end.copy(), longest)
        expect(isinstance(got, tuple) and len(got) == 2, f"expected a pair (i, j), got {got!r}")
        got = tuple(int(n) for n in got)
        expect(got == right, f"start {np.round(start, 2)}, end {np.round(end, 2)}, at most {longest} tokens: expected {right}, "
                             f"got {got}; {hint}")


@exercise("(starts, room, tokens)", look="Sliding windows", level="hard")
def speaks(answer: Callable[..., Any]) -> None:
    """For each of ``tokens`` tokens of a text the number of the window that speaks for it: where it has the most tokens on its
    poorer side. Window w holds the tokens from ``starts[w]`` on, ``room`` of them, or fewer at the end of the text. The longer
    window wins a draw, then the first one.
    """
    for tokens, room, stride in ((10, 4, 2), (23, 8, 3), (11, 6, 3), (5, 8, 4), (14, 7, 3)):
        windows = qa._windows(tokens, room, stride)
        right = qa._most_context(windows, tokens)
        got = answer([start for start, _ in windows], room, tokens)
        what = f"{tokens} tokens, windows {windows}"
        expect(got is not None and len(got) == tokens, f"{what}: expected one number for each token")
        bad = [t for t in range(tokens) if not windows[int(got[t])][0] <= t < windows[int(got[t])][1]]
        expect(not bad, f"{what}: token {bad[:1]} is not in the window that you name")
        wrong = [t for t in range(tokens) if int(got[t]) != right[t]]
        expect(not wrong, f"{what}: token {wrong[:1]}: expected window {right[wrong[:1]]}, got "
                          f"{[int(got[t]) for t in wrong[:1]]}; count the "
                          "tokens before and after it in the window, and take the smaller number")


@exercise("(golds, guess)", look="Exact match and F1", level="medium")
def answer_score(answer: Callable[..., Any]) -> None:
    """(exact match, F1) of a guess, the best over all right answers ``golds``; an empty list means that there is no answer, and
    the right guess is "". Compared without capitals, punctuation and the articles a, an, the.
    """
    for golds, guess, hint in (
            (["the old tower"], "Old tower.", "capitals, points and articles do not count"), (["the old tower"], "tower", "F1"),
            (["in 1920", "1920"], "1920", "the best of several right answers"), ([], "", "no answer, and none was given"),
            ([], "tower", "no answer, but one was given"), (["Paris"], "", "an answer, and none was given"),
            (["new new york"], "new york new york", "words count as often as they are there"),
            (["theatre"], "atre", "articles are whole words"), (["red", "blue"], "green", "nothing shared")):
        best = [metrics.best_answer(score, golds, guess) for score in (metrics.answer_exact, metrics.answer_f1)]
        got = answer(list(golds), guess)
        expect(isinstance(got, tuple) and len(got) == 2, f"expected a pair (exact, F1), got {got!r}")
        close(np.array(got, float), np.array(best, float), f"golds {golds}, guess {guess!r} ({hint})", 1e-9)
