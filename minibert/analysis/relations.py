"""One head, one relation: how often the word that a head looks at most is the word's head.

::

    head of w  =  argmax over other words j of  a[w, j]      "down": from the dependent to the head
                                          or of  a[j, w]      "up": the head, of all, looks at this dependent most
    accuracy of a relation  =  the share of its dependents whose head is found

[CLS] and [SEP] are left out. A relation's best head and way are chosen on one half of the sentences and measured on the other:
among many heads the luckiest is always better where it was chosen. The first control is the best fixed offset, chosen and
measured in the same way: the word d places on, or the first or last word where there is none so far. The second is the best head
of random weights, chosen and measured likewise: which word it is says something of its head without any learning, most of all of
a full stop.

Verdict: a relation stands where its head is ten points above both controls and three standard errors of the half on which it was
measured. *Agrees* where one stands, *contradicts* where each is below ten points by more than its three errors; else *cannot*.

Source: Clark et al. 2019, "What Does BERT Look At?", arXiv:1906.04341, section 4.2 and table 1, where heads are chosen and
measured on the same sentences. Of all words together (``all``) their code counts the root, whose head is never found; here it is
not asked for. Their table's 82.5 for auxpass is a slip: that is the offset's, the head's own is 94.1, in their notebook.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, trees
from minibert.analysis.analyses import Line, judge, share_error
from minibert.analysis.trees import Parsed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Some heads find a relation far better than any fixed offset."
PAPER = "dobj 86.8 (offset 40.0), det 94.3 (51.7), all words 34.5 (26.3) %, of BERT-base on the Wall Street Journal"
CONTROLS = "the best fixed offset, the best head of random weights; all chosen on one half of the sentences, measured on another"

WAYS = ("down", "up")
OFFSETS = (-3, -2, -1, 1, 2, 3)


class Relations(NamedTuple):
    """Of R relations, the most frequent first; shares from 0 to 1."""

    relations: list[str]
    counts: list[int]  # dependents, in both halves
    recall: np.ndarray  # (2, L, A, R) by way, over all sentences
    best_offset: np.ndarray  # (R,) over all sentences
    best: list[tuple[str, int, int]]  # the way, layer and head that was chosen for each
    accuracy: np.ndarray  # (R,) of it on the other half
    offsets: np.ndarray  # (R,) the control, likewise
    chosen: list[int]  # which offset
    all: np.ndarray  # (2, L, A) over every word that has a head
    all_offset: float  # of the best offset
    sentences: int
    random: np.ndarray | None = None  # (R,) the accuracy of random weights, where that was measured


def hits(between: np.ndarray, heads: Sequence[int]) -> np.ndarray:
    """Attention between words ``(…, W, W)`` -> ``(2, …, W)``: is the head of each word found? By way; False for the root."""
    pointers = np.stack([trees.looks_at(between), trees.looks_at(between.swapaxes(-1, -2))])
    return pointers == np.asarray(heads)


def offset_hits(heads: Sequence[int]) -> np.ndarray:
    """``(O, W)``: the same of the ``OFFSETS``."""
    places = np.arange(len(heads))
    return np.stack([np.clip(places + d, 0, len(heads) - 1) == np.asarray(heads) for d in OFFSETS])


def measure(bert: Trained, sentences: Sequence[Parsed], least: int = 20, row: str = "mean") -> Relations:
    """Every relation with at least ``least`` dependents in each half. ``row``: whose attention is that of a split word."""
    found: list[dict[str, np.ndarray]] = [{}, {}]  # half -> relation -> (2·L·A + O) hits
    counts: list[Counter[str]] = [Counter(), Counter()]
    shape: tuple[int, ...] = ()
    for number, _, at, attention in trees.maps(bert, sentences, row):
        _, heads, relations = sentences[number]
        right = hits(attention[..., at, :][..., at], heads)  # (2, L, A, W)
        shape, half = right.shape[:-1], number % 2
        flat = np.concatenate([right.reshape(-1, len(at)), offset_hits(heads)]).astype(float)
        for w in np.flatnonzero(np.asarray(heads) >= 0):
            found[half][relations[w]] = found[half].get(relations[w], 0) + flat[:, w]
            counts[half][relations[w]] += 1
    total = counts[0] + counts[1]
    often = [r for r, _ in total.most_common() if min(counts[0][r], counts[1][r]) >= least]
    if not often:
        raise ValueError(f"{len(sentences)} sentences have no relation with {least} dependents in each half, the least for a "
                         f"share to say something: the most frequent has {max(total.values(), default=0)}; give more sentences")
    first, second = (np.stack([found[half][r] / counts[half][r] for r in often], -1) for half in (0, 1))  # (2·L·A + O, R)
    heads = len(first) - len(OFFSETS)
    best, offset = first[:heads].argmax(0), first[heads:].argmax(0)
    each = np.arange(len(often))
    both = np.stack([(found[0][r] + found[1][r]) / total[r] for r in often], -1)
    every = sum(hits for half in found for hits in half.values()) / total.total()
    names = [(WAYS[way], int(layer), int(head)) for way, layer, head in zip(*np.unravel_index(best, shape))]
    return Relations(often, [total[r] for r in often], both[:heads].reshape(*shape, -1), both[heads:].max(0), names,
                     second[best, each], second[heads + offset, each], [OFFSETS[i] for i in offset], every[:heads].reshape(shape),
                     float(every[heads:].max()), len(sentences))


def of(subject: Subject) -> Relations:
    """All sentences with heads and relations, of at least two words, and the same with random weights."""
    sentences = trees.parsed(subject)
    fresh = measure(controls.random_weights(subject.bert, subject.seed), sentences)
    return measure(subject.bert, sentences)._replace(random=fresh.accuracy)


def lines(result: Relations) -> list[Line]:
    """The most frequent relations: the chosen head beside the chosen offset; the paper's for the three that it names here."""
    named = {"obj": 0.868, "dobj": 0.868, "det": 0.943}
    found = [Line(f"{r}: head {layer + 1}.{head + 1} {way}", float(x), float(y), named.get(r)) for r, (way, layer, head), x, y in
             zip(result.relations[:12], result.best, result.accuracy, result.offsets)]
    if result.random is not None:
        best = int((result.accuracy - _control(result)).argmax())
        found.append(Line(f"{result.relations[best]}, the most above both controls; control: random weights",
                          float(result.accuracy[best]), float(result.random[best])))
    return [*found, Line("all words, the best head", float(result.all.max()), result.all_offset, 0.345)]


def verdict(result: Relations) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    control = _control(result)
    return judge(result.accuracy - control, 3 * share_error(result.accuracy, control, np.array(result.counts) / 2), 0.1)


def plot(result: Relations) -> Figure:
    """The chosen head of each relation beside the chosen offset."""
    some = slice(0, 12)
    labels = [f"{r} ({layer + 1}.{head + 1})" for r, (_, layer, head) in zip(result.relations[some], result.best)]
    fresh = {} if result.random is None else {"random weights": result.random[some]}
    return plots.panels(f"One head, one relation ({result.sentences:,} sentences)",
                        plots.Bars("The head (layer.head) that was chosen on the other half", labels,
                                   {"head": result.accuracy[some], "best offset": result.offsets[some], **fresh},
                                   "share of the words whose head is found"))


def _control(result: Relations) -> np.ndarray:
    """``(R,)`` the better of the controls."""
    return result.offsets if result.random is None else np.maximum(result.offsets, result.random)
