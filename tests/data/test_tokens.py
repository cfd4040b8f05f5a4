"""Texts in shards: the same for any number of processes, gone on with, noticed when they change, and read by windows."""

import errno
import gzip
import json
import os
import shutil
from itertools import chain

import numpy as np
import pytest

from minibert.data import corpora
from minibert.data.tokens import making, manifest, repeated, shard, sources, windows
from minibert.data.tokens.repeated import Repeated, numbers_of
from minibert.data.tokens.sources import Piece, Texts
from minibert.text import Tokenizer, Vocabulary
from tests.tiny_model import TOKENS

TOKENIZER = Tokenizer(Vocabulary(TOKENS))
WORDS = [token for token in TOKENS if token.isalpha() and token.islower()]


def text(documents=40, seed=0) -> str:
    """Documents of some sentences each, one a line."""
    rng = np.random.default_rng(seed)
    return "\n\n".join("\n".join(" ".join(rng.choice(WORDS, rng.integers(3, 9))) + " ." for _ in range(rng.integers(2, 7)))
                       for _ in range(documents)) + "\n"


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr(sources, "SLICE", 400)


def made(folder, *paths, processes=1, held_out=0.2, layout="lines", **options):
    if not folder.exists():
        folder.mkdir()
        TOKENIZER.save(folder)
    return making.make(folder, Texts(list(paths), layout, **options), held_out, processes)


def files(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(text(), encoding="utf-8")
    return path


# What is made


def test_the_arrays_hold_the_text(tmp_path, book, small_slices):
    found, new = made(tmp_path / "out", book)
    assert new == len(found.shards) > 5
    documents = [document for i in range(len(found.shards)) for aside in (False, True)
                 for document in windows._read(tmp_path / "out", found, i, aside)]
    told = [[TOKENIZER.ids(line) for line in document.splitlines()] for document in text().split("\n\n")]
    assert sorted([sentence.tolist() for sentence in document] for document in documents) == sorted(told)
    assert found.documents[0] + found.documents[1] == 40
    assert sum(found.tokens) == sum(len(sentence) for document in told for sentence in document)
    lengths = [len(sentence) for document in told for sentence in document]
    assert (found.longest, sum(found.lengths)) == (max(lengths), len(lengths))
    assert found.lengths[lengths[0]] == lengths.count(lengths[0])
    first = np.load(shard.paths(tmp_path / "out", found.shards[0][0])[0], mmap_mode="r")
    assert first.dtype == np.uint16
    assert first[:len(told[0][0])].tolist() == told[0][0]


def test_a_large_vocabulary_takes_32_bits():
    assert [shard.dtype_of(n).itemsize for n in (65536, 65537)] == [2, 4]


def test_the_floor_of_guessing_by_frequency(tmp_path, book):
    found, _ = made(tmp_path / "out", book)
    part = {aside: np.concatenate([s for d in windows._read(tmp_path / "out", found, 0, aside) for s in d])
            for aside in (False, True)}
    chances = (np.bincount(part[False], minlength=len(TOKENS)) + 1) / (len(part[False]) + len(TOKENS))
    assert found.unigram_loss == pytest.approx(-np.log(chances[part[True]]).mean())


def test_the_same_for_any_number_of_processes(tmp_path, book, small_slices):
    made(tmp_path / "one", book)
    made(tmp_path / "two", book, processes=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_held_out_stays_held_out(tmp_path, book, small_slices):
    """Whatever text stands before and behind it; and the same document twice is on one side."""
    def aside(found, folder):
        return {b"".join(sentence.tobytes() for sentence in document)
                for document in windows.held_out(folder, found, 0)}

    before, _ = made(tmp_path / "out", book)
    first = aside(before, tmp_path / "out")
    more = tmp_path / "a.txt"
    more.write_text(text(30, seed=1) + "\n" + text(5), encoding="utf-8")
    after, _ = made(tmp_path / "out", more, book)
    assert 0 < before.documents[1] < after.documents[1]
    assert first < aside(after, tmp_path / "out")


def test_what_is_there_is_not_made_again(tmp_path, book, small_slices, monkeypatch):
    before, _ = made(tmp_path / "out", book)
    whole = files(tmp_path / "out")
    monkeypatch.setattr(shard, "cut", lambda *_: pytest.fail("cut again"))
    assert made(tmp_path / "out", book) == (before, 0)
    assert files(tmp_path / "out") == whole


def test_an_interrupted_one_goes_on(tmp_path, book, small_slices, monkeypatch):
    whole, _ = made(tmp_path / "whole", book)
    made_of, cut = [], shard.cut

    def stop(pieces, tokenizer):
        if len(made_of) == 3:
            raise KeyboardInterrupt
        made_of.append(pieces)
        return cut(pieces, tokenizer)

    with monkeypatch.context() as patch:
        patch.setattr(shard, "cut", stop)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path / "out", book)
    assert not (tmp_path / "out" / manifest.FILE).exists()
    found, new = made(tmp_path / "out", book)
    assert (found, new) == (whole, len(whole.shards) - 3)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_changed_text_makes_what_is_new(tmp_path, book, small_slices):
    before, _ = made(tmp_path / "out", book)
    assert manifest.changed(before) == []
    book.write_text(text() + "\n" + text(10, seed=3), encoding="utf-8")
    assert manifest.changed(before) == [str(book)]
    after, new = made(tmp_path / "out", book)
    assert 0 < new < len(after.shards)
    assert after.sha256 != before.sha256
    made(tmp_path / "anew", book)
    assert files(tmp_path / "out") == files(tmp_path / "anew")  # nothing of the old text is left


def test_a_full_disk(tmp_path, book, small_slices, monkeypatch):
    real = os.fsync

    def full(handle):
        if sum(not path.name.startswith(".") for path in (tmp_path / "out").rglob("*.npy")) >= 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"npy could not be written: No space left on device"):
            made(tmp_path / "out", book)
    assert not (tmp_path / "out" / manifest.FILE).exists()
    found, new = made(tmp_path / "out", book)
    assert new == len(found.shards) - 2
    made(tmp_path / "whole", book)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_texts_as_they_come(tmp_path):
    """The same documents from each kind of file, and from a folder with all of them."""
    documents = text(20).strip().split("\n\n")
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(text(20), encoding="utf-8")
    (folder / "b.txt.gz").write_bytes(gzip.compress(text(20).replace("\n", "\r\n").encode()))
    (folder / "c.jsonl").write_text("".join(json.dumps({"body": d, "text": d}) + "\n" for d in documents), encoding="utf-8")
    (folder / "d.md").write_text("passed over", encoding="utf-8")
    kinds = ["a.txt", "b.txt.gz", "c.jsonl"]
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        pass
    else:
        parquet.write_table(pyarrow.table({"text": documents}), folder / "e.parquet")
        kinds.append("e.parquet")
    try:
        import zstandard
    except ImportError:
        pass
    else:
        (folder / "f.txt.zst").write_bytes(zstandard.compress(text(20).encode()))
        kinds.append("f.txt.zst")
    ids = []
    for kind in kinds:
        found, _ = made(tmp_path / kind.replace(".", "-"), folder / kind)
        [name] = [name for name, *_ in found.shards]
        ids.append(np.load(shard.paths(tmp_path / kind.replace(".", "-"), name)[0]).tolist())
        assert sum(found.documents) == 20
    assert all(one == ids[0] for one in ids)
    assert sources.find([str(folder)]) == [folder / kind for kind in kinds]
    named, _ = made(tmp_path / "column", folder / "c.jsonl", column="body")
    assert sum(named.documents) == 20


def test_slices_are_cut_at_blank_lines(tmp_path, book, small_slices):
    slices = list(Texts([book], "lines").slices())
    assert b"".join(piece.data for one in slices for piece in one.pieces) == book.read_bytes()
    assert all(one.pieces[0].data.endswith(b"\n\n") for one in slices[:-1])
    assert slices[-1].read == book.stat().st_size
    assert max(len(piece.data) for one in slices for piece in one.pieces) <= 401


@pytest.mark.parametrize("whole", ["héé" * 900, "a b " * 500, "x\n" * 700, "x\r\n\r\n" * 300, "漢字" * 500])
def test_any_text_can_be_cut(tmp_path, whole, small_slices):
    path = tmp_path / "a.txt"
    path.write_bytes(whole.encode())
    pieces = [piece for one in Texts([path], "lines").slices() for piece in one.pieces]
    assert len(pieces) > 1
    assert "".join(piece.data.decode() for piece in pieces) == whole


def test_a_sample_is_bounded_and_from_all_over(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_SAMPLED", 1000)
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {i}\n" for i in range(20_000)), encoding="utf-8")
    pieces = list(sources.sample([path], 20_000, "lines"))
    assert 10_000 < sum(len(piece.data) for piece in pieces) <= 20_000
    assert [piece.data.startswith(b"line ") and piece.data.endswith(b"\n") for piece in pieces] == [True] * 20
    assert pieces[-1].at > 0.9 * path.stat().st_size
    assert b"".join(piece.data for piece in sources.sample([path], 1 << 20, "lines")) == path.read_bytes()


def test_a_small_text_has_something_held_out(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(text(5), encoding="utf-8")
    found, _ = made(tmp_path / "out", path, held_out=1e-6)
    assert found.documents == (3, 2)
    path.write_text(text(2), encoding="utf-8")
    found, _ = made(tmp_path / "out", path, held_out=1e-6)
    assert found.documents == (1, 1)


# Near-duplicates


def test_lines_with_the_same_words_are_near_duplicates(tmp_path):
    numbers = numbers_of(TOKENS)
    lines = ["the cat sat .", "sat the cat", "the cat sat", "the dog sat", ". ."]
    [one] = [shard.cut([Piece("a", 0, "\n".join(lines).encode(), "lines")], TOKENIZER)]
    found = shard.signatures(one, numbers)
    assert found[0] == found[1] == found[2] != found[3]
    assert found[4] == 0
    counted = Repeated()
    counted.add(found)
    assert counted.share() == 0.5


def test_repetitions_are_counted_in_bounded_memory():
    rng = np.random.default_rng(0)
    lines = rng.integers(1, 2**63, 20_000).astype(np.uint64)
    lines = np.concatenate([lines, lines[:10_000], lines[:5000]])
    exact, bounded = Repeated(), Repeated(room=2000)
    for part in np.split(rng.permutation(lines), 35):
        exact.add(part)
        bounded.add(part)
    assert exact.share() == pytest.approx(15 / 35)
    assert bounded.share() == pytest.approx(15 / 35, abs=0.03)
    assert bounded.level > 0
    assert len(bounded.kept) <= 2000
    assert repeated.Repeated().share() == 0


# What is read


def test_a_run_reads_windows(tmp_path, book, small_slices, monkeypatch):
    found, _ = made(tmp_path / "out", book)
    monkeypatch.setattr(windows, "WINDOW", sum(found.tokens) // 3)
    given = windows.Windows(tmp_path / "out", found, 7)
    assert given.count == 3
    epochs = [[[sentence.tobytes() for document in given.read(epoch, number) for sentence in document]
               for number in range(3)] for epoch in range(2)]
    assert epochs[0] != epochs[1]
    assert sorted(chain(*epochs[0])) == sorted(chain(*epochs[1]))
    assert {type(sentence) for document in given.read(0, 0) for sentence in document} == {np.ndarray}  # of a map slices are slow
    assert sum(len(given.read(0, number)) for number in range(3)) == len(given) == found.documents[0]


def test_one_window_is_the_text_in_its_order(tmp_path, book, small_slices):
    found, _ = made(tmp_path / "out", book)
    given = windows.Windows(tmp_path / "out", found, 7)
    bound = found.bound
    told = [[TOKENIZER.ids(line) for line in document] for document in corpora.documents_of(text(), "lines")
            if shard.drawn(document) >= bound]
    assert [[sentence.tolist() for sentence in document] for document in given.read(5, 0)] == told


# What is refused


@pytest.fixture
def out(tmp_path, book):
    made(tmp_path / "out", book)
    return tmp_path / "out"


@pytest.mark.parametrize(("change", "what"), [
    ({"magic": "other"}, r"expected the magic 'minibert text', got 'other': this is no text that minibert prepared"),
    ({"version": 2}, r"this text is of version 2, and version 1 is read here: prepare it again"),
    ({"shards": []}, r"minibert-text.json is damaged \(shards is \(\)\): prepare the text again"),
    ({"documents": [1, -1]}, r"is damaged \(documents is \(1, -1\)\)"),
    ({"bound": "x"}, r"is damaged \(bound is 'x'\)"),
    ({"more": 1}, r"is damaged"),
])
def test_a_manifest_that_is_none(out, change, what):
    path = out / manifest.FILE
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ValueError, match=what):
        manifest.read(out)


def test_a_shard_that_is_gone_or_changed(out):
    found = manifest.read(out)
    given = windows.Windows(out, found, 0)
    ids, sentences, _ = shard.paths(out, found.shards[0][0])
    data = bytearray(ids.read_bytes())
    data[-1] ^= 1
    ids.write_bytes(data)
    with pytest.raises(ValueError, match=r"this part of the text has changed since it was prepared: prepare it again"):
        given.read(0, 0)
    sentences.unlink()
    with pytest.raises(FileNotFoundError, match=r"sentences.npy is missing, a part of the text that was prepared in .*out"):
        given.read(0, 0)


@pytest.mark.parametrize("harm", [lambda d: d[:-4], lambda d: b"", lambda d: d[:40], lambda d: d.replace(b"<u2", b"<u4"),
                                  lambda d: d[:-2] + b"\xff\xff"])
def test_a_shard_that_does_not_fit_is_made_again(out, book, harm):
    whole, path = files(out), shard.paths(out, manifest.read(out).shards[0][0])[0]
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(ValueError, match=r"prepare (it|the text) again"):
        shard.read(out, manifest.read(out).shards[0][0], len(TOKENS))
    assert made(out, book)[1] == 1
    assert files(out) == whole


def test_another_tokenizer_beside_it(out):
    Tokenizer(Vocabulary([*TOKENS, "more"])).save(out)
    with pytest.raises(ValueError, match=r"the tokenizer there is not the one that its text was cut with"):
        manifest.tokenizer_of(out, manifest.read(out))


@pytest.mark.parametrize(("name", "content", "what"), [
    ("a.txt", b"", "there is no text in .*a.txt"),
    ("a.txt", b" \n\n \n", "there is no text in .*a.txt"),
    ("a.txt", b"the cat sat .\n", "1 document is too few, because some are held out to measure on"),
    ("a.txt", b"the cat\xff\n\nthe dog\n", r"a.txt is not UTF-8: byte 0xff at offset 7"),
    ("a.txt.gz", gzip.compress(text().encode())[:-30], "a.txt.gz is damaged or was cut short: it cannot be unpacked"),
    ("a.jsonl", b'{"body": "the cat"}\n', r"a.jsonl, line 1: expected an object with a text called text, got the columns body; "
     "name the column with --column"),
    ("a.jsonl", b'{"text": "the cat"}\n[', r"a.jsonl, line 2: not valid JSON"),
    ("a.jsonl", b'[1]', r"a.jsonl, line 1: expected an object with a text called text, got \[1\]"),
])
def test_texts_that_cannot_be_read(tmp_path, name, content, what):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=what):
        made(tmp_path / "out", path)


def test_no_such_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder 'nothing'"):
        sources.find(["nothing"])
    with pytest.raises(FileNotFoundError, match=r"holds no text: expected files that end in .txt, .jsonl or .parquet"):
        sources.find([str(tmp_path)])


def test_a_table_that_is_none(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"a.parquet is damaged or no table in Parquet"):
        made(tmp_path / "out", tmp_path / "a.parquet")


def test_files_that_a_kill_left_are_taken_away(out, book):
    (out / shard.FOLDER / ".a.minibert-01234567.tmp.npy").write_bytes(b"half")
    shutil.copy(next((out / shard.FOLDER).glob("*.npy")), out / shard.FOLDER / "0123.ids.npy")
    whole, _ = made(out, book)
    assert len(list((out / shard.FOLDER).iterdir())) == 3 * len(whole.shards)
