"""Do the occurrences of a word lie apart by what it means? The nearest centroid of its senses, layer by layer.

::

    centroid of a sense = mean vector of its occurrences in training sentences
    guess for a word    = the sense of this word form whose centroid is nearest (Euclid), or has the largest cosine

Counted are the occurrences of forms that have two senses or more in training. Every word gets one guess, so accuracy is the F1
of word sense disambiguation. Controls: the sense that is the most frequent for the form in training, and a model with random
weights.

Source: Coenen, Reif et al. 2019, "Visualizing and Measuring the Geometry of BERT", arXiv:1906.02715. The distance is our choice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "The nearest centroid in the upper layers tells the senses of a word apart."
PAPER = UNVERIFIED
CONTROLS = ("frequent", "random")

DISTANCES = ("euclidean", "cosine")


class Senses(NamedTuple):
    """Accuracy for S seeds, which deal the sentences out, and L+1 hidden states."""

    accuracy: np.ndarray  # (S, L+1)
    frequent: np.ndarray  # (S,) the control: the most frequent sense
    forms: int  # with several senses
    tested: int  # occurrences, the mean over seeds
    random: np.ndarray | None = None  # (S, L+1) of random weights, where that was measured


def nearest(x: np.ndarray, centroids: np.ndarray, distance: str = "euclidean") -> np.ndarray:
    """x ``(N, H)``, centroids ``(K, H)`` -> ``(N,)`` the number of the nearest."""
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    if distance == "cosine":
        return (x @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T).argmax(1)
    return ((centroids * centroids).sum(1) - 2 * x @ centroids.T).argmin(1)


def measure(bert: Trained, sentences: Sequence[Sequence[str]], senses: Sequence[Sequence[str]], seeds: Sequence[int] = (0,),
            distance: str = "euclidean") -> Senses:
    """``senses``: of each word of each sentence, "" where it has none."""
    words = [(s, word, sense) for s, (row, meant) in enumerate(zip(sentences, senses)) for word, sense in zip(row, meant)]
    some = [i for i, (*_, sense) in enumerate(words) if sense]
    form = [words[i][1].lower() for i in some]
    label, sentence = np.array([words[i][2] for i in some]), np.array([words[i][0] for i in some], int)
    if (count := len(np.unique(sentence))) < probing.LEAST:
        raise ValueError(f"{count} sentences have a word with a sense; give at least {probing.LEAST} that do")
    x = probing.states(bert, sentences)[:, some]
    places = defaultdict(list)
    for i, name in enumerate(form):
        places[name].append(i)
    found, often, counts, several = [], [], [], set()
    for seed in seeds:
        train, _, test = (set(part.tolist()) for part in probing.split(sentence, seed))
        right, frequent, total = np.zeros(len(x)), 0, 0
        for name, at in places.items():
            known, asked = ([i for i in at if i in part] for part in (train, test))
            meanings = Counter(label[known].tolist())
            if len(meanings) < 2 or not asked:
                continue
            kinds = sorted(meanings)
            several.add(name)
            total += len(asked)
            frequent += int((label[asked] == meanings.most_common(1)[0][0]).sum())
            for k, layer in enumerate(x):
                centroids = np.stack([layer[[i for i in known if label[i] == kind]].mean(0) for kind in kinds])
                right[k] += (np.array(kinds)[nearest(layer[asked], centroids, distance)] == label[asked]).sum()
        if total < probing.LEAST:
            raise ValueError(f"{total} test words are of a form with several senses; a share says something from {probing.LEAST} "
                             "on: give more sentences")
        found.append(right / total)
        often.append(frequent / total)
        counts.append(total)
    return Senses(np.array(found), np.array(often), len(several), round(float(np.mean(counts))))


def of(subject: Subject) -> Senses:
    """All sentences with senses, and the same with random weights."""
    known, seeds = subject.gold("senses"), probing.seeds(subject.seed, subject.quick)
    words, senses = [s.words for s in known], [s.senses for s in known]
    untrained = controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, words, senses, seeds)._replace(random=measure(untrained, words, senses, seeds).accuracy)


def lines(result: Senses) -> list[Line]:
    """Of every layer beside the most frequent sense, and the best of random weights."""
    frequent, layers = float(result.frequent.mean()), enumerate(result.accuracy.mean(0))
    found = [Line(f"accuracy, {probing.layer_name(i)}", float(value), frequent) for i, value in layers]
    if result.random is not None:
        found.append(Line("accuracy, random weights, best layer", float(result.random.mean(0).max()), frequent))
    return found


def verdict(result: Senses) -> str:
    """Agrees where the last layer is better than the most frequent sense and than the best of random weights by three standard
    errors; contradicts where it is no better than one of both; else nothing can be shown."""
    last = float(result.accuracy.mean(0)[-1])
    gain = last - max(float(result.frequent.mean()), 0 if result.random is None else float(result.random.mean(0).max()))
    error = np.sqrt(max(last * (1 - last), 1 / result.tested) / result.tested)
    return AGREES if gain > 3 * error else CONTRADICTS if gain <= 0 else CANNOT


def plot(result: Senses) -> Figure:
    """Accuracy by layer, beside its controls."""
    L = result.accuracy.shape[1]
    series = {"trained": result.accuracy.mean(0), "most frequent sense": [float(result.frequent.mean())] * L}
    if result.random is not None:
        series["random weights"] = result.random.mean(0)
    return plots.panels(f"Senses of {result.forms} words", plots.Lines("Nearest centroid", "layer", range(L), series, "right"))
