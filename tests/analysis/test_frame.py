"""What all analyses are held to, and what they are given to look at."""

import inspect
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from minibert.analysis import analyses, controls, subject
from minibert.analysis.analyses import Line
from minibert.api import Bert
from minibert.data.sentences import split_sentences
from minibert.model import pretraining
from minibert.text import Tokenizer, Vocabulary
from minibert.training.command import SPECIAL
from tests import tiny_model, world_model

WORLD = world_model.world()


@pytest.fixture(scope="module")
def bert():
    return world_model.make()


@pytest.mark.parametrize("name", analyses.NAMES)
def test_an_analysis_has_all_that_the_frame_asks_for(name):
    source = analyses.module(name)
    assert re.match(r"[A-Z].*[.:?]$", source.__doc__.partition("\n")[0])
    assert "Source" in source.__doc__
    assert all((source.CLAIM, source.PAPER, source.CONTROLS))
    assert source.CLAIM.endswith(".")
    assert list(inspect.signature(source.of).parameters) == ["subject"]
    for function in ("lines", "verdict", "plot"):
        assert list(inspect.signature(getattr(source, function)).parameters) == ["result"]
    assert next(iter(inspect.signature(source.measure).parameters)) == "bert"
    assert any(word in source.verdict.__doc__.lower() for word in ("agrees", "contradicts"))


def test_every_analysis_stands_in_the_table_once():
    assert len(set(analyses.NAMES)) == len(analyses.NAMES)
    assert [row.number for row in analyses.ROWS] == list(range(1, 28))
    assert [row.number for row in analyses.ROWS if not row.names] == [27]  # the scoreboard itself
    with pytest.raises(ValueError, match=r"there is no analysis 'tress'; there are .*trees, "):
        analyses.module("tress")


@pytest.mark.parametrize("name", ["contextual", "trees"])
def test_an_analysis_of_the_world(bert, name):
    some = subject.of(bert, quick=True)
    found = analyses.run(name, replace(some, sentences=some.sentences[:120]))
    assert found.verdict in (analyses.AGREES, analyses.CONTRADICTS, analyses.CANNOT)
    written = json.loads(json.dumps(found.json(), allow_nan=False))
    assert (written["analysis"], written["sentences"], written["seed"]) == (name, 120, 0)
    assert f"verdict: {found.verdict}" in str(found)
    assert str(found).startswith(f"{name} (quick): ")
    quick, whole = (replaced.figure().get_suptitle() for replaced in (found, found._replace(about={})))
    assert quick == f"{whole} (quick)"
    assert all(isinstance(line, Line) and line.name in str(found) for line in found.lines)


def test_the_world_is_known_by_its_words_and_has_gold_for_all(bert):
    found = subject.of(bert, quick=True)
    assert found.world.words == WORLD.words
    assert (len(found.sentences), found.notes) == (subject.QUICK, [])
    first = found.sentences[0]
    assert all(column is not None and len(column) == len(first.words) for name, column in first._asdict().items()
               if name not in ("document", "order"))
    assert first.heads.count(-1) == 1
    assert first.upos[first.heads.index(-1)] in ("VERB", "AUX", "ADJ", "NOUN")
    assert found.texts != subject.of(bert, quick=True, seed=1).texts
    assert found.texts == subject.of(bert, WORLD, quick=True).texts
    assert [s.order for s in found.documents[1]] == list(range(len(found.documents[1])))
    with pytest.raises(ValueError, match="has 19 different sentences of two words or more that"):
        replace(found, sentences=found.sentences[:19]).texts  # noqa: B018


def test_the_world_written_as_a_file_is_the_same(bert, tmp_path):
    from minibert.world.printed import printed

    documents = list(WORLD.documents(2000, 3))
    (tmp_path / "gold.conllu").write_text("".join(printed(WORLD.language, i, d).conllu for i, d in enumerate(documents)),
                                          encoding="utf-8")
    read = subject.of(bert, tmp_path / "gold.conllu").sentences
    assert [s._replace(depths=None, facts=None) for s in _sampled(documents)] == list(read)


def _sampled(documents):
    class Sampled:
        documents, gold = staticmethod(lambda tokens, seed: documents), WORLD.gold

    return subject._of_world(Sampled(), 0)


LINES = """\
# newdoc
# text = Dogs sleep .
1-2\tdogs\t_\t_\t_\t_\t_\t_\t_\t_
1\tDogs\tdog\tNOUN\tNNS\tNumber=Plur\t2\tnsubj\t_\t_
2\tsleep\tsleep\tVERB\tVBP\t_\t0\troot\t_\t_
2.1\tnothing\t_\t_\t_\t_\t_\t_\t_\t_
3\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_

1\tthey\tthey\tPRON\tPRP\t_\t_\t_\t_\t_
2\tsleep\tsleep\tVERB\tVBP\t_\t_\t_\t_\t_

# newdoc
1\tzebras\tzebra\tNOUN\tNNS\t_\t0\troot\t_\t_
"""


@pytest.fixture
def reader():
    words = ["Dogs", "sleep", ".", "they", "##y", "a"]
    config, _, _ = tiny_model.make(vocab_size=len(words) + 5, max_position_embeddings=8)
    return Bert(config, pretraining.initial_parameters(config, 0),
                Tokenizer(Vocabulary([*SPECIAL, *words]), lower_case=False, max_length=8))


def test_conllu_with_ranges_empty_nodes_and_missing_heads(reader, tmp_path):
    (tmp_path / "some.conllu").write_text(LINES, encoding="utf-8")
    found = subject.of(reader, tmp_path / "some.conllu")
    first, second = found.sentences
    assert (first.words, first.heads, first.relations, first.numbers) == (["Dogs", "sleep", "."], [1, -1, 1],
                                                                          ["nsubj", "root", "punct"], ["Plur", "", ""])
    assert (second.heads, second.relations, second.chunks, second.document, second.order) == (None, None, None, 0, 1)
    assert found.notes == ["1 sentences are left out: words that the model's vocabulary does not know",
                           "1 sentences have words without a head, and count as sentences without heads"]
    with pytest.raises(ValueError, match=r"some\.conllu has 1 different sentences of two words or more with gold heads, and a"):
        found.gold("heads")
    with pytest.raises(ValueError, match=r"some\.conllu has no gold senses, chunks: give a CoNLL-U file"):
        found.gold("senses", "heads", "chunks")
    with pytest.raises(ValueError, match="known of the generated language only"):
        found.need_world()


@pytest.mark.parametrize(("head", "message"), [
    ("3", "line 4: from this word upwards the heads run in a circle"),
    ("7", "line 5: the head is '7', and the sentence has no such word"),
    ("x", "line 5: the head is 'x'"),
    ("1", "line 4: the sentence that begins here has 0 roots"),
])
def test_heads_that_are_no_tree_are_named(reader, tmp_path, head, message):
    text = LINES.replace("\t0\troot\t_\t_\n2.1", f"\t{head}\troot\t_\t_\n2.1")
    if head == "3":
        text = text.replace("2\tpunct", "1\tpunct").replace("2\tnsubj", "3\tnsubj").replace("\t3\troot", "\t0\troot")
    (tmp_path / "x.conllu").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        subject.of(reader, tmp_path / "x.conllu")


def test_plain_text_is_cut_into_the_words_of_the_model(reader, tmp_path, monkeypatch):
    text = "they sleep. Dogs sleep.\n\nthey sleep " + "they " * 9 + ".\nDogs sleep"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    found = subject.of(reader, tmp_path / "a.txt")
    assert [s.words for s in found.sentences][-1] == ["Dogs", "sleep"]
    assert found.sentences[0].words == ["they", "sleep", "."] or len(split_sentences("they sleep. Dogs sleep.")) == 1
    assert found.notes == ["1 sentences are left out: more tokens than the 8 that the model reads"]
    (tmp_path / "b.txt").write_text("Zebras fly.", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no sentence of b\.txt whole: 1 are left out, most of them for words that the mod"):
        subject.of(reader, tmp_path / "b.txt")
    (tmp_path / "d.txt").write_text("they sleep\nthey sleep they sleep", encoding="utf-8")
    other = Bert(reader.config, reader.parameters, Tokenizer(reader.tokenizer.vocab, lower_case=False, max_length=4))
    assert len(subject.of(reader, tmp_path / "d.txt").sentences) == 2
    assert [s.text for s in subject.of(reader, tmp_path / "d.txt", other=other).sentences] == ["they sleep"]
    for nothing in ("", "\n\n", "1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n"):
        (tmp_path / "c.txt").write_text(nothing, encoding="utf-8")
        with pytest.raises(ValueError, match=r"c\.txt has no sentences; expected CoNLL-U, or plain text"):
            subject.of(reader, tmp_path / "c.txt")
    with pytest.raises(ValueError, match="is a folder; expected a file of CoNLL-U or plain text: name one"):
        subject.of(reader, tmp_path)
    monkeypatch.setattr(subject, "QUICK", 20)
    with pytest.raises(ValueError, match=r"no sentence of the world of 201 words whole: 200 are left out"):
        subject.of(reader, WORLD, quick=True)
    with pytest.raises(ValueError, match="what is it to read"):
        subject.of(reader)


def test_random_weights_are_those_that_training_begins_with(bert):
    fresh = controls.random_weights(bert, 0)
    assert (fresh.parameters.flat == bert.parameters.flat).all()
    assert (controls.random_weights(bert, 1).parameters.flat != bert.parameters.flat).any()


def test_a_bag_of_words():
    counts, words = controls.bag_of_words([["a", "b", "a"], ["c"]])
    assert (words, counts.tolist()) == (["a", "b", "c"], [[2, 1, 0], [0, 0, 1]])
    assert controls.bag_of_words([["a", "z"]], ["z"])[0].tolist() == [[1]]


@pytest.mark.parametrize("name", ["trees", "relations", "specialised", "structural", "attention-probe", "tensor-products"])
def test_sentences_of_one_word_have_no_tree(reader, tmp_path, name):
    (tmp_path / "x.conllu").write_text("1\ta\ta\tX\t_\t_\t0\troot\t_\t_\n\n" * 30, encoding="utf-8")
    with pytest.raises(ValueError, match=r"x\.conllu has 0 different sentences of two words or more with gold heads"):
        analyses.run(name, subject.of(reader, tmp_path / "x.conllu"))


@pytest.mark.parametrize("text", ["a a", "a"])
@pytest.mark.parametrize("name", ["similarity", "flow", "neurons", "replaced", "contextual", "patterns"])
def test_the_same_sentence_again_and_again_says_nothing(bert, name, text):
    some = replace(subject.of(bert, quick=True), sentences=[subject.Sentence(text.split())] * 400)
    with pytest.raises(ValueError, match=r"has [01] different sentences of two words or more that the model can read whole, and"):
        analyses.run(name, some)


def test_a_number_that_there_is_none_of_leaves_its_cell_empty():
    found = analyses.Found("trees", None, [Line("a", float("nan"), None, 0.5)], analyses.CANNOT, 0.0, {})
    assert "nan" not in str(found).split("\n\n")[1]


def test_errors_of_shares_and_of_sentences():
    assert analyses.share_error(0.5, 0.5, 98) == pytest.approx((0.5 / 100) ** 0.5, abs=1e-15)
    np.testing.assert_allclose(analyses.share_error(np.ones(2), np.array([1, 0]), np.array([2, 2])), (6 / 64) ** 0.5, atol=1e-15)
    x = np.array([1.0, 4, -2, 0.5])
    assert analyses.paired_error(x, np.ones(4)) == pytest.approx(x.std(ddof=1) / 2, abs=1e-15)
    assert analyses.paired_error(np.array([1, 3, 2]), np.array([2, 6, 4])) == 0  # the same share of each
    assert analyses.paired_error(x[:1], np.ones(1)) == np.inf


def test_the_error_of_sentences_is_that_of_many_samples():
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 10, (2000, 100))
    gains = sizes * rng.choice([-0.5, 0.5], sizes.shape)  # all words of a sentence alike
    errors = [analyses.paired_error(*sample) for sample in zip(gains, sizes)]
    assert np.mean(errors) == pytest.approx((gains.sum(1) / sizes.sum(1)).std(), rel=0.05)


def test_a_verdict_needs_more_than_the_sample_leaves_open():
    judge, all_of = analyses.judge, analyses.all_of
    agrees, contradicts, cannot = analyses.AGREES, analyses.CONTRADICTS, analyses.CANNOT
    assert [judge(gain, 0.2) for gain in (0.3, 0.1, -0.1, -0.3)] == [agrees, cannot, cannot, contradicts]
    assert [judge(0.05, margin, 0.1) for margin in (0.2, 0.04)] == [cannot, contradicts]
    assert [judge(0.15, margin, 0.1) for margin in (0.2, 0.04)] == [cannot, agrees]
    assert judge(np.array([0, 0.3]), np.array([0.01, 0.2]), 0.1) == agrees
    assert judge(np.array([0, 0.05]), np.array([0.01, 0.2]), 0.1) == cannot
    assert judge(np.array([0, 0.05]), 0.01, 0.1) == contradicts
    assert judge(float("nan"), 0.1) == cannot
    assert [all_of(agrees, agrees), all_of(agrees, cannot), all_of(cannot, contradicts)] == [agrees, cannot, contradicts]


def test_a_result_as_json():
    found = analyses.plain({"a": Line("x", np.float32(0.5)), "b": np.array([1, np.nan]), 3: (np.int64(2), None, True)})
    assert found == {"a": {"name": "x", "value": 0.5, "control": None, "paper": None}, "b": [1, None], "3": [2, None, True]}
