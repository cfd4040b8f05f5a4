"""The sentence splitter."""

import pytest

from minibert.data.sentences import (
    BURMESE_COMMA,
    LEFT_OUT,
    MARKS,
    SENTENCE_TERMINAL,
    begins_lower,
    characters,
    ends_sentence,
    split_sentences,
)


@pytest.mark.parametrize(
    "sentences",
    [
        ["One sentence."],
        ["No full stop at the end"],
        ["It rains.", "Does it?", "Yes!", "So it goes…"],
        ["Dr. Smith met Mrs. Jones at 3.14 p.m. on the corner.", "They left."],
        ["Use a container, e.g. a list, i.e. something ordered.", "It costs $4.50 vs. $5."],
        ["J. R. R. Tolkien wrote it.", "So did I.", "And then?"],
        ['"Stop!" he said.', '"Why?" she asked.', "(He did not.)", "“Never.”", "And so on."],
        ["Wait... what?", "He paused...", "Then he left."],
        ["See Fig. 3 and pp. 12 for more.", "Version 3.12 is out."],
        ["他来了。", "你好吗？", "“很好！”", "是的"],
        ["Really?!", "Yes."],
        ["Der Bär schläft.", "Ärger droht.", "Ende."],
    ],
)
def test_sentences_are_found(sentences):
    space = "" if "。" in sentences[0] else " "
    assert split_sentences(space.join(sentences)) == sentences


SCRIPTS = {
    "Hindi": ["राम घर आया ।", "सीता कहाँ है?", "वह ३.५ मील दूर है।"],
    "Bengali": ["সে বাড়ি গেল।", "তুমি কোথায়?"],
    "Arabic": ["وصل د. أحمد إلى البيت.", "من هناك؟", "لا أحد!", "«نعم؟»", "حسنا.", "ماذا؟!", "لا."],
    "Urdu": ["وہ گھر گیا۔", "تم کہاں ہو؟", "یہاں۔"],
    "Hebrew": ["הוא הלך הביתה.", "למה?", "כי ד. בן גוריון אמר!"],
    "Armenian": ["Նա տուն գնաց։", "Ես մնացի։", "Ինչո՞ւ։"],
    "Georgian": ["ის სახლში წავიდა.", "რატომ?", "ასე წერდა ი. ჭავჭავაძე."],
    "Ethiopic": ["እሱ ቤት ሄደ።", "የት ነው፧", "እዚህ።"],
    "Burmese": ["သူ အိမ်ပြန်သည်။", "ငါ လာသည်၊ သူ သွားသည်။"],
    "Khmer": ["គាត់ទៅផ្ទះ។", "ខ្ញុំនៅទីនេះ៕"],
    "Tibetan": ["ཁོང་ནང་ལ་ཕེབས་སོང་། ང་འདིར་ཡོད༎", "ཁྱེད་རང་ག་པར་ཡོད༎"],
    "Greek": ["Πού είναι;", "Εδώ.", "«Ποιος;» ρώτησε.", "Ήρθε· έφυγε."],
    "Japanese": ["彼は家に帰った。", "どこ？", "「ここ。」", "３．１４です。"],
    "Korean": ["그는 집에 갔다.", "나도 집에 가.", "왜?"],
    "Spanish": ["¿Dónde está el Sr. López?", "¡Aquí!", "«Sí.»", "Vale."],
    "French": ["« Où est-il ? »", "Il dit : « Ici. »", "M. Durand partit…", "Fin."],
    "German": ["Er kam am 3. Oktober mit Dr. Maier.", "Im 19. Jahrhundert lebten dort ca. 5 Mio. Menschen, z. B. Bauern.",
               "„Halt.“", "»Ja?«", "Rom fiel 476 n. Chr. und nicht vorher.", "Das gilt bzw. galt, d. h. immer."],
    "Russian": ["Приехал проф. Иванов, т. е. он.", "Писал А. С. Пушкин.", "«Кто?»", "Он."],
    "Danish": ["Han sagde: »Ja.«", "»Hvor?«", "Her."],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_sentences_of_other_scripts(script):
    sentences = SCRIPTS[script]
    assert split_sentences(" ".join(sentences)) == sentences
    assert all(map(ends_sentence, sentences))


@pytest.mark.parametrize("script", ["Hindi", "Ethiopic", "Burmese", "Khmer", "Japanese"])
def test_marks_that_are_no_points_need_no_space(script):
    sentences = [sentence for sentence in SCRIPTS[script] if sentence[-1] not in ".?"]
    assert split_sentences("".join(sentences)) == sentences


def test_every_mark_of_unicode_ends_a_sentence():
    for mark in sorted(MARKS):
        assert split_sentences(f"वह कल{mark} वह कल{mark}") == [f"वह कल{mark}", f"वह कल{mark}"], hex(ord(mark))
        assert ends_sentence(f"वह कल{mark}")
    assert split_sentences(f"ကခ{BURMESE_COMMA} ကခ") == [f"ကခ{BURMESE_COMMA} ကခ"]


def test_the_table_is_that_of_unicode():
    regex = pytest.importorskip("regex")
    if not regex.match(r"\p{Assigned}", "\u2e60"):
        pytest.skip("this version of regex knows an older Unicode than 18")
    everything = "".join(map(chr, range(0x110000)))
    assert characters(SENTENCE_TERMINAL) == set(regex.findall(r"\p{Sentence_Terminal}", everything))
    assert characters(SENTENCE_TERMINAL).isdisjoint(LEFT_OUT)


@pytest.mark.parametrize("text", ["f(a; B) and x; Y", "３．１４です", "१।२", "node․js", "1．はじめに", "At 3.14 p.m. it rained"])
def test_marks_that_end_nothing(text):
    assert split_sentences(text) == [text]


@pytest.mark.parametrize(("text", "sentences"), [
    ("来了！！！", ["来了！！！"]),
    ("“很好！”", ["“很好！”"]),
    ("他说：“好。”", ["他说：“好。”"]),
    ("他来了。“你好！”", ["他来了。", "“你好！”"]),
    ("好。\u200f 是。\u200b", ["好。\u200f", "是。\u200b"]),
    ("نعم.\u200f \u200fلا؟\u200f", ["نعم.\u200f", "\u200fلا؟\u200f"]),
])
def test_what_closes_belongs_to_its_sentence(text, sentences):
    assert split_sentences(text) == sentences
    assert ends_sentence(text)


def test_small_letters_are_those_that_could_be_capitals():
    assert [text for text in ("a", "“é", "(ß", "ж", "ա") if not begins_lower(text)] == []
    assert [text for text in ("A", "ა", "क", "ا", "5", "", "漢", "-a") if begins_lower(text)] == []


def test_whitespace_is_normalised_and_nothing_else_changes():
    text = "  One\n sentence.\tAnother   one.  "
    assert split_sentences(text) == ["One sentence.", "Another one."]
    assert split_sentences("") == split_sentences(" \n ") == []


def test_long_runs_of_marks_take_no_time():
    for text in ("." * 1_000_000, '.)"' * 300_000, "。" * 1_000_000, ".。" * 500_000, "।" * 1_000_000 + "a",
                 "α;" + "." * 1_000_000, "।" + "”" * 1_000_000 + "“", "(" * 500_000 + "." + " (" * 500_000):
        assert len(split_sentences(text)) <= 2
