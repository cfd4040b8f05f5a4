"""Answers to lesson 15."""

from minibert import memory
from minibert.config import BertConfig


def combine(parts):
    n = sum(count for _, _, count in parts)
    return sum(loss * count for loss, _, count in parts) / n, sum(gradient * (count / n) for _, gradient, count in parts)


def heaviest_load(weights, workers):
    loads = [0] * workers
    for weight in sorted(weights, reverse=True):
        loads[loads.index(min(loads))] += weight
    return max(loads)


def least_seconds(work, peak, bandwidth):
    return float(sum(max(operations / peak, moved / bandwidth) for operations, moved in work))


def sparse_backward(blocks, x, dy, every):
    starts = {}
    for i, (forward, _) in enumerate(blocks):
        if i % every == 0:
            starts[i] = x
        x, _ = forward(x)
        del _
    for i in sorted(starts, reverse=True):
        stretch = blocks[i:i + every]
        caches, x = [], starts[i]
        for forward, _ in stretch:
            x, cache = forward(x)
            caches.append(cache)
        del cache
        for _, backward in reversed(stretch):
            dy = backward(dy, caches.pop())
    return dy


largest_batch = 0
while memory.total(memory.training(BertConfig.preset("base"), largest_batch + 1, 128)) <= 16 * 2**30:
    largest_batch += 1
