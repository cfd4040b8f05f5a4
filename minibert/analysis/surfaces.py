"""Loss surfaces: the plane through where fine-tuning began and where it ended, the way that it took, and layers put back.

::

    θ(a, b) = (1 − a − b)·θ₀ + a·θ₁ + b·θ₂         θ₀ the start, θ₁ and θ₂ two ends: θ₀ + a·(θ₁ − θ₀) + b·(θ₂ − θ₀)
    (a, b) of a point θ: the least squares of θ − θ₀ on the two directions d₁, d₂, which are not orthogonal
                         (d₁·d₁  d₁·d₂)(a)   (d₁·(θ − θ₀))
                         (d₁·d₂  d₂·d₂)(b) = (d₂·(θ − θ₀))
    rollback of a layer: its tensors are those of θ₀ again, all others stay those of θ₁

In this form the surface goes through θ₀, θ₁ and θ₂ to the last bit. *Width* of an optimum: how far a may go from 1, to both sides
on b = 0, before the training loss has risen by 0.1 nats, as a share of the way from θ₀. The control is the same training from
random weights.

Source: Hao et al. 2019, "Visualizing and Understanding the Effectiveness of BERT", arXiv:1908.05620, sections 3 to 6; directions
by Goodfellow et al. 2015, arXiv:1412.6544. Their code is not public; they have MNLI, RTE, SST-2 and MRPC, and roll back thirds of
twelve layers.

Verdict: *agrees* where tuning the pre-trained model ends at a lower training loss in a wider optimum than from random weights,
and putting back the first layer costs no more accuracy on the dev examples than putting back the last; *contradicts* where the
loss is higher, or the optimum narrower; else it *cannot show*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.parameters import Parameters
from minibert.world import task_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.analysis.tuning import Example
    from minibert.pretrained import Trained

CLAIM = "A pre-trained start ends in a lower, wider optimum than a random one, and lower layers change least (Hao et al. 2019)."
PAPER = UNVERIFIED
CONTROLS = ("random_loss", "random_width")
RISE = 0.1  # nats
LEAST = 20  # dev examples


class Surfaces(NamedTuple):
    """One task, tuned twice from a pre-trained model and once from random weights."""

    a: np.ndarray  # (n,) of the curves and of the surface
    curve: np.ndarray  # (n,) training loss on b = 0, nats
    random_curve: np.ndarray  # (n,) the same from random weights
    b: np.ndarray  # (m,)
    surface: np.ndarray  # (n, m) training loss
    path: np.ndarray  # (steps, 2) where (a, b) the training of θ₁ went
    loss: float  # training loss at the end
    random_loss: float
    width: float  # of the optimum
    random_width: float
    accuracy: float  # on the dev examples
    random_accuracy: float
    rolled_back: np.ndarray  # (L+1,) accuracy where the embeddings, or layer 1 to L, are those of the start again


def between(start: Parameters, one: Parameters, two: Parameters, a: float, b: float) -> Parameters:
    """θ(a, b)."""
    return Parameters(start.layout, (1 - a - b) * start.flat + a * one.flat + b * two.flat)


def surface(loss: Callable[[Parameters], float], start: Parameters, one: Parameters, two: Parameters, a: Sequence[float],
            b: Sequence[float]) -> np.ndarray:
    """``(len(a), len(b))``: the loss of every θ(a, b)."""
    return np.array([[loss(between(start, one, two, float(x), float(y))) for y in b] for x in a])


def project(points: np.ndarray, start: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Points ``(…, N)`` -> their (a, b) ``(…, 2)``. ValueError where both ends lie in one direction."""
    d = np.stack([one - start, two - start]).astype(float)
    products = d @ d.T
    if np.linalg.matrix_rank(products) < 2:
        raise ValueError("both ends lie in the same direction from the start, so there is no plane through them: tune with "
                         "another seed, or longer")
    return np.linalg.solve(products, d @ (points - start).reshape(-1, d.shape[1]).T).T.reshape(*points.shape[:-1], 2)


def rollback(start: Parameters, end: Parameters, layer: int) -> Parameters:
    """``end`` with the embeddings (0) or a layer (from 1) of ``start``."""
    name = f"bert.encoder.layer.{layer - 1}." if layer else "bert.embeddings."
    old = dict(start.items())
    if not any(tensor.startswith(name) for tensor in old):
        raise ValueError(f"there is no layer {layer}: this model has no tensors {name}…")
    mixed = Parameters(end.layout, end.flat.copy())
    for tensor, view in mixed.items():
        if tensor.startswith(name):
            view[...] = old[tensor]
    return mixed


def width(a: np.ndarray, losses: np.ndarray, rise: float = RISE) -> float:
    """How long the stretch of a around 1 is on which the loss is at most ``rise`` above that at 1, by straight lines between
    values; as far as they reach."""
    at = int(np.argmin(np.abs(a - 1)))
    high, ends = losses[at] + rise, []
    for step in (-1, 1):
        i = at
        while 0 <= i + step < len(a) and losses[i + step] <= high:
            i += step
        j = i + step
        ends.append(a[i] + (a[j] - a[i]) * (high - losses[i]) / (losses[j] - losses[i]) if 0 <= j < len(a) else a[i])
    return float(ends[1] - ends[0])


def measure(bert: Trained, train: Sequence[Example], dev: Sequence[Example], settings: tuning.Settings = tuning.DEFAULT,
            points: int = 9) -> Surfaces:
    """Of a task with classes; the loss is that of ``train`` without dropout. ``points``: along each side of the surface."""
    if len(dev) < LEAST:
        raise ValueError(f"there are {len(dev)} dev examples, and an accuracy says something from {LEAST} on: give more")
    model = tuning.model_of(bert.config, "class", 1 + max(example.target for example in train))
    start, fresh = (tuning.grown(model, one, settings.seed) for one in (bert, controls.random_weights(bert, settings.seed)))
    path: list[np.ndarray] = []
    every = max(1, settings.steps // 50)

    def look(step: int, p: Parameters) -> None:
        if step % every == 0 or step == settings.steps:
            path.append(p.flat.copy())

    def loss(p: Parameters) -> float:
        return tuning.predict(bert, model, p, train)[0]

    one = tuning.tune(bert, model, start, train, settings, look)
    two = tuning.tune(bert, model, start, train, settings._replace(seed=settings.seed + 1))
    scratch = tuning.tune(bert, model, fresh, train, settings)
    a, b = np.linspace(-1, 3, 4 * points - 3), np.linspace(-0.5, 1.5, points)
    curve, random_curve = (surface(loss, begin, end, end, a, [0.0])[:, 0] for begin, end in ((start, one), (fresh, scratch)))
    plane = surface(loss, start, one, two, b, b)
    layers = range(1 + len(set(bert.config.uses)))
    return Surfaces(a, curve, random_curve, b, plane, project(np.stack(path), start.flat, one.flat, two.flat), loss(one),
                    loss(scratch), width(a, curve), width(a, random_curve),
                    *(tuning.accuracy(bert, model, p, dev) for p in (one, scratch)),
                    np.array([tuning.accuracy(bert, model, rollback(start, one, layer), dev) for layer in layers]))


def of(subject: Subject) -> Surfaces:
    """Praise or not, of the generated language."""
    language, encode = subject.need_world().language, subject.bert.tokenizer.encode
    sizes = (200, 100) if subject.quick else (500, 300)
    train, dev = ([tuning.Example((encode(row["text"], max_length=subject.bert.max_length),), int(row["label"] == "positive"))
                   for row in task_files.rows(language, "sentiment", split, size, subject.seed)]
                  for split, size in zip(("train", "dev"), sizes))
    return measure(subject.bert, train, dev, tuning.Settings(150 if subject.quick else 300, seed=subject.seed),
                   5 if subject.quick else 9)


def lines(result: Surfaces) -> list[Line]:
    """Loss, width and accuracy beside those from random weights; what each layer's rollback leaves."""
    return [Line("training loss, nats", result.loss, result.random_loss),
            Line(f"width of the optimum, {RISE} nats above it", result.width, result.random_width),
            Line("accuracy", result.accuracy, result.random_accuracy),
            *(Line(f"accuracy, {f'layer {i}' if i else 'embeddings'} put back", float(x), result.accuracy)
              for i, x in enumerate(result.rolled_back))]


def verdict(result: Surfaces) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    if result.loss >= result.random_loss or result.width < result.random_width:
        return CONTRADICTS
    return AGREES if result.rolled_back[1] >= result.rolled_back[-1] and len(result.rolled_back) > 2 else CANNOT


def plot(result: Surfaces) -> Figure:
    """The curves along the way, and what is left where layers are put back."""
    names = ["none", "embeddings", *(f"layer {i}" for i in range(1, len(result.rolled_back)))]
    return plots.panels("Loss from the start (0) to the end (1) of fine-tuning",
                        plots.Lines("On the straight line", "a", result.a, {"pre-trained": result.curve, "random":
                                                                             result.random_curve}, "training loss (nats)"),
                        plots.Lines("Across, towards another seed's end", "b", result.b,
                                    {f"a = {result.b[i]:g}": result.surface[i] for i in _three(result.b)},
                                    "training loss (nats)"),
                        plots.Bars("Layers put back", names, {"accuracy": [result.accuracy, *result.rolled_back]}, "accuracy"))


def _three(b: np.ndarray) -> list[int]:
    return [int(np.argmin(np.abs(b - x))) for x in (0, 0.5, 1)]
