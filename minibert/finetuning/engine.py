"""A step of fine-tuning: the trainer's engine over another model.

What happens to gradients (summed over workers, clipped, stepped, zeroed) is inherited from pre-training. New are the model with
its task's loss, layers that do not learn, and layers that learn more slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minibert.backend import Array, get_xp, to_numpy
from minibert.config import BertConfig
from minibert.finetuning.features import Batch
from minibert.layers.dropout import Key
from minibert.model import finetuned
from minibert.model.finetuned import Inputs, Kind
from minibert.parameters import Parameters
from minibert.training import adamw, engine
from minibert.training.adamw import AdamW
from minibert.training.workers import DEVICE_TOKENS, Workers, share_out


class Engine(engine.Engine):
    """A model of one task in training.

    ``weights`` ``(C,)``: what each class counts in the loss. ``freeze``: the embeddings and so many of the lowest layers do not
    learn; None: all do. ``layer_decay``: the learning rate of each layer is that of the layer above times this.
    """

    def __init__(self, config: BertConfig, kind: Kind, parameters: Parameters, workers: Workers, optimiser: AdamW = adamw.DEFAULT,
                 clip_norm: float | None = 1.0, seed: int = 0, *, weights: np.ndarray | None = None, freeze: int | None = None,
                 layer_decay: float = 1.0) -> None:
        if freeze is not None and not 0 <= freeze <= config.num_hidden_layers:
            raise ValueError(f"freeze must be from 0 (the embeddings) to {config.num_hidden_layers}, the number of layers, "
                             f"got {freeze}")
        super().__init__(config, parameters, workers, optimiser, clip_norm, seed)
        self.kind, self.freeze, self.weights = kind, freeze, weights
        self._runs = adamw.runs(
            parameters.layout, lambda name: freeze is None or depth(name, config) > freeze,
            lambda name: layer_decay ** (config.num_hidden_layers + 1 - depth(name, config)))

    def train(self, batches: Sequence[Batch], lr: float) -> tuple[Array | float, Array | float]:
        """One step: its loss, before the weights moved, and the norm of the gradient. Errors as in pre-training."""
        loss = self.accumulate(batches)
        return loss, self.apply(lr, loss=float(loss) if self.on_cpu else None)

    def accumulate(self, batches: Sequence[Batch]) -> Array | float:
        """Forward and backward of every micro-batch; the gradients are added to the workers' slabs. The loss."""
        return sum(loss for loss, _ in self._each(batches, Key(self.seed, self.step), self.gradients))

    def predict(self, batches: Sequence[Batch]) -> tuple[float, list[np.ndarray]]:
        """The loss, and the logits of every feature: see the function of this name."""
        return predict(self.parameters, self.config, self.kind, batches, self.workers, self.weights)

    def _each(self, batches: Sequence[Batch], key: Key, slabs: Sequence[Parameters]) -> list[tuple]:
        """(loss, logits) of every micro-batch, in their order; the losses sum to that of them all."""
        count = sum(batch.count(self.weights) for batch in batches)
        weights = _moved(self.weights, self.parameters)
        p = self.parameters.tree

        def work(i: int, slab: Parameters) -> tuple:
            out, cache = finetuned.forward(inputs(batches[i], self.xp), p, self.config, self.kind,
                                           key=key._replace(micro_batch=i), count=count, weights=weights)
            finetuned.backward(finetuned.Output(loss=1.0), cache, p, slab.tree, self.freeze)
            return out.loss, out.logits

        return _spread(batches, work, slabs, self.workers)


def predict(parameters: Parameters, config: BertConfig, kind: Kind, batches: Sequence[Batch], workers: Workers,
            weights: np.ndarray | None = None) -> tuple[float, list[np.ndarray]]:
    """Nothing dropped: the loss, and the logits of every feature in the order before they were cut into batches.

    Logits of one feature: (C,), (T, C) with the batch's padding, or (2, T); see ``finetuned``.
    """
    xp = get_xp(parameters.flat)
    count = sum(batch.count(weights) for batch in batches)
    there = _moved(weights, parameters)

    def work(i: int, _: None) -> tuple:
        out, _ = finetuned.forward(inputs(batches[i], xp), parameters.tree, config, kind, count=count, weights=there)
        return out.loss, out.logits

    parts = _spread(batches, work, [None] * (workers.count if xp is np else 1), workers)
    logits: list[np.ndarray] = [np.empty(0)] * sum(len(batch.places) for batch in batches)
    for batch, (_, rows) in zip(batches, parts):
        for place, row in zip(batch.places, to_numpy(rows)):
            logits[place] = row
    return float(sum(loss for loss, _ in parts)), logits


def tokens_at_a_time(xp: Any) -> int:
    """Of a micro-batch, unless somebody says otherwise. Whoever predicts with as many gets the same numbers to the last bit."""
    return 512 if xp is np else DEVICE_TOKENS


def _spread(batches: Sequence[Batch], work: Callable[[int, Any], tuple], slabs: Sequence[Any], workers: Workers) -> list[tuple]:
    """``work(i, slab)`` of every batch, each slab in the hands of one worker; the results in the order of the batches."""
    shares = share_out(list(range(len(batches))), [batch.ids.size for batch in batches], len(slabs))
    parts = workers.map(lambda share, slab: [(i, work(i, slab)) for i in share], shares, slabs)
    results = dict(part for share in parts for part in share)
    return [results[i] for i in range(len(batches))]


def _moved(weights: np.ndarray | None, parameters: Parameters) -> Array | None:
    """The classes' weights where the parameters are, in their dtype."""
    return None if weights is None else get_xp(parameters.flat).asarray(weights.astype(parameters.flat.dtype))


def depth(name: str, config: BertConfig) -> int:
    """How far from the text a tensor is: 0 for the embeddings, i + 1 for layer i, and L + 1 for what is on top of the layers."""
    if name.startswith("bert.embeddings."):
        return 0
    if name.startswith("bert.encoder.layer."):
        return int(name.split(".")[3]) + 1
    return config.num_hidden_layers + 1


def inputs(batch: Batch, xp: Any) -> Inputs:
    """A micro-batch as the model's inputs, on the device of ``xp``."""
    move = (lambda a: a) if xp is np else xp.asarray
    mask = None if batch.attention_mask is None else move(batch.attention_mask)
    return Inputs(move(batch.ids), move(batch.token_type_ids), mask, move(batch.labels), batch.choices)
