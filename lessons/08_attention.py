# %% [markdown]
# # 8. Attention
#
# **You will do**: compute attention for three words by hand, break it without √D, hide padding from it, cut it into heads, see
# what one head cannot do that two can, and check its gradient.
#
# **You will learn**: what query, key and value are, why the scores are divided by √D, what the mask of −10000 does and where
# −∞ fails, and why one bias of BERT never gets a gradient.
#
# **You need**: lesson 3 (padding and the attention mask), lesson 4 (backward functions and the gradient check).
#
# Time: about 60 minutes to read; runs in about 10 s.

# %%
import numpy as np
import schematics
import workbench as wb

from gradcheck import Pair, check
from minibert.layers import attention, attention_probs, cross_entropy, linear, softmax
from minibert.training import adamw

rng = np.random.default_rng(8)

# %% [markdown]
# ## The question
#
# So far each token has had its own vector and has not known its neighbours. Linear layers, layer norm and GELU treat every
# token alone. But what "bank" means depends on whether "river" or "loan" stands beside it.
#
# How can a token read the others, when a sentence may have any length, and when which words matter is different in each?
#
# The answer is **attention** (注意力): every token takes a weighted mean of what all tokens offer, and the weights are computed
# from the tokens themselves. *Vaswani et al. 2017, §3.2; `modeling.py`, `attention_layer`.*

# %% [markdown]
# ## Toy numbers: three words by hand
#
# Three words, T = 3. Each vector has H = 2 numbers, and we pretend to know what they mean: how much a word is about
# water, and how much about money. "bank" is a little of both.

# %%
words = ["the", "bank", "river"]
x = np.array([[0.0, 0.0],   # the
              [1.0, 1.0],   # bank
              [2.0, 0.0]])  # river
wb.show("x", x, "(T, H)")

# %% [markdown]
# Each word is turned into three vectors by three matrices, which a model learns. Here we choose them.
#
# - its **query** (查询) q: what it looks for,
# - its **key** (键) k: what it can be found by,
# - its **value** (值) v: what it hands over when it is found.
#
# A weight is stored `(out, in)`, as in lesson 4, so the product is x·Wᵀ.

# %%
Wq = np.array([[1.0, 1.0], [0.0, 1.0]])
Wk = np.eye(2)
Wv = np.eye(2)
q, k, v = x @ Wq.T, x @ Wk.T, x @ Wv.T
for name, array in (("q", q), ("k", k), ("v", v)):
    wb.show(name, array, "(T, D)")

# %% [markdown]
# The **score** (分数) of a query and a key is their product q·k: one number, large where the two point the same way.
# We divide it by √2, the root of the number of products that are summed. Why is measured further down.

# %%
for i, word in enumerate(words):
    print(f"q of {words[1]!r} · k of {word!r} = {q[1, 0]:g}·{k[i, 0]:g} + {q[1, 1]:g}·{k[i, 1]:g} = {q[1] @ k[i]:g}")
scores = q @ k.T / np.sqrt(2)
wb.show("scores", scores, "(T queries, T keys)")
assert scores[1, 2] == 2 * scores[2, 1], "'bank' asks for 'river' twice as strongly as 'river' for 'bank'"

# %% [markdown]
# Two matrices, Wq and Wk, and not one: with one, the table of scores would be symmetric. A word could not look at
# another without being looked at in return.
#
# A row of scores must become weights that are positive and add up to 1. **Softmax** (归一化指数函数) does that: raise e to each
# score, then divide by the sum.

# %%
e = np.exp(scores[1])
weights = e / e.sum()
wb.table(["key", "score", "exp(score)", "weight"], [[w, float(s), float(a), float(b)] for w, s, a, b in
                                                    zip(words, scores[1], e, weights)])
assert abs(weights.sum() - 1) < 1e-12, "weights add up to 1"

# %% [markdown]
# The weighted mean of the values is the **context** (上下文向量) of "bank". It has moved towards water: "river" stands there.

# %%
context = weights @ v
for i, word in enumerate(words):
    print(f"{weights[i]:.3f} × v of {word!r} {v[i]}")
wb.show("context of 'bank'", context, "(D,)")
assert context[0] > 4 * context[1], "after reading 'river', 'bank' is much more about water than about money"

# %% [markdown]
# ## The equation
#
# For all words at once, with D numbers in a query:
#
# $$\text{context} = \text{softmax}\!\left(\frac{q\,k^\top}{\sqrt{D}} + \text{mask}\right) v
# \qquad \text{softmax}(z)_j = \frac{e^{z_j}}{\sum_i e^{z_i}} \text{ over each row}$$
#
# Shapes: q, k and v are (T, D); the scores and the weights are (T, T), one row for each query; the context is (T, D) again.
# *Vaswani et al. 2017, §3.2.1, equation 1, in capitals; the mask: `modeling.py`, `attention_layer`.*
#
# A query and a key are multiplied number by number, so they must have the same length D. A value meets neither of them. It could
# have any length; BERT gives it D as well, so that the heads below fit together again.
#
# ## A plain loop
#
# A first draft that says exactly that, one query and one key at a time.

# %%
def attend_in_loops(q, k, v):
    """(T, D) three times -> (T, D)"""
    tokens, size = q.shape
    context = np.zeros_like(v)
    for i in range(tokens):  # every query
        exps = []
        for j in range(tokens):  # every key
            score = sum(q[i, d] * k[j, d] for d in range(size)) / size**0.5
            exps.append(np.exp(score))
        for j in range(tokens):
            context[i] += exps[j] / sum(exps) * v[j]
    return context


wb.show("context", attend_in_loops(q, k, v), "(T, D)")

# %% [markdown]
# ## Vectorised
#
# The two inner loops are matrix products. The library's softmax replaces our sum of exponentials.

# %%
def attend(q, k, v):
    """(..., T, D) three times -> (..., T, D)"""
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5  # (..., T, T)
    weights, _ = softmax.forward(scores)
    return weights @ v


assert np.allclose(attend(q, k, v), attend_in_loops(q, k, v), atol=1e-14), "the products do what the loops did"
assert np.allclose(attend(q, k, v)[1], context, atol=1e-14), "and both do what we did by hand"

# %% [markdown]
# Why not our own `exp(z) / sum`? Because float32 cannot hold e to a large number. Softmax does not change when the same
# number is added to a whole row: numerator and denominator are multiplied by the same factor. So the library first subtracts
# the row's largest score. The largest exponential is then exactly 1.

# %%
row = np.array([10.0, 50.0, 100.0], dtype=np.float32)
with np.errstate(over="ignore", invalid="ignore"):
    naive = np.exp(row) / np.exp(row).sum()
safe, _ = softmax.forward(row)
shifted, _ = softmax.forward(row + np.float32(1000))
print(f"exp then divide: {naive}\nminibert:        {safe}\nrow + 1000:      {shifted}")
assert np.isnan(naive[2]), "e^100 is too large for float32, and ∞/∞ is not a number"
assert safe[2] == 1, "with the maximum taken away, all is well"
assert np.array_equal(safe, shifted), "a number added to the whole row changes nothing"

# %% [markdown]
# ## The gradient of softmax
#
# Each weight depends on every score of its row. With y = softmax(z), differentiate the quotient (δ is 1 where i = j, else 0):
#
# $$\frac{\partial y_i}{\partial z_j} = y_i(\delta_{ij} - y_j)
# \qquad\Rightarrow\qquad dz_j = \sum_i dy_i\, y_i(\delta_{ij} - y_j) = y_j\Big(dy_j - \sum_i dy_i\, y_i\Big)$$
#
# The table on the left is T × T, but nobody has to build it: the right side needs one sum a row. Built here once, to see it.

# %%
z = np.array([[0.0, 1.0, 3.0]])
y, cache = softmax.forward(z)
jacobian = np.diag(y[0]) - np.outer(y[0], y[0])
dy = rng.standard_normal(z.shape)
wb.show("y", y)
wb.show("∂y_i/∂z_j", jacobian, "(T, T)")
assert np.allclose(softmax.backward(dy, cache), dy @ jacobian, atol=1e-15), "the short form equals the whole table"
assert np.allclose(jacobian.sum(1), 0, atol=1e-15), "each row adds up to 0: z + constant leaves y as it was"
assert not np.allclose(softmax.backward(dy, cache), dy * y * (1 - y)), "the diagonal alone is not the gradient"
for case in (z, rng.standard_normal((2, 5))):
    result = check(softmax, {"z": case})
print(f"gradient check of softmax: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")

# %% [markdown]
# ## Why √D
#
# q·k is a sum of D products. If the numbers in q and k are independent with variance 1, each product has variance 1, and the
# sum has variance D. Scores grow like √D (*Vaswani et al. 2017, §3.2.1, footnote 4*). Let us measure what softmax makes of it.
#
# Many random queries, 16 keys each. `power` says what we divide by: D to this power. 0 is no division, 0.5 is √D.

# %%
KEYS = 16
QUERIES = wb.choose(2000, 300)


def measure(D, power, generator):
    """Spread of the scores, mean largest weight, and the size of the gradient that comes back through softmax."""
    q = generator.standard_normal((QUERIES, 1, D))
    k = generator.standard_normal((QUERIES, KEYS, D))
    scores = (q @ k.transpose(0, 2, 1))[:, 0] / D**power  # (QUERIES, KEYS)
    weights, cache = softmax.forward(scores)
    dscores = softmax.backward(generator.standard_normal(scores.shape), cache)  # upstream: standard normal
    size = np.sqrt((dscores**2).sum(1))
    return float(scores.std()), float(weights.max(1).mean()), float(np.median(size)), float(size.mean())


# %%
SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
raw = np.array([measure(D, 0.0, np.random.default_rng(D)) for D in SIZES])
scaled = np.array([measure(D, 0.5, np.random.default_rng(D)) for D in SIZES])
wb.table(["D", "spread, q·k", "largest weight", "median gradient", "spread, q·k/√D", "largest weight", "median gradient"],
         [[D, *map(float, a[:3]), *map(float, b[:3])] for D, a, b in zip(SIZES, raw, scaled)])
print(f"from D = 1 to D = 512 without √D, the median gradient falls by a factor of {raw[0, 2] / raw[-1, 2]:,.0f}, "
      f"the mean by {raw[0, 3] / raw[-1, 3]:.1f}")
assert np.allclose(raw[:, 0] / np.sqrt(SIZES), 1, atol=0.1), "without the division scores spread like √D"
assert np.allclose(scaled[:, 0], 1, atol=0.1), "with it the spread stays 1"
assert np.all(np.diff(raw[:, 1]) > 0), "without it the largest weight grows and grows"
assert raw[-1, 1] > 0.9, "at D = 512 one key takes nearly everything"
assert np.abs(scaled[:, 1] - 0.24).max() < 0.06, "with it the largest stays near 0.24"
assert raw[0, 2] > 50 * raw[-1, 2], "the typical gradient has all but vanished"
assert scaled[0, 2] < 2 * scaled[-1, 2], "with √D it stays what it was"

# %% [markdown]
# This is **saturation** (饱和): softmax becomes a hard choice, one weight near 1 and the others near 0. In
# y·(dy − Σ dy·y) every term then nearly vanishes, so the scores get almost no gradient and the choice cannot be unlearned.
# The mean falls far less than the median: the few queries with two nearly equal best keys still have a gradient.

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(13, 5.8, "Without √D, softmax saturates and its gradient vanishes")
left, right = picture.subplots(1, 2)
for axes, column in ((left, 1), (right, 2)):
    axes.plot(SIZES, raw[:, column], "o-", color=wb.ORANGE, label="softmax(q·k)")
    axes.plot(SIZES, scaled[:, column], "s-", color=wb.BLUE, label="softmax(q·k/√D)")
    axes.set(xscale="log", xlabel="numbers in a query, D")
    axes.set_xticks([1, 4, 16, 64, 512], ["1", "4", "16", "64", "512"])
    axes.minorticks_off()
left.set(ylim=(0, 1), ylabel=f"mean of the largest of {KEYS} weights", title="Saturation: one key takes all")
right.set(yscale="log", ylabel="median ‖dscores‖ for one query", title="Gradient through softmax")
left.axvline(64, color=wb.GREY, linestyle=":", linewidth=1.5)
left.text(60, 0.96, "BERT-base: D = 64", color=wb.GREY, ha="right", va="top")
right.legend(loc="lower left")
wb.save(picture, "08_sqrt_d")

# %% [markdown]
# ## The additive mask
#
# Padding must not be read. The **additive mask** (加性掩码) is added to the scores before softmax: 0 where a key may be seen,
# −10000 where not. e to −10000 is zero in every precision, so the weight is exactly zero. *`modeling.py`, `attention_layer`.*

# %%
ones = np.array([[1, 1, 1, 0]])  # (B, T): three tokens, one padding
mask = softmax.additive_mask(ones, np.float32)
scores = rng.standard_normal((1, 1, 4, 4)).astype(np.float32)  # (B, A, T, T), one head
weights, _ = attention_probs.forward(scores, mask)
wb.show("mask", mask + 0, "(B, 1, 1, T): the same for every head and query")
wb.show("weights", weights[0, 0], "(T queries, T keys)")
assert np.all(weights[..., 3] == 0), "no query reads the padding: exactly zero"
assert np.allclose(weights[..., :3], softmax.forward(scores[..., :3])[0]), "the others share as if it were not there"

# %% [markdown]
# Zeros after softmax would not do: the rest of the row would no longer add up to 1.
#
# Must it be −10000? A score that is masked has to end up far below all others. −10 is too little.

# %%
for masked in (-10, -100, -1e4):
    leak = softmax.forward(np.array([0.0, 0.0, 0.0, masked]))[0][3]
    print(f"masked by {masked:>8g}: the padding's weight is {leak:.3g}")
assert softmax.forward(np.array([0.0, masked]))[0][1] == 0, "−10000: exactly 0, even in float64"
assert softmax.forward(np.array([0.0, -10.0]))[0][1] > 1e-5, "−10: something leaks through"
wild = softmax.forward(np.array([0.0, 12_000.0 - 1e4]))[0][1]
print(f"but a score of 12000, masked by −10000, still gets the weight {wild:g}")
assert wild == 1, "the mask trusts that scores are far below 10000"

# %% [markdown]
# ### Why only the keys' padding is masked
#
# The last row above belongs to a padding *query*, and it was not masked: it has weights, and will have a context. Does that do
# harm? We change the padding's vector completely, and compare what the real tokens get.

# %%
B, T, H, A = 2, 5, 6, 3
p = {name: {"weight": rng.standard_normal((H, H)) * H**-0.5, "bias": rng.standard_normal(H)}
     for name in ("query", "key", "value")}
x = rng.standard_normal((B, T, H))
ones = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])  # the second text has two padded places
mask = softmax.additive_mask(ones, x.dtype)
other = x.copy()
other[1, 3:] = 10 * rng.standard_normal((2, H))

(before, _), _ = attention.forward(x, p, A, mask)
(after, _), _ = attention.forward(other, p, A, mask)
real = ones == 1
change = np.abs(after - before)
print(f"largest change in real rows: {change[real].max():g}; in padded rows: {change[~real].max():.3g}")
assert np.array_equal(before[real], after[real]), "real tokens: not one bit has changed"
assert not np.allclose(before[~real], after[~real]), "padded rows are nonsense"

# %% [markdown]
# The nonsense stays in the padded rows. Nobody reads these: as keys they are masked in this layer and in the next, and no loss
# is taken there. No gradient comes back from them either.

# %%
dcontext = rng.standard_normal(x.shape) * real[..., None]  # as a loss that ignores padding would send it
g = {name: {"weight": np.zeros((H, H)), "bias": np.zeros(H)} for name in p}
_, cache = attention.forward(x, p, A, mask)
dx = attention.backward(dcontext, cache, p, g).dx
print(f"largest |dx| at real tokens {np.abs(dx[real]).max():.3g}, at padding {np.abs(dx[~real]).max():g}")
assert np.all(dx[~real] == 0), "padding neither gives nor gets anything"

# %% [markdown]
# ### Where −∞ makes NaN
#
# −∞ looks more honest than −10000, and works, as long as a row has a single key left. In a row with none, the maximum is −∞ too,
# and −∞ − (−∞) is not a number. Such rows exist: a batch filled up with empty texts, or a mask that hides padded queries as well.

# %%
row = np.array([0.3, -1.2, 2.0])
with np.errstate(invalid="ignore"):
    some, _ = softmax.forward(row + np.array([0, 0, -np.inf]))
    none, _ = softmax.forward(row + np.full(3, -np.inf))
finite, _ = softmax.forward(row + np.full(3, softmax.MASKED))
print(f"−∞ on one key:        {some}\n−∞ on every key:      {none}\n−10000 on every key:  {finite}")
assert np.isfinite(some).all(), "−∞ on some keys: fine"
assert np.isnan(none).all(), "−∞ on every key: NaN"
assert np.allclose(finite, softmax.forward(row)[0]), "−10000 on every key: they compete among themselves, a number at least"

# %% [markdown]
# One NaN is enough to ruin a run. The row's context is NaN. In the next layer that vector is a *value*, its weight is 0,
# and 0 × NaN is NaN: now every row is.

# %%
poisoned = np.array([1.0, 0.0]) @ np.array([[1.0, 2.0], [np.nan, np.nan]])  # weights (T,) · values (T, D)
print("weights [1, 0] on values that hold a NaN row:", poisoned)
assert np.isnan(poisoned).all(), "a weight of zero does not protect from NaN"

# %% [markdown]
# Why not a much larger number, such as −10⁹? Half precision ends at 65504: there −10⁹ *is* −∞, with the NaN from above.

# %%
with np.errstate(over="ignore"):
    half = np.array([-1e4, -1e9]).astype(np.float16)
print("in float16:", half, " largest number:", np.finfo(np.float16).max)
assert np.isfinite(half[0]), "−10000 fits in half precision"
assert np.isneginf(half[1]), "−10⁹ does not"

# %% [markdown]
# ### A mask for each query
#
# A mask may also say for *each query* which keys it may see: (B, T, T) instead of (B, T). A model that writes from left to right
# must not read what it has not written yet. It has a **causal mask** (因果掩码): query i sees the keys 0 to i
# (*Vaswani et al. 2017, §3.2.3*). Two masks are combined by *and*: a key is seen if both allow it. BERT has no causal mask. It
# reads to both sides, and this is what hidden words are good for (*Devlin et al. 2018, §1 and §3.1*; lesson 10).

# %%
causal = np.tril(np.ones((T, T), int))  # (T queries, T keys)
combined = causal * ones[:, None, :]  # (T, T) and (B, 1, T) -> (B, T, T)
(_, weights), _ = attention.forward(x, p, A, softmax.additive_mask(combined, x.dtype))
wb.show("weights of the second text, first head", weights[1, 0], "(T queries, T keys)")
assert np.all(weights[:, :, causal == 0] == 0), "nobody looks ahead"
assert np.all(weights[1, :, :, 3:] == 0), "and nobody looks at padding"

# %% [markdown]
# ## Many heads as one reshape
#
# One weighted mean a token is little: it cannot look at the verb and at the full stop separately. So the H numbers are cut into
# A groups of D = H/A, and each group attends on its own, with its own weights. Each is a **head** (注意力头). The A contexts
# stand side by side again at the end. *Vaswani et al. 2017, §3.2.2.*
#
# First with a loop over the heads: each reads its own D columns.

# %%
D = H // A
q, k, v = (x @ p[name]["weight"].T + p[name]["bias"] for name in ("query", "key", "value"))  # (B, T, H)
looped = np.concatenate([attend(q[..., a * D:(a + 1) * D], k[..., a * D:(a + 1) * D], v[..., a * D:(a + 1) * D])
                         for a in range(A)], axis=-1)
wb.show("looped[0]", looped[0], "(T, H) of the first text")

# %% [markdown]
# Then without: a reshape gives the heads an axis, and a transpose moves it in front of the tokens. The matrix product
# works on the last two axes and repeats itself over all others.

# %%
def split(x):
    B, T, H = x.shape
    return x.reshape(B, T, A, H // A).transpose(0, 2, 1, 3)  # (B, T, H) -> (B, T, A, D) -> (B, A, T, D)


def merge(x):
    B, A, T, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, A * D)  # (B, A, T, D) -> (B, T, A, D) -> (B, T, H)


heads = merge(attend(split(q), split(k), split(v)))
print(f"(B, T, H) {x.shape} -> (B, A, T, D) {split(x).shape} -> scores (B, A, T, T) {(B, A, T, T)} -> (B, T, H) {heads.shape}")
assert np.allclose(heads, looped, atol=1e-12), "one reshape equals the loop over heads"
assert np.array_equal(merge(split(x)), x), "merge undoes split"

# %% [markdown]
# A tempting shortcut reshapes straight to (B, A, T, D). The shape is right and no error is raised, but a "head" now holds
# pieces of different tokens.

# %%
wrong = x.reshape(B, A, T, D)
print("x[0, 0], the first token: ", x[0, 0])
print("first head, second token: ", split(x)[0, 0, 1], "\nthe shortcut has there:   ", wrong[0, 0, 1])
assert wrong.shape == split(x).shape, "the same shape …"
assert np.array_equal(wrong[0, 0, 1], x[0, 0, D:2 * D]), "… but 'token 1' is another piece of token 0"

# %% [markdown]
# The whole layer in one picture, from the text's vectors to the contexts:

# %%
picture, axes = schematics.sketch(14, 5.6, "Attention with A heads: the same H numbers, shared out")
entry = schematics.box(axes, 1.0, 2.8, "x\n(B, T, H)", width=1.5, height=1.1)
linears = [schematics.box(axes, 3.4, 4.4 - 1.6 * i, text, colour, width=1.7) for i, (text, colour) in enumerate(
    (("query: x·Wqᵀ", wb.BLUE), ("key: x·Wkᵀ", wb.ORANGE), ("value: x·Wvᵀ", wb.GREEN)))]
cut = schematics.box(axes, 5.9, 2.8, "split\n(B, A, T, D)", width=1.6, height=4.4)
shares = [schematics.box(axes, 8.9, y, f"{name}: softmax(q·kᵀ/√D)·v\nweights (T, T), context (T, D)", wb.PINK, 3.3, 1.0, 13)
          for y, name in ((4.5, "head 0"), (3.1, "head 1"), (1.1, "head A − 1"))]
axes.text(8.9, 2.1, "⋮", ha="center", va="center", fontsize=24)
joined = schematics.box(axes, 11.6, 2.8, "merge", width=1.1, height=4.4)
leave = schematics.box(axes, 13.2, 2.8, "context\n(B, T, H)", width=1.4, height=1.1)
for linear_box in linears:
    schematics.arrow(axes, entry.right, linear_box.left)
    schematics.arrow(axes, linear_box.right, (cut.left[0], linear_box.y))
for share in shares:
    schematics.arrow(axes, (cut.right[0], share.y), share.left)
    schematics.arrow(axes, share.right, (joined.left[0], share.y))
schematics.arrow(axes, joined.right, leave.left)
wb.save(picture, "08_heads_schematic", measured=False)

# %% [markdown]
# ## One head against many
#
# Splitting costs nothing: whatever A is, the layer has the same numbers and does the same number of multiplications. What does
# it buy? We train one layer of attention on a task in which a token has to look at two places: *name both neighbours*. A text
# is 8 words, each out of 8. At every place a linear layer (the same in all places) reads the context and gives two answers, the
# word before and the word after. The vector of a token is the word's row plus the place's row; all rows are at right angles, so
# words and places are easy to tell apart.
#
# The layer is the one of this lesson, with its own backward. What moves the weights is the optimiser of lesson 12, the loss is
# the mean surprise of lesson 10; who knows nothing pays ln 8 = 2.08. All is equal but A: the width is H = 16, so D = 16/A.

# %%
WORDS, PLACES, WIDTH = 8, 8, 16
STEPS = wb.choose(300, 5)
HEADS = wb.choose((1, 2, 4, 8, 16), (1, 2))
SEEDS = wb.choose((0, 1, 2), (0,))


def neighbours(rows, generator, B=32):
    """Vectors (B, T, H), and the words before and after each place, (B·T·2,); −100 where there is none."""
    ids = generator.integers(0, WORDS, (B, PLACES))
    labels = np.full((B, PLACES, 2), cross_entropy.IGNORE)
    labels[:, 1:, 0], labels[:, :-1, 1] = ids[:, :-1], ids[:, 1:]
    return rows[ids] + rows[WORDS:WORDS + PLACES], labels.reshape(-1)


def train(heads, seed):
    """Mean loss of the last 20 steps, the share of right answers in them, and the weights (A, T, T) of the last text."""
    generator = np.random.default_rng(seed)
    rows = (WIDTH / 2) ** 0.5 * np.linalg.qr(generator.standard_normal((WIDTH, WIDTH)))[0]
    out = {"query": WIDTH, "key": WIDTH, "value": WIDTH, "read": 2 * WORDS}
    p = {name: {"weight": generator.standard_normal((n, WIDTH)) * WIDTH**-0.5, "bias": np.zeros(n)} for name, n in out.items()}
    g, mean, square = ({name: {part: np.zeros_like(a) for part, a in pair.items()} for name, pair in p.items()} for _ in range(3))
    losses, right = [], []
    for step in range(1, STEPS + 1):
        x, labels = neighbours(rows, generator)
        (context, weights), cache = attention.forward(x, p, heads)
        answers, read = linear.forward(context, p["read"])  # 8 scores for the word before, 8 for the one after
        loss, surprise = cross_entropy.forward(answers.reshape(-1, WORDS), labels)
        danswers = cross_entropy.backward(1.0, surprise).reshape(answers.shape)
        attention.backward(linear.backward(danswers, read, p["read"], g["read"]), cache, p, g)
        for name, pair in p.items():
            for part, numbers in pair.items():
                adamw.update(numbers, g[name][part], mean[name][part], square[name][part], 0.01, step, False, adamw.DEFAULT)
                g[name][part][...] = 0
        losses.append(float(loss))
        right.append((answers.reshape(-1, WORDS).argmax(-1) == labels)[labels >= 0].mean())
    return float(np.mean(losses[-20:])), float(np.mean(right[-20:])), weights[0]


# %%
trained = {(heads, seed): train(heads, seed) for heads in HEADS for seed in SEEDS}
final = {heads: [trained[heads, seed][0] for seed in SEEDS] for heads in HEADS}
correct = {heads: np.mean([trained[heads, seed][1] for seed in SEEDS]) for heads in HEADS}
wb.table(["heads A", "D", *[f"loss, seed {seed}" for seed in SEEDS], "right (mean)"],
         [[heads, WIDTH // heads, *final[heads], f"{correct[heads]:.0%}"] for heads in HEADS])
if not wb.QUICK:
    assert min(final[1]) > 0.2, "one head never gets it right, whatever the seed"
    assert max(max(final[heads]) for heads in (2, 4, 8)) < 0.02, "two heads do, and more do no harm …"
    assert min(final[16]) > 0.1, "… until each has a single number left"

# %% [markdown]
# *One head* must look at both neighbours with one row of weights. What it hands on is a single mixture of the two words. It
# knows quite well which words they are, but mixes up which came first. *Two heads* divide the work: one looks to the left, one
# to the right. *Sixteen heads* have D = 1: the score is a single product, q times k. With one number a query can ask for the
# largest k or the smallest, and for nothing in between; so a head can hardly pick one place out of eight. Between these ends the
# number matters little *here*. BERT has D = 64, in base and in large (*Devlin et al. 2018, §3*); other tasks may want another.
#
# The maps show it. Each row is a query, each column a key, dark means a large weight.

# %%
picture = wb.figure(15, 4.9, "One head mixes its neighbours, two share the work")
panels = picture.subplots(1, 4, width_ratios=(1, 1, 1, 1.25))
few = (("one head", trained[1, 0][2][0]), ("two heads: one of them", trained[2, 0][2][0]), ("the other", trained[2, 0][2][1]))
for panel, (name, weights) in zip(panels, few):
    shown = panel.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    panel.set(title=name, xlabel="key: place read", xticks=range(PLACES), yticks=range(PLACES))
panels[0].set_ylabel("query: place that reads")
picture.colorbar(shown, ax=panels[:3].tolist(), shrink=0.7, label="weight")
for seed, marker in zip(SEEDS, "os^"):
    panels[3].plot(range(len(HEADS)), [final[heads][seed] for heads in HEADS], marker, color=wb.ORANGE, fillstyle="none",
                   label=f"seed {seed}")
panels[3].plot(range(len(HEADS)), [np.mean(final[heads]) for heads in HEADS], color=wb.ORANGE, label="mean")
panels[3].set_xticks(range(len(HEADS)), [f"{heads}" for heads in HEADS])
panels[3].set(title=f"after {STEPS} steps", xlabel=f"heads A (H = {WIDTH}, D = {WIDTH}/A)", ylabel="loss (nats)")
panels[3].legend(fontsize=12)
wb.save(picture, "08_heads")
if not wb.QUICK:
    before, after = ([float(np.diag(weights, side)[1:-1].mean()) for _, weights in few] for side in (-1, 1))
    print("weight on the place before, on the place after:", *(f"{b:.2f}, {a:.2f};" for b, a in zip(before, after)))
    assert 0.2 < before[0] < 0.8 > after[0] > 0.2, "a single head reads both neighbours at once"
    assert min(before[1:]) < 0.1 < 0.9 < max(before[1:]), "of two heads one reads the place before …"
    assert min(after[1:]) < 0.1 < 0.9 < max(after[1:]), "… and one the place after"

# %% [markdown]
# ## The library's own function
#
# `attention.forward(x, p, heads, mask)` does all of this: three linears, split, scores, mask, softmax, weighted sum, merge.
# It returns the weights too; lesson 14 looks at them.

# %%
(library, weights), _ = attention.forward(x, p, A)
wb.show("weights[0]", weights[0], "(A, T, T) of the first text")
assert np.allclose(library, heads, atol=1e-12), "the library agrees with the loop and with the reshape"
(library, weights), _ = attention.forward(x, p, A, mask)
lonely = attend(split(q[1:, :3]), split(k[1:, :3]), split(v[1:, :3]))  # the second text alone, cut to its 3 tokens
assert np.allclose(library[1, :3], merge(lonely)[0], atol=1e-12), "masked padding is as good as no padding"
assert np.allclose(weights.sum(-1), 1), "every row of every head adds up to 1"

# %% [markdown]
# ## Gradient check
#
# Backward is forward read from the last line to the first (P are the weights):
#
# - context = P·v, so dP = dcontext·vᵀ and dv = Pᵀ·dcontext;
# - dscores through softmax, as above;
# - scores = q·kᵀ/√D, so dq = dscores·k/√D and dk = dscoresᵀ·q/√D;
# - x was read three times, by query, key and value: three gradients are added.
#
# The check runs with padding, with several heads, and asks for the weights' gradient too.

# %%
layer = Pair(lambda x, p: attention.forward(x, p, A, mask),
             lambda dy, cache, p, g: attention.backward(dy[0], cache, p, g, dweights=dy[1]).dx)
result = check(layer, {"x": x}, p, zero={"key.bias": "query.bias"})
wb.table(["array", "shape", "central differences", "complex step"],
         [[name, str(shape), f"{result.errors['central'][name]:.0e}", f"{result.errors['complex'][name]:.0e}"]
          for name, shape in result.shapes.items()])
assert result.ok, "forward and backward belong together"

# %% [markdown]
# ## The gradient of the key bias is zero
#
# The check above was told so (`zero=…`), because an error relative to nothing is no number. Why zero? With a key bias b,
# a score is q·(k + b) = q·k + q·b. The second term is the same for every key: it is added to the whole row. And softmax does
# not see what is added to a whole row.

# %%
moved = {**p, "key": {**p["key"], "bias": p["key"]["bias"] + 100}}
(same, _), _ = attention.forward(x, moved, A)
(library, _), cache = attention.forward(x, p, A)
g = {name: {"weight": np.zeros((H, H)), "bias": np.zeros(H)} for name in p}
attention.backward(rng.standard_normal(x.shape), cache, p, g)
norms = {name: float(np.linalg.norm(g[name]["bias"])) for name in g}
print(f"100 added to the key bias moves the context by at most {np.abs(same - library).max():.0e}")
wb.table(["bias", "‖gradient‖"], [[name, norm] for name, norm in norms.items()])
assert np.allclose(same, library, atol=1e-9), "the key bias does nothing"
assert norms["key"] < 1e-12 * norms["query"], "and so its gradient is zero, up to rounding"

# %% [markdown]
# The query bias is not idle: k·b differs from key to key. The value bias is added to every context unchanged, because weights
# add up to 1. BERT has the key bias all the same (`modeling.py`, `attention_layer`: all three are dense layers with a bias).

# %%
moved = {**p, "value": {**p["value"], "bias": p["value"]["bias"] + 7}}
(shifted, _), _ = attention.forward(x, moved, A)
print(f"7 added to the value bias moves every context by {np.unique(np.round(shifted - library, 9))}")
assert np.allclose(shifted - library, 7), "a weighted mean of v + b is the weighted mean of v, plus b"

# %% [markdown]
# ## One knob to turn
#
# What would another division do? Set the power of D below. At 0.5 the largest weight stays near 0.24 whatever D is (the table
# above shows it). At 0 it climbs to more than 0.9. At 1 the scores shrink towards 0 as D grows: every key gets 1/16, and
# attention becomes a plain mean.

# %%
POWER = 0.5  # <- the knob
knob = [[D, *measure(D, POWER, np.random.default_rng(D))[:3]] for D in (1, 8, 64, 512)]
wb.table(["D", f"spread of q·k/D^{POWER:g}", "largest of 16 weights", "median gradient"], knob)
equal = measure(512, 1.0, np.random.default_rng(0))[1]
print(f"power 1 at D = 512: largest weight {equal:.4f}; 1/16 = {1 / KEYS:.4f}")
assert equal < 1.3 / KEYS, "divided by D itself, attention can no longer choose"

# %% [markdown]
# ## Exercises
#
# Five functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My weights add up to 1 in the wrong direction.* Softmax runs over the keys, the **last** axis. Each *row*, one query, is 1.
# - *My gradient of softmax is right for some scores only.* Did you use y·(1 − y)? That is the diagonal. See "The gradient of
#   softmax".
# - *Shapes fit, numbers do not, with more than one head.* A transpose is missing: see "Many heads as one reshape".
# - *Everything is NaN.* Look for a row without a key, masked by −∞. See "Where −∞ makes NaN".
# - *Padding still matters.* Is the mask on the last axis, (B, 1, 1, T), and is it added **before** softmax?
# - *dq is right and dk is not.* dk needs the transpose of dscores; both need 1/√D.

# %%
wb.exercises(8)
