"""What goes into an example of plain text, and what is asked of it as a whole: one module for each way, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType, ModuleType
from typing import NamedTuple

from minibert.tasks.corruption import next_words
from minibert.tasks.examples import Example
from minibert.tasks.segments import distance, reordering, sentence_order, three_ways
from minibert.tasks.segments.full_sentences import packed
from minibert.tasks.segments.next_sentence import sentence_pairs
from minibert.tasks.segments.prefix import prefixed
from minibert.tasks.segments.sentence_order import ordered_pairs


class Segments(NamedTuple):
    make: Callable[..., list[Example]]
    title: str = ""  # what is asked
    term: str | None = None  # whose target its label is; None: nothing is asked
    documents: int = 1  # at least
    corruption: ModuleType | None = None  # the one that goes with it; None: any
    parted: bool = False  # is it made of parts, though no token types tell?


SEGMENTS: Mapping[str, Segments] = MappingProxyType({
    "next": Segments(sentence_pairs, "next sentence", "nsp", 2),
    "order": Segments(ordered_pairs, "sentence order", "nsp"),
    "order-original": Segments(partial(ordered_pairs, lone_from_another=True), "sentence order", "nsp", 2),
    "order-apart": Segments(sentence_order.apart, "sentence order", sentence_order.TERM),
    "three-ways": Segments(three_ways.three_ways, "next, previous or random", three_ways.TERM, 2),
    "distance": Segments(distance.distances, "sentence distance", distance.TERM, 2),
    "reorder": Segments(reordering.reordered, "order of parts", reordering.TERM, parted=True),
    "full-sentences": Segments(packed),
    "doc-sentences": Segments(partial(packed, within=True)),
    "prefix": Segments(prefixed, corruption=next_words),
})
