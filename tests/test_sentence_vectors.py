import argparse
import json

import numpy as np
import pytest

import minibert
from minibert import batched, pretrained, search, sentence_vectors
from minibert.api import Bert
from minibert.cli import main
from minibert.ranks.alone import ALONE
from minibert.ranks.threads import together
from minibert.sentence_vectors import Pooling
from tests import device, tiny_model

TEXTS = ["the exception", "an exception raises the exception .", "x", "", "the the the the"]


@pytest.fixture(scope="module")
def bert():
    return Bert(*tiny_model.make())


@pytest.mark.parametrize("kind", sentence_vectors.POOLINGS)
@pytest.mark.parametrize("normalise", [False, True])
def test_vectors_are_what_they_are_said_to_be(bert, kind, normalise):
    vectors = bert.embed(TEXTS, kind, normalise)
    assert vectors.shape == (5, 12)
    assert vectors.dtype == np.float32
    for text, v in zip(TEXTS, vectors):
        h = bert(text).last_hidden_state[0]  # without padding
        expected = {"mean": h.mean(0), "cls": h[0], "max": h.max(0)}[kind]
        np.testing.assert_allclose(v, expected / np.linalg.norm(expected) if normalise else expected, atol=2e-6)
        np.testing.assert_allclose(bert.embed(text, kind, normalise), v, atol=2e-6)


def test_the_company_of_a_text_and_the_threads_do_not_matter(bert, monkeypatch):
    texts = [" ".join(["the"] * n) for n in range(1, 20)] * 5
    expected = bert.embed(texts, threads=1)
    for tokens, threads in ((8, 2), (64, 3), (100_000, 1)):
        monkeypatch.setattr(batched, "micro_batch_tokens", lambda *_, n=tokens: n)
        np.testing.assert_allclose(bert.embed(texts, threads=threads), expected, atol=2e-6)
    assert bert.embed([]).shape == (0, 12)


def test_on_a_device(bert):
    config, parameters, tokenizer = tiny_model.make()
    there = Bert(config, parameters.to(device.xp), tokenizer)
    for kind in sentence_vectors.POOLINGS:
        np.testing.assert_allclose(there.embed(TEXTS, kind, True), bert.embed(TEXTS, kind, True), atol=2e-6)


def test_long_texts_are_cut_and_counted(bert):
    long, seen = "the " * 100, []
    vectors, cut, _ = sentence_vectors.embed(bert, [long, "the"], Pooling(), progress=lambda *now: seen.append(now))
    assert cut == 1
    assert seen[-1] == (24 + 3, 24 + 3)
    np.testing.assert_allclose(vectors[0], bert.embed("the " * 22), atol=1e-6)
    np.testing.assert_allclose(bert.embed(long, max_length=5), bert.embed("the the the"), atol=1e-6)
    np.testing.assert_allclose(bert.embed(long, max_length=10_000), bert.embed(long), atol=1e-6)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda bert: bert.embed(["a"], "median"), ValueError, "pooling must be one of mean, cls, max, got 'median'"),
    (lambda bert: bert.embed(["a"], max_length=2), ValueError, "max_length must be at least 3"),
    (lambda bert: bert.embed(["a", 3]), TypeError, r"texts\[1\] must be a string, .*, got 3"),
    (lambda bert: bert.embed(["a"], threads=0), ValueError, "threads must be at least 1"),
])
def test_bad_arguments(bert, call, error, message):
    with pytest.raises(error, match=message):
        call(bert)


# Folders of sentence encoders


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    pretrained.save(path, *tiny_model.make())
    return path


def describe(folder, modules=("Transformer", "Pooling", "Normalize"), pooling=None, **settings):
    (folder / "1_Pooling").mkdir(exist_ok=True)
    kinds = [{"idx": i, "path": "1_Pooling" if name == "Pooling" else "", "type": f"sentence_transformers.models.{name}"}
             for i, name in enumerate(modules)]
    files = {"modules.json": kinds, "1_Pooling/config.json": pooling or {"pooling_mode_mean_tokens": True},
             "sentence_bert_config.json": settings}
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values), encoding="utf-8")


def test_the_folder_says_how(folder):
    assert Pooling.of(folder) == Pooling.of(None) == Pooling("mean", False, None, False)
    describe(folder, max_seq_length=6, do_lower_case=True)
    assert Pooling.of(folder) == Pooling("mean", True, 6, True)
    describe(folder, pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 12})
    assert Pooling.of(folder) == Pooling("cls", True)
    describe(folder, ("Transformer", "Pooling"), {"pooling_mode": "max"})
    assert Pooling.of(folder) == Pooling("max", False)
    bert = minibert.load(folder, "cpu")
    np.testing.assert_array_equal(bert.embed("the exception"), bert.embed("the exception", "max", False))
    (folder / "modules.json").unlink()
    assert Pooling.of(folder).kind == "max"


def test_what_a_folder_asks_for_in_vain(folder):
    describe(folder, ("Transformer", "Pooling", "Dense"))
    bert = minibert.load(folder, "cpu")
    with pytest.raises(ValueError, match="a module of type Dense, which is not done here"):
        bert.embed("the")
    assert bert.embed("the", "mean").shape == (12,)
    describe(folder, pooling={"pooling_mode_mean_sqrt_len_tokens": True})
    with pytest.raises(ValueError, match="asks for pooling_mode_mean_sqrt_len_tokens"):
        bert.embed("the")
    for broken in ("{", "{}", "[" * 100_000):
        (folder / "modules.json").write_text(broken, encoding="utf-8")
        with pytest.raises(ValueError, match=r"modules\.json"):
            bert.embed("the")


# The commands


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"the exception\r\n\nan exception raises the exception .\nx\n" + b"the " * 40)
    return path


def test_lines_of_an_old_mac(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"one\r\rtwo words\rthree\r")
    assert search.read_lines(path) == ["one", "", "two words", "three"]
    path.write_bytes(b"one\r\n\r\ntwo\rwords\r\nthree")
    assert search.read_lines(path) == ["one", "", "two words", "three"]


def test_the_text_itself_is_not_written_over(folder, lines, capsys):
    before = lines.read_bytes()
    assert main(["embed", str(folder), str(lines), "--out", str(lines), "--device", "cpu"]) == 2
    assert "is the file that is read" in capsys.readouterr().err
    assert lines.read_bytes() == before


def test_embed_writes_a_row_for_each_line(folder, lines, capsys):
    assert main(["embed", str(folder), str(lines), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "5 vectors of 12 numbers (float32), mean over the tokens" in out
    assert "1 of the lines were longer than the model reads" in out
    assert "1 of the lines are blank" in out
    vectors = np.load(f"{lines}.npy")
    bert = minibert.load(folder, "cpu")
    np.testing.assert_allclose(vectors[2], bert.embed("an exception raises the exception ."), atol=2e-6)
    out = lines.with_name("other.npy")
    options = ["--out", str(out), "--pooling", "cls", "--normalise", "--max-length", "4"]
    assert main(["embed", str(folder), str(lines), *options]) == 0
    np.testing.assert_allclose(np.load(out)[4], bert.embed("the the", "cls", True), atol=1e-6)


def test_ranks_each_embed_a_part_and_the_first_one_writes(folder, lines, tmp_path, capsys, monkeypatch):
    from minibert.commands import embed

    monkeypatch.setattr(batched, "micro_batch_tokens", lambda *_: 8)  # several batches
    parser = argparse.ArgumentParser()
    embed.add_arguments(parser)
    args = [str(folder), str(lines), "--device", "cpu", "--threads", "1", "--out"]
    assert embed.embed(parser.parse_args([*args, str(tmp_path / "one.npy")]), ALONE) == 0
    capsys.readouterr()
    for size in (2, 7):  # more than there are lines
        asked = parser.parse_args([*args, str(tmp_path / "all.npy")])
        assert together(size, lambda ranks, asked=asked: embed.embed(asked, ranks)) == [0] * size
        assert (tmp_path / "all.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
    assert capsys.readouterr().out.count("5 vectors of 12 numbers") == 2


def test_search_finds_keeps_and_renews(folder, lines, capsys, monkeypatch):
    def search(*arguments):
        assert main(["search", str(folder), str(lines), *arguments]) == 0
        return capsys.readouterr()

    first = search("the exception")
    rank, score, number, *line = first.out.splitlines()[1].split()
    assert (rank, score, number, line) == ("1", "1.000", "1", ["the", "exception"])
    assert len(first.out.strip().splitlines()) == 1 + 4  # the blank line is no answer
    store = lines.with_name("lines.txt.vectors.safetensors")
    kept = store.read_bytes()

    calls = []
    real = sentence_vectors.embed
    monkeypatch.setattr("minibert.search.embed", lambda bert, texts, *rest, **more: (calls.append(len(texts)),
                                                                                    real(bert, texts, *rest, **more))[1])
    second = search("the exception", "x", "--top", "1")
    assert second.out.splitlines()[:2] == first.out.splitlines()[:2]
    assert second.out.split()[-4:] == ["1", "1.000", "4", "x"]
    assert calls == [1, 1]  # only the queries: the lines were kept
    lines.write_text("x\nthe\n", encoding="utf-8")
    assert "made from another text or model; the vectors are computed anew" in search("x").err
    store.write_bytes(kept[:50])
    assert "cut short" in search("x").err
    store.unlink()
    assert search("x", "--no-cache").out.splitlines()[1].split() == ["1", "1.000", "1", "x"]
    assert not store.exists()
    store.mkdir()  # cannot be written
    assert "the vectors are not kept" in search("x").err


def test_embed_and_search_say_what_they_could_not_read(folder, tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("the \u0930\u093e\u092e\nan [SEP] exception\n", encoding="utf-8")
    unknown = "unknown to the model's vocabulary: 1 of 4 tokens (25.0%)"
    special = "special tokens written in the text: 1, read as the tokens"
    assert main(["embed", str(folder), str(lines), "--out", str(tmp_path / "tokens.npy")]) == 0
    err = capsys.readouterr().err
    assert unknown in err
    assert special in err
    for _ in range(2):  # the second time from what was kept
        assert main(["search", str(folder), str(lines), "the \u0930\u093e\u092e"]) == 0
        err = capsys.readouterr().err
        assert f"note: {lines}: {unknown}" in err
        assert f"note: {lines}: {special}" in err
        assert "note: unknown to the model's vocabulary: 1 of 2 tokens (50.0%)" in err  # of the query
    assert main(["embed", str(folder), str(lines), "--literal", "--out", str(tmp_path / "words.npy")]) == 0
    assert "read as words, as --literal says" in capsys.readouterr().err
    bert = minibert.load(folder, "cpu")
    tokens, words = np.load(tmp_path / "tokens.npy"), np.load(tmp_path / "words.npy")
    np.testing.assert_allclose(tokens[1], bert.embed("an [SEP] exception"), atol=1e-6)
    np.testing.assert_allclose(words[1], bert.embed("an [SEP] exception", literal=True), atol=1e-6)
    assert np.abs(words[1] - tokens[1]).max() > 1e-3
    assert main(["search", str(folder), str(lines), "an [SEP] exception", "--literal", "--top", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.out.split()[-6:] == ["1", "1.000", "2", "an", "[SEP]", "exception"]
    assert "made from another text or model" in captured.err  # read otherwise, the vectors are others


@pytest.mark.parametrize(("content", "arguments", "message"), [
    (b"\n \n", [], "has no text in it"), (b"", [], "has no text in it"), (b"a\xff", [], "is not UTF-8"),
    (b"a", ["--top", "0"], "top must be at least 1"), (b"a", ["--max-length", "1"], "max_length must be at least 3"),
    (b"a", ["--max-length", "0"], "max_length must be at least 3")])
def test_bad_input_is_one_sentence(folder, lines, capsys, content, arguments, message):
    lines.write_bytes(content)
    assert main(["search", str(folder), str(lines), "what", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert main(["search", str(folder), str(lines), " "]) == 2
    assert main(["embed", str(folder), str(lines.with_name("nowhere"))]) == 2
    assert "No such file" in capsys.readouterr().err
