"""Is a sentence's vector the sum of its words, each in its role? Tensor products, with roles by place or by tree.

::

    y = W·Σ_w (A·f_w + a) ⊗ r(role of w) + b          f: the word's embedding, fixed;  A, a, r, W, b are learned

The better the roles, the more of the vector of [CLS] can be written so. Of six kinds:

=================  =====================================================================================================
left to right      the word's place, from the left;  *right to left*: from the right;  *both*: the two together
bag of words       the same for all
tree               the path from the root: at each step the how-manieth dependent to the left or to the right, counted
                   from the head outwards
random tree        the same path in a tree drawn at random
=================  =====================================================================================================

Roles that training sentences have fewer than five times share one. Embeddings and targets are brought to mean 0 and standard
deviation 1 as a whole, so that ``unexplained`` is the squared error as a share of the targets' variance over sentences: 1 is what
their mean gets. Equal sentences are never in training and test both. Controls: the random tree, and a model with random weights.

Source: McCoy et al. 2019, arXiv:1812.08718. By layer: Jawahar et al. 2019, "What Does BERT Learn about the Structure of
Language?", section 6, code ganeshjawahar/interpret_bert, where A is square, the trees are of phrases and binary, and the target
is the pooler's output by default; as committed it takes no step, since 1,000 premises make fewer than the 32 batches of one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing, trees
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.collecting import starts, states_of_words
from minibert.analysis.probing import Settings
from minibert.analysis.probing_tasks import vectors
from minibert.analysis.trees import Parsed
from minibert.backend import Array, get_xp, to_numpy
from minibert.layers import embedding, linear, squared_error
from minibert.parameters import Layout, Parameters, Shapes, Tree, initialise, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Vectors of sentences are closest to tensor products whose roles are places in the parse tree."
PAPER = UNVERIFIED
CONTROLS = ("random tree", "random")

SCHEMES = ("left to right", "right to left", "both", "bag of words", "tree", "random tree")
WIDTH, ROLE = 64, 6  # numbers of a word and of a role
OFTEN = 5
MOST, LEAST = 1000, 200  # sentences
SETTINGS = Settings(1e-3, batch=32, passes=40, patience=3, gain=1e-4, decays=(0.0,))


class Words(NamedTuple):
    """Words of sentences, padded to T."""

    fillers: np.ndarray  # (N, T, E)
    roles: np.ndarray  # (N, T)
    real: np.ndarray  # (N, T) bool


class Cache(NamedTuple):
    filler: linear.Cache
    role: embedding.Cache
    f: Array  # (B, T, F), 0 where there is no word
    r: Array  # (B, T, R)
    real: Array  # (B, T, 1)
    out: linear.Cache


class Products(NamedTuple):
    """``unexplained``: the share of the targets' variance that the products miss, for S seeds, the schemes, layers 1 to L."""

    schemes: list[str]
    unexplained: np.ndarray  # (S, schemes, L)
    roles: list[int]  # how many each has
    sentences: int
    random: np.ndarray | None = None  # (S, schemes, L) of random weights, where that was measured


def shapes(inputs: int, roles: int, outputs: int, width: int = WIDTH) -> Shapes:
    """Embeddings of E numbers, so many roles, vectors of H numbers."""
    return named({"filler": linear.shapes(width, inputs), "role": embedding.shapes(roles, ROLE),
                  "output": linear.shapes(outputs, width * ROLE)})


def forward(fillers: Array, roles: Array, real: Array, p: Tree) -> tuple[Array, Cache]:
    """fillers ``(B, T, E)``, roles and real ``(B, T)`` -> ``(B, H)``."""
    f, filler = linear.forward(fillers, p["filler"])
    r, role = embedding.forward(roles, p["role"])
    real = real[..., None].astype(f.dtype)
    f = f * real
    bound = f.swapaxes(1, 2) @ r  # (B, F, R)
    y, out = linear.forward(bound.reshape(len(f), -1), p["output"])
    return y, Cache(filler, role, f, r, real, out)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B, H)`` -> dfillers ``(B, T, E)``; adds to g. With S = Σ_t f_t⊗r_t:  df_t = dS·r_t,  dr_t = dSᵀ·f_t."""
    filler, role, f, r, real, out = cache
    dbound = linear.backward(dy, out, p["output"], g["output"]).reshape(len(f), f.shape[-1], r.shape[-1])
    embedding.backward(f @ dbound, role, p["role"], g["role"])
    return linear.backward((r @ dbound.swapaxes(1, 2)) * real, filler, p["filler"], g["filler"])


def paths(heads: Sequence[int]) -> list[str]:
    """The path from the root to each word: L1 is the first dependent to the left of its head, R2 the second to the right."""
    below = defaultdict(list)
    for word, head in enumerate(heads):
        below[head].append(word)
    found, stack = [""] * len(heads), [(word, "") for word in below[-1]]
    while stack:
        word, path = stack.pop()
        found[word] = path
        left, right = [w for w in reversed(below[word]) if w < word], [w for w in below[word] if w > word]
        stack += [(w, f"{path}{side}{i}") for side, row in (("L", left), ("R", right)) for i, w in enumerate(row, start=1)]
    return found


def random_tree(words: int, rng: np.random.Generator) -> list[int]:
    """Heads: any word of a stretch is its root, and the stretches on both sides hang on it."""
    heads, stack = [-1] * words, [(0, words, -1)]
    while stack:
        first, last, above = stack.pop()
        if first < last:
            root = int(rng.integers(first, last))
            heads[root] = above
            stack += [(first, root, root), (root + 1, last, root)]
    return heads


def roles_of(scheme: str, heads: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Of the words of a sentence."""
    if scheme == "tree":
        return paths(heads)
    if scheme == "random tree":
        return paths(random_tree(len(heads), rng))
    form = {"left to right": "{0}", "right to left": "{1}", "both": "{0} {1}", "bag of words": ""}
    if scheme not in form:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    return [form[scheme].format(i, len(heads) - 1 - i) for i in range(len(heads))]


def numbered(rows: Sequence[Sequence[str]], train: np.ndarray) -> tuple[np.ndarray, int]:
    """Roles ``(N, T)`` as numbers, and how many there are: 0 for the rare ones and where there is no word."""
    counts = Counter(role for i in train for role in rows[i])
    number = {role: n for n, role in enumerate((role for role, n in counts.most_common() if n >= OFTEN), start=1)}
    out = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for at, row in zip(out, rows):
        at[:len(row)] = [number.get(role, 0) for role in row]
    return out, len(number) + 1


def fit(words: Words, y: np.ndarray, roles: int, train: np.ndarray, dev: np.ndarray, width: int = WIDTH,
        settings: Settings = SETTINGS, seed: int = 0) -> Parameters:
    """The tensor products that are nearest to vectors y ``(N, H)`` of these sentences."""
    layout = Layout(shapes(words.fillers.shape[-1], roles, y.shape[-1], width))
    p = initialise(layout, scale=words.fillers.shape[-1] ** -0.5, seed=seed, dtype=y.dtype)
    p["role"]["weight"][...] = np.random.default_rng([seed, 0x7B]).normal(size=p["role"]["weight"].shape)

    def of(numbers: np.ndarray) -> tuple[np.ndarray, ...]:
        longest = int(words.real[numbers].sum(1).max())
        return tuple(part[numbers][:, :longest] for part in words)

    def gradient(numbers: np.ndarray, p: Tree, g: Tree) -> None:
        found, cache = forward(*of(train[numbers]), p)
        backward(squared_error.backward(1.0, squared_error.forward(found, y[train[numbers]])[1]), cache, p, g)

    def loss(p: Tree) -> float:
        return float(squared_error.forward(forward(*of(dev), p)[0], y[dev])[0])

    probing.descend(p, gradient, loss, len(train), settings, seed)
    return p


def embeddings(bert: Trained, sentences: Sequence[Parsed]) -> tuple[np.ndarray, np.ndarray]:
    """``(N, T, E)`` the embeddings of words, the mean of their pieces, and ``(N, T)`` where there is one."""
    table, rows = bert.parameters["bert"]["embeddings"]["word_embeddings"]["weight"], []
    for number, sentence in enumerate(sentences):
        encoding = bert.tokenizer.encode(list(sentence.words), max_length=bert.max_length)
        begins = starts(encoding.words)
        of_units = states_of_words(to_numpy(table[get_xp(table).asarray(encoding.ids)]), begins, "mean")
        rows.append(of_units[[encoding.words[t] is not None for t in begins]])
        if len(rows[-1]) != len(sentence.words):
            raise ValueError(f"sentences[{number}]: of {len(sentence.words)} words {len(rows[-1])} are left as the model reads "
                             "it; leave the sentence out")
    real = np.arange(max(map(len, rows))) < np.array([len(row) for row in rows])[:, None]
    every = np.concatenate(rows)
    fillers = np.zeros((*real.shape, every.shape[-1]), every.dtype)
    fillers[real] = (every - every.mean(0)) / (every.std() or 1)
    return fillers, real


def measure(bert: Trained, sentences: Sequence[Parsed], seeds: Sequence[int] = (0,), schemes: Sequence[str] = SCHEMES,
            width: int = WIDTH, settings: Settings = SETTINGS) -> Products:
    """The products of every scheme for every layer; each seed draws the random trees and deals the sentences out."""
    if len(sentences) < LEAST:
        raise ValueError(f"{len(sentences)} sentences are too few to learn tensor products from; give at least {LEAST}")
    for number, sentence in enumerate(sentences):
        trees.root_of(number, *sentence)
    texts = [sentence.words for sentence in sentences]
    fillers, real = embeddings(bert, sentences)
    targets, groups = vectors(bert, texts)[1:], np.array([" ".join(words) for words in texts])
    found, sizes = [], []
    for seed in seeds:
        train, dev, test = probing.split(groups, seed)
        y = targets - targets[:, train].mean(1, keepdims=True)
        y /= np.sqrt((y[:, train] ** 2).mean((1, 2), keepdims=True))
        variance = (y[:, test] ** 2).mean((1, 2))
        rng, of_seed, sizes = np.random.default_rng([seed, 0x7A]), [], []
        for scheme in schemes:
            roles, count = numbered([roles_of(scheme, sentence.heads, rng) for sentence in sentences], train)
            words = Words(fillers, roles, real)
            fitted = [fit(words, layer, count, train, dev, width, settings, seed) for layer in y]
            errors = [forward(*(part[test] for part in words), p.tree)[0] - layer[test] for p, layer in zip(fitted, y)]
            of_seed.append(np.square(errors).mean((1, 2)) / variance)
            sizes.append(count)
        found.append(of_seed)
    return Products(list(schemes), np.array(found), sizes, len(sentences))


def of(subject: Subject) -> Products:
    """The first 1,000 sentences with a tree of two words or more; the same with random weights, of one seed."""
    some = trees.parsed(subject)[:MOST]
    seeds, untrained = probing.seeds(subject.seed, subject.quick), controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, some, seeds)._replace(random=measure(untrained, some, seeds[:1]).unexplained)


def lines(result: Products) -> list[Line]:
    """Of every scheme the mean over layers, and the last layer."""
    found = []
    for name, layers in (("mean of layers", slice(None)), ("last layer", slice(-1, None))):
        for k, scheme in enumerate(result.schemes):
            control = None if result.random is None else float(result.random[:, k, layers].mean())
            found.append(Line(f"unexplained, {scheme}, {name}", float(result.unexplained[:, k, layers].mean()), control))
    return found


def verdict(result: Products) -> str:
    """Of the mean over layers: agrees where the tree leaves less unexplained than any other scheme, by .02 or more; contradicts
    where another leaves less than the tree by as much; else nothing can be shown."""
    means = dict(zip(result.schemes, result.unexplained.mean((0, 2))))
    tree = means.pop("tree")
    gain = min(means.values()) - tree
    return AGREES if gain >= 0.02 else CONTRADICTS if gain <= -0.02 else CANNOT


def plot(result: Products) -> Figure:
    """What each scheme leaves unexplained, by layer, and beside random weights."""
    layers = range(1, 1 + result.unexplained.shape[-1])
    drawn = [scheme for scheme in ("tree", "random tree", "left to right", "bag of words") if scheme in result.schemes]
    series = {scheme: result.unexplained[:, result.schemes.index(scheme)].mean(0) for scheme in drawn}
    bars = {"trained": result.unexplained.mean((0, 2))} | (
        {} if result.random is None else {"random weights": result.random.mean((0, 2))})
    return plots.panels(f"Tensor products: {result.sentences:,} sentences",
                        plots.Lines("By layer", "layer", layers, series, "variance unexplained"),
                        plots.Bars("Mean of layers", result.schemes, bars, "variance unexplained"))
