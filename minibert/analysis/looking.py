"""What heads look at: neighbours, [CLS], [SEP], punctuation; how evenly; and which heads are alike.

Of each head the mean over the tokens of a text, [CLS] and [SEP] among them, then over texts::

    next, previous, itself     a[i, i+1], a[i, i−1], a[i, i]                     over the tokens that have such a neighbour
    [CLS], [SEP], punctuation  Σ of a[i, j] over these j
    entropy                    −Σ_j b[i, j]·ln b[i, j]     b = 0.9999·a + 0.0001/T, in nats; of the first token alone as well
    slope at [SEP]             mean of |∂loss/∂a[i, j]| over the j that are [SEP], the loss that of hidden words

    distance of two heads      Σ over all tokens of all texts of JS(a[i], a′[i])
    JS(p, q)                   H(p/2 + q/2) − H(p)/2 − H(q)/2, from 0 to ln 2: rows smoothed by 0.999 and 0.001/T

``places`` puts the heads on a plane so that their distances are kept as well as they can be: classical scaling, which takes the
two largest eigenvectors of −J·D²·J/2, where J = I − 11ᵀ/N. Theirs is metric scaling by scikit-learn; where a plane can hold the
distances, both find it.

Source: Clark et al. 2019, "What Does BERT Look At?", arXiv:1906.04341, sections 3 and 6; code clarkkev/attention-analysis. Their
code divides next and previous by all tokens (``own_ends``), and in the cell of figure 2 the legend has the two the wrong way
round. For the slopes at [SEP] no code is public: the gradient is plain, not times a.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched, plots
from minibert.analysis import controls, inside, masked
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.dependencies import entropy
from minibert.backend import to_numpy
from minibert.text import forms
from minibert.text.forms import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Heads of one layer look alike; many of them look at [SEP], where it hardly matters what they see."
PAPER = "entropy above 3.8 nats is broad attention; that of [CLS] in the last of 12 layers is 3.89"
CONTROLS = "random weights; layers shuffled among the heads"

NAMES = ("next", "previous", "itself", "[CLS]", "[SEP]", "punctuation")
SHUFFLES = 199


class Looking(NamedTuple):
    """Of every head; shares from 0 to 1."""

    shares: np.ndarray  # (L, A, 6) by NAMES
    entropy: np.ndarray  # (L, A) nats
    entropy_of_first: np.ndarray  # (L, A) of [CLS]
    distances: np.ndarray  # (L·A, L·A) nats a token
    near: float  # mean distance of two heads of one layer, divided by that of two heads of different layers; NaN for one layer
    chance: float  # the share of shuffled layers that are as near
    slopes: np.ndarray | None  # (L, A) at [SEP], and
    other_slopes: np.ndarray | None  # (L, A) at other tokens; None where the model has no masked-word head
    texts: int
    random: Looking | None = None  # the same of random weights, where that was measured


def shares(a: np.ndarray, first: np.ndarray, last: np.ndarray, marks: np.ndarray, own_ends: bool = False) -> np.ndarray:
    """Attention ``(…, T, T)`` of a text and which tokens are [CLS], [SEP], punctuation ``(T,)`` -> ``(…, 6)`` by ``NAMES``.

    ``own_ends``: next and previous are divided by all T tokens.
    """
    T = a.shape[-1]
    by = T if own_ends else max(T - 1, 1)
    return np.stack([*(np.trace(a, d, -2, -1) / n for d, n in ((1, by), (-1, by), (0, T))),
                     *(a[..., chosen].sum(-1).mean(-1) for chosen in (first, last, marks))], -1)


def smoothed(a: np.ndarray, share: float) -> np.ndarray:
    """Rows ``(…, T)`` with so much of them spread evenly."""
    return (1 - share) * a + share / a.shape[-1]


def divergences(a: np.ndarray, share: float = 0.001) -> np.ndarray:
    """Rows of N heads ``(N, T, T)`` -> ``(N, N)``: Jensen and Shannon's divergence of each two, summed over the T rows."""
    a = smoothed(a.astype(np.float64), share)
    own = entropy(a).sum(-1)  # (N,)
    return np.stack([entropy((a + one) / 2).sum(-1) - (own + h) / 2 for one, h in zip(a, own)])


def places(distances: np.ndarray, dimensions: int = 2) -> np.ndarray:
    """``(N, N)`` -> ``(N, dimensions)``, the first axis the longest; signs are chance."""
    n = len(distances)
    j = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-j @ (distances * distances) @ j / 2)
    largest = np.argsort(-values)[:dimensions]
    return vectors[:, largest] * np.sqrt(np.maximum(values[largest], 0))


def nearness(distances: np.ndarray, layers: np.ndarray) -> float:
    """The mean distance within a layer by that between layers."""
    same = layers[:, None] == layers
    apart = ~np.eye(len(layers), dtype=bool)
    return float(distances[same & apart].mean() / distances[~same].mean())


def measure(bert: Trained, texts: Sequence[Text], own_ends: bool = False, seed: int = 0) -> Looking:
    """All of it. A text that is too long loses its end."""
    if not texts:
        raise ValueError("there are no texts to look at: give at least one")
    L, A = bert.config.num_hidden_layers, bert.config.num_attention_heads
    found, even, of_first, distances, tokens = [], [], [], np.zeros((L * A, L * A)), 0
    for text in texts:
        encoding = forms.encode(bert.tokenizer, text, max_length=bert.max_length, truncate=True)
        out = batched.answer(bert, [encoding], attentions=True)
        a = np.stack([to_numpy(layer)[0] for layer in out.attentions]).astype(np.float64)  # (L, A, T, T)
        found.append(shares(a, *_kinds(bert, encoding), own_ends))
        h = entropy(smoothed(a, 1e-4))
        even.append(h.mean(-1))
        of_first.append(h[..., 0])
        distances += divergences(a.reshape(L * A, *a.shape[2:]))
        tokens += a.shape[-1]
    distances = np.maximum(distances + distances.T, 0) / 2 / tokens
    near, chance = _nearness(distances, np.repeat(range(L), A), seed)
    slopes = _slopes(bert, texts, seed) if inside.has_head(bert) else (None, None)
    return Looking(np.mean(found, 0), np.mean(even, 0), np.mean(of_first, 0), distances, near, chance, *slopes, len(texts))


def of(subject: Subject) -> Looking:
    """All sentences as texts, at most 500, and of these the same with random weights."""
    texts = subject.texts[:500]
    fresh = measure(controls.random_weights(subject.bert, subject.seed), texts, seed=subject.seed)
    return measure(subject.bert, texts, seed=subject.seed)._replace(random=fresh)


def lines(result: Looking) -> list[Line]:
    """What the heads of all layers look at on average, beside random weights; whether those of a layer are alike."""
    fresh = [None] * len(NAMES) if result.random is None else result.random.shares.mean((0, 1)).tolist()
    found = [Line(f"attention: {name}", float(x), y) for name, x, y in zip(NAMES, result.shares.mean((0, 1)), fresh)]
    layer, head, most = max(((i, j, float(x)) for (i, j), x in np.ndenumerate(result.shares[..., NAMES.index("[SEP]")])),
                            key=lambda item: item[2])
    found += [Line(f"[SEP]: head {layer + 1}.{head + 1}, the most", most),
              Line("entropy of the broadest head, nats", float(result.entropy.max()),
                   None if result.random is None else float(result.random.entropy.max())),
              Line("entropy of [CLS], last layer, nats", float(result.entropy_of_first[-1].mean()), None, 3.89)]
    if result.slopes is not None:
        found.append(Line("slope of the loss at [SEP]; control: at other tokens", float(result.slopes.mean()),
                          float(result.other_slopes.mean())))
    return [*found, Line("distance of heads, within / between layers; control: chance of that", result.near, result.chance)]


def verdict(result: Looking) -> str:
    """Agrees where heads of one layer are nearer to each other than fewer than one in twenty shuffles of the layers make them,
    and the slope at [SEP], where it was measured, is below that at other tokens; else contradicts. One layer, one head a layer,
    or fewer than ten heads cannot show it."""
    if np.isnan(result.near) or len(result.distances) < 10:
        return CANNOT
    blind = result.slopes is None or result.slopes.mean() < result.other_slopes.mean()
    return AGREES if result.near < 1 and result.chance < 0.05 and blind else CONTRADICTS


def plot(result: Looking) -> Figure:
    """What each layer's heads look at, and where the heads stand to each other."""
    L, A, _ = result.shares.shape
    layers = range(1, 1 + L)
    series = {name: result.shares[..., NAMES.index(name)].mean(1) for name in ("[SEP]", "[CLS]", "punctuation")}
    series["neighbours, itself"] = result.shares[..., :3].sum(-1).mean(1)
    points = places(result.distances)
    return plots.panels(f"What heads look at ({result.texts:,} texts)",
                        plots.Lines("Attention, mean over a layer's heads", "layer", layers, series, "share"),
                        plots.Points("Heads, by how alike they look", points, [f"{i // A + 1}.{i % A + 1}" for i in range(L * A)],
                                     np.repeat(layers, A)))


def _kinds(bert: Trained, encoding: forms.Encoding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which tokens are [CLS], [SEP], punctuation."""
    ids, vocab = np.array(encoding.ids), bert.tokenizer.vocab
    marks = [not added and not any(c.isalnum() for c in bert.tokenizer.written(i))
             for i, added in zip(encoding.ids, encoding.special_tokens_mask)]
    return ids == vocab.cls_id, ids == vocab.sep_id, np.array(marks)


def _slopes(bert: Trained, texts: Sequence[Text], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``(L, A)`` mean |∂loss/∂a| where a [SEP] is seen, and where another token is."""
    sums, counts = np.zeros((2, bert.config.num_hidden_layers, bert.config.num_attention_heads)), np.zeros(2)
    for batch in masked.batches(bert, texts, seed=seed):
        real = to_numpy(batch.real)
        seps = (to_numpy(batch.inputs.ids) == bert.tokenizer.vocab.sep_id) & real
        d = np.abs(np.stack(masked.attention_gradients(bert, batch)[1]))  # (L, B, A, T, T)
        for i, seen in enumerate((seps, real & ~seps)):
            pairs = real[:, :, None] & seen[:, None]  # (B, T, T)
            sums[i] += (d * pairs[None, :, None]).sum((1, 3, 4))
            counts[i] += pairs.sum()
    return sums[0] / counts[0], sums[1] / counts[1]


def _nearness(distances: np.ndarray, layers: np.ndarray, seed: int) -> tuple[float, float]:
    if layers[-1] == 0 or layers[-1] + 1 == len(layers):
        return np.nan, np.nan
    near, rng = nearness(distances, layers), np.random.default_rng(seed)
    shuffled = [nearness(distances, rng.permutation(layers)) for _ in range(SHUFFLES)]
    return near, (1 + sum(x <= near for x in shuffled)) / (1 + SHUFFLES)
