"""Two bodies that are trained as one model: a generator puts words into the text, and a discriminator tells which (ELECTRA).

::

    p     = softmax(generator(text with [MASK]s))         mlm: mean surprise over the hidden words
    text' = text, with a word drawn from p in each hidden place
    loss  = mlm + 50 · replaced                           replaced: mean surprise over all tokens, at whether they are the text's

The generator learns from ``mlm`` alone. No gradient goes through the draw: it is of no use to the generator that the
discriminator was fooled, so this is no adversarial training. A word that was drawn right is the text's.

What the two share is the embeddings: words, positions, types and their layer norm, as far as both have them in one shape. They
are one tensor under two names, as the tied decoder is, so both gradients add up in it. A projection from the embeddings to the
hidden size belongs to each of them.

Tensors of the discriminator have the usual names, those of the generator ``generator.`` before them.

Source: Clark et al. 2020, "ELECTRA", sections 2 and 3.2 (arXiv 2003.10555); google-research/electra ``run_pretraining.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.config import BertConfig
from minibert.layers import binary_cross_entropy
from minibert.layers.cross_entropy import IGNORE
from minibert.layers.dropout import Key
from minibert.model import bert, model, pretraining
from minibert.model.encoder import add
from minibert.model.model import Inputs, Model, Output, Term
from minibert.parameters import Layout, Parameters, Tree, subtree

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
EMBEDDINGS, PROJECTION = "bert.embeddings.", "bert.embeddings.projection."
WEIGHT = 50.0  # of the discriminator's loss: a yes or no has fewer nats than a word
SIZE, HEAD_SIZE = 0.25, 64  # the generator's width, as a share of the discriminator's, and that of its heads


class Cache(NamedTuple):
    generator: model.Cache
    discriminator: model.Cache


@dataclass(frozen=True)
class Joint(Model):
    """``config``: the discriminator's; ``heads`` and ``terms``: of both, ``mlm`` is the generator's.

    The target of ``replaced`` are numbers ``(M,)`` from [0, 1), one for each of the hidden places, which decide what is drawn
    there; of ``mlm`` the words ``(M,)`` that stood there. Places that are asked for twice have the same number.
    """

    smaller: BertConfig  # the generator's

    SHARES = MappingProxyType({"replaced_accuracy": ("right", "tokens"), "replaced_found": ("found", "replaced")})

    @cached_property
    def generator(self) -> Model:
        return self._part(self.smaller, lambda head: head == "mlm")

    @cached_property
    def discriminator(self) -> Model:
        return self._part(self.config, lambda head: head != "mlm")

    @property
    def bodies(self) -> tuple[BertConfig, ...]:
        """Of both."""
        return self.smaller, self.config

    def _part(self, config: BertConfig, mine: Any) -> Model:
        return Model(config, {name: head for name, head in self.heads.items() if mine(name)},
                     [term for term in self.terms if mine(term.reads)])

    def layout(self, pooled: bool = False) -> Layout:
        """The discriminator's tensors, then those of the generator that are not shared."""
        theirs, ours = self.discriminator.layout(pooled), self.generator.layout()
        shapes, ties = {name: slot.shape for name, slot in theirs.slots.items()}, {**theirs.ties}
        for name, slot in ours.slots.items():
            if name.startswith(EMBEDDINGS) and not name.startswith(PROJECTION) and shapes.get(name) == slot.shape:
                ties[f"{GENERATOR}.{name}"] = name
            else:
                shapes[f"{GENERATOR}.{name}"] = slot.shape
        ties |= {f"{GENERATOR}.{name}": f"{GENERATOR}.{target}" for name, target in ours.ties.items()}
        return Layout(shapes, ties)

    def idle(self, present: Collection[str]) -> tuple[str, ...]:
        """See ``Model``. The discriminator has targets in every step."""
        return (*self.discriminator.idle({*present, "replaced"}),
                *(f"{GENERATOR}.{name}" for name in self.generator.idle(present)))

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, counts: Mapping[str, float] | None = None,
                read: Collection[str] = (), recompute: bool = False, **opened: Any) -> tuple[Output, Cache]:
        """See ``Model``. Without numbers for ``replaced`` the discriminator reads what the generator reads.

        ``opened``: the other arguments of ``bert.forward``, for the discriminator. ``Output.bert`` is its body's; in
        ``Output.targets`` is the text's or not, ``(B, T)``: 1 where a token was replaced, IGNORE where it is padding.
        """
        guess, generator_cache = self.generator.forward(x, p[GENERATOR], key=key and key.at(0), counts=counts, read=["mlm"],
                                                        recompute=recompute)
        ids, targets = x.ids, {}
        if "replaced" in x.targets:
            ids, targets["replaced"] = _put(x, drawn(guess.logits["mlm"], x.targets["replaced"]))
        told, discriminator_cache = self.discriminator.forward(
            x._replace(ids=ids, targets=targets), p, key=key and key.at(1), counts=counts, read=["replaced"],
            recompute=recompute, **opened)
        out = Output(add(guess.loss, told.loss), {**guess.losses, **told.losses}, {**guess.logits, **told.logits}, told.bert,
                     targets)
        return out, Cache(generator_cache, discriminator_cache)

    def backward(self, d: Output, cache: Cache, p: Tree, g: Tree, frozen: int | None = None) -> bert.Gradients:
        """See ``Model``; the gradients that are returned are those of the discriminator's inputs."""
        self.generator.backward(d._replace(bert=bert.Output()), cache.generator, p[GENERATOR], g[GENERATOR], frozen)
        return self.discriminator.backward(d, cache.discriminator, p, g, frozen)

    def correct(self, x: Inputs, out: Output) -> dict[str, Array]:
        """Of how many hidden words the generator's best guess is right; and of how many tokens, replaced or all, what is told."""
        found = super().correct(x, out)
        if "replaced" in out.targets:
            target = out.targets["replaced"]
            replaced, said = target == 1, out.logits["replaced"].real > 0
            real = target != IGNORE
            found |= {"right": ((said == replaced) & real).sum(), "tokens": real.sum(),
                      "found": (said & replaced).sum(), "replaced": replaced.sum()}
        return found

    def apart(self, parameters: Parameters) -> dict[str, tuple[BertConfig, Parameters]]:
        """Each of the two as a model of its own, with copies of its tensors."""
        found = {}
        for name, part, tree in ((GENERATOR, self.generator, parameters[GENERATOR]),
                                 (DISCRIMINATOR, self.discriminator, parameters.tree)):
            copy = Parameters(part.layout(), parameters.flat[:part.layout().size].copy())
            for slot, view in copy.items():
                view[...] = subtree(tree, slot)
            found[name] = part.config, copy
        return found


def of(config: BertConfig, smaller: BertConfig, weight: float = WEIGHT) -> Joint:
    """The model: what an engine trains. ``config``: of the discriminator; ``smaller``: of the generator."""
    replaced = Term("replaced", "replaced", binary_cross_entropy, weight, counted=lambda batch: batch.tokens)
    mlm = next(term for term in pretraining.TERMS if term.name == "mlm")
    return Joint(config, {name: pretraining.HEADS[name] for name in ("mlm", "replaced")}, [mlm, replaced], smaller)


def smaller(config: BertConfig, share: float = SIZE) -> BertConfig:
    """The generator for a discriminator: as many layers, ``share`` of its width, heads of 64 numbers or one.

    A quarter is right for the paper's small and large models, a third for base. ValueError for a share that leaves nothing.
    """
    hidden = round(share * config.hidden_size)
    width = config.bottleneck_size or hidden
    heads = max((n for n in range(1, hidden // HEAD_SIZE + 1) if width % n == 0), default=1)
    narrow = config.embedding_width if config.embedding_width != hidden else None
    return config.replace(hidden_size=hidden, num_attention_heads=heads, intermediate_size=4 * hidden, embedding_size=narrow,
                          objectives=("mlm",), heads_of_layers=None, intermediate_sizes=None)


def drawn(logits: Array, numbers: Array) -> Array:
    """logits ``(M, V)``, numbers from [0, 1) ``(M,)`` -> words ``(M,)``, each drawn from the softmax of its row.

    The first word at which the probabilities, added up from the first of the vocabulary on, exceed the number.
    """
    xp = get_xp(logits)
    z = widen(logits).real.astype(numbers.dtype)
    exps = xp.exp(z - z.max(-1, keepdims=True))
    sums = exps.cumsum(-1)  # (M, V)
    return (sums <= numbers[:, None] * sums[:, -1:]).sum(-1)


def _put(x: Inputs, words: Array) -> tuple[Array, Array]:
    """The ids ``(B, T)`` with these words in the hidden places, and where they are not the text's own ``(B, T)``."""
    xp = get_xp(x.ids)
    ids, changed = x.ids.reshape(-1).copy(), xp.zeros(x.ids.size, dtype=x.ids.dtype)
    ids[x.positions] = words
    changed[x.positions] = words != x.targets["mlm"]
    ids, changed = ids.reshape(x.ids.shape), changed.reshape(x.ids.shape)
    return ids, changed if x.attention_mask is None else xp.where(x.attention_mask, changed, IGNORE)
