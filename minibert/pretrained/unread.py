"""Formats of models that are not read here: what each of them is, and what to do instead.

They keep what a runtime computes, not what was trained: matrices are merged, packed or without names. So the way is back to the
checkpoint that such a file was made from.
"""

from __future__ import annotations

from pathlib import Path

_BACK = "open the checkpoint that it was made from instead, or write that as safetensors or ONNX with the tool that made this"
_UNPACK = "unpack it first"

#: How the name of a file or a folder ends -> what it is, and what to do.
NAMES = {
    ".tflite": ("TensorFlow Lite", _BACK), ".mlmodel": ("Core ML", _BACK), ".mlpackage": ("Core ML", _BACK),
    "openvino_model.xml": ("OpenVINO", _BACK), ".pte": ("ExecuTorch", _BACK), ".mnn": ("MNN", _BACK),
    ".ncnn.param": ("NCNN", _BACK), ".engine": ("TensorRT", _BACK), ".plan": ("TensorRT", _BACK), ".ot": ("rust-bert", _BACK),
    ".pdiparams": ("PaddlePaddle, for inference alone", "take the .pdparams file of its training"),
    "saved_model.pb": ("a TensorFlow SavedModel", "load it with TensorFlow and save its variables: tf.train.Checkpoint, or "
                       "Keras' save_weights to .h5"),
    ".nemo": ("a NeMo archive", _UNPACK), ".mar": ("a TorchServe archive", _UNPACK), ".tar.gz": ("an archive", _UNPACK),
    ".tgz": ("an archive", _UNPACK), ".tar": ("an archive", _UNPACK), ".zip": ("an archive", _UNPACK),
    ".7z": ("an archive", _UNPACK),
}

#: Where in a file which bytes stand -> what it is, and what to do.
STARTS = {
    (4, b"TFL3"): NAMES[".tflite"], (4, b"ET12"): NAMES[".pte"], (0, b"ftrt"): NAMES[".engine"],
    (0, b"7767517"): NAMES[".ncnn.param"],
    **{(0, start): ("ggml, of before GGUF", "convert the checkpoint that it was made from anew, with llama.cpp's converter")
       for start in (b"lmgg", b"fmgg", b"tjgg")},
    (0, b"\x1f\x8b"): ("compressed (gzip)", _UNPACK), (0, b"BZh"): ("compressed (bzip2)", _UNPACK),
    (0, b"\xfd7zXZ"): ("compressed (xz)", _UNPACK), (0, b"\x28\xb5\x2f\xfd"): ("compressed (zstd)", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c"): NAMES[".7z"], (257, b"ustar"): NAMES[".tar"],
}


def refuse(start: bytes, path: Path) -> None:
    """ValueError for a file whose first bytes are those of such a format."""
    for (at, magic), (what, instead) in STARTS.items():
        if start.startswith(magic, at):
            raise ValueError(f"{path} is {_article(what)}, which is not read here: {instead}")


def named(folder: Path) -> str:
    """What there is of such formats in a folder, in a sentence; nothing where there is none."""
    found = {path.name: NAMES[end] for path in sorted(folder.iterdir()) for end in NAMES if path.name.endswith(end)}
    return "; ".join(f"{name} is {_article(what)}, which is not read here: {instead}" for name, (what, instead) in found.items())


def _article(what: str) -> str:
    return what if what.startswith(("a ", "an ", "compressed")) else f"a model for {what}"
