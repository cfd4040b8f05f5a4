"""Everything in minibert that has a backward, with the arguments to check it at.

An entry is a function that makes the arguments of ``gradcheck.check`` from a random generator. They are chosen so
that a wrong backward has nowhere to hide: another size for every axis, at least three tokens, padding, repeated ids,
random γ and β.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from gradcheck.checker import Pair, Result, check, ucurve
from minibert.layers import (
    add_norm,
    attention,
    attention_probs,
    cross_entropy,
    dropout,
    embedding,
    gelu,
    layernorm,
    linear,
    softmax,
)
from minibert.parameters import NOTHING

B, T, H, A, I, V = 2, 5, 6, 3, 7, 11  # A divides H, as it must; otherwise all differ


@dataclass(frozen=True)
class Case:
    """One entry of the suite: ``make(rng)`` gives the arguments of ``check``."""

    name: str
    module: ModuleType
    make: Callable[[np.random.Generator], dict[str, Any]]

    @property
    def names(self) -> set[str]:
        """What it can be called by: its own name, and its module's."""
        return {self.name, _short(self.module)}

    def arguments(self, seed: int = 0) -> dict[str, Any]:
        """The keyword arguments of ``check``, made from a seed."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        return {"layer": self.module, "name": self.name, "nothing": NOTHING, "seed": seed, **self.make(rng)}

    def check(self, seed: int = 0) -> Result:
        """Check it; raises ``GradientError`` where it fails."""
        return check(**self.arguments(seed))

    def ucurve(self, seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
        """Error against step size, see ``gradcheck.ucurve``."""
        return ucurve(**self.arguments(seed), **options)


CASES: dict[str, Case] = {}


def case(module: ModuleType, variant: str = "") -> Callable:
    """Enter a function into the suite, under its module's name and a variant."""

    def enter(make: Callable) -> Callable:
        name = f"{_short(module)}-{variant}" if variant else _short(module)
        if name in CASES:
            raise ValueError(f"the suite has two entries called {name!r}; give one of them another variant")
        CASES[name] = Case(name, module, make)
        return make

    return enter


def select(names: list[str]) -> list[Case]:
    """The entries of these names, all of them if there are no names; a module's name stands for all its entries.

    Raises KeyError, with the names that there are, for one that is unknown.
    """
    for name in names:
        if not any(name in c.names for c in CASES.values()):
            raise KeyError(f"no entry {name!r} in the suite; there are: {', '.join(CASES)}")
    return [c for c in CASES.values() if not names or c.names & set(names)]


def _short(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def padding(lengths: tuple[int, ...], width: int = T) -> np.ndarray:
    """A mask (B, T): 1 for the first tokens of each row, 0 for padding."""
    return (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)


def causal(lengths: tuple[int, ...]) -> np.ndarray:
    """A mask (B, T, T): every token sees itself and the real ones before it."""
    return np.tril(np.ones((T, T), np.int64)) * padding(lengths)[:, None, :]


def affine(rng: np.random.Generator, *shape: int) -> dict[str, np.ndarray]:
    """Random weight and bias: (out, in) for a linear layer, (H,) for γ and β."""
    return {"weight": rng.standard_normal(shape), "bias": rng.standard_normal(shape[0])}


# --- layers ----------------------------------------------------------------------------------------------------------


@case(linear)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, I, H)}


@case(embedding)
def _(rng: np.random.Generator) -> dict:
    ids = np.array([[3, 1, 3, 0, 10], [3, 7, 1, 1, 3]])  # 3 and 1 in both rows, most of the table never
    return {"inputs": {"ids": ids}, "params": {"weight": rng.standard_normal((V, H))}}


@case(layernorm)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 + 2 * rng.standard_normal((B, T, H))}, "params": affine(rng, H)}


@case(softmax)
def _(rng: np.random.Generator) -> dict:
    mask = softmax.additive_mask(padding((3, 5)), np.float32)  # (B, 1, 1, T)
    return {"inputs": {"x": 2 * rng.standard_normal((B, A, 4, T))}, "options": {"mask": mask}}


@case(softmax, "all-padding")
def _(rng: np.random.Generator) -> dict:
    mask = softmax.additive_mask(padding((0, 4)), np.float32)
    x = 2 * rng.standard_normal((B, A, 4, T))
    # x - 10000 keeps twelve digits of x at most: a larger step lets them count
    return {"inputs": {"x": x}, "options": {"mask": mask}, "step": 3e-4}


@case(dropout)
def _(rng: np.random.Generator) -> dict:
    options = {"rate": 0.3, "key": dropout.Key(seed=int(rng.integers(1000)), step=3)}
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "options": options}


@case(dropout, "off")
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "options": {"rate": 0.3, "key": None}}


@case(gelu)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 * rng.standard_normal((B, T, I))}}


@case(gelu, "tanh")
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 * rng.standard_normal((B, T, I))}, "options": {"form": "gelu_new"}}


@case(add_norm)
def _(rng: np.random.Generator) -> dict:
    inputs = {"x": rng.standard_normal((B, T, H)), "residual": rng.standard_normal((B, T, H))}
    return {"inputs": inputs, "params": affine(rng, H), "options": {"rate": 0.3, "key": dropout.Key(5)}}


@case(cross_entropy)
def _(rng: np.random.Generator) -> dict:
    labels = np.array([4, cross_entropy.IGNORE, 10, 4, 0, cross_entropy.IGNORE, 7])
    return {"inputs": {"x": 2 * rng.standard_normal((7, V)), "labels": labels}}


@case(cross_entropy, "count")
def _(rng: np.random.Generator) -> dict:
    labels = np.array([4, cross_entropy.IGNORE, 10])  # one part of a batch in which 9 labels count
    return {"inputs": {"x": 2 * rng.standard_normal((3, V)), "labels": labels}, "options": {"count": 9}}


@case(attention_probs)
def _(rng: np.random.Generator) -> dict:
    options = {"mask": softmax.additive_mask(padding((3, 5)), np.float32), "rate": 0.3, "key": dropout.Key(7)}
    return {"inputs": {"scores": 2 * rng.standard_normal((B, A, T, T))}, "options": options}


def _attention(rng: np.random.Generator, mask: np.ndarray, **gates: np.ndarray) -> dict:
    """Attention over (B, T, H) with both its outputs; ``gates`` are floating arrays that forward takes by name."""
    fixed = {"heads": A, "mask": softmax.additive_mask(mask, np.float32), "rate": 0.2, "key": dropout.Key(11)}

    def forward(x, *arguments):
        *values, p = arguments
        return attention.forward(x, p, **fixed, **dict(zip(gates, values)))

    def backward(dy, cache, p, g):
        dcontext, dweights = dy
        return attention.backward(dcontext, cache, p, g, dweights)

    inputs = {"x": rng.standard_normal((B, T, H)), **gates}
    params = {name: affine(rng, H, H) for name in ("query", "key", "value")}
    zero = {} if "override" in gates else {"key.bias": "query.bias"}  # softmax ignores a number added to a whole row
    return {"layer": Pair(forward, backward), "inputs": inputs, "params": params, "zero": zero}


@case(attention)
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, padding((3, 5)))


@case(attention, "causal")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, causal((3, 5)))


@case(attention, "head-mask")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, padding((3, 5)), head_mask=rng.standard_normal(A))


@case(attention, "head-mask-2d")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, padding((3, 5)), head_mask=rng.standard_normal((B, A)))


@case(attention, "override")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, padding((3, 5)), head_mask=rng.standard_normal(A), override=rng.random((B, A, T, T)))
