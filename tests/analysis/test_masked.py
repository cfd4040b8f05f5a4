"""The loss of hidden words, and what changes it."""

import numpy as np
import pytest

from minibert.analysis import inside, masked
from minibert.api import Bert
from minibert.model import pretraining
from minibert.model.pretraining import Inputs
from tests import tiny_model

TEXTS = ["the abc raises.", "an exception", ("a b c", "the x raises an exception."), [["the", "xyz"]][0], "q"]


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_losses_are_those_of_one_text_at_a_time(bert):
    corpus = masked.batches(bert, TEXTS, share=0.3, seed=4)
    assert sorted(np.concatenate([batch.texts for batch in corpus])) == [0, 1, 2, 3, 4]
    expected = []
    for batch in corpus:
        for row in range(len(batch.texts)):
            T = int(batch.real[row].sum())
            width = batch.real.shape[1]
            mine = batch.inputs.positions // width == row
            x = Inputs(batch.inputs.ids[row:row + 1, :T], batch.inputs.token_type_ids[row:row + 1, :T], None,
                       batch.inputs.positions[mine] - row * width, batch.inputs.labels[mine])
            assert (x.ids.reshape(-1)[x.positions] == bert.tokenizer.vocab.mask_id).all()
            out, _ = pretraining.forward(x, bert.parameters, bert.config)
            expected.append(float(out.loss) * mine.sum())
    found = masked.losses(bert, corpus)
    ends = np.cumsum([(b.inputs.positions // b.real.shape[1] == r).sum() for b in corpus for r in range(len(b.texts))])
    np.testing.assert_allclose([part.sum() for part in np.split(found, ends[:-1])], expected, rtol=0, atol=1e-12)


def test_the_hidden_tokens_are_the_texts_own(bert):
    for batch in masked.batches(bert, TEXTS, share=1):
        hidden = (batch.inputs.ids == bert.tokenizer.vocab.mask_id)
        assert (hidden == ~batch.added).all()
        assert (batch.inputs.labels >= 5).all()
    again, other = masked.batches(bert, TEXTS, seed=1), masked.batches(bert, TEXTS, seed=2)
    assert all((a.inputs.ids == b.inputs.ids).all() for a, b in zip(again, masked.batches(bert, TEXTS, seed=1)))
    assert any((a.inputs.ids != b.inputs.ids).any() for a, b in zip(again, other))


def test_attention_that_is_not_changed_changes_nothing(bert):
    corpus = masked.batches(bert, TEXTS)
    same = masked.losses(bert, corpus, change=lambda layer, weights, real: weights)
    np.testing.assert_allclose(same, masked.losses(bert, corpus), rtol=0, atol=1e-12)


def test_a_change_is_told_the_layer_and_what_is_real(bert):
    seen = []

    def change(layer, weights, real):
        seen.append((layer, weights.shape, real.shape))
        assert np.allclose(weights[:, 0, :, :][~real[:, None] & np.ones(weights.shape[2:], bool)], 0)
        return weights

    [batch] = masked.batches(bert, TEXTS)
    masked.forward(bert, batch, change=change)
    B, T = batch.real.shape
    assert seen == [(i, (B, 3, T, T), (B, T)) for i in range(2)]


def test_a_closed_gate_is_attention_of_nothing(bert):
    corpus, gates = masked.batches(bert, TEXTS), inside.open_gates(bert, [(1, 2)])

    def nothing(layer, weights, real):
        weights = weights.copy()
        weights[:, 2] *= layer != 1
        return weights

    expected = masked.losses(bert, corpus, change=nothing)
    np.testing.assert_allclose(masked.losses(bert, corpus, gates), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm_first", [False, True])
def test_gradients_of_attention_are_slopes(norm_first):
    """Each weight of each layer, moved by itself; what is above it sees the change and attends otherwise."""
    config, parameters, tokenizer = tiny_model.make(norm_first=norm_first)
    bert = Bert(config, parameters.astype(np.float64), tokenizer)
    [batch] = masked.batches(bert, ["the abc raises.", "an exception"], share=0.3)
    attentions, gradients = masked.attention_gradients(bert, batch)
    rng, h = np.random.default_rng(0), 1e-5
    for layer in range(2):
        direction = rng.normal(size=attentions[layer].shape)

        def loss(step, layer=layer, direction=direction):
            return masked.losses(bert, [batch], change=lambda i, weights, real: weights + step * direction * (i == layer)).sum()

        assert (loss(h) - loss(-h)) / (2 * h) == pytest.approx((gradients[layer] * direction).sum(), rel=1e-6)


@pytest.mark.parametrize(("texts", "more", "message"), [
    ([""], {}, "no words to hide"), (["a"], {"share": 0}, "share must be above 0"), (["a"], {"share": 1.5}, "got 1.5")])
def test_bad_input_is_named(bert, texts, more, message):
    with pytest.raises(ValueError, match=message):
        masked.batches(bert, texts, **more)
