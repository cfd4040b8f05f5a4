"""Writing on from a text, token after token, with the few likeliest beginnings side by side (beam search).

::

    p(b | a) = Π_n p(b_n | a, b_1 … b_{n-1})            score = ln p / ((5 + n)/6)^α

For a model that has learned to (``train --pairs prefix``). The text is the first segment, what is written the second, and the
mask is that of training: see ``tasks.segments.prefix``. After each token the ``beams`` likeliest unfinished beginnings live on.
What ends with [SEP], or is as long as may be, is done. Long texts are less likely than their beginnings; the division makes up
for it, the more so the greater α: without it (0) the short ones win.

Nothing is kept between two tokens: each is a pass over the whole text.

Source: Wu et al. 2016, "Google's Neural Machine Translation System", section 7, equation 14 (arXiv 1609.08144).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched
from minibert.backend import get_xp, refuse_nan, to_numpy, widen
from minibert.model import bert as body
from minibert.model import embeddings
from minibert.model.heads import mlm
from minibert.tasks.segments.prefix import sees

if TYPE_CHECKING:
    from minibert.pretrained import Trained

Ids = tuple[int, ...]


class Continuation(NamedTuple):
    """What follows a text."""

    text: str
    tokens: list[str]  # a [SEP] at the end where the model ended it
    log_probability: float  # of all tokens, in nats
    score: float  # what was searched for


def score(log_probability: float, length: int, penalty: float) -> float:
    """What a text of so many tokens is worth."""
    return log_probability / ((5 + length) / 6) ** penalty


def search(following: Callable[[Sequence[Ids]], np.ndarray], end: int, *, beams: int, most: int,
           penalty: float) -> list[tuple[Ids, float]]:
    """The ``beams`` best texts that were found, the best first, each with its log-probability.

    ``following``: n beginnings of equal length -> log-probabilities ``(n, V)`` of the next token. ``end``: the token that ends a
    text, which has ``most`` tokens at most. With as many beams as there are beginnings nothing is missed.
    """
    found: list[tuple[Ids, float]] = []
    begun: list[tuple[Ids, float]] = [((), 0.0)]
    for length in range(1, most + 1):
        values = following([ids for ids, _ in begun]) + np.array([[value] for _, value in begun])
        best = np.argsort(-values, axis=None, kind="stable")[:beams + len(begun)]  # each beginning can end in one way
        tried = [((*begun[row][0], token), float(values[row, token])) for row, token in zip(*map(
            np.ndarray.tolist, np.divmod(best, values.shape[1]))) if np.isfinite(values[row, token])]
        found += [(ids, value) for ids, value in tried[:beams] if ids[-1] == end or length == most]
        found = sorted(found, key=lambda text: -score(text[1], len(text[0]), penalty))[:beams]
        begun = [(ids, value) for ids, value in tried if ids[-1] != end][:beams]
        if not begun or (len(found) == beams
                         and score(begun[0][1], most, penalty) <= score(found[-1][1], len(found[-1][0]), penalty)):
            break  # no beginning can become better than what is there
    return found


def continued(bert: Trained, text: str, *, beams: int = 4, most: int = 32, penalty: float = 0.6,
              literal: bool = False) -> list[Continuation]:
    """What a model writes after a text: up to ``beams`` continuations of ``most`` tokens at most, the best first.

    ``penalty``: α. ``literal``: special tokens that are written in the text are words. ValueError for numbers that cannot be, and
    for a text that leaves no room.
    """
    batched.needs_tokens(bert)
    vocab = bert.tokenizer.vocab
    vocab.require("what is written", "[CLS]", "[SEP]")
    for name, value in (("beams", beams), ("most", most)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 <= penalty < float("inf"):
        raise ValueError(f"penalty must be a finite number from 0 on, got {penalty}")
    source = bert.tokenizer.encode(text, special_tokens=not literal).ids
    room = bert.max_length - len(source)
    if room < 1:
        raise ValueError(f"the text has {len(source)} tokens, and the model reads {bert.max_length}: there is no room to go on; "
                         "shorten it")
    said = [i for i in vocab.special_ids if i != vocab.sep_id]

    def following(begun: Sequence[Ids]) -> np.ndarray:
        values = log_probabilities(bert, source, begun)
        values[:, said] = -np.inf
        return values

    found = search(following, vocab.sep_id, beams=beams, most=min(most, room), penalty=penalty)
    return [Continuation(bert.tokenizer.decode([i for i in ids if i != vocab.sep_id]), [vocab.tokens[i] for i in ids], value,
                         score(value, len(ids), penalty)) for ids, value in found]


def log_probabilities(bert: Trained, source: Sequence[int], begun: Sequence[Ids]) -> np.ndarray:
    """ln p of each token ``(n, words)`` after a source and each of n beginnings of equal length."""
    xp = get_xp(bert.parameters.flat)
    ids = np.array([[*source, *ids] for ids in begun], np.int64)  # (n, T)
    types = np.zeros_like(ids)
    types[:, len(source):] = 1
    mask = sees(types, np.ones_like(ids))
    places = embeddings.position_ids(ids, mask, bert.config)
    ids, types, mask, places = (x if x is None else xp.asarray(x) for x in (ids, types, mask, places))
    out = body.answer(ids, types, mask, bert.parameters["bert"], bert.config, position_ids=places)
    logits, _ = mlm.forward(out.last_hidden_state[:, -1:], None, bert.parameters["cls"]["predictions"], bert.config)
    z = widen(logits[:, 0, :len(bert.tokenizer.vocab)])
    refuse_nan(z)
    z = z - z.max(-1, keepdims=True)
    return to_numpy(z - xp.log(xp.exp(z).sum(-1, keepdims=True)))


def table(bert: Trained, documents: Sequence[Sequence[Sequence[int]]], count: int = 5, seed: int = 0) -> str:
    """``count`` held-out sentences, fixed by the seed, what followed and what the model goes on with."""
    pairs = [(a, b) for document in documents for a, b in pairwise(document) if len(a) + len(b) + 3 <= bert.max_length]
    lines = []
    for i in np.random.default_rng([seed, 0xB4]).permutation(len(pairs))[:count]:
        text, truth = (bert.tokenizer.decode(ids) for ids in pairs[i])
        [best] = continued(bert, text, beams=4, penalty=0.6)[:1]
        lines.append(f"  {text}\n      {truth}  <-  {best.text}")
    return "\n".join(lines) if lines else "  (no two held-out sentences that fit into one input)"
