"""One training step: micro-batches in, gradients summed, weights moved. What is done once a step and what once a micro-batch.

The loss of a step is a sum over all its micro-batches, divided by counts that are known before the first forward pass: masked
tokens for one task, pairs for the other. So it does not matter how the examples were cut, nor how many workers there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array, get_xp, widen
from minibert.config import BertConfig
from minibert.data.batches import Batch
from minibert.kernels import products
from minibert.layers.dropout import Key
from minibert.model import pretraining
from minibert.parameters import Parameters, Tree
from minibert.training import adamw
from minibert.training.adamw import AdamW
from minibert.training.precision import LossScale, dtype_of
from minibert.training.workers import Workers, share_out

PIECE = 2**18  # numbers that the optimiser treats at a time: few for the cache, many so that threads seldom wait for one another


class Metrics(NamedTuple):
    """Of a step or an evaluation. Numbers, or arrays () on the device until somebody reads them."""

    mlm_loss: Array | float  # nats per masked token
    nsp_loss: Array | float  # nats per pair
    mlm_correct: Array | int
    nsp_correct: Array | int
    masked: int
    pairs: int
    tokens: int

    @property
    def loss(self) -> float:
        return float(self.mlm_loss) + float(self.nsp_loss)

    @property
    def mlm_accuracy(self) -> float:
        return float(self.mlm_correct) / max(self.masked, 1)

    @property
    def nsp_accuracy(self) -> float:
        return float(self.nsp_correct) / max(self.pairs, 1)


class Engine:
    """A model in training: its parameters, their gradients (one slab a worker) and moments, on one device.

    ``key`` of a step is ``(seed, step)``, extended by the number of the micro-batch: the same step always drops the same numbers.
    """

    def __init__(self, config: BertConfig, parameters: Parameters, workers: Workers, optimiser: AdamW = adamw.DEFAULT,
                 clip_norm: float | None = 1.0, seed: int = 0, precision: str = "float32") -> None:
        self.config, self.parameters, self.workers = config, parameters, workers
        self.optimiser, self.clip_norm, self.seed = optimiser, clip_norm, seed
        self.xp = get_xp(parameters.flat)
        self.on_cpu = self.xp is np
        self.dtype = dtype_of(precision, self.xp)
        self.loss_scale = LossScale(self.xp) if precision == "float16" else None
        if not self.on_cpu:
            products.allow_tf32(self.xp, precision == "tf32")
        count = workers.count if self.on_cpu else 1
        self.gradients = [parameters.zeros_like() for _ in range(count)]
        self.m, self.v = parameters.zeros_like(), parameters.zeros_like()
        self.step = 0
        self._runs = adamw.runs(parameters.layout)
        self._runs_without_pairs = adamw.runs(
            parameters.layout, lambda name: not name.startswith(("bert.pooler.", "cls.seq_relationship.")))

    def train(self, batches: Sequence[Batch], lr: float) -> tuple[Metrics, Array | float]:
        """One step: the metrics of its micro-batches, before the weights moved, and the norm of the gradient.

        On the CPU a loss or a norm that is not finite raises FloatingPointError; weights and moments stay as they were, the
        gradients are dropped.
        """
        metrics = self.accumulate(batches)
        norm = self.apply(lr, pairs=metrics.pairs > 0, loss=metrics.loss if self.on_cpu else None)
        return metrics, norm

    def accumulate(self, batches: Sequence[Batch]) -> Metrics:
        """Forward and backward of every micro-batch; the gradients are added to the workers' slabs."""
        return self._each(batches, Key(self.seed, self.step), self.gradients)

    def evaluate(self, batches: Sequence[Batch]) -> Metrics:
        """Forward only, nothing dropped."""
        return self._each(batches, None, [None] * len(self.gradients))

    def _each(self, batches: Sequence[Batch], key: Key | None, slabs: Sequence[Parameters | None]) -> Metrics:
        counts = sum(b.masked for b in batches), sum(b.pairs for b in batches)
        numbered = list(enumerate(batches))
        shares = share_out(numbered, [b.ids.size for b in batches], len(slabs))

        narrow = self.dtype.itemsize < 4
        p = (self.parameters.astype(self.dtype) if narrow else self.parameters).tree  # the masters stay as they are
        dloss = 1.0 if self.loss_scale is None else self.loss_scale.scale

        def work(share: list[tuple[int, Batch]], slab: Parameters | None) -> list[tuple]:
            return [_micro_batch(self.xp, batch, p, self.config, counts, key and key._replace(micro_batch=i), slab, dloss)
                    for i, batch in share]

        parts = [part for share in self.workers.map(work, shares, slabs) for part in share]
        mlm_loss, nsp_loss, mlm_correct, nsp_correct = (sum(column) for column in zip(*parts))
        return Metrics(mlm_loss, nsp_loss, mlm_correct, nsp_correct, *counts, sum(b.tokens for b in batches))

    def apply(self, lr: float, pairs: bool = True, loss: float | None = None) -> Array | float:
        """Sum the workers' gradients, clip them, step, zero them. Returns the norm of the gradient before clipping."""
        self.step += 1
        table = self._runs if pairs else self._runs_without_pairs
        if not self.on_cpu:
            return self._apply_on_device(table, lr)
        pieces = adamw.pieces(table, PIECE)
        norm = sum(self.workers.map(self._sum_piece, pieces)) ** 0.5
        if not (np.isfinite(norm) and (loss is None or np.isfinite(loss))):
            self.step -= 1
            for slab in self.gradients:
                slab.flat.fill(0)
            raise FloatingPointError(f"step {self.step + 1}: the loss is {loss}, the gradient's norm {norm}, "
                                     f"the learning rate {lr:.3g}")
        scale = None if self.clip_norm is None else min(1.0, self.clip_norm / (norm + 1e-6))
        self.workers.map(lambda run: self._step([run], lr, self.step, scale), pieces)
        return norm

    def _apply_on_device(self, table: Sequence[adamw.Run], lr: float) -> Array:
        """The same without a look at any number: the host goes on while the device works.

        With a scaled loss, a step whose gradients overflowed is skipped; its norm is given as 0.
        """
        norm, number, scale, skip = adamw.norm(self.gradients[0].flat, table), self.step, None, False
        if self.loss_scale is not None:
            finite = self.xp.isfinite(norm)
            norm = self.xp.where(finite, norm / self.loss_scale.scale, 0).astype("float32")
            skip, scale = ~finite, 1 / self.loss_scale.scale
            number = number - self.loss_scale.skipped
            self.loss_scale.update(finite)
        if self.clip_norm is not None:
            clip = self.xp.minimum(1.0, self.clip_norm / (norm + 1e-6))
            scale = clip if scale is None else clip * scale
        self._step(table, lr, number, scale, skip)
        return norm

    def _sum_piece(self, run: adamw.Run) -> float:
        """The other workers' gradients added to the first one's, in worker order; theirs are zeroed. Its squared norm."""
        total, *others = (slab.flat[run.start:run.stop] for slab in self.gradients)
        for other in others:
            total += other
            other.fill(0)
        return float(np.dot(total, total))

    def _step(self, table: Sequence[adamw.Run], lr: float, number: Array | int, scale: Array | float | None,
              skip: Array | bool = False) -> None:
        slabs = (slab.flat for slab in (self.parameters, self.gradients[0], self.m, self.v))
        adamw.step(*slabs, table, lr, number, self.optimiser, scale, skip)


def inputs(batch: Batch, xp: Any) -> pretraining.Inputs:
    """A micro-batch as the model's inputs, on the device of ``xp``."""
    move = (lambda a: a) if xp is np else xp.asarray
    return pretraining.Inputs(move(batch.ids), move(batch.token_type_ids),
                              None if batch.attention_mask is None else move(batch.attention_mask),
                              move(batch.positions), move(batch.labels), move(batch.next_labels))


def _micro_batch(xp: Any, batch: Batch, p: Tree, config: BertConfig, counts: tuple[int, int], key: Key | None,
                 slab: Parameters | None, dloss: Array | float) -> tuple:
    x = inputs(batch, xp)
    out, cache = pretraining.forward(x, p, config, key=key, counts=counts)
    if slab is not None:
        pretraining.backward(pretraining.Output(loss=dloss), cache, p, slab.tree)
    mlm_correct = (widen(out.logits).argmax(-1) == x.labels).sum()
    nsp_correct = (widen(out.next_logits).argmax(-1) == x.next_labels).sum()
    return out.mlm_loss, out.nsp_loss, mlm_correct, nsp_correct
