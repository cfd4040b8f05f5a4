"""What sentences are labelled with, and probes of vectors that hold the labels in one layer only."""

import numpy as np
import pytest

from minibert.analysis import probing, probing_tasks
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.probing_tasks import TASKS, Tasks, examples, measure, vectors
from minibert.analysis.subject import Sentence
from minibert.api import Bert
from tests import tiny_model


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def sentences(n=300):
    """the a b c .: det nsubj root obj punct, in two lengths."""
    rng, found = np.random.default_rng(0), []
    for i in range(n):
        a, c = ("".join(rng.choice(list("abcdefgh"), 2)) for _ in range(2))
        number = ["Sing", "Plur"][i % 2]
        words, heads, relations = ["the", a, "raises", c, "."], [1, 2, -1, 2, 2], ["det", "nsubj", "root", "obj", "punct"]
        upos, numbers = ["DET", "NOUN", "VERB", "NOUN", "PUNCT"], ["", number, "Sing", "Sing", ""]
        if i % 3 == 0:
            words, heads = [*words[:3], "an", *words[3:]], [1, 2, -1, 4, 2, 2]
            relations, upos = [*relations[:3], "det", *relations[3:]], [*upos[:3], "DET", *upos[3:]]
            numbers = [*numbers[:3], "", *numbers[3:]]
        found.append(Sentence(words, upos=upos, heads=heads, relations=relations, numbers=numbers))
    return found


def test_labels():
    some = sentences()
    labels = {task: [label for _, label in examples(task, some)] for task in TASKS}
    assert labels["length"] == ["bin 1" if i % 3 == 0 else "bin 0" for i in range(300)]
    assert labels["depth"] == ["02"] * 300
    assert labels["top"] == ["nsubj root obj punct"] * 300
    assert labels["subject number"] == ["Sing", "Plur"] * 150
    assert labels["object number"] == ["Sing"] * 300
    assert labels["shift"] == ["as it was", "exchanged"] * 150
    assert labels["odd word"] == ["as it was", "replaced"] * 150
    assert labels["content"] == []  # none of the words is there 20 times and in no more than a tenth


def test_of_words_that_are_often_there_one_must_be():
    some = [Sentence([word, "the"]) for word in ["a", "b", "c"] * 25] + [Sentence(["a", "b"])] * 25 + [Sentence(["the"])] * 400
    assert [label for _, label in examples("content", some)] == ["a", "b", "c"] * 25


def test_what_is_changed():
    some = sentences()
    for before, (after, label) in zip(some, examples("shift", some)):
        places = [i for i, (a, b) in enumerate(zip(before.words, after)) if a != b]
        assert (len(places), sorted(after)) == (2 * (label == "exchanged"), sorted(before.words))
        assert not places or places[1] == places[0] + 1
    for before, (after, label) in zip(some, examples("odd word", some)):
        places = [i for i, (a, b) in enumerate(zip(before.words, after)) if a != b]
        assert len(places) == (label == "replaced")
        assert all(before.upos[i] == "NOUN" for i in places)  # there is but one verb
    assert examples("odd word", some) == examples("odd word", some)


def test_vectors_of_sentences(bert):
    texts = [["the", "abc"], ["an"]]
    states = np.stack(bert(texts, hidden_states=True).hidden_states)  # [CLS] the a ##b ##c [SEP]
    np.testing.assert_allclose(vectors(bert, texts), states[:, :, 0], atol=1e-12)
    mean = (states[:, 0, 1] + states[:, 0, 2:5].mean(1)) / 2
    np.testing.assert_allclose(vectors(bert, texts, "mean")[:, 0], mean, atol=1e-12)
    with pytest.raises(ValueError, match="vector must be one of cls, mean, got 'max'"):
        vectors(bert, texts, "max")


def test_probes_find_what_one_layer_knows(bert, monkeypatch):
    some = sentences()

    def known(bert, texts, vector):
        x = np.zeros((2, len(texts), 3))
        x[1, :, 0] = [len(words) for words in texts]
        return x

    monkeypatch.setattr(probing_tasks, "vectors", known)
    result = measure(bert, some, seeds=(0, 1), settings=probing.DEFAULT._replace(learning_rate=0.05))
    assert result.tasks == ["length", "shift", "subject number", "odd word"]
    assert (result.sentences, result.labels) == ([300] * 4, [2] * 4)
    assert (result.accuracy[:, 0, 1] == 1).all()
    assert (result.accuracy[:, 0, 0] < 0.8).all()
    assert result.words[0] > 0.9  # an is there in the long ones
    assert (result.words[1], result.majority[1]) == (pytest.approx(0.5, abs=0.15), pytest.approx(0.5, abs=0.15))


def test_a_model_is_measured_and_drawn(bert):
    result = measure(bert, sentences(), hidden=3)
    result = result._replace(random=result.accuracy)
    assert len(probing_tasks.lines(result)) == 8
    assert len(probing_tasks.plot(result).axes) == 4
    with pytest.raises(ValueError, match="30 sentences are too few: a task needs 200"):
        measure(bert, sentences(30))


def test_verdicts():
    def found(*best):
        rows = np.full((1, 3, 5), 0.6)
        for t, layer in enumerate(best):
            rows[0, t, layer] = 0.9
        tasks = ["length", "shift", "odd word"]
        return probing_tasks.verdict(Tasks(tasks, rows, np.full(3, 0.5), np.full(3, 0.5), [300] * 3, [2] * 3))

    assert [found(1, 2, 3), found(4, 2, 1), found(2, 2, 2)] == [AGREES, CONTRADICTS, CANNOT]
