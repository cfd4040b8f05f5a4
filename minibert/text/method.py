"""How a text becomes pieces: what tokenizers differ in. What they share, from special tokens to batches, is ``Tokenizer``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cut import Cut

CACHED_PARTS = 1 << 17  # per cache: some 30 MB
CACHED_LENGTH = 64  # characters; longer parts hardly ever come back
BLOCK = 1 << 18  # characters that are cut together

Piece = tuple[int, int, int]  # id, start, end


class Method:
    """From a text without added tokens to pieces of a vocabulary, and back. Made of the vocabulary and the added tokens.

    A text is cut into parts, and what a part becomes depends on that part alone: the ``Tokenizer`` remembers it. A method that
    normalises texts says so in ``whole``, ``whole_with_offsets`` and ``words_of_whole``.

    ``follows``: the text stands behind others and a blank, as a word of a list does; to some methods a blank is part of a word.
    """

    lower_case: bool = False
    strip_accents: bool | None = False
    split_cjk: bool = False
    cut: Cut | None = None
    many: Callable[[Sequence[str]], Sequence[tuple[int, ...]]] | None = None  # the ids of many parts, where that is faster

    @property
    def options(self) -> dict[str, Any]:
        """The options that it was made with, as JSON can hold them."""
        raise NotImplementedError

    def parts(self, text: str, follows: bool) -> list[str]:
        """The text in parts; what lies between them is lost."""
        raise NotImplementedError

    def placed_parts(self, text: str, follows: bool) -> Iterable[tuple[str, int]]:
        """The same parts, each with its place in the text."""
        raise NotImplementedError

    def ids(self, part: str) -> tuple[int, ...]:
        """The ids of a part: the fast way."""
        raise NotImplementedError

    def words(self, part: str) -> tuple[tuple[Piece, ...], ...]:
        """The pieces of each word of a part, with their places in it."""
        raise NotImplementedError

    def place(self, text: str, start: int, end: int) -> tuple[int, int]:
        """The place that a token is given which was found from ``start`` to ``end``."""
        return start, end

    def continues(self, token: str) -> bool:
        """Whether a token goes on with the word of the one before it, as far as the token alone can tell."""
        raise NotImplementedError

    def written(self, token: str, first: bool) -> str:
        """A token as BERT writes it: ``##`` before what goes on with a word. ``first``: it begins a text."""
        return token

    def decode(self, ids: Sequence[int]) -> str:
        """Readable text."""
        raise NotImplementedError

    def whole(self, text: str) -> str:
        """The text normalised, not yet cut."""
        return text

    def whole_with_offsets(self, text: str) -> tuple[str, Sequence[int]]:
        """The same, with one number per character: where in ``text`` it came from."""
        return text, range(len(text))

    def words_of_whole(self, text: str, at: Sequence[int], follows: bool) -> Iterator[Sequence[Piece]]:
        """The pieces of each word of what ``whole_with_offsets`` returned, or of a part of it."""
        for part, place in self.placed_parts(text, follows):
            yield from moved(self.words(part), at[0] + place)


def moved(words: Iterable[Sequence[Piece]], by: int) -> Iterator[list[Piece]]:
    """The same words, further back in a text."""
    return ([(number, start + by, end + by) for number, start, end in word] for word in words)


def blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists of some ``BLOCK`` characters."""
    block, size = [], 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    yield block


class Cache(dict):
    """Remembers what ``rule`` made of a part of a text; emptied when full, so that memory stays bounded."""

    def __init__(self, rule: Callable[[str], Any]):
        super().__init__()
        self.rule = rule

    def __missing__(self, part: str) -> Any:
        result = self.rule(part)
        if len(part) <= CACHED_LENGTH:
            if len(self) >= CACHED_PARTS:
                self.clear()
            self[part] = result
        return result

    def keep(self, made: Mapping[str, Any]) -> None:
        """Remember what was made elsewhere."""
        short = {part: result for part, result in made.items() if len(part) <= CACHED_LENGTH}
        if len(self) + len(short) > CACHED_PARTS:
            self.clear()
        self.update(short)
