"""``minibert train``."""

from __future__ import annotations

import argparse

from minibert.training.options import add_arguments

__all__ = ["EXAMPLES", "SUMMARY", "TEXT", "add_arguments", "run"]

SUMMARY = "from plain text to a trained BERT, with its learning curve"
TEXT = """\
From plain text to a trained BERT: learns a vocabulary, masks words, trains, and writes a folder
with the model, its learning curve and its guesses on text that it has not seen.

Without options it trains a tiny BERT on the documentation that comes with Python, by the
recipe fast. --recipe none hides and asks as the paper does, with AdamW, and takes 1.8 times
as long; its defaults are those that stand below. Ctrl-C saves.
"""
EXAMPLES = """\
examples:
  python -m minibert train
      a tiny BERT on the documentation that every Python carries, in a few minutes
  python -m minibert train --corpus book.txt more/ --preset mini --minutes 60
      on your own texts: UTF-8 files, folders of them, or - for standard input
  python -m minibert train --corpus smiles.txt --cut "\\[.+?]|Br|Cl|." --no-next-sentence
      on molecules, one a line, a token being what matches; for proteins: --cut characters
  python -m minibert train --family albert --preset mini
      a relative of BERT: layers that share their weights
  python -m minibert train --init bert-base-uncased --corpus reports/ --max-length 128
      a trained model goes on learning, from texts of your field
  python -m minibert train --resume runs/2026-11-22-221903
      go on where a run was interrupted (Ctrl-C saves it)
  python -m minibert train --overfit-batch
      learn one batch by heart, in seconds: the first thing to try when something is wrong
"""


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert import ranks
    from minibert.training import command

    with ranks.of(args.ranks) as all_ranks:
        return command.run(args, all_ranks)
