"""Spans of phrases, whose clusters are known where their vectors are."""

import numpy as np
import pytest

from minibert.analysis import probing, spans
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.spans import measure, spans_of, vectors
from minibert.api import Bert
from tests import tiny_model

RNG = np.random.default_rng


def test_spans_are_chunks_and_the_runs_between_them():
    assert spans_of(["B-NP", "I-NP", "B-VP", "O", "O", "B-NP", "B-NP", "O"]) == [
        (0, 1, "NP"), (2, 2, "VP"), (3, 4, "O"), (5, 5, "NP"), (6, 6, "NP"), (7, 7, "O")]
    assert spans_of([]) == []


def test_the_vector_of_a_span_in_four_parts():
    first, last = RNG(0).normal(size=(2, 5, 3))
    found = vectors(first[None], last[None], np.array([[1, 4], [2, 2]]))
    s, e = first[1], last[4]
    np.testing.assert_array_equal(found[0, 0], [*s, *e, *(s * e), *(s - e)])
    assert found.shape == (1, 2, 12)


def corpus(count=120):
    for i in range(count):
        yield ["the", "ab", "raises", "an", "c", "."], ["B-NP", "I-NP", "B-VP", "B-NP", "I-NP", "O"]
        yield ["x", "raises", ".", "."][:3 + i % 2], ["B-NP", "B-VP", "O", "O"][:3 + i % 2]


def test_phrases_that_are_told_by_their_vectors_are_found_and_shuffled_kinds_are_not(monkeypatch):
    words, chunks = map(list, zip(*corpus()))
    kinds = {"NP": 0, "VP": 1, "O": 2}
    told = np.array([kinds[chunk[2:] or "O"] for row in chunks for chunk in row])
    layers = np.stack([RNG(0).normal(size=(len(told), 4)), 9 * np.eye(4)[told] + 0.1 * RNG(1).normal(size=(len(told), 4))])
    monkeypatch.setattr(probing, "states", lambda bert, sentences, pieces: layers)
    result = measure(None, words, chunks, most=350, seeds=(0, 1))
    assert result.spans == 350
    assert result.kinds == ["NP", "O", "VP"]
    np.testing.assert_allclose(result.nmi[:, 1], 1, atol=1e-12)
    assert result.nmi[:, 0].max() < 0.3
    assert result.shuffled.max() < 0.3
    assert spans.verdict(result) == CANNOT
    layers = [0.1, 0.4, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4], [0, 0.2, 0.3, 0.4, 0.39]
    found = [spans.verdict(result._replace(nmi=np.array([nmi]))) for nmi in layers]
    assert found == [AGREES, CONTRADICTS, CANNOT]


def test_a_model_is_measured_and_drawn():
    config, parameters, tokenizer = tiny_model.make()
    words, chunks = map(list, zip(*corpus()))
    result = measure(Bert(config, parameters, tokenizer), words, chunks, average="min")
    assert result.nmi.shape == result.shuffled.shape == (1, 3)
    assert [line.name for line in spans.lines(result)][:2] == ["NMI, embeddings", "NMI, layer 1"]
    assert len(spans.plot(result._replace(random=result.nmi)).axes[0].lines) == 3
    with pytest.raises(ValueError, match="11 spans of 3 kinds are too few"):
        measure(None, words[:4], chunks[:4])
