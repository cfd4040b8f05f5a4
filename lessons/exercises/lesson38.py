"""The exercises of lesson 38, a student and a teacher, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.compression.distil import matching
from minibert.layers import feature_map, kl_divergence
from minibert.training.schedules import SCHEDULES


@exercise("(student, teacher, tau)", look="The equation", level="easy")
def distillation_loss(answer: Callable[..., Any]) -> None:
    """Logits (N, V) of both -> τ² times the divergence of the student's softened answers from the teacher's, a mean over rows."""
    rng = np.random.default_rng(38)
    x, y = 2 * rng.standard_normal((2, 6, 9))
    for tau in (1.0, 2.0, 5.0):
        right = kl_divergence.forward(x, y, temperature=tau)[0]
        got = answer(x.copy(), y.copy(), tau)
        expect(np.shape(got) == (), "one number")
        expect(tau == 1 or not np.isclose(got, right / tau**2), "τ² is missing")
        expect(not np.isclose(got, kl_divergence.forward(y, x, temperature=tau)[0]), "the other way round: p is the teacher's")
        close(got, right, f"τ = {tau}", 1e-9)


@exercise("(layers, of_teacher)", look="Three students", level="easy")
def compared_states(answer: Callable[..., Any]) -> None:
    """A student of so many layers has states 0 to ``layers``, a teacher states 0 to ``of_teacher``. A list: for each of the
    student's, which one of the teacher's it is compared with, the first with the first and the last with the last."""
    for layers, of_teacher in ((2, 4), (3, 12), (4, 4), (5, 7), (1, 6)):
        right = [matching(layers, of_teacher, i) for i in range(layers + 1)]
        got = [int(state) for state in answer(layers, of_teacher)]
        expect(got == right, f"{layers} layers beside {of_teacher}: {right}, got {got}")


@exercise("(student, teacher)", look="Vectors of different sizes", level="medium")
def taken_apart(answer: Callable[..., Any]) -> None:
    """States (N, H) of both -> three numbers, means over the rows: the squared error of the normalised vectors (mean 0, variance
    1), that of their means, and the distance of their variances."""
    rng = np.random.default_rng(39)
    x, y = rng.standard_normal((4, 10)), 2 * rng.standard_normal((4, 10)) + 0.5
    got = answer(x.copy(), y.copy())
    expect(len(got) == 3, "three numbers")
    for i, name in enumerate(("the normalised vectors", "the means", "the variances")):
        close(got[i], feature_map.forward(x, (y, None), None, *np.eye(3)[i])[0], name, 1e-6)


@exercise("(step, steps, layers, layer)", look="One layer after the other", level="hard")
def rate_of_a_layer(answer: Callable[..., Any]) -> None:
    """What the learning rate of a layer is multiplied by in a step of the transfer: ``step`` from 1 to ``steps``, of which each
    layer has an equal part. 0 before its part, 3·b in it and 0.3·b after it; b is 10·s or 0.9 + 0.1·√(1 - s), whichever is
    lower, where s is the share of the part that is done."""
    steps, layers = 80, 4
    part = steps // layers
    for step in (1, 2, 3, 19, 20, 21, 22, 40, 41, 60, 80):
        now, done = (step - 1) // part, (step - 1) % part + 1
        b = SCHEDULES["plateau"](done, 1.0, 0.1, part)
        for layer in range(layers):
            right = 0.0 if layer > now else 3 * b if layer == now else 0.3 * b
            close(answer(step, steps, layers, layer), right, f"step {step} of {steps}, layer {layer} of {layers}", 1e-9)
