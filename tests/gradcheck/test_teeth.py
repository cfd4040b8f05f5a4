"""A checker that passes everything is worse than none: every slip that people make in a backward must be caught.

Each test takes an entry of the suite, puts a wrong function in the place of the right one, and asks that the message
names the arrays whose gradients are wrong, and only those.
"""

import numpy as np
import pytest

from gradcheck import GradientError, Pair, check, suite
from minibert.layers import (
    add_norm,
    attention,
    attention_probs,
    contrastive,
    cross_entropy,
    dropout,
    gelu,
    layernorm,
    linear,
    softmax,
)
from minibert.model import pooler, pretraining
from minibert.model.heads import mlm
from minibert.numerics import normal
from minibert.parameters import NOTHING


def failure(entry, forward=None, backward=None, **changes):
    """The error that the suite's entry ends in with a wrong forward or backward."""
    arguments = suite.CASES[entry].arguments() | changes
    right = arguments["layer"]
    layer = Pair(forward or right.forward, backward or right.backward)
    with pytest.raises(GradientError) as caught:
        check(**arguments | {"layer": layer})
    return caught.value


def wrong_arrays(error):
    """Names of the arrays that the message calls wrong, in order."""
    words = [line.split() for line in str(error).splitlines()]
    return [line[4] for line in words if line[1:4] == ["the", "gradient", "of"] and line[-2:] == ["is", "wrong"]]


# --- wrong equations -------------------------------------------------------------------------------------------------


def layernorm_without(term):
    def backward(dy, cache, p, g):
        xhat, rstd = cache
        if g:
            g["weight"] += (dy * xhat).sum((0, 1))
            g["bias"] += dy.sum((0, 1))
        dxhat = dy if term == "γ" else dy * p["weight"]
        mean = 0 if term == "mean" else dxhat.mean(-1, keepdims=True)
        along = 0 if term == "x̂" else xhat * (dxhat * xhat).mean(-1, keepdims=True)
        return (1.0 if term == "rstd" else rstd) * (dxhat - mean - along)

    return backward


def test_the_layer_norm_of_these_tests_is_right_when_nothing_is_missing():
    arguments = suite.CASES["layernorm"].arguments()
    assert check(**arguments | {"layer": Pair(layernorm.forward, layernorm_without(None))}).ok


@pytest.mark.parametrize("term", ["mean", "x̂", "rstd", "γ"])
def test_layer_norm_with_a_missing_term(term):
    error = failure("layernorm", backward=layernorm_without(term))
    assert wrong_arrays(error) == ["x"]
    assert "right            weight, bias" in str(error)
    if term == "mean":
        assert "a missing sum or mean: the difference is constant along axis 2" in str(error)


def test_embedding_where_of_repeated_ids_the_last_one_wins():
    def backward(dy, cache, p, g):
        g["weight"][cache.ids] += dy

    error = failure("embedding", backward=backward, nothing=None)
    assert wrong_arrays(error) == ["weight"]
    row = int(str(error).split("worst            weight[")[1].split(",")[0])
    assert (suite.IDS == row).sum() > 1  # the message points at an id that is repeated


@pytest.mark.parametrize(("forward", "backward"), [("gelu_new", "gelu"), ("gelu", "gelu_new")])
def test_gelu_whose_backward_belongs_to_the_other_form(forward, backward):
    def forward_one(x):
        y, cache = gelu.forward(x, forward)
        return y, cache._replace(form=backward)

    assert wrong_arrays(failure("gelu", forward=forward_one)) == ["x"]


def test_gelu_without_the_product_rule():
    error = failure("gelu", backward=lambda dy, cache: dy * cache.x * normal.pdf(cache.x))
    assert wrong_arrays(error) == ["x"]


def test_softmax_without_the_sum_term():
    assert wrong_arrays(failure("softmax", backward=lambda dy, cache: dy * cache.y)) == ["x"]


def test_softmax_summed_over_the_wrong_axis():
    def backward(dy, cache):
        dx = dy * cache.y
        return dx - cache.y * dx.sum(-2, keepdims=True)

    assert wrong_arrays(failure("softmax", backward=backward)) == ["x"]


def test_softmax_that_forgets_its_mask_in_backward():
    def forward(x, mask):
        return softmax.forward(x, mask)[0], x

    error = failure("softmax", forward, lambda dy, x: softmax.backward(dy, softmax.forward(x)[1]))
    assert wrong_arrays(error) == ["x"]


def test_a_gradient_that_is_right_for_ones_upstream_only():
    error = failure("softmax", backward=lambda dy, cache: np.zeros_like(dy))  # each row adds up to 1, whatever x
    assert wrong_arrays(error) == ["x"]
    assert "never computes" in str(error)

    def backward(dy, cache, p, g):
        g["weight"] += np.einsum("bto,bti->oi", dy, cache.x)
        g["bias"] += dy[..., 0].size  # Σ dy, if dy is one
        return dy @ p["weight"]

    assert wrong_arrays(failure("linear", backward=backward, nothing=None)) == ["bias"]


def test_linear_whose_bias_is_summed_over_the_wrong_axis():
    def backward(dy, cache, p, g):
        g["weight"] += dy.T @ cache.x
        g["bias"] += dy.sum(1)
        return dy @ p["weight"]

    x = np.random.default_rng(0).standard_normal((suite.I, suite.H))  # as many rows as outputs, or it would not even run
    assert wrong_arrays(failure("linear", backward=backward, inputs={"x": x}, nothing=None)) == ["bias"]


def test_linear_whose_weight_gradient_is_transposed():
    def backward(dy, cache, p, g):
        g["weight"] += cache.x.T @ dy
        g["bias"] += dy.sum(0)
        return dy @ p["weight"]

    rng = np.random.default_rng(0)
    square = {"inputs": {"x": rng.standard_normal((3, 4))}, "params": suite.affine(rng, 4, 4)}
    error = failure("linear", backward=backward, nothing=None, **square)
    assert wrong_arrays(error) == ["weight"]
    assert "looks like       a transposed matrix" in str(error)


def test_dropout_whose_backward_forgets_the_scale():
    error = failure("dropout", backward=lambda dy, cache: dy * (cache.mask != 0))
    assert wrong_arrays(error) == ["x"]
    assert "a factor: backward gives 0.699219 times what it should" in str(error)  # 1 - 77/256


def test_dropout_whose_backward_draws_another_mask():
    other = dropout.Key(99)
    error = failure("dropout", backward=lambda dy, cache: dy * dropout.draw(other, dy.shape, 0.3, dtype=dy.dtype))
    assert wrong_arrays(error) == ["x"]


def test_cross_entropy_that_trains_on_ignored_labels():
    def backward(dloss, cache):
        return cross_entropy.backward(dloss, cache._replace(counts=np.ones_like(cache.counts)))

    assert wrong_arrays(failure("cross_entropy", backward=backward)) == ["x"]


def test_cross_entropy_divided_by_all_labels():
    error = failure("cross_entropy", backward=lambda dloss, cache: cross_entropy.backward(dloss, cache._replace(count=7)))
    assert wrong_arrays(error) == ["x"]
    assert "a factor: backward gives 0.714286 times" in str(error)  # 5 of 7 count


def test_add_norm_whose_residual_goes_through_dropout():
    def backward(dy, cache, p, g):
        dx, _ = add_norm.backward(dy, cache, p, g)
        return dx, dx

    assert wrong_arrays(failure("add_norm", backward=backward)) == ["residual"]


def test_a_dropped_residual():
    def forward(x, p):
        y, cache = linear.forward(x, p)
        return x + y, cache

    rng = np.random.default_rng(0)
    square = {"inputs": {"x": rng.standard_normal((3, 4))}, "params": suite.affine(rng, 4, 4)}
    assert wrong_arrays(failure("linear", forward, **square)) == ["x"]


def wrong_attention(entry, change):
    """Attention whose backward reads a cache that is not the one forward made."""
    return failure(
        entry,
        backward=lambda dy, cache, p, g: attention.backward(dy[0], change(cache), p, g, dy[1]),
    )


def test_attention_with_the_root_of_d_applied_once():
    error = wrong_attention("attention", lambda cache: cache._replace(q=cache.q * cache.q.shape[-1] ** 0.5))
    assert wrong_arrays(error) == ["x", "key.weight"]
    assert "key.weight is wrong" in str(error)
    assert "a factor: backward gives 1.41421 times what it should, everywhere" in str(error)


def test_attention_with_a_forgotten_mask():
    def without_mask(cache):
        scores = cache.q @ cache.k.transpose(0, 1, 3, 2)
        unmasked = attention_probs.forward(scores)[1]
        return cache._replace(probs_cache=cache.probs_cache._replace(softmax=unmasked.softmax))

    error = wrong_attention("attention", without_mask)
    assert wrong_arrays(error) == ["x", "query.weight", "query.bias", "key.weight"]
    assert "right            key.bias, value.weight, value.bias" in str(error)


def test_attention_that_forgets_the_gates_of_its_heads():
    error = wrong_attention("attention-head-mask", lambda cache: cache._replace(head_mask=np.ones_like(cache.head_mask)))
    assert wrong_arrays(error) == ["x", "query.weight", "query.bias", "key.weight"]


def test_a_gradient_that_should_cancel():
    def backward(dy, cache, p, g):
        if g:
            g["key"]["bias"] += 0.1
        return attention.backward(dy[0], cache, p, g, dy[1])

    error = failure("attention", backward=backward)
    assert wrong_arrays(error) == ["key.bias"]
    assert "a term that should cancel and does not" in str(error)


def test_a_gradient_that_is_zero_by_mathematics_must_be_declared():
    error = failure("attention", zero={})
    assert wrong_arrays(error) == ["key.bias"]
    assert "name it in zero={" in str(error)


def test_pooler_with_the_derivative_of_the_sigmoid():
    def backward(dy, cache, p, g):
        right = 1 - cache.y * cache.y
        return pooler.backward(dy / right * cache.y * (1 - cache.y), cache, p, g)

    assert wrong_arrays(failure("pooler", backward=backward)) == ["x", "dense.weight", "dense.bias"]


def test_unit_vectors_that_may_grow():
    assert wrong_arrays(failure("unit", backward=lambda dy, cache: dy / cache.s)) == ["x"]


def test_pooling_that_divides_by_all_places():
    def backward(dv, cache):
        return np.broadcast_to(dv[:, None] / suite.T, (suite.B, suite.T, suite.H)) * (cache.weights > 0)

    assert wrong_arrays(failure("pooling-mean", backward=backward)) == ["x"]


def test_a_contrastive_loss_whose_candidates_learn_nothing():
    def backward(dloss, cache):
        dx = contrastive.backward(dloss, cache)
        dx[:, 1:] = 0  # as if the vectors of the batch were data
        return dx

    assert wrong_arrays(failure("contrastive", backward=backward)) == ["x"]


def test_a_contrastive_loss_that_forgets_its_temperature():
    error = failure("contrastive", backward=lambda dloss, cache: contrastive.backward(dloss, cache._replace(temperature=1.0)))
    assert "a factor: backward gives 0.3 times what it should, everywhere" in str(error)


def test_a_position_asked_twice_whose_gradients_overwrite_each_other(monkeypatch):
    def assign(table, ids, rows):
        table[ids] = rows

    monkeypatch.setattr(mlm.embedding, "add_rows", assign)
    assert wrong_arrays(failure("mlm")) == ["x"]


def test_a_tied_decoder_whose_gradient_is_lost():
    def backward(dloss, cache, p, g):
        if g:
            g = {**g, "cls": {**g["cls"], "predictions": {**g["cls"]["predictions"], "decoder": NOTHING}}}
        pretraining.backward(pretraining.Output(loss=dloss), cache, p, g)

    error = failure("pretraining", backward=backward)
    assert wrong_arrays(error) == ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"]
    assert "worst            bert.embeddings.word_embeddings.weight[" in str(error)


def test_in_a_deep_model_the_slip_nearest_the_output_is_explained_first():
    def backward(dy, cache, p, g):
        dy = dy._replace(bert=dy.bert._replace(pooled=None))  # forgets that the pooled vector is an output, too
        pretraining.backward(dy, cache, p, g)

    error = failure("pretraining-all-outputs", backward=backward)
    assert wrong_arrays(error)[:2] == ["bert.pooler.dense.bias", "bert.pooler.dense.weight"]
    assert len(error.result.failures) == 6
    assert "wrong too, further from the output: bert.embeddings.word_embeddings.weight, " in error.result.failures[-1]


# --- broken promises -------------------------------------------------------------------------------------------------


def test_assigned_instead_of_added():
    def backward(dy, cache, p, g):
        g["weight"][...] = np.einsum("bto,bti->oi", dy, cache.x)
        g["bias"] += dy.sum((0, 1))
        return dy @ p["weight"]

    message = str(failure("linear", backward=backward, nothing=None))
    assert message.startswith("linear: backward does not add to the gradient of weight that it finds in g: g[weight][")
    assert "where += belongs" in message


def test_a_cache_that_backward_writes_into():
    def backward(dy, cache):
        dx = softmax.backward(dy, cache)
        np.multiply(cache.y, dy, out=cache.y)
        return dx

    assert str(failure("softmax", backward=backward)).startswith("softmax: backward changes cache.y: cache.y[")


def test_an_upstream_gradient_that_backward_writes_into_unannounced():
    def backward(dy, cache):
        dy *= cache.mask
        return dy

    message = str(failure("dropout", backward=backward))
    assert message.startswith("dropout: backward changes dy: dy[")
    arguments = suite.CASES["dropout"].arguments()
    assert check(**arguments | {"layer": Pair(dropout.forward, backward), "overwrites_dy": True}).ok


def test_inputs_and_parameters_that_forward_or_backward_writes_into():
    def forward(x, p):
        x += 1
        return linear.forward(x, p)

    assert str(failure("linear", forward)).startswith("linear: forward changes x: x[")

    def backward(dy, cache, p, g):
        dx = linear.backward(dy, cache, p, g)
        p["bias"] -= 0.1
        return dx

    assert str(failure("linear", backward=backward)).startswith("linear: backward changes p.bias: p.bias[")


def test_a_backward_that_remembers():
    calls = []

    def backward(dy, cache):
        calls.append(1)
        return gelu.backward(dy, cache) * len(calls)

    message = str(failure("gelu", backward=backward))
    assert message.startswith("gelu: backward called twice with the same cache gives two gradients of x: x[")


def test_another_dx_where_nobody_wants_parameter_gradients():
    def backward(dy, cache, p, g):
        dx = layernorm.backward(dy, cache, p, g)
        return dx if g else -dx

    message = str(failure("layernorm", backward=backward))
    assert message.startswith("layernorm: the gradient of x is another when parameter gradients are not wanted: x[")


def test_float32_that_becomes_float64():
    def widened(x):
        return x / np.sqrt(np.float64(64)), x.shape

    message = str(failure("dropout-off", lambda x, **_: widened(x), lambda dy, _: dy / 8.0))
    assert message.startswith("dropout-off: float32 in, but y is float64")

    def kept(x, **_):
        return x * 2.0, x.astype(np.result_type(x.dtype, np.float64))

    message = str(failure("dropout-off", kept, lambda dy, _: dy * 2.0))
    assert message.startswith("dropout-off: float32 in, but cache is float64")

    def wide_dx(dy, cache):
        return dropout.backward(dy, cache) * np.float64(1)

    message = str(failure("dropout-off", backward=wide_dx))
    assert message.startswith("dropout-off: float32 in, but the gradient of x is float64")


def test_a_gradient_of_the_wrong_shape_or_none_at_all():
    def backward(dy, cache, p, g):
        return linear.backward(dy, cache, p, g).sum(0)

    assert str(failure("linear", backward=backward)) == (
        "linear: the gradient of x has shape (5, 6), expected (4, 5, 6), as x itself"
    )
    assert str(failure("dropout", backward=lambda dy, cache: None)) == (
        "dropout: backward returns 0 gradients; floating inputs that want one: x"
    )
    assert str(failure("dropout", backward=lambda dy, cache: {"y": dy})) == "dropout: backward returns no gradient of x"
    assert str(failure("dropout", forward=lambda x, **_: x)) == "dropout: forward must return (y, cache), got ndarray"
