"""Answers to lesson 27."""

import numpy as np


def posterior_of(sentences, seen):
    place, found = seen.index("[MASK]"), {}
    for words, share in sentences:
        if words[:place] == seen[:place] and words[place + 1:] == seen[place + 1:]:
            found[words[place]] = found.get(words[place], 0) + share
    total = sum(found.values())
    return {word: share / total for word, share in found.items()}


def best_loss_of(sentences, place):
    loss = 0.0
    for words, share in sentences:
        fit = [(other, weight) for other, weight in sentences
               if other[:place] == words[:place] and other[place + 1:] == words[place + 1:]]
        same = sum(weight for other, weight in fit if other[place] == words[place])
        loss -= share * np.log(same / sum(weight for _, weight in fit))
    return loss


def kl_of_rows(p, log_q):
    possible = p > 0
    terms = np.zeros_like(p)
    terms[possible] = p[possible] * (np.log(p[possible]) - log_q[possible])
    return terms.sum(1)


def paired_gap(model, best):
    gap = model - best
    return gap.mean(), gap.std() / len(gap) ** 0.5


def share_of_each(labels, values):
    labels = np.array(labels)
    return {label: values[labels == label].sum() / values.sum() for label in labels.tolist()}
