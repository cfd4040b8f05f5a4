import math
from dataclasses import replace

import numpy as np
import pytest

from minibert.layers import squared_error
from minibert.layers.dropout import Key
from minibert.model import bert, pretraining
from minibert.model.model import Model, Term
from minibert.model.pretraining import inputs
from minibert.parameters import Parameters
from minibert.tasks.batches import micro_batches
from minibert.training.adamw import AdamW
from minibert.training.engine import Engine, Metrics, check_freeze, depth
from minibert.training.engine import inputs as model_inputs
from minibert.workers import Workers
from tests.model.examples import distance, random_parameters, small_config
from tests.training.examples import NO_DROPOUT, engine, gradient, masked_examples, tokens

BUDGETS = {1: 10_000, 2: 120, 7: 28}  # micro-batches: tokens in each
THREADS = pytest.mark.parametrize("threads", [1, 2, 3])


@pytest.fixture(scope="module")
def config():
    return small_config(**NO_DROPOUT)


@pytest.fixture(scope="module")
def whole(config):
    """Loss and gradient of all examples as a single batch, straight from the model."""
    [batch] = micro_batches(masked_examples(config), BUDGETS[1])
    parameters = random_parameters(config)
    g = parameters.zeros_like()
    out, cache = pretraining.forward(inputs(batch, np), parameters.tree, config)
    pretraining.backward(pretraining.Output(loss=1.0), cache, parameters.tree, g.tree)
    return out, g


@THREADS
@pytest.mark.parametrize("count", BUDGETS)
def test_loss_and_gradients_depend_neither_on_the_cut_nor_on_the_workers(config, whole, count, threads):
    batches = micro_batches(masked_examples(config), BUDGETS[count])
    assert len(batches) == count
    out, g = whole
    with engine(config, threads) as e:
        metrics = e.accumulate(batches)
        assert float(metrics.mlm_loss) == pytest.approx(float(out.mlm_loss), rel=1e-12)
        assert float(metrics.nsp_loss) == pytest.approx(float(out.nsp_loss), rel=1e-12)
        assert float(metrics.loss) == pytest.approx(float(out.loss), rel=1e-12)
        got = type(g)(g.layout, gradient(e))
        expected = dict(g.items())
        for name, view in got.items():
            size = expected[name.replace("self.key.bias", "self.query.bias")]  # the keys' own is zero but for rounding
            assert np.linalg.norm(view - expected[name]) <= 1e-12 * np.linalg.norm(size), name


@THREADS
def test_a_whole_step_does_not_either(config, threads):
    results = []
    for budget in BUDGETS.values():
        with engine(config, threads, clip_norm=0.1, optimiser=AdamW(epsilon=1e-3)) as e:
            batches = micro_batches(masked_examples(config), budget)
            metrics, norm = zip(*(e.train(batches, 0.01) for _ in range(2)))
            results.append((norm, [m.loss for m in metrics], e.parameters.flat))
    for norm, losses, flat in results[1:]:
        np.testing.assert_allclose(norm, results[0][0], rtol=1e-12)
        np.testing.assert_allclose(losses, results[0][1], rtol=1e-12)
        assert distance(flat, results[0][2]) <= 1e-12


def test_counts_and_accuracies(config):
    examples = masked_examples(config)
    with engine(config, 2) as e:
        batches = micro_batches(examples, BUDGETS[7])
        metrics = e.accumulate(batches)
    assert metrics.counts == {"mlm": sum(len(x.labels) for x in examples), "nsp": len(examples)}
    assert metrics.tokens == tokens(batches) == sum(len(x.ids) for x in examples)
    right = {"mlm": 0, "nsp": 0}
    parameters = random_parameters(config)
    for batch in batches:
        out, _ = pretraining.forward(inputs(batch, np), parameters.tree, config)
        right["mlm"] += int((out.logits.argmax(-1) == batch.targets["mlm"]).sum())
        right["nsp"] += int((out.next_logits.argmax(-1) == batch.targets["nsp"]).sum())
    assert metrics.correct == right
    assert metrics.mlm_accuracy == metrics.accuracy("mlm") == right["mlm"] / metrics.counts["mlm"]
    assert metrics.nsp_accuracy == right["nsp"] / metrics.counts["nsp"]
    nothing = Metrics(0.0, {}, {}, {"mlm": 0}, 0)
    assert nothing.mlm_accuracy == nothing.mlm_loss == 0
    with pytest.raises(AttributeError, match="Metrics has no sop_loss"):
        nothing.sop_loss  # noqa: B018


@THREADS
def test_a_run_with_dropout_repeats_bit_for_bit(threads):
    config = small_config()
    results = []
    for _ in range(2):
        with engine(config, threads, dtype=np.float32, seed=3) as e:
            losses = [e.train(micro_batches(masked_examples(config, seed=step), 40), 0.01)[0].loss for step in range(3)]
            results.append((losses, e.parameters.flat, e.kept["m"].flat, e.kept["v"].flat))
    assert results[0][0] == results[1][0]
    for a, b in zip(results[0][1:], results[1][1:]):
        np.testing.assert_array_equal(a, b)


def test_dropout_differs_from_step_to_step_and_from_seed_to_seed():
    config = small_config()
    batches = micro_batches(masked_examples(config), 40)

    def loss(seed, step):
        with engine(config, seed=seed) as e:
            e.step = step
            return e.accumulate(batches).loss

    assert len({loss(0, 0), loss(0, 1), loss(1, 0)}) == 3


def test_each_micro_batch_draws_its_own_dropout():
    """The same examples twice are not the same loss twice: their keys differ."""
    config = small_config()
    batches = micro_batches(masked_examples(config), 10_000)
    parameters = random_parameters(config)
    losses = {float(pretraining.forward(inputs(batches[0], np), parameters.tree, config, key=Key(0, 0, i))[0].loss)
              for i in (0, 1)}
    with engine(config) as e:
        assert e.accumulate(batches * 2).loss == pytest.approx(sum(losses) / 2, rel=1e-12)
    assert len(losses) == 2


def test_clipping_scales_the_gradient_to_the_norm(config):
    rng = np.random.default_rng(0)
    for clip, expected in ((None, 1.0), (1.0, None), (1e6, 1.0)):
        with engine(config, 2, clip_norm=clip, optimiser=AdamW(weight_decay=0.0)) as e:
            parts = [rng.standard_normal(slab.flat.shape) for slab in e.gradients]
            for slab, part in zip(e.gradients, parts):
                slab.flat[...] = part
            total = sum(parts)
            norm = e.apply(0.01)
            assert norm == pytest.approx(np.linalg.norm(total), rel=1e-12)
            scale = expected or clip / (norm + 1e-6)
            np.testing.assert_allclose(e.kept["m"].flat, 0.1 * scale * total, rtol=1e-9)
            assert not any(slab.flat.any() for slab in e.gradients)  # zeroed for the next step


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_itself_and_moves_nothing(config, threads, poison):
    batches = micro_batches(masked_examples(config), BUDGETS[7])
    with engine(config, threads) as e:
        e.train(batches, 0.01)
        word = int(batches[0].ids[0, 0])
        table = e.parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
        good = table[word].copy()
        table[word] = poison
        before = [slab.flat.copy() for slab in (e.parameters, *e.kept.values())]
        with pytest.raises(FloatingPointError,
                           match=r"step 2: the loss is nan, the gradient's norm nan, the learning rate 0\.0125"):
            e.train(batches, 0.0125)
        for slab, old in zip((e.parameters, *e.kept.values()), before):
            np.testing.assert_array_equal(slab.flat, old)
        assert e.step == 1

        table[word] = good  # and it can go on as if nothing had been
        metrics, norm = e.train(batches, 0.01)
        with engine(config, threads) as undisturbed:
            undisturbed.train(batches, 0.01)
            expected, expected_norm = undisturbed.train(batches, 0.01)
        assert (metrics.loss, norm) == (expected.loss, expected_norm)


def test_a_gradient_that_is_not_finite_is_caught_where_the_loss_still_is(config):
    with engine(config) as e:
        e.gradients[0].flat[17] = math.inf
        before = e.parameters.flat.copy()
        with pytest.raises(FloatingPointError, match="norm inf"):
            e.train(micro_batches(masked_examples(config), 100), 0.01)
        np.testing.assert_array_equal(e.parameters.flat, before)


def test_nothing_masked_leaves_the_pairs(config):
    with engine(config, 2) as e:
        metrics = e.accumulate(micro_batches(masked_examples(config, masked=False), 60))
        assert float(metrics.mlm_loss) == metrics.counts["mlm"] == metrics.correct["mlm"] == 0
        assert float(metrics.nsp_loss) > 0
        total = dict(type(e.parameters)(e.parameters.layout, gradient(e)).items())
        for name, g in total.items():
            assert np.isfinite(g).all(), name
            assert not (name.startswith("cls.predictions") and g.any()), name
        e.train(micro_batches(masked_examples(config, masked=False), 60), 0.01)


def test_no_pairs_leave_the_masked_words(config):
    with engine(config, 2) as e:
        metrics, norm = e.train(micro_batches(masked_examples(config, pairs=False), 60), 0.01)
        assert float(metrics.nsp_loss) == metrics.counts["nsp"] == metrics.correct["nsp"] == 0
        assert float(metrics.mlm_loss) > 0
        assert math.isfinite(norm)


def test_evaluation_draws_nothing_and_changes_nothing(whole):
    config = small_config()  # with dropout, which evaluation must leave out
    batches = micro_batches(masked_examples(config), BUDGETS[7])
    with engine(config, 2) as e:
        before = [slab.flat.copy() for slab in (e.parameters, *e.kept.values(), *e.gradients)]
        first, second = e.evaluate(batches), e.evaluate(batches)
        assert first == second
        assert first.loss == pytest.approx(float(whole[0].loss), rel=1e-12)
        for slab, old in zip((e.parameters, *e.kept.values(), *e.gradients), before):
            np.testing.assert_array_equal(slab.flat, old)
        assert e.step == 0


def test_a_teacher_gives_targets_that_the_data_lacks():
    """A student of its own hidden states and gates: the loss is zero; of another model's, it is their distance."""
    config = small_config(**NO_DROPOUT)
    terms = [Term("state", "hidden_states.2", squared_error, counted=lambda batch: batch.tokens)]
    student, teacher = random_parameters(config), random_parameters(config, seed=1)

    def states(parameters):
        return lambda x: {"state": bert.forward(x.ids, x.token_type_ids, x.attention_mask, parameters["bert"], config)[0]
                          .hidden_states[2]}

    batches = micro_batches(masked_examples(config), BUDGETS[7])
    with Workers(2) as workers:
        engines = [Engine(Model(config, {}, terms), student, workers, teacher=states(p)) for p in (student, teacher)]
        own, other = (e.accumulate(batches) for e in engines)
        assert own.loss == 0
        assert not gradient(engines[0]).any()
        expected = 0.0
        for batch in batches:
            a, b = (states(p)(model_inputs(batch, np, config))["state"] for p in (student, teacher))
            expected += ((a - b) ** 2).sum() / sum(batch.tokens for batch in batches)
        assert other.loss == pytest.approx(expected, rel=1e-12)
        before = Parameters(student.layout, student.flat.copy())
        engines[1].train(batches, 0.01)
        for (name, now), (_, then) in zip(student.items(), before.items()):  # what no term reads rests
            if name.startswith(("bert.encoder.layer.2.", "bert.pooler.")):
                np.testing.assert_array_equal(now, then, err_msg=name)


@pytest.mark.parametrize(("layer_map", "freeze", "shared"), [
    ((0, 0, 0), 1, "0, 1, 2"), ((0, 1, 0), 1, "0, 2"), ((0, 1, 0), 2, "0, 2"), ((0, 1, 1), 2, "1, 2")])
def test_a_half_of_what_layers_share_cannot_be_frozen(layer_map, freeze, shared):
    config = small_config(layer_map=layer_map)
    with pytest.raises(ValueError, match=rf"freeze is {freeze}, but layers {shared} share their tensors"):
        check_freeze(freeze, config)
    for whole in (None, 0, 3):
        check_freeze(whole, config)
    assert check_freeze(1, small_config(layer_map=(0, 1, 1))) is None
    with pytest.raises(ValueError, match=r"freeze must be from 0 .* to 3, the number of layers, got 4"):
        check_freeze(4, config)


def test_the_depth_of_shared_tensors_is_that_of_their_last_use():
    config = small_config(num_hidden_layers=4, layer_map=(0, 1, 0, 1))
    depths = {name: depth(name, config) for name in (
        "bert.embeddings.projection.weight", "bert.encoder.layer.0.output.dense.bias", "bert.encoder.layer.1.output.dense.bias",
        "bert.pooler.dense.bias")}
    assert [*depths.values()] == [0, 3, 4, 5]
    assert [depth(f"bert.encoder.layer.{i}.output.dense.bias", small_config()) for i in range(3)] == [1, 2, 3]


def test_accuracy_counts_labels_and_not_what_they_weigh():
    config = small_config(**NO_DROPOUT)
    weighted = replace(pretraining.of(config), terms=[
        term._replace(options={"weights": np.arange(1.0, size + 1)}) for term, size in zip(pretraining.TERMS, (37, 2))])
    batches = micro_batches(masked_examples(config), BUDGETS[7])
    with Workers(1) as workers, engine(config) as plain:
        e = Engine(weighted, random_parameters(config), workers)
        metrics, expected = e.evaluate(batches), plain.evaluate(batches)
        assert metrics.loss != expected.loss
        assert (metrics.counts, metrics.correct) == (expected.counts, expected.correct)
