"""Thousands of damaged checkpoints in every format: an error that names the file, or the right numbers, and nothing else.

``MINIBERT_CORRUPTIONS`` sets how many per format.
"""

import os
import sys
import tracemalloc

import numpy as np
import pytest

from benchmarks.hostile import damaged
from minibert.pretrained import formats
from minibert.pretrained.folder import read_parameters
from tests.pretrained import examples

COUNT = int(os.environ.get("MINIBERT_CORRUPTIONS", "1000"))
_FORBIDDEN = {"exec", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class",
              "socket.connect", "os.mkdir", "os.remove"}
_events = None


def _listen(event, arguments):
    if _events is not None and event in _FORBIDDEN:
        if event == "exec" and "encodings" in arguments[0].co_filename:
            return  # the standard library imports an encoding when it first meets it
        _events.append((event, arguments))


@pytest.fixture(scope="module", autouse=True)
def listener():
    """Hears of every function of the kind that a hostile file would call."""
    sys.addaudithook(_listen)  # there is no way to remove it


@pytest.mark.parametrize("kind", examples.PROTECTED)
def test_no_crash_no_code_no_wrong_number_unnoticed(tmp_path, kind):
    global _events
    model = config, parameters, _ = examples.tiny()
    files = examples.write(tmp_path, kind, model)
    whole = {path: path.read_bytes() for path in files}
    start = formats.find(tmp_path)
    truth = dict(parameters.items())
    rng = np.random.default_rng(len(kind))
    refused = 0
    for trial in range(COUNT):
        path = files[int(rng.integers(len(files)))]
        data = damaged(whole[path], rng)
        path.write_bytes(data)
        _events, unnamed = [], None
        if trial % 20 == 0:
            tracemalloc.start()
        try:
            with formats.opened(start) as reader:
                got, notes, _ = read_parameters(reader, config)
        except (ValueError, OSError) as error:
            refused += 1
            unnamed = None if any(file.name in str(error) for file in files) else error
        else:
            said = " ".join(notes)
            for name, x in got.items():
                if np.array_equal(x, truth[name]) or name in said:
                    continue
                # where a format has no checksum, wrong bits among the numbers are wrong numbers: so many, and no others
                assert not examples.PROTECTED[kind], f"trial {trial}: {name} is wrong, and nothing was said"
                if examples.PROTECTED[kind] is None:
                    continue
                assert len(data) == len(whole[path]), f"trial {trial}: {name} is wrong after bytes were lost"
                assert (np.frombuffer(x.tobytes(), np.uint8) != np.frombuffer(truth[name].tobytes(), np.uint8)).sum() <= 40
        assert unnamed is None, f"trial {trial}: {unnamed!r} names no file"
        assert not _events, f"trial {trial}: {_events}"
        if trial % 20 == 0:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 8e6, f"trial {trial}: {peak:,} bytes for a file of {len(data):,}"
        path.write_bytes(whole[path])
    _events = None
    assert refused > COUNT // 4, "the damage did nothing"
