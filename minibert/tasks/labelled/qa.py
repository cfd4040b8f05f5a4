"""Find the answer to a question in a text: the span from one token to another, or that there is none.

A text longer than the model reads is cut into windows that overlap. In a window that does not hold the whole answer the right
span is [CLS]; the same place says "there is no answer here". Over all windows, the answer is the span with the greatest sum of
its two scores; a token near the edge of one window counts in that window where it has the most text around it.

Source: reference ``run_squad.py``; Devlin et al. 2018, sections 4.2 and 4.3; Rajpurkar et al. 2018 (SQuAD 2.0).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.data import squad
from minibert.data.squad import Example
from minibert.tasks.examples import IGNORE
from minibert.tasks.labelled import common, metrics
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer

KIND = "span"
ARCHITECTURE = "BertForQuestionAnswering"
METRIC = "f1"
METRICS = ("exact", "f1", "has_answer_exact", "has_answer_f1", "no_answer_exact", "no_answer_f1")
MAX_LENGTH = 384  # max_seq_length of run_squad.py
COLUMNS = ("id", "question", "label", "guess", "confidence", "no_answer_margin")
LABEL = "answers"
N_BEST = 20  # starts, and ends, of a window that are tried


class Guess(NamedTuple):
    """The answer, "" for none; its probability among what was tried; and what an official script calls ``na_prob``."""

    text: str
    confidence: float
    margin: float  # how much better "there is no answer" scored than the best span
    span: str  # that span, also where the answer is ""


class Window(NamedTuple):
    """Where the tokens of one feature stand in the context."""

    first: int  # place of the first token of the context
    spans: list[tuple[int, int]]  # characters of each of them
    best: np.ndarray  # bool: is this the window where the token has the most text around it?


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """SQuAD's JSON, version 1 or 2, or its questions as a list or JSON Lines: see ``squad.py``.

    Settings name the fields where they are called otherwise: ``pair`` the question, ``text`` the context, ``label`` the answers.
    ``labelled``: must there be answers? None: they may be missing. False: they are not looked for.
    """
    names = squad.Names(settings.pair or "question", settings.text or "context", settings.label or "answers")
    examples, notes = squad.read(Path(path), names, labelled)
    roles = {"text": names.context, "pair": names.question} | ({} if labelled is False else {"label": names.answers})
    return Data(Path(path), examples, roles, notes)


def classes(example: Example) -> tuple[str, ...]:
    """A place in a text is no class, and that there is no answer is one."""
    return () if example.answers else ("no answer",)


def labels(examples: Sequence[Example]) -> list[str]:
    """``answer`` and, where the training data has questions without one, ``no answer``."""
    return ["answer", "no answer"] if any(not example.answers for example in examples) else ["answer"]


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """A feature for each window of each text; and how many questions were too long and cut."""
    features, cut = [], 0
    for number, example in enumerate(examples):
        question = tokenizer.ids(example.question, special_tokens=not settings.literal)
        limit = min(settings.max_query, settings.max_length // 2)
        cut += len(question) > limit
        head = [tokenizer.vocab.cls_id, *question[:limit], *[tokenizer.vocab.sep_id] * tokenizer.frame.between]
        text = tokenizer.encode(example.context, max_length=sys.maxsize, special_tokens=not settings.literal)
        ids, spans = text.ids[1:-1], text.offsets[1:-1]
        if not ids:
            raise ValueError(f"{example.where}: nothing is left of the context {example.context!r} that the tokenizer can read")
        answer = _answer_tokens(example, spans)
        nothing = IGNORE if example.answers is None or squad.nowhere(example) else 0  # what a window without the answer has
        windows = _windows(len(ids), settings.max_length - len(head) - 1, settings.stride)
        best = _most_context(windows, len(ids))
        for w, (start, stop) in enumerate(windows):
            labels_ = nothing, nothing
            if answer is not None and start <= answer[0] and answer[1] < stop:
                labels_ = answer[0] - start + len(head), answer[1] - start + len(head)
            sequence = np.array([*head, *ids[start:stop], tokenizer.vocab.sep_id])
            split = len(head) if tokenizer.frame.second else len(sequence)
            features.append(Feature((sequence,), (split,), np.array(labels_), number,
                                    Window(len(head), spans[start:stop], best[start:stop] == w)))
    return features, cut


def _windows(tokens: int, room: int, stride: int) -> list[tuple[int, int]]:
    """(start, stop) of windows of ``room`` tokens that begin ``stride`` tokens apart and overlap."""
    stride = max(1, min(stride, room // 2))
    windows = [(0, min(room, tokens))]
    while windows[-1][1] < tokens:
        start = windows[-1][0] + stride
        windows.append((start, min(start + room, tokens)))
    return windows


def _most_context(windows: Sequence[tuple[int, int]], tokens: int) -> np.ndarray:
    """(tokens,) the window in which each token has the most on its poorer side. Source: ``_check_is_max_context``."""
    t = np.arange(tokens)
    scores = np.stack([np.where((t >= start) & (t < stop), np.minimum(t - start, stop - 1 - t) + 0.01 * (stop - start), -1.0)
                       for start, stop in windows])
    return scores.argmax(0)


def _answer_tokens(example: Example, spans: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """First and last token of the first answer that is there, or None. An answer inside a token takes the whole token."""
    text, start = next((answer for answer in example.answers or [] if answer[1] >= 0), ("", 0))
    inside = [t for t, (a, b) in enumerate(spans) if a < start + len(text) and b > start]
    return (inside[0], inside[-1]) if inside else None


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The best span of each question over all its windows; logits: (2, T) each."""
    found: list[list[tuple[float, int, int]]] = [[] for _ in examples]  # score, first and last character
    nothing = [float("inf")] * len(examples)
    for scores, feature in zip(logits, features):
        window: Window = feature.places
        start, end = scores[:, window.first:window.first + len(window.spans)]
        nothing[feature.example] = min(nothing[feature.example], float(scores[0, 0] + scores[1, 0]))
        starts = [i for i in np.argsort(-start, kind="stable")[:N_BEST] if window.best[i]]
        for i in starts:
            for j in np.argsort(-end, kind="stable")[:N_BEST]:
                if i <= j < i + settings.max_answer:
                    found[feature.example].append((float(start[i] + end[j]), window.spans[i][0], window.spans[j][1]))
    guesses = []
    for example, spans, null in zip(examples, found, nothing):
        spans = sorted(spans, key=lambda span: -span[0])[:N_BEST]
        if not spans:
            guesses.append(Guess("", 1.0, 0.0, ""))
            continue
        score, first, last = spans[0]
        margin = null - score
        none = len(labels) > 1 and margin > settings.null_threshold
        tried = np.array([span[0] for span in spans] + [null] * (len(labels) > 1))
        confidence = float(common.softmax(tried)[-1 if none else 0])
        span = example.context[first:last]
        guesses.append(Guess("" if none else span, confidence, margin, span))
    return guesses


def right(example: Example) -> Guess:
    """The guess that would be right."""
    text = example.answers[0][0] if example.answers else ""
    return Guess(text, 1.0, 0.0, text)


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """Exact match and F1 by the official definitions: SQuAD's, or for Chinese texts those of CMRC 2018.

    With questions that have no answer: also those two for either kind of question, as in ``evaluate-v2.0.py``.
    """
    scores = [(*pair, bool(example.answers)) for example, pair in zip(examples, _scores(examples, [g.text for g in guesses]))]
    means = {"exact": float(np.mean([s[0] for s in scores])), "f1": float(np.mean([s[1] for s in scores]))}
    for name, kind in (("has_answer", True), ("no_answer", False)):
        some = [s for s in scores if s[2] is kind]
        if 0 < len(some) < len(scores):
            means |= {f"{name}_exact": float(np.mean([s[0] for s in some])), f"{name}_f1": float(np.mean([s[1] for s in some]))}
    return means


def _scores(examples: Sequence[Example], texts: Sequence[str]) -> list[tuple[float, float]]:
    """Exact match and F1 of each answer."""
    exact, f1 = (metrics.chinese_exact, metrics.chinese_f1) if chinese(examples) else (metrics.answer_exact, metrics.answer_f1)
    golds = [[text for text, _ in example.answers] for example in examples]
    return [(metrics.best_answer(exact, gold, text), metrics.best_answer(f1, gold, text)) for gold, text in zip(golds, texts)]


def best_thresholds(examples: Sequence[Example], guesses: Sequence[Guess]) -> list[tuple[float, float]]:
    """(score, threshold) for exact match and F1: where to begin to say that there is no answer, as ``evaluate-v2.0.py`` finds it.

    Begin with no answer at all; then let the questions answer one after the other, the surest first.
    """
    spans, none = _scores(examples, [g.span for g in guesses]), _scores(examples, [""] * len(guesses))
    order = np.argsort([g.margin for g in guesses], kind="stable")
    best = []
    for i in range(2):
        gains = np.array([spans[n][i] - none[n][i] for n in order])
        totals = sum(s[i] for s in none) + np.concatenate([[0.0], np.cumsum(gains)])
        at = int(totals.argmax())
        best.append((float(totals[at]) / len(guesses), guesses[order[at - 1]].margin if at else -float("inf")))
    return best


def chinese(examples: Sequence[Example]) -> bool:
    """Are these texts scored character by character?"""
    return metrics.is_chinese(example.context for example in examples[:100])


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down; right is what matches one of the answers exactly, by the official definition."""
    golds = None if example.answers is None else [text for text, _ in example.answers]
    exact = metrics.chinese_exact if metrics.is_chinese([example.context]) else metrics.answer_exact
    right = None if golds is None else metrics.best_answer(exact, golds, guess.text) == 1
    shown = None if golds is None else " | ".join(dict.fromkeys(golds))
    return (example.id, example.question, shown, guess.text, guess.confidence, guess.margin), right


def texts(example: Example) -> str:
    """What makes two examples the same."""
    return f"{example.question}\t{example.context}"


def describe(examples: Sequence[Example]) -> list[str]:
    """How many questions have an answer, how many texts there are, how answers are compared."""
    lines = common.balance("has an answer" if example.answers else "has no answer" for example in examples)
    contexts = len({example.context for example in examples})
    kind = "Chinese: by character, as in CMRC 2018" if chinese(examples) else "by word, as in SQuAD"
    return [*lines, f"{contexts:,} texts; answers are compared {kind}"]


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """With questions that have no answer: the threshold of ``no_answer_margin`` at which F1 would have been best."""
    if len(labels) < 2:
        return []
    exact, f1 = best_thresholds(examples, guesses)
    return [f"best threshold for saying that there is no answer: exact {exact[0]:.1%} at {exact[1]:.3g}, "
            f"F1 {f1[0]:.1%} at {f1[1]:.3g} (chosen on these very questions: an upper bound)"]


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> None:
    """There are no classes to confuse."""
