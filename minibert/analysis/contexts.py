"""Search by head or by embedding: which tokens of a corpus are read most like this one, and what are they?

::

    by embedding   score(i) = q·x̂ᵢ                    x̂ = x/|x| (H,): hidden state of a layer
    by heads       score(i) = Σ_h q_h·ĉᵢₕ             ĉₕ = cₕ/|cₕ| (D,): what head h gives to the output matrix, Σ_j a[i, j]·v[j]

q is what the token in question has in the same place. It is not normalised: by embedding, or by one head, the ranking is that of
the cosine, but of several heads each counts as much as its q is long, |q_h|·cos. With ``unit`` all count alike.

A *summary* counts the labels of what was found, and of the word that each found word looks at most, by the mean of the chosen
heads. Here it is a measure: of the ten nearest, which share has the label of the word in question? Words that are written alike
are left out, since who finds them needs no context, and so are those of its own sentence. Chance is the share of the same label
among all that may be found.

Source: Hoover et al. 2020, "exBERT: A Visual Analysis Tool to Explore Learned Representations in Transformer Models",
arXiv:1910.05276; code: bhoov/exbert. There [CLS] and [SEP] are hidden from attention where the corpus is read and not where the
question is (``separators=False`` reads so), their own vectors are zero instead of left out, and what the last layer gives cannot
be searched. A word here is its first piece.

Verdict: *agrees* where the best layer and the best head both find the label more often than with random weights, by 5 points;
*contradicts* where neither finds it more often than by chance, by 5 points; else it *cannot show*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, inside
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.collecting import starts
from minibert.backend import get_xp, to_numpy
from minibert.model import bert as body
from minibert.model import embeddings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Neighbours by embedding and by what heads give show what layers and heads have learned of words (Hoover et al. 2020)."
PAPER = UNVERIFIED
CONTROLS = ("chance", "random weights")
TOP, QUERIES, LIMIT, LEAST = 10, 300, 5000, 200


class Index(NamedTuple):
    """N words of a corpus, in L layers with A heads."""

    states: np.ndarray  # (L+1, N, H)
    contexts: np.ndarray  # (L, N, A, D)
    places: np.ndarray  # (N, 2) sentence, word
    attended: np.ndarray  # (L, A, N, W) attention to the words of the own sentence; 0 behind its end

    def by_state(self, layer: int, q: np.ndarray) -> np.ndarray:
        """Scores ``(N,)`` for q ``(H,)``."""
        return _unit(self.states[layer]) @ q

    def by_heads(self, layer: int, q: np.ndarray, heads: Sequence[int], unit: bool = False) -> np.ndarray:
        """Scores ``(N,)`` for q ``(A, D)``."""
        heads = list(heads)
        chosen = _unit(q[heads]) if unit else q[heads]
        return np.einsum("nhd,hd->n", _unit(self.contexts[layer][:, heads]), chosen)

    def looks_at(self, layer: int, heads: Sequence[int]) -> np.ndarray:
        """``(N,)``: to which word of its sentence each word gives most, by the mean of heads."""
        return self.attended[layer, list(heads)].mean(0).argmax(-1)


class Summary(NamedTuple):
    """What was found, and what that looks at: labels with their numbers."""

    found: Counter[str]
    attended: Counter[str]


class Contexts(NamedTuple):
    """The share of the ten nearest that have the label of the word in question."""

    states: np.ndarray  # (L+1,)
    heads: np.ndarray  # (L, A)
    random_states: np.ndarray  # (L+1,)
    random_heads: np.ndarray  # (L, A)
    chance: float
    words: int
    queries: int


def read(bert: Trained, sentences: Sequence[Sequence[str]], limit: int = LIMIT, separators: bool = True) -> Index:
    """The words of sentences, as long as there are no more than ``limit``. What is too long for the model is a ValueError."""
    inside.needs_all_heads(bert)
    xp, config, rows, n = get_xp(bert.parameters.flat), bert.config, [], 0
    for number, words in enumerate(sentences):
        encoding = bert.tokenizer.encode(list(words), max_length=bert.max_length)
        first = [t for t in starts(encoding.words) if encoding.words[t] is not None]
        if not first or n + len(first) > limit:
            continue
        n += len(first)
        ids, types, _ = bert.tokenizer.batch([encoding])
        mask = None if separators else ~np.array(encoding.special_tokens_mask, bool)[None]
        given = (ids, types, mask, embeddings.position_ids(ids, None, config))
        ids, types, mask, positions = (x if x is None else xp.asarray(x) for x in given)
        _, cache = body.forward(ids, types, mask, bert.parameters["bert"], config, position_ids=positions, maps=True)
        states = np.stack([to_numpy(x)[0, first] for x in cache.encoder.states])
        inner = [block.attention for block in cache.encoder.blocks]
        a = np.stack([to_numpy(one.weights)[0] for one in inner])  # (L, A, T, T)
        contexts = np.stack([to_numpy(one.weights @ one.v)[0][:, first].swapaxes(0, 1) for one in inner])
        rows.append((states, contexts, np.array([(number, encoding.words[t]) for t in first]), a[:, :, first][..., first]))
    if not rows:
        raise ValueError("there are no words to search: give sentences that have some, and a limit that lets one of them in")
    widest = max(a.shape[-1] for *_, a in rows)
    attended = np.concatenate([np.pad(a, [(0, 0)] * 3 + [(0, widest - a.shape[-1])]) for *_, a in rows], 2)
    return Index(*(np.concatenate(part, axis) for part, axis in zip(list(zip(*rows))[:3], (1, 1, 0))), attended)


def best(scores: np.ndarray, top: int = TOP) -> np.ndarray:
    """The places of the largest scores, best first; those of −∞ are none."""
    order = np.argsort(-scores, kind="stable")[:top]
    return order[np.isfinite(scores[order])]


def summary(index: Index, found: Sequence[int], labels: Sequence[Sequence[str]], layer: int, heads: Sequence[int]) -> Summary:
    """``labels``: one for each word of each sentence."""
    at = index.looks_at(layer, heads)
    # the place among those of its sentence -> the word
    words = {int(s): index.places[index.places[:, 0] == s, 1] for s in np.unique(index.places[list(found), 0])}
    return Summary(Counter(labels[s][w] for s, w in index.places[list(found)]),
                   Counter(labels[s][words[int(s)][at[i]]] for i, (s, _) in zip(found, index.places[list(found)])))


def measure(bert: Trained, sentences: Sequence[Sequence[str]], labels: Sequence[Sequence[str]], seed: int = 0,
            queries: int = QUERIES, limit: int = LIMIT) -> Contexts:
    """Of sentences with a label for each word. ValueError for fewer than 200 words, or one label only."""
    known = read(bert, sentences, limit)
    n = len(known.places)
    names = np.array([labels[s][w] for s, w in known.places])
    if n < LEAST or len(set(names)) < 2:
        raise ValueError(f"there are {n} words with {len(set(names))} labels; neighbours say something from {LEAST} words and "
                         "two labels on: give more text")
    forms = np.array([sentences[s][w].lower() for s, w in known.places])
    asked = np.random.default_rng([seed, 0xEB]).permutation(n)[:queries]
    barred = (forms[asked, None] == forms) | (known.places[asked, :1] == known.places[:, 0])
    same = (names[asked, None] == names) & ~barred
    found = [_shares(one, asked, barred, same) for one in (known, read(controls.random_weights(bert, seed), sentences, limit))]
    return Contexts(*found[0], *found[1], float((same.sum(1) / np.maximum(1, (~barred).sum(1))).mean()), n, len(asked))


def _shares(index: Index, asked: np.ndarray, barred: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(L+1,)`` by states and ``(L, A)`` by single heads, of unit vectors ``(N, K)`` each."""

    def share(x: np.ndarray) -> float:
        scores = np.where(barred, -np.inf, x[asked] @ x.T)
        near = np.argpartition(-scores, TOP, 1)[:, :TOP]
        return float(np.take_along_axis(same, near, 1).mean())

    return (np.array([share(_unit(x)) for x in index.states]),
            np.array([[share(_unit(layer[:, h])) for h in range(layer.shape[1])] for layer in index.contexts]))


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def of(subject: Subject) -> Contexts:
    """Relations to the heads of words, where they are known, else parts of speech."""
    column = "upos" if all(sentence.relations is None for sentence in subject.sentences) else "relations"
    sentences = subject.gold(column)
    return measure(subject.bert, [s.words for s in sentences], [getattr(s, column) for s in sentences], subject.seed,
                   QUERIES if subject.quick else 1000, 2000 if subject.quick else LIMIT)


def lines(result: Contexts) -> list[Line]:
    """Shares beside those with random weights."""
    layer, head = np.unravel_index(result.heads.argmax(), result.heads.shape)
    return [*(Line(f"same label, by {f'layer {i}' if i else 'embeddings'}", float(x), float(result.random_states[i]))
              for i, x in enumerate(result.states)),
            Line(f"same label, by the best head ({layer}.{head})", float(result.heads.max()), float(result.random_heads.max())),
            Line("same label, mean of heads", float(result.heads.mean()), float(result.random_heads.mean())),
            Line("by chance", result.chance), Line("words", result.words)]


def verdict(result: Contexts) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    found = np.array([result.states.max(), result.heads.max()])
    if (found <= result.chance + 0.05).all():
        return CONTRADICTS
    return AGREES if (found > [result.random_states.max() + 0.05, result.random_heads.max() + 0.05]).all() else CANNOT


def plot(result: Contexts) -> Figure:
    """By layer, and by head."""
    L, A = result.heads.shape
    return plots.panels(f"Neighbours with the same label ({result.queries:,} words asked for, chance {result.chance:.0%})",
                        plots.Lines("By hidden state", "layer (0: embeddings)", range(L + 1),
                                    {"model": result.states, "random weights": result.random_states,
                                     "chance": np.full(L + 1, result.chance)}, "share of the ten nearest"),
                        plots.Bars("By head", [f"{i}.{h}" for i in range(L) for h in range(A)],
                                   {"model": result.heads.ravel(), "random weights": result.random_heads.ravel()},
                                   "share of the ten nearest"))
