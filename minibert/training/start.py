"""What a run begins with: random weights in the sizes that were asked for, or a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.parameters import Parameters, grown, initialise
from minibert.pretrained import families, folder
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL
from minibert.training.engine import check_freeze
from minibert.training.objectives import model_of
from minibert.training.options import Settings


class Start(NamedTuple):
    """What a run begins with."""

    config: BertConfig  # of a vocabulary as large as is asked for: the text may not give as many words
    tokenizer: Tokenizer | None = None  # None: it is learned from the text
    parameters: Parameters | None = None  # None: random ones
    notes: Sequence[str] = ()

    def model(self, settings: Settings, tokenizer: Tokenizer) -> tuple[BertConfig, Parameters]:
        """The model, for the tokens of a tokenizer. Further heads of one that goes on are in its folder, or fresh."""
        if self.parameters is not None:
            layout = model_of(self.config, settings).layout()
            if settings.init is None or layout.slots.keys() == self.parameters.layout.slots.keys():
                return self.config, self.parameters
            known = {**folder.read_further(settings.init), **dict(self.parameters.items())}
            return self.config, grown(layout, known, self.config.initializer_range, settings.seed)
        config = config_of(settings, tokenizer)
        return config, initialise(model_of(config, settings).layout(), config.initializer_range, settings.seed)


def start_of(settings: Settings, notes: Sequence[str] = ()) -> Start:
    """The sizes that the settings ask for, or with ``init`` the model of a folder; ValueError where the run cannot use it."""
    if settings.init is None:
        config = config_of(settings)
        check_freeze(settings.freeze, config)
        return Start(config, notes=notes)
    found = folder.load(settings.init, layout=pretraining.layout, weights=settings.weights)
    if "mlm" not in found.config.objectives:
        raise ValueError(f"--init: the model in {settings.init} did not learn to guess words and has no head for it, and that is "
                         "what a run teaches: take one that has")
    found.tokenizer.vocab.require("training", *SPECIAL)
    if settings.max_length > found.max_length:
        raise ValueError(f"--max-length is {settings.max_length}, but the model in {settings.init} reads at most "
                         f"{found.max_length} tokens: ask for no more")
    config = found.config.replace(hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.dropout)
    check_freeze(settings.freeze, config)
    about = f"begun from the model in {settings.init}, its vocabulary of {len(found.tokenizer.vocab):,} tokens and its sizes"
    return Start(config, found.tokenizer, found.parameters, [*notes, about, *(f"note: {note}" for note in found.notes)])


def config_of(settings: Settings, tokenizer: Tokenizer | None = None) -> BertConfig:
    """The model that the settings ask for. It has as many positions as a sequence can have tokens.

    ValueError for what the files of its family cannot say.
    """
    changes = {"hidden_act": settings.activation, "num_hidden_layers": settings.layers, "hidden_size": settings.hidden,
               "num_attention_heads": settings.heads, "intermediate_size": settings.intermediate or (settings.hidden and
               4 * settings.hidden), "pad_token_id": tokenizer and tokenizer.vocab.pad_id, "norm_first": settings.pre_ln or None}
    config = families.preset(settings.family, settings.preset, settings.max_length,
                             vocab_size=len(tokenizer.vocab) if tokenizer else settings.vocab_size,
                             hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.dropout,
                             **{name: value for name, value in changes.items() if value is not None})
    if settings.inverted:
        config = config.replace(**{**families.inverted(config), **{name: value for name, value in changes.items() if value}})
    idle = ("intermediate", "activation", "pre_ln", "whole_word", "shift_positions", "recompute") if config.filter_sizes else ()
    if unheard := [f"--{name.replace('_', '-')}" for name in idle if getattr(settings, name)]:
        raise ValueError(f"{', '.join(unheard)}: {settings.family} is made of convolutions, and one piece of a phrase is hidden; "
                         "leave it out")
    if "replaced" in config.objectives:
        if settings.whole_word and not settings.generator_alone:
            raise ValueError(f"--whole-word: {settings.family} replaces single pieces; leave it out, or train a generator with "
                             "--generator-alone")
        if settings.generator_alone:
            config = config.replace(objectives=("mlm",))
    elif settings.generator_alone or settings.generator_size:
        option = "--generator-alone" if settings.generator_alone else "--generator-size"
        raise ValueError(f"{option} is for a family that learns beside a generator (electra), and {settings.family} does not: "
                         "leave it out")
    families.to_json(config)
    return config.replace(  # as large a sum at any width
        initializer_range=settings.initial_range or 0.02 * (768 / config.hidden_size) ** 0.5)
