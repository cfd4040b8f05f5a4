"""Grading what a whole class has handed in, however it behaves."""

import csv
import os
from pathlib import Path

import pytest

from lessons import check, grades
from tests.lessons.reading import ROOT

SOLUTION = ROOT / "lessons" / "solutions" / "lesson06.py"
EXERCISES = {item.name: item for item in check.exercises(6)}
MOST = sum(check.LEVELS[item.level].points for item in EXERCISES.values())


@pytest.fixture
def graded(tmp_path, capsys):
    """Grades what was handed in, ``{path: text}``: the tables by name, a row as a dictionary, and what was printed."""
    def grade(files, *options, lesson=6, seconds=60):
        folder, out = tmp_path / "answers", tmp_path / "grades"
        folder.mkdir()
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        status = grades.main([str(folder), str(out), "--only", str(lesson), "--seconds", str(seconds), *options])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        tables = {}
        for path in out.iterdir():
            with open(path, encoding="utf-8-sig", newline="") as file:
                tables[path.stem] = list(csv.DictReader(file))
        return tables, printed.out

    return grade


def test_points_of_a_class(graded):
    """A name is that of the file or of the folder; several files of one student count together, the best answer of each."""
    solution = SOLUTION.read_text(encoding="utf-8")
    tables, printed = graded({
        "anna.py": solution, "bob/06 draft.py": "gradient_ratio = 7\n", "bob/deeper/answers.py": solution, "carl.py": "x = 1\n",
        "李 雷/答案.py": "import helper\nlargest = helper.ratio\ngradient_ratio = 0.25\n", "李 雷/helper.py": "ratio = 0.25\n",
        "dora/answers.ipynb": "{}", "notes.txt": "no student", "bob/lessons/13_pretraining.py": "1 / 0\n",
        "bob/.venv/x.py": "1 / 0\n"})
    assert {row["student"]: (int(row["points"]), row["note"]) for row in tables["students"]} == {
        "anna": (MOST, ""), "bob": (MOST, ""), "carl": (0, ""), "dora": (0, "no .py file"), "李 雷": (2, "")}
    assert all(int(row["of"]) == MOST for row in tables["students"])
    assert [row["lesson 6"] for row in tables["students"]] == [row["points"] for row in tables["students"]]
    assert "[1/5] anna" in printed
    row = next(row for row in tables["exercises"] if row["exercise"] == "gradient_ratio")
    item = EXERCISES["gradient_ratio"]
    points, minutes = check.LEVELS[item.level]
    assert row == {"lesson": "6", "exercise": "gradient_ratio", "level": item.level, "points": str(points),
                   "minutes": str(minutes), "students": "5", "answered": "3", "right": "3"}
    assert len(tables["answers"]) == 5 * len(EXERCISES)


def test_an_answer_that_misbehaves_costs_itself_only(graded, tmp_path):
    tables, _ = graded({"eve.py": """
import os, sys, threading, time
print("noise" * 10000)
sys.stderr.write("more")
open("litter.txt", "w").close()
threading.Thread(target=time.sleep, args=(1000,)).start()
class Rude(Exception):
    def __str__(self):
        raise KeyboardInterrupt
def layer_norm(x, gamma, beta, eps=1e-12):
    os._exit(0)
def backward_through_norm(dxhat, xhat, rstd):
    while True:
        pass
def steady_variance(x):
    raise Rude
def rms_norm_backward(dy, x, gamma, eps=1e-12):
    raise ValueError("=" * 10**6 + chr(0xd800))
gradient_ratio = 0.25
"""}, seconds=10)
    verdicts = {row["exercise"]: row["verdict"] for row in tables["answers"]}
    assert verdicts["layer_norm"] == "ended the whole program"
    assert verdicts["backward_through_norm"] == "took longer than 10 s"
    assert verdicts["steady_variance"] == "ended the whole program"
    assert verdicts["gradient_ratio"] == "right"
    assert verdicts["rms_norm_backward"].startswith("ValueError: ====")
    assert len(verdicts["rms_norm_backward"]) <= grades.LONGEST
    assert not list((tmp_path / "answers").rglob("litter*"))
    assert not Path("litter.txt").exists()


@pytest.mark.parametrize(("text", "note", "seconds"), [
    ("def x(: ", "answers.py does not run: SyntaxError", 60),
    ("1 / 0", "ZeroDivisionError: division by zero (answers.py, line 1)", 60),
    ("import os; os._exit(3)", "answers.py ended the whole program", 60),
    ("while True: pass", "answers.py took longer than 1 s", 1)])
def test_a_file_that_does_not_run_is_said(graded, text, note, seconds):
    tables, printed = graded({"eve/answers.py": text}, seconds=seconds)
    (row,) = tables["students"]
    assert (row["points"], note in row["note"]) == ("0", True), row
    assert str(os.sep + "answers" + os.sep) not in row["note"], "no path of the teacher's machine"
    assert note in printed


def test_no_file_of_a_student_stands_in_for_one_of_the_grader(graded):
    tables, _ = graded({"eve.py": "gradient_ratio = 8\n", "numpy.py": "1 / 0\n", "json.py": "1 / 0\n"})
    assert {row["student"]: row["note"] for row in tables["students"]}["eve"] == ""


def test_a_cell_is_no_formula(tmp_path):
    grades.write(tmp_path, "x", [["student", "points"], ["=HYPERLINK(1)", 3]])
    assert (tmp_path / "x.csv").read_text(encoding="utf-8-sig") == "student,points\n'=HYPERLINK(1),3\n"


@pytest.mark.parametrize(("make", "message"), [(lambda path: None, "expected a folder"), (Path.mkdir, "no answers; expected")])
def test_nothing_handed_in(tmp_path, capsys, make, message):
    make(tmp_path / "answers")
    assert grades.main([str(tmp_path / "answers"), str(tmp_path / "grades")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "grades").exists()
