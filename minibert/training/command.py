"""``minibert train``: from texts to a run's folder.

::

    read the corpus -> learn a vocabulary -> report -> train, look at held-out text, save -> curves and guesses
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert import backend, generation, memory
from minibert.analysis import guesses, probes
from minibert.backend import Array
from minibert.config import BertConfig
from minibert.data import corpora, report
from minibert.data.prepared.shards import Part
from minibert.files import remove_leftovers, write_atomically
from minibert.model import pretraining
from minibert.model.model import Inputs, Model
from minibert.parameters import Parameters
from minibert.pretrained import folder
from minibert.pretrained.folder import Loaded
from minibert.ranks import ALONE, Ranks
from minibert.ranks.begin import device_of, told_alike
from minibert.shell import command
from minibert.tasks import batches
from minibert.tasks.corruption import CORRUPTIONS
from minibert.tasks.marks import marked
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL
from minibert.training import checkpoint, prepared, texts
from minibert.training.checkpoint import Checkpoint
from minibert.training.course import alone
from minibert.training.loop import METRICS, Look, Loop, Progress, Stage, Task, figures
from minibert.training.objectives import (
    ASKED_OF_TEXTS,
    MOVED,
    PARTED,
    agreed,
    called,
    enough,
    fitting,
    marks,
    model_of,
    tasks,
    title,
    writes,
)
from minibert.training.options import DEFAULT_STEPS, OPTIONS, Settings
from minibert.training.precision import dtype_of
from minibert.training.runs import (
    Say,
    alike,
    clear,
    engine_of,
    explained,
    head,
    log_to,
    new_folder,
    profiled,
    settled,
    shared,
)
from minibert.training.scale import named, told
from minibert.training.stages import parts
from minibert.training.start import Start, start_of
from minibert.training.vocabularies import layout_of, tokenizer_of
from minibert.workers import Workers, available_cores, keep_freed_memory, that_fit, total_memory

GUESSES = "guesses.txt"  # the last file that a run writes
EVALUATIONS = 12  # in a run, unless the settings say otherwise
BOUNDED_EXAMPLES = 300  # of a generated corpus, for the best possible loss: some ten seconds
HELD_OUT_EXAMPLES = 2000  # at most so many are looked at: of a large corpus a fixed sample


class Text(NamedTuple):
    """What a run reads."""

    corpus: corpora.Corpus
    train: Any  # ids by document and sentence, or a part of prepared examples
    held_out: Any
    tokenizer: Tokenizer
    report: report.Report | prepared.Report
    sentences: list  # held out, to be looked at: ids by document and sentence


class Way(NamedTuple):
    """What a run trains on its texts: the model of its settings, unless it has a teacher (``compression``)."""

    command: str = "train"  # which goes on with it
    model: Callable[[BertConfig, Settings], Model] = model_of
    teacher: Callable[[Model, Any], Callable[[Inputs], Mapping[str, Array]] | None] = lambda model, xp: None  # see Engine
    asked: Callable[[batches.Batch], batches.Batch] = lambda batch: batch  # what else is asked of a batch
    staged: Callable[[Model, Sequence[Stage], Settings], Sequence[Stage]] = lambda model, stages, settings: stages
    beside: Callable[[Path, Model, Parameters], None] = lambda out, model, parameters: None  # written with the model


TRAIN = Way()


def run(args: argparse.Namespace, ranks: Ranks = ALONE) -> int:
    """Do what the arguments of ``train`` ask for. The exit code: 0 done, 130 interrupted and saved."""
    keep_freed_memory()
    told_alike(ranks, args)
    if args.resume:
        alone(OPTIONS, args, ("out", "overfit_batch", "profile", "describe"))
        if (Path(args.resume) / checkpoint.COMPRESSION).is_file():
            raise ValueError(f"{args.resume} holds a run with a teacher, which goes on with: minibert compress --resume")
        return resume(Path(args.resume), args, ranks=ranks)
    if args.overfit_batch and args.profile:
        raise ValueError("--overfit-batch and --profile each do one thing and stop: give one of them")
    settings, recipe = told(args)
    if args.describe and settings.recipe is None:
        raise ValueError("--describe shows what a recipe would do, and this run has none: give --recipe NAME or FILE with it")
    with named(getattr(args, "recipe", None)):
        start = start_of(settings, recipe)  # what no model can be or begin from is refused before the text is read
        if start.config.filter_sizes and getattr(args, "short_first", None):
            raise ValueError(f"--short-first: {settings.family} reads phrases, which are short in any case; leave it out")
        for task in tasks(settings):
            fitting(start.config, task)
        settings = fitting(start.config, settings)
        agreed(settings)
    if args.describe:
        print("\n".join(recipe))
        return 0
    settings = prepared.settled(settings, start.config, args)
    if settings.shift_positions and not any(task.max_length < settings.max_length for part in parts(settings) if part.share
                                            for task in part.tasks):
        raise ValueError("--shift-positions is for sequences that are shorter than the longest, and this run has none: leave it "
                         "out, or begin with short ones (--short-first)")
    fits(settings, ranks)
    if args.overfit_batch:
        return _overfit(args, settings, start)
    if args.profile:
        return _profile(args, settings, start)
    out = ranks.at_first(lambda: new_folder(args.out, checkpoint.FILE))
    try:
        return begin(args, settings, start, out, ranks=ranks)
    except BaseException:
        if ranks.first:
            clear(out)
        raise


def begin(args: argparse.Namespace, settings: Settings, start: Start, out: Path, way: Way = TRAIN, ranks: Ranks = ALONE) -> int:
    """Train into a folder."""
    say = log_to(out / checkpoint.LOG, ranks)
    started = datetime.datetime.now()
    xp, device, ranks = device_of(args.device, ranks)
    dtype_of(settings.precision, xp)
    with _workers(args, settings, start.config, way.model, ranks) as workers:
        settings = settled(settings, start.config.hidden_size, settings.max_length, workers.count, xp, ranks.size)
        head(say, settings, workers, device, ranks)
        for note in start.notes:
            say(note)
        text = read(settings, say, start.tokenizer, ranks)
        config, parameters = start.model(settings, text.tokenizer)
        progress = Progress(total=settings.steps or (0 if settings.minutes else DEFAULT_STEPS),
                            seconds=(datetime.datetime.now() - started).total_seconds() if settings.minutes else 0.0)
        state = Checkpoint(settings, config, text.tokenizer, text.corpus.sha256, progress, parameters)
        return _train(out, state, text, workers, xp, say, way, ranks)


def resume(out: Path, args: argparse.Namespace, way: Way = TRAIN, ranks: Ranks = ALONE) -> int:
    """Go on with the run in a folder."""
    state = checkpoint.load(out, way.model)
    for place in (out, *filter(Path.is_dir, out.iterdir())) if ranks.first else ():
        remove_leftovers(place)
    if state.progress.finished(state.settings.patience) and (out / GUESSES).is_file():
        print(f"{out} is complete: all {state.progress.step:,} steps are done.")  # not to the log: the disk may be read-only
        return 0
    fits(state.settings, ranks)
    say = log_to(out / checkpoint.LOG, ranks)
    xp, device, ranks = device_of(args.device, ranks)
    dtype_of(state.settings.precision, xp)
    with _workers(args, state.settings, state.config, way.model, ranks) as workers:
        say(f"\nResuming {out} after step {state.progress.step:,} of {state.progress.total:,}")
        head(say, state.settings, workers, device, ranks)
        text = read(state.settings, say, state.tokenizer, ranks)
        if text.corpus.sha256 != state.corpus_sha256:
            raise ValueError(f"the text of {text.corpus.name} has changed since the run began "
                             f"(sha256 {state.corpus_sha256[:12]} then, {text.corpus.sha256[:12]} now), so the run cannot "
                             "go on exactly; restore the text (or the version of minibert that read it), or begin a new run")
        return _train(out, state, text, workers, xp, say, way, ranks)


def _train(out: Path, state: Checkpoint, text: Text, workers: Workers, xp: Any, say: Say, way: Way, ranks: Ranks) -> int:
    """Train from a state on, and write the folder: the first rank does."""
    settings, config, tokenizer = state.settings, state.config, state.tokenizer
    alike(ranks, settings, state.parameters, **{"the sha256 of the text": state.corpus_sha256})
    model = way.model(config, settings)
    engine = engine_of(model, state.parameters.to(xp), workers, settings, teacher=way.teacher(model, xp), ranks=ranks)
    if state.kept is not None:
        engine.keep(state.kept)
    engine.resume(state.progress.step, state.progress.loss_scale)
    evaluation = held_out(settings, model, text.held_out, tokenizer)
    best = None if config.filter_sizes or not ranks.first else _best_loss(text, evaluation, settings, say)
    kept = probes.Probes(out, tokenizer, text.sentences, seed=settings.seed, unigram_loss=text.report.unigram_loss,
                         ln_vocabulary=text.report.ln_vocabulary, step=state.progress.step)

    def look() -> Look:
        looked = engine.evaluate([way.asked(batch) for batch in evaluation])
        return {f"held_out_{name}": value for name, value in figures(engine.model, [looked]).items()}

    def keep() -> None:
        if settings.keep_best and ranks.first:
            save_models()

    def save_models() -> None:
        for name, (config, parameters) in model.apart(engine.learned).items():
            folder.save(out / name, config, parameters, tokenizer)
        way.beside(out, model, engine.learned)

    def save(progress: Progress) -> None:
        kept_by_all = engine.whole()
        if not ranks.first:
            return
        if loop.looked:  # before the state: no look that it knows of is missing after a kill
            record()
        checkpoint.save(out, replace(state, progress=progress, parameters=engine.parameters, kept=kept_by_all))
        if not settings.keep_best or not progress.step:
            save_models()
        if loop.rows:
            _plot(out, loop, text.report, best)
        else:
            record()

    def record() -> None:
        if config.filter_sizes or writes(settings):  # one has no attention to keep, the other has never met a mask
            return
        [guesser, *_] = model.apart(engine.learned).values()
        kept.record(Loaded(*guesser, tokenizer), loop.progress.step)

    stages = way.staged(model, [_asking(stage, way) for stage in stages_of(settings, config, text.train, tokenizer)], settings)
    loop = Loop(engine, stages, settings, state.progress, out / METRICS,
                every=lambda total: max(1, -(-total // EVALUATIONS)), look=look, save=save, line=_line, say=say,
                worth=_worth if settings.keep_best or settings.patience else None, keep=keep)
    if state.progress.step in (0, state.progress.total):
        save(state.progress)  # finds a full disk before the first step, and makes up for a kill after the last one
    with explained(out, ", or look at the batch with --overfit-batch"):
        done = loop.run()
    if not done:
        say(f"\nStopped after step {loop.progress.step:,} of {loop.progress.total:,}; everything is saved. To go on:\n"
            f"  {command('python', '-m', 'minibert', way.command, '--resume', out)}"
            + (" < the same text" if "-" in settings.corpus else ""))
        return 130
    if ranks.first:
        _finish(out, loop, text, say)
    return 0


def fits(settings: Settings, ranks: Ranks) -> None:
    """ValueError where ranks cannot share the steps of a run."""
    shared(settings, ranks, min(task.batch_size * task.accumulate for part in parts(settings) for task in part.tasks))


def _best_loss(text: Text, evaluation: Sequence[batches.Batch], settings: Settings, say: Say) -> float | None:
    """The loss that nobody can beat on held-out text, where the corpus was generated and its examples are without pairs."""
    if not text.corpus.words:
        return None
    tokens, examples = text.tokenizer.vocab.tokens, []
    blind = all(CORRUPTIONS[task.masks].blind for task in tasks(settings))
    for batch in evaluation:
        if not blind or batch.targets.keys() & MOVED:
            say("The best possible loss of this corpus is known for BERT's masks, not for these.\n")
            return None
        if (batch.token_type_ids > 0).any() or batch.targets.keys() & PARTED:
            say("The best possible loss of this corpus is known without pairs: leave --pairs out, and it is drawn.\n")
            return None
        rows, places = np.divmod(batch.positions, batch.ids.shape[1])
        for row, length in enumerate(batch.lengths.tolist()):
            mine = rows == row
            examples.append(([tokens[i] for i in batch.ids[row, :length]], places[mine],
                             [tokens[i] for i in batch.targets["mlm"][mine]]))
    chosen = np.random.default_rng(0).permutation(len(examples))[:BOUNDED_EXAMPLES]
    found = corpora.best_loss(text.corpus.name, [examples[i] for i in chosen])
    say(f"  best possible loss    {found.best:10.2f}  ± {found.error:.2f}: what nobody can beat who sees the same text "
        f"({found.targets:,} of the hidden words)\n")
    return found.best


def _worth(look: Look) -> float:
    """The surprise at held-out text, all tasks together; the greater the better."""
    return -sum(value for name, value in look.items() if name.endswith("_loss") and value is not None)


def _line(loop: Loop) -> str:
    """The last row, which has held-out figures, in words."""
    row = loop.rows[-1]
    width = len(f"{loop.progress.total:,}")
    pairs = "".join(f"  {called(term.name, loop.course)} {right:5.1%}" for term in loop.engine.model.terms
                    if term.name != "mlm" and (right := row.get(f"held_out_{term.name}_accuracy")) is not None)
    if row.get("held_out_replaced_loss") is not None:
        pairs = f"  replaced {row['held_out_replaced_loss']:.3f} nats, {row['held_out_replaced_found'] or 0:5.1%} found"
    loss = sum(term.weight * (row.get(f"{term.name}_loss") or 0) for term in loop.engine.model.terms)
    best = "  (best so far)" if loop.worth is not None and loop.progress.best_step == row["step"] else ""
    word = "next word" if writes(loop.course) else "masked"
    return (f"step {row['step']:{width},}  loss {loss:.3f}  |  held-out: "
            f"{word} {row['held_out_mlm_loss']:.3f} nats, {row['held_out_mlm_accuracy']:5.1%} right{pairs}{best}")


def _finish(out: Path, loop: Loop, text: Text, say: Say) -> None:
    """What a finished run says of itself."""
    looks = [row for row in loop.rows if row.get("held_out_mlm_loss") is not None]
    if not looks:
        raise ValueError(f"{loop.metrics} is missing: what the finished run has measured is gone, its model in {out} is not")
    kept = [row for row in looks if row["step"] == loop.progress.best_step] if loop.course.keep_best else looks
    loss, accuracy = kept[-1]["held_out_mlm_loss"], kept[-1]["held_out_mlm_accuracy"]
    [place, *_] = loop.engine.model.apart(loop.engine.learned)
    writer = writes(loop.course)
    table = (generation if writer else guesses).table(folder.load(out / place), text.sentences, seed=loop.course.seed)
    say(f"\nHeld-out sentences and what the model {'goes on with' if writer else 'makes of them'}:\n")
    say(table)
    write_atomically(out / GUESSES, table + "\n")
    progress = loop.progress
    minutes, seconds = divmod(round(progress.seconds), 60)
    example = _example(table, text.tokenizer.vocab.special[4])
    early = f" of {progress.total:,}, for {progress.waited} looks were not better," * (progress.step < progress.total)
    best = f", after step {progress.best_step:,}" if loop.course.keep_best else ""
    say(f"\n{progress.step:,} steps{early or ','} {progress.tokens:,} tokens in {minutes} min {seconds:02} s. "
        f"On held-out text{best}: {loss:.3f} nats a {'' if writer else 'masked '}word,\n"
        f"{_against(loss, text.report.unigram_loss)} guessing by frequency and {_against(loss, text.report.ln_vocabulary)} "
        f"blind guessing; {accuracy:.1%} of them right.")
    if (found := kept[-1].get("held_out_replaced_found")) is not None:
        say(f"Of the words that its generator has put in, the discriminator finds {found:.1%}, and of all tokens it tells "
            f"{kept[-1]['held_out_replaced_accuracy']:.1%} rightly.")
    asks = ("generate", "--model", out / place, "TEXT") if writer else ("fill-mask", "--model", out / place, example)
    say(f"The run is in {out}: loss.png shows the curve. Ask it something:\n  {command('python', '-m', 'minibert', *asks)}")


def _example(table: str, mask: str) -> str:
    """A sentence of the table to try: one that any shell takes as it is between double quotes."""
    lines = (line.strip() for line in table.splitlines() if mask in line)
    return next((line for line in lines if not set(line) & set('"$`\\!%')), mask)


def _against(loss: float, floor: float) -> str:
    return f"{abs(floor - loss):.2f} {'below' if loss <= floor else 'above'} the {floor:.2f} of"


def _overfit(args: argparse.Namespace, settings: Settings, start: Start) -> int:
    """Repeat one batch until its loss is near zero: if that fails, something is broken, not slow."""
    limit, goal = 400, 0.05
    settings = replace(settings, batch_size=min(settings.batch_size, 8), accumulate=1, dropout=0.0)
    xp, device = backend.choose(args.device)
    dtype_of(settings.precision, xp)
    with _workers(args, settings, start.config) as workers:
        settings = settled(settings, start.config.hidden_size, settings.max_length, workers.count, xp)
        head(print, settings, workers, device)
        text = read(settings, print, start.tokenizer)
        config, parameters = start.model(settings, text.tokenizer)
        engine = engine_of(model_of(config, settings), parameters.to(xp), workers, settings)
        task = _task(parts(settings)[-1].tasks[0], config, text.train, text.tokenizer)
        examples, _ = task.batch(batches.Position())
        repeated = task.cut(examples)
        masked = engine.model.counts(repeated)["mlm"]
        print(f"\nOne batch of {len(examples)} examples with {masked} masked words, again and again, without dropout:")
        for step in range(1, limit + 1):
            metrics, norm = engine.train(repeated, settings.learning_rate * min(1.0, step / 10))
            done = metrics.loss < goal
            if step == 1 or step % 20 == 0 or done:
                pairs = "".join(f"{called(term, settings)} {metrics.accuracy(term):6.1%}  "
                                for term, count in metrics.counts.items() if count and term not in ("mlm", "replaced"))
                pairs += f"replaced {metrics.replaced_loss:.4f} nats  " if metrics.counts.get("replaced") else ""
                print(f"step {step:4}  loss {metrics.loss:8.4f}  masked {metrics.mlm_accuracy:6.1%}  {pairs}"
                      f"gradient norm {float(norm):.3f}", flush=True)
            if done:
                print(f"The loss is below {goal}: the model can learn, forward and backward work on this text.")
                return 0
    print(f"The loss is still {metrics.loss:.3f} after {limit} steps. It should be near zero: try another --learning-rate first, "
          "then suspect the model, the labels or the masks.", file=sys.stderr)
    return 1


def _profile(args: argparse.Namespace, settings: Settings, start: Start) -> int:
    """Time some steps and show where they go. Nothing is written."""
    xp, device = backend.choose(args.device)
    with _workers(args, settings, start.config) as workers:
        settings = settled(settings, start.config.hidden_size, settings.max_length, workers.count, xp)
        head(print, settings, workers, device)
        text = read(settings, print, start.tokenizer)
        config, parameters = start.model(settings, text.tokenizer)
        engine = engine_of(model_of(config, settings), parameters.to(xp), workers, settings)
        task = _task(parts(settings)[-1].tasks[0], config, text.train, text.tokenizer)
        print(profiled(engine, task, settings.learning_rate, getattr(args, "steps", None)))  # not a recipe's
    return 0


def _workers(args: argparse.Namespace, settings: Settings, config: BertConfig,
             model: Callable[[BertConfig, Settings], Model] = model_of, ranks: Ranks = ALONE) -> Workers:
    """As many as were asked for, else as many as the cores and the memory of the machine allow, which ranks there share."""
    asked, memory_here = ranks.threads(args.threads), total_memory()
    threads = available_cores() if asked is None else asked
    bodies = model(config, settings).bodies

    def need(count: int) -> int:
        tokens = settled(settings, config.hidden_size, settings.max_length, count).micro_batch_tokens
        return sum(memory.total(memory.training_on_cores(
            body, settings.batch_size, settings.max_length, count, tokens, average=settings.ema is not None,
            factored=settings.factored, recompute=settings.recompute)) for body in bodies)

    most = memory_here and memory_here // ranks.local
    return Workers(asked, that_fit(threads, need, most) if args.workers is None else args.workers)


def stages_of(settings: Settings, config: BertConfig, documents: Any, tokenizer: Tokenizer) -> list[Stage]:
    """What the steps read. Stages that have a task in common share it: it goes on in its text."""
    documents, run = prepared.once(documents), parts(settings)
    tasks = {task: _task(task, config, documents, tokenizer, settings.max_length) for part in run for task in part.tasks}
    return [Stage([tasks[task] for task in part.tasks], part.share, part.weights, part.course) for part in run]


def _asking(stage: Stage, way: Way) -> Stage:
    """The stage, with what else is asked of its batches."""
    def asking(task: Task) -> Task:
        return task._replace(cut=lambda examples: batches.each(way.asked, task.cut(examples)))

    return stage._replace(tasks=[asking(task) for task in stage.tasks])


def _task(settings: Settings, config: BertConfig, documents: Any, tokenizer: Tokenizer, longest: int = 0) -> Task:
    """``longest``: of the sequences of the run."""
    if not isinstance(documents, Part):
        enough(config, settings, documents)
    stream = prepared.stream(documents, tokenizer, max_length=settings.max_length,
                             batch_size=settings.batch_size * settings.accumulate, seed=settings.seed,
                             static_masks=settings.static_masks, dupe_factor=settings.dupe_factor,
                             **prepared.options(documents, config, settings))
    cut = partial(batches.micro_batches, max_tokens=settings.micro_batch_tokens, pad_id=tokenizer.vocab.pad_id,
                  streamed=settings.accumulate > 1)
    if settings.shift_positions and settings.max_length < longest:
        cut = batches.shifted(cut, longest, config.position_offset)
    return Task(stream.batch, batches.whole(cut, settings.batch_size) if config.filter_sizes else cut,
                stream.at if settings.mask_rate else None)


def held_out(settings: Settings, model: Model, documents: Any, tokenizer: Tokenizer) -> list[batches.Batch]:
    """What a run is measured on: the tasks of its last stage, and those before that have a term of the loss to themselves."""
    *before, last = parts(settings)
    documents, terms, found = prepared.once(documents), set(), []
    tasks = list(dict.fromkeys(replace(task, max_length=settings.max_length, batch_size=settings.batch_size,
                                       accumulate=settings.accumulate, mask_rate=())
                               for part in (last, *reversed(before)) for task in part.tasks))
    for number, task in enumerate(tasks):
        read = prepared.held_out(documents, tokenizer, max_length=settings.max_length, seed=settings.seed,
                                 max_tokens=settings.micro_batch_tokens, max_examples=HELD_OUT_EXAMPLES // len(last.tasks),
                                 **prepared.options(documents, model.config, task))
        present = {term for term, count in model.counts(read).items() if count}
        if number < len(last.tasks) or not present <= terms:
            found += read
            terms |= present
    return found


def read(settings: Settings, say: Say, tokenizer: Tokenizer | None = None, ranks: Ranks = ALONE) -> Text:
    """Read the corpus, or what was prepared of one, and report on it."""
    if folder := ranks.at_first(lambda: texts.folder_of(settings, say, tokenizer)):
        return Text(*texts.read(folder, settings, say, tokenizer))
    if prepared.is_prepared(settings):
        return Text(*prepared.read(settings, say, tokenizer or (tokenizer_of(settings, [], (), say) if settings.vocab else None)))
    return read_text(settings, say, tokenizer)


def read_text(settings: Settings, say: Say, tokenizer: Tokenizer | None = None) -> Text:
    """Read the corpus, learn a vocabulary unless there is a tokenizer, and report on it all."""
    corpus = corpora.read(list(settings.corpus), layout=layout_of(settings, tokenizer))
    say(corpus.description)
    train, held_out = corpora.split(corpus.documents, settings.held_out, settings.seed)
    if tokenizer is None:
        tokenizer = tokenizer_of(settings, [sentence for document in train for sentence in document], corpus.words, say)
        tokenizer.max_length = settings.max_length
        tokenizer.vocab.require("training", *SPECIAL)
        for note in tokenizer.notes:
            say(f"note: {note}")
    numbers = tokenizer.ids_of(sentence for part in (train, held_out) for document in part for sentence in document)
    ids = [marked([[next(numbers) for _ in document] for document in part], part, tokenizer, marks(settings))
           for part in (train, held_out)]
    found = report.report(*ids, tokenizer, corpus, settings.max_length)
    say(f"\n{found}\n")
    return Text(corpus, *ids, tokenizer, found, ids[1])


def _plot(out: Path, loop: Loop, found: report.Report, best: float | None) -> None:
    from minibert import plots  # matplotlib takes a second to import

    model, settings = loop.engine.model, loop.course
    words = {term.name for term in pretraining.TERMS} - {"mlm"}  # not what a teacher is asked
    asked = [plots.Asked(term.name, title(term.name, settings), model.heads[term.reads].outputs if term.name in ASKED_OF_TEXTS
                         else None) for term in model.terms if term.name in words]
    begins = [loop.begins(i) for i in range(1, len(loop.stages))]
    plain = not settings.stages and len(begins) == 1  # short sequences, then long ones
    plots.learning_curve(loop.rows, out / "loss.png", found.ln_vocabulary, found.unigram_loss, f"Pre-training {out.name}",
                         begins[0] if plain else 0, best, asked, () if plain else begins)
