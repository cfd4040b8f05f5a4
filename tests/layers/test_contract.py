"""What every layer promises: it keeps the dtype, changes none of its inputs, and its backward can be called twice."""

import pkgutil

import numpy as np
import pytest

from minibert import layers
from minibert.layers import (
    absolute_error,
    activation,
    add_norm,
    attention,
    attention_in_blocks,
    attention_probs,
    attentive_pooling,
    batch_norm,
    bias_gelu,
    bias_relu,
    bias_tanh,
    binary_cross_entropy,
    contrastive,
    conv1d,
    cosine,
    cosine_distance,
    cross_entropy,
    dense_norm,
    dropout,
    embedding,
    feature_map,
    gelu,
    gru,
    hard_concrete,
    kl_divergence,
    layernorm,
    linear,
    mixture,
    neighbours,
    no_norm,
    norm,
    pooling,
    softmax,
    squared_distance,
    squared_error,
    token_error,
    unit,
)
from minibert.layers.dropout import Key
from minibert.parameters import NOTHING
from tests.model.examples import arrays

B, T, A, D = 2, 5, 2, 3
H = A * D
KEY = Key(seed=4, step=1)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
CASES = {}


def case(name):
    """Register ``build(rng, dtype) -> (module, inputs, p, options)``; p is None for layers without parameters."""
    def register(build):
        CASES[name] = build
        return build
    return register


def dense(rng, dtype, out, into):
    return {"weight": rng.standard_normal((out, into)).astype(dtype), "bias": rng.standard_normal(out).astype(dtype)}


def scale(rng, dtype):
    return {"weight": rng.standard_normal(H).astype(dtype), "bias": rng.standard_normal(H).astype(dtype)}


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


@case("linear")
def _(rng, dtype):
    return linear, (normal(rng, dtype, B, T, H),), dense(rng, dtype, 7, H), {}


@case("embedding")
def _(rng, dtype):
    return embedding, (rng.integers(0, 4, (B, T)),), {"weight": normal(rng, dtype, 9, H)}, {}


@case("layernorm")
def _(rng, dtype):
    return layernorm, (normal(rng, dtype, B, T, H),), scale(rng, dtype), {}


@case("no norm")
def _(rng, dtype):
    return no_norm, (normal(rng, dtype, B, T, H),), scale(rng, dtype), {}


@case("norm, by name")
def _(rng, dtype):
    return norm, (normal(rng, dtype, B, T, H),), scale(rng, dtype), {"kind": "no_norm"}


@case("dense & norm")
def _(rng, dtype):
    p = {"dense": dense(rng, dtype, H, 7), "LayerNorm": scale(rng, dtype)}
    options = {"kind": "no_norm", "rate": 0.3, "key": KEY}
    return dense_norm, (normal(rng, dtype, B, T, 7), normal(rng, dtype, B, T, H)), p, options


@case("neighbours")
def _(rng, dtype):
    return neighbours, (normal(rng, dtype, B, T, H),), None, {}


@case("convolution")
def _(rng, dtype):
    return conv1d, (normal(rng, dtype, B, T, H),), {"weight": normal(rng, dtype, 7, H, 3), "bias": normal(rng, dtype, 7)}, {}


@case("batch norm")
def _(rng, dtype):
    p = {**scale(rng, dtype), "running_mean": normal(rng, dtype, H), "running_var": rng.random(H).astype(dtype)}
    return batch_norm, (normal(rng, dtype, B, T, H),), p, {"mask": MASK == 1}


@case("batch norm, evaluation")
def _(rng, dtype):
    module, x, p, _ = CASES["batch norm"](rng, dtype)
    return module, x, p, {"training": False}


@case("gelu, erf")
def _(rng, dtype):
    return gelu, (normal(rng, dtype, B, T, H),), None, {"form": "gelu"}


@case("gelu, tanh")
def _(rng, dtype):
    return gelu, (normal(rng, dtype, B, T, H),), None, {"form": "gelu_new"}


@case("bias & gelu")
def _(rng, dtype):
    return bias_gelu, (normal(rng, dtype, B, T, H),), {"bias": normal(rng, dtype, H)}, {}


@case("bias & relu")
def _(rng, dtype):
    return bias_relu, (normal(rng, dtype, B, T, H),), {"bias": normal(rng, dtype, H)}, {}


@case("bias & tanh")
def _(rng, dtype):
    return bias_tanh, (normal(rng, dtype, B, T, H),), {"bias": normal(rng, dtype, H)}, {}


@case("activation, by name")
def _(rng, dtype):
    return activation, (normal(rng, dtype, B, T, H),), {"bias": normal(rng, dtype, H)}, {"form": "relu"}


@case("attentive pooling")
def _(rng, dtype):
    mask = softmax.additive_mask(MASK, dtype)[:, 0, 0]
    return attentive_pooling, (normal(rng, dtype, B, T, H), normal(rng, dtype, B, H)), None, {"mask": mask}


@case("GRU")
def _(rng, dtype):
    p = {"input": dense(rng, dtype, 3 * H, 7), "state": dense(rng, dtype, 3 * H, H)}
    return gru, (normal(rng, dtype, B, 7), normal(rng, dtype, B, H)), p, {}


@case("mixture")
def _(rng, dtype):
    return mixture, (normal(rng, dtype, 3, B, H),), None, {"m": np.array([[0, 2], [2, 0], [0, 2]], dtype)}


@case("softmax")
def _(rng, dtype):
    return softmax, (normal(rng, dtype, B, A, T, T),), None, {"mask": softmax.additive_mask(MASK, dtype)}


@case("dropout")
def _(rng, dtype):
    return dropout, (normal(rng, dtype, B, T, H),), None, {"rate": 0.3, "key": KEY}


@case("add & norm")
def _(rng, dtype):
    return add_norm, (normal(rng, dtype, B, T, H), normal(rng, dtype, B, T, H)), scale(rng, dtype), {"rate": 0.3, "key": KEY}


@case("attention in blocks")
def _(rng, dtype):
    return attention_in_blocks, tuple(normal(rng, dtype, B, A, T, 4) for _ in "qkv"), None, {"rate": 0.3, "key": KEY, "rows": 2}


@case("attention probabilities")
def _(rng, dtype):
    mask = softmax.additive_mask(MASK, dtype)
    return attention_probs, (normal(rng, dtype, B, A, T, T),), None, {"mask": mask, "rate": 0.3, "key": KEY}


def attention_case(rng, dtype, **options):
    p = {name: dense(rng, dtype, H, H) for name in ("query", "key", "value")}
    options = {"heads": A, "mask": softmax.additive_mask(MASK, dtype), "rate": 0.3, "key": KEY, **options}
    return attention, (normal(rng, dtype, B, T, H),), p, options


@case("attention")
def _(rng, dtype):
    return attention_case(rng, dtype)


@case("attention, head mask (A,)")
def _(rng, dtype):
    return attention_case(rng, dtype, head_mask=rng.random(A).astype(dtype))


@case("attention, head mask (B, A), given weights")
def _(rng, dtype):
    return attention_case(rng, dtype, head_mask=rng.random((B, A)).astype(dtype), override=rng.random((B, A, T, T)).astype(dtype))


@case("cross-entropy")
def _(rng, dtype):
    return cross_entropy, (normal(rng, dtype, 6, 9), np.array([0, 3, cross_entropy.IGNORE, 8, 3, 3])), None, {}


@case("cross-entropy, weighted")
def _(rng, dtype):
    options = {"weights": rng.random(9).astype(dtype)}
    return cross_entropy, (normal(rng, dtype, 6, 9), np.array([0, 3, cross_entropy.IGNORE, 8, 3, 3])), None, options


@case("binary cross-entropy")
def _(rng, dtype):
    labels = np.array([[0, 1, binary_cross_entropy.IGNORE], [1, 1, 0]])
    return binary_cross_entropy, (normal(rng, dtype, 2, 3), labels), None, {"weights": rng.random(3).astype(dtype)}


@case("squared error")
def _(rng, dtype):
    return squared_error, (normal(rng, dtype, 6), normal(rng, dtype, 6)), None, {"count": 9}


@case("soft targets")
def _(rng, dtype):
    return kl_divergence, (normal(rng, dtype, 6, 9), normal(rng, dtype, 6, 9)), None, {"temperature": 2.0}


@case("divergence from probabilities")
def _(rng, dtype):
    return kl_divergence, (normal(rng, dtype, 6, 9), rng.dirichlet(np.ones(9), 6).astype(dtype)), None, {"logits": "x"}


@case("distance by the cosine")
def _(rng, dtype):
    return cosine_distance, (normal(rng, dtype, B, T, H), (normal(rng, dtype, B, T, H), MASK[:, :, None])), None, {}


@case("error of tokens")
def _(rng, dtype):
    return token_error, (normal(rng, dtype, B, T, H), (normal(rng, dtype, B, T, H), MASK[:, :, None])), None, {"count": 9}


@case("feature map")
def _(rng, dtype):
    return feature_map, (normal(rng, dtype, B, T, H), (normal(rng, dtype, B, T, H), MASK[:, :, None])), None, {"count": 9}


@case("divergence of what heads look at")
def _(rng, dtype):
    x, y = (rng.dirichlet(np.ones(T), (B, A, T)).astype(dtype) for _ in range(2))
    return kl_divergence, (x, (y, MASK[:, None, :, None])), None, {"logits": "none"}


@case("absolute error")
def _(rng, dtype):
    return absolute_error, (normal(rng, dtype, B, T), normal(rng, dtype, B, T), rng.random((B, T)).astype(dtype)), None, {}


@case("squared distance")
def _(rng, dtype):
    return squared_distance, (normal(rng, dtype, B, T, D), normal(rng, dtype, B, A, D)), None, {}


@case("hard concrete gates")
def _(rng, dtype):
    return hard_concrete, (normal(rng, dtype, B, A), rng.random((B, A)).astype(dtype)), None, {}


@case("unit vectors")
def _(rng, dtype):
    return unit, (normal(rng, dtype, B, T, H),), None, {}


@case("pooling")
def _(rng, dtype):
    return pooling, (normal(rng, dtype, B, T, H), MASK), None, {}


@case("pooling, maximum")
def _(rng, dtype):
    return pooling, (normal(rng, dtype, B, T, H), MASK), None, {"kind": "max"}


@case("cosine")
def _(rng, dtype):
    return cosine, (normal(rng, dtype, B, H), normal(rng, dtype, B, H)), None, {}


@case("contrastive")
def _(rng, dtype):
    return contrastive, (normal(rng, dtype, 5, 3, H), rng.integers(0, 9, (5, 3))), None, {"symmetric": True, "rows": 3}


@pytest.fixture(params=CASES)
def build(request):
    return CASES[request.param]


@pytest.fixture(params=[name for name, build in CASES.items() if build(np.random.default_rng(0), np.float64)[2] is not None])
def build_with_parameters(request):
    return CASES[request.param]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def forward(layer, inputs, p, options):
    return layer.forward(*inputs, *(() if p is None else (p,)), **options)


def backward(layer, y, cache, p, g, seed=1):
    """Random gradients for all that came out, in the dtype of what came out."""
    rng = np.random.default_rng(seed)
    dy, *more = (rng.standard_normal(np.shape(a)).astype(a.dtype) for a in (y if isinstance(y, tuple) else (y,)))
    return layer.backward(dy, cache, *(() if p is None else (p, g)), *more)


def zeros(tree):
    return {key: zeros(value) if isinstance(value, dict) else np.zeros_like(value) for key, value in tree.items()}


def floats(tree):
    return [a for a in arrays(tree) if a.dtype.kind == "f"]


def test_every_layer_is_here():
    functions = {"normal", "products", "rows"}  # no layers
    modules = {module.name for module in pkgutil.iter_modules(layers.__path__)} - functions
    tested = {build(np.random.default_rng(0), np.float64)[0].__name__.rpartition(".")[2] for build in CASES.values()}
    assert modules == tested


def test_dtype_is_kept(build, dtype):
    layer, inputs, p, options = build(np.random.default_rng(0), dtype)
    y, cache = forward(layer, inputs, p, options)
    g = zeros(p or {})
    dx = backward(layer, y, cache, p, g)
    outputs = y if isinstance(y, tuple) else (y,)
    assert {a.dtype for a in outputs} == {np.dtype(dtype)}
    assert {a.dtype for a in floats(cache)} <= {np.dtype(dtype)}
    assert {a.dtype for a in floats(dx)} <= {np.dtype(dtype)}
    assert {a.dtype for a in floats(g)} <= {np.dtype(dtype)}


def test_a_wider_upstream_scalar_does_not_widen_the_loss_gradient():
    x = np.ones((2, 3), np.float32)
    _, cache = cross_entropy.forward(x, np.array([0, 1]))
    assert cross_entropy.backward(np.float64(1), cache).dtype == np.float32


def test_backward_twice_gives_the_same(build, dtype):
    layer, inputs, p, options = build(np.random.default_rng(0), dtype)
    y, cache = forward(layer, inputs, p, options)
    before = [a.copy() for a in arrays(cache)]
    g_once, g_twice = zeros(p or {}), zeros(p or {})
    first = [a.copy() for a in floats(backward(layer, y, cache, p, g_once))]
    second = backward(layer, y, cache, p, g_twice)
    for a, b in zip(first, floats(second), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(floats(g_once), floats(g_twice), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(before, arrays(cache), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_add_up_in_g(build_with_parameters, dtype):
    layer, inputs, p, options = build_with_parameters(np.random.default_rng(0), dtype)
    y, cache = forward(layer, inputs, p, options)
    g_once, g_twice = zeros(p), zeros(p)
    backward(layer, y, cache, p, g_once)
    backward(layer, y, cache, p, g_twice)
    backward(layer, y, cache, p, g_twice)
    for a, b in zip(floats(g_once), floats(g_twice), strict=True):
        np.testing.assert_array_equal(2 * a, b)


def test_nothing_asked_nothing_computed_and_dx_is_the_same(build_with_parameters, dtype):
    layer, inputs, p, options = build_with_parameters(np.random.default_rng(0), dtype)
    y, cache = forward(layer, inputs, p, options)
    wanted = backward(layer, y, cache, p, zeros(p))
    for a, b in zip(floats(wanted), floats(backward(layer, y, cache, p, NOTHING)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_inputs_and_upstream_gradients_are_left_as_they_were(build, dtype):
    layer, inputs, p, options = build(np.random.default_rng(0), dtype)
    given = [*arrays(inputs), *arrays(p or {}), *arrays(options)]
    for a in given:
        a.flags.writeable = False  # a write would raise
    y, cache = forward(layer, inputs, p, options)
    dy, *more = (np.ones_like(a) for a in (y if isinstance(y, tuple) else (y,)))
    for a in (dy, *more):
        a.flags.writeable = False
    layer.backward(dy, cache, *(() if p is None else (p, zeros(p))), *more)


def test_inputs_need_not_be_contiguous(build, dtype):
    layer, inputs, p, options = build(np.random.default_rng(0), dtype)
    def apart(a):
        return tuple(map(apart, a)) if isinstance(a, tuple) else np.repeat(a, 2, axis=-1)[..., ::2]

    strided = apart(inputs)
    y, cache = forward(layer, inputs, p, options)
    y2, cache2 = forward(layer, strided, p, options)
    for a, b in zip(arrays((y,)), arrays((y2,)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    dx, dx2 = backward(layer, y, cache, p, zeros(p or {})), backward(layer, y2, cache2, p, zeros(p or {}))
    for a, b in zip(floats(dx), floats(dx2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
