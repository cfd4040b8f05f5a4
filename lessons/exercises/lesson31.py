"""The exercises of lesson 31, probing and its controls, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.layers import cross_entropy, linear


@exercise("(train_labels, test_labels)", look="Ninety-eight percent", level="easy")
def majority_share(answer: Callable[..., Any]) -> None:
    """The share of the test examples that have the label which is most frequent in training. Labels are whole numbers from 0."""
    for train, test in (([0, 1, 1, 2], [1, 0, 1, 1]), ([2, 2, 0], [0, 0, 0, 2])):
        got = answer(np.array(train), np.array(test))
        right = np.mean(np.array(test) == np.bincount(train).argmax())
        if got is not None and np.isclose(got, np.bincount(test).max() / len(test)) and not np.isclose(got, right):
            raise Wrong("this is the most frequent label of the test: it must be chosen by the training examples")
        close(got, right, f"training {train}, test {test}", 1e-12)


@exercise("(train_words, train_labels, test_words)", look="Ninety-eight percent", level="medium")
def list_of_words(answer: Callable[..., Any]) -> None:
    """Labels without vectors: for each test word the label that it had most often in training; for a word that training does not
    have, the label that is most frequent there. Lists; no two labels are equally frequent."""
    words, labels = ["a", "b", "a", "a", "c", "b", "b", "d"], [0, 1, 0, 2, 2, 1, 0, 0]
    got = list(answer(list(words), list(labels), ["a", "c", "b", "never", "d"]))
    expect(len(got) == 5, f"expected 5 labels, got {len(got)}")
    for word, found, right in zip(("a", "c", "b"), got, (0, 2, 1)):
        expect(found == right, f"{word!r} has label {right} most often, got {found}")
    expect(got[3] == 0, f"a word that was never seen: label 0 is the most frequent of all, got {got[3]}")
    expect(got[4] == 0, f"'d' has label 0, got {got[4]}")


@exercise("(words, labels, seed)", look="The equation", level="medium")
def lots_for_words(answer: Callable[..., Any]) -> None:
    """A control task: for every place a label that depends on the form of its word only, drawn by lot from the labels, so that
    frequent ones are frequent again. words: a list; labels (N,). The same seed gives the same lots."""
    rng = np.random.default_rng(313)
    words = [f"w{i}" for i in rng.integers(0, 400, 4000)]
    labels = rng.choice(3, 4000, p=[0.7, 0.2, 0.1])
    got = np.asarray(answer(list(words), labels.copy(), 0))
    expect(got.shape == (4000,), f"expected one label for each of 4000 places, got the shape {got.shape}")
    by_form: dict[str, set] = {}
    for word, label in zip(words, got.tolist()):
        by_form.setdefault(word, set()).add(label)
    mixed = [word for word, found in by_form.items() if len(found) > 1]
    expect(not mixed, f"{len(mixed)} words have several labels, such as {mixed[:1]}: one lot for each form")
    share = np.mean([next(iter(found)) == 0 for found in by_form.values()])
    expect(0.55 < share < 0.85, f"label 0 has 70 % of the places, but {share:.0%} of the lots: draw from the labels themselves")
    expect((np.asarray(answer(list(words), labels.copy(), 0)) == got).all(), "the same seed must give the same lots")
    expect((np.asarray(answer(list(words), labels.copy(), 1)) != got).any(), "another seed must give others")


@exercise("(x, labels, weight, bias)", look="Gradient check", level="medium")
def probe_gradients(answer: Callable[..., Any]) -> None:
    """The gradients of the mean cross-entropy of a linear probe with respect to weight (C, H) and bias (C,): a pair. x (N, H),
    labels (N,)."""
    rng = np.random.default_rng(314)
    for size in (1.0, 30.0):
        x, labels = size * rng.standard_normal((6, 4)), rng.integers(0, 3, 6)
        p = {"weight": rng.standard_normal((3, 4)), "bias": rng.standard_normal(3)}
        g = {name: np.zeros_like(one) for name, one in p.items()}
        logits, cache = linear.forward(x, p)
        linear.backward(cross_entropy.backward(1.0, cross_entropy.forward(logits, labels)[1]), cache, p, g)
        got = answer(x.copy(), labels.copy(), p["weight"].copy(), p["bias"].copy())
        expect(isinstance(got, tuple) and len(got) == 2, "expected a pair: the gradient of weight, and that of bias")
        for name, found in zip(g, got):
            if np.shape(found) == g[name].shape and np.allclose(np.asarray(found) / len(x), g[name]):
                raise Wrong(f"{name}: {len(x)} times too large, the loss is a mean over the examples")
            close(found, g[name], name, 1e-9)


@exercise("(sentences, share, seed)", look="Ninety-eight percent", level="medium")
def split_by_sentence(answer: Callable[..., Any]) -> None:
    """Which places are for the test: an array of N truth values. sentences: a list with the text of the sentence that each place
    belongs to. About this share of the different texts is for the test, with all their places."""
    rng = np.random.default_rng(315)
    sentences = [f"s{i}" for i in np.repeat(rng.integers(0, 50, 200), rng.integers(1, 9, 200))]
    for share in (0.2, 0.5):
        got = np.asarray(answer(list(sentences), share, 0))
        expect(got.shape == (len(sentences),) and got.dtype == bool, f"expected {len(sentences)} truth values")
        on, off = ({s for s, one in zip(sentences, got) if one == side} for side in (True, False))
        expect(not on & off, f"{len(on & off)} sentences stand on both sides: deal out texts, not places")
        expect(abs(len(on) / len(on | off) - share) < 0.05, f"share {share}: {len(on)} of {len(on | off)} texts are for the test")
    expect((got != np.asarray(answer(list(sentences), 0.5, 1))).any(), "another seed must deal them out in another way")
