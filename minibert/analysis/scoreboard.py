"""The scoreboard: every claim of the reading list in one table, the paper's figure beside ours, on the world and on real models.

On the generated language each analysis is run on several models, trained from other seeds, and on other text. On real text it is
run with other seeds on an encoder, and where that lacks what the analysis needs, a masked-word head above all, on the model that
comes with minibert, which is marked. That one is small, so a third may be asked where a head is needed and English plays no part:
a model of sequences that are no prose, such as chemical reactions, one a line. What was measured is kept as a line of JSON beside
the page: a run that was cut off goes on where it stopped, and an analysis whose source has changed is measured again.
"""

from __future__ import annotations

import datetime
import hashlib
import inspect
import json
import math
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from minibert import pretrained
from minibert.analysis import analyses, subject, world_model
from minibert.files import decode_utf8, loads_json, write_atomically
from minibert.pretrained import Trained
from minibert.workers import describe_blas

SEEDS = 3
SIDES = WORLD, REAL, SEQUENCES = "world", "real", "sequences"
NO_ENGLISH = ("gates", "flow", "pruning", "replaced", "patterns", "deeplift", "calibration")  # hidden tokens of any text will do
COMPARED, BUNDLED = "world, two models", "bundled"  # who else is asked
DIFFER, NOTHING = "seeds differ", "not measured"
KINDS = (analyses.AGREES, analyses.CONTRADICTS, analyses.CANNOT, DIFFER, NOTHING)
Record = dict[str, Any]


class Plan(NamedTuple):
    """What the scoreboard is made of. ``real``: the folder of an encoder, ``data``: its CoNLL-U file; None: no real model.
    ``sequences``, ``sequence_data``: likewise a model of what is no prose, and a file with one sequence a line."""

    size: str = "small"
    real: str | None = None
    data: str | None = None
    seeds: int = SEEDS
    quick: bool = False
    names: Sequence[str] = analyses.NAMES
    steps: int | None = None  # of the world's models; None: those of ``world_model.STEPS``
    sequences: str | None = None
    sequence_data: str | None = None

    @property
    def reads(self) -> dict[str, tuple[str, str]]:
        """Of each side with a real model: its folder, and its file. ValueError for one without the other."""
        found = {REAL: (self.real, self.data), SEQUENCES: (self.sequences, self.sequence_data)}
        if any((folder is None) != (data is None) for folder, data in found.values()):
            raise ValueError("a real model and the data that it reads go together: give both (--real DIR --data FILE, "
                             "--sequences DIR --sequence-data FILE), or neither")
        return {side: (folder, data) for side, (folder, data) in found.items() if folder is not None and data is not None}


class Unit(NamedTuple):
    """One run of one analysis."""

    name: str
    side: str
    seed: int


def units(plan: Plan) -> list[Unit]:
    """All runs, seed by seed, so that a run that was cut off has something of every analysis."""
    return [Unit(name, side, seed) for seed in range(plan.seeds) for name in plan.names for side in (WORLD, *plan.reads)
            if name in _names(side)]


def _names(side: str) -> Sequence[str]:
    return NO_ENGLISH if side == SEQUENCES else analyses.NAMES


def measure(plan: Plan, page: str | os.PathLike[str], told: Callable[[Unit, Record], None] = lambda unit, record: None,
            progress: Callable[[Sequence[Unit]], Iterator[Unit]] = iter) -> None:
    """Measure what is missing, and write the page after each run, and its records, ``.jsonl``, beside it.

    ``told(unit, record)`` hears of each run; ``progress`` goes over the units. ValueError for a real model without data.
    """
    kept = Path(page).with_suffix(".jsonl")
    keys = {unit: _key(_head(unit, plan)) for unit in units(plan)}
    current, planned = set(keys.values()), {key[:-1] for key in keys.values()}
    known = {key: record for record in read(kept) if (key := _key(record)) in current or key[:-1] not in planned}

    def write() -> None:
        write_atomically(page, markdown([known[key] for key in keys.values() if key in known], plan))

    ask = lru_cache(5)(partial(_subject, plan))  # all analyses of a seed look at the same
    missing = [unit for unit, key in keys.items() if key not in known]
    for side in plan.reads:
        if first := next((unit for unit in missing if unit.side == side), None):
            ask(side, first.seed)  # what cannot be read is said before anything is trained
    for unit in progress(missing):
        known[keys[unit]] = record = {**_head(unit, plan), **_run(unit, ask)}
        write_atomically(kept, "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in known.values()))
        write()
        told(unit, record)
    write()


def read(path: Path) -> list[Record]:
    """The records of a file; none where there is no file. ValueError, with the line, for what is none."""
    if not path.is_file():
        return []
    records = []
    for number, line in enumerate(decode_utf8(path.read_bytes(), path).splitlines(), start=1):
        try:
            record = loads_json(line)
            hash(_key(record))
            if "refused" not in record:
                _lines([record]), record["bundled"], record["verdict"]
            records.append(record)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ValueError(f"{path}, line {number}: this is no record of a scoreboard; delete the line, and its run is done "
                             "again") from None
    return records


def markdown(records: Sequence[Record], plan: Plan) -> str:
    """The page."""
    of: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        of[record["name"], record["side"]].append(record)
    names = ("", "claim", "paper", "on the world", "on a real model", "verdict: world", "verdict: real")
    table = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    details, shown = [], SIDES if plan.sequences else SIDES[:2]
    for row in analyses.ROWS:
        for name in row.names:
            source, sides = analyses.module(name), [of[name, side] for side in shown if name in _names(side)]
            heads, verdicts = [_first(side, plan.seeds) for side in sides], [_verdict(side) for side in sides]
            table.append(f"| {row.number} | **{name}**: {_cell(source.CLAIM)} | {_cell(source.PAPER)} | {_columns(heads)} | "
                         f"{_columns(verdicts)} |")
            details += _details(name, sides)
    counted = [_counted([of[name, side] for name in _names(side)]) for side in shown]
    table.append(f"| {row.number} | **scoreboard**: The primer: all claims in one table (Rogers et al. 2020); their verdicts are "
                 f"counted. | a survey, without a figure of its own | | | {_columns(counted)} |")
    return "\n".join([*_opening(records, plan), *table, "", *details]) + "\n"


def _opening(records: Sequence[Record], plan: Plan) -> list[str]:
    command = "python -m minibert analyse --scoreboard" + " --quick" * plan.quick + (
        f" --steps {plan.steps}" if plan.steps else "") + " --real DIR --data FILE" * bool(plan.real) + (
        " --sequences DIR --sequence-data FILE" * bool(plan.sequences))
    trained = " ".join(["python -m minibert train", *world_model.trained_by(plan.size, plan.steps), "--seed N"])
    real, sequences = (_asked(records, side) for side in (REAL, SEQUENCES))
    return ["# Scoreboard", "",
            "What papers found in BERT, measured here: on models of the generated language, where everything is known, and on "
            f"real ones. This page is written by `{command}`.", "",
            f"- the world: {plan.size}; a model of each seed (4 layers, 128 numbers, 4 heads), asked on fresh text of its own, "
            f"trained by `{trained}`",
            f"- real: {real or 'none was given'}",
            *([f"- sequences, where a masked-word head is needed and nothing of English: {sequences}"] if sequences else []),
            f"- numbers are means over {plan.seeds} seeds ± their standard deviation, or over as many as a cell says; in "
            "brackets the control; a verdict's criterion stands in the docstring of its analysis",
            f"- Python {platform.python_version()}, {describe_blas()}, {platform.system()} {platform.machine()}, "
            f"{datetime.date.today()}" + ("; quick: less data" if plan.quick else ""), ""]


def _asked(records: Sequence[Record], side: str) -> str:
    """The models of a side, and what they read; "" where there are none."""
    some = [record for record in records if record["side"] == side and "model" in record]
    models, texts = {record["model"] for record in some}, {f"{r['data']}, {r['sentences']:,} sentences" for r in some}
    return f"{'; '.join(sorted(models))}; text: {'; '.join(sorted(texts))}" if some else ""


def _columns(cells: Sequence[str]) -> str:
    """The cells of the world and of a real model; that of sequences, where there is one, stands in the latter."""
    world, real, *more = cells
    return f"{world} | " + "; ".join(filter(None, [real, *(f"{SEQUENCES}: {cell}" for cell in more if cell)]))


def _counted(groups: Sequence[Sequence[Record]]) -> str:
    """How many analyses came to each of ``KINDS``. ``groups``: the records of each."""
    said = [{record["verdict"] for record in records if "verdict" in record} for records in groups]
    counts = Counter(verdicts.pop() if len(verdicts) == 1 else DIFFER if verdicts else NOTHING for verdicts in said)
    return ", ".join(f"{kind}: {counts[kind]}" for kind in KINDS if counts[kind])


def _details(name: str, sides: Sequence[Sequence[Record]]) -> list[str]:
    """All lines of an analysis, those of the sides under one another."""
    control = _cell(analyses.controls(name))
    found = [f"## {name}", "", f"control: {control}", "", "| | here | control | paper |", "|---|---|---|---|"]
    for side, records in zip(SIDES, sides):
        measured = [record for record in records if "lines" in record]
        found += [f"| {side}: {_cell(record['refused'])} | | | |" for record in records[:1] if "refused" in record]
        for line in _lines(measured):
            found.append(f"| {side}: {_cell(line[0])} | " + " | ".join(map(_cell, line[1:])) + " |")
    return [*found, ""]


def _first(records: Sequence[Record], seeds: int) -> str:
    """The first line in a cell: what it is, the number, the control, and how many seeds there are where some are missing."""
    if refused := next((record["refused"] for record in records if "refused" in record), None):
        return f"not measured: {_cell(refused)}"
    for name, value, control, _ in _lines(records):
        mark = " (the model that comes with minibert)" * records[0]["bundled"]
        some = f" ({len(records)} of {seeds} seeds)" * (len(records) < seeds)
        return _cell(f"{name}: {value}" + (f" [{control}]" if control else "") + mark + some)
    return "not measured yet"


def _lines(records: Sequence[Record]) -> list[tuple[str, str, str, str]]:
    """Name, value, control, paper: means of the seeds that have a line of that name."""
    lines: dict[str, list[list[Any]]] = {}
    for record in records:
        for name, *rest in record["lines"]:
            lines.setdefault(name, []).append(rest)
    return [(name, *(_mean([row[i] for row in rows]) for i in range(3))) for name, rows in lines.items()]


def _mean(values: Sequence[Any]) -> str:
    numbers = [x for x in values if isinstance(x, (int, float)) and math.isfinite(x)]
    if not numbers:
        return str(values[0]) if values and values[0] is not None else ""
    spread = stdev(numbers) if len(numbers) > 1 else 0.0
    whole = all(isinstance(x, int) for x in numbers)
    text = f"{round(mean(numbers)):,}" if whole else f"{mean(numbers):.3f}"
    return text + (f" ± {spread:.3f}" if spread and not whole else "")


def _verdict(records: Sequence[Record]) -> str:
    said = [record["verdict"] for record in records if "verdict" in record]
    if len(kinds := dict.fromkeys(said)) == 1:
        return said[0]
    return "; ".join(f"{verdict} ({said.count(verdict)} of {len(said)})" for verdict in kinds)


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _run(unit: Unit, ask: Callable[[str, int], subject.Subject | None]) -> Record:
    """Run an analysis; where the subjects lack what it needs, the sentence that the first says."""
    compares, refused = getattr(analyses.module(unit.name), "COMPARES", False), ""
    who_of = {WORLD: (COMPARED if compares else WORLD,), REAL: (REAL, BUNDLED), SEQUENCES: (SEQUENCES,)}
    for who in who_of[unit.side]:
        if (asked := ask(who, unit.seed)) is None:
            continue
        try:
            found = analyses.run(unit.name, asked)
        except ValueError as error:
            refused = refused or str(error)
            continue
        return {"bundled": who == BUNDLED, "model": _called(asked.bert), "data": asked.data, "sentences": len(asked.sentences),
                "verdict": found.verdict, "seconds": round(found.seconds, 1),
                "lines": analyses.plain([list(line) for line in found.lines])}
    return {"refused": refused}


def _subject(plan: Plan, who: str, seed: int) -> subject.Subject | None:
    """One who may be asked; None for the model that comes with minibert where the data is of another language."""
    if who in plan.reads:
        folder, data = plan.reads[who]
        return subject.of(pretrained.load(folder), data, seed, plan.quick)
    if who == BUNDLED:
        try:
            return subject.of(pretrained.load(pretrained.bundled()), plan.data, seed, plan.quick)
        except ValueError:
            return None
    other = world_model.load(plan.size, (seed + 1) % max(plan.seeds, 2), plan.steps) if who == COMPARED else None
    return subject.of(world_model.load(plan.size, seed, plan.steps), None, seed, plan.quick, other)


def _called(bert: Trained) -> str:
    """A model without the folders of this machine."""
    c, name = bert.config, "/".join(Path(bert.folder or "").parts[-2:])
    return f"{name} ({c.num_hidden_layers} layers, {c.hidden_size} numbers, {c.num_attention_heads} heads)"


def _head(unit: Unit, plan: Plan) -> Record:
    """What a run depends on."""
    source = inspect.getsource(analyses.module(unit.name))
    if unit.side == WORLD:
        who = {"trained": " ".join(world_model.trained_by(plan.size, plan.steps))}
    else:
        folder, data = map(Path, plan.reads[unit.side])
        who = {"real": folder.parent.name if unit.side == REAL else folder.name, "text": data.name}
    return {**unit._asdict(), "quick": plan.quick, **who, "source": hashlib.sha256(source.encode()).hexdigest()[:12]}


def _key(record: Record) -> tuple:
    """The source last: a record that differs in nothing else is out of date."""
    return tuple(record.get(name) for name in ("real", "text", "trained")) + tuple(
        record[name] for name in ("name", "side", "seed", "quick", "source"))
