"""The files of a model, replaced all together or not at all.

One file is replaced in one step, by a rename; several are not. So a save goes in three:

1. everything is written into a folder of its own, ``.minibert-saving``, inside the model's folder;
2. that folder is renamed ``.minibert-saved``: this one step decides, before it the old model counts and after it the new one;
3. the files in it take their places, one rename each, and it goes.

A kill, a crash or a full disk before step 2 leaves the old files untouched, and after it ``settle`` finishes step 3, again if
need be: whoever opens a model's folder, or saves to it, calls that first. It may run in several processes at once: what has
been renamed ``.minibert-saved`` is complete, whoever moves it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minibert.files import _sync_folder

_SAVING, _SAVED = ".minibert-saving", ".minibert-saved"


@contextmanager
def saving(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The folder to write to; at the end of the block all its files take their places in ``folder``, which is made if need be.

    An error in the block leaves ``folder`` as it was. OSError where the disk refuses the last step: what it says is so.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settle(folder)
    staged = folder / _SAVING
    shutil.rmtree(staged, ignore_errors=True)  # of a save that was killed
    try:
        staged.mkdir()
        yield staged
        for path in (staged, *filter(Path.is_dir, staged.rglob("*"))):
            _sync_folder(path)
        os.rename(staged, folder / _SAVED)
    except OSError as error:
        reason = (error.strerror or str(error)).replace(str(staged), str(folder))  # who reads it knows nothing of that folder
        if str(folder) not in reason:
            reason = f"{folder} could not be written: {reason}; nothing was lost, what stood there before is unchanged"
        raise OSError(error.errno, reason) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    _sync_folder(folder)
    settle(folder)


def settle(folder: str | os.PathLike[str]) -> None:
    """Finish a save to ``folder`` that was cut off in its last step, if there is one. OSError where the disk refuses it."""
    folder = Path(folder)
    saved = folder / _SAVED
    if not saved.is_dir():
        return
    try:
        for path in sorted(saved.rglob("*")):
            if path.is_file():
                _take_its_place(path, folder / path.relative_to(saved))
        _sync_folder(folder)
        for path in (*sorted(filter(Path.is_dir, saved.rglob("*")), reverse=True), saved):
            with suppress(OSError):  # not empty: by now it is of another save
                path.rmdir()
    except OSError as error:
        raise OSError(error.errno, f"{folder}: a new model is saved there, but not all of its files could take their places "
                                   f"({error.strerror or error}); it is whole in {_SAVED}, and whoever opens {folder} next with "
                                   "minibert, where it can be written to, finishes this") from error


def _take_its_place(path: Path, place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):  # there was none; or another process has just moved it
        shutil.copymode(place, path)
    with suppress(FileNotFoundError):
        os.replace(path, place)
