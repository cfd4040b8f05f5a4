"""The twelve suspects of lesson 16: parts of a BERT as one finds them in tutorials. Each runs. None keeps its promise.

Each stands in for a part of the library, or for a few lines of a training script, and takes and returns the same. The promise is
in its docstring. What is wrong is for you to find.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck import Pair
from minibert.layers import cross_entropy, dropout, layernorm, linear
from minibert.layers.dropout import Key
from minibert.model import bert, pretraining
from minibert.parameters import NOTHING, Layout, Parameters, initialise
from minibert.tasks.corruption import masking

Array = np.ndarray


# 1 --- a linear layer, for minibert.layers.linear: the output is made of x and the parameters p


def _forward_1(x: Array, p: Any) -> tuple[Array, Any]:
    rng = np.random.default_rng()
    dense = {"weight": rng.normal(0, 0.02, p["weight"].shape).astype(x.dtype), "bias": np.zeros_like(p["bias"])}
    y, cache = linear.forward(x, dense)
    return y, (cache, dense)


def _backward_1(dy: Array, cache: Any, p: Any, g: Any) -> Array:
    inner, dense = cache
    return linear.backward(dy, inner, dense, NOTHING)


linear_1 = Pair(_forward_1, _backward_1)


# 2 --- add & norm, for minibert.layers.add_norm: what the layer was given is carried past it


def _forward_2(x: Array, residual: Array, p: Any, eps: float = 1e-12, rate: float = 0.0, key: Any = None) -> tuple[Array, Any]:
    dropped, dropout_cache = dropout.forward(x, rate, key)
    y, norm_cache = layernorm.forward(dropped, p, eps)
    return y, (dropout_cache, norm_cache)


def _backward_2(dy: Array, cache: Any, p: Any, g: Any) -> tuple[Array, Array]:
    dropout_cache, norm_cache = cache
    d = layernorm.backward(dy, norm_cache, p, g)
    return dropout.backward(d, dropout_cache), np.zeros_like(d)


add_norm_2 = Pair(_forward_2, _backward_2)


# 3 --- a linear layer again: what several calls of backward have to say about a weight is summed in g


def _backward_3(dy: Array, cache: Any, p: Any, g: Any) -> Array:
    rows, x = dy.reshape(-1, dy.shape[-1]), cache.x.reshape(-1, cache.x.shape[-1])
    if g:
        g["weight"][...] = rows.T @ x
        g["bias"][...] = rows.sum(0)
    return (rows @ p["weight"]).reshape(cache.x.shape)


linear_3 = Pair(linear.forward, _backward_3)


# 4 --- the mask that is added to attention scores (B, A, T, T), for minibert.layers.softmax.additive_mask


def additive_mask_4(mask: Array, dtype: Any) -> Array:
    """mask ``(B, T)``, 1 for tokens and 0 for padding -> what is added to the scores: no token takes anything from padding."""
    return ((mask == 0).astype(dtype) * -10000.0)[:, None, :, None]


# 5 --- vectors of texts


def encode_5(model: Any, texts: list[str]) -> Array:
    """A ``minibert.Bert`` and texts -> hidden states ``(B, T, H)``. A text's vectors do not depend on the rest of the batch."""
    ids, types, mask = model.tokenizer.batch([model.tokenizer.encode(text) for text in texts])
    out, _ = bert.forward(ids, types, None, model.parameters["bert"], model.config)
    return out.last_hidden_state * mask[:, :, None]


# 6 --- the loss of an evaluation


def evaluate_6(inputs: pretraining.Inputs, p: Any, config: Any) -> float:
    """The loss of the model as it is used: all of it."""
    out, _ = pretraining.forward(inputs, p, config, key=Key(seed=int(np.random.default_rng().integers(2**32))))
    return float(out.loss)


# 7 --- the two losses


def losses_7(logits: Array, labels: Array, next_logits: Array, next_labels: Array, ignored: int = 0) -> tuple[float, float]:
    """logits (M, V), labels (M,) of the masked words, filled up with 0 = [PAD], which does not count; next_logits (B, 2) and
    next_labels (B,) of the pairs, all of which count -> both mean losses."""
    labels = np.where(labels == ignored, cross_entropy.IGNORE, labels)
    next_labels = np.where(next_labels == ignored, cross_entropy.IGNORE, next_labels)
    return cross_entropy.forward(logits, labels)[0], cross_entropy.forward(next_logits, next_labels)[0]


# 8 --- the same number of slots for every sentence


def label_slots_8(positions: list[Array], labels: list[Array], T: int, slots: int) -> tuple[Array, Array]:
    """Masked places within each of B sentences, and the words there -> flat positions b·T + t and labels, B·slots of each.

    Slots that a sentence does not need take no part in the loss (label ``cross_entropy.IGNORE``)."""
    flat, padded = [], []
    for b, (places, words) in enumerate(zip(positions, labels)):
        unused = slots - len(places)
        flat.append(b * T + np.pad(places, (0, unused)))
        padded.append(np.pad(words, (0, unused)))
    return np.concatenate(flat), np.concatenate(padded)


# 9 --- masking one sentence, for minibert.tasks.corruption.masking.mask


def mask_9(ids: Array, rule: masking.Rule, key: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    """ids (T,) -> what the model sees (T,), the chosen places, the words there. Special tokens are neither chosen nor put in."""
    everything = np.arange(len(rule.is_ordinary), dtype=np.int32)
    return masking.mask(ids, rule._replace(ordinary=everything), key)


# 10 --- masking a batch


def mask_batch_10(rows: list[Array], rule: masking.Rule, seed: int, step: int) -> list[tuple[Array, Array, Array]]:
    """B sentences of ids -> B triples as of ``minibert.tasks.corruption.masking.mask``. Each sentence is masked on its own."""
    return [masking.mask(ids, rule, (seed, step, 0)) for ids in rows]


# 11 --- fresh parameters, for minibert.model.pretraining.initial_parameters


def initial_parameters_11(config: Any, seed: int = 0) -> Parameters:
    """Parameters of the whole model. The table that reads the words is the table that guesses them."""
    layout = pretraining.layout(config)
    shapes = {slot.name: slot.shape for slot in layout.slots.values()}
    shapes["cls.predictions.decoder.weight"] = (config.vocab_size, config.hidden_size)
    ties = {"cls.predictions.decoder.bias": "cls.predictions.bias"}
    parameters = initialise(Layout(shapes, ties), config.initializer_range, seed)
    parameters["cls"]["predictions"]["decoder"]["weight"][...] = parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
    return parameters


# 12 --- one vector for a sentence


def pool_12(x: Array, mask: Array) -> Array:
    """x (B, T, H), mask (B, T) with 1 for tokens -> (B, H): the mean over the tokens of each sentence."""
    return x.mean(axis=1)
