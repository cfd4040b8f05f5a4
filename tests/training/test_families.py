"""``minibert train --family``: a relative of BERT, from text to a folder that opens, and on from there."""

import json

import pytest

import minibert
from minibert import pretrained
from minibert.model import pretraining
from minibert.pretrained import families
from minibert.training import command
from tests.training.conftest import arguments
from tests.training.runs import assert_same_run, interrupt_after


def init(source, corpus, out) -> int:
    """Begin from the model of a folder; the exit code."""
    return command.run(arguments("--init", source, "--corpus", corpus, "--max-length", 24, "--steps", 4, "--threads", 2,
                                 "--device", "cpu", "--out", out))


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_run_of_every_family(family, train, corpus, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(run, "--family", family, "--steps", 6, "--hidden", 48, "--layers", 2) == 0
    loaded = pretrained.load(run)
    assert loaded.config.model_type == family
    assert not loaded.notes
    assert loaded.config.max_tokens == 32
    assert loaded.parameters.layout.describe() == pretraining.layout(loaded.config).describe()
    assert ("next" in capsys.readouterr().out) == ("nsp" in loaded.config.objectives)
    assert len(minibert.load(run, "cpu").fill_mask("raba [MASK] .", top=3)) == 3
    header = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert "held_out_mlm_loss" in header
    assert init(run, corpus, tmp_path / "on") == 0  # and its folder is one to begin from
    assert pretrained.load(tmp_path / "on").config.model_type == family


@pytest.mark.parametrize("family", ["roberta", "albert"])
def test_an_interrupted_run_goes_on_bit_for_bit(family, train, resume, tmp_path, monkeypatch):
    options = ["--family", family, "--hidden", 12, "--layers", 2]
    assert train(tmp_path / "whole", *options) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 5)
        assert train(tmp_path / "cut", *options) == 130
    assert resume(tmp_path / "cut") == 0
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_what_a_family_cannot_say_is_refused_before_the_text_is_read(train, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"norm_first is True, but a config\.json of RoBERTa can only say False"):
        train(tmp_path / "run", "--family", "roberta", "--pre-ln", "--corpus", tmp_path / "there is none")
    with pytest.raises(ValueError, match="family must be one of bert, roberta"):
        train(tmp_path / "run", "--family", "gpt2")


def test_a_discriminator_cannot_begin_a_run_that_guesses_words(train, corpus, tmp_path):
    run = tmp_path / "run"
    assert train(run, "--family", "electra", "--steps", 1) == 0
    values = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (run / "config.json").write_text(json.dumps(values | {"architectures": ["ElectraForPreTraining"]}), encoding="utf-8")
    with pytest.raises(ValueError, match="did not learn to guess words"):
        init(run, corpus, tmp_path / "on")
