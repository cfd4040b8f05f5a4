"""The confusion of attention in closed form, and of a model against plain loops."""

import numpy as np
import pytest

from minibert.analysis import confusion
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.subject import Sentence
from minibert.api import Bert
from tests import tiny_model


def test_uniform_attention_is_as_confused_as_there_are_candidates():
    a = np.full(12, 1 / 12)
    for k in (2, 3, 4, 6):
        groups = np.split(np.arange(12), k)
        assert confusion.confusion(a, groups) == pytest.approx(np.log2(k), abs=1e-12)
    assert confusion.confusion(a, [[0, 1], [2]]) == pytest.approx(np.log2(3 / 2), abs=1e-12)
    assert confusion.confusion(a, [[0], [1, 2]]) == pytest.approx(np.log2(3), abs=1e-12)
    assert confusion.confusion(np.array([[1.0, 0, 0], [0, 1, 0]]), [[0], [1]]).tolist() == [0, np.inf]
    with pytest.raises(ValueError, match="nothing to any candidate"):
        confusion.confusion(np.array([0.0, 0, 1]), [[0], [1]])


SENTENCE = Sentence(["the", "abc", "raises", "an", "exception", "."], upos=["DET", "NOUN", "VERB", "DET", "NOUN", "PUNCT"],
                    heads=[1, 2, -1, 4, 2, 2], relations=["det", "nsubj", "root", "det", "obj", "punct"])


def test_verbs_and_their_candidates():
    assert confusion.verbs_of(SENTENCE) == [(2, [1, 4])]
    assert confusion.verbs_of(SENTENCE._replace(upos=["DET", "NOUN", "VERB", "DET", "ADV", "PUNCT"])) == []


def test_a_model_is_measured_as_plain_loops_have_it():
    config, parameters, tokenizer = tiny_model.make()
    bert = Bert(config, parameters.astype(np.float64), tokenizer)
    short = Sentence(["xy", "raises"], upos=["NOUN", "VERB"], heads=[1, -1], relations=["nsubj", "root"])
    result = confusion.measure(bert, [SENTENCE, short] * 20)
    out = bert([SENTENCE.words], attentions=True)
    of = np.array([-1, *out.words[0][1:-1], -1])
    for l in range(2):
        a = out.attentions[l][0][:, of == 2].mean(1)  # (A, T)
        to = [[head[of == noun].sum() for noun in (1, 4)] for head in a]
        np.testing.assert_allclose(result.heads[l], [-np.log2(x / (x + y)) for x, y in to], rtol=1e-10)
        x, y = np.mean(to, 0)
        assert result.bits[l] == pytest.approx(-np.log2(x / (x + y)), rel=1e-10)
    assert (result.chance, result.verbs) == (1, 20)
    assert len(confusion.lines(result)) == 3
    assert len(confusion.plot(result._replace(random=result.bits)).axes[0].lines) == 4
    bits = [1.2, 0.7], [0.7, 1.2], [0.7, 0.71], [1.9, 1.5], [1]
    assert [confusion.verdict(result._replace(bits=np.array(b))) for b in bits] == [AGREES, CONTRADICTS, CANNOT, CANNOT, CANNOT]
    with pytest.raises(ValueError, match="1 verbs have a subject and another noun"):
        confusion.measure(bert, [SENTENCE, short])
