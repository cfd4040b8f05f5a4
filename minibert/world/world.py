"""``World``: everything that one asks of a generated language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, chain, islice
from typing import Any

import numpy as np

from minibert.world import documents as sampling
from minibert.world import gold
from minibert.world.documents import FACT, Document
from minibert.world.floor import Floor, corrupt, floor, windows
from minibert.world.language import SIZES, Language, Settings
from minibert.world.posterior import posteriors
from minibert.world.seen import MASK, Seen

_ENDLESS = 10**12  # words


class World:
    """A generated language. ``settings``: its dials; ``words``: what it is written with, sorted."""

    def __init__(self, settings: Settings = SIZES["full"], language: Language | None = None) -> None:
        self.settings = settings
        self.language = language or Language.of(settings)
        self.words = self.language.lexicon.words

    @classmethod
    def of(cls, size: str, **dials: Any) -> World:
        """``small`` or ``full``, with other dials where some are named."""
        if size not in SIZES:
            raise ValueError(f"the size of a world is {' or '.join(SIZES)}, got {size!r}")
        return cls(replace(SIZES[size], **dials))

    def documents(self, tokens: int, seed: int = 0) -> Iterator[Document]:
        """Documents with together at least so many words. A seed always gives the same ones, and more of them for more words."""
        return sampling.documents(self.language, tokens, seed)

    def sentences(self, document: Document) -> list[str]:
        """The text of a document, a string for each sentence, with a blank between words."""
        return [gold.text(self.language, sentence) for sentence in document.sentences]

    def gold(self, document: Document) -> list[gold.Words]:
        """The gold of every sentence of a document."""
        return gold.gold(self.language, document)

    def posterior(self, tokens: Sequence[str], masked: Sequence[int], chosen: int | None = None, single: bool = False
                  ) -> np.ndarray:
        """p(word at each place of ``masked`` | all tokens): (targets, V), over ``words``.

        tokens: words, [MASK], and [SEP] between documents. chosen: how many words the corruption of training chose, the [MASK]s
        among them; None: the others are certain. single: is this one sentence, instead of one or more of the same document?
        """
        return self.posteriors([Seen(tokens, masked, chosen, single)])[0]

    def posteriors(self, texts: Sequence[Seen]) -> list[np.ndarray]:
        """``posterior`` of many texts, much quicker together."""
        return posteriors(self.language, texts)

    def guess(self, text: str, top: int = 5) -> list[tuple[str, float]]:
        """The likeliest words for the one [MASK] of a text, best first, with their probabilities."""
        tokens = text.split()
        if tokens.count(MASK) != 1:
            raise ValueError(f"the text has {tokens.count(MASK)} times {MASK}, with blanks around it; expected one")
        p = self.posterior(tokens, [tokens.index(MASK)])[0]
        return [(self.words[i], float(p[i])) for i in np.argsort(-p, kind="stable")[:top]]

    def floor(self, texts: int = 1000, room: int | None = None, seed: int = 1) -> Floor:
        """The best possible loss of masked words under the corruption of training, over so many texts.

        room: of text with as many whole sentences of a document as fit into so many words; None: of single sentences.
        """
        rng = np.random.Generator(np.random.Philox(key=(seed, 1)))
        some = list(islice(self.texts(room, seed), texts))
        pairs = [corrupt(words, self.words, rng, single=room is None) for words in some]
        return self.floor_of([seen for seen, _ in pairs], [truth for _, truth in pairs], some)

    def bracket(self, texts: int = 300, room: int = 62, seed: int = 1) -> tuple[float, float, float]:
        """Losses of the same masked words: told all that a document shares, exact, from their own sentence only; in this order on
        average.

        Where documents share more than is summed out, facts, there is no exact one: the second treats each mention as drawn anew,
        and the best loss lies between the first, where who has what costs nothing, and the last.
        """
        rng = np.random.Generator(np.random.Philox(key=(seed, 2)))
        told, exact, alone, truth, costs = [], [], [], [], []
        for document in islice(self.documents(_ENDLESS, seed), texts):
            window = next(windows([self.words_of(document)], room))
            words = list(chain(*window))
            places = np.sort(rng.permutation(len(words))[:max(1, round(0.15 * len(words)))]).tolist()
            seen = [MASK if i in places else word for i, word in enumerate(words)]
            truth += [self.language.lexicon.index[words[i]] for i in places]
            classes = list(chain.from_iterable(sentence.skeleton.classes for sentence in document.sentences))
            costs += [classes[i] not in FACT for i in places]
            told.append(Seen(seen, places, told=(document.topic, document.name)))
            exact.append(Seen(seen, places))
            stops = list(accumulate(map(len, window)))
            alone += [Seen(seen[start:stop], [i - start for i in places if start <= i < stop], single=True)
                      for start, stop in zip([0, *stops], stops)]
        best, anew, least = (-np.log(np.concatenate(self.posteriors(these))[np.arange(len(truth)), truth])
                             for these in (told, exact, alone))
        return float((best * costs).mean()), float(anew.mean()), float(least.mean())

    def texts(self, room: int | None, seed: int) -> Iterator[list[str]]:
        """Words of single sentences, or of windows of so many words, without end."""
        documents = map(self.words_of, self.documents(_ENDLESS, seed))
        return chain.from_iterable(documents) if room is None else (list(chain(*window)) for window in windows(documents, room))

    def words_of(self, document: Document) -> list[list[str]]:
        """The words of each sentence."""
        return [sentence.split() for sentence in self.sentences(document)]

    def floor_of(self, seen: Sequence[Seen], truth: Sequence[Sequence[str]], counted: Sequence[Sequence[str]]) -> Floor:
        """The same of texts that a model saw: what it may be compared with, loss by loss. counted: text for the frequencies of
        words."""
        index = self.language.lexicon.index
        counts = np.bincount([index[word] for words in counted for word in words], minlength=len(self.words))
        return floor(self.posteriors(seen), [[index[word] for word in words] for words in truth], counts)
