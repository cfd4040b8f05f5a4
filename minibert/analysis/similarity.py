"""How alike two sets of vectors are, X ``(N, H)`` and Y ``(N, K)`` of the same N examples, whatever their axes are called.

::

    RSA      corr over pairs i < j of d(xᵢ, xⱼ) and d(yᵢ, yⱼ)          do the same examples lie near each other?
    CKA      ⟨K, L⟩ / ‖K‖‖L‖     K = X·Xᵀ, L = Y·Yᵀ, centred            the same of products, without ranks
    CCA      ρ = singular values of Qxᵀ·Qy                               Q: orthonormal basis of what the centred columns span
    SVCCA    mean ρ, of the directions that hold 99 % of the variance
    PWCCA    Σ αᵢρᵢ / Σ αᵢ       αᵢ = Σⱼ |⟨hᵢ, xⱼ⟩|                      hᵢ: canonical directions of X, xⱼ: its columns
    ReStA    RSA of X⁽ᵏ⁾ and X⁽ᵏ′⁾                                       one model and layer, N sentences after k and k′ others

All are 1 for Y = X·R with R orthogonal, but for RSA by correlation distance, which hears the axes. CCA and PWCCA are 1 for any
invertible R: they hear directions that hardly vary as loudly as others, which is why SVCCA leaves these out first. Each measure
is a *description* of one set and a comparison of two, so that of L layers only L are described.

What chance alone gives is no 0: CKA of unrelated X and Y, of independent numbers all, is near √(H·K)/N where N is large, and near
1 where it is small. *Debiased* CKA leaves out the products of an example with itself: for i ≠ j, U-centred,
K̃ᵢⱼ = Kᵢⱼ − rᵢ/(N−2) − rⱼ/(N−2) + s/((N−1)(N−2)), with rᵢ and s the sums of row i and of all without the diagonal, which is 0.
CCA of N ≤ rank X + rank Y examples is refused: the two spans then meet in some direction whatever the numbers are.

*ReStA*, representational stability, is about one model: a row of X⁽ᵏ⁾ is a sentence, the mean of its words, read after the k
sentences before it in its document. It is 1 for a model that does not hear what stands before. But k sentences also move the
sentence to other positions and give attention more to look at, whatever they say. So the control puts as many sentences of
another document there, which have no more tokens, and of those that do the most.

Sources: Kriegeskorte et al. 2008 and Abnar et al. 2019 (RSA; ReStA of 0 to 6 sentences), Kornblith et al. 2019 (CKA; U-centring
after Székely and Rizzo 2014), Raghu et al. 2017 (SVCCA), Morcos et al. 2018 (PWCCA). Official code that differs: Abnar's takes
the mean of Pearson's correlation over whole rows, each with its zero on the diagonal (``compare="rows"``). Google's ``pwcca.py``
weighs by the directions of whichever set has fewer columns, makes these without the whitening of its own ``cca_core.py`` and adds
the mean again; here they are those of X, as in the paper, so PWCCA is not symmetric.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import collecting
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.text.forms import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Sentence, Subject
    from minibert.pretrained import Trained

CLAIM = "Of two trainings of one architecture, each layer is most alike to its counterpart (Kornblith et al. 2019)."
PAPER = UNVERIFIED
CONTROLS = ("the examples of the other side shuffled", "of ReStA: sentences of another document before")
COMPARES = True

DISTANCES = ("cosine", "euclidean", "correlation")
COMPARED = ("spearman", "pearson", "rows")
BEFORE, LEAST = 6, 50  # sentences before another, at most; sentences that have so many before them, at least


class Span(NamedTuple):
    """What the centred columns of X span."""

    basis: np.ndarray  # (N, r) orthonormal
    columns: np.ndarray  # (r, H) X in this basis


def rsa(x: np.ndarray, y: np.ndarray, distance: str = "cosine", compare: str = "spearman") -> float:
    """The correlation of the distances between examples, from −1 to 1, by one of ``DISTANCES`` and one of ``COMPARED``."""
    return _alike(Measure(partial(dissimilarities, distance=distance, compare=compare), _dot), x, y)


def resta(x: np.ndarray, distance: str = "cosine", compare: str = "spearman") -> np.ndarray:
    """Representational stability ``(K, K)``: RSA of each two of K readings of the same N examples, x ``(K, N, H)``."""
    d = np.stack([dissimilarities(reading, distance, compare).ravel() for reading in x])
    return d @ d.T


def cka(x: np.ndarray, y: np.ndarray, debiased: bool = False) -> float:
    """Centred kernel alignment of linear kernels: from 0 to 1, or about 0 where nothing is shared, if ``debiased``."""
    return _alike(Measure(partial(products, debiased=debiased), _dot), x, y)


def cca(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The canonical correlations, largest first, as many as the smaller of the ranks."""
    _same_number(x, y)
    return _canonical(span(x), span(y))[1]


def svcca(x: np.ndarray, y: np.ndarray, keep: float = 0.99) -> float:
    """The mean canonical correlation of the directions that hold the share ``keep`` of the variance, from 0 to 1."""
    return _alike(Measure(partial(span, keep=keep), _mean), x, y)


def pwcca(x: np.ndarray, y: np.ndarray) -> float:
    """The mean canonical correlation, each direction weighed by how much of X it accounts for, from 0 to 1."""
    return _alike(Measure(span, _weighed), x, y)


def dissimilarities(x: np.ndarray, distance: str = "cosine", compare: str = "spearman") -> np.ndarray:
    """The distances of all pairs of examples, or their ranks, centred and of length 1: the dot of two is a correlation."""
    if distance not in DISTANCES or compare not in COMPARED:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)} and compare one of {', '.join(COMPARED)}, "
                         f"got {distance!r} and {compare!r}")
    x = _checked(x, 3)
    if distance == "euclidean":
        d = np.stack([np.linalg.norm(x - one, axis=1) for one in x])
    else:
        x = x - x.mean(1, keepdims=True) if distance == "correlation" else x
        x = x / _positive(np.linalg.norm(x, axis=1, keepdims=True), f"the {distance} distance from a vector of zeros")
        d = 1 - x @ x.T
    np.fill_diagonal(d, 0)
    d = d if compare == "rows" else d[np.triu_indices(len(d), 1)]
    d = _ranks(d) if compare == "spearman" else d
    d = d - d.mean(-1, keepdims=True)
    d = d / _positive(np.linalg.norm(d, axis=-1, keepdims=True), "the correlation of distances that are all equal")
    return d / np.sqrt(len(d)) if compare == "rows" else d


def products(x: np.ndarray, debiased: bool = False) -> np.ndarray:
    """The products of all pairs of examples, centred and of length 1: the dot of two is their CKA."""
    x = _centred(x, 4 if debiased else 3)
    n, k = len(x), x @ x.T
    whole = np.linalg.norm(k)
    if debiased:
        np.fill_diagonal(k, 0)
        rows = k.sum(0) / (n - 2)
        k += rows.sum() / (n - 1) - rows[:, None] - rows
        np.fill_diagonal(k, 0)
    return k / _positive(np.linalg.norm(k), "the CKA of examples that are all equally far apart", whole)


def span(x: np.ndarray, keep: float = 1.0) -> Span:
    """The directions in which the examples vary; of these the largest that hold the share ``keep`` of the variance."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be a share of the variance, above 0 and at most 1, got {keep}")
    x = _centred(x, 3)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    rank = int((s > s[0] * max(x.shape) * np.finfo(float).eps).sum())
    if keep < 1:
        rank = min(rank, int(np.searchsorted(np.cumsum(s**2), keep * (s**2).sum())) + 1)
    return Span(u[:, :rank], s[:rank, None] * vt[:rank])


class Measure(NamedTuple):
    """A description of one set, and what two of them have in common."""

    describe: Callable[[np.ndarray], Any]
    compare: Callable[[Any, Any], float]


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))


def _mean(a: Span, b: Span) -> float:
    return float(_canonical(a, b)[1].mean())


def _weighed(a: Span, b: Span) -> float:
    u, rho = _canonical(a, b)
    weights = np.abs(u.T @ a.columns).sum(1)  # hᵢ = basis·uᵢ, so ⟨hᵢ, xⱼ⟩ = uᵢ·(column j in the basis)
    return float(weights @ rho / weights.sum())


MEASURES = {"RSA": Measure(dissimilarities, _dot), "CKA": Measure(products, _dot),
            "debiased CKA": Measure(partial(products, debiased=True), _dot), "SVCCA": Measure(partial(span, keep=0.99), _mean),
            "PWCCA": Measure(span, _weighed)}


class Stability(NamedTuple):
    """ReStA of each layer, between k and k′ sentences before, both from 0 to K."""

    own: np.ndarray  # (L+1, K+1, K+1)
    foreign: np.ndarray  # the same where those before are of another document
    sentences: int


class Layers(NamedTuple):
    """How alike the hidden states of two models are, those of one in the rows, of the other in the columns."""

    alike: dict[str, np.ndarray]  # (L+1, L'+1) of each measure
    shuffled: dict[str, np.ndarray]  # the same where the examples of the other side are shuffled: what chance gives
    examples: int  # words
    two: bool = False  # of two models, and not of one with itself
    stability: Stability | str = "no documents were given"  # of the first model; a sentence: why there is none

    def matched(self) -> dict[str, float]:
        """Of each measure: the share of layers that are most alike to the layer of the same number on the other side."""
        return {name: float((x.argmax(1) == np.arange(len(x))).mean()) for name, x in self.alike.items()}


def measure(bert: Trained, texts: Sequence[Text], other: Trained | None = None, measures: Sequence[str] = tuple(MEASURES),
            limit: int = 1000, seed: int = 0) -> Layers:
    """The words of texts in every layer of two models, or of one with itself. ``limit``: so many words, since all pairs count.

    The two must cut texts into the same words. ValueError, with the measure's name, where there are too few words for it.
    """
    for name in measures:
        if name not in MEASURES:
            raise ValueError(f"measures must be of {', '.join(MEASURES)}, got {name!r}")
    x = collecting.table(bert, texts, limit=limit)
    y = x if other is None else collecting.table(other, texts, limit=limit)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"one model finds {x.shape[1]:,} words in the texts and the other {y.shape[1]:,}: give texts as lists "
                         "of words that both know")
    order = np.random.default_rng(seed).permutation(x.shape[1])

    def between(name: str, y: np.ndarray) -> np.ndarray:
        describe, compare = MEASURES[name]
        try:
            ours, theirs = [describe(layer) for layer in x], [describe(layer) for layer in y]
            return np.array([[compare(a, b) for b in theirs] for a in ours])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    return Layers({name: between(name, y) for name in measures}, {name: between(name, y[:, order]) for name in measures},
                  x.shape[1], other is not None)


def stability(bert: Trained, documents: Sequence[Sequence[Sentence]], most: int = BEFORE, limit: int = 100, seed: int = 0
              ) -> Stability:
    """ReStA of every layer. K is ``most``, or less where fewer than ``LEAST`` sentences can be read with the K before them.

    ``limit``: so many of these sentences. ``seed``: of the choice among other documents. ValueError where K would be 0.
    """
    if most < 1 or limit < LEAST:
        raise ValueError(f"most must be at least 1 and limit at least {LEAST}, got {most} and {limit}")
    for K in range(most, 0, -1):
        own = _stretches(bert, documents, K)
        foreign = _of_others(bert, own, np.random.default_rng([seed, K]))
        both = [pair for pair in zip(own, foreign) if pair[1] is not None][:limit]
        if len(both) >= LEAST:
            return Stability(*(np.stack([resta(x) for x in _readings(bert, side)]) for side in zip(*both)), len(both))
    raise ValueError(f"{len(both)} different sentences can be read with the one before them in their document, and with one of "
                     f"another, and stability says something from {LEAST} on: give longer documents")


def _stretches(bert: Trained, documents: Sequence[Sequence[Sentence]], before: int) -> list[list[Sentence]]:
    """Sentences, each once, with those before them, that the model can read together."""
    found: dict[tuple[str, ...], list[Sentence]] = {}
    for document in documents:
        for i in range(before, len(document)):
            stretch = list(document[i - before:i + 1])
            if stretch[-1].order - stretch[0].order == before and _tokens(bert, stretch) <= bert.max_length:
                found.setdefault(tuple(stretch[-1].words), stretch)
    return list(found.values())


def _of_others(bert: Trained, stretches: Sequence[list[Sentence]], rng: np.random.Generator) -> list[list[Sentence] | None]:
    """The same last sentences, after what stands before one of another document: the longest that has no more tokens than their
    own, so that the model can read it as well. None where there is none."""
    sizes = np.array([_tokens(bert, stretch[:-1]) for stretch in stretches])
    documents = np.array([stretch[-1].document for stretch in stretches])
    found: list[list[Sentence] | None] = []
    for stretch, size in zip(stretches, sizes):
        may = (documents != stretch[-1].document) & (sizes <= size)
        longest = np.flatnonzero(may & (sizes == sizes[may].max(initial=0)))
        found.append([*stretches[rng.choice(longest)][:-1], stretch[-1]] if len(longest) else None)
    return found


def _tokens(bert: Trained, sentences: Sequence[Sentence]) -> int:
    return len(bert.tokenizer.encode([word for sentence in sentences for word in sentence.words], max_length=sys.maxsize))


def _readings(bert: Trained, stretches: Sequence[Sequence[Sentence]]) -> np.ndarray:
    """``(L+1, K+1, N, H)``: the mean of the words of N last sentences, after 0 to K of those before them."""
    K, N, c = len(stretches[0]) - 1, len(stretches), bert.config
    cut = [stretch[K - k:] for k in range(K + 1) for stretch in stretches]
    texts = [[word for sentence in sentences for word in sentence.words] for sentences in cut]
    out = np.empty((c.num_hidden_layers + 1, len(texts), c.hidden_size), bert.parameters.flat.dtype)
    for units in collecting.collect(bert, texts):
        begins = len(texts[units.index]) - len(cut[units.index][-1].words)
        out[:, units.index] = units.states[:, [word is not None and word >= begins for word in units.words]].mean(1)
    return out.reshape(len(out), K + 1, N, -1)


def of(subject: Subject) -> Layers:
    """The model and its ``other``, else the model and itself. Measures for which there are too few words are left out."""
    limit = 600 if subject.quick else 2000
    many = min(limit, sum(map(len, subject.texts))) > 2 * subject.bert.config.hidden_size
    found = measure(subject.bert, subject.texts, subject.other, [name for name in MEASURES if many or name != "PWCCA"], limit,
                    subject.seed)
    try:
        stable = stability(subject.bert, subject.documents, 3 if subject.quick else BEFORE, 100 if subject.quick else 300,
                           subject.seed)
    except ValueError as error:
        stable = str(error)
    return found._replace(stability=stable)


def lines(result: Layers) -> list[Line]:
    """Of each measure: the share of layers that are most alike to their counterpart, and how alike the last layers are; of one
    model with itself, how alike its first and last are. Then ReStA: of all layers between none and most sentences before, and of
    the last layer between one less and one more."""
    where, layer = ("last layers", -1) if result.two else ("embeddings and the last layer", 0)
    found = [] if result.two else [Line("layers matched with their counterpart", "there is no second model")]
    for name, share in result.matched().items():
        alike, shuffled = result.alike[name], result.shuffled[name]
        if result.two:
            found.append(Line(f"{name}: layers matched with their counterpart", share, 1 / len(alike)))
        found.append(Line(f"{name} of the {where}", float(alike[layer, -1]), float(shuffled[layer, -1])))
    if isinstance(result.stability, str):
        return [*found, Line("ReStA", f"not measured: {result.stability}")]
    own, foreign, sentences = result.stability
    K = own.shape[-1] - 1
    cells = [(f"layer {layer}" if layer else "embeddings", layer, 0, K) for layer in range(len(own))]
    cells += [("the last layer", -1, k, k + 1) for k in range(1, K)]
    return [*found, *(Line(f"ReStA of {name}: {i} and {j} sentences before", float(own[layer, i, j]), float(foreign[layer, i, j]))
                      for name, layer, i, j in cells), Line("ReStA: sentences", sentences)]


def verdict(result: Layers) -> str:
    """Of two models, by CKA: agrees where all layers are most alike to their counterpart, contradicts where fewer than half are.
    Between these, and of one model with itself, it cannot be shown."""
    share = result.matched()["CKA"]
    return CANNOT if not result.two or 0.5 <= share < 1 else AGREES if share == 1 else CONTRADICTS


def plot(result: Layers) -> Figure:
    """The similarity of all layers, one map for each measure, and below it what chance gives; ReStA of the last layer."""
    above, below = result.alike, {f"{name}, shuffled": x for name, x in result.shuffled.items()}
    axes = {}
    if not isinstance(result.stability, str):
        above = {**above, "ReStA, last layer": result.stability.own[-1]}
        below["ReStA, other documents"] = result.stability.foreign[-1]
        axes = dict.fromkeys(("ReStA, last layer", "ReStA, other documents"), "sentences before")
    return plots.layer_maps({**above, **below}, f"How alike layers are ({result.examples:,} words)", len(above), axes)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """The correlation of the ranks of two rows of numbers."""
    x, y = (ranks - ranks.mean() for ranks in (_ranks(x), _ranks(y)))
    return _dot(x, y) / float(_positive(np.linalg.norm(x) * np.linalg.norm(y), "the correlation of numbers that are all equal"))


def _alike(measure: Measure, x: np.ndarray, y: np.ndarray) -> float:
    _same_number(x, y)
    return measure.compare(measure.describe(x), measure.describe(y))


def _same_number(x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y):
        raise ValueError(f"x and y must be of the same examples, got {len(x)} and {len(y)} rows")


def _canonical(a: Span, b: Span) -> tuple[np.ndarray, np.ndarray]:
    """The canonical directions of a in its basis ``(r, min(r, s))``, and the correlations."""
    n, (r, s) = len(a.basis), (a.basis.shape[1], b.basis.shape[1])
    if n <= r + s:
        raise ValueError(f"vectors that vary in {r} and {s} directions need more than {r + s} examples, got {n}: with fewer, "
                         "some canonical correlations are 1 whatever the numbers are")
    u, rho, _ = np.linalg.svd(a.basis.T @ b.basis, full_matrices=False)
    return u, np.minimum(rho, 1)


def _checked(x: np.ndarray, least: int) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or len(x) < least or not np.isfinite(x).all():
        raise ValueError(f"expected at least {least} examples, a row of finite numbers each, got an array of shape {x.shape}"
                         + " with numbers that are not finite" * (not np.isfinite(x).all()))
    return x


def _centred(x: np.ndarray, least: int) -> np.ndarray:
    x = _checked(x, least)
    centred = x - x.mean(0)
    _positive(np.linalg.norm(centred), "the similarity of examples that are all the same", np.linalg.norm(x))
    return centred


def _positive(norm: Any, what: str, scale: Any = 1.0) -> Any:
    """The norm, where it is more than the rounding of numbers of size ``scale``; ValueError says what is not defined."""
    if (norm <= 1e-13 * scale).any():
        raise ValueError(f"{what} is not defined")
    return norm


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 1; numbers that are equal but for rounding share the mean of theirs."""
    _, place, counts = np.unique(np.round(x / (np.abs(x).max() or 1), 12), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
