# %% [markdown]
# # 29. Calibration
#
# **You will do** sort guesses by how sure they are, draw how often they are right, put one number to it in two ways that differ,
# repair a model with a single number, and teach one never to be too sure.
#
# **You will learn** why the number has a floor above 0, what a temperature can mend and what not, and that a truth is calibrated
# without being always right.
#
# **You need** lesson 10 (cross-entropy), lesson 13 (held-out text), lesson 27 (the posterior).
# Time: about 35 minutes to read; runs in about 90 s.

# %%
from itertools import islice

import generated
import numpy as np
import workbench as wb

from minibert.analysis import calibration
from minibert.layers import cross_entropy, softmax
from minibert.world import World

world = World.of("small")
rng = np.random.default_rng(29)

# %% [markdown]
# ## The question
#
# A model says "80 % sure" a hundred times. How often should it be right? If it is right 80 times, one can act on what it says. If
# it is right 60 times, it is **overconfident** (过度自信), and whoever trusts all guesses above 80 % is misled. That what is said
# is what happens is called **calibration** (校准). *Guo et al. 2017, "On Calibration of Modern Neural Networks", §2.*
#
# ## Toy numbers
#
# Ten guesses; the **confidence** (置信度) of a guess is the largest probability. Two bins, up to a half and above:

# %%
sure = np.array([0.3, 0.4, 0.4, 0.45, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0])
right = np.array([0, 1, 0, 1, 1, 0, 1, 1, 0, 1], bool)
rows = []
for name, inside in (("up to 0.5", sure <= 0.5), ("above", sure > 0.5)):
    rows.append([name, int(inside.sum()), float(sure[inside].mean()), float(right[inside].mean())])
wb.table(["confidence", "guesses", "mean confidence", "right"], rows)
by_hand = 0.4 * abs(0.5 - 0.3875) + 0.6 * abs(4 / 6 - 0.85)
print(f"0.4·|0.5 − 0.3875| + 0.6·|0.667 − 0.85| = {by_hand:.3f}")
assert np.isclose(by_hand, calibration.reliability(sure, right, bins=2).ece)

# %% [markdown]
# ## The equation
#
# The **expected calibration error** (期望校准误差), ECE, with n_b of the N guesses in bin b:
#
# $$\text{ECE} = \sum_b \frac{n_b}{N} \left| \text{right}_b - \text{sure}_b \right|$$
#
# ## The plain-loop version
#
# One thing is left open: where does a confidence of just 0.7 belong, with ten bins? In the paper a bin holds its upper edge,
# (0.6, 0.7]; the code of Desai and Durrett (*2020, "Calibration of Pre-trained Transformers"*) takes the lower one, [0.7, 0.8).

# %%
def ece_in_loops(sure, right, bins, edges):
    """edges: "right" or "left", the one that a bin holds."""
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i, c in enumerate(sure) if (low < c <= high if edges == "right" else low <= c < high)
                  or (c == 0 and b == 0) or (c == 1 and b == bins - 1)]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            confidence = sum(sure[i] for i in inside) / len(inside)
            total += len(inside) / len(sure) * abs(accuracy - confidence)
    return total


# %% [markdown]
# ## The library's own

# %%
for edges in ("right", "left"):
    found = calibration.reliability(sure, right, bins=10, edges=edges)
    print(f"edges {edges:<6} ECE {found.ece:.4f}, guesses by bin {found.count.tolist()}")
    assert np.isclose(found.ece, ece_in_loops(sure, right, 10, edges))
many = rng.uniform(0.2, 1, 5000)
hits = rng.random(5000) < many
assert all(np.isclose(calibration.reliability(many, hits, 15, e).ece, ece_in_loops(many, hits, 15, e)) for e in ("left", "right"))

# %% [markdown]
# For a softmax the edges hardly ever matter: nothing is just 0.7. For votes of ten trees, or for rounded numbers, they do. Say
# which was taken, and how many bins.
#
# ## A floor above 0
#
# `hits` above were drawn so that each guess is right just as often as it is sure. Nothing can be better calibrated. And yet its
# ECE is not 0, because a bin of few guesses is right a little more or less often by luck, and the absolute value counts both:

# %%
floors = {}
for count in (100, 1000, 10_000, 100_000):
    drawn = rng.uniform(0.2, 1, count)
    floors[count] = float(np.mean([calibration.reliability(drawn, rng.random(count) < drawn).ece for _ in range(30)]))
wb.table(["guesses", "ECE of what is perfectly calibrated"], [[count, floor] for count, floor in floors.items()])
assert floors[100] > 0.05 > 0.01 > floors[10_000], "an ECE of 0.05 on a hundred guesses says nothing"

# %% [markdown]
# ## A truth, and a model
#
# In the language of lesson 27 the exact posterior is known. It is no oracle: it is often unsure, and its likeliest word often
# wrong. But it must be calibrated. Beside it a model, trained for a minute, and a second one that learned from only a few
# sentences, again and again, until it knew them by heart.

# %%
TUNING, TEST = wb.choose((1500, 3000), (150, 150))
tuning = list(islice(generated.hidden(world, 291), TUNING))  # these choose the temperature
test = list(islice(generated.hidden(world, 292), TEST))  # on these all is measured


def labels_of(pairs):
    return np.array([world.words.index(word) for _, truth in pairs for word in truth])


posterior = np.concatenate(world.posteriors([seen for seen, _ in test]))  # (M, V)
STEPS = wb.choose(1200, 4)
models = {"a model": generated.train(world, STEPS),
          "300 sentences by heart": generated.train(world, STEPS, few=wb.choose(300, 20))}
guesses = {name: (generated.log_guesses(bert, world, tuning), generated.log_guesses(bert, world, test))
           for name, bert in models.items()}  # ln q (M, V): logits as good as any

# %%
BINS = 10
truth_found = calibration.reliability(posterior.max(1), posterior.argmax(1) == labels_of(test), BINS)
found = {name: calibration.calibrated((first, labels_of(tuning)), (second, labels_of(test)), BINS)
         for name, (first, second) in guesses.items()}
wb.table(["", "right", "mean confidence", "ECE"],
         [["the exact posterior", float((posterior.argmax(1) == labels_of(test)).mean()), float(posterior.max(1).mean()),
           truth_found.ece],
          *([name, one.accuracy, float(np.exp(guesses[name][1]).max(1).mean()), one.before.ece] for name, one in found.items())])
draws = [calibration.reliability(posterior.max(1), rng.random(len(posterior)) < posterior.max(1), BINS).ece for _ in range(200)]
print(f"floor for so many guesses: {np.mean(draws):.4f}, in 99 of 100 draws at most {np.quantile(draws, 0.99):.4f}")
assert truth_found.ece < 1.5 * max(draws), "the truth is as often right as it says"
if not wb.QUICK:
    assert found["300 sentences by heart"].before.ece > 3 * found["a model"].before.ece, "what was learned by heart is too sure"

# %% [markdown]
# Being right and being calibrated are two things. The truth is right most often *and* calibrated; whoever guesses by frequency
# alone is nearly always wrong and calibrated as well. To learn by heart has destroyed both.
#
# ## One number mends it: a temperature
#
# Divide all logits by one number τ before the softmax. The order of the guesses stays, and so does every answer; only how sure
# they are changes. τ is chosen on other text, as the one whose loss is least. In β = 1/τ the loss is convex, and its slope is
#
# $$\frac{\partial\,\text{loss}}{\partial \beta} = \frac{1}{N} \sum_n \Big( \sum_v p_{nv}\, z_{nv} \;-\; z_{n,\text{true}} \Big)$$
#
# with the logits z and p = softmax(βz): at the best τ, the logit that the model expects is the one that it gets.

# %%
z, labels = guesses["300 sentences by heart"][0], labels_of(tuning)
tau = found["300 sentences by heart"].temperature
for beta in (1.0, 1 / tau):
    p, _ = softmax.forward(beta * z)
    slope = float(((p * z).sum(1) - z[np.arange(len(z)), labels]).mean())
    h = 1e-5
    measured = (cross_entropy.forward((beta + h) * z, labels)[0] - cross_entropy.forward((beta - h) * z, labels)[0]) / (2 * h)
    print(f"β = {beta:.3f}: slope {slope:+.6f}, measured {measured:+.6f}")
    assert np.isclose(slope, measured, atol=1e-6), "the gradient is what the numbers say"
assert abs(slope) < 1e-6, "and 0 at the library's temperature"
wb.table(["", "temperature", "loss", "at τ", "ECE", "at τ", "floor"],
         [[name, one.temperature, *one.loss, one.before.ece, one.after.ece, one.floor] for name, one in found.items()])
if not wb.QUICK:
    heart = found["300 sentences by heart"]
    assert heart.temperature > 1.2, "too sure: the softmax has to be made softer"
    assert heart.after.ece < heart.before.ece / 2, "one number takes most of it away"
    assert heart.loss[1] < heart.loss[0], "and the loss falls, though no answer has changed"

# %% [markdown]
# What it cannot do: make a wrong answer right, or treat two kinds of examples differently. Look at the loss of the second model
# after the temperature. On average it is honest now, and knows as little as before. Nor does it promise a smaller ECE: what is
# chosen is the least loss. Where a model was near the floor already, the ECE may even rise a little: compare the two columns of
# the first one.
#
# ## Label smoothing
#
# One may also forbid it to be sure while it learns. **Label smoothing** (标签平滑): the target is not 1 for the right class and 0
# for the others, but 1 − s, and the others share s (or, in other programs, *all* share s, the right one too). The loss is least
# where the softmax is the target, so the gap between the right logit and the others has an optimum, instead of growing for ever.

# %%
SMOOTHING = 0.1  # <- the knob

# %%
C = 5
logits, few_labels = np.zeros((1, C)), np.array([2])
target = calibration.smoothed(few_labels, C, SMOOTHING)
for _ in range(4000):  # gradient descent on the logits themselves: p − target
    logits -= 0.5 * (softmax.forward(logits)[0] - target)
gap = float(logits[0, 2] - logits[0, 0])
best = calibration.smoothing_optimum(C, SMOOTHING)
print(f"s = {SMOOTHING}: target {target[0].round(3).tolist()}; learned gap {gap:.3f}, ln(q_true/q_other) = {best.gap:.3f}")
print(f"never surer than {best.confidence:.3f}; the loss cannot fall below {best.loss:.3f} nats, however right it is")
assert np.isclose(gap, best.gap, atol=1e-3)
other = calibration.smoothing_optimum(C, SMOOTHING, over="all")
print(f"where all {C} share s: never surer than {other.confidence:.3f}: two programs, one name, two numbers")
assert other.confidence > best.confidence

# %% [markdown]
# Who is right in 99 of 100 cases and trained with s = 0.1 says 0.9 and is *under*confident. Smoothing is right where the labels
# are wrong about as often as s says, or where the model would have been too sure; a temperature, chosen later, asks the data.
# The command below tunes a model with smoothed labels beside one with hard ones, and shows the errors of both.
#
# ## One picture

# %%
picture = wb.figure(15, 5.6, "How often is it right, when it is so sure?")
drawings = [("the exact posterior", truth_found, None), *((name, one.before, one.after) for name, one in found.items())]
for axes, (name, before, after) in zip(picture.subplots(1, 3, sharey=True), drawings):
    axes.plot([0, 1], [0, 1], color=wb.GREY, linewidth=1.2)
    axes.bar((np.arange(BINS) + 0.5) / BINS, before.count / before.count.sum(), 1 / BINS, color=wb.GREY, alpha=0.3)
    for table, colour, label in ((before, wb.BLUE, "as it is"), (after, wb.ORANGE, "at τ")):
        if table is not None:
            some = table.count >= wb.choose(20, 1)
            axes.plot(table.confidence[some], table.accuracy[some], "o-", color=colour, label=f"{label}: ECE {table.ece:.3f}")
    axes.set(title=name, xlabel="confidence (bars: share of guesses)", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left", fontsize=13)
wb.save(picture, "29_calibration")

# %% [markdown]
# ## Beware
#
# - **ECE can be cheated.** Always say the share of right answers, to everything: ECE 0, and useless. Read it beside the loss,
#   which rewards both.
# - **It depends on the bins** and their edges, and on how many guesses there are. Compare only what was counted alike, and with
#   the floor.
# - **Calibrated where?** On text like that which chose τ. On other text a model is usually too sure again.
#
# ## One knob to turn
#
# `SMOOTHING`. Guess first: for which s is the right class no longer preferred, with five classes? The library refuses there.

# %%
print(f"s = {SMOOTHING}: at most {best.confidence:.2f} sure")
assert 1 / C < best.confidence < 1

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert analyse calibration
#     python -m minibert analyse calibration DIR --data text.txt
#
# ## Exercises
#
# Five functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My ECE differs from a library's by a little.* Edges, the number of bins, or a float32 confidence that is just 0.3.
# - *My ECE is NaN.* An empty bin has no mean: leave it out, its weight is 0.
# - *My best temperature is infinite.* These logits are no better than chance: the hotter, the better.
# - *My best temperature is 0.* All guesses were right: give more examples, or harder ones.

# %%
wb.exercises(29)
