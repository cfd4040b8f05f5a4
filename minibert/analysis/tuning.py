"""Fine-tuning in small, for analyses that train: a head on a model, labelled examples, a few hundred steps of the engine.

Of the pre-trained model nothing changes: what is tuned is a copy. The learning rate rises for a tenth of the steps and falls to
zero over the rest, and dropout is that of the configuration, as in ``finetuning``, which has files, scores and folders besides.
Source: Devlin et al. 2018, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from minibert.backend import get_xp
from minibert.config import BertConfig
from minibert.finetuning import models
from minibert.model.model import Model
from minibert.parameters import Parameters, initialise
from minibert.tasks.batches import Batch, groups
from minibert.training import adamw, engine
from minibert.workers import Workers

if TYPE_CHECKING:
    from minibert.pretrained import Trained
    from minibert.text import Encoding

Kind = Literal["class", "choice", "span"]


class Example(NamedTuple):
    """``texts``: one, or one for each choice. ``target``: the class, the number of the right choice, or (first, last) token."""

    texts: tuple[Encoding, ...]
    target: Any


class Settings(NamedTuple):
    """How a copy is tuned."""

    steps: int = 300
    batch: int = 16
    learning_rate: float = 3e-4
    seed: int = 0


DEFAULT = Settings()


def model_of(config: BertConfig, kind: Kind, outputs: int = 2) -> Model:
    """The body with a head: for ``outputs`` classes, for choices, or for the first and last token of an answer."""
    return models.of(config, "sequence" if kind == "class" else kind, outputs)


def grown(model: Model, bert: Trained, seed: int = 0) -> Parameters:
    """Parameters of ``model``: those of ``bert`` as far as it has them, fresh ones for the rest."""
    xp, known = get_xp(bert.parameters.flat), dict(bert.parameters.items())
    fresh = initialise(model.layout(), model.config.initializer_range, seed, np.dtype(str(bert.parameters.flat.dtype))).to(xp)
    for name, view in fresh.items():
        if name in known:
            view[...] = known[name]
    return fresh


def batch(bert: Trained, examples: Sequence[Example], places: Sequence[int] = ()) -> Batch:
    """A rectangle of examples, with their targets."""
    ids, types, real = bert.tokenizer.batch([text for example in examples for text in example.texts])
    targets = {models.TERM: np.array([example.target for example in examples])}
    return Batch(ids, types, None if real.all() else real.astype(bool), targets, None, len(examples[0].texts), places)


def tune(bert: Trained, model: Model, start: Parameters, examples: Sequence[Example], settings: Settings = DEFAULT,
         look: Callable[[int, Parameters], None] | None = None) -> Parameters:
    """``start`` after so many steps, in a copy. ``look(step, parameters)`` sees them after each step, the first time before."""
    return descend(model, start, len(examples), lambda numbers, _: batch(bert, [examples[i] for i in numbers]), settings, look)


def descend(model: Model, start: Parameters, examples: int, read: Callable[[np.ndarray, np.random.Generator], Batch],
            settings: Settings = DEFAULT, look: Callable[[int, Parameters], None] | None = None) -> Parameters:
    """The same, where ``read(numbers of examples, random)`` makes what a step reads."""
    p, rng, order = Parameters(start.layout, start.flat.copy()), np.random.default_rng([settings.seed, 0x70]), np.empty(0, int)
    with Workers() as workers:
        going = engine.Engine(model, p, workers, seed=settings.seed, lanes=1)
        for step in range(1, settings.steps + 1):
            if look is not None:
                look(step - 1, p)
            while len(order) < settings.batch:
                order = np.concatenate([order, rng.permutation(examples)])
            numbers, order = np.split(order, [settings.batch])
            lr = adamw.learning_rate(step, settings.learning_rate, settings.steps // 10, settings.steps)
            going.train([read(numbers, rng)], lr)
    if look is not None:
        look(settings.steps, p)
    return p


def predict(bert: Trained, model: Model, p: Parameters, examples: Sequence[Example]) -> tuple[float, list[np.ndarray]]:
    """The mean loss, nats, and of each example its logits ``(C,)``, or ``(2, T)`` for spans; nothing is dropped."""
    widths = [max(map(len, example.texts)) for example in examples]
    limit = engine.tokens_at_a_time(get_xp(p.flat))
    cut = [batch(bert, [examples[i] for i in group], group) for group in groups(widths, limit, len(examples[0].texts))]
    with Workers() as workers:
        loss, logits = engine.predict(model, p, cut, workers)
    return loss, [z[..., :width] if z.ndim == 2 else z for z, width in zip(logits, widths)]


def accuracy(bert: Trained, model: Model, p: Parameters, examples: Sequence[Example]) -> float:
    """The share of examples whose largest logit is that of the target; of spans, where both ends are right."""
    logits = predict(bert, model, p, examples)[1]
    return float(np.mean([np.array_equal(z.argmax(-1), example.target) for z, example in zip(logits, examples)]))
