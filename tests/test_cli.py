import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minibert import api, pretrained
from minibert.cli import main, parser
from tests import tiny_model

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    pretrained.save(path, *tiny_model.make())
    return str(path)


def typed(monkeypatch, data):
    """Standard input that holds ``data``: bytes as from a pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


def test_help_needs_nothing_heavy():
    code = ("import sys\nfrom minibert.cli import parser\nparser().format_help()\n"
            "heavy = {'numpy', 'matplotlib', 'safetensors', 'tqdm', 'threadpoolctl'} & set(sys.modules)\nassert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", "train prepare fill-mask tokenize info finetune predict embed search score convert world "
                         "analyse demo".split())
def test_every_help_has_an_example_and_fits_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as info:
        main([command, "--help"])
    assert info.value.code == 0
    out = capsys.readouterr().out
    assert f"minibert {command}" in out[out.index("examples:"):]
    assert max(map(len, out.splitlines())) <= 100


def test_general_help_and_version(capsys):
    with pytest.raises(SystemExit) as info:
        main(["--help"])
    assert info.value.code == 0
    out = capsys.readouterr().out
    for command in ("train", "fill-mask", "tokenize", "info", "finetune", "predict", "embed", "search", "convert"):
        assert f"\n  {command} " in out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("minibert ")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["info", "base", "--wings"], ["fill-mask", "--top", "many", "[MASK]"],
                                       ["tokenize", "--model", "a", "--vocab", "b"], ["train", "--stepz", "3"],
                                       ["train", "--step", "3"]])
def test_unknown_commands_and_options_fail(arguments, capsys):
    with pytest.raises(SystemExit) as info:
        main(arguments)
    assert info.value.code == 2
    assert f"usage: minibert {arguments[0] if len(arguments) > 1 else '['}" in capsys.readouterr().err


def test_train_is_handed_its_arguments(monkeypatch):
    from minibert.training import command

    seen = []
    monkeypatch.setattr(command, "run", lambda args, ranks: seen.append(args) or 7)
    assert main(["train", "--steps", "3", "--corpus", "a.txt", "b"]) == 7
    assert seen[0].steps == 3
    assert seen[0].corpus == ["a.txt", "b"]


def test_fill_mask_shows_guesses_in_a_table(folder, capsys):
    assert main(["fill-mask", "--model", folder, "--top", "3", "the [MASK] raises an exception."]) == 0
    lines = capsys.readouterr().out.splitlines()
    guesses = api.load(folder, "cpu").fill_mask("the [MASK] raises an exception.", top=3)
    assert lines[3] == ""
    for line, (word, probability) in zip(lines, guesses):
        share, bar, shown, sentence = line.split(maxsplit=3)
        assert (share, shown) == (f"{probability:.1%}", word)
        assert set(bar) == {"█"}
        start = f"the{word[2:]}" if word.startswith("##") else f"the {word}"
        assert sentence == f"{start} raises an exception."


def test_several_masks_and_several_texts(folder, capsys):
    assert main(["fill-mask", "--model", folder, "[MASK] raises [MASK]", "an [MASK]"]) == 0
    out = capsys.readouterr().out
    assert "[MASK] 1 of 2" in out
    assert "[MASK] 2 of 2" in out
    (a, *_), (b, *_) = api.load(folder, "cpu").fill_mask("[MASK] raises [MASK]")
    assert f"with the first guess for each:  {a[0]} raises {b[0]}" in out


def test_long_sentences_are_cut_around_the_word(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["fill-mask", "--model", folder, "the " * 10 + "[MASK] " + "an " * 10]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 70
        assert not line or ("…" in line and "the" in line and "an" in line)


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_fill_mask_reads_lines(folder, capsys, monkeypatch, arguments):
    typed(monkeypatch, "the [MASK]\r\n\n漢 [MASK]\n".encode())
    assert main(["fill-mask", "--model", folder, *arguments]) == 0
    out = capsys.readouterr().out
    assert out.count("%") == 10
    assert "漢" in out


def test_fill_mask_converses(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answers = iter(["the [MASK]", "no gap", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    assert main(["fill-mask", "--model", folder]) == 0
    out = capsys.readouterr().out
    assert out.count("%") == 5
    assert "there is no [MASK] in 'no gap'" in out


@pytest.mark.parametrize(("arguments", "message"), [
    (["no gap"], "there is no [MASK] in 'no gap': write [MASK]"),
    (["the", "[MASK]", "raises"], "3 texts were given, and there is no [MASK] in 'the': put each text in quotes"),
    (["--top", "0", "[MASK]"], "top must be from 1 to 62, the size of the vocabulary, got 0"),
    (["a " * 30 + "[MASK]"], "more than the limit of 24"),
    (["--truncate", "a " * 30 + "[MASK]"], "there is no [MASK]"),
    (["--model", "nowhere", "[MASK]"], "nowhere: there is no such folder"),
])
def test_questions_that_cannot_be_answered(folder, capsys, arguments, message):
    assert main(["fill-mask", "--model", folder, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("minibert fill-mask: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_fill_mask_says_what_it_could_not_read(folder, capsys):
    assert main(["fill-mask", "--model", folder, "the [MASK] raises an exception."]) == 0
    assert capsys.readouterr().err == ""
    assert main(["fill-mask", "--model", folder, "राम घर [MASK] the"]) == 0
    err = capsys.readouterr().err
    assert err == ("note: unknown to the model's vocabulary: 2 of 3 tokens (66.7%); it reads [UNK] there, and not what is "
                   "written\n")


def test_special_tokens_in_a_text_are_tokens_or_literally_words(folder, capsys):
    text, bert = "the [SEP] [MASK]", api.load(folder, "cpu")
    for options, way in (([], "the tokens that they name; --literal reads them as words"),
                         (["--literal"], "words, as --literal says")):
        assert main(["fill-mask", "--model", folder, "--top", "1", *options, text]) == 0
        captured = capsys.readouterr()
        assert captured.err.endswith(f"special tokens written in the text: 1, read as {way}\n")  # [MASK] is the question itself
        (word, share), = bert.fill_mask(text, 1, literal=bool(options))
        assert captured.out.split()[0] == f"{share:.1%}"
        assert word in captured.out
    assert bert.fill_mask(text, 1) != bert.fill_mask(text, 1, literal=True)
    assert main(["tokenize", "--model", folder, "the [SEP]"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["[CLS]", "the", "[SEP]", "[SEP]"]
    assert "4 tokens, special tokens in the text: 1\n" in out
    assert main(["tokenize", "--model", folder, "--literal", "the [SEP]"]) == 0
    assert "special tokens in the text: 1, read as words\n" in capsys.readouterr().out
    assert main(["tokenize", "--model", folder, "--literal", "--ids", "the [SEP]"]) == 0
    vocab = bert.tokenizer.vocab
    assert capsys.readouterr().out.split() == [str(i) for i in [vocab.cls_id, *bert.tokenizer.ids("the [SEP]"), vocab.sep_id]]


@pytest.mark.parametrize(("data", "message"), [
    (b"the [MASK]\nno gap\n", "line 2: there is no [MASK]"),
    (b"ok [MASK]\n[MASK] \xff\n", "line 2 of standard input is not UTF-8: byte 0xff at place 7"),
])
def test_lines_that_cannot_be_answered_are_numbered(folder, capsys, monkeypatch, data, message):
    typed(monkeypatch, data)
    assert main(["fill-mask", "--model", folder]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out.count("%") == 5


def test_a_gpu_that_is_not_there(folder, capsys, monkeypatch):
    monkeypatch.setattr("minibert.backend._find_gpu", lambda: (None, "CuPy is not installed"))
    assert main(["fill-mask", "--model", folder, "--device", "gpu", "[MASK]"]) == 1
    assert "device 'gpu' was asked for, but CuPy is not installed" in capsys.readouterr().err
    assert main(["fill-mask", "--model", folder, "--device", "auto", "[MASK]"]) == 0


def test_notes_go_to_the_side(folder, capsys, tmp_path):
    config, parameters, tokenizer = tiny_model.make()
    pretrained.save(tmp_path, config.replace(unknown={"new_key": 1}), parameters, tokenizer)
    assert main(["fill-mask", "--model", str(tmp_path), "[MASK]"]) == 0
    assert capsys.readouterr().err == "note: config.json: these keys have no effect here: new_key\n"


def test_debug_shows_the_traceback(folder):
    with pytest.raises(ValueError, match="no \\[MASK\\]"):
        main(["fill-mask", "--debug", "--model", folder, "no gap"])


@pytest.mark.parametrize(("error", "code", "message"), [
    (FloatingPointError("the loss is nan"), 1, "the loss is nan"),
    (MemoryError("Unable to allocate 9 TiB"), 1, "not enough memory (Unable to allocate 9 TiB)"),
    (PermissionError(13, "Permission denied", "runs"), 2, "runs: Permission denied"),
    (KeyboardInterrupt(), 130, "interrupted"),
])
def test_errors_end_as_one_sentence(monkeypatch, capsys, error, code, message):
    def fail(args):
        raise error

    monkeypatch.setattr("minibert.commands.info.run", fail)
    assert main(["info", "base"]) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_table_of_tokens(folder, capsys):
    assert main(["tokenize", "--model", folder, "The", "--ids", "--offsets"]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["tokenize", "--model", folder, "The  Xy!", "--pair", "an exception", "--offsets"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[0] == ["token", "id", "segment", "place", "in", "the", "text"]
    assert table[1:5] == [["[CLS]", "2", "0"], ["the", "57", "0", "0:3", "The"], ["x", "28", "0", "5:6", "X"],
                          ["##y", "55", "0", "6:7", "y"]]
    assert ["exception", "60", "1", "3:12", "exception"] in table
    assert table[-2:] == [["9", "tokens,", "1", "of", "them", "unknown", "(16.7%", "of", "the", "text)"], []]


def test_ids_alone_and_lines(folder, capsys, monkeypatch):
    assert main(["tokenize", "--model", folder, "--ids", "the a", "an"]) == 0
    assert capsys.readouterr().out == "2 57 5 3\n2 59 3\n"
    typed(monkeypatch, b"the a\n\nan\n")
    assert main(["tokenize", "--model", folder, "--ids"]) == 0
    assert capsys.readouterr().out == "2 57 5 3\n2 59 3\n"
    assert main(["tokenize", "--model", folder, "a " * 40]) == 0
    assert "42 tokens: more than the 24 that the model reads at a time" in capsys.readouterr().out


def test_a_vocabulary_file_with_and_without_case(tmp_path, capsys):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "the", ""]), encoding="utf-8")
    assert main(["tokenize", "--vocab", str(path), "--ids", "The the"]) == 0
    assert main(["tokenize", "--vocab", str(path), "--cased", "--ids", "The the"]) == 0
    assert capsys.readouterr().out == "2 6 6 3\n2 5 6 3\n"
    assert main(["tokenize", "--cased", "x"]) == 2
    assert "--cased goes with --vocab" in capsys.readouterr().err
    path.write_text("the\n", encoding="utf-8")
    assert main(["tokenize", "--vocab", str(path), "x"]) == 2
    assert "vocab.txt has none of the special tokens [PAD] [UNK]" in capsys.readouterr().err


def test_a_console_that_cannot_show_everything(folder):
    command = [sys.executable, "-m", "minibert", "fill-mask", "--model", folder, "漢 [MASK]"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, check=True)
    assert b"####" in done.stdout
    assert b"? " in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break in another way there")
def test_a_reader_that_leaves(folder):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "minibert", "info", "base"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.skipif(sys.platform == "win32", reason="closed in another way there")
@pytest.mark.parametrize(("closed", "arguments", "code", "said"), [
    (0, ["tokenize"], 2, "minibert tokenize: standard input is closed"), (0, ["fill-mask"], 2, "standard input is closed"),
    (0, ["train", "--corpus", "-", "--steps", "1"], 2, "minibert train: standard input is closed"),
    (1, ["tokenize", "the"], 0, ""), (2, ["tokenize", "the"], 0, "")])
def test_streams_that_the_shell_has_closed(tmp_path, closed, arguments, code, said):
    command = [sys.executable, "-m", "minibert", *arguments]
    done = subprocess.run(command, preexec_fn=lambda: os.close(closed), cwd=tmp_path, stderr=subprocess.PIPE, encoding="utf-8",
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])})
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes and links")
@pytest.mark.parametrize("command", [["embed", "{model}", "{lines}", "--out", "{out}"],
                                     ["demo", "{model}", "--export", "{out}", "the a"]], ids=lambda command: command[0])
def test_what_stands_at_out_already_is_written_to(folder, tmp_path, capsys, command):
    """The mode of a file stays, a link stays a link."""
    lines, target, link = tmp_path / "lines.txt", tmp_path / "target", tmp_path / "link"
    lines.write_text("the a\nan\n", encoding="utf-8")
    target.touch(0o600)
    link.symlink_to(target)
    assert main([part.format(model=folder, lines=lines, out=link) for part in command]) == 0
    assert link.is_symlink()
    assert target.stat().st_size > 100
    assert target.stat().st_mode & 0o777 == 0o600
    assert str(link) in capsys.readouterr().out


def test_the_default_model_is_the_bundled_one(folder, capsys, monkeypatch):
    monkeypatch.setattr("minibert.pretrained.bundled", lambda: folder)
    for arguments in (["fill-mask", "the [MASK]"], ["tokenize", "the"], ["info", "--length", "4"]):
        assert main(arguments) == 0
        assert capsys.readouterr().out


def test_the_parser_can_be_built_twice():
    assert parser().parse_args(["info"]).model is None
