"""Tables as real files have them: what separates their cells, whether the first line names them, and labels that are none."""

import pytest

from minibert.data import rows
from minibert.finetuning.options import Settings
from minibert.tasks.labelled import TASKS, common

KINDS = [("a fine film", "pos"), ("an awful film", "neg"), ("great fun", "pos"), ("no fun", "neg"), ("so good", "pos"),
         ("so bad", "neg")]


@pytest.fixture
def read(tmp_path):
    """``read(content, name, task, **settings)``: what is read of a file with this content."""
    def make(content, name="a.tsv", task="classify", labelled=True, **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return TASKS[task].read(path, Settings(task=task, **settings), labelled)
    return make


def table(*columns, head="", separator="\t"):
    return head + "".join(separator.join(map(str, row)) + "\n" for row in zip(*columns))


TEXTS, LABELS = zip(*KINDS)


def pairs(data):
    return [(example.text, example.label) for example in data.examples]


@pytest.mark.parametrize(("content", "name", "said"), [
    (table(TEXTS, LABELS, separator=";", head="text;label\n").replace("\n", "\r\n"), "a.csv", "separated by semicolons"),
    (table(TEXTS, LABELS, separator="|", head="text|label\n"), "a.csv", "separated by bars (|)"),
    (table(TEXTS, LABELS, separator="\t", head="text\tlabel\n"), "a.csv", "separated by tabs"),
    ("sep=;\n" + table(TEXTS, LABELS, separator=";", head="text;label\n"), "a.csv", "separated by semicolons"),
    (table(TEXTS, LABELS, separator=";", head="text;label\n"), "a.txt", "separated by semicolons"),
    (table(TEXTS, LABELS, separator=",", head="text,label\n"), "a.csv", None),
    (table(TEXTS, LABELS).replace("\n", "\r"), "a.tsv", None),
    (table(TEXTS, LABELS).replace("\n", "\r")[:-1] + "\n", "a.tsv", None),
    (table(TEXTS, LABELS).replace("\n", "\r\r\n"), "a.tsv", None),
    (table(TEXTS, LABELS, head="\ufefftext\tlabel\n"), "a.tsv", None),
    (table(TEXTS, LABELS, [""] * 6, [""] * 6, head="text\tlabel\t\t\n"), "a.tsv", None),
    (table(TEXTS, LABELS).replace("pos\n", "pos\t\n"), "a.tsv", None),
    (table([f'"{text}"' for text in TEXTS], LABELS, head='"text"\t"label"\n'), "a.tsv", None),
    (table([f'"{i}"' for i in range(1, 7)], TEXTS, LABELS, head="text\tlabel\n"), "r.tsv", None),
    (table(range(6), TEXTS, LABELS, separator=",", head=",text,label\n"), "pandas.csv", None),
    (table(TEXTS, LABELS, head="0\t1\n"), "pandas.tsv", None),
])
def test_whatever_separates_the_cells(content, name, said, read):
    data = read(content, name)
    assert pairs(data) == KINDS
    assert [note for note in data.notes if "columns are" in note] == [f"the columns are {said}"] * bool(said)


def test_a_comma_in_every_text_separates_nothing(read):
    data = read(table([f"{text}, yes, really" for text in TEXTS], LABELS, separator=";"), "a.csv")
    assert pairs(data) == [(f"{text}, yes, really", label) for text, label in KINDS]
    assert pairs(read(table([f'"{text}; yes, ""really"""' for text in TEXTS], LABELS, separator=";"), "a.csv"))[0] == (
        'a fine film; yes, "really"', "pos")
    plain = read("so good, really\nso bad, really\n", "plain.txt", labelled=False)
    assert [example.text for example in plain.examples] == ["so good, really", "so bad, really"]


def test_quotes_are_text_unless_a_spreadsheet_wrote_them(read):
    raw = '" The pie business\tpos\n"Great" he said\tneg\n"whole"\tpos\n'
    assert [text for text, _ in pairs(read(raw))] == ['" The pie business', '"Great" he said', '"whole"']
    assert pairs(read('text\tlabel\n"he said ""yes"" to me"\tpos\nplain\tneg\n'))[0] == ('he said "yes" to me', "pos")
    for text in ("a tab\there", "two\nlines"):
        assert pairs(read(f'text\tlabel\n"{text}"\tpos\nplain\tneg\n')) == [(text, "pos"), ("plain", "neg")]
    assert len(read('"I like it .\tpos\nvery much ."\tneg\n').examples) == 2  # a quotation over two lines


def test_a_cell_may_be_long_and_a_quote_must_end(read):
    assert len(read("text,label\n" + "long " * 40_000 + ",a\nb,c\n", "a.csv").examples[0].text) == 200_000
    for content in ('text,label\n"a,b\nc,d\n', 'text,label\na,"b\nc,d\n'):
        with pytest.raises(ValueError, match=r"a\.csv, line 2: a quote .* never ends"):
            read(content, "a.csv")
    with pytest.raises(ValueError, match="no cells that hold anything"):
        read(",,\n,,\n", "a.csv")


def test_a_decimal_comma_belongs_to_semicolons(read):
    scores = [0.5, 1.0, 2.5, 3.0, 4.5, 5.0]
    content = table(TEXTS, [str(score).replace(".", ",") for score in scores], separator=";", head="Satz;Wert\n")
    assert [example.label for example in read(content, "a.csv", "regress").examples] == scores


def test_no_separator_is_said(read):
    for name in ("a.tsv", "a.csv", "a.txt"):
        with pytest.raises(ValueError, match=r"no separator was found .* a tab and a label on each line"):
            read("so good\nso bad\n", name)
    with pytest.raises(ValueError, match=r"line 2: expected 2 columns as in line 1, found 3 \(separated by semicolons\)"):
        read("so good;a\nso; bad;b\n", "a.csv")


@pytest.mark.parametrize(("content", "header"), [
    (table(TEXTS, ["y", "n"] * 3), False),  # y may be a column, and is a class
    ("good\ty\nbad\tn\n", False),
    (table(["question", "statement"] * 3, TEXTS), False),
    (table(TEXTS, LABELS, head="utterance\tintent\n"), True),
    (table(TEXTS, LABELS, head="Äußerung\tAbsicht\n"), True),
    (table(TEXTS, LABELS, head="文本\t类别\n"), True),
    (table(range(6), TEXTS, LABELS, head="Nr\tÄußerung\tAbsicht\n"), True),
    (table(TEXTS, LABELS, head="text\tlabel\n"), True),
    (table(TEXTS, range(6)), False),
    (table(TEXTS, ["3.5"] * 6, head="text\t2.5\n"), False),
])
def test_the_whole_file_decides_whether_it_has_a_header(content, header, read, tmp_path):
    (tmp_path / "a.tsv").write_text(content, encoding="utf-8")
    found = rows.read(tmp_path / "a.tsv")
    assert found.header is header
    assert len(found.rows) == content.count("\n") - header


def test_doubts_about_a_header_are_said(read):
    assert "'question' stands below it too" in read(table(["question", "statement"] * 3, TEXTS)).notes[0]
    assert "'Absicht' stands nowhere else" in read(table(TEXTS, LABELS, head="Satz\tAbsicht\n")).notes[0]
    odd = read(table(TEXTS, LABELS, head="what do you say to that\tother\n"))
    assert len(odd.examples) == 7
    assert "the first line is an example, though 'other' stands nowhere else in its column" in odd.notes[0]
    assert len(read(table(TEXTS, LABELS, head="what do you say to that\tother\n"), header=True).examples) == 6


@pytest.mark.parametrize(("content", "columns"), [
    (table(["gj04", "bc01"] * 3, [1, 0] * 3, ["", "*"] * 3, TEXTS), {"label": "2", "text": "4"}),  # CoLA
    (table(["train"] * 6, TEXTS, LABELS), {"label": "3", "text": "2"}),
    (table(range(6), ["train"] * 6, TEXTS, LABELS, head="id\tsplit\ttext\tkind\n"), {"label": "kind", "text": "text"}),
    (table(TEXTS, LABELS, head="Satz\tMeinung\n"), {"label": "Meinung", "text": "Satz"}),
])
def test_the_label_is_a_column_that_says_something_in_every_row(content, columns, read):
    assert read(content).columns == columns


def test_columns_are_named_once_and_not_guessed_at_random(read):
    with pytest.raises(ValueError, match="--text and --label both name the column 1"):
        read(table(TEXTS, LABELS), text="1", label="1")
    with pytest.raises(ValueError, match=r"which column is the label\? There are id, land, text, kind.*--no-header"):
        read(table(range(6), list("abc") * 2, TEXTS, LABELS, head="id\tland\ttext\tkind\n"))
    assert read(table(LABELS, TEXTS, head="Title\tcomment\n"), label="title").columns == {"label": "Title", "text": "comment"}


@pytest.mark.parametrize(("labels", "none"), [
    (["a", "b", "a", "b", "-"], {4}),  # SNLI
    (["a", "b", "a", "b", "?"], {4}), (["a", "b", "a", "b", "_"], {4}), (["a", "b", "", "nan", "-100"], {2, 3, 4}),
    (["+", "-", "+", "-", "+"], set()),  # - is what + is not
    (["a", "b", "N/A", "b", "a", "null", "<NA>"], {2, 5, 6}),  # of a spreadsheet, a database, pandas
    (["a", "b", "None", "b", "a", "NA"], set()),  # classes may be called so
    (["-", "-", "-", "spam", "ham"], set()),  # "none of these"
    (["0", "1", "2", "0", "1", "2", "-1"], {6}),  # SNLI as datasets has it
    (["0", "1", "-1", "0", "1"], set()),  # negative, neutral, positive
    (["-1", "-1"], {0, 1}), (["?", "?"], {0, 1}),
])
def test_marks_for_no_label(labels, none, read):
    data = read(table([f"text {i}" for i in range(len(labels))], labels), text="1", label="2", header=False)
    assert {i for i, example in enumerate(data.examples) if example.label is None} == none
    assert [example.label or label for example, label in zip(data.examples, labels)] == labels
    if len(none) == len(labels):
        with pytest.raises(ValueError, match="none of the 2 examples has a label"):
            common.with_labels(TASKS["classify"], data)
    else:
        assert [e.label for e in common.with_labels(TASKS["classify"], data).examples] == [
            label for i, label in enumerate(labels) if i not in none]


def test_examples_without_a_label_are_left_out_and_counted(read):
    content = '{"text": "a", "label": 1}\n{"text": "b"}\n{"text": "c", "label": null}\n{"text": "d", "label": NaN}\n'
    content += '{"text": "e", "label": 0}\n'
    left = common.with_labels(TASKS["classify"], read(content, "a.jsonl"))
    assert [example.label for example in left.examples] == ["1", "0"]
    assert left.notes[-1] == "3 of 5 examples have no label and are left out (the first: line 2)"
    numbers = common.with_labels(TASKS["regress"], read("a\t1.5\nb\t-\nc\t-1\nd\tnan\ne\t-100\n", task="regress"))
    assert [example.label for example in numbers.examples] == [1.5, -1, -100]


def test_a_list_of_one_label_is_that_label(read):
    content = '{"text": "a", "label": ["x"]}\n{"text": "b", "label": []}\n'
    assert [example.label for example in read(content, "a.jsonl").examples] == ["x", None]
    with pytest.raises(ValueError, match=r'line 3: the label \(column label\) must be one, found \["x", "y"\].*--multi-label'):
        read(content + '{"text": "c", "label": ["x", "y"]}\n', "a.jsonl")


def test_an_item_of_a_list_is_no_line(read):
    with pytest.raises(ValueError, match=r"a\.json, example 2: the text"):
        read('[\n\n  {"text": "a", "label": 1},\n  {"text": "", "label": 2}]', "a.json")
    with pytest.raises(ValueError, match=r"line 1: the text \(column text\) must be a text, found a JSON list"):
        read('{"text": ["a", "b"], "label": [0, 1]}', "a.json")


@pytest.mark.parametrize("header", [True, False])
def test_json_has_no_header(header, read):
    with pytest.raises(ValueError, match="--header and --no-header do not apply"):
        read('{"text": "a", "label": 1}\n', "a.jsonl", header=header)
    with pytest.raises(ValueError, match="which has no header line"):
        read("[]", "a.json", "qa", header=header)
