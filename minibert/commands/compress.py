"""``minibert compress``."""

from __future__ import annotations

import argparse

from minibert.compression.options import add_arguments

__all__ = ["EXAMPLES", "SUMMARY", "TEXT", "add_arguments", "run"]

SUMMARY = "a smaller model learns from a larger one: distil, theseus, mobile, early-exit, prune, vocabulary, quantise"
TEXT = """\
Makes a smaller model of a larger one, its teacher. The student learns from texts, as in minibert
train, or with --train from labelled examples, as in minibert finetune, and is a plain model in a
folder of its own in the end.
"""
EXAMPLES = """\
examples:
  minibert compress distil --teacher runs/mini --corpus book.txt --out runs/student
      half of the layers learn the answers and the states of a model that guesses masked words
  minibert compress distil --teacher DIR --layers 0,2,4,7,9,11 --states 1 --attentions 1
      begun with these layers; hidden states and attention are compared layer by layer as well
  minibert compress distil --teacher runs/sentiment --train train.tsv --dev dev.tsv --layers 3
      a classifier with three layers from a larger one
  minibert compress theseus --teacher runs/sentiment --train train.tsv --dev dev.tsv
      one layer takes the place of two, more and more often, until the old ones are gone
  minibert compress early-exit --teacher runs/sentiment --train train.tsv --out runs/early
      a branch after each layer learns what the model says, for predict --speed
  minibert compress mobile --teacher runs/mini --corpus book.txt --steps 6000
      MobileBERT's blocks, a quarter as wide inside, learn one after the other what the teacher's make of a text
  minibert compress prune --teacher runs/sentiment --train train.tsv --dev dev.tsv --heads 0.4 --out runs/fewer
      without the least important heads; with --epochs 1 it learns on afterwards
  minibert compress vocabulary --teacher DIR --corpus reports/ --out runs/reports
      the table of words holds the pieces that these texts use, and single characters
  minibert compress quantise --teacher runs/sentiment --out runs/small
      matrices in 8 bits: a quarter of the file; when it is open, it is as large and as fast as before
  minibert compress report runs/sentiment runs/student --dev dev.tsv --out runs/report
      parameters, memory, products, texts a second and accuracy side by side
  minibert compress --resume runs/student
      go on where a run was interrupted (Ctrl-C saves it)
"""


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.compression import command

    return command.run(args)
