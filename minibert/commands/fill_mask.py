"""``minibert fill-mask``."""

from __future__ import annotations

import argparse
import warnings

from minibert.commands import terminal

SUMMARY = "let a model guess the words behind [MASK]"
TEXT = """\
Let a model guess the words behind [MASK] in a text.

Several [MASK] in one text are each answered. Without a TEXT, one line after another is read
from the keyboard or a pipe.
"""
EXAMPLES = """\
examples:
  minibert fill-mask "the [MASK] statement raises an exception."
  minibert fill-mask --top 3 "[MASK] is a [MASK] language."
  minibert fill-mask --model runs/2026-11-22-221903 < sentences.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="text with [MASK], in quotes; - reads lines of standard input")
    parser.add_argument("--model", metavar="DIR", help=terminal.MODEL_HELP)
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many guesses to show (default: 5)")
    parser.add_argument("--truncate", action="store_true", help="cut off the end of a text that is too long, do not refuse it")
    parser.add_argument("--literal", action="store_true", help="special tokens that are written in a text, but [MASK], "
                        "are words and not those tokens")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")
    terminal.add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    import minibert
    from minibert.commands import tables
    from minibert.text import UnknownText

    bert = minibert.load(args.model, args.device, weights=args.weights, heads=args.heads)
    mask = bert.tokenizer.vocab.special[-1] or "[MASK]"
    without = [text for text in args.texts if mask not in text and text != "-"]
    if without and len(args.texts) > 1:
        raise ValueError(f"{len(args.texts)} texts were given, and there is no {mask} in {without[0]!r}: put each text in quotes")
    terminal.note(bert.notes)
    warnings.simplefilter("ignore", UnknownText)  # a note says it
    width, bar = terminal.columns(), terminal.writable("█", "#")

    def answer(text: str) -> str:
        table = tables.guesses(bert, text, args.top, args.truncate, width, bar, args.literal)
        terminal.note(bert.reading(text.split(mask), args.literal).notes())
        return table

    return terminal.each(args.texts, "a text with [MASK]", answer)
