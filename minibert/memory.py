"""Where the memory goes: how many bytes inference and training take, part by part.

With N = B·T tokens, training keeps for every layer, until its backward pass::

    attention     x, q, k, v, context                        5·N·H
    probabilities softmax, dropout's mask, their product     3·B·A·T²         the part that grows with the square of the length,
                                                                              up to that at which attention goes in blocks
    feed-forward  h, W1·h, Φ, gelu                           N·H + 3·N·I      I = 4·H: more than half of all
    layer norms   x̂ and 1/σ, twice                           2·N·H + 2·N
    dropout       two masks                                  2·N·H

and, for each weight, four numbers: itself, its gradient and the two moments of Adam, which LAMB keeps as well (Adafactor
keeps a number for each row and each column). An average of the weights is a fifth. The formulas are for the reader: what a
layer keeps is measured on the cache of a real block, whatever block that is, arrays that two of its parts share counted once.
Temporaries, which live for a moment only, are estimates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minibert.config import BertConfig
from minibert.layers.attention_in_blocks import rows_of
from minibert.layers.dropout import Key
from minibert.model import blocks, bodies, pretraining
from minibert.numerics import adafactor
from minibert.numerics.products import LARGE, PIECE
from minibert.parameters import STATISTICS, Layout

FLOAT = 4  # bytes of a float32
AVERAGE, MOMENTS = "average of the weights", "moments of Adam"
MASKED_SHARE = 0.15  # of the tokens are predicted


PARTS = {  # of what a block keeps, by the names of the fields of its cache; the first that fits
    r"^(attention\.(?!probs|weights)|output\.(dense\.)?x$)": "attention: x, q, k, v, context",
    r"^attention\.": "attention probabilities, T × T per head",
    r"^(networks\.\d+\.)?(up|activation|down)\.(dense\.|kept\.|x$)": "feed-forward: its input, W1·h, Φ, gelu",
    r"\.(xhat|rstd|norm\.kept\.x)$": "layer norms",
    r"\.mask$": "dropout masks",
    r"": "other activations",
}


OF_A_LAYER = ("attention", "feed_forward", "bottlenecks", "norms")


class Part(NamedTuple):
    """One line of a table: ``name`` takes so many bytes, so many times."""

    name: str
    bytes: int
    times: int = 1


def parameter_counts(config: BertConfig) -> dict[str, int]:
    """The number of weights by part, counted over the tensors that a model of this configuration really has.

    Keys: word, position, type, task, norm, projection (of the embeddings); attention, feed_forward, bottlenecks, norms (of one
    layer, the mean where they differ); convolutions and statistics (all of both; the latter are no weights, and counted nowhere
    else); layers (all of them, those that share their weights once); final_norm (pre-LN only); pooler; encoder (all so far);
    mlm, nsp and replaced (the heads); total: with the heads of pre-training, and with the pooler where one of them reads it.
    """
    counts = dict.fromkeys(("word", "position", "type", "task", "norm", "projection", *OF_A_LAYER, "convolutions", "statistics",
                            "layers", "final_norm", "pooler", "encoder", "mlm", "nsp", "replaced"), 0)
    counts["total"] = pretraining.layout(config).learned
    for name, slot in pretraining.layout(config, pooled=True).slots.items():
        size = slot.stop - slot.start
        if name.endswith(STATISTICS):
            counts["statistics"] += size
            continue
        counts["encoder"] += size * name.startswith("bert.")
        counts["layers"] += size * name.startswith("bert.encoder.")
        counts[_part(name)] += size
    for part in OF_A_LAYER:
        counts[part] //= len(set(config.uses))
    return counts


def _part(name: str) -> str:
    if name.startswith("bert.embeddings."):
        return {"word_embeddings": "word", "position_embeddings": "position", "token_type_embeddings": "type",
                "task_type_embeddings": "task", "LayerNorm": "norm", "projection": "projection"}[name.split(".")[2]]
    if name.startswith("bert.encoder."):
        marks = {"LayerNorm": "norms", "BatchNorm": "norms", "convolution": "convolutions", "bottleneck": "bottlenecks",
                 "attention": "attention"}  # the first that is in it
        return next((part for mark, part in marks.items() if f".{mark}." in name), "feed_forward")
    return {"bert.LayerNorm": "final_norm", "bert.pooler": "pooler", "cls.predictions": "mlm", "cls.seq_relationship": "nsp",
            "discriminator_predictions.dense": "replaced", "discriminator_predictions.dense_prediction": "replaced"}[
                ".".join(name.split(".")[:2])]


def layer_activations(config: BertConfig, batch: int, length: int, recompute: bool = False) -> list[Part]:
    """What the layers keep for the backward pass in training, for ``batch`` texts of ``length`` tokens: L times as much as one,
    or the sum where they differ. ``recompute``: the inputs of all, and what the largest keeps while it is at work.
    """
    if recompute:
        states = Part("inputs of the layers", batch * length * config.hidden_size * FLOAT, config.num_hidden_layers)
        largest = max((_kept(config, length, i) for i in range(config.num_hidden_layers)), key=lambda kept: sum(kept.values()))
        return [states, *(Part(name, batch * size) for name, size in largest.items() if size)]
    if not (config.heads_of_layers or config.intermediate_sizes):
        return [Part(name, batch * size, config.num_hidden_layers) for name, size in _kept(config, length).items() if size]
    each = [_kept(config, length, layer) for layer in range(config.num_hidden_layers)]
    sums = {name: sum(kept[name] for kept in each) for name in each[0]}
    return [Part(name, batch * size) for name, size in sums.items() if size]


@lru_cache(maxsize=64)
def _kept(config: BertConfig, length: int, layer: int = 0) -> dict[str, int]:
    """Bytes by part that the block of a layer keeps of one text: its input, what is in its cache, and where it looked."""
    if config.filter_sizes:
        return {"convolutions, normed and not": _kept_by_convolutions(config, length) // config.num_hidden_layers}
    layout = Layout(blocks.of(config).shapes(config, layer))
    x = np.zeros((1, length, config.hidden_size), np.float32)
    p = layout.tree(np.zeros(layout.size, np.float32))
    (_, weights), cache = blocks.of_layer(config, layer).forward(x, p, config, key=Key(0))
    sizes, seen = dict.fromkeys(PARTS.values(), 0), set()
    for path, array in (("attention.x", x), *_arrays(cache), *(() if weights is None else [("attention.weights", weights)])):
        while isinstance(array.base, np.ndarray):  # a view keeps the whole alive
            array = array.base
        if id(array) not in seen:
            seen.add(id(array))
            part = next(part for pattern, part in PARTS.items() if re.search(pattern, path))
            sizes[part] += array.nbytes
    return sizes


def _kept_by_convolutions(config: BertConfig, length: int) -> int:
    """Bytes that a whole body of convolutions keeps of one text."""
    body, ids = bodies.of(config), np.zeros((1, length), np.int64)
    layout = Layout(body.shapes(config))
    _, cache = body.forward(ids, ids, None, layout.tree(np.zeros(layout.size, np.float32))["bert"], config, key=Key(0))
    return sum({id(array): array.nbytes for _, array in _arrays(cache)}.values())


def _arrays(cache: Any, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The arrays in a cache, with the names of the fields on the way to each."""
    for field, value in zip(getattr(cache, "_fields", map(str, range(len(cache)))), cache):
        if isinstance(value, tuple):
            yield from _arrays(value, f"{path}{field}.")
        elif isinstance(value, np.ndarray):
            yield path + field, value


def other_activations(config: BertConfig, batch: int, length: int, masked: int) -> list[Part]:
    """What is kept outside the layers; ``masked``: the number of tokens that are predicted."""
    H, V, N = config.hidden_size, config.vocab_size, batch * length
    E = config.table_width
    read = config.embedding_width * (config.word_window or bool(config.embedding_size))  # by the projection, of each token
    embeddings = N * (E + (config.norm == "layer_norm") + E * bool(config.hidden_dropout_prob) + read)
    head = H + config.decoder_width * (3 if config.hidden_act == "relu" else 4)  # rows; relu, or x and Φ; x̂ and its image
    last = N * H + (N * (2 * H + 1) if config.norm_first else 0) + batch * H
    return [
        Part("embeddings, last hidden state, pooled", FLOAT * (embeddings + last)),
        Part(f"logits of {masked:,} masked tokens, twice", FLOAT * (masked * head + 2 * masked * V)),
    ]


def activations(config: BertConfig, batch: int, length: int, masked: int | None = None, recompute: bool = False) -> int:
    """Bytes of all that is kept for the backward pass in training; ``recompute``: see ``layer_activations``."""
    masked = masked_tokens(batch, length) if masked is None else masked
    return total(layer_activations(config, batch, length, recompute)) + total(other_activations(config, batch, length, masked))


def masked_tokens(batch: int, length: int) -> int:
    """How many tokens of a full batch are predicted."""
    return max(1, round(MASKED_SHARE * batch * length))


def of_maps(batch: int, heads: int, length: int) -> int:
    """How many numbers of a layer's attention maps are in memory at a time: all, or of a long text a block of one head."""
    rows = rows_of(length)
    return batch * heads * length**2 if rows == length else rows * length


def temporaries(config: BertConfig, batch: int, length: int, masked: int | None = None) -> int:
    """Bytes, about, of what a backward pass allocates for a moment at its highest point, gradients aside."""
    masked = masked_tokens(batch, length) if masked is None else masked
    I, A, V = config.intermediate_size, config.num_attention_heads, config.vocab_size
    H, N = max(config.hidden_size, config.attention_size), batch * length
    head = V * config.embedding_width
    head = head if head <= LARGE else PIECE  # a gradient of the decoder's weight, or a piece of it, before it is added
    block = N * (2 * I + 10 * H) + 4 * of_maps(batch, A, length)
    if config.filter_sizes:
        block = 3 * N * max(config.filter_sizes) * config.embedding_width  # windows side by side, and their gradients
    return FLOAT * (masked * V + max(head, block))


def inference(config: BertConfig, batch: int, length: int) -> list[Part]:
    """Parts of the memory that ``Bert`` takes for one batch. No layer keeps anything but its output."""
    H, I, A, N = config.hidden_size, config.intermediate_size, config.num_attention_heads, batch * length
    widest, again = max(H, config.attention_size), 2 * (config.ffn_count - 1) * (config.attention_size + I)
    probabilities = of_maps(batch, A, length)
    if config.filter_sizes:
        return [Part("weights", FLOAT * parameter_counts(config)["total"]),
                Part("all convolutions", batch * _kept_by_convolutions(config, length))]
    return [
        Part("weights", FLOAT * parameter_counts(config)["total"]),
        Part("hidden states", FLOAT * N * H, config.num_hidden_layers + 1),
        Part("one layer at work",
             FLOAT * max(N * 5 * widest + 3 * probabilities, N * (7 * widest + 4 * I + again) + probabilities)),
    ]


def of_optimiser(config: BertConfig, factored: bool) -> Part:
    """What it keeps from step to step. ``factored``: Adafactor, in the place of Adam or LAMB."""
    shapes = {slot.name: slot.shape for slot in pretraining.layout(config).slots.values() if not slot.name.endswith(STATISTICS)}
    if factored:
        return Part("row and column means of Adafactor", FLOAT * sum(Layout(its).size for its in adafactor.kept(shapes).values()))
    return Part(MOMENTS, FLOAT * Layout(shapes).size, 2)


def training(config: BertConfig, batch: int, length: int, average: bool = False, factored: bool = False,
             recompute: bool = False) -> list[Part]:
    """Parts of the memory that one training step takes where the whole batch is computed at once, as on a GPU.

    ``average``: with one of the weights (``--ema``). ``factored``: see ``of_optimiser``; ``recompute``: ``layer_activations``.
    """
    weights = FLOAT * parameter_counts(config)["total"]
    masked = masked_tokens(batch, length)
    return [
        Part("weights", weights),
        Part("gradients", weights),
        of_optimiser(config, factored),
        *([Part(AVERAGE, weights)] if average else []),
        *layer_activations(config, batch, length, recompute),
        *other_activations(config, batch, length, masked),
        Part("temporaries, about", temporaries(config, batch, length)),
    ]


def training_on_cores(config: BertConfig, batch: int, length: int, workers: int, tokens: int = 512,
                      average: bool = False, factored: bool = False, recompute: bool = False) -> list[Part]:
    """The same for the CPU: each of ``workers`` threads has its own gradients and, at a time, one micro-batch of ``tokens``."""
    weights = FLOAT * parameter_counts(config)["total"]
    size = batch if config.filter_sizes else min(max(1, tokens // length), max(1, -(-batch // workers)))  # convolutions: not cut
    at_once = min(workers, batch)
    each = activations(config, size, length, recompute=recompute) + temporaries(config, size, length)
    return [
        Part("weights", weights),
        Part("gradients, per core", weights, workers),
        of_optimiser(config, factored),
        *([Part(AVERAGE, weights)] if average else []),
        Part(f"activations of {size} × {length} tokens per core", each, at_once),
    ]


def total(parts: list[Part]) -> int:
    """The sum, in bytes."""
    return sum(part.bytes * part.times for part in parts)


def size(count: int) -> str:
    """Bytes for a reader: ``6.93 GB``, ``512 MB``, ``17 kB``."""
    for unit, one in {"GB": 10**9, "MB": 10**6, "kB": 10**3}.items():
        if count >= one:
            value = count / one
            return f"{value:.2f} {unit}" if value < 10 else f"{value:.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
    return f"{count} bytes"
