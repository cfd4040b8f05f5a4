"""What a model with branches says of a text after each layer, and how sure it is: where the text would leave at any speed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minibert.finetuning.saved import Model
from minibert.model import exits
from minibert.tasks.labelled.common import softmax
from minibert.tasks.labelled.features import micro_batches
from minibert.training.engine import answers
from minibert.workers import Workers


class Said(NamedTuple):
    """By the branch after a layer; the last is the model's own head."""

    layer: int  # how many layers the text went through
    uncertainty: float  # from 0 to 1, see ``model/exits.py``
    shares: np.ndarray  # (C,) of the classes, in the order of the model's labels


def said(model: Model, text: str, pair: str | None = None) -> list[Said]:
    """After each layer. ValueError for a model without branches."""
    model.need_branches()
    task, whole = model.task, exits.branched(model.network())
    features, _ = task.encode([task.Example(text, pair, None, "")], model.tokenizer, model.labels, model.settings)
    with Workers(1) as workers:
        _, [found] = answers(whole, model.parameters, micro_batches(features, pad_id=model.tokenizer.vocab.pad_id), workers)
    [head, *branches] = found.values()
    return [Said(i, float(exits.uncertainty(logits)[0]), softmax(logits)[0]) for i, logits in enumerate([*branches, head], 1)]
