"""Two neighbouring pieces of a text, of which the second is written word after word while the first is read (a prefix LM)::

    [CLS] a a a a [SEP] b b b [SEP]        a is seen from everywhere; a token of b sees a, itself and the b before it

Who sees whom follows from the token types alone: with ``c`` their sum from the first token on, 0 in a and 1, 2, 3, … in b::

    sees[q,k] = c_k ≤ c_q, and k is no padding

Padding has type 0, so its c is that of the last token of b, which would see it without the second condition.

Chunks of sentences are gathered and cut as for next sentences (``next_sentence``); a chunk of one sentence has no b. Where both
are too long together, a loses its beginning and b its end, so that b goes on where a stops. The first [SEP] belongs to a, and
from it on the next token is asked for (``corruption.next_words``).

Source: Dong et al. 2019, "Unified Language Model Pre-training" (UniLM), section 3 (arXiv 1905.03197); bert4keras ``models.py``,
``UniLM_Mask``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import PAIRS, generator
from minibert.tasks.examples import IGNORE, Example, arrays
from minibert.tasks.segments.next_sentence import alone, enough, pair, reaching, room_of, target_length


def prefixed(documents: Iterable[Document], tokenizer: Any, *, max_length: int, seed: int, epoch: int = 0,
             short_prob: float = 0.1) -> list[Example]:
    """Neighbours in their order, about which nothing is asked: ``[CLS] a [SEP] b [SEP]``.

    The arguments are those of ``next_sentence.sentence_pairs``, and so is what the same (seed, epoch) gives. A single document
    will do. Raises ValueError where there is none, or ``max_length`` leaves no room.
    """
    room = room_of(max_length)
    documents = arrays(documents, room)
    enough(documents, 1, "what follows a text")
    rng, vocab, examples = generator(seed, PAIRS, epoch), tokenizer.vocab, []
    for document in documents:
        i = 0
        while i < len(document):
            start, i = i, reaching(document, i, target_length(rng, room, short_prob))
            if i - start == 1:
                examples.append(alone(document[start], vocab))
                continue
            cut = int(rng.integers(start + 1, i))
            a, b = np.concatenate(document[start:cut]), np.concatenate(document[cut:i])
            kept = min(len(a), max(room // 2, room - len(b)))  # the longer one loses more
            examples.append(pair(a[len(a) - kept:], b[:room - kept], IGNORE, vocab))
    return examples


def sees(token_type_ids: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Types and where there are tokens, ``(N, T)`` -> which keys each query may see, ``(N, T, T)`` bool."""
    c = token_type_ids.cumsum(1)
    return (c[:, None, :] <= c[:, :, None]) & (real[:, None, :] == 1)
