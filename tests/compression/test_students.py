"""Where a student begins, and what distillation and replacing are made of."""

import numpy as np
import pytest

from minibert.compression import distil, options, students, theseus
from minibert.compression.theseus import Schedule
from minibert.finetuning import models
from minibert.layers import cosine_distance, kl_divergence, token_error
from minibert.layers.cross_entropy import IGNORE
from minibert.layers.dropout import Key
from minibert.model import pretraining
from minibert.tasks.batches import Batch
from tests.model.examples import random_parameters, small_config


@pytest.mark.parametrize(("count", "layers", "expected"), [
    (6, 12, (0, 2, 4, 7, 9, 11)), (3, 6, (0, 2, 5)), (2, 4, (0, 3)), (1, 4, (0,)), (4, 4, (0, 1, 2, 3)), (3, 12, (0, 6, 11))])
def test_layers_are_spread_from_the_first_to_the_last(count, layers, expected):
    assert students.spread(count, layers) == expected
    assert students.chosen(str(count), layers) == expected
    if 2 * count == layers:
        assert students.chosen(None, layers) == expected


def test_chosen_layers_are_taken_in_their_order():
    assert students.chosen("5,0,", 6) == (5, 0)
    assert students.chosen("2,", 6) == (2,)


@pytest.mark.parametrize(("asked", "message"), [
    ("7", r"from 1 to as many layers as its teacher, which has 6, got 7"), ("0", "which has 6, got 0"),
    ("0,6", r"6 layers count from 0 to 5, got 6"), ("-1,2", "got -1"), ("two", r"such as 3, or which .* got 'two'"),
    (",", "got ','")])
def test_layers_that_the_teacher_has_not(asked, message):
    with pytest.raises(ValueError, match=message):
        students.chosen(asked, 6)


def test_a_student_has_the_tensors_of_the_chosen_layers():
    config = small_config(num_hidden_layers=4)
    teacher = random_parameters(config)
    student, fresh = students.begun(pretraining.layout(students.config_of(config, 2)), teacher, (0, 3), 0.02, 0)
    there = dict(teacher.items())
    assert not fresh
    for name, view in student.items():
        np.testing.assert_array_equal(view, there[name.replace("layer.1.", "layer.3.")])


def test_what_has_another_shape_begins_fresh():
    config = small_config(num_hidden_layers=4, hidden_size=12)
    small = students.config_of(config, 2, intermediate=10)
    assert (small.hidden_size, small.intermediate_size) == (12, 10)
    student, fresh = students.begun(pretraining.layout(small), random_parameters(config), (0, 3), 0.02, 0)
    assert {name.partition("layer.")[2][2:] for name in fresh} == {"intermediate.dense.weight", "intermediate.dense.bias",
                                                                 "output.dense.weight"}
    assert students.config_of(config, 2, hidden=6).intermediate_size == 10  # as much wider than the state as the teacher's
    del student


def test_layers_that_share_tensors_are_refused():
    with pytest.raises(ValueError, match="share their tensors"):
        students.config_of(small_config(layer_map=(0, 0, 0)), 1)


# Losses, by hand.

def test_known_answers():
    """Of two rows the first is the teacher's own; the second is even, where the teacher says 3/4 and 1/4."""
    x, t = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 2.0], [np.log(3.0), 0.0]])
    kl = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert kl_divergence.forward(x, t)[0] == pytest.approx(kl / 2)
    assert kl_divergence.correct(x, np.array([[0.0, 1.0], [0.0, 1.0]])) == 1  # of an even row the first counts
    at = kl_divergence.forward(x, 4 * t, temperature=4.0)[0]
    assert kl_divergence.forward(x / 4, t)[0] * 16 == pytest.approx(at)
    u, v, real = np.array([[[3.0, 4.0], [1.0, 0.0]]]), np.array([[[4.0, 3.0], [5.0, 5.0]]]), np.array([[[1], [0]]])
    assert cosine_distance.forward(u, (v, real))[0] == pytest.approx(1 - 0.96)
    assert token_error.forward(u, (v, real))[0] == pytest.approx(1.0)
    assert token_error.forward(u, (v, None))[0] == pytest.approx((1 + 1 + 16 + 25) / 4)
    a, b = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.75, 0.25], [1.0, 0.0]])
    assert kl_divergence.forward(a, (b, None), logits="none")[0] == pytest.approx(kl / 2)  # where a teacher has 0, none is asked
    assert kl_divergence.forward(x, np.array([[0.0, 0.0], [0.75, 0.25]]), logits="x")[0] == pytest.approx(kl)  # no row of zeros


def batch(lengths=(3, 5)):
    ids = np.arange(10).reshape(2, 5)
    mask = np.arange(5) < np.array(lengths)[:, None]
    return Batch(ids, np.zeros_like(ids), None if mask.all() else mask, {"mlm": np.array([7, 8]), "nsp": np.array([0, 1])},
                 np.array([1, 6]))


def test_all_tokens_are_asked_and_the_masked_words_stay_the_only_targets():
    asked = distil.everywhere(batch())
    np.testing.assert_array_equal(asked.positions, [0, 1, 2, 5, 6, 7, 8, 9])
    np.testing.assert_array_equal(asked.targets["mlm"], [IGNORE, 7, IGNORE, IGNORE, 8, IGNORE, IGNORE, IGNORE])
    assert len(distil.everywhere(batch((5, 5))).positions) == 10
    pairs = np.tril(np.ones((5, 5), bool)) & batch().attention_mask[:, :, None] & batch().attention_mask[:, None]
    one_way = distil.everywhere(batch()._replace(attention_mask=pairs))
    np.testing.assert_array_equal(one_way.positions, asked.positions)
    whole = distil.of(pretraining.of(small_config()), small_config(), distil.Weights(attentions=1.0), attention_loss="mse")
    assert whole.counts([one_way])["attention_0"] == 2 * (6 + 15)


def test_counts_are_of_tokens_numbers_and_heads():
    config, teacher = small_config(num_hidden_layers=2, hidden_size=12), small_config(num_hidden_layers=4, hidden_size=16)
    whole = distil.of(pretraining.of(config), teacher, distil.Weights(5, 2, 1, 1, 1), attention_loss="mse")
    counts = whole.counts([distil.everywhere(batch()), distil.everywhere(batch((5, 5)))])
    assert counts == {"mlm": 4, "nsp": 4, "soft": 18, "cosine": 18, **{f"state_{i}": 18 * 16 for i in range(3)},
                      **{f"attention_{i}": 2 * (9 + 25 + 50) for i in range(2)}}
    assert whole.counts([batch()])["soft"] == 2  # the masked ones alone
    assert [whole.asked[f"state_{i}"] for i in range(3)] == ["hidden_states.0", "hidden_states.2", "hidden_states.4"]
    assert [whole.asked[f"attention_{i}"] for i in range(2)] == ["attentions.1", "attentions.3"]
    assert sum(term.weight for term in whole.terms if term.name.startswith("state")) == pytest.approx(1)


def test_a_student_as_wide_as_its_teacher_needs_no_projection():
    config = small_config()
    for hidden, projections in ((12, 0), (16, 5)):  # of the last state, and of four
        whole = distil.of(pretraining.of(config), small_config(hidden_size=hidden), distil.Weights(states=1.0))
        assert sum("projection" in name for name in whole.heads) == projections
        [(_, alone)] = whole.apart(random_like(whole)).values()
        assert alone.layout.describe() == pretraining.layout(config).describe()


def random_like(whole):
    from minibert.parameters import Parameters

    layout = whole.layout()
    return Parameters(layout, np.random.default_rng(0).standard_normal(layout.size))


def test_heads_that_cannot_be_compared():
    with pytest.raises(ValueError, match="teacher has 3 heads, the student 2: give --heads 3"):
        distil.of(pretraining.of(small_config()), small_config(num_attention_heads=3), distil.Weights(attentions=1.0))


# Theseus.

def whole_of(layers=4, count=2, schedule=None, **changes):
    config = small_config(num_hidden_layers=layers, **changes)
    alone = models.of(students.config_of(config, count), "sequence", 2)
    return theseus.of(alone, config, schedule or Schedule(0.5, 10**6, linear=False))


def test_the_rate_rises_in_a_line_or_stays_and_is_then_1():
    linear, constant = Schedule(0.3, 10), Schedule(0.5, 4, linear=False)
    assert [linear.at(step) for step in (0, 5, 10, 99)] == pytest.approx([0.3, 0.65, 1.0, 1.0])
    assert [constant.at(step) for step in (0, 3, 4, 99)] == [0.5, 0.5, 1.0, 1.0]
    assert Schedule(0.5, 0, linear=False).at(0) == 1.0
    mrpc = Schedule(0.3, 1167)  # the reference's 0.3 + 0.0006 a step
    assert mrpc.at(1000) == pytest.approx(0.3 + 0.0006 * 1000, rel=1e-3)


def test_draws_are_one_a_module_of_their_key():
    whole = whole_of(8, 4)
    draws = [whole.draws(Key(0, step, part)) for step in range(200) for part in range(2)]
    assert all(len(drawn) == 4 for drawn in draws)
    assert np.mean(draws) == pytest.approx(0.5, abs=0.05)
    assert np.abs(np.corrcoef(np.array(draws, float).T) - np.eye(4)).max() < 0.2
    assert whole.draws(Key(0, 3, 1)) == whole.draws(Key(0, 3, 1))
    assert len({whole.draws(Key(0, 3, part)) for part in range(20)}) > 1  # each micro-batch draws for itself
    assert whole_of(schedule=Schedule(0.1, 0)).draws(Key(0, 3)) == (True, True)


def test_modules_are_of_equal_size():
    with pytest.raises(ValueError, match="4 layers cannot be cut into 3 equal modules"):
        whole_of(4, 3)


def test_a_successor_begins_with_the_first_layers():
    whole = whole_of()
    teacher = random_like(models.of(whole.predecessor, "sequence", 2))
    both, there = theseus.begun(whole, teacher), dict(teacher.items())
    for name, view in both.items():
        np.testing.assert_array_equal(view, there[name.replace(".predecessor", "")])


def test_options_know_the_parts_of_the_loss():
    assert distil.Weights._fields == options.PARTS
    assert tuple(distil.ATTENTION_LOSSES) == options.ATTENTION_LOSSES
    assert distil.DEFAULT == distil.Weights(*(getattr(options.Settings(), part) for part in options.PARTS))
