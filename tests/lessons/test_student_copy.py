"""What students get: everything that a lesson needs, and no solution, wherever it comes from."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lessons import build
from tests.lessons.reading import FOLDER, LESSONS, ROOT, bodies, cells, number, squeezed

PAGES_NEED = ("jupytext", "nbconvert", "ipykernel", "latex2mathml")
SOLUTIONS = sorted((FOLDER / "solutions").glob("lesson*.py"))


def run(*arguments, cwd, **environment):
    return subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, encoding="utf-8",
                          check=False, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    out = tmp_path_factory.mktemp("class")
    made = run("lessons.build", str(out), "--copy-only", cwd=ROOT)
    assert made.returncode == 0, made.stderr
    assert f"{len(LESSONS)} lessons" in made.stdout
    return out


def test_it_has_every_lesson_and_no_folder_of_solutions(copy):
    names = {path.relative_to(copy).as_posix() for path in copy.rglob("*")}
    assert {f"lessons/{lesson.name}" for lesson in LESSONS} <= names
    assert {"lessons/README.md", "lessons/GLOSSARY.md", "lessons/check.py", "lessons/workbench.py"} <= names
    for kept in ("solution", "teaching", "grades", "figures"):
        assert not [name for name in names if kept in name.lower()]


def test_no_body_of_a_solution_stands_in_any_file(copy):
    answers = {body: f"{path.name}: {name}" for path in SOLUTIONS for name, body in bodies(path).items() if len(body) >= 60}
    assert len(answers) > len(SOLUTIONS)
    for path in copy.rglob("*.py"):
        text = squeezed(ast.parse(path.read_text(encoding="utf-8")))
        for body, where in answers.items():
            assert body not in text, f"{path.name} holds the solution of {where}"


def test_each_lesson_has_two_written_questions_whose_answers_stay_with_the_teacher(copy):
    written = (FOLDER / "solutions" / "WRITTEN.md").read_text(encoding="utf-8")
    parts = re.split(r"^## Lesson (\d+)$", written, flags=re.MULTILINE)[1:]
    assert [int(lesson) for lesson in parts[::2]] == [number(lesson) for lesson in LESSONS]
    given = "".join(path.read_text(encoding="utf-8") for path in copy.rglob("*") if path.suffix in (".py", ".md"))
    for lesson, part in zip(parts[::2], parts[1::2]):
        assert re.findall(r"^(\d)\. .+", part, flags=re.MULTILINE) == ["1", "2"], lesson
        answers = re.findall(r"(?:^   > .+\n)+", part, flags=re.MULTILINE)
        assert len(answers) == 2, lesson
        assert not [line for answer in answers for line in answer.splitlines() if len(line) > 60 and line[5:] in given], lesson


def test_answers_are_graded_there(copy):
    assert run("lessons.check", "1", "--start", "answers.py", cwd=copy).returncode == 0
    empty = run("lessons.check", "1", "answers.py", cwd=copy)
    assert (empty.returncode, empty.stdout.count("not answered")) == (1, 4), empty.stderr
    assert run("lessons.check", "1", str(SOLUTIONS[0]), cwd=copy).stdout.endswith("4 of 4 right\n")
    nothing = run("lessons.check", "--all-solutions", cwd=copy)
    assert nothing.returncode == 2
    assert "there are no solutions here" in nothing.stderr


def test_a_lesson_runs_there(copy):
    made = subprocess.run([sys.executable, "lessons/01_the_whole.py", "--quick"], cwd=copy, capture_output=True, text=True,
                          encoding="utf-8", check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"})
    assert made.returncode == 0, made.stderr
    assert (copy / "lessons" / "figures" / "quick" / "01_the_whole.png").is_file()


def test_a_copy_that_is_there_is_kept(copy, capsys):
    assert build.main([str(copy), "--copy-only"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_without_the_extra_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert build.main([str(tmp_path)]) == 2
    complaint = capsys.readouterr().err
    assert "not installed: jupytext, nbformat, nbconvert, ipykernel, latex2mathml" in complaint
    assert 'pip install -e ".[lessons]"' in complaint
    assert not list(tmp_path.iterdir())


def test_notebooks_and_pages(tmp_path):
    for name in PAGES_NEED:
        pytest.importorskip(name)
    made = run("lessons.build", str(tmp_path), "--only", "1", "--quick", cwd=ROOT)
    assert made.returncode == 0, made.stderr
    assert "[1/1] 01_the_whole … " in made.stdout
    book = json.loads((tmp_path / "lessons" / "01_the_whole.ipynb").read_text(encoding="utf-8"))
    assert book["cells"][0]["cell_type"] == "markdown"
    assert not any(cell.get("outputs") for cell in book["cells"])
    page = (tmp_path / "lessons" / "01_the_whole.html").read_text(encoding="utf-8")
    assert "data:image/png;base64" in page, "the picture is in the page"
    assert "attributeerror" in page, "and so is what the cells print"
    assert not list(tmp_path.rglob("*solution*"))


def test_no_page_needs_a_network():
    """The formulas of all lessons are set without a script that would have to be fetched."""
    for name in PAGES_NEED:
        pytest.importorskip(name)
    from nbformat.v4 import new_markdown_cell, new_notebook

    texts = [cell.text for lesson in LESSONS for cell in cells(lesson) if cell.markdown and "$" in cell.text]
    page = build.render(new_notebook(cells=[new_markdown_cell(text) for text in texts]))
    assert not re.findall(r"<script|<link|<iframe|\bsrc=\"(?!data:)|@import", page)
    text = re.sub(r"<(style|math|code)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert "$" not in text, "a formula stands as it was written"
    assert page.count('display="block"') == "".join(texts).count("$$") / 2 > 10


def test_what_is_installed_holds_no_lesson_and_no_solution(tmp_path):
    """A wheel and a source distribution, made from the files of the repository as they are."""
    pytest.importorskip("setuptools", minversion="77")
    source, out = tmp_path / "source", tmp_path / "dist"
    out.mkdir()
    source.mkdir()
    for name in ("minibert", "gradcheck", "lessons", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "figures"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, source)
    code = f"from setuptools import build_meta as b; b.build_wheel({str(out)!r}); b.build_sdist({str(out)!r})"
    made = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        installed = archive.namelist()
    with tarfile.open(sdist) as archive:
        packed = archive.getnames()
    assert "minibert/api.py" in installed
    assert any(name.endswith("/minibert/api.py") for name in packed)
    for names in (installed, packed):
        assert not [name for name in names if "lessons" in Path(name).parts]
