"""What a run trains, by what its model is asked: the model, and what hides words of the text for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minibert.config import BertConfig
from minibert.model import joint, pretraining
from minibert.model.model import Model
from minibert.tasks.corruption import masking, one_word, replaced
from minibert.tasks.segments.phrases import phrases
from minibert.training.options import Settings


class Objective(NamedTuple):
    model: Callable[[BertConfig, Settings], Model]
    hides: Callable[[Settings], dict[str, Any]]  # options of a stream: the corruption, and its own


OBJECTIVES = {
    "mlm": Objective(lambda config, settings: pretraining.of(config),
                     lambda settings: {"corruption": masking, "whole_word": settings.whole_word}),
    "replaced": Objective(lambda config, settings: joint.of(config, joint.smaller(config, settings.generator_size or joint.SIZE)),
                          lambda settings: {"corruption": replaced}),
    "cloze": Objective(lambda config, settings: pretraining.of(config),
                       lambda settings: {"corruption": one_word, "alone": phrases}),
}


def of(config: BertConfig) -> Objective:
    """That of a model: what it is asked first; of one that has a vector for a text alone, the word that is missing from it."""
    if config.filter_sizes:
        return OBJECTIVES["cloze"]
    return OBJECTIVES[next((name for name in config.objectives if name in OBJECTIVES), "mlm")]


def model_of(config: BertConfig, settings: Settings) -> Model:
    """What an engine trains."""
    return of(config).model(config, settings)


def asked(config: BertConfig, settings: Settings) -> dict[str, Any]:
    """What is asked of a text, as options of a stream."""
    return {"next_sentence": settings.next_sentence, "pairs": settings.pairs or "next", **of(config).hides(settings)}
