"""Adversarial training: the word table E is moved to where the model does worst nearby, and the model learns there.

::

    fgm        δ = ε·g/‖g‖      g = ∂loss/∂E over the whole table; the step is taken with the gradient at E plus that at E + δ
    fgm-only   the same δ       the step is taken with the gradient at E + δ alone
    virtual    δ from no label: it is where the guesses change most. The step is taken with the gradient of the loss at E plus
               that of KL(guesses at E ‖ guesses at E + δ), both averaged over as many targets

For ``virtual`` δ comes from one step of the power method: g is the gradient of the divergence at E + ξ·d, with d of length 1 in a
random direction. (At E itself the divergence is smallest, and its gradient zero.) The same words are dropped at E and at E + δ.

Where a decoder is tied to E, it is moved with it. Afterwards E is what it was, bit for bit: it is put back from a copy, for
E + δ - δ is not E in floating point.

Source: Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification" (arXiv 1605.07725), which moves
each text's own vectors; δ over the whole table, and ``fgm-only``, are bert4keras's (``task_iflytek_adversarial_training.py``,
``task_sentiment_virtual_adversarial_training.py``, with ξ = 10), ``fgm`` is the usual form in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from minibert.backend import Array, get_xp
from minibert.data.randomness import NOISE, generator
from minibert.layers import cross_entropy, kl_divergence, softmax
from minibert.model.model import Term
from minibert.parameters import Parameters, Slot
from minibert.pretrained.folder import TABLE
from minibert.training.course import Course
from minibert.training.engine import PIECE

XI = 10.0
TINY = 1e-8  # beside the length that is divided by


def fgm(engine: Any, batches: Sequence[Any], known: Any, size: float) -> Any:
    """The gradient at E, and that at E + δ added to it. Returns the figures at E."""
    figures = engine.add(batches, known)
    with moved(engine.parameters, _slot(engine), _scaled(engine.gradient(_slot(engine)), size)):
        engine.add(batches, known)
    return figures


def fgm_only(engine: Any, batches: Sequence[Any], known: Any, size: float) -> Any:
    """The gradient at E + δ. Returns the figures at E."""
    figures = engine.add(batches, known)
    delta = _scaled(engine.gradient(_slot(engine)), size)
    engine.drop_gradients()
    with moved(engine.parameters, _slot(engine), delta):
        engine.add(batches, known)
    return figures


def virtual(engine: Any, batches: Sequence[Any], known: Any, size: float) -> Any:
    """The gradient at E, and that of the divergence at E + δ. Returns the figures at E, without the divergence."""
    model, slot, xp = divergence(engine.model), _slot(engine), engine.xp
    guesses = engine.guesses(batches, known, [term.reads for term in model.terms])
    parts = [_asked(batch, logits, model.terms) for batch, logits in zip(batches, guesses)]
    known_guesses = known._replace(counts=known.targets)

    noise = generator(engine.seed, NOISE, engine.step).standard_normal(slot.stop - slot.start)
    noise = xp.asarray(noise.astype(engine.parameters.flat.dtype))
    with moved(engine.parameters, slot, _scaled(noise, XI)):
        engine.add(parts, known_guesses, model)
    delta = _scaled(engine.gradient(slot), size)
    engine.drop_gradients()
    figures = engine.add(batches, known)
    engine.gradient(slot)
    with moved(engine.parameters, slot, delta):
        engine.add(parts, known_guesses, model)
    return figures


#: By name: how, and how far by default.
ADVERSARIES: dict[str, tuple[Callable[..., Any], float]] = {
    "fgm": (fgm, 0.5), "fgm-only": (fgm_only, 0.5), "virtual": (virtual, 1.0)}


def of(course: Course, model: Any) -> Callable[..., Any] | None:
    """How a course makes the gradient of a step, where not as usual. ValueError where this model cannot learn so."""
    if course.adversarial is None:
        return None
    adversary, size = ADVERSARIES[course.adversarial]
    if adversary is virtual:
        divergence(model)
    return partial(adversary, size=course.adversarial_norm or size)


def divergence(model: Any) -> Any:
    """The model with divergences in place of its losses. ValueError where one of them is not over classes."""
    if any(term.loss is not cross_entropy for term in model.terms):
        names = ", ".join(term.name for term in model.terms if term.loss is not cross_entropy)
        raise ValueError(f"--adversarial virtual compares guesses among classes, and {names} of this model is another kind of "
                         "loss: take fgm")
    return replace(model, terms=[Term(term.name, term.reads, kl_divergence, term.weight, {"logits": "x"})
                                 for term in model.terms])


@contextmanager
def moved(parameters: Parameters, slot: Slot, delta: Array) -> Iterator[None]:
    """A tensor is at another place for a while, and then back to the last bit."""
    tensor = parameters.flat[slot.start:slot.stop]
    kept = tensor.copy()
    tensor += delta
    try:
        yield
    finally:
        tensor[...] = kept


def _slot(engine: Any) -> Slot:
    return engine.parameters.layout.slots[TABLE]


def _scaled(direction: Array, size: float) -> Array:
    """In the same direction, of length ``size``; as many numbers at a time as the optimiser has, so that sums have one order."""
    xp = get_xp(direction)
    squares = sum(xp.dot(part, part).astype("float64") for part in (
        direction[start:start + PIECE] for start in range(0, len(direction), PIECE)))
    return direction * (size / (xp.sqrt(squares) + TINY)).astype(direction.dtype)


def _asked(batch: Any, logits: Any, terms: Sequence[Term]) -> Any:
    """The batch, with what was guessed as its targets: probabilities, zeros where nothing was asked."""
    targets = {}
    for term in terms:
        if term.name in batch.targets:
            guesses, _ = softmax.forward(logits[term.reads])
            there = get_xp(guesses).asarray(batch.targets[term.name] != cross_entropy.IGNORE)
            targets[term.name] = guesses * there.reshape(guesses.shape[:-1])[..., None]
    return batch._replace(targets=targets)
