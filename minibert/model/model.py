"""A model: a body, any number of heads on it, any number of loss terms. A pair, as every layer is.

::

    body = bert(ids)        logits_h = head_h(what it reads of body)        loss = Σ_t weight_t · loss_t(what it reads, target_t)

A *head* turns states of the body into logits. A *term* compares the logits of a head, or an output of the body itself, with a
target. They are two things: two losses may stand on the logits of one head, and a loss of hidden states or of attention has no
head. Pre-training, every task of fine-tuning, several tasks at once and distillation are models of this kind.

Each loss is a sum divided by its count over a whole step, which is known before the first forward pass (``counts``). A term whose
count is zero gives zero and is not *present*: heads that no present term reads are not computed, and ``idle`` says whose tensors
rest in such a step.

Backward is forward read upside down, and open by the same rule as the body: every output takes an upstream gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers.dropout import Key
from minibert.model import bert, bodies
from minibert.model.encoder import add
from minibert.parameters import Layout, Parameters, Tree, named, subtree

NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Head:
    """A module of ``heads`` and its place in a model. What it reads and where its tensors are is up to the module by default."""

    module: ModuleType
    outputs: int = 2  # for heads that may have any number
    reads: str = ""  # an output of the body
    path: str = ""  # before the names of its tensors
    options: Mapping[str, Any] = field(default_factory=dict)  # what its forward takes besides
    dropout: float | None = None  # of its own; None: that of the body

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", self.reads or self.module.READS)
        object.__setattr__(self, "path", self.path or self.module.PATH)

    def config(self, config: BertConfig) -> BertConfig:
        """The configuration that its forward is given."""
        return config if self.dropout is None else config.replace(hidden_dropout_prob=self.dropout)


class Term(NamedTuple):
    """An addend of the loss."""

    name: str  # of its target, its count and its figures
    reads: str  # a head, or an output of the body such as "pooled", "hidden_states.3", "attentions.0"
    loss: ModuleType  # forward(y, target, count, **options), backward(dloss, cache), count(target, **options)
    weight: float = 1.0
    options: Mapping[str, Any] = NONE
    counted: Callable[[Any], float] | None = None  # what a batch adds to the count, where its target is not there beforehand


class Inputs(NamedTuple):
    """What one forward pass reads."""

    ids: Array  # (B, T), or word vectors (B, T, E)
    token_type_ids: Array  # (B, T)
    attention_mask: Array | None = None  # (B, T) or (B, T, T); None: nothing is padded
    targets: Mapping[str, Array] = NONE  # by term; without any, all heads are computed and there is no loss
    positions: Array | None = None  # (M,) flat positions b·T + t that are asked for; None: all
    choices: int = 1  # how many neighbouring sequences are the choices of one example
    position_ids: Array | None = None  # (B, T) rows of the position table; None: counted from the first token on
    task_type_ids: Array | None = None  # (B, T) where the model has task types; None: all 0


class Output(NamedTuple):
    """What comes out; and, with None or no entry where there is none, the upstream gradients that go back in."""

    loss: Array | float | None = None  # () the weighted sum of the next
    losses: Mapping[str, Array | float] = NONE  # () by term
    logits: Mapping[str, Array] = NONE  # by head
    bert: bert.Output = bert.Output()
    targets: Mapping[str, Array] = NONE  # by term, where they are made on the way


class Cache(NamedTuple):
    bert: bert.Cache
    heads: Mapping[str, Any]
    terms: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """``heads`` by name, in the order of their tensors. ValueError for one that reads what this body does not give."""

    config: BertConfig
    heads: Mapping[str, Head]
    terms: Sequence[Term]

    #: Figures beside those of the terms: by name, two numbers of ``correct``, the first as a share of the second.
    SHARES: ClassVar[Mapping[str, tuple[str, str]]] = NONE

    def __post_init__(self) -> None:
        for name, reads in [*((f"head {name}", head.reads) for name, head in self.heads.items()),
                            *((f"term {t.name}", t.reads) for t in self.terms if t.reads not in self.heads)]:
            if reads.partition(".")[0] not in (outputs := bodies.of(self.config).OUTPUTS):
                raise ValueError(f"{name} reads {reads!r}, which is neither a head ({', '.join(self.heads)}) nor an output of "
                                 f"the body ({', '.join(outputs)})")
            if reads == "pooled" and self.config.pooler is None:
                raise ValueError(f"{name} reads the pooled vector, and this configuration has no pooler")

    def layout(self, pooled: bool = False) -> Layout:
        """Every tensor: the body's, then those of the heads. ValueError where two heads have one name for their tensors.

        ``pooled``: with the pooler, though nothing may read it.
        """
        shapes, ties = bodies.of(self.config).shapes(self.config, pooled or "pooled" in self._reads(self.terms, self.heads)), {}
        for name, head in self.heads.items():
            mine = named({head.path: head.module.shapes(self.config, head.outputs)})
            if both := shapes.keys() & mine.keys():
                raise ValueError(f"head {name}: there is a {min(both)} already; give one of the two heads another path")
            shapes |= mine
            ties |= getattr(head.module, "ties", lambda path: NONE)(head.path)
        return Layout(shapes, ties)

    def counts(self, batches: Sequence[Any], *, options: bool = True) -> dict[str, float]:
        """What each term is divided by, over all batches of a step, whose targets are on the host.

        Without the terms' ``options``: how many targets there are, whatever each of them weighs.
        """
        def count(term: Term, batch: Any) -> float:
            if term.counted:
                return term.counted(batch)
            target = batch.targets.get(term.name)
            return 0 if target is None else term.loss.count(target, **(term.options if options else NONE))

        return {term.name: sum(count(term, batch) for batch in batches) for term in self.terms}

    def idle(self, present: Collection[str]) -> tuple[str, ...]:
        """How the names of the tensors begin that no gradient reaches where only these terms are present."""
        terms = [term for term in self.terms if term.name in present]
        if not terms:
            return ("",)
        heads = {name: head for name, head in self.heads.items() if any(term.reads == name for term in terms)}
        reads = self._reads(terms, heads)
        top = {"last_hidden_state", "pooled"} & reads
        layers = self.config.uses[:None if top else max(layers_below(output) for output in reads)]
        return (*(f"{head.path}." for name, head in self.heads.items() if name not in heads),
                *(() if "pooled" in reads else ("bert.pooler.",)), *(() if top else ("bert.LayerNorm.",)),
                *(f"bert.encoder.layer.{i}." for i in sorted({*self.config.uses} - {*layers})))

    def rate(self, name: str, present: Collection[str]) -> float:
        """What the learning rate is multiplied by for a tensor in a step with these terms. With 0 it stays, and has its share of
        the gradient's norm."""
        return 1.0

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, counts: Mapping[str, float] | None = None,
                read: Collection[str] = (), **opened: Any) -> tuple[Output, Cache]:
        """``p``: the whole tree. ``counts``: of the whole step, by default of this batch. ``read``: heads to compute in any case.

        ``opened``: the other arguments of the body's ``forward``. Without a ``key`` nothing is dropped.
        """
        if any(reads.startswith("attentions.") for reads in self._reads(self.terms, self.heads)):
            opened = {"maps": True, **opened}
        body, bert_cache = bodies.of(self.config).forward(
            x.ids, x.token_type_ids, x.attention_mask, p["bert"], self.config, key=key, position_ids=x.position_ids,
            task_type_ids=x.task_type_ids, **opened)
        present = [term for term in self.terms if term.name in x.targets and (counts is None or counts[term.name])]
        wanted = {*read, *(term.reads for term in present)} if x.targets else self.heads

        logits, heads = {}, {}
        for i, (name, head) in enumerate(self.heads.items()):
            if name in wanted:
                given = (getattr(x, field) for field in head.module.INPUTS)
                logits[name], heads[name] = head.module.forward(
                    _output(body, head.reads), *given, subtree(p, head.path), head.config(self.config), key and key.at(2 + i),
                    **head.options)
        out, caches = self.compared(Output(logits=logits, bert=body), x.targets, counts)
        return out, Cache(bert_cache, heads, caches)

    def compared(self, out: Output, targets: Mapping[str, Array],
                 counts: Mapping[str, float] | None = None) -> tuple[Output, dict[str, Any]]:
        """The output with the losses of the terms that have a target, and the caches of those that are present."""
        terms, caches = [term for term in self.terms if term.name in targets], {}
        losses = {term.name: 0.0 for term in terms}
        for term in terms:
            if counts is None or counts[term.name]:
                losses[term.name], caches[term.name] = term.loss.forward(
                    self.read(out, term.reads), targets[term.name], counts and counts[term.name], **term.options)
        loss = sum(term.weight * losses[term.name] for term in terms) if terms else None
        return out._replace(loss=loss, losses=losses), caches

    def backward(self, d: Output, cache: Cache, p: Tree, g: Tree, frozen: int | None = None) -> bert.Gradients:
        """Upstream gradients, ``Output(loss=1.0)`` as a rule -> Gradients of every floating input; adds to ``g``.

        ``frozen``: see ``bert.backward``.
        """
        return bodies.of(self.config).backward(self.upstream(d, cache, p, g), cache.bert, p["bert"], g["bert"], frozen)

    def upstream(self, d: Output, cache: Cache, p: Tree, g: Tree) -> bert.Output:
        """The same as far as the body: the upstream gradients of its outputs; adds to ``g`` of the heads."""
        body, dlogits = d.bert, dict(d.logits)
        for term in self.terms:
            dloss = add(None if d.loss is None else term.weight * d.loss, d.losses.get(term.name))
            if term.name not in cache.terms or dloss is None:
                continue
            dy = term.loss.backward(dloss, cache.terms[term.name])
            if term.reads in self.heads:
                dlogits[term.reads] = add(dlogits.get(term.reads), dy)
            else:
                body = _added(body, term.reads, dy, cache.bert)
        for name, head in self.heads.items():
            if name in dlogits:
                dx = head.module.backward(dlogits[name], cache.heads[name], subtree(p, head.path), subtree(g, head.path))
                body = _added(body, head.reads, dx, cache.bert)
        return body

    def read(self, out: Output, name: str) -> Array:
        """What a term reads: the logits of a head, or an output of the body."""
        return out.logits[name] if name in self.heads else _output(out.bert, name)

    def correct(self, x: Inputs, out: Output) -> dict[str, Array]:
        """By term, as far as its logits and its loss know right from wrong: how many of the best guesses are the target."""
        return {term.name: term.loss.correct(out.logits[term.reads], x.targets[term.name]) for term in self.terms
                if hasattr(term.loss, "correct") and term.reads in out.logits and term.name in x.targets}

    @property
    def bodies(self) -> tuple[BertConfig, ...]:
        """The configurations of the models that it is made of, as a rule one."""
        return (self.config,)

    def apart(self, parameters: Parameters) -> dict[str, tuple[BertConfig, Parameters]]:
        """The models that this one is made of, by name; the first of them guesses words. As a rule it is one, without a name."""
        return {"": (self.config, parameters)}

    def _reads(self, terms: Sequence[Term], heads: Mapping[str, Head]) -> set[str]:
        """The outputs of the body that are read."""
        return {head.reads for head in heads.values()} | {term.reads for term in terms if term.reads not in self.heads}


def _output(body: bert.Output, reads: str) -> Array:
    name, _, i = reads.partition(".")
    return getattr(body, name)[int(i)] if i else getattr(body, name)


def _added(body: bert.Output, reads: str, dx: Array, cache: bert.Cache) -> bert.Output:
    """The upstream gradients of the body with ``dx`` added to that of what was read."""
    name, _, i = reads.partition(".")
    if not i:
        return body._replace(**{name: add(getattr(body, name), dx)})
    parts = list(getattr(body, name) or [None] * len(cache.encoder.states if name == "hidden_states" else cache.encoder.blocks))
    parts[int(i)] = add(parts[int(i)], dx)
    return body._replace(**{name: parts})


def layers_below(reads: str) -> int:
    """How many layers an output hangs on: state 3 on the first three, attention 3 on the first four."""
    name, _, i = reads.partition(".")
    return int(i) + (name == "attentions")
