"""``minibert finetune``."""

from __future__ import annotations

import argparse

from minibert.finetuning.options import add_arguments

__all__ = ["EXAMPLES", "SUMMARY", "TEXT", "add_arguments", "run"]

SUMMARY = "a model learns a task: classify, regress, tag, qa, choice, rank, embed, or several"
TEXT = """\
A trained model learns a task from labelled examples: a head is put on it, and all of it is trained
a little further. Looks at the data first, keeps the model that is best on the dev examples, and
writes a folder with it, its scores, its guesses and its errors.
"""
EXAMPLES = """\
examples:
  minibert finetune classify --train train.tsv --dev dev.tsv --out runs/sentiment
      the model that comes with minibert learns to tell classes apart
  minibert finetune tag --model DIR --train train.conll --dev dev.conll --out runs/names --seeds 5
      a BERT checkpoint learns to tag words, five times: mean and spread
  minibert finetune classify --multi-label --train topics.jsonl --out runs/topics
      each text may have several labels, written sport|politics or ["sport", "politics"]
  minibert finetune multi --task classify sst2/train.tsv --task regress sts.tsv --out runs/both
      two tasks share one model, each with its head; minibert predict runs/both FILE --task sst2
  minibert finetune embed --train pairs.tsv --out runs/vectors
      texts that belong together get near vectors, for minibert search
  minibert finetune classify --train train.tsv --dev dev.tsv --out runs/scratch --from-scratch
      the same sizes with fresh weights: what was pre-training worth?
  minibert finetune --resume runs/sentiment
      go on where a run was interrupted (Ctrl-C saves it)
"""


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert import ranks
    from minibert.finetuning import command

    with ranks.of(args.ranks) as all_ranks:
        return command.run(args, all_ranks)
