# %% [markdown]
# # 24. Bytes and pieces
#
# **You will do** join bytes into pieces by hand, find the likeliest of all ways to cut a word, take one step of learning in which
# every way counts, and cut the same lines in three manners.
#
# **You will learn** how RoBERTa and ALBERT read a text, what a letter becomes that nobody has learned, which tokens give a text
# back as it was, and what that costs in tokens.
#
# **You need** lesson 2 (WordPiece, merges), lesson 4 (checking a gradient). Time: about 35 minutes to read; runs in about 25 s.

# %%
from collections import Counter
from itertools import combinations, pairwise
from math import exp, isclose, log, prod

import numpy as np
import workbench as wb

from minibert.data import corpora, python_docs
from minibert.text import Tokenizer, bytepairs, learn, learn_unigram, wordpiece
from minibert.text.bytepairs import BytePairs
from minibert.text.frame import ROBERTA
from minibert.text.sentencepiece import SentencePiece
from minibert.text.unigram import Unigram

rng = np.random.default_rng(24)
documents = python_docs.documents()
train, held_out = corpora.split(documents)
texts = [text for document in train[::wb.choose(8, 40)] for text in document]
test_texts = [text for document in held_out for text in document][:wb.choose(1500, 100)]
print(f"{len(texts):,} sentences to learn from, {len(test_texts):,} kept aside")

# %% [markdown]
# ## The question
#
# A WordPiece tokenizer has learned its pieces from English. Now somebody gives it a name, a city and a smile.

# %%
SIZES = wb.choose([400, 1000, 2000, 4000], [400, 600])
CASED = {"lower_case": False, "strip_accents": False}  # capitals and accents stay: nothing is thrown away on purpose
word_pieces = {V: Tokenizer(learn.learn(texts, V, **CASED), **CASED) for V in SIZES}
line = "Ms. Łódź  lives in 北京 🙂"
english = word_pieces[SIZES[-1]]
back = english.decode(english.ids(line))
print("tokens:", " ".join(english.tokenize(line)))
print("back:  ", back)
assert english.tokenize(line).count("[UNK]") >= 4, "a name, two Chinese characters, a smile: nothing is left of them"
assert "  " not in back, "and that there were two spaces, nobody knows any more"

# %% [markdown]
# Must a tokenizer lose what it has not seen? And must it take the longest piece first, and never look back (lesson 2)? Two other
# kinds are in use:
#
# - RoBERTa's changes what the smallest pieces are: bytes instead of letters. There are only 256 of them, so nothing is unknown.
#   And it cuts as it has learned, join by join.
# - That of ALBERT and XLM-RoBERTa changes how the cut is chosen: of all possible ways the likeliest.
#
# ## Toy numbers: letters as bytes
#
# A **byte** (字节) is a number from 0 to 255, and UTF-8 writes every letter of every script as one to four of them. Bytes are
# ugly to print and some of them cannot be, so each gets a character to be seen by. Those that can be seen already
# stay; the other 68 become what follows U+0100. *Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
# §2.2.*

# %%
def seen(text):
    """The text's bytes, each as the character by which it is written in a vocabulary."""
    return "".join(bytepairs.CHARACTERS[byte] for byte in text.encode("utf-8"))


rows = [[repr(letter), len(letter.encode("utf-8")), " ".join(map(str, letter.encode("utf-8"))), seen(letter)]
        for letter in ("a", " ", "é", "北", "🙂")]
wb.table(["letter", "bytes", "as numbers", "as they are written"], rows)
assert [row[1] for row in rows] == [1, 1, 2, 3, 4]
assert seen("a cat") == "aĠcat", "a space is Ġ: byte 32 is the 33rd that cannot be seen, so it is U+0120"
assert len(set(bytepairs.CHARACTERS)) == 256, "no two bytes share a character: so one can go back"

# %% [markdown]
# That is **byte-level** (字节级) text. `Ġ` is no letter but the space before a word. WordPiece marks what *continues* a word,
# with `##`; here what *begins* one is marked, by the space that is there anyway. So spaces are not lost either.
#
# ## By hand: join bytes
#
# Learning is lesson 2's: join the most frequent pair of neighbours, again and again. Only the beginning differs. (Of pairs that
# are equally frequent the one whose pieces were there first goes.)

# %%
toy_counts = {" hot": 5, " hotter": 3, " hottest": 2, " wet": 4, " wetter": 2, " café": 6}


def join(pieces, left, right):
    out = []
    for piece in pieces:
        if out and (out[-1], piece) == (left, right):
            out[-1] = left + right
        else:
            out.append(piece)
    return out


def learn_by_hand(counts, steps):
    """The first joins, each with the count of its pair."""
    cuts, found = {word: list(seen(word)) for word in counts}, []
    order = {char: place for place, char in enumerate(sorted(bytepairs.CHARACTERS))}
    for _ in range(steps):
        pairs = Counter()
        for word, pieces in cuts.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], order[pair[0]], order[pair[1]]))
        order.setdefault("".join(best), len(order))
        cuts = {word: join(pieces, *best) for word, pieces in cuts.items()}
        found.append((*best, pairs[best]))
    return found


by_hand = learn_by_hand(toy_counts, 12)
wb.table(["join", "left", "right", "seen"], [[n, *found] for n, found in enumerate(by_hand, start=1)])
joins = [(left, right) for left, right, _ in by_hand]
assert seen("é") in {left + right for left, right in joins}, "the letter é is itself learned, of two bytes"

# %% [markdown]
# The library's `learn.learn_bpe` makes the same joins in the same order. A vocabulary now has two parts, the tokens and the list
# of joins; on disk `vocab.json` and `merges.txt`.

# %%
toy_text = " ".join(" ".join([word.strip()] * count) for word, count in toy_counts.items())
toy_vocabulary, toy_joins = learn.learn_bpe([toy_text], 5 + 256 + 12, add_prefix_space=True)
print("the last tokens:", " ".join(toy_vocabulary.tokens[-12:]))
assert toy_joins == joins, "the library makes the same joins in the same order"

# %% [markdown]
# ## Cutting in the order of learning
#
# A word is not cut by the longest piece first. It begins as bytes, and the joins are made again, the earliest learned first.
# That order is what the list of joins is for.

# %%
def cut_by_hand(word, joins):
    rank = {pair: place for place, pair in enumerate(joins)}
    pieces = list(seen(word))
    while found := [pair for pair in pairwise(pieces) if pair in rank]:
        pieces = join(pieces, *min(found, key=rank.get))
    return pieces


toy = Tokenizer(toy_vocabulary, method=BytePairs, frame=ROBERTA, merges=toy_joins)
for word in (" hotter", " wettest", " cafés", " thé", " 北"):
    pieces = cut_by_hand(word, joins)
    print(f"    {word:<9} {' '.join(pieces)}")
    assert toy.tokenize(word) == pieces, "the loop and the library agree"
assert cut_by_hand("abc", [("b", "c"), ("a", "b")]) == ["a", "bc"], "the first join of the list goes first"
assert cut_by_hand("abc", [("a", "b"), ("b", "c")]) == ["ab", "c"], "another order of the same joins is another tokenizer"

# %% [markdown]
# ## Toy numbers: all ways to cut a word
#
# Now the other answer. Lesson 2's greedy rule found nothing for "unaffable" with `un`, `una`, `##aff`, `##able`, although a cut
# was there. Do not take the longest; look at *all* ways. To choose among them, give each piece a probability, and take the pieces
# of a word to be independent of each other: a **unigram language model** (一元语言模型).

# %%
chances = {"un": 0.1, "una": 0.02, "aff": 0.05, "ff": 0.1, "able": 0.2}


def ways(word, pieces):
    """Every way to cut a word: every set of places to cut at, of which those stay whose parts are all pieces."""
    for cuts in range(len(word)):
        for places in combinations(range(1, len(word)), cuts):
            parts = [word[a:b] for a, b in pairwise((0, *places, len(word)))]
            if all(part in pieces for part in parts):
                yield parts


likely = [(way, prod(chances[piece] for piece in way)) for way in ways("unaffable", chances)]
whole = sum(chance for _, chance in likely)
wb.table(["way", "probability", "its share"], [[" ".join(way), chance, chance / whole] for way, chance in likely])
greedy = wordpiece.split("unaffable", {"un", "una", "##aff", "##able"})
assert greedy == ["[UNK]"], "longest match first: una, and then nothing fits"
assert max(likely, key=lambda found: found[1])[0] == ["un", "aff", "able"]
assert isclose(likely[0][1] / whole, 5 / 7), "0.1 · 0.05 · 0.2 against 0.02 · 0.1 · 0.2: five to two"

# %% [markdown]
# ## The equation
#
# With score(x) for the logarithm of a piece's probability, and "pieces of $w$" for one way to cut the word $w$:
#
# $$ \text{best}(w) = \max_{\text{pieces of } w} \; \sum_{x} \text{score}(x) $$
#
# A word of n letters has up to $2^{n-1}$ ways. Nobody tries them all: the best way to a place ends with *some* piece, and up to
# where that begins it must be a best way itself. So
#
# $$ \text{best}(0) = 0 \qquad \text{best}(j) = \max_{i < j} \; \text{best}(i) + \text{score}(w[i\!:\!j]) $$
#
# from left to right, then back along the pieces that won. This is the **Viterbi algorithm** (维特比算法). *Kudo 2018, "Subword
# Regularization", §3.2.*

# %%
def best_by_hand(word, scores):
    """The likeliest pieces of a word, which must have a way at all."""
    best, begins = [0.0], [0]
    for end in range(1, len(word) + 1):
        found = [(best[start] + scores[word[start:end]], start) for start in range(end) if word[start:end] in scores]
        score, start = max(found, default=(float("-inf"), 0))
        best.append(score)
        begins.append(start)
    pieces, end = [], len(word)
    while end:
        pieces.append(word[begins[end]:end])
        end = begins[end]
    return pieces[::-1]


scores = {piece: log(chance) for piece, chance in chances.items()}
assert best_by_hand("unaffable", scores) == ["un", "aff", "able"], "the same as by trying all of them"
for _ in range(200):  # and for any pieces and scores
    toys = {piece: float(rng.normal(-3)) for piece in ("a", "b", *map("".join, rng.choice([*"ab"], (6, 3))), "ab", "ba")}
    word = "".join(rng.choice([*"ab"], 9))
    tried = max(sum(toys[piece] for piece in way) for way in ways(word, toys))
    for found in (best_by_hand(word, toys), Unigram(toys, -99.0).cut(word).pieces):
        assert "".join(found) == word
        assert isclose(sum(toys[piece] for piece in found), tried), f"{word} with {toys}"
print("the loop and the library's Unigram reach the best of all ways on 200 random words")

# %% [markdown]
# ## Learning from every way
#
# Where do the probabilities come from? If we knew the right cut of each word, we would count pieces. If we knew the
# probabilities, we would know how each word is cut. We know neither, so do both in turn:
#
# 1. **Expectation.** With the probabilities of now, each word is cut in *every* way, each way counting by its share.
# 2. **Maximisation.** What was counted, divided by the total, are the new probabilities.
#
# That is **expectation-maximisation** (期望最大化), EM. Three words, and the two ways of above with their shares of 5/7 and 2/7:

# %%
words = {"unaffable": 7, "able": 3, "una": 1}


def expected_by_hand(words, scores):
    """How often each piece is used, over all ways to cut each word."""
    uses = Counter()
    for word, count in words.items():
        found = [(way, exp(sum(scores[piece] for piece in way))) for way in ways(word, scores)]
        total = sum(chance for _, chance in found)
        for way, chance in found:
            for piece in way:
                uses[piece] += count * chance / total
    return uses


uses = expected_by_hand(words, scores)
total = sum(uses.values())
library = learn_unigram.expect(words, scores)
cautious = learn_unigram.maximise(library, [])
wb.table(["piece", "before", "expected uses", "after: their share", "in the library"],
         [[piece, chances[piece], uses[piece], uses[piece] / total, exp(cautious[piece])] for piece in chances])
assert np.allclose([uses[piece] for piece in chances], [5, 3, 5, 2, 10]), "7 · 5/7 = 5; una: 7 · 2/7, and once alone; …"
assert np.allclose([library[piece] for piece in chances], [uses[piece] for piece in chances]), "the library's without trying all"

assert exp(cautious["ff"]) / (uses["ff"] / total) < exp(cautious["able"]) / (uses["able"] / total) < 1, "rare pieces lose most"

rounds = [scores]
for _ in range(6):
    uses = expected_by_hand(words, rounds[-1])
    rounds.append({piece: log(count / sum(uses.values())) for piece, count in uses.items()})
gained = [learn_unigram.likelihood(words, found) for found in rounds]
print("how likely the words are, as a logarithm, round by round:", " ".join(f"{value:.2f}" for value in gained))
assert all(after >= before for before, after in pairwise(gained)), "a round never makes the text less likely"
assert exp(rounds[-1]["ff"]) < 0.001, "and the way that was likelier takes all: ff is hardly needed any more"

# %% [markdown]
# The last column is what sentencepiece does: instead of the logarithm of a count it takes the digamma function ψ of it, which is
# smaller, most of all for small counts. What is rare gets rarer, and what is expected less than half a time goes.
#
# The library does not try all ways either. Sum what leads *to* each place, from the left, and what leads from it to the end, from
# the right; a piece's share is the product of what lies before it, itself, and what lies behind it, over the sum of all.
#
# ## Gradient check
#
# Lesson 2 had nothing to derive: an id is a name. A score is a number, and a slope is there. Which one? Write the sum over all
# ways and derive its logarithm by the score of one piece:
#
# $$ \frac{\partial}{\partial\, \text{score}(x)} \; \log \sum_{\text{ways}} \exp\Big(\sum_{y} \text{score}(y)\Big)
# = \sum_{\text{ways}} \text{share of the way} \cdot (\text{how often } x \text{ stands in it}) $$
#
# It is the expected count. So the E step is a backward pass, and central differences can check it:

# %%
h = 1e-5
rows = []
for piece in scores:
    up, down = (learn_unigram.likelihood(words, {**scores, piece: scores[piece] + step}) for step in (h, -h))
    rows.append([piece, (up - down) / (2 * h), library[piece]])
wb.table(["piece", "slope, measured", "expected uses"], rows)
assert all(isclose(slope, use, rel_tol=1e-7) for _, slope, use in rows), "the expected count is the gradient"

# %% [markdown]
# ## Begin with too many, drop the useless
#
# Byte pairs grow a vocabulary. A unigram model shrinks one: it begins with every part of a word that occurs twice, takes two
# rounds of EM, drops the quarter of the pieces without which the text would lose least, and so on until the size is nearly
# reached; of the rest the likeliest stay. Single characters stay in any case. Watch it on the text of this lesson.

# %%
unigrams, shrunk = {}, {V: [] for V in SIZES}
for V in SIZES:
    unigrams[V] = SentencePiece(learn_unigram.learn_unigram(texts, V, progress=lambda pieces, size: shrunk[size].append(pieces)))
V = SIZES[0]
print(f"pieces left after each round, to end at {V:,}:", " ".join(f"{pieces:,}" for pieces in shrunk[V]))
pieces = unigrams[V].spm.pieces
print("the likeliest pieces:", " ".join(pieces[3:15]))
assert shrunk[V] == sorted(shrunk[V], reverse=True), "it only shrinks"
assert len(pieces) == V, "three that stand for no text (unknown, begin, end), and pieces to the size asked for"

# %% [markdown]
# `▁` is a space, as `Ġ` was. (SentencePiece takes text as it comes, without words; *Kudo and Richardson 2018, §3*. The
# library counts words that begin with `▁`, which comes to the same as long as no piece reaches over a space.)
#
# ## The same lines, three ways

# %%
byte_pairs = {}
for V in SIZES:
    vocabulary, joins = learn.learn_bpe(texts, V)
    byte_pairs[V] = Tokenizer(vocabulary, method=BytePairs, frame=ROBERTA, merges=joins)
V = SIZES[-1]
KINDS = {"WordPiece": word_pieces, "byte pairs": byte_pairs, "unigram": unigrams}


def tokens(kind, V, text):
    """The tokens of a text as strings."""
    made = KINDS[kind][V]
    names = made.spm.pieces if kind == "unigram" else made.vocab.tokens
    return [names[number] for number in made.ids(text)]


def there_and_back(kind, V, text):
    made = KINDS[kind][V]
    return made.decode(made.ids(text))


LINES = ["the unhashable dictionaries", "a naïve Łódź", "北京 🙂", "two  spaces,\ta tab"]
for text in LINES:
    wb.heading(repr(text))
    wb.table(["", "n", "tokens", "back"], [[kind, len(tokens(kind, V, text)), " ".join(tokens(kind, V, text)),
                                            repr(there_and_back(kind, V, text))] for kind in KINDS])
assert tokens("WordPiece", V, "Łódź") == ["[UNK]"], "one letter that is no piece, and the whole word is gone"
name = tokens("unigram", V, "Łódź")
assert "<unk>" in name
assert "d" in name, "here only the letters are gone that are no pieces"
assert len(tokens("byte pairs", V, "北京")) <= 6, "three bytes each, and nothing is gone"

# %% [markdown]
# Three kinds of ignorance. WordPiece gives up the word, unigram the letter (what is decoded has `⁇` there), byte pairs nothing at
# all. They pay in tokens: a letter nobody has learned costs as many tokens as it has bytes. (A unigram model can be told to write
# unknown letters as bytes, too: `byte_fallback` in sentencepiece.)
#
# ## Check: there and back
#
# "Nothing is lost" is a strong claim. So try to break it: the text kept aside, and random letters of all of Unicode, control
# characters and spaces among them. Only halves of characters (surrogates) are left out; UTF-8 cannot write those.

# %%
def random_text():
    codes = rng.integers(0, rng.choice([0x80, 0x800, 0x10000, 0x110000]), rng.integers(1, 30))
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


wild = [random_text() for _ in range(wb.choose(2000, 200))]
share = {kind: [np.mean([there_and_back(kind, V, text) == text for text in some]) for some in (test_texts, wild)]
         for kind in KINDS}
wb.table(["comes back as it was", "sentences kept aside", "random Unicode"],
         [[kind, *(f"{x:.1%}" for x in found)] for kind, found in share.items()])
assert share["byte pairs"] == [1.0, 1.0], "byte for byte, whatever it was"
assert share["WordPiece"][0] < 1, "spaces around signs are guessed when it is put together again"
assert max(share["WordPiece"][1], share["unigram"][1]) < 0.5

numbers = byte_pairs[V].ids("北")
half = byte_pairs[V].decode(numbers[:1])
print(f"北 is {len(numbers)} tokens; the first alone is decoded to {half!r}")
assert half == "\ufffd", "a token may be half a letter: put tokens together first, decode then"

# %% [markdown]
# ## What it costs: tokens per word
#
# Same text to learn from, same text to measure on, same V. A word is what stands between spaces.

# %%
spaced = sum(len(text.split()) for text in test_texts)
lengths = {kind: [sum(len(tokens(kind, V, text)) for text in test_texts) / spaced for V in SIZES] for kind in KINDS}
lost = {kind: [sum(tokens(kind, V, text).count(unknown) for text in test_texts) for V in SIZES]
        for kind, unknown in (("WordPiece", "[UNK]"), ("byte pairs", "<unk>"), ("unigram", "<unk>"))}
wb.table(["tokens per word", *(f"V = {V:,}" for V in SIZES), "unknown ones"],
         [[kind, *map(float, found), f"{lost[kind][0]} to {lost[kind][-1]}"] for kind, found in lengths.items()])
assert all(found == sorted(found, reverse=True) for found in lengths.values()), "more pieces to choose from, shorter sequences"
assert lengths["byte pairs"][0] == max(found[0] for found in lengths.values()), "256 of 400 places are taken by bytes"
assert not any(lost["byte pairs"])
if not wb.QUICK:
    last = [found[-1] for found in lengths.values()]
    assert max(last) < 1.1 * min(last), "at 4,000 there is hardly a difference left"

# %% [markdown]
# For English, and a V that is not tiny, the three are alike in length. Byte pairs pay 256 places once. So choose by what you
# cannot afford to lose, and never by a few per cent of tokens. And never mix: weights were learned with *one* numbering of
# tokens, and mean nothing with another.
#
# ## One picture

# %%
picture = wb.figure(14, 5.8, "Three ways to cut: alike in length, unlike in what they lose")
left, right = picture.subplots(1, 2, width_ratios=[1, 1.35])
for (kind, found), mark in zip(lengths.items(), "os^"):
    left.plot(SIZES, found, f"{mark}-", label=kind)
left.axhline(1, color=wb.GREY, linestyle="--", linewidth=1.6)
left.set(xscale="log", xlabel="vocabulary size V", ylabel="tokens per word", ylim=(0, 1.1 * lengths["byte pairs"][0]),
         title="Bytes cost most where V is small")
left.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
left.minorticks_off()
left.legend(frameon=False)
for row, kind in enumerate(KINDS):
    at = 0.0
    for piece in tokens(kind, SIZES[-1], "unhashable naïve Łódź"):
        color = wb.ORANGE if piece in ("[UNK]", "<unk>") else wb.SKY
        width = 0.9 + 0.55 * len(piece)
        right.barh(-row, width - 0.12, left=at + 0.06, height=0.6, color=color)
        right.text(at + width / 2, -row, piece, ha="center", va="center", fontsize=12)
        at += width
right.set(yticks=[-row for row in range(len(KINDS))], yticklabels=list(KINDS), xticks=[],
          title='"unhashable naïve Łódź": orange is lost')
right.spines[["left", "bottom"]].set_visible(False)
right.tick_params(length=0)
wb.save(picture, "24_three_ways")

# %% [markdown]
# ## One knob to turn
#
# The line. Guess for each kind how many tokens it will be, and what comes back; then try a line in your own language.

# %%
LINE = "Zażółć gęślą jaźń!"  # <- the knob

# %%
wb.table(["", "tokens", "a letter", "back"],
         [[kind, len(tokens(kind, SIZES[-1], LINE)), len(tokens(kind, SIZES[-1], LINE)) / max(len(LINE), 1),
           repr(there_and_back(kind, SIZES[-1], LINE))] for kind in KINDS])
assert there_and_back("byte pairs", SIZES[-1], LINE) == LINE, "any line comes back"
assert len(tokens("byte pairs", SIZES[-1], LINE)) <= len(LINE.encode("utf-8")), "never more tokens than bytes"

# %% [markdown]
# ## All of it in one command
#
# A family brings its kind of tokenizer; a small one of each is learned from your text:
#
#     python -m minibert train --family roberta --out runs/bytes
#     python -m minibert train --family albert --out runs/pieces
#     python -m minibert tokenize --model runs/bytes "北京 🙂"
#
# ## Exercises
#
# Five functions: how many tokens a text is before anything is learned, joins in their order, the number of ways to cut a word,
# the likeliest of them, and how often each piece is used. The command prints a line for each, such as
# `1. tokens_of_bytes: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **My vocabulary is full of `Ã`, `Ġ` and `â`.** These are bytes, written to be seen. Decode ids, do not print tokens.
# - **A decoded text has `\ufffd` in it.** Tokens were decoded one by one, or a text was cut in the middle of a letter.
# - **The same word has two ids.** `cat` at the beginning of a text and `Ġcat` behind a space are two tokens. RoBERTa's own
#   vocabulary has both. `add_prefix_space` makes the first like the others.
# - **My joins are the library's, and my cut is not.** It must be the earliest join of the list that is possible *now*, everywhere
#   in the word; then look again. Neither the longest piece nor the leftmost.
# - **My best way is another one.** Scores are logarithms: add them. If you multiply them, two minus signs make a plus.
# - **An EM round made the text less likely.** With ψ it may, a little: the library pulls rare pieces down on purpose. With plain
#   shares it never does.
# - **`learn_unigram` says that the size is too small.** All characters must fit in. A lower `coverage` leaves rare ones out, and
#   these will be unknown.

# %%
wb.exercises(24)
