"""A prefix language model against transformers' BertForMaskedLM, which is given the same mask as numbers that are added."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert import generation  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.pretrained.folder import Loaded  # noqa: E402
from minibert.tasks.batches import collate, micro_batches  # noqa: E402
from minibert.tasks.corruption import next_words  # noqa: E402
from minibert.tasks.examples import IGNORE, Example  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.model.examples import distance, loss_and_gradients, random_parameters, small_config  # noqa: E402
from tests.oracle.test_model import check_gradients, reference  # noqa: E402

CONFIG = small_config(objectives=("mlm",), pooler=None)


def batch():
    rng = np.random.default_rng(0)
    examples = [Example(rng.integers(1, CONFIG.vocab_size, n).astype(np.int32), split, IGNORE)
                for n, split in ((9, 4), (5, 2), (7, 6), (8, 8))]
    return collate([next_words.mask_example(example, None, (0, 0, 0)) for example in examples])


def added(mask):
    """Who sees whom ``(N, T, T)`` as what is added to the scores of every head."""
    return torch.tensor(np.where(mask, 0.0, -1e4))[:, None]


def test_states_loss_and_every_gradient():
    x, parameters = batch(), random_parameters(CONFIG)
    assert x.attention_mask.shape == (4, 9, 9)
    inputs = pretraining.Inputs(x.ids, x.token_type_ids, x.attention_mask, x.positions, x.targets["mlm"])
    output, _, g = loss_and_gradients(inputs, parameters, CONFIG)
    model, theirs = reference(transformers.BertForMaskedLM, CONFIG, parameters, np.float64)
    out = model(torch.tensor(x.ids), token_type_ids=torch.tensor(x.token_type_ids), attention_mask=added(x.attention_mask),
                output_hidden_states=True)
    logits = out.logits.reshape(-1, CONFIG.vocab_size)[torch.tensor(x.positions)]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(x.targets["mlm"]))
    loss.backward()
    real = x.attention_mask.diagonal(axis1=1, axis2=2)
    assert distance(output.logits, logits.detach().numpy()) < 1e-12
    assert distance(output.bert.last_hidden_state[real], out.hidden_states[-1].detach().numpy()[real]) < 1e-12
    assert float(output.loss) == pytest.approx(loss.item(), rel=1e-12)
    check_gradients(g, theirs, 1e-12)


def test_what_is_written_next():
    config, parameters, tokenizer = tiny_model.make(objectives=("mlm",), pooler=None)
    parameters = parameters.astype(np.float64)
    model, _ = reference(transformers.BertForMaskedLM, config, parameters, np.float64)
    source, begun = [2, 5, 6, 7, 3], [(8, 9), (10, 11)]
    found = generation.log_probabilities(Loaded(config, parameters, tokenizer), source, begun)
    ids = torch.tensor([[*source, *ids] for ids in begun])
    types = torch.tensor([[0] * 5 + [1] * 2] * 2)
    c = types.cumsum(1)
    logits = model(ids, token_type_ids=types, attention_mask=added((c[:, None] <= c[:, :, None]).numpy())).logits[:, -1]
    assert distance(found, torch.log_softmax(logits, -1).detach().numpy()) < 1e-12


def test_the_cut_changes_nothing():
    rng = np.random.default_rng(1)
    examples = [next_words.mask_example(Example(rng.integers(1, CONFIG.vocab_size, n).astype(np.int32), n // 2, IGNORE), None,
                                        (0, 0, 0)) for n in (9, 4, 6, 12, 5)]
    parameters, losses = random_parameters(CONFIG), []
    for limit in (1000, 14):
        batches = micro_batches(examples, limit)
        count = sum(len(x.positions) for x in batches)
        losses.append(sum(float(pretraining.forward(
            pretraining.Inputs(x.ids, x.token_type_ids, x.attention_mask, x.positions, x.targets["mlm"]), parameters.tree, CONFIG,
            counts=(count, 1))[0].loss) for x in batches))
    assert losses[0] == pytest.approx(losses[1], rel=1e-13)
