"""``train --family``: a relative of BERT from text, with a tokenizer of its kind."""

import pytest

import minibert
from minibert import pretrained
from minibert.model import pretraining
from minibert.pretrained import families
from minibert.training import checkpoint, command, options, vocabularies
from tests.training.conftest import arguments
from tests.training.runs import assert_same_run, interrupt_after, slabs

KINDS = {"roberta": "<mask>", "xlm-roberta": "<mask>", "camembert": "<mask>", "albert": "[MASK]", "distilbert": "[MASK]",
         "electra": "[MASK]", "ernie": "[MASK]", "mobilebert": "[MASK]"}
FILES = {"roberta": "vocab.json", **dict.fromkeys(("xlm-roberta", "camembert", "albert"), "tokenizer.json")}
SIZE = {"electra": ("--generator-alone",), "roberta": ("--vocab-size", 300)}  # 256 bytes, and joins


def test_every_family_whose_kind_of_tokenizer_can_be_learned_is_an_option():
    learned = {name for name, family in families.FAMILIES.items() if family.vocabulary in vocabularies.LEARNED}
    assert learned - {"minibert"} == set(options.FAMILIES) == {"bert", "textcnn", *KINDS}  # the second: test_textcnn.py


@pytest.mark.parametrize("family", KINDS)
def test_a_relative_is_trained_asked_and_goes_on(family, train, resume, corpus, tmp_path, monkeypatch, capsys):
    more = ("--family", family, *SIZE.get(family, ()))
    assert train(tmp_path / "straight", *more) == 0
    assert f"{KINDS[family]}" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        assert train(tmp_path / "broken", *more) == 130
    assert resume(tmp_path / "broken") == 0
    found = checkpoint.load(tmp_path / "straight")
    assert found.config.model_type == family
    assert found.config.objectives == (("mlm", "nsp") if family in ("ernie", "albert", "mobilebert") else ("mlm",))
    loaded = pretrained.load(tmp_path / "straight")
    assert not loaded.notes
    assert loaded.parameters.layout.describe() == pretraining.layout(loaded.config).describe()
    assert init(tmp_path / "straight", corpus, tmp_path / "on") == 0  # and its folder is one to begin from
    assert pretrained.load(tmp_path / "on").config.model_type == family
    bert = minibert.load(tmp_path / "straight")
    assert len(bert.fill_mask(f"raba {KINDS[family]} rado .", 3)) == 3
    assert_same_run(tmp_path / "broken", tmp_path / "straight", FILES.get(family, "vocab.txt"))


@pytest.mark.parametrize("more", [
    ("--dropout", 0.1), ("--pre-ln",), ("--freeze", 1), ("--adversarial", "virtual", "--lanes", 2), ("--family", "mobilebert"),
    ("--family", "albert"), ("--family", "electra", "--threads", 1)])
def test_what_is_computed_again_is_the_same_to_the_last_bit(more, train, tmp_path):
    steps = ("--steps", 4, "--layers", 2, *more)
    assert train(tmp_path / "kept", *steps) == 0
    assert train(tmp_path / "again", *steps, "--recompute") == 0
    assert slabs(tmp_path / "kept") == slabs(tmp_path / "again")


def test_what_a_family_cannot_say_is_refused_before_anything_is_made(train, tmp_path):
    with pytest.raises(ValueError, match=r"norm_first is True, but a config\.json of DistilBERT can only say False"):
        train(tmp_path / "run", "--family", "distilbert", "--pre-ln")
    assert not (tmp_path / "run").exists()


def init(source, corpus, out) -> int:
    """Begin from the model of a folder; the exit code."""
    return command.run(arguments("--init", source, "--corpus", corpus, "--max-length", 24, "--steps", 4, "--threads", 2,
                                 "--device", "cpu", "--out", out))


def test_a_discriminator_cannot_begin_a_run_that_guesses_words(train, corpus, tmp_path):
    run = tmp_path / "run"
    assert train(run, "--family", "electra", "--steps", 1) == 0
    with pytest.raises(ValueError, match="did not learn to guess words"):
        init(run / "discriminator", corpus, tmp_path / "on")
    assert init(run / "generator", corpus, tmp_path / "on") == 0


def test_albert_is_asked_for_the_order_and_others_for_the_next_sentence(train, tmp_path):
    for name, more, expected in (("albert", (), "order"), ("albert", ("--pairs", "next"), "next"), ("bert", (), "next"),
                                 ("bert", ("--pairs", "order"), "order")):
        run = tmp_path / "-".join((name, *more))
        assert train(run, "--family", name, "--steps", 2, "--short-first", 0, *more) == 0
        assert checkpoint.load(run).settings.pairs == expected
        assert f"  {expected} " in (run / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("more", "message"), [
    (("--family", "roberta", "--pairs", "order"), "--pairs: a model of RoBERTa has no head that judges pairs"),
    (("--no-next-sentence", "--pairs", "order"), "--no-next-sentence asks for none: give one of them"),
])
def test_pairs_that_nobody_judges_are_refused(train, tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", *more)
