"""Effective attention, where it is known: nothing is lost on the way out of a head, and what is taken away reaches nothing."""

import numpy as np
import pytest

from minibert.analysis import effective, inside
from minibert.api import Bert
from tests import device, tiny_model

LONG = "the exception raises an exception . the abc ."  # 13 tokens, a head has 4 numbers


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture(params=[{}, {"norm_first": True}, {"layer_map": (0, 0)}, {"bottleneck_size": 6, "attention_reads": "shared"}],
                ids=["post-LN", "pre-LN", "shared", "narrow"])
def bert(request):
    config, parameters, tokenizer = tiny_model.make(**request.param)
    return Bert(config, parameters.astype(np.float64), tokenizer)


def attention(rng, *shape):
    a = rng.random(shape)
    return a / a.sum(-1, keepdims=True)


@pytest.mark.parametrize("keep_sums", [False, True])
def test_what_leaves_the_head_stays(rng, keep_sums):
    a, t = attention(rng, 9, 9), rng.normal(size=(9, 4)) @ rng.normal(size=(4, 12))
    found, rank = effective.effective(a, t, keep_sums)
    assert rank == 4
    np.testing.assert_allclose(found @ t, a @ t, rtol=0, atol=1e-12)
    assert np.abs(found - a).max() > 0.01
    assert np.allclose(found.sum(-1), 1, rtol=0, atol=1e-12) == keep_sums
    noise = rng.normal(size=(9, 9)) @ (np.eye(9) - effective.basis(t) @ effective.basis(t).T)
    if not keep_sums:
        np.testing.assert_allclose(found, a @ t @ np.linalg.pinv(t), rtol=0, atol=1e-12)
        np.testing.assert_allclose(effective.effective(a + noise, t)[0], found, rtol=0, atol=1e-12)
    assert np.linalg.matrix_rank(a - found) == (4 if keep_sums else 5)  # T − r − 1 and T − r dimensions


def test_a_short_text_has_nothing_to_choose(rng):
    a, t = attention(rng, 4, 4), rng.normal(size=(4, 6))
    found, rank = effective.effective(a, t)
    assert rank == 4
    np.testing.assert_allclose(found, a, rtol=0, atol=1e-12)


def test_tokens_that_give_the_same_are_seen_alike():
    """Two tokens give the same: of how they are told apart nothing is left, each has half of the sum."""
    found, rank = effective.effective(np.array([[.7, .1, .2]]), np.array([[1., 2], [1, 2], [0, 1]]))
    assert rank == 2
    np.testing.assert_allclose(found, [[.4, .4, .2]], rtol=0, atol=1e-12)


def test_who_has_nothing_to_give_is_not_seen():
    found, rank = effective.effective(np.array([[.7, .3]]), np.zeros((2, 5)))
    assert rank == 0
    assert found.tolist() == [[0, 0]]
    np.testing.assert_allclose(effective.effective(np.array([[.7, .3]]), np.zeros((2, 5)), keep_sums=True)[0], [[.5, .5]],
                               rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_the_rank_does_not_depend_on_the_size_of_numbers(rng, size):
    t = rng.normal(size=(9, 3)) @ rng.normal(size=(3, 12))
    assert effective.effective(attention(rng, 9, 9), size * t)[1] == 3
    assert effective.effective(attention(rng, 9, 9), (size * t).astype(np.float32))[1] == 3


def test_the_heads_of_a_model(bert):
    """A head alone: its part of the output, whose change under A′ instead of A is nothing."""
    found = effective.maps(bert, LONG)
    D = bert.config.attention_size // bert.config.num_attention_heads
    np.testing.assert_allclose(found.attention, inside.attention(bert, inside.ask(bert, LONG)), rtol=0, atol=1e-12)
    assert (found.rank == D).all()
    assert np.abs(found.effective - found.attention).max() > 0.01
    out = [bert(LONG).last_hidden_state, _with(bert, dict(enumerate(found.effective[:, None])))]
    np.testing.assert_allclose(out[1], out[0], rtol=0, atol=1e-10)


def _with(bert, attentions):
    ids, types, _ = bert.tokenizer.batch([bert.tokenizer.encode(LONG)])
    out, _ = effective.body.forward(ids, types, None, bert.parameters["bert"], bert.config, attentions=attentions)
    return out.last_hidden_state


def test_short_and_long_texts(bert):
    D = bert.config.attention_size // bert.config.num_attention_heads
    found = effective.measure(bert, ["the", LONG])
    assert found.tokens.tolist() == [3, 13]
    assert (found.rank[1] == D).all()
    np.testing.assert_allclose(found.random, np.sqrt((found.tokens[:, None, None] - found.rank) / found.tokens[:, None, None]),
                               rtol=0, atol=1e-12)
    assert (found.unseen[1] > 0.01).all()
    assert [len(axes.lines) for axes in effective.plot(found).axes] == [2]
    if D >= 3:
        assert found.unseen[0].max() < 1e-10
        assert found.random[0].max() == 0


def test_a_device_gives_what_the_host_gives():
    config, parameters, tokenizer = tiny_model.make()
    expected = effective.maps(Bert(config, parameters, tokenizer), LONG)
    found = effective.maps(Bert(config, parameters.to(device.xp), tokenizer), LONG)
    np.testing.assert_allclose(found.effective, expected.effective, rtol=0, atol=1e-5)


def test_bad_input_is_named(rng, bert):
    with pytest.raises(ValueError, match=r"of the same T tokens, got \(3, 4\) and \(3, 2\)"):
        effective.effective(np.ones((3, 4)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="no texts"):
        effective.measure(bert, [])
