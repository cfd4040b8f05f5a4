# %% [markdown]
# # 41. Which heads can go
#
# **You will do**: take heads and rows of the feed-forward parts out of a trained model, so that its matrices get smaller, and
# let what is left learn on.
#
# **You will learn**: why a closed gate saves nothing, what a head and a row have in common, what is counted when a model is said
# to be smaller, and how much of a loss a few steps win back.
#
# **You need**: lesson 9 (the encoder), lesson 32 (importance, and closing heads by it).
# Time: about 25 minutes to read; runs in about 60 s.

# %%
import numpy as np
import workbench as wb
from stories import Stories

from minibert.compression import cutting, prune
from minibert.compression.counted import counting
from minibert.model import pretraining
from minibert.tasks.batches import Position, micro_batches
from minibert.training.adamw import AdamW
from minibert.training.engine import Engine, inputs
from minibert.training.schedules import SCHEDULES
from minibert.workers import Workers

rng = np.random.default_rng(41)

# %% [markdown]
# ## The question
#
# Lesson 32 closed heads by a gate of 0, in the order of their importance, and many could go. But a closed head is computed all
# the same, and then multiplied by 0. What does a model look like that really has fewer of them, what is gained, and what is lost?

# %% [markdown]
# ## Toy numbers
#
# Two heads of two numbers each. The output matrix has a column for each of the four:

# %%
context = np.array([1.0, 2.0, 3.0, 4.0])  # of one token: head 0 says 1 and 2, head 1 says 3 and 4
output = np.arange(12.0).reshape(3, 4)  # (out, in)
closed = output @ (context * [1, 1, 0, 0])
zeros = output * [1, 1, 0, 0] @ context
gone = output[:, :2] @ context[:2]
print(f"a gate of 0: {closed}, zeros in its columns: {zeros}, without them: {gone}")
assert (closed == zeros).all()
assert (closed == gone).all()

# %% [markdown]
# Three times the same numbers. The first two cost 12 multiplications, the last one 6. Taking out whole heads and rows is
# **structured pruning** (结构化剪枝): the matrices that are left are smaller and dense. **Unstructured pruning** (非结构化剪枝)
# sets single weights to 0 wherever they stand, and a matrix with zeros in it is multiplied as slowly as before, unless a machine
# is made for it.

# %% [markdown]
# ## The equation
#
# A head and a row of the feed-forward part are the same kind of thing, an addend of a sum behind which an output matrix stands:
#
# $$\text{attention} = \sum_i c_i \cdot W_i^\top + b$$
#
# $$\text{feed-forward} = \sum_j \text{gelu}(x \cdot w_j + b_j) \cdot v_j + b$$
#
# So importance is defined alike for both: with what is read, times the slope of the loss there, added up over the tokens of a
# text, then the absolute value (*Michel et al. 2019, §4*). A head adds up over its D numbers too; a row has only one.

# %% [markdown]
# ## A model to cut
#
# Little stories, as `stories.py` makes them: two people each see an animal, then one of the two is spoken of. To guess a hidden
# word of the end, look back.

# %%
stories = Stories.of(wb.choose(3000, 300), rng)
print(stories.texts[0])
config = stories.config(3)
L, A = config.num_hidden_layers, config.num_attention_heads


[unread] = micro_batches(stories.unread(), 10**6)


def loss(model, parameters):
    """Nats a hidden word, of the stories that nobody has learned from."""
    return float(model.forward(inputs(unread, np, model.config), parameters.tree)[0].loss)


def train(model, parameters, steps, lr=3e-3):
    reads, position = stories.stream(16), Position()
    with Workers(1) as workers:
        engine = Engine(model, parameters, workers, AdamW())
        for step in range(1, steps + 1):
            batch, position = reads.batch(position)
            engine.train(micro_batches(batch), SCHEDULES["linear"](step, lr, 0.1, steps))


whole, parameters = pretraining.of(config), pretraining.initial_parameters(config)
train(whole, parameters, wb.choose(1000, 20))
known = loss(whole, parameters)
print(f"{L * A} heads, {L * config.intermediate_size} rows: {known:.3f} nats a hidden word")

# %% [markdown]
# ## Which are important
#
# One backward pass tells it of all heads and all rows. Is it the slope at a gate? For one head we can try: a gate on it
# multiplies its columns of the output matrix.

# %%
asked = micro_batches(stories.stream(wb.choose(256, 32)).batch()[0])


def importance(model, parameters, by="example"):
    with Workers(1) as workers:
        return prune.importance(model, parameters, asked, by, workers)


found = importance(whole, parameters)
wb.table(["layer", *(f"head {head}" for head in range(A)), "median row", "best row"],
         [[layer, *map(float, found.heads[layer]), float(np.median(found.rows[layer])), float(found.rows[layer].max())]
          for layer in range(L)])

exact, h, D = parameters.astype(np.float64), 1e-5, config.head_size
columns = exact["bert"]["encoder"]["layer"]["1"]["attention"]["output"]["dense"]["weight"][:, :D]
before, sums = columns.copy(), []
for gate in (1 + h, 1 - h):
    columns[...] = gate * before
    ones = {"mlm": 1, "nsp": 1}
    sums.append(sum(float(whole.forward(inputs(batch, np, config), exact.tree, counts=ones)[0].loss) for batch in asked))
columns[...] = before
slope, total = abs(sums[0] - sums[1]) / (2 * h), importance(whole, exact, "batch").heads[1][0]
print(f"head 0 of layer 1: slope {slope:.6f} by two forward passes; the sum over batches of sizes is at least that, {total:.6f}")
assert slope <= total * (1 + 1e-6), "signs of different batches cancel in the slope of all"

# %% [markdown]
# ## Really gone
#
# `cutting.goers` says which go: the least important of all layers together, but never the last one of a layer. `cutting.cut`
# takes them out. We count numbers, and the products of the code that runs, for the stories that nobody has read.

# %%
def without(model, parameters, heads, rows, by="example", seed=0, found=None):
    """The model without a share of its heads and of its rows."""
    found = found or importance(model, parameters)
    gone = [cutting.goers(part, round(share * len(np.concatenate(part))), by, seed) for part, share in zip(found, (heads, rows))]
    kept = cutting.whole(model.config)._replace(**{name: tuple(tuple(np.flatnonzero(~own).tolist()) for own in part)
                                                   for name, part in zip(("heads", "rows"), gone)})
    small = pretraining.of(cutting.config_of(model.config, kept))
    return small, cutting.cut(small, parameters, model.config, kept)


def products(model, parameters):
    counted, tally = counting(parameters)
    model.forward(inputs(unread, np, model.config), counted.tree)
    return tally[0]


cases = {"all": (whole, parameters), "40 % of heads gone": without(whole, parameters, 0.4, 0.0, found=found),
         "and 40 % of rows": without(whole, parameters, 0.4, 0.4, found=found)}
wb.table(["model", "numbers", "million products", "of all", "nats"],
         [[name, pair[1].flat.size, products(*pair) / 1e6, products(*pair) / products(whole, parameters), loss(*pair)]
          for name, pair in cases.items()])
small, left = cases["40 % of heads gone"]
print("heads that are left, by layer:", small.config.heads_of_layers)
gates = np.array([[head in small.config.heads_of(layer) for head in range(A)] for layer in range(L)], np.float32)
by_gates = float(whole.forward(inputs(unread, np, config), parameters.tree, head_mask=gates)[0].loss)
assert np.isclose(loss(small, left), by_gates, rtol=1e-4), "what is gone and what is closed say the same"
assert products(small, left) < products(whole, parameters)

# %% [markdown]
# Heads are the smaller part of a model: the feed-forward parts have twice as many numbers as attention. To make it much faster,
# rows have to go as well.

# %% [markdown]
# ## And by another order?

# %%
SHARES = wb.choose((0.0, 0.2, 0.4, 0.6), (0.0, 0.4))
curves = {by: [loss(*without(whole, parameters, share, share, order, found=found)) for share in SHARES]
          for by, order in (("in order", "example"), ("reversed", "reverse"))}
draws = [[loss(*without(whole, parameters, share, share, "random", seed, found)) for share in SHARES] for seed in range(3)]
curves["at random"] = np.mean(draws, 0).tolist()
wb.table(["gone, of heads and rows", *(f"{share:.0%}" for share in SHARES)], [[name, *y] for name, y in curves.items()])
if not wb.QUICK:
    assert np.mean(curves["in order"]) < np.mean(curves["at random"]) < np.mean(curves["reversed"])

# %% [markdown]
# ## In rounds, and learning on
#
# Importance is a slope at the model as it is; when half of it is gone, it is another model. Two remedies: estimate anew after
# each part (rounds), and let what is left learn for a while. The second costs steps, and so it is compared with the whole model
# that learns as many.

# %%
LAST, AFTER = SHARES[-1], wb.choose(200, 5)
rounds, rest, steps = (whole, parameters), 1.0, 3
for step in range(1, steps + 1):
    going = LAST / (steps - (step - 1) * LAST)  # the same number each time, as a share of what is still there
    rounds = without(*rounds, going, going)
results = {"at once": without(whole, parameters, LAST, LAST, found=found), "in three rounds": rounds,
           "the whole model": (whole, type(parameters)(parameters.layout, parameters.flat.copy()))}
rows = []
for name, (model, values) in results.items():
    first = loss(model, values)
    train(model, values, AFTER, 1e-3)
    rows.append([name, values.flat.size, first, loss(model, values)])
wb.table([f"{LAST:.0%} gone", "numbers", "nats", f"after {AFTER} more steps"], rows)
if not wb.QUICK:
    assert rows[0][3] < rows[0][2], "learning on wins back"

# %% [markdown]
# ## Zeros in their places
#
# Other tools know no layers that differ. For them the model is written in its old shape, with zeros where something is gone. It
# says the same, and nothing is gained.

# %%
model, values = results["at once"]
shape, full = cutting.whole_again(model, values, "bert")
filled = pretraining.of(shape)
print(f"{values.flat.size:,} numbers, or {full.flat.size:,} of which {(full.flat == 0).mean():.0%} are 0: "
      f"{loss(model, values):.4f} and {loss(filled, full):.4f} nats")
assert np.isclose(loss(model, values), loss(filled, full), rtol=1e-4)
assert products(filled, full) == products(whole, parameters)

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(13, 6, "What can go, and what learning on wins back")
left, right = picture.subplots(1, 2)
for (name, y), colour in zip(curves.items(), (wb.BLUE, wb.ORANGE, wb.GREY)):
    left.plot([100 * share for share in SHARES], y, "o-", color=colour, label=name)
left.set(xlabel="% of heads and of rows that are gone", ylabel="loss (nats per hidden word)", title="Before learning on")
left.legend(fontsize=12)
places = np.arange(len(rows))
right.bar(places - 0.2, [row[2] for row in rows], 0.4, color=wb.ORANGE, label="cut")
right.bar(places + 0.2, [row[3] for row in rows], 0.4, color=wb.BLUE, label=f"after {AFTER} steps")
right.set(xticks=places, xticklabels=[row[0] for row in rows], title=f"{LAST:.0%} gone")
right.legend(fontsize=12)
wb.save(picture, "41_which_heads_can_go")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"We pruned 40 % of the heads, so it is 40 % faster."* Heads are a third of the products of a layer, and the rest of the
#   model stays. Measure whole runs.
# - *"`prune_heads` does it."* In version 5 of transformers it is gone; and zeros in a matrix make nothing faster.
# - *"The paper protects the last head of a layer."* Its code does not, and a layer may lose all. Here each keeps one, so that
#   every layer stays a layer.
#
# ## One knob to turn
#
# The share of heads and rows that go. Guess first: from which share on is all lost?

# %%
SHARE = 0.5  # <- the knob
model, values = without(whole, parameters, SHARE, SHARE, found=found)
print(f"{SHARE:.0%} gone: {values.flat.size:,} numbers, {loss(model, values):.3f} nats; all there: {known:.3f}")

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert compress prune --teacher runs/large --train train.tsv --dev dev.tsv --heads 0.4 --feed-forward 0.4 \
#         --rounds 2 --epochs 1 --out runs/fewer
#     python -m minibert compress report runs/large runs/fewer --dev dev.tsv
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My matrices do not fit.* A head is D rows of the matrices of queries, keys and values, and D *columns* of the output matrix.
# - *The small model says something else than the closed one.* The bias of the values goes with its head; that of the output
#   matrix stays.
# - *A layer has no head left.* Skip the last one of a layer, and take the next in the order.

# %%
wb.exercises(41)
