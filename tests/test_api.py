import subprocess
import sys
import warnings

import numpy as np
import pytest

import minibert
from minibert import batched
from minibert.api import Bert
from minibert.model import pretraining
from minibert.text import UnknownText
from tests import device, tiny_model

TEXTS = ["the exception", ("an", "exception raises the exception."), "x"]


@pytest.fixture
def bert():
    return Bert(*tiny_model.make())


@pytest.fixture
def on_device():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.to(device.xp), tokenizer)


def test_the_package_offers_its_names_and_imports_nothing_before_they_are_used():
    code = ("import sys, minibert; assert 'numpy' not in sys.modules; assert set(minibert.__all__) <= set(dir(minibert)); "
            "from minibert import BertConfig, Tokenizer; "
            "print(BertConfig, Tokenizer, minibert.__version__, minibert.load, minibert.Bert)")
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        getattr(minibert, "lod")  # noqa: B009


def test_everything_has_its_shape(bert):
    out = bert(TEXTS, hidden_states=True, attentions=True)
    B, T, H, A, L = 3, 9, 12, 3, 2
    assert out.last_hidden_state.shape == (B, T, H)
    assert out.pooled.shape == (B, H)
    assert [h.shape for h in out.hidden_states] == [(B, T, H)] * (L + 1)
    assert [w.shape for w in out.attentions] == [(B, A, T, T)] * L
    assert out.attention_mask.sum(1).tolist() == [4, 9, 3]
    assert out.tokens[1] == ["[CLS]", "an", "[SEP]", "exception", "raises", "the", "exception", ".", "[SEP]"]
    np.testing.assert_array_equal(out.last_hidden_state, out.hidden_states[-1])
    short = bert(TEXTS)
    assert short.hidden_states is None
    assert short.attentions is None


def test_the_result_does_not_depend_on_the_company(bert):
    together = bert(TEXTS, hidden_states=True, attentions=True)
    for size in (1, 2, 3):
        other = bert(TEXTS, hidden_states=True, attentions=True, batch_size=size)
        for a, b in zip(arrays(together), arrays(other)):
            np.testing.assert_allclose(a, b, atol=2e-6)
    for i, text in enumerate(TEXTS):
        alone = bert(text)
        n = len(alone.tokens[0])
        np.testing.assert_allclose(alone.last_hidden_state[0], together.last_hidden_state[i, :n], atol=2e-6)
        assert not together.last_hidden_state[i, n:].any()
        for weights in together.attentions:
            np.testing.assert_allclose(weights[i].sum(-1), np.tile(np.arange(9) < n, (3, 1)), atol=1e-6)


def test_it_is_the_model_that_training_runs(bert):
    config, parameters, tokenizer = tiny_model.make()
    ids, types, mask = tokenizer.batch([tokenizer.encode("the [MASK]", "an exception")])
    out, _ = pretraining.forward(pretraining.Inputs(ids, types, mask), parameters.tree, config)
    ours = bert([("the [MASK]", "an exception")], hidden_states=True, attentions=True)
    np.testing.assert_array_equal(ours.last_hidden_state, out.bert.last_hidden_state)
    np.testing.assert_array_equal(ours.pooled, out.bert.pooled)
    for a, b in zip(ours.attentions + ours.hidden_states, [*out.bert.attentions, *out.bert.hidden_states]):
        np.testing.assert_array_equal(a, b)
    guesses = bert.fill_mask("the [MASK]", top=4, pair="an exception")
    scores = out.logits[0, 2].astype(float)
    probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    assert [word for word, _ in guesses] == [tokenizer.vocab.tokens[i] for i in np.argsort(-probabilities)[:4]]
    np.testing.assert_allclose([p for _, p in guesses], np.sort(probabilities)[::-1][:4], rtol=1e-5)


def test_head_mask_for_all_and_for_each(bert):
    gates = np.ones((2, 3))
    np.testing.assert_array_equal(bert(TEXTS, head_mask=gates).pooled, bert(TEXTS).pooled)
    gates[1, 2] = 0
    off = bert(TEXTS, head_mask=gates.tolist(), attentions=True)
    assert not off.attentions[1][:, 2].any()
    each = np.ones((2, 3, 3))
    each[1, 2, 2] = 0  # (L, B, A): only in the last text, which is in the second batch
    mixed = bert(TEXTS, head_mask=each, batch_size=2)
    np.testing.assert_allclose(mixed.pooled[2], off.pooled[2], atol=1e-6)
    np.testing.assert_allclose(mixed.pooled[:2], bert(TEXTS).pooled[:2], atol=1e-6)
    for wrong in (np.ones((3, 2)), np.ones((2, 4, 3))):
        with pytest.raises(ValueError, match=r"head_mask: expected shape \(L, A\) = \(2, 3\) or \(L, B, A\) = \(2, 3, 3\)"):
            bert(TEXTS, head_mask=wrong)


@pytest.mark.parametrize(("texts", "error", "message"), [
    ([], ValueError, "texts is empty"),
    (7, TypeError, "got int"),
    (["a", 7], TypeError, r"texts\[1\] must be a string, a \(string, string\) pair, a list of words or a list of ids, got 7"),
    (["a", ("b",)], TypeError, r"texts\[1\]"),
    (["a", "b " * 30], ValueError, r"texts\[1\]: the text has 32 tokens.*limit of 24.*truncate=True"),
    ("b " * 30, ValueError, r"^the text has 32 tokens.*limit of 24.*truncate=True"),
])
def test_wrong_texts(bert, texts, error, message):
    with pytest.raises(error, match=message):
        bert(texts)


def test_truncation_only_where_asked(bert):
    assert bert("b " * 30, truncate=True).last_hidden_state.shape == (1, 24, 12)
    assert bert("b " * 30, truncate=True, max_length=5).tokens == [["[CLS]", "b", "b", "b", "[SEP]"]]
    with pytest.raises(ValueError, match="limit of 5"):
        bert("b " * 10, max_length=5)
    with pytest.raises(ValueError, match="max_length is 25, but the model has 24 positions"):
        bert("b", max_length=25)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        bert("b", batch_size=0)


def test_fill_mask(bert):
    guesses = bert.fill_mask("the [MASK] raises.", top=3)
    assert len(guesses) == 3
    assert all(isinstance(word, str) and isinstance(p, float) for word, p in guesses)
    assert [p for _, p in guesses] == sorted((p for _, p in guesses), reverse=True)
    assert sum(p for _, p in bert.fill_mask("the [MASK] raises.", top=bert.config.vocab_size)) == pytest.approx(1, abs=1e-5)
    assert len(bert.fill_mask("[MASK]")) == 5


def test_several_masks_are_each_answered(bert):
    answers = bert.fill_mask("[MASK] raises [MASK]", top=2, pair="an [MASK]")
    assert [len(a) for a in answers] == [2, 2, 2]
    assert answers[0] != answers[1]


@pytest.mark.parametrize(("text", "options", "message"), [
    ("no gap here", {}, r"no \[MASK\] in 'no gap here': write \[MASK\]"),
    ("a mask", {}, r"no \[MASK\]"),
    ("[MASK]", {"top": 0}, r"top must be from 1 to 62.*got 0"),
    ("[MASK]", {"top": 63}, r"top must be from 1 to 62.*got 63"),
    ("b " * 30 + "[MASK]", {}, "limit of 24"),
])
def test_wrong_questions(bert, text, options, message):
    with pytest.raises(ValueError, match=message):
        bert.fill_mask(text, **options)


def test_saved_and_loaded(bert, tmp_path):
    bert.save(tmp_path / "model")
    again = minibert.load(tmp_path / "model", device="cpu")
    assert "2 layers, hidden size 12, 3 heads, 62 tokens" in repr(again)
    assert again.notes == []
    assert again.fill_mask("the [MASK]") == bert.fill_mask("the [MASK]")
    assert minibert.load(str(tmp_path / "model"), device="cpu", dtype="float64")("a").pooled.dtype == np.float64


def test_what_cannot_be_loaded(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        minibert.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or 'gpu', got 'tpu'"):
        minibert.load(tmp_path, device="tpu")
    monkeypatch.setattr("minibert.pretrained.folder.files", lambda package: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no model comes with this installation.*python -m minibert train"):
        minibert.load()


def test_the_bundled_model_is_found(tmp_path, monkeypatch, bert):
    bert.save(tmp_path / "bundled")
    monkeypatch.setattr("minibert.pretrained.folder.files", lambda package: tmp_path)
    assert minibert.load(device="cpu").fill_mask("[MASK]") == bert.fill_mask("[MASK]")


def test_a_tokenizer_that_is_too_large_for_the_model():
    config, parameters, tokenizer = tiny_model.make(vocab_size=50)
    with pytest.raises(ValueError, match="tokenizer has 62 tokens, but the model knows 50"):
        Bert(config, parameters, tokenizer)


def arrays(out):
    return [out.last_hidden_state, out.pooled, out.attention_mask, *(out.hidden_states or []), *(out.attentions or [])]


def test_on_a_device(on_device, bert, tmp_path):
    assert on_device.fill_mask("the [MASK] raises [MASK]") == bert.fill_mask("the [MASK] raises [MASK]")
    gates = np.random.default_rng(0).random((2, 3, 3))
    for options in ({}, {"batch_size": 2, "hidden_states": True, "attentions": True, "head_mask": gates}):
        there, here = on_device(TEXTS, **options), bert(TEXTS, **options)
        assert isinstance(there.pooled, device.DeviceArray)
        for a, b in zip(arrays(there), arrays(here)):
            np.testing.assert_array_equal(a.get(), b)
    on_device.save(tmp_path / "there")
    bert.save(tmp_path / "here")
    assert (tmp_path / "there" / "model.safetensors").read_bytes() == (tmp_path / "here" / "model.safetensors").read_bytes()


def test_a_text_that_the_model_cannot_read_is_warned_about(bert):
    for ask in (bert, bert.fill_mask, bert.embed):
        with pytest.warns(UnknownText, match="unknown to the model's vocabulary") as caught:
            ask("\u0930\u093e\u092e \u0918\u0930 [MASK] the")
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ask in (bert, bert.fill_mask, bert.embed):
            ask("\u0930\u093e\u092e [MASK] the")
    assert bert.reading("\u0930\u093e\u092e the [SEP]") == (2, 1, 1, False)
    assert bert.reading(["the", "[SEP]"], literal=True).literal


def test_special_tokens_in_a_text_can_be_words(bert):
    assert bert("the [SEP] x").tokens == [["[CLS]", "the", "[SEP]", "x", "[SEP]"]]
    assert bert("the [SEP] x", literal=True).tokens[0].count("[SEP]") == 1
    a, b = bert.fill_mask("the [SEP] [MASK]", literal=True), bert.fill_mask("the [ SEP ] [MASK]")
    assert a == b
    assert bert.fill_mask("the", pair="[SEP] [MASK]", literal=True) == bert.fill_mask("the", pair="[ SEP ] [MASK]")


def ids_of(bert, *texts):
    return bert.tokenizer.encode(*texts).ids


def test_every_form_of_a_text_is_the_same_text(bert):
    words = ["the", "exception.", "raises"]
    plain = bert(["the exception. raises", ("an exception", "raises.")], attentions=True)
    forms = [words, (["an", "exception"], ["raises."])]
    ids = [ids_of(bert, "the exception. raises"), np.array([*ids_of(bert, "an exception", "raises."), 0, 0])]
    encodings = [bert.tokenizer.encode("the exception. raises"), bert.tokenizer.encode("an exception", "raises.")]
    for texts in (forms, ids, encodings, [words, ids[1]]):
        out = bert(texts, attentions=True)
        assert out.tokens == plain.tokens
        for a, b in zip(arrays(out), arrays(plain)):
            np.testing.assert_array_equal(a, b)
    assert bert([["the", "exception"]]).tokens == bert("the exception").tokens  # a list is words, a tuple is a pair
    assert bert(ids[0]).tokens == bert("the exception. raises").tokens
    assert bert.fill_mask(ids_of(bert, "the [MASK] raises")) == bert.fill_mask("the [MASK] raises")
    assert bert.fill_mask([["the", "[MASK]", "raises"]]) == bert.fill_mask("the [MASK] raises")
    np.testing.assert_array_equal(bert.embed([words, ids[0]]), bert.embed(["the exception. raises"] * 2))
    np.testing.assert_array_equal(bert.embed(ids[0]), bert.embed("the exception. raises"))
    assert bert.embed(("the", "an")).shape == (2, 12)  # no vector has a pair: a tuple of texts is several


def test_which_word_and_which_characters_each_token_is(bert):
    out = bert(["an exception's", (["ab", "", "the"], "x [MASK]"), ids_of(bert, "ab", "the")])
    assert out.tokens[0] == ["[CLS]", "an", "exception", "[UNK]", "s", "[SEP]"]
    assert out.words == [[None, 0, 1, 2, 3, None], [None, 0, 0, 2, None, 0, 1, None], [None, 0, 0, None, 0, None]]
    assert out.offsets[0] == [(0, 0), (0, 2), (3, 12), (12, 13), (13, 14), (0, 0)]
    assert out.offsets[1] == [(0, 0), (0, 1), (1, 2), (0, 3), (0, 0), (0, 1), (2, 8), (0, 0)]  # in their words
    assert out.offsets[2] == [(0, 0)] * 6  # ids do not say


def test_ids_are_read_as_they_stand(bert):
    bare = bert.tokenizer.encode_ids([58, 5, 32])
    assert (bare.tokens, bare.token_type_ids, bare.words) == (["raises", "a", "##b"], [0, 0, 0], [0, 1, 1])
    three = bert.tokenizer.encode_ids([2, 5, 3, 6, 3, 7, 3])
    assert three.token_type_ids == [0] * 7
    assert bert.tokenizer.encode_ids([2, *[5] * 10, 3, *[6] * 4, 3], max_length=9, truncate=True).tokens == [
        "[CLS]", "a", "a", "a", "[SEP]", "b", "b", "b", "[SEP]"]
    for texts, message in (([[2, 62, 3]], r"^texts\[0\]: id 62 is out of range"), ([[2, -1, 3]], "id -1 is out of range"),
                           ([[2, *[5] * 30, 3]], r"texts\[0\]: the text has 32 tokens.*limit of 24"),
                           ([bert.tokenizer.encode("a " * 30, max_length=32)], "the encoding has 32 tokens.*limit of 24")):
        with pytest.raises(ValueError, match=message):
            bert(texts)
    for texts in ([["a", 2]], [[True, False]], [[2.0, 3.0]], [("a", 2)], [("a", "b", "c")], np.ones(3)):
        with pytest.raises(TypeError, match=r"texts.* must be a string, a"):
            bert(texts)
    with pytest.raises(TypeError, match="fill_mask takes one text, got 2"):
        bert.fill_mask(["the [MASK]", "an [MASK]"])
    with pytest.raises(TypeError, match=r"texts\[0\]: a vector is that of one text, got the pair"):
        bert.embed([("a", "b")])


def test_a_list_a_text_is_the_array_without_its_padding(bert):
    whole = bert(TEXTS, hidden_states=True, attentions=True)
    for size in (None, 1):
        apart = bert(TEXTS, hidden_states=True, attentions=True, padded=False, batch_size=size)
        assert [len(h) for h in apart.last_hidden_state] == [4, 9, 3]
        for i, n in enumerate([4, 9, 3]):
            assert apart.attention_mask[i].tolist() == [1] * n
            for a, b in zip([apart.last_hidden_state, *apart.hidden_states], [whole.last_hidden_state, *whole.hidden_states]):
                np.testing.assert_allclose(a[i], b[i, :n], atol=2e-6)
            for a, b in zip(apart.attentions, whole.attentions):
                np.testing.assert_allclose(a[i], b[i, :, :n, :n], atol=2e-6)
    np.testing.assert_allclose(apart.pooled, whole.pooled, atol=2e-6)


def test_texts_of_one_length_are_computed_together(bert, monkeypatch):
    monkeypatch.setattr(batched, "micro_batch_tokens", lambda *_: 30)
    seen, forward = [], bert._forward
    monkeypatch.setattr(bert, "_forward", lambda batch, *rest: seen.append([*map(len, batch)]) or forward(batch, *rest))
    texts = ["a " * n for n in (1, 20, 2, 1, 8, 7)]
    out = bert(texts, batch_size=None)
    assert sorted(seen, reverse=True) == [[22], [10, 9, 4], [3, 3]]
    assert out.attention_mask.sum(1).tolist() == [3, 22, 4, 3, 10, 9]
    for i, text in enumerate(texts):
        np.testing.assert_allclose(out.pooled[i], bert(text).pooled[0], atol=2e-6)


def test_a_damaged_model_guesses_nothing(bert):
    bert.parameters["bert"]["embeddings"]["word_embeddings"]["weight"][:] = np.nan
    with pytest.raises(ValueError, match=r"no number \(NaN\), so it has no answer"):
        bert.fill_mask("the [MASK]")
    with pytest.raises(ValueError, match=r"no number \(NaN\), so it has no answer"):
        bert.embed(["the exception", "x"])
