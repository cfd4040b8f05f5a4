"""The exercises of lesson 17, a real checkpoint, name by name, and how they are judged."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.pretrained import names, tensors

CONFIG = BertConfig(vocab_size=7, hidden_size=4, num_hidden_layers=12, num_attention_heads=2, intermediate_size=6,
                    max_position_embeddings=5)


def _same(got: dict, expected: dict) -> None:
    expect(isinstance(got, dict), f"expected a dictionary of arrays by name, got {type(got).__name__}")
    if absent := sorted(expected.keys() - got.keys()):
        raise Wrong(f"{len(absent)} tensors are absent, the first: {absent[0]}")
    if extra := sorted(got.keys() - expected.keys()):
        raise Wrong(f"{len(extra)} tensors too many, the first: {extra[0]}")
    for name, x in expected.items():
        close(got[name], x, name, 0)


@exercise("(name)", look="A plain renaming, and the library's table", level="hard")
def our_name(answer: Callable[..., Any]) -> None:
    """Our name for a tensor, given as TensorFlow or an old port calls it: with / or with . between the parts, layer_10 or
    layer.10, kernel, gamma and beta, embeddings without .weight at the end, output_weights and output_bias of the two heads, and
    with or without module. and bert. in front (but cls. has no bert.).
    Example: our_name("encoder/layer_3/output/LayerNorm/beta") gives "bert.encoder.layer.3.output.LayerNorm.bias"."""
    for ours in pretraining.layout(CONFIG).slots:
        theirs = names.tensorflow(ours)
        old = theirs.replace("/", ".").replace("layer_", "layer.") if ".layer." in ours else theirs.replace("/", ".")
        for given in (theirs, old, f"module.{old}", ours, theirs.removeprefix("bert/"), ours.removeprefix("bert.")):
            got = answer(given)
            expect(got == ours, f"{given}: got {got!r}, expected {ours!r}")


@exercise("(raw)", look="Toy numbers: a file of two tensors", level="medium")
def read_safetensors(answer: Callable[..., Any]) -> None:
    """The arrays in a safetensors file, by name. raw: all its bytes. Types are F64, F32, F16, I64, and the header may hold an
    entry __metadata__, which is no array."""
    rng = np.random.default_rng(171)
    arrays = {"a": rng.standard_normal((2, 3)).astype(np.float32), "b.c": rng.standard_normal(5),
              "empty": np.zeros((0, 4), np.float32), "half": rng.standard_normal((3, 1, 2)).astype(np.float16),
              "ids": np.arange(4, dtype=np.int64), "number": np.float32(7).reshape(())}
    with tempfile.TemporaryDirectory() as folder:
        for metadata in (None, {"format": "pt"}):
            path = Path(folder, "x.safetensors")
            tensors.write(path, arrays, metadata)
            got = answer(path.read_bytes())
            _same(got, arrays)
            for name, x in arrays.items():
                expect(np.asarray(got[name]).dtype == x.dtype, f"{name}: expected {x.dtype}, got {np.asarray(got[name]).dtype}")


@exercise("(bits)", look="Widths", level="easy")
def from_bfloat16(answer: Callable[..., Any]) -> None:
    """float32 numbers from bfloat16 ones, which are given as whole numbers of 16 bits: an array of uint16, of any shape."""
    rng = np.random.default_rng(172)
    for shape in ((), (4,), (2, 3, 5)):
        x = np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30, shape), np.float32)
        bits = np.asarray(x.reshape(-1).view(np.uint32) >> 16, np.uint16).reshape(shape)
        got = np.asarray(answer(bits.copy()))
        expect(got.dtype == np.float32, f"expected float32, got {got.dtype}: .astype keeps values, .view keeps bits")
        expect(got.shape == shape, f"expected the shape {shape}, got {got.shape}")
        expect(np.all(np.abs(got - x) <= np.abs(x) / 128), "off by more than seven bits allow: which half is the upper one?")


@exercise("(arrays)", look="The equation", level="hard")
def from_tensorflow(answer: Callable[..., Any]) -> None:
    """A whole TensorFlow checkpoint, {name: array}, as ours: names translated, what is stored the other way round transposed, and
    what belongs to the optimiser (names that end in adam_m or adam_v, and global_step) left out."""
    rng = np.random.default_rng(173)
    expected = {name: rng.standard_normal(slot.shape) for name, slot in pretraining.layout(CONFIG).slots.items()}
    given = {}
    for name, x in expected.items():
        theirs = names.tensorflow(name)
        given[theirs] = np.ascontiguousarray(x.T if names.lies_transposed(theirs) else x)
        given |= {f"{theirs}/adam_m": np.zeros_like(given[theirs]), f"{theirs}/adam_v": np.ones_like(given[theirs])}
    _same(answer(given | {"global_step": np.array(9)}), expected)


class _Calls:
    """Pickled as a call of a function with arguments."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@exercise("(program)", look="A file that tries to run a program", level="hard")
def asked_for(answer: Callable[..., Any]) -> None:
    """All functions and classes that a pickle asks for, as a sorted list of texts "module.name", each once, without running
    anything. program: its bytes, in protocol 2. Look at the instructions GLOBAL that pickletools.genops yields.
    Example: asked_for(pickle.dumps([1, 2], 2)) gives []."""
    ran = []

    def tell() -> None:
        ran.append("it ran")

    globals()["_tell"] = tell
    tell.__qualname__ = tell.__name__ = "_tell"
    here = tell.__module__
    both = sorted(["__builtin__.len", f"{here}._tell"])  # protocol 2 knows Python 2's name of builtins
    for content, expected in [([1, "a", {"b": 2.5}], []), ({"x": _Calls(tell)}, [f"{here}._tell"]),
                              ([_Calls(len, "abc"), _Calls(len, "ab"), _Calls(tell)], both)]:
        program = pickle.dumps(content, protocol=2)
        got = answer(program)
        if ran:
            raise Wrong("the program was run: pickle.loads is what must not be called")
        expect(list(got) == expected, f"expected {expected}, got {got}")
