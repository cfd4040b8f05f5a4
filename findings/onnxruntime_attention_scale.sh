#!/usr/bin/env bash
# onnxruntime: the optimiser for BERT fuses attention whose scores are divided by the root of the head's size, and not the same
# attention whose scores are multiplied by the reciprocal, although its list of patterns has both.
#
# Version   onnxruntime 1.32.0 (and sympy 1.14.0, which its optimiser needs and its wheel does not bring), onnx 1.23.2, numpy 2.4.6
# Seen      one layer of post-norm attention with a mask, the same numbers in both forms: with Div one operator Attention is among the 6
#           that are left, with Mul there is none, 27 operators are left, and nothing is said.
# Expected  the same graph from both, or a warning.
# Source    onnxruntime/transformers/fusion_attention.py: "path2" is Softmax, Add, Mul, MatMul; then the mask is looked for above the
#           Add as Mul, Sub, …, at any of its inputs, and the first Mul that is found is the scale's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
venv/bin/python - <<'PY'
import logging

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.optimizer import optimize_model

logging.disable(logging.WARNING)
HEADS, SIZE = 2, 8
WIDTH = HEADS * SIZE
rng = np.random.default_rng(0)
numbers = {name: rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) for name in ("query", "key", "value", "out")}
numbers |= {f"{name}_bias": rng.normal(size=WIDTH).astype(np.float32) for name in ("query", "key", "value", "out")}
numbers |= {"gain": np.ones(WIDTH, np.float32), "shift": np.zeros(WIDTH, np.float32), "one": np.float32(1), "low": np.float32(-1e4),
            "root": np.float32(SIZE ** 0.5), "reciprocal": np.float32(SIZE ** -0.5), "first": np.array([1]), "second": np.array([2]),
            "apart": np.array([0, 0, HEADS, SIZE]), "together": np.array([0, 0, WIDTH])}


def layer(*scale):
    """One layer's attention between two norms; the scores are scaled by an operator and a number."""
    nodes = []

    def add(operator, *inputs, name=None, **how):
        nodes.append(helper.make_node(operator, inputs, [name or f"{operator}{len(nodes)}"], f"{operator}{len(nodes)}", **how))
        return nodes[-1].output[0]

    x = add("LayerNormalization", "x", "gain", "shift")
    mask = add("Unsqueeze", add("Unsqueeze", "mask", "first"), "second")
    mask = add("Mul", add("Sub", "one", add("Cast", mask, to=TensorProto.FLOAT)), "low")
    query, key, value = (add("Transpose", add("Reshape", add("Add", add("MatMul", x, name), f"{name}_bias"), "apart"),
                             perm=[0, 2, 3, 1] if name == "key" else [0, 2, 1, 3]) for name in ("query", "key", "value"))
    weights = add("Softmax", add("Add", add(scale[0], add("MatMul", query, key), scale[1]), mask), axis=-1)
    seen = add("Reshape", add("Transpose", add("MatMul", weights, value), perm=[0, 2, 1, 3]), "together")
    add("LayerNormalization", add("Add", add("Add", add("MatMul", seen, "out"), "out_bias"), x), "gain", "shift", name="y")
    graph = helper.make_graph(nodes, "layer", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "T", WIDTH]),
                                               helper.make_tensor_value_info("mask", TensorProto.INT64, ["B", "T"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", "T", WIDTH])],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in numbers.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


given = {"x": rng.normal(size=(2, 5, WIDTH)).astype(np.float32), "mask": np.array([[1] * 5, [1, 1, 1, 0, 0]])}
said = []
for scale, expected in ((("Div", "root"), 1), (("Mul", "reciprocal"), 0)):
    onnx.save(layer(*scale), "layer.onnx")
    fused = optimize_model("layer.onnx", "bert", HEADS, WIDTH, opt_level=0)
    found = fused.get_fused_operator_statistics()["Attention"]
    said.append(onnxruntime.InferenceSession("layer.onnx").run(None, given)[0])
    print(f"scores by {scale[0]}: {found} Attention, {len(fused.model.graph.node)} operators")
    assert found == expected
print(f"the two layers say the same within {np.abs(said[0] - said[1]).max():.1e}")
assert np.abs(said[0] - said[1]).max() < 1e-5
PY
echo "as described: the behaviour is still there"
