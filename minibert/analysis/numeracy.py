"""Numbers: do vectors of number words know how large a number is, its place among others, and sums?

::

    linear        value = w·v + b, least squares           RMSE
    decode        value = g(v)                             RMSE
    add           a + b = g(v_a ‖ v_b)                     RMSE
    maximum       of five different numbers, argmax of s(vᵢ)                accuracy, chance 1/5
    extrapolate   decode numbers above all those of training                RMSE

v is the vector of a number read alone, that of its last piece in the last layer; g and s are a network with one hidden layer.
Integers are split, not lists: a number of the test was never seen by g or s. Half of the lists have numbers that lie near the
largest one. Controls: *random* vectors, one a number, which cannot tell what they were not trained for; the *one value* vectors
(value/range, a single number) for which all is easy; and guessing the *mean*, whose error is range/√12 for numbers that are
equally likely.

Source: Wallace et al. 2019, "Do NLP Models Know Numbers? Probing Numeracy in Embeddings", arXiv:1909.07940, sections 2 and 3.
Their code differs: a BiLSTM over the list for the maximum (here each number is judged by itself), targets less half of the
largest number, the best validation error reported with no test set; extrapolation there ends in an error. For BERT it takes the
last piece of the top layer as well.

Verdict: *agrees* where decoding leaves less than half of the error of the mean and the maximum is right twice as often as by
chance; *contradicts* where decoding is no better than by random vectors. Of fewer than 50 numbers nothing can be shown: the
generated language has eight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import collecting, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.layers import cross_entropy, squared_error
from minibert.parameters import Layout, Parameters, Tree, initialise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Embeddings know numbers: values can be decoded and compared, within the range that was seen (Wallace et al. 2019)."
PAPER = UNVERIFIED
CONTROLS = ("random", "mean")
WORDS = "two three four five six seven eight nine".split()
LISTS, LENGTH = 2000, 5
LEAST = 50  # numbers, for a verdict
FEWEST = 5 * LENGTH  # for anything but decoding


class Errors(NamedTuple):
    """Of one kind of vectors. NaN where there are too few numbers."""

    linear: float  # RMSE on numbers of the test
    decode: float
    add: float
    maximum: float  # accuracy
    extrapolate: float


class Numeracy(NamedTuple):
    model: Errors
    random: Errors
    value: Errors  # of vectors that are the value
    mean: Errors  # of guessing the mean, or the first
    numbers: int


def split(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four of five integers to train on, and the rest; the least and the largest are trained on."""
    inner = 1 + np.random.default_rng([seed, 0x4E]).permutation(n - 2)
    test = max(1, n // 5)
    return np.sort(np.concatenate([[0, n - 1], inner[test:]])), np.sort(inner[:test])


def lists(numbers: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``(count, 5)`` places in sorted ``numbers``, all different; in every other list they lie near the largest."""
    n, found = len(numbers), []
    for k in range(count):
        top = int(rng.integers(LENGTH - 1, n))
        below = np.arange(top)
        near = np.exp(-0.5 * ((top - below) / max(5, 0.01 * n)) ** 2) if k % 2 else np.ones(top)
        near = near + 1e-6 * near.max()
        rest = rng.choice(below, LENGTH - 1, replace=False, p=near / near.sum())
        found.append(rng.permutation([top, *rest]))
    return np.array(found)


def straight(x: np.ndarray, y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    """Values ``(m,)`` for ``test_x`` ``(m, K)`` by the straight line of least squares, of all such that with the least slopes."""
    mean, middle = x.mean(0), y.mean()
    return (test_x - mean) @ np.linalg.lstsq(x - mean, y - middle, rcond=1e-6)[0] + middle


def regress(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, hidden: int = 50, passes: int = 200, seed: int = 0) -> np.ndarray:
    """Values ``(m,)`` for ``test_x`` ``(m, K)``, by a network that is trained on x ``(n, K)`` and y ``(n,)``."""
    mean, scale, middle, size = x.mean(0), x.std(0) + 1e-6, y.mean(), y.std()
    p = _network(x.shape[1], hidden, seed)

    def error(x: np.ndarray, y: np.ndarray, p: Tree) -> tuple[Any, Any]:
        out, cache = probing.forward((x - mean) / scale, p)
        return cache, squared_error.forward(out, (y - middle) / size)

    def gradient(some: np.ndarray, p: Tree, g: Tree) -> None:
        cache, (_, kept) = error(x[some], y[some], p)
        probing.backward(squared_error.backward(1.0, kept), cache, p, g)

    _descend(p, gradient, lambda p: float(error(x, y, p)[1][0]), len(x), passes, seed)
    return probing.forward((test_x - mean) / scale, p.tree)[0][:, 0] * size + middle


def largest(x: np.ndarray, train: np.ndarray, test_x: np.ndarray, test: np.ndarray, hidden: int = 50, passes: int = 40,
            seed: int = 0) -> float:
    """The share of lists ``test`` ``(m, 5)`` of rows of ``test_x`` whose largest row is found; rows are sorted by value."""
    mean, scale = x.mean(0), x.std(0) + 1e-6
    p = _network(x.shape[1], hidden, seed)

    def error(x: np.ndarray, some: np.ndarray, p: Tree) -> tuple[Any, Any]:
        out, cache = probing.forward((x[some] - mean) / scale, p)
        return cache, (out[..., 0], *cross_entropy.forward(out[..., 0], some.argmax(1)))

    def gradient(some: np.ndarray, p: Tree, g: Tree) -> None:
        cache, (_, _, kept) = error(x, train[some], p)
        probing.backward(cross_entropy.backward(1.0, kept)[..., None], cache, p, g)

    _descend(p, gradient, lambda p: float(error(x, train, p)[1][1]), len(train), passes, seed)
    return float((error(test_x, test, p.tree)[1][0].argmax(1) == test.argmax(1)).mean())


def errors(x: np.ndarray, values: np.ndarray, seed: int = 0, passes: int = 200) -> Errors:
    """Of vectors ``(N, H)`` of sorted values ``(N,)``. Of fewer than 25 numbers only decoding, each by all the others."""
    x, values, rng = np.asarray(x, float), np.asarray(values, float), np.random.default_rng([seed, 0x4C])
    if len(values) < FEWEST:
        alone = [(np.delete(x, i, 0), np.delete(values, i), x[i:i + 1]) for i in range(len(values))]
        return Errors(rmse([straight(*one)[0] for one in alone], values),
                      rmse([regress(*one, passes=passes, seed=seed)[0] for one in alone], values), np.nan, np.nan, np.nan)
    train, test = split(len(values), seed)
    linear = rmse(straight(x[train], values[train], x[test]), values[test])
    decode = rmse(regress(x[train], values[train], x[test], passes=passes, seed=seed), values[test])
    pairs, test_pairs = (part[rng.integers(0, len(part), (LISTS, 2))] for part in (train, test))
    add = rmse(regress(x[pairs].reshape(LISTS, -1), values[pairs].sum(1), x[test_pairs].reshape(LISTS, -1),
                       passes=max(1, passes // 5), seed=seed), values[test_pairs].sum(1))
    maximum = np.nan
    if len(test) >= LENGTH:
        maximum = largest(x[train], lists(train, LISTS, rng), x[test], lists(test, LISTS // 4, rng), passes=max(1, passes // 5),
                          seed=seed)
    low = int(0.8 * len(values))
    beyond = rmse(regress(x[:low], values[:low], x[low:], passes=passes, seed=seed), values[low:])
    return Errors(linear, decode, add, maximum, beyond)


def of_the_mean(values: np.ndarray, seed: int = 0) -> Errors:
    """What guessing the mean of the training numbers gives, in expectation over the same test numbers."""
    values = np.asarray(values, float)
    if len(values) < FEWEST:
        others = (values.sum() - values) / (len(values) - 1)
        return Errors(rmse(others, values), rmse(others, values), np.nan, np.nan, np.nan)
    train, test = (values[part] for part in split(len(values), seed))
    low = int(0.8 * len(values))
    bias, spread = test.mean() - train.mean(), test.var()
    alone = float(np.sqrt(spread + bias**2))
    return Errors(alone, alone, float(np.sqrt(2 * spread + 4 * bias**2)), 1 / LENGTH,
                  rmse(np.full(len(values) - low, values[:low].mean()), values[low:]))


def rmse(guess: Sequence[float], truth: Sequence[float]) -> float:
    """The square root of the mean squared error."""
    return float(np.sqrt(np.mean((np.asarray(guess, float) - np.asarray(truth, float)) ** 2)))


def measure(bert: Trained, numbers: Sequence[str], values: Sequence[float], seed: int = 0, passes: int = 200) -> Numeracy:
    """``numbers``: as they are written, in the order of their values, which are all different."""
    values = np.asarray(values, float)
    if len(numbers) != len(values) or len(values) < 6 or (np.diff(values) <= 0).any():
        raise ValueError(f"there are {len(numbers)} numbers and {len(values)} values; expected as many, at least 6, from the "
                         "least to the largest")
    x = collecting.table(bert, [[number] for number in numbers], "last")[-1]
    random = np.random.default_rng([seed, 0x4F]).normal(size=x.shape)
    found = [errors(vectors, values, seed, passes) for vectors in (x, random, values[:, None] / np.ptp(values))]
    return Numeracy(*found, of_the_mean(values, seed), len(values))


def of(subject: Subject) -> Numeracy:
    """The integers from 0 to 99 that the model reads without [UNK]; else the number words of the generated language."""
    vocab = subject.bert.tokenizer.vocab
    for names, first in ([str(i) for i in range(100)], 0), (WORDS, 2):
        known = [(name, i) for i, name in enumerate(names, first)
                 if vocab.unk_id not in subject.bert.tokenizer.encode([name], max_length=subject.bert.max_length).ids]
        if len(known) >= 6:
            numbers, values = zip(*known)
            return measure(subject.bert, numbers, values, subject.seed, 50 if subject.quick else 200)
    raise ValueError("the model's vocabulary has neither integers nor number words, so there are no numbers to measure: take a "
                     "model that reads them")


def lines(result: Numeracy) -> list[Line]:
    """The four tasks beside guessing the mean, and by the two other kinds of vectors."""
    names = {"linear": "linear decoding, RMSE", "decode": "decoding, RMSE", "add": "addition, RMSE",
             "maximum": "maximum of five, accuracy", "extrapolate": "decoding above the range, RMSE"}
    return [Line("numbers", result.numbers),
            *(Line(f"{text}{which}", getattr(found, name), getattr(result.mean, name))
              for name, text in names.items() if np.isfinite(getattr(result.model, name))
              for found, which in ((result.model, ""), (result.random, ", random vectors"), (result.value, ", value vectors")))]


def verdict(result: Numeracy) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    if result.numbers < LEAST:
        return CANNOT
    if result.model.decode >= result.random.decode:
        return CONTRADICTS
    good = result.model.decode < result.mean.decode / 2 and result.model.maximum > 2 * result.mean.maximum
    return AGREES if good else CANNOT


def plot(result: Numeracy) -> Figure:
    """Errors as shares of that of the mean, and the maximum."""
    kinds = {"model": result.model, "random vectors": result.random, "value vectors": result.value}
    tasks = [task for task in ("linear", "decode", "add", "extrapolate") if np.isfinite(getattr(result.model, task))]
    parts = [plots.Bars("Error, as a share of the mean's", tasks,
                        {name: [getattr(found, task) / getattr(result.mean, task) for task in tasks]
                         for name, found in kinds.items()}, "RMSE / RMSE of the mean"),
             plots.Bars("The largest of five", ["accuracy"], {name: [found.maximum] for name, found in kinds.items()}, "share")]
    return plots.panels(f"What vectors know of {result.numbers} numbers", *parts[:1 + bool(np.isfinite(result.model.maximum))])


def _network(inputs: int, hidden: int, seed: int) -> Parameters:
    return initialise(Layout(probing.shapes(inputs, 1, hidden)), inputs**-0.5, seed, np.float64)


def _descend(p: Parameters, gradient: Any, loss: Any, examples: int, passes: int, seed: int) -> None:
    """The training loss chooses: there is no third part of the numbers."""
    probing.descend(p, gradient, loss, examples, probing.Settings(1e-2, 20, passes, passes, 1.0, 0.0), seed, 1e-3)
