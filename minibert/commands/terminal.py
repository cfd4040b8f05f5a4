"""What the commands share at the terminal: questions one by one, notes, a bar."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minibert.training.course import add_files

LITERAL_HELP = "special tokens that are written in a text, such as [SEP], are words and not those tokens"
CUT_HELP = ("for what is no prose: 'characters', or a regular expression that matches a token (default: what the folder says, "
            "else words)")
MODEL_HELP = "folder of a run or of a BERT checkpoint (default: the model that comes with minibert)"


def add_reading(parser: argparse.ArgumentParser) -> None:
    """The options of a command that makes a vector of each line of a file."""
    parser.add_argument("model", metavar="DIR", help="folder of a BERT checkpoint or of a run")
    parser.add_argument("file", metavar="FILE", help="text in UTF-8, one sentence or passage a line")
    parser.add_argument("--pooling", choices=("mean", "cls", "max"), help="what is made of the vectors of the tokens (default: "
                        "what the folder says, else mean)")
    parser.add_argument("--max-length", type=int, metavar="T", help="tokens of a line that are read (default: what the folder "
                        "says, else what the model can read)")
    parser.add_argument("--literal", action="store_true", help=LITERAL_HELP)
    parser.add_argument("--threads", type=int, metavar="N", help="cores to compute on (default: all)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")
    add_files(parser)


def note(notes: Sequence[str], of: str = "") -> None:
    """What there is to say about a model, a tokenizer or a text, beside the answers."""
    for text in notes:
        print(f"note: {of}{text}", file=sys.stderr)


def each(texts: Sequence[str], what: str, answer: Any) -> int:
    """Print the answer to each text; lines of standard input where there is none, or a "-"."""
    if texts and "-" not in texts:
        for text in texts:
            print(answer(text))
        return 0
    if not texts and sys.stdin is not None and sys.stdin.isatty():
        return converse(what, answer)
    for number, line in enumerate(lines(), start=1):
        if line.strip():
            try:
                print(answer(line), flush=True)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return 0


def lines() -> Iterator[str]:
    """Lines of standard input, as UTF-8 whatever the machine's own encoding is."""
    from minibert.files import standard_input

    for number, line in enumerate(standard_input(), start=1):
        try:
            text = line.decode("utf-8") if isinstance(line, bytes) else line
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number} of standard input is not UTF-8: byte 0x{error.object[error.start]:02x} "
                             f"at place {error.start}") from None
        yield text.rstrip("\r\n")


def converse(what: str, answer: Any) -> int:
    """Ask at the terminal until there is no answer."""
    print(f"Type {what} and press Enter; an empty line ends it.")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            print()
            return 0
        if not text:
            return 0
        try:
            print(answer(text))
        except ValueError as error:
            print(sentence(error))


def sentence(error: BaseException) -> str:
    """What an error says to a user: no error numbers, no class names."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error or 'no more is known'}); try a smaller batch or model"
    return str(error) or type(error).__name__


def writable(character: str, instead: str) -> str:
    """``character``, or what stands in for it where standard output cannot show it."""
    try:
        character.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return instead
    return character


def columns() -> int:
    """Of the terminal, within reason."""
    return max(60, min(100, shutil.get_terminal_size((80, 24)).columns))


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A bar over tokens, with the time that is left, where standard error is a terminal."""
    from tqdm import tqdm

    with tqdm(unit=" tokens", unit_scale=True, disable=None, dynamic_ncols=True, leave=False) as shown:
        def told(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield told
