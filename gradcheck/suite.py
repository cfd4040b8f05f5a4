"""Everything in minibert that has a backward, with the arguments to check it at.

An entry is a function that makes the arguments of ``gradcheck.check`` from a random generator. They are chosen so
that a wrong backward has nowhere to hide: another size for every axis, at least three tokens, padding, repeated ids,
random γ and β.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from gradcheck.checker import Pair, Result, check, ucurve
from gradcheck.combinations import BODIES, CONVOLUTIONS, MODELS, OF_A_TEXT, with_targets
from minibert.analysis import attention_probe, probing, structural, tensor_products
from minibert.analysis import replaced as blind
from minibert.compression import early_exit, gated, theseus
from minibert.compression.theseus import Schedule
from minibert.config import BertConfig
from minibert.finetuning import models
from minibert.layers import (
    absolute_error,
    activation,
    add_norm,
    attention,
    attention_in_blocks,
    attention_probs,
    attentive_pooling,
    batch_norm,
    bias_gelu,
    bias_relu,
    bias_tanh,
    binary_cross_entropy,
    contrastive,
    conv1d,
    cosine,
    cosine_distance,
    cross_entropy,
    dense_norm,
    dropout,
    embedding,
    feature_map,
    gelu,
    gru,
    hard_concrete,
    kl_divergence,
    layernorm,
    linear,
    mixture,
    neighbours,
    no_norm,
    norm,
    pooling,
    softmax,
    squared_distance,
    squared_error,
    token_error,
    unit,
)
from minibert.model import bert, embeddings, encoder, joint, model, pooler, pretraining, recompute, textcnn
from minibert.model.blocks import fewer_heads, mobile, post_ln, pre_ln
from minibert.model.heads import (
    branch,
    choice,
    classifier,
    cloze,
    dense,
    mlm,
    nsp,
    projection,
    replaced,
    san,
    similarity,
    span,
    vectors,
)
from minibert.model.model import Inputs, Model
from minibert.parameters import NOTHING, Layout, Parameters
from minibert.tasks.segments.prefix import sees

B, T, H, A, I, V, L, E = 4, 5, 6, 3, 7, 11, 2, 9  # no two alike that could be mistaken for each other
DIRECTIONS = 3  # random ones for each array of a model that has too many elements


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
        with patch.object(dropout, "draw", lru_cache(dropout.draw)):  # thousands of forwards draw the same few masks
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


IDS = np.array([[3, 1, 3, 0, 10], [3, 7, 1, 1, 3], [9, 9, 9, 9, 2], [4, 10, 3, 2, 4]])  # repeated ids; 5, 6 and 8 never
TYPES = np.array([[0, 0, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]])
PADDING = padding((3, 5, 4, 1))
CAUSAL = causal((3, 5, 4, 1))


KINKED = {"methods": ("complex",)}  # at the kink of a ReLU central differences see neither slope


def affine(rng: np.random.Generator, *shape: int) -> dict[str, np.ndarray]:
    """Random weight and bias: (out, in) for a linear layer, (H,) for γ and β."""
    return {"weight": rng.standard_normal(shape), "bias": rng.standard_normal(shape[0])}


# --- layers ----------------------------------------------------------------------------------------------------------


@case(linear)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, I, H)}


@case(embedding)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"ids": IDS}, "params": {"weight": rng.standard_normal((V, H))}}


@case(layernorm)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 + 2 * rng.standard_normal((B, T, H))}, "params": affine(rng, H)}


@case(softmax)
def _(rng: np.random.Generator) -> dict:
    mask = softmax.additive_mask(PADDING, np.float32)  # (B, 1, 1, T)
    return {"inputs": {"x": 2 * rng.standard_normal((B, A, 2, T))}, "options": {"mask": mask}}


@case(softmax, "all-padding")
def _(rng: np.random.Generator) -> dict:
    mask = softmax.additive_mask(padding((0, 5, 4, 0)), np.float32)
    return {"inputs": {"x": 2 * rng.standard_normal((B, A, 2, T))}, "options": {"mask": mask}}


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


@case(bias_gelu)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 * rng.standard_normal((B, T, I))}, "params": {"bias": rng.standard_normal(I)}}


@case(bias_relu)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 * rng.standard_normal((B, T, I))}, "params": {"bias": rng.standard_normal(I)}, **KINKED}


@case(bias_tanh)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, I))}, "params": {"bias": rng.standard_normal(I)}}


@case(activation)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 * rng.standard_normal((B, T, I))}, "params": {"bias": rng.standard_normal(I)}}


@case(activation, "relu")
def _(rng: np.random.Generator) -> dict:
    x, bias = 3 * rng.standard_normal((B, T, I)), rng.standard_normal(I)
    return {"inputs": {"x": x}, "params": {"bias": bias}, "options": {"form": "relu"}, **KINKED}


@case(no_norm)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 + 2 * rng.standard_normal((B, T, H))}, "params": affine(rng, H)}


@case(norm)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 3 + 2 * rng.standard_normal((B, T, H))}, "params": affine(rng, H)}


@case(norm, "none")
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, H), "options": {"kind": "no_norm"}}


@case(dense_norm)
def _(rng: np.random.Generator) -> dict:
    return {
        "inputs": {"x": rng.standard_normal((B, T, I)), "residual": rng.standard_normal((B, T, H))},
        "params": random_tree(rng, dense_norm.shapes(H, I)),
        "options": {"rate": 0.3, "key": dropout.Key(5)},
    }


@case(dense_norm, "bottleneck")
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: dense_norm.forward(x, None, p, "no_norm"), lambda *given: dense_norm.backward(*given)[0])
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, I))}, "params": random_tree(rng, dense_norm.shapes(H, I))}


@case(neighbours)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, E))}}


@case(neighbours, "wider")
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, 3, E))}, "options": {"window": 9}}  # some see no token at all


@case(conv1d)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, I, H, 3)}


@case(conv1d, "one-window")
def _(rng: np.random.Generator) -> dict:
    params = {"weight": rng.standard_normal((I, H, T))}
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": params, "options": {"bias": False}}


def apart(tree: dict) -> tuple[dict, dict]:
    """The parameters of a tree, and its running statistics, which are none."""
    learned, state = {}, {}
    for name, node in tree.items():
        if isinstance(node, dict):
            learned[name], state[name] = apart(node)
        else:
            (state if name.startswith("running_") else learned)[name] = node
    return learned, state


def joined(tree: Any, state: dict, dtype: Any) -> Any:
    """Both as one again, with statistics of a dtype; NOTHING stays what it is."""
    return tree and tree | {name: joined(tree[name], node, dtype) if isinstance(node, dict) else node.astype(dtype)
                            for name, node in state.items()}


def _batch_norm(rng: np.random.Generator, **options: Any) -> dict:
    """The running statistics are no input: in training nothing depends on them, and in evaluation nothing learns them."""
    state = {"running_mean": rng.standard_normal(H), "running_var": 0.5 + rng.random(H)}

    def forward(x, p):
        return batch_norm.forward(x, joined(p, state, x.real.dtype), **options)

    def backward(dy, cache, p, g):
        return batch_norm.backward(dy, cache, joined(p, state, dy.dtype), joined(g, state, dy.dtype))

    return {"layer": Pair(forward, backward), "inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, H)}


@case(batch_norm)
def _(rng: np.random.Generator) -> dict:
    return _batch_norm(rng)


@case(batch_norm, "padding")
def _(rng: np.random.Generator) -> dict:
    return _batch_norm(rng, mask=PADDING)


@case(batch_norm, "evaluation")
def _(rng: np.random.Generator) -> dict:
    return _batch_norm(rng, mask=PADDING, training=False)


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


@case(cross_entropy, "weights")
def _(rng: np.random.Generator) -> dict:
    labels = np.array([4, cross_entropy.IGNORE, 10, 4, 0, cross_entropy.IGNORE, 7])
    return {"inputs": {"x": 2 * rng.standard_normal((7, V)), "labels": labels}, "options": {"weights": rng.random(V) + 0.2}}


@case(kl_divergence, "probabilities")
def _(rng: np.random.Generator) -> dict:
    p = rng.random((5, V)) * (rng.random((5, V)) < 0.7)  # one part of a batch of 9, some probabilities 0
    p = (p / p.sum(-1, keepdims=True) * np.array([[1], [0], [1], [1], [0]]))
    layer = Pair(lambda x: kl_divergence.forward(x, p, 9, logits="x"), kl_divergence.backward)
    return {"layer": layer, "inputs": {"x": 2 * rng.standard_normal((5, V))}}


def _binary_cross_entropy(rng: np.random.Generator, **options: Any) -> dict:
    labels = rng.integers(0, 2, (B, I))
    labels[0, 2] = labels[3, 4] = cross_entropy.IGNORE
    return {"inputs": {"x": 3 * rng.standard_normal((B, I)), "labels": labels}, "options": options}


@case(binary_cross_entropy)
def _(rng: np.random.Generator) -> dict:
    return _binary_cross_entropy(rng)


@case(binary_cross_entropy, "count")
def _(rng: np.random.Generator) -> dict:
    return _binary_cross_entropy(rng, count=90)  # one part of a batch


@case(binary_cross_entropy, "weights")
def _(rng: np.random.Generator) -> dict:
    return _binary_cross_entropy(rng, weights=rng.random(I) + 0.2)


@case(squared_error)
def _(rng: np.random.Generator) -> dict:
    targets = rng.standard_normal(B).astype(np.float32)  # one part of a batch of 9; float32: they are data, and have no gradient
    layer = Pair(lambda x: squared_error.forward(x, targets, 9), squared_error.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal(B)}}


@case(kl_divergence)
def _(rng: np.random.Generator) -> dict:
    targets = 2 * rng.standard_normal((7, V)).astype(np.float32)  # what a teacher says is data, too
    layer = Pair(lambda x: kl_divergence.forward(x, targets, temperature=2.5), kl_divergence.backward)
    return {"layer": layer, "inputs": {"x": 2 * rng.standard_normal((7, V))}}


@case(kl_divergence, "count")
def _(rng: np.random.Generator) -> dict:
    targets = rng.standard_normal((B, T, V))  # one part of a batch in which 90 rows count
    layer = Pair(lambda x: kl_divergence.forward(x, targets, 90), kl_divergence.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, V))}}


@case(cosine_distance)
def _(rng: np.random.Generator) -> dict:
    targets = rng.standard_normal((B, T, H)), PADDING[:, :, None]
    layer = Pair(lambda x: cosine_distance.forward(x, targets), cosine_distance.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}}


@case(cosine_distance, "count")
def _(rng: np.random.Generator) -> dict:
    targets = rng.standard_normal((B, T, H)), None
    layer = Pair(lambda x: cosine_distance.forward(x, targets, 90), cosine_distance.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}}


@case(token_error)
def _(rng: np.random.Generator) -> dict:
    targets = rng.standard_normal((B, A, T, T)), PADDING[:, None, :, None]
    layer = Pair(lambda x: token_error.forward(x, targets), token_error.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, A, T, T))}}


@case(token_error, "count")
def _(rng: np.random.Generator) -> dict:
    targets = rng.standard_normal((B, T, H)), None
    layer = Pair(lambda x: token_error.forward(x, targets, 900), token_error.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}}


def _feature_map(rng: np.random.Generator, **weights: float) -> dict:
    """Each of the three parts by itself, and the whole of one part of a batch."""
    targets = 2 * rng.standard_normal((B, T, H)), PADDING[:, :, None]
    layer = Pair(lambda x: feature_map.forward(x, targets, **weights), feature_map.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}}


@case(feature_map)
def _(rng: np.random.Generator) -> dict:
    return _feature_map(rng, count=90)


@case(feature_map, "normalised")
def _(rng: np.random.Generator) -> dict:
    return _feature_map(rng, means=0, variances=0)


@case(feature_map, "means")
def _(rng: np.random.Generator) -> dict:
    return _feature_map(rng, normalised=0, variances=0)


@case(feature_map, "variances")
def _(rng: np.random.Generator) -> dict:
    return _feature_map(rng, normalised=0, means=0)


@case(kl_divergence, "attention")
def _(rng: np.random.Generator) -> dict:
    """The teacher looks at no padding; the student's numbers are above 0, as those of a softmax are."""
    targets = rng.random((B, A, T, T)) * PADDING[:, None, None, :]
    targets = targets / targets.sum(-1, keepdims=True), PADDING[:, None, :, None]
    layer = Pair(lambda x: kl_divergence.forward(x, targets, logits="none"), kl_divergence.backward)
    return {"layer": layer, "inputs": {"x": rng.random((B, A, T, T)) + 0.1}}


@case(absolute_error)
def _(rng: np.random.Generator) -> dict:
    targets, weights = rng.standard_normal((B, T)), rng.random((B, T)) * PADDING
    layer = Pair(lambda x: absolute_error.forward(x, targets, weights), absolute_error.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T))}, **KINKED}


@case(squared_distance)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H)), "y": rng.standard_normal((B, A, H))}}


@case(squared_distance, "to-itself")
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x: squared_distance.forward(x, x), lambda dd, cache: sum(squared_distance.backward(dd, cache)))
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}}


@case(unit)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}}


for _kind in pooling.KINDS:

    @case(pooling, _kind)
    def _(rng: np.random.Generator, kind: str = _kind) -> dict:
        return {"inputs": {"x": rng.standard_normal((B, T, H)), "mask": PADDING}, "options": {"kind": kind}}


@case(attentive_pooling)
def _(rng: np.random.Generator) -> dict:
    mask = softmax.additive_mask(PADDING, np.float32)[:, 0, 0]  # (B, T)
    inputs = {"x": rng.standard_normal((B, T, H)), "q": rng.standard_normal((B, H))}
    return {"inputs": inputs, "options": {"mask": mask}}


@case(gru)
def _(rng: np.random.Generator) -> dict:
    inputs = {"x": rng.standard_normal((B, I)), "h": rng.standard_normal((B, H))}
    return {"inputs": inputs, "params": random_tree(rng, gru.shapes(H, I))}


@case(mixture)
def _(rng: np.random.Generator) -> dict:
    kept = np.array([[0, 1.25, 1.25, 0], [1.25, 0, 1.25, 0], [0, 0, 1.25, 1.25]], np.float32)
    return {"inputs": {"x": 2 * rng.standard_normal((3, B, I))}, "options": {"m": kept}}


@case(mixture, "all")
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": 2 * rng.standard_normal((3, B, I))}}


@case(cosine)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"u": rng.standard_normal((B, H)), "v": rng.standard_normal((B, H))}}


def _contrastive(rng: np.random.Generator, texts: int, repeated: bool = False, **options: Any) -> dict:
    numbers = rng.integers(0, 5, (B, texts))  # some are right answers to several anchors
    inputs = {"x": rng.standard_normal((B, texts, H)), "targets": numbers if repeated else np.arange(B * texts).reshape(B, texts)}
    return {"inputs": inputs, "options": {"temperature": 0.3, **options}}


@case(contrastive)
def _(rng: np.random.Generator) -> dict:
    return _contrastive(rng, 2)


@case(contrastive, "hard-negatives")
def _(rng: np.random.Generator) -> dict:
    return _contrastive(rng, 4, count=9)


@case(contrastive, "symmetric")
def _(rng: np.random.Generator) -> dict:
    return _contrastive(rng, 3, symmetric=True)


@case(contrastive, "repeated-texts")
def _(rng: np.random.Generator) -> dict:
    return _contrastive(rng, 3, repeated=True, symmetric=True)


@case(contrastive, "groups")
def _(rng: np.random.Generator) -> dict:
    return _contrastive(rng, 3, symmetric=True, rows=3)  # three rows, then one by itself with its negative


@case(attention_probs)
def _(rng: np.random.Generator) -> dict:
    options = {"mask": softmax.additive_mask(PADDING, np.float32), "rate": 0.3, "key": dropout.Key(7)}
    return {"inputs": {"scores": 2 * rng.standard_normal((B, A, T, T))}, "options": options}


@case(attention_in_blocks)
def _(rng: np.random.Generator) -> dict:
    return _in_blocks(rng, PADDING)


@case(attention_in_blocks, "causal")
def _(rng: np.random.Generator) -> dict:
    return _in_blocks(rng, CAUSAL)


def _in_blocks(rng: np.random.Generator, mask: np.ndarray) -> dict:
    options = {"mask": softmax.additive_mask(mask, np.float32), "rate": 0.3, "key": dropout.Key(7), "rows": 2}
    return {"inputs": {name: rng.standard_normal((B, A, T, H // A)) for name in "qkv"}, "options": options}


def opened(module: ModuleType, fixed: dict[str, Any], gates: dict[str, np.ndarray]) -> Pair:
    """Attention, or a block of it, with both its outputs; ``gates`` are floating arrays that forward takes by name."""

    def forward(x, *arguments):
        *values, p = arguments
        return module.forward(x, p, **fixed, **dict(zip(gates, values)))

    def backward(dy, cache, p, g):
        dx, dweights = dy
        d = module.backward(dx, cache, p, g, dweights)
        return {"x": d.dx, **{name: getattr(d, name) for name in gates}}

    return Pair(forward, backward)


def _attention(rng: np.random.Generator, mask: np.ndarray = PADDING, **gates: np.ndarray) -> dict:
    fixed = {"heads": A, "mask": softmax.additive_mask(mask, np.float32), "rate": 0.2, "key": dropout.Key(11)}
    return {
        "layer": opened(attention, fixed, gates),
        "inputs": {"x": rng.standard_normal((B, T, H)), **gates},
        "params": {name: affine(rng, H, H) for name in ("query", "key", "value")},
        "zero": {} if "override" in gates else {"key.bias": "query.bias"},  # softmax ignores what all of a row share
    }


@case(attention)
def _(rng: np.random.Generator) -> dict:
    return _attention(rng)


@case(attention, "causal")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, CAUSAL)


@case(attention, "head-mask")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, head_mask=rng.standard_normal(A))


@case(attention, "head-mask-2d")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, head_mask=rng.standard_normal((B, A)))


@case(attention, "override")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, head_mask=rng.standard_normal(A), override=rng.random((B, A, T, T)))


@case(attention, "values-apart")
def _(rng: np.random.Generator) -> dict:
    return _attention(rng, head_mask=rng.standard_normal(A), values=rng.standard_normal((B, T, H)))


for _hidden, _form in ((0, "linear"), (I, "mlp")):

    @case(probing, _form)
    def _(rng: np.random.Generator, hidden: int = _hidden) -> dict:
        return {"inputs": {"x": rng.standard_normal((B, H))}, "params": random_tree(rng, probing.shapes(H, V, hidden))}


@case(hard_concrete)
def _(rng: np.random.Generator) -> dict:
    u = rng.random(I)
    layer = Pair(lambda a: hard_concrete.forward(a, u.astype(a.real.dtype)), _gates_backward)
    return {"layer": layer, "inputs": {"a": rng.standard_normal(I)}, **KINKED}


@case(hard_concrete, "without-a-draw")
def _(rng: np.random.Generator) -> dict:
    return {"layer": Pair(hard_concrete.forward, _gates_backward), "inputs": {"a": 2 * rng.standard_normal(I)}, **KINKED}


def _gates_backward(dy: tuple[np.ndarray, np.ndarray], cache: hard_concrete.Cache) -> np.ndarray:
    return hard_concrete.backward(dy[0], cache, dy[1])


@case(attention_probe, "attention")
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: attention_probe.forward(x, None, np.arange(1, T + 1), p),
                 lambda ds, cache, p, g: attention_probe.backward(ds, cache, p, g)[0])
    return {"layer": layer, "inputs": {"x": rng.random((T, T + 2, I))}, "params": random_tree(rng, attention_probe.shapes(I))}


@case(attention_probe, "attention-and-words")
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, v, p: attention_probe.forward(x, v, np.arange(1, T + 1), p), attention_probe.backward)
    return {"layer": layer, "inputs": {"x": rng.random((T, T + 2, I)), "v": rng.standard_normal((T + 2, H))},
            "params": random_tree(rng, attention_probe.shapes(I, H))}


for _form in structural.FORMS:

    @case(structural, _form)
    def _(rng: np.random.Generator, form: str = _form) -> dict:
        params = {"weight": rng.standard_normal((A, H))}
        return {"inputs": {"h": rng.standard_normal((B, T, H))}, "params": params, "options": {"form": form}}


@case(tensor_products)
def _(rng: np.random.Generator) -> dict:
    roles, real = rng.integers(0, A, (B, T)), rng.random((B, T)) < 0.8
    layer = Pair(lambda x, p: tensor_products.forward(x, roles, real, p), tensor_products.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))},
            "params": random_tree(rng, tensor_products.shapes(H, A, V, I))}


# --- composites ------------------------------------------------------------------------------------------------------

CONFIG = BertConfig(
    vocab_size=V,
    hidden_size=H,
    num_hidden_layers=L,
    num_attention_heads=A,
    intermediate_size=I,
    hidden_dropout_prob=0.2,
    attention_probs_dropout_prob=0.3,
    max_position_embeddings=8,
    type_vocab_size=2,
)
PRE_LN = CONFIG.replace(norm_first=True, hidden_act="gelu_new")


def random_tree(rng: np.random.Generator, shapes: dict[str, tuple[int, ...]], size: float = 0.7) -> dict:
    """Parameters of these shapes, biases and norms too, as a tree of dotted names."""
    layout = Layout(shapes)
    return layout.tree(rng.standard_normal(layout.size) * size)


def key_biases(prefix: str = "", layers: int = L) -> dict[str, str]:
    """``zero`` of all layers: a number added to all keys moves no probability."""
    names = [f"{prefix}layer.{i}.attention.self" for i in range(layers)]
    return {f"{name}.key.bias": f"{name}.query.bias" for name in names}


def _block(rng: np.random.Generator, module: ModuleType, config: BertConfig, block: Any = None, **gates: np.ndarray) -> dict:
    """``block``: the pair that is checked, where it is not the module."""
    fixed = {"config": config, "mask": softmax.additive_mask(PADDING, np.float32), "key": dropout.Key(13)}
    return {
        "layer": opened(block or module, fixed, gates),
        "inputs": {"x": rng.standard_normal((B, T, H)), **gates},
        "params": random_tree(rng, module.shapes(config)),
        "zero": {} if "override" in gates else {"attention.self.key.bias": "attention.self.query.bias"},
    }


@case(post_ln)
def _(rng: np.random.Generator) -> dict:
    return _block(rng, post_ln, CONFIG, head_mask=rng.standard_normal(A))


@case(post_ln, "override")
def _(rng: np.random.Generator) -> dict:
    return _block(rng, post_ln, CONFIG, override=rng.random((B, A, T, T)))


@case(fewer_heads)
def _(rng: np.random.Generator) -> dict:
    """Gates, and the gradient of attention weights, are those of all heads; of the one that is gone nothing is asked."""
    kept = [head for head in range(A) if head != 1]
    few = CONFIG.replace(heads_of_layers=(tuple(kept),) * CONFIG.num_hidden_layers)
    return _block(rng, post_ln, few, fewer_heads.of(post_ln, kept, A), head_mask=rng.standard_normal(A))


@case(pre_ln)
def _(rng: np.random.Generator) -> dict:
    return _block(rng, pre_ln, PRE_LN, head_mask=rng.standard_normal((B, A)))


MOBILE = CONFIG.replace(bottleneck_size=9, attention_reads="shared", ffn_count=3, norm="no_norm", hidden_act="relu")


def _mobile(rng: np.random.Generator, gates: dict[str, np.ndarray], **changes: Any) -> dict:
    return _block(rng, mobile, MOBILE.replace(**changes), **gates) | KINKED


@case(mobile)
def _(rng: np.random.Generator) -> dict:
    return _mobile(rng, {"head_mask": rng.standard_normal(A)})


@case(mobile, "override")
def _(rng: np.random.Generator) -> dict:
    return _mobile(rng, {"override": rng.random((B, A, T, T)), "head_mask": rng.standard_normal((B, A))})


@case(mobile, "bottleneck")
def _(rng: np.random.Generator) -> dict:
    return _mobile(rng, {}, attention_reads="bottleneck", norm="layer_norm")


@case(mobile, "bottleneck-override")
def _(rng: np.random.Generator) -> dict:
    return _mobile(rng, {"override": rng.random((B, A, T, T))}, attention_reads="bottleneck", ffn_count=1)


@case(mobile, "state")
def _(rng: np.random.Generator) -> dict:
    gelu_too = {"hidden_act": "gelu_new", "norm": "layer_norm", "ffn_count": 1}
    return _block(rng, mobile, MOBILE.replace(attention_reads="state", **gelu_too), head_mask=rng.standard_normal((B, A)))


@case(mobile, "wide")
def _(rng: np.random.Generator) -> dict:
    return _mobile(rng, {"head_mask": rng.standard_normal(A)}, bottleneck_size=None, attention_reads="state")


@case(embeddings)
def _(rng: np.random.Generator) -> dict:
    def backward(dy, cache, p, g):
        embeddings.backward(dy, cache, p, g)  # whole numbers have no gradient; that of the word vectors: next entry

    forward = embeddings.forward
    return {
        "layer": Pair(lambda ids, types, p: forward(ids, types, p, CONFIG, dropout.Key(17)), backward),
        "inputs": {"ids": IDS, "token_type_ids": TYPES},
        "params": random_tree(rng, embeddings.shapes(CONFIG)),
    }


@case(embeddings, "vectors")
def _(rng: np.random.Generator) -> dict:
    return {
        "inputs": {"words": rng.standard_normal((B, T, H)), "token_type_ids": TYPES},
        "params": random_tree(rng, embeddings.shapes(CONFIG)),
        "options": {"config": CONFIG, "key": dropout.Key(17)},
    }


@case(embeddings, "projection")
def _(rng: np.random.Generator) -> dict:
    config = CONFIG.replace(embedding_size=E, position_offset=2, type_vocab_size=0)
    return {
        "inputs": {"words": rng.standard_normal((B, T, E)), "token_type_ids": TYPES},
        "params": random_tree(rng, embeddings.shapes(config)),
        "options": {"config": config, "key": dropout.Key(17)},
    }


@case(embeddings, "window")
def _(rng: np.random.Generator) -> dict:
    config = CONFIG.replace(embedding_size=E, word_window=3, norm="no_norm")
    return {
        "inputs": {"words": rng.standard_normal((B, T, E)), "token_type_ids": TYPES},
        "params": random_tree(rng, embeddings.shapes(config)),
        "options": {"config": config, "key": dropout.Key(17)},
    }


@case(embeddings, "tasks-and-positions")
def _(rng: np.random.Generator) -> dict:
    config = CONFIG.replace(task_type_vocab_size=3, type_vocab_size=1, position_offset=1)
    positions = np.array([[1, 2, 3, 0, 0], [0, 0, 1, 2, 3], [1, 0, 2, 0, 3], [7, 7, 0, 1, 2]])
    given = {"position_ids": positions, "task_type_ids": np.where(TYPES == 1, 2, 0)}
    return {
        "inputs": {"words": rng.standard_normal((B, T, H)), "token_type_ids": TYPES},
        "params": random_tree(rng, embeddings.shapes(config)),
        "options": {"config": config, "key": dropout.Key(17), **given},
    }


@case(pooler)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": {"dense": affine(rng, H, H)}}


@case(pooler, "relu")
def _(rng: np.random.Generator) -> dict:
    return {
        "inputs": {"x": rng.standard_normal((B, T, H))},
        "params": {"dense": affine(rng, H, H)},
        "options": {"kind": "relu"},
        **KINKED,
    }


@case(pooler, "first")
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": {}, "options": {"kind": "first"}}


@case(mlm)
def _(rng: np.random.Generator) -> dict:
    positions = np.array([2, 6, 7, 19, 2])  # of B·T tokens; one is asked twice
    layer = Pair(lambda x, p: mlm.forward(x, positions, p, CONFIG), mlm.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": _head(rng)}


@case(mlm, "all-positions")
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: mlm.forward(x, None, p, CONFIG), mlm.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": _head(rng)}


@case(mlm, "long-decoder")
def _(rng: np.random.Generator) -> dict:
    config = CONFIG.replace(embedding_size=4, long_decoder=True)
    layer = Pair(lambda x, p: mlm.forward(x, np.array([2, 6, 7, 19, 2]), p, config), mlm.backward)
    params = _head(rng) | {"decoder": affine(rng, V, 4), "extra": {"weight": rng.standard_normal((V, H - 4))}}
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": params}


def _head(rng: np.random.Generator) -> dict:
    transform = {"dense": affine(rng, H, H), "LayerNorm": affine(rng, H)}
    return {"transform": transform, "decoder": affine(rng, V, H)}


@case(nsp)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"pooled": rng.standard_normal((B, H))}, "params": affine(rng, 2, H)}


@case(cloze)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: cloze.forward(x, p, CONFIG, dropout.Key(31)), cloze.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, H))}, "params": affine(rng, V, H)}


@case(classifier)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: classifier.forward(x, p, CONFIG, dropout.Key(31)), classifier.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, I, H)}


@case(choice)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: choice.forward(x, 2, p, CONFIG, dropout.Key(31)), choice.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, H))}, "params": affine(rng, 1, H)}


def _dense(rng: np.random.Generator, form: str, drops: bool) -> dict:
    config = CONFIG.replace(text_head=form, text_head_drops=drops)
    layer = Pair(lambda x, p: dense.forward(x, p, config, dropout.Key(31)), dense.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": random_tree(rng, dense.shapes(config, 3))}


@case(projection)
def _(rng: np.random.Generator) -> dict:
    return {"inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, I, H)}


@case(dense)
def _(rng: np.random.Generator) -> dict:
    return _dense(rng, "tanh", True)


@case(dense, "gelu")
def _(rng: np.random.Generator) -> dict:
    return _dense(rng, "gelu", True)


@case(dense, "relu")
def _(rng: np.random.Generator) -> dict:
    return _dense(rng, "relu", False) | KINKED


@case(choice, "without-pooler")
def _(rng: np.random.Generator) -> dict:
    config = CONFIG.replace(text_head="gelu", pooler=None)
    layer = Pair(lambda x, p: choice.forward(x, 2, p, config, dropout.Key(31)), choice.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": random_tree(rng, dense.shapes(config, 1))}


@case(branch)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: branch.forward(x, PADDING, p, CONFIG, dropout.Key(31)), branch.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": random_tree(rng, branch.shapes(CONFIG, 3)),
            "zero": {"attention.key.bias": "attention.query.bias"}}


@case(replaced)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: replaced.forward(x, p, CONFIG), replaced.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": random_tree(rng, replaced.shapes(CONFIG))}


def _san(rng: np.random.Generator, key: dropout.Key | None) -> dict:
    config = CONFIG.replace(hidden_dropout_prob=0.4)
    types = np.array([[0, 1, 1, 1, 0], [0, 0, 0, 1, 1], [0, 0, 1, 1, 0], [0, 1, 0, 0, 0]])  # 0 behind the tokens too
    mask = padding((4, 5, 4, 2))
    layer = Pair(lambda x, p: san.forward(x, mask, types, p, config, key, turns=3), san.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": random_tree(rng, san.shapes(config, 3))}


@case(san)
def _(rng: np.random.Generator) -> dict:
    return _san(rng, dropout.Key(31))


@case(san, "nothing-dropped")
def _(rng: np.random.Generator) -> dict:
    return _san(rng, None)


@case(span)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: span.forward(x, PADDING, p), span.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": affine(rng, 2, H)}


@case(vectors)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: vectors.forward(x, 2, PADDING, p), vectors.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": {}}


@case(similarity)
def _(rng: np.random.Generator) -> dict:
    layer = Pair(lambda x, p: similarity.forward(x, 2, PADDING, p, pooling="max"), similarity.backward)
    return {"layer": layer, "inputs": {"x": rng.standard_normal((B, T, H))}, "params": {}}


# --- the encoder: any list of blocks, any state and any attention from outside ---------------------------------------


def _encoder(rng: np.random.Generator, layers: Callable, config: BertConfig = CONFIG, **gates: np.ndarray) -> dict:
    """All its outputs. ``layers(p, g)`` makes the list; gates ``hidden_1`` and ``attention_1`` enter layer 1."""

    def forward(x, *arguments):
        *values, p = arguments
        given = dict(zip(gates, values))
        return encoder.forward(
            x,
            layers(p, NOTHING),
            config,
            mask=softmax.additive_mask(PADDING, np.float32),
            key=dropout.Key(19),
            head_mask=given.get("head_mask"),
            hidden={1: given["hidden_1"]} if "hidden_1" in given else None,
            attentions={1: given["attention_1"]} if "attention_1" in given else None,
        )

    def backward(dy, cache, p, g):
        dhidden, dattentions = dy
        d = encoder.backward(dhidden, cache._replace(layers=layers(p, g)), dattentions)
        return {"x": d.dx, "head_mask": d.head_mask, "hidden_1": d.hidden.get(1), "attention_1": d.attentions.get(1)}

    return {
        "layer": Pair(forward, backward),
        "inputs": {"x": rng.standard_normal((B, T, H)), **gates},
        "params": random_tree(rng, encoder.shapes(config)),
        "directions": DIRECTIONS,
    }


@case(encoder)
def _(rng: np.random.Generator) -> dict:
    return _encoder(rng, lambda p, g: encoder.stack(p, g, CONFIG), head_mask=rng.standard_normal((L, A))) | {"zero": key_biases()}


@case(encoder, "pre-ln")
def _(rng: np.random.Generator) -> dict:
    return _encoder(rng, lambda p, g: encoder.stack(p, g, PRE_LN), PRE_LN) | {"zero": key_biases()}


@case(encoder, "opened")
def _(rng: np.random.Generator) -> dict:
    gates = {
        "hidden_1": rng.standard_normal((B, T, H)),
        "attention_1": rng.random((B, A, T, T)),
        "head_mask": rng.standard_normal((L, B, A)),
    }
    return _encoder(rng, lambda p, g: encoder.stack(p, g, CONFIG), **gates) | {"zero": key_biases(layers=1)}


@case(encoder, "shared")
def _(rng: np.random.Generator) -> dict:
    config = CONFIG.replace(num_hidden_layers=5, layer_map=(0, 1, 0, 0, 1))  # the gradient of a shared block is the sum
    return _encoder(rng, lambda p, g: encoder.stack(p, g, config), config) | {"zero": key_biases()}


@case(recompute)
def _(rng: np.random.Generator) -> dict:
    def layers(p, g):
        return [(recompute.recompute(module), p, g) for module, p, g in encoder.stack(p, g, CONFIG)]

    return _encoder(rng, layers, head_mask=rng.standard_normal((L, A))) | {"zero": key_biases()}


# --- whole models ----------------------------------------------------------------------------------------------------


def _bert(rng: np.random.Generator, config: BertConfig, mask: np.ndarray) -> dict:
    """Every output of the model, from word vectors; the gradient of each head's gate for each example."""

    def forward(words, head_mask, p):
        return bert.forward(words, TYPES, mask, p, config, key=dropout.Key(23), head_mask=head_mask)

    def backward(dy, cache, p, g):
        d = bert.backward(dy, cache, p, g)
        return d.embeddings, d.head_mask

    calm = {"size": 0.4} if config.norm == "no_norm" else {}  # or states grow from layer to layer, and rounding with them
    params = random_tree(rng, bert.shapes(config), **calm)["bert"]
    del params["embeddings"]["word_embeddings"]  # the vectors come from outside
    methods = KINKED if "relu" in (config.pooler, config.hidden_act) else {}
    words = rng.standard_normal((B, T, config.embedding_width))
    return {
        "layer": Pair(forward, backward),
        "inputs": {"words": words, "head_mask": rng.standard_normal((config.num_hidden_layers, B, A))},
        "params": params,
        "directions": DIRECTIONS,
        "zero": key_biases("encoder.", len(set(config.uses))),
        **methods,
    }


for _name, _changes in BODIES.items():

    @case(bert, _name)
    def _(rng: np.random.Generator, changes: dict = _changes) -> dict:
        return _bert(rng, CONFIG.replace(**changes), CAUSAL if "norm_first" in changes else PADDING)


def _pretraining(rng: np.random.Generator, positions: np.ndarray | None, labels: np.ndarray, only: str = "",
                 mask: np.ndarray = PADDING) -> dict:
    """Every output of the model with both heads, or ``only`` one; its decoder is tied to the word embeddings."""
    x = pretraining.Inputs(IDS, TYPES, mask, positions, labels, np.array([0, 1, cross_entropy.IGNORE, 1]))
    layout = pretraining.layout(CONFIG)

    def forward(p):
        y, cache = pretraining.forward(x, p, CONFIG, key=dropout.Key(29))
        return getattr(y, only) if only else y, cache

    def backward(dy, cache, p, g):
        pretraining.backward(pretraining.Output(**{only: dy}) if only else dy, cache, p, g)

    return {
        "layer": Pair(forward, backward),
        "inputs": {},
        "params": layout.tree(rng.standard_normal(layout.size) * 0.7),
        "directions": DIRECTIONS,
        "zero": key_biases("bert.encoder."),
    }


MASKED, WORDS = np.array([1, 6, 8, 12, 15]), np.array([1, 7, cross_entropy.IGNORE, 5, 4])


@case(pretraining)
def _(rng: np.random.Generator) -> dict:
    return _pretraining(rng, MASKED, WORDS, only="loss")


@case(pretraining, "prefix")
def _(rng: np.random.Generator) -> dict:
    return _pretraining(rng, MASKED, WORDS, only="loss", mask=sees(TYPES, PADDING))


@case(pretraining, "all-outputs")
def _(rng: np.random.Generator) -> dict:
    return _pretraining(rng, MASKED, WORDS)


@case(pretraining, "all-positions")
def _(rng: np.random.Generator) -> dict:
    labels = np.where(rng.random((B, T)) < 0.3, IDS, cross_entropy.IGNORE)
    labels[0, 1] = 6  # one at least
    return _pretraining(rng, None, labels)


def _model(rng: np.random.Generator, whole: Model) -> dict:
    """Loss, every addend of it, the logits of every head and all outputs of the body."""
    layout = whole.layout()
    params = layout.tree(rng.standard_normal(layout.size) * 0.5)
    hides = any(head.module in (span, san) for head in whole.heads.values())  # scores of what is hidden are near -10000: digits
    mask, types = (None, np.maximum(TYPES, np.arange(T) == T - 1)) if hides else (PADDING, TYPES)  # that central differences need
    x = with_targets(whole, Inputs(IDS, types, mask, {}, MASKED, choices=2), params, rng)

    def forward(p):
        return whole.forward(x, p, key=dropout.Key(37), counts=dict.fromkeys(x.targets, 9))

    return {
        "layer": Pair(forward, lambda dy, cache, p, g: whole.backward(dy, cache, p, g) and None),
        "inputs": {},
        "params": params,
        "directions": DIRECTIONS,
        "zero": {name: name.replace("key", "query") for name in layout.slots if name.endswith("key.bias")},
    }


for _name, _make in MODELS.items():

    @case(joint if _name == "joint" else model, _name)
    def _(rng: np.random.Generator, make: Callable = _make) -> dict:
        return _model(rng, make(CONFIG))


def _convolutions(rng: np.random.Generator, config: BertConfig, whole: Model | None, key: dropout.Key | None) -> dict:
    """A body of convolutions from word vectors, or a whole model on it, some of its texts shorter than the filters."""
    layout = whole.layout() if whole else Layout(textcnn.shapes(config))
    tree = layout.tree(rng.standard_normal(layout.size))
    params, state = apart(tree)
    for layer in state["bert"]["encoder"]["layer"].values():
        for filters in layer["filters"].values():
            filters["BatchNorm"]["running_var"] **= 2
    if whole:
        x = with_targets(whole, Inputs(IDS, TYPES, PADDING, {}, choices=2), joined(params, state, np.float64), rng)

    def forward(*arrays):
        *words, p = arrays
        p = joined(p, state, p["bert"]["embeddings"]["position_embeddings"]["weight"].real.dtype)
        if whole:
            return whole.forward(x, p, key=key, counts=dict.fromkeys(x.targets, 9))
        return textcnn.forward(*words, TYPES, PADDING, p["bert"], config, key=key)

    def backward(dy, cache, p, g):
        p, g = joined(p, state, np.float64), joined(g, state, np.float64)
        if whole:
            whole.backward(dy, cache, p, g)
            return None
        return textcnn.backward(dy, cache, p["bert"], g["bert"]).embeddings

    words = {} if whole else {"words": rng.standard_normal((B, T, config.embedding_width))}
    return {"layer": Pair(forward, backward), "inputs": words, "params": params, "directions": DIRECTIONS, **KINKED}


for _name, _key in (("training", dropout.Key(41)), ("evaluation", None)):

    @case(textcnn, _name)
    def _(rng: np.random.Generator, key: dropout.Key | None = _key) -> dict:
        return _convolutions(rng, CONFIG.replace(**CONVOLUTIONS), None, key)


for _name in OF_A_TEXT:

    @case(textcnn, _name)
    def _(rng: np.random.Generator, make: Callable = MODELS[_name]) -> dict:
        config = CONFIG.replace(**CONVOLUTIONS)
        return _convolutions(rng, config, make(config), dropout.Key(43))


def _theseus(rng: np.random.Generator, config: BertConfig, learns: Callable[[str], bool], clip_all: bool) -> dict:
    """One of two modules is the predecessor's. What does not learn has no gradient, unless the norm is that of all."""
    alone = models.of(config, "sequence", 3)
    whole = theseus.of(alone, config.replace(num_hidden_layers=2 * L), Schedule(0.5, 10**6, linear=False), clip_all)
    key = next(key for step in range(100) if whole.draws(key := dropout.Key(41, step)) == (True, False))
    return _in_part(rng, whole, learns, key, clip_all)


def _in_part(rng: np.random.Generator, whole: Model, learns: Callable[[str], bool], key: dropout.Key, more: bool = False) -> dict:
    """A model of which a part learns. ``more``: what does not may have a gradient all the same."""
    layout = whole.layout()
    every = {name: rng.standard_normal(slot.shape) * 0.5 for name, slot in layout.slots.items()}
    x = Inputs(IDS, TYPES, PADDING, {"label": rng.integers(0, 3, B)})

    def whole_tree(p: dict) -> dict:
        flat = np.zeros(layout.size, np.result_type(*p.values()))
        tree = Parameters(layout, flat)
        for name, view in tree.items():
            view[...] = p.get(name, every[name])
        return tree.tree

    def forward(p: dict) -> tuple:
        return whole.forward(x, whole_tree(p), key=key)

    def backward(dy: Any, cache: Any, p: dict, g: dict) -> None:
        slab = Parameters(layout, np.zeros(layout.size)) if g else NOTHING
        whole.backward(dy, cache, whole_tree(p), slab.tree if g else NOTHING)
        for name, view in slab.items() if g else ():
            if name in g:
                g[name] += view
            else:
                assert more or not view.any(), name

    params = {name: values for name, values in every.items() if learns(name)}
    return {"layer": Pair(forward, backward), "inputs": {}, "params": params, "directions": DIRECTIONS,
            "zero": {name: name.replace("key", "query") for name in params if name.endswith("key.bias")}}


@case(theseus)
def _(rng: np.random.Generator) -> dict:
    return _theseus(rng, CONFIG, lambda name: name.startswith(theseus.LAYER), clip_all=False)


@case(theseus, "clip-all")
def _(rng: np.random.Generator) -> dict:
    still = (f"{theseus.PREDECESSOR}layer.3.", "bert.embeddings.", "bert.pooler.", "classifier.")
    return _theseus(rng, CONFIG, lambda name: name.startswith(still), clip_all=True)


@case(early_exit)
def _(rng: np.random.Generator) -> dict:
    """The branches learn from the head's answer to what has lost the same numbers."""
    whole = early_exit.of(models.of(CONFIG.replace(num_hidden_layers=3), "sequence", 3))
    return _in_part(rng, whole, lambda name: name.startswith("branches."), dropout.Key(43))


@case(gated)
def _(rng: np.random.Generator) -> dict:
    whole = gated.of(models.of(CONFIG, "sequence", 3), price=0.7, speed=1.0)
    params = whole.layout().tree(rng.standard_normal(whole.layout().size) * 0.5)
    x = with_targets(whole.alone, Inputs(IDS, TYPES, PADDING), params, rng)
    key = dropout.Key(41)
    gates = hard_concrete.forward(params["gates"]["bias"], gated.drawn(key, params["gates"]["bias"]))[0][0]
    assert (gates == 0).any()
    assert (gates == 1).any()
    assert ((0 < gates) & (gates < 1)).any()
    layer = Pair(lambda p: whole.forward(x, p, key=key), lambda dy, cache, p, g: whole.backward(dy, cache, p, g) and None)
    return {"layer": layer, "inputs": {}, "params": params, "directions": DIRECTIONS, "zero": key_biases("bert.encoder.")}


for _name, _change in blind.KINDS.items():

    @case(blind, _name)
    def _(rng: np.random.Generator, change: Callable = _change) -> dict:
        """Permuted attention teaches queries and keys; into what knows nothing of them no gradient flows."""
        alone, back = models.of(CONFIG, "sequence", 3), blind.BACK.get(change)
        whole = blind.Blind(alone.config, alone.heads, alone.terms, change, back)
        return _in_part(rng, whole, lambda name: back is not None or not {"query", "key"} & {*name.split(".")}, dropout.Key(41))
