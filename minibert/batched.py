"""Many sequences through a model: those of similar length side by side, longest first, the batches spread over the cores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minibert.backend import Array, get_xp
from minibert.model import bert as body
from minibert.model import embeddings, textcnn
from minibert.ranks import ALONE, Ranks
from minibert.text import Encoding
from minibert.workers import Workers, available_cores, micro_batch_tokens, share_out

if TYPE_CHECKING:
    from minibert.pretrained import Trained

TOKENS_GPU = 32768  # of a batch


def needs_tokens(bert: Trained) -> None:
    """ValueError where the model has no vector for a token."""
    if bert.config.filter_sizes:
        raise ValueError("this model is made of convolutions: it has one vector for a text, neither vectors of its tokens "
                         "nor attention, which are needed here; it guesses a hidden word (fill-mask) and learns to classify "
                         "(finetune)")


def each(bert: Trained, lengths: Sequence[int], work: Callable[[np.ndarray], None], *, threads: int | None = None,
         most: int | None = None, progress: Callable[[int, int], None] | None = None, ranks: Ranks = ALONE) -> None:
    """Call ``work`` with the indices of a batch, again and again until every sequence was in one.

    ``lengths``: the tokens of each sequence. ``threads``: cores to compute on (default: all). ``most``: so many sequences in a
    batch, whatever their length; by default as many as a core works on best. ``progress(done, all)`` hears numbers of tokens.
    Where words see their neighbours, which padding may be, only sequences of equal length stand side by side: the numbers of a
    text are then those that it has alone. Of several ``ranks`` each has a part of the batches.
    """
    needs_tokens(bert)
    lengths, total, done, lock = np.asarray(lengths, np.int64), int(np.sum(lengths)), 0, threading.Lock()
    on_cpu = get_xp(bert.parameters.flat) is np
    tokens = micro_batch_tokens(bert.config.hidden_size, total, threads or available_cores()) if on_cpu else TOKENS_GPU
    batches = cut(lengths, tokens, most, alike=bert.config.word_window > 1)
    if ranks.size > 1:
        sizes = [int(lengths[batch].sum()) for batch in batches]
        batches = share_out(batches, sizes, ranks.size)[ranks.rank]
        total = sum(int(lengths[batch].sum()) for batch in batches)

    def one(batch: np.ndarray) -> None:
        nonlocal done
        work(batch)
        with lock:
            done += int(lengths[batch].sum())
            if progress:
                progress(done, total)

    if not on_cpu or (threads is None and len(batches) == 1):
        for batch in batches:
            one(batch)
    else:
        with Workers(threads) as workers:
            workers.map(one, batches)


def cut(lengths: np.ndarray, tokens: int, most: int | None = None, alike: bool = False) -> list[np.ndarray]:
    """Indices of sequences, longest first, in groups of ``most``, or of at most so many tokens with padding.

    ``alike``: groups of equal length only, in which nothing is padded.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        count = most or max(1, tokens // max(1, int(lengths[order[start]])))
        batch = order[start:start + count]
        batches.append(batch[lengths[batch] == lengths[batch[0]]] if alike else batch)
        start += len(batches[-1])
    return batches


def answer(bert: Trained, encodings: Sequence[Encoding], head_mask: Array | None = None, attentions: bool = False) -> body.Output:
    """What the body says about one batch. Ids are checked where they are still on the host."""
    ids, types, mask = bert.tokenizer.batch(encodings)
    xp, mask = get_xp(bert.parameters.flat), None if mask.all() else mask
    positions = embeddings.position_ids(ids, mask, bert.config)
    ids, types, mask, positions = (x if x is None else xp.asarray(x) for x in (ids, types, mask, positions))
    if bert.config.filter_sizes:
        return textcnn.forward(ids, types, mask, bert.parameters["bert"], bert.config)[0]
    return body.answer(ids, types, mask, bert.parameters["bert"], bert.config, head_mask, attentions, positions)


def padded(bert: Trained, rows: Sequence[Sequence[int]]) -> tuple[Array, Array | None, Array | None]:
    """Ids ``(B, T)`` on the model's device, [PAD] behind the end of each row; the mask, None where nothing is padded; and
    the rows of the position table, None where they count from the first token on.
    """
    xp = get_xp(bert.parameters.flat)
    lengths = np.array([len(row) for row in rows])
    real = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    ids = np.full(real.shape, bert.tokenizer.vocab.pad_id, np.int64)
    ids[real] = np.concatenate(rows)
    mask = None if real.all() else real.astype(np.int64)
    positions = embeddings.position_ids(ids, mask, bert.config)
    return xp.asarray(ids), *(None if x is None else xp.asarray(x) for x in (mask, positions))
