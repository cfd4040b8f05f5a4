"""Who imports whom: no arrow runs back up, and none runs in a circle, not even late or for a type hint."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
           for path in sorted((ROOT / "minibert").rglob("*.py"))}
LOOKS = {f"minibert.analysis.{name}" for name in ("inside", "guesses", "probes")}  # what a run looks at while it trains
ENTRANCES = {"minibert", "minibert.__main__"}  # what users import, not what modules import


def table() -> dict[str, set[str]]:
    """Room -> the rooms that it may import, from the bottom up, as CONTRIBUTING.md shows it."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Who imports whom")[1].split("\n## ")[0]
    rows = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    named, _, known = zip(*(row.partition("  ") for row in rows))
    return {room: set(may.split()) - {"nothing"} for rooms, may in zip(named, known) for room in rooms.split()}


def room(module: str) -> str:
    name = module.split(".")[1]
    return "kernels.twin" if module == "minibert.kernels" else "analysis.inside" if module in LOOKS else name


def imported(module: str, source: str) -> Iterator[str]:
    """The modules of the package that this one imports, wherever in its text."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names
                     if (base, alias.name) != ("minibert", "__version__")]
        else:
            continue
        yield from (name for name in found if name in MODULES)


ARROWS = {module: set(imported(module, path.read_text(encoding="utf-8"))) - {module} for module, path in MODULES.items()}


def test_every_row_knows_only_rows_above_it():
    rooms = list(table())
    assert set(rooms) == {room(module) for module in MODULES.keys() - ENTRANCES}
    for at, (name, known) in enumerate(table().items()):
        assert known <= set(rooms[:at]), f"{name} may not know {known - set(rooms[:at])}"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - ENTRANCES))
def test_a_module_imports_only_what_its_room_may(module):
    may = table()[room(module)] | {room(module)}
    own = {name for name in MODULES if room(module) == "kernels" and name.split(".")[-1] == module.split(".")[-1]}
    wrong = {name for name in ARROWS[module] - own if name in ENTRANCES or room(name) not in may}
    if room(module) == "commands":
        wrong -= {"minibert"}  # the roof, by the name that users give it
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}: see CONTRIBUTING.md, Who imports whom"


def test_no_room_may_know_what_it_does_not_need():
    for name, known in table().items():
        needed = {room(other) for module in MODULES.keys() - ENTRANCES if room(module) == name
                  for other in ARROWS[module] - ENTRANCES} | ({"api"} if name == "commands" else set())
        assert known <= needed, f"{name} is allowed {', '.join(sorted(known - needed))} and has no use for it"


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter({module: ARROWS[module] for module in MODULES.keys() - ENTRANCES}).prepare()  # CycleError names the circle


def test_late_and_relative_imports_are_seen():
    source = "from .reading import Reading\ndef f():\n    from minibert import api, __version__\n"
    assert set(imported("minibert.text", source)) == {"minibert.text.reading", "minibert.api"}
