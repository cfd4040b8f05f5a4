"""Files of words with tags: every layout that they come in, which columns are read, and words without a tag."""

import json

import numpy as np
import pytest

from minibert.finetuning.options import Settings
from minibert.layers.cross_entropy import IGNORE
from minibert.tasks.labelled import common, metrics, tag
from tests import tiny_model

FOUR = "-DOCSTART- -X- -X- O\n\nFrida NNP B-NP B-PER\nlives VBZ B-VP O\n\nin IN B-PP O\nKiel NNP B-NP B-LOC\n"
GERMEVAL = "1\tAnna\tB-PER\tO\n2\tlacht\tO\tO\n\n1\tUlmer\tB-LOCderiv\tB-LOC\n2\tBier\tO\tO\n"
UNIVERSAL = """\
1-2 don't _ _ _ _ _ _ _ SpaceAfter=No
1 do do AUX VBP _ 3 aux _ _
2 n't not PART RB _ 3 advmod _ _
3 New~York go VERB VB VerbForm=Inf 0 root _ Gloss=a~b
3.1 it it PRON _ _ _ _ 3:x _

1 _ _ _ UH _ 0 root _ _
2 # # SYM _ _ 1 dep _ _
""".replace(" ", "\t").replace("~", " ")


@pytest.fixture
def read(tmp_path):
    """``read(content, name, **settings)``: what is read of a file with this content."""
    def make(content, name="a.conll", labelled=True, **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return tag.read(path, Settings(task="tag", **settings), labelled)
    return make


def found(data):
    return [(" ".join(example.words), " ".join(map(str, example.tags or []))) for example in data.examples]


@pytest.mark.parametrize(("content", "settings", "columns", "first"), [
    (FOUR, {}, {"word": "1", "label": "4"}, ("Frida lives", "B-PER O")),
    (FOUR, {"label": "2"}, {"word": "1", "label": "2"}, ("Frida lives", "NNP VBZ")),
    (FOUR, {"text": "2", "label": "3"}, {"word": "2", "label": "3"}, ("NNP VBZ", "B-NP B-VP")),
    (FOUR.replace("\n", "\r"), {}, {"word": "1", "label": "4"}, ("Frida lives", "B-PER O")),
    (FOUR.replace(" ", "\t").replace("PER", "PER\t"), {}, {"word": "1", "label": "4"}, ("Frida lives", "B-PER O")),
    ("word pos phrase ner\n" + FOUR[22:], {}, {"word": "word", "label": "ner"}, ("Frida lives", "B-PER O")),
    ("word pos phrase ner\n" + FOUR[22:], {"label": "POS"}, {"word": "word", "label": "pos"}, ("Frida lives", "NNP VBZ")),
    ("wort\tart\n" + GERMEVAL.split("\n\n")[0], {"header": True, "label": "art"}, None, None),
    ("wort\tart\nAnna\tB-PER\nlacht\tO\n", {"header": True}, {"word": "wort", "label": "art"}, ("Anna lacht", "B-PER O")),
    ("word\ttag\nAnna\tB-PER\n", {"header": False}, {"word": "1", "label": "2"}, ("word Anna", "tag B-PER")),
    (GERMEVAL, {}, {"word": "2", "label": "3"}, ("Anna lacht", "B-PER O")),
    (GERMEVAL, {"text": "2", "label": "3"}, {"word": "2", "label": "3"}, ("Anna lacht", "B-PER O")),
    (GERMEVAL, {"label": "4"}, {"word": "2", "label": "4"}, ("Anna lacht", "O O")),
    ("#\thttp://a.de [2009-10-17]\n" + GERMEVAL, {}, {"word": "2", "label": "3"}, ("Anna lacht", "B-PER O")),
    ("#begin document (a); part 000\na 0 0 EU NNP B-ORG\na 0 1 says VBZ O\n\na 0 0 Hi UH O\n#end document\n", {},
     {"word": "4", "label": "6"}, ("EU says", "B-ORG O")),
    ("Anna 0 4 B-PER\nlacht 5 10 O\n", {}, {"word": "1", "label": "4"}, ("Anna lacht", "B-PER O")),
    ("0\t4\tAnna\tB-PER\n5\t10\tlacht\tO\n", {}, {"word": "3", "label": "4"}, ("Anna lacht", "B-PER O")),
    ("# global.columns = ID FORM MY:NER\n1\tAnna\tB-PER\n2\tlacht\tO\n", {}, {"word": "FORM", "label": "MY:NER"},
     ("Anna lacht", "B-PER O")),
])
def test_columns_of_words_and_tags(content, settings, columns, first, read):
    if columns is None:
        with pytest.raises(ValueError, match="expected 4 columns as in line 2, found 2"):
            read(content, **settings)
        return
    data = read(content, **settings)
    assert data.columns == columns
    assert found(data)[0] == first


@pytest.mark.parametrize(("label", "first", "second"), [
    (None, "AUX PART VERB", "None SYM"), ("UPOS", "AUX PART VERB", "None SYM"), ("xpos", "VBP RB VB", "UH None"),
    ("DEPREL", "aux advmod root", "root dep"), ("8", "aux advmod root", "root dep"), ("FEATS", "_ _ VerbForm=Inf", "_ _")])
@pytest.mark.parametrize("comments", ["", "# newdoc id = d\n# sent_id = 1\n# text = do not # go\n"])
def test_universal_dependencies(label, first, second, comments, read):
    """Parts of a contraction are words, it is none, nor is a word that is not written; ``_`` is no part of speech."""
    data = read(comments + UNIVERSAL, "a.conllu", label=label)
    assert found(data) == [("do n't New York", first), ("_ #", second)]
    assert data.columns["word"] == "FORM"


def test_the_treebank_by_hand(shared_data):
    path = shared_data / "ud_ewt" / "en_ewt-ud-dev.conllu"
    expected = []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        lines = [line.split("\t") for line in block.split("\n") if not line.startswith("#")]
        expected.append([(cells[1], cells[7]) for cells in lines if cells[0].isdigit()])
    examples = tag.read(path, Settings(task="tag", label="DEPREL")).examples
    assert [list(zip(e.words, e.tags)) for e in examples] == expected


def test_words_without_tags_are_enough_to_guess_from(read):
    for content in ("text_a\n海 钓 比\n好\n", "海\n钓\n比\n\n好\n", "海 O\n钓 O\n比 O\n\n好 O\n"):
        data = read(content, "a.tsv", labelled=False)
        assert [(e.words, e.tags) for e in data.examples] == [(["海", "钓", "比"], None), (["好"], None)]
    assert read("1\tHi\t_\tINTJ\tUH\t_\t0\troot\t_\t_\n", "a.conllu").examples[0].words == ["Hi"]
    assert read("1\tO\n", labelled=None).examples[0].words == ["1"]


def test_a_hash_may_be_a_word(read):
    data = read("# doc 1\n# text = EU # 1\nEU B-ORG\n# O\n\n# doc 2\n#eu HT\n# O\n\n# #\n")
    assert found(data) == [("EU #", "B-ORG O"), ("#eu #", "HT O"), ("#", "#")]
    assert data.notes == ["3 lines that begin with # are taken for comments"]
    assert found(read("#eu\tHT\n#\tO\nx\tO\n")) == [("#eu # x", "HT O O")]
    assert found(read("#id 1\nEU B-x\n\n#id 2\nx O\n\n#eu HT\n\n#eu HT\n")) == [
        ("EU", "B-x"), ("x", "O"), ("#eu", "HT"), ("#eu", "HT")]


def test_strange_words_are_words(read):
    assert read("10\u00a0000 O\n\u3000 B-x\n").examples[0].words == ["10\u00a0000", "\u3000"]
    assert read("New York\tB-x\n \tO\n").examples[0].words == ["New York", " "]
    with pytest.raises(ValueError, match=r"line 2: the word \(column 1\) is empty"):
        read("a\tO\n\tO\n")


@pytest.mark.parametrize(("content", "name", "settings"), [
    ("text_a\tlabel\n海 钓 比\tO B-X O\n好 的\tO O\n", "a.tsv", {}), ("海 钓 比\tO B-X O\n好 的\tO O\n", "a.tsv", {}),
    ("label\ttext_a\nO B-X O\t海 钓 比\nO O\t好 的\n", "a.tsv", {}),
    ("O B-X O\t海 钓 比\nO O\t好 的\n", "a.tsv", {"text": "2", "label": "1"}),
    ("1\t海 钓 比\t甲 乙 丙\tO B-X O\n2\t好 的\t丁 戊\tO O\n", "a.tsv", {"text": "2", "label": "4"}),
    ("海\x02钓\x02比\tO\x02B-X\x02O\n好\x02的\tO\x02O\n", "a.tsv", {}),
    ("text,labels\n海 钓 比,O B-X O\n好 的,O O\n", "a.csv", {}),
    ("tokens,tags\n\"['海', '钓', '比']\",\"['O', 'B-X', 'O']\"\n\"['好', '的']\",\"['O', 'O']\"\n", "a.csv", {}),
    ("sentence_id,words,labels\n0,海,O\n0,钓,B-X\n0,比,O\n1,好,O\n1,的,O\n", "a.csv", {}),
    ("Sentence #,Word,POS,Tag\nSentence: 1,海,N,O\n,钓,N,B-X\n,比,N,O\nSentence: 2,好,N,O\n,的,N,O\n", "a.csv", {}),
    ("海,O\n钓,B-X\n比,O\n\n好,O\n的,O\n", "a.csv", {}),
    ('{"tokens": ["海", "钓", "比"], "ner": ["O", "B-X", "O"]}\n{"tokens": ["好", "的"], "ner": ["O", "O"]}\n', "a.jsonl", {}),
    ('{"w": "海 钓 比", "t": "O B-X O"}\n{"w": "好 的", "t": "O O"}\n', "a.jsonl", {"text": "w", "label": "t"}),
])
def test_lists_of_words_and_tags(content, name, settings, read):
    assert found(read(content, name, **settings)) == [("海 钓 比", "O B-X O"), ("好 的", "O O")]


@pytest.mark.parametrize(("content", "name", "settings", "message"), [
    ("海 钓\tO O\n好 的\tO\n再 见\tO O\n", "a.tsv", {},
     "line 2: 1 and 2 must be two lists of the same length.*found 2 words and 1 labels"),
    ("word,tag\nthe,O\ncat,O\n", "a.csv", {}, "every row is one word, and nothing says where sentences end"),
    ("the cat sat\nhello\n", "a.txt", {}, "line 2: expected 3 columns as in line 1, found 1"),
    ("the\ncat\n", "a.txt", {}, "words but no tags: expected two columns.*with a tab or a blank between them"),
    (FOUR, "a.txt", {"label": "5"}, "no column '5' for the label; its columns are 1, 2, 3, 4"),
    (FOUR, "a.txt", {"label": "ner"}, "no column 'ner' for the label.*name them by number"),
    (FOUR, "a.txt", {"text": "4"}, "of which 4 is the word"),
    (FOUR, "a.txt", {"text": "2", "label": "2"}, "--text and --label both name the column 2"),
    ("word tag\n", "a.txt", {"header": True}, "a header and no words below it"),
])
def test_what_cannot_be_read_is_named(content, name, settings, message, read):
    with pytest.raises(ValueError, match=message):
        read(content, name, **settings)


def test_words_without_a_tag_take_no_part(read):
    lines = [{"tokens": ["[CLS]", "an", "ab", "##c"], "labels": [-100, 1, 0, -100]}, {"tokens": ["the"], "labels": [None]},
             {"tokens": ["an", "the"], "labels": [0, 1]}]
    data = read("\n".join(map(json.dumps, lines)), "a.jsonl")
    assert data.notes == ["a label '-100' is taken to say that there is none"]
    data = common.with_labels(tag, data)
    assert data.notes[-1] == "1 of 3 examples have no label and are left out (the first: line 2)"
    assert tag.labels(data.examples) == ["0", "1"]
    assert "3 words" not in "\n".join(tag.describe(data.examples))
    assert "2 words have no label" in "\n".join(tag.describe(data.examples))
    _, _, tokenizer = tiny_model.make()
    features, _ = tag.encode(data.examples, tokenizer, ["0", "1"], Settings(task="tag", max_length=24))
    assert [label for label in features[0].labels if label != IGNORE] == [1, 0]
    guesses = [tag.Guess(["0", "1", "1", "1"], [1.0] * 4), tag.Guess(["0", "1"], [1.0] * 2)]
    assert tag.score(data.examples, guesses, ["0", "1"])["accuracy"] == 3 / 4
    assert tag.picture(data.examples, guesses, ["0", "1"])[0].tolist() == [[1, 1], [0, 2]]
    cells, right = tag.row(data.examples[0], guesses[0])
    assert cells[2:4] == ("_ 1 0 _", "0 1 1 1")
    assert right is False
    assert tag.row(data.examples[0], tag.Guess(["1", "1", "0", "0"], [1.0] * 4))[1] is True


def test_marks_among_tags(read):
    assert found(read("a N\nb _\nc V\nd N\n")) == [("a b c d", "N None V N")]
    assert found(read("a _\nb _\nc A0\n")) == [("a b c", "_ _ A0")]  # what O is elsewhere
    assert found(read("a .\nb _\nc N\nd N\n")) == [("a b c d", ". _ N N")]  # signs are tags here


@pytest.mark.parametrize(("tags", "name", "whole"), [
    (["B-PER", "I-PER", "L-PER", "U-LOC", "O"], "BILOU", True), (["B-PER", "M-PER", "E-PER", "S-LOC", "O"], "BMES", True),
    (["B-PER", "I-PER", "E-PER", "S-LOC", "O"], "BIOES", True), (["B-PER", "M-PER", "E-PER", "W-LOC", "O"], "BMEW", True),
    (["B_PER", "I_PER", "O"], "BIO", False), (["B", "M", "E", "S"], "BMES", True)])
def test_the_scheme_of_entities_is_said(tags, name, whole):
    sentence = tag.Example([*"abcd"], [tags[0], tags[1], tags[2] if whole else tags[1], tags[3] if whole else "O"], "here")
    said = tag.describe([sentence._replace(tags=tags, words=[*"abcde"[:len(tags)]]), sentence])[-1]
    assert said == f"the scheme is {name}: F1 is that of entities, as in seqeval" + "'s strict mode" * whole
    right = tag.score([sentence], [tag.Guess(sentence.tags, [1.0] * 4)], tags)
    assert right == {"f1": 1, "precision": 1, "recall": 1, "accuracy": 1}
    half = tag.Guess([*sentence.tags[:2], "O" if "O" in tags else tags[3], sentence.tags[3]], [1.0] * 4)
    assert tag.score([sentence], [half], tags)["accuracy"] == 3 / 4
    assert tag.score([sentence], [half], tags)["recall"] == (0.5 if whole else 0)


@pytest.mark.parametrize("tags", [["NN", "VB", "O"], ["O-x", "N-y"], ["B", "O"], ["N", "V", "S", "B"], ["0", "1"],
                                  ["T-x", "B-y"]])
def test_other_tags_are_no_entities(tags):
    assert metrics.scheme(tags) is None
    example = tag.Example(["a", "b"], tags[:2], "here")
    score = tag.score([example], [tag.Guess(tags[:2], [1.0, 1.0])], tags)
    assert set(score) == {"f1", "accuracy"}
    assert np.isclose(score["f1"], 1)
    assert "the tags are no scheme of entities" in tag.describe([example])[-1]
