"""``minibert finetune`` and ``minibert predict``.

::

    read both files -> look at them -> put a head on the model -> train, look at the dev examples, keep the best -> report
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert import backend, swap
from minibert.data import rows
from minibert.files import not_over, read_json, remove_leftovers, write_atomically
from minibert.finetuning import models, report, saved
from minibert.finetuning.material import Materials, fingerprint, read_all, with_columns
from minibert.finetuning.options import MULTI, OPTIONS, SMALL, Settings, settings_of, steps_of_epochs
from minibert.finetuning.parts import MEAN, Part, Scores, better, mean, part_of, reading, seen
from minibert.finetuning.saved import Model
from minibert.finetuning.several import parts as parts_of
from minibert.model import exits
from minibert.parameters import Parameters
from minibert.pretrained import WEIGHTS, tensors
from minibert.ranks import ALONE, Ranks
from minibert.ranks.begin import device_of, told_alike
from minibert.shell import command
from minibert.tasks.batches import whole
from minibert.tasks.labelled import PROBLEM_TYPES
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Epochs, Turns, micro_batches
from minibert.training import optimisers
from minibert.training import state as states
from minibert.training.checkpoint import COMPRESSION, FILE, FINE_TUNING, LOG
from minibert.training.course import alone
from minibert.training.engine import Engine, answers, in_order, tokens_at_a_time
from minibert.training.loop import METRICS, Look, Loop, Progress, Stage, Task
from minibert.training.precision import dtype_of
from minibert.training.runs import (
    Say,
    Taught,
    alike,
    clear,
    engine_of,
    explained,
    head,
    lanes_of,
    log_to,
    new_folder,
    profiled,
    settled,
    shared,
)
from minibert.workers import Workers, keep_freed_memory

SETTINGS, RESULT = FINE_TUNING, "metrics.json"


class Way(NamedTuple):
    """How a run begins: models with fresh heads, which learn by themselves, unless they have a teacher (``compression``)."""

    command: str = "finetune"  # which goes on with it
    read: Callable[[Settings], Materials] = read_all
    begin: Callable[..., list[Model]] = saved.begin_several
    taught: Callable[[Model, models.Model, int, int, Any], Taught] = (  # a model, the network, steps, a seed, a device
        lambda model, network, steps, seed, xp: Taught(network, model.parameters))
    beside: Callable[[Path, models.Model, Parameters], None] = lambda folder, model, parameters: None  # with the best model


FINETUNE = Way()


def run(args: argparse.Namespace, ranks: Ranks = ALONE) -> int:
    """Do what the arguments of ``finetune`` ask for. The exit code: 0 done, 130 interrupted and saved."""
    keep_freed_memory()
    told_alike(ranks, args)
    if args.resume:
        alone(OPTIONS, args)
        if (Path(args.resume) / COMPRESSION).is_file():
            raise ValueError(f"{args.resume} holds a run with a teacher, which goes on with: minibert compress --resume")
        return resume(Path(args.resume), args, ranks=ranks)
    settings = settings_of(args)
    materials = read_all(settings)
    if args.profile:
        return _profile(settings, materials, args)
    out = ranks.at_first(lambda: new_folder(args.out, SETTINGS))
    try:
        return begin(out, settings, materials, args, ranks=ranks)
    except BaseException:
        if ranks.first:
            forget(out)
        raise


def begin(out: Path, settings: Settings, materials: Materials, args: argparse.Namespace, way: Way = FINETUNE,
          ranks: Ranks = ALONE) -> int:
    """Train into a folder."""
    return _runs(out, settings, materials, args, log_to(out / LOG, ranks), way, ranks)


def resume(out: Path, args: argparse.Namespace, way: Way = FINETUNE, ranks: Ranks = ALONE) -> int:
    """Go on with the run in a folder."""
    settings, before = _read_settings(out)
    for folder in (out, *out.glob("seed-*")) if ranks.first else ():
        _tidy(folder)
    if (out / RESULT).is_file():
        print(f"{out} is complete.")  # not to the log: the disk may be read-only
        return 0
    say = log_to(out / LOG, ranks)
    say(f"\nResuming {out}")
    materials = way.read(settings)
    if fingerprint(materials) != before:
        files = [f"{each.settings.train} or {each.settings.dev or 'its dev part'}" for each in materials.values()]
        raise ValueError(f"{' or '.join(files)} has changed since the run began, so it cannot go on exactly; restore the "
                         "files, or begin a new run")
    return _runs(out, settings, materials, args, say, way, ranks)


def forget(out: Path) -> None:
    """Take away the folder of a run that ended before anything was saved."""
    if not any(out.rglob(WEIGHTS)) and not any(out.rglob(FILE)):
        (out / LOG).unlink(missing_ok=True)
        (out / SETTINGS).unlink(missing_ok=True)
    clear(out)


def _runs(out: Path, settings: Settings, materials: Materials, args: argparse.Namespace, say: Say, way: Way,
          ranks: Ranks) -> int:
    """One run, or one for each seed."""
    xp, device, ranks = device_of(args.device, ranks)
    dtype_of(settings.precision, xp)
    with Workers(ranks.threads(args.threads), args.workers) as workers:
        settings = replace(settings, lanes=lanes_of(settings, workers.count, xp, ranks.size))
        shared(settings, ranks, settings.batch_size * settings.accumulate)
        if ranks.first:
            about = {"settings": asdict(settings), "data": fingerprint(materials)}
            write_atomically(out / SETTINGS, json.dumps(about, indent=2) + "\n")
        head(say, settings, workers, device, ranks)
        results: dict[int, Scores] = {}
        for seed in range(settings.seed, settings.seed + settings.seeds):
            folder = out if settings.seeds == 1 else out / f"seed-{seed}"
            if not ranks.at_first((folder / RESULT).is_file):
                if settings.seeds > 1:
                    say(f"\nSeed {seed}")
                if not _one(folder, settings, materials, seed, workers, xp, say, way, ranks, first=not results):
                    say(f"\nStopped; everything is saved. To go on:\n  {command('minibert', way.command, '--resume', out)}")
                    return 130
            results[seed] = ranks.at_first(lambda folder=folder: _scores(folder / RESULT))
    if settings.seeds > 1 and ranks.first:
        _summary(out, chooses(settings, materials), results, say)
    pooled = any(material.task.KIND in models.POOLED for material in materials.values())
    use = ("search", out, "FILE", "QUERY") if pooled else ("predict", out, "FILE")
    if settings.task == MULTI:
        use = (*use, "--task", next(iter(materials)))
    say(f"The model is in {out}. Use it:\n  {command('minibert', *use)}")
    return 0


class Begun(NamedTuple):
    """What one run trains on, and with."""

    settings: Settings  # all of them decided
    engine: Engine
    parts: list[Part]
    stage: Stage
    epoch: int  # its steps
    asked: Callable[..., tuple[float, list]]  # see Taught


def _begin(settings: Settings, materials: Materials, seed: int, workers: Workers, xp: Any, say: Say, way: Way,
           ranks: Ranks = ALONE) -> Begun:
    """Put a head for each task on the model, and make features of the examples."""
    from minibert.pretrained import bundled

    begun = way.begin(settings.model or bundled(), {
        name: saved.Asked(m.task, m.labels, with_columns(m.settings, m.train)) for name, m in materials.items()}, seed)
    for note in begun[0].notes:
        say(f"note: {note}")
    found = [part_of(material, model) for material, model in zip(materials.values(), begun)]
    config, longest = begun[0].config, max(model.settings.max_length for model in begun)
    rate = settings.learning_rate or (3e-4 if config.hidden_size <= SMALL or config.filter_sizes else 5e-5)
    settings = replace(settings if settings.task == MULTI else begun[0].settings, learning_rate=rate,
                       micro_batch_tokens=settings.micro_batch_tokens or tokens_at_a_time(xp))
    settings = settled(settings, config.hidden_size, longest, workers.count, xp, ranks.size)
    read = [Epochs(part.features, settings.batch_size * settings.accumulate, seed) for part in found]
    into = [partial(part.batches, max_tokens=settings.micro_batch_tokens) for part in found]
    into = [whole(cut, settings.batch_size) for cut in into] if config.filter_sizes else into
    tasks = [Task(epochs.batch, cut) for epochs, cut in zip(read, into)]
    turns = Turns(list(map(len, read)), seed, settings.ratio)
    network = models.joined([models.weighted(part.network, part.model.settings.loss_weight) for part in found])
    taught = way.taught(begun[0], network, steps_of_epochs(len(turns), settings), seed, xp)
    alike(ranks, settings, taught.parameters, **{"the fingerprint of the examples": str(fingerprint(materials))})
    engine = engine_of(taught.model, taught.parameters.to(xp), workers, settings, seed, taught.teacher, ranks)
    return Begun(settings, engine, found, Stage(tasks, order=turns), len(turns), taught.asked)


def _profile(settings: Settings, materials: Materials, args: argparse.Namespace) -> int:
    """Time some steps of each task and show where they go. Nothing is written."""
    xp, device = backend.choose(args.device)
    with Workers(args.threads, args.workers) as workers:
        head(print, settings, workers, device)
        begun = _begin(settings, materials, settings.seed, workers, xp, print, FINETUNE)
        for part, task in zip(begun.parts, begun.stage.tasks):
            print(f"\n{part.model.name}" if part.model.name else "", end="")
            print(profiled(begun.engine, task, begun.settings.learning_rate, None))
    return 0


def _one(folder: Path, settings: Settings, materials: Materials, seed: int, workers: Workers, xp: Any, say: Say, way: Way,
         ranks: Ranks, first: bool) -> bool:
    """Train with one seed, and report. False when interrupted."""
    ranks.at_first(lambda: folder.mkdir(parents=True, exist_ok=True))
    settings, engine, found, stage, epoch, asked = _begin(settings, materials, seed, workers, xp, say, way, ranks)
    for part in found if first else ():
        say(part.look())
    dev_batches = [part.batches(part.dev_features, tokens_at_a_time(xp)) for part in found]
    progress = Progress(total=0 if settings.minutes else steps_of_epochs(epoch, settings))
    if (folder / FILE).is_file():
        progress = read_state(folder, engine, settings, epoch)
    course = (f"{progress.total:,} steps of {settings.batch_size * settings.accumulate} examples" if progress.total else
              f"{settings.minutes:g} minutes of steps of {settings.batch_size * settings.accumulate} examples")
    say(f"\n{course}, learning rate {settings.learning_rate:g}, "
        f"{'fresh weights' if settings.from_scratch else 'weights of ' + str(settings.model or 'the bundled model')}"
        + (f"; going on after step {progress.step:,}" if progress.step else ""))

    metric = chooses(settings, materials)

    def at_dev() -> Look:
        return seen(found, [part.scored(*asked(part.network, engine.learned, batches, workers))[0]
                            for part, batches in zip(found, dev_batches)])

    def keep() -> None:
        if not ranks.first:
            return
        [(config, alone)] = engine.model.apart(engine.learned).values()
        models_ = [part.model._replace(config=config, parameters=alone) for part in found]
        saved.save_several(folder, models_) if settings.task == MULTI else saved.save(folder, *models_)
        way.beside(folder, engine.model, engine.learned)

    loop = Loop(engine, [stage], settings, progress, folder / METRICS, epoch=epoch, every=lambda total: epoch, look=at_dev,
                worth=lambda look: better(look, metric, "dev_"), keep=keep,
                save=lambda progress: save_state(folder, engine, progress), line=partial(_line, parts=found), say=say)
    with explained(folder):
        if not loop.run():
            return False
    if not ranks.first:
        return True
    progress = loop.progress
    from minibert import plots  # matplotlib takes a second to import

    minutes, seconds = divmod(round(progress.seconds), 60)
    say(f"\n{progress.step:,} steps in {minutes} min {seconds:02} s; the best look was after step {progress.best_step:,}.")
    about = {"best_step": progress.best_step, "steps": progress.step, "seconds": round(progress.seconds, 1), "seed": seed}
    results = []
    for part, batches in zip(found, dev_batches):
        name, material = part.model.name, part.material
        where = folder / name
        where.mkdir(exist_ok=True)
        plots.tuning_curve(part.rows(loop.rows), where / "loss.png", material.metric, progress.best_step,
                           f"Fine-tuning {where.name}")
        best = saved.load(folder, task=name or None)
        scores, guesses = part.scored(*asked(replace(part.network, config=best.config), best.parameters, batches, workers))
        results.append(scores)
        say(f"\n{f'{name}, on its' if name else 'On the'} {len(material.dev.examples):,} dev examples:\n")
        say(report.write(where, material.task, material.dev.examples, guesses, material.labels, scores, {
            "metric": material.metric, **about, "settings": asdict(part.model.settings if name else settings)}))
    if settings.task == MULTI:
        scores = {part.column(name): value for part, each in zip(found, results) for name, value in each.items()}
        say(report.write_several(folder, [
            report.Kept(part.model.name, part.material.metric, each[part.material.metric], part.best(loop.rows))
            for part, each in zip(found, results)], scores | {MEAN: mean(found, results)},
            {"metric": MEAN, **about, "settings": asdict(settings)}))
    _tidy(folder)
    return True


def chooses(settings: Settings, materials: Materials) -> str:
    """The score that chooses between two models: that of the task, or the mean over the tasks."""
    return MEAN if settings.task == MULTI else materials[""].metric


def _line(loop: Loop, parts: Sequence[Part]) -> str:
    """The last row, in words."""
    row = loop.rows[-1]
    losses = [(part.model.name, part.loss(row)) for part in parts]
    said = "  ".join(f"{name} loss {loss:.4f}".strip() for name, loss in losses if loss is not None)
    names = [name for name in row if name.startswith("dev_")]
    if parts[0].model.name:
        names = [*(part.column(part.material.metric, "dev") for part in parts), f"dev_{MEAN}"]
    scores = "  ".join(f"{name.removeprefix('dev_')} {row[name]:.4f}" for name in names)
    best = "  (best so far)" if loop.progress.best_step == row["step"] else ""
    return f"epoch {row['epoch']:.1f}  step {row['step']:,}  {said}  |  dev: {scores}{best}"


def save_state(folder: Path, engine: Engine, progress: Progress) -> None:
    """Write what it takes to go on exactly: weights, moments, counters. Of several ranks all call it, and the first writes."""
    kept = engine.whole()
    if engine.ranks.first:
        states.write(folder, "finetuning", {"progress": asdict(progress)}, engine.parameters, kept,
                     optimisers.name_of(engine.optimiser))


def read_state(folder: Path, engine: Engine, settings: Settings, epoch_steps: int) -> Progress:
    """Put the weights and moments of an interrupted run into the engine. ``epoch_steps``: how many an epoch has.

    ValueError for a file that does not fit it.
    """
    with tensors.opened(folder / FILE) as file:
        try:
            progress = states.restore(file, "finetuning", engine)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file.path}: this is no training state of a fine-tuning run ({type(error).__name__}: {error}); "
                             "a run of minibert train goes on with: minibert train --resume") from None
    if progress.step and not progress.positions:  # from before positions were written
        epoch, done = divmod(progress.step, epoch_steps)
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


def _summary(out: Path, metric: str, results: dict[int, Scores], say: Say) -> None:
    """Mean and spread over the seeds; the model of the best one becomes that of the whole folder."""
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


def run_predict(args: argparse.Namespace) -> int:
    """Do what the arguments of ``predict`` ask for."""
    keep_freed_memory()
    xp, _ = backend.choose(args.device)
    model = saved.load(args.model, xp, task=args.task, weights=args.weights, heads=args.heads)
    if args.literal is not None:
        model = model._replace(settings=replace(model.settings, literal=args.literal))
    task = model.task
    given = {name: getattr(args, name) for name in ("text", "pair", "label", "header") if getattr(args, name) is not None}
    data, labels = read_for(model, args.file, given)
    not_over(args.file, args.out)
    for note in (*model.notes, *data.notes):
        print(f"note: {note}", file=sys.stderr)
    bare = [example._replace(**{task.LABEL: None}) for example in data.examples]
    features, cut = task.encode(bare, model.tokenizer, labels, model.settings)
    note = f"{len(data.examples):,} examples; columns " + ", ".join(f"{role}: {name}" for role, name in data.columns.items())
    print(note + (f"; {cut:,} cut to {model.settings.max_length} tokens" if cut else ""), file=sys.stderr)
    for note in reading(model, data, features).notes():
        print(f"note: {note}", file=sys.stderr)
    network, layers = model.network() if args.speed is None else model.leaving(args.speed), None
    [head] = network.heads
    with Workers(args.threads) as workers:
        batches = micro_batches(features, tokens_at_a_time(xp), pad_id=model.tokenizer.vocab.pad_id)
        _, found = answers(network, model.parameters, batches, workers)
    logits = in_order(batches, [each[head] for each in found])
    for x in logits:
        backend.refuse_nan(x)
    guesses = task.guess(logits, features, data.examples, labels, model.settings)
    if args.speed is not None:
        layers = [int(n) for n in in_order(batches, [each[exits.LAYER] for each in found])]
        print(report.left(layers, model.config.num_hidden_layers), file=sys.stderr)
    text = report.predictions(task, data.examples, guesses, layers)
    scores = _scored(task, data.examples, guesses, labels)
    if args.out:
        write_atomically(args.out, text)
    else:
        sys.stdout.write(text)
    print(scores, file=sys.stderr)
    return 0


def _scored(task: ModuleType, examples: Sequence[Any], guesses: Sequence[Any], labels: Sequence[str]) -> str:
    """What is said at the end of predicting: scores where there are labels to compare with, and how many have none."""
    known = [pair for pair in zip(examples, guesses) if _is_known(task, pair[0], labels)]
    lines = []
    if known:
        lines.append("  ".join(f"{name} {value:.4f}" for name, value in task.score(*zip(*known), labels).items()))
    if foreign := Counter(name for example in examples for name in unknown(task, example, labels)):
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
    return getattr(example, task.LABEL) is not None and not unknown(task, example, labels)


def unknown(task: ModuleType, example: Any, labels: Sequence[str]) -> list[str]:
    if task.KIND == "span" or getattr(example, task.LABEL) is None:
        return []
    return [name for name in task.classes(example) if name not in labels]


def read_for(model: Model, file: str, given: dict[str, Any]) -> tuple[Data, list[str]]:
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
        labels = called(model, data)
        taken = [getattr(tried, role) for role in ("text", "pair", "label") if role not in given and getattr(tried, role)]
        named = any(name.isdigit() and name not in data.columns.values() for name in taken)
        if (named or (labelled is None and not tried.label)) and not any(_is_known(model.task, e, labels) for e in data.examples):
            continue
        if model.settings.pair and "pair" not in data.columns:
            raise ValueError(f"{file}: this model reads pairs of texts, but no second text was found; "
                             "name its column with --pair")
        return data, labels
    raise errors[-1]


def called(model: Model, data: Data) -> list[str]:
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
        settings = Settings(**{"literal": True, **state["settings"]})  # so it was before there was a choice
        parts_of(settings)  # or they are none
        return settings, state["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); begin a new run") from None
