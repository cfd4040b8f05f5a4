"""A body of convolutions: what a text's numbers depend on, and what they do not."""

import numpy as np
import pytest

from gradcheck.combinations import CONVOLUTIONS, MODELS, OF_A_TEXT, with_targets
from minibert.layers import batch_norm, conv1d
from minibert.layers.dropout import Key
from minibert.model import pretraining
from minibert.model.model import Inputs, Output
from minibert.parameters import NOTHING, STATISTICS, Layout, initialise
from tests.model.examples import distance, random_inputs, small_config

CONFIG = small_config(**CONVOLUTIONS)


def prepared(name="pretraining", dtype=np.float64):
    whole = MODELS[name](CONFIG)
    parameters = initialise(whole.layout(), 0.3, 1, dtype)
    x = random_inputs(CONFIG, (9, 4, 7, 8))
    return whole, parameters, Inputs(x.ids, x.token_type_ids, x.attention_mask, choices=2)


def test_the_place_of_the_hidden_word_is_never_used():
    whole, parameters, x = prepared()
    logits = [whole.forward(x._replace(positions=places), parameters)[0].logits["mlm"]
              for places in (None, np.array([1, 10, 19, 28]), np.array([3, 12, 21, 30]))]
    assert logits[0].shape == (4, CONFIG.vocab_size)
    np.testing.assert_array_equal(logits[1], logits[0])
    np.testing.assert_array_equal(logits[2], logits[0])


def test_the_numbers_of_a_text_do_not_depend_on_what_it_stands_beside_once_it_has_learned():
    whole, parameters, x = prepared()
    together = whole.forward(x, parameters)[0].logits["mlm"]
    for row, length in enumerate(x.attention_mask.sum(1)):
        alone = Inputs(x.ids[row:row + 1, :length], x.token_type_ids[row:row + 1, :length])
        assert distance(whole.forward(alone, parameters)[0].logits["mlm"][0], together[row]) < 1e-14
    training = [whole.forward(part, parameters, key=Key(0))[0].logits["mlm"] for part in (
        x, Inputs(x.ids[:1], x.token_type_ids[:1], x.attention_mask[:1]))]
    assert distance(training[1][0], training[0][0]) > 0.1  # but while it learns


@pytest.mark.parametrize("name", OF_A_TEXT)
def test_no_parameter_is_without_a_gradient(name):
    whole, parameters, x = prepared(name, np.float32)
    x = with_targets(whole, x, parameters, np.random.default_rng(0))
    out, cache = whole.forward(x, parameters, key=Key(1))
    g = parameters.zeros_like()
    d = whole.backward(Output(loss=1.0), cache, parameters, g)
    assert {a.dtype for a in (g.flat, d.embeddings, *out.logits.values(), out.bert.pooled)} == {np.dtype(np.float32)}
    for tensor, view in g.items():
        assert view.any() or (name, tensor) == ("choice", "classifier.bias"), tensor
    assert not any(tensor.startswith(whole.idle(x.targets)) for tensor in parameters.layout.slots)


def test_in_evaluation_the_running_statistics_stay():
    whole, parameters, x = prepared()
    x = with_targets(whole, x, parameters, np.random.default_rng(0))
    _, cache = whole.forward(x, parameters)
    g = parameters.zeros_like()
    whole.backward(Output(loss=1.0), cache, parameters, g)
    assert not any(view.any() for name, view in g.items() if name.endswith(STATISTICS))


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_learns_nothing_and_keeps_its_statistics(frozen):
    whole, parameters, x = prepared()
    x = with_targets(whole, x, parameters, np.random.default_rng(0))
    slabs = []
    for rests in (None, frozen):
        _, cache = whole.forward(x, parameters, key=Key(1))
        slabs.append(parameters.zeros_like())
        whole.backward(Output(loss=1.0), cache, parameters, slabs[-1], rests)
    rest = ("bert.embeddings.", *(f"bert.encoder.layer.{i}." for i in range(frozen)))
    for (name, expected), (_, view) in zip(slabs[0].items(), slabs[1].items()):
        np.testing.assert_array_equal(view, 0 * expected if name.startswith(rest) else expected, err_msg=name)
    _, cache = whole.forward(x, parameters, key=Key(1))
    assert distance(whole.backward(Output(loss=1.0), cache, parameters, NOTHING).embeddings,
                    whole.backward(Output(loss=1.0), cache, parameters, slabs[0]).embeddings) == 0


def test_statistics_are_the_last_in_the_slab_and_begin_as_those_of_numbers_that_are_normal_already():
    layout = pretraining.layout(CONFIG)
    assert all((slot.start >= layout.learned) == name.endswith(STATISTICS) for name, slot in layout.slots.items())
    assert layout.size - layout.learned == 2 * 2 * CONFIG.hidden_size  # of each filter of both layers a mean and a variance
    fresh = dict(initialise(layout).items())
    for name, view in fresh.items():
        if "BatchNorm" in name:
            assert not layout.slots[name].decay
            assert (view == name.endswith(("weight", "running_var"))).all(), name
    assert Layout({"a.weight": (2, 3)}).learned == 6


def test_a_batch_of_one_row_has_a_variance_of_zero():
    p = {"weight": np.ones(3), "bias": np.full(3, 0.5), "running_mean": np.zeros(3), "running_var": np.ones(3)}
    y, cache = batch_norm.forward(np.array([[1.0, 2.0, 3.0]]), p)
    np.testing.assert_array_equal(y, [[0.5, 0.5, 0.5]])
    np.testing.assert_array_equal(cache.statistics, [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])


def test_known_answers_of_a_convolution():
    x = np.array([[[1.0], [2.0], [4.0], [8.0]]])
    y, _ = conv1d.forward(x, {"weight": np.array([[[1.0, 10.0]]]), "bias": np.array([0.5])})
    np.testing.assert_array_equal(y, [[[21.5], [42.5], [84.5]]])
    with pytest.raises(ValueError, match="a convolution over 5 tokens needs at least so many, got 4: pad the text"):
        conv1d.forward(x, {"weight": np.ones((1, 1, 5))}, bias=False)


@pytest.mark.parametrize(("changes", "message"), [
    ({"filter_sizes": (2, 2)}, r"filter_sizes must be numbers of tokens from 1 on, each once, got \(2, 2\)"),
    ({"filter_sizes": (2, 3, 4, 5, 6)}, "hidden_size must be a multiple of the number of filter_sizes, 5, got 12"),
    ({"num_hidden_layers": 3}, "num_hidden_layers must be 2 where there are filter_sizes, got 3"),
    ({"filter_sizes": (2, 9)}, "max_position_embeddings must be at least 17, what two convolutions over 9 tokens read, got 16"),
    ({"filter_sizes": None}, "pooler must not be max where there are no filter_sizes"),
])
def test_bodies_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=f"config: {message}"):
        CONFIG.replace(**changes)


@pytest.mark.parametrize("name", ["token", "span", "vectors"])
def test_what_asks_for_the_vector_of_a_token_is_refused(name):
    with pytest.raises(ValueError, match=r"reads 'last_hidden_state', which is neither a head .* output of the body \(pooled\)"):
        MODELS[name](CONFIG)


def test_a_text_that_is_too_long_is_refused():
    whole, parameters, _ = prepared()
    ids = np.ones((1, 17), np.int64)
    with pytest.raises(ValueError, match="input of 17 tokens: the model has 16 positions"):
        whole.forward(Inputs(ids, ids * 0), parameters)
