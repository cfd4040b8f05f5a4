"""From any format of checkpoint that can be read to any that can be written, number for number.

Nothing is rounded and nothing is made up: float16 stays float16, and a head that the source lacks is lacking in the copy. Only
what the writers do not have, bfloat16 and numbers in 8 bits, becomes float32. Names become those of the format that is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert import swap
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.pretrained import families, formats, gguf, npz, onnx_writer, tensors
from minibert.pretrained.folder import CONFIG, check_replaceable, floating, match, open_folder
from minibert.sentence_vectors import Pooling, modules_of
from minibert.text import Tokenizer
from minibert.text.saved import files_of


class Copy(NamedTuple):
    """What is written."""

    arrays: Mapping[str, np.ndarray]
    config: BertConfig
    tokenizer: Tokenizer
    pooling: str | None  # how the source says that sentence vectors are made


class Format(NamedTuple):
    """A format that is written: into which file, how, and which tensors of a model have a place in it."""

    file: str
    write: Callable[[Path, Copy], None]
    holds: Callable[[str, BertConfig], object] = lambda name, config: True


def _safetensors(path: Path, it: Copy) -> None:
    tensors.write(path, families.names(it.config).written(it.arrays), {"format": "pt"})


FORMATS = {
    "safetensors": Format("model.safetensors", _safetensors),
    "npz": Format("bert_model.npz", lambda path, it: npz.write(path, it.arrays)),  # by BERT's names, whose model it may be
    "onnx": Format("model.onnx", lambda path, it: onnx_writer.write(path, it.arrays, it.config), onnx_writer.holds),
    "gguf": Format("model.gguf", lambda path, it: gguf.write(path, *it), lambda name, _: gguf.theirs(name)),
}
#: How sentence vectors are made, and how a fine-tuned model reads files.
_BESIDE = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
           "finetuning.json")


def convert(source: str | os.PathLike[str], destination: str | os.PathLike[str], format: str | Format = "safetensors",
            dtype: str | None = None, tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
            weights: str | os.PathLike[str] | None = None, heads: int | None = None,
            change: Callable[[Copy], Copy] = lambda it: it) -> list[str]:
    """Write the model of one folder to another in ``format``, a key of ``FORMATS`` or another one. Returns what there is to say.

    ``dtype``: float32, float16 or float64 to change the type of the numbers. ``tokenizer``: the copy's, where the source has none
    or another is wanted. ``weights`` and ``heads``: as for ``pretrained.load``. ``change``: what is done to the copy before it is
    written. ValueError and FileNotFoundError for what cannot be read or does not fit float16, FileExistsError where the
    destination holds another model.
    """
    source, destination = Path(source), Path(destination)
    if isinstance(format, str) and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    weights, config, tokenizer, said = open_folder(source, tokenizer, weights, heads)
    if destination.exists() and not destination.is_dir():
        raise FileExistsError(f"{destination} is a file; a checkpoint is written as a folder: choose another name")
    if destination.exists() and destination.samefile(source):
        raise ValueError(f"{destination} is the source itself; name another folder")
    beside, target = _beside(source), format if isinstance(format, Format) else FORMATS[format]
    called = format if isinstance(format, str) else "its own format"
    names = families.names(config)
    with formats.opened(weights) as reader:
        layout, found, notes = match(reader, config)
        ordered = [*(name for name in layout.slots if name in found), *sorted(found.keys() - layout.slots)]
        if left := [name for name in ordered if not target.holds(name, config)]:
            notes.append(f"left out, for {called} has no place for them: {', '.join(left)}")
        arrays = {name: floating(reader, found[name], names) for name in ordered if target.holds(name, config)}
        if widened := [reader.dtypes[found[name]] for name, x in arrays.items() if reader.dtypes[found[name]] != x.dtype.name]:
            notes.append(f"{len(widened)} tensors of {_types(widened)} were widened to float32")
        before = f"{weights.name} ({reader.format}, {_types(reader.dtypes[found[name]] for name in ordered)})"
    if dtype is not None:
        arrays = {name: _cast(weights, name, x, np.dtype(dtype)) for name, x in arrays.items()}
    it = change(Copy(arrays, config, tokenizer, _pooling(source)))
    text = families.to_json(it.config)
    check_replaceable(destination, it.config, it.tokenizer, {CONFIG, *files_of(it.tokenizer), target.file, *beside}, _BESIDE)
    with swap.saving(destination) as staged:
        write_atomically(staged / CONFIG, text)
        it.tokenizer.save(staged)
        for path in beside:
            (staged / path).parent.mkdir(exist_ok=True)
            write_atomically(staged / path, (source / path).read_bytes())
        target.write(staged / target.file, it)
    after = f"{destination / target.file} ({called}, {_types(x.dtype.name for x in it.arrays.values())})"
    return [f"{before} -> {after}: {sum(x.size for x in it.arrays.values()):,} numbers in {len(arrays)} tensors", *said, *notes]


def _cast(path: Path, name: str, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16 and (largest := np.abs(x).max(initial=0)) > np.finfo(np.float16).max:
        raise ValueError(f"{path}: {name} has a number of size {largest:.3g}, too large for float16 (at most 65504)")
    return x.astype(dtype)


def _pooling(folder: Path) -> str | None:
    return Pooling.of(folder).kind if (folder / "modules.json").is_file() else None


def _beside(folder: Path) -> list[str]:
    """Small files that belong to the model, as far as they are there."""
    found = [name for name in _BESIDE if (folder / name).is_file()]
    for module in modules_of(folder) or []:
        name = Path(str(module.get("path", ""))).name if isinstance(module, dict) else ""
        if name and (folder / name / "config.json").is_file():
            found.append(f"{name}/config.json")
    return list(dict.fromkeys(found))


def _types(dtypes: object) -> str:
    return ", ".join(sorted(set(dtypes)))
