"""A student's copy of the lessons, as notebooks and as pages: ``python -m lessons.build class``.

The folder ``class/lessons`` then holds every lesson as a script, as a notebook and, with all its output and pictures, as a page,
and what the exercises need to be graded there. Solutions and the teacher's plan stay behind. ``minibert`` itself is not copied:
students install it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LEFT_OUT = ("solutions", "figures", "__pycache__", ".ipynb_checkpoints", "TEACHING.md", "build.py", "grades.py")
PAGE = "{% extends 'lab/index.html.j2' %}" + "".join(  # what would be fetched from the network
    f"{{% block html_head_js_{name} %}}{{% endblock %}}" for name in ("requirejs", "mathjax", "mermaidjs"))
EXTRA = 'turning lessons into notebooks and pages takes some tools more: pip install -e ".[lessons]" in the project\'s folder'


def student_copy(out: Path) -> list[Path]:
    """Copies the lessons without solutions to the folder ``out/lessons``. Returns the lessons there, in order.

    Raises ValueError where that folder exists already: somebody's answers may lie in it.
    """
    target = out / "lessons"
    if target.exists():
        raise ValueError(f"{target} exists already, and what lies in it is kept; name another folder")
    shutil.copytree(HERE, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return sorted(target.glob("[0-9][0-9]_*.py"))


def notebook(lesson: Path) -> Any:
    """The lesson as a notebook; writes it beside the script, without output. Raises ImportError without the extra."""
    import jupytext
    import nbformat

    book = jupytext.read(lesson, fmt="py:percent")
    book.metadata = nbformat.from_dict({
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}, "title": lesson.stem})
    nbformat.write(book, lesson.with_suffix(".ipynb"))
    return book


def page(book: Any, lesson: Path) -> None:
    """Runs the notebook and writes it with all its output as a page ``.html``. Raises ValueError where a cell fails."""
    from nbclient.exceptions import CellExecutionError
    from nbconvert.preprocessors import ExecutePreprocessor

    run = ExecutePreprocessor(timeout=None, kernel_name="python3", extra_arguments=["--log-level=ERROR"])
    where = {"metadata": {"path": str(lesson.parent)}}
    try:
        try:
            run.preprocess(book, where)
        except RuntimeError:  # the kernel did not answer: somebody may have taken its port meanwhile
            run.preprocess(book, where)
    except CellExecutionError as error:
        raise ValueError(f"{lesson.name}: a cell fails\n{error}") from None
    except RuntimeError as error:
        raise ValueError(f"{lesson.name}: {error}; try again in another folder, or make its page alone with --only") from None
    lesson.with_suffix(".html").write_text(render(book), encoding="utf-8")


def render(book: Any) -> str:
    """A notebook as a page that needs no network: its formulas are MathML, which browsers set by themselves."""
    from jinja2 import DictLoader
    from latex2mathml.converter import convert
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return convert(body.strip())

        def block_math(self, body: str) -> str:
            return convert(body.strip(), display="block")

    exporter = HTMLExporter(extra_loaders=[DictLoader({"lesson.html.j2": PAGE})], template_file="lesson.html.j2")
    exporter.register_filter("markdown2html", lambda source: MarkdownWithMath(Renderer(escape=False)).render(source))
    return exporter.from_notebook_node(book)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 2 where something stood in the way."""
    parser = argparse.ArgumentParser(prog="python -m lessons.build", description="Makes a student's copy of the lessons, as "
                                     "scripts, notebooks and pages, without the solutions.",
                                     epilog="example: python -m lessons.build class --only 1 6 --quick")
    parser.add_argument("out", type=Path, help="a folder; the lessons come into OUT/lessons")
    parser.add_argument("--copy-only", action="store_true", help="the scripts alone: no notebooks, no pages")
    parser.add_argument("--no-html", action="store_true", help="notebooks, but no pages; nothing is run")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="make notebooks and pages of these lessons only")
    parser.add_argument("--quick", action="store_true", help="run the lessons as with --quick: mechanics, not effects")
    parser.add_argument("--guess", action="store_true", help="pictures without titles and legends, for a guess before")
    options = parser.parse_args(arguments)
    for name in ("quick", "guess"):
        if getattr(options, name):
            os.environ[f"MINIBERT_LESSONS_{name.upper()}"] = "1"
    try:
        if not options.copy_only:
            _require(pages=not options.no_html)
        lessons = student_copy(options.out)
        made = [] if options.copy_only else [path for path in lessons if int(path.name[:2]) in (options.only or range(100))]
        for position, lesson in enumerate(made, start=1):
            print(f"[{position}/{len(made)}] {lesson.stem} … ", end="", flush=True)
            start = time.perf_counter()
            book = notebook(lesson)
            if not options.no_html:
                page(book, lesson)
            print(f"{time.perf_counter() - start:.0f} s")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shutil.rmtree(options.out / "lessons" / "figures", ignore_errors=True)  # they stand in the pages
    shutil.rmtree(options.out / "lessons" / "__pycache__", ignore_errors=True)
    print(f"{len(lessons)} lessons in {options.out / 'lessons'}; notebooks: {len(made)}; "
          f"pages: {0 if options.no_html else len(made)}")
    return 0


def _require(pages: bool) -> None:
    """Raises ValueError that says what to install, before anything is written."""
    needed = ("jupytext", "nbformat", *(("nbconvert", "ipykernel", "latex2mathml") if pages else ()))
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"not installed: {', '.join(missing)}; {EXTRA}")


if __name__ == "__main__":
    sys.exit(main())
