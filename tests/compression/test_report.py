"""Models beside one another: what is counted is what is computed, and the figures are those of predict."""

import numpy as np
import pytest

from minibert import plots
from minibert.compression import report
from minibert.compression.counted import Counted, counting
from minibert.finetuning import command as finetuning
from minibert.model import bert, pretraining
from minibert.model.pretraining import Inputs
from tests.compression.conftest import run
from tests.finetuning.conftest import predict_arguments
from tests.model.examples import random_parameters, small_config


def test_products_are_those_of_the_formula():
    """Of N = B·T tokens: 4·N·H² + 2·N·H·I and 2·B·T²·H a layer, N·H² + N·H·V of the head for words; H² for each pooled vector."""
    config = small_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    parameters = random_parameters(config)
    counted, tally = counting(parameters)
    B, T, H, I, V, L = 3, 7, 12, 20, 37, 3
    ids = np.random.default_rng(0).integers(1, V, (B, T))
    out, _ = bert.forward(ids, np.zeros_like(ids), None, counted["bert"], config)
    body = L * (4 * B * T * H * H + 2 * B * T * H * I + 2 * B * T * T * H)
    assert tally == [body + B * H * H]
    plain, _ = bert.forward(ids, np.zeros_like(ids), None, parameters["bert"], config)
    assert isinstance(out.last_hidden_state, Counted)
    np.testing.assert_array_equal(out.last_hidden_state, plain.last_hidden_state)
    pretraining.forward(Inputs(ids, np.zeros_like(ids)), counted.tree, config)
    assert tally == [2 * (body + B * H * H) + B * T * (H * H + H * V) + B * H * 2]
    assert not isinstance(parameters.flat, Counted)  # what was given stays as it is


def test_sums_of_rows_are_no_products_of_matrices():
    x = np.ones((3, 4)).view(Counted)
    assert ((x @ np.ones(4)) == 4).all()
    assert x.tally == [0]
    y = np.ones((2, 3)) @ x
    assert y.tally is x.tally
    assert x.tally == [24]
    y += x[0]
    assert np.add.reduce(y).shape == (4,)


def test_a_report_of_a_teacher_and_its_student(classifier, labels, files, tmp_path, monkeypatch, capsys):
    assert labels("theseus", tmp_path / "student", "--seeds", "2") == 0
    monkeypatch.setattr(report, "TURNS", 2)
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure.axes[0].get_ylabel()))
    dev = files("classify")[1]
    capsys.readouterr()
    assert run("report", classifier, tmp_path / "student", "--dev", dev, "--out", tmp_path / "out", "--threads", 1) == 0
    said = capsys.readouterr().out
    lines = said.strip().splitlines()[-2:]
    assert (tmp_path / "out" / "report.txt").read_text(encoding="utf-8") == said
    assert drawn == ["accuracy"]
    for place, line, layers in zip((classifier, tmp_path / "student"), lines, ("4/24", "2/24")):
        assert line.split()[1] == layers
        assert finetuning.run_predict(_predicting(place, dev)) == 0
        assert f"accuracy {line.split()[10]}" in capsys.readouterr().err
    assert "±" in lines[1]
    numbers = [line.split()[2].replace(",", "") for line in lines]
    assert int(numbers[0]) - int(numbers[1]) == 2 * (4 * 24 * 25 + 24 * 49 + 48 * 25 + 4 * 24)


def _predicting(place, dev):
    return predict_arguments(place, dev, "--threads", 1, "--device", "cpu")


def test_a_report_of_vectors(teacher, corpus, monkeypatch, capsys):
    monkeypatch.setattr(report, "TURNS", 1)
    monkeypatch.setattr(report, "TEXTS", 5)
    assert run("report", teacher, teacher, "--corpus", corpus, "--threads", 1) == 0
    a, b = capsys.readouterr().out.strip().splitlines()[-2:]
    assert (*a.split()[1:5], a.split()[7]) == (*b.split()[1:5], b.split()[7])


def test_what_it_needs(teacher):
    with pytest.raises(ValueError, match="name the folders"):
        run("report")
    with pytest.raises(ValueError, match="only report takes folders"):
        run("distil", teacher)
