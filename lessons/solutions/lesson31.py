"""Answers to lesson 31."""

from collections import Counter

import numpy as np


def majority_share(train_labels, test_labels):
    return (test_labels == np.bincount(train_labels).argmax()).mean()


def list_of_words(train_words, train_labels, test_words):
    often = Counter(train_labels).most_common(1)[0][0]
    seen = {}
    for word, label in zip(train_words, train_labels):
        seen.setdefault(word, Counter())[label] += 1
    return [seen[word].most_common(1)[0][0] if word in seen else often for word in test_words]


def lots_for_words(words, labels, seed):
    rng, lots = np.random.default_rng(seed), {}
    for word in words:
        if word not in lots:
            lots[word] = rng.choice(labels)
    return np.array([lots[word] for word in words])


def probe_gradients(x, labels, weight, bias):
    logits = x @ weight.T + bias
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    dlogits = (e / e.sum(axis=1, keepdims=True) - np.eye(len(bias))[labels]) / len(x)
    return dlogits.T @ x, dlogits.sum(axis=0)


def split_by_sentence(sentences, share, seed):
    texts = sorted(set(sentences))
    chosen = set(np.random.default_rng(seed).permutation(texts)[:round(share * len(texts))])
    return np.array([text in chosen for text in sentences])
