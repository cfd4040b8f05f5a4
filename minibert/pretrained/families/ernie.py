"""ERNIE: BERT with a table of task types, of which a text has the first unless it is told otherwise.

Its own files call everything as BERT's do. Source: Sun et al. 2019, "ERNIE" and "ERNIE 2.0"; transformers' ``modeling_ernie.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from minibert.config import BertConfig
from minibert.pretrained.families.table import Family

TASKS = 3  # rows of the table where a file names no number, or has no table


def _structure(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"task_type_vocab_size": values["task_type_vocab_size"] if values["use_task_id"] else 0}


def _said(config: BertConfig) -> dict[str, Any]:
    return {"use_task_id": bool(config.task_type_vocab_size), "task_type_vocab_size": config.task_type_vocab_size or TASKS}


ERNIE = Family(
    "ernie", "ERNIE", "Ernie", "ernie",
    defaults=MappingProxyType({"use_task_id": False, "task_type_vocab_size": TASKS}),
    sizes=MappingProxyType({"base": {}, "base-tasks": {"use_task_id": True}}),
    structure=_structure, said=_said, spoken=frozenset({"use_task_id", "task_type_vocab_size"}),
)
