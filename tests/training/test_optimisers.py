"""Every optimiser of the table: over whole slabs, whoever carries them, on a device, and again after an interruption."""

import numpy as np
import pytest

from minibert.model import pretraining
from minibert.numerics import adam
from minibert.tasks.batches import micro_batches
from minibert.training import course, muon, optimisers
from minibert.training import engine as engine_module
from minibert.training.course import Course
from minibert.training.engine import Engine
from minibert.training.optimisers import OPTIMISERS
from minibert.workers import Workers
from tests import device
from tests.model.examples import distance, random_parameters, small_config
from tests.numerics import test_adafactor, test_muon
from tests.numerics.test_lamb import PUBLISHED, reference
from tests.training.examples import NO_DROPOUT, engine, masked_examples

every = pytest.mark.parametrize("name", OPTIMISERS)


def test_the_options_name_them_all():
    assert course.OPTIMISERS == tuple(OPTIMISERS)


@every
def test_a_course_keeps_what_was_published_but_for_what_it_asks(name):
    assert optimisers.constants_of(Course(optimiser=name)) == OPTIMISERS[name]
    others = {"weight_decay": 0.1, **({"beta2": 0.98, "bias_correction": False} if "beta2" in OPTIMISERS[name]._fields else {})}
    assert optimisers.constants_of(Course(optimiser=name, **others)) == OPTIMISERS[name]._replace(**others)


@pytest.mark.parametrize("option", [{"beta2": 0.98}, {"bias_correction": False}])
def test_adafactor_has_no_constant_memory(option):
    with pytest.raises(ValueError, match=r"--optimiser adafactor forgets by the number of the step: --beta2"):
        Course(optimiser="adafactor", **option)


def test_adafactor_keeps_rows_and_columns():
    config = small_config()
    kept = optimisers.kept_by(OPTIMISERS["adafactor"], pretraining.layout(config))
    assert sum(layout.size for layout in kept.values()) < pretraining.layout(config).size / 4


@pytest.mark.parametrize("name", PUBLISHED)
def test_lamb_over_a_slab_treats_every_tensor_by_itself(monkeypatch, name):
    monkeypatch.setattr(engine_module, "PIECE", 100)  # tensors of several pieces
    config, rng = small_config(), np.random.default_rng(0)
    gradients = rng.standard_normal((3, pretraining.layout(config).size))
    with engine(config, 2, clip_norm=None, optimiser=OPTIMISERS[name]) as e:
        before = {slot: view.copy() for slot, view in e.parameters.items()}
        for g in gradients:
            e.gradients[0].flat[...] = g
            e.apply(0.01)
        for slot in e.parameters.layout.slots.values():
            part = slice(slot.start, slot.stop)
            expected = reference(before[slot.name].ravel(), gradients[:, part], slot.decay, 0.01, **PUBLISHED[name])
            np.testing.assert_allclose(e.parameters.flat[part], expected, rtol=1e-10, atol=1e-13, err_msg=slot.name)


def test_adafactor_over_a_slab_treats_every_tensor_as_a_whole(monkeypatch):
    monkeypatch.setattr(engine_module, "PIECE", 100)
    config, rng = small_config(), np.random.default_rng(0)
    gradients = rng.standard_normal((3, pretraining.layout(config).size))
    with engine(config, 2, clip_norm=None, optimiser=OPTIMISERS["adafactor"]) as e:
        before = {slot: view.copy() for slot, view in e.parameters.items()}
        for g in gradients:
            e.gradients[0].flat[...] = g
            e.apply(0.01)
        for slot in e.parameters.layout.slots.values():
            its = gradients[:, slot.start:slot.stop].reshape(3, *slot.shape)
            expected = test_adafactor.reference(before[slot.name], its, 0.01, wd=0.01 * slot.decay)
            got = e.parameters.flat[slot.start:slot.stop].reshape(slot.shape)
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-13, err_msg=slot.name)


@pytest.mark.parametrize("name", ["muon", "muon-original"])
def test_muon_turns_the_matrices_of_the_layers_and_nothing_else(monkeypatch, name):
    monkeypatch.setattr(engine_module, "PIECE", 100)
    config, rng, constants = small_config(), np.random.default_rng(0), OPTIMISERS[name]
    gradients = rng.standard_normal((3, pretraining.layout(config).size))
    turned = set()
    with engine(config, 2, clip_norm=None, optimiser=constants) as e:
        before = {slot: view.copy() for slot, view in e.parameters.items()}
        for g in gradients:
            e.gradients[0].flat[...] = g
            e.apply(0.01)
        for slot in e.parameters.layout.slots.values():
            its = gradients[:, slot.start:slot.stop].reshape(3, *slot.shape)
            if muon.of_a_layer(slot):
                turned.add(slot.name.split(".", 4)[4])
                expected = test_muon.reference(before[slot.name], its, 0.01, constants.scale, wd=0.01)
            else:
                expected, m, v = before[slot.name].copy(), np.zeros(slot.shape), np.zeros(slot.shape)
                for t, g in enumerate(its, start=1):
                    adam.update(expected, g.copy(), m, v, 0.01 * constants.rest, t, slot.decay, adam.DEFAULT)
            got = e.parameters.flat[slot.start:slot.stop].reshape(slot.shape)
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-13, err_msg=slot.name)
    assert turned == {"attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight",
                      "attention.output.dense.weight", "intermediate.dense.weight", "output.dense.weight"}


def weights(name, threads, piece, monkeypatch):
    monkeypatch.setattr(engine_module, "PIECE", piece)
    config = small_config()
    with engine(config, threads, np.float32, random_parameters(config, dtype=np.float32), lanes=4, clip_norm=0.5, ema=0.9,
                optimiser=OPTIMISERS[name]) as e:
        for step in range(3):
            e.train(micro_batches(masked_examples(config, seed=step), 30), 0.01)
        return b"".join(slab.flat.tobytes() for slab in (e.parameters, *e.kept.values()))


@every
def test_the_bytes_do_not_depend_on_the_number_of_threads(name, monkeypatch):
    expected = weights(name, 1, 500, monkeypatch)
    for threads in (2, 3, 4):
        assert weights(name, threads, 500, monkeypatch) == expected


def moved(name, xp, precision="float32"):
    config = small_config(**NO_DROPOUT)
    with Workers(2) as workers:
        e = Engine(pretraining.of(config), random_parameters(config, dtype=np.float32).to(xp), workers, ema=0.9,
                   optimiser=OPTIMISERS[name]._replace(epsilon=1e-3), precision=precision)
        batches = micro_batches(masked_examples(config), 60)
        with device.watch() as waits:
            for _ in range(2):
                e.train(batches, 0.01)
        slabs = [slab.flat if xp is np else slab.flat.get() for slab in (e.parameters, *e.kept.values())]
        for slot in e.parameters.layout.slots.values():
            if slot.name.endswith("key.bias"):  # its gradient is zero but for rounding, which a ratio makes as long as any
                for slab in slabs:
                    slab[slot.start:slot.stop] = 0
        return slabs, waits, e


@every
def test_a_device_takes_the_same_steps_and_nobody_waits(name):
    (ours, waits, _), (expected, *_) = moved(name, device.xp), moved(name, np)
    assert set(waits) <= {"flatnonzero"}  # the readable lookup's own, see test_device
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == b.dtype == np.float32
        assert distance(a, b) < 1e-5


@every
def test_a_step_that_overflowed_is_no_step(name):
    _, waits, e = moved(name, device.xp, "float16")
    assert set(waits) <= {"flatnonzero", *(["bool"] if name == "adamw" else [])}  # its readable pair asks, its kernel does not
    kept = [slab.flat.get() for part, slab in {"p": e.parameters, **e.kept}.items() if part != "average"]
    e.gradients[0].flat[0] = np.float32("inf")
    e.apply(0.01)
    for before, slab in zip(kept, [slab for part, slab in {"p": e.parameters, **e.kept}.items() if part != "average"]):
        np.testing.assert_array_equal(slab.flat.get(), before)
    assert not e.gradients[0].flat.get().any()


def test_what_rests_moves_under_no_optimiser():
    config = small_config()
    for name, constants in OPTIMISERS.items():
        with engine(config, freeze=1, optimiser=constants) as e:
            before = {slot: view.copy() for slot, view in e.parameters.items()}
            e.train(micro_batches(masked_examples(config), 60), 0.01)
            for slot, view in e.parameters.items():
                still = slot.startswith(("bert.embeddings.", "bert.encoder.layer.0."))
                assert still == np.array_equal(view, before[slot]) or slot.endswith("key.bias"), (name, slot)


def test_a_second_phase_counts_its_steps_anew():
    """NVIDIA's second phase begins with the moments of the first and t = 1: its first update is about 10/√1000 as long."""
    config = small_config()
    sizes = {}
    for again in (False, True):
        with engine(config, clip_norm=None, optimiser=OPTIMISERS["lamb"]) as e:
            for slab in e.kept.values():
                slab.flat.fill(1)  # as after very many steps of a steady gradient
            e.step = 7038
            if again:
                e.restart()
            e.gradients[0].flat.fill(1)
            before = e.parameters["bert"]["pooler"]["dense"]["bias"].copy()  # without a ratio
            e.apply(1e-3)
            sizes[again] = np.linalg.norm(e.parameters["bert"]["pooler"]["dense"]["bias"] - before)
            assert e.step == 7039
    assert sizes[True] / sizes[False] == pytest.approx(10 / np.sqrt(1000), rel=1e-3)
