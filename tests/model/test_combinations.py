"""Every kind of body with every kind of model on it, in all the ways that there are."""

import numpy as np
import pytest

import minibert
from gradcheck.combinations import BODIES, MODELS, with_targets
from minibert import info, memory, pretrained
from minibert.layers.dropout import Key
from minibert.model import bert, pretraining
from minibert.model.model import Inputs, Output
from minibert.parameters import Layout, Parameters
from tests import tiny_model
from tests.model.examples import distance, random_inputs, small_config

EACH = pytest.mark.parametrize("changes", BODIES.values(), ids=BODIES)


def prepared(changes, make, dtype=np.float64):
    """A model, its random parameters, and inputs with a target for every term."""
    whole, rng = make(small_config(**changes)), np.random.default_rng(3)
    layout = whole.layout()
    parameters = Parameters(layout, rng.normal(0, 0.3, layout.size).astype(dtype))
    x = random_inputs(whole.config)
    x = Inputs(x.ids, x.token_type_ids, x.attention_mask, {}, x.positions, choices=2)
    return whole, parameters, with_targets(whole, x, parameters, rng)


@EACH
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_no_tensor_is_without_a_gradient(changes, make):
    """But biases that add the same to all that a softmax compares: of keys, of choices, of places. With dropout."""
    same_for_all = ("key.bias", *({MODELS["choice"]: ["classifier.bias"], MODELS["span"]: ["qa_outputs.bias"]}.get(make, ())))
    whole, parameters, x = prepared(changes, make, np.float32)
    out, cache = whole.forward(x, parameters, key=Key(1))
    g = parameters.zeros_like()
    d = whole.backward(Output(loss=1.0), cache, parameters, g)
    assert np.isfinite(out.loss)
    for name, view in g.items():
        assert view.any() or name.endswith(same_for_all), name
    assert {a.dtype for a in (g.flat, d.embeddings, *out.logits.values(), *out.bert.hidden_states)} == {np.dtype(np.float32)}
    assert not any(name.startswith(whole.idle(x.targets)) for name in parameters.layout.slots)


@EACH
def test_a_batch_may_be_cut(changes):
    """Two halves of a step, divided by the counts of the whole, are the whole."""
    whole, p, x = prepared({**changes, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}, MODELS["token"])
    halves = [x._replace(ids=x.ids[part], token_type_ids=x.token_type_ids[part], attention_mask=x.attention_mask[part],
                         targets={"label": x.targets["label"][part]}) for part in (slice(0, 1), slice(1, None))]
    slabs = []
    for parts in ([x], halves):
        g, counts = p.zeros_like(), whole.counts(parts)
        for part in parts:
            _, cache = whole.forward(part, p, counts=counts)
            whole.backward(Output(loss=1.0), cache, p, g)
        slabs.append(g.flat)
    assert distance(slabs[1], slabs[0]) < 1e-12


@EACH
def test_a_folder_and_back(changes, tmp_path):
    config, parameters, tokenizer = tiny_model.make(**{"num_hidden_layers": 2, **changes})
    pretrained.save(tmp_path, config, parameters, tokenizer)
    loaded = pretrained.load(tmp_path)
    assert loaded.config.replace(unknown={}) == config
    assert not loaded.initialised
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)
    model = minibert.load(tmp_path, device="cpu")
    assert model(["a " * (model.max_length - 2), ("a", "b")]).last_hidden_state.shape == (2, config.max_tokens, 12)
    with pytest.raises(ValueError, match=f"{config.max_tokens + 1} tokens"):
        model("a " * (model.max_length - 1))


@EACH
def test_memory_and_info_know_it(changes, capsys):
    config = small_config(**changes)
    counts = memory.parameter_counts(config)
    assert counts["total"] == pretraining.layout(config).size
    assert counts["encoder"] == Layout(bert.shapes(config)).size
    assert f"{counts['total']:,}" in info.report(config, "it", batch=2, length=9)


@EACH
def test_what_activations_take_is_what_the_caches_hold(changes):
    config = small_config(**changes, vocab_size=1000, hidden_size=48, intermediate_size=96)
    parameters = pretraining.initial_parameters(config)
    x = random_inputs(config, lengths=(9, 9, 9, 9))
    out, cache = pretraining.forward(x._replace(attention_mask=None), parameters, config, key=Key(0))
    held = sum(a.nbytes for a in owners((out, cache), {}) if a.dtype == np.float32)
    assert memory.activations(config, 4, 9, len(x.positions)) == pytest.approx(held, rel=0.01)


def owners(tree, found):
    """The arrays that own the memory behind every array in nested tuples and lists."""
    if isinstance(tree, np.ndarray):
        while isinstance(tree.base, np.ndarray):
            tree = tree.base
        found[id(tree)] = tree
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            owners(part, found)
    return found.values()
