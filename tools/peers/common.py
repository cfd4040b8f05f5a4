"""A folder of ``tests/pretrained`` that another library wrote: what is beside its weights."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[2] / "tests" / "pretrained"
SIZES = {"vocab_size": 62, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 5,
         "max_position_embeddings": 8, "type_vocab_size": 2}


def folder(library: str, package: str, within: Path = TESTS) -> Path:
    """An empty folder, named after a library and its version."""
    short = ".".join(version(package).split(".")[:2])
    for old in within.glob(f"{library}-*"):
        shutil.rmtree(old)
    path = within / f"{library}-{short}"
    path.mkdir(parents=True)
    return path


def finish(path: Path, values: Mapping[str, np.ndarray], what: str, packages: list[str],
           config: Mapping[str, object] | None = None) -> None:
    """Write ``values.npz``, the configuration, a vocabulary and ``README.md``."""
    from tests.tiny_model import TOKENS

    np.savez(path / "values.npz", **values)
    (path / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    if config is not None:
        (path / "config.json").write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    (path / "README.md").write_text(f"{what} Written on {datetime.date.today()} by {versions}; `values.npz` holds what the "
                                    "library itself says of its numbers.\n", encoding="utf-8")
