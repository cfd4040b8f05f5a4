"""How many heads a model needs: the importance of each, and the loss as they are switched off in its order.

::

    ∂loss(x)/∂gate_h = Σ_t ctx_h[t]·∂loss(x)/∂ctx_h[t]      gate_h: 1, times ctx_h (T, D), what head h gives to the output matrix

Three ways to add it up over N texts x and their tokens t, each at most as large as the next::

    "batch"      Σ_batches | Σ_x ∂loss(x)/∂gate_h | / N           texts of a batch cancel
    "example"    Σ_x | ∂loss(x)/∂gate_h | / N                     the paper's, equation 2
    "token"      Σ_x Σ_t | ctx_h[t]·∂loss(x)/∂ctx_h[t] | / N      the paper's code: tokens do not cancel either

A text's loss is the sum over its hidden tokens. Importance is estimated once, on other texts than those that are then lost; all
heads of all layers stand in one order, and no layer is left its last one. A head that is off gives nothing, its value bias
neither.

*Agrees* where at half of the heads the order loses less than its reverse and than every random order, and closing a fifth in
order costs at most a tenth of closing all.

Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?", arXiv:1905.10650, section 4. ``per_layer``: each layer's
numbers are divided by their length, as their text has it and their code only when asked. Their code (pmichel31415/are-16-heads)
also divides by the tokens and not the texts, which changes no order, but for its last layer. ``run_bertology.py`` of Hugging Face
takes the form "batch", of mean losses, and never clears the gradient: batch t there adds the sum of all batches up to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import inside, masked
from minibert.analysis.masked import Batch
from minibert.backend import to_numpy
from minibert.model import pretraining
from minibert.model.pretraining import Output
from minibert.parameters import NOTHING
from minibert.text.forms import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.pretrained import Trained

FORMS = ("batch", "example", "token")


class Pruning(NamedTuple):
    """The loss in nats a hidden token, as more and more heads are closed: S shares of the heads, from none to all."""

    importance: np.ndarray  # (L, A)
    closed: np.ndarray  # (S,) how many heads
    ordered: np.ndarray  # (S,) the least important first
    random: np.ndarray  # (R, S) R random orders
    reverse: np.ndarray  # (S,) the most important first
    error: float  # standard error of ordered − reverse at half of the heads, from pairs of the same tokens
    tokens: int


def importance(bert: Trained, corpus: Sequence[Batch], form: str = "example", per_layer: bool = False) -> np.ndarray:
    """``(L, A)``, by one of ``FORMS``."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    found = sum(_token(bert, batch) if form == "token" else _gates(bert, batch, form) for batch in corpus)
    found = found / sum(len(batch.texts) for batch in corpus)
    return found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-20) if per_layer else found


def curve(bert: Trained, corpus: Sequence[Batch], order: np.ndarray, closed: Sequence[int]) -> np.ndarray:
    """``(S, N)`` the losses of N hidden tokens where the first heads of an order, flat numbers layer·A + head, are closed."""
    rows = []
    for count in closed:
        gates = inside.open_gates(bert)
        gates.reshape(-1)[order[:count]] = 0
        rows.append(masked.losses(bert, corpus, gates))
    return np.stack(rows)


def measure(bert: Trained, texts: Sequence[Text], form: str = "example", per_layer: bool = False, points: int = 11,
            orders: int = 3, seed: int = 0) -> Pruning:
    """Importance on one half of the texts, curves on the other, at ``points`` shares of the heads."""
    if len(texts) < 2:
        raise ValueError(f"the order is found on some texts and the loss measured on others: give at least 2, got {len(texts)}")
    if points < 3 or orders < 1:
        raise ValueError(f"expected at least 3 points and 1 random order, got {points} and {orders}")
    weights = importance(bert, masked.batches(bert, texts[::2], seed=seed), form, per_layer)
    corpus = masked.batches(bert, texts[1::2], seed=seed)
    heads = weights.size
    closed = np.unique(np.r_[np.linspace(0, heads, points).round(), heads // 2].astype(int))
    order, rng = np.argsort(weights, axis=None, kind="stable"), np.random.default_rng(seed)
    ordered, reverse = (curve(bert, corpus, o, closed) for o in (order, order[::-1]))
    random = np.stack([curve(bert, corpus, rng.permutation(heads), closed).mean(1) for _ in range(orders)])
    half = int(np.searchsorted(closed, heads // 2))
    difference = ordered[half] - reverse[half]
    return Pruning(weights, closed, ordered.mean(1), random, reverse.mean(1), float(difference.std() / np.sqrt(len(difference))),
                   len(difference))


def plot(result: Pruning) -> Figure:
    """The curves, and how much each head matters."""
    layers = [f"layer {i}" for i in range(1, 1 + len(result.importance))]
    ranked = -np.sort(-result.importance, axis=1)
    series = {f"head {['most', 'second', 'third', 'fourth'][i]}": ranked[:, i] for i in range(min(4, ranked.shape[1]))}
    curves = {"least important first": result.ordered, "random (mean)": result.random.mean(0),
              "most important first": result.reverse}
    return plots.panels(f"How many heads does it need? ({result.tokens:,} hidden tokens)",
                        plots.Lines("Heads switched off", "heads that are off", result.closed, curves, "nats a hidden token"),
                        plots.Bars("The heads of each layer, most important first", layers, series, "importance"))


def _gates(bert: Trained, batch: Batch, form: str) -> np.ndarray:
    """``(L, A)`` the sum over the texts, whose gates are apart: |∂| of each, or | Σ ∂ |."""
    L, A = bert.config.num_hidden_layers, bert.config.num_attention_heads
    gates = np.ones((L, len(batch.texts), A))
    _, cache = masked.forward(bert, batch, gates, wrap=lambda layers: layers)
    d = to_numpy(pretraining.backward(Output(loss=1.0), cache, bert.parameters, NOTHING).head_mask)  # (L, B, A)
    return np.abs(d).sum(1) if form == "example" else np.abs(d.sum(1))


def _token(bert: Trained, batch: Batch) -> np.ndarray:
    """``(L, A)``. ctx[q]·∂loss/∂ctx[q] is Σ_k a[q, k]·∂loss/∂a[q, k], since ctx = a·v."""
    attentions, gradients = masked.attention_gradients(bert, batch)
    return np.stack([np.abs((a * d).sum(-1)).sum((0, 2)) for a, d in zip(attentions, gradients)])
