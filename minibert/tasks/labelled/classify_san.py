"""Classify pairs of texts by looking at the second one several times: a stochastic answer network, see ``model/heads/san.py``.

The first text is what is asked with: MT-DNN gives it the hypothesis, and the premise is looked at (``--text hypothesis --pair
premise``). Source: Liu et al. 2019, arXiv:1901.11504, section 3.
"""

from __future__ import annotations

from typing import Any

from minibert.tasks.labelled import classify, embed
from minibert.tasks.labelled.classify import (  # noqa: F401 - the same for both
    COLUMNS,
    LABEL,
    MAX_LENGTH,
    METRIC,
    METRICS,
    Example,
    Guess,
    classes,
    describe,
    details,
    encode,
    guess,
    labels,
    picture,
    right,
    row,
    score,
    texts,
)
from minibert.tasks.labelled.common import Data

KIND = "san"
ARCHITECTURE = embed.ARCHITECTURE  # the body; nobody else has this head


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """As in ``classify``. ValueError where there is no second text."""
    data = classify.read(path, settings, labelled)
    if "pair" not in data.columns:
        raise ValueError(f"{data.path}: --head san looks from one text at another, and no second text was found; name its column "
                         "with --pair, or take --head linear")
    return data
