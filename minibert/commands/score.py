"""``minibert score``."""

from __future__ import annotations

import argparse
import sys
import warnings

from minibert.commands import terminal

SUMMARY = "how likely a model finds texts, and which of a pair"
TEXT = """\
How likely a model finds a text: each token is hidden in turn, and the logarithms of the
probabilities that it is guessed with are added up (pseudo-log-likelihood, in nats).

Texts are given in quotes, as lines of a FILE, or as lines of standard input. They come out as
tab-separated text: score, number of scored tokens, text. Of minimal pairs, in a file with two
columns (TSV, CSV, JSON Lines), the accuracy is shown: how often the first text scores higher.
"""
EXAMPLES = """\
examples:
  minibert score "the keys are here." "the keys is here."
  minibert score --tokens --metric within_word_l2r --file sentences.txt --out scores.tsv
  minibert score --model bert-base --pairs blimp.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="text in quotes; - reads lines of standard input")
    parser.add_argument("--file", metavar="FILE", help="text in UTF-8, one text a line")
    parser.add_argument("--pairs", metavar="FILE", help="minimal pairs: in each line the acceptable text and the other")
    parser.add_argument("--columns", nargs=2, metavar=("FIRST", "SECOND"), help="with --pairs: names or numbers of its columns")
    parser.add_argument("--model", metavar="DIR", help=terminal.MODEL_HELP)
    parser.add_argument("--metric", choices=("original", "within_word_l2r", "whole_word"), default="original",
                        help="what is hidden with a token: nothing else, the pieces of its word to its right, or the whole word "
                        "(default: original)")
    parser.add_argument("--tokens", action="store_true", help="show what each token adds")
    parser.add_argument("--out", metavar="FILE", help="write the table to a file; with --pairs, the scores of each")
    parser.add_argument("--truncate", action="store_true", help="cut off the end of a text that is too long, do not refuse it")
    parser.add_argument("--literal", action="store_true", help=terminal.LITERAL_HELP)
    parser.add_argument("--threads", type=int, metavar="N", help="cores to compute on (default: all)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")
    terminal.add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    import minibert
    from minibert import scoring
    from minibert.commands import tables
    from minibert.files import not_over, write_atomically
    from minibert.search import read_lines
    from minibert.text import UnknownText
    from minibert.workers import keep_freed_memory

    if sum(map(bool, (args.texts, args.file, args.pairs))) > 1:
        raise ValueError("give texts, a --file, or --pairs: one of them at a time")
    if args.columns and not args.pairs:
        raise ValueError("--columns goes with --pairs: it names two columns of that file")
    if args.out and (source := args.pairs or args.file):
        not_over(source, args.out)
    if args.pairs:
        pairs = scoring.read_pairs(args.pairs, args.columns)
        texts = [*pairs.first, *pairs.second]
        terminal.note(pairs.notes)
    elif args.file:
        texts = read_lines(args.file)
    else:
        texts = list(terminal.lines()) if not args.texts or "-" in args.texts else args.texts
    if not texts:
        raise ValueError("there is no text to score: give one in quotes, lines of standard input, a --file or --pairs")
    keep_freed_memory()
    bert = minibert.load(args.model, args.device, weights=args.weights, heads=args.heads)
    terminal.note(bert.notes)
    warnings.simplefilter("ignore", UnknownText)  # a note says it
    with terminal.progress() as progress:
        scores = bert.score(texts, args.metric, truncate=args.truncate, threads=args.threads, progress=progress,
                            literal=args.literal)
    terminal.note(bert.reading(texts, args.literal).notes())
    if args.pairs:
        middle = len(pairs.first)
        table, summary = tables.pairs(pairs, scores[:middle], scores[middle:], args.tokens)
    else:
        table, summary = tables.scores(texts, scores, args.tokens)
    if args.out:
        write_atomically(args.out, table)
        summary += f"\n{args.out}: {len(table.splitlines()) - 1:,} lines"
    elif not args.pairs:
        print(table, end="")
    print(summary, file=sys.stdout if args.pairs or args.out else sys.stderr)
    return 0
