# %% [markdown]
# # 21. A relative is a table
#
# **You will do** count the numbers of seven kinds of model, tensor by tensor; see how narrow a word table must be to pay; look
# into a block that is narrow inside; and read what a file calls all of it.
#
# **You will learn** what ALBERT, DistilBERT, ELECTRA, ERNIE, MobileBERT and RoBERTa changed in BERT, what each change saves, and
# what it does not save.
#
# **You need** lesson 5 (embeddings), lesson 9 (the encoder), lesson 10 (the decoder), lesson 17 (names of tensors). Time: about
# 35 minutes to read; runs in about 5 s.

# %%
import tempfile
from math import prod

import numpy as np
import schematics
import workbench as wb

import minibert
from gradcheck import check
from minibert import pretrained
from minibert.config import NEUTRAL
from minibert.layers import neighbours
from minibert.model import blocks, pretraining
from minibert.pretrained import families, tensors

rng = np.random.default_rng(21)
MODELS = {"BERT": families.preset("bert", "base"), "RoBERTa": families.preset("roberta", "base"),
          "ERNIE": families.preset("ernie", "base-tasks"), "DistilBERT": families.preset("distilbert", "base"),
          "ALBERT": families.preset("albert", "base"), "ELECTRA": families.preset("electra", "small"),
          "MobileBERT": families.preset("mobilebert", "base")}
print("no weights are needed to count them:", ", ".join(MODELS))

# %% [markdown]
# ## The question
#
# You have learned BERT, line by line. Now somebody hands you an ALBERT. Do you begin again at lesson 1?
#
# No. All of these models are the same three parts in the same order: embeddings, a stack of blocks, heads. What differs fits in a
# table of a few lines: which tensors there are, how wide they are, who uses them, and what a file calls them. This lesson reads
# such tables, and counts.
#
# ## Toy numbers
#
# A vocabulary of V = 10 words and H = 4 numbers for each: the table of words has 40 numbers. Now give each word only 2 numbers,
# and let one linear layer make 4 of these 2. That layer is the same for all words:

# %%
V, H, narrow = 10, 4, 2
wide, factorised = V * H, V * narrow + narrow * H + H
wb.table(["table of words", "by hand", "numbers"],
         [["V × H", "10 × 4", wide], ["V × 2, then 2 → H", "10 × 2 + 2 × 4 + 4", factorised]])
assert (wide, factorised) == (40, 32), "a fifth less, and V is only 10 here"

# %% [markdown]
# That is a **factorised embedding** (嵌入分解): one matrix has become a product of two (*Lan et al. 2019, "ALBERT", §3.1*).
#
# ## The equation
#
# With e for the narrow width, r rows in the tables of positions and token types (and two more, γ and β) and one block of w
# numbers, a BERT and an ALBERT have
#
# $$\underbrace{V H}_{\text{words}} + r\,H + L\,w + (H^2 + H) \qquad\text{and}\qquad
# \underbrace{V e + e H + H}_{\text{words}} + r\,e + 1 \cdot w + (H^2 + H)$$
#
# $$w = \underbrace{4\,(H^2 + H)}_{\text{attention}} + \underbrace{2 H I + I + H}_{\text{feed-forward}} +
# \underbrace{4 H}_{\text{two norms}}$$
#
# Two changes. The word table is factorised; and there is *one* block, which all L layers use: **parameter sharing** (参数共享).
# Lesson 26 takes both apart.

# %%
config = MODELS["BERT"]
V, H, I, L = config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers
rows = config.max_position_embeddings + config.type_vocab_size + 2  # the last two: γ and β of the layer norm
block = 4 * (H * H + H) + 2 * H * I + I + H + 4 * H
pooler = H * H + H
bert_by_hand = V * H + rows * H + L * block + pooler
albert = MODELS["ALBERT"]
narrow = albert.embedding_size
albert_by_hand = albert.vocab_size * narrow + narrow * H + H + rows * narrow + block + pooler
print(f"a block: {block:,} numbers; BERT: {bert_by_hand:,}; ALBERT: {albert_by_hand:,}")

# %% [markdown]
# ## The plain-loop version
#
# Formulas are easily wrong. So count: ask the model for the shapes of its tensors, and add up their products. A tensor that two
# names share (the decoder is the table of words, lesson 10) is listed once.


# %%
def count(config, start=""):
    """The numbers of all tensors whose names begin so."""
    total = 0
    for name, slot in pretraining.layout(config, pooled=True).slots.items():
        if name.startswith(start):
            total += prod(slot.shape)
    return total


assert count(MODELS["BERT"], "bert.") == bert_by_hand == 109_482_240, "the formula, and what transformers counts"
assert count(MODELS["ALBERT"], "bert.") == albert_by_hand == 11_683_584, "one ninth"
assert count(MODELS["MobileBERT"], "bert.") == 24_581_888, "the released one"
assert count(MODELS["DistilBERT"], "bert.") == 66_362_880, "six layers, no pooler, no token types"

# %% [markdown]
# ## What changed, and where the numbers are


# %%
def parts(config):
    """Numbers of the embeddings, of all blocks, and of the rest of the encoder and the heads."""
    embeddings, layers = count(config, "bert.embeddings."), count(config, "bert.encoder.")
    return embeddings, layers, count(config) - embeddings - layers


wb.table(["model", "layers", "blocks", "hidden", "embeddings", "all blocks", "heads, pooler", "together"],
         [[name, c.num_hidden_layers, len(set(c.uses)), c.hidden_size, *parts(c), count(c)] for name, c in MODELS.items()])
assert parts(MODELS["ALBERT"])[1] * 12 == parts(MODELS["BERT"])[1], "one block in the place of twelve"
assert parts(MODELS["DistilBERT"])[1] * 2 == parts(MODELS["BERT"])[1], "every second layer"
assert parts(MODELS["RoBERTa"])[1] == parts(MODELS["BERT"])[1], "RoBERTa's encoder is BERT's: only its vocabulary is larger"
assert parts(MODELS["ERNIE"])[0] - parts(MODELS["BERT"])[0] == 3 * H, "ERNIE has one more table, of three tasks"

# %% [markdown]
# Here is all that distinguishes them inside, as keys of the configuration that differ from BERT's. No class is called "ALBERT":
# whoever wants BERT with a narrow table and nothing else of ALBERT, sets one key. (Sizes such as the number of layers are left
# out.)

# %%
ours = {name: {key: getattr(c, key) for key in NEUTRAL if getattr(c, key) != NEUTRAL[key]} for name, c in MODELS.items()}
for name, keys in ours.items():
    shown = {key: f"{len(value)} × {value[0]}" if key == "layer_map" else value for key, value in keys.items()}
    print(f"{name:<11}", ", ".join(f"{key}: {value}" for key, value in shown.items()) or "(nothing)")
assert not ours["BERT"]
assert set(ours["ALBERT"]) == {"embedding_size", "layer_map"}, "both changes of the equation, and no more"
assert len(ours["MobileBERT"]) > len(ours["ALBERT"]), "the one with a block of its own"

# %% [markdown]
# ## A file's names are a table too
#
# The other half of a relative is what its files call things. Four tensors, by our names, which are BERT's, and by each family's:

# %%
names = {name: families.names(c) for name, c in MODELS.items()}
for called in ("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.attention.self.query.weight",
               "bert.encoder.layer.0.output.dense.weight", "cls.predictions.transform.dense.weight"):
    print(called)
    for name in MODELS:
        print(f"    {name:<11}{names[name].theirs(called)}")
for name, c in MODELS.items():
    for called in pretraining.layout(c).slots:
        assert names[name].ours(names[name].theirs(called)) == called, "there and back, for every tensor"

# %% [markdown]
# So a file of DistilBERT is written from the same Python objects as one of BERT. A small fresh one, saved and opened again:

# %%
bundled = minibert.load(device="cpu")
small = families.preset("distilbert", "tiny", vocab_size=bundled.config.vocab_size)
with tempfile.TemporaryDirectory() as folder:
    pretrained.save(folder, small, pretraining.initial_parameters(small), bundled.tokenizer)
    with tensors.opened(f"{folder}/model.safetensors") as reader:
        print(f"{len(reader.shapes)} tensors in the file; some of them:", *list(reader.shapes)[3:8], sep="\n    ")
        assert all(called.startswith(("distilbert.", "vocab_")) for called in reader.shapes), "theirs, not ours"
    again = pretrained.load(folder)
assert again.config.replace(unknown={}) == small, "the configuration came back"
assert "bert.encoder.layer.1.attention.self.query.weight" in again.parameters.layout.slots, "and so did our names"

# %% [markdown]
# What a family's file has no word for is refused, by name, before anything is written:

# %%
refused = ""
try:
    families.to_json(small.replace(norm="no_norm"))
except ValueError as error:
    refused = str(error)
print(refused.partition(";")[0])
assert "norm is 'no_norm'" in refused

# %% [markdown]
# ## MobileBERT: narrow inside
#
# MobileBERT has 24 layers, and each is a **bottleneck** (瓶颈层): from 512 numbers down to 128, attention and *four* feed-forward
# layers there, and up again (*Sun et al. 2020, "MobileBERT", §3*). Its words come with their neighbours: a **trigram** (三元组)
# of three narrow vectors is projected at once.

# %%
mobile = MODELS["MobileBERT"]
H, narrow = mobile.hidden_size, mobile.bottleneck_size
made, axes = schematics.sketch(15, 3.2, "A block of MobileBERT: down, work, up")
texts = [f"state\n{H}", f"down\n{H} → {narrow}", f"attention\n{narrow}", f"{mobile.ffn_count} feed-forward\n{narrow}",
         f"up\n{narrow} → {H}"]
chain = schematics.chain(axes, 1.4, texts, [wb.GREY, wb.ORANGE, wb.BLUE, wb.BLUE, wb.ORANGE], ["", "", "", ""], 2.0, 0.75)
end = schematics.box(axes, chain[-1].x + 2.1, 1.4, "+", wb.GREY, 0.7, 0.7, size=20)
schematics.arrow(axes, chain[-1].right, end.left)
schematics.arrow(axes, chain[0].top, end.top, colour=wb.ORANGE, bend=-0.14)
axes.text(7.2, 2.9, "what is handed on stays wide", ha="center", fontsize=13, color=wb.ORANGE)
wb.save(made, "21_bottleneck", measured=False)

shapes = blocks.of(mobile).shapes(mobile)
where = {"down and up": "bottleneck", "attention": "attention.", "feed-forward": ""}
shares, left = {}, dict(shapes)
for what, mark in where.items():
    shares[what] = sum(prod(left.pop(name)) for name in list(left) if mark in name)
wb.table(["in a block", "numbers"], [[what, numbers] for what, numbers in shares.items()])
assert sum(shares.values()) * 24 == count(mobile, "bert.encoder."), "nothing forgotten"
assert shares["feed-forward"] > shares["attention"] + shares["down and up"], "the four are the most of it"

# %% [markdown]
# ## Gradient check
#
# The one new layer among the embeddings puts each vector beside its neighbours, from the token after to the token before; zeros
# stand outside the text. Each vector goes into three places, so three gradients come back.

# %%
x = np.array([[[1.0], [2.0], [3.0]]])  # (B, T, 1): one number for each of three tokens
y, cache = neighbours.forward(x)
wb.show("y", y[0], "after, itself, before")
assert np.array_equal(y[0], [[2, 1, 0], [3, 2, 1], [0, 3, 2]]), "t + 1, t, t - 1: in this order"
result = check(neighbours, {"x": rng.standard_normal((2, 5, 3))}, name="neighbours")
print(f"relative error of dx: {result.worst('central'):.0e} by differences, {result.worst('complex'):.0e} by complex step")
assert result.ok

# %% [markdown]
# ## Fewer numbers is not less work
#
# How long does a model take? Not as long as it has numbers, but as long as it multiplies. For each token, every matrix of a block
# costs as many multiplications as it has numbers, *each time that it is used*. (Attention's products of tokens with tokens are
# left out: they depend on the length.)


# %%
def work(config):
    """Multiplications for one token in all layers."""
    matrices = sum(prod(shape) for shape in blocks.of(config).shapes(config).values() if len(shape) == 2)
    return config.num_hidden_layers * matrices


config = MODELS["BERT"]
wb.table(["model", "numbers", "multiplications a token", "times the work of BERT", "times its numbers"],
         [[name, count(c), work(c), work(c) / work(config), count(c) / count(config)] for name, c in MODELS.items()])
assert work(MODELS["ALBERT"]) == work(MODELS["BERT"]), "a ninth of the numbers, and all of the work"
assert work(MODELS["DistilBERT"]) * 2 == work(MODELS["BERT"]), "half the layers, half the work"
assert work(MODELS["MobileBERT"]) < work(MODELS["BERT"]) / 4, "twice as many layers, and less than a quarter of the work"

# %% [markdown]
# ALBERT saves memory and download, not time. DistilBERT saves both, and MobileBERT more of both. What they lose in quality stands
# in their papers; a count cannot say it.
#
# ## One picture

# %%
picture = wb.figure(14, 5.8, "Sharing saves numbers; fewer and narrower layers save work as well")
left, right = picture.subplots(1, 2)
for name, c in MODELS.items():
    left.scatter(count(c) / 1e6, work(c) / 1e6, s=90, color=wb.ORANGE if name == "ALBERT" else wb.BLUE)
    if name != "ERNIE":  # it lies on BERT
        place, shift = (count(c) / 1e6, work(c) / 1e6), (6, -18) if name in ("RoBERTa", "ALBERT") else (-40, 10)
        left.annotate("BERT, ERNIE" if name == "BERT" else name, place, shift, textcoords="offset points")
left.set(xscale="log", yscale="log", xlabel="numbers, in millions", ylabel="multiplications a token, in millions",
         xlim=(8, 300), ylim=(6, 160))
widths = np.array([16, 32, 64, 128, 256, 512, 768])
words = config.vocab_size * widths + widths * config.hidden_size + config.hidden_size
right.plot(widths, words / 1e6, "o-", color=wb.BLUE, label="factorised: V·e + e·H + H")
right.axhline(config.vocab_size * config.hidden_size / 1e6, color=wb.GREY, linestyle="--", label="one table: V·H")
right.set(xlabel="e, the narrow width", ylabel="numbers, in millions", ylim=(0, 32))
right.legend(frameon=False)
wb.save(picture, "21_numbers_and_work")
assert words[-1] > config.vocab_size * config.hidden_size, "as wide as the rest, the projection only comes on top"

# %% [markdown]
# ## One knob to turn
#
# A model of your own: BERT-base with any mixture of these keys. Try `{"layer_map": (0,) * 6 + (1,) * 6}`, or
# `{"bottleneck_size": 192, "ffn_count": 4}`, or a narrow table with twelve layers of their own.

# %%
MIXTURE = {"embedding_size": 128, "layer_map": (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)}  # <- the knob

# %%
mixed = MODELS["BERT"].replace(**MIXTURE)
print(f"{count(mixed):,} numbers ({count(mixed) / count(MODELS['BERT']):.0%} of BERT's), {work(mixed):,} multiplications a token "
      f"({work(mixed) / work(MODELS['BERT']):.0%})")
for family in families.FAMILIES:
    try:
        families.to_json(mixed.replace(model_type=family))
        print(f"    a file of {family} can say it")
    except ValueError as error:
        print(f"    a file of {family} cannot: {str(error).removeprefix('config: ').partition(',')[0]}")
assert families.to_json(mixed), "that of BERT can, with keys of our own"

# %% [markdown]
# ## Exercises
#
# Three functions: the width from which on a factorised table no longer pays, the words with their neighbours by hand, and the
# work of a block with a bottleneck. The command prints a line for each, such as `1. widest_that_pays: right`, and at the end `3
# of 3 right`.
#
# ## When you are stuck
#
# - **My count is 512·768 too large or too small.** A tensor was counted twice (the decoder is the word table), or the pooler is
#   missing: not every model has one.
# - **The file opens and the model talks nonsense.** A family's activation, its epsilon or the first position may differ (RoBERTa
#   begins at position 2): look at the table of keys.

# %%
wb.exercises(21)
