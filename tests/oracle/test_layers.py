"""Each layer alone against torch.nn.functional and its autograd."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from minibert.layers import (  # noqa: E402
    attention,
    attention_in_blocks,
    binary_cross_entropy,
    cross_entropy,
    dropout,
    embedding,
    gelu,
    layernorm,
    linear,
    softmax,
)
from minibert.parameters import NOTHING  # noqa: E402
from tests.model.examples import distance  # noqa: E402

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
pytestmark = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


class Case:
    """Arrays for us and the same as leaves for torch; ``check`` compares values and every gradient."""

    def __init__(self, dtype, **shapes):
        rng = np.random.default_rng(0)
        self.dtype = dtype
        self.ours = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
        self.theirs = {name: torch.tensor(a, requires_grad=True) for name, a in self.ours.items()}
        self.rng = rng

    def upstream(self, y):
        return self.rng.standard_normal(y.shape).astype(self.dtype)

    def tree(self, weight, bias=None):
        p = {"weight": self.ours[weight]} | ({} if bias is None else {"bias": self.ours[bias]})
        return p, {name: np.zeros_like(a) for name, a in p.items()}

    def check(self, y, expected, dy, gradients):
        assert distance(y, expected.detach().numpy()) <= TOLERANCE[self.dtype]
        expected.backward(torch.tensor(dy))
        for name, gradient in gradients.items():
            assert gradient.dtype == self.dtype
            assert distance(gradient, self.theirs[name].grad.numpy()) <= TOLERANCE[self.dtype], name


@pytest.mark.parametrize("leading", [(7,), (2, 3), (2, 3, 4)])
def test_linear(dtype, leading):
    case = Case(dtype, x=(*leading, 5), weight=(6, 5), bias=(6,))
    p, g = case.tree("weight", "bias")
    y, cache = linear.forward(case.ours["x"], p)
    dy = case.upstream(y)
    dx = linear.backward(dy, cache, p, g)
    case.check(y, F.linear(*case.theirs.values()), dy, {"x": dx, "weight": g["weight"], "bias": g["bias"]})


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8])
def test_embedding_sums_the_gradients_of_repeated_ids(dtype, integer):
    case = Case(dtype, weight=(7, 4))
    p, g = case.tree("weight")
    ids = np.array([[3, 0, 3, 6], [3, 6, 5, 3]], integer)
    y, cache = embedding.forward(ids, p)
    dy = case.upstream(y)
    assert embedding.backward(dy, cache, p, g) is None
    case.check(y, F.embedding(torch.tensor(ids.astype(np.int64)), case.theirs["weight"]), dy, {"weight": g["weight"]})


@pytest.mark.parametrize("eps", [1e-12, 1e-5])
def test_layernorm(dtype, eps):
    case = Case(dtype, x=(2, 3, 8), weight=(8,), bias=(8,))
    p, g = case.tree("weight", "bias")
    y, cache = layernorm.forward(case.ours["x"], p, eps)
    dy = case.upstream(y)
    dx = layernorm.backward(dy, cache, p, g)
    theirs = case.theirs
    case.check(y, F.layer_norm(theirs["x"], (8,), theirs["weight"], theirs["bias"], eps), dy,
               {"x": dx, "weight": g["weight"], "bias": g["bias"]})


@pytest.mark.parametrize(("form", "approximate"), [("gelu", "none"), ("gelu_new", "tanh"), ("gelu_pytorch_tanh", "tanh")])
def test_gelu(dtype, form, approximate):
    case = Case(dtype, x=(40, 50))
    x = case.ours["x"]
    x *= 3  # into the tails, the same memory as the leaf's
    case.theirs["x"] = torch.tensor(x, requires_grad=True)
    y, cache = gelu.forward(x, form)
    dy = case.upstream(y)
    case.check(y, F.gelu(case.theirs["x"], approximate=approximate), dy, {"x": gelu.backward(dy, cache)})


@pytest.mark.parametrize("form", ["gelu", "gelu_new"])
def test_gelu_far_out_and_at_the_seams(dtype, form):
    x = np.array([-1e4, -100, -40, -9, -6, -5.9, -0.663, -0.6628, -1e-30, 0, 1e-30, 0.6628, 0.663, 5.9, 6, 9, 40, 1e4], dtype)
    theirs = torch.tensor(x, requires_grad=True)
    expected = F.gelu(theirs, approximate="none" if form == "gelu" else "tanh")
    expected.sum().backward()
    y, cache = gelu.forward(x, form)
    limit = 1e-13 if dtype is np.float64 else 1e-6
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=limit, atol=limit)
    np.testing.assert_allclose(gelu.backward(np.ones_like(x), cache), theirs.grad.numpy(), rtol=limit, atol=limit)


def test_softmax(dtype):
    case = Case(dtype, x=(2, 3, 4, 5))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    y, cache = softmax.forward(case.ours["x"], softmax.additive_mask(mask, dtype))
    dy = case.upstream(y)
    hidden = torch.tensor(mask == 0)[:, None, None, :]
    expected = F.softmax(case.theirs["x"].masked_fill(hidden, -torch.inf), -1)
    case.check(y, expected, dy, {"x": softmax.backward(dy, cache)})


@pytest.mark.parametrize("count", [None, 11])
def test_cross_entropy_ignores(dtype, count):
    case = Case(dtype, x=(6, 9))
    labels = np.array([3, cross_entropy.IGNORE, 0, 8, cross_entropy.IGNORE, 3])
    loss, cache = cross_entropy.forward(case.ours["x"], labels, count)
    dx = cross_entropy.backward(dtype(0.7), cache)
    expected = F.cross_entropy(case.theirs["x"], torch.tensor(labels), ignore_index=cross_entropy.IGNORE, reduction="sum")
    case.check(loss, expected / (count or 4), np.array(0.7, dtype), {"x": dx})


@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy(dtype, weighted):
    case = Case(dtype, x=(7, 5))
    labels = case.rng.integers(0, 2, (7, 5))
    weights = case.rng.random(5).astype(dtype) if weighted else None
    case.ours["x"] *= 20  # far out too
    case.theirs["x"] = torch.tensor(case.ours["x"], requires_grad=True)
    loss, cache = binary_cross_entropy.forward(case.ours["x"], labels, weights=weights)
    dx = binary_cross_entropy.backward(dtype(0.7), cache)
    loss_there = torch.nn.BCEWithLogitsLoss(reduction="sum" if weighted else "mean",
                                            pos_weight=torch.tensor(weights) if weighted else None)
    expected = loss_there(case.theirs["x"], torch.tensor(labels.astype(dtype)))
    if weighted:
        expected = expected / binary_cross_entropy.count(labels, weights)
    case.check(loss, expected, dtype(0.7), {"x": dx})


def test_binary_cross_entropy_ignores(dtype):
    case = Case(dtype, x=(7, 5))
    labels = case.rng.integers(0, 2, (7, 5))
    labels[[0, 3, 3], [1, 0, 4]] = binary_cross_entropy.IGNORE
    loss, cache = binary_cross_entropy.forward(case.ours["x"], labels)
    dx = binary_cross_entropy.backward(dtype(0.7), cache)
    keep = torch.tensor(labels != binary_cross_entropy.IGNORE)
    expected = F.binary_cross_entropy_with_logits(case.theirs["x"][keep], torch.tensor(labels.astype(dtype))[keep])
    case.check(loss, expected, dtype(0.7), {"x": dx})


def test_cross_entropy_of_huge_logits_is_finite(dtype):
    x = np.array([[1e4, 0, -1e4], [-1e4, -1e4, 5]], dtype)
    theirs = torch.tensor(x, requires_grad=True)
    expected = F.cross_entropy(theirs, torch.tensor([1, 2]))
    expected.backward()
    loss, cache = cross_entropy.forward(x, np.array([1, 2]))
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(cross_entropy.backward(1.0, cache), theirs.grad.numpy(), atol=1e-7)


def test_dropout_with_a_given_mask(dtype):
    case = Case(dtype, x=(3, 4, 5))
    mask = dropout.draw(dropout.Key(7), (3, 4, 5), 0.25, dtype=dtype)
    y, cache = dropout.forward(case.ours["x"], 0.25, mask)
    dy = case.upstream(y)
    kept = torch.tensor(mask != 0)
    case.check(y, torch.where(kept, case.theirs["x"] / 0.75, 0), dy, {"x": dropout.backward(dy, cache)})


@pytest.mark.parametrize("per_query", [False, True], ids=["mask (B, T)", "mask (B, T, T)"])
def test_attention(dtype, per_query):
    B, T, A, D = 2, 5, 3, 4
    H = A * D
    shapes = {f"{name}.{part}": (H, H) if part == "weight" else (H,) for name in ("query", "key", "value")
              for part in ("weight", "bias")}
    case = Case(dtype, x=(B, T, H), **shapes)
    p = {name: {part: case.ours[f"{name}.{part}"] for part in ("weight", "bias")} for name in ("query", "key", "value")}
    g = {name: {part: np.zeros_like(a) for part, a in leaves.items()} for name, leaves in p.items()}
    mask = np.ones((B, T), int)
    mask[0, 3:] = 0
    if per_query:
        mask = mask[:, None] * np.tri(T, dtype=int)
    (context, weights), cache = attention.forward(case.ours["x"], p, A, softmax.additive_mask(mask, dtype))
    dy = case.upstream(context)
    dx = attention.backward(dy, cache, p, g).dx

    theirs = case.theirs
    q, k, v = (F.linear(theirs["x"], theirs[f"{n}.weight"], theirs[f"{n}.bias"]).reshape(B, T, A, D).transpose(1, 2) for n in p)
    visible = torch.tensor(mask.astype(bool)).reshape(B, 1, -1, T)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=visible).transpose(1, 2).reshape(B, T, H)
    gradients = {f"{n}.{part}": g[n][part] for n in g for part in g[n] if (n, part) != ("key", "bias")}
    case.check(context, expected, dy, {"x": dx, **gradients})
    assert np.linalg.norm(g["key"]["bias"]) <= TOLERANCE[dtype] * np.linalg.norm(g["query"]["bias"])
    assert weights.dtype == dtype

    nothing = attention.backward(dy, cache, p, NOTHING)
    np.testing.assert_array_equal(nothing.dx, dx)


@pytest.mark.parametrize("rows", [1, 4, 7])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_blocks_is_scaled_dot_product_attention(dtype, rows, causal):
    B, A, T, D = 2, 3, 7, 4
    case = Case(dtype, q=(B, A, T, D), k=(B, A, T, D), v=(B, A, T, D))
    visible = np.tri(T, dtype=int)[None].repeat(B, 0) if causal else np.array([[1] * T, [1] * 3 + [0] * (T - 3)])
    mask = softmax.additive_mask(visible, dtype)
    context, cache = attention_in_blocks.forward(case.ours["q"] * D**-0.5, case.ours["k"], case.ours["v"], mask, rows=rows)
    dy = case.upstream(context)
    dq, dk, dv = attention_in_blocks.backward(dy, cache)
    seen = torch.tensor(visible.astype(bool)).reshape(B, 1, -1, T)
    expected = F.scaled_dot_product_attention(*(case.theirs[name] for name in "qkv"), attn_mask=seen)
    case.check(context, expected, dy, {"q": dq * D**-0.5, "k": dk, "v": dv})
