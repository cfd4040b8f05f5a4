"""Shared fixtures."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real texts, vocabularies and labelled sets, kept outside the project.

    ``MINIBERT_TEST_DATA`` names it; by default it is ``shared/data`` beside the checkout. Tests that need it skip without it.
    """
    folder = Path(os.environ.get("MINIBERT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder} (set MINIBERT_TEST_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """Files reach the disk when the system likes: no test here cuts the power, and together they write tens of thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield
