"""A model is a folder: ``config.json``, ``vocab.txt``, ``tokenizer_config.json``, ``model.safetensors``.

The names in it are those of the reference's checkpoints, or of another ``families``' ones, so that the usual tools open what is
saved here (``transformers.BertForPreTraining.from_pretrained(folder)``) and what they saved is opened here, in whatever format
(``formats``) and under whatever names (``names``). The tied decoder is not stored: it is the table of word embeddings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from minibert import swap
from minibert.backend import to_numpy
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.model import bodies, pretraining
from minibert.parameters import Layout, Parameters, Shapes, initialise
from minibert.pretrained import families, formats, prefixes, sizes, tensors, unread
from minibert.pretrained.families import CONFIG, OLD_CONFIG, config_path, read_config, without_effect
from minibert.pretrained.families.table import Names
from minibert.pretrained.formats import Reader
from minibert.pretrained.names import ENCODER
from minibert.pretrained.prefixes import named
from minibert.pretrained.widths import WIDE
from minibert.text import Tokenizer
from minibert.text import saved as tokenizers
from minibert.text.saved import VOCABULARY
from minibert.workers import available_cores, share_out

WEIGHTS = formats.WEIGHTS[0]
HEADS = "heads.safetensors"  # of pre-training, for which no other tool has a class
IN_8_BITS = ("int8", "uint8", "Q8_0")
MOST_NAMED = 16  # tensors in one note
MOST_PADDING = 1024  # rows of the word table without a token; more, and the vocabulary is of another model

FURTHER = tuple(f"{pretraining.HEADS[name].path}." for name in pretraining.FURTHER if name in pretraining.HEADS)
DECODER, HEAD = "cls.predictions.decoder.weight", "cls.predictions."
TABLE = "bert.embeddings.word_embeddings.weight"  # that the decoder is, too

#: The files that make a model, besides its weights. What a save does not replace would be left of another model.
PARTS = {CONFIG, OLD_CONFIG, *tokenizers.FILES, "finetuning.json", HEADS}


class Trained(Protocol):
    """What can be asked and looked into: what ``load`` returns, or a ``minibert.Bert``."""

    @property
    def config(self) -> BertConfig: ...
    @property
    def parameters(self) -> Parameters: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def initialised(self) -> Collection[str]: ...
    @property
    def folder(self) -> str | os.PathLike[str] | None: ...
    @property
    def device(self) -> str: ...
    @property
    def max_length(self) -> int: ...


class Loaded(NamedTuple):
    """What a folder holds, and what there was to say about it."""

    config: BertConfig
    parameters: Parameters
    tokenizer: Tokenizer
    notes: Sequence[str] = ()
    initialised: frozenset[str] = frozenset()  # tensors that the folder lacks: fresh, not trained
    folder: Path | None = None

    @property
    def device(self) -> str:
        """Where it computes: the array module."""
        return type(self.parameters.flat).__module__

    @property
    def max_length(self) -> int:
        """The most tokens of one input, [CLS] and [SEP] counted."""
        return min(self.tokenizer.max_length, self.config.max_tokens)


def bundled() -> Path:
    """The folder of the model that comes with the package; FileNotFoundError where it was left out."""
    if not (_bundled() / WEIGHTS).is_file():
        raise FileNotFoundError("no model comes with this installation of minibert; train one (python -m minibert train) "
                                "and name the folder of its run")
    return _bundled()


def _bundled() -> Path:
    return Path(str(files("minibert") / "bundled"))


def save(folder: str | os.PathLike[str], config: BertConfig, parameters: Parameters, tokenizer: Tokenizer,
         dtype: Any = np.float32, *, without: Collection[str] = ()) -> None:
    """Write a model to ``folder``, which is made where there is none. Equal models give equal bytes.

    ``dtype``: of the stored weights, float32, float16 or float64. ``without``: tensors to leave out, such as heads that were
    never trained. Heads of pre-training that no other tool has a class for get a file of their own, ``HEADS``. A folder may be
    saved to again and again, with the same sizes and vocabulary; at every moment it holds one model, the old one or the new one,
    whatever cuts the save off (``minibert.swap``). FileExistsError for a folder that holds another model, or files that would be
    left of another, ValueError for parts that do not belong together or weights too large for float16, OSError where the disk
    refuses.
    """
    folder = Path(folder)
    dtype = np.dtype(dtype)
    check_vocabulary(f"config.vocab_size is {config.vocab_size}", config.vocab_size, "the tokenizer", tokenizer)
    slots, encoder = parameters.layout.slots, _shapes(config)
    if ({name: slot.shape for name, slot in slots.items() if ENCODER.search(name)}
            != {name: shape for name, shape in encoder.items() if ENCODER.search(name)}):
        raise ValueError("the parameters do not have the tensors of this configuration; save them with their own config")
    further = {name for name in slots if name.startswith(FURTHER)}
    check_replaceable(folder, config, tokenizer, {CONFIG, *tokenizers.files_of(tokenizer), WEIGHTS, *[HEADS] * bool(further)})
    unknown = {key: value for key, value in config.unknown.items() if key not in ("torch_dtype", "dtype")}  # of another file
    text = families.to_json(config.replace(unknown=unknown))
    with swap.saving(folder) as staged:
        write_atomically(staged / CONFIG, text)
        tokenizer.save(staged)
        save_weights(staged / WEIGHTS, parameters, dtype, names=families.names(config), without=further.union(without))
        if further:
            save_weights(staged / HEADS, parameters, dtype, without=slots.keys() - further)


def read_further(folder: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The heads of pre-training that were saved beside a model, by the names of their tensors; nothing where there are none."""
    path = Path(folder) / HEADS
    if not path.is_file():
        return {}
    with tensors.opened(path) as reader:
        return {name: reader[name] for name in reader.shapes if name.startswith(FURTHER)}


def save_weights(path: str | os.PathLike[str], parameters: Parameters, dtype: Any = np.float32, *, names: Names | None = None,
                 without: Collection[str] = ()) -> None:
    """Write only the tensors, to the one file ``path``; all or nothing. ``names``: a family's, by default BERT's."""
    flat = to_numpy(parameters.flat)
    if np.dtype(dtype) == np.float16 and (largest := np.abs(flat).max()) > np.finfo(np.float16).max:
        raise ValueError(f"{path}: a weight of size {largest:.3g} is too large for float16 (at most 65504); save in float32")
    on_cpu = Parameters(parameters.layout, flat.astype(dtype, copy=False))
    arrays = {name: x for name, x in on_cpu.items() if name not in without}
    tensors.write(path, (names or Names()).written(arrays), {"format": "pt"})


def load(folder: str | os.PathLike[str], xp: Any = np, dtype: Any = np.float32,
         layout: Layout | Callable[[BertConfig], Layout] | None = None,
         tokenizer: Tokenizer | str | os.PathLike[str] | None = None, weights: str | os.PathLike[str] | None = None,
         heads: int | None = None) -> Loaded:
    """Read a model from ``folder`` into an array module's memory, in ``dtype``, whatever format and type the file has.

    The encoder must be there whole. Heads that are not (of a model saved without them) start fresh, always with the same numbers,
    and ``notes`` says so, as it names tensors that are not used and configuration keys that have no effect. ``layout``: the
    tensors that are wanted, or how they follow from the configuration; by default the encoder, the heads of pre-training and the
    pooler, if one of them reads it or the file has it. ``tokenizer``: one that is not in the folder, or where it stands (a
    folder, or a ``vocab.txt``). ``weights``: which of several files, or one that stands elsewhere. ``heads``: how many attention
    heads the model has, where there is no ``config.json``.

    Raises FileNotFoundError where a file is missing, and ValueError, with file, tensor, expected and found, for one that is
    damaged or for files that do not fit together. Half precision on the CPU is a ValueError.
    """
    folder = Path(folder)
    file, config, tokenizer, notes = open_folder(folder, tokenizer, weights, heads)
    layout = layout(config) if callable(layout) else layout
    with formats.opened(file) as reader:
        parameters, read, initialised = read_parameters(reader, config, dtype if xp is np else np.float32, layout)
        narrow = set(reader.dtypes.values()) - WIDE
    if narrow and folder != _bundled():
        read.append(f"{file.name}: numbers were stored in {' and '.join(sorted(narrow))}; they have no more digits than that")
    if xp is not np:
        parameters = parameters.to(xp).astype(dtype)
    notes = [*notes, *read, *tokenizer.notes]
    rows = config.vocab_size - len(tokenizer.vocab)
    if rows > 0:
        notes.append(f"the table of words has {rows} rows more than {Path(tokenizer.vocab.source).name} has tokens: no text "
                     "reaches them, and none of them is ever guessed")
    if rows < 0:
        notes.append(f"the table of words has no row for {', '.join(tokenizer.vocab.tokens[rows:][:8])}: added to the tokenizer "
                     "and not to the model; a text with such a token is refused")
    if (folder / HEADS).is_file():
        notes.append(f"{HEADS} holds heads of pre-training that other tools have no class for; only train --init reads them")
    if ignored := without_effect(config):
        notes.append(f"{CONFIG}: these keys have no effect here: {', '.join(ignored)}")
    return Loaded(config, parameters, tokenizer, notes, initialised, folder)


class Opened(NamedTuple):
    """What makes the model of a folder."""

    weights: Path
    config: BertConfig
    tokenizer: Tokenizer
    notes: list[str]


def open_folder(folder: Path, tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
                weights: str | os.PathLike[str] | None = None, heads: int | None = None) -> Opened:
    """The file with the weights, the configuration and the tokenizer; the last two checked against one another."""
    swap.settle(folder)
    file = _find(folder, tokenizer is None, weights)
    config, notes = config_of(folder, file, heads)
    if tokenizer is None:
        tokenizer = tokenizer_of(folder, file)
    elif not isinstance(tokenizer, Tokenizer):
        tokenizer = Tokenizer.load(tokenizer)
    rows, where = config.vocab_size, config_path(folder) if config_path(folder).is_file() else file
    check_vocabulary(f"vocab_size in {where.name} is {rows}", rows, str(tokenizer.vocab.source), tokenizer)
    return Opened(file, config, tokenizer, notes)


def tokenizer_of(folder: Path, weights: str | os.PathLike[str] | None = None, cut: str | None = None) -> Tokenizer:
    """The tokenizer in a folder, or where there is none that of its weights. ``cut``: instead of the folder's own rule."""
    file = formats.of(folder, weights) if folder.is_dir() and not tokenizers.has_vocabulary(folder) else None
    if file is None or not file.name.endswith(formats.WHOLE):
        return Tokenizer.load(folder, cut=cut)
    if cut:
        raise ValueError(f"{file} holds the tokenizer too, which finds words as BERT does: no other rule can cut its texts")
    with formats.opened(file) as reader:
        return reader.tokenizer()


def config_of(folder: Path, weights: Path, heads: int | None = None) -> tuple[BertConfig, list[str]]:
    """The configuration in a folder, or where there is none that of its weights; and what there is to say about it."""
    if (path := config_path(folder)).is_file():
        if heads is not None:
            raise ValueError(f"{path} says how many heads the model has; --heads is for a folder without one")
        return read_config(path), []
    with formats.opened(weights) as reader:
        try:
            if told := getattr(reader, "config", None):
                return families.config(told if heads is None else {**told, "num_attention_heads": heads}), []
            family = prefixes.family(reader)
            found = named(reader, family.names(family.config({}))).found
            config, note = sizes.config({name: reader.shapes[stored] for name, stored in found.items()}, heads, family)
        except ValueError as error:
            raise ValueError(f"{folder} has no {CONFIG}, and {weights.name} does not do without: {error}") from None
    return config, [f"{folder} has no {CONFIG}: {note}"]


def check_vocabulary(what: str, rows: int, source: str, tokenizer: Tokenizer) -> None:
    """A table of words may be padded to a round number of rows, but must have a row for each token of the vocabulary.

    Tokens that were added beside it and have none are refused where they are met in a text: the tokenizer is told.
    """
    tokens = len(tokenizer.vocab)
    if not tokens - tokenizer.vocab.added <= rows <= tokens + MOST_PADDING:
        raise ValueError(f"{source} has {tokens} tokens, but {what}: " + (
            "its last tokens would have no row in the table of words" if rows < tokens else
            f"{rows - tokens} rows without a token are more than padding") + "; one of the two belongs to another model")
    tokenizer.rows = rows if rows < tokens else None


class Read(NamedTuple):
    parameters: Parameters
    notes: list[str]
    initialised: frozenset[str]


def read_parameters(reader: Reader, config: BertConfig, dtype: Any = np.float32, layout: Layout | None = None) -> Read:
    """The tensors of an open file as Parameters on the CPU, notes on what is missing or left over, and names of what is fresh."""
    names, (layout, found, notes) = families.names(config), match(reader, config, layout)
    parameters = Parameters.zeros(layout, np, dtype)
    views = dict(parameters.items())
    unusable = {name for name in found if name.startswith(HEAD)} if DECODER in found.keys() & layout.ties.keys() else set()
    wanted = views.keys() - unusable
    if odd := _read(views, reader, {name: stored for name, stored in found.items() if name in wanted}, names):
        notes.append(f"{reader.path.name}: there are numbers that are infinite or none (NaN) in {', '.join(odd)}: the file is "
                     "damaged, or its training failed")
    if fresh := sorted(layout.slots.keys() - (found.keys() - unusable)):
        start = initialise(Layout({name: layout.slots[name].shape for name in fresh}), config.initializer_range, dtype=dtype)
        for name, values in start.items():
            views[name][...] = values
    if lacking := sorted(layout.slots.keys() - found):
        called = map(names.theirs, lacking)
        notes.append(f"{reader.path.name} has no {', '.join(called)}: initialised, not trained")
    if unusable:
        notes.append(f"{reader.path.name}: {found[DECODER]} differs from {found[layout.ties[DECODER]]}, and here the two are one "
                     "tensor: the masked-word head is left out")
    if left := [found[name] for name in sorted(found.keys() - layout.slots - unusable)]:
        left = left if len(left) <= MOST_NAMED else [*left[:MOST_NAMED // 2], f"and {len(left) - MOST_NAMED // 2} more"]
        notes.append(f"{reader.path.name}: these tensors have no place in this model and are not used: {', '.join(left)}")
    return Read(parameters, notes, frozenset(fresh))


class Match(NamedTuple):
    layout: Layout  # the wanted tensors
    found: dict[str, str]  # our name -> the file's, for all that it holds of a model
    notes: list[str]


def match(reader: Reader, config: BertConfig, layout: Layout | None = None) -> Match:
    """What a file holds beside what is wanted; ValueError where the two do not fit.

    Nothing is allocated before: shapes that a damaged file or configuration claims are compared first. A decoder that is not
    tied to the word embeddings keeps its own name.
    """
    if len(set(config.uses)) > len(reader.shapes):
        raise ValueError(f"{reader.path}: num_hidden_layers is {config.num_hidden_layers} in {CONFIG}, but there are only "
                         f"{len(reader.shapes)} tensors: the two do not belong together")
    if sum(map(math.prod, reader.shapes.values())) > reader.size:
        raise ValueError(f"{reader.path}: its tensors claim more numbers than its {reader.size:,} bytes can hold: it is damaged")
    names = families.names(config)
    found, notes = named(reader, names)
    layout = layout or pretraining.layout(config, pooled="bert.pooler.dense.weight" in found)
    notes += _untie(reader, layout, found)
    missing = sorted(name for name in layout.slots.keys() - found if ENCODER.search(name))
    extra = sorted(name for name in found.keys() - layout.slots  # a deeper or another encoder
                   if ENCODER.search(name) and not names.is_spare(name))
    misshaped = [name for name in sorted(found.keys() & layout.slots)
                 if reader.shapes[found[name]] != layout.slots[name].shape[::-1 if names.lies_turned(found[name]) else 1]]
    if missing or extra or misshaped:
        raise ValueError(_contradiction(reader, config, layout, found, missing, extra, misshaped))
    return Match(layout, found, notes)


def _untie(reader: Reader, layout: Layout, found: dict[str, str]) -> list[str]:
    """Take the tied names, which some tools store as well, out of ``found`` where they hold what they are tied to.

    Where they do not, transformers computes with them: of two biases the decoder's counts, and a decoder's weight stays. In 8
    bits the two are one tensor, rounded twice, and the table counts. Some exporters keep the decoder's name alone.
    """
    notes = []
    if DECODER in found and TABLE not in found:
        found[TABLE] = found.pop(DECODER)
    for name, target in layout.ties.items():
        if name not in found:
            continue
        if target not in found:
            found[target] = found.pop(name)
        elif reader.shapes[found[name]] == reader.shapes[found[target]] and np.array_equal(
                reader[found[name]], reader[found[target]], equal_nan=True):
            del found[name]
        elif {reader.dtypes[found[name]], reader.dtypes[found[target]]} <= set(IN_8_BITS):
            del found[name]
        elif name != DECODER:
            notes.append(f"{reader.path.name}: {found[target]} and {found[name]} differ; the latter is used, as in transformers")
            found[target] = found.pop(name)
    return notes


def _read(views: Mapping[str, np.ndarray], reader: Reader, found: Mapping[str, str], names: Names) -> list[str]:
    """Tensors of the file into their places in the slab; the file's names of those with numbers that are infinite or none.

    All cores read what lies in the file as in the slab. What must be converted takes a copy, so that it is read one by one.
    """
    def read(share: list[str]) -> list[str]:  # what is left to convert
        return [name for name in share
                if names.lies_turned(found[name]) or not formats.read_into(reader, found[name], views[name])]

    def look(share: list[str]) -> list[str]:
        return [name for name in share if not _is_finite(views[name])]

    shares = share_out([*found], [views[name].size for name in found], available_cores())
    with ThreadPoolExecutor(len(shares)) as pool:
        for name in chain(*pool.map(read, shares)):
            views[name][...] = floating(reader, found[name], names)
        odd = {*chain(*pool.map(look, shares))}
    return [stored for name, stored in found.items() if name in odd]


def _is_finite(x: np.ndarray) -> bool:
    """Is every number finite? Then so is their sum, as a rule, which takes less memory and time than to ask each."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum()) or np.isfinite(x).all())


def floating(reader: Reader, name: str, names: Names) -> np.ndarray:
    """A tensor of the file, turned as ours lies; ValueError where it does not hold floating-point numbers."""
    x = reader[name]
    if x.dtype.kind != "f":
        raise ValueError(f"{reader.path}: tensor {name} must hold floating-point numbers, found {x.dtype}")
    return x.T if names.lies_turned(name) else x


def _contradiction(reader: Reader, config: BertConfig, layout: Layout, found: dict[str, str],
                   missing: list[str], extra: list[str], misshaped: list[str]) -> str:
    """All that keeps a file and a configuration from fitting together, every tensor with what was expected and found."""
    called = families.names(config).theirs
    if not any(ENCODER.search(name) for name in found.keys() & layout.slots):
        first = next(iter(reader.shapes), "none")
        family = families.of(config).title
        return (f"{reader.path}: none of its {len(reader.shapes)} tensors belongs to a {family} encoder (the first is {first}); "
                f"expected names like {called('bert.embeddings.word_embeddings.weight')}")
    lines = [f"{reader.path} does not fit {CONFIG}:"]
    lines += [f"  {found[name]}: expected shape {layout.slots[name].shape}, found {reader.shapes[found[name]]}"
              for name in misshaped]
    lines += [f"  {called(name)}: expected shape {layout.slots[name].shape}, not found" for name in missing]
    lines += [f"  {found[name]}: not expected, found shape {reader.shapes[found[name]]}" for name in extra]
    told = sizes.of({name: reader.shapes[stored] for name, stored in found.items()}, config)
    differing = [f"{key} is {getattr(config, key)}, but {size} by the tensors"
                 for key, size in told.items() if getattr(config, key) != size]
    if differing:
        lines.append(f"In {CONFIG} {'; '.join(differing)}.")
    lines.append(f"Use the {CONFIG} that was saved with these weights.")
    return "\n".join(lines)


def _find(folder: Path, with_vocabulary: bool = True, named: str | os.PathLike[str] | None = None) -> Path:
    """The file with the weights; FileNotFoundError naming what is missing."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; expected that of a run or of a BERT model, "
                                f"with {CONFIG}, {VOCABULARY} and {WEIGHTS}")
    weights, there = formats.of(folder, named), config_path(folder).is_file()
    words = families.of(read_config(config_path(folder))).vocabulary if there else VOCABULARY
    whole = weights is not None and weights.name.endswith(formats.WHOLE)
    has_vocabulary = whole or not with_vocabulary or tokenizers.has_vocabulary(folder)
    if weights is not None and has_vocabulary:
        return weights
    present = {CONFIG: there, words: has_vocabulary, WEIGHTS: weights is not None}
    absent = [name for name, is_there in present.items() if not is_there]
    hint = unread.named(folder) if absent == [WEIGHTS] else ""
    if inside := sorted(path.name for path in folder.iterdir() if (path / CONFIG).is_file()):
        hint = f"it holds the models {', '.join(inside)}: name one of them"
    if absent == [words]:
        hint = "if it stands elsewhere, name it: load(…, tokenizer=FILE), or minibert convert … --vocab FILE"
    raise FileNotFoundError(f"{folder} has no {', '.join(absent)}; {hint or 'expected the folder of a run or of a BERT model'}")


def check_replaceable(folder: Path, config: BertConfig, tokenizer: Tokenizer, written: Collection[str],
                      parts: Collection[str] = frozenset()) -> None:
    """FileExistsError where ``folder`` holds a model of other sizes or another vocabulary, or would be of two models.

    ``written``: the files that take the place of those that are there; ``parts``: files that belong to a model beside ``PARTS``.
    """
    if not folder.is_dir():
        return
    swap.settle(folder)
    if _is_of_another(folder, config, tokenizer):
        raise FileExistsError(f"{folder} holds a model of other sizes or another vocabulary; choose another folder or delete it")
    there = {name for name in PARTS.union(parts) if (folder / name).exists()}.union(formats.present(folder))
    if left := sorted(there.difference(written)):
        raise FileExistsError(f"{folder} holds {', '.join(left)}, which would be left of another model beside this one; choose "
                              "another folder or delete what is there")

def _is_of_another(folder: Path, config: BertConfig, tokenizer: Tokenizer) -> bool:
    try:
        return formats.find(folder) is not None and (_shapes(read_config(config_path(folder))) != _shapes(config)
                                                     or Tokenizer.load(folder).vocab != tokenizer.vocab)
    except (OSError, ValueError):
        return False  # nothing that could be opened is lost


def _shapes(config: BertConfig) -> Shapes:
    return bodies.of(config).shapes(config)


__all__ = ["CONFIG", "OLD_CONFIG", "VOCABULARY", "WEIGHTS", "Loaded", "Read", "load", "read_parameters", "save", "save_weights"]
