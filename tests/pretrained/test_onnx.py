"""ONNX: files that PyTorch, onnx and onnxruntime themselves wrote, and what graphs may look like, from their specification."""

from pathlib import Path

import numpy as np
import pytest

from minibert import pretrained
from minibert.model import bert
from minibert.parameters import Layout
from minibert.pretrained import formats, onnx, onnx_writer
from tests.pretrained import examples, writers
from tests.pretrained.writers import field, onnx_array

THEIRS = Path(__file__).parent / "onnx-1.23"
TIED = {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def read(path, arrays, nodes=(), **rest):
    """What is found in a file of these arrays and nodes."""
    writers.onnx(path, arrays, nodes, **rest)
    with onnx.opened(path) as reader:
        found = {name: reader[name] for name in reader.shapes}
        assert {name: x.shape for name, x in found.items()} == dict(reader.shapes)
    return found


def values(kind):
    stored = np.load(THEIRS / "values.npz")
    return {name.removeprefix(f"{kind} "): stored[name] for name in stored.files if name.startswith(f"{kind} ")}


# Files by others


@pytest.mark.parametrize("name", ["torchscript", "dynamo", "external"])
def test_what_pytorch_exported(name):
    expected = values("float32")
    with formats.opened(THEIRS / f"{name}.onnx") as reader:
        assert reader.format == "ONNX"
        for name in expected.keys() - reader.shapes.keys():  # its other name is there
            assert {name, *(pair[0] for pair in TIED.items() if pair[1] == name), TIED.get(name)} & reader.shapes.keys()
        for stored in reader.shapes:
            np.testing.assert_array_equal(reader[stored], expected[stored])


@pytest.mark.parametrize("kind", ["tensor", "channel"])
def test_what_onnxruntime_quantised(kind):
    """Beside onnx's own evaluation of DequantizeLinear; matrices are those of the float32 file, by the same names."""
    plain, small = values("float32"), values(kind)
    with formats.opened(THEIRS / f"int8_{kind}.onnx") as reader:
        assert reader.format == "ONNX, quantised"
        assert plain.keys() - reader.shapes.keys() == {"cls.predictions.decoder.bias"}
        seen = 0
        for name in reader.shapes:
            x = reader[name]
            if reader.dtypes[name] == "float32":
                np.testing.assert_array_equal(x, plain[name])
                continue
            assert reader.dtypes[name] == ("uint8" if kind == "tensor" or "embeddings" in name else "int8")
            assert any(np.array_equal(x, y) or np.array_equal(x, y.T) for y in small.values())
            step = np.ptp(plain[name]) / (255 if kind == "tensor" else 127)
            assert 0 < abs(x - plain[name]).max() <= step
            seen += 1
        assert seen == len(small) == 13


@pytest.mark.parametrize("name", ["torchscript", "dynamo", "external", "int8_tensor", "int8_channel"])
def test_a_folder_with_such_a_file_opens(tmp_path, name):
    (tmp_path / "onnx").mkdir()
    for file in THEIRS.iterdir():
        if file.name.startswith(f"{name}.onnx"):  # as model.onnx in a folder of its own, as Optimum puts it
            target = "model.onnx" if file.suffix == ".onnx" else file.name
            (tmp_path / "onnx" / target).write_bytes(file.read_bytes())
        elif file.name in ("config.json", "vocab.txt"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    loaded = pretrained.load(tmp_path)
    assert not loaded.initialised
    assert all("int8" in note for note in loaded.notes)
    assert len(loaded.notes) == name.startswith("int8")
    for tensor, x in loaded.parameters.items():
        assert np.ptp(x - values("float32")[tensor]) <= (0.1 if name.startswith("int8") else 0), tensor
    encoder = pretrained.load(tmp_path, layout=Layout(bert.shapes(loaded.config)))  # without the head that shares its table
    assert not encoder.initialised
    np.testing.assert_array_equal(encoder.parameters["bert"]["embeddings"]["word_embeddings"]["weight"],
                                  loaded.parameters["bert"]["embeddings"]["word_embeddings"]["weight"])


# Graphs


W = np.arange(6, dtype=np.float32).reshape(3, 2)  # (out, in)
NAME, BIAS = "encoder.layer.0.output.dense.weight", "encoder.layer.0.output.dense.bias"
PRODUCT = [("MatMul", ["x", "w"], ["y"], {}), ("Add", ["y", BIAS], ["z"], {})]
QUANTISED = [("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"], {}),
             ("MatMulInteger", ["xq", "w_quantized", "xz", "z"], ["i"], {}), ("Mul", ["xs", "s"], ["both"], {}),
             ("Cast", ["i"], ["f"], {"to": 1}), ("Mul", ["f", "both"], ["y"], {}), PRODUCT[1]]
Q = np.array([[1, -2], [30, -128], [5, 127]], np.int8)  # (out, in)
ROW = np.array([0.5, 2, 0.125], np.float32)  # a scale for each output
ZERO = np.array([3, -4, 0], np.int8)
B = {BIAS: np.ones(3, np.float32)}


@pytest.mark.parametrize(("arrays", "nodes"), [
    ({"w": W.T}, PRODUCT), ({"w": W.T}, [PRODUCT[0], ("Add", [BIAS, "y"], ["z"], {})]),
    ({NAME: W}, [("Transpose", [NAME], ["w"], {"perm": [1, 0]}), *PRODUCT]),
    ({NAME: W}, [("Transpose", [NAME], ["w"], {}), *PRODUCT]),
    ({NAME: W.T}, [("MatMul", ["x", NAME], ["y"], {}), PRODUCT[1]]),  # its use says which way round it lies
    ({"w": W}, [("Gemm", ["x", "w", BIAS], ["y"], {"transB": 1})]), ({"w": W.T}, [("Gemm", ["x", "w", BIAS], ["y"], {})]),
    ({f"{NAME}_Transposed": W.T}, [("MatMul", ["x", f"{NAME}_Transposed"], ["y"], {})]),
    ({"w0": W.T}, [("Identity", ["w0"], ["w"], {}), *PRODUCT]),
    ({}, [("Constant", [], ["w"], {"value": onnx_array("", W.T)}), *PRODUCT]),
    ({"w": W.T.astype(np.float64)}, PRODUCT), ({"w": W.T.astype(np.float16)}, PRODUCT),
    ({"w": (W.T.copy().view(np.uint32) >> 16).astype(np.uint16)}, PRODUCT)], ids=range(13))
def test_a_matrix_is_found_by_its_use(path, arrays, nodes):
    found = read(path, {**arrays, **B}, nodes)
    assert found.keys() == {NAME, BIAS}
    np.testing.assert_array_equal(found[NAME], W)


@pytest.mark.parametrize(("scale", "zero"), [(ROW, ZERO), (ROW[:1], ZERO[:1]), (np.float32(0.25), np.int8(7)), (ROW, None)])
def test_what_is_quantised_at_run_time_is_multiplied_out(path, scale, zero):
    nodes = list(QUANTISED)
    if zero is None:
        nodes[1] = ("MatMulInteger", ["xq", "w_quantized", "xz"], ["i"], {})
    found = read(path, {"w_quantized": Q.T, "s": scale, **({"z": zero} if zero is not None else {}), **B}, nodes)
    offset = np.zeros(1, np.int32) if zero is None else np.atleast_1d(zero).astype(np.int32)
    expected = (Q - offset[:, None]).astype(np.float32) * np.atleast_1d(scale)[:, None]
    assert found.keys() == {NAME, BIAS}
    np.testing.assert_array_equal(found[NAME], expected)
    assert found[NAME].dtype == np.float32


@pytest.mark.parametrize("nodes", [
    [("Cast", ["q"], ["f"], {"to": 1}), ("Mul", ["f", "s"], ["w"], {}), *PRODUCT],
    [("Cast", ["q"], ["f"], {"to": 1}), ("Mul", ["s", "f"], ["w"], {}), *PRODUCT],
    [("DequantizeLinear", ["q", "s"], ["w"], {"axis": 1}), *PRODUCT], [("DequantizeLinear", ["q", "s"], ["w"], {}), *PRODUCT],
    [("DequantizeLinear", ["q", "s"], ["w"], {"axis": -1}), *PRODUCT]], ids=range(5))
def test_weights_alone_in_8_bits(path, nodes):
    found = read(path, {"q": Q.T, "s": ROW, **B}, nodes)
    np.testing.assert_array_equal(found[NAME], Q * ROW[:, None])


def test_a_scale_along_the_other_axis(path):
    nodes = [("DequantizeLinear", ["q", "s", "z"], ["t"], {"axis": 0}), ("Transpose", ["t"], ["w"], {"perm": [1, 0]}), *PRODUCT]
    found = read(path, {"q": Q, "s": ROW, "z": ZERO, **B}, nodes)
    np.testing.assert_array_equal(found[NAME], (Q - ZERO.astype(np.int32)[:, None]).astype(np.float32) * ROW[:, None])


def test_a_table_in_8_bits(path):
    """Its rows are looked up first; the scale comes after."""
    table = "embeddings.word_embeddings.weight"
    nodes = [("Gather", [f"{table}_quantized", "ids"], ["rows"], {}), ("DequantizeLinear", ["rows", "s", "z"], ["e"], {})]
    found = read(path, {f"{table}_quantized": Q.view(np.uint8), "s": np.float32(0.5), "z": np.uint8(128)}, nodes)
    np.testing.assert_array_equal(found[table], (Q.view(np.uint8).astype(int) - 128) * 0.5)


def test_one_array_that_has_two_names(path):
    """Of equal arrays exporters store one, and copy it under the other's name."""
    other = BIAS.replace("0", "1")
    nodes = [("Identity", [BIAS], [other], {}), *PRODUCT, ("MatMul", ["z", "v"], ["u"], {}), ("Add", [other, "u"], ["o"], {})]
    found = read(path, {"w": W.T, "v": W.T + 1, **B}, nodes)
    np.testing.assert_array_equal(found[other], B[BIAS])
    np.testing.assert_array_equal(found[NAME.replace("0", "1")], W + 1)


def test_the_decoder_of_masked_words(path):
    found = read(path, {"w": W.T, "cls.predictions.bias": np.ones(3, np.float32)},
                 [PRODUCT[0], ("Add", ["y", "cls.predictions.bias"], ["logits"], {})])
    np.testing.assert_array_equal(found["cls.predictions.decoder.weight"], W)


def test_numbers_written_one_by_one(path):
    """As onnx.helper.make_tensor writes them, a negative one in ten bytes."""
    varints = b"".join(writers.varint(int(n) % 2**64) for n in Q.T.ravel())
    halves = b"".join(writers.varint(int(n)) for n in W.T.astype(np.float16).ravel().view(np.uint16))
    found = read(path, {"q": onnx_array("q", Q.T, field(5, varints)), "s": onnx_array("s", ROW, field(4, ROW.tobytes())),
                        "v": onnx_array("v", W.T.astype(np.float16), field(5, halves)), **B, "a.bias": B[BIAS]},
                 [("DequantizeLinear", ["q", "s"], ["w"], {}), *PRODUCT, ("MatMul", ["x", "v"], ["u"], {}),
                  ("Add", ["u", "a.bias"], ["o"], {})])
    np.testing.assert_array_equal(found[NAME], Q * ROW[:, None])
    np.testing.assert_array_equal(found["a.weight"], W)


# Refusals


@pytest.mark.parametrize(("arrays", "nodes", "message"), [
    ({"w": W.T, "v": W.T + 1}, [*PRODUCT, ("MatMul", ["x", "v"], ["u"], {}), ("Add", ["u", BIAS], ["o"], {})],
     rf"matrices w and v have lost their names, and {NAME} is what both"),
    ({"w": W.T, "v": W.T + 1, "a.bias": B[BIAS]},
     [*PRODUCT, ("MatMul", ["x", "w"], ["u"], {}), ("Add", ["u", "a.bias"], ["o"], {})],
     "one matrix stands in several places, and nothing uses 'v'"),
    ({"w": W.T}, [("Attention", ["x", "w"], ["y"], {})], r"merged or packed by onnxruntime \(Attention\); export the model"),
    ({"w": W.T}, [("MatMulNBits", ["x", "w"], ["y"], {})], "MatMulNBits")])
def test_what_cannot_be_told_apart_is_refused(path, arrays, nodes, message):
    with pytest.raises(ValueError, match=message) as info:
        read(path, {**arrays, **B}, nodes)
    assert str(path) in str(info.value)


def test_what_cannot_be_read_is_refused_when_it_is_asked_for(path):
    with pytest.raises(ValueError, match=r"array w is of type number 17, which cannot be read here; export the model in float32"):
        read(path, {"w": field(1, 3) + field(1, 2) + field(2, 17) + field(8, b"w") + field(9, bytes(6)), **B}, PRODUCT)
    with pytest.raises(ValueError, match=rf"the scale of tensor {NAME} does not fit"):
        read(path, {"q": Q.T, "s": np.ones(2, np.float32), **B}, [("DequantizeLinear", ["q", "s"], ["w"], {}), *PRODUCT])


def spoiled(numbers=b"", sizes=((1, 3), (1, 2)), kind=1):
    return b"".join(field(*size) for size in sizes) + field(2, kind) + field(8, b"a.weight") + numbers


@pytest.mark.parametrize(("message", "said"), [
    (spoiled(field(9, bytes(20))), r"shape \(3, 2\) and type float32 cannot take 20 bytes"),
    (spoiled(field(9, 7)), "not stored in one piece"), (spoiled(field(4, bytes(12)) * 2), "not stored in one piece"),
    (spoiled(sizes=[(1, 2**63)]), "sizes that no array has"), (spoiled(sizes=[(1, 1)] * 9), "sizes that no array has"),
    (spoiled(sizes=[(1, bytes(70_000))]), "a row of numbers is too long"),
    (spoiled(field(14, 1)), "'' is not the name of a file"),
    (spoiled() + field(8, 3), "a name is none"), (spoiled() + field(8, bytes(70_000)), "a name is none"),
    (spoiled() + field(200, b""), "no message has a field 200")], ids=range(10))
def test_a_message_that_claims_what_cannot_be(path, message, said):
    with pytest.raises(ValueError, match=said) as info:
        read(path, {"a.weight": message, **B})
    assert str(path) in str(info.value)


def test_other_files_and_cut_ones_are_refused(path):
    for content in (b"", b"garbage", b"\x08\x08", field(7, b""), field(7, field(5, 3))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.onnx: (this is no ONNX model, or it was cut short|it is damaged)"):
            with onnx.opened(path):
                pass
    writers.onnx(path, {"a.weight": W, **B})
    whole = path.read_bytes()
    for length in range(0, len(whole) - 4, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.onnx: "), onnx.opened(path):
            pass
    with pytest.raises(FileNotFoundError, match="there is no such file"), onnx.opened(path.with_name("no.onnx")):
        pass


@pytest.mark.parametrize(("entries", "error", "said"), [
    ({"location": "../x"}, ValueError, "'../x' is not the name of a file beside it"),
    ({"location": "a\\x"}, ValueError, "is not the name of a file"),
    ({"location": "no"}, FileNotFoundError, r"has no no, where model\.onnx says its numbers are"),
    ({"location": "x", "offset": "4", "length": "24"}, ValueError, r"x was cut short: array 'a\.weight' ends at byte 28"),
    ({"location": "x", "length": "20"}, ValueError, "cannot take 20 bytes"),
    *(({"location": "x", "offset": offset}, ValueError, "does not say where in x it is") for offset in ("-1", "9" * 30, "²"))])
def test_numbers_in_another_file(path, entries, error, said):
    (path.parent / "x").write_bytes(W.tobytes())
    where = b"".join(field(13, field(1, key.encode()) + field(2, value.encode())) for key, value in entries.items())
    with pytest.raises(error, match=said):
        read(path, {"a.weight": spoiled(where + field(14, 1)), **B})
    right = field(13, field(1, b"location") + field(2, b"x")) + field(14, 1)
    np.testing.assert_array_equal(read(path, {"a.weight": spoiled(right), **B})["a.weight"], W)


@pytest.mark.parametrize(("node", "is_damaged"), [
    (field(1, field(4, b"MatMul")), False), (field(1, field(4, 3)), True), (field(1, 3), True), (field(1, field(5, 3)), True),
    (field(1, field(4, b"DequantizeLinear") + field(2, b"y")), False),
    (field(1, field(4, b"Gemm") + field(2, b"y") + field(5, field(1, b"transB"))), False),
    (field(1, field(4, b"Constant") + field(2, b"y") + field(5, field(1, b"value") + field(5, 3))), True)], ids=range(7))
def test_nodes_that_lack_something(path, node, is_damaged):
    writers.onnx(path, {"a.weight": W, **B}, others=node)
    if is_damaged:
        with pytest.raises(ValueError, match=r"model\.onnx: it is damaged"), onnx.opened(path):
            pass
    else:  # nothing follows from it
        with onnx.opened(path) as reader:
            np.testing.assert_array_equal(reader["a.weight"], W)


def test_what_the_writer_refuses(tmp_path, monkeypatch):
    config, parameters, _ = examples.tiny()
    monkeypatch.setattr(onnx_writer, "LARGEST", 2000)
    with pytest.raises(ValueError, match=r"takes [\d,]+ bytes, and an ONNX file holds at most"):
        onnx_writer.write(tmp_path / "x.onnx", dict(parameters.items()), config)
    assert not list(tmp_path.iterdir())
