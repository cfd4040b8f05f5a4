"""Formats that are not read: each is named, whatever the file is called, and what to do is said."""

import pytest

from minibert import pretrained
from minibert.cli import main
from minibert.pretrained import formats, unread
from tests.pretrained import examples


@pytest.mark.parametrize(("at", "magic"), unread.STARTS)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tf_model.h5", "model.onnx", "whatever.gguf"])
def test_they_are_known_by_their_first_bytes(tmp_path, at, magic, name):
    what, instead = unread.STARTS[at, magic]
    (tmp_path / name).write_bytes(b"\1" * at + magic + b"\2" * 300)
    with pytest.raises(ValueError, match="which is not read here: ") as info, formats.opened(tmp_path / name):
        pass
    assert str(info.value).startswith(f"{tmp_path / name} is ")
    assert what in str(info.value)
    assert str(info.value).endswith(instead)


@pytest.mark.parametrize("end", unread.NAMES)
def test_a_folder_with_nothing_else_says_so(tmp_path, end, capsys):
    for file in examples.write(tmp_path, "safetensors"):
        file.unlink()
    name = end if "." in end[1:] and not end.startswith(".") else f"model{end}"
    (tmp_path / name).write_bytes(b"")
    what, instead = unread.NAMES[end]
    with pytest.raises(FileNotFoundError) as info:
        pretrained.load(tmp_path)
    assert f"has no model.safetensors; {name} is " in str(info.value)
    assert what in str(info.value)
    assert str(info.value).endswith(instead)
    assert main(["info", str(tmp_path), "--length", "8"]) == 0
    assert f"No weights in this folder, {name} is " in capsys.readouterr().out


def test_no_format_that_is_read_begins_so(tmp_path):
    for i, kind in enumerate(examples.PROTECTED):
        for file in examples.write(tmp_path / str(i), kind):
            unread.refuse(file.read_bytes()[:1024], file)
