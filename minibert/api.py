"""What a user of the package meets: ``minibert.load()`` and the ``Bert`` that it returns."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from minibert import backend, pretrained, sentence_vectors
from minibert.backend import Array, get_xp, to_numpy
from minibert.config import BertConfig
from minibert.layers import softmax
from minibert.model import bert
from minibert.model.heads import mlm
from minibert.parameters import Parameters
from minibert.pretrained import bundled
from minibert.text import Encoding, Reading, Tokenizer
from minibert.text.reading import as_words

Text = str | tuple[str, str]
Guesses = list[tuple[str, float]]


class Output(NamedTuple):
    """What the model says about B texts of at most T tokens, zero wherever a text has ended. The arrays are on its device."""

    last_hidden_state: Array  # (B, T, H) one vector per token
    pooled: Array  # (B, H) one vector per text
    hidden_states: list[Array] | None  # L+1 of (B, T, H): the embeddings, then after each layer
    attentions: list[Array] | None  # L of (B, A, T, T): how much each token (row) takes from each other (column)
    attention_mask: Array  # (B, T) 1 for tokens, 0 behind the end
    tokens: list[list[str]]  # B lists of tokens as text, without padding


def load(model: str | os.PathLike[str] | None = None, device: Literal["auto", "cpu", "gpu"] = "auto",
         dtype: Any = np.float32) -> Bert:
    """A trained model, ready to be asked: the bundled one, or that of a run's folder or a checkpoint's.

    ``device``: ``"gpu"`` needs CuPy and an NVIDIA GPU, ``"auto"`` takes one if there is one. ``dtype``: float32 or float64, on
    the GPU float16 as well. Raises FileNotFoundError, ValueError or RuntimeError, each with one clear sentence.
    """
    folder = bundled() if model is None else Path(model)
    xp, where = backend.choose(device)
    found = pretrained.load(folder, xp, dtype)
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
                 head_mask: Any = None, max_length: int | None = None, truncate: bool = False, batch_size: int = 32,
                 literal: bool = False) -> Output:
        """Texts -> Output. ``texts``: a string, a (string, string) pair, or a list of these.

        ``hidden_states``, ``attentions``: return these as well. ``head_mask`` (L, A) or (L, B, A): 1 keeps a head, 0 switches it
        off. ``batch_size``: how many texts are computed at a time, which bounds the memory; it does not change the result.

        A text of more than ``max_length`` tokens (default: what the model can read) is a ValueError, unless ``truncate`` is true:
        then its end is cut off. ``literal``: special tokens that are written in a text, such as [SEP], are words and not those
        tokens. An ``UnknownText`` warning where most of the texts is unknown to the vocabulary.
        """
        encodings = [self._encode(text, max_length, truncate, place, literal) for place, text in _listed(texts)]
        Reading.of(self.tokenizer.vocab, [], [encoding.ids for encoding in encodings]).warn()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if head_mask is not None:
            head_mask = self._gates(head_mask, len(encodings))
        parts = []
        for start in range(0, len(encodings), batch_size):
            chunk = slice(start, start + batch_size)
            gates = head_mask if head_mask is None or head_mask.ndim == 2 else head_mask[:, chunk]
            out, mask = self._forward(encodings[chunk], gates, attentions)
            real = mask.astype(self.parameters.flat.dtype)[:, :, None]  # (B, T, 1)
            states = [h * real for h in out.hidden_states] if hidden_states else []
            weights = [w * real[:, None] for w in out.attentions] if attentions else []  # columns of padding are zero already
            parts.append([out.last_hidden_state * real, out.pooled, mask, *states, *weights])
        last, pooled, mask, *rest = map(_stacked, zip(*parts))
        count = self.config.num_hidden_layers + 1 if hidden_states else 0
        return Output(last, pooled, rest[:count] if hidden_states else None, rest[count:] if attentions else None, mask,
                      [encoding.tokens for encoding in encodings])

    def fill_mask(self, text: str, top: int = 5, *, pair: str | None = None, truncate: bool = False,
                  literal: bool = False) -> Guesses | list[Guesses]:
        """The ``top`` likeliest words for a [MASK], each with its probability: ``[("this", 0.31), …]``.

        Several [MASK]: a list of such lists, one for each, in order (each is guessed without knowing the others). ``pair``: a
        second text that follows the first. ``literal``: other special tokens that are written in the text are words.

        ValueError where there is no [MASK], or the text is too long and ``truncate`` false; an ``UnknownText`` warning where
        most of the text is unknown to the vocabulary.
        """
        words = self.tokenizer.vocab.tokens
        if not 1 <= top <= len(words):
            raise ValueError(f"top must be from 1 to {len(words)}, the size of the vocabulary, got {top}")
        if lacking := sorted(name for name in self.initialised if name.startswith("cls.predictions.")):
            why = next((note for note in self.notes if note.endswith("the masked-word head is left out")), ", ".join(lacking))
            raise ValueError(f"{self.folder} has no masked-word head ({why}): without it no word can be guessed. "
                             "It holds an encoder; take a checkpoint with a head for that, or train one")
        self.tokenizer.vocab.require("a guess", "[MASK]")
        if literal:
            vocab = self.tokenizer.vocab
            text, pair = (part if part is None else as_words(vocab, part, vocab.mask_id) for part in (text, pair))
        encoding = self._encode(text if pair is None else (text, pair), None, truncate)
        places = masks(encoding, self.tokenizer)
        if not places:
            mask = self.tokenizer.vocab.tokens[self.tokenizer.vocab.mask_id]
            raise ValueError(f'there is no {mask} in {text!r}: write {mask} where a word is to be guessed, '
                             f'as in "the {mask} statement raises an exception."')
        Reading.of(self.tokenizer.vocab, [], [encoding.ids]).warn()
        out, _ = self._forward([encoding])
        positions = get_xp(self.parameters.flat).asarray(places)
        logits, _ = mlm.forward(out.last_hidden_state, positions, self.parameters["cls"]["predictions"], self.config)
        probabilities = to_numpy(softmax.forward(logits[:, :len(words)])[0])  # (M, words): rows that are padding are no words
        order = np.argsort(-probabilities, axis=-1, kind="stable")[:, :top]
        answers = [[(words[i], float(row[i])) for i in best] for row, best in zip(probabilities, order)]
        return answers[0] if len(answers) == 1 else answers

    def embed(self, texts: str | Sequence[str], pooling: Literal["mean", "cls", "max"] | None = None,
              normalise: bool | None = None, *, max_length: int | None = None, threads: int | None = None,
              progress: Callable[[int, int], None] | None = None, literal: bool = False) -> np.ndarray:
        """One vector for each text: ``(N, H)``, or ``(H,)`` for a single string. See ``sentence_vectors``.

        ``pooling``, ``normalise``, ``max_length``: by default what the model's folder says, else the mean over the tokens, as it
        is, of as many tokens as the model can read. What is longer loses its end. ``threads``: cores to compute on (default:
        all). ``progress(done, all)`` hears numbers of tokens. ``literal``: special tokens that are written in a text are words.
        An ``UnknownText`` warning where most of the texts is unknown to the vocabulary.
        """
        for i, text in enumerate([texts] if isinstance(texts, str) else texts):
            if not isinstance(text, str):
                raise TypeError(f"texts[{i}] must be a string, got {text!r}")
        recipe = self.pooling(pooling, normalise, max_length, literal)
        found = sentence_vectors.embed(self, [texts] if isinstance(texts, str) else texts, recipe, threads, progress)
        found.reading.warn()
        return found.vectors[0] if isinstance(texts, str) else found.vectors

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
            recipe = sentence_vectors.Pooling.of(self.folder)
        except ValueError:
            if kind is None:
                raise
            recipe = sentence_vectors.Pooling()
        given = {"kind": kind, "normalise": normalise, "max_length": max_length, "literal": literal}
        return recipe._replace(**{key: value for key, value in given.items() if value is not None})

    def encode(self, ids: Array, attention_mask: Array | None) -> Array:
        """Ids ``(B, T)`` and mask ``(B, T)``, or None where nothing is padded, -> the last hidden state ``(B, T, H)``."""
        types = get_xp(ids).zeros_like(ids)
        return bert.answer(ids, types, attention_mask, self.parameters["bert"], self.config).last_hidden_state

    def save(self, folder: str | os.PathLike[str], dtype: Any = np.float32) -> None:
        """Write the model as a folder that ``load`` and the usual tools open, but heads that were never trained.

        See ``pretrained.save``.
        """
        pretrained.save(folder, self.config, self.parameters, self.tokenizer, dtype, without=self.initialised)

    def _encode(self, text: Text, max_length: int | None, truncate: bool, place: str = "", literal: bool = False) -> Encoding:
        if max_length is not None and max_length > self.config.max_tokens:
            raise ValueError(f"max_length is {max_length}, but the model has {self.config.max_tokens} positions")
        first, second = (text, None) if isinstance(text, str) else text
        try:
            return self.tokenizer.encode(first, second, max_length=self.max_length if max_length is None else max_length,
                                         truncate=truncate, special_tokens=not literal)
        except ValueError as error:
            raise ValueError(f"{place}{error}") from None

    def _gates(self, head_mask: Any, B: int) -> Array:
        """The head mask on the model's device, its shape checked."""
        gates = get_xp(self.parameters.flat).asarray(head_mask, dtype=self.parameters.flat.dtype)
        L, A = self.config.num_hidden_layers, self.config.num_attention_heads
        if gates.shape not in ((L, A), (L, B, A)):
            raise ValueError(f"head_mask: expected shape (L, A) = ({L}, {A}) or (L, B, A) = ({L}, {B}, {A}), got {gates.shape}")
        return gates

    def _forward(self, encodings: Sequence[Encoding], head_mask: Array | None = None, attentions: bool = False) -> tuple:
        """One batch: bert.Output and the attention mask. Ids are checked where they are still on the host."""
        xp = get_xp(self.parameters.flat)
        ids, types, mask = (xp.asarray(x) for x in self.tokenizer.batch(encodings))
        return bert.answer(ids, types, mask, self.parameters["bert"], self.config, head_mask, attentions), mask


def masks(encoding: Encoding, tokenizer: Tokenizer) -> list[int]:
    """Where the [MASK]s stand among the tokens."""
    return [t for t, number in enumerate(encoding.ids) if number == tokenizer.vocab.mask_id]


def _listed(texts: Text | Sequence[Text]) -> list[tuple[str, Text]]:
    """(what messages call it, text or pair) of every text; TypeError or ValueError for anything else."""
    if isinstance(texts, str) or (isinstance(texts, tuple) and _is_text(texts)):
        return [("", texts)]
    if not isinstance(texts, (list, tuple)):
        raise TypeError(f"texts must be a string, a (string, string) pair or a list of these, got {type(texts).__name__}")
    if not texts:
        raise ValueError("texts is empty: pass at least one text")
    for i, text in enumerate(texts):
        if not _is_text(text):
            raise TypeError(f"texts[{i}] must be a string or a (string, string) pair, got {text!r}")
    return [(f"texts[{i}]: ", text) for i, text in enumerate(texts)]


def _is_text(x: object) -> bool:
    return isinstance(x, str) or (isinstance(x, (tuple, list)) and len(x) == 2 and all(isinstance(part, str) for part in x))


def _stacked(parts: Sequence[Array]) -> Array:
    """Batches of different lengths one below the other; zeros fill up the shorter ones."""
    if len(parts) == 1:
        return parts[0]
    shape = [max(sizes) for sizes in zip(*(part.shape for part in parts))]
    whole = get_xp(parts[0]).zeros((sum(map(len, parts)), *shape[1:]), dtype=parts[0].dtype)
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
        start += len(part)
    return whole
