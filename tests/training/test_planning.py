"""The plan of a run over ranks: its formula by hand, and its text."""

import numpy as np
import pytest

from minibert import memory
from minibert.cli import main
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.pretrained import families
from minibert.ranks.threads import together
from minibert.training import planning
from minibert.training.engine import PIECE, Engine
from minibert.training.lanes import strips
from minibert.training.planning import Plan, Speeds
from minibert.workers import Workers
from tests.model.examples import random_parameters, small_config

SPEEDS = Speeds(flops=1e9, added=2e8, stepped=5e7, examples=1e3)


def test_operations_of_a_text_by_hand():
    config = BertConfig.preset("base")
    T, masked = 128, 19
    layer = 2 * T * (4 * 768 * 769 + 768 * 3072 * 2 + 3072 + 768) + 4 * T * T * 768
    assert planning.flops(config, T) == 3 * (12 * layer + 2 * masked * 30522 * 768)
    shared = BertConfig.preset("base", layer_map=(0,) * 12)
    assert planning.flops(shared, T) == planning.flops(config, T)  # sharing saves memory, no time


def test_a_step_by_hand():
    config = BertConfig.preset("tiny")
    n, work = pretraining.layout(config).size, planning.flops(config, 16)
    assert n == 16 * PIECE + 239164  # 17 pieces, so that of four ranks three have four pieces, and the last has the others
    one = planning.plan(config, 1, 1e6, SPEEDS, 10, 16)
    assert one == Plan(10 * work / 1e9, 0.01, 0.0, 0.0, n / 5e7)
    four = planning.plan(config, 4, 1e6, SPEEDS, 10, 16)  # the slowest has three of ten texts
    longest, shortest = n - 12 * PIECE, 4 * PIECE
    assert four == pytest.approx((3 * work / 1e9, 0.01, 4 * (3 * longest + n - shortest) / 1e6, 3 * longest / 2e8, longest / 5e7))
    assert four.seconds == pytest.approx(sum(four))
    assert (one.limit, four.limit) == ("optimiser" if n / 5e7 > 10 * work / 1e9 else "computing", "network")


@pytest.mark.parametrize("size", [2, 4])
def test_what_is_planned_to_move_is_what_ranks_move(size):
    """First gradients, then weights: numbers that come to the rank to which most come."""
    config = small_config(vocab_size=120_000)

    def work(ranks):
        engine = Engine(pretraining.of(config), random_parameters(config), Workers(1), ranks=ranks)
        engine._exchange()
        gradients = ranks.moved
        ranks.gather(engine.parameters.flat, engine.strips)
        return gradients, ranks.moved - gradients

    came = [max(some) // 8 for some in zip(*together(size, work))]
    assert (*came, max(map(len, strips(pretraining.layout(config).size, size, PIECE)))) == planning.moved(config, size)


@pytest.mark.parametrize(("text", "expected"), [("10Gb/s", 1.25e9), ("100 Mbit/s", 1.25e7), ("1.2GB/s", 1.2e9), ("800kbps", 1e5)])
def test_a_network_in_bits_or_bytes(text, expected):
    assert planning.bandwidth(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "fast", "10", "0Gb/s", "-1Gb/s", "10Gb", "1e400Gb/s"])
def test_no_network(text):
    with pytest.raises(ValueError, match="--network must be bits or bytes a second, such as 10Gb/s"):
        planning.bandwidth(text)


def test_what_each_rank_holds():
    config = BertConfig.preset("tiny")
    weights = 4 * memory.parameter_counts(config)["total"]
    one, four = ({part.name: part.bytes * part.times for part in planning.held(config, ranks, 64, 128, 1)} for ranks in (1, 4))
    assert one["moments of Adam"] == 2 * weights
    assert four["moments of Adam"] == 2 * (weights - 4 * 12 * PIECE)  # some quarter: five of 17 pieces
    assert one["weights"] == four["weights"] == four["gradients, per core"] == weights


def test_speeds_are_measured_on_two_layers_of_any_model(monkeypatch):
    monkeypatch.setattr(planning, "micro_batch_tokens", lambda *_: 64)
    for config in (small_config(), small_config(num_hidden_layers=3, layer_map=(0, 0, 0))):
        assert all(np.isfinite(speed) and speed > 0 for speed in planning.measured(config, 16, 1))
    with pytest.raises(ValueError, match="made of convolutions"):
        planning.measured(families.preset("textcnn", "tiny"), 16, 1)


def test_the_text(monkeypatch, capsys):
    monkeypatch.setattr(planning, "measured", lambda *_: Speeds(1e12, 1e9, 1e9, 1e4))
    monkeypatch.setattr("minibert.workers.keep_freed_memory", lambda: None)
    assert main(["info", "base", "--ranks", "64", "--network", "10Gb/s", "--threads", "2"]) == 0
    out = capsys.readouterr().out
    assert "Training base on 64 ranks of 2 threads, 10Gb/s: a step of 256 texts of 128 tokens" in out
    assert "896.6 MB in, and as many out, 1,250.0 MB a second" in out
    assert "network         0.717 s" in out
    assert "most of it goes into network" in out
    assert "14.7 MB  moments of Adam" in out
    assert main(["info", "base", "--ranks", "64", "--batch", "32"]) == 2
    assert "--ranks must be from 1 to the texts of a step, which --batch says (32), got 64" in capsys.readouterr().err
    assert main(["info", "tiny", "--ranks", "2", "--network", "fast"]) == 2
    for option in ("--ema", "--adafactor", "--recompute"):
        assert main(["info", "tiny", "--ranks", "2", option]) == 2
        assert f"{option}: the plan of --ranks is for Adam" in capsys.readouterr().err
