"""``python -m gradcheck``: the table, the exit status, the plot."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from gradcheck import suite
from gradcheck.__main__ import main
from minibert.layers import linear, softmax


@pytest.fixture
def broken(monkeypatch):
    """Two entries that fail: one with a wrong gradient, one that cannot run."""

    def enter(name, backward):
        right = suite.CASES[name]
        layer = SimpleNamespace(forward=right.module.forward, backward=backward)
        case = suite.Case(f"{name}-broken", right.module, lambda rng: right.make(rng) | {"layer": layer})
        monkeypatch.setitem(suite.CASES, case.name, case)

    enter("softmax", lambda dy, cache: softmax.backward(dy, cache) * 2)
    enter("linear", lambda dy, cache, p, g: linear.backward(dy.T, cache, p, g))


def test_the_table(capsys):
    assert main(["softmax", "layernorm"]) == 0
    out, err = capsys.readouterr()
    header, *rows = out.split("\n\n")[0].splitlines()
    assert header.split() == ["layer", "inputs", "->", "outputs", "checked", "central", "complex"]
    assert [row.split()[0] for row in rows] == ["layernorm", "softmax", "softmax-all-padding"]
    assert all(row.endswith("ok") for row in rows)
    *_, central, complex_step, _ = rows[0].split()
    assert "4×5×6 -> 4×5×6" in rows[0]
    assert "dx, 2 params" in rows[0]
    assert float(central) < 1e-7
    assert float(complex_step) < 1e-12
    assert "3 of 3 passed" in out
    assert not err


def test_verbose_lists_every_array(capsys):
    assert main(["linear", "-v"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["x", "weight", "bias"]


def test_failures_are_explained_and_the_rest_is_still_checked(capsys, broken):
    assert main(["linear", "softmax", "layernorm"]) == 1
    out, err = capsys.readouterr()
    verdicts = {line.split()[0]: line.split()[-1] for line in out.split("\n\n")[0].splitlines()[1:]}
    assert verdicts == {
        "linear": "ok",
        "layernorm": "ok",
        "softmax": "ok",
        "softmax-all-padding": "ok",
        "softmax-broken": "FAILED",
        "linear-broken": "FAILED",
    }
    assert "4 of 6 passed" in out
    assert "softmax-broken: the gradient of x is wrong" in err
    assert "backward gives 2 times what it should" in err
    assert "linear-broken cannot run:" in err
    assert "ValueError" in err


def test_an_unknown_name_lists_the_names(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["softmaxx"])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert "no entry 'softmaxx' in the suite; there are: linear, embedding" in err


def test_a_negative_seed_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--seed", "-1"])
    assert stopped.value.code == 2
    assert "--seed: expected a number from 0 up, got -1" in capsys.readouterr().err


def test_list(capsys):
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == list(suite.CASES)


def test_plot(tmp_path, capsys, broken):
    path = tmp_path / "u.png"
    assert main(["pooler", "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"wrote {path}" in capsys.readouterr().out

    assert main(["softmax-broken", "--plot", str(tmp_path / "v.png")]) == 1
    assert not (tmp_path / "v.png").exists()
    assert "no plot" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["no/such/folder/u.png", "u.docx"])
def test_a_plot_that_cannot_be_written(tmp_path, capsys, name):
    with pytest.raises(SystemExit) as stopped:
        main(["nsp", "--plot", str(tmp_path / name)])
    assert stopped.value.code == 2
    assert "--plot: cannot write" in capsys.readouterr().err


def test_as_a_module():
    command = [sys.executable, "-m", "gradcheck"]
    done = subprocess.run([*command, "dropout"], capture_output=True, encoding="utf-8", env=_utf8(), check=False)
    assert done.returncode == 0, done.stderr
    assert "dropout-off" in done.stdout
    done = subprocess.run([*command, "nonsense"], capture_output=True, encoding="utf-8", env=_utf8(), check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    done = subprocess.run([*command, "--help"], capture_output=True, encoding="utf-8", env=_utf8(), check=False)
    assert "python -m gradcheck attention --plot ucurve.png" in done.stdout


def _utf8():
    import os

    return {**os.environ, "PYTHONIOENCODING": "utf-8"}
