"""The vocabulary: a list of tokens, and the way back from a token to its id."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from minibert.files import decode_utf8, write_atomically

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Vocabulary:
    """Tokens in the order of their ids.

    ``tokens``: tuple of strings; ``index``: dict from token to id; ``pad_id``, ``unk_id``, ``cls_id``, ``sep_id``,
    ``mask_id``; ``special_ids``: these five, sorted. The five special tokens may stand anywhere, but must be there.

    Raises ValueError for an empty list, a missing special token, a token twice, and a token that a line of a file
    cannot hold; ``source`` is what the messages call the list.
    """

    def __init__(self, tokens: Sequence[str], *, source: str | os.PathLike[str] = "the vocabulary"):
        self.tokens = tuple(tokens)
        self.index = {token: number for number, token in enumerate(self.tokens)}
        if not self.tokens:
            raise ValueError(f"{source} is empty: expected one token a line, {' '.join(SPECIAL)} among them")
        if len(self.index) < len(self.tokens):
            raise ValueError(f"{source}: {_first_duplicate(self.tokens)}; every token must stand there once")
        missing = [token for token in SPECIAL if token not in self.index]
        if missing:
            raise ValueError(f"{source} has no {', '.join(missing)}: BERT needs the special tokens {' '.join(SPECIAL)}")
        for number, token in enumerate(self.tokens):
            if "\n" in token or token.endswith("\r"):
                raise ValueError(f"{source}: token {number} is {token!r}; a line break cannot be part of a token")
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (self.index[token] for token in SPECIAL)
        self.special_ids = tuple(sorted(self.index[token] for token in SPECIAL))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self.index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a ``vocab.txt``: UTF-8, one token a line, the line's number (from 0) is the token's id.

        Lines end at ``\\n`` (or ``\\r\\n``) and nowhere else: U+2028 is a token of the Chinese vocabulary.
        Raises ValueError with the file's name for bytes that are not UTF-8, and whatever ``Vocabulary`` refuses.
        """
        lines = decode_utf8(Path(path).read_bytes(), path).split("\n")
        if lines[-1] == "":
            lines.pop()
        return cls([line.removesuffix("\r") for line in lines], source=path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``vocab.txt`` that ``load`` and the usual tools read: all of it, or nothing."""
        write_atomically(path, "".join(f"{token}\n" for token in self.tokens))


def _first_duplicate(tokens: Sequence[str]) -> str:
    seen: dict[str, int] = {}
    for line, token in enumerate(tokens, start=1):
        if token in seen:
            return f"{token!r} stands in line {seen[token]} and again in line {line}"
        seen[token] = line
    raise AssertionError("no duplicate")
