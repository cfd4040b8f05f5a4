"""Texts that leave early: the answer of the layer they leave by, whoever else is in the batch; and how sure that is."""

import numpy as np
import pytest

from minibert.finetuning import models
from minibert.model import exits
from minibert.model.heads import branch
from minibert.model.model import Inputs
from minibert.parameters import Parameters
from tests.model.examples import small_config

LAYERS, LENGTHS = 4, (9, 3, 7, 5, 9, 4, 6, 8)
BODIES = ({}, {"norm_first": True}, {"pooler": None, "text_head": "tanh"}, {"layer_map": (0, 1, 0, 1)},
          {"heads_of_layers": ((0,), (0, 1), (1,), (0, 1)), "model_type": "minibert"})
each_body = pytest.mark.parametrize("changes", BODIES, ids=str)


def model(classes=3, seed=0, **changes):
    """A classifier with branches, all of it random, and 8 texts of several lengths."""
    alone = models.of(small_config(num_hidden_layers=LAYERS, **changes), "sequence", classes)
    whole, rng = exits.branched(alone), np.random.default_rng(seed)
    layout = whole.layout()
    p = Parameters(layout, rng.normal(0, 0.4, layout.size))
    real = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    ids = rng.integers(1, alone.config.vocab_size, real.shape) * real
    return alone, whole, p.tree, Inputs(ids, (np.arange(real.shape[1]) > 3) * real, real)


def read(alone, speed, x, p):
    out, _ = exits.leaving(alone, speed).forward(x, p)
    return out.logits[models.HEAD], out.logits[exits.LAYER]


def test_equal_shares_are_1_exactly_and_certainty_is_0():
    for n in range(2, 50):
        for dtype in (np.float32, np.float64):
            assert exits.uncertainty(np.full((2, n), 1.7, dtype)).tolist() == [1, 1], n
            assert exits.uncertainty(np.eye(n, dtype=dtype)[:1] * 1000)[0] == pytest.approx(0, abs=1e-6)
    u = exits.uncertainty(np.log([[0.5, 0.25, 0.25]]))
    assert u[0] == pytest.approx(1.5 * np.log(2) / np.log(3))  # 1.5 bits of at most log2(3)
    found = exits.uncertainty(np.random.default_rng(0).normal(0, 30, (1000, 4)).astype(np.float32))
    assert found.min() >= 0
    assert found.max() <= 1


@each_body
def test_at_speed_0_every_row_is_that_of_the_full_model(changes):
    alone, _, p, x = model(**changes)
    logits, layers = read(alone, 0.0, x, p)
    np.testing.assert_array_equal(logits, alone.forward(x, p)[0].logits[models.HEAD])
    assert layers.tolist() == [LAYERS] * 8


@each_body
def test_each_row_is_the_answer_of_the_first_layer_that_is_sure_enough(changes):
    alone, whole, p, x = model(**changes)
    all_logits = whole.forward(x, p)[0].logits
    ways = [all_logits[f"branch_{i}"] for i in range(1, LAYERS)] + [all_logits[models.HEAD]]
    sure = np.stack([exits.uncertainty(way) for way in ways])  # (L, B)
    seen, found = set(), np.sort(sure[:-1], axis=None)
    for speed in (*(found[1:] + found[:-1]) / 2, 1.0):
        logits, layers = read(alone, speed, x, p)
        for row, (answer, layer) in enumerate(zip(logits, layers)):
            expected = next((i for i in range(LAYERS - 1) if sure[i, row] <= speed), LAYERS - 1)
            assert layer == expected + 1
            np.testing.assert_allclose(answer, ways[expected][row], rtol=1e-10, atol=1e-12)
        seen.update(layers.tolist())
    assert {1, LAYERS} <= seen
    assert set(layers.tolist()) == {1}


def test_a_batch_of_8_is_8_single_texts():
    """Rows that leave, rows that stay and the padding that goes with them touch nobody else's numbers."""
    alone, whole, p, x = model()
    speed = float(np.median(exits.uncertainty(whole.forward(x, p)[0].logits["branch_2"])))
    logits, layers = read(alone, speed, x, p)
    assert len(set(layers.tolist())) > 1
    for row, length in enumerate(LENGTHS):
        single = x._replace(ids=x.ids[row:row + 1, :length], token_type_ids=x.token_type_ids[row:row + 1, :length],
                            attention_mask=None)
        found, layer = read(alone, speed, single, p)
        assert layer[0] == layers[row]
        np.testing.assert_allclose(found[0], logits[row], rtol=1e-10, atol=1e-12)


def test_a_mask_of_pairs_of_tokens():
    alone, _, p, x = model()
    pairs = np.broadcast_to(x.attention_mask[:, None], (8, 9, 9))
    for speed in (0.7, 1.0):
        for ours, theirs in zip(read(alone, speed, x, p), read(alone, speed, x._replace(attention_mask=pairs), p)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_branch_is_as_wide_as_128_or_its_body():
    assert branch.shapes(small_config(), 3)["weight"] == (3, 12)
    assert branch.shapes(small_config(hidden_size=256, num_attention_heads=4), 2)["narrow.weight"] == (128, 256)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: exits.leaving(model()[0], 1.5), "--speed must be from 0, .* to 1, got 1.5"),
    (lambda: exits.leaving(model()[0], float("nan")), "got nan"),
    (lambda: exits.branches(models.of(small_config(), "number", 1)), "this model has one output: take a model that classifies"),
    (lambda: exits.branches(models.of(small_config(num_hidden_layers=1), "sequence", 2)), "at least two, .* this model has one")])
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
