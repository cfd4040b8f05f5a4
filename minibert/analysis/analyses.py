"""All analyses: their table, how one is run, and what it has to show.

An analysis is a module of this folder, named in ``ROWS``, with

::

    CLAIM, PAPER, CONTROLS              what the paper says, its figure in words or "not verified", and what ours is read against
    measure(bert, …) -> NamedTuple      the numbers
    of(subject) -> that NamedTuple      measure with what a ``Subject`` holds; one sentence (ValueError) for what it lacks
    lines(result) -> list[Line]         the printed table
    verdict(result) -> str              AGREES, CONTRADICTS or CANNOT, by the criterion that its docstring states
    plot(result) -> Figure
    COMPARES = True                     only where it needs a second training of the same architecture: the ``other`` of a subject

and its docstring begins with a line that says what it asks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.backend import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject

AGREES, CONTRADICTS, CANNOT = "agrees", "contradicts", "cannot show at this size"
UNVERIFIED = "not verified"
QUICK = " (quick)"
FEW = 50  # with fewer sentences or texts the error of their mean is itself uncertain: no verdict by it


class Row(NamedTuple):
    """Papers that ask the same, and the analyses that answer."""

    number: int
    asks: str
    names: tuple[str, ...]  # of the modules, with - for _; none of the last, which is ``scoreboard``


ROWS = (
    Row(1, "structure by layer (Jawahar et al. 2019; their trees from attention: row 6, trees)",
        ("spans", "probing-tasks", "agreement", "tensor-products")),
    Row(2, "specialised heads (Voita et al. 2019)", ("specialised", "gates")),
    Row(3, "hierarchical or positional (Lin et al. 2019)", ("hierarchy", "confusion")),
    Row(4, "attention against dependencies, distance, entropy (Vig and Belinkov 2019)", ("dependencies",)),
    Row(5, "what heads look at (Clark et al. 2019)", ("looking", "relations", "attention-probe")),
    Row(6, "trees in single heads (Htut et al. 2019, Jawahar et al. 2019)", ("trees",)),
    Row(7, "similarity of models, rollout and flow (Abnar et al. 2019, Abnar and Zuidema 2020)", ("similarity", "flow")),
    Row(8, "trees by deletion (Rosa and Mareček 2019)", ("deletion",)),
    Row(9, "multiscale views (Vig 2019)", ("neurons",)),
    Row(10, "geometry (Hewitt and Manning 2019, Reif et al. 2019)", ("structural", "senses")),
    Row(11, "how contextual (Ethayarajh 2019)", ("contextual",)),
    Row(12, "sixteen heads or one (Michel et al. 2019)", ("pruning",)),
    Row(13, "attention as explanation (Brunner et al. 2020)", ("effective", "identifiability")),
    Row(14, "loss surfaces (Hao et al. 2019)", ("surfaces",)),
    Row(15, "attention replaced (Vashishth et al. 2019)", ("replaced",)),
    Row(16, "five kinds of maps (Kovaleva et al. 2019)", ("patterns",)),
    Row(17, "polarity items by five methods (Warstadt et al. 2019)", ("polarity", "minimal-pairs")),
    Row(18, "bottom-up, by mutual information (Voita et al. 2019)", ("information",)),
    Row(19, "numbers (Wallace et al. 2019)", ("numeracy",)),
    Row(20, "how questions are answered, by layer (van Aken et al. 2019)", ("answering",)),
    Row(21, "DeepLIFT (Arkhangelskaia and Dutta 2019)", ("deeplift",)),
    Row(22, "multiple choice without passage or question (Si et al. 2019)", ("choices",)),
    Row(23, "calibration (Desai and Durrett 2020)", ("calibration",)),
    Row(24, "search by head or embedding (exBERT, Hoover et al. 2020)", ("contexts",)),
    Row(25, "gendered correlations (Webster et al. 2020)", ("disco",)),
    Row(26, "the model against the exact posterior", ("posterior",)),
    Row(27, "all claims in one table: --scoreboard (the primer, Rogers et al. 2020)", ()),
)
NAMES = tuple(name for row in ROWS for name in row.names)


class Line(NamedTuple):
    """A line of the table: a number, what it is read against, and the paper's. None, or nan: there is none."""

    name: str
    value: float | str
    control: float | str | None = None
    paper: float | str | None = None


class Found(NamedTuple):
    """What came of an analysis."""

    name: str
    result: Any
    lines: list[Line]
    verdict: str
    seconds: float
    about: dict[str, Any]  # model, data, seed

    def figure(self) -> Figure:
        """The picture, whose title says so where it was quick."""
        figure = module(self.name).plot(self.result)
        if self.about.get("quick"):
            plots.add_to_title(figure, QUICK)
        return figure

    def __str__(self) -> str:
        return table(self)

    def json(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        source = module(self.name)
        return plain({"analysis": self.name, **self.about, "claim": source.CLAIM, "paper": source.PAPER,
                      "controls": source.CONTROLS, "verdict": self.verdict, "lines": self.lines,
                      "seconds": round(self.seconds, 1), "result": self.result})


def module(name: str) -> ModuleType:
    """The module of an analysis. ValueError for a name that is none."""
    if name not in NAMES:
        raise ValueError(f"there is no analysis {name!r}; there are {', '.join(NAMES)}")
    return import_module(f"minibert.analysis.{name.replace('-', '_')}")


def run(name: str, subject: Subject) -> Found:
    """An analysis of a subject. ValueError where it lacks what the analysis needs."""
    source, began = module(name), time.perf_counter()
    result = source.of(subject)
    about = {"model": str(subject.bert.folder), "data": subject.data, "sentences": len(subject.sentences), "seed": subject.seed,
             "quick": subject.quick}
    return Found(name, result, source.lines(result), source.verdict(result), time.perf_counter() - began, about)


def share_error(p: Array, q: Array, n: Array) -> Array:
    """The standard error of p − q, two shares of n examples each. As if both had one success and one failure more: few examples
    that are all right, or all wrong, say little, where the plain formula has no error at all. Source: Agresti and Caffo 2000."""
    p, q = ((n * x + 1) / (n + 2) for x in (p, q))
    return np.sqrt((p * (1 - p) + q * (1 - q)) / (n + 2))


def paired_error(gains: np.ndarray, sizes: np.ndarray) -> float:
    """The standard error of Σ gains / Σ sizes, ``(N,)`` each, over N sentences drawn alone, whose words are not: what one finds
    more than the other in each, of how many. Source: the ratio estimator, Cochran 1977, chapter 6."""
    rest, n = gains - sizes * (gains.sum() / sizes.sum()), len(gains)
    return float(np.sqrt(n / (n - 1) * (rest**2).sum()) / sizes.sum()) if n > 1 else math.inf


def judge(gain: Array, margin: Array, goal: float = 0.0) -> str:
    """A claim that a gain, or one of several, reaches ``goal``, where the sample resolves no difference below ``margin``: AGREES
    where one is above both, CONTRADICTS where each stays below the goal by more than its margin, else CANNOT; for nan too."""
    if np.any(gain > np.maximum(goal, margin)):
        return AGREES
    return CONTRADICTS if np.all(gain + margin < goal) else CANNOT


def all_of(*verdicts: str) -> str:
    """Of a claim in several parts: CONTRADICTS where one part does, AGREES where all do."""
    return next((verdict for verdict in (CONTRADICTS, CANNOT) if verdict in verdicts), AGREES)


def table(found: Found) -> str:
    """What is printed: the claim, the lines with their controls, the verdict."""
    source = module(found.name)
    rows = [("", "here", "control", "paper"), *((line.name, *map(_cell, line[1:])) for line in found.lines)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    text = [f"{name:<{widths[0]}}  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths[1:])) for name, *cells in rows]
    name = found.name + QUICK * bool(found.about.get("quick"))
    return "\n".join([f"{name}: {source.CLAIM}", f"in the paper: {source.PAPER}", f"control: {controls(found.name)}", "",
                      *(line.rstrip() for line in text), "", f"verdict: {found.verdict}"])


def controls(name: str) -> str:
    """The controls of an analysis, in words."""
    named = module(name).CONTROLS
    return named if isinstance(named, str) else ", ".join(named)


def plain(value: Any) -> Any:
    """As JSON has it: named tuples as objects, arrays as lists, numbers that are not finite as null."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: float | str | None) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else str(value)
