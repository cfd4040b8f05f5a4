"""From the names that checkpoints use to ours, which are those of the reference's PyTorch port, and back to TensorFlow's.

Two things differ between the files that are about: what a tensor is called, and which way round the matrix of a linear layer
lies. TensorFlow's ``kernel`` is (in, out), ours and PyTorch's ``weight`` is (out, in); tables of embeddings and the two small
heads called ``output_weights`` lie the same way in both.
"""

from __future__ import annotations

import re

#: (pattern, replacement), tried on every name in this order.
RULES = (
    (r"^module\.", ""),  # saved from inside PyTorch's DataParallel
    (r"/", "."),  # TensorFlow: bert/encoder/layer_0/output/dense/kernel
    (r"\.layer_(\d+)\.", r".layer.\1."),
    (r"\.kernel$", ".weight"),
    (r"_embeddings$", "_embeddings.weight"),
    (r"^cls\.predictions\.output_bias$", "cls.predictions.bias"),
    (r"^cls\.seq_relationship\.output_weights$", "cls.seq_relationship.weight"),
    (r"^cls\.seq_relationship\.output_bias$", "cls.seq_relationship.bias"),
    (r"^cls\.squad\.output_weights$", "qa_outputs.weight"),  # the heads of run_squad.py and run_classifier.py
    (r"^cls\.squad\.output_bias$", "qa_outputs.bias"),
    (r"^output_weights$", "classifier.weight"),
    (r"^output_bias$", "classifier.bias"),
    (r"^(embeddings|encoder|pooler|LayerNorm)\.", r"bert.\1."),  # saved without the heads: no prefix
    (r"\.(?:Fake)?LayerNorm\.gamma$", ".LayerNorm.weight"),  # the names of TensorFlow and of the first ports; a fake one only
    (r"\.(?:Fake)?LayerNorm\.beta$", ".LayerNorm.bias"),  # scales and shifts
    (r"\.ffn_layer_(\d+)\.", r".ffn.\1."),
)

#: The way back, from our names to TensorFlow's.
TO_TENSORFLOW = (
    (r"^cls\.predictions\.bias$", "cls.predictions.output_bias"),
    (r"^cls\.seq_relationship\.weight$", "cls.seq_relationship.output_weights"),
    (r"^cls\.seq_relationship\.bias$", "cls.seq_relationship.output_bias"),
    (r"^qa_outputs\.weight$", "cls.squad.output_weights"),
    (r"^qa_outputs\.bias$", "cls.squad.output_bias"),
    (r"^classifier\.weight$", "output_weights"),
    (r"^classifier\.bias$", "output_bias"),
    (r"\.LayerNorm\.weight$", ".LayerNorm.gamma"),
    (r"\.LayerNorm\.bias$", ".LayerNorm.beta"),
    (r"_embeddings\.weight$", "_embeddings"),
    (r"\.weight$", ".kernel"),
    (r"\.layer\.(\d+)\.", r".layer_\1."),
    (r"\.", "/"),
)

#: No part of a model: the optimiser's moments and counters, and buffers of some versions that hold the numbers 0, 1, 2, …
IGNORED = re.compile(r"(^|[./])(adam_[mv]|Adam(_1)?|global_step|beta[12]_power|good_steps|loss_scale|"
                     r"embeddings\.(position_ids|token_type_ids))$")

#: The encoder, which must be there whole. Everything else is a part on top of it, which may be absent and then starts fresh.
ENCODER = re.compile(r"^bert\.(embeddings|encoder|LayerNorm)\.")


def canonical(name: str) -> str:
    """Our name for a tensor of a checkpoint: ``bert/encoder/layer_0/output/LayerNorm/gamma`` -> ``bert.….LayerNorm.weight``."""
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


def tensorflow(name: str) -> str:
    """TensorFlow's name for a tensor of ours: ``bert.pooler.dense.weight`` -> ``bert/pooler/dense/kernel``."""
    for pattern, replacement in TO_TENSORFLOW:
        name = re.sub(pattern, replacement, name)
    return name


def lies_transposed(name: str) -> bool:
    """Is this TensorFlow's name of a matrix that is stored (in, out)?"""
    return name.endswith("/kernel")
