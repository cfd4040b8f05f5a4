"""Special tokens that are written in the texts of examples, against transformers' tokenizer: the same ids, words and places."""

import pytest

transformers = pytest.importorskip("transformers")

from minibert.finetuning.options import Settings  # noqa: E402
from minibert.tasks.labelled import TASKS, choice, qa, tag  # noqa: E402
from tests import tiny_model  # noqa: E402

OURS = tiny_model.make()[2]
TEXT, PAIR = "the [SEP]an[MASK] exception [UNK]", "[CLS] a [mask] raises[PAD]."
SETTINGS = Settings(max_length=24)


@pytest.fixture
def theirs(tmp_path):
    OURS.save(tmp_path)
    return transformers.AutoTokenizer.from_pretrained(tmp_path)


def encoded(task, example):
    features, _ = TASKS[task].encode([example], OURS, ["x"], SETTINGS)
    return features


@pytest.mark.parametrize("pair", [None, PAIR])
def test_texts_and_pairs(theirs, pair):
    example = TASKS["classify"].Example(TEXT, pair, "x", "")
    feature, = encoded("classify", example)
    expected = theirs(TEXT, pair)
    assert feature.ids[0].tolist() == expected["input_ids"]
    types = [int(t >= feature.splits[0]) for t in range(len(feature.ids[0]))]
    assert types == expected["token_type_ids"]


def test_choices(theirs):
    feature, = encoded("choice", choice.Example(TEXT, [PAIR, "[MASK]"], 0, ""))
    assert [ids.tolist() for ids in feature.ids] == theirs([TEXT, TEXT], [PAIR, "[MASK]"])["input_ids"]


def test_words(theirs):
    words = ["the", "[SEP]", "an[MASK]b", "[UNK]", "exceptions"]
    feature, = encoded("tag", tag.Example(words, ["x"] * 5, ""))
    expected = theirs(words, is_split_into_words=True)
    assert feature.ids[0].tolist() == expected["input_ids"]
    assert feature.places == [expected.word_ids().index(word) for word in range(5)]


def test_places_in_the_context_of_a_question(theirs):
    question, context = "the [MASK] a", "a [SEP] b[MASK] c [UNK] the d e"
    answer = "c [UNK] the"
    feature, = encoded("qa", qa.Example("1", question, context, [(answer, context.index(answer))], ""))
    expected = theirs(question, context, return_offsets_mapping=True)
    assert feature.ids[0].tolist() == expected["input_ids"]
    window = feature.places
    second = [offset for offset, text in zip(expected["offset_mapping"], expected.sequence_ids()) if text == 1]
    assert list(map(tuple, window.spans)) == list(map(tuple, second))
    first, last = (place - window.first for place in feature.labels)
    assert context[window.spans[first][0]:window.spans[last][1]] == answer
