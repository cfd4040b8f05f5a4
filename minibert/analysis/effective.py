"""Effective attention: the part of a map that reaches the output of its head, and how much of it is a matter of choice.

::

    A (T, T) attention     T (T, H) = V·Woᵀ + …: what each token has to give, through the head's part of the output matrix
    A′ = A·P               P = U·Uᵀ, U (T, r): orthonormal basis of the columns of T, r its rank

Only A·T leaves a head. A row of A may be changed by any vector whose product with T is 0 (the left null space of T, of T − r
dimensions), and nobody notices: what A says there is not identifiable. A′ is A without it, so A′·T = A·T. The rank is at most D,
the numbers of a head: in a text of more than D tokens no map is identifiable, in a shorter one usually all of it is.

A′ is no attention any more: it has negative numbers, and its rows need not add up to 1. With ``keep_sums`` only what changes no
sum either is taken away: the left null space of (T, 1), of at most one dimension less.

Source: Brunner et al. 2020, "On Identifiability in Transformers", section 3. The value's bias is part of T, the output's is not,
since no attention multiplies it. The code of KaiserWhoLearns/Effective-Attention-Interpretability takes V for T (the same null
space, unless the output matrix lacks rank), an absolute tolerance, and the largest rank for all heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import inside
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.backend import get_xp, to_numpy
from minibert.model import bert as body
from minibert.model import embeddings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "In a text of more tokens than a head has numbers, attention is not identifiable (Brunner et al. 2020)."
PAPER = UNVERIFIED
CONTROLS = "the share of a random vector that lies in the null space, √((T − r)/T), beside that of attention"


class Maps(NamedTuple):
    """The heads of one text of T tokens."""

    attention: np.ndarray  # (L, A, T, T)
    effective: np.ndarray  # (L, A, T, T)
    rank: np.ndarray  # (L, A) of T


class Identifiability(NamedTuple):
    """Of N texts, how much of their attention leaves the heads."""

    tokens: np.ndarray  # (N,)
    rank: np.ndarray  # (N, L, A)
    unseen: np.ndarray  # (N, L, A) ‖A − A′‖/‖A‖: the share of a map that changes nothing
    random: np.ndarray  # (N, L, A) the share that it would be if maps had no direction


def effective(attention: np.ndarray, values: np.ndarray, keep_sums: bool = False) -> tuple[np.ndarray, int]:
    """Attention ``(…, T)`` of T tokens, and what they have to give ``(T, H)`` -> effective attention ``(…, T)`` and the rank.

    ``keep_sums``: rows keep their sums. A direction counts as none where it is smaller than the rounding of ``values``, relative
    to the largest.
    """
    if values.ndim != 2 or attention.shape[-1:] != values.shape[:1]:
        raise ValueError(f"expected attention (…, T) and values (T, H) of the same T tokens, got {attention.shape} and "
                         f"{values.shape}")
    u = basis(values)
    rank = u.shape[1]
    if keep_sums:
        u = basis(np.column_stack([u, np.full(len(u), len(u) ** -0.5, u.dtype)]))
    return attention @ u @ u.T, rank


def basis(x: np.ndarray) -> np.ndarray:
    """``(T, r)``: an orthonormal basis of what the columns of x ``(T, H)`` span, but for rounding."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, s > s[:1] * max(x.shape) * np.finfo(x.dtype).eps]


def maps(bert: Trained, text: str, keep_sums: bool = False) -> Maps:
    """Attention and effective attention of every head. What is too long for the model loses its end."""
    inside.needs_all_heads(bert)
    question = inside.ask(bert, text)
    xp, config = get_xp(bert.parameters.flat), bert.config
    positions = embeddings.position_ids(question.ids[None], None, config)
    ids, types, positions = (x if x is None else xp.asarray(x) for x in (question.ids[None], question.token_type_ids[None],
                                                                         positions))
    _, cache = body.forward(ids, types, None, bert.parameters["bert"], config, position_ids=positions, maps=True)
    found = []
    for (_, p, _), inner in zip(cache.encoder.layers, cache.encoder.blocks):
        weight = to_numpy(p["attention"]["output"]["dense"]["weight"])  # (H, A·D)
        v, a = to_numpy(inner.attention.v)[0], to_numpy(inner.attention.weights)[0]  # (A, T, D), (A, T, T)
        parts = np.split(weight, len(v), axis=1)  # A of (H, D)
        found.append([(one, *effective(one, x @ part.T, keep_sums)) for one, x, part in zip(a, v, parts)])
    return Maps(*(np.array([[head[i] for head in layer] for layer in found]) for i in range(3)))


def measure(bert: Trained, texts: Sequence[str]) -> Identifiability:
    """How much of the attention of some texts changes nothing, beside what chance would give."""
    if not texts:
        raise ValueError("there are no texts to measure effective attention on: give at least one")
    rows = []
    for text in texts:
        attention, kept, rank = maps(bert, text)
        T = attention.shape[-1]
        unseen = np.linalg.norm(attention - kept, axis=(2, 3)) / np.linalg.norm(attention, axis=(2, 3))
        rows.append((T, rank, unseen, np.sqrt((T - rank) / T)))
    return Identifiability(*map(np.array, zip(*rows)))


def of(subject: Subject) -> Identifiability:
    """Documents, as far as the model reads them: the longer a text, the more there is to see. 10 where it is to be quick, else
    50."""
    texts = [" ".join(sentence.text for sentence in document) for document in subject.documents]
    longest = sorted(texts, key=len, reverse=True)[:10 if subject.quick else 50]
    return measure(subject.bert, longest)


def lines(result: Identifiability) -> list[Line]:
    """Means over heads, of texts that are longer than the rank, and of others."""
    free = result.tokens[:, None, None] > result.rank
    return [Line("tokens of the longest text", int(result.tokens.max()), int(result.rank.max())),
            Line("maps that are not identifiable, share", float(free.mean())),
            *(Line(f"of {which} of these, what changes nothing", float(result.unseen[chosen].mean()),
                   float(result.random[chosen].mean())) for which, chosen in (("all", free),) if free.any())]


def verdict(result: Identifiability) -> str:
    """Agrees where some texts have more tokens than the rank and their maps lose more than a thousandth, contradicts where they
    lose less. Where no text is so long it cannot be shown."""
    free = result.tokens[:, None, None] > result.rank
    if not free.any():
        return CANNOT
    return AGREES if result.unseen[free].mean() > 1e-3 else CONTRADICTS


def plot(result: Identifiability) -> Figure:
    """How much of attention is not seen in each layer, the mean over texts and heads."""
    return plots.by_layer({"attention": result.unseen.mean((0, 2)), "a random map": result.random.mean((0, 2))},
                          f"The share of attention that changes nothing ({len(result.tokens):,} texts)", "‖A − A′‖ / ‖A‖",
                          bounds=(0, 1))
