"""``minibert convert``."""

from __future__ import annotations

import argparse

from minibert.commands import terminal

SUMMARY = "a checkpoint from one format to another"
TEXT = """\
Write a checkpoint in another format, number for number. Read are safetensors, PyTorch (a model's or
a training run's, new and old), TensorFlow's bert_model.ckpt, Keras, Flax, PaddlePaddle, fairseq,
ONNX and GGUF; written are the four of --to. ONNX runs in any onnxruntime, with the heads for masked
words and next sentences; GGUF runs in llama.cpp, which has BERT's encoder alone. A folder without a
config.json gets one.

A folder without a vocabulary, or one for what is no prose (molecules, proteins), becomes one that
every command opens: --vocab names the vocabulary, --cut says what a token is.
"""
EXAMPLES = """\
examples:
  minibert convert uncased_L-12_H-768_A-12 bert-base
  minibert convert bert-base bert-base-npz --to npz
  minibert convert bert-base bert-base-onnx --to onnx
  minibert convert downloads bert --weights last.ckpt --heads 12
  minibert convert AntiBERTy_md_smooth antiberty --vocab vocab.txt --cut characters
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("source", metavar="SRC", help="folder of a BERT checkpoint or of a run")
    parser.add_argument("destination", metavar="DST", help="folder to write, made where there is none")
    parser.add_argument("--to", choices=("safetensors", "npz", "onnx", "gguf"), default="safetensors", help="safetensors, which "
                        "the usual tools open, a NumPy archive with TensorFlow's names, a graph for onnxruntime, or a model for "
                        "llama.cpp (default: safetensors)")
    parser.add_argument("--vocab", metavar="FILE", help="the vocabulary, where the source has none: a vocab.txt, or the "
                        "dict.txt of fairseq")
    parser.add_argument("--cut", metavar="REGEX", help=terminal.CUT_HELP)
    parser.add_argument("--dtype", choices=("float32", "float16", "float64"), help="another type of numbers (default: as it is)")
    terminal.add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.convert import convert
    from minibert.text import Tokenizer

    named = args.vocab is not None or args.cut is not None
    tokenizer = Tokenizer.load(args.vocab or args.source, cut=args.cut) if named else None
    for line in convert(args.source, args.destination, args.to, args.dtype, tokenizer, args.weights, args.heads):
        print(line)
    return 0
