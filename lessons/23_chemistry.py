# %% [markdown]
# # 23. A BERT of chemistry reads a reaction
#
# **You will do** write molecules as strings, make reactions of which you know which atom became which, ask every head of a model
# of reactions whether it knows, and hold the best one against three controls.
#
# **You will learn** that a model which only guessed hidden tokens may have learned something nobody labelled, how such a head is
# looked for without fooling oneself, and what the same measure says of a model that has not learned it.
#
# **You need** lesson 10 (hidden words), lesson 14 (maps, heads, switching off), lesson 21 (ALBERT's shared layers).
# Time: about 35 minutes to read; runs in about 80 s.

# %%
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import reactions
import workbench as wb

import minibert
from minibert.analysis.collecting import collect
from minibert.model import pretraining
from minibert.model.pretraining import Inputs
from minibert.pretrained import Loaded, families
from minibert.tasks import batches
from minibert.tasks.corruption import masking
from minibert.tasks.examples import IGNORE, Example
from minibert.text import Tokenizer, learn
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.workers import Workers

rng = np.random.default_rng(23)

# %% [markdown]
# ## The question
#
# BERT takes any sequence of tokens. A molecule can be written as one, in **SMILES** (分子线性表示): atoms are letters, neighbours
# are bonded, a branch stands in brackets, two equal digits close a ring, small letters are aromatic (*Weininger 1988, §3*). A
# reaction is two such texts with an arrow: `reactants>>product`.
#
# A chemist who looks at one asks: which atom on the left became this one on the right? The answer is an **atom mapping**
# (原子映射). To write it down for millions of reactions by hand is hopeless. Schwaller et al. (*2021, "Extraction of organic
# chemistry grammar from unsupervised learning of chemical reactions"*) trained an ALBERT on reactions, with hidden tokens and
# nothing else. Afterwards one of its heads turned out to look from each atom of the product to the atom it comes from. Nobody had
# shown it a mapping.
#
# Can we find that head, if nobody tells us which it is?
#
# ## Toy numbers: one molecule, many strings
#
# Ethyl acetate, the smell of glue. Begin at any of its six atoms, and walk:

# %%
glue = reactions.read("CC(=O)OCC")
wb.table(["begin at atom", "string"], [[root, "".join(token for token, _ in reactions.write(glue, root))]
                                       for root in range(len(glue.atoms))])
for root in range(len(glue.atoms)):
    again = reactions.read("".join(token for token, _ in reactions.write(glue, root)))
    assert sorted(again.atoms) == sorted(glue.atoms), "other strings, the same atoms"
    assert sorted(again.bonds.values()) == sorted(glue.bonds.values()), "and the same bonds"

# %% [markdown]
# So to find an atom again is no matter of counting places. And some atoms cannot be told apart at all: in pyridine, `c1ccncc1`,
# the two neighbours of `n` have the same surroundings. Whoever takes one for the other is right. Numbers for what is alike:

# %%
pyridine = reactions.read("c1ccncc1")
print("atoms:", *pyridine.atoms, "  alike:", *reactions.alike(pyridine))
assert reactions.alike(pyridine)[2] == reactions.alike(pyridine)[4], "the two beside n"
assert len(set(reactions.alike(pyridine))) == 4, "n, the two beside it, the next two, and the one across"

# %% [markdown]
# ## Reactions whose truth is known
#
# To measure we need answers. So we make reactions by rule: an acid and an alcohol lose water and are an ester, and six other
# kinds like it. The rest of each molecule, which takes no part, is drawn by chance; what leaves is taken away, a bond is made.
# Since we made the product of the reactants' atoms, we know each one's origin. Then every molecule is written from an atom drawn
# by chance.

# %%
ANYWHERE = True  # <- the knob
SIZES = (1, 7)  # atoms of a rest


def some(seed, count):
    """So many reactions; a seed always gives the same ones."""
    return [reactions.make(np.random.default_rng((seed, i)), sizes=SIZES, anywhere=ANYWHERE) for i in range(count)]


for found in some(0, 6):
    print(f"{found.kind:<14} {found.text}")
example = min(some(0, 6), key=lambda found: len(found.tokens))
left = example.tokens[:example.arrow]
assert set(example.atoms[example.arrow + 1:]) <= set(example.atoms[:example.arrow]), "no atom comes from nowhere"
assert all(left[example.atoms.index(a)].lower() == token.lower() for token, a in zip(example.tokens, example.atoms) if a >= 0), \
    "and no element becomes another"

# %% [markdown]
# ## Which model
#
# If the package `rxnmapper` is installed (`pip install --no-deps rxnmapper==0.4.3`), its folder of weights is opened: the trained
# ALBERT of the paper, 12 layers of 8 heads that share *one* block, 0.8 million numbers. None of the package's own code is used.
# Or name a folder: `python lessons/23_chemistry.py FOLDER`.
#
# Otherwise the lesson trains a small model of the same family on its own reactions, for a minute. That one is *not* the model of
# the paper, and what is found in it is another matter. The line below says which of the two you see.

# %%
def folder():
    """Where a trained model of reactions lies, or None."""
    given = [] if wb.IN_NOTEBOOK else [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    spec = find_spec("rxnmapper")
    models = [Path(spec.submodule_search_locations[0], "models", "transformers")] if spec else []
    return next(iter(given + [path / "albert_heads_8_uspto_all_1310k" for path in models]), None)


STEPS = wb.choose(1500, 4)


def train_one():
    """A small ALBERT that guesses hidden tokens of made-up reactions."""
    words = learn.learn([found.text for found in some(1, 500)], 200, lower_case=False, cut=reactions.CUT)
    tokenizer = Tokenizer(words, lower_case=False, cut=reactions.CUT, max_length=128)
    config = families.preset("albert", "tiny", 128, vocab_size=len(words), hidden_size=64, num_attention_heads=4,
                             intermediate_size=128, num_hidden_layers=3, layer_map=(0, 0, 0), embedding_size=None, pooler=None)
    rule = masking.rule(tokenizer, rate=0.25)

    def hidden(step, i):
        found = reactions.make(np.random.default_rng((2, step, i)), sizes=SIZES, anywhere=ANYWHERE)
        ids = np.array(tokenizer.encode(found.text).ids)
        return masking.mask_example(Example(ids, len(ids), IGNORE), rule, (2, step, i))

    with Workers() as workers:
        engine = Engine(pretraining.of(config), pretraining.initial_parameters(config), workers)
        for step in range(1, STEPS + 1):
            metrics, _ = engine.train(batches.micro_batches([hidden(step, i) for i in range(32)]),
                                      learning_rate(step, 5e-3, STEPS // 10, STEPS))
            if step % max(STEPS // 5, 1) == 0:
                print(f"step {step:5}: {metrics.mlm_loss:.2f} nats, {metrics.mlm_accuracy:.0%} of the hidden tokens right")
    return Loaded(config, engine.parameters, tokenizer)


REAL = folder()
bert = minibert.load(REAL, tokenizer=Tokenizer.load(REAL, cut=reactions.CUT)) if REAL else train_one()
config, p = bert.config, bert.parameters.tree
L, A = config.num_hidden_layers, config.num_attention_heads
print(f"shown: {'a trained model, ' + REAL.name if REAL else 'a small model, trained just now on made-up reactions'}; "
      f"{L} layers, {A} heads each, {len(bert.parameters):,} numbers")
assert all(bert.tokenizer.tokenize(found.text) == found.tokens for found in some(0, 20)), "a token is an atom, a bond or a sign"
assert len(set(config.uses)) == 1, "one block in all layers: head 3 of layer 0 and head 3 of layer 1 are the same numbers"

# %% [markdown]
# ## The equation
#
# Let P be the map of one head. An atom i of the product goes to the atom k of the reactants to which most weight flows, both ways
# together, among those of the same element:
#
# $$\text{origin}(i) = \operatorname{argmax}_{k} \; P_{i,k} + P_{k,i}$$
#
# Its score is the share of product atoms whose origin is right (or alike). An element is written on every atom, so that much
# everybody knows; the chance to be right without any model is therefore not small, and has to be measured as well.
#
# ## A plain loop

# %%
def element(token):
    """c and C are carbon; [N+] is nitrogen."""
    return token.strip("[]+-").capitalize()


def score_in_loops(weights, found):
    """One map (T, T) without [CLS] and [SEP] -> how many atoms are right, and how many there are."""
    right = count = 0
    for i in range(found.arrow + 1, len(found.tokens)):
        if found.atoms[i] >= 0:
            best, origin = -1.0, None
            for k in range(found.arrow):
                if found.atoms[k] >= 0 and element(found.tokens[k]) == element(found.tokens[i]):
                    if weights[i, k] + weights[k, i] > best:
                        best, origin = weights[i, k] + weights[k, i], k
            right += found.same[origin] == found.same[i]
            count += 1
    return right, count


# %% [markdown]
# ## Vectorised
#
# The same for all heads of all layers at once.

# %%
def places(found):
    """Places of the product's atoms, of the reactants' atoms, and whether each two are of one element."""
    atoms = np.flatnonzero(np.array(found.atoms) >= 0)
    products, reactants = atoms[atoms > found.arrow], atoms[atoms < found.arrow]
    kinds = np.array([element(token) for token in found.tokens])
    return products, reactants, kinds[products][:, None] == kinds[reactants]


def origins(weights, found):
    """Maps (…, T, T) -> of each atom of the product, the place of its origin."""
    products, reactants, allowed = places(found)
    flow = weights[..., products[:, None], reactants] + np.swapaxes(weights[..., reactants[:, None], products], -1, -2)
    return reactants[np.where(allowed, flow, -1).argmax(-1)]


def right(guess, found):
    """Which of these origins are right, or as good."""
    same = np.array(found.same)
    return same[guess] == same[places(found)[0]]


def maps(model, these):
    """(reaction, maps (L, A, T, T)) of each, without [CLS] and [SEP]."""
    for units in collect(model, [found.text for found in these], states=None, attentions="mean"):
        yield these[units.index], units.attentions[:, :, 1:-1, 1:-1]


def score(model, these):
    """The share of right atoms, (L, A)."""
    found = [right(origins(weights, one), one) for one, weights in maps(model, these)]
    return np.concatenate(found, -1).mean(-1)


for one, weights in maps(bert, some(0, 3)):
    assert score_in_loops(weights[0, 1], one) == (right(origins(weights, one), one)[0, 1].sum(), len(places(one)[0])), "alike"

# %% [markdown]
# ## Every head is asked, on two sets
#
# The best of many scores is too good: some head is always lucky. So one set of reactions chooses the head, and another one, which
# it has not seen, says how good it is.

# %%
to_choose, to_test = some(3, wb.choose(120, 6)), some(4, wb.choose(120, 6))
chosen = score(bert, to_choose)
layer, head = np.unravel_index(chosen.argmax(), chosen.shape)
tested = score(bert, to_test)
print(f"chosen: head {head} of layer {layer} (counted from 0): {chosen[layer, head]:.0%} on the reactions that chose it, "
      f"{tested[layer, head]:.0%} on the others")
wb.table(["layer", *(f"head {a}" for a in range(A))], [[layer, *(f"{x:.0%}" for x in row)] for layer, row in enumerate(tested)])
assert chosen.shape == tested.shape == (L, A)

# %% [markdown]
# ## Three controls
#
# What would somebody get
#
# - **by chance**, who takes any atom of the same element,
# - **in order**, who takes the first O for the first O, the second for the second, and so on,
# - **from random weights**, with a model of the same shape that has learned nothing, and *its* best head, chosen in the same way?

# %%
def by_chance(found):
    """Of each product atom, how many of the atoms of its element would be right."""
    products, reactants, allowed = places(found)
    same = np.array(found.same)
    good = allowed & (same[products][:, None] == same[reactants])
    return good.sum(1) / allowed.sum(1)


def in_order(found):
    """The n-th atom of an element comes from the n-th atom of that element."""
    _, reactants, allowed = places(found)
    seen, guess = {}, []
    for row in allowed:
        choices = reactants[row]
        number = seen[choices[0]] = seen.get(choices[0], -1) + 1
        guess.append(choices[min(number, len(choices) - 1)])
    return np.array(guess)


fresh = Loaded(config, pretraining.initial_parameters(config), bert.tokenizer)
luckiest = np.unravel_index(score(fresh, to_choose).argmax(), (L, A))
results = {"the chosen head": tested[layer, head], "the median head": np.median(tested),
           "any atom of the element": np.concatenate([by_chance(one) for one in to_test]).mean(),
           "in order": np.concatenate([right(in_order(one), one) for one in to_test]).mean(),
           "random weights, their best head": score(fresh, to_test)[luckiest]}
wb.table(["", "atoms right"], [[name, f"{share:.1%}"] for name, share in results.items()])
best_control = max(share for name, share in results.items() if name not in ("the chosen head", "the median head"))
knows = results["the chosen head"] > best_control + 0.1
print("so the chosen head knows which atom became which" if knows else
      "so no head was found that knows more than a rule without a model: this model has not learned it")
assert all(0 <= share <= 1 for share in results.values())
if REAL and not wb.QUICK:
    assert results["the chosen head"] > best_control + 0.2, "no small difference"

# %% [markdown]
# Read the second line, too: most heads are no better than chance. Where something is known, it is known by very few heads; and
# because the layers share their weights, a head that has it tends to show it in several of them. The small model of a minute has
# nothing to show here, though it guesses hidden tokens well: it finds them by other means. That a task can be solved in a certain
# way does not mean that a model solves it so. Which atoms does the chosen head get wrong?

# %%
by_element, by_kind = {}, {}
for one, weights in maps(bert, to_test):
    good, products = right(origins(weights[layer, head], one), one), places(one)[0]
    by_kind.setdefault(one.kind, []).extend(good)
    for place, is_good in zip(products, good):
        by_element.setdefault(one.tokens[place], []).append(is_good)
wb.table(["atom", "in products", "right"], [[atom, len(found), f"{np.mean(found):.0%}"]
                                            for atom, found in sorted(by_element.items(), key=lambda item: -len(item[1]))])
wb.table(["reaction", "atoms", "right"], [[kind, len(found), f"{np.mean(found):.0%}"] for kind, found in sorted(by_kind.items())])
assert sum(map(len, by_kind.values())) == sum(map(len, by_element.values())), "the same atoms, sorted twice"

# %% [markdown]
# ## One picture

# %%
esters = [one for one in to_test if one.kind in ("ester", "amide")]
shown = min(esters, key=lambda one: (right(in_order(one), one).mean(), len(one.tokens)))  # where the order helps least
weights = next(maps(bert, [shown]))[1][layer, head]
products, reactants, _ = places(shown)
picture = wb.figure(15, 6.6, "Which atom became which: one head knows" if knows else
                    "Which atom became which: no head of this model knows")
left, right_side = picture.subplots(1, 2, width_ratios=[1, 1.5])
image = left.imshow(tested, cmap="Blues", vmin=0, vmax=1, aspect="auto")
left.set(xlabel="head", ylabel="layer", xticks=range(A), yticks=range(L), title=f"atoms right; best control {best_control:.0%}")
left.plot(head, layer, "s", color=wb.ORANGE, markersize=20, markerfacecolor="none", markeredgewidth=3)
picture.colorbar(image, ax=left, shrink=0.7)
flow = weights[products[:, None], reactants] + weights[reactants[:, None], products].T
right_side.imshow(flow, cmap="Blues")
for row, place in enumerate(products):
    for column, origin in enumerate(reactants):
        if shown.same[place] == shown.same[origin]:
            right_side.plot(column, row, "o", color=wb.ORANGE, markersize=9, markerfacecolor="none", markeredgewidth=2)
right_side.set_xticks(range(len(reactants)), [shown.tokens[k] for k in reactants])
right_side.set_yticks(range(len(products)), [shown.tokens[i] for i in products])
right_side.set(xlabel="atoms of the reactants", ylabel="atoms of the product",
               title=f"head {head} of layer {layer}; rings: the truth\n{shown.text}")
wb.save(picture, "23_which_atom")

# %% [markdown]
# ## Does anything depend on it?
#
# Lesson 14 again: where a head looks is one thing, what is lost without it another. Each atom of some products is hidden, one at
# a time, and guessed from all the rest; then one head is switched off, in every layer, since they share it.

# %%
def loss_without(gates, these):
    """Nats for each hidden atom of the products; gates (L, A)."""
    total = count = 0
    for one in these:
        ids = np.array(bert.tokenizer.encode(one.text).ids)
        hidden = places(one)[0] + 1  # [CLS] stands in front
        rows = np.tile(ids, (len(hidden), 1))
        rows[np.arange(len(hidden)), hidden] = bert.tokenizer.vocab.mask_id
        x = Inputs(rows, np.zeros_like(rows), None, np.arange(len(hidden)) * len(ids) + hidden, ids[hidden])
        total += float(pretraining.forward(x, p, config, head_mask=gates)[0].mlm_loss) * len(hidden)
        count += len(hidden)
    return total / count


few = to_test[:wb.choose(12, 2)]
whole = loss_without(np.ones((L, A), np.float32), few)
without = [loss_without(np.where(np.arange(A) == a, 0, np.ones((L, A), np.float32)).astype(np.float32), few) for a in range(A)]
wb.table(["head switched off", "its best layer: atoms right", "nats", "more than with all"],
         [["none", "", f"{whole:.3f}", ""], *([a, f"{tested[:, a].max():.0%}", f"{loss:.3f}", f"{loss - whole:+.3f}"]
                                               for a, loss in enumerate(without))])
assert all(np.isfinite(without)), "numbers"
if REAL and not wb.QUICK:
    assert np.argmax(without) == head, "the head that was found is the one whose loss costs most"

# %% [markdown]
# What was looked for with maps alone, and on reactions of our own, should be what the guesses rest on: compare the two columns. A
# model in which the largest loss stands in another line has learned to guess in another way, whatever its maps look like.

# %% [markdown]
# ## Beware
#
# - **The measure was made for this head.** Both directions together, the same element, an argmax: each of these is a choice, and
#   with 96 heads some choice always flatters one. That is why one set chooses and another one tests, and why the controls choose
#   in the same way.
# - **The reactions here are clean.** One bond is made, nothing else moves, nothing is left out. Real ones come from patents, with
#   solvents, catalysts and gaps. The paper's own numbers are for those, and its mapper adds rules of its own around the head.
# - **The rests are random.** No chemist would order most of these molecules. What a model makes of text unlike its own says
#   something about the text, too.
# - **Attention is not a proof.** See "Does anything depend on it?", and lesson 14.
#
# ## One knob to turn
#
# `ANYWHERE`, under "Reactions whose truth is known". With `False`, every molecule is written from a fixed atom on. Guess which of
# the controls that helps most, and then run again.

# %%
print(f"written from {'any atom' if ANYWHERE else 'a fixed atom'}: in order {results['in order']:.1%}, "
      f"the chosen head {results['the chosen head']:.1%}")
assert results["in order"] > 0

# %% [markdown]
# ## Exercises
#
# Five functions, printed by the last cell with two commands. The first puts them into a file of your own, the second grades them.
#
# ## When you are stuck
#
# - *My molecules have unknown tokens.* A BERT tokenizer would cut `[N+]` into four and lower `Cl` to `cl`. What is no prose is
#   cut by a rule: `Tokenizer.load(folder, cut=…)`, `minibert train --cut …`.
# - *All my scores are the same and low.* Maps have [CLS] in front: place i of the reaction is row i + 1 of the map.
# - *My head is better on the set that chose it.* Of course. Report the other one.
# - *A symmetric molecule makes it look bad.* Atoms that are alike count as right; see `same`.
# - *I want to train one myself.* One reaction a line, then
#   `python -m minibert train --family albert --corpus reactions.txt --no-next-sentence --cut "\[[^\]]+]|Br?|Cl?|>>?|."`.

# %%
wb.exercises(23)
