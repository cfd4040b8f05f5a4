"""Search by head or embedding: cosines by hand, planted neighbours, and what is looked at."""

import numpy as np
import pytest

from minibert import batched
from minibert.analysis import contexts, subject
from minibert.analysis.contexts import Contexts, Index, best, read, summary
from minibert.api import Bert
from tests import tiny_model, world_model

RNG = np.random.default_rng


def planted(n=40, seed=0):
    """An index of a single layer with two heads: head 0 knows the label, head 1 nothing."""
    rng = RNG(seed)
    names = np.array(["a", "b"] * (n // 2))
    known = np.where((names == "a")[:, None], [1.0, 0.1], [-1.0, 0.1]) * rng.uniform(0.5, 2, (n, 1))
    heads = np.stack([known, rng.normal(size=(n, 2))], 1)[None]
    places = np.stack([np.arange(n), np.zeros(n, int)], 1)
    return Index(rng.normal(size=(2, n, 3)), heads, places, np.ones((1, 2, n, 1))), names


def test_one_head_is_the_cosine_and_several_are_weighted_by_their_length():
    index, _ = planted()
    q, c = index.contexts[0, 5], index.contexts[0]
    cosines = np.einsum("nhd,hd->nh", c, q) / (np.linalg.norm(c, axis=-1) * np.linalg.norm(q, axis=-1))
    for h in range(2):
        np.testing.assert_allclose(index.by_heads(0, q, [h]), np.linalg.norm(q[h]) * cosines[:, h], rtol=0, atol=1e-12)
        np.testing.assert_allclose(index.by_heads(0, q, [h], unit=True), cosines[:, h], rtol=0, atol=1e-12)
    np.testing.assert_allclose(index.by_heads(0, q, [0, 1]), cosines @ np.linalg.norm(q, axis=-1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(index.by_heads(0, q, [0, 1], unit=True), cosines.sum(1), rtol=0, atol=1e-12)
    x = index.states[1]
    np.testing.assert_allclose(index.by_state(1, x[3]), x @ x[3] / np.linalg.norm(x, axis=1), rtol=0, atol=1e-12)
    assert best(index.by_heads(0, q, [0, 1], unit=True))[0] == 5


def test_the_best_are_in_order_and_what_is_barred_is_not_among_them():
    assert best(np.array([1.0, 3, -np.inf, 2]), 2).tolist() == [1, 3]
    assert best(np.array([1.0, -np.inf]), 5).tolist() == [0]


def test_a_planted_head_finds_its_label_and_another_finds_it_by_chance():
    index, names = planted(400)
    asked = np.arange(400)
    barred = np.eye(400, dtype=bool)
    same = (names[:, None] == names) & ~barred
    states, heads = contexts._shares(index, asked, barred, same)
    assert heads[0, 0] == 1
    assert heads[0, 1] == pytest.approx(0.5, abs=0.05)
    assert states == pytest.approx(np.full(2, 0.5), abs=0.05)


def test_a_summary_counts_what_was_found_and_what_that_looks_at():
    places = np.array([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)])
    attended = np.zeros((1, 2, 5, 3))
    attended[0, 0, np.arange(5), [1, 2, 0, 1, 0]] = 1  # head 1 looks nowhere
    index = Index(np.ones((2, 5, 3)), np.ones((1, 5, 2, 2)), places, attended)
    found = summary(index, [0, 2, 4], [["D", "N", "V"], ["P", "N"]], 0, [0, 1])
    assert found.found == {"D": 1, "V": 1, "N": 1}
    assert found.attended == {"N": 1, "D": 1, "P": 1}


def test_what_is_read_is_what_the_heads_give():
    """Of a text of one word: its own values and those of [CLS] and [SEP], as attention mixes them."""
    config, parameters, tokenizer = tiny_model.make()
    bert = Bert(config, parameters, tokenizer)
    index = read(bert, [["the", "exception", "."], ["a"]])
    assert index.places.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0]]
    assert index.attended.shape[-1] == 3
    out = batched.answer(bert, [tokenizer.encode(["a"])], attentions=True)
    np.testing.assert_allclose(index.states[:, 3], [h[0, 1] for h in out.hidden_states], rtol=0, atol=1e-5)
    for layer, (x, a) in enumerate(zip(out.hidden_states, out.attentions)):
        value = parameters["bert"]["encoder"]["layer"][str(layer)]["attention"]["self"]["value"]
        v = (x[0] @ value["weight"].T + value["bias"]).reshape(len(x[0]), config.num_attention_heads, -1)
        np.testing.assert_allclose(index.contexts[layer, 3], np.einsum("hj,jhd->hd", a[0, :, 1], v), rtol=0, atol=1e-5)
        np.testing.assert_allclose(index.attended[layer, :, 3, 0], a[0, :, 1, 1], rtol=0, atol=1e-6)


def test_separators_can_be_hidden_from_attention():
    bert = world_model.make()
    with_them, without = (read(bert, [["the", "man", "sees", "Anna", "."]], separators=kind) for kind in (True, False))
    assert with_them.attended.sum(-1).max() < 1
    np.testing.assert_allclose(without.attended.sum(-1), 1, rtol=0, atol=1e-5)


def test_a_model_of_the_world(monkeypatch):
    looked_at = subject.of(world_model.make(), quick=True)
    monkeypatch.setattr(contexts, "QUERIES", 50)
    found = contexts.of(looked_at)
    assert found.words <= 2000
    assert found.states.shape == (3,)
    assert found.heads.shape == (2, 2)
    assert 0 < found.chance < 0.5
    assert len(contexts.lines(found)) == 7
    assert len(contexts.plot(found).axes) == 2


def test_a_verdict_has_a_criterion():
    found = Contexts(np.array([0.2, 0.8]), np.array([[0.7, 0.1]]), np.array([0.2, 0.3]), np.array([[0.2, 0.3]]), 0.2, 300, 50)
    assert contexts.verdict(found) == "agrees"
    assert contexts.verdict(found._replace(random_states=np.array([0.2, 0.8]))) == "cannot show at this size"
    assert contexts.verdict(found._replace(states=np.array([0.2, 0.2]), heads=np.array([[0.2, 0.1]]))) == "contradicts"


def test_bad_input_is_named():
    bert = world_model.make()
    with pytest.raises(ValueError, match="there are 2 words with 2 labels"):
        contexts.measure(bert, [["the", "man"]], [["D", "N"]])
    with pytest.raises(ValueError, match="no words to search"):
        read(bert, [["the", "man"]], limit=1)
