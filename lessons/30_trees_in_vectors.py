# %% [markdown]
# # 30. Trees in vectors
#
# **You will do** put a tree into space without bending it, find the matrix that shows a tree in a model's vectors, and look for
# trees in the bundled model.
#
# **You will learn** why it is the *square* of a distance that counts edges, what a structural probe is, and how little a share
# of edges found says without what stands beside it.
#
# **You need** lesson 4 (gradients and their check), lesson 9 (hidden states), lesson 12 (Adam). Time: about 35 minutes to read;
# runs in about 10 s.

# %%
import numpy as np
import workbench as wb

import minibert
from gradcheck import check
from minibert.analysis import controls, probing, structural, subject, trees
from minibert.analysis.trees import Parsed
from minibert.parameters import Layout, Parameters
from minibert.world import World

bert = minibert.load(device="cpu")
rng = np.random.default_rng(30)
print(bert)

# %% [markdown]
# ## The question
#
# A sentence is a row of words, and it is a tree: each word but one, the root, hangs on another, which linguists call its head
# (no attention head). This is a **dependency tree** (依存树). Nobody shows trees to BERT. Its vectors are points in a space, one
# for each word. Could a tree be in there all the same, and how would one see it?
#
# ## Toy numbers
#
# "the big dogs see cats": the and big hang on dogs, dogs and cats on see. Between two words lie so many edges:

# %%
WORDS = ["the", "big", "dogs", "see", "cats"]
HEADS = [2, 2, 3, -1, 3]  # the place of each word's head, -1 for the root
ROOT = HEADS.index(-1)
edges = trees.distances(HEADS)
wb.table(["", *WORDS], [[word, *map(int, row)] for word, row in zip(WORDS, edges)])
assert edges[0, 4] == 3, "the, dogs, see, cats: three edges"
assert edges[0, ROOT] == 2, "the root is two edges above the first word, whose depth this is"

# %% [markdown]
# So we look for points whose distances are these numbers. There are none, in no space whatever. Look at dogs and its three
# neighbours the, big and see: each is 1 from dogs and 2 from the others. Two of them then stand on opposite sides of dogs, and so
# would the third, opposite to both. (Only a tree without such a fork, a chain, can be laid out like this: on a line.)
#
# In general: distances fix the products of the points' vectors, seen from their centre, and a matrix of products of real vectors
# has no negative eigenvalue. If one comes out negative, there are no such points. *Torgerson 1952, "Multidimensional Scaling:
# I".*

# %%
def smallest_eigenvalue(squares):
    """Of the products of vectors that lie so far apart, squared; below 0: there are none."""
    centre = np.eye(len(squares)) - 1 / len(squares)
    return float(np.linalg.eigvalsh(-centre @ squares @ centre / 2)[0])


edges_as_distances, edges_as_squares = smallest_eigenvalue(edges.astype(float) ** 2), smallest_eigenvalue(edges.astype(float))
print(f"smallest eigenvalue where distances are edges: {edges_as_distances:.3f}")
print(f"where squared distances are edges: {abs(edges_as_squares):.3f}")
assert edges_as_distances < -0.1, "no points lie so"
assert edges_as_squares > -1e-12, "but if it is the square that counts edges, some do"

# %% [markdown]
# ## The equation
#
# Not luck: it is so for every tree. Give each word an axis of its own, e, and put it one step along that axis away from its head:
#
# $$f(\text{root}) = 0 \qquad f(\text{word}) = f(\text{head}) + e_{\text{word}} \qquad
# \lVert f(i) - f(j) \rVert^2 = \text{edges between } i \text{ and } j$$
#
# Between i and j the two vectors differ by 1 along the axis of each edge on the way, and nowhere else; by Pythagoras the square
# counts these. *Reif et al. 2019, "Visualizing and Measuring the Geometry of BERT", §3.*

# %%
f = structural.embedding(HEADS)
wb.table(["", *(f"along {word}" for word in WORDS)], [[word, *map(int, row)] for word, row in zip(WORDS, f)])
squares = ((f[:, None] - f) ** 2).sum(-1)
assert (squares == edges).all(), "every distance, to the last digit"
assert ((f**2).sum(1) == edges[ROOT]).all(), "and the square of a length is the depth"
turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
assert np.allclose((((f @ turn)[:, None] - f @ turn) ** 2).sum(-1), edges), "turned in space it is the same tree"

# %% [markdown]
# A model's vectors have much else to hold: which word it is, where it stands. A tree might lie in some directions only, and
# turned. So we look through a matrix W that may keep some directions and drop others. This is the **structural probe**
# (结构探针):
#
# $$d(i, j) = \lVert W (x_i - x_j) \rVert^2 \qquad\qquad
# \text{loss} = \frac{1}{n^2} \sum_{ij} \lvert d(i, j) - \text{edges}(i, j) \rvert$$
#
# *Hewitt and Manning 2019, "A Structural Probe for Finding Syntax in Word Representations", §2.* Only W is learned; the model
# stays as it is.
#
# ## The plain-loop version


# %%
def distances_in_loops(x, weight):
    """x (N, H), weight (rank, H) -> (N, N)"""
    out = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        for j in range(len(x)):
            for row in weight:
                out[i, j] += sum(row * (x[i] - x[j])) ** 2
    return out


# %% [markdown]
# ## Vectorised, and the library's own

# %%
def distances_at_once(x, weight):
    z = x @ weight.T
    length = (z * z).sum(-1)
    return length[:, None] + length - 2 * z @ z.T  # |a - b|² = |a|² + |b|² - 2ab


x, weight = rng.standard_normal((6, 8)), rng.standard_normal((3, 8))
library, _ = structural.forward(x[None], {"weight": weight})
assert np.allclose(distances_in_loops(x, weight), library[0], rtol=1e-12)
assert np.allclose(distances_at_once(x, weight), library[0], rtol=1e-12, atol=1e-12)
print("loops, arrays and library agree")

# %% [markdown]
# ## Gradient check
#
# With z = Wx, every d(i, j) pulls at both of its ends: dz_i = 2 Σ_j (dd_ij + dd_ji)(z_i − z_j). Then a linear layer without bias.

# %%
result = check(structural, {"h": x[None]}, {"weight": weight}, name="structural", options={"form": "distance"})
print(f"{result.name}: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
assert result.ok

# %% [markdown]
# ## From distances back to a tree
#
# A probe gives numbers such as 0.8 or 2.3, never exactly 1. What tree do they mean? The shortest one that joins all words, the
# **minimum spanning tree** (最小生成树): begin with one word, and always add the word that is nearest to any of those that are
# joined already. *Prim 1957, "Shortest Connection Networks And Some Generalizations".* The share of gold edges that it has is
# called **UUAS** (无向无标记依存准确率), the undirected unlabelled attachment score: nobody asks which end is the head.

# %%
noisy = edges + rng.uniform(-0.4, 0.4, edges.shape)
noisy = (noisy + noisy.T) / 2
found = trees.spanning_tree(-noisy)
print("found:", ", ".join(f"{WORDS[i]} - {WORDS[j]}" for i, j in found))
assert set(found) == trees.pairs(HEADS), "an error below a half on every distance changes no edge: 1 stays below 2"

# %% [markdown]
# ## A tree that we hid ourselves
#
# Does the probe find a tree if there is one? Hide trees: vectors of H = 24 numbers, in which the embedding of a tree takes eight
# directions, turned, and noise fills the others. We know the W that sees it; then let Adam look for one.

# %%
def random_heads(n):
    """A tree of n words: each hangs on one of those before it."""
    return [-1, *(int(rng.integers(0, i)) for i in range(1, n))]


turn = np.linalg.qr(rng.standard_normal((24, 24)))[0]
hidden = [random_heads(8) for _ in range(120)]
corpus = structural.corpus_of([Parsed(["w"] * 8, heads, ["x"] * 8) for heads in hidden])
noise = rng.standard_normal((len(hidden), 8, 16))
x = np.concatenate([np.stack([structural.embedding(heads) for heads in hidden]), noise], -1).reshape(-1, 24) @ turn
train, dev, test = probing.split(np.arange(len(hidden)))


def score(x, p, corpus, test):
    """UUAS of a probe on test sentences."""
    found = structural.predictions(x, p, corpus, test)
    return structural.uuas(found, [corpus.heads[i] for i in test], [corpus.kept[i] for i in test])


known = Parameters.zeros(Layout({"weight": (8, 24)}), dtype=np.float64)
known["weight"][...] = turn[:8]
exact = structural.predictions(x, known, corpus, test)
assert all(np.allclose(d, trees.distances(corpus.heads[i]), atol=1e-10) for d, i in zip(exact, test)), "the W that we know: exact"
patient = structural.OFFICIAL._replace(learning_rate=0.03, passes=60, patience=8, shrink=0.5)
learned = structural.fit(x, corpus, train, dev, rank=24, settings=patient)
print(f"UUAS with the W that we know {score(x, known, corpus, test):.2f}, with the one that was learned "
      f"{score(x, learned, corpus, test):.2f}")
assert score(x, known, corpus, test) == 1
assert score(x, learned, corpus, test) > 0.9, "W looks past the noise, though nobody said where it is"

# %% [markdown]
# ## Trees in the bundled model
#
# Now a model to which nobody gave a tree. For sentences with known trees we take the library's generated language, which looks
# like English. Three things stand beside every figure:
#
# - *the chain*: join each word to its neighbour. This needs no model at all;
# - *the embeddings*, layer 0: words and places, which have not met;
# - *random weights*: the same architecture, untrained.

# %%
read = subject.of(bert, World.of("small"), quick=True)
sentences = [Parsed(s.words, s.heads, s.relations) for s in read.sentences if len(s.words) > 2][:wb.choose(400, 150)]
for sentence in sentences[:3]:
    print("   ", " ".join(sentence.words))
corpus = structural.corpus_of(sentences)
train, dev, test = probing.split(np.arange(len(sentences)))
states = {"bundled": probing.states(bert, [s.words for s in sentences]),
          "random weights": probing.states(controls.random_weights(bert), [s.words for s in sentences])}
settings = structural.OFFICIAL._replace(learning_rate=3e-3, passes=wb.choose(25, 4))


def probe(x, rank):
    return structural.fit(x, corpus, train, dev, rank=rank, settings=settings)


probes = {name: [probe(layer, 16) for layer in x] for name, x in states.items()}
uuas = {name: [score(layer, p, corpus, test) for layer, p in zip(x, probes[name])] for name, x in states.items()}
places = [np.arange(len(corpus.heads[i])) for i in test]
chain = structural.uuas([abs(at[:, None] - at) for at in places], [corpus.heads[i] for i in test], [corpus.kept[i] for i in test])
wb.table(["UUAS", *map(probing.layer_name, range(3))], [[name, *map(float, row)] for name, row in uuas.items()])
print(f"the chain: {chain:.2f}")
if not wb.QUICK:
    assert max(uuas["bundled"]) > chain + 0.05, "more than neighbours"
    assert max(uuas["random weights"]) > chain + 0.03, "but so has a model that has learned nothing"
    assert uuas["bundled"][2] < max(uuas["bundled"]) - 0.05, "and the last layer has least"

# %% [markdown]
# Read such a table from the bottom. The chain finds half of all edges. Random weights find more: they mix in what words stand
# about, and the probe learns from the trees of the training sentences that "the" hangs on the next noun. The embeddings alone,
# which see no other word, find nearly as much as the best layer. What is left for the layers is a small difference. For large
# models the paper reports a large one, in the middle layers; here it would be wrong to say "this model knows trees".
#
# ## One picture

# %%
shown = max(test, key=lambda i: (len(sentences[i].words) <= 9, len(sentences[i].words)))
best = int(np.argmax(uuas["bundled"]))
d = structural.predictions(states["bundled"][best], probes["bundled"][best], corpus, [shown])[0]
picture = wb.figure(14, 5.8, f"The tree of a sentence, and the one found in {probing.layer_name(best)}")
left, right = picture.subplots(1, 2, width_ratios=[3, 2])
keep = np.flatnonzero(corpus.kept[shown])
lines = {tuple(sorted((int(keep[i]), int(keep[j])))) for i, j in trees.spanning_tree(-d[np.ix_(keep, keep)])}
gold = trees.gold(corpus.heads[shown], corpus.kept[shown], bridged=True)
for up, pairs in ((1, gold), (-1, lines)):
    for i, j in pairs:
        angle = np.linspace(0, np.pi, 50)
        left.plot((i + j) / 2 + (j - i) / 2 * np.cos(angle), up * (0.35 + (j - i) / 2 * np.sin(angle)),
                  color=wb.GREEN if (i, j) in gold & lines else wb.ORANGE)
for place, word in enumerate(sentences[shown].words):
    left.text(place, 0, word, ha="center", va="center")
left.spines[:].set_visible(False)
left.set(title="above: gold; below: found; green: in both", yticks=[], xticks=[], xlim=(-0.7, len(sentences[shown].words) - 0.3))
for (name, row), colour in zip(uuas.items(), (wb.BLUE, wb.GREY)):
    right.plot(range(3), row, "o-", color=colour, label=name)
right.axhline(chain, color=wb.ORANGE, linestyle="--", label="chain")
right.set(xlabel="layer", ylabel="UUAS", xticks=range(3), ylim=(0, 1))
right.legend(frameon=False)
wb.save(picture, "30_trees")

# %% [markdown]
# ## One knob to turn
#
# The **rank** (秩) of W: how many directions it may keep. Guess how few are enough, then try 2, 4 and 64.

# %%
RANK = 16  # <- the knob

# %%
turned = score(states["bundled"][1], probe(states["bundled"][1], RANK), corpus, test)
print(f"rank {RANK}: UUAS {turned:.2f} in layer 1")
assert 0 <= turned <= 1

# %% [markdown]
# ## All of it in one command
#
# With depths, correlations, three seeds and a verdict; on a model of the generated language, or on one of yours:
#
#     python -m minibert analyse structural
#     python -m minibert analyse structural MODEL --data en_ewt-ud-dev.conllu
#
# ## Exercises
#
# Five functions: edges between words, the embedding of a tree, the probe's distances, the tree of distances, and UUAS. The
# command prints a line for each, such as `1. edges_between: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **The loss does not fall.** W begins too small for the vectors, or the learning rate is that of another model's scale. Look at
#   the size of d: on the first step it should not be a thousand times the edges, nor a thousandth.
# - **UUAS is high, and so is that of random weights.** Then most of it is words and places. Say the difference, not the figure.
# - **My spanning tree is not that of a library.** Equal distances: several trees are shortest. And some libraries take a distance
#   of 0 for "no edge".
# - **Punctuation.** Edges to full stops are easy to find. UUAS leaves them out, the loss does not.
# - **Which sentences are tested?** Not those that W was learned from, nor copies of them.

# %%
wb.exercises(30)
