"""Sentence vectors from pairs of texts that belong together: of all texts in the batch, each is to be nearest to its own.

A row of the file is an anchor (a question, say), its positive (the answer), and hard negatives where there are any: texts that
look right and are not. No label is needed: the texts of the other rows are the wrong answers.

What comes out is measured as a search: each anchor of the dev examples looks for its positives among all their positives and
negatives. Source: Henderson et al. 2017; Reimers and Gurevych 2019, "Sentence-BERT".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data import rows
from minibert.tasks.labelled import common, metrics
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer

KIND = "vectors"
ARCHITECTURE = "BertModel"
METRIC = "mrr"
METRICS = ("mrr", "recall_1", "recall_10")
MAX_LENGTH = 128
COLUMNS = ("text", "label", "guess", "confidence", "rank")
LABEL = "label"

#: Columns of an anchor and its positive that are understood without being told, in lower case.
PAIRS = (("anchor", "positive"), ("query", "positive"), ("query", "passage"), ("query", "document"), ("query", "answer"),
         ("question", "answer"), ("question", "passage"), *rows.PAIRS)
NEGATIVE = "negative"  # how the names of the columns of hard negatives begin
_NAMES = tuple(dict.fromkeys((*(name for pair in PAIRS for name in pair), NEGATIVE)))


class Example(NamedTuple):
    """An anchor, what belongs to it, and what does not although it looks like it."""

    text: str
    pair: str
    negatives: tuple[str, ...]
    label: bool | None  # True: the pair belongs together
    where: str


class Guess(NamedTuple):
    """The nearest candidate and its cosine; the ranks of all that belong to the anchor, and that of its own positive."""

    label: str
    confidence: float
    ranks: tuple[int, ...]
    rank: int


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """The examples of a TSV, CSV or JSON file. ValueError for an empty text, and for columns that are not there."""
    table, columns = columns_of(path, settings)
    negatives = [name for role, name in columns.items() if role.startswith(NEGATIVE)]
    examples = [Example(rows.cell(table, i, columns["text"], "text"), rows.cell(table, i, columns["pair"], "second text"),
                        tuple(rows.cell(table, i, name, "negative") for name in negatives), True, table.where(i))
                for i in range(len(table.rows))]
    left = [name for name in table.columns if name not in columns.values() and name.lower() not in rows.IDS]
    notes = [f"not read: {', '.join(left)}; hard negatives are named with --negative, and how alike two texts are, as a number, "
             "is learned with --scored"] if left else []
    return Data(table.path, examples, columns, [*table.notes, *notes])


def columns_of(path: Any, settings: Any, scored: bool = False, labelled: bool | None = True) -> tuple[rows.Table, dict[str, str]]:
    """The rows of a file, and which columns hold ``text``, ``pair``, and negatives or, where pairs are scored, the ``label``.

    What was named is taken, then names that are usual, then the order: without a header all columns of texts are read, of a
    header that says nothing the first two. ValueError, with the columns that there are, where one is missing.
    """
    wanted = {"text": settings.text, "pair": settings.pair, "label": settings.label if scored else None,
              NEGATIVE: None if scored else settings.negative}
    table = rows.read(path, settings.header, [*_NAMES, *filter(None, wanted.values())])
    found = rows.named_columns(table, **wanted)
    both = next((pair for pair in PAIRS if all(rows.known(table, [name], found.values()) for name in pair)), ())
    if not {"text", "pair"} & found.keys():
        found |= {role: rows.known(table, [name], found.values()) for role, name in zip(("text", "pair"), both)}
    left = [name for name in table.columns if name not in found.values() and name.lower() not in rows.IDS]
    numbers = [name for name in left if rows.all_numbers([str(row.get(name)) for row in table.rows], rows.MARKS)]
    if scored and labelled is not False and "label" not in found:
        label = rows.known(table, rows.LABELS, found.values()) or (numbers[0] if len(numbers) == 1 else None)
        found |= {} if label is None else {"label": label}
    _take_in_order(found, [name for name in left if name not in (*numbers, *found.values())], negatives=not scored,
                   all_of_them=not table.header)
    there = f"{table.path}: there are the columns {', '.join(table.columns)}"
    if not {"text", "pair"} <= found.keys():
        raise ValueError(f"{there}; expected two texts that belong together on each line, with a tab between them (in a .csv: a "
                         "comma, semicolon or |), or columns called anchor and positive; name others with --text and --pair")
    if scored and labelled and "label" not in found:
        raise ValueError(f"{there}; which of them says, as a number, how alike the two texts are? Name it with --label; pairs "
                         "without such a score are learned from without --scored")
    return table, found


def _take_in_order(found: dict[str, str], texts: Sequence[str], negatives: bool, all_of_them: bool) -> None:
    """Add what is not found yet: the first columns of ``texts`` are the pair, those called so, or all others, the negatives."""
    called = [name for name in texts if name.lower().startswith(NEGATIVE)]
    rest = [name for name in texts if name not in called]
    for role in ("text", "pair"):
        if role not in found and rest:
            found[role] = rest.pop(0)
    if negatives:
        called += rest if all_of_them else []
        first = 1 + (NEGATIVE in found)
        found |= {NEGATIVE if i == 1 else f"{NEGATIVE} {i}": name for i, name in enumerate(called, first)}


def classes(example: Example) -> tuple[str, ...]:
    """There are none."""
    return ()


def labels(examples: Sequence[Example]) -> list[str]:
    """No classes: one name for what belongs together. ValueError where every text is another's positive."""
    if len({example.pair for example in examples}) < 2:
        raise ValueError(f"all {len(examples)} training examples have the second text {examples[0].pair[:60]!r}: there is "
                         "nothing to tell apart")
    return ["pair"]


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each example, its texts side by side; and how many examples had one that was too long and cut.

    The labels are numbers of the texts, equal ones for equal texts.
    """
    rows = [(e.text, e.pair, *e.negatives) for e in examples]
    number: dict[str, int] = {}
    return features(tokenizer, rows, [[number.setdefault(text, len(number)) for text in row] for row in rows], settings)


def features(tokenizer: Tokenizer, texts: Sequence[Sequence[str]], labels: Sequence[Any],
             settings: Any) -> tuple[list[Feature], int]:
    """Of several texts an example, each read by itself."""
    made, cut = [], 0
    for i, (row, label) in enumerate(zip(texts, labels)):
        encoded = [common.sequence(tokenizer, text, None, settings) for text in row]
        made.append(Feature(tuple(ids for ids, _, _ in encoded), tuple(split for _, split, _ in encoded), np.array(label), i))
        cut += any(too_long for _, _, too_long in encoded)
    return made, cut


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """What each anchor finds among the positives and negatives of all examples; logits: vectors (K, H) each."""
    anchors, candidates = {}, {}
    for example, vectors in zip(examples, logits):
        anchors.setdefault(example.text, vectors[0])
        for text, vector in zip((example.pair, *example.negatives), vectors[1:]):
            candidates.setdefault(text, vector)
    place = {text: i for i, text in enumerate(candidates)}
    right: dict[str, set[int]] = {}
    for example in examples:
        right.setdefault(example.text, set()).add(place[example.pair])
    found = dict(zip(anchors, metrics.searches([*anchors.values()], [*candidates.values()], [*map(sorted, right.values())])))
    names = list(candidates)
    guesses = []
    for example in examples:
        nearest, cosine, ranks = found[example.text]
        guesses.append(Guess(names[nearest], cosine, tuple(sorted(ranks.values())), ranks[place[example.pair]]))
    return guesses


def right(example: Example) -> Guess:
    """The guess that would be right."""
    return Guess(example.pair, 1.0, (1,), 1)


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """Of each anchor, however many positives it has: 1 / the rank of the nearest, and which share is among the first 1 and 10."""
    ranks = {example.text: guess.ranks for example, guess in zip(examples, guesses)}.values()
    return {"mrr": metrics.reciprocal_rank(ranks)} | {f"recall_{k}": metrics.recall_at(ranks, k) for k in (1, 10)}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down for an example; and whether what belongs to it comes first."""
    return (example.text, example.pair, guess.label, guess.confidence, guess.rank), guess.ranks[0] == 1


def texts(example: Example) -> str:
    """What makes two examples the same."""
    return "\t".join((example.text, example.pair, *example.negatives))


def describe(examples: Sequence[Example]) -> list[str]:
    """How many texts there are to choose from; and how many stand in several pairs."""
    most = len(examples[0].negatives)
    candidates = {text for example in examples for text in (example.pair, *example.negatives)}
    lines = [f"{len({e.text for e in examples}):,} anchors, {len(candidates):,} candidates"
             + (f", {most} hard negative{'s' * (most > 1)} an anchor" if most else ", no hard negatives")]
    if repeated := 2 * len(examples) - len({e.text for e in examples}) - len({e.pair for e in examples}):
        lines.append(f"{repeated:,} anchors or positives stand in an earlier pair too: where such pairs meet in a batch, they "
                     "are no wrong answers to each other")
    return lines


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """Nothing beyond the figures."""
    return []


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> None:
    """There are no classes to confuse."""
