"""Unigram pieces word by word, and the folders of ALBERT, XLM-RoBERTa and CamemBERT."""

import base64
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.text import Tokenizer, Vocabulary, spm
from minibert.text.charsmap import compiled
from minibert.text.frame import BERT, ROBERTA, by_halves
from minibert.text.saved_unigram import FAMILIES
from minibert.text.unigram_pieces import LOWERCASE, NFKD, STRIP_ACCENTS, Precompiled, Replace, UnigramPieces

MODELS = Path(__file__).parent / "sentencepiece"
SPECIAL = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
PIECES = {"\u2581": -4, "\u2581the": -2, "\u2581cat": -3, "c": -6, "a": -5, "t": -5.5, "at": -4.5, "s": -5, "\u2581a": -4,
          "\u2581b": -4.2, "b": -5, ",": -3, "9": -4, "9,": -3.5, "\u25819,": -3.2, "\u25819": -4.1, "0,": -3, "0": -4, '"': -5,
          "A": -7, "e": -5.2}
RULES = {"Ａ": "A", "ﬁ": "fi", "\u3000": " ", "\u200b": "", "½": "1 2", "a\u0301": "á"}
STEPS = (Replace("``", '"'), NFKD, STRIP_ACCENTS, LOWERCASE)


def tokenizer(steps=(), frame=BERT, **options):
    vocab = Vocabulary([*SPECIAL, *PIECES], special=SPECIAL)
    scores = [0.0] * 5 + [float(score) for score in PIECES.values()]
    return Tokenizer(vocab, method=UnigramPieces, frame=frame, scores=scores, steps=steps, **options)


def test_words_begin_with_the_mark_and_are_cut_in_the_best_way():
    ours = tokenizer()
    assert ours.tokenize("the cat  bat") == ["\u2581the", "\u2581cat", "\u2581b", "at"]
    assert ours.tokenize("thecat\tcat\n") == ["\u2581the", "c", "at", "\u2581cat"]
    assert ours.tokenize("a\u2581b \u2581\u2581a") == ["\u2581a", "\u2581b", "\u2581", "\u2581a"]
    assert ours.tokenize("") == ours.tokenize("  ") == []
    assert ours.tokenize("xyz xyz") == ["\u2581", "<unk>", "\u2581", "<unk>"]


def test_special_tokens_are_found_or_words():
    ours = tokenizer()
    assert ours.tokenize("the [MASK]cat<pad>") == ["\u2581the", "[MASK]", "\u2581cat", "<pad>"]
    assert not {*ours.ids("the [MASK]cat<pad>")} & {0, 2, 3, 4}


def test_places_are_those_of_the_text():
    ours = tokenizer([*STEPS, Precompiled(compiled(RULES))])
    encoding = ours.encode(" The ``cÁ\u0301t ﬁ Ａ\u200bb")
    assert list(zip(encoding.tokens, encoding.offsets))[1:-1] == [
        ("\u2581the", (1, 4)), ("\u2581", (6, 7)), ('"', (6, 7)), ("c", (7, 8)), ("at", (8, 11)), ("\u2581", (12, 13)),
        ("<unk>", (12, 13)), ("\u2581a", (14, 15)), ("b", (16, 17))]
    assert encoding.words[1:-1] == [0, 1, 1, 1, 1, 2, 2, 3, 3]


def test_a_rule_may_make_words():
    ours = tokenizer([Precompiled(compiled(RULES | {"+": "a b"}))])
    assert ours.tokenize("a+a") == ["\u2581a", "a", "\u2581b", "a"]
    assert ours.encode("a+a").offsets[1:-1] == [(0, 1), (1, 2), (1, 2), (2, 3)]


def test_marks_of_every_kind_are_stripped():
    assert STRIP_ACCENTS.placed("e\u0301 க\u0bbe न\u0940 a\u20dd.", range(12)) == ("e க न a.", [0, 2, 3, 5, 6, 8, 9, 11])
    later = "\u07fd\u08d3\u1abf"  # than Unicode 9, where tokenizers stops
    assert STRIP_ACCENTS.placed(f"{later}\u1cf2", range(4)) == ("\u1cf2", [3])


@given(st.text("theca9,b \u2581Ａﬁ½\u0301\u200b`\t\r\n[MASK]", max_size=30), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_fast_way_and_the_traced_way_agree(text, special_tokens):
    for steps in ((), (*STEPS, Precompiled(compiled(RULES)))):
        ours = tokenizer(steps, comma=True)
        encoding = ours.encode(text, special_tokens=special_tokens)
        assert encoding.ids[1:-1] == ours.ids(text, special_tokens=special_tokens)
        last = 0
        for start, end in encoding.offsets[1:-1]:
            assert last <= start < end <= len(text)
            last = start


@pytest.mark.parametrize("comma", [False, True])
def test_many_texts_at_once_have_the_ids_that_each_has(comma):
    key = random.Random(1)
    parts = ["the", "cat", "xx", "9,", "0,", "xy", "\u2581", " ", "\t", "Ａ", "ﬁ", "e\u0301", "[MASK]", "\ud800"]
    texts = ["".join(key.choices(parts, k=key.randrange(30))) for _ in range(400)]
    ours, other = (tokenizer((*STEPS, Precompiled(compiled(RULES))), comma=comma) for _ in range(2))
    assert [*ours.ids_of(texts, special_tokens=True)] == [other.ids(text, special_tokens=True) for text in texts]
    assert "_batch" in vars(ours.method) or comma


def test_the_comma_behind_a_digit_is_alberts_own_rule():
    text = "9, 90, b9, 9,0 0,"
    assert tokenizer().tokenize(text) == ["\u25819,", "\u25819", "0,", "\u2581b", "9,", "\u25819,", "0", "\u2581", "0,"]
    assert tokenizer(comma=True).tokenize(text) == ["\u25819", ",", "\u25819", "0", ",", "\u2581b", "9", ",", "\u25819", ",", "0",
                                                   "\u2581", "0", ","]


def test_decoding_joins_with_spaces():
    ours = tokenizer()
    assert ours.decode(ours.encode("the cat bat, 9").ids) == "the cat bat, 9"
    assert ours.decode([]) == ""


def test_frames_are_those_of_the_families():
    assert tokenizer().encode("a", "b").token_type_ids == [0, 0, 0, 1, 1]
    roberta = tokenizer(frame=ROBERTA).encode("a", "b")
    assert roberta.tokens == ["[CLS]", "\u2581a", "[SEP]", "[SEP]", "\u2581b", "[SEP]"]
    assert {*roberta.token_type_ids} == {0}


# Folders


def folder(tmp_path, name, **settings):
    family = FAMILIES[name]
    model = spm.read(MODELS / ("albert.model" if name == "AlbertTokenizer" else "unigram.model"))
    spm.write(tmp_path / family.model, model)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **settings}), encoding="utf-8")
    return model


@pytest.mark.parametrize(("name", "first", "offset"), [
    ("AlbertTokenizer", ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "("], 0),
    ("XLMRobertaTokenizer", ["<s>", "<pad>", "</s>", "<unk>"], 1),
    ("CamembertTokenizer", ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"], 4),
])
def test_a_model_file_is_counted_as_the_family_does(tmp_path, name, first, offset):
    model = folder(tmp_path, name)
    ours = Tokenizer.load(tmp_path)
    assert list(ours.vocab.tokens[:len(first)]) == first
    assert ours.vocab.index[model.pieces[-1]] == len(model.pieces) - 1 + offset
    assert ours.vocab.mask_id == (4 if offset == 0 else len(ours.vocab) - 1)
    assert ours.notes == []
    text = "the fortune, (of) a wife 9"
    plain = [piece for piece in ours.tokenize(text) if piece != "<unk>"]
    assert plain
    assert all(ours.vocab.index[piece] == model.pieces.index(piece) + offset for piece in plain)


@pytest.mark.parametrize("fast", [False, True])
def test_what_is_unknown_has_the_number_that_the_file_gives_it(tmp_path, fast):
    model = folder(tmp_path, "AlbertTokenizer")
    order = [1, 0, *range(2, len(model.pieces))]  # <unk> first, where sentencepiece has it by itself
    spm.write(tmp_path / "spiece.model", model._replace(
        **{name: [getattr(model, name)[i] for i in order] for name in ("pieces", "scores", "types")}))
    ours = Tokenizer.load(tmp_path)
    if fast:
        ours.save(tmp_path / "again")
        ours = Tokenizer.load(tmp_path / "again")
    assert ours.vocab.tokens[:2] == ("<unk>", "<pad>")
    assert ours.ids("\u0436")[-1] == ours.vocab.unk_id == 0


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_saved_is_loaded_again(tmp_path, name):
    folder(tmp_path, name)
    ours = Tokenizer.load(tmp_path)
    ours.save(tmp_path / "again")
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    again = Tokenizer.load(tmp_path / "again")
    assert (again.vocab, again.frame, set(again.added)) == (ours.vocab, ours.frame, set(ours.added))
    for text in ("A man in WANT of a wife.", "cafe\u0301 ﬁne Ａ½™", "x\u2581y <mask>a [MASK]"):
        assert again.encode(text, "b") == ours.encode(text, "b")


def test_settings_choose_the_steps(tmp_path):
    folder(tmp_path, "AlbertTokenizer", do_lower_case=False, keep_accents=True, minibert_comma=True)
    ours = Tokenizer.load(tmp_path)
    assert [step.name for step in ours.method.steps] == ["Replace", "Replace", "Precompiled"]
    assert ours.method.comma
    ours.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").method.comma
    assert not Tokenizer.load(tmp_path / "again").lower_case


def test_without_a_class_the_file_tells_the_family(tmp_path):
    folder(tmp_path, "AlbertTokenizer")
    (tmp_path / "tokenizer_config.json").unlink()
    assert Tokenizer.load(tmp_path).frame == BERT._replace(shorten=by_halves)
    (tmp_path / "spiece.model").rename(tmp_path / "sentencepiece.bpe.model")
    assert Tokenizer.load(tmp_path).frame == ROBERTA


def test_steps_that_no_class_takes_are_saved_all_the_same(tmp_path):
    ours = tokenizer([LOWERCASE], BERT._replace(shorten=by_halves))
    ours.save(tmp_path)
    said = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast"
    again = Tokenizer.load(tmp_path)
    assert [step.name for step in again.method.steps] == ["Lowercase"]
    assert again.encode("THE `` cat") == ours.encode("THE `` cat")


@pytest.mark.parametrize("frame", [BERT, ROBERTA])
def test_what_describes_a_tokenizer_makes_it_again(frame):
    ours = tokenizer([*STEPS, Precompiled(compiled(RULES))], frame, comma=True, max_length=64)
    about = json.loads(json.dumps(ours.described()))
    again = Tokenizer.remade(ours.vocab.tokens, about)
    assert again.encode("The ``cat 9, ﬁ <pad>", "b") == ours.encode("The ``cat 9, ﬁ <pad>", "b")
    assert (again.vocab, again.frame, again.added, again.max_length) == (ours.vocab, frame, ours.added, 64)


def test_tokens_are_written_as_bert_writes_them():
    ours = tokenizer().method
    tokens = ["\u2581the", "at", "[MASK]", "\u2581"]
    assert [ours.written(token, False) for token in tokens] == ["the", "##at", "[MASK]", "\u2581"]
    assert ours.written("at", True) == "at"


def free(**changes):
    """A tokenizer.json that says everything itself."""
    whole = {"normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {
        "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]}, "post_processor": None,
        "model": {"type": "Unigram", "unk_id": 1, "vocab": [*([piece, 0.0] for piece in SPECIAL), *map(list, PIECES.items())]}}
    return whole | changes


@pytest.mark.parametrize(("changes", "message"), [
    ({"model": {"type": "Unigram", "vocab": {"a": 0}}}, r"must be a list of \[piece, score\]"),
    ({"model": {"type": "Unigram", "vocab": [["a", 0.0], ["b"]]}},
     r"entry 1 of its vocabulary must be \[piece, score\], found \['b'\]"),
    ({"model": {"type": "Unigram", "vocab": [["a", "x"]]}}, r"entry 0 of its vocabulary must be"),
    ({"model": {"type": "Unigram", "vocab": [["a", True]]}}, r"entry 0 of its vocabulary must be"),
    ({"normalizer": {"type": "NFC"}}, r"its normalizer asks for 'NFC' .*, which is not done here"),
    ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": "a"}, "content": "b"}]}},
     "its normalizer asks for 'Replace'"),
    ({"normalizer": 7}, "its normalizer must be an object, found 7"),
    ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": 7}}, "its precompiled_charsmap is damaged"),
    ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAA"}}, "its precompiled_charsmap is damaged"),
    ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"abcdef").decode()}},
     "its precompiled_charsmap is damaged: its trie should have"),
    ({"pre_tokenizer": {"type": "Metaspace", "replacement": "_"}}, "its pre_tokenizer is not WhitespaceSplit and then Metaspace"),
])
def test_what_cannot_be_done_is_named(tmp_path, changes, message):
    (tmp_path / "tokenizer.json").write_text(json.dumps(free(**changes)), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        Tokenizer.load(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "tokenizer.json"))


def test_other_classes_and_models_are_named(tmp_path):
    folder(tmp_path, "AlbertTokenizer")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}', encoding="utf-8")
    with pytest.raises(ValueError, match='tokenizer_class is "T5Tokenizer"; pieces of SentencePiece are read as'):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "AlbertTokenizer"}', encoding="utf-8")
    (tmp_path / "spiece.model").write_bytes((MODELS / "bpe.model").read_bytes())
    with pytest.raises(ValueError, match="a model of byte pairs, or with"):
        Tokenizer.load(tmp_path)
    folder(tmp_path, "AlbertTokenizer")
    with pytest.raises(ValueError, match="no other rule can cut its texts"):
        Tokenizer.load(tmp_path, cut="characters")


def test_a_damaged_folder_is_read_or_refused_and_nothing_else(tmp_path):
    tokenizer([*STEPS, Precompiled(compiled(RULES))], BERT._replace(shorten=by_halves)).save(tmp_path)
    path, rng, said = tmp_path / "tokenizer.json", random.Random(0), []
    data = path.read_bytes()
    for _ in range(300):
        harmed = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(harmed))
            harmed[at:at + rng.randrange(3)] = rng.choice([b"", b"9", b"-", b'"', b"]", b"null", b"\xff", b"[[", b"e999"])
        path.write_bytes(harmed)
        try:
            Tokenizer.load(tmp_path).encode("the ``cat 9, ﬁ")
        except ValueError as error:
            said.append(str(error))
    assert 100 < len(said) < 300
    assert max(map(len, said)) < 600
