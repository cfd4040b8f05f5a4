"""``minibert world``."""

from __future__ import annotations

import argparse

from minibert.commands import terminal

SUMMARY = "a generated language whose truth is known: samples, gold, the best guess"
TEXT = """\
A small English made by a grammar. For every word it is known what it is and what it hangs on, and
for every hidden word how likely each word is, given all that can be seen: nobody can guess better.

Without --out: some documents; with texts, the best guesses for their [MASK], with blanks around
all words and marks; with --floor, the best possible loss of masked words.
With --out: a folder with text to train on, its vocabulary, gold as CoNLL-U and JSON Lines, and
files for every task of minibert finetune, each with splits.
"""
EXAMPLES = """\
examples:
  minibert world
  minibert world "no king sees [MASK] dogs ."
  minibert world --size small --floor
  minibert world --out myworld --tokens 200000 --attractors 2
  minibert finetune classify --train myworld/tasks/nli/train.tsv --dev myworld/tasks/nli/dev.tsv
"""
_DIALS = {  # setting -> its kind, what it is
    "depth": (int, "relative clauses within one another"), "topics": (int, "number of topics"),
    "words": (int, "different words, at least"),
    "names": (int, "names for men and for women each"), "zipf": (float, "exponent of the frequencies of words of a kind"),
    "focus": (float, "share of the content words that belong to the topic"),
    "skew": (float, "how much people's work says of their gender, from 0 to 1"),
    "homographs": (float, "weight of words with several senses"),
    "attractors": (float, "weight of nouns with a preposition behind them"),
    "relatives": (float, "weight of relative clauses"), "comparatives": (float, "weight of comparisons"),
    "facts": (float, "weight of sentences that state numbers, which stay true in a document"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="text in quotes with one [MASK]; - reads lines of "
                        "standard input")
    parser.add_argument("--size", choices=("small", "full"), default="full", help="small: one that a tiny model nearly "
                        "masters (default: full)")
    parser.add_argument("--out", metavar="DIR", help="write text, gold and tasks to a new folder")
    parser.add_argument("--tokens", type=int, metavar="N", help="words to make (default: 1,000,000 with --out, else 60)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that write; the files are the same for any number "
                        "(default: one a core)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="everything random follows from it (default: 0)")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="guesses for a [MASK] (default: 5)")
    parser.add_argument("--floor", action="store_true", help="the best possible loss, of single sentences and "
                        "of 62 words at a time")
    dials = parser.add_argument_group("dials", "a weight of 1 is that of the size")
    for name, (kind, what) in _DIALS.items():
        dials.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, metavar="N" if kind is int else "X", help=what)
    dials.add_argument("--artefacts", type=float, default=0.0, metavar="SHARE", help="of wrong choices that give themselves away "
                       "(default: 0)")
    dials.add_argument("--noise", type=float, default=0.0, metavar="SHARE", help="of the labels of the train files "
                       "that are wrong: each is by this chance another one; other splits, bias, which has no train, and gold "
                       "have none (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.workers import available_cores
    from minibert.world import World, saved
    from minibert.world.maker import Flaws

    if sum(map(bool, (args.texts, args.out, args.floor))) > 1:
        raise ValueError("give texts, --out or --floor: one of them at a time")
    if args.top < 1 or (args.tokens is not None and args.tokens < 1) or args.seed < 0:
        raise ValueError(f"--top and --tokens must be at least 1, --seed at least 0; got --top {args.top}, --tokens "
                         f"{args.tokens}, --seed {args.seed}")
    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {args.workers}")
    for name in ("artefacts", "noise"):
        if not 0 <= getattr(args, name) <= 1:
            raise ValueError(f"--{name} is a share from 0 to 1, got {getattr(args, name)}")
    world = World.of(args.size, **{name: getattr(args, name) for name in _DIALS if hasattr(args, name)})
    if args.out:
        with terminal.progress() as progress:
            written = saved.save(world, args.out, args.tokens or 1_000_000, args.seed, Flaws(args.artefacts, args.noise),
                                 progress, args.workers or available_cores())
        for name, what in written.items():
            print(f"{args.out}/{name}: {what}")
    elif args.floor:
        print(f"single sentences: {world.floor(seed=args.seed + 1)}")
        if world.language.exact:
            print(f"62 words of a document: {world.floor(300, room=62, seed=args.seed + 1)}")
        else:
            told, _, alone = world.bracket(seed=args.seed + 1)
            print(f"62 words of a document: the best possible loss lies between {told:.3f} and {alone:.3f} nats; facts have too "
                  "many states to sum over")
    elif args.texts:
        return terminal.each(args.texts, "a text", lambda text: "\n".join(
            f"{p:7.2%}  {word}" for word, p in world.guess(text, args.top)))
    else:
        for document in world.documents(args.tokens or 60, args.seed):
            print(*world.sentences(document), "", sep="\n")
    return 0
