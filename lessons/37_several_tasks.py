# %% [markdown]
# # 37. Several tasks
#
# **You will do** deal the batches of several tasks out, teach one encoder two tasks one after the other and watch the first go,
# teach them together and in stages, and lend a task with few labels the labels of another.
#
# **You will learn** how often each task is read, why what was learned is forgotten, what stages that keep the old tasks save, and
# when one task helps another.
#
# **You need** lesson 12 (the optimiser), lesson 19 (fine-tuning).
# Time: about 30 minutes to read; runs in about 40 s.

# %%
import numpy as np
import workbench as wb

from minibert import BertConfig
from minibert.finetuning import models
from minibert.parameters import initialise
from minibert.tasks.batches import Position
from minibert.tasks.labelled.features import Epochs, Feature, Turns, micro_batches
from minibert.text.vocabulary import SPECIAL
from minibert.training.engine import Engine
from minibert.workers import Workers

rng = np.random.default_rng(37)

# %% [markdown]
# ## The question
#
# BERT is fine-tuned once for each task, and each time everything is learned anew from the same start. Could one encoder learn
# several tasks, each with a head of its own? Then the labels of one may help another. But a step reads one batch of one task.
# Which? And if the tasks come one after another, what becomes of the first?

# %% [markdown]
# ## Toy numbers
#
# MT-DNN (*Liu et al. 2019*) makes batches of each task, throws the batches of all tasks together, shuffles them, and reads each
# once an epoch. Three tasks with 3,200, 800 and 64 examples, in batches of 32:

# %%
SIZES, BATCH = (3200, 800, 64), 32
dealt = [-(-size // BATCH) for size in SIZES]
shares = np.array(dealt) / sum(dealt)
wb.table(["examples", "batches", "share of the steps", "times an example is read, if all tasks had equal shares"],
         [[size, count, float(share), sum(dealt) / 3 / count] for size, count, share in zip(SIZES, dealt, shares)])
assert dealt == [100, 25, 2]
assert np.isclose(shares[0], 100 / 127)

# %% [markdown]
# Every example is read as often as every other: once an epoch. The small task gets 2 of 127 steps. With equal shares its
# examples would be read 21 times while two thirds of the large task's are never seen: it would be learned by heart.
#
# ## The equation
#
# Between these two there is a dial, α: a task with n examples is drawn with the chance
#
# $$p_i = \frac{n_i^{\alpha}}{\sum_j n_j^{\alpha}}$$
#
# α = 1 is **proportional sampling** (按比例采样), α = 0 gives equal shares; *Stickland and Murray 2019* begin with 1 and go
# nearly down to 0.

# %%
def chances(sizes, alpha):
    powers = np.array(sizes, float) ** alpha
    return powers / powers.sum()


wb.table(["α", *(f"{size} examples" for size in SIZES)],
         [[alpha, *map(float, chances(SIZES, alpha))] for alpha in (1.0, 0.5, 0.0)])
assert np.allclose(chances(SIZES, 0), 1 / 3)

# %% [markdown]
# ## A plain loop
#
# The tasks of the steps of one epoch, as MT-DNN deals them:

# %%
def turns(batches, rng):
    """batches: of each task -> the number of the task that each step of an epoch reads."""
    cards = []
    for task, count in enumerate(batches):
        for _ in range(count):
            cards.append(task)
    rng.shuffle(cards)
    return cards


print("".join("abc"[task] for task in turns(dealt, rng)))

# %% [markdown]
# ## The library's own function
#
# `Turns` answers for any step, without a list that would have to be saved: after an interruption the same tasks come.

# %%
library = Turns(dealt, seed=37)
epoch = [library(step) for step in range(len(library))]
print("".join("abc"[task] for task in epoch))
assert np.bincount(epoch).tolist() == np.bincount(turns(dealt, rng)).tolist() == dealt
assert [Turns(dealt, seed=37)(step) for step in (5, 3)] == [epoch[5], epoch[3]]

# %% [markdown]
# ## Why there is forgetting at all
#
# The smallest model that can forget: two weights, and a task is one example, "for the input x say y". Gradient descent on the
# squared error moves w along x until w·x = y, and no further. Then comes a second task.

# %%
def learned(w, x, y, steps=500, lr=0.1):
    for _ in range(steps):
        w = w - lr * 2 * (w @ x - y) * x
    return w


rows = []
for degrees in (0, 30, 60, 90):
    first, second = np.array([1.0, 0.0]), np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    w = learned(np.zeros(2), first, 1.0)
    correction = -1.0 - w @ second  # what the second task has to change in its answer
    w = learned(w, second, -1.0)
    rows.append([degrees, float(w @ first - 1.0), float(first @ second * correction)])
wb.table(["degrees between the inputs", "the first task is off by", "cosine · correction"], rows)
assert np.allclose([row[1] for row in rows], [row[2] for row in rows], atol=1e-9)

# %% [markdown]
# What the second task changes in w changes the answer to the first by the cosine between the inputs. At 90° nothing is lost; at
# 0° the two contradict each other, and the last one is right. This is **catastrophic forgetting** (灾难性遗忘): nobody asked the
# second task to spare the first. In a large model the inputs of a layer are made by the layers below, which move as well.

# %% [markdown]
# ## Two tasks, one encoder
#
# A text is five words of 16. Every task has sorted the words into four classes, in its own way. *first* asks for the class of
# the first word, *last* for that of the last one. Each has a head of its own over the same pooled vector. So attention
# has to bring [CLS] the first word, or the last one, or both.

# %%
WORDS, CLASSES, LENGTH, SIZE = 16, 4, 5, 32


def task(place, classes, count):
    """Features of a new task: which class the word at a place has."""
    sorted_into = rng.permutation(WORDS) % classes

    def features(number):
        texts = rng.integers(WORDS, size=(number, LENGTH))
        return [Feature((np.concatenate([[2], len(SPECIAL) + text, [3]]),), (LENGTH + 2,), np.array(sorted_into[text[place]]), i)
                for i, text in enumerate(texts)]
    return features(count), features(400)


config = BertConfig(vocab_size=len(SPECIAL) + WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                    intermediate_size=128, max_position_embeddings=LENGTH + 2, initializer_range=0.1, hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0)


def course(tasks, stages, lr=2e-3, looks=5):
    """Train through stages, (batches that each task puts into the pile, steps). Rows: the step, and how much every task gets
    right of texts that it has not seen."""
    whole = models.joined([models.part(models.of(config, "sequence", classes), name) for name, (_, classes) in tasks.items()])
    dev = {name: micro_batches(some[1], 2048, target=name) for name, (some, _) in tasks.items()}
    read = {name: Epochs(some[0], SIZE, seed=37) for name, (some, _) in tasks.items()}
    positions, rows, done = dict.fromkeys(tasks, Position()), [], 0
    with Workers(1) as workers:
        engine = Engine(whole, initialise(whole.layout(), 0.1, 37), workers)
        for pile, steps in stages:
            deal = Turns([*pile.values()], seed=37)
            for step in range(steps):
                name = [*pile][deal(step)]
                examples, positions[name] = read[name].batch(positions[name])
                engine.train(micro_batches(examples, 2048, target=name), lr)
                done += 1
                if (step + 1) % max(1, steps // looks) == 0:
                    rows.append([done, *(engine.evaluate(dev[name]).accuracy(name) for name in tasks)])
    return rows


two = {"first": (task(0, CLASSES, 1000), CLASSES), "last": (task(LENGTH - 1, CLASSES, 1000), CLASSES)}
ONE, MORE = wb.choose((150, 450), (3, 6))
both = {"first": 32, "last": 32}
courses = {"one after the other": [({"first": 32}, ONE), ({"last": 32}, MORE)],
           "in stages": [({"first": 32}, ONE), (both, MORE)],
           "together": [(both, ONE + MORE)]}
curves = {name: course(two, stages) for name, stages in courses.items()}
after = {name: rows[4 if len(courses[name]) > 1 else -1] for name, rows in curves.items()}
wb.table(["course", "first, after its stage", "first, at the end", "last, at the end"],
         [[name, float(after[name][1]), *map(float, rows[-1][1:])] for name, rows in curves.items()])
lost = {name: float(after[name][1] - rows[-1][1]) for name, rows in curves.items()}
if not wb.QUICK:
    assert lost["one after the other"] > 0.4, "the first task is gone"
    assert lost["in stages"] < 0.2, "whoever goes on asking keeps it"
    assert min(curves["together"][-1][1:]) > 0.95, "and one encoder has room for both"

# %% [markdown]
# Four classes: 25 % is guessing. One after the other, the first task falls to about that. Nothing but its batches is missing:
# with them, in stages, it stays. This is ERNIE 2.0's **continual multi-task learning** (持续多任务学习): stage i trains the tasks
# 1 to i (*Sun et al. 2019, §3.1*). And look at the last column: the second task is learned best where both were there from the
# beginning. An encoder that has turned to the first word finds the last one with more trouble than a fresh one.
#
# ## What one task lends another
#
# MT-DNN's reason is another one: few labels. *kind* sorts the last words into four classes, and has 24 labels. *which* asks which
# word was last, and has 1,000. They ask different things, but whoever answers *which* has carried the last word to [CLS]. The
# one batch of *kind* is put into the pile eight times for 32 of *which*: α is 0.37.

# %%
assert np.allclose(chances((24, 1000), 0.37), [0.2, 0.8], atol=0.005)
few = {"kind": (task(LENGTH - 1, CLASSES, 24), CLASSES)}
helped = {**few, "which": (task(LENGTH - 1, WORDS, 1000), WORDS)}
STEPS = wb.choose(300, 6)
lent = {"24 labels alone": course(few, [({"kind": 1}, STEPS // 2)])[-1][1],
        "with 1,000 of another task": course(helped, [({"kind": 8, "which": 32}, STEPS)])[-1][1]}
wb.table(["kind, on new texts", "right"], [[name, float(share)] for name, share in lent.items()])
if not wb.QUICK:
    assert lent["with 1,000 of another task"] > lent["24 labels alone"]

# %% [markdown]
# 24 texts end in fewer than 16 different words, so nobody can know the class of every word: that is the ceiling. Below it lies
# what is lost by looking at the wrong place. 24 texts can be told apart by other words, too, and alone the encoder learns them
# by heart. With *which* it looks at the last word. Tasks that need nothing of one another lend nothing.
#
# ## One picture

# %%
picture = wb.figure(14, 5.6, "What nobody asks for any more is forgotten")
for axes, (name, rows) in zip(picture.subplots(1, 3, sharey=True), curves.items()):
    steps = [row[0] for row in rows]
    for column, (which, colour) in enumerate(zip(two, (wb.BLUE, wb.ORANGE)), start=1):
        axes.plot(steps, [100 * row[column] for row in rows], "o-", color=colour, label=which)
    axes.axhline(100 / CLASSES, color=wb.GREY, linestyle="--", linewidth=1.6)
    if len(courses[name]) > 1:
        axes.axvline(ONE, color=wb.GREY, linewidth=1.2)
    axes.set(title=name, xlabel="step", ylim=(0, 105))
picture.axes[0].set_ylabel("right on new texts (%); dashed: guessing")
picture.axes[0].legend(frameon=False)
wb.save(picture, "37_forgetting")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"The head is new, so the encoder is safe."* The head of the first task is untouched. It is the encoder that has moved.
# - *"Several tasks share, so each gets less."* If they need different things and the model is small. Here both reach the top.
# - *"Weight the small task up."* Then it is read more often, not known better: it has no more examples for that.
#
# ## One knob to turn
#
# `KEEP`: how many of a hundred steps of the second stage ask the old task. Guess first: how few are enough?

# %%
KEEP = 10  # <- the knob
knob = course(two, [({"first": 32}, ONE), ({"first": KEEP, "last": 100 - KEEP}, MORE)])
print(f"{KEEP} of 100 steps ask the old task: first {knob[-1][1]:.2f}, last {knob[-1][2]:.2f}")

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert finetune multi --task classify sst2.tsv --task regress sts.tsv pair=sentence2
#     python -m minibert train --recipe ernie-2.0
#
# `--ratio 0.4` reads as many batches of all other tasks as 0.4 epochs of the first one, for whoever cares for that one alone.
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My task with 64 examples gets no batch.* The last batch of an epoch may be smaller: round up.
# - *My forgetting is negative.* A task may become better while another is learned. That counts, too.
# - *My stages forget the second task.* Stage i trains all of 1 to i, not the first and the newest.
# - *My correction has the wrong sign.* It is what the answer of the second task still lacks, before that task is learned.

# %%
wb.exercises(37)
