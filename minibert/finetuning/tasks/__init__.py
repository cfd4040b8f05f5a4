"""One module for each task, all with the same names in them.

::

    KIND            which head (see models)                    ARCHITECTURE    what transformers calls the model
    METRIC          which score chooses the best checkpoint   MAX_LENGTH      tokens of an input, unless told otherwise
    read            file -> Data                              labels          training examples -> names of the classes
    encode          examples -> features for the model        guess           logits -> a guess for each example
    score           examples and guesses -> figures           COLUMNS, row    what is written down for each example
    describe        what is special about the data            details         tables for the report
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from minibert.finetuning.tasks import choice, classify, qa, regress, tag

TASKS: Mapping[str, ModuleType] = MappingProxyType(
    {"classify": classify, "regress": regress, "tag": tag, "qa": qa, "choice": choice})


def name_of(task: ModuleType) -> str:
    """What the command line calls it."""
    return task.__name__.rpartition(".")[2]


def of_architecture(architectures: object) -> str:
    """The task of a model that transformers saved, by the name in its ``config.json``. ValueError for one without a task."""
    known = {task.ARCHITECTURE: name for name, task in reversed(TASKS.items())}  # a regression is a sequence classification too
    for architecture in architectures if isinstance(architectures, list) else []:
        if architecture in known:
            return known[architecture]
    raise ValueError(f"the model in this folder has no head for a task: its config.json says architectures = {architectures!r}, "
                     f"expected one of {', '.join(known)}; train one with: minibert finetune TASK --model …")
