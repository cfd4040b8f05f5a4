"""From any format of checkpoint that can be read to any that can be written, number for number.

Nothing is rounded and nothing is made up: float16 stays float16, and a head that the source lacks is lacking in the copy. Only
bfloat16, which the writers do not have, becomes float32. Names become those of the format that is written.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from minibert import swap
from minibert.files import write_atomically
from minibert.pretrained import families, formats, npz, tensors
from minibert.pretrained.folder import CONFIG, check_replaceable, floating, match, open_folder
from minibert.sentence_vectors import modules_of
from minibert.text import Tokenizer
from minibert.text.saved import files_of

#: Format -> (name of the file, its writer).
FORMATS = {
    "safetensors": ("model.safetensors", lambda path, arrays: tensors.write(path, arrays, {"format": "pt"})),
    "npz": ("bert_model.npz", npz.write),
}
BY_FAMILY = {"safetensors"}  # formats in which tensors are called what a model's family calls them; in the others, what BERT does
#: How sentence vectors are made, and how a fine-tuned model reads files.
_BESIDE = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
           "finetuning.json")


def convert(source: str | os.PathLike[str], destination: str | os.PathLike[str], format: str = "safetensors",
            dtype: str | None = None, tokenizer: Tokenizer | str | os.PathLike[str] | None = None) -> list[str]:
    """Write the model of one folder to another in ``format``, a key of ``FORMATS``. Returns what there is to say about it.

    ``dtype``: float32, float16 or float64 to change the type of the numbers. ``tokenizer``: the copy's, where the source has none
    or another is wanted. ValueError and FileNotFoundError for what cannot be read or does not fit float16, FileExistsError where
    the destination holds another model.
    """
    source, destination = Path(source), Path(destination)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    weights, config, tokenizer = open_folder(source, tokenizer)
    if destination.exists() and destination.samefile(source):
        raise ValueError(f"{destination} is the source itself; name another folder")
    beside, (name, write), text = _beside(source), FORMATS[format], families.to_json(config)
    names = families.names(config)
    check_replaceable(destination, config, tokenizer, {CONFIG, *files_of(tokenizer), name, *beside}, _BESIDE)
    with formats.opened(weights) as reader:
        layout, found, notes = match(reader, config)
        ordered = [*(name for name in layout.slots if name in found), *sorted(found.keys() - layout.slots)]
        arrays = {name: floating(reader, found[name], names) for name in ordered}
        if widened := sum(reader.dtypes[found[name]] == "bfloat16" for name in ordered):
            notes.append(f"{widened} tensors of bfloat16 were widened to float32")
        before = f"{weights.name} ({reader.format}, {_types(reader.dtypes[found[name]] for name in ordered)})"
    if dtype is not None:
        arrays = {name: _cast(weights, name, x, np.dtype(dtype)) for name, x in arrays.items()}
    with swap.saving(destination) as staged:
        write_atomically(staged / CONFIG, text)
        tokenizer.save(staged)
        for path in beside:
            (staged / path).parent.mkdir(exist_ok=True)
            write_atomically(staged / path, (source / path).read_bytes())
        write(staged / name, names.written(arrays) if format in BY_FAMILY else arrays)
    after = f"{destination / name} ({format}, {_types(x.dtype.name for x in arrays.values())})"
    return [f"{before} -> {after}: {sum(x.size for x in arrays.values()):,} numbers in {len(arrays)} tensors", *notes]


def _cast(path: Path, name: str, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16 and (largest := np.abs(x).max(initial=0)) > np.finfo(np.float16).max:
        raise ValueError(f"{path}: {name} has a number of size {largest:.3g}, too large for float16 (at most 65504)")
    return x.astype(dtype)


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
