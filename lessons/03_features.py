# %% [markdown]
# # 3. From text to features
#
# **You will do** turn sentences and pairs into the three arrays that BERT reads, pad them, cut them, and count what that costs.
#
# **You will learn** what each array tells the model, why padding may share its zeros, and how long is long enough.
#
# **You need** lesson 2 (tokens and their ids). Time: about 40 minutes to read; runs in 10 s.

# %%
import time
from typing import NamedTuple

import numpy as np
import schematics
import workbench as wb
from matplotlib.colors import ListedColormap
from threadpoolctl import threadpool_limits

import minibert
from minibert.config import BertConfig
from minibert.data import python_docs
from minibert.model import bert as model
from minibert.model import pretraining
from minibert.model.heads import mlm as mlm_head
from minibert.text import Tokenizer, Vocabulary

bert = minibert.load()
tokenizer, config = bert.tokenizer, bert.config

# %% [markdown]
# ## The question
#
# Lesson 2 made a list of ids from a text. Lists have different lengths. The model computes with rectangles. And the model may get
# two texts at once, a question and an answer say, and must know which is which. So the question is: what else must be told?
#
# We begin where your own data begins: with a file. Say it holds headlines, each with the number of its topic.

# %%
FILE = """100\tRain in the north, sun in the south
103\tTeam wins the final in the last minute
100\tStorm closes the harbour
101\tBank lowers its rates"""


class Item(NamedTuple):
    guid: str  # a name for each line, so that a wrong one can be found again
    text_a: str
    text_b: str | None
    label: str


items = [Item(f"train-{i}", text, None, label) for i, (label, text) in enumerate(line.split("\t") for line in FILE.splitlines())]
topics = sorted({item.label for item in items})
label_ids = {label: i for i, label in enumerate(topics)}
wb.table(["guid", "text_a", "text_b", "label", "label id"],
         [[item.guid, item.text_a, str(item.text_b), repr(item.label), label_ids[item.label]] for item in items])
assert label_ids == {"100": 0, "101": 1, "103": 2}, "labels are names; their places in the list are the numbers 0, 1, 2"

# %% [markdown]
# Each line is an **example** (样本): a name, one or two texts, a label. This is all that a data set has to provide
# (`run_classifier.py`, `InputExample` and `DataProcessor`). To use your own data, write these few lines for your own file.
#
# Note the label: `'100'` is a *name*, and becomes the number 0. A model with three classes answers 0, 1 or 2. Had we used the
# number 100, there would be no such class. The list of names must be kept, in its order, to read the answers later.
#
# What the model gets is not the example but its **features** (特征): arrays of numbers.
#
# ## A toy on the screen
#
# A vocabulary of eleven tokens, and room for 9.

# %%
words = Vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "it", "rains", "we", "stay", "in", "."])
toy = Tokenizer(words, max_length=9)
one = toy.encode("It rains.")
two = toy.encode("It rains.", "We stay")


def show_features(encoding, length: int) -> None:
    ids, types, mask = (row[0] for row in toy.batch([encoding], length))
    wb.table(["", *(str(t) for t in range(length))],
             [["token", *(words.tokens[i] for i in ids)], *([name, *(str(n) for n in row)] for name, row in
              (("ids", ids), ("token_type_ids", types), ("attention_mask", mask)))])


wb.heading("one text")
show_features(one, 9)
wb.heading("two texts")
show_features(two, 9)

# %% [markdown]
# The same as a picture: each place of the row gets three numbers.

# %%
made, axes = schematics.sketch(14, 4.4, "Two texts become one row of tokens, and three rows of numbers")
rows = [(name, row[0]) for name, row in zip(("ids", "token types", "mask"), toy.batch([two], 9))]
for t in range(9):
    colour = wb.GREY if not rows[2][1][t] else wb.ORANGE if rows[1][1][t] else wb.BLUE
    cells = [schematics.box(axes, 2.9 + 1.3 * t, 3.4, words.tokens[rows[0][1][t]], colour, 1.15, size=13)]
    cells += [schematics.box(axes, 2.9 + 1.3 * t, 2.2 - 0.85 * i, str(row[t]), colour, 1.15) for i, (_, row) in enumerate(rows)]
    schematics.arrow(axes, cells[0].bottom, cells[1].top)
    axes.text(2.9 + 1.3 * t, 4.0, f"t = {t}", ha="center", color=wb.GREY, fontsize=12)
for y, name in ((3.4, "tokens"), *((2.2 - 0.85 * i, name) for i, (name, _) in enumerate(rows))):
    axes.text(2.1, y, name, ha="right", va="center")
wb.save(made, "03_flow", measured=False)

# %% [markdown]
# Three special tokens appear:
#
# - **[CLS]** (分类标记) stands first. Its output vector is used for statements about the whole text (lesson 9).
# - **[SEP]** (分隔标记) ends each text. With one text there is one, with two there are two.
# - **[PAD]** (填充标记) fills the rest of the row. Filling up is called **padding** (填充).
#
# And there are three arrays, all of the same shape (B, T):
#
# - `ids`: which token.
# - `token_type_ids`: which text it belongs to. Each of the two texts, with its [SEP], is a **segment** (片段). The first has
#   number 0, and [CLS] belongs to it; the second has number 1.
# - `attention_mask`, the **attention mask** (注意力掩码): 1 for a token, 0 for padding.
#
# Source: *Devlin et al. 2018, §3*, "Input/Output Representations", and Figure 2; `run_classifier.py`, `convert_single_example`.
#
# ## The rule as an equation
#
# Let the first text have $m_a$ tokens, the second $m_b$. The row has $n = m_a + 2$ tokens with one text, and
# $n = m_a + m_b + 3$ with two. For every place $t$ from 0 to $T-1$:
#
# $$ \text{mask}_t = [\,t < n\,] \qquad \text{type}_t = [\,m_a + 2 \le t < n\,] $$
#
# where such a bracket, as [t < n], is 1 if what stands in it is true and 0 if not (the Iverson bracket).
#
# ## By hand: one loop

# %%
def features_by_hand(a: list[int], b: list[int] | None, length: int) -> tuple[list[int], list[int], list[int]]:
    ids, types = [words.cls_id], [0]
    for i in [*a, words.sep_id]:
        ids.append(i)
        types.append(0)
    for i in [] if b is None else [*b, words.sep_id]:
        ids.append(i)
        types.append(1)
    mask = [1] * len(ids)
    while len(ids) < length:
        ids.append(words.pad_id)
        types.append(0)
        mask.append(0)
    return ids, types, mask


it_rains, we_stay = toy.ids("It rains."), toy.ids("We stay")
for mine, encoding in ((features_by_hand(it_rains, None, 9), one), (features_by_hand(it_rains, we_stay, 9), two)):
    assert all(list(x[0]) == y for x, y in zip(toy.batch([encoding], 9), mine)), "the loop and the library agree"
print("the loop and Tokenizer.encode + Tokenizer.batch agree")

# %% [markdown]
# ## Without a loop: a whole batch
#
# Several rows of features become one rectangle. To put them together is to **collate** (整理成批). Nothing but the lengths is
# needed for the mask: compare a row of places with a column of lengths. NumPy makes a table of both.

# %%
encodings = [one, two, toy.encode("We stay in.")]
lengths = np.array([len(encoding) for encoding in encodings])  # (B,)
T = lengths.max()
mask = np.arange(T) < lengths[:, None]  # (T,) < (B, 1) -> (B, T)
ids = np.full(mask.shape, words.pad_id)
ids[mask] = np.concatenate([encoding.ids for encoding in encodings])  # fills row after row
wb.show("lengths", lengths, "(B,)")
wb.show("ids", ids, "(B, T)")
wb.show("mask", mask.astype(int), "(B, T)")
library_ids, library_types, library_mask = toy.batch(encodings)
assert np.array_equal(ids, library_ids), "the same ids as the library's"
assert np.array_equal(mask, library_mask), "the same mask"
assert library_types.sum() == 3, "of all tokens, only `we stay [SEP]` belongs to a second text"

# %% [markdown]
# Three zeros now stand in a padded place, with three meanings. `ids` has 0 because [PAD] happens to be token 0 of this
# vocabulary. `token_type_ids` has 0, which is the number of the first text. `attention_mask` has 0 for "nothing here". Is it a
# clash that padding shares its 0 with the first text? Let us ask a trained model.
#
# ## Why are all token_type_ids zero?
#
# With one text, every token belongs to the first one, and the first is number 0. That is all. A column of zeros carries no
# information, but it cannot be left out: the model adds a vector for the type to every token (lesson 5). It has been trained
# with "0 only" for single texts. What if we put 1 everywhere?

# %%
sentence = "raises an [MASK] if the key is not found."
ids, types, mask = tokenizer.batch([tokenizer.encode(sentence)])
hole = int(np.flatnonzero(ids[0] == tokenizer.vocab.mask_id)[0])


def run(ids, types, mask):
    return model.forward(ids, types, mask, bert.parameters["bert"], config)[0].last_hidden_state  # (B, T, H)


def difference(x, y) -> float:
    return float(np.abs(x - y).max())


def guess(states) -> str:
    logits, _ = mlm_head.forward(states, np.array([hole]), bert.parameters["cls"]["predictions"], config)
    return tokenizer.vocab.tokens[int(logits.argmax())]


states = run(ids, types, mask)
all_one = run(ids, np.ones_like(types), mask)
wb.table(["token_type_ids", "the vectors differ by", "[MASK] is guessed as"],
         [["all 0", 0.0, guess(states)], ["all 1", difference(states, all_one), guess(all_one)]])
assert difference(states, all_one) > 0.1, "the types of real tokens matter"

# %% [markdown]
# The vectors differ clearly, even where the guess stays: the type of a real token matters.
#
# ## May padding share that zero?
#
# Now pad the sentence to 32. Give the padding type 0, type 1, and even random words for ids. Look at the real tokens only.

# %%
n = ids.shape[1]
ids32, types32, mask32 = tokenizer.batch([tokenizer.encode(sentence)], 32)
padded = run(ids32, types32, mask32)
others = types32.copy()
others[:, n:] = 1
rubbish = ids32.copy()
rubbish[:, n:] = np.random.default_rng(0).integers(5, config.vocab_size, 32 - n)
effects = [["type 0 (the rule)", 0.0, 0.0]]
for name, changed in (("type 1", (ids32, others)), ("random words", (rubbish, types32))):
    with_mask = difference(run(*changed, mask32)[:, :n], padded[:, :n])
    without = difference(run(*changed, None)[:, :n], run(ids32, types32, None)[:, :n])
    effects.append([name, with_mask, without])
    assert with_mask == 0, "what stands in the padding has no effect at all, not even in the last digit"
    assert without > 0.1, "without the mask it has"
wb.table(["in the padding", "change of real tokens, with mask", "without mask"], effects)

# %% [markdown]
# Zero, exactly. With the mask, nobody reads what stands in the padding: not its type, not its id. So its type may be 0, or 1, or
# whatever the table has a row for. Zero is no clash. **What makes padding padding is the attention mask alone.**
#
# The right column shows what happens if you forget the mask. Nothing fails. The numbers are just wrong.
# How the mask does it is lesson 8.
#
# ## Keep the true length
#
# After padding, T says nothing about a text. The number of real tokens is the sum of its mask row. You need it whenever you
# count or average. As an example take the mean of all token vectors, a popular summary of a text.

# %%
texts = ["Return the value of this new key.", "Raises an exception if the key is not found.", "Call close.",
         "A tuple is immutable, and a list is not.", "Strings are compared by the code points of their characters.",
         "If the object has no such attribute, the default is returned instead.",
         "The with statement closes the file when the block ends, also where an exception is raised in it.",
         "An iterator returns itself, so that a for loop can use it, and it raises StopIteration when there are no more items to "
         "return in this loop."]
alone, together = bert(texts[0]), bert(texts)
x = together.last_hidden_state  # (B, T, H), zero in the padding
lengths = together.attention_mask.sum(1)  # (B,)
print("true lengths:", lengths)
wrong = x.mean(1)  # divides by T
right = x.sum(1) / lengths[:, None]  # divides by the true length
mean_alone = alone.last_hidden_state[0].mean(0)
wb.table(["mean of the first text's vectors", "off by, relative"],
         [["over all T places", float(np.linalg.norm(wrong[0] - mean_alone) / np.linalg.norm(mean_alone))],
          ["over its true length", float(np.linalg.norm(right[0] - mean_alone) / np.linalg.norm(mean_alone))]])
assert np.allclose(wrong[0], mean_alone * lengths[0] / x.shape[1], atol=1e-5), "too small by the factor n/T"
assert np.allclose(right[0], mean_alone, atol=1e-5), "with the true length it does not notice its neighbours"

# %% [markdown]
# The wrong mean depends on the longest *other* text in the batch. It would change from batch to batch.
#
# Do not guess the length from `ids != 0`. It works as long as [PAD] is token 0. In another vocabulary it need not be:

# %%
moved = Tokenizer(Vocabulary(["it", "rains", ".", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]))
moved_ids, _, moved_mask = moved.batch([moved.encode("It rains.")], 7)
wb.show("ids", moved_ids, "(B, T)")
print("length by ids != 0:", (moved_ids != 0).sum(), "  by the mask:", moved_mask.sum())
assert moved_mask.sum() == 5, "[CLS] it rains . [SEP]"
assert (moved_ids != 0).sum() == 6, "`ids != 0` counts both [PAD] and misses the word `it`"

# %% [markdown]
# ## Padding to 128, and cutting back
#
# The reference pads every example to one fixed length, 128 by default (`run_classifier.py`, `max_seq_length`). Our first text:

# %%
first = tokenizer.encode(texts[0])
ids128, types128, mask128 = tokenizer.batch([first], 128)
print(f"{len(first)} tokens: {' '.join(first.tokens)}")
print(f"padded to 128: {(ids128 == tokenizer.vocab.pad_id).sum()} of 128 places are [PAD]")
assert len(first) == 10, "a text of ten tokens, [CLS] and [SEP] counted"
assert (mask128 == 0).sum() == 118, "gets 118 zeros"

# %% [markdown]
# What do 118 useless places cost? Count multiplications with their addition, as every entry of a matrix product needs them:
# a product of (n, k) and (k, m) takes n·k·m. In one layer, T tokens pass through four products with (H, H), one with (H, I), one
# with (I, H) (lessons 8 and 9), and every token meets every other one in two products of T·T·H. With L layers and B texts:
#
# $$ \text{cost}(B, T) = L \cdot B \cdot (\underbrace{T\,(4H^2 + 2HI)}_{\text{grows with } T} +
#    \underbrace{2\,T^2 H}_{\text{grows with } T^2}) $$
#
# This is a claim about the library. We check it by counting what really runs: an array that keeps a tally of its own products.

# %%
class Counted(np.ndarray):
    """An array that counts the multiply-adds of its products of two matrices. (That with a vector of ones is just a sum.)"""

    total = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(x.view(np.ndarray) if isinstance(x, Counted) else x for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul and min(x.ndim for x in plain) >= 2 and plain[1].shape[-1] > 1:
            Counted.total += result.size * plain[0].shape[-1]
        return result.view(Counted) if isinstance(result, np.ndarray) else result


def cost(c: BertConfig, B: int, T: int) -> int:
    H, I = c.hidden_size, c.intermediate_size
    return c.num_hidden_layers * B * (T * (4 * H * H + 2 * H * I) + 2 * T * T * H)


# %% [markdown]
# The model for this: the bundled one's size, but with 128 positions, and random parameters. (How long it takes does not depend
# on the values.) The batch: our eight texts. Before: all padded to 128. After: cut to the batch's longest.

# %%
roomy = BertConfig.preset("tiny", vocab_size=config.vocab_size, max_position_embeddings=128)
p = pretraining.initial_parameters(roomy)
counted = pretraining.initial_parameters(roomy).flat.view(Counted)
p_counted = p.layout.tree(counted)["bert"]
batch = [tokenizer.encode(text) for text in texts]
wide, narrow = tokenizer.batch(batch, 128), tokenizer.batch(batch)
rows = []
for name, arrays in (("all to 128", wide), ("cut to the longest", narrow)):
    B, T = arrays[0].shape
    Counted.total = 0
    out = model.forward(*arrays, p_counted, roomy)[0]
    seconds = []
    with threadpool_limits(1):  # on one core: steadier where other programs run too
        for _ in range(wb.choose(9, 2)):
            start = time.perf_counter()
            model.forward(*arrays, p["bert"], roomy)
            seconds.append(time.perf_counter() - start)
    pooler = B * roomy.hidden_size**2
    assert Counted.total - pooler == cost(roomy, B, T), "the formula is what really runs, to the last multiplication"
    rows.append([name, f"{B} x {T}", f"{1 - arrays[2].mean():.0%}", cost(roomy, B, T), 1000 * min(seconds)])
wb.table(["batch", "B x T", "padding", "multiply-adds", "ms, one core"], rows)
before, after = (row[3] for row in rows)
print(f"{before / after:.1f} times fewer multiply-adds; {rows[0][4] / rows[1][4]:.1f} times faster on this computer, just now")
assert narrow[0].shape[1] == 32, "128 becomes 32, as long as the longest text"
assert before / after > 128 / 32, "more than four times: the part with T squared shrinks sixteenfold"

# %% [markdown]
# (One more product per text, in the pooler of lesson 9, comes on top. It does not depend on T.) The time does not fall exactly
# as the count does: small products are less efficient than large ones, and additions, softmax and the like are not counted.
#
# And what is lost by cutting? Nothing:

# %%
real = narrow[2][:, :, None]  # (B, T, 1)
long_way = model.forward(*wide, p["bert"], roomy)[0].last_hidden_state[:, :32]
short_way = model.forward(*narrow, p["bert"], roomy)[0].last_hidden_state
print(f"largest difference of a real token's vector: {difference(long_way * real, short_way * real):.1e}")
assert difference(long_way * real, short_way * real) < 1e-4, "the same numbers up to rounding"

# %% [markdown]
# Put texts of similar length into one batch, and even less is wasted. The library's training does so (`minibert.tasks.batches`).
#
# ## Too long: truncation
#
# The other end: the position table has a last row (lesson 5). What is longer must lose tokens: **truncation** (截断). Of one text
# the end is cut off. Of two texts the *longer* one loses its last token, again and again, until both fit together
# (`run_classifier.py`, `_truncate_seq_pair`). So a short question keeps all of its words beside a long answer.

# %%
def truncate_by_hand(a: list, b: list, room: int) -> tuple[list, list]:
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        if len(a) > len(b):
            a.pop()
        else:
            b.pop()
    return a, b


for limit in (8, 7, 6):
    a, b = truncate_by_hand(it_rains, we_stay, limit - 3)
    encoding = toy.encode("It rains.", "We stay", max_length=limit, truncate=True)
    print(f"at most {limit}: {' '.join(encoding.tokens)}")
    assert encoding.ids == [words.cls_id, *a, words.sep_id, *b, words.sep_id], "the loop and the library agree"
try:
    toy.encode("It rains.", "We stay", max_length=7)
except ValueError as error:
    print("without truncate=True:", str(error).split(";")[0])

# %% [markdown]
# The library cuts only if you ask it to. A text that is cut silently is a bug that nobody sees.
#
# ## How long is long enough?
#
# You must choose a maximum. The mean length is a tempting choice, and a bad one. "Cover 95 % of the texts" is a better one. Here
# are the sentences of the corpus of lesson 2, [CLS] and [SEP] counted. Cut at the limit, then put into batches of 32 in three
# ways: padded to the limit; cut to the longest of the batch; the same with sentences sorted by length first.

# %%
documents = python_docs.documents()[::wb.choose(1, 20)]
n = np.array([len(tokenizer.ids(text)) + 2 for document in documents for text in document])
n = np.random.default_rng(0).permutation(n)[:len(n) // 32 * 32]


def batched(lengths, limit: int) -> tuple[int, int, int]:
    """The cost of all batches: padded to the limit; cut to each batch's longest; sorted, then cut."""
    kept = np.minimum(lengths, limit)
    longest, in_order = kept.reshape(-1, 32).max(1), np.sort(kept).reshape(-1, 32).max(1)
    return (len(longest) * cost(roomy, 32, limit), sum(cost(roomy, 32, int(T)) for T in longest),
            sum(cost(roomy, 32, int(T)) for T in in_order))


LIMITS = {"mean": int(n.mean()), "95 %": int(np.percentile(n, 95, method="higher")),
          "99 %": int(np.percentile(n, 99, method="higher")), "longest": int(n.max())}
rows = [[name, limit, f"{(n > limit).mean():.1%}", f"{np.maximum(n - limit, 0).sum() / n.sum():.1%}",
         *(c / batched(n, LIMITS["longest"])[0] for c in batched(n, limit))] for name, limit in LIMITS.items()]
wb.table(["limit", "T", "sentences cut", "tokens lost", "cost: padded", "cut to longest", "sorted and cut"], rows)

# %% [markdown]
# (Costs as a share of the most expensive cell: everything padded to the longest sentence of all.)

# %%
assert wb.QUICK or (n > LIMITS["mean"]).mean() > 0.25, "expected: at the mean, more than a quarter lose their end"
assert (n > LIMITS["95 %"]).mean() <= 0.05, "by definition: at most 5 % do at the 95 % limit"
assert wb.QUICK or LIMITS["95 %"] < 0.5 * LIMITS["longest"], "expected: a few sentences are far longer than all others"
assert all(row[6] < row[5] <= row[4] for row in rows), "each way wastes less than the one before"
assert wb.QUICK or rows[3][6] < rows[1][4], "sorted and cut, even the longest limit costs less than padding to the 95 % limit"

# %% [markdown]
# Lengths are skewed: many short texts, a few very long ones. The mean lies among the many, so it cuts a large part of all texts.
# The longest is set by a single odd text, so nearly everything is padding. A limit that covers 95 % or 99 % is between the two.
#
# The last columns say something more. Once batches are cut to their longest and sorted, a high limit costs little. Then the
# question hardly matters: take the length that your texts need, up to what the model can read.
#
# ## One picture

# %%
made = wb.figure(14, 5.8, title="Most of a padded batch is nothing; most sentences are far shorter than the longest")
left, right = made.subplots(1, 2, width_ratios=[1.2, 1])
kinds = np.where(wide[2] == 1, 2, np.where(np.arange(128) < 32, 1, 0))
left.imshow(kinds, aspect="auto", cmap=ListedColormap(["#E3E3E3", wb.YELLOW, wb.BLUE]), interpolation="nearest")
for x, y, text, colour in ((15, 7, "tokens", "white"), (22, 1, "padding", "black"), (80, 3.5, "cut away: no loss", "black")):
    left.text(x, y, text, ha="center", va="center", color=colour, fontsize=14)
left.set(xlabel="place t (tokens)", ylabel="text of the batch", yticks=range(8),
         title=f"From T = 128 to 32: {before / after:.1f} times fewer multiply-adds")
right.hist(n, bins=np.arange(0, n.max() + 4, 4), color=wb.SKY)
for line, (name, colour) in enumerate((("mean", wb.ORANGE), ("95 %", wb.GREEN), ("longest", wb.GREY))):
    right.axvline(LIMITS[name], color=colour)
    right.text(LIMITS["95 %"] + 4, right.get_ylim()[1] * (0.9 - 0.13 * line),
               f"{name}: {LIMITS[name]}, {(n > LIMITS[name]).mean():.0%} are cut", color=colour, fontsize=15)
right.set(xlabel="length of a sentence (tokens)", ylabel="sentences",
          title=f"A limit at the mean cuts {(n > LIMITS['mean']).mean():.0%} of all sentences")
wb.save(made, "03_padding")

# %% [markdown]
# ## Check
#
# There is no derivative to check here either; ids are names. The check of this lesson is worth keeping for all your own input
# code: **a text must not notice its neighbours.** Every text of a batch must give the vectors that it gives alone.

# %%
everything = bert(texts)
worst = 0.0
for b, text in enumerate(texts):
    one = bert(text)
    size = one.last_hidden_state.shape[1]
    assert everything.attention_mask[b].sum() == size == len(everything.tokens[b]), "mask, tokens and length say the same"
    worst = max(worst, difference(everything.last_hidden_state[b, :size], one.last_hidden_state[0]),
                difference(everything.pooled[b], one.pooled[0]))
print(f"alone or among others: the largest difference is {worst:.1e}")
assert worst < 1e-4, "a text does not notice its neighbours"
for encoding in (*batch, tokenizer.encode(texts[0], texts[1])):
    seps = encoding.ids.count(tokenizer.vocab.sep_id)
    assert encoding.tokens[0] == "[CLS]", "[CLS] stands first"
    assert encoding.tokens[-1] == "[SEP]", "[SEP] stands last"
    assert seps == 1 + max(encoding.token_type_ids), "one [SEP] for each text"

# %% [markdown]
# ## One knob to turn
#
# Change the maximum length. A small one cuts many sentences and is cheap; a large one cuts none. Watch the last two columns: from
# about 60 on, padding to the limit gets ever more expensive, and the other two ways do not.

# %%
MAX_LENGTH = 24  # <- the knob

# %%
padded_cost, cut_cost, sorted_cost = (c / batched(n, LIMITS["longest"])[0] for c in batched(n, MAX_LENGTH))
wb.table(["limit", "sentences cut", "cost: padded", "cut to longest", "sorted and cut"],
         [[MAX_LENGTH, f"{(n > MAX_LENGTH).mean():.1%}", padded_cost, cut_cost, sorted_cost]])
assert sorted_cost <= cut_cost <= padded_cost + 1e-12, "each way wastes less than the one before"
for way in (1, 2):
    assert batched(n, 120)[way] < 1.3 * batched(n, 60)[way], "from 60 to 120 these two hardly change"
assert batched(n, 120)[0] > 1.9 * batched(n, 60)[0], "while padding to the limit doubles, and more"

# %% [markdown]
# ## Exercises
#
# Four functions, the first of them the way back from features to ids, and a number. The command prints one line per exercise,
# such as `1. unpack: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **The second [SEP] has type 0 in my features.** It ends the second text and belongs to it: type 1. [CLS] has type 0.
# - **My padding has type 1.** Harmless with a mask, but not the rule. The mask row must still be 0 there.
# - **A result changes with the batch size or with the other texts.** The mask was not passed on, or a mean was
#   taken over T.
# - **`index out of bounds` in the position table, or a ValueError about positions.** The text is longer than the model can read.
#   Truncate.
# - **Class 100 is out of range.** A label is a name. Look up its place in the list of labels.
# - **The times in ms jump about.** Other programs run too. That is why the lesson asserts counts, and only shows times.

# %%
wb.exercises(3)
