"""``minibert prepare``: what is made once of text. Here are examples, for others as well; shards of tokens: ``prepare_text``.

::

    read the corpus -> learn a vocabulary -> hold documents out -> pairs, and their masks -> files, and the tokenizer beside them
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from minibert.data.prepared.instances import Instance, Padding
from minibert.data.prepared.shards import FORMATS, KEPT_ASIDE
from minibert.ranks import ALONE, Ranks
from minibert.ranks.begin import told_alike
from minibert.tasks import batches
from minibert.tasks.corruption import CORRUPTIONS
from minibert.tasks.prepared import instances
from minibert.tasks.segments import SEGMENTS
from minibert.training import command, prepare_text
from minibert.training.objectives import asked, fitting, further
from minibert.training.options import OPTIONS, Settings, settings_of
from minibert.training.runs import new_folder
from minibert.training.start import start_of

SHARDS = "shards"
KINDS = {**FORMATS, "tfrecord.gz": FORMATS["tfrecord"]}  # by --format
SHARD = 50_000  # examples of a file
MASKS = 20  # at most so many are to be guessed in an example, as in the reference, or as many as 15 % of a longer one


def run(args: argparse.Namespace, ranks: Ranks = ALONE) -> int:
    """Do what the arguments of ``prepare`` ask for. The exit code."""
    if args.texts:
        if hasattr(args, "corpus"):
            raise ValueError("--corpus names texts, and so does what stands before it: give one of them")
        args.corpus = args.texts
    told_alike(ranks, args)
    if args.format == SHARDS:
        return prepare_text.run(args, _of_text(args), ranks)
    if ranks.size > 1:
        raise ValueError(f"--format {args.format} is made by one process: start it without mpiexec, or leave it out for shards")
    for name in ("workers", "column"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} is for shards of text, and --format {args.format} asks for examples: leave it out")
    args.static_masks = True
    settings = settings_of(args)
    start = start_of(settings)
    settings, tokens = fitting(start.config, settings), settings.max_length
    module = KINDS[args.format]
    hides = asked(start.config, settings)
    if asked_besides := further(settings):
        raise ValueError(f"the files hold hidden words, and of a pair whether it is one, but nothing of "
                         f"{' and '.join(sorted(asked_besides))}: leave out what asks for it (--pairs, --words)")
    if args.masks and hides["corruption"] not in {way.module for way in CORRUPTIONS.values()}:
        asks = f"--pairs {settings.pairs}" if SEGMENTS[settings.pairs or "next"].corruption else f"--family {settings.family}"
        raise ValueError(f"{asks} does not hide words beforehand, which the files hold: leave it out, or train on the text")
    if args.format != "lddl" and not args.masks:
        raise ValueError(f"--no-masks: the files of {args.format} hold masks; give --format lddl, or leave it out")
    if args.format != "lddl" and args.bin_size:
        raise ValueError("--bin-size is for files by length, which --format lddl has; leave it out")
    if args.format == "lddl" and args.max_predictions is not None:
        raise ValueError("--max-predictions is room in the files of tfrecord and hdf5, and those of lddl have none; leave it out")
    if not args.masks and (settings.masking or settings.whole_word):
        raise ValueError("--no-masks hides nothing, and --masking and --whole-word say what is hidden: give one of them")
    for name in ("shard_size", "max_predictions", "bin_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    out = new_folder(args.out, "")
    padding = Padding(tokens, args.max_predictions or max(MASKS, math.ceil(0.15 * tokens)))
    text = command.read_text(settings, print, start.tokenizer)
    text.tokenizer.save(out)
    for name, documents, versions in (("train", text.train, settings.dupe_factor), (KEPT_ASIDE, text.held_out, 1)):
        stream = batches.Stream(documents, text.tokenizer, max_length=tokens, batch_size=1, seed=settings.seed, **hides)
        count = files = 0
        for ending, shard in _shards(instances(stream, versions, args.masks), args.shard_size or SHARD, args.bin_size):
            path = out / f"{name}-{files:05}{module.ENDING}{'.gz' * args.format.endswith('.gz')}{ending}"
            module.write(path, shard, text.tokenizer.vocab, padding)
            count, files = count + len(shard), files + 1
        print(f"{name}: {count:,} examples in {files:,} file{'s' * (files != 1)}")
    family = ("--family", settings.family) if settings.family != type(settings).family else ()
    print(f"The examples are in {out}, with the tokenizer beside them. To train on them:\n"
          f"  {command.command('python', '-m', 'minibert', 'train', '--corpus', out, '--max-length', tokens, *family)}")
    return 0


def _of_text(args: argparse.Namespace) -> Settings:
    """The settings where the files are to be shards; ValueError for what is asked of examples."""
    of_examples = {**dict.fromkeys(OPTIONS.groups["pairs and masks"] - {"family", "seed"}),
                   "masks": True, "shard_size": None, "max_predictions": None, "bin_size": None}
    for name, default in of_examples.items():
        if getattr(args, name, default) != default:
            option = "--no-masks" if name == "masks" else OPTIONS.typed(name, getattr(args, name))
            raise ValueError(f"{option} is for examples, and shards hold text, of which examples are made while training: give "
                             "--format tfrecord, hdf5 or lddl with it, or leave it out")
    args.column = args.column or "text"
    return settings_of(args)


def _shards(found: Iterable[Instance], size: int, bin_size: int | None) -> Iterator[tuple[str, list[Instance]]]:
    """The examples of each file in turn, and what its name ends in: with bins, ``_`` and the number of that for its lengths."""
    bins: dict[str, list[Instance]] = defaultdict(list)
    for one in found:
        ending = f"_{(len(one.ids) - 1) // bin_size}" if bin_size else ""
        bins[ending].append(one)
        if len(bins[ending]) == size:
            yield ending, bins.pop(ending)
    yield from sorted(bins.items())
