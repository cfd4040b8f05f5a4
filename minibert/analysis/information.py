"""What a vector keeps of the word that was read, and what it knows of the word that is to be said, layer by layer.

::

    input     I(cluster of the vector; the word) at words that are seen
    output    I(cluster of the vector; the word that stood there) at [MASK]
    change    1 - PWCCA of a layer with the one below it, over the words that are seen

A vector is known by the number of its k-means cluster, so I lies between 0 and the entropy of the words, and of the clusters.
Both are of equally many places, one in each of the sentences, drawn by the seed. Of counts I is too large where they are few, so
it is read against the same with the words shuffled. A model with random weights is another control.

Source: Voita, Sennrich and Titov 2019, "The Bottom-up Evolution of Representations in the Transformer", arXiv:1909.01380,
whose code is not public: the definition is the one above. The clusters are of mini-batches there, and many more (``clusters``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.clusters import assign, contingency, entropy, information, kmeans
from minibert.analysis.similarity import pwcca

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "A masked language model first loses what a word was, and finds it again towards the top, where it has to be said."
PAPER = UNVERIFIED
CONTROLS = ("shuffled", "random")

LEAST = 200  # places


class Information(NamedTuple):
    """Nats, of L+1 hidden states, the mean over seeds."""

    input: np.ndarray  # (L+1,)
    output: np.ndarray  # (L+1,)
    shuffled: np.ndarray  # (2, L+1) of input and output
    change: np.ndarray | None  # (L,) of each layer; None where there are too few words for it
    entropy: float  # of the words at these places: the most that there can be
    places: int
    random: Information | None = None  # of random weights, where that was measured


def shared(x: np.ndarray, words: np.ndarray, k: int, seed: int = 0, batch: int | None = None) -> tuple[float, float]:
    """I of the clusters of vectors ``(N, H)`` and the words ``(N,)``, and the same with the words shuffled."""
    own = assign(x, kmeans(x, k, seed, batch=batch))
    mixed = np.random.default_rng([seed, 0x5F]).permutation(words)
    return information(contingency(own, words)), information(contingency(own, mixed))


def measure(bert: Trained, sentences: Sequence[Sequence[str]], k: int = 100, seeds: Sequence[int] = (0,),
            batch: int | None = None) -> Information:
    """One word of each sentence, once seen and once hidden; k clusters, fewer where there are not four places for each."""
    if len(sentences) < LEAST:
        raise ValueError(f"{len(sentences)} sentences are too few: information says something from {LEAST} places on, one in "
                         "each")
    k = min(k, len(sentences) // 4)
    found, changes, most, mask = [], [], 0.0, bert.tokenizer.vocab.tokens[bert.tokenizer.vocab.mask_id]
    for seed in seeds:
        rng = np.random.default_rng([seed, 0x1F])
        at = [int(rng.integers(len(words))) for words in sentences]
        starts = np.cumsum([0, *map(len, sentences[:-1])])
        hidden = [[*words[:w], mask, *words[w + 1:]] for words, w in zip(sentences, at)]
        seen, masked = (probing.states(bert, texts)[:, starts + at] for texts in (sentences, hidden))
        words, _ = probing.numbered([words[w] for words, w in zip(sentences, at)])
        most += entropy(np.bincount(words)) / len(seeds)
        found.append([[shared(layer, words, k, seed, batch) for layer in x] for x in (seen, masked)])
        if len(words) > 2 * seen.shape[-1]:
            changes.append([1 - pwcca(above, below) for below, above in pairwise(seen)])
    values = np.mean(found, 0)  # (2, L+1, 2)
    return Information(*values[..., 0], values[..., 1], np.mean(changes, 0) if changes else None, most, len(sentences))


def of(subject: Subject) -> Information:
    """All sentences, and the same with random weights."""
    subject.bert.tokenizer.vocab.require("a hidden word", "[MASK]")
    seeds = probing.seeds(subject.seed, subject.quick)
    untrained = controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, subject.texts, seeds=seeds)._replace(random=measure(untrained, subject.texts, seeds=seeds[:1]))


def lines(result: Information) -> list[Line]:
    """Of every layer, beside shuffled words."""
    found = []
    for k, (name, values) in enumerate((("the word that is seen", result.input), ("the word that is hidden", result.output))):
        found += [Line(f"nats of {name}, {probing.layer_name(i)}", float(value), float(result.shuffled[k, i]))
                  for i, value in enumerate(values)]
    found.append(Line("nats there are", result.entropy))
    if result.change is not None:
        found += [Line(f"1 - PWCCA with the layer below, {probing.layer_name(i)}", float(value),
                       None if result.random is None or result.random.change is None else float(result.random.change[i - 1]))
                  for i, value in enumerate(result.change, start=1)]
    return found


def verdict(result: Information) -> str:
    """Three parts, in nats: what is known of the seen word falls from the embeddings to some layer by .1 or more, and rises from
    there to the last by .1 or more; of the hidden word, the last layer knows the most, or .02 less, and .1 more than shuffled
    words give. Contradicts where less than .1 is lost or the last layer knows the hidden word less well than that, however many
    layers there are; agrees where all three hold, of three layers or more; else nothing can be shown."""
    least = int(result.input.argmin())
    lost, back = result.input[0] - result.input[least], result.input[-1] - result.input[least]
    top = result.output[-1] >= result.output.max() - 0.02 and result.output[-1] - result.shuffled[1, -1] >= 0.1
    if lost < 0.1 or not top:
        return CONTRADICTS
    return AGREES if back >= 0.1 and len(result.input) > 3 else CANNOT


def plot(result: Information) -> Figure:
    """What is known of both words by layer, and how much each layer changes."""
    layers = range(len(result.input))
    known = {"word seen": result.input, "word hidden": result.output, "shuffled": result.shuffled[0]}
    if result.random is not None:
        known["seen, random weights"] = result.random.input
    parts = [plots.Lines(f"Of {result.entropy:.2f} nats", "layer", layers, known, "I (nats)")]
    if result.change is not None:
        series = {"trained": result.change}
        if result.random is not None and result.random.change is not None:
            series["random weights"] = result.random.change
        parts.append(plots.Lines("What a layer changes", "layer", layers[1:], series, "1 - PWCCA"))
    return plots.panels(f"Information by layer: {result.places:,} places", *parts)
