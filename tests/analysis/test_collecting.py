"""From the pieces of words to words, against plain loops over what the model says of one text alone."""

import numpy as np
import pytest

from minibert.analysis import collecting
from minibert.api import Bert
from minibert.text import UnknownText
from tests import device, tiny_model

TEXTS = [["the", "abc", "raises"], ["an", "exception", "de", "."], ["x"], ["the", "exception", "raises", "an", "xyzzy", "."],
         ("the exception", "an exception .")]
WORDS = [[None, 0, 1, 2, None], [None, 0, 1, 2, 3, None], [None, 0, None], [None, 0, 1, 2, 3, 4, 5, None],
         [None, 0, 1, None, 0, 1, 2, None]]


@pytest.fixture(params=[{}, {"position_offset": 2, "pad_token_id": 0}, {"word_window": 3, "embedding_size": 8}],
                ids=["BERT", "positions of RoBERTa", "three words at a time"])
def bert(request):
    config, parameters, tokenizer = tiny_model.make(**request.param)
    return Bert(config, parameters.astype(np.float64), tokenizer)


def pieces_of(words):
    """Lists of the tokens of each unit, from words as an encoding has them."""
    groups = []
    for t, word in enumerate(words):
        if word is not None and t and word == words[t - 1]:
            groups[-1].append(t)
        else:
            groups.append([t])
    return groups


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pieces", collecting.PIECES)
@pytest.mark.parametrize("row", collecting.ROWS)
def test_units_are_made_of_what_the_model_says_of_a_text_alone(bert, pieces, row, threads, monkeypatch):
    monkeypatch.setattr(collecting, "micro_batch_tokens", lambda *_: 20)  # several batches, some of several texts
    found = {units.index: units for units in collecting.collect(bert, TEXTS, states=pieces, attentions=row, threads=threads)}
    assert sorted(found) == list(range(len(TEXTS)))
    for i, text in enumerate(TEXTS):
        out = bert([text], hidden_states=True, attentions=True)
        groups = pieces_of(out.words[0])
        assert found[i].words == WORDS[i]
        assert any(len(group) > 1 for group in groups) == (i in (0, 1, 3))
        take = {"first": lambda x, g: x[g[0]], "last": lambda x, g: x[g[-1]], "mean": lambda x, g: sum(x[t] for t in g) / len(g)}
        for layer, x in enumerate(out.hidden_states):
            expected = [take[pieces](x[0], group) for group in groups]
            np.testing.assert_allclose(found[i].states[layer], expected, rtol=0, atol=1e-12)
        for layer, a in enumerate(out.attentions):
            for head, weights in enumerate(a[0]):
                expected = [[sum(take[row](weights, one)[t] for t in other) for other in groups] for one in groups]
                np.testing.assert_allclose(found[i].attentions[layer, head], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[i].attentions.sum(-1), 1, rtol=0, atol=1e-12)


def test_a_map_by_hand():
    a = np.array([[.5, .3, .2], [.1, .6, .3], [.3, .2, .5]])  # the last two tokens are one word
    begins = collecting.starts([None, 0, 0])
    np.testing.assert_allclose(collecting.attention_of_words(a, begins), [[.5, .5], [.2, .8]], rtol=0, atol=1e-15)
    np.testing.assert_allclose(collecting.attention_of_words(a, begins, "first"), [[.5, .5], [.1, .9]], rtol=0, atol=1e-15)


def test_a_word_after_a_word_of_the_same_number_is_another():
    assert collecting.starts([None, 0, None, 0, 0, 1, None]).tolist() == [0, 1, 2, 3, 5, 6]
    assert collecting.starts([None, 0, None, None, 0, None]).tolist() == list(range(6))  # two added tokens, as RoBERTa has them


def test_what_is_not_wanted_is_not_kept(bert):
    assert next(collecting.collect(bert, TEXTS)).attentions is None
    assert next(collecting.collect(bert, TEXTS, states=None, attentions="mean")).states is None


def test_only_what_is_asked_for_is_computed(bert, monkeypatch):
    """One batch of each core is in memory, the longest texts first."""
    asked = []
    answer = collecting.batched.answer
    monkeypatch.setattr(collecting, "micro_batch_tokens", lambda *_: 8)
    monkeypatch.setattr(collecting.batched, "answer", lambda b, e, **more: asked.append(len(e)) or answer(b, e, **more))
    stream = collecting.collect(bert, TEXTS, threads=2)
    assert asked == []
    assert next(stream).index == 3
    assert len(asked) == 2
    assert len(list(stream)) == len(TEXTS) - 1
    assert sum(asked) == len(TEXTS)


def test_a_table_has_the_words_of_a_corpus_in_its_order(bert):
    whole = collecting.table(bert, TEXTS)
    by_index = sorted(collecting.collect(bert, TEXTS), key=lambda units: units.index)
    expected = np.concatenate([units.states[:, [w is not None for w in units.words]] for units in by_index], axis=1)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-12)
    assert whole.shape == (3, 3 + 4 + 1 + 6 + 5, 12)
    for limit in (1, 3, 5, 8, 100):
        np.testing.assert_allclose(collecting.table(bert, TEXTS, limit=limit), whole[:, :limit], rtol=0, atol=1e-12)


def test_a_word_of_which_nothing_is_left_has_no_unit():
    bert = Bert(*tiny_model.make())
    assert next(collecting.collect(bert, [["the", "\u200b", "abc"]])).words == [None, 0, 2, None]


def test_a_device_gives_what_the_host_gives():
    config, parameters, tokenizer = tiny_model.make()
    expected = collecting.table(Bert(config, parameters, tokenizer), TEXTS)
    found = collecting.table(Bert(config, parameters.to(device.xp), tokenizer), TEXTS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("texts", "more", "message"), [
    (TEXTS, {"states": "middle"}, "states must be None or one of first, last, mean, got 'middle'"),
    (TEXTS, {"attentions": "sum"}, "attentions must be None or one of mean, first, got 'sum'"),
    ([["the"], ["the"] * 30], {}, r"texts\[1\]: .*32 tokens.*24"),
    ([], {}, "at least one text"),
])
def test_bad_input_is_named_before_anything_is_computed(texts, more, message):
    with pytest.raises(ValueError, match=message):
        collecting.collect(Bert(*tiny_model.make()), texts, **more)


def test_a_long_text_loses_its_end_where_that_is_allowed():
    units = next(collecting.collect(Bert(*tiny_model.make()), [["the"] * 30], truncate=True))
    assert units.words == [None, *range(22), None]


def test_a_corpus_without_words_is_refused():
    with pytest.raises(ValueError, match="no words to collect"):
        collecting.table(Bert(*tiny_model.make()), ["", " "])


def test_a_corpus_that_the_vocabulary_does_not_know_is_said():
    with pytest.warns(UnknownText):
        collecting.collect(Bert(*tiny_model.make()), [["日本", "語", "the"]])


def test_numbers_that_are_none_are_refused():
    config, parameters, tokenizer = tiny_model.make()
    parameters.flat[:] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        list(collecting.collect(Bert(config, parameters, tokenizer), TEXTS))
