"""A text as a model sees it, and what cannot be one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from minibert.world.lexicon import Lexicon

MASK, SEP = "[MASK]", "[SEP]"


class Seen(NamedTuple):
    """A text as a model sees it, without [CLS] and without the [SEP] at its end.

    words: of the language, or [MASK]; [SEP] stands between parts of different documents. targets: which are asked for. chosen:
    how many words were chosen to be guessed, the [MASK]s among them; None: no others, every visible word is certain. single: is
    each part one sentence, instead of one or more? told: the numbers of topic and name, where these are no secret.
    """

    words: Sequence[str]
    targets: Sequence[int]
    chosen: int | None = None
    single: bool = False
    told: tuple[int, int] | None = None

    @classmethod
    def of_example(cls, tokens: Sequence[str], positions: Sequence[int]) -> Seen:
        """A text of training: ``[CLS] words [SEP]``, in which these positions were chosen."""
        return cls(list(tokens[1:-1]), [int(position) - 1 for position in positions], len(positions))


class Part(NamedTuple):
    """A run of words of one document within a text."""

    first: int  # number of its first word in the text
    words: list[int]  # -1 for [MASK]


def parts_of(lexicon: Lexicon, number: int, text: Seen) -> list[Part]:
    """The parts of a text, called ``number`` where something is wrong. ValueError for words that the language does not have."""
    index = lexicon.index
    parts, words = [], []
    for place, word in enumerate([*text.words, SEP]):
        if word == SEP:
            if not words:
                raise ValueError(f"text {number} is empty, or has nothing before its {SEP}: word {place}")
            parts.append(Part(place - len(words), words))
            words = []
        elif word != MASK and word not in index:
            near = get_close_matches(word, index, 3) or lexicon.words[-3:]
            raise ValueError(f"text {number}, word {place}: {word!r} is no word of this language, as {', '.join(near)} are; "
                             "words and marks stand with blanks between them")
        else:
            words.append(index.get(word, -1))
    return parts


def others(number: int, text: Seen) -> int:
    """r: how many visible words were chosen. ValueError for what cannot be asked."""
    words, hidden = sum(word != SEP for word in text.words), sum(word == MASK for word in text.words)
    chosen = hidden if text.chosen is None else text.chosen
    if not hidden <= chosen <= words:
        raise ValueError(f"text {number}: {chosen} words were chosen, and {hidden} of its {words} words are {MASK}: the "
                         "number of chosen words lies between these")
    for place in text.targets:
        if not 0 <= place < len(text.words) or text.words[place] == SEP:
            raise ValueError(f"text {number}: the target {place} is no word; it has words 0 to {len(text.words) - 1}")
        if text.words[place] != MASK and chosen == hidden:
            raise ValueError(f"text {number}: the target {place} is visible ({text.words[place]!r}), and no visible word was "
                             "chosen: it is certain; give chosen, the number of all chosen words")
    return chosen - hidden
