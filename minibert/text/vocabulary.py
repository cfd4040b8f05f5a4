"""The vocabulary: a list of tokens, and the way back from a token to its id."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from minibert.files import decode_utf8, write_atomically

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BLANKS = " \t\r\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


class Vocabulary:
    """Tokens in the order of their ids.

    ``tokens``: tuple of strings; ``index``: dict from token to id; ``special``: what the five special tokens are called here,
    in the order of ``SPECIAL``; ``pad_id``, ``unk_id``, ``cls_id``, ``sep_id``, ``mask_id``: their ids, wherever they stand,
    None for one that is not there (no id is equal to it; [PAD] is then id 0, for what stands behind the end is never looked
    at); ``special_ids``: those that are there, sorted. ``added``: so many of the last tokens stand beside the vocabulary and
    are found in a text only as they are written; ``pieces``: the others, of which words are made, with their ids. ``notes``:
    what there was to say about the list.

    Raises ValueError for an empty list, one without any special token, a token twice, and a token that a line of a file
    cannot hold; ``source`` is what the messages call the list.
    """

    def __init__(self, tokens: Sequence[str], *, special: Sequence[str | None] = SPECIAL, added: int = 0,
                 source: str | os.PathLike[str] = "the vocabulary", notes: Sequence[str] = ()):
        self.tokens = tuple(tokens)
        self.special = tuple(special)
        self.added = added
        self.source = source
        self.notes = list(notes)
        self.index = {token: number for number, token in enumerate(self.tokens)}
        if not self.tokens:
            raise ValueError(f"{source} is empty: expected one token a line, {' '.join(SPECIAL)} among them")
        if len(self.index) < len(self.tokens):
            raise ValueError(f"{source}: {_repeated(self.tokens)}; every token must stand there once")
        if self.index.keys().isdisjoint(special):
            raise ValueError(f"{source} has none of the special tokens {' '.join(filter(None, special))}, and begins with "
                             f"{self.tokens[0][:40]!r}: this is no vocabulary of a BERT")
        for number, token in enumerate(self.tokens[:len(self.tokens) - added]):
            if not fits_a_line(token):
                raise ValueError(f"{source}: token {number} is {token!r}; a token is not empty, has no blank at its end and no "
                                 "line break in it")
        self.pieces = {token: self.index[token] for token in self.tokens[:-added]} if added else self.index
        pad, self.unk_id, self.cls_id, self.sep_id, self.mask_id = map(self.index.get, special)
        self.pad_id = 0 if pad is None else pad
        self.special_ids = tuple(sorted(self.index[token] for token in special if token in self.index))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self.index

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Vocabulary)
                and (self.tokens, self.special, self.added) == (other.tokens, other.special, other.added))

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def require(self, what: str, *special: str) -> None:
        """ValueError where a special token is not there that ``what`` needs: ``require("fill_mask", "[MASK]")``."""
        named = dict(zip(SPECIAL, self.special))
        if absent := [named[token] or token for token in special if named[token] not in self.index]:
            raise ValueError(f"{self.source} has no {', '.join(absent)}, which {what} needs")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a ``vocab.txt``: UTF-8, one token a line, the line's number (from 0) is the token's id.

        Lines end at ``\\n`` (or ``\\r\\n``; at ``\\r`` where there is no other) and nowhere else: U+2028 is a token of the
        Chinese vocabulary. Blanks at the end of a line belong to no token. For blank and repeated lines see ``distinct``.
        Raises ValueError with the file's name for bytes that are not UTF-8, and whatever ``Vocabulary`` refuses.
        """
        tokens, notes = distinct(read_lines(path), path)
        return cls(tokens, source=path, notes=notes)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``vocab.txt`` that ``load`` and the usual tools read: all of it, or nothing. Without the added tokens."""
        write_atomically(path, "".join(f"{token}\n" for token in self.pieces))


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The tokens in the lines of a file, as they are."""
    text = decode_utf8(Path(path).read_bytes(), path)
    lines = text.split("\n" if "\n" in text else "\r")
    if lines[-1] == "":
        lines.pop()
    return [line.rstrip(_BLANKS) for line in lines]


def distinct(tokens: Sequence[str], source: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """The tokens, each once, and notes. Of a token that stands there twice the later one counts, as for the usual tools.

    Its earlier id, and that of a blank line, keep their places under names that no text reaches.
    """
    last = {token: number for number, token in enumerate(tokens)}
    twice = {token: number for number, token in enumerate(tokens) if token and last[token] != number}
    blank = [number for number, token in enumerate(tokens) if not token]
    notes = []
    if twice:
        told = ", ".join(f"{token!r} in {number + 1} and {last[token] + 1}" for token, number in list(twice.items())[:3])
        notes.append(f"{source} has tokens in several lines ({told}{', …' if len(twice) > 3 else ''}): the last one counts, "
                     "and the ids of the others are not used")
    if blank:
        told = ", ".join(str(number + 1) for number in blank[:3])
        notes.append(f"{source} has blank lines ({told}{', …' if len(blank) > 3 else ''}): their ids are not used")
    return [token if token and last[token] == number else unused(number) for number, token in enumerate(tokens)], notes


def fits_a_line(token: str) -> bool:
    """Whether a line of ``vocab.txt`` can hold this token."""
    return token != "" and token == token.rstrip(_BLANKS) and "\n" not in token


def unused(number: int) -> str:
    """A name for an id without a token. No text has it: brackets are words of their own."""
    return f"[unused:{number}]"


def _repeated(tokens: Sequence[str]) -> str:
    seen: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if token in seen:
            return f"{token!r} is token {seen[token]} and again token {number}"
        seen[token] = number
    raise AssertionError("no duplicate")
