"""Several ranks end in the bytes of one: weights, moments and what is measured, whoever carries the lanes."""

import numpy as np
import pytest

from minibert.model import pretraining
from minibert.parameters import Parameters
from minibert.ranks import ALONE
from minibert.ranks.threads import together
from minibert.tasks.batches import micro_batches
from minibert.training import adversarial, lanes
from minibert.training import engine as engine_module
from minibert.training.adamw import pieces, within
from minibert.training.course import Course
from minibert.training.engine import Engine
from minibert.training.optimisers import OPTIMISERS
from minibert.workers import Workers
from tests import device
from tests.model.examples import distance, random_parameters, small_config
from tests.training.examples import masked_examples

STEPS = 4
LENGTHS = (16, 5, 9, 12, 7, 11, 8)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """So that every rank owns some, and a strip goes in several parts."""
    monkeypatch.setattr(engine_module, "PIECE", 500)
    monkeypatch.setattr(engine_module, "SENT", 2)


def begun(ranks, threads, xp=np, **options):
    """An engine whose workers are closed: they need no threads of their own to be as many."""
    config = small_config()  # with dropout
    parameters = random_parameters(config, dtype=np.float32).to(xp)
    engine = Engine(pretraining.of(config), Parameters(parameters.layout, parameters.flat.copy()), Workers(threads, threads),
                    **{"lanes": 4, "clip_norm": 0.5, "optimiser": OPTIMISERS["adamw"], "ranks": ranks, **options})
    assert engine.workers.count == threads
    return engine


def step(engine, number):
    """Every other step reads texts without pairs, so that their head rests."""
    examples = masked_examples(engine.config, LENGTHS, number, pairs=number % 2 == 0)
    return engine.train(micro_batches(examples, 20), 0.01)


def trained(ranks, threads=1, **options):
    """Bytes and figures of a run."""
    engine = begun(ranks, threads, **options)
    figures = []
    for number in range(STEPS):
        metrics, norm = step(engine, number)
        figures.append((metrics.loss, tuple(metrics.losses.items()), tuple(metrics.correct.items()), norm))
    looked = engine.evaluate(micro_batches(masked_examples(engine.config, LENGTHS, 99), 20))
    whole = engine.whole()
    kept = [slab.flat.tobytes() for slab in whole.values()]
    return engine.parameters.flat.tobytes(), kept if engine.ranks.first else None, figures, (looked.loss, looked.mlm_accuracy)


OPTIONS = {
    "adamw": {},
    "ema": {"ema": 0.9},
    "frozen": {"freeze": 1, "layer_decay": 0.5},
    "unclipped": {"clip_norm": None},
    **{name: {"optimiser": OPTIMISERS[name]} for name in ("lamb", "lamb-nvidia-tf")},
    "fgm": {"adversary": adversarial.of(Course(adversarial="fgm"), None)},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_one_two_and_four_ranks_of_one_and_two_threads_end_in_the_same_bytes(name):
    expected = trained(ALONE, 2, **OPTIONS[name])
    for size, threads in ((2, 1), (2, 2), (4, 1), (4, 2)) if name == "adamw" else ((4, 1),):
        for rank, found in enumerate(together(size, lambda ranks, threads=threads: trained(ranks, threads, **OPTIONS[name]))):
            assert found[0] == expected[0], f"{size} ranks of {threads}, rank {rank}"
            assert found[1] == (None if rank else expected[1])
            assert found[2:] == expected[2:]


def test_moments_are_kept_by_their_owner_alone_and_a_run_goes_on_with_other_ranks():
    expected = trained(ALONE)
    for before, after in ((1, 4), (2, 1), (4, 2)):
        half = together(before, trained_half)[0]
        assert together(after, lambda ranks, half=half: trained_on(ranks, half))[0] == expected[:2]
    sizes = together(4, lambda ranks: begun(ranks, 1).kept["m"].flat.size)
    assert sum(sizes) == len(random_parameters(small_config()))
    assert max(sizes) - min(sizes) <= 500


def trained_half(ranks):
    engine = begun(ranks, 1)
    for number in range(STEPS // 2):
        step(engine, number)
    whole = engine.whole()
    return engine.parameters.flat.copy(), {name: slab.flat.copy() for name, slab in whole.items()}


def trained_on(ranks, before):
    engine = begun(ranks, 1)
    engine.parameters.flat[...] = before[0]
    engine.keep({name: Parameters(engine.parameters.layout, flat.copy()) for name, flat in before[1].items()})
    engine.resume(STEPS // 2)
    for number in range(STEPS // 2, STEPS):
        step(engine, number)
    whole = engine.whole()
    return engine.parameters.flat.tobytes(), [slab.flat.tobytes() for slab in whole.values()]


def test_a_step_that_is_not_finite_ends_all_ranks_at_the_same_one():
    def work(ranks):
        engine = begun(ranks, 1)
        step(engine, 0)
        if ranks.rank == 1:
            engine.gradients[0].flat[7] = np.inf
        with pytest.raises(FloatingPointError, match="^step 2: the loss is"):
            step(engine, 1)
        assert not any(slab.flat.any() for slab in engine.gradients)
        return engine.parameters.flat.tobytes()

    assert len({*together(2, work)}) == 1


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_ranks_that_each_have_a_device_take_the_same_steps(name):
    def work(ranks, lanes=2):
        engine = begun(ranks, 1, device.xp, lanes=lanes, optimiser=OPTIMISERS[name]._replace(epsilon=1e-3))
        for number in range(2):
            step(engine, number)
        return engine.parameters.flat.get()

    expected = work(ALONE)
    first, second = together(2, work)
    np.testing.assert_array_equal(first, second)
    assert distance(first, expected) < 1e-6  # the squares of the norm are added in another order


def test_lanes_that_ranks_cannot_share_are_refused():
    for count, ranks, shares in ((4, 2, [2, 2]), (6, 3, [2, 2, 2]), (3, 3, [1, 1, 1]), (12, 3, [4, 4, 4]), (5, 1, [5])):
        assert [len(part) for part in lanes.parts(lanes.of_ranks(count, ranks))] == shares
    for count, ranks in ((3, 2), (6, 2), (2, 4), (1, 2)):
        with pytest.raises(ValueError, match=f"{ranks} ranks cannot share {count} lanes"):
            lanes.of_ranks(count, ranks)


@pytest.mark.parametrize("size", [1, 7, 1000, 1001])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_number_has_one_owner_and_no_piece_has_two(size, ranks):
    found = lanes.strips(size, ranks, 100)
    assert [number for strip in found for number in strip] == list(range(size))
    assert max(map(len, found)) <= -(-size // 100 // ranks) * 100 + 100
    run = engine_module.adamw.Run(3, size, True)
    for piece in pieces([run] * (size > 3), 100):
        assert sum(piece.start in strip and piece.stop - 1 in strip for strip in found) == 1
        assert [len(within([piece], strip)) for strip in found].count(1) == 1
