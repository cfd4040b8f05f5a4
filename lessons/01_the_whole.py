# %% [markdown]
# # 1. The whole in one go
#
# **You will do** send one sentence through a trained BERT, step by step, and print the shape of everything on the way.
#
# **You will learn** what goes in, what comes out, what lies between, and in which lesson each part is taken apart.
#
# **You need** Python, NumPy indexing, the matrix product, the derivative. Nothing of BERT. The warm-up in `README.md` helps
# where one of the four is rusty. Time: about 25 minutes to read; runs in 3 s.

# %%
import numpy as np
import schematics
import workbench as wb

import minibert
from minibert.layers import softmax
from minibert.model import embeddings, pretraining
from minibert.model.heads import mlm as mlm_head

bert = minibert.load(dtype=np.float64)
config, p = bert.config, bert.parameters
print(bert)

# %% [markdown]
# ## The question
#
# A word is hidden, behind `[MASK]`. Which one was it? BERT is trained on this question: it is a
# **masked language model** (掩码语言模型) (*Devlin et al. 2018, §3.1*). The small model that comes with this project has read
# Python's own documentation. It answers at once, each guess with its **probability** (概率): a number between 0 and 1 that says
# how sure it is. Over all words of the language that the model knows, these numbers add up to 1.
#
# The first cell has loaded it with `minibert.load()`. What came are three things. `bert.config`: the sizes. `bert.tokenizer`:
# the list of words that the model knows, and the rules for cutting a text into them. `bert.parameters`: all numbers that were
# learned, by name. Now one sentence:

# %%
sentence = "raises an [MASK] if the key is not found."  # <- the knob

guesses = bert.fill_mask(sentence, top=5)
wb.table(["guess", "probability"], guesses)
if not wb.QUICK:
    assert guesses[0][0] == "exception", "the bundled model finds the word that fits"

# %% [markdown]
# How does a sentence become such a table? We now go the way that `fill_mask` went. Its two ends we do by hand, number by number.
# What lies between them, the layers, runs in one call here; we print the shape of everything on the way, and lessons 6 to 9 take
# it apart.
#
# One word on sources. Where a lesson says what BERT does, it names the place: a section of a paper, or a file of the
# **reference implementation** (参考实现), the program that Google published with the paper (github.com/google-research/bert).
# `modeling.py` there is the model, `tokenization.py` cuts text, `create_pretraining_data.py` and `run_pretraining.py` train it,
# `optimization.py` is the optimiser, `run_classifier.py` and `run_squad.py` fine-tune. You need none of these files. Whoever
# wants to compare finds the function that is named.
#
# ## Text becomes numbers
#
# The text is cut into **tokens** (词元): words, pieces of words, punctuation. The model knows a fixed list of V tokens, its
# vocabulary. What it gets is each token's place in this list, its id. Two special tokens are added around the text: `[CLS]` in
# front, `[SEP]` at the end (*Devlin et al. 2018, §3*). How the cutting works is lesson 2; what the two are good for, lesson 3.

# %%
encoding = bert.tokenizer.encode(sentence)
wb.table(["place", "token", "id"], [(t, token, number) for t, (token, number) in enumerate(zip(encoding.tokens, encoding.ids))])
vocabulary = bert.tokenizer.vocab
assert all(vocabulary.tokens[number] == token for token, number in zip(encoding.tokens, encoding.ids))
hole = encoding.tokens.index("[MASK]")  # the place of the hidden word
print(f"the hidden word stands at place {hole}; the vocabulary has V = {len(vocabulary):,} tokens")

# %% [markdown]
# Many sentences are computed at a time: a **batch** (批). So every array has one axis more, the first, even where the batch
# holds a single sentence. An array's **shape** (形状) says how long each axis is. We write it with letters. Each
# means the same in all lessons:
#
# | letter | what it counts | here |
# |---|---|---|
# | `B` | sentences in the batch | 1 |
# | `T` | tokens in a sentence | printed below |
# | `H` | numbers that describe one token inside the model | 128 |
# | `V` | tokens in the vocabulary | 6,000 |
# | `L` | layers, one above the other | 2 |
# | `A` | heads in each layer: parts that look at the sentence in different ways | 2 |
# | `D` | numbers for each head, H/A | 64 |
# | `I` | numbers for each token in the widest part of a layer | 512 |
#
# Later lessons add a few (`N` rows, `M` hidden words, `C` classes; all are in `GLOSSARY.md`). Of the small letters, `t` is always
# a place in a text, from 0 to T − 1.
#
# Three arrays of shape (B, T) go in. `ids` we know. `types` says which of two texts a token belongs to; here there is one
# text, so it is all zero. `mask` says which tokens are real; here all of them are. Lesson 3 makes all three by hand.

# %%
ids, types, mask = bert.tokenizer.batch([encoding])
for name, x in [("ids", ids), ("types", types), ("mask", mask)]:
    wb.show(name, x, "(B, T)")
B, T = ids.shape
H, V, L, A = config.hidden_size, config.vocab_size, config.num_hidden_layers, config.num_attention_heads
D, I = H // A, config.intermediate_size
assert (B, H, V, L, A, D, I) == (1, 128, 6000, 2, 2, 64, 512), "the table of letters above"
assert not types.any()
assert mask.all()

# %% [markdown]
# The whole way in one picture, with the lessons that open each box:

# %%
made, axes = schematics.sketch(15, 2.6, "From a sentence to a guess")
schematics.chain(axes, 1.5, [f"text\n{len(sentence)} characters", f"tokens\nT = {T}", f"ids\n{ids.shape}",
                             f"vectors\n{(B, T, H)}", f"L = {L} layers\n{(B, T, H)}", f"logits\nV = {V:,}"],
                 [wb.GREY, wb.GREY, wb.BLUE, wb.GREEN, wb.PINK, wb.ORANGE], ["cut", "look up", "3 tables", "stack", "compare"],
                 width=1.6, gap=0.95)
for x, lessons in ((2.2, "lesson 2"), (4.7, "lesson 3"), (7.3, "lessons 5, 6"), (9.85, "lessons 8, 9"), (12.4, "lesson 10")):
    axes.text(x, 0.6, lessons, ha="center", color=wb.GREY, fontsize=13)
wb.save(made, "01_flow", measured=False)

# %% [markdown]
# ## Numbers become vectors
#
# Each token is now described by H numbers. Three tables hold a row for each token of the vocabulary, for each place in a
# sentence, and for each of the two texts. The three rows are added (*Devlin et al. 2018, figure 2*):
#
#     e[t] = word[ids[t]] + position[t] + type[types[t]]
#
# All numbers in these tables were learned. Such numbers are called **parameters** (参数). Here are the first four of the H
# numbers of the first three tokens, added in a plain loop.

# %%
tables = p["bert"]["embeddings"]
word, position, kind = (tables[f"{name}_embeddings"]["weight"] for name in ("word", "position", "token_type"))
for name, x in [("word", word), ("position", position), ("type", kind)]:
    print(f"{name:9} {x.shape}")
e = np.zeros((B, T, H))
for t in range(T):
    for j in range(H):
        e[0, t, j] = word[ids[0, t], j] + position[t, j] + kind[types[0, t], j]
wb.show("e[0, :3, :4]", e[0, :3, :4])

# %% [markdown]
# NumPy does the same at once: `word[ids]` picks a row for every id. Then each token's H numbers are brought to
# a common size: their mean is taken away, they are divided by their spread, and two learned vectors scale and shift them.
# Lesson 6 says why. The library's function does both steps; ours must agree with it.

# %%
vectorised = word[ids] + position[:T] + kind[types]  # (B, T, H)
assert np.allclose(e, vectorised, rtol=0, atol=1e-15), "the loop and NumPy's indexing agree"

norm = tables["LayerNorm"]
centred = e - e.mean(-1, keepdims=True)
spread = np.sqrt((centred**2).mean(-1, keepdims=True) + config.layer_norm_eps)
x0 = norm["weight"] * centred / spread + norm["bias"]

library, _ = embeddings.forward(ids, types, tables, config)
assert np.allclose(x0, library, rtol=0, atol=1e-12), "our rows are the library's"
wb.show("x0", x0, "(B, T, H)")

# %% [markdown]
# ## Through the layers
#
# So far each token's vector knows nothing of its neighbours: `[MASK]` is `[MASK]`, in whatever sentence. Now come L layers.
# In each one every token looks at all tokens and takes something from them (lesson 8). Then each token's vector is worked
# on by itself (lessons 7 and 9). What goes in and what comes out has the same shape, so layers can be stacked.
#
# We run the whole model once. Its `cache` keeps what was computed inside: that is what going backwards will need later
# (lesson 4). Layers are counted from 0, as Python counts: layer 0 is the first, and its result is state 1.

# %%
where = np.array([hole])  # we want a guess at this place only
out, cache = pretraining.forward(pretraining.Inputs(ids, types, None, where), p, config)
states = out.bert.hidden_states
assert np.array_equal(states[0], library), "the first state is what we made by hand"

inside = cache.bert.encoder.blocks[0]  # of layer 0
rows = [("state 0: the vectors from above", "(B, T, H)", states[0])]
rows += [("  asks, of each token and head", "(B, A, T, D)", inside.attention.q), ("  offers", "(B, A, T, D)", inside.attention.k),
         ("  answers", "(B, A, T, D)", inside.attention.v), ("  who looks at whom", "(B, A, T, T)", inside.attention.weights),
         ("  what each token took", "(B, T, H)", inside.output.x), ("  the widest part", "(B, T, I)", inside.down.x)]
rows += [(f"state {layer + 1}: after layer {layer}", "(B, T, H)", x) for layer, x in enumerate(states[1:])]
wb.table(["what", "letters", "shape"], [(name, letters, x.shape) for name, letters, x in rows])
sizes = {"B": B, "T": T, "H": H, "A": A, "D": D, "I": I}
for name, letters, x in rows:
    assert x.shape == tuple(sizes[c] for c in letters.strip("()").split(", ")), name
assert len(states) == L + 1, "L layers have L + 1 states: one before the first, one after each"

# %% [markdown]
# "Who looks at whom" is a table of shares. Each row belongs to one token, and says how much it takes from every token. So each
# row adds up to one.

# %%
looks = out.bert.attentions[0][0]  # (A, T, T) of layer 0
assert np.allclose(looks.sum(-1), 1)
for head in range(A):
    share = looks[head, hole]  # (T,) the row of [MASK]
    best = ", ".join(f"{encoding.tokens[t]} {share[t]:.0%}" for t in share.argsort()[::-1][:3])
    print(f"layer 0, head {head}: [MASK] takes most from {best}")

# %% [markdown]
# ## From a vector to a guess
#
# The vector at the hidden place has now heard of its neighbours. It goes through one more small step (lesson 10), and is then
# compared with the row of every word in the word table, the same table as at the entrance. For each word v:
#
#     x[v] = Σ_j vector[j]·word[v, j] + b[v]
#
# The number x[v] is called a **logit** (对数几率). The higher it is, the better the word fits. First a loop over five words,
# then one matrix product over all V of them, then the library.

# %%
head = p["cls"]["predictions"]
vector = cache.mlm.decoder.x[0]  # (H,) after that small step
some = [vocabulary.index[name] for name in ("exception", "error", "object", "key", "the")]
for v in some:
    x = head["bias"][v]
    for j in range(H):
        x += vector[j] * word[v, j]
    print(f"{vocabulary.tokens[v]:10} {x:6.2f}")
logits = word @ vector + head["bias"]  # (V, H)·(H,) -> (V,)
assert np.isclose(x, logits[some[-1]]), "loop and matrix product agree"

from_library, _ = mlm_head.forward(out.bert.last_hidden_state, where, head, config)  # (1, V)
assert np.allclose(logits, from_library[0]), "and so does the library"
wb.show("logits", logits, "(V,)", digits=2)

# %% [markdown]
# Logits become probabilities: raise e to each, and divide by the sum, so that all V add up to one.
#
#     probability[v] = exp(x[v]) / Σ_w exp(x[w])              the sum runs over all V words w
#
# One precaution: exp(1000) is too large for a computer. So the largest logit is first taken from all of them. That changes
# nothing: numerator and denominator shrink by the same factor. Lesson 8 looks at this function closely.

# %%
probabilities = np.exp(logits - logits.max())
probabilities /= probabilities.sum()
assert np.allclose(probabilities, softmax.forward(logits)[0])
order = probabilities.argsort()[::-1][:5]
ours = [(vocabulary.tokens[v], float(probabilities[v])) for v in order]
wb.table(["guess", "probability"], ours)
assert [name for name, _ in ours] == [name for name, _ in guesses], "word for word what fill_mask said"
assert np.allclose([share for _, share in ours], [share for _, share in guesses])

# %% [markdown]
# The model answers a second question too, for which it looks at `[CLS]`: does a second text follow the first? Lesson 11.

# %%
wb.show("answers to the second question", out.next_logits, "(B, 2)")

# %% [markdown]
# ## And backwards, in one glance
#
# Which words does the guess rest on? Move the H numbers of one word a little, and watch how the probability of the first
# guess moves. Those are H derivatives per word. We need them for T words, so T·H of them.
#
# One number measures how bad a guess is: minus the logarithm of its probability. It is 0 where the model is sure, and large
# where it gave the word little. From this number the library walks the whole way back to the first vectors, and has all T·H
# derivatives at once. This is what training does as well, with all parameters. Lesson 4 shows how.

# %%
answer = np.array([order[0]])
inputs = pretraining.Inputs(ids, types, None, where, answer)
out, cache = pretraining.forward(inputs, p, config)
assert np.isclose(out.loss, -np.log(probabilities[order[0]]))
d = pretraining.backward(pretraining.Output(loss=1.0), cache, p, p.zeros_like())
wb.show("derivatives of the word vectors", d.embeddings, "(B, T, H)")

# %% [markdown]
# Believe no derivative that you have not checked. We move one word along a random direction, by a little up and a little down.
# The difference of the two results, divided by the way between them, is the slope. It must be what the library said.

# %%
rng = np.random.default_rng(0)
vectors = word[ids]  # (B, T, H): the model takes vectors in the place of ids too
worst = 0.0
for place in range(T):
    step = np.zeros((B, T, H))
    step[0, place] = rng.standard_normal(H) * 1e-5
    up, down = (pretraining.forward(inputs._replace(ids=vectors + s * step), p, config)[0].loss for s in (1, -1))
    claimed = (d.embeddings * step).sum()
    worst = max(worst, abs((up - down) / 2 - claimed) / np.linalg.norm(d.embeddings[0, place]) / 1e-5)
print(f"largest difference between measured and claimed slope, relative to the slope: {worst:.1e}")
assert worst < 1e-6, "the walk back is the derivative of the walk forward"

# %% [markdown]
# ## The picture
#
# Left, the guesses. Right, for every token the length of its H derivatives: how strongly the first guess hangs on it.

# %%
weight = np.linalg.norm(d.embeddings[0], axis=-1)  # (T,)
heaviest = encoding.tokens[max((t for t in range(T) if t != hole), key=weight.__getitem__)]
made = wb.figure(14, 6, f"“{guesses[0][0]}”, most of all because of “{heaviest}”")
left, right = made.subplots(1, 2)
left.barh([name for name, _ in guesses][::-1], [100 * share for _, share in guesses][::-1], color=wb.BLUE)
left.set(title="What the model guesses", xlabel="probability in %")
right.barh([f"{token}  {place}" for place, token in enumerate(encoding.tokens)][::-1], weight[::-1],
           color=[wb.GREY if place == hole else wb.ORANGE for place in range(T)][::-1])
right.set(title="Which words the first guess rests on", xlabel="length of the derivative")
wb.save(made, "01_the_whole")
print("apart from [MASK] itself, the guess hangs most on:", heaviest)
if not wb.QUICK:
    assert heaviest == "key", "a missing key is what raises exceptions"

# %% [markdown]
# ## The map of the other lessons
#
# | on the way | lessons |
# |---|---|
# | text to tokens, tokens to arrays | 2 Tokens, 3 From text to features |
# | the walk back: how derivatives are computed and checked | 4 Backpropagation without a framework |
# | tables, sizes, curves: the small parts | 5 Embeddings, 6 Layer norm, 7 GELU |
# | who looks at whom; a whole layer; all layers | 8 Attention, 9 The encoder |
# | the two questions that BERT is trained on | 10 Masked language modelling, 11 Next sentence |
# | learning | 12 The optimiser, 13 Pre-training |
# | what it has learned; how it gets fast; how it breaks | 14 Looking inside, 15 Faster, 16 Spot the bug |
# | other people's models, and tasks of one's own | 17 A real checkpoint, 18 Sentence vectors, 19 Classifier, 20 Tags and spans |
#
# The original BERT differs from ours in size alone: L = 12, H = 768, A = 12, V = 30,522 (*Devlin et al. 2018, §3; the English
# vocabulary of the reference implementation*). Every shape above holds for it too.
#
# ## One knob to turn
#
# The sentence, in the second cell. Write another one with a `[MASK]` in it and run the lesson again.
#
# - `"as [MASK] as possible."`: the two words around the hole decide.
# - `"return [MASK] if the key is not found."`: another first word, another kind of guess.
# - `"the capital of France is [MASK]."`: nothing in Python's documentation says so. The model guesses all the same.
#
# Two asserts speak of the sentence as it stands here, "finds the word that fits" and "a missing key". They fail for another
# sentence, and tell you so.
#
# ## Exercises
#
# Four of them. The last cell prints them, with the command that grades your answers.
#
# ## When you are stuck
#
# | what you see | where to look |
# |---|---|
# | `No module named 'minibert'` | install it in the project's folder: `pip install -r requirements.txt` |
# | `No module named 'lessons'` | run the commands from the folder that holds `lessons/`, not inside it |
# | `operands could not be broadcast together` | print both shapes, write the letters beside them, and see which axis is missing |
# | a result of shape (1, T, H) where you expect (T, H) | the first axis is the batch, also for one sentence: take `[0]` |
# | `nan` among the probabilities | take the largest logit away before `exp` |
# | other guesses than here | another version of the bundled model; the shapes stay |

# %%
wb.exercises(1)
