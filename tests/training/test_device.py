"""A training step on the device stand-in: an array type that refuses to mix with NumPy and notes every wait of the host."""

import numpy as np
import pytest

from minibert import backend
from minibert.layers import embedding
from minibert.model import pretraining
from minibert.tasks.batches import micro_batches
from minibert.training import checkpoint, loop
from minibert.training.adamw import AdamW
from minibert.training.engine import Engine
from minibert.training.loop import read_rows
from minibert.workers import Workers
from tests import device
from tests.model.examples import distance, random_parameters, small_config
from tests.training.examples import masked_examples
from tests.training.runs import FINISHED, interrupt_after, names


def host(x):
    return x.get() if isinstance(x, device.DeviceArray) else np.asarray(x)


def figures(metrics):
    return [metrics.loss, *metrics.losses.values(), *metrics.correct.values(), *metrics.counts.values(), metrics.tokens]


def steps(xp, threads, config, examples=3, **options):
    """Two steps and an evaluation; what the host waited for meanwhile; everything that came out, on the host."""
    batches = [micro_batches(masked_examples(config, seed=seed), 60) for seed in range(examples)]
    with Workers(threads) as workers:
        e = Engine(pretraining.of(config), random_parameters(config, dtype=np.float32).to(xp), workers, **options)
        with device.watch() as waits:
            trained = [e.train(batch, 0.01) for batch in batches[:-1]]
            evaluated = e.evaluate(batches[-1])
        results = [x for metrics, norm in trained for x in (*figures(metrics), norm)] + figures(evaluated)
        return waits, [host(x) for x in results], [host(slab.flat) for slab in (e.parameters, *e.kept.values())]


@pytest.mark.parametrize("norm_first", [False, True], ids=["post-LN", "pre-LN"])
def test_a_step_without_clipping_is_the_same_bit_for_bit(norm_first):
    config = small_config(norm_first=norm_first)  # with dropout
    options = {"clip_norm": None, "optimiser": AdamW(epsilon=1e-3)}
    _, results, slabs = steps(device.xp, 2, config, **options)
    _, expected, expected_slabs = steps(np, 1, config, **options)
    norms = (8, 17)  # a sum of as many parts as there are pieces
    for i, (a, b) in enumerate(zip(results, expected, strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-6 if i in norms else 0)
    for a, b in zip(slabs, expected_slabs):
        np.testing.assert_array_equal(a, b)


def test_a_clipped_step_is_the_same_to_rounding():
    config = small_config()
    options = {"clip_norm": 0.1, "optimiser": AdamW(epsilon=1e-3)}
    _, results, slabs = steps(device.xp, 2, config, **options)
    _, expected, expected_slabs = steps(np, 1, config, **options)
    np.testing.assert_allclose(results, expected, rtol=1e-5)
    for a, b in zip(slabs, expected_slabs):
        assert a.dtype == b.dtype == np.float32
        assert distance(a, b) < 1e-6


def test_the_host_never_waits_for_the_device(monkeypatch):
    """Once in a step is too often. The lookup's readable backward counts distinct ids, and that is all it may wait for."""
    waits, *_ = steps(device.xp, 2, small_config())
    assert set(waits) <= {"flatnonzero"}

    def add_rows(table, ids, rows):  # as a kernel does it
        np.add.at(table._host, ids._host, rows._host)

    monkeypatch.setattr(embedding, "add_rows", add_rows)
    waits, *_ = steps(device.xp, 2, small_config())
    assert waits == []


def test_metrics_stay_on_the_device_until_somebody_reads_them():
    config = small_config()
    with Workers(1) as workers:
        e = Engine(pretraining.of(config), random_parameters(config, dtype=np.float32).to(device.xp), workers)
        metrics, norm = e.train(micro_batches(masked_examples(config), 60), 0.01)
        figures = metrics.loss, *metrics.losses.values(), *metrics.correct.values(), norm
        assert all(isinstance(x, device.DeviceArray) for x in figures)
        assert len(e.gradients) == 1
        with device.watch() as waits:
            assert isinstance(metrics.mlm_accuracy, float)
        assert len(waits) == 1


def test_a_whole_run_on_the_device(train, resume, tmp_path, monkeypatch):
    """Training, evaluation, saving, an interruption and going on; the numbers are those of the CPU but for rounding."""
    choose = backend.choose
    monkeypatch.setattr(backend, "choose", lambda where: (device.xp, "a stand-in") if where == "gpu" else choose(where))
    assert train(tmp_path / "cpu") == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        assert train(tmp_path / "device", "--device", "gpu") == 130
    assert resume(tmp_path / "device", "--device", "gpu") == 0
    assert names(tmp_path / "device") == FINISHED
    ours, theirs = (checkpoint.load(tmp_path / name) for name in ("device", "cpu"))
    assert distance(ours.parameters.flat, theirs.parameters.flat) < 1e-4
    assert "device: a stand-in" in (tmp_path / "device" / "log.txt").read_text(encoding="utf-8")
    rows, expected = (read_rows(tmp_path / name / "metrics.csv") for name in ("device", "cpu"))
    np.testing.assert_allclose([row["mlm_loss"] for row in rows], [row["mlm_loss"] for row in expected], rtol=1e-4)


def test_a_device_that_is_interrupted_looks_before_it_saves(train, tmp_path, monkeypatch):
    """Its losses are read only now and then: what would be saved may have been lost steps ago."""
    choose = backend.choose
    monkeypatch.setattr(backend, "choose", lambda where: (device.xp, "a stand-in") if where == "gpu" else choose(where))
    original = Engine.apply

    def poisoned(self, *args, **options):
        if self.step == 7:
            self.parameters.flat.fill(float("nan"))
        return original(self, *args, **options)

    monkeypatch.setattr(Engine, "apply", poisoned)
    monkeypatch.setattr(loop, "ROWS", 1)  # no row is due before the next look at held-out text
    interrupt_after(monkeypatch, 9)
    with pytest.raises(FloatingPointError, match="step 9: the loss is nan"):
        train(tmp_path / "run", "--device", "gpu")
    state = checkpoint.load(tmp_path / "run")
    assert state.progress.step == 6
    assert np.isfinite(state.parameters.flat).all()


def test_a_run_in_float16_goes_on_as_if_it_had_never_stopped(train, resume, tmp_path, monkeypatch):
    """The scale of the loss, and what it counts, are part of the state; the masters stay float32."""
    choose = backend.choose
    monkeypatch.setattr(backend, "choose", lambda where: (device.xp, "a stand-in") if where == "gpu" else choose(where))
    assert train(tmp_path / "whole", "--device", "gpu", "--precision", "float16") == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        assert train(tmp_path / "parts", "--device", "gpu", "--precision", "float16") == 130
    assert resume(tmp_path / "parts", "--device", "gpu") == 0
    ours, theirs = (checkpoint.load(tmp_path / name) for name in ("parts", "whole"))
    np.testing.assert_array_equal(ours.parameters.flat, theirs.parameters.flat)
    assert ours.parameters.flat.dtype == np.float32
    assert ours.progress.loss_scale == theirs.progress.loss_scale
    scale, good, skipped = ours.progress.loss_scale
    assert good + skipped >= ours.progress.total - 1
    assert scale > 1
