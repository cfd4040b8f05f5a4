"""What ``minibert.analysis.inside`` says, against the library's own answers and against plain arithmetic."""

import numpy as np
import pytest

import minibert
from minibert.analysis import inside
from minibert.api import Bert
from minibert.model import pretraining
from minibert.model.pretraining import Inputs
from tests import device, tiny_model

TEXT = "they are not supported."


@pytest.fixture(scope="module")
def bert():
    return minibert.load(dtype=np.float64)


@pytest.fixture(scope="module")
def question(bert):
    return inside.ask(bert, TEXT, hide=[2])


@pytest.fixture
def small():
    return Bert(*tiny_model.make())


@pytest.fixture(params=["post-LN", "pre-LN"])
def toy(request):
    config, parameters, tokenizer = tiny_model.make(norm_first=request.param == "pre-LN")
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_a_question_hides_tokens_and_remembers_them(bert):
    question = inside.ask(bert, TEXT, hide=[2, 4])
    assert question.tokens == ["[CLS]", "they", "are", "not", "supported", ".", "[SEP]"]
    assert question.masked == [2, 4]
    assert [bert.tokenizer.vocab.tokens[i] for i in question.truth] == ["are", "supported"]
    assert [bert.tokenizer.vocab.tokens[i] for i in question.ids] == [
        "[CLS]", "they", "[MASK]", "not", "[MASK]", ".", "[SEP]"]
    assert [TEXT[start:end] for start, end in question.offsets][1:-1] == question.tokens[1:-1]
    written = inside.ask(bert, "they [MASK] not supported.")
    assert (written.masked, written.truth) == ([2], [None])


def test_hidden_tokens_and_written_masks_are_the_same_to_the_model(bert, question):
    words = inside.guesses(bert, question, top=5)[0].words
    assert dict(words) == pytest.approx(dict(bert.fill_mask("they [MASK] not supported.", top=5)))
    pair = inside.ask(bert, "this is a list.", "it is empty.", hide=[1])
    there = bert.fill_mask("[MASK] is a list.", pair="it is empty.")
    assert dict(inside.guesses(bert, pair, 5)[0].words) == pytest.approx(dict(there))


def test_entropy_rank_and_loss_are_those_of_the_whole_distribution(bert, question):
    everything = inside.guesses(bert, question, top=len(bert.tokenizer.vocab))[0]
    p = np.array([share for _, share in everything.words])
    assert p.sum() == pytest.approx(1)
    assert everything.entropy == pytest.approx(-(p * np.log(p)).sum())
    assert everything.words[everything.rank - 1] == (everything.truth, pytest.approx(everything.probability))
    assert inside.loss(bert, question) == pytest.approx(-np.log(everything.probability))
    assert inside.loss(bert, inside.ask(bert, "they [MASK] not supported.")) is None


def test_the_last_layer_says_what_the_model_says(toy):
    question = inside.ask(toy, "the exception raises an exception.", hide=[2, 3])
    answers = inside.layers(toy, question, top=4)
    assert len(answers) == toy.config.num_hidden_layers + 1
    for last, guess in zip(answers[-1], inside.guesses(toy, question, top=4), strict=True):
        assert dict(last.words) == pytest.approx(dict(guess.words))
    assert dict(answers[0][0].words) != pytest.approx(dict(answers[-1][0].words))
    for (one,), (_, second) in zip(inside.layers(toy, question, top=4, position=3), answers, strict=True):
        assert (one.position, dict(one.words)) == (3, pytest.approx(dict(second.words)))
    with pytest.raises(IndexError, match="token 4 is not hidden; hidden are 2, 3"):
        inside.layers(toy, question, position=4)


def test_guesses_do_not_depend_on_how_many_are_counted_at_a_time(toy, monkeypatch):
    question = inside.ask(toy, "the exception raises an exception.", hide=[1, 2, 3, 4, 5])
    whole = inside.guesses(toy, question, top=4)
    monkeypatch.setattr(inside, "BATCH_MASKS", 2)
    for one, other in zip(inside.guesses(toy, question, top=4), whole, strict=True):
        assert (one.position, one.truth, one.rank) == (other.position, other.truth, other.rank)
        assert dict(one.words) == pytest.approx(dict(other.words))


def test_attention_is_the_models_own(bert):
    question = inside.ask(bert, TEXT)
    ours, theirs = inside.attention(bert, question), bert(TEXT, attentions=True).attentions
    np.testing.assert_allclose(ours, np.stack(theirs)[:, 0], atol=1e-12)
    np.testing.assert_allclose(ours.sum(-1), 1)


def test_products_per_dimension_add_up_to_scores_whose_softmax_is_the_attention(toy):
    question = inside.ask(toy, "the exception raises an exception.", hide=[2])
    weights = inside.attention(toy, question)
    for layer in range(2):
        for head in range(3):
            found = inside.scores(toy, question, layer, head)
            products = found.query[:, None] * found.key[None]  # (T, T, D)
            np.testing.assert_allclose(products.sum(-1), found.score, atol=1e-12)
            e = np.exp(found.score)
            np.testing.assert_allclose(e / e.sum(-1, keepdims=True), weights[layer, head], atol=1e-12)
            np.testing.assert_array_equal(found.weights, weights[layer, head])
    with pytest.raises(IndexError, match=r"no head 2\.0: the model has layers 0 to 1 with heads 0 to 2"):
        inside.scores(toy, question, 2, 0)


def test_importance_is_the_slope_of_the_loss_along_each_gate(toy):
    question = inside.ask(toy, "the exception raises an exception.", hide=[2, 4])
    found = inside.importance(toy, question)
    assert found.loss == pytest.approx(inside.loss(toy, question))
    for head in np.ndindex(2, 3):
        gates = np.ones((2, 3))
        ends = []
        for step in (1e-4, -1e-4):
            gates[head] = 1 + step
            ends.append(inside.loss(toy, question, gates))
        assert found.gradient[head] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5, abs=1e-8)


def test_without_a_truth_importance_is_about_the_best_guess(bert):
    found = inside.importance(bert, inside.ask(bert, "they [MASK] not supported."))
    assert found.targets == ["are"]
    assert found.loss == pytest.approx(inside.importance(bert, inside.ask(bert, TEXT, hide=[2])).loss)


def test_a_closed_gate_closes_a_head(bert, question):
    gates = inside.open_gates(bert, off=[(1, 1)])
    weights = inside.attention(bert, question, gates)
    assert not weights[1, 1].any()
    np.testing.assert_allclose(weights[1, 0].sum(-1), 1)
    assert inside.loss(bert, question, gates) > inside.loss(bert, question) + 0.5, "the head that reads the token before"
    expected = pretraining.forward(Inputs(question.ids[None], question.token_type_ids[None]), bert.parameters, bert.config,
                                   head_mask=np.array([[1.0, 1.0], [1.0, 0.0]]))[0].logits[0, 2]
    p = np.exp(expected - expected.max())
    guess = inside.guesses(bert, question, 3, gates)[0]
    np.testing.assert_allclose([share for _, share in guess.words], np.sort(p / p.sum())[::-1][:3])
    with pytest.raises(IndexError, match=r"no head 0\.2"):
        inside.open_gates(bert, [(0, 2)])


def test_integrated_gradients_are_complete_and_ever_more_so(toy):
    question = inside.ask(toy, "the exception raises an exception.", hide=[2])
    errors = [abs(inside.attribution(toy, question, steps=steps).error) for steps in (4, 16, 64, 256)]
    assert errors[-1] < 1e-3
    assert errors == sorted(errors, reverse=True), "more steps, less error"
    found = inside.attribution(toy, question, steps=64)
    assert found.value == pytest.approx(np.log(inside.guesses(toy, question, 1)[0].words[0][1]))
    hidden = inside.ask(toy, "[MASK] [MASK] [MASK] [MASK] [MASK] [MASK]")
    place = hidden.masked.index(found.position)
    everything = dict(inside.guesses(toy, hidden, len(toy.tokenizer.vocab))[place].words)
    assert found.baseline == pytest.approx(np.log(everything[found.word])), "the baseline hides every word"
    assert found.integrated.sum() == pytest.approx(found.value - found.baseline + found.error)
    assert found.integrated[[0, 2, -1]] == pytest.approx(0), "what the baseline does not change speaks for nothing"


def test_gradient_times_input_is_the_slope_along_each_word_vector(toy):
    question = inside.ask(toy, "the exception raises", hide=[3])
    found = inside.attribution(toy, question, word="the")
    table = toy.parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
    for t in range(len(question.ids)):
        ends = []
        for step in (1e-5, -1e-5):
            x = table[question.ids][None].copy()
            x[0, t] *= 1 + step
            out, _ = pretraining.forward(Inputs(x, question.token_type_ids[None]), toy.parameters, toy.config)
            row = out.logits[0, 3]
            ends.append(row[toy.tokenizer.vocab.index["the"]] - np.log(np.exp(row).sum()))
        assert found.gradient_input[t] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-7)


def test_passes_of_the_integral_do_not_change_it(toy, monkeypatch):
    question = inside.ask(toy, "the exception raises", hide=[3])
    whole = inside.attribution(toy, question)
    monkeypatch.setattr(inside, "BATCH_TOKENS", 12)
    told = []
    found = inside.attribution(toy, question, progress=lambda *how_far: told.append(how_far))
    np.testing.assert_allclose(found.integrated, whole.integrated, atol=1e-12)
    assert told == [(min(n, 34), 34) for n in range(told[0][0], 35 + told[0][0] - 1, told[0][0])]


def test_whoever_follows_the_integral_can_end_it(toy):
    def enough(done, passes):
        raise KeyError(done)

    with pytest.raises(KeyError):
        inside.attribution(toy, inside.ask(toy, "the exception raises", hide=[3]), progress=enough)


def test_neighbours_are_the_nearest_and_say_where_they_stand(bert):
    sentences = ["these are not supported.", "return the list of names.", "they were not supported.", "",
                 "return the list of names."]
    near = inside.Neighbours.of(bert, sentences)
    assert len(near) == sum(len(bert.tokenizer.ids(s)) for s in sentences[:3]), "blank lines and repetitions are left out"
    question = inside.ask(bert, sentences[0])
    for layer in near.nearest(question, 2, top=3):
        first, *others = layer
        assert (first.text, first.token, first.text[first.start:first.end]) == (sentences[0], "are", "are")
        assert first.score == pytest.approx(1, abs=1e-5), "the token itself"
        assert all(n.text[n.start:n.end] == n.token for n in others)
        assert [n.score for n in layer] == sorted((n.score for n in layer), reverse=True)
    states = bert(sentences[:3], hidden_states=True).hidden_states[2]
    x, y = states[0, 2], states[2, 2]
    best = near.nearest(question, 2, top=len(near))[2]
    assert [n.score for n in best if n.token == "were"] == pytest.approx([x @ y / np.sqrt((x @ x) * (y @ y))], abs=1e-5)
    assert len(inside.Neighbours.of(bert, sentences, limit=4)) == 4


def test_neighbours_of_a_wide_model_take_a_quarter_of_the_memory_and_are_nearly_the_same(bert, monkeypatch):
    sentences = ["these are not supported.", "return the list of names.", "they were not supported."]
    question = inside.ask(bert, "they are not supported.")
    exact = inside.Neighbours.of(bert, sentences)
    monkeypatch.setattr(inside, "MEMORY", exact.vectors.nbytes - 1)
    coarse = inside.Neighbours.of(bert, sentences, limit=len(exact))
    assert coarse.vectors.nbytes * 4 == exact.vectors.nbytes
    for wanted, got in zip(exact.nearest(question, 2, top=len(exact)), coarse.nearest(question, 2, top=len(exact))):
        scores = {(n.text, n.start): n.score for n in got}
        assert [scores[n.text, n.start] for n in wanted] == pytest.approx([n.score for n in wanted], abs=0.01)
    monkeypatch.setattr(inside, "MEMORY", exact.vectors.nbytes // 4 - 1)
    assert len(inside.Neighbours.of(bert, sentences)) == len(exact) - 1


def test_bad_questions_say_what_is_wrong(bert, question, small):
    with pytest.raises(IndexError, match="there is no token 9; the text has 7 tokens, from 0 to 6"):
        inside.ask(bert, TEXT, hide=[9])
    with pytest.raises(IndexError, match=r"token 0 is \[CLS\], which frames the text"):
        inside.ask(bert, TEXT, hide=[0])
    with pytest.raises(ValueError, match="nothing is hidden"):
        inside.importance(bert, inside.ask(bert, TEXT))
    with pytest.raises(ValueError, match="nothing is hidden"):
        inside.attribution(bert, inside.ask(bert, TEXT))
    with pytest.raises(IndexError, match="token 3 is not hidden; hidden are 2"):
        inside.attribution(bert, question, 3)
    with pytest.raises(ValueError, match="the vocabulary has no token 'zebra'"):
        inside.attribution(bert, question, 2, "zebra")
    with pytest.raises(ValueError, match="no sentences"):
        inside.Neighbours.of(bert, [" "])
    small.initialised = frozenset({"cls.predictions.bias"})
    with pytest.raises(ValueError, match="no masked-word head"):
        inside.guesses(small, inside.ask(small, "the [MASK]"))
    assert inside.attention(small, inside.ask(small, "the [MASK]")).shape == (2, 3, 4, 4)


def test_empty_long_and_strange_texts_are_answered(bert):
    assert inside.guesses(bert, inside.ask(bert, "")) == []
    assert inside.layers(bert, inside.ask(bert, "")) == [[], [], []]
    only = inside.ask(bert, "[MASK] [MASK]")
    assert [g.position for g in inside.guesses(bert, only)] == [1, 2]
    long = inside.ask(bert, "the list " * 500)
    assert (len(long.ids), long.cut) == (bert.max_length, 1000 - (bert.max_length - 2))
    for text in ("<b>&\x00\ud800🐍", "列表 ліст قائمة", "\n\t"):
        assert inside.attention(bert, inside.ask(bert, text)).shape[0] == 2


def test_a_model_on_a_device_answers_on_the_host():
    config, parameters, tokenizer = tiny_model.make()
    here, there = Bert(config, parameters, tokenizer), Bert(config, parameters.to(device.xp), tokenizer)
    question = inside.ask(here, "the exception", hide=[1])
    np.testing.assert_allclose(inside.attention(there, question), inside.attention(here, question), atol=1e-6)
    np.testing.assert_allclose(inside.importance(there, question).gradient, inside.importance(here, question).gradient, atol=1e-5)
    np.testing.assert_allclose(inside.attribution(there, question, steps=4).integrated,
                               inside.attribution(here, question, steps=4).integrated, atol=1e-5)
    assert inside.guesses(there, question)[0].words[0][0] == inside.guesses(here, question)[0].words[0][0]


@pytest.mark.parametrize("changes", [{}, {"word_window": 3, "embedding_size": 8}])
def test_the_vectors_of_neighbours_are_those_that_a_text_has_alone(changes):
    config, parameters, tokenizer = tiny_model.make(**changes)
    bert, text = Bert(config, parameters.astype(np.float64), tokenizer), "the abc"
    among = inside.Neighbours.of(bert, [text, "an exception raises the xyz ."])
    alone = inside.Neighbours.of(bert, [text])
    mine = [i for i, (sentence, *_) in enumerate(among.places) if sentence == 0]
    np.testing.assert_allclose(among.vectors[:, mine], alone.vectors, rtol=0, atol=1e-6)
