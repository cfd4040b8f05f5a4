"""What a run over ranks would take, from the speed of this machine and the bytes that move: ``minibert info --ranks``.

With N weights, R ranks, and B texts a step, of which each rank computes B/R; S numbers in the longest strip of a rank and s in
the shortest, both some N/R, in whole pieces (``lanes.strips``)::

    computing    B/R · F / flops                 F: floating-point operations of a text, forward and backward
    examples     B / examples                    every rank draws all examples of the step: this part does not shrink
    network      4·((R-1)·S + N - s) / network   gradients of a strip from all others, then the weights of theirs
    adding       (R-1)·S / added                 R strips become one
    optimiser    S / stepped                     each rank steps its own strip

One after the other, as the engine does it. The products of matrices are counted: of each weight that a token meets 2 operations
forward and 4 backward, of attention 4·T²·H a layer forward. Each rank is taken to be on a machine of its own, with a network of
its own, which carries as much out as in at the same time and whose delay is not counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minibert import memory
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.tasks.batches import Batch, Position, Stream, micro_batches
from minibert.tasks.examples import IGNORE
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.engine import PIECE, SENT, Engine
from minibert.training.lanes import strips
from minibert.workers import Workers, micro_batch_tokens

BYTES = 4  # of a number that is sent
BATCH = 256  # sequences of a step of BERT
STEPS = 1_000_000  # of BERT, which are about 40 epochs of its corpus: Devlin et al. 2018, appendix A.2
EPOCHS = 40
LENGTHS = ((0.9, 128), (0.1, 512))  # shares of its steps, and their length
UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


class Speeds(NamedTuple):
    """Of one rank, in a second."""

    flops: float  # operations, of a step's forward and backward passes
    added: float  # numbers of a gradient, to those of another rank
    stepped: float  # numbers, by the optimiser and the norm
    examples: float  # texts drawn, masked and put side by side


class Plan(NamedTuple):
    """Seconds of a step, by what they go into."""

    computing: float
    examples: float
    network: float
    adding: float
    optimiser: float

    @property
    def seconds(self) -> float:
        return sum(self)

    @property
    def limit(self) -> str:
        """What takes the most."""
        return max(self._fields, key=lambda name: getattr(self, name))


def bandwidth(text: str) -> float:
    """Bytes a second of ``10Gb/s`` (bits), ``1.2GB/s`` (bytes). ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(b|bit|B)(?:/s|ps)\s*", text)
    if not found or not float(found[1]):
        raise ValueError(f"--network must be bits or bytes a second, such as 10Gb/s or 1.2GB/s, got {text!r}")
    return float(found[1]) * UNITS[found[2]] / (1 if found[3] == "B" else 8)


def flops(config: BertConfig, length: int) -> float:
    """Operations of a text of ``length`` tokens in training."""
    n = memory.parameter_counts(config)
    layer = 2 * length * (n["attention"] + n["feed_forward"] + n["bottlenecks"]) + 4 * length**2 * config.attention_size
    head = 2 * memory.masked_tokens(1, length) * config.vocab_size * config.decoder_width
    return 3.0 * (config.num_hidden_layers * layer + head)


def plan(config: BertConfig, ranks: int, network: float, speeds: Speeds, batch: int, length: int) -> Plan:
    """A step of ``batch`` texts of ``length`` tokens. ``network``: bytes a second, each way, of a rank."""
    gradients, weights, strip = moved(config, ranks)
    return Plan(-(-batch // ranks) * flops(config, length) / speeds.flops, batch / speeds.examples,
                BYTES * (gradients + weights) / network, gradients / speeds.added, strip / speeds.stepped)


def moved(config: BertConfig, ranks: int) -> tuple[int, int, int]:
    """Numbers that come to the rank to which most come: gradients of its strip from all others, weights of theirs. And those of
    the longest strip."""
    size = pretraining.layout(config).size
    lengths = [len(strip) for strip in strips(size, ranks, PIECE)]
    return (ranks - 1) * max(lengths), size - min(lengths), max(lengths)


def held(config: BertConfig, ranks: int, batch: int, length: int, threads: int) -> list[memory.Part]:
    """What each rank holds."""
    share = -(-batch // ranks)
    tokens = micro_batch_tokens(config.hidden_size, batch * length, threads * ranks)
    parts = memory.training_on_cores(config, share, length, threads, tokens)
    size, strip = pretraining.layout(config).size, moved(config, ranks)[2]
    found = [part._replace(bytes=part.bytes * strip // size) if part.name == memory.MOMENTS else part for part in parts]
    return [*found, memory.Part("strips of the other ranks, some pieces at a time", BYTES * min(SENT * PIECE, strip), ranks)]


def measured(config: BertConfig, length: int, threads: int) -> Speeds:
    """How fast this machine is: a few seconds of steps of the model with at most two of its layers. ValueError for a body without
    layers that are alike."""
    if config.filter_sizes:
        raise ValueError("--ranks plans for models of blocks, and this one is made of convolutions")
    few = config.replace(num_hidden_layers=min(2, config.num_hidden_layers), layer_map=None)
    with Workers(threads) as workers:
        engine = Engine(pretraining.of(few), pretraining.initial_parameters(few), workers)
        rows = max(1, micro_batch_tokens(few.hidden_size, 2**20, threads) // length)
        batches = [_random(few, rows, length, seed) for seed in range(workers.count)]
        passes = fastest(lambda: engine.accumulate(batches))
        step = fastest(lambda: engine.apply(1e-9))
        part, other = engine.gradients[0].flat, np.ones_like(engine.gradients[0].flat)
        added = fastest(lambda: np.add(part, other, out=part))
    return Speeds(len(batches) * rows * flops(few, length) / passes, len(other) / added, len(other) / step,
                  _examples(config, length))


def report(config: BertConfig, name: str, ranks: int, network: str, batch: int, length: int, threads: int) -> str:
    """The text, for steps of ``batch`` texts of ``length`` tokens. ValueError for what ranks cannot do."""
    carried = bandwidth(network)
    if not 1 <= ranks <= batch:
        raise ValueError(f"--ranks must be from 1 to the texts of a step, which --batch says ({batch}), got {ranks}")
    speeds = measured(config, length, threads)
    step, one = plan(config, ranks, carried, speeds, batch, length), plan(config, 1, carried, speeds, batch, length)
    whole = sum(share * STEPS * plan(config, ranks, carried, speeds, BATCH, tokens).seconds for share, tokens in LENGTHS)
    size, held_here = pretraining.layout(config).size, held(config, ranks, batch, length, threads)
    gradients, weights, strip = moved(config, ranks)
    about = {"computing": f"{-(-batch // ranks):,} texts a rank, {speeds.flops / 1e9:,.1f} billion operations a second",
             "examples": f"every rank draws all {batch:,}, {speeds.examples:,.0f} a second",
             "network": f"{BYTES * (gradients + weights) / 1e6:,.1f} MB in, and as many out, {carried / 1e6:,.1f} MB a second",
             "adding": f"{gradients:,} numbers of others, {speeds.added / 1e6:,.0f} million a second",
             "optimiser": f"{strip:,} of {size:,} numbers, {speeds.stepped / 1e6:,.0f} million a second"}
    lines = [f"Training {name} on {ranks} ranks of {threads} threads, {network}: a step of {batch:,} texts of {length} tokens"]
    lines += [f"  {part:<10} {seconds:10.3f} s  {seconds / step.seconds:6.1%}   {about[part]}"
              for part, seconds in step._asdict().items()]
    lines.append(f"= a step     {step.seconds:10.3f} s           {one.seconds / step.seconds:.1f} times as fast as one rank; "
                 f"most of it goes into {step.limit}")
    lines += [f"An epoch of BERT's corpus: {_long(whole / EPOCHS)}. BERT's own {STEPS:,} steps: {_long(whole)},",
              f"  of {BATCH} sequences each, nine tenths of them of 128 tokens and then 512.",
              f"Each rank holds {memory.size(memory.total(held_here))}:"]
    lines += [f"  {memory.size(part.bytes * part.times):>10}  {part.name}" for part in held_here]
    lines.append("The speeds are those of this machine, measured now: whatever else runs on it slows them down.")
    return "\n".join(lines)


def _long(seconds: float) -> str:
    for unit, one in (("years", 365 * 86400), ("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * one:
            return f"{seconds / one:,.1f} {unit}"
    return f"{seconds:.1f} s"


def fastest(work: Callable[[], Any], times: int = 3) -> float:
    """Seconds, after a first time that meets empty caches."""
    work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def _random(config: BertConfig, rows: int, length: int, seed: int) -> Batch:
    rng, masked = np.random.default_rng(seed), memory.masked_tokens(1, length)
    places = np.concatenate([np.sort(rng.permutation(length)[:masked]) + row * length for row in range(rows)])
    ids, labels = rng.integers(5, config.vocab_size, (rows, length)), rng.integers(5, config.vocab_size, len(places))
    targets = {term.name: np.full(rows, IGNORE) for term in pretraining.of(config).terms} | {"mlm": labels}
    return Batch(ids, np.zeros_like(ids), None, targets, places)


def _examples(config: BertConfig, length: int) -> float:
    """Texts a second."""
    rng, count = np.random.default_rng(0), 64
    documents = [[rng.integers(5, 1000, 20).tolist() for _ in range(20)] for _ in range(50)]
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, *(f"w{i}" for i in range(995))]), max_length=length)
    stream = Stream(documents, tokenizer, max_length=length, batch_size=count, seed=0)
    return count / fastest(lambda: micro_batches(stream.batch(Position())[0]))
