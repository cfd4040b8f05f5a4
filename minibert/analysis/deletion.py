"""Trees by deletion: what can be left out hangs on what its absence moves most.

::

    d(i, j)  = how far the vector of word j moves, in the last layer, when word i is deleted (cosine distance, or Euclid)
    r(i)     = mean of d(i, j) over the words j that are left            small: the word is reducible
    greedily   delete the word with the least r; it hangs on the word j for which d(i, j) is largest; go on with the rest

The last word is the root. Punctuation is neither deleted nor counted. UUAS is the share of gold edges among those found, over
all sentences; the gold tree is over the same words (``trees.gold``, bridged). Controls: the tree in which neighbours are joined,
and a model with random weights. A word that is deleted moves those behind it to the left, and their position vectors change; with
``shift=False`` it stays where it is and only nobody sees it.

Verdict: *agrees* where UUAS is above both controls by three standard errors, *contradicts* where it is below one of them by as
much; else, and with fewer than ``FEW`` sentences, it *cannot show*. Edges of one sentence are not drawn alone, so the error is
that of the difference in each sentence (``analyses.paired_error``).

Source: Rosa and Mareček 2019, "Inducing Syntactic Trees from BERT Representations", arXiv:1906.11511, whose code is not public:
the formulas are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched, plots
from minibert.analysis import controls, trees
from minibert.analysis.analyses import CANNOT, FEW, UNVERIFIED, Line, all_of, judge, paired_error
from minibert.analysis.trees import Edge, Parsed
from minibert.backend import get_xp, to_numpy
from minibert.model import bert as body
from minibert.text import Encoding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Trees made of what deleting words moves are nearer to the gold trees than a chain is."
PAPER = UNVERIFIED
CONTROLS = ("chain", "random")

DISTANCES = ("cosine", "euclidean")
LONGEST = 20  # words of a sentence: it takes half of their square as many passes


class Deletion(NamedTuple):
    """What ``measure`` finds."""

    uuas: float
    chain: float
    reducible: dict[str, float]  # by relation: the mean rank of its words in the order of deletion, from 0, first, to 1
    each: np.ndarray  # (3, S) of the gold edges of each sentence: how many are found, how many by the chain, how many there are
    sentences: int
    random: Deletion | None = None  # the same of random weights, where that was measured


def moved(a: np.ndarray, b: np.ndarray, distance: str = "cosine") -> np.ndarray:
    """How far vectors ``(..., H)`` moved: ``(...)``."""
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    if distance == "euclidean":
        return np.linalg.norm(a - b, axis=-1)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return 1 - (a * b).sum(-1) / np.where(norms, norms, 1)


def states(bert: Trained, encoding: Encoding, there: np.ndarray, shift: bool = True) -> np.ndarray:
    """There ``(B, T)`` bool: which tokens of a text are left -> their vectors in the last layer ``(B, T, H)``; 0 for others."""
    xp, p = get_xp(bert.parameters.flat), bert.parameters["bert"]
    ids = np.array(encoding.ids)
    out = np.zeros((*there.shape, bert.config.hidden_size), bert.parameters.flat.dtype)
    if shift:
        rows, mask, positions = batched.padded(bert, [ids[row].tolist() for row in there])
        real = np.arange(rows.shape[1]) < there.sum(1)[:, None]
    else:
        rows, mask, positions, real = xp.asarray(np.tile(ids, (len(there), 1))), xp.asarray(there.astype(np.int64)), None, there
    found = body.answer(rows, xp.zeros_like(rows), mask, p, bert.config, position_ids=positions)
    out[there] = to_numpy(found.last_hidden_state)[real]
    return out


def tree(bert: Trained, encoding: Encoding, words: Sequence[int], distance: str = "cosine", shift: bool = True) -> list[Edge]:
    """(word, the word that it hangs on), in the order of deletion, of these words of a text; the others stay."""
    of = np.array([-1 if word is None else word for word in encoding.words])
    there, left, edges = np.ones(len(of), bool), list(words), []
    while len(left) > 1:
        variants = np.stack([there, *(there & (of != word) for word in left)])
        x = states(bert, encoding, variants, shift)
        x = np.stack([x[:, of == word].mean(1) for word in left], 1)  # (1 + left, left, H) words are the mean of their pieces
        d = moved(x[:1], x[1:], distance)  # (left, left): how far deleting the one moves the other
        np.fill_diagonal(d, 0)
        first = int((d.sum(1) / (len(left) - 1)).argmin())
        d[first, first] = -np.inf
        edges.append((left[first], left[int(d[first].argmax())]))
        there &= of != left.pop(first)
    return edges


def measure(bert: Trained, sentences: Sequence[Parsed], distance: str = "cosine", shift: bool = True) -> Deletion:
    """Trees of sentences, which must be as the model reads them: no word may be lost."""
    found, gold, chain, ranks = [], [], [], {}
    for number, sentence in enumerate(sentences):
        trees.root_of(number, *sentence)
        encoding = bert.tokenizer.encode(list(sentence.words), max_length=bert.max_length)
        if lost := [w for w in range(len(sentence.words)) if w not in encoding.words]:
            raise ValueError(f"sentences[{number}]: nothing is left of {sentence.words[lost[0]]!r}, word {lost[0]}, as the model "
                             "reads it; leave the sentence out")
        keep = np.array([relation.partition(":")[0] != "punct" for relation in sentence.relations])
        words = np.flatnonzero(keep).tolist()
        edges = tree(bert, encoding, words, distance, shift)
        found.append({(min(edge), max(edge)) for edge in edges})
        gold.append(trees.gold(sentence.heads, keep, bridged=True))
        chain.append(set(pairwise(words)))
        for place, (word, _) in enumerate(edges):
            ranks.setdefault(sentence.relations[word], []).append(place / len(edges))
        if words and len(edges) == len(words) - 1:
            last = (set(words) - {word for word, _ in edges}).pop()
            ranks.setdefault(sentence.relations[last], []).append(1.0)
    reducible = {relation: float(np.mean(places)) for relation, places in sorted(ranks.items()) if len(places) >= 20}
    each = np.array([(len(a & own), len(b & own), len(own)) for a, b, own in zip(found, chain, gold)]).T
    return Deletion(trees.uuas(found, gold), trees.uuas(chain, gold), reducible, each, len(sentences))


def of(subject: Subject) -> Deletion:
    """The first 100 sentences with a tree and three to 20 words, or ``FEW``, where it is to be quick; and of these the same with
    random weights."""
    known = [Parsed(s.words, s.heads, s.relations) for s in subject.gold("heads", "relations") if 3 <= len(s.words) <= LONGEST]
    known = known[:FEW if subject.quick else 100]
    if len(known) < 20:
        raise ValueError(f"{subject.data} has {len(known)} sentences with a tree and 3 to {LONGEST} words, and a number says "
                         "something from 20 on: give more text")
    untrained = controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, known)._replace(random=measure(untrained, known))


def lines(result: Deletion) -> list[Line]:
    """UUAS beside both controls, and which relations go first and last."""
    found = [Line("UUAS", result.uuas, result.chain)]
    if result.random:
        found.append(Line("UUAS, random weights", result.random.uuas, result.chain))
    order = sorted(result.reducible.items(), key=lambda item: item[1])
    return found + [Line(f"deleted at (0 first, 1 last): {r}", rank) for r, rank in order]


def verdict(result: Deletion) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    found, chain, edges = result.each
    if len(edges) < FEW:
        return CANNOT
    gains = [found - other for other in (chain, *([result.random.each[0]] if result.random else []))]
    return all_of(*(judge(gain.sum() / edges.sum(), 3 * paired_error(gain, edges)) for gain in gains))


def plot(result: Deletion) -> Figure:
    """UUAS beside its controls, and the order of deletion by relation."""
    bars = {"deletion": result.uuas, "chain": result.chain} | ({"random weights": result.random.uuas} if result.random else {})
    order = sorted(result.reducible, key=result.reducible.get)
    parts = [plots.Bars("Edges found", list(bars), {"UUAS": list(bars.values())}, "UUAS")]
    if order:
        parts.append(plots.Bars("Which go first", order, {"mean rank": [result.reducible[r] for r in order]}, "0 first, 1 last"))
    return plots.panels(f"Trees by deletion: {result.sentences:,} sentences", *parts)
