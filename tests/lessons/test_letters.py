"""The table of letters says "the same in all lessons": in every lesson, exercise and solution a letter keeps its meaning."""

import ast
import re
import string

import pytest

from tests.lessons.reading import FOLDER, LESSONS, cells, rows

OWN = {"H": "hidden_size", "V": "vocab_size", "L": "num_hidden_layers", "A": "num_attention_heads", "D": "head_size",
       "I": "intermediate_size", "M": "masked"}  # the attribute that a letter may be taken from
SIZES = {*"BTNC", *OWN}
SHAPE = re.compile(r"(?<!\w)\(((?:[A-Z]|\d+)(?:, (?:[A-Z]|\d+))*),?\)")  # (B, T, H), (V,), (2, H)
FILES = [*LESSONS, *sorted(FOLDER.glob("*/lesson*.py")), FOLDER / "suspects.py"]
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")


def symbols() -> dict[str, int]:
    """The letters of the glossary's table, with the lesson that introduces each."""
    table = (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8").partition("## Symbols")[2]
    return {name.strip("`"): int(lesson) for name, _, _, lesson in rows(table)}


def lesson_of(path) -> int:
    return int(re.findall(r"\d\d", path.name)[0]) if path.stem != "suspects" else 16


def bindings(tree: ast.AST):
    """(name, what it is bound to) of every name that is a single letter: a loop's to what it runs over, an argument's to None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and len(node.arg) == 1:
            yield node.arg, None
        pairs = [(target, node.value) for target in node.targets] if isinstance(node, ast.Assign) else \
            [(node.target, node.iter)] if isinstance(node, ast.For | ast.comprehension) else []
        for target, value in pairs:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(names) and len(names) > 1 else \
                [value] * len(names)
            for name, one in zip(names, values):
                if isinstance(name, ast.Name) and len(name.id) == 1:
                    yield name.id, one


def is_size(letter: str, value: ast.expr | None) -> bool:
    """A whole number as far as one can see: a count, a shape, a product, and of a configuration nothing but its own entry."""
    if value is None or isinstance(value, ast.Constant):
        return value is None or isinstance(value.value, int)
    if isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else value.func.id
        return name in ("len", "int", "sum", "max", "zip", "choose", "items", "ndindex")
    if isinstance(value, ast.Attribute):
        return value.attr in ("shape", "size", OWN.get(letter))
    if isinstance(value, ast.Name):
        return True  # another size, or a list of them
    inner = [value.left, value.right] if isinstance(value, ast.BinOp) else value.elts if isinstance(value, ast.Tuple | ast.List) \
        else [value.value] if isinstance(value, ast.Subscript) else []
    return bool(inner) and all(is_size(letter, part) for part in inner)


@every_file
def test_capital_letters_are_those_of_the_table(path):
    known, lesson = symbols(), lesson_of(path)
    for letter, value in bindings(ast.parse(path.read_text(encoding="utf-8"))):
        if letter in string.ascii_uppercase:
            assert letter in known, f"{letter} is no letter of the glossary's table: give it a name"
            assert known[letter] <= lesson, f"{letter} is introduced in lesson {known[letter]}"
            if letter in SIZES:
                assert is_size(letter, value), f"{letter} is a size, but is bound to {ast.unparse(value)}"


@every_file
def test_h_is_a_step_and_t_a_place(path):
    """h: a number, or a loop over numbers. t: what runs over a text; it is no argument of a function, no target, no threshold."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for letter, value in bindings(tree):
        if letter == "h" and value is not None:
            numbers = value.elts if isinstance(value, ast.Tuple) else [value]
            assert all(isinstance(getattr(n, "operand", n), ast.Constant) for n in numbers), f"h = {ast.unparse(value)}: no step"
    for node in ast.walk(tree):
        taken = [node.arg] if isinstance(node, ast.arg) and node.annotation is None else \
            [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
        assert "t" not in taken, f"line {node.lineno}: t is a place"


@every_file
def test_shapes_are_written_with_these_letters(path):
    for shape in SHAPE.findall(path.read_text(encoding="utf-8")):
        for letter in re.findall("[A-Z]", shape):
            assert letter in SIZES, f"({shape}): {letter} is no size"
            assert symbols()[letter] <= lesson_of(path), f"({shape}): {letter} is introduced in lesson {symbols()[letter]}"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_formulas_use_these_letters(lesson):
    """In LaTeX and in indented or fenced formulas; a word in capitals is no letter."""
    known = symbols()
    for cell in cells(lesson):
        if cell.markdown:
            formulas = re.findall(r"\$\$?(.+?)\$\$?", cell.text, re.DOTALL) + re.findall(r"```\n(.+?)```", cell.text, re.DOTALL)
            for formula in formulas:
                bare = re.sub(r"\\[a-z]+\{[^}]*\}|\\[a-zA-Z]+", " ", formula)
                for letter in re.findall(r"(?<![A-Za-z`\[])[A-Z](?![A-Za-z])", bare):
                    assert letter in known, f"{letter} in {formula.strip()[:80]!r}"


def test_the_first_lesson_lists_the_sizes_of_a_model():
    listed = {name.strip("`") for cell in cells(LESSONS[0]) if cell.markdown for name, *_ in rows(cell.text) if len(name) == 3}
    assert listed == set("BTHVLADI")
    assert set(symbols()) >= SIZES
