"""Everything in minibert that has a backward is checked, and passes."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import minibert.analysis
import minibert.layers
import minibert.model
from gradcheck import suite
from gradcheck.checker import TOLERANCE


@pytest.mark.parametrize("case", suite.CASES.values(), ids=suite.CASES)
def test_gradient(case):
    result = case.check()  # raises with the array, the index, what was got and what was expected
    assert result.ok
    assert result.shapes, "nothing was checked"
    assert "complex" in result.errors  # everything in here is analytic; what has a kink has no central differences
    for method in result.errors:
        assert result.worst(method) <= TOLERANCE[method]


def modules_with_a_backward():
    for package in (minibert.layers, minibert.model, minibert.analysis):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(info.name)
            tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
            if any(isinstance(node, ast.FunctionDef) and node.name == "backward" for node in ast.walk(tree)):
                yield module


def without_an_entry(cases):
    entered = {case.module for case in cases}
    return [module.__name__ for module in modules_with_a_backward() if module not in entered]


def test_every_backward_has_an_entry():
    missing = without_an_entry(suite.CASES.values())
    assert not missing, f"add an entry to gradcheck/suite.py for: {', '.join(missing)}"


def test_a_layer_without_an_entry_would_be_noticed():
    others = [case for case in suite.CASES.values() if case.module.__name__ != "minibert.layers.softmax"]
    assert without_an_entry(others) == ["minibert.layers.softmax"]


def test_another_seed_makes_other_arrays_and_the_same_seed_the_same():
    x = [suite.CASES["layernorm"].arguments(seed)["inputs"]["x"] for seed in (0, 0, 1)]
    assert (x[0] == x[1]).all()
    assert (x[0] != x[2]).all()


def test_select():
    assert [c.name for c in suite.select(["gelu"])] == ["gelu", "gelu-tanh"]  # a module: all its entries
    assert [c.name for c in suite.select(["gelu-tanh", "linear"])] == ["linear", "gelu-tanh"]
    assert suite.select([]) == list(suite.CASES.values())
    with pytest.raises(KeyError, match=r"no entry 'atention' in the suite; there are: linear, .*attention"):
        suite.select(["linear", "atention"])


def test_two_entries_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two entries called 'linear'"):
        suite.case(suite.CASES["linear"].module)(lambda rng: {})
