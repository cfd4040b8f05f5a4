"""A document is a list of sentences, a sentence a list of token ids without special tokens."""

from __future__ import annotations

from collections.abc import Sequence

Sentence = Sequence[int]
Document = Sequence[Sentence]
