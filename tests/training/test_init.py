"""``train --init``: a trained model goes on learning."""

import shutil

import numpy as np
import pytest

from minibert import pretrained
from minibert.model import pretraining
from minibert.tasks import batches
from minibert.text import Tokenizer, Vocabulary
from minibert.training import checkpoint, command
from minibert.training import options as asked
from minibert.training.loop import read_rows
from tests import tiny_model
from tests.training.conftest import arguments
from tests.training.runs import assert_same_run, interrupt_after

SMALL = ("--max-length 24 --steps 12 --eval-every 6 --batch-size 4 --micro-batch-tokens 64 --held-out 0.1 --threads 2 "
         "--device cpu").split()
STILL = ("--learning-rate", 1e-30)  # too small a step to change any number


@pytest.fixture
def source(tmp_path):
    """A model whose vocabulary and tokenizer no run of ours would have made."""
    config, parameters, _ = tiny_model.make(vocab_size=len(tiny_model.TOKENS) + 3, hidden_act="gelu_new")
    tokens = ["<mask>" if token == "[MASK]" else token for token in tiny_model.TOKENS]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<mask>"]
    tokenizer = Tokenizer(Vocabulary(tokens, special=special), strip_accents=False, split_cjk=False, max_length=24)
    pretrained.save(tmp_path / "source", config, parameters, tokenizer)
    return tmp_path / "source"


@pytest.fixture
def begin(corpus, source):
    def run(out, *argv):
        return command.run(arguments("--init", source, "--corpus", corpus, *SMALL, "--out", out, *argv))
    return run


def test_a_run_begins_where_the_model_is(begin, source, tmp_path):
    assert begin(tmp_path / "run", *STILL) == 0
    loaded, run = pretrained.load(source), pretrained.load(tmp_path / "run")
    np.testing.assert_array_equal(run.parameters.flat, loaded.parameters.flat)
    assert run.config.replace(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1) == loaded.config
    for name in ("vocab.txt", "tokenizer_config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (source / name).read_bytes()

    state = checkpoint.load(tmp_path / "run")
    text = command.read(state.settings, lambda text: None, state.tokenizer)
    losses, count = 0.0, 0
    for batch in batches.held_out(text.held_out, loaded.tokenizer, max_length=24):
        inputs = pretraining.Inputs(batch.ids, batch.token_type_ids, batch.attention_mask, batch.positions, batch.targets["mlm"])
        losses += len(batch.positions) * float(pretraining.forward(inputs, loaded.parameters, loaded.config)[0].loss)
        count += len(batch.positions)
    first = next(row for row in read_rows(tmp_path / "run" / "metrics.csv") if row["held_out_mlm_loss"] is not None)
    assert first["held_out_mlm_loss"] == pytest.approx(losses / count, rel=1e-5)


def test_it_learns(begin, tmp_path):
    assert begin(tmp_path / "run", "--steps", 40, "--learning-rate", 0.01) == 0
    rows = [row for row in read_rows(tmp_path / "run" / "metrics.csv") if row["held_out_mlm_loss"] is not None]
    assert rows[-1]["held_out_mlm_loss"] < rows[0]["held_out_mlm_loss"]


def test_it_resumes_bit_for_bit_without_the_folder_that_it_came_from(begin, resume, source, tmp_path, monkeypatch):
    options = ("--learning-rate", 0.01, "--dropout", 0.1)
    assert begin(tmp_path / "whole", *options) == 0
    interrupt_after(monkeypatch, 7)
    assert begin(tmp_path / "parts", *options) == 130
    monkeypatch.undo()
    shutil.rmtree(source)
    assert resume(tmp_path / "parts") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_head_that_is_lacking_starts_fresh_and_is_named(begin, source, tmp_path):
    loaded = pretrained.load(source)
    lacking = {name for name in loaded.parameters.layout.slots if name.startswith("cls.seq_relationship")}
    pretrained.save(source, *loaded[:3], without=lacking)
    assert begin(tmp_path / "run", *STILL) == 0
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert f"begun from the model in {source}, its vocabulary of 62 tokens and its sizes" in log
    assert "has no cls.seq_relationship.bias, cls.seq_relationship.weight: initialised, not trained" in log


def test_a_model_of_what_is_no_prose_reads_on_by_its_own_rule(begin, source, resume, tmp_path, monkeypatch):
    loaded = pretrained.load(source)
    by_letter = Tokenizer(loaded.tokenizer.vocab, cut="characters", lower_case=False, max_length=24)
    shutil.rmtree(source)
    pretrained.save(source, loaded.config, loaded.parameters, by_letter)
    interrupt_after(monkeypatch, 7)
    assert begin(tmp_path / "run") == 130
    monkeypatch.undo()
    assert resume(tmp_path / "run") == 0
    assert checkpoint.load(tmp_path / "run").tokenizer.cut.rule == "characters"
    assert pretrained.load(tmp_path / "run").tokenizer.cut.rule == "characters"


@pytest.mark.parametrize("option", [
    "--vocab words.txt", "--vocab-size 100", "--cased", "--cut characters", "--preset base", "--layers 1", "--hidden 8",
    "--heads 2", "--intermediate 8", "--activation gelu", "--pre-ln", "--initial-range 0.1"])
def test_what_contradicts_the_model_is_refused(begin, tmp_path, option):
    with pytest.raises(ValueError, match=f"^--init takes vocabulary and sizes of the model in its folder, so {option.split()[0]} "
                                         "cannot be given as well$"):
        begin(tmp_path / "run", *option.split())
    assert not (tmp_path / "run").exists()


def test_more_tokens_than_the_model_reads_are_refused(begin, source, tmp_path):
    with pytest.raises(ValueError, match=r"^--max-length is 25, but the model in .* reads at most 24 tokens: ask for no more$"):
        begin(tmp_path / "run", "--max-length", 25)


def test_a_vocabulary_without_a_mask_is_refused(begin, source, tmp_path):
    words = [token for token in tiny_model.TOKENS if token != "[MASK]"]
    (source / "vocab.txt").write_text("\n".join([*words, "z"]) + "\n", encoding="utf-8")
    (source / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"has no \[MASK\], which training needs"):
        begin(tmp_path / "run")


def test_a_trained_model_goes_on_in_small_steps_unless_told_otherwise(source):
    settings = asked.settings_of(arguments("--init", source))
    assert (settings.learning_rate, settings.short_first) == (2e-5, 0.0)
    assert asked.settings_of(arguments("--init", source, "--learning-rate", 0.1)).learning_rate == 0.1
