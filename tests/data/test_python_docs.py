"""The embedded corpus: enough of it, the same each time, and English."""

import re
import sysconfig
from collections import Counter

import pytest

from minibert.data import python_docs
from minibert.data.corpora import read


@pytest.fixture(scope="module")
def corpus():
    return read("python-docs")


@pytest.fixture(scope="module")
def sentences(corpus):
    return [sentence for document in corpus.documents for sentence in document]


def test_there_is_enough_of_it(corpus, sentences):
    assert len(corpus.documents) >= 200
    assert len(sentences) >= 8_000
    assert sum(len(sentence.split()) for sentence in sentences) >= 120_000
    assert f"python-docs of Python {python_docs.version()}" in corpus.description
    assert corpus.sha256[:12] in corpus.description
    assert corpus.layout == ""


def test_it_is_the_same_each_time(corpus):
    assert read("python-docs").sha256 == corpus.sha256


def test_it_holds_all_three_parts(sentences):
    """The language reference (about statements), and docstrings and comments of a module that will not go away."""
    assert any("statement" in s and "exception" in s for s in sentences)
    assert "Compile a regular expression pattern, returning a Pattern object." in sentences
    assert "If the last chunk on this line is all whitespace, drop it." in sentences


def test_it_reads_as_english(sentences):
    whole = sum(1 for sentence in sentences if re.search(r"""^["'(]*[A-Z].*[.!?]["')]*$""", sentence))
    assert whole > 0.6 * len(sentences)  # the others are entries of lists, and comments
    for sentence in sentences:
        assert not re.search(r"::=|>>>|``|^\s|https?:|[\n{}]", sentence), sentence
    words = Counter(word for sentence in sentences for word in re.findall(r"[a-z]+", sentence.lower()))
    assert {word for word, _ in words.most_common(12)} >= {"the", "a", "is", "to", "of", "and", "in"}
    letters = sum(char.isalpha() or char == " " for sentence in sentences for char in sentence)
    assert letters > 0.93 * sum(map(len, sentences))


def test_no_sentence_comes_twice(sentences):
    assert len({sentence.casefold() for sentence in sentences}) == len(sentences)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Return the number of items", ["Return the number of items."]),
        ("Read a line.\n\n>>> read()\n'a line'\n\nAn empty line ends it.", ["Read a line.", "An empty line ends it."]),
        ("A title\n=======\n\nThe text that\nis wrapped. It goes on.", ["The text that is wrapped.", "It goes on."]),
        ("A list of things is:\n\n* The first one is here.\n* The second one\n  is here too.",
         ["The first one is here.", "The second one is here too."]),
        ("Open the *file* with :func:`~os.open`, see ``flags`` and `the guide <https://python.org>`_.",
         ["Open the file with os.open, see flags and the guide."]),
        ("Run it.\n\n:param name: the name of the thing\n:returns: nothing", []),
        ("call(name[, size]) -> bytes\n\nThis calls the thing.", ["This calls the thing."]),
        ("The grammar is this.\n\n   name ::= letter\n            | digit\n\nThat was the grammar.",
         ["The grammar is this.", "That was the grammar."]),
        ("Changed in version 3.7: The thing is now a keyword. [1]", ["The thing is now a keyword."]),
        ("It is called as follows::\n\n    for x in y:\n        print(x)\n\nThen it is done.", ["Then it is done."]),
        ("+-----+-----+\n| a   | b   |\n+-----+-----+\n\nThe table is above.", ["The table is above."]),
    ],
)  # fmt: skip
def test_whole_sentences_are_kept_and_nothing_else(text, expected):
    assert list(python_docs.prose(text)) == expected


def test_a_python_without_sources_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match=r"no source files of its standard library in .*give a text file"):
        read("python-docs")


TRAP = '''"""This module must not be run

It has a docstring."""

# It has a comment
# of two lines, too.
# XXX This is a reminder.
raise SystemExit  # at once

def f():
    """And a function in it."""
    # x = f(1)
'''


def test_modules_are_read_and_never_run(monkeypatch, tmp_path):
    (tmp_path / "trap.py").write_text(TRAP)
    (tmp_path / "broken.py").write_text('"""This module is broken."""\ndef (:')
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "some.py").write_text('"""This one is a test. It is left out."""')
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    documents = python_docs.documents()
    assert documents[-1] == [
        "This module must not be run.",
        "It has a docstring.",
        "It has a comment of two lines, too.",
        "And a function in it.",
    ]
    assert not any("left out" in sentence or "broken" in sentence for document in documents[-2:] for sentence in document)
