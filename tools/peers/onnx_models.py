"""The small models in ``tests/pretrained/onnx-1.23``: exported by PyTorch, quantised by onnxruntime, taken apart by onnx itself.

    pip install torch==2.13.0 transformers==5.24.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2
    PYTHONPATH=. python tools/peers/onnx_models.py

Outside CI. Of what PyTorch's newer exporter writes, the metadata are left out: they name files of the machine that it ran on.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import transformers
from onnx.reference.ops.op_dequantize_linear import DequantizeLinear_21
from onnxruntime.quantization import QuantType, quantize_dynamic

from tests import tiny_model

FOLDER = Path(__file__).parents[2] / "tests" / "pretrained" / "onnx-1.23"
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def model() -> transformers.BertForPreTraining:
    """A small one whose biases and norms are random too."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tiny_model.TOKENS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=8, attn_implementation="eager", return_dict=False)
    made = transformers.BertForPreTraining(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made


def export(made: torch.nn.Module, path: Path, dynamo: bool) -> None:
    ids = torch.arange(12).reshape(2, 6)
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    axes = {0: "batch", 1: "sequence"}
    free = {"dynamic_shapes": (axes,) * 3, "external_data": False} if dynamo else {"dynamic_axes": dict.fromkeys(INPUTS, axes)}
    torch.onnx.export(made, inputs, str(path), input_names=INPUTS, output_names=["logits", "seq_relationship_logits"],
                      opset_version=18 if dynamo else 17, dynamo=dynamo, **free)
    if dynamo:
        whole = onnx.load(path)
        for part in (whole, whole.graph, *whole.graph.node, *whole.graph.value_info, *whole.graph.initializer, *whole.graph.input,
                     *whole.graph.output):
            del part.metadata_props[:]
        onnx.save(whole, path)


def multiplied_out(path: Path) -> dict[str, np.ndarray]:
    """The arrays in 8 bits by their names, as onnx's own evaluator of DequantizeLinear makes them."""
    stored = {x.name: onnx.numpy_helper.to_array(x) for x in onnx.load(path).graph.initializer}
    return {name.removesuffix("_quantized"): np.asarray(DequantizeLinear_21.eval(
                x, stored[name.replace("_quantized", "_scale")], stored[name.replace("_quantized", "_zero_point")], axis=1))
            for name, x in stored.items() if name.endswith("_quantized")}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = model()
    made.config.to_json_file(FOLDER / "config.json")
    (FOLDER / "vocab.txt").write_text("\n".join(tiny_model.TOKENS) + "\n", encoding="utf-8")
    export(made, FOLDER / "torchscript.onnx", dynamo=False)
    export(made, FOLDER / "dynamo.onnx", dynamo=True)
    onnx.save(onnx.load(FOLDER / "torchscript.onnx"), FOLDER / "external.onnx", save_as_external_data=True,
              location="external.onnx_data", size_threshold=0)
    values = {f"float32 {name}": x.numpy() for name, x in made.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        for kind, settings in {"tensor": {"weight_type": QuantType.QUInt8}, "channel": {"weight_type": QuantType.QInt8,
                                                                                         "per_channel": True}}.items():
            path = FOLDER / f"int8_{kind}.onnx"
            onnx.save(onnx.load(FOLDER / "torchscript.onnx"), Path(folder) / "model.onnx")
            quantize_dynamic(Path(folder) / "model.onnx", path, **settings)
            values |= {f"{kind} {name}": x for name, x in multiplied_out(path).items()}
    np.savez(FOLDER / "values.npz", **values)


if __name__ == "__main__":
    main()
