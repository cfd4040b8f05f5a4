"""What miniatures of tasks share: a corpus as numbers, and a run with looks at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from minibert.config import BertConfig
from minibert.parameters import Parameters, initialise
from minibert.tasks.batches import Batch
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.command import stages_of
from minibert.training.engine import Metrics
from minibert.training.loop import Loop, Progress
from minibert.training.objectives import model_of
from minibert.training.options import Settings
from minibert.training.runs import engine_of
from minibert.training.start import config_of
from minibert.workers import Workers
from minibert.world import World


def mean(rows: Sequence[Mapping[str, float]], figure: str) -> float:
    """Of a figure, over the seeds."""
    return sum(row[figure] for row in rows) / len(rows)


@cache
def world(tokens: int = 1_000_000, seed: int = 0) -> tuple[list, Tokenizer]:
    """Documents of the generated language as numbers, of so many words, and whose numbers they are."""
    language = World.of("full")
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, *language.words]), lower_case=False)
    return [[tokenizer.ids(sentence) for sentence in language.sentences(document)]
            for document in language.documents(tokens, seed)], tokenizer


def looks(settings: Settings, documents: list, tokenizer: Tokenizer, at: Mapping[str, Sequence[Batch]],
          start: tuple[BertConfig, Parameters] | None = None, judged: Settings | None = None) -> dict[str, Metrics]:
    """Train on documents for ``settings.steps``, on one thread, and look. ``start``: a model that goes on, else a fresh one.

    ``judged``: other settings to look by, whose model has the same tensors.
    """
    config = start[0] if start else config_of(settings, tokenizer)
    model = model_of(config, settings)
    parameters = start[1] if start else initialise(model.layout(), config.initializer_range, settings.seed)
    with Workers(1) as workers, tempfile.TemporaryDirectory() as folder:
        engine = engine_of(model, parameters, workers, settings)
        loop = Loop(engine, stages_of(settings, config, documents, tokenizer), settings, Progress(total=settings.steps),
                    Path(folder, "metrics.csv"), every=lambda total: total, look=dict, save=lambda progress: None,
                    line=lambda loop: "trained", say=lambda text: None)
        loop.run()
        engine.model = model_of(config, judged or settings)
        return {name: engine.evaluate(batches) for name, batches in at.items()}
