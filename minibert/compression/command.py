"""``minibert compress``: from a teacher's folder to that of a smaller model.

::

    open the teacher -> begin a student with some of its layers -> train it as train or finetune would -> the student's folder
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import MappingProxyType

from minibert.compression import labelled, prune, quantise, record, report, texts, vocabulary
from minibert.compression.options import OPTIONS, Settings, recipe_of
from minibert.compression.recipes import sha256
from minibert.files import read_json
from minibert.finetuning.options import OPTIONS as OF_LABELLED
from minibert.training.checkpoint import COMPRESSION
from minibert.training.course import alone
from minibert.training.options import OPTIONS as OF_TEXTS
from minibert.workers import keep_freed_memory

RUNS = MappingProxyType({"prune": prune, "vocabulary": vocabulary, "quantise": quantise})  # recipes with a way of their own


def run(args: argparse.Namespace) -> int:
    """Do what the arguments of ``compress`` ask for. The exit code: 0 done, 130 interrupted and saved."""
    keep_freed_memory()
    if args.resume:
        for options in (OPTIONS, OF_TEXTS, OF_LABELLED):
            alone(options, args)
        return _resume(args, Path(args.resume))
    if args.profile:
        raise ValueError("--profile: train and finetune show where the time of a step goes, and compress does not; leave it out")
    if args.recipe == "report":
        return report.run(args)
    recipe = recipe_of(args)
    if own := RUNS.get(recipe.recipe):
        return own.run(args, recipe)
    return (labelled if hasattr(args, "train") else texts).begin(args, recipe)


def _resume(args: argparse.Namespace, out: Path) -> int:
    if (out / prune.RUN).is_file():
        return prune.resume(args, out)
    path = out / COMPRESSION
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file, so there is no run with a teacher to go on with in {out}; "
                                "minibert train --resume and minibert finetune --resume go on with others")
    try:
        found = read_json(path, dict)
        recipe, fingerprint, kind = Settings(**found["recipe"]), found["teacher_sha256"], texts if found["of_texts"] else labelled
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); begin a new run") from None
    teacher = kind.teacher_of(recipe)
    if sha256(teacher.parameters) != fingerprint:
        raise ValueError(f"the teacher in {recipe.teacher} has changed since the run began, so it cannot go on exactly; put it "
                         "back, or begin a new run")
    code = kind.resume(args, out, recipe, teacher)
    return code or (record.shown(out) if recipe.gates else 0)
