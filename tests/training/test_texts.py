"""``minibert prepare`` of text, and ``train`` on it: by windows, from the cache, gone on with, and what is refused."""

import argparse
import errno
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minibert.commands import prepare as arguments_of
from minibert.data import corpora, python_docs
from minibert.data.tokens import manifest, shard, sources, windows
from minibert.ranks import ALONE
from minibert.ranks.threads import together
from minibert.tasks import batches
from minibert.text import Tokenizer, Vocabulary
from minibert.training import command, prepare, prepare_text, texts
from minibert.training.options import Settings
from tests import tiny_model
from tests.training.conftest import SMALL, arguments
from tests.training.runs import FINISHED, assert_same_run, interrupt_after, names

HELD_OUT = ("--held-out", 0.1)
OF_THE_MODEL = "--layers 1 --hidden 32 --heads 2".split()
OF_THE_RUN = " ".join([*SMALL, "--steps 12"]).replace(" ".join(OF_THE_MODEL), "").replace("--held-out 0.1", "").split()


def prepared(*argv, ranks=ALONE):
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser()
    arguments_of.add_arguments(parser)
    return prepare.run(parser.parse_args([str(x) for x in argv]), ranks)


@pytest.fixture
def small(monkeypatch):
    """Texts of several shards, and several windows. One process: others would not know."""
    monkeypatch.setattr(prepare_text, "available_cores", lambda: 1)
    monkeypatch.setattr(sources, "SLICE", 2000)
    monkeypatch.setattr(windows, "WINDOW", 900)


@pytest.fixture(scope="session")
def made(corpus, tmp_path_factory):
    """``made(small)``: the corpus, prepared once."""
    found = {}

    def run(slice_):
        if slice_ not in found:
            found[slice_] = tmp_path_factory.mktemp("texts") / "data"
            assert prepared(corpus, "--out", found[slice_], "--vocab-size", 120, *HELD_OUT) == 0
        return found[slice_]
    return run


@pytest.fixture
def data(made, tmp_path):
    """A copy of it; ask for ``small`` before."""
    return Path(shutil.copytree(made(sources.SLICE), tmp_path / "data"))


@pytest.fixture
def run_on(tmp_path):
    """``run_on(folder, out, *options)``: train on a prepared text; the exit code."""
    def run(folder, out, *argv):
        return command.run(arguments("--corpus", folder, *OF_THE_MODEL, *OF_THE_RUN, "--out", tmp_path / out, *argv))
    return run


def weights(folder) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def by_their_content(documents, share, seed):
    """As a prepared text is split."""
    bound = round(share * 2**64)
    return ([d for d in documents if shard.drawn(d) >= bound], [d for d in documents if shard.drawn(d) < bound])


def test_a_text_of_one_window_is_the_text_itself(data, corpus, run_on, train, tmp_path, monkeypatch):
    """With the same documents held out: the same vocabulary, the same examples, the same weights."""
    assert run_on(data, "run") == 0
    assert names(tmp_path / "run") == FINISHED
    monkeypatch.setattr(corpora, "split", by_their_content)
    assert train(tmp_path / "text") == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "text")
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert "data: a prepared text, 60 documents, 480 sentences, 1 shards" in log
    assert "nearly repeated" in log


@pytest.mark.parametrize("options", [(), ("--static-masks", "--dupe-factor", 1), ("--masking", "frequency")])
def test_an_interrupted_run_is_the_uninterrupted_one(options, small, data, run_on, resume, tmp_path, monkeypatch):
    assert run_on(data, "whole", *options) == 0
    interrupt_after(monkeypatch, 7)
    assert run_on(data, "run", *options) == 130
    assert resume(tmp_path / "run") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_stream_reads_every_window_of_every_epoch(small, data):
    found, tokenizer = manifest.read(data), Tokenizer.load(data)
    given = windows.Windows(data, found, 0)
    assert given.count >= 3
    stream = batches.Stream(given, tokenizer, max_length=16, batch_size=10, seed=0, next_sentence=False)
    position, seen, places = batches.Position(), [], []
    while position.epoch < 2:
        examples, position = stream.batch(position)
        seen += examples
        places.append(position)
    assert {place.window for place in places} == set(range(given.count))
    texts_ = [example.ids.copy() for example in seen]
    for ids, example in zip(texts_, seen):
        ids[example.positions] = example.labels
    special = np.array(tokenizer.vocab.special_ids)
    read = np.bincount(np.concatenate([ids[~np.isin(ids, special)] for ids in texts_]), minlength=found.vocabulary)
    once = np.zeros(found.vocabulary, int)
    for number in range(given.count):
        once += np.bincount(np.concatenate([s for d in given.read(0, number) for s in d]), minlength=found.vocabulary)
    assert 0 <= (read - 2 * once).sum() < 160  # the batch that ends the second epoch goes on in the third
    halfway = places[len(places) // 2]
    again = batches.Stream(given, tokenizer, max_length=16, batch_size=10, seed=0, next_sentence=False)
    for ours, theirs in zip(again.batch(halfway)[0], stream.batch(halfway)[0]):
        assert np.array_equal(ours.ids, theirs.ids)


def test_a_shard_that_goes_under_a_run(small, data, run_on, tmp_path, monkeypatch):
    real = windows._read

    def once_gone(folder, found, i, aside):
        if not aside:
            for path in shard.paths(folder, found.shards[i][0]):
                path.unlink()
        return real(folder, found, i, aside)

    monkeypatch.setattr(windows, "_read", once_gone)
    with pytest.raises(FileNotFoundError, match=r"npy is missing, a part of the text that was prepared in .*data: prepare"):
        run_on(data, "run")


def test_text_that_was_prepared_anew_is_not_gone_on_with(small, data, corpus, run_on, resume, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 3)
    assert run_on(data, "run") == 130
    more = tmp_path / "more.txt"
    more.write_text("rado soki tilu .\nvuba neme .\n\n", encoding="utf-8")
    assert prepared(corpus, more, "--out", data, "--vocab-size", 120, *HELD_OUT) == 0
    with pytest.raises(ValueError, match=r"the text of data has changed since the run began"):
        resume(tmp_path / "run")


def test_changed_text_is_said(data, run_on, tmp_path, capsys):
    found = json.loads((data / manifest.FILE).read_text(encoding="utf-8"))
    found["texts"][0][2] += 1
    (data / manifest.FILE).write_text(json.dumps(found), encoding="utf-8")
    assert run_on(data, "run", "--steps", 2) == 0
    assert f"topics.txt has changed since {data} was prepared; minibert prepare brings that" in capsys.readouterr().out


# By itself


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "LARGE", 1000)
    return tmp_path / "cache"


def test_a_large_text_is_prepared_by_itself(cache, train, data, run_on, tmp_path, capsys):
    assert train(tmp_path / "first") == 0
    assert "are prepared once, in" in capsys.readouterr().out
    assert train(tmp_path / "second") == 0
    assert "prepared earlier in" in capsys.readouterr().out
    assert run_on(data, "named") == 0
    assert weights(tmp_path / "first") == weights(tmp_path / "second") == weights(tmp_path / "named")
    assert train(tmp_path / "off", "--no-prepare") == 0
    assert weights(tmp_path / "off") != weights(tmp_path / "first")


def test_a_run_on_the_cache_goes_on_without_it(cache, train, resume, tmp_path, monkeypatch):
    assert train(tmp_path / "whole") == 0
    interrupt_after(monkeypatch, 7)
    assert train(tmp_path / "run") == 130
    for path in cache.rglob("*.npy"):
        path.unlink()
    assert resume(tmp_path / "run") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_trained_model_goes_on_with_its_vocabulary(cache, corpus, train, resume, tmp_path, monkeypatch):
    assert train(tmp_path / "model") == 0
    interrupt_after(monkeypatch, 7)
    argv = arguments("--corpus", corpus, "--init", tmp_path / "model", *OF_THE_RUN, "--out", tmp_path / "run")
    assert command.run(argv) == 130
    assert resume(tmp_path / "run") == 0
    assert (tmp_path / "run" / "vocab.txt").read_bytes() == (tmp_path / "model" / "vocab.txt").read_bytes()


# The command


def test_it_goes_on_and_makes_what_is_new(small, corpus, data, tmp_path, capsys):
    more = tmp_path / "more.txt"
    more.write_text("rado soki tilu .\nvuba neme .\n\nraba .\n", encoding="utf-8")
    before = json.loads((data / manifest.FILE).read_text(encoding="utf-8"))
    capsys.readouterr()
    assert prepared(corpus, more, "--out", data, "--vocab-size", 120, *HELD_OUT) == 0
    after = json.loads((data / manifest.FILE).read_text(encoding="utf-8"))
    assert len(after["shards"]) == len(before["shards"]) + 1
    assert f"{len(before['shards']):,} of {len(after['shards']):,} shards were there already" in capsys.readouterr().out
    assert before["shards"] == after["shards"][:-1]


def files_of(folder):
    """By name, their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ranks_make_the_same_files_and_one_speaks(small, corpus, data, tmp_path, capsys):
    def run(ranks):
        return prepared(corpus, "--out", tmp_path / "new", "--vocab-size", 120, *HELD_OUT, ranks=ranks)

    assert together(3, run) == [0, 0, 0]
    assert files_of(tmp_path / "new") == files_of(data)
    assert "3 ranks of 1 process …" in (said := capsys.readouterr().out)
    assert said.count("The text is in") == 1
    next((tmp_path / "new" / shard.FOLDER).glob("*.npy")).unlink()
    assert together(2, run) == [0, 0]
    assert files_of(tmp_path / "new") == files_of(data)
    assert "shards were there already" in capsys.readouterr().out


@pytest.mark.parametrize(("argv", "message"), [
    (("-",), "standard input reaches one rank only"),
    (("python-docs",), "python-docs is one small text"),
    (("book.txt", "--format", "lddl"), "--format lddl is made by one process"),
])
def test_what_ranks_do_not_prepare_is_refused(tmp_path, argv, message):
    def run(ranks):
        with pytest.raises(ValueError, match=message):
            prepared(*argv, "--out", tmp_path / "new", ranks=ranks)

    together(2, run)
    assert not (tmp_path / "new").exists()


def test_ranks_that_see_other_texts_are_refused(tmp_path):
    texts = [tmp_path / str(rank) / "book.txt" for rank in (0, 1)]
    for rank, path in enumerate(texts):
        path.parent.mkdir()
        path.write_text("A line.\n\n" * (5 + rank), encoding="utf-8")

    def run(ranks):
        with pytest.raises(ValueError, match=r"the ranks must agree before the first step: .*book\.txt"):
            prepare_text.make(tmp_path / "new", [texts[ranks.rank]], Settings(), None, print, ranks=ranks)

    together(2, run)


def test_an_interruption_is_said(small, corpus, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shard, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert prepared(corpus, "--out", tmp_path / "data", "--vocab-size", 120) == 130
    assert "Stopped; what was made so far is kept" in capsys.readouterr().out
    assert prepared(corpus, "--out", tmp_path / "data", "--vocab-size", 120) == 0


def test_a_full_disk_is_said(small, corpus, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "a.npy could not be written: No space left on device")

    monkeypatch.setattr(shard, "write", full)
    with pytest.raises(OSError, match=r"No space left on device; the shards that were made in .*data are kept, and the same "
                                      "command goes on"):
        prepared(corpus, "--out", tmp_path / "data", "--vocab-size", 120)


def test_standard_input_and_python_docs(corpus, data, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(corpus.read_bytes())))
    assert prepared("-", "--out", tmp_path / "piped", "--vocab-size", 120, *HELD_OUT) == 0
    ours, theirs = (manifest.read(folder) for folder in (tmp_path / "piped", data))
    assert ours.sha256 == theirs.sha256
    assert ours.texts == ()
    assert {path.name for path in (tmp_path / "piped").iterdir()} == {path.name for path in data.iterdir()}
    monkeypatch.setattr(python_docs, "documents", lambda: [["It is a sentence."] * 3, ["It is another."] * 3])
    assert prepared("--out", tmp_path / "docs", "--vocab-size", 60) == 0
    assert sum(manifest.read(tmp_path / "docs").sentences) == 6


def test_a_vocabulary_that_is_named(corpus, data, run_on, tmp_path):
    assert prepared(corpus, "--out", tmp_path / "again", "--vocab", data / "vocab.txt", *HELD_OUT) == 0
    assert manifest.read(tmp_path / "again").sha256 == manifest.read(data).sha256
    assert run_on(data, "run", "--vocab", data / "vocab.txt", "--steps", 2) == 0
    other = tmp_path / "other.txt"
    other.write_text((data / "vocab.txt").read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"was cut with another vocabulary \(\d+ tokens\) than that of the run \(\d+\)"):
        run_on(data, "none", "--vocab", other, "--steps", 2)


def test_what_a_rule_cuts_is_lines(tmp_path):
    """As train reads it, whether the rule is asked for or comes with a vocabulary that is named."""
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(f"One{i} is. Two{i} is. Three{i}.\nFour{i} is. Five{i} is." for i in range(20)), encoding="utf-8")
    assert corpora.guess_layout(path.read_text(encoding="utf-8")) == "prose"
    assert prepared(path, "--out", tmp_path / "asked", "--vocab-size", 60, "--cut", "characters", *HELD_OUT) == 0
    assert prepared(path, "--out", tmp_path / "named", "--vocab", tmp_path / "asked", *HELD_OUT) == 0
    for name in ("asked", "named"):
        found = manifest.read(tmp_path / name)
        assert (found.layout, sum(found.sentences)) == (corpora.LAYOUTS["lines"], 40)


@pytest.mark.parametrize(("options", "what"), [
    (("--layout", "lines"), "--layout is decided when a text is prepared, and .*data has been: leave it out"),
    (("--held-out", 0.2), "--held-out is decided when a text is prepared"),
    (("--vocab-size", 100), "--vocab-size is decided when a text is prepared"),
    (("--words", "capitalisation"), r"may not ask of a prepared text what only its characters tell \(capital\)"),
    (("--corpus", "DATA", "TEXT"), "a prepared text is a corpus of its own; prepare the texts together"),
])
def test_what_was_decided_is_refused(options, what, data, corpus, run_on, tmp_path):
    options = [{"DATA": data, "TEXT": corpus}.get(x, x) for x in options]
    with pytest.raises(ValueError, match=what):
        run_on(data, "run", *options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "what"), [
    (("--max-length", 32), "--max-length is for examples, and shards hold text, of which examples are made while training"),
    (("--masking", "spans"), "--masking is for examples"),
    (("--no-next-sentence",), "--no-next-sentence is for examples"),
    (("--no-masks",), "--no-masks is for examples"),
    (("--dupe-factor", 2), "--dupe-factor is for examples"),
    (("--shard-size", 9), "--shard-size is for examples"),
    (("--format", "lddl", "--workers", 2), "--workers is for shards of text, and --format lddl asks for examples"),
    (("--workers", 0), "--workers must be at least 1, got 0"),
    (("--corpus", "a.txt"), "--corpus names texts, and so does what stands before it"),
])
def test_options_of_the_other_kind(options, what, corpus, tmp_path):
    with pytest.raises(ValueError, match=what):
        prepared(corpus, "--out", tmp_path / "data", *options)
    assert not (tmp_path / "data").exists()


def test_a_tokenizer_for_what_is_no_prose_reads_lines_however_large_the_text(tmp_path):
    path, vocabulary = tmp_path / "strings.txt", Vocabulary(tiny_model.TOKENS)
    path.write_text("".join(f"The {n}. The other {n}. The third.\n" for n in range(40)), encoding="utf-8")
    assert corpora.guess_layout(path.read_text(encoding="utf-8")) == "prose"
    for cut, sentences in (("characters", 40), (None, 120)):
        tokenizer, settings = Tokenizer(vocabulary, cut=cut, lower_case=False), Settings(corpus=(str(path),))
        found, _ = prepare_text.make(tmp_path / str(cut), [path], settings, 1, print, tokenizer)
        assert sum(found.sentences) == sentences
        assert sum(map(len, command.read_text(settings, print, tokenizer).corpus.documents)) == sentences


def test_folders_that_are_something_else(corpus, data, tmp_path):
    with pytest.raises(ValueError, match=r"holds text that was cut otherwise: --vocab-size was 120, and is now 100; choose"):
        prepared(corpus, "--out", data, "--vocab-size", 100)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").touch()
    with pytest.raises(FileExistsError, match="exists already"):
        prepared(corpus, "--out", tmp_path / "other")
    with pytest.raises(ValueError, match="world is a language that is generated where it is needed"):
        prepared("world", "--out", tmp_path / "world")
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match=r"empty.txt: there is no text in it"):
        prepared(tmp_path / "empty.txt", "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "world").exists()
    assert prepare_text.begun(data)
