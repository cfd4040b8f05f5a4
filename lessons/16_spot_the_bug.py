# %% [markdown]
# # 16. Spot the bug
#
# **You will do** meet twelve parts of a BERT that are each wrong in one place, and write for each the check that fails.
#
# **You will learn** which four questions find the mistakes that a falling loss and a gradient check let through.
#
# **You need** lessons 4 to 14: every check is made with their tools. Time: about 30 minutes to read, two hours for the
# exercises; runs in about 40 s.

# %%
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import suspects
import workbench as wb

import gradcheck
from minibert.config import BertConfig
from minibert.layers import attention, cross_entropy
from minibert.layers.dropout import Key
from minibert.model import bert, pretraining
from minibert.model.blocks import post_ln as block
from minibert.tasks import batches
from minibert.tasks.corruption import masking
from minibert.text import Tokenizer, Vocabulary
from minibert.training import adamw
from minibert.workers import Workers

# %% [markdown]
# ## The question
#
# `lessons/suspects.py` holds twelve small parts: a linear layer, a mask, a loss, a way to pool. Each stands in for a part of
# the library, or for a few lines of a training script. Each was collected from tutorials that people learn from. Each runs
# without an error. And with each the loss falls. How would you ever notice?
#
# ## A language for which a minute is enough
#
# We need a text that a tiny BERT learns in two seconds. So sentences are stretches of well-known lists. After "tuesday" comes
# "wednesday": a masked word can be told from its neighbours. The next sentence goes on in the same list; a random one is from
# another list.

# %%
lists = [line.split() for line in (
    "monday tuesday wednesday thursday friday saturday sunday", "do re mi fa sol la ti", "north east south west",
    "january february march april may june july august september october november december",
    "one two three four five six seven eight nine ten eleven twelve", "red orange yellow green blue indigo violet",
    "mercury venus earth mars jupiter saturn uranus neptune", "alpha beta gamma delta epsilon zeta eta theta")]
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
tokenizer = Tokenizer(Vocabulary([*special, *(word for line in lists for word in line)]))


def documents(seed: int, sentences: int = 60) -> list[list[list[int]]]:
    """One document for each list: it is walked through again and again, in sentences of 2 to 5 words."""
    rng, result = np.random.default_rng(seed), []
    for words in lists:
        at = np.cumsum(rng.integers(2, 6, sentences + 1))
        result.append([[tokenizer.vocab.index[words[i % len(words)]] for i in range(*ends)] for ends in pairwise(at)])
    return result


for sentence in documents(0)[0][:3]:
    print(tokenizer.decode(sentence))
T = 10  # the longest example, with [CLS] and two [SEP]
stream = batches.Stream(documents(0), tokenizer, max_length=T, batch_size=32, seed=0)
(held_out,) = batches.held_out(documents(1), tokenizer, max_length=T, max_tokens=10**6)
print(f"V = {len(tokenizer.vocab)}, blind guessing costs ln V = {np.log(len(tokenizer.vocab)):.2f} nats a word")

# %% [markdown]
# The model has two layers and H = 32. Training is the plain loop of lesson 13: two micro-batches a step, gradients summed, one
# step of AdamW. A `Plan` says what is swapped. The library calls its parts through their modules, so a part is replaced by
# naming the module and the name (`patch.object` puts the right one back afterwards).

# %%
config = BertConfig(vocab_size=len(tokenizer.vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                    intermediate_size=64, max_position_embeddings=2 * T, initializer_range=0.2, hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0)


class Plan(NamedTuple):
    """What is swapped. Model and eyes also hold when the trained model is used; the rest only while it trains."""

    model: Sequence[tuple[Any, str, Any]] = ()  # (module, name, what stands in for it)
    eyes: Callable = lambda x: x  # Inputs -> Inputs: how the model is shown an input
    loss: Sequence[tuple[Any, str, Any]] = ()
    data: Callable = lambda x: x  # Inputs -> Inputs
    masks: Callable | None = None  # (examples, step) -> examples
    start: Callable = pretraining.initial_parameters
    config: BertConfig = config


def swapped(parts: Sequence[tuple[Any, str, Any]]) -> ExitStack:
    stack = ExitStack()
    for module, name, part in parts:
        stack.enter_context(patch.object(module, name, part))
    return stack


# %%
def train(plan: Plan, steps: int, lr: float = 5e-3) -> tuple[list[float], Any]:
    """The loss of every step, and the trained parameters."""
    p = plan.start(plan.config, seed=0)
    g, m, v = (p.zeros_like() for _ in range(3))
    curve, position = [], batches.Position()
    for step in range(1, steps + 1):
        examples, position = stream.batch(position)
        examples = plan.masks(examples, step) if plan.masks else examples
        curve.append(0.0)
        for i, half in enumerate((examples[::2], examples[1::2])):
            x = plan.eyes(plan.data(pretraining.inputs(batches.collate(half), np)))
            with swapped([*plan.model, *plan.loss]):
                out, cache = pretraining.forward(x, p, plan.config, key=Key(0, step, i))
                pretraining.backward(pretraining.Output(loss=0.5), cache, p, g)
            curve[-1] += float(out.loss) / 2
        for run in adamw.runs(p.layout):
            at = slice(run.start, run.stop)
            rate = adamw.learning_rate(step, lr, max(steps // 10, 1), steps)
            adamw.update(p.flat[at], g.flat[at], m.flat[at], v.flat[at], rate, step, run.decay, adamw.DEFAULT)
        g.flat.fill(0)
    return curve, p


class Use(NamedTuple):
    """The trained model on sentences it has not seen, with honest masks and an honest loss."""

    loss: float
    words: float  # share of the masked words that are right
    next: float  # share of the pairs that are right


def use(plan: Plan, p: Any) -> Use:
    x = pretraining.inputs(held_out, np)
    with swapped(plan.model):
        out, _ = pretraining.forward(plan.eyes(x), p, plan.config)
    return Use(float(out.loss), float((out.logits.argmax(-1) == x.labels).mean()),
               float((out.next_logits.argmax(-1) == x.next_labels).mean()))


# %% [markdown]
# ## Ten of them in training
#
# Ten suspects act while a model is trained. Two of them concern padding, of which these short examples have hardly any: there
# every example is padded to 20 tokens, as scripts with one fixed length do. Number 6 is about evaluation: its model is trained as
# it should be, with dropout. Number 12 comes later. Three suspects have to be fitted in; the others take the place of a library
# part as they are.

# %%
def widened(x: pretraining.Inputs) -> pretraining.Inputs:
    """Every example padded to 2·T tokens; the masked places keep their tokens."""
    short = x.ids.shape[1]
    grown = [np.pad(a, ((0, 0), (0, 2 * T - short))) for a in (x.ids, x.token_type_ids)]
    mask = np.pad(np.ones(x.ids.shape, bool) if x.attention_mask is None else x.attention_mask, ((0, 0), (0, 2 * T - short)))
    return x._replace(ids=grown[0], token_type_ids=grown[1], attention_mask=mask,
                      positions=x.positions // short * 2 * T + x.positions % short)


def in_slots(x: pretraining.Inputs) -> pretraining.Inputs:
    """The masked places handed over in a rectangle: as many slots for each sentence."""
    B, long = x.ids.shape
    rows = [np.flatnonzero(x.positions // long == b) for b in range(B)]
    places, words = suspects.label_slots_8([x.positions[r] % long for r in rows], [x.labels[r] for r in rows], long, slots=2)
    return x._replace(positions=places, labels=words)


def remasked(mask: Callable) -> Callable:
    """Examples masked once more, from their original words, by ``mask(rows, step)``."""
    def again(examples: list[masking.Masked], step: int) -> list[masking.Masked]:
        rows = [example.ids.copy() for example in examples]
        for ids, example in zip(rows, examples):
            ids[example.positions] = example.labels
        return [masking.Masked(ids, example.split, example.next_label, places, words)
                for (ids, places, words), example in zip(mask(rows, step), examples)]

    return again


# %%
both_heads = SimpleNamespace(IGNORE=cross_entropy.IGNORE, backward=cross_entropy.backward, forward=lambda x, labels, count=None:
                             cross_entropy.forward(x, np.where(labels == 0, cross_entropy.IGNORE, labels)))
plans = {
    0: Plan(),
    1: Plan(model=[(attention, "linear", suspects.linear_1)]),
    2: Plan(model=[(block, "add_norm", suspects.add_norm_2)]),
    3: Plan(model=[(block, "linear", suspects.linear_3), (attention, "linear", suspects.linear_3)]),
    4: Plan(model=[(bert, "additive_mask", suspects.additive_mask_4)], data=widened),
    5: Plan(eyes=lambda x: x._replace(attention_mask=None), data=widened),
    6: Plan(config=replace(config, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)),
    7: Plan(loss=[(pretraining, "TERMS", [term._replace(loss=both_heads) for term in pretraining.TERMS])]),
    8: Plan(data=in_slots),
    9: Plan(masks=remasked(lambda rows, step: [suspects.mask_9(ids, stream.rule, (0, step, i)) for i, ids in enumerate(rows)])),
    10: Plan(masks=remasked(lambda rows, step: suspects.mask_batch_10(rows, stream.rule, 0, step))),
    11: Plan(start=suspects.initial_parameters_11),
}
for seed in (1, 2):  # the right model twice more, from other first weights
    plans[f"0, seed {seed}"] = Plan(start=lambda config, seed, other=seed: pretraining.initial_parameters(config, other))
steps = wb.choose(500, 3)
with Workers(1):  # one thread: these matrices are too small to share
    trained = {which: train(plan, steps) for which, plan in plans.items()}
    used = {which: use(plan, trained[which][1]) for which, plan in plans.items()}
assert all(np.isfinite(curve).all() for curve, _ in trained.values()), "no suspect gives itself away by a nan"

# %% [markdown]
# Before the results, one promise of the right parts. Padding must change nothing. So the right model need not be trained on
# padded examples a second time: its loss is the same on both.

# %%
x = pretraining.inputs(held_out, np)
narrow, wide = (pretraining.forward(made, trained[0][1], config)[0].loss for made in (x, widened(x)))
print(f"the right model, held-out loss: {narrow:.6f} without padding, {wide:.6f} with 10 tokens of it")
assert np.isclose(narrow, wide, rtol=1e-5)

# %% [markdown]
# ## Every loss falls
#
# `0` is the right model, with three different first weights. The first two columns are what a tutorial shows: the loss while
# training. The others are what one gets: the same loss on sentences never seen, counted honestly, and the share of words and of
# pairs that are right.

# %%
names = ["nothing wrong", "linear", "add & norm", "linear", "mask", "encode", "(dropout on)", "two losses", "label slots",
         "mask a sentence", "mask a batch", "parameters"]
rows = [(str(which), "nothing wrong" if isinstance(which, str) else names[which], float(np.mean(curve[:10])),
         float(np.mean(curve[-30:])), used[which].loss, f"{used[which].words:.0%}", f"{used[which].next:.0%}")
        for which, (curve, _) in trained.items()]
wb.table(["", "suspect", "first loss", "last loss", "held out", "words right", "pairs right"], rows)
RIGHT = [which for which in plans if which == 0 or isinstance(which, str)]
right = [used[which].loss for which in RIGHT]
print(f"the right model's held-out loss: {min(right):.2f} to {max(right):.2f}, by the first weights alone")
if not wb.QUICK:
    last = {which: row[3] for which, row in zip(trained, rows)}
    assert all(row[3] < row[2] - 0.3 for row in rows), "with every suspect the loss falls"
    assert last[7] < last[0], "the last loss of number 7 is lower than the right model's"
    assert used[7].next < 0.6 < 0.9 < used[0].next, "and its pairs are guessed by a coin"
    assert used[8].loss > last[8] + 0.4, "number 8 is much worse than its training loss says"
    assert all(used[which].loss < last[which] + 0.2 for which in RIGHT), "the right ones are what it says"
    assert min(used[1].loss, used[2].loss) > max(right), "numbers 1 and 2 are worse than chance explains"
    assert used[9].loss < max(right) + 0.3, "number 9 is not"

# %% [markdown]
# Read the table slowly.
#
# - Number 7 ends with a *lower* training loss than the right model, and guesses pairs by a coin. Number 8 looks like one of
#   the right models while it trains, but on text never seen its loss is far above that. Theirs is not. Whoever compares training
#   losses keeps both.
# - Number 1 falls too. It stops where word frequencies alone take it. Number 2 stops on the way.
# - Other first weights change the right model as much as several of the mistakes do. So this table is no proof against anybody.
#   And a mistake that hardly costs anything here is one all the same: you no longer have the model that you describe.
#
# Two suspects act when a model is used. Number 6 evaluates, number 12 makes one vector of a sentence.

# %%
x = pretraining.inputs(held_out, np)
p6 = trained[6][1]
honest = pretraining.forward(x, p6, plans[6].config)[0].loss
evaluated = [suspects.evaluate_6(x, p6, plans[6].config) for _ in range(8)]
print(f"number 6: the model's loss is {honest:.3f}; it says", " ".join(f"{loss:.3f}" for loss in evaluated[:4]), "…")
if not wb.QUICK:
    assert min(evaluated) > honest, "it always says too much"

states = pretraining.forward(widened(x), trained[0][1], config)[0].bert.last_hidden_state  # (B, 2·T, H)
shown = widened(x).attention_mask.copy()
base = states[:, :T].mean(1)
pooled = [suspects.pool_12(states[:, :T + more], shown[:, :T + more]) for more in range(T + 1)]
shift = [float(np.linalg.norm(y - base) / np.linalg.norm(base)) for y in pooled]
print("number 12: how far a sentence's vector moves with 0, 5, 10 tokens of padding:", *(f"{shift[i]:.0%}" for i in (0, 5, 10)))
assert shift[10] > shift[5] > 0 == shift[0], "padding moves the mean"

# %% [markdown]
# ## The picture
#
# Grey is the right model, three times, from three first weights: what differs among these is chance. Orange is the suspect. Lines
# are training losses; dots at the right edge are honest held-out losses. An orange dot among the grey ones accuses nobody.

# %%
def smooth(curve: Sequence[float], width: int = 20) -> np.ndarray:
    return np.convolve(curve, np.ones(width) / width, "valid") if len(curve) > 2 * width else np.array(curve)


made = wb.figure(17, 10.5, "Ten mistakes in training, and the loss falls with each; two more in use")
panels = made.subplots(3, 4)
for number, panel in enumerate(panels.flat, start=1):
    panel.set_title(f"{number}  {[*names, 'pool'][number]}", fontsize=15)
    if number in (6, 12):
        continue
    for which, colour, offset in [*((which, wb.GREY, 1.04) for which in RIGHT), (number, wb.ORANGE, 1.1)]:
        panel.plot(smooth(trained[which][0]), color=colour, linewidth=1.2 if which in RIGHT else 2)
        panel.plot(steps * offset, used[which].loss, "o", color=colour, alpha=0.7, clip_on=False)
    panel.set(ylim=(0, 7), xlabel="step", ylabel="loss in nats")
    panel.text(0.96, 0.93, f"pairs right: {used[number].next:.0%}\nwords right: {used[number].words:.0%}", ha="right", va="top",
               transform=panel.transAxes, fontsize=13)
panels.flat[5].plot(range(1, 9), evaluated, "o", color=wb.ORANGE)
panels.flat[5].axhline(honest, color=wb.GREY)
panels.flat[5].set(title="6  evaluate", xlabel="attempt", ylabel="held-out loss in nats", ylim=(0, 1.6 * max(evaluated)))
panels.flat[11].plot(range(T + 1), [100 * s for s in shift], color=wb.ORANGE)
panels.flat[11].axhline(0, color=wb.GREY)
panels.flat[11].set(xlabel="tokens of padding", ylabel="the vector moves by, %")
wb.save(made, "16_spot_the_bug")

# %% [markdown]
# ## A promise, and a thirteenth suspect
#
# So the loss finds nothing. Does the gradient check? Take one more part, on numbers that fit on the screen: the mean surprise
# of lesson 10, over rows that are not ignored.
#
#     loss = 1/count · Σ_n -log softmax(logits_n)[label_n]        over the rows n whose label is not IGNORE

# %%
ignored = 2  # <- the knob

rng = np.random.default_rng(3)
logits = np.round(rng.standard_normal((3 + ignored, 4)), 1)  # (N, V)
labels = np.array([2, 0, 3] + [cross_entropy.IGNORE] * ignored)
wb.show("logits", logits, "(N, V)", digits=1)
wb.show("labels", labels, "(N,)")

total = count = 0
for row, label in zip(logits, labels):  # the plain loop
    if label != cross_entropy.IGNORE:
        total -= np.log(np.exp(row[label]) / sum(np.exp(row)))
        count += 1
keep = labels != cross_entropy.IGNORE  # NumPy
vectorised = -np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))[keep, labels[keep]].mean()
library, _ = cross_entropy.forward(logits, labels)
print(f"loop {total / count:.6f}, NumPy {vectorised:.6f}, library {library:.6f}")
assert np.isclose(total / count, vectorised)
assert np.isclose(library, vectorised)

# %% [markdown]
# The thirteenth suspect divides by the number of all rows. It looks harmless: `mean()` over everything.

# %%
thirteenth = gradcheck.Pair(lambda x, labels: cross_entropy.forward(x, labels, count=len(labels)), cross_entropy.backward)
print(f"right {library:.4f}, suspect {thirteenth.forward(logits, labels)[0]:.4f}")
for name, part in [("right", cross_entropy), ("suspect", thirteenth)]:
    result = gradcheck.check(part, {"x": logits, "labels": labels}, name=name)
    print(f"gradient check of the {name} one: {result.worst('complex'):.0e} by complex step")
    assert result.ok

# %% [markdown]
# Both pass. A gradient check asks one thing only: does the backward belong to the forward? If the forward computes the wrong
# thing, the backward computes its exact derivative. Lesson 4 said that a falling loss proves nothing. A gradient check proves
# something, but not that.
#
# ## Four questions
#
# What did the loss promise? "Ignored rows do not count." A promise of this kind can be asked for in four ways. None of them needs
# a second implementation to compare with.
#
# | question | finds that something is | met in lesson |
# |---|---|---|
# | Change what must **not** matter: is the result the same? | read though it should not be | 3, 8 (padding), 10 (labels) |
# | Change what **must** matter: does the result move? | not read though it should be | 4 (gradients that are zero), 9, 10 |
# | Ask **twice**: is it the same, or twice as much? | random, left over, overwritten | 4 (`+=`), 9 |
# | **Count** over many draws: what occurs, how often, with what? | drawn from the wrong pot | 10 (80/10/10), 11 |
#
# Here it is the first. One more ignored row must change nothing.

# %%
def ignores_what_is_ignored(part: Any) -> bool:
    """Does a row with an ignored label leave the loss as it is?"""
    rng = np.random.default_rng(5)
    logits, labels = rng.standard_normal((4, 3)), np.array([1, 0, 2, 2])
    before, _ = part.forward(logits, labels)
    more = np.concatenate([logits, rng.standard_normal((1, 3))])
    after, _ = part.forward(more, np.append(labels, cross_entropy.IGNORE))
    return bool(np.isclose(before, after))


print("library:", ignores_what_is_ignored(cross_entropy), "  suspect:", ignores_what_is_ignored(thirteenth))
assert ignores_what_is_ignored(cross_entropy)
assert not ignores_what_is_ignored(thirteenth)

# %% [markdown]
# This is the form of all twelve exercises: a function that takes a part and says whether it keeps its promise.
#
# ## The suspects
#
# | number | in `suspects.py` | stands in for | its promise |
# |---|---|---|---|
# | 1 | `linear_1` | `layers/linear.py` | the output is made of x and the parameters |
# | 2 | `add_norm_2` | `layers/add_norm.py` | what the layer was given is carried past it |
# | 3 | `linear_3` | `layers/linear.py` | what several calls say about a weight is summed |
# | 4 | `additive_mask_4` | `softmax.additive_mask` | no token takes anything from padding |
# | 5 | `encode_5` | calling the model | a text's vectors do not depend on the rest of the batch |
# | 6 | `evaluate_6` | an evaluation | the model is judged as it is used: all of it |
# | 7 | `losses_7` | the two losses | every pair counts |
# | 8 | `label_slots_8` | gathering the masked places | unused slots take no part in the loss |
# | 9 | `mask_9` | `tasks/corruption/masking.py` | special tokens are neither chosen nor put in |
# | 10 | `mask_batch_10` | masking a batch | each sentence is masked on its own |
# | 11 | `initial_parameters_11` | `model/pretraining.py` | the table that reads the words guesses them |
# | 12 | `pool_12` | one vector per sentence | the mean over the sentence's tokens |
#
# Look at the suspect's lines first, and at the library's part beside it. Then write the check. It is tried on the right part,
# on the suspect, and on a second part with the same fault in other clothes. So ask for the promise, not for the line.
#
# ## One knob to turn
#
# `ignored`, the number of ignored rows in the cell with the toy. The right loss stays as it is for 0, 2 or 20. The thirteenth
# suspect's loss gets smaller with each of them, and is right for 0. That is why nobody notices on a batch without padding. The
# logits are drawn anew for every size, so compare the two losses of one run.
#
# ## Exercises
#
# Twelve, one for each suspect. The last cell prints them.
#
# ## When you are stuck
#
# | what you see | where to look |
# |---|---|
# | "it accuses the library's own part" | your check asks for more than the promise; compare with `np.isclose`, not `==` |
# | "it does not see what is wrong" | does your input make the fault matter? There must be padding, a label 0, two calls |
# | "it misses a second part" | you check the suspect's line, not its promise |
# | `GradientError` | a gradient check that fails raises: catch it with `except gradcheck.GradientError` |
# | number 6 does not differ | the bundled model has no dropout: make a small `BertConfig` with `hidden_dropout_prob=0.5` |
# | number 9 seems right | special tokens are few: make every chosen token a random one, and draw a few thousand |
# | number 11 seems right | look whether the two tables *are* one (`np.shares_memory`), not whether their numbers are equal |

# %%
wb.exercises(16)
