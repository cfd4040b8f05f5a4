"""DeepLIFT: what each token of a text contributes to an output, compared with a reference in which nothing can be read.

::

    Δy = y − y⁰        Σ m·Δx = Δy        m(x → z) = Σ_y m(x → y)·m(y → z)

A multiplier m is a slope, not between two points that lie infinitely close, but between the text and its reference. Multipliers
follow the chain rule, so they run through the network backwards like gradients, and their products with Δx add up to the change
of the output exactly. The product of a gradient and the input does not.

Every rule here is exact. Bars are means of the text and the reference, x̄ = (x + x⁰)/2::

    linear          m_x = Wᵀ·m_y
    product         Δ(a·b) = b̄·Δa + ā·Δb                                        q·k, and attention times values
    activation      m_x = m_y·Δy/Δx, where Δx vanishes f'(x̄)                     the rescale rule
    layer norm      x̂ = c·r: a product; Δr = −(r·r⁰)²/(2r̄)·Δ(1/r²), Δ(1/r²) = 2·mean(c̄·Δc), c = x − mean(x), r = 1/σ
    softmax         m_x = λ∘(m_y − Σ λ·m_y/Σ λ)      λ = Δy/Δ(ln y), the logarithmic mean of y and y⁰

The last is the softmax's own gradient with λ in the place of y: since Σ Δy = 0, Δ(ln Σ exp x) = Σ λ·Δx/Σ λ. It does not hear a
number that is added to all of x. So the whole of it is the ordinary backward pass, read through caches that stand between two:
``between`` makes these, and the layers do not know.

The reference is the text with every word vector that of [MASK], as for integrated gradients in ``inside``. ``measure`` asks
whether contributions say what matters: they are compared, by Spearman's correlation within a text, with how much ln p of the
hidden word falls when one token after the other is hidden too.
Sources: Shrikumar et al. 2017, "Learning Important Features Through Propagating Activation Differences", arXiv:1704.02685 (chain
rule, rescale rule); Arkhangelskaia and Dutta 2019, "Whatcha lookin' at? DeepLIFTing BERT's Attention in Question Answering",
arXiv:1910.06431. Their code is not public; the rules for products, norms and softmax are derived here.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import inside, similarity
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.backend import Array, get_xp, to_numpy
from minibert.kernels import without
from minibert.layers import activation, attention_probs, bias_gelu, bias_tanh, dropout, gelu, layernorm, softmax
from minibert.model import encoder, pooler, pretraining
from minibert.model.bert import Gradients
from minibert.model.model import Inputs, Model, Output
from minibert.parameters import NOTHING, Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.inside import Question
    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "What DeepLIFT gives to tokens shows on which of them an answer rests (Arkhangelskaia and Dutta 2019)."
PAPER = UNVERIFIED
CONTROLS = ("gradient",)

LEAST = 10  # texts
CLOSE = 1e-5  # differences that are smaller are no ground for a slope: the derivative in the middle is as exact


class Contributions(NamedTuple):
    """What the tokens of one text contribute to ln p of a word; they add up to ``value − baseline`` but for ``error``."""

    position: int
    word: str
    tokens: np.ndarray  # (T,) nats
    value: float  # ln p(word) for the text
    baseline: float  # ln p(word) for the reference
    error: float  # Σ tokens − (value − baseline): rounding


class Faithful(NamedTuple):
    """Of N texts, each with one hidden word, how well two explanations tell what happens when a token is hidden as well."""

    deeplift: np.ndarray  # (N,) Spearman's correlation with the fall of ln p
    gradient: np.ndarray  # (N,) the same of gradient times difference, ∂ln p/∂x·(x − x⁰)
    change: np.ndarray  # (N,) value − baseline, nats
    missing: np.ndarray  # (N,) what DeepLIFT's contributions lack of it
    missing_gradient: np.ndarray  # (N,) what those of the gradient lack


def measure(bert: Trained, texts: Sequence[str], seed: int = 0) -> Faithful:
    """One word of each text is hidden, which the seed chooses. Texts of fewer than four tokens are left out."""
    inside.needs_head(bert)
    rng, rows = np.random.default_rng([seed, 0xD1]), []
    for text in texts:
        question = inside.ask(bert, text)
        real = np.flatnonzero(~np.array(question.added))
        if len(real) < 4 or question.masked:
            continue
        at = int(rng.choice(real))
        question, others = inside.ask(bert, text, hide=[at]), real[real != at]
        found = contributions(bert, question, word=bert.tokenizer.vocab.tokens[question.truth[0]])
        slopes, falls = _gradient(bert, question), found.value - _hidden_too(bert, question, others)
        change = found.value - found.baseline
        rows.append((spearman(found.tokens[others], falls), spearman(slopes[others], falls), change, -found.error,
                     change - slopes.sum()))
    if len(rows) < LEAST:
        raise ValueError(f"{len(rows)} of {len(texts)} texts have four tokens or more: a mean over so few says nothing; give at "
                         f"least {LEAST}")
    return Faithful(*map(np.array, zip(*rows)))


def of(subject: Subject) -> Faithful:
    """Of the subject's sentences."""
    return measure(subject.bert, [sentence.text for sentence in subject.different[:60 if subject.quick else 300]], subject.seed)


def lines(result: Faithful) -> list[Line]:
    """Both explanations side by side."""
    return [Line("correlation with what happens when a token is hidden", float(np.nanmean(result.deeplift)),
                 float(np.nanmean(result.gradient))),
            Line("does not add up, nats", float(np.abs(result.missing).mean()), float(np.abs(result.missing_gradient).mean())),
            Line("change that is explained, nats", float(np.abs(result.change).mean()))]


def verdict(result: Faithful) -> str:
    """Agrees where DeepLIFT tells what matters better than the gradient does, by more than two standard errors of their paired
    difference; contradicts where it is worse by as much."""
    difference = result.deeplift - result.gradient
    difference = difference[np.isfinite(difference)]
    if len(difference) < LEAST:
        return CANNOT
    z = difference.mean() / max(difference.std(ddof=1) / np.sqrt(len(difference)), 1e-12)
    return AGREES if z > 2 else CONTRADICTS if z < -2 else CANNOT


def plot(result: Faithful) -> Figure:
    """How well each explanation tells what matters, and how much of the change it leaves unexplained."""
    both = {"DeepLIFT": (result.deeplift, result.missing), "gradient × difference": (result.gradient, result.missing_gradient)}
    return plots.panels(f"What a guess rests on ({len(result.deeplift):,} texts)",
                        plots.Bars("Does it tell what matters?", ["all texts"],
                                   {name: [np.nanmean(x)] for name, (x, _) in both.items()}, "Spearman's correlation"),
                        plots.Bars("What does not add up", ["all texts"],
                                   {name: [np.abs(x).mean()] for name, (_, x) in both.items()}, "nats, of a change of "
                                   f"{np.abs(result.change).mean():.2f}"))


def contributions(bert: Trained, question: Question, position: int | None = None, word: str | None = None) -> Contributions:
    """Which tokens speak for ``word`` at the mask at ``position``: by default the best guess at the first mask."""
    inside.needs_head(bert)
    position, target = inside._target(bert, question, position, word)
    xp, V = get_xp(bert.parameters.flat), len(bert.tokenizer.vocab)
    x = pair(bert, question)
    inputs = _inputs(bert, question, x, position)

    def top(logits: Array) -> tuple[Array, Array]:
        log_p = logits[:, :V] - logits[:, :V].max(-1, keepdims=True)
        log_p = log_p - xp.log(xp.exp(log_p).sum(-1, keepdims=True))
        mean = logarithmic_mean(*xp.exp(log_p))
        m = xp.zeros_like(logits[:1])
        m[0, :V] = -mean / mean.sum()
        m[0, target] += 1
        return log_p[:, target], m

    values, m = multipliers(pretraining.of(bert.config), inputs, bert.parameters.tree, "mlm", top)
    found = to_numpy((m * (x[0] - x[1])).sum(-1))
    value, baseline = map(float, values)
    return Contributions(position, bert.tokenizer.vocab.tokens[target], found, value, baseline,
                         float(found.sum() - (value - baseline)))


def pair(bert: Trained, question: Question) -> Array:
    """``(2, T, E)``: the word vectors of a text and those of its reference."""
    table = bert.parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
    reference = np.where(question.added, question.ids, bert.tokenizer.vocab.mask_id)
    return table[get_xp(table).asarray(np.stack([question.ids, reference]))]


def multipliers(model: Model, inputs: Inputs, p: Tree, head: str, top: Any) -> tuple[Array, Array]:
    """Values ``(2,)`` of an output for the text and its reference, and the multipliers ``(T, E)`` of its word vectors.

    ``inputs``: word vectors ``(2, T, E)``, as ``pair`` makes them. ``top``: from the logits of ``head`` to the two values, and to
    the multipliers of these logits, 1 long where they are 2. ValueError for an activation that has no rule.
    """
    with without():  # the caches of readable pairs, for which there are rules
        out, cache = model.forward(inputs, p, read=(head,))
        values, m = top(out.logits[head])
        d: Gradients = model.backward(Output(logits={head: m}), between(cache), p, NOTHING)
    return values, d.embeddings[0]


def between(cache: Any) -> Any:
    """The cache of a batch of two, the text and its reference -> of a batch of one, through which gradients are multipliers."""
    if (rule := RULES.get(type(cache))) is not None:
        return rule(cache)
    if isinstance(cache, tuple) and hasattr(cache, "_fields"):
        return type(cache)(*map(between, cache))
    if isinstance(cache, (list, tuple)):
        return [between(part) for part in cache]
    if isinstance(cache, dict):
        return {name: between(part) for name, part in cache.items()}
    if hasattr(cache, "dtype") and cache.ndim:
        return cache.mean(0, keepdims=True) if cache.dtype.kind == "f" else cache[:1]
    return cache


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The rank correlation of a and b ``(n,)``; NaN where one of them is all the same."""
    try:
        return similarity.spearman(a, b)
    except ValueError:
        return np.nan


def logarithmic_mean(a: Array, b: Array) -> Array:
    """(a − b)/(ln a − ln b) of numbers that are not negative; a where the two are equal, 0 where one is 0."""
    xp = get_xp(a)
    tiny = float(np.finfo(a.dtype).tiny)
    d = xp.log(xp.maximum(a, tiny)) - xp.log(xp.maximum(b, tiny))
    far = xp.abs(d) > CLOSE
    return xp.where(far, (a - b) / xp.where(far, d, 1), (a + b) / 2)


def slope(x: Array, y: Array, middle: Array) -> Array:
    """Δy/Δx of arrays ``(2, …)``, as ``(1, …)``; ``middle``: the derivative at x̄."""
    xp = get_xp(x)
    dx = x[:1] - x[1:]
    far = xp.abs(dx) > CLOSE
    return xp.where(far, (y[:1] - y[1:]) / xp.where(far, dx, 1), middle)


def _inputs(bert: Trained, question: Question, x: Array, position: int) -> Inputs:
    """The question with each of the ids ``(B, T)`` or word vectors ``(B, T, E)`` in x, asked about one position."""
    xp, (B, T), positions = get_xp(x), x.shape[:2], inside._positions(bert, question)
    return Inputs(x, xp.asarray(np.tile(question.token_type_ids, (B, 1))), positions=xp.arange(B) * T + position,
                  position_ids=None if positions is None else positions.repeat(B, 0))


def _gradient(bert: Trained, question: Question) -> np.ndarray:
    """``(T,)``: ∂ln p(truth)/∂x·(x − x⁰), which adds up to no change."""
    (position,), (target,), x = question.masked, question.truth, pair(bert, question)
    model, p, V = pretraining.of(bert.config), bert.parameters, len(bert.tokenizer.vocab)
    out, cache = model.forward(_inputs(bert, question, x[:1], position), p, read=("mlm",))
    m = -out.logits["mlm"]
    m[:, :V] = -softmax.forward(-m[:, :V])[0]
    m[:, V:] = 0
    m[0, target] += 1
    d = model.backward(Output(logits={"mlm": m}), cache, p, NOTHING)
    return to_numpy((d.embeddings[0] * (x[0] - x[1])).sum(-1))


def _hidden_too(bert: Trained, question: Question, others: np.ndarray) -> np.ndarray:
    """ln p(truth) where each of the other positions ``(n,)`` is behind [MASK] as well, one at a time."""
    (position,), (target,), xp = question.masked, question.truth, get_xp(bert.parameters.flat)
    ids = np.tile(question.ids, (len(others), 1))
    ids[np.arange(len(others)), others] = bert.tokenizer.vocab.mask_id
    out, _ = pretraining.of(bert.config).forward(_inputs(bert, question, xp.asarray(ids), position), bert.parameters,
                                                 read=("mlm",))
    z = out.logits["mlm"][:, :len(bert.tokenizer.vocab)]
    z = z - z.max(-1, keepdims=True)
    return to_numpy(z[:, target] - xp.log(xp.exp(z).sum(-1)))


def _norm(cache: layernorm.Cache) -> layernorm.Cache:
    r, r0 = cache.rstd[:1], cache.rstd[1:]
    middle = (r + r0) / 2
    c = (cache.xhat / cache.rstd).mean(0, keepdims=True)
    return layernorm.Cache(c * (r * r0 / middle), middle)


def _probs(cache: attention_probs.Cache) -> attention_probs.Cache:
    """The softmax's gradient asks for shares: those of λ, and Σ λ in the place of what is dropped."""
    mean = logarithmic_mean(*cache.softmax.y)[None]
    total = mean.sum(-1, keepdims=True)
    return attention_probs.Cache(softmax.Cache(mean / total), dropout.Cache(total))


def _activation(cache: activation.Cache) -> activation.Cache:
    if cache.pair is bias_gelu:
        x, cdf, form = cache.kept.gelu
        middle = x.mean(0, keepdims=True)
        kept = slope(x, x * cdf, gelu.backward(get_xp(x).ones_like(middle), gelu.forward(middle, form)[1]))
    elif cache.pair is bias_tanh:
        kept = _of_tanh(cache.kept.y)
    else:
        raise ValueError("DeepLIFT has rules for gelu and tanh; this model has another activation, whose backward pass forgets "
                         "where below 0 its input was")
    return activation.Cache(SimpleNamespace(backward=lambda dy, kept, p, g: dy * kept), kept)


def _of_tanh(y: Array) -> Array:
    xp = get_xp(y)
    x = xp.arctanh(y)
    return slope(x, y, 1 - xp.tanh(x.mean(0, keepdims=True)) ** 2)


def _pooler(cache: pooler.Cache) -> pooler.Cache:
    if cache.kind == "relu":
        raise ValueError("DeepLIFT has no rule for a pooler with relu, whose backward pass forgets where below 0 its input was")
    y = cache.y[:1] if cache.kind == "first" else (1 - _of_tanh(cache.y)) ** 0.5  # its gradient is 1 − y²
    return pooler.Cache(cache.x[:1], cache.kind, between(cache.dense), y)


def _encoder(cache: encoder.Cache) -> encoder.Cache:
    return cache._replace(blocks=between(cache.blocks), states=between(cache.states))


RULES = {layernorm.Cache: _norm, attention_probs.Cache: _probs, activation.Cache: _activation, pooler.Cache: _pooler,
         encoder.Cache: _encoder}
