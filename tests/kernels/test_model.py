"""The whole model and its training with kernels in place of readable pairs, beside NumPy without them."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.combinations import BODIES, CONVOLUTIONS
from minibert import kernels
from minibert.backend import to_numpy
from minibert.layers.dropout import Key
from minibert.model import pretraining
from minibert.tasks.batches import Batch, micro_batches
from minibert.training.adamw import AdamW
from minibert.training.engine import Engine
from minibert.training.precision import LossScale, dtype_of
from minibert.workers import Workers
from tests import device
from tests.kernels import emulator
from tests.model.examples import distance, loss_and_gradients, random_inputs, random_parameters, small_config
from tests.training.examples import masked_examples

KEY = Key(seed=6, step=2)
CONSTANTS = AdamW(epsilon=1e-3)  # a gradient that is zero but for rounding does not move a weight


def moved(xp, inputs):
    return pretraining.Inputs(*(None if a is None else xp.asarray(a) for a in inputs))


@pytest.mark.parametrize("changes", BODIES.values(), ids=BODIES)
def test_the_model_gives_the_same_with_the_same_masks(xp, changes):
    config = small_config(**changes)
    inputs, parameters = random_inputs(config), random_parameters(config)
    expected, _, g = loss_and_gradients(inputs, parameters, config, key=KEY)
    there = parameters.astype(np.float32).to(xp)
    emulator.launched.clear()
    output, _, g_there = loss_and_gradients(moved(xp, inputs), there, config, key=KEY)
    assert (expected.next_logits is None) == ("nsp" not in pretraining.of(config).heads)
    for name in ("loss", "logits") if expected.next_logits is None else ("loss", "logits", "next_logits"):
        assert distance(to_numpy(getattr(output, name)), getattr(expected, name)) < 1e-5
    assert distance(to_numpy(g_there.flat), g.flat) < 1e-5
    if emulator.launched:
        fused = ("attention_probs", "add_norm", "cross_entropy", *(["bias_gelu"] if config.hidden_act != "relu" else []))
        assert {"add_segments", "gemm", *(f"{name}_backward" for name in fused)} <= set(emulator.launched)


def test_convolutions_give_the_same_and_so_does_a_step_of_theirs(xp):
    """Running statistics too. The body has no twins but those of its loss and its tables."""
    config = small_config(**CONVOLUTIONS | {"hidden_dropout_prob": 0.0})
    model, parameters = pretraining.of(config), pretraining.initial_parameters(config.replace(initializer_range=0.3))
    rng = np.random.default_rng(0)
    real = np.arange(9) < np.array([9, 4, 7])[:, None]
    batches = [Batch(rng.integers(1, config.vocab_size, (3, 9)) * real, 0 * real, real, {"mlm": rng.integers(0, 37, 3)})] * 2
    found = []
    for there in (np, xp):
        with Workers(1) as workers:
            engine = Engine(model, parameters.astype(np.float32).to(there), workers, CONSTANTS)
            losses = [float(engine.train(batches, 0.01)[0].loss) for _ in range(3)]
            found.append((losses, to_numpy(engine.parameters.flat), float(engine.evaluate(batches).loss)))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    assert distance(found[1][1], found[0][1]) < 1e-5
    assert found[1][2] == pytest.approx(found[0][2], rel=1e-5)
    assert found[0][0][2] < found[0][0][0]


@pytest.mark.parametrize(("precision", "bound"), [("float16", 5e-3), ("bfloat16", 4e-2)])
def test_gradients_in_half_precision(xp, precision, bound):
    """Relative, of the whole slab: a few rounding steps of the precision."""
    if precision == "bfloat16":
        pytest.importorskip("ml_dtypes")
    config = small_config()
    inputs, parameters = random_inputs(config), random_parameters(config, dtype=np.float32)
    expected, _, g = loss_and_gradients(inputs, parameters, config, key=KEY)
    there = parameters.to(xp)
    g_there = there.zeros_like()
    narrow = there.astype(dtype_of(precision, xp)).tree
    output, cache = pretraining.forward(moved(xp, inputs), narrow, config, key=KEY)
    assert output.logits.dtype == dtype_of(precision, xp)
    pretraining.backward(pretraining.Output(loss=1.0), cache, narrow, g_there.tree)
    assert float(output.loss) == pytest.approx(float(expected.loss), rel=bound)
    assert g_there.flat.dtype == np.float32
    assert distance(to_numpy(g_there.flat), g.flat) < bound


def losses(xp, steps, config, workers, **options):
    """Of training on the same batch again and again; and the engine."""
    batches = micro_batches(masked_examples(config), 60)
    with Workers(workers) as pool:
        parameters = random_parameters(config, dtype=np.float32).to(xp)
        engine = Engine(pretraining.of(config), parameters, pool, optimiser=CONSTANTS, **options)
        return [float(engine.train(batches, 0.02)[0].loss) for _ in range(steps)], engine


def test_twenty_losses(xp):
    config = small_config(num_hidden_layers=1)
    ours, engine = losses(xp, 20, config, 1)
    theirs, reference = losses(np, 20, config, 1)
    assert theirs[-1] < theirs[0] - 1
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert distance(to_numpy(engine.parameters.flat), reference.parameters.flat) < 1e-4


@pytest.mark.parametrize(("precision", "bound"), [("tf32", 1e-2), ("float16", 2e-2), ("bfloat16", 1e-1)])
def test_losses_in_other_precisions(xp, precision, bound):
    if precision == "bfloat16":
        pytest.importorskip("ml_dtypes")
    config = small_config()
    theirs, _ = losses(np, 4, config, 1)
    ours, engine = losses(xp, 4, config, 1, precision=precision)
    np.testing.assert_allclose(ours, theirs, rtol=bound)
    assert {slab.flat.dtype for slab in (engine.parameters, *engine.kept.values(), *engine.gradients)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("float16", 2e-2), ("bfloat16", 1e-1)])
def test_readable_and_fused_agree_on_the_device(xp, precision, bound, activation):
    if precision == "bfloat16":
        pytest.importorskip("ml_dtypes")
    config = small_config(hidden_act=activation)
    ours, _ = losses(xp, 2, config, 1, precision=precision)
    with kernels.without():
        theirs, _ = losses(xp, 2, config, 1, precision=precision)
    np.testing.assert_allclose(ours, theirs, rtol=bound)


def test_readable_layers_keep_half_precision(xp):
    """A Python float makes float32 of bfloat16 in CuPy: from there on the whole model would compute in float32."""
    pytest.importorskip("ml_dtypes")
    config = small_config()
    narrow = random_parameters(config, dtype=np.float32).to(xp).astype(dtype_of("bfloat16", xp)).tree
    with kernels.without():
        output, _ = pretraining.forward(moved(xp, random_inputs(config)), narrow, config, key=KEY)
    assert {h.dtype.name for h in (*output.bert.hidden_states, *output.bert.attentions, output.logits)} == {"bfloat16"}


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_host_never_waits_for_the_device(emulated, precision):
    config = small_config()
    batches = micro_batches(masked_examples(config), 60)
    with Workers(1) as pool:
        parameters = random_parameters(config, dtype=np.float32).to(emulated)
        engine = Engine(pretraining.of(config), parameters, pool, precision=precision)
        with device.watch() as waits:
            engine.train(batches, 0.01)
    assert waits == []


def test_a_step_that_overflows_is_skipped_and_the_scale_halved(xp):
    config = small_config()
    batches = micro_batches(masked_examples(config), 60)
    with Workers(1) as pool:
        engine = Engine(pretraining.of(config), random_parameters(config, dtype=np.float32).to(xp), pool, precision="float16")
        engine.loss_scale = LossScale(xp, scale=2.0**40)
        before = to_numpy(engine.parameters.flat).copy()
        with np.errstate(all="ignore"):
            metrics, norm = engine.train(batches, 0.01)
        assert float(norm) == 0
        assert np.isfinite(float(metrics.loss))
        np.testing.assert_array_equal(to_numpy(engine.parameters.flat), before)
        assert engine.loss_scale.state() == (2.0**39, 0, 1)
        engine.loss_scale = LossScale(xp, scale=2.0**8)
        _, norm = engine.train(batches, 0.01)
        assert float(norm) > 0
        assert not np.array_equal(to_numpy(engine.parameters.flat), before)
        assert engine.loss_scale.state() == (2.0**8, 1, 0)


def test_the_scale_grows_after_many_good_steps():
    scale = LossScale(np, 8.0, LossScale.GROW_AFTER - 1)
    scale.update(np.isfinite(1.0))
    assert scale.state() == (16, 0, 0)
    scale = LossScale(np, 1.0)
    scale.update(np.isfinite(np.inf))
    assert scale.state() == (1, 0, 1)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_less_than_float32_is_for_a_gpu(precision):
    with pytest.raises(ValueError, match=f"--precision {precision} is for an NVIDIA GPU, .* use --precision float32"):
        dtype_of(precision, np)
    with pytest.raises(ValueError, match="--precision must be one of float32, tf32, bfloat16, float16, got 'half'"):
        dtype_of("half", np)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_an_older_gpu_is_told_what_it_can_do(precision):
    turing = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: SimpleNamespace(compute_capability="75")))
    with pytest.raises(ValueError, match=f"{precision} needs a GPU of compute capability 8.0 .* this one has 7.5; use float16"):
        dtype_of(precision, turing)
    assert dtype_of("float16", turing) == np.float16
