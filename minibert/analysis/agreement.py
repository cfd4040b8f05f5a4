"""Is a hidden verb singular or plural? What each layer knows of it, by the nouns that stand between it and its subject.

::

    the keys that the cabinet [MASK] …      subject keys, one attractor: cabinet, a noun of the other number

The verb is hidden, and a probe reads its number from the vector of the [MASK]. Examples are sorted by their attractors; where a
noun stands between that has the verb's own number, the example is in no group. The finite word counts as the verb: the auxiliary
or copula where there is one. Subjects stand before it and have its number, so those that are joined by *and* are left out, and
equal sentences are never in training and test both. Controls: the number of the nearest noun to the left, right for all without
an attractor and for none with one; the more frequent number; a model with random weights.

Source: Jawahar et al. 2019, "What Does BERT Learn about the Structure of Language?", section 5, code
ganeshjawahar/interpret_bert, after Linzen et al. 2016, arXiv:1611.01368; there the verbs are of the present tense, a tenth of the
examples is for training and dev. Its code takes the verb's number in the row of words for its place among tokens, so what it
reads is the token left of the [MASK] where no word is split, and one further to the left where some are: ``place="left"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.collecting import collect
from minibert.analysis.probing import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "The more attractors stand between a verb and its subject, the deeper the layer at which its number is known best."
PAPER = UNVERIFIED
CONTROLS = ("nearest noun", "majority", "random")

PLACES = ("mask", "left")  # of the vector that is read
NUMBERS = ("Sing", "Plur")
NOUNS = ("NOUN", "PROPN")
SHARES = (0.1, 0.5)  # of dev and test
LEAST = 200  # verbs
SETTINGS = Settings(decays=(0.01, 1.0, 10.0))  # few examples, many numbers


class Verb(NamedTuple):
    """A verb that must agree."""

    sentence: int
    word: int
    number: int  # of NUMBERS
    attractors: int
    nearest: int  # the number of the nearest noun to the left


class Agreement(NamedTuple):
    """Shares of verbs whose number was read, for S seeds, G groups by attractors, L+1 hidden states, the embeddings first."""

    attractors: list[int]  # G
    tested: list[int]  # G verbs, of the first seed
    accuracy: np.ndarray  # (S, G, L+1)
    nearest: np.ndarray  # (G,)
    majority: np.ndarray  # (G,)
    left: np.ndarray | None = None  # (S, G, L+1) of the token left of the mask, where that was measured
    random: np.ndarray | None = None  # (S, G, L+1) of random weights, where that was measured


def verbs_of(number: int, sentence: Any) -> list[Verb]:
    """Of a sentence with heads, relations, upos and numbers."""
    heads, relations, upos, numbers = sentence.heads, sentence.relations, sentence.upos, sentence.numbers
    found = []
    for subject, head in enumerate(heads):
        if relations[subject].partition(":")[0] != "nsubj" or upos[subject] not in (*NOUNS, "PRON"):
            continue
        helpers = [w for w, above in enumerate(heads) if above == head and relations[w].partition(":")[0] in ("aux", "cop")]
        verb = next((w for w in helpers if numbers[w] in NUMBERS), head)
        if verb < subject or numbers[verb] not in NUMBERS or numbers[subject] != numbers[verb]:
            continue
        between = [numbers[w] for w in range(subject + 1, verb) if upos[w] in NOUNS]
        if all(n in NUMBERS and n != numbers[verb] for n in between):
            nearest = NUMBERS.index([numbers[subject], *between][-1])
            found.append(Verb(number, verb, NUMBERS.index(numbers[verb]), len(between), nearest))
    return found


def states(bert: Trained, sentences: Sequence[Any], verbs: Sequence[Verb], place: str = "mask") -> np.ndarray:
    """``(L+1, N, H)``: the verb is hidden, and what is read is the vector there or that of the token left of it."""
    if place not in PLACES:
        raise ValueError(f"place must be one of {', '.join(PLACES)}, got {place!r}")
    vocab = bert.tokenizer.vocab
    vocab.require("a hidden verb", "[MASK]")
    mask, texts = vocab.tokens[vocab.mask_id], [list(sentences[verb.sentence].words) for verb in verbs]
    for text, verb in zip(texts, verbs):
        text[verb.word] = mask
    out = np.empty((bert.config.num_hidden_layers + 1, len(verbs), bert.config.hidden_size), bert.parameters.flat.dtype)
    for units in collect(bert, texts, states="last"):
        out[:, units.index] = units.states[:, units.words.index(verbs[units.index].word) - (place == "left")]
    return out


def measure(bert: Trained, sentences: Sequence[Any], seeds: Sequence[int] = (0,), place: str = "mask", hidden: int = 0,
            settings: Settings = SETTINGS) -> Agreement:
    """Of all verbs of sentences with words, heads, relations, upos and numbers; each seed deals them out, half for the test. A
    group needs 20 of these."""
    verbs = [verb for number, sentence in enumerate(sentences) for verb in verbs_of(number, sentence)]
    if len(verbs) < LEAST or len({verb.number for verb in verbs}) < 2:
        raise ValueError(f"{len(verbs)} verbs have a subject with their number before them; it takes {LEAST}, singular and "
                         "plural: give more sentences")
    x = states(bert, sentences, verbs, place)
    labels, attractors, nearest = (np.array([getattr(v, name) for v in verbs]) for name in ("number", "attractors", "nearest"))
    texts = np.array([" ".join(sentences[verb.sentence].words) for verb in verbs])
    deals = [probing.split(texts, seed, SHARES) for seed in seeds]
    groups = [g for g in range(attractors.max() + 1) if all((attractors[d.test] == g).sum() >= probing.LEAST for d in deals)]
    if not groups:
        raise ValueError(f"no number of attractors has {probing.LEAST} verbs for the test; give more sentences")
    found = []
    for seed, (train, dev, test) in zip(seeds, deals):
        often, at = np.bincount(labels[train]).argmax(), [test[attractors[test] == g] for g in groups]
        probes = [probing.fit(layer[train], labels[train], layer[dev], labels[dev], hidden, settings, seed) for layer in x]
        found.append(([[probe.accuracy(layer[some], labels[some]) for probe, layer in zip(probes, x)] for some in at],
                      [(nearest[some] == labels[some]).mean() for some in at], [(labels[some] == often).mean() for some in at]))
    accuracy, near, most = map(np.array, zip(*found))
    tested = [int((attractors[deals[0].test] == g).sum()) for g in groups]
    return Agreement(groups, tested, accuracy, near.mean(0), most.mean(0))


def of(subject: Subject) -> Agreement:
    """All sentences with a tree and numbers; the token left of the mask, and random weights, of one seed."""
    known, seeds = subject.gold("heads", "relations", "upos", "numbers"), probing.seeds(subject.seed, subject.quick)
    untrained = controls.random_weights(subject.bert, subject.seed)
    left, random = (measure(bert, known, seeds[:1], place) for bert, place in ((subject.bert, "left"), (untrained, "mask")))
    result = measure(subject.bert, known, seeds)

    def same(other: Agreement) -> np.ndarray | None:
        return other.accuracy if other.attractors == result.attractors else None

    return result._replace(left=same(left), random=same(random))


def lines(result: Agreement) -> list[Line]:
    """Of each group every layer, beside random weights; and the controls that need no model."""
    found = []
    for g, (attractors, tested) in enumerate(zip(result.attractors, result.tested)):
        name = f"{attractors} attractor{'s' * (attractors != 1)}"
        for i, value in enumerate(result.accuracy[:, g].mean(0)):
            control = None if result.random is None else float(result.random[:, g, i].mean())
            found.append(Line(f"{name}, {probing.layer_name(i)}", float(value), control))
        found += [Line(f"{name}, verbs", tested), Line(f"{name}, the nearest noun's number", float(result.nearest[g])),
                  Line(f"{name}, the more frequent number", float(result.majority[g]))]
        if result.left is not None:
            best = int(result.left[:, g].mean(0).argmax())
            found.append(Line(f"{name}, left of the mask, {probing.layer_name(best)}", float(result.left[:, g].mean(0)[best])))
    return found


def verdict(result: Agreement) -> str:
    """The first layer that is within .02 of the best, with the most attractors and with none. Agrees where it is deeper with
    attractors, contradicts where it is less deep; where it is the same, where there is one group or fewer than three layers, or
    where the best is less than .05 above the majority, nothing can be shown."""
    shares = result.accuracy.mean(0)
    if shares.shape[1] < 4 or len(shares) < 2 or (shares.max(1) < result.majority + 0.05)[[0, -1]].any():
        return CANNOT
    few, many = (int((row >= row.max() - 0.02).argmax()) for row in shares[[0, -1]])
    return AGREES if many > few else CONTRADICTS if many < few else CANNOT


def plot(result: Agreement) -> Figure:
    """Every group by layer, and the best layer of each beside its controls."""
    names, shares = [f"{n}" for n in result.attractors], result.accuracy.mean(0)
    bars = {"best layer": shares.max(1), "nearest noun": result.nearest}
    if result.left is not None:
        bars["left of the mask"] = result.left.mean(0).max(1)
    if result.random is not None:
        bars["random weights"] = result.random.mean(0).max(1)
    series = {f"{name} attractors, {n:,} verbs": row for name, n, row in zip(names, result.tested, shares)}
    return plots.panels("The number of a hidden verb",
                        plots.Lines("By layer", "layer", range(shares.shape[1]), series, "numbers read"),
                        plots.Bars("By nouns of the other number between", names, bars, "numbers read"))
