"""What a user of the package meets: ``minibert.load()`` and the ``Bert`` that it returns."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from minibert import backend, batched, pretrained, sentence_vectors
from minibert.backend import Array, get_xp, refuse_nan, to_numpy
from minibert.config import BertConfig
from minibert.layers import softmax
from minibert.model import bert, pretraining
from minibert.parameters import Parameters
from minibert.pretrained import bundled
from minibert.text import Encoding, Reading, Tokenizer, forms
from minibert.text.forms import Text
from minibert.text.reading import as_words

if TYPE_CHECKING:
    from minibert.generation import Continuation
    from minibert.scoring import Score

Guesses = list[tuple[str, float]]


class Output(NamedTuple):
    """What the model says about B texts of at most T tokens, zero wherever a text has ended. The arrays are on its device.

    With ``padded=False`` each array of shape (B, T, …) is a list of B arrays, each as long as its own text.
    """

    last_hidden_state: Array | list[Array]  # (B, T, H) one vector per token
    pooled: Array | None  # (B, H) one vector per text; None where the model has no pooler
    hidden_states: list | None  # L+1 of (B, T, H): the embeddings, then after each layer
    attentions: list | None  # L of (B, A, T, T): how much each token (row) takes from each other (column)
    attention_mask: Array | list[Array]  # (B, T) 1 for tokens, 0 behind the end
    tokens: list[list[str]]  # B lists of tokens as text, without padding
    words: list[list[int | None]]  # to which word of its text each token belongs; None for the added [CLS] and [SEP]
    offsets: list[list[tuple[int, int]]]  # (start, end) of each token in its text, or in its word; see ``Encoding``


def load(model: str | os.PathLike[str] | None = None, device: Literal["auto", "cpu", "gpu"] = "auto",
         dtype: Any = np.float32, tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
         weights: str | os.PathLike[str] | None = None, heads: int | None = None) -> Bert:
    """A trained model, ready to be asked: the bundled one, or that of a run's folder or a checkpoint's.

    ``device``: ``"gpu"`` needs CuPy and an NVIDIA GPU, ``"auto"`` takes one if there is one. ``dtype``: float32 or float64, on
    the GPU float16 as well. ``tokenizer``: for a folder without one, a ``Tokenizer``, a ``vocab.txt`` or the folder that has one.
    ``weights``: which of several files, or one that stands elsewhere. ``heads``: how many attention heads the model has, where
    there is no ``config.json``.

    Raises FileNotFoundError, ValueError or RuntimeError, each with one clear sentence.
    """
    folder = bundled() if model is None else Path(model)
    xp, where = backend.choose(device)
    found = pretrained.load(folder, xp, dtype, tokenizer=tokenizer, weights=weights, heads=heads)
    return Bert(found.config, found.parameters, found.tokenizer, found.notes, where, found.initialised, folder)


class Bert:
    """A configuration, its parameters and the tokenizer they were trained with. Call it with texts.

    ``notes``: what there was to say when it was loaded, such as heads that were not in the file; ``initialised``: the names of
    their tensors, which hold random numbers. ``device``: where it computes. ``folder``: where it comes from.
    """

    def __init__(self, config: BertConfig, parameters: Parameters, tokenizer: Tokenizer, notes: Sequence[str] = (),
                 device: str | None = None, initialised: Collection[str] = (),
                 folder: str | os.PathLike[str] | None = None) -> None:
        if (tokens := len(tokenizer.vocab) - tokenizer.vocab.added) > config.vocab_size:
            raise ValueError(f"the tokenizer has {tokens} tokens, but the model knows {config.vocab_size}: "
                             "its last ones would be out of range")
        self.config = config
        self.parameters = parameters
        self.tokenizer = tokenizer
        self.notes = list(notes)
        self.device = device or type(parameters.flat).__module__
        self.initialised = frozenset(initialised)
        self.folder = folder

    def __repr__(self) -> str:
        c = self.config
        return (f"Bert({c.num_hidden_layers} layers, hidden size {c.hidden_size}, {c.num_attention_heads} heads, "
                f"{c.vocab_size:,} tokens, {len(self.parameters):,} parameters, {self.device})")

    @property
    def max_length(self) -> int:
        """The most tokens of one input, [CLS] and [SEP] counted."""
        return min(self.tokenizer.max_length, self.config.max_tokens)

    def __call__(self, texts: Text | Sequence[Text], *, hidden_states: bool = False, attentions: bool = False,
                 head_mask: Any = None, max_length: int | None = None, truncate: bool = False, batch_size: int | None = None,
                 literal: bool = False, padded: bool = True, threads: int | None = None) -> Output:
        """Texts -> Output. ``texts``: a string, a (string, string) pair, a list of ids with [CLS] and [SEP], or a list of these
        and of lists of words: ``[["a", "list", "of", "words"]]``. A tuple is a pair, a list in a list is one text.

        ``hidden_states``, ``attentions``: return these as well. ``head_mask`` (L, A) or (L, B, A): 1 keeps a head, 0 switches it
        off. ``padded=False``: a list of arrays, one for each text, instead of one array in which all are as long as the longest.
        Texts of similar length are computed together, ``batch_size`` of them at a time (default: as many as a core works on
        best), which bounds the memory; it does not change the result. ``threads``: cores to compute on (default: all).

        A text of more than ``max_length`` tokens (default: what the model can read) is a ValueError, unless ``truncate`` is true:
        then its end is cut off. ``literal``: special tokens that are written in a text, such as [SEP], are words and not those
        tokens. An ``UnknownText`` warning where most of the texts is unknown to the vocabulary.
        """
        encodings = [self._encode(text, max_length, truncate, place, literal) for place, text in forms.listed(texts)]
        Reading.of(self.tokenizer.vocab, [], [encoding.ids for encoding in encodings]).warn()
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if head_mask is not None:
            head_mask = self._gates(head_mask, len(encodings))
        xp, lengths = get_xp(self.parameters.flat), [len(encoding) for encoding in encodings]
        L, H, A = self.config.num_hidden_layers, self.config.hidden_size, self.config.num_attention_heads

        def room(*shape: int | None, dtype: Any = self.parameters.flat.dtype) -> tuple[Any, list[Array]]:
            return _room(xp, lengths, shape, dtype, padded)

        pooled = xp.empty((len(lengths), H), dtype=self.parameters.flat.dtype) if self._pools else None
        last = room(None, H)
        states = [room(None, H) for _ in range((L + 1) * hidden_states)]
        maps = [room(A, None, None) for _ in range(L * attentions)]

        def work(batch: np.ndarray) -> None:
            at = xp.asarray(batch)
            gates = head_mask if head_mask is None or head_mask.ndim == 2 else head_mask.take(at, axis=1)
            out = self._forward([encodings[i] for i in batch], gates, attentions)
            if pooled is not None:
                pooled[at] = out.pooled
            arrays = [out.last_hidden_state, *out.hidden_states[:len(states)], *out.attentions[:len(maps)]]
            for x, (_, places) in zip(arrays, [last, *states, *maps]):
                for row, i in enumerate(batch):
                    places[i][...] = x[row][tuple(map(slice, places[i].shape))]

        batched.each(self, lengths, work, threads=threads, most=batch_size)
        mask, ones = room(None, dtype=np.int64)
        for place in ones:
            place[...] = 1
        return Output(last[0], pooled, [x for x, _ in states] if hidden_states else None,
                      [x for x, _ in maps] if attentions else None, mask, [encoding.tokens for encoding in encodings],
                      [encoding.words for encoding in encodings], [encoding.offsets for encoding in encodings])

    def fill_mask(self, text: Text | Sequence[Text], top: int = 5, *, pair: str | None = None, truncate: bool = False,
                  literal: bool = False) -> Guesses | list[Guesses]:
        """The ``top`` likeliest words for a [MASK], each with its probability: ``[("this", 0.31), …]``; ``##`` goes on with one.

        ``text``: one, in any form that the model can be called with. Several [MASK]: a list of such lists, one for each, in order
        (each is guessed without knowing the others). ``pair``: a second text that follows the first. ``literal``: other special
        tokens that are written in the text are words.

        ValueError where there is no [MASK], or the text is too long and ``truncate`` false; an ``UnknownText`` warning where
        most of the text is unknown to the vocabulary.
        """
        vocab = self.tokenizer.vocab
        if not 1 <= top <= len(vocab):
            raise ValueError(f"top must be from 1 to {len(vocab)}, the size of the vocabulary, got {top}")
        self.require_mask()
        [(_, text), *more] = forms.listed(text if pair is None else [(text, pair)])
        if more:
            raise TypeError(f"fill_mask takes one text, got {1 + len(more)} (the words of one are a list in a list: [[...]])")
        if literal:
            text = forms.mapped(lambda part: as_words(vocab, part, vocab.mask_id), text)
        encoding = self._encode(text, None, truncate)
        places = masks(encoding, self.tokenizer)
        if not places:
            mask = vocab.tokens[vocab.mask_id]
            raise ValueError(f'there is no {mask} in {text!r}: write {mask} where a word is to be guessed, '
                             f'as in "the {mask} statement raises an exception."')
        Reading.of(vocab, [], [encoding.ids]).warn()
        out = self._forward([encoding])
        positions = get_xp(self.parameters.flat).asarray(places)
        logits = pretraining.word_logits(out, positions, self.parameters, self.config)
        probabilities = to_numpy(softmax.forward(logits[:, :len(vocab)])[0])  # (M, words): rows that are padding are no words
        refuse_nan(probabilities)
        order = np.argsort(-probabilities, axis=-1, kind="stable")[:, :top]
        first = [encoding.special_tokens_mask[place - 1] == 1 for place in places]
        answers = [[(self.tokenizer.written(i, begins), float(row[i])) for i in best]
                   for row, best, begins in zip(probabilities, order, first)]
        return answers[0] if len(answers) == 1 else answers

    def require_mask(self) -> None:
        """ValueError where no word can be guessed: without a masked-word head that was trained, and without [MASK]."""
        lacking = sorted(name for name in self.initialised if name.startswith("cls.predictions."))
        if lacking or "cls.predictions.bias" not in self.parameters.layout.slots:
            why = next((note for note in self.notes if note.endswith("the masked-word head is left out")), ", ".join(lacking))
            raise ValueError(f"{self.folder} has no masked-word head{f' ({why})' if why else ''}: without it no word can be "
                             "guessed. It holds an encoder; take a checkpoint with a head for that, or train one")
        self.tokenizer.vocab.require("a guess", "[MASK]")

    def require_tokens(self) -> None:
        """ValueError where a text has one vector, and its tokens have none."""
        batched.needs_tokens(self)

    def embed(self, texts: Text | Sequence[Text], pooling: Literal["mean", "cls", "max"] | None = None,
              normalise: bool | None = None, *, max_length: int | None = None, threads: int | None = None,
              progress: Callable[[int, int], None] | None = None, literal: bool = False) -> np.ndarray:
        """One vector for each text: ``(N, H)``, or ``(H,)`` for a single one. See ``sentence_vectors``.

        ``texts``: strings, lists of words, or lists of ids with [CLS] and [SEP].
        ``pooling``, ``normalise``, ``max_length``: by default what the model's folder says, else the mean over the tokens, as it
        is, of as many tokens as the model can read. What is longer loses its end. ``threads``: cores to compute on (default:
        all). ``progress(done, all)`` hears numbers of tokens. ``literal``: special tokens that are written in a text are words.
        An ``UnknownText`` warning where most of the texts is unknown to the vocabulary.
        """
        texts = list(texts) if forms.is_pair(texts) else texts  # there are no pairs here: a tuple of texts is several
        listed = forms.listed(texts) if isinstance(texts, str) or len(texts) else []
        for place, text in listed:
            if forms.is_pair(text):
                raise TypeError(f"{place}a vector is that of one text, got the pair {text!r}")
        recipe = self.pooling(pooling, normalise, max_length, literal)
        found = sentence_vectors.embed(self, [text for _, text in listed], recipe, threads, progress)
        found.reading.warn()
        return found.vectors[0] if forms.is_one(texts) else found.vectors

    def score(self, texts: Text | Sequence[Text], metric: Literal["original", "within_word_l2r", "whole_word"] = "original", *,
              max_length: int | None = None, truncate: bool = False, threads: int | None = None,
              progress: Callable[[int, int], None] | None = None, literal: bool = False) -> Score | list[Score]:
        """How likely the model finds each text: a ``Score`` with its pseudo-log-likelihood, token by token. See ``scoring``.

        ``texts``: as for a call; a single one gives a single Score. ``metric``: what is hidden with a token: nothing else, the
        pieces of its word to its right, or all of them. ``threads``: cores to compute on (default: all). ``progress(done, all)``
        hears numbers of tokens. ``max_length``, ``truncate``, ``literal``, and the warning: as for a call.
        """
        from minibert import scoring

        self.require_mask()
        encodings = [self._encode(text, max_length, truncate, place, literal) for place, text in forms.listed(texts)]
        Reading.of(self.tokenizer.vocab, [], [encoding.ids for encoding in encodings]).warn()
        found = scoring.score(self, encodings, metric, threads, progress)
        return found[0] if forms.is_one(texts) else found

    def generate(self, text: str, *, beams: int = 4, most: int = 32, penalty: float = 0.6,
                 literal: bool = False) -> list[Continuation]:
        """What a model that has learned to write (``train --pairs prefix``) goes on with: the likeliest, the best first.

        ``beams``: beginnings that are followed, and continuations that come back at most. ``most``: tokens of one. ``penalty``:
        what makes up for length. See ``generation``. ``literal``: special tokens that are written in the text are words.
        """
        from minibert import generation

        self.require_mask()
        return generation.continued(self, text, beams=beams, most=most, penalty=penalty, literal=literal)

    def reading(self, texts: str | Sequence[str], literal: bool = False) -> Reading:
        """How much of texts the model can read: their tokens, how many of them are unknown, the special tokens written there."""
        texts = [texts] if isinstance(texts, str) else texts
        ids = [self.tokenizer.ids(text, special_tokens=not literal) for text in texts]
        return Reading.of(self.tokenizer.vocab, texts, ids, literal)

    def show_attention(self, text: str, pair: str | None = None) -> Any:
        """A page of what every head looks at in a text, or a pair: a notebook shows it, ``.save(FILE)`` writes it.

        It is one HTML text of its own and needs no network. Where there are [MASK]s, their guesses are shown as well.
        """
        from minibert.demo import export

        return export.page(self, [text if pair is None else (text, pair)])

    def pooling(self, kind: str | None = None, normalise: bool | None = None, max_length: int | None = None,
                literal: bool = False) -> sentence_vectors.Pooling:
        """How ``embed`` makes vectors: what the model's folder says, and what is given here instead of it."""
        try:
            recipe = self._recipe
        except ValueError:
            if kind is None:
                raise
            recipe = sentence_vectors.Pooling()
        given = {"kind": kind, "normalise": normalise, "max_length": max_length, "literal": literal}
        return recipe._replace(**{key: value for key, value in given.items() if value is not None})

    def encode(self, ids: Array, attention_mask: Array | None, token_type_ids: Array | None = None) -> Array:
        """Ids, mask and types ``(B, T)`` -> the last hidden state ``(B, T, H)``.

        ``attention_mask``: None where nothing is padded. ``token_type_ids``: None where all are 0.
        """
        types = get_xp(ids).zeros_like(ids) if token_type_ids is None else token_type_ids
        return bert.answer(ids, types, attention_mask, self.parameters["bert"], self.config).last_hidden_state

    def save(self, folder: str | os.PathLike[str], dtype: Any = np.float32) -> None:
        """Write the model as a folder that ``load`` and the usual tools open, but heads that were never trained.

        See ``pretrained.save``.
        """
        pretrained.save(folder, self.config, self.parameters, self.tokenizer, dtype, without=self.initialised)

    def _encode(self, text: Text, max_length: int | None, truncate: bool, place: str = "", literal: bool = False) -> Encoding:
        if max_length is not None and max_length > self.config.max_tokens:
            raise ValueError(f"max_length is {max_length}, but the model has {self.config.max_tokens} positions")
        try:
            return forms.encode(self.tokenizer, text, max_length=self.max_length if max_length is None else max_length,
                                truncate=truncate, literal=literal)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{place}{error}") from None

    def _gates(self, head_mask: Any, B: int) -> Array:
        """The head mask on the model's device, its shape checked."""
        gates = get_xp(self.parameters.flat).asarray(head_mask, dtype=self.parameters.flat.dtype)
        L, A = self.config.num_hidden_layers, self.config.num_attention_heads
        if gates.shape not in ((L, A), (L, B, A)):
            raise ValueError(f"head_mask: expected shape (L, A) = ({L}, {A}) or (L, B, A) = ({L}, {B}, {A}), got {gates.shape}")
        return gates

    def _forward(self, encodings: Sequence[Encoding], head_mask: Array | None = None, attentions: bool = False) -> bert.Output:
        return batched.answer(self, encodings, head_mask, attentions)

    @cached_property
    def _recipe(self) -> sentence_vectors.Pooling:
        """How vectors are made, as the model's folder says: read once."""
        return sentence_vectors.Pooling.of(self.folder)

    @property
    def _pools(self) -> bool:
        """Does a text have a pooled vector?"""
        return self.config.pooler == "first" or bool(self.config.pooler and "pooler" in self.parameters["bert"])


def masks(encoding: Encoding, tokenizer: Tokenizer) -> list[int]:
    """Where the [MASK]s stand among the tokens."""
    return [t for t, number in enumerate(encoding.ids) if number == tokenizer.vocab.mask_id]


def _room(xp: Any, lengths: Sequence[int], shape: Sequence[int | None], dtype: Any, padded: bool) -> tuple[Any, list[Array]]:
    """Where the numbers of B texts go, and the part of it that is each text's: an array of zeros, or a list of arrays.

    ``shape``: of the numbers of one text, None for as many as it has tokens.
    """
    def of(n: int) -> tuple[int, ...]:
        return tuple(n if size is None else size for size in shape)

    if not padded:
        parts = [xp.zeros(of(n), dtype=dtype) for n in lengths]
        return parts, parts
    whole = xp.zeros((len(lengths), *of(max(lengths))), dtype=dtype)
    return whole, [whole[(i, *map(slice, of(n)))] for i, n in enumerate(lengths)]
