"""The command line. Nothing heavy is imported before a command runs, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from minibert import ranks
from minibert.commands.terminal import sentence

#: In the order in which ``--help`` names them; each is a module of ``minibert.commands``.
COMMANDS = ("train", "prepare", "fill-mask", "generate", "tokenize", "finetune", "compress", "predict", "info", "embed", "search",
            "score", "convert", "world", "analyse", "demo")
DESCRIPTION = """\
BERT written out by hand in NumPy: train one, question it, look inside.

commands:
"""
EXAMPLES = """\
examples:
  minibert fill-mask "the [MASK] statement raises an exception."
  minibert train
  minibert COMMAND --help

"minibert" is short for "python -m minibert", which runs where the command is not on the path.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. The exit code: 0 done; 2 for input that cannot be used; 1 for a failure; 130 for Ctrl-C."""
    _safe_output()
    args, unknown = parser().parse_known_args(argv)
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the usage of the command, not of all
    try:
        _alone_where_it_must(args)
        code = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read our output has seen enough; the interpreter flushes once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if args.debug:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, RuntimeError, ArithmeticError, MemoryError) as error:
        if args.debug:
            raise
        print(f"minibert {args.command}: {sentence(error)}", file=sys.stderr)
        return 2 if isinstance(error, (ValueError, TypeError, OSError)) else 1


def _alone_where_it_must(args: argparse.Namespace) -> None:
    """ValueError for a command that knows no ranks and was started as several."""
    if getattr(args, "ranks", None) not in ranks.KINDS and (size := ranks.launched()) > 1:
        with ranks.of():
            raise ValueError(f"this command is for one process, and mpiexec started {size}; start it without mpiexec")


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    modules = {name: import_module(f"minibert.commands.{name.replace('-', '_')}") for name in COMMANDS}
    listed = "".join(f"  {name:<11}  {module.SUMMARY}\n" for name, module in modules.items())
    top = argparse.ArgumentParser("minibert", usage="minibert [-h] [--version] COMMAND ...", description=DESCRIPTION + listed,
                                  epilog=EXAMPLES, formatter_class=_Help, allow_abbrev=False)
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="minibert", help=argparse.SUPPRESS)
    for name, module in modules.items():
        sub = commands.add_parser(name, description=module.TEXT, epilog=module.EXAMPLES, formatter_class=_Help,
                                  allow_abbrev=False)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=module.run, parser=sub)
        module.add_arguments(sub)
    return top


def _safe_output() -> None:
    """A console that cannot show a character shows a question mark instead of stopping the program."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"max_help_position": 28, **options})


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and leave")

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> None:
        from minibert import __version__

        print(f"minibert {__version__}")
        parser.exit()
