"""Probes: small models that read a property of a word or a sentence from its vector, which is all that they see of it.

::

    linear     logits = W·x + b
    MLP        logits = W₂·tanh(W₁·x + b₁) + b₂
    control task (Hewitt and Liang 2019): every word form has one label drawn at random; what a probe learns of it is memory
    selectivity = accuracy of the property - accuracy of the control task

Vectors are brought to mean 0 and standard deviation 1 in every dimension, by the training examples: layers have other scales.
Adam goes over them in an order of the seed's. After each pass the dev examples are looked at: the best probe is kept, the
learning rate may shrink where there is none, and after ``patience`` passes in a row it ends. Among several weight decays that
of the least dev loss is taken. Test examples choose nothing.

Source: Alain and Bengio 2016, arXiv:1610.01644 (linear probes); Hewitt and Liang 2019, "Designing and Interpreting Probes with
Control Tasks", arXiv:1909.03368. SentEval, and with it Jawahar et al. 2019, has sigmoids, which are the same functions
((1 + tanh(x/2))/2), and L2 inside Adam instead of decay beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert.analysis import collecting
from minibert.layers import bias_tanh, cross_entropy, linear
from minibert.parameters import Layout, Parameters, Shapes, Tree, initialise, named
from minibert.training import adamw

if TYPE_CHECKING:
    from minibert.pretrained import Trained

LEAST = 20  # test examples, from which on a share says something


class Settings(NamedTuple):
    """How a probe is trained."""

    learning_rate: float = 1e-3
    batch: int = 64
    passes: int = 40  # over the training examples, at most
    patience: int = 5  # passes without a better dev loss
    shrink: float = 1.0  # of the learning rate after each of these
    gain: float = 1e-4  # what counts as better
    decays: tuple[float, ...] = (0.01,)  # of the weights; the dev examples choose


DEFAULT = Settings()


class Split(NamedTuple):
    """Numbers of examples."""

    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray


class Cache(NamedTuple):
    hidden: Any  # of the hidden layer, if there is one
    output: linear.Cache


class Probe(NamedTuple):
    """A trained classifier of vectors."""

    p: Parameters
    mean: np.ndarray  # (H,)
    scale: np.ndarray  # (H,)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """x ``(N, H)`` -> ``(N, C)``."""
        return forward((x - self.mean) / self.scale, self.p.tree)[0]

    def accuracy(self, x: np.ndarray, labels: np.ndarray) -> float:
        """The share of vectors ``(N, H)`` whose largest logit is that of their label."""
        return float((self.logits(x).argmax(1) == labels).mean())


def shapes(inputs: int, classes: int, hidden: int = 0) -> Shapes:
    """Of a linear probe, or of one with so many hidden units."""
    if not hidden:
        return named({"output": linear.shapes(classes, inputs)})
    return named({"hidden": linear.shapes(hidden, inputs), "output": linear.shapes(classes, hidden)})


def forward(x: np.ndarray, p: Tree) -> tuple[np.ndarray, Cache]:
    """x ``(..., H)`` -> logits ``(..., C)``."""
    hidden = None
    if "hidden" in p:
        z, dense = linear.forward(x, p["hidden"], bias=False)
        x, tanh = bias_tanh.forward(z, p["hidden"])
        hidden = dense, tanh
    logits, output = linear.forward(x, p["output"])
    return logits, Cache(hidden, output)


def backward(dlogits: np.ndarray, cache: Cache, p: Tree, g: Tree) -> np.ndarray:
    """dlogits ``(..., C)`` -> dx ``(..., H)``; adds to g."""
    hidden, output = cache
    dx = linear.backward(dlogits, output, p["output"], g["output"])
    if hidden:
        dense, tanh = hidden
        dx = linear.backward(bias_tanh.backward(dx, tanh, p["hidden"], g["hidden"]), dense, p["hidden"], g["hidden"])
    return dx


def descend(parameters: Parameters, gradient: Callable[[np.ndarray, Tree, Tree], None], dev: Callable[[Tree], float],
            examples: int, settings: Settings, seed: int, decay: float = 0.0) -> float:
    """Trains in place, and gives the dev loss of what was kept.

    ``gradient(numbers, p, g)``: adds to g that of the loss of these examples; ``dev(p)``: the loss that chooses.
    """
    g, m, v = (parameters.zeros_like() for _ in range(3))
    rng, runs = np.random.default_rng([seed, 0x9B]), adamw.runs(parameters.layout)
    constants = adamw.AdamW(epsilon=1e-8, weight_decay=decay)
    best, kept, lr, step, waited = np.inf, parameters.flat.copy(), settings.learning_rate, 0, 0
    for _ in range(settings.passes):
        order = rng.permutation(examples)
        for start in range(0, examples, settings.batch):
            gradient(order[start:start + settings.batch], parameters.tree, g.tree)
            step += 1
            adamw.step(parameters.flat, g.flat, m.flat, v.flat, runs, lr, step, constants)
        loss = dev(parameters.tree)
        if loss < best - settings.gain:
            best, kept, waited = loss, parameters.flat.copy(), 0
            continue
        waited, lr = waited + 1, lr * settings.shrink
        if waited == settings.patience:
            break
    parameters.flat[...] = kept
    return best


def fit(x: np.ndarray, labels: np.ndarray, dev_x: np.ndarray, dev_labels: np.ndarray, hidden: int = 0,
        settings: Settings = DEFAULT, seed: int = 0) -> Probe:
    """A probe for vectors ``(N, H)`` and labels ``(N,)`` from 0; with so many ``hidden`` units, or linear."""
    classes = int(max(labels.max(), dev_labels.max())) + 1
    if len(np.unique(labels)) < 2:
        raise ValueError(f"all {len(labels)} training examples have one label, so there is nothing to tell apart; give others "
                         "too")
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1e-30), scale, 1).astype(x.dtype)
    x, dev_x = (x - mean) / scale, (dev_x - mean) / scale

    def gradient(numbers: np.ndarray, p: Tree, g: Tree) -> None:
        logits, cache = forward(x[numbers], p)
        backward(cross_entropy.backward(1.0, cross_entropy.forward(logits, labels[numbers])[1]), cache, p, g)

    def dev(p: Tree) -> float:
        return float(cross_entropy.forward(forward(dev_x, p)[0], dev_labels)[0])

    found = []
    for decay in settings.decays:
        p = initialise(Layout(shapes(x.shape[1], classes, hidden)), scale=x.shape[1] ** -0.5, seed=seed, dtype=x.dtype)
        found.append((descend(p, gradient, dev, len(x), settings, seed, decay), len(found), Probe(p, mean, scale)))
    return min(found)[2]


def split(groups: np.ndarray, seed: int = 0, shares: tuple[float, float] = (0.1, 0.2)) -> Split:
    """Examples for training, dev and test; those of one group, a sentence, stay together. ``shares``: of dev and of test."""
    names, group = np.unique(groups, return_inverse=True)
    order = np.random.default_rng([seed, 0x59]).permutation(len(names))
    dev, test = (int(share * len(names)) for share in shares)
    if not dev or not test:
        raise ValueError(f"{len(names)} sentences are too few to be split into training, dev and test; give at least "
                         f"{int(np.ceil(1 / min(shares)))}")
    at = np.empty(len(names), int)
    at[order] = np.repeat([1, 2, 0], [dev, test, len(names) - dev - test])
    return Split(*(np.flatnonzero(at[group] == part) for part in range(3)))


def accuracies(x: np.ndarray, labels: np.ndarray, parts: Split, hidden: int = 0, settings: Settings = DEFAULT,
               seed: int = 0) -> np.ndarray:
    """x ``(L+1, N, H)``, labels ``(N,)`` -> ``(L+1,)``: of a probe for each layer, on its test examples."""
    if len(parts.test) < LEAST:
        raise ValueError(f"{len(parts.test)} test examples are too few: a share says something from {LEAST} on; give more "
                         "sentences")
    train, dev, test = parts
    return np.array([fit(layer[train], labels[train], layer[dev], labels[dev], hidden, settings, seed)
                     .accuracy(layer[test], labels[test]) for layer in x])


def majority(labels: np.ndarray, parts: Split) -> float:
    """The share of the test examples that have the label which is most frequent in training: what needs no vector."""
    return float((labels[parts.test] == np.bincount(labels[parts.train]).argmax()).mean())


def control_task(forms: Sequence[Hashable], labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """``(N,)`` labels that depend on nothing but the form of each word, drawn as often as the true ones are there."""
    _, form = np.unique(np.asarray(forms), return_inverse=True)
    return np.random.default_rng([seed, 0xC7]).choice(labels, form.max() + 1)[form]


def numbered(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Labels as numbers ``(N,)`` from 0, and what they are called, sorted."""
    kinds, labels = np.unique(np.asarray(names), return_inverse=True)
    return labels, kinds.tolist()


def states(bert: Trained, sentences: Sequence[Sequence[str]], pieces: str = "mean") -> np.ndarray:
    """``(L+1, N, H)`` of all words of sentences, in order. ValueError where nothing is left of a word as the model reads it."""
    x = collecting.table(bert, [list(words) for words in sentences], pieces)
    if x.shape[1] == sum(map(len, sentences)):
        return x
    for number, words in enumerate(sentences):
        kept = set(bert.tokenizer.encode(list(words), max_length=bert.max_length).words)
        for w in range(len(words)):
            if w not in kept:
                raise ValueError(f"sentences[{number}]: nothing is left of {words[w]!r}, word {w}, as the model reads it; leave "
                                 "the sentence out")
    raise AssertionError("words are counted in two ways")


def seeds(first: int, quick: bool) -> tuple[int, ...]:
    """Three, or one where it is to be quick."""
    return tuple(range(first, first + (1 if quick else 3)))


def layer_name(number: int) -> str:
    """What a hidden state is called in a table."""
    return f"layer {number}" if number else "embeddings"
