"""A reader of Python's pickles that cannot run anything.

A pickle is a program for a small machine with a stack and a memory: put this text on the stack, make a list of what lies above
the mark, remember it. Among its instructions are one that fetches any function of any module by name, and one that calls it,
which is why loading a stranger's pickle is running a stranger's program. Here is that machine without these two: names are looked
up in a table that the caller gives, and nothing but what stands in it can be called.

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
             "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES"}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
MOST_ARGUMENTS = 8  # of a call


def load(file: BinaryIO, admitted: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The object that the pickle at the file's place describes; the file is left behind its end.

    ``admitted``: (module, name) -> what stands for it, a function or a value; any other name is refused. ``persistent``: what to
    make of a reference to something outside the pickle. Raises ValueError for whatever is refused or damaged.

    A few bytes can refer to one object again and again, and so describe what is endless to print, to hash or to compare. Here
    every instruction takes as long as its own bytes, and functions in ``admitted`` must look at no more of what they are given.
    """
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    try:
        for operation, argument, _ in _operations(file):
            _step(operation.name, argument, stack, memory, admitted, persistent)
        return stack.pop()
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise ValueError(f"the pickle in it is damaged ({type(error).__name__}: {str(error)[:100]})") from None


def _operations(file: BinaryIO) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on strange escapes in the text of a damaged file
            yield from pickletools.genops(file)
    except ValueError as error:
        raise ValueError(f"the pickle in it is damaged or was cut short ({str(error)[:100]})") from None


def _step(name: str, argument: Any, stack: list[Any], memory: dict[int, Any], admitted: Mapping[tuple[str, str], Any],
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
    elif name == "APPEND":
        item = stack.pop()
        _expect(stack[-1], list).append(item)
    elif name == "APPENDS":
        items = _above_mark(stack)
        _expect(stack[-1], list).extend(items)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        add_pairs(_expect(stack[-1], dict), [(key, value)])
    elif name == "SETITEMS":
        items = _above_mark(stack)
        add_pairs(_expect(stack[-1], dict), zip(items[::2], items[1::2]))
    elif name == "GLOBAL":
        stack.append(_look_up(*argument.split(" ", 1), admitted))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_look_up(module, attribute, admitted))
    elif name == "REDUCE":
        arguments, function = _expect(stack.pop(), tuple), stack.pop()
        if not callable(function) or len(arguments) > MOST_ARGUMENTS:
            raise ValueError("the pickle in it is damaged: it calls something that is no function, or with too much")
        stack.append(function(*arguments))
    elif name == "BUILD":  # attributes of a dictionary: notes about versions
        stack.pop()
        _expect(stack[-1], dict)
    elif name == "BINPERSID" and persistent:
        stack.append(persistent(stack.pop()))
    elif name not in ("PROTO", "FRAME", "STOP"):
        raise ValueError(f"it holds more than tensors: its pickle uses the instruction {name}; nothing was run")


def _look_up(module: Any, name: Any, admitted: Mapping[tuple[str, str], Any]) -> Any:
    try:
        return admitted[_expect(module, str), _expect(name, str)]
    except KeyError:
        raise ValueError(f"it holds more than tensors: its pickle asks for {module[:100]}.{name[:100]}, which is not "
                         "admitted; nothing was run. A file of tensors alone is written by torch.save(model.state_dict(), …)"
                         ) from None


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
        if type(key) not in (str, int):
            raise ValueError(f"the pickle in it has a {type(key).__name__} as the key of a dictionary, expected a name")
        if key in values:
            raise ValueError(f"the pickle in it has {str(key)[:100]} twice in a dictionary; which one is meant?")
        values[key] = value
