"""Any number of heads and loss terms on one body: what runs, what is counted, what rests, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from minibert.layers import cross_entropy, squared_error
from minibert.layers.cross_entropy import IGNORE
from minibert.layers.dropout import Key
from minibert.model import bert, pretraining
from minibert.model.heads import classifier, mlm, nsp
from minibert.model.model import Head, Inputs, Model, Output, Term
from minibert.parameters import Parameters
from tests.model.examples import random_inputs, random_parameters, small_config

KEY = Key(seed=6, step=2, micro_batch=1)
TAG = Head(classifier, 3, "last_hidden_state", "tag")


def whole(terms=("mlm", "nsp", "tag", "state"), **changes):
    made = {"mlm": Term("mlm", "mlm", cross_entropy), "nsp": Term("nsp", "nsp", cross_entropy, 0.5),
            "tag": Term("tag", "tag", cross_entropy, 2.0), "state": Term("state", "hidden_states.1", squared_error)}
    heads = {"mlm": Head(mlm), "nsp": Head(nsp), "tag": TAG}
    return Model(small_config(**changes), heads, [made[name] for name in terms])


def inputs(model, *names):
    x, rng = random_inputs(model.config), np.random.default_rng(1)
    targets = {"mlm": x.labels, "nsp": x.next_labels, "tag": rng.integers(0, 3, x.ids.shape),
               "state": rng.standard_normal((*x.ids.shape, model.config.hidden_size))}
    return Inputs(x.ids, x.token_type_ids, x.attention_mask, {name: targets[name] for name in names}, x.positions)


def parameters(model, seed=0):
    layout = model.layout()
    return Parameters(layout, np.random.default_rng(seed).normal(0, 0.3, layout.size))


def run(model, x, p, **options):
    """Output, gradients, and the slab of one forward and backward."""
    g = p.zeros_like()
    out, cache = model.forward(x, p, **options)
    return out, model.backward(Output(loss=1.0), cache, p, g), g


def test_pretraining_is_such_a_model():
    """Bit for bit, with dropout, counts of a whole step and gates; and its slab is laid out as it always was."""
    config = small_config()
    p, x = random_parameters(config), random_inputs(config)
    named = Inputs(x.ids, x.token_type_ids, x.attention_mask, {"mlm": x.labels, "nsp": x.next_labels}, x.positions)
    out, d, g = run(pretraining.of(config), named, p, key=KEY, counts={"mlm": 20, "nsp": 7}, head_mask=np.full((3, 2), 0.7))
    expected, cache = pretraining.forward(x, p, config, key=KEY, counts=(20, 7), head_mask=np.full((3, 2), 0.7))
    theirs = p.zeros_like()
    ds = pretraining.backward(pretraining.Output(loss=1.0), cache, p, theirs)
    assert (out.loss, out.losses["mlm"], out.losses["nsp"]) == (expected.loss, expected.mlm_loss, expected.nsp_loss)
    np.testing.assert_array_equal(g.flat, theirs.flat)
    np.testing.assert_array_equal(d.head_mask, ds.head_mask)
    np.testing.assert_array_equal(d.embeddings, ds.embeddings)
    assert [*p.layout.slots] == [slot.name for slot in sorted(p.layout.slots.values(), key=lambda slot: slot.start)]
    assert p.layout.ties == mlm.ties()


def test_the_loss_is_the_weighted_sum_of_its_terms():
    model = whole()
    p, x = parameters(model), inputs(model, "mlm", "nsp", "tag", "state")
    out, _, g = run(model, x, p, key=KEY)
    assert out.loss == pytest.approx(out.losses["mlm"] + 0.5 * out.losses["nsp"] + 2 * out.losses["tag"] + out.losses["state"])
    alone = [run(model, x._replace(targets={name: target}), p, key=KEY) for name, target in x.targets.items()]
    assert out.loss == pytest.approx(sum(part.loss for part, _, _ in alone))
    np.testing.assert_allclose(g.flat, sum(part.flat for _, _, part in alone), atol=1e-12)


def test_two_terms_of_one_head_compute_it_once(monkeypatch):
    calls, forward = [], mlm.forward
    monkeypatch.setattr(mlm, "forward", lambda *a: calls.append(1) or forward(*a))
    once = whole(("mlm",))
    twice = replace(once, terms=[once.terms[0], once.terms[0]._replace(name="again", weight=3.0)])
    x = inputs(once, "mlm")
    p = parameters(once)
    _, _, g = run(once, x, p)
    calls.clear()
    _, _, four = run(twice, x._replace(targets={**x.targets, "again": x.targets["mlm"]}), p)
    assert len(calls) == 1
    np.testing.assert_allclose(four.flat, 4 * g.flat, atol=1e-12)


@pytest.mark.parametrize(("present", "heads"), [
    (("mlm",), {"mlm"}), (("nsp", "tag"), {"nsp", "tag"}), (("state",), set()), ((), {"mlm", "nsp", "tag"})])
def test_a_head_is_computed_only_where_somebody_reads_it(present, heads):
    model = whole()
    out, _ = model.forward(inputs(model, *present), parameters(model))
    assert set(out.logits) == heads
    assert (out.loss is None) == (not present)
    out, _ = model.forward(inputs(model, *present), parameters(model), read=["nsp"])
    assert set(out.logits) == heads | {"nsp"}


def test_a_term_that_counts_nothing_is_not_present():
    model = whole()
    x = inputs(model, "mlm", "nsp")
    out, _, g = run(model, x, parameters(model), counts={"mlm": 8, "nsp": 0})
    assert out.losses["nsp"] == 0
    assert set(out.logits) == {"mlm"}
    assert not g["bert"]["pooler"]["dense"]["weight"].any()


def test_counts_are_those_of_the_whole_step():
    model = whole(("mlm", "nsp"))
    weighted = replace(model, terms=[model.terms[0]._replace(options={"weights": np.arange(37.0)}), model.terms[1]])
    x = inputs(model, "mlm", "nsp")
    some = x._replace(targets={"mlm": np.array([3, IGNORE, 5])})
    assert model.counts([x, some]) == {"mlm": 8 + 2, "nsp": 4}
    assert weighted.counts([some]) == {"mlm": 8, "nsp": 0}
    assert weighted.counts([some], options=False) == {"mlm": 2, "nsp": 0}
    later = replace(model, terms=[model.terms[0]._replace(counted=lambda batch: batch.ids.size)])
    assert later.counts([some]) == {"mlm": 36}


@pytest.mark.parametrize("changes", [{}, {"norm_first": True}, {"layer_map": (0, 1, 0)}, {"layer_map": (0, 1, 1)}],
                         ids=["BERT", "pre-LN", "0,1,0", "0,1,1"])
@pytest.mark.parametrize("present", [("mlm",), ("nsp",), ("tag", "nsp"), ("state",), ("mlm", "state")])
def test_what_rests_is_what_no_gradient_reaches(changes, present):
    """The names that ``idle`` gives, against the gradients themselves."""
    model = whole(**changes)
    _, _, g = run(model, inputs(model, *present), parameters(model))
    idle = model.idle(present)
    for name, view in g.items():
        if not name.endswith("key.bias"):
            assert view.any() != name.startswith(idle), name


def test_a_step_that_counts_nothing_moves_nothing():
    assert all(name.startswith(whole().idle(())) for name in whole().layout().slots)


def test_every_output_takes_an_upstream_gradient_of_its_own():
    model = whole()
    p, x = parameters(model), inputs(model, "mlm", "nsp", "tag", "state")
    _, cache = model.forward(x, p)
    everything = Output(1.0, {"tag": 1.0}, {"nsp": np.ones((4, 2))}, bert.Output(attentions=[None, np.ones((4, 2, 9, 9)), None]))
    parts = [Output(loss=1.0), Output(losses={"tag": 1.0}), Output(logits={"nsp": np.ones((4, 2))}), Output(bert=everything.bert)]
    slabs = []
    for d in (everything, *parts):
        g = p.zeros_like()
        model.backward(d, cache, p, g)
        slabs.append(g.flat)
    np.testing.assert_allclose(slabs[0], sum(slabs[1:]), atol=1e-12)
    assert all(slab.any() for slab in slabs)


def test_what_does_not_fit_together_is_refused():
    config = small_config()
    with pytest.raises(ValueError, match=r"head tag reads 'pooler', which is neither a head \(tag\) nor an output of the body"):
        Model(config, {"tag": Head(classifier, reads="pooler")}, ())
    with pytest.raises(ValueError, match=r"term x reads 'heads\.1', which is neither"):
        Model(config, {"tag": TAG}, (Term("x", "heads.1", cross_entropy),))
    with pytest.raises(ValueError, match="head nsp reads the pooled vector, and this configuration has no pooler"):
        Model(config.replace(pooler=None), {"nsp": Head(nsp)}, ())
    with pytest.raises(ValueError, match=r"head b: there is a classifier\.bias already; give one of the two heads another path"):
        Model(config, {"a": Head(classifier), "b": Head(classifier)}, ()).layout()


def test_a_model_that_reads_no_pooled_vector_has_no_pooler():
    tags = Model(small_config(), {"tag": TAG}, ())
    assert not any("pooler" in name for name in tags.layout().slots)
    assert any("pooler" in name for name in whole().layout().slots)
