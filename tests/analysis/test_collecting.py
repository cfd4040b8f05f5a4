"""From the pieces of words to words, against plain loops over what the model says of one text alone."""

import numpy as np
import pytest

from minibert.analysis import collecting, masked
from minibert.api import Bert
from minibert.model import bert as body
from minibert.model import embeddings, pretraining
from minibert.parameters import NOTHING
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


def _moved(bert, x, layer, gold):
    """The loss of one text whose state entering a layer is x."""
    return pretraining.forward(gold.inputs, bert.parameters, bert.config, counts=(1, 1), hidden={layer: x})[0].loss


def test_gradients_of_the_loss_are_slopes_for_each_word(bert, monkeypatch):
    """Central differences, all pieces of a word moved alike, in batches as in a text alone."""
    monkeypatch.setattr(collecting, "micro_batch_tokens", lambda *_: 24)
    found = {units.index: units for units in collecting.collect(bert, TEXTS, gradients="loss", attentions="mean", threads=2)}
    encodings = collecting._read(bert, TEXTS, False)
    places, h, rng = masked.hidden(bert, encodings), 1e-4, np.random.default_rng(0)
    for i, units in found.items():
        alone = masked.batch_of(bert, np.array([i]), encodings, places)
        states = masked.forward(bert, alone)[0].bert.hidden_states
        assert units.gradients.shape == units.states.shape
        for layer, x in enumerate(states):
            np.testing.assert_allclose(units.states[layer], collecting.states_of_words(
                x[0], collecting.starts(encodings[i].words), "mean"), rtol=0, atol=1e-12)
            for word, tokens in enumerate(pieces_of(encodings[i].words)):
                way = np.zeros_like(x)
                way[0, tokens] = rng.normal(size=x.shape[-1])
                one, two = (np.subtract(*(_moved(bert, x + s * k * h * way, layer, alone) for s in (1, -1))) / (2 * k * h)
                            for k in (1, 2))
                slope = (4 * one - two) / 3  # of which the error is h⁴
                np.testing.assert_allclose(units.gradients[layer, word] @ way[0, tokens[0]], slope, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_gradients_of_a_number_of_the_caller_are_those_of_one_backward_of_all(bert, dtype, close, monkeypatch):
    bert = Bert(bert.config, bert.parameters.astype(dtype), bert.tokenizer)

    def number(out, encodings):
        """Of a text: the sum of its states, those above weighing more, and of what the first attention gives [CLS]."""
        own = np.array([[[t < len(one)] for t in range(out.hidden_states[0].shape[1])] for one in encodings], dtype)
        maps = np.zeros_like(out.attentions[0])
        maps[:, 0, :, 0] = own[..., 0]
        H = bert.config.hidden_size
        return body.Output(hidden_states=[own * (i + 1) / H + np.zeros_like(h) for i, h in enumerate(out.hidden_states)],
                           attentions=[maps, *[None] * (len(out.attentions) - 1)])

    monkeypatch.setattr(collecting, "micro_batch_tokens", lambda *_: 24)
    some = collecting.collect(bert, TEXTS, gradients=number, threads=2)
    p, config = bert.parameters["bert"], bert.config
    for units in some:
        assert units.gradients.dtype == dtype
        (encoding,) = collecting._read(bert, [TEXTS[units.index]], False)
        ids, types, _ = bert.tokenizer.batch([encoding])
        places = embeddings.position_ids(ids, None, config)
        first = body.forward(ids, types, None, p, config, position_ids=places)[0]
        for layer, x in enumerate(first.hidden_states):
            out, cache = body.forward(ids, types, None, p, config, hidden={layer: x}, position_ids=places)
            slope = body.backward(number(out, [encoding]), cache, p, NOTHING).hidden[layer][0]
            expected = [sum(slope[t] for t in group) for group in pieces_of(encoding.words)]
            np.testing.assert_allclose(units.gradients[layer], expected, rtol=close, atol=close)


def test_a_state_that_nothing_asks_for_has_no_slope(bert):
    """The number is read off the embeddings: its gradient is what was given there, summed over pieces; above there is none."""
    def number(out, encodings):
        return body.Output(hidden_states=[np.ones_like(out.hidden_states[0]), *[None] * bert.config.num_hidden_layers])

    units = next(collecting.collect(bert, TEXTS[:1], gradients=number))
    sizes = [len(group) for group in pieces_of(bert([TEXTS[0]]).words[0])]
    np.testing.assert_array_equal(units.gradients[0], np.array(sizes)[:, None] * np.ones(bert.config.hidden_size))
    assert not units.gradients[1:].any()
    assert next(collecting.collect(bert, TEXTS)).gradients is None


def test_a_text_of_which_nothing_is_hidden_has_gradients_of_zero(bert):
    units = next(collecting.collect(bert, ["", "the"][:1], gradients="loss"))
    assert not units.gradients.any()


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
    (TEXTS, {"gradients": "logits"}, "gradients must be None, 'loss' or a function that returns slopes, got 'logits'"),
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
