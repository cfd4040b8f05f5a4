"""Finding a word by structure or by counting, in vectors that know one of both."""

import numpy as np
import pytest

from minibert.analysis import hierarchy, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.hierarchy import answers, looked_for, measure
from minibert.analysis.subject import Sentence

#                     the dog that barks sleeps now
HARD = Sentence(["the", "dog", "that", "barks", "sleeps", "now"], upos=["DET", "NOUN", "PRON", "VERB", "VERB", "ADV"],
                heads=[1, 4, 3, 1, -1, 4], relations=["det", "nsubj", "nsubj", "acl:relcl", "root", "advmod"])
EASY = Sentence(["the", "dog", "sleeps", "now"], upos=["DET", "NOUN", "VERB", "ADV"], heads=[1, 2, -1, 2],
                relations=["det", "nsubj", "root", "advmod"])
#                     if dogs bark cats sleep
FIRST = Sentence(["if", "dogs", "bark", "cats", "sleep"], upos=["SCONJ", "NOUN", "VERB", "NOUN", "VERB"], heads=[2, 2, 4, 4, -1],
                 relations=["mark", "nsubj", "advcl", "nsubj", "root"])


def test_what_is_looked_for_and_whether_counting_finds_it():
    assert [looked_for("main verb", s) for s in (EASY, HARD, FIRST)] == [(2, True), (4, False), (4, False)]
    assert [looked_for("subject", s) for s in (EASY, HARD, FIRST)] == [(1, True), (1, True), (3, False)]
    assert looked_for("n-th word", EASY) == (3, True)
    assert looked_for("n-th word", EASY._replace(words=["a", "b", "c"])) is None
    assert looked_for("main verb", EASY._replace(upos=["DET", "NOUN", "ADJ", "ADV"])) is None
    assert looked_for("subject", EASY._replace(relations=["det", "obj", "root", "advmod"])) is None


def test_the_answer_is_the_highest_of_its_sentence():
    assert answers(np.array([1.0, 5, 2, 9, 8]), np.array([0, 3])).tolist() == [1, 0]


def test_structure_generalises_and_counting_does_not(monkeypatch):
    rng = np.random.default_rng(0)
    sentences = [EASY] * 250 + [HARD] * 60 + [FIRST] * 40
    rows = []
    for s in sentences:
        n, verbs = len(s.words), np.array([upos == "VERB" for upos in s.upos])
        knows = np.stack([np.array(s.heads) == -1, np.arange(n) == 3])
        counts = np.stack([verbs & (np.cumsum(verbs) == 1), np.zeros(n)])
        rows.append(np.stack([np.concatenate([x.T, 0.05 * rng.normal(size=(n, 2))], 1) for x in (knows, counts)]))
    x = np.concatenate(rows, 1)
    monkeypatch.setattr(probing, "states", lambda bert, words: x)
    result = measure(None, sentences, ("main verb", "n-th word"), seeds=(0, 1), settings=probing.Settings(0.05))
    assert result.tasks == ["main verb", "n-th word"]
    assert result.sentences == [(250, 100), (350, 350)]
    np.testing.assert_array_equal(result.alike[:, 0], 1)
    np.testing.assert_array_equal(result.apart[:, 0], [[1, 0]] * 2)
    np.testing.assert_array_equal(result.alike[:, 1, 0], 1)
    assert result.alike[:, 1, 1].max() < 0.6
    np.testing.assert_array_equal(result.alike[:, 1], result.apart[:, 1])
    assert len(hierarchy.lines(result)) == 9
    assert [len(axes.lines) for axes in hierarchy.plot(result._replace(random=result)).axes] == [2, 2]
    alone = hierarchy.Hierarchy(["n-th word"], result.alike[:, :1], result.apart[:, :1], result.sentences[:1])
    assert len(hierarchy.plot(alone).axes) == 1


def test_verdicts_follow_the_criterion():
    def of(place, structure):
        shares = np.array([[structure, place]])
        return hierarchy.verdict(hierarchy.Hierarchy(["main verb", "n-th word"], shares, shares, [(1, 1)] * 2))

    assert of([1, 0.9, 0.5], [0.2, 0.5, 0.8]) == AGREES
    assert of([1, 0.9, 0.9], [0.2, 0.2, 0.2]) == CONTRADICTS
    assert of([1, 0.9, 0.9], [0.2, 0.5, 0.8]) == CANNOT


def test_too_few_sentences_are_said():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "states", lambda bert, words: np.zeros((1, 14, 2)))
        with pytest.raises(ValueError, match="3 sentences are too few"):
            measure(None, [EASY, HARD, EASY])
