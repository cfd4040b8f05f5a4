"""The backend switch: the data decides.

Every layer asks ``get_xp(x)`` for the module that its array belongs to (``numpy`` on the CPU, ``cupy`` on an NVIDIA
GPU) and uses nothing but that module, methods and operators. There is no global switch: one process can run both and
compare them. Where parameters and batches live is chosen once, with ``choose``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Literal

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: any array whose type is registered below

_registry: dict[type, ModuleType] = {np.ndarray: np}


def register(array_type: type, xp: Any) -> None:
    """Make ``get_xp`` answer ``xp`` for arrays of ``array_type``; ``xp`` offers NumPy's names."""
    _registry[array_type] = xp


def get_xp(x: Array) -> Any:
    """The array module that ``x`` belongs to: ``numpy``, ``cupy`` or one that was registered.

    Raises TypeError for anything that is no registered array, a list for instance.
    """
    try:
        return _registry[type(x)]
    except KeyError:
        pass
    cupy = sys.modules.get("cupy")  # an array of CuPy exists only where CuPy has been imported
    if cupy is not None and isinstance(x, cupy.ndarray):
        register(type(x), cupy)
        return cupy
    for array_type, xp in _registry.items():  # subclasses: numpy.memmap and the like
        if isinstance(x, array_type):
            return xp
    raise TypeError(
        f"expected a NumPy or CuPy array, got {type(x).__name__}; convert it with numpy.asarray or xp.asarray first"
    )


def to_numpy(x: Array) -> np.ndarray:
    """A NumPy array with the values of ``x``: a copy from the device, or ``x`` itself where it is on the CPU."""
    if isinstance(x, np.ndarray):
        return x
    return x.get() if hasattr(x, "get") else np.asarray(x)


def refuse_nan(x: Array) -> None:
    """ValueError where a model computed what is no number."""
    if get_xp(x).isnan(x).any():
        raise ValueError("the model computes what is no number (NaN), so it has no answer: its file is damaged, or its training "
                         "failed")


def widen(x: Array) -> Array:
    """``x`` in at least float32: sums and means of half-precision numbers would lose most of their digits."""
    return x.astype(np.result_type(x.dtype, np.float32), copy=False)


def compute_capability(xp: Any) -> int | None:
    """Of the current GPU: 75 for Turing, 80 for Ampere, 90 for Hopper. None where ``xp`` has no GPU."""
    return int(xp.cuda.Device().compute_capability) if hasattr(xp, "cuda") else None


def choose(device: Literal["auto", "cpu", "gpu"] = "auto") -> tuple[Any, str]:
    """The array module for a device, and one line that says what was chosen.

    ``cpu`` is NumPy. ``gpu`` is CuPy, and a RuntimeError with one clear sentence where CuPy or a GPU is missing.
    ``auto`` takes the GPU if there is one and says why when it does not.
    """
    if device == "cpu":
        return np, "CPU (NumPy)"
    if device not in ("auto", "gpu"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'gpu', got {device!r}")
    cupy, why_not = _find_gpu()
    if cupy is not None:
        name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
        return cupy, f"GPU ({name}, CuPy {cupy.__version__})"
    if device == "gpu":
        raise RuntimeError(f"device 'gpu' was asked for, but {why_not}; use --device cpu, or auto to fall back by itself")
    return np, f"CPU (NumPy); no GPU: {why_not}"


def _find_gpu() -> tuple[Any, str]:
    """``(cupy, "")``, or ``(None, why)`` where there is no CuPy or no device that works."""
    try:
        import cupy
    except ImportError:
        return None, "CuPy is not installed (pip install -r requirements-gpu.txt)"
    except Exception as error:  # a broken CUDA installation raises many things while CuPy is imported
        return None, f"CuPy cannot be imported ({_first_line(error)})"
    try:
        if cupy.cuda.runtime.getDeviceCount() < 1:
            return None, "CuPy sees no CUDA device"
        one = cupy.ones((1, 1))
        (one @ one).sum()  # a driver that is too old, and a missing cuBLAS or compiler, show only here
    except Exception as error:
        return None, f"CuPy cannot use a CUDA device ({_first_line(error)})"
    return cupy, ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
