"""The table of whole numbers."""

import numpy as np
import pytest

from minibert.text.hashing import Table


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 5000])
def test_what_is_there_is_found_and_nothing_else(size):
    numbers = np.random.default_rng(size).permutation(np.arange(3 * size + 10, dtype=np.int64)) << 40 | 7
    keys, others = numbers[:size], numbers[size:]
    table = Table(keys)
    assert (table.find(keys) == np.arange(size)).all()
    assert (table.find(others) == -1).all()
    assert len(table.find(keys[:0])) == 0


def test_keys_that_want_the_same_slot_all_have_one():
    many = np.arange(1 << 16, dtype=np.int64)
    slots = Table(np.arange(30, dtype=np.int64))._slots(many)
    same = many[slots == slots.max()]  # the last slot, and on from the first
    table = Table(same[:30])
    assert (table.find(same[:30]) == np.arange(30)).all()
    assert (table.find(same[30:]) == -1).all()
