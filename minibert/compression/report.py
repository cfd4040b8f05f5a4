"""Models beside one another: how large they are, how fast, and how good, in one run.

The clock goes over whole runs, from tokens to answers, of each model by turns: what else the machine does meets all of them.
The figure is the median, and beside the first model that of the ratios of each turn. Products are counted by the code that runs.
A model that texts can leave early has a line for each of some speeds (``model/exits.py``).
"""

from __future__ import annotations

import argparse
import platform
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from minibert import sentence_vectors
from minibert.compression.counted import counting
from minibert.compression.options import heeded
from minibert.data import corpora
from minibert.files import read_json, write_atomically
from minibert.finetuning import command, saved
from minibert.model import pretraining
from minibert.model.model import Model
from minibert.parameters import Parameters
from minibert.pretrained import folder, formats
from minibert.sentence_vectors import Pooling
from minibert.tasks.labelled.features import micro_batches
from minibert.training.engine import predict, tokens_at_a_time
from minibert.workers import Workers, describe_blas, keep_freed_memory

TURNS, TEXTS = 5, 500  # rounds of the clock, and sentences of a corpus
SPEEDS = (0.1, 0.5, 0.8)  # those of the tables in Liu et al. 2020, "FastBERT", arXiv:2004.02178


class Candidate(NamedTuple):
    """A model that can be asked."""

    name: str
    layers: int
    hidden: int
    parameters: Parameters
    file: int  # bytes
    texts: int
    answer: Callable[[Parameters, Workers], Any]  # to all texts
    score: Callable[[Any], float] | None  # of what it has answered
    metric: str
    spread: str  # over seeds, of a run that had some


class Figures(NamedTuple):
    """What was measured of a model."""

    memory: int  # bytes: weights, and the most that answering takes beside them
    products: float  # multiplications a text
    seconds: list[float]  # of each turn
    score: float | None


def run(args: argparse.Namespace) -> int:
    """Do what ``compress report`` asks for. The exit code."""
    keep_freed_memory()
    if not args.folders:
        raise ValueError("name the folders of the models to compare: minibert compress report A B …")
    dev = getattr(args, "dev", None)
    heeded(args, {"recipe", "dev"} if dev else {"recipe", "corpus", "layout"},
           "report asks the models, and trains none; leave it out" + ", or give no --dev" * bool(dev))
    sentences = [] if dev else _sentences(args)
    models = [model for place in map(Path, args.folders)
              for model in (of_examples(place, dev) if dev else [of_texts(place, sentences)])]
    with Workers(args.threads) as workers, Workers(1) as one:
        found = measure(models, workers, one)
        text = (f"{platform.system()} {platform.machine()}, {describe_blas()}, {workers}; {models[0].texts:,} texts, median of "
                f"{TURNS} turns\n\n" + table(models, found))
    print(text)
    if args.out:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "report.txt", text + "\n")
        from minibert import plots  # matplotlib takes a second to import

        good = [f.score for f in found] if found[0].score is not None else [m.parameters.layout.learned / 1e6 for m in models]
        plots.frontier([m.texts / median(f.seconds) for m, f in zip(models, found)], good, [m.name for m in models],
                       out / "report.png", models[0].metric or "million parameters")
    return 0


def of_examples(place: Path, file: str) -> list[Candidate]:
    """A model that finetune wrote, and labelled examples; at some speeds too, where texts can leave it early."""
    model = saved.load(place)
    task, (data, labels) = model.task, command.read_for(model, file, {})
    bare = [example._replace(**{task.LABEL: None}) for example in data.examples]
    features, _ = task.encode(bare, model.tokenizer, labels, model.settings)
    batches = micro_batches(features, tokens_at_a_time(np), pad_id=model.tokenizer.vocab.pad_id)

    def answers(network: Model, parameters: Parameters, workers: Workers) -> list[np.ndarray]:
        return predict(network, parameters, batches, workers)[1]

    def score(logits: list[np.ndarray]) -> float:
        guesses = task.guess(logits, features, data.examples, labels, model.settings)
        return task.score(data.examples, guesses, labels)[task.METRIC]

    known = all(getattr(example, task.LABEL) is not None for example in data.examples)
    whole = Candidate(str(place), model.config.num_hidden_layers, model.config.hidden_size, model.parameters, _bytes(place),
                      len(features), partial(answers, model.network()), score if known else None,
                      task.METRIC if known else "", _spread(place, task.METRIC))
    return [whole, *(whole._replace(name=f"{place} at {speed}", answer=partial(answers, model.leaving(speed)), spread="")
                     for speed in SPEEDS if model.leaves_early)]


def of_texts(place: Path, sentences: Sequence[str]) -> Candidate:
    """A model of which vectors of texts are asked, without its heads."""
    bert = folder.load(place, layout=pretraining.layout)
    rows = [bert.tokenizer.framed(ids[:bert.max_length - 2]) for ids in bert.tokenizer.ids_of(sentences)]

    def answer(parameters: Parameters, workers: Workers) -> np.ndarray:
        return sentence_vectors.of_tokens(bert._replace(parameters=parameters), rows, Pooling(), workers.threads)

    return Candidate(str(place), bert.config.num_hidden_layers, bert.config.hidden_size, bert.parameters, _bytes(place),
                     len(rows), answer, None, "", "")


def measure(models: Sequence[Candidate], workers: Workers, one: Workers) -> list[Figures]:
    """Sizes and scores, then the clock, model by model in each turn. ``one``: a single worker, for what is counted."""
    sizes = []
    for model in models:
        parameters, tally = counting(model.parameters)
        model.answer(parameters, one)
        tracemalloc.start()
        try:
            found = model.answer(model.parameters, workers)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        sizes.append((model.parameters.flat.nbytes + peak, tally[0] / model.texts, model.score and model.score(found)))
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(TURNS):
        for model, mine in zip(models, seconds):
            begun = time.perf_counter()
            model.answer(model.parameters, workers)
            mine.append(time.perf_counter() - begun)
    return [Figures(memory, products, mine, score) for (memory, products, score), mine in zip(sizes, seconds)]


def table(models: Sequence[Candidate], found: Sequence[Figures]) -> str:
    """A line for each model."""
    first, lines = found[0], [f"{'':<24} {'layers':>7} {'parameters':>13} {'file':>9} {'memory':>9} {'MFLOP':>9} {'texts/s':>9} "
                              f"{'times':>6}  {models[0].metric}"]
    for model, figures in zip(models, found):
        ratio = median(a / b for a, b in zip(first.seconds, figures.seconds))
        score = "" if figures.score is None else f"{figures.score:.4f}"
        lines.append(f"{model.name[-24:]:<24} {f'{model.layers}/{model.hidden}':>7} {model.parameters.layout.learned:>13,} "
                     f"{model.file / 1e6:>6.1f} MB {figures.memory / 1e6:>6.1f} MB {2 * figures.products / 1e6:>9,.2f} "
                     f"{model.texts / median(figures.seconds):>9.1f} {ratio:>6.2f}  {score}{model.spread}")
    return "\n".join(line.rstrip() for line in lines)


def _sentences(args: argparse.Namespace) -> list[str]:
    corpus = corpora.read(list(getattr(args, "corpus", None) or ["python-docs"]), layout=getattr(args, "layout", "auto"))
    return [sentence for document in corpus.documents for sentence in document][:TEXTS]


def _bytes(place: Path) -> int:
    file = formats.of(place)
    return file.stat().st_size if file is not None and file.is_file() else 0


def _spread(place: Path, metric: str) -> str:
    """Of a run of several seeds: mean and standard deviation over them."""
    path = place / command.RESULT
    found = read_json(path, dict) if path.is_file() else {}
    deviation, mean = found.get("standard_deviation"), found.get("scores")
    if not isinstance(deviation, dict) or not isinstance(mean, dict) or not isinstance(deviation.get(metric), float):
        return ""
    return f"  (seeds: {mean[metric]:.4f} ± {deviation[metric]:.4f})"
