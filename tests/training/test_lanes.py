"""The order in which gradients are added hangs on the number of lanes, and on nothing else."""

import numpy as np
import pytest

from minibert.parameters import Layout, Parameters
from minibert.tasks.batches import micro_batches
from minibert.training import lanes
from tests.model.examples import random_parameters, small_config
from tests.training.examples import engine, masked_examples

LAYOUT = Layout({"w": (50,)})


def sums(count, carriers):
    """The sum of as many random slabs as there are lanes, carried by so many; and which lanes each of them had."""
    rng = np.random.default_rng(0)
    gradients = (10.0 ** rng.integers(-4, 5, (count, 50)) * rng.standard_normal((count, 50))).astype(np.float32)

    def gradient(lane, slab):
        slab.flat[...] += gradients[lane]
        return lane

    plan = lanes.plan(range(count), carriers)
    slabs = [[Parameters.zeros(LAYOUT) for _ in range(lanes.levels(part))] for part in lanes.parts(plan)]
    carried = [lanes.carry(part, its, gradient) for part, its in zip(lanes.parts(plan), slabs)]
    total = lanes.join(plan, (its[0].flat for its in slabs))
    assert total is slabs[0][0].flat
    assert sum(np.count_nonzero(slab.flat) for its in slabs for slab in its) == np.count_nonzero(total)  # the others are zero
    return total.tobytes(), carried


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 12])
def test_whoever_carries_them_the_sum_is_the_same_to_the_last_bit(count):
    expected, _ = sums(count, 1)
    for carriers in range(1, count + 2):
        total, carried = sums(count, carriers)
        assert total == expected
        assert [lane for part in carried for lane in part] == list(range(count))  # each once, in order
        assert len(carried) <= carriers
    assert len(carried) == count


def test_it_is_a_tree():
    assert lanes.halves(range(8)) == (range(4), range(4, 8))
    assert lanes.halves(range(5)) == (range(4), range(4, 5))
    assert lanes.plan(range(4), 2) == (range(2), range(2, 4))
    assert lanes.plan(range(3), 3) == ((range(1), range(1, 2)), range(2, 3))
    assert [lanes.levels(range(n)) for n in (1, 2, 4, 8)] == [1, 2, 3, 4]  # slabs, where one carries all


def test_both_sides_of_every_cut_have_about_as_much_to_do():
    assert lanes.deal([9, 9], 4) == [[0], [], [1], []]  # of two ranks, each has one
    assert lanes.deal([5, 5, 5], 3) == [[0], [2], [1]]
    assert lanes.deal([5, 9, 5, 1, 7, 5], 2) == [[1, 2, 3], [4, 0, 5]]  # two lanes: to that which has less
    assert lanes.deal([], 2) == [[], []]
    sizes = np.random.default_rng(0).integers(200, 513, 40).tolist()
    dealt = lanes.deal(sizes, 8)
    assert sorted(i for lane in dealt for i in lane) == list(range(40))
    for carriers in (1, 2, 4, 8):
        loads = [sum(sizes[i] for lane in part for i in dealt[lane]) for part in lanes.parts(lanes.plan(range(8), carriers))]
        assert max(loads) - min(loads) <= max(sizes)


def weights(threads, count, precision=np.float32):
    """The bytes of the weights and moments after five steps with dropout, clipping and AdamW."""
    config = small_config()
    with engine(config, threads, precision, random_parameters(config, dtype=precision), lanes=count, clip_norm=0.5) as e:
        figures = [(metrics.loss, norm) for metrics, norm in (
            e.train(micro_batches(masked_examples(config, seed=step), 30), 0.01) for step in range(5))]
        return b"".join(slab.flat.tobytes() for slab in (e.parameters, *e.kept.values())), figures


def test_five_steps_of_four_lanes_end_in_the_same_bytes_by_one_two_and_four_threads():
    expected, figures = weights(1, 4)
    for threads in (2, 4):
        assert weights(threads, 4) == (expected, figures)


def test_lanes_are_workers_unless_somebody_says_otherwise():
    for threads in (1, 2, 3):
        with engine(small_config(), threads) as e:
            assert e.lanes == len(e.gradients) == e.workers.count
    assert weights(2, None) == weights(1, 2)
