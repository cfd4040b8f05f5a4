"""A model of the small generated language, untrained, and small enough to be made afresh."""

from functools import lru_cache

from minibert.api import Bert
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.text import Tokenizer, Vocabulary
from minibert.text.vocabulary import SPECIAL
from minibert.world import World


@lru_cache(1)
def world() -> World:
    return World.of("small")


def make(seed: int = 0, **changes) -> Bert:
    tokens = (*SPECIAL, *world().words)
    sizes = {"vocab_size": len(tokens), "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 48, "max_position_embeddings": 64}
    config = BertConfig(**{**sizes, **changes})
    tokenizer = Tokenizer(Vocabulary(tokens), lower_case=False, max_length=64)
    return Bert(config, pretraining.initial_parameters(config, seed), tokenizer)
