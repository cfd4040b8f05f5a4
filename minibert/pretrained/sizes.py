"""The configuration of a model that comes without a ``config.json``: its sizes are those of its tensors.

What no tensor tells is the number of attention heads, which share one matrix, and three choices that leave no trace: the
activation, the epsilon of the norms, the rates of dropout. These are taken as the family has them, and it is said.
"""

from __future__ import annotations

from collections.abc import Mapping

from minibert.config import BertConfig
from minibert.pretrained.families.table import Family

HEAD = 64  # numbers of one head, in every published BERT but a few
DEEPEST = "num_hidden_layers"

_KEYS = {"bert.embeddings.word_embeddings.weight": ("vocab_size", "hidden_size"),
         "bert.embeddings.position_embeddings.weight": ("max_position_embeddings",),
         "bert.embeddings.token_type_embeddings.weight": ("type_vocab_size",),
         "bert.encoder.layer.0.intermediate.dense.weight": ("intermediate_size",)}


def of(shapes: Mapping[str, tuple[int, ...]], config: BertConfig | None = None) -> dict[str, int]:
    """What the shapes of tensors, by our names, say about the configuration, as far as they are there.

    ``config``: one that may tell of narrow tables, and of layers that share their tensors.
    """
    sizes: dict[str, int] = {}
    for name, keys in _KEYS.items():
        sizes |= dict(zip(keys, shapes.get(name, ())))
    if config and config.embedding_size and "hidden_size" in sizes:
        sizes["embedding_size"] = sizes.pop("hidden_size")
    numbers = {name.split(".")[3] for name in shapes if name.startswith("bert.encoder.layer.")}
    if not (config and config.layer_map) and numbers and all(number.isdecimal() for number in numbers):
        sizes[DEEPEST] = max(map(int, numbers)) + 1
    return sizes


def config(shapes: Mapping[str, tuple[int, ...]], heads: int | None, family: Family) -> tuple[BertConfig, str]:
    """The configuration of a whole encoder, and what was taken for granted. ValueError where the shapes do not determine it."""
    sizes = of(shapes)
    if "bert.embeddings.projection.weight" in shapes:
        raise ValueError("its tables are narrower than its encoder, as in ALBERT and ELECTRA, whose structure no tensor tells")
    wanted = [key for keys in (*_KEYS.values(), (DEEPEST,)) for key in keys if family.keys.get(key, key)]
    if unknown := sorted(set(wanted) - sizes.keys()):
        raise ValueError(f"its tensors do not tell {', '.join(unknown)}")
    width = sizes["hidden_size"]
    if heads is None and width % HEAD:
        raise ValueError(f"no tensor tells how many attention heads it has, and its hidden size {width} is no multiple of the "
                         f"usual {HEAD} numbers a head; say it: --heads N")
    values = {key: sizes[key] for key in wanted} | {"num_attention_heads": width // HEAD if heads is None else heads}
    found = family.preset(family.pattern, **values)
    count = "1 head" if found.num_attention_heads == 1 else f"{found.num_attention_heads} heads"
    guessed = ", a guess that --heads N corrects" if heads is None else ""
    return found, (
        f"its sizes are those of its tensors ({found.num_hidden_layers} layers, hidden size {width}), with {count} of "
        f"{found.head_size}{guessed}; activation ({found.hidden_act}) and epsilon ({found.layer_norm_eps:g}) are taken to be "
        f"{family.title}'s")
