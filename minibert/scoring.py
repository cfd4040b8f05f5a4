"""How likely a model finds a text: its pseudo-log-likelihood.

::

    PLL(w) = Σₜ ln p(wₜ | w without wₜ)

Each token in turn is hidden behind [MASK], and the logarithms of the probabilities that it is given are added up (Salazar et al.
2020, "Masked Language Model Scoring", arXiv:1910.14659). Of a minimal pair, the acceptable text should score higher.

A word of several pieces is scored too high so: its other pieces give the hidden one away. ``metric`` says what is hidden with it
(Kauf and Ivanova 2023, "A Better Way to Do Masked Language Model Scoring", arXiv:2305.10588):

``"original"``          nothing else
``"within_word_l2r"``   the pieces of its word to its right
``"whole_word"``        all pieces of its word

A text of n tokens takes n copies. Those of all texts are sorted by length and computed together; the head sees the scored
positions alone. Special tokens that are written in a text are seen and not scored; [UNK] is scored, as the token that it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched
from minibert.backend import get_xp, refuse_nan, to_numpy, widen
from minibert.data import rows
from minibert.model import bert as body
from minibert.model import embeddings
from minibert.model.heads import mlm
from minibert.text import Encoding

if TYPE_CHECKING:
    from minibert.pretrained import Trained

METRICS = ("original", "within_word_l2r", "whole_word")

#: What minimal pairs call their columns, the acceptable text first: BLiMP and its relatives, CrowS-Pairs.
COLUMNS = (("sentence_good", "sentence_bad"), ("good", "bad"), ("good_sentence", "bad_sentence"), ("acceptable", "unacceptable"),
           ("grammatical", "ungrammatical"), ("sent_more", "sent_less"))


class Score(NamedTuple):
    """The pseudo-log-likelihood of a text, and what each scored token adds to it, in nats."""

    total: float
    log_probs: list[float]
    tokens: list[str]
    words: list[int]  # to which word of its text each token belongs
    offsets: list[tuple[int, int]]  # its place in the text


class Pairs(NamedTuple):
    """Minimal pairs: the text that should be the likelier, and the other."""

    first: list[str]
    second: list[str]
    notes: list[str]


def score(bert: Trained, encodings: Sequence[Encoding], metric: str = "original", threads: int | None = None,
          progress: Callable[[int, int], None] | None = None) -> list[Score]:
    """The scores of texts. ``threads``: cores to compute on (default: all). ``progress(done, all)`` hears numbers of tokens."""
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    places = [_scored(bert, encoding) for encoding in encodings]
    copies = [(i, t) for i, ts in enumerate(places) for t in ts]
    found = np.empty(len(copies))

    def work(batch: np.ndarray) -> None:
        chosen = [copies[c] for c in batch]
        ids, types, real = bert.tokenizer.batch([encodings[i] for i, _ in chosen])
        at = np.array([t for _, t in chosen])
        truth = ids[np.arange(len(at)), at]
        for row, (i, t) in enumerate(chosen):
            ids[row, _hidden(encodings[i], t, metric)] = bert.tokenizer.vocab.mask_id
        found[batch] = _log_probabilities(bert, ids, types, None if real.all() else real, at, truth)

    batched.each(bert, [len(encodings[i]) for i, _ in copies], work, threads=threads, progress=progress)
    ends = np.cumsum([len(ts) for ts in places])
    refuse_nan(found)
    return [_told(encoding, ts, part.tolist()) for encoding, ts, part in zip(encodings, places, np.split(found, ends[:-1]))]


def _scored(bert: Trained, encoding: Encoding) -> list[int]:
    vocab = bert.tokenizer.vocab
    seen = set(vocab.special_ids) - {vocab.unk_id}
    return [t for t, number in enumerate(encoding.ids) if not encoding.special_tokens_mask[t] and number not in seen]


def _hidden(encoding: Encoding, t: int, metric: str) -> list[int]:
    """The positions that are hidden where the token at t is scored."""
    if metric == "original":
        return [t]
    start, end, words = t, t + 1, encoding.words
    while metric == "whole_word" and start and words[start - 1] == words[t]:
        start -= 1
    while end < len(words) and words[end] == words[t]:
        end += 1
    return list(range(start, end))


def _log_probabilities(bert: Trained, ids: np.ndarray, types: np.ndarray, mask: np.ndarray | None, at: np.ndarray,
                       truth: np.ndarray) -> np.ndarray:
    """ln p of the tokens ``truth`` ``(B,)`` at the positions ``at`` ``(B,)``, one in each row of ids ``(B, T)``."""
    xp, (B, T) = get_xp(bert.parameters.flat), ids.shape
    mask, positions = (x if x is None else xp.asarray(x) for x in (mask, embeddings.position_ids(ids, mask, bert.config)))
    h = body.answer(xp.asarray(ids), xp.asarray(types), mask, bert.parameters["bert"], bert.config,
                    position_ids=positions).last_hidden_state
    rows = xp.asarray(np.arange(B) * T + at)
    logits, _ = mlm.forward(h, rows, bert.parameters["cls"]["predictions"], bert.config)
    z = widen(logits[:, :len(bert.tokenizer.vocab)])  # (B, words): rows that are padding are no words
    z = z - z.max(-1, keepdims=True)
    return to_numpy(z[xp.arange(B), xp.asarray(truth)] - xp.log(xp.exp(z).sum(-1)))


def _told(encoding: Encoding, places: Sequence[int], log_probs: list[float]) -> Score:
    return Score(float(np.sum(log_probs)), log_probs, *([values[t] for t in places] for values in (
        encoding.tokens, encoding.words, encoding.offsets)))


def perplexity(scores: Sequence[Score]) -> float:
    """The pseudo-perplexity of texts: exp of the mean surprise of their tokens."""
    return float(np.exp(-np.mean([x for one in scores for x in one.log_probs] or [np.nan])))


def read_pairs(path: str | os.PathLike[str], columns: tuple[str, str] | None = None) -> Pairs:
    """Minimal pairs from a file of two columns (TSV, CSV, JSON Lines), the acceptable text first; or from the columns named.

    OSError for a file that cannot be read; ValueError, with the line, for one that has other columns, or a text missing.
    """
    table = rows.read(Path(path), None, [name for pair in COLUMNS for name in pair])
    if columns is not None:
        chosen = [rows.column(table, role, name) for role, name in zip(("first text", "second text"), columns)]
    else:
        named = [[rows.known(table, [name]) for name in pair] for pair in COLUMNS]
        chosen = next((pair for pair in named if None not in pair), table.columns)
    if len(chosen) != 2 or chosen[0] == chosen[1]:
        raise ValueError(f"{path}: expected two columns, the acceptable text and the other, found {', '.join(table.columns)}; "
                         "say which two (--columns)")
    first, second = ([rows.cell(table, i, name, role) for i in range(len(table.rows))]
                     for name, role in zip(chosen, ("first text", "second text")))
    return Pairs(first, second, list(table.notes))
