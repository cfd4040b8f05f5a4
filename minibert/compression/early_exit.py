"""Early exit: branches learn what the model's own head says, so that clear texts can leave before the last layer.

::

    loss = Σ_i KL(teacher‖branch_i)          the teacher: the head, on the state after the last layer; a mean over texts

It is self-distillation: teacher and students read the states of one body, in one forward pass, so no label is needed. Body and
head stay as they are to the last bit. Looks are at the divergence, and at what is answered at ``SPEED``. What comes of it is the
same model with branches beside it: see ``model/exits.py``.

Source: Liu et al. 2020, "FastBERT", arXiv:2004.02178, section 3.2, and its code (autoliuweijie/FastBERT ``run_fastbert.py``). The
paper writes the divergence the other way round, D(p_s, p_t); the code has the direction above, and so has this. As there, what is
dropped while training is dropped of the teacher's answer, too; ``--dropout 0`` asks it as it is. Ten times the learning rate of
fine-tuning is the code's; its rate falls over the epochs of fine-tuning, so that its last epochs of distilling learn nothing,
and nothing decays. Here rate and decay are those of any run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from minibert.backend import Array
from minibert.compression.options import Settings
from minibert.compression.students import Student
from minibert.config import BertConfig
from minibert.layers import kl_divergence
from minibert.layers.dropout import Key
from minibert.model import bert, encoder, exits, model
from minibert.model.heads import branch
from minibert.model.model import NONE, Inputs, Model, Output, Term
from minibert.parameters import NOTHING, Parameters, Tree
from minibert.training.engine import answers, predict
from minibert.workers import Workers

SPEED = 0.5  # at which a look measures


class Branching(Student):
    """A model of one head with its branches, each with a term. Nothing else learns."""

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, counts: Mapping[str, float] | None = None,
                read: Collection[str] = (), **opened: Any) -> tuple[Output, model.Cache]:
        """See ``Model``. The targets of the branches, wherever there are targets at all, are the logits of the head."""
        opened = {"layers": lambda p, g: encoder.forgetful(encoder.stack(p, NOTHING, self.config)), **opened}
        out, cache = super().forward(x._replace(targets=NONE), p, key=key, **opened)
        out, terms = self.compared(out, self._said(out) if x.targets else {}, counts)
        return out, cache._replace(terms=terms)

    def _said(self, out: Output) -> dict[str, Array]:
        """What the head says, as the target of every term. It is data, which has no gradient."""
        [teacher] = self.alone.heads
        return dict.fromkeys((term.name for term in self.terms), out.logits[teacher].real)

    def backward(self, d: Output, cache: model.Cache, p: Tree, g: Tree, frozen: int | None = None) -> bert.Gradients:
        """See ``Model``; nothing goes further down than the branches."""
        still = {head.path.partition(".")[0]: NOTHING for head in self.alone.heads.values()}
        self.upstream(d, cache, p, {**still, branch.PATH: g[branch.PATH]} if g else g)
        return bert.Gradients(None, {}, {}, None)

    def correct(self, x: Inputs, out: Output) -> dict[str, Array]:
        """By branch, of how many texts it says what the head says."""
        return super().correct(x._replace(targets=self._said(out)), out)

    def idle(self, present: Collection[str]) -> tuple[str, ...]:
        """See ``Model``."""
        return ("bert.", *(f"{head.path}." for head in self.alone.heads.values()))

    def rate(self, name: str, present: Collection[str]) -> float:
        """See ``Model``."""
        return float(name.startswith(f"{branch.PATH}."))

    def apart(self, parameters: Parameters) -> dict[str, tuple[BertConfig, Parameters]]:
        """All of it: the branches are what was made."""
        return {"": (self.config, parameters)}

    def asked_at_looks(self, network: Model, parameters: Parameters, batches: Sequence[Any],
                       workers: Workers) -> tuple[float, list]:
        """The divergence from the head, and what is answered at ``SPEED``."""
        loss, _ = answers(self, parameters, batches, workers)
        return loss, predict(exits.leaving(network, SPEED), parameters, batches, workers)[1]


def of(alone: Model) -> Branching:
    """A model of one head that classifies, with branches. ValueError where they would be of no use."""
    heads = exits.branches(alone)
    terms = [Term(name, name, kl_divergence, counted=lambda batch: len(batch.ids)) for name in heads]
    return Branching(alone.config, {**alone.heads, **heads}, terms, alone)


def taught(recipe: Settings, alone: Model, teacher: BertConfig, steps: int) -> Branching:
    """The model that a recipe asks for."""
    return of(alone)


def layers(recipe: Settings, teacher: BertConfig) -> tuple[int, ...]:
    """All of them."""
    return tuple(range(teacher.num_hidden_layers))


def config_of(recipe: Settings, teacher: BertConfig, layers: int) -> BertConfig:
    """The teacher's, whatever its layers have lost or share."""
    return teacher
