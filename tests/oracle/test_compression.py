"""Distillation and replaced layers against PyTorch and transformers: losses, gradients, frozen parts, exports."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
import torch.nn.functional as F  # noqa: E402

from minibert.compression import distil, students, theseus  # noqa: E402
from minibert.compression.theseus import Schedule  # noqa: E402
from minibert.finetuning import models  # noqa: E402
from minibert.layers import cosine_distance, kl_divergence, token_error  # noqa: E402
from minibert.layers.cross_entropy import IGNORE  # noqa: E402
from minibert.layers.dropout import Key  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.model.model import Inputs, Output  # noqa: E402
from minibert.parameters import Parameters  # noqa: E402
from minibert.tasks.batches import Batch  # noqa: E402
from minibert.training.adamw import AdamW  # noqa: E402
from minibert.training.engine import Engine, inputs  # noqa: E402
from minibert.workers import Workers  # noqa: E402
from tests.model.examples import distance, random_inputs, random_parameters, small_config  # noqa: E402
from tests.oracle.test_model import reference  # noqa: E402

TOLERANCE = 1e-12
REAL = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def leaf(x):
    return torch.tensor(x, requires_grad=True)


def check(layer, x, targets, expected, theirs, **options):
    """The loss, and 0.7 times its gradient."""
    loss, cache = layer.forward(x, targets, **options)
    assert abs(loss - expected.item()) <= TOLERANCE * abs(expected.item())
    (0.7 * expected).backward()
    assert distance(layer.backward(0.7, cache), theirs.grad.numpy()) <= TOLERANCE


def test_soft_targets_are_kldivloss_of_the_real_tokens():
    """As in DistilBERT's code: the rows that count, their mean, times T²."""
    rng = np.random.default_rng(0)
    x, t, temperature = 3 * rng.standard_normal((7, 11)), 3 * rng.standard_normal((7, 11)), 2.0
    theirs = leaf(x)
    expected = torch.nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(theirs / temperature, -1), F.softmax(torch.tensor(t) / temperature, -1)) * temperature**2
    check(kl_divergence, x, t, expected, theirs, temperature=temperature)


def test_the_distance_by_the_cosine_is_cosineembeddingloss():
    rng = np.random.default_rng(1)
    x, t, real = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 5, 6)), REAL == 1
    theirs = leaf(x)
    rows = theirs[torch.tensor(real)]
    expected = torch.nn.CosineEmbeddingLoss()(rows, torch.tensor(t[real]), torch.ones(len(rows), dtype=rows.dtype))
    check(cosine_distance, x, (t, real[:, :, None]), expected, theirs)


def test_the_error_of_tokens_is_mseloss_of_the_real_ones():
    rng = np.random.default_rng(2)
    x, t, real = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 5, 6)), REAL == 1
    theirs = leaf(x)
    check(token_error, x, (t, real[:, :, None]), F.mse_loss(theirs[torch.tensor(real)], torch.tensor(t[real])), theirs)


def test_the_divergence_of_attention_is_kldivloss_of_the_real_rows():
    rng = np.random.default_rng(3)
    x, t = (rng.dirichlet(np.ones(5), (2, 3, 5)) for _ in range(2))
    real = np.broadcast_to(REAL[:, None] == 1, (2, 3, 5))
    theirs = leaf(x)
    expected = torch.nn.KLDivLoss(reduction="batchmean")(theirs[torch.tensor(real)].log(), torch.tensor(t[real]))
    check(kl_divergence, x, (t, REAL[:, None, :, None]), expected, theirs, logits="none")


def batch_of(x) -> Batch:
    return Batch(x.ids, x.token_type_ids, x.attention_mask == 1, {"mlm": x.labels, "nsp": np.full(len(x.ids), IGNORE)},
                 np.sort(x.positions))


@pytest.mark.parametrize("masked_only", [False, True])
def test_a_step_of_distillation_is_that_of_distilbert(masked_only):
    """Loss and gradients of a student of two layers of a teacher of four, both of transformers; weights 5, 2, 1 and T = 2."""
    config = small_config(num_hidden_layers=4, **NO_DROPOUT)
    parameters, x = random_parameters(config), batch_of(random_inputs(config))
    alone = pretraining.of(students.config_of(config, 2))
    begun, fresh = students.begun(alone.layout(), parameters, students.spread(2, 4), 0.02, 0)
    assert not fresh
    begun.flat += np.random.default_rng(5).normal(0, 0.1, len(begun))
    whole = distil.of(alone, config, distil.Weights(5.0, 2.0, 1.0))
    batch = x if masked_only else distil.everywhere(x)
    with Workers(1) as workers:
        engine = Engine(whole, Parameters(whole.layout(), begun.flat.copy()), workers, clip_norm=None,
                        teacher=distil.answers(pretraining.of(config), parameters, whole.asked))
        metrics = engine.accumulate([batch])

    teacher, _ = reference(transformers.BertForPreTraining, config, parameters, np.float64)
    student, named = reference(transformers.BertForPreTraining, alone.config, begun, np.float64)
    given = {"input_ids": x.ids, "token_type_ids": x.token_type_ids, "attention_mask": x.attention_mask.astype(np.int64),
             "output_hidden_states": True}
    given = {name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in given.items()}
    ours, theirs = student(**given), teacher.eval()(**given)
    labels = np.full(x.ids.size, IGNORE)
    labels[x.positions] = x.targets["mlm"]
    real = torch.tensor(x.attention_mask)
    asked = torch.tensor((labels != IGNORE).reshape(x.ids.shape)) if masked_only else real
    soft = torch.nn.KLDivLoss(reduction="batchmean")(F.log_softmax(ours.prediction_logits[asked] / 2, -1),
                                                     F.softmax(theirs.prediction_logits[asked].detach() / 2, -1)) * 4
    hard = F.cross_entropy(ours.prediction_logits.flatten(0, 1), torch.tensor(labels))
    a, b = ours.hidden_states[-1][real], theirs.hidden_states[-1][real].detach()
    cosine = torch.nn.CosineEmbeddingLoss()(a, b, torch.ones(len(a), dtype=a.dtype))
    loss = 5 * soft + 2 * hard + cosine
    for name, expected in (("soft", soft), ("mlm", hard), ("cosine", cosine)):
        assert abs(metrics.losses[name] - expected.item()) <= TOLERANCE * abs(expected.item()), name
    assert abs(metrics.loss - loss.item()) <= TOLERANCE * abs(loss.item())
    loss.backward()
    for name, view in engine.gradients[0].items():
        if not name.startswith(("bert.pooler.", "cls.seq_relationship.")):
            assert distance(view, named[name].grad.numpy()) <= 10 * TOLERANCE or name.endswith("key.bias"), name


def classifier(layers=6):
    config = small_config(num_hidden_layers=layers, **NO_DROPOUT)
    network = models.of(config, "sequence", 3)
    rng, layout = np.random.default_rng(7), network.layout()
    parameters = Parameters(layout, rng.normal(0, 0.3, layout.size))
    for name, view in parameters.items():
        view += name.endswith("LayerNorm.weight")
    return config, network, parameters


def their_classifier(config, parameters):
    return reference(transformers.BertForSequenceClassification, config, parameters, np.float64, num_labels=3)[0]


def successor(config, network, parameters, schedule, clip_all=False):
    alone = models.of(students.config_of(config, 3), "sequence", 3)
    whole = theseus.of(alone, config, schedule, clip_all)
    both = theseus.begun(whole, parameters)
    for name, view in both.items():  # so that the two differ
        if name.startswith(students.LAYER):
            view += np.random.default_rng(8).normal(0, 0.1, view.shape)
    return whole, both


def labelled(config, seed=0) -> Batch:
    x = random_inputs(config, seed=seed)
    labels = np.random.default_rng(seed).integers(0, 3, len(x.ids))
    return Batch(x.ids, x.token_type_ids, x.attention_mask == 1, {"label": labels}, places=range(len(labels)))


@pytest.mark.parametrize("clip_all", [False, True])
@pytest.mark.parametrize("draws", [(True, False, True), (False, True, False), (False, False, False), (True, True, True)], ids=str)
def test_replaced_layers_are_a_list_rebuilt_from_the_same_draws(draws, clip_all):
    """Loss and gradients; the predecessor of a module that is replaced has none at all."""
    config, network, parameters = classifier()
    whole, both = successor(config, network, parameters, Schedule(0.5, 10**6, linear=False), clip_all)
    key = next(key for step in range(1000) if whole.draws(key := Key(3, step)) == draws)
    batch = labelled(config)
    x = inputs(batch, np, config)
    out, cache = whole.forward(x, both.tree, key=key)
    g = both.zeros_like()
    whole.backward(Output(loss=1.0), cache, both.tree, g.tree)

    theirs = their_classifier(config, parameters)
    [(_, new)] = whole.apart(both).values()
    modules = their_classifier(whole.config, new).bert.encoder.layer
    old = list(theirs.bert.encoder.layer)
    theirs.bert.encoder.layer = torch.nn.ModuleList(
        [layer for i, drawn in enumerate(draws) for layer in ([modules[i]] if drawn else old[2 * i:2 * i + 2])])
    loss = theirs(torch.tensor(batch.ids), torch.tensor(batch.attention_mask.astype(np.int64)),
                  torch.tensor(batch.token_type_ids), labels=torch.tensor(batch.targets["label"])).loss
    assert abs(out.loss - loss.item()) <= TOLERANCE * abs(loss.item())
    loss.backward()
    named = {f"bert.encoder.layer.{i}.{name}": p for i, layer in enumerate(modules) for name, p in layer.named_parameters()}
    if clip_all:
        named |= {f"{theseus.PREDECESSOR}layer.{i}.{name}": p for i, layer in enumerate(old)
                  for name, p in layer.named_parameters()}
        named |= {name: p for name, p in theirs.named_parameters() if "encoder.layer" not in name}
        assert named.keys() == both.layout.slots.keys()
    for name, view in g.items():
        expected = getattr(named.get(name), "grad", None)
        if expected is None:
            assert not view.any(), name
        elif not name.endswith("key.bias"):
            assert distance(view, expected.numpy()) <= TOLERANCE, name


@pytest.mark.parametrize("clip_all", [False, True])
def test_ten_steps_of_theseus_are_those_of_torch(clip_all):
    """Losses and weights; clipped by the norm over what learns, or over all. What is frozen stays to the last bit."""
    config, network, parameters = classifier()
    whole, both = successor(config, network, parameters, Schedule(0.4, 8), clip_all)
    before = Parameters(both.layout, both.flat.copy())
    with Workers(1) as workers:
        engine = Engine(whole, both, workers, AdamW(epsilon=1e-8, weight_decay=0.0), clip_norm=0.5, seed=5)
        batches = [labelled(config, seed) for seed in range(10)]
        losses = [(float(metrics.loss), float(norm)) for metrics, norm in (engine.train([b], 1e-2) for b in batches)]
    frozen = [name for name in both.layout.slots if not name.startswith(students.LAYER)]
    after, there = dict(engine.parameters.items()), dict(before.items())
    for name in frozen:
        assert after[name].tobytes() == there[name].tobytes(), name

    theirs = their_classifier(config, parameters)
    [(_, new)] = whole.apart(before).values()
    modules, old = their_classifier(whole.config, new).bert.encoder.layer, list(theirs.bert.encoder.layer)
    learns = list(modules.parameters())
    every = [*learns, *theirs.parameters()]
    for p in learns:
        p.grad = torch.zeros_like(p)  # as where gradients are set to zero and not taken away
    optimiser = torch.optim.AdamW(learns, lr=1e-2, eps=1e-8, weight_decay=0.0)
    drawn = set()
    for step, (batch, (loss, norm)) in enumerate(zip(batches, losses)):
        draws = whole.draws(Key(5, step))
        drawn.add(draws)
        theirs.bert.encoder.layer = torch.nn.ModuleList(
            [layer for i, r in enumerate(draws) for layer in ([modules[i]] if r else old[2 * i:2 * i + 2])])
        for p in every:
            p.grad = torch.zeros_like(p)
        expected = theirs(torch.tensor(batch.ids), torch.tensor(batch.attention_mask.astype(np.int64)),
                          torch.tensor(batch.token_type_ids), labels=torch.tensor(batch.targets["label"])).loss
        expected.backward()
        their_norm = torch.nn.utils.clip_grad_norm_(every if clip_all else learns, 0.5)
        optimiser.step()
        assert abs(loss - expected.item()) <= 1e-10 * abs(expected.item()), step
        assert abs(norm - their_norm.item()) <= 1e-9 * (their_norm.item() or 1), step
    assert len(drawn) > 3
    named = {f"bert.encoder.layer.{i}.{name}": p for i, layer in enumerate(modules) for name, p in layer.named_parameters()}
    for name, p in named.items():
        if not name.endswith("key.bias"):
            assert distance(after[name], p.detach().numpy()) <= 1e-9, name


def test_what_is_left_is_a_plain_model():
    """The successor alone gives in transformers what it gives here."""
    config, network, parameters = classifier()
    whole, both = successor(config, network, parameters, Schedule())
    batch = labelled(config)
    x: Inputs = inputs(batch, np, config)
    out, _ = whole.forward(x, both.tree)
    [(small, alone)] = whole.apart(both).values()
    assert small.num_hidden_layers == 3
    again, _ = whole.alone.forward(x, alone.tree)
    np.testing.assert_array_equal(out.logits["task"], again.logits["task"])
    logits = their_classifier(small, alone)(torch.tensor(batch.ids), torch.tensor(batch.attention_mask.astype(np.int64)),
                                            torch.tensor(batch.token_type_ids)).logits
    assert distance(out.logits["task"], logits.detach().numpy()) <= TOLERANCE


def test_8_bits_are_those_of_torch():
    """What is left of each number, with our scales and no zero points."""
    from minibert.pretrained import in_8_bits

    x = np.random.default_rng(0).normal(0, 0.05, (40, 30)).astype(np.float32)
    found = in_8_bits.packed({"weight": x})
    theirs = torch.fake_quantize_per_channel_affine(
        torch.tensor(x), torch.tensor(found["weight.scale"]), torch.zeros(40, dtype=torch.int32), 0, -127, 127)
    np.testing.assert_allclose(in_8_bits.unpacked(found["weight.int8"], found["weight.scale"]), theirs.numpy(), rtol=1e-6)
