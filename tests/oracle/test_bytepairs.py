"""Byte pairs against the ``tokenizers`` library: ids, places and words of any text, and the joins that are learned from one.

``python tests/oracle/test_bytepairs.py`` prints where its classes of characters differ from ``unicodedata``.
"""

import json
import sys
import unicodedata
from collections import Counter

import pytest

tokenizers = pytest.importorskip("tokenizers")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tokenizers import decoders, models, pre_tokenizers, processors, trainers  # noqa: E402

from minibert.text import Tokenizer, Vocabulary  # noqa: E402
from minibert.text.added import AddedToken, special_tokens  # noqa: E402
from minibert.text.bytepairs import CHARACTERS, BytePairs  # noqa: E402
from minibert.text.frame import ROBERTA  # noqa: E402
from minibert.text.learn import BYTE_FIRST, BYTE_SPECIAL, learn_bpe  # noqa: E402

SPECIAL = BYTE_FIRST[:4]


def pair(merges, added=(), add_prefix_space=False):
    """Our tokenizer and the library's, with the same joins."""
    tokens = [*dict.fromkeys([*SPECIAL, *CHARACTERS, *(left + right for left, right in merges)])]
    theirs = tokenizers.Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    theirs.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, add_prefix_space)
    theirs.decoder = decoders.ByteLevel()
    theirs.add_special_tokens([*SPECIAL, tokenizers.AddedToken("<mask>", lstrip=True)])
    theirs.add_tokens([tokenizers.AddedToken(**vars(token)) for token in added])
    beyond = ["<mask>", *(token.content for token in added if token.content not in tokens)]
    vocab = Vocabulary([*tokens, *beyond], special=BYTE_SPECIAL, added=len(beyond))
    mask = AddedToken("<mask>", special=True, normalized=False, lstrip=True)
    ours = Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=merges, add_prefix_space=add_prefix_space,
                     added=[*(token for token in special_tokens(vocab) if token.content != "<mask>"), mask, *added])
    return ours, theirs


def assert_equal(ours, theirs, text, second=None):
    encoding, expected = ours.encode(text, second, max_length=10**9), theirs.encode(text, second)
    assert encoding.ids == expected.ids, text
    assert encoding.offsets == expected.offsets, text
    assert encoding.words == expected.word_ids, text
    assert encoding.token_type_ids == expected.type_ids
    assert encoding.special_tokens_mask == expected.special_tokens_mask
    assert ours.decode(encoding.ids) == theirs.decode(expected.ids), text
    if second is None:
        assert ours.ids(text, special_tokens=True) == expected.ids[1:-1], text


def trained(lines, size, min_frequency=2, add_prefix_space=False):
    """What the library's trainer learns: the tokens by id, and the joins."""
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    theirs.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, min_frequency=min_frequency, show_progress=False,
                               special_tokens=list(BYTE_FIRST), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(theirs.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(join) for join in model["merges"]]


def differences():
    """The code points that the library cuts otherwise between two letters, or between two digits: {char: category}."""
    ours, theirs = pair([])
    chars = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]

    def differ(chars):
        text = "".join(f"a{char}a1{char}1" for char in chars)
        expected = [text[start:end] for _, (start, end) in theirs.pre_tokenizer.pre_tokenize_str(text)]
        return ours.method.parts(text, False) != expected

    chunks = [chars[start:start + 64] for start in range(0, len(chars), 64)]
    return {char: unicodedata.category(char) for chunk in filter(differ, chunks) for char in chunk if differ([char])}


@pytest.fixture(scope="module")
def differing():
    return differences()


@pytest.fixture(scope="module")
def lines(shared_data):
    """Every distinct line of every file."""
    found = {}
    for path in sorted(shared_data.rglob("*")):
        if path.is_file():
            found |= dict.fromkeys(path.read_bytes().decode("utf-8").split("\n"))
    return list(found)


@pytest.fixture(scope="module")
def joins(lines):
    """What every seventh line teaches."""
    return trained(lines[::7], 8000)[1]


def test_few_characters_differ_and_none_that_people_write_with(differing):
    assert len([char for char, category in differing.items() if category != "Cn"]) < 3000
    assert not [char for char in differing if ord(char) < 0x0590 or 0x3000 <= ord(char) < 0xA000]


@pytest.mark.slow
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_ids_and_places_of_every_line_of_real_text(lines, joins, add_prefix_space):
    ours, theirs = pair(joins, add_prefix_space=add_prefix_space)
    for number, (line, expected) in enumerate(zip(lines, theirs.encode_batch(lines))):
        ids = ours.ids(line, special_tokens=True)
        assert ids == expected.ids[1:-1], line
        assert ours.decode(ours.ids(line)) == (f" {line}" if add_prefix_space and line[:1] not in ("", " ") else line)
        if number % 4 == 0 and not (add_prefix_space and line.startswith(" ")):  # there the library counts the blank in
            encoding = ours.encode(line, max_length=10**9)
            assert (encoding.ids, encoding.offsets, encoding.words) == (expected.ids, expected.offsets, expected.word_ids), line


@pytest.mark.parametrize(("add_prefix_space", "min_frequency", "size"), [(False, 2, 3000), (True, 1, 2000), (False, 50, 3000)])
def test_the_same_joins_are_learned(shared_data, add_prefix_space, min_frequency, size):
    text = "".join((shared_data / "corpora" / name).read_text("utf-8") for name in ("alice29.txt", "poet.tang.0.json"))
    vocab, merges = learn_bpe(text.split("\n"), size, min_frequency=min_frequency, add_prefix_space=add_prefix_space)
    assert (list(vocab.tokens), merges) == trained(text.split("\n"), size, min_frequency, add_prefix_space)


@given(st.lists(st.lists(st.sampled_from(["ab", "ba", " ", "aab", "é", "1"]), max_size=6).map("".join), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_same_joins_are_learned_from_few_words(lines):
    if any(lines):
        vocab, merges = learn_bpe(lines, 300, min_frequency=1)
        assert (list(vocab.tokens), merges) == trained(lines, 300, 1)


PIECES = ["a", "b", "Ġ", "Ã", "©", "ab", "Ġa", "ba", "Ã©"]
MERGES = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(PIECES)), max_size=10, unique=True).map(
    lambda found: [join for number, join in enumerate(found)
                   if set(join) <= {*CHARACTERS, *(left + right for left, right in found[:number])}])
ADDED = st.lists(st.builds(AddedToken, st.sampled_from(["[E]", "ab", "é", "<x>", "a b"]), *[st.booleans()] * 5), max_size=3,
                 unique_by=lambda token: token.content)


@given(st.data(), MERGES, ADDED)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_text_any_joins_any_added_tokens(differing, data, merges, added):
    anything = st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="".join(differing))
    likely = st.sampled_from([*"ab é  \t\n1½'", "'s", "'ll", "\u00a0", "\x1c", "\x85", "\u3000", "\u200d", "e\u0301", "<mask>",
                              "</s>", "<s>", *(token.content for token in added)])
    text, second = (data.draw(st.lists(st.one_of(likely, anything), max_size=15).map("".join)) for _ in range(2))
    ours, theirs = pair(merges, added)
    assert_equal(ours, theirs, text)
    assert_equal(ours, theirs, text, second)


@given(st.data(), MERGES)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_lists_of_words_are_those_of_a_tokenizer_that_puts_a_blank_before_them(data, merges):
    words = data.draw(st.lists(st.text("abé1,", min_size=1, max_size=4), max_size=5))
    ours, theirs = pair(merges, add_prefix_space=True)
    expected = theirs.encode(words, is_pretokenized=True)
    for tokenizer in (ours, pair(merges)[0]):
        encoding = tokenizer.encode(words)
        assert (encoding.ids, encoding.offsets, encoding.words) == (expected.ids, expected.offsets, expected.word_ids)


@pytest.mark.parametrize(("first", "second", "limit"), [(9, 4, 12), (4, 9, 12), (8, 8, 13), (8, 8, 12), (7, 8, 13), (8, 7, 13),
                                                        (9, 2, 6), (9, 9, 5), (3, 9, 20), (1, 9, 6)])
def test_truncation(first, second, limit):
    ours, theirs = pair([])
    theirs.enable_truncation(limit)
    texts = "a" * first, "b" * second
    assert ours.encode(*texts, max_length=limit, truncate=True).ids == theirs.encode(*texts).ids


if __name__ == "__main__":
    found = differences()
    print(f"unicodedata {unicodedata.unidata_version}, tokenizers {tokenizers.__version__}: {len(found)} code points")
    for category, count in Counter(found.values()).most_common():
        print(category, count, " ".join(f"U+{ord(char):04X}" for char, its in found.items() if its == category)[:60])
