"""The grader of exercises, as a student meets it."""

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from lessons import check
from tests.lessons.reading import LESSONS, ROOT, number

RIGHT = """
import numpy as np
def double(x):
    return x + x
answer = 42
"""


@pytest.fixture
def lesson99(monkeypatch):
    """A lesson with two exercises: a function and a number."""
    module = ModuleType("lessons.exercises.lesson99")

    @check.exercise("(x)", look="Twice", level="easy")
    def double(answer):
        """Twice x.

        x: (3,)
        """
        x = np.array([1.0, -2.0, 3.0])
        check.close(answer(x), 2 * x, "2x")

    @check.exercise(look="The number", level="hard")
    def answer(value):
        """The number."""
        check.expect(value == 42, "think deeper")

    module.double, module.answer = double, answer
    monkeypatch.setitem(sys.modules, "lessons.exercises.lesson99", module)


@pytest.fixture
def graded(lesson99, tmp_path, capsys):
    """Writes answers and grades them: (exit status, what was printed, what was complained about)."""
    def grade(text, *options):
        path = tmp_path / "answers.py"
        path.write_text(text, encoding="utf-8")
        status = check.main(["99", str(path), *options])
        return status, *capsys.readouterr()

    return grade


def test_right(graded):
    status, out, _ = graded(RIGHT)
    assert status == 0
    assert out.splitlines() == ["1. double: right", "2. answer: right", "2 of 2 right"]


def test_wrong_says_what_and_where_to_look(graded):
    status, out, _ = graded("def double(x): return x * 3\nanswer = 41\n")
    assert status == 1
    assert "1. double: 2x: off by 0.5 of its size" in out
    assert "got 9, expected 6" in out
    assert '   look at: lesson 99, "Twice"' in out
    assert "2. answer: think deeper" in out
    assert out.endswith("0 of 2 right\n")


@pytest.mark.parametrize(("value", "message"), [
    ("[2, -4]", "expected the shape (3,), got (2,)"), ("None if x[0] else x", "expected a value, got None"),
    ("'six'", "expected the shape (3,), got ()"), ("['a', 'b', 'c']", "expected numbers"),
    ("[[1], [2, 3]]", "rows of different lengths"), ("x * np.nan", "NaN or infinite")])
def test_what_is_no_array_of_numbers_is_told_apart(graded, value, message):
    status, out, _ = graded(f"import numpy as np\ndef double(x): return {value}\n")
    assert status == 1
    assert message in out.splitlines()[0]


def test_an_error_names_the_line_of_the_readers_own_file(graded):
    _, out, _ = graded("import numpy as np\ndef double(x):\n    y = x @ np.ones((2, 2))\n    return y\n")
    assert "double: ValueError" in out
    assert "(answers.py, line 3)" in out


def test_an_error_of_the_judge_is_no_fault_of_a_line_of_the_reader(graded, monkeypatch):
    def judge(answer):
        len(answer(3))

    item = check.exercises(99)[0]
    monkeypatch.setattr(sys.modules["lessons.exercises.lesson99"].double, "exercise", item._replace(judge=judge))
    _, out, _ = graded("def double(x): return x\n")
    assert "double: what it gives is of another kind than the question asks for (TypeError: object of type 'int'" in out


def test_leaving_the_program_is_an_error_like_any_other(graded):
    status, out, _ = graded("import sys\ndef double(x): sys.exit(0)\nanswer = 42\n")
    assert status == 1
    assert "double: SystemExit" in out
    assert "1 of 2 right" in out
    status, _, complaint = graded("raise SystemExit(0)")
    assert status == 2
    assert "does not run: SystemExit" in complaint


def test_what_is_missing_or_untouched_is_not_answered(graded):
    _, out, _ = graded("")
    assert out.count("not answered") == 2
    _, out, _ = graded("def double(x):\n    '''My own words'''\n    return None\n")
    assert "double: 2x: expected a value, got None" in out


def test_a_number_where_a_function_belongs(graded):
    _, out, _ = graded("double = 3\n")
    assert "expected a function double(x), got int" in out


@pytest.mark.parametrize(("text", "message"), [
    ("def double(x) return x", "SyntaxError"), ("import no_such_module", "ModuleNotFoundError"), ("x = 1\n1 / 0", "line 2")])
def test_a_file_that_does_not_run(graded, text, message):
    status, out, complaint = graded(text)
    assert status == 2
    assert out == ""
    assert complaint.startswith("error: ")
    assert "does not run" in complaint
    assert message in complaint
    assert "Traceback" not in complaint


def test_a_missing_file_says_how_to_begin(lesson99, tmp_path, capsys):
    assert check.main(["99", str(tmp_path / "none.py")]) == 2
    assert "no such file; begin with --start" in capsys.readouterr().err


def test_a_missing_lesson_lists_those_that_exist(tmp_path, capsys):
    path = tmp_path / "answers.py"
    assert check.main(["98", str(path), "--start"]) == 2
    assert "lesson 98 has no exercises; these have: 1, " in capsys.readouterr().err
    assert not path.exists()


def test_start_keeps_what_is_there(graded, tmp_path):
    status, out, _ = graded(RIGHT, "--start")
    assert status == 0
    assert "answers.py has the exercises of lesson 99; fill them in, then: python -m lessons.check 99 " in out
    assert (tmp_path / "answers.py").read_text(encoding="utf-8") == RIGHT, "nothing is missing: not a byte has changed"


def test_start_goes_on_in_the_same_file(graded, tmp_path):
    """What is answered stays, also where another function uses the name of an exercise for something of its own."""
    mine = "def double(x):\n    answer = x + x\n    return answer  # à moi"
    assert graded(mine, "--start")[0] == 0
    text = (tmp_path / "answers.py").read_text(encoding="utf-8")
    assert text.startswith(mine)
    assert text.count("def double") == 1
    assert text.count("answer = None") == 1
    assert [verdict for _, verdict in check.grade(99, check.read(tmp_path / "answers.py"))] == ["right", "not answered"]


@pytest.mark.parametrize(("content", "message"), [
    (b"def double(x) return x", "does not run: SyntaxError"), (b"x = '\xff'", "is not UTF-8"), (b"x = 1\0", "does not run: ")])
def test_start_in_a_file_that_is_no_python(lesson99, tmp_path, capsys, content, message):
    path = tmp_path / "answers.py"
    path.write_bytes(content)
    assert check.main(["99", "--start", str(path)]) == 2
    complaint = capsys.readouterr().err
    assert str(path) in complaint
    assert message in complaint
    assert path.read_bytes() == content


def test_one_file_holds_the_answers_to_all_lessons(tmp_path, capsys):
    """The command that ends every lesson names the same file, so it must work for the second lesson too."""
    path = tmp_path / "answers.py"
    lessons = [number(lesson) for lesson in LESSONS]
    for lesson in lessons:
        assert check.main([str(lesson), "--start", str(path)]) == 0
    names = [item.name for lesson in lessons for item in check.exercises(lesson)]
    assert len(set(names)) == len(names), "two exercises have one name, and only one place in the file"
    answers = check.read(path)
    assert all(hasattr(answers, name) for name in names)


def test_start_in_a_folder_that_is_not_there(lesson99, tmp_path, capsys):
    assert check.main(["99", "--start", str(tmp_path / "none" / "answers.py")]) == 2
    assert "could not be written" in capsys.readouterr().err


def test_lesson_and_file_must_be_named(capsys):
    with pytest.raises(SystemExit) as stop:
        check.main(["99"])
    assert stop.value.code == 2
    assert "name the lesson and the file" in capsys.readouterr().err


@pytest.mark.parametrize("lesson", [number(lesson) for lesson in LESSONS])
def test_a_fresh_file_of_answers_runs_and_nothing_in_it_is_answered(lesson, tmp_path, capsys):
    path = tmp_path / "answers.py"
    assert check.main([str(lesson), "--start", str(path)]) == 0
    verdicts = check.grade(lesson, check.read(path))
    assert [verdict for _, verdict in verdicts] == ["not answered"] * len(check.exercises(lesson))


@pytest.mark.parametrize("lesson", [number(lesson) for lesson in LESSONS])
def test_the_solutions_are_right(lesson):
    verdicts = check.grade(lesson, check.read(ROOT / "lessons" / "solutions" / f"lesson{lesson:02}.py"))
    assert [(item.name, verdict) for item, verdict in verdicts if verdict != "right"] == []


def test_the_command(tmp_path):
    """From a shell: the exercises and the grader then are not of one module, unless somebody sees to it."""
    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "lessons.check", *arguments], cwd=ROOT, capture_output=True, text=True,
                              encoding="utf-8", check=False)

    path = str(tmp_path / "answers.py")
    assert run("1", "--start", path).returncode == 0
    empty = run("1", path)
    assert (empty.returncode, empty.stdout.count("not answered")) == (1, 4)
    solved = run("1", str(ROOT / "lessons" / "solutions" / "lesson01.py"))
    assert solved.returncode == 0, solved.stdout + solved.stderr
    assert solved.stdout.endswith("4 of 4 right\n")


def test_all_solutions(lesson99, monkeypatch, tmp_path, capsys):
    (tmp_path / "solutions").mkdir()
    monkeypatch.setattr(check, "HERE", tmp_path)
    assert check.main(["--all-solutions"]) == 2
    assert "there are no solutions here" in capsys.readouterr().err
    solution = tmp_path / "solutions" / "lesson99.py"
    solution.write_text(RIGHT, encoding="utf-8")
    assert check.main(["--all-solutions"]) == 0
    assert "lesson 99: 2 of 2 right" in capsys.readouterr().out
    solution.write_text("answer = 42\n", encoding="utf-8")
    assert check.main(["--all-solutions"]) == 1
    assert "    double: not answered" in capsys.readouterr().out


def test_the_sum_of_both_losses_is_not_the_masked_word_loss(tmp_path):
    """Lesson 14, exercise 5: inputs without sentence pairs would let `loss` pass for `mlm_loss`."""
    text = (ROOT / "lessons" / "solutions" / "lesson14.py").read_text(encoding="utf-8")
    path = tmp_path / "answers.py"
    path.write_text(text.replace(".mlm_loss", ".loss"), encoding="utf-8")
    verdicts = {item.name: verdict for item, verdict in check.grade(14, check.read(path))}
    assert "the masked-word loss is `mlm_loss`" in verdicts.pop("change_without")
    assert set(verdicts.values()) == {"right"}
