# %% [markdown]
# # 25. Real or replaced
#
# **You will do** draw words from a model's guesses, put them into the text, ask of every token whether it was there before, and
# train the model that draws and the model that judges in one run.
#
# **You will learn** how ELECTRA is pre-trained, why every position counts, what the two models share, where no gradient goes, and
# which words fool even a perfect judge.
#
# **You need** lesson 4 (why gradients are added), lesson 10 (masking, cross-entropy, tied weights), lesson 13 (a training run).
# Time: about 35 minutes to read; runs in about 60 s.

# %%
import numpy as np
import workbench as wb

from gradcheck import check
from minibert.layers import binary_cross_entropy
from minibert.layers.cross_entropy import IGNORE
from minibert.model import joint
from minibert.model.model import Output
from minibert.parameters import initialise
from minibert.pretrained import families
from minibert.tasks import batches
from minibert.tasks.corruption import replaced
from minibert.tasks.corruption.masking import Masked
from minibert.text import Tokenizer, Vocabulary
from minibert.text.vocabulary import SPECIAL
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine, inputs
from minibert.workers import Workers
from minibert.world import MASK, Seen, World

rng = np.random.default_rng(25)
world = World.of("small")  # a generated English: it knows how likely each word is at each place
texts = [world.sentences(document) for document in world.documents(wb.choose(100_000, 4000))]
aside = [sentence for document in world.documents(6000, seed=1) for sentence in world.sentences(document)]
tokenizer = Tokenizer(Vocabulary([*SPECIAL, *world.words]), lower_case=False)
print(f"{sum(map(len, texts)):,} sentences over {len(world.words)} words, such as:", *texts[0][:2])

# %% [markdown]
# ## The question
#
# BERT reads a whole text and is asked about 15 % of its tokens. For the other 85 % it computes just as much, and nobody asks. And
# what it sees, `[MASK]`, occurs in no text that it will ever be given.
#
# Could one ask something about *every* token, of a text without `[MASK]`? Here is such a question: did this token stand in the
# text, or has somebody replaced it? It needs somebody who replaces well.
#
# ## Toy numbers
#
# A small masked language model, the **generator** (生成器), has read "the chef [MASK] the meal" and gives each of four words a
# probability. We *draw* one: the words lie side by side on a line from 0 to 1, each as wide as it is likely, and a random number
# points at one of them.

# %%
words, chances = ["cooked", "ate", "saw", "the"], [0.5, 0.3, 0.15, 0.05]


def drawn_by_hand(chances, number):
    """The first word at which the chances, added up, exceed the number."""
    total = 0.0
    for place, chance in enumerate(chances):
        total += chance
        if total > number:
            return place
    return len(chances) - 1


for number in (0.2, 0.62, 0.97):
    print(f"{number}: the chef {words[drawn_by_hand(chances, number)]} the meal")
assert [words[drawn_by_hand(chances, number)] for number in (0.2, 0.62, 0.97)] == ["cooked", "ate", "the"]

# %% [markdown]
# With 0.2 it draws what stood there. Then nothing was replaced, and the right answer for this token is "real", although the
# generator made it. The library draws for many places at once, from logits:

# %%
numbers = rng.random(20_000)
found = joint.drawn(np.tile(np.log(chances), (len(numbers), 1)), numbers)
shares = np.bincount(found, minlength=4) / len(numbers)
wb.table(["word", "chance", "drawn"], [[word, chance, float(share)] for word, chance, share in zip(words, chances, shares)])
assert found[:100].tolist() == [drawn_by_hand(chances, number) for number in numbers[:100]], "the same draw"
assert np.abs(shares - chances).max() < 0.02

# %% [markdown]
# ## The equation
#
# The **discriminator** (判别器) reads the text with the drawn words and gives each token a logit, x. This is **replaced token
# detection** (替换词检测). With y = 1 where a token is not the text's, and σ(x) = 1/(1 + exp(−x)):
#
# $$\text{loss} = \underbrace{\text{mean of } -\log p(\text{word})}_{\text{generator, hidden tokens}} \;+\; \lambda \cdot
# \underbrace{\text{mean of } -y\log\sigma(x) - (1-y)\log(1-\sigma(x))}_{\text{discriminator, all tokens}}$$
#
# with λ = 50, because a yes or no has fewer nats than a word (*Clark et al. 2020, "ELECTRA", §2 and appendix A*). Afterwards the
# generator is thrown away. The discriminator is the model.
#
# ## The plain-loop version

# %%
def surprise_by_hand(logits, labels):
    """The mean over all tokens that are not padding."""
    total, count = 0.0, 0
    for x, y in zip(logits, labels):
        if y != IGNORE:
            real = 1 / (1 + np.exp(x))  # 1 - σ(x)
            total -= np.log(1 - real if y else real)
            count += 1
    return total / count


logits, labels = np.array([-3.0, -2.0, 1.5, -4.0, 0.3]), np.array([0, 0, 1, 0, IGNORE])
by_hand, (library, cache) = surprise_by_hand(logits, labels), binary_cross_entropy.forward(logits, labels)
print(f"by hand {by_hand:.6f}, the library {library:.6f}; gradient {binary_cross_entropy.backward(1.0, cache).round(3)}")
assert np.isclose(by_hand, library)

# %% [markdown]
# ## Gradient check
#
# The gradient is (σ(x) − y)/count, and 0 at padding.

# %%
result = check(binary_cross_entropy, {"x": rng.standard_normal(7)}, options={"labels": np.array([0, 1, 0, 0, 1, IGNORE, 0])},
               name="binary_cross_entropy")
print(f"relative error: {result.worst('central'):.0e} by differences, {result.worst('complex'):.0e} by complex step")
assert result.ok

# %% [markdown]
# ## Every position counts
#
# One batch, asked in both ways. How many of its tokens get a gradient from the loss directly?

# %%
config = families.preset("electra", "small", vocab_size=len(tokenizer.vocab), hidden_size=64, embedding_size=64,
                         num_hidden_layers=2, num_attention_heads=2, intermediate_size=256, max_position_embeddings=64,
                         hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.07)
whole = joint.of(config, joint.smaller(config, 0.25))
p = initialise(whole.layout(), config.initializer_range, seed=0)
ids = [[tokenizer.ids(sentence) for sentence in document] for document in texts]


def stream(corruption):
    return batches.Stream(ids, tokenizer, max_length=16, batch_size=32, seed=0, next_sentence=False, corruption=corruption)


examples, _ = stream(replaced).batch()
x = inputs(batches.collate(examples), np, config)
out, cache = whole.forward(x, p.tree)
tokens = int((out.targets["replaced"] != IGNORE).sum())
hidden = len(np.unique(x.positions))
_, told = binary_cross_entropy.forward(out.logits["replaced"], out.targets["replaced"])
asked = np.count_nonzero(binary_cross_entropy.backward(1.0, told))
counts = {"there are": tokens, "the generator is asked about": hidden, "the discriminator is asked about": asked}
wb.table(["of a batch's tokens", "number", "share"], [[what, n, n / tokens] for what, n in counts.items()])
assert asked == tokens, "all of them, [CLS] and [SEP] too"
assert hidden < 0.16 * tokens

# %% [markdown]
# Does that matter, or is it only another task? The authors asked the discriminator about the hidden 15 % only, all else alike: a
# mean score of 82.4 on GLUE, against 85.0 for all tokens and 82.2 for BERT (*Clark et al. 2020, §3.5, Table 5*). It is the
# positions.
#
# ## What is shared, and where no gradient goes
#
# The two models have one set of embeddings: of words, of positions, of token types. It is one tensor under two names, as the
# decoder's was (lesson 10), and gets the sum of both gradients. Nothing else is shared. And through the *draw* nothing flows: a
# word's number is no smooth function of the logits. (One could estimate that gradient. Then the generator would be rewarded for
# fooling, as in a **GAN** (生成对抗网络); the authors tried and it was worse, §2 and appendix F.) See which tensors the
# discriminator's loss reaches:

# %%
reached = {}
for loss in ("mlm", "replaced"):
    g = p.zeros_like()
    whole.backward(Output(losses={loss: 1.0}), cache, p.tree, g)
    reached[loss] = {name: bool(np.abs(view).max() > 1e-9) for name, view in g.items()}
groups = {"embeddings, shared": lambda name: name.startswith("bert.embeddings.") and "projection" not in name,
          "the generator's own": lambda name: name.startswith("generator."),
          "the discriminator's own": lambda name: not name.startswith(("bert.embeddings.", "generator."))}
rows = [[what, *(f"{sum(reached[loss][name] for name in filter(mine, reached[loss]))} of {len([*filter(mine, reached[loss])])}"
                 for loss in reached)] for what, mine in groups.items()]
wb.table(["tensors that a loss reaches", "generator's loss", "discriminator's loss"], rows)
assert not any(reached["replaced"][name] for name in filter(groups["the generator's own"], reached["replaced"]))
assert all(reached[loss]["bert.embeddings.word_embeddings.weight"] for loss in reached)

# %% [markdown]
# (Two tensors of each are reached by nothing: biases of keys, whose gradient is zero in every BERT.)

# %% [markdown]
# ## Both in one run
#
# The generator is a quarter as wide. Why so small? A perfect generator would leave nothing to find, and a large one costs. The
# authors found a quarter to a half best (§3.2).
#
# The batches differ from BERT's in three things: nothing becomes a random word, 15 % of the chosen stay as they are, and with
# each chosen place comes the number that will decide the draw. So the draw follows from the seed, and a run that was interrupted
# draws the same again.

# %%
STEPS = wb.choose(1500, 12)
look = batches.held_out([[tokenizer.ids(sentence) for sentence in aside[i:i + 4]] for i in range(0, len(aside), 4)], tokenizer,
                        max_length=16, next_sentence=False, corruption=replaced)
rows, position, text = [], (0, 0), stream(replaced)
with Workers() as workers:
    engine = Engine(whole, p, workers)
    for step in range(1, STEPS + 1):
        examples, position = text.batch(position)
        engine.train(batches.micro_batches(examples), learning_rate(step, 5e-3, STEPS // 10, STEPS))
        if step % max(1, STEPS // 12) == 0:
            now = engine.evaluate(look)
            n = now.correct
            rows.append([step, float(now.mlm_loss), float(now.mlm_accuracy), float(now.replaced_loss),
                         float(n["replaced"] / n["tokens"]), float(n["right"] / n["tokens"])])
p = engine.parameters
wb.table(["step", "generator: nats", "right", "discriminator: nats", "replaced", "told rightly"], rows)
if not wb.QUICK:
    assert rows[-1][1] < rows[0][1] - 1, "the generator learns to guess"
    assert rows[-1][4] < rows[0][4], "so fewer tokens differ from the text, and those that do are harder to find"
    assert rows[-1][3] < rows[0][3], "and the discriminator learns all the same"

# %% [markdown]
# Beware of the last column. Whoever says "real" always is right for all tokens but the replaced ones, nearly 90 %. (Add up the
# last two columns. Where they make 1, our judge says just that: no token has yet seemed more likely replaced than real.) A fair
# measure takes a replaced token and a real one, and asks which of the two gets the higher logit: by guessing, half of the time.
#
# ## Who is fooled?
#
# Our language is generated, so we know what a perfect judge would know: how likely each word is at a place, given all others.
# Take held-out sentences, hide one word of each, let the generator draw, and let the discriminator judge every token. The drawn
# words fall into two kinds: *impossible* ones, which no sentence of the language has there, and *possible* ones.

# %%
some = [sentence.split() for sentence in aside[:wb.choose(1200, 40)] if len(sentence.split()) <= 14]
places = [int(rng.integers(len(words))) for words in some]
questions = []
for words, place in zip(some, places):
    seen = np.array([tokenizer.vocab.cls_id, *tokenizer.ids(" ".join(words)), tokenizer.vocab.sep_id], np.int32)
    truth = seen[place + 1]
    seen[place + 1] = tokenizer.vocab.mask_id
    questions.append(Masked(seen, len(seen), IGNORE, np.array([place + 1]), np.array([truth]), {"replaced": rng.random(1)}))
batch = batches.collate(questions)
x = inputs(batch, np, config)
out, _ = whole.forward(x, p.tree)
drawn = joint.drawn(out.logits["mlm"], x.targets["replaced"])
changed = drawn != x.targets["mlm"]
is_word = drawn >= len(SPECIAL)
hidden_texts = [Seen([MASK if i == place else word for i, word in enumerate(words)], [place], single=True)
                for words, place in zip(some, places)]
truth = np.array([found[0] for found in world.posteriors(hidden_texts)])  # (N, words)
likely = np.where(is_word, truth[np.arange(len(drawn)), np.maximum(drawn - len(SPECIAL), 0)], 0)

said = out.logits["replaced"]
suspicion = said.reshape(-1)[x.positions]
real = said[out.targets["replaced"] == 0]


def more_suspicious(these):
    """How often a token of these gets a higher logit than a real one."""
    return float((these[:, None] > real).mean()) if len(these) else float("nan")


kinds = {"impossible": changed & (likely < 1e-9), "possible": changed & (likely >= 1e-9), "drawn right": ~changed}
scores = {kind: more_suspicious(suspicion[mine]) for kind, mine in kinds.items()}
wb.table(["drawn", "how many", "more suspicious than a real token"], [[kind, int(mine.sum()), scores[kind]]
                                                                      for kind, mine in kinds.items()])
for kind in ("impossible", "possible"):
    for i in np.flatnonzero(kinds[kind])[:2]:
        put_in = [tokenizer.vocab.tokens[drawn[i]] if n == places[i] else word for n, word in enumerate(some[i])]
        print(f"{kind:<11} {' '.join(put_in)}   ({some[i][places[i]]} stood where {put_in[places[i]]} is)")
if not wb.QUICK:
    assert abs(scores["drawn right"] - 0.5) < 0.1, "what was drawn right is the text: nothing is there to be found"
    assert min(scores["impossible"], scores["possible"]) > scores["drawn right"] + 0.1, "what was replaced looks more suspicious"

# %% [markdown]
# Look at the last row first. A word that was drawn right *is* the text, and no judge can suspect it more than another. That it
# comes out near one half says that nothing of the draw shows but the word itself.
#
# Between the first two rows our judge sees little difference after so few steps: it knows which words are seldom there, and not
# yet the grammar. A perfect judge would find every impossible word. And the possible ones?

# %% [markdown]
# ## What a perfect judge would say
#
# Possible words fool it, too, whatever its size. Say that a place is hidden with rate r, the generator gives a word
# the probability q there and the truth gives it p. The judge sees the word. It was put in by the generator *and* was not the
# text's with r·q·(1 − p); and it is the text's with r·q·p + (1 − r)·p. So the chance that it is a replaced one is
#
# $$\frac{r\,q\,(1 - p)}{r\,q + (1 - r)\,p}$$
#
# For an impossible word, p = 0, that is 1: certainly replaced. For q = p, a perfect generator, it is r·(1 − p): no more than the
# rate, hardly a hint. Check it by throwing dice:

# %%
rate, guess, nature = 0.15, np.array([0.5, 0.2, 0.2, 0.1]), np.array([0.6, 0.3, 0.1, 0.0])
formula = rate * guess * (1 - nature) / (rate * guess + (1 - rate) * nature)
stood = rng.choice(4, 400_000, p=nature)
shown = np.where(rng.random(400_000) < rate, rng.choice(4, 400_000, p=guess), stood)
counted = np.array([(shown != stood)[shown == word].mean() for word in range(4)])
wb.table(["word", "q, the generator", "p, the truth", "replaced: by formula", "counted"],
         [[word, *map(float, row)] for word, row in enumerate(zip(guess, nature, formula, counted))])
assert np.abs(formula - counted).max() < 0.01

# %% [markdown]
# So a good judge must know p: how likely a word is where it stands, given the words on both sides. That is what BERT is asked,
# too. But here every token of the text asks it.
#
# ## One picture

# %%
picture = wb.figure(14, 5.6, "What was replaced looks suspicious; what was drawn right is the text")
left, right = picture.subplots(1, 2)
steps = [row[0] for row in rows]
left.plot(steps, [row[1] / rows[0][1] for row in rows], "o-", color=wb.BLUE, label="generator")
left.plot(steps, [row[3] / rows[0][3] for row in rows], "s-", color=wb.GREEN, label="discriminator")
left.set(xlabel="step", ylabel="held-out loss, first look = 1", title="Both learn in one run")
left.legend(frameon=False)
right.bar([*scores], [100 * score for score in scores.values()], color=[wb.ORANGE, wb.SKY, wb.GREY])
right.axhline(50, color=wb.GREY, linestyle="--", linewidth=1.6)
right.set(ylabel="more suspicious than a real token (%)", ylim=(0, 100), title="By what was drawn; dashed: guessing")
wb.save(picture, "25_who_is_fooled")

# %% [markdown]
# ## One knob to turn
#
# The sentence. Replace a word of it yourself, and see what the discriminator says of each word. Guess first: which will it find?

# %%
SENTENCE = " ".join(some[0])  # <- the knob

# %%
asked = [tokenizer.vocab.cls_id, *tokenizer.ids(SENTENCE), tokenizer.vocab.sep_id]
batch = batches.collate([Masked(np.array(asked, np.int32), len(asked), IGNORE, np.array([], np.int64), np.array([], np.int64))])
said, _ = whole.discriminator.forward(inputs(batch, np, config)._replace(targets={}, positions=None), p.tree)
wb.table(["token", "replaced?"], [[tokenizer.vocab.tokens[token], float(1 / (1 + np.exp(-z)))]
                                  for token, z in zip(asked, said.logits["replaced"][0])])

# %% [markdown]
# ## All of it in one command
#
#     python -m minibert train --family electra --out runs/electra
#
# It saves two folders, `runs/electra/generator`, which guesses words, and `runs/electra/discriminator`, which is the one to
# fine-tune. `--generator-size 0.5` makes the generator half as wide.
#
# ## Exercises
#
# Five functions: draw a word, label the tokens, the loss with its gradient, how often a replaced token is the more suspicious
# one, and how often a perfect judge is wrong.
#
# ## When you are stuck
#
# - **My discriminator is right for 90 % of the tokens after ten steps.** It says "real" to all. Count how many of the replaced
#   are found, or rank.
# - **It finds nothing for a long time, and then something.** First the generator must become good enough that most of what is
#   impossible is gone, and the discriminator must learn to read; see the plateau of lesson 13.
# - **The generator's loss does not fall.** Check that the 50 stands at the discriminator's loss only.
# - **My labels are 1 wherever I hid a word.** A word drawn right is the text's: compare words, not places.
# - **My loss is infinite.** log(1 − σ(x)) of a large x. Write it as softplus, max(x, 0) + log1p(exp(−|x|)).

# %%
wb.exercises(25)
