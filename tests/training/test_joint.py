"""``train --family electra``: two models learn in one run, which is resumed as any other and saved as two folders."""

import csv
import shutil

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.training import checkpoint, loop
from minibert.training.loop import read_rows
from tests.training.conftest import arguments
from tests.training.runs import assert_same_probes, interrupt_after, names, slabs, step_of

ELECTRA = ("--family", "electra", "--generator-size", 0.5)
PARTS = ("generator", "discriminator")
OF_THE_RUN = {"training_state.safetensors", "metrics.csv", "loss.png", "log.txt", "probes.jsonl", "guesses.txt", *PARTS}
OF_A_MODEL = {"config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tmp_path_factory.mktemp("joint")


@pytest.fixture
def uninterrupted(finished, train):
    if not (finished / "run").exists():
        assert train(finished / "run", *ELECTRA) == 0
    return finished / "run"


def assert_same_run(a, b):
    assert slabs(a) == slabs(b)
    assert (a / "guesses.txt").read_bytes() == (b / "guesses.txt").read_bytes()
    for part in PARTS:
        for name in OF_A_MODEL:
            assert (a / part / name).read_bytes() == (b / part / name).read_bytes(), name
    assert_same_probes(a, b)


def test_it_is_saved_as_two_folders_and_both_tasks_are_shown(uninterrupted):
    assert names(uninterrupted) == OF_THE_RUN
    assert all(names(uninterrupted / part) == OF_A_MODEL for part in PARTS)
    generator, discriminator = (pretrained.load(uninterrupted / part) for part in PARTS)
    assert (generator.config.hidden_size, discriminator.config.hidden_size) == (16, 32)
    assert (generator.config.objectives, discriminator.config.objectives) == (("mlm",), ("replaced",))
    assert not generator.notes
    assert not discriminator.notes
    for name in ("word_embeddings", "position_embeddings", "LayerNorm"):
        np.testing.assert_array_equal(*(model.parameters["bert"]["embeddings"][name]["weight"]
                                        for model in (generator, discriminator)))
    with open(uninterrupted / "metrics.csv", encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    for start in ("", "held_out_"):
        for name in ("mlm_loss", "mlm_accuracy", "replaced_loss", "replaced_accuracy", "replaced_found"):
            assert 0 <= float(rows[-1][start + name]) < 10, name
    assert read_rows(uninterrupted / "metrics.csv")[-1]["replaced_found"] is not None
    log = (uninterrupted / "log.txt").read_text(encoding="utf-8")
    assert "  replaced 0." in log
    assert "the discriminator finds" in log
    assert f"--model {uninterrupted / 'generator'}" in log
    assert len(minibert.load(uninterrupted / "generator", device="cpu").fill_mask("raba [MASK] rado .", 3)) == 3


@pytest.mark.parametrize("points", [(3,), (6, 9)], ids=str)
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(train, resume, uninterrupted, tmp_path, monkeypatch, points):
    run = tmp_path / "run"
    go_on = lambda: train(run, *ELECTRA)  # noqa: E731 - the first time
    for point in points:
        with monkeypatch.context() as patch:
            interrupt_after(patch, point)
            assert go_on() == 130
        assert step_of(run) == point
        go_on = lambda: resume(run)  # noqa: E731
    assert resume(run) == 0
    assert_same_run(run, uninterrupted)


def test_a_model_that_a_kill_left_behind_is_made_up_for(resume, uninterrupted, tmp_path):
    """The state is saved and one of the two folders is not."""
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    shutil.rmtree(run / "discriminator")
    (run / "guesses.txt").unlink()
    assert resume(run) == 0
    assert_same_run(run, uninterrupted)


def test_the_same_bytes_by_any_number_of_threads(train, uninterrupted, tmp_path):
    assert train(tmp_path / "run", *ELECTRA, "--lanes", 2, "--threads", 1) == 0
    assert slabs(tmp_path / "run") == slabs(uninterrupted)  # of two lanes, by two threads


def test_lower_layers_of_both_can_be_frozen(train, tmp_path):
    assert train(tmp_path / "run", *ELECTRA, "--freeze", 1, "--steps", 2, "--weight-decay", 0) == 0
    state = checkpoint.load(tmp_path / "run")
    moved = {name for name, view in state.kept["m"].items() if view.any()}
    assert moved
    assert not any("embeddings." in name or "encoder.layer.0." in name for name in moved)


def test_a_batch_can_be_learned_by_heart_and_profiled(train, tmp_path, capsys):
    train(tmp_path / "run", *ELECTRA, "--overfit-batch", "--learning-rate", 0.01)
    assert "replaced 0." in capsys.readouterr().out
    assert train(tmp_path / "run", *ELECTRA, "--profile", "--steps", 2) == 0


def test_the_folder_of_the_run_names_the_two(uninterrupted):
    with pytest.raises(FileNotFoundError, match=r"it holds the models discriminator, generator: name one of them"):
        pretrained.load(uninterrupted)


def test_the_generator_alone_is_one_model(train, tmp_path):
    assert train(tmp_path / "run", "--family", "electra", "--generator-alone", "--whole-word", "--steps", 2) == 0
    found = pretrained.load(tmp_path / "run")
    assert found.config.objectives == ("mlm",)
    assert found.config.hidden_size == 32


@pytest.mark.parametrize(("options", "message"), [
    (("--family", "roberta", "--generator-alone"), "--generator-alone is for a family that learns beside a generator"),
    (("--generator-size", 0.5), "--generator-size is for a family that learns beside a generator"),
    ((*ELECTRA, "--generator-alone"), "give one of them"),
    (("--family", "electra", "--generator-size", 1.5), "--generator-size must be a share"),
    (("--family", "electra", "--generator-size", 0.001), "hidden_size must be a whole number of at least 1"),
    (("--family", "electra", "--whole-word"), "--whole-word: electra replaces single pieces"),
    (("--family", "electra", "--pre-ln"), "norm_first"),
])
def test_what_has_no_effect_is_refused_before_anything_is_made(train, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("pictures")
def test_the_picture_has_both(train, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn, savefig = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **options: (drawn.append(self), savefig(self, *args, **options)))
    assert train(tmp_path / "run", *ELECTRA, "--steps", 6) == 0
    assert [axes.get_title() for axes in drawn[-1].axes] == [
        "Surprise at the masked words", "How often the first guess is right", "Surprise at what else is asked"]
    [legend] = drawn[-1].legends
    assert "replaced words that are found, held-out text" in [text.get_text() for text in legend.get_texts()]


def test_a_run_of_one_model_has_no_such_columns(train, tmp_path):
    assert train(tmp_path / "run", "--steps", 2) == 0
    assert not any("replaced" in name for row in loop.read_rows(tmp_path / "run" / "metrics.csv") for name in row)
    assert arguments().__dict__.get("generator_size") is None
