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
             "tensorflow_snappy": True}


def tiny(**changes):
    """``(config, parameters, tokenizer)`` of some 700 numbers."""
    return tiny_model.make(**{"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 5,
                              "max_position_embeddings": 8, **changes})


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
    elif kind == "npz":
        npz.write(folder / "bert_model.npz", arrays)
    else:
        moments = {f"{name}/adam_m": np.zeros_like(x) for name, x in list(theirs.items())[:3]}
        writers.tensorflow(folder / "bert_model.ckpt", theirs | moments | {"global_step": np.array(7)}, shards=2,
                           compress=kind == "tensorflow_snappy")
    return sorted(set(folder.iterdir()) - before)
