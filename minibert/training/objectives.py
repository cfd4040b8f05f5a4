"""What a run trains, by what its model is asked: the model, and what is made of the text for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from minibert.config import BertConfig
from minibert.model import joint, pretraining
from minibert.model.model import Model
from minibert.pretrained import families
from minibert.tasks import known_phrases
from minibert.tasks.corruption import CORRUPTIONS, one_word, replaced
from minibert.tasks.segments import SEGMENTS, Segments
from minibert.tasks.segments.phrases import phrases
from minibert.tasks.words import WORDS
from minibert.training.options import Settings
from minibert.training.stages import parts

ASKED_OF_TEXTS = {way.term for way in SEGMENTS.values()} - {None}  # terms about an example as a whole
MOVED = {"replaced"} | {way.TERM for way in WORDS.values() if getattr(way, "MOVES", False)}  # words are not where they were
PARTED = {way.term for way in SEGMENTS.values() if way.parted}
FILES: Mapping[str, Callable[[str], Any]] = {"phrases": known_phrases.read}  # options that name a file, and its reader


class Objective(NamedTuple):
    model: Callable[..., Model]  # of a configuration, all settings of the run, and what else is asked
    hides: Callable[[Settings], dict[str, Any]]  # options of a stream: the corruption, and its own
    alone: str = ""  # what is said where something else is asked of such a model, which cannot be


def _by_masking(settings: Settings) -> dict[str, Any]:
    if own := segments(settings).corruption:
        return {"corruption": own}
    corruption = CORRUPTIONS[settings.masks]
    rates = {"rate": settings.mask_rate[0], "last_rate": settings.mask_rate[-1]} if settings.mask_rate else {}
    return {"corruption": corruption.module, **corruption.options, **rates,
            **{name: FILES[name](getattr(settings, name)) for name in corruption.files if getattr(settings, name)}}


OBJECTIVES = {
    "mlm": Objective(lambda config, settings, further: pretraining.of(config, further), _by_masking),
    "replaced": Objective(
        lambda config, settings, further: joint.of(config, joint.smaller(config, settings.generator_size or joint.SIZE)),
        lambda settings: {"corruption": replaced},
        "replaces single pieces and tells which, and nothing else is asked of it; leave it out, or train a generator with "
        "--generator-alone"),
    "cloze": Objective(lambda config, settings, further: pretraining.of(config),
                       lambda settings: {"corruption": one_word, "alone": phrases},
                       "is asked for the one hidden word of a phrase and for nothing else; leave it out"),
}


def of(config: BertConfig) -> Objective:
    """That of a model: what it is asked first; of one that has a vector for a text alone, the word that is missing from it."""
    if config.filter_sizes:
        return OBJECTIVES["cloze"]
    return OBJECTIVES[next((name for name in config.objectives if name in OBJECTIVES), "mlm")]


def model_of(config: BertConfig, settings: Settings) -> Model:
    """What an engine trains: it has the heads and the terms of all tasks of the run."""
    return of(config).model(config, settings, {name for task in tasks(settings) for name in further(task)})


def tasks(settings: Settings) -> list[Settings]:
    """Those of all stages of a run."""
    return [task for part in parts(settings) for task in part.tasks]


def segments(settings: Settings) -> Segments:
    """What goes into an example, and what is asked of it as a whole."""
    asked = SEGMENTS[settings.pairs or "next"]
    return asked if settings.next_sentence or asked.term is None else SEGMENTS["full-sentences"]


def further(settings: Settings) -> set[str]:
    """The terms of a task that no configuration names."""
    return ({segments(settings).term} & {*pretraining.FURTHER}) | {WORDS[name].TERM for name in settings.words}


def called(term: str, settings: Settings) -> str:
    """What a term is called where people read of it."""
    return _pairs(settings) if term == "nsp" else term.replace("_", "-")


def _pairs(settings: Settings) -> str:
    """What a run asks of pairs by the head that all families have."""
    return next((task.pairs for task in tasks(settings) if task.pairs and segments(task).term == "nsp"), "next")


def title(term: str, settings: Settings) -> str:
    """What a term asks, in words."""
    asked = {way.term: way.title for way in SEGMENTS.values()} | {"nsp": SEGMENTS[_pairs(settings)].title}
    return {**asked, "replaced": "replaced words that are found"}.get(term, term.replace("_", " "))


def marks(settings: Settings) -> set[str]:
    """What the tasks of a run must know of a token beside its id: see ``tasks.marks``."""
    modules = [module for task in tasks(settings)
               for module in (CORRUPTIONS[task.masks].module, *(WORDS[name] for name in task.words))]
    return {name for module in modules for name in getattr(module, "MARKS", ())}


def writes(settings: Settings) -> bool:
    """Does a run teach to write on from a text, and nothing else?"""
    return all(segments(task).corruption for task in tasks(settings))


def asked(config: BertConfig, settings: Settings) -> dict[str, Any]:
    """What is asked of a text, as options of a stream."""
    return {"next_sentence": settings.next_sentence, "pairs": settings.pairs or "next", "words": settings.words,
            **of(config).hides(settings)}


def fitting(config: BertConfig, settings: Settings) -> Settings:
    """The settings of a task for a model, with what its family asks of pairs where nothing was said.

    ValueError for a question that the model has no head for.
    """
    family = families.of(config)
    of_words = {"words": settings.words, "masking": settings.masking, "whole-word": settings.whole_word,
                "mask-rate": settings.mask_rate}
    if of(config).alone:
        for option, value in {"pairs": settings.pairs, **of_words}.items():
            if value:
                raise ValueError(f"--{option}: {family.title} {of(config).alone}")
    if segments(settings).corruption:
        for option, value in of_words.items():
            if value:
                raise ValueError(f"--{option}: --pairs {settings.pairs} asks for the next word everywhere; leave one of them out")
    if settings.mask_rate and not CORRUPTIONS[settings.masks].rated:
        rated = " and ".join(name for name, way in CORRUPTIONS.items() if way.rated)
        raise ValueError(f"--mask-rate is for --masking {rated}, and this one is {settings.masks}: leave it out")
    if config.filter_sizes:
        settings = replace(settings, short_first=0.0)  # phrases are short in any case
    if "nsp" in config.objectives:
        settings = replace(settings, pairs=settings.pairs or family.asks)
    elif settings.pairs is None:
        asks = {"next_sentence": settings.next_sentence}  # of a task that names pairs of its own
        stages = tuple({**stage, "task": [{**asks, **task} if "pairs" in {**stage, **task} else task
                                          for task in stage.get("task") or [{}]]} for stage in settings.stages)
        settings = replace(settings, next_sentence=False, stages=stages)
    term = segments(settings).term
    if term and not (term in config.objectives or (term in pretraining.FURTHER and config.pooler)):
        raise ValueError(f"--pairs: a model of {family.title} has no head that judges pairs; leave it out")
    return settings


def agreed(settings: Settings) -> None:
    """ValueError where two tasks of a run ask different things of one head."""
    found: dict[str, str] = {}
    for task in tasks(settings):
        term, asks = segments(task).term, task.pairs or "next"
        if term and found.setdefault(term, asks) != asks:
            raise ValueError(f"one head answers pairs {found[term]} and pairs {asks}, and they mean "
                             "different things by its answers: ask for one of them in all stages, or for order-apart, which has "
                             "a head of its own")


def enough(config: BertConfig, settings: Settings, documents: list) -> None:
    """ValueError where a task was asked for that needs more documents than are left to train on."""
    least = segments(settings).documents
    if len(documents) < least and settings.pairs != families.of(config).asks:
        raise ValueError(f"--pairs {settings.pairs} needs text from {least} documents, and beside what is held out there is "
                         f"{len(documents)}: separate documents by a blank line (--layout lines), or give --no-next-sentence")
