"""Every analysis runs on a model that is no plain BERT: shared layers, narrow tables, positions that begin at two."""

from dataclasses import replace

import pytest

from minibert.analysis import analyses, subject
from tests import world_model

SHAPE = {"embedding_size": 8, "layer_map": (0, 0), "position_offset": 2}  # ALBERT's body, and RoBERTa's positions
SLOW = {"choices", "polarity", "disco", "tensor-products"}  # left out: their quick form trains for most of a minute or more
MANY = {"agreement", "hierarchy", "identifiability", "information", "probing-tasks", "senses", "spans", "structural"}  # sentences


@pytest.fixture(scope="module")
def some():
    return subject.of(world_model.make(**SHAPE), quick=True, other=world_model.make(1, **SHAPE))


@pytest.mark.parametrize("name", [name for name in analyses.NAMES if name not in SLOW])
def test_an_analysis_of_a_relative(some, name):
    found = analyses.run(name, some if name in MANY else replace(some, sentences=some.sentences[:60]))
    assert found.verdict in (analyses.AGREES, analyses.CONTRADICTS, analyses.CANNOT)
    assert found.lines


def test_what_is_left_out_is_in_the_table():
    assert SLOW | MANY < set(analyses.NAMES)
