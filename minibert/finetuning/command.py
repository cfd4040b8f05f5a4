"""``minibert finetune`` and ``minibert predict``.

::

    read both files -> look at them -> put a head on the model -> train, look at the dev examples, keep the best -> report
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert import backend
from minibert.data.randomness import ORDER, generator
from minibert.files import write_atomically
from minibert.finetuning import loop, models, report, saved
from minibert.finetuning.features import Feature, micro_batches
from minibert.finetuning.look import look
from minibert.finetuning.loop import Loop, Progress, Scores
from minibert.finetuning.options import SMALL, Settings, given_options, settings_of
from minibert.finetuning.saved import Model
from minibert.finetuning.tasks import TASKS, name_of
from minibert.finetuning.tasks.common import Data
from minibert.pretrained import CONFIG, VOCABULARY, WEIGHTS
from minibert.training.adamw import AdamW
from minibert.training.command import clear, log_to, new_folder
from minibert.training.engine import Engine, predict, tokens_at_a_time
from minibert.training.workers import Workers, keep_freed_memory

Say = Callable[[str], None]
SETTINGS, RESULT = "settings.json", "metrics.json"


class Material(NamedTuple):
    """What a run reads, ready to be learned from."""

    task: ModuleType
    labels: list[str]
    train: Data
    dev: Data
    fingerprint: str  # of both files


def run(args: argparse.Namespace) -> int:
    """Do what the arguments of ``finetune`` ask for. The exit code: 0 done, 130 interrupted and saved."""
    keep_freed_memory()
    if args.resume:
        if given := given_options(args):
            raise ValueError(f"--resume takes its settings from the run, so {', '.join(given)} cannot be given as well; "
                             "only --threads and --device can")
        if args.out:
            raise ValueError("--resume goes on in the run's own folder; --out cannot be given with it")
        out = Path(args.resume)
        settings, fingerprint = _read_settings(out)
        say = log_to(out / "log.txt")
        if (out / RESULT).is_file():
            say(f"{out} is complete.")
            return 0
        say(f"\nResuming {out}")
        material = _read(settings)
        if material.fingerprint != fingerprint:
            raise ValueError(f"{settings.train} or {settings.dev or 'its dev part'} has changed since the run began, so it "
                             "cannot go on exactly; restore the files, or begin a new run")
        return _runs(out, settings, material, args, say)
    settings = settings_of(args)
    material = _read(settings)
    out = new_folder(args.out)
    try:
        return _runs(out, settings, material, args, log_to(out / "log.txt"))
    except BaseException:
        for name in ("log.txt", SETTINGS):
            if not any(out.rglob(WEIGHTS)) and not any(out.rglob(loop.STATE)):
                (out / name).unlink(missing_ok=True)
        clear(out)
        raise


def _read(settings: Settings) -> Material:
    """Both files; without ``--dev`` a tenth of the training examples, drawn always alike, is kept aside."""
    task = TASKS[settings.task]
    train = task.read(settings.train, settings)
    fingerprint = hashlib.sha256(train.path.read_bytes())
    if settings.dev is not None:
        dev = task.read(settings.dev, _with_columns(settings, train))
        fingerprint.update(dev.path.read_bytes())
    else:
        order = generator(0, ORDER).permutation(len(train.examples))
        aside = set(order[:max(1, len(order) // 10)].tolist())
        dev = train._replace(examples=[e for i, e in enumerate(train.examples) if i in aside], notes=[])
        train = train._replace(examples=[e for i, e in enumerate(train.examples) if i not in aside])
    if not train.examples:
        raise ValueError(f"{train.path}: one example is not enough to learn from")
    return Material(task, task.labels(train.examples), train, dev, fingerprint.hexdigest())


def _with_columns(settings: Settings, data: Data) -> Settings:
    """The settings, with the columns named that were found."""
    if settings.task not in ("classify", "regress", "choice"):
        return settings
    return replace(settings, **{role: data.columns.get(role) for role in ("text", "pair", "label")})


def _runs(out: Path, settings: Settings, material: Material, args: argparse.Namespace, say: Say) -> int:
    """One run, or one for each seed."""
    xp, device = backend.choose(args.device)
    write_atomically(out / SETTINGS, json.dumps({"settings": asdict(settings), "data": material.fingerprint}, indent=2) + "\n")
    with Workers(args.threads) as workers:
        say(f"device: {device}, {workers.count} worker{'s' * (workers.count > 1)}, {datetime.datetime.now():%Y-%m-%d %H:%M}")
        results: dict[int, Scores] = {}
        for seed in range(settings.seed, settings.seed + settings.seeds):
            folder = out if settings.seeds == 1 else out / f"seed-{seed}"
            if not (folder / RESULT).is_file():
                if settings.seeds > 1:
                    say(f"\nSeed {seed}")
                if not _one(folder, settings, material, seed, workers, xp, say, first=not results):
                    say(f"\nStopped; everything is saved. To go on:\n  minibert finetune --resume {out}")
                    return 130
            results[seed] = json.loads((folder / RESULT).read_text(encoding="utf-8"))["scores"]
    if settings.seeds > 1:
        _summary(out, settings, material.task, results, say)
    say(f"The model is in {out}. Use it:\n  minibert predict {out} FILE")
    return 0


def _one(folder: Path, settings: Settings, material: Material, seed: int, workers: Workers, xp: Any, say: Say,
         first: bool) -> bool:
    """Train with one seed, and report. False when interrupted."""
    from minibert.api import bundled

    folder.mkdir(parents=True, exist_ok=True)
    task, labels, train, dev, _ = material
    model = saved.begin(settings.model or bundled(), task, labels, _with_columns(settings, train), seed)
    for note in model.notes:
        say(f"note: {note}")
    features, cut = task.encode(train.examples, model.tokenizer, labels, model.settings)
    dev_features, dev_cut = task.encode(dev.examples, model.tokenizer, labels, model.settings)
    rate = settings.learning_rate or (3e-4 if model.config.hidden_size <= SMALL else 5e-5)
    settings = replace(model.settings, learning_rate=rate, micro_batch_tokens=settings.micro_batch_tokens or tokens_at_a_time(xp))
    if first:
        say(f"\n{name_of(task)}: {train.path} and {dev.path}\n" + look(
            task, train, dev, features, dev_features, (cut, dev_cut), settings.max_length, model.tokenizer.vocab.unk_id))
    pad = model.tokenizer.vocab.pad_id
    dev_batches = micro_batches(dev_features, tokens_at_a_time(xp), pad_id=pad)
    constants = AdamW(weight_decay=settings.weight_decay, bias_correction=settings.bias_correction)
    weights = class_weights(settings.class_weights, features, labels)
    engine = Engine(models.of(model.config, task.KIND, len(labels), weights), model.parameters.to(xp), workers, constants,
                    settings.clip or None, seed, freeze=settings.freeze, layer_decay=settings.layer_decay)
    progress = Progress(total=loop.total_steps(len(features), settings))
    if (folder / loop.STATE).is_file():
        progress = loop.read_state(folder, engine)
    say(f"\n{progress.total:,} steps of {settings.batch_size * settings.accumulate} examples, learning rate {rate:g}, "
        f"{'fresh weights' if settings.from_scratch else 'weights of ' + str(settings.model or 'the bundled model')}"
        + (f"; going on after step {progress.step:,}" if progress.step else ""))

    def evaluate() -> Scores:
        loss, logits = engine.predict(dev_batches)
        guesses = task.guess(logits, dev_features, dev.examples, labels, settings)
        return task.score(dev.examples, guesses, labels) | {"loss": loss}

    def keep() -> None:
        saved.save(folder, model._replace(parameters=engine.parameters))

    def save(progress: Progress) -> None:
        loop.save_state(folder, engine, progress)
        loop.write_history(folder / loop.HISTORY, progress.rows)

    metric = settings.metric or task.METRIC
    trainer = Loop(engine, features, settings, metric, progress, evaluate, keep, save, say, pad)
    if not trainer.run():
        return False
    progress = trainer.progress
    best = saved.load(folder)
    _, logits = predict(models.of(best.config, task.KIND, len(labels)), best.parameters, dev_batches, workers)
    guesses = task.guess(logits, dev_features, dev.examples, labels, settings)
    scores = task.score(dev.examples, guesses, labels)
    minutes, seconds = divmod(round(progress.seconds), 60)
    say(f"\n{progress.step:,} steps in {minutes} min {seconds:02} s; the best look was after step {progress.best_step:,}. On the "
        f"{len(dev.examples):,} dev examples:\n")
    say(report.write(folder, task, dev.examples, guesses, labels, scores, {
        "metric": metric, "best_step": progress.best_step, "steps": progress.step, "seconds": round(progress.seconds, 1),
        "seed": seed, "settings": asdict(settings)}))
    (folder / loop.STATE).unlink(missing_ok=True)
    return True


def _summary(out: Path, settings: Settings, task: ModuleType, results: dict[int, Scores], say: Say) -> None:
    """Mean and spread over the seeds; the model of the best one becomes that of the whole folder."""
    metric = settings.metric or task.METRIC
    best = max(results, key=lambda seed: results[seed][metric] * (-1 if metric == "mean_squared_error" else 1))
    spread = {name: [scores[name] for scores in results.values()] for name in results[best]}
    say(f"\n{len(results)} seeds" + "".join(
        f"\n  {name:<20}mean {np.mean(x):.4f}   standard deviation {np.std(x, ddof=1):.4f}   from {min(x):.4f} to {max(x):.4f}"
        for name, x in spread.items()))
    say(f"The best one, seed {best}, is the model of {out}; choosing the best on the dev examples flatters it: report the mean.")
    for name in (CONFIG, VOCABULARY, "tokenizer_config.json", saved.READING, WEIGHTS):
        shutil.copyfile(out / f"seed-{best}" / name, out / name)
    write_atomically(out / RESULT, json.dumps({
        "scores": {name: float(np.mean(x)) for name, x in spread.items()},
        "standard_deviation": {name: float(np.std(x, ddof=1)) for name, x in spread.items()},
        "seeds": results, "best_seed": best}, indent=2) + "\n")


def class_weights(wanted: str | None, features: Sequence[Feature], labels: Sequence[str]) -> np.ndarray | None:
    """(C,) what each class counts. ``balanced``: N / (C · N_c), so that all classes together count alike."""
    if wanted is None:
        return None
    numbers = np.concatenate([np.atleast_1d(feature.labels) for feature in features])
    if wanted == "balanced":
        counts = np.bincount(numbers[numbers >= 0], minlength=len(labels))
        return counts.sum() / (len(labels) * np.maximum(counts, 1.0))
    weights = np.ones(len(labels))
    for part in wanted.split(","):
        label, _, value = part.rpartition("=")
        try:
            weights[labels.index(label)] = float(value)
        except ValueError:
            raise ValueError(f"--class-weights: expected balanced or LABEL=WEIGHT,… with labels {', '.join(labels)}, "
                             f"got {part!r}") from None
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(f"--class-weights: weights must be numbers from 0 on, not all of them 0, got {wanted!r}")
    return weights


def run_predict(args: argparse.Namespace) -> int:
    """Do what the arguments of ``predict`` ask for."""
    keep_freed_memory()
    xp, _ = backend.choose(args.device)
    model = saved.load(args.model, xp, task=args.task)
    task = model.task
    given = {name: getattr(args, name) for name in ("text", "pair", "label", "header") if getattr(args, name) is not None}
    data, labelled = _read_for(model, args.file, given)
    features, cut = task.encode(data.examples, model.tokenizer, model.labels, model.settings)
    note = f"{len(data.examples):,} examples; columns " + ", ".join(f"{role}: {name}" for role, name in data.columns.items())
    print(note + (f"; {cut:,} cut to {model.settings.max_length} tokens" if cut else ""), file=sys.stderr)
    with Workers(args.threads) as workers:
        batches = micro_batches(features, tokens_at_a_time(xp), pad_id=model.tokenizer.vocab.pad_id)
        _, logits = predict(models.of(model.config, task.KIND, len(model.labels)), model.parameters, batches, workers)
    guesses = task.guess(logits, features, data.examples, model.labels, model.settings)
    text = report.predictions(task, data.examples, guesses)
    if args.out:
        write_atomically(args.out, text)
    else:
        sys.stdout.write(text)
    if labelled:
        scores = task.score(data.examples, guesses, model.labels)
        print("  ".join(f"{name} {value:.4f}" for name, value in scores.items()), file=sys.stderr)
    else:
        counts = Counter(str(guess.label) for guess in guesses) if name_of(task) in ("classify", "choice") else {}
        print("no labels in the file" + "".join(f"; {label}: {n:,}" for label, n in sorted(counts.items())), file=sys.stderr)
    return 0


def _read_for(model: Model, file: str, given: dict[str, Any]) -> tuple[Data, bool]:
    """The examples of a file and whether it has labels: with the columns of the training data, or as much of them as is there."""
    settings = replace(model.settings, **given)
    tries = [(settings, True)]
    if "label" not in given:
        tries.append((replace(settings, label=None), False))
        if "text" not in given:
            tries.append((replace(settings, text=None, pair=given.get("pair"), label=None), False))
    errors = []
    for tried, labelled in tries:
        try:
            data = model.task.read(file, tried, labelled)
        except ValueError as error:
            errors.append(error)
            continue
        if model.settings.pair and "pair" not in data.columns:
            raise ValueError(f"{file}: this model reads pairs of texts, but no second text was found; "
                             "name its column with --pair")
        return data, labelled
    raise errors[-1]


def _read_settings(out: Path) -> tuple[Settings, str]:
    path = out / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file, so there is no fine-tuning run to go on with in {out}")
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return Settings(**state["settings"]), state["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); begin a new run") from None
