"""What smaller models are compared by: the same examples, pair by pair, and an interval that the known answer lies in."""

import numpy as np
import pytest

from benchmarks import compression


def test_the_difference_is_that_of_the_same_examples():
    one, other = {"0": "1100", "1": "1110"}, {"0": "1000", "1": "0110"}
    points, low, high = compression.difference(one, other)
    assert points == 25  # 5 of 8 against 3 of 8
    assert low <= points <= high
    assert compression.difference(one, one) == (0, 0, 0)
    with pytest.raises(ValueError, match="shorter"):
        compression.difference({"0": "11"}, {"0": "1"})


def test_the_interval_is_as_wide_as_a_mean_scatters():
    rng = np.random.default_rng(0)
    one, other = ({"0": "".join(map(str, rng.integers(0, 2, 900)))} for _ in "ab")
    _, low, high = compression.difference(one, other)
    each = np.subtract(*(np.array(list(bits["0"]), int) for bits in (one, other)))
    assert np.isclose(high - low, 2 * 1.96 * 100 * each.std() / 30, rtol=0.05)


def test_the_first_sentence_of_a_paragraph_stands_before_a_later_one_or_swapped(tmp_path):
    text = tmp_path / "text.txt"
    paragraphs = [" ".join(f"Number {n} stands here for {i} ." for n in range(6)) for i in range(40)]
    long = " ".join(["word"] * 40)
    text.write_text("\n\n".join([" = Heading = ", f"Too short . Number 9 is {long} .", *paragraphs]), encoding="utf-8")
    place = compression.ordered(text, tmp_path / "pairs")
    rows = [line.split("\t") for name, _ in compression.SPLITS
            for line in (place / f"{name}.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 40 * 5
    for i, row in enumerate(rows):
        (n, one), (m, other) = ([int(sentence.split()[k]) for k in (1, 5)] for sentence in row[:2])
        assert one == other == i // 5
        assert {n, m} == {0, i % 5 + 1}
        assert (n < m) == (row[2] == "ordered")
    assert 60 < sum(row[2] == "ordered" for row in rows) < 140
    again = compression.ordered(text, tmp_path / "again")
    assert (again / "train.tsv").read_bytes() == (place / "train.tsv").read_bytes()
