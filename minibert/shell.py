"""Commands that are printed to be copied."""

from __future__ import annotations

import os
import shlex
import subprocess

WINDOWS = os.name == "nt"
_SPECIAL = frozenset("&|<>^()%!;,'`$@{}")  # what cmd or PowerShell would take for its own outside quotation marks


def command(*words: object) -> str:
    """The words as one line for the shell of this platform, which gives back exactly these words: quoted where they must be."""
    texts = [str(word) for word in words]
    return " ".join(map(_for_windows, texts)) if WINDOWS else shlex.join(texts)


def _for_windows(word: str) -> str:
    quoted = subprocess.list2cmdline([word])
    return f'"{quoted}"' if _SPECIAL & set(word) and not quoted.startswith('"') else quoted
