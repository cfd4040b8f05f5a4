# %% [markdown]
# # 2. Tokens
#
# **You will do** clean a text character by character, cut words into pieces by hand, and train a vocabulary while you watch.
#
# **You will learn** what a BERT vocabulary holds, why no word is ever quite new to it, and what its size costs.
#
# **You need** lesson 1 (what tokens are for). Time: about 40 minutes to read; runs in 10 s.

# %%
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
import workbench as wb

import minibert
from minibert.data import corpora, python_docs
from minibert.text import Tokenizer, Vocabulary, learn, normalize, wordpiece

# %% [markdown]
# ## The question
#
# A model computes with numbers. A text has none. So each token gets a number, and the list of all tokens, in the order of
# their numbers, is the **vocabulary** (词表). A token's place in it is its **token id** (词元编号).
#
# Here is a sentence as the bundled model sees it.

# %%
bert = minibert.load()
sentence = "Raises an unhashable exception."
ids = bert.tokenizer.ids(sentence)
tokens = bert.tokenizer.tokenize(sentence)
wb.table(["token", "id"], list(zip(tokens, ids)))
print(f"{len(sentence.split())} words, {len(tokens)} tokens; the vocabulary has V = {len(bert.tokenizer.vocab):,} tokens")
assert [bert.tokenizer.vocab.tokens[i] for i in ids] == tokens, "an id is nothing but a place in the vocabulary"
assert len(tokens) > len(sentence.split()), "a word may become several tokens"

# %% [markdown]
# The full stop is a token of its own, and a rare word became several. Why not simply one number per word?
# Let us count. The **corpus** (语料) of this course, the text that models and vocabularies learn from, is the English that
# every Python carries: its language reference, its docstrings and comments. We learn from one part, and keep a part aside.

# %%
documents = python_docs.documents()
train, held_out = corpora.split(documents)
seen = Counter(word for document in train for text in document for word in re.findall("[a-z]+", text.lower()))
kept = [word for document in held_out for text in document for word in re.findall("[a-z]+", text.lower())]
new = sorted({word for word in kept if word not in seen})
once = sum(count == 1 for count in seen.values())
print(f"{seen.total():,} words to learn from, {len(seen):,} of them distinct; {once / len(seen):.0%} of these occur only once")
print(f"text kept aside: {len(new):,} of its {len(set(kept)):,} distinct words are new: {', '.join(new[5::len(new) // 5])} …")
long = sum(map(len, kept)) / len(kept)
print(f"a word has {long:.1f} characters on average")
assert long > 3, "expected: one number per character makes sequences several times as long"
assert once > len(seen) / 5, "expected: a large share of the distinct words occurs a single time"
assert len(new) / len(set(kept)) > 0.03, "expected: new text always brings new words"

# %% [markdown]
# One number per word fails twice. The table gets long, and many of its rows are met a single time, too rarely to be learned. And
# still there are words that it does not have. One number per *character* would never fail, but makes sequences longer, by as
# many times as a word has characters.
#
# BERT takes the way between. A frequent word is one token; a rare one is cut into pieces that are tokens. It takes two steps:
#
# 1. **normalisation** (文本规范化): from the raw text to clean words. No vocabulary is needed for it.
# 2. **WordPiece** (词片切分): from each word to the pieces that the vocabulary holds.
#
# Source: `tokenization.py` of the reference, `BasicTokenizer` and `WordpieceTokenizer`.

# %% [markdown]
# ## Toy text, step by step
#
# One short text with all that can go wrong: a capital, two accents, a tab, two spaces, Chinese without spaces, an apostrophe,
# and an invisible character with the number 0.

# %%
toy = "Naïve  cafés:\t北京2008,\x00 don't!"
STEPS = [("clean", normalize.clean), ("space around Chinese", normalize.space_cjk), ("lower case", str.lower),
         ("drop accents", normalize.drop_accents), ("space around punctuation", normalize.space_punctuation)]
text, rows = toy, [["(raw)", repr(toy)]]
for name, step in STEPS:
    text = step(text)
    rows.append([name, repr(text)])
wb.table(["step", "the text after it"], rows)
print("words:", text.split())
assert text.split() == ["naive", "cafes", ":", "北", "京", "2008", ",", "don", "'", "t", "!"], "five steps, eleven words"

# %% [markdown]
# Five steps, in the order of the reference. Each is a question about single characters. Python's `unicodedata.category` answers
# it with two letters: `Cc` is a control character, `Zs` a space, `Mn` a mark that sits on another character, `P…` punctuation.

# %%
CHARACTERS = ["\x00", "\t", "\u00a0", "é", "\u0301", "北", "あ", "。", "$", "€", "a"]
NAMES = ["NUL", "tab", "no-break space", "e with acute", "the acute alone", "Chinese bei", "Japanese kana a", "Chinese full stop",
         "dollar", "euro", "a"]
RULES = {"control": normalize.is_control, "space": normalize.is_whitespace, "CJK": normalize.is_cjk,
         "punctuation": normalize.is_punctuation}
wb.table(["character", "code", "category", *RULES],
         [[name, f"U+{ord(c):04X}", unicodedata.category(c), *("yes" if rule(c) else "-" for rule in RULES.values())]
          for c, name in zip(CHARACTERS, NAMES)])
assert normalize.is_punctuation("$"), "every ASCII sign is punctuation here"
assert not normalize.is_punctuation("€"), "the euro sign is not"
assert normalize.is_cjk("北"), "a Chinese character"
assert not normalize.is_cjk("あ"), "kana are written in words: they are no CJK characters here"

# %% [markdown]
# Read the table, row by row:
#
# - **Clean.** Control characters go, since nobody sees them. Every kind of space becomes a plain space. Unicode
#   calls a tab a control character (`Cc`); here it counts as a space, or it would glue two words together.
# - **CJK characters** (中日韩汉字). Chinese puts no spaces between words. So each Chinese character gets spaces around it and is
#   a word by itself. Japanese kana and Korean Hangul are left alone: the list of blocks in `tokenization.py` leaves them out.
# - **Punctuation.** A sign is a word of its own. All of ASCII's signs count, also `$`, which Unicode calls a currency symbol.
#   The euro, outside ASCII, does not. This is a rule of the reference, not a law of nature.
#
# **Accents** take two moves. NFD, the canonical decomposition of Unicode, writes one character as a letter and its marks.
# Then the marks, category `Mn`, go.

# %%
apart = unicodedata.normalize("NFD", "é")
print(f"é is U+{ord('é'):04X}; NFD makes of it", " and ".join(f"U+{ord(c):04X} ({unicodedata.category(c)})" for c in apart))
one, two = "caf\u00e9", "cafe\u0301"
print(f"two spellings that look the same: {one} has {len(one)} characters, {two} has {len(two)}")
assert one != two, "they are different strings"
assert normalize.drop_accents(one) == normalize.drop_accents(two) == "cafe", "and the same word after step 4"
lost = [("Résumé", "resume"), ("US", "us"), ("März", "marz")]
wb.table(["text", "after all steps"], [[a, " ".join(normalize.Normalizer().words(a))] for a, _ in lost])
assert all(normalize.Normalizer().words(a) == [b] for a, b in lost), "what is lost is lost for good"

# %% [markdown]
# Normalisation makes many spellings one. That is its use: fewer tokens, each met more often. It is also its price: the US and
# "us" are one word afterwards. *Cased* models skip steps 3 and 4 (`do_lower_case` in `tokenization.py`; here `lower_case=False`).
# **A tokenizer must always be used with the settings its model was trained with.** Nothing would stop you from mixing them up.

# %% [markdown]
# ## By hand: one loop over the characters
#
# Your first draft may well be a single loop. Ask each character what it is.

# %%
def words_by_hand(text: str) -> list[str]:
    out = ""
    for char in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(char)
        if char in "\t\n\r" or kind == "Zs":
            out += " "
        elif kind[0] == "C" or kind == "Mn" or char == "\ufffd":  # U+FFFD stands for bytes that were no text
            continue
        elif "\u4e00" <= char <= "\u9fff" or kind[0] == "P" or (char.isascii() and not char.isalnum()):
            out += f" {char} "
        else:
            out += char
    return out.split()


normalizer = normalize.Normalizer()
sample = [text for document in documents[::wb.choose(1, 20)] for text in document]
assert words_by_hand(toy) == normalizer.words(toy), "the loop and the library agree on the toy text"
assert all(words_by_hand(text) == normalizer.words(text) for text in sample), "and on the corpus"
print(f"the loop and normalize.Normalizer agree on {len(sample):,} sentences")

# %% [markdown]
# The library does the same with five tables, one per step, which Python's `str.translate` applies to a whole string at once.
# It also covers what our draft leaves out: the rarer blocks of Chinese characters.

# %% [markdown]
# ## Toy words: the longest piece first
#
# Now the second step. Take a vocabulary of five pieces. `##` marks a piece that *continues* a word: `able` begins a word,
# `##able` does not. (Without the mark nobody could tell "un able" from "unable" when the text is put together again.)
#
# The rule is **longest match first** (最长匹配优先). Take the longest piece that the word begins with, then the longest one
# that goes on from there. As an equation, with $w$ the word, $\mathcal{V}$ the set of tokens and $s_0 = 0$:
#
# $$ s_{k+1} = \max\{\, e : w[s_k\!:\!e] \in \mathcal{V} \,\}, \qquad \text{piece}_k = w[s_k\!:\!s_{k+1}] $$
#
# until $s_k$ is the end. If there is no such $e$, the whole word becomes the **unknown token** (未登录词标记), `[UNK]`.

# %%
def pieces_by_hand(word: str, vocabulary, tell: bool = False) -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if tell:
                print(f"    {piece:<12} {'yes' if piece in vocabulary else 'no'}")
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


five = {"un", "una", "able", "##aff", "##able"}
print("unaffable, with", sorted(five))
found = pieces_by_hand("unaffable", five, tell=True)
print("   ->", found)
assert found == ["[UNK]"], "the rule is greedy: it took una and could not go on"
assert "un" + "aff" + "able" == "unaffable", "although un, ##aff, ##able would have fitted"

# %% [markdown]
# The rule is **greedy** (贪心): it never takes a piece back. `una` was longer than `un`, and after it nothing fits. The word is
# unknown, although `un`, `##aff`, `##able` would have done. One more piece in the vocabulary helps:

# %%
six = five | {"##ff"}
print("with ##ff ->", pieces_by_hand("unaffable", six))
assert pieces_by_hand("unaffable", six) == wordpiece.split("unaffable", six) == ["una", "##ff", "##able"], "greedy, but complete"
for word in ("able", "unable", "unx", "xun"):
    print(f"    {word:<7} -> {pieces_by_hand(word, six)}")
    assert pieces_by_hand(word, six) == wordpiece.split(word, six), "the loop and the library agree"
assert wordpiece.split("unx", six) == ["[UNK]"], "one character that is nowhere, and all of the word is unknown"

# %% [markdown]
# Note the last two: a single character that no piece holds, and the *whole* word becomes one `[UNK]`. Nothing of it is kept.
# That is why a trained vocabulary holds every character of its corpus as a piece, with and without `##`. Then no word made of
# known characters can be unknown.
#
# Now all distinct words of the corpus, with the bundled vocabulary. The library's function is `wordpiece.split`.

# %%
vocab = bert.tokenizer.vocab
words = Counter(word for text in sample for word in normalizer.words(text))
cut = {word: wordpiece.split(word, vocab) for word in words}
assert all(pieces_by_hand(word, vocab) == pieces for word, pieces in cut.items()), "the loop and the library agree on every word"
unknown = sum(words[word] for word, pieces in cut.items() if pieces == ["[UNK]"]) / words.total()
print(f"the loop and wordpiece.split agree on {len(words):,} distinct words; {unknown:.2%} of the text is [UNK]")
print("Chinese, which this corpus has not:", bert.tokenizer.tokenize("北京 2008"))
assert unknown < 0.01, "the text it was learned from, or near to it"
assert bert.tokenizer.tokenize("北京").count("[UNK]") == 2, "two characters, two words, two unknown tokens"

# %% [markdown]
# ## The fast version: every word once
#
# There is no array arithmetic to speed this up. Something simpler does: most words come again. So the library's `Tokenizer`
# remembers what each word became. How much work is left?

# %%
raw = Counter(word for text in sample for word in normalize.raw_words(text))
print(f"{raw.total():,} words of text, {len(raw):,} distinct: only {len(raw) / raw.total():.1%} of them have to be cut")
fast = [bert.tokenizer.ids(text) for text in sample[:200]]
slow = [[vocab.index[piece] for word in words_by_hand(text) for piece in pieces_by_hand(word, vocab)] for text in sample[:200]]
assert fast == slow, "Tokenizer.ids is both loops, one after the other"
assert len(raw) < raw.total() / 3, "most words are repetitions"

# %% [markdown]
# ## Train a vocabulary by hand
#
# Where do the pieces come from? They are learned by counting. Begin with single characters. Find the pair of neighbours that
# occurs most often. Make it one piece, everywhere. Repeat until the vocabulary is as large as wanted. One such step is a
# **merge** (合并). The method is **byte-pair encoding** (字节对编码), *Sennrich et al. 2016, §3.2*; the score of a pair is
#
# $$ \text{score}(a, b) = f(ab) $$
#
# with $f$ the number of times something occurs. Six words are enough to watch it.

# %%
toy_counts = {"hot": 5, "hotter": 3, "hottest": 2, "wet": 4, "wetter": 2, "wettest": 3}


def join(pieces: list[str], left: str, right: str) -> list[str]:
    out = []
    for piece in pieces:
        if out and (out[-1], piece) == (left, right):
            out[-1] = left + right[2:]  # without the ## in the middle
        else:
            out.append(piece)
    return out


def best_by_hand(words: dict, counts: dict) -> tuple[tuple[str, str], int]:
    pairs = Counter()
    for word, pieces in words.items():
        for pair in pairwise(pieces):
            pairs[pair] += counts[word]
    best = min(pairs, key=lambda pair: (-pairs[pair], pair))  # equally frequent: the first in the alphabet
    return best, pairs[best]


# %%
cuts = {word: [word[0], *("##" + char for char in word[1:])] for word in toy_counts}
rows, by_hand = [["", "", *(" ".join(cuts[word]) for word in ("hot", "hotter", "wettest"))]], []
for _ in range(8):
    (left, right), count = best_by_hand(cuts, toy_counts)
    cuts = {word: join(pieces, left, right) for word, pieces in cuts.items()}
    by_hand.append((left, right, count))
    rows.append([f"{left} + {right}", str(count), *(" ".join(cuts[word]) for word in ("hot", "hotter", "wettest"))])
print("how often each word occurs:", ", ".join(f"{word} {count}" for word, count in toy_counts.items()))
wb.table(["merge", "seen", "hot", "hotter", "wettest"], rows)
assert cuts["hotter"] == ["hot", "##ter"], "stems and endings appear, though nobody spoke of grammar"
assert cuts["wettest"] == ["wet", "##test"], "(the double t went with the ending: it is counting, not grammar)"

# %% [markdown]
# Stems and endings come out, from counting alone. (The second `t` goes with the ending. No grammar would do that.)
#
# Note that `##ot` is learned before `hot`. The steps on the way stay in the vocabulary.
#
# The library's function is `learn.learn`. It tells us of every merge.

# %%
text = " ".join(" ".join([word] * count) for word, count in toy_counts.items())
merges = []
small = learn.learn([text], 5 + 14 + 8, on_merge=lambda step, left, right, score: merges.append((left, right, score)))
print("the tokens:", " ".join(small.tokens))
assert merges == by_hand, "the library makes the same merges in the same order"
assert small.tokens[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "first the special tokens (lessons 3 and 10)"
assert all(wordpiece.split(word, small) == pieces for word, pieces in cuts.items()), "here, cutting undoes nothing of the merges"

# %% [markdown]
# The order in a vocabulary: five special tokens, the single characters (with and without `##`), then what the merges made.
#
# The library is fast since it does not count everything anew after each merge. Only the words that hold the pair change.
#
# ## Two scores
#
# The paper that WordPiece comes from scores a pair otherwise (*Schuster and Nakajima 2012, §3*): by how much more likely the
# text becomes under a model that draws pieces independently. Per joined pair, this gain grows with
#
# $$ \text{score}(a, b) = \frac{f(ab)}{f(a)\, f(b)} $$
#
# It likes pairs whose parts are rare elsewhere. Google never published the program that made BERT's own vocabulary (the
# reference's README says so, in its section on learning a new vocabulary). So let us measure which score does better here.

# %%
SIZES = wb.choose([100, 200, 500, 1000, 2000, 4000, 8000], [200, 300, 400])
texts = [text for document in train[::wb.choose(1, 10)] for text in document]
test_texts = [text for document in held_out for text in document]
test_words = Counter(word for text in test_texts for word in normalizer.words(text))


def pieces_per_word(vocabulary) -> float:
    return sum(n * len(wordpiece.split(word, vocabulary)) for word, n in test_words.items()) / test_words.total()


by_score = {score: learn.learn(texts, SIZES[-3], score=score) for score in ("frequency", "likelihood")}
shares = {score: pieces_per_word(vocabulary) for score, vocabulary in by_score.items()}
wb.table(["score", "V", "pieces per word", "the last tokens learned"],
         [[score, len(v), shares[score], " ".join(v.tokens[-6:])] for score, v in by_score.items()])
assert wb.QUICK or shares["likelihood"] > 1.2 * shares["frequency"], "the likelihood score gives longer sequences here"

# %% [markdown]
# Frequency wins clearly, as it gives shorter sequences at the same size. Look at the last tokens. The likelihood score has
# spent its places on fragments of rare words: a pair of rare pieces that are always together beats any pair of common ones.
# So the library's default is frequency. (So it is in the `tokenizers` library: its `WordPieceTrainer` is its BPE trainer inside.)
#
# ## A real vocabulary, merge by merge

# %%
merges = []
large = learn.learn(texts, SIZES[-1], on_merge=lambda step, left, right, score: merges.append((left, right, score)))
alphabet = sum(len(token.removeprefix("##")) == 1 for token in large.tokens)
steps = [step for step in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, len(merges)) if step <= len(merges)]
wb.table(["merge", "left", "right", "seen"], [[step, *merges[step - 1][:2], int(merges[step - 1][2])] for step in steps])
print(f"before the first merge: 5 special tokens and {alphabet} single characters, with and without ##")
counts = [count for _, _, count in merges]
assert counts == sorted(counts, reverse=True), "expected: each merge is at most as frequent as the one before"
assert large.tokens[:SIZES[1]] == learn.learn(texts, SIZES[1]).tokens, "a smaller vocabulary is the beginning of a larger one"

# %% [markdown]
# Endings and the most frequent short words come first; whole words follow; at the end stand words that are rather rare.
# The counts only fall. Learning more never changes what was learned before: a smaller vocabulary is the beginning of the
# larger one. So we need not train again for the next question.
#
# ## How large should it be?
#
# A small vocabulary makes long sequences. The model then has to compute more (lesson 3 counts how much), and less text fits
# into it. A large one makes short sequences. But each token needs H parameters of its own (lesson 5), and must be met often
# enough for these to be learned. Here are both sides, measured. H is that of the bundled model.

# %%
H = bert.config.hidden_size
vocabularies = {V: Vocabulary(large.tokens[:V]) for V in SIZES if V > alphabet + 5}
train_words = Counter(word for text in texts for word in normalizer.words(text))
rows = []
for V, vocabulary in vocabularies.items():
    met = Counter()
    for word, n in train_words.items():
        for piece in wordpiece.split(word, vocabulary):
            met[piece] += n
    whole = sum(n for word, n in test_words.items() if word in vocabulary) / test_words.total()
    length = pieces_per_word(vocabulary)
    rows.append([V, length, length * test_words.total() / len(test_texts), f"{whole:.0%}", V * H,
                 float(np.median([met[token] for token in vocabulary.tokens[5:]]))])
wb.table(["V", "pieces per word", "tokens per sentence", "words in one piece", "parameters V x H", "median token met"], rows)

# %%
sizes, lengths, per_text, _, _, met_times = (list(column) for column in zip(*rows))
saved = -np.diff(per_text)
print("tokens per sentence that each step saves:", " ".join(f"{sizes[i]}->{sizes[i + 1]}: {n:.1f}" for i, n in enumerate(saved)))
assert lengths == sorted(lengths, reverse=True), "expected: more tokens to choose from, shorter sequences"
assert wb.QUICK or list(saved) == sorted(saved, reverse=True), "expected: each step saves less than the one before"
assert wb.QUICK or met_times[-1] < met_times[0] / 10, "expected: the typical token of a large vocabulary is met much more rarely"
assert wb.QUICK or lengths[-1] < 1.3, "the largest one needs few more tokens than there are words"

# %% [markdown]
# A larger V takes as many times more parameters, and each step saves fewer tokens than the one before. And each token is met more
# rarely.
# So the best size depends on the amount of text. BERT, with 3.3 billion words to learn from, takes about 30,000 tokens
# (*Devlin et al. 2018, §3*, paragraphs "Input/Output Representations" and "Pre-training data"). The bundled model has only
# the words counted at the top of this lesson: it takes V = 6,000.
#
# ## One picture

# %%
made = wb.figure(14, 5.8, title="A larger vocabulary: shorter sequences, but every token is met more rarely")
left, right = made.subplots(1, 2, width_ratios=[1, 1.25])
left.plot(sizes, per_text, "o-", color=wb.BLUE)
left.axhline(test_words.total() / len(test_texts), color=wb.GREY, linestyle="--", linewidth=1.6)
left.annotate("one token per word", (sizes[0], test_words.total() / len(test_texts)), (0, -20), textcoords="offset points",
              fontsize=13, color=wb.GREY)
left.set(xscale="log", xlabel="vocabulary size V", ylabel="tokens per sentence", ylim=(0, 1.15 * per_text[0]),
         title="The first thousand tokens save most")
left.set_xticks(sizes, [f"{V:,}" for V in sizes], rotation=45)
left.minorticks_off()
for x, y, n in list(zip(sizes, per_text, met_times))[::2]:
    left.annotate(f"met {n:,.0f} times", (x, y), (8, 9), textcoords="offset points", fontsize=12, color=wb.ORANGE)
shown = "unhashable"
for row, vocabulary in enumerate(vocabularies.values()):
    at = 0
    for piece in wordpiece.split(shown, vocabulary):
        width = len(piece.removeprefix("##"))
        right.barh(-row, width - 0.12, left=at + 0.06, height=0.72, color=wb.SKY if width > 1 else "#D9D9D9")
        right.text(at + width / 2, -row, piece.removeprefix("##"), ha="center", va="center", fontsize=14)
        at += width
right.set(yticks=[-row for row in range(len(vocabularies))], yticklabels=[f"V = {size:,}" for size in vocabularies], xticks=[],
          title=f'The pieces of "{shown}" grow together')
right.spines[["left", "bottom"]].set_visible(False)
right.tick_params(length=0)
wb.save(made, "02_vocabulary_size")

# %% [markdown]
# Left: the curve flattens; orange is how often the median token is met in training. Right: one word, cut by each vocabulary.
# Grey pieces are single characters.
#
# Does a larger vocabulary cut every word into fewer pieces? On average, yes. For a single word, not always: the cutting is
# greedy, and a new long piece can spoil what follows it.

# %%
a, b = sizes[1], sizes[2]
worse = [word for word in test_words
         if len(wordpiece.split(word, vocabularies[b])) > len(wordpiece.split(word, vocabularies[a]))]
print(f"from V = {a:,} to {b:,}, {len(worse):,} of {len(test_words):,} words get more pieces, such as {', '.join(worse[:4])}")
assert wb.QUICK or 0 < len(worse) < len(test_words) / 5, "expected: a few words are cut worse by the larger vocabulary"

# %% [markdown]
# ## Check
#
# Later lessons check derivatives here. This one has none. An id is a name: there is no "a little more" of token 17. (Numbers that
# can be changed a little begin in lesson 5.) What can be checked is that nothing gets lost on the way. Three promises:
#
# 1. The pieces of a word, put together, are the word.
# 2. Each token knows which characters of the raw text it came from (its offsets), and these, normalised, are the token.
# 3. Text made of ids, and cut again, gives the same ids.

# %%
for word, pieces in cut.items():
    assert pieces == ["[UNK]"] or pieces[0] + "".join(piece[2:] for piece in pieces[1:]) == word, f"promise 1 fails for {word}"
tokenizer, checked = bert.tokenizer, 0
for text in sample[:wb.choose(3000, 300)]:
    encoding = tokenizer.encode(text, max_length=1000)
    for token, (start, end), added in zip(encoding.tokens, encoding.offsets, encoding.special_tokens_mask):
        if not added and token != "[UNK]":
            assert "".join(normalizer.words(text[start:end])) == token.removeprefix("##"), f"promise 2 fails in {text!r}"
            checked += 1
    ids = tokenizer.ids(text)
    assert tokenizer.vocab.unk_id in ids or tokenizer.ids(tokenizer.decode(ids)) == ids, f"promise 3 fails in {text!r}"
raw_text = "The Café isn't open."
print(f"{len(cut):,} words and the places of {checked:,} tokens: all right")
print(f"{raw_text!r} -> {tokenizer.decode(tokenizer.ids(raw_text))!r}: what normalisation took away does not come back")
assert tokenizer.decode(tokenizer.ids(raw_text)) == "the cafe isn't open.", "capital and accent are gone"

# %% [markdown]
# ## One knob to turn
#
# Change V, and look at the sentence. At 200 most pieces are one or two characters. At 1,000 endings such as `##ation` are there.
# At 8,000 nearly every word is whole. And what if V has no room for all the characters, as at 40? Then the rare ones are left
# out, and every word with one of them turns into `[UNK]`.

# %%
V = 1000  # <- the knob

# %%
knob_text = "Documentation strings describe unhashable dictionaries."
print("    your V:", " ".join(Tokenizer(learn.learn(texts, V)).tokenize(knob_text)))
for size in (40, 200, 8000):
    others = Tokenizer(learn.learn(texts, size)).tokenize(knob_text)
    print(f"{size:>10,}: {' '.join(others)}")
    assert (size == 40) == ("[UNK]" in others), "words are unknown only where the characters do not fit"

# %% [markdown]
# ## Exercises
#
# A number and four functions. The fourth beats the greedy rule; the fifth trains with the other score. The command prints a line
# for each, such as `1. tokens_of_title: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **Everything is `[UNK]`.** The text was not lower-cased but the vocabulary is, or the text is in another script. Print the
#   words after normalisation, and look for their first characters in the vocabulary.
# - **A word is `[UNK]`, although its beginning is in the vocabulary.** One later piece is missing. The rule is all or nothing.
# - **My loop finds `able` inside a word.** Inside a word only pieces with `##` count.
# - **My accents stay.** Decompose first (NFD). As long as `é` is one character there is no mark to drop. Drop category `Mn` only:
#   if you drop all that is not ASCII, Chinese is gone too.
# - **My merges differ from the library's.** Look at equal counts: the library takes the pair that is first in the alphabet. And
#   count a pair once for every time the *word* occurs, not once per distinct word.
# - **My vocabulary is smaller than I asked for.** Pairs that occur once are not merged (`min_frequency=2`). Give more text.
# - **The counts here are not those of my neighbour.** The corpus is the documentation of *your* Python. Versions differ a little.

# %%
wb.exercises(2)
