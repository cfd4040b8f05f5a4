"""Answers to lesson 2."""

import unicodedata
from collections import Counter
from itertools import pairwise


def strip_accents(text):
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def split_punctuation(text):
    spaced = ""
    for char in text:
        sign = unicodedata.category(char)[0] == "P" or (char.isascii() and not char.isalnum() and not char.isspace())
        spaced += f" {char} " if sign else char
    return spaced.split()


def split_word(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start and ("##" if start else "") + word[start:end] not in vocabulary:
            end -= 1
        if end == start:
            return ["[UNK]"]
        pieces.append(("##" if start else "") + word[start:end])
        start = end
    return pieces


def best_pair(words, counts):
    pairs = Counter()
    for pieces, count in zip(words, counts):
        for pair in pairwise(pieces):
            pairs[pair] += count
    most = max(pairs.values())
    return min(pair for pair, count in pairs.items() if count == most)


def merge(pieces, left, right):
    out, i = [], 0
    while i < len(pieces):
        if pieces[i:i + 2] == [left, right]:
            out.append(left + right.removeprefix("##"))
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out
