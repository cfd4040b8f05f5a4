"""Commands that are printed to be copied."""

import os
import shlex
import subprocess
import sys

import pytest

from minibert import shell

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
