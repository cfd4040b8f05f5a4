"""The tokenizer of a folder: what its files say, where they part, and what is refused. Equal ids: ``tests/oracle``."""

import json

import pytest

from minibert.text import Tokenizer, Vocabulary
from minibert.text.saved import NO_LIMIT
from minibert.text.words import WordPieces
from tests.tiny_model import TOKENS

N = len(TOKENS)
SETTINGS, FAST = "tokenizer_config", "tokenizer"


def folder(path, vocab=TOKENS, **files):
    if vocab is not None:
        Vocabulary(vocab).save(path / "vocab.txt")
    for name, values in files.items():
        (path / f"{name}.json").write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


def load(path, vocab=TOKENS, **files):
    return Tokenizer.load(folder(path, vocab, **files))


def fast(**changes):
    return {"model": {"type": "WordPiece", "vocab": {token: i for i, token in enumerate(TOKENS)}}, "added_tokens": []} | changes


def normalizer(**changes):
    return {"type": "BertNormalizer", "lowercase": True, "strip_accents": None} | changes


def test_tokens_beside_the_vocabulary_have_no_unknown_in_them(tmp_path):
    tokenizer = load(tmp_path, added_tokens={"[E1]": N, "[E2]": N + 1}, tokenizer_config={"do_lower_case": True})
    assert tokenizer.notes == []
    assert tokenizer.encode("[E1] the [e2]x").tokens == ["[CLS]", "[E1]", "the", "[E2]", "x", "[SEP]"]
    assert tokenizer.encode("[E1] the [e2]x").offsets[1:-1] == [(0, 4), (5, 8), (9, 13), (13, 14)]
    assert tokenizer.ids("[E1] the") == [N, TOKENS.index("the")]  # it is a word, also of text that is trained on
    assert tokenizer.decode([N, N + 1]) == "[E1] [E2]"
    assert "[E1]" not in tokenizer.vocab.pieces


def test_special_ones_are_words_where_literal_text_is_asked_for(tmp_path):
    tokenizer = load(tmp_path, tokenizer_config={"additional_special_tokens": ["xy"]}, added_tokens={"xy": N, "yx": N + 1})
    assert tokenizer.tokenize("xy yx") == ["xy", "yx"]
    assert tokenizer.tokenize("xy yx", special_tokens=False) == ["x", "##y", "yx"]
    assert tokenizer.decode(tokenizer.encode("xy yx").ids) == "yx"


def test_ids_are_those_of_the_file_and_stay_so_in_a_copy(tmp_path):
    tokenizer = load(tmp_path, added_tokens={"[E1]": N + 2, "[E2]": N + 5})
    assert [tokenizer.vocab.index[name] for name in ("[E1]", "[E2]")] == [N + 2, N + 5]
    assert tokenizer.ids("the [E1] [E2] .") == [TOKENS.index("the"), N + 2, N + 5, TOKENS.index(".")]
    (tmp_path / "copy").mkdir()
    tokenizer.save(tmp_path / "copy")
    again = Tokenizer.load(tmp_path / "copy")
    assert again.vocab == tokenizer.vocab
    assert again.added == tuple(sorted(tokenizer.added, key=lambda token: tokenizer.vocab.index[token.content]))
    assert again.notes == []


def test_a_word_of_the_vocabulary_keeps_its_id(tmp_path):
    tokenizer = load(tmp_path, added_tokens={"the": N, "[E1]": 5})
    assert tokenizer.ids("the [E1]") == [TOKENS.index("the"), N]
    assert tokenizer.notes[0].endswith(f"as in transformers, [E1] is {N} and not 5, the is {TOKENS.index('the')} and not {N}")


def test_special_tokens_may_have_other_names(tmp_path):
    names = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    settings = {f"{name[1:-1].lower()}_token": other for name, other in names.items()}
    (tmp_path / "vocab.txt").write_text("".join(f"{names.get(token, token)}\n" for token in TOKENS), encoding="utf-8")
    tokenizer = load(tmp_path, None, tokenizer_config=settings)
    assert tokenizer.encode("the<mask> ß").tokens == ["<s>", "the", "<mask>", "<unk>", "</s>"]
    assert tokenizer.vocab.mask_id == 4
    (tmp_path / "copy").mkdir()
    tokenizer.save(tmp_path / "copy")
    assert Tokenizer.load(tmp_path / "copy").vocab == tokenizer.vocab


def test_without_cls_and_sep_texts_have_no_frame_and_pairs_are_refused(tmp_path):
    tokenizer = load(tmp_path, [token for token in TOKENS if token not in ("[CLS]", "[SEP]")])
    assert tokenizer.notes == [f"{tmp_path / 'vocab.txt'} has no [CLS] and no [SEP] for a text: texts are read without"]
    assert tokenizer.encode("the").tokens == ["the"]
    with pytest.raises(ValueError, match=r"vocab\.txt has no \[SEP\], which a pair of texts needs"):
        tokenizer.encode("the", "the")
    with pytest.raises(ValueError, match=r"has no \[CLS\], \[SEP\], which a text without any word needs"):
        tokenizer.batch([tokenizer.encode("")])


def test_without_unk_only_unknown_words_are_refused(tmp_path):
    tokenizer = load(tmp_path, [token for token in TOKENS if token != "[UNK]"])
    assert tokenizer.tokenize("the raises") == ["the", "raises"]
    with pytest.raises(ValueError, match=r"vocab\.txt has no \[UNK\], which 'ß', a word that its pieces cannot make, needs"):
        tokenizer.ids("the ß")


def test_a_token_without_a_row_in_the_table_is_refused_in_a_text(tmp_path):
    tokenizer = load(tmp_path, added_tokens={"[E1]": N})
    tokenizer.rows = N
    assert tokenizer.tokenize("the") == ["the"]
    with pytest.raises(ValueError, match=rf"the text has \[E1\], which is token {N}, but the model's table .* only {N} rows"):
        tokenizer.encode("the [E1]")


@pytest.mark.parametrize(("said", "theirs", "lowers", "note"), [
    (True, True, True, None), (False, False, False, None), (None, True, True, None),
    (True, False, True, "says do_lower_case true and tokenizer.json lowercase false; true is done"),
    (False, True, False, "says do_lower_case false and tokenizer.json lowercase true; false is done"),
    (None, False, False, "does not say do_lower_case, but tokenizer.json keeps capital letters, so they are kept"),
    ("false", None, False, None), ("True", None, True, None),
])
def test_settings_come_before_the_normalizer_and_where_they_part_it_is_said(tmp_path, said, theirs, lowers, note):
    settings = {} if said is None else {"do_lower_case": said}
    files = {FAST: fast(normalizer=normalizer(lowercase=theirs))} if theirs is not None else {}
    tokenizer = load(tmp_path, tokenizer_config=settings, **files)
    assert tokenizer.lower_case is lowers
    assert len(tokenizer.notes) == (note is not None)
    assert note is None or note in tokenizer.notes[0]


def test_a_normalizer_within_a_sequence_is_found(tmp_path):
    sequence = {"type": "Sequence", "normalizers": [{"type": "NFC"}, normalizer(lowercase=False, handle_chinese_chars=False)]}
    tokenizer = load(tmp_path, tokenizer_config={"tokenizer_class": "BertTokenizer"}, tokenizer=fast(normalizer=sequence))
    assert (tokenizer.lower_case, tokenizer.split_cjk) == (False, False)


@pytest.mark.parametrize(("value", "limit", "noted"), [
    (None, NO_LIMIT, False), (512, 512, False), ("512", 512, False), (512.0, 512, False), (1e30, NO_LIMIT, False),
    (NO_LIMIT, NO_LIMIT, False), (10**400, NO_LIMIT, True), ("many", NO_LIMIT, True), (0, NO_LIMIT, True), (-1, NO_LIMIT, True),
    (True, NO_LIMIT, True), ([512], NO_LIMIT, True),
])
def test_the_length_of_a_text(tmp_path, value, limit, noted):
    tokenizer = load(tmp_path, tokenizer_config={"model_max_length": value})
    assert tokenizer.max_length == limit
    assert any("model_max_length" in note for note in tokenizer.notes) == noted


def test_what_has_no_effect_is_said(tmp_path):
    settings = {"never_split": ["a-b"], "do_basic_tokenize": False, "split_special_tokens": True}
    tokenizer = load(tmp_path, tokenizer_config=settings)
    assert [note.split(": ")[1] for note in tokenizer.notes] == [
        f"{key} has no effect here" for key in settings]
    tokenizer = load(tmp_path, tokenizer_config={"never_split": None, "do_basic_tokenize": True}, tokenizer=fast(
        normalizer=normalizer(clean_text=False)))
    assert [note.split(": ")[1] for note in tokenizer.notes] == ["clean_text false has no effect here"]


def test_two_vocabularies_that_part_are_said(tmp_path):
    tokenizer = load(tmp_path, [*TOKENS[:-1], "zz"], tokenizer=fast())
    assert tokenizer.vocab.tokens == TOKENS
    assert "have other tokens: the latter is read, as transformers does" in tokenizer.notes[0]


def test_a_vocabulary_in_json_may_have_gaps(tmp_path):
    vocab = {token: i + (i > 9) for i, token in enumerate(TOKENS)} | {"no line\nholds this": N + 1}
    tokenizer = load(tmp_path, None, tokenizer=fast(model={"type": "WordPiece", "vocab": vocab}))
    assert tokenizer.vocab.tokens[10] == "[unused:10]"
    assert tokenizer.vocab.tokens[-1] == f"[unused:{N + 1}]"
    assert tokenizer.ids("the") == [TOKENS.index("the") + 1]


DEEP = "[" * 5000 + "]" * 5000
TEMPLATE = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": []}


@pytest.mark.parametrize(("files", "message"), [
    ({SETTINGS: "{"}, r"tokenizer_config\.json: not valid JSON"),
    ({SETTINGS: "[1]"}, r"tokenizer_config\.json: expected a JSON object, got list"),
    ({SETTINGS: f'{{"a": {DEEP}}}'}, r"tokenizer_config\.json: it is nested too deeply"),
    ({SETTINGS: {"do_lower_case": "no"}}, r'tokenizer_config\.json: do_lower_case must be true or false, found "no"'),
    ({SETTINGS: {"do_lower_case": ["x"]}}, "do_lower_case must be true or false, found a JSON list"),
    ({SETTINGS: {"mask_token": 5}}, r"tokenizer_config\.json: 5 is no token"),
    ({SETTINGS: {"mask_token": {"content": "[MASK]", "lstrip": "yes"}}}, "a JSON object is no token"),
    ({SETTINGS: {"word_tokenizer_type": "mecab"}}, 'word_tokenizer_type is "mecab": another program finds the words'),
    ({SETTINGS: {"added_tokens_decoder": ["x"]}}, "added_tokens_decoder must be a JSON object, found a JSON list"),
    ({SETTINGS: {"added_tokens_decoder": {"-1": {"content": "x y"}}}}, 'the id of an added token .*found "-1"'),
    ({SETTINGS: {"extra_special_tokens": "x"}}, 'extra_special_tokens must be a JSON list, found "x"'),
    ({"added_tokens": {"[E1]": 1.5}}, r"added_tokens\.json: the id of an added token must be .* from 0 on, found 1\.5"),
    ({"added_tokens": {"[E1]": 10**30}}, r'"\[E1\]" has the id 10{30}, but there are only \d+ tokens before it'),
    ({"special_tokens_map": {"mask_token": []}, SETTINGS: {"cls_token": []}}, None),
    ({FAST: {"model": {"type": "WordLevel", "vocab": {}}}}, r'no tokenizer of a kind that is read here, WordPiece or BPE or '
     r'Unigram with a vocabulary \(its model is "WordLevel"\); if vocab\.txt beside it belongs to the model, delete '
     r'tokenizer\.json'),
    ({FAST: {"model": ["x"]}}, "no tokenizer of a kind that is read here"),
    ({FAST: fast(model={"vocab": {"[UNK]": 0, "a": 0}})}, r"the 2 tokens of its vocabulary must have as many ids"),
    ({FAST: fast(model={"vocab": {"[UNK]": 0, "a": 10**9}})}, r'whole numbers from 0 on, but "a" has 1000000000'),
    ({FAST: fast(normalizer=["x"])}, r"tokenizer\.json: its normalizer must be an object, found a JSON list"),
    ({FAST: fast(normalizer={"type": "Sequence", "normalizers": "x"})}, "its normalizer must be an object"),
    ({FAST: fast(normalizer=normalizer(lowercase="x"))}, 'lowercase must be true or false, found "x"'),
    ({FAST: fast(added_tokens=["x", 5])}, "the id of an added token must be a whole number"),
    ({FAST: fast(post_processor=TEMPLATE)}, r"its post_processor makes something else of texts than \[CLS\] text \[SEP\]"),
    ({FAST: fast(post_processor=["x"])}, "its post_processor makes something else"),
    ({FAST: fast(normalizer={"type": "Lowercase"}), SETTINGS: {"tokenizer_class": "PreTrainedTokenizerFast"}},
     r"tokenizer\.json asks for texts to be normalised or cut otherwise than BERT does it"),
])
def test_what_cannot_be_read_is_named(tmp_path, files, message):
    if message is None:
        assert load(tmp_path, **files).vocab.mask_id == 4  # an empty list names nothing
        return
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **files)


def test_a_final_sigma(tmp_path):
    tokenizer = Tokenizer(Vocabulary([*TOKENS, "οδος", "οδοσ"]))
    assert tokenizer.tokenize("ΟΔΟΣ") == ["οδος"]  # transformers: οδοσ
    assert "sigma" in WordPieces.__doc__


def test_what_describes_a_tokenizer_makes_it_again_also_as_it_was_said_once():
    tokenizer = Tokenizer(Vocabulary(TOKENS), lower_case=False, max_length=64)
    about = json.loads(json.dumps(tokenizer.described()))
    for said in (about, {key: value for key, value in about.items() if key not in ("kind", "frame")}):
        again = Tokenizer.remade(TOKENS, said)
        assert again.encode("The cat", "sat") == tokenizer.encode("The cat", "sat")
        assert (again.lower_case, again.max_length, again.frame) == (False, 64, tokenizer.frame)
