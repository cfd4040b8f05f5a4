"""Does attention go to the right word of those that could be meant? The confusion of attention, in bits.

::

    p_g = Σ_j∈g a_ij / Σ_g' Σ_j∈g' a_ij         the heads' mean attention of word i, shared out among the candidates
    confusion = -log2 p_true                    the mean over sentences, of each layer

From a verb: its subject is the true candidate, every other noun of the sentence one that is not. Uniform attention among k
candidates of the same size has log2 k bits (``chance``, the mean over sentences), and 0 means that no other candidate gets
anything. Controls: chance, and a model with random weights.

Source: Lin et al. 2019, "Open Sesame", arXiv:1906.01698, section 4, code yongjie-lin/bert-opensesame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.collecting import collect
from minibert.analysis.hierarchy import NOUNS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "From layer to layer attention is less confused about which noun is the subject of a verb."
PAPER = UNVERIFIED
CONTROLS = ("chance", "random")

LEAST = 20  # verbs


class Confusion(NamedTuple):
    """Bits, the mean over verbs."""

    bits: np.ndarray  # (L,) of the mean of a layer's heads
    heads: np.ndarray  # (L, A) of each head by itself
    chance: float
    verbs: int
    random: np.ndarray | None = None  # (L,) of random weights, where that was measured


def confusion(attention: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Attention of one word ``(..., T)``, and which tokens each candidate has, the true one first -> bits ``(...)``."""
    given = np.stack([attention[..., list(group)].sum(-1) for group in groups], -1)
    if (given.sum(-1) <= 0).any():
        raise ValueError("attention gives nothing to any candidate, so it cannot be shared out")
    with np.errstate(divide="ignore"):
        return -np.log2(given[..., 0] / given.sum(-1))


def verbs_of(sentence: Any) -> list[tuple[int, list[int]]]:
    """Verbs, each with its candidates: its subject, then the other nouns. Those where there are none are left out."""
    nouns = [w for w, upos in enumerate(sentence.upos) if upos in NOUNS]
    found = []
    for w, head in enumerate(sentence.heads):
        if head >= 0 and sentence.relations[w].partition(":")[0] == "nsubj" and sentence.upos[head] == "VERB" and w in nouns:
            others = [noun for noun in nouns if noun != w]
            found += [(head, [w, *others])] * bool(others)
    return found


def measure(bert: Trained, sentences: Sequence[Any]) -> Confusion:
    """Of every verb of sentences with words, heads, relations and upos."""
    asked = [verbs_of(sentence) for sentence in sentences]
    some = [i for i, verbs in enumerate(asked) if verbs]
    count = sum(len(asked[i]) for i in some)
    if count < LEAST:
        raise ValueError(f"{count} verbs have a subject and another noun beside it; a mean says something from {LEAST} on: give "
                         "more sentences")
    bits, heads, chance = 0.0, 0.0, 0.0
    for units in collect(bert, [list(sentences[i].words) for i in some], states=None, attentions="mean"):
        at = {word: unit for unit, word in enumerate(units.words) if word is not None}
        for verb, nouns in asked[some[units.index]]:
            if verb not in at or any(noun not in at for noun in nouns):
                raise ValueError(f"sentences[{some[units.index]}] has a word of which nothing is left as the model reads it; "
                                 "leave the sentence out")
            a, groups = units.attentions[:, :, at[verb]].astype(np.float64), [[at[noun]] for noun in nouns]
            bits = bits + confusion(a.mean(1), groups)
            heads = heads + confusion(a, groups)
            chance += np.log2(len(nouns))
    return Confusion(bits / count, heads / count, chance / count, count)


def of(subject: Subject) -> Confusion:
    """All sentences with a tree, and the same with random weights."""
    known = subject.gold("heads", "relations", "upos")
    untrained = controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, known)._replace(random=measure(untrained, known).bits)


def lines(result: Confusion) -> list[Line]:
    """Of every layer, and of the best head, beside chance."""
    found = [Line(f"bits, {probing.layer_name(i)}", float(value), result.chance) for i, value in enumerate(result.bits, start=1)]
    found.append(Line("bits, best head of all", float(result.heads.min()), result.chance))
    if result.random is not None:
        found.append(Line("bits, random weights, the lowest layer of all", float(result.random.min()), result.chance))
    return found


def verdict(result: Confusion) -> str:
    """Agrees where the last layer is less confused than the first, by .05 bits or more, and than chance; contradicts where it is
    more confused than the first by as much; else, and of a single layer, nothing can be shown."""
    first, last = result.bits[0], result.bits[-1]
    if len(result.bits) < 2 or abs(first - last) < 0.05:
        return CANNOT
    return CONTRADICTS if last > first else AGREES if last < result.chance else CANNOT


def plot(result: Confusion) -> Figure:
    """Bits by layer beside chance and random weights, and of the best head of each layer."""
    layers = range(1, 1 + len(result.bits))
    series = {"heads' mean": result.bits, "best head": result.heads.min(1), "chance": [result.chance] * len(layers)}
    if result.random is not None:
        series["random weights"] = result.random
    return plots.panels(f"From {result.verbs:,} verbs to their subjects",
                        plots.Lines("Confusion of attention", "layer", layers, series, "bits"))
