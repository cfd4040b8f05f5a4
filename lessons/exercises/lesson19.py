"""The exercises of lesson 19, fine-tuning a classifier, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.config import BertConfig
from minibert.finetuning import models, options
from minibert.finetuning.options import Settings
from minibert.layers import cross_entropy
from minibert.model.heads import classifier as classifier_head
from minibert.tasks.labelled import metrics
from minibert.training.adamw import learning_rate


@exercise("(examples, batch_size, accumulate, epochs, peak)", look="The schedule", level="medium")
def rates(answer: Callable[..., Any]) -> None:
    """The learning rate of every step of a fine-tuning run, as a list: linear warm-up to ``peak`` over a tenth of the steps
    (rounded), then a line that would reach zero one step after the last. The last step of an epoch may be smaller, but is a step.
    """
    for examples, batch_size, accumulate, epochs in ((256, 16, 1, 4), (100, 8, 4, 3), (33, 16, 1, 10)):
        settings = Settings(train="x", batch_size=batch_size, accumulate=accumulate, epochs=float(epochs))
        total = options.total_steps(examples, settings)
        right = [learning_rate(step, 2e-4, round(0.1 * total), total) for step in range(1, total + 1)]
        got = answer(examples, batch_size, accumulate, epochs, 2e-4)
        what = f"{examples} examples, batches of {batch_size}, accumulated {accumulate}, {epochs} epochs"
        expect(got is not None and np.ndim(got) == 1, f"{what}: expected a list of numbers")
        expect(len(got) != examples // (batch_size * accumulate) * epochs or len(got) == total,
               f"{what}: {len(got)} steps; the last, smaller batch of an epoch is a step too: round up")
        expect(len(got) == total, f"{what}: expected {total} steps, got {len(got)}; each reads batch_size x accumulate")
        expect(got[0] > 0, f"{what}: the first rate is 0; steps count from 1")
        expect(got[-1] > 0, f"{what}: the last rate is 0: that step would be wasted")
        close(got, right, what, 1e-9)


@exercise("(names)", look="Optimiser groups", level="easy")
def groups(answer: Callable[..., Any]) -> None:
    """The two parameter groups as a pair of lists (with decay, without), each in the order of ``names``: names of tensors such as
    ``bert.encoder.layer.0.attention.output.LayerNorm.weight``.
    """
    layout = models.of(BertConfig.preset("tiny", vocab_size=20), "sequence", 3).layout()
    names = [str(name) for name in np.random.default_rng(4).permutation(list(layout.slots))]
    got = answer(list(names))
    expect(isinstance(got, tuple) and len(got) == 2, f"expected a pair of lists, got {type(got).__name__}")
    with_decay, without = list(got[0]), list(got[1])
    norm = next(name for name in names if name.endswith("LayerNorm.weight"))
    expect(norm not in with_decay, f"{norm} is the scale of a norm: no decay, though its name ends in weight")
    wrong = [name for name in with_decay if not layout.slots[name].decay]
    expect(not wrong, f"{wrong[:2]} must not decay")
    wrong = [name for name in without if layout.slots[name].decay]
    expect(not wrong, f"{wrong[:2]} must decay; the tables of embeddings do as well")
    expect(sorted(with_decay + without) == sorted(names), "every name belongs to one of the two")
    expect(with_decay == [n for n in names if n in with_decay] and without == [n for n in names if n in without],
           "keep the order of names")


@exercise("(pooled, labels, weight, bias)", look="The equation", level="medium")
def head_gradients(answer: Callable[..., Any]) -> None:
    """The gradients (dpooled, dweight, dbias) of the mean cross-entropy of a classifier: pooled (B, H), labels (B,),
    weight (C, H), bias (C,). No dropout.
    """
    rng = np.random.default_rng(5)
    x, p = rng.standard_normal((5, 4)), {"weight": rng.standard_normal((3, 4)), "bias": rng.standard_normal(3)}
    y = np.array([2, 0, 1, 2, 2])
    logits, cache = classifier_head.forward(x, p)
    _, loss_cache = cross_entropy.forward(logits, y)
    g = {"weight": np.zeros((3, 4)), "bias": np.zeros(3)}
    dx = classifier_head.backward(cross_entropy.backward(1.0, loss_cache), cache, p, g)
    got = answer(x.copy(), y.copy(), p["weight"].copy(), p["bias"].copy())
    expect(isinstance(got, tuple) and len(got) == 3, "expected three arrays (dpooled, dweight, dbias)")
    for name, mine, right in zip(("dpooled", "dweight", "dbias"), got, (dx, g["weight"], g["bias"])):
        if np.shape(mine) == right.shape:
            expect(not np.allclose(mine, 5 * right), f"{name}: that belongs to the sum of the losses; the loss is their mean")
            expect(not np.allclose(mine, -right), f"{name}: the sign is the wrong way round: softmax minus one-hot")
        close(mine, right, name, 1e-9)


@exercise("(matrix)", look="Evaluation", level="medium")
def macro_f1(answer: Callable[..., Any]) -> None:
    """The macro F1 of a confusion matrix (C, C): rows are what it is, columns what was guessed. A class that occurs but was never
    guessed has F1 0; one that neither occurs nor was guessed does not count.
    """
    for matrix, hint in (
            (np.array([[8, 2, 0], [1, 5, 4], [3, 0, 7]]), "the mean of the F1 of each class"),
            (np.array([[90, 0], [10, 0]]), "a class that was never guessed has F1 0; do not divide by zero"),
            (np.array([[5, 1, 0], [2, 4, 0], [0, 0, 0]]), "a class that is nowhere does not count")):
        with np.errstate(all="ignore"):
            got = answer(matrix.copy())
        right = metrics.f1_macro(matrix)
        if got is not None and np.ndim(got) == 0:
            expect(np.isfinite(got), f"{matrix.tolist()}: not finite; {hint}")
            expect(not np.isclose(got, np.trace(matrix) / matrix.sum()) or np.isclose(got, right),
                   f"{matrix.tolist()}: that is the accuracy: frequent classes count more in it")
        close(got, right, f"{matrix.tolist()} ({hint})", 1e-9)


@exercise("(losses, counts)", look="The schedule", level="easy")
def step_loss(answer: Callable[..., Any]) -> None:
    """The loss of a step of several micro-batches: ``losses[i]`` is the *mean* loss of the examples of micro-batch i,
    ``counts[i]`` how many it has. Every example of the step counts the same.
    """
    rng = np.random.default_rng(6)
    logits, labels = 2 * rng.standard_normal((16, 4)), rng.integers(0, 4, 16)
    cuts = (slice(0, 5), slice(5, 15), slice(15, 16))
    losses = np.array([cross_entropy.forward(logits[cut], labels[cut])[0] for cut in cuts])
    counts = np.array([5, 10, 1])
    got, right = answer(losses.copy(), counts.copy()), float(cross_entropy.forward(logits, labels)[0])
    if got is not None and np.ndim(got) == 0:
        expect(not np.isclose(got, losses.mean()), "the mean of the means: the single example of the last part counts ten times")
        expect(not np.isclose(got, losses.sum()), "the sum of the means grows with the number of parts")
        expect(not np.isclose(got, right * 16), "the sum over all examples: divide by their number")
    close(got, right, "loss", 1e-9)
