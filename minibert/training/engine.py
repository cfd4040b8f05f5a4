"""One training step: micro-batches in, gradients summed, weights moved. What is done once a step and what once a micro-batch.

The loss of a step is a sum over all its micro-batches, divided by counts that are known before the first forward pass: masked
tokens for one term, pairs for another. So it does not matter how the examples were cut. Gradients are added in a fixed tree over
*lanes* (see ``lanes``), so it does not matter either how many threads there are.

Several *ranks* each have a part of the lanes. Each receives from all others the gradients of its own strip of the slab, adds them
in the top of the tree, and takes the optimiser's step there, for which it alone keeps moments; then the weights are gathered.

The engine knows nothing of its model but that it is a pair with counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array, get_xp, to_numpy
from minibert.config import BertConfig
from minibert.kernels import products
from minibert.layers.dropout import Key
from minibert.model import bodies, embeddings
from minibert.model.encoder import add
from minibert.model.model import Inputs, Model, Output
from minibert.parameters import STATISTICS, Layout, Parameters, Slot, Tree
from minibert.ranks import ALONE, Ranks
from minibert.training import adamw, averaging, lanes, optimisers, together
from minibert.training.averaging import AVERAGE
from minibert.training.lanes import strips
from minibert.training.precision import LossScale, dtype_of
from minibert.workers import DEVICE_TOKENS, Workers, share_out

PIECE = 2**18  # numbers that the optimiser treats at a time: few for the cache, many so that threads seldom wait for one another
SENT = 4  # pieces of every strip that ranks exchange at a time


@dataclass(frozen=True)
class Metrics:
    """Of a step or an evaluation. Numbers, or arrays () on the device until somebody reads them.

    What belongs to a term can be read as in the columns of ``metrics.csv``: ``metrics.mlm_loss``, ``metrics.mlm_accuracy``.
    """

    loss: Array | float
    losses: Mapping[str, Array | float]  # by term: nats per masked token, per pair
    correct: Mapping[str, Array | int]  # by term, and what else the model has counted
    counts: Mapping[str, int]  # by term: its targets
    tokens: int

    def accuracy(self, term: str) -> float:
        """The share of right guesses."""
        return float(self.correct.get(term, 0)) / max(self.counts[term], 1)

    def __getattr__(self, name: str) -> Any:
        term, _, figure = name.rpartition("_")
        if figure not in ("loss", "accuracy") or term not in self.__dict__.get("counts", ()):
            raise AttributeError(f"Metrics has no {name}")
        return self.accuracy(term) if figure == "accuracy" else self.losses.get(term, 0.0)


class Known(NamedTuple):
    """What is known of a step beforehand."""

    counts: Mapping[str, float]  # by term: what its loss is divided by
    targets: Mapping[str, int]  # by term: how many there are
    sizes: Sequence[int]  # of each micro-batch: its tokens, padding counted
    tokens: int  # of all, without padding


#: By the number of a micro-batch: its loss, the losses by term, and what was counted in it.
Figures = dict[int, tuple]


class Strip(NamedTuple):
    """A rank's part of a slab."""

    flat: Array
    start: int = 0  # where in the slab
    layout: Layout | None = None  # of the slab


class Engine:
    """A model in training: its parameters, their gradients, and what the optimiser keeps, on one device.

    ``key`` of a step is ``(seed, step)``, extended by the number of the micro-batch: the same step always drops the same numbers.
    ``freeze``: the embeddings and so many of the lowest layers do not learn; None: all do. ``layer_decay``: the learning rate of
    each layer is that of the layer above times this. ``lanes``: of the sum of gradients, by default one a worker. ``teacher``:
    from the inputs of a micro-batch to further targets, such as the states of another model. ``optimiser``: the constants of one
    of ``optimisers``. ``ema``: the decay of an average of the weights (see ``averaging``), which then is what is evaluated.
    ``adversary``: how a step's gradient is made in place of ``accumulate``, see ``adversarial``. ``ranks``: who else trains this
    model; all call the same, with the same batches. ``recompute``: the layers' activations are computed again when the backward
    pass needs them, to the same numbers.
    ``kept``: slabs by name, what the optimiser keeps (of several ranks each has its strip) and the average. ValueError for a
    ``freeze`` that cannot be, and for lanes that the ranks cannot share.
    """

    def __init__(self, model: Model, parameters: Parameters, workers: Workers, optimiser: Any = adamw.DEFAULT,
                 clip_norm: float | None = 1.0, seed: int = 0, precision: str = "float32", *, freeze: int | None = None,
                 layer_decay: float = 1.0, lanes: int | None = None, ema: float | None = None,
                 adversary: Callable[..., Metrics] | None = None,
                 teacher: Callable[[Inputs], Mapping[str, Array]] | None = None, ranks: Ranks = ALONE,
                 recompute: bool = False) -> None:
        check_freeze(freeze, model.config)
        if recompute:
            bodies.check_recompute(model.config)
        self.model, self.parameters, self.workers, self.ranks = model, parameters, workers, ranks
        self.optimiser, self.clip_norm, self.seed = optimiser, clip_norm, seed
        self.freeze, self.layer_decay, self.ema, self.adversary, self.teacher = freeze, layer_decay, ema, adversary, teacher
        self.recompute = recompute
        self.rule = optimisers.module_of(optimiser)
        self.xp = get_xp(parameters.flat)
        self.on_cpu = self.xp is np
        self.dtype = dtype_of(precision, self.xp)
        self.loss_scale = LossScale(self.xp) if precision == "float16" else None
        if not self.on_cpu:
            products.allow_tf32(self.xp, precision == "tf32")
        self._carry(lanes or ranks.size * (workers.count if self.on_cpu else 1))
        self.strips = strips(len(parameters), ranks.size, PIECE)
        self.strip = self.strips[ranks.rank]
        layouts = optimisers.kept_by(optimiser, parameters.layout, ema)
        if ranks.size > 1 and not self.on_cpu and any(layout.size != len(parameters) for layout in layouts.values()):
            raise ValueError(f"--optimiser {optimisers.name_of(optimiser)} keeps what belongs to whole tensors, and on GPUs each "
                             "of several ranks owns a strip that cuts through them: take adamw or lamb, or one process")
        self.kept = {name: self._zeros(name, layout) for name, layout in layouts.items()}
        if ema is not None:
            self.kept[AVERAGE].flat[...] = parameters.flat
        self.step, self.origin = 0, 0  # steps done; after how many of them the optimiser began to count
        self._summed = 0  # micro-batches whose gradients are in the slabs
        self._tables: dict[frozenset[str], list[adamw.Run]] = {}

    def _carry(self, count: int) -> None:
        """Give every carrier its lanes and its slabs; the sum of ``self.gradients`` is the gradient."""
        self.lanes = count
        self._top = lanes.of_ranks(count, self.ranks.size)
        mine = lanes.parts(self._top)[self.ranks.rank]
        self._plan = lanes.plan(mine, self.workers.count if self.on_cpu else 1)
        self._slabs = [[self.parameters.zeros_like() for _ in range(lanes.levels(part))] for part in lanes.parts(self._plan)]
        self.gradients = [slab for slabs in self._slabs for slab in slabs]

    def _zeros(self, name: str, layout: Layout) -> Parameters | Strip:
        """For what is kept: all of it, or of what the ranks keep apart this one's strip."""
        if self.ranks.size == 1 or name == AVERAGE or layout.size < len(self.parameters):
            return Parameters.zeros(layout, self.xp, self.parameters.flat.dtype)
        return Strip(self.xp.zeros(len(self.strip), self.parameters.flat.dtype))

    def keep(self, kept: Mapping[str, Parameters]) -> None:
        """Go on with what was kept, whole as ``whole`` gives it."""
        for name, slab in self.kept.items():
            flat = kept[name].flat
            slab.flat[...] = self.xp.asarray(self._own(flat) if isinstance(slab, Strip) else flat)

    def whole(self) -> dict[str, Parameters]:
        """What is kept, of all numbers. Several ranks must all ask, and the first is told."""
        found = {}
        for name, slab in self.kept.items():
            if isinstance(slab, Strip):
                slab = self.parameters.zeros_like()
                self._own(slab.flat)[...] = self.kept[name].flat
                self.ranks.gather(slab.flat, self.strips)
            if self.ranks.first:
                found[name] = slab
        return found

    def _own(self, flat: Array) -> Array:
        """Of all numbers of a slab, those of this rank's strip."""
        return flat[self.strip.start:self.strip.stop]

    def resume(self, step: int, loss_scale: Sequence[float] = ()) -> None:
        """Go on after so many steps; the weights and what is kept are in their slabs."""
        self.step, self.origin = step, 0
        if self.loss_scale is not None:
            self.loss_scale = LossScale(self.xp, *loss_scale)

    def restart(self) -> None:
        """The optimiser counts its steps from here on. The moments stay, and the bias correction treats them as if they were new.

        Source: NVIDIA's DeepLearningExamples, ``run_pretraining.py``, at the beginning of its second phase.
        """
        self.origin = self.step
        if self.loss_scale is not None:
            self.loss_scale.restart()

    @property
    def learned(self) -> Parameters:
        """What a look measures and a folder holds: the weights, or their average where one is kept."""
        return self.kept.get(AVERAGE, self.parameters)

    @property
    def config(self) -> BertConfig:
        return self.model.config

    def train(self, batches: Sequence[Any], lr: float) -> tuple[Metrics, Array | float]:
        """One step: the metrics of its micro-batches, before the weights moved, and the norm of the gradient.

        On the CPU a loss or a norm that is not finite raises FloatingPointError; weights and moments stay as they were, the
        gradients are dropped.
        """
        known = self._known(batches)
        figures = self.gather(batches, known)
        present = frozenset(term for term, count in known.counts.items() if count)
        norm = self.apply(lr, present, figures)
        return self._metrics(known, figures), norm

    def gather(self, batches: Sequence[Any], known: Known | None = None) -> Figures:
        """The gradient of a step: as the adversary makes it, where there is one."""
        return (Engine.add if self.adversary is None else self.adversary)(self, batches, known or self._known(batches))

    def accumulate(self, batches: Sequence[Any]) -> Metrics:
        """Forward and backward of every micro-batch; the gradients are added to the slabs."""
        known = self._known(batches)
        return self._metrics(known, _of_all(self.ranks.share(self.add(batches, known))))

    def add(self, batches: Sequence[Any], known: Known, model: Model | None = None) -> Figures:
        """The same, and the figures of this rank's micro-batches.

        ``batches`` may be made as they are asked for (``tasks.batches.Streamed``): each is, once to be counted and once to be
        computed with, and then let go. ``model``: in place of the engine's, with the same tensors.
        """
        work = self._work(batches, known, Key(self.seed, self.step), model=model)
        shares = lanes.deal(known.sizes, self.lanes)

        def carrier(part: range, slabs: Sequence[Parameters]) -> list[list[tuple]]:
            return lanes.carry(part, slabs, lambda lane, slab: [(i, work(i, slab)) for i in shares[lane]])

        self._summed += len(batches)
        carried = self.workers.map(carrier, lanes.parts(self._plan), self._slabs)
        return dict(figure for part in carried for lane in part for figure in lane)

    def evaluate(self, batches: Sequence[Any]) -> Metrics:
        """Forward only, nothing dropped, with the average of the weights where there is one."""
        known = self._known(batches)
        work = self._work(batches, known, None, self.learned)
        return self._metrics(known, dict(enumerate(self._spread(batches, work))))

    def predict(self, batches: Sequence[Any]) -> tuple[float, list[np.ndarray]]:
        """The loss, and the logits of every feature: see the function of this name."""
        return predict(self.model, self.learned, batches, self.workers, self.ranks)

    def _spread(self, batches: Sequence[Any], work: Callable[[int], Any]) -> list[Any]:
        return _spread(batches, work, self.workers, self.xp, self.ranks)

    def _known(self, batches: Sequence[Any]) -> Known:
        """A look at every micro-batch before the first forward pass."""
        looks = [(self.model.counts([batch]), self.model.counts([batch], options=False), batch.ids.size, batch.tokens)
                 for batch in batches]
        counts, targets, sizes, tokens = zip(*looks)
        return Known(*({term: sum(each[term] for each in some) for term in some[0]} for some in (counts, targets)), sizes,
                     sum(tokens))

    def guesses(self, batches: Sequence[Any], known: Known, heads: Sequence[str]) -> list[Mapping[str, Array]]:
        """The logits of these heads for every micro-batch, with what the next ``accumulate`` would drop."""
        model, p, key = _on_device(self.model, self.parameters), self._tree(self.parameters), Key(self.seed, self.step)
        return self._spread(batches, lambda i: model.forward(
            inputs(batches[i], self.xp, self.config), p, key=key._replace(micro_batch=i), counts=known.counts,
            read=heads, recompute=True)[0].logits)

    def gradient(self, slot: Slot) -> Array:
        """Of a tensor so far ``(n,)``. What the lanes have is added up, so that more can be added to it in one order."""
        self._throughout(self._join)
        total = self.gradients[0].flat
        self._exchange()
        self.ranks.gather(total, self.strips)
        found = total[slot.start:slot.stop]
        if not self.ranks.first:  # rank 0 has the sum, as its first lane has where there is one rank
            found = found.copy()
            total.fill(0)
        return found

    def drop_gradients(self) -> None:
        """Forget what was accumulated."""
        self._summed = 0
        for slab in self.gradients:
            slab.flat.fill(0)

    def _tree(self, parameters: Parameters) -> Tree:
        """The weights to compute with; where that is in half precision, the masters stay as they are."""
        return (parameters.astype(self.dtype) if self.dtype.itemsize < 4 else parameters).tree

    def _work(self, batches: Sequence[Any], known: Known, key: Key | None,
              parameters: Parameters | None = None, model: Model | None = None) -> Callable[..., tuple]:
        """What is done with micro-batch i: forward, and where there is a slab for its gradient, backward. Its figures.

        Losses that look at all examples at once are taken before: see ``together``.
        """
        counts = known.counts
        parameters = parameters or self.parameters
        model = _on_device(model or self.model, parameters)
        p = self._tree(parameters)
        dloss = 1.0 if self.loss_scale is None else self.loss_scale.scale
        alone, read = together.without(model), [term.reads for term in together.terms(model)]

        def forward(i: int, recompute: bool = True) -> tuple:  # True also where no backward pass follows: little is kept
            x = inputs(batches[i], self.xp, self.config)
            if self.teacher is not None:
                x = x._replace(targets={**x.targets, **self.teacher(x)})
            return x, *alone.forward(x, p, key=key and key._replace(micro_batch=i), counts=counts, read=read,
                                     recompute=recompute)

        parts = [together.Part(upstream=Output(loss=dloss))] * len(batches)
        if read:
            logits = self._spread(batches, lambda i: forward(i)[1].logits)
            parts = together.parts(model, batches, logits, counts, dloss)

        def work(i: int, slab: Parameters | None = None) -> tuple:
            x, out, cache = forward(i, slab is None or self.recompute)
            if slab is not None:
                alone.backward(parts[i].upstream, cache, p, slab.tree, self.freeze)
            return add(out.loss, parts[i].loss), {**out.losses, **parts[i].losses}, model.correct(x, out)

        return work

    def _metrics(self, known: Known, figures: Figures) -> Metrics:
        """The figures of all micro-batches added up, in their order."""
        loss, losses, correct = zip(*(figures[i] for i in range(len(known.sizes))))
        terms = dict.fromkeys(term.name for term in self.model.terms)
        return Metrics(sum(loss), *({name: sum(part.get(name, 0) for part in column) for name in {**terms, **column[0]}}
                                    for column in (losses, correct)),
                       known.targets, known.tokens)

    def apply(self, lr: float, present: frozenset[str] | None = None, figures: Figures | None = None) -> Array | float:
        """Sum the gradients of the lanes, clip them, step, zero them. Returns the norm of the gradient before clipping.

        ``present``: the terms that were, by default all. What none of them reads rests. ``figures``: of this rank's
        micro-batches; those of the others are put beside them.
        """
        figures = {} if figures is None else figures
        self.step += 1
        table = self.table(frozenset(term.name for term in self.model.terms) if present is None else present)
        if self.ranks.size > 1:
            self._throughout(self._join)
            self._exchange()
        if not self.on_cpu:
            figures.update(_of_all(self.ranks.share(figures)))
            self._move_statistics()
            return self._apply_on_device(table, lr)
        pieces = adamw.pieces(table, PIECE)
        mine = [run for run in pieces if run.start in self.strip]
        squares, found = zip(*self.ranks.share((self.workers.map(self._sum_piece, mine), figures)))
        figures.update(_of_all(found))
        norm, loss = sum(chain.from_iterable(squares)) ** 0.5, float(sum(figures[i][0] for i in sorted(figures)))
        if not np.isfinite([norm, loss]).all():
            self.step -= 1
            self.drop_gradients()
            raise FloatingPointError(f"step {self.step + 1}: the loss is {loss}, the gradient's norm {norm}, "
                                     f"the learning rate {lr:.3g}")
        self._move_statistics()
        scale = None if self.clip_norm is None else min(1.0, self.clip_norm / (norm + 1e-6))
        self._move([[run] for run in pieces], lr, self.step - self.origin, scale)
        return norm

    def _move_statistics(self) -> None:
        """What is no parameter goes where the micro-batches of the step say in the mean; nothing clips it: see ``batch_norm``."""
        summed, self._summed = max(self._summed, 1), 0
        start, stop = max(self.parameters.layout.learned, self.strip.start), self.strip.stop
        if start < stop:
            way = self._summed_up(start, stop)
            self.parameters.flat[start:stop] -= self.xp.where(self.xp.isfinite(way), way / summed, 0)  # it may have overflowed
            way.fill(0)

    def table(self, present: frozenset[str]) -> list[adamw.Run]:
        """The runs of the slab in a step with these terms: what is frozen or idle is inactive."""
        if present not in self._tables:
            idle, top = self.model.idle(present), self.config.num_hidden_layers + 1
            self._tables[present] = adamw.runs(
                self.parameters.layout,
                lambda name: not name.startswith(idle) and not name.endswith(STATISTICS) and (
                    self.freeze is None or depth(name, self.config) > self.freeze),
                lambda name: self.model.rate(name, present) * self.layer_decay ** (top - depth(name, self.config)),
                self.rule.APART)
        return self._tables[present]

    def _apply_on_device(self, table: Sequence[adamw.Run], lr: float) -> Array:
        """The same without a look at any number: the host goes on while the device works.

        With a scaled loss, a step whose gradients overflowed is skipped; its norm is given as 0.
        """
        norm, number, scale, skip = self._norm_on_device(table), self.step - self.origin, None, False
        if self.loss_scale is not None:
            finite = self.xp.isfinite(norm)
            norm = self.xp.where(finite, norm / self.loss_scale.scale, 0).astype("float32")
            skip, scale = ~finite, 1 / self.loss_scale.scale
            number = number - self.loss_scale.skipped
            self.loss_scale.update(finite)
        if self.clip_norm is not None:
            clip = self.xp.minimum(1.0, self.clip_norm / (norm + 1e-6))
            scale = clip if scale is None else clip * scale
        self._move([adamw.within(table, strip) for strip in self.strips], lr, number, scale, skip)
        return norm

    def _norm_on_device(self, table: Sequence[adamw.Run]) -> Array:
        """Of several ranks' strips the squares are added in the order of the ranks."""
        flat = self.gradients[0].flat
        if self.ranks.size == 1:
            return adamw.norm(flat, table)
        squares = self.xp.zeros(self.ranks.size, flat.dtype)
        mine = self._in_strip(table)
        squares[self.ranks.rank] = adamw.norm(self._own(flat), mine) ** 2
        self.ranks.gather(squares, [range(rank, rank + 1) for rank in range(self.ranks.size)])
        return sum(squares) ** 0.5

    def _in_strip(self, table: Sequence[adamw.Run]) -> list[adamw.Run]:
        """The runs of this rank's strip, counted from where it begins."""
        start = self.strip.start
        return [run._replace(start=run.start - start, stop=run.stop - start) for run in adamw.within(table, self.strip)]

    def _sum_piece(self, run: adamw.Run) -> float:
        """The squared norm of a piece of the gradient."""
        total = self._summed_up(run.start, run.stop)
        return float(np.dot(total, total))

    def _summed_up(self, start: int, stop: int) -> Array:
        """A piece of the gradient in the first slab: there already if ranks exchanged it, else the carriers' are joined now."""
        return self._join(start, stop) if self.ranks.size == 1 else self.gradients[0].flat[start:stop]

    def _join(self, start: int, stop: int) -> Array:
        """A piece of the carriers' gradients joined into the first one's; theirs are zeroed."""
        return lanes.join(self._plan, (slabs[0].flat[start:stop] for slabs in self._slabs))

    def _throughout(self, work: Callable[[int, int], Any]) -> None:
        """``work(start, stop)`` for all numbers of a slab: on a CPU a piece at a time, shared out among the workers."""
        size = len(self.parameters)
        parts = range(0, size, PIECE if self.on_cpu else size)
        self.workers.map(lambda start: work(start, start + parts.step), parts)

    def _exchange(self) -> None:
        """Every rank's gradients go to those who own them, and are added there in the top of the tree. The sum of this rank's
        strip is in its first slab, which is zero elsewhere."""
        if self.ranks.size == 1:
            return
        flat, rank, step = self.gradients[0].flat, self.ranks.rank, SENT * PIECE
        received = [self.xp.empty(min(step, len(self.strip)), flat.dtype) for _ in self.strips]
        for start in range(0, max(map(len, self.strips)), step):
            sent = [flat[strip.start:strip.stop][start:start + step] for strip in self.strips]
            into = [buffer[:len(sent[rank])] for buffer in received]
            self.ranks.exchange(sent, into)
            for part in sent:
                part.fill(0)
            sent[rank][...] = lanes.join(self._top, iter(into))

    def _move(self, shares: Sequence[Sequence[adamw.Run]], lr: float, number: Array | int, scale: Array | float | None,
              skip: Array | bool = False) -> None:
        """The optimiser's step over the runs of all shares, of each rank in its strip; then the average follows."""
        mine = list(filter(None, map(self._in_strip, shares)))

        def each(function: Callable[..., Any], shares: Sequence[Sequence[adamw.Run]], *more: Sequence[Any],
                 told: bool = True) -> list[Any]:
            found = self.workers.map(function, mine, *more)
            return [one for rank in self.ranks.share(found) for one in rank] if told else []

        p, g = (Strip(self._own(slab.flat), self.strip.start, slab.layout) for slab in (self.parameters, self.gradients[0]))
        self.rule.apply(each, shares, p, g, self.kept, lr, number, self.optimiser, scale, skip)
        self.ranks.gather(self.parameters.flat, self.strips)
        if self.ema is not None:
            a, p = self.kept[AVERAGE].flat, self.parameters.flat
            self._throughout(lambda start, stop: averaging.follow(a[start:stop], p[start:stop], self.ema))


def predict(model: Model, parameters: Parameters, batches: Sequence[Any], workers: Workers, ranks: Ranks = ALONE
            ) -> tuple[float, list[np.ndarray]]:
    """Nothing dropped: the loss, and the logits of the model's head for every feature, in the order before they were cut.

    Logits of one feature: (C,), (T, C) with the batch's padding, (2, T), (K, H), or (); see ``finetuning.models``.
    """
    [head] = model.heads
    loss, found = answers(model, parameters, batches, workers, ranks)
    return loss, in_order(batches, [logits[head] for logits in found])


def answers(model: Model, parameters: Parameters, batches: Sequence[Any], workers: Workers, ranks: Ranks = ALONE
            ) -> tuple[float, Sequence[Mapping[str, Array]]]:
    """Nothing dropped: the loss, and of each batch the logits of all heads."""
    xp = get_xp(parameters.flat)
    counts, there = model.counts(batches), _on_device(model, parameters)
    alone = together.without(there)

    def work(i: int) -> tuple:
        out, _ = alone.forward(inputs(batches[i], xp, model.config), parameters.tree, counts=counts, read=[*model.heads],
                               recompute=True)
        return 0.0 if out.loss is None else out.loss, out.logits

    losses, found = zip(*_spread(batches, work, workers, xp, ranks))
    return float(sum(losses) + sum(part.loss for part in together.parts(there, batches, found, counts))), found


def in_order(batches: Sequence[Any], found: Sequence[Array]) -> list[np.ndarray]:
    """What was found of each batch, a row a feature, in the order before the features were cut into batches."""
    rows: list[np.ndarray] = [np.empty(0)] * sum(len(batch.places) for batch in batches)
    for batch, some in zip(batches, found):
        for place, row in zip(batch.places, to_numpy(some)):
            rows[place] = np.asarray(row)
    return rows


def _of_all(figures: Sequence[Figures]) -> Figures:
    """Those of all ranks."""
    return {i: some for rank in figures for i, some in rank.items()}


def inputs(batch: Any, xp: Any, config: BertConfig) -> Inputs:
    """A micro-batch, which is on the host, as the inputs of a model of this configuration, on the device of ``xp``."""
    def move(array: np.ndarray | None) -> Array | None:
        return None if array is None else xp.asarray(array)

    targets = {term: move(target) for term, target in batch.targets.items()}
    places = batch.position_ids
    if places is None:
        places = embeddings.position_ids(batch.ids, batch.attention_mask, config)
    return Inputs(move(batch.ids), move(batch.token_type_ids), move(batch.attention_mask), targets, move(batch.positions),
                  batch.choices, move(places))


def tokens_at_a_time(xp: Any) -> int:
    """Of a micro-batch, unless somebody says otherwise. Whoever predicts with as many gets the same numbers to the last bit."""
    return 512 if xp is np else DEVICE_TOKENS


def depth(name: str, config: BertConfig) -> int:
    """How far from the text a tensor is: 0 in the embeddings, L + 1 on top of the layers, i + 1 where layer i is its last use."""
    _, _, place = name.partition("bert.")  # in whichever body
    if place.startswith("embeddings."):
        return 0
    if place.startswith("encoder.layer."):
        return config.num_hidden_layers - config.uses[::-1].index(int(place.split(".")[2]))
    return config.num_hidden_layers + 1


def check_freeze(freeze: int | None, config: BertConfig) -> None:
    """ValueError for a number of frozen layers that there is not, or that would freeze a half of what layers share."""
    if freeze is None:
        return
    if not 0 <= freeze <= config.num_hidden_layers:
        raise ValueError(f"freeze must be from 0 (the embeddings) to {config.num_hidden_layers}, the number of layers, "
                         f"got {freeze}")
    if both := set(config.uses[:freeze]) & set(config.uses[freeze:]):
        shared = [i for i, use in enumerate(config.uses) if use == min(both)]
        raise ValueError(f"freeze is {freeze}, but layers {', '.join(map(str, shared))} share their tensors (they count from 0): "
                         "they can learn or rest only together")


def _spread(batches: Sequence[Any], work: Callable[[int], Any], workers: Workers, xp: Any, ranks: Ranks) -> list[Any]:
    """``work(i)`` of every batch, shared out among the workers of all ranks; the results in the order of the batches."""
    carriers = workers.count if xp is np else 1
    by_rank = share_out(range(len(batches)), [batch.ids.size for batch in batches], ranks.size)
    mine = by_rank[ranks.rank]
    shares = share_out(mine, [batches[i].ids.size for i in mine], carriers)
    found = [part for share in workers.map(lambda share: [(i, work(i)) for i in share], shares) for part in share]
    results = _of_all(ranks.share(dict(found)))
    return [results[i] for i in range(len(batches))]


def _on_device(model: Model, parameters: Parameters) -> Model:
    """The model, with the arrays among its terms' options where the parameters are, in their dtype."""
    xp, dtype = get_xp(parameters.flat), parameters.flat.dtype

    def moved(term: Any) -> Any:
        return term._replace(options={name: xp.asarray(value.astype(dtype)) if isinstance(value, np.ndarray) else value
                                      for name, value in term.options.items()})

    return replace(model, terms=[moved(term) for term in model.terms])
