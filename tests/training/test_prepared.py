"""``minibert prepare``, and ``train`` on what it writes: the run on the text itself, byte for byte."""

import argparse

import pytest

from minibert.commands import prepare as arguments_of
from minibert.data.prepared import shards, tf_example
from minibert.data.prepared.instances import Wanted
from minibert.text import Tokenizer
from minibert.training import command, prepare
from tests.data.test_prepared import PADDING, VOCAB, examples
from tests.training.conftest import SMALL, arguments
from tests.training.runs import FINISHED, assert_same_run, interrupt_after, names

VOCABULARY = ("--vocab-size", 120)
TEXT = (*VOCABULARY, "--held-out", 0.1, "--max-length", 32)
PREPARED = ("--short-first", 0)


@pytest.fixture(scope="session")
def written(corpus, tmp_path_factory):
    """``written(*options)``: the folder that ``prepare`` makes of the corpus, once."""
    made = {}

    def run(*argv):
        if argv not in made:
            out = tmp_path_factory.mktemp("prepared") / "examples"
            parser = argparse.ArgumentParser()
            arguments_of.add_arguments(parser)
            options = ("--corpus", corpus, *TEXT, "--dupe-factor", 1, "--format", "tfrecord", "--out", out, *argv)
            assert prepare.run(parser.parse_args([str(x) for x in options])) == 0
            made[argv] = out
        return made[argv]
    return run


@pytest.fixture(scope="session")
def run_on(written, tmp_path_factory):
    """``run_on(train, *options)``: the folder of a run on such examples."""
    def run(train, *argv, **options):
        out = tmp_path_factory.mktemp("runs") / "run"
        assert train(out, "--corpus", written(*argv), "--vocab", written(*argv), *PREPARED) == 0
        return out
    return run


@pytest.fixture
def of_the_text(train, tmp_path):
    """The run on the text itself, with the same examples."""
    out = tmp_path / "text"
    assert train(out, "--static-masks", "--dupe-factor", 1, *PREPARED) == 0
    return out


@pytest.mark.parametrize("kind", ["tfrecord", "tfrecord.gz", "hdf5", "lddl"])
def test_a_run_is_that_on_the_text(kind, of_the_text, train, run_on):
    pytest.importorskip({"hdf5": "h5py", "lddl": "pyarrow"}.get(kind, "numpy"))
    out = run_on(train, "--format", kind)
    assert names(out) == FINISHED
    assert (out / "model.safetensors").read_bytes() == (of_the_text / "model.safetensors").read_bytes()
    ours, theirs = ([line.split(",") for line in (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()]
                    for folder in (out, of_the_text))
    assert [row[:2] + row[3:] for row in ours] == [row[:2] + row[3:] for row in theirs]  # all but the seconds


def test_masks_are_drawn_here_where_there_are_none(train, run_on, tmp_path):
    pytest.importorskip("pyarrow")
    out = run_on(train, "--format", "lddl", "--no-masks")
    assert train(tmp_path / "text", *PREPARED) == 0  # its first epoch
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "text" / "model.safetensors").read_bytes()
    assert "drawn while training" in (out / "log.txt").read_text(encoding="utf-8")


def test_an_interrupted_run_is_the_uninterrupted_one(train, resume, written, run_on, tmp_path, monkeypatch):
    monkeypatch.setattr(tf_example, "BLOCK", 16)
    monkeypatch.setattr(shards, "POOL", 40)
    whole = run_on(train, "--format", "tfrecord")
    interrupt_after(monkeypatch, 7)
    folder = written("--format", "tfrecord")
    assert train(tmp_path / "a", "--corpus", folder, "--vocab", folder, *PREPARED) == 130
    assert resume(tmp_path / "a") == 0
    assert_same_run(whole, tmp_path / "a")


def test_a_file_that_has_changed_is_not_gone_on_with(train, resume, tmp_path, monkeypatch):
    def write(seed):
        tf_example.write(tmp_path / "a.tfrecord", examples(40, seed), VOCAB, PADDING)

    write(0)
    VOCAB.save(tmp_path / "vocab.txt")
    interrupt_after(monkeypatch, 3)
    assert train(tmp_path / "run", "--corpus", tmp_path / "a.tfrecord", "--vocab", tmp_path / "vocab.txt") == 130
    write(1)
    with pytest.raises(ValueError, match=r"the text of a.tfrecord has changed since the run began"):
        resume(tmp_path / "run")


def test_the_tokenizer_lies_beside_the_examples(written, train, tmp_path):
    folder = written("--format", "tfrecord")
    assert command.run(arguments("--corpus", folder, *SMALL, "--steps", 2, "--out", tmp_path / "run")) == 0
    assert (tmp_path / "run" / "vocab.txt").read_bytes() == (folder / "vocab.txt").read_bytes()
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert "tf.Example records, 2 files" in log
    assert "of tokens, as given" in log
    [file] = folder.glob("train-*")
    with pytest.raises(ValueError, match=r"and it is not beside them; name the one that they were made with \(--vocab\)"):
        command.run(arguments("--corpus", file, *SMALL, "--steps", 2, "--out", tmp_path / "none"))


@pytest.mark.parametrize(("options", "what"), [
    (("--short-first", 0.1), "--short-first is for texts, and .* holds prepared examples"),
    (("--layout", "lines"), "--layout is for texts"),
    (("--mask-rate", 0.3), "--mask-rate is for texts, and .* holds prepared examples"),
    (("--pairs", "prefix"), "--pairs, --words and --masking may ask of prepared examples only what these tell"),
    (("--words", "trigrams"), "--pairs, --words and --masking may ask of prepared examples only what these tell"),
    (("--recipe", "bert"), "--recipe bert: its stages say max_length, which is for texts, and .* holds prepared examples"),
    (("--max-length", 20), r"record \d+: it has \d+ tokens, and an example has at most 20: give --max-length"),
])
def test_what_is_for_texts_alone_is_refused(options, what, written, train, tmp_path):
    folder = written("--format", "tfrecord")
    with pytest.raises(ValueError, match=what):
        train(tmp_path / "run", "--corpus", folder, "--vocab", folder, *options)
    assert not (tmp_path / "run").exists()


def test_other_masks_than_those_given(written, train, tmp_path):
    folder = written("--format", "tfrecord")
    runs = []
    for i, options in enumerate(((), ("--whole-word",))):
        assert train(tmp_path / str(i), "--corpus", folder, "--vocab", folder, "--seed", 5, *options) == 0  # not the masks'
        runs.append((tmp_path / str(i) / "model.safetensors").read_bytes())
    assert runs[0] != runs[1]
    assert train(tmp_path / "electra", "--corpus", folder, "--vocab", folder, "--family", "electra", "--steps", 2) == 0


def test_versions_files_and_bins(written, capsys):
    pytest.importorskip("pyarrow")
    folder = written("--format", "lddl", "--dupe-factor", 2, "--shard-size", 50, "--bin-size", 4)
    endings = {path.suffix for path in folder.glob("train-*")}
    assert ".parquet_7" in endings > {".parquet_7"}
    found = shards.find([str(folder)], 0.5, 0)
    once = shards.find([str(written("--format", "lddl"))], 0.5, 0)
    assert found.held_out.size == once.held_out.size
    assert 1.8 * once.train.size < found.train.size < 2.2 * once.train.size
    assert max(block.count for block in found.train.blocks) == 50
    wanted = Wanted(Tokenizer.load(folder).vocab, 32)
    for number, block in enumerate(found.train.blocks):
        bins = {(len(one.ids) - 1) // 4 for one in found.train.read(number, wanted)}
        assert bins == {int(block.path.suffix[-1])}


def test_every_format_is_a_choice():
    parser = argparse.ArgumentParser()
    arguments_of.add_arguments(parser)
    [choices] = (action.choices for action in parser._actions if action.dest == "format")
    assert set(choices) == {prepare.SHARDS, *prepare.KINDS}


@pytest.mark.parametrize(("options", "what"), [
    (("--format", "tfrecord", "--no-masks"), "--no-masks: the files of tfrecord hold masks; give --format lddl"),
    (("--format", "hdf5", "--bin-size", 8), "--bin-size is for files by length"),
    (("--shard-size", 0), "--shard-size must be at least 1, got 0"),
    (("--family", "electra"), "--family electra does not hide words beforehand, which the files hold"),
    (("--pairs", "prefix"), "--pairs prefix does not hide words beforehand"),
    (("--pairs", "three-ways"), "the files hold hidden words, and of a pair whether it is one, but nothing of"),
    (("--max-predictions", 1), "give a larger --max-length or --max-predictions"),
])
def test_what_cannot_be_prepared(options, what, written):
    with pytest.raises(ValueError, match=what):
        written(*options)


def test_repeated_text_is_told(train, tmp_path):
    """Ten versions of the same examples, of which some are held out."""
    tf_example.write(tmp_path / "a.tfrecord", examples(20) * 10, VOCAB, PADDING)
    VOCAB.save(tmp_path / "vocab.txt")
    assert train(tmp_path / "run", "--corpus", tmp_path / "a.tfrecord", "--vocab", tmp_path / "vocab.txt", "--steps", 2) == 0
    assert "warning: 100% of the held-out runs of 8 tokens stand in training examples too" in (
        tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
