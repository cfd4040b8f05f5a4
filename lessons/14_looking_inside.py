# %% [markdown]
# # 14. Looking inside
#
# **You will do**: draw what every head of a trained model looks at, give numbers to it on text the model has not learned from,
# switch heads off, and ask the gradient which ones matter.
#
# **You will learn**: what the four heads of the bundled model have become, how to tell a habit from chance, and why a small
# gradient does not mean that a head is useless.
#
# **You need**: lesson 8 (heads), lesson 9 (the head mask), lesson 10 (masked words), lesson 13 (held-out text).
#
# Time: about 45 minutes to read; runs in about 25 s.

# %%
import sys

import numpy as np
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert.data import corpora
from minibert.data.report import unigram_loss
from minibert.layers import softmax
from minibert.model import bert as body
from minibert.model import pretraining
from minibert.model.pretraining import inputs
from minibert.parameters import NOTHING
from minibert.tasks import batches

bert = minibert.load()
config, p, vocab = bert.config, bert.parameters.tree, bert.tokenizer.vocab
L, A = config.num_hidden_layers, config.num_attention_heads
HEADS = [(layer, head) for layer in range(L) for head in range(A)]
print(bert)
assert (L, A) == (2, 2), "four heads in all: 0.0 and 0.1 in the first layer, 1.0 and 1.1 in the second"

# %% [markdown]
# ## The question
#
# Nobody told the heads what to look at. Only the loss did. What have they become? And does it matter?
#
# The weights of one head for one text, T queries by T keys, are its **attention map** (注意力图). Each row adds up to 1.
#
# ## Toy numbers: a map of four words
#
# A head that looks at the word before, mostly. How would one put a number on "mostly"?

# %%
toy = np.array([[1.0, 0.0, 0.0, 0.0],   # the first word has none before it
                [0.8, 0.1, 0.0, 0.1],
                [0.0, 0.6, 0.4, 0.0],
                [0.1, 0.0, 0.7, 0.2]])
wb.show("toy", toy, "(T queries, T keys)")
print("the weight on the word before: 0.8, 0.6 and 0.7; their mean is", np.mean([0.8, 0.6, 0.7]).round(3))

# %% [markdown]
# ## The equation
#
# Say for every query q which keys k count: a table of 0 and 1, here `counts`. The score of head a is the weight P that falls on
# them, averaged over the n queries that have any:
#
# $$\text{score}_a = \frac{1}{n}\sum_{q}\sum_k P_{a,q,k}\cdot \text{counts}_{q,k} \qquad n = \text{number of } q \text{ with }
# \text{counts}_{q,k} = 1 \text{ for some } k$$
#
# A number alone says little. In a text of four words even a head that looks everywhere alike puts a quarter of its weight on the
# word before. So each score stands beside that of a head whose weights are all equal.
#
# ## A plain loop

# %%
def score_in_loops(weights, counts):
    """Weights (T, T) and the table (T, T) of what counts -> the score of one head."""
    total, queries = 0.0, 0
    for q in range(len(weights)):
        if any(counts[q]):
            queries += 1
            for k in range(len(weights)):
                if counts[q][k]:
                    total += weights[q, k]
    return total / queries


before = np.eye(4, k=-1)  # 1 below the diagonal: key q - 1 for query q
print(f"score {score_in_loops(toy, before):.3f}, of equal weights {score_in_loops(np.full((4, 4), 0.25), before):.3f}")
assert np.isclose(score_in_loops(toy, before), 0.7), "as by hand"
assert np.isclose(score_in_loops(np.full((4, 4), 0.25), before), 0.25), "what chance alone would give"

# %% [markdown]
# ## Vectorised
#
# For all heads and texts at once, as a sum and a count, so that batches can be added up.

# %%
def score(weights, counts):
    """Weights (L, B, A, T, T) and the table (B, T, T) of what counts -> sums (L, A) and the number of queries."""
    on_target = (weights * counts[:, None]).sum(-1)  # (L, B, A, T)
    return on_target.sum((1, 3)), int(counts.any(-1).sum())


sums, queries = score(toy[None, None, None], before[None])
assert np.isclose(sums[0, 0] / queries, score_in_loops(toy, before)), "the vectorised score is the loop's"

# %% [markdown]
# ## The library's own function
#
# `bert(texts, attentions=True)` returns the maps of every layer, (B, A, T, T). (The sentence is a knob, see below.)

# %%
SENTENCE = "if the file is not found, the function returns None."  # <- the knob
answer = bert(SENTENCE, attentions=True)
tokens = answer.tokens[0]
maps = np.stack([layer[0] for layer in answer.attentions])  # (L, A, T, T)
for layer, head in HEADS:
    strongest = [tokens[k] for k in maps[layer, head].argmax(-1)]
    print(f"head {layer}.{head}: " + "  ".join(f"{token}→{seen}" for token, seen in zip(tokens, strongest)))
assert maps.shape == (L, A, len(tokens), len(tokens)), "one map for every head"
assert np.allclose(maps.sum(-1), 1, atol=1e-5), "each row adds up to 1"

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(14, 13, "Two of the four heads look at a neighbour")
for axes, (layer, head) in zip(picture.subplots(2, 2).flat, HEADS):
    image = axes.imshow(maps[layer, head], cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(tokens)), tokens, rotation=60, ha="right", rotation_mode="anchor", fontsize=13)
    axes.set_yticks(range(len(tokens)), tokens, fontsize=13)
    habit = {(0, 1): ": the next token", (1, 1): ": the token before"}.get((layer, head), ": broadly")
    axes.set(title=f"head {layer}.{head}{habit}", xlabel="key: looked at", ylabel="query: looks")
picture.colorbar(image, ax=picture.axes, shrink=0.5, label="weight")
wb.save(picture, "14_maps")

# %% [markdown]
# ## Scores on held-out text
#
# One sentence proves nothing. We take all held-out documents, split off as in training (`corpora.split`, the same seed), with the
# same hidden words. The bundled model learned from the text of Python 3.11. On another Python the split is another one, most of
# these documents have been in its training text, and the losses come out lower. What heads look at hardly depends on it.

# %%
corpus = corpora.read("python-docs")
train, held_out = corpora.split(corpus.documents)
train, held_out = ([[bert.tokenizer.ids(s) for s in document] for document in part]
                   for part in (train[:wb.choose(None, 20)], held_out))
held = batches.held_out(held_out, bert.tokenizer, max_length=bert.max_length, max_tokens=2048,
                        max_examples=wb.choose(None, 24))
print(f"Python {sys.version.split()[0]}: {len(held_out)} held-out documents, {sum(len(b.ids) for b in held)} texts, "
      f"{sum(b.tokens for b in held):,} tokens, {sum(len(b.positions) for b in held):,} to guess")

# %% [markdown]
# Which keys count? Four questions from the literature (*Clark et al. 2019, "What Does BERT Look At?", §3, found such heads in
# BERT-base*): the token before, the token after, [SEP], and another place with the same word. Queries are real words; special
# tokens are left out.

# %%
def tables(batch):
    """Question -> the table (B, T, T) of what counts in a batch."""
    ids = batch.ids
    T = ids.shape[1]
    word = ~np.isin(ids, vocab.special_ids)  # (B, T) as queries; [PAD] is special, too
    any_key = np.ones((1, T, T), dtype=bool)
    same = (ids[:, :, None] == ids[:, None, :]) & ~np.eye(T, dtype=bool)
    wanted = {"token before": np.eye(T, k=-1, dtype=bool) & any_key, "token after": np.eye(T, k=1, dtype=bool) & any_key,
              "[SEP]": (ids == vocab.sep_id)[:, None, :] & any_key, "same word": same}
    return {question: counts & word[:, :, None] for question, counts in wanted.items()}


def all_scores(held):
    """Question -> scores (L, A), and what equal weights would score."""
    sums, equal, queries = {}, {}, {}
    for batch in held:
        out, _ = body.forward(batch.ids, batch.token_type_ids, batch.attention_mask, p["bert"], config)
        weights = np.stack(out.attentions)  # (L, B, A, T, T)
        real = np.ones(batch.ids.shape, dtype=bool) if batch.attention_mask is None else batch.attention_mask
        uniform = np.broadcast_to((real / real.sum(1, keepdims=True))[:, None, None, :], weights.shape[1:])[None]
        for question, counts in tables(batch).items():
            found, number = score(weights, counts)
            sums[question] = sums.get(question, 0) + found
            equal[question] = equal.get(question, 0) + score(uniform, counts)[0][0, 0]
            queries[question] = queries.get(question, 0) + number
    return {q: sums[q] / queries[q] for q in sums}, {q: equal[q] / queries[q] for q in sums}


# %%
scores, chance = all_scores(held)
wb.table(["weight on", *[f"head {layer}.{head}" for layer, head in HEADS], "equal weights"],
         [[question, *map(float, found.flat), float(chance[question])] for question, found in scores.items()])
assert all(found.shape == (L, A) and (0 <= found).all() and (found <= 1 + 1e-5).all() for found in scores.values()), "shares"
if not wb.QUICK:
    assert scores["token after"][0, 1] > 0.8, "head 0.1 looks at the next token, nearly always"
    assert scores["token before"][1, 1] > 0.7, "head 1.1 looks at the one before"
    others = [scores[q][head] for q in ("token before", "token after") for head in ((0, 0), (1, 0))]
    assert max(others) < 0.2, "the other two have no such habit"
    assert scores["[SEP]"].max() < 2 * chance["[SEP]"], "no head is fond of [SEP]"
    assert scores["same word"].max() < 2 * chance["same word"], "nor of the same word"

# %% [markdown]
# So this small model has two heads that do one thing each: 0.1 reads the next token, 1.1 the one before. For guessing a hidden
# word, the neighbours are worth most. No head here rests on [SEP] or on repetitions: what BERT-base grew with 144 heads, a model
# with four did not. We looked, and it is not there.
#
# And the other two? They spread their weight. Each row of a map is a set of shares, so it has an entropy (lesson 13), and e to
# the entropy says over how many tokens it is spread: n equal weights have the entropy ln n.

# %%
out, _ = body.forward(held[0].ids, held[0].token_type_ids, held[0].attention_mask, p["bert"], config)
weights = np.stack(out.attentions)  # (L, B, A, T, T)
entropy = -(weights * np.log(np.maximum(weights, 1e-30))).sum(-1)  # (L, B, A, T)
spread = np.exp(entropy.mean((1, 3)))
print(f"a row spreads over about this many of {held[0].ids.shape[1]} tokens:")
wb.table([f"head {layer}.{head}" for layer, head in HEADS], [[float(s) for s in spread.flat]])
assert (spread >= 1).all(), "at least one"
if not wb.QUICK:
    assert spread[0, 0] > 8 * spread[0, 1], "head 0.0 reads broadly, head 0.1 a single token"
    assert spread[1, 0] > 8 * spread[1, 1], "and so do 1.0 and 1.1"

# %% [markdown]
# ## Switching heads off
#
# That a head looks somewhere does not mean that anything depends on it. An **ablation** (消融) asks: what is lost when it is
# gone? We set its gate to 0 (lesson 9) and measure the held-out loss again, for both tasks. Beside it: what a model would pay
# that knows how frequent each word is, and nothing else (lesson 13).

# %%
def held_out_loss(gates):
    """Masked-word loss and next-sentence loss with these gates (L, A), over all held-out batches."""
    counts = tuple(pretraining.of(config).counts(held).values())
    parts = [pretraining.forward(inputs(b, np), p, config, counts=counts, head_mask=gates)[0] for b in held]
    return sum(float(o.mlm_loss) for o in parts), sum(float(o.nsp_loss) for o in parts)


def gates_without(*heads):
    gates = np.ones((L, A), dtype=np.float32)
    for head in heads:
        gates[head] = 0
    return gates


every_word = np.concatenate([s for document in train for s in document])
frequency = unigram_loss(every_word, np.concatenate([b.targets["mlm"] for b in held]), config.vocab_size)
whole = held_out_loss(gates_without())
single = {head: held_out_loss(gates_without(head)) for head in HEADS}
groups = {"0.1 and 1.1": ((0, 1), (1, 1)), "0.0 and 1.0": ((0, 0), (1, 0)), "all four": HEADS}
together = {name: held_out_loss(gates_without(*heads)) for name, heads in groups.items()}
rows = [["nothing", whole], *[[f"{layer}.{head}", single[layer, head]] for layer, head in HEADS], *together.items()]
wb.table(["switched off", "masked words", "change", "next sentence", "change"],
         [[name, a, f"{a - whole[0]:+.3f}", b, f"{b - whole[1]:+.3f}"] for name, (a, b) in rows])
print(f"guessing by frequency alone: {frequency:.3f}")
assert all(np.isfinite(values).all() for values in (whole, *single.values(), *together.values())), "numbers, all of them"

# %%
change = np.array([[single[layer, head][0] - whole[0] for head in range(A)] for layer in range(L)])  # (L, A)
if not wb.QUICK:
    assert whole[0] < frequency - 1.5, "the whole model uses the context"
    assert change[0, 1] > 2 * change[0, 0], "the neighbour's head matters more in layer 0 …"
    assert change[1, 1] > 2 * change[1, 0], "… and in layer 1"
    both = together["0.1 and 1.1"][0] - whole[0]
    assert both > change[0, 1] + change[1, 1], "without both neighbours more is lost than the two losses together"
    assert abs(together["all four"][0] - frequency) < 0.3, "without any head, little is left but knowing frequencies"
    assert single[1, 0][1] - whole[1] > 0.05, "for the sentence pairs, head 1.0 is the one that counts"

# %% [markdown]
# Read it line by line:
#
# - Each of the two neighbour heads carries a good part of what the model knows about hidden words.
# - Without both, the loss rises by more than the two single losses together: as long as one neighbour is seen, it makes up for
#   part of the other.
# - With no head at all, each token is alone, and the loss is close to that of guessing by frequency.
# - Heads 0.0 and 1.0 look unremarkable on the map. But the sentence pairs depend on 1.0: to compare two sentences, one must
#   read broadly.
#
# What does it do to an answer? Softmax over the logits gives each word of the vocabulary its probability, as in lesson 1.

# %%
def guesses(text, gates, top=3):
    """The likeliest words for the [MASK] of a text."""
    encoding = bert.tokenizer.encode(text)
    ids, types, mask = bert.tokenizer.batch([encoding])
    out, _ = pretraining.forward(pretraining.Inputs(ids, types, mask), p, config, head_mask=gates)
    probabilities, _ = softmax.forward(out.logits[0, encoding.ids.index(vocab.mask_id)])  # (V,)
    return [(vocab.tokens[i], float(probabilities[i])) for i in np.argsort(-probabilities)[:top]]


text = "this method [MASK] be called by the user."
for name, gates in (("all heads", gates_without()), ("without 0.1, the next token", gates_without((0, 1))),
                    ("without 1.1, the token before", gates_without((1, 1))), ("no heads", gates_without(*HEADS))):
    print(f"{name:31}" + "   ".join(f"{word} {share:.1%}" for word, share in guesses(text, gates)))
usual = bert.fill_mask(text, top=3)
assert [w for w, _ in usual] == [w for w, _ in guesses(text, gates_without())], "gates of 1 change nothing"

# %% [markdown]
# ## Importance from the gradient
#
# To switch off every head in turn takes one pass over the text for each: 144 for BERT-base. The gradient of the gates takes
# one backward pass for all. **Head importance** (头重要性) is its size: how much the loss of a text would change if the
# gate were moved a little. The sign differs from text to text, so one takes the absolute value for each and then the mean.
# *Michel et al. 2019, "Are Sixteen Heads Really Better than One?", §4.1, equation 1.*
#
# With a gate for each text, (L, B, A), the library returns the gradient for each text. A text's loss here is its share of hidden
# words' surprise, divided by the hidden words that a text has on average. Then the mean over the texts is the held-out loss, and
# the mean of their gradients, with sign, its slope.

# %%
by_text = []
texts = sum(len(b.ids) for b in held)
counts = tuple(count / texts for count in pretraining.of(config).counts(held).values())  # of a text, on average
for batch in held:
    gates = np.ones((L, len(batch.ids), A), dtype=np.float32)
    out, cache = pretraining.forward(inputs(batch, np), p, config, counts=counts, head_mask=gates)
    d = pretraining.backward(pretraining.Output(mlm_loss=1.0), cache, p, NOTHING)  # nothing is kept for the weights
    assert d.head_mask.shape == gates.shape, "a gradient for every gate, in its shape"
    by_text.append(d.head_mask)
by_text = np.concatenate(by_text, axis=1)  # (L, texts, A)
importance, slopes = np.abs(by_text).mean(1), by_text.mean(1)  # (L, A) both

# %%
wb.table(["head", "importance, mean |gradient|", "mean gradient", "measured change of the loss"],
         [[f"{layer}.{head}", float(importance[layer, head]), float(slopes[layer, head]), float(change[layer, head])]
          for layer, head in HEADS])
order = {name: [f"{i // A}.{i % A}" for i in np.argsort(-values, axis=None)] for name, values in
         (("importance", importance), ("measured", change))}
print("by importance:", " > ".join(order["importance"]), "      by measurement:", " > ".join(order["measured"]))
assert (importance >= np.abs(slopes) - 1e-6).all(), "a mean of sizes is never smaller than the size of the mean"
if not wb.QUICK:
    assert set(order["importance"][:2]) == set(order["measured"][:2]) == {"0.1", "1.1"}, "both find the two neighbour heads"
    assert (np.abs(slopes) < change / 2).sum() >= 3, "the slope says far too little"

# %% [markdown]
# The gradient finds the right two heads. But as a forecast it fails. The mean gradient is the slope of the held-out loss: where
# it is positive, it even promises a *gain* from turning the head down. Why? Turn each gate slowly from 1 to 0 and look.

# %%
STEPS = wb.choose(np.array([0, 0.25, 0.5, 0.75, 1, 1.25]), np.array([0.0, 0.5, 1.0]))
curves = {}
for layer, head in HEADS:
    curves[layer, head] = []
    for value in STEPS:
        gates = gates_without()
        gates[layer, head] = value
        curves[layer, head].append(held_out_loss(gates)[0])
slope = {head: float(slopes[head]) for head in HEADS}
promised = {head: -slope[head] for head in HEADS}  # one step of -1 along the slope
wb.table(["head", "loss at gate 0.5", "at gate 0", "promised by the slope at gate 1"],
         [[f"{a}.{b}", float(np.interp(0.5, STEPS, curves[a, b])), curves[a, b][0], whole[0] + promised[a, b]] for a, b in HEADS])
assert np.isclose(np.interp(1.0, STEPS, curves[0, 0]), whole[0], atol=1e-4), "gate 1 is the model as it is"

# %%
picture = wb.figure(12, 6.4, "The slope at gate 1 knows little of what is lost at gate 0")
axes = picture.subplots()
for (head, curve), colour in zip(curves.items(), (wb.SKY, wb.ORANGE, wb.GREEN, wb.BLUE)):
    name = f"head {head[0]}.{head[1]}" + {(0, 1): ", next token", (1, 1): ", token before"}.get(head, "")
    axes.plot(STEPS, curve, "o-", color=colour, label=name)
    axes.plot([0.6, 1.25], [whole[0] + slope[head] * (x - 1) for x in (0.6, 1.25)], ":", color=colour, linewidth=1.6)
axes.plot([], [], ":", color=wb.GREY, label="slope at gate 1")
axes.set(xlabel="gate: 0 is off, 1 is the model as it is", ylabel="held-out loss, nats a masked word")
axes.legend()
wb.save(picture, "14_gates")

# %% [markdown]
# Training has found weights that suit gates of 1: there each curve is near the bottom of its valley, almost flat, and the
# gradient knows the flat part only. Use it to rank heads, not to say what they are worth. For that, switch them off.
#
# ## Gradient check
#
# All of this stands on the gradient of the head mask, which has come back through the whole model. So we check it there: the
# bundled model in float64, both losses, and every parameter on the way, along random directions. (A narrow one with `--quick`.)

# %%
narrow = config.replace(hidden_size=8, intermediate_size=16, initializer_range=0.5)
size, exact = wb.choose((config, minibert.load(dtype=np.float64).parameters),
                        (narrow, pretraining.initial_parameters(narrow, dtype=np.float64)))
few = batches.held_out(held_out, bert.tokenizer, max_length=16, max_examples=3, max_tokens=64)[0]


def forward(gates, tree):
    out, cache = pretraining.forward(inputs(few, np), tree, size, head_mask=gates)
    return out.loss, cache


def backward(dloss, cache, tree, g):
    return pretraining.backward(pretraining.Output(loss=dloss), cache, tree, g).head_mask


names = [f"bert.encoder.layer.{i}.attention.self" for i in range(L)]
biases = {f"{name}.key.bias": f"{name}.query.bias" for name in names}  # zero, against that of the query bias: lesson 8
result = check(Pair(forward, backward), {"head_mask": np.ones((L, A))}, exact.tree, directions=1, zero=biases,
               tolerance={"central": 1e-5, "complex": 1e-9}, name="BERT with gates")  # one direction may be nearly flat
for method, errors in result.errors.items():
    print(f"{method:8} {len(errors)} arrays; error of the head mask {errors['head_mask']:.0e}, "
          f"worst of all {max(errors.values()):.0e}")
assert result.ok, "the gradient of the gates, and of everything else, is what the numbers say"

# %% [markdown]
# ## Beware
#
# - A map shows where a head *looks*, not what it *takes*: the value that is found there may be small. Two models can have
#   different maps and the same answers (*Jain and Wallace 2019, "Attention is not Explanation"*). Switching off is the
#   stronger test.
# - In deeper layers a "token" is no longer a word: its vector holds what layers before have brought. Head 1.1 looks at the
#   token before, but that token has already read its own next one, which is the query itself.
# - With a hundred heads and a dozen questions, some score is high by chance. Compare with equal weights, on text of its own.

# %% [markdown]
# ## One knob to turn
#
# Change `SENTENCE`, under "The library's own function", to a sentence of your own, and run again. What to expect: the arrows of
# head 0.1 still point one token ahead, and those of head 1.1 one token back, whatever the words are. The arrows of 0.0 and 1.0
# change with the words.

# %%
ahead, back = (float(np.diagonal(maps[layer, 1], offset).mean()) for layer, offset in ((0, 1), (1, -1)))
print(f"in {SENTENCE!r}: head 0.1 on the next token {ahead:.2f}, head 1.1 on the one before {back:.2f}")
assert ahead > 0.25, "head 0.1 has kept its habit in this sentence, too"
assert back > 0.25, "and so has head 1.1"

# %% [markdown]
# ## Exercises
#
# Five functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My scores are larger than 1.* Weights on several keys are summed over keys, then averaged over queries: divide by the number
#   of queries.
# - *My scores are too small.* Did you divide by all T·T entries, or count padding and queries without a target?
# - *I get next and previous mixed up.* Rows are queries, columns are keys. The token before query q is column q − 1: the
#   diagonal below the main one, `np.eye(T, k=-1)`.
# - *The entropy is NaN.* 0·log 0 counts as 0; give log something above 0.
# - *Importance and measurement disagree.* They may: see "Importance from the gradient". First check that you took absolute
#   values for each text, and then the mean.

# %%
wb.exercises(14)
