"""One tiny model in every format, and what each of these formats promises."""

import json

import numpy as np

from minibert import pretrained
from minibert.pretrained import npz, tensors
from minibert.pretrained.names import lies_transposed, tensorflow
from tests import tiny_model
from tests.pretrained import writers

#: Format -> are wrong bits within the numbers noticed?
PROTECTED = {"safetensors": False, "sharded": False, "torch_zip": True, "torch_legacy": False, "npz": True, "tensorflow": True,
             "tensorflow_snappy": True, "onnx": False, "gguf": False}


def tiny(**changes):
    """``(config, parameters, tokenizer)`` of some 700 numbers."""
    return tiny_model.make(**{"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 5,
                              "max_position_embeddings": 8, **changes})


def exported(arrays):
    """What PyTorch's exporter makes of the tensors: ``(stored arrays, nodes)``, matrices transposed and without their names."""
    stored, nodes = {}, []
    for i, (name, x) in enumerate(arrays.items()):
        bias = name.removesuffix("weight") + "bias"
        if x.ndim == 2 and bias in arrays:
            stored[f"onnx::MatMul_{i}"] = x.T
            nodes += [("MatMul", [f"x{i}", f"onnx::MatMul_{i}"], [f"y{i}"], {}), ("Add", [bias, f"y{i}"], [f"z{i}"], {})]
        else:
            stored[name] = x
    return stored, nodes


_LLAMA_CPP = {"bert.embeddings.word_embeddings": "token_embd", "bert.embeddings.position_embeddings": "position_embd",
              "bert.embeddings.token_type_embeddings": "token_types", "bert.embeddings.LayerNorm": "token_embd_norm",
              "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
              "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
              "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}


def llama_cpp(name):
    """llama.cpp's name for a tensor; ours where it has none."""
    stem, end = name.rsplit(".", 1)
    if name.startswith("bert.encoder."):
        _, _, _, number, part = stem.split(".", 4)
        return f"blk.{number}.{_LLAMA_CPP[part]}.{end}"
    return f"{_LLAMA_CPP[stem]}.{end}" if stem in _LLAMA_CPP else name


def write(folder, kind, model=None):
    """Make ``folder`` hold the model in a format; returns the files with the weights."""
    config, parameters, tokenizer = model or tiny()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    tokenizer.save(folder)
    arrays = dict(parameters.items())
    theirs = {tensorflow(name): x.T if lies_transposed(tensorflow(name)) else x for name, x in arrays.items()}
    before = set(folder.iterdir())
    if kind == "safetensors":
        tensors.write(folder / pretrained.WEIGHTS, arrays, {"format": "pt"})
    elif kind == "sharded":
        files = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
        places = {name: files[i % 2] for i, name in enumerate(arrays)}
        for file in files:
            tensors.write(folder / file, {name: x for name, x in arrays.items() if places[name] == file})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    elif kind in ("torch_zip", "torch_legacy"):
        getattr(writers, kind)(folder / "pytorch_model.bin", arrays)
    elif kind == "onnx":
        writers.onnx(folder / "model.onnx", *exported(arrays))
    elif kind == "gguf":
        writers.gguf(folder / "model.gguf", {llama_cpp(name): x for name, x in arrays.items()})
    elif kind == "npz":
        npz.write(folder / "bert_model.npz", arrays)
    else:
        moments = {f"{name}/adam_m": np.zeros_like(x) for name, x in list(theirs.items())[:3]}
        writers.tensorflow(folder / "bert_model.ckpt", theirs | moments | {"global_step": np.array(7)}, shards=2,
                           compress=kind == "tensorflow_snappy")
    return sorted(set(folder.iterdir()) - before)
