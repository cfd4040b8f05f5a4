"""A table of held-out sentences with one word hidden, and what a model puts in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minibert.analysis import inside
from minibert.data.sentences import MARKS
from minibert.text.reading import count_special

if TYPE_CHECKING:
    from minibert.pretrained import Trained


def table(bert: Trained, documents: list, count: int = 10, seed: int = 0) -> str:
    """``count`` sentences of 8 to 24 tokens, fixed by the seed: the sentence, the hidden word, the three best guesses.

    A model for shorter sequences is asked shorter ones. ``documents``: ids of held-out sentences, by document; those that end
    with a mark, where there are such. Only whole words are hidden, never punctuation or pieces of words.
    """
    rng = np.random.default_rng([seed, 0xB3])
    vocab = bert.tokenizer.vocab
    longest = min(24, bert.config.max_tokens - 2)
    ends = {vocab.index.get(mark) for mark in MARKS}
    sentences = [s for document in documents for s in document if 8 <= len(s) <= longest]
    sentences = [s for s in sentences if s[-1] in ends] or sentences
    lines: list[str] = []
    for i in rng.permutation(len(sentences)):
        ids = list(sentences[i])
        words = [t for t in range(1, len(ids) - 1) if bert.tokenizer.written(ids[t]).isalpha()
                 and not bert.tokenizer.continues(ids[t + 1])]
        if not words or count_special(vocab, bert.tokenizer.decode(ids), but=vocab.unk_id):
            continue
        hidden = int(rng.choice(words))
        truth = bert.tokenizer.written(ids[hidden])
        ids[hidden] = vocab.mask_id
        text = bert.tokenizer.decode(ids, skip_special=False)
        best = inside.guesses(bert, inside.ask(bert, text), 3)[0].words
        found = ", ".join(f"{token} {probability:.0%}" for token, probability in best)
        mark = "right" if best[0][0] == truth else "among them" if truth in [token for token, _ in best] else ""
        lines.append(f"  {text}\n      {truth}  <-  {found}" + (f"   ({mark})" if mark else ""))
        if len(lines) == count:
            break
    return "\n".join(lines) if lines else f"  (no whole held-out sentence of 8 to {longest} tokens)"
