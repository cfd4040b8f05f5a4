"""A generator and a discriminator in one model: what is drawn, what it is called, and where gradients go and do not go."""

from dataclasses import replace

import numpy as np
import pytest

from gradcheck.combinations import MODELS
from minibert.layers.cross_entropy import IGNORE
from minibert.layers.dropout import Key
from minibert.model import joint
from minibert.model.model import Inputs, Output
from minibert.parameters import Parameters
from tests.model.examples import distance, random_inputs, small_config

WORDS = "bert.embeddings.word_embeddings.weight"


def prepared(**changes):
    """The model, random parameters, and a batch with numbers; positions 3 and 3 again are asked for in the first row."""
    config = small_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, embedding_size=8, pooler=None, **changes)
    whole = joint.of(config, joint.smaller(config, 0.5))
    rng, layout = np.random.default_rng(3), whole.layout()
    given = random_inputs(config)
    positions = np.sort(np.append(given.positions, given.positions[0]))
    words, numbers = given.ids.reshape(-1)[positions], rng.random(given.ids.size)[positions]
    x = Inputs(given.ids, given.token_type_ids, given.attention_mask, {"mlm": words, "replaced": numbers}, positions)
    return whole, Parameters(layout, rng.normal(0, 0.3, layout.size)), x


def gradient(whole, p, x, **upstream):
    out, cache = whole.forward(x, p)
    g = p.zeros_like()
    whole.backward(Output(**upstream or {"loss": 1.0}), cache, p, g)
    return out, g


def test_words_are_drawn_in_proportion():
    logits = np.log(np.array([[0.5, 0.25, 0.25, 1e-30]]))
    assert joint.drawn(logits.repeat(6, 0), np.array([0, 0.49, 0.51, 0.74, 0.76, 1 - 2**-53])).tolist() == [0, 0, 1, 1, 2, 2]
    numbers = (np.arange(100_000) + 0.5) / 100_000
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, 11)
    found = np.bincount(joint.drawn(np.tile(z, (100_000, 1)).astype(np.float32), numbers), minlength=11) / 100_000
    assert abs(found - np.exp(z) / np.exp(z).sum()).max() < 1e-5
    assert joint.drawn(np.zeros((0, 5)), np.zeros(0)).shape == (0,)


def test_what_was_drawn_right_is_the_texts_and_padding_is_not_asked():
    whole, p, x = prepared()
    out, _ = whole.forward(x, p)
    drawn = joint.drawn(out.logits["mlm"], x.targets["replaced"])
    x = x._replace(targets={**x.targets, "mlm": np.where(np.arange(len(drawn)) < 4, drawn, x.targets["mlm"])})  # three are right
    out, _ = whole.forward(x, p)
    labels = out.targets["replaced"]
    expected = np.where(x.attention_mask == 1, 0, IGNORE)
    expected.reshape(-1)[x.positions] = drawn != x.targets["mlm"]
    np.testing.assert_array_equal(labels, expected)
    assert (labels.reshape(-1)[x.positions[:4]] == 0).all()
    assert (labels == 1).any()
    seen = x.ids.reshape(-1).copy()
    seen[x.positions] = drawn
    told, _ = whole.discriminator.forward(x._replace(ids=seen.reshape(x.ids.shape), positions=None, targets={}), p)
    np.testing.assert_array_equal(out.logits["replaced"], told.logits["replaced"])
    correct = whole.correct(x, out)
    assert correct["tokens"] == x.attention_mask.sum()
    assert correct["replaced"] == (labels == 1).sum()
    assert correct["found"] == ((labels == 1) & (told.logits["replaced"] > 0)).sum()
    assert correct["right"] == (((labels == 1) == (told.logits["replaced"] > 0)) & (labels != IGNORE)).sum()


def test_the_loss_is_the_generators_and_fifty_times_the_discriminators():
    whole, p, x = prepared()
    out, _ = whole.forward(x, p)
    assert out.loss == pytest.approx(out.losses["mlm"] + 50 * out.losses["replaced"], rel=1e-15)
    told = out.logits["replaced"][x.attention_mask == 1]
    labels = out.targets["replaced"][x.attention_mask == 1]
    assert out.losses["replaced"] == pytest.approx(np.log1p(np.exp(np.where(labels, -told, told))).mean(), rel=1e-12)


def test_a_place_that_is_asked_for_twice_counts_twice_for_the_generator_and_once_for_the_discriminator():
    whole, p, x = prepared()
    out, _ = whole.forward(x, p)
    z = out.logits["mlm"]
    surprise = np.log(np.exp(z).sum(-1)) - z[np.arange(len(z)), x.targets["mlm"]]
    assert out.losses["mlm"] == pytest.approx(surprise.mean(), rel=1e-12)
    assert whole.correct(x, out)["tokens"] == x.attention_mask.sum()


def test_no_gradient_goes_through_the_draw():
    """The discriminator's loss reaches the generator's embeddings, which are its own too, and nothing else of the generator."""
    whole, p, x = prepared()
    _, from_both = gradient(whole, p, x)
    _, from_discriminator = gradient(whole, p, x, losses={"replaced": 50.0})
    _, from_generator = gradient(whole, p, x, losses={"mlm": 1.0})
    for name, view in from_discriminator.items():
        assert view.any() != name.startswith("generator."), name
    for name, view in from_generator.items():
        assert view.any() == name.startswith(("generator.", "bert.embeddings.")) or "projection" in name, name
    assert from_generator["generator"]["bert"]["embeddings"]["projection"]["weight"].any()
    assert not from_generator["bert"]["embeddings"]["projection"]["weight"].any()
    assert distance(from_both.flat, from_discriminator.flat + from_generator.flat) < 1e-15


def test_embeddings_are_one_tensor_and_projections_two():
    whole, p, _ = prepared()
    ours, theirs = p["bert"]["embeddings"], p["generator"]["bert"]["embeddings"]
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"):
        assert np.shares_memory(ours[name]["weight"], theirs[name]["weight"]), name
    assert ours["projection"]["weight"].shape == (12, 8)
    assert theirs["projection"]["weight"].shape == (6, 8)
    assert np.shares_memory(p["generator"]["cls"]["predictions"]["decoder"]["weight"], ours["word_embeddings"]["weight"])
    names = list(whole.layout().slots)
    assert names.count(WORDS) == 1
    assert f"generator.{WORDS}" not in names


def test_apart_they_are_two_models():
    whole, p, x = prepared()
    out, _ = whole.forward(x, p)
    parts = whole.apart(p)
    assert list(parts) == ["generator", "discriminator"]
    (smaller, generator), (config, discriminator) = parts.values()
    assert (smaller.objectives, config.objectives) == (("mlm",), whole.config.objectives)
    assert set(generator.layout.slots) == set(whole.generator.layout().slots)
    guess, _ = whole.generator.forward(x, generator)
    np.testing.assert_array_equal(guess.logits["mlm"], out.logits["mlm"])
    told, _ = whole.discriminator.forward(x._replace(targets={}), discriminator)
    plain, _ = whole.forward(x._replace(targets={}), p)
    np.testing.assert_array_equal(told.logits["replaced"], plain.logits["replaced"])
    generator.flat.fill(0)
    assert p.flat.all(), "they are copies"


def test_a_batch_may_be_cut():
    """And the same words are drawn: they follow from the numbers, which come with the places."""
    whole, p, x = prepared()
    rows, T = len(x.ids), x.ids.shape[1]
    out, g = gradient(whole, p, x)
    halves, counts = p.zeros_like(), {"mlm": len(x.positions), "replaced": int(x.attention_mask.sum())}
    loss = 0.0
    for part in (range(0, 1), range(1, rows)):
        mine = np.isin(x.positions // T, part)
        half = x._replace(ids=x.ids[part], token_type_ids=x.token_type_ids[part], attention_mask=x.attention_mask[part],
                          positions=x.positions[mine] - part[0] * T, targets={name: y[mine] for name, y in x.targets.items()})
        found, cache = whole.forward(half, p, counts=counts)
        np.testing.assert_array_equal(found.targets["replaced"], out.targets["replaced"][part])
        whole.backward(Output(loss=1.0), cache, p, halves)
        loss += found.loss
    assert loss == pytest.approx(out.loss, rel=1e-13)
    assert distance(halves.flat, g.flat) < 1e-12


def test_nothing_is_dropped_alike_in_the_two():
    """Of equal sizes and weights, reading the same text: only their dropout tells them apart."""
    config = small_config(pooler=None)
    whole = joint.of(config, replace(joint.smaller(config, 1.0), num_attention_heads=config.num_attention_heads,
                                     intermediate_size=config.intermediate_size))
    x = random_inputs(config)
    p = Parameters(whole.layout(), np.random.default_rng(0).normal(0, 0.3, whole.layout().size))
    x, key = Inputs(x.ids, x.token_type_ids, x.attention_mask), Key(5)
    states = []
    for part, tree, place in ((whole.generator, p, 0), (whole.discriminator, p, 1)):
        states.append(part.forward(x, {**tree.tree, "cls": p["generator"]["cls"]}, key=key.at(place))[0].bert.last_hidden_state)
    assert distance(*states) > 0.1
    out, _ = whole.forward(x, p, key=key)
    np.testing.assert_array_equal(out.bert.last_hidden_state, states[1])


@pytest.mark.parametrize(("hidden", "share", "expected"), [
    (256, 0.25, (64, 1, 256)), (768, 1 / 3, (256, 4, 1024)), (1024, 0.25, (256, 4, 1024)), (128, 0.25, (32, 1, 128)),
    (1000, 0.2, (200, 2, 800)), (48, 1.0, (48, 1, 192))])
def test_the_generator_is_as_large_as_in_the_paper(hidden, share, expected):
    config = small_config(hidden_size=hidden, embedding_size=128, objectives=("replaced",))
    made = joint.smaller(config, share)
    assert (made.hidden_size, made.num_attention_heads, made.intermediate_size) == expected
    assert made.num_hidden_layers == config.num_hidden_layers
    assert made.embedding_width == 128
    assert made.objectives == ("mlm",)


def test_a_share_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="hidden_size must be a whole number of at least 1, got 0"):
        joint.smaller(small_config(), 0.01)


def test_all_rests_that_nothing_reads():
    whole = MODELS["joint"](small_config(pooler=None))
    names = whole.layout().slots
    assert not any(name.startswith(whole.idle({"mlm", "replaced"})) for name in names)
    resting = {name for name in names if name.startswith(whole.idle({"replaced"}))}
    assert resting == {name for name in names if name.startswith("generator.")}
