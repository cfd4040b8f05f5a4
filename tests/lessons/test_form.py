"""Every lesson has the form that readers, editors and the grader rely on."""

import ast
import re

import pytest

from lessons import check
from tests.lessons.reading import FOLDER, LESSONS, ROOT, bodies, cells, headings, number

every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)


def test_no_number_stands_for_two_lessons():
    numbers = [number(lesson) for lesson in LESSONS]
    assert numbers == sorted(set(numbers))


@every_lesson
def test_it_opens_with_what_one_does_learns_and_needs(lesson):
    first = cells(lesson)[0]
    assert first.markdown
    assert re.fullmatch(rf"# {number(lesson)}\. \S.*", first.lines[0])
    for promise in ("**You will do**", "**You will learn**", "**You need**", "Time:"):
        assert promise in first.text


@every_lesson
def test_it_ends_with_a_knob_exercises_and_help(lesson):
    found = headings(lesson)
    assert len(set(found)) == len(found), "a heading stands twice: nobody can be sent there"
    assert found[0] == "The question"
    order = [found.index(heading) for heading in ("One knob to turn", "Exercises", "When you are stuck")]
    assert order == sorted(order)
    assert found[-1] == "When you are stuck"
    last = cells(lesson)[-1]
    assert not last.markdown
    assert last.text.strip() == f"wb.exercises({number(lesson)})"


@every_lesson
def test_one_knob_and_one_picture(lesson):
    code = "\n".join(cell.text for cell in cells(lesson) if not cell.markdown)
    assert sum(line.endswith("# <- the knob") for line in code.splitlines()) == 1
    assert re.search(rf'wb\.save\(\w+, f?"{number(lesson):02}_', code), "its figures are named after the lesson"


@every_lesson
def test_it_imports_the_library_and_cites_its_sources(lesson):
    text = lesson.read_text(encoding="utf-8")
    assert re.search(r"^(from|import) minibert\b", text, re.MULTILINE)
    assert re.search(r"§|`\w+\.py`|\*[^*]+ \d{4}\b", text), "a claim that is not computed needs a source"
    assert "assert " in text


@every_lesson
def test_its_exercises_send_readers_to_headings_that_exist(lesson):
    found, exercises = headings(lesson), check.exercises(number(lesson))
    assert len(exercises) >= 3
    for exercise in exercises:
        assert exercise.question, exercise.name
        assert exercise.look in found, exercise.name


@every_lesson
def test_every_exercise_has_a_solution(lesson):
    tree = ast.parse((FOLDER / "solutions" / f"lesson{number(lesson):02}.py").read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names |= {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
              if isinstance(target, ast.Name)}
    assert {exercise.name for exercise in check.exercises(number(lesson))} <= names


def test_exercises_and_solutions_belong_to_lessons():
    expected = {f"lesson{number(lesson):02}.py" for lesson in LESSONS}
    for folder in ("exercises", "solutions"):
        assert {path.name for path in (FOLDER / folder).glob("lesson*.py")} == expected


def test_no_lesson_repeats_the_library():
    library = {body: f"{path.name}: {name}" for folder in ("minibert", "gradcheck") for path in (ROOT / folder).rglob("*.py")
               for name, body in bodies(path).items()}
    for path in FOLDER.rglob("*.py"):
        if path.name not in ("check.py", "build.py", "workbench.py"):
            for name, body in bodies(path).items():
                assert len(body) < 100 or body not in library, f"{path.name}: {name} is a copy of {library[body]}: import it"
