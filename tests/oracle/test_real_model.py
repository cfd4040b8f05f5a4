"""A real checkpoint of 22 million numbers: what transformers makes of it, number for number, in every format."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import minibert  # noqa: E402
from benchmarks import parity  # noqa: E402
from minibert import pretrained  # noqa: E402
from minibert.cli import main  # noqa: E402
from minibert.convert import convert  # noqa: E402
from tests import real_model  # noqa: E402

TEXTS = ["A cat sits on the mat.", "Stock prices fell sharply on Monday.", "How can I learn to cook?", "x"]


@pytest.fixture(scope="module")
def folder():
    return real_model.folder()


def test_everything_equals_transformers(folder, capsys):
    assert parity.LIMITS == {"float64": 1e-12, "float32": 1e-5}
    assert parity.main([str(folder)]) == 0  # within the limits
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[2:7]]
    assert [int(row[-4]) for row in rows] == [7, 6, 1, 1, 103]  # hidden states, attention maps, pooled, sentences, gradients
    assert rows[-1][-3] == "22,713,216"
    for row in rows:
        assert 0 < float(row[-2]) <= 1e-12
        assert 0 < float(row[-1]) <= 1e-5
    assert parity.main([str(folder.parent)]) == 2
    assert "has no config.json" in capsys.readouterr().err


def test_sentence_vectors_equal_theirs(folder):
    bert = minibert.load(folder, "cpu")
    assert str(bert.pooling()) == "mean over the tokens, normalised"
    long = "one two three " * 200  # cut after 256 tokens, as the folder's sentence_bert_config.json says
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    encoded = tokenizer([*TEXTS, long], padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        h = model(**encoded).last_hidden_state
    mask = encoded["attention_mask"][:, :, None]
    mean = (h * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(bert.embed([*TEXTS, long]), torch.nn.functional.normalize(mean).numpy(), atol=2e-6)
    np.testing.assert_allclose(bert.embed([*TEXTS, long], "cls", False), h[:, 0].numpy(), atol=2e-5)
    largest = h.masked_fill(mask == 0, -1e9).max(1).values
    np.testing.assert_allclose(bert.embed([*TEXTS, long], "max", False), largest.numpy(), atol=2e-5)


def test_a_round_trip_through_every_format_is_bit_exact(folder, tmp_path):
    arrays = dict(transformers.AutoModel.from_pretrained(folder).state_dict())
    source = tmp_path / "zip"
    shutil.copytree(folder, source, ignore=shutil.ignore_patterns("model.safetensors"))
    torch.save(arrays, source / "pytorch_model.bin")
    legacy = tmp_path / "legacy"
    shutil.copytree(source, legacy)
    torch.save(arrays, legacy / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    convert(folder, tmp_path / "npz", "npz")
    convert(tmp_path / "npz", tmp_path / "back")
    convert(legacy, tmp_path / "npz16", "npz", "float16")
    convert(tmp_path / "npz16", tmp_path / "back16")
    expected = pretrained.load(folder)
    for other in (source, legacy, tmp_path / "npz", tmp_path / "back"):
        np.testing.assert_array_equal(pretrained.load(other).parameters.flat, expected.parameters.flat)
        assert pretrained.load(other).initialised == expected.initialised
    rounded = expected.parameters.flat.astype(np.float16).astype(np.float32)
    stored = np.isin(np.arange(len(rounded)), np.concatenate(
        [np.arange(s.start, s.stop) for n, s in expected.parameters.layout.slots.items() if n not in expected.initialised]))
    np.testing.assert_array_equal(pretrained.load(tmp_path / "back16").parameters.flat[stored], rounded[stored])

    theirs = transformers.AutoModel.from_pretrained(tmp_path / "back")  # the decoder of all is transformers
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, arrays[name]), name
    assert json.loads((tmp_path / "back" / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"]


LINES = """The cat is sleeping on the sofa.
Shares on the stock exchange dropped today.
He baked bread and a cake for the party.

To open a file in Python, call open with its name.
The football match ended in a draw.
Doctors recommend sleeping eight hours a night.
The parliament passed a new law on taxes.
A train to Berlin leaves every hour."""
QUERIES = {"A kitten naps on a couch": 1, "The financial markets went down": 2, "He prepared some pastries": 3,
           "reading data from disk with a program": 5, "Nobody won the soccer game": 6,
           "How long should one rest for good health?": 7,
           "politicians voted about money people pay to the state": 8,
           "How do I get to the capital of Germany?": 9}


def test_related_sentences_come_first(folder, tmp_path, capsys):
    path = tmp_path / "lines.txt"
    path.write_text(LINES + "\n", encoding="utf-8")
    for query, line in QUERIES.items():
        assert main(["search", str(folder), str(path), query, "--top", "2"]) == 0
        best = capsys.readouterr().out.splitlines()[1].split()
        assert best[0] == "1"
        assert int(best[2]) == line, (query, best)
