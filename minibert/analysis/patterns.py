"""The five kinds of attention maps, and heads switched off as the authors do: a head that is off still takes the mean.

::

    kind            the first of these that is true of the attention of a map, summed over its rows
    both            a quarter goes to the added tokens ([CLS], [SEP]), a quarter to the token itself and its neighbours
    vertical        half of it goes to the added tokens
    diagonal        half of it goes to the token itself and its neighbours
    block           of a pair: nine tenths of the rest stay within the own text
    heterogeneous   none of these

    off    a[q, k] = 1/n over the n tokens that are no padding        the mean of the values, not nothing

The authors had a network learn the kinds from some 400 maps that they had labelled and did not publish; the thresholds here are
our own, so shares of kinds can be compared between models and not with theirs.

Which heads help by being off is found on one half of the texts and measured on the other: of many heads some always look better
by luck where they were chosen.

Verdict: where the chosen head, switched off, lowers the loss of the texts on which it was not chosen by more than two standard
errors, it *agrees*; where that raises it by as much, it *contradicts*; else, and with fewer
than ``FEW`` texts, it *cannot show*.

Source: Kovaleva et al. 2019, "Revealing the Dark Secrets of BERT", arXiv:1908.08593, sections 4.1 and 4.6; code
text-machine-lab/dark-secrets-of-BERT. Their comparison of maps before and after fine-tuning, ``cosines``, runs over 200 × 200
maps with the rows of padding in them; here padding is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched, plots
from minibert.analysis import controls, masked
from minibert.analysis.analyses import CANNOT, FEW, Line, judge
from minibert.analysis.masked import Change
from minibert.analysis.replaced import only, uniform
from minibert.backend import Array, to_numpy
from minibert.text import forms
from minibert.text.forms import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Switching off some heads makes a model better."
PAPER = "one head off gains from 0.1 (STS-B) to 1.2 points (MRPC), all of the first layer 3.2 on RTE; maps are of five kinds"
CONTROLS = "texts on which the head was not chosen; the kinds of maps that random weights have"

KINDS = ("vertical", "diagonal", "both", "block", "heterogeneous")
HALF, QUARTER, WITHIN = 0.5, 0.25, 0.9


class Patterns(NamedTuple):
    """Losses are those of hidden tokens, in nats."""

    kinds: np.ndarray  # (L, A, 5) the share of the texts on which a head is of each of KINDS
    heads: np.ndarray  # (L, A) the change of the loss with this head off, on the first half of the texts
    layers: np.ndarray  # (L,) with all heads of this layer off
    chosen: tuple[int, int]  # the head (layer, head) that is best off there
    gain: float  # what the loss falls by with it off, on the second half; below zero where it rises
    error: float  # the standard error of that
    own: float  # the loss of the second half with all heads on
    texts: int
    random: np.ndarray | None = None  # (L, A, 5) the kinds of random weights, where that was measured


def kind(attention: np.ndarray, added: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """attention ``(…, T, T)``, added ``(T,)`` bool, segments ``(T,)`` -> ``(…,)`` numbers of ``KINDS``."""
    T = len(added)
    near = np.abs(np.subtract.outer(np.arange(T), np.arange(T))) <= 1
    own = segments[:, None] == segments

    def share(where: np.ndarray) -> np.ndarray:
        return (attention * where).sum((-2, -1)) / attention.sum((-2, -1))

    vertical, diagonal = share(np.broadcast_to(added, (T, T))), share(near & ~added)
    rest, inside = share(~near & ~added), share(~near & ~added & own)
    found = {"both": (vertical >= QUARTER) & (diagonal >= QUARTER), "vertical": vertical >= HALF, "diagonal": diagonal >= HALF,
             "block": (segments != segments[0]).any() & (inside >= WITHIN * rest)}
    return np.select(list(found.values()), [KINDS.index(name) for name in found], KINDS.index("heterogeneous"))


def off(heads: Sequence[tuple[int, int]]) -> Change:
    """Evenly spread attention for these heads (layer, head)."""
    def change(layer: int, weights: Array, real: Array) -> Array:
        chosen = [head for at, head in heads if at == layer]
        if not chosen:
            return weights
        weights = weights.copy()
        weights[:, chosen] = uniform(layer, weights, real)[:, chosen]
        return weights

    return change


def cosines(attentions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Two models' maps of one text, ``(L, A, T, T)`` each -> ``(L, A)``: how alike they are, as flat vectors."""
    x, y = (a.reshape(*a.shape[:2], -1) for a in (attentions, others))
    return (x * y).sum(-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))


def kinds(bert: Trained, texts: Sequence[Text]) -> np.ndarray:
    """``(L, A, 5)``: the share of the texts, with nothing hidden, on which each head's map is of each of ``KINDS``."""
    counts = np.zeros((bert.config.num_hidden_layers, bert.config.num_attention_heads, len(KINDS)))
    for text in texts:
        encoding = forms.encode(bert.tokenizer, text, max_length=bert.max_length, truncate=True)
        maps = np.stack([to_numpy(a)[0] for a in batched.answer(bert, [encoding], attentions=True).attentions])
        of = kind(maps, np.array(encoding.special_tokens_mask, bool), np.array(encoding.token_type_ids))
        counts += np.eye(len(KINDS))[of]
    return counts / len(texts)


def measure(bert: Trained, texts: Sequence[Text], seed: int = 0) -> Patterns:
    """The kinds of all heads' maps, and what switching each off does to hidden tokens."""
    if len(texts) < 2:
        raise ValueError(f"a head is chosen on some texts and measured on others: give at least 2, got {len(texts)}")
    L, A = bert.config.num_hidden_layers, bert.config.num_attention_heads
    first, second = (masked.batches(bert, half, seed=seed) for half in (texts[::2], texts[1::2]))
    before = masked.losses(bert, first).mean()
    heads = np.array([[masked.losses(bert, first, change=off([(i, j)])).mean() for j in range(A)] for i in range(L)]) - before
    layers = np.array([masked.losses(bert, first, change=only(i, uniform)).mean() for i in range(L)]) - before
    chosen = divmod(int(heads.argmin()), A)
    own = masked.losses(bert, second)
    gain = own - masked.losses(bert, second, change=off([chosen]))
    return Patterns(kinds(bert, texts), heads, layers, chosen, float(gain.mean()), float(gain.std() / np.sqrt(len(gain))),
                    float(own.mean()), len(texts))


def of(subject: Subject) -> Patterns:
    """All sentences, in pairs of neighbours."""
    texts = subject.texts
    pairs = list(zip(texts[::2], texts[1::2]))
    fresh = kinds(controls.random_weights(subject.bert, subject.seed), pairs)
    return measure(subject.bert, pairs, subject.seed)._replace(random=fresh)


def lines(result: Patterns) -> list[Line]:
    """The kinds of maps beside those of random weights, and what is gained by switching off."""
    shares = result.kinds.mean((0, 1))
    fresh = [None] * len(KINDS) if result.random is None else result.random.mean((0, 1)).tolist()
    layer, head = result.chosen
    return [*(Line(f"maps that are {name}, share", float(x), y) for name, x, y in zip(KINDS, shares, fresh)),
            Line(f"head {layer + 1}.{head + 1} off: gain in nats (± {result.error:.3f}); control: where it was chosen",
                 result.gain, -float(result.heads[result.chosen])),
            Line(f"layer {result.layers.argmin() + 1} off, the best to lose: gain", -float(result.layers.min()))]


def verdict(result: Patterns) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    return CANNOT if result.texts < FEW else judge(result.gain, 2 * result.error)


def plot(result: Patterns) -> Figure:
    """The kinds of each layer's maps, and what each layer's heads are worth."""
    layers = [f"layer {i}" for i in range(1, 1 + len(result.heads))]
    shares = {name: result.kinds[..., i].mean(1) for i, name in enumerate(KINDS)}
    shares["vertical, diagonal"] = shares.pop("both")
    kinds = {name: shares[name] for name in ("vertical", "diagonal", "vertical, diagonal")}
    kinds["block or other"] = shares["block"] + shares["heterogeneous"]
    effects = {"the worst head": result.heads.max(1), "the best head": result.heads.min(1), "all its heads": result.layers}
    return plots.panels(f"What maps look like, and what they are worth ({result.texts:,} texts)",
                        plots.Bars("Kinds of maps", layers, kinds, "share of the maps"),
                        plots.Bars("Switched off", layers, effects, "change of the loss (nats)"))
