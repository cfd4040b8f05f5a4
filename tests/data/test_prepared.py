"""Files of prepared examples: what others wrote, what is written here, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from minibert.data.prepared import hdf5, lddl, shards, tf_example, tfrecord
from minibert.data.prepared.instances import LABEL, Block, Instance, Padding, Wanted, original, padded
from minibert.text import Vocabulary
from tests.tiny_model import TOKENS

BY_OTHERS = Path(__file__).parent / "prepared"
VOCAB = Vocabulary(TOKENS)
WANTED = Wanted(VOCAB, 24)
PADDING = Padding(24, 4)
WRITERS = {"tfrecord": (tf_example, ".tfrecord"), "packed": (tf_example, ".tfrecord.gz"), "hdf5": (hdf5, ".hdf5"),
           "lddl": (lddl, ".parquet")}
FORMATS = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture(autouse=True)
def libraries(request):
    """Some formats are read by packages that are extras."""
    named = str(getattr(request.node, "callspec", None) and request.node.callspec.id)
    for word, package in (("hdf5", "h5py"), ("nvidia", "h5py"), ("lddl", "pyarrow")):
        if word in named:
            pytest.importorskip(package)


def examples(count=11, seed=0, masked=True) -> list[Instance]:
    """Pairs of random lengths, with one to four tokens hidden."""
    rng, found = np.random.default_rng(seed), []
    for i in range(count):
        length = int(rng.integers(6, 25))
        ids = rng.integers(5, len(TOKENS), length).astype(np.int32)
        split = int(rng.integers(3, length - 2))
        ids[0], ids[split - 1], ids[-1] = VOCAB.cls_id, VOCAB.sep_id, VOCAB.sep_id
        positions = labels = None
        if masked:
            positions = np.sort(rng.permutation([j for j in range(1, length - 1) if j != split - 1])[:rng.integers(1, 5)])
            labels = ids[positions].astype(np.int64)
            ids[positions[::2]] = VOCAB.mask_id
        found.append(Instance(ids, split, i % 2, positions, labels))
    return found


def written(folder, kind, found=None, name="examples", padding=PADDING) -> Path:
    module, ending = WRITERS[kind]
    path = folder / (name + ending)
    module.write(path, examples() if found is None else found, VOCAB, padding)
    return path


def read(path, wanted=WANTED) -> list[Instance]:
    module = shards._format(path)
    return [one for block in module.blocks(path) for one in module.read(block, wanted)]


def same(a, b) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) and (x is None) == (y is None)
                                    for one, other in zip(a, b) for x, y in zip(one, other))


# What is read and written


OTHERS = sorted(path for path in BY_OTHERS.rglob("*") if path.suffix in (".tfrecord", ".gz", ".hdf5", ".parquet"))


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_the_programs_themselves_wrote(path):
    vocab = Vocabulary.load(path.parent / "vocab.txt")
    told = [one for one in json.loads((path.parent / "instances.json").read_text(encoding="utf-8"))
            if one.get("file", path.stem) == path.stem]
    found = read(path, Wanted(vocab, 24))
    assert len(found) == len(told) > 5
    for ours, theirs in zip(found, told):
        tokens = theirs.get("tokens") or ["[CLS]", *theirs["A"].split(), "[SEP]", *theirs["B"].split(), "[SEP]"]
        labels = theirs.get("masked_lm_labels")
        assert [vocab.tokens[i] for i in ours.ids] == tokens
        assert [0] * ours.split + [1] * (len(tokens) - ours.split) == theirs.get(
            "segment_ids", [0] * (len(theirs.get("A", "").split()) + 2) + [1] * (len(theirs.get("B", "").split()) + 1))
        assert ours.next_label == theirs["is_random_next"]
        if labels is None:
            assert ours.positions is None
        else:
            assert ours.positions.tolist() == theirs["masked_lm_positions"]
            assert [vocab.tokens[i] for i in ours.labels] == (labels.split() if isinstance(labels, str) else labels)


def test_there_is_a_file_of_each_program():
    assert {path.parent.name.split("-")[0] for path in OTHERS} == {"reference", "nvidia", "lddl"}


def test_records_are_framed_as_by_tensorflow(tmp_path):
    [theirs] = BY_OTHERS.glob("reference-*/examples.tfrecord")
    count = len(list(tfrecord.places(theirs)))
    tfrecord.write(tmp_path / "a.tfrecord", tfrecord.read(theirs, 0, 0, count))
    assert (tmp_path / "a.tfrecord").read_bytes() == theirs.read_bytes()


def test_a_record_by_hand(tmp_path):
    """The masked CRC-32C of eight bytes and of nine; that of "123456789" is 0xE3069283 (RFC 3720)."""
    tfrecord.write(tmp_path / "a", [b"123456789"])
    data = (tmp_path / "a").read_bytes()
    crc = 0xE3069283
    assert data[:8] == (9).to_bytes(8, "little")
    assert data[12:21] == b"123456789"
    assert int.from_bytes(data[21:], "little") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
    assert tfrecord.begins(data[:12])
    assert not tfrecord.begins(b"It is a text")


@pytest.mark.parametrize(("kind", "masked"), [*((kind, True) for kind in WRITERS), ("lddl", False)])
@pytest.mark.parametrize("block", [3, 1024])
def test_what_is_written_is_read(kind, masked, block, tmp_path, monkeypatch):
    for module in (tf_example, hdf5, lddl):
        monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(tf_example, "PACKED_BLOCK", block)
    monkeypatch.setattr(lddl, "AT_ONCE", 2)
    path = written(tmp_path, kind, examples(masked=masked))
    assert same(read(path), examples(masked=masked))


@pytest.mark.parametrize("kind", ["tfrecord", "hdf5"])
def test_examples_without_a_second_text_are_no_pairs(kind, tmp_path):
    one = Instance(np.array([2, 7, 4, 3], np.int32), 4, None, np.array([2]), np.array([8]))
    assert same(read(written(tmp_path, kind, [one])), [one])


def test_numbers_one_by_one_are_as_good_as_packed_ones():
    from minibert.protobuf import field
    packed = tf_example.message({"a": np.array([3, 300, -1]), "b": np.array([0.5], np.float32)})
    lists = [(3, b"".join(field(1, n) for n in (3, 300, -1))), (2, field(1, 0.5))]
    loose = field(1, b"".join(field(1, field(1, name) + field(2, field(kind, values)))
                              for name, (kind, values) in zip("ab", lists)))
    assert tf_example.features(packed, "x") == tf_example.features(loose, "x")
    assert tf_example.features(packed, "x")["a"] == (3, b"\x03\xac\x02" + b"\xff" * 9 + b"\x01")


def test_records_of_unequal_lengths(tmp_path):
    rows = [padded([one], Padding(len(one.ids), len(one.positions)), 0) for one in examples()]
    tfrecord.write(tmp_path / "a.tfrecord", [tf_example.message({name: np.atleast_1d(x[0]) for name, x in row.items()})
                                             for row in rows])
    assert same(read(tmp_path / "a.tfrecord"), examples())


def test_files_of_the_same_examples_are_the_same_bytes(tmp_path):
    for kind in ("tfrecord", "packed"):
        first = written(tmp_path, kind).read_bytes()
        assert written(tmp_path, kind, name="again").read_bytes() == first


def test_the_row_groups_of_a_parquet_file_do_not_matter(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = written(tmp_path, "lddl")
    parquet.write_table(parquet.read_table(path), tmp_path / "b.parquet", row_group_size=4)
    assert all(same(lddl.read(Block(tmp_path / "b.parquet", lddl, first, 5), WANTED), examples()[first:first + 5])
               for first in range(7))


# What is refused


def altered(folder, kind, change) -> Path:
    """A file with right checksums whose fourth example is changed: ``change(fields, row)`` of its rectangles."""
    fields = padded(examples(), PADDING, 0)
    change(fields, 3)
    path = folder / ("bad" + WRITERS[kind][1])
    if kind == "hdf5":
        import h5py
        with h5py.File(path, "w") as file:
            for name, dtype in hdf5._DTYPES.items():
                file.create_dataset(name, data=fields[name].astype(dtype), compression="gzip")
    else:
        tfrecord.write(path, [tf_example.message({name: np.atleast_1d(x[row]) for name, x in fields.items()})
                              for row in range(len(fields[LABEL]))])
    return path


def put(name, place, value):
    def change(fields, row):
        fields[name][row, place] = value
    return change


@pytest.mark.parametrize("kind", ["tfrecord", "hdf5"])
@pytest.mark.parametrize(("change", "what"), [
    (put("input_ids", 1, 62), r"input_ids holds 62, which is beyond the vocabulary of 62 tokens; name .*--vocab"),
    (put("input_ids", 1, -1), r"input_ids holds -1, which is beyond"),
    (put("masked_lm_ids", 0, 99), r"masked_lm_ids holds 99, which is beyond"),
    (put("input_mask", 1, 0), "input_mask is not ones for the tokens and then zeros"),
    (put("input_mask", slice(None), 0), "it has no tokens"),
    (put("segment_ids", 0, 1), "segment_ids is not zeros for the first text and then ones"),
    (put("segment_ids", 1, 2), "segment_ids is not zeros"),
    (put("masked_lm_positions", 0, 24), r"masked_lm_positions holds 24, and it has \d+ tokens"),
    (put("input_ids", 0, 9), r"it begins with 'e' and ends with '\[SEP\]', not with \[CLS\] and \[SEP\]: name the vocabulary"),
    (lambda fields, row: fields[LABEL].__setitem__(row, 2), "next_sentence_labels is 2; expected 0 or 1"),
])
def test_an_example_that_cannot_be_one_is_named(kind, change, what, tmp_path):
    path = altered(tmp_path, kind, change)
    with pytest.raises(ValueError, match=rf"{path.name}, record 4: {what}"):
        read(path)


def test_weights_other_than_0_and_1(tmp_path):
    with pytest.raises(ValueError, match="record 4: masked_lm_weights holds a number other than 0 and 1"):
        read(altered(tmp_path, "tfrecord", put("masked_lm_weights", 0, 0.5)))


@FORMATS
def test_an_example_longer_than_asked_for(kind, tmp_path):
    number, long = next((i, len(one.ids)) for i, one in enumerate(examples(), start=1) if len(one.ids) > 20)
    with pytest.raises(ValueError, match=rf"record {number}: it has {long} tokens, .* at most 20: give --max-length {long} or"):
        read(written(tmp_path, kind), Wanted(VOCAB, 20))


@FORMATS
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_file_that_was_cut_short(kind, share, tmp_path):
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=rf"{path.name}(, record \d+: the file ends| is damaged or was| was cut short)"):
        read(path)


def test_wrong_checksums(tmp_path):
    path = written(tmp_path, "tfrecord")
    data = path.read_bytes()
    places = list(tfrecord.places(path))
    for at, what in ((places[2] + 1, "the checksum of its length is wrong"), (places[2] + 40, "its checksum is wrong")):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        with pytest.raises(ValueError, match=f"record 3: {what}"):
            read(path)


def test_records_of_something_else(tmp_path):
    for piece, what in ((tf_example.message({"image": np.array([1])}), ": expected the integers input_ids, found 'image'"),
                        (b"\x0a\x05hello", " is damaged"), (b"\x10\x01", ": expected the integers input_ids, found nothing")):
        tfrecord.write(tmp_path / "a.tfrecord", [piece])
        with pytest.raises(ValueError, match=f"record 1{what}"):
            read(tmp_path / "a.tfrecord")


def test_lists_whose_lengths_disagree(tmp_path):
    row = {name: np.atleast_1d(x[0]) for name, x in padded(examples(1), PADDING, 0).items()}
    for name, what in (("input_mask", "input_ids has 24 numbers and input_mask has 23"),
                       ("masked_lm_ids", "masked_lm_positions has 4 numbers and masked_lm_ids has 3")):
        tfrecord.write(tmp_path / "a.tfrecord", [tf_example.message(row | {name: row[name][1:]})])
        with pytest.raises(ValueError, match=f"record 1: {what}; they belong together"):
            read(tmp_path / "a.tfrecord")
    tfrecord.write(tmp_path / "a.tfrecord", [tf_example.message(row | {LABEL: np.array([0, 0])})])
    with pytest.raises(ValueError, match="next_sentence_labels has 2 numbers; expected one"):
        read(tmp_path / "a.tfrecord")


def test_hdf5_of_something_else(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"a.hdf5: expected input_ids, a dataset of whole numbers with 2 axes; it holds weights"):
        read(tmp_path / "a.hdf5")
    fields = padded(examples(), PADDING, 0)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, dtype in hdf5._DTYPES.items():
            file[name] = fields[name][:, :-1] if name == "input_mask" else fields[name].astype(dtype)
    with pytest.raises(ValueError, match=r"input_ids 11 × 24, input_mask 11 × 23, .* do not belong together"):
        read(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name in hdf5._DTYPES:
            file.create_dataset(name, (2**40, 24)[:1 if name == LABEL else 2], "i4", chunks=True)
    with pytest.raises(ValueError, match="input_ids should hold 1099511627776 × 24 numbers, and they are not in the file"):
        read(tmp_path / "a.hdf5")


def row(**changes):
    return {"A": "a the", "B": "x .", "is_random_next": True, "num_tokens": 7, **changes}


def saved(array, **changes):
    import io
    file = io.BytesIO()
    np.save(file, array)
    return row(masked_lm_positions=file.getvalue(), masked_lm_labels="b", **changes)


@pytest.mark.parametrize(("bad", "what"), [
    (row(num_tokens=8), "num_tokens is 8, and A and B with .* have 7"),
    (row(A="a  the"), "A holds '', which the vocabulary of 62 tokens has not"),
    (row(B="x zebra"), "B holds 'zebra', which the vocabulary of 62 tokens has not; name .*--vocab"),
    (row(B=""), "B has no tokens"),
    (row(A=None), "A is missing"),
    (saved(np.array([1, 2], np.uint16)), "masked_lm_positions has 2 numbers and masked_lm_labels has 1 tokens"),
    (saved(np.array([7], np.uint16)), "masked_lm_positions holds 7, and it has 7 tokens"),
    (saved(np.array([1.0])), "masked_lm_positions is not a row of whole numbers"),
    (saved(np.array([[1]])), "masked_lm_positions is not a row of whole numbers"),
    (saved(np.array([1], object)), "masked_lm_positions is not a row of whole numbers"),
    ({**saved(np.array([1])), "masked_lm_positions": b"hello"}, "masked_lm_positions is not a row of whole numbers"),
], ids=range(11))
def test_a_row_of_lddl_that_cannot_be_one_is_named(bad, what, tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    good = saved(np.array([1], np.uint16)) if "masked_lm_labels" in bad else row()
    parquet.write_table(pyarrow.Table.from_pylist([good, good, bad]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=f"a.parquet, record 3: {what}"):
        read(tmp_path / "a.parquet")


def test_parquet_of_something_else(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for columns, what in (({"text": ["a"]}, "expected the column A of string, found text of string"),
                          ({"A": ["a"], "B": ["b"], "is_random_next": [1], "num_tokens": [5]}, "column is_random_next of bool")):
        parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        with pytest.raises(ValueError, match=what):
            read(tmp_path / "a.parquet")


def test_a_token_of_the_chinese_vocabulary_is_a_line_separator(tmp_path):
    pytest.importorskip("pyarrow")
    vocab = Vocabulary([*TOKENS, "\u2028"])
    one = Instance(np.array([2, 62, 7, 3, 8, 3], np.int32), 4, 0, np.array([1]), np.array([9]))
    lddl.write(tmp_path / "a.parquet", [one], vocab, PADDING)
    assert same(read(tmp_path / "a.parquet", Wanted(vocab, 24)), [one])


def test_what_lddl_cannot_hold_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    alone = Instance(np.array([2, 7, 3], np.int32), 3, None, np.array([1]), np.array([9]))
    with pytest.raises(ValueError, match="LDDL's files hold pairs, and an example is none"):
        lddl.write(tmp_path / "a.parquet", [alone], VOCAB, PADDING)
    one = Instance(np.array([2, 62, 3, 8, 3], np.int32), 3, 0)
    with pytest.raises(ValueError, match="blanks between tokens, and 'a b' holds one"):
        lddl.write(tmp_path / "a.parquet", [one], Vocabulary([*TOKENS, "a b"]), PADDING)


def test_what_is_too_long_for_the_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"an example has .* and there is room for 10 and 4: give a larger --max-length"):
        written(tmp_path, "tfrecord", padding=Padding(10, 4))


@pytest.mark.parametrize(("kind", "package"), [("hdf5", "h5py"), ("lddl", "pyarrow")])
def test_without_the_package_it_is_named(kind, package, tmp_path, monkeypatch):
    path = written(tmp_path, kind)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    monkeypatch.setitem(__import__("sys").modules, f"{package}.parquet", None)
    with pytest.raises(ValueError, match=rf"{path.name}: .* needs the package {package}: pip install \"minibert\[\w+\]\""):
        read(path)


# Folders, and what is held out


def test_a_folder_is_its_files_by_content(tmp_path):
    for i in range(3):
        written(tmp_path, "tfrecord", examples(8, i), name=f"shard-{i}").rename(tmp_path / f"part_{i}")
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", "packed", examples(6, 9))
    (tmp_path / "README.md").write_text("hello\n", encoding="utf-8")
    (tmp_path / ".num_samples.json").write_text("{}", encoding="utf-8")
    (tmp_path / "_metadata").write_bytes(b"PAR1")
    assert shards.is_prepared(str(tmp_path))
    found = shards.find([str(tmp_path)], 0.1, 0)
    assert (found.train.size, found.held_out.size) == (27, 3)
    assert found.passed_over == ["README.md"]
    assert "tf.Example records, 4 files, 27 examples and 3 held out" in str(found)
    everything = [one for i in range(3) for one in examples(8, i)] + examples(6, 9)
    parts = [one for part in (found.train, found.held_out) for i in range(len(part.blocks)) for one in part.read(i, WANTED)]
    assert sorted(original(one).tolist() for one in parts) == sorted(original(one).tolist() for one in everything)


def test_what_is_held_out_depends_on_the_seed_alone(tmp_path):
    path = written(tmp_path, "tfrecord", examples(100))

    def chosen(seed):
        return shards.find([str(path)], 0.1, seed).held_out.rows(0).tolist()

    assert chosen(0) == chosen(0) != chosen(1)
    assert len(chosen(0)) == 10


def test_files_called_held_out_are(tmp_path):
    written(tmp_path, "tfrecord", examples(20))
    written(tmp_path, "tfrecord", examples(5, 1), name="held-out-00000")
    found = shards.find([str(tmp_path)], 0.5, 0)
    assert (found.train.size, found.held_out.size) == (20, 5)
    assert same(found.held_out.read(0, WANTED), examples(5, 1))


def test_a_file_called_like_the_others_that_is_none_of_them(tmp_path):
    written(tmp_path, "tfrecord")
    (tmp_path / "b.tfrecord").write_bytes(b"")
    with pytest.raises(ValueError, match=r"b.tfrecord is called like the prepared files beside it, and .* \(0 bytes\)"):
        shards.is_prepared(str(tmp_path))


def test_text_and_prepared_examples_do_not_mix(tmp_path):
    path = written(tmp_path, "tfrecord")
    (tmp_path / "a.txt").write_text("A text.\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a.txt is not prepared, and other parts of --corpus are"):
        shards.find([str(path), str(tmp_path / "a.txt")], 0.1, 0)


def test_a_folder_with_texts_and_prepared_examples(tmp_path):
    written(tmp_path, "tfrecord")
    VOCAB.save(tmp_path / "vocab.txt")
    assert shards.is_prepared(str(tmp_path))
    (tmp_path / "a.txt").write_text("A text.\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds prepared examples \(examples.tfrecord\) and texts \(a.txt\): name the files"):
        shards.is_prepared(str(tmp_path))


def test_a_corpus_of_one_example(tmp_path):
    with pytest.raises(ValueError, match="has 0 examples to train on and 1 held out: it takes at least one of each"):
        shards.find([str(written(tmp_path, "tfrecord", examples(1)))], 0.1, 0)


def test_text_is_not_prepared(tmp_path):
    (tmp_path / "a.txt").write_text("A text.\n", encoding="utf-8")
    assert not any(map(shards.is_prepared, (str(tmp_path), str(tmp_path / "a.txt"), str(tmp_path / "none"), "-", "python-docs")))
