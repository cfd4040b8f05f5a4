"""How contextual the vectors of words are: does a word have the same one wherever it stands?

::

    self-similarity of a word            the mean cosine of two of its occurrences
    intra-sentence similarity            the mean cosine of a sentence's words with the mean of their vectors
    maximal explainable variance (MEV)   how much of a word's occurrences one direction explains

In a narrow cone any two vectors are alike, so each is read against a control: the mean cosine of words of different sentences,
``anisotropy``, and what one direction explains of those, ``anywhere``. ``adjusted`` is a value less its control.

*Three estimators of MEV.* ``uncentred``: σ₁²/Σσ², the singular values being those of the n occurrences as they are (the paper).
``centred``: the same without their mean, a PCA (the code, for words). ``projected``: the variance along the uncentred direction,
of all variance (the code, for the control: scikit-learn's TruncatedSVD). A vector m plus noise of variance s² in each of d
dimensions has (|m|² + s²)/(|m|² + d·s²), 1/d and 1/d. The first is never less than the self-similarity, if lengths are one, the
second never less than 1/(n - 1), the third never more than the second: whether a word's vectors are explained well or not at all
rests on which is taken. Of occurrences that are all the same only the first is a number.

A word is what the model reads as one: words that are the same pieces are the same. Unknown words and punctuation are left out,
but in sentences punctuation counts. For BERT the code takes each piece of a word for a word.

Source: Ethayarajh 2019, "How Contextual are Contextualized Word Representations?", arXiv:1909.00512.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.collecting import collect
from minibert.analysis.inside import MEMORY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "The higher the layer, the less alike are a word's occurrences; one vector explains less than 5 % of their variance."
PAPER = ("less than 5 % of the variance; the results that come with the code have .010 to .040, which only the projected "
         "estimator can give, and self-similarities of .73 to .95")
CONTROLS = ("anisotropy", "anywhere")
LEAST = 10  # words, and sentences


class Explained(NamedTuple):
    """Maximal explainable variance, three times: shares from 0 to 1. NaN where there is no variance."""

    uncentred: float
    centred: float
    projected: float


class Contextual(NamedTuple):
    """What ``measure`` finds of each of the L+1 hidden states, the embeddings first; means over words and over sentences."""

    self_similarity: np.ndarray  # (L+1,)
    intra_sentence: np.ndarray  # (L+1,)
    explained: np.ndarray  # (L+1, 3) as ``Explained`` has them
    anisotropy: np.ndarray  # (L+1,) the control of both similarities
    anywhere: np.ndarray  # (L+1, 3) the control of explained
    words: int
    occurrences: int
    sentences: int

    @property
    def adjusted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three less their controls."""
        return (self.self_similarity - self.anisotropy, self.intra_sentence - self.anisotropy, self.explained - self.anywhere)


def self_similarity(x: np.ndarray) -> float:
    """Of n occurrences ``(n, H)``: the mean cosine of all pairs, (|Σu|² - n)/(n(n - 1)) for unit vectors u."""
    u = _unit(x, 2)
    total = u.sum(0)
    return float((total @ total - len(u)) / (len(u) * (len(u) - 1)))


def similarity_of_pairs(x: np.ndarray, pairs: int = 1000, seed: int = 0) -> float:
    """As the code estimates anisotropy: from random pairs, in which a vector may meet itself."""
    u, rng = _unit(x, 1), np.random.default_rng([seed, 0xC0])
    first, second = rng.integers(0, len(u), (2, pairs))
    return float((u[first] * u[second]).sum(-1).mean())


def intra_sentence(x: np.ndarray) -> float:
    """Of a sentence's words ``(T, H)``."""
    return float((_unit(x, 1) @ _unit(np.asarray(x, float).mean(0, keepdims=True), 1)[0]).mean())


def explained(x: np.ndarray) -> Explained:
    """Of n occurrences ``(n, H)``."""
    _unit(x, 2)
    rounding = (len(x) * np.finfo(np.result_type(x, np.float16)).eps) ** 2
    x = np.asarray(x, float)
    _, s, directions = np.linalg.svd(x, full_matrices=False)
    around = x - x.mean(0)
    energy, variance = (s * s).sum(), (around * around).sum()
    if variance <= rounding * energy:
        return Explained(float(s[0] ** 2 / energy), np.nan, np.nan)
    return Explained(float(s[0] ** 2 / energy), float(np.linalg.norm(around, 2) ** 2 / variance),
                     float(((around @ directions[0]) ** 2).sum() / variance))


def measure(bert: Trained, sentences: Sequence[Sequence[str]], least: int = 5, most: int = 1000, pieces: str = "mean",
            pairs: int | None = None, truncate: bool = False, seed: int = 0) -> Contextual:
    """Of words that occur at least so often; of at most so many occurrences of each, and so many sentences, chosen by the seed.

    ``pieces``: whose vector is that of a split word, see ``collecting``. ``pairs``: estimate anisotropy from so many.
    ``truncate``: cut off the end of what is too long for the model. Where the vectors would take more than 1 GiB, fewer words
    are looked at.
    """
    rng = np.random.default_rng([seed, 0xC1])
    chosen = _choose(bert, sentences, least, most, rng)
    full = [i for i, words in enumerate(sentences) if len(words)]
    some = {full[k]: int(rng.integers(len(sentences[full[k]]))) for k in rng.permutation(len(full))[:most]}  # a word of each
    if min(len(chosen), len(full)) < LEAST:
        raise ValueError(f"{len(full)} sentences have {len(chosen)} words that occur {least} times or more: a mean over so few "
                         f"says nothing; give text for at least {LEAST} of both")
    word_of = {place: w for w, places in enumerate(chosen) for place in places}
    found: list[list[np.ndarray]] = [[] for _ in chosen]
    intra, anywhere = [], []
    for units in collect(bert, [list(words) for words in sentences], states=pieces, truncate=truncate):
        at = {word: i for i, word in enumerate(units.words) if word is not None}
        for word, i in at.items():
            if (w := word_of.get((units.index, word))) is not None:
                found[w].append(units.states[:, i])
        if at and units.index in some:
            intra.append([intra_sentence(x) for x in units.states[:, list(at.values())]])
            anywhere.append(units.states[:, at.get(some[units.index], min(at.values()))])
    stacked, anywhere = [np.stack(x, 1) for x in found], np.stack(anywhere, 1)  # (L+1, n, H) each
    shares = np.array([[explained(x) for x in states] for states in stacked])  # (words, L+1, 3)
    with np.errstate(invalid="ignore"):
        mean_share = np.nansum(shares, 0) / np.isfinite(shares).sum(0)
    return Contextual(np.mean([[self_similarity(x) for x in states] for states in stacked], 0), np.mean(intra, 0), mean_share,
                      np.array([self_similarity(x) if pairs is None else similarity_of_pairs(x, pairs, seed) for x in anywhere]),
                      np.array([explained(x) for x in anywhere]), len(stacked), sum(map(len, chosen)), len(intra))


def of(subject: Subject) -> Contextual:
    """All sentences; words that occur five times or more."""
    return measure(subject.bert, subject.texts, most=200 if subject.quick else 1000, seed=subject.seed)


def lines(result: Contextual) -> list[Line]:
    """Of the embeddings, the first and the last layer."""
    places = {"embeddings": 0, "layer 1": 1, f"layer {len(result.anisotropy) - 1}": -1}
    found = []
    for name, i in places.items():
        found += [Line(f"self-similarity, {name}", float(result.self_similarity[i]), float(result.anisotropy[i])),
                  Line(f"intra-sentence similarity, {name}", float(result.intra_sentence[i]), float(result.anisotropy[i]))]
    return found + [Line(f"explained by one direction, {estimator}, last layer", float(result.explained[-1, i]),
                         float(result.anywhere[-1, i]), "< .05") for i, estimator in enumerate(Explained._fields)]


def verdict(result: Contextual) -> str:
    """Two parts, of values less their controls: self-similarity falls by .02 or more from the first layer to the last, and one
    direction explains, uncentred as in the paper, less than 5 % in the last. Agrees where both hold, contradicts where one does
    not; of a model of one layer nothing can be shown."""
    same, _, explained = result.adjusted
    if len(same) < 3:
        return CANNOT
    return AGREES if same[1] - same[-1] >= 0.02 and explained[-1, 0] < 0.05 else CONTRADICTS


def plot(result: Contextual) -> Figure:
    """The similarities by layer beside what any two words have in common, and the three estimators of MEV."""
    layers = range(len(result.self_similarity))
    estimators = {name: result.explained[:, i] for i, name in enumerate(Explained._fields)}
    return plots.panels(f"How contextual: {result.words:,} words, {result.occurrences:,} occurrences",
                        plots.Lines("Similarity", "layer (0: embeddings)", layers,
                                    {"same word": result.self_similarity, "same sentence": result.intra_sentence,
                                     "any two words": result.anisotropy}, "mean cosine"),
                        plots.Lines("Explained by one direction", "layer (0: embeddings)", layers, estimators,
                                    "share of variance"))


def _choose(bert: Trained, sentences: Sequence[Sequence[str]], least: int, most: int, rng: np.random.Generator
            ) -> list[list[tuple[int, int]]]:
    """The places (sentence, word) of the occurrences of each word that is looked at."""
    places: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
    for i, words in enumerate(sentences):
        if isinstance(words, str):
            raise TypeError(f"sentences[{i}] must be a list of words, got the string {words[:40]!r}; split it first")
        for w, word in enumerate(words):
            if any(map(str.isalnum, word)):
                places[tuple(bert.tokenizer.ids(word, special_tokens=True, follows=True))].append((i, w))
    unknown = bert.tokenizer.vocab.unk_id
    often = [found for ids, found in places.items() if ids and unknown not in ids and len(found) >= max(least, 2)]
    room = MEMORY // ((bert.config.num_hidden_layers + 1) * bert.config.hidden_size * bert.parameters.flat.dtype.itemsize)
    chosen = []
    for k in rng.permutation(len(often)):
        several = [often[k][j] for j in sorted(rng.permutation(len(often[k]))[:most])]
        if (room := room - len(several)) < 0:
            break
        chosen.append(several)
    return chosen


def _unit(x: np.ndarray, least: int) -> np.ndarray:
    """Vectors ``(n, H)`` of length 1, in float64."""
    x = np.asarray(x, float)
    if x.ndim != 2 or len(x) < least:
        raise ValueError(f"there must be vectors (n, H) of at least {least} occurrence{'s' * (least > 1)}, got shape {x.shape}")
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > 0)).all():
        raise ValueError("vectors must be finite and not zero: a zero vector has no direction")
    return x / length
