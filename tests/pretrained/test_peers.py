"""Files that other libraries wrote (``tools/peers``), each number as the library itself says it is."""

import re
from pathlib import Path

import numpy as np
import pytest

from minibert import pretrained
from minibert.pretrained import formats
from minibert.pretrained.families import names
from minibert.pretrained.names import canonical
from minibert.pretrained.prefixes import named

HERE = Path(__file__).parent


def folder(library):
    [found] = HERE.glob(f"{library}-*")
    return found


@pytest.mark.parametrize(("library", "file", "rules"), [
    ("flax", "flax_model.msgpack", ()), ("lightning", "last.ckpt", ()),
    ("keras", "tf_model.h5", ((":0", ""), ("tf_bert_for_pre_training/", ""), ("mlm___", ""), ("nsp___", ""),
                              ("layer_._", "layer/"))),
    ("paddle", "model_state.pdparams", ()), ("paddle", "protocol2.pdparams", ())])
def test_every_number_is_what_the_library_says(library, file, rules):
    where = folder(library)
    loaded = pretrained.load(where, weights=file)
    assert all("stands under" in note or "seq_relationship" in note or "pooler" in note for note in loaded.notes)
    ours = dict(loaded.parameters.items())
    expected = np.load(where / "values.npz")
    with formats.opened(where / file) as reader:
        held = named(reader, names(loaded.config)).found
        assert set(reader.dtypes.values()) <= {"float32", "int64"}
    seen = set()
    for stored in expected.files:
        if stored in ("parts", "half"):
            continue
        name = stored
        for old, new in rules:
            name = name.replace(old, new)
        name = our_name(library, name)
        if "decoder" in name:  # tied
            continue
        truth = expected[stored]
        turned = stored.removesuffix(":0").endswith("kernel") or (library == "paddle" and "embeddings" not in stored)
        np.testing.assert_array_equal(ours[name], truth.T if turned else truth, err_msg=stored)
        seen.add(name)
    assert seen == ours.keys() - loaded.initialised
    assert seen <= held.keys() | {"cls.predictions.bias"}


def our_name(library, name):
    if library == "paddle":
        from minibert.pretrained.paddle import named as from_paddle

        name = from_paddle(name).replace("predictions.decoder.bias", "predictions.bias")
    name = canonical(name.removeprefix("model."))
    for end, ours in ((".scale", ".weight"), (".embedding", ".weight"), ("_embeddings.embeddings", "_embeddings.weight"),
                      (".gamma", ".weight"), (".beta", ".bias")):
        name = name.removesuffix(end) + ours if name.endswith(end) else name
    return name


def test_arrays_of_flax_in_chunks():
    expected = np.load(folder("flax") / "values.npz")
    with formats.opened(folder("flax") / "chunks.msgpack") as reader:
        assert reader.shapes == {"whole": (6,), "parts": (5, 7), "half.weight": (2, 3), "one": ()}
        assert reader.dtypes["half.weight"] == "bfloat16"
        np.testing.assert_array_equal(reader["whole"], np.arange(6))
        np.testing.assert_array_equal(reader["parts"], expected["parts"])
        np.testing.assert_array_equal(reader["half.weight"], expected["half"].T)
        assert reader["one"] == 2.5


def test_tensors_of_paddle_that_are_no_state_of_a_model():
    expected = np.load(folder("paddle") / "values.npz")
    with formats.opened(folder("paddle") / "tensors.pdparams") as reader:
        np.testing.assert_array_equal(reader["weight"], expected["cls.predictions.transform.weight"].T)
        np.testing.assert_array_equal(reader["half"], np.array([1.5, -2], np.float16))


def test_what_lightning_keeps_beside_the_tensors_stays_inert():
    with formats.opened(folder("lightning") / "last.ckpt") as reader:
        assert {"optimizer_states", "callbacks", "hyper_parameters"} <= reader.extras.keys()
        assert all(name.startswith("model.") for name in reader.shapes)


def test_no_file_names_the_folder_in_which_it_was_written():
    for path in HERE.parent.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert not re.search(rb"/[\w.-]+/tests/", path.read_bytes()), path
