"""``torch.save`` in both of its formats, read without torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert import pretrained  # noqa: E402
from minibert.convert import convert  # noqa: E402
from minibert.pretrained import pytorch  # noqa: E402
from tests import tiny_model  # noqa: E402

NEW = pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])


@NEW
def test_tensors_of_every_kind(tmp_path, new):
    torch.manual_seed(0)
    whole = torch.randn(6, 8)
    shared = torch.arange(40.0).reshape(5, 8)
    tensors = {"whole": whole, "transposed": whole.T, "part": whole[1:4, ::3], "row": whole[2], "one": whole[0, 0],
               "empty": torch.zeros(0, 4), "scalar": torch.tensor(3.5), "parameter": torch.nn.Parameter(torch.randn(3)),
               "shared": shared, "view": shared[2:, 1], "unflat": shared.as_strided((3, 2), (9, 2), 4),
               "half": whole.half(), "brain": whole.bfloat16(), "double": whole.double(), "long": torch.arange(5),
               "bool": torch.tensor([True, False]), "expanded_once": torch.arange(7).expand(1, 7)}
    path = tmp_path / "pytorch_model.bin"
    torch.save(torch.nn.Module().state_dict() | tensors, path, _use_new_zipfile_serialization=new)
    with pytorch.opened(path) as reader:
        assert reader.format == ("PyTorch, zip" if new else "PyTorch, before 1.6")
        assert set(reader.shapes) == set(tensors)
        for name, tensor in tensors.items():
            expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
            assert reader.shapes[name] == expected.shape
            assert reader[name].dtype == expected.dtype
            np.testing.assert_array_equal(reader[name], expected)


@NEW
@pytest.mark.parametrize("kind", ["BertForPreTraining", "BertModel"])
def test_a_model_saved_by_torch_opens_here(tmp_path, new, kind):
    config, parameters, tokenizer = tiny_model.make()
    pretrained.save(tmp_path / "ours", config, parameters, tokenizer)
    theirs = getattr(transformers, kind).from_pretrained(tmp_path / "ours")
    theirs.config.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")
    torch.save(theirs.state_dict(), tmp_path / "theirs" / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    loaded = pretrained.load(tmp_path / "theirs")
    for (name, got), (_, expected) in zip(loaded.parameters.items(), parameters.items()):
        if name not in loaded.initialised:
            np.testing.assert_array_equal(got, expected)
    assert any(name.startswith("cls.predictions") for name in loaded.initialised) == (kind == "BertModel")


@NEW
def test_a_whole_module_is_refused(tmp_path, new):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.bin", _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=r"holds more than tensors.*nothing was run"), pytorch.opened(tmp_path / "x.bin"):
        pass


@pytest.mark.parametrize("to", ["safetensors", "npz"])
def test_what_was_converted_opens_in_transformers(tmp_path, to):
    config, parameters, tokenizer = tiny_model.make(vocab_size=64)  # two rows of padding
    pretrained.save(tmp_path / "a", config, parameters, tokenizer)
    convert(tmp_path / "a", tmp_path / "b", to)
    convert(tmp_path / "b", tmp_path / "c")
    theirs, report = transformers.BertForPreTraining.from_pretrained(tmp_path / "c", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state = theirs.state_dict()
    for name, x in parameters.items():
        np.testing.assert_array_equal(state[name].numpy(), x)
    np.testing.assert_array_equal(state["cls.predictions.decoder.weight"], state["bert.embeddings.word_embeddings.weight"])
