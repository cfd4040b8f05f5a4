"""Several ranks end in the bytes of one: weights, moments and what is measured, whoever carries the lanes."""

import threading

import numpy as np
import pytest

from minibert.model import pretraining
from minibert.parameters import Layout, Parameters
from minibert.ranks import ALONE
from minibert.ranks.threads import together
from minibert.tasks.batches import micro_batches
from minibert.training import adversarial, checkpoint, command, lanes
from minibert.training import engine as engine_module
from minibert.training.adamw import pieces, within
from minibert.training.course import Course
from minibert.training.engine import Engine
from minibert.training.loop import Loop
from minibert.training.optimisers import OPTIMISERS
from minibert.workers import Workers
from tests import device
from tests.model.examples import distance, random_parameters, small_config
from tests.training.conftest import SMALL, arguments
from tests.training.examples import masked_examples
from tests.training.runs import FINISHED, assert_same_run, names

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
    **{name: {"optimiser": OPTIMISERS[name]} for name in ("lamb", "lamb-nvidia-tf", "adafactor", "muon")},
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


def test_ranks_meet_three_times_in_a_step(monkeypatch):
    """Strips of the gradient, one message of figures and squares, and the weights."""
    monkeypatch.setattr(engine_module, "SENT", 1000)
    met = []

    def work(ranks):
        engine = begun(ranks, 1)
        for name in ("exchange", "share", "gather"):
            method = getattr(ranks, name)
            monkeypatch.setattr(ranks, name, lambda *a, name=name, method=method: (met.append((ranks.rank, name)), method(*a))[1])
        step(engine, 0)

    together(2, work)
    for rank in (0, 1):
        assert [name for who, name in met if who == rank] == ["exchange", "share", "gather"]


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
        with pytest.raises(FloatingPointError, match=r"^step 2: the loss is"):
            step(engine, 1)
        assert not any(slab.flat.any() for slab in engine.gradients)
        return engine.parameters.flat.tobytes()

    assert len({*together(2, work)}) == 1


@pytest.mark.parametrize("name", ["adamw", "lamb", "muon"])
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


def test_an_optimiser_that_keeps_no_number_for_each_weight_is_refused_on_devices(monkeypatch):
    monkeypatch.setattr(engine_module.optimisers, "kept_by", lambda *_: {"rows": Layout({"rows": (3,)})})
    begun(ALONE, 1)

    def work(ranks):
        with pytest.raises(ValueError, match="--optimiser adamw keeps what belongs to whole tensors"):
            begun(ranks, 1, device.xp)

    together(2, work)


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


RUN = [*SMALL, "--threads", 1, "--lanes", 4, "--accumulate", 2, "--vocab-size", 120, "--steps", 12]


def test_a_run_over_ranks_is_the_run_of_one_and_goes_on_with_other_ranks(tmp_path, corpus, capsys):
    """With dropout, accumulation, a stage without pairs, and clipping; stopped twice."""
    def run(ranks, folder, *argv):
        begin = ["--resume", tmp_path / folder] if not argv else ["--corpus", corpus, *RUN, "--out", tmp_path / folder, *argv[1:]]
        return command.run(arguments(*begin, *(["--threads", 1, "--device", "cpu"] if not argv else [])), ranks)

    assert run(ALONE, "one", "new") == 0
    assert together(4, lambda ranks: run(ranks, "four", "new")) == [0] * 4
    assert_same_run(tmp_path / "four", tmp_path / "one")
    assert names(tmp_path / "four") == FINISHED
    assert (tmp_path / "four" / "log.txt").read_text(encoding="utf-8").count("step  6") == 1
    assert "4 ranks, 4 of them here, by threads of one process" in capsys.readouterr().out

    def stopped(after):
        original = Loop._step

        class Stopping(Loop):
            def _step(self):
                original(self)
                if self.progress.step == after:
                    raise KeyboardInterrupt

        return Stopping

    with pytest.MonkeyPatch.context() as patched:  # each ends before its next look, so that the state of step 6 goes on
        for size, after in ((2, 8), (4, 11)):
            patched.setattr(command, "Loop", stopped(after))
            argv = ("new",) if after == 8 else ()
            with pytest.raises(KeyboardInterrupt):
                together(size, lambda ranks, argv=argv: run(ranks, "stopped", *argv))
    assert checkpoint.load(tmp_path / "stopped").progress.step == 6
    assert together(2, lambda ranks: run(ranks, "stopped")) == [0, 0]
    assert_same_run(tmp_path / "stopped", tmp_path / "one")


def test_an_interruption_that_one_rank_hears_of_stops_all_after_the_same_step(tmp_path, corpus, monkeypatch):
    heard = threading.local()
    monkeypatch.setattr("minibert.training.loop.interruptible", lambda: _hears(heard))
    original = Loop._step

    def stepped(self):
        original(self)
        heard.now = self.ranks.rank == 1 and self.progress.step == 7

    monkeypatch.setattr(Loop, "_step", stepped)
    argv = ("--corpus", corpus, *RUN, "--out", tmp_path / "run")
    assert together(2, lambda ranks: command.run(arguments(*argv), ranks)) == [130, 130]
    assert checkpoint.load(tmp_path / "run").progress.step == 7


class _hears:
    def __init__(self, heard):
        self.heard = heard

    def __enter__(self):
        return lambda: getattr(self.heard, "now", False)

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(("changed", "message"), [
    (("--seed", 1), "--seed is not there at rank 0 and 1 at rank 1; start all of them"),
    (("--batch-size", 1, "--accumulate", 1), "--batch-size is 4 at rank 0 and 1 at rank 1"),
], ids=["option", "batch"])
def test_ranks_that_were_told_otherwise_are_refused(tmp_path, corpus, changed, message):
    def work(ranks):
        with pytest.raises(ValueError, match=message):
            command.run(arguments("--corpus", corpus, *RUN, *(changed if ranks.rank else ()), "--out", tmp_path / "run"), ranks)

    together(2, work)
    assert not (tmp_path / "run").exists()


def test_ranks_that_read_other_texts_or_run_other_versions_are_refused(tmp_path, corpus, monkeypatch):
    def work(ranks, message):
        with pytest.raises(ValueError, match=message):
            command.run(arguments("--corpus", corpus, *RUN, "--out", tmp_path / "run"), ranks)

    original, place = command.read_text, threading.local()

    def other(settings, say, tokenizer):
        text = original(settings, say, tokenizer)
        return text._replace(corpus=text.corpus._replace(sha256=f"that of rank {place.rank}"))

    def reads(ranks):
        place.rank = ranks.rank
        work(ranks, "the sha256 of the text is that of rank 0 at rank 0 and that of rank 1 at rank 1")

    def runs(ranks):
        agree, mine = ranks.agree, {"the version of minibert": f"0.{ranks.rank}"}
        monkeypatch.setattr(ranks, "agree", lambda facts: agree({name: mine.get(name, fact) for name, fact in facts.items()}))
        work(ranks, "the version of minibert is 0.0 at rank 0 and 0.1 at rank 1")

    monkeypatch.setattr(command, "read_text", other)
    together(2, reads)
    together(2, runs)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("argv", "message"), [
    (("--lanes", 3), "2 ranks cannot share 3 lanes"),
    (("--batch-size", 1, "--accumulate", 1, "--short-first", 0), "a step has 1 sequences, and there are 2 ranks"),
    (("--corpus", "-"), "standard input reaches one rank only"),
    (("--profile",), "--profile is for one process"),
])
def test_what_ranks_cannot_do_is_refused_before_the_text_is_read(tmp_path, corpus, argv, message):
    def work(ranks):
        with pytest.raises(ValueError, match=message):
            command.run(arguments("--corpus", corpus, *RUN, "--out", tmp_path / "run", *argv), ranks)

    together(2, work)
    assert not (tmp_path / "run").exists()
