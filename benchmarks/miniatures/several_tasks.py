"""Several tasks, then few labels: what a new domain gains from an encoder that has learned other tasks together."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from minibert.analysis import world_model
from minibert.cli import main
from minibert.world import World, task_files

ASKS = ("A model of the small generated language learns similarity, inference and sentiment together (MT-DNN), then which pairs "
        "of sentences are alike, on topics of which it had no labels, from 25 labels; beside the same 25 on the model itself.")
CRITERION = "On the new domain at least 8 points more accuracy, as a mean over the seeds."

LABELS, DRAWS, TEST = 25, 3, 300
TASKS = {"similarity": ("regress", 2000), "nli": ("classify", 600), "sentiment": ("classify", 600)}
SEVERAL = ("--epochs", "8")
FEW = ("--epochs", "20", "--batch-size", "8", "--eval-every", "1000")  # one look at the test set, at the end


def run(seed: int) -> dict[str, float]:
    world_model.load("small")
    before = world_model.folder_of("small", 0)
    with tempfile.TemporaryDirectory() as name:
        folder, language = Path(name), World.of("small").language
        asked = []
        for task, (kind, train) in TASKS.items():
            for split, n in (("train", train), ("dev", 150)):
                written(folder / f"{task}-{split}.tsv", task_files.rows(language, task, split, n, seed))
            asked += ["--task", kind, folder / f"{task}-train.tsv", folder / f"{task}-dev.tsv"]
        tuned("multi", before, folder / "several", seed, *asked, *SEVERAL)
        found = {f"{name.replace('_', ' ')}, several tasks": value for name, value in scores(folder / "several").items()
                 if name.endswith(("accuracy", "pearson"))}
        rows = alike(task_files.rows(language, "similarity", "out_of_domain", 2 * (TEST + DRAWS * LABELS), seed))
        written(folder / "test.tsv", rows[:TEST])
        for called, model in (("several tasks first", folder / "several"), ("alone", before)):
            right = []
            for draw in range(DRAWS):
                written(folder / "few.tsv", rows[TEST + draw * LABELS:][:LABELS])
                out = folder / f"{called}-{draw}"
                tuned("classify", model, out, seed, "--train", folder / "few.tsv", "--dev", folder / "test.tsv", *FEW)
                right.append(scores(out)["accuracy"])
            found[f"accuracy from {LABELS} labels, {called}"] = float(np.mean(right))
    return found


def met(rows: Sequence[dict[str, float]]) -> bool:
    """Whether the mean gain over the seeds is as large."""
    several, alone = (f"accuracy from {LABELS} labels, {called}" for called in ("several tasks first", "alone"))
    return float(np.mean([row[several] - row[alone] for row in rows])) >= 0.08


def alike(rows: Sequence[dict]) -> list[dict]:
    """Pairs of which at least three of four things are the same, or at most one; those between are left out."""
    return [{"sentence1": row["sentence1"], "sentence2": row["sentence2"],
             "label": "alike" if float(row["score"]) > 2.5 else "other"} for row in rows if float(row["score"]) != 2.5]


def written(path: Path, rows: Sequence[dict]) -> None:
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (rows[0].keys(), *(row.values() for row in rows))),
                    encoding="utf-8")


def tuned(task: str, model: Path, out: Path, seed: int, *options: object) -> None:
    """Train with the command, and say nothing."""
    said = io.StringIO()
    with redirect_stdout(said):
        code = main(["finetune", task, *map(str, ("--model", model, "--out", out, "--seed", seed, "--threads", 1, *options))])
    if code:
        raise RuntimeError(said.getvalue())


def scores(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["scores"]
