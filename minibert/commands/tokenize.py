"""``minibert tokenize``."""

from __future__ import annotations

import argparse
from pathlib import Path

from minibert.commands import terminal

SUMMARY = "see how text becomes tokens and ids"
TEXT = """\
Show how text becomes the tokens and ids that a model reads.

The ids are those of transformers, but for characters that Unicode has only known for some
years, and for one letter: where capitals are lowered, a Greek sigma at the end of a word becomes
a final one (ς), as in Python and in the code that BERT was trained with; the library behind
transformers writes σ there.

Without a TEXT, one line after another is read from the keyboard or a pipe.
"""
EXAMPLES = """\
examples:
  minibert tokenize "Unaffable exceptions!"
  minibert tokenize --offsets "one sentence" --pair "and another"
  minibert tokenize --ids --vocab vocab.txt < text.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="text in quotes; - reads lines of standard input")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", metavar="DIR", help=terminal.MODEL_HELP)
    source.add_argument("--vocab", metavar="FILE", help="a vocab.txt, instead of a model's")
    terminal.add_files(parser, heads=False)
    parser.add_argument("--cased", action="store_true", help="with --vocab: keep capital letters and accents")
    parser.add_argument("--cut", metavar="REGEX", help=terminal.CUT_HELP)
    parser.add_argument("--pair", metavar="TEXT", help="a second text, as for next-sentence prediction")
    parser.add_argument("--literal", action="store_true", help=terminal.LITERAL_HELP)
    parser.add_argument("--ids", action="store_true", help="print nothing but the ids, a line for each text")
    parser.add_argument("--offsets", action="store_true", help="show where in the text each token stands")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.commands import tables
    from minibert.pretrained import bundled
    from minibert.pretrained.folder import tokenizer_of
    from minibert.text import Tokenizer, Vocabulary

    if args.cased and not args.vocab:
        raise ValueError("--cased goes with --vocab: the folder of a model says itself whether it keeps capital letters")
    if args.weights and not args.model:
        raise ValueError("--weights: which file of the folder that --model names; give --model DIR with it")
    if args.ids and args.offsets:
        raise ValueError("--ids prints nothing but the ids, and --offsets more than them: give one of them")
    if args.vocab:
        vocab = Vocabulary.load(args.vocab)
        tokenizer = Tokenizer(vocab, lower_case=not (args.cased or args.cut), cut=args.cut, notes=vocab.notes)
    else:
        tokenizer = tokenizer_of(Path(args.model or bundled()), args.weights, args.cut)
    terminal.note(tokenizer.notes)
    return terminal.each(args.texts, "a text",
                         lambda text: tables.tokens(tokenizer, text, args.pair, args.ids, args.offsets, args.literal))
