"""One tiny model in every format, and what each of these formats promises."""

import json
import re
from importlib.util import find_spec

import numpy as np

from minibert import pretrained
from minibert.pretrained import npz, tensors
from minibert.pretrained.names import lies_transposed, tensorflow
from tests import tiny_model
from tests.pretrained import writers

#: Format -> are wrong bits within the numbers noticed? None: nor does a wrong address within the file need to be.
PROTECTED = {"safetensors": False, "sharded": False, "torch_zip": True, "torch_legacy": False, "npz": True, "tensorflow": True,
             "tensorflow_snappy": True, "onnx": False, "gguf": False, "flax": False, "paddle": False,
             **({"keras": None} if find_spec("h5py") else {})}


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
    elif kind == "flax":
        writers.flax(folder / "flax_model.msgpack", {flax(name): x.T if flax(name).endswith(".kernel") else x
                                                     for name, x in arrays.items()})
    elif kind == "keras":
        writers.keras(folder / "tf_model.h5", keras(arrays))
    elif kind == "paddle":
        writers.paddle(folder / "model_state.pdparams", {paddle(name): x.T if x.ndim == 2 and "embeddings" not in name else x
                                                         for name, x in arrays.items()})
    elif kind == "npz":
        npz.write(folder / "bert_model.npz", arrays)
    else:
        moments = {f"{name}/adam_m": np.zeros_like(x) for name, x in list(theirs.items())[:3]}
        writers.tensorflow(folder / "bert_model.ckpt", theirs | moments | {"global_step": np.array(7)}, shards=2,
                           compress=kind == "tensorflow_snappy")
    return sorted(set(folder.iterdir()) - before)


def flax(name):
    """What Flax calls one of our tensors."""
    name = re.sub(r"LayerNorm\.weight$", "LayerNorm.scale", name)
    name = re.sub(r"_embeddings\.weight$", "_embeddings.embedding", name)
    return re.sub(r"\.weight$", ".kernel", name)


def keras(arrays):
    """The layers of Keras with transformers' names, in which the model is called ``tf_bert``."""
    layers = {"bert": {}, "nsp___cls": {}, "mlm___cls": {}}
    for name, x in arrays.items():
        theirs = flax(name).replace(".", "/")
        for ours, keras in ((r"LayerNorm/scale", "LayerNorm/gamma"), (r"LayerNorm/bias", "LayerNorm/beta"),
                            (r"/layer/", "/layer_._"), (r"(word_embeddings)/embedding", r"\1/weight"),
                            (r"_embeddings/embedding", "_embeddings/embeddings"),
                            (r"^cls/predictions", "mlm___cls/predictions"), (r"^cls/seq", "nsp___cls/seq")):
            theirs = re.sub(ours, keras, theirs)
        layers[theirs.split("/")[0]][f"tf_bert/{theirs}:0"] = x.T if theirs.endswith("/kernel") else x
    layers["mlm___cls"] |= {name: x for name, x in layers["bert"].items() if "embeddings/" in name}  # its decoder's
    return layers


def paddle(name):
    """What PaddleNLP calls one of our tensors."""
    for ours, theirs in ((r"encoder\.layer\.", "encoder.layers."), (r"attention\.self\.(.)\w+", r"self_attn.\1_proj"),
                         (r"attention\.output\.dense", "self_attn.out_proj"), (r"attention\.output\.LayerNorm", "norm1"),
                         (r"intermediate\.dense", "linear1"), (r"(\d)\.output\.dense", r"\1.linear2"),
                         (r"(\d)\.output\.LayerNorm", r"\1.norm2"), (r"embeddings\.LayerNorm", "embeddings.layer_norm"),
                         (r"transform\.LayerNorm", "layer_norm"), (r"transform\.dense", "transform"),
                         (r"predictions\.bias", "predictions.decoder_bias")):
        name = re.sub(ours, theirs, name)
    return name
