# %% [markdown]
# # 33. Numbers and polarity
#
# **You will do** ask vectors of number words for the numbers, ask three judges whether *any* may stand where it stands, and find
# out each time how much of the answer was never in the vectors.
#
# **You will learn** what an error has to be read against, why a decoder that works may know nothing beyond what it has seen, and
# that the same judge is good or bad by the way it is asked.
#
# **You need** lesson 10 (hidden words), lesson 19 (scores of a classifier).
# Time: about 30 minutes to read; runs in about 10 s.

# %%
from collections import Counter
from itertools import chain, islice, pairwise

import numpy as np
import workbench as wb

import minibert
from minibert.analysis import controls, numeracy, probing
from minibert.analysis.polarity import mcc, minimal
from minibert.world import MASK, World, polarity

rng = np.random.default_rng(33)

# %% [markdown]
# ## The question
#
# Two things that a language asks of whoever speaks it, and that no single word shows. *Seven* is more than *five*, and *twelve*
# is what both make. And *nobody saw any birds* is English, *Anna saw any birds* is not: *any* is a **polarity item** (极性词),
# a word that needs another one, such as *no* or *nobody*, to allow it. That one is its **licensor** (许可成分), and allows only
# what stands in its **scope** (辖域), the part of the sentence that it speaks about.
#
# Does a model know this? One can only ask it something else: train a decoder on its vectors, compare two probabilities. So each
# answer has two authors, the model and the question.
#
# ## Toy numbers
#
# Somebody decodes the numbers from 0 to 9 and is wrong by 3 on average. Is that good? Who knows nothing guesses the mean, 4.5,
# each time. The **root mean squared error** (均方根误差), RMSE, of that is what an error is read against.

# %%
toy = np.arange(10)
nothing = np.sqrt(np.mean((toy - toy.mean()) ** 2))
print(f"guessing {toy.mean()} each time: RMSE {nothing:.2f}; range/√12 = {10 / np.sqrt(12):.2f}")
assert np.isclose(nothing, np.sqrt((10**2 - 1) / 12)), "of n numbers in a row it is √((n² − 1)/12)"
assert nothing < 3, "an error of 3 is worse than nothing"

# %% [markdown]
# ## The equation
#
# A decoder is trained on some numbers and asked for others. With v the vector of a number, the simplest one is a straight line:
#
# $$\hat y = w \cdot v + b, \qquad \text{RMSE} = \sqrt{\tfrac{1}{n} \sum_{i=1}^{n} (\hat y_i - y_i)^2}$$
#
# For yes and no (is this sentence acceptable?) the share of right answers misleads: of the sentences below five in eight are
# acceptable, so "yes" each time is right in 62.5 %. The Matthews correlation of lesson 19, MCC, is that of both columns of zeros
# and ones, 0 for whoever says always the same. *Warstadt et al. 2019, "Investigating BERT's Knowledge of Language".*

# %%
truth = np.array([1, 1, 0, 1, 0, 1, 0, 1])
for name, guess in (("always yes", np.ones(8)), ("all right", truth), ("all wrong", 1 - truth),
                    ("one wrong", [1, 1, 1, 1, 0, 1, 0, 1])):
    print(f"{name:<11} right {np.mean(truth == guess):.3f}   MCC {mcc(truth, guess):+.3f}")
assert mcc(truth, np.ones(8)) == 0
assert np.isclose(mcc(truth, 1 - truth), -1)

# %% [markdown]
# ## A plain loop: least squares, one number left out
#
# With few numbers each can be decoded by a line through all the others. Three kinds of vectors whose answer is known beforehand:
# the value itself, a vector of one's own for each number (*one-hot*), and noise.

# %%
def left_out(vectors, values):
    """The RMSE of each value by a straight line through all others."""
    guesses = []
    for i in range(len(values)):
        x, y = np.delete(vectors, i, 0), np.delete(values, i)
        slopes = np.linalg.lstsq(x - x.mean(0), y - y.mean(), rcond=1e-6)[0]
        guesses.append((vectors[i] - x.mean(0)) @ slopes + y.mean())
    return float(np.sqrt(np.mean((np.array(guesses) - values) ** 2)))


values = np.arange(20.0)
kinds = {"the value": values[:, None], "one-hot": np.eye(20), "noise": rng.normal(size=(20, 64))}
by_hand = {name: left_out(vectors, values) for name, vectors in kinds.items()}
mean_of_others = left_out(np.zeros((20, 1)), values)
wb.table(["vectors", "RMSE"], [*([name, error] for name, error in by_hand.items()), ["(the mean of the others)", mean_of_others]])
assert by_hand["the value"] < 1e-10, "this decoder can do it, where it can be done"
assert np.isclose(by_hand["one-hot"], mean_of_others), "one-hot knows every number, and nothing about another one"

# %% [markdown]
# The middle line is the point. A one-hot vector *identifies* its number perfectly. But what was learned of 7 says nothing of 8.
# So the numbers of the test must not be those of the training; else any table of vectors "knows numbers".
#
# ## Check: the library's line
#
# `minibert.analysis.numeracy` has the same line, a small network, sums, the largest of five, and numbers above all those of the
# training: **extrapolation** (外推). *Wallace et al. 2019, "Do NLP Models Know Numbers?", §2 and §3.*

# %%
vectors = rng.normal(size=(30, 4)) + np.arange(30)[:, None]
library = numeracy.straight(vectors[1:], np.arange(1.0, 30), vectors[:1])
fitted = np.linalg.lstsq(np.column_stack([vectors[1:], np.ones(29)]), np.arange(1.0, 30), rcond=None)[0]
assert np.allclose(library, vectors[:1] @ fitted[:4] + fitted[4])

# %% [markdown]
# ## A model's vectors
#
# The small model that comes with the library has read documentation of Python, and there are numbers in it. Each number from 0 to
# 99 is read alone, and the vector of its last piece is taken.

# %%
bert = minibert.load()
names = [str(number) for number in range(100)]
pieces = [bert.tokenizer.tokenize(name) for name in names]
print("as it reads them:", "  ".join(" ".join(cut) for cut in pieces[::9]))
PASSES = wb.choose(60, 5)
found = numeracy.measure(bert, names, range(100), passes=PASSES)
numbers = np.arange(100.0)
parts = controls.bag_of_words(pieces)[0]  # (100, pieces): which pieces a number has, and nothing else
by_pieces = numeracy.errors(parts, numbers, passes=PASSES)
columns = {"the model": found.model, "its pieces": by_pieces, "noise": found.random, "the value": found.value,
           "the mean": found.mean}
rows = [("a straight line, RMSE", "linear"), ("a small network, RMSE", "decode"), ("the sum of two, RMSE", "add"),
        ("the largest of five, right", "maximum"), ("numbers above all seen, RMSE", "extrapolate")]
wb.table(["", *columns], [[text, *(float(getattr(column, name)) for column in columns.values())] for text, name in rows])
assert found.value.linear < 1e-10
if not wb.QUICK:
    assert found.model.decode < 0.8 * found.mean.decode < found.random.decode, "the vectors know something of the value"
    assert found.model.maximum > 0.35, "chance is one in five"
    assert found.model.extrapolate > 0.9 * found.mean.extrapolate, "above what was seen it knows nothing"

# %% [markdown]
# So vectors of a model that only guessed hidden words tell something of how large a number is. Before one says "it knows
# numbers", look at the second column. *Its pieces* is a vector that says which pieces a number is written with, no more, and it
# does as well, or better: a 4 in front of `##2` gives much away, and a straight line reads it with a third of the error. What the
# model adds to its tokenizer is not shown by this. And in the last line all of it is gone: a decoder learns where the numbers lie
# that it was shown, not what a number is.
#
# ## Paradigms: eight sentences
#
# Now to *any*. Take the generated language, where it is known what is right (`minibert.world`). Eight sentences, the same but
# for three things: is there a licensor, is the place in question in its scope, is there a polarity item?

# %%
world = World.of("small")
items = polarity.paradigms(world.language, wb.choose(50, 12), 0)
wb.table(["licensor", "in scope", "item", "acceptable", "sentence"],
         [["yes" if item.licensor else "no", "yes" if item.scope else "no", "yes" if item.polarity else "no",
           "yes" if item.acceptable else "NO", item.text] for item in items[:8]])
assert sum(item.acceptable for item in items) == len(items) * 5 // 8
pairs = list(minimal(items))
differ = [next(name for name in ("licensor", "scope", "polarity") if getattr(good, name) != getattr(bad, name))
          for good, bad in pairs]
print(f"{len(pairs)} pairs that differ in one of the three:", dict(Counter(differ)))

# %% [markdown]
# Two sentences of which one is acceptable, and that differ in one thing alone, are a **minimal pair** (最小对立对).
#
# ## Three judges
#
# - **A bag of words**: a linear classifier of which words there are, trained on all kinds of licensors but one and asked about
#   that one.
# - **Neighbours**: how often does each word follow the one before, in sentences that the language said? (A bigram model.)
# - **The language itself**: the exact probability of a hidden word. It is the model that nobody can beat.

# %%
SENTENCES = wb.choose(20_000, 1_000)  # <- the knob
END = "."  # stands before each sentence, as the end of another

# %%
follows = Counter(pairwise(chain([END], *islice(world.texts(None, 33), SENTENCES))))  # one sentence after another
ahead = Counter()
for (first, _), count in follows.items():
    ahead[first] += count


def neighbours(text):
    """ln p by neighbours; every pair is counted a hundredth of a time more than it was seen."""
    return sum(np.log((follows[pair] + 0.01) / (ahead[pair[0]] + 0.01 * len(world.words)))
               for pair in pairwise([END, *text.split()]))


def bag_of_words():
    """P(acceptable) of every text, each by a classifier that has not seen its environment."""
    found = {}
    for environment in polarity.ENVIRONMENTS:
        others = [item for item in items if item.environment != environment]
        x, words = controls.bag_of_words([item.text.split() for item in others])
        labels, cut = np.array([int(item.acceptable) for item in others]), 8 * (len(others) // 40)
        probe = probing.fit(x[cut:], labels[cut:], x[:cut], labels[:cut])
        these = [item.text for item in items if item.environment == environment]
        z = probe.logits(controls.bag_of_words([text.split() for text in these], words)[0])
        found.update(zip(these, z[:, 1] - z[:, 0]))
    return found


by_words = bag_of_words()
judges = {"bag of words": by_words.__getitem__, "neighbours": neighbours}
results = {}
for name, judge in judges.items():
    better = np.array([judge(good.text) > judge(bad.text) + 1e-9 for good, bad in pairs])
    by_factor = [float(better[np.array(differ) == factor].mean()) for factor in ("licensor", "scope", "polarity")]
    says = [judge(item.text) > 0 for item in items] if name == "bag of words" else \
        [all(follows[pair] for pair in pairwise([END, *item.text.split()])) for item in items]
    results[name] = [mcc([item.acceptable for item in items], says), float(better.mean()), *by_factor]
wb.table(["judge", "yes or no: MCC", "pairs", "licensor", "scope", "item"], [[name, *row] for name, row in results.items()])
same = [(good.text, bad.text) for good, bad in pairs if sorted(good.text.split()) == sorted(bad.text.split())]
assert not any(by_words[good] > by_words[bad] + 1e-9 for good, bad in same), "the same words: it cannot tell them apart"
print(f"{len(same)} of {differ.count('scope')} pairs of scope have the same words in another order")
if not wb.QUICK:
    assert results["bag of words"][0] > 0.5 > results["bag of words"][2], "a high MCC, and blind to licensors"

# %% [markdown]
# In a pair the acceptable sentence must get more. Equal scores count as lost, so whoever sees no difference ends near 0, not at a
# half. The MCC of the bag looks fine. The pairs show where it comes from: it says no to *every* polarity item (the last column),
# and most sentences with one are wrong. Whether there is a licensor it can seldom tell, since it has never seen one of that kind,
# but for *does*, which stands in questions and before *not*; nor whether it is in the right place, since a bag has no order. One
# number, and behind it a rule that nobody asked for.
# The neighbours know order, but only of two words: a licensor rarely stands right before its item.
#
# ## The language is asked: cloze
#
# Where a pair differs in a single word, hide it. Which of both words is likelier there? That is how a BERT can be asked without
# any training. The best possible answer is the exact one.

# %%
blanks = []
for good, bad in pairs:
    first, second = good.text.split(), bad.text.split()
    places = [i for i, (one, other) in enumerate(zip(first, second)) if one != other]
    if len(first) == len(second) and len(places) == 1:
        blanks.append((first, second, places[0]))
blanks = blanks[::max(1, len(blanks) // wb.choose(300, 30))]
exact = []
for first, second, place in blanks:
    shares = dict(world.guess(" ".join([*first[:place], MASK, *first[place + 1:]]), len(world.words)))
    exact.append((shares.get(first[place], 0.0), shares.get(second[place], 0.0)))
exact = np.array(exact)
cloze = {"neighbours": np.mean([neighbours(" ".join(first)) > neighbours(" ".join(second)) for first, second, _ in blanks]),
         "bag of words": np.mean([by_words[" ".join(first)] > by_words[" ".join(second)] + 1e-9 for first, second, _ in blanks]),
         "the language itself": (exact[:, 0] > exact[:, 1]).mean()}
wb.table(["judge", f"right in {len(blanks)} blanks"], [[name, float(share)] for name, share in cloze.items()])
assert cloze["the language itself"] == 1, "what is not acceptable has no probability"
assert (exact[:, 1] == 0).all()

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(15, 6, "One judge, several questions")
left, right = picture.subplots(1, 2, width_ratios=[1, 1.3])
tasks = ["linear", "decode", "add", "extrapolate"]
for shift, (name, color) in enumerate(zip(("the model", "its pieces", "noise"), (wb.BLUE, wb.ORANGE, wb.GREY))):
    shares = [getattr(columns[name], task) / getattr(found.mean, task) for task in tasks]
    left.bar(np.arange(4) + 0.27 * shift - 0.27, shares, 0.25, label=name, color=color)
left.axhline(1, color="black", linestyle=":")
left.set_xticks(range(4), ["line", "network", "sum", "above"])
left.set(title="numbers: error, as a share of the mean's", ylabel="RMSE / RMSE of the mean", ylim=(0, 2.2))
left.legend()
for shift, (name, row) in enumerate(results.items()):
    heights = [row[0], *row[2:], cloze[name]]
    right.bar(np.arange(5) + 0.4 * shift - 0.2, heights, 0.38, label=name, color=[wb.SKY, wb.GREEN][shift])
right.set_xticks(range(5), ["yes or no\n(MCC)", "pairs:\nlicensor", "pairs:\nscope", "pairs:\nitem", "cloze"])
right.set(title="polarity: the same judges, asked in five ways", ylabel="MCC, or share", yticks=np.linspace(0, 1, 6),
          ylim=(0, 1.3))
right.legend()
wb.save(picture, "33_numbers_and_polarity")

# %% [markdown]
# ## Beware
#
# - **An error without its control is no number.** 14 may be good or worse than nothing: it depends on the range. State the
#   mean's, and that of the pieces.
# - **Split numbers, not examples.** Lists and sums that share numbers with the training measure memory.
# - **A share of pairs is a share of *these* pairs.** Which factor they differ in decides how hard they are. Say how many
#   there are of each.
# - **A judge that was trained to judge is not the model.** Who tunes a classifier on labels teaches it the task. The cloze asks
#   what it learned before. If both differ, that is a result, and neither is *the* knowledge of the model.
#
# ## One knob to turn
#
# `SENTENCES`, above: how much the neighbours have read. Guess first: will ten times less hurt yes or no, or the pairs? And which
# of the columns will never reach 1, however much is read?

# %%
print(f"{SENTENCES:,} sentences: MCC {results['neighbours'][0]:+.2f}, pairs {results['neighbours'][1]:.2f}")
assert 0 <= results["neighbours"][1] <= 1

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert analyse numeracy
#     python -m minibert analyse polarity
#     python -m minibert analyse minimal-pairs
#
# They ask a model of the generated language, which is trained the first time; polarity in five ways, with controls.
#
# ## Exercises
#
# Four functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My error is smaller than that of the library.* Was the number that you decode among those of the training?
# - *My MCC is NaN.* One of the columns is all the same: there it counts as 0.
# - *My bag of words finds pairs of scope.* Both sums are the same numbers in another order, and rounding decides. Ask for more
#   than 1e-9.
# - *I find more minimal pairs.* Exactly one of the three may differ, and exactly one of both is acceptable.

# %%
wb.exercises(33)
