"""``minibert convert``."""

from __future__ import annotations

import argparse

SUMMARY = "a checkpoint from one format to another"
TEXT = """\
Write a checkpoint in another format, number for number. Read are safetensors, pytorch_model.bin
(new and old) and TensorFlow's bert_model.ckpt; written are the two of --to.
"""
EXAMPLES = """\
examples:
  minibert convert uncased_L-12_H-768_A-12 bert-base
  minibert convert bert-base bert-base-npz --to npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("source", metavar="SRC", help="folder of a BERT checkpoint or of a run")
    parser.add_argument("destination", metavar="DST", help="folder to write, made where there is none")
    parser.add_argument("--to", choices=("safetensors", "npz"), default="safetensors", help="safetensors, which the usual tools "
                        "open, or a NumPy archive with TensorFlow's names (default: safetensors)")
    parser.add_argument("--dtype", choices=("float32", "float16", "float64"), help="another type of numbers (default: as it is)")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.convert import convert

    for line in convert(args.source, args.destination, args.to, args.dtype):
        print(line)
    return 0
