"""Terms are defined once and stand in the glossary; the index sends readers to headings that exist."""

import doctest
import re

import pytest

from tests.lessons.reading import FOLDER, LESSONS, ROOT, cells, headings, number, rows, terms

PLACE = re.compile(r'\[\d+\]\(([^)]+)\) (?:"([^"]+)"|“([^”]+)”)')


def glossary() -> dict[str, tuple[str, str, str]]:
    """``term -> (Chinese, meaning, lesson)``"""
    found = rows((FOLDER / "GLOSSARY.md").read_text(encoding="utf-8"))
    assert all(len(row) == 4 for row in found), [row for row in found if len(row) != 4]
    names = [row[0] for row in found]
    assert len(set(names)) == len(names), f"twice: {sorted({name for name in names if names.count(name) > 1})}"
    return {name: (chinese, meaning, lesson) for name, chinese, meaning, lesson in found}


def test_no_term_is_defined_twice():
    seen = {}
    for lesson in LESSONS:
        for english, _ in terms(lesson):
            assert english.casefold() not in seen, f"{english}: {seen[english.casefold()]} and {lesson.name}"
            seen[english.casefold()] = lesson.name


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_term_stands_in_the_glossary(lesson):
    known = {name.casefold(): row for name, row in glossary().items()}
    for english, chinese in terms(lesson):
        name = english.casefold() if english.casefold() in known else english.casefold().removesuffix("s")
        assert name in known, f"{english} ({chinese})"
        assert known[name][0] == chinese, english
        assert known[name][2] == str(number(lesson)), english


def test_the_glossary_names_the_lesson_that_introduces_a_term():
    texts = {number(lesson): lesson.read_text(encoding="utf-8").replace("\n# ", " ").casefold() for lesson in LESSONS}
    for name, (_, meaning, lesson) in glossary().items():
        assert meaning.endswith("."), name
        word = name.replace("`", "").split(" (")[0].split(", ")[0]
        assert word.casefold() in texts[int(lesson)], f"{name} does not occur in lesson {lesson}"


def test_every_concept_of_a_source_walk_has_its_place():
    found = [row for row in rows((FOLDER / "README.md").read_text(encoding="utf-8")) if PLACE.search(row[-1])]
    assert len(found) > 60
    for row in found:
        for file, plain, curly in PLACE.findall(row[-1]):
            assert (FOLDER / file).is_file(), row
            assert (plain or curly) in headings(FOLDER / file), row


def test_the_warm_up_prints_what_it_says():
    failed, tried = doctest.testfile(str(FOLDER / "README.md"), module_relative=False, encoding="utf-8")
    assert tried > 20
    assert failed == 0


def test_the_index_lists_every_lesson_with_its_title():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for lesson in LESSONS:
        opening = " ".join(cells(lesson)[0].lines)
        title = cells(lesson)[0].lines[0].removeprefix("# ")
        read, run = (re.search(words, opening) for words in (r"about (\d+) minutes to read", r"runs in (?:about )?(\d+) s\b"))
        row = re.search(rf"\| \[{re.escape(title)}\]\({lesson.name}\) \|.*\| {read[1]} min \| {run[1]} s \|", text)
        assert row, f"{lesson.name}: its row, with {read[1]} min and {run[1]} s"


def test_a_file_that_is_cited_is_introduced():
    """`modeling.py` means nothing to whoever has not met the reference implementation: the first lesson lists its files."""
    ours = {path.name for path in ROOT.rglob("*.py")} | {"answers.py"}
    introduced = set(re.findall(r"`([\w.-]+\.py)`", LESSONS[0].read_text(encoding="utf-8")))
    assert "modeling.py" in introduced
    for lesson in LESSONS:
        text = "\n".join(cell.text for cell in cells(lesson) if cell.markdown)
        cited = set(re.findall(r"(?<!SQuAD's )`([\w.-]+\.py)`(?! of the PyTorch port)", text))
        assert cited <= ours | introduced, f"{lesson.name}: {cited - ours - introduced}"


@pytest.mark.parametrize("page", ["README.md", "GLOSSARY.md", "TEACHING.md"])
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", (FOLDER / page).read_text(encoding="utf-8")):
        assert link.startswith("https://") or (FOLDER / link).exists(), link


def test_the_plan_for_a_class_names_figures_that_lessons_draw():
    drawn = set()
    for lesson in LESSONS:
        drawn |= set(re.findall(r'wb\.save\(\w+, "(\w+)"', lesson.read_text(encoding="utf-8")))
    named = set(re.findall(r"`(\d\d_\w+)\.png`", (FOLDER / "TEACHING.md").read_text(encoding="utf-8")))
    assert named
    assert named <= drawn
