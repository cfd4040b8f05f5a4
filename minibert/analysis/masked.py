"""The surprise at hidden words of a corpus, whatever is done to the model: heads switched off, attention changed.

A share of the tokens of each text, at least one, is hidden behind [MASK], always the same ones for a seed. Every change is judged
on the same tokens, so that two of them are compared token by token: differences have a far smaller error than levels.

Attention is changed by running a block twice. The first time says what the weights would be, the second time others stand in for
them. So it works for every kind of block. Its backward is that of the second run: the new weights count as given, and nothing
flows into the queries and keys that they were made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import batched
from minibert.analysis import inside
from minibert.backend import Array, get_xp, refuse_nan, to_numpy, widen
from minibert.model import encoder, pretraining
from minibert.model.encoder import Layer
from minibert.model.pretraining import Inputs, Output
from minibert.parameters import NOTHING, Tree
from minibert.text import Encoding, forms
from minibert.text.forms import Text
from minibert.workers import Workers

if TYPE_CHECKING:
    from minibert.pretrained import Trained

TOKENS = 2048  # of a batch, with padding

Change = Callable[[int, Array, Array], Array]  # layer, its weights (B, A, T, T), real (B, T) -> other weights


class Batch(NamedTuple):
    """Some texts with hidden tokens, on the model's device."""

    inputs: Inputs  # ids (B, T), positions and labels (M,)
    real: Array  # (B, T) bool: what is no padding
    added: np.ndarray  # (B, T) bool: [CLS], [SEP] and padding
    texts: np.ndarray  # (B,) their numbers in the corpus


def batches(bert: Trained, texts: Sequence[Text], share: float = 0.15, seed: int = 0) -> list[Batch]:
    """The texts, longest first, with ``max(1, round(share·n))`` of the n tokens of each hidden. Its end is cut off where a text
    is too long; one of which no token is left is left out.
    """
    encodings = [forms.encode(bert.tokenizer, text, max_length=bert.max_length, truncate=True) for text in texts]
    places = hidden(bert, encodings, share, seed)
    some = np.array([number for number, chosen in enumerate(places) if len(chosen)], np.int64)
    if not len(some):
        raise ValueError("there are no words to hide: give texts that have some")
    cut = batched.cut(np.array([len(encodings[i]) for i in some]), TOKENS, alike=bert.config.word_window > 1)
    return [batch_of(bert, some[batch], encodings, places) for batch in cut]


def hidden(bert: Trained, encodings: Sequence[Encoding], share: float = 0.15, seed: int = 0) -> list[np.ndarray]:
    """Which tokens of each text are hidden."""
    inside.needs_head(bert)
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    vocab, places = bert.tokenizer.vocab, []
    for number, encoding in enumerate(encodings):
        own = np.flatnonzero(~(np.isin(encoding.ids, sorted({*vocab.special_ids} - {vocab.unk_id}))))
        rng = np.random.default_rng([seed, number])
        places.append(np.sort(rng.permutation(own)[:max(1, round(share * len(own)))]))
    return places


def losses(bert: Trained, corpus: Sequence[Batch], gates: np.ndarray | None = None, change: Change | None = None) -> np.ndarray:
    """``(N,)`` −ln p(truth) of every hidden token, in nats. ``gates`` ``(L, A)``: 0 switches a head off, 1 leaves it on."""
    V, xp = len(bert.tokenizer.vocab), get_xp(bert.parameters.flat)

    def of(batch: Batch) -> np.ndarray:
        z = widen(forward(bert, batch, gates, change)[0].logits[:, :V])  # (M, words): rows that are padding are no words
        z = z - z.max(-1, keepdims=True)
        return to_numpy(xp.log(xp.exp(z).sum(-1)) - z[xp.arange(len(z)), batch.inputs.labels])

    if xp is np:
        with Workers() as workers:
            found = np.concatenate(workers.map(of, corpus))
    else:
        found = np.concatenate([of(batch) for batch in corpus])
    refuse_nan(found)
    return found


def forward(bert: Trained, batch: Batch, gates: Any = None, change: Change | None = None,
            wrap: Callable[[Sequence[Layer]], Sequence[Layer]] = encoder.forgetful) -> tuple[Output, pretraining.Cache]:
    """One batch through the model; the loss is the sum over its hidden tokens. ``gates``: ``(L, A)``, or ``(L, B, A)``.

    ``wrap``: what is made of the layers besides, by default the frugal ones that no backward pass can follow.
    """
    p, config = bert.parameters, bert.config

    def layers(p: Tree, g: Tree) -> Sequence[Layer]:
        own = encoder.stack(p, g, config)
        return wrap(changed(own, change, batch.real) if change else own)

    gates = None if gates is None else get_xp(p.flat).asarray(gates, dtype=p.flat.dtype)
    return pretraining.forward(batch.inputs, p, config, counts=(1, 1), head_mask=gates, layers=layers)


def changed(layers: Sequence[Layer], change: Change, real: Array) -> list[Layer]:
    """The same layers with ``change(layer, weights, real)`` in the place of their attention. ``real`` ``(B, T)``: no padding."""
    def of(number: int, module: ModuleType) -> Any:
        def forward(x: Array, p: Any, config: Any, mask: Any = None, key: Any = None, head_mask: Any = None,
                    override: Any = None) -> tuple:
            (_, weights), _ = module.forward(x, p, config, mask, None, None, override)
            return module.forward(x, p, config, mask, key, head_mask, change(number, weights, real))

        return SimpleNamespace(forward=forward, backward=module.backward)

    return [(of(number, module), p, g) for number, (module, p, g) in enumerate(layers)]


def attention_gradients(bert: Trained, batch: Batch) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The attention of each layer, L of ``(B, A, T, T)``, and ∂loss/∂ of each of its weights; the loss is the sum over the
    hidden tokens.

    The gradient counts all that happens above, where other layers attend to what this weight lets through. A block's backward
    gives it to whoever had put the weights in from outside; so it is asked a second time, as if that had been so.
    """
    kept = {}

    def of(number: int, module: ModuleType) -> Any:
        def heard(dy: Array, cache: Any, p: Any, g: Any, dweights: Any = None) -> Any:
            given = cache._replace(attention=cache.attention._replace(probs_cache=None))
            kept[number] = module.backward(dy, given, p, NOTHING, dweights).override
            return module.backward(dy, cache, p, g, dweights)

        return SimpleNamespace(forward=module.forward, backward=heard)

    out, cache = forward(bert, batch, wrap=lambda layers: [(of(i, module), p, g) for i, (module, p, g) in enumerate(layers)])
    pretraining.backward(Output(loss=1.0), cache, bert.parameters, NOTHING)
    return [to_numpy(a) for a in out.bert.attentions], [to_numpy(kept[i]) for i in range(len(kept))]


def batch_of(bert: Trained, texts: np.ndarray, encodings: Sequence[Encoding], places: Sequence[np.ndarray]) -> Batch:
    """The texts of these numbers, with the tokens at their places hidden."""
    xp = get_xp(bert.parameters.flat)
    ids, mask, positions = batched.padded(bert, [encodings[i].ids for i in texts])
    types, added = np.zeros(ids.shape, np.int64), np.ones(ids.shape, bool)
    for row, i in enumerate(texts):
        types[row, :len(encodings[i])] = encodings[i].token_type_ids
        added[row, :len(encodings[i])] = encodings[i].special_tokens_mask
    flat = xp.asarray(np.concatenate([row * ids.shape[1] + places[i] for row, i in enumerate(texts)]))
    labels = ids.reshape(-1)[flat]
    ids.reshape(-1)[flat] = bert.tokenizer.vocab.mask_id
    real = xp.ones(ids.shape, bool) if mask is None else mask > 0
    return Batch(Inputs(ids, xp.asarray(types), mask, flat, labels, position_ids=positions), real, added, texts)
