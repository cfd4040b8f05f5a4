"""The backend switch, and the proof that the model needs no NumPy but the array's own module."""

import sys

import numpy as np
import pytest

from minibert import backend
from minibert.layers.dropout import Key
from minibert.model import bert, encoder, pretraining
from minibert.model.pretraining import Inputs, Output
from minibert.model.recompute import recompute
from tests import device
from tests.device import DeviceArray
from tests.model.examples import random_inputs, random_parameters, small_config

KEY = Key(seed=6, step=2)


class TestSwitch:
    def test_the_data_decides(self):
        assert backend.get_xp(np.zeros(2)) is np
        assert backend.get_xp(np.zeros(2).view(np.memmap)) is np
        assert backend.get_xp(device.xp.zeros(2)) is device.xp

    @pytest.mark.parametrize("value", [[1.0], 1.0, None])
    def test_anything_else_is_an_error(self, value):
        with pytest.raises(TypeError, match=f"expected a NumPy or CuPy array, got {type(value).__name__}"):
            backend.get_xp(value)

    def test_to_numpy(self):
        x = np.arange(3)
        assert backend.to_numpy(x) is x
        copy = backend.to_numpy(device.xp.asarray(x))
        assert type(copy) is np.ndarray
        np.testing.assert_array_equal(copy, x)

    @pytest.mark.parametrize(("given", "widened"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64"),
                                                    ("complex128", "complex128")])
    def test_widen(self, given, widened):
        assert backend.widen(np.zeros(2, given)).dtype == widened

    def test_cpu(self):
        assert backend.choose("cpu") == (np, "CPU (NumPy)")

    def test_another_device_is_an_error(self):
        with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or 'gpu', got 'tpu'"):
            backend.choose("tpu")

    def test_without_cupy_auto_says_why_and_gpu_says_what_to_do(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy then fails
        xp, line = backend.choose("auto")
        assert xp is np
        assert line == "CPU (NumPy); no GPU: CuPy is not installed (pip install -r requirements-gpu.txt)"
        with pytest.raises(RuntimeError, match=r"device 'gpu' was asked for, but CuPy is not installed .*; use --device cpu"):
            backend.choose("gpu")

    @pytest.mark.parametrize(("count", "why"), [
        (lambda: 0, "CuPy sees no CUDA device"),
        (lambda: 1 / 0, r"CuPy cannot use a CUDA device \(division by zero\)"),
    ])
    def test_without_a_gpu_cupy_is_of_no_use(self, monkeypatch, count, why):
        cupy = type(sys)("cupy")
        cupy.ndarray = type("ndarray", (), {})
        cupy.cuda = type(sys)("cuda")
        cupy.cuda.runtime = type("runtime", (), {"getDeviceCount": staticmethod(count)})
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        xp, line = backend.choose("auto")
        assert xp is np
        with pytest.raises(RuntimeError, match=why):
            backend.choose("gpu")
        assert "\n" not in line


class TestStandIn:
    """The stand-in must be as strict as a GPU, or the tests below prove nothing."""

    host = np.ones((2, 3))
    there = device.xp.asarray(host)

    @pytest.mark.parametrize("mix", [
        lambda h, d: h + d, lambda h, d: d + h, lambda h, d: d @ h.T, lambda h, d: h @ d.T, lambda h, d: h == d,
        lambda h, d: h < d, lambda h, d: h.__iadd__(d), lambda h, d: d.__iadd__(h), lambda h, d: np.add(h, d),
        lambda h, d: np.exp(d), lambda h, d: np.mean(d), lambda h, d: np.concatenate([h, d]), lambda h, d: np.asarray(d),
        lambda h, d: np.array([d]), lambda h, d: np.float32(d[0, 0]), lambda h, d: device.xp.exp(h),
        lambda h, d: device.xp.where(d > 0, h, 0), lambda h, d: device.xp.concatenate([d, h]), lambda h, d: d.sum(out=h),
        lambda h, d: d[np.array([0])], lambda h, d: h[d > 0], lambda h, d: d.__setitem__(0, h[0]),
        lambda h, d: h.__setitem__(0, d[0]), lambda h, d: range(d[0, 0]), lambda h, d: d.sum(where=d > 0),
    ])
    def test_mixing_is_refused(self, mix):
        with pytest.raises(TypeError):
            mix(self.host.copy(), self.there)

    def test_names_that_cupy_lacks_are_lacking(self):
        assert not hasattr(device.xp, "errstate")
        assert not hasattr(device.xp, "vecdot")
        assert not hasattr(self.there, "setflags")
        assert not hasattr(self.there, "ctypes")

    def test_scalars_are_welcome_and_promote_as_numpy_does(self):
        x = self.there.astype(np.float32)
        assert (2 * x).dtype == (x * np.float32(2)).dtype == np.float32
        assert (np.float64(2) * x).dtype == np.float64
        assert type(x.sum()) is type(x[0, 0]) is DeviceArray

    def test_writing_through_views(self):
        x = device.xp.zeros((2, 2))
        row = x[0]
        row += 1
        x[1, 0] = 5
        np.testing.assert_array_equal(x.get(), [[1, 1], [5, 0]])

    def test_the_way_in_and_the_way_out_copy(self):
        host = np.zeros(2)
        there = device.xp.asarray(host)
        host[0] = 1
        out = there.get()
        out[1] = 1
        np.testing.assert_array_equal(there.get(), [0, 0])

    def test_every_wait_is_written_down(self):
        x = device.xp.asarray(np.array([0.0, 2.0]))
        with device.watch() as syncs:
            y = (x + 1).sum() / 2
            assert syncs == []
            int(y), float(y), bool(y), y.item(), x.get(), x[x > 0], device.xp.flatnonzero(x), x.tolist()
        assert syncs == ["int", "float", "bool", "item", "get", "boolean index", "flatnonzero", "tolist"]
        float(y)
        assert len(syncs) == 8


def to_device(tree):
    if isinstance(tree, np.ndarray):
        return device.xp.asarray(tree)
    if isinstance(tree, dict):
        return {key: to_device(value) for key, value in tree.items()}
    return tree


def same(here, there):
    """Two trees, one here and one on the device: the same shapes, dtypes and bits."""
    if isinstance(here, (np.ndarray, np.generic)):
        assert isinstance(there, DeviceArray)
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(there.get(), here)
    elif isinstance(here, dict):
        assert here.keys() == there.keys()
        for key in here:
            same(here[key], there[key])
    elif isinstance(here, (tuple, list)):
        for a, b in zip(here, there, strict=True):
            same(a, b)
    else:
        assert here == there


def run(inputs, parameters, config, **options):
    g = parameters.zeros_like()
    layers = encoder.stack(parameters["bert"]["encoder"], g["bert"]["encoder"], config)
    layers[1] = (recompute(layers[1][0]), *layers[1][1:])
    output, cache = pretraining.forward(inputs, parameters.tree, config, layers=layers, **options)
    upstream = Output(loss=1.0, bert=bert.Output(attentions=output.bert.attentions, hidden_states=output.bert.hidden_states))
    d = pretraining.backward(upstream, cache, parameters.tree, g.tree)
    return output, d, g


@pytest.mark.parametrize("norm_first", [False, True], ids=["post-LN", "pre-LN"])
@pytest.mark.parametrize("form", ["gelu", "gelu_new"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_whole_model_runs_on_a_device_and_gives_the_same_bits(norm_first, form, dtype):
    config = small_config(norm_first=norm_first, hidden_act=form)
    inputs, parameters = random_inputs(config), random_parameters(config, dtype=dtype)
    rng = np.random.default_rng(0)
    given = {"head_mask": rng.random((3, 4, 2)).astype(dtype), "hidden": {1: rng.random((4, 9, 12)).astype(dtype)},
             "attentions": {0: rng.random((4, 2, 9, 9)).astype(dtype)}}
    here = run(inputs, parameters, config, key=KEY, counts=(8, 4), **given)
    there = run(Inputs(*map(to_device, inputs)), parameters.to(device.xp), config, key=KEY, counts=(8, 4), **to_device(given))
    same(here[:2], there[:2])
    same(here[2].flat, there[2].flat)


def test_the_host_never_waits_for_a_value():
    """One step queues all its work: only the embedding gradient asks, for the number of distinct ids that it groups."""
    config = small_config()
    inputs = Inputs(*map(to_device, random_inputs(config)))
    parameters = random_parameters(config).to(device.xp)
    g = parameters.zeros_like()
    with device.watch() as forward:
        _, cache = pretraining.forward(inputs, parameters.tree, config, key=KEY, counts=(8, 4))
    with device.watch() as backward:
        pretraining.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    assert forward == []
    assert set(backward) <= {"flatnonzero"}
    assert len(backward) <= 3  # words, token types, masked positions


def test_without_counts_the_host_counts_once_for_each_loss():
    config = small_config()
    inputs = Inputs(*map(to_device, random_inputs(config)))
    with device.watch() as syncs:
        pretraining.forward(inputs, random_parameters(config).to(device.xp).tree, config)
    assert syncs == ["int", "int"]
