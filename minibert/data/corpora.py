"""Corpora: text in, documents out. A document is a list of sentences.

``read`` takes UTF-8 text files, folders of them, standard input, or what is made here: ``python-docs``, the English that every
Python carries, and ``world`` and ``world-small``, the generated language whose best possible loss is known.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from minibert.data import python_docs
from minibert.data.sentences import INVISIBLE, begins_lower, ends_sentence, split_sentences
from minibert.files import decode_utf8, standard_input

if TYPE_CHECKING:
    from minibert.world import Floor

Layout = Literal["auto", "lines", "prose"]
Taken = Literal["lines", "prose"]

LAYOUTS = {  # what a report says of them
    "lines": "lines: one sentence a line, blank lines between documents",
    "prose": "prose: split into sentences, blank lines between paragraphs",
}

WORLDS = {"world": "full", "world-small": "small"}  # sizes of the generated language, by the names of the corpora
WORLD_TOKENS = 1_000_000
MADE_HERE = ("python-docs", *WORLDS)
DOCUMENT_CHARACTERS = 8000  # text that does not mark its documents is cut into pieces of about this size: three pages
SENTENCE_CHARACTERS = 2000  # what is longer is no sentence
_LOOKED_AT = 2000  # lines, of a million characters at most, by which a layout is guessed
_BLANK_LINES = re.compile(rf"\n(?:[^\S\n]*[{INVISIBLE}]*[^\S\n]*\n)+")
_GOES_ON = re.compile("[-,;:،؛、，；：၊፣·‐–—]$")  # what ends like this goes on in the next line


class Corpus(NamedTuple):
    """Documents with where they come from."""

    name: str
    documents: list[list[str]]  # sentences by document
    description: str  # one line for the log
    sha256: str  # of the sentences, one a line, with a blank line between documents
    layout: str = ""  # how its files were read, and how many of them; empty where there is no choice
    words: tuple[str, ...] = ()  # all that it is written with, where it has a vocabulary of its own: whole words, cased


def read(source: str | list[str], *, layout: Layout = "auto") -> Corpus:
    """Read a corpus, or several into one.

    source: a UTF-8 text file; a folder (every ``*.txt`` in it and below, sorted by path); ``-`` for standard input;
    ``python-docs``, ``world`` or ``world-small``. A file of such a name is meant by ``./python-docs``.
    layout: how text is laid out. ``lines``: one sentence a line, a blank line between documents. ``prose``: lines that
    are wrapped, or whole paragraphs, and blank lines between paragraphs; it is split into sentences. ``auto`` decides
    for each file, as ``guess_layout`` says.
    A file is at least one document. Prose, and lines without a blank line among them, do not say where documents end:
    they are cut into documents of about ``DOCUMENT_CHARACTERS`` characters, at the end of a paragraph where possible
    (into ten, where the whole text is short).

    Raises FileNotFoundError for a missing path and for a folder without text files, ValueError for bytes that are not
    UTF-8 and for a corpus of fewer than two documents.
    """
    if layout not in ("auto", "lines", "prose"):
        raise ValueError(f"layout must be auto, lines or prose, got {layout!r}")
    sources = [source] if isinstance(source, str) else list(source)
    if not sources:
        raise ValueError("no corpus was named; give a text file, a folder, '-' or one of "
                         f"{', '.join(MADE_HERE)}")
    names, documents, layouts, words = [], [], Counter(), ()
    for one in sources:
        if one == "python-docs":
            names.append(f"python-docs of Python {python_docs.version()}")
            documents += python_docs.documents()
            continue
        if one in WORLDS:
            from minibert.world import World  # NumPy, which no other corpus needs

            world = World.of(WORLDS[one])
            names.append(one)
            documents += map(world.sentences, world.documents(WORLD_TOKENS))
            words = tuple(world.words) if len(sources) == 1 else ()
            continue
        name, count, texts = _open(one)
        names.append(name)
        for text in texts:
            taken = guess_layout(text) if layout == "auto" else layout
            layouts[taken] += 1
            documents += documents_of(text, taken, alone=count == 1)
    name = " + ".join(names)
    sentences = sum(map(len, documents))
    if not sentences:
        raise ValueError(f"the corpus {name} is empty: there is no text in it")
    if len(documents) < 2:
        raise ValueError(
            f"the corpus {name} is a single document of {sentences} sentence{'s' * (sentences > 1)}; training needs at "
            "least two, because one is held out to measure on: give more text, or separate documents by a blank line "
            "and say --layout lines"
        )
    sha256 = hashlib.sha256("\n\n".join(map("\n".join, documents)).encode("utf-8", "surrogatepass")).hexdigest()
    description = f"{name}: {len(documents):,} documents, {sentences:,} sentences, sha256 {sha256[:12]}"
    return Corpus(name, documents, description, sha256, layouts_said(layouts), words)


def best_loss(name: str, examples: Sequence[tuple[Sequence[str], Sequence[int], Sequence[str]]]) -> Floor:
    """What nobody can beat at these examples of a generated corpus: tokens as a model sees them with [CLS] and [SEP], the places
    that were chosen, and the words that stood there."""
    from minibert.world import World
    from minibert.world.seen import Seen

    truth = [words for _, _, words in examples]
    return World.of(WORLDS[name]).floor_of([Seen.of_example(tokens, places) for tokens, places, _ in examples], truth, truth)


def split(
    documents: list[list[str]], held_out: float = 0.05, seed: int = 0
) -> tuple[list[list[str]], list[list[str]]]:
    """Training and held-out documents: a random share of the characters, in whole documents, fixed by the seed.

    Each part has at least one document, the held-out part two where there are four or more, so that it has
    next-sentence pairs. Both keep the order of the corpus. Raises ValueError for fewer than two documents.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be a share between 0 and 1, got {held_out}")
    if len(documents) < 2:
        raise ValueError(f"a corpus of {len(documents)} documents cannot be split; it takes at least two")
    sizes = [sum(map(len, document)) for document in documents]
    room = held_out * sum(sizes)
    order = sorted(range(len(documents)), key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).digest())
    chosen: set[int] = set()
    for i in order[:-1]:
        if sizes[i] <= room:
            chosen.add(i)
            room -= sizes[i]
    at_least = 2 if len(documents) >= 4 else 1
    chosen.update(sorted(set(order) - chosen, key=lambda i: sizes[i])[: max(0, at_least - len(chosen))])
    return (
        [document for i, document in enumerate(documents) if i not in chosen],
        [document for i, document in enumerate(documents) if i in chosen],
    )


def _open(source: str) -> tuple[str, int, Iterator[str]]:
    """What a source is called, how many texts it holds, and these."""
    if source == "-":
        return "standard input", 1, iter([decode(standard_input().read(), "standard input")])
    path = Path(source)
    if path.is_file():
        return path.name, 1, iter([decode(path.read_bytes(), str(path))])
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no file or folder {source!r}; a corpus is a UTF-8 text file, a folder of .txt files, "
            f"'-' for standard input, or one of {', '.join(MADE_HERE)}"
        )
    files = texts_of(path)
    if not files:
        raise FileNotFoundError(f"the folder {source!r} holds no .txt file; name a text file, or a folder with some")
    return path.resolve().name or str(path), len(files), (decode(file.read_bytes(), str(file)) for file in files)


def texts_of(folder: Path) -> list[Path]:
    """Every ``*.txt`` in a folder and below, sorted by path."""
    return sorted((file for file in folder.rglob("*.txt") if file.is_file()), key=lambda file: file.parts)


def layouts_said(layouts: Counter[Taken]) -> str:
    """In words, how texts were read: how many of them as each layout."""
    several = layouts.total() > 1
    return "; ".join(LAYOUTS[kind] + f" ({n:,} file{'s' * (n > 1)})" * several for kind, n in layouts.most_common())


def decode(data: bytes, name: str) -> str:
    """Text of UTF-8 bytes, with ``\\n`` for every line end and without a byte order mark."""
    return decode_utf8(data, name).replace("\r\n", "\n").replace("\r", "\n")


def documents_of(text: str, layout: Taken, alone: bool = True) -> list[list[str]]:
    """The documents of one text; ``alone``: there is no other text, so that a short one is cut as well."""
    size = min(DOCUMENT_CHARACTERS, len(text) // 10) if alone else DOCUMENT_CHARACTERS
    runs = _runs(text)
    if layout == "prose":
        return _cut([_sentences(" ".join(run)) for run in runs], size)
    return runs if len(runs) > 1 else _cut([[line] for run in runs for line in run], size)


def _runs(text: str) -> list[list[str]]:
    """The lines between blank lines, their white space as single spaces."""
    runs = ([" ".join(line.split()) for line in run.split("\n")] for run in _BLANK_LINES.split(text))
    return [run for run in ([line for line in run if line] for run in runs) if run]


def _sentences(paragraph: str) -> list[str]:
    """Its sentences, without ornaments such as "* * *"; text that never ends a sentence is cut between words."""
    sentences = []
    for sentence in split_sentences(paragraph):
        start = 0
        while len(sentence) - start > SENTENCE_CHARACTERS:
            space = sentence.rfind(" ", start + 1, start + SENTENCE_CHARACTERS)
            stop = space if space > 0 else start + SENTENCE_CHARACTERS
            sentences.append(sentence[start:stop].strip())
            start = stop
        sentences.append(sentence[start:].strip())
    return [sentence for sentence in sentences if any(map(str.isalnum, sentence))]


def guess_layout(text: str) -> Taken:
    """How a text is laid out, by its first lines.

    Lines that hold more than 1.5 sentences on average are paragraphs: ``prose``. If half of them end like a sentence, it is
    ``lines``. Else a sentence may go over several lines (prose that was wrapped, verse), or sentences have no mark at their
    end (titles, speech, Thai): ``prose`` where the lines go on in one another, ``lines`` where nothing says so.
    """
    runs, room = [], _LOOKED_AT
    for run in _runs(text[:1_000_000]):
        runs.append(run[:room])
        room -= len(runs[-1])
        if not room:
            break
    lines = [line for run in runs for line in run]
    sentences = sum(len(split_sentences(line)) for line in lines)
    ending = sum(map(ends_sentence, lines))
    if sentences > 1.5 * len(lines):
        return "prose"
    if ending >= 0.5 * len(lines):
        return "lines"
    return "prose" if sum(map(len, runs)) < 2 * len(runs) or _go_on(runs, sentences - len(lines), ending) else "lines"


def _go_on(runs: list[list[str]], inside: int, ending: int) -> bool:
    """Whether the lines of a run go on in one another. ``inside``, ``ending``: sentences that end within, and with, a line.

    Three signs: more lines end in a comma, or are followed by a small letter where sentences begin with capitals, than end like
    a sentence; more sentences end within a line than with it; or the lines are filled.
    """
    joints = [joint for run in runs for joint in pairwise(run)]
    some = max(ending, 0.1 * len(joints))
    first = [run[0] for run in runs] + [b for a, b in joints if ends_sentence(a)]
    capitals = ending + inside > 0 and sum(map(begins_lower, first)) < 0.1 * len(first)
    going = sum(bool(_GOES_ON.search(a)) or (capitals and begins_lower(b)) for a, b in joints)
    return going > some or inside > some or any(_filled(runs, joints, width) for width in (len, _columns))


def _filled(runs: list[list[str]], joints: list[tuple[str, str]], width: Callable[[str], int]) -> bool:
    """Whether lines were broken for want of room: the next word would not have fitted, and the last line of a run is shorter."""
    widths = sorted(width(a) for a, _ in joints)
    widest = widths[int(0.95 * len(widths))]
    full = sum(width(a) + min(width(b.split(" ")[0]), widest // (4 if " " in b else 8)) >= widest for a, b in joints)
    last = [width(run[-1]) for run in runs if len(run) > 1]
    shorter = len(last) < 3 or sum(last) / len(last) < 0.8 * sum(widths) / len(widths)
    return full > 0.9 * len(joints) and shorter


def _columns(line: str) -> int:
    """How wide it is printed: Chinese characters take two columns, marks above and below letters none."""
    return sum((unicodedata.category(c) not in ("Mn", "Me", "Cf")) + (unicodedata.east_asian_width(c) in "WF") for c in line)


def _cut(paragraphs: list[list[str]], size: int) -> list[list[str]]:
    """Paragraphs joined into documents of at least ``size`` characters; a paragraph of twice that is cut as well."""
    documents: list[list[str]] = []
    document: list[str] = []
    length = 0  # characters in ``document``
    for paragraph in paragraphs:
        for number, sentence in enumerate(paragraph):
            if length >= 2 * size or (length >= size and number == 0):
                documents.append(document)
                document, length = [], 0
            document.append(sentence)
            length += len(sentence)
    if document:
        documents.append(document)
    if len(documents) > 1 and length < size / 2:  # a short rest belongs to what comes before it
        documents[-2:] = [documents[-2] + documents[-1]]
    return documents
