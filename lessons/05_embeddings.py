# %% [markdown]
# # 5. Embeddings
#
# **You will do** look vectors up in three tables, add them, derive the gradient of a lookup, and lose most of it on purpose.
#
# **You will learn** why an id must become a vector, what each table is for, and what `g[ids] += d` silently throws away.
#
# **You need** lesson 3 (ids and types) and lesson 4 (backward passes, gradient checks). Time: about 40 minutes to read; runs
# in 6 s.

# %%
import time
from types import SimpleNamespace

import numpy as np
import schematics
import workbench as wb

import gradcheck
import minibert
from minibert.config import BertConfig
from minibert.data import python_docs
from minibert.layers import embedding, layernorm
from minibert.model import bert as model
from minibert.model import embeddings
from minibert.parameters import NOTHING

bert = minibert.load()
config, tokenizer = bert.config, bert.tokenizer
rng = np.random.default_rng(5)

# %% [markdown]
# ## The question
#
# Lesson 3 ended with ids, whole numbers. Why not compute with them as they are? Look at tokens that are neighbours by number:

# %%
tokens, index = tokenizer.vocab.tokens, tokenizer.vocab.index
WORDS = ["if", "is", "list", "error", "raises", "file"]
wb.table(["word", "id", "the ids around it are"],
         [[word, index[word], " ".join(tokens[i] for i in (index[word] - 2, index[word] - 1, index[word] + 1, index[word] + 2))]
          for word in WORDS])
assert abs(index["if"] - index["when"]) > 10, "`if` and `when` mean nearly the same, and are far apart by number"

# %% [markdown]
# An id is a name, like the number on a football shirt. Number 8 is not twice number 4. Anything a model computed from the number
# itself would be an accident of the vocabulary's order.
#
# So each token gets a vector of H numbers of its own, and these are learned. The vector is the token's **embedding** (嵌入).
# All of them, one below the other, are a table with V rows. To find a row by its number is a **lookup** (查表).
#
# ## Toy tables

# %%
V, H = 6, 3  # tokens, numbers for each
words = np.array([[0, 0, 0], [1, 1, 1], [2, 0, 0], [0, 2, 0], [0, 0, 2], [3, 3, 0]], float)  # (V, H)
positions = np.array([[.1, .1, .1], [.2, .2, .2], [.3, .3, .3], [.4, .4, .4], [.5, .5, .5]])  # (5, H)
types = np.array([[0, 0, 0], [0, 0, 10]], float)  # (2, H)
ids = np.array([[2, 4, 3, 4], [2, 5, 5, 5]])  # (B, T)
token_type_ids = np.array([[0, 0, 0, 0], [0, 0, 1, 1]])  # (B, T)
wb.show("words", words, "(V, H)")
wb.show("ids", ids, "(B, T)")
wb.show("words[ids]", words[ids], "(B, T, H)")
assert words[ids].shape == (2, 4, 3), "each id is replaced by a row: one axis more"

# %% [markdown]
# ## Three tables and a sum
#
# BERT adds three vectors for each place (*Devlin et al. 2018, §3*, Figure 2; `modeling.py`, `embedding_postprocessor`):
#
# - the **word embedding** (词嵌入), a row of `words`: *which* token;
# - the **position embedding** (位置嵌入), a row of `positions`: *where* it stands;
# - the **token type embedding** (片段嵌入), a row of `types`: in *which text* it stands.
#
# $$ e_{b,t} = \text{words}[\text{ids}_{b,t}] + \text{positions}[t] + \text{types}[\text{token type}_{b,t}] $$

# %%
made, axes = schematics.sketch(14, 4.2, "Each place: three rows of three tables, added")
total = schematics.box(axes, 10.0, 2.1, "+", wb.GREY, 0.8, 0.8, size=22)
for y, name, table, rows, colour in ((3.5, "ids (B, T)", "words (V, H)", "(B, T, H)", wb.BLUE),
                                     (2.1, "places t", "positions (5, H)", "(T, H)", wb.ORANGE),
                                     (0.7, "token types (B, T)", "types (2, H)", "(B, T, H)", wb.GREEN)):
    number = schematics.box(axes, 1.4, y, name, wb.GREY, 2.4)
    looked_up = schematics.box(axes, 5.6, y, f"{table}\nits rows: {rows}", colour, 3.2, 1.0)
    schematics.arrow(axes, number.right, looked_up.left, "which row?")
    schematics.arrow(axes, looked_up.right, total.left, colour=colour)
schematics.arrow(axes, total.right, schematics.box(axes, 12.6, 2.1, "e\n(B, T, H)", wb.PINK, 1.8, 1.0).left)
wb.save(made, "05_flow", measured=False)

# %% [markdown]
# ## By hand, as a product, and at once

# %%
by_loop = np.zeros((2, 4, H))
for b in range(2):
    for t in range(4):
        for j in range(H):
            by_loop[b, t, j] = words[ids[b, t], j] + positions[t, j] + types[token_type_ids[b, t], j]

one_hot = (ids[:, :, None] == np.arange(V)).astype(float)  # (B, T, V)
by_product = one_hot @ words + positions[:4] + (token_type_ids[:, :, None] == np.arange(2)) @ types
at_once = words[ids] + positions[:4] + types[token_type_ids]  # (B, T, H) + (T, H) + (B, T, H)
wb.show("one_hot of the first text", one_hot[0], "(T, V)")
wb.show("e", at_once, "(B, T, H)")
assert np.array_equal(by_loop, at_once), "the loop and indexing agree"
assert np.allclose(by_product, at_once), "and so does the product"

# %% [markdown]
# The middle form is worth a look. A **one-hot vector** (独热向量) has a 1 at the place of the id and 0 elsewhere. A lookup is a
# matrix product with one-hot rows. So it is *linear* in the table, and its gradient will be easy. On a CPU nobody computes it so:

# %%
base = BertConfig.preset("base")
N = 32 * 128
product = N * base.vocab_size * base.hidden_size
copied = N * base.hidden_size
print(f"BERT-base, 32 texts of 128 tokens: the product takes {product:,} multiply-adds, the lookup copies {copied:,} numbers")
assert product == copied * base.vocab_size, "V times more"

# %% [markdown]
# (The reference has both forms: `use_one_hot_embeddings` in `modeling.py`, for TPUs.) Now the library's functions. One table is
# `layers.embedding`; the three with all that follows are `model.embeddings`. What follows the sum is a layer norm, the subject of
# lesson 6. Here we only call it by name.

# %%
y, _ = embedding.forward(ids, {"weight": words})
assert np.array_equal(y, words[ids]), "layers.embedding is the lookup"
tree = {"word_embeddings": {"weight": words}, "position_embeddings": {"weight": positions},
        "token_type_embeddings": {"weight": types}, "LayerNorm": {"weight": np.ones(H), "bias": np.zeros(H)}}
small = BertConfig(vocab_size=V, hidden_size=H, num_attention_heads=1, max_position_embeddings=len(positions))
y, _ = embeddings.forward(ids, token_type_ids, tree, small)
assert np.allclose(y, layernorm.forward(at_once, tree["LayerNorm"])[0]), "model.embeddings is our sum, then a layer norm"
try:
    embeddings.forward(np.zeros((1, 6), int), np.zeros((1, 6), int), tree, small)
except ValueError as error:
    print("too long:", error)

# %% [markdown]
# The position table has 5 rows here, and 512 in BERT-base. That is why a BERT has a maximal length: for the place behind its last
# row there is no vector. (Ids out of range are refused earlier, where a batch is made.)
#
# ## The gradient of a lookup
#
# Let $d_{b,t}$ be the upstream gradient of $e_{b,t}$, H numbers for each place. A sum hands its gradient to each of its parts.
# So all three tables get the same $d$. And which row gets it? Row $v$ of `words` was used wherever $\text{ids}_{b,t} = v$. It
# reaches the loss on all these paths, so by the chain rule their gradients are **added**:
#
# $$ d\text{words}[v] = \sum_{b,t\,:\;\text{ids}_{b,t}=v} d_{b,t} \qquad d\text{positions}[t] = \sum_b d_{b,t} \qquad
#    d\text{types}[s] = \sum_{b,t\,:\;\text{token type}_{b,t}=s} d_{b,t} $$
#
# In the one-hot form it is what lesson 4 found for a linear layer: from
# $e = \text{onehot}\cdot\text{words}$ follows $d\text{words} = \text{onehot}^{\top}\cdot d$.

# %%
d = np.arange(1, 25, dtype=float).reshape(2, 4, 3)  # (B, T, H)
by_loop = np.zeros_like(words)
for b in range(2):
    for t in range(4):
        by_loop[ids[b, t]] += d[b, t]
by_product = one_hot.reshape(-1, V).T @ d.reshape(-1, H)  # (V, N)(N, H)
g = {"weight": np.zeros_like(words)}
_, cache = embedding.forward(ids, {"weight": words})
embedding.backward(d, cache, {"weight": words}, g)
wb.show("d", d, "(B, T, H)")
wb.show("dwords", g["weight"], "(V, H)")
assert np.array_equal(by_loop, g["weight"]), "the loop and the library agree"
assert np.allclose(by_product, g["weight"]), "and so does the product"
assert not g["weight"][[0, 1]].any(), "tokens that do not occur have no gradient"
assert np.array_equal(g["weight"][5], d[1, 1:].sum(0)), "token 5 occurs three times: three rows, added"

# %% [markdown]
# Note the rows of zeros. A batch touches only the rows of its own words. Rare words are learned slowly: their row moves only when
# they come. (The layer returns no gradient of the ids. They are whole numbers, there is nothing to move a little.)
#
# ## What `g[ids] += d` silently loses
#
# The loop can be written in one line, it seems. The line is shorter, faster, and wrong.

# %%
wrong = np.zeros_like(words)
wrong[ids] += d  # no error, no warning
wb.table(["token", "occurs", "the right row", "what += left"],
         [[v, int((ids == v).sum()), str(g["weight"][v]), str(wrong[v])] for v in range(V)])
lost = ids.size - len(np.unique(ids))
print(f"{ids.size} rows of d went in, {len(np.unique(ids))} are left, {lost} are lost")
assert lost == 4, "token 5 came three times, tokens 2 and 4 twice: 2 + 1 + 1 are lost"
assert np.array_equal(wrong[5], d[1, 3]), "of three rows the last one won"
assert np.array_equal(wrong[3], g["weight"][3]), "a token that occurs once is right: small tests pass"

# %% [markdown]
# Where do they go? `g[ids] += d` looks like a loop. NumPy runs three steps, each for all ids at once:

# %%
g_slow = np.zeros_like(words)
read = g_slow[ids]  # 1. read: a copy, (B, T, H); token 5 is read three times, each time the old value
added = read + d  # 2. add: three different sums for token 5
g_slow[ids] = added  # 3. write: three times into the same row; the last one stays
assert np.array_equal(g_slow, wrong), "the three steps are what += does"
print("row 5 is written three times:", [str(row) for row in added[1, 1:]], "-> the last stays:", g_slow[5])

# %% [markdown]
# Now two right ways. `np.add.at` does each addition for itself. The library's `add_rows` sorts the ids, so that equal ones stand
# together, and sums each run of rows at once. Its order of summing is always the same, also on a GPU.

# %%
by_at = np.zeros_like(words)
np.add.at(by_at, ids, d)
by_sorting = np.zeros_like(words)
order = ids.ravel().argsort(kind="stable")
sorted_ids = ids.ravel()[order]
starts = np.flatnonzero(np.r_[True, sorted_ids[1:] != sorted_ids[:-1]])
by_sorting[sorted_ids[starts]] += np.add.reduceat(d.reshape(-1, H)[order], starts)
print("sorted ids:", sorted_ids, "  a run begins at:", starts)
assert np.array_equal(by_at, g["weight"]), "np.add.at is right"
assert np.array_equal(by_sorting, g["weight"]), "sorting and summing is right"

# %% [markdown]
# ## In a real batch
#
# Is it a rare accident? Take 32 sentences of the corpus, with the bundled model's tables, and a random upstream gradient.

# %%
texts = [text for document in python_docs.documents()[::10] for text in document]
encodings = [tokenizer.encode(text, max_length=64, truncate=True) for text in texts[:1024]]


def real_places(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids, positions and types of all tokens of the first ``count`` sentences, without padding: (N,) each."""
    ids, types, mask = tokenizer.batch(encodings[:count])
    return ids[mask == 1], np.nonzero(mask)[1], types[mask == 1]


def both(rows: int, places: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of a table, by the library and by +=."""
    right, wrong = np.zeros((rows, d.shape[1])), np.zeros((rows, d.shape[1]))
    embedding.add_rows(right, places, d)
    wrong[places] += d
    return right, wrong


rows = []
flat = real_places(32)
d = rng.standard_normal((len(flat[0]), config.hidden_size))
for name, size, places in zip(("words", "positions", "token types"), (config.vocab_size, 64, 2), flat):
    right, wrong = both(size, places, d)
    at = np.zeros_like(right)
    np.add.at(at, places, d)
    assert np.allclose(at, right), "the library's sum is np.add.at's"
    left = len(np.unique(places))
    error = float(np.linalg.norm(wrong - right) / np.linalg.norm(right))
    rows.append([name, len(places), left, f"{1 - left / len(places):.1%}", error])
wb.table(["table", "rows of d", "rows left by +=", "lost", "error of the gradient, relative"], rows)

# %%
word_ids = flat[0]
often = np.bincount(word_ids).argsort(kind="stable")[::-1][:6]
wb.table(["token", "times in the batch", "kept by +="], [[tokens[v], int((word_ids == v).sum()), 1] for v in often])
assert rows[0][4] > 0.5, "expected: more than half of the word table's gradient is wrong"
assert rows[2][2] == 1, "single sentences: of the type table's gradient one row of all is left"
assert (word_ids == tokenizer.vocab.cls_id).sum() == 32, "[CLS] comes once per sentence: 31 of its 32 rows are lost"

# %% [markdown]
# Most of the gradient is gone, and most of all for the most frequent tokens. The type table keeps a single row. Yet the shape is
# right, nothing is NaN, no warning appears. Each row still moves *somewhere*, so a loss may fall. (It proves nothing: lesson 4.)
#
# A right sum takes longer than a wrong one. Of the two right ones, the library's is usually the faster:

# %%
places = real_places(wb.choose(1024, 64))[0]
d = rng.standard_normal((len(places), config.hidden_size))
table, speeds = np.zeros((config.vocab_size, config.hidden_size)), []


def plus_equals(table, places, d):
    table[places] += d


for name, add in (("g[ids] += d (wrong)", plus_equals), ("np.add.at", np.add.at), ("the library", embedding.add_rows)):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        add(table, places, d)
        seconds.append(time.perf_counter() - start)
    speeds.append([name, 1000 * min(seconds)])
wb.table([f"{len(places):,} rows of {config.hidden_size}", "ms"], speeds)

# %% [markdown]
# ## Gradient check
#
# Does a gradient check find the mistake? That depends on the ids. First with distinct ids, then with a repeated one.

# %%
def wrong_backward(dy, cache, p, g):
    g["weight"][cache.ids] += dy


mistaken = SimpleNamespace(forward=embedding.forward, backward=wrong_backward)
table = {"weight": rng.standard_normal((7, 4))}
distinct, repeated = np.array([[4, 0, 6], [1, 5, 2]]), np.array([[4, 0, 4], [1, 4, 2]])
result = gradcheck.check(mistaken, {"ids": distinct}, table, name="with distinct ids")
print(f"{result.name}: the wrong backward passes, error {result.worst('complex'):.0e}")
try:
    gradcheck.check(mistaken, {"ids": repeated}, table, name="with repeated ids")
    message = "nothing was found"
except gradcheck.GradientError as error:
    message = str(error)
print("with repeated ids it does not:", *message.splitlines()[:3], sep="\n    ")
assert "gradient of weight is wrong" in message, "the check finds it, and names the array"

# %% [markdown]
# **A test of a lookup needs repeated ids.** With distinct ones the wrong line is right. Now the library's functions: one table,
# and all three with the layer norm after them. Both methods agree with the backward passes.

# %%
one = gradcheck.check(embedding, {"ids": repeated}, table, nothing=NOTHING)
V, H = 7, 4
three = {name: {"weight": rng.standard_normal((n, H))} for name, n in
         (("word_embeddings", V), ("position_embeddings", 5), ("token_type_embeddings", 2))}
three["LayerNorm"] = {"weight": rng.standard_normal(H), "bias": rng.standard_normal(H)}
small = BertConfig(vocab_size=V, hidden_size=H, num_attention_heads=2, max_position_embeddings=5,
                   hidden_dropout_prob=0.0)
kinds = np.array([[0, 0, 1], [0, 1, 1]])
layer = gradcheck.Pair(lambda ids, kinds, p: embeddings.forward(ids, kinds, p, small),
                       lambda dy, cache, p, g: [embeddings.backward(dy, cache, p, g), None][1])  # ids want no gradient
all_three = gradcheck.check(layer, {"ids": repeated, "token_type_ids": kinds}, three, name="embeddings", nothing=NOTHING)
wb.table(["array", "shape", "central", "complex"],
         [[k, str(result.shapes[k]), f"{result.errors['central'][k]:.0e}", f"{result.errors['complex'][k]:.0e}"]
          for result in (one, all_three) for k in result.shapes])
assert one.worst("complex") < 1e-12, "the lookup alone"
assert all_three.worst("complex") < 1e-12, "three tables, their sum, and a layer norm"

# %% [markdown]
# ## What is the position table for?
#
# Attention, which comes in lesson 8, takes weighted means over the tokens. A mean does not care about order. So without the
# position table BERT could not tell "a list of keys" from "keys of a list". Let us see. Set the table to zero in the trained
# model, and shuffle a sentence. Does each token still get the same vector?

# %%
p64 = minibert.load(dtype=np.float64).parameters["bert"]
no_positions = p64 | {"embeddings": p64["embeddings"] | {"position_embeddings": {
    "weight": np.zeros_like(p64["embeddings"]["position_embeddings"]["weight"])}}}
encoding = tokenizer.encode("raises an exception if the key is not found.")
ids = np.array([encoding.ids])
kinds = np.zeros_like(ids)
shuffle = rng.permutation(ids.shape[1])
changes = {}
for name, p in (("with positions", p64), ("without", no_positions)):
    states = model.forward(ids, kinds, None, p, config)[0].last_hidden_state  # (1, T, H)
    shuffled = model.forward(ids[:, shuffle], kinds, None, p, config)[0].last_hidden_state
    changes[name] = float(np.abs(shuffled - states[:, shuffle]).max())
    print(f"{name:<15} the shuffled sentence changes the tokens' vectors by up to {changes[name]:.1e}")
assert changes["without"] < 1e-10, "without positions a sentence is a bag of words"
assert changes["with positions"] > 0.1, "with them, order counts"

# %% [markdown]
# BERT *learns* its position table, like every other parameter (`modeling.py`, `embedding_postprocessor`). The Transformer before
# it computed it with sines (*Vaswani et al. 2017, §3.5*).
#
# ## Does [PAD] learn?
#
# [PAD] has a row in the word table, and is looked up more often than any other token. Does its row get a gradient? Lesson 3 found
# that nobody reads the padding. Then no path leads from it to the loss, and its gradient must be zero. We send a random upstream
# gradient into the real tokens of a padded batch, all the way back through the trained model.

# %%
ids, kinds, mask = tokenizer.batch([tokenizer.encode("Call close."), encoding])
g = {"embeddings": {name: {k: np.zeros_like(v) for k, v in leaves.items()} for name, leaves in p64["embeddings"].items()},
     "encoder": NOTHING, "pooler": NOTHING}
out, cache = model.forward(ids, kinds, mask, p64, config)
upstream = rng.standard_normal(out.last_hidden_state.shape) * mask[:, :, None]
de = model.backward(model.Output(last_hidden_state=upstream), cache, p64, g).embeddings  # (B, T, H)
word_table = g["embeddings"]["word_embeddings"]["weight"]
print("gradient at a real token:", f"{np.abs(de[0, 1]).max():.2f}", "  in the padding:", np.abs(de[mask == 0]).max())
assert not de[mask == 0].any(), "exactly zero: nothing that [PAD] says is heard"
assert not word_table[tokenizer.vocab.pad_id].any(), "so its row does not move"
assert set(np.flatnonzero(word_table.any(1))) == set(ids[mask == 1]), "the rows that move are those of the batch's words"

# %% [markdown]
# Its row stays as it was at the start, unless weight decay shrinks it (lesson 12). And once more: only the rows of the batch's
# own words got a gradient here. (Where words are guessed, the table has a second use, which reaches every row: lesson 10.)
#
# ## What the table has learned
#
# Nobody told the model what a word means. Words that stand in like places got like gradients. To compare two vectors take the
# **cosine similarity** (余弦相似度), their product after both are brought to length 1: 1 for the same direction, 0 for none in
# common. (First the mean of all rows is taken off, since all rows share it.)

# %%
table = p64["embeddings"]["word_embeddings"]["weight"]
table = table - table[5:].mean(0)  # without the special tokens
table /= np.linalg.norm(table, axis=1, keepdims=True)
near = {word: [tokens[i] for i in (table @ table[index[word]]).argsort()[::-1][1:6]] for word in WORDS}
wb.table(["word", "nearest by vector"], [[word, ", ".join(found)] for word, found in near.items()])
if not wb.QUICK:
    assert {"when", "where", "unless"} & set(near["if"]), "words for conditions"
    assert {"was", "are", "has"} & set(near["is"]), "verbs"
    assert {"tuple", "sequence", "string"} & set(near["list"]), "kinds of containers"

# %% [markdown]
# Compare with the first table of this lesson, the neighbours by number. This is the answer to its question.
#
# ## One picture
#
# Two kinds of loss, measured on the corpus: which tokens lose, and how the share of lost rows grows with the batch.

# %%
sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
shares = {name: [] for name in ("words", "positions", "token types")}
for count in sizes:
    for name, places in zip(shares, real_places(count)):
        shares[name].append(100 * (1 - len(np.unique(places)) / len(places)))
made = wb.figure(13.5, 5.8, title="g[ids] += d keeps one row for each token and drops all others")
left, right = made.subplots(1, 2)
often = np.bincount(word_ids).argsort(kind="stable")[::-1][:10]
times = [int((word_ids == v).sum()) for v in often]
left.barh(range(10), times, color=wb.ORANGE, label="lost")
left.barh(range(10), [1] * 10, color=wb.BLUE, label="kept")
left.set(yticks=range(10), xlabel="rows of d (times in a batch of 32 sentences)", title="The most frequent tokens lose most")
left.set_yticklabels([tokens[v] for v in often])
left.invert_yaxis()
left.legend(frameon=False, loc="lower right")
for (name, values), mark in zip(shares.items(), "os^"):
    right.plot(sizes, values, f"{mark}-", label=name)
right.set(xscale="log", xlabel="sentences in the batch", ylabel="rows lost (%)", ylim=(-4, 104),
          title="The larger the batch, the more is lost")
right.set_xticks(sizes, [str(size) for size in sizes])
right.minorticks_off()
right.legend(frameon=False, loc="lower right", title="table")
wb.save(made, "05_lost_rows")
assert all(values[-1] > values[0] for values in shares.values()), "expected: the larger the batch, the more repetitions"
assert shares["positions"][0] == 0, "in one sentence every position occurs once: a batch of one hides the mistake"

# %% [markdown]
# Note the leftmost points. With one sentence in the batch, the position table loses nothing, and the word table little. What
# is invisible in a batch of one must be tested with more.
#
# ## One knob to turn
#
# Change the number of sentences. With 1 hardly anything is lost. With 256, what `+=` leaves has little to do with the right
# gradient: look at the cosine similarity of the two.

# %%
SENTENCES = 32  # <- the knob

# %%
def compare(count: int) -> tuple[int, int, float, float]:
    places = real_places(count)[0]
    d = np.random.default_rng(count).standard_normal((len(places), config.hidden_size))
    right, wrong = both(config.vocab_size, places, d)
    norms = float(np.linalg.norm(right)), float(np.linalg.norm(wrong))
    return len(places), len(np.unique(places)), norms[1] / norms[0], float((right * wrong).sum() / norms[0] / norms[1])


found = {count: compare(count) for count in (1, SENTENCES, 256)}
wb.table(["sentences", "rows of d", "rows left", "length, wrong / right", "cosine similarity"],
         [[count, *numbers] for count, numbers in found.items()])
assert found[1][3] > found[256][3], "the larger the batch, the more wrong the direction"
assert found[256][3] < 0.5, "expected: less than half of it points the right way"

# %% [markdown]
# ## Exercises
#
# Four functions and a number. The command prints one line per exercise, such as `1. embed: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **`index 6 is out of bounds`.** An id is as large as V, or a text longer than the position table. A table of V rows has the
#   rows 0 to V − 1.
# - **A negative id gives no error.** NumPy counts it from the end: -1 is the last row. Check ids where a batch is made.
# - **My position gradient has the shape (T, H), but the table has more rows.** Only the first T were used. Add to `g[:T]`.
# - **My gradient has the axis B too many.** All B texts use the position table. What was broadcast forward is summed backward.
# - **My gradient check passes, and training goes badly.** Were there repeated ids in the check? And padding, and two texts?
# - **Rows of zeros in the gradient.** Right so: these tokens were not in the batch.

# %%
wb.exercises(5)
