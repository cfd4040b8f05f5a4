"""``minibert info``."""

from __future__ import annotations

import argparse

from minibert.commands import terminal

SUMMARY = "parameters and memory of a model, part by part"
TEXT = """\
Show the parameters of a model by part, and the memory that using and training it takes; or how
long training it would take on several machines, and what each would hold.
"""
EXAMPLES = """\
examples:
  minibert info base --batch 32 --length 128
  minibert info large --length 512
  minibert info albert/xxlarge
  minibert info runs/2026-11-22-221903
  minibert info base --ranks 64 --network 10Gb/s
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="tiny, mini, small, medium, base or large, of a relative with "
                        "its name before it (roberta/base); a config.json; or a folder with one (default: the model that comes "
                        "with minibert)")
    parser.add_argument("--batch", type=int, metavar="N", help="texts at a time (default: 32; with --ranks 256)")
    parser.add_argument("--length", type=int, metavar="T", help="tokens of each text (default: 128, or what the model can read)")
    parser.add_argument("--vocab-size", type=int, metavar="V", help="another size of the vocabulary")
    parser.add_argument("--threads", type=int, metavar="N", help="cores to train on (default: all)")
    parser.add_argument("--ranks", type=int, metavar="N", help="how long training would take on so many machines like this one, "
                        "whose speed is measured for it")
    parser.add_argument("--network", default="10Gb/s", metavar="SPEED", help="of each machine, with --ranks (default: 10Gb/s)")
    parser.add_argument("--ema", action="store_true", help="with an average of the weights, as train --ema keeps it")
    parser.add_argument("--adafactor", action="store_true", help="trained by train --optimiser adafactor, which keeps less than "
                        "Adam")
    parser.add_argument("--recompute", action="store_true", help="layers are computed again in the backward pass, as by train "
                        "--recompute")
    terminal.add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert import info
    from minibert.workers import available_cores

    if args.model is None:
        from minibert.pretrained import bundled

        name, config = "bundled model", info.config_of(str(bundled()))
    else:
        name, config = args.model, info.config_of(args.model, args.weights, args.heads)
    if args.vocab_size is not None:
        config = config.replace(vocab_size=args.vocab_size)
    threads = available_cores() if args.threads is None else args.threads
    batch = (32 if args.ranks is None else 256) if args.batch is None else args.batch
    if args.ranks is None:
        print(info.report(config, name, batch, args.length, threads, args.weights, average=args.ema,
                          factored=args.adafactor, recompute=args.recompute))
        return 0
    for option in ("ema", "adafactor", "recompute"):
        if getattr(args, option):
            raise ValueError(f"--{option}: the plan of --ranks is for Adam without an average of the weights, whose layers keep "
                             "what they compute; leave it out")
    from minibert.training import planning
    from minibert.workers import keep_freed_memory

    keep_freed_memory()
    length = min(128, config.max_tokens) if args.length is None else args.length
    print(planning.report(config, name, args.ranks, args.network, batch, length, threads))
    return 0
