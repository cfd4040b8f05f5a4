"""Exercises of lesson 1, the whole in one go."""

import numpy as np

import minibert
from lessons.check import Wrong, close, exercise, expect
from minibert.layers import softmax


@exercise(look="Numbers become vectors", level="easy")
def word_table_size(answer):
    """How many parameters does the bundled model's table of words have? A whole number."""
    right = minibert.load().parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
    expect(not np.shape(answer), "expected one number")
    expect(answer != sum(right.shape), "a table of so many rows and columns holds their product, not their sum")
    expect(answer == right.size, f"got {answer}: count rows (one per token) and columns (numbers per token)")


@exercise("(B, T)", look="Through the layers", level="easy")
def attention_numbers(answer):
    """A batch of B sentences with T tokens each goes through the bundled model.

    How many numbers does "who looks at whom" hold, in all layers together?
    """
    bert = minibert.load()
    for B, T in [(1, 12), (3, 7)]:
        texts = [" ".join(["a"] * (T - 2))] * B
        right = sum(x.size for x in bert(texts, attentions=True).attentions)
        got = answer(B, T)
        if got is not None and np.size(got) == 1 and right % max(int(got), 1) == 0 and 1 < right // max(int(got), 1) <= 4:
            raise Wrong(f"B = {B}, T = {T}: {got} is {right // int(got)} times too small: every layer has one, and every head")
        expect(got == right, f"B = {B}, T = {T}: got {got}; each token looks at each token, in each head of each layer")


@exercise("(ids, types, word, position, kind)", look="Numbers become vectors", level="medium")
def vectors(answer):
    """The sum of the three rows for every token, before its size is changed.

    ids, types: (B, T); word (V, H), kind (2, H), position: T rows of H numbers or more -> (B, T, H)
    """
    rng = np.random.default_rng(1)
    B, T, V, H = 2, 3, 11, 4
    word, position, kind = (rng.standard_normal((n, H)) for n in (V, 5, 2))
    ids, types = rng.integers(0, V, (B, T)), np.array([[0, 0, 1], [0, 1, 1]])
    got = answer(ids, types, word, position, kind)
    expect(np.shape(got) == (B, T, H), f"expected the shape (B, T, H) = {(B, T, H)}, got {np.shape(got)}")
    left = got - word[ids]
    expect(not np.allclose(left, position[:T]), "the row of the text (types) is missing")
    expect(not np.allclose(left, kind[types]), "the row of the place (0, 1, 2, … T - 1) is missing")
    close(left - kind[types], np.stack([position[:T]] * B), "what is left when the rows of words and texts are taken away")


@exercise("(logits, tokens, top)", look="From a vector to a guess", level="medium")
def best_guesses(answer):
    """The likeliest tokens with their probabilities, best first: [(token, probability), …], ``top`` of them.

    logits: (V,); tokens: V strings
    """
    rng = np.random.default_rng(2)
    for scale, what in [(3.0, "ordinary logits"), (900.0, "logits around ±1000, which overflow exp")]:
        logits = rng.standard_normal(9) * scale
        tokens = [f"w{v}" for v in range(9)]
        with np.errstate(over="ignore", invalid="ignore"):
            got = answer(logits.copy(), tokens, 4)
        expect(isinstance(got, list | tuple) and len(got) == 4, f"expected a list of 4 pairs, got {got!r}")
        expect(all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in got), f"expected pairs, got {got[0]!r}")
        shares = softmax.forward(logits)[0]
        names = [name for name, _ in got]
        expect(all(name in tokens for name in names), f"expected tokens first in each pair, got {names}")
        theirs = shares[[tokens.index(name) for name in names]]
        expect(not np.array_equal(theirs, np.sort(shares)[:4]), "these are the worst, not the best")
        close([share for _, share in got], theirs, f"probabilities, {what}")
        right = sorted(shares, reverse=True)[:4]
        close([share for _, share in got], right, f"the order, {what}")
