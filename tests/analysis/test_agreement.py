"""Which verbs must agree with what, and probes of vectors that know it in one layer, or nowhere."""

import numpy as np
import pytest

from minibert.analysis import agreement, probing
from minibert.analysis.agreement import Agreement, measure, states, verbs_of
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.subject import Sentence
from minibert.api import Bert
from tests import tiny_model


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def sentence(text):
    """Words as form/upos/head/relation/number, heads from 0."""
    form, upos, head, relation, number = zip(*(word.split("/") for word in text.split()))
    return Sentence(list(form), upos=list(upos), heads=list(map(int, head)), relations=list(relation), numbers=list(number))


KEYS = sentence("the/DET/1/det/ k/NOUN/5/nsubj/Plur of/ADP/4/case/ the/DET/4/det/ {c}/NOUN/1/nmod/{n} {v}/VERB/-1/root/Plur"
                .format(c="c", n="Sing", v="r"))


def test_verbs_with_their_attractors():
    assert verbs_of(7, KEYS) == [(7, 5, 1, 1, 0)]
    assert verbs_of(7, KEYS._replace(numbers=["", "Plur", "", "", "Plur", "Plur"])) == []  # a noun of the verb's own number
    assert verbs_of(7, KEYS._replace(numbers=["", "Sing", "", "", "Sing", "Plur"])) == []  # does not agree: joined by and
    helped = sentence("he/PRON/3/nsubj/Sing is/AUX/3/aux/Sing not/PART/3/advmod/ seen/VERB/-1/root/")
    assert verbs_of(0, helped) == [(0, 1, 0, 0, 0)]
    asked = sentence("does/AUX/2/aux/Sing he/PRON/2/nsubj/Sing see/VERB/-1/root/")
    assert verbs_of(0, asked) == []


@pytest.mark.parametrize("place", agreement.PLACES)
def test_the_vector_at_the_mask_or_left_of_it(bert, place):
    words = ["the", "abc", "a", "raises"]
    verb = agreement.Verb(0, 2, 0, 0, 0)
    x = states(bert, [Sentence(words)], [verb], place)
    token = 5 if place == "mask" else 4  # [CLS] the a ##b ##c [MASK] raises [SEP]: ##c, the last piece
    expected = bert(["the abc [MASK] raises"], hidden_states=True).hidden_states
    np.testing.assert_allclose(x[:, 0], np.stack(expected)[:, 0, token], atol=1e-12)
    with pytest.raises(ValueError, match="place must be one of mask, left, got 'right'"):
        states(bert, [], [], "right")


def many(n=240):
    """Half with one attractor; the verb's number is that of its subject."""
    rng, found = np.random.default_rng(0), []
    for i in range(n):
        own, other = rng.permutation(["Sing", "Plur"])
        word = "".join(rng.choice(list("abcdefgh"), 3))
        between = f"{word}/NOUN/0/nmod/{other} " if i % 2 else ""
        found.append(sentence(f"{word}/NOUN/{1 + i % 2}/nsubj/{own} {between}s/VERB/-1/root/{own}"))
    return found


def test_probes_find_what_one_layer_knows(bert, monkeypatch):
    sentences = many()

    def known(bert, sentences, verbs, place="mask"):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(2, len(verbs), 4))
        x[1, :, 0] = [verb.number for verb in verbs]
        return x

    monkeypatch.setattr(agreement, "states", known)
    result = measure(bert, sentences, seeds=(0, 1), settings=probing.DEFAULT._replace(learning_rate=0.05))
    assert (result.attractors, result.accuracy.shape) == ([0, 1], (2, 2, 2))
    np.testing.assert_array_equal(result.nearest, [1, 0])
    assert (result.accuracy[:, :, 1] == 1).all()
    assert (result.accuracy[:, 0, 0] < 0.7).all()


def test_a_model_is_measured_and_drawn(bert):
    result = measure(bert, many())
    assert result.accuracy.shape == (1, 2, 3)
    full = result._replace(left=result.accuracy, random=result.accuracy)
    assert len(agreement.lines(full)) == 2 * (3 + 4)
    assert [len(axes.lines) for axes in agreement.plot(full).axes] == [2, 0]
    with pytest.raises(ValueError, match="20 verbs have a subject with their number before them; it takes 200"):
        measure(bert, many(20))


def test_verdicts():
    def found(few, many):
        rows = np.array([[few, many]])
        return agreement.verdict(Agreement([0, 2], [100, 50], rows, np.array([1.0, 0]), np.array([0.6, 0.6])))

    early, late = [0.6, 0.95, 0.96, 0.9, 0.9], [0.6, 0.7, 0.8, 0.9, 0.9]
    assert [found(early, late), found(late, early), found(late, late)] == [AGREES, CONTRADICTS, CANNOT]
    assert found([0.6] * 5, late) == CANNOT
