"""The arrays of a prepared text beside those that the ``tokenizers`` library makes of the same lines."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
pytest.importorskip("tokenizers")
pytest.importorskip("benchmarks", reason="the benchmarks run from the checkout")

from benchmarks import corpus
from minibert import pretrained
from minibert.data.tokens import making, shard, sources
from minibert.data.tokens.sources import Texts
from minibert.text import Tokenizer


def test_the_library_makes_the_same_arrays(shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SLICE", 50_000)
    monkeypatch.setattr(corpus, "TEXTS", ["alice29.txt"])
    growth = corpus.corpus(tmp_path / "a.txt", 0.4, shared_data / "corpora")
    assert growth[-1][1] > growth[0][1] > 1000  # distinct words
    Tokenizer.load(pretrained.bundled()).save(tmp_path / "ours")
    found, new = making.make(tmp_path / "ours", Texts([tmp_path / "a.txt"], "lines"), 0.1)
    assert new > 3
    corpus.library(tmp_path / "a.txt", tmp_path / "ours" / "vocab.txt", tmp_path / "theirs")
    ids, sentences, documents = ([] for _ in range(3))
    for name, *_ in found.shards:
        one = shard.read(tmp_path / "ours", name, found.vocabulary)
        documents.append(one.documents["sentence"].astype(int) + sum(map(len, sentences)))
        sentences.append(one.sentences.astype(int) + sum(map(len, ids)))
        ids.append(one.ids)
    for ours, name in ((ids, "ids"), (sentences, "sentences")):
        assert np.array_equal(np.concatenate(ours), np.load(tmp_path / "theirs" / f"{name}.npy")), name
    theirs = np.load(tmp_path / "theirs" / "documents.npy")
    assert np.array_equal(np.concatenate(documents), theirs[:-1])  # theirs has one behind the last blank line as well
