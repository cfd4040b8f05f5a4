"""Lesson 9, the encoder: the exercises and their judges."""

from __future__ import annotations

import numpy as np

from lessons.check import close, exercise, expect
from minibert.config import BertConfig
from minibert.layers import attention, gelu, linear
from minibert.model import bert, pooler
from minibert.parameters import Layout


def _dense(rng: np.random.Generator, out: int, into: int) -> dict[str, np.ndarray]:
    return {"weight": rng.standard_normal((out, into)), "bias": rng.standard_normal(out)}


@exercise(look="Thirteen hidden states of twelve layers", level="easy")
def hidden_states_of_large(answer):
    """BERT-large has 24 layers. How many hidden states does it have?"""
    layers = BertConfig.preset("large").num_hidden_layers
    expect(answer != layers, "that counts what each layer hands on; something also enters the first layer")
    expect(answer == layers + 1, f"expected another whole number, got {answer!r}")


@exercise("(x, weight, bias)", look="The pooler, and why [CLS]", level="easy")
def pool(answer):
    """The pooler: x is (B, T, H), weight (H, H) as stored, (out, in), bias (H,). The answer is (B, H)."""
    B, T, H = 3, 5, 4
    rng = np.random.default_rng(1)
    x, p = rng.standard_normal((B, T, H)), _dense(rng, H, H)
    expected, _ = pooler.forward(x, {"dense": p})
    got = np.asarray(answer(x.copy(), p["weight"].copy(), p["bias"].copy()))
    expect(got.shape == (B, H), f"expected one vector for each text, (B, H) = {(B, H)}, got {got.shape}")
    mean, _ = pooler.forward(x.mean(1, keepdims=True), {"dense": p})
    expect(not np.allclose(got, mean), "that takes the mean of all tokens; the pooler reads the first token, [CLS], only")
    expect(not np.allclose(got, linear.forward(x[:, 0], p)[0]), "the linear layer is right; tanh is missing")
    expect(not np.allclose(got, pooler.forward(x, {"dense": {**p, "weight": p["weight"].T}})[0]),
           "a weight is stored (out, in): y = x·Wᵀ + b")
    close(got, expected, "the pooled vector")


@exercise("(H, I)", look="The equation", level="medium")
def numbers_in_a_block(answer):
    """How many numbers (weights, biases, layer norms) has one encoder block of width H with a feed-forward network of width I?"""
    for H, I in ((6, 8), (10, 7), (768, 3072)):
        config = BertConfig(hidden_size=H, intermediate_size=I, num_hidden_layers=1, num_attention_heads=1)
        slots = {name: slot for name, slot in Layout(bert.shapes(config)).slots.items() if ".layer.0." in name}
        sizes = {name: slot.stop - slot.start for name, slot in slots.items()}
        total, got = sum(sizes.values()), answer(H, I)
        for what, part in (("the biases of the linear layers and norms", "bias"), ("the two layer norms", "LayerNorm"),
                           ("the linear layer after attention, Wo", "attention.output.dense")):
            missing = sum(size for name, size in sizes.items() if part in name)
            expect(got != total - missing, f"H = {H}, I = {I}: you seem to have left out {what}")
        expect(got == total, f"H = {H}, I = {I}: expected {'fewer' if got is not None and got > total else 'more'} than {got}")


@exercise("(dy, x, W1, b1, W2, b2)", look="Gradient check", level="hard")
def feed_forward_gradient(answer):
    """The second half of a pre-LN block without its norm is y = x + gelu(x·W1ᵀ + b1)·W2ᵀ + b2; x and dy are (T, H), W1 (I, H),
    W2 (H, I). The answer is dx. You may use gelu and linear of minibert.layers."""
    T, H, I = 4, 3, 5
    rng = np.random.default_rng(2)
    up, down = _dense(rng, I, H), _dense(rng, H, I)

    def measured(residual):
        """dx by the complex step (lesson 4), one element of x at a time."""
        dx = np.empty_like(x)
        for place in np.ndindex(x.shape):
            moved = x.astype(complex)
            moved[place] += 1e-30j
            a, _ = gelu.forward(linear.forward(moved, up)[0])
            dx[place] = (dy * (residual * moved + linear.forward(a, down)[0])).imag.sum() / 1e-30
        return dx

    x, dy = rng.standard_normal((2, T, H))
    got = answer(dy.copy(), x.copy(), up["weight"], up["bias"], down["weight"], down["bias"])
    expect(np.shape(got) == (T, H), f"dx: expected the shape of x, (T, H) = {(T, H)}, got {np.shape(got)}")
    expect(not np.allclose(got, measured(residual=0)),
           "that is the gradient through the feed-forward network; the one past it, along the residual connection, is missing")
    close(got, measured(residual=1), "dx (upside down: W2, GELU, W1, then the residual connection)")


@exercise("(dcontext, P, v)", look="`head_mask`", level="medium")
def gate_gradient(answer):
    """context[b, a] = gate[a] · P[b, a] @ v[b, a] with P (B, A, T, T), v and dcontext (B, A, T, D), and every gate 1.
    The answer is the gradient of the gates, (A,)."""
    B, T, A, D = 2, 4, 3, 5
    rng = np.random.default_rng(3)
    x, p = rng.standard_normal((B, T, A * D)), {name: _dense(rng, A * D, A * D) for name in ("query", "key", "value")}
    _, cache = attention.forward(x, p, A, head_mask=np.ones(A))
    dcontext = rng.standard_normal((B, A, T, D))
    g = {name: {key: np.zeros_like(value) for key, value in part.items()} for name, part in p.items()}
    upstream = dcontext.swapaxes(1, 2).reshape(B, T, A * D)
    expected = attention.backward(upstream, cache, p, g).head_mask
    got = np.asarray(answer(dcontext.copy(), cache.probs.copy(), cache.v.copy()))
    expect(got.shape != (B, A), f"expected (A,) = {(A,)}: all texts share a gate, so their gradients are added")
    close(got, expected, "the gradient of the gates")
