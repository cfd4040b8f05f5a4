"""A small BERT with nothing regular about it, and batches for it: what the tests of the model share."""

import numpy as np

from minibert.config import BertConfig
from minibert.layers.cross_entropy import IGNORE
from minibert.model import pretraining
from minibert.model.pretraining import Inputs
from minibert.parameters import NOTHING, Parameters


def small_config(**changes) -> BertConfig:
    """Every axis of another size, so that none can stand in for another."""
    sizes = {"vocab_size": 37, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 20,
             "max_position_embeddings": 16, "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3}
    return BertConfig(**{**sizes, **changes})


def random_parameters(config: BertConfig, seed: int = 0, dtype=np.float64) -> Parameters:
    """Far from an initialisation: no bias is 0, no norm is 1, attention is uneven.

    Not as far where there are no norms: states would grow from block to block, and rounding with them.
    """
    rng, size = np.random.default_rng(seed), {"layer_norm": 0.3, "no_norm": 0.15}[config.norm]
    parameters = Parameters.zeros(pretraining.layout(config), dtype=dtype)
    for name, view in parameters.items():
        if name.endswith("LayerNorm.weight"):
            view[...] = 1 + size * rng.standard_normal(view.shape)
        else:
            view[...] = size * rng.standard_normal(view.shape)
    return parameters


def random_inputs(config: BertConfig, lengths=(9, 5, 7, 9), seed: int = 0, masks: int = 2) -> Inputs:
    """Padded pairs with repeated ids; the first ``masks`` tokens after the first position of each example are asked for."""
    rng = np.random.default_rng(seed)
    batch, tokens = len(lengths), max(lengths)
    mask = (np.arange(tokens) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(1, config.vocab_size, (batch, tokens))
    ids[:, 1::3] = 5  # one id again and again
    types = (np.arange(tokens) >= (np.array(lengths) // 2)[:, None]).astype(np.int64) * mask
    masked = [b * tokens + t for b, length in enumerate(lengths) for t in rng.permutation(length - 1)[:masks] + 1]
    return Inputs(ids=np.where(mask == 1, ids, config.pad_token_id), token_type_ids=types, attention_mask=mask,
                  positions=np.array(masked), labels=rng.integers(0, config.vocab_size, len(masked)),
                  next_labels=rng.integers(0, 2, batch))


def all_labels(inputs: Inputs) -> np.ndarray:
    """The labels as one number per token ``(B, T)``, ignored where nothing is asked."""
    labels = np.full(inputs.token_type_ids.size, IGNORE)
    labels[inputs.positions] = inputs.labels
    return labels.reshape(inputs.token_type_ids.shape)


def loss_and_gradients(inputs: Inputs, parameters: Parameters, config: BertConfig, wanted: bool = True, **options):
    """Output, gradients of the inputs, and the gradient slab of one forward and backward pass."""
    g = parameters.zeros_like()
    output, cache = pretraining.forward(inputs, parameters.tree, config, **options)
    d = pretraining.backward(pretraining.Output(loss=1.0), cache, parameters.tree, g.tree if wanted else NOTHING)
    return output, d, g


def distance(got, expected) -> float:
    """‖got - expected‖/‖expected‖, or the norm of got where zero is expected."""
    size = np.linalg.norm(expected)
    return float(np.linalg.norm(np.asarray(got) - expected) / (size or 1.0))


def arrays(cache):
    """Every array in a cache, however deep."""
    if isinstance(cache, np.ndarray):
        yield cache
    elif isinstance(cache, dict):
        for value in cache.values():
            yield from arrays(value)
    elif isinstance(cache, (tuple, list)):
        for value in cache:
            yield from arrays(value)
