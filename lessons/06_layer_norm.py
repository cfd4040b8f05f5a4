# %% [markdown]
# # 6. Layer norm
#
# **You will do**: normalise four numbers by hand, derive the gradient path by path, and break a variance with ordinary numbers.
#
# **You will learn**: what layer normalisation forgets on purpose, why its gradient is a projection, why float32 wants the
# variance in two passes, and what happens to gradients in a deep stack without it.
#
# **You need**: lesson 4 (chain rule, gradient check). Time: about 40 minutes to read; runs in about 10 s.

# %%
import warnings

import numpy as np
import workbench as wb

import minibert
from gradcheck import GradientError, Pair, check
from minibert.layers import layernorm, linear

rng = np.random.default_rng(6)

# %% [markdown]
# ## The question
#
# A BERT sends every token's vector through dozens of layers. Each one multiplies by a matrix. If each makes the vector twice as
# long, it is a thousand times as long after ten layers; if each halves it, it is gone.
# How do we keep all vectors at one size, whatever the matrices are?
#
# BERT's answer: **layer normalisation** (层归一化), short layer norm. It takes each token's vector by itself. It brings its
# **mean** (均值) to 0 and its **variance** (方差) to 1, then stretches and shifts each feature by learned amounts
# (*Ba et al. 2016, "Layer Normalization"*, equations 3 and 4). The reference puts one behind the embeddings and two into every
# layer (`modeling.py`, `layer_norm`).

# %% [markdown]
# ## Toy numbers
#
# One token with H = 4 numbers. Each of the H numbers is also called a feature (not to be mixed up with lesson 3's arrays). The
# mean μ is 3. The deviations are −2, −1, 0, 3. The variance σ² is the mean of their squares:
# (4 + 1 + 0 + 9) / 4 = 3.5. Divide the deviations by σ, and the result x̂ has mean 0 and variance 1.

# %%
x = np.array([1.0, 2.0, 3.0, 6.0])
mu = x.mean()
deviations = x - mu
variance = (deviations**2).mean()
xhat = deviations / np.sqrt(variance)
print(f"μ = {mu:g}, σ² = {variance:g}")
wb.show("x̂", xhat, "(H,)")
assert mu == 3
assert variance == 3.5
assert abs(xhat.mean()) < 1e-15
assert abs((xhat**2).mean() - 1) < 1e-15

# %% [markdown]
# Now add 100 to every number, or multiply all by 5. The mean moves along, σ grows along, and x̂ stays the same.
# Layer norm forgets two things on purpose: where the vector stands, and how long it is.

# %%
def normalise(x):
    deviations = x - x.mean(-1, keepdims=True)
    return deviations / np.sqrt((deviations**2).mean(-1, keepdims=True))


for name, moved in (("x + 100", x + 100), ("5·x", 5 * x), ("5·x + 100", 5 * x + 100)):
    wb.show(f"x̂ of {name}", normalise(moved))
    assert np.allclose(normalise(moved), xhat)
assert np.allclose(normalise(-x), -xhat), "a negative factor turns the sign"

# %% [markdown]
# ## The equation
#
#     μ = mean(x)     σ² = mean((x − μ)²)     rstd = 1/√(σ² + ε)     x̂ = (x − μ)·rstd     y = γ·x̂ + β
#
# The means run over the H features of one token, never over tokens. So a token's result does not depend on its neighbours, nor
# on what else is in the batch. γ (`weight`) and β (`bias`) are parameters of shape (H,), the same for all tokens.
# ε keeps rstd finite when all features are equal. BERT's is 1e-12 (`layer_norm_eps` in its configuration).

# %% [markdown]
# ## By hand: plain loops
#
# B = 2 sentences, T = 3 tokens, H = 4 features.

# %%
B, T, H = 2, 3, 4
batch = rng.standard_normal((B, T, H)) * 2 + 1
gamma, beta = rng.uniform(0.5, 1.5, H), rng.standard_normal(H)


def forward_loops(x, gamma, beta, eps=1e-12):
    y = np.zeros_like(x)
    for b in range(B):
        for t in range(T):
            mean = sum(x[b, t, j] for j in range(H)) / H
            var = sum((x[b, t, j] - mean) ** 2 for j in range(H)) / H
            for j in range(H):
                y[b, t, j] = gamma[j] * (x[b, t, j] - mean) / (var + eps) ** 0.5 + beta[j]
    return y


normed = forward_loops(batch, gamma, beta)
wb.show("x", batch[0], "(T, H), first sentence")
wb.show("y", normed[0], "(T, H), first sentence")

# %% [markdown]
# ## Vectorised, and the library's own
#
# `keepdims=True` keeps the reduced axis with length 1, so that (B, T, 1) is subtracted from (B, T, H) row by row.
# The library keeps x̂ and rstd: they are all the way back needs.

# %%
vectorised = gamma * normalise(batch) + beta
p = {"weight": gamma, "bias": beta}
out, cache = layernorm.forward(batch, p)
print("cache:", {name: value.shape for name, value in cache._asdict().items()})
assert np.allclose(vectorised, normed, rtol=1e-10)
assert np.allclose(out, normed, rtol=1e-10)

alone, _ = layernorm.forward(batch[1:, 2:], p)
assert np.array_equal(alone, out[1:, 2:]), "a token's result does not depend on its neighbours"

# %% [markdown]
# ## The gradient, line by line
#
# γ and β first. They are used once per token, so their gradients are sums over all tokens:
#
#     dγ = Σ dy·x̂          dβ = Σ dy          and for what lies before them          dx̂ = dy·γ
#
# For x, follow one vector. x reaches x̂ = (x − μ)·rstd by three roads: directly, through μ, and through rstd.
# The chain rule goes down each road while the other two stand still; then it adds. Let us do that, and measure each road with the
# complex step of lesson 4: hold two of the three parts fixed, move the third.

# %%
x = rng.standard_normal(5) * 2 + 1
dxhat = rng.standard_normal(5)
H5, mu = 5, x.mean()
rstd = ((x - mu) ** 2).mean() ** -0.5
xhat = (x - mu) * rstd


def measured(road):
    """Σ dx̂·x̂ along one road: its derivative by the complex step, for each x."""
    eye = np.eye(5) * 1e-30j
    return np.array([(dxhat * road(x + e)).sum().imag / 1e-30 for e in eye])


def road_direct(z):
    return (z - mu) * rstd


def road_mean(z):
    return (x - z.mean()) * rstd


def road_rstd(z):
    return (x - mu) * ((z - z.mean()) ** 2).mean() ** -0.5


# %% [markdown]
# **Directly.** ∂x̂_i/∂x_i = rstd. So the gradient along this road is `dx̂·rstd`.
#
# **Through μ.** ∂μ/∂x_i = 1/H for every i, and each x̂ falls by rstd when μ grows by 1. Sum over all x̂:
# `−rstd·Σ dx̂ / H = −rstd·mean(dx̂)`. The same number for every feature.
#
# **Through rstd.** rstd = (σ²)^(−½), so ∂rstd/∂σ² = −½·rstd³. And ∂σ²/∂x_i = 2·(x_i − μ)/H. (σ² also contains μ. That side road
# gives mean(x − μ), which is zero.) Together ∂rstd/∂x_i = −rstd³·(x_i − μ)/H = −rstd²·x̂_i/H. Each x̂_j hears of rstd with the
# factor x_j − μ = x̂_j/rstd. Sum over j: `−rstd·x̂_i·mean(dx̂·x̂)`.

# %%
direct = dxhat * rstd
through_mean = -rstd * dxhat.mean() * np.ones(H5)
through_rstd = -rstd * xhat * (dxhat * xhat).mean()
rows = []
for name, ours, road in (("directly", direct, road_direct), ("through μ", through_mean, road_mean),
                         ("through rstd", through_rstd, road_rstd)):
    rows.append([name, *ours.round(4).tolist(), float(np.abs(ours - measured(road)).max())])
    assert np.allclose(ours, measured(road), rtol=1e-12, atol=1e-14), name
total = direct + through_mean + through_rstd
rows.append(["sum", *total.round(4).tolist(), float(np.abs(total - measured(normalise)).max())])
wb.table(["road", "dx[0]", "dx[1]", "dx[2]", "dx[3]", "dx[4]", "off by at most"], rows)
assert np.allclose(total, measured(normalise), rtol=1e-12)

# %% [markdown]
# The three roads in one line:
#
#     dx = rstd·(dx̂ − mean(dx̂) − x̂·mean(dx̂·x̂))
#
# Read it as a projection. The part of dx̂ along the constant vector goes out, then the part along x̂. These are the two directions
# layer norm forgets: shifting x, or stretching it, does not change x̂, so no gradient can point there.
# So of H directions only H − 2 carry a gradient. We can count them: write ∂x̂/∂x as an H×H matrix and look at its rank.

# %%
jacobian = np.array([normalise(x + e).imag / 1e-30 for e in np.eye(5) * 1e-30j]).T
wb.show("∂x̂/∂x", jacobian, "(H, H)")
shifted, stretched = jacobian @ np.ones(5), jacobian @ xhat
rank = int(np.linalg.matrix_rank(jacobian))
print(f"along a shift: {np.abs(shifted).max():.0e}; along a stretch: {np.abs(stretched).max():.0e}; rank {rank} of {H5}")
assert np.abs(shifted).max() < 1e-14
assert np.abs(stretched).max() < 1e-14
assert rank == H5 - 2

# %% [markdown]
# ## Gradient check
#
# First the library's backward against our formula, then against measurement: random γ and β, a random upstream gradient, three
# different axis sizes, every element.

# %%
dy = rng.standard_normal((B, T, H))
g = {"weight": np.zeros(H), "bias": np.zeros(H)}
dx = layernorm.backward(dy, cache, p, g)
dxhat = dy * gamma
ours = cache.rstd * (dxhat - dxhat.mean(-1, keepdims=True) - cache.xhat * (dxhat * cache.xhat).mean(-1, keepdims=True))
assert np.allclose(dx, ours)
assert np.allclose(g["weight"], (dy * cache.xhat).sum((0, 1)))
assert np.allclose(g["bias"], dy.sum((0, 1)))

result = check(layernorm, {"x": batch}, p)
for k in result.shapes:
    print(f"{k:8} central {result.errors['central'][k]:.0e}   complex {result.errors['complex'][k]:.0e}")
assert result.worst("complex") < 1e-12

# %% [markdown]
# A favourite mistake: treat μ and σ as constants, because "they are only statistics". Then two of the three roads are missing.
# The checker says by how much that is wrong.

# %%
def constant_statistics(dy, cache, p, g):
    layernorm.backward(dy, cache, p, g)  # γ and β are not the problem
    return dy * p["weight"] * cache.rstd


try:
    check(Pair(layernorm.forward, constant_statistics), {"x": batch}, p, name="μ and σ as constants")
    raise SystemExit("the missing roads were not noticed")
except GradientError as error:
    print(error)
    wrong_by = error.result.errors["complex"]["x"]
assert wrong_by > 0.1

# %% [markdown]
# And with ones as the upstream gradient, γ = 1? Then dx̂ is constant, and its whole gradient is projected away: dx is zero.
# This is one of the two layers that lesson 4 warned of.

# %%
plain = {"weight": np.ones(H), "bias": np.zeros(H)}
_, plain_cache = layernorm.forward(batch, plain)
hidden = layernorm.backward(np.ones_like(batch), plain_cache, plain, {"weight": np.zeros(H), "bias": np.zeros(H)})
print(f"dx under ones: at most {np.abs(hidden).max():.0e}")
assert np.abs(hidden).max() < 1e-12

# %% [markdown]
# ## What float32 does to mean(x²) − mean(x)²
#
# Textbooks give the variance in a second form, σ² = mean(x²) − mean(x)². On paper both are equal. The second needs one pass over
# the data instead of two, so it looks faster. But a float32 has about 7 decimal digits. Every result is rounded to them: that is
# **rounding** (舍入). When x has mean 1000 and σ = 1, then mean(x²) is 1,000,001 and mean(x)² is 1,000,000. What we
# want is their last digit. Subtracting two nearly equal numbers and keeping only the rounded rest is **cancellation** (相消).

# %%
def one_pass(x):
    return (x * x).mean(-1) - x.mean(-1) ** 2


def two_passes(x):
    return ((x - x.mean(-1, keepdims=True)) ** 2).mean(-1)


vectors = rng.standard_normal((wb.choose(400, 60), 128))
rows = []
for mean in (0, 10, 100, 1000, 3000, 10_000):
    x32 = (vectors + mean).astype(np.float32)
    truth = two_passes(x32.astype(np.float64))  # of the very same float32 numbers
    error = {f.__name__: np.abs(f(x32) - truth) / truth for f in (one_pass, two_passes)}
    rows.append([mean, float(np.median(error["one_pass"])), float(np.median(error["two_passes"])),
                 f"{(one_pass(x32) < 0).mean():.0%}", f"{(two_passes(x32) < 0).mean():.0%}"])
wb.table(["mean of x (σ = 1)", "median error, one pass", "median error, two passes", "negative, one pass", "two passes"], rows)

# %% [markdown]
# A negative variance has no square root: NaN, and from there on the whole model is NaN. At a mean of 1000·σ the one-pass form is
# off by some percent; at some thousands it is noise. The two-pass form stays right to 4 digits or more.

# %%
at = {row[0]: row for row in rows}
assert at[0][1] < 1e-6, "without a mean there is nothing to cancel"
assert at[1000][1] > 0.01
assert at[10_000][1] > 1
assert at[10_000][3] != "0%"
assert all(row[2] < 1e-4 and row[4] == "0%" for row in rows)

x32 = (vectors + 10_000).astype(np.float32)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    broken = (x32 - x32.mean(-1, keepdims=True)) / np.sqrt(one_pass(x32) + np.float32(1e-12))[:, None]
whole, _ = layernorm.forward(x32, {"weight": np.ones(128, np.float32), "bias": np.zeros(128, np.float32)})
nan_rows = [np.isnan(y).any(-1).mean() for y in (broken, whole)]
print(f"rows with NaN at mean 10,000: one pass {nan_rows[0]:.0%}, the library {nan_rows[1]:.0%}")
assert np.isnan(broken).any()
assert np.isfinite(whole).all()
assert np.abs((whole**2).mean(-1) - 1).max() < 1e-3

# %% [markdown]
# Does a BERT ever have such means? Ask the bundled model. For each vector that enters one of its layer norms, take |μ|/σ.
# (We listen at `layernorm.forward` while the model runs.)

# %%
ratios = []
original = layernorm.forward


def listening(x, p, eps=1e-12):
    ratios.append(np.abs(x.mean(-1)) / x.std(-1))
    return original(x, p, eps)


layernorm.forward = listening
try:
    minibert.load(device="cpu")(["The with statement closes the file.", "An exception is raised if the list is empty."])
finally:
    layernorm.forward = original
largest = max(float(r.max()) for r in ratios)
print(f"{len(ratios)} layer norms; largest |μ|/σ: {largest:.2f}")
assert len(ratios) == 5, "one behind the embeddings, two in each of two layers"
assert largest < 10

# %% [markdown]
# So in this model the one-pass form would have done no harm. It is a trap that opens later, in other models and other data,
# and it costs little to stay out of it.
#
# The other end: all features equal. σ is 0, and ε is all that keeps rstd finite. The output is 0, which is fine. The gradient is
# multiplied by rstd = 1/√ε = a million.

# %%
flat, flat_cache = layernorm.forward(np.full((1, 4), 7.0), plain)
print(f"x̂ of four sevens: {flat[0]}; rstd = {flat_cache.rstd[0, 0]:.0e}")
assert not flat.any()
assert np.isclose(flat_cache.rstd[0, 0], 1e6)

# %% [markdown]
# ## What happens to gradients without it
#
# A stack of linear layers, each (H, H) with random weights of a given spread, here called the scale. No bends, so that nothing
# else plays a part. A random gradient comes in from behind. How large is it after 1, 2, … layers? Once without a layer norm,
# once with one after each linear layer. `0.02` is the spread of BERT's first weights (*reference* `modeling.py`,
# `initializer_range`).

# %%
WIDTH, DEPTH = 64, 24


def gradient_by_depth(scale, with_norm, seed=0):
    rng = np.random.default_rng(seed)
    norm = {"weight": np.ones(WIDTH), "bias": np.zeros(WIDTH)}
    layers = [{"weight": rng.standard_normal((WIDTH, WIDTH)) * scale, "bias": np.zeros(WIDTH)} for _ in range(DEPTH)]
    x, caches = rng.standard_normal((8, WIDTH)), []
    for p in layers:
        x, cache = linear.forward(x, p)
        norm_cache = None
        if with_norm:
            x, norm_cache = layernorm.forward(x, norm)
        caches.append((cache, norm_cache))
    d = rng.standard_normal(x.shape)
    sizes = [np.linalg.norm(d)]
    for p, (cache, norm_cache) in zip(reversed(layers), reversed(caches)):
        if with_norm:
            d = layernorm.backward(d, norm_cache, norm, {"weight": np.zeros(WIDTH), "bias": np.zeros(WIDTH)})
        d = linear.backward(d, cache, p, {"weight": np.zeros((WIDTH, WIDTH)), "bias": np.zeros(WIDTH)})
        sizes.append(np.linalg.norm(d))
    return np.array(sizes) / sizes[0]


# %%
SCALES = (0.02, 0.125, 0.25)
without = {scale: gradient_by_depth(scale, with_norm=False) for scale in SCALES}
with_norm = {scale: gradient_by_depth(scale, with_norm=True) for scale in SCALES}
wb.table(["scale", "after 1", "after 6", f"after {DEPTH}", "with norm: 1", "6", str(DEPTH)],
         [[scale, *(float(sizes[scale][n]) for sizes in (without, with_norm) for n in (1, 6, DEPTH))] for scale in SCALES])
for scale in SCALES:
    per_layer = without[scale][-1] ** (1 / DEPTH)
    assert abs(per_layer / (scale * np.sqrt(WIDTH)) - 1) < 0.15, "each layer multiplies the gradient by about scale·√H"
    assert 0.2 < with_norm[scale][-1] < 5

# %% [markdown]
# Without the norm each layer multiplies the gradient by about scale·√H. Only at scale = 1/√H = 0.125 does it survive; a little
# less and it vanishes, a little more and it explodes. With the norm the scale makes no difference at all.
# The reason is the factor rstd: a weight twice as large makes σ twice as large, so rstd halves what the weight doubles.

# %%
assert without[0.02][-1] < 1e-15
assert without[0.25][-1] > 1e5
assert np.allclose(with_norm[0.02], with_norm[0.25], rtol=1e-6), "the same whatever the scale"

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(13, 5.8, "Two passes keep the digits; layer norm keeps the gradient")
left, right = picture.subplots(1, 2)
means = np.logspace(0, 5, 21)
for f, colour, label in ((one_pass, wb.ORANGE, "mean(x²) − mean(x)²"), (two_passes, wb.BLUE, "mean((x − μ)²)")):
    errors = []
    for mean in means:
        x32 = (vectors + mean).astype(np.float32)
        truth = two_passes(x32.astype(np.float64))
        errors.append(np.median(np.abs(f(x32) - truth) / truth))
    left.loglog(means, np.maximum(errors, 1e-9), "o-", color=colour, label=label)
left.axhline(1, color=wb.GREY, linestyle="--", linewidth=1.5)
left.text(3e4, 0.3, "100 % wrong", color=wb.GREY, ha="center", va="top")
left.set(title="Variance in float32", xlabel="mean / σ", ylabel="relative error (median)")
left.legend()
for scale, colour in zip(SCALES, (wb.BLUE, wb.GREEN, wb.ORANGE)):
    right.semilogy(without[scale], color=colour, label=f"without, scale {scale}")
right.semilogy(with_norm[0.02], color="black", linestyle="--", label="with layer norm, any scale")
right.set(title="Gradient on its way back", xlabel="layers passed", ylabel="size of the gradient (1 at the start)")
right.legend(fontsize=13)
for axes in (left, right):
    axes.grid(alpha=0.3)
wb.save(picture, "06_layer_norm")

# %% [markdown]
# ## Does it matter for learning?
#
# The same stack, now with tanh between the layers, learns a small task: the signs of two features multiplied. Twelve layers of
# width 16, four starting scales, the same number of small steps of the same size against the gradient. Always answering 0 has
# a loss of 1.

# %%
def train(scale, with_norm, steps, seed=1):
    rng = np.random.default_rng(seed)
    x0 = rng.standard_normal((128, 16))
    target = np.sign(x0[:, :1] * x0[:, 1:2])
    tree = [{"linear": {"weight": rng.standard_normal((16, 16)) * scale, "bias": np.zeros(16)},
             "norm": {"weight": np.ones(16), "bias": np.zeros(16)}} for _ in range(12)]
    losses = []
    for _ in range(steps):
        x, caches = x0, []
        for p in tree:
            x, cache = linear.forward(x, p["linear"])
            norm_cache = None
            if with_norm:
                x, norm_cache = layernorm.forward(x, p["norm"])
            x = np.tanh(x)
            caches.append((cache, norm_cache, x))
        error = x[:, :1] - target
        losses.append(float((error**2).mean()))
        d = np.concatenate([2 * error / len(x), np.zeros((len(x), 15))], axis=1)
        for p, (cache, norm_cache, y) in zip(reversed(tree), reversed(caches)):
            g = {name: {k: np.zeros_like(v) for k, v in tensors.items()} for name, tensors in p.items()}
            d = d * (1 - y * y)
            if with_norm:
                d = layernorm.backward(d, norm_cache, p["norm"], g["norm"])
            d = linear.backward(d, cache, p["linear"], g["linear"])
            for name in ("linear", "norm"):
                for k in p[name]:
                    p[name][k] -= 0.05 * g[name][k]
    return losses


# %%
STEPS, STARTS = wb.choose(600, 10), (0.05, 0.1, 0.25, 0.5)
learned = {(scale, norm): train(scale, norm, STEPS) for scale in STARTS for norm in (False, True)}
wb.table(["starting scale", "first loss", f"after {STEPS} steps", "with norm: first", f"after {STEPS} steps"],
         [[scale, learned[scale, False][0], learned[scale, False][-1], learned[scale, True][0], learned[scale, True][-1]]
          for scale in STARTS])
assert np.isclose(learned[0.05, True][0], learned[0.5, True][0]), "with the norm, the scale does not change the start"

# %% [markdown]
# What this shows, and what it does not:
#
# - At 0.1 the stack without the norm learns nothing, and the one with the norm learns the task.
# - At 1/√H = 0.25 and above both learn. A good starting scale replaces the norm here; tanh keeps the numbers small on its own.
# - At 0.05 neither learns in so few steps. The norm makes all scales *start* alike, but not *train* alike: the gradient of a
#   small weight is larger (rstd again), so the same step size turns it much further around. Exercise 4 looks at this.

# %%
if not wb.QUICK:
    assert learned[0.1, False][-1] > 0.9, "without the norm, from 0.1: nothing learned"
    assert learned[0.1, True][-1] < 0.4, "with the norm, from 0.1: learned"
    assert max(learned[scale, norm][-1] for scale in (0.25, 0.5) for norm in (False, True)) < 0.2, "from 0.25 on: both learn"
    assert min(learned[0.05, norm][-1] for norm in (False, True)) > 0.6, "from 0.05: neither, in so few steps"

# %% [markdown]
# ## One knob to turn
#
# ε. At BERT's 1e-12 it is too small to be seen: x̂ has variance 1. Expect the variance of x̂ to fall to 1/2 when ε is as large as
# σ² = 0.01 (the variance of the numbers below), and to about 0.01 at ε = 1. Frameworks have different defaults, and a checkpoint
# must be run with the ε it was trained with.

# %%
EPS = 1e-12  # <- the knob
small = 0.1 * normalise(rng.standard_normal((1, 64)))
y, _ = layernorm.forward(small, {"weight": np.ones(64), "bias": np.zeros(64)}, EPS)
print(f"variance of x: {small.var():.3f}; ε = {EPS:g}; variance of x̂: {y.var():.4f}")
assert np.isclose(y.var(), 0.01 / (0.01 + EPS))

# %% [markdown]
# ## Exercises
#
# Four functions and a number, printed by the last cell with two commands. The first puts them into a file of your own, the second
# names each exercise with *right*, *not answered*, or what is wrong.

# %% [markdown]
# ## When you are stuck
#
# - **My variance is a little larger than the library's.** You divide by H − 1, as statistics books do for samples. Layer norm
#   divides by H.
# - **Results depend on the other sentences of the batch.** The mean runs over the wrong axes. It is the last one only.
# - **`operands could not be broadcast`.** `keepdims=True` is missing.
# - **dγ is right, dx is wrong.** Count the roads: directly, through μ, through σ. Most often the last one is missing.
# - **dx is off by a factor in each row.** `mean` became `sum`, or rstd was multiplied in before the projection *and* after.
# - **NaN after some layers.** Look at the variance: negative (one pass), or zero with ε forgotten.
# - **My check passes, and training fails.** Was the upstream gradient all ones, and γ = 1? Then dx is zero anyway.

# %%
wb.exercises(6)
