"""Which token is this? How much of a hidden vector is its own token's, and whether it still tells which token that was.

::

    hidden token attribution     c(i, j) = ‖∂hᵢ/∂xⱼ‖ / Σₖ ‖∂hᵢ/∂xₖ‖        the whole Jacobian (H, H), Frobenius norm
    identified                   xᵢ is the nearest of its sentence's x, by cosine, to g(hᵢ)

x are the states that enter the first layer, h those behind a layer, g a map that is learned on other sentences: none at all
(*naive*), a linear one (*linear*, least squares with a ridge), or one with a hidden layer (*MLP*). Rows of c add up to 1. Chance
is 1/T for either, T tokens; the control is the same model with random weights, where nothing has been learned and tokens mix by
the architecture alone.

Source: Brunner et al. 2020, "On Identifiability in Transformers", arXiv:1908.04211, sections 4 and 5. There is no official code,
so distances and maps are stated here. The gradient of Σ hᵢ, which some ports take, lets the numbers of h cancel each other; the
whole Jacobian does not.

Verdict: *agrees* where the own token's share falls from the first layer to the last and a linear map identifies at least nine
tokens of ten behind the first layer, fewer behind the last; *contradicts* where the share rises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, inside, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.collecting import collect
from minibert.backend import get_xp, to_numpy
from minibert.layers import squared_error
from minibert.model import bert as body
from minibert.model import embeddings
from minibert.parameters import NOTHING, Layout, Tree, initialise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Tokens mix from layer to layer, and can be told nevertheless, less well the higher the layer (Brunner et al. 2020)."
PAPER = UNVERIFIED
CONTROLS = ("own_random", "chance")
LEAST = 20  # test sentences
ROWS = 8192  # tokens of one batch of Jacobians, which bounds its memory


class Identifiability(NamedTuple):
    """By layer, from the state that enters the first: means over tokens."""

    own: np.ndarray  # (L+1,) the share c(i, i) of a token in its own vector
    own_random: np.ndarray  # (L+1,) the same with random weights
    largest: np.ndarray  # (L+1,) how often the own share is the largest
    naive: np.ndarray  # (L+1,) share of tokens that are identified
    linear: np.ndarray  # (L+1,)
    mlp: np.ndarray  # (L+1,)
    chance: float  # the mean of 1/T
    texts: int  # of the attribution
    sentences: int  # of the test


def attribution(bert: Trained, text: str, positions: Sequence[int] | None = None) -> np.ndarray:
    """Hidden token attribution ``(L+1, n, T)`` of the tokens at ``positions``, by default all: rows add up to 1."""
    question = inside.ask(bert, text)
    positions = range(len(question.ids)) if positions is None else positions
    return np.stack([_shares(bert, question, i) for i in positions], 1)


def _shares(bert: Trained, question: inside.Question, i: int) -> np.ndarray:
    """``(L+1, T)`` of one token: H copies of the text, each asked for the gradient of one number of it."""
    xp, config, p = get_xp(bert.parameters.flat), bert.config, bert.parameters["bert"]
    T, H = len(question.ids), config.hidden_size
    squares = np.zeros((config.num_hidden_layers + 1, T))
    for first in range(0, H, B := max(1, ROWS // T)):
        numbers = range(first, min(first + B, H))
        ids, types = (xp.asarray(np.tile(x, (len(numbers), 1))) for x in (question.ids, question.token_type_ids))
        places = embeddings.position_ids(np.tile(question.ids, (len(numbers), 1)), None, config)
        places = None if places is None else xp.asarray(places)
        x, _ = embeddings.forward(ids, types, p["embeddings"], config, position_ids=places)
        out, cache = body.forward(ids, types, None, p, config, hidden={0: x}, position_ids=places)
        upstream = xp.zeros_like(x)
        upstream[xp.arange(len(numbers)), i, xp.asarray(list(numbers))] = 1
        for layer in range(len(squares)):
            given: list[Any] = [None] * len(out.hidden_states)
            given[layer] = upstream
            dx = to_numpy(body.backward(body.Output(hidden_states=given), cache, p, NOTHING).hidden[0]).astype(float)
            squares[layer] += (dx * dx).sum((0, 2))
    norms = np.sqrt(squares)
    return norms / norms.sum(-1, keepdims=True)


def identified(found: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Of T tokens, whether ``found`` ``(T, H)`` is nearest to the token's own of ``inputs`` ``(T, H)``, by cosine."""
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30) for x in (found, inputs))
    return (a @ b.T).argmax(1) == np.arange(len(a))


def least_squares(x: np.ndarray, y: np.ndarray, ridge: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """W ``(H, K)`` and b ``(K,)`` with y ≈ x·W + b, and a ridge of so many mean variances of x."""
    mean, target = x.mean(0), y.mean(0)
    around = (x - mean).astype(float)
    covariance = around.T @ around
    W = np.linalg.solve(covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance)),
                        around.T @ (y - target))
    return W, target - mean @ W


def measure(bert: Trained, texts: Sequence[Sequence[str]], attributed: int = 20, tokens: int = 4, hidden: int = 0,
            passes: int = 20, seed: int = 0) -> Identifiability:
    """``texts``: words. ``attributed``: of so many texts, ``tokens`` tokens each, the attribution is taken. ``hidden``: units of
    the MLP, by default as many as a vector has numbers; ``passes``: over its training sentences."""
    rng = np.random.default_rng([seed, 0x1D])
    whole = [list(words) for words in texts if len(words) > 1]
    test = len(whole) // 5
    if test < LEAST:
        raise ValueError(f"{len(whole)} sentences of two words or more leave {test} for a test, which needs {LEAST}: give at "
                         f"least {5 * LEAST}")
    chosen = [whole[i] for i in rng.permutation(len(whole))[:attributed]]
    own, largest = _own(bert, chosen, tokens, seed)
    own_random, _ = _own(controls.random_weights(bert, seed), chosen, tokens, seed)
    states = [units.states for units in sorted(collect(bert, whole, states="first"), key=lambda units: units.index)]
    order = rng.permutation(len(states))
    parts = [[states[i] for i in some] for some in (order[2 * test:], order[test:2 * test], order[:test])]
    rates = np.array([_rates(*([x[[layer, 0]] for x in part] for part in parts), hidden or bert.config.hidden_size, passes, seed)
                      for layer in range(len(own))])
    return Identifiability(own, own_random, largest, *rates.T, float(np.mean([1 / x.shape[1] for x in parts[2]])), len(chosen),
                           test)


def _own(bert: Trained, texts: Sequence[Sequence[str]], tokens: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean share of a token in its own vector ``(L+1,)``, and how often it is the largest."""
    rng, found = np.random.default_rng([seed, 0x0E]), []
    for words in texts:
        text = " ".join(words)
        real = np.flatnonzero(~np.array(inside.ask(bert, text).added))
        places = rng.permutation(real)[:tokens]
        shares = attribution(bert, text, places)  # (L+1, n, T)
        found.append(np.stack([shares[:, np.arange(len(places)), places], shares.argmax(-1) == places]))
    return tuple(np.concatenate(found, -1).mean(-1))


def _rates(train: list[np.ndarray], dev: list[np.ndarray], test: list[np.ndarray], hidden: int, passes: int,
           seed: int) -> tuple[float, float, float]:
    """Sentences ``(2, T, H)``, states and what entered the first layer -> the shares that three maps identify."""
    (x, y), (dev_x, dev_y) = (np.concatenate(part, 1) for part in (train, dev))
    W, b = least_squares(x, y)
    mean, scale, size = x.mean(0), x.std(0) + 1e-6, y.std()
    p = initialise(Layout(probing.shapes(x.shape[1], y.shape[1], hidden)), x.shape[1] ** -0.5, seed, x.dtype)
    x, dev_x = (x - mean) / scale, (dev_x - mean) / scale

    def loss(x: np.ndarray, y: np.ndarray, p: Tree) -> tuple[Any, Any]:
        found, cache = probing.forward(x, p)
        return cache, squared_error.forward(found, y / size)

    def gradient(numbers: np.ndarray, p: Tree, g: Tree) -> None:
        cache, (_, error) = loss(x[numbers], y[numbers], p)
        probing.backward(squared_error.backward(1.0, error), cache, p, g)

    settings = probing.Settings(passes=passes)
    probing.descend(p, gradient, lambda p: float(loss(dev_x, dev_y, p)[1][0]), len(x), settings, seed)
    maps = (lambda h: h, lambda h: h @ W + b, lambda h: probing.forward((h - mean) / scale, p.tree)[0])
    return tuple(float(np.concatenate([identified(g(h), e) for h, e in test]).mean()) for g in maps)


def of(subject: Subject) -> Identifiability:
    """Of the subject's sentences."""
    few = subject.quick
    return measure(subject.bert, subject.texts[:200 if few else 1000], 5 if few else 20, 2 if few else 4, seed=subject.seed,
                   passes=5 if few else 20)


def lines(result: Identifiability) -> list[Line]:
    """Own share and rates of the first and the last layer."""
    last = len(result.own) - 1
    return [Line(f"{name}, {where} layer", float(values[i]), control)
            for i, where in ((1, "first"), (last, "last"))
            for name, values, control in (("own token's share", result.own, float(result.own_random[i])),
                                          ("own share is the largest", result.largest, result.chance),
                                          ("identified as it is", result.naive, result.chance),
                                          ("identified by a linear map", result.linear, result.chance),
                                          ("identified by an MLP", result.mlp, result.chance))]


def verdict(result: Identifiability) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    if result.own[-1] > result.own[1]:
        return CONTRADICTS
    best = result.linear
    return AGREES if len(best) > 2 and result.own[-1] < result.own[1] and best[1] >= 0.9 and best[-1] < best[1] else CANNOT


def plot(result: Identifiability) -> Figure:
    """How much of a vector is its own token's, and how often it tells which that was."""
    layers = range(len(result.own))
    return plots.panels(f"Which token is this? ({result.sentences:,} sentences)",
                        plots.Lines("The own token's share of a vector", "layer (0: embeddings)", layers,
                                    {"model": result.own, "random weights": result.own_random}, "attribution"),
                        plots.Lines("Tokens that are identified", "layer (0: embeddings)", layers,
                                    {"as they are": result.naive, "linear": result.linear, "MLP": result.mlp}, "share"))
