"""Candidates of questions: groups of any size, one right one in each."""

import numpy as np
import pytest

from minibert.finetuning.options import Settings
from minibert.tasks.labelled import rank
from minibert.tasks.labelled.features import Feature, micro_batches

SETTINGS = Settings(task="rank")


@pytest.fixture
def read(tmp_path):
    def of(text, labelled=True):
        path = tmp_path / "rank.tsv"
        path.write_text("question\tsentence\tlabel\n" + text, encoding="utf-8")
        return rank.read(path, SETTINGS, labelled).examples
    return of


def test_rows_of_a_question_are_a_group_wherever_they_stand(read):
    found = read("p\tx\tnot_entailment\nq\tx\tentailment\np\ty\tentailment\nq\ty\tnot_entailment\np\tz\tnot_entailment\n")
    assert [(e.text, e.choices, e.label) for e in found] == [("p", ["x", "y", "z"], 1), ("q", ["x", "y"], 0)]
    assert found[1].where.endswith("line 3")


@pytest.mark.parametrize(("text", "message"), [
    ("p\tx\t0\np\ty\t0\nq\tx\t1\nq\ty\t0\n", "line 2: none of the 2 candidates of 'p' are right, and one must be"),
    ("p\tx\t1\np\ty\t1\nq\tx\t1\nq\ty\t0\n", "line 2: 2 of the 2 candidates of 'p' are right, and one must be"),
    ("p\tx\t1\nq\tx\t1\nq\ty\t0\n", "line 2: the question 'p' has one candidate, so there is nothing to rank")])
def test_a_group_must_have_one_right_candidate_of_several(read, text, message):
    with pytest.raises(ValueError, match=message):
        read(text)


def test_a_file_to_guess_for_needs_no_right_one(read):
    assert [e.label for e in read("p\tx\t0\np\ty\t0\nq\tx\t1\nq\ty\t0\n", labelled=None)] == [None, 0]


def test_pairs_are_needed(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\nx\t1\ny\t0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected a question and a candidate in each row"):
        rank.read(tmp_path / "a.tsv", SETTINGS)


def test_groups_of_several_sizes_are_cut_apart_and_keep_their_places():
    rng = np.random.default_rng(0)
    sizes = [2, 3, 2, 5, 3, 2]
    features = [Feature(tuple(rng.integers(5, 9, n + i) for i in range(n)), (1,) * n, np.array(0), j)
                for j, n in enumerate(sizes)]
    batches = micro_batches(features, 20)
    assert sorted(place for batch in batches for place in batch.places) == list(range(len(sizes)))
    for batch in batches:
        assert {sizes[place] for place in batch.places} == {batch.choices}
        assert len(batch.ids) == len(batch.places) * batch.choices


def test_known_ranks():
    examples = [rank.Example("q", ["x", "y", "z"], label, "") for label in (0, 1, 2)]
    logits = [np.array([3.0, 2, 1])] * 3
    guesses = rank.guess(logits, [], examples, ["right"], SETTINGS)
    assert guesses[0].order == (0, 1, 2)
    assert rank.score(examples, guesses, ["right"]) == {"accuracy": pytest.approx(1 / 3),
                                                        "mrr": pytest.approx((1 + 1 / 2 + 1 / 3) / 3)}
