"""``python -m benchmarks.gpu`` measures only on a GPU; what it would measure is tried out here."""

import sys

import numpy as np
import pytest

from benchmarks import gpu
from minibert import kernels
from tests.kernels import emulator
from tests.model.examples import small_config


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu.main(["tiny"]) == gpu.NO_GPU
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: device 'gpu' was asked for, but CuPy is not installed")


def test_an_unknown_preset_is_an_error(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["huge"])
    assert "no preset huge; there are tiny, mini, base" in capsys.readouterr().err


def test_every_kernel_is_timed_at_work(emulated):
    """Each entry runs its twin, or the readable pair where that is asked for; no twin is left out."""
    entries = list(gpu.works(emulated, small_config(), 18, 9, np.dtype("float32")))
    assert len(entries) == 15
    assert {e.module for e in entries} == {f.__module__.rpartition(".")[2] for f in kernels.TWINS} - {"products"}
    for entry in entries:
        assert entry.bytes > 0
        call = entry.prepare()
        emulator.launched.clear()
        call()
        assert emulator.launched, entry.name
        with kernels.without():
            call = entry.prepare()
            emulator.launched.clear()
            call()
            assert not emulator.launched, entry.name
