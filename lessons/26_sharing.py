# %% [markdown]
# # 26. Sharing and factorising
#
# **You will do** derive the gradient of a weight that is used several times, and of a table that is a product of two; count what
# ALBERT has, and what its training takes; and train the same small model with and without both.
#
# **You will learn** what ALBERT's two changes save, what they do not save, and what they cost.
#
# **You need** lesson 4 (why gradients are added), lesson 12 (Adam), lesson 15 (where memory goes), lesson 21 (the two changes).
# Time: about 30 minutes to read; runs in about 60 s.

# %%
import time

import numpy as np
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert import info, memory
from minibert.config import BertConfig
from minibert.layers import embedding, linear
from minibert.model import encoder, pretraining
from minibert.parameters import NOTHING, Layout, Parameters, initialise
from minibert.pretrained import families
from minibert.tasks import batches
from minibert.text import Tokenizer, Vocabulary
from minibert.text.vocabulary import SPECIAL
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.workers import Workers
from minibert.world import World

rng = np.random.default_rng(26)
albert = families.preset("albert", "base")
print(f"ALBERT-base: {albert.num_hidden_layers} layers, {len(set(albert.uses))} block, words of {albert.embedding_size} numbers")

# %% [markdown]
# ## The question
#
# A number of a model is stored, is sent to whoever downloads it, and while training has a gradient and two moments beside it. So
# a model with a ninth of the numbers is a great thing to have. ALBERT has a ninth of BERT's: one block for all layers, and a
# narrow table of words (*Lan et al. 2019, "ALBERT", §3.1*; its third change is the task of sentence order, lesson 11).
#
# What exactly has become smaller, and what has not?
#
# ## Toy numbers
#
# The smallest model with a shared weight: two layers, each multiplies by the same w. With w = 3 and x = 2 it gives
# w·(w·x) = 18. How fast does that grow with w? By the square, d(w²x)/dw = 2·w·x = 12. And layer by layer: the upper one has read
# 6, so its own gradient is 6. The lower has read 2, and what comes back to it is 3, so its own is 6. Together 12.

# %%
w, x, step = 3.0, 2.0, 1e-6
inside = w * x
upper, lower = 1.0 * inside, (1.0 * w) * x  # what comes from above, times what was read
slope = ((w + step) ** 2 * x - (w - step) ** 2 * x) / (2 * step)
print(f"upper layer {upper}, lower layer {lower}, sum {upper + lower}; measured {slope:.6f}")
assert abs(slope - (upper + lower)) < 1e-6

# %% [markdown]
# ## The equation
#
# Layer i uses the tensor W. Were it its own, its gradient would be $g_i$. For a shared one these are added (lesson 4: what is
# used twice gets two gradients):
#
# $$\frac{\partial\,\text{loss}}{\partial W} = \sum_{i=1}^{L} g_i$$
#
# A factorised table is a product of two: a narrow one, (V, e), and a matrix, (H, e). With $d$ the gradient of the (V, H) table
# that the two make,
#
# $$\text{table} = \text{narrow}\cdot\text{matrix}^T \qquad \partial\,\text{narrow} = d\cdot\text{matrix}
# \qquad \partial\,\text{matrix} = d^T\cdot\text{narrow}$$
#
# ## The plain-loop version
#
# Nobody makes the whole table: a batch takes its rows from the narrow one, and only these are made wide.


# %%
def factorised_by_hand(ids, narrow, matrix):
    """ids (N,) -> (N, H), word by word and number by number."""
    out = np.zeros((len(ids), len(matrix)))
    for n, word in enumerate(ids):
        for row in range(len(matrix)):
            for column in range(len(matrix[0])):
                out[n, row] += matrix[row, column] * narrow[word, column]
    return out


V, H, width = 7, 5, 2
narrow, matrix, ids = rng.standard_normal((V, width)), rng.standard_normal((H, width)), np.array([3, 0, 3, 6])
by_hand = factorised_by_hand(ids, narrow, matrix)
assert np.allclose(by_hand, (narrow @ matrix.T)[ids]), "as from the whole table"
assert np.allclose(by_hand, narrow[ids] @ matrix.T), "or the rows first: much less work"

# %% [markdown]
# ## Gradient check
#
# A lookup and a linear layer behind it, with the pairs of lessons 5 and 4, and no new derivation: their gradients follow from
# each other.


# %%
def forward(p):
    rows, looked_up = embedding.forward(ids, p["words"])
    y, projected = linear.forward(rows, p["projection"])
    return y, (looked_up, projected)


def backward(dy, cache, p, g):
    looked_up, projected = cache
    embedding.backward(linear.backward(dy, projected, p["projection"], g["projection"]), looked_up, p["words"], g["words"])


params = {"words": {"weight": narrow}, "projection": {"weight": matrix, "bias": rng.standard_normal(H)}}
result = check(Pair(forward, backward), {}, params, name="factorised")
print(f"relative error: {result.worst('central'):.0e} by differences, {result.worst('complex'):.0e} by complex step")
assert result.ok

# %% [markdown]
# ## Sharing: one gradient, added up
#
# If three layers use one block, which gradient does it get? Each layer gives one, as if it were alone; they are added, because
# `g` is added to (lesson 4). Try it: three layers with *equal* tensors, and one block used three times, give the same numbers.
# The shared gradient is the sum of the three.

# %%
tiny = BertConfig(vocab_size=30, hidden_size=6, num_hidden_layers=3, num_attention_heads=2, intermediate_size=10,
                  hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
shared = tiny.replace(layer_map=(0, 0, 0))
block = initialise(Layout(encoder.shapes(shared)), scale=0.5, dtype=np.float64)
copies = Parameters.zeros(Layout(encoder.shapes(tiny)), dtype=np.float64)
the_one = dict(block.items())  # name -> tensor
for name, tensor in copies.items():  # layer.1.output.dense.bias becomes a copy of layer.0.output.dense.bias
    tensor[...] = the_one["layer.0." + name.split(".", 2)[2]]
x, dy = rng.standard_normal((2, 2, 5, 6))


def there_and_back(p, c):
    """The last hidden state, and the gradient of every tensor by its name."""
    g = p.zeros_like()
    (states, _), cache = encoder.forward(x, encoder.stack(p.tree, NOTHING, c), c)
    encoder.backward([None] * 3 + [dy], cache._replace(layers=encoder.stack(p.tree, g.tree, c)))
    return states[-1], dict(g.items())


(same, once), (state, apart) = there_and_back(block, shared), there_and_back(copies, tiny)
together = once["layer.0.attention.self.query.weight"]
query = [apart[f"layer.{i}.attention.self.query.weight"] for i in range(3)]
wb.table(["gradient of query.weight", "norm"], [[f"of layer {i} alone", float(np.linalg.norm(d))] for i, d in enumerate(query)]
         + [["of the shared one", float(np.linalg.norm(together))]])
assert np.array_equal(same, state), "equal tensors: it is the same function"
assert np.allclose(together, sum(query), rtol=1e-9), "and the gradient is the sum of the three"

# %% [markdown]
# ## What a narrow table cannot say
#
# V rows of H numbers that came through e numbers lie in a space of e dimensions, however large H is. Its rank says so.

# %%
V, H, width = 50, 12, 3
full = rng.standard_normal((V, H))
through = rng.standard_normal((V, width)) @ rng.standard_normal((width, H))
print(f"rank of a full table {np.linalg.matrix_rank(full)}, of one through {width} numbers {np.linalg.matrix_rank(through)}")
assert (np.linalg.matrix_rank(full), np.linalg.matrix_rank(through)) == (H, width), "no more directions than numbers"

# %% [markdown]
# That is the price. ALBERT's authors argue that a word alone, without its context, does not need so many: the layers add the
# context (*Lan et al. 2019, §3.1*). Is it so? The bundled model has learned a full table. By singular values one can say how much
# of it the best table through e numbers could keep (*Eckart and Young 1936*):

# %%
words = minibert.load(device="cpu").parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
energy = np.linalg.svd(words - words.mean(0), compute_uv=False) ** 2
kept = energy.cumsum() / energy.sum()
widths = [8, 16, 32, 64, 128]
wb.table(["e", "of the table's variance it could keep"], [[e, float(kept[e - 1])] for e in widths])
assert kept[31] > 32 / 128, "more than its share"
assert kept[31] < 0.95, "and yet not nearly all: a table that was learned full does use its width"

# %% [markdown]
# So one does not cut a trained table; one learns a narrow one.
#
# ## By formula, and as `info` counts
#
# With one block for all layers and tables of e numbers, an ALBERT has so many (biases and layer norms are counted, too):

# %%
def numbers(c):
    """Of ALBERT's encoder with its pooler, by formula."""
    V, H, I, e = c.vocab_size, c.hidden_size, c.intermediate_size, c.embedding_size
    embeddings = (V + c.max_position_embeddings + c.type_vocab_size + 2) * e + e * H + H
    block = 4 * (H * H + H) + 2 * H * I + I + H + 4 * H
    return embeddings + block + H * H + H


sizes = {name: families.preset("albert", name) for name in ("base", "large", "xlarge", "xxlarge")}
rows = []
for name, c in sizes.items():
    assert f"{numbers(c):,}" in info.report(c, name), "the line `= encoder with pooler` of `minibert info`"
    apart = c.replace(layer_map=None, embedding_size=None)
    rows.append([name, c.num_hidden_layers, c.hidden_size, numbers(c), memory.parameter_counts(apart)["encoder"]])
wb.table(["ALBERT", "layers", "hidden", "numbers", "without both changes"], rows)
assert [row[3] for row in rows] == [11_683_584, 17_683_968, 58_724_864, 222_595_584], "as released"

# %% [markdown]
# Which of the two changes saves more? Take BERT-base and change one thing at a time.

# %%
bert = families.preset("bert", "base")
VARIANTS = {"BERT-base": bert, "factorised": bert.replace(embedding_size=128), "shared": bert.replace(layer_map=(0,) * 12),
            "both": bert.replace(embedding_size=128, layer_map=(0,) * 12)}
counted = {name: memory.parameter_counts(c)["encoder"] for name, c in VARIANTS.items()}
wb.table(["", "numbers", "of BERT's"], [[name, n, n / counted["BERT-base"]] for name, n in counted.items()])
assert counted["factorised"] > counted["shared"] > counted["both"], "sharing saves the most, here"

# %% [markdown]
# ## What is saved, and what is not
#
# A training step on 32 texts of 128 tokens. For each number of the model four are stored: itself, its gradient, two moments. For
# each token every *use* of a block leaves its cache, shared or not. And every use is computed.

# %%
states, kept_for_backward = {}, {}
for name, c in VARIANTS.items():
    parts = memory.training(c, 32, 128)
    states[name] = sum(part.bytes * part.times for part in parts if part.name in ("weights", "gradients", "moments of Adam"))
    kept_for_backward[name] = memory.total(parts) - states[name]
wb.table(["", "weights, gradients, moments (MB)", "activations (MB)", "together (MB)"],
         [[name, states[name] / 1e6, kept_for_backward[name] / 1e6, (states[name] + kept_for_backward[name]) / 1e6]
          for name in VARIANTS])
assert states["both"] < states["BERT-base"] / 8
assert kept_for_backward["shared"] == kept_for_backward["BERT-base"], "not one activation less"
assert 0.2 < 1 - (states["both"] + kept_for_backward["both"]) / (states["BERT-base"] + kept_for_backward["BERT-base"]) < 0.3

# %% [markdown]
# A ninth of the numbers, and of the memory of training a quarter is saved, because most of it was never numbers of the
# model. (Where many machines train together, gradients are *sent*: there it is a ninth.) And the time? One forward and backward
# pass of a small stack, with four blocks and with one, side by side. The smaller of some tries each:

# %%
stack = BertConfig(vocab_size=30, hidden_size=128, num_hidden_layers=4, num_attention_heads=2, intermediate_size=512,
                   hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
x = rng.standard_normal((8, 64, 128)).astype(np.float32)
seconds = {}
for name, c in (("four blocks", stack), ("one block, four times", stack.replace(layer_map=(0,) * 4))):
    layout = Layout(encoder.shapes(c))
    p = layout.tree((0.05 * rng.standard_normal(layout.size)).astype(np.float32))
    g = layout.tree(np.zeros(layout.size, np.float32))
    tries = []
    for _ in range(wb.choose(8, 2)):
        began = time.perf_counter()
        _, cache = encoder.forward(x, encoder.stack(p, NOTHING, c), c)
        encoder.backward([None] * 4 + [x], cache._replace(layers=encoder.stack(p, g, c)))
        tries.append(time.perf_counter() - began)
    seconds[name] = min(tries)
wb.table(["", "milliseconds"], [[name, 1000 * s] for name, s in seconds.items()])

# %% [markdown]
# About the same, on a machine with nothing else to do. The products are as many and as large; lesson 21 counts them.
#
# ## What it costs
#
# One model of four layers, trained four times on the same text: a generated English with few words. The table of words is small
# here, so e = 16 of H = 64.

# %%
world = World.of("small")
tokenizer = Tokenizer(Vocabulary([*SPECIAL, *world.words]), lower_case=False)


def text(n, seed):
    return [[tokenizer.ids(sentence) for sentence in world.sentences(document)] for document in world.documents(n, seed)]


STEPS = wb.choose(400, 8)
train, aside = text(wb.choose(60_000, 3000), 0), text(wb.choose(3000, 300), 1)
small = BertConfig(vocab_size=len(tokenizer.vocab), hidden_size=64, num_hidden_layers=4, num_attention_heads=2,
                   intermediate_size=256, max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                   initializer_range=0.07)
TRAINED = {"neither": small, "factorised": small.replace(embedding_size=16), "shared": small.replace(layer_map=(0,) * 4),
           "both": small.replace(embedding_size=16, layer_map=(0,) * 4)}
look = batches.held_out(aside, tokenizer, max_length=16, next_sentence=False)
curves = {}
for name, c in TRAINED.items():
    stream = batches.Stream(train, tokenizer, max_length=16, batch_size=32, seed=0, next_sentence=False)
    position, curves[name] = (0, 0), []
    with Workers() as workers:
        engine = Engine(pretraining.of(c), pretraining.initial_parameters(c), workers)
        for step in range(1, STEPS + 1):
            examples, position = stream.batch(position)
            engine.train(batches.micro_batches(examples), learning_rate(step, 3e-3, STEPS // 10, STEPS))
            if step % (STEPS // 8) == 0:
                curves[name].append((step, float(engine.evaluate(look).mlm_loss)))
wb.table(["", "numbers", "nats after the run"],
         [[name, memory.parameter_counts(TRAINED[name])["total"], curve[-1][1]] for name, curve in curves.items()])
if not wb.QUICK:
    assert all(curve[-1][1] < curve[0][1] - 0.3 for curve in curves.values()), "all of them learn"
    after = {name: curve[-1][1] for name, curve in curves.items()}
    assert after["factorised"] - after["neither"] > 0.1 + abs(after["shared"] - after["neither"])

# %% [markdown]
# In this short run sharing costs nothing, and a quarter of the width for the words costs a third of a nat: the narrow table
# leaves the plateau later. One run each, so differences of a few hundredths are noise. At the sizes of the paper it was sharing
# that cost: a mean of 81.6 over five tasks without it, 80.1 with it, at base size with e = 128 (*Lan et al. 2019, Table 4*).
# What one gains is room: ALBERT's authors spent it on wider layers. Then each step is slower, and the result better.
#
# ## One picture

# %%
picture = wb.figure(14, 5.6, "Sharing shrinks what is stored, not what is kept for the way back")
left, right = picture.subplots(1, 2)
left.bar([*VARIANTS], [states[name] / 1e9 for name in VARIANTS], color=wb.BLUE, label="weights, gradients, moments")
left.bar([*VARIANTS], [kept_for_backward[name] / 1e9 for name in VARIANTS], bottom=[states[name] / 1e9 for name in VARIANTS],
         color=wb.SKY, label="activations")
left.set(ylabel="memory of a step (GB)", title="BERT-base, 32 texts of 128 tokens", ylim=(0, 8))
left.legend(frameon=False)
for name, curve in curves.items():
    right.plot(*zip(*curve), "o-", label=name)
right.set(xlabel="step", ylabel="held-out loss (nats)", title="A small model, trained four times")
right.legend(frameon=False)
wb.save(picture, "26_saved")

# %% [markdown]
# ## One knob to turn
#
# Which layer uses which block. Guess the numbers, the memory and the work of your map before you run it. ALBERT knows groups,
# such as `(0,) * 6 + (1,) * 6`; round and round, `(0, 1, 2) * 4`, is something else.

# %%
LAYER_MAP = (0,) * 6 + (1,) * 6  # <- the knob

# %%
mixed = bert.replace(num_hidden_layers=len(LAYER_MAP), layer_map=LAYER_MAP)
print(f"{memory.parameter_counts(mixed)['encoder']:,} numbers, {memory.total(memory.training(mixed, 32, 128)) / 1e9:.2f} GB to "
      f"train, {len(LAYER_MAP)} blocks to compute")
assert memory.parameter_counts(mixed)["attention"] == memory.parameter_counts(bert)["attention"], "a block is as large as ever"

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert info albert-base
#     python -m minibert train --family albert --out runs/albert
#
# ## Exercises
#
# Four functions: the gradient of shared blocks, those of a factorised table, ALBERT's numbers, and what a narrow table must lose.
#
# ## When you are stuck
#
# - **The shared gradient is a third of what it should be.** It is the sum over the layers, not the mean.
# - **A shared block learns, though I froze the first layers.** Frozen are tensors, not layers: the same ones are used above.
# - **Out of memory, although the model is tiny.** Activations do not shrink by sharing. A smaller batch, micro-batches or
#   recomputation do it (lesson 15).
# - **My factorised table has more numbers than before.** V·e + e·H must be below V·H: with few words it may not pay.

# %%
wb.exercises(26)
