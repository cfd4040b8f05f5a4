"""Commands that are printed to be copied."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from minibert import cli, shell
from minibert.training import checkpoint, runs

ROOT = Path(__file__).parents[1]

WORDS = ["python", "-m", "minibert", "a folder/with blanks", "it's", 'say "so"', "a&b", "100%", "$HOME", "模型", "",
         "back\\slash", "x;y"]


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_a_shell_gives_the_words_back():
    line = shell.command(sys.executable, "-c", "import sys; sys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode())", *WORDS)
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout.decode() == "\0".join(WORDS)
    assert shlex.split(line)[3:] == WORDS
    assert shell.command("minibert", "predict", "runs/a", "FILE") == "minibert predict runs/a FILE"


@pytest.mark.parametrize(("word", "quoted"), [
    (r"C:\runs\a", r"C:\runs\a"), (r"C:\my runs\a", r'"C:\my runs\a"'), ("a&b", '"a&b"'), ("it's", '"it\'s"'), ("", '""'),
    ("the [MASK] of it.", '"the [MASK] of it."'), ('{"text": "a"}', r'"{\"text\": \"a\"}"'), ('{"a":1}', r'"{\"a\":1}"')])
def test_words_for_windows(monkeypatch, word, quoted):
    monkeypatch.setattr(shell, "WINDOWS", True)
    assert shell.command("minibert", word) == f"minibert {quoted}"


def test_a_run_folder_that_exists_says_how_to_go_on(tmp_path):
    folder = tmp_path / "my run"
    folder.mkdir()
    (folder / checkpoint.FILE).write_bytes(b"")
    with pytest.raises(FileExistsError) as error:
        runs.new_folder(str(folder), checkpoint.FILE)
    assert str(error.value).endswith(shell.command("--resume", folder))


def test_the_command_that_fine_tuning_ends_with_can_be_copied(tmp_path, capsys):
    texts, out = tmp_path / "texts.tsv", tmp_path / "my run"
    texts.write_text("".join(f"{word} it\t{word}\n" for word in ("open", "close") * 8), encoding="utf-8")
    assert cli.main(["finetune", "classify", "--train", str(texts), "--dev", str(texts), "--out", str(out), "--epochs", "1",
                     "--device", "cpu", "--threads", "1"]) == 0
    assert capsys.readouterr().out.endswith(f"\n  {shell.command('minibert', 'predict', out, 'FILE')}\n")


def test_every_printed_command_with_something_of_the_users_in_it_is_quoted():
    bare = re.compile(r"(minibert [a-z-]+|python -m [a-z.]+)[^\"'\n]* \{(?!\{)|--(resume|start|model) \{")
    for path in (*ROOT.glob("minibert/**/*.py"), ROOT / "lessons" / "check.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert not bare.search(line), f"{path}:{number}: quote it with minibert.shell.command"
