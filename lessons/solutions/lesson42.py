"""Answers to lesson 42."""


def tree_sum(lanes):
    if len(lanes) == 1:
        return lanes[0]
    left = 1
    while 2 * left < len(lanes):
        left *= 2
    return tree_sum(lanes[:left]) + tree_sum(lanes[left:])


def bytes_sent(numbers, ranks):
    return 2 * 4 * numbers * (ranks - 1) / ranks


def who_owns_what(numbers, ranks, piece):
    pieces = -(-numbers // piece)
    ends = [min(numbers, piece * (pieces * rank // ranks)) for rank in range(ranks + 1)]
    return [(ends[rank], ends[rank + 1]) for rank in range(ranks)]


def worth_it(computing, network):
    # network·(r-1)/r > computing/r, so r > computing/network + 1
    ranks = int(computing / network + 1) + 1
    return max(2, ranks) if ranks <= 10_000 else None
