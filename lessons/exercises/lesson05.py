"""The exercises of lesson 5, embeddings, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.config import BertConfig
from minibert.layers import embedding, layernorm
from minibert.model import embeddings

B, T, H, V = 3, 4, 5, 7
ROWS = 6  # of the table of positions
IDS = np.array([[6, 2, 2, 4], [0, 2, 6, 6], [4, 1, 2, 0]])  # (B, T); 3 and 5 do not occur
TYPES = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]])  # (B, T)


@exercise("(ids, token_type_ids, words, positions, types)", look="Three tables and a sum", level="easy")
def embed(answer: Callable[..., Any]) -> None:
    """The sum of the three embeddings, (B, T, H). ids and token_type_ids are (B, T), words (V, H), types (2, H);
    positions has T rows of H numbers, or more."""
    rng = np.random.default_rng(51)
    words, positions, types = (rng.standard_normal((n, H)) for n in (V, ROWS, 2))
    got = answer(IDS.copy(), TYPES.copy(), words.copy(), positions.copy(), types.copy())
    expect(np.shape(got) == (B, T, H), f"expected the shape (B, T, H) = {(B, T, H)}, got {np.shape(got)}")
    e = {"word_embeddings": words, "position_embeddings": positions, "token_type_embeddings": types}
    p = {name: {"weight": table} for name, table in e.items()} | {"LayerNorm": {"weight": np.ones(H), "bias": np.zeros(H)}}
    config = BertConfig(vocab_size=V, hidden_size=H, num_attention_heads=1, max_position_embeddings=ROWS)
    right, _ = embeddings.forward(IDS, TYPES, p, config)
    normed = layernorm.forward(np.asarray(got, float), p["LayerNorm"])[0]
    for name in e:
        less, _ = embeddings.forward(IDS, TYPES, p | {name: {"weight": np.zeros_like(e[name])}}, config)
        expect(not np.allclose(normed, less), f"the {name} are missing from the sum")
    if np.allclose(got, right):
        raise Wrong("give the sum as it is, without a layer norm")
    close(normed, right, "the sum (compared after a layer norm)")
    moved = answer(IDS, TYPES, words + 2.0, positions, types)
    close(np.asarray(moved) - got, np.full((B, T, H), 2.0), "how the sum changes when 2 is added to every word vector")


@exercise("(dy, ids, V)", look="The gradient of a lookup", level="medium")
def lookup_backward(answer: Callable[..., Any]) -> None:
    """The gradient of a table of V rows that was looked up: dy is the upstream gradient (B, T, H), ids are (B, T); the result is
    (V, H)."""
    dy = np.random.default_rng(52).standard_normal((B, T, H))
    g = {"weight": np.zeros((V, H))}
    embedding.backward(dy, embedding.Cache(IDS), {}, g)
    got = answer(dy.copy(), IDS.copy(), V)
    expect(np.shape(got) == (V, H), f"expected the shape (V, H) = {(V, H)}, got {np.shape(got)}")
    last = np.zeros((V, H))
    for i, row in zip(IDS.ravel(), dy.reshape(-1, H)):
        last[i] = row
    if np.allclose(got, last):
        raise Wrong("of the rows of a repeated id only the last is left: `g[ids] += d` loses the others; they must be added")
    expect(not np.any(np.asarray(got)[[3, 5]]), "tokens 3 and 5 do not occur: their rows must be zero")
    close(got, g["weight"], "the gradient")
    single = np.array([2, 2, 5])
    g = {"weight": np.zeros((V, H))}
    embedding.backward(dy[0, :3], embedding.Cache(single), {}, g)
    close(answer(dy[:1, :3], single[None], V), g["weight"], "the gradient of a batch with one text of three tokens")


@exercise("(de, rows)", look="The gradient of a lookup", level="medium")
def positions_backward(answer: Callable[..., Any]) -> None:
    """The gradient of the position table, which has so many rows of H numbers: de is the upstream gradient of the sum, (B, T, H).
    T is at most rows."""
    rng = np.random.default_rng(53)
    de, table = rng.standard_normal((B, T, H)), rng.standard_normal((ROWS, H))
    got = answer(de.copy(), ROWS)
    if np.shape(got) in ((T, H), (B, T, H), (B, ROWS, H)):
        raise Wrong(f"expected the shape of the table, {(ROWS, H)}, got {np.shape(got)}: all texts share the table, "
                    "and only its first T rows were used")
    close(got, _slopes(lambda p: float((de * p[:T]).sum()), table), "the gradient", 1e-6)


@exercise("(dy, ids, attention_mask, V)", look="The gradient of a lookup", level="hard")
def mean_backward(answer: Callable[..., Any]) -> None:
    """A small model: each text becomes the mean of the word vectors of its real tokens, y[b] = sum over t of mask[b,t]
    words[ids[b,t]] / (number of real tokens of b). Given dy (B, H), ids and attention_mask (B, T), and V: the gradient of
    words, (V, H)."""
    rng = np.random.default_rng(54)
    dy, words = rng.standard_normal((B, H)), rng.standard_normal((V, H))
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])

    def loss(table: np.ndarray) -> float:
        vectors, _ = embedding.forward(IDS, {"weight": table})
        return float(sum(dy[b] @ vectors[b][mask[b] == 1].mean(0) for b in range(B)))

    right = _slopes(loss, words)
    got = answer(dy.copy(), IDS.copy(), mask.copy(), V)
    expect(np.shape(got) == (V, H), f"expected the shape (V, H) = {(V, H)}, got {np.shape(got)}")
    unpadded = _slopes(lambda table: float((dy * embedding.forward(IDS, {"weight": table})[0].mean(1)).sum()), words)
    expect(not np.allclose(got, unpadded), "padding got a share: only real tokens are in the mean")
    expect(not np.any(np.asarray(got)[[3, 5]]), "tokens 3 and 5 do not occur: their rows must be zero")
    close(got, right, "the gradient (measured by central differences; a token may occur several times)", 1e-6)


@exercise(look="Three tables and a sum", level="easy")
def parameters_of_base(answer: float) -> None:
    """How many numbers are there in the three embedding tables of BERT-base? V = 30,522, H = 768, 512 positions, 2 token types.
    (Together, without the layer norm.)"""
    from minibert.memory import parameter_counts

    counts = parameter_counts(BertConfig.preset("base"))
    if not isinstance(answer, (int, float, np.integer)):
        raise Wrong(f"expected a number, got {type(answer).__name__}")
    expect(answer != counts["word"], "the tables of positions and token types are missing")
    expect(answer != counts["word"] + counts["position"] + counts["type"] + counts["norm"], "leave out the layer norm")
    expect(answer == counts["word"] + counts["position"] + counts["type"], f"got {answer:,}: each table has its rows times H")


def _slopes(f: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """∂f/∂x by central differences."""
    slopes = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        slopes[i] = (f(up) - f(down)) / (2 * h)
    return slopes
