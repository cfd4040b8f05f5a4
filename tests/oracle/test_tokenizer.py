"""The tokenizer against the two that everybody uses: the ``tokenizers`` library and transformers' Python code.

``python tests/oracle/test_tokenizer.py`` prints where the library's tables of characters differ from ``unicodedata``.
"""

import json
import sys
import unicodedata
from collections import Counter
from itertools import chain

import pytest

tokenizers = pytest.importorskip("tokenizers")

from hypothesis import assume, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from minibert.text import Tokenizer, Vocabulary  # noqa: E402
from minibert.text.learn import learn  # noqa: E402
from minibert.text.normalize import Normalizer  # noqa: E402

MODELS = {"uncased": True, "cased": False, "chinese": True}  # whether the text is lowered
OPTIONS = [
    {"lower_case": lower_case, "strip_accents": strip_accents, "split_cjk": split_cjk}
    for lower_case in (True, False)
    for strip_accents in (None, True, False)
    for split_cjk in (True, False)
]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCéé北京한ﬁж"
VOCABULARY = dict.fromkeys([
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS),
    *"!'(),-.:;?[]#。，", "the", "##ing", "un", "##able", "mask", "\u0301", "##\u0301",
])  # fmt: skip


def library(vocabulary, lower_case=True, strip_accents=None, split_cjk=True):
    return tokenizers.BertWordPieceTokenizer(
        vocabulary, lowercase=lower_case, strip_accents=strip_accents, handle_chinese_chars=split_cjk
    )


def differences(chars, lower_case=True):
    """The code points that the library treats otherwise between two letters: {char: (category, our way, its way)}."""
    ours = Normalizer(lower_case=lower_case)
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower_case)
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str

    def way(words):
        return "removed" if words == ["ab"] else {1: "kept", 2: "a space", 3: "a word"}[len(words)]

    found = {}
    for char in chars:
        text = f"a{char}b"
        our_words = ours.words(text)
        its_words = [word for word, _ in split(normalizer.normalize_str(text))]
        if our_words != its_words:
            found[char] = unicodedata.category(char), way(our_words), way(its_words)
    return found


def code_points():
    return map(chr, chain(range(0xD800), range(0xE000, sys.maxunicode + 1)))  # surrogates are no text for the library


@pytest.fixture(scope="module")
def differing():
    assigned = [char for char in code_points() if unicodedata.category(char) not in ("Cn", "Co")]
    return {**differences(assigned, True), **differences(assigned, False)}


@pytest.fixture(scope="module", params=MODELS)
def real(request, shared_data):
    """Ours and the library's tokenizer for one of the real vocabularies."""
    path = shared_data / "vocab" / f"bert-base-{request.param}-vocab.txt"
    lower_case = MODELS[request.param]
    return Tokenizer(Vocabulary.load(path), lower_case=lower_case, max_length=10**9), library(str(path), lower_case)


@pytest.fixture(scope="module")
def lines(shared_data):
    """Every distinct line of every file."""
    found = {}
    for path in sorted(shared_data.rglob("*")):
        if path.is_file():
            found |= dict.fromkeys(path.read_bytes().decode("utf-8").split("\n"))
    return list(found)


@pytest.mark.slow
def test_ids_and_offsets_of_every_line_of_real_text(real, lines):
    ours, theirs = real
    for number, (line, expected) in enumerate(zip(lines, theirs.encode_batch(lines))):
        assert ours.ids(line, special_tokens=True) == expected.ids[1:-1], line
        if number % 4 == 0:  # the offsets of all of them take a minute more, and are equal too
            encoding = ours.encode(line)
            assert encoding.ids == expected.ids, line
            assert encoding.offsets == expected.offsets, line


def test_few_characters_differ_and_none_that_people_write_with(differing):
    assert len(differing) < 3000  # assigned ones; the later the Unicode of this Python, the more
    common = [char for char in differing if ord(char) < 0x0590 or 0x3000 <= ord(char) < 0xA000]
    assert not common


@given(st.data())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_random_unicode(differing, data):
    same = "".join(differing) + "Σ"  # a final sigma is the one rule that differs
    anything = st.characters(exclude_categories=["Cs", "Cn"], exclude_characters=same)
    likely = st.sampled_from([*VOCABULARY, " ", "\t", "\x0b", "\x85", "\u2028", "\u3000", "\u200b", "İ", "É", "Å"])
    text = data.draw(st.lists(st.one_of(likely, anything), max_size=30).map("".join))
    options = data.draw(st.sampled_from(OPTIONS))
    ours = Tokenizer(Vocabulary(list(VOCABULARY)), **options)
    theirs = library({token: number for number, token in enumerate(VOCABULARY)}, **options)
    encoding, expected = ours.encode(text), theirs.encode(text)
    assert encoding.tokens == expected.tokens
    assert encoding.ids == expected.ids
    assert encoding.offsets == expected.offsets
    assert encoding.special_tokens_mask == expected.special_tokens_mask


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_pairs_and_special_tokens_in_the_text(options):
    ours = Tokenizer(Vocabulary(list(VOCABULARY)), **options)
    theirs = library({token: number for number, token in enumerate(VOCABULARY)}, **options)
    pair = "the[MASK]ing [MASK], [mask] [SEP]É", "[CLS][PAD] unable [UNK]北[MASK"
    encoding, expected = ours.encode(*pair), theirs.encode(*pair)
    assert encoding.ids == expected.ids
    assert encoding.token_type_ids == expected.type_ids
    assert encoding.offsets == expected.offsets
    assert encoding.special_tokens_mask == expected.special_tokens_mask


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 200])
def test_very_long_words(length):
    text = "a" * length + " the"
    theirs = library({token: number for number, token in enumerate(VOCABULARY)})
    assert Tokenizer(Vocabulary(list(VOCABULARY))).encode(text).tokens == theirs.encode(text).tokens


# transformers

@pytest.fixture(scope="module")
def python_bert():
    """transformers' module with the tokenizer in plain Python: its name depends on the version."""
    transformers = pytest.importorskip("transformers")
    try:
        from transformers.models.bert import tokenization_bert_legacy as module
    except ImportError:
        from transformers.models.bert import tokenization_bert as module
    if not hasattr(module, "BasicTokenizer"):
        pytest.skip(f"transformers {transformers.__version__} has no BERT tokenizer in Python")
    return module


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.sampled_from(OPTIONS))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_words_equal_those_of_the_python_tokenizer(python_bert, text, options):
    assume(unicodedata.is_normalized("NFC", text))  # transformers composes characters first, the reference does not
    theirs = python_bert.BasicTokenizer(
        do_lower_case=options["lower_case"],
        strip_accents=options["strip_accents"],
        tokenize_chinese_chars=options["split_cjk"],
    )
    assert Normalizer(**options).words(text) == theirs.tokenize(text)


def test_every_code_point_equals_the_python_tokenizer(python_bert):
    theirs = python_bert.BasicTokenizer()
    ours = Normalizer()
    chars = [char for char in map(chr, range(0x30000)) if unicodedata.is_normalized("NFC", char)]
    texts = [" ".join(f"a{char}b" for char in chars[start : start + 64]) for start in range(0, len(chars), 64)]
    for text in texts:
        assert ours.words(text) == theirs.tokenize(text)


def test_truncation_equals_the_python_tokenizer(python_bert, tmp_path):
    Tokenizer(Vocabulary(list(VOCABULARY))).save(tmp_path)
    name = "BertTokenizerLegacy" if hasattr(python_bert, "BertTokenizerLegacy") else "BertTokenizer"
    theirs = getattr(python_bert, name)(str(tmp_path / "vocab.txt"))
    ours = Tokenizer.load(tmp_path)
    for first, second, limit in [(9, 4, 12), (4, 9, 12), (8, 8, 12), (8, 8, 13), (7, 8, 12), (8, 7, 11), (9, 2, 5)]:
        texts = "the unable " * (first // 2) + "a" * (first % 2), "b " * second
        expected = theirs(*texts, max_length=limit, truncation="longest_first", return_token_type_ids=True)
        encoding = ours.encode(*texts, max_length=limit, truncate=True)
        assert encoding.ids == expected["input_ids"]
        assert encoding.token_type_ids == expected["token_type_ids"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["AutoTokenizer", "BertTokenizer", "BertTokenizerFast"])
def test_saved_folders_open_in_transformers(tmp_path, name, options):
    transformers = pytest.importorskip("transformers")
    ours = Tokenizer(Vocabulary(list(VOCABULARY)), **options, max_length=77)
    ours.save(tmp_path)
    theirs = getattr(transformers, name).from_pretrained(str(tmp_path))
    text = "The Ünable [MASK] éing, 北京 abc。"
    assert theirs(text)["input_ids"] == ours.encode(text).ids
    assert theirs.model_max_length == 77
    assert (theirs.pad_token_id, theirs.mask_token_id) == (ours.vocab.pad_id, ours.vocab.mask_id)
    batch = theirs([text, "a"], padding=True, return_tensors="np")
    ids, types, mask = ours.batch([ours.encode(text), ours.encode("a")])
    assert (batch["input_ids"] == ids).all()
    assert (batch["token_type_ids"] == types).all()
    assert (batch["attention_mask"] == mask).all()


def test_folders_saved_by_transformers_open_here(tmp_path):
    """What matters of a real BERT's folder: vocab.txt, and the settings as transformers writes them."""
    transformers = pytest.importorskip("transformers")
    Tokenizer(Vocabulary(list(VOCABULARY)), lower_case=False).save(tmp_path / "ours")
    theirs = transformers.BertTokenizer.from_pretrained(str(tmp_path / "ours"))
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert json.loads((tmp_path / "theirs" / "tokenizer_config.json").read_text("utf-8"))["do_lower_case"] is False
    Vocabulary(list(VOCABULARY)).save(tmp_path / "theirs" / "vocab.txt")
    ours = Tokenizer.load(tmp_path / "theirs")
    assert ours.encode("The É [MASK]").ids == theirs("The É [MASK]")["input_ids"]
    assert ours.max_length == 512


def test_learned_vocabulary_is_as_good_as_the_library_s(shared_data):
    text = (shared_data / "corpora" / "alice29.txt").read_text("utf-8")
    theirs = tokenizers.BertWordPieceTokenizer(lowercase=True)
    theirs.train_from_iterator(text.split("\n"), vocab_size=2000, min_frequency=2, show_progress=False)
    ours = Tokenizer(learn(text.split("\n"), 2000))
    assert len(ours.vocab) == theirs.get_vocab_size() == 2000
    ids = ours.ids(text)
    assert len(ids) <= 1.01 * len(theirs.encode(text, add_special_tokens=False).ids)
    assert ours.vocab.unk_id not in ids


if __name__ == "__main__":
    found = differences(code_points())
    print(f"unicodedata {unicodedata.unidata_version}, tokenizers {tokenizers.__version__}: {len(found)} code points")
    print(f"{'category':<10}{'here':<10}{'there':<10}{'count':>8}   for instance")
    for kind, count in Counter(found.values()).most_common():
        some = " ".join(f"U+{ord(char):04X}" for char, its in found.items() if its == kind)
        print("".join(f"{word:<10}" for word in kind) + f"{count:>8}   {some[:60]}")
