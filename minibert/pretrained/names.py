"""From the names that checkpoints use to ours, which are those of the reference's PyTorch port with both pre-training heads."""

from __future__ import annotations

import re

#: (pattern, replacement), tried on every name in this order.
RULES = (
    (r"^(embeddings|encoder|pooler|LayerNorm)\.", r"bert.\1."),  # saved without the heads: no prefix
    (r"\.LayerNorm\.gamma$", ".LayerNorm.weight"),  # the names of TensorFlow and of the first ports
    (r"\.LayerNorm\.beta$", ".LayerNorm.bias"),
)

#: Buffers that some versions saved; they hold the numbers 0, 1, 2, … and nothing learned.
IGNORED = re.compile(r"(^|\.)embeddings\.(position_ids|token_type_ids)$")

#: May be absent: parts on top of the encoder, which start fresh. Everything else must be there.
HEADS = re.compile(r"^(cls\.|bert\.pooler\.)")


def canonical(name: str) -> str:
    """Our name for a tensor of a checkpoint: ``encoder.layer.0.output.LayerNorm.gamma`` -> ``bert.….LayerNorm.weight``."""
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name
