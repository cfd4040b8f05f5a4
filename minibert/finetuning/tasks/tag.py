"""Tag the words of a sentence: names and places, parts of speech. A class from every word's vector.

A word may be several tokens. Its first one speaks for it: that token has the label, the others are ignored in the loss and in the
guess. Source: Devlin et al. 2018, section 5.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.finetuning import metrics, rows
from minibert.finetuning.features import Feature
from minibert.finetuning.tasks import common
from minibert.finetuning.tasks.common import Data
from minibert.layers.cross_entropy import IGNORE
from minibert.text import Tokenizer

KIND = "token"
ARCHITECTURE = "BertForTokenClassification"
METRIC = "f1"
MAX_LENGTH = 128
COLUMNS = ("sentence", "word", "label", "guess", "confidence")
WORDS, TAGS = ("words", "tokens"), ("ner", "tags", "labels", "ner_tags", "pos", "pos_tags")  # fields of JSON Lines


class Example(NamedTuple):
    """The words of a sentence, and their tags where they are known."""

    words: list[str]
    tags: list[str] | None
    where: str


class Guess(NamedTuple):
    """A tag for every word, and how likely each is. Words behind the limit are guessed to be what is most frequent: ``O``."""

    tags: list[str]
    confidences: list[float]


def read(path: Any, settings: Any, labelled: bool = True) -> Data:
    """The sentences of a CoNLL file (a word and its tag on each line, a blank line after each sentence) or of JSON Lines.

    Of more than two columns the first and the last are taken. Without ``labelled`` a single column of words will do.
    """
    path = Path(path)
    text = rows.text_of(path)
    return _json(path, settings, labelled) if rows.is_json(path, text) else _conll(path, text, labelled)


def _conll(path: Path, text: str, labelled: bool) -> Data:
    examples, words, tags = [], [], []
    width = start = first = 0
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if words:
                examples.append(Example(words, tags if width > 1 else None, f"{path}, line {start}"))
                words, tags = [], []
            continue
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()
        width, first = width or len(cells), first or number
        if len(cells) != width or not all(cells):
            raise ValueError(f"{path}, line {number}: expected {width} columns as in line {first}, found "
                             f"{sum(map(bool, cells))}: {line.strip()!r}; a blank line ends a sentence")
        start = start if words else number
        words.append(cells[0])
        tags.append(cells[-1])
    if not examples:
        raise ValueError(f"{path} has no sentences; expected a word and its tag on each line, "
                         "and a blank line after each sentence")
    if labelled and width < 2:
        raise ValueError(f"{path} has words but no tags: expected two columns, a word and its tag, on each line")
    return Data(path, examples, {"word": "1", "label": str(width)} if width > 1 else {"word": "1"})


def _json(path: Path, settings: Any, labelled: bool) -> Data:
    table = rows.read(path)
    words = rows.column(table, "words", settings.text) if settings.text else rows.known(table, WORDS)
    tags = rows.column(table, "tags", settings.label) if settings.label else rows.known(table, TAGS)
    if words is None or (labelled and tags is None):
        raise ValueError(f"{path}: expected fields {' or '.join(WORDS)} and {' or '.join(TAGS)}, found "
                         f"{', '.join(table.columns)}; name them with --text and --label")
    examples = []
    for i, row in enumerate(table.rows):
        lists = [row.get(name) for name in (words, tags) if name]
        if not all(isinstance(values, list) and values for values in lists) or len({len(values) for values in lists}) > 1:
            raise ValueError(f"{table.where(i)}: {words} and {tags} must be two lists of the same length, with one word at least")
        found = [str(tag) for tag in lists[1]] if tags else None
        examples.append(Example([str(word) for word in lists[0]], found, table.where(i)))
    return Data(path, examples, {"word": words, **({"label": tags} if tags else {})})


def labels(examples: Sequence[Example]) -> list[str]:
    """The tags of the training data, sorted. ValueError where there is only one."""
    names = sorted({tag for example in examples for tag in example.tags})
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
        ids += tokenizer.ids(word, special_tokens=special) or [tokenizer.vocab.unk_id]
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


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """F1, precision and recall of whole entities where the tags are B-, I-, O; else macro F1 of the words. Their accuracy."""
    gold, found = _flat(examples, guesses)
    if not _has_entities(labels):
        return {"f1": metrics.f1_macro(metrics.confusion(gold, found, labels)), "accuracy": metrics.accuracy(gold, found)}
    whole, _ = metrics.entity_scores([e.tags for e in examples], [g.tags for g in guesses])
    return {"f1": whole.f1, "precision": whole.precision, "recall": whole.recall, "accuracy": metrics.accuracy(gold, found)}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down: the sentence, and the words whose guess is not ``O`` or not right, with both tags."""
    right = None if example.tags is None else example.tags == guess.tags
    gold = example.tags or [None] * len(example.words)
    shown = [i for i, tag in enumerate(guess.tags) if tag != "O" or gold[i] not in (None, "O")]
    wrong = [i for i, tag in enumerate(guess.tags) if right is None or gold[i] != tag]
    surest = max((guess.confidences[i] for i in wrong), default=1.0)  # of the mistakes
    label = None if right is None else " ".join(gold[i] for i in shown)
    return (" ".join(example.words), " ".join(example.words[i] for i in shown), label, " ".join(guess.tags[i] for i in shown),
            surest), right


def texts(example: Example) -> str:
    """What makes two examples the same."""
    return " ".join(example.words)


def describe(examples: Sequence[Example]) -> list[str]:
    """How often each tag is, and how many entities there are."""
    lines = common.balance(tag for example in examples for tag in example.tags)
    counts = Counter(kind for example in examples for kind, _, _ in metrics.entities(example.tags))
    if not _has_entities({tag for example in examples for tag in example.tags}):
        return lines
    return [*lines, f"{counts.total():,} entities: " + ", ".join(f"{n:,} {kind}" for kind, n in counts.most_common(12))]


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """The scores of every type of entity, or of every tag."""
    if _has_entities(labels):
        return common.class_table(metrics.entity_scores([e.tags for e in examples], [g.tags for g in guesses])[1])
    return common.class_table(metrics.per_class(metrics.confusion(*_flat(examples, guesses), labels), labels))


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> tuple[np.ndarray, Sequence[str]]:
    """The confusion matrix (C, C) of the words, and what its rows and columns are called."""
    return metrics.confusion(*_flat(examples, guesses), labels), labels


def _flat(examples: Sequence[Example], guesses: Sequence[Guess]) -> tuple[list[str], list[str]]:
    return [tag for e in examples for tag in e.tags], [tag for g in guesses for tag in g.tags]


def _has_entities(tags: Iterable[str]) -> bool:
    return all(tag == "O" or tag[:2] in ("B-", "I-", "E-", "S-") for tag in tags)
