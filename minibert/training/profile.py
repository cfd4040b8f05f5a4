"""Where a training step goes: seconds by part of the model and by kind of work.

Composites call their parts through the parts' modules. So while a profile watches, every ``forward`` and ``backward`` of
``layers`` and ``model`` is replaced by one that looks at the clock before and after. What a function takes without the functions
that it calls is its own time, and each layer does one kind of work.

Seconds are those of the workers, which run side by side: two workers spend two seconds in one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any, NamedTuple

from minibert import layers, model
from minibert.model.model import Model

KINDS = {  # what the own time of a module is spent on
    "linear": "matrix products",
    "attention": "attention", "attention_probs": "attention", "softmax": "attention",
    "attentive_pooling": "attention",
    "layernorm": "normalisation", "add_norm": "normalisation", "no_norm": "normalisation", "norm": "normalisation",
    "dense_norm": "normalisation", "batch_norm": "normalisation", "conv1d": "convolutions",
    "gelu": "activation", "bias_gelu": "activation", "bias_relu": "activation", "bias_tanh": "activation",
    "activation": "activation",
    "dropout": "dropout", "embedding": "lookups", "neighbours": "lookups",
    "cross_entropy": "loss", "binary_cross_entropy": "loss", "squared_error": "loss", "contrastive": "loss",
}
PARTS = {"embeddings": "embeddings", "textcnn": "convolutions", "pooler": "pooler", "mlm": "masked words",
         "cloze": "masked words", "nsp": "next sentence", "replaced": "replaced words",
         **dict.fromkeys(("classifier", "choice", "span", "dense", "san", "vectors", "similarity"), "task head"),
         **{name: kind for name, kind in KINDS.items() if kind == "loss"}}
BLOCKS = ("post_ln", "pre_ln", "mobile")
OTHER = "the rest"


class Frame:
    """A call that has not returned yet."""

    __slots__ = ("inner", "part")

    def __init__(self, part: str) -> None:
        self.part, self.inner = part, 0.0  # inner: seconds in the calls that it made


class Profile:
    """``with profile.watching(): …`` adds up into ``profile.seconds[part, kind, direction]``."""

    def __init__(self) -> None:
        self.seconds: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Clocks in every layer, and out again."""
        kept = [(module, name, getattr(module, name)) for module in _modules() for name in ("forward", "backward")]
        try:
            for module, name, function in kept:
                setattr(module, name, self._timed(module.__name__.rpartition(".")[2], name, function))
            yield
        finally:
            for module, name, function in kept:
                setattr(module, name, function)

    def add(self, part: str, kind: str, seconds: float) -> None:
        """Time that was measured elsewhere: data, optimiser."""
        self.seconds[part, kind, ""] += seconds

    def _timed(self, module: str, direction: str, function: Callable[..., Any]) -> Callable[..., Any]:
        kind = KINDS.get(module, OTHER)

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            frame = self._enter(module, direction)
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                took = time.perf_counter() - began
                stack = self._local.stack
                stack.pop()
                if stack:
                    stack[-1].inner += took
                with self._lock:
                    self.seconds[frame.part, kind, direction] += took - frame.inner

        return timed

    def _enter(self, module: str, direction: str) -> Frame:
        """The part of the model that a call belongs to: the block it is in, or the part it is itself."""
        local = self._local
        if not hasattr(local, "stack"):
            local.stack, local.layer, local.back = [], 0, False
        outer = local.stack[-1].part if local.stack else OTHER
        if module in BLOCKS:
            again = local.back and direction == "forward"  # a layer that is computed again stands before its backward pass
            local.layer -= direction == "backward"
            part = f"layer {local.layer - again}"
            local.layer += direction == "forward" and not again
        else:
            part = PARTS.get(module, OTHER) if outer == OTHER else outer
        if module == "encoder":
            local.back = direction == "backward"
            local.layer *= local.back
        local.stack.append(Frame(part))
        return local.stack[-1]


class Line(NamedTuple):
    name: str
    seconds: float
    share: float


def lines(profile: Profile, axis: int) -> list[Line]:
    """The seconds along one axis: 0 the parts in the order of the model, 1 the kinds, 2 the directions."""
    sums: Counter[str] = Counter()
    for key, seconds in profile.seconds.items():
        sums[key[axis]] += seconds
    total = sum(sums.values()) or 1.0
    order = _in_order(sums) if axis == 0 else [name for name, _ in sums.most_common()]
    return [Line(name, sums[name], sums[name] / total) for name in order if name]


def report(profile: Profile, steps: int, width: int = 30) -> str:
    """Three tables: by part, by kind, and the two crossed, all in milliseconds of a step."""
    text = ["By kind of work", *_bars(lines(profile, 1), steps, width), "", "By part of the model",
            *_bars(lines(profile, 0), steps, width), "", "Both, in milliseconds of a step"]
    kinds = [line.name for line in lines(profile, 1)]
    parts = [line.name for line in lines(profile, 0)]
    wide = max(map(len, parts))
    text.append(" " * (wide + 2) + "".join(f"{kind:>{max(len(kind), 7) + 2}}" for kind in kinds))
    for part in parts:
        cells = [sum(profile.seconds[part, kind, d] for d in ("forward", "backward", "")) for kind in kinds]
        text.append(f"  {part:<{wide}}" + "".join(
            f"{f'{1e3 * cell / steps:.2f}' if cell else '·':>{max(len(kind), 7) + 2}}" for kind, cell in zip(kinds, cells)))
    return "\n".join(text)


def _bars(table: Sequence[Line], steps: int, width: int) -> list[str]:
    wide = max(len(line.name) for line in table)
    top = max(line.share for line in table)
    return [f"  {line.name:<{wide}}  {1e3 * line.seconds / steps:8.2f} ms  {line.share:6.1%}  "
            + "█" * round(width * line.share / top) for line in table]


def _in_order(parts: Counter[str]) -> list[str]:
    numbered = sorted((name for name in parts if name.startswith("layer ")), key=lambda name: int(name.split()[1]))
    order = dict.fromkeys(["data", "embeddings", *numbered, *PARTS.values(), "optimiser", OTHER])
    return [name for name in order if name in parts]


def _modules() -> list[ModuleType | type]:
    """Every layer and every part of a model that has a forward and a backward, and the model itself."""
    import importlib
    import pkgutil

    found = [importlib.import_module(info.name) for package in (layers, model)
             for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [*(module for module in found if hasattr(module, "forward") and hasattr(module, "backward")), Model]
