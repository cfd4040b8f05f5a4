"""The model against the truth: how far its guesses at hidden words are from the exact posterior of the generated language.

Text is packed and corrupted as in training, 80/10/10 with the number of chosen words fixed. For each chosen word, with p the
exact posterior and q what the model says, both given all that can be seen, and w the word that stood there:

::

    distance   KL(p‖q) = Σ_v p(v)·(ln p(v) − ln q(v))        at least 0, and 0 for q = p
    gap        ln p(w) − ln q(w)                             a sample of it: its expectation over w is the distance

Both are of the same targets, so that what makes one set of words harder than another does not count. They are told apart by what
the word is, how it was seen, whether a word beside it was hidden as well, how far its head stands, and how deep in relative
clauses. Standard errors treat the targets of a text as one draw. A truth must be calibrated: over many targets its loss is its
entropy, and ``z`` is the difference in standard errors.

Source: ``minibert.world``; no paper can ask this of English.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched, plots
from minibert.analysis import controls
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.inside import Question, needs_head
from minibert.backend import get_xp, refuse_nan, to_numpy, widen
from minibert.model import bert as body
from minibert.model.heads import mlm
from minibert.world import MASK, Seen, World
from minibert.world.floor import corrupt, windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "A tiny model comes near the best possible guess: KL(truth‖model) is at most .30 nats, .45 on the full world."
PAPER = "there is none: of English nobody knows the truth"
CONTROLS = ("frequency: how often each word stands in the text", "random weights")
LEAST = 500  # targets
GOAL = {True: 0.30, False: 0.45}  # of a world without, and with relative clauses within one another
WORDS = 12  # that hold most of the distance
_ENDLESS = 10**12  # words


class Mean(NamedTuple):
    """Over some targets, in nats."""

    value: float
    error: float  # standard error
    targets: int
    share: float = 1.0  # of the sum over all targets

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


class Target(NamedTuple):
    """What is known of a chosen word."""

    text: int
    word: str
    part: str  # of speech
    seen: str  # [MASK], itself, another word
    beside: str  # a hidden word, visible words
    head: str  # how far it is: 1, 2, 3, 4 or more; root
    depth: int


class Asked(NamedTuple):
    """One hidden word of a text: the truth beside the model, both over the V words of the language."""

    place: int  # of the token
    truth: np.ndarray  # (V,) probabilities
    model: np.ndarray  # (V,)
    distance: float  # KL(truth‖model), nats


class Posterior(NamedTuple):
    """What ``measure`` finds."""

    distance: Mean  # KL(truth‖model)
    gap: Mean
    loss: Mean  # of the model
    best: Mean  # loss of the truth
    entropy: Mean  # of the truth
    z: float
    frequency: Mean  # the control of distance
    random: Mean  # another
    groups: dict[str, dict[str, Mean]]  # the distance by property and its value
    words: dict[str, Mean]  # the words that hold most of it
    plain: bool  # a world without relative clauses within one another


def distances(p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """``(N,)`` KL(p‖q), for p ``(N, V)`` and ln q ``(N, V)``."""
    return (p * (np.log(np.where(p > 0, p, 1.0)) - np.where(p > 0, log_q, 0.0))).sum(1)


def mean(values: np.ndarray, texts: np.ndarray, total: float | None = None) -> Mean:
    """The mean of values ``(N,)``, of which those of a text ``(N,)`` are one draw. ``total``: of what their sum is a share."""
    n, value = len(values), float(values.mean())
    of_texts = np.bincount(np.unique(texts, return_inverse=True)[1], values - value)
    return Mean(value, float(np.sqrt((of_texts**2).sum()) / n), n, float(values.sum() / total) if total else 1.0)


def measure(bert: Trained, world: World, targets: int = 5000, seed: int = 0) -> Posterior:
    """At least so many chosen words of fresh text, packed to the length that the model reads.

    ValueError for a model without a masked-word head, for one that lacks words of the world, and for a world without an exact
    posterior.
    """
    needs_head(bert)
    if not world.language.exact:
        raise ValueError("this world has no exact posterior, since its facts stay true for a whole document: set facts to 0")
    if lacking := [word for word in world.words if word not in bert.tokenizer.vocab.index]:
        raise ValueError(f"the model does not know {len(lacking)} words of the world, such as {lacking[0]!r}: take one that was "
                         "trained on it (minibert train --corpus world-small --no-next-sentence)")
    if targets < LEAST:
        raise ValueError(f"a distance says something from {LEAST} targets on, got {targets}")
    seen, known, frequency = _corrupted(world, bert.max_length - 2, targets, seed)
    index = {word: i for i, word in enumerate(world.words)}
    truth, texts = np.array([index[target.word] for target in known]), np.array([target.text for target in known])
    p, at = np.concatenate(world.posteriors(seen)), np.arange(len(known))
    share = np.array([frequency[word] + 1.0 for word in world.words])
    log_q, log_random = (guesses(one, seen, world.words) for one in (bert, controls.random_weights(bert, seed)))
    found, log_p = distances(p, log_q), np.log(p[at, truth])
    loss, best, entropy = -log_q[at, truth], -log_p, -distances(p, np.zeros_like(p))
    surprise = mean(best - entropy, texts)
    total = float(found.sum())
    groups = {name: _by([str(getattr(target, key)) for target in known], found, texts, total) for name, key in (
        ("part of speech", "part"), ("seen as", "seen"), ("beside it", "beside"), ("distance to its head", "head"),
        ("relative clauses around it", "depth"))}
    words = sorted(_by([target.word for target in known], found, texts, total).items(), key=lambda item: -item[1].share)
    by_frequency = distances(p, np.log(share / share.sum())[None])
    return Posterior(mean(found, texts), mean(loss - best, texts), mean(loss, texts), mean(best, texts), mean(entropy, texts),
                     surprise.value / surprise.error, mean(by_frequency, texts), mean(distances(p, log_random), texts), groups,
                     dict(words[:WORDS]), world.settings.depth <= 1)


def asked(bert: Trained, world: World, question: Question) -> list[Asked]:
    """The hidden words of a question. What is visible is taken to be what stood there.

    ValueError for a model without a masked-word head, and for a text that nobody says in this language.
    """
    needs_head(bert)
    if not question.masked:
        return []
    last = max(t for t, added in enumerate(question.added) if added)  # a [SEP] before it parts two texts
    words = [MASK if t in question.masked else question.tokens[t] for t in range(1, last)]
    seen = Seen(words, [t - 1 for t in question.masked])
    p, log_q = world.posteriors([seen])[0], guesses(bert, [seen], world.words)
    return [Asked(*one) for one in zip(question.masked, p, np.exp(log_q), map(float, distances(p, log_q)))]


def of(subject: Subject) -> Posterior:
    """On fresh text of the world: 1,000 targets where it is to be quick, else 5,000."""
    return measure(subject.bert, subject.need_world(), 1000 if subject.quick else 5000, subject.seed)


def lines(result: Posterior) -> list[Line]:
    """The distance beside that of frequencies, the loss beside the best possible one, each group's beside that of all."""
    found = [Line("KL(truth‖model), nats", result.distance.value, result.frequency.value),
             Line("standard error of it", result.distance.error),
             Line("KL(truth‖random weights)", result.random.value, result.frequency.value),
             Line("gap on the same words", result.gap.value), Line("standard error of the gap", result.gap.error),
             Line("loss of the model", result.loss.value, result.best.value), Line("targets", result.distance.targets),
             Line("calibration of the truth, z", result.z)]
    for name, group in result.groups.items():
        found += [line for label, one in group.items() for line in (
            Line(f"KL, {name}: {label}", one.value, result.distance.value), Line(f"share of it, {name}: {label}", one.share))]
    return found


def verdict(result: Posterior) -> str:
    """Agrees where the distance and two standard errors are at most .30 nats (.45 for a world with clauses within one another),
    contradicts where the distance less two is more; between these, or where |z| > 3, it cannot be shown."""
    goal, (value, error, *_) = GOAL[result.plain], result.distance
    if abs(result.z) > 3:
        return CANNOT
    return AGREES if value + 2 * error <= goal else CONTRADICTS if value - 2 * error > goal else CANNOT


def plot(result: Posterior) -> Figure:
    """Where the missing nats are, by part of speech and by word."""
    parts = dict(sorted(result.groups["part of speech"].items(), key=lambda item: -item[1].share))
    return plots.panels(f"{result.distance} nats from the best possible guess ({result.distance.targets:,} words)", *(
        plots.Bars(name, list(some), {"KL, nats a word": [one.value for one in some.values()],
                                      "share of it all": [one.share for one in some.values()]}, "")
        for name, some in (("Part of speech", parts), ("Words that hold most", result.words))))


def _by(labels: Sequence[str], values: np.ndarray, texts: np.ndarray, total: float) -> dict[str, Mean]:
    """The mean of each label's values, the labels in order."""
    names = np.array(labels)
    return {str(label): mean(values[names == label], texts[names == label], total) for label in np.unique(names)}


def _corrupted(world: World, room: int, targets: int, seed: int) -> tuple[list[Seen], list[Target], Counter[str]]:
    """Texts as a model sees them, their chosen words, and how often each word stands in them."""
    rng = np.random.default_rng([seed, 0x26])
    seen, known, counts = [], [], Counter()
    for document in world.documents(_ENDLESS, 2 * 10**6 + seed):
        rows = [list(zip(gold.form, gold.upos, map(_far, gold.head, range(1, 1 + len(gold.form))), gold.depth))
                for gold in world.gold(document)]
        for window in windows([rows], room):
            words, parts, heads, depths = zip(*chain(*window))
            text, _ = corrupt(words, world.words, rng)
            for i in text.targets:
                beside = MASK in (text.words[max(0, i - 1):i] + text.words[i + 1:i + 2])
                shown = {MASK: MASK, words[i]: "itself"}.get(text.words[i], "another word")
                known.append(Target(len(seen), words[i], parts[i], shown, "a hidden word" if beside else "visible words",
                                    heads[i], depths[i]))
            seen.append(text)
            counts.update(words)
        if len(known) >= targets:
            return seen, known, counts
    raise AssertionError("the world has no end")


def _far(head: int, word: int) -> str:
    return "root" if not head else "4 or more" if abs(head - word) > 3 else str(abs(head - word))


def guesses(bert: Trained, seen: Sequence[Seen], words: Sequence[str]) -> np.ndarray:
    """``(N, V)`` ln q of the words at the targets of all texts, in order."""
    vocab, xp = bert.tokenizer.vocab, get_xp(bert.parameters.flat)
    rows = [[vocab.cls_id, *(vocab.index[word] for word in text.words), vocab.sep_id] for text in seen]
    starts = np.cumsum([0, *(len(text.targets) for text in seen)])
    found, columns = np.empty((int(starts[-1]), len(words))), xp.asarray([vocab.index[word] for word in words])

    def work(batch: np.ndarray) -> None:
        ids, mask, positions = batched.padded(bert, [rows[i] for i in batch])
        state = body.answer(ids, xp.zeros_like(ids), mask, bert.parameters["bert"], bert.config,
                            position_ids=positions).last_hidden_state
        places = [row * ids.shape[1] + 1 + t for row, i in enumerate(batch) for t in seen[i].targets]
        z = widen(mlm.forward(state, xp.asarray(places), bert.parameters["cls"]["predictions"], bert.config)[0][:, :len(vocab)])
        z = z - z.max(-1, keepdims=True)
        log_q = to_numpy((z - xp.log(xp.exp(z).sum(-1, keepdims=True)))[:, columns])
        found[np.concatenate([np.arange(starts[i], starts[i + 1]) for i in batch])] = log_q

    batched.each(bert, [len(row) for row in rows], work)
    refuse_nan(found)
    return found
