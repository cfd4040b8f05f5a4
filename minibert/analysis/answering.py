"""How are questions answered, layer by layer: where does a question find its fact, and where does the answer stand out?

::

    fact probe     does sentence s hold what question q asks?    a linear probe of (q, s, q∘s), means of tokens' vectors
    matching       cos(q, s of the fact) − mean cos(q, other sentences)
    standing out   |a − m| / mean |t − m|       a: mean of the answer's tokens, t: other tokens, m: their mean

Each for every hidden state, of a model that was tuned to point at answers, of the same before, and of one tuned from random
weights. ``plane`` puts the tokens of one example on two principal components, those of that example and state alone ([CLS] and
[SEP] count, and are not drawn); a token is of the answer, else of the question, else of the fact, else another.

Source: van Aken et al. 2019, "How Does BERT Answer Questions? A Layer-Wise Analysis of Transformer Representations",
arXiv:1909.04925; code: bvanaken/explain-BERT-QA. It probes with jiant's pairs of spans, of which ours is the linear form. In its
SQuAD the sentence of the answer is the fact, here it is too.

Verdict: where the tuned model points at fewer than half of the answers it *cannot show*. It *agrees* where its best fact probe is
5 points above that of the model before, and the answer stands out most in no lower state than the one in which matching is
strongest; else it *contradicts*.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched, plots
from minibert.analysis import controls, probing, tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.backend import to_numpy
from minibert.pretrained.folder import Loaded
from minibert.world import task_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained
    from minibert.world.language import Language

CLAIM = "A question is matched with its fact first, and the answer is taken out last (van Aken et al. 2019)."
PAPER = UNVERIFIED
CONTROLS = ("before tuning", "from random weights", "majority")
GROUPS = ("answer", "question", "fact", "other")
KINDS = ("tuned", "before", "random")
LEAST = 100  # questions


class Asked(NamedTuple):
    """A question, the sentences of the text, and where the answer is."""

    question: Sequence[str]
    sentences: Sequence[Sequence[str]]
    fact: int  # which sentence
    answer: tuple[int, int]  # the first and the last of its words in that sentence


class Plane(NamedTuple):
    """The tokens of one example in each state."""

    tokens: list[str]
    groups: np.ndarray  # (T,) of GROUPS, from 1
    points: np.ndarray  # (L+1, T, 2)


class Answering(NamedTuple):
    """For each of ``KINDS``, of the L+1 hidden states."""

    probe: np.ndarray  # (3, L+1) accuracy
    matching: np.ndarray  # (3, L+1)
    standing: np.ndarray  # (3, L+1)
    majority: float  # of the probe
    right: tuple[float, float]  # answers that the tuned model points at, and the one from random weights
    plane: Plane  # of the tuned model
    questions: int


class Places(NamedTuple):
    """Where tokens of one example are. Arrays of token numbers."""

    question: np.ndarray
    sentences: list[np.ndarray]
    answer: np.ndarray


def components(x: np.ndarray) -> np.ndarray:
    """Vectors ``(T, H)`` on their first two principal components ``(T, 2)``; each sign is that of its largest number."""
    x = np.asarray(x, float)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    points = u[:, :2] * s[:2]
    return points * np.where(points[np.abs(points).argmax(0), np.arange(points.shape[1])] < 0, -1, 1)


def matching(x: np.ndarray, at: Places, fact: int) -> np.ndarray:
    """States ``(L+1, T, H)`` of one example -> ``(L+1,)``: by how much more the question is like its fact."""
    q, s = x[:, at.question].mean(1), np.stack([x[:, tokens].mean(1) for tokens in at.sentences])
    cosines = (s * q).sum(-1) / np.maximum(np.linalg.norm(s, axis=-1) * np.linalg.norm(q, axis=-1), 1e-12)  # (S, L+1)
    return cosines[fact] - np.delete(cosines, fact, 0).mean(0)


def standing(x: np.ndarray, at: Places) -> np.ndarray:
    """``(L+1,)``: how far the answer lies from the middle of all other tokens, in mean distances of theirs."""
    others = np.setdiff1d(np.concatenate([at.question, *at.sentences]), at.answer)
    middle = x[:, others].mean(1)
    spread = np.linalg.norm(x[:, others] - middle[:, None], axis=-1).mean(1)
    return np.linalg.norm(x[:, at.answer].mean(1) - middle, axis=-1) / np.maximum(spread, 1e-12)


def measure(bert: Trained, train: Sequence[Asked], test: Sequence[Asked], settings: tuning.Settings = tuning.DEFAULT
            ) -> Answering:
    """Of questions whose answers are in a text of two sentences or more. ValueError for fewer than 100 of the test."""
    if len(test) < LEAST or not train or min(len(one.sentences) for one in (*train, *test)) < 2:
        raise ValueError(f"there are {len(train)} questions to train on and {len(test)} for the test; a layer's numbers say "
                         f"something from {LEAST} on, each with a text of two sentences or more")
    model, fresh = tuning.model_of(bert.config, "span"), controls.random_weights(bert, settings.seed)
    examples = [[_example(bert, one)[0] for one in part] for part in (train, test)]
    tuned = [tuning.tune(bert, model, tuning.grown(model, one, settings.seed), examples[0], settings) for one in (bert, fresh)]
    right = tuple(tuning.accuracy(bert, model, p, examples[1]) for p in tuned)
    models = (Loaded(bert.config, tuned[0], bert.tokenizer), bert, Loaded(bert.config, tuned[1], bert.tokenizer))
    rows, groups = [_look(one, test) for one in models], np.repeat(np.arange(len(test)), [len(one.sentences) for one in test])
    labels = np.concatenate([np.arange(len(one.sentences)) == one.fact for one in test]).astype(int)
    parts = probing.split(groups, settings.seed)
    found = np.array([probing.accuracies(x, labels, parts, seed=settings.seed) for x, _, _ in rows])
    return Answering(found, np.stack([m for _, m, _ in rows]), np.stack([s for _, _, s in rows]), probing.majority(labels, parts),
                     right, plane(models[0], test[0]), len(test))


def plane(bert: Trained, asked: Asked) -> Plane:
    """The tokens of one example but [CLS] and [SEP], on the principal components of them all."""
    example, at = _example(bert, asked)
    groups = np.full(len(example.texts[0]), 4)
    for number, tokens in ((3, at.sentences[asked.fact]), (2, at.question), (1, at.answer)):
        groups[tokens] = number
    kept = np.sort(np.concatenate([at.question, *at.sentences]))
    points = np.stack([components(x)[kept] for x in _states(bert, [example.texts[0]])[0]])
    return Plane([example.texts[0].tokens[t] for t in kept], groups[kept], points)


def _example(bert: Trained, asked: Asked) -> tuple[tuning.Example, Places]:
    """[CLS] question [SEP] text [SEP], as for fine-tuning, with the tokens of its parts."""
    words = [word for sentence in asked.sentences for word in sentence]
    encoding = bert.tokenizer.encode(list(asked.question), words, max_length=bert.max_length)
    ends = np.cumsum([0, *map(len, asked.sentences)])
    of_word = np.array([-1 if word is None else word for word in encoding.words])
    second = np.cumsum(np.array(encoding.ids) == bert.tokenizer.vocab.sep_id) > 0
    sentences = [np.flatnonzero(second & (of_word >= a) & (of_word < b)) for a, b in pairwise(ends)]
    first, last = (ends[asked.fact] + word for word in asked.answer)
    answer = np.flatnonzero(second & (of_word >= first) & (of_word <= last))
    return (tuning.Example((encoding,), (int(answer[0]), int(answer[-1]))),
            Places(np.flatnonzero(~second & (of_word >= 0)), sentences, answer))


def _states(bert: Trained, encodings: Sequence) -> list[np.ndarray]:
    """Of each text ``(L+1, T, H)``."""
    found: list[np.ndarray] = [np.empty(0)] * len(encodings)

    def work(numbers: np.ndarray) -> None:
        states = np.stack([to_numpy(h) for h in batched.answer(bert, [encodings[i] for i in numbers]).hidden_states], 1)
        for i, x in zip(numbers, states):
            found[i] = x[:, :len(encodings[i])]

    batched.each(bert, [len(encoding) for encoding in encodings], work)
    return found


def _look(bert: Trained, asked: Sequence[Asked]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the probe reads of every sentence ``(L+1, N, 3H)``; means of matching and of standing out ``(L+1,)``."""
    examples, places = zip(*(_example(bert, one) for one in asked))
    pairs, alike, apart = [], [], []
    for x, at, one in zip(_states(bert, [example.texts[0] for example in examples]), places, asked):
        q = x[:, at.question].mean(1)
        pairs += [np.concatenate([q, s, q * s], -1) for s in (x[:, tokens].mean(1) for tokens in at.sentences)]
        alike.append(matching(x, at, one.fact))
        apart.append(standing(x, at))
    return np.stack(pairs, 1), np.mean(alike, 0), np.mean(apart, 0)


def questions(language: Language, split: str, n: int, seed: int = 0) -> list[Asked]:
    """Who has so many of these? Those that nobody answers are left out."""
    found = []
    for row in task_files.rows(language, "qa", split, 2 * n, seed):
        asked, sentences = row["qas"][0], [f"{s} .".split() for s in row["context"].removesuffix(" .").split(" . ")]
        if asked["answers"] and len(found) < n:
            fact = asked["supporting"][0]
            at = sentences[fact].index(asked["answers"][0]["text"])
            found.append(Asked(asked["question"].split(), sentences, fact, (at, at)))
    return found


def of(subject: Subject) -> Answering:
    """Questions of the generated language."""
    language, sizes = subject.need_world().language, (400, 150) if subject.quick else (2000, 400)
    train, test = ([one for one in questions(language, split, n, subject.seed) if _length(one) <= subject.bert.max_length]
                   for split, n in zip(("train", "test"), sizes))
    return measure(subject.bert, train, test, tuning.Settings(100 if subject.quick else 800, 16, 1e-3, subject.seed))


def _length(asked: Asked) -> int:
    """Tokens of a question and its text, where every word is one."""
    return len(asked.question) + sum(map(len, asked.sentences)) + 3


def lines(result: Answering) -> list[Line]:
    """Of each state, the tuned model beside the one before."""
    L = range(result.probe.shape[1])
    return [Line("answers that are pointed at", *result.right),
            *(Line(f"{text}, {f'layer {i}' if i else 'embeddings'}", float(x[0, i]), float(x[1, i]))
              for text, x in (("fact probe", result.probe), ("matching", result.matching), ("standing out", result.standing))
              for i in L),
            Line("fact probe, majority", result.majority)]


def verdict(result: Answering) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    if result.right[0] < 0.5:
        return CANNOT
    later = result.standing[0].argmax() >= result.matching[0].argmax()
    return AGREES if later and result.probe[0].max() >= result.probe[1].max() + 0.05 else CONTRADICTS


def plot(result: Answering) -> Figure:
    """Matching, standing out and the probe by layer, and one example in the last state."""
    x, names = range(result.probe.shape[1]), ("tuned", "before tuning", "from random weights")
    return plots.panels(f"How questions are answered ({result.right[0]:.0%} of {result.questions:,} right)",
                        *(plots.Lines(title, "layer (0: embeddings)", x, dict(zip(names, y)), label)
                          for title, y, label in (("Is it the fact? A probe", result.probe, "accuracy"),
                                                  ("Matching", result.matching, "difference of cosines"),
                                                  ("The answer stands out", result.standing, "mean distances"))),
                        plots.Points("One example, last layer: 1 answer, 2 question, 3 fact", result.plane.points[-1],
                                     result.plane.tokens, result.plane.groups.tolist()))
