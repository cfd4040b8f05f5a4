# %% [markdown]
# # 32. Heads and pruning
#
# **You will do** ask the gradient which heads matter, in three ways that differ only in where a minus sign is lost; close heads
# in that order, in the reverse order and at random; and let gates learn by themselves which heads to close.
#
# **You will learn** why a head that costs nothing alone may cost a lot in company, what a number without a control is worth, and
# how something that is 0 or 1 can have a gradient.
#
# **You need** lesson 8 (heads), lesson 12 (Adam), lesson 14 (head importance, switching heads off). Time: about 35 minutes to
# read; runs in about 100 s, with `--quick` in about 5 s.

# %%
import numpy as np
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert.analysis import gates as learned
from minibert.analysis import masked, pruning
from minibert.config import BertConfig
from minibert.layers import hard_concrete
from minibert.model import pretraining
from minibert.model.importance import FORMS
from minibert.tasks import batches
from minibert.text import Tokenizer, Vocabulary
from minibert.text.vocabulary import SPECIAL
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.workers import Workers
from minibert.world import World

rng = np.random.default_rng(32)

# %% [markdown]
# ## The question
#
# BERT-base has 12 heads in each of 12 layers. Does it need them? **Pruning** (剪枝) takes out of a trained model what it can do
# without. On one sentence-pair task 40 % of BERT's heads could go before anybody noticed, and most layers did as well with a
# single head (*Michel et al. 2019, "Are Sixteen Heads Really Better than One?", §3.3 and §4.2*). So: which ones can go, how does
# one find out, and how does one know that the way to find out is any good?
#
# ## Toy numbers: two texts of two tokens
#
# Lesson 14 put a gate on each head: a number, 1 as long as the head is on, that its output is multiplied by. The slope of the
# loss at the gate is the importance of the head. By the chain rule a gate's slope is a sum over tokens, of what the head says
# there, times the slope of the loss there. Here are such products for a single head:

# %%
toy = np.array([[0.5, -0.4], [-0.2, 0.1]])  # (texts, tokens)
token = (abs(0.5) + abs(-0.4) + abs(-0.2) + abs(0.1)) / 2  # no sign survives
example = (abs(0.5 - 0.4) + abs(-0.2 + 0.1)) / 2  # tokens of a text cancel
batch = abs(0.5 - 0.4 - 0.2 + 0.1) / 2  # texts cancel as well
print(f"each token {token:.2f}, each text {example:.2f}, the whole batch {batch:.2f}")
assert np.isclose(example, 0.1), "a little more of this head: text 0 gets worse by 0.1, text 1 better by 0.1"
assert np.isclose(batch, 0), "and on average nothing happens: is the head useless?"

# %% [markdown]
# ## The equation
#
# With gate g, output c and loss ℓ of a text, and N texts:
#
# $$\frac{\partial \ell}{\partial g} = \sum_t c_t \cdot \frac{\partial \ell}{\partial c_t} \qquad\qquad
# \text{importance} = \frac{1}{N} \sum_{\text{texts}} \left| \frac{\partial \ell}{\partial g} \right|$$
#
# This is what the paper defines, "each text" above. The paper's own code takes absolute values of each token's product, and a
# script of Hugging Face's that is much copied takes them of a whole batch: three things by one name. Since |x + y| ≤ |x| + |y|,
# each is at most as large as the next:
#
# ```
# batch  ≤  example  ≤  token
# ```
#
# ## Vectorised

# %%
def three_forms(products):
    """Products (N, T, A) of texts, tokens and heads -> the importance of each head (A,) in each form."""
    gates = products.sum(1)  # (N, A): the slope at a gate of each text
    return {"batch": np.abs(gates.sum(0)) / len(gates), "example": np.abs(gates).mean(0),
            "token": np.abs(products).sum(1).mean(0)}


found = three_forms(toy[:, :, None])
assert [float(found[form][0]) for form in FORMS] == [batch, example, token], "the loop and this agree"

# %% [markdown]
# ## A model with twelve heads
#
# The bundled model has four heads, too few to put into an order. So we train one with 3 layers of 4 heads, on text that never
# runs out: `minibert/world` (lesson 27) is a small English made by rules, with agreement, questions, negation and pronouns, and
# a vocabulary of about two hundred words. Guessing one of its hidden words takes reading.

# %%
language = World.of("small")
documents = [language.sentences(document) for document in language.documents(wb.choose(200_000, 3000), 1)]
print(" ".join(documents[0][:3]))
tokenizer = Tokenizer(Vocabulary([*SPECIAL, *language.words]), lower_case=False, max_length=32)
config = BertConfig(vocab_size=len(tokenizer.vocab), hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                    intermediate_size=256, max_position_embeddings=32, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
                    initializer_range=0.07)
L, A = config.num_hidden_layers, config.num_attention_heads
HEADS = L * A
parameters = pretraining.initial_parameters(config, 0)
STEPS = wb.choose(2000, 10)
stream = batches.Stream([[tokenizer.ids(sentence) for sentence in document] for document in documents], tokenizer, max_length=32,
                        batch_size=16, seed=0, next_sentence=False)
position, losses = (0, 0), []
with Workers() as workers:
    engine = Engine(pretraining.of(config), parameters, workers)
    for step in range(1, STEPS + 1):
        examples, position = stream.batch(position)
        losses.append(float(engine.train(batches.micro_batches(examples), learning_rate(step, 3e-3, STEPS // 10, STEPS))[0].loss))
        if step % (STEPS // 5) == 0:
            print(f"step {step:4}: {np.mean(losses[-STEPS // 10:]):.2f} nats a hidden word")
bert = minibert.Bert(config, parameters, tokenizer)

# %% [markdown]
# Importance is estimated on some texts, and what is lost is measured on others, all of them drawn anew. Of each text 15 % of the
# words, at least one, are hidden, always the same ones: so two losses differ by what was done to the model and nothing else.

# %%
texts = [sentence.split() for document in language.documents(20_000, 2) for sentence in language.sentences(document)]
texts = texts[:wb.choose(1200, 40)]
asked, judged = masked.batches(bert, texts[::2]), masked.batches(bert, texts[1::2])


def loss(gates):
    """Nats a hidden word of the texts that are kept for judging, with these gates (L, A)."""
    return float(masked.losses(bert, judged, gates).mean())


full, nothing = loss(np.ones((L, A))), loss(np.zeros((L, A)))
print(f"all heads {full:.2f} nats a hidden word, none {nothing:.2f}; blind guessing {np.log(len(language.words)):.2f}")
if not wb.QUICK:
    assert nothing - full > 1, "heads matter here: without them no word knows of another"

# %% [markdown]
# ## Gradient check
#
# Is the importance what it claims to be? For a single text it is the size of the slope, which two forward passes for each head
# can measure. In float64, of course.

# %%
exact = minibert.Bert(config, parameters.astype(np.float64), tokenizer)
one = masked.batches(exact, texts[:1])
h, slopes = 1e-5, np.zeros((L, A))
for layer, head in np.ndindex(L, A):
    for step in (h, -h):
        gates = np.ones((L, A))
        gates[layer, head] += step
        slopes[layer, head] += np.sign(step) * masked.losses(exact, one, gates).sum() / (2 * h)
error = np.abs(np.abs(slopes) - pruning.importance(exact, one)).max()
print(f"the largest difference of importance and slope, over {HEADS} heads: {error:.0e}")
assert error < 1e-6, "importance is the size of a slope"

# %% [markdown]
# ## The library's own: three forms, three orders
#
# `pruning.importance` takes one backward pass over the text, for all heads together.

# %%
importance = {form: pruning.importance(bert, asked, form) for form in FORMS}  # (L, A) each
order = {form: np.argsort(found, axis=None, kind="stable") for form, found in importance.items()}  # flat: layer·A + head


def name(flat):
    return f"{flat // A}.{flat % A}"


wb.table(["form", "the least important first"], [[form, " ".join(map(name, order[form]))] for form in FORMS])
assert (importance["batch"] <= importance["example"] + 1e-6).all(), "as the inequality says …"
assert (importance["example"] <= importance["token"] + 1e-6).all(), "… for each head"

# %% [markdown]
# Which order is best? No formula says so. Closing heads does.
#
# ## Close them in order, and in two others
#
# A curve that falls slowly proves nothing by itself: perhaps any order would do. So it has two controls: random orders, and the
# same order read backwards. If importance means something, they are worse, and the last one is the worst.

# %%
closed = np.arange(HEADS + 1)


def curve(flat):
    """The loss when the first 0, 1, 2, … heads of an order are closed."""
    return pruning.curve(bert, judged, np.asarray(flat), closed).mean(1)


ordered = {form: curve(order[form]) for form in FORMS}
reverse = curve(order["example"][::-1])
random = np.array([curve(rng.permutation(HEADS)) for _ in range(wb.choose(5, 2))])
some = [0, 2, 4, 6, 8, 10, 12]
wb.table(["closed", *map(str, some)], [*[[f"in order, by {form}", *map(float, ordered[form][some])] for form in FORMS],
                                       ["at random, the mean", *map(float, random.mean(0)[some])],
                                       ["by example, backwards", *map(float, reverse[some])]])
half, costs = HEADS // 2, ordered["example"] - full
assert np.allclose([random[:, 0], random[:, -1]], [[full], [nothing]], atol=1e-5), "all curves begin and end alike"
if not wb.QUICK:
    assert costs[half] < costs[-1] / 3, "half of the heads are worth far less than half"
    assert ordered["example"].mean() < random.mean() < reverse.mean(), "over the whole curve: the order knows something"

# %% [markdown]
# ## One head alone, and in company
#
# Close each head, one at a time, with all others open. What does it cost? If heads worked side by side without knowing of each
# other, the twelve costs would add up to that of closing all.

# %%
single = np.zeros((L, A))
for layer, head in np.ndindex(L, A):
    gates = np.ones((L, A))
    gates[layer, head] = 0
    single[layer, head] = loss(gates) - full
wb.table(["layer", *[f"head {head}" for head in range(A)]], [[layer, *map(float, single[layer])] for layer in range(L)])
print(f"the twelve together {single.sum():.2f}; all closed at once {nothing - full:.2f}")
if not wb.QUICK:
    assert single.sum() < (nothing - full) / 2, "heads stand in for each other: the sum is far too small"

# %% [markdown]
# They do not add up. While other heads are open they stand in for the one that is closed. So no list of costs, however exact,
# says what a *set* of heads is worth, and every order that is made once, at the beginning, grows wrong as heads go. The title of
# the paper asks the sharper question: can a layer do with one head?

# %%
rows = []
for layer in range(L):
    best = importance["example"][layer].argmax()
    for kept, gates in ((f"head {layer}.{best}", np.eye(A)[best]), ("none", np.zeros(A))):
        rows.append([layer, kept, loss(np.concatenate([np.ones((layer, A)), gates[None], np.ones((L - 1 - layer, A))])) - full])
wb.table(["layer", "of its heads is left", "costs, nats"], rows)
left, empty = (np.array([row[2] for row in rows[start::2]]) for start in (0, 1))
if not wb.QUICK:
    assert left.mean() < empty.mean(), "one head is better than none"

# %% [markdown]
# In this small model each layer pays a little, and much less than for having none. (In BERT-base, with twelve heads a layer,
# most layers paid nothing.)
#
# ## Gates that learn
#
# Instead of a slope at 1, why not *learn* the gates, with a price for each that is open? "How many are open" is a step, and has
# no slope. The way out is to let chance decide, and to learn its odds. A **hard concrete gate** (硬具体门) has one number a. It
# draws u evenly between 0 and 1, and
#
# $$s = \text{sigmoid}\left(\frac{\ln u - \ln(1-u) + a}{0.33}\right) \qquad g = \text{clip}(1.2 \cdot s - 0.1,\; 0,\; 1)$$
#
# What lands outside 0 to 1 becomes exactly 0 or 1; what lands between has a slope. And the *chance* to be open is smooth in a:
#
# $$p(g > 0) = \text{sigmoid}(a - 0.33 \cdot \ln(0.1/1.1))$$
#
# (*Louizos et al. 2018, "Learning Sparse Neural Networks through L0 Regularization", §2; for heads Voita et al. 2019, "Analyzing
# Multi-Head Self-Attention", §6.*)

# %%
def gate(a, u):
    s = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u) + a) / 0.33))
    return np.clip(1.2 * s - 0.1, 0, 1)


u, rows = rng.uniform(1e-6, 1 - 1e-6, 100_000), []
for a in (-2.0, 0.0, 2.0):
    drawn = gate(a, u)
    (library, opened), _ = hard_concrete.forward(np.full(u.shape, a), u)
    assert np.allclose(drawn, library, rtol=0, atol=1e-12), "this is the library's"
    assert abs((drawn > 0).mean() - opened[0]) < 0.01, "and the formula tells the share that is open"
    rows.append([a, *(float(share.mean()) for share in (drawn == 0, (drawn > 0) & (drawn < 1), drawn == 1)), float(opened[0])])
wb.table(["a", "drawn 0", "between", "drawn 1", "p(open) by the formula"], rows)

between = np.array([0.45, 0.5, 0.55])  # draws that fall between 0 and 1: at the corners there is no slope to check
pair = Pair(lambda a: hard_concrete.forward(a, between.astype(a.real.dtype)),
            lambda dy, cache: hard_concrete.backward(dy[0], cache, dy[1]))
result = check(pair, {"a": np.array([-0.1, 0.0, 0.2])}, name="gates")
print(f"gradient check: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
assert result.ok

# %% [markdown]
# The model's weights rest; only the twelve numbers a learn, with Adam, to minimise
#
# ```
# nats a hidden word  +  price · Σ p(gate is open)
# ```
#
# At the end each gate is 0 or 1, whichever is likelier. The price says how many nats a head must be worth to stay.

# %%
def close_by_learning(price):
    """Gates (L, A) of 0 and 1 that were learned at this price, the loss with them, and with as many closed in order."""
    decided = hard_concrete.decided(learned.learn(bert, asked, price, steps=wb.choose(60, 3)))
    return decided, loss(decided), float(ordered["example"][HEADS - int(decided.sum())])


at = {price: close_by_learning(price) for price in wb.choose((0.03, 0.1, 0.3), (0.1,))}
wb.table(["price, nats a head", "open", "loss", "as many, by importance", "as many, at random"],
         [[price, int(gates.sum()), found, in_order, float(random.mean(0)[HEADS - int(gates.sum())])]
          for price, (gates, found, in_order) in at.items()])
if not wb.QUICK:
    numbers = [int(gates.sum()) for gates, *_ in at.values()]
    assert numbers == sorted(numbers, reverse=True), "the dearer, the fewer"
    assert numbers[-1] < HEADS, "at the highest price some are closed"
    assert at[0.3][1] < random.mean(0)[HEADS - numbers[-1]], "and not just any"

# %% [markdown]
# Gates learn together: each finds its odds while others are now open, now closed, and so meets the company that a slope at 1
# never sees. Whether that is worth some hundred backward passes instead of one, the table says.
#
# ## One picture

# %%
picture = wb.figure(15, 6.2, "What it costs to close heads depends on who chooses them")
axes, grid = picture.subplots(1, 2, width_ratios=(1.5, 1))
axes.plot(closed, random.T, color=wb.GREY, linewidth=1, alpha=0.6)
for label, losses, colour in (("in order", ordered["example"], wb.BLUE), ("reversed", reverse, wb.ORANGE)):
    axes.plot(closed, losses, "o-", color=colour, label=label)
axes.plot([], [], color=wb.GREY, linewidth=1, label="random orders")
axes.plot([HEADS - gates.sum() for gates, *_ in at.values()], [found for _, found, _ in at.values()], "D", color=wb.GREEN,
          markersize=11, label="learned gates")
axes.set(xlabel=f"heads that are closed, of {HEADS}", ylabel="nats a hidden word")
axes.legend(frameon=False)
image = grid.imshow(importance["example"], cmap="Blues", vmin=0)
for layer, head in np.ndindex(L, A):
    dark = importance["example"][layer, head] > 0.6 * importance["example"].max()
    grid.text(head, layer, f"{single[layer, head]:+.2f}", ha="center", va="center", color="white" if dark else "black")
grid.set(title="importance (colour), cost alone (number)", xlabel="head", ylabel="layer", xticks=range(A), yticks=range(L))
picture.colorbar(image, ax=grid, shrink=0.7)
wb.save(picture, "32_pruning")

# %% [markdown]
# ## What it saves
#
# A gate of 0 saves nothing: everything is computed, and then multiplied by 0. To save, a head's rows are cut out of the query,
# key and value matrices and its columns out of the output matrix: 4·H·D weights and 3·D biases. The feed-forward part, twice as
# large as attention, stays.

# %%
H, D = config.hidden_size, config.head_size
head_numbers = 4 * H * D + 3 * D
block = sum(values.size for key, values in bert.parameters.items() if key.startswith("bert.encoder.layer.0."))
print(f"a head: {head_numbers:,} of the {block:,} numbers of a layer, {head_numbers / block:.1%}; half of the heads of a layer: "
      f"{A // 2 * head_numbers / block:.0%}")
assert A * head_numbers < block / 2, "most of a layer is no attention at all"

# %% [markdown]
# ## One knob to turn
#
# The price of an open head. Guess first: at 1 nat a head, how many of the twelve stay? And at 0.01?

# %%
PRICE = 0.1  # <- the knob

# %%
gates, found, in_order = at[PRICE] if PRICE in at else close_by_learning(PRICE)
print(f"price {PRICE}: {int(gates.sum())} of {HEADS} heads open, {found:.2f} nats; as many by importance {in_order:.2f}")
assert 0 <= gates.sum() <= HEADS

# %% [markdown]
# ## All of it in one command
#
# Of a model of your own, with random orders, the reverse, a standard error and a verdict. The text is CoNLL-U or plain:
#
#     python -m minibert analyse pruning DIR --data text.txt
#     python -m minibert analyse gates DIR --data text.txt
#
# ## Exercises
#
# Five functions: importance in batches, closing the least important, one head a layer, the chance of a 1, and the slope of the
# price. The command prints a line for each, such as `1. importance_by_batches: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **The order is no better than chance.** Was importance estimated with dropout on, or on a handful of texts? Did signs cancel
#   in a batch?
# - **Closing a head makes the loss smaller.** A little of that is luck: of twelve heads some always look better off on the texts
#   where they were chosen. Judge on others.
# - **A closed head still says something.** Close it after the softmax, where the value's bias is multiplied by 0 as well. Some
#   authors mean another thing by "off": equal weights on all tokens, so that the head gives the mean of the values.
# - **All learned gates are open, or all are closed.** The price is in nats a head: compare it with what a head costs. Give them
#   time: Adam moves a by about the learning rate in each step.
# - **My layers cannot be compared.** Gradients differ in size from layer to layer. The paper divides each layer's importance by
#   its length (`per_layer=True`); try both, and see which order loses less.

# %%
wb.exercises(32)
