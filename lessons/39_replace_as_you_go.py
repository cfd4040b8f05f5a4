# %% [markdown]
# # 39. Replace as you go
#
# **You will do**: draw which layers of a model are replaced by smaller ones, train those while the others go on working, and
# take them out as a model of half the size.
#
# **You will learn**: why a draw is made for a whole batch, what the rate of replacing does to the learning rate, which tensors
# learn and which do not move by one bit, and what to compare such a model with.
#
# **You need**: lesson 9 (the encoder), lesson 10 (the masked language model, which is trained here).
# Time: about 25 minutes to read; runs in about 60 s.

# %%
import numpy as np
import workbench as wb
from stories import Stories

from minibert.compression import students, theseus
from minibert.layers.dropout import Key
from minibert.model import pretraining
from minibert.model.model import Output
from minibert.parameters import Parameters
from minibert.tasks.batches import Position, micro_batches
from minibert.training.adamw import AdamW
from minibert.training.engine import Engine, inputs
from minibert.training.schedules import SCHEDULES
from minibert.workers import Workers

rng = np.random.default_rng(39)

# %% [markdown]
# ## The question
#
# The ship of Theseus was kept in Athens, and as its planks grew old, they were replaced one by one. When the last of them was
# new, was it still the same ship? For a model the question is a method (*Xu et al. 2020*): take one with many layers, replace
# some of them by fewer ones while it goes on working, and in the end all. No loss compares the two. The small layers learn from
# nothing but the task, in the company of large ones that already know it.

# %% [markdown]
# ## Toy numbers
#
# The large model, the **predecessor** (前任模型), has six layers; the small one, the **successor** (继任模型), three. So each
# layer of the successor takes the place of two. In each step every place draws: replaced or not.

# %%
PLACES, RATE = 3, 0.5
draws = rng.random((6, PLACES)) < RATE
for step, drawn in enumerate(draws, 1):
    print(f"step {step}:  " + " ".join(f"[ s{i} ]" if new else f"[{2 * i} {2 * i + 1}]" for i, new in enumerate(drawn)))

# %% [markdown]
# One draw for a whole batch: then each layer does one large product, and the model of a step is one that exists. There are
# 2³ of them, from all old to all new, and each step trains another one.

# %% [markdown]
# ## The equation
#
# $$r_i \sim \mathrm{Bernoulli}(p), \qquad y_i = \begin{cases} s_i(x_i) & r_i = 1 \\ l_{2i+1}(l_{2i}(x_i)) & r_i = 0 \end{cases}$$
#
# A layer that was not drawn has no part in the loss, so its gradient is 0. On average over the draws a successor layer gets p
# times the gradient: the **rate of replacing** (替换率) p is also a factor of its learning rate. A p that rises to 1 is a
# warm-up that nobody had to write (*Xu et al. 2020, section 3.3*).

# %%
w, target, lr = 2.0, 3.0, 0.1
gradient = 2 * (w - target)
drawn = rng.random(20_000) < 0.3
mean = float(np.where(drawn, gradient, 0.0).mean())
print(f"the gradient of a layer that is always there: {gradient:.2f}; of one that is drawn in 30 % of the steps: {mean:.2f}")
assert np.isclose(mean, 0.3 * gradient, rtol=0.05)

# %% [markdown]
# ## A predecessor
#
# Stories again, as `stories.py` makes them. Two people each see an animal; then one of the two is spoken of. To guess a hidden
# word of the last sentence, a model has to look back at the right one of the first two.

# %%
stories = Stories.of(wb.choose(3000, 400), rng)
print(stories.texts[0])
held_out = stories.unread()


def loss_of(model, parameters):
    with Workers(1) as workers:
        return float(Engine(model, parameters, workers).evaluate(micro_batches(held_out)).loss)


def train(model, parameters, steps, lr=3e-3, look=lambda step: None):
    reads, position = stories.stream(16), Position()
    losses = []
    with Workers(1) as workers:
        engine = Engine(model, parameters, workers, AdamW())
        for step in range(1, steps + 1):
            batch, position = reads.batch(position)
            metrics, _ = engine.train(micro_batches(batch), SCHEDULES["linear"](step, lr, 0.1, steps))
            losses.append(float(metrics.loss))
            look(step)
    return losses


large = pretraining.of(stories.config(4))
old = pretraining.initial_parameters(stories.config(4))
train(large, old, wb.choose(1000, 40))
known = loss_of(large, old)
print(f"4 layers, {old.layout.learned:,} parameters: {known:.3f} nats a hidden word of {len(held_out)} stories "
      "that it has not read")

# %% [markdown]
# ## What a draw does to the gradients
#
# The library's model holds both encoders. A `Key` names the draw: the same key, the same layers.

# %%
STEPS = wb.choose(300, 20)
small = pretraining.of(stories.config(2))
rising = theseus.Schedule(rate=0.3, steps=round(0.67 * STEPS), linear=True)
both = theseus.of(small, stories.config(4), rising)
for step in (0, STEPS // 4, STEPS // 2, STEPS):
    print(f"after {step} steps the rate of replacing is {rising.at(step):.2f}")
assert rising.at(0) == 0.3
assert rising.at(STEPS) == 1

seen = {both.draws(Key(39, step)) for step in range(100)}
print(f"in a hundred steps: {len(seen)} of the 4 models")
key = next(Key(39, step) for step in range(100) if both.draws(Key(39, step)) == (True, False))

[batch] = micro_batches(stories.stream(16).batch()[0])
parameters = theseus.begun(both, old)
gradients = Parameters.zeros(both.layout())
x = inputs(batch, np, stories.config(2))
_, cache = both.forward(x, parameters.tree, key=key, counts=both.counts([x]))
both.backward(Output(loss=1.0), cache, parameters.tree, gradients.tree)
lengths = {name: float(np.linalg.norm(view)) for name, view in gradients.items()}
parts = {"successor, layer 0": "bert.encoder.layer.0.", "successor, layer 1": "bert.encoder.layer.1.",
         "predecessor": "bert.encoder.predecessor.", "embeddings": "bert.embeddings."}
norms = {part: float(np.sqrt(sum(length**2 for name, length in lengths.items() if name.startswith(start))))
         for part, start in parts.items()}
wb.table(["drawn: s0, then 2 and 3 of the old", "length of the gradient"], list(map(list, norms.items())))
assert norms["successor, layer 0"] > 0
assert norms["successor, layer 1"] == norms["predecessor"] == norms["embeddings"] == 0

# %% [markdown]
# Layer 0 learns through two old layers that lie above it. Layer 1 was not drawn, and rests. The old layers, the embeddings and
# the head are there to be used, and are never changed: the optimiser of the paper's code holds nothing but the successor's
# layers.

# %% [markdown]
# ## Replace as you go
#
# The successor begins with the *first* two of the four layers. Alone it is bad: its head was made for what comes out of the
# fourth. We train it by a rising rate and look now and then at both: the mixed model that has just been trained, and the
# successor alone.

# %%
[unread] = micro_batches(held_out, 10**6)
EVERY, DRAWS = max(1, STEPS // 20), wb.choose(5, 2)
looks = []


def mixed_loss(step):
    """Of the stories that were not read, as a mean over draws at this step's rate."""
    x = inputs(unread, np, stories.config(2))
    counts = both.counts([x])
    return float(np.mean([both.forward(x, parameters.tree, key=Key(draw, step), counts=counts)[0].loss for draw in range(DRAWS)]))


def look(step):
    if step % EVERY == 0 or step == 1:
        looks.append((step, mixed_loss(step), loss_of(small, students.taken(parameters, small.layout()))))


still = {name: view.copy() for name, view in parameters.items() if not name.startswith("bert.encoder.layer.")}
curves = {"theseus": train(both, parameters, STEPS, look=look)}
assert all((dict(parameters.items())[name] == view).all() for name, view in still.items()), "not one bit of the others"
print(f"{len(still)} tensors are as they were, to the last bit")
wb.table(["step", "rate", "mixed", "successor alone"], [[step, rising.at(step), *losses] for step, *losses in looks[::4]])
(_, mixed_first, alone_first), (_, mixed_last, alone_last) = looks[0], looks[-1]
assert np.isclose(mixed_last, alone_last, rtol=1e-5), "in the end both are the same model"
if not wb.QUICK:
    assert mixed_first < alone_first, "at first the old layers make it work"
    assert alone_first - known > 3 * (alone_last - known), "most of what the cut has cost is won back"

# %% [markdown]
# The ship sails all the time. With old layers in it the model is better than the successor alone, which begins far away and wins
# back most of what the cut has cost. Where the rate is 1 they are one and the same model.

# %% [markdown]
# ## And beside what?
#
# A method that ends well has to end better than something simpler. Three others get the same steps: the first two layers of
# the predecessor with everything left to learn (truncation), the same with only these layers left to learn (a rate of
# 1, all replaced at once), and two fresh layers with fresh embeddings.

# %%
finals = {"theseus, rising rate": loss_of(small, students.taken(parameters, small.layout()))}
at_once = theseus.of(small, stories.config(4), theseus.Schedule(rate=1.0))
replaced = theseus.begun(at_once, old)
curves["at once"] = train(at_once, replaced, STEPS)
finals["replaced at once"] = loss_of(small, students.taken(replaced, small.layout()))
cut = students.taken(theseus.begun(both, old), small.layout())
curves["truncated"] = train(small, cut, STEPS)
finals["truncated, all learns"] = loss_of(small, cut)
fresh = pretraining.initial_parameters(stories.config(2))
curves["fresh"] = train(small, fresh, STEPS)
finals["fresh"] = loss_of(small, fresh)
wb.table(["two layers", "held out, nats"], [["(the predecessor, four)", known], *map(list, finals.items())])
if not wb.QUICK:
    assert finals["fresh"] > 1.1 * max(value for name, value in finals.items() if name != "fresh")

# %% [markdown]
# Beginning with trained layers is worth a lot. *How* they are replaced makes little difference here, and truncation, which may
# change the embeddings and the head too, comes furthest: three thousand stories are enough to learn from. The paper's gain is on
# tasks with a few thousand labelled sentences and a predecessor that knows far more than they can teach. Whoever reads "keeps
# 98 % of its teacher" should ask: and what does the truncated model keep?

# %% [markdown]
# ## One picture

# %%
def smooth(losses, parts=40):
    return [float(np.mean(part)) for part in np.array_split(losses, min(parts, len(losses)))]


picture = wb.figure(13, 6, "The ship sails while its planks are replaced")
left, right = picture.subplots(1, 2)
steps, mixed, alone = zip(*looks)
left.plot(steps, mixed, color=wb.BLUE, marker="o", label="mixed")
left.plot(steps, alone, color=wb.ORANGE, marker="o", label="successor alone")
left.axhline(known, color=wb.GREY, linestyle="--", linewidth=1.5, label="predecessor")
left.set(title="By a rising rate, stories not read", xlabel="step", ylabel="loss (nats per hidden word)")
left.legend(fontsize=12)
for (name, curve), colour in zip(curves.items(), (wb.BLUE, wb.GREEN, wb.PINK, wb.GREY)):
    y = smooth(curve)
    right.plot(np.linspace(0, STEPS, len(y)), y, color=colour, label=name)
right.set(title="Beside three others, in training", xlabel="step", ylim=(0, None))
right.legend(fontsize=12)
wb.save(picture, "39_replace_as_you_go")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"Each layer is drawn for each example."* For the whole batch; an example of its own draw would need a product of its own.
# - *"The successor takes every second layer."* The paper's code begins with the first ones.
# - *"With `steps_for_replacing` left at its default the rate is constant."* In that code the default is 0: all is replaced
#   after the first step.
# - *"The gradient is clipped over what learns."* There the norm is over all tensors, also those that never move (`--clip-all`).
#
# ## One knob to turn
#
# The rate in the first step. Guess first: what happens at 0.05, what at 0.9?

# %%
FIRST = 0.3  # <- the knob
whole = theseus.of(small, stories.config(4), theseus.Schedule(FIRST, round(0.67 * STEPS)))
turned = theseus.begun(whole, old)
train(whole, turned, STEPS)
print(f"a first rate of {FIRST}: {loss_of(small, students.taken(turned, small.layout())):.3f} nats")

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert finetune classify --train train.tsv --dev dev.tsv --out runs/large
#     python -m minibert compress theseus --teacher runs/large --train train.tsv --dev dev.tsv --out runs/small
#     python -m minibert compress report runs/large runs/small --dev dev.tsv
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My model has six layers at evaluation.* Nothing is drawn there: all places are the successor's.
# - *My rate jumps at the end.* A line ends where it reaches 1; after that it stays.
# - *The successor learns, and gets worse alone.* Look at the last third of the run: it has to be trained without its predecessor
#   for a while.

# %%
wb.exercises(39)
