"""A model is a folder: ``config.json``, ``vocab.txt``, ``tokenizer_config.json``, ``model.safetensors``.

The names in it are those of the reference's checkpoints, so that the usual tools open what is saved here
(``transformers.BertForPreTraining.from_pretrained(folder)``) and what they saved is opened here, in whatever format
(``formats``) and under whatever names (``names``). The tied decoder is not stored: it is the table of word embeddings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import to_numpy
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.model import bert, pretraining
from minibert.parameters import Layout, Parameters, initialise
from minibert.pretrained import formats, tensors
from minibert.pretrained.families import CONFIG, OLD_CONFIG, config_path, read_config
from minibert.pretrained.formats import Reader
from minibert.pretrained.names import ENCODER, IGNORED, canonical
from minibert.pretrained.wordpieces import FAST, VOCABULARY, load_tokenizer
from minibert.text import Tokenizer

WEIGHTS = formats.WEIGHTS[0]
MOST_PADDING = 1024  # rows of the word table without a token; more, and the vocabulary is of another model

#: Keys of a config.json that are about other programs; that they have no effect here is no news.
_HARMLESS = {"architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "gradient_checkpointing",
             "position_embedding_type", "classifier_dropout", "directionality", "_name_or_path", "tie_word_embeddings",
             "is_decoder", "add_cross_attention", "bos_token_id", "eos_token_id", "pooler_fc_size", "pooler_num_attention_heads",
             "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type", "id2label", "label2id", "problem_type"}


class Loaded(NamedTuple):
    """What a folder holds, and what there was to say about it."""

    config: BertConfig
    parameters: Parameters
    tokenizer: Tokenizer
    notes: list[str]
    initialised: frozenset[str] = frozenset()  # tensors that the folder lacks: fresh, not trained


def save(folder: str | os.PathLike[str], config: BertConfig, parameters: Parameters, tokenizer: Tokenizer,
         dtype: Any = np.float32, *, without: Collection[str] = ()) -> None:
    """Write a model to ``folder``, which is made where there is none. Equal models give equal bytes.

    ``dtype``: of the stored weights, float32, float16 or float64. ``without``: tensors to leave out, such as heads that were
    never trained. Every file is written whole or not at all, the weights last. A folder may be saved to again and again, but only
    with the same sizes and vocabulary: a kill between two files could otherwise leave a mixture. FileExistsError for a folder
    that holds another model, ValueError for parts that do not belong together or weights too large for float16, OSError where
    the disk refuses; what was there before then still is.
    """
    folder = Path(folder)
    dtype = np.dtype(dtype)
    check_vocabulary(f"config.vocab_size is {config.vocab_size}", config.vocab_size, "the tokenizer", tokenizer)
    slots, encoder = parameters.layout.slots, bert.shapes(config)
    if ({name: slot.shape for name, slot in slots.items() if ENCODER.search(name)}
            != {name: shape for name, shape in encoder.items() if ENCODER.search(name)}):
        raise ValueError("the parameters do not have the tensors of this configuration; save them with their own config")
    check_replaceable(folder, config, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    unknown = {key: value for key, value in config.unknown.items() if key not in ("torch_dtype", "dtype")}  # of another file
    write_atomically(folder / CONFIG, config.replace(unknown=unknown).to_json())
    tokenizer.save(folder)
    save_weights(folder / WEIGHTS, parameters, dtype, without=without)


def save_weights(path: str | os.PathLike[str], parameters: Parameters, dtype: Any = np.float32, *,
                 without: Collection[str] = ()) -> None:
    """Write only the tensors, to the one file ``path``; all or nothing."""
    flat = to_numpy(parameters.flat)
    if np.dtype(dtype) == np.float16 and (largest := np.abs(flat).max()) > np.finfo(np.float16).max:
        raise ValueError(f"{path}: a weight of size {largest:.3g} is too large for float16 (at most 65504); save in float32")
    on_cpu = Parameters(parameters.layout, flat.astype(dtype, copy=False))
    tensors.write(path, {name: x for name, x in on_cpu.items() if name not in without}, {"format": "pt"})


def load(folder: str | os.PathLike[str], xp: Any = np, dtype: Any = np.float32, layout: Layout | None = None) -> Loaded:
    """Read a model from ``folder`` into an array module's memory, in ``dtype``, whatever format and type the file has.

    The encoder must be there whole. Heads that are not (of a model saved without them) start fresh, always with the same numbers,
    and ``notes`` says so, as it names tensors that are not used and configuration keys that have no effect. ``layout``: the
    tensors that are wanted, by default the encoder and both pre-training heads.

    Raises FileNotFoundError where a file is missing, and ValueError, with file, tensor, expected and found, for one that is
    damaged or for files that do not fit together. Half precision on the CPU is a ValueError.
    """
    folder = Path(folder)
    weights, config, tokenizer = open_folder(folder)
    with formats.opened(weights) as reader:
        parameters, notes, initialised = read_parameters(reader, config, dtype if xp is np else np.float32, layout)
    if xp is not np:
        parameters = parameters.to(xp).astype(dtype)
    if rows := config.vocab_size - len(tokenizer.vocab):
        notes.append(f"the table of words has {rows} rows more than {VOCABULARY} has tokens: no text reaches them, and none of "
                     "them is ever guessed")
    ignored = sorted(set(config.unknown) - _HARMLESS)
    if ignored:
        notes.append(f"{CONFIG}: these keys have no effect here: {', '.join(ignored)}")
    return Loaded(config, parameters, tokenizer, notes, initialised)


def open_folder(folder: Path) -> tuple[Path, BertConfig, Tokenizer]:
    """The file with the weights, the configuration and the tokenizer; the last two checked against one another."""
    weights = _find(folder)
    config, tokenizer = read_config(config_path(folder)), load_tokenizer(folder)
    check_vocabulary(f"vocab_size in {config_path(folder).name} is {config.vocab_size}", config.vocab_size,
                     str(folder / VOCABULARY), tokenizer)
    return weights, config, tokenizer


def check_vocabulary(what: str, rows: int, source: str, tokenizer: Tokenizer) -> None:
    """A table of words may be padded to a round number of rows, but must have a row for each token."""
    tokens = len(tokenizer.vocab)
    if not tokens <= rows <= tokens + MOST_PADDING:
        raise ValueError(f"{source} has {tokens} tokens, but {what}: " + (
            "its last tokens would have no row in the table of words" if rows < tokens else
            f"{rows - tokens} rows without a token are more than padding") + "; one of the two belongs to another model")


class Read(NamedTuple):
    parameters: Parameters
    notes: list[str]
    initialised: frozenset[str]


def read_parameters(reader: Reader, config: BertConfig, dtype: Any = np.float32, layout: Layout | None = None) -> Read:
    """The tensors of an open file as Parameters on the CPU, notes on what is missing or left over, and names of what is fresh."""
    layout, found = match(reader, config, layout)
    parameters = Parameters.zeros(layout, np, dtype)
    views = dict(parameters.items())
    notes, odd = [], []
    for name, stored in found.items():
        if name in views:
            views[name][...] = floating(reader, stored)
            if not np.isfinite(views[name]).all():
                odd.append(stored)
    if odd:
        notes.append(f"{reader.path.name}: there are numbers that are infinite or none (NaN) in {', '.join(odd)}: the file is "
                     "damaged, or its training failed")
    fresh = sorted(layout.slots.keys() - found)
    if fresh:
        start = initialise(Layout({name: layout.slots[name].shape for name in fresh}), config.initializer_range, dtype=dtype)
        for name, values in start.items():
            views[name][...] = values
        notes.append(f"{reader.path.name} has no {', '.join(fresh)}: initialised, not trained")
    if left := [found[name] for name in sorted(found.keys() - layout.slots)]:
        notes.append(f"{reader.path.name}: these tensors have no place in this model and are not used: {', '.join(left)}")
    return Read(parameters, notes, frozenset(fresh))


def match(reader: Reader, config: BertConfig, layout: Layout | None = None) -> tuple[Layout, dict[str, str]]:
    """The wanted tensors, and our name -> the file's for all that it holds of a model; ValueError where the two do not fit.

    Nothing is allocated before: shapes that a damaged file or configuration claims are compared first.
    """
    if len(set(config.uses)) > len(reader.shapes):
        raise ValueError(f"{reader.path}: num_hidden_layers is {config.num_hidden_layers} in {CONFIG}, but there are only "
                         f"{len(reader.shapes)} tensors: the two do not belong together")
    if sum(map(math.prod, reader.shapes.values())) > reader.size:
        raise ValueError(f"{reader.path}: its tensors claim more numbers than its {reader.size:,} bytes can hold: it is damaged")
    layout = layout or pretraining.layout(config)
    found: dict[str, str] = {}
    for stored in reader.shapes:
        if not IGNORED.search(stored):
            if (name := canonical(stored)) in found:
                raise ValueError(f"{reader.path}: {found[name]} and {stored} are two names of one tensor; which one is meant?")
            found[name] = stored
    _untie(reader, layout, found)
    missing = sorted(name for name in layout.slots.keys() - found if ENCODER.search(name))
    extra = sorted(name for name in found.keys() - layout.slots if ENCODER.search(name))  # a deeper or another encoder
    misshaped = [name for name in sorted(found.keys() & layout.slots) if reader.shapes[found[name]] != layout.slots[name].shape]
    if missing or extra or misshaped:
        raise ValueError(_contradiction(reader, config, layout, found, missing, extra, misshaped))
    return layout, found


def _untie(reader: Reader, layout: Layout, found: dict[str, str]) -> None:
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


def floating(reader: Reader, name: str) -> np.ndarray:
    """A tensor of the file; ValueError where it does not hold floating-point numbers."""
    x = reader[name]
    if x.dtype.kind != "f":
        raise ValueError(f"{reader.path}: tensor {name} must hold floating-point numbers, found {x.dtype}")
    return x


def _contradiction(reader: Reader, config: BertConfig, layout: Layout, found: dict[str, str],
                   missing: list[str], extra: list[str], misshaped: list[str]) -> str:
    """All that keeps a file and a configuration from fitting together, every tensor with what was expected and found."""
    if not any(ENCODER.search(name) for name in found.keys() & layout.slots):
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


def _sizes(reader: Reader, found: dict[str, str]) -> dict[str, int]:
    """What the tensors say about the configuration, as far as they are there."""
    def shape(name: str) -> tuple[int, ...]:
        return reader.shapes.get(found.get(name, ""), ())

    sizes = {}
    for name, keys in {"bert.embeddings.word_embeddings.weight": ("vocab_size", "hidden_size"),
                       "bert.embeddings.position_embeddings.weight": ("max_position_embeddings",),
                       "bert.embeddings.token_type_embeddings.weight": ("type_vocab_size",),
                       "bert.encoder.layer.0.intermediate.dense.weight": ("intermediate_size",)}.items():
        sizes |= dict(zip(keys, shape(name)))
    numbers = {name.split(".")[3] for name in found if name.startswith("bert.encoder.layer.")}
    if numbers and all(number.isdecimal() for number in numbers):
        sizes["num_hidden_layers"] = max(map(int, numbers)) + 1
    return sizes


def _find(folder: Path) -> Path:
    """The file with the weights; FileNotFoundError naming what is missing."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; expected that of a run or of a BERT model, "
                                f"with {CONFIG}, {VOCABULARY} and {WEIGHTS}")
    weights = formats.find(folder)
    present = {CONFIG: config_path(folder).is_file(), VOCABULARY: any((folder / name).is_file() for name in (VOCABULARY, FAST)),
               WEIGHTS: weights is not None}
    if weights is not None and all(present.values()):
        return weights
    absent = [name for name, there in present.items() if not there]
    hint = formats.others(folder) if absent == [WEIGHTS] else ""
    if (folder / CONFIG).is_file():
        read_config(folder / CONFIG)  # of another family it is: that says more than a missing file
    raise FileNotFoundError(f"{folder} has no {', '.join(absent)}; {hint or 'expected the folder of a run or of a BERT model'}")


def check_replaceable(folder: Path, config: BertConfig, tokenizer: Tokenizer) -> None:
    """FileExistsError where ``folder`` holds a model of other sizes or another vocabulary."""
    if not folder.is_dir() or formats.find(folder) is None:
        return
    try:
        same = (bert.shapes(read_config(config_path(folder))) == bert.shapes(config)
                and load_tokenizer(folder).vocab == tokenizer.vocab)
    except (OSError, ValueError):
        return  # nothing that could be opened is lost
    if not same:
        raise FileExistsError(f"{folder} holds a model of other sizes or another vocabulary; choose another folder or delete it")


__all__ = ["CONFIG", "OLD_CONFIG", "VOCABULARY", "WEIGHTS", "Loaded", "Read", "load", "read_parameters", "save", "save_weights"]
