"""Grades the answers to a lesson's exercises: ``python -m lessons.check 6 answers.py``.

``--start`` puts every exercise of the lesson into that file, ready to be filled in; one file may hold the answers to all lessons.
Each answer is judged by what it does: right, or what is wrong and where to look. The exercises stand in
``lessons/exercises/lessonNN.py``.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import inspect
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert.files import decode_utf8, write_atomically
from minibert.shell import command

HERE = Path(__file__).resolve().parent


class Wrong(Exception):
    """An answer is not right; the message says what is wrong."""


class Level(NamedTuple):
    points: int
    minutes: int  # for whoever has read the lesson: a plan, not a measurement


LEVELS = {"easy": Level(1, 5), "medium": Level(2, 12), "hard": Level(3, 20)}


class Exercise(NamedTuple):
    name: str  # what the answer is called
    signature: str  # "(x, dy)" for a function, "" for a number
    question: str
    look: str  # where the lesson explains it
    level: str  # one of LEVELS
    judge: Callable[[Any], None]  # raises Wrong

    @property
    def worth(self) -> str:
        """Its level, points and minutes, for whoever is about to begin."""
        points, minutes = LEVELS[self.level]
        return f"({self.level}: {points} point{'s' * (points > 1)}, about {minutes} minutes)"

    @property
    def stub(self) -> str:
        """What stands in a fresh file of answers."""
        if not self.signature:
            return textwrap.indent(self.question, "# ") + f"\n{self.name} = None\n"
        return f'def {self.name}{self.signature}:\n    """' + textwrap.indent(self.question, "    ").strip() + \
            '\n    """\n    return None  # your answer\n'


def exercise(signature: str = "", *, look: str, level: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Makes a judge into an exercise: the judge's name is the answer's, its docstring the question.

    ``signature``: of the function that is asked for, as ``"(x, dy)"``; empty where a number is asked for. ``look``: a heading of
    the lesson. ``level``: of LEVELS, which says what the exercise is worth and how long it takes.
    """
    def register(judge: Callable[[Any], None]) -> Callable[[Any], None]:
        question = inspect.getdoc(judge) or ""
        judge.exercise = Exercise(judge.__name__, signature, question, look, level, judge)  # type: ignore[attr-defined]
        return judge

    return register


def exercises(number: int) -> list[Exercise]:
    """The exercises of a lesson, in order. Raises ValueError for a lesson that has none."""
    try:
        module = importlib.import_module(f"lessons.exercises.lesson{number:02}")
    except ModuleNotFoundError as error:
        if error.name != f"lessons.exercises.lesson{number:02}":
            raise
        have = ", ".join(str(int(path.stem[-2:])) for path in sorted((HERE / "exercises").glob("lesson*.py")))
        raise ValueError(f"lesson {number} has no exercises; these have: {have or 'none'}") from None
    return [value.exercise for value in vars(module).values() if isinstance(getattr(value, "exercise", None), Exercise)]


def close(got: Any, expected: Any, what: str, tolerance: float = 1e-6) -> None:
    """Raises Wrong unless ``got`` has the shape of ``expected`` and differs by at most ``tolerance``, relative to its size."""
    if got is None:
        raise Wrong(f"{what}: expected a value, got None")
    try:
        got, expected = np.asarray(got), np.asarray(expected)
    except ValueError:
        raise Wrong(f"{what}: expected an array of shape {np.shape(expected)}, got rows of different lengths") from None
    if got.shape != expected.shape:
        raise Wrong(f"{what}: expected the shape {expected.shape}, got {got.shape}")
    if got.dtype.kind not in "biufc":
        raise Wrong(f"{what}: expected numbers, got {got.dtype}")
    if not np.all(np.isfinite(got)):
        raise Wrong(f"{what}: some of it is NaN or infinite")
    error = np.linalg.norm(got - expected) / (np.linalg.norm(expected) or 1.0)
    if not error <= tolerance:
        place = np.unravel_index(np.argmax(np.abs(got - expected)), got.shape) if got.ndim else ()
        at = f" at {tuple(int(i) for i in place)}" if got.ndim else ""
        raise Wrong(f"{what}: off by {error:.2g} of its size; the largest difference{at}: got {got[place]:.6g}, "
                    f"expected {expected[place]:.6g}")


def expect(condition: Any, what: str) -> None:
    """Raises Wrong with ``what`` unless ``condition`` holds."""
    if not condition:
        raise Wrong(what)


RIGHT, NOT_ANSWERED = "right", "not answered"


def grade(number: int, answers: ModuleType) -> list[tuple[Exercise, str]]:
    """Each exercise of the lesson with its verdict."""
    return [(item, judged(item, answers)) for item in exercises(number)]


def judged(item: Exercise, answers: ModuleType) -> str:
    """RIGHT, NOT_ANSWERED, or what is wrong."""
    answer = getattr(answers, item.name, None)
    if answer is None or _is_stub(item, answer):
        return NOT_ANSWERED
    if item.signature and not callable(answer):
        return f"expected a function {item.name}{item.signature}, got {type(answer).__name__}"
    try:
        item.judge(answer)
    except Wrong as error:
        return str(error)
    except (Exception, SystemExit) as error:
        place, what = _place(error, answers.__file__), f"{type(error).__name__}: {error}"
        return f"{what} ({place})" if place else f"what it gives is of another kind than the question asks for ({what})"
    return RIGHT


def _is_stub(item: Exercise, answer: Any) -> bool:
    """Is the function still as ``--start`` wrote it?"""
    fresh: dict[str, Any] = {"np": np}
    exec(item.stub, fresh)
    code, untouched = getattr(answer, "__code__", None), getattr(fresh[item.name], "__code__", None)
    return code is not None and untouched is not None and \
        (code.co_code, code.co_consts) == (untouched.co_code, untouched.co_consts)


def _place(error: BaseException, file: str | None) -> str:
    """The last line of the reader's own file on the way to the error; empty where the way led through none."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f"{Path(frame.filename).name}, line {frame.lineno}" for frame in reversed(frames) if frame.filename == file), "")


def read(path: Path) -> ModuleType:
    """The file of answers, run once. Raises ValueError where it cannot be."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; begin with {command('--start', path)}")
    spec = importlib.util.spec_from_file_location("answers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:  # names its line itself
        raise ValueError(f"{path} does not run: {type(error).__name__}: {error}") from None
    except (Exception, SystemExit) as error:
        place = _place(error, spec.origin)
        raise ValueError(f"{path} does not run: {type(error).__name__}: {error}" + (f" ({place})" if place else "")) from None
    return module


def start(number: int, path: Path) -> None:
    """Puts the exercises of a lesson into a file of answers, after what stands there: answers stay, and no exercise comes twice.

    Raises ValueError where the file is no Python, OSError where it cannot be read or written.
    """
    text = decode_utf8(path.read_bytes(), path) if path.exists() else "import numpy as np\n"
    have = _names(text, path)
    new = [item.stub for item in exercises(number) if item.name not in have]
    if new:
        graded = command("python", "-m", "lessons.check", number, path)
        head = f"# Answers to lesson {number}. To have them graded: {graded}\n\n"
        write_atomically(path, text.rstrip("\n") + "\n\n\n" + head + "\n\n".join(new))


def _names(text: str, path: Path) -> set[str]:
    """What a file of answers defines: its functions and its numbers."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError) as error:  # ValueError: bytes of 0, before Python 3.12
        raise ValueError(f"{path} does not run: {type(error).__name__}: {error}; mend that first") from None
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    return functions | {node.id for line in body if isinstance(line, ast.Assign | ast.AnnAssign) for node in ast.walk(line)
                        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def grade_solutions() -> int:
    """Every solution against its lesson's exercises, with the seconds that each takes. Returns 0, or 1 where one is not right.

    Solutions are no part of a student's copy: without any, ValueError.
    """
    files = sorted((HERE / "solutions").glob("lesson*.py"))
    if not files:
        raise ValueError("there are no solutions here: they stand in the project's repository, not in a student's copy")
    status, began = 0, time.perf_counter()
    for path in files:
        number, start = int(path.stem[-2:]), time.perf_counter()
        verdicts = grade(number, read(path))
        wrong = [(item, verdict) for item, verdict in verdicts if verdict != RIGHT]
        print(f"lesson {number:2}: {len(verdicts) - len(wrong)} of {len(verdicts)} right, {time.perf_counter() - start:.1f} s")
        for item, verdict in wrong:
            print(f"    {item.name}: {verdict}")
            status = 1
    print(f"all solutions: {time.perf_counter() - began:.1f} s")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status: 0 all answers are right, 1 one is not, 2 nothing could be graded."""
    parser = argparse.ArgumentParser(prog="python -m lessons.check", description="Grades the answers to a lesson's exercises.",
                                     epilog="example: python -m lessons.check 6 --start answers.py, then without --start")
    parser.add_argument("lesson", type=int, nargs="?", help="the number of the lesson")
    parser.add_argument("answers", type=Path, nargs="?", help="the Python file with the answers")
    parser.add_argument("--start", action="store_true", help="put the exercises of the lesson into that file, to be filled in")
    parser.add_argument("--all-solutions", action="store_true", help="for authors: grade the solutions of all lessons")
    options = parser.parse_intermixed_args(arguments)  # the options may stand between the two
    if hasattr(sys.stdout, "reconfigure"):  # a console may not know Greek: show what it can
        sys.stdout.reconfigure(errors="replace")
    if not options.all_solutions and (options.lesson is None or options.answers is None):
        parser.error("name the lesson and the file with its answers, as in: python -m lessons.check 6 answers.py")
    try:
        if options.all_solutions:
            return grade_solutions()
        if options.start:
            start(options.lesson, options.answers)
            print(f"{options.answers} has the exercises of lesson {options.lesson}; fill them in, then: "
                  + command("python", "-m", "lessons.check", options.lesson, options.answers))
            return 0
        verdicts = grade(options.lesson, read(options.answers))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for position, (item, verdict) in enumerate(verdicts, start=1):
        print(f"{position}. {item.name}: {verdict}")
        if verdict != RIGHT:
            print(f"   look at: lesson {options.lesson}, \"{item.look}\"")
    right = sum(verdict == RIGHT for _, verdict in verdicts)
    print(f"{right} of {len(verdicts)} right")
    return 0 if right == len(verdicts) else 1


if __name__ == "__main__":  # the exercises import lessons.check: its classes, not this run's copies of them, are theirs
    sys.exit(importlib.import_module("lessons.check").main())
