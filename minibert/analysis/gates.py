"""Heads closed by learning: gates of the heads with a price for each that is open.

::

    minimise   nats a hidden token + price·Σ_h P(g_h > 0)        g_h: hard concrete gates, times the outputs of the heads

A gate is drawn anew for each batch, and Adam follows its slope; the model's weights rest. Afterwards a head is open or closed
(``hard_concrete.decided``), and the loss is measured on other texts. The higher the price, the fewer heads are left.

Controls: as many heads closed in the order of their importance (``pruning``), and at random.

Source: Voita et al. 2019, "Analyzing Multi-Head Self-Attention", arXiv:1905.09418, section 5, who let the weights of the model
learn on; code lena-voita/the-story-of-heads. There a layer's penalty is averaged over the layers, so that a price in their code
is that of the paper times their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import masked, pruning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.masked import Batch
from minibert.backend import to_numpy
from minibert.layers import hard_concrete
from minibert.model import pretraining
from minibert.model.pretraining import Output
from minibert.numerics.adam import AdamW, update
from minibert.parameters import NOTHING
from minibert.text.forms import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Most heads can be closed by learned gates, and little is lost."
PAPER = "English to Russian: 10 of the 48 heads of the encoder within 0.15 BLEU; of subtitles 4 of 48 for 0.25"
CONTROLS = "as many heads closed in the order of importance, and at random (the mean of five)"

PRICES = (0.01, 0.03, 0.1, 0.3)  # nats a head
START, RATE, STEPS, DRAWS = 2.0, 0.2, 100, 5


class Gates(NamedTuple):
    """Of P prices; losses in nats a hidden token, on other texts than the gates have learned from."""

    prices: list[float]
    open: np.ndarray  # (P, L, A) 0 or 1
    loss: np.ndarray  # (P,)
    ordered: np.ndarray  # (P,) with as many heads closed, the least important first
    random: np.ndarray  # (P,) at random
    full: float  # with all heads
    none: float  # without any
    tokens: int


def learn(bert: Trained, corpus: Sequence[Batch], price: float, steps: int = STEPS, rate: float = RATE,
          seed: int = 0) -> np.ndarray:
    """``(L, A)``: the a of the gates."""
    a = np.full((bert.config.num_hidden_layers, bert.config.num_attention_heads), START)
    m, v, rng = np.zeros_like(a), np.zeros_like(a), np.random.default_rng([seed, 0xA6])
    for step in range(1, steps + 1):
        batch = corpus[rng.integers(len(corpus))]
        (gates, _), gates_cache = hard_concrete.forward(a, rng.uniform(1e-6, 1 - 1e-6, a.shape))
        _, cache = masked.forward(bert, batch, gates, wrap=lambda layers: layers)
        d = pretraining.backward(Output(loss=1 / len(batch.inputs.labels)), cache, bert.parameters, NOTHING)
        da = hard_concrete.backward(to_numpy(d.head_mask).astype(a.dtype), gates_cache, price)
        update(a, da, m, v, rate, step, False, AdamW(epsilon=1e-8))
    return a


def measure(bert: Trained, texts: Sequence[Text], prices: Sequence[float] = PRICES, steps: int = STEPS, seed: int = 0) -> Gates:
    """Gates learn on one half of the texts and are judged on the other."""
    if len(texts) < 2:
        raise ValueError(f"gates learn on some texts and are judged on others: give at least 2, got {len(texts)}")
    train, test = (masked.batches(bert, half, seed=seed) for half in (texts[::2], texts[1::2]))
    order = np.argsort(pruning.importance(bert, train), axis=None, kind="stable")
    rng, found = np.random.default_rng([seed, 0xA8]), []
    for price in prices:
        opened = hard_concrete.decided(learn(bert, train, price, steps, seed=seed))
        closed = [int((opened == 0).sum())]
        random = np.mean([pruning.curve(bert, test, rng.permutation(opened.size), closed).mean() for _ in range(DRAWS)])
        found.append((opened, masked.losses(bert, test, opened).mean(), pruning.curve(bert, test, order, closed).mean(), random))
    opened, loss, ordered, random = map(np.array, zip(*found))
    full, none = masked.losses(bert, test), masked.losses(bert, test, np.zeros(opened.shape[1:]))
    return Gates(list(prices), opened, loss, ordered, random, float(full.mean()), float(none.mean()), len(full))


def of(subject: Subject) -> Gates:
    """All sentences, as texts; fewer steps where it is to be quick."""
    return measure(subject.bert, subject.texts, steps=25 if subject.quick else STEPS, seed=subject.seed)


def lines(result: Gates) -> list[Line]:
    """The loss at each price, beside as many heads closed in order and at random."""
    heads = result.open[0].size
    found = [Line("loss with all heads; control: with none", result.full, result.none)]
    for price, gates, loss, *others in zip(result.prices, result.open, result.loss, result.ordered, result.random):
        found += [Line(f"price {price}, {int(gates.sum())} of {heads} heads open; control: {name}", float(loss), float(other))
                  for name, other in zip(("by importance", "at random"), others)]
    return found


def verdict(result: Gates) -> str:
    """Agrees where at some price at most half of the heads are open and the loss has risen by less than a tenth of what it costs
    to close all, and by less than at random; else contradicts. Fewer than ten heads cannot show it."""
    if result.open[0].size < 10:
        return CANNOT
    few = result.open.mean((1, 2)) <= 0.5
    near = (result.loss - result.full < (result.none - result.full) / 10) & (result.loss < result.random)
    return AGREES if (few & near).any() else CONTRADICTS


def plot(result: Gates) -> Figure:
    """The loss against the heads that are left, and which these are at the highest price that leaves some."""
    left = result.open.sum((1, 2))
    by = np.argsort(left, kind="stable")
    curves = {"learned gates": result.loss[by], "by importance": result.ordered[by], "at random": result.random[by]}
    some = int(np.flatnonzero(left > 0)[-1]) if (left > 0).any() else 0
    layers, heads = result.open.shape[1:]
    return plots.panels(f"Heads closed by learning ({result.tokens:,} hidden tokens)",
                        plots.Lines("What is lost", "heads that are open", left[by], curves, "nats a hidden token"),
                        plots.Grid(f"Open at a price of {result.prices[some]:g} nats a head", result.open[some],
                                   [f"layer {i + 1}" for i in range(layers)], [f"head {i + 1}" for i in range(heads)]))
