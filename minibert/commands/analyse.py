"""``minibert analyse``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibert.commands import terminal

if TYPE_CHECKING:
    from minibert.analysis.analyses import Found
    from minibert.analysis.subject import Subject

SUMMARY = "what papers found in BERT, measured on a model, with controls"
TEXT = """\
Measure on a model what a paper says of BERT: a table with controls and the paper's figure, a
verdict, a picture and a JSON file. --list names the analyses.

Without a model: a small one of a generated language, where everything is known. It is trained
the first time, in some minutes, and kept. With a model of yours, --data is what it reads:
CoNLL-U, where words have parts of speech and heads, or plain text.
"""
EXAMPLES = """\
examples:
  minibert analyse --list
  minibert analyse trees
  minibert analyse contextual bert-base --data en_ewt-ud-dev.conllu
  minibert analyse --all --quick --out report
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the analysis")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="folder of a run or of a BERT checkpoint (default: a small "
                        "model of the generated language)")
    parser.add_argument("--list", action="store_true", help="name all analyses")
    parser.add_argument("--all", action="store_true", help="one after the other, without a NAME")
    parser.add_argument("--scoreboard", action="store_true", help="all of them, with several seeds, as one page; a run that "
                        "was cut off goes on where it stopped")
    parser.add_argument("--real", metavar="DIR", help="with --scoreboard: a real encoder, which reads --data")
    parser.add_argument("--sequences", metavar="DIR", help="with --scoreboard: a real masked-word model of what is no prose, "
                        "for what asks nothing of English: a folder as convert --cut writes it")
    parser.add_argument("--sequence-data", metavar="FILE", help="what --sequences reads, one in a line")
    parser.add_argument("--data", metavar="FILE", help="CoNLL-U or plain text, in UTF-8 (default: the generated language)")
    parser.add_argument("--other", metavar="DIR", help="another training of the same architecture, for what compares two")
    parser.add_argument("--world", choices=("small", "full"), default="small", help="without a model: which of the generated "
                        "languages (default: small)")
    parser.add_argument("--steps", type=int, metavar="N", help="without a model: how long that of the generated language is "
                        "trained (default: 3000, full 6000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="everything random follows from it (default: 0)")
    parser.add_argument("--quick", action="store_true", help="less data, for a first look")
    parser.add_argument("--out", metavar="PATH", help="folder for pictures and JSON (default: analyses); with --scoreboard "
                        "the page (default: SCOREBOARD.md)")
    terminal.add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code."""
    from minibert.analysis import analyses

    if args.all and args.model:
        raise ValueError(f"--all takes no NAME; got {args.name!r}")
    if args.all:
        args.name, args.model = None, args.name
    if bool(args.name) + args.list + args.all + args.scoreboard != 1:
        raise ValueError("give the NAME of an analysis, --all, --scoreboard or --list: one of them")
    if args.real and not args.scoreboard:
        raise ValueError("--real goes with --scoreboard; another analysis takes the folder of its MODEL behind its NAME")
    if (args.sequences or args.sequence_data) and not args.scoreboard:
        raise ValueError("--sequences and --sequence-data go with --scoreboard; another analysis takes the folder of its MODEL "
                         "behind its NAME, and --data")
    if args.scoreboard and (args.seed or args.other):
        raise ValueError("--scoreboard has seeds and second trainings of its own: leave --seed and --other out")
    if args.model and args.steps is not None:
        raise ValueError(f"--steps is for the model of the generated language, and {args.model} is trained: leave one of them "
                         "out")
    if (args.weights or args.heads) and not args.model:
        raise ValueError("--weights and --heads are for the folder of the MODEL behind the NAME; without one, leave them out")
    if args.steps is not None and args.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {args.steps}")
    if args.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {args.seed}")
    if args.list:
        for row in analyses.ROWS:
            print(f"{row.number:2}  {row.asks}")
            for name in row.names:
                print(f"    {name:<15}  {analyses.module(name).CLAIM}")
        return 0
    names = analyses.NAMES if args.all or args.scoreboard else (args.name,)
    analyses.module(names[0])  # a wrong name is said before anything is trained
    if args.scoreboard:
        return _scoreboard(args)
    out = args.out or "analyses"
    _refuse_no_folder(Path(out))
    subject = _subject(args, names)
    terminal.note(subject.notes)
    if not args.all:
        _show(analyses.run(names[0], subject), out)
        return 0
    return _all(names, subject, out)


def _subject(args: argparse.Namespace, names: tuple[str, ...]) -> Subject:
    import minibert
    from minibert.analysis import analyses, subject, world_model
    from minibert.workers import keep_freed_memory

    keep_freed_memory()
    if args.model is None and args.data:
        raise ValueError("--data is for a model of its language: name one (MODEL); without one, the generated language is read")
    bert = (minibert.load(args.model, weights=args.weights, heads=args.heads) if args.model
            else world_model.load(args.world, args.seed, args.steps))
    terminal.note(bert.notes)
    other = minibert.load(args.other) if args.other else None
    if not args.model and not args.other and any(getattr(analyses.module(name), "COMPARES", False) for name in names):
        other = world_model.load(args.world, args.seed + 1, args.steps)
    return subject.of(bert, args.data, args.seed, args.quick, other)


def _all(names: tuple[str, ...], subject: Subject, out: str) -> int:
    """All analyses; one that cannot be done here says why, and the others go on."""
    from tqdm import tqdm

    from minibert.analysis import analyses

    verdicts: dict[str, Any] = {}
    try:
        with tqdm(names, unit="analysis", disable=None, dynamic_ncols=True, leave=False) as bar:
            for name in bar:
                bar.set_postfix_str(name)
                try:
                    found = analyses.run(name, subject)
                except ValueError as error:
                    verdicts[name] = f"not measured: {error}"
                    continue
                with bar.external_write_mode():
                    _show(found, out)
                    print()
                verdicts[name] = f"{found.verdict} ({found.seconds:.0f} s)"
    finally:  # of those that were done, where Ctrl-C ends it
        for name, said in verdicts.items():
            print(f"{name:<15}  {said}")
    return 0


def _scoreboard(args: argparse.Namespace) -> int:
    from functools import partial

    from tqdm import tqdm

    from minibert.analysis import scoreboard
    from minibert.workers import keep_freed_memory

    keep_freed_memory()
    page = Path(args.out or "SCOREBOARD.md")
    _refuse_no_page(page)
    plan = scoreboard.Plan(args.world, args.real, args.data, quick=args.quick, steps=args.steps, sequences=args.sequences,
                           sequence_data=args.sequence_data)

    def told(unit: Any, record: Any) -> None:
        refused = record.get("refused")
        said = f"not measured: {refused}" if refused else f"{record['verdict']} ({record['seconds']:.0f} s)"
        with tqdm.external_write_mode():
            print(f"{unit.name}, {unit.side}, seed {unit.seed}: {said}", flush=True)

    scoreboard.measure(plan, page, told, partial(tqdm, unit="run", disable=None, dynamic_ncols=True, leave=False))
    print(f"{page}, and what was measured in {page.with_suffix('.jsonl')}")
    return 0


def _refuse_no_folder(path: Path) -> None:
    """Before the work: ValueError where no folder can stand at ``path``."""
    above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not above.is_dir():
        raise ValueError(f"--out {path}: {above} is a file; expected a folder for pictures and JSON: choose another name")


def _refuse_no_page(path: Path) -> None:
    """Before the work: ValueError where no page can be written to ``path``."""
    if path.is_dir() or path.suffix == ".jsonl":
        what = "a folder" if path.is_dir() else "the name of the records"
        raise ValueError(f"--out {path} is {what}; expected a name for the page, such as SCOREBOARD.md")
    if not (folder := path.absolute().parent).is_dir():
        raise ValueError(f"--out {path}: there is no folder {folder}; make it first, or choose another name")


def _show(found: Found, out: str) -> None:
    """Print the table, write the picture and the JSON file."""
    from json import dumps

    from minibert import plots
    from minibert.files import write_atomically

    print(found)
    sys.stdout.flush()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    plots.save(found.figure(), folder / f"{found.name}.png")
    text = dumps(found.json(), ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(folder / f"{found.name}.json", f"{text}\n")
    print(f"{folder / found.name}.png, .json")
