# %% [markdown]
# # 28. How contextual?
#
# **You will do** measure whether a word has the same vector wherever it stands, find that the measure means nothing without a
# control, and let three estimators of one quantity disagree.
#
# **You will learn** what of "the vectors of higher layers are more contextual" is a finding and what is a habit of all vectors,
# and how to ask the same of words of which you know the sense.
#
# **You need** lesson 9 (hidden states), lesson 18 (cosines, anisotropy), lesson 27 (the generated language).
# Time: about 30 minutes to read; runs in about 90 s.

# %%
from collections import defaultdict

import generated
import numpy as np
import workbench as wb

from minibert.analysis import contextual
from minibert.analysis.collecting import collect
from minibert.analysis.controls import random_weights
from minibert.world import World

world = World.of("small")
rng = np.random.default_rng(28)

# %% [markdown]
# ## The question
#
# A table of word vectors has one row for "bank". BERT begins with such a table, and then every layer mixes in the neighbours. So
# the bank of a river and the bank of a city get different vectors. How different, and in which layer?
#
# ## Toy numbers
#
# Three occurrences of a word, as vectors of two numbers, at 0°, 30° and 60°. Their **self-similarity** (自相似度) is the mean
# cosine of all pairs of them. *Ethayarajh 2019, "How Contextual are Contextualized Word Representations?", §3.3.*

# %%
angles = np.radians([0, 30, 60])
toy = np.stack([np.cos(angles), np.sin(angles)], 1)  # (N, 2)
cosines = toy @ toy.T  # they have length 1
print("pairs:", *(f"{c:.3f}" for c in cosines[np.triu_indices(3, 1)]), f"  mean {cosines[np.triu_indices(3, 1)].mean():.3f}")
assert np.isclose(cosines[np.triu_indices(3, 1)].mean(), (2 * np.cos(np.pi / 6) + 0.5) / 3)

# %% [markdown]
# ## The equation
#
# With u the vectors of N occurrences, brought to length 1:
#
# $$\text{self-similarity} = \frac{1}{N(N-1)} \sum_{i \ne j} u_i \cdot u_j = \frac{\left|\sum_i u_i\right|^2 - N}{N(N-1)}$$
#
# The second form holds because the square of the sum has all N² products, and those of each with itself are 1. The
# **intra-sentence similarity** (句内相似度) is the same idea for the words of one sentence: the mean cosine of each with the mean
# of all.
#
# ## The plain-loop version

# %%
def in_loops(x):
    """Self-similarity of occurrences x (N, H)."""
    total = 0.0
    for i, one in enumerate(x):
        for j, other in enumerate(x):
            if i != j:
                total += sum(one * other) / np.sqrt(sum(one * one) * sum(other * other))
    return total / (len(x) * (len(x) - 1))


# %% [markdown]
# ## Vectorised, and the library's own

# %%
def at_once(x):
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    return ((u.sum(0) ** 2).sum() - len(u)) / (len(u) * (len(u) - 1))


x = rng.standard_normal((12, 5)) + 0.5
print(f"loops {in_loops(x):.12f}, arrays {at_once(x):.12f}, library {contextual.self_similarity(x):.12f}")
assert np.isclose(in_loops(x), contextual.self_similarity(x), rtol=1e-10)
assert np.isclose(at_once(x), contextual.self_similarity(x), rtol=1e-10)

# %% [markdown]
# ## What the number means: a cone
#
# Take vectors that have nothing to do with each other, and add to each of them one and the same vector. Nothing has been said
# about any word. But now all point into a narrow cone, and the self-similarity of *anything* is large.

# %%
COMMON = 3.0  # <- the knob

# %%
noise = rng.standard_normal((400, 64))
direction = np.ones(64) / 8  # of length 1
wb.table(["length of what is added", "mean cosine of unrelated vectors"],
         [[float(length), contextual.self_similarity(noise + length * direction)] for length in (0, COMMON, 8, 24)])
assert abs(contextual.self_similarity(noise)) < 0.02, "unrelated: cosines around 0"
assert contextual.self_similarity(noise + 24 * direction) > 0.85, "unrelated still, and nearly parallel"

# %% [markdown]
# So "occurrences of bank have a mean cosine of 0.8" is no finding. It is one if two words of different sentences have less: that
# mean cosine, the anisotropy of lesson 18, is the control, and what is left above it is the finding.
#
# ## Three estimators of one thing
#
# Another way to ask: how much of a word's occurrences does a single vector explain? This is the **maximal explainable variance**
# (最大可解释方差), MEV. *§3.3 of the paper: the share of the first singular value, σ₁² / Σσ².* Of which matrix? Three answers are
# in use, and the paper has one and its code another two:
#
# - **uncentred**: of the occurrences as they are. A common vector counts as explained.
# - **centred**: of the occurrences less their mean, as in a principal component analysis.
# - **projected**: the variance along the uncentred direction, as a share of all variance.
#
# Of a fixed vector of length m plus noise of variance s² in each of d numbers, one can say what each has to give:
# (m² + s²)/(m² + d·s²), then 1/d twice. With few occurrences the second is larger, for a best direction always fits some noise.

# %%
size = 16
rows = []
for m in (0.0, 2.0, 8.0):
    made = rng.standard_normal((4000, size)) + m * np.eye(size)[0]
    found = contextual.explained(made)
    rows.append([m, *map(float, found), (m * m + 1) / (m * m + size), 1 / size])
    assert abs(found.uncentred - rows[-1][4]) < 0.02
    assert abs(found.centred - 1 / size) < 0.02
    assert abs(found.projected - 1 / size) < 0.02
wb.table(["length m", "uncentred", "centred", "projected", "expected: uncentred", "the others"], rows)
assert rows[-1][1] > 0.75 > 0.1 > rows[-1][3], "one and the same word: explained nearly all, or hardly at all"

# %% [markdown]
# The last row is a word that *has* one vector, and some noise. The first estimator says so. The others took that vector away, by
# subtracting the mean, and then report that no vector explains anything. "Less than 5 % can be explained by a static embedding"
# is a claim about an estimator before it is one about BERT.
#
# ## A model
#
# A small one with three layers, trained for a minute on the language of lesson 27. Beside it the same model with random weights:
# it mixes neighbours in, too, without having learned which.

# %%
bert = generated.train(world, wb.choose(1800, 4), layers=wb.choose(3, 2))
golds = [gold for document in world.documents(wb.choose(20_000, 4000), seed=5) for gold in world.gold(document)]
sentences = [gold.form for gold in golds]
found = {"trained": contextual.measure(bert, sentences, most=wb.choose(300, 50)),
         "random weights": contextual.measure(random_weights(bert, 0), sentences, most=wb.choose(300, 50))}
for name, one in found.items():
    print(f"{name}: {one.words} words, {one.occurrences:,} occurrences")
    wb.table(["hidden state", "same word", "same sentence", "any two words", "same word, less that of any two"],
             [[i, *map(float, row)] for i, row in enumerate(zip(one.self_similarity, one.intra_sentence, one.anisotropy,
                                                                one.adjusted[0]))])
    assert (one.self_similarity <= 1 + 1e-9).all()
L = bert.config.num_hidden_layers
if not wb.QUICK:
    same, untrained = (one.adjusted[0] for one in found.values())
    assert same[-1] < same[1:-1].max() - 0.02, "in the last layer a word's vectors come apart again"
    assert same.min() > untrained.max(), "and with random weights a word stands out less, since there the cone is narrower"

# %% [markdown]
# State 0 is not 1, although it comes from a table with one row for each word: the position is added there, and the same word at
# another place is another vector. The paper found for BERT: the higher the layer, the more contextual. Here the last column rises
# at first, and falls in the last layer alone; without the control one would hardly see that fall. With random weights it stays
# about where it was: neighbours are mixed in there as well, but no layer has learned which.

# %%
names = contextual.Explained._fields
one = found["trained"]
wb.table(["hidden state", *names, *(f"{name}, any words" for name in names)],
         [[i, *map(float, [*own, *anywhere])] for i, (own, anywhere) in enumerate(zip(one.explained, one.anywhere))])
if not wb.QUICK:
    assert one.explained[-1, 0] > 2 * one.explained[-1, 2], "the same vectors: it depends on whom you ask"

# %% [markdown]
# ## Words with two senses
#
# Ethayarajh had to guess what a word meant. We need not: our sentences carry gold. In this language *bank* is a thing of the city
# or of the sea, and *plant* and *watch* are nouns or verbs. If a model tells them apart, two occurrences of the same sense are
# more alike than two of different senses; the difference of the two mean cosines is free of the cone, since it is in both.

# %%
SENSES = {"bank": ("bank.NOUN.city", "bank.NOUN.sea"), "plants": ("plant.NOUN.farm", "plant.VERB.farm"),
          "watches": ("watch.NOUN.school", "watch.VERB.school")}


def by_sense(bert, most):
    """word -> two arrays (L+1, N, H), of the occurrences of each sense."""
    there = [i for i, gold in enumerate(golds) if any(word in SENSES for word in gold.form)]
    vectors = defaultdict(list)
    for units in collect(bert, [sentences[i] for i in there]):
        gold = golds[there[units.index]]
        for place, word in enumerate(units.words):
            if word is not None and gold.form[word] in SENSES and len(vectors[gold.sense[word], gold.form[word]]) < most:
                vectors[gold.sense[word], gold.form[word]].append(units.states[:, place])
    return {word: [np.stack(vectors[sense, word], 1) for sense in senses] for word, senses in SENSES.items()}


def apart(one, other):
    """Mean cosine within the senses, less that between them: x (N, H) of each."""
    within = (contextual.self_similarity(one) + contextual.self_similarity(other)) / 2
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
    return within - float((u @ v.T).mean())


told = {}
for name, model in (("trained", bert), ("random weights", random_weights(bert, 0))):
    told[name] = {word: [apart(*pair) for pair in zip(*states)] for word, states in by_sense(model, wb.choose(100, 20)).items()}
    print(f"{name}: how much more alike the same sense is than another")
    wb.table(["word", *(f"state {i}" for i in range(L + 1))], [[word, *map(float, row)] for word, row in told[name].items()])
if not wb.QUICK:
    for word in ("plants", "watches"):
        assert told["trained"][word][1] > told["trained"][word][0] + 0.15, "noun and verb come apart in the first layer"
        assert told["trained"][word][1] > 10 * abs(told["random weights"][word][1]), "and that has been learned"
    assert told["trained"]["bank"][-1] > 0.05 > told["trained"]["bank"][1], "the two banks only in the last"

# %% [markdown]
# Noun and verb are told apart at once: the word beside them says which it is. The two banks are both nouns, and differ by topic
# only. Whoever wants to tell them apart has to find another word of the topic somewhere in the sentence, and to know its topic:
# that takes the model until the last layer. (And in a sentence with no such word, nobody can.)
#
# ## One picture

# %%
picture = wb.figure(15, 5.8, "The same vectors, read three ways")
axes = picture.subplots(1, 3)
states = range(L + 1)
for name, style in (("trained", "o-"), ("random weights", "o:")):
    axes[0].plot(states, found[name].self_similarity, style, color=wb.BLUE, label=f"same word, {name}")
    axes[0].plot(states, found[name].anisotropy, style, color=wb.GREY, label=f"any two words, {name}")
axes[0].set(title="mean cosine", xlabel="hidden state", xticks=states, yticks=np.linspace(0, 1, 6), ylim=(-0.1, 1.4))
axes[0].legend(fontsize=12)
for i, (name, colour) in enumerate(zip(names, (wb.BLUE, wb.ORANGE, wb.GREEN))):
    axes[1].plot(states, one.explained[:, i], "o-", color=colour, label=name)
axes[1].set(title="explained by one vector", xlabel="hidden state", xticks=states, ylim=(0, 1.05))
axes[1].legend(fontsize=12)
for (word, row), colour in zip(told["trained"].items(), (wb.BLUE, wb.ORANGE, wb.GREEN)):
    axes[2].plot(states, row, "o-", color=colour, label=word)
    axes[2].plot(states, told["random weights"][word], "o:", color=colour)
axes[2].set(title="same sense less other sense\n(dotted: random weights)", xlabel="hidden state", xticks=states)
axes[2].legend(fontsize=12)
wb.save(picture, "28_how_contextual")

# %% [markdown]
# ## Beware
#
# - **A cosine has no meaning by itself.** Every one of these figures needs the same figure for words that have nothing to do with
#   each other, and best also that of random weights.
# - **Contextual is not the same as useful.** Random weights make contextual vectors. Whether what was mixed in is what one needs,
#   the senses say, and a probe, or the loss.
# - **A few dimensions may be all of it.** In large models single dimensions are so big that they alone decide a cosine; then look
#   without them, or with ranks (*Timkey and van Schijndel 2021, "All Bark and No Bite"*).
#
# ## One knob to turn
#
# `COMMON`, under "What the number means". Guess the mean cosine for a common part of 8, which is as long as the noise, before you
# read it in the table; then set it to 16.

# %%
expected = COMMON**2 / (COMMON**2 + 64)  # of long vectors: the noise has length √64
measured = contextual.self_similarity(noise + COMMON * direction)
print(f"common part {COMMON}: mean cosine {measured:.3f}, expected about {expected:.3f}")
assert abs(measured - expected) < 0.03

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert analyse contextual
#     python -m minibert analyse contextual DIR --data en_ewt-ud-dev.conllu
#
# ## Exercises
#
# Five functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My self-similarity is too large.* Each vector has a cosine of 1 with itself: leave those pairs out.
# - *It is larger than 1.* Bring the vectors to length 1 first, each by itself.
# - *My centred share is nearly 1.* Of two occurrences less their mean one direction explains all: always. Take more of them.
# - *My control is as large as my result.* Then that is the result: the word is no more like itself than like any other.

# %%
wb.exercises(28)
