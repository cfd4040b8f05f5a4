"""The English that every Python carries: its language reference, and the docstrings and comments of its standard library.

All are written for a terminal, in a light markup between lists, tables, grammar and code. What is kept of them is
English, sentence by sentence and without markup; everything else is left out.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from minibert.data.sentences import split_sentences

# Folders that hold tests, other people's packages, copies of something else, or generated tables.
_SKIPPED = frozenset(
    "test tests idlelib lib2to3 site-packages dist-packages turtledemo encodings pydoc_data ensurepip "
    "lib-dynload __pycache__ __phello__".split()
)


def documents() -> list[list[str]]:
    """One document (a list of sentences) for each topic of the language reference and each module, in a fixed order.

    Modules are read as source text with ``ast``, never imported. A sentence that occurs again, in another topic or a
    copied docstring, is kept the first time only. Raises FileNotFoundError where this Python has no source files.
    """
    seen: set[str] = set()
    result = []
    for texts in [*_topics(), *_modules()]:
        document = []
        for text, is_docstring in texts:
            for sentence in prose(text, is_docstring):
                key = sentence.casefold()
                if key not in seen:
                    seen.add(key)
                    document.append(sentence)
        if len(document) > 1:
            result.append(document)
    return result


def version() -> str:
    """Of this Python, "3.12.1"."""
    return ".".join(map(str, sys.version_info[:3]))


_Texts = list[tuple[str, bool]]  # pieces of a document, and whether each is a docstring


def _topics() -> Iterator[_Texts]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions leave it out
        return
    # Topics contain one another. The shortest first: each text is then met where it is on its own.
    for name in sorted(topics, key=lambda name: (len(topics[name]), name)):
        yield [(re.sub(r'"([^"\n]+)"', r"\1", topics[name]), False)]  # "…" is how the reference prints code


def _modules() -> Iterator[_Texts]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    found = False
    for path in _sources(folder):
        try:
            source = path.read_bytes().decode("utf-8")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in other people's strings
                tree = ast.parse(source)
        except (OSError, SyntaxError, ValueError):
            continue
        found = True
        texts = [*_docstrings(tree), *_comments(source)]
        yield [(text, is_docstring) for _, text, is_docstring in sorted(texts)]
    if not found:
        raise FileNotFoundError(
            f"this Python keeps no source files of its standard library in {folder}, so there is no 'python-docs' "
            "corpus here; give a text file or a folder of text files"
        )


def _sources(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("config-"))
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(parent, name)


_HOLDS_DOCSTRINGS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.Try, ast.ExceptHandler)


def _docstrings(node: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """(line, text, True) for the docstrings of a module and of all classes and functions in it."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        docstring = ast.get_docstring(node)
        if docstring:
            yield node.body[0].lineno, docstring, True
    for field in ("body", "orelse", "handlers"):
        for child in getattr(node, field, ()):
            if isinstance(child, _HOLDS_DOCSTRINGS):
                yield from _docstrings(child)


def _comments(source: str) -> Iterator[tuple[int, str, bool]]:
    """(line, text, False) for every run of lines that are comments."""
    line, place = 1, 0
    for block in re.finditer(r"(?:^[ \t]*#.*\n)+", source, re.MULTILINE):
        line += source.count("\n", place, block.start())
        place = block.start()
        yield line, re.sub(r"^[ \t]*#+", "", block[0], flags=re.MULTILINE), False


_NOT_TEXT = re.compile(
    r"""\s* (?: >>> | \.\.\.(?:\s|$) | \.\.\s | \$\s | [+|] | .*::= | .*\s\|\s*$ )""", re.VERBOSE
)  # doctest and shell prompts, reST directives, tables, grammar
_RULE = re.compile(r"""\s*([=\-*~^#_"'.+])\1{2,}[\s=\-]*$""")  # the line under a title, or of a table
_BULLET = re.compile(r"""\s*(?: [*+\-•o] | [(\[]?(?:\d{1,2}|[a-z])[.)\]] | \#\. )\s+(?=\S)""", re.VERBOSE)
_ENTRY = re.compile(
    r"""\s* (?: [:@]\w[\w\s,*.\[\]]*:(?:\s|$)           # :param name: …
      | [\w.*,\[\]()='"<>/|-]+ (?:\s\([^)]*\))? \s*(?::|\s--?|\s=|\s{2,})\s+\S   # name: …   name -- …   name  …
      | [\w.]+\([^)]*\)?\s*(?:->.*|:|--.*)?$ )            # name(arguments) -> result
    """,
    re.VERBOSE,
)
_MARKUP = [
    (re.compile(r":[\w:+-]+:`[~!]?([^`<]*?)\s*(?:<[^`>]*>)?`"), r"\1"),  # :func:`~os.walk`
    (re.compile(r"`([^`<]*?)\s*<[^`>]*>`_*"), r"\1"),  # `text <address>`_
    (re.compile(r"``([^`]*)``|`([^`']*)[`']_*"), r"\1\2"),
    (re.compile(r"(?<![\w*])\*{1,2}([^\s*](?:[^*]*[^\s*])?)\*{1,2}(?!\w)"), r"\1"),  # *emphasis*, **strong**
    (re.compile(r"\s?\[\d+\]"), ""),  # footnotes
    (re.compile(r"(?<=[a-z]-) (?=[a-z])(?!and |or )"), ""),  # a word with a hyphen, wrapped there
    (re.compile(r"^(?:New|Added|Changed|Deprecated) (?:in|since) version [\d.]+(?:, will be removed in [\w .]+)?:\s*"), ""),
    (re.compile(r"^(?:Note|Warning|CPython implementation detail):\s*", re.IGNORECASE), ""),
    (re.compile("[“”]"), '"'),
    (re.compile("[‘’]"), "'"),
]
_MARKED = re.compile(r"[`*\[“”‘’]|- |^[^:]+:")  # nothing in _MARKUP matches without one of these


def prose(text: str, is_docstring: bool = True) -> Iterator[str]:
    """The English of a text in reST or docstring style, one sentence (or entry of a list) after another, without markup."""
    for number, paragraph in enumerate(_paragraphs(text)):
        if _MARKED.search(paragraph):
            for pattern, replacement in _MARKUP:
                paragraph = pattern.sub(replacement, paragraph)
        if is_docstring and number == 0 and re.search(r"\w\)?$", paragraph):
            paragraph += "."  # "Return the number of items": a sentence by convention
        for sentence in split_sentences(paragraph):
            if sentence.count("(") != sentence.count(")"):  # (One sentence of several between brackets.
                sentence = sentence.removeprefix("(").removesuffix(")")
            if _is_english(sentence):
                yield sentence


def _paragraphs(text: str) -> Iterator[str]:
    """Runs of lines with the same indentation, each joined into one, without code, tables and titles."""
    lines: list[str] = []
    indent, in_code = 0, False
    for line in [*text.expandtabs().split("\n"), ""]:
        ends = not line.strip() or in_code or _NOT_TEXT.match(line)
        if ends:
            if lines:
                yield " ".join(lines)
            lines, in_code = [], bool(line.strip())
            continue
        if _RULE.match(line):
            lines = []
            continue
        bullet = _BULLET.match(line)
        at = bullet.end() if bullet else len(line) - len(line.lstrip())
        if lines and (bullet or at != indent or _ENTRY.match(line)):
            yield " ".join(lines)
            lines = []
        lines.append(line[at:].strip())
        indent = at


_CODE = re.compile(
    r"""[{}\\|^~@#$%] | :$ | :: | ^: | ^\w+:\s | https?: | \.\. | -- | \s=\s | >>> | XXX
      | [A-Z]{3,}\s[A-Z]{3,}\s[A-Z]{3,}""",
    re.VERBOSE,
)
_WORD = re.compile(r"""["'(]*[A-Za-z]+(?:['-][A-Za-z]+)*["')]*[.,;:!?]*["')]*$""")
_FUNCTION_WORDS = frozenset(
    "the a an of is are be to in and that for it this if with not or by as on at from was can will may has have".split()
)


def _is_english(sentence: str) -> bool:
    """Whether this reads as English: mostly ordinary words, some of them such as hold a sentence together; no code."""
    words = sentence.split()
    if not 3 <= len(words) <= 100 or _CODE.search(sentence) or not sentence.isprintable():
        return False
    if sentence.count("(") != sentence.count(")") or sentence.count('"') % 2:
        return False
    plain = sum(1 for word in words if _WORD.match(word))
    return plain >= 0.6 * len(words) and any(word.lower() in _FUNCTION_WORDS for word in words)
