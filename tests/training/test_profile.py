import numpy as np
import pytest

from minibert.config import BertConfig
from minibert.layers import linear
from minibert.model import pretraining
from minibert.model.pretraining import Inputs, Output
from minibert.training import profile
from minibert.training.profile import Profile

CONFIG = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
                    max_position_embeddings=8)


def step(**opened):
    p = pretraining.initial_parameters(CONFIG)
    rng = np.random.default_rng(0)
    x = Inputs(rng.integers(0, 50, (2, 8)), np.zeros((2, 8), int), None, np.array([1, 9]), np.array([3, 4]), np.array([0, 1]))
    out, cache = pretraining.forward(x, p.tree, CONFIG, **opened)
    pretraining.backward(Output(loss=1.0), cache, p.tree, p.zeros_like().tree)
    return out.loss


@pytest.fixture(params=[False, True], ids=["kept", "computed again"])
def watched(request):
    found = Profile()
    with found.watching():
        step(recompute=request.param)
    return found


def test_every_layer_and_both_heads_are_found(watched):
    parts = {part for part, _, _ in watched.seconds}
    assert {"embeddings", "layer 0", "layer 1", "layer 2", "masked words", "next sentence"} <= parts
    assert "layer 3" not in parts
    for i in range(3):  # forward and backward of a layer are put down to the same one
        assert {direction for part, _, direction in watched.seconds if part == f"layer {i}"} == {"forward", "backward"}


def test_kinds_are_where_they_belong(watched):
    def kinds(part):
        return {kind for p, kind, _ in watched.seconds if p == part}

    assert {"matrix products", "attention", "normalisation", "activation"} <= kinds("layer 1")
    assert "matrix products" in kinds("masked words")
    assert kinds("loss") == {"loss"}
    assert "lookups" in kinds("embeddings")
    assert "attention" not in kinds("masked words")


def test_own_times_add_up_to_the_whole(monkeypatch):
    """With a clock that ticks once for every look, the sum of all own times is the time of the outermost calls."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(profile.time, "perf_counter", lambda: next(ticks))
    found = Profile()
    with found.watching():
        step()
    looks = next(ticks)
    assert sum(found.seconds.values()) == looks - 2  # forward and backward: two outermost calls, each between two looks


def test_layers_are_as_before_afterwards():
    def fail():
        with Profile().watching():
            assert linear.forward is not before
            raise ZeroDivisionError

    before = linear.forward
    with pytest.raises(ZeroDivisionError):
        fail()
    assert linear.forward is before


def test_watching_changes_no_number():
    alone = step()
    with Profile().watching():
        assert step() == alone


def test_the_report_names_what_it_shows(watched):
    watched.add("optimiser", "optimiser", 1.0)
    text = profile.report(watched, 1)
    assert "By kind of work" in text
    assert "layer 2" in text
    assert "1000.00 ms" in text
    shares = [line.share for line in profile.lines(watched, 0)]
    assert sum(shares) == pytest.approx(1)
