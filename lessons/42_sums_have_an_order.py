# %% [markdown]
# # 42. Sums have an order
#
# **You will do**: add the same numbers in different orders, watch two runs drift apart for no other reason, fix the order with a
# tree, and train one model by four processes that end in the same bytes as one.
#
# **You will learn**: why a sum of floating-point numbers depends on its order, what travels between machines in a step of
# training, who keeps which moments, and where a network ends the gain.
#
# **You need**: lesson 12 (Adam, accumulation), lesson 15 (threads).
# Time: about 25 minutes to read; runs in about 10 s.

# %%
import numpy as np
import workbench as wb

from minibert import BertConfig
from minibert.model import pretraining
from minibert.ranks.alone import ALONE, contiguous
from minibert.ranks.threads import together
from minibert.tasks.batches import Position, Stream, micro_batches
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training import engine as engines
from minibert.training import lanes, planning
from minibert.training.engine import Engine
from minibert.workers import Workers

rng = np.random.default_rng(42)

# %% [markdown]
# ## The question
#
# Two colleagues train the same model on the same text from the same seed, one on a laptop, one on four machines. After a day
# their losses agree to three digits, and their weights to none. Nobody made a mistake. What happened, and could it be avoided?

# %% [markdown]
# ## Toy numbers
#
# A float32 keeps about seven digits. What does not fit is rounded away after *every* addition.

# %%
a, b, c = np.float32(1e8), np.float32(1), np.float32(-1e8)
print(f"(a + b) + c = {(a + b) + c}      a + (b + c) = {a + (b + c)}      (a + c) + b = {(a + c) + b}")
assert (a + b) + c == 0
assert (a + c) + b == 1

numbers = rng.standard_normal(100).astype(np.float32)
sums = {float(np.cumsum(rng.permutation(numbers))[-1]) for _ in range(1000)}  # one after the other
print(f"a hundred numbers, a thousand orders, {len(sums)} different sums")
assert len(sums) > 5

# %% [markdown]
# Addition of floating-point numbers commutes, a + b = b + a, but it is not **associative** (结合律): brackets matter. A gradient
# is a sum over all examples of a step. Whoever adds "what is ready first" has another gradient each time (*Goldberg 1991*).
#
# ## The tree
#
# So the order is fixed beforehand. The micro-batches of a step are dealt to lanes by a rule: a **lane** (分道) adds its own, and
# then lanes are added in pairs, and in pairs of pairs:
#
#     0 ┐
#     1 ┴┐
#     2 ┐│
#     3 ┴┴ the gradient
#
# One thread may walk the whole tree, or two threads half of it each, or four machines a lane each: the same numbers meet in the
# same order.

# %%
def tree_of(values):
    if len(values) == 1:
        return values[0]
    left, right = lanes.halves(range(len(values)))
    return tree_of(values[left.start:left.stop]) + tree_of(values[right.start:right.stop])


gradients = (10.0 ** rng.integers(-3, 4, (4, 1000)) * rng.standard_normal((4, 1000))).astype(np.float32)
at_once = tree_of(list(gradients))
for carriers in (1, 2, 4):
    plan = lanes.plan(range(4), carriers)
    parts = [tree_of([gradients[lane].copy() for lane in part]) for part in lanes.parts(plan)]  # each carrier its lanes
    assert (lanes.join(plan, iter(parts)) == at_once).all(), "to the last bit"
in_a_row = ((gradients[0] + gradients[1]) + gradients[2]) + gradients[3]
print(f"one after the other instead: {np.mean(in_a_row != at_once):.0%} of the numbers differ, by at most "
      f"{np.abs(in_a_row - at_once).max():.2g}")
assert (in_a_row != at_once).any()

# %% [markdown]
# ## Does one bit matter?
#
# A tiny BERT on random tokens, with two lanes and with four. Nothing else differs; the first gradients do in their last digit.

# %%
T, WORDS = 16, 200
tokenizer = Tokenizer(Vocabulary([*SPECIAL, *(f"w{i}" for i in range(WORDS))]))
documents = [[rng.integers(5, WORDS, T - 2).tolist()] for _ in range(400)]
CONFIG = BertConfig(vocab_size=WORDS + 5, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                    max_position_embeddings=T, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
STEPS = wb.choose(60, 12)
engines.PIECE = 256  # so that four ranks each own some of so small a model


def train(ranks=ALONE, lanes=4, steps=STEPS, keep=False):
    """The weights after each step, or after the last one; and the engine."""
    reads = Stream(documents, tokenizer, max_length=T, batch_size=16, seed=0, next_sentence=False)
    position, found = Position(), []
    engine = Engine(pretraining.of(CONFIG), pretraining.initial_parameters(CONFIG), Workers(1, 1), lanes=lanes, ranks=ranks)
    for _ in range(steps):
        read, position = reads.batch(position)
        engine.train(micro_batches(read, 4 * T), 1e-2)
        found.append(engine.parameters.flat.copy() if keep else None)
    return found if keep else engine.parameters.flat.copy(), engine


two, four = (train(lanes=count, keep=True)[0] for count in (2, 4))
apart = [float(np.abs(x - y).max()) for x, y in zip(two, four)]
wb.table(["step", "largest difference of a weight"], [[step + 1, apart[step]] for step in (0, 1, 3, 7, STEPS - 1)])
assert max(apart) > 0
if not wb.QUICK:
    assert apart[-1] > 2 * apart[0]

# %% [markdown]
# It begins in the last digit. Then each step starts from weights that are apart already, and the difference grows: some
# fifty-fold in 60 steps, and BERT's own course has a million. Both runs are as good; but neither can be repeated by whoever does
# not know the order. With it, everybody can.
#
# ## What travels
#
# Four processes, each with a copy of the weights and one lane. Call each of them a rank. After the backward passes everybody has
# a gradient of all n numbers, and all need the sum. The usual name is **all-reduce** (全归约). MPI's own comes with a
# warning: that the result is the same each time is "strongly recommended", not promised (*MPI Forum 2021*, on `MPI_Reduce`). So
# nothing is left to a library but carrying:
#
# 1. The slab of n numbers is cut into as many strips as there are ranks; a **strip** (条带) is a stretch of neighbours. Everybody
#    sends strip r to rank r.
# 2. Rank r adds the strips that came, in the tree, and takes Adam's step *for its strip only*.
# 3. The new weights are gathered: rank r sends its strip to everybody.
#
# Each rank sends (r − 1)/r of the slab twice, r being the number of ranks, and keeps moments of its own strip alone, a share of
# 1/r: they exist nowhere else (*Rajbhandari 2020*, "ZeRO", stage 1).

# %%
def run(ranks):
    weights, engine = train(ranks)
    return weights.tobytes(), ranks.moved / STEPS, engine.kept["m"].flat.size


alone, engine = train()
SIZE = len(alone)
moved, rows = {1: 0.0}, [[1, "", 0.0, 0.0, SIZE]]
for count in (2, 4):
    found = together(count, run)
    assert all(weights == alone.tobytes() for weights, _, _ in found), "the bytes of one process"
    moved[count] = float(np.mean([sent for _, sent, _ in found]))
    rows.append([count, "yes", moved[count], 2 * 4 * SIZE * (count - 1) / count, max(kept for _, _, kept in found)])
    assert np.isclose(moved[count], rows[-1][3], rtol=1e-6)
wb.table(["ranks", "same bytes as one", "bytes a step, each", "2·4·n·(r−1)/r", "moments, at most"], rows)

# %% [markdown]
# A trap on the way: a message is memory as it lies. A transposed array has the right shape and lies otherwise, and arrives as
# other numbers without any error. So such an array is refused.

# %%
grid = np.arange(6.0).reshape(2, 3)
contiguous(grid)
try:
    contiguous(grid.T)
except ValueError as error:
    print(error)
print("as it lies:", np.frombuffer(grid.T.tobytes(order="A")), " as it is read:", grid.T.ravel())
assert (np.frombuffer(grid.T.tobytes(order="A")) != grid.T.ravel()).any()

# %% [markdown]
# ## The equation
#
# With n weights, r ranks and B sequences a step:
#
# $$\text{step} = \frac{B}{r}\cdot\frac{\text{operations}}{\text{speed}} +
# 2\cdot 4n\cdot\frac{r-1}{r}\cdot\frac{1}{\text{network}} + \dots$$
#
# The first part shrinks with r. The second grows towards 8·n bytes and stays there: for BERT-base 0.88 GB, at 10 Gb/s seven
# tenths of a second, however many ranks there are. `minibert info base --ranks 64` measures the speeds of your machine; here they
# are given, so that everybody sees the same.

# %%
SPEEDS = planning.Speeds(flops=1e11, added=1e9, stepped=4e8, examples=4e3)
COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
base = BertConfig.preset("base")


def faster(network):
    steps = [planning.plan(base, count, planning.bandwidth(network), SPEEDS, 256, 128) for count in COUNTS]
    return [steps[0].seconds / step.seconds for step in steps], [step.limit for step in steps]


scaling = {network: faster(network) for network in ("1Gb/s", "10Gb/s", "100Gb/s")}
wb.table(["ranks", *scaling, "at 10Gb/s most of it goes into"],
         [[count, *(gain[i] for gain, _ in scaling.values()), scaling["10Gb/s"][1][i]] for i, count in enumerate(COUNTS)])
assert scaling["1Gb/s"][0][-1] < 0.5 * scaling["100Gb/s"][0][-1]

# %% [markdown]
# That is planned. Measured are one process and two over MPI, of a thread each, on two cores of an AMD EPYC (Zen 4) with nothing
# else to do (`python -m benchmarks.ranks steps`, 2026-11-29), and the two with 200 million bits a second between them
# (`python -m benchmarks.ranks slow`): small models then wait for the network most of the time, and one process is faster. The
# equation had said 267 and 985 ms.

# %%
MEASURED = {"tiny": (61, 34, 278), "mini": (302, 162, 1030), "base": (6481, 3410, None)}  # ms: one rank, two, at 200Mb/s
wb.table(["measured", "one rank, ms", "two, ms", "times as fast", "two at 200Mb/s, ms"],
         [[name, one, two, one / two, slow or "not measured"] for name, (one, two, slow) in MEASURED.items()])

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(15, 5.6, "The order decides the bits, the network the gain")
left, middle, right = picture.subplots(1, 3)
left.semilogy(range(1, STEPS + 1), apart, color=wb.ORANGE, label="two lanes and four")
left.axhline(0.9e-8, color=wb.BLUE, label="four lanes, 1, 2, 4 ranks: 0")
left.set(title="How far weights are apart", xlabel="step", ylabel="largest difference")
left.legend(fontsize=12)
curve = np.linspace(1, 8, 100)
middle.plot(curve, 8e-3 * SIZE * (curve - 1) / curve, color=wb.GREY, label="2·4·n·(r−1)/r")
middle.plot([*moved], [sent / 1e3 for sent in moved.values()], "o", color=wb.BLUE, label="measured")
middle.set(title="What a rank sends", xlabel="ranks", ylabel="kB a step")
middle.legend(fontsize=12)
for (network, (gain, _)), colour in zip(scaling.items(), (wb.ORANGE, wb.GREEN, wb.BLUE)):
    right.loglog(COUNTS, gain, color=colour, label=network)
right.loglog(COUNTS, COUNTS, color=wb.GREY, linestyle="--", label="ideal")
right.plot([2] * 3, [one / two for one, two, _ in MEASURED.values()], "o", color=wb.GREY, label="measured, one machine")
right.plot([2] * 2, [one / slow for one, _, slow in MEASURED.values() if slow], "X", color=wb.ORANGE, label="small ones, 200Mb/s")
right.set(title="BERT-base planned, and measured", xlabel="ranks", ylabel="times as fast")
right.legend(fontsize=12)
wb.save(picture, "42_sums_have_an_order")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"Set the seed and it is reproducible."* Random numbers are. The order of sums is not, unless somebody fixes it.
# - *"Parallel training cannot be exact."* It can be as exact as one process, at the price of an order. Another kind of processor
#   still rounds otherwise.
# - *"Twice the machines, twice the speed."* Until the network takes as long as the computing.
#
# ## One knob to turn
#
# The network. Guess first: which one does it take so that 64 ranks are at least 50 times as fast?

# %%
NETWORK = "10Gb/s"  # <- the knob
print(f"{NETWORK}: 64 ranks are {faster(NETWORK)[0][COUNTS.index(64)]:.1f} times as fast as one")

# %% [markdown]
# ## All of it in one command
#
#     pip install 'minibert[mpi]'
#     mpiexec -n 4 python -m minibert train --lanes 4
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My sum differs in the last digit.* Five lanes are four and one: the left side has the largest power of two that leaves some.
# - *I send too much.* Nobody sends a strip to itself.
# - *My strips have holes.* Where one ends the next begins, and the last one ends with the slab.
# - *My count of ranks never ends.* The network's part has a limit; the computing's part has none.

# %%
wb.exercises(42)
