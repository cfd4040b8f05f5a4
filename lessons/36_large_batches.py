# %% [markdown]
# # 36. Large batches
#
# **You will do**: read the same examples in steps of 8 and in steps of 128, look for a learning rate that makes up for the steps
# that are missing, write LAMB by hand, and take a step of any size on a small machine.
#
# **You will learn**: what a larger batch buys and what not, where the linear rule comes from and where it ends, what a trust
# ratio is, and why a step in pieces is exactly the step at once.
#
# **You need**: lesson 10 (the masked language model, which is trained here), lesson 12 (Adam, warm-up, accumulation).
# Time: about 30 minutes to read; runs in about 30 s.

# %%
import numpy as np
import workbench as wb

from minibert import BertConfig
from minibert.model import pretraining
from minibert.numerics import lamb
from minibert.tasks.batches import Position, Stream, micro_batches
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.engine import Engine
from minibert.training.optimisers import OPTIMISERS
from minibert.training.schedules import SCHEDULES
from minibert.workers import Workers

rng = np.random.default_rng(36)

# %% [markdown]
# ## The question
#
# A thousand machines can read a thousand times as many sentences at once. Do they learn a thousand times as fast? BERT was
# trained in steps of 256 sequences; LAMB's authors read 65,536 in a step, and needed 76 minutes on a very large machine
# (*You et al. 2019*). With as many sentences in all there are 256 times fewer steps. Something has to make up for that.

# %% [markdown]
# ## Toy numbers
#
# A gradient is a mean over the batch, and so it is a guess of the mean over all text. How good a guess? Say that the gradients of
# single examples are 1 on average, and scatter with a standard deviation of 8.

# %%
rows = []
for size in (1, 4, 16, 64, 256):
    means = (1 + 8 * rng.standard_normal((4000, size))).mean(1)
    rows.append([size, float(means.mean()), float(means.std()), 8 / size**0.5, float((means > 0).mean())])
wb.table(["batch", "mean", "scatter", "8/√batch", "points the right way"], rows)
assert all(np.isclose(row[2], row[3], rtol=0.1) for row in rows)
assert rows[0][4] < 0.6 < 0.8 < rows[3][4]

# %% [markdown]
# Four times the batch, half the scatter. As long as the scatter is larger than the mean, a larger batch makes each step much
# more useful; at 64 five of six steps point the right way, and beyond that there is less and less to gain. The
# **critical batch size** (临界批大小) is where scatter and mean are equal (*McCandlish et al. 2018*).

# %%
critical = 8**2 / 1**2
assert critical == 64

# %% [markdown]
# ## The equation
#
# Two rules say how the rate goes with the batch. k steps of plain gradient descent with rate lr, from nearly the same place, are
# about one step with k·lr and the mean of their gradients. This is the **linear rule** (线性缩放规则) of *Goyal et al. 2017*. For
# Adam, whose steps are about lr long however noisy the gradient is, the scatter of the sum of k steps is that of √k·lr: the
# **square-root rule** (平方根缩放规则). Both end where lr itself becomes too large for the steepest tensor.
#
# **LAMB** gives every tensor a rate of its own, that of its length:
#
# $$u = \frac{\hat m}{\sqrt{\hat v} + \varepsilon} + \lambda w, \quad r = \|w\|/\|u\|, \quad w \leftarrow w - lr \cdot r \cdot u$$
#
# r is the **trust ratio** (信任比). A tensor moves by the share lr of its own length, so that lr = 0.01 means one per cent. Where
# w or u is all zeros, r = 1: a bias that starts at zero would never begin to move otherwise (*You et al. 2019, algorithm 2*).

# %% [markdown]
# ## By hand
#
# One step of one tensor, and the library's.

# %%
def lamb_step(w, g, m, v, lr, number, decay=0.01):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    u = m / (1 - 0.9**number) / (np.sqrt(v / (1 - 0.999**number)) + 1e-6) + decay * w
    lengths = np.sqrt((w**2).sum()), np.sqrt((u**2).sum())
    ratio = lengths[0] / lengths[1] if min(lengths) > 0 else 1.0
    return w - lr * ratio * u, m, v


w, m, v = rng.standard_normal(6), np.zeros(6), np.zeros(6)
p, m2, v2 = w.copy(), np.zeros(6), np.zeros(6)
for number in (1, 2, 3):
    g = rng.standard_normal(6)
    before = w
    w, m, v = lamb_step(w, g, m, v, 0.02, number)
    u = g.copy()
    lengths = lamb.direction(p, u, m2, v2, number, True, lamb.LAMB())
    p -= 0.02 * lamb.ratio(*lengths, np) * u
    moved = np.linalg.norm(w - before) / np.linalg.norm(before)
    print(f"step {number}: it moved by {moved:.4f} of its length")
    assert np.isclose(moved, 0.02)
assert np.allclose(w, p, rtol=1e-12)

# %% [markdown]
# Three programs were published under this name. The authors' (and ALBERT's) leaves the bias correction out, NVIDIA's for PyTorch
# has it, and both give a ratio only to weights, not to biases and layer norms; NVIDIA's for TensorFlow gives one to all.
# Whoever reports "LAMB, lr = 0.006" has said half of it.

# %%
wb.table(["--optimiser", "bias correction", "ratio of"], [[name, str(constants.bias_correction), constants.ratio]
                                                         for name, constants in OPTIMISERS.items() if name.startswith("lamb")])
assert len({constants for name, constants in OPTIMISERS.items() if name.startswith("lamb")}) == 3

# %% [markdown]
# ## A step of any size, in pieces
#
# Lesson 12 showed that gradients of pieces, each divided by the count of the *whole* step, add up to the gradient at once. So a
# step of 65,536 sequences needs no large machine, only patience: `--batch-size 64 --accumulate 1024`. The pieces need not even
# exist at the same time: `streamed` makes each when it is asked for.

# %%
NAMES = "anna ben clara david emma felix grace henry".split()
COLOURS = "red green blue white black small large old".split()
ANIMALS = "cat dog bird horse goat cow duck owl".split()


def story():
    name, colour, animal = (str(rng.choice(words)) for words in (NAMES, COLOURS, ANIMALS))
    return f"{name} saw one {colour} {animal} . the {animal} was {colour} , said {name} ."


stories = [story() for _ in range(wb.choose(2000, 300))]
tokenizer = Tokenizer(Vocabulary([*SPECIAL, *sorted({word for text in stories for word in text.split()})]))
documents = [[tokenizer.ids(text)] for text in stories]
T = len(documents[0][0]) + 2
CONFIG = BertConfig(vocab_size=len(tokenizer.vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                    intermediate_size=128, max_position_embeddings=T, initializer_range=0.1, hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0)


def stream(size):
    return Stream(documents, tokenizer, max_length=T, batch_size=size, seed=0, next_sentence=False)


examples, _ = stream(64).batch()
gradients = []
with Workers(1) as workers:
    for tokens, streamed in ((10**6, False), (40, False), (40, True)):
        engine = Engine(pretraining.of(CONFIG), pretraining.initial_parameters(CONFIG, dtype=np.float64), workers)
        parts = micro_batches(examples, tokens, streamed=streamed)
        engine.accumulate(parts)
        gradients.append(engine.gradients[0].flat.copy())
        how = "made one by one" if streamed else "all at hand"
        print(f"{len(parts):3} pieces, {how}: the gradient's length is {np.linalg.norm(gradients[-1]):.6f}")
assert np.allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)
assert (gradients[1] == gradients[2]).all(), "to the last bit"

# %% [markdown]
# ## As many examples, in fewer steps
#
# A tiny BERT reads the same number of stories in steps of 8, and in steps of 128: a sixteenth of the steps. First with the
# rate that suits 8, then by both rules, then with LAMB.

# %%
SMALL, TIMES, RATE = 8, 16, 0.003
COUNT = wb.choose(9600, 640)  # stories in all


def train(size, lr, optimiser="adamw"):
    steps, position, losses = COUNT // size, Position(), []
    reads = stream(size)
    with Workers(1) as workers:
        engine = Engine(pretraining.of(CONFIG), pretraining.initial_parameters(CONFIG), workers, OPTIMISERS[optimiser])
        for step in range(1, steps + 1):
            read, position = reads.batch(position)
            metrics, _ = engine.train(micro_batches(read), SCHEDULES["linear"](step, lr, 0.1, steps))
            losses.append(float(metrics.loss))
    return losses


LARGE = SMALL * TIMES
ways = {f"steps of {SMALL}": (SMALL, RATE, "adamw"),
        f"of {LARGE}, the same rate": (LARGE, RATE, "adamw"),
        f"√{TIMES} times the rate": (LARGE, RATE * TIMES**0.5, "adamw"),
        f"{TIMES} times the rate": (LARGE, RATE * TIMES, "adamw"),
        "LAMB": (LARGE, 0.05, "lamb")}
curves = {name: train(*way) for name, way in ways.items()}
last = {name: float(np.mean(curve[-len(curve) // 10:])) for name, curve in curves.items()}
wb.table(["", "steps", "rate", "loss at the end"], [[name, len(curves[name]), float(ways[name][1]), last[name]] for name in ways])

same, root, linear = (last[name] for name in list(ways)[1:4])
PLACES = 6 * np.log(8) / len(stories[0].split())  # six of a story's words are one of eight, the others always the same
print(f"whoever knows only which words stand where: {PLACES:.2f} nats")
if not wb.QUICK:
    assert last[f"steps of {SMALL}"] < 0.5 * min(same, root, linear, last["LAMB"]), "nothing makes up for all the missing steps"
    assert same > 0.95 * PLACES, "with the old rate not even the places are learned"
    assert max(root, last["LAMB"]) < 0.9 * same, "but another rate helps"

# %% [markdown]
# With the rate that suits 8, the large batch has not even learned which words stand where. The square-root rule helps, as Adam's
# argument says; so does LAMB, with one rate for all tensors. And none comes near the 1200 small steps: for stories as simple as
# these, 128 is far beyond the critical batch size, and 75 steps are too few, however good each of them is. Large batches are for
# whoever has many machines *and* many steps.
#
# ## Warm-up, and a jump
#
# Where rates are high, the warm-up is long: NVIDIA's first phase rises for 28.43 % of its 7038 steps, to 0.006, and then falls
# with the *root* of the share of steps that is left. Its program counts that share from the first step of all. What happens
# where the warm-up ends?

# %%
WARMUP, TOTAL, PEAK = 0.2843, 7038, 6e-3
rates = np.array([SCHEDULES["square-root"](step, PEAK, WARMUP, TOTAL) for step in range(1, TOTAL + 1)])
wb.table(["step", "rate"], [[step, float(rates[step - 1])] for step in (1, 1000, 2000, 2001, 4000, TOTAL)])
assert np.isclose(rates[2000] / rates[1999], (1 - WARMUP) ** 0.5, rtol=1e-3)
assert rates[-1] == 0

# %% [markdown]
# It jumps down to √(1 − 0.2843) = 85 %. The figures that were published are with this jump, so whoever wants them has to jump as
# well (`PolyWarmUpScheduler`, in NVIDIA's BERT for PyTorch). BERT's reference jumps too, by the share of its warm-up
# (`optimization.py`).
#
# ## One picture

# %%
def smooth(losses, parts=40):
    return [float(np.mean(part)) for part in np.array_split(losses, min(parts, len(losses)))]


picture = wb.figure(13, 6, "In few large steps: another rate helps, and does not make up for all")
left, right = picture.subplots(1, 2)
for (name, curve), colour in zip(curves.items(), (wb.BLUE, wb.GREY, wb.GREEN, wb.ORANGE, wb.PINK)):
    y = smooth(curve)
    left.plot(np.linspace(0, COUNT, len(y)), y, color=colour, label=name)
left.set(title="As many stories", xlabel="stories read", ylabel="loss (nats per hidden word)", ylim=(0, 4))
left.legend(fontsize=12)
right.plot(np.arange(1, TOTAL + 1), rates, color=wb.BLUE)
right.axvline(WARMUP * TOTAL, color=wb.GREY, linestyle="--", linewidth=1.5)
right.set(title="NVIDIA's first phase", xlabel="step", ylabel="learning rate", ylim=(0, 0.0065))
wb.save(picture, "36_large_batches")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"A larger batch is faster."* For whoever has idle machines. On one machine it is as many examples, in fewer steps.
# - *"Scale the rate with the batch."* By which rule, and up to which batch? Both rules end.
# - *"LAMB needs no tuning."* Its rate means the same for every tensor. Which one is right still has to be found.
#
# ## One knob to turn
#
# LAMB's rate: by which share of its length a tensor moves. Guess first: what happens at 0.2, what at 0.005?

# %%
SHARE = 0.05  # <- the knob
knob = train(LARGE, SHARE, "lamb")
print(f"LAMB at {SHARE}: {np.mean(knob[-len(knob) // 10:]):.2f} nats after {len(knob)} steps")

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert train --optimiser lamb --schedule square-root --warmup 0.28 --batch-size 64 --accumulate 128
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My LAMB never moves a bias.* Its length is 0 at the start; there r is 1.
# - *My ratio is an array.* It is one number for the whole tensor, whatever its shape.
# - *The gradient grows with the number of pieces.* Divide by the targets of the whole step.
# - *My schedule has no jump.* The share that is left is counted from step 0, not from the end of the warm-up.

# %%
wb.exercises(36)
