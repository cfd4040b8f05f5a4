"""What can be combined: kinds of body, families of them, and kinds of model on one. Whatever is here is checked in every way.

Gradients (``suite``), that no tensor is without one, saving and loading, kernels beside the readable pairs, memory and ``info``:
all of these go through this table, so nothing can be added unchecked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minibert.compression import distil, mobile
from minibert.config import NEUTRAL, BertConfig
from minibert.finetuning import models
from minibert.layers import (
    binary_cross_entropy,
    contrastive,
    cosine_distance,
    cross_entropy,
    feature_map,
    kl_divergence,
    squared_error,
    token_error,
)
from minibert.layers.cross_entropy import IGNORE
from minibert.model import exits, joint, pretraining
from minibert.model.heads import classifier, mlm, nsp, replaced
from minibert.model.model import Head, Inputs, Model, Term
from minibert.parameters import Tree
from minibert.pretrained import families

#: Keys of a configuration that vary its structure, beside those of BERT.
BODIES: dict[str, dict[str, Any]] = {
    "post-ln": {},
    "pre-ln": {"norm_first": True, "hidden_act": "gelu_new"},
    "shared-layers": {"num_hidden_layers": 3, "layer_map": (0, 1, 0)},
    "narrow-embeddings": {"embedding_size": 4},
    "offset-no-types": {"position_offset": 2, "type_vocab_size": 0},
    "relu-pooler": {"pooler": "relu"},
    "first-token": {"pooler": "first"},
    "two-feed-forwards": {"ffn_count": 2, "word_window": 5},
    "task-types": {"task_type_vocab_size": 3},
    "minibert": {"model_type": "minibert", "num_hidden_layers": 3, "num_attention_heads": 3,
                 "heads_of_layers": ((0, 2), (1,), (0, 1, 2)), "intermediate_sizes": (5, 7, 3)},
}


NARROW = {"embedding_size": 4, "bottleneck_size": 18, "num_attention_heads": 2}


def body_of(family: str, size: str = "tiny", **changes: Any) -> dict[str, Any]:
    """The keys in which a family's bodies differ from BERT's, in a small one, of three layers unless told otherwise."""
    config = families.preset(family, size, pad_token_id=0, **{"num_hidden_layers": 3, **changes})
    keys = (*NEUTRAL, "type_vocab_size", "hidden_act", "layer_norm_eps", "model_type", "num_hidden_layers")
    return {key: getattr(config, key) for key in keys if getattr(config, key) != getattr(BertConfig(), key)}


BODIES |= {family: body_of(family) for family in families.FAMILIES if family not in (
    "bert", "albert", "electra", "ernie", "mobilebert", "textcnn", "minibert")}
BODIES |= {"albert": body_of("albert", embedding_size=4), "ernie": body_of("ernie", task_type_vocab_size=3),
           "electra": body_of("electra", embedding_size=4, objectives=("mlm",)),
           "mobilebert": body_of("mobilebert", size="base", ffn_count=3, **NARROW),
           "mobilebert-tiny": body_of("mobilebert", size="base-tiny", **NARROW),
           "ib-bert": body_of("mobilebert", size="teacher", **NARROW)}


#: A body of convolutions has a vector for a text and none for a token, so it carries those of MODELS that ask for no more.
CONVOLUTIONS: dict[str, Any] = body_of("textcnn", embedding_size=5, filter_sizes=(2, 4), num_hidden_layers=2) | {
    "num_attention_heads": 1, "type_vocab_size": 2}
OF_A_TEXT = ("pretraining", "sequence", "labels", "number", "numbers", "choice")


def many_terms(config: BertConfig) -> Model:
    """Two losses on one head, three more heads, a hidden state and an attention map, each with a weight of its own."""
    heads = {"mlm": Head(mlm), "nsp": Head(nsp, reads="pooled" if config.pooler else "hidden_states.2"),
             "tag": Head(classifier, 3, "last_hidden_state"), "low": Head(classifier, 4, "hidden_states.1", "low")}
    terms = [("mlm", "mlm", cross_entropy), ("again", "mlm", cross_entropy, 0.3), ("nsp", "nsp", cross_entropy, 0.5),
             ("tag", "tag", cross_entropy, 2.0), ("low", "low", cross_entropy), ("state", "hidden_states.1", squared_error),
             ("map", "attentions.0", squared_error, 5.0)]
    return Model(config, heads, [Term(*term) for term in terms])


def further(config: BertConfig) -> Model:
    """Whatever else can be asked in pre-training, of a body with a pooler or without one."""
    return pretraining.of(config, [term.name for term in pretraining.TERMS if term.name in pretraining.FURTHER and (
        config.pooler or pretraining.HEADS[term.reads].reads != "pooled")])


def distilled(config: BertConfig) -> Model:
    """A student of a teacher with twice its layers, and wider: its states are projected."""
    teacher = BertConfig(hidden_size=2 * config.hidden_size, num_hidden_layers=2 * config.num_hidden_layers,
                         num_attention_heads=config.num_attention_heads)
    return distil.of(pretraining.of(config), teacher, distil.Weights(
        1.5, 1.0, 1.0, 1.0, 0.5 if config.heads_of_layers is None else 0.0))


def branched(config: BertConfig) -> Model:
    """A classifier that can be left early, all of which learns: each branch from soft targets."""
    whole = exits.branched(models.of(config, "sequence", 3))
    return replace(whole, terms=[*whole.terms, *(Term(name, name, kl_divergence) for name in whole.heads if name != models.HEAD)])


def transferred(config: BertConfig) -> Model:
    """A student of a teacher with twice its layers, all of them at once. No head may be gone: attention is compared."""
    config = config.replace(heads_of_layers=None)
    teacher = config.replace(num_hidden_layers=2 * config.num_hidden_layers, layer_map=None, intermediate_sizes=None)
    return mobile.of(pretraining.of(config), teacher, 0.5)


MODELS: dict[str, Callable[[BertConfig], Model]] = {
    "pretraining": pretraining.of,
    "further": further,
    "sequence": lambda config: models.of(config, "sequence", 3, np.array([0.5, 2.0, 1.0])),
    "labels": lambda config: models.of(config, "labels", 3, np.array([0.5, 2.0, 1.0])),
    "san": lambda config: models.of(config, "san", 3),
    "number": lambda config: models.of(config, "number", 1),
    "numbers": lambda config: models.of(config, "number", 3),
    "choice": lambda config: models.of(config, "choice", 1),
    "token": lambda config: models.of(config, "token", 3),
    "span": lambda config: models.of(config, "span", 2),
    "replaced": lambda config: Model(config, {"replaced": Head(replaced)}, [Term("replaced", "replaced", binary_cross_entropy)]),
    "joint": lambda config: joint.of(config, joint.smaller(config, 1.0 if config.block == "mobile" else 2 / 3), weight=1.0),
    "vectors": lambda config: models.of(config, "vectors", 0, head={"pooling": "cls"}, loss={"symmetric": True}),
    "similarity": lambda config: models.of(config, "similarity", 0),
    "many-terms": many_terms,
    "several": lambda config: models.joined([models.part(models.of(config, kind, outputs), name) for name, kind, outputs in (
        ("a", "sequence", 3), ("b", "number", 1), ("c", "san", 2), ("d", "token", 4))]),
    "distilled": distilled,
    "branched": branched,
    "transferred": transferred,
}


def with_targets(whole: Model, x: Inputs, p: Tree, rng: np.random.Generator) -> Inputs:
    """The inputs with a random target for every term of a model, some of the labels ignored."""
    out, _ = whole.forward(x._replace(targets={}), p)
    targets = {}
    for term in whole.terms:
        y = whole.read(out, term.reads)
        if isinstance(whole, joint.Joint) and term.name == "replaced":
            targets[term.name] = rng.random(y.size if x.positions is None else x.positions.size)
        elif term.loss is squared_error:
            targets[term.name] = rng.standard_normal(y.shape).astype(np.float32)  # data, which has no gradient
        elif term.loss is kl_divergence and term.reads in whole.heads:
            targets[term.name] = rng.standard_normal(y.shape)
        elif term.loss in (cosine_distance, token_error, feature_map, kl_divergence):  # of a teacher, and which tokens are real
            real = x.attention_mask[:, :, None] if x.attention_mask is not None else np.ones((*y.shape[:1], y.shape[-2], 1))
            real = real[:, None] if y.ndim == 4 else real
            t = rng.standard_normal(y.shape)
            targets[term.name] = (y * np.exp(t) / (y * np.exp(t)).sum(-1, keepdims=True) if y.ndim == 4 else t), real
        elif term.loss is contrastive:
            targets[term.name] = rng.permutation(y[:, :, 0].size).reshape(y.shape[:2])
        elif term.loss is binary_cross_entropy:
            targets[term.name] = rng.random(y.shape) < 0.5
        else:
            targets[term.name] = rng.integers(0, y.shape[-1], y.shape[:-1])
            targets[term.name].flat[1::4] = IGNORE
    return x._replace(targets=targets)
