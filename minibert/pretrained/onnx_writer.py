"""A model as an ONNX graph, which runs wherever onnxruntime does: the layers of ``minibert.model`` once more, as operators.

In go ``input_ids``, ``attention_mask`` and ``token_type_ids``, (batch, sequence) of any size; out come, as far as the model has
them, under the names that transformers has for them::

    last_hidden_state           (batch, sequence, H)
    pooler_output               (batch, H)
    logits                      (batch, C) or (batch, sequence, C) of a fine-tuned classifier, which its architecture tells apart;
                                else (batch, sequence, V) of the masked words, which are called mlm_logits beside a classifier
                                or (batch, sequence) of ELECTRA's discriminator, above 0 where a token was replaced
    start_logits, end_logits    (batch, sequence)
    seq_relationship_logits     (batch, 2)

Types of tokens and tasks are 0 where a model has one alone, that of the task in any case. Tensors keep our names and lie as ours
do, (out, in): a runtime transposes them once, when it loads the file. What is stored in another type than float32 is computed in
float32. Of the ways to write attention, its mask and GELU, the one stands here that onnxruntime's optimiser for BERT knows and
replaces by one operator each (``fusion_attention.py``, ``fusion_gelu.py``): it divides, by √D and √2, and does not multiply.

Source: ``onnx/onnx.proto``, ``docs/Operators.md``; operators of opset 17, of 2022.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import count
from math import pi, sqrt

import numpy as np

from minibert.config import BertConfig
from minibert.files import writing
from minibert.layers.softmax import MASKED
from minibert.protobuf import field, opening

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LARGEST = (1 << 31) - 1  # bytes of a message
_OPSET, _IR_VERSION, _FLOAT32, _INT64 = 17, 8, 1, 7
_PLAIN = {"tanh": "Tanh", "relu": "Relu"}
_TYPES = {"float32": 1, "int64": 7, "float16": 10, "float64": 11}
WORDS, MLM, NSP = "bert.embeddings.word_embeddings", "cls.predictions", "cls.seq_relationship"
TASK, SPAN, REPLACED = "classifier", "qa_outputs", "discriminator_predictions"
_JUDGED = {"ForSequenceClassification": "text", "ForMultipleChoice": "text", "ForTokenClassification": "token"}


def holds(name: str, config: BertConfig) -> bool:
    """Has the graph of a model a place for this tensor?"""
    task = [f"{TASK}."] if _judged(config) else []
    return name.startswith(("bert.", f"{MLM}.", f"{NSP}.", f"{SPAN}.", f"{REPLACED}.", *task))


def _judged(config: BertConfig) -> str | None:
    """What a classifier judges: texts or tokens, or None where the configuration does not say."""
    named = config.unknown.get("architectures")
    name = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    return next((what for end, what in _JUDGED.items() if name.endswith(end)), None)


def write(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], config: BertConfig) -> None:
    """Write a model, under our names, to ``path``: all of it, or nothing. Equal models give equal bytes.

    ValueError for one that is too large for one file, or a body of convolutions.
    """
    if config.filter_sizes:
        raise ValueError("a model of convolutions cannot be written as ONNX here; as safetensors or npz it can (convert --to "
                         "safetensors)")
    graph = _Graph(tensors)
    outputs = _model(graph, config)
    about = b"".join([*(field(1, node) for node in graph.nodes), field(2, "bert"),
                      *(field(11, _described(name, _INT64, ("batch", "sequence"))) for name in INPUTS),
                      *(field(12, _described(name, _FLOAT32, shape)) for name, shape in outputs.items())])
    heads = [_array_head(name, x) for name, x in graph.arrays.items()]
    sizes = [len(head) + x.nbytes for head, x in zip(heads, graph.arrays.values())]
    length = len(about) + sum(len(opening(5, size)) + size for size in sizes)
    if length > LARGEST - 1000:
        raise ValueError(f"the model takes {length:,} bytes, and an ONNX file holds at most {LARGEST:,}: try --dtype float16")
    with writing(path) as file:
        file.write(field(1, _IR_VERSION) + field(2, "minibert") + field(8, field(1, "") + field(2, _OPSET)))
        file.write(opening(7, length) + about)
        for head, size, x in zip(heads, sizes, graph.arrays.values()):
            file.write(opening(5, size) + head)
            file.write(np.ascontiguousarray(x).data)


class _Graph:
    """Nodes and arrays, as they are added. Values are known by their names."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.nodes: list[bytes] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._made: dict[tuple, str] = {}  # of stored arrays: once each
        self._count = count()

    def __call__(self, op: str, *inputs: str | float | list[int], out: str = "", **attributes: int | float | list[int]) -> str:
        """Add an operation; the name of its output. Numbers are stored as constants."""
        out = out or f"{op}_{next(self._count)}"
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.nodes.append(b"".join([*(field(1, name) for name in names), field(2, out), field(3, out), field(4, op),
                                    *(field(5, _attribute(key, value)) for key, value in attributes.items())]))
        return out

    def constant(self, value: float | list[int]) -> str:
        """A number in float32, or a row of int64."""
        name = f"constant {value}"
        self.arrays[name] = np.array(value, np.int64 if isinstance(value, list) else np.float32)
        return name

    def whole(self, value: int) -> str:
        """A whole number."""
        self.arrays[f"constant {value}"] = np.array(value, np.int64)
        return f"constant {value}"

    def tensor(self, name: str) -> str:
        """A tensor of the model, as float32."""
        if name not in self._made:
            self.arrays[name] = x = self.tensors[name]
            self._made[name] = name if x.dtype == np.float32 else self("Cast", name, to=_FLOAT32)
        return self._made[name]

    def transposed(self, name: str) -> str:
        """A matrix of the model with rows and columns exchanged."""
        if (name, "T") not in self._made:
            self._made[name, "T"] = self("Transpose", self.tensor(name), perm=[1, 0])
        return self._made[name, "T"]


# The layers: a function for each, which adds its nodes to the graph

def _model(g: _Graph, config: BertConfig) -> dict[str, tuple[str | int, ...]]:
    """The outputs and their shapes."""
    H, eps = config.hidden_size, config.layer_norm_eps
    x = _embeddings(g, config)
    mask = g("Unsqueeze", g("Unsqueeze", "attention_mask", [1]), [2])  # (B, T) -> (B, 1, 1, T)
    mask = g("Mul", g("Sub", 1.0, g("Cast", mask, to=_FLOAT32)), MASKED)
    for i in config.uses:
        x = _BLOCKS[config.block](g, x, f"bert.encoder.layer.{i}", mask, config)
    if config.norm_first:
        x = _layer_norm(g, x, "bert.LayerNorm", eps)
    g("Identity", x, out="last_hidden_state")
    outputs: dict[str, tuple[str | int, ...]] = {"last_hidden_state": ("batch", "sequence", H)}
    pooled = _pooled(g, x, config)
    if pooled:
        g("Identity", pooled, out="pooler_output")
        outputs["pooler_output"] = ("batch", H)
    outputs |= _task(g, x, pooled, config)
    if _has(g, MLM, "bias", "transform.dense", "transform.LayerNorm", *(["extra"] if config.long_decoder else [])):
        name = "mlm_logits" if "logits" in outputs else "logits"
        g("Add", _words(g, x, config), g.tensor(f"{MLM}.bias"), out=name)
        outputs[name] = ("batch", "sequence", config.vocab_size)
    if _has(g, REPLACED, "dense_prediction"):
        u = _activation(g, _linear(g, x, f"{REPLACED}.dense"), config.hidden_act)
        g("Squeeze", _linear(g, u, f"{REPLACED}.dense_prediction"), [2], out="logits")
        outputs["logits"] = ("batch", "sequence")
    if pooled and f"{NSP}.weight" in g.tensors:
        g("Identity", _linear(g, pooled, NSP), out="seq_relationship_logits")
        outputs["seq_relationship_logits"] = ("batch", 2)
    return outputs


def _words(g: _Graph, x: str, config: BertConfig) -> str:
    """Logits of the words, without their bias."""
    t = _activation(g, _linear(g, x, f"{MLM}.transform.dense"), config.head_act or config.hidden_act)
    t = _layer_norm(g, t, f"{MLM}.transform.LayerNorm", config.layer_norm_eps)
    decoder = g.transposed(f"{MLM}.decoder.weight" if f"{MLM}.decoder.weight" in g.tensors else f"{WORDS}.weight")
    if not config.long_decoder:
        return g("MatMul", t, decoder)
    E, H = config.embedding_width, config.hidden_size
    logits = g("MatMul", g("Slice", t, [0], [E], [2]), decoder)
    return g("Add", logits, g("MatMul", g("Slice", t, [E], [H], [2]), g.transposed(f"{MLM}.extra.weight")))


def _task(g: _Graph, x: str, pooled: str | None, config: BertConfig) -> dict[str, tuple[str | int, ...]]:
    """The head of a fine-tuned model."""
    if f"{SPAN}.weight" in g.tensors:
        spans = _linear(g, x, SPAN)  # (B, T, 2)
        for i, name in enumerate(("start_logits", "end_logits")):
            g("Squeeze", g("Slice", spans, [i], [i + 1], [2]), [2], out=name)
        return dict.fromkeys(("start_logits", "end_logits"), ("batch", "sequence"))
    judged = _judged(config) if f"{TASK}.weight" in g.tensors else None
    if judged == "token":
        g("Identity", _linear(g, x, TASK), out="logits")
        return {"logits": ("batch", "sequence", len(g.tensors[f"{TASK}.bias"]))}
    if judged == "text" and _has(g, TASK, "dense"):  # a hidden layer of its own, over [CLS]
        pooled = _activation(g, _linear(g, _first(g, x), f"{TASK}.dense"), config.text_head or "tanh")
    if judged != "text" or pooled is None:
        return {}
    g("Identity", _linear(g, pooled, TASK), out="logits")
    return {"logits": ("batch", len(g.tensors[f"{TASK}.bias"]))}


def _has(g: _Graph, path: str, *parts: str) -> bool:
    return all(any(name.startswith(f"{path}.{part}") for name in g.tensors) for part in parts)


def _embeddings(g: _Graph, config: BertConfig) -> str:
    words = g("Gather", g.tensor(f"{WORDS}.weight"), "input_ids")
    if config.word_window:
        words = _linear(g, _neighbours(g, words, config.word_window), "bert.embeddings.projection")
    x = g("Add", words, _positions(g, config))
    none = g("Mul", "input_ids", g.whole(0))
    for kind, rows, ids in (("token", config.type_vocab_size, "token_type_ids"), ("task", config.task_type_vocab_size, none)):
        if rows:
            table = g.tensor(f"bert.embeddings.{kind}_type_embeddings.weight")
            x = g("Add", x, g("Gather", table, ids if rows > 1 else none))
    x = _norm(g, x, "bert.embeddings.LayerNorm", config)
    return _linear(g, x, "bert.embeddings.projection") if config.embedding_size and not config.word_window else x


def _neighbours(g: _Graph, x: str, window: int) -> str:
    """(B, T, E) -> (B, T, window·E): the token after first, zeros beyond the ends."""
    reach = window // 2
    padded = g("Pad", x, [0, reach, 0, 0, reach, 0])
    ends = [*range(1 - window, 0), LARGEST]  # places of the T from s on, and as many more as stand behind them
    return g("Concat", *(g("Slice", padded, [s], [ends[s]], [1]) for s in reversed(range(window))), axis=2)


def _positions(g: _Graph, config: BertConfig) -> str:
    """Rows of the position table; where it begins further down, padding is no token and has the row before."""
    table, start = g.tensor("bert.embeddings.position_embeddings.weight"), config.position_offset
    if not start:
        return g("Slice", table, [0], g("Shape", "input_ids", start=1, end=2), [0])  # (T, E)
    counts = g("Cast", g("Not", g("Equal", "input_ids", g.whole(config.pad_token_id))), to=_INT64)
    counted = g("Mul", g("CumSum", counts, g.whole(1)), counts)
    return g("Gather", table, g("Add", counted, g.whole(start - 1)))  # (B, T, E)


def _post_ln(g: _Graph, x: str, path: str, mask: str, config: BertConfig) -> str:
    context = _attention(g, x, f"{path}.attention.self", mask, config)
    h = _dense_norm(g, context, x, f"{path}.attention.output", config)
    a = _activation(g, _linear(g, h, f"{path}.intermediate.dense"), config.hidden_act)
    return _dense_norm(g, a, h, f"{path}.output", config)


def _pre_ln(g: _Graph, x: str, path: str, mask: str, config: BertConfig) -> str:
    eps = config.layer_norm_eps
    context = _attention(g, _layer_norm(g, x, f"{path}.attention.LayerNorm", eps), f"{path}.attention.self", mask, config)
    h = g("Add", x, _linear(g, context, f"{path}.attention.output.dense"))
    a = _linear(g, _layer_norm(g, h, f"{path}.intermediate.LayerNorm", eps), f"{path}.intermediate.dense")
    return g("Add", h, _linear(g, _activation(g, a, config.hidden_act), f"{path}.output.dense"))


def _mobile(g: _Graph, x: str, path: str, mask: str, config: BertConfig) -> str:
    narrow, reads = config.bottleneck_size is not None, config.attention_reads
    n = _dense_norm(g, x, None, f"{path}.bottleneck.input", config) if narrow else x
    a = n if reads == "bottleneck" else x
    if reads == "shared":
        a = _dense_norm(g, x, None, f"{path}.bottleneck.attention", config)
    context = _attention(g, a, f"{path}.attention.self", mask, config, n if reads == "bottleneck" else x)
    h = _dense_norm(g, context, n, f"{path}.attention.output", config)
    for network in (*(f"{path}.ffn.{i}" for i in range(config.ffn_count - 1)), path):
        u = _activation(g, _linear(g, h, f"{network}.intermediate.dense"), config.hidden_act)
        h = _dense_norm(g, u, h, f"{network}.output", config)
    return _dense_norm(g, h, x, f"{path}.output.bottleneck", config) if narrow else h


_BLOCKS = {"post_ln": _post_ln, "pre_ln": _pre_ln, "mobile": _mobile}


def _attention(g: _Graph, x: str, path: str, mask: str, config: BertConfig, values: str | None = None) -> str:
    read, (size, _) = {"query": x, "key": x, "value": values or x}, g.tensors[f"{path}.value.weight"].shape
    D, A = config.head_size, size // config.head_size
    q, k, v = (g("Reshape", _linear(g, read[part], f"{path}.{part}"), [0, 0, A, D]) for part in read)  # (B, T, A, D)
    scores = g("MatMul", g("Transpose", q, perm=[0, 2, 1, 3]), g("Transpose", k, perm=[0, 2, 3, 1]))
    probs = g("Softmax", g("Add", g("Div", scores, sqrt(D)), mask), axis=-1)  # (B, A, T, T)
    context = g("MatMul", probs, g("Transpose", v, perm=[0, 2, 1, 3]))
    return g("Reshape", g("Transpose", context, perm=[0, 2, 1, 3]), [0, 0, size])


def _pooled(g: _Graph, x: str, config: BertConfig) -> str | None:
    if config.pooler is None or (config.pooler != "first" and not _has(g, "bert.pooler", "dense")):
        return None
    first = _first(g, x)
    return first if config.pooler == "first" else _activation(g, _linear(g, first, "bert.pooler.dense"), config.pooler)


def _first(g: _Graph, x: str) -> str:
    """[CLS]: (B, T, H) -> (B, H)."""
    return g("Squeeze", g("Slice", x, [0], [1], [1]), [1])


def _linear(g: _Graph, x: str, path: str) -> str:
    return g("Add", g("MatMul", x, g.transposed(f"{path}.weight")), g.tensor(f"{path}.bias"))


def _dense_norm(g: _Graph, x: str, residual: str | None, path: str, config: BertConfig) -> str:
    u = _linear(g, x, f"{path}.dense")
    return _norm(g, g("Add", residual, u) if residual else u, f"{path}.LayerNorm", config)


def _norm(g: _Graph, x: str, path: str, config: BertConfig) -> str:
    if config.norm == "layer_norm":
        return _layer_norm(g, x, path, config.layer_norm_eps)
    return g("Add", g("Mul", x, g.tensor(f"{path}.weight")), g.tensor(f"{path}.bias"))


def _layer_norm(g: _Graph, x: str, path: str, eps: float) -> str:
    return g("LayerNormalization", x, g.tensor(f"{path}.weight"), g.tensor(f"{path}.bias"), axis=-1, epsilon=float(eps))


def _activation(g: _Graph, x: str, form: str) -> str:
    if form in _PLAIN:
        return g(_PLAIN[form], x)
    if form == "gelu":
        gate = g("Erf", g("Div", x, sqrt(2)))
    else:
        cubed = g("Mul", g("Pow", x, 3.0), 0.044715)
        gate = g("Tanh", g("Mul", g("Add", x, cubed), sqrt(2 / pi)))
    return g("Mul", g("Mul", x, 0.5), g("Add", gate, 1.0))


# Messages

def _attribute(name: str, value: int | float | list[int]) -> bytes:
    number, kind = (2, 1) if isinstance(value, float) else (3, 2) if isinstance(value, int) else (8, 7)
    values = value if isinstance(value, list) else [value]
    return field(1, name) + b"".join(field(number, x) for x in values) + field(20, kind)


def _described(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    sizes = b"".join(field(1, field(2 if isinstance(n, str) else 1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, sizes)))


def _array_head(name: str, x: np.ndarray) -> bytes:
    """An array's message up to the numbers."""
    return b"".join(field(1, n) for n in x.shape) + field(2, _TYPES[x.dtype.name]) + field(8, name) + opening(9, x.nbytes)
