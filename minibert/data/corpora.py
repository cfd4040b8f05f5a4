"""Corpora: text in, documents out. A document is a list of sentences.

``read`` takes UTF-8 text files, folders of them, standard input, or ``python-docs``, the English that every Python
carries. This module needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal, NamedTuple

from minibert.data import python_docs
from minibert.data.sentences import split_sentences
from minibert.files import decode_utf8, standard_input

Layout = Literal["auto", "lines", "prose"]

DOCUMENT_CHARACTERS = 8000  # text that does not mark its documents is cut into pieces of about this size: three pages
SENTENCE_CHARACTERS = 2000  # what is longer is no sentence
_SENTENCE_END = re.compile(r"""[.!?…。！？]["'”’»)\]」』）]*$""")


class Corpus(NamedTuple):
    """Documents with where they come from."""

    name: str
    documents: list[list[str]]  # sentences by document
    description: str  # one line for the log
    sha256: str  # of the sentences, one a line, with a blank line between documents


def read(source: str | list[str], *, layout: Layout = "auto") -> Corpus:
    """Read a corpus, or several into one.

    source: a UTF-8 text file; a folder (every ``*.txt`` in it and below, sorted by path); ``-`` for standard input; or
    ``python-docs``. A file of that name is meant by ``./python-docs``.
    layout: how text is laid out. ``lines``: one sentence a line, a blank line between documents. ``prose``: lines that
    are wrapped, or whole paragraphs, and blank lines between paragraphs; it is split into sentences. ``auto`` decides
    for each file: ``lines`` if at least half of its lines end like a sentence and hold on average no more than 1.5.
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
        raise ValueError("no corpus was named; give a text file, a folder, '-' or 'python-docs'")
    names, documents = [], []
    for one in sources:
        name, found = _read_one(one, layout)
        names.append(name)
        documents += found
    name = " + ".join(names)
    sentences = sum(map(len, documents))
    if not sentences:
        raise ValueError(f"the corpus {name} is empty: there is no text in it")
    if len(documents) < 2:
        raise ValueError(
            f"the corpus {name} is a single document of {sentences} sentence{'s' * (sentences > 1)}; training needs at "
            "least two, because one is held out to measure on: give more text, or separate documents by a blank line"
        )
    sha256 = hashlib.sha256("\n\n".join(map("\n".join, documents)).encode("utf-8", "surrogatepass")).hexdigest()
    description = f"{name}: {len(documents):,} documents, {sentences:,} sentences, sha256 {sha256[:12]}"
    return Corpus(name, documents, description, sha256)


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


def _read_one(source: str, layout: Layout) -> tuple[str, list[list[str]]]:
    if source == "python-docs":
        return f"python-docs of Python {python_docs.version()}", python_docs.documents()
    if source == "-":
        return "standard input", _documents(_decode(standard_input().read(), "standard input"), layout)
    path = Path(source)
    if path.is_file():
        return path.name, _documents(_decode(path.read_bytes(), str(path)), layout)
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no file or folder {source!r}; a corpus is a UTF-8 text file, a folder of .txt files, "
            "'-' for standard input, or 'python-docs'"
        )
    files = sorted((file for file in path.rglob("*.txt") if file.is_file()), key=lambda file: file.parts)
    if not files:
        raise FileNotFoundError(f"the folder {source!r} holds no .txt file; name a text file, or a folder with some")
    documents = []
    for file in files:
        documents += _documents(_decode(file.read_bytes(), str(file)), layout, alone=len(files) == 1)
    return path.resolve().name or str(path), documents


def _decode(data: bytes, name: str) -> str:
    """Text of UTF-8 bytes, with ``\\n`` for every line end and without a byte order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{name} is UTF-16 (its first bytes say so); save it as UTF-8")
    return decode_utf8(data, name).replace("\r\n", "\n").replace("\r", "\n")


def _documents(text: str, layout: Layout, alone: bool = True) -> list[list[str]]:
    """The documents of one text; ``alone``: there is no other text, so that a short one is cut as well."""
    if layout == "auto":
        layout = _guess(text)
    size = min(DOCUMENT_CHARACTERS, len(text) // 10) if alone else DOCUMENT_CHARACTERS
    blocks = [[" ".join(line.split()) for line in block.split("\n")] for block in re.split(r"\n(?:[^\S\n]*\n)+", text)]
    blocks = [block for block in ([line for line in block if line] for block in blocks) if block]
    if layout == "prose":
        return _cut([_sentences(" ".join(block)) for block in blocks], size)
    return blocks if len(blocks) > 1 else _cut([[line] for block in blocks for line in block], size)


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


def _guess(text: str) -> Literal["lines", "prose"]:
    lines = [line for line in text[:1_000_000].split("\n") if line.strip()][:2000]
    ending = sum(1 for line in lines if _SENTENCE_END.search(line[-20:].rstrip()))
    sentences = sum(len(split_sentences(line)) for line in lines)
    return "lines" if ending >= 0.5 * len(lines) and sentences <= 1.5 * len(lines) else "prose"


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
