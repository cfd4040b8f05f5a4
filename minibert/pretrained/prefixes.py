"""Under which prefix a model stands in a file: ``model.``, ``_orig_mod.``, ``0.auto_model.``, whatever a program wrapped it into.

A prefix is a property of the file and no list: it is what stands before ``embeddings.word_embeddings``, which every BERT has. Its
last part is the name of the encoder within its model (``bert``, or what somebody called it), and what stands before that is the
name of the model, which its heads share::

    model.bert.embeddings.word_embeddings.weight      bert.embeddings.word_embeddings.weight
    model.cls.predictions.bias                        cls.predictions.bias
    0.auto_model.embeddings.word_embeddings.weight    bert.embeddings.word_embeddings.weight
    net.encoder.encoder.layer.0.output.dense.bias     bert.encoder.layer.0.output.dense.bias, beside net.encoder.embeddings…
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from minibert.files import brief
from minibert.pretrained.families import Family, Names
from minibert.pretrained.families import named as family_of
from minibert.pretrained.formats import Reader
from minibert.pretrained.names import IGNORED

_WORDS = re.compile(r"((?:.*[./])?)embeddings[./]word_embeddings(?:[./](?:weight|embedding))?")


def unwrapped(names: Iterable[str], encoder: str = "bert") -> tuple[dict[str, str], str]:
    """Name -> name without the prefix, and the prefix: "" where the encoder has its own name, ``encoder`` or BERT's, or none.

    ValueError for a file with several encoders.
    """
    names = list(names)
    start = _start(names)
    if start[:-1] in ("", encoder, "bert"):
        return {name: name for name in names}, ""
    model = re.sub(r"[^./]*[./]$", "", start)
    short = {name: f"{encoder}.{name[len(start):]}" if name.startswith(start) else name.removeprefix(model) for name in names}
    return short, model if start[len(model):-1] == encoder else start


def family(reader: Reader) -> Family:
    """The family whose files call their encoder as this file does; BERT's where none does."""
    return family_of(re.split(r"[./]", f".{_start(reader.shapes)}")[-2])


def _start(names: Iterable[str]) -> str:
    """What stands before the names of the one encoder."""
    starts = list(dict.fromkeys(found[1] for found in map(_WORDS.fullmatch, names) if found))
    if len(starts) > 1:
        raise ValueError(f"there are {len(starts)} encoders in it, under {' and '.join(brief(start) for start in starts[:4])}; "
                         "save the one that is meant in a file of its own")
    return starts[0] if starts else ""


class Named(NamedTuple):
    """The tensors of a file by our names."""

    found: dict[str, str]  # our name -> the file's
    notes: list[str]


def named(reader: Reader, names: Names) -> Named:
    """What a file holds of a model, by the names of its family.

    ValueError where two of its tensors have one name, or several encoders stand in it.
    """
    try:
        short, prefix = unwrapped((name for name in reader.shapes if not IGNORED.search(name)), names.base)
    except ValueError as error:
        raise ValueError(f"{reader.path}: {error}") from None
    found: dict[str, str] = {}
    for stored, name in short.items():
        if (ours := names.ours(name)) in found:
            raise ValueError(f"{reader.path}: {found[ours]} and {stored} are two names of one tensor; which one is meant?")
        found[ours] = stored
    notes = [f"{reader.path.name}: {note}" for note in getattr(reader, "notes", ())]
    if prefix:
        notes.append(f"{reader.path.name}: its model stands under {brief(prefix)}, which was left out")
    return Named(found, notes)
