"""TextCNN: pre-trained by the one hidden word of a phrase, then 500 labels, against 500 labels alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.miniatures._training import mean
from minibert.finetuning import models
from minibert.model import pretraining
from minibert.model.model import Model
from minibert.parameters import Parameters, grown, initialise
from minibert.pretrained import families
from minibert.tasks import batches
from minibert.tasks.corruption import one_word
from minibert.tasks.labelled.features import Epochs, Feature
from minibert.tasks.labelled.features import micro_batches as of_features
from minibert.tasks.segments.phrases import phrases
from minibert.text import learn
from minibert.text.tokenizer import Tokenizer
from minibert.training.adamw import AdamW, learning_rate
from minibert.training.engine import Engine, predict
from minibert.workers import Workers

ASKS = ("TextCNN on 500 sentences of SST-2, pre-trained on all 6,920 without labels against from scratch: accuracy on the 872 "
        "dev sentences after the last step.")
CRITERION = "Pre-trained is at least 5 points better."

LENGTH, WORDS, LABELS = 64, 4000, 500
STEPS, PHRASES, RATE = 1200, 256, 2e-3  # of pre-training
EPOCHS, TEXTS, TASK_RATE, DROPOUT = 30, 25, 1e-3, 0.3  # of the task


def run(seed: int) -> dict[str, float]:
    train, dev = (read(name) for name in ("train", "dev"))
    tokenizer = Tokenizer(learn.learn([text for text, _ in train], WORDS), lower_case=True, max_length=LENGTH)
    config = families.preset("textcnn", "tiny", LENGTH, vocab_size=len(tokenizer.vocab), embedding_size=64, hidden_size=256,
                             initializer_range=0.1, hidden_dropout_prob=0.0)
    model = pretraining.of(config)
    stream = batches.Stream([[tokenizer.ids(text)] for text, _ in train], tokenizer, max_length=LENGTH, batch_size=PHRASES,
                            seed=seed, next_sentence=False, corruption=one_word, alone=phrases)
    cut = batches.whole(partial(batches.micro_batches, pad_id=tokenizer.vocab.pad_id), PHRASES)
    fresh = initialise(model.layout(), config.initializer_range, seed)
    learned, nats = trained(model, fresh, lambda at: stream.batch(at), cut, STEPS, RATE, seed)
    chosen = np.random.default_rng(seed).permutation(len(train))[:LABELS]
    some, rest = ([feature(tokenizer, *texts[i]) for i in which] for texts, which in ((train, chosen), (dev, range(len(dev)))))
    config = config.replace(hidden_dropout_prob=DROPOUT)
    found = {name: accuracy(models.of(config, "sequence", 2), start, some, rest, seed)
             for name, start in (("pre-trained", learned), ("from scratch", None))}
    return {**found, "difference": found["pre-trained"] - found["from scratch"], "pre-training, nats a word": nats}


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the mean over the seeds keeps to the criterion."""
    return mean(rows, "difference") >= 0.05


def read(part: str) -> list[tuple[str, int]]:
    """SST-2 as sentences and labels, from the folder that MINIBERT_TEST_DATA names. FileNotFoundError where it is not there."""
    folder = Path(os.environ.get("MINIBERT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "sst2"
    lines = (folder / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
    return [(text, int(label)) for text, _, label in (line.rpartition("\t") for line in lines)]


def feature(tokenizer: Tokenizer, text: str, label: int) -> Feature:
    ids = np.array(tokenizer.encode(text, max_length=LENGTH, truncate=True).ids)
    return Feature((ids,), (len(ids),), np.array(label), 0)


def accuracy(model: Model, start: Parameters | None, some: list[Feature], rest: list[Feature], seed: int) -> float:
    """On the rest after the last step; every tensor of equal name and shape is the start's."""
    there = {} if start is None else dict(start.items())
    parameters = grown(model.layout(), there, model.config.initializer_range, seed)
    learned, _ = trained(model, parameters, Epochs(some, TEXTS, seed).batch, batches.whole(of_features, TEXTS),
                         EPOCHS * LABELS // TEXTS, TASK_RATE, seed)
    with Workers(1) as workers:
        _, logits = predict(model, learned, of_features(rest), workers)
    return float(np.mean([x.argmax() == one.labels for x, one in zip(logits, rest)]))


def trained(model: Model, parameters: Parameters, read: Callable[..., Any], cut: Callable[[Any], Any], steps: int, rate: float,
            seed: int) -> tuple[Parameters, float]:
    """The parameters after so many steps, and the mean loss of the last fiftieth of them."""
    losses, at = [], batches.Position()
    with Workers(1) as workers:
        engine = Engine(model, parameters, workers, AdamW(), seed=seed)
        for step in range(1, steps + 1):
            examples, at = read(at)
            losses.append(float(engine.train(cut(examples), learning_rate(step, rate, steps // 10, steps))[0].loss))
        return engine.parameters, float(np.mean(losses[-max(1, steps // 50):]))
