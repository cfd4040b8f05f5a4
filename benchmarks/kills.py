"""Hundreds of runs killed at random moments and resumed: is anything lost, is the result another one, does anything stay behind?

    python -m benchmarks.kills                           # 300 kills of train, 300 of finetune
    python -m benchmarks.kills train --count 50 --seed 7

A tiny run is made once without interruption. Then it is begun again and again in processes that are killed (SIGKILL, no farewell)
after a random part of its time, inside a write where it so happens; each is resumed, perhaps killed again, and so on to its end.
After every kill: the state on the disk is at least the last one whose save had ended, and where there is a model it opens. At the
end: every file is that of the uninterrupted run, byte for byte but for the seconds that were measured, and there is no other.

All processes are copies of one that has imported everything, so that a kill takes a fraction of a second. Pictures are written as
a few bytes, the same way as real ones: drawing them would take longer than all the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import common
from minibert import (
    api,  # noqa: F401 - commands import it late, and every copy would anew
    files,
    plots,
    pretrained,
)
from minibert.finetuning import command as finetune
from minibert.finetuning import options as finetune_options
from minibert.finetuning import saved
from minibert.model import pretraining
from minibert.training import checkpoint
from minibert.training import command as train
from minibert.training import options as train_options
from tests import tiny_model

TRAIN = ("--layers 1 --hidden 32 --heads 2 --max-length 32 --vocab-size 120 --batch-size 4 --micro-batch-tokens 64 "
         "--held-out 0.1 --dropout 0.1 --steps 8 --eval-every 2").split()
FINETUNE = "classify --epochs 2 --batch-size 8 --micro-batch-tokens 64 --eval-every 2 --learning-rate 0.01".split()
HERE = ["--threads", "1", "--device", "cpu"]
SECONDS = re.compile(r'"seconds": [\d.]+|\d+ min \d+ s')


class Command(NamedTuple):
    """What is killed: ``run(arguments)``, how its options are read, the function that saves its state, and how one is read."""

    run: Callable[[argparse.Namespace], int]
    options: Any  # module
    begin: list[str]
    saver: tuple[Any, str]  # (module, name); called with the step in its last argument
    step: Callable[[Path], int]  # of the state in a folder
    load: Callable[[Path], Any]  # the model


def commands(folder: Path) -> dict[str, Command]:
    """The two commands, on small texts and a small model that are made in ``folder``."""
    rng = random.Random(0)
    words = [start + end for start in ("ra", "so", "ti", "vu") for end in ("ba", "do", "ki", "lu", "me")]
    documents = ["\n".join(" ".join(rng.choices(words[i % 4 * 5:][:5], k=7)) + " ." for _ in range(6)) for i in range(30)]
    (folder / "corpus.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    for name, count in (("train", 24), ("dev", 8)):
        rows = [" ".join(rng.choices("cdefghij", k=5)) + f" {'ab'[i % 2]}\t{('good', 'bad')[i % 2]}\n" for i in range(count)]
        (folder / f"{name}.tsv").write_text("".join(rows), encoding="utf-8")
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, initializer_range=0.15)
    pretrained.save(folder / "model", config, pretraining.initial_parameters(config, seed=3), tokenizer)
    return {
        "train": Command(train.run, train_options, [*TRAIN, "--corpus", str(folder / "corpus.txt")], (checkpoint, "save"),
                         lambda run: checkpoint.load(run).progress.step, pretrained.load),
        "finetune": Command(finetune.run, finetune_options, [
            *FINETUNE, "--model", str(folder / "model"), "--train", str(folder / "train.tsv"), "--dev", str(folder / "dev.tsv")],
            (finetune, "save_state"), _finetuning_step, saved.load),
    }


def _finetuning_step(run: Path) -> int:
    if (run / finetune.RESULT).is_file():  # complete, and what is needed to resume is gone
        return 10**9
    with pretrained.tensors.opened(run / checkpoint.FILE) as file:
        return json.loads(file.metadata["finetuning"])["progress"]["step"]


class Ended(NamedTuple):
    """What a process did before it ended: its exit code (None: it was killed), the last step saved, was it killed in a write?"""

    code: int | None
    saved: int | None
    writing: bool


def process(command: Command, arguments: Sequence[str], seconds: float | None = None) -> Ended:
    """Run a command in a copy of this process, and kill it after so many seconds if it still runs."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads are not copied: nobody here needs them
        child = os.fork()
    if not child:
        _work(command, arguments, writing)
    os.close(writing)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # a process that has ended is there until it is asked for its code
    with open(reading, encoding="ascii") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    steps = re.findall(r"\d+", said)
    return Ended(os.WEXITSTATUS(status) if os.WIFEXITED(status) else None, int(steps[-1]) if steps else None,
                 said.count("<") > said.count(">"))


def _work(command: Command, arguments: Sequence[str], pipe: int) -> None:
    """The life of the copy. It says into ``pipe`` when a write begins (<) and ends (>), and which step has been saved."""
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        module, name = command.saver
        original, beside = getattr(module, name), files._beside

        def save(folder: Path, *state: Any) -> None:
            original(folder, *state)
            os.write(pipe, b"%d;" % getattr(state[-1], "progress", state[-1]).step)

        @files.contextmanager
        def watched(path: Path) -> Any:
            os.write(pipe, b"<")
            with beside(path) as temporary:
                yield temporary
            os.write(pipe, b">")

        setattr(module, name, save)
        files._beside = watched
        parser = argparse.ArgumentParser()
        command.options.add_arguments(parser)
        code = command.run(parser.parse_args(arguments))
    finally:
        os._exit(code)


def difference(run: Path, straight: Path) -> str | None:
    """In what a finished run differs from the uninterrupted one; None if in nothing but measured seconds."""
    names, expected = (sorted(path.name for path in folder.iterdir()) for folder in (run, straight))
    if names != expected:
        return f"its files are {', '.join(names)}; expected {', '.join(expected)}"
    for name in names:
        if name != "log.txt" and _timeless(run / name) != _timeless(straight / name):
            return f"{name} is another one"
    return None


def _timeless(path: Path) -> Any:
    """The contents of a file without the seconds that were measured and the name of its folder."""
    if path.name == checkpoint.FILE:
        state = checkpoint.load(path.parent)
        return [x.flat.tobytes() for x in (state.parameters, *state.kept.values())], state.progress.__dict__ | {"seconds": 0}
    if path.name == "metrics.csv":
        head, *rows = (cells for _, cells in files.csv_lines(path.read_text(encoding="utf-8"), path))
        return [[cell for name, cell in zip(head, row) if name != "seconds"] for row in (head, *rows)]
    content = path.read_bytes()
    return SECONDS.sub("", content.decode("utf-8")) if path.suffix in (".json", ".txt") else content


def measure(name: str, command: Command, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """``count`` kills of a command: what they hit, and what went wrong."""
    straight, rng = folder / f"{name}-straight", random.Random(f"{name} {seed}")
    began = time.monotonic()
    if process(command, [*command.begin, *HERE, "--out", str(straight)]).code != 0:
        raise RuntimeError(f"{name} does not run here at all")
    whole = time.monotonic() - began
    found: Counter = Counter()
    failures: list[str] = []
    begun = time.monotonic()
    while found["kills"] < count:
        run = folder / f"{name}-{found['runs']}"
        found["runs"] += 1
        last = None  # the step whose save has ended
        while True:
            resumed = run.exists()
            arguments = ["--resume", str(run)] if resumed else [*command.begin, "--out", str(run)]
            spared = (resumed and rng.random() < 0.5) or found["kills"] >= count
            ended = process(command, [*arguments, *HERE], None if spared else rng.uniform(0, whole))
            if ended.code is not None:
                if ended.code != 0:
                    failures.append(f"run {found['runs']}, {'resumed' if resumed else 'begun'}: status {ended.code}")
                elif what := difference(run, straight):
                    failures.append(f"run {found['runs']}: {what}")
                found["finished"] += ended.code == 0
                break
            found["kills"] += 1
            found["in a write"] += ended.writing
            last = ended.saved if ended.saved is not None else last
            if what := _lost(command, run, last):
                failures.append(f"run {found['runs']}, kill {found['kills']}: {what}")
                break
            if last is None and run.exists() and not _resumable(command, run):
                found["before anything was saved"] += 1
                shutil.rmtree(run)  # as the message about it says
        shutil.rmtree(run, ignore_errors=True)
        left = (time.monotonic() - begun) / max(1, found["kills"]) * (count - found["kills"])
        common.progress(f"{name}: {found['kills']} of {count} kills, {len(failures)} failures, {left:.0f} s left")
    common.progress("")
    return {"command": name, "seed": seed, "seconds": round(time.monotonic() - begun, 1), "run_seconds": round(whole, 2),
            **{key: found[key] for key in ("kills", "in a write", "before anything was saved", "runs", "finished")},
            "failures": failures}


def _resumable(command: Command, run: Path) -> bool:
    return (run / (checkpoint.FILE if command.run is train.run else finetune.SETTINGS)).is_file()


def _lost(command: Command, run: Path, last: int | None) -> str | None:
    """What a killed run lacks of what it had: the last state that was saved, a model that opens. None: nothing."""
    try:
        if last is not None and (step := command.step(run)) < last:
            return f"step {last} had been saved, found step {step}"
        if (run / pretrained.WEIGHTS).is_file():
            command.load(run)
    except (OSError, ValueError) as error:
        return f"what had been saved does not open: {error}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help="train, finetune (default: both)")
    parser.add_argument("--count", type=int, default=300, metavar="N", help="kills of each (default: 300)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the moments follow from it (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, if not to benchmarks/results/")
    args = parser.parse_args()
    if not hasattr(os, "fork"):
        sys.exit("error: this needs processes that can be copied (POSIX)")
    where = common.machine(1)
    print(common.describe(where))
    plots.learning_curve = plots.tuning_curve = lambda rows, path, *_: files.write_atomically(path, b"picture")
    plots.confusion = lambda matrix, labels, path, *_: files.write_atomically(path, b"picture")
    with tempfile.TemporaryDirectory(prefix="minibert-") as folder:
        known = commands(Path(folder))
        if unknown := [name for name in args.commands if name not in known]:
            parser.error(f"unknown command {unknown[0]}: expected {' or '.join(known)}")
        results = [measure(name, known[name], args.count, args.seed, Path(folder)) for name in args.commands or known]
    columns = ["command", "kills", "in a write", "before anything was saved", "runs", "finished"]
    common.table([*columns, "failures"], [[*(r[name] for name in columns), len(r["failures"])] for r in results])
    for result in results:
        print(f"{result['command']}: seed {result['seed']}, {result['seconds']:.0f} s; an uninterrupted run takes "
              f"{result['run_seconds']:.2f} s")
        print("\n".join(result["failures"][:20]), file=sys.stderr, end="\n" if result["failures"] else "")
    print(common.write("kills", where, results, args.json))
    return any(result["failures"] for result in results)


if __name__ == "__main__":
    raise SystemExit(main())
