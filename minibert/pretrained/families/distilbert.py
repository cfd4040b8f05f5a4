"""DistilBERT: half of BERT's layers under other names, without token types and without a pooler.

Texts are judged by a head with a ReLU layer of its own. The epsilon of its norms is 1e-12, whatever a file says. Positions that
were once drawn as sines (``sinusoidal_pos_embds``) are numbers in the file like all others.

Source: Sanh et al. 2019, "DistilBERT"; transformers' ``modeling_distilbert.py``.
"""

from __future__ import annotations

from types import MappingProxyType

from minibert.pretrained.families.table import Family

_STRUCTURE = MappingProxyType({"type_vocab_size": 0, "layer_norm_eps": 1e-12, "pooler": None, "objectives": ("mlm",),
                               "text_head": "relu"})
_LAYER, _THEIRS = "bert.encoder.layer.{}.", "distilbert.transformer.layer.{}."

DISTILBERT = Family(
    "distilbert", "DistilBERT", "DistilBert", "distilbert",
    defaults=MappingProxyType({"n_layers": 6}),
    sizes=MappingProxyType({"base": {}}),
    keys=MappingProxyType({
        "hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim", "hidden_act": "activation", "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout", "type_vocab_size": None, "layer_norm_eps": None}),
    structure=lambda values: _STRUCTURE,
    pairs=(*((f"{_LAYER}{ours}.", f"{_THEIRS}{theirs}.") for ours, theirs in (
               ("attention.self.query", "attention.q_lin"), ("attention.self.key", "attention.k_lin"),
               ("attention.self.value", "attention.v_lin"), ("attention.output.dense", "attention.out_lin"),
               ("attention.output.LayerNorm", "sa_layer_norm"), ("intermediate.dense", "ffn.lin1"), ("output.dense", "ffn.lin2"),
               ("output.LayerNorm", "output_layer_norm"))),
           ("cls.predictions.transform.dense.", "vocab_transform."),
           ("cls.predictions.transform.LayerNorm.", "vocab_layer_norm."),
           ("cls.predictions.decoder.weight", "vocab_projector.weight"),
           ("cls.predictions.bias", "vocab_projector.bias"),
           ("classifier.dense.", "pre_classifier.")),
    idle=frozenset({"sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout", "tie_weights_"}),
)
