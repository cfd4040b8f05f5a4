"""What a run keeps for looking back: at each evaluation, what the model makes of a few held-out sentences.

``probes.jsonl``: the first line says which sentences, and what the curves are to be compared with; each other line is one
evaluation. Attention is kept in 256 steps, a byte a weight, in base64.
"""

from __future__ import annotations

import base64
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.analysis import inside
from minibert.files import loads_json, write_atomically
from minibert.text.reading import count_special

if TYPE_CHECKING:
    from minibert.pretrained import Trained

FILE = "probes.jsonl"
COUNT = 4  # sentences
LONGEST = 16  # tokens, [CLS] and [SEP] counted
TOP = 6  # guesses


class Probes:
    """The sentences of a run, fixed by its seed, and what has been recorded up to a step."""

    def __init__(self, folder: str | os.PathLike[str], tokenizer: Any, documents: list, *, seed: int, unigram_loss: float,
                 ln_vocabulary: float, step: int) -> None:
        self.path = Path(folder) / FILE
        self.sentences = choose(tokenizer, documents, seed)
        head = {"unigram_loss": unigram_loss, "ln_vocabulary": ln_vocabulary, "probes": self.sentences}
        self.lines = [json.dumps(head)] + [json.dumps(record) for record in read(folder)[1] if record["step"] <= step]
        self.last = json.loads(self.lines[-1]).get("step", -1)

    def record(self, bert: Trained, step: int) -> None:
        """Ask the model, and write the file; a step that has been recorded is not asked again."""
        if step <= self.last:
            return
        found = []
        for sentence in self.sentences:
            question = inside.ask(bert, sentence["text"], hide=[sentence["position"]])
            guess = inside.guesses(bert, question, min(TOP, len(bert.tokenizer.vocab)))[0]
            weights = np.round(255 * inside.attention(bert, question)).astype(np.uint8)
            found.append({"guesses": [[word, round(p, 5)] for word, p in guess.words], "probability": guess.probability,
                          "attention": base64.b64encode(weights.tobytes()).decode("ascii"), "shape": weights.shape})
        self.lines.append(json.dumps({"step": step, "probes": found}))
        self.last = step
        write_atomically(self.path, "\n".join(self.lines) + "\n")


def choose(tokenizer: Any, documents: list, seed: int) -> list[dict]:
    """A few held-out sentences, each with a whole word to hide: ``{text, tokens, position, truth}``.

    ``documents``: ids of sentences, by document. Sentences that their text does not give back token by token are left out.
    """
    rng = np.random.default_rng([seed, 0x9B])
    vocab, longest = tokenizer.vocab, min(LONGEST, tokenizer.max_length)
    sentences = [s for document in documents for s in document if 4 <= len(s) <= longest - 2]
    chosen: list[dict] = []
    for i in rng.permutation(len(sentences)):
        text = tokenizer.decode(sentences[i], skip_special=False)
        encoding = tokenizer.encode(text)
        ids, tokens = encoding.ids, encoding.tokens
        words = [t for t in range(1, len(ids) - 1) if tokenizer.written(ids[t]).isalpha() and not tokenizer.continues(ids[t + 1])]
        if len(tokens) > longest or not words or vocab.unk_id in sentences[i] or count_special(vocab, text):
            continue
        position = int(rng.choice(words))
        chosen.append({"text": text, "tokens": tokens, "position": position, "truth": tokens[position]})
        if len(chosen) == COUNT:
            break
    return chosen


def read(folder: str | os.PathLike[str]) -> tuple[dict, list[dict]]:
    """(what the first line says, evaluations); ({}, []) where nothing has been recorded. ValueError for a damaged file."""
    path = Path(folder) / FILE
    if not path.is_file():
        return {}, []
    try:
        head, *records = [loads_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
        sound = _is_head(head) and all(_is_record(record, head["probes"]) for record in records)
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise ValueError(f"{path} is damaged: it does not hold one JSON object a line, as a run writes them; delete it, and the "
                         "run goes on without it")
    return head, records


def _is_head(head: dict) -> bool:
    """Does this name sentences, and floors that are numbers?"""
    floors = [head[name] for name in ("unigram_loss", "ln_vocabulary") if name in head]
    return (all(isinstance(floor, (int, float)) and math.isfinite(floor) for floor in floors)
            and isinstance(head["probes"], list) and all(map(_is_sentence, head["probes"])))


def _is_sentence(s: dict) -> bool:
    return (isinstance(s["tokens"], list) and all(isinstance(text, str) for text in (s["text"], s["truth"], *s["tokens"]))
            and s["position"] in range(len(s["tokens"])))


def _is_record(record: dict, sentences: list[dict]) -> bool:
    """Is this an evaluation of these sentences: of each its guesses, and of each head the attention of all tokens?"""
    if type(record["step"]) is not int or len(record["probes"]) != len(sentences):
        return False
    for found, sentence in zip(record["probes"], sentences):
        T, (L, A, *sides) = len(sentence["tokens"]), found["shape"]
        if not (sides == [T, T] and len(base64.b64decode(found["attention"], validate=True)) == L * A * T * T > 0 < L
                and all(isinstance(word, str) for word, _ in found["guesses"])
                and all(0 <= p <= 1 for p in (found["probability"], *(p for _, p in found["guesses"])))):
            return False
    return True
