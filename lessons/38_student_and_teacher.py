# %% [markdown]
# # 38. A student and a teacher
#
# **You will do**: soften a model's answers, let a smaller model learn from them, and let it look over the shoulder of the larger
# one, layer by layer.
#
# **You will learn**: what an answer says beside its first word, why the loss is multiplied by τ², what hidden states and
# attention add, and what such a student has to be compared with.
#
# **You need**: lesson 9 (the encoder), lesson 10 (the masked language model, which is trained here).
# Time: about 25 minutes to read; runs in about 90 s.

# %%
import numpy as np
import workbench as wb
from stories import Stories

from minibert.compression import distil, mobile
from minibert.layers import feature_map, kl_divergence
from minibert.model import pretraining
from minibert.parameters import Parameters
from minibert.tasks.batches import Position, micro_batches
from minibert.training.adamw import AdamW
from minibert.training.course import Course
from minibert.training.engine import Engine
from minibert.training.loop import Stage, Task
from minibert.training.schedules import SCHEDULES, rate
from minibert.workers import Workers

rng = np.random.default_rng(38)

# %% [markdown]
# ## The question
#
# "The [MASK] sat on the mat": the text says *cat*, and nothing else. A good model says *cat* 60 %, *dog* 25 %, *child* 5 %, and
# *therefore* hardly ever. That is much more than one word. Can a small model learn faster from a large one that answers so than
# from the text alone? This is **distillation** (知识蒸馏): a **teacher** (教师模型) answers, a **student** (学生模型) learns
# from the answers (*Hinton et al. 2015*).

# %% [markdown]
# ## Toy numbers
#
# A sure teacher hides what it knows: its second guess has two per cent. A temperature τ, as in lesson 22, divides the logits
# before the softmax and brings it out.

# %%
WORDS = "cat dog child therefore".split()
z = np.array([6.0, 2.0, 0.5, -6.0])


def softmax(x):
    y = np.exp(x - x.max(-1, keepdims=True))
    return y / y.sum(-1, keepdims=True)


rows = [[tau, *softmax(z / tau).tolist()] for tau in (1.0, 2.0, 4.0, 100.0)]
wb.table(["τ", *WORDS], rows)
assert rows[0][2] < 0.02 < 0.1 < rows[1][2] < rows[2][2]
assert np.allclose(rows[3][1:], 0.25, atol=0.02), "very hot: all are alike"

# %% [markdown]
# At τ = 1 the student would learn *cat*. At 2 it also learns that *dog* is the next best, and that *therefore* is none. At 100
# hardly anything is left to learn.

# %% [markdown]
# ## The equation
#
# With the teacher's logits y and the student's x:
#
# $$p = \mathrm{softmax}(y/\tau), \quad q = \mathrm{softmax}(x/\tau), \quad loss = \tau^2 \sum_v p_v (\log p_v - \log q_v)$$
#
# The sum is the divergence of lesson 27, and its gradient is short: $\partial/\partial x_v = (q_v - p_v)/\tau$. When both are
# hot, q - p shrinks with 1/τ as well, so the whole gradient would shrink with 1/τ². The factor makes up for that: the
# temperature may be changed and the learning rate stays.

# %%
x = rng.standard_normal((5, 4))
y = x + 0.1 * rng.standard_normal((5, 4))
sizes = []
for tau in (1.0, 2.0, 4.0, 8.0):
    p, q = softmax(y / tau), softmax(x / tau)
    loss = tau**2 * (p * np.log(p / q)).sum() / len(x)
    theirs, cache = kl_divergence.forward(x, y, temperature=tau)
    assert np.isclose(loss, theirs)
    gradient = kl_divergence.backward(1.0, cache)
    assert np.allclose(gradient, tau * (q - p) / len(x))
    sizes.append([tau, float(np.linalg.norm(gradient)), float(np.linalg.norm(gradient / tau**2))])
wb.table(["τ", "length of the gradient", "without τ²"], sizes)
assert sizes[-1][2] < sizes[0][2] / 20

# %% [markdown]
# ## A teacher
#
# Stories, as `stories.py` makes them: two people each see an animal, and then one of the two is spoken of. To guess a hidden
# word of the last sentence, a model has to look back at the right one of the first two.

# %%
stories = Stories.of(wb.choose(3000, 400), rng)
print(stories.texts[0])
held_out = stories.unread()


def loss_of(layers, parameters):
    """Nats a hidden word of stories that were not read."""
    with Workers(1) as workers:
        return float(Engine(pretraining.of(layers), parameters, workers).evaluate(micro_batches(held_out)).mlm_loss)


def train(model, parameters, steps, asked=None, lr=3e-3, look=lambda step: None):
    reads, position = stories.stream(16), Position()
    with Workers(1) as workers:
        engine = Engine(model, parameters, workers, AdamW(), teacher=asked)
        for step in range(1, steps + 1):
            batch, position = reads.batch(position)
            engine.train([distil.everywhere(part) for part in micro_batches(batch)], SCHEDULES["linear"](step, lr, 0.1, steps))
            look(step)


large = pretraining.of(stories.config(4))
teacher = pretraining.initial_parameters(stories.config(4))
train(large, teacher, wb.choose(1000, 40))
known = loss_of(stories.config(4), teacher)
print(f"4 layers, {teacher.layout.learned:,} numbers: {known:.3f} nats a hidden word of {len(held_out)} stories "
      "that it has not read")

# %% [markdown]
# ## Three students
#
# All begin with the same random numbers, with two layers, and read the same stories in as many steps. One learns the hidden
# words, one the softened answers of the teacher, at every token, and one looks over its shoulder as well: its states after each
# layer, and where its heads look, are compared with those of the teacher's layers 2 and 4.

# %%
STEPS = wb.choose(300, 20)
WAYS = {"the words alone": distil.Weights(0, 1, 0), "soft targets": distil.Weights(1, 0, 0),
        "and states and attention": distil.Weights(1, 0, 0, 1, 1)}
fresh = pretraining.initial_parameters(stories.config(2), seed=1)


def taught(weights, **options):
    """The losses of a student on stories that were not read, now and then."""
    whole = distil.of(pretraining.of(stories.config(2)), stories.config(4), weights, **options)
    student = Parameters(whole.layout(), fresh.flat.copy())
    curve = [(0, loss_of(stories.config(2), student))]

    def look(step):
        if step % max(1, STEPS // 10) == 0:
            curve.append((step, loss_of(stories.config(2), student)))

    train(whole, student, STEPS, distil.answers(large, teacher, whole.asked), look=look)
    return curve


curves = {name: taught(weights) for name, weights in WAYS.items()}
finals = {name: curve[-1][1] for name, curve in curves.items()}
wb.table(["two layers learn from", "held out, nats"], [["(the teacher, four)", known], *map(list, finals.items())])
if not wb.QUICK:
    assert finals["soft targets"] < finals["the words alone"] - 0.03
    assert finals["and states and attention"] < finals["the words alone"] - 0.03

# %% [markdown]
# In as many steps a student with a teacher comes nearer to it than one without. Most of that is in the answers here; states and
# attention add little to them. How much they add depends on the text, the steps and the sizes: measure it before you pay for it.

# %% [markdown]
# ## Vectors of different sizes
#
# A squared error of two states sees their size before it sees their direction. MobileBERT takes a vector apart: its mean, its
# variance, and what is left when both are gone, a **feature map** (特征图) in the paper's words.

# %%
a = rng.standard_normal((1, 6, 8))
rows = []
for name, b in (("the same", a), ("twice as long", 2 * a), ("all numbers 0.3 more", a + 0.3),
                ("another", rng.standard_normal(a.shape))):
    parts = [float(feature_map.forward(a, (b, None), None, *weights)[0]) for weights in np.eye(3)]
    rows.append([name, float(((a - b) ** 2).mean()), *parts])
wb.table(["the teacher's is", "squared error", "direction", "mean", "variance"], rows)
assert max(rows[1][2], rows[2][2]) < 1e-9 < 1 < rows[3][2]

# %% [markdown]
# ## One layer after the other
#
# MobileBERT's blocks are a quarter as wide inside as its teacher's states, and have no norms. They learn in turn: first layer 0
# what the teacher makes of the embeddings, then layer 1 what it makes of *that*. Those below go on with a tenth of the rate, the
# others rest, and at last all learn to guess (*Sun et al. 2020, section 3.5*).

# %%
THIN = stories.config(4, bottleneck_size=8, intermediate_size=32, ffn_count=4, attention_reads="shared", norm="no_norm",
                      hidden_act="relu")
whole = mobile.of(pretraining.of(THIN), stories.config(4), share=0.5)
thin = pretraining.initial_parameters(THIN, seed=2)
there = dict(teacher.items())
for name, view in thin.items():
    if not name.startswith("bert.encoder."):
        view[...] = there[name]  # embeddings and head begin as the teacher's
reads = stories.stream(16)
stages = whole.staged([Stage([Task(reads.batch, micro_batches)])], Course(learning_rate=3e-3))
position, rows, long = Position(), [], wb.choose(600, 40)
with Workers(1) as workers:
    engine = Engine(whole, thin, workers, AdamW(), teacher=whole.answers(large, teacher))
    for number, stage in enumerate(stages):
        before, steps, losses = thin.flat.copy(), round(stage.share * long), []
        engine.restart()
        for step in range(1, steps + 1):
            batch, position = stage.tasks[0].batch(position)
            metrics, _ = engine.train(stage.tasks[0].cut(batch), rate(stage.course, step, steps))
            losses.append(float(metrics.loss))
        moved = {name: float(np.abs(view - old).max())
                 for (name, view), (_, old) in zip(thin.items(), Parameters(thin.layout, before).items())}
        layers = [max(value for name, value in moved.items() if name.startswith(f"bert.encoder.layer.{i}.")) for i in range(4)]
        rows.append([f"layer {number}" if number < 4 else "all", losses[0], losses[-1], *layers,
                     moved["bert.embeddings.word_embeddings.weight"]])
wb.table(["learns", "loss, first", "last", *(f"layer {i} moved" for i in range(4)), "words moved"], rows)
for i in range(4):
    assert all(value == 0 for value in rows[i][4 + i:]), "what is above rests, and so do the words"
    assert wb.QUICK or rows[i][2] < rows[i][1]
print(f"the thin student: {loss_of(THIN, thin):.3f} nats, with {THIN.bottleneck_size} numbers inside instead of 32")

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(13, 6, "What two layers learn, and from whom")
axes = picture.subplots()
for (name, curve), colour in zip(curves.items(), (wb.GREY, wb.BLUE, wb.ORANGE)):
    steps, losses = zip(*curve)
    axes.plot(steps, losses, color=colour, marker="o", label=name)
axes.axhline(known, color=wb.GREEN, linestyle="--", linewidth=1.5, label="the teacher, four layers")
axes.set(xlabel="step", ylabel="loss (nats per hidden word), stories not read", ylim=(0, None))
axes.legend(fontsize=12)
wb.save(picture, "38_student_and_teacher")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"DistilBERT is trained with weights 5, 2 and 1."* So says its README for one GPU; the program's defaults are 0.5, 0 and 0.
# - *"KLDivLoss takes the mean."* Its `mean` divides by all numbers, also by the words; `batchmean` divides by the tokens.
# - *"MobileBERT's teacher is BERT-large."* It is a model with blocks twice as wide inside as between them (`--inverted`).
# - *"A distilled student keeps 97 %."* And how much does the same student keep that begins alike, without a teacher?
#
# ## One knob to turn
#
# The temperature. Guess first: what do you expect at 1, what at 20?

# %%
TEMPERATURE = 2.0  # <- the knob
print(f"τ = {TEMPERATURE}: {taught(distil.Weights(1, 0, 0), temperature=TEMPERATURE)[-1][1]:.3f} nats")

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert train --preset mini --out runs/teacher
#     python -m minibert compress distil --teacher runs/teacher --states 1 --attentions 1 --out runs/student
#     python -m minibert compress mobile --teacher runs/teacher --out runs/thin
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My gradient is τ times too small.* It shrinks once with x/τ and once with q - p; τ² pays for both.
# - *My divergence is negative.* The teacher's probabilities stand outside the logarithm, and in it above the student's.
# - *Two states are far apart, and their direction is the same.* Then they differ in size, or in their mean.

# %%
wb.exercises(38)
