"""Heads, rows and layers taken out: what is left says the same as with closed gates, and a run goes on bit for bit."""

import argparse
import json
from types import MappingProxyType

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.commands import prepare as arguments_of
from minibert.compression import cutting, distil, gated, mobile, record, students
from minibert.config import BertConfig
from minibert.finetuning import saved
from minibert.layers.dropout import Key
from minibert.model import importance as importance_of
from minibert.model import pretraining
from minibert.parameters import NOTHING
from minibert.training import prepare
from tests.compression.conftest import STATES, resume, run
from tests.model.examples import distance, random_inputs, random_parameters, small_config
from tests.training.runs import interrupt_after

ONCE = ("--threads", "1")  # without a course nothing is learned
TEXTS_ONCE = (*ONCE, "--max-length", "24", "--held-out", "0.1")


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    monkeypatch.setattr(record, "draw", lambda out, found: (out / record.PICTURE).write_bytes(b"picture"))


def small(**changes):
    return small_config(num_attention_heads=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **changes)


# What importance is.

def passes(config, parameters, x, wrap):
    from minibert.model import encoder
    _, cache = pretraining.forward(x, parameters.tree, config, counts=(1, 1),
                                   layers=lambda p, g: wrap(encoder.stack(p, g, config)))
    pretraining.backward(pretraining.Output(loss=1.0), cache, parameters.tree, NOTHING)


def test_importance_is_the_slope_at_a_gate():
    """A gate on a head multiplies its columns of the output matrix, one on a row its column of the second matrix."""
    config = small(heads_of_layers=((0, 2), (0, 1, 2), (1,)), intermediate_sizes=(5, 20, 7))
    parameters, x = random_parameters(config), random_inputs(config)

    def loss():
        return float(pretraining.forward(x, parameters.tree, config, counts=(1, 1))[0].loss)

    def slope(columns):
        before, losses = columns.copy(), []
        for gate in (1 + 1e-5, 1 - 1e-5):
            columns[...] = gate * before
            losses.append(loss())
        columns[...] = before
        return abs(losses[0] - losses[1]) / 2e-5

    found = importance_of.of_batch(lambda wrap: passes(config, parameters, x, wrap), 4, "batch")
    assert [list(map(len, part)) for part in found] == [[2, 3, 1], [5, 20, 7]]
    for i in range(3):
        layer = parameters["bert"]["encoder"]["layer"][str(i)]
        for k, value in enumerate(found.heads[i]):
            assert value == pytest.approx(slope(layer["attention"]["output"]["dense"]["weight"][:, 4 * k:4 * k + 4]), rel=1e-6)
        for r, value in enumerate(found.rows[i][:3]):
            assert value == pytest.approx(slope(layer["output"]["dense"]["weight"][:, r:r + 1]), rel=1e-5, abs=1e-9)
    three = [importance_of.of_batch(lambda wrap: passes(config, parameters, x, wrap), 4, form) for form in importance_of.FORMS]
    for batch, example, token in zip(*(np.concatenate([*one.heads, *one.rows]) for one in three)):
        assert batch <= example * (1 + 1e-12)
        assert example <= token * (1 + 1e-12)


def test_the_least_important_go_and_each_layer_keeps_its_last():
    values = [np.array([1.0, 2.0]), np.array([9.0, 8.0, 7.0]), np.array([0.5])]
    assert [np.flatnonzero(x).tolist() for x in cutting.goers(values, 2)] == [[0], [2], []]
    assert [np.flatnonzero(x).tolist() for x in cutting.goers(values, 3, "reverse")] == [[1], [0, 1], []]
    drawn = {tuple(np.concatenate(cutting.goers(values, 2, "random", seed))) for seed in range(20)}
    assert len(drawn) > 3
    assert all(sum(each) == 2 for each in drawn)
    with pytest.raises(ValueError, match=r"4 of 6 would leave a layer without any, .*: ask for at most 3"):
        cutting.goers(values, 4)


def test_what_is_left_says_what_closed_gates_say():
    config = small()
    parameters, x = random_parameters(config), random_inputs(config)
    kept = cutting.whole(config)._replace(heads=((0,), (1, 2), (0, 1, 2)))
    left = cutting.config_of(config, kept)
    assert (left.model_type, left.heads_of_layers, left.intermediate_sizes) == ("minibert", kept.heads, None)
    cut = cutting.cut(pretraining.of(left), parameters, config, kept)
    gates = np.array([[1.0, 0, 0], [0, 1, 1], [1, 1, 1]])
    closed, _ = pretraining.forward(x, parameters.tree, config, head_mask=gates)
    out, _ = pretraining.forward(x, cut.tree, left)
    assert distance(out.logits, closed.logits) < 1e-13
    for mine, theirs in zip(out.bert.attentions, closed.bert.attentions):
        assert distance(mine, theirs) < 1e-13  # a closed head's weights are 0, and so are those of one that is gone
    again = cutting.config_of(left, cutting.whole(left)._replace(heads=((0,), (1,), (0, 2))))
    assert again.heads_of_layers == ((0,), (2,), (0, 2))  # heads keep their numbers
    fewer = cutting.config_of(left, cutting.whole(left, (2,)))
    assert (fewer.num_hidden_layers, fewer.heads_of_layers, fewer.model_type) == (1, None, "minibert")


@pytest.mark.parametrize(("changes", "message"), [
    ({"heads_of_layers": ((0,), (), (1,))}, r"must name at least one head of each layer, in order, from 0 to 2, got \(\)"),
    ({"heads_of_layers": ((0,), (3,), (1,))}, "from 0 to 2"), ({"heads_of_layers": ((1, 0),) * 3}, "in order"),
    ({"heads_of_layers": ((0,),)}, "an entry for each of the 3 layers"), ({"intermediate_sizes": (1, 2, 21)}, "from 1 to"),
    ({"intermediate_sizes": (1, 2, 3), "ffn_count": 2}, "null where ffn_count is above 1"),
    ({"intermediate_sizes": (1, 2, 3), "layer_map": (0, 0, 0)}, "null where there is a layer_map")])
def test_configurations_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_what_cannot_learn_from_or_teach_heads_that_are_gone():
    less, whole = small(heads_of_layers=((0,), (1, 2), (0, 1, 2))), small()
    for student, of in ((less, whole), (whole, less)):
        with pytest.raises(ValueError, match="some heads are gone from the teacher or the student: leave --attentions out"):
            distil.of(pretraining.of(student), of, distil.Weights(attentions=1.0))
        with pytest.raises(ValueError, match="some heads are gone"):
            mobile.of(pretraining.of(student), of, 0.5)
    with pytest.raises(ValueError, match="have lost heads or rows"):
        students.config_of(less, 2)


# Gates.

def test_gates_are_drawn_for_each_micro_batch_and_decided_without_a_key():
    config = small()
    whole = gated.of(pretraining.of(config), price=0.5, speed=10)
    parameters = whole.begun(random_parameters(config), random_parameters(config), 0)
    assert (parameters["gates"]["bias"] == gated.START).all()
    a = parameters["gates"]["bias"]
    a[...] = [[3.0, -3, 0.5], [-1, -2, -3], [1, 1, 1]]
    np.testing.assert_array_equal(gated.decided(a), [[1, 0, 1], [1, 0, 0], [1, 1, 1]])  # a layer keeps its likeliest
    draws = [gated.drawn(Key(0, step, part), a) for step in range(2) for part in range(2)]
    assert len({x.tobytes() for x in draws}) == 4
    x = random_inputs(config)
    inputs = minibert.model.model.Inputs(x.ids, x.token_type_ids, x.attention_mask, {"mlm": x.labels}, x.positions)
    out, _ = whole.forward(inputs, parameters.tree)
    closed, _ = whole.alone.forward(inputs, parameters.tree, head_mask=gated.decided(a))
    [(left, small_one)] = whole.apart(parameters).values()
    assert left.heads_of_layers == ((0, 2), (0,), (0, 1, 2))
    apart, _ = pretraining.of(left).forward(inputs, small_one.tree)
    assert distance(out.logits["mlm"], closed.logits["mlm"]) < 1e-13 > distance(apart.logits["mlm"], closed.logits["mlm"])
    assert out.loss == pytest.approx(closed.loss + 0.5 * out.losses["open"])
    assert whole.counts([BATCH, BATCH])["open"] == 2  # the price is paid once a step


class BATCH:
    targets = MappingProxyType({})


def test_densities_are_those_of_draws():
    from minibert.layers import hard_concrete
    rng, n = np.random.default_rng(0), 200_000
    for a in (-2.0, 0.3, 2.0):
        (gates, opened), _ = hard_concrete.forward(np.full(n, a), rng.uniform(gated.EDGE, 1 - gated.EDGE, n))
        assert (gates > 0).mean() == pytest.approx(opened[0], abs=4 / n**0.5)


# As a user runs it.

def test_a_classifier_loses_heads_and_rows(labels, classifier, tmp_path, capsys):
    argv = ("--heads", "0.5", "--feed-forward", "0.4", "--estimate", "20")
    assert labels("prune", tmp_path / "out", *argv, course=ONCE) == 0
    said = capsys.readouterr().out
    assert "6 of 12 heads and 115 of 192 rows are left in 4 layers" in said
    assert "×" in said
    large, one = saved.load(classifier), saved.load(tmp_path / "out")
    assert one.config.model_type == "minibert"
    assert one.parameters.flat.size < large.parameters.flat.size
    record = json.loads((tmp_path / "out" / "pruning.json").read_text(encoding="utf-8"))
    assert sum(map(len, record["heads"]["kept"])) == 6
    assert tuple(map(tuple, record["heads"]["kept"])) == one.config.heads_of_layers
    assert sum(one.config.intermediate_sizes) == 115 == sum(len(part["kept"]) for part in record["rows"])
    assert labels("prune", tmp_path / "same", *argv, "--keep-shape", course=ONCE) == 0
    zeros = saved.load(tmp_path / "same")
    assert zeros.config.model_type == "bert"
    assert zeros.parameters.layout.describe() == large.parameters.layout.describe()
    x = random_inputs(large.config)
    inputs = minibert.model.model.Inputs(x.ids % large.config.vocab_size, x.token_type_ids, x.attention_mask)
    a, b = (m.network().forward(inputs, m.parameters.tree)[0].logits for m in (one, zeros))
    np.testing.assert_allclose(*(next(iter(z.values())) for z in (a, b)), atol=1e-5)


def test_a_model_of_words_loses_layers_too(words, tmp_path):
    assert words("prune", tmp_path / "layers", "--layers", "0,3", "--estimate", "20", course=TEXTS_ONCE) == 0
    assert pretrained.load(tmp_path / "layers").config.model_type == "bert"  # nothing but a BERT of two layers
    assert words("prune", tmp_path / "out", "--layers", "3", "--heads", "0.4", "--by", "token", "--estimate", "20",
                 "--rounds", "2", course=TEXTS_ONCE) == 0
    bert = minibert.load(tmp_path / "out", device="cpu")
    assert bert.config.num_hidden_layers == 3
    assert sum(map(len, bert.config.heads_of_layers)) == 5
    assert len(bert.fill_mask("a [MASK] b"))
    assert bert(["a b"], attentions=True).attentions[0].shape[1] == 3


def test_importance_is_estimated_on_prepared_examples(teacher, corpus, tmp_path):
    parser = argparse.ArgumentParser()
    arguments_of.add_arguments(parser)
    argv = ("--corpus", corpus, "--vocab", teacher, "--max-length", 24, "--held-out", 0.1, "--dupe-factor", 1,
            "--format", "tfrecord", "--out", tmp_path / "data")
    assert prepare.run(parser.parse_args([str(x) for x in argv])) == 0
    argv = ("--max-length", 24, "--heads", 0.5, "--estimate", 20, "--threads", 1, "--out", tmp_path / "out")
    assert run("prune", "--teacher", teacher, "--corpus", tmp_path / "data", *argv) == 0  # their length is the one asked for
    assert sum(map(len, pretrained.load(tmp_path / "out").config.heads_of_layers)) == 6


@pytest.mark.parametrize("kind", ["words", "labels"])
def test_rounds_go_on_where_they_were_cut_off(kind, words, labels, tmp_path, monkeypatch):
    start = {"words": words, "labels": labels}[kind]
    rounds = {"words": "1", "labels": "2"}[kind]
    argv = ("--heads", "0.5", "--feed-forward", "0.3", "--rounds", rounds, "--estimate", "16", "--dropout", "0.1")
    assert start("prune", tmp_path / "whole", *argv) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert start("prune", tmp_path / "run", *argv) == 130
    if rounds == "2":
        with monkeypatch.context() as patch:
            interrupt_after(patch, 2)
            assert resume(tmp_path / "run") == 130
        assert (tmp_path / "run" / "round-1" / "metrics.json").is_file(), "in the second round"
    assert resume(tmp_path / "run") == 0
    assert (tmp_path / "whole" / STATES[0]).read_bytes() == (tmp_path / "run" / STATES[0]).read_bytes()
    config = BertConfig.load(tmp_path / "run" / "config.json")
    assert sum(map(len, config.heads_of_layers)) == 6
    last = json.loads((tmp_path / "run" / "pruning.json").read_text(encoding="utf-8"))
    before = sum(value is None for row in last["heads"]["importance"] for value in row)
    assert before == (3 if rounds == "2" else 0), "heads that had gone before the last round"


@pytest.mark.parametrize("kind", ["words", "labels"])
def test_gates_learn_and_are_taken_out(kind, words, labels, tmp_path, monkeypatch, capsys):
    start = {"words": words, "labels": labels}[kind]
    argv = ("--gates", "--price", "1", "--gate-speed", "200", "--keep-shape")
    assert start("prune", tmp_path / "whole", *argv) == 0
    assert "how likely the gate is open" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert start("prune", tmp_path / "run", *argv) == 130
    assert resume(tmp_path / "run") == 0
    assert (tmp_path / "whole" / STATES[0]).read_bytes() == (tmp_path / "run" / STATES[0]).read_bytes()
    record = json.loads((tmp_path / "run" / "pruning.json").read_text(encoding="utf-8"))
    assert all(record["heads"]["kept"])
    assert sum(map(len, record["heads"]["kept"])) < 12
    assert BertConfig.load(tmp_path / "run" / "config.json").model_type == "bert"


@pytest.mark.parametrize(("argv", "message"), [
    ((), "say what goes"), (("--heads", "1"), "below 1: each layer keeps its last one"), (("--gates",), "say how long"),
    (("--heads", "0.95"), "would leave a layer without any"), (("--gates", "--heads", "0.3", "--epochs", "1"), "price says"),
    (("--heads", "0.5", "--soft", "1"), "only the recipe distil"),
    (("--heads", "0.5", "--learning-rate", "0.1"), "--learning-rate: nothing is learned after the cut"),
    (("--heads", "0.5", "--precision", "tf32"), "--precision: nothing is learned"),
    (("--heads", "0.5", "--no-bias-correction"), "--no-bias-correction: nothing is learned")])
def test_what_is_refused(argv, message, labels, tmp_path):
    with pytest.raises(ValueError, match=message):
        labels("prune", tmp_path / "out", *argv, course=ONCE)
