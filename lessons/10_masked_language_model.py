# %% [markdown]
# # 10. Masked language modelling
#
# **You will do** the first of BERT's two training tasks by hand: hide words, guess them, and send the gradient of the guess
# back. Then you train tiny models that differ only in *how* words are hidden, and in the seed.
#
# **You will learn** the 15 % and the 80/10/10, what counts in the loss, what a label is and which labels are ignored,
# how one table of numbers can be used at both ends of the model, and why only hidden words should be scored.
#
# **You need** lesson 3 (text to features), 4 (gradients), 5 (the lookup) and 9 (the encoder).
# Time: about 50 minutes to read; runs in about 150 s, with `--quick` in about 10 s.

# %%
import time

import numpy as np
import schematics
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert.config import BertConfig
from minibert.data import corpora
from minibert.layers import cross_entropy, softmax
from minibert.model import bert as body
from minibert.model import pretraining
from minibert.model.heads import mlm as mlm_head
from minibert.model.heads import nsp as nsp_head
from minibert.model.pretraining import inputs
from minibert.tasks import batches
from minibert.tasks.corruption import masking
from minibert.text import Tokenizer, learn
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.workers import Workers

rng = np.random.default_rng(10)

# %% [markdown]
# ## The question
#
# Nobody has written down the meaning of every word. But there is plenty of text, and text can ask its own questions:
# cover a word, and the text itself knows the answer. No person has to label anything.
# Here a trained model answers such a question.

# %%
model = minibert.load()
tokenizer = model.tokenizer
guesses = model.fill_mask("the [MASK] statement raises an exception.", top=4)
wb.table(["guess for [MASK]", "probability"], guesses)
chances = [chance for _, chance in guesses]
assert chances == sorted(chances, reverse=True), "the likeliest first"
assert 0 < sum(chances) <= 1, "they are probabilities"

# %% [markdown]
# How does a model learn that? Three parts are needed: something that **hides** words, something that **scores** every word of
# the vocabulary at the hidden places, and a number that says how bad the scores are. In this order.
#
# ## Toy numbers: hide 15 %
#
# **Masking** (掩码) is the hiding. Of all tokens that are not special, 15 % are chosen (*Devlin et al. 2018, §3.1*).
# [CLS] and [SEP] are never chosen: they are no words, and always stand where they stand.

# %%
text = "the list of arguments is passed to the function before the value is returned"
encoding = tokenizer.encode(text)
ids = np.array(encoding.ids)
vocab = tokenizer.vocab
candidates = [t for t, i in enumerate(ids) if i not in vocab.special_ids]
count = max(1, round(0.15 * len(candidates)))
print("tokens     ", " ".join(encoding.tokens))
print(f"candidates  {len(candidates)} of {len(ids)} tokens; 15 % of them: {0.15 * len(candidates):.2f}, so {count} are chosen")
assert len(candidates) == len(ids) - 2
assert count == 2

# %% [markdown]
# ## The plain-loop version
#
# What happens to a chosen token? A die decides, each time anew: the **80/10/10 rule** (80/10/10 规则), from the same section.
#
# | share | the model sees | it must answer |
# |---|---|---|
# | 80 % | [MASK] | the word that stood there |
# | 10 % | a random word | the word that stood there |
# | 10 % | the word itself | the word that stood there |
#
# Why three ways, when the first would do? We measure that at the end. First the draft, one token at a time.
# The **label** (标签) of a chosen token is the right answer: its own id, before it was hidden.

# %%
def hide(ids, candidates, count, rng):
    """One sentence -> what the model sees, the chosen positions, their labels."""
    seen, labels, what = list(ids), [], []
    positions = sorted(rng.choice(candidates, size=count, replace=False))
    for t in positions:
        labels.append(ids[t])
        die = rng.random()
        if die < 0.8:
            seen[t] = vocab.mask_id
        elif die < 0.9:
            seen[t] = rng.choice(ordinary)  # never a special token
        what.append("[MASK]" if die < 0.8 else "random" if die < 0.9 else "kept")
    return seen, positions, labels, what


ordinary = [i for i in range(len(vocab)) if i not in vocab.special_ids]
for _ in range(3):
    seen, positions, labels, what = hide(ids, candidates, count, rng)
    print(" ".join(vocab.tokens[i] for i in seen))
    print("    ", ", ".join(f"position {t}: {w}, label {vocab.tokens[y]!r}" for t, w, y in zip(positions, what, labels)))
    assert labels == [ids[t] for t in positions]
    assert (seen[0], seen[-1]) == (vocab.cls_id, vocab.sep_id), "special tokens are left alone"

# %% [markdown]
# ## The library's own
#
# `masking.mask` does the same without a loop. Its randomness is a *key*: (seed, pass over the text, number of the example).
# The same key always hides the same words. Another pass hides others. The reference made ten masked copies of the text once,
# before training (`create_pretraining_data.py`, `dupe_factor`). Drawing anew on every pass is called dynamic masking
# (*Liu et al. 2019, §4.1*); it is what we do.

# %%
rule = masking.rule(tokenizer)
first = masking.mask(ids, rule, (0, 0, 0))
again = masking.mask(ids, rule, (0, 0, 0))
later = masking.mask(ids, rule, (0, 1, 0))
for name, (seen, positions, labels) in (("pass 0", first), ("pass 0", again), ("pass 1", later)):
    print(name, " ".join(vocab.tokens[i] for i in seen), "  positions", positions.tolist())
    assert len(positions) == count
    assert (np.diff(positions) > 0).all(), "in ascending order"
    assert np.array_equal(labels, ids[positions]), "labels are what stood there"
    untouched = np.setdiff1d(np.arange(len(ids)), positions)
    assert np.array_equal(seen[untouched], ids[untouched]), "what was not chosen is not touched"
assert all(np.array_equal(a, b) for a, b in zip(first, again)), "same key, same masks"
assert not np.array_equal(first[1], later[1]), "another pass hides other words"

# %% [markdown]
# One sentence says little about shares. We need a text: the English that every Python carries. A small vocabulary of 1,000
# pieces keeps this lesson fast. 5 % of the documents are put aside: no model below will be trained on them.

# %%
corpus = corpora.read("python-docs")
parts = corpora.split(corpus.documents, held_out=0.05)
V = 1000
small = Tokenizer(learn.learn((sentence for document in parts[0] for sentence in document), V), max_length=64)
train_ids, unseen_ids = ([[small.ids(s) for s in document] for document in part] for part in parts)
print(corpus.description)
print(f"V = {V}: {sum(len(s) for d in train_ids for s in d):,} tokens to train on, "
      f"{sum(len(s) for d in unseen_ids for s in d):,} put aside")

# %%
stream = batches.Stream(train_ids, small, max_length=64, batch_size=2000, seed=0, next_sentence=False)
examples = stream.examples(0)
masked, _ = stream.batch()
chosen = np.concatenate([m.labels for m in masked])
seen = np.concatenate([m.ids[m.positions] for m in masked])
every = sum(int(stream.rule.is_ordinary[m.ids].sum()) + int((m.ids[m.positions] == small.vocab.mask_id).sum()) for m in masked)
share = {"chosen, of all ordinary tokens": len(chosen) / every,
         "of these: [MASK]": (seen == small.vocab.mask_id).mean(),
         "of these: another word": ((seen != small.vocab.mask_id) & (seen != chosen)).mean(),
         "of these: kept": (seen == chosen).mean()}
wb.table(["", "share"], [(name, f"{value:.1%}") for name, value in share.items()])
for got, wanted in zip(share.values(), (0.15, 0.8, 0.1, 0.1)):
    assert abs(got - wanted) < 0.01, f"expected about {wanted:.0%}, got {got:.1%}"
assert not np.isin(seen[(seen != small.vocab.mask_id)], small.vocab.special_ids).any(), "no random word is a special token"

# %% [markdown]
# "Kept" is a trifle too many and "another word" a trifle too few: one random draw in V happens to hit the word itself.
#
# ## Which of them count in the loss? All three
#
# A common mistake is to score only the places where [MASK] stands. The rule says: *all* chosen tokens are predicted.
# So a kept word counts (the answer is in plain sight), and a replaced one counts (what is in sight is wrong).
# Their number, not their kind, is what the loss is divided by. First we need that loss.
#
# ## The equation: how surprised was the model?
#
# The model gives V scores (logits) x for one hidden word. Softmax makes probabilities of them (lesson 8).
# **Cross-entropy** (交叉熵) is minus the logarithm of the probability that the *right* word y got. With the natural logarithm its
# unit is called **nat** (奈特):
#
# ```
# loss = -ln softmax(x)[y] = ln Σ_v exp(x_v) - x_y            in nats; over several words: the mean
# ```
#
# All on the right word: -ln 1 = 0. Nothing known, 1/V for each: ln V. Toy numbers: two hidden words, V = 5.

# %%
toy = np.array([[2.0, 0, 1, 0, -1], [0, 3, 0, 0, 0]])
answers = np.array([0, 4])
probabilities = softmax.forward(toy)[0]
wb.show("softmax of the logits", probabilities, "(M, V)")
surprise = [-np.log(probabilities[n, y]) for n, y in enumerate(answers)]
print(f"right words {answers}: surprise {surprise[0]:.3f} and {surprise[1]:.3f} nats, loss = mean = {np.mean(surprise):.3f}")
assert surprise[0] < np.log(5) < surprise[1], "better, and worse, than knowing nothing"

# %% [markdown]
# Three versions of it: a loop, whole arrays, the library's. The largest score is taken off first, so that `exp` cannot overflow:
# `ln Σ exp(x) = max + ln Σ exp(x - max)`.

# %%
def loop(x, labels):
    total = 0.0
    for n, y in enumerate(labels):
        total += np.log(sum(np.exp(score) for score in x[n])) - x[n, y]
    return total / len(labels)


def vectorised(x, labels):
    z = x - x.max(-1, keepdims=True)
    return (np.log(np.exp(z).sum(-1)) - z[np.arange(len(labels)), labels]).mean()


library, _ = cross_entropy.forward(toy, answers)
print(f"loop {loop(toy, answers):.12f}   vectorised {vectorised(toy, answers):.12f}   library {library:.12f}")
assert np.allclose([loop(toy, answers), vectorised(toy, answers)], library, rtol=1e-12)
assert np.isfinite(vectorised(toy + 1000, answers)), "scores of a thousand do no harm"
with np.errstate(over="ignore"):
    assert not np.isfinite(loop(toy + 1000, answers)), "the loop's exp overflows there"

# %% [markdown]
# ## The gradient
#
# `∂ ln Σ exp(x) / ∂x_v = softmax(x)_v`, and `x_y` is taken off once. So
#
# ```
# dx_v = (softmax(x)_v - [v = y]) / count            [v = y]: 1 for the right word, 0 for others (lesson 3)
# ```
#
# Probability where the word is wrong is pushed down; the right word is pushed up by what is missing. Each row adds up to zero.

# %%
library, cache = cross_entropy.forward(toy, answers)
dx = cross_entropy.backward(1.0, cache)
wb.show("dx", dx, "(M, V)")
assert np.allclose(dx, (probabilities - np.eye(5)[answers]) / 2), "softmax minus one-hot, over the count"
assert np.allclose(dx.sum(-1), 0)
result = check(cross_entropy, {"x": 2 * rng.standard_normal((7, 5)), "labels": np.array([4, -100, 0, 3, 3, -100, 1])})
print(f"gradient check: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")

# %% [markdown]
# ## Labels and the ignore index
#
# Two of the seven labels in that check were -100. Most tokens are not chosen: they have no right answer. Two ways to say so:
#
# 1. A list of chosen positions, and one label for each. That is what our batches hold, and the reference's.
# 2. A rectangle of labels, one for *every* token, with a number that means "leave me out": the **ignore index** (忽略索引).
#
# | where | number for "leave me out" |
# |---|---|
# | this library, and today's PyTorch ports | -100 |
# | earlier ports | -1 |
# | several tutorials | 0 |
# | the reference (`run_pretraining.py`) | none: a weight of 0.0 beside each padded slot |
#
# The number must not be a class. -100 and -1 never are. 0 is: it is the first word of the vocabulary, [PAD].

# %%
batch = batches.collate(masked[:3])
B, T = batch.ids.shape
rectangle = np.full(B * T, cross_entropy.IGNORE)
rectangle[batch.positions] = batch.targets["mlm"]
scores = rng.standard_normal((B * T, V))
by_list, _ = cross_entropy.forward(scores[batch.positions], batch.targets["mlm"])
by_rectangle, cache = cross_entropy.forward(scores, rectangle)
print(f"{B * T} tokens, {len(batch.positions)} labels: by list {by_list:.12f}, by rectangle {by_rectangle:.12f}")
assert np.isclose(by_list, by_rectangle, rtol=1e-12), "two ways to say the same"
silent = np.setdiff1d(np.arange(B * T), batch.positions)
assert not cross_entropy.backward(1.0, cache)[silent].any(), "an ignored row gets no gradient at all"

# %% [markdown]
# And the three kinds of chosen tokens? Here is what each adds to the loss of the bundled model, on our sentence, hidden 400
# times over. The mean over all is the mean over kinds, weighted by their numbers.

# %%
example = batches.Example(ids.astype(np.int32), len(ids), cross_entropy.IGNORE)
many = batches.collate([masking.mask_example(example, rule, (1, 0, i)) for i in range(400)])
out, _ = pretraining.forward(inputs(many, np), model.parameters.tree, model.config)
what = many.ids.reshape(-1)[many.positions]
kinds = {"[MASK]": what == vocab.mask_id, "kept": what == many.targets["mlm"]}
kinds["random"] = ~kinds["[MASK]"] & ~kinds["kept"]
rows = [(kind, int(pick.sum()), float(cross_entropy.forward(out.logits[pick], many.targets["mlm"][pick])[0]))
        for kind, pick in kinds.items()]
wb.table(["what the model saw", "tokens", "loss (nats)"], [*rows, ("all", len(many.positions), float(out.mlm_loss))])
assert np.isclose(sum(n * loss for _, n, loss in rows) / len(many.positions), out.mlm_loss, rtol=1e-5), "all three count"
losses = {kind: loss for kind, _, loss in rows}
assert losses["kept"] < losses["[MASK]"], "what is in plain sight is easiest"

# %% [markdown]
# ## How index 0 breaks the next-sentence head
#
# BERT has a second head. It gives one of two answers, 0 or 1, about the whole input. Lesson 11 is about it; here only its labels
# matter. Some tutorials ignore label 0 in *both* losses. With words all goes well: [PAD] is never the right answer.
# For the second head 0 is one of its two answers. Every such example is left out, and nobody notices: the loss falls.

# %%
pooled = rng.standard_normal((200, 6))
truth = (pooled @ rng.standard_normal(6) > 0).astype(np.int64)  # 0 or 1, learnable by one linear layer


def train_head(labels):
    """Plain gradient descent on the next-sentence head: the loss on ``labels``, and how many of the true answers are right."""
    p = {"weight": np.zeros((2, 6)), "bias": np.zeros(2)}
    for _ in range(400):
        logits, cache = nsp_head.forward(pooled, p)
        loss, loss_cache = cross_entropy.forward(logits, labels)
        g = {name: np.zeros_like(x) for name, x in p.items()}
        nsp_head.backward(cross_entropy.backward(1.0, loss_cache), cache, p, g)
        for name in p:
            p[name] -= 0.5 * g[name]
    right = logits.argmax(-1) == truth
    return float(loss), right.mean(), right[truth == 0].mean(), right[truth == 1].mean()


good = train_head(truth)
broken = train_head(np.where(truth == 0, cross_entropy.IGNORE, truth))
wb.table(["", "loss it reports", "right", "of class 0", "of class 1"],
         [(name, f"{r[0]:.3f}", *(f"{x:.0%}" for x in r[1:]))
          for name, r in (("-100 is ignored", good), ("0 is ignored", broken))])
assert min(good[1:]) > 0.95, "this task is easy"
assert broken[0] < good[0], "the broken one reports the lower loss"
assert broken[2] < 0.2, "of class 0 it finds next to none"
assert broken[3] == 1, "it answers 1"

# %% [markdown]
# The broken head reports the *lower* loss. It has learned to say "1" to nearly everything.
# So print how many are right beside the loss, and for each class.
#
# ## Padded slots in other implementations
#
# Sentences have different numbers of hidden words. The reference wants a rectangle, so it keeps
# `max_predictions_per_seq` slots (20 at length 128) in each example and fills the rest with position 0, label 0 and weight 0.0
# (`create_pretraining_data.py`). Then (`run_pretraining.py`, `get_masked_lm_output`):
#
# ```
# loss = Σ w·loss_slot / (Σ w + 1e-5)
# ```
#
# Why zeros? Any number would do, as long as the weights are zero. Forget the weights, and each padded slot is a question:
# "position 0 is [CLS]: which word stood there?" with the answer "word 0, [PAD]".

# %%
SLOTS = 20
H = 16
x = rng.standard_normal((B, T, H))
table = rng.standard_normal((V, H)) * 0.3
slots, slot_labels, weights = np.zeros((B, SLOTS), int), np.zeros((B, SLOTS), int), np.zeros((B, SLOTS))
for b in range(B):
    mine = batch.positions // T == b
    n = mine.sum()
    slots[b, :n], slot_labels[b, :n], weights[b, :n] = batch.positions[mine] % T, batch.targets["mlm"][mine], 1
wb.show("slots", slots, "(B, slots)")
rows = x[np.arange(B)[:, None], slots].reshape(-1, H)  # (B·slots, H), [CLS] again and again
each = np.array([cross_entropy.forward(row[None] @ table.T, label[None])[0] for row, label in zip(rows, slot_labels.reshape(-1))])
w = weights.reshape(-1)
reference = (w * each).sum() / (w.sum() + 1e-5)
ours, _ = cross_entropy.forward(x.reshape(-1, H)[batch.positions] @ table.T, batch.targets["mlm"])
print(f"reference, padded slots with weights {reference:.6f}    ours, a list without padding {ours:.6f}")
assert np.isclose(reference, ours, rtol=1e-5), "the same loss, but for the 1e-5"

# %%
def gradient_at_cls(labels):
    """Size of the gradient that reaches [CLS] from the slots, (B,)."""
    _, cache = cross_entropy.forward(rows @ table.T, labels)
    drows = cross_entropy.backward(1.0, cache) @ table
    dx = np.zeros_like(x)
    np.add.at(dx, (np.arange(B).repeat(SLOTS), slots.reshape(-1)), drows)
    return np.linalg.norm(dx[:, 0], axis=-1)


with_weights = gradient_at_cls(np.where(w > 0, slot_labels.reshape(-1), cross_entropy.IGNORE))
without = gradient_at_cls(slot_labels.reshape(-1))
print(f"gradient at [CLS]: with weights {with_weights}, without {without.round(3)}")
print(f"{(w == 0).mean():.0%} of the slots are padding")
assert not with_weights.any(), "a weight of zero, a gradient of zero"
assert (without > 0).all(), "forgotten weights train [CLS] to say [PAD]"

# %% [markdown]
# ## The decoder is the embedding table
#
# Who makes the V logits? The vector of the hidden word goes through one more linear layer, GELU and layer norm (H → H). Then the
# **decoder** (解码器) compares it with every word of the vocabulary: one product with a (V, H) table, and a bias for each word.
#
# ```
# z = layernorm(gelu(W·x + b))        logits = E·z + bias           E: (V, H)
# ```
#
# E is not new. It is the table of word embeddings of lesson 5, used a second time: **tied weights** (权重绑定).
# (`run_pretraining.py`, `get_masked_lm_output`, where the embedding table is an argument.) It saves V·H parameters.
# In the library the two names are one piece of memory. So the gradient has two contributions, and `+=` adds them by itself
# (`pretraining` is the whole model, the encoder with its heads):
#
# ```
# dE = from the decoder:  dlogitsᵀ·z              every row, for every word was scored
#    + from the lookup:   Σ of dx where the word stood        only rows of words in the batch
# ```

# %%
picture, axes = schematics.sketch(15, 3.9, "One table at both ends of the model")
ends = schematics.chain(axes, 2.6, ["ids\n(B, T)", "E[ids] + …\n(B, T, H)", "L layers\n(B, T, H)", "hidden rows\n(M, H)",
                                    "linear, GELU,\nnorm (M, H)", "E·z + bias\n(M, V)"],
                        [wb.GREY, wb.ORANGE, wb.PINK, wb.GREY, wb.GREEN, wb.ORANGE], ["", "", "take", "", "decode"],
                        width=1.75, gap=0.85)
E_box = schematics.box(axes, 7.5, 0.7, "E: the table of words (V, H)", wb.ORANGE, 3.6)
schematics.arrow(axes, E_box.left, ends[1].bottom, colour=wb.ORANGE)
schematics.arrow(axes, E_box.right, ends[5].bottom, colour=wb.ORANGE)
wb.save(picture, "10_flow", measured=False)

# %%
config = BertConfig(vocab_size=V, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
                    hidden_dropout_prob=0, attention_probs_dropout_prob=0, max_position_embeddings=64)
params = pretraining.initial_parameters(config.replace(initializer_range=0.3), seed=1, dtype=np.float64)
E = params["bert"]["embeddings"]["word_embeddings"]["weight"]
assert np.shares_memory(E, params["cls"]["predictions"]["decoder"]["weight"]), "one view, two names"
out, cache = pretraining.forward(inputs(batch, np), params.tree, config)

whole, decoder, lookup = params.zeros_like(), params.zeros_like(), params.zeros_like()
pretraining.backward(pretraining.Output(mlm_loss=1.0), cache, params.tree, whole.tree)
dlogits = cross_entropy.backward(1.0, cache.mlm_loss)
dx = mlm_head.backward(dlogits, cache.mlm, params["cls"]["predictions"], decoder["cls"]["predictions"])
body.backward(body.Output(last_hidden_state=dx), cache.bert, params["bert"], lookup["bert"])
dE, from_decoder, from_lookup = (slab["bert"]["embeddings"]["word_embeddings"]["weight"] for slab in (whole, decoder, lookup))

absent = np.setdiff1d(np.arange(V), batch.ids)
wb.table(["contribution", "norm", "rows that are not zero"],
         [(name, float(np.linalg.norm(d)), int(d.any(-1).sum()))
          for name, d in (("decoder", from_decoder), ("lookup", from_lookup), ("both, one view", dE))])
assert np.allclose(dE, from_decoder + from_lookup, rtol=1e-12), "the gradient of a weight used twice is a sum"
assert not from_lookup[absent].any(), "the lookup reaches only words of the batch"
assert from_decoder[absent].any(-1).all(), "the decoder reaches every word"

# %% [markdown]
# Is it true? The checker asks the forward pass. First the head alone, where one position is asked twice.
# Then the whole model with its tie, in random directions.

# %%
def affine(*shape):
    return {"weight": rng.standard_normal(shape), "bias": rng.standard_normal(shape[0])}


tiny = config.replace(vocab_size=11, hidden_size=6, num_attention_heads=3, intermediate_size=7, max_position_embeddings=8)
asked = np.array([2, 6, 7, 19, 2])
head = check(Pair(lambda x, p: mlm_head.forward(x, asked, p, tiny), mlm_head.backward), {"x": rng.standard_normal((4, 5, 6))},
             {"transform": {"dense": affine(6, 6), "LayerNorm": affine(6)}, "decoder": affine(11, 6)}, name="mlm_head")
print(f"head:  central differences {head.worst('central'):.0e}, complex step {head.worst('complex'):.0e}")

# %%
layout = pretraining.layout(tiny)
few = pretraining.Inputs(rng.integers(0, 11, (4, 5)), np.zeros((4, 5), int), None, asked[:4], np.array([1, 7, 5, 4]),
                         np.array([0, 1, 1, 0]))


def model_loss(p):
    out, cache = pretraining.forward(few, p, tiny)
    return out.loss, cache


def model_backward(dloss, cache, p, g):
    pretraining.backward(pretraining.Output(loss=dloss), cache, p, g)


attention = [f"bert.encoder.layer.{i}.attention.self" for i in range(2)]
tied = check(Pair(model_loss, model_backward), {}, layout.tree(0.7 * rng.standard_normal(layout.size)), directions=3,
             zero={f"{name}.key.bias": f"{name}.query.bias" for name in attention}, name="BERT with a tied decoder")
print(f"model: central differences {tied.worst('central'):.0e}, complex step {tied.worst('complex'):.0e}")

# %% [markdown]
# (The gradient of the key bias is zero: lesson 8.)
#
# ## Score the hidden words only: the cost before and after
#
# The product with E is H·V multiplications for *each* token that is scored. The loss looks at 15 % of them.
# So the head takes the hidden rows first (`take`, a gather), and scores M rows instead of B·T.
# Its backward puts M rows of gradient back into a rectangle of zeros. Nothing of the mathematics changes:

# %%
def loss_and_gradient(gather):
    """MLM loss and the whole gradient, scoring only the hidden positions or all of them."""
    x = inputs(batch, np)._replace(next_labels=None)
    if not gather:
        x = x._replace(positions=None, labels=rectangle.reshape(B, T))
    out, cache = pretraining.forward(x, params.tree, config)
    g = params.zeros_like()
    pretraining.backward(pretraining.Output(loss=1.0), cache, params.tree, g.tree)
    return out, g.flat


(all_rows, slow), (hidden_rows, fast) = loss_and_gradient(False), loss_and_gradient(True)
print(f"before: logits {all_rows.logits.shape}, loss {all_rows.loss:.12f}")
print(f"after:  logits {hidden_rows.logits.shape}, loss {hidden_rows.loss:.12f}")
print(f"gradients differ by {np.linalg.norm(slow - fast) / np.linalg.norm(slow):.0e} of their size")
assert np.isclose(all_rows.loss, hidden_rows.loss, rtol=1e-12), "the same loss"
assert np.allclose(slow, fast, rtol=1e-9, atol=1e-14), "the same gradient of every parameter"

# %% [markdown]
# What it saves depends on the sizes. Multiplications of one forward pass, counted:
# a layer takes 4·H² + 2·H·I + 2·T·H for each token, the head H² + H·V for each row.

# %%
def multiplications(c, B, T, rows):
    H, I, V = c.hidden_size, c.intermediate_size, c.vocab_size
    return B * T * c.num_hidden_layers * (4 * H**2 + 2 * H * I + 2 * T * H), rows * (H**2 + H * V)


cost = []
for name, c in (("this lesson's model", model.config), ("tiny", BertConfig.preset("tiny")), ("base", BertConfig.preset("base"))):
    layers, before = multiplications(c, 32, 64, 32 * 64)
    _, after = multiplications(c, 32, 64, round(0.15 * 32 * 64))
    cost.append((name, c.vocab_size, f"{before / (layers + before):.0%}", f"{after / (layers + after):.0%}",
                 f"{(layers + before) / (layers + after):.1f} x"))
    assert after / before == round(0.15 * 32 * 64) / (32 * 64), "the head's cost goes with the rows"
wb.table(["model, B = 32, T = 64", "V", "head's share before", "after", "forward pass cheaper by"], cost)

# %%
c = model.config
states = rng.standard_normal((32, 64, c.hidden_size)).astype(np.float32)
some = np.sort(rng.choice(32 * 64, round(0.15 * 32 * 64), replace=False))
took = {}
for name, positions in (("all", None), ("hidden only", some)):
    times = []
    for _ in range(wb.choose(7, 2)):
        begun = time.perf_counter()
        logits, _ = mlm_head.forward(states, positions, model.parameters["cls"]["predictions"], c)
        times.append(time.perf_counter() - begun)
    took[name] = (int(np.prod(logits.shape[:-1])), logits.nbytes / 2**20, 1e3 * float(np.median(times)))
wb.table(["scored", "rows", "memory of the logits (MiB)", "time here (ms)"], [(name, *values) for name, values in took.items()])
assert (took["all"][0], took["hidden only"][0]) == (2048, 307)

# %% [markdown]
# ## Why 80/10/10? Measure the alternatives
#
# The paper's reason (*§3.1*): users never write [MASK]. A model that has only ever been asked about [MASK] owes nothing
# to the tokens it can see. Kept and random words make it answer for those too, and it cannot know which is which.
#
# Four rules, and models equal in everything but the shares: with random words and with kept ones, with neither, with one of them.
# One run proves little: another seed starts from other numbers, and reads and hides in another order. So the two rules that learn
# soonest are trained three times each, and their spread is shown. Two layers, H = 64, V = 1,000, sequences of 16 tokens.
# (Why so short: lesson 13. How the updates are made: lesson 12.) Each is asked about the *same* words of texts that it has never
# seen, hidden in three ways: by [MASK], by a random word, and not at all.
#
# `Engine` holds the parameters; its `train` runs forward and backward and moves every weight a little. `Workers` are its threads.

# %%
UPDATES = wb.choose(900, 8)
RATE = 0.15  # <- the knob
RULES = {"80/10/10": (0.8, 0.1), "100/0/0": (1.0, 0.0), "80/20/0": (0.8, 0.2), "80/0/20": (0.8, 0.0)}
SEEDS = {"80/10/10": (0, 1, 2), "100/0/0": (0,), "80/20/0": (0,), "80/0/20": (0, 1, 2)}
if wb.QUICK:
    RULES = {name: RULES[name] for name in ("80/10/10", "100/0/0")}
    SEEDS = dict.fromkeys(RULES, (0,))
shape = BertConfig.preset("tiny", vocab_size=V, hidden_size=64, intermediate_size=256, max_position_embeddings=16,
                          hidden_dropout_prob=0, attention_probs_dropout_prob=0, initializer_range=0.07)
asked_by = {"[MASK]": (1, 0), "random": (0, 1), "kept": (0, 0)}
unseen = {how: batches.held_out(unseen_ids, small, max_length=16, next_sentence=False, max_examples=wb.choose(600, 40),
                                mask_share=mask, random_share=random) for how, (mask, random) in asked_by.items()}
for a, b in zip(unseen["[MASK]"], unseen["kept"]):
    assert np.array_equal(a.targets["mlm"], b.targets["mlm"]), "the same words, hidden otherwise"

# %%
def train(mask_share, random_share, seed, workers):
    """Loss on unseen [MASK] after so many updates, as {updates: loss}, and {how the words are hidden: metrics} after the last."""
    stream = batches.Stream(train_ids, small, max_length=16, batch_size=64, seed=seed, next_sentence=False, rate=RATE,
                            mask_share=mask_share, random_share=random_share)
    engine = Engine(pretraining.of(shape), pretraining.initial_parameters(shape, seed=seed), workers)
    position, curve = batches.Position(), {}
    for update in range(1, UPDATES + 1):
        examples, position = stream.batch(position)
        engine.train(batches.micro_batches(examples), learning_rate(update, 4e-3, UPDATES // 10, UPDATES))
        if update % (UPDATES // 6) == 0:
            curve[update] = float(engine.evaluate(unseen["[MASK]"]).mlm_loss)
    return curve, {how: engine.evaluate(b) for how, b in unseen.items()}


begun = time.perf_counter()
with Workers() as workers:
    results = {(name, seed): train(*shares, seed, workers) for name, shares in RULES.items() for seed in SEEDS[name]}
print(f"{len(results)} models, {UPDATES:,} updates each: {time.perf_counter() - begun:.0f} s")

# %%
last = {run: metrics for run, (_, metrics) in results.items()}
words = np.concatenate([b.targets["mlm"] for b in unseen["[MASK]"]])
counts = np.bincount(np.concatenate([np.concatenate(d) for d in train_ids if d]).astype(int), minlength=V) + 1
by_frequency = float(-np.log(counts[words] / counts.sum()).mean())  # always the same guess: how frequent each word is
print(f"guessing blindly: ln V = {np.log(V):.2f} nats; by frequency alone: {by_frequency:.2f} nats")
wb.table(["mask/random/kept", "seed", *(f"{how}: {what}" for how in asked_by for what in ("nats", "right"))],
         [(name, seed, *(cell for how in asked_by for cell in (f"{float(m[how].mlm_loss):.2f}", f"{m[how].mlm_accuracy:.1%}")))
          for (name, seed), m in last.items()])
asked = {(name, how): [last[name, seed][how] for seed in SEEDS[name]] for name in RULES for how in asked_by}
mlm = {key: [float(m.mlm_loss) for m in seeds] for key, seeds in asked.items()}
accuracy = {key: [float(m.mlm_accuracy) for m in seeds] for key, seeds in asked.items()}
for m in last.values():
    assert all(np.isfinite(m[how].mlm_loss) and m[how].counts["mlm"] == len(words) for how in asked_by)

# %% [markdown]
# Read it column by column, and look at the seeds before you believe a difference.
#
# - **[MASK]**: the question of the beginning. The mixture reads context by now. 100/0/0 and 80/20/0 *do not yet*: after as many
#   updates they still guess hardly better than by frequency. What they lack is kept words. A likely reason: a kept word teaches,
#   cheaply, that a word's vector should point to its own row of E. Once it does, the words beside it can read it.
#   And 80/10/10 beats 80/0/20, which has twice as many kept words. Is that luck? The three seeds of either rule differ by less
#   than the rules do, so with these seeds it is not. A likely reason: whoever is never lied to may answer every visible word
#   by copying it, and needs the context at [MASK] only; with random words it is needed at every chosen place. But both are
#   still falling: who is ahead after 900 updates need not be ahead after a million. The paper's models were trained to the
#   end, and differed by little (*§C.2, Table 8*). We have measured this budget, this size and three seeds; of the other two
#   rules one seed each.
# - **kept**: words in plain sight. 100/0/0 does not even recognise these: nobody asked.
# - **random**: a wrong word in plain sight. 80/0/20 was never lied to. It believes what it sees, always, and is
#   worse than blind guessing. The mixture has learned some doubt. That is what the random words are for.
#
# So here the kept words bring a quick start, and the random words bring doubt and a start that is quicker still.

# %%
if not wb.QUICK:
    mean = {key: np.mean(losses) for key, losses in mlm.items()}
    assert max(mlm["80/10/10", "[MASK]"]) < by_frequency - 0.4, "the mixture reads context, with every seed"
    for name in ("100/0/0", "80/20/0"):
        assert mean[name, "[MASK]"] > mean["80/10/10", "[MASK]"] + 0.3, f"{name} learns more slowly here"
    assert mean["80/0/20", "[MASK]"] > mean["80/10/10", "[MASK]"] + 0.1, "and so does 80/0/20, if less so"
    assert min(accuracy["80/10/10", "kept"]) > 0.6, "it recognises a visible word"
    assert max(accuracy["100/0/0", "kept"]) < 0.4, "it does not: nobody asked"
    assert min(accuracy["80/0/20", "kept"]) > 0.95, "it believes everything,"
    assert min(mlm["80/0/20", "random"]) > np.log(V), "lies too"
    assert max(mlm["80/10/10", "random"]) < min(mlm["80/0/20", "random"]) - 3, "the mixture has learned to doubt"

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(14, 6, "A mixture learns to read, to recognise and to doubt")
left, right = picture.subplots(1, 2, width_ratios=(1.1, 1))
LOOK = {"80/10/10": ("o-", 2.4), "100/0/0": ("-", 7), "80/20/0": ("--", 2.4), "80/0/20": ("s-", 2.4)}  # one would be hidden: wide
width = 0.8 / len(RULES)
for i, name in enumerate(RULES):
    colour, (line, wide) = f"C{i}", LOOK[name]
    for seed in SEEDS[name]:
        curve, _ = results[name, seed]
        left.plot(list(curve), list(curve.values()), line, color=colour, linewidth=wide, alpha=0.75, zorder=10 - wide)
    x = np.arange(3) + (i - (len(RULES) - 1) / 2) * width
    right.bar(x, [np.mean(mlm[name, how]) for how in asked_by], width, color=colour, alpha=0.7, label=name)
    for place, how in zip(x, asked_by):
        right.plot([place] * len(SEEDS[name]), mlm[name, how], "o", color="black", fillstyle="none", markersize=6)
left.axhline(by_frequency, color=wb.GREY, linestyle=":", linewidth=1.5)
left.text(UPDATES, by_frequency + 0.03, "by frequency alone", ha="right", va="bottom", color=wb.GREY, fontsize=13)
left.set(xlabel="updates", ylabel="loss (nats)", title="Asked about [MASK], unseen text; a line a seed")
right.axhline(np.log(V), color=wb.GREY, linestyle=":", linewidth=1.5)
right.text(2.45, np.log(V) + 0.1, "blind guessing, ln V", ha="right", va="bottom", color=wb.GREY, fontsize=13)
right.set_xticks(range(3), ["hidden by [MASK]", "hidden by\na random word", "kept, in sight"])
right.set(ylabel="loss (nats)", title="Hidden in three ways; a circle a seed")
picture.legend(*right.get_legend_handles_labels(), title="[MASK] / random / kept (%)", loc="outside lower center", ncols=4,
               frameon=False)
wb.save(picture, "10_masking_rules")

# %% [markdown]
# ## One knob to turn
#
# Two numbers are worth turning, in the cell that ends in `# <- the knob`.
#
# - `RATE`, the share of tokens that is hidden. At 0.05 there is little to learn from in each sentence: expect a slow start.
#   At 0.4 the context has holes: expect the loss on [MASK] to end higher or lower? Try it, and note that the unseen text
#   is still asked at 15 %. (*Wettig et al. 2022* found that large models like 40 %.)
# - `UPDATES`: at 3,600, does 100/0/0 leave the line of "by frequency alone"? (Four times as long.)
#
# ## Exercises
#
# Five, below. Write the answers into a file of your own and have them graded:
#
# `python -m lessons.check 10 answers.py`
#
# It prints one line for each exercise, `1. how_many: right` for example, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# | what you see | what to look at |
# |---|---|
# | the loss is low at once | are the *hidden* ids fed in, or the labels? Are unchosen tokens in the loss? |
# | the loss does not start near ln V | is the mean taken over the labels, not over all B·T tokens? |
# | the model says [PAD] a lot | padded slots count: weights forgotten |
# | the second loss is near 0, the accuracy is 50 % | its class 0 is ignored |
# | `nan` in the loss | the maximum is not taken off before `exp` |
# | the embedding's gradient fails the check | one of the two contributions is missing, or `g[ids] +=` lost repeated ids |
# | an index error in the decoder | positions count inside a sentence (0 … T-1); the gather wants b·T + t |

# %%
wb.exercises(10)
