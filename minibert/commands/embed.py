"""``minibert embed``."""

from __future__ import annotations

import argparse
import hashlib

from minibert.commands import terminal
from minibert.ranks import Ranks
from minibert.training.course import add_ranks

SUMMARY = "a vector for each line of a file"
TEXT = """\
One vector for each line of a file, made from the vectors of its tokens and written as a NumPy
array: numpy.load(FILE) has a row for each line.

A folder that says how its vectors are made (a sentence encoder's) is followed.
"""
EXAMPLES = """\
examples:
  minibert embed DIR sentences.txt
  minibert embed DIR sentences.txt --out vectors.npy --pooling cls --no-normalise
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    terminal.add_reading(parser)
    parser.add_argument("--out", metavar="FILE", help="where to write (default: the name of the file and .npy)")
    parser.add_argument("--normalise", action=argparse.BooleanOptionalAction, help="bring every vector to length 1 "
                        "(default: what the folder says, else not)")
    add_ranks(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert import ranks

    with ranks.of(args.ranks) as all_ranks:
        return embed(args, all_ranks)


def embed(args: argparse.Namespace, ranks: Ranks) -> int:
    """As one of several ranks: the first one writes and speaks."""
    import minibert
    from minibert import sentence_vectors
    from minibert.files import not_over, writing
    from minibert.ranks.begin import device_of, told_alike
    from minibert.search import read_lines
    from minibert.workers import keep_freed_memory

    lines = read_lines(args.file)
    not_over(args.file, args.out)
    keep_freed_memory()
    told_alike(ranks, args)
    if ranks.size > 1:
        ranks.agree({"the sha256 of the text": hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()})
    ranks = device_of(args.device, ranks)[2]
    bert = minibert.load(args.model, args.device, weights=args.weights, heads=args.heads)
    pooling = bert.pooling(args.pooling, args.normalise, args.max_length, args.literal)
    threads = ranks.threads(args.threads)
    with terminal.progress() as progress:
        vectors, cut, reading = sentence_vectors.embed(bert, lines, pooling, threads, progress if ranks.first else None, ranks)
    if not ranks.first:
        return 0
    terminal.note([note for note in bert.notes if not note.endswith("not trained")])  # heads, which no vector needs
    out = args.out or f"{args.file}.npy"
    with writing(out) as file:
        import numpy as np

        np.save(file, vectors)
    print(f"{out}: {vectors.shape[0]:,} vectors of {vectors.shape[1]} numbers ({vectors.dtype}), {pooling}")
    terminal.note(reading.notes())
    if cut:
        print(f"{cut:,} of the lines were longer than the model reads, and lost their end")
    if blank := sum(not line.strip() for line in lines):
        print(f"{blank:,} of the lines are blank: their vectors say nothing")
    return 0
