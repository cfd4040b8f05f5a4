"""Attention replaced by what knows nothing of the words: which tasks need to know *where* a model looks?

::

    uniform     a[q, k] = 1/n                      over the n tokens that are no padding: the mean of their values
    random      a[q, k] = u[q, k] / Σ_k u[q, k]    u drawn evenly from 0 to 1
    permuted    the weights of each row, dealt out anew among the tokens

Each stands in for all heads of all layers, or of one layer. Padding has no weight, and rows still add up to 1.

*Tasks.* A model is tuned with its own attention, and tested so and with another (*in the test*); or tuned and tested with another
(*in training and test*): what learns with it from the start can make up for it. Random numbers and orders are new in each step.
Permuted weights are a function of the model's own, so their gradient goes back through the order to queries and keys; into the
other two kinds none flows. One task has single texts, is it praise; the other has pairs, does the second follow from the first.
Skill is what accuracy is above that of the most frequent class, and what is lost of it is

::

    lost = (own − replaced)/(own − majority)
    its variance: that of the mean of (own_i − replaced_i) − lost·(own_i − majority) over the test examples i, divided by
    (own − majority)²

so standard errors know of the test examples, not of other trainings.

*Masked words*, beside that: their loss where attention is replaced in the test. A word is found by what stands around it.

Verdict: on replacing in training and test. *Agrees* where with each of the three the single texts lose less than a quarter of the
skill and the pairs more than a half, all by more than three standard errors; *contradicts* where one of these six is wrong by
more than three. Else it *cannot show*, as where a task has fewer than 100 test examples, where it is not learned even with the
model's own attention (skill of less than three standard errors: then nothing is trained without), or where there are no tasks.

Source: Vashishth et al. 2019, "Attention Interpretability Across NLP Tasks", arXiv:1909.11218, section 5, which has no public
code: the definition is the one above. The paper compares classification of single texts, which hardly notices, with pairs and
translation, which do. That the model is a pre-trained one, and that gradients go through the order, is our choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import masked, tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.masked import Change
from minibert.backend import Array, get_xp, to_numpy
from minibert.layers.dropout import Key, generator
from minibert.model import encoder, model
from minibert.model.encoder import Layer
from minibert.model.model import Inputs, Model, Output
from minibert.parameters import Tree
from minibert.text.forms import Text
from minibert.world import task_files
from minibert.world.tasks import INFERENCE, SENTIMENT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.analysis.tuning import Example
    from minibert.pretrained import Trained
    from minibert.world.language import Language

CLAIM = "Attention can be replaced where a single text is classified, and not where a pair is (Vashishth et al. 2019)."
PAPER = UNVERIFIED
CONTROLS = "its own attention; the most frequent class; of masked words no attention at all: every head switched off"
TASKS = MappingProxyType({"sentiment": "single texts", "nli": "pairs"})
LABELS = MappingProxyType({"sentiment": SENTIMENT, "nli": INFERENCE})
LITTLE, MUCH = 1 / 4, 1 / 2  # of the skill
LEAST = 100  # test examples
QUICK, FULL = (100, 600), (1000, 1000)  # steps of training, each on examples of its own; test examples
SITE = 1020  # of what is drawn in training, among the keys of a model


class Task(NamedTuple):
    """Accuracies on the test examples of a task."""

    own: float  # with the model's own attention
    majority: float
    tested: dict[str, float]  # by kind, replaced in the test
    trained: dict[str, float]  # by kind, in training and test; nothing where the model's own attention has no skill to lose
    lost: dict[str, tuple[float, float]]  # of these: the share of the skill, and its standard error
    examples: int

    @property
    def learned(self) -> bool:
        """Is there skill to lose? By three standard errors, of enough examples."""
        error = np.sqrt(self.own * (1 - self.own) / self.examples)
        return self.examples >= LEAST and self.own - self.majority > 3 * error


class Replaced(NamedTuple):
    """Accuracies of tasks; losses in nats a hidden token."""

    own: float  # with the model's own attention
    nothing: float  # the control: every head switched off
    all: dict[str, float]  # by kind, in all layers
    error: dict[str, float]  # the standard error of its difference from ``own``, from pairs of the same tokens
    single: dict[str, list[float]]  # by kind, in each layer alone
    tokens: int
    tasks: dict[str, Task]  # by the names of ``TASKS``; none of a language that has no tasks


def uniform(layer: int, weights: Array, real: Array, seed: int = 0) -> Array:
    """weights ``(B, A, T, T)``, real ``(B, T)`` bool -> all the same over what is real."""
    shares = real / real.sum(1, keepdims=True)
    return get_xp(weights).broadcast_to(shares[:, None, None].astype(weights.dtype), weights.shape)


def random(layer: int, weights: Array, real: Array, seed: int = 0) -> Array:
    """Drawn for a seed and a layer, whatever the weights were."""
    drawn = np.random.default_rng([seed, layer]).random(weights.shape) * to_numpy(real)[:, None, None]
    return get_xp(weights).asarray(drawn / drawn.sum(-1, keepdims=True), dtype=weights.dtype)


def permuted(layer: int, weights: Array, real: Array, seed: int = 0) -> Array:
    """Each row's weights in another order, padding where it was."""
    xp = get_xp(weights)
    return xp.take_along_axis(weights, xp.asarray(order(layer, weights.shape, to_numpy(real), seed)), -1)


def unpermuted(layer: int, weights: Array, real: Array, seed: int = 0) -> Array:
    """In their own order again: the inverse of ``permuted``, and so its transpose, which takes gradients back."""
    xp = get_xp(weights)
    return xp.take_along_axis(weights, xp.asarray(order(layer, weights.shape, to_numpy(real), seed).argsort(-1)), -1)


def order(layer: int, shape: tuple[int, ...], real: np.ndarray, seed: int) -> np.ndarray:
    """``(B, A, T, T)``: for each row, which of its weights stands where."""
    rng, found = np.random.default_rng([seed, layer]), np.broadcast_to(np.arange(shape[-1]), shape).copy()
    for b, mask in enumerate(real):
        found[b][..., mask] = rng.permuted(found[b][..., mask], axis=-1)
    return found


KINDS = MappingProxyType({"uniform": uniform, "random": random, "permuted": permuted})
BACK = MappingProxyType({permuted: unpermuted})  # the transposes of those that depend on the weights


def only(chosen: int, change: Change) -> Change:
    """The change in one layer, and no other."""
    return lambda layer, weights, real: change(layer, weights, real) if layer == chosen else weights


@dataclass(frozen=True)
class Blind(Model):
    """A model whose layers attend by one of ``KINDS``. ``back``: the transpose of a change that depends on the weights."""

    change: Callable[..., Array]
    back: Callable[..., Array] | None = None
    seed: int = 0  # of what is drawn where there is no key

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, **opened: Any) -> tuple[Output, model.Cache]:
        """See ``Model``. With a key other numbers are drawn in each forward pass, else always the same."""
        real = get_xp(x.ids).ones(x.ids.shape, bool) if x.attention_mask is None else x.attention_mask > 0
        seed = self.seed if key is None else int(generator(key.at(SITE)).integers(2**31))
        change, back = (one and partial(one, real=real, seed=seed) for one in (self.change, self.back))

        def layers(p: Tree, g: Tree) -> list[Layer]:
            return changed(encoder.stack(p, g, self.config), change, back)

        return super().forward(x, p, key=key, layers=layers, **opened)


def changed(layers: Sequence[Layer], change: Callable[[int, Array], Array], back: Callable[[int, Array], Array] | None
            ) -> list[Layer]:
    """The same layers with ``change(layer, weights)`` in the place of their attention, for training.

    A block is run twice, as in ``masked.changed``: w = weights(x), then y = block(x, change(w)). What comes back to the changed
    weights, ``back`` gives to w, and the first run takes it to what w was made from::

        dx = ∂y/∂x at given weights + ∂w/∂x at back(dchanged)
    """
    def of(number: int, module: ModuleType) -> Any:
        def forward(x: Array, p: Any, config: Any, mask: Any = None, key: Any = None, head_mask: Any = None,
                    override: Any = None) -> tuple:
            (_, weights), first = module.forward(x, p, config, mask, key, None, override)
            out, second = module.forward(x, p, config, mask, key, head_mask, change(number, weights))
            return out, (first if back else None, second)

        def backward(dy: Array, cache: Any, p: Any, g: Any, dweights: Array | None = None) -> Any:
            first, second = cache
            d = module.backward(dy, second, p, g, dweights)
            if back is None:
                return d
            own = module.backward(get_xp(dy).zeros_like(dy), first, p, g, back(number, d.override))
            return d._replace(dx=d.dx + own.dx, override=own.override)

        return SimpleNamespace(forward=forward, backward=backward)

    return [(of(number, module), p, g) for number, (module, p, g) in enumerate(layers)]


def lost(own: np.ndarray, other: np.ndarray, majority: float) -> tuple[float, float]:
    """Which of the same ``(N,)`` examples are right -> the share of the skill that is lost, and its standard error."""
    skill = own.mean() - majority
    if skill <= 0:
        return np.nan, np.nan
    share = (own.mean() - other.mean()) / skill
    return float(share), float(((1.0 * own - other) - share * (own - majority)).std() / np.sqrt(len(own)) / skill)


def task(bert: Trained, train: Sequence[Example], test: Sequence[Example], settings: tuning.Settings = tuning.DEFAULT) -> Task:
    """A task with classes, tuned with the model's own attention and with each kind."""
    alone = tuning.model_of(bert.config, "class", 1 + max(example.target for example in (*train, *test)))
    start = tuning.grown(alone, bert, settings.seed)
    kinds = {name: Blind(alone.config, alone.heads, alone.terms, kind, BACK.get(kind), settings.seed)
             for name, kind in KINDS.items()}

    def right(judge: Model, p: Any) -> np.ndarray:
        return np.array([z.argmax() == e.target for z, e in zip(tuning.predict(bert, judge, p, test)[1], test)])

    tuned = tuning.tune(bert, alone, start, train, settings)
    own, majority = right(alone, tuned), np.bincount([example.target for example in test]).max() / len(test)
    found = Task(float(own.mean()), float(majority), {name: float(right(kind, tuned).mean()) for name, kind in kinds.items()},
                 {}, {}, len(test))
    if not found.learned:
        return found
    trained = {name: right(kind, tuning.tune(bert, kind, start, train, settings)) for name, kind in kinds.items()}
    return found._replace(trained={name: float(x.mean()) for name, x in trained.items()},
                          lost={name: lost(own, x, majority) for name, x in trained.items()})


def measure(bert: Trained, texts: Sequence[Text], seed: int = 0,
            tasks: Mapping[str, tuple[Sequence[Example], Sequence[Example]]] = MappingProxyType({}),
            settings: tuning.Settings = tuning.DEFAULT) -> Replaced:
    """The loss of hidden tokens, and the accuracies of tasks, of examples to train on and of the test, under each kind."""
    corpus = masked.batches(bert, texts, seed=seed)
    own, layers = masked.losses(bert, corpus), range(bert.config.num_hidden_layers)
    whole, error, single = {}, {}, {}
    for name, kind in KINDS.items():
        change = partial(kind, seed=seed)
        found = masked.losses(bert, corpus, change=change)
        whole[name], error[name] = float(found.mean()), float((found - own).std() / np.sqrt(len(own)))
        single[name] = [float(masked.losses(bert, corpus, change=only(layer, change)).mean()) for layer in layers]
    nothing = masked.losses(bert, corpus, np.zeros((len(layers), bert.config.num_attention_heads)))
    return Replaced(float(own.mean()), float(nothing.mean()), whole, error, single, len(own),
                    {name: task(bert, *parts, settings) for name, parts in tasks.items()})


def examples(bert: Trained, language: Language, name: str, train: int, test: int, seed: int = 0
             ) -> tuple[list[Example], list[Example]]:
    """Of one of ``TASKS``, to train on and for the test; none of the second is among the first."""
    rows = task_files.rows(language, name, "train", train, seed)
    parts = rows, task_files.rows(language, name, "test", test, seed, made=set(map(json.dumps, rows)))

    def example(row: Mapping[str, str]) -> Example:
        *texts, label = row.values()
        return tuning.Example((bert.tokenizer.encode(*texts, max_length=bert.max_length),), LABELS[name].index(label))

    first, second = ([example(row) for row in part] for part in parts)
    return first, second


def of(subject: Subject) -> Replaced:
    """All sentences, as texts; of the generated language its tasks as well."""
    steps, test = QUICK if subject.quick else FULL
    settings = tuning.Settings(steps, 16, 1e-3, subject.seed)
    tasks = {} if subject.world is None else {
        name: examples(subject.bert, subject.world.language, name, steps * settings.batch, test, subject.seed) for name in TASKS}
    return measure(subject.bert, subject.texts, subject.seed, tasks, settings)


def lines(result: Replaced) -> list[Line]:
    """Accuracies of each task; of masked words the loss under each kind, and of the layer where uniform attention costs most."""
    worst = int(np.argmax(result.single["uniform"]))
    return [*(line for name, one in result.tasks.items() for line in _of_task(f"{name} ({TASKS[name]})", one)),
            Line("loss with its own attention, nats", result.own, result.nothing),
            *(Line(f"{name} in all layers", x, result.nothing) for name, x in result.all.items()),
            Line("their standard error, at most", max(result.error.values())),
            Line(f"uniform in layer {worst + 1} alone, the worst", result.single["uniform"][worst], result.nothing),
            *([] if result.tasks else [Line("tasks", "left out: they are of the generated language")])]


def _of_task(name: str, one: Task) -> list[Line]:
    accuracies = [Line(f"{name}, its own attention", one.own, one.majority),
                  *(Line(f"{name}, {kind} in {where}", x, one.own) for where, found in (
                      ("the test", one.tested), ("training and test", one.trained)) for kind, x in found.items())]
    if not one.learned:
        return [*accuracies, Line(f"{name}, in training and test", "not asked: no skill to lose, or too few test examples")]
    return [*accuracies, *(Line(f"{name}, skill lost by {kind} in training and test", x) for kind, (x, _) in one.lost.items()),
            Line(f"{name}, standard error of these, at most", max(error for _, error in one.lost.values()))]


def verdict(result: Replaced) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    if result.tasks.keys() != TASKS.keys() or not all(one.learned for one in result.tasks.values()):
        return CANNOT
    one, two = (result.tasks[name].lost.values() for name in TASKS)
    margins = [*((LITTLE - share, error) for share, error in one), *((share - MUCH, error) for share, error in two)]
    if any(margin < -3 * error for margin, error in margins):
        return CONTRADICTS
    return AGREES if all(margin > 3 * error for margin, error in margins) else CANNOT


def plot(result: Replaced) -> Figure:
    """The accuracies of tasks, and the loss with all layers replaced and with each alone."""
    layers = range(1, 1 + len(next(iter(result.single.values()))))
    levels = {"its own": [result.own] * len(layers)}
    return plots.panels(f"Attention that knows nothing ({result.tokens:,} hidden tokens)",
                        *(plots.Bars(f"{name}, {TASKS[name]}", ["its own", *KINDS, "majority"],
                                     {where: [one.own, *found.values(), one.majority] for where, found in (
                                         ("in the test", one.tested), ("in training and test", one.trained)) if found},
                                     "accuracy") for name, one in result.tasks.items()),
                        plots.Bars("In all layers", ["its own", *result.all, "none"],
                                   {"loss": [result.own, *result.all.values(), result.nothing]}, "nats a hidden token"),
                        plots.Lines("In one layer", "layer", layers, {**result.single, **levels}, "nats a hidden token"))
