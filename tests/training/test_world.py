"""``train --corpus world``: the vocabulary of the language, and the loss that nobody can beat beside the two other floors."""

import re

import pytest

from minibert import pretrained
from minibert.data import corpora
from minibert.demo.watch import Run
from minibert.training import command
from minibert.world import World


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(corpora, "WORLD_TOKENS", 4000)
    monkeypatch.setattr(command, "BOUNDED_EXAMPLES", 30)


def test_the_best_possible_loss_is_said_drawn_and_shown(few, train, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(command, "_plot", lambda out, loop, found, best: drawn.append(best))
    assert train(tmp_path / "run", "--corpus", "world-small", "--layout", "auto") == 0
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    floors = ("best possible loss", "loss by frequency alone")
    best, unigram = (float(re.search(rf"{name} +([0-9.]+)", log)[1]) for name in floors)
    assert drawn[-1] == pytest.approx(best, abs=0.006)
    assert 0.5 < best < unigram - 1
    assert Run(tmp_path / "run").report()["best_loss"] == best
    tokens = pretrained.load(tmp_path / "run").tokenizer.vocab.tokens
    assert tokens[5:] == tuple(World.of("small").words)


def test_with_pairs_it_is_not_known_and_that_is_said(few, train, tmp_path, capsys):
    assert train(tmp_path / "run", "--corpus", "world-small", "--pairs", "next", "--steps", 1) == 0
    assert "leave --pairs out, and it is drawn." in capsys.readouterr().out
