"""``minibert prepare``."""

from __future__ import annotations

import argparse

from minibert.training.options import FAMILIES, OPTIONS, add_examples, add_text

SUMMARY = "text as examples for pre-training, in a format that others read"
TEXT = """\
Cut text into pairs, hide words, and write the examples to files: the reference's tf.Example
records, NVIDIA's HDF5 shards, or LDDL's Parquet. Some documents are held out first, in files of
their own. minibert train --corpus DIR learns from such a folder, and from what others wrote.
"""
EXAMPLES = """\
examples:
  minibert prepare --corpus book.txt --max-length 128 --out examples
      tf.Example records, ten versions of the text, and the vocabulary that was learned from it
  minibert train --corpus examples --max-length 128
  minibert prepare --corpus book.txt --format lddl --no-masks --bin-size 32 --out examples
      Parquet files by length; the masks are drawn while training
  minibert train --corpus tf_examples.tfrecord --vocab vocab.txt --max-length 128
      examples that create_pretraining_data.py wrote
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_text(parser)
    examples = parser.add_argument_group("pairs and masks")
    OPTIONS.add(examples, "family", f"whose kind of tokenizer, and of examples: {', '.join(FAMILIES)}", choices=FAMILIES,
                metavar="NAME")
    add_examples(examples)
    OPTIONS.add(examples, "dupe_factor", "how many versions of the text, with pairs and masks of their own", type=int,
                metavar="N")
    OPTIONS.add(examples, "seed", "everything random follows from it", type=int, metavar="N")
    examples.add_argument("--no-masks", dest="masks", action="store_false", help="hide nothing: the masks are drawn while "
                          "training (lddl)")
    files = parser.add_argument_group("files")
    files.add_argument("--format", choices=("tfrecord", "tfrecord.gz", "hdf5", "lddl"), default="tfrecord", help="tf.Example "
                       "records of the reference, the same compressed, NVIDIA's HDF5 shards (needs h5py), or LDDL's Parquet "
                       "(needs pyarrow) (default: tfrecord)")
    files.add_argument("--out", metavar="DIR", required=True, help="folder to write; must not exist yet")
    files.add_argument("--shard-size", type=int, metavar="N", help="examples of a file (default: 50,000)")
    files.add_argument("--max-predictions", type=int, metavar="N", help="room for so many hidden tokens of an example, in "
                       "tfrecord and hdf5 (default: 20, or 15%% of --max-length if that is more)")
    files.add_argument("--bin-size", type=int, metavar="N", help="files by length, each for a range of so many tokens (lddl)")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.training import prepare

    return prepare.run(args)
