"""The exercises of lesson 27, how far from perfect, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect

_TOY = [(["dogs", "sleep", "."], 0.2), (["dogs", "bark", "."], 0.3), (["cats", "sleep", "."], 0.4), (["cats", "eat", "."], 0.05),
        (["they", "sleep", "."], 0.05)]


def _posterior(sentences: list[tuple[list[str], float]], seen: list[str]) -> dict[str, float]:
    place, found = seen.index("[MASK]"), {}
    for words, share in sentences:
        if all(a in (b, "[MASK]") for a, b in zip(seen, words)):
            found[words[place]] = found.get(words[place], 0.0) + share
    return {word: share / sum(found.values()) for word, share in found.items()}


@exercise("(sentences, seen)", look="Toy numbers", level="easy")
def posterior_of(answer: Callable[..., Any]) -> None:
    """sentences: all that a language can say, as pairs (words, probability), all equally long. seen: words, one of them [MASK].
    The answer: a dictionary with the probability of each word that is possible there. Example: of [(["a", "b"], 0.5),
    (["c", "b"], 0.25), (["c", "d"], 0.25)], seen as ["[MASK]", "b"], it is {"a": 2/3, "c": 1/3}."""
    for seen in (["[MASK]", "sleep", "."], ["dogs", "[MASK]", "."], ["cats", "sleep", "[MASK]"], ["[MASK]", "eat", "."]):
        expected, text = _posterior(_TOY, seen), " ".join(seen)
        got = answer([(list(words), share) for words, share in _TOY], list(seen))
        expect(isinstance(got, dict), f"expected a dictionary, got {type(got).__name__}")
        got = {word: share for word, share in got.items() if share}
        expect(set(got) == set(expected), f"{text}: possible are {', '.join(expected)}; got {', '.join(map(str, got))}")
        if not np.isclose(sum(got.values()), 1):
            raise Wrong(f"{text}: the shares add up to {sum(got.values()):.3g}; share out among the sentences that fit")
        close([got[word] for word in expected], list(expected.values()), text, 1e-12)


@exercise("(sentences, place)", look="The equation", level="hard")
def best_loss_of(answer: Callable[..., Any]) -> None:
    """The best possible loss, in nats, when the word at this place of every sentence is hidden. sentences: pairs (words,
    probability) as before. Each sentence counts as often as it is said, and costs the surprise of its word in the posterior."""
    for place in (0, 1, 2):
        expected = sum(-share * np.log(_posterior(_TOY, [*words[:place], "[MASK]", *words[place + 1:]])[words[place]])
                       for words, share in _TOY)
        got = answer([(list(words), share) for words, share in _TOY], place)
        rare = np.mean([-np.log(_posterior(_TOY, [*words[:place], "[MASK]", *words[place + 1:]])[words[place]])
                        for words, _ in _TOY])
        if got is not None and np.isclose(got, rare) and not np.isclose(got, expected):
            raise Wrong("here each sentence counts alike; it counts as often as it is said")
        close(got, expected, f"word {place} hidden", 1e-9)


@exercise("(p, log_q)", look="The equation", level="medium")
def kl_of_rows(answer: Callable[..., Any]) -> None:
    """KL(p‖q) of each row. p (N, V): shares, some of them 0; log_q (N, V): logarithms of shares, some of them minus infinity
    where p is 0. The answer (N,) is finite."""
    rng = np.random.default_rng(272)
    p = rng.dirichlet(np.full(6, 0.4), 5)
    p[:, :2] = 0
    p /= p.sum(1, keepdims=True)
    q = rng.dirichlet(np.ones(6), 5)
    with np.errstate(divide="ignore"):
        q[:3, 0] = 0
        log_q = np.log(q / q.sum(1, keepdims=True))
    expected = np.array([sum(a * (np.log(a) - b) for a, b in zip(*row) if a > 0) for row in zip(p, log_q)])
    with np.errstate(all="ignore"):
        got = answer(p.copy(), log_q.copy())
    if got is not None and np.shape(got) == (5,) and not np.isfinite(got).all():
        raise Wrong("NaN or infinite: where p is 0, nothing is added")
    close(got, expected, "the distances", 1e-9)


@exercise("(model, best)", look="A model, and the gap on the same words", level="medium")
def paired_gap(answer: Callable[..., Any]) -> None:
    """model (N,) and best (N,) are the surprises of a model and of the truth at the same N words, which are independent. Give the
    pair (mean gap, its standard error): the standard deviation of what is averaged, np.std, over √N."""
    rng = np.random.default_rng(273)
    for _ in range(3):
        best = rng.exponential(1.0, 200)
        model = best + rng.normal(0.2, 0.3, 200)
        gap = model - best
        got = answer(model.copy(), best.copy())
        expect(np.shape(got) == (2,), f"expected a pair of numbers, got the shape {np.shape(got)}")
        close(got[0], gap.mean(), "the mean gap", 1e-9)
        if np.isclose(got[1], np.hypot(model.std(), best.std()) / 200**0.5):
            raise Wrong("this treats the words of the two as different ones; subtract first, word by word")
        expect(not np.isclose(got[1], gap.std()), "this is the spread of one word; the error of a mean is smaller by √N")
        close(got[1], gap.std() / 200**0.5, "the standard error", 0.01)


@exercise("(labels, values)", look="Where the missing nats are", level="easy")
def share_of_each(answer: Callable[..., Any]) -> None:
    """labels: a list of N names, such as parts of speech; values (N,): what is missing at each. Give a dictionary with each
    label's share of the sum of all values."""
    rng = np.random.default_rng(274)
    labels = rng.choice(["NOUN", "VERB", "DET"], 30).tolist()
    values = rng.exponential(1.0, 30)
    got = answer(list(labels), values.copy())
    expect(isinstance(got, dict), f"expected a dictionary, got {type(got).__name__}")
    expect(set(got) == set(labels), f"expected the labels {sorted(set(labels))}, got {sorted(map(str, got))}")
    for label in sorted(set(labels)):
        mine = values[[one == label for one in labels]]
        if np.isclose(got[label], mine.mean()):
            raise Wrong(f"{label}: this is a mean; a share is of the sum of all")
        close(got[label], mine.sum() / values.sum(), label, 1e-9)
