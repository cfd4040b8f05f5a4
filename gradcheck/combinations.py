"""What can be combined: kinds of body, and kinds of model on one. Whatever is entered here is checked in every way there is.

Gradients (``suite``), that no tensor is without one, saving and loading, kernels beside the readable pairs, memory and ``info``:
all of these go through this table, so nothing can be added unchecked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minibert.config import BertConfig
from minibert.finetuning import models
from minibert.layers import binary_cross_entropy, contrastive, cross_entropy, squared_error
from minibert.layers.cross_entropy import IGNORE
from minibert.model import pretraining
from minibert.model.heads import classifier, mlm, nsp
from minibert.model.model import Head, Inputs, Model, Term
from minibert.parameters import Tree

#: Keys of a configuration that vary its structure, beside those of BERT.
BODIES: dict[str, dict[str, Any]] = {
    "post-ln": {},
    "pre-ln": {"norm_first": True, "hidden_act": "gelu_new"},
    "shared-layers": {"num_hidden_layers": 3, "layer_map": (0, 1, 0)},
    "narrow-embeddings": {"embedding_size": 4},
    "offset-no-types": {"position_offset": 2, "type_vocab_size": 0},
    "relu-pooler": {"pooler": "relu"},
    "first-token": {"pooler": "first"},
    "albert": {"num_hidden_layers": 3, "layer_map": (0, 0, 0), "embedding_size": 4, "hidden_act": "gelu_new"},
}


def many_terms(config: BertConfig) -> Model:
    """Two losses on one head, three more heads, a hidden state and an attention map, each with a weight of its own."""
    heads = {"mlm": Head(mlm), "nsp": Head(nsp), "tag": Head(classifier, 3, "last_hidden_state"),
             "low": Head(classifier, 4, "hidden_states.1", "low")}
    terms = [("mlm", "mlm", cross_entropy), ("again", "mlm", cross_entropy, 0.3), ("nsp", "nsp", cross_entropy, 0.5),
             ("tag", "tag", cross_entropy, 2.0), ("low", "low", cross_entropy), ("state", "hidden_states.1", squared_error),
             ("map", "attentions.0", squared_error, 5.0)]
    return Model(config, heads, [Term(*term) for term in terms])


MODELS: dict[str, Callable[[BertConfig], Model]] = {
    "pretraining": pretraining.of,
    "sequence": lambda config: models.of(config, "sequence", 3, np.array([0.5, 2.0, 1.0])),
    "labels": lambda config: models.of(config, "labels", 3, np.array([0.5, 2.0, 1.0])),
    "number": lambda config: models.of(config, "number", 1),
    "numbers": lambda config: models.of(config, "number", 3),
    "choice": lambda config: models.of(config, "choice", 1),
    "token": lambda config: models.of(config, "token", 3),
    "span": lambda config: models.of(config, "span", 2),
    "vectors": lambda config: models.of(config, "vectors", 0, head={"pooling": "cls"}, loss={"symmetric": True}),
    "similarity": lambda config: models.of(config, "similarity", 0),
    "many-terms": many_terms,
}


def with_targets(whole: Model, x: Inputs, p: Tree, rng: np.random.Generator) -> Inputs:
    """The inputs with a random target for every term of a model, some of the labels ignored."""
    out, _ = whole.forward(x._replace(targets={}), p)
    targets = {}
    for term in whole.terms:
        y = whole.read(out, term.reads)
        if term.loss is squared_error:
            targets[term.name] = rng.standard_normal(y.shape).astype(np.float32)  # data, which has no gradient
        elif term.loss is contrastive:
            targets[term.name] = rng.permutation(y[:, :, 0].size).reshape(y.shape[:2])
        elif term.loss is binary_cross_entropy:
            targets[term.name] = rng.random(y.shape) < 0.5
        else:
            targets[term.name] = rng.integers(0, y.shape[-1], y.shape[:-1])
            targets[term.name].flat[1::4] = IGNORE
    return x._replace(targets=targets)
