"""Attention in blocks of queries: the numbers of the whole map, in the memory of a block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from minibert.layers import attention, attention_in_blocks, softmax
from minibert.layers.dropout import Key
from minibert.model import bert
from minibert.parameters import Layout
from tests.model.examples import random_parameters, small_config

B, A, T, H = 2, 3, 7, 6


@pytest.fixture
def short(monkeypatch):
    """Texts of four tokens are long ones here, and two queries are asked at a time."""
    for name, value in (("LONG", 4), ("AT_ONCE", 1), ("LEAST", 2)):
        monkeypatch.setattr(attention_in_blocks, name, value)


def layer(rng):
    layout = Layout(attention.shapes(H))
    p, g = (layout.tree(flat) for flat in (rng.standard_normal(layout.size), np.zeros(layout.size)))
    return p, g, g["query"]["weight"].base


@pytest.mark.parametrize("mask", [None, "padding", "causal"])
def test_the_numbers_are_those_of_the_whole_map(short, mask):
    rng = np.random.default_rng(0)
    x, dcontext = rng.standard_normal((2, B, T, H))
    p, g, flat = layer(rng)
    if mask:
        visible = np.ones((B, T), int)
        visible[0, 4:] = 0
        mask = softmax.additive_mask(visible if mask == "padding" else visible[:, None] * np.tri(T, dtype=int), np.float64)
    found = []
    for gates in (None, np.ones(A)):  # the second keeps the whole map
        (context, weights), cache = attention.forward(x, p, A, mask, head_mask=gates)
        assert (weights is None) == (gates is None)
        flat[...] = 0
        found.append((context, attention.backward(dcontext, cache, p, g).dx, flat.copy()))
    for in_blocks, whole in zip(*found):
        np.testing.assert_allclose(in_blocks, whole, rtol=0, atol=1e-13)


def test_each_block_drops_others_and_backward_drops_the_same_again(short):
    q = np.zeros((1, 1, 8, 8))
    key, v = Key(3), np.eye(8)[None, None]
    first, cache = attention_in_blocks.forward(q, q, v, rate=0.5, key=key, rows=4)  # the context is the map itself
    again, _ = attention_in_blocks.forward(q, q, v, rate=0.5, key=key, rows=4)
    np.testing.assert_array_equal(first, again)
    kept = first[0, 0] != 0
    assert 0 < kept.sum() < 64
    assert (kept[:4] != kept[4:]).any()
    _, _, dv = attention_in_blocks.backward(np.ones_like(v), cache)
    np.testing.assert_allclose(dv[0, 0, :, 0], first[0, 0].sum(0))


def test_how_many_queries_are_asked_at_a_time():
    for tokens, rows in ((7, 7), (1023, 1023), (1024, 512), (2048, 256), (100_000, 64)):
        assert attention_in_blocks.rows_of(tokens) == rows


def test_a_map_of_2048_tokens_is_never_in_memory():
    rng = np.random.default_rng(0)
    q, k, v, d = rng.standard_normal((4, 1, 12, 2048, 64), np.float32) / 8
    rows = attention_in_blocks.rows_of(2048)
    for rate, key in ((0.0, None), (0.1, Key(0))):
        tracemalloc.start()
        context, cache = attention_in_blocks.forward(q, k, v, None, rate, key, rows)
        _, forward = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        attention_in_blocks.backward(d, cache)
        _, backward = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert forward - context.nbytes < 25e6
        assert backward - 4 * context.nbytes < 25e6  # dq, dk and dv are results


def test_a_model_gives_its_maps_where_they_are_asked_for_and_says_what_to_do_where_not(short):
    config = small_config()
    parameters = random_parameters(config)
    ids = np.random.default_rng(0).integers(5, 20, (2, 6))
    given = (ids, np.zeros_like(ids), None, parameters["bert"], config)
    out, cache = bert.forward(*given)
    kept, _ = bert.forward(*given, maps=True)
    assert set(map(type, out.attentions)) == {type(None)}
    assert [a.shape for a in kept.attentions] == [(2, config.num_attention_heads, 6, 6)] * config.num_hidden_layers
    np.testing.assert_allclose(out.last_hidden_state, kept.last_hidden_state, atol=1e-6)
    np.testing.assert_array_equal(bert.answer(*given, attentions=True).attentions[0], kept.attentions[0])
    d = bert.Output(attentions=[*[None] * (config.num_hidden_layers - 1), kept.attentions[-1]])
    with pytest.raises(ValueError, match="attention of 6 tokens was not kept, so it takes no gradient: give a head_mask"):
        bert.backward(d, cache, parameters["bert"], parameters["bert"])
