"""``minibert finetune`` and ``minibert predict``.

::

    read both files -> look at them -> put a head on the model -> train, look at the dev examples, keep the best -> report
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert import backend, swap
from minibert.data import rows
from minibert.data.randomness import ORDER, generator
from minibert.files import not_over, read_json, remove_leftovers, write_atomically
from minibert.finetuning import models, report, saved
from minibert.finetuning.look import look
from minibert.finetuning.options import OPTIONS, SMALL, Settings, settings_of, steps_an_epoch, total_steps
from minibert.finetuning.saved import Model
from minibert.pretrained import WEIGHTS, tensors
from minibert.shell import command
from minibert.tasks.batches import whole
from minibert.tasks.labelled import PROBLEM_TYPES, common, name_of, task_of
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Epochs, Feature, micro_batches
from minibert.text import Reading
from minibert.training import optimisers
from minibert.training import state as states
from minibert.training.checkpoint import FILE, FINE_TUNING, LOG
from minibert.training.course import alone
from minibert.training.engine import Engine, predict, tokens_at_a_time
from minibert.training.loop import METRICS, Look, Loop, Progress, Stage, Task
from minibert.training.precision import dtype_of
from minibert.training.runs import Say, clear, engine_of, explained, head, log_to, new_folder, profiled, settled
from minibert.workers import Workers, keep_freed_memory

SETTINGS, RESULT = FINE_TUNING, "metrics.json"
LOWER_IS_BETTER = ("mean_squared_error", "loss")

Scores = dict[str, float]


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
        alone(OPTIONS, args)
        out = Path(args.resume)
        settings, fingerprint = _read_settings(out)
        for folder in (out, *out.glob("seed-*")):
            _tidy(folder)
        if (out / RESULT).is_file():
            print(f"{out} is complete.")  # not to the log: the disk may be read-only
            return 0
        say = log_to(out / LOG)
        say(f"\nResuming {out}")
        material = _read(settings)
        if material.fingerprint != fingerprint:
            raise ValueError(f"{settings.train} or {settings.dev or 'its dev part'} has changed since the run began, so it "
                             "cannot go on exactly; restore the files, or begin a new run")
        return _runs(out, settings, material, args, say)
    settings = settings_of(args)
    _check_metric(settings, task_of(settings).METRICS)
    material = _read(settings)
    if args.profile:
        return _profile(settings, material, args)
    out = new_folder(args.out, SETTINGS)
    try:
        return _runs(out, settings, material, args, log_to(out / LOG))
    except BaseException:
        for name in (LOG, SETTINGS):
            if not any(out.rglob(WEIGHTS)) and not any(out.rglob(FILE)):
                (out / name).unlink(missing_ok=True)
        clear(out)
        raise


def _check_metric(settings: Settings, names: Collection[str]) -> None:
    if settings.metric not in (None, "loss", *names):
        raise ValueError(f"--metric must be one of {', '.join(names)} and loss, got {settings.metric!r}")


def _read(settings: Settings) -> Material:
    """Both files; without ``--dev`` a tenth of the training examples is kept aside."""
    task = task_of(settings)
    train = common.with_labels(task, task.read(settings.train, settings))
    fingerprint = hashlib.sha256(train.path.read_bytes())
    if settings.dev is not None:
        dev = common.with_labels(task, task.read(settings.dev, _with_columns(settings, train)))
        fingerprint.update(dev.path.read_bytes())
    elif len(train.examples) == 1:
        raise ValueError(f"{train.path} holds one example, which is not enough to learn from and to measure on"
                         + ("; a blank line ends a sentence" if task.KIND == "token" else ""))
    else:
        aside = kept_aside([task.classes(example) for example in train.examples])
        dev = train._replace(examples=[e for i, e in enumerate(train.examples) if i in aside], notes=[])
        train = train._replace(examples=[e for i, e in enumerate(train.examples) if i not in aside])
        if not dev.examples:
            raise ValueError(f"{train.path}: no example can be kept aside to measure on without a class losing its only one; "
                             "give more examples, or others to measure on with --dev")
    if not train.examples:
        raise ValueError(f"{train.path}: one example is not enough to learn from")
    labels = task.labels(train.examples)
    if settings.metric:  # not every figure is there for all data
        _check_metric(settings, task.score(dev.examples, [task.right(e) for e in dev.examples], labels))
    return Material(task, labels, train, dev, fingerprint.hexdigest())


def kept_aside(classes: Sequence[Collection[str]]) -> set[int]:
    """Which of the examples, given by their classes, are kept out of training: a tenth of each class, drawn always alike.

    They are shuffled and sorted by their rarest class. Of every ten that follow one another one is taken, the first that leaves
    another example of each of its classes.
    """
    left = Counter(name for found in classes for name in found)
    rarest = [min(((left[name], name) for name in found), default=(0, "")) for found in classes]
    order = sorted(generator(0, ORDER).permutation(len(classes)).tolist(), key=lambda i: rarest[i])
    aside = set()
    for start in range(0, max(10, len(order)) - 9, 10):
        chosen = next((i for i in order[start:start + 10] if all(left[name] > 1 for name in classes[i])), None)
        if chosen is not None:
            aside.add(chosen)
            left.subtract(classes[chosen])
    return aside


def _with_columns(settings: Settings, data: Data) -> Settings:
    """The settings, with the columns named that were found."""
    if settings.task not in ("classify", "regress", "choice", "rank", "embed"):
        return settings
    return replace(settings, **{role: data.columns.get(role) for role in ("text", "pair", "label")})


def _runs(out: Path, settings: Settings, material: Material, args: argparse.Namespace, say: Say) -> int:
    """One run, or one for each seed."""
    xp, device = backend.choose(args.device)
    write_atomically(out / SETTINGS, json.dumps({"settings": asdict(settings), "data": material.fingerprint}, indent=2) + "\n")
    dtype_of(settings.precision, xp)
    with Workers(args.threads, args.workers) as workers:
        head(say, settings, workers, device)
        results: dict[int, Scores] = {}
        for seed in range(settings.seed, settings.seed + settings.seeds):
            folder = out if settings.seeds == 1 else out / f"seed-{seed}"
            if not (folder / RESULT).is_file():
                if settings.seeds > 1:
                    say(f"\nSeed {seed}")
                if not _one(folder, settings, material, seed, workers, xp, say, first=not results):
                    say(f"\nStopped; everything is saved. To go on:\n  {command('minibert', 'finetune', '--resume', out)}")
                    return 130
            results[seed] = _scores(folder / RESULT)
    if settings.seeds > 1:
        _summary(out, settings, material.task, results, say)
    use = ("search", out, "FILE", "QUERY") if material.task.KIND in models.POOLED else ("predict", out, "FILE")
    say(f"The model is in {out}. Use it:\n  {command('minibert', *use)}")
    return 0


class Begun(NamedTuple):
    """What one run trains on, and with."""

    model: Model
    settings: Settings  # all of them decided
    engine: Engine
    features: list[Feature]
    dev_features: list[Feature]
    cut: tuple[int, int]  # how many examples of each were too long
    stages: list[Stage]


def _begin(settings: Settings, material: Material, seed: int, workers: Workers, xp: Any, say: Say) -> Begun:
    """Put a head on the model, and make features of the examples."""
    from minibert.pretrained import bundled

    task, labels, train, dev, _ = material
    model = saved.begin(settings.model or bundled(), task, labels, _with_columns(settings, train), seed)
    for note in model.notes:
        say(f"note: {note}")
    features, cut = task.encode(train.examples, model.tokenizer, labels, model.settings)
    dev_features, dev_cut = task.encode(dev.examples, model.tokenizer, labels, model.settings)
    rate = settings.learning_rate or (3e-4 if model.config.hidden_size <= SMALL else 5e-5)
    settings = replace(model.settings, learning_rate=rate, micro_batch_tokens=settings.micro_batch_tokens or tokens_at_a_time(xp))
    settings = settled(settings, model.config.hidden_size, settings.max_length, workers.count, xp)
    weights = class_weights(settings.class_weights, features, labels)
    engine = engine_of(model.network(weights), model.parameters.to(xp), workers, settings, seed)
    read = Epochs(features, settings.batch_size * settings.accumulate, seed).batch
    into = partial(micro_batches, max_tokens=settings.micro_batch_tokens, pad_id=model.tokenizer.vocab.pad_id)
    into = whole(into, settings.batch_size) if model.config.filter_sizes else into
    return Begun(model, settings, engine, features, dev_features, (cut, dev_cut), [Stage([Task(read, into)])])


def _profile(settings: Settings, material: Material, args: argparse.Namespace) -> int:
    """Time some steps and show where they go. Nothing is written."""
    xp, device = backend.choose(args.device)
    with Workers(args.threads, args.workers) as workers:
        head(print, settings, workers, device)
        begun = _begin(settings, material, settings.seed, workers, xp, print)
        print(profiled(begun.engine, begun.stages[0].tasks[0], begun.settings.learning_rate, None))
    return 0


def _one(folder: Path, settings: Settings, material: Material, seed: int, workers: Workers, xp: Any, say: Say,
         first: bool) -> bool:
    """Train with one seed, and report. False when interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = _begin(settings, material, seed, workers, xp, say)
    task, labels, train, dev, _ = material
    model, settings, engine, features, dev_features, cut, stages = begun
    if first:
        say(f"\n{name_of(task)}: {train.path} and {dev.path}\n" + look(
            task, train, dev, features, dev_features, cut, settings.max_length,
            tuple(_reading(model, *part) for part in ((train, features), (dev, dev_features)))))
    dev_batches = micro_batches(dev_features, tokens_at_a_time(xp), pad_id=model.tokenizer.vocab.pad_id)
    progress = Progress(total=0 if settings.minutes else total_steps(len(features), settings))
    if (folder / FILE).is_file():
        progress = read_state(folder, engine, settings, len(features))
    course = (f"{progress.total:,} steps of {settings.batch_size * settings.accumulate} examples" if progress.total else
              f"{settings.minutes:g} minutes of steps of {settings.batch_size * settings.accumulate} examples")
    say(f"\n{course}, learning rate {settings.learning_rate:g}, "
        f"{'fresh weights' if settings.from_scratch else 'weights of ' + str(settings.model or 'the bundled model')}"
        + (f"; going on after step {progress.step:,}" if progress.step else ""))
    metric = settings.metric or task.METRIC

    def scored(loss: float, logits: list[np.ndarray]) -> tuple[Scores, list[Any]]:
        guesses = task.guess(logits, dev_features, dev.examples, labels, settings)
        return task.score(dev.examples, guesses, labels) | {"loss": loss}, guesses

    def at_dev() -> Look:
        return {f"dev_{name}": value for name, value in scored(*engine.predict(dev_batches))[0].items()}

    def keep() -> None:
        saved.save(folder, model._replace(parameters=engine.learned))

    epoch = steps_an_epoch(len(features), settings)
    loop = Loop(engine, stages, settings, progress, folder / METRICS, epoch=epoch, every=lambda total: epoch, look=at_dev,
                worth=lambda found: better(found, metric, "dev_"), keep=keep,
                save=lambda progress: save_state(folder, engine, progress), line=_line, say=say)
    with explained(folder):
        if not loop.run():
            return False
    progress = loop.progress
    from minibert import plots  # matplotlib takes a second to import

    plots.tuning_curve(loop.rows, folder / "loss.png", metric, progress.best_step, f"Fine-tuning {folder.name}")
    best = saved.load(folder)
    scores, guesses = scored(*predict(engine.model, best.parameters, dev_batches, workers))
    minutes, seconds = divmod(round(progress.seconds), 60)
    say(f"\n{progress.step:,} steps in {minutes} min {seconds:02} s; the best look was after step {progress.best_step:,}. On the "
        f"{len(dev.examples):,} dev examples:\n")
    say(report.write(folder, task, dev.examples, guesses, labels, scores, {
        "metric": metric, "best_step": progress.best_step, "steps": progress.step, "seconds": round(progress.seconds, 1),
        "seed": seed, "settings": asdict(settings)}))
    _tidy(folder)
    return True


def better(scores: Look, metric: str, prefix: str = "") -> float:
    """The score that chooses between two models, the greater the better."""
    return -scores[prefix + metric] if metric in LOWER_IS_BETTER else scores[prefix + metric]


def _line(loop: Loop) -> str:
    """The last row, in words."""
    row = loop.rows[-1]
    scores = "  ".join(f"{name.removeprefix('dev_')} {value:.4f}" for name, value in row.items() if name.startswith("dev_"))
    best = "  (best so far)" if loop.progress.best_step == row["step"] else ""
    return f"epoch {row['epoch']:.1f}  step {row['step']:,}  loss {row['loss']:.4f}  |  dev: {scores}{best}"


def save_state(folder: Path, engine: Engine, progress: Progress) -> None:
    """Write what it takes to go on exactly: weights, moments, counters."""
    states.write(folder, "finetuning", {"progress": asdict(progress)}, engine.parameters, engine.kept,
                 optimisers.name_of(engine.optimiser))


def read_state(folder: Path, engine: Engine, settings: Settings, examples: int) -> Progress:
    """Put the weights and moments of an interrupted run into the engine. ValueError for a file that does not fit it."""
    with tensors.opened(folder / FILE) as file:
        try:
            progress = states.restore(file, "finetuning", engine)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file.path}: this is no training state of a fine-tuning run ({type(error).__name__}: {error}); "
                             "a run of minibert train goes on with: minibert train --resume") from None
    if progress.step and not progress.positions:  # from before positions were written
        epoch, done = divmod(progress.step, steps_an_epoch(examples, settings))
        progress = replace(progress, positions=((epoch, done * settings.batch_size * settings.accumulate),))
    return progress


def _tidy(folder: Path) -> None:
    """Remove what nobody needs any more: what killed writers left, and the state of a run that is complete."""
    remove_leftovers(folder)
    if (folder / RESULT).is_file():
        with suppress(OSError):
            (folder / FILE).unlink()


def _scores(path: Path) -> Scores:
    """Of a run that is complete."""
    scores = read_json(path, dict).get("scores")
    if not isinstance(scores, dict) or not all(isinstance(value, (int, float)) for value in scores.values()):
        raise ValueError(f"{path} is damaged: it has no scores; delete it, and finetune --resume makes it anew")
    return scores


def _summary(out: Path, settings: Settings, task: ModuleType, results: dict[int, Scores], say: Say) -> None:
    """Mean and spread over the seeds; the model of the best one becomes that of the whole folder."""
    metric = settings.metric or task.METRIC
    best = max(results, key=lambda seed: better(results[seed], metric))
    spread = {name: [scores[name] for scores in results.values()] for name in results[best]}
    say(f"\n{len(results)} seeds" + "".join(
        f"\n  {name:<20}mean {np.mean(x):.4f}   standard deviation {np.std(x, ddof=1):.4f}   from {min(x):.4f} to {max(x):.4f}"
        for name, x in spread.items()))
    say(f"The best one, seed {best}, is the model of {out}; choosing the best on the dev examples flatters it: report the mean.")
    with swap.saving(out) as staged:
        for name in saved.files(out / f"seed-{best}"):
            (staged / name).parent.mkdir(exist_ok=True)
            write_atomically(staged / name, (out / f"seed-{best}" / name).read_bytes())
    write_atomically(out / RESULT, json.dumps({
        "scores": {name: float(np.mean(x)) for name, x in spread.items()},
        "standard_deviation": {name: float(np.std(x, ddof=1)) for name, x in spread.items()},
        "seeds": results, "best_seed": best}, indent=2) + "\n")


def class_weights(wanted: str | None, features: Sequence[Feature], labels: Sequence[str]) -> np.ndarray | None:
    """(C,) what each class counts. ``balanced``: N / (C · N_c), so that all classes together count alike.

    Of labels that do not exclude one another it is N / N_c - 1: that one is there counts as much, all in all, as that it is not.
    """
    if wanted is None:
        return None
    if wanted == "balanced" and features[0].labels.dtype.kind == "b":
        there = np.sum([feature.labels for feature in features], 0)
        return np.maximum(len(features) - there, 1) / np.maximum(there, 1)
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
    model = saved.load(args.model, xp, task=args.task, weights=args.weights, heads=args.heads)
    if args.literal is not None:
        model = model._replace(settings=replace(model.settings, literal=args.literal))
    task = model.task
    given = {name: getattr(args, name) for name in ("text", "pair", "label", "header") if getattr(args, name) is not None}
    data, labels = _read_for(model, args.file, given)
    not_over(args.file, args.out)
    for note in (*model.notes, *data.notes):
        print(f"note: {note}", file=sys.stderr)
    bare = [example._replace(**{task.LABEL: None}) for example in data.examples]
    features, cut = task.encode(bare, model.tokenizer, labels, model.settings)
    note = f"{len(data.examples):,} examples; columns " + ", ".join(f"{role}: {name}" for role, name in data.columns.items())
    print(note + (f"; {cut:,} cut to {model.settings.max_length} tokens" if cut else ""), file=sys.stderr)
    for note in _reading(model, data, features).notes():
        print(f"note: {note}", file=sys.stderr)
    with Workers(args.threads) as workers:
        batches = micro_batches(features, tokens_at_a_time(xp), pad_id=model.tokenizer.vocab.pad_id)
        _, logits = predict(model.network(), model.parameters, batches, workers)
    for x in logits:
        backend.refuse_nan(x)
    guesses = task.guess(logits, features, data.examples, labels, model.settings)
    text, scores = report.predictions(task, data.examples, guesses), _scored(task, data.examples, guesses, labels)
    if args.out:
        write_atomically(args.out, text)
    else:
        sys.stdout.write(text)
    print(scores, file=sys.stderr)
    return 0


def _reading(model: Model, data: Data, features: Sequence[Feature]) -> Reading:
    """How much of the examples is unknown to the model, and how many special tokens are written there."""
    return Reading.of(model.tokenizer.vocab, map(model.task.texts, data.examples), (ids for f in features for ids in f.ids),
                      model.settings.literal)


def _scored(task: ModuleType, examples: Sequence[Any], guesses: Sequence[Any], labels: Sequence[str]) -> str:
    """What is said at the end of predicting: scores where there are labels to compare with, and how many have none."""
    known = [pair for pair in zip(examples, guesses) if _is_known(task, pair[0], labels)]
    lines = []
    if known:
        lines.append("  ".join(f"{name} {value:.4f}" for name, value in task.score(*zip(*known), labels).items()))
    if foreign := Counter(name for example in examples for name in _unknown(task, example, labels)):
        names = [f"{name!r} ({n:,})" for name, n in foreign.most_common(5)] + ["…"] * (len(foreign) > 5)
        lines.append(f"labels that this model does not know: {', '.join(names)}; it knows {', '.join(labels[:20])}"
                     + " …" * (len(labels) > 20))
    if 0 < len(known) < len(examples):
        lines.append(f"these are the scores of {len(known):,} examples; {len(examples) - len(known):,} have no label to compare "
                     "with")
    if not known:
        guessed = [e._replace(label=g.label) for e, g in zip(examples, guesses)] if task in PROBLEM_TYPES.values() else []
        counts = Counter(name for example in guessed for name in task.classes(example))
        lines.append("no labels to compare with" + "".join(f"; {label}: {n:,}" for label, n in sorted(counts.items())))
    return "\n".join(lines)


def _is_known(task: ModuleType, example: Any, labels: Sequence[str]) -> bool:
    """Does it have a label, and is it one that the model could have guessed?"""
    return getattr(example, task.LABEL) is not None and not _unknown(task, example, labels)


def _unknown(task: ModuleType, example: Any, labels: Sequence[str]) -> list[str]:
    if task.KIND == "span" or getattr(example, task.LABEL) is None:
        return []
    return [name for name in task.classes(example) if name not in labels]


def _read_for(model: Model, file: str, given: dict[str, Any]) -> tuple[Data, list[str]]:
    """The examples of a file, with the columns of the training data or as many as are there; and what their classes are called.

    Labels are taken where there are some. A column that was only guessed to hold them, but has none that the model knows, was
    guessed wrong; so were columns that only had a number in the training data, and have names here.
    """
    settings = replace(model.settings, **given)
    if "header" not in given and rows.is_json_file(file):
        settings = replace(settings, header=None)  # that of the training data
    tries = [(settings, None)]
    if "label" not in given:
        tries.append((replace(settings, label=None), False))
        if "text" not in given:
            guessed = replace(settings, text=None, pair=given.get("pair"), label=None)
            tries += [(guessed, None), (guessed, False)]
    errors = []
    for tried, labelled in tries:
        try:
            data = model.task.read(file, tried, labelled)
        except ValueError as error:
            errors.append(error)
            continue
        labels = _called(model, data)
        taken = [getattr(tried, role) for role in ("text", "pair", "label") if role not in given and getattr(tried, role)]
        named = any(name.isdigit() and name not in data.columns.values() for name in taken)
        if (named or (labelled is None and not tried.label)) and not any(_is_known(model.task, e, labels) for e in data.examples):
            continue
        if model.settings.pair and "pair" not in data.columns:
            raise ValueError(f"{file}: this model reads pairs of texts, but no second text was found; "
                             "name its column with --pair")
        return data, labels
    raise errors[-1]


def _called(model: Model, data: Data) -> list[str]:
    """What the classes are called: their numbers where the model has no names for them (``LABEL_0``) and the file has numbers."""
    task, numbers = model.task, [str(i) for i in range(len(model.labels))]
    found = {name for e in data.examples if getattr(e, task.LABEL) is not None for name in task.classes(e)}
    return numbers if model.labels == [f"LABEL_{i}" for i in numbers] and found & set(numbers) else model.labels


def _read_settings(out: Path) -> tuple[Settings, str]:
    path = out / SETTINGS
    if not path.is_file():
        other = "; it holds one of pre-training: minibert train --resume" if (out / FILE).is_file() else ""
        raise FileNotFoundError(f"{path}: there is no such file, so there is no fine-tuning run to go on with in {out}{other}")
    try:
        state = read_json(path, dict)
        return Settings(**{"literal": True, **state["settings"]}), state["data"]  # so it was before there was a choice
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); begin a new run") from None
