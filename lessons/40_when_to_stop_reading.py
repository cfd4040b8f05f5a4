# %% [markdown]
# # 40. When to stop reading
#
# **You will do**: measure how unsure an answer is, put a small classifier after each layer of a model, let the model teach them,
# and let each sentence leave as soon as one of them is sure.
#
# **You will learn**: what uncertainty is as a number from 0 to 1, why nobody needs a label for this, how a batch shrinks while
# it is read, and why fewer layers are not yet less time.
#
# **You need**: lesson 9 (the encoder), lesson 19 (a classifier).
# Time: about 25 minutes to read; runs in about 60 s.

# %%
import numpy as np
import workbench as wb

from minibert import BertConfig
from minibert.compression import early_exit
from minibert.compression.counted import counting
from minibert.finetuning import models
from minibert.model import exits
from minibert.model.model import Inputs
from minibert.parameters import initialise
from minibert.tasks.labelled.features import Feature, collate, micro_batches
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.adamw import AdamW
from minibert.training.engine import Engine
from minibert.training.schedules import SCHEDULES
from minibert.workers import Workers

rng = np.random.default_rng(40)

# %% [markdown]
# ## The question
#
# "A lovely film." Is that praise? Nobody needs to think about it for long. "Not that anybody could call it dull" takes longer. A
# model with twelve layers spends all twelve on both. Could it stop where the answer is clear (*Liu et al. 2020, "FastBERT"*)?
# Then two questions are left: who says that it is clear, and what does it cost to ask?

# %% [markdown]
# ## Toy numbers
#
# Four answers to a question with three classes. How unsure is each?

# %%
ANSWERS = {"no idea": [1 / 3, 1 / 3, 1 / 3], "not the third": [0.5, 0.5, 0.0], "nearly sure": [0.9, 0.05, 0.05],
           "sure": [1.0, 0.0, 0.0]}
entropies = {name: sum(share * np.log(1 / share) for share in shares if share) for name, shares in ANSWERS.items()}
wb.table(["", "entropy, nats", "as a share of ln 3"], [[name, value, value / np.log(3)] for name, value in entropies.items()])
assert np.isclose(entropies["no idea"], np.log(3))

# %% [markdown]
# The entropy of lesson 13 ends elsewhere in each task: with two classes at ln 2, with a thousand at ln 1000. Divided by that, it
# goes from 0 to 1 for any number of classes, and one threshold can be used for all tasks.

# %% [markdown]
# ## The equation
#
# After each layer but the last stands a **branch** (分支): a small classifier that reads the state there. Its answer is q, and
#
# $$\text{uncertainty}(q) = \frac{-\sum_{c=1}^{C} q_c \ln q_c}{\ln C}$$
#
# is its **uncertainty** (不确定度). A sentence leaves after the first layer where it is at most a threshold, which the paper
# calls the speed. This is **early exit** (提前退出). Who stays to the end has the answer of the model's own head. At speed 1
# everybody leaves after the first layer, at speed 0 nobody does.

# %% [markdown]
# ## By hand

# %%
def uncertainty(logits):
    """(…, C) -> (…)"""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1) / np.log(shares.shape[-1])


logits = 3 * rng.standard_normal((5, 4))
assert np.allclose(uncertainty(logits), exits.uncertainty(logits))
alike = {classes: float(uncertainty(np.full(classes, 0.3))) for classes in (2, 3, 5, 7, 10)}
print("equal shares, by hand:   ", {classes: f"{value:.17f}" for classes, value in alike.items()})
print("equal shares, the library:", {classes: f"{exits.uncertainty(np.full(classes, 0.3)):.17f}" for classes in alike})
assert all(exits.uncertainty(np.full(classes, 0.3)) == 1 for classes in alike)

# %% [markdown]
# By hand it may miss 1 by a rounding, and whoever asks for speed 1 would find somebody who stays. The library computes 1 less the
# divergence from equal shares: where the shares are equal, each of its terms is 0 to the last bit.

# %% [markdown]
# ## A model to be left
#
# Sentences speak of one, two or three things. Is the number of those that are praised odd? For one thing that is whether it is
# praised. For three everything has to be put together: each *not* turns the answer round.

# %%
PRAISE = "good great fine lovely clever funny warm rich".split()
BLAME = "bad awful dull ugly silly sad cold poor".split()
THINGS = "film book song play".split()
KINDS = ("one thing", "two things", "three things")


def clause(thing):
    """What is said of a thing, and whether that is praise."""
    praise, denied = map(bool, rng.integers(0, 2, 2))
    return f"the {thing} is {'not ' * denied}{rng.choice(PRAISE if praise else BLAME)}", praise != denied


def example(kind):
    said, praised = zip(*map(clause, map(str, rng.choice(THINGS, kind + 1, replace=False))))
    return " and ".join(said) + " .", sum(praised) % 2


def examples(count):
    kinds = rng.integers(0, 3, count)
    texts, labels = zip(*(example(int(kind)) for kind in kinds))
    return kinds, texts, np.array(labels, int)


_, texts, labels = examples(wb.choose(4000, 400))
dev_kinds, dev_texts, dev_labels = examples(wb.choose(600, 120))
tokenizer = Tokenizer(Vocabulary([*SPECIAL, *sorted({word for text in texts for word in text.split()})]))
for kind in range(3):
    at = int(np.flatnonzero(dev_kinds == kind)[0])
    print(f"{KINDS[kind]:<13} {dev_texts[at]:<75} {'odd' if dev_labels[at] else 'even'}")


def features(texts, labels):
    rows = [np.array(tokenizer.encode(text).ids) for text in texts]
    return [Feature((ids,), (len(ids),), np.array(label), i) for i, (ids, label) in enumerate(zip(rows, labels))]


learned = features(texts, labels)
L = 4
config = BertConfig(vocab_size=len(tokenizer.vocab), hidden_size=32, num_hidden_layers=L, num_attention_heads=4,
                    intermediate_size=128, max_position_embeddings=32, initializer_range=0.1, hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0)


def train(model, parameters, steps, lr=3e-3):
    losses = []
    with Workers(1) as workers:
        engine = Engine(model, parameters, workers, AdamW())
        for step in range(1, steps + 1):
            some = [learned[i] for i in rng.integers(0, len(learned), 32)]
            metrics, _ = engine.train(micro_batches(some, 1024), SCHEDULES["linear"](step, lr, 0.1, steps))
            losses.append(float(metrics.loss))
    return losses


batch = collate(features(dev_texts, dev_labels), range(len(dev_texts)))
x = Inputs(batch.ids, batch.token_type_ids, batch.attention_mask)

model = models.of(config, "sequence", 2)
teacher = initialise(model.layout(), 0.1, 0)
train(model, teacher, wb.choose(1000, 40))
said = model.forward(x, teacher.tree)[0].logits["task"]
of_kind = [dev_kinds == kind for kind in range(3)]
wb.table(["kind", "right"], [[name, float((said.argmax(-1) == dev_labels)[these].mean())] for name, these in zip(KINDS, of_kind)])

# %% [markdown]
# ## A branch after each layer
#
# Who teaches the branches? The model itself: each learns, by the KL divergence of lesson 27, to say what the head says. That is
# **self-distillation** (自蒸馏). No label is read, so any text of the kind will do. And nothing but the branches learns: what the
# head says stays as it was, to the last bit.

# %%
whole = early_exit.of(model)
parameters = whole.begun(teacher, teacher, 0)
curve = train(whole, parameters, wb.choose(250, 30))
before = dict(teacher.items())
sizes = {name: view.size for name, view in parameters.items()}
branch_size, layer_size = (sum(size for name, size in sizes.items() if name.startswith(start))
                           for start in ("branches.1.", "bert.encoder.layer.1."))
print(f"the divergence, of all {L - 1} branches: {curve[0]:.3f} nats at first, {np.mean(curve[-10:]):.3f} at the end")
print(f"a branch has {branch_size:,} parameters, a layer {layer_size:,}")
assert all((view == before[name]).all() for name, view in parameters.items() if name in before)
assert curve[-1] < curve[0]

# %% [markdown]
# A branch has no residual and no norm: linear, tanh, attention, [CLS], tanh, linear. Why attention? In the middle of a model
# [CLS] has not gathered the whole sentence yet. In BERT-base a branch is 128 numbers wide, and costs a fortieth of a layer; in
# this toy it is as wide as the layers are, and not cheap at all. That will be seen.

# %% [markdown]
# ## Leaving
#
# How unsure is each branch about each kind of sentence?

# %%
answers = whole.forward(x, parameters.tree)[0].logits
ways = [answers[f"branch_{i}"] for i in range(1, L)] + [answers["task"]]
unsure = np.stack([uncertainty(way) for way in ways])  # (L, B)
wb.table(["after layer", *KINDS], [[i, *(float(row[these].mean()) for these in of_kind)] for i, row in enumerate(unsure, 1)])


def leave(speed):
    """Of each sentence: after how many layers it leaves, and its answer."""
    layers = np.array([next((i for i in range(1, L) if speed and column[i - 1] <= speed), L) for column in unsure.T])
    return layers, np.stack([ways[layer - 1][row] for row, layer in enumerate(layers)]).argmax(-1)


SPEEDS = (0.0, 0.1, 0.3, 0.5, 0.8, 1.0)
rows = []
for speed in SPEEDS:
    layers, guesses = leave(speed)
    rows.append([speed, float(layers.mean()), *(float(layers[these].mean()) for these in of_kind),
                 float((guesses == dev_labels).mean())])
wb.table(["speed", "layers, mean", *KINDS, "right"], rows)
assert rows[0][1] == L
assert rows[-1][1] == 1
if not wb.QUICK:
    middle = rows[2]
    assert middle[2] < middle[3] < middle[4], "more things are read for longer"
    assert middle[5] > rows[0][5] - 0.03, "and little is lost"
    assert rows[-1][5] < rows[0][5] - 0.03, "but not if all leave at once"

# %% [markdown]
# Nobody has told the branches which sentences are hard. They are unsure about those that need more layers, and so these stay. Of
# three things the model itself has not learned all; who stays there has the head's answer, right or wrong.

# %% [markdown]
# ## A batch shrinks
#
# What leaves must not be computed any more, or nothing is saved. So its row is taken out of the batch, and then columns in which
# only padding is left go, too.

# %%
SPEED = 0.3
layers, guesses = leave(SPEED)
widths = batch.attention_mask.sum(1)
for i in range(1, L + 1):
    there = layers >= i
    print(f"layer {i}: {there.sum():4} sentences, {widths[there].max() if there.any() else 0:3} tokens wide")
found = exits.leaving(model, SPEED).forward(x, parameters.tree)[0].logits
assert (found["layer"] == layers).all(), "as many layers as by hand"
assert (found["task"].argmax(-1) == guesses).all()

some = [int(row) for row in rng.permutation(len(layers))[:8]]
singles = [Inputs(x.ids[row:row + 1, :widths[row]], x.token_type_ids[row:row + 1, :widths[row]]) for row in some]
alone = [exits.leaving(model, SPEED).forward(one, parameters.tree)[0].logits for one in singles]
assert all(np.allclose(one["task"][0], found["task"][row], rtol=1e-3, atol=1e-4) for one, row in zip(alone, some))
assert [int(one["layer"][0]) for one in alone] == layers[some].tolist(), "whoever else is in the batch"

# %% [markdown]
# ## What it costs
#
# Products, counted by the code that runs. The full model is 1.

# %%
def products(speed):
    counted, tally = counting(parameters)
    exits.leaving(model, speed).forward(x, counted.tree)
    return tally[0]


full = products(0.0)
work = {speed: products(speed) / full for speed in (*SPEEDS, 1e-9)}
wb.table(["speed", "share of the layers", "products", "right"], [[row[0], row[1] / L, work[row[0]], row[5]] for row in rows])
print(f"branches that are asked in vain: {work[1e-9]:.2f} times the products of the full model")
assert work[1e-9] > 1, "who asks and stays has paid for asking"
assert work[1.0] < 1

# %% [markdown]
# A speed that nobody meets is slower than no early exit at all. That is why 0 asks no branch here. And the clock? Small batches
# of what is left keep a processor less busy than large ones. `compress report` shows both, products and sentences a second.
#
# ## One picture

# %%
picture = wb.figure(13, 6, "Clear sentences leave early")
left, right_axes = picture.subplots(1, 2)
for name, these, colour in zip(KINDS, of_kind, (wb.BLUE, wb.GREEN, wb.ORANGE)):
    left.plot(range(1, L + 1), unsure[:, these].mean(1), color=colour, marker="o", label=name)
left.set(title="How unsure, after each layer", xlabel="layer", ylabel="uncertainty, mean", xticks=range(1, L + 1))
left.legend(fontsize=12)
speeds = np.linspace(0.01, 1, 40)
for colour, name, of in ((wb.BLUE, "right", lambda layers, guesses: (guesses == dev_labels).mean()),
                         (wb.ORANGE, f"layers, as a share of {L}", lambda layers, guesses: layers.mean() / L)):
    right_axes.plot(speeds, [of(*leave(speed)) for speed in speeds], color=colour, label=name)
right_axes.axhline((said.argmax(-1) == dev_labels).mean(), color=wb.GREY, linestyle="--", label="right, all layers")
right_axes.set(title="What a speed buys", xlabel="speed", ylim=(0, 1.02))
right_axes.legend(fontsize=12)
wb.save(picture, "40_when_to_stop_reading")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"The loss is D(student, teacher)."* The paper writes it so; its code computes the other direction, the one of distillation.
# - *"Speed 0.5 is twice as fast."* It is a threshold of uncertainty. How fast that is, only a measurement says.
# - *"A text leaves where its uncertainty is below the speed."* In the authors' script also where it is equal, in their package
#   not.
# - *"Sure is right."* Lesson 29: a model can be sure and wrong. Then early exit is wrong earlier.
#
# ## One knob to turn
#
# The speed. Guess first: how many layers at 0.05, and how many at 0.95?

# %%
KNOB = 0.6  # <- the knob
layers, guesses = leave(KNOB)
print(f"speed {KNOB}: {layers.mean():.2f} of {L} layers, {(guesses == dev_labels).mean():.1%} right")

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert finetune classify --train train.tsv --dev dev.tsv --out runs/full
#     python -m minibert compress early-exit --teacher runs/full --train train.tsv --dev dev.tsv --out runs/early
#     python -m minibert predict runs/early dev.tsv --speed 0.5
#     python -m minibert demo runs/early
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My uncertainty is NaN.* A share of 0 adds 0; its logarithm is never asked for.
# - *Everybody leaves at speed 0.* There nobody does: 0 means all layers.
# - *My batch shrinks and the answers are in the wrong rows.* Keep the numbers of the rows that are left, and shrink these, too.

# %%
wb.exercises(40)
