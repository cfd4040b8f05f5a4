"""A reader of Python's pickles that cannot run anything.

A pickle is a program for a small machine with a stack and a memory: put this text on the stack, make a list of what lies above
the mark, remember it. Among its instructions are one that fetches any function of any module by name, and one that calls it,
which is why loading a stranger's pickle is running a stranger's program. Here is that machine without these two: names are looked
up in a table that the caller gives, and nothing but what stands in it can be called. What else is asked for is refused, or stays
inert: a thing that only has a name, and the attributes that the pickle gives to it.

Source: the instructions are described, and taken apart, by the standard library's ``pickletools``.
"""

from __future__ import annotations

import pickletools
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {"BININT", "BININT1", "BININT2", "INT", "LONG1", "BINFLOAT", "FLOAT", "BINUNICODE", "SHORT_BINUNICODE", "UNICODE",
             "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
LONG = 1024  # bytes
_OF_BYTES = (b"B", b"\x8e")  # the instructions BINBYTES and BINBYTES8
MOST_ARGUMENTS = 8  # of a call


class Left:
    """Bytes of a file, ``count`` of them from ``at`` on, that were not read."""

    def __init__(self, at: int, count: int) -> None:
        self.at, self.count = at, count

    def __len__(self) -> int:
        return self.count


class Leaving:
    """A file with a pickle whose long strings of bytes, the numbers of arrays, are ``Left`` where they are."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self._instruction = file, size, b""
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int) -> bytes | Left:
        """The next bytes, as many of them as there are."""
        at = self.tell()
        count = min(count, self._size - at)
        if count >= LONG and self._instruction in _OF_BYTES:
            self._file.seek(at + count)
            return Left(at, count)
        data = self._file.read(count)
        if count == 1:
            self._instruction = data
        return data


class Inert:
    """Stands for a class or a function that is not admitted, and for what it would have made: nothing is fetched or called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attributes: dict[str, Any] = {}  # of an object: what its pickle says

    def build(self, state: Any) -> None:
        """What the pickle sets."""
        self.attributes = state if type(state) is dict else {}


def load(file: BinaryIO | Leaving, admitted: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any] | None = None,
         inert: set[str] | None = None) -> Any:
    """The object that the pickle at the file's place describes; the file is left behind its end.

    ``admitted``: (module, name) -> what stands for it, a function or a value; what a function makes may have ``build(state)``,
    for attributes that are set later. Any other name is refused, or with ``inert``, a set to which it is added, stays ``Inert``.
    ``persistent``: what to make of a reference to something outside the pickle. Raises ValueError for whatever is refused or
    damaged.

    A few bytes can refer to one object again and again, and so describe what is endless to print, to hash or to compare. Here
    every instruction takes as long as its own bytes, and functions in ``admitted`` must look at no more of what they are given.
    """
    stack: list[Any] = []
    memory: dict[int, Any] = {}

    def named(module: Any, attribute: Any) -> Any:
        return _look_up(module, attribute, admitted, inert)

    try:
        for operation, argument, _ in _operations(file):
            _step(operation.name, argument, stack, memory, named, persistent)
        return stack.pop()
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise ValueError(f"the pickle in it is damaged ({type(error).__name__}: {str(error)[:100]})") from None


def _operations(file: BinaryIO | Leaving) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on strange escapes in the text of a damaged file
            yield from pickletools.genops(file)
    except ValueError as error:
        raise ValueError(f"the pickle in it is damaged or was cut short ({str(error)[:100]})") from None


def _step(name: str, argument: Any, stack: list[Any], memory: dict[int, Any], named: Callable[[Any, Any], Any],
          persistent: Callable[[Any], Any] | None) -> None:
    """One instruction."""
    if name in _LITERALS:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memory[argument] = stack[-1]
    elif name == "MEMOIZE":
        memory[len(memory)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memory[argument])
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "POP":
        stack.pop()
    elif name == "TUPLE":
        stack.append(tuple(_above_mark(stack)))
    elif name in _SHORT_TUPLES:
        items = tuple(stack[-_SHORT_TUPLES[name]:])
        del stack[-len(items):]
        stack.append(items)
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _above_mark(stack)
        if type(stack[-1]) is not Inert:
            _expect(stack[-1], list).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else _above_mark(stack)
        if type(stack[-1]) is not Inert:
            add_pairs(_expect(stack[-1], dict), zip(items[::2], items[1::2]))
    elif name == "GLOBAL":
        stack.append(named(*argument.split(" ", 1)))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(named(module, attribute))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, function = _expect(stack.pop(), tuple), stack.pop()
        stack.append(_called(function, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if hasattr(stack[-1], "build"):
            stack[-1].build(state)
        else:
            _expect(stack[-1], dict)  # attributes of a dictionary: notes about versions
    elif name == "BINPERSID" and persistent:
        stack.append(persistent(stack.pop()))
    elif name not in ("PROTO", "FRAME", "STOP"):
        raise ValueError(f"it holds more than tensors: its pickle uses the instruction {name}; nothing was run")


def _look_up(module: Any, name: Any, admitted: Mapping[tuple[str, str], Any], inert: set[str] | None) -> Any:
    if (_expect(module, str), _expect(name, str)) in admitted:
        return admitted[module, name]
    full = f"{module[:100]}.{name[:100]}"
    if inert is None:
        raise more_than_tensors([full])
    inert.add(full)
    return Inert(full)


def _called(function: Any, arguments: tuple) -> Any:
    if type(function) is Inert:
        return Inert(function.name)
    if not callable(function) or len(arguments) > MOST_ARGUMENTS:
        raise ValueError("the pickle in it is damaged: it calls something that is no function, or with too much")
    return function(*arguments)


def more_than_tensors(names: Iterable[str]) -> ValueError:
    """The error for a pickle that is of no use without what it asks for."""
    some = sorted(names)
    return ValueError(f"it holds more than tensors: its pickle asks for {', '.join(some[:3])}{', …' if some[3:] else ''}, which "
                      "is not admitted; nothing was run. Save the model's state_dict alone")


def _above_mark(stack: list[Any]) -> list[Any]:
    """What lies above the last mark, taken off together with it."""
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _expect(x: Any, kind: type) -> Any:
    if type(x) is not kind:
        raise ValueError(f"the pickle in it is damaged: expected a {kind.__name__}, found a {type(x).__name__}")
    return x


def add_pairs(values: dict, pairs: Iterable[tuple[Any, Any]]) -> None:
    """Put pairs into a dictionary. Keys are names and numbers, each there once: tuples would take for ever to hash."""
    for key, value in pairs:
        if type(key) not in (str, int, Inert):  # old versions of Lightning have classes as keys
            raise ValueError(f"the pickle in it has a {type(key).__name__} as the key of a dictionary, expected a name")
        if key in values:
            raise ValueError(f"the pickle in it has {str(key)[:100]} twice in a dictionary; which one is meant?")
        values[key] = value
