"""What a model computes for each word of a corpus: states, attention and gradients, from the pieces of words to words.

::

    attention TO a word      the sum over its pieces: what a token gives a word is what it gives all of it
    attention FROM a word    the mean over its pieces, so that rows still add up to 1
    states of a word         those of its first or last piece, or their mean
    gradient of a word       the sum over its pieces: how the number changes when the states of all of them move alike

Units are the words of a text and the tokens around it ([CLS], [SEP]), in order: an analysis that leaves some of them out does so
where it can be seen. A word of which the tokenizer leaves nothing has no unit, so ``Units.words`` says which words are there.

Source: Clark et al. 2019, "What Does BERT Look At?", section 4.1. Their code takes the row of the first piece where the paper
takes the mean (``bpe_utils.get_word_word_attention``, whose default nobody overrides): ``attentions="first"`` does so too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import batched
from minibert.analysis import masked
from minibert.backend import Array, get_xp, refuse_nan, to_numpy
from minibert.model import bert as body
from minibert.model import embeddings, encoder, pretraining
from minibert.model.bert import Output
from minibert.parameters import NOTHING, Tree
from minibert.text import Encoding, Reading, forms
from minibert.text.forms import Text
from minibert.workers import Workers, available_cores, micro_batch_tokens

if TYPE_CHECKING:
    from minibert.pretrained import Trained

PIECES = ("first", "last", "mean")  # whose states are a word's
ROWS = ("mean", "first")  # whose attention is a word's
LOSS = "loss"  # whose gradients are a word's: the surprise at hidden tokens, or any other

Upstream = Callable[[Output, Sequence[Encoding]], Output]  # what a batch gives -> ∂(a number of each text)/∂ any of it


class Units(NamedTuple):
    """One text of a corpus as the model sees it, in W units: its words and the tokens around it. The arrays are on the host."""

    index: int  # of the text in the corpus
    words: list[int | None]  # W: which word of its text, counted from 0 in each of a pair; None for an added token
    states: np.ndarray | None  # (L+1, W, H) the embeddings, then after each layer
    attentions: np.ndarray | None  # (L, A, W, W) how much each unit (row) takes from each other (column)
    gradients: np.ndarray | None = None  # (L+1, W, H) of the number that was named, with respect to each of the states


def collect(bert: Trained, texts: Sequence[Text], *, states: str | None = "mean", attentions: str | None = None,
            gradients: str | Upstream | None = None, truncate: bool = False, threads: int | None = None) -> Iterator[Units]:
    """The ``Units`` of every text, longest first, computed while they are asked for: memory holds one batch of each core.

    ``states``: whose are a word's, of ``PIECES``; ``attentions``: whose row is a word's, of ``ROWS``; None: these are not wanted.
    ``gradients``: of what. ``"loss"``: the sum of −ln p(truth) over the tokens of a text that ``masked.hidden`` hides; all is
    then collected of the text so read. Else a function of the body's ``Output`` ``(B, T, …)`` for a batch, on the model's
    device, and its B encodings, that returns the slopes of a number of each text, zero at padding, in another ``Output`` (as all
    that comes out of a model takes them, see ``bert.backward``). A backward pass keeps what all layers made of a batch.
    A text of more tokens than the model reads is a ValueError, unless ``truncate`` is true: then its end is cut off. An
    ``UnknownText`` warning where most of the corpus is unknown to the vocabulary.
    """
    for name, kind, kinds in (("states", states, PIECES), ("attentions", attentions, ROWS)):
        if kind is not None and kind not in kinds:
            raise ValueError(f"{name} must be None or one of {', '.join(kinds)}, got {kind!r}")
    if gradients not in (None, LOSS) and not callable(gradients):
        raise ValueError(f"gradients must be None, {LOSS!r} or a function that returns slopes, got {gradients!r}")
    encodings = _read(bert, texts, truncate)
    Reading.of(bert.tokenizer.vocab, [], [encoding.ids for encoding in encodings]).warn()
    if gradients is not None:
        batched.needs_tokens(bert)
    places = masked.hidden(bert, encodings) if gradients == LOSS else []
    return _stream(bert, encodings, states, attentions, gradients, places, threads)


def table(bert: Trained, texts: Sequence[Text], pieces: str = "mean", limit: int | None = None, *, truncate: bool = False,
          threads: int | None = None) -> np.ndarray:
    """The states ``(L+1, N, H)`` of all words of a corpus, in its order; of the first ``limit`` only, where it has more."""
    encodings = _read(bert, texts, truncate)
    counts = [sum(encoding.words[t] is not None for t in starts(encoding.words)) for encoding in encodings]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if limit is None else min(limit, int(ends[-1]))
    if total < 1:
        raise ValueError("there are no words to collect: give texts that have some, and a limit of at least 1 word")
    out = np.empty((bert.config.num_hidden_layers + 1, total, bert.config.hidden_size), bert.parameters.flat.dtype)
    needed = encodings[:int(np.searchsorted(ends, total)) + 1]
    for units in collect(bert, needed, states=pieces, threads=threads):
        start = int(ends[units.index]) - counts[units.index]
        out[:, start:start + counts[units.index]] = units.states[:, [word is not None for word in units.words]][:, :total - start]
    return out


def starts(words: Sequence[int | None]) -> np.ndarray:
    """Where units begin among tokens, of which each says to which word it belongs, or None."""
    return np.array([t for t, word in enumerate(words) if t == 0 or word is None or word != words[t - 1]], np.int64)


def states_of_words(x: np.ndarray, begins: np.ndarray, pieces: str) -> np.ndarray:
    """States of tokens ``(…, T, H)`` -> of units ``(…, W, H)``, which begin at the tokens ``begins``."""
    sizes = np.diff(begins, append=x.shape[-2])
    if pieces == "mean":
        return np.add.reduceat(x, begins, -2) / sizes[:, None].astype(x.dtype)
    return x[..., begins if pieces == "first" else begins + sizes - 1, :]


def attention_of_words(a: np.ndarray, begins: np.ndarray, row: str = "mean") -> np.ndarray:
    """Attention of tokens ``(…, T, T)`` -> of units ``(…, W, W)``: to a word the sum, from it the mean, or the first row."""
    return states_of_words(np.add.reduceat(a, begins, -1), begins, row)


def _read(bert: Trained, texts: Sequence[Text], truncate: bool) -> list[Encoding]:
    encodings = []
    for place, text in forms.listed(texts):
        try:
            encodings.append(forms.encode(bert.tokenizer, text, max_length=bert.max_length, truncate=truncate))
        except (ValueError, TypeError) as error:
            raise type(error)(f"{place}{error}") from None
    return encodings


def _stream(bert: Trained, encodings: Sequence[Encoding], pieces: str | None, row: str | None, of: str | Upstream | None,
            places: Sequence[np.ndarray], threads: int | None) -> Iterator[Units]:
    on_cpu, lengths = get_xp(bert.parameters.flat) is np, np.array([len(encoding) for encoding in encodings])
    cores = threads or available_cores() if on_cpu else 1
    tokens = micro_batch_tokens(bert.config.hidden_size, int(lengths.sum()), cores) if on_cpu else batched.TOKENS_GPU
    batches = batched.cut(lengths, tokens, alike=bert.config.word_window > 1)

    def units(batch: np.ndarray) -> list[Units]:
        some, slopes = [encodings[i] for i in batch], None
        if of is None:
            out = batched.answer(bert, some, attentions=row is not None)
        else:
            hidden = masked.batch_of(bert, batch, encodings, places) if of == LOSS else None
            out, slopes = _slopes(bert, some, of, hidden, row is not None)
        refuse_nan(out.last_hidden_state)
        return [_units(out, slopes, b, int(i), encodings[i].words, pieces, row) for b, i in enumerate(batch)]

    for start in range(0, len(batches), cores):
        with Workers(cores) as workers:  # open no longer than this, since whoever asks has work for the cores as well
            found = workers.map(units, batches[start:start + cores])
        yield from (one for several in found for one in several)


def _slopes(bert: Trained, encodings: Sequence[Encoding], of: str | Upstream, hidden: masked.Batch | None,
            maps: bool) -> tuple[Output, list[Array | None]]:
    """What a batch gives, and the gradients of each of the L+1 states: of the loss at what is hidden, or of another number."""
    p, config, xp, kept = bert.parameters, bert.config, get_xp(bert.parameters.flat), {}
    opened = {"layers": lambda p, g: _heard(encoder.stack(p, g, config), kept), "maps": maps}
    if hidden:
        whole, loss = pretraining.forward(hidden.inputs, p, config, counts=(1, 1), **opened)
        out, upstream = whole.bert, Output()
        pretraining.backward(pretraining.Output(loss=1.0), loss, p, NOTHING)
    else:
        ids, types, mask = bert.tokenizer.batch(encodings)
        mask = None if mask.all() else mask
        ids, types, mask, places = (None if x is None else xp.asarray(x) for x in (
            ids, types, mask, embeddings.position_ids(ids, mask, config)))
        out, cache = body.forward(ids, types, mask, p["bert"], config, position_ids=places, **opened)
        upstream = of(out, encodings)
        body.backward(upstream, cache, p["bert"], NOTHING)
    slopes = [kept.get(i) for i in range(len(out.hidden_states))]
    slopes[0] = encoder.add(slopes[0], upstream.hidden_states and upstream.hidden_states[0])
    return out, [get_xp(h).zeros_like(h) if d is None else d for h, d in zip(out.hidden_states, slopes)]


def _heard(layers: Sequence[encoder.Layer], kept: dict[int, Array]) -> list[encoder.Layer]:
    """The same layers, whose backward keeps what arrives: the gradient of the state after each, and of the one below them all."""
    def of(number: int, module: ModuleType) -> Any:
        def heard(dy: Array, cache: Any, p: Tree, g: Tree, dweights: Array | None = None) -> Any:
            kept[number + 1] = dy
            d = module.backward(dy, cache, p, g, dweights)
            if not number:
                kept[0] = d.dx
            return d

        return SimpleNamespace(forward=module.forward, backward=heard)

    return [(of(i, module), p, g) for i, (module, p, g) in enumerate(layers)]


def _units(out: Output, slopes: Sequence[Array] | None, b: int, index: int, words: list[int | None], pieces: str | None,
           row: str | None) -> Units:
    """Text number b of a batch."""
    begins, T = starts(words), len(words)
    states = pieces and states_of_words(np.stack([to_numpy(h[b, :T]) for h in out.hidden_states]), begins, pieces)
    maps = row and attention_of_words(np.stack([to_numpy(a[b, :, :T, :T]) for a in out.attentions]), begins, row)
    own = slopes and np.add.reduceat(np.stack([to_numpy(d[b, :T]) for d in slopes]), begins, -2)
    return Units(index, [words[t] for t in begins], states, maps, own)
