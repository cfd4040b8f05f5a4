"""A GPU for tests, slow and exact: it compiles CUDA C++ with the host's C++ compiler and runs it on the stand-in arrays.

``switch_on(monkeypatch)`` gives ``tests.device.xp`` what a twin asks of CuPy: ``RawModule``, ``cuda.Device`` and
``cuda.cublas.gemmStridedBatchedEx``. The twins then run on the stand-in as they would on a GPU: the host's part and the kernels.
Launches are written down in ``launched``. Memory that a kernel must fill is full of NaN before.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import device
from tests.device import DeviceArray

HERE = Path(__file__).parent
PROCESSORS = 2
FLAGS = ("-x", "c++", "-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-ffp-contract=off", "-fno-strict-aliasing", f"-I{HERE}")

launched: list[str] = []  # names of kernels, in order


@functools.cache
def compiler() -> str | None:
    """A C++ compiler that can build what the emulator needs, or None."""
    if sys.platform not in ("linux", "darwin"):
        return None
    for name in ("g++", "clang++", "c++"):
        if shutil.which(name):
            probe = "#include <ucontext.h>\n_Float16 f(float x) { return _Float16(x); }\nunsigned __int128 n;\n"
            done = subprocess.run([name, *FLAGS, "-", "-o", "/dev/null"], input=probe, text=True, capture_output=True,
                                  check=False)
            if done.returncode == 0:
                return name
    return None


@functools.cache
def build(text: str, options: tuple[str, ...] = ()) -> ctypes.CDLL:
    """A shared library of C++ that may use the emulator."""
    folder = Path(tempfile.gettempdir()) / f"minibert-emulator-{sys.version_info[0]}"
    folder.mkdir(exist_ok=True)
    everything = "\0".join([text, *options, *(p.read_text(encoding="utf-8") for p in sorted(HERE.glob("*.h")))])
    library = folder / f"{hashlib.sha256(everything.encode()).hexdigest()[:20]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / "made.so"
            done = subprocess.run([compiler(), *FLAGS, *options, "-", "-o", str(made)], input=text, encoding="utf-8",
                                  capture_output=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the emulator cannot compile this:\n{done.stderr[:4000]}")
            made.replace(library)
    return ctypes.CDLL(str(library))


class RawModule:
    """As ``cupy.RawModule``."""

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        self.kernels = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\(.*?\) )?(\w+)\(', code)
        launchers = "".join(
            f'extern "C" int launch_{name}(const unsigned* grid, const unsigned* block, void** arguments, const char* kinds, '
            f"const int* sizes, int count) {{ return emulator::launch({name}, grid, block, arguments, kinds, sizes, count); }}\n"
            for name in self.kernels)
        code = code.replace("extern __shared__ float shared[];", "")  # the emulator's own
        self.library = build(f'#include "emulator.h"\n{code}\n{launchers}', tuple(options))

    def get_function(self, name: str) -> Any:
        function = getattr(self.library, f"launch_{name}")

        def launch(grid: tuple, block: tuple, args: tuple, shared_mem: int = 0) -> None:
            assert int(np.prod(block)) <= 1024, f"{name}: a block has at most 1024 threads, not {block}"
            assert shared_mem <= 48 * 1024, f"{name}: {shared_mem} bytes of shared memory are too many"
            launched.append(name)
            values = [_value(a) for a in args]
            pointers = (ctypes.c_void_p * len(args))(*(v.ctypes.data for v, _ in values))
            sizes = (ctypes.c_int * len(args))(*(v.itemsize for v, _ in values))
            kinds = "".join(kind for _, kind in values).encode()
            error = function(_three(grid), _three(block), pointers, kinds, sizes, len(args))
            if error >= 100:
                raise TypeError(f"{name}: argument {error - 100} is {values[error - 100]}, which the kernel does not expect")
            assert error != 1, f"{name}: threads wait for others that never come"
            assert error != 2, f"{name}: takes not {len(args)} arguments"

        return launch


def _three(sizes: tuple) -> Any:
    return (ctypes.c_uint * 3)(*sizes, *[1] * (3 - len(sizes)))


def _value(argument: Any) -> tuple[np.ndarray, str]:
    """An argument as memory to be read from, and its kind; CuPy wants NumPy's scalars or its own arrays."""
    if isinstance(argument, DeviceArray):
        return np.array(argument.data.ptr, np.uintp), "P"
    assert isinstance(argument, np.generic), f"{argument!r} would reach the kernel as whatever CuPy thinks best"
    return np.array(argument), argument.dtype.kind


def gemm_strided_batched_ex(handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int,
                            a: int, atype: int, lda: int, stride_a: int, b: int, btype: int, ldb: int, stride_b: int, beta: int,
                            c: int, ctype: int, ldc: int, stride_c: int, count: int, compute: int, algorithm: int) -> None:
    """As in cuBLAS's manual: matrices by columns, C = α·op(A)·op(B) + β·C, one after the other at a fixed distance."""
    assert handle == Blas.handle
    assert (compute, algorithm) in ((68, -1), (77, -1))
    launched.append("gemm")
    types = {0: np.dtype("float32"), 2: np.dtype("float16")}
    if 14 in (atype, btype, ctype):
        types[14] = np.dtype("bfloat16")  # ml_dtypes has been imported by whoever made the arrays
    alpha, beta = (ctypes.c_float.from_address(pointer).value for pointer in (alpha, beta))
    assert lda >= max(1, k if transa else m)
    assert ldb >= max(1, n if transb else k)
    assert ldc >= max(1, m)

    def matrix(pointer: int, kind: int, ld: int, stride: int, i: int, rows: int, columns: int) -> np.ndarray:
        dtype = types[kind]
        start, length = pointer + i * stride * dtype.itemsize, (columns - 1) * ld + rows
        flat = np.frombuffer((ctypes.c_char * (length * dtype.itemsize)).from_address(start), dtype)
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (dtype.itemsize, ld * dtype.itemsize))

    for i in range(count):
        left = matrix(a, atype, lda, stride_a, i, *((k, m) if transa else (m, k))).astype(np.float32)
        right = matrix(b, btype, ldb, stride_b, i, *((n, k) if transb else (k, n))).astype(np.float32)
        target = matrix(c, ctype, ldc, stride_c, i, m, n)
        product = alpha * (left.T if transa else left) @ (right.T if transb else right)
        target[...] = product if beta == 0 else product + beta * target.astype(np.float32)


class Blas:
    """As ``cupy.cuda.Device``."""

    compute_capability = "90"
    handle = 4711
    cublas_handle = handle
    attributes = {"MultiProcessorCount": PROCESSORS}  # noqa: RUF012


def _empty(*args: Any, **options: Any) -> DeviceArray:
    made = np.empty(*args, **options)
    made.reshape(-1).view(np.uint8).fill(0xff)  # not a number in any of the types
    return DeviceArray(made)


def switch_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the end of the test, twins run on the stand-in. Skips where there is no compiler for it."""
    if compiler() is None:
        pytest.skip("no C++ compiler (g++ or clang++, with _Float16 and ucontext) to emulate kernels with")
    launched.clear()
    cuda = SimpleNamespace(Device=Blas, cublas=SimpleNamespace(gemmStridedBatchedEx=gemm_strided_batched_ex))
    for name, value in (("RawModule", RawModule), ("cuda", cuda), ("empty", _empty),
                        ("empty_like", lambda x: _empty(x.shape, x.dtype))):
        monkeypatch.setattr(device.xp, name, value, raising=False)
