"""The analyses of heads and attention in the frame: on the generated language, and what they conclude from planted results."""

import json
from dataclasses import replace

import numpy as np
import pytest

from minibert.analysis import (
    analyses,
    attention_probe,
    dependencies,
    gates,
    looking,
    neurons,
    patterns,
    pruning,
    relations,
    specialised,
    subject,
)
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from tests import world_model

NAMES = ("dependencies", "looking", "relations", "attention-probe", "pruning", "replaced", "patterns", "specialised", "gates",
         "neurons")


@pytest.fixture(scope="module")
def found():
    whole = subject.of(world_model.make(), quick=True)
    return replace(whole, sentences=whole.sentences[:80])


@pytest.mark.parametrize("name", NAMES)
def test_an_analysis_of_the_world(found, name):
    run = analyses.run(name, found)
    assert run.verdict in (AGREES, CONTRADICTS, CANNOT)
    assert json.loads(json.dumps(run.json(), allow_nan=False))["sentences"] == 80
    assert all(isinstance(line, Line) and f"{line.name}  " in f"{run}  " for line in run.lines)
    assert run.figure().axes


def test_pruning_agrees_where_the_order_is_best():
    heads, curve = np.arange(12.0).reshape(3, 4), np.array([2.0, 2.05, 2.5, 4.0])
    result = pruning.Pruning(heads, np.array([0, 2, 6, 12]), curve, curve, "batch", np.array([[2, 2.4, 3, 4], [2, 2.2, 2.7, 4]]),
                             np.array([2, 3, 3.5, 4]), curve[:3], curve[:3], 0.1, 100)
    assert pruning.verdict(result) == AGREES
    assert pruning.verdict(result._replace(error=0.6)) == CONTRADICTS
    assert pruning.verdict(result._replace(random=np.array([[2, 2, 2.4, 4]]))) == CONTRADICTS
    assert pruning.verdict(result._replace(ordered=curve + np.array([0, 0.5, 0, 0]))) == CONTRADICTS
    assert pruning.verdict(result._replace(importance=heads[:2])) == CANNOT


def test_patterns_agree_where_the_chosen_head_helps_elsewhere():
    result = patterns.Patterns(np.ones((1, 2, 5)) / 5, np.zeros((1, 2)), np.zeros(1), (0, 1), 0.3, 0.1, 2.0, 100)
    assert patterns.verdict(result) == AGREES
    assert patterns.verdict(result._replace(gain=-0.3)) == CONTRADICTS
    assert patterns.verdict(result._replace(error=0.2)) == patterns.verdict(result._replace(gain=-0.3, error=0.2)) == CANNOT
    assert patterns.verdict(result._replace(texts=49)) == patterns.verdict(result._replace(gain=-0.3, texts=49)) == CANNOT


def test_dependencies_agree_where_the_middle_is_most_aligned():
    rows = np.array([[0.1, 0.2], [0.4, 0.3], [0.2, 0.2]])
    result = dependencies.Dependencies(rows, rows, rows, rows, rows, 0.3, 0.5, 10)
    assert dependencies.verdict(result) == AGREES
    assert dependencies.verdict(result._replace(even=0.4)) == CONTRADICTS
    assert dependencies.verdict(result._replace(random=result)) == CONTRADICTS
    assert dependencies.verdict(result._replace(alignment=rows[::2])) == CANNOT
    assert dependencies.verdict(result._replace(alignment=rows[[1, 0, 2]])) == CONTRADICTS


def test_relations_agree_where_a_head_is_far_above_its_offset():
    zeros = np.zeros((2, 1, 1, 2))
    result = relations.Relations(["det", "obj"], [200, 200], zeros, np.zeros(2), [("up", 0, 0)] * 2, np.array([0.5, 0.9]),
                                 np.array([0.5, 0.6]), [1, 1], zeros[..., 0], 0.3, 10)
    assert relations.verdict(result) == AGREES
    assert relations.verdict(result._replace(counts=[20, 20])) == CANNOT
    low = result._replace(accuracy=np.array([0.55, 0.65]))
    assert [relations.verdict(low._replace(counts=[n, n])) for n in (200, 20_000)] == [CANNOT, CONTRADICTS]
    assert relations.verdict(low._replace(counts=[20_000, 200])) == CANNOT  # one relation may still be found
    assert relations.verdict(result._replace(random=np.array([0.9, 0.5]))) == AGREES
    low = result._replace(random=np.array([0.9, 0.85]))
    assert [relations.verdict(low._replace(counts=[n, n])) for n in (200, 20_000)] == [CANNOT, CONTRADICTS]


def test_looking_needs_layers_that_differ():
    square = np.zeros((3, 4))
    result = looking.Looking(np.zeros((3, 4, 6)), square, square, np.zeros((12, 12)), 0.8, 0.01, square, square + 1, 10)
    assert looking.verdict(result) == AGREES
    assert looking.verdict(result._replace(slopes=None, other_slopes=None)) == AGREES
    assert looking.verdict(result._replace(chance=0.2)) == CONTRADICTS
    assert looking.verdict(result._replace(slopes=square + 2)) == CONTRADICTS
    assert looking.verdict(result._replace(near=np.nan)) == CANNOT


def test_the_probe_must_be_above_both_controls():
    result = attention_probe.Probed(0.6, 0.8, 0.6, 0.3, np.zeros((2, 1, 2)), 1000)
    assert attention_probe.verdict(result) == AGREES
    assert attention_probe.verdict(result._replace(tested=10)) == CANNOT
    for low in (result._replace(offset=0.55), result._replace(words=0.57)):
        assert [attention_probe.verdict(low._replace(tested=n)) for n in (1000, 10_000)] == [CANNOT, CONTRADICTS]


def test_specialised_heads_must_be_few_and_heard():
    positional = np.array([[0.95, 0.2, 0.2, 0.2, 0.2], [0.2, 0.2, 0.92, 0.2, 0.2]])
    heard = positional / positional.sum(1, keepdims=True)
    zeros = np.zeros((2, 5))
    result = specialised.Specialised(zeros, positional, zeros, zeros, [["det"] * 5] * 2, zeros, 0.2, heard)
    assert specialised.verdict(result) == AGREES
    assert specialised.verdict(result._replace(relevance=1 - heard)) == CONTRADICTS
    assert specialised.verdict(result._replace(rare=zeros + 1)) == CANNOT
    assert specialised.verdict(result._replace(relevance=None)) == CANNOT


def test_gates_must_lose_less_than_chance():
    opened = np.array([np.ones((2, 5)), np.eye(2, 5)])
    result = gates.Gates([0.01, 0.1], opened, np.array([2.0, 2.1]), np.array([2, 2.2]), np.array([2, 2.5]), 2.0, 4.0, 100)
    assert gates.verdict(result) == AGREES
    assert gates.verdict(result._replace(loss=np.array([2.0, 2.3]))) == CONTRADICTS
    assert gates.verdict(result._replace(random=np.array([2, 2.05]))) == CONTRADICTS
    assert gates.verdict(result._replace(open=opened[:, :, :2])) == CANNOT


def test_neurons_must_add_up():
    result = neurons.Multiscale(1e-7, 1e-7, 0.3, 0.4, 0.1, 10, None)
    assert neurons.verdict(result) == AGREES
    assert neurons.verdict(result._replace(softmax=1e-3)) == CONTRADICTS
