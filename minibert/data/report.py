"""A short report on a corpus before training: is there enough of it, and does the tokenizer know it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.data.corpora import Corpus
from minibert.data.documents import Document
from minibert.data.tokens.manifest import Manifest
from minibert.text.reading import count_special

PERCENTILES = (50, 90, 99, 100)
_MORE = "give more text (--corpus), or separate its documents by blank lines (--layout lines)"


@dataclass(frozen=True)
class Report:
    """Counts of a corpus; ``str`` of it is a table. Losses are in nats per token."""

    corpus: str  # its name
    documents: tuple[int, int]  # training, held out
    sentences: tuple[int, int]
    tokens: tuple[int, int]
    duplicates: int  # sentences that occurred before, in the whole corpus, or nearly the same (``near``)
    unknown: float  # share of the tokens that are [UNK]
    special: int  # how often a special token is written in the text, where it is words like any other
    layout: str  # how the text was taken to be laid out; empty where there is no choice
    lengths: tuple[int, ...]  # tokens of a sentence, by PERCENTILES
    max_length: int  # of an example, special tokens included
    too_long: float  # share of the sentences that one example cannot hold
    vocabulary: int  # tokens in the vocabulary, V
    ln_vocabulary: float  # the loss of guessing blindly: ln V
    unigram_loss: float  # the loss of guessing by frequency alone; nan where nothing is held out
    warnings: list[str]
    near: bool = False

    def __str__(self) -> str:
        def both(counts: tuple[int, int]) -> str:
            return f"{counts[0]:>11,}  {counts[1]:>9,}"

        percentiles = ", ".join(f"{p} % up to {n:,}" for p, n in zip(PERCENTILES[:-1], self.lengths))
        rows = [
            *[("read as", f"{self.layout} (--layout)")] * bool(self.layout),
            ("", f"{'training':>11}  {'held out':>9}"),
            ("documents", both(self.documents)),
            ("sentences", both(self.sentences)),
            ("tokens", both(self.tokens)),
            ("nearly repeated" if self.near else "repeated sentences",
             f"{self.duplicates:>11,}  ({self.duplicates / max(1, sum(self.sentences)):.1%})"
             + ": the same words, whatever their order, signs and numbers" * self.near),
            ("unknown tokens", f"{self.unknown:>11.2%}"),
            *[("[SEP], [MASK] … in it", f"{self.special:>11,}  read as words")] * bool(self.special),
            ("tokens a sentence", f"{percentiles}, longest {self.lengths[-1]:,}; an example holds {self.max_length}"),
            ("loss of blind guessing", f"{self.ln_vocabulary:>11.2f}  ln V, V = {self.vocabulary:,}"),
            ("loss by frequency alone", f"{self.unigram_loss:>11.2f}  where a model that reads no context gets stuck"),
        ]
        table = "\n".join(f"  {name:<24}{value}" for name, value in rows)
        return "\n".join([f"Corpus: {self.corpus}", table, *(f"  warning: {warning}" for warning in self.warnings)])


def report(
    train_ids: Sequence[Document], held_out_ids: Sequence[Document], tokenizer: Any, corpus: Corpus, max_length: int
) -> Report:
    """Count a tokenised corpus and say where it will not train well.

    train_ids, held_out_ids: token ids by document and sentence, without special tokens. max_length: tokens of an
    example, special tokens included. Raises ValueError where the training part has no tokens.
    """
    vocab = tokenizer.vocab
    parts = train_ids, held_out_ids
    documents = tuple(map(len, parts))
    sentences = tuple(sum(map(len, part)) for part in parts)
    lengths = np.array([len(sentence) for part in parts for document in part for sentence in document])
    train, held_out = map(_flat, parts)
    if not len(train):
        raise ValueError(f"the training part of {corpus.name} has no tokens: there is nothing to learn from")
    every = Counter(sentence for document in corpus.documents for sentence in document)
    duplicates = every.total() - len(every)
    unknown = float((np.concatenate([train, held_out]) == vocab.unk_id).mean())
    too_long = float((lengths > max_length - 2).mean())
    return Report(
        corpus=corpus.name,
        documents=documents,
        sentences=sentences,
        tokens=(len(train), len(held_out)),
        duplicates=duplicates,
        unknown=unknown,
        special=sum(n * count_special(vocab, sentence) for sentence, n in every.items()),
        layout=corpus.layout,
        lengths=tuple(int(n) for n in np.percentile(lengths, PERCENTILES, method="higher")),
        max_length=max_length,
        too_long=too_long,
        vocabulary=len(vocab),
        ln_vocabulary=float(np.log(len(vocab))),
        unigram_loss=unigram_loss(train, held_out, len(vocab)),
        warnings=_warnings(documents, len(train), len(held_out), len(vocab), duplicates, every.total(), unknown, too_long),
    )


def report_of(found: Manifest, name: str, max_length: int) -> Report:
    """The report on a text that was prepared, by its manifest."""
    counts = np.array(found.lengths)
    until, total = counts.cumsum(), int(counts.sum())
    lengths = [int(np.searchsorted(until, percent / 100 * (total - 1), side="left")) for percent in PERCENTILES[:-1]]
    repeated, V = round(found.repeated * total), found.vocabulary
    too_long = float(counts[max(0, max_length - 1):].sum() / max(1, total))
    return Report(
        name, found.documents, found.sentences, found.tokens, repeated, found.unknown, 0, found.layout,
        (*lengths, found.longest), max_length, too_long, V, float(np.log(V)), found.unigram_loss,
        _warnings(found.documents, *found.tokens, V, repeated, total, found.unknown, too_long), near=True)


def unigram_loss(train: np.ndarray, held_out: np.ndarray, vocabulary: int) -> float:
    """Mean of -ln p over the held-out tokens, where p = (count in training + 1) / (tokens in training + V): nats.

    This is what a model reaches that knows how frequent each token is and nothing else. A masked-token loss that stays
    near it means that the model does not use the context yet. nan where nothing is held out.
    """
    if not len(held_out):
        return float("nan")
    counts = np.bincount(train, minlength=vocabulary) + 1.0
    return float(-np.log(counts[held_out] / counts.sum()).mean())


def _flat(documents: Sequence[Document]) -> np.ndarray:
    sentences = [np.asarray(sentence, dtype=np.int64) for document in documents for sentence in document]
    return np.concatenate(sentences) if sentences else np.empty(0, np.int64)


def _warnings(
    documents: tuple[int, int],
    train: int,
    held_out: int,
    vocabulary: int,
    duplicates: int,
    sentences: int,
    unknown: float,
    too_long: float,
) -> list[str]:
    warnings = []
    if train < 20 * vocabulary:
        warnings.append(
            f"{train:,} training tokens are few for a vocabulary of {vocabulary:,} ({train / vocabulary:.0f} for each; "
            "20 or more train well): give more text (--corpus) or a smaller vocabulary (--vocab-size)"
        )
    if held_out < 1000:
        warnings.append(
            f"{held_out:,} held-out tokens make for noisy evaluations: give more text (--corpus), or hold out a larger share "
            "(--held-out)"
        )
    if unknown > 0.01:
        warnings.append(
            f"{unknown:.1%} of the tokens are unknown to the vocabulary: learn one from this text (without --vocab), or use one "
            "of its language (--vocab)"
        )
    if duplicates > 0.2 * sentences:
        warnings.append(
            f"{duplicates / sentences:.0%} of the sentences are repetitions: the held-out text may have been seen in training; "
            "give text without them (--corpus)"
        )
    if too_long > 0.5:
        warnings.append(
            f"{too_long:.0%} of the sentences are longer than an example and are cut: read more at a time (--max-length), or "
            "say how the text is laid out (--layout), where it was read as what it is not"
        )
    if documents[0] < 2:
        warnings.append(f"the training part is a single document: there are no next-sentence pairs to learn from; {_MORE}")
    elif documents[1] < 2:
        warnings.append(
            f"the held-out part is a single document: next-sentence prediction is not measured; {_MORE}, or hold out a larger "
            "share (--held-out)"
        )
    return warnings
