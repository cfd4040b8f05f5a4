"""Heads, rows of the feed-forward parts and layers are taken out of a model, the least important first, in one go or in rounds.

::

    open the teacher -> importance on some texts -> take out a part -> learn on, if that is asked for -> the next round

Importance is defined in ``model.importance``: |output·gradient| of a head or a row, added up in one of three ways, which ``--by``
names. It is estimated on examples that are learned from, in each round anew. All layers stand in one order, and the last head or
row of a layer stays. ``pruning.json`` beside the model says what was important and what is left.

With ``--gates`` heads are not ranked: a gate of each learns (``gated``), and those that end closed are taken out.

Source: Michel et al. 2019, arXiv:1905.10650, section 4; Voita et al. 2019, arXiv:1905.09418, section 5.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.compression import cutting, labelled, record, students, texts
from minibert.compression.cutting import Kept
from minibert.compression.options import Settings, of_texts, refuse
from minibert.config import BertConfig
from minibert.data.randomness import ORDER, generator
from minibert.files import read_json, write_atomically
from minibert.finetuning import saved
from minibert.model import encoder, pretraining
from minibert.model import importance as importance_of
from minibert.model.importance import Importance
from minibert.model.model import Model, Output
from minibert.parameters import NOTHING, Parameters, Tree
from minibert.pretrained import CONFIG, families, folder
from minibert.tasks.batches import Batch, Position
from minibert.tasks.labelled.features import micro_batches
from minibert.training import command, prepared
from minibert.training.course import Course
from minibert.training.engine import inputs, tokens_at_a_time
from minibert.training.objectives import fitting
from minibert.training.runs import new_folder
from minibert.workers import Workers

RUN, PRUNED = "rounds.json", "pruned"
LASTS = ("steps", "epochs", "minutes")  # what says how long is learned
OF_LEARNING = ({"seeds", "metric"} | {setting.name for setting in fields(Course)}  # and not of what importance is estimated on
               - {"batch_size", "micro_batch_tokens", "seed"})
_OF_THIS_RUN = ("resume", "out", "threads", "workers", "device", "profile", "folders", "command", "recipe", "teacher", "parser")


class Subject(NamedTuple):
    """A model, and what its importance is estimated on."""

    network: Model
    parameters: Parameters
    batches: Sequence[Batch]
    texts: int
    save: Callable[[Path, BertConfig, Parameters], None]

    @property
    def config(self) -> BertConfig:
        return self.network.config


def run(args: argparse.Namespace, recipe: Settings) -> int:
    """Do what ``compress prune`` asks for. The exit code: 0 done, 130 interrupted and saved."""
    learns = [name for name in LASTS if getattr(args, name, None) is not None]
    if recipe.gates:
        return _with_gates(args, recipe, learns)
    if not (recipe.heads or recipe.feed_forward or recipe.layers):
        raise ValueError("say what goes: --heads SHARE, --feed-forward SHARE, or which layers stay with --layers; or learn it "
                         "with --gates")
    if recipe.rounds > 1 and getattr(args, "seeds", 1) > 1:
        raise ValueError("--seeds: each round goes on with one model; leave it out, or give no --rounds")
    if learns:
        out = new_folder(args.out, RUN)
        given = {name: value for name, value in vars(args).items() if name not in _OF_THIS_RUN and not callable(value)}
        write_atomically(out / RUN, json.dumps({"recipe": asdict(recipe), "given": given}, indent=2) + "\n")
        return _rounds(args, recipe, out)
    if not args.out:
        raise ValueError("--out DIR is missing: the folder to write the smaller model to")
    refuse(args, OF_LEARNING, "nothing is learned after the cut; say how long with --steps, or with --epochs where --train is "
           "given, or leave it out")
    new_folder(args.out, RUN)
    print(_cut(args, recipe, Path(args.out), recipe.keep_shape))
    return 0


def resume(args: argparse.Namespace, out: Path) -> int:
    """Go on with the rounds in a folder."""
    try:
        found = read_json(out / RUN, dict)
        recipe, given = Settings(**found["recipe"]), dict(found["given"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{out / RUN} is damaged ({type(error).__name__}: {error}); begin a new run") from None
    return _rounds(argparse.Namespace(**{**given, **{name: getattr(args, name) for name in ("threads", "workers", "device")}},
                                      out=str(out), resume=None, profile=False, folders=[]), recipe, out)


def _rounds(args: argparse.Namespace, recipe: Settings, out: Path) -> int:
    """Take out a part and learn on, in each round from where the last one ended; what is done already stays as it is."""
    kind, teacher = labelled if hasattr(args, "train") else texts, recipe.teacher
    family = record.family_of(Path(teacher))
    for number in range(1, recipe.rounds + 1):
        last, share = number == recipe.rounds, number / recipe.rounds
        place = out if last else out / f"round-{number}"
        part = replace(recipe, teacher=teacher, layers=recipe.layers if number == 1 else None, rounds=1,
                       heads=share * (recipe.heads or 0), feed_forward=share * recipe.feed_forward)
        if not (place / PRUNED / CONFIG).is_file():
            place.mkdir(exist_ok=True)
            print(_cut(args, part, place / PRUNED))
        learning = replace(part, teacher=str(place / PRUNED), weights=None, layers=None,
                           fill=family if recipe.keep_shape and last else "")
        code = _learn(args, learning, place, kind)
        if code:
            return code
        write_atomically(place / record.FILE, (place / PRUNED / record.FILE).read_bytes())
        teacher = str(place)
    return 0


def _learn(args: argparse.Namespace, recipe: Settings, place: Path, kind: Any) -> int:
    """Begin a run in a folder, or go on with the one that is there."""
    if (place / kind.STATE).is_file():
        return kind.resume(args, place, recipe, kind.teacher_of(recipe))
    return kind.begin(args, recipe, place)


def _with_gates(args: argparse.Namespace, recipe: Settings, learns: Sequence[str]) -> int:
    """A run in which gates learn."""
    if not learns:
        raise ValueError("--gates learn which heads can go: say how long with --steps, or with --epochs where --train is given")
    if recipe.heads or recipe.feed_forward or recipe.layers or recipe.rounds > 1:
        raise ValueError("--gates: their price says how many heads go, so --heads, --feed-forward, --layers and --rounds cannot "
                         "be given as well")
    kind = labelled if hasattr(args, "train") else texts
    if not args.out:
        raise ValueError("--out DIR is missing: the folder of the run")
    if recipe.keep_shape:
        recipe = replace(recipe, fill=record.family_of(Path(recipe.teacher)))
    code = kind.begin(args, recipe)
    return code or record.shown(Path(args.out))


def _cut(args: argparse.Namespace, recipe: Settings, out: Path, fill: bool = False) -> str:
    """Write the model without what goes. What there is to say."""
    subject = (_of_examples if hasattr(args, "train") else _of_texts)(args, recipe)
    config, family, seed = subject.config, record.family_of(Path(recipe.teacher)), getattr(args, "seed", 0)
    students.config_of(config.replace(heads_of_layers=None, intermediate_sizes=None), config.num_hidden_layers)
    layers = students.chosen(recipe.layers, config.num_hidden_layers) if recipe.layers else range(config.num_hidden_layers)
    if len(layers) < config.num_hidden_layers or tuple(layers) != tuple(sorted(layers)):
        subject = _without(subject, cutting.whole(config, layers))
    with Workers(args.threads) as workers:
        for number in range(1, recipe.rounds + 1):
            found = importance(subject.network, subject.parameters, subject.batches, recipe.by, workers)
            kept = chosen(subject.config, found, recipe, number / recipe.rounds, seed)
            before, subject = subject.config, _without(subject, kept)
    left = subject.config
    said = described(before, kept, found.over(subject.texts), recipe, subject.texts, family, tuple(layers))
    config, parameters = left, subject.parameters
    if fill:
        config, parameters = cutting.whole_again(subject.network, parameters, family)
    families.to_json(config)
    subject.save(out, config, parameters)
    write_atomically(out / record.FILE, json.dumps(said) + "\n")
    record.draw(out, said)
    return record.table(said) + f"\n\n{_said(left, parameters.flat.size)} The model is in {out}."


def _without(subject: Subject, kept: Kept) -> Subject:
    network = replace(subject.network, config=cutting.config_of(subject.config, kept))
    return subject._replace(network=network, parameters=cutting.cut(network, subject.parameters, subject.config, kept))


def importance(model: Model, parameters: Parameters, batches: Sequence[Batch], by: str, workers: Workers) -> Importance:
    """Σ over all texts of the batches, on the CPU. ``by``: of ``options.ORDERS``; for the last two by example."""
    form = by if by in importance_of.FORMS else importance_of.FORMS[1]
    ones = {term.name: 1 for term in model.terms}

    def of(batch: Batch) -> Importance:
        def passes(wrap: Callable[[Sequence[encoder.Layer]], list[encoder.Layer]]) -> None:
            def layers(p: Tree, g: Tree) -> list[encoder.Layer]:
                return wrap(encoder.stack(p, g, model.config))

            _, cache = model.forward(inputs(batch, np, model.config), parameters.tree, counts=ones, layers=layers)
            model.backward(Output(loss=1.0), cache, parameters.tree, NOTHING)

        return importance_of.of_batch(passes, model.config.head_size, form)

    first, *others = workers.map(of, batches)
    for other in others:
        first = first + other
    return first


def chosen(config: BertConfig, found: Importance, recipe: Settings, share: float, seed: int) -> Kept:
    """What stays after a share of what is to go: of all heads and rows that there were in the beginning."""
    L = config.num_hidden_layers

    def left(importance: Sequence[np.ndarray], each: int, asked: float) -> tuple[tuple[int, ...], ...]:
        gone = L * each - sum(map(len, importance))
        going = cutting.goers(importance, max(0, round(share * asked * L * each) - gone), recipe.by, seed)
        return tuple(tuple(np.flatnonzero(~own).tolist()) for own in going)

    if recipe.feed_forward and config.ffn_count > 1:
        raise ValueError(f"--feed-forward: this model has {config.ffn_count} feed-forward layers in a block, and rows go only "
                         "where there is one; leave it out")
    kept = cutting.whole(config)._replace(heads=left(found.heads, config.num_attention_heads, recipe.heads or 0))
    return kept._replace(rows=left(found.rows, config.intermediate_size, recipe.feed_forward)) if recipe.feed_forward else kept


def described(config: BertConfig, kept: Kept, found: Importance, recipe: Settings, texts: int, family: str,
              layers: tuple[int, ...]) -> dict[str, Any]:
    """What ``record`` says: of each head its importance before the last round, None where it had gone before."""
    table: list[list[float | None]] = [[None] * config.num_attention_heads for _ in range(config.num_hidden_layers)]
    for i, own in enumerate(found.heads):
        for head, value in zip(config.heads_of(i), own):
            table[i][head] = float(f"{value:.4g}")
    rows = [{"kept": list(own), "importance": [float(f"{x:.4g}") for x in values]}
            for own, values in zip(kept.rows, found.rows)]
    heads = [[config.heads_of(i)[k] for k in own] for i, own in enumerate(kept.heads)]
    return {"by": recipe.by, "texts": texts, "model_type": family, "layers": list(layers),
            "heads": {"kept": heads, "importance": table}, "rows": rows if recipe.feed_forward else None}


def _said(config: BertConfig, size: int) -> str:
    L = config.num_hidden_layers
    heads = sum(len(config.heads_of(i)) for i in range(L))
    rows = sum(config.intermediate_of(i) for i in range(L))
    return (f"{heads} of {L * config.num_attention_heads} heads and {rows:,} of {L * config.intermediate_size:,} rows are left "
            f"in {L} layers; {size:,} numbers.")


def _of_examples(args: argparse.Namespace, recipe: Settings) -> Subject:
    """A model that was fine-tuned, and some of the examples to learn from."""
    teacher = labelled.teacher_of(recipe)
    settings = labelled.settings_of(args, recipe, teacher)
    material = labelled.way_of(recipe, teacher).read(settings)[""]
    some = generator(settings.seed, ORDER).permutation(len(material.train.examples))[:recipe.estimate]
    features, _ = teacher.task.encode([material.train.examples[i] for i in sorted(some)], teacher.tokenizer, material.labels,
                                      teacher.settings)
    batches = micro_batches(features, tokens_at_a_time(np), pad_id=teacher.tokenizer.vocab.pad_id, target=teacher.target)

    def save(out: Path, config: BertConfig, parameters: Parameters) -> None:
        saved.save(out, teacher._replace(config=config, parameters=parameters))

    return Subject(teacher.network(), teacher.parameters, batches, len(features), save)


def _of_texts(args: argparse.Namespace, recipe: Settings) -> Subject:
    """A model that guesses masked words, and some examples of texts to learn from."""
    teacher = texts.teacher_of(recipe)
    settings = prepared.settled(fitting(teacher.config, of_texts(args, teacher.max_length)), teacher.config, args)
    settings = replace(settings, micro_batch_tokens=settings.micro_batch_tokens or tokens_at_a_time(np))
    text = command.read(settings, print, teacher.tokenizer)
    *_, stage = command.stages_of(settings, teacher.config, text.train, teacher.tokenizer)  # the first is of short texts
    task, batches, count, position = stage.tasks[0], [], 0, Position()
    while count < recipe.estimate:
        examples, position = task.batch(position)
        found = list(task.cut(examples))
        batches += found
        count += sum(len(batch.ids) for batch in found)

    def save(out: Path, config: BertConfig, parameters: Parameters) -> None:
        folder.save(out, config, parameters, teacher.tokenizer)

    return Subject(pretraining.of(teacher.config), teacher.parameters, batches, count, save)
