"""What else is asked of the words of an example, whatever is hidden of it: one module for each question, and the table of them.

A module has ``rule(tokenizer)``, made once, and ``ask(masked, example, rule, key) -> Masked``, which adds the target of its
``TERM``; ``MARKS``: what it must know of a token beside its id (see ``tasks.marks``); ``MOVES``: whether words
change places.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from minibert.tasks.words import capitalisation, token_document, trigrams

WORDS: Mapping[str, ModuleType] = MappingProxyType({
    "trigrams": trigrams, "capitalisation": capitalisation, "token-document": token_document})
