import math

import numpy as np
import pytest

from minibert.model import pretraining
from minibert.parameters import Layout, Parameters
from minibert.tasks.batches import micro_batches
from minibert.training import adamw
from minibert.training import engine as engine_module
from minibert.training.adamw import AdamW, learning_rate
from tests.model.examples import random_parameters, small_config
from tests.training.examples import NO_DROPOUT, engine, masked_examples

CONSTANTS = AdamW(beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.1)
UNUSED = ("bert.pooler.", "cls.seq_relationship.")


def textbook(p, g, m, v, lr, step, decay, constants):
    """Algorithm 2 of Loshchilov and Hutter 2017 for one number, in plain Python."""
    m = constants.beta1 * m + (1 - constants.beta1) * g
    v = constants.beta2 * v + (1 - constants.beta2) * g**2
    m_hat = m / (1 - constants.beta1**step) if constants.bias_correction else m
    v_hat = v / (1 - constants.beta2**step) if constants.bias_correction else v
    p = p - lr * (m_hat / (math.sqrt(v_hat) + constants.epsilon) + (constants.weight_decay * p if decay else 0.0))
    return p, m, v


@pytest.mark.parametrize("bias_correction", [True, False])
@pytest.mark.parametrize("decay", [True, False])
def test_three_updates_follow_the_formulas(bias_correction, decay):
    constants = CONSTANTS._replace(bias_correction=bias_correction)
    rng = np.random.default_rng(0)
    p, m, v = rng.standard_normal(5), np.zeros(5), np.zeros(5)
    expected = [(x, 0.0, 0.0) for x in p.tolist()]
    for step in (1, 2, 3):
        g = rng.standard_normal(5)
        lr = 0.1 / step
        expected = [textbook(*numbers, lr, step, decay, constants)
                    for numbers in ((p_, g_, m_, v_) for (p_, m_, v_), g_ in zip(expected, g.tolist()))]
        adamw.update(p, g, m, v, lr, step, decay, constants)
        np.testing.assert_allclose(np.array([p, m, v]).T, expected, rtol=1e-14, atol=1e-16)


def test_the_first_step_is_the_learning_rate_however_large_the_gradient():
    g = np.array([1e-3, -1.0, 1e6])
    p, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    adamw.update(p, g, m, v, 0.01, 1, True, AdamW(epsilon=0.0))
    np.testing.assert_allclose(p, [-0.01, 0.01, -0.01], rtol=1e-12)


def test_without_bias_correction_the_first_step_is_larger():
    p, m, v = np.zeros(1), np.zeros(1), np.zeros(1)
    adamw.update(p, np.ones(1), m, v, 0.01, 1, True, AdamW(epsilon=0.0, bias_correction=False))
    assert -p[0] / 0.01 == pytest.approx(0.1 / math.sqrt(0.001))  # the 3.2 of the module's docstring


def test_float32_stays_float32():
    p, g, m, v = (np.ones(4, np.float32) for _ in range(4))
    adamw.update(p, g, m, v, 0.1, 1, True, AdamW())
    assert {x.dtype for x in (p, g, m, v)} == {np.dtype(np.float32)}


def layout():
    return Layout({"a.weight": (2, 3), "a.bias": (2,), "norm.LayerNorm.weight": (2,), "b.weight": (3, 2), "b.bias": (3,)},
                  {"tied.weight": "b.weight"})


def names(table, layout):
    return [{slot.name for slot in layout.slots.values() if run.start <= slot.start and slot.stop <= run.stop}
            for run in table]


def test_runs_are_as_few_as_can_be():
    table = adamw.runs(layout())
    assert names(table, layout()) == [{"a.weight", "b.weight"}, {"a.bias", "norm.LayerNorm.weight", "b.bias"}]
    assert [run.decay for run in table] == [True, False]
    assert (table[0].start, table[-1].stop) == (0, layout().size)

    frozen = adamw.runs(layout(), active=lambda name: not name.startswith("a."),
                        lr_scale=lambda name: 0.5 if name.startswith("b.") else 1.0)
    assert names(frozen, layout()) == [{"a.weight"}, {"b.weight"}, {"a.bias"}, {"norm.LayerNorm.weight"}, {"b.bias"}]
    assert [run.active for run in frozen] == [False, True, False, True, True]
    assert [run.lr_scale for run in frozen] == [1.0, 0.5, 1.0, 1.0, 0.5]


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_pieces_cover_the_active_runs_once(size):
    table = adamw.runs(layout(), active=lambda name: name != "a.bias")
    covered = np.zeros(layout().size, int)
    for piece in adamw.pieces(table, size):
        assert 0 < piece.stop - piece.start <= size
        covered[piece.start:piece.stop] += 1
    expected = Parameters(layout(), np.ones(layout().size, int))
    expected["a"]["bias"][...] = 0
    np.testing.assert_array_equal(covered, expected.flat)


def test_only_weights_decay():
    """With a gradient of zero nothing but the decay is left."""
    config = small_config()
    with engine(config, optimiser=AdamW(weight_decay=0.5)) as e:
        before = {name: view.copy() for name, view in e.parameters.items()}
        e.apply(0.1)
        for name, view in e.parameters.items():
            factor = 1.0 if name.endswith("bias") or "LayerNorm" in name else 1 - 0.1 * 0.5
            np.testing.assert_allclose(view, before[name] * factor, rtol=1e-15, err_msg=name)


def set_gradients(e, seed: int = 0):
    for i, slab in enumerate(e.gradients):
        slab.flat[...] = np.random.default_rng(seed + i).standard_normal(slab.flat.shape)


def test_lr_scale_scales_the_step_and_the_decay():
    config = small_config()
    scales = {"bert.encoder.layer.0.": 0.0, "bert.encoder.layer.1.": 0.25}

    def scale(name):
        return next((s for start, s in scales.items() if name.startswith(start)), 1.0)

    moves = []
    for scaled in (False, True):
        with engine(config, optimiser=CONSTANTS, clip_norm=None) as e:
            if scaled:
                e.table = lambda present: adamw.runs(e.parameters.layout, lr_scale=scale)
            before = e.parameters.flat.copy()
            set_gradients(e)
            e.apply(0.1)
            moves.append(dict(Parameters(e.parameters.layout, e.parameters.flat - before).items()))
    for name, move in moves[1].items():
        np.testing.assert_allclose(move, scale(name) * moves[0][name], rtol=1e-9, atol=1e-15, err_msg=name)


def test_frozen_parameters_have_no_share_in_anything():
    config = small_config()

    def frozen(name):
        return name.startswith(("bert.embeddings.", "bert.encoder.layer.1."))

    with engine(config, optimiser=CONSTANTS) as e:
        e.table = lambda present: adamw.runs(e.parameters.layout, active=lambda name: not frozen(name))
        before = {name: view.copy() for name, view in e.parameters.items()}
        set_gradients(e)
        g = dict(Parameters(e.parameters.layout, e.gradients[0].flat.copy()).items())
        norm = e.apply(0.1)
        assert norm == pytest.approx(math.sqrt(sum((x**2).sum() for name, x in g.items() if not frozen(name))))
        m, v = dict(e.kept["m"].items()), dict(e.kept["v"].items())
        for name, view in e.parameters.items():
            assert np.array_equal(view, before[name]) == frozen(name), name
            assert m[name].any() == v[name].any() == (not frozen(name)), name


def test_without_pairs_the_pooler_and_its_head_stay_bit_for_bit():
    config = small_config(**NO_DROPOUT)
    with_pairs, without = (micro_batches(masked_examples(config, pairs=pairs), 60) for pairs in (True, False))
    with engine(config, optimiser=CONSTANTS) as e:
        e.train(with_pairs, 0.01)  # moments that would go on moving them
        before = [{name: view.copy() for name, view in slab.items()} for slab in (e.parameters, *e.kept.values())]
        for _ in range(2):
            e.train(without, 0.01)
        for slab, old in zip((e.parameters, *e.kept.values()), before):
            for name, view in slab.items():
                if not name.endswith("key.bias"):  # its gradient is zero but for rounding: it may stay or not
                    assert np.array_equal(view, old[name]) == name.startswith(UNUSED), name
        e.train(with_pairs, 0.01)  # and they are back when there are pairs again
        assert not [name for name, view in e.parameters.items()
                    if np.array_equal(view, before[0][name]) and not name.endswith("key.bias")]


def test_tied_weights_are_stepped_once():
    """The decoder's table is the embeddings' table: a gradient at either door is one step of one tensor."""
    config = small_config()
    with engine(config, optimiser=AdamW(weight_decay=0.0), clip_norm=None) as e:
        table = e.parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
        before = table.copy()
        g = e.gradients[0]
        g["bert"]["embeddings"]["word_embeddings"]["weight"] += 1.0
        g["cls"]["predictions"]["decoder"]["weight"] += 1.0
        e.apply(0.01)
        np.testing.assert_allclose(before - table, 0.01, rtol=1e-5)
        np.testing.assert_allclose(e.kept["m"]["bert"]["embeddings"]["word_embeddings"]["weight"], 0.1 * 2.0, rtol=1e-12)
        assert e.parameters["cls"]["predictions"]["decoder"]["weight"] is table


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_neither_pieces_nor_threads_change_the_step(monkeypatch, clip_norm):
    config = small_config()
    rng = np.random.default_rng(0)
    total = rng.standard_normal(pretraining.layout(config).size)
    results = []
    for piece, threads in ((2**16, 1), (100, 1), (1, 1) if clip_norm is None else (37, 1), (100, 2), (100, 3)):
        monkeypatch.setattr(engine_module, "PIECE", piece)
        with engine(config, threads, parameters=random_parameters(config), clip_norm=clip_norm) as e:
            for _ in range(2):
                e.gradients[0].flat[...] = total
                e.apply(0.01)
            results.append(np.array([e.parameters.flat, e.kept["m"].flat, e.kept["v"].flat]))
    for result in results[1:]:
        if clip_norm is None:
            np.testing.assert_array_equal(result, results[0])
        else:  # the norm is a sum of as many parts as there are pieces
            np.testing.assert_allclose(result, results[0], rtol=1e-13)
    np.testing.assert_array_equal(results[1], results[3])
    np.testing.assert_array_equal(results[1], results[4])


def test_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing():
    rates = [learning_rate(step, 0.5, 10, 100) for step in range(1, 101)]
    np.testing.assert_allclose(rates[:10], 0.05 * np.arange(1, 11))
    assert rates[9] == max(rates) == 0.5
    np.testing.assert_allclose(np.diff(rates[9:]), -0.5 / 91)  # in a line that would reach zero one step after the last
    assert rates[-1] == pytest.approx(0.5 / 91)


@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (1, 1), (0, 7), (7, 7), (3, 4)])
def test_no_step_is_wasted_on_a_learning_rate_of_zero(warmup, total):
    rates = [learning_rate(step, 1.0, warmup, total) for step in range(1, total + 1)]
    assert all(0 < rate <= 1 for rate in rates)
    assert warmup == 0 or max(rates) == 1
