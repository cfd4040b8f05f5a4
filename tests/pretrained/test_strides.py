"""Every writer writes an array as it is read, however it lies in memory; one that copies memory would scramble it in silence."""

import numpy as np
import pytest

from minibert import pretrained
from minibert.convert import FORMATS, Copy
from minibert.parameters import Parameters
from minibert.pretrained import formats, npz, tensors
from minibert.pretrained.names import canonical
from tests.pretrained import examples

WHOLE = np.arange(48, dtype=np.float32).reshape(6, 8)
LAYOUTS = {
    "transposed": WHOLE.T, "every other column": WHOLE[:, ::2], "a part": WHOLE[1:4, 2:5], "rows reversed": WHOLE[::-1],
    "both reversed": WHOLE[::-1, ::-1], "Fortran's order": np.asfortranarray(WHOLE), "axes moved": WHOLE.reshape(2, 3, 8).T,
    "one row for all": np.broadcast_to(WHOLE[0], (3, 8)), "one column": WHOLE[:, 3], "one number": WHOLE[2, 5:6].reshape(()),
    "nothing": WHOLE[:0].T,
}


WRITERS = {"model.safetensors": tensors.write, "bert_model.npz": npz.write}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_is_what_the_array_holds(tmp_path, name, layout):
    x = LAYOUTS[layout]
    names = {  # a matrix that TensorFlow keeps transposed, and what it does not
        "bert.pooler.dense.weight": x if x.ndim == 2 else WHOLE, "bert.embeddings.word_embeddings.weight": x, "step": x}
    WRITERS[name](tmp_path / name, names)
    with formats.opened(tmp_path / name) as reader:
        found = {canonical(key): reader[key] for key in reader.shapes}
    assert found.keys() == names.keys()
    for key, y in found.items():
        assert (y.shape, y.dtype) == (names[key].shape, names[key].dtype), key
        np.testing.assert_array_equal(y, names[key])


@pytest.mark.parametrize("format", ["onnx", "gguf"])
def test_a_whole_model_is_written_alike_however_its_arrays_lie(tmp_path, format):
    config, parameters, tokenizer = examples.tiny()
    _, write, holds = FORMATS[format]
    plain = {name: x for name, x in parameters.items() if holds(name, config)}
    for name, arrays in {"plain": plain, "turned": {name: np.asfortranarray(x) for name, x in plain.items()},
                         "wide": {name: np.repeat(x, 2, -1)[..., ::2] for name, x in plain.items()}}.items():
        write(tmp_path / name, Copy(arrays, config, tokenizer, None))
        assert (tmp_path / name).read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("cut", [slice(None, None, 2), slice(None, None, -2)], ids=["every other number", "backwards"])
def test_a_slab_that_is_a_view_is_saved_as_it_is_read(tmp_path, cut):
    config, parameters, tokenizer = examples.tiny()
    wide = np.zeros(2 * len(parameters), np.float32)
    wide[cut] = parameters.flat
    pretrained.save(tmp_path, config, Parameters(parameters.layout, wide[cut]), tokenizer)
    np.testing.assert_array_equal(pretrained.load(tmp_path).parameters.flat, parameters.flat)
