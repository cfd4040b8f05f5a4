"""A model small enough to be made afresh in every test."""

import numpy as np

from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.text import Tokenizer, Vocabulary

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS),
          "the", "raises", "an", "exception", ".")


def make(seed=0, **changes):
    """``(config, parameters, tokenizer)``; biases and norms are random too, so that they cannot hide a mistake."""
    sizes = {"vocab_size": len(TOKENS), "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
             "intermediate_size": 20, "max_position_embeddings": 24}
    config = BertConfig(**{**sizes, **changes})
    parameters = pretraining.initial_parameters(config, seed)
    noise = np.random.default_rng(seed).normal(0, 0.3, len(parameters))
    parameters.flat += noise.astype(np.float32)
    return config, parameters, Tokenizer(Vocabulary(TOKENS), max_length=config.max_position_embeddings)
