"""The sentence splitter."""

import pytest

from minibert.data.sentences import split_sentences


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


def test_whitespace_is_normalised_and_nothing_else_changes():
    text = "  One\n sentence.\tAnother   one.  "
    assert split_sentences(text) == ["One sentence.", "Another one."]
    assert split_sentences("") == split_sentences(" \n ") == []


def test_long_runs_of_marks_take_no_time():
    for text in ("." * 1_000_000, '.)"' * 300_000, "。" * 1_000_000, "(" * 500_000 + "." + " (" * 500_000):
        assert len(split_sentences(text)) <= 2
