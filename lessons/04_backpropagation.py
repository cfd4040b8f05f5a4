# %% [markdown]
# # 4. Backpropagation without a framework
#
# **You will do**: find the gradient of a small network by hand, with loops, with matrix products, and by measuring it.
#
# **You will learn**: what a forward and a backward pass hand to each other, why gradients are added with `+=`, how a gradient is
# checked, and why a falling loss checks nothing.
#
# **You need**: lesson 1 (parameters, shapes), the derivative, the matrix product. Time: about 45 minutes to read; runs in 5 s.

# %%
from typing import NamedTuple

import numpy as np
import schematics
import workbench as wb

import gradcheck
from gradcheck import GradientError, Pair, check
from minibert.layers import linear

rng = np.random.default_rng(4)

# %% [markdown]
# ## The question
#
# A model has many parameters. Training moves each of them a little, so that the model errs less.
# Which way should each one move? Trying them out one by one would take two runs of the model for each parameter.
# BERT-base has 110 million of them (*Devlin et al. 2018, §3*). There is a way that costs about as much as three runs, for all
# of them together. We shall count the products.
#
# Two words first. The **loss** (损失) is one number that says how wrong the model is.
# The **gradient** (梯度) of the loss is one number for each parameter: how fast the loss grows when that parameter grows.
# Moving every parameter a little *against* its gradient makes the loss smaller.

# %% [markdown]
# ## Toy numbers
#
# The smallest model there is: one input x, two parameters w and b, and one number that y should be, the target.
#
#     y = w·x + b        loss = ½·(y − target)²
#
# We write `dw` for ∂loss/∂w, and so on for every name: **`dx` always means the derivative of the loss with respect to x**.
# The **chain rule** (链式法则) says that derivatives along a path are multiplied. We walk the path from its end:
#
#     dy = y − target         dw = dy·x         db = dy·1         dx = dy·w

# %%
x, w, b, target = 2.0, 3.0, 1.0, 5.0
y = w * x + b
loss = 0.5 * (y - target) ** 2
dy = y - target
dw, db, dx = dy * x, dy, dy * w
print(f"y = {y:g}, loss = {loss:g}, dy = {dy:g}, dw = {dw:g}, db = {db:g}, dx = {dx:g}")
assert (y, loss, dy, dw, db, dx) == (7, 2, 2, 4, 2, 6)

nudged = 0.5 * ((w + 0.001) * x + b - target) ** 2
print(f"w grows by 0.001: the loss grows by {nudged - loss:.6f}, and dw·0.001 = {dw * 0.001:.6f}")
assert abs((nudged - loss) - dw * 0.001) < 1e-5

# %% [markdown]
# Look at what was needed for `dw`: the number `dy` that came from behind, and the number `x` that went in at the front.
# It is the same for every layer, however large:
#
# - The **forward pass** (前向传播) computes y and remembers what the way back will need. What it remembers is the
#   **cache** (缓存).
# - The **backward pass** (反向计算) takes `dy`, the **upstream gradient** (上游梯度), and gives `dx`. On the way it writes
#   down the gradients of its own parameters.
# - The `dx` of one layer is the `dy` of the layer before it. Walking all layers from the last to the first is
#   **backpropagation** (反向传播).

# %% [markdown]
# ## The equation
#
# BERT consists mostly of one layer: the **linear layer** (线性层). It has a **weight** (权重) W of shape (out, in) and a
# **bias** (偏置) b of shape (out,). N rows of x go through it side by side:
#
#     y[n, o] = Σ_i x[n, i]·W[o, i] + b[o]
#
# One weight W[o, i] touches y[n, o] for every row n. The loss hears of it along all these paths, so the paths are summed:
#
#     dW[o, i] = Σ_n dy[n, o]·x[n, i]
#     db[o]    = Σ_n dy[n, o]
#     dx[n, i] = Σ_o dy[n, o]·W[o, i]
#
# A help to remember it: each gradient has the shape of its array, and sums over the index it does not have.

# %% [markdown]
# ## By hand: plain loops
#
# Three different axis sizes (N = 2, in = 3, out = 4), so that a swapped axis cannot hide.

# %%
N, INS, OUTS = 2, 3, 4
x = rng.integers(-2, 3, (N, INS)).astype(float)
W = rng.integers(-2, 3, (OUTS, INS)).astype(float)
b = rng.integers(-2, 3, OUTS).astype(float)


def forward_loops(x, W, b):
    y = np.zeros((N, OUTS))
    for n in range(N):
        for o in range(OUTS):
            y[n, o] = b[o]
            for i in range(INS):
                y[n, o] += x[n, i] * W[o, i]
    return y


def backward_loops(dy, x, W):
    dx, dW, db = np.zeros((N, INS)), np.zeros((OUTS, INS)), np.zeros(OUTS)
    for n in range(N):
        for o in range(OUTS):
            db[o] += dy[n, o]
            for i in range(INS):
                dx[n, i] += dy[n, o] * W[o, i]
                dW[o, i] += dy[n, o] * x[n, i]
    return dx, dW, db


# %% [markdown]
# Read the two side by side. The line `y += x·W` of the forward loop became two lines in the backward loop:
# `dx += dy·W` and `dW += dy·x`. That is the whole trick, and it works for any loop of sums and products.

# %%
y = forward_loops(x, W, b)
dy = rng.integers(-2, 3, (N, OUTS)).astype(float)  # as if a later layer had sent it
dx, dW, db = backward_loops(dy, x, W)
wb.show("x", x, "(N, in)")
wb.show("W", W, "(out, in)")
wb.show("y", y, "(N, out)")
wb.show("dy", dy, "(N, out)")
wb.show("dW", dW, "(out, in)")

# %% [markdown]
# ## Vectorised
#
# The same three sums are two matrix products and one sum over rows. One product forward, two backward, all of the same size:
# this is why forward and backward together cost about as much as three forward passes.

# %%
assert np.array_equal(y, x @ W.T + b)
assert np.array_equal(dx, dy @ W)
assert np.array_equal(dW, dy.T @ x)
assert np.array_equal(db, dy.sum(0))
print("loops and matrix products agree in every number")

# %% [markdown]
# ## The library's own
#
# In minibert a layer is a module with two functions. `forward` returns y and a cache. `backward` takes dy, the cache, the
# parameters `p` and a place `g` for their gradients. `g` has the same keys and shapes as `p`, and starts as zeros.

# %%
p = {"weight": W, "bias": b}
g = {"weight": np.zeros_like(W), "bias": np.zeros_like(b)}
forth, cache = linear.forward(x, p)
back = linear.backward(dy, cache, p, g)
print("the cache keeps x, of shape", cache.x.shape)
assert np.array_equal(forth, y)
assert np.array_equal(back, dx)
assert np.array_equal(g["weight"], dW)
assert np.array_equal(g["bias"], db)

# %% [markdown]
# ## Two layers, and a bend between them
#
# A pair of our own, for tanh. Its derivative is 1 − tanh², so the cache need only hold y, not x.
# The network is linear → tanh → linear. Its backward is its forward **read upside down**.

# %%
class Bend(NamedTuple):
    y: np.ndarray


def tanh_forward(x):
    y = np.tanh(x)
    return y, Bend(y)


def tanh_backward(dy, cache):
    return dy * (1 - cache.y * cache.y)


def net_forward(x, p):
    z, first = linear.forward(x, p["first"])  # (N, 3) -> (N, 5)
    a, bend = tanh_forward(z)
    y, second = linear.forward(a, p["second"])  # (N, 5) -> (N, 2)
    return y, (first, bend, second)


def net_backward(dy, cache, p, g):
    first, bend, second = cache
    da = linear.backward(dy, second, p["second"], g["second"])
    dz = tanh_backward(da, bend)
    return linear.backward(dz, first, p["first"], g["first"])


def fresh(*sizes):
    return {"weight": rng.standard_normal(sizes), "bias": rng.standard_normal(sizes[0])}


net = {"first": fresh(5, 3), "second": fresh(2, 5)}

# %%
picture, axes = schematics.sketch(14, 3.2, "Forward hands values on, backward hands gradients back")
places = [schematics.box(axes, 3.0 + 3.9 * i, 1.6, text, colour, 1.9, 1.5) for i, (text, colour) in enumerate(
    (("linear\nW1, b1", wb.GREEN), ("tanh", wb.GREY), ("linear\nW2, b2", wb.GREEN)))]
ends = [0.3, *(place.x for place in places), 13.7]
for i, (value, shape) in enumerate((("x", "(N, 3)"), ("z", "(N, 5)"), ("a", "(N, 5)"), ("y", "(N, 2)"))):
    left, right = ends[i] + 0.95 * (i > 0), ends[i + 1] - 0.95 * (i < 3)
    schematics.arrow(axes, (left, 2.0), (right, 2.0), f"{value}  {shape}", wb.BLUE)
    schematics.arrow(axes, (right, 1.1), (left, 1.1), f"d{value}  {shape}", wb.ORANGE)
for place, kept in zip(places, ("keeps x; adds dW1, db1", "keeps a", "keeps a; adds dW2, db2")):
    axes.text(place.x, 0.5, kept, ha="center", color=wb.GREY, fontsize=13)
wb.save(picture, "04_flow", measured=False)

# %% [markdown]
# ## Why the cache is handed over, not kept on an object
#
# Many tutorials write a class that keeps its input in `self.x`. Then call that layer twice, as BERT calls its embedding and its
# decoder: the second call overwrites what the first one kept, and the gradient of the first call is wrong. No error is raised.

# %%
class Forgetful:
    def __init__(self, p):
        self.p = p

    def forward(self, x):
        self.y, self.cache = linear.forward(x, self.p)
        return self.y

    def backward(self, dy, g):
        return linear.backward(dy, self.cache, self.p, g)


layer, one, two = Forgetful(net["first"]), rng.standard_normal((2, 3)), rng.standard_normal((4, 3))
dy_one, dy_two = rng.standard_normal((2, 5)), rng.standard_normal((4, 5))
layer.forward(one)
layer.forward(two)
kept = {"weight": np.zeros((5, 3)), "bias": np.zeros(5)}
layer.backward(dy_two, kept)
try:
    layer.backward(dy_one, kept)
    verdict = "no error"
except ValueError as error:
    verdict = f"ValueError: {error}"
print("with batches of two sizes:", verdict)

# %% [markdown]
# Here we were lucky: the two batches differ in size, so the product cannot be formed. With batches of the same size, nothing
# warns.

# %%
two, dy_two = two[:2], dy_two[:2]
right = dy_one.T @ one + dy_two.T @ two
kept = {"weight": np.zeros((5, 3)), "bias": np.zeros(5)}
layer.forward(one)
layer.forward(two)
layer.backward(dy_two, kept)
layer.backward(dy_one, kept)
wrong_by = np.linalg.norm(kept["weight"] - right) / np.linalg.norm(right)

handed = {"weight": np.zeros((5, 3)), "bias": np.zeros(5)}
_, cache_one = linear.forward(one, net["first"])
_, cache_two = linear.forward(two, net["first"])
linear.backward(dy_two, cache_two, net["first"], handed)
linear.backward(dy_one, cache_one, net["first"], handed)
print(f"kept on the object: silently off by {wrong_by:.0%}; handed over: off by "
      f"{np.linalg.norm(handed['weight'] - right) / np.linalg.norm(right):.0e}")
assert verdict.startswith("ValueError")
assert wrong_by > 0.1
assert np.allclose(handed["weight"], right)

# %% [markdown]
# ## Why `+=`
#
# In the last cell one weight was used twice, and its gradient was the **sum** over both uses. That sum came by itself, because
# `linear.backward` says `g["weight"] += …`. Let us write a layer that says `=` instead, and use it twice in a row.

# %%
def linear_backward_overwriting(dy, cache, p, g):
    g["weight"][...] = dy.T @ cache.x
    g["bias"][...] = dy.sum(0)
    return dy @ p["weight"]


def twice(backward):
    def run_forward(x, p):
        z, first = linear.forward(x, p)
        y, second = linear.forward(z, p)  # the same p again
        return y, (first, second)

    def run_backward(dy, cache, p, g):
        return backward(backward(dy, cache[1], p, g), cache[0], p, g)

    return Pair(run_forward, run_backward)


square = fresh(3, 3)
result = check(twice(linear.backward), {"x": rng.standard_normal((4, 3))}, square, name="twice, with +=")
print(f"{result.name}: right; backward and a measured gradient differ by at most {result.worst('central'):.0e} of their size")
try:
    check(twice(linear_backward_overwriting), {"x": rng.standard_normal((4, 3))}, square, name="twice, with =")
    raise SystemExit("the overwritten gradient was not noticed")
except GradientError as error:
    print(error)

# %% [markdown]
# BERT uses one weight twice on purpose: the table of word vectors is also the last matrix of the masked language model
# (lesson 10). So every backward in minibert adds, and setting `g` to zero is done once, before each step.

# %% [markdown]
# ## How `check` knows: measuring a gradient
#
# The **numerical gradient** (数值梯度) needs no theory. Move one number by a small step h, and see what the loss does.
# One may step to one side only, or to both sides, which is called the **central difference** (中心差分):
#
#     to one side       (f(x + h) − f(x)) / h               error about h
#     central           (f(x + h) − f(x − h)) / 2h          error about h²
#
# (Two steps to each side, h and 2h, weighed against each other, even bring it down to about h⁴. These *central differences from
# four points* are what the library's checker takes, and what it prints as `central`. Ours take two points.)

# %%
def f(x):
    return np.tanh(x) * x


def slope(x):
    return np.tanh(x) + x * (1 - np.tanh(x) ** 2)


rows = []
for h in (1e-1, 1e-2, 1e-3):
    one_sided = (f(1 + h) - f(1)) / h
    central = (f(1 + h) - f(1 - h)) / (2 * h)
    rows.append([f"{h:.0e}", abs(one_sided - slope(1)), abs(central - slope(1))])
wb.table(["step h", "error, one-sided", "error, central"], rows)
assert 8 < rows[0][1] / rows[1][1] < 12, "one-sided: ten times smaller steps, ten times less error"
assert 80 < rows[0][2] / rows[1][2] < 120, "central: ten times smaller steps, a hundred times less error"

# %% [markdown]
# A layer gives back many numbers, not one. So the checker draws a fixed random `u`, the upstream gradient, and looks at the one
# number Σ u·y. Here is a checker of our own, for one array. It moves every element, one after the other.

# %%
def measure(forward, x, u, h=1e-5):
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        found[i] = ((u * forward(up)).sum() - (u * forward(down)).sum()) / (2 * h)
    return found


x, u = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
y, cache = net_forward(x, net)
grads = {name: {k: np.zeros_like(v) for k, v in tensors.items()} for name, tensors in net.items()}
dx = net_backward(u, cache, net, grads)
measured = measure(lambda x: net_forward(x, net)[0], x, u)
error = np.linalg.norm(dx - measured) / np.linalg.norm(measured)
print(f"dx of the network by backward, and measured: they differ by {error:.1e} of their size")
assert error < 1e-8

# %% [markdown]
# ## A step without a subtraction
#
# The central difference subtracts two nearly equal numbers. The smaller h is, the more of their digits cancel.
# There is a way around it. Move x in the *imaginary* direction:
#
#     f(x + ih) = f(x) + ih·f′(x) − ½h²·f″(x) − …
#
# The derivative stands alone in the imaginary part. Nothing is subtracted, so h may be as small as 1e-30. This is the
# **complex step** (复数步长法) (*Squire and Trapp 1998*). It needs a function that NumPy can compute for complex numbers, without
# `abs`, `max` or anything else that looks at the real part only.

# %%
h = 1e-30
by_complex_step = f(1 + 1j * h).imag / h
print(f"f'(1) = {slope(1.0):.16f}\nfound   {by_complex_step:.16f}")
assert abs(by_complex_step - slope(1.0)) < 1e-15

# %% [markdown]
# ## One picture: the U-curve of the step size
#
# How good is each method at each step size? `gradcheck.ucurve` measures it, here for the network above.
# On the right the step is so large that the function bends. That error falls with h² (with h⁴ for four points), and the complex
# step has it too: look at the terms that its formula leaves out. On the left rounding takes over: the two values agree in all the
# digits a float64 has (about 16), and their difference is noise, divided by a tiny h. This the complex step does not have. The
# best step from two points should lie near ε^(1/3) = 6e-6, where both errors are equal. ε is the distance from 1 to the next
# float64.

# %%
steps = np.logspace(-20, -0.5, wb.choose(79, 40))
curve = gradcheck.ucurve(Pair(net_forward, net_backward), {"x": x}, net, steps=steps)
METHODS = {"two points": "central, 2 points", "central": "central, 4 points", "complex": "complex step"}  # its names: ours
best = {name: steps[np.argmin(curve[name])] for name in ("two points", "central")}
rows = [[METHODS[name], f"{step:.0e}", f"{curve[name].min():.0e}", f"{curve[name][0]:.0e}", f"{curve[name][-1]:.0e}"]
        for name, step in {**best, "complex": steps[0]}.items()]
rows[-1][1] = "any below 1e-8"
wb.table(["method", "best step", "error there", f"error at h = {steps[0]:.0e}", f"at h = {steps[-1]:.1f}"], rows)
eps = np.finfo(float).eps
assert 0.05 < best["two points"] / eps ** (1 / 3) < 20
assert curve["central"].min() < curve["two points"].min() < 1e-8
assert curve["complex"][steps < 1e-8].max() < 1e-13
assert curve["complex"][-1] > 1e-3, "a large step bends the complex step as well"
assert curve["two points"][steps < 1e-17].min() > 0.1, "far too small a step measures nothing at all"

# %%
picture = wb.figure(12, 6.2, "Large steps bend all three; small ones cancel, the complex step excepted")
axes = picture.subplots()
for (name, label), colour in zip(METHODS.items(), (wb.ORANGE, wb.GREEN, wb.BLUE)):
    axes.loglog(steps, np.maximum(curve[name], 1e-17), "o-", color=colour, markersize=4, label=label)
axes.axvline(eps ** (1 / 3), color=wb.GREY, linestyle="--", linewidth=1.6)
axes.text(eps ** (1 / 3) * 0.6, 1e-16, "$ε^{1/3}$", color=wb.GREY, ha="right")
axes.set(xlabel="step h", ylabel="relative error of the measured gradient", ylim=(3e-18, 1e3))
axes.legend(loc="lower left", bbox_to_anchor=(0.02, 0.2))
axes.grid(alpha=0.3)
wb.save(picture, "04_ucurve")

# %% [markdown]
# ## Gradient check
#
# A **gradient check** (梯度检验) compares a backward pass with the measured gradient. `gradcheck.check` does it by both methods,
# for every element of every input and parameter, in float64. It also asks whether backward adds to `g`, leaves the cache alone,
# and keeps float32 what came as float32.

# %%
for name, layer, inputs, params in (("linear", linear, {"x": rng.standard_normal((2, 4, 3))}, fresh(5, 3)),
                                    ("our tanh", Pair(tanh_forward, tanh_backward), {"x": x}, None),
                                    ("our network", Pair(net_forward, net_backward), {"x": x}, net)):
    result = check(layer, inputs, params, name=name)
    print(f"{name:12} central {result.worst('central'):.0e}   complex {result.worst('complex'):.0e}")
    assert result.worst("central") < 1e-7
    assert result.worst("complex") < 1e-12

# %% [markdown]
# **Why a random upstream gradient?** Take a layer whose outputs always sum to 1: y = x / Σx. With `u` all ones, Σ u·y is 1
# whatever x is. The true gradient is zero, and a backward that returns zeros passes. BERT has two layers with this habit
# (lessons 6 and 8).

# %%
def share(x):
    return x / x.sum(-1, keepdims=True)


positive = rng.uniform(1, 2, (2, 4))
ones, random = np.ones((2, 4)), rng.standard_normal((2, 4))
blind = np.abs(measure(share, positive, ones)).max()
seeing = np.abs(measure(share, positive, random)).max()
print(f"largest gradient of share(x): {blind:.1e} with ones upstream, {seeing:.2f} with random numbers")
assert blind < 1e-9
assert seeing > 0.01

# %% [markdown]
# ## Why a falling loss proves nothing
#
# "The loss goes down, so my gradients are right." Let us see. One network, one task, five backward passes; four of them are
# wrong:
#
# - *no bend*: tanh_backward passes `dy` on as if tanh were not there;
# - *no first bias*: the gradient of one bias is never computed;
# - *three times*: the gradient of one weight is three times too large;
# - *random way back*: the weight in `dx = dy·W` is replaced by a fixed random matrix. (That it can learn even so is a result
#   of its own: *Lillicrap et al. 2016*, "Random synaptic feedback weights support error backpropagation for deep learning".)
#
# Every run takes the same small steps against whatever its backward pass claims.

# %%
BACK = rng.standard_normal((2, 5))


def wrong_backward(kind):
    def backward(dy, cache, p, g):
        first, bend, second = cache
        da = linear.backward(dy, second, p["second"], g["second"])
        if kind == "random way back":
            da = dy @ BACK.astype(dy.dtype)
        dz = da if kind == "no bend" else tanh_backward(da, bend)
        ours = {"weight": np.zeros_like(p["first"]["weight"]), "bias": np.zeros_like(p["first"]["bias"])}
        dx = linear.backward(dz, first, p["first"], ours)
        g["first"]["weight"] += ours["weight"] * (3 if kind == "three times" else 1)
        g["first"]["bias"] += ours["bias"] * (0 if kind == "no first bias" else 1)
        return dx

    return backward


def train(backward, steps):
    p = {name: {k: v.copy() for k, v in tensors.items()} for name, tensors in net.items()}
    losses = []
    for _ in range(steps):
        y, cache = net_forward(INPUTS, p)
        losses.append(0.5 * ((y - TARGETS) ** 2).sum(-1).mean())
        g = {name: {k: np.zeros_like(v) for k, v in tensors.items()} for name, tensors in p.items()}
        backward((y - TARGETS) / len(y), cache, p, g)
        for name, tensors in p.items():
            for k in tensors:
                tensors[k] -= 0.05 * g[name][k]
    return np.array(losses)


# %%
INPUTS = rng.standard_normal((64, 3))
TARGETS = np.stack([np.sin(INPUTS[:, 0]) + INPUTS[:, 1], INPUTS[:, 1] * 0.5 - np.sin(INPUTS[:, 2])], axis=-1)
STEPS = wb.choose(1000, 300)
kinds = ["right", "no bend", "no first bias", "three times", "random way back"]
courses, rows = {}, []
for kind in kinds:
    courses[kind] = train(wrong_backward(kind), STEPS)
    try:
        result = check(Pair(net_forward, wrong_backward(kind)), {"x": x}, net, name=kind)
        verdict = "passes"
    except GradientError as error:
        result, verdict = error.result, "FAILS"
    first, last = courses[kind][0], courses[kind][-1]
    rows.append([kind, first, last, f"-{1 - last / first:.0%}", f"{result.worst('complex'):.0e}", verdict])
wb.table(["backward", "first loss", "last loss", "loss", "error of the gradient", "gradient check"], rows)

# %% [markdown]
# Each wrong gradient still points roughly downhill, and that is all a falling loss needs. Only the check tells them apart.
# (How well each one does in the end depends on the task and the luck of the start; at this size a wrong one may even end lower.)

# %%
for kind, (_, first, last, _, _, verdict) in zip(kinds, rows):
    assert last < 0.5 * first, f"{kind}: the loss should fall to less than half"
    assert verdict == ("passes" if kind == "right" else "FAILS")

picture = wb.figure(12, 5.6, "The loss falls with every backward pass; only the first one is right")
axes = picture.subplots()
for kind, style in zip(kinds, ("-", "--", "-.", ":", (0, (5, 1)))):
    axes.loglog(np.arange(1, STEPS + 1), courses[kind], linestyle=style,
                label=kind + (" (check passes)" if kind == "right" else " (check fails)"))
axes.set(xlabel="training step", ylabel="loss (mean of ½·squared error)")
axes.legend()
axes.grid(alpha=0.3, which="both")
wb.save(picture, "04_falling_loss")

# %% [markdown]
# ## One knob to turn
#
# The step size of the checker we wrote. At 1e-5 the error is about 1e-10. Expect about 1e-4 at 1e-2 (the function bends),
# between 1e-5 and 1e-4 at 1e-11 (digits cancel), and an error of 1 at 1e-17: then `x + h` is `x`, nothing moves, and the
# measured gradient is zero.

# %%
STEP = 1e-5  # <- the knob
error = np.linalg.norm(measure(lambda x: net_forward(x, net)[0], x, u, STEP) - dx) / np.linalg.norm(dx)
print(f"step {STEP:.0e}: the measured gradient differs from backward's by {error:.1e} of its size")

# %% [markdown]
# ## Exercises
#
# Five functions, printed by the last cell with two commands. The first puts them into a file of your own and says
#
#     answers.py has the exercises of lesson 4; fill them in, then: python -m lessons.check 4 answers.py
#
# The second names every exercise with *right*, *not answered*, or what is wrong, and ends with a line such as `2 of 5 right`.

# %% [markdown]
# ## When you are stuck
#
# - **"Shapes do not match in backward."** Write the shape beside every array. A gradient has the shape of its array. The axis
#   that appears in both factors and not in the result is the one you sum over.
# - **"The check says: a factor."** Look for a mean that became a sum, a forgotten ½, or a square whose 2 is missing.
# - **"The check says: a transposed matrix."** `dy.T @ x`, not `x.T @ dy`: the weight is stored (out, in).
# - **"The bias is wrong, the rest is right."** Its gradient is a sum over *all* other axes, batch and tokens too.
# - **"backward does not add to the gradient."** You wrote `=` where `+=` belongs.
# - **"The complex step is impossible."** Your forward uses `abs`, `max`, `.real`, `float()` or a buffer made with a fixed dtype.
# - **"Central differences give 1e-3."** Is the array float32? Its ε is 1e-7, and 1e-7 / h is large. Check in float64.
# - **"Both sides are zero."** Then the upstream gradient hides it: use random numbers instead of ones.

# %%
wb.exercises(4)
