"""Corpora: every kind of source, both layouts, and what is said about each bad one."""

import hashlib
import io
import random
import subprocess
import sys
import textwrap

import pytest

from minibert.data.corpora import LAYOUTS, guess_layout, read, split

LINES = "A first sentence.\nA second one.\n\nAnother document.\nIt has more.\nAnd more.\n"
DOCUMENTS = [["A first sentence.", "A second one."], ["Another document.", "It has more.", "And more."]]


@pytest.fixture
def file(tmp_path):
    def write(content, name="corpus.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return str(path)

    return write


def test_lines_are_sentences_and_blank_lines_end_documents(file):
    corpus = read(file(LINES))
    assert corpus.documents == DOCUMENTS
    assert corpus.name == "corpus.txt"
    assert corpus.sha256 == hashlib.sha256(LINES.strip().encode()).hexdigest()
    assert "2 documents" in corpus.description
    assert corpus.sha256[:12] in corpus.description


@pytest.mark.parametrize(
    "data",
    [
        LINES.replace("\n", "\r\n").encode(),
        LINES.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + LINES.encode(),
        b"\n\n" + LINES.replace("\n\n", "\n \n\t\n\n").encode().strip(),
    ],
    ids=["CRLF", "CR", "byte order mark", "many blank lines"],
)
def test_the_same_text_written_otherwise(file, data):
    assert read(file(data)).documents == DOCUMENTS


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINES.encode()), encoding="ascii"))
    corpus = read("-")
    assert corpus.documents == DOCUMENTS
    assert corpus.name == "standard input"


def test_a_folder_is_read_in_order_and_each_file_is_a_document(file, tmp_path):
    for name in ("b.txt", "a.txt", "sub/c.txt"):
        file(f"This is {name} here.\nIt goes on.", name)
    file("Not this.", "notes.md")
    corpus = read(str(tmp_path))
    assert [document[0] for document in corpus.documents] == [f"This is {n} here." for n in ("a.txt", "b.txt", "sub/c.txt")]
    assert corpus.name == tmp_path.name


def test_several_sources_are_joined(file):
    corpus = read([file(LINES, "one.txt"), file(LINES, "two.txt")])
    assert corpus.documents == DOCUMENTS * 2
    assert corpus.name == "one.txt + two.txt"


PROSE = """The cat sat on the mat and looked at
Dr. Smith, who was reading. It did not
move at all.

Later it rained. The cat, which was by
now asleep, did not notice (or it did not
show it).
"""


def test_wrapped_prose_is_reflowed_and_split(file):
    corpus = read(file(PROSE * 50))
    sentences = [sentence for document in corpus.documents for sentence in document]
    assert sentences[:2] == [
        "The cat sat on the mat and looked at Dr. Smith, who was reading.",
        "It did not move at all.",
    ]
    assert len(sentences) == 200
    assert 5 <= len(corpus.documents) <= 20
    assert all(document[0].startswith(("The cat sat", "Later")) for document in corpus.documents)  # paragraphs stay whole


def test_paragraph_lines_are_prose_too(file):
    paragraph = "One thing happened. Then another thing happened. Nobody knew why.\n"
    assert read(file(paragraph * 30)).documents[0][:2] == ["One thing happened.", "Then another thing happened."]


def test_layout_can_be_said(file):
    path = file("no stop here\nnone here\n\nnor here\nnor there\n")
    assert read(path, layout="lines").documents == [["no stop here", "none here"], ["nor here", "nor there"]]
    assert read(path, layout="prose").documents == [["no stop here none here"], ["nor here nor there"]]
    with pytest.raises(ValueError, match="layout must be auto, lines or prose"):
        read(path, layout="poem")


WORDS = {  # a few words, the space between them, and the mark of a sentence
    "Hindi": ("राम घर गया सीता वह यहाँ मील दूर बड़ा देखा शहर", " ", " ।"),
    "Urdu": ("گھر گیا وہ کتاب شہر بڑا نیا پرانا دریا", " ", "۔"),
    "Arabic": ("وصل البيت من هناك إلى كتاب مدينة قديم جديد", " ", "؟"),
    "Hebrew": ("הוא הלך הביתה למה כי ספר עיר גדול קטן נהר", " ", "."),
    "Armenian": ("նա տուն գնաց ես մնացի ինչու քաղաք գիրք մեծ", " ", "։"),
    "Georgian": ("ის სახლში წავიდა რატომ ასე წერდა წიგნი ქალაქი", " ", "."),
    "Ethiopic": ("እሱ ቤት ሄደ የት ነው እዚህ መጽሐፍ ከተማ ትልቅ", " ", "።"),
    "Burmese": ("သူ အိမ် ပြန် သည် ငါ လာ မြို့ စာအုပ်", " ", "။"),
    "Khmer": ("គាត់ ទៅ ផ្ទះ ខ្ញុំ នៅ ទីនេះ សៀវភៅ", "", "។"),
    "Tibetan": ("ཁོང་ ནང་ ལ་ ཕེབས་ སོང་ འདིར་ ཡོད་", "", "༎"),
    "Korean": ("그는 집에 갔다 나도 왜 책을 도시 큰 작은", " ", "."),
    "Japanese": ("彼は 家に 帰った 今日 本を 読む 町 大きい", "", "。"),
    "Thai": ("บน เมือง ใหญ่ ใหม่ แม่น้ำ เก่า แมว และ บ้าน", "", ""),
    "Greek": ("πού είναι εδώ ποιος ήρθε έφυγε βιβλίο πόλη", " ", ";"),
    "German": ("unter Haus Baum klein Katze schläft Fluss Stadt", " ", "."),
    "English": ("under over tree small near cat sleeps river", " ", "."),
}


def written(script, *, mark=1.0, capital=True, seed=0):
    """60 documents of 12 sentences; ``mark``: the share of them that end with their mark."""
    rng, (words, space, end) = random.Random(seed), WORDS[script]

    def sentence():
        text = space.join(rng.choice(words.split()) for _ in range(rng.randint(5, 10)))
        return (text[0].title() + text[1:] if capital else text) + (end if rng.random() < mark else "")

    return [[sentence() for _ in range(12)] for _ in range(60)]


def wrapped(paragraph, width=60):
    if " " in paragraph:
        return textwrap.fill(paragraph, width)
    return "\n".join(paragraph[i:i + width] for i in range(0, len(paragraph), width))


@pytest.mark.parametrize("script", WORDS)
@pytest.mark.parametrize("options", [{}, {"mark": 0}, {"mark": 0, "capital": False}, {"mark": 0.3}],
                         ids=["marks", "no marks", "no marks, no capitals", "few marks"])
def test_one_sentence_a_line_in_any_script(script, options, file):
    documents = written(script, **options)
    corpus = read(file("\n\n".join(map("\n".join, documents))))
    assert corpus.documents == documents
    assert corpus.layout == LAYOUTS["lines"]
    one = read(file("\n".join(map("\n".join, documents))))  # and no blank lines: documents by size
    assert [line for document in one.documents for line in document] == [line for document in documents for line in document]


@pytest.mark.parametrize("script", [script for script in WORDS if script != "Thai"])
@pytest.mark.parametrize("lay", [str, wrapped, lambda paragraph: wrapped(paragraph, 90)], ids=["whole", "60", "90"])
def test_prose_in_any_script(script, lay, file):
    documents, (_, space, _) = written(script), WORDS[script]
    corpus = read(file("\n\n".join(lay(space.join(document)) for document in documents)))
    assert corpus.layout == LAYOUTS["prose"]
    found = [sentence if space else sentence.replace(" ", "") for document in corpus.documents for sentence in document]
    assert found == [sentence for document in documents for sentence in document]


def test_wrapped_text_without_any_marks_is_prose():
    for script in ("Thai", "Khmer", "Hindi", "Korean", "English"):
        for width in (40, 60, 90):
            documents = written(script, mark=0, capital=False)
            text = "\n\n".join(wrapped(WORDS[script][1].join(document), width) for document in documents)
            assert guess_layout(text) == "prose", (script, width)


VERSE = """Enter the king:
What light is this, that through the morning breaks,
And who shall say it is not day at last?

The queen:
It is the lamp, my lord, which I have lit;
And all the hall is waiting for your word,
"""


@pytest.mark.parametrize(("text", "layout"), [
    (VERSE * 20, "prose"),
    ("Breaking news from the river\nWhat a day\nso tired now!\nAnyone here?\nthe cat is back\n\n" * 20, "lines"),
    ("On the origin of cats\nA history of rivers, 1900-1950\nCats: a study\nTrees\n" * 50, "lines"),
    ("CC(=O)Oc1ccccc1C(=O)O\nCCO\nc1ccccc1\nCN1C=NC2=C1C(=O)N(C(=O)N2C)C\n" * 50, "lines"),
    ("A paragraph, and no mark behind it\n\nAnother one of these\n\n" * 20, "prose"),
    ("One thing happened. Then another. Nobody knew\nwhy it did. It was late, and the\nlamp went out\n\n" * 20, "prose"),
], ids=["verse", "speech", "titles", "molecules", "paragraphs without marks", "wrapped"])
def test_lines_that_do_not_end_like_sentences(text, layout):
    assert guess_layout(text) == layout


def test_lines_that_look_blank_are_blank(file):
    for blank in ("\u200f", "\u200b", " \ufeff ", "\u3000", "\xa0"):
        assert read(file(LINES.replace("\n\n", f"\n{blank}\n"))).documents == DOCUMENTS, hex(ord(blank.strip() or blank[0]))


def test_the_layout_that_was_taken_is_named(file, tmp_path):
    file(LINES, "a.txt")
    file(LINES, "b.txt")
    file(PROSE * 9, "c.txt")
    assert read(str(tmp_path)).layout == f"{LAYOUTS['lines']} (2 files); {LAYOUTS['prose']} (1 file)"
    assert read(str(tmp_path / "c.txt")).layout == LAYOUTS["prose"]
    assert read(str(tmp_path / "c.txt"), layout="lines").layout == LAYOUTS["lines"]


def test_lines_without_blank_lines_become_several_documents(file):
    lines = [f"This is line number {i} of many." for i in range(2000)]
    documents = read(file("\n".join(lines))).documents
    assert [line for document in documents for line in document] == lines
    assert 6 <= len(documents) <= 10


def test_ornaments_are_no_sentences(file):
    corpus = read(file("It ended here, as they say.\n\n* * * *\n\n-----\n\nIt began again, and then\nit went on and on."))
    assert corpus.documents == [["It ended here, as they say."], ["It began again, and then it went on and on."]]


def test_one_line_of_ten_megabytes(file):
    sentence = "The cat sat on the mat, and Dr. Smith saw it at 3.14 p.m. on Monday. "
    corpus = read(file(sentence * 145_000))
    assert sum(map(len, corpus.documents)) == 145_000
    assert len(corpus.documents) > 500


def test_one_endless_line_without_a_full_stop_is_cut_between_words(file):
    words = " ".join(f"word{i}" for i in range(100_000))
    documents = read(file(words)).documents
    assert " ".join(sentence for document in documents for sentence in document) == words
    assert len(documents) > 50


def test_bad_input_is_said(file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder '.*nothing\.txt'.*python-docs"):
        read(str(tmp_path / "nothing.txt"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"'.*empty' holds no \.txt file"):
        read(str(tmp_path / "empty"))
    for nothing in ("", "\n \n", "\ufeff"):
        with pytest.raises(ValueError, match=r"corpus nothing\.txt is empty"):
            read(file(nothing, "nothing.txt"))
    with pytest.raises(ValueError, match=r"single document of 1 sentence;.*at least two.*blank line and say --layout lines"):
        read(file("Just this."))
    with pytest.raises(ValueError, match="no corpus was named"):
        read([])


def test_undecodable_bytes_are_named_with_their_place(file):
    good = "Gute Sätze.\nNoch einer.\n"
    bad = file(good.encode() + "Käse.".encode("latin-1"), "latin.txt")
    offset = len(good.encode()) + 1
    with pytest.raises(ValueError, match=rf"latin\.txt is not UTF-8: byte 0xe4 at offset {offset} \(line 3\)"):
        read(bad)
    with pytest.raises(ValueError, match=rf"offset {offset + 3} "):
        read(file(b"\xef\xbb\xbf" + good.encode() + b"K\xe4se.", "marked.txt"))
    with pytest.raises(ValueError, match=r"wide\.txt is UTF-16"):
        read(file(LINES.encode("utf-16"), "wide.txt"))


def documents_of(sizes):
    return [["x" * size] for size in sizes]


def test_split_is_by_document_and_fixed_by_the_seed():
    documents = [[f"{i} " + "x" * (50 + i % 7 * 20)] for i in range(200)]
    train, held_out = split(documents)
    assert sorted(train + held_out) == sorted(documents)
    share = sum(len(d[0]) for d in held_out) / sum(len(d[0]) for d in documents)
    assert 0.03 < share <= 0.05
    assert split(documents) == (train, held_out)
    assert split(documents, seed=1)[1] != held_out
    assert [d for d in documents if d in train] == train


@pytest.mark.parametrize("sizes", [[10, 10], [1000, 1], [5, 5, 5], [100_000, 10, 10, 10, 10]])
def test_split_leaves_something_on_both_sides(sizes):
    for seed in range(20):
        train, held_out = split(documents_of(sizes), seed=seed)
        assert train
        assert len(held_out) >= (2 if len(sizes) >= 4 else 1)
        assert sum(len(d[0]) for d in train) >= sum(len(d[0]) for d in held_out)


def test_split_refuses_what_cannot_be_split():
    with pytest.raises(ValueError, match="at least two"):
        split(documents_of([10]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        split(documents_of([10, 10]), held_out=1.0)


def test_corpora_need_no_numpy():
    code = "import sys; import minibert.data.corpora; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
