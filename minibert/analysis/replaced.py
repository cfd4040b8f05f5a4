"""Attention replaced by what knows nothing of the words: how much of a model's skill rests on *where* it looks?

::

    uniform     a[q, k] = 1/n                      over the n tokens that are no padding: the mean of their values
    random      a[q, k] = u[q, k] / Σ_k u[q, k]    u drawn evenly from 0 to 1
    permuted    the weights of each row, dealt out anew among the tokens

Each stands in for all heads of all layers, or of one layer. The model is not trained again, so this is the harsher form: what
learns with the replacement from the start can make up for it. Padding has no weight, and rows still add up to 1.

The paper compares tasks of single texts, which hardly notice, with those of pairs and translation, which do. A masked word is
found by what stands around it, so it belongs to the second kind.

Source: Vashishth et al. 2019, "Attention Interpretability Across NLP Tasks", arXiv:1909.11218, section 5, which has no public
code: the definition is the one above.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import masked
from minibert.analysis.analyses import AGREES, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.masked import Change
from minibert.backend import Array, get_xp, to_numpy
from minibert.text.forms import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Where a word depends on others, attention cannot be replaced by what knows nothing of them."
PAPER = UNVERIFIED
CONTROLS = "no attention at all: every head switched off"


class Replaced(NamedTuple):
    """Losses in nats a hidden token."""

    own: float  # with the model's own attention
    nothing: float  # the control: every head switched off
    all: dict[str, float]  # by kind, in all layers
    error: dict[str, float]  # the standard error of its difference from ``own``, from pairs of the same tokens
    single: dict[str, list[float]]  # by kind, in each layer alone
    tokens: int


def uniform(layer: int, weights: Array, real: Array, seed: int = 0) -> Array:
    """weights ``(B, A, T, T)``, real ``(B, T)`` bool -> all the same over what is real."""
    shares = real / real.sum(1, keepdims=True)
    return get_xp(weights).broadcast_to(shares[:, None, None].astype(weights.dtype), weights.shape)


def random(layer: int, weights: Array, real: Array, seed: int = 0) -> Array:
    """Drawn for a seed and a layer, whatever the weights were."""
    drawn = np.random.default_rng([seed, layer]).random(weights.shape) * to_numpy(real)[:, None, None]
    return get_xp(weights).asarray(drawn / drawn.sum(-1, keepdims=True), dtype=weights.dtype)


def permuted(layer: int, weights: Array, real: Array, seed: int = 0) -> Array:
    """Each row's weights in another order, padding where it was."""
    rng = np.random.default_rng([seed, layer])
    found, own = np.zeros(weights.shape, weights.dtype), to_numpy(weights)
    for b, mask in enumerate(to_numpy(real)):
        found[b][..., mask] = rng.permuted(own[b][..., mask], axis=-1)
    return get_xp(weights).asarray(found)


KINDS = MappingProxyType({"uniform": uniform, "random": random, "permuted": permuted})


def only(chosen: int, change: Change) -> Change:
    """The change in one layer, and no other."""
    return lambda layer, weights, real: change(layer, weights, real) if layer == chosen else weights


def measure(bert: Trained, texts: Sequence[Text], seed: int = 0) -> Replaced:
    """The loss of hidden tokens under each kind of attention."""
    corpus = masked.batches(bert, texts, seed=seed)
    own, layers = masked.losses(bert, corpus), range(bert.config.num_hidden_layers)
    whole, error, single = {}, {}, {}
    for name, kind in KINDS.items():
        change = partial(kind, seed=seed)
        found = masked.losses(bert, corpus, change=change)
        whole[name], error[name] = float(found.mean()), float((found - own).std() / np.sqrt(len(own)))
        single[name] = [float(masked.losses(bert, corpus, change=only(layer, change)).mean()) for layer in layers]
    nothing = masked.losses(bert, corpus, np.zeros((len(layers), bert.config.num_attention_heads)))
    return Replaced(float(own.mean()), float(nothing.mean()), whole, error, single, len(own))


def of(subject: Subject) -> Replaced:
    """All sentences, as texts."""
    return measure(subject.bert, subject.texts, seed=subject.seed)


def lines(result: Replaced) -> list[Line]:
    """The loss under each kind, and of the layer where uniform attention costs most."""
    worst = int(np.argmax(result.single["uniform"]))
    return [Line("loss with its own attention, nats", result.own, result.nothing),
            *(Line(f"{name} in all layers (± {result.error[name]:.3f})", x, result.nothing) for name, x in result.all.items()),
            Line(f"uniform in layer {worst + 1} alone, the worst", result.single["uniform"][worst], result.nothing)]


def verdict(result: Replaced) -> str:
    """Agrees where each of the three costs more than three standard errors and more than a tenth of what no attention costs;
    else contradicts."""
    least = (result.nothing - result.own) / 10
    costs = [result.all[name] - result.own > max(3 * result.error[name], least) for name in result.all]
    return AGREES if all(costs) else CONTRADICTS


def plot(result: Replaced) -> Figure:
    """The loss with all layers replaced, and with each alone."""
    layers = range(1, 1 + len(next(iter(result.single.values()))))
    levels = {"its own": [result.own] * len(layers)}
    return plots.panels(f"Attention that knows nothing ({result.tokens:,} hidden tokens)",
                        plots.Bars("In all layers", ["its own", *result.all, "none"],
                                   {"loss": [result.own, *result.all.values(), result.nothing]}, "nats a hidden token"),
                        plots.Lines("In one layer", "layer", layers, {**result.single, **levels}, "nats a hidden token"))
