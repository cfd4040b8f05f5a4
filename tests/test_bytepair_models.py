"""Models that read byte pairs: their folders, guesses, tasks, and the state of a run."""

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.commands import tables
from minibert.data.squad import Example as Question
from minibert.finetuning.options import Settings
from minibert.tasks.corruption import masking
from minibert.tasks.labelled import common, qa, tag
from minibert.text import Tokenizer
from minibert.text.added import AddedToken, special_tokens
from minibert.text.bytepairs import BytePairs
from minibert.text.frame import ROBERTA
from minibert.text.learn import learn_bpe
from minibert.training import checkpoint, loop, options
from tests import tiny_model

TEXTS = ["the cat sat on the mat", "the cat is on the mat.", "that mat is the cat's"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    vocab, merges = learn_bpe(TEXTS, 290)
    mask = AddedToken("<mask>", special=True, normalized=False, lstrip=True)
    added = [mask if token.content == "<mask>" else token for token in special_tokens(vocab)]
    return Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=merges, added=added, max_length=24)


@pytest.fixture(scope="module")
def model(tokenizer, tmp_path_factory):
    config, parameters, _ = tiny_model.make(vocab_size=len(tokenizer.vocab))
    folder = tmp_path_factory.mktemp("model")
    pretrained.save(folder, config, parameters, tokenizer)
    return minibert.load(folder)


def test_a_folder_holds_the_tokenizer_and_is_saved_over(model, tokenizer, tmp_path):
    assert sorted(path.name for path in model.folder.iterdir()) == [
        "config.json", "merges.txt", "model.safetensors", "tokenizer_config.json", "vocab.json"]
    assert model.tokenizer.encode("the cat <mask>", "é").ids == tokenizer.encode("the cat <mask>", "é").ids
    for _ in range(2):
        pretrained.save(tmp_path / "copy", model.config, model.parameters, model.tokenizer)
    with pytest.raises(FileExistsError, match=r"merges\.txt, vocab\.json, which would be left|another vocabulary"):
        pretrained.save(tmp_path / "copy", *tiny_model.make())


def test_guesses_are_written_as_words_and_as_what_goes_on_with_one(model):
    vocab = model.tokenizer.vocab
    inside = dict(model.fill_mask("the <mask> sat", top=len(vocab)))
    assert {"cat", "##the", "##.", "<mask>"} <= inside.keys()
    assert "##the" not in dict(model.fill_mask("<mask> cat sat", top=len(vocab)))  # a text begins without a blank
    shown = tables.guesses(model, "the cat <mask> sat", top=len(vocab), width=200)
    assert "the cat the sat" in shown
    assert "the cat. sat" in shown


@pytest.mark.parametrize(("token", "written", "first", "continues"), [
    ("Ġthe", "the", "the", False), ("the", "##the", "the", True), (".", "##.", ".", True), ("Ġ", "Ġ", "Ġ", False),
    ("Ã", "Ã", "Ã", True), ("Ċ", "Ċ", "Ċ", True), ("<mask>", "<mask>", "<mask>", False), ("</s>", "</s>", "</s>", False),
])
def test_how_tokens_are_written(tokenizer, token, written, first, continues):
    number = tokenizer.vocab.index[token]
    assert (tokenizer.written(number), tokenizer.written(number, True)) == (written, first)
    assert tokenizer.continues(number) is continues


def test_whole_words_are_hidden_whole(tokenizer):
    rule = masking.rule(tokenizer, whole_word=True, rate=0.3)
    ids = np.array([*tokenizer.encode("the zebra sat on the yak").ids], np.int32)
    words = np.cumsum([not tokenizer.continues(number) for number in ids.tolist()])
    for index in range(20):
        _, positions, _ = masking.mask(ids, rule, (1, 0, index))
        hidden = set(words[positions].tolist())
        assert [t for t in range(1, len(ids) - 1) if words[t] in hidden] == positions.tolist()


def test_questions_and_tags_and_pairs_stand_in_their_frame(tokenizer):
    settings = Settings(task="qa", max_length=24)
    [feature], _ = qa.encode([Question("q", "the cat", "the mat is on", [("mat", 4)], "line 1")], tokenizer, ["answer"], settings)
    assert feature.ids[0].tolist() == tokenizer.encode("the cat", "the mat is on").ids
    assert feature.splits == (len(feature.ids[0]),)  # no second type
    start, end = feature.labels
    assert tokenizer.decode(feature.ids[0][start:end + 1]) == " mat"
    [feature], _ = tag.encode([tag.Example(["cat", "mats"], ["X", "O"], "line 1")], tokenizer, ["O", "X"], settings)
    assert feature.ids[0].tolist() == tokenizer.encode(["cat", "mats"]).ids
    for limit, cut in ((11, False), (10, True)):
        ids, split, too_long = common.sequence(tokenizer, "the cat", "the mat is the cat", Settings(max_length=limit))
        assert (too_long, split) == (cut, len(ids))
        assert list(ids).count(tokenizer.vocab.sep_id) == 3


def test_the_state_of_a_run_holds_it(model, tmp_path):
    zeros = model.parameters.zeros_like()
    progress = loop.Progress(step=3, total=9, positions=((0, 4),), tokens=99)
    checkpoint.save(tmp_path, checkpoint.Checkpoint(options.Settings(), model.config, model.tokenizer, "0" * 64, progress,
                                                    model.parameters, {"m": zeros, "v": zeros}))
    again = checkpoint.load(tmp_path).tokenizer
    assert again.encode("the cat <mask>", "é") == model.tokenizer.encode("the cat <mask>", "é")
    assert again.described() == model.tokenizer.described()
