r"""The normalisation that a SentencePiece model carries: what to write instead of which characters.

Normalisation forms, width, ligatures, kinds of white space: all of it is a list of rules ``source -> target``, compiled into the
model file, so that a text is read in ten years as it is today, whatever Unicode says then. At each place of a text the rule with
the longest source goes; where none begins, a character stays.

The list is written as ``size of the trie (4 bytes), the trie, the targets with \0 between them``. The trie is a double array
(Aoe, 1989), a row of 32-bit units. A unit is a node. Where node ``at`` has a child over the byte ``c``, that is unit
``at ^ offset ^ c``, and the label, its lowest byte, is ``c``. Nodes with the same below them may be one (then it is a graph)::

    bit 31           the unit is no node but a value: where the target begins, in its lower bits
    bits 10 to 30    the offset; times 256 where bit 9 is set
    bit 8            a source ends here, and unit ``at ^ offset`` (c = 0) is its value
    bits 0 to 7      the label

NFKC has 225,000 rules, for it writes Hangul syllables together, so they are looked up where a text asks for them.
Source: sentencepiece ``normalizer.cc``; darts-clone ``darts.h``.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from .normalize import Memory

LONGEST = 256  # bytes of a source
_CLUSTER_BYTES = 6
_VALUE = 1 << 31
_AT_A_TIME = 4096  # nodes whose 255 possible children are looked at together


class Charsmap:
    """The rules of a model file, and the texts that they make; no bytes are no rules. ValueError where they are damaged.

    ``keep``: what stays as it is wherever it stands, before any rule is looked for. ``crosses_spaces``: whether a source has a
    space in it, ``makes_spaces``: whether a target has two side by side, or ``\u2581``, which stands for one.
    """

    def __init__(self, data: bytes = b"", keep: Iterable[str] = ()):
        size = int.from_bytes(data[:4], "little")
        if data and (size % 4 or not 4 <= size <= len(data) - 4):
            raise ValueError(f"its trie should have {size:,} bytes, in {max(0, len(data) - 4):,}")
        self.data = data
        self.keep = frozenset(keep) - {""}
        self._targets = data[4 + size:] + b"\0"
        self.crosses_spaces = _checked(np.frombuffer(data, "<u4", size // 4, 4), self._targets) if data else False
        self.makes_spaces = b"  " in self._targets or "\u2581".encode() in self._targets
        self._units = np.frombuffer(data, "<u4", size // 4, 4).tolist() if data else [0]
        self._keep_lengths = _lengths(self.keep)
        self._starts = Memory(lambda char: self._step(_offset(self._units[0]), char))
        self._alone = Memory(lambda code: self._target_of(chr(code)))
        self._ascii = self._changed_ascii()

    def __call__(self, text: str) -> str:
        if self._stays(text):
            return text
        done, out = 0, []
        for start, end, target in self._changes(text):
            out += text[done:start], target
            done = end
        return "".join([*out, text[done:]])

    def chunks(self, text: str) -> Iterator[tuple[int, str]]:
        """(where it came from, what is written there) for each source in turn; a character that stays is a chunk too."""
        done = 0
        for start, end, target in self._changes(text) if self.keep or not self._stays(text) else ():
            yield from ((at, text[at]) for at in range(done, start))
            yield start, target
            done = end
        yield from ((at, text[at]) for at in range(done, len(text)))

    def by_cluster(self, text: str) -> str:
        """The text as the ``tokenizers`` library writes it, which obeys the same rules otherwise: character by character.

        Only where a character has marks on it, and takes with them less than six bytes, is it looked up with them, and then the
        rule with the *shortest* source that begins there takes the place of all: the mark on a full-width letter is lost.
        """
        if "\r\n" in text or not (text.isascii() or _marks().isdisjoint(text)):
            return "".join(part for _, part in self.clusters(text))
        return text if self._stays(text) else text.translate(self._alone)

    def clusters(self, text: str) -> Iterator[tuple[int, str]]:
        """The same as (where it came from, what is written there)."""
        done = 0
        for match in _clusters().finditer(text):
            found = self._found(match[0], 0) if len(match[0].encode("utf-8")) < _CLUSTER_BYTES else []
            if found:
                yield from ((at, self._alone[ord(text[at])]) for at in range(done, match.start()))
                yield match.start(), found[0][1]
                done = match.end()
        yield from ((at, self._alone[ord(text[at])]) for at in range(done, len(text)))

    def _stays(self, text: str) -> bool:
        return len(self._units) == 1 or (text.isascii() and not self._ascii.search(text))

    def _changes(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, target) of each rule that goes, from the left."""
        done, starts, keep_lengths = 0, self._starts, self._keep_lengths
        for start, char in enumerate(text):
            if start < done:
                continue
            if kept := next((n for n in keep_lengths.get(char, ()) if text[start:start + n] in self.keep), 0):
                done = start + kept
                yield start, done, text[start:done]
            elif starts[char] and (found := self._found(text, start)):
                done, target = found[-1]
                yield start, done, target

    def _found(self, text: str, start: int) -> list[tuple[int, str]]:
        """(end, target) of each rule that could go at a place, the shortest first."""
        found, step = [], self._starts[text[start]]
        for end in range(start + 1, len(text) + 1):
            if step is None:
                break
            base, has_value = step
            if has_value:
                value = self._units[base] & _VALUE - 1
                found.append((end, self._targets[value:self._targets.index(b"\0", value)].decode("utf-8")))
            step = self._step(base, text[end]) if end < len(text) else None
        return found

    def _step(self, base: int, char: str) -> tuple[int, bool] | None:
        """From a node over a character: where the children of the next node are counted from, and whether a source ends there."""
        units, unit = self._units, 0
        for byte in char.encode("utf-8", "surrogatepass"):
            at = base ^ byte
            unit = units[at] if at < len(units) else 0
            if unit & (_VALUE | 0xFF) != byte or not byte:
                return None
            base = at ^ _offset(unit)
        return base, bool(unit >> 8 & 1)

    def _target_of(self, char: str) -> str:
        found = self._found(char, 0)
        return found[0][1] if found else char

    def _changed_ascii(self) -> re.Pattern[str]:
        """What finds the characters of ASCII that a rule may change among themselves."""
        ascii = [chr(code) for code in range(128)]
        changed = [char for char in ascii if (step := self._starts[char]) and (
            self._target_of(char) != char or any(self._step(step[0], other) for other in ascii))]
        return re.compile(f"[{_class(changed)}]" if changed else "(?!)")


@functools.cache
def _marks() -> frozenset[str]:
    """What stands on the character before it."""
    return frozenset(char for char in _characters() if unicodedata.category(char)[0] == "M" or char in _JOINERS)


@functools.cache
def _clusters() -> re.Pattern[str]:
    """A character with marks on it, and the end of a line on Windows: what Unicode takes for one, but for rare scripts."""
    bare = (char for char in _characters() if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in _JOINERS)
    return re.compile(f"\\r\\n|[^{_class(bare)}][{_class(_marks())}]+")


_JOINERS = "\u200c\u200d"


def _characters() -> Iterator[str]:
    return map(chr, (*range(0x20000), *range(0xE0000, 0xE0200)))  # behind and between there are no marks


def _lengths(sources: Iterable[str]) -> dict[str, list[int]]:
    """First character -> how long the sources are that begin with it, the longest first."""
    found: dict[str, set[int]] = {}
    for source in sources:
        found.setdefault(source[0], set()).add(len(source))
    return {first: sorted(lengths, reverse=True) for first, lengths in found.items()}


def _class(characters: Iterable[str]) -> str:
    """The inside of ``[]`` in a regular expression, neighbours as ranges."""
    codes = np.array(sorted(map(ord, characters)))
    runs = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "".join(f"\\U{run[0]:08x}-\\U{run[-1]:08x}" for run in runs)


def _offset(unit):
    """Of a unit, or of an array of them."""
    return unit >> 10 << ((unit & 1 << 9) >> 6)


def _checked(units: np.ndarray, targets: bytes) -> bool:
    """Whether a source has a space in it. ValueError for a graph that leads outside, and for targets that are no text."""
    try:
        targets.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("its targets are not UTF-8") from None
    starts_here = np.array([0xC0 & byte != 0x80 for byte in targets])
    labels = np.arange(1, 256, dtype=np.uint32)
    seen, spaces, bases = np.zeros(len(units), bool), False, _offset(units[:1])
    for _ in range(LONGEST):
        found = []
        for chunk in np.split(bases, range(_AT_A_TIME, len(bases), _AT_A_TIME)):
            children = chunk[:, None] ^ labels
            there = children < len(units)
            there[there] = (units[children[there]] & (_VALUE | 0xFF)) == np.broadcast_to(labels, there.shape)[there]
            found.append(children[there])
        nodes = np.unique(np.concatenate(found))
        nodes = nodes[~seen[nodes]]
        seen[nodes] = True
        bases = nodes ^ _offset(units[nodes])
        spaces = spaces or bool((units[nodes] & 0xFF == ord(" ")).any())
        ends = bases[units[nodes] >> 8 & 1 == 1]
        if (ends >= len(units)).any():
            raise ValueError("its trie leads outside")
        values = units[ends] & _VALUE - 1
        if (values >= len(targets)).any() or not starts_here[values].all():
            raise ValueError("a rule has no target")
        if not len(bases):
            return spaces
    raise ValueError(f"a source has more than {LONGEST} bytes")


def compiled(rules: Mapping[str, str]) -> bytes:
    """The bytes of a charsmap with these rules."""
    if not rules:
        return b""
    tree: dict = {}
    for source, target in rules.items():
        node = tree
        for byte in source.encode("utf-8"):
            node = node.setdefault(byte, {})
        node[0] = target
    units, targets = [0], bytearray()
    waiting = [(0, tree)]
    taken, free = {0}, itertools.count(1)
    while waiting:
        at, node = waiting.pop()
        base = next(base for base in free if all((base ^ byte) not in taken for byte in node))  # each its own
        taken.update(base ^ byte for byte in node)
        units += [0] * (max(base ^ byte for byte in node) + 1 - len(units))
        units[at] |= (base ^ at) << 10 | (0 in node) << 8
        for byte, child in node.items():
            if byte:
                units[base ^ byte] = byte
                waiting.append((base ^ byte, child))
            else:
                units[base] = _VALUE | len(targets)
                targets += child.encode("utf-8") + b"\0"
    trie = np.array(units, "<u4").tobytes()
    return len(trie).to_bytes(4, "little") + trie + bytes(targets)
