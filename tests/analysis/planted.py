"""Heads that look where a test says, in the place of those of a model."""

import numpy as np

from minibert.analysis import trees
from minibert.analysis.collecting import Units


def plant(monkeypatch, corpus, heads):
    """``trees`` collects attention of one layer: ``heads(sentence)`` says it for each ``(W+2, W+2)``, with [CLS] and [SEP]."""
    def collect(bert, texts, **options):
        for index, sentence in enumerate(corpus):
            yield Units(index, [None, *range(len(sentence.words)), None], None, np.stack(heads(sentence))[None])

    monkeypatch.setattr(trees, "collect", collect)
