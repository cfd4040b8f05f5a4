"""A model is a folder: ``config.json``, ``vocab.txt``, ``tokenizer_config.json``, ``model.safetensors``.

The names in it are those of the reference's checkpoints, so that the usual tools open what is saved here
(``transformers.BertForPreTraining.from_pretrained(folder)``) and what they saved is opened here. The tied decoder is not stored:
it is the table of word embeddings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import to_numpy
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.model import pretraining
from minibert.parameters import Layout, Parameters, initialise
from minibert.pretrained import tensors
from minibert.pretrained.names import HEADS, IGNORED, canonical
from minibert.text import Tokenizer

CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocab.txt", "model.safetensors"

#: Keys of a config.json that are about other programs; that they have no effect here is no news.
_HARMLESS = {"architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "gradient_checkpointing",
             "position_embedding_type", "classifier_dropout", "directionality", "_name_or_path", "tie_word_embeddings",
             "is_decoder", "add_cross_attention", "bos_token_id", "eos_token_id"}


class Loaded(NamedTuple):
    """What a folder holds, and what there was to say about it."""

    config: BertConfig
    parameters: Parameters
    tokenizer: Tokenizer
    notes: list[str]


def save(folder: str | os.PathLike[str], config: BertConfig, parameters: Parameters, tokenizer: Tokenizer,
         dtype: Any = np.float32) -> None:
    """Write a model to ``folder``, which is made where there is none. Equal models give equal bytes.

    ``dtype``: of the stored weights, float32, float16 or float64. Every file is written whole or not at all, the weights last. A
    folder may be saved to again and again, but only with the same sizes and vocabulary: a kill between two files could otherwise
    leave a mixture. FileExistsError for a folder that holds another model, ValueError for parts that do not belong together or
    weights too large for float16, OSError where the disk refuses; what was there before then still is.
    """
    folder = Path(folder)
    dtype = np.dtype(dtype)
    if len(tokenizer.vocab) != config.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer.vocab)} tokens, but config.vocab_size is {config.vocab_size}: "
                         "save a model with the vocabulary it was trained with")
    if parameters.layout.slots != pretraining.layout(config).slots:
        raise ValueError("the parameters do not have the tensors of this configuration; save them with their own config")
    _check_replaceable(folder, config, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    unknown = {key: value for key, value in config.unknown.items() if key not in ("torch_dtype", "dtype")}  # of another file
    write_atomically(folder / CONFIG, config.replace(unknown=unknown).to_json())
    tokenizer.save(folder)
    save_weights(folder / WEIGHTS, parameters, dtype)


def save_weights(path: str | os.PathLike[str], parameters: Parameters, dtype: Any = np.float32) -> None:
    """Write only the tensors, to the one file ``path``; all or nothing."""
    flat = to_numpy(parameters.flat)
    if np.dtype(dtype) == np.float16 and (largest := np.abs(flat).max()) > np.finfo(np.float16).max:
        raise ValueError(f"{path}: a weight of size {largest:.3g} is too large for float16 (at most 65504); save in float32")
    on_cpu = Parameters(parameters.layout, flat.astype(dtype, copy=False))
    tensors.write(path, dict(on_cpu.items()), {"format": "pt"})


def load(folder: str | os.PathLike[str], xp: Any = np, dtype: Any = np.float32) -> Loaded:
    """Read a model from ``folder`` into an array module's memory, in ``dtype``, whatever type the file has.

    The encoder must be there whole. Heads that are not (of a model saved without them) start fresh, always with the same numbers,
    and ``notes`` says so, as it names tensors that are not used and configuration keys that have no effect.

    Raises FileNotFoundError where a file is missing, and ValueError, with file, tensor, expected and found, for one that is
    damaged or for files that do not fit together. Half precision on the CPU is a ValueError.
    """
    folder = Path(folder)
    weights = _find(folder)
    config = BertConfig.load(folder / CONFIG)
    tokenizer = Tokenizer.load(folder)
    if len(tokenizer.vocab) != config.vocab_size:
        raise ValueError(f"{folder / VOCABULARY} has {len(tokenizer.vocab)} tokens, but vocab_size in {CONFIG} is "
                         f"{config.vocab_size}: one of the two belongs to another model")
    with tensors.opened(weights) as reader:
        parameters, notes = read_parameters(reader, config, dtype if xp is np else np.float32)
    if xp is not np:
        parameters = parameters.to(xp).astype(dtype)
    ignored = sorted(set(config.unknown) - _HARMLESS)
    if ignored:
        notes.append(f"{CONFIG}: these keys have no effect here: {', '.join(ignored)}")
    return Loaded(config, parameters, tokenizer, notes)


def read_parameters(reader: tensors.Reader, config: BertConfig, dtype: Any = np.float32) -> tuple[Parameters, list[str]]:
    """The tensors of an open file as Parameters on the CPU, and notes on what is missing or left over.

    ``reader``: anything with ``.path``, ``.shapes`` (name -> shape) and ``[name]``; a reader of another format fits in here.
    """
    layout = pretraining.layout(config)
    found = {canonical(name): name for name in reader.shapes if not IGNORED.search(name)}  # our name -> the file's
    _untie(reader, layout, found)
    absent = sorted(layout.slots.keys() - found)
    unexpected = sorted(found.keys() - layout.slots)
    fresh = [name for name in absent if HEADS.search(name)]
    missing = [name for name in absent if not HEADS.search(name)]
    extra = [name for name in unexpected if name.startswith("bert.")]  # a deeper or another encoder
    misshaped = [name for name in sorted(found.keys() & layout.slots) if reader.shapes[found[name]] != layout.slots[name].shape]
    if missing or extra or misshaped:
        raise ValueError(_contradiction(reader, config, layout, found, missing, extra, misshaped))

    parameters = Parameters.zeros(layout, np, dtype)
    views = dict(parameters.items())
    for name, stored in found.items():
        if name in views:
            views[name][...] = _floating(reader, stored)
    notes = []
    if fresh:
        start = initialise(Layout({name: layout.slots[name].shape for name in fresh}), config.initializer_range, dtype=dtype)
        for name, values in start.items():
            views[name][...] = values
        notes.append(f"{reader.path.name} has no {', '.join(fresh)}: initialised, not trained")
    if left := [found[name] for name in unexpected]:
        notes.append(f"{reader.path.name}: these tensors have no place in this model and are not used: {', '.join(left)}")
    return parameters, notes


def _untie(reader: tensors.Reader, layout: Layout, found: dict[str, str]) -> None:
    """Take the tied names, which some tools store as well, out of ``found``; they must hold what they are tied to."""
    for name, target in layout.ties.items():
        if name not in found:
            continue
        stored = found.pop(name)
        if target not in found:
            found[target] = stored
        elif (reader.shapes[stored] == reader.shapes[found[target]]
              and not np.array_equal(reader[stored], reader[found[target]], equal_nan=True)):
            raise ValueError(f"{reader.path}: {stored} differs from {found[target]}; in this model the two are one tensor, "
                             "and a checkpoint that unties them cannot be represented")


def _floating(reader: tensors.Reader, name: str) -> np.ndarray:
    x = reader[name]
    if x.dtype.kind != "f":
        raise ValueError(f"{reader.path}: tensor {name} must hold floating-point numbers, found {x.dtype}")
    return x


def _contradiction(reader: tensors.Reader, config: BertConfig, layout: Layout, found: dict[str, str],
                   missing: list[str], extra: list[str], misshaped: list[str]) -> str:
    """All that keeps a file and a configuration from fitting together, every tensor with what was expected and found."""
    if len(missing) == sum(not HEADS.search(name) for name in layout.slots):
        first = next(iter(reader.shapes), "none")
        return (f"{reader.path}: none of its {len(reader.shapes)} tensors belongs to a BERT encoder (the first is {first}); "
                "expected names like bert.embeddings.word_embeddings.weight")
    lines = [f"{reader.path} does not fit {CONFIG}:"]
    lines += [f"  {found[name]}: expected shape {layout.slots[name].shape}, found {reader.shapes[found[name]]}"
              for name in misshaped]
    lines += [f"  {name}: expected shape {layout.slots[name].shape}, not found" for name in missing]
    lines += [f"  {found[name]}: not expected, found shape {reader.shapes[found[name]]}" for name in extra]
    differing = [f"{key} is {getattr(config, key)}, but {size} by the tensors"
                 for key, size in _sizes(reader, found).items() if getattr(config, key) != size]
    if differing:
        lines.append(f"In {CONFIG} {'; '.join(differing)}.")
    lines.append(f"Use the {CONFIG} that was saved with these weights.")
    return "\n".join(lines)


def _sizes(reader: tensors.Reader, found: dict[str, str]) -> dict[str, int]:
    """What the tensors say about the configuration, as far as they are there."""
    def shape(name: str) -> tuple[int, ...]:
        return reader.shapes.get(found.get(name, ""), ())

    sizes = {}
    for name, keys in {"bert.embeddings.word_embeddings.weight": ("vocab_size", "hidden_size"),
                       "bert.embeddings.position_embeddings.weight": ("max_position_embeddings",),
                       "bert.embeddings.token_type_embeddings.weight": ("type_vocab_size",),
                       "bert.encoder.layer.0.intermediate.dense.weight": ("intermediate_size",)}.items():
        sizes |= dict(zip(keys, shape(name)))
    numbers = [int(name.split(".")[3]) for name in found if name.startswith("bert.encoder.layer.")]
    if numbers:
        sizes["num_hidden_layers"] = max(numbers) + 1
    return sizes


def _find(folder: Path) -> Path:
    """The file with the weights; FileNotFoundError naming what is missing. Other formats of weights belong here."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; expected that of a run or of a BERT model, "
                                f"with {CONFIG}, {VOCABULARY} and {WEIGHTS}")
    absent = [name for name in (CONFIG, VOCABULARY, WEIGHTS) if not (folder / name).is_file()]
    if not absent:
        return folder / WEIGHTS
    hint = "expected the folder of a run or of a BERT model"
    others = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".h5", ".ckpt"))
    if others and absent == [WEIGHTS]:
        hint = f"{', '.join(others)} is in another format: open it with the tool that wrote it and save it as {WEIGHTS}"
    raise FileNotFoundError(f"{folder} has no {', '.join(absent)}; {hint}")


def _check_replaceable(folder: Path, config: BertConfig, tokenizer: Tokenizer) -> None:
    """FileExistsError where ``folder`` holds a model of other sizes or another vocabulary."""
    if not (folder / WEIGHTS).exists():
        return
    try:
        same = (pretraining.layout(BertConfig.load(folder / CONFIG)).slots == pretraining.layout(config).slots
                and Tokenizer.load(folder).vocab == tokenizer.vocab)
    except (OSError, ValueError):
        return  # nothing that could be opened is lost
    if not same:
        raise FileExistsError(f"{folder} holds a model of other sizes or another vocabulary; choose another folder or delete it")
