"""Which array of an ONNX graph is which tensor of a model.

An exporter keeps the names of tables, biases and norms, but folds what it can compute beforehand: a linear layer multiplies by
the transposed matrix, so the transposed one is stored, under a name like ``onnx::MatMul_470``. What it is, the graph says: the
bias that is added to the product has kept its name. A file in 8 bits has (in ``W``, what is multiplied by)::

    x·W + b                       MatMul, Add         as exported; Gemm does both
    (x·s)·(q - z)·t + b           MatMulInteger, Cast, Mul, Add: quantised at run time, W = (q - z)·t
    x·((q - z)·t) + b             DequantizeLinear, or Cast and Mul, before MatMul: only the weights are small
    ((q - z)·t)[ids]              Gather, DequantizeLinear: a table of embeddings

So the nodes are gone through once, in their order, which is one in which they can be computed; what follows from stored arrays
alone is a ``Weight``, and a product with one waits for its scale and its bias. Whether a matrix is transposed, its use says and
not its name. Source: ONNX's ``docs/Operators.md``; onnxruntime's ``python/tools/quantization``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minibert.files import brief

#: Operators in which onnxruntime's optimiser and its quantisers merge or pack the matrices of several layers.
MERGED = frozenset({"Attention", "QAttention", "MultiHeadAttention", "PackedAttention", "DynamicQuantizeMatMul", "MatMulNBits",
                    "MatMulBnb4", "MatMulFpQ4", "QLinearMatMul", "QGemm", "EmbedLayerNormalization", "QEmbedLayerNormalization"})
SMALL = ("int8", "uint8")
_PARAMETER = re.compile(r"[./](weight|bias|gamma|beta)$")
_SUFFIXES = re.compile(r"(_Transposed(_\d+)?|_quantized|_dequantized)+$")  # what onnxruntime's quantiser adds to a name


class Node(NamedTuple):
    """One operation. Of its attributes, the whole numbers are here: ``axis``, ``perm``, ``transB`` …, each as a list."""

    op: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Sequence[int]]


class Weight(NamedTuple):
    """(stored - zero)·scale, then transposed or not; ``axis``: along which scale and zero lie, None for NumPy's broadcasting."""

    stored: str
    name: str  # that of the stored array, or the one that was given to its copy
    small: bool  # in 8 bits, so that it needs a scale
    scale: str | None = None
    zero: str | None = None
    axis: int | None = None
    turned: bool = False


@dataclass
class Product:
    """x·W, and what is found out about it further on."""

    weight: Weight
    bias: str | None = None


class Scale(NamedTuple):
    """A stored scale, times one that is known at run time."""

    stored: str


class Rows(NamedTuple):
    """Rows of a table in 8 bits, whose scale comes next."""

    table: Weight


Known = dict[str, "Weight | Product | Scale | Rows"]


def tensors(nodes: Sequence[Node], stored: Mapping[str, str]) -> dict[str, Weight]:
    """Name of a tensor -> what it is made of, as the model has it: matrices (out, in), tables as they are.

    ``stored``: the types of the stored arrays. ValueError where matrices are merged, or two of them would have one name.
    """
    known: Known = {name: Weight(name, name, dtype in SMALL) for name, dtype in stored.items()}
    for node in nodes:
        if node.op in MERGED:
            raise ValueError(f"its matrices were merged or packed by onnxruntime ({node.op}); export the model again without "
                             "optimising it, or take its file in float32 or int8")
        if node.op in _RULES and node.outputs:
            made = _RULES[node.op](node, known)
            if made is not None:
                known[node.outputs[0]] = made
    found: dict[str, Weight] = {}
    products = list({id(x): x for x in known.values() if isinstance(x, Product)}.values())
    for product in products:
        name, weight = _name(product), product.weight._replace(turned=not product.weight.turned)
        if found.setdefault(name, weight) != weight:
            raise ValueError(f"the matrices {found[name].stored} and {weight.stored} have lost their names, and {name} is what "
                             "both of them would be called")
    idle = stored.keys() - {name for node in nodes for name in node.inputs}
    if idle and len({w.stored for w in found.values()}) < len(found):
        raise ValueError(f"it is damaged: one matrix stands in several places, and nothing uses {brief(min(idle))}")
    used = {weight.name for weight in found.values()}
    for value, x in known.items():
        x = x.table if isinstance(x, Rows) else x
        if isinstance(x, Weight) and x.name not in used:
            name = next((name for name in (value, _root(x.name)) if _PARAMETER.search(name)), None)
            if name and (name not in found or x.scale):  # a table with its scale has the last word
                found[name] = x
    return found


def _name(product: Product) -> str:
    """What a matrix is called: by its own name, or by that of its bias."""
    own = _root(product.weight.name)
    if _PARAMETER.search(own) or not (product.bias and _PARAMETER.search(product.bias)):
        return own
    if product.bias.endswith(("predictions.bias", "lm_head.bias")):  # a head of masked words has its bias one level higher
        return f"{product.bias[:-len('bias')]}decoder.weight"
    return _PARAMETER.sub(lambda match: f"{match[0][0]}weight", product.bias)


def _root(name: str) -> str:
    return _SUFFIXES.sub("", name)


# What follows from what: each of these is given a node and what is known, and returns what its output is, or None.

def _same(node: Node, known: Known) -> Weight | Product | None:
    """Identity and Cast. A copy with a parameter's name is that parameter: of two equal ones, exporters store one."""
    x = _input(node, 0, known)
    if isinstance(x, Weight) and _PARAMETER.search(node.outputs[0]):
        return x._replace(name=node.outputs[0])
    return x if isinstance(x, (Weight, Product)) else None


def _turned(node: Node, known: Known) -> Weight | None:
    x = _input(node, 0, known)
    return x._replace(turned=not x.turned) if isinstance(x, Weight) and node.attributes.get("perm", [1, 0]) == [1, 0] else None


def _scaled(node: Node, known: Known) -> Weight | Product | Scale | None:
    """Mul: of a matrix in 8 bits with its scale, of two scales, or of a product with both scales."""
    a, b = _pair(node, known)
    if isinstance(a, Weight) and isinstance(b, Weight):
        return a._replace(scale=b.stored) if a.small and not (a.scale or a.turned or b.small or b.turned) else None
    if isinstance(a, Product) and isinstance(b, Scale) and a.weight.small and not (a.weight.scale or a.weight.turned):
        a.weight = a.weight._replace(scale=b.stored)
        return a
    return Scale(a.stored) if isinstance(a, Weight) and b is None else None


def _dequantised(node: Node, known: Known) -> Weight | Rows | None:
    x, scale, zero = (_input(node, i, known) for i in range(3))
    axis, block = _number(node, "axis", 1), _number(node, "block_size", 0)
    table = x.table if isinstance(x, Rows) else x
    if not (isinstance(table, Weight) and table.small and isinstance(scale, Weight)) or table.scale or table.turned or block:
        return None
    whole = table._replace(scale=scale.stored, zero=zero.stored if isinstance(zero, Weight) else None, axis=axis)
    return Rows(whole) if isinstance(x, Rows) else whole


def _rows(node: Node, known: Known) -> Rows | None:
    x = _input(node, 0, known)
    return Rows(x) if isinstance(x, Weight) and _number(node, "axis", 0) == 0 else None


def _product(node: Node, known: Known) -> Product | None:
    """MatMul and MatMulInteger, whose inputs 2 and 3 are the zero points."""
    x, w, _, zero = (_input(node, i, known) for i in range(4))
    if isinstance(x, Weight) or not isinstance(w, Weight):
        return None
    return Product(w._replace(zero=zero.stored) if w.small and isinstance(zero, Weight) else w)


def _gemm(node: Node, known: Known) -> Product | None:
    made = _product(node._replace(inputs=node.inputs[:2]), known)
    if made and _number(node, "transB", 0):
        made.weight = made.weight._replace(turned=not made.weight.turned)
    if made and isinstance(_input(node, 2, known), Weight):
        made.bias = node.inputs[2]
    return made


def _with_bias(node: Node, known: Known) -> None:
    """Add: it ends what is known of a product."""
    a, b = _pair(node, known)
    if isinstance(a, Product) and isinstance(b, Weight) and a.bias is None:
        a.bias = next(name for name in node.inputs if known.get(name) is b)


def _pair(node: Node, known: Known) -> tuple:
    """What is known of two inputs that may be exchanged: a product first, then what is in 8 bits, nothing last."""
    order = (Product, Weight, Scale, Rows, type(None))
    return tuple(sorted((_input(node, i, known) for i in range(2)),
                        key=lambda x: (order.index(type(x)), not getattr(x, "small", False))))


def _number(node: Node, attribute: str, default: int) -> int:
    return (node.attributes.get(attribute) or [default])[0]


def _input(node: Node, i: int, known: Known) -> Weight | Product | Scale | Rows | None:
    """What is known of an input, which a node may also lack."""
    return known.get(node.inputs[i]) if i < len(node.inputs) else None


_RULES: dict[str, Callable[[Node, Known], Weight | Product | Scale | Rows | None]] = {
    "Identity": _same, "Cast": _same, "Transpose": _turned, "Mul": _scaled, "DequantizeLinear": _dequantised, "Gather": _rows,
    "MatMul": _product, "MatMulInteger": _product, "Gemm": _gemm, "Add": _with_bias}
