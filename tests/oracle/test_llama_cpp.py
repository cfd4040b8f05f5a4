"""GGUF beside the gguf package and llama.cpp: what is written is a model there, with our numbers and nearly our vectors."""

import json

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")

import minibert  # noqa: E402
from minibert import pretrained  # noqa: E402
from minibert.convert import convert  # noqa: E402
from minibert.pretrained import formats  # noqa: E402
from tests import real_model, tiny_model  # noqa: E402

TEXTS = ["the try statement specifies exception handlers.", "A cat sits on the mat.", "Déjà vu: naïve, (unaffable)?", "x"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_gguf_package_reads_our_numbers(tmp_path, dtype):
    config, parameters, tokenizer = tiny_model.make(vocab_size=64)
    pretrained.save(tmp_path / "a", config, parameters, tokenizer)
    convert(tmp_path / "a", tmp_path / "b", "gguf", dtype)
    theirs = gguf.GGUFReader(tmp_path / "b" / "model.gguf")
    arrays = {x.name: x for x in theirs.tensors}
    with formats.opened(tmp_path / "b" / "model.gguf") as reader:
        assert len(arrays) == len(reader.shapes)
        for name in reader.shapes:
            entry = arrays[formats.gguf.theirs(name)]
            assert entry.tensor_type.name == {"float32": "F32", "float16": "F16"}[reader.dtypes[name]]
            np.testing.assert_array_equal(entry.data, reader[name])
    values = {key: field.contents() for key, field in theirs.fields.items()}
    assert values["general.architecture"] == "bert"
    assert (values["bert.context_length"], values["bert.attention.head_count"]) == (24, 3)
    assert values["tokenizer.ggml.tokens"][4:6] == ["[MASK]", "▁a"]
    kinds = values["tokenizer.ggml.token_type"]
    assert [i for i, kind in enumerate(kinds) if kind != gguf.TokenType.NORMAL] == [*range(5), 62, 63]


def theirs(path, texts):
    """The vectors that llama.cpp makes of texts, of length 1."""
    xllamacpp = pytest.importorskip("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.embedding, settings.warmup, settings.verbosity = True, False, 0
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 128
    settings.cpuparams.n_threads = 1
    found = xllamacpp.Server(settings).handle_embeddings({"input": texts})
    return np.array([one["embedding"] for one in (json.loads(found) if isinstance(found, str) else found)["data"]])


@pytest.mark.parametrize("folder", [pretrained.bundled, real_model.folder])
@pytest.mark.parametrize("kind", ["mean", "cls"])
def test_llama_cpp_makes_our_vectors(tmp_path, folder, kind):
    """Its GELU is the tanh form, from a table in half precision, so that they are near and not equal."""
    source, copy = folder(), tmp_path / "a"
    convert(source, copy, dtype="float32")
    (copy / "1_Pooling").mkdir(exist_ok=True)
    mode = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}[kind]
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({mode: True}), encoding="utf-8")
    (copy / "modules.json").write_text('[{"type": "Transformer", "path": ""}, {"type": "Pooling", "path": "1_Pooling"}]',
                                       encoding="utf-8")
    convert(copy, tmp_path / "b", "gguf")
    found = theirs(tmp_path / "b" / "model.gguf", TEXTS)
    expected = minibert.load(source, "cpu").embed(TEXTS, kind, True)
    assert found.shape == expected.shape
    assert (found * expected).sum(-1).min() > 1 - 1e-5
    assert 0 < abs(found - expected).max() < 1e-3
