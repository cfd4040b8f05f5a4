# %% [markdown]
# # 31. Probing and its controls
#
# **You will do** read parts of speech from the bundled model's vectors, 98 % of them right, and find out that this shows nothing;
# then ask two questions that do show something.
#
# **You will learn** what a probe is, why it can be right without a model that knows anything, and which controls tell.
#
# **You need** lesson 4 (gradients and their check), lesson 9 (hidden states), lesson 19 (classifiers, baselines). Time: about 35
# minutes to read; runs in about 20 s.

# %%
from collections import Counter, defaultdict

import numpy as np
import workbench as wb

import minibert
from gradcheck import check
from minibert.analysis import controls, probing, subject
from minibert.parameters import Layout, initialise
from minibert.world import World

bert = minibert.load(device="cpu")
rng = np.random.default_rng(31)
print(bert)

# %% [markdown]
# ## The question
#
# You want to know whether a layer knows parts of speech. So you take its vectors of many words, each with its label, and train a
# small classifier on them: a **probe** (探针). The model itself stays as it is. On other sentences the probe is right in 98 of
# 100 cases. *Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes", §3.*
#
# Does the layer know parts of speech?
#
# ## Toy numbers
#
# A hundred words. Each gets a vector of 64 random numbers, always the same one, and one of four labels by lot. There is nothing
# to be known here: no model, no language, no rule. Train a probe on places in a text, and test it on others; then on words that
# it has not met:

# %%
vectors, lots = rng.standard_normal((100, 64)), rng.integers(0, 4, 100)
text = rng.integers(0, 50, 900)  # which word stands at each place: one of the first fifty
train, dev, test = np.split(np.arange(900), [600, 700])
SETTINGS = probing.Settings(3e-3, passes=15, patience=3)


def accuracy(x, labels, train, dev, test, hidden=0):
    """Of a probe with so many hidden units, or a linear one, on the test places; x (N, H)."""
    probe = probing.fit(x[train], labels[train], x[dev], labels[dev], hidden, SETTINGS)
    return probe.accuracy(x[test], labels[test])


seen = accuracy(vectors[text], lots[text], train, dev, test)
longer = np.concatenate([text[:700], rng.integers(50, 100, 400)])  # tested on the other fifty
unseen = accuracy(vectors[longer], lots[longer], train, dev, np.arange(700, 1100))
print(f"other places, the same words: {seen:.0%} right; other words: {unseen:.0%}")
assert seen > 0.95, "all right, and nothing known"
assert unseen < 0.7, "for words that it has not met the probe has nothing to go by"

# %% [markdown]
# The probe has learned a list by heart: which word has which label. For that the vectors need only tell the words apart, and any
# vectors do. So what a probe finds may be in the vectors, or in the probe.
#
# ## The equation
#
# A linear probe, and one with a hidden layer:
#
# $$\text{logits} = W x + b \qquad\qquad \text{logits} = W_2 \tanh(W_1 x + b_1) + b_2$$
#
# What is learned by heart can be measured. Draw a label for every word form by lot, as often as the true ones are there, and
# train the same probe on these: that is a **control task** (控制任务). The **selectivity** (选择性) of a probe is
#
# $$\text{selectivity} = \text{accuracy of the task} - \text{accuracy of the control task}$$
#
# *Hewitt and Liang 2019, "Designing and Interpreting Probes with Control Tasks", §2.*
#
# ## The plain-loop version


# %%
def probe_in_loops(x, weight, bias):
    """x (N, H) -> logits (N, C)"""
    out = np.zeros((len(x), len(bias)))
    for n, row in enumerate(x):
        for c in range(len(bias)):
            out[n, c] = bias[c] + sum(weight[c] * row)
    return out


# %% [markdown]
# ## Vectorised, and the library's own

# %%
x = rng.standard_normal((5, 8))
params = initialise(Layout(probing.shapes(8, 3)), scale=0.5, dtype=np.float64).tree
weight, bias = params["output"]["weight"], params["output"]["bias"]
library, _ = probing.forward(x, params)
assert np.allclose(probe_in_loops(x, weight, bias), library, rtol=1e-12)
assert np.allclose(x @ weight.T + bias, library, rtol=1e-12)
print("loops, arrays and library agree")

# %% [markdown]
# ## Gradient check

# %%
for hidden in (0, 4):
    params = initialise(Layout(probing.shapes(8, 3, hidden)), scale=0.5, dtype=np.float64).tree
    result = check(probing, {"x": x}, params, name=f"{hidden} hidden units" if hidden else "linear")
    print(f"{result.name}: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
    assert result.ok

# %% [markdown]
# ## Ninety-eight percent
#
# Now the bundled model. It reads sentences of the library's generated language, which looks like English and in which all labels
# are known. Whole sentences go to training or to the test, and equal sentences to the same side.

# %%
sentences = subject.of(bert, World.of("small"), quick=wb.QUICK).sentences[:wb.choose(1200, 200)]
words = [word for s in sentences for word in s.words]
tags, kinds = probing.numbered([tag for s in sentences for tag in s.upos])
texts = np.repeat([" ".join(s.words) for s in sentences], [len(s.words) for s in sentences])
parts = probing.split(texts)
layers = {"bundled": probing.states(bert, [s.words for s in sentences]),
          "random weights": probing.states(controls.random_weights(bert), [s.words for s in sentences])}
print(f"{len(words):,} words, of which {len(parts.test):,} are for the test; {len(kinds)} parts of speech")


def by_layer(x, labels, parts, hidden=0):
    return [accuracy(layer, labels, *parts, hidden) for layer in x]


def by_heart(words, labels, parts):
    """No vectors at all: each word gets the label that it had most often in training."""
    seen, often = defaultdict(Counter), np.bincount(labels[parts.train]).argmax()
    for i in parts.train:
        seen[words[i]][labels[i]] += 1
    return float(np.mean([(seen[words[i]].most_common(1)[0][0] if words[i] in seen else often) == labels[i] for i in parts.test]))


HEAD = ["right", *map(probing.layer_name, range(3))]
lots = probing.control_task(words, tags)
speech = {"bundled": by_layer(layers["bundled"], tags, parts),
          "random weights": by_layer(layers["random weights"], tags, parts),
          "control task": by_layer(layers["bundled"], lots, parts)}
speech["selectivity"] = list(np.subtract(speech["bundled"], speech["control task"]))
wb.table(HEAD, [[name, *map(float, row)] for name, row in speech.items()])
print(f"always the most frequent: {probing.majority(tags, parts):.0%}")
print(f"by heart, without vectors: {by_heart(words, tags, parts):.0%}")
assert by_heart(words, tags, parts) > 0.9, "a list of words is enough"
if not wb.QUICK:
    assert max(speech["bundled"]) > 0.95, "there they are"
    assert max(speech["random weights"]) > 0.9, "a model that has learned nothing"
    assert max(speech["control task"]) > 0.85, "and labels that mean nothing"

# %% [markdown]
# The most frequent label is a baseline that is easily beaten, and beating it says nothing. The others do: an untrained model is
# right as often, labels drawn by lot are learned nearly as well, and so is a list of words without any vector. Of these parts of
# speech hardly any depend on more than the word itself.
#
# ## What a word alone cannot tell
#
# So ask for something that is not in the word. First, the part of speech of the *next* word. Then words that are both: "plant"
# and "watch", noun or verb. A list of words can do no more than guess.

# %%
following = [s.upos[w + 1] if w + 1 < len(s.words) else "END" for s in sentences for w in range(len(s.words))]
following, _ = probing.numbered(following)
kinds_of = defaultdict(set)
for word, tag in zip(words, tags):
    kinds_of[word].add(int(tag))
both = np.array([i for i, word in enumerate(words) if len(kinds_of[word]) > 1])
print(f"{len(both)} places with words that are both:", ", ".join(sorted({words[i] for i in both})))
noun_or_verb, parts_of_both = np.unique(tags[both], return_inverse=True)[1], probing.split(texts[both])
ambiguous = [words[i] for i in both]
tasks = {"part of speech": (speech["bundled"], speech["random weights"], by_heart(words, tags, parts))}
for name, labels, some, own, here in (("of the next word", following, parts, words, slice(None)),
                                      ("noun or verb", noun_or_verb, parts_of_both, ambiguous, both)):
    tasks[name] = (*(by_layer(x[:, here], labels, some) for x in layers.values()), by_heart(own, labels, some))
for name, (bundled, untrained, heart) in tasks.items():
    rows = [["bundled", *map(float, bundled), heart], ["random weights", *map(float, untrained), ""]]
    wb.table([name, *HEAD[1:], "by heart"], rows)
error = 0.5 / len(parts_of_both.test) ** 0.5
print(f"noun or verb: {len(parts_of_both.test)} places for the test: one standard error is at most {error:.2f}")
if not wb.QUICK:
    for name, margin in (("of the next word", 0.2), ("noun or verb", 0.02)):
        bundled, untrained, heart = tasks[name]
        assert max(bundled[1:]) > max(*untrained, bundled[0], heart) + margin, "this the trained layers know, and nothing else"

# %% [markdown]
# Here embeddings and random weights know no more than the list, and the trained layers do: they have brought it in from the words
# around, which guessing hidden words has taught them. The same kind of probe, the same vectors; what makes the difference is the
# question, and what stands beside the answer. Of the second task the test has few places: mind the standard error.
#
# ## A larger probe
#
# A probe with hidden units finds more, of everything. Also of what is not there:

# %%
large = {"linear": (speech["bundled"], speech["control task"]),
         "50 hidden units": (by_layer(layers["bundled"], tags, parts, 50), by_layer(layers["bundled"], lots, parts, 50))}
wb.table(["layer 2", "task", "control task", "selectivity"],
         [[name, float(task[2]), float(control[2]), float(task[2] - control[2])] for name, (task, control) in large.items()])
if not wb.QUICK:
    assert large["50 hidden units"][1][2] > large["linear"][1][2] + 0.03, "it learns lots by heart, better than the linear one"
    gain = [task[2] - control[2] for task, control in large.values()]
    assert gain[1] < gain[0], "so less of what it finds was in the vectors"

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(14, 5.8, "Three questions to the same vectors")
for axes, (name, (bundled, untrained, heart)) in zip(picture.subplots(1, 3, sharey=True), tasks.items()):
    axes.plot(range(3), bundled, "o-", color=wb.BLUE, label="bundled")
    axes.plot(range(3), untrained, "s-", color=wb.GREY, label="random weights")
    axes.axhline(heart, color=wb.ORANGE, linestyle="--", label="by heart")
    axes.set(title=name, xlabel="layer", xticks=range(3), ylim=(0, 1.05))
picture.axes[0].set_ylabel("right")
picture.axes[0].legend(frameon=False, loc="lower left")
wb.save(picture, "31_three_questions")

# %% [markdown]
# ## One knob to turn
#
# The size of the probe. Guess the selectivity for 5 hidden units, and for 200; then try both.

# %%
HIDDEN = 0  # <- the knob

# %%
task, control = (by_layer(layers["bundled"][1:2], labels, parts, HIDDEN)[0] for labels in (tags, lots))
print(f"{HIDDEN} hidden units, layer 1: {task:.1%} right, control task {control:.1%}, selectivity {task - control:.3f}")
assert 0 <= task <= 1

# %% [markdown]
# ## All of it in one command
#
# Eight tasks on the vector of a sentence, and the number of a hidden verb, each with its controls and a verdict:
#
#     python -m minibert analyse probing-tasks
#     python -m minibert analyse agreement
#
# ## Exercises
#
# Five functions: the most frequent label, a list of words, a control task, a probe's gradient, and a split by sentences. The
# command prints a line for each, such as `1. majority_share: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **The probe is worse than the most frequent label.** Too few examples for so many numbers, or steps that are too large. Bring
#   the vectors to mean 0 and deviation 1 first, and stop by the dev examples.
# - **Random weights do as well as my model.** Then your question can be answered from the word and its place. Ask another.
# - **Which layer is best changes with the seed.** Then the layers do not differ. Say how large the spread is.
# - **The test is too good.** Do equal sentences stand on both sides? Did the test examples choose anything: a layer, a size, a
#   number of passes?
# - **A probe finds it. Does the model use it?** That no probe says. Take it out and see what the model does then, as lesson 14
#   does with heads.

# %%
wb.exercises(31)
