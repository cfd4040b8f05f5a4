"""Lessons as their readers see them: cells, headings, terms."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "lessons"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
TERM = re.compile(r"\*\*([^*]+)\*\* \(([^()]*[\u4e00-\u9fff][^()]*)\)")


class Cell(NamedTuple):
    markdown: bool
    lines: list[str]  # of markdown without the leading "# "

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def number(lesson: Path) -> int:
    return int(lesson.name[:2])


def cells(lesson: Path) -> list[Cell]:
    """The cells of a lesson in percent format."""
    result: list[Cell] = []
    for line in lesson.read_text(encoding="utf-8").splitlines():
        if line.startswith("# %%"):
            result.append(Cell(line == "# %% [markdown]", []))
        elif result and result[-1].markdown and line:
            assert line == "#" or line.startswith("# "), f"{lesson.name}: not a line of markdown: {line!r}"
            result[-1].lines.append(line[2:])
        elif result:
            result[-1].lines.append(line)
        else:
            assert not line.strip(), f"{lesson.name} begins before its first cell: {line!r}"
    return result


def headings(lesson: Path, marks: tuple[str, ...] = ("## ", "### ")) -> list[str]:
    """The headings below the title, in order."""
    return [line.lstrip("#")[1:] for cell in cells(lesson) if cell.markdown for line in cell.lines if line.startswith(marks)]


def terms(lesson: Path) -> list[tuple[str, str]]:
    """(English, Chinese) of each term that the lesson defines: ``**token** (词元)``."""
    return [(" ".join(english.split()), chinese) for cell in cells(lesson) if cell.markdown
            for english, chinese in TERM.findall(" ".join(cell.lines))]


def rows(text: str) -> list[list[str]]:
    """The rows of all tables of a markdown text, without heads and rules."""
    result, previous = [], ""
    for line in text.splitlines():
        if line.startswith("|") and previous.startswith("|") and not line.startswith("|--"):
            result.append([cell.strip() for cell in line.replace(r"\|", "\0").strip().strip("|").split("|")])
        previous = line
    return [[cell.replace("\0", "|") for cell in row] for row in result]


def bodies(path: Path) -> dict[str, str]:
    """``name -> body`` of every function in a file, as normalised code without docstring, on one line."""
    result = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            result[node.name] = squeezed(*body)
    return result


def squeezed(*nodes: ast.AST) -> str:
    """Code without spaces and line breaks."""
    return "".join("".join(ast.unparse(node) for node in nodes).split())
