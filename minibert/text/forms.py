"""The forms in which a text may come.

======================  ==================================================================================
``"a text"``            a string
``["a", "text"]``       a list of strings: the words of one text, where it stands in a list of texts
``[101, 1037, 102]``    a list of whole numbers, or an array: ids, with [CLS] and [SEP]
``Encoding``            what a tokenizer made
``(a, b)``              a tuple of two strings, or lists of words: a pair of texts
======================  ==================================================================================

A list of strings that is not in a list is several texts, a list of ids alone is one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .tokenizer import Encoding, Part, Tokenizer

Text = str | Sequence[str] | Sequence[int] | Encoding | tuple[Part, Part]
EXPECTED = "a string, a (string, string) pair, a list of words or a list of ids"


def listed(texts: Text | Sequence[Text]) -> list[tuple[str, Text]]:
    """(what messages call it, text) of every text; TypeError or ValueError for anything else."""
    if is_one(texts):
        return [("", texts)]
    if not isinstance(texts, (list, tuple, np.ndarray)):
        raise TypeError(f"texts must be {EXPECTED}, or a list of these, got {type(texts).__name__}")
    if not len(texts):
        raise ValueError("texts is empty: pass at least one text")
    for i, text in enumerate(texts):
        if not (is_one(text) or _is_words(text)):
            raise TypeError(f"texts[{i}] must be {EXPECTED}, got {text!r}")
    return [(f"texts[{i}]: ", text) for i, text in enumerate(texts)]


def is_one(x: Any) -> bool:
    """Whether this is a single text, and not a list of some."""
    return isinstance(x, (str, Encoding)) or is_pair(x) or is_ids(x)


def is_pair(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and all(isinstance(part, str) or _is_words(part) for part in x)


def is_ids(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        return x.ndim == 1 and x.dtype.kind in "iu"
    return (isinstance(x, (list, tuple)) and len(x) > 0
            and all(isinstance(number, (int, np.integer)) and not isinstance(number, bool) for number in x))


def _is_words(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(word, str) for word in x)


def encode(tokenizer: Tokenizer, text: Text, *, max_length: int, truncate: bool = False, literal: bool = False) -> Encoding:
    """What the tokenizer makes of a text in any form. ``literal``: special tokens written in it are words.

    Ids say themselves which tokens are special. ValueError for more than ``max_length`` tokens that may not be cut off.
    """
    if isinstance(text, Encoding):
        if len(text) > max_length:
            raise ValueError(f"the encoding has {len(text)} tokens, more than the limit of {max_length}; make it with max_length")
        return text
    if is_ids(text):
        return tokenizer.encode_ids(text, max_length=max_length, truncate=truncate)
    first, second = text if is_pair(text) else (text, None)
    return tokenizer.encode(first, second, max_length=max_length, truncate=truncate, special_tokens=not literal)


def ids(tokenizer: Tokenizer, text: Text, literal: bool = False) -> list[int]:
    """The ids of a single text, without the [CLS] and [SEP] around it: what ``encode`` makes, the fast way."""
    if isinstance(text, Encoding) or is_ids(text):
        encoding = encode(tokenizer, text, max_length=sys.maxsize)
        return encoding.ids[encoding.special_tokens_mask[0]:len(encoding) - encoding.special_tokens_mask[-1]]
    words = [text] if isinstance(text, str) else text
    return [number for word in words for number in tokenizer.ids(word, special_tokens=not literal)]


def mapped(change: Callable[[str], str], text: Text) -> Text:
    """The text with every string in it changed; ids as they are."""
    if isinstance(text, str):
        return change(text)
    return type(text)(mapped(change, part) for part in text) if is_pair(text) or _is_words(text) else text


def written(text: Text) -> str:
    """What is written in a text, its words joined; nothing of ids."""
    if isinstance(text, str):
        return text
    return " ".join(map(written, text)) if is_pair(text) or _is_words(text) else ""
