"""How much of a text a model can read: what its vocabulary does not know, and the special tokens that are written there."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .vocabulary import Vocabulary


class UnknownText(UserWarning):
    """Most of a text is unknown to the model that is asked about it."""


class Reading(NamedTuple):
    """Counts of what is read of some texts."""

    tokens: int  # without special tokens, the added [CLS] and [SEP] and those that are written in a text
    unknown: int  # of these: words that the vocabulary cannot make, each one [UNK]
    special: int  # special tokens that are written in the texts
    literal: bool = False  # whether those are read as words

    @classmethod
    def of(cls, vocab: Vocabulary, texts: Iterable[str], ids: Iterable[Sequence[int]], literal: bool = False) -> Reading:
        """Of texts and what they became, with [CLS] and [SEP] or without."""
        ids = np.concatenate([np.empty(0, np.int64), *(np.asarray(row, np.int64) for row in ids)])
        unknown = int((ids == vocab.unk_id).sum())
        tokens = unknown + int((~np.isin(ids, vocab.special_ids)).sum())
        return cls(tokens, unknown, sum(count_special(vocab, text) for text in texts), literal)

    @property
    def share(self) -> float:
        """Of the tokens: how many are unknown, from 0 to 1."""
        return self.unknown / max(1, self.tokens)

    def notes(self) -> list[str]:
        """What there is to say about it on the command line."""
        lines = [self._unknown()] if self.unknown else []
        if self.special:
            way = "words, as --literal says" if self.literal else "the tokens that they name; --literal reads them as words"
            lines.append(f"special tokens written in the text: {self.special:,}, read as {way}")
        return lines

    def warn(self) -> None:
        """An ``UnknownText`` warning, to whoever called our caller, where more than half is unknown."""
        if self.share > 0.5:
            warnings.warn(f"{self._unknown()}. Is the model for this language?", UnknownText, stacklevel=3)

    def _unknown(self) -> str:
        return (f"unknown to the model's vocabulary: {self.unknown:,} of {self.tokens:,} tokens ({self.share:.1%}); it reads "
                "[UNK] there, and not what is written")


def count_special(vocab: Vocabulary, text: str, but: int | None = None) -> int:
    """How often special tokens are written in a text, all ``but`` the one with that id."""
    return sum(text.count(vocab.tokens[number]) for number in vocab.special_ids if number != but)


def as_words(vocab: Vocabulary, text: str, but: int | None = None) -> str:
    """The text with its special tokens, all ``but`` the one with that id, pulled apart: ``[ SEP]`` can only be read as words.

    A bracket is a word of its own, so a space after it changes nothing else.
    """
    for token in (vocab.tokens[number] for number in vocab.special_ids if number != but):
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
