"""``minibert train``: from texts to a run's folder.

::

    read the corpus -> learn a vocabulary -> report -> train, look at held-out text, save -> curves and guesses
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert import __version__, backend, memory
from minibert.analysis import guesses, probes
from minibert.config import BertConfig
from minibert.data import corpora, report
from minibert.files import remove_leftovers, write_atomically
from minibert.model import pretraining
from minibert.parameters import Parameters
from minibert.pretrained import folder
from minibert.pretrained.folder import Loaded
from minibert.shell import command
from minibert.tasks import batches
from minibert.text import learn
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training import checkpoint, profile
from minibert.training.adamw import AdamW
from minibert.training.checkpoint import Checkpoint, Progress
from minibert.training.engine import Engine
from minibert.training.options import DEFAULT_STEPS, SHORT_LENGTH, Settings, given_options, settings_of
from minibert.training.precision import LossScale, dtype_of
from minibert.training.trainer import Trainer
from minibert.workers import (
    DEVICE_TOKENS,
    Workers,
    available_cores,
    describe_blas,
    keep_freed_memory,
    micro_batch_tokens,
    that_fit,
    total_memory,
)

Say = Callable[[str], None]

GUESSES = "guesses.txt"  # the last file that a run writes
PROFILED_STEPS = 20
HELD_OUT_EXAMPLES = 2000  # at most so many are looked at: of a large corpus a fixed sample


class Text(NamedTuple):
    """What a run reads."""

    corpus: corpora.Corpus
    train: list  # ids by document and sentence
    held_out: list
    tokenizer: Tokenizer
    report: report.Report


def run(args: argparse.Namespace) -> int:
    """Do what the arguments of ``train`` ask for. The exit code: 0 done, 130 interrupted and saved."""
    keep_freed_memory()
    if args.resume:
        return _resume(args)
    settings = settings_of(args)
    start = start_of(settings)  # what no model can be or begin from is refused before the text is read
    if args.overfit_batch:
        return _overfit(args, settings, start)
    if args.profile:
        return _profile(args, settings, start)
    out = new_folder(args.out, checkpoint.FILE)
    try:
        return _begin(args, settings, start, out)
    except BaseException:
        clear(out)
        raise


def _begin(args: argparse.Namespace, settings: Settings, start: Start, out: Path) -> int:
    say = log_to(out / checkpoint.LOG)
    started = datetime.datetime.now()
    xp, device = backend.choose(args.device)
    dtype_of(settings.precision, xp)
    with _workers(args, settings, start.config) as workers:
        settings = _with_micro_batches(settings, start.config, workers.count, xp)
        _head(say, settings, workers, device)
        for note in start.notes:
            say(note)
        text = _read(settings, say, start.tokenizer)
        config, parameters = start.model(settings, len(text.tokenizer.vocab))
        progress = Progress(total=settings.steps or (0 if settings.minutes else DEFAULT_STEPS),
                            seconds=(datetime.datetime.now() - started).total_seconds() if settings.minutes else 0.0)
        state = Checkpoint(settings, config, text.tokenizer, text.corpus.sha256, progress, parameters, parameters.zeros_like(),
                           parameters.zeros_like())
        return _train(out, state, text, workers, xp, say)


def _resume(args: argparse.Namespace) -> int:
    if given := given_options(args):
        raise ValueError(f"--resume takes its settings from the run, so {', '.join(given)} cannot be given as well; "
                         "only --threads, --workers and --device can")
    if args.out or args.overfit_batch or args.profile:
        raise ValueError("--resume goes on in the run's own folder; --out, --overfit-batch and --profile cannot be given with it")
    out = Path(args.resume)
    state = checkpoint.load(out)
    remove_leftovers(out)
    if state.progress.step >= state.progress.total > 0 and (out / GUESSES).is_file():
        print(f"{out} is complete: all {state.progress.total:,} steps are done.")  # not to the log: the disk may be read-only
        return 0
    say = log_to(out / checkpoint.LOG)
    xp, device = backend.choose(args.device)
    dtype_of(state.settings.precision, xp)
    with _workers(args, state.settings, state.config) as workers:
        say(f"\nResuming {out} after step {state.progress.step:,} of {state.progress.total:,}")
        _head(say, state.settings, workers, device)
        text = _read(state.settings, say, state.tokenizer)
        if text.corpus.sha256 != state.corpus_sha256:
            raise ValueError(f"the text of {text.corpus.name} has changed since the run began "
                             f"(sha256 {state.corpus_sha256[:12]} then, {text.corpus.sha256[:12]} now), so the run cannot "
                             "go on exactly; restore the text (or the version of minibert that read it), or begin a new run")
        return _train(out, state, text, workers, xp, say)


def _train(out: Path, state: Checkpoint, text: Text, workers: Workers, xp: Any, say: Say) -> int:
    """Train from a state on, and write the folder."""
    settings, config, tokenizer = state.settings, state.config, state.tokenizer
    engine = _engine(settings, config, state.parameters.to(xp), workers)
    engine.m, engine.v, engine.step = state.m.to(xp), state.v.to(xp), state.progress.step
    if engine.loss_scale is not None:
        engine.loss_scale = LossScale(xp, *state.progress.loss_scale)
    evaluation = batches.held_out(text.held_out, tokenizer, max_length=settings.max_length, seed=settings.seed,
                                  next_sentence=settings.next_sentence, whole_word=settings.whole_word,
                                  max_tokens=settings.micro_batch_tokens, max_examples=HELD_OUT_EXAMPLES)

    kept = probes.Probes(out, tokenizer, text.held_out, seed=settings.seed, unigram_loss=text.report.unigram_loss,
                         ln_vocabulary=text.report.ln_vocabulary, step=state.progress.step)

    def save(progress: Progress) -> None:
        if engine.loss_scale is not None:
            progress = replace(progress, loss_scale=engine.loss_scale.state())
        if trainer.evaluated:  # before the state: no evaluation that it knows of is missing after a kill
            record()
        checkpoint.save(out, replace(state, progress=progress, parameters=engine.parameters, m=engine.m, v=engine.v))
        folder.save(out, config, engine.parameters, tokenizer)
        if trainer.rows:
            _plot(out, trainer, text.report)
        else:
            record()

    def record() -> None:
        kept.record(Loaded(config, engine.parameters, tokenizer), trainer.progress.step)

    trainer = Trainer(engine, _stream(settings, text.train, tokenizer), _short_stream(settings, text.train, tokenizer),
                      evaluation, settings, state.progress, out / "metrics.csv", save, say)
    if state.progress.step in (0, state.progress.total):
        save(state.progress)  # finds a full disk before the first step, and makes up for a kill after the last one
    try:
        done = trainer.run()
    except FloatingPointError as error:
        saved = out / checkpoint.FILE
        good = f"the last good state is in {saved}" if saved.is_file() else "nothing had been saved yet"
        raise FloatingPointError(f"{error}. Training has stopped; {good}. Begin again with a smaller --learning-rate, or look at "
                                 "the batch with --overfit-batch") from None
    if not done:
        say(f"\nStopped after step {trainer.progress.step:,} of {trainer.progress.total:,}; everything is saved. To go on:\n"
            f"  {command('python', '-m', 'minibert', 'train', '--resume', out)}"
            + (" < the same text" if "-" in settings.corpus else ""))
        return 130
    _finish(out, trainer, text, say)
    return 0


def _finish(out: Path, trainer: Trainer, text: Text, say: Say) -> None:
    """What a finished run says of itself."""
    if not trainer.rows:
        raise ValueError(f"{trainer.metrics} is missing: what the finished run has measured is gone, its model in {out} is not")
    last = trainer.rows[-1]
    table = guesses.table(folder.load(out), text.held_out, seed=trainer.settings.seed)
    say("\nHeld-out sentences and what the model makes of them:\n")
    say(table)
    write_atomically(out / GUESSES, table + "\n")
    unigram, ln_v = text.report.unigram_loss, text.report.ln_vocabulary
    minutes, seconds = divmod(round(trainer.progress.seconds), 60)
    say(f"\n{trainer.progress.total:,} steps, {trainer.progress.tokens:,} tokens in {minutes} min {seconds:02} s. "
        f"On held-out text: {last.held_out_mlm_loss:.3f} nats a masked word,\n"
        f"{_against(last.held_out_mlm_loss, unigram)} guessing by frequency and {_against(last.held_out_mlm_loss, ln_v)} "
        f"blind guessing; {last.held_out_mlm_accuracy:.1%} of them right.")
    say(f"The run is in {out}: loss.png shows the curve. Ask it something:\n"
        f"  {command('python', '-m', 'minibert', 'fill-mask', '--model', out, _example(table))}")


def _example(table: str) -> str:
    """A sentence of the table to try: one that any shell takes as it is between double quotes."""
    lines = (line.strip() for line in table.splitlines() if "[MASK]" in line)
    return next((line for line in lines if not set(line) & set('"$`\\!%')), "[MASK]")


def _against(loss: float, floor: float) -> str:
    return f"{abs(floor - loss):.2f} {'below' if loss <= floor else 'above'} the {floor:.2f} of"


def _overfit(args: argparse.Namespace, settings: Settings, start: Start) -> int:
    """Repeat one batch until its loss is near zero: if that fails, something is broken, not slow."""
    limit, goal = 400, 0.05
    settings = replace(settings, batch_size=min(settings.batch_size, 8), dropout=0.0)
    xp, device = backend.choose(args.device)
    dtype_of(settings.precision, xp)
    with _workers(args, settings, start.config) as workers:
        settings = _with_micro_batches(settings, start.config, workers.count, xp)
        _head(print, settings, workers, device)
        text = _read(settings, print, start.tokenizer)
        config, parameters = start.model(settings, len(text.tokenizer.vocab))
        engine = _engine(settings, config, parameters.to(xp), workers)
        examples, _ = _stream(settings, text.train, text.tokenizer).batch()
        repeated = batches.micro_batches(examples, settings.micro_batch_tokens, pad_id=text.tokenizer.vocab.pad_id)
        masked = sum(b.masked for b in repeated)
        print(f"\nOne batch of {len(examples)} examples with {masked} masked words, again and again, without dropout:")
        for step in range(1, limit + 1):
            metrics, norm = engine.train(repeated, settings.learning_rate * min(1.0, step / 10))
            done = metrics.loss < goal
            if step == 1 or step % 20 == 0 or done:
                pairs = f"next {metrics.nsp_accuracy:6.1%}  " if metrics.counts["nsp"] else ""
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
    if xp is not np:
        raise ValueError("--profile reads the clock around every layer, and a GPU works on behind it: give --device cpu")
    count = settings.steps or PROFILED_STEPS
    with _workers(args, settings, start.config) as workers:
        settings = _with_micro_batches(settings, start.config, workers.count, xp)
        _head(print, settings, workers, device)
        text = _read(settings, print, start.tokenizer)
        config, parameters = start.model(settings, len(text.tokenizer.vocab))
        engine = _engine(settings, config, parameters, workers)
        stream, position, watch = _stream(settings, text.train, text.tokenizer), batches.Position(), profile.Profile()

        def step() -> int:
            nonlocal position
            began = time.perf_counter()
            examples, position = stream.batch(position)
            parts = batches.micro_batches(examples, settings.micro_batch_tokens, pad_id=text.tokenizer.vocab.pad_id)
            read = time.perf_counter()
            tokens = engine.accumulate(parts).tokens
            summed = time.perf_counter()
            engine.apply(settings.learning_rate)
            watch.add("data", "data", read - began)
            watch.add("optimiser", "optimiser", time.perf_counter() - summed)
            return tokens

        for _ in range(3):  # the first steps meet empty caches
            step()
        took, tokens = _timed(step, count)
        watch = profile.Profile()
        with watch.watching():
            watched, _ = _timed(step, count)
    print(f"\n{count} steps: {1e3 * took / count:.1f} ms a step, {tokens / took:,.0f} tokens/s, {workers}; "
          f"{1e3 * watched / count:.1f} ms while every layer is timed.\n"
          "Milliseconds below add up over the workers, who run side by side; data and optimiser are as the clock shows.\n")
    print(profile.report(watch, count))
    return 0


def _timed(step: Callable[[], int], count: int) -> tuple[float, int]:
    """Seconds of so many steps, and their tokens."""
    began = time.perf_counter()
    tokens = sum(step() for _ in range(count))
    return time.perf_counter() - began, tokens


def _workers(args: argparse.Namespace, settings: Settings, config: BertConfig) -> Workers:
    """As many as were asked for, else as many as the cores and the memory of the machine allow."""
    threads = available_cores() if args.threads is None else args.threads

    def need(count: int) -> int:
        return memory.total(memory.training_on_cores(config, settings.batch_size, settings.max_length, count,
                                                     _with_micro_batches(settings, config, count).micro_batch_tokens))

    return Workers(args.threads, that_fit(threads, need, total_memory()) if args.workers is None else args.workers)


def _with_micro_batches(settings: Settings, config: BertConfig, workers: int, xp: Any = np) -> Settings:
    """The settings, with a number of tokens for each micro-batch where none was asked for. A run keeps it when it is resumed."""
    if settings.micro_batch_tokens is not None:
        return settings
    step = settings.batch_size * settings.max_length * settings.accumulate
    count = micro_batch_tokens(config.hidden_size, step, workers) if xp is np else DEVICE_TOKENS
    return replace(settings, micro_batch_tokens=count)


class Start(NamedTuple):
    """What a run begins with."""

    config: BertConfig  # of a vocabulary as large as is asked for: the text may not give as many words
    tokenizer: Tokenizer | None = None  # None: it is learned from the text
    parameters: Parameters | None = None  # None: random ones
    notes: Sequence[str] = ()

    def model(self, settings: Settings, vocabulary: int) -> tuple[BertConfig, Parameters]:
        """The model, for so many words."""
        if self.parameters is not None:
            return self.config, self.parameters
        config = config_of(settings, vocabulary)
        return config, pretraining.initial_parameters(config, settings.seed)


def start_of(settings: Settings) -> Start:
    """The sizes that the settings ask for, or with ``init`` the model of a folder; ValueError where the run cannot use it."""
    if settings.init is None:
        return Start(config_of(settings, settings.vocab_size))
    found = folder.load(settings.init)
    found.tokenizer.vocab.require("training", *SPECIAL)
    if settings.max_length > found.max_length:
        raise ValueError(f"--max-length is {settings.max_length}, but the model in {settings.init} reads at most "
                         f"{found.max_length} tokens: ask for no more")
    config = found.config.replace(hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.dropout)
    about = f"begun from the model in {settings.init}, its vocabulary of {len(found.tokenizer.vocab):,} tokens and its sizes"
    return Start(config, found.tokenizer, found.parameters, [about, *(f"note: {note}" for note in found.notes)])


def config_of(settings: Settings, vocabulary: int) -> BertConfig:
    """The model that the settings ask for. It has as many positions as a sequence can have tokens."""
    config = BertConfig.preset(settings.preset, vocab_size=vocabulary, max_position_embeddings=settings.max_length,
                               hidden_act=settings.activation, norm_first=settings.pre_ln,
                               hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.dropout)
    hidden = settings.hidden or config.hidden_size
    return config.replace(initializer_range=settings.initial_range or 0.02 * (768 / hidden) ** 0.5,  # as large a sum at any width
                          hidden_size=hidden, num_hidden_layers=settings.layers or config.num_hidden_layers,
                          num_attention_heads=settings.heads or config.num_attention_heads,
                          intermediate_size=settings.intermediate or 4 * hidden)


def _engine(settings: Settings, config: BertConfig, parameters: Parameters, workers: Workers) -> Engine:
    constants = AdamW(weight_decay=settings.weight_decay, bias_correction=settings.bias_correction)
    model, clip = pretraining.of(config), settings.clip or None
    return Engine(model, parameters, workers, constants, clip, settings.seed, settings.precision)


def _stream(settings: Settings, documents: list, tokenizer: Tokenizer) -> batches.Stream:
    return batches.Stream(documents, tokenizer, max_length=settings.max_length, batch_size=settings.batch_size,
                          seed=settings.seed, next_sentence=settings.next_sentence, whole_word=settings.whole_word,
                          static_masks=settings.static_masks, dupe_factor=settings.dupe_factor)


def _short_stream(settings: Settings, documents: list, tokenizer: Tokenizer) -> batches.Stream:
    """What the first steps read: as many tokens a step, in short sequences.

    Attention is spread evenly at first: each of the T tokens that it looks at counts 1/T. Among few, the neighbours of a masked
    word are noticed much sooner. The reference trained in two lengths as well (Devlin et al. 2018, appendix A.2).
    """
    length = min(SHORT_LENGTH, settings.max_length)
    sequences = settings.batch_size * settings.max_length // length
    return _stream(replace(settings, max_length=length, batch_size=sequences, next_sentence=False), documents, tokenizer)


def _read(settings: Settings, say: Say, tokenizer: Tokenizer | None = None) -> Text:
    """Read the corpus, learn a vocabulary unless there is a tokenizer, and report on it all."""
    cut = tokenizer.cut if tokenizer else settings.cut
    layout = "lines" if cut and settings.layout == "auto" else settings.layout  # a molecule has no sentences
    corpus = corpora.read(list(settings.corpus), layout=layout)
    say(corpus.description)
    train, held_out = corpora.split(corpus.documents, settings.held_out, settings.seed)
    if tokenizer is None:
        if settings.vocab:
            vocabulary = Vocabulary.load(settings.vocab)
            vocabulary.require("training", *SPECIAL)
            for note in vocabulary.notes:
                say(f"note: {note}")
        else:
            say(f"Learning a vocabulary of {'at most ' if settings.cut else ''}{settings.vocab_size:,} "
                f"{'tokens' if settings.cut else 'word pieces'} …")
            vocabulary = learn.learn((sentence for document in train for sentence in document), settings.vocab_size,
                                     lower_case=settings.lower_case, cut=settings.cut)
        tokenizer = Tokenizer(vocabulary, lower_case=settings.lower_case, cut=settings.cut, max_length=settings.max_length)
    ids = [[[tokenizer.ids(sentence) for sentence in document] for document in part] for part in (train, held_out)]
    found = report.report(*ids, tokenizer, corpus, settings.max_length)
    say(f"\n{found}\n")
    return Text(corpus, *ids, tokenizer, found)


def _plot(out: Path, trainer: Trainer, found: report.Report) -> None:
    from minibert import plots  # matplotlib takes a second to import

    plots.learning_curve(trainer.rows, out / "loss.png", found.ln_vocabulary, found.unigram_loss, f"Pre-training {out.name}",
                         trainer.short_steps)


def _head(say: Say, settings: Settings, workers: Workers, device: str) -> None:
    """What a run needs to be understood later."""
    say(f"minibert {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {describe_blas()}, "
        f"{platform.system()} {platform.machine()}\n"
        f"device: {device}, {settings.precision}, {workers}, seed {settings.seed}, "
        f"{datetime.datetime.now():%Y-%m-%d %H:%M}")
    if workers.note:
        say(workers.note)


def new_folder(out: str | None, state: str) -> Path:
    """Make the folder of a run, or take an empty one. ``state``: the file without which a run cannot be resumed."""
    path = Path(out) if out else Path("runs") / f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}"
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        way = (f", or go on with it: {command('--resume', path)}" if (path / state).is_file() else
               ", or delete it: a run ended there before anything was saved" if (path / checkpoint.LOG).is_file() else "")
        raise FileExistsError(f"the run folder {path} exists already; choose another --out{way}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"the run folder {path} cannot be made: {error.strerror}; choose another --out") from None
    return path


def clear(out: Path) -> None:
    """Take away the folder of a run that ended before anything was saved, so that the next try can have its name."""
    if not (out / checkpoint.FILE).exists():
        with suppress(OSError):
            (out / checkpoint.LOG).unlink(missing_ok=True)
            out.rmdir()  # not where something else is in it


def log_to(path: Path) -> Say:
    """A ``print`` that also appends to the run's log."""

    def say(text: str) -> None:
        print(text, flush=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    return say
