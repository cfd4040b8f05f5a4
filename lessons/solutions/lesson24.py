"""Answers to lesson 24."""

from itertools import pairwise
from math import exp


def tokens_of_bytes(text):
    return len(text.encode("utf-8"))


def join_in_order(symbols, joins):
    pieces = list(symbols)
    while possible := [pair for pair in pairwise(pieces) if pair in joins]:
        first, out = min(possible, key=joins.index), []
        for piece in pieces:
            if out and (out[-1], piece) == first:
                out[-1] += piece
            else:
                out.append(piece)
        pieces = out
    return pieces


def number_of_ways(word, pieces):
    ways = [1]
    for end in range(1, len(word) + 1):
        ways.append(sum(ways[start] for start in range(end) if word[start:end] in pieces))
    return ways[-1]


def likeliest_pieces(word, scores):
    best = [(0.0, [])]
    for end in range(1, len(word) + 1):
        best.append(max((best[start][0] + scores[word[start:end]], [*best[start][1], word[start:end]])
                        for start in range(end) if word[start:end] in scores))
    return best[-1][1]


def expected_uses(word, scores):
    def ways(rest):
        if not rest:
            yield []
        for end in range(1, len(rest) + 1):
            if rest[:end] in scores:
                yield from ([rest[:end], *others] for others in ways(rest[end:]))

    weighted = [(way, exp(sum(scores[piece] for piece in way))) for way in ways(word)]
    whole = sum(weight for _, weight in weighted)
    return {piece: sum(way.count(piece) * weight for way, weight in weighted) / whole for piece in scores}
