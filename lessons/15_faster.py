# %% [markdown]
# # 15. Faster without changing a line of maths
#
# **You will do** cut a batch into pieces and get the same gradient, see which work two threads can share, count every byte that a
# layer moves, and read a kernel that moves a fifth of them.
#
# **You will learn** what micro-batches, threads, recomputation, another backend and a fused kernel change (time and memory), and
# what they leave as it was (every number).
#
# **You need** lesson 4 (gradients are added), lesson 6 (layer norm), lesson 7 (GELU), lesson 9 (the block), lesson 12 (a step).
# Time: about 50 minutes to read; runs in about 30 s.

# %%
import re
import sys
import threading
import time
import tracemalloc
from math import erf, sqrt
from types import SimpleNamespace

import numpy as np
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert import backend, memory
from minibert.data import python_docs
from minibert.kernels import cuda
from minibert.layers import add_norm, bias_gelu, cross_entropy, linear
from minibert.model import encoder, pretraining
from minibert.model.blocks import post_ln as block
from minibert.model.pretraining import inputs
from minibert.model.recompute import recompute
from minibert.parameters import Parameters
from minibert.tasks.batches import Position, Stream, collate, micro_batches
from minibert.training import profile
from minibert.training.engine import Engine
from minibert.workers import Workers, available_cores, describe_blas, share_out

bert = minibert.load(device="cpu")
config, tokenizer = bert.config, bert.tokenizer
L, H, A, I, V = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size,
                 config.vocab_size)
print(f"{available_cores()} cores, {describe_blas()}, Python {sys.version.split()[0]}, NumPy {np.__version__}")


# %% [markdown]
# ## The question
#
# A training step is a fixed piece of arithmetic. Lesson 12 said what it computes. It did not say in which pieces, in which order,
# by how many cores, or where the numbers lie meanwhile. How much faster can it get if only that is changed?
#
# One rule for this lesson: **times are shown, never asserted**. They are those of this machine in this minute, and you will see
# others. Counts and equalities are asserted: they hold on every machine.
#
# ## Toy numbers: five words, two pieces
#
# Five hidden words of a batch, and the surprise at each. The loss is their mean (lesson 10). Now the batch is cut in two, and the
# pieces have 3 and 2 words.

# %%
surprise = np.array([2.0, 4.0, 3.0, 9.0, 7.0])
pieces = [surprise[:3], surprise[3:]]
whole = surprise.mean()
mean_of_means = np.mean([piece.mean() for piece in pieces])
sum_over_count = sum(piece.sum() / len(surprise) for piece in pieces)
print(f"whole: {whole:g}   mean of the pieces' means: {mean_of_means:g}   sums over the whole count: {sum_over_count:g}")
assert mean_of_means != whole, "pieces of different sizes must not count alike"
assert np.isclose(sum_over_count, whole), "dividing by the whole count is right for any cut"

# %% [markdown]
# A piece that goes through the model by itself is a **micro-batch** (微批). The mistake above is a common one. It changes the
# loss by little, no program complains, and words in small pieces count more than others.
#
# ## The equation
#
# $$\text{loss} = \frac1N\sum_{n=1}^{N}\ell_n = \sum_{\text{pieces }k}\;\frac1N\sum_{n\in k}\ell_n
# \qquad\Rightarrow\qquad
# \frac{\partial\,\text{loss}}{\partial W} = \sum_k \frac{\partial}{\partial W}\Big(\frac1N\sum_{n\in k}\ell_n\Big)$$
#
# A derivative of a sum is the sum of derivatives. So each piece adds its gradient to the same array (`+=`, lesson 4). All that a
# piece must know of the others is N, the number of hidden words of the whole step. It is known before the first forward pass.
#
# Seven examples from the text that lesson 2 used, in float64, so that rounding does not blur the comparison.

# %%
text = [[tokenizer.ids(s) for s in document] for document in python_docs.documents()[:wb.choose(60, 12)]]
stream = Stream(text, tokenizer, max_length=64, batch_size=wb.choose(64, 32), seed=15)
examples, _ = stream.batch(Position())
seven = examples[:7]
exact = bert.parameters.astype(np.float64)
N, pairs = sum(len(e.labels) for e in seven), len(seven)
print(f"{len(seven)} examples of {[len(e.ids) for e in seven]} tokens; N = {N} hidden words, {pairs} pairs")

# %% [markdown]
# ## The plain-loop version: one example at a time


# %%
def one_by_one(examples, parameters, counts):
    """Loss and gradient of a step, each example alone: no padding, no batch."""
    g, loss = parameters.zeros_like(), 0.0
    for example in examples:
        out, cache = pretraining.forward(inputs(collate([example]), np), parameters.tree, config, counts=counts)
        pretraining.backward(pretraining.Output(loss=1.0), cache, parameters.tree, g.tree)  # adds to g
        loss += float(out.loss)
    return loss, g.flat


loss_alone, g_alone = one_by_one(seven, exact, (N, pairs))
print(f"loss {loss_alone:.12f}, norm of the gradient {np.linalg.norm(g_alone):.12f}")

# %% [markdown]
# ## Vectorised, and the library's own
#
# Vectorised means: all examples side by side in one array (B, T), padded to the longest. The library's `Engine.accumulate`
# takes any list of micro-batches. We hand it the seven examples in 1, 2 and 7 pieces.

# %%
CUTS = {1: [seven], 2: [seven[:4], seven[4:]], 7: [[example] for example in seven]}
results = {}
with Workers(1) as workers:
    for count, cut in CUTS.items():
        engine = Engine(pretraining.of(config), exact, workers)
        metrics = engine.accumulate([collate(piece) for piece in cut])
        results[count] = metrics.loss, engine.gradients[0].flat.copy()


def difference(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


wb.table(["micro-batches", "loss", "loss - loss of the loop", "gradient: relative difference"],
         [[count, f"{loss:.10f}", f"{loss - loss_alone:.1e}", f"{difference(g, g_alone):.1e}"]
          for count, (loss, g) in results.items()])
for count, (loss, g) in results.items():
    assert abs(loss - loss_alone) < 1e-12 * loss_alone, f"{count} micro-batches: the same loss"
    assert difference(g, g_alone) < 1e-12, f"{count} micro-batches: the same gradient of all {len(exact):,} parameters"

# %% [markdown]
# Equal to the last digits, for 1, 2 and 7. "Equal" has two limits. In float32 the sums run in another order and differ in the
# seventh digit. And dropout draws its mask for each micro-batch, so with dropout another cut means another (equally good) draw.
#
# ## Gradient check
#
# The claim was: a loss in pieces has the gradient of the whole. Here it stands as one pair, a linear layer and a cross-entropy
# over seven rows, computed in pieces of 3 and 4.

# %%
labels = np.array([1, 0, 3, cross_entropy.IGNORE, 2, 2, 0])


def cut_forward(x, p):
    loss, caches = 0.0, []
    for rows in (slice(0, 3), slice(3, 7)):
        logits, first = linear.forward(x[rows], p)
        part, second = cross_entropy.forward(logits, labels[rows], count=6)  # six of the seven count: of the whole
        loss, caches = loss + part, [*caches, (first, second)]
    return loss, caches


def cut_backward(dloss, caches, p, g):
    return np.concatenate([linear.backward(cross_entropy.backward(dloss, second), first, p, g) for first, second in caches])


rng = np.random.default_rng(15)
result = check(Pair(cut_forward, cut_backward), {"x": rng.standard_normal((7, 5))},
               {"weight": rng.standard_normal((4, 5)), "bias": rng.standard_normal(4)}, name="two micro-batches")
print(f"in two pieces: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
assert result.ok

# %% [markdown]
# ## Threads
#
# A **thread** (线程) is a line of execution within a process. A machine with two cores can run two at once. But Python has the
# **interpreter lock** (全局解释器锁): only the thread that holds it runs Python. By default the holder lends it out every 5 ms
# (*Python documentation, `sys.setswitchinterval`*). So two threads of plain Python take turns, and gain nothing.
#
# NumPy lets go of the lock while it computes on an array. We can watch that. Lending is switched off for a moment. A second
# thread waits for a sign, then writes its name. The first gives the sign, works, and writes its name. Who is first in the list?

# %%
def who_writes_first(work):
    sign, names = threading.Event(), []

    def other():
        sign.wait()
        names.append("other")

    interval, thread = sys.getswitchinterval(), threading.Thread(target=other)
    thread.start()
    time.sleep(0.05)  # it now waits for the sign
    sys.setswitchinterval(1000)
    try:
        sign.set()
        work(names)
        names.append("main")
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    return names


# %%
big = np.ones(1_000_000)


def plain_python(names):
    return sum(i * i for i in range(1_000_000))


def numpy_work(names):
    for _ in range(2000):  # until the other had its turn: many repetitions only where the machine is very busy
        np.tanh(big)
        if names:
            break


order = {"plain Python": who_writes_first(plain_python), "NumPy": who_writes_first(numpy_work)}
for name, names in order.items():
    print(f"{name:13} main works, other waits: {' before '.join(names)}")
if getattr(sys, "_is_gil_enabled", lambda: True)():  # there are builds of Python without the lock
    assert order["plain Python"] == ["main", "other"], "plain Python keeps the lock to its end"
assert order["NumPy"] == ["other", "main"], "NumPy lets the other thread run while it computes"

# %% [markdown]
# So a step is spread over cores like this: each thread has micro-batches of its own and gradients of its own, and calls NumPy
# nearly all the time. At the end the gradients are summed, in a fixed order. No operation had to be split, and no layer knows of
# it. Who gets which micro-batch? Heaviest first, each to the thread with the least so far. By hand, for weights 9, 7, 6, 5, 4:
#
# 9 → first (9), 7 → second (7), 6 → second (13), 5 → first (14), 4 → second (17).

# %%
shares = share_out("abcde", [9, 7, 6, 5, 4], 2)
print(shares)
assert shares == [["a", "d"], ["b", "c", "e"]], "as by hand"


def a_step(workers, batches):
    """Gradients and seconds of one step, from the same start. The second of two runs counts: the first warms up."""
    engine = Engine(pretraining.of(config), bert.parameters, workers)
    for _ in range(2):
        for slab in engine.gradients:
            slab.flat.fill(0)
        began = time.perf_counter()
        engine.accumulate(batches)
        took = time.perf_counter() - began
    return sum(slab.flat for slab in engine.gradients), took


# %%
batches = micro_batches(examples, 512)
rows, gradients = [], []
for count in (1, 2, 2):
    with Workers(count) as workers:
        g, took = a_step(workers, batches)
        gradients.append(g)
        rows.append([str(workers), len(batches), 1e3 * took, f"{difference(g, gradients[0]):.0e}"])
wb.table(["workers", "micro-batches", "ms (not asserted)", "gradient, against one worker"], rows)
assert difference(gradients[1], gradients[0]) < 1e-5, "another number of threads: the same gradient but for rounding"
assert np.array_equal(gradients[1], gradients[2]), "the same number of threads: the same gradient, bit for bit"

# %% [markdown]
# Each worker's matrix products run in one thread. BLAS, the library behind `@`, has threads of its own, and would fight with ours
# for the same cores: `Workers` limits it while it is open. Do two workers gain anything in your table? They do where two cores
# are free, and hardly where other programs use them.
#
# ## Memory
#
# What does a step keep? Weights, gradients and Adam's two moments: four numbers for each parameter, whatever the batch. And
# the caches of lesson 4, which grow with the tokens in flight. Let us count them: walk through a cache, find every array, count
# each one once.

# %%
def bytes_kept(cache, parameters):
    """Bytes of all arrays in a tree of caches; views count with the array they look into, parameters not at all."""
    found, todo = {}, [cache]
    while todo:
        item = todo.pop()
        if isinstance(item, np.ndarray):
            while isinstance(item.base, np.ndarray):
                item = item.base
            found[id(item)] = item.nbytes
        elif isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, (list, tuple)):
            todo.extend(item)
    found.pop(id(parameters.flat), None)
    return sum(found.values())


# %%
p = bert.parameters
full = collate([e for e in examples if len(e.ids) == 64][:8])  # eight examples of full length: nothing is padded
x = inputs(full, np)._replace(attention_mask=None)
out, cache = pretraining.forward(x, p.tree, config)
measured = bytes_kept((out.logits, cache.bert, cache.mlm, cache.mlm_loss), p)
predicted = memory.activations(config, 8, 64, len(full.positions))
wb.table(["one layer keeps", "kB"], [[part.name, part.bytes / 1e3] for part in memory.layer_activations(config, 8, 64)])
print(f"caches and logits: measured {measured:,} bytes, by the formulas of minibert.memory {predicted:,}")
assert abs(measured / predicted - 1) < 0.05, "the formulas are those of the real caches"

# %% [markdown]
# Now the point of micro-batches. The highest memory of a step, watched by Python's `tracemalloc`, while the batch grows.

# %%
def highest(batches):
    """The most bytes that a step has in use at once, beyond what was there before."""
    with Workers(1) as workers:
        engine = Engine(pretraining.of(config), p, workers)
        engine.accumulate(batches[:1])
        tracemalloc.start()
        engine.accumulate(batches)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


SIZES = wb.choose((8, 16, 32, 64), (8, 16, 32))
long = sorted(examples, key=lambda e: -len(e.ids))
at_once = [highest([collate(long[:B])]) for B in SIZES]
cut = [highest(micro_batches(long[:B], 512)) for B in SIZES]
wb.table(["examples", "at once, MB", "in micro-batches of 512 tokens, MB"],
         [[B, a / 1e6, c / 1e6] for B, a, c in zip(SIZES, at_once, cut)])
assert at_once[-1] > 0.7 * SIZES[-1] / SIZES[0] * at_once[0], "at once: so many times the examples, so many times the memory"
assert max(cut) < 1.15 * min(cut), "in micro-batches: the activations do not grow with the batch"

# %% [markdown]
# A batch of any size fits, then. There is one more way. **Recomputation** (重计算) keeps only what goes into a block, throws
# away its caches, and runs its forward again when backward asks for them (*Chen et al. 2016, "Training Deep Nets with Sublinear
# Memory Cost"*). Less memory, one more forward pass. The library's `recompute` turns any pair into such a pair, and
# `minibert train --recompute` every layer of a model.

# %%
calls = []
counting = SimpleNamespace(forward=lambda *a, **o: calls.append("forward") or block.forward(*a, **o), backward=block.backward)


def gradient_with(kind):
    g = p.zeros_like()
    layers = [(kind, p, g) for _, p, g in encoder.stack(p["bert"]["encoder"], g["bert"]["encoder"], config)]
    calls.clear()
    _, cache = pretraining.forward(x, p.tree, config, layers=layers)
    kept = bytes_kept(cache.bert.encoder.blocks, p)
    pretraining.backward(pretraining.Output(loss=1.0), cache, p.tree, g.tree)
    return g.flat, kept, len(calls)


usual, kept_usual, forwards_usual = gradient_with(counting)
again, kept_again, forwards_again = gradient_with(recompute(counting))
wb.table(["", "blocks keep, kB", "forward passes of a block"],
         [["usual", kept_usual / 1e3, forwards_usual], ["recompute", kept_again / 1e3, forwards_again]])
assert np.array_equal(usual, again), "the same gradient, bit for bit: nothing random stands in the way"
assert kept_again < 0.2 * kept_usual, "a fraction of the memory"
assert (forwards_usual, forwards_again) == (L, 2 * L), "paid for with one more forward pass of each block"

# %%
small = config.replace(hidden_size=6, intermediate_size=8)
shapes = {"attention": {"self": dict.fromkeys(("query", "key", "value"), (6, 6)), "output": {"dense": (6, 6), "LayerNorm": (6,)}},
          "intermediate": {"dense": (8, 6)}, "output": {"dense": (6, 8), "LayerNorm": (6,)}}


def random_tree(node):
    if isinstance(node, dict):
        return {key: random_tree(value) for key, value in node.items()}
    return {"weight": rng.standard_normal(node), "bias": rng.standard_normal(node[0])}


once_more = recompute(block)
pair = Pair(lambda x, p: once_more.forward(x, p, small), lambda dy, cache, p, g: once_more.backward(dy[0], cache, p, g, dy[1]).dx)
result = check(pair, {"x": rng.standard_normal((2, 3, 6))}, random_tree(shapes), name="recompute(block)", directions=3,
               zero={"attention.self.key.bias": "attention.self.query.bias"})
print(f"recomputed block: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
assert result.ok

# %% [markdown]
# ## The backend switch
#
# No layer of the library says `np.exp`. It asks `get_xp(x)` which module an array belongs to, and calls that module's `exp`. Such
# a module, with its arrays, is a **backend** (后端). The data decides: give a layer NumPy arrays and it computes on the CPU, give
# it CuPy arrays and it computes on an NVIDIA GPU. There is no switch to forget.
#
# That works for *any* module with NumPy's names. So here is one of our own. Its arrays hold NumPy arrays, and write down
# what each operation reads and writes. (The project's tests have a stricter stand-in for a GPU, in `tests/device.py`: it refuses
# everything that a GPU array refuses.)

# %%
READ_ONLY_WHAT_THEY_RETURN = ("take", "getitem")
tally, waits = {}, []


def note(name, read, result, written=None):
    """Adds the bytes of one operation to the tally. A view moves nothing."""
    arrays = {id(a): a for a in map(bare, read) if isinstance(a, np.ndarray)}
    made = result if written is None else written
    if not isinstance(made, np.ndarray):
        return
    if written is None and any(np.may_share_memory(made, a) for a in arrays.values()):
        return
    reads = made.nbytes if name in READ_ONLY_WHAT_THEY_RETURN else sum(a.nbytes for a in arrays.values())
    product = name == "matmul" and all(a.ndim > 1 for a in arrays.values())  # and not the sum of a row
    operations = 2 * made.size * bare(read[0]).shape[-1] if product else max(a.size for a in [made, *arrays.values()])
    kind = tally.setdefault("products" if product else "the rest", [0, 0])
    kind[0] += reads + made.nbytes
    kind[1] += operations


def bare(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(bare, value))
    return value.host if isinstance(value, Counted) else value


def dressed(value):
    return Counted(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value


# %% [markdown]
# The array itself hands every method on. Looking at a value (`float`, `int`, `if`) is noted as well: on a GPU the program then
# has to wait for the device.

# %%
def watched(function, name, *owner):
    def call(*args, **options):
        out = bare(options.get("out"))
        result = function(*map(bare, args), **{key: bare(value) for key, value in options.items()})
        if name in ("flatnonzero", "tolist", "item"):
            waits.append(name)
        note(name, [*owner, *args], result, out)
        return dressed(result)

    return call


class Counted:
    __array_ufunc__ = None  # NumPy's own arrays then leave operators to us

    def __init__(self, host):
        self.host = host

    def __getattr__(self, name):
        value = getattr(self.host, name)
        return watched(value, name, self) if callable(value) else dressed(value)

    def __getitem__(self, key):
        return watched(lambda x: x[bare(key)], "getitem")(self)

    def __setitem__(self, key, value):
        self.host[bare(key)] = bare(value)
        note("setitem", [value], None, self.host[bare(key)])

    def __len__(self):
        return len(self.host)


# %%
def operator(name):
    def call(self, *other):
        result = getattr(self.host, f"__{name}__")(*map(bare, other))
        note(name, [self, *other], result, self.host if name[0] == "i" and name != "invert" else None)
        return self if result is self.host else dressed(result)

    return call


def look(name):
    def call(self):
        waits.append(name)
        return getattr(self.host, f"__{name}__")()

    return call


for name in ("add", "sub", "mul", "truediv", "pow", "matmul", "eq", "ne", "lt", "gt", "ge", "neg", "invert", "radd", "rsub",
             "rmul", "rtruediv", "iadd", "isub", "imul", "itruediv"):
    setattr(Counted, f"__{name}__", operator(name))
for name in ("float", "int", "bool"):
    setattr(Counted, f"__{name}__", look(name))


class Names:
    """NumPy's names over counted arrays."""

    def __getattr__(self, name):
        value = getattr(np, name)
        if isinstance(value, type) or not callable(value):
            return value  # float32, pi
        call = watched(value, name)
        call.reduceat = watched(value.reduceat, "reduceat") if isinstance(value, np.ufunc) else None
        return call


backend.register(Counted, Names())

# %% [markdown]
# Now the whole model, forward and backward, on arrays that it has never heard of. Not a line of it was changed.

# %%
def counted_step(x):
    """Loss and gradient on counted arrays; the tally is that of the forward and backward pass."""
    on_device = Parameters(p.layout, Counted(p.flat))
    g = Parameters(p.layout, Counted(np.zeros_like(p.flat)))
    moved = pretraining.Inputs(*[None if a is None else Counted(a) for a in x])
    tally.clear()
    waits.clear()
    out, cache = pretraining.forward(moved, on_device.tree, config, counts=(len(full.positions), len(full.ids)))
    pretraining.backward(pretraining.Output(loss=1.0), cache, on_device.tree, g.tree)
    return out.loss.host, g.flat.host, {kind: tuple(sums) for kind, sums in tally.items()}, list(waits)


loss, g, moved, waited = counted_step(x)
reference, _ = pretraining.forward(x, p.tree, config)
print(f"loss on the new backend {loss:.6f}, on NumPy {reference.loss:.6f}")
print(f"values looked at: {len(waited)} ({', '.join(sorted(set(waited)))})")
assert loss == reference.loss, "the same bits"
assert np.array_equal(g, usual), "and the same gradient"
assert set(waited) <= {"flatnonzero"}, "no float, no int, no if: nothing but the lookup's backward looks at a value"

# %% [markdown]
# What does a GPU change, then? No formula. But four habits:
#
# - **Where arrays live.** A GPU has a memory of its own. Parameters go there once (`minibert.backend.choose`, `Parameters.to`),
#   batches as they come, and losses come back when somebody prints them.
# - **The size of a micro-batch.** A core works best on what fits its cache, 512 tokens, or more where the model is narrow. A GPU
#   has thousands of arithmetic units and needs many thousands of tokens at a time: `--micro-batch-tokens`.
# - **Waiting.** The program only queues work for the device and goes on. Every look at a value stops it until the queue is empty.
#   That is why we counted them. The one that is left, `flatnonzero` in the lookup's backward, is gone on a GPU: a kernel of our
#   own takes its place.
# - **Narrow numbers.** float16 and bfloat16 halve what has to be moved: `--precision`.
#
# **No GPU figure stands in this lesson: nothing has been measured on one here.** Whoever has one can run
# `python -m benchmarks.gpu`. Without one, its answer is the line that says what is missing.
#
# ## The roofline
#
# The new backend has counted two things. How many operations a step takes, and how many bytes it moves in and out of memory, the
# **memory traffic** (访存量). The first can be checked by hand. A product (n, k)·(k, m) takes 2·n·k·m operations, and its
# backward is two products of the same size (lesson 4).

# %%
B, T = full.ids.shape
tokens, M = B * T, len(full.positions)
layer = tokens * (4 * H * H + 2 * H * I) + 2 * B * T * T * H  # query, key, value, output; feed-forward; scores and context
heads = M * (H * H + H * V) + B * (H * H + 2 * H)  # the masked words' transform and decoder; pooler and next sentence
by_hand = 3 * 2 * (L * layer + heads)
print(f"operations in matrix products: counted {moved['products'][1]:,}, by hand {by_hand:,}")
wb.table(["", "operations, millions", "bytes moved, millions", "operations a byte"],
         [[kind, o / 1e6, b / 1e6, o / b] for kind, (b, o) in moved.items()])
assert moved["products"][1] == by_hand, "to the last operation"
assert moved["products"][1] > 0.9 * sum(o for _, o in moved.values()), "nearly all operations are in products"
assert moved["the rest"][0] > moved["products"][0], "but most of the bytes are moved by the rest"

# %% [markdown]
# Operations per byte are the **arithmetic intensity** (算术强度). A machine has two limits: operations a second, and bytes a
# second. What takes few operations a byte waits for memory, however fast the arithmetic is. Drawn against the intensity, the
# limit is a slope and then a ceiling: the **roofline** (屋顶线模型), *Williams et al. 2009, "Roofline"*.
#
# $$\text{operations per second} \le \min(\text{peak},\ \text{intensity} \times \text{bandwidth})$$
#
# The peak is the best that a matrix product reaches here, on one core. The bandwidth is that of copying a large array.

# %%
ROUNDS = wb.choose(9, 3)


def best(function, rounds=ROUNDS):
    """Seconds of the fastest of some rounds: what the machine can do when nobody disturbs it."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


size = wb.choose(1024, 256)
square = rng.standard_normal((size, size)).astype(np.float32)
source, target = np.ones(wb.choose(2**24, 2**20), np.float32), np.empty(wb.choose(2**24, 2**20), np.float32)
with Workers(1):
    peak = 2 * size**3 / best(lambda: square @ square)
    bandwidth = 2 * source.nbytes / best(lambda: np.copyto(target, source))
print(f"peak {peak / 1e9:.1f} thousand million operations a second, bandwidth {bandwidth / 1e9:.1f} GB/s, on one core")
print(f"the slope meets the ceiling at {peak / bandwidth:.1f} operations a byte")

# %% [markdown]
# How far is a whole step from the time that its products alone would take at that peak? And where does the rest go? The
# library's `profile` puts a clock around every forward and backward. (`python -m minibert train --profile` prints the same
# tables for a training run.)

# %%
step_batches = micro_batches(sorted(examples, key=lambda e: -len(e.ids))[:16], 512)
with Workers(1) as workers:
    engine = Engine(pretraining.of(config), p, workers)
    seconds = best(lambda: engine.accumulate(step_batches))
    watch = profile.Profile()
    with watch.watching():
        engine.accumulate(step_batches)
share = sum(batch.ids.size for batch in step_batches) / tokens
floor = share * by_hand / peak
print(f"forward and backward of 16 examples: {1e3 * seconds:.1f} ms; its products alone, at the peak: about {1e3 * floor:.1f} ms")
for line in profile.lines(watch, 1):
    print(f"    {line.name:16} {1e3 * line.seconds:7.2f} ms  {line.share:6.1%}")
kinds = {line.name for line in profile.lines(watch, 1)}
assert {"matrix products", "attention", "normalisation", "activation", "lookups", "loss"} <= kinds, "every kind of work is seen"

# %% [markdown]
# Look at the two: products are nearly all of the operations, but only a part of the time. The rest is few operations and much
# traffic. That is where a GPU, whose arithmetic is even further ahead of its memory, would lose its time. So that is what the
# library has kernels for.
#
# ## A fused kernel beside the readable function
#
# Add & norm closes each half of a block: y = layernorm(residual + x). In NumPy each line of it is a pass over memory: read an
# array, write an array. How many passes? The counting backend knows.

# %%
def passes(function, *arrays, **options):
    """Bytes moved by a readable pair's forward and backward, in units of one array (N, H)."""
    params = {"weight": Counted(np.ones(H, np.float32)), "bias": Counted(np.zeros(H, np.float32))}
    g = {key: Counted(np.zeros(H, np.float32)) for key in params}
    result = []
    tally.clear()
    _, cache = function.forward(*map(Counted, arrays), params, **options)
    result.append(sum(b for b, _ in tally.values()) / arrays[0].nbytes)
    tally.clear()
    function.backward(Counted(arrays[0]), cache, params, g)
    return *result, sum(b for b, _ in tally.values()) / arrays[0].nbytes


a, b = (rng.standard_normal((wb.choose(4096, 512), H)).astype(np.float32) for _ in range(2))
readable = {"add_norm": passes(add_norm, a, b), "bias_gelu": passes(bias_gelu, a)}
print({name: tuple(round(n, 1) for n in counts) for name, counts in readable.items()})

# %% [markdown]
# A program for a GPU is called a **kernel** (核函数): one function that thousands of threads run at once, each on its own
# numbers. To do several operations in one kernel, so that what lies between them never leaves the registers, is **fusion**
# (算子融合). Here is the library's for bias & GELU. A thread has a few columns c and walks down the rows n. `load` reads,
# `store` writes, u is in registers.

# %%
def kernel(name, function):
    """The text of one function of ``minibert/kernels/NAME.cu``."""
    text = cuda.source(name)
    start = text.index(f" {function}(")
    start = text.rindex("\n", 0, start) + 1
    return text[start:text.index("\n}\n", start) + 2]


print(kernel("bias_gelu", "bias_gelu_forward"))

# %% [markdown]
# In plain Python, what one such thread does with its column. `erf` is that of lesson 7.

# %%
def one_thread(x, bias, y, c):
    own_bias = bias[c]  # read once, kept
    for n in range(len(x)):
        u = x[n, c] + own_bias  # the only read
        y[n, c] = u * 0.5 * (1 + erf(u / sqrt(2)))  # the only write


small_x, small_bias = rng.standard_normal((5, 4)), rng.standard_normal(4)
y = np.empty_like(small_x)
for c in range(4):  # on a GPU all at once
    one_thread(small_x, small_bias, y, c)
expected, _ = bias_gelu.forward(small_x, {"bias": small_bias})
print(f"largest difference from the readable function: {np.abs(y - expected).max():.0e}")
assert np.abs(y - expected).max() < 1e-14, "the same function"

# %% [markdown]
# Its traffic can be read off its text: every array of N rows that is loaded or stored appears as `name + n * columns` (or `row`).


# %%
def rows_touched(text):
    return re.findall(r"(\w+) \+ (?:n|row) \* columns", text)


touched = {"bias_gelu": (rows_touched(kernel("bias_gelu", "bias_gelu_forward")),
                         rows_touched(kernel("bias_gelu", "bias_gelu_backward"))),
           "add_norm": (rows_touched(kernel("add_norm", "read_z")) + rows_touched(kernel("add_norm", "add_norm_forward")), None)}
for name, (forward, backward) in touched.items():
    print(f"{name}: forward touches {forward}" + (f", backward {backward}" if backward else ""))
assert [len(names) for names in touched["bias_gelu"]] == [2, 3], "x, y; then x, dy, du: each once"
assert sorted(touched["add_norm"][0]) == ["residual", "x", "y"], "two reads and a write: no kernel can do with less"
wb.table(["forward", "passes over memory: readable", "kernel", "times fewer"],
         [[name, float(readable[name][0]), len(touched[name][0]), float(readable[name][0] / len(touched[name][0]))]
          for name in touched])
assert all(readable[name][0] > 4 * len(touched[name][0]) for name in touched), "a fused kernel moves less than a quarter"

# %% [markdown]
# The same mathematics, the same numbers, less than a quarter of the traffic. Why then is the readable function there at all, and
# why is it what runs on a CPU? Because it can be read and checked; because NumPy has no way to fuse; and because a CPU has large
# caches. A micro-batch is kept so small that its arrays stay there, and most of those passes never reach memory. The kernels are
# tested against the readable functions, never the other way round (`minibert/kernels/__init__.py`). These are the functions they
# must agree with, and their gradients:

# %%
for pair, arrays in ((bias_gelu, ("x",)), (add_norm, ("x", "residual"))):
    result = check(pair, {name: rng.standard_normal((2, 3, 5)) for name in arrays},
                   {name: rng.standard_normal(5) for name in (("bias",) if pair is bias_gelu else ("weight", "bias"))})
    print(f"{result.name}: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
    assert result.ok

# %% [markdown]
# ## One picture
#
# Four operations of a block on the roofline of this machine: their intensity is counted, their speed measured.

# %%
def point(function):
    """Operations per byte (counted) and operations per second (measured) of function(array maker)."""
    tally.clear()
    function(Counted)
    moved, operations = (sum(column) for column in zip(*tally.values()))
    with Workers(1):
        return operations / moved, operations / best(lambda: function(lambda x: x))


x1, x2, up = a, b, rng.standard_normal((len(a), I)).astype(np.float32)
w = {"weight": rng.standard_normal((I, H)).astype(np.float32), "bias": np.zeros(I, np.float32)}
norm = {"weight": np.ones(H, np.float32), "bias": np.zeros(H, np.float32)}
points = {
    "linear, H → I": point(lambda on: linear.forward(on(x1), {key: on(value) for key, value in w.items()})),
    "bias & GELU": point(lambda on: bias_gelu.forward(on(up), {"bias": on(w["bias"])})),
    "add & norm": point(lambda on: add_norm.forward(on(x1), on(x2), {key: on(value) for key, value in norm.items()})),
    "residual sum": point(lambda on: on(x1) + on(x2)),
}
wb.table(["", "operations a byte", "thousand millions a second"], [[name, i, s / 1e9] for name, (i, s) in points.items()])
assert points["linear, H → I"][0] > 50 * points["add & norm"][0], "a product does far more with what it reads"

# %%
picture = wb.figure(14, 6, "A product does far more with each byte than anything else")
left, right = picture.subplots(1, 2, width_ratios=[1.5, 1])
intensity = np.logspace(-1.6, 2.2, 100)
left.loglog(intensity, np.minimum(peak, intensity * bandwidth) / 1e9, color=wb.GREY)
for (name, (i, s)), colour in zip(points.items(), (wb.BLUE, wb.ORANGE, wb.GREEN, wb.PINK)):
    left.plot(i, s / 1e9, "o", color=colour, markersize=12, label=name)
left.set(xlabel="operations per byte (counted)", ylabel="thousand million operations per second",
         title="The roofline of one core of this machine")
left.legend(frameon=False, loc="upper left")
for shift, counts, colour, label in ((-0.2, [readable[name][0] for name in touched], wb.ORANGE, "readable"),
                                     (0.2, [len(touched[name][0]) for name in touched], wb.BLUE, "fused kernel")):
    bars = right.bar(np.arange(len(counts)) + shift, counts, 0.38, color=colour, label=label)
    right.bar_label(bars, [f"{count:.0f}" for count in counts])
right.set_xticks(range(len(touched)), [name.replace("_", " & ") for name in touched])
right.set(ylabel="passes over an array of N rows", title="Traffic of a forward pass")
right.legend(frameon=False)
wb.save(picture, "15_roofline")

# %% [markdown]
# A point above the slope is no error: its arrays lay in the cache, whose bandwidth is larger than that of memory.
#
# ## One knob to turn
#
# How many tokens does a micro-batch have? Below 64, one example at a time: many small calls, and Python's own time counts. At
# 4096 everything is in one piece: the memory grows, and the arrays fall out of the cache. What should never change is the loss.

# %%
MICRO_BATCH_TOKENS = 512  # <- the knob

# %%
with Workers(1) as workers:
    engine, rows = Engine(pretraining.of(config), p, workers), []
    for limit in sorted({64, 512, 4096, MICRO_BATCH_TOKENS}):
        parts = micro_batches(examples, limit)
        loss = engine.accumulate(parts).loss
        rows.append([limit, len(parts), f"{loss:.5f}", 1e3 * best(lambda parts=parts: engine.accumulate(parts), 3)])
wb.table(["tokens", "micro-batches", "loss", "ms (not asserted)"], rows)
assert rows[0][1] > rows[-1][1], "other pieces"
assert np.ptp([float(row[2]) for row in rows]) < 1e-4, "and always the same loss"

# %% [markdown]
# ## Exercises
#
# Four functions and a number. They ask for the mean of a batch from its pieces, the load of workers, the traffic of a softmax,
# a list of blocks with few caches, and a batch that fits a GPU's memory. The command prints a line for each, such as
# `1. combine: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **The loss changes with the micro-batch size.** The mean was taken in each piece. Divide by the count of the whole step.
# - **The gradient is that of the last piece only.** It was overwritten, not added (lesson 4), or zeroed between the pieces.
# - **Two threads are no faster.** Other programs use the cores, or each matrix product has threads of its own. The work in
#   plain Python is too large a part when arrays are small.
# - **The same seed, another last digit.** Another number of threads sums in another order. The same number gives the same bits.
# - **`expected a NumPy or CuPy array`** from `get_xp`. A list was passed, or an array whose backend is not registered.
# - **My times are not yours.** They never are. Compare two of the same minute, and take the fastest of several.

# %%
wb.exercises(15)
