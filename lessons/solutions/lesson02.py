"""Answers to lesson 2."""

import unicodedata
from collections import Counter
from itertools import pairwise

import minibert

tokens_of_title = len(minibert.load().tokenizer.tokenize("Bidirectional Encoder Representations from Transformers"))


def strip_accents(text):
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def split_punctuation(text):
    spaced = ""
    for char in text:
        sign = unicodedata.category(char)[0] == "P" or (char.isascii() and not char.isalnum() and not char.isspace())
        spaced += f" {char} " if sign else char
    return spaced.split()


def fewest_pieces(word, vocabulary):
    best = [[]] + [None] * len(word)  # the shortest cut of the first n characters
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary and best[start] is not None and (best[end] is None or len(best[start]) + 1 < len(best[end])):
                best[end] = [*best[start], piece]
    return best[-1] or ["[UNK]"]


def likeliest_pair(words, counts):
    pieces, pairs = Counter(), Counter()
    for word, count in zip(words, counts):
        for piece in word:
            pieces[piece] += count
        for pair in pairwise(word):
            pairs[pair] += count
    return max(pairs, key=lambda pair: pairs[pair] / (pieces[pair[0]] * pieces[pair[1]]))
