"""Heads, rows of feed-forward parts, and layers taken out of a model; or zeros written where they were.

A head is D rows of the matrices of queries, keys and values, with their biases, and D columns of the matrix behind it. A row of a
feed-forward part is one of its first matrix, with its bias, and a column of its second. Behind a closed gate both give nothing,
so a model without them says, number for number, what it says with the gates closed.

Zeros in their places (``filled``) are the same model again in the shape that it had, which every tool opens. Nothing is gained
then but the zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minibert.compression.students import LAYER
from minibert.config import BertConfig
from minibert.model.model import Model
from minibert.parameters import Parameters

FAMILY = "minibert"  # whose files can say that layers differ


class Kept(NamedTuple):
    """What is left of a model: of each layer that stays its number, its heads and its rows, by their places in what there was."""

    layers: tuple[int, ...]
    heads: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]


def whole(config: BertConfig, layers: Sequence[int] | None = None) -> Kept:
    """Everything, or all of some layers."""
    layers = tuple(range(config.num_hidden_layers)) if layers is None else tuple(layers)
    return Kept(layers, tuple(tuple(range(len(config.heads_of(i)))) for i in layers),
                tuple(tuple(range(config.intermediate_of(i))) for i in layers))


def config_of(config: BertConfig, kept: Kept) -> BertConfig:
    """The configuration of what is left. Heads keep the numbers that they have had from the beginning."""
    heads = tuple(tuple(config.heads_of(i)[k] for k in own) for i, own in zip(kept.layers, kept.heads))
    sizes = tuple(map(len, kept.rows))
    some = {"heads_of_layers": heads if any(len(own) < config.num_attention_heads for own in heads) else None,
            "intermediate_sizes": sizes if any(size < config.intermediate_size for size in sizes) else None}
    return config.replace(num_hidden_layers=len(kept.layers), **some,
                          model_type=FAMILY if any(some.values()) else config.model_type)


def cut(model: Model, parameters: Parameters, config: BertConfig, kept: Kept) -> Parameters:
    """The tensors of ``model``, which has what is left, out of those of a model of ``config``."""
    left, there = Parameters.zeros(model.layout(), dtype=parameters.flat.dtype), dict(parameters.items())
    for name, view in left.items():
        source, rows, columns = _places(name, config, kept)
        x = there[source]
        x = x if rows is None else x[rows]
        view[...] = x if columns is None else x[:, columns]
    return left


def filled(model: Model, parameters: Parameters, config: BertConfig) -> Parameters:
    """The tensors of ``model``, whose layers are whole, out of those of a pruned model of ``config``, and zeros.

    Heads stand where they were, and the rows of a feed-forward part, whose order means nothing, before the zeros.
    """
    full, there = Parameters.zeros(model.layout(), dtype=parameters.flat.dtype), dict(parameters.items())
    kept = whole(config)._replace(heads=tuple(map(config.heads_of, range(config.num_hidden_layers))))
    for name, view in full.items():
        _, rows, columns = _places(name, config, kept)
        if rows is not None:
            view[rows] = there[name]
        elif columns is not None:
            view[:, columns] = there[name]
        else:
            view[...] = there[name]
    return full


def full(config: BertConfig, model_type: str) -> BertConfig:
    """The configuration with all heads and rows, of the family that it was of."""
    return config.replace(heads_of_layers=None, intermediate_sizes=None, model_type=model_type)


def whole_again(model: Model, parameters: Parameters, model_type: str) -> tuple[BertConfig, Parameters]:
    """A pruned model in the shape that it had."""
    config = full(model.config, model_type)
    return config, filled(replace(model, config=config), parameters, model.config)


def goers(importance: Sequence[np.ndarray], count: int, by: str = "example", seed: int = 0) -> list[np.ndarray]:
    """Of each layer ``(n,)`` bool: which of its n parts go, ``count`` in all, the least important first.

    ``by``: ``random`` draws them, ``reverse`` takes the most important first. The last of a layer stays, and the next in the
    order goes. ValueError where that leaves too few.
    """
    sizes = [len(x) for x in importance]
    if count > (most := sum(sizes) - len(sizes)):
        raise ValueError(f"{count} of {sum(sizes)} would leave a layer without any, and each of {len(sizes)} keeps its last one: "
                         f"ask for at most {most}")
    flat = np.concatenate(importance)
    layer, gone = np.repeat(np.arange(len(sizes)), sizes), np.zeros(len(flat), bool)
    order = np.random.default_rng([seed, 0x9A]).permutation(len(flat)) if by == "random" else np.argsort(flat, kind="stable")
    left = np.array(sizes)
    for i in order[::-1] if by == "reverse" else order:
        if not count:
            break
        if left[layer[i]] > 1:
            gone[i], count = True, count - 1
            left[layer[i]] -= 1
    return np.split(gone, np.cumsum(sizes)[:-1])


def _places(name: str, config: BertConfig, kept: Kept) -> tuple[str, np.ndarray | None, np.ndarray | None]:
    """Where a tensor comes from: its name there, and its rows and columns, None for all of them."""
    if not name.startswith(LAYER):
        return name, None, None
    number, _, rest = name.removeprefix(LAYER).partition(".")
    D, i = config.head_size, int(number)
    heads = (np.array(kept.heads[i])[:, None] * D + np.arange(D)).reshape(-1)
    rows = np.array(kept.rows[i]) if config.ffn_count == 1 else None
    source = f"{LAYER}{kept.layers[i]}.{rest}"
    if rest.startswith("attention.self."):
        return source, heads, None
    if rest == "attention.output.dense.weight":
        return source, None, heads
    if rest.startswith("intermediate.dense."):
        return source, rows, None
    return source, None, rows if rest == "output.dense.weight" else None
