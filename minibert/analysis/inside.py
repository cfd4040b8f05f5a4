"""Looking inside a trained model: what it guesses, from which layer on, where it looks, and what the guess rests on.

>>> import minibert; from minibert.analysis import inside
>>> bert = minibert.load()
>>> question = inside.ask(bert, "they are not supported.", hide=[2])        # [CLS] they [MASK] not supported . [SEP]
>>> inside.guesses(bert, question)[0].words[0]                              # ('are', 0.52…)

Every function takes a model and a question, and is a few lines around ``pretraining.forward`` and ``pretraining.backward``: every
floating array that goes in can have its gradient, every array that comes out takes one. What comes back is on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from minibert import batched
from minibert.backend import Array, get_xp, to_numpy
from minibert.layers import layernorm, softmax
from minibert.model import bodies, embeddings, encoder, pretraining
from minibert.model.heads import mlm
from minibert.model.pretraining import Inputs, Output
from minibert.parameters import NOTHING
from minibert.workers import Workers

if TYPE_CHECKING:
    from minibert.pretrained import Trained

BATCH_TOKENS = 512  # of one pass of the integral: what bounds its memory
BATCH_MASKS = 64  # whose guesses are counted at a time
MEMORY = 1 << 30  # bytes of vectors that ``Neighbours`` keeps, at most


class Question(NamedTuple):
    """One text, or a pair, as the model reads it: T tokens, some of them hidden behind [MASK]."""

    ids: np.ndarray  # (T,) with [MASK] where something is hidden
    token_type_ids: np.ndarray  # (T,) 0 for the first text, 1 for the second
    tokens: list[str]  # T, as they stood in the text
    offsets: list[tuple[int, int]]  # T places in the text that the token is from; (0, 0) for the added [CLS] and [SEP]
    added: list[bool]  # T: whether it is a [CLS] or [SEP] that the text did not have
    masked: list[int]  # M positions that are hidden
    truth: list[int | None]  # M ids of what stood there; None where the text itself said [MASK]
    cut: int  # tokens that did not fit into the model and were left out


class Guess(NamedTuple):
    """What the model puts in the place of one [MASK]."""

    position: int
    words: list[tuple[str, float]]  # the likeliest tokens, each with its probability
    entropy: float  # nats; e to it is over how many words the guess is spread
    truth: str | None  # the token that is hidden there
    probability: float | None  # of the truth
    rank: int | None  # of the truth, from 1


class Scores(NamedTuple):
    """Why one head looks where it looks: ``score[q, k] = Σ_d query[q, d]·key[k, d]`` and ``weights = softmax(score)``."""

    query: np.ndarray  # (T, D) already divided by √D
    key: np.ndarray  # (T, D)
    score: np.ndarray  # (T, T)
    weights: np.ndarray  # (T, T)


class Importance(NamedTuple):
    """How the loss would change if a head were turned up a little; the head matters as much as the number is large."""

    gradient: np.ndarray  # (L, A) ∂loss/∂gate
    loss: float  # nats a hidden word: mean of −ln p(target)
    targets: list[str]  # of each mask: its truth, or the best guess where nobody knows


class Attribution(NamedTuple):
    """Which tokens a guess rests on: numbers in nats, positive where the token speaks for the word.

    ``integrated`` adds up to ``value − baseline`` but for ``error``: that is the completeness of integrated gradients.
    """

    position: int
    word: str  # the guess that is explained
    gradient_input: np.ndarray  # (T,) Σ_h ∂ln p/∂x[t, h]·x[t, h]
    integrated: np.ndarray  # (T,)
    value: float  # ln p(word) for the text
    baseline: float  # ln p(word) where every token but [CLS] and [SEP] is hidden
    error: float  # Σ integrated − (value − baseline)


class Neighbour(NamedTuple):
    score: float  # cosine: 1 for the same direction
    text: str
    start: int  # of the token in the text
    end: int
    token: str


def ask(bert: Trained, text: str, pair: str | None = None, hide: Sequence[int] = ()) -> Question:
    """A text with the tokens at the positions ``hide`` behind [MASK]; [CLS] is position 0. What is too long loses its end.

    IndexError for a position that is not there.
    """
    tokenizer = bert.tokenizer
    encoding = tokenizer.encode(text, pair, max_length=bert.max_length, truncate=True)
    whole = sum(len(tokenizer.ids(part, special_tokens=True)) for part in (text, pair) if part is not None)
    if len(hide):
        tokenizer.vocab.require("a token to be hidden", "[MASK]")
    T, ids, mask = len(encoding), np.array(encoding.ids), tokenizer.vocab.mask_id
    for position in hide:
        if not 0 <= position < T:
            raise IndexError(f"hide: there is no token {position}; the text has {T} tokens, from 0 to {T - 1}")
        if encoding.special_tokens_mask[position]:
            raise IndexError(f"hide: token {position} is {encoding.tokens[position]}, which frames the text and cannot be hidden")
    masked = sorted({t for t in range(T) if ids[t] == mask} | {int(t) for t in hide})
    truth = [None if ids[t] == mask else int(ids[t]) for t in masked]
    ids[masked] = mask
    return Question(ids, np.array(encoding.token_type_ids), encoding.tokens, encoding.offsets,
                    [bool(x) for x in encoding.special_tokens_mask], masked, truth,
                    whole - (T - sum(encoding.special_tokens_mask)))


def guesses(bert: Trained, question: Question, top: int = 10, gates: Any = None) -> list[Guess]:
    """A ``Guess`` for each mask. ``gates`` ``(L, A)``: 0 switches a head off, 1 leaves it on."""
    needs_head(bert)
    if bert.config.filter_sizes and gates is None:  # it says the same of every mask
        ids, types = (get_xp(bert.parameters.flat).asarray(x[None]) for x in (question.ids, question.token_type_ids))
        out = bodies.of(bert.config).forward(ids, types, None, bert.parameters["bert"], bert.config)[0]
        return _guesses(bert, question, pretraining.word_logits(out, question.masked, bert.parameters, bert.config), top)
    return _guesses(bert, question, _forward(bert, question, gates)[0].logits, top)


def loss(bert: Trained, question: Question, gates: Any = None) -> float | None:
    """Mean of −ln p(truth) over the masks whose truth is known, in nats; None where there is none."""
    return mean_surprise(guesses(bert, question, 1, gates))


def mean_surprise(answers: Sequence[Guess]) -> float | None:
    """The loss of these guesses: mean of −ln p(truth)."""
    known = [-float(np.log(max(g.probability, 1e-38))) for g in answers if g.probability is not None]
    return sum(known) / len(known) if known else None


def follows(bert: Trained, question: Question, gates: Any = None) -> float | None:
    """The probability that the second text follows the first; None without a pair, or a head that was trained for it."""
    trained = bert.parameters.layout.slots.keys() - bert.initialised
    if not question.token_type_ids.any() or "cls.seq_relationship.weight" not in trained:
        return None
    return float(to_numpy(softmax.forward(_forward(bert, question, gates)[0].next_logits)[0])[0, 0])


def layers(bert: Trained, question: Question, top: int = 5, position: int | None = None) -> list[list[Guess]]:
    """What each of the L+1 hidden states would say, the embeddings first, if the head were to read it instead of the last one.

    ``position``: of this mask only. IndexError where nothing is hidden there.
    The head was trained on the last one only, so what it makes of the others is a hint, not a measurement. Source: the "logit
    lens" of nostalgebraist (2020).
    """
    needs_head(bert)
    if position is not None:
        question = _only(question, position)
    out, _ = _forward(bert, question)
    p, xp = bert.parameters, get_xp(bert.parameters.flat)
    answers = []
    for state in out.bert.hidden_states:
        if bert.config.norm_first:
            state = layernorm.forward(state, p["bert"]["LayerNorm"], bert.config.layer_norm_eps)[0]
        answers.append(_guesses(bert, question, mlm.forward(state, xp.asarray(question.masked, dtype=np.int64),
                                                                 p["cls"]["predictions"], bert.config)[0], top))
    return answers


def attention(bert: Trained, question: Question, gates: Any = None) -> np.ndarray:
    """``(L, A, T, T)``: how much each token (row) takes from each other (column). Rows add up to 1, or to 0."""
    return np.stack([to_numpy(w)[0] for w in _forward(bert, question, gates, keep="attentions")[0].bert.attentions])


def scores(bert: Trained, question: Question, layer: int, head: int) -> Scores:
    """The scores of one head before the softmax, and the queries and keys whose products they are."""
    needs_heads(bert, [(layer, head)])
    if head not in (own := bert.config.heads_of(layer)):
        raise IndexError(f"head {layer}.{head} is gone from this model: its layer {layer} has heads {', '.join(map(str, own))}")
    out, cache = _forward(bert, question, keep="all")
    inner = cache.bert.encoder.blocks[layer].attention
    q, k = (to_numpy(x)[0, own.index(head)] for x in (inner.q, inner.k))  # (T, D) each
    return Scores(q, k, q @ k.T, to_numpy(out.bert.attentions[layer])[0, head])


def importance(bert: Trained, question: Question, gates: Any = None) -> Importance:
    """The gradient of the loss with respect to the gate of every head, in one backward pass. By default all gates are open.

    Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?", section 4.1.
    """
    targets = _targets(bert, question, gates)
    if gates is None:
        gates = np.ones((bert.config.num_hidden_layers, bert.config.num_attention_heads))
    out, cache = _forward(bert, question, gates, labels=targets, keep="all")
    d = pretraining.backward(Output(loss=1.0), cache, bert.parameters, NOTHING)
    words = bert.tokenizer.vocab.tokens
    return Importance(to_numpy(d.head_mask), float(out.loss), [words[i] for i in targets])


def attribution(bert: Trained, question: Question, position: int | None = None, word: str | None = None,
                steps: int = 32, progress: Callable[[int, int], None] | None = None) -> Attribution:
    """Which tokens speak for ``word`` at the mask at ``position``: by default the best guess at the first mask.

    ``gradient_input`` is the slope at the text itself. ``integrated`` is the mean slope on the straight line from a baseline,
    where every word vector is that of [MASK], to the text, times the way: the integral as a sum over ``steps`` midpoints.
    ``progress`` is told (passes done, of how many); an error that it raises ends the work.
    Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks".
    """
    needs_head(bert)
    if not 1 <= steps <= 1024:
        raise ValueError(f"steps must be from 1 to 1024, got {steps}")
    position, target = _target(bert, question, position, word)
    p, xp = bert.parameters, get_xp(bert.parameters.flat)
    table = p["bert"]["embeddings"]["word_embeddings"]["weight"]
    x = table[xp.asarray(question.ids)]  # (T, H)
    hidden = np.where(question.added, question.ids, bert.tokenizer.vocab.mask_id)
    base = table[xp.asarray(hidden)]
    way = np.concatenate([[0.0], (np.arange(steps) + 0.5) / steps, [1.0]])  # the baseline, the midpoints, the text
    T, V = len(question.ids), len(bert.tokenizer.vocab)
    values, slopes, positions = [], [], _positions(bert, question)
    for start in range(0, len(way), chunk := max(1, BATCH_TOKENS // T)):
        alpha = xp.asarray(way[start:start + chunk], dtype=x.dtype)
        B = len(alpha)
        vectors = base + alpha[:, None, None] * (x - base)  # (B, T, H)
        places = xp.arange(B) * T + position
        types = xp.asarray(np.tile(question.token_type_ids, (B, 1)))
        rows = None if positions is None else positions.repeat(B, 0)
        out, cache = pretraining.forward(Inputs(vectors, types, None, places, position_ids=rows), p, bert.config)
        probabilities = softmax.forward(out.logits[:, :V])[0]
        dlogits = xp.zeros_like(out.logits)
        dlogits[:, :V] = -probabilities  # ∂ln p(target)/∂logits = one-hot − p
        dlogits[:, target] += 1
        d = pretraining.backward(Output(logits=dlogits), cache, p, NOTHING)
        values.append(to_numpy(xp.log(probabilities[:, target])))
        slopes.append(to_numpy(d.embeddings))
        if progress is not None:
            progress(min(start + chunk, len(way)), len(way))
    value, slope = np.concatenate(values), np.concatenate(slopes)
    x, base = to_numpy(x), to_numpy(base)
    integrated = (slope[1:-1].mean(0) * (x - base)).sum(-1)
    return Attribution(position, bert.tokenizer.vocab.tokens[target], (slope[-1] * x).sum(-1), integrated, float(value[-1]),
                       float(value[0]), float(integrated.sum() - (value[-1] - value[0])))


class Neighbours:
    """The tokens of a text and their vectors at each layer, for ``nearest``.

    ``vectors`` ``(L+1, N, H)``: float32, or int8 where that would take more than 1 GiB: then each is in steps of a 127th of its
    largest element, and cosines are right to 0.01. ``lengths`` ``(L+1, N)``: their lengths as they are kept. ``places``: N of
    (number of the sentence, start, end, token).
    """

    def __init__(self, bert: Trained, sentences: Sequence[str], vectors: np.ndarray, lengths: np.ndarray,
                 places: list[tuple[int, int, int, str]]) -> None:
        self.bert, self.sentences, self.vectors, self.lengths, self.places = bert, sentences, vectors, lengths, places

    @classmethod
    def of(cls, bert: Trained, sentences: Sequence[str], limit: int = 50_000,
           progress: Callable[[int, int], None] | None = None) -> Neighbours:
        """Read sentences until there are ``limit`` tokens, or fewer where even int8 vectors would take more than 1 GiB."""
        states, H = bert.config.num_hidden_layers + 1, bert.config.hidden_size
        limit = min(limit, MEMORY // (states * H))
        sentences = list(dict.fromkeys(s for s in sentences if s.strip()))
        if not sentences or limit < 1:
            raise ValueError("there are no sentences to look for neighbours in: give a text, and a limit of at least 1 token")
        places: list[tuple[int, int, int, str]] = []
        vectors = np.empty((states, limit, H), np.float32 if states * limit * H * 4 <= MEMORY else np.int8)
        lengths = np.empty((states, limit), np.float32)
        for start in range(0, len(sentences), 64):
            chunk = sentences[start:start + 64]
            encoded = [bert.tokenizer.encode(text, max_length=bert.max_length, truncate=True) for text in chunk]
            tokens = np.array([len(encoding) for encoding in encoded])
            for batch in reversed(batched.cut(tokens, tokens=0, most=16, alike=bert.config.word_window > 1)):
                several = batch.tolist()
                encodings = [encoded[i] for i in several]
                out = batched.answer(bert, encodings)
                stacked = np.stack([to_numpy(h) for h in out.hidden_states])  # (L+1, B, T, H)
                for row, encoding in enumerate(encodings):
                    inner = slice(1, 1 + min(len(encoding) - 2, limit - len(places)))
                    here = slice(len(places), len(places) + inner.stop - 1)
                    places += [(start + several[row], *offset, token)
                               for offset, token in zip(encoding.offsets[inner], encoding.tokens[inner])]
                    x = stacked[:, row, inner]
                    if vectors.dtype == np.int8:
                        x = np.rint(x * (127 / np.maximum(np.abs(x).max(-1, keepdims=True), 1e-12)))
                    vectors[:, here], lengths[:, here] = x, np.sqrt((x * x).sum(-1))
            if progress is not None:
                progress(len(places), limit)
            if len(places) == limit:
                break
        if not places:
            raise ValueError("there are no tokens to look for neighbours in: the text has none that the model reads")
        return cls(bert, sentences, vectors[:, :len(places)], lengths[:, :len(places)], places)

    def __len__(self) -> int:
        return len(self.places)

    def nearest(self, question: Question, position: int, top: int = 5) -> list[list[Neighbour]]:
        """For each of the L+1 hidden states the ``top`` tokens whose vectors point most nearly the same way, best first."""
        if not 0 <= position < len(question.ids):
            raise IndexError(f"there is no token {position}: the text has {len(question.ids)}, from 0 to {len(question.ids) - 1}")
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        states = [to_numpy(h)[0, position].astype(np.float32) for h in _forward(self.bert, question)[0].bert.hidden_states]

        def of_layer(vectors: np.ndarray, lengths: np.ndarray, x: np.ndarray) -> list[Neighbour]:
            cosines = _products(vectors, x) / np.maximum(lengths * np.sqrt(x @ x), 1e-12)  # (N,)
            count = min(top, len(cosines))
            best = np.argpartition(-cosines, count - 1)[:count]
            best = best[np.argsort(-cosines[best], kind="stable")]
            return [Neighbour(float(cosines[i]), self.sentences[self.places[i][0]], *self.places[i][1:]) for i in best]

        with Workers() as workers:
            return workers.map(of_layer, self.vectors, self.lengths, states)


def _products(vectors: np.ndarray, x: np.ndarray, rows: int = 2048) -> np.ndarray:
    """``vectors @ x``, (N, H) by (H,), in float32; a few rows at a time, so that what int8 becomes stays in the cache."""
    out = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), rows):
        np.matmul(vectors[start:start + rows].astype(np.float32, copy=False), x, out=out[start:start + rows])
    return out


def has_head(bert: Trained) -> bool:
    """Has the model a masked-word head that was trained?"""
    return "cls.predictions.bias" in bert.parameters.layout.slots.keys() - bert.initialised


def needs_head(bert: Trained) -> None:
    """ValueError where the model has no masked-word head that was trained."""
    if not has_head(bert):
        raise ValueError("this model has no masked-word head, so it cannot guess words: it is an encoder. Attention and "
                         "neighbours work; for guesses take a checkpoint with that head, or train one")


def needs_heads(bert: Trained, heads: Sequence[tuple[int, int]]) -> None:
    """IndexError where the model has no such head (layer, head)."""
    L, A = bert.config.num_hidden_layers, bert.config.num_attention_heads
    for layer, head in heads:
        if not (0 <= layer < L and 0 <= head < A):
            raise IndexError(f"there is no head {layer}.{head}: the model has layers 0 to {L - 1} with heads 0 to {A - 1}")


def needs_all_heads(bert: Trained) -> None:
    """ValueError where some are gone."""
    if bert.config.heads_of_layers:
        raise ValueError("this model has lost some of its heads (minibert compress prune), and all of each layer are needed "
                         "here: take the model that it was made of")


def open_gates(bert: Trained, off: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """Gates ``(L, A)`` of 1, with 0 for the heads (layer, head) in ``off``."""
    needs_heads(bert, off)
    gates = np.ones((bert.config.num_hidden_layers, bert.config.num_attention_heads), dtype=np.float32)
    for layer, head in off:
        gates[layer, head] = 0
    return gates


def _forward(bert: Trained, question: Question, gates: Any = None, labels: Sequence[int] | None = None,
             keep: Literal["states", "attentions", "all"] = "states") -> tuple[Output, Any]:
    """``keep``: what is kept of the layers; a backward pass needs all, which takes L times the memory."""
    batched.needs_tokens(bert)
    xp = get_xp(bert.parameters.flat)
    ids, types, places = (xp.asarray(a, dtype=np.int64) for a in (question.ids[None], question.token_type_ids[None],
                                                                 question.masked))
    gates = None if gates is None else xp.asarray(gates, dtype=bert.parameters.flat.dtype)
    labels = None if labels is None else xp.asarray(labels, dtype=np.int64)
    layers = encoder.stack(bert.parameters["bert"]["encoder"], NOTHING, bert.config)
    if keep != "all":
        layers = encoder.forgetful(layers, attentions=keep == "attentions")
    positions = _positions(bert, question)
    return pretraining.forward(Inputs(ids, types, None, places, labels, position_ids=positions), bert.parameters, bert.config,
                               head_mask=gates, layers=layers, maps=keep != "states")


def _positions(bert: Trained, question: Question) -> Array | None:
    """``(1, T)`` rows of the position table, where they do not count from the first token on."""
    positions = embeddings.position_ids(question.ids[None], None, bert.config)
    return None if positions is None else get_xp(bert.parameters.flat).asarray(positions)


def _guesses(bert: Trained, question: Question, logits: Array, top: int) -> list[Guess]:
    V, written = len(bert.tokenizer.vocab), bert.tokenizer.written
    if not 1 <= top <= V:
        raise ValueError(f"top must be from 1 to {V}, the size of the vocabulary, got {top}")
    rows = (row for start in range(0, len(question.masked), BATCH_MASKS)  # logits beyond the vocabulary are no words
            for row in to_numpy(softmax.forward(logits[start:start + BATCH_MASKS, :V])[0]).astype(np.float64))
    answers = []
    for position, truth, p in zip(question.masked, question.truth, rows):
        best = np.argpartition(-p, top - 1)[:top]
        best = best[np.lexsort((best, -p[best]))]
        entropy = -float((p * np.log(np.maximum(p, 1e-300))).sum())
        known, first = truth is not None, bool(position and question.added[position - 1])
        words = [(written(i, first), float(p[i])) for i in best]
        answers.append(Guess(position, words, entropy, written(truth, first) if known else None,
                             float(p[truth]) if known else None, int((p > p[truth]).sum()) + 1 if known else None))
    return answers


def _targets(bert: Trained, question: Question, gates: Any = None) -> list[int]:
    """The truth of each mask, and the best guess where there is none."""
    if not question.masked:
        raise ValueError("nothing is hidden: hide a word first, or write [MASK] in the text")
    index = bert.tokenizer.vocab.index
    return [index[g.words[0][0]] if truth is None else truth
            for g, truth in zip(guesses(bert, question, 1, gates), question.truth)]


def _target(bert: Trained, question: Question, position: int | None, word: str | None) -> tuple[int, int]:
    index = bert.tokenizer.vocab.index
    if not question.masked:
        raise ValueError("nothing is hidden: hide a word first, or write [MASK] in the text")
    position = question.masked[0] if position is None else position
    word = guesses(bert, _only(question, position), 1)[0].words[0][0] if word is None else word
    if word not in index:
        raise ValueError(f"the vocabulary has no token {word!r:.60}")
    return position, index[word]


def _only(question: Question, position: int) -> Question:
    """The same question about one of its masks."""
    if position not in question.masked:
        raise IndexError(f"token {position} is not hidden; hidden are {', '.join(map(str, question.masked)) or 'none'}")
    at = question.masked.index(position)
    return question._replace(masked=[position], truth=[question.truth[at]])
