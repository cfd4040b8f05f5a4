"""``minibert predict``."""

from __future__ import annotations

import argparse

from minibert.finetuning.options import add_predict_arguments as add_arguments

__all__ = ["EXAMPLES", "SUMMARY", "TEXT", "add_arguments", "run"]

SUMMARY = "a fine-tuned model answers for a file"
TEXT = """\
Let a fine-tuned model guess for every example of a file. The guesses go to standard output as
tab-separated text; where the file has labels, the scores are shown.
"""
EXAMPLES = """\
examples:
  minibert predict runs/sentiment reviews.tsv
  minibert predict runs/both reviews.tsv --task sst2
      of a model of several tasks the one that is called sst2
  minibert predict runs/early reviews.tsv --speed 0.5
      of a model of compress early-exit: a text leaves after the first layer that is sure of it
  minibert predict runs/sentiment reviews.txt --out guesses.tsv
      one text a line is enough; where the file has labels, the scores are shown
"""


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.finetuning import command

    return command.run_predict(args)
