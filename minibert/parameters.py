"""Parameters: one contiguous slab, and a nested dict of named views into it.

Gradients and the optimiser's moments are slabs of the same layout, so that zeroing, casting, summing over workers and
stepping are each one operation over one array. Names are exactly those of the reference checkpoints; weights are stored
``(out_features, in_features)``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array

Tree = dict[str, Any]  # nested dict whose leaves are arrays: {"bert": {"embeddings": {...}}}
Shapes = dict[str, tuple[int, ...]]  # name -> shape of tensors, in the order of a slab


def named(parts: Mapping[str, Shapes]) -> Shapes:
    """Tensors of parts by their names in the whole: ``{"dense": {"bias": (3,)}}`` -> ``{"dense.bias": (3,)}``."""
    return {f"{part}.{name}": shape for part, shapes in parts.items() for name, shape in shapes.items()}


def subtree(tree: Tree, path: str) -> Tree:
    """What is called ``path``, such as ``cls.predictions``, in a tree; the tree itself where it is empty."""
    for part in filter(None, path.split(".")):
        tree = tree[part]
    return tree


class _Nothing:
    """A gradient tree that nobody wants: falsy, and every key returns itself."""

    def __bool__(self) -> bool:
        return False

    def __getitem__(self, key: str) -> _Nothing:
        return self

    def get(self, key: str, default: Any = None) -> _Nothing:
        return self

    def __repr__(self) -> str:
        return "NOTHING"


#: Pass it as ``g``: layers then compute no parameter gradients. For frozen layers and attribution.
NOTHING = _Nothing()


class Slot(NamedTuple):
    """Where one tensor lives in the slab."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int
    decay: bool  # does weight decay apply to it?


#: How the names of tensors end that are no parameters but running statistics, which no loss has a gradient for.
STATISTICS = (".running_mean", ".running_var")


class Layout:
    """The order of the tensors in a slab: decayed ones first, then biases and norms, each in the order given. Running statistics
    are the last, from number ``learned`` on.

    ``ties`` maps a name that has no tensor of its own to the name whose tensor it shares (the tied decoder), which may be tied
    itself.
    """

    def __init__(self, shapes: Shapes, ties: Mapping[str, str] | None = None) -> None:
        ordered = sorted(shapes, key=lambda name: (name.endswith(STATISTICS), not _decays(name)))  # stable: layer order in each
        self.slots: dict[str, Slot] = {}
        start = 0
        for name in ordered:
            stop = start + int(np.prod(shapes[name], dtype=np.int64))
            self.slots[name] = Slot(name, tuple(shapes[name]), start, stop, _decays(name))
            start = stop
        self.size = start
        self.learned = min((slot.start for name, slot in self.slots.items() if name.endswith(STATISTICS)), default=start)
        ties = dict(ties or {})
        self.ties = {name: target for name in ties if (target := _end(name, ties)) in self.slots}

    def describe(self) -> list[list]:
        """``[name, shape]`` of every tensor in the order of the slab: what a file says that holds one."""
        return [[slot.name, list(slot.shape)] for slot in self.slots.values()]

    def tree(self, flat: Array) -> Tree:
        """Nested dict of views into ``flat``; tied names are the same view under a second key."""
        views = {s.name: flat[s.start:s.stop].reshape(s.shape) for s in self.slots.values()}
        views.update({name: views[target] for name, target in self.ties.items()})
        tree: Tree = {}
        for name, view in views.items():
            *path, leaf = name.split(".")
            node = tree
            for part in path:
                node = node.setdefault(part, {})
            node[leaf] = view
        return tree


class Parameters:
    """A slab ``.flat`` (N,) and its views ``.tree``. ``parameters["bert"]`` is a subtree, ready for a layer."""

    def __init__(self, layout: Layout, flat: Array) -> None:
        if flat.shape != (layout.size,):
            raise ValueError(f"slab: expected shape ({layout.size},) for {len(layout.slots)} tensors, got {flat.shape}")
        self.layout = layout
        self.flat = flat
        self.tree = layout.tree(flat)

    @classmethod
    def zeros(cls, layout: Layout, xp: Any = np, dtype: Any = np.float32) -> Parameters:
        """A slab of zeros on the device of ``xp``. Half precision on the CPU is a ValueError."""
        if xp is np and np.dtype(dtype).kind in "fV" and np.dtype(dtype).itemsize < 4:
            raise ValueError(f"dtype {np.dtype(dtype)} is for the GPU: on the CPU use float32 or float64")
        return cls(layout, xp.zeros(layout.size, dtype=dtype))

    def zeros_like(self) -> Parameters:
        """A slab of zeros of the same layout, device and dtype: for gradients and moments."""
        flat = self.flat.copy()
        flat.fill(0)
        return Parameters(self.layout, flat)

    def astype(self, dtype: Any) -> Parameters:
        """A copy in another precision."""
        return Parameters(self.layout, self.flat.astype(dtype))

    def to(self, xp: Any) -> Parameters:
        """A copy on another device, from NumPy; or itself when it is there already."""
        return self if xp is np else Parameters(self.layout, xp.asarray(self.flat))

    def __getitem__(self, key: str) -> Any:
        return self.tree[key]

    def __len__(self) -> int:
        return self.layout.size

    def items(self) -> Iterator[tuple[str, Array]]:
        """``(checkpoint name, view)`` of every tensor that has a place of its own."""
        for slot in self.layout.slots.values():
            yield slot.name, self.flat[slot.start:slot.stop].reshape(slot.shape)


def initialise(layout: Layout, scale: float = 0.02, seed: int = 0, dtype: Any = np.float32) -> Parameters:
    """Fresh parameters as in the reference: weights from N(0, scale²) cut at two standard deviations, biases 0, norms 1.

    Each tensor has a random stream of its own, keyed by the seed and its name: another head, or a shorter vocabulary,
    leaves the start of every other tensor as it was. Source: ``modeling.py``, ``create_initializer``.
    """
    parameters = Parameters.zeros(layout, np, dtype)
    for name, view in parameters.items():
        if name.endswith(("Norm.weight", ".running_var")):
            view.fill(1)
        elif not name.endswith(("bias", ".running_mean")):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode("ascii"))])
            view[...] = _truncated_normal(rng, view.shape) * scale
    return parameters


def grown(layout: Layout, known: Mapping[str, Array], scale: float = 0.02, seed: int = 0, dtype: Any = np.float32) -> Parameters:
    """Parameters of a layout: what is known of them by name and shape, the rest fresh."""
    parameters = initialise(layout, scale, seed, dtype)
    for name, view in parameters.items():
        if name in known and known[name].shape == view.shape:
            view[...] = known[name]
    return parameters


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal values, those beyond ±2 drawn again."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values


def _end(name: str, ties: Mapping[str, str]) -> str:
    """The name at the end of a chain of ties. ValueError where it has none."""
    followed = [name]
    while (name := ties[name]) in ties:
        if name in followed:
            raise ValueError(f"these ties go round in a circle: {' -> '.join([*followed, name])}")
        followed.append(name)
    return name


def _decays(name: str) -> bool:
    """Weight decay applies to weights, not to biases and norms (reference: ``optimization.py``)."""
    return not (name.endswith("bias") or "LayerNorm" in name or "BatchNorm" in name)
