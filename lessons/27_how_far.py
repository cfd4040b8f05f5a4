# %% [markdown]
# # 27. How far from perfect?
#
# **You will do** hide words of a language whose every sentence has a known probability, work out what the best possible guess is,
# count it again by drawing sentences, train a small model, and find out where it falls short.
#
# **You will learn** that a loss says little until one knows the smallest that is possible, how to compare with it so that luck
# does not count, and that what a model lacks is not spread evenly.
#
# **You need** lesson 10 (hidden words), lesson 13 (entropy, two floors).
# Time: about 35 minutes to read; runs in about 60 s.

# %%
from collections import Counter
from itertools import chain, islice

import generated
import numpy as np
import workbench as wb

from minibert.analysis.posterior import distances, mean
from minibert.world import MASK, World
from minibert.world.floor import corrupt

world = World.of("small")
rng = np.random.default_rng(27)

# %% [markdown]
# ## The question
#
# A model loses 1.2 nats on each hidden word. Is that good? Lesson 13 gave two marks: ln V, for whoever knows nothing, and the
# unigram entropy, for whoever knows how frequent words are. Both are easy to beat. What is the mark at the other end, which
# nobody can beat? Not 0: "the [MASK] sleeps" has many right answers, and who guesses honestly is surprised by each.
#
# Of English nobody knows it. So we take a language that we made: `minibert.world`, a small English with a grammar, topics and a
# protagonist in every document. A sentence is drawn by rules with known probabilities, and so the probability of everything that
# can be said is known.

# %%
for document in islice(world.documents(60, seed=4), 4):
    print(*world.sentences(document)[:4], sep="  ")
print(f"{len(world.words)} words, such as", ", ".join(world.words[40:52]))

# %% [markdown]
# ## Toy numbers
#
# Before that, a language of four sentences. The first word is hidden, `[MASK] sleep .`: what was it?

# %%
TOY = {"dogs sleep .": 0.2, "dogs bark .": 0.3, "cats sleep .": 0.4, "cats eat .": 0.1}
fit = {sentence: share for sentence, share in TOY.items() if sentence.endswith("sleep .")}
for sentence, share in fit.items():
    print(f"    {sentence}   {share} of all sentences, {share / sum(fit.values()):.3f} of those that fit")
assert np.isclose(fit["dogs sleep ."] / sum(fit.values()), 1 / 3)

# %% [markdown]
# Take the sentences that agree with what can be seen, and share out by their probabilities. This is the **posterior** (后验分布)
# of the hidden word: what one may believe after having seen the rest. Dogs are half of all first words, but of those who sleep
# only a third.
#
# ## The equation
#
# With x what is seen, p the posterior and q any other guess, the expected surprise is
#
# $$\sum_v p(v \mid x)\,(-\ln q(v)) \;=\; \underbrace{-\sum_v p(v \mid x) \ln p(v \mid x)}_{\text{entropy of } p}
# \;+\; \underbrace{\sum_v p(v \mid x) \ln \frac{p(v \mid x)}{q(v)}}_{\text{KL}(p\|q) \;\ge\; 0}$$
#
# The first part depends on the language alone: averaged over all texts it is the **best possible loss** (最小可能损失). The
# second is the model's fault, the **KL divergence** (KL 散度), and 0 only for q = p. *Cover and Thomas 2006, "Elements of
# Information Theory", §2.3 and theorem 2.6.3.*

# %%
p_toy = np.array([[1 / 3, 2 / 3]])  # dogs, cats
for name, q_toy in (("the posterior itself", p_toy), ("half and half", np.array([[0.5, 0.5]])),
                    ("sure of cats", np.array([[0.01, 0.99]]))):
    expected, entropy = float(-(p_toy * np.log(q_toy)).sum()), float(-(p_toy * np.log(p_toy)).sum())
    kl = float(distances(p_toy, np.log(q_toy))[0])
    print(f"{name:<21} expected loss {expected:.3f} = entropy {entropy:.3f} + KL {kl:.3f}")
    assert np.isclose(expected, entropy + kl)
    assert kl >= -1e-12
assert kl > 0.7, "to be sure and wrong costs most, though cats are indeed the likelier ones"

# %% [markdown]
# ## A plain loop: ask the language
#
# To list every sentence of our world would take too long. But one can ask it: draw many sentences, keep those that agree with
# what is seen, and count what stands at the hidden place. No mathematics, only patience.

# %%
DRAWN = wb.choose(60_000, 6_000)


def by_counting(pattern, texts):
    """How often each word stands at the [MASK] of a pattern, among so many texts."""
    counts, words = Counter(), pattern.split()
    place = words.index(MASK)
    for text in texts:
        if len(text) == len(words) and all(seen in (word, MASK) for seen, word in zip(words, text)):
            counts[text[place]] += 1
    return counts


# %% [markdown]
# ## The library's own
#
# `World.posterior` adds up all sentences that fit without listing them: the chart of a parser with probabilities (inside and
# outside, *Baker 1979, "Trainable Grammars for Speech Recognition"*), for each topic and each protagonist. Both ways must agree,
# as far as counts can tell.

# %%
def exact(pattern):
    """word -> probability at the [MASK] of a single sentence."""
    words = pattern.split()
    p, = world.posterior(words, [words.index(MASK)], single=True)
    return dict(zip(world.words, p))


drawn = list(islice(world.texts(None, seed=27), DRAWN))
PATTERNS = ("the [MASK] sleeps .", "the busy [MASK] hurries .", "who [MASK] ?")
for pattern in PATTERNS:
    counts, truth = by_counting(pattern, drawn), exact(pattern)
    n = sum(counts.values())
    print(f"{pattern}   {n} of {DRAWN:,} sentences fit")
    likeliest = sorted(truth, key=truth.get, reverse=True)[:4]
    wb.table(["word", "exact", "counted"], [[word, float(truth[word]), counts[word] / max(n, 1)] for word in likeliest])
    for word in likeliest:
        error = np.sqrt(truth[word] * (1 - truth[word]) / max(n, 1))
        assert n == 0 or abs(counts[word] / n - truth[word]) < 4 * error + 1e-9, f"{pattern} {word}: no accident"
    assert all(truth[word] > 0 for word in counts), "what was seen is possible"
    assert np.isclose(sum(truth.values()), 1), "and all of them together are sure"

# %% [markdown]
# A count needs luck to find a sentence that fits, and for most sentences with ten words there is none among 60,000. The exact
# way needs some thousandths of a second.
#
# ## Check: is the truth calibrated?
#
# If the posterior is right, then the surprise at what really stood there is, on average, what it expects itself: its entropy.
# Sentences are corrupted as in training: 15 % of the words chosen, of those 80 % become [MASK], 10 % another word, 10 % stay. Who
# knows the truth has to reckon with visible words that are wrong, too.
#
# A mean over few words is partly luck. Its **standard error** (标准误) says how much: of N independent values it is their
# standard deviation divided by √N, and a mean is seldom more than two of it from what endless text would give. The library's
# `mean` prints it behind a ±. It takes the words of one sentence together, since these are easy or hard together.

# %%
def draw(count, seed):
    """So many sentences as (seen, truth); of each target its text, word, part of speech, distance to its head, clauses around."""
    rng, pairs, known = np.random.default_rng(seed), [], []
    golds = chain.from_iterable(world.gold(document) for document in world.documents(20 * count, seed))
    for text, gold in enumerate(islice(golds, count)):
        pairs.append(corrupt(gold.form, world.words, rng, single=True))
        for place in pairs[-1][0].targets:
            far = abs(gold.head[place] - place - 1) if gold.head[place] else 0
            far = "root" if not far else "1" if far == 1 else "2 or 3" if far < 4 else "4 or more"
            known.append((text, gold.form[place], gold.upos[place], far, gold.depth[place]))
    return pairs, map(np.array, zip(*known))


pairs, (texts, words, upos, far, clauses) = draw(wb.choose(3000, 120), 10)
truth, at = np.array([world.words.index(word) for word in words]), np.arange(len(words))
p = np.concatenate(world.posteriors([seen for seen, _ in pairs]))  # (M, V)
best = -np.log(p[at, truth])  # surprise of whoever knows the language
entropy = -distances(p, np.zeros_like(p))
difference = mean(best - entropy, texts)
print(f"best possible loss {mean(best, texts)}, mean entropy {mean(entropy, texts)} nats, over {len(words):,} hidden words")
print(f"their difference: {difference}, that is {difference.value / difference.error:+.1f} standard errors")
assert abs(difference.value) < 4 * difference.error, "the truth is as surprised as it expects"

# %% [markdown]
# ## A model, and the gap on the same words
#
# Now a small model, trained for a minute on sentences that it never sees twice. (It reads single sentences; text of whole
# documents tells more, and its best possible loss is another.)

# %%
STEPS = wb.choose(1800, 6)  # <- the knob

# %%
bert = generated.train(world, STEPS)
log_q = generated.log_guesses(bert, world, pairs)  # (M, V)
loss, kl = -log_q[at, truth], distances(p, log_q)
share = np.bincount([world.words.index(word) for text in drawn for word in text], minlength=len(world.words)) + 1.0
share /= share.sum()
marks = {"knows nothing: ln V": np.full(len(at), np.log(len(world.words))), "knows how frequent words are": -np.log(share[truth]),
         "the model": loss, "knows the language": best}
wb.table(["", "nats a hidden word"], [[name, str(mean(values, texts))] for name, values in marks.items()])
assert (kl > -1e-6).all(), "a distance is never negative"
assert np.exp(log_q).sum(1).max() < 1 + 1e-6, "shares, without those of [CLS] and its like"
if not wb.QUICK:
    assert best.mean() < loss.mean() < -np.log(share[truth]).mean(), "between the marks"

# %% [markdown]
# How far is it? One may subtract the two losses. Look at the standard errors: they are large, because some words are hard and
# others easy, for anybody. Three ways to say how far:
#
# - **from two sets**: the loss of the model on one set of words, the best loss on another. Both errors count.
# - **paired**: of the *same* word, the two surprises, ln p(w) − ln q(w), and then the mean. What is hard for both falls out.
# - **the KL divergence**: not of the word that happened to stand there, but of the whole posterior.

# %%
first, second = texts < len(pairs) // 2, texts >= len(pairs) // 2
apart = mean(loss[first], texts[first]), mean(best[second], texts[second])
ways = {"from two sets": (apart[0].value - apart[1].value, float(np.hypot(apart[0].error, apart[1].error))),
        "paired, the first set alone": mean((loss - best)[first], texts[first])[:2],
        "paired, all words": mean(loss - best, texts)[:2], "KL, all words": mean(kl, texts)[:2]}
wb.table(["gap to the best possible loss", "nats", "standard error"], [[name, *map(float, way)] for name, way in ways.items()])
if not wb.QUICK:
    assert ways["paired, the first set alone"][1] < 0.75 * ways["from two sets"][1], "pairing takes the luck out"
    assert ways["KL, all words"][0] > 3 * ways["KL, all words"][1], "and the model is not perfect"
    both = np.hypot(ways["paired, all words"][1], ways["KL, all words"][1])
    assert abs(ways["paired, all words"][0] - ways["KL, all words"][0]) < 4 * both, "two ways to measure one thing"

# %% [markdown]
# ## Where the missing nats are
#
# The distance of each word is known, so it can be sorted: by part of speech, by how far away the word stands on which it depends
# (linguists call that its head), by how many relative clauses are around it. The share says how much of the whole is lost there;
# it is large where words are frequent *or* hard.

# %%
def sorted_by(labels):
    """label -> (mean distance, its share of all)."""
    return {str(label): (mean(kl[labels == label], texts[labels == label]), float(kl[labels == label].sum() / kl.sum()))
            for label in np.unique(labels)}


parts = sorted_by(upos)
for name, groups in (("part of speech", parts), ("head is … words away", sorted_by(far)),
                     ("relative clauses around it", sorted_by(clauses))):
    wb.table([name, "words", "KL, nats", "share of all"],
             [[label, found.targets, str(found), f"{part:.0%}"] for label, (found, part) in
              sorted(groups.items(), key=lambda item: -item[1][1])])
    assert np.isclose(sum(part for _, part in groups.values()), 1), "every missing nat is somewhere"
print("words that hold most:", ", ".join(f"{word} {part:.1%}" for word, (_, part) in
                                         sorted(sorted_by(words).items(), key=lambda item: -item[1][1])[:10]))

# %% [markdown]
# Then look at a few by eye: the hidden words at which the model is farthest from the truth. A word in brackets was chosen, too,
# and is shown: it may be the right one or not.

# %%
for i in np.argsort(-kl)[:4]:
    seen = pairs[texts[i]][0]
    print(" ".join(f"[{word}]" if word != MASK and k in seen.targets else word for k, word in enumerate(seen.words)))
    print("    truth:", ", ".join(f"{world.words[v]} {p[i, v]:.0%}" for v in np.argsort(-p[i])[:3]),
          "  model:", ", ".join(f"{world.words[v]} {np.exp(log_q[i, v]):.0%}" for v in np.argsort(-log_q[i])[:3]))

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(15, 6, "A loss between its marks, and where the rest is lost")
left, right = picture.subplots(1, 2, width_ratios=[1, 1.2])
values = [mean(found, texts) for found in marks.values()]
left.barh(range(len(marks)), [value.value for value in values], color=[wb.GREY, wb.GREY, wb.BLUE, wb.ORANGE])
left.set_yticks(range(len(marks)), [name.replace(": ", ":\n").replace("how frequent", "how\nfrequent") for name in marks])
left.invert_yaxis()
left.set(xlabel="nats a hidden word", title="loss")
order = sorted(parts, key=lambda label: -parts[label][1])
right.bar(range(len(order)), [parts[label][0].value for label in order], yerr=[2 * parts[label][0].error for label in order],
          color=wb.SKY, ecolor=wb.GREY, capsize=4)
for i, label in enumerate(order):
    tip = parts[label][0].value + 2 * parts[label][0].error
    right.annotate(f"{parts[label][1]:.0%}", (i, tip), (0, 4), textcoords="offset points", ha="center", fontsize=13)
right.set_xticks(range(len(order)), order, rotation=60)
right.set(ylabel="KL(truth‖model), nats", title="by part of speech; above: share of all that is missing")
wb.save(picture, "27_how_far")

# %% [markdown]
# ## Beware
#
# - **The best possible loss belongs to what is seen.** Hide more words and it rises; show the rest of the document and it falls.
#   A loss and a best loss of different corruptions have nothing to do with each other.
# - **A model near the truth has learned this language**, not grammar as such. That is a strong test of a program and of a way of
#   training: whether it *can* learn agreement, clauses, pronouns. It says nothing of English.
# - **A share is no reason.** Nouns may hold most of what is missing because they are frequent, or because their topic is not
#   recognised. To know, ask for a set in which only one of the two differs.
#
# ## One knob to turn
#
# `STEPS`, above. Guess first which part of speech profits most when it is doubled, and which least. And with 300 steps: how much
# of the way from the frequencies to the truth has the model gone?

# %%
print(f"{STEPS} steps: {mean(kl, texts)} nats from the best possible guess")
assert kl.mean() > 0

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert world "the [MASK] sleeps ."
#     python -m minibert world --size small --floor
#     python -m minibert train --corpus world-small --no-next-sentence
#     python -m minibert analyse posterior
#
# The last one has a larger model, of whole documents, and more ways to sort.
#
# ## Exercises
#
# Five functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My KL is NaN.* 0·ln 0 counts as 0: where p is 0, nothing is added, whatever q says.
# - *My KL is infinite.* The model gave 0 to a word that is possible. A softmax never does, a count may.
# - *My gap is negative.* On few words that can be luck: the model guessed what happened to stand there. KL cannot be negative.
# - *My best loss is lower than that of the library.* Do you take visible words for certain? One in five of the chosen ones is
#   shown, and half of those are wrong.

# %%
wb.exercises(27)
