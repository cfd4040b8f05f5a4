"""Small models, batches and engines for the tests of training."""

import contextlib

import numpy as np

from minibert.model import pretraining
from minibert.parameters import Parameters
from minibert.tasks.batches import Batch
from minibert.tasks.corruption.masking import Masked
from minibert.tasks.examples import IGNORE
from minibert.training.engine import Engine
from minibert.workers import Workers
from tests.model.examples import random_parameters, small_config

LENGTHS = (16, 5, 9, 12, 7, 16, 3, 11, 8, 6, 14, 10, 4, 13)
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def masked_examples(config, lengths=LENGTHS, seed: int = 0, pairs: bool = True, masked: bool = True) -> list[Masked]:
    """Examples of the given lengths; each asks for about a quarter of its tokens, the one of three tokens for none."""
    rng = np.random.default_rng(seed)
    examples = []
    for i, length in enumerate(lengths):
        ids = rng.integers(5, config.vocab_size, length).astype(np.int32)
        positions = np.sort(rng.permutation(length - 1)[: length // 4] + 1) if masked else np.empty(0, np.int64)
        examples.append(Masked(ids, length // 2 if pairs else length, i % 2 if pairs else IGNORE, positions,
                               rng.integers(5, config.vocab_size, len(positions))))
    return examples


@contextlib.contextmanager
def engine(config=None, threads: int = 1, dtype=np.float64, parameters: Parameters | None = None, **options):
    """An engine of its own workers, over random parameters."""
    config = config or small_config(**NO_DROPOUT)
    parameters = parameters or random_parameters(config, dtype=dtype)
    with Workers(threads) as workers:
        yield Engine(pretraining.of(config), Parameters(parameters.layout, parameters.flat.copy()), workers, **options)


def gradient(engine: Engine) -> np.ndarray:
    """The sum over the workers' slabs."""
    return sum(slab.flat for slab in engine.gradients)


def tokens(batches: list[Batch]) -> int:
    return sum(batch.tokens for batch in batches)
