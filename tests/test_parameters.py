"""The slab: sizes that everyone can check, views that share memory, initial values that can be repeated."""

import numpy as np
import pytest

from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.parameters import NOTHING, Layout, Parameters, initialise
from tests.model.examples import small_config

TOTALS = {  # at a vocabulary of 30,522: encoder with pooler, and with both pre-training heads
    "tiny": (4_385_920, 4_433_468),
    "mini": (11_170_560, 11_267_900),
    "small": (28_763_648, 29_058_876),
    "medium": (41_373_184, 41_668_412),
    "base": (109_482_240, 110_106_428),
    "large": (335_141_888, 336_226_108),
}
SHAPES = {"a.weight": (3, 2), "a.bias": (3,), "b.LayerNorm.weight": (2,), "b.LayerNorm.bias": (2,), "c.weight": (2, 2)}


@pytest.mark.parametrize("preset", TOTALS)
def test_parameter_totals(preset):
    layout = pretraining.layout(BertConfig.preset(preset))
    encoder = sum(slot.stop - slot.start for name, slot in layout.slots.items() if name.startswith("bert."))
    assert (encoder, layout.size) == TOTALS[preset]


def test_decayed_tensors_come_first_each_part_in_layer_order():
    layout = Layout(SHAPES)
    assert list(layout.slots) == ["a.weight", "c.weight", "a.bias", "b.LayerNorm.weight", "b.LayerNorm.bias"]
    assert [slot.decay for slot in layout.slots.values()] == [True, True, False, False, False]
    ends = [0]
    for slot in layout.slots.values():
        assert slot.start == ends[-1]
        ends.append(slot.stop)
    assert ends[-1] == layout.size == 17


def test_views_are_the_slab():
    parameters = Parameters.zeros(Layout(SHAPES))
    parameters["b"]["LayerNorm"]["bias"][...] = 7
    parameters.flat += 1
    assert parameters.flat.sum() == 17 + 14
    assert (parameters["b"]["LayerNorm"]["bias"] == 8).all()
    assert all(np.shares_memory(view, parameters.flat) for _, view in parameters.items())
    assert {name: view.shape for name, view in parameters.items()} == SHAPES
    assert len(parameters) == 17


def test_a_tie_is_the_same_view_under_a_second_name():
    parameters = Parameters.zeros(Layout(SHAPES, {"d.weight": "a.weight", "e.weight": "not here"}))
    parameters["d"]["weight"][0, 0] = 5
    assert parameters["a"]["weight"][0, 0] == 5
    assert len(parameters) == 17
    assert "e" not in parameters.tree


def test_every_view_of_a_model_is_contiguous():
    parameters = Parameters.zeros(pretraining.layout(small_config()))
    assert all(view.flags.c_contiguous for _, view in parameters.items())


def test_names_of_pre_ln_and_post_ln():
    post = set(pretraining.layout(small_config()).slots)
    pre = set(pretraining.layout(small_config(norm_first=True)).slots)
    assert "bert.encoder.layer.0.attention.output.LayerNorm.weight" in post - pre
    assert "bert.encoder.layer.0.attention.LayerNorm.weight" in pre - post
    assert pre >= {"bert.LayerNorm.weight", "bert.LayerNorm.bias"}


def test_copies_do_not_share():
    parameters = initialise(Layout(SHAPES))
    zeros, wide = parameters.zeros_like(), parameters.astype(np.float64)
    assert not zeros.flat.any()
    assert zeros.flat.dtype == np.float32
    wide.flat += 1
    zeros.flat += 1
    np.testing.assert_array_equal(parameters.flat, initialise(Layout(SHAPES)).flat)
    assert parameters.to(np) is parameters


@pytest.mark.parametrize("wrong", [(16,), (17, 1)])
def test_a_slab_of_another_size_is_an_error(wrong):
    with pytest.raises(ValueError, match=r"slab: expected shape \(17,\) for 5 tensors, got"):
        Parameters(Layout(SHAPES), np.zeros(wrong))


def test_half_precision_is_for_the_gpu():
    with pytest.raises(ValueError, match="dtype float16 is for the GPU: on the CPU use float32 or float64"):
        Parameters.zeros(Layout(SHAPES), dtype=np.float16)


class TestInitialisation:
    config = BertConfig.preset("tiny", vocab_size=3000)

    def test_weights_are_normal_cut_at_two_standard_deviations(self):
        parameters = pretraining.initial_parameters(self.config)
        for name, view in parameters.items():
            if name.endswith("LayerNorm.weight"):
                assert (view == 1).all(), name
            elif name.endswith("bias"):
                assert (view == 0).all(), name
            else:
                assert np.abs(view).max() <= np.float32(0.04), name
                if view.size > 10_000:
                    assert view.mean() == pytest.approx(0, abs=5e-4), name
                    assert view.std() == pytest.approx(0.02 * 0.8796, rel=0.02), name  # of a normal cut at ±2
        assert parameters.flat.dtype == np.float32

    def test_the_range_comes_from_the_configuration(self):
        wide = pretraining.initial_parameters(self.config.replace(initializer_range=0.1))
        table = wide["bert"]["embeddings"]["word_embeddings"]["weight"]
        assert table.std() == pytest.approx(0.1 * 0.8796, rel=0.02)

    def test_a_seed_gives_the_same_values_in_every_precision(self):
        a, b = (pretraining.initial_parameters(self.config, seed=3) for _ in range(2))
        np.testing.assert_array_equal(a.flat, b.flat)
        wide = pretraining.initial_parameters(self.config, seed=3, dtype=np.float64)
        np.testing.assert_array_equal(a.flat, wide.flat.astype(np.float32))
        assert (pretraining.initial_parameters(self.config, seed=4).flat != a.flat).any()

    def test_the_values_of_a_tensor_do_not_depend_on_others(self):
        few = dict(pretraining.initial_parameters(self.config).items())
        more = dict(pretraining.initial_parameters(self.config.replace(num_hidden_layers=3, vocab_size=100)).items())
        resized = {"bert.embeddings.word_embeddings.weight", "cls.predictions.bias"}
        assert few.keys() < more.keys()
        for name in few.keys() - resized:
            np.testing.assert_array_equal(few[name], more[name])

    def test_tensors_of_one_shape_differ(self):
        layer = pretraining.initial_parameters(self.config)["bert"]["encoder"]["layer"]
        q, k, other = (layer[i]["attention"]["self"][n]["weight"] for i, n in (("0", "query"), ("0", "key"), ("1", "query")))
        assert abs(np.corrcoef(q.ravel(), k.ravel())[0, 1]) < 0.05
        assert abs(np.corrcoef(q.ravel(), other.ravel())[0, 1]) < 0.05


def test_nothing_is_falsy_and_gives_itself():
    assert not NOTHING
    assert NOTHING["bert"]["encoder"]["layer"]["0"] is NOTHING
    assert repr(NOTHING) == "NOTHING"
    with pytest.raises(TypeError):
        NOTHING["weight"] += np.ones(3)  # a layer that forgets to ask ``if g`` fails at once


def test_a_chain_of_ties_ends_at_the_tensor():
    layout = Layout({"table.weight": (3, 2)},
                    {"decoder.weight": "copy.weight", "copy.weight": "table.weight", "x.weight": "absent"})
    assert layout.ties == {"decoder.weight": "table.weight", "copy.weight": "table.weight"}
    parameters = Parameters(layout, np.arange(6.0))
    parameters["decoder"]["weight"][1, 1] = 7
    assert parameters["table"]["weight"][1, 1] == 7
    with pytest.raises(ValueError, match=r"these ties go round in a circle: a -> b -> a"):
        Layout({"c": (2,)}, {"a": "b", "b": "a"})
