"""How many heads a model needs: the importance of each, and the loss as they are switched off in its order.

What importance is, and the three forms of it, stands in ``model.importance``. A text's loss is the sum over its hidden tokens.
Importance is estimated once, on other texts than those that are then lost; all heads of all layers stand in one order, and no
layer is left its last one. A head that is off gives nothing, its value bias neither. The title's question is asked of one layer
at a time: only its most important head is left, beside none.

Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?", arXiv:1905.10650, section 4. ``per_layer``: each layer's
numbers are divided by their length, as their text has it and their code only when asked. Their code (pmichel31415/are-16-heads)
also divides by the tokens and not the texts, which changes no order, but for its last layer. ``run_bertology.py`` of Hugging Face
takes the form "batch", in which texts of a batch with other signs cancel, of mean losses, and never clears the gradient: batch t
there adds the sum of all batches up to it. The curve of the other form stands beside that of the one which is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import inside, masked
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.inside import Question
from minibert.analysis.masked import Batch
from minibert.model import importance as importance_of
from minibert.model import pretraining
from minibert.model.encoder import Layer
from minibert.model.pretraining import Output
from minibert.parameters import NOTHING
from minibert.text.forms import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Many heads can be switched off, if they are taken in the order of their importance."
PAPER = "of BERT on MNLI about 40 % of the heads can go without a noticeable loss; one head for a layer costs at most 0.96 points"
CONTROLS = "random orders, and the order of importance reversed"


class Pruning(NamedTuple):
    """The loss in nats a hidden token, as more and more heads are closed: S shares of the heads, from none to all."""

    importance: np.ndarray  # (L, A)
    closed: np.ndarray  # (S,) how many heads
    ordered: np.ndarray  # (S,) the least important first
    other: np.ndarray  # (S,) the same by another form of importance
    form: str  # which that is
    random: np.ndarray  # (R, S) R random orders
    reverse: np.ndarray  # (S,) the most important first
    one: np.ndarray  # (L,) with the most important head of this layer and no other of it
    none: np.ndarray  # (L,) the control: without any of it
    error: float  # standard error of ordered − reverse at half of the heads, from pairs of the same tokens
    tokens: int


class Closing(NamedTuple):
    """The loss of one text in nats a hidden word: S numbers of heads, from none to all."""

    order: np.ndarray  # (L·A, 2) layer and head, the least important first
    closed: np.ndarray  # (S,)
    ordered: np.ndarray  # (S,)
    reverse: np.ndarray  # (S,)


def importance(bert: Trained, corpus: Sequence[Batch], form: str = "example", per_layer: bool = False) -> np.ndarray:
    """``(L, A)``, by one of ``FORMS``."""
    importance_of.check(form)
    found = np.zeros((bert.config.num_hidden_layers, bert.config.num_attention_heads))
    for batch in corpus:
        for layer, own in enumerate(importance_of.of_batch(partial(_passes, bert, batch), bert.config.head_size, form).heads):
            found[layer, list(bert.config.heads_of(layer))] += own
    found = found / max(1, sum(len(batch.texts) for batch in corpus))
    return found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-20) if per_layer else found


def curve(bert: Trained, corpus: Sequence[Batch], order: np.ndarray, closed: Sequence[int]) -> np.ndarray:
    """``(S, N)`` the losses of N hidden tokens where the first heads of an order, flat numbers layer·A + head, are closed."""
    rows = []
    for count in closed:
        gates = inside.open_gates(bert)
        gates.reshape(-1)[order[:count]] = 0
        rows.append(masked.losses(bert, corpus, gates))
    return np.stack(rows)


def closing(bert: Trained, question: Question, points: int = 25, progress: Callable[[int, int], None] | None = None) -> Closing:
    """The loss of one text's hidden words as heads are closed, ``points`` numbers of them, by their importance to this text.

    ``progress`` is told (passes done, of how many). ValueError where no hidden word is known, and for fewer than 2 points.
    """
    if points < 2:
        raise ValueError(f"a curve has at least 2 points, got {points}")
    if all(truth is None for truth in question.truth):
        raise ValueError("a loss needs a hidden word that is known: hide one of the text's own")
    order = np.argsort(np.abs(inside.importance(bert, question).gradient), axis=None, kind="stable")
    closed = np.unique(np.linspace(0, len(order), points).round().astype(int))
    losses = np.empty((2, len(closed)))
    for i, (numbers, count) in enumerate(product((order, order[::-1]), closed)):
        gates = inside.open_gates(bert)
        gates.reshape(-1)[numbers[:count]] = 0
        losses.reshape(-1)[i] = inside.loss(bert, question, gates)
        if progress:
            progress(i + 1, losses.size)
    return Closing(np.stack(np.unravel_index(order, gates.shape), 1), closed, *losses)


def measure(bert: Trained, texts: Sequence[Text], form: str = "example", per_layer: bool = False, points: int = 11,
            orders: int = 3, seed: int = 0) -> Pruning:
    """Importance on one half of the texts, curves on the other, at ``points`` shares of the heads."""
    if len(texts) < 2:
        raise ValueError(f"the order is found on some texts and the loss measured on others: give at least 2, got {len(texts)}")
    if points < 3 or orders < 1:
        raise ValueError(f"expected at least 3 points and 1 random order, got {points} and {orders}")
    other = "example" if form == "batch" else "batch"
    weights, others = (importance(bert, masked.batches(bert, texts[::2], seed=seed), f, per_layer) for f in (form, other))
    corpus = masked.batches(bert, texts[1::2], seed=seed)
    heads = weights.size
    closed = np.unique(np.r_[np.linspace(0, heads, points).round(), heads // 2].astype(int))
    order, rng = np.argsort(weights, axis=None, kind="stable"), np.random.default_rng(seed)
    ordered, reverse, by_other = (curve(bert, corpus, o, closed)
                                  for o in (order, order[::-1], np.argsort(others, axis=None, kind="stable")))
    random = np.stack([curve(bert, corpus, rng.permutation(heads), closed).mean(1) for _ in range(orders)])
    A = weights.shape[1]
    one, none = np.array([curve(bert, corpus, layer * A + np.argsort(row), [A - 1, A]).mean(1)
                          for layer, row in enumerate(weights)]).T
    half = int(np.searchsorted(closed, heads // 2))
    difference = ordered[half] - reverse[half]
    error = float(difference.std() / np.sqrt(len(difference)))
    return Pruning(weights, closed, ordered.mean(1), by_other.mean(1), other, random, reverse.mean(1), one, none, error,
                   len(difference))


def of(subject: Subject) -> Pruning:
    """All sentences, as texts."""
    return measure(subject.bert, subject.texts, seed=subject.seed)


def lines(result: Pruning) -> list[Line]:
    """The loss with all heads, with a fifth, half and all of them closed in order, beside random orders and the reverse, and with
    one head in a layer."""
    found, heads = [Line("loss with all heads, nats", float(result.ordered[0]))], result.importance.size
    for name, share in (("a fifth", 0.2), ("half", 0.5)):
        i = int(np.searchsorted(result.closed, round(share * heads)))
        closed, loss = f"{name} of {heads} heads closed ({result.closed[i]})", float(result.ordered[i])
        found += [Line(f"{closed}, in order; control: random", loss, float(result.random[:, i].mean())),
                  Line(f"{closed}, in order; control: reversed", loss, float(result.reverse[i])),
                  Line(f"{closed}, in order; control: by the importance of the form {result.form}", loss, float(result.other[i]))]
    found += [Line(f"all of {heads} heads closed", float(result.ordered[-1]))]
    alone = [Line(f"one head left in layer {i}; control: none", float(x), float(y))
             for i, (x, y) in enumerate(zip(result.one, result.none), start=1)]
    return found + alone


def verdict(result: Pruning) -> str:
    """Agrees where at half of the heads the order loses less than every random one, and than its reverse by two standard errors,
    and a fifth closed in order costs at most a tenth of what all cost; else contradicts. Fewer than ten heads cannot show it."""
    heads = result.importance.size
    if heads < 10:
        return CANNOT
    half, fifth = (int(np.searchsorted(result.closed, n)) for n in (heads // 2, round(heads / 5)))
    cost = result.ordered - result.ordered[0]
    first = result.ordered[half] < min(result.random[:, half].min(), result.reverse[half] - 2 * result.error)
    return AGREES if first and cost[fifth] <= cost[-1] / 10 else CONTRADICTS


def plot(result: Pruning) -> Figure:
    """The curves, and how much each head matters."""
    layers = [f"layer {i}" for i in range(1, 1 + len(result.importance))]
    ranked = -np.sort(-result.importance, axis=1)
    series = {name: ranked[:, i] for i, name in enumerate(("the first", "second", "third", "fourth")[:ranked.shape[1]])}
    curves = {"least important first": result.ordered, f"the same, importance by {result.form}": result.other,
              "random (mean)": result.random.mean(0),
              "most important first": result.reverse}
    return plots.panels(f"How many heads does it need? ({result.tokens:,} hidden tokens)",
                        plots.Lines("Heads switched off", "heads that are off", result.closed, curves, "nats a hidden token"),
                        plots.Bars("The heads of each layer, most important first", layers, series, "importance"))


def _passes(bert: Trained, batch: Batch, wrap: Callable[[Sequence[Layer]], Sequence[Layer]]) -> None:
    """Forward and backward."""
    _, cache = masked.forward(bert, batch, wrap=wrap)
    pretraining.backward(Output(loss=1.0), cache, bert.parameters, NOTHING)
