"""What else is asked of a text, as a user asks it: heads that are saved beside the model and go on; what cannot be asked."""

import numpy as np
import pytest

from minibert import pretrained
from minibert.model import pretraining
from minibert.pretrained import families, folder, tensors
from minibert.tasks import known_phrases
from minibert.training import checkpoint, command, objectives
from minibert.training.loop import read_rows
from minibert.training.options import Settings
from minibert.training.start import start_of
from tests import tiny_model
from tests.training.conftest import SMALL, arguments
from tests.training.runs import assert_same_run, interrupt_after

ALL = ("--pairs", "reorder", "--masking", "ngrams", "--words", "trigrams", "capitalisation", "token-document")


@pytest.fixture
def train(corpus):
    def run(out, *argv):
        return command.run(arguments("--corpus", corpus, *SMALL, "--steps", 6, "--vocab-size", 200, "--out", out, *argv))
    return run


def test_every_question_has_its_figures_and_its_head_beside_the_model(train, tmp_path):
    run = tmp_path / "run"
    assert train(run, *ALL) == 0
    row = read_rows(run / "metrics.csv")[-1]
    for term in ("mlm", "trigrams", "reorder", "capitalisation", "token_document"):
        assert 0 < row[f"held_out_{term}_loss"] < 20
        assert 0 <= row[f"held_out_{term}_accuracy"] <= 1
    line = [line for line in (run / "log.txt").read_text(encoding="utf-8").splitlines() if line.startswith("step")][-1]
    assert all(name in line for name in ("trigrams", "reorder", "capitalisation", "token-document"))
    with tensors.opened(run / "heads.safetensors") as file:
        assert {*file.shapes} == {f"cls.{name}.{kind}" for name in ("reorder", "capitalisation", "token_document")
                                  for kind in ("weight", "bias")}
        assert file.shapes["cls.reorder.weight"] == (9, 32)
    with tensors.opened(run / "model.safetensors") as file:
        assert not any(name.startswith(folder.FURTHER) for name in file.shapes)
    loaded = pretrained.load(run)
    assert any("heads.safetensors holds heads of pre-training" in note for note in loaded.notes)
    state = checkpoint.load(run)
    for name, values in folder.read_further(run).items():
        np.testing.assert_array_equal(dict(state.parameters.items())[name], values)


def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(train, tmp_path, monkeypatch):
    asked = ("--pairs", "distance", "--masking", "frequency", "--words", "trigrams", "capitalisation", "token-document")
    assert train(tmp_path / "whole", *asked) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        assert train(tmp_path / "run", *asked) == 130
    assert command.run(arguments("--resume", tmp_path / "run")) == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert (tmp_path / "run" / "heads.safetensors").read_bytes() == (tmp_path / "whole" / "heads.safetensors").read_bytes()


def test_a_run_goes_on_with_the_heads_that_it_finds_and_with_fresh_ones(train, tmp_path):
    assert train(tmp_path / "first", "--pairs", "distance") == 0
    settings = Settings(init=str(tmp_path / "first"), max_length=32, pairs="distance", words=("token-document",))
    start = start_of(settings)
    _, parameters = start.model(settings, start.tokenizer)
    found, known = dict(parameters.items()), folder.read_further(tmp_path / "first")
    np.testing.assert_array_equal(found["cls.distance.weight"], known["cls.distance.weight"])
    assert found["cls.token_document.weight"].any()
    for name, values in start.parameters.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(("options", "message"), [
    (("--family", "distilbert", "--pairs", "three-ways"), "--pairs: a model of DistilBERT has no head that judges pairs"),
    (("--family", "roberta", "--pairs", "next"), "--pairs: a model of RoBERTa has no head that judges pairs"),
    (("--family", "electra", "--words", "trigrams"), "--words: ELECTRA replaces single pieces and tells which"),
    (("--family", "electra", "--masking", "ngrams"), "--masking: ELECTRA replaces single pieces"),
    (("--family", "textcnn", "--layers", 2, "--heads", 1, "--words", "trigrams"),
     "is asked for the one hidden word of a phrase and for nothing else"),
    (("--masking", "spans", "--whole-word"), "--whole-word is --masking whole-words"),
    (("--phrases", "names.txt"), "--phrases: what --masking phrases hides whole"),
    (("--pairs", "order", "--no-next-sentence"), "--no-next-sentence asks for none"),
    (("--words", "capitalisation", "--cased"), "keeps capital letters: leave the question out"),
    (("--masking", "phrases", "--phrases", "nowhere.txt"), "there is no file 'nowhere.txt' with phrases"),
])
def test_what_cannot_be_asked_is_said_in_a_sentence(train, tmp_path, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train(tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("pairs", ["distance", "three-ways", "order-original"])
def test_a_single_document_has_no_other(tmp_path, pairs):
    text = tmp_path / "two.txt"
    text.write_text("one document .\nof two lines .\n\nanother one .\nof two lines , too .\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"--pairs {pairs} needs text from 2 documents, and beside what is held out there is 1"):
        command.run(arguments("--corpus", text, *SMALL, "--steps", 2, "--vocab-size", 60, "--out", tmp_path / "run",
                              "--pairs", pairs))


def test_a_task_asks_of_pairs_what_the_family_does_not():
    """RoBERTa judges no pairs, and a recipe may ask it to."""
    config = families.preset("roberta", "tiny", 24, vocab_size=60)
    stages = ({"share": 0.5}, {"share": 0.5, "task": [{"pairs": "three-ways"}, {}]})
    settings = objectives.fitting(config, Settings(family="roberta", stages=stages, max_length=24))
    assert [task.next_sentence for task in objectives.tasks(settings)] == [False, True, False]
    assert {*objectives.model_of(config, settings).heads} == {"mlm", "three_ways"}


def test_a_model_has_the_heads_of_all_its_tasks():
    config = tiny_model.make()[0]
    stages = ({"share": 0.5, "pairs": "distance"}, {"share": 0.5, "task": [{"pairs": "reorder", "weight": 1.0},
                                                                          {"words": ["trigrams"], "weight": 2.0}]})
    model = objectives.model_of(config, Settings(stages=stages, max_length=24))
    assert {*model.heads} == {"mlm", "nsp", "distance", "reorder"}
    assert {term.name for term in model.terms} == {"mlm", "nsp", "trigrams", "distance", "reorder"}
    assert model.layout().slots.keys() - pretraining.layout(config).slots.keys() == {
        f"cls.{name}.{kind}" for name in ("distance", "reorder") for kind in ("weight", "bias")}


def test_phrases_of_a_list_and_of_tags(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("New  York\nrock and roll\n\nNew York\n", encoding="utf-8")
    assert known_phrases.read(path) == ["New York", "rock and roll"]
    path = tmp_path / "names.conll"
    path.write_text("I\tO\nsaw\tO\nNew\tB-LOC\nYork\tI-LOC\nJohn\tB-PER\nSmith\tI-PER\n\nAda\tI-PER\n.\tO\n", encoding="utf-8")
    assert known_phrases.read(path) == ["New York", "John Smith", "Ada"]
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no phrase in it"):
        known_phrases.read(tmp_path / "empty.txt")
