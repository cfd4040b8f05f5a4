"""Three scales of attention: of all heads, of one head, of the single numbers that one weight is made of.

::

    terms[i, j, d] = q_d·k_d/√D         the neuron view: what each number of query i and key j adds to the logit
    Σ_d terms[i, j, d] = logit[i, j]    softmax over j: the attention of i to j

So a weight can be traced to neurons, and ``measure`` says how exactly: the largest difference of any head on some texts. BertViz
shows the products without √D and divides their sum; here each has its share of it. ``concentrated`` is what the larger terms say:
the part of Σ_d |terms| that the largest tenth of the D numbers holds, beside the same of terms drawn from a normal distribution.

Verdict: a sum holds for each text alone, so few are enough. It *agrees* where no softmax of terms is off by more than a hundred
thousandth, and *contradicts* where one is; but where the same holds without √D, logits being too even to tell, it *cannot show*.

``shade`` and ``opacity`` are BertViz's: of numbers tanh(|x|/4), the colour their sign; of lines tanh(1.8·a).

Source: Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model", arXiv:1906.05714; code jessevig/bertviz.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import inside
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.inside import Question
from minibert.layers import softmax

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "An attention weight can be traced to single neurons: the products of query and key add up to its logit."
PAPER = "a tool, not a figure; its neuron view shows q·k/√D as the sum of the products"
CONTROLS = "the same products without √D; terms drawn from a normal distribution"


class Neurons(NamedTuple):
    """One weight of a head: from which token to which, and of its D numbers what they are."""

    tokens: tuple[str, str]
    query: np.ndarray  # (D,) divided by √D
    key: np.ndarray  # (D,)
    terms: np.ndarray  # (D,)
    weight: float


class Multiscale(NamedTuple):
    """Over all heads of all layers."""

    sums: float  # the largest difference of Σ_d terms from the logits, of which the attention is the softmax
    softmax: float  # the largest difference of softmax of Σ_d terms from the attention
    unscaled: float  # the control of that: without √D
    concentrated: float  # the mean share of the largest tenth of the terms
    chance: float  # the control of that
    texts: int
    example: Neurons | None  # the largest weight between two words of the first text


def terms(bert: Trained, question: Question, layer: int, head: int) -> np.ndarray:
    """``(T, T, D)`` of one head: what each number adds to the logit of each row and column."""
    found = inside.scores(bert, question, layer, head)
    return found.query[:, None] * found.key


def concentrated(found: np.ndarray) -> float:
    """Terms ``(…, D)``: the mean share of Σ|terms| that the largest tenth of the numbers holds."""
    size = -np.sort(-np.abs(found), axis=-1)
    top = ceil(size.shape[-1] / 10)
    return float((size[..., :top].sum(-1) / np.maximum(size.sum(-1), 1e-30)).mean())


def shade(x: np.ndarray) -> np.ndarray:
    """Numbers of a vector -> from −1 to 1: the colour is the sign, how strong it is the size."""
    return np.sign(x) * np.tanh(np.abs(x) / 4)


def opacity(a: np.ndarray) -> np.ndarray:
    """Attention -> how strong a line is drawn."""
    return np.tanh(1.8 * a)


def measure(bert: Trained, texts: Sequence[str], seed: int = 0) -> Multiscale:
    """How exactly terms add up, on all heads. A text that is too long loses its end."""
    if not texts:
        raise ValueError("there are no texts to look at: give at least one")
    L, A = bert.config.num_hidden_layers, bert.config.num_attention_heads
    errors, shares, example = np.zeros(3), [], None
    for text in texts:
        question = inside.ask(bert, text)
        for layer in range(L):
            for head in range(A):
                found = inside.scores(bert, question, layer, head)
                parts = found.query[:, None] * found.key  # (T, T, D)
                logits, root = parts.sum(-1), found.query.shape[-1] ** 0.5
                scaled, unscaled = (softmax.forward(x)[0] for x in (logits, logits * root))
                errors = np.maximum(errors, [np.abs(x).max() for x in (
                    logits - found.score, scaled - found.weights, unscaled - found.weights)])
                shares.append(concentrated(parts))
                if text == texts[0]:
                    example = _larger(example, question, found)
    drawn = np.random.default_rng(seed).normal(size=(2, 10_000, found.query.shape[-1])).prod(0)
    return Multiscale(*map(float, errors), float(np.mean(shares)), concentrated(drawn), len(texts), example)


def of(subject: Subject) -> Multiscale:
    """The first 20 different sentences."""
    return measure(subject.bert, [sentence.text for sentence in subject.different[:20]], subject.seed)


def lines(result: Multiscale) -> list[Line]:
    """The largest errors, and how many numbers a logit rests on."""
    return [Line("largest error of the sum of the terms", f"{result.sums:.1e}"),
            Line("largest error of their softmax; control: without √D", f"{result.softmax:.1e}", result.unscaled),
            Line("share of the largest tenth of the terms; control: chance", result.concentrated, result.chance)]


def verdict(result: Multiscale) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    if max(result.softmax, result.unscaled) < 1e-5:
        return CANNOT
    return AGREES if result.softmax < 1e-5 else CONTRADICTS


def plot(result: Multiscale) -> Figure:
    """The neuron view of one weight: query, key, their products."""
    found, (start, end) = result.example, result.example.tokens
    root = len(found.query) ** 0.5  # as BertViz has them: not divided
    rows = [shade(found.query * root), shade(found.key), shade(found.terms * root)]
    return plots.panels(f"Why {start} looks at {end}: attention {found.weight:.2f}",
                        plots.Grid("Each number of query and key, and their product; blue is positive", np.stack(rows),
                                   ["query", "key", "query·key"], [""] * len(found.query)))


def _larger(example: Neurons | None, question: Question, found: inside.Scores) -> Neurons | None:
    """The largest weight between two different tokens that the text itself has."""
    own = ~np.array(question.added)
    free = found.weights * (own[:, None] & own & ~np.eye(len(own), dtype=bool))
    i, j = np.unravel_index(free.argmax(), free.shape)
    if example is not None and example.weight >= free[i, j]:
        return example
    q, k = found.query[i], found.key[j]
    return Neurons((question.tokens[i], question.tokens[j]), q, k, q * k, float(free[i, j]))
