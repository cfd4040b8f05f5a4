"""A device without a device: arrays that behave like CuPy's where it matters, on a machine that has no GPU.

``DeviceArray`` wraps a NumPy array and, like a CuPy array, never mixes with NumPy: operators and functions given both raise
TypeError, nothing converts it silently, NumPy arrays do not index it. Python and NumPy scalars are welcome. ``xp`` offers NumPy's
names over it, less those that CuPy 14 lacks. It is stricter than CuPy in one respect: NumPy's own functions refuse it, where CuPy
would run them on the device, because code that goes through ``get_xp`` never needs that.

Reading a value on the host waits for the device. Every such place is written down while ``watch`` is open::

    with device.watch() as syncs:
        train_step(...)
    assert syncs == []

Importing this module registers the type with ``minibert.backend``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minibert import backend

# What NumPy has and CuPy 14 has not, of the names that code could want; random is there, but draws other numbers.
_NO_FUNCTIONS = frozenset("""
    block busday_count char clongdouble ctypeslib datetime64 einsum_path emath errstate fromregex frompyfunc geomspace
    histogram_bin_edges insert isnat longdouble ma matrix matvec memmap nanpercentile nanquantile ndenumerate nested_iters
    nditer polyder polydiv polyint rec recarray record seterr spacing strings timedelta64 unstack vecdot vecmat void
    random
""".split())
_NO_METHODS = frozenset("""
    base byteswap ctypes dump dumps flat getfield resize setfield setflags to_device tofile tostring
""".split())
_NO_KEYWORDS = frozenset(("where", "initial", "mode"))
_CREATE = frozenset("array asarray ascontiguousarray asfortranarray".split())  # these read the host
_WAIT = frozenset("argwhere bincount compress extract flatnonzero item nonzero tolist unique".split())  # these wait for a number

_watchers: list[list[str]] = []


@contextmanager
def watch() -> Iterator[list[str]]:
    """The names of the operations that made the host wait for the device, in order."""
    syncs: list[str] = []
    _watchers.append(syncs)
    try:
        yield syncs
    finally:
        _watchers.remove(syncs)


def _wait(name: str) -> None:
    for syncs in _watchers:
        syncs.append(name)


class DeviceArray:
    """See the module. ``get`` is the way back to NumPy, ``xp.asarray`` the way in; both copy."""

    __slots__ = ("_host",)
    __array_ufunc__ = None  # operators of NumPy arrays then leave the answer to us
    __contains__ = None
    __hash__ = None

    def __init__(self, host: np.ndarray) -> None:
        self._host = host

    @property
    def data(self) -> Any:
        """Where the numbers are, for those who call device code."""
        return SimpleNamespace(ptr=self._host.ctypes.data)

    def get(self) -> np.ndarray:
        _wait("get")
        return self._host.copy()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("a device array does not turn into a NumPy array by itself; use .get()")

    def __array_function__(self, function: Callable, *args: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was given a device array; use the array's own module")

    def __getattr__(self, name: str) -> Any:
        if name in _NO_METHODS or name.startswith("__"):
            raise AttributeError(f"a device array has no {name}")
        value = getattr(self._host, name)
        return _function(value, name) if callable(value) else _in(value)

    def __getitem__(self, key: Any) -> Any:
        key = _index(key)
        if any(isinstance(k, np.ndarray) and k.dtype == bool for k in key):
            _wait("boolean index")
        return DeviceArray(self._host[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[_index(key)] = _out(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[DeviceArray]:
        return (self[i] for i in range(len(self)))

    def __int__(self) -> int:
        _wait("int")
        return int(self._host)

    def __float__(self) -> float:
        _wait("float")
        return float(self._host)

    def __complex__(self) -> complex:
        _wait("complex")
        return complex(self._host)

    def __bool__(self) -> bool:
        _wait("bool")
        return bool(self._host)

    def __repr__(self) -> str:
        return f"DeviceArray{self.shape} of {self.dtype}"  # the values stay where they are


def _operator(name: str) -> Callable:
    function = getattr(operator, name)

    def forward(self: DeviceArray, *other: Any) -> Any:
        return _in(_narrow(function(self._host, *(_out(o) for o in other)), self, *other))

    return forward


def _narrow(result: Any, *operands: Any) -> Any:
    """CuPy computes bfloat16 with itself and with Python's whole numbers in bfloat16, with a Python float in float32, and has no
    product of stacks of it. NumPy, which borrows the type, widens."""
    arrays = [o for o in operands if isinstance(o, DeviceArray)]
    alone = {o.dtype.name for o in arrays} == {"bfloat16"} and not any(type(o) is float for o in operands)
    return result.astype(arrays[0].dtype) if alone and result.dtype == np.float32 else result


def _reflected(name: str) -> Callable:
    function = getattr(operator, name)
    return lambda self, other: _in(_narrow(function(_out(other), self._host), self, other))


def _in_place(name: str) -> Callable:
    function = getattr(operator, name)

    def forward(self: DeviceArray, other: Any) -> DeviceArray:
        function(self._host, _out(other))
        return self

    return forward


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"):
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(DeviceArray, f"__r{_name}__", _reflected(f"__{_name}__"))
    setattr(DeviceArray, f"__i{_name}__", _in_place(f"__i{_name}__"))


def _matmul(self: DeviceArray, other: DeviceArray) -> Any:
    if "bfloat16" in (self.dtype.name, other.dtype.name) and max(self.ndim, other.ndim) > 2:
        raise TypeError("data type 'E' not understood")  # CuPy's own words
    return _in(_narrow(self._host @ _out(other), self, other))


DeviceArray.__matmul__ = _matmul
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"):
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))


class Namespace:
    """The names of a NumPy module over device arrays."""

    ndarray = DeviceArray

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def asnumpy(self, x: DeviceArray) -> np.ndarray:
        return x.get()

    def __getattr__(self, name: str) -> Any:
        if name in _NO_FUNCTIONS or name.startswith("__"):
            raise AttributeError(f"the device's module has no {name}")
        value = getattr(self._module, name)
        if isinstance(value, np.ufunc):
            return _Ufunc(value)
        if isinstance(value, ModuleType):
            return Namespace(value)
        if isinstance(value, type) or not callable(value):
            return value  # float32, pi, newaxis
        return _function(value, name)


class _Ufunc:
    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _function(self._ufunc, self._ufunc.__name__)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return _function(getattr(self._ufunc, name), name)


def _function(function: Callable, name: str) -> Callable:
    """``function`` of NumPy for device arrays only."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if refused := _NO_KEYWORDS & kwargs.keys():
            raise TypeError(f"{name} of a device array takes no {', '.join(sorted(refused))}")
        if name in _WAIT or (name == "where" and len(args) == 1):
            _wait(name)
        if name in _CREATE:
            args = tuple(np.array(a) if isinstance(a, np.ndarray) else _out(a) for a in args)
        else:
            args = tuple(_out(a) for a in args)
        result = function(*args, **{key: _out(value) for key, value in kwargs.items()})
        if name in ("where", "clip") and isinstance(result, np.ndarray) and result.dtype.name == "bfloat16":
            result = result.astype(np.float32)  # CuPy has no bfloat16 loop for these
        return result if name in ("item", "tolist") else _in(result)

    return call


def _in(value: Any) -> Any:
    """NumPy's answer on the device; a scalar becomes an array of no dimensions, as in CuPy."""
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    if isinstance(value, (tuple, list)):
        return type(value)(_in(v) if isinstance(v, (np.ndarray, np.generic)) else v for v in value)
    return value


def _out(value: Any) -> Any:
    """What NumPy may compute with: device arrays unwrapped, scalars and settings as they are, host arrays refused."""
    if isinstance(value, DeviceArray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"a NumPy array {value.shape} of {value.dtype} meets a device array; move it with xp.asarray first")
    if type(value) in (tuple, list):
        return type(value)(_out(v) for v in value)
    return value


def _index(key: Any) -> tuple:
    key = key if isinstance(key, tuple) else (key,)
    key = tuple(_out(k) for k in key)
    return key if any(k is Ellipsis for k in key) else (*key, Ellipsis)  # so that x[0] of a vector is a view, not a scalar


xp = Namespace(np)
backend.register(DeviceArray, xp)
