"""Sentences to begin with. What the loaded model makes of each is measured, not claimed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from minibert.analysis import inside
from minibert.analysis.subject import HELD_OUT

if TYPE_CHECKING:
    from minibert.pretrained import Trained
    from minibert.world import World


class Example(NamedTuple):
    """``truth`` is the word to hide: the first token that is it, or the ``nth``."""

    text: str
    truth: str
    note: str  # what to look at
    other: str | None = None  # the second of a minimal pair, with ``other_truth`` hidden
    other_truth: str | None = None


PYTHON = (  # for a model that has read Python's documentation
    Example("they are not supported.", "are", "One word of the subject changes, and so does the verb.",
            "it is not supported.", "is"),
    Example("these types are used by the compiler.", "types", "Singular or plural? It depends on one word, the token before.",
            "this module is used by the compiler.", "module"),
    Example("return true if x is less than y.", "than", "A fixed phrase: the neighbours are enough."),
    Example("this method must be called before the server is started.", "be", "Switch head 1.1 off: what is left?"),
    Example("the function does not return a value.", "not", "Head 0.1 reads the next token, head 1.1 the one before."),
    Example("a list of strings is returned.", "list", "Many words fit. Compare the entropy with that of the others."),
    Example("return none if the file is not found.", "none", "The truth is second: true and none fit the sentence alike."),
    Example("the keys of the dictionary are strings.", "are", "Wrong: the verb belongs to keys, but dictionary stands nearer."),
    Example("either a string or a list.", "or", "Wrong: either is three tokens away, and no head looks that far."),
    Example("a list is mutable, but a tuple is not.", "not", "Wrong: it knows how such sentences end, not what a tuple is."),
    Example("the capital of france is paris.", "paris", "Wrong: it has read about Python, and nothing about France."),
)
ENGLISH = (
    Example("the keys to the cabinet are on the table.", "are", "The verb belongs to keys, but cabinet stands nearer.",
            "the key to the cabinets is on the table.", "is"),
    Example("the capital of france is paris.", "paris", "A fact, or a phrase that it has often read?"),
    Example("the doctor said that she was late.", "she", "Which pronoun comes first, and who wrote the text it learned from?",
            "the nurse said that he was late.", "he"),
    Example("a robin is a bird.", "bird", "Try 'a robin is not a bird.': does the guess change?"),
    Example("she opened the door with a key.", "key", "Which words does the guess rest on? See the attribution."),
    Example("two plus two is four.", "four", "It counts words, not numbers."),
)


OF_THE_WORLD = {  # what to look at, by the part of speech of what is hidden
    "VERB": "Singular or plural? The verb agrees with its subject, and not with the noun that stands next to it.",
    "PRON": "Who is meant? Compare with the truth.",
    "NOUN": "Many nouns fit. Is the model as unsure as the truth?",
    "ADP": "A small word: is it known, or is there a choice?",
}


def examples(bert: Trained, world: World | None = None) -> list[dict]:
    """Each as ``{text, hide, note, right}``, pairs with a second ``{text, hide}``; ``right``: the truth is the best guess.

    ``right`` is None for a model that has no masked-word head. Sentences whose hidden word is no single token are left out.
    """
    some = ENGLISH + PYTHON[:6] if "paris" in bert.tokenizer.vocab else PYTHON
    if world is not None:
        some = tuple(islice(_of_world(world), 10))
    found = []
    for example in some:
        sides = [(example.text, example.truth)] + ([(example.other, example.other_truth)] if example.other else [])
        hidden = [_place(bert, text, word) for text, word in sides]
        if None in hidden:
            continue
        try:
            right = all(inside.guesses(bert, inside.ask(bert, text, hide=[at]), 1)[0].rank == 1
                        for (text, _), at in zip(sides, hidden))
        except ValueError:
            right = None
        one, *two = [{"text": text, "hide": [at]} for (text, _), at in zip(sides, hidden)]
        found.append({**one, "note": example.note, "right": right, "second": two[0] if two else None})
    return found


def _of_world(world: World) -> Iterator[Example]:
    """Sentences of a generated language, in turn with a verb, a pronoun, a noun and a small word to hide."""
    kinds, turn = list(OF_THE_WORLD), 0
    for document in world.documents(10**5, HELD_OUT):
        for gold in world.gold(document):
            part = kinds[turn % len(kinds)]
            word = next((word for word, upos in zip(gold.form, gold.upos) if upos == part), None)
            if word and 7 <= len(gold.form) <= 16:
                yield Example(" ".join(gold.form), word, OF_THE_WORLD[part])
                turn += 1


def _place(bert: Trained, text: str, word: str) -> int | None:
    tokens = inside.ask(bert, text).tokens
    return next((t for t, token in enumerate(tokens) if token.lower() == word), None)
