# %% [markdown]
# # 34. What else to ask
#
# **You will do** hide words by five rules and ask one model about all of them, let a judge that counts shared words answer four
# questions about pairs, and move words for a model to put back.
#
# **You will learn** what BERT's successors ask of a text instead, why a question that is easier for a wrong reason teaches less,
# and that the masked-word head can answer more than one question.
#
# **You need** lesson 10 (masking), lesson 11 (next sentence).
# Time: about 25 minutes to read; runs in about 25 s.

# %%
from itertools import permutations

import numpy as np
import workbench as wb

import minibert
from minibert.data import python_docs
from minibert.model import pretraining
from minibert.tasks import batches
from minibert.tasks.corruption import CORRUPTIONS, ngrams, reference_words, units
from minibert.tasks.examples import IGNORE
from minibert.tasks.segments import SEGMENTS
from minibert.tasks.segments.reordering import ORDERS
from minibert.training.engine import Engine
from minibert.workers import Workers

rng = np.random.default_rng(34)
bert = minibert.load(device="cpu")
tokenizer = bert.tokenizer
documents = [[tokenizer.ids(text) for text in document] for document in python_docs.documents()[::wb.choose(8, 60)]]
print(f"{len(documents)} documents, {sum(map(len, documents)):,} sentences")

# %% [markdown]
# ## The question
#
# BERT is asked two things: which token stood here, and does this text follow that one. Both can be answered for a wrong reason.
# Of `un ##aff ##able` only the middle is hidden? The vocabulary knows few pieces that fit between the others. The second text
# comes from another document? It speaks of something else, and nobody has to read in which order.
#
# What a model is asked for wrong reasons, it learns for wrong reasons. Its successors changed the questions. How can one see,
# without training each of them for days, what a question is worth? By who else can answer it.
#
# ## Toy numbers
#
# An **n-gram** (n 元组) is n words in a row. ALBERT hides n-grams of one, two or three words, and draws n with a chance
# proportional to 1/n (*Lan et al. 2019, §4.1*): 1, 1/2 and 1/3, which together make 11/6.

# %%
chances = np.array([1, 1 / 2, 1 / 3]) / (1 + 1 / 2 + 1 / 3)
print("of n = 1, 2, 3:", chances * 11, "elevenths; in the mean", chances @ [1, 2, 3])
assert np.allclose(chances, [6 / 11, 3 / 11, 2 / 11])
assert np.allclose(chances, ngrams.rule(tokenizer).chances), "so has the library"

# %% [markdown]
# Another question has more than two answers. ERNIE 2.0 cuts a text into one, two or three parts, exchanges them, and asks in
# which order they stand (*Sun et al. 2019, "ERNIE 2.0", §3.2.2*). How many answers are there?

# %%
orders = [order for n in (1, 2, 3) for order in permutations(range(n))]
print(len(orders), "answers:", *orders)
assert orders == ORDERS
assert len(orders) == 1 + 2 + 6

# %% [markdown]
# ## The equation
#
# A rule that hides has a budget: so many tokens of a text of T, [CLS] and [SEP] counted. That of the reference
# (`create_pretraining_data.py`) is
#
# $$\min\left(20,\ \max(1,\ \mathrm{round}(0.15 \cdot T))\right)$$
#
# Whole words come in random order; one that would exceed the budget is passed over. A loss is the mean over what is asked, as
# ever, so the questions of one batch may be added up: masked words, pairs, and whatever else.
#
# ## A plain loop: whole words
#
# **Whole-word masking** (全词掩码): all pieces of a word are hidden together. A word begins at every piece without `##`.

# %%
def whole_words(tokens, order, budget):
    """tokens of a text, in which order its words come, how many tokens may be hidden -> the places that are."""
    words = []
    for place, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        if token.startswith("##") and words:
            words[-1].append(place)
        else:
            words.append([place])
    hidden = []
    for number in order:
        if len(hidden) + len(words[number]) <= budget:
            hidden += words[number]
    return sorted(hidden)


tokens = ["[CLS]", "un", "##aff", "##able", "people", "do", "ex", "##ist", "[SEP]"]
for order in ([0, 1, 2, 3], [1, 3, 0, 2], [2, 0, 1, 3]):
    print(order, [tokens[place] for place in whole_words(tokens, order, 3)])

# %% [markdown]
# A trap: a text that was cut at its front may begin with a `##`. [SEP] is no candidate, so that in the reference it goes with the
# word before the [SEP], of another text.

# %%
cut = ["[CLS]", "people", "[SEP]", "##able", "[SEP]"]
assert whole_words(cut, [0], 2) == [1, 3], "the last word of a, and what is left of the first of b"

# %% [markdown]
# ## The library's own function
#
# The same choice, many times, on random words:

# %%
for _ in range(200):
    begins = rng.random(30) < 0.6
    names = ["[CLS]", *("a" if begin else "##a" for begin in begins), "[SEP]"]
    runs = units.runs(begins)
    order, budget = rng.permutation(len(runs)), int(rng.integers(1, 12))
    assert whole_words(names, order, budget) == (reference_words.choose(runs, order, budget) + 1).tolist()
print("200 texts: the same places")

# %% [markdown]
# ## Five rules, one model
#
# The bundled model was trained with single pieces hidden. Now it is asked about tokens that other rules have hidden, in the same
# texts. (It has read most of them while it was trained; that is so for all five.) A span of SpanBERT has up to ten words, of
# a geometric distribution (*Joshi et al. 2019, §3.1*); `frequency` prefers rare words, with the weight count^-0.7 (DistilBERT).

# %%
COUNT = wb.choose(1200, 12)
SHARE = 0.15  # <- the knob
rows = []
with Workers() as workers:
    engine = Engine(pretraining.of(bert.config), bert.parameters, workers)
    for name in ("pieces", "whole-words", "ngrams", "spans", "frequency"):
        way = CORRUPTIONS[name]
        asked = batches.held_out(documents, tokenizer, max_length=64, next_sentence=False, max_examples=COUNT,
                                 corruption=way.module, rate=SHARE, **way.options)
        found = engine.evaluate(asked)
        rows.append([name, found.counts["mlm"] / found.tokens, float(found.mlm_loss), found.mlm_accuracy])
wb.table(["what is hidden", "share of tokens", "nats", "right"], rows)
nats = {name: loss for name, _, loss, _ in rows}
if not wb.QUICK and SHARE == 0.15:
    assert nats["pieces"] < nats["whole-words"] < nats["spans"], "the more of the neighbours is gone, the harder"
    assert nats["frequency"] == max(nats.values()), "and rare words are the hardest"

# %% [markdown]
# Read the first two rows against each other: what a piece costs less than its word is what the word's other pieces gave away.

# %%
drawn = wb.figure(title="One model, five questions")
axes = drawn.subplots()
axes.bar(list(nats), list(nats.values()), color="#0072B2")
axes.set_ylabel("surprise (nats per hidden token)")
wb.save(drawn, "34_rules")

# %% [markdown]
# ## Who else can answer? Pairs and a judge that counts
#
# Four questions about two texts: does b follow a (BERT); were neighbours exchanged (ALBERT); is b the next, the one before, or
# from elsewhere (StructBERT's three ways); does b follow, is it of the same document, or of another (ERNIE 2.0, the **sentence
# distance** (句间距离)).
#
# A judge who reads nothing: it counts which share of b's words stand in a, and gives the answer whose mean share is nearest.

# %%
def shared(example):
    """The share of the words of b that stand in a as well."""
    a, b = ({*part.tolist()} - {*tokenizer.vocab.special_ids} for part in np.split(example.ids, [example.split]))
    return len(a & b) / max(1, len(b))


rows = []
for name in ("next", "order", "three-ways", "distance"):
    way = SEGMENTS[name]
    made = [example for epoch in range(wb.choose(3, 1))
            for example in way.make(documents, tokenizer, max_length=64, seed=34, epoch=epoch)]
    labels = np.array([example.next_label if way.term == "nsp" else example.targets[way.term] for example in made])
    shares = np.array([shared(example) for example in made])[labels != IGNORE]
    labels = labels[labels != IGNORE]
    half = len(labels) // 2
    means = np.array([shares[:half][labels[:half] == label].mean() for label in range(labels.max() + 1)])
    guesses = np.abs(shares[half:, None] - means).argmin(1)
    most = np.bincount(labels[half:]).max() / len(labels[half:])
    rows.append([name, len(means), most, float((guesses == labels[half:]).mean())])
wb.table(["question", "answers", "always the same", "counting shared words"], rows)
by = {name: (least, right) for name, _, least, right in rows}
if not wb.QUICK:
    assert by["next"][1] > by["next"][0] + 0.05, "who counts words knows something about next sentences"
    assert abs(by["order"][1] - 0.5) < 0.08, "and nothing about the order: a and b share the same words either way"

# %% [markdown]
# This is the reason for sentence order prediction (lesson 11): nothing that does not depend on the order helps. Three ways and
# the distance mix both: a part of the answer is there for whoever counts, the rest only for whoever reads.
#
# ## Three words in another order
#
# StructBERT moves words: three in a row, drawn with a chance of 5 %, stand in another order, and the model has to say what
# stood there (*Wang et al. 2019, §2.2*). The head for masked words answers, over the whole vocabulary: no new tensors. Two
# traps: what stands where it stood is not asked for, be it that the old order was drawn or that two of the words are alike; and
# what is hidden is never moved.

# %%
stream = batches.Stream(documents, tokenizer, max_length=24, batch_size=32, seed=0, pairs="full-sentences", words=["trigrams"])
example = next(one for one in stream.batch()[0] if (one.others["trigrams"] != IGNORE).any())
print(" ".join(tokenizer.vocab.tokens[i] for i in example.ids))
for place, word, moved in zip(example.positions, example.labels, example.others["trigrams"]):
    print(f"  place {place}:", tokenizer.vocab.tokens[max(word, moved)], "(hidden)" if word != IGNORE else "(moved)")
assert ((example.labels == IGNORE) != (example.others["trigrams"] == IGNORE)).all(), "each place is asked for by one of the two"

# %% [markdown]
# How often does a window of three words not change at all, and how many of its places are asked for?

# %%
moved = [sum(a != b for a, b in zip(order, (0, 1, 2))) for order in permutations(range(3))]
print("places that change, of the six orders:", moved, "mean", np.mean(moved))
assert np.mean(moved) == 2, "two of three"

# %% [markdown]
# ## Who was never asked
#
# The bundled model was never asked for an order. Can it restore one? The head is the same, so it can be asked at once.

# %%
with Workers() as workers:
    engine = Engine(pretraining.of(bert.config, ["trigrams"]), bert.parameters, workers)
    found = engine.evaluate(batches.held_out(documents, tokenizer, max_length=64, max_examples=COUNT, pairs="full-sentences",
                                             words=["trigrams"]))
restored = found.accuracy("trigrams")
wb.table(["asked for", "places", "nats", "right"],
         [["a hidden word", found.counts["mlm"], float(found.mlm_loss), found.mlm_accuracy],
          ["a moved word", found.counts["trigrams"], float(found.trigrams_loss), restored]])
if not wb.QUICK:
    assert restored < found.mlm_accuracy, "though the word that is looked for stands one or two places away"

# %% [markdown]
# The answer stands in the text, one or two places away, and a model that was asked for it would look there. This one believes
# what it sees: of the words that it was asked for in training and could see, half were right as they stood (10 % kept, 10 %
# random).
#
# ## What a tutorial often says, and what is so
#
# - *"Next sentence prediction is useless."* It teaches topics. It is the order that it does not teach.
# - *"Whole-word masking hides more."* The share is the same. It hides other tokens.
# - *"A harder question is a better one."* Random labels are the hardest. It must be hard for whoever does not read.
#
# ## One knob to turn
#
# `SHARE`, above: how much is hidden. Guess first: with 40 % instead of 15 %, which rule becomes harder by how much, and does
# their order change?

# %%
print(f"{SHARE:.0%} hidden: pieces {nats['pieces']:.2f} nats, spans {nats['spans']:.2f}")
assert nats["pieces"] > 0

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert train --pairs three-ways --masking ngrams --words trigrams
#     python -m minibert train --pairs reorder --masking spans --words capitalisation token-document
#
# Heads that no other library has a class for are saved beside the model.
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My n-grams are too short at the end of a text.* Fewer words are left there than n; the chances are drawn before that.
# - *My loop hides too much.* A word that exceeds the budget is passed over, and the next one may still fit.
# - *My class of an order is off by one.* The orders of fewer parts come first: 1 of one part, then 2 of two.
# - *I ask for too many moved places.* Compare with the text, not with the order that was drawn.

# %%
wb.exercises(34)
