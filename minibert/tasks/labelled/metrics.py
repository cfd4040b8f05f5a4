"""Figures that say how good guesses are, each as the field defines it.

Where a definition divides by zero, what stands here is said with it: a share of nothing is 0, and so is a correlation with what
never changes. Other libraries choose otherwise (``docs/WHERE_THEY_PART.md``).

Compared in ``tests/oracle`` with scikit-learn, seqeval and the official scripts of SQuAD and CMRC 2018.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

# --- classes -----------------------------------------------------------------------------------------------------------


def accuracy(gold: Sequence, guess: Sequence) -> float:
    """The share that is right. Of no examples there is none: ZeroDivisionError."""
    return sum(a == b for a, b in zip(gold, guess)) / len(gold)


def confusion(gold: Sequence[str], guess: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """(C, C) counts: row, what it is; column, what was guessed."""
    index = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, ([index[a] for a in gold], [index[b] for b in guess]), 1)
    return matrix


class ClassScore(NamedTuple):
    """Of one class: what share of the guesses was right, what share of it was found, their harmonic mean, how often it is."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def per_class(matrix: np.ndarray, labels: Sequence[str]) -> list[ClassScore]:
    """The scores of every class; 0 where nothing can be divided."""
    return _class_scores(labels, np.diag(matrix), matrix.sum(0), matrix.sum(1))


def _class_scores(labels: Sequence[str], right: np.ndarray, guessed: np.ndarray, there: np.ndarray) -> list[ClassScore]:
    return [ClassScore(label, *_prf(*counts), counts[2])
            for label, *counts in zip(labels, right.tolist(), guessed.tolist(), there.tolist())]


def _prf(right: int, guessed: int, there: int) -> tuple[float, float, float]:
    precision, recall = right / max(guessed, 1), right / max(there, 1)
    return precision, recall, 2 * right / max(guessed + there, 1)


def f1_macro(matrix: np.ndarray) -> float:
    """The mean F1 over the classes that occur or were guessed: one that never came up neither helps nor harms."""
    scores = per_class(matrix, [""] * len(matrix))
    return float(np.mean([score.f1 for score, n in zip(scores, matrix.sum(0)) if score.support + n]))


def matthews(matrix: np.ndarray) -> float:
    """Matthews' correlation, for any number of classes (Gorodkin 2004): 1 right, 0 no better than chance.

    0/0 where one class is all that was guessed, or all that there is, right or wrong: then 0, as in scikit-learn.
    """
    right, total = float(np.trace(matrix)), float(matrix.sum())
    guessed, there = matrix.sum(0).astype(float), matrix.sum(1).astype(float)
    scale = (total**2 - guessed @ guessed) * (total**2 - there @ there)
    return (right * total - float(guessed @ there)) / scale**0.5 if scale > 0 else 0.0


# --- several labels an example -----------------------------------------------------------------------------------------


def confusion_of_each(gold: Sequence[Collection[str]], guess: Sequence[Collection[str]], labels: Sequence[str]) -> np.ndarray:
    """(C, 2, 2) counts of each label by itself: row, is it there; column, was it guessed; 0 no, 1 yes."""
    there, guessed = (np.array([[label in found for label in labels] for found in rows], bool).reshape(-1, len(labels))
                      for rows in (gold, guess))  # (N, C)
    return np.stack([[(~there & ~guessed).sum(0), (~there & guessed).sum(0)],
                     [(there & ~guessed).sum(0), (there & guessed).sum(0)]]).transpose(2, 0, 1)


def per_label(matrix: np.ndarray, labels: Sequence[str]) -> list[ClassScore]:
    """The scores of every label, from ``confusion_of_each``; 0 where nothing can be divided."""
    return _class_scores(labels, matrix[:, 1, 1], matrix[:, :, 1].sum(1), matrix[:, 1, :].sum(1))


def f1_micro_macro(matrix: np.ndarray) -> tuple[float, float]:
    """F1 of all labels of all examples together; and the mean over the labels of theirs, 0 for one that is nowhere."""
    together, = per_label(matrix.sum(0, keepdims=True), ["all"])
    return together.f1, float(np.mean([score.f1 for score in per_label(matrix, [""] * len(matrix))]))


# --- numbers -----------------------------------------------------------------------------------------------------------


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """How far the two lie on a straight line, from -1 to 1; 0 where one of them never changes (SciPy: NaN)."""
    a, b = (np.asarray(values, float) - np.mean(values) for values in (x, y))
    scale = float(a @ a) * float(b @ b)
    return float(a @ b) / scale**0.5 if scale > 0 else 0.0


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation of the ranks; equal values share the mean of their ranks."""
    return pearson(_ranks(x), _ranks(y))


def _ranks(x: Sequence[float]) -> np.ndarray:
    _, inverse, counts = np.unique(np.asarray(x, float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


# --- searches ----------------------------------------------------------------------------------------------------------


def searches(queries: Sequence[np.ndarray], candidates: Sequence[np.ndarray], right: Sequence[Sequence[int]],
             at_a_time: int = 256) -> list[tuple[int, float, dict[int, int]]]:
    """For each query: the nearest candidate, its cosine, and of each that is right its rank, from 1, by the cosine.

    ``right``: the numbers of the candidates that belong to each query. Vectors ``(H,)`` of any length. Equal cosines count as
    nearer, so that a model to which all texts are alike finds nothing.
    """
    a, b = (_unit(np.stack(vectors).astype(np.float64)) for vectors in (queries, candidates))
    found = []
    for start in range(0, len(a), at_a_time):
        for cosines, own in zip(a[start:start + at_a_time] @ b.T, right[start:start + at_a_time]):
            best = int(cosines.argmax())
            found.append((best, float(cosines[best]), {i: int((cosines >= cosines[i]).sum()) for i in own}))
    return found


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.sqrt((x * x).sum(-1, keepdims=True)), 1e-12)


def reciprocal_rank(ranks: Collection[Sequence[int]]) -> float:
    """The mean over the queries of 1 / the rank of the first that is right (MRR)."""
    return float(np.mean([1 / min(each) for each in ranks]))


def recall_at(ranks: Collection[Sequence[int]], k: int) -> float:
    """The mean over the queries of the share of what is right that is among the first ``k``."""
    return float(np.mean([np.mean([rank <= k for rank in each]) for each in ranks]))


# --- entities ----------------------------------------------------------------------------------------------------------


class Scheme(NamedTuple):
    """How tags spell entities. ``letters``: what the first letter of a tag says, in those of BIOES."""

    name: str
    letters: Mapping[str, str]
    whole: bool = False  # does an entity count only where all of it is there: B, any number of I, E; or S?

    def split(self, tag: str) -> tuple[str, str]:
        """A tag as its letter, in BIOES, and the type of its entity: ``_`` where it has none."""
        return self.letters[tag[0]], "" if tag == "O" else tag[2:] or "_"


SCHEMES = tuple(Scheme(name, MappingProxyType(dict(zip(name + "O", letters)))) for name, letters in (
    ("BIO", "BIOO"), ("BIOES", "BIOESO"), ("BILOU", "BIEOSO"), ("BMES", "BIESO"), ("BMEW", "BIESO")))
BIOES = SCHEMES[1]  # BIO too


def scheme(tags: Iterable[str]) -> Scheme | None:
    """The scheme of a set of tags, None where they are no entities: parts of speech, say.

    A tag is ``O``, or a letter and a type with ``-`` or ``_`` between them; or all are letters alone, B among them. Where
    entities of one word and the ends of longer ones are marked, a part of one is no entity: seqeval's strict mode, in which alone
    it knows BILOU. Else the rules are those of ``conlleval``, seqeval's default.
    """
    tags = set(tags)
    letters = {tag[:1] for tag in tags}
    typed = all(tag == "O" or re.match("[A-Z][-_].", tag) for tag in tags)
    if not typed and not (tags == letters and "B" in tags and len(tags - {"O"}) > 1):
        return None
    found = next((scheme for scheme in SCHEMES if letters <= set(scheme.letters)), None)
    return found and found._replace(whole={*"BES"} <= {found.letters[letter] for letter in letters})


def entities(tags: Sequence[str], scheme: Scheme = BIOES) -> list[tuple[str, int, int]]:
    """(type, first word, last word) of every entity in a sentence."""
    return (_whole_entities if scheme.whole else _entities)([scheme.split(tag) for tag in tags])


def _whole_entities(tags: Sequence[tuple[str, str]]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    start, type_before = -1, ""  # of the entity that is open, -1: none is
    for i, (letter, kind) in enumerate(tags):
        if letter in "BSO" or kind != type_before:
            start = i if letter in "BS" else -1
        if letter in "ES" and start >= 0:
            found.append((kind, start, i))
            start = -1
        type_before = kind
    return found


def _entities(tags: Sequence[tuple[str, str]]) -> list[tuple[str, int, int]]:
    """One that begins with I-, or changes its type on the way, counts as a new one: the rules of ``conlleval``, which seqeval
    follows."""
    found: list[tuple[str, int, int]] = []
    start: int | None = None
    before, type_before = "O", ""
    for i, (prefix, kind) in enumerate([*tags, ("O", "")]):
        other = kind != type_before
        if start is not None and before != "O" and (before in "ES" or prefix in "BSO" or other):
            found.append((type_before, start, i - 1))
            start = None
        if prefix != "O" and (prefix in "BS" or before in "ESO" or other):
            start = i
        before, type_before = prefix, kind
    return found


def entity_scores(gold: Iterable[Sequence[str]], guess: Iterable[Sequence[str]],
                  scheme: Scheme = BIOES) -> tuple[ClassScore, list[ClassScore]]:
    """The scores of all entities together (micro), and of every type. Right is one with the same type, start and end.

    Precision is 0 where nothing was guessed, recall where nothing is there: a sentence without entities that is tagged so counts
    for nothing.
    """
    right, guessed, there = Counter(), Counter(), Counter()
    for a, b in zip(gold, guess):
        a, b = set(entities(a, scheme)), set(entities(b, scheme))
        for count, spans in ((right, a & b), (guessed, b), (there, a)):
            count.update(kind for kind, _, _ in spans)
    types = [ClassScore(kind, *_prf(right[kind], guessed[kind], there[kind]), there[kind]) for kind in sorted(guessed | there)]
    return ClassScore("all", *_prf(right.total(), guessed.total(), there.total()), there.total()), types


# --- answers -----------------------------------------------------------------------------------------------------------


def normalise_answer(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces. Source: SQuAD's ``evaluate-v2.0.py``, ``normalize_answer``."""
    text = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def answer_words(text: str) -> list[str]:
    """The words that answers are compared by."""
    return normalise_answer(text).split()


def answer_f1(gold: str, guess: str) -> float:
    """F1 of the words of two answers, as bags; two empty ones agree. Source: as above, ``compute_f1``."""
    a, b = answer_words(gold), answer_words(guess)
    if not a or not b:
        return float(a == b)
    return _prf((Counter(a) & Counter(b)).total(), len(b), len(a))[2]


def answer_exact(gold: str, guess: str) -> float:
    """1 where both normalise to the same text."""
    return float(normalise_answer(gold) == normalise_answer(guess))


def chinese_segments(text: str) -> list[str]:
    """A Chinese answer as its characters, foreign words in it whole, the punctuation of Chinese left out.

    Source: ``cmrc2018_evaluate.py``, ``mixed_segmentation(rm_punc=True)``. Foreign text between two characters is cut at spaces
    and at signs, as NLTK's word tokenizer does that the script calls: ``6.5`` is whole, a full stop at the end is not part of it.
    """
    text = "".join("" if c in _CHINESE_PUNCTUATION else c for c in text.lower().strip())
    segments: list[str] = []
    for foreign, character in re.findall(r"([^\u4e00-\u9fa5]+)|([\u4e00-\u9fa5])", text):
        signs_apart = re.sub(r"([\]\[(){}<>\"%&$#@;!?]|,(?!\d)|(?<=[^.])\.$)", r" \1 ", foreign.strip())
        segments += signs_apart.split() or character
    return segments


def chinese_f1(gold: str, guess: str) -> float:
    """F1 by the longest run of segments that both answers share. Source: ``cmrc2018_evaluate.py``, ``calc_f1_score``."""
    a, b = chinese_segments(gold), chinese_segments(guess)
    if not a or not b:
        return float(a == b)
    return _prf(_longest_run(a, b), len(b), len(a))[2]


def chinese_exact(gold: str, guess: str) -> float:
    """1 where both are the same without case and punctuation. Source: as above, ``calc_em_score``."""
    a, b = ("".join(c for c in text.lower().strip() if c not in _CHINESE_PUNCTUATION) for text in (gold, guess))
    return float(a == b)


def best_answer(score: Callable[[str, str], float], golds: Sequence[str], guess: str) -> float:
    """The best score over all answers that count as right; no answer at all is the empty one."""
    return max(score(gold, guess) for gold in golds or [""])


def is_chinese(texts: Iterable[str]) -> bool:
    """Are at least a third of the characters Chinese? Then words are not what stands between spaces."""
    text = "".join(texts)
    return len(re.findall(r"[\u4e00-\u9fa5]", text)) * 3 >= len(text) > 0


def _longest_run(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest stretch of neighbours that both have."""
    longest, before = 0, [0] * (len(b) + 1)
    for x in a:
        row = [0] * (len(b) + 1)
        for j, y in enumerate(b):
            if x == y:
                row[j + 1] = before[j] + 1
                longest = max(longest, row[j + 1])
        before = row
    return longest


_PUNCTUATION = frozenset(string.punctuation)
_CHINESE_PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》……·、「」（）－～『』")
