"""Grades what a whole class has handed in: ``python -m lessons.grades answers grades``.

The folder ``answers`` holds a file for each student (``anna.py``), or a folder for each (``anna/…``) with one file or several.
The folder ``grades`` then holds three tables: ``students.csv`` with the points of each student, ``answers.csv`` with the verdict
on each answer, and ``exercises.csv`` with the level, points and minutes of each exercise and how many have it right.

Every file runs in a process of its own, in an empty folder: one that hangs, crashes, ends the program or prints costs its own
exercise and nothing else. It still runs with your rights; nothing here protects from malice.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from lessons import check
from lessons.check import LEVELS, NOT_ANSWERED, RIGHT, Exercise
from minibert.files import write_atomically

HERE = Path(__file__).resolve().parent
LESSONS = sorted(int(path.stem[-2:]) for path in (HERE / "exercises").glob("lesson*.py"))
LONGEST = 500  # letters of a verdict
CHILD = "import sys; from lessons import grades; grades.judge(*sys.argv[1:])"


class Work(NamedTuple):
    """What a student has handed in, judged."""

    student: str
    verdicts: dict[str, str]  # of each exercise by its name
    note: str  # what else there is to say; empty where all went well

    def points(self, items: Iterable[Exercise]) -> int:
        return sum(LEVELS[item.level].points for item in items if self.verdicts[item.name] == RIGHT)


def handed_in(folder: Path) -> dict[str, list[Path]]:
    """``student -> files``, in the order of their names. Raises ValueError where nobody has handed in anything."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, with a file or a folder of answers for each student")
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir():
            files = [path for path in sorted(entry.rglob("*.py")) if not _is_no_answer(path.relative_to(folder))]
            found.setdefault(entry.name, []).extend(files)
        elif entry.suffix == ".py":
            found.setdefault(entry.stem, []).append(entry)
    if not found:
        raise ValueError(f"{folder}: no answers; expected a file NAME.py or a folder NAME for each student")
    return found


def _is_no_answer(path: Path) -> bool:
    """A file of an environment, or of a student's copy of the lessons."""
    parts = path.parts
    if any(part.startswith(".") or part == "site-packages" for part in parts):
        return True
    return "lessons" in parts[1:-1] and HERE.joinpath(*parts[parts.index("lessons", 1) + 1:]).exists()


def grade(student: str, files: Sequence[Path], lessons: Sequence[int], seconds: int) -> Work:
    """All the files of a student; of two answers to one exercise the better one counts."""
    graded = [_grade_file(path, lessons, seconds) for path in files]
    best = {item.name: min((verdicts.get(item.name, NOT_ANSWERED) for verdicts, _ in graded), default=NOT_ANSWERED,
                           key=lambda verdict: (verdict != RIGHT, verdict == NOT_ANSWERED))
            for number in lessons for item in check.exercises(number)}
    notes = [note for _, note in graded if note] if files else ["no .py file"]
    return Work(student, best, "; ".join(notes))


def _grade_file(path: Path, lessons: Sequence[int], seconds: int) -> tuple[dict[str, str], str]:
    """Verdicts by exercise, and what is wrong with the file as a whole. An answer that ends the process is passed over."""
    names = [item.name for number in lessons for item in check.exercises(number)]
    verdicts: dict[str, str] = {}
    while len(verdicts) < len(names):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            reported, late = _run(path, lessons, seconds, list(verdicts), Path(folder))
        why = f"took longer than {seconds} s" if late else "ended the whole program"
        complaint = reported.pop("", f"{path.name} {why}")
        verdicts |= reported
        if complaint:
            return verdicts, complaint
        for name in names:  # the one at which it ended, if it did
            if name not in verdicts:
                verdicts[name] = why
                break
    return verdicts, ""


def _run(path: Path, lessons: Sequence[int], seconds: int, done: Sequence[str], folder: Path) -> tuple[dict[str, str], bool]:
    """Judges a file in another process: what that reported, and whether it was stopped because it took too long."""
    results, watchdog = folder / "results", folder / "watchdog"
    (folder / "here").mkdir()
    command = [sys.executable, "-c", CHILD, str(path.resolve()), str(results), str(watchdog), str(seconds),
               json.dumps([list(lessons), list(done)])]
    quiet = subprocess.DEVNULL
    try:
        subprocess.run(command, cwd=folder / "here", stdin=quiet, stdout=quiet, stderr=quiet, check=False,
                       timeout=seconds * 200, env={**os.environ, "PYTHONPATH": str(HERE.parent)})
        late = watchdog.exists() and watchdog.stat().st_size > 0
    except subprocess.TimeoutExpired:  # the answers have switched the watchdog off
        late = True
    lines = results.read_text(encoding="utf-8").split("\n")[:-1] if results.exists() else []  # whole lines only
    return dict(json.loads(line) for line in lines), late


def judge(path: str, results: str, watchdog: str, seconds: str, what: str) -> None:
    """In that other process: a line of results for each exercise as soon as it is judged, after one for the file as a whole."""
    lessons, done = json.loads(what)
    items = [item for number in lessons for item in check.exercises(number) if item.name not in done]
    sys.path.append(str(Path(path).parent))  # at the end: a file of the student's never stands in for one of the grader
    with open(results, "w", encoding="utf-8") as report, open(watchdog, "w", encoding="utf-8") as late:
        def say(name: str, verdict: str) -> None:
            report.write(json.dumps([name, verdict[:LONGEST]]) + "\n")
            report.flush()

        faulthandler.dump_traceback_later(int(seconds), exit=True, file=late)
        try:
            answers = check.read(Path(path))
        except (ValueError, OSError) as error:
            say("", str(error).replace(path, Path(path).name))
            os._exit(0)
        say("", "")
        for item in items:
            faulthandler.dump_traceback_later(int(seconds), exit=True, file=late)
            say(item.name, check.judged(item, answers))
        os._exit(0)  # whatever threads the answers have left behind


def tables(works: Sequence[Work], lessons: Sequence[int]) -> dict[str, list[list[Any]]]:
    """The rows of the three tables by name, heads first."""
    items = {number: check.exercises(number) for number in lessons}
    every = [(number, item) for number in lessons for item in items[number]]
    most = sum(LEVELS[item.level].points for _, item in every)
    return {
        "students": [["student", "points", "of", *(f"lesson {number}" for number in lessons), "note"],
                     *([work.student, work.points(item for _, item in every), most,
                        *(work.points(items[number]) for number in lessons), work.note] for work in works)],
        "answers": [["student", "lesson", "exercise", "points", "of", "verdict"],
                    *([work.student, number, item.name, work.points([item]), LEVELS[item.level].points, work.verdicts[item.name]]
                      for work in works for number, item in every)],
        "exercises": [["lesson", "exercise", "level", "points", "minutes", "students", "answered", "right"],
                      *([number, item.name, item.level, *LEVELS[item.level], len(works),
                         sum(work.verdicts[item.name] != NOT_ANSWERED for work in works),
                         sum(work.verdicts[item.name] == RIGHT for work in works)] for number, item in every)]}


def write(folder: Path, name: str, rows: Iterable[Sequence[Any]]) -> None:
    """A table that spreadsheets open: a mark tells them that it is UTF-8, and no cell of it is a formula."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell for cell in row] for row in rows)
    write_atomically(folder / f"{name}.csv", ("\ufeff" + text.getvalue()).encode("utf-8", "backslashreplace"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 2 where nothing could be graded."""
    parser = argparse.ArgumentParser(prog="python -m lessons.grades", description="Grades the answers of a whole class.",
                                     epilog="example: python -m lessons.grades answers grades --only 1 6")
    parser.add_argument("answers", type=Path, help="a folder with a file NAME.py or a folder NAME for each student")
    parser.add_argument("grades", type=Path, help="the folder for the three tables; those of an earlier run are replaced")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", choices=LESSONS, default=LESSONS,
                        help="grade these lessons only")
    parser.add_argument("--seconds", type=int, default=60, help="the longest that one answer may take (default: 60)")
    parser.add_argument("--workers", type=int, default=1, help="students who are graded at a time (default: 1)")
    options = parser.parse_args(arguments)
    if options.seconds < 1 or options.workers < 1:
        parser.error("--seconds and --workers: expected at least 1")
    if hasattr(sys.stdout, "reconfigure"):  # a console may not know every name: show what it can
        sys.stdout.reconfigure(errors="replace")
    lessons, works = sorted(set(options.only)), []
    items = [item for number in lessons for item in check.exercises(number)]
    try:
        found = handed_in(options.answers)
        options.grades.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(options.workers) as pool:
            for work in pool.map(lambda each: grade(*each, lessons, options.seconds), found.items()):
                works.append(work)
                print(f"[{len(works)}/{len(found)}] {work.student}: {work.points(items)} points"
                      + (f" ({work.note})" if work.note else ""), flush=True)
        for name, rows in tables(works, lessons).items():
            write(options.grades, name, rows)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.grades}: students.csv, answers.csv and exercises.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
