"""``minibert search``."""

from __future__ import annotations

import argparse
import sys

from minibert.commands import terminal

SUMMARY = "the lines of a file that are nearest in meaning to a query"
TEXT = """\
Find the lines of a file that are nearest in meaning to a query, by the angle between vectors.

The vectors are computed once and kept in FILE.vectors.safetensors. Without a QUERY, one line
after another is read from the keyboard or a pipe.
"""
EXAMPLES = """\
examples:
  minibert search DIR sentences.txt "how do I open a file?"
  minibert search DIR sentences.txt --top 3 < queries.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    terminal.add_reading(parser)
    parser.add_argument("queries", nargs="*", metavar="QUERY", help="what to look for, in quotes; - reads lines of "
                        "standard input")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many lines to show (default: 10)")
    parser.add_argument("--no-cache", action="store_true", help="neither keep the vectors nor use those that were kept")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    import minibert
    from minibert.commands import tables
    from minibert.search import Index
    from minibert.workers import keep_freed_memory

    keep_freed_memory()
    bert = minibert.load(args.model, args.device, weights=args.weights, heads=args.heads)
    terminal.note([note for note in bert.notes if not note.endswith("not trained")])  # heads, which no vector needs
    pooling = bert.pooling(args.pooling, True, args.max_length, args.literal)
    with terminal.progress() as progress:
        index = Index.of(bert, args.file, pooling, cache=not args.no_cache, threads=args.threads, progress=progress,
                         say=lambda note: print(f"note: {note}", file=sys.stderr))
    terminal.note(index.reading.notes(), f"{args.file}: ")
    width = terminal.columns()

    def answer(query: str) -> str:
        found = index.search(query, args.top)
        terminal.note(bert.reading(query.lower() if pooling.lower_case else query, args.literal).notes())
        return tables.matches(found, width)

    return terminal.each(args.queries, "what to look for", answer)
