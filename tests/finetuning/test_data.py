"""Files as they come, and as they should not come."""

import json

import numpy as np
import pytest

from minibert.finetuning.options import Settings
from minibert.layers.cross_entropy import IGNORE
from minibert.tasks.labelled import TASKS, qa, tag
from tests import tiny_model


@pytest.fixture
def read(tmp_path):
    """``read(task, content, name, **settings)``: the examples of a file with this content."""
    def make(task, content, name="data.tsv", labelled=True, **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return TASKS[task].read(path, Settings(task=task, **settings), labelled)
    return make


@pytest.mark.parametrize(("content", "name", "settings", "columns", "first"), [
    ("so good\t1\nso bad\t0\n", "a.tsv", {}, {"text": "1", "label": "2"}, ("so good", None, "1")),
    ("1\tso good\n0\tso bad\n", "a.tsv", {}, {"text": "2", "label": "1"}, ("so good", None, "1")),
    ("label\ttext_a\n1\t好\n0\t坏\n", "a.tsv", {}, {"text": "text_a", "label": "label"}, ("好", None, "1")),
    ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t12\t13\tHe said \" yes .\tShe said no .\n", "a.tsv", {},
     {"text": "#1 String", "pair": "#2 String", "label": "Quality"}, ('He said " yes .', "She said no .", "1")),
    ('id,sentence,label\r\n1,"a, b",yes\r\n', "a.csv", {}, {"text": "sentence", "label": "label"}, ("a, b", None, "yes")),
    ('{"sentence1": "a", "sentence2": "b", "gold_label": "neutral", "n": 3}\n\n', "a.jsonl", {},
     {"text": "sentence1", "pair": "sentence2", "label": "gold_label"}, ("a", "b", "neutral")),
    ('[{"text": "a", "label": 1}]', "a.json", {}, {"text": "text", "label": "label"}, ("a", None, "1")),
    ("o\tp\tq\nu\tv\tw\n", "a.tsv", {"text": "3", "label": "1", "pair": "2"}, {"text": "3", "pair": "2", "label": "1"},
     ("q", "p", "o")),
    ("what\twhy\nu\tv\n", "a.tsv", {"text": "what", "label": "why"}, {"text": "what", "label": "why"}, ("u", None, "v")),
    ("text\tlabel\nu v w x\ty\n", "a.tsv", {"header": False}, {"text": "1", "label": "2"}, ("text", None, "label")),
])
def test_columns_are_found(content, name, settings, columns, first, read):
    data = read("classify", content, name, **settings)
    assert data.columns == columns
    assert data.examples[0][:3] == first


def test_numbers_are_recognised_as_labels_of_a_regression(read):
    data = read("regress", "1.5\tx\ta b c\n2\tx\tc d e\n")
    assert data.columns == {"text": "3", "label": "1"}
    assert data.examples[0].label == 1.5


@pytest.mark.parametrize(("task", "content", "name", "settings", "message"), [
    ("classify", "", "a.tsv", {}, r"a\.tsv is empty"),
    ("classify", b"good\t1\nb\xe4d\t0\n", "a.tsv", {}, r"not UTF-8: byte 0xe4 at offset 8 \(line 2\)"),
    ("classify", "a\t1\nb\n", "a.tsv", {}, r"line 2: expected 2 columns as in line 1, found 1"),
    ("classify", "so good\t1\n \t0\n", "a.tsv", {}, r"line 2: the text \(column 1\) is empty"),
    ("classify", "text\tlabel\n", "a.tsv", {}, "a header and no examples"),
    ("classify", "text\ttext\na\tb\n", "a.tsv", {}, "a name twice"),
    ("classify", "text\tlabel\na\tb\n", "a.tsv", {"text": "sentense"},
     "no column 'sentense' for the text; its columns are text, label"),
    ("classify", "a\tb\n", "a.tsv", {"label": "3"}, r"no column '3' for the label.*name them by number"),
    ("classify", "text\tother\na\tb\n", "a.tsv", {}, "which column is the label.*--label"),
    ("classify", '{"text": "a", "label": 1}\n{"text": ', "a.jsonl", {}, "line 2: not valid JSON"),
    ("classify", '{"text": "a", "label": 1}\n[1]\n', "a.jsonl", {}, "line 2: expected a JSON object"),
    ("classify", '{"text": "a", "label": 1}\n{"text": ["b"], "label": 0}\n', "a.jsonl", {}, "line 2: the text.*a JSON list"),
    ("regress", "text\tscore\na\tgreat\n", "a.tsv", {}, "line 2: the label 'great' is not a number.*classify"),
    ("regress", "text\tscore\na\tinf\n", "a.tsv", {}, "not a number"),
    ("tag", "a\tO\nb\n\n", "a.conll", {}, r"line 2: expected 2 columns as in line 1, found 1: 'b'"),
    ("tag", "a\tO\nb\t\n\n", "a.conll", {}, "line 2: expected 2 columns"),
    ("tag", "a\nb\n", "a.conll", {}, "has words but no tags"),
    ("tag", "-DOCSTART- -X- O O\n\n", "a.conll", {}, "has no sentences"),
    ("tag", '{"words": ["a", "b"], "ner": ["O"]}', "a.jsonl", {}, "two lists of the same length"),
    ("tag", '{"wort": ["a"], "ner": ["O"]}', "a.jsonl", {}, "expected fields words or tokens"),
    ("choice", '{"sent1": "a", "ending0": "b", "ending1": "c", "label": 3}', "a.json", {}, "from 0 to 1.*got '3'"),
    ("choice", '{"sent1": "a", "ending0": "b", "label": 0}', "a.json", {}, "expected a text.*choices"),
    ("choice", '{"sent1": "a", "choices": ["b", "c"], "label": 0}\n{"sent1": "a", "choices": ["b"], "label": 0}', "a.jsonl", {},
     "line 2: every example must have the same number of choices.*has 2, this one 1"),
    ("qa", '{"data": [{"paragraphs": [{"qas": [{}]}]}]}', "a.json", {}, "not laid out like SQuAD"),
    ("qa", '{"data": []}', "a.json", {}, "holds no questions"),
    ("qa", '[{"id": 7, "question": "?", "context": "blue", "answers": [{"text": "red", "answer_start": 0}]}]', "a.json", {},
     "question 7: the answer 'red' does not occur in the context 'blue', and so it is with every other"),
    ("qa", '[{"id": 7, "question": " ", "context": "blue", "answers": []}]', "a.json", {}, "the question is empty"),
    ("qa", '[{"id": 7, "question": "?", "context": "blue"}]', "a.json", {}, "there are no answers"),
    ("qa", '[{"id": 7, "question": "?", "context": "blue", "answers": [{"answer_start": 0}]}]', "a.json", {},
     "text and answer_start"),
])
def test_what_cannot_be_used_is_named(task, content, name, settings, message, read):
    with pytest.raises(ValueError, match=message):
        read(task, content, name, **settings)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        TASKS["classify"].read(tmp_path / "none.tsv", Settings())
    with pytest.raises(IsADirectoryError, match="is a folder"):
        TASKS["tag"].read(tmp_path, Settings())


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_label_of_dev_that_train_does_not_have(task, read):
    _, _, tokenizer = tiny_model.make()
    settings = Settings(task=task, max_length=16)
    train = read(task, "aa\tx\nbb\ty\n", "train.tsv").examples
    dev = read(task, "aa\tx\nbb\tz\n", "dev.tsv").examples
    with pytest.raises(ValueError, match=r"dev\.tsv, line [12]: the label 'z' does not occur in the training data, which has x"):
        TASKS[task].encode(dev, tokenizer, TASKS[task].labels(train), settings)
    with pytest.raises(ValueError, match="nothing to tell apart"):
        TASKS[task].labels(train[:1] if task == "classify" else [train[0]._replace(tags=["x", "x"])])


def test_conll_with_blank_lines_of_tabs_and_more_columns(read):
    data = read("tag", "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\t\t\nGerman JJ B-MISC\n", "a.conll")
    assert [(e.words, e.tags) for e in data.examples] == [(["EU", "rejects"], ["B-ORG", "O"]), (["German"], ["B-MISC"])]
    assert read("tag", "EU\nrejects\n", "b.conll", labelled=False).examples[0].tags is None


def test_only_the_first_piece_of_a_word_has_its_label():
    _, _, tokenizer = tiny_model.make()
    example = tag.Example(["the", "abc", "\u200d", "an"], ["O", "B-x", "O", "I-x"], "here")
    features, cut = tag.encode([example], tokenizer, ["B-x", "I-x", "O"], Settings(task="tag", max_length=16))
    feature = features[0]
    assert [tokenizer.vocab.tokens[i] for i in feature.ids[0]] == ["[CLS]", "the", "a", "##b", "##c", "[UNK]", "an", "[SEP]"]
    assert feature.labels.tolist() == [-100, 2, 0, -100, -100, 2, 1, -100]
    assert cut == 0
    features, cut = tag.encode([example], tokenizer, ["B-x", "I-x", "O"], _settings(5))
    assert cut == 1
    logits = np.zeros((5, 3))
    logits[2, 0] = 9
    guess, = tag.guess([logits], features, [example], ["B-x", "I-x", "O"], _settings(5))
    assert guess.tags[1:] == ["B-x", "O", "O"]  # words behind the limit


def _settings(length):
    settings = Settings(task="tag", max_length=8)
    object.__setattr__(settings, "max_length", length)
    return settings


CONTEXT = "a b c d e f g h i j k l m n o p"


def question(answer="k", **changes):
    start = CONTEXT.index(answer) if answer else 0
    return qa.Example("7", "the", CONTEXT, [(answer, start)] if answer else [], "here")


def test_windows_overlap_and_hold_the_answer():
    _, _, tokenizer = tiny_model.make()
    settings = Settings(task="qa", max_length=12, stride=4, max_query=3)
    features, _ = qa.encode([question(), question("")], tokenizer, ["answer", "no answer"], settings)
    words = [[tokenizer.vocab.tokens[i] for i in feature.ids[0]] for feature in features if feature.example == 0]
    assert all(w[:3] == ["[CLS]", "the", "[SEP]"] and w[-1] == "[SEP]" and len(w) <= 12 for w in words)
    assert [w[3] for w in words] == ["a", "e", "i"]
    for feature, w in zip(features, words):
        first, last = feature.labels
        assert (w[first:last + 1] == ["k"]) if "k" in w else (first == last == 0)
    assert all(feature.labels.tolist() == [0, 0] for feature in features if feature.example == 1)
    seen = [CONTEXT[start:end] for feature in features if feature.example == 0
            for (start, end), best in zip(feature.places.spans, feature.places.best) if best]
    assert seen == CONTEXT.split()  # every token counts in exactly one window


def test_the_best_span_over_all_windows_or_none():
    _, _, tokenizer = tiny_model.make()
    settings = Settings(task="qa", max_length=12, stride=4, max_query=3, max_answer=3)
    examples = [question()]
    features, _ = qa.encode(examples, tokenizer, ["answer", "no answer"], settings)
    logits = [np.zeros((2, len(feature.ids[0]))) for feature in features]
    logits[-1][0, 3 + 2] = 5  # k, in the window i j k l m n o p
    logits[-1][1, 3 + 3] = 5  # l
    logits[-1][1, 3 + 1] = 9  # j: before k, not a span
    guess, = qa.guess(logits, features, examples, ["answer"], settings)
    assert guess.text == "k l"
    for array in logits:
        array[:, 0] = 6
    guess, = qa.guess(logits, features, examples, ["answer", "no answer"], settings)
    assert guess.text == ""
    assert guess.span == "k l"
    assert guess.margin == 2
    assert qa.guess(logits, features, examples, ["answer"], settings)[0].text == "k l"  # trained without: always an answer


def test_answers_that_stand_elsewhere_are_found_and_said(read):
    data = read("qa", json.dumps([{"id": 1, "question": "?", "context": "red and red or blue", "answers": [
        {"text": "red", "answer_start": 6}]}, {"id": 1, "question": "?", "context": "x", "answers": []}]), "a.json")
    assert data.examples[0].answers == [("red", 8)]
    assert "1 with an answer that does not stand where" in data.notes[0]
    assert "1 with the id of another question" in data.notes[1]


def asked(context="red  and red or\nblue", **changes):
    return {"id": "1", "question": "who?", "context": context, **changes}


def answer(text, start=None):
    return {"text": text} | ({} if start is None else {"answer_start": start})


@pytest.mark.parametrize(("changes", "answers", "note"), [
    ({"answers": [answer("red", 9), answer("blue", 16)]}, [("red", 9), ("blue", 16)], None),
    ({"answers": [answer("red", "9")]}, [("red", 9)], None),
    ({"answers": [answer("red", 7)]}, [("red", 9)], "does not stand where answer_start says"),
    ({"answers": [answer("red")]}, [("red", 0)], "without answer_start"),
    ({"answers": [{"text": "blue", "answer_start": None}]}, [("blue", 16)], "without answer_start"),
    ({"answers": ["blue"]}, [("blue", 16)], "without answer_start"),
    ({"answers": "blue"}, [("blue", 16)], "without answer_start"),
    ({"answers": {"text": ["red", "blue"], "answer_start": [0]}}, [("red", 0), ("blue", 16)], "without answer_start"),
    ({"answers": {"text": [], "answer_start": []}}, [], None),
    ({"answers": [answer("red and", 0)]}, [("red  and", 0)], "differs from the text in white space only"),
    ({"answers": [answer("or blue ", 13)]}, [("or\nblue", 13)], "differs from the text in white space only"),
    ({"answers": [answer("red or", 0), answer("green", 3)]}, [("red or", 9), ("green", -1)], "cannot be learned from"),
    ({"answers": [answer("", -1)]}, [], "empty answer"),
    ({"answers": [answer("red", 0)], "is_impossible": True}, [], "answers beside is_impossible"),
    ({"answers": [answer("red", 0)], "is_impossible": "true"}, [], "answers beside is_impossible"),
    ({"answers": [answer("red", 0)], "is_impossible": "False"}, [("red", 0)], None),
    ({"answers": [answer("red", 0)], "is_impossible": False}, [("red", 0)], None),
    ({"is_impossible": True}, [], None),
])
def test_answers_as_they_come(changes, answers, note, read):
    data = read("qa", json.dumps([asked(**changes)]), "a.json")
    assert data.examples[0].answers == answers
    assert any(note in said and "(the first: question '1')" in said for said in data.notes) if note else not data.notes


def test_one_odd_answer_is_shown_and_not_learned(read):
    """In the reference such a question is left out of training, with a warning; its official scores count it."""
    data = read("qa", json.dumps([asked(answers=[answer("blue", 16)]), asked(answers=[answer("green", 0)], id="2"),
                                  asked(answers=[], id="3")]), "a.json")
    assert [example.answers for example in data.examples] == [[("blue", 16)], [("green", -1)], []]
    assert data.notes == ["1 with an answer that does not stand in the text: it counts as right, but cannot be learned from "
                          "(the first: question '2')"]
    _, _, tokenizer = tiny_model.make()
    features, _ = qa.encode(data.examples, tokenizer, qa.labels(data.examples), Settings(task="qa", max_length=64))
    assert [feature.labels.tolist() for feature in features][1:] == [[IGNORE, IGNORE], [0, 0]]
    assert features[0].labels.min() > 0
    right, wrong = (qa.Guess(text, 1.0, 0.0, text) for text in ("green", "red"))
    assert qa.row(data.examples[1], right)[1] is True
    assert qa.score(data.examples[1:2], [wrong], ["answer"])["exact"] == 0
    with pytest.raises(ValueError, match="question '2': the answer 'green' does not occur in the context 'red  and red or"):
        read("qa", json.dumps([asked(answers=[answer("green", 0)], id="2")]), "a.json")


RED = {"context": "red", "qas": [{"question": "q", "answers": [answer("red", 0)]}]}
OTHER = {"pair": "q", "text": "passage", "label": "gold"}


@pytest.mark.parametrize(("content", "name", "settings"), [
    ({"data": [{"paragraphs": [RED]}]}, "a.json", {}), (RED, "a.jsonl", {}), ([RED], "a.json", {}),
    ([{"q": "q", "passage": "red", "gold": "red"}], "a.json", OTHER),
    ({"q": "q", "passage": "red", "gold": ["red"]}, "a.jsonl", OTHER),
    ([{"passage": "red", "qas": [{"q": "q", "gold": "red"}]}], "a.json", OTHER),
])
def test_questions_in_every_layout_and_under_other_names(content, name, settings, read):
    content = json.dumps(content)
    data = read("qa", content, name, **settings)
    assert [(e.question, e.context, e.answers) for e in data.examples] == [("q", "red", [("red", 0)])]
    names = {"pair": "question", "text": "context", "label": "answers"} | settings
    assert data.columns == names
    for role in ("text", "pair", "label"):
        with pytest.raises(ValueError, match="has no 'nothing' but "):
            read("qa", content, name, **{**settings, role: "nothing"})


CHOICES = {"option1": "x", "option2": "y"}


NAMED = [{"label": "1", "text": "x"}, {"label": "2", "text": "y"}]


@pytest.mark.parametrize(("line", "labels", "settings", "right", "first"), [
    ({"sentence": "s", **CHOICES}, ["1", "2", "1"], {}, [0, 1, 0], 1),  # WinoGrande
    ({"sentence": "s", **CHOICES}, ["1", "1"], {}, [0, 0], 1),
    ({"text": "s", "choices": ["x", "y"]}, ["1", "1"], {}, [1, 1], 0),
    ({"goal": "s", "sol1": "x", "sol2": "y"}, [0, 1], {}, [0, 1], None),  # PIQA
    ({"question": "s", "choices": {"label": ["1", "2"], "text": ["x", "y"]}}, ["1", "1"], {}, [0, 0], None),  # ARC
    ({"question": "s", "choices": NAMED}, ["1", "2"], {}, [0, 1], None),
    ({"article": "s", "question": "", "options": ["x", "y"]}, ["B"], {"pair": "question", "text": "article"}, [1], None),  # RACE
    ({"ctx": "s", "endings": ["x", "y"]}, ["", "0", None, -1], {}, [None, 0, None, None], None),  # HellaSwag
])
def test_choices_of_the_usual_data_sets(line, labels, settings, right, first, read):
    data = read("choice", "\n".join(json.dumps(line | {"label": label}) for label in labels), "a.jsonl", **settings)
    assert [example.label for example in data.examples] == right
    assert [choice.strip() for choice in data.examples[0].choices] == ["x", "y"]
    assert data.examples[0].text == "s"
    assert data.notes == ([] if first is None else [f"the label of the first choice is taken to be {first}"])


def test_choices_in_a_table_without_a_header(read):
    data = read("choice", "s\tx\ty\t0\nt\tx\ty\t1\n", text="1", label="4")
    assert [(e.text, e.choices, e.label) for e in data.examples] == [("s", ["x", "y"], 0), ("t", ["x", "y"], 1)]
    assert data.columns == {"text": "1", "choices": "2, 3", "label": "4"}
    with pytest.raises(ValueError, match=r"expected a text.*--text and --label"):
        read("choice", "s\tx\ty\t0\nt\tx\ty\t1\n")


def test_choices_by_number_letter_and_text(read):
    rows = [{"question": "q", "choices": ["x", "y"], "answer": answer} for answer in (1, "B", "y")]
    data = read("choice", "\n".join(map(json.dumps, rows)), "a.jsonl")
    assert [example.label for example in data.examples] == [1, 1, 1]
    swag = read("choice", json.dumps({"sent1": "a", "sent2": "He", "ending0": "b", "ending1": "c", "label": 0}), "b.json")
    assert swag.examples[0].choices == ["He b", "He c"]
    assert swag.columns == {"text": "sent1", "pair": "sent2", "choices": "ending0, ending1", "label": "label"}
    race = {"article": "a", "question": "Who?", "options": ["b", "c"], "answer": "A"}
    asked = read("choice", json.dumps(race), "c.json", text="article", pair="question")
    assert asked.examples[0].choices == ["Who? b", "Who? c"]


@pytest.mark.parametrize("options", [{"epochs": 0}, {"learning_rate": -1}, {"dropout": 1.0}, {"layer_decay": 0}, {"task": "fly"},
                                     {"batch_size": 0}, {"warmup": 1.0}, {"task": "qa", "class_weights": "balanced"},
                                     {"task": "tag", "pair": "2"}, {"task": "qa", "header": False}])
def test_settings_that_cannot_be(options):
    with pytest.raises(ValueError, match=r"--|the task"):
        Settings(**options)


def test_the_real_files(shared_data):
    for task, path, count in (("classify", "sst2/dev.tsv", 872), ("classify", "chnsenticorp/dev.tsv", 1200),
                              ("tag", "wnut17_ner/emerging.dev.conll", 1009), ("tag", "glue_samples/conll/sample.json", 10),
                              ("classify", "glue_samples/MRPC/dev.tsv", 6), ("classify", "squad/snli_fixture.jsonl", 3),
                              ("choice", "glue_samples/swag/sample.json", 10), ("qa", "squad/squad_fixture.json", 5),
                              ("qa", "squad/squad2_fixture.json", 6), ("qa", "glue_samples/SQUAD/sample.json", 14),
                              ("qa", "cmrc2018/dev.json", 3219)):
        assert len(TASKS[task].read(shared_data / path, Settings(task=task)).examples) == count, path
