"""What a family of models is: a table of what its files call things, read both ways.

``Family.config`` reads a ``config.json``, ``Family.values`` writes one, and what it cannot say is refused: it is read back and
compared. ``Names`` are those of the tensors. Ours are BERT's, for every family.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from minibert.config import NEUTRAL, BertConfig
from minibert.files import brief
from minibert.pretrained.names import canonical

Pairs = Sequence[tuple[str, str]]  # how a name of ours begins, how theirs does; {} stands for a number
NOTHING: Mapping[str, Any] = MappingProxyType({})

#: Our own keys, which only a BERT's file has.
OWN = {*NEUTRAL, "norm_first"}
FIELDS = [f.name for f in fields(BertConfig) if f.name not in ("unknown", "model_type")]


@dataclass(frozen=True)
class Names:
    """Of two that begin alike the first pair counts. ``join`` makes our number of a layer of theirs, ``split`` the reverse.

    ``turned``: names of theirs whose matrix lies the other way round. ``spare``: how names of ours begin that a file may have and
    that this model has no use for.
    """

    pairs: Pairs = ()
    also: Pairs = ()  # read and not written
    base: str = "bert"  # before the names of the encoder; a file of the encoder alone may go without
    join: Callable[..., int] = int
    split: Callable[[int], tuple[int, ...]] = lambda number: (number,)
    turned: frozenset[str] = frozenset()
    spare: tuple[str, ...] = ()

    def ours(self, name: str) -> str:
        """Our name for a tensor of a file. A name that is ours already stays."""
        name = canonical(name)
        if name.startswith("bert.") and any(pattern.match(name) for pattern, _ in self._written):
            return name
        for pattern, ours in self._read:
            if found := pattern.match(name):
                numbers = [self.join(*map(int, found.groups()))] if found.groups() else []
                return ours.format(*numbers) + name[found.end():]
        return name

    def theirs(self, name: str) -> str:
        """Their name for a tensor of ours."""
        for pattern, theirs in self._written:
            if found := pattern.match(name):
                numbers = self.split(int(found.group(1))) if found.groups() else ()
                return theirs.format(*numbers) + name[found.end():]
        return f"{self.base}.{name.removeprefix('bert.')}" if name.startswith("bert.") else name

    def lies_turned(self, name: str) -> bool:
        """Is this their name of a matrix that lies the other way round?"""
        return bool(self.turned) and canonical(name) in self.turned

    def written(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by our names as a file of theirs has them."""
        called = {self.theirs(name): x for name, x in arrays.items()}
        return {name: x.T if name in self.turned else x for name, x in called.items()}

    def is_spare(self, name: str) -> bool:
        """May a file have a tensor that would be called so here, and that nobody reads?"""
        return any(_pattern(start).match(name) for start in self.spare)

    @cached_property
    def _written(self) -> list[tuple[re.Pattern, str]]:
        return [(_pattern(ours), theirs) for ours, theirs in self.pairs]

    @cached_property
    def _read(self) -> list[tuple[re.Pattern, str]]:
        """A name of theirs in the encoder may have lost what stands before it, which ``canonical`` may have taken for BERT's."""
        pairs = [*self.pairs, *self.also, ("bert.", f"{self.base}.")]
        encoder = f"{self.base}."

        def anywhere(theirs: str) -> re.Pattern:
            inner = theirs.removeprefix(encoder)
            if inner in (theirs, ""):
                return _pattern(theirs)
            return re.compile(f"(?:{re.escape(encoder)}|{re.escape('bert.')}|){_pattern(inner).pattern}")

        return [(anywhere(theirs), ours) for ours, theirs in pairs]


def _pattern(name: str) -> re.Pattern:
    """Of a name, or of how it begins where that ends with a dot."""
    return re.compile(re.escape(name).replace(r"\{\}", r"(\d+)") + ("" if name.endswith(".") else "$"))


@dataclass(frozen=True)
class Family:
    """One kind of model, and how transformers' classes of it call everything.

    ``keys``: our key of a configuration -> theirs, None for one that it has not; all others are called alike. ``structure``:
    from all that a file says, with ``defaults`` for what it does not, to our keys that follow from it; ``said`` the way back, for
    those that a file can say. ``spoken``: the keys that these two are about. ``pairs``, ``also``, ``turned``: of ``Names``;
    ``heads``: further pairs in the file of a class, by how the name of that class ends. ``numbers``: the rest of ``Names``, from
    a configuration. ``idle``: keys that have no effect. ``sizes``: of the published models, in their keys; other sizes are made
    after ``pattern``, ``scaled`` from layers, hidden size and heads, in our keys. ``sign``: a key by which a file without a
    ``model_type`` is known for one of this family.
    """

    model_type: str
    title: str
    classes: str  # how the names of transformers' classes begin
    base: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pattern: str = "base"
    scaled: Callable[[int, int, int], Mapping[str, Any]] = lambda layers, hidden, heads: {
        "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": 4 * hidden}
    keys: Mapping[str, str | None] = field(default_factory=dict)
    structure: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda values: NOTHING
    said: Callable[[BertConfig], Mapping[str, Any]] = lambda config: NOTHING
    spoken: frozenset[str] = frozenset()
    pairs: Pairs = ()
    also: Pairs = ()
    turned: frozenset[str] = frozenset()
    heads: Mapping[str, Pairs] = field(default_factory=dict)
    numbers: Callable[[BertConfig], Mapping[str, Any]] = lambda config: NOTHING
    idle: frozenset[str] = frozenset()
    vocabulary: str = "vocab.txt"  # the file that usually holds its tokens
    own: frozenset[str] = frozenset()  # those of our own keys that a file has
    sign: str | None = None
    inverted: Callable[[int], Mapping[str, Any]] | None = None  # from the hidden size to our keys of a teacher of its kind
    asks: str = "next"  # of a pair: whether its second follows; or its order

    def config(self, values: Mapping[str, Any]) -> BertConfig:
        """What a ``config.json`` says. Keys without effect here are ``unknown``."""
        whole = {**self.defaults, **values}
        called = {ours: self.keys.get(ours, ours) for ours in FIELDS if ours in self.own or ours not in OWN}
        known = {ours: whole[theirs] for ours, theirs in called.items() if theirs in whole}
        rest = {key: value for key, value in values.items()
                if key not in {*called.values(), *self.spoken, "model_type"}}
        odd = {key: rest.pop(key) for key in FIELDS if key in rest}  # a name that is a key of ours, and none of theirs
        config = BertConfig.from_dict({**known, **self.structure(whole), **rest, "model_type": self.model_type})
        return config.replace(unknown={**config.unknown, **odd}) if odd else config

    def values(self, config: BertConfig) -> dict[str, Any]:
        """The contents of a ``config.json``. ValueError, with the key, for a configuration that this family has no word for."""
        known = config.replace(unknown={}).to_dict()
        written = {self.keys.get(key, key): value for key, value in known.items()
                   if key in ("architectures", "model_type") or key in self.own or key not in OWN}
        written.pop(None, None)
        trained = [self.classes + self.trained_as(config)]
        said = self.said(config)
        kept = {key: value for key, value in config.unknown.items() if key not in said}
        if kept.get("architectures") == known["architectures"]:  # what to_dict names by itself
            del kept["architectures"]
        written |= {"architectures": trained, **kept, **said}
        again = self.config(written)
        for key in FIELDS:
            if key == "objectives" and written["architectures"] != trained:
                continue  # a class for a task has none of these heads
            if getattr(again, key) != getattr(config, key):
                raise ValueError(f"config: {key} is {brief(getattr(config, key))}, but a config.json of {self.title} can only "
                                 f"say {brief(getattr(again, key))}; change it, or save the model as a BERT, whose file has "
                                 "keys of our own for all of them: config.replace(model_type='bert')")
        return written

    def trained_as(self, config: BertConfig) -> str:
        """How the name of the class ends that has the heads of pre-training."""
        return "ForMaskedLM" if config.objectives == ("mlm",) else "ForPreTraining"

    def names(self, config: BertConfig) -> Names:
        """Of the tensors of a model. Which heads are written, the class says that the configuration names."""
        ending = self._named(config).removeprefix(self.classes)
        written = self.heads.get(ending, ())
        also = [pair for head, pairs in self.heads.items() if head != ending for pair in pairs]
        return Names((*written, *self.pairs), (*also, *self.also), self.base, turned=self.turned, **self.numbers(config))

    def _named(self, config: BertConfig) -> str:
        """The class of this family that the configuration names, if it does."""
        named = config.unknown.get("architectures")
        first = named[0] if isinstance(named, list) and named else None
        return first if isinstance(first, str) and first.startswith(self.classes) else ""

    def preset(self, size: str, **changes: Any) -> BertConfig:
        """A model of a published size, or after the pattern of another; ``changes`` by our keys."""
        structural = {key: value for key, value in changes.items() if key in OWN and key not in self.own}
        theirs = {self.keys.get(key, key): value for key, value in changes.items() if key not in structural}
        sizes = self.sizes.get(size) or self.sizes.get(self.pattern, NOTHING)
        return self.config({**sizes, **theirs}).replace(unknown={}, **structural)
