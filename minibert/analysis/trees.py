"""Trees out of numbers: the heaviest tree over a sentence, and whether attention holds the sentence's own.

A head's attention, word by word, is a table of scores: row i says where word i looks. Two ways make edges of it:

- *MAX*: each word is joined to the word that it looks at most.
- *MST*: of all trees below the gold root, the one whose scores ``a[dependent, head]`` add up to most (``arborescence``).

Neither is told which word of an edge is the head: an edge is a pair, and UUAS (undirected unlabelled attachment score) is the
share of the gold edges that were found, counted over all sentences. Of MAX also the share for each relation. Jawahar et al. read
a tree as it stands, so of MST also UAS, the share of the words but the root whose head is found. Their [CLS] is a root above
the gold one, on which no other word may hang: that is the same tree. Their code breaks each cycle once, by the ratio of weights,
which need not be the heaviest tree.

Attention between pieces becomes attention between words as ``collecting`` has it; [CLS] and [SEP] are left out.

The controls know no sentence. ``chain`` joins each word to its neighbour; for UAS, ``branching`` hangs each on the one before
it, or each on the one behind, whichever finds more. ``offsets`` joins each word to the one that is d places on, with the best d
for each relation: a head that only counts places does as well. A model with random weights is the last: ``measure`` it as well.

Verdict, in two parts. For some relation the best head finds a tenth more than the best offset, and three standard errors; every
head's UUAS (MST) is below that of the chain and a tenth, by three standard errors. *Agrees* where both hold, *contradicts* where
either fails by more than three standard errors, all relations for the first; else, the examples being too few to tell, it
*cannot show*.

Source: Htut et al. 2019, "Do Attention Heads in BERT Track Syntactic Dependencies?", arXiv:1911.12246, whose code is not public:
the definition is the one above. UAS: Jawahar et al. 2019, "What Does BERT Learn about the Structure of Language?", section 6,
code ganeshjawahar/interpret_bert, which shows one sentence and counts nothing.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls
from minibert.analysis.analyses import UNVERIFIED, Line, all_of, judge, share_error
from minibert.analysis.collecting import collect
from minibert.text import Encoding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Some heads find some relations better than a fixed offset does; no head finds the whole tree much better than a chain."
PAPER = UNVERIFIED
CONTROLS = ("chain", "branching", "offsets", "random")

Edge = tuple[int, int]


class Parsed(NamedTuple):
    """A sentence and its gold tree."""

    words: Sequence[str]  # W
    heads: Sequence[int]  # W: the place of each word's head, from 0; -1 for the root
    relations: Sequence[str]  # W: what each word is to its head


class Trees(NamedTuple):
    """What ``measure`` finds; shares from 0 to 1."""

    mst: np.ndarray  # (L, A) UUAS of each head
    uas: np.ndarray  # (L, A) UAS of MST
    max: np.ndarray  # (L, A)
    recall: np.ndarray  # (L, A, R) the share of each relation's edges that MAX finds
    relations: list[str]  # R, the most frequent first
    counts: list[int]  # R edges
    rare: dict[str, int]  # relations with too few edges for a number
    chain: float  # the control of mst and max
    branching: float  # the control of uas
    offsets: np.ndarray  # (R,) the control of recall
    distances: list[int]  # R: with which distance
    edges: int
    sentences: int
    random: Trees | None = None  # the same of random weights, where that was measured


def parsed(subject: Subject, relations: bool = True) -> list[Parsed]:
    """The sentences of two words or more, which have edges; where relations are not needed, "" where they are not known.
    ValueError where too few are different."""
    known = subject.gold("heads", "relations") if relations else subject.gold("heads")
    return [Parsed(s.words, s.heads, s.relations or [""] * len(s.words)) for s in known if len(s.words) > 1]


def spanning_tree(weights: np.ndarray) -> list[Edge]:
    """The heaviest tree that joins all n nodes of ``weights (n, n)``, symmetric: n-1 edges (i, j), i < j, sorted.

    Prim's algorithm: from node 0 on, always the heaviest edge out of what is joined. Every pair is an edge, a weight of zero too.
    Of distances it takes ``-distances``.
    """
    weights = _square(weights)
    if len(uneven := np.argwhere(weights != weights.T)):
        i, j = uneven[0]
        raise ValueError(f"weights must be the same both ways, but [{i}, {j}] is {weights[i, j]} and [{j}, {i}] is "
                         f"{weights[j, i]}: add the two up (w + w.T), or take an arborescence")
    outside, best, near = np.ones(len(weights), bool), weights[0].copy(), np.zeros(len(weights), int)
    outside[0] = False
    edges = []
    for _ in range(len(weights) - 1):
        j = int(np.where(outside, best, -np.inf).argmax())
        edges.append((int(min(near[j], j)), int(max(near[j], j))))
        outside[j] = False
        closer = outside & (weights[j] > best)
        best[closer], near[closer] = weights[j, closer], j
    return sorted(edges)


def arborescence(scores: np.ndarray, root: int) -> np.ndarray:
    """``(n,)`` heads, -1 for the root, of the tree for which ``Σ scores[dependent, head]`` is largest.

    Every node takes its best head. Where that makes a cycle, the cycle becomes one node, the last: to enter it at v costs the
    edge inside that v gives up, so an edge (v, u) from outside counts ``s[v, u] - s[v, head(v)]``. Then the same again, until
    there is no cycle; unfolded, each cycle is entered where it was best. n³ at most.

    Source: Chu and Liu 1965; Edmonds 1967.
    """
    s = _square(scores).copy()
    if not 0 <= root < len(s):
        raise ValueError(f"root must be from 0 to {len(s) - 1}, the last of {len(s)} nodes, got {root}")
    np.fill_diagonal(s, -np.inf)
    folded = []
    while True:
        heads = s.argmax(1)
        heads[root] = -1
        cycle = _cycle(heads)
        if not cycle:
            break
        rest = np.setdiff1d(np.arange(len(s)), cycle)
        into = s[np.ix_(cycle, rest)] - s[cycle, heads[cycle]][:, None]
        out = s[np.ix_(rest, cycle)]
        folded.append((heads, np.array(cycle), rest, into.argmax(0), out.argmax(1)))
        s = np.block([[s[np.ix_(rest, rest)], out.max(1)[:, None]], [into.max(0)[None], np.array([[-np.inf]])]])
        root = int(np.searchsorted(rest, root))
    for inner, cycle, rest, entered, left in reversed(folded):
        *outer, entry = heads
        heads = inner
        heads[cycle[entered[entry]]] = rest[entry]
        heads[rest] = [-1 if h < 0 else rest[h] if h < len(rest) else cycle[left[v]] for v, h in enumerate(outer)]
    return heads


def looks_at(scores: np.ndarray) -> np.ndarray:
    """MAX: ``(…, W)`` the other word that each word looks at most, of ``scores (…, W, W)``."""
    return np.where(np.eye(scores.shape[-1], dtype=bool), -np.inf, scores).argmax(-1)


def found(pointers: np.ndarray, heads: Sequence[int]) -> np.ndarray:
    """``(…, W-1)``: whether each gold edge, by its dependent, is among the edges that ``pointers (…, W)`` make, whichever way."""
    heads = np.asarray(heads)
    dependents = np.flatnonzero(heads >= 0)
    above = heads[dependents]
    return (pointers[..., dependents] == above) | (pointers[..., above] == dependents)


def pairs(heads: Sequence[int]) -> set[Edge]:
    """The edges of a tree without direction."""
    return {(int(min(i, h)), int(max(i, h))) for i, h in enumerate(heads) if h >= 0}


def distances(heads: Sequence[int]) -> np.ndarray:
    """``(W, W)`` edges between two words in their tree: what is above just one of them, itself counted."""
    above = np.eye(len(heads), dtype=int)  # [w, a]: a is w or stands above it
    for w, h in enumerate(heads):
        while h >= 0:
            above[w, h], h = 1, heads[h]
    size = above.sum(1)
    return size[:, None] + size - 2 * above @ above.T


def gold(heads: Sequence[int], keep: np.ndarray | None = None, bridged: bool = False) -> set[Edge]:
    """The edges between words of ``keep``, a mask that leaves out punctuation.

    ``bridged``: as the code of structural probes has it, a whole tree over these words, the shortest by their distances in the
    gold tree; a word that hangs on punctuation gets one of its nearest instead of none.
    """
    keep = np.ones(len(heads), bool) if keep is None else np.asarray(keep, bool)
    if not bridged:
        return {(i, j) for i, j in pairs(heads) if keep[i] and keep[j]}
    at = np.flatnonzero(keep)
    return {(int(at[i]), int(at[j])) for i, j in spanning_tree(-distances(heads)[np.ix_(at, at)])} if len(at) else set()


def uuas(found: Sequence[set[Edge]], gold: Sequence[set[Edge]]) -> float:
    """The share of all gold edges that are among those found for the same sentence."""
    if not (edges := sum(map(len, gold))):
        raise ValueError("there is no gold edge to be found: give sentences of at least two words")
    return sum(len(a & b) for a, b in zip(found, gold)) / edges


def maps(bert: Trained, sentences: Sequence[Parsed], row: str = "mean") -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Of every sentence its number, its root, where its words stand among the U units ``(W,)``, and their attention
    ``(L, A, U, U)``, that of [CLS] and [SEP] too. ValueError for what is no tree, or no longer one as the model reads it.
    """
    roots = [root_of(number, *sentence) for number, sentence in enumerate(sentences)]
    encodings = [_encoded(bert, number, sentence.words) for number, sentence in enumerate(sentences)]
    for units in collect(bert, encodings, states=None, attentions=row):
        at, words = np.flatnonzero([word is not None for word in units.words]), sentences[units.index].words
        if lost := sorted(set(range(len(words))) - {units.words[i] for i in at}):
            raise ValueError(f"sentences[{units.index}]: nothing is left of {words[lost[0]]!r}, word {lost[0]}, as the model "
                             "reads it; leave the sentence out")
        yield units.index, roots[units.index], at, units.attentions


def measure(bert: Trained, sentences: Sequence[Parsed], least: int = 20, row: str = "mean") -> Trees:
    """UUAS of every head, and what MAX finds of each relation with at least so many edges. Sentences of one word have no edges.

    ``row``: whose attention is that of a split word, see ``collecting``.
    """
    mst, uas, best, chain, ways = 0, 0, 0, 0, np.zeros(2)
    recall: dict[str, Any] = defaultdict(int)  # relation -> (L, A) edges found
    spans: dict[str, Counter[int]] = defaultdict(Counter)  # relation -> how often its edges are so long
    for number, root, at, attention in maps(bert, sentences, row):
        words, heads, relations = sentences[number]
        between = attention[..., at, :][..., at]
        induced = np.array([[arborescence(a, root) for a in layer] for layer in between])  # (L, A, W)
        mst += found(induced, heads).sum(-1)
        uas += (induced == heads).sum(-1) - 1  # the root is given
        hits = found(looks_at(between), heads)  # (L, A, W-1)
        best += hits.sum(-1)
        for e, w in enumerate(w for w in range(len(words)) if w != root):
            recall[relations[w]] += hits[..., e].astype(int)
            spans[relations[w]][abs(w - heads[w])] += 1
            chain += abs(w - heads[w]) == 1
            ways += w - heads[w] == np.array([1, -1])
    counts = Counter({relation: lengths.total() for relation, lengths in spans.items()})
    often = [relation for relation, n in counts.most_common() if n >= least]
    if not often:
        raise ValueError(f"{len(sentences)} sentences have no relation with {least} edges, the least for a share to say "
                         f"something: the most frequent has {max(counts.values(), default=0)}; give more sentences")
    edges, n_of = counts.total(), np.array([counts[r] for r in often])
    lengths, by_length = zip(*(spans[r].most_common(1)[0] for r in often))
    return Trees(mst / edges, uas / edges, best / edges, np.stack([recall[r] for r in often], -1) / n_of, often, n_of.tolist(),
                 {r: n for r, n in counts.items() if n < least}, chain / edges, float(ways.max()) / edges,
                 np.array(by_length) / n_of, list(lengths), edges, len(sentences))


def of(subject: Subject) -> Trees:
    """The sentences of at least two words, and of these the same with random weights."""
    sentences = parsed(subject)
    untrained = controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, sentences)._replace(random=measure(untrained, sentences))


def lines(result: Trees) -> list[Line]:
    """UUAS and UAS of the best head, and of the most frequent relations what the best head finds."""
    found = [Line("UUAS of the best head, MST", float(result.mst.max()), result.chain),
             Line("UUAS of the best head, MAX", float(result.max.max()), result.chain),
             Line("UAS of the best head, MST (Jawahar et al.)", float(result.uas.max()), result.branching)]
    if result.random:
        found += [Line("UUAS of the best head, MST, random weights", float(result.random.mst.max()), result.chain),
                  Line("UAS of the best head, MST, random weights", float(result.random.uas.max()), result.branching)]
    return found + [Line(f"{relation}: best head (MAX)", float(best), float(offset)) for relation, best, offset in
                    zip(result.relations[:12], result.recall.max((0, 1)), result.offsets)]


def verdict(result: Trees) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    best, tree, n = result.recall.max((0, 1)), float(result.mst.max()), np.array(result.counts)
    some = judge(best - result.offsets, 3 * share_error(best, result.offsets, n), 0.1)
    return all_of(some, judge(result.chain + 0.1 - tree, 3 * share_error(tree, result.chain, result.edges)))


def plot(result: Trees) -> Figure:
    """The best head for each relation beside the best offset, and UUAS of the best head of each layer beside the chain."""
    layers = range(1, 1 + len(result.mst))
    of_layers = {"MST": result.mst.max(1), "MAX": result.max.max(1), "chain": [result.chain] * len(layers)}
    of_relations = {"best head (MAX)": result.recall.max((0, 1)), "best offset": result.offsets}
    return plots.panels(f"Trees in single heads: {result.sentences:,} sentences",
                        plots.Bars("One relation, best head of all", result.relations, of_relations, "share of its edges"),
                        plots.Lines("The whole tree, best head of a layer", "layer", layers, of_layers, "UUAS"))


def _encoded(bert: Trained, number: int, words: Sequence[str]) -> Encoding:
    encoding = bert.tokenizer.encode(list(words), max_length=sys.maxsize)
    if len(encoding) > bert.max_length:
        raise ValueError(f"sentences[{number}] has {len(encoding)} tokens with [CLS] and [SEP], and the model reads "
                         f"{bert.max_length}: leave it out, since a tree cannot be cut")
    return encoding


def root_of(number: int, words: Sequence[str], heads: Sequence[int], relations: Sequence[str]) -> int:
    """Where the root of a sentence stands. ValueError for what is no tree."""
    if not len(words) == len(heads) == len(relations):
        raise ValueError(f"sentences[{number}] has {len(words)} words, {len(heads)} heads and {len(relations)} relations: each "
                         "word needs one of both")
    if wrong := [w for w, h in enumerate(heads) if not -1 <= h < len(words)]:
        raise ValueError(f"sentences[{number}]: the head of word {wrong[0]} stands at {heads[wrong[0]]}; places go from 0 to "
                         f"{len(words) - 1}, and -1 marks the root")
    if len(roots := [w for w, h in enumerate(heads) if h == -1]) != 1:
        raise ValueError(f"sentences[{number}] has {len(roots)} roots, words whose head is -1; a tree has one")
    if cycle := _cycle(heads):
        raise ValueError(f"sentences[{number}]: the heads of its words {', '.join(map(str, sorted(cycle)))} run in a circle, and "
                         "a tree has none")
    return roots[0]


def _cycle(heads: Sequence[int]) -> list[int]:
    """The nodes of a cycle of heads, or none."""
    walk = np.full(len(heads), -1)  # from where a walk upwards first came by
    for start in range(len(heads)):
        node = start
        while node >= 0 and walk[node] < 0:
            walk[node], node = start, heads[node]
        if node >= 0 and walk[node] == start:
            cycle = [int(node)]
            while heads[cycle[-1]] != node:
                cycle.append(int(heads[cycle[-1]]))
            return cycle
    return []


def _square(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, float)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or not scores.size:
        raise ValueError(f"scores must be (n, n), one for each pair of n nodes, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite numbers: every pair is an edge; give one that must not be taken a low score")
    return scores
