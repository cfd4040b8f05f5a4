"""Tag the words of a sentence: names and places, parts of speech. A class from every word's vector.

A word may be several tokens. Its first one speaks for it: that token has the label, the others are ignored in the loss and in the
guess. Source: Devlin et al. 2018, section 5.3.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.data import conll, rows
from minibert.tasks.examples import IGNORE
from minibert.tasks.labelled import common, metrics
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer

KIND = "token"
ARCHITECTURE = "BertForTokenClassification"
METRIC = "f1"
METRICS = ("f1", "precision", "recall", "accuracy")
MAX_LENGTH = 128
COLUMNS = ("sentence", "word", "label", "guess", "confidence")
LABEL = "tags"

Read = tuple[dict[str, str], list[list[str]], list[list[str]], list[str], Sequence[str]]  # columns, words, tags, where, notes


class Example(NamedTuple):
    """The words of a sentence, and their tags where they are known: of all, of some (the others have None), or of none."""

    words: list[str]
    tags: list[str | None] | None
    where: str


class Guess(NamedTuple):
    """A tag for every word, and how likely each is. Words behind the limit are guessed to be what is most frequent: ``O``."""

    tags: list[str]
    confidences: list[float]


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """The sentences of a file with a word on each line (see ``conll.py``); or of one with an example on each line, whose fields
    are lists of words and tags: JSON Lines, or a table with blanks between them (MSRA).

    The word and tag columns may be named or numbered. A tag that says that there is none is None: that word is not learned and
    not scored. ``labelled``: must there be tags? None: they may be missing. False: they are not looked for.
    """
    path = Path(path)
    text = rows.text_of(path)
    one_a_line = rows.is_json(path, text) or path.suffix.lower() == ".csv" or _holds_lists(text)
    columns, words, tags, where, notes = (_lists if one_a_line else _lines)(path, text, settings, labelled)
    absent: set[str] = set()
    if "label" in columns and columns["label"] in conll.UNSPECIFIED:
        absent = {"_"}
    elif "label" in columns and columns["label"] not in conll.UNIVERSAL:
        absent, said = rows.absences(chain.from_iterable(tags))
        notes = [*notes, *said]
    known = ([None if tag in absent else tag for tag in t] for t in tags)
    return Data(path, [Example(w, t if any(tag is not None for tag in t) else None, place)
                       for w, t, place in zip(words, known, where)], columns, notes)


def _lines(path: Path, text: str, settings: Any, labelled: bool | None) -> Read:
    """What ``conll`` reads."""
    found = conll.read(path, text, settings.header, [name for name in (settings.text, settings.label) if name])
    named = rows.named_columns(found.table, text=settings.text, label=settings.label)
    word, label = named.get("text", found.word), named.get("label", found.label if labelled is not False else None)
    label = None if label == word else label
    if labelled and label is None:
        raise ValueError(f"{path} has words but no tags: expected two columns, a word and its tag, on each line, with a tab or a "
                         f"blank between them; found {', '.join(found.table.columns)}, of which {word} is the word")
    at = [found.table.columns.index(name) for name in (word, label) if name]
    words, *tags = ([[cells[i] for _, cells in sentence] for sentence in found.sentences] for i in at)
    for sentence, line in zip(words, found.sentences):
        if "" in sentence:
            raise ValueError(f"{path}, line {line[sentence.index('')][0]}: the word (column {word}) is empty")
    where = [f"{path}, line {sentence[0][0]}" for sentence in found.sentences]
    return ({"word": word} | ({"label": label} if label else {}), words, tags[0] if tags else [[]] * len(words), where,
            found.table.notes)


def _lists(path: Path, text: str, settings: Any, labelled: bool | None) -> Read:
    """A list of words and one of tags in each row."""
    asked = [name for name in (settings.text, settings.label) if name]
    table = rows.read(path, settings.header, [*asked, *conll.WORDS, *conll.TAGS])
    named = rows.named_columns(table, text=settings.text, label=settings.label)
    word = named.get("text") or rows.known(table, (*conll.WORDS, *rows.TEXTS), named.values())
    label = named.get("label") or (rows.known(table, (*conll.TAGS, *rows.LABELS)) if labelled is not False else None)
    if not table.header:
        word, label = word or table.columns[0], label or (table.columns[-1] if labelled is not False else None)
    label = None if label == word else label
    if word is None or (labelled and label is None):
        raise ValueError(f"{path}: expected fields {' or '.join(conll.WORDS[1:4:2])} and {' or '.join(conll.TAGS[:4])}, found "
                         f"{', '.join(table.columns)}; name them with --text and --label")
    words, tags = ([_items(row.get(name)) for row in table.rows] if name else [[]] * len(table.rows) for name in (word, label))
    if not labelled:
        tags = [t if len(t) == len(w) else [] for w, t in zip(words, tags)]
    for i, (w, t) in enumerate(zip(words, tags)):
        if not w or "" in w or (labelled and len(t) != len(w)):
            what = f"{word} and {label} must be two lists of the same length" if label else f"{word} must be a list"
            raise ValueError(f"{table.where(i)}: {what}, with one word at least; found {len(w)} words"
                             + f" and {len(t)} labels" * bool(label))
    starts = list(range(len(words)))
    if not rows.is_json(path, text) and max(map(len, words)) == 1 < len(words):
        starts = _sentence_starts(table)
        words, tags = ([[item for part in lists[a:b] for item in part] for a, b in pairwise([*starts, len(lists)])]
                       for lists in (words, tags))
    where = [table.where(i) for i in starts]
    return {"word": word} | ({"label": label} if label else {}), words, tags, where, table.notes


def _sentence_starts(table: rows.Table) -> list[int]:
    """Where sentences begin in a table with a word in each row: behind a blank line, or where their number is another one."""
    number = rows.known(table, ("sentence_id", "sentence #", "sent_id", "sentence"))
    numbers = list(accumulate((row[number].strip() if number else "" for row in table.rows), lambda before, now: now or before))
    starts = [i for i, line in enumerate(table.lines)
              if i == 0 or line > table.lines[i - 1] + 1 or numbers[i] != numbers[i - 1]]
    if len(starts) == 1:
        raise ValueError(f"{table.path}: every row is one word, and nothing says where sentences end; expected a blank line "
                         "after each of them, or a column sentence_id; or rows with all words of a sentence, separated by blanks")
    return starts


def _items(value: Any) -> list[str]:
    """A list as JSON or Python writes it, or with blanks (or what PaddlePaddle's MSRA has, 0x02) between its items."""
    if isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]"):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(value.strip())
    if isinstance(value, str):
        return re.split("[ \x02]+", value.strip())
    scalars = isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value)
    return ["" if item is None else str(item) for item in value] if scalars else []


def _holds_lists(text: str) -> bool:
    """Have most lines two cells that are lists of the same length? Or has it a single column of lists, by its name?"""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    if "\t" not in text:
        named = lines[:1] and lines[0].strip().lower() in (*conll.WORDS, *rows.TEXTS)
        return bool(named) and any(" " in line.strip() for line in lines[1:])
    counts = [[len(_items(cell)) for cell in line.split("\t")] for line in lines if "\t" in line]
    lists = sum(any(n > 1 and n in many[i + 1:] for i, n in enumerate(many)) for many in counts)
    return 2 * lists > len(lines)


def classes(example: Example) -> set[str]:
    """Its tags."""
    return set(example.tags) - {None}


def labels(examples: Sequence[Example]) -> list[str]:
    """The tags of the training data, sorted. ValueError where there is only one."""
    names = common.class_names(map(classes, examples))
    if len(names) < 2:
        raise ValueError(f"all words of the training data have the tag {names[0]!r}: there is nothing to tell apart")
    return names


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each sentence; and how many sentences were too long and cut."""
    features, cut = [], 0
    for i, example in enumerate(examples):
        ids, places = _tokens(example, tokenizer, not settings.literal)
        targets = np.full(len(ids), IGNORE, np.int64)
        if example.tags is not None:
            targets[places] = [common.class_number(tag, labels, example.where) for tag in example.tags]
        if len(ids) > settings.max_length - 1:  # [SEP] is still to come
            ids, targets, cut = ids[:settings.max_length - 1], targets[:settings.max_length - 1], cut + 1
        whole = np.array([*ids, tokenizer.vocab.sep_id])
        places = [place for place in places if place < len(ids)]
        features.append(Feature((whole,), (len(whole),), np.array([*targets, IGNORE]), i, places))
    return features, cut


def _tokens(example: Example, tokenizer: Tokenizer, special: bool) -> tuple[list[int], list[int]]:
    """ids after [CLS], and the place of each word's first token. A word of which nothing is left is [UNK]."""
    ids, places = [tokenizer.vocab.cls_id], []
    for word in example.words:
        places.append(len(ids))
        ids += tokenizer.ids(word, special_tokens=special, follows=True) or [tokenizer.vocab.unk_id]
    return ids, places


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The likeliest tag of each word; logits: (T, C) each."""
    outside = "O" if "O" in labels else labels[0]
    guesses = []
    for scores, feature, example in zip(logits, features, examples):
        probabilities = common.softmax(scores[feature.places])  # (words, C)
        unseen = len(example.words) - len(feature.places)
        guesses.append(Guess([labels[i] for i in probabilities.argmax(-1)] + [outside] * unseen,
                             probabilities.max(-1).tolist() + [0.0] * unseen))
    return guesses


def right(example: Example) -> Guess:
    """The guess that would be right."""
    return Guess(example.tags, [1.0] * len(example.tags))


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """F1, precision and recall of whole entities where the tags are of such a scheme; else macro F1 of the words. Their accuracy.

    Of the words that have a tag: without the others, as is usual with -100.
    """
    gold, found = _known(examples, guesses)
    accuracy = metrics.accuracy(list(chain.from_iterable(gold)), list(chain.from_iterable(found)))
    if scheme := metrics.scheme(labels):
        whole, _ = metrics.entity_scores(gold, found, scheme)
        return {"f1": whole.f1, "precision": whole.precision, "recall": whole.recall, "accuracy": accuracy}
    return {"f1": metrics.f1_macro(_confusion(gold, found, labels)), "accuracy": accuracy}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down: the sentence, and the words whose guess is not ``O`` or not right, with both tags."""
    gold = example.tags or [None] * len(example.words)
    shown = [i for i, tag in enumerate(guess.tags) if tag != "O" or gold[i] not in (None, "O")]
    wrong = [i for i, tag in enumerate(guess.tags) if gold[i] != tag and (gold[i] is not None or example.tags is None)]
    right = None if example.tags is None else not wrong
    surest = max((guess.confidences[i] for i in wrong), default=1.0)  # of the mistakes
    label = None if right is None else " ".join(gold[i] or "_" for i in shown)
    return (" ".join(example.words), " ".join(example.words[i] for i in shown), label, " ".join(guess.tags[i] for i in shown),
            surest), right


def texts(example: Example) -> str:
    """What makes two examples the same."""
    return " ".join(example.words)


def describe(examples: Sequence[Example]) -> list[str]:
    """How often each tag is, and how many entities there are."""
    gold, _ = _known(examples)
    lines = common.balance(chain.from_iterable(gold))
    if unknown := sum(len(example.words) for example in examples) - sum(map(len, gold)):
        lines.append(f"{unknown:,} words have no label: they are neither learned nor scored")
    if not (scheme := metrics.scheme(chain.from_iterable(gold))):
        return [*lines, "the tags are no scheme of entities: F1 is the mean of those of all tags"]
    counts = Counter(kind for tags in gold for kind, _, _ in metrics.entities(tags, scheme))
    return [*lines, f"{counts.total():,} entities: " + ", ".join(f"{n:,} {kind}" for kind, n in counts.most_common(12)),
            f"the scheme is {scheme.name}: F1 is that of entities, as in seqeval" + "'s strict mode" * scheme.whole]


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """The scores of every type of entity, or of every tag."""
    gold, found = _known(examples, guesses)
    if scheme := metrics.scheme(labels):
        return common.class_table(metrics.entity_scores(gold, found, scheme)[1])
    return common.class_table(metrics.per_class(_confusion(gold, found, labels), labels))


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> tuple[np.ndarray, Sequence[str]]:
    """The confusion matrix (C, C) of the words, and what its rows and columns are called."""
    return _confusion(*_known(examples, guesses), labels), labels


def _known(examples: Sequence[Example], guesses: Sequence[Guess] = ()) -> tuple[list[list[str]], list[list[str]]]:
    """The tags of each sentence, and those guessed, of the words that have one."""
    kept = [[i for i, tag in enumerate(example.tags) if tag is not None] for example in examples]
    return ([[example.tags[i] for i in places] for example, places in zip(examples, kept)],
            [[guess.tags[i] for i in places] for guess, places in zip(guesses, kept)])


def _confusion(gold: list[list[str]], found: list[list[str]], labels: Sequence[str]) -> np.ndarray:
    return metrics.confusion(list(chain.from_iterable(gold)), list(chain.from_iterable(found)), labels)
