"""Small files that claim much, two things by one name, and what stands in the place of a file: refused at once, by name."""

import io
import json
import struct
import warnings
import zipfile

import numpy as np
import pytest

from minibert import pretrained
from minibert.pretrained import formats, leveldb, pickled, pytorch
from minibert.text import Tokenizer
from tests import tiny_model
from tests.pretrained import examples, writers
from tests.pretrained.writers import tensor


@pytest.fixture(scope="module")
def model():
    return examples.tiny()


@pytest.fixture
def torch_file(tmp_path):
    return tmp_path / "pytorch_model.bin"


# Small files that claim much.


class Canary:
    """Stands for tuples within tuples, which a few bytes describe and no time suffices to print or to hash."""

    def _looked_at(self, *_):
        pytest.fail("it was printed or hashed")

    __repr__ = __str__ = __format__ = __hash__ = _looked_at


@pytest.mark.parametrize("content", [
    b"cx\ncanary\nX\x01\x00\x00\x00a\x93.", b"X\x01\x00\x00\x00acx\ncanary\n\x93.",  # the module of a name, and the name
    b"}cx\ncanary\nNs.", b"}(cx\ncanary\nNu.",  # the key of a dictionary
    b"cx\ncanary\n)R.",  # a function
    b"ccollections\nOrderedDict\n(cx\ncanary\ntR.", b"ccollections\nOrderedDict\n(](cx\ncanary\netR.",  # pairs
    b"ctorch._utils\n_rebuild_tensor\n(cx\ncanary\nK\x00))tR.",  # the storage of a tensor
    b"ctorch._utils\n_rebuild_tensor\n(NK\x00cx\ncanary\n)tR.",  # its shape
    b"(cx\ncanary\ntQ.", b"(X\x07\x00\x00\x00storagecx\ncanary\nNNNtQ.", b"cx\ncanary\nQ.",  # a storage
])
def test_what_a_pickle_made_is_never_printed_or_hashed(content):
    admitted = {**pytorch.ADMITTED, ("x", "canary"): Canary()}
    with pytest.raises(ValueError) as info:
        pickled.load(io.BytesIO(b"\x80\x02" + content), admitted, pytorch._persistent)
    assert len(str(info.value)) < 300


def test_a_version_that_is_no_number_is_not_printed(torch_file):
    torch_file.write_bytes(writers.pickled(pytorch.MAGIC) + writers.pickled((1, (2,))) + writers.pickled({}))
    with pytest.raises(ValueError, match=r"version a tuple, expected 1001"), pytorch.opened(torch_file):
        pass


def test_a_list_of_pairs_is_read_once(torch_file):
    """Else three bytes would have a long list read again, and again."""
    pairs = writers._pickled([["a", 1], ["b", 2]])
    call = b"ccollections\nOrderedDict\n" + pairs + b"q\x01\x85R"
    again = b"ccollections\nOrderedDict\nh\x01\x85R"
    made = pickled.load(io.BytesIO(b"\x80\x02(" + call + again + b"t."), pytorch.ADMITTED)
    assert made == ({"a": 1, "b": 2}, {})


@pytest.mark.parametrize("change", [{"shape": (1,) * 9, "strides": (1,) * 9}, {"shape": (2**62,) * 4000, "strides": (1,) * 4000},
                                    {"offset": 2**70}, {"count": 2**70}, {"count": 2**63}])
def test_sizes_are_bounded_before_they_are_multiplied(torch_file, change):
    x = np.ones(2, np.float32)
    extra = {"view": (None,)}
    for write, more in ((writers.torch_zip, {}), (writers.torch_legacy, extra)):
        write(torch_file, {}, content={"a": tensor("0", x, **change, **more)}, storages={"0": x})
        with pytest.raises(ValueError) as info, pytorch.opened(torch_file) as reader:
            reader["a"]
        assert str(torch_file) in str(info.value)
        assert len(str(info.value)) < 500 + len(str(torch_file))


@pytest.mark.parametrize("kind", [1, 7])  # float32, and a type that is not read
def test_dimensions_in_an_index_are_counted_first(tmp_path, kind):
    many = b"".join(writers.field(2, writers.field(1, 2**62)) for _ in range(4000))
    writers.tensorflow(tmp_path / "x.ckpt", {"a": np.ones(3, np.float32)},
                       spoil=lambda name, entry: entry + writers.field(1, kind) + writers.field(2, many))
    with pytest.raises(ValueError, match=r"x\.ckpt\.index: the index is damaged: an entry has too many dimensions"):
        with formats.opened(tmp_path / "x.ckpt.index"):
            pass


def test_an_index_does_not_unpack_to_more_than_an_index_has():
    entries = [(b"%06d" % i, bytes(4000)) for i in range(1200)]  # 4.8 MB in 1.8 MB
    table = writers.table(entries, per_block=1, compress=True)
    assert len(table) < leveldb.LARGEST // 2
    with pytest.raises(ValueError, match="compressed bytes cannot be"):
        list(leveldb.entries(table))
    long = [(bytes(1000) + b"%06d" % i, b"") for i in range(5000)]  # 5 MB of keys in 80 kB
    table = writers.table(long, per_block=5000)
    assert len(table) < leveldb.LARGEST // 10
    with pytest.raises(ValueError, match="its keys take more than"):
        list(leveldb.entries(table))


@pytest.mark.parametrize("length", [1, 7, 63, 64])
@pytest.mark.parametrize("back", [1, 3, 64, 1000])
def test_copies_of_snappy_reach_into_themselves(back, length):
    start = bytes(range(250)) * 4
    literal = b"".join(bytes([len(part) - 1 << 2]) + part for part in (start[i:i + 60] for i in range(0, 1000, 60)))
    copied = bytearray(start)
    for _ in range(length):
        copied.append(copied[-back])
    data = writers.varint(1000 + length) + literal + bytes([length - 1 << 2 | 2]) + back.to_bytes(2, "little")
    assert leveldb.snappy(data) == bytes(copied)


@pytest.mark.parametrize("shape", ["(-2, -3)", "(1,1,1,1,1,1,1,1,6)", f"({10**30},)", "(True, 6)", "(((((", "(6,) 'x", "6"])
def test_shapes_of_an_archive(tmp_path, shape):
    path = tmp_path / "bert_model.npz"
    writers.npz(path, {"a": np.ones(6, np.float32)})
    with zipfile.ZipFile(path) as archive:
        content = archive.read("a.npy")
    length = int.from_bytes(content[8:10], "little")
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(length - 1) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content[:8] + len(header).to_bytes(2, "little") + header + content[10 + length:])
    with pytest.raises(ValueError, match=r"bert_model\.npz: a\.npy is no array"):
        with formats.opened(path):
            pass


# Two things by one name.


def test_two_arrays_of_one_name_are_refused(tmp_path):
    path = tmp_path / "bert_model.npz"
    writers.npz(path, {"a": np.zeros(2, np.float32)})
    with zipfile.ZipFile(path) as archive:
        content = archive.read("a.npy")
    for names, said in ((("a.npy", "a"), "a and a.npy are two names of one array"),
                        (("a.npy", "a.npy"), "a.npy stands in the archive twice")):
        with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in names:
                archive.writestr(name, content)
        with pytest.raises(ValueError, match=rf"bert_model\.npz: {said}"):
            with formats.opened(path):
                pass
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", content)
    with formats.opened(path) as reader:  # without the ending, as NumPy reads it too
        np.testing.assert_array_equal(reader["a"], [0, 0])


def test_a_member_of_a_torch_archive_twice_is_refused(torch_file, model):
    x = np.ones(2, np.float32)
    writers.torch_zip(torch_file, {"a": x})
    with warnings.catch_warnings(), zipfile.ZipFile(torch_file, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("archive/data/0", (2 * x).tobytes())
    with pytest.raises(ValueError, match="archive/data/0 stands in the archive twice"):
        with pytorch.opened(torch_file):
            pass


def test_members_that_share_their_bytes_are_refused(torch_file):
    """Each fits into the file, all of them together do not: an archive of a few bytes that unpacks to many."""
    writers.torch_zip(torch_file, {"a": np.ones(1000, np.float32)})
    data = torch_file.read_bytes()
    start = data.index(b"PK\x01\x02")
    with zipfile.ZipFile(torch_file) as archive:
        entry = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    at = data.index(b"PK\x01\x02", data.index(entry.filename.encode(), start) - 46)
    record = data[at:at + 46 + len(entry.filename)]
    assert record.endswith(b"0")
    more = b"".join(record[:-1] + bytes([c]) for c in b"123456789")
    end = data.rindex(b"PK\x05\x06")
    total = int.from_bytes(data[end + 10:end + 12], "little") + 9
    size = int.from_bytes(data[end + 12:end + 16], "little") + len(more)
    torch_file.write_bytes(data[:end] + more + data[end:end + 8] + total.to_bytes(2, "little") * 2 + size.to_bytes(4, "little")
                           + data[end + 16:])
    with pytest.raises(ValueError, match="its members claim more bytes than"):
        with pytorch.opened(torch_file):
            pass


@pytest.mark.parametrize("content", [
    b"}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.", b"}X\x01\x00\x00\x00aK\x01sX\x01\x00\x00\x00aK\x02s.",
    b"ccollections\nOrderedDict\n](X\x01\x00\x00\x00aK\x01\x86X\x01\x00\x00\x00aK\x02\x86e\x85R."])
def test_a_name_twice_in_a_pickle_is_refused(content):
    with pytest.raises(ValueError, match="has a twice in a dictionary"):
        pickled.load(io.BytesIO(b"\x80\x02" + content), pytorch.ADMITTED)


def test_a_storage_twice_in_an_old_file_is_refused(torch_file):
    x = np.ones(2, np.float32)
    content = {"a": tensor("0", x, view=(None,))}
    parts = [pytorch.MAGIC, 1001, {"little_endian": True}, content, ["0", "0"]]
    torch_file.write_bytes(b"".join(map(writers.pickled, parts)) + (struct.pack("<q", 2) + x.tobytes()) * 2)
    with pytest.raises(ValueError, match="its tensors and its storages do not belong together"), pytorch.opened(torch_file):
        pass


@pytest.mark.parametrize(("header", "said"), [
    ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
     "'a' stands there twice"),
    ('{"__metadata__": {"x": "1", "x": "2"}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
     "'x' stands there twice"),
    ('{"a": {"dtype": "F32", "shape": [1, 1, 1, 1, 1, 1, 1, 1, 1], "data_offsets": [0, 4]}}', "tensor 'a' has 9 dimensions"),
    ("[" * 10_000 + "]" * 10_000, "not a safetensors file"),
    ('{"a": ' + "[" * 10_000 + "]" * 10_000 + "}", "header .* is damaged")])
def test_headers_of_safetensors(tmp_path, header, said):
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(4))
    with pytest.raises(ValueError, match=rf"model\.safetensors.*{said}"):
        with formats.opened(path):
            pass


def test_a_tensor_in_two_files_of_an_index_is_refused(tmp_path, model):
    files = examples.write(tmp_path, "sharded", model)
    [index] = [path for path in files if path.suffix == ".json"]
    text = index.read_text(encoding="utf-8")
    twice = text.replace('"weight_map": {', '"weight_map": {"bert.pooler.dense.bias": "elsewhere.bin", ')
    index.write_text(twice, encoding="utf-8")
    with pytest.raises(ValueError, match=r"index\.json: 'bert\.pooler\.dense\.bias' stands there twice"):
        pretrained.load(tmp_path)


@pytest.mark.parametrize("kind", examples.PROTECTED)
@pytest.mark.parametrize(("content", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
    (b"<!doctype html><title>Not found</title>", "is an HTML page")])
def test_what_stands_in_the_place_of_weights_is_named(tmp_path, model, kind, content, said):
    for path in examples.write(tmp_path, kind, model):
        if path == formats.find(tmp_path):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=rf"{path.name} {said}"):
                pretrained.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "tokenizer_config.json"])
def test_what_stands_in_the_place_of_text_is_named(tmp_path, model, name):
    examples.write(tmp_path, "safetensors", model)
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(ValueError, match=rf"{name} is a Git LFS pointer"):
        pretrained.load(tmp_path)


@pytest.mark.parametrize(("changes", "said"), [
    ({"normalizer": ["x"]}, r"its normalizer must be an object, found a JSON list"),
    ({"model": {"type": "WordPiece", "vocab": {"a": [0]}}}, "tokens of its vocabulary must have as many ids"),
    ({"model": {"type": "WordPiece", "vocab": {"a": True}}}, "tokens of its vocabulary must have as many ids")])
def test_a_tokenizer_json_of_odd_values(tmp_path, changes, said):
    vocab = {token: i for i, token in enumerate(tiny_model.TOKENS)}
    whole = {"normalizer": {"lowercase": True}, "model": {"type": "WordPiece", "vocab": vocab}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole | changes), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"tokenizer\.json: .*{said}"):
        Tokenizer.load(tmp_path)
