# %% [markdown]
# # 22. Training sentence vectors
#
# **You will do** write the loss that draws texts together that mean the same, cut its batch into pieces without changing it, and
# train the bundled model until a question finds an answer with which it shares not a single word.
#
# **You will learn** where wrong answers come from when nobody has written any, what the temperature and the size of a batch do,
# and what such a model has not learned.
#
# **You need** lesson 10 (cross-entropy), lesson 15 (batches cut into pieces), lesson 18 (pooling, cosines, search). Time: about
# 40 minutes to read; runs in about 15 s.

# %%
import numpy as np
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert.finetuning import models
from minibert.layers import contrastive, cross_entropy, unit
from minibert.model.model import Output
from minibert.parameters import Parameters
from minibert.tasks.labelled import metrics
from minibert.tasks.labelled.features import Feature, collate, micro_batches
from minibert.training.adamw import AdamW, learning_rate
from minibert.training.engine import Engine, inputs
from minibert.workers import Workers

bert = minibert.load(device="cpu")
rng = np.random.default_rng(22)
print(bert)

# %% [markdown]
# ## The question
#
# Lesson 18 ended badly: the vectors of a model that guesses words do not find "Remove a directory" for "delete a folder". What
# would a model have to be told to find it?
#
# Only *which texts belong together*: a question and its answer, a title and its text, two ways to say one thing. Such pairs lie
# about everywhere, and nobody has to label them. One text of a pair is called the **anchor** (锚点), the other its **positive**
# (正例). But a loss that does nothing but draw pairs together has a bad idea: make *all* vectors the same. It also needs texts
# that do not belong together. Where do they come from?
#
# ## Toy numbers
#
# From the other pairs. Take three pairs at a time; H = 2, and all vectors have length 1, so that products are cosines. Each
# anchor sees three candidates: its own positive and, for nothing, two wrong ones, the **in-batch negatives** (批内负例).

# %%
angles = np.radians([[0, 20], [90, 50], [180, 200]])  # anchor and positive of each pair
toy = np.stack([np.cos(angles), np.sin(angles)], -1)  # (N, 2, H)
cosines = toy[:, 0] @ toy[:, 1].T  # row: anchor; column: positive
wb.table(["anchor at", *(f"positive at {a:.0f}°" for a in np.degrees(angles[:, 1]))],
         [[f"{a:.0f}°", *map(float, row)] for a, row in zip(np.degrees(angles[:, 0]), cosines)])
assert (cosines.argmax(1) == [0, 1, 2]).all(), "each anchor finds its own: the largest of each row stands on the diagonal"
assert np.isclose(cosines[0, 1], np.cos(np.radians(50))), "but positive 1, at 50°, lies between anchors 0 and 1"

# %% [markdown]
# "Which of these is mine?" is a question with N possible answers, and for row n answer n is right. So this is classification,
# with as many classes as the batch has pairs, and the loss is one that we have had: cross-entropy.
#
# ## The equation
#
# With unit vectors u of the anchors and v of the positives, and the **temperature** (温度) τ:
#
# $$s_{nm} = \frac{u_n \cdot v_m}{\tau} \qquad\qquad
# \text{loss} = -\frac{1}{N} \sum_n \log \frac{\exp(s_{nn})}{\sum_m \exp(s_{nm})}$$
#
# This is the **contrastive loss** (对比损失). *Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart
# Reply", §4.4; van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding", §2.3; in
# sentence-transformers it is called MultipleNegativesRankingLoss.*
#
# Why divide by τ? A cosine is at most 1. Without it, even a perfect model among many candidates could not get the probability of
# the right one near 1:

# %%
N = 32
perfect = np.where(np.eye(N, dtype=bool), 1.0, 0.0)  # the right one at cosine 1, all others at right angles
rows = []
for temperature in (1.0, 0.5, 0.1, 0.05):
    probability = np.exp(1 / temperature) / (np.exp(1 / temperature) + N - 1)
    loss, _ = cross_entropy.forward(perfect / temperature, np.arange(N))
    rows.append([temperature, float(probability), float(loss)])
    assert np.isclose(-np.log(probability), loss), "the loss is the surprise at the right answer"
wb.table(["τ", f"largest probability among {N}", "smallest loss"], rows)
assert rows[0][1] < 0.1, "τ = 1: a perfect model would be told that it is wrong, for ever"
assert rows[-1][1] > 0.999, "τ = 0.05: it may be content"

# %% [markdown]
# ## The plain-loop version


# %%
def loss_in_loops(x, temperature):
    """x (N, 2, H), anchors and positives of any length -> the loss"""
    anchors = [vector / np.sqrt(sum(vector * vector)) for vector in x[:, 0]]
    positives = [vector / np.sqrt(sum(vector * vector)) for vector in x[:, 1]]
    loss = 0.0
    for n, anchor in enumerate(anchors):
        scores = [sum(anchor * positive) / temperature for positive in positives]
        loss -= scores[n] - np.log(sum(np.exp(score) for score in scores))
    return loss / len(x)


# %% [markdown]
# ## Vectorised, and the library's own
#
# All N² cosines are one product of two matrices. Hard negatives, where there are any, are more columns of it: a **hard negative**
# (难负例) is a text that looks right and is not, such as "open a folder" beside "delete a folder". It is a wrong answer for every
# anchor of the batch, not only for its own.

# %%
def loss_at_once(x, temperature):
    anchors, positives = unit.forward(x[:, 0])[0], unit.forward(x[:, 1])[0]
    scores = anchors @ positives.T / temperature  # (N, N)
    scores = scores - scores.max(1, keepdims=True)
    return -(np.diag(scores) - np.log(np.exp(scores).sum(1))).mean()


def numbers(x):
    """Numbers of the texts, which the library wants to know: here no two are the same."""
    return np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2])


x = rng.standard_normal((5, 2, 4))
loss, _ = contrastive.forward(x, numbers(x), temperature=0.05)
print(f"loops {loss_in_loops(x, 0.05):.12f}, arrays {loss_at_once(x, 0.05):.12f}, library {loss:.12f}")
assert np.isclose(loss_in_loops(x, 0.05), loss, rtol=1e-12)
assert np.isclose(loss_at_once(x, 0.05), loss, rtol=1e-12)
triplets = np.concatenate([x, rng.standard_normal((5, 1, 4))], 1)
harder, _ = contrastive.forward(triplets, numbers(triplets), temperature=0.05)
assert harder > loss, "more wrong answers to choose from: never an easier question"
nothing, _ = contrastive.forward(np.ones((5, 2, 4)), numbers(x))
assert np.isclose(nothing, np.log(5)), "all vectors alike: blind guessing, ln N. The bad idea costs as much as knowing nothing"

# %% [markdown]
# ## Gradient check
#
# The gradient of cross-entropy is known, "probability minus what is right"; then through a product of two matrices; then through
# the length, as in lesson 18. What an anchor gets is worth a look: it is drawn to its positive and pushed away from all others,
# from each as strongly as it was taken for the right one:
#
# $$du_n = \frac{1}{N\,\tau} \sum_m (\text{softmax}(s_n)_m - [m = n])\; v_m$$

# %%
result = check(contrastive, {"x": x, "targets": numbers(x)}, name="contrastive", options={"temperature": 0.3})
print(f"{result.name}: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
assert result.ok

scores = rng.standard_normal((4, 4))
probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
pair = Pair(lambda scores: cross_entropy.forward(scores, np.arange(4)), cross_entropy.backward)
assert check(pair, {"scores": scores}, name="scores").ok
ds = cross_entropy.backward(1.0, cross_entropy.forward(scores, np.arange(4))[1])
assert np.allclose(ds, (probabilities - np.eye(4)) / 4), "probability minus what is right, over N"
assert np.allclose(ds.sum(1), 0), "as much as it is drawn to the one it is pushed from the others"

# %% [markdown]
# ## The whole batch, in pieces
#
# Lesson 15 cut a batch into pieces and added up their losses. Try it here and it is another loss: an anchor sees only the
# candidates of its own piece, and the fewer there are, the easier the question.

# %%
x = rng.standard_normal((12, 2, 8))
whole, _ = contrastive.forward(x, numbers(x))
pieces = [contrastive.forward(part, numbers(part), count=12)[0] for part in np.split(x, 4)]
print(f"the whole {whole:.3f}, four pieces {sum(pieces):.3f}")
assert sum(pieces) < whole - 0.1, "a batch of 12 is not four batches of 3"

# %% [markdown]
# All vectors must be there before the first gradient can be. To hold the activations of the whole batch for that costs memory,
# and large batches are what this loss lives on. The way out goes over the batch twice: first only forward, keeping one vector a
# text; then the loss and the gradient of each vector; then every piece forward again, and back from its vectors' gradients.
# *Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".* This is what the engine does, and
# how the batch is cut changes nothing:

# %%
TEXTS = [("delete a folder", "remove the directory"), ("open a file", "read the first line of a document, then close it"),
         ("sort a list", "arrange the elements of a sequence in order"), ("wait", "sleep until another thread has finished")]


def feature(pair, i):
    ids = tuple(np.array(bert.tokenizer.framed(bert.tokenizer.ids(text))) for text in pair)
    return Feature(ids, tuple(map(len, ids)), np.array([2 * i, 2 * i + 1]), i)


still = bert.config.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def start(config, dtype, **options):
    """A model for sentence vectors, and the bundled weights for it."""
    model = models.of(config, "vectors", 0, loss=options)
    parameters, there = Parameters.zeros(model.layout(), dtype=dtype), dict(bert.parameters.items())
    for name, view in parameters.items():
        view[...] = there[name]
    return model, parameters


features = [feature(pair, i) for i, pair in enumerate(TEXTS)]
gradients = []
for tokens in (1000, 30):
    model, parameters = start(still, np.float64)
    with Workers(1) as workers:
        engine = Engine(model, parameters, workers)
        batches = micro_batches(features, tokens)
        loss = float(engine.accumulate(batches).loss)
        gradients.append(engine.gradients[0].flat.copy())
    print(f"{len(batches)} pieces: loss {loss:.12f}")
out, cache = model.forward(inputs(collate(features, range(4)), np, still), parameters)  # by hand, all in one
g = parameters.zeros_like()
model.backward(Output(loss=1.0), cache, parameters, g)
assert np.isclose(float(out.loss), loss, rtol=1e-12), "the same loss from any cut"
for gradient in gradients:
    assert np.linalg.norm(gradient - g.flat) < 1e-12 * np.linalg.norm(g.flat), "and the same gradient"

# %% [markdown]
# ## Pairs to learn from
#
# A little language of requests. A meaning is an action and an object; each of them has three or two words, and a sentence has one
# of four forms. The two texts of a pair mean the same and share neither the action's word, nor the object's, nor the form. Of the
# 144 meanings 44 are kept aside: their *words* occur in training, but never together.

# %%
ACTIONS = [words.split() for words in (
    "delete remove erase", "open access enter", "copy duplicate clone", "find locate search", "print show display",
    "sort order arrange", "create make build", "change modify edit", "close shut leave", "count measure total",
    "send write output", "read load fetch")]
OBJECTS = [words.split() for words in (
    "folder directory", "file document", "list sequence", "string text", "number value", "key name", "error exception",
    "process program", "socket connection", "class type", "table mapping", "message line")]
FORMS = ["how do I {} a {}?", "{} the {}.", "a function to {} one {}", "this will {} every {} there is"]
meanings = rng.permutation([(action, thing) for action in range(12) for thing in range(12)]).tolist()
held_out, known = meanings[:44], meanings[44:]


def say(meaning, rng):
    """Two texts of one meaning, without a common word of it."""
    words = [rng.choice(group[i], 2, replace=False) for group, i in zip((ACTIONS, OBJECTS), meaning)]
    return [form.format(*chosen) for form, *chosen in zip(rng.choice(FORMS, 2, replace=False), *words)]


questions, answers = zip(*(say(meaning, rng) for meaning in held_out))
for question, answer in zip(questions[:4], answers):
    print(f"    {question:<34}  {answer}")
assert len(set(answers)) == 44

# %% [markdown]
# ## Train, and measure as a search
#
# Each question looks for its answer among the 44. Two figures: **recall at k** (前 k 召回率), the share of questions whose answer
# is among the first k, and the **mean reciprocal rank** (平均倒数排名), MRR, the mean of 1/rank, which is 1 if every answer comes
# first and about 0.1 for blind guessing.
#
# A batch has 32 pairs of 32 *different* meanings. Two pairs of one meaning would be each other's wrong answers, and the loss
# would push apart what belongs together.

# %%
def search(model):
    """(mean reciprocal rank, recall at 1), and the cosines of all questions with all answers."""
    vectors = [unit.forward(model.embed(list(texts), "mean"))[0] for texts in (questions, answers)]
    ranks = [list(found.values()) for _, _, found in metrics.searches(*vectors, [[i] for i in range(44)])]
    return metrics.reciprocal_rank(ranks), metrics.recall_at(ranks, 1), vectors[0] @ vectors[1].T


STEPS = wb.choose(120, 4)


def train(pairs, temperature=0.05):
    """The bundled model after STEPS steps, and its losses."""
    model, parameters = start(bert.config, np.float32, temperature=temperature)
    order, losses = np.random.default_rng(0), []
    with Workers() as workers:
        engine = Engine(model, parameters, workers, AdamW(weight_decay=0.01))
        for step in range(1, STEPS + 1):
            chosen = [say(known[i], order) for i in order.permutation(len(known))[:pairs]]
            batch = micro_batches([feature(pair, i) for i, pair in enumerate(chosen)])
            losses.append(float(engine.train(batch, learning_rate(step, 1e-3, STEPS // 10, STEPS))[0].loss))
    return minibert.Bert(bert.config, parameters, bert.tokenizer), losses


before = search(bert)
tuned, losses = train(32)
after = search(tuned)
wb.table(["model", "MRR", "right answer first"], [["bundled", *before[:2]], [f"after {STEPS} steps of 32 pairs", *after[:2]]])
print(f"loss {losses[0]:.2f} -> {np.mean(losses[-5:]):.2f}; blind guessing: ln 32 = {np.log(32):.2f}")
assert before[0] < 0.2, "the bundled model is led astray by the form of a sentence"
assert losses[0] > np.log(32), "it began worse than blind: surely wrong"
if not wb.QUICK:
    assert after[0] > 0.85, "after: hardly a question that does not find its answer first"
    assert np.mean(losses[-5:]) < 0.3

# %% [markdown]
# Not one of these 44 meanings was ever trained on. What was learned are the words, and that the form says nothing.
#
# ## More pairs, more wrong answers
#
# The same number of steps with smaller batches. Each step then has fewer wrong answers in it, and they are easier ones.

# %%
sizes = {pairs: search(train(pairs)[0])[:2] for pairs in (2, 8)} | {32: after[:2]}
wb.table(["pairs a batch", "wrong answers for each", "MRR", "right answer first"],
         [[pairs, pairs - 1, *figures] for pairs, figures in sizes.items()])
if not wb.QUICK:
    assert sizes[2][0] < sizes[8][0] < sizes[32][0], "a larger batch makes the question harder, and teaches more"

# %% [markdown]
# Be fair: a step of 32 also reads more text. But a question with one wrong answer is soon always answered, and nothing is learned
# from it any more: look at how hard the negatives are before you ask for more steps. This is also what hard negatives are for.
#
# ## What it has not learned
#
# Pairs say what is alike *for whoever made them*. Our pairs never had the words below, so nothing has brought them together; and
# the form of a sentence, which was different in every pair, is gone from the vectors, although "how do I delete a folder?" and
# "delete the folder." are not at all the same request.

# %%
def cosine(model, one, other):
    u, v = unit.forward(model.embed([one, other], "mean"))[0]
    return float(u @ v)


probes = {"trained words": ("delete the folder.", "how do I remove a directory?"),
          "new words": ("start the engine.", "how do I launch a motor?"),
          "another request": ("delete the folder.", "how do I delete a folder?"),
          "another action": ("delete the folder.", "create the folder.")}
wb.table(["", "bundled", "trained"], [[name, cosine(bert, *texts), cosine(tuned, *texts)] for name, texts in probes.items()])
if not wb.QUICK:
    trained = {name: cosine(tuned, *texts) for name, texts in probes.items()}
    assert trained["trained words"] > 0.8 > trained["new words"], "it knows what it was shown"
    assert trained["another request"] > 0.8, "the form is gone: it was never worth anything"
    assert trained["another action"] < 0.6, "and what was worth something has come apart, though only one word differs"

# %% [markdown]
# ## One picture

# %%
own = np.eye(44, dtype=bool)
picture = wb.figure(14, 5.8, "Training pulls the right answers away from the others")
for axes, (name, (rank, _, cosines)) in zip(picture.subplots(1, 2, sharex=True), {"before": before, "after": after}.items()):
    bins = np.linspace(-1, 1, 51)
    axes.hist(cosines[~own], bins, density=True, color=wb.GREY, alpha=0.6, label="other answers")
    axes.hist(cosines[own], bins, density=True, color=wb.ORANGE, alpha=0.8, label="the right answer")
    axes.set(xlabel="cosine of question and answer", ylabel="density", title=f"{name}: MRR {rank:.2f}")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.legend(frameon=False, loc="upper left")
wb.save(picture, "22_pulled_apart")

# %% [markdown]
# ## One knob to turn
#
# The temperature. Hot (0.5), all wrong answers push alike, and even a perfect model is not left in peace; cold (0.01), only the
# nearest one does. Guess what 0.5 makes of the MRR, then try it. Then 0.01.

# %%
TEMPERATURE = 0.05  # <- the knob

# %%
turned = search(train(32, TEMPERATURE)[0]) if TEMPERATURE != 0.05 else after
print(f"τ = {TEMPERATURE}: MRR {turned[0]:.2f}, right answer first {turned[1]:.0%}")
assert 0 < turned[0] <= 1

# %% [markdown]
# ## All of it in one command
#
# A file of pairs, one a line with a tab between the texts, and a third column where there are hard negatives:
#
#     python -m minibert finetune embed --train pairs.tsv --out runs/vectors
#     python -m minibert search runs/vectors lines.txt "delete a folder"
#
# The folder says how its vectors are made, and sentence-transformers opens it. Where a column says how alike two texts are, as a
# number, `--scored` learns that number as the cosine.
#
# ## Exercises
#
# Five functions: the loss of a matrix of scores, its gradient, both directions at once, how many wrong answers a batch has, and
# recall. The command prints a line for each, such as `1. loss_of_scores: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **The loss stays at ln N.** All vectors are alike, or the learning rate is too large. Look at the cosines, not at the loss.
# - **The loss is near 0 and the search is poor.** The wrong answers are too easy: larger batches, or hard negatives.
# - **Two batches of 16 do not make the gradient of one of 32.** They have other candidates; see "The whole batch, in pieces".
# - **The same text stands twice in a batch.** The library leaves it out of the wrong answers. That two *different* texts mean the
#   same it cannot know: draw batches without them, where you know.
# - **Cosines of unrelated texts are not 0.** Nothing asks for it: only the order within a row counts.
# - **It works on my pairs and not on my users' questions.** Then your pairs are not what your users ask. Collect others.

# %%
wb.exercises(22)
