# %% [markdown]
# # 44. A scoreboard of your own
#
# **You will do**: take one sentence out of a paper's abstract, check it in a hurry and find that it holds; then check it so that
# it could have failed; and write a page of such checks of your own models.
#
# **You will learn**: what makes a sentence a claim that can fail: a definition, a measure with a known answer, a control, several
# seeds, and a criterion that is written down before one looks; and how to read a scoreboard.
#
# **You need**: lesson 8 (attention), lesson 27 (the generated language), lesson 31 (controls). Time: about 30 minutes to read;
# runs in about 80 s.

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import workbench as wb

import minibert
from minibert import BertConfig
from minibert.analysis import analyses, controls, dependencies, subject
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.collecting import collect
from minibert.analysis.trees import Parsed
from minibert.model import pretraining
from minibert.tasks.batches import Position, Stream, micro_batches
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.engine import Engine
from minibert.training.optimisers import OPTIMISERS
from minibert.training.schedules import SCHEDULES
from minibert.workers import Workers
from minibert.world import World

# %% [markdown]
# ## The question
#
# "The deepest layers of the model capture the most distant relationships." So the abstract of *Vig and Belinkov 2019, "Analyzing
# the Structure of Attention in a Transformer Language Model"*; the model is GPT-2. Does it hold of a BERT? Of yours?
#
# Before you read on: which number would make you say "no"? If none would, the sentence is not yet a claim. It becomes one by five
# decisions:
#
# 1. **A definition.** What is "deep", "distant", "to capture"? Written as a formula, so that two people get the same number.
# 2. **A known answer.** A case in which you know what must come out, without the model.
# 3. **A control**: something that cannot know what is claimed, measured in the same way (lesson 31).
# 4. **Several seeds.** Another training, another text: the same again?
# 5. **A criterion**, written down *before* one looks: which numbers mean yes, which mean no, which neither.
#
# To write down all five beforehand is **preregistration** (预注册). What comes out is a **verdict** (判定): *agrees*,
# *contradicts*, or *cannot show at this size*.
#
# ## Three small models
#
# In the small language of lesson 27 every word's head is known, so we know which relationships there are. Three models of it that
# differ in the seed only: other first weights, other text.

# %%
world = World.of("small")
tokenizer = Tokenizer(Vocabulary([*SPECIAL, *world.words]), lower_case=False, max_length=32)
SEEDS, STEPS, L = wb.choose((0, 1, 2), (0, 1)), wb.choose(500, 10), 4
CONFIG = BertConfig(vocab_size=len(tokenizer.vocab), hidden_size=64, num_hidden_layers=L, num_attention_heads=4,
                    intermediate_size=256, max_position_embeddings=32, initializer_range=0.05, hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0)


def train(seed):
    """A model of the seed, and its last masked-word loss."""
    index = tokenizer.vocab.index
    text = [[[index[word] for word in sentence] for sentence in world.words_of(document)]
            for document in world.documents(wb.choose(120_000, 5_000), seed)]
    streams = [Stream(text, tokenizer, max_length=length, batch_size=768 // length, seed=seed, next_sentence=False,
                      pairs="doc-sentences") for length in (8, 24)]  # lesson 43: short texts first
    parameters, position, losses = pretraining.initial_parameters(CONFIG, seed), Position(), []
    with Workers(1) as workers:
        engine = Engine(pretraining.of(CONFIG), parameters, workers, OPTIMISERS["muon"])
        for step in range(1, STEPS + 1):
            if step == STEPS // 5 + 1:
                position = Position()
            some, position = streams[step > STEPS // 5].batch(position)
            rate = SCHEDULES["linear"](step, 0.008, 0.1, STEPS)
            losses.append(float(engine.train(micro_batches(some, max_tokens=768), rate)[0].mlm_loss))
    return minibert.Bert(CONFIG, parameters, tokenizer), float(np.mean(losses[-20:]))


trained = [train(seed) for seed in SEEDS]
models = [bert for bert, _ in trained]
untrained = [controls.random_weights(bert, seed) for seed, bert in zip(SEEDS, models)]
blind = float(np.log(len(world.words)))
wb.table(["seed", "nats a hidden word", "blind guessing"], [[seed, loss, blind] for seed, (_, loss) in zip(SEEDS, trained)])
if not wb.QUICK:
    assert all(loss < blind - 2 for _, loss in trained), "they have learned something: else nothing below would mean anything"

# %% [markdown]
# ## In a hurry
#
# "Distant" is easily measured: take one model, all its attention on some sentences, and average how far it goes,
# $\sum a_{ij}\,|i-j| \,/\, \sum a_{ij}$, for each layer.

# %%
TEXTS = wb.choose(200, 40)
subjects = [subject.of(bert, world, seed, quick=True) for seed, bert in zip(SEEDS, models)]
subjects = [replace(one, sentences=one.sentences[:TEXTS]) for one in subjects]
sentences = [[s for s in one.sentences if len(s.words) > 1] for one in subjects]


def read(bert, some):
    """(sentence, attention (L, A, T, T)) of each sentence, with [CLS] at the first place and [SEP] at the last."""
    return [(some[units.index], units.attentions)
            for units in collect(bert, [s.words for s in some], states=None, attentions="mean")]


def average(maps, table):
    """Σ a·table / Σ a over all sentences, for each head (L, A). table(sentence, T) -> (T, T)"""
    above = sum((a * table(s, a.shape[-1])).sum((-2, -1)) for s, a in maps)
    return above / sum(a.sum((-2, -1)) for _, a in maps)


def gaps(s, n):
    """How far apart two places are, (T, T)."""
    return abs(np.subtract.outer(np.arange(n), np.arange(n)))


whole = [read(bert, some) for bert, some in zip(models, sentences)]
hurried = average(whole[0], gaps).mean(1)  # (L,)
wb.table(["layer", *map(str, range(1, L + 1))], [["places on average", *map(float, hurried)]])
if not wb.QUICK:
    assert hurried[-1] > hurried[0], "there it is: the deepest layer looks further than the first"

# %% [markdown]
# The paper is right, a picture is drawn, and one goes home. What is wrong with that? Nothing that was computed. But ask the same
# of models that have learned nothing:

# %%
whole_untrained = [read(bert, some) for bert, some in zip(untrained, sentences)]
far_untrained = np.array([average(maps, gaps).mean(1) for maps in whole_untrained])
wb.table(["layer", *map(str, range(1, L + 1))], [["places, trained", *map(float, hurried)],
                                                 ["places, random weights", *map(float, far_untrained[0])]])
if not wb.QUICK:
    assert (far_untrained[0] > hurried[0] + 0.5).all(), "who knows nothing looks far from the first layer on"

# %% [markdown]
# A head that knows nothing spreads its attention evenly, and so looks *far*. This number calls that "distant relationships".
# And more is wrong:
#
# - [CLS] and [SEP] were counted as words. A head that looks at [SEP] because it has nothing to do looks far as well.
# - One model was asked. Are the layers in this order in another training?
# - The criterion came last. Had layer 3 been the furthest, we would have said "the upper layers". Had one head of layer 4 looked
#   far, we would have shown that head. Nothing that could have come out would have been a "no".
#
# ## Toy numbers
#
# How bad is that? Let all layers be alike, so that there is nothing to be found. The last of 4 is the largest by luck in one case
# of four; in each of three seeds, in one of 4³. Whoever tries several ways of looking, and reports the one that says yes, has a
# chance at each. Were they independent:
#
# $$p(\text{yes}) = 1 - \left(1 - \left(\tfrac{1}{L}\right)^{n}\right)^{k}$$
#
# with n seeds and k ways.

# %%
def luck(layers, seeds, ways):
    return 1 - (1 - layers ** -seeds) ** ways


wb.table(["ways tried", "1 seed", "3 seeds"], [[ways, luck(4, 1, ways), luck(4, 3, ways)] for ways in (1, 3, 6, 18)])
rng = np.random.default_rng(44)
drawn = rng.standard_normal((20_000, 3, 6, 4))  # (tries, seeds, ways, layers) of nothing
yes = (drawn.argmax(-1) == 3).all(1)  # is the last layer the largest, in every seed?
print(f"drawn: one way {yes[:, 0].mean():.3f}, the best of six {yes.any(1).mean():.3f}")
assert abs(yes.any(1).mean() - luck(4, 3, 6)) < 0.01
assert luck(4, 1, 6) > 0.8, "one seed and six ways of looking: nearly always a discovery, of nothing"

# %% [markdown]
# The many ways that lead from one sentence to a yes are called **forking paths** (分叉路径) (*Gelman and Loken 2014*). Walk some
# of them: with or without [CLS] and [SEP]; the mean of the heads or the furthest head; and three things that "deepest" may mean.

# %%
def words_only(maps):
    return [(s, a[..., 1:-1, 1:-1]) for s, a in maps]


CRITERIA = {"the last layer is the largest": lambda x: x.argmax() == L - 1,
            "the last is larger than the first": lambda x: x[-1] > x[0],
            "the upper half is larger": lambda x: x[L // 2:].mean() > x[:L // 2].mean()}


def paths(maps):
    """What each of twelve ways says of one model: True for yes."""
    found = []
    for some in (maps, words_only(maps)):
        far = average(some, gaps)  # (L, A)
        found += [bool(says(x)) for x in (far.mean(1), far.max(1)) for says in CRITERIA.values()]
    return found


walked = [("trained", seed, sum(paths(maps))) for seed, maps in zip(SEEDS, whole)] + [
    ("random weights", seed, sum(paths(maps))) for seed, maps in zip(SEEDS, whole_untrained)]
wb.table(["model", "seed", "of 12 ways say yes"], walked)
if not wb.QUICK:
    assert all(count > 0 for name, _, count in walked if name == "trained"), "each trained model has its yes"
    assert any(count > 0 for name, _, count in walked if name != "trained"), "and some that know nothing have theirs"

# %% [markdown]
# What untrained models say changes with the seed, and is nothing but luck: their layers differ in the third digit. But one of
# them is always the largest.
#
# ## The equation
#
# So: the five decisions. *A relationship* is an edge of the sentence's tree, between a word and its head. It is *distant* if
# the two are at least 3 words apart. A layer *captures* such edges if its attention goes along them more than attention that is
# spread evenly does. Between words only, over all sentences, in the mean of a layer's heads:
#
# $$\text{share} = \frac{\sum_{\text{distant edges}} a_{ij} + a_{ji}}{\sum_{ij} a_{ij}} \qquad\qquad
# \text{lift} = \frac{\text{share}}{\text{share of even attention}}$$
#
# The **lift** (提升度) is 1 for who knows nothing, and 2 where twice as much goes along such edges. The *deepest* layer is the
# last one.

# %%
FAR = 3  # words


def joined(s):
    """1 where one of two words is the other's head, (T, T)."""
    edges = np.zeros((len(s.words), len(s.words)))
    for i, head in enumerate(s.heads):
        if head >= 0:
            edges[i, head] = edges[head, i] = 1
    return edges


def share(maps, far):
    return average(maps, lambda s, n: joined(s) * (gaps(s, n) >= far))


def evenly(maps):
    return [(s, np.full((1, 1, len(s.words), len(s.words)), 1 / len(s.words))) for s, _ in maps]


def lift(maps, far=FAR):
    """Of each layer, the mean of its heads (L,)."""
    return share(maps, far).mean(1) / share(evenly(maps), far).item()


# %% [markdown]
# ## Known answers
#
# A measure is a program, and programs have mistakes. What must come out is known where no model is needed. Even attention of n
# words looks (n² − 1) / 3n words far on average, and has a lift of 1. A head that looks at nothing but itself has 0. One that
# looks along the edges, and nowhere else, has all of its attention there. And the library's `dependencies` has the two numbers
# without a threshold:

# %%
maps = words_only(whole[0])
for n in (2, 5, 10):
    print(f"even attention over {n} words: {gaps(None, n).mean():.3f} words far")
    assert np.isclose(gaps(None, n).mean(), (n**2 - 1) / (3 * n), rtol=1e-12)
assert np.allclose(lift(evenly(maps)), 1, rtol=1e-12)
itself = [(s, np.eye(len(s.words))[None, None]) for s, _ in maps]
assert lift(itself)[0] == 0
along = [(s, joined(s)[None, None]) for s, _ in maps]
assert np.allclose(share(along, 1), 1, rtol=1e-12)
theirs = dependencies.measure(models[0], [Parsed(s.words, s.heads, s.relations) for s in sentences[0]])
assert np.allclose(share(maps, 1), theirs.alignment, atol=1e-5), "all edges: alignment"
assert np.allclose(average(maps, gaps), theirs.distance, atol=1e-4)
distant = sum(int((joined(s) * (gaps(s, len(s.words)) >= FAR)).sum()) // 2 for s, _ in maps)
edges = sum(len(s.words) - 1 for s, _ in maps)
print(f"{edges} edges in {len(maps)} sentences, of which {distant} are distant")
assert distant < edges / 2, "most edges are short"

# %% [markdown]
# ## The criterion, before looking
#
# A layer has to be ahead by `MARGIN`, in every seed:
#
# - *agrees*: in every seed the last layer's lift is above that of every other layer, and above that of random weights;
# - *contradicts*: in every seed some other layer's lift is above that of the last, and above that of random weights;
# - else it *cannot show* it.
#
# The third is not a failure. It says that this many seeds, of models of this size, do not tell. Note that either answer needs a
# layer that random weights do not reach: who has learned nothing about distant edges can neither confirm nor contradict.

# %%
MARGIN = 0.1


def judge(found, random, margin=MARGIN):
    """Lifts (seeds, L) of trained and untrained models -> the verdict."""
    last, best = found[:, -1], found[:, :-1].max(1)
    chance = random.max(1) + margin
    if (last > np.maximum(best + margin, chance)).all():
        return AGREES
    return CONTRADICTS if (best > np.maximum(last + margin, chance)).all() else CANNOT


for last, said in ((2.0, AGREES), (1.0, CONTRADICTS), (1.55, CANNOT)):
    toy = np.array([[1.0, 1.2, 1.5, last]] * 3)
    assert judge(toy, np.ones((3, 4))) == said, "it can say each of the three"
assert judge(np.array([[1, 1.2, 1.5, 2.0], [1, 1.2, 1.5, 1.4]]), np.ones((2, 4))) == CANNOT, "the seeds do not say the same"

# %% [markdown]
# ## Now look

# %%
found = np.array([lift(words_only(maps)) for maps in whole])
random = np.array([lift(words_only(maps)) for maps in whole_untrained])
wb.table(["lift on distant edges", *(f"layer {i}" for i in range(1, L + 1))],
         [[f"{name}, seed {seed}", *map(float, row)] for name, rows in (("trained", found), ("random weights", random))
          for seed, row in zip(SEEDS, rows)])
said = judge(found, random)
print(f"verdict: {said}")
if not wb.QUICK:
    assert (found[:, -1] > found[:, :-1].max(1) + MARGIN).all(), "the last layer is ahead of the others, in every seed …"
    assert (found[:, :-1] < random[:, :-1]).all(), "… which are behind who knows nothing: they look at neighbours"
    assert said == CANNOT, "and the last is not ahead of who knows nothing, in every seed"

# %% [markdown]
# In every seed the last layer gives distant edges more than the others do: the order is the paper's. But the others are *below*
# random weights, since they look at neighbours, and the last one is about where who knows nothing is. Does it capture distant
# relationships, or has it only stopped to look at neighbours? By this measure, at this size, nobody can tell. In a hurry it was
# a yes.
#
# Now one would like to go on. "But one of the seeds looks like a yes. And the best head?" Quite right: that is another claim, and
# a good one. Write down its criterion (the best of four heads is large by luck, too), and look at other seeds.
#
# ## The library's own
#
# Each analysis of the library is such a claim: `CLAIM`, `PAPER` (its figure in words, or *not verified*), `CONTROLS`, `measure`,
# and `verdict`, whose criterion stands in the docstring. The same paper has one more sentence, "attention aligns with dependency
# relations most strongly in the middle layers". `dependencies` asks it:

# %%
answers = [analyses.run("dependencies", one) for one in subjects]
print(answers[0])
print("verdicts by seed:", ", ".join(answer.verdict for answer in answers))
if not wb.QUICK:
    assert all(answer.verdict == CONTRADICTS for answer in answers), "in each seed it is no middle layer"
    assert all(answer.result.alignment.mean(1).argmax() == 0 for answer in answers), "the first layer is the most aligned"

# %% [markdown]
# In ours the first layer follows edges most, since most edges are short, and it looks at neighbours. On the project's own page,
# of models twice as wide that were trained six times as long, the same analysis says *agrees* (`docs/SCOREBOARD.md`, 2026-11-29).
# Both are results: whether the claim holds depends on the model.

# %% [markdown]
# ## A page of your own
#
# A few names of your choice, a row each: the first line of the analysis, mean ± standard deviation over your seeds, its control,
# and what each seed says. Beside it the bundled model on some English, which has no trees:

# %%
NAMES = ("neurons", "contextual", "dependencies")  # python -m minibert analyse --list names them all


def cell(values):
    """Mean ± standard deviation over seeds; of text the first."""
    if not all(isinstance(x, float) for x in values):
        return str(values[0] or "")
    return f"{np.mean(values):.3g} ± {np.std(values, ddof=1):.2g}"


def refusal(name, asked):
    """Why this subject cannot be asked; "" where it can."""
    try:
        analyses.run(name, asked)
        return ""
    except ValueError as error:
        return str(error)


page = []
for name in NAMES:
    ran = answers if name == "dependencies" else [analyses.run(name, one) for one in subjects]
    line = [answer.lines[0] for answer in ran]
    page.append([name, line[0].name[:44], cell([x.value for x in line]), cell([x.control for x in line]),
                 "; ".join(answer.verdict for answer in ran)])
wb.table(["", "first line", "here", "control", "verdict of each seed"], page)
with tempfile.TemporaryDirectory() as folder:
    text = Path(folder) / "english.txt"
    text.write_text("Return true if x is less than y.\nA list of strings is returned.\n", encoding="utf-8")
    english = subject.of(minibert.load(device="cpu"), text, quick=True)
why = refusal("dependencies", english)
print(f"dependencies, the bundled model on English: not measured: {why}")
assert "no gold heads" in why, "plain text has no trees, and the analysis says so instead of a number"
assert page[0][-1].split("; ") == [AGREES] * len(SEEDS), "an identity agrees always"

# %% [markdown]
# `scoreboard.measure` does all this, goes on where it was interrupted, and writes the page. Its models of the language are larger
# than ours, and trained by `minibert train`, which takes its minutes:
#
#     from minibert.analysis import scoreboard
#     plan = scoreboard.Plan(names=("contextual", "dependencies"), seeds=3, quick=True, real=DIR, data=FILE)
#     scoreboard.measure(plan, "SCOREBOARD.md")
#
# ## How to read a scoreboard
#
# `docs/SCOREBOARD.md` in the project's folder is such a page, of a whole reading list. From left to right:
#
# - **The row**: the claim in one sentence, and the paper's figure. *not verified* means that nobody here has seen the figure with
#   his own eyes. It is then not compared with: a number from memory is worse than none.
# - **Mean ± standard deviation** over the seeds. On the world each seed is another training. On a real model it is the same
#   model: there ± says how much probes and random controls matter, nothing of another training. "(2 of 3 seeds)": the page is not
#   finished.
# - **[In brackets] the control.** Read the number as a distance from it, never alone. Further down, each line has its own.
# - **The verdict** of each seed, by the criterion in the docstring. "agrees (1 of 2); contradicts (1 of 2)" is a result as well:
#   whoever had one seed would have written one of them.
# - **not measured**, with the sentence why: gold labels that the text lacks, too few examples. No number is better than one that
#   rests on three words. *(the model that comes with minibert)*: the real encoder cannot guess words, so this one was asked.
#
# First look at what a model has learned. Of one that has hardly been trained "agrees" would mean that the claim is true of
# anything, and "contradicts" that the model is too young. An identity, such as that of `neurons` (terms add up to their sum),
# agrees always: it is a check of the program, and no finding.
#
# **Why contradictions are results.** The claim was found on one model, of one size, on one text. Where yours says otherwise, and
# the measure gives its known answers, and the controls are where they should be, you have found how far the claim reaches. A page
# on which everything agrees has criteria that cannot fail.

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(14, 6, "The same attention, asked twice")
left, right = picture.subplots(1, 2)
layers = range(1, L + 1)
far = np.array([average(words_only(maps), gaps).mean(1) for maps in whole])
far_random = np.array([average(words_only(maps), gaps).mean(1) for maps in whole_untrained])
for axes, of_trained, of_random in ((left, far, far_random), (right, found, random)):
    axes.plot(layers, of_trained.T, "o-", color=wb.BLUE)
    axes.plot(layers, of_random.T, "s-", color=wb.GREY, linewidth=1.5)
    axes.plot([], [], "o-", color=wb.BLUE, label="trained, a line for each seed")
    axes.plot([], [], "s-", color=wb.GREY, label="random weights")
    axes.set(xlabel="layer", xticks=layers)
left.set(title="in a hurry: how far it looks", ylabel="words", ylim=(0, None))
right.set(title="with a control: along distant edges", ylabel="lift over even attention", ylim=(0, None))
right.axhline(1, color=wb.ORANGE, linestyle="--", label="even attention")
right.legend(frameon=False, fontsize=13)
wb.save(picture, "44_asked_twice")

# %% [markdown]
# ## What a tutorial often says, and what is so
#
# - *"As the figure shows, layer 11 attends to syntax."* Beside which layer, which random weights, which other training? And who
#   chose layer 11, before or after?
# - *"We could not reproduce the paper."* Then say which of its decisions you made in another way: definition, text, size. "Cannot
#   show at this size" and "contradicts" are different sentences.
# - *"The difference is significant, p < 0.05."* For one way of looking that was chosen beforehand. Of twenty ways one says so by
#   luck.
# - *"Negative results are not interesting."* They are, if the measure could have said yes. That is what known answers are for.
#
# ## One knob to turn
#
# From how many words on is an edge *distant*? Guess the lifts for 2 and for 5 first. And mind what you are doing: if you turn it
# until the verdict suits you, you are in a hurry again. What another value says is a new question, for other seeds.

# %%
DISTANT = 2  # <- the knob

# %%
turned = [np.array([lift(words_only(maps), DISTANT) for maps in some]) for some in (whole, whole_untrained)]
print(f"from {DISTANT} words on: lift by layer " + ", ".join(f"{x:.2f}" for x in turned[0].mean(0)) + f"; {judge(*turned)}")

# %% [markdown]
# ## All of it in one command
#
# The second line trains a model for each seed, once, and may take hours for all names. What is interrupted goes on the next
# time:
#
#     python -m minibert analyse dependencies
#     python -m minibert analyse --scoreboard --quick --real DIR --data FILE
#
# A claim of your own becomes a row by one module: `CONTRIBUTING.md`, "An analysis", says which names it has.
#
# ## Exercises
#
# Three functions, each harder than the one before: the luck of many ways, the lift of one map, and a verdict over seeds. The
# command prints a line for each, such as `1. found_by_luck: right`, and at the end `3 of 3 right`.
#
# ## When you are stuck
#
# - *My claim cannot fail.* Write down the numbers that would mean "no". If there are none, it is a definition, or an identity.
# - *My control does as well as my model.* Then the measure does not see what you mean. That is the most useful thing to find out
#   before the paper is written.
# - *My seeds disagree.* Then this is the result. Report all of them; do not add seeds until they agree.
# - *Everything comes out as "cannot show".* Is the margin larger than what a difference of this kind can be? Say so, and choose
#   it anew for *other* seeds.
# - *I have looked already.* Say so too. Then train another seed, and judge on that one.

# %%
wb.exercises(44)
