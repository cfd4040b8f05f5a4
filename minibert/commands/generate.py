"""``minibert generate``."""

from __future__ import annotations

import argparse

from minibert.commands import terminal

SUMMARY = "let a model that has learned to write go on from a text"
TEXT = """\
Let a model go on from a text, token after token, with the likeliest beginnings side by side
(beam search). The model must have learned to: minibert train --pairs prefix.

Each line is a continuation, the best first, with its probability in nats. Without a TEXT, one
line after another is read from the keyboard or a pipe.
"""
EXAMPLES = """\
examples:
  minibert train --pairs prefix --out runs/writer
  minibert generate --model runs/writer "this module provides"
  minibert generate --model runs/writer --beams 8 --tokens 20 --length-penalty 1 < beginnings.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="text in quotes; - reads lines of standard input")
    parser.add_argument("--model", metavar="DIR", required=True, help="folder of a run with --pairs prefix")
    parser.add_argument("--beams", type=int, default=4, metavar="N", help="beginnings that are followed (default: 4)")
    parser.add_argument("--tokens", type=int, default=32, metavar="N", help="of a continuation, at most (default: 32)")
    parser.add_argument("--length-penalty", type=float, default=0.6, metavar="A", help="how far it is made up for that long "
                        "texts are less likely; 0: not at all (default: 0.6)")
    parser.add_argument("--literal", action="store_true", help=terminal.LITERAL_HELP)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")
    terminal.add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    import minibert

    bert = minibert.load(args.model, args.device, weights=args.weights, heads=args.heads)
    terminal.note(bert.notes)

    def answer(text: str) -> str:
        terminal.note(bert.reading(text, args.literal).notes())
        found = bert.generate(text, beams=args.beams, most=args.tokens, penalty=args.length_penalty, literal=args.literal)
        return "\n".join(f"{one.log_probability:8.2f}  {one.text}" for one in found)

    return terminal.each(args.texts, "the beginning of a text", answer)
