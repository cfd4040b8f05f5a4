"""Where twins run: on the stand-in with emulated kernels, and on a GPU where there is one."""

import pytest

from minibert import backend
from tests import device
from tests.kernels import emulator


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def xp(request, monkeypatch):
    """The array module of a device that runs kernels."""
    if request.param == "emulated":
        emulator.switch_on(monkeypatch)
        return device.xp
    try:
        return backend.choose("gpu")[0]
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture
def emulated(monkeypatch):
    """The stand-in alone: for what only it can tell."""
    emulator.switch_on(monkeypatch)
    return device.xp
