"""Calibration: whether a model that is 80 % sure is right in 80 % of the cases.

Confidence is the largest probability, and examples are sorted into bins by it. A bin with n_b of the n examples adds to

::

    ECE = Σ_b n_b/n·|accuracy_b − confidence_b|       TCE = Σ_b |accuracy_b − confidence_b|       MCE: the largest of these gaps

*Edges.* Bin j holds (j/m, (j+1)/m] in Guo et al. and [j/m, (j+1)/m) in the code of Desai and Durrett, the last one 1 as well: a
confidence of just 0.7 changes its bin, ``edges="right"`` or ``"left"``.

*Temperature.* p = softmax(z/T), with the T for which the loss on other examples is least; the order of the guesses stays. In
β = 1/T the loss is convex, and its slope is the mean of E_p[z] − q·z, for targets q: what is sought is its one zero. The code of
Desai and Durrett tries ``GRID`` instead.

*Label smoothing.* Instead of all, the true label gets 1 − s of the target, and the C − 1 others share s (Desai and Durrett,
``over="others"``), or all C share s, the true one as well (Szegedy et al. 2016, PyTorch: ``over="all"``). The loss is least
where p = q, so with logits whose gap is ln(q_true/q_other): a model that is learned so need never be surer than q_true. It is
measured on a task of the generated language: one copy is tuned to labels as they are (s = 0), one to smoothed labels, by their KL
divergence, which has the slope of the cross-entropy. Examples of the domain that was learned choose a temperature for each, by
labels as they are (in the code of Desai and Durrett by smoothed ones), and it is used in the other domain too.

Sources: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599; Desai and Durrett 2020, "Calibration of
Pre-trained Transformers", arXiv:2003.07892.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched, plots
from minibert.analysis import tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.inside import needs_head
from minibert.backend import get_xp, to_numpy
from minibert.layers import kl_divergence, softmax
from minibert.model.heads import mlm
from minibert.text import Encoding, Reading, forms
from minibert.text.forms import Text
from minibert.world import task_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.analysis.tuning import Example
    from minibert.parameters import Parameters
    from minibert.pretrained import Trained

CLAIM = "What a pre-trained model is sure of is about what it is right about, and a temperature takes most of the rest away."
PAPER = "ECE of RoBERTa from 1.93 to .84 % by a temperature; by label smoothing from 11.93 to 2.14, but once from 3.62 to 4.50"
CONTROLS = ("floor",)
EDGES = {"right": "(a, b]", "left": "[a, b)"}
SMOOTHING = {"hard labels": 0.0, "smoothed labels": 0.1}  # s
DOMAINS = {"in domain": "test", "out of domain": "out_of_domain"}  # and their examples
GRID = np.arange(1, 1001) / 100
LEAST = 10  # examples for each bin, on average
DRAWS = 200  # of the control


class Reliability(NamedTuple):
    """What came of each of the m bins; NaN where a bin is empty."""

    count: np.ndarray  # (m,)
    confidence: np.ndarray  # (m,) mean
    accuracy: np.ndarray  # (m,)
    ece: float
    mce: float
    tce: float


class Optimum(NamedTuple):
    """Where label smoothing leads."""

    gap: float  # between the logit of the true label and those of the others
    confidence: float
    loss: float  # nats: the entropy of the target


class Calibration(NamedTuple):
    """What ``measure`` finds, all of it on examples that did not choose the temperature."""

    before: Reliability
    after: Reliability  # at the temperature
    temperature: float
    loss: tuple[float, float]  # nats an example, before and after
    floor: float  # the control: the ECE, after, of a model that is right just as often as it is sure, on as many examples
    accuracy: float
    examples: int
    ece: dict[str, tuple[float, float]]  # by the edges, before and after
    smoothing: dict[str, Calibration] | str = ""  # of a task, by labels and domain; or why it is not measured


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = 10, edges: str = "right") -> Reliability:
    """The table behind a reliability diagram, of confidences ``(N,)`` and whether each of the N guesses is right."""
    confidence, right = np.asarray(confidence) + np.float16(0), np.asarray(right, bool)
    if edges not in EDGES or bins < 1:
        raise ValueError(f'edges must be "left" or "right" and bins at least 1, got {edges!r} and {bins}')
    if confidence.ndim != 1 or confidence.shape != right.shape or not len(right):
        raise ValueError(f"there must be a confidence for each guess, got shapes {confidence.shape} and {right.shape}")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidences must be probabilities, from 0 to 1")
    marks = (np.arange(1, bins) / bins).astype(confidence.dtype)  # a float32 that is just 0.3 is more than a float64's 0.3
    at = np.searchsorted(marks, confidence, side="right" if edges == "left" else "left")
    count = np.bincount(at, minlength=bins)
    with np.errstate(invalid="ignore"):
        sure, accuracy = (np.bincount(at, x, minlength=bins) / count for x in (confidence, right))
    gaps = np.abs(accuracy - sure)[count > 0]
    return Reliability(count, sure, accuracy, float(gaps @ count[count > 0] / len(right)), float(gaps.max()), float(gaps.sum()))


def smoothed(labels: np.ndarray, classes: int, s: float, over: str = "others") -> np.ndarray:
    """Targets ``(N, C)``."""
    true, other = _shares(classes, s, over)
    targets = np.full((len(labels), classes), other)
    targets[np.arange(len(labels)), labels] = true
    return targets


def smoothing_optimum(classes: int, s: float, over: str = "others") -> Optimum:
    """The best that can be learned from smoothed labels; for s = 0 there is none, since the gap grows without end."""
    true, other = _shares(classes, s, over)
    if not 0 < other < true:
        raise ValueError(f"s = {s} gives the true label {true:.3g} and each other {other:.3g}: the gap has an optimum only where "
                         "both get something, and the true one more")
    return Optimum(float(np.log(true / other)), true, float(-true * np.log(true) - (classes - 1) * other * np.log(other)))


def nll(logits: np.ndarray, targets: np.ndarray, temperature: float = 1.0) -> float:
    """The mean over N examples of −Σ q·ln softmax(z/T), in nats. ``targets``: labels ``(N,)``, or distributions ``(N, C)``."""
    if not temperature > 0:
        raise ValueError(f"a temperature must be more than 0, got {temperature}")
    z, toward = _examples(logits, targets)
    return float(np.mean(np.log(np.exp(z / temperature).sum(1)) - toward / temperature))


def temperature(logits: np.ndarray, targets: np.ndarray, grid: np.ndarray | None = None) -> float:
    """The T for which ``nll`` is least; of those of ``grid``, the smallest of the best. ValueError where there is none."""
    if grid is not None:
        return float(grid[np.argmin([nll(logits, targets, T) for T in grid])])
    z, toward = _examples(logits, targets)
    if toward.mean() <= z.mean():
        raise ValueError("there is no best temperature: these logits are no better than chance, and the hotter the better")
    if toward.mean() == 0:  # the largest logit is 0
        raise ValueError("there is no best temperature: all guesses are right, and the colder the better; give more examples")
    beta, low, high = 1.0, 0.0, np.inf
    for _ in range(200):
        p = softmax.forward(beta * z)[0]
        mean = (p * z).sum(1)
        slope, curvature = float(np.mean(mean - toward)), float(np.mean((p * (z - mean[:, None]) ** 2).sum(1)))
        low, high = (low, beta) if slope > 0 else (beta, high)
        newton = beta - slope / curvature if curvature else np.nan
        last, beta = beta, newton if low < newton < high else 2 * beta if high == np.inf else (low + high) / 2
        if abs(beta - last) <= 1e-15 * beta:
            break
    return 1 / beta


def calibrated(tuning: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], bins: int = 10, edges: str = "right",
               grid: np.ndarray | None = None, seed: int = 0) -> Calibration:
    """Of any classifier: (logits (N, C), labels (N,)) that choose the temperature, and others on which all is measured."""
    for name, (_, labels) in (("tuning", tuning), ("test", test)):
        if len(labels) < LEAST * bins:
            raise ValueError(f"{name}: {len(labels)} examples are too few for {bins} bins: a calibration error says something "
                             f"from {LEAST * bins} on; give more examples, or fewer bins")
    T, (logits, labels) = temperature(*tuning, grid), test
    right = np.argmax(logits, 1) == labels
    sure, cooled = (softmax.forward(_examples(logits, labels)[0] / t)[0].max(1) for t in (1.0, T))
    rng = np.random.default_rng([seed, 0xCA])
    floor = np.mean([reliability(cooled, rng.random(len(cooled)) < cooled, bins, edges).ece for _ in range(DRAWS)])
    tables = {each: [reliability(p, right, bins, each) for p in (sure, cooled)] for each in EDGES}
    return Calibration(*tables[edges], T, (nll(logits, labels), nll(logits, labels, T)), float(floor), float(right.mean()),
                       len(labels), {each: (before.ece, after.ece) for each, (before, after) in tables.items()})


def measure(bert: Trained, texts: Sequence[Text], count: int = 1000, bins: int = 10, edges: str = "right",
            grid: np.ndarray | None = None, seed: int = 0) -> Calibration:
    """Of guesses at hidden tokens: ``count``, fixed by the seed, each hidden alone. Those of half of the texts choose T."""
    needs_head(bert)
    bert.tokenizer.vocab.require("a guess", "[MASK]")
    encodings = [forms.encode(bert.tokenizer, text, max_length=bert.max_length, truncate=True) for _, text in forms.listed(texts)]
    Reading.of(bert.tokenizer.vocab, [], [encoding.ids for encoding in encodings]).warn()
    rng, halves = np.random.default_rng([seed, 0xCB]), []
    order = rng.permutation(len(encodings))
    for half in (order[::2], order[1::2]):
        places = [(i, t) for i in half for t, added in enumerate(encodings[i].special_tokens_mask) if not added]
        chosen = [places[k] for k in rng.permutation(len(places))[:count // 2]]
        halves.append((_logits(bert, [(encodings[i], t) for i, t in chosen]), np.array([encodings[i].ids[t] for i, t in chosen])))
    return calibrated(halves[0], halves[1], bins, edges, grid, seed)


def smoothing(bert: Trained, train: Sequence[Example], dev: Sequence[Example], tests: Mapping[str, Sequence[Example]],
              settings: tuning.Settings = tuning.DEFAULT) -> dict[str, Calibration]:
    """A task with classes: a copy is tuned with each s of ``SMOOTHING``, ``dev`` chooses its temperature, ``tests`` measure."""
    labels = np.array([example.target for example in train])
    model, found = tuning.model_of(bert.config, "class", 1 + int(labels.max())), {}
    [term] = model.terms
    soft = replace(model, terms=(term._replace(loss=kl_divergence, options={"logits": "x"}, counted=lambda b: len(b.ids)),))
    start = tuning.grown(model, bert, settings.seed)

    def asked(p: Parameters, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        return np.stack(tuning.predict(bert, model, p, examples)[1]), np.array([example.target for example in examples])

    for name, s in SMOOTHING.items():
        targets = smoothed(labels, model.heads[term.reads].outputs, s)
        p = tuning.tune(bert, soft, start, [example._replace(target=q) for example, q in zip(train, targets)], settings)
        chooses = asked(p, dev)
        for domain, test in tests.items():
            found[f"{name}, {domain}"] = calibrated(chooses, asked(p, test), seed=settings.seed)
    return found


def of(subject: Subject) -> Calibration:
    """Guesses at hidden words of all sentences: 1,000 where it is to be quick, else 10,000, one half for the temperature. Of the
    generated language, label smoothing as well."""
    found = measure(subject.bert, subject.texts, 1000 if subject.quick else 10_000, seed=subject.seed)
    try:
        return found._replace(smoothing=_smoothing_of(subject))
    except ValueError as error:
        return found._replace(smoothing=str(error))


def _smoothing_of(subject: Subject) -> dict[str, Calibration]:
    """Praise or not, of the generated language."""
    if subject.world is None:
        raise ValueError("needs the generated language")
    bert, n = subject.bert, 500 if subject.quick else 2000

    def examples(split: str) -> list[Example]:
        return [tuning.Example((bert.tokenizer.encode(row["text"], max_length=bert.max_length),), int(row["label"] == "positive"))
                for row in task_files.rows(subject.world.language, "sentiment", split, n, subject.seed)]

    tests = {domain: examples(split) for domain, split in DOMAINS.items()}
    settings = tuning.Settings(150 if subject.quick else 600, seed=subject.seed)
    return smoothing(bert, examples("train"), examples("dev"), tests, settings)


def lines(result: Calibration) -> list[Line]:
    """Errors from 0 to 1; the control is that of a model that is right just as often as it is sure. Then those of the task."""
    found = [*_errors(result, papers=(".019", ".008")), Line("largest gap of a bin (MCE)", result.before.mce),
             Line("temperature", result.temperature, 1.0), Line("loss, nats", result.loss[0]),
             Line("loss at the temperature", result.loss[1], result.loss[0]), Line("right", result.accuracy)]
    if isinstance(result.smoothing, str):
        return [*found, *([Line(f"label smoothing: {result.smoothing}", "not measured")] if result.smoothing else [])]
    for name, one in result.smoothing.items():
        found += [Line(f"{name}: right", one.accuracy), *_errors(one, f"{name}: "),
                  Line(f"{name}: temperature", one.temperature, 1.0)]
    return found


def _errors(result: Calibration, of: str = "", papers: Sequence[str | None] = (None, None)) -> list[Line]:
    """The ECE with both edges, before and after. The paper's are of bins [a, b)."""
    return [Line(f"{of}ECE{at}, bins {bins}", result.ece[edges][i], result.floor, paper if edges == "left" else None)
            for edges, bins in EDGES.items() for i, (at, paper) in enumerate(zip(("", " at the temperature"), papers))]


def verdict(result: Calibration) -> str:
    """Agrees where the ECE is at most .05 and the temperature at least halves what of it is above the floor, or the ECE is
    within .01 of the floor already; contradicts where not; with fewer than 500 examples, or guesses right in less than 5 %, it
    cannot be shown."""
    if result.examples < 500 or result.accuracy < 0.05:
        return CANNOT
    left, was = result.after.ece - result.floor, result.before.ece - result.floor
    return AGREES if was <= 0.01 or (result.before.ece <= 0.05 and left <= was / 2) else CONTRADICTS


def plot(result: Calibration) -> Figure:
    """The reliability diagram: how often the guesses are right, by how sure the model is of them."""
    middle = (np.arange(len(result.before.count)) + 0.5) / len(result.before.count)
    tables = {f"as it is: ECE {result.before.ece:.3f}": result.before,
              f"T = {result.temperature:.2f}: ECE {result.after.ece:.3f}": result.after}
    right = {name: found.accuracy for name, found in tables.items()} | {"ideal": middle}
    many = {name: found.count for name, found in tables.items()}
    return plots.panels(f"Calibration: {result.examples:,} guesses, {result.accuracy:.0%} right",
                        plots.Lines("How often it is right", "how sure (middle of the bin)", middle, right, "right"),
                        plots.Bars("How many guesses", [f"{x:.2f}" for x in middle], many, "guesses"))


def _logits(bert: Trained, hidden: Sequence[tuple[Encoding, int]]) -> np.ndarray:
    """``(N, V)``: what the model says in the place of one token of each text, hidden behind [MASK]."""
    mask, V = bert.tokenizer.vocab.mask_id, len(bert.tokenizer.vocab)
    found = np.empty((len(hidden), V), bert.parameters.flat.dtype)

    def work(batch: np.ndarray) -> None:
        asked = [hidden[k] for k in batch]
        out = batched.answer(bert, [replace(e, ids=[*e.ids[:t], mask, *e.ids[t + 1:]]) for e, t in asked])
        state = out.last_hidden_state
        places = get_xp(state).asarray([row * state.shape[1] + t for row, (_, t) in enumerate(asked)])
        found[batch] = to_numpy(mlm.forward(state, places, bert.parameters["cls"]["predictions"], bert.config)[0][:, :V])

    batched.each(bert, [len(e) for e, _ in hidden], work)
    return found


def _examples(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``(N, C)`` whose largest is 0, and ``(N,)`` what the targets have of them: q·z."""
    z, targets = np.asarray(logits, float), np.asarray(targets)
    if z.ndim != 2 or not z.size or targets.shape not in (z.shape[:1], z.shape):
        raise ValueError("logits must be (N, C), and targets labels (N,) or distributions (N, C), got shapes "
                         f"{z.shape} and {targets.shape}")
    if not np.isfinite(z).all():
        raise ValueError("logits must be finite numbers")
    if targets.ndim == 1 and not ((targets >= 0) & (targets < z.shape[1])).all():
        raise ValueError(f"labels must be from 0 to {z.shape[1] - 1}, got {targets.min()} to {targets.max()}")
    z = z - z.max(1, keepdims=True)
    return z, z[np.arange(len(z)), targets] if targets.ndim == 1 else (targets * z).sum(1)


def _shares(classes: int, s: float, over: str) -> tuple[float, float]:
    """What the true label gets of a target, and each of the others."""
    if classes < 2 or not 0 <= s <= 1 or over not in ("others", "all"):
        raise ValueError('label smoothing takes at least 2 classes, s from 0 to 1, and over "others" or "all", got '
                         f"{classes}, {s} and {over!r}")
    other = s / (classes - 1 if over == "others" else classes)
    return 1 - (classes - 1) * other, other
