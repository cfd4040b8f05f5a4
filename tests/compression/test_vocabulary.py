"""Words taken out: the corpus is cut and read as before, and so is whatever can be spelled."""


import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.compression import vocabulary
from minibert.text import Tokenizer, Vocabulary
from tests import tiny_model
from tests.compression.conftest import run
from tests.text.test_bytepairs import tokenizer as byte_pairs

WORDS = ("[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##s", "cat", "dog", "ca", "##t", "t", "h", "e", "##e",
         "##h", "sleep", "##ing", "never", "heard", "of", ".")


@pytest.fixture
def model(tmp_path):
    """A folder of a model with these words and two rows to spare, and a corpus that uses some."""
    config, parameters, _ = tiny_model.make(vocab_size=len(WORDS) + 2)
    pretrained.save(tmp_path / "model", config, parameters, Tokenizer(Vocabulary(WORDS), max_length=24))
    (tmp_path / "text.txt").write_text("The cats sleep.\n\nThe dog sleeping.\n", encoding="utf-8")
    return tmp_path / "model"


def test_the_corpus_is_read_as_before(model, tmp_path, capsys):
    assert run("vocabulary", "--teacher", model, "--corpus", tmp_path / "text.txt", "--out", tmp_path / "out") == 0
    assert f"18 of {len(WORDS)} tokens are kept; 7 stand in the corpus" in capsys.readouterr().out
    large, small = (minibert.load(place, device="cpu") for place in (model, tmp_path / "out"))
    assert [token for token in WORDS if token not in small.tokenizer.vocab] == ["[unused1]", "ca", "never", "heard", "of"]
    for text in ("the cats sleep.", "the dog sleeping.", "the the . dog"):
        a, b = large([text]), small([text])
        assert a.tokens == b.tokens
        np.testing.assert_array_equal(a.last_hidden_state, b.last_hidden_state)
    guesses = [dict(bert.fill_mask("the [MASK] sleep.", top=len(bert.tokenizer.vocab))) for bert in (large, small)]
    ratios = [p / guesses[0][word] for word, p in guesses[1].items()]
    assert min(ratios) > 1
    assert max(ratios) == pytest.approx(min(ratios), rel=1e-4)  # as likely as before, among those that are left
    assert small.tokenizer.encode("cat heard").tokens[1] == "cat"


def test_all_that_can_be_spelled_still_can():
    tokenizer = Tokenizer(Vocabulary(WORDS))
    kept = [WORDS[i] for i in vocabulary.to_keep(tokenizer, {WORDS.index("dog")})]
    assert kept == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##s", "dog", "##t", "t", "h", "e", "##e", "##h", "."]


@pytest.mark.parametrize(("argv", "message"), [
    (("--out", "out"), "--corpus TEXT is missing"), (("--corpus", "text.txt"), "--out DIR is missing"),
    (("--corpus", "a", "--out", "out", "--steps", "3", "--epochs", "1"), "--steps, --epochs: the recipe vocabulary trains")])
def test_what_it_needs(model, argv, message):
    with pytest.raises(ValueError, match=message):
        run("vocabulary", "--teacher", model, *argv)


def test_only_word_pieces():
    with pytest.raises(ValueError, match="is none of word pieces"):
        vocabulary.to_keep(byte_pairs(), set())
