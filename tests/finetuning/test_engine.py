"""A step of fine-tuning: how it is cut changes nothing, what is frozen stays, and it runs on a device."""

import numpy as np
import pytest

from minibert.finetuning import models
from minibert.layers import contrastive
from minibert.layers.cross_entropy import IGNORE
from minibert.layers.dropout import Key
from minibert.model.model import Output
from minibert.parameters import Parameters
from minibert.tasks.labelled.features import Feature, collate, micro_batches
from minibert.training.adamw import AdamW
from minibert.training.engine import Engine, depth, inputs
from minibert.workers import Workers
from tests import device
from tests.model.examples import distance, small_config
from tests.training.examples import NO_DROPOUT, gradient

KINDS = ("sequence", "san", "number", "numbers", "labels", "choice", "token", "span", "vectors", "similarity")
TEXTS = {"choice": 3, "vectors": 3, "similarity": 2}  # of an example, otherwise one
LENGTHS = (16, 5, 9, 12, 7, 16, 3)


def features(kind, config, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for i, length in enumerate(LENGTHS):
        ids = tuple(rng.integers(5, config.vocab_size, max(3, length - c)) for c in range(TEXTS.get(kind, 1)))
        tags = np.append(rng.integers(0, 3, length - 1), IGNORE)
        labels = {"sequence": i % 3, "san": i % 3, "number": float(rng.normal()), "numbers": rng.normal(size=3),
                  "labels": rng.random(3) < 0.5,
                  "choice": i % 3, "token": tags, "span": (1, length - 1), "vectors": 2 * i + np.arange(3),
                  "similarity": rng.normal() - 2}[kind]
        made.append(Feature(ids, tuple(len(x) // 2 for x in ids), np.array(labels), i))
    return made


def model(kind, config, weights=None):
    return models.of(config, "number" if kind == "numbers" else kind, 1 if kind == "number" else 3, weights)


def parameters_for(kind, config, dtype=np.float64):
    layout = model(kind, config).layout()
    return Parameters(layout, np.random.default_rng(1).normal(0, 0.3, layout.size).astype(dtype))


def engine(kind, workers, config=None, parameters=None, weights=None, **options):
    config = config or small_config(**NO_DROPOUT)
    return Engine(model(kind, config, weights), parameters or parameters_for(kind, config), workers, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_cutting_a_batch_changes_neither_loss_nor_gradient(kind):
    weights = np.array([0.5, 2.0, 1.0]) if kind in ("sequence", "san", "labels", "token") else None
    results = []
    for threads, tokens in ((1, 10_000), (1, 40), (2, 12)):
        with Workers(threads) as workers:
            e = engine(kind, workers, weights=weights)
            batches = micro_batches(features(kind, e.config), tokens)
            loss = e.accumulate(batches).loss
            results.append((len(batches), float(loss), gradient(e), e.predict(batches)))
    assert results[0][0] < results[1][0] < results[2][0]
    for _, loss, g, (dev_loss, logits) in results[1:]:
        assert loss == pytest.approx(results[0][1], rel=1e-12)
        assert dev_loss == pytest.approx(loss, rel=1e-12)  # nothing was dropped
        assert distance(g, results[0][2]) < 1e-12
        for a, b in zip(logits, results[0][3][1]):
            if kind in ("token", "span"):  # behind the text is padding, of different lengths
                a, b = (x[:3] if kind == "token" else x[:, :3] for x in (a, b))
            np.testing.assert_allclose(a, b, rtol=1e-9)


def test_three_labels_of_a_text_of_three_tokens_are_not_those_of_its_tokens():
    """The shortest text has as many tokens as there are labels, and stands first."""
    made = [Feature((np.arange(5, 5 + n),), (n,), labels, i)
            for i, (n, labels) in enumerate([(3, np.array([True, False, True])), (6, np.array([False, True, True]))])]
    assert collate(made, [0, 1]).targets["label"].tolist() == [[True, False, True], [False, True, True]]
    for weights, count in ((None, 6), (np.array([3.0, 5.0, 7.0]), 3 + 1 + 7 + 1 + 5 + 7)):
        assert model("labels", small_config(), weights).counts([collate(made, [0, 1])]) == {models.TERM: count}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "vectors"])  # there the others are the wrong answers
def test_five_equal_examples_make_the_step_of_one_however_they_are_cut(kind):
    """In pieces that are each divided by their own count the step would be five times as long."""
    config = small_config(**NO_DROPOUT)
    feature = features(kind, config)[0]
    plain = AdamW(beta1=0.0, beta2=0.0, epsilon=1e6, weight_decay=0.0, bias_correction=False)  # lr·g/ε, as SGD does
    steps = []
    for count, pieces in ((1, 1), (5, 1), (5, 5)):
        with Workers(1) as workers:
            e = engine(kind, workers, config, clip_norm=None, optimiser=plain)
            before = e.parameters.flat.copy()
            five = [feature._replace(example=i) for i in range(count)]
            batches = [collate(five, range(i, i + count // pieces)) for i in range(0, count, count // pieces)]
            e.train(batches, 1e6)
            steps.append(e.parameters.flat - before)
    assert np.linalg.norm(steps[0]) > 1e-3
    for step in steps[1:]:
        assert distance(step, steps[0]) < 1e-9


def test_batches_are_cut_evenly():
    batches = micro_batches([Feature((np.arange(5, 5 + n),), (n,), np.array(0), i) for i, n in enumerate([16] * 5 + [4] * 4)], 64)
    assert sorted(place for batch in batches for place in batch.places) == list(range(9))
    assert len(batches) % 2 == 0
    assert max(batch.ids.size for batch in batches) <= 64


@pytest.mark.parametrize("freeze", [0, 1, 3])
@pytest.mark.parametrize("kind", ["sequence", "span", "vectors"])
def test_what_is_frozen_stays_and_the_rest_learns_as_before(kind, freeze):
    config = small_config(**NO_DROPOUT)
    with Workers(1) as workers:
        free, frozen = (engine(kind, workers, config, freeze=f, clip_norm=None) for f in (None, freeze))
        before = frozen.parameters.flat.copy()
        batches = micro_batches(features(kind, config))
        free.accumulate(batches)
        frozen.accumulate(batches)
        for (name, a), (_, b) in zip(frozen.gradients[0].items(), free.gradients[0].items()):
            if depth(name, config) > freeze:
                np.testing.assert_array_equal(a, b)
            else:
                assert not a.any(), name
        frozen.apply(1e-3)
    for slot in frozen.parameters.layout.slots.values():
        same = np.array_equal(frozen.parameters.flat[slot.start:slot.stop], before[slot.start:slot.stop])
        if depth(slot.name, config) <= freeze:
            assert same, slot.name
        elif not slot.name.endswith("key.bias"):  # its gradient is zero but for rounding: it may stay
            assert not same, slot.name


def test_lower_layers_take_smaller_steps():
    config = small_config(**NO_DROPOUT)
    with Workers(1) as workers:
        e = engine("sequence", workers, config, layer_decay=0.5, clip_norm=None)
        before = dict(Parameters(e.parameters.layout, e.parameters.flat.copy()).items())
        e.train(micro_batches(features("sequence", config)), 1e-3)
        moved = {name: np.abs(view - before[name]).max() for name, view in e.parameters.items() if name.endswith("dense.bias")}
    # Adam's first step moves every number by the learning rate; biases do not decay
    assert moved["bert.pooler.dense.bias"] == pytest.approx(1e-3, rel=1e-2)
    for layer in range(3):
        assert moved[f"bert.encoder.layer.{layer}.output.dense.bias"] == pytest.approx(1e-3 * 0.5 ** (3 - layer), rel=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_on_a_device_is_the_step_on_the_cpu(kind):
    config = small_config()
    with Workers(1) as workers:
        slabs = []
        for xp in (np, device.xp):
            parameters = parameters_for(kind, config, np.float32).to(xp)
            weights = np.array([1.0, 2.0, 3.0]) if kind in ("token", "labels") else None
            e = engine(kind, workers, config, parameters, weights=weights)
            batches = micro_batches(features(kind, config), 40)
            metrics, _ = e.train(batches, 1e-3)
            assert np.isfinite(float(metrics.loss))
            assert len(e.predict(batches)[1]) == len(LENGTHS)
            flat = e.parameters.flat
            slabs.append(flat if xp is np else flat.get())
    np.testing.assert_allclose(slabs[1], slabs[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"symmetric": True}, {"rows": 3}, {"temperature": 0.5}], ids=str)
def test_vectors_that_are_compared_with_each_other_do_not_notice_the_cut(options):
    """Nor do the numbers that are dropped: the second pass over a micro-batch drops those of the first."""
    config, made = small_config(), features("vectors", small_config())
    whole = models.of(config, "vectors", 0, loss=options)
    losses, slabs = [], []
    for cut in ([range(7)], [range(3), range(3, 7)]):
        batches = [collate([made[i] for i in part], part) for part in cut]
        with Workers(1) as workers:
            e = Engine(whole, parameters_for("vectors", config), workers, seed=4)
            losses.append(float(e.accumulate(batches).loss))
            slabs.append(gradient(e))
        keys = [Key(4, 0, i) for i in range(len(batches))]
        p, g, caches, logits = e.parameters.tree, e.parameters.zeros_like(), [], []
        for batch, key in zip(batches, keys):  # once, keeping everything
            out, cache = whole.forward(inputs(batch, np, whole.config), p, key=key)
            caches.append(cache)
            logits.append(out.logits[models.HEAD])
        loss, kept = contrastive.forward(np.concatenate(logits), np.stack([f.labels for f in made]), **options)
        for cache, dy in zip(caches, np.split(contrastive.backward(1.0, kept), np.cumsum([len(part) for part in cut])[:-1])):
            whole.backward(Output(logits={models.HEAD: dy}), cache, p, g)
        assert losses[-1] == pytest.approx(float(loss), rel=1e-12)
        assert distance(slabs[-1], g.flat) < 1e-12
    assert losses[0] != losses[1]  # other numbers were dropped


def test_as_many_lanes_are_the_same_bytes_by_any_number_of_threads():
    config, made, slabs = small_config(), features("vectors", small_config()), []
    for threads in (1, 2, 3):
        with Workers(threads) as workers:
            e = engine("vectors", workers, config, parameters_for("vectors", config, np.float32), lanes=4)
            for _ in range(3):
                e.train(micro_batches(made, 40), 1e-3)
            slabs.append(e.parameters.flat.copy())
    for slab in slabs[1:]:
        np.testing.assert_array_equal(slab, slabs[0])


def test_the_order_of_the_examples_decides_what_is_compared_not_that_of_the_cut():
    """``micro_batches`` sorts by length; groups are those of the step's own order."""
    config = small_config(**NO_DROPOUT)
    made = features("vectors", config)
    whole = models.of(config, "vectors", 0, loss={"rows": 4})
    with Workers(1) as workers:
        e = Engine(whole, parameters_for("vectors", config), workers)
        loss, vectors = e.predict(micro_batches(made, 40))
    expected, _ = contrastive.forward(np.stack(vectors), np.stack([f.labels for f in made]), rows=4)
    assert loss == pytest.approx(float(expected), rel=1e-12)


def test_dropout_follows_from_seed_and_step():
    with Workers(1) as workers:
        losses = []
        for seed in (0, 0, 1):
            e = engine("sequence", workers, small_config(), seed=seed)
            losses.append(float(e.accumulate(micro_batches(features("sequence", e.config))).loss))
    assert losses[0] == losses[1] != losses[2]
