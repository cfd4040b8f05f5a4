"""``minibert prepare``."""

from __future__ import annotations

import argparse

from minibert.training.course import add_ranks
from minibert.training.options import FAMILIES, OPTIONS, add_examples, add_text

SUMMARY = "text cut into tokens once, for many runs; or examples, in formats that others read"
TEXT = """\
Cut text into tokens, on all cores, and write them to shards: minibert train --corpus DIR then
begins at once and reads them by windows, so that its memory does not depend on how much there is.
Texts are UTF-8 files, .gz and .zst, columns of .jsonl and .parquet, folders of these, or - for
standard input. Interrupted, the same command goes on; where text was added or has changed, it makes
what is new. Some documents are held out, always the same ones.

With --format, examples instead: pairs with hidden words, in the reference's tf.Example records,
NVIDIA's HDF5 shards or LDDL's Parquet, the held-out documents in files of their own. minibert train
learns from such a folder too, and from what others wrote.
"""
EXAMPLES = """\
examples:
  minibert prepare books/ more.txt.gz --out DATA
      shards, and the vocabulary that was learned from a sample of the text
  minibert prepare pages.jsonl --column body --vocab bert-base-uncased --out DATA
      a column of a table, with the tokenizer of a folder
  mpiexec -n 4 python -m minibert prepare books/ --out DATA
      four processes, on one machine or on several that share a folder; the same files
  minibert train --corpus DATA
  minibert prepare book.txt --max-length 128 --format tfrecord --out examples
      tf.Example records, ten versions of the text, and the vocabulary that was learned from it
  minibert prepare book.txt --format lddl --no-masks --bin-size 32 --out examples
      Parquet files by length; the masks are drawn while training
  minibert train --corpus tf_examples.tfrecord --vocab vocab.txt --max-length 128
      examples that create_pretraining_data.py wrote
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts, as --corpus names them")
    text = add_text(parser)
    text.add_argument("--column", metavar="NAME", help="of tables: where the text stands (default: text)")
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
    files.add_argument("--format", choices=("shards", "tfrecord", "tfrecord.gz", "hdf5", "lddl"), default="shards", help="shards "
                       "of tokens; or examples: tf.Example records of the reference, the same compressed, NVIDIA's HDF5 shards "
                       "(needs h5py), or LDDL's Parquet (needs pyarrow) (default: shards)")
    files.add_argument("--out", metavar="DIR", required=True, help="folder to write; it must not exist yet, or hold shards to go "
                       "on with")
    files.add_argument("--workers", type=int, metavar="N", help="processes that cut text; the shards are the same for any number "
                       "(default: one a core, which ranks share)")
    add_ranks(files)
    files.add_argument("--shard-size", type=int, metavar="N", help="examples of a file (default: 50,000)")
    files.add_argument("--max-predictions", type=int, metavar="N", help="room for so many hidden tokens of an example, in "
                       "tfrecord and hdf5 (default: 20, or 15%% of --max-length if that is more)")
    files.add_argument("--bin-size", type=int, metavar="N", help="files by length, each for a range of so many tokens (lddl)")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert import ranks
    from minibert.training import prepare

    with ranks.of(args.ranks) as all_ranks:
        return prepare.run(args, all_ranks)
