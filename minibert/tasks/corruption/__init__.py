"""What of an example is hidden or changed: one module for each way, and the table of them.

A module has ``rule(tokenizer, **options)``, made once, and ``mask_example(example, rule, key) -> Masked``; one that looks at all
examples of a step has ``mask_examples(examples, rule, keys) -> list[Masked]`` instead. ``MARKS``: what it must know of a token
beside its id (see ``tasks.marks``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

from minibert.tasks.corruption import (
    frequency,
    gap_words,
    masking,
    ngrams,
    phrases,
    reference_words,
    roberta,
    spans,
)
from minibert.tasks.examples import NOTHING, Example, Masked


class Corruption(NamedTuple):
    module: ModuleType
    options: Mapping[str, Any] = NOTHING  # of its rule
    blind: bool = False  # what is hidden, and how, does not depend on which words there are, and is BERT's 80/10/10
    files: tuple[str, ...] = ()  # options of its rule that come from a file
    rated: bool = False  # another share may be hidden, by ``--mask-rate``


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({
    "pieces": Corruption(masking, {"whole_word": False}, blind=True, rated=True),
    "whole-words": Corruption(masking, {"whole_word": True}, blind=True, rated=True),
    "whole-words-reference": Corruption(reference_words),
    "whole-words-gaps": Corruption(gap_words),
    "whole-words-roberta": Corruption(roberta, {"whole_word": True}),
    "roberta": Corruption(roberta),
    "roberta-special": Corruption(roberta, {"special": True}),
    "ngrams": Corruption(ngrams),
    "spans": Corruption(spans),
    "phrases": Corruption(phrases, files=("phrases",)),
    "frequency": Corruption(frequency),
})


def mask_all(module: ModuleType, examples: Sequence[Example], rule: Any, keys: Sequence[tuple[int, int, int]]) -> list[Masked]:
    """The examples of a step as the model sees them."""
    if hasattr(module, "mask_examples"):
        return module.mask_examples(examples, rule, keys)
    return [module.mask_example(example, rule, key) for example, key in zip(examples, keys)]
