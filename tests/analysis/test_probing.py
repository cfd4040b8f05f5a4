"""Probes on vectors of which one knows what can be read from them."""

import numpy as np
import pytest

from minibert.analysis import probing
from minibert.analysis.probing import Settings, Split, accuracies, control_task, descend, fit, majority, numbered, split, states
from minibert.api import Bert
from minibert.parameters import Layout, Parameters
from tests import tiny_model

RNG = np.random.default_rng


def thirds(n):
    return Split(*np.split(np.arange(n), [n // 3, 2 * n // 3]))


def test_a_linear_probe_reads_a_half_space_of_any_scale_and_no_exclusive_or_and_an_mlp_reads_both():
    x = RNG(0).uniform(-1, 1, (1500, 4)) * [1, 1, 1000, 0] + [0, 0, 500, 3]
    above, odd = (x[:, 0] > x[:, 1] / 2).astype(int), ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int)
    train, dev, test = thirds(len(x))
    settings = Settings(0.01, decays=(0.0,))
    found = {(name, hidden): fit(x[train], y[train], x[dev], y[dev], hidden, settings).accuracy(x[test], y[test])
             for name, y in (("above", above), ("odd", odd)) for hidden in (0, 20)}
    assert found["above", 0] > 0.97
    assert found["above", 20] > 0.97
    assert found["odd", 0] < 0.6
    assert found["odd", 20] > 0.95


def test_descent_ends_at_the_least_squares_and_keeps_what_was_best():
    A, y = RNG(0).normal(size=(60, 3)), RNG(1).normal(size=60)
    p = Parameters.zeros(Layout({"w": (3,)}), dtype=np.float64)

    def gradient(numbers, p, g):
        g["w"] += 2 * A[numbers].T @ (A[numbers] @ p["w"] - y[numbers]) / len(numbers)

    def loss(p):
        return float(((A @ p["w"] - y) ** 2).mean())

    best = descend(p, gradient, loss, 60, Settings(0.01, batch=60, passes=3000, patience=300, gain=0), seed=0)
    np.testing.assert_allclose(p["w"], np.linalg.lstsq(A, y, rcond=None)[0], atol=1e-6)
    assert best == pytest.approx(loss(p.tree), abs=1e-15)
    losses = iter([3.0, 1.0, 2.0, 1.5, 0.0])
    seen = []

    def dev(p):
        seen.append(p["w"].copy())
        return next(losses)

    assert descend(p, gradient, dev, 60, Settings(passes=9, patience=2), seed=0) == 1
    assert len(seen) == 4  # two in a row were no better than the second
    np.testing.assert_array_equal(p["w"], seen[1])


def test_the_dev_examples_choose_the_decay():
    x, y = RNG(0).normal(size=(90, 40)), RNG(1).integers(0, 2, 90)  # nothing to be learned: the less, the better
    train, dev, _ = thirds(90)
    weights = [np.abs(fit(x[train], y[train], x[dev], y[dev], settings=Settings(0.02, decays=decays)).p["output"]["weight"]).sum()
               for decays in ((0.0,), (20.0,), (0.0, 20.0), (20.0, 0.0))]
    assert weights[1] < weights[0]
    assert weights[1] == weights[2] == weights[3]


def test_a_seed_gives_the_same_probe_again_and_another_seed_another():
    x, y = RNG(0).normal(size=(90, 5)).astype(np.float32), RNG(1).integers(0, 3, 90)
    one, again, other = (fit(x, y, x, y, 4, Settings(passes=2), seed).p.flat for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert one.dtype == np.float32
    assert (one != other).any()


def test_a_control_task_is_memory_of_forms():
    forms = RNG(0).choice(list("abcdefgh"), 900)
    labels = RNG(1).integers(0, 2, 900)
    control = control_task(forms, labels)
    assert all(len(set(control[forms == form])) == 1 for form in set(forms))
    assert set(control) == {0, 1}
    one_hot, parts = np.eye(8)[numbered(forms)[0]][None], thirds(900)
    assert accuracies(one_hot, control, parts, settings=Settings(0.05)).tolist() == [1]
    assert accuracies(one_hot, labels, parts, settings=Settings(0.05))[0] < 0.6
    assert majority(control, parts) == (control[parts.test] == (control[parts.train].mean() > 0.5)).mean()


def test_words_of_a_sentence_stay_together():
    groups = np.repeat(np.arange(50), RNG(0).integers(1, 9, 50))
    parts = split(groups, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    train, dev, test = (set(groups[part]) for part in parts)
    assert (len(train), len(dev), len(test)) == (35, 5, 10)
    assert len(train | dev | test) == 50
    assert all(np.array_equal(a, b) for a, b in zip(parts, split(groups, seed=3)))
    assert not np.array_equal(parts.test, split(groups, seed=4).test)


def test_states_of_all_words_in_order():
    config, parameters, tokenizer = tiny_model.make()
    bert = Bert(config, parameters.astype(np.float64), tokenizer)
    sentences = [["the", "abc"], ["raises"], ["xy", "the", "an"]]
    x = states(bert, sentences)
    out = bert([sentences[0]], hidden_states=True)
    of = np.array(out.words[0][1:-1])
    np.testing.assert_allclose(x[2, 1], out.hidden_states[2][0, 1:-1][of == 1].mean(0), rtol=1e-12)
    assert x.shape == (3, 6, 12)
    with pytest.raises(ValueError, match=r"sentences\[1\]: nothing is left of '\\u200b', word 1"):
        states(bert, [["the"], ["a", "\u200b"]])


def test_what_cannot_be_probed_is_said():
    x, parts = np.ones((1, 9, 2)), thirds(9)
    with pytest.raises(ValueError, match="3 test examples are too few"):
        accuracies(x, np.arange(9), parts)
    with pytest.raises(ValueError, match="all 9 training examples have one label"):
        probing.fit(x[0], np.zeros(9, int), x[0], np.zeros(9, int))
    with pytest.raises(ValueError, match=r"5 sentences are too few .* at least 10"):
        split(np.arange(5))
