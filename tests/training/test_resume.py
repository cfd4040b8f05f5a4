"""Interrupted, killed, refused by the disk: what a run loses (nothing) and how it goes on (exactly)."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from minibert import files, pretrained
from minibert.analysis import probes
from minibert.pretrained import tensors
from minibert.text.vocabulary import SPECIAL
from minibert.training import checkpoint, command, loop
from minibert.training.loop import read_rows
from tests.training.runs import FILES, FINISHED, act_after, assert_same_run, interrupt_after, names, slabs, step_of

OPTIONS = {  # dropout is on in all of them
    "pairs": ["--accumulate", "2"],
    "Adafactor": ["--optimiser", "adafactor", "--schedule", "inverse-square-root", "--learning-rate", "0.01"],
    "LAMB and an average": ["--optimiser", "lamb", "--schedule", "square-root", "--ema", "0.9", "--adversarial", "virtual"],
    "Muon": ["--optimiser", "muon", "--schedule", "trapezoid"],
    "packed, static masks": ["--no-next-sentence", "--static-masks", "--dupe-factor", "2", "--batch-size", "16", "--whole-word",
                             "--mask-rate", "0.4", "0.1"],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def uninterrupted(finished, train):
    """``uninterrupted(options)``: the folder of that run, made once."""
    def run(kind="pairs"):
        if not (finished / kind).exists():
            assert train(finished / kind, *OPTIONS[kind]) == 0
        return finished / kind
    return run


@pytest.mark.parametrize("points", [(1,), (5,), (6,), (11,), (12,), (2, 3, 9)], ids=str)
@pytest.mark.parametrize("kind", OPTIONS)
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(
        train, resume, uninterrupted, tmp_path, monkeypatch, capsys, kind, points):
    run = tmp_path / "run"
    go_on = lambda: train(run, *OPTIONS[kind])  # noqa: E731 - the first time
    for point in points:
        with monkeypatch.context() as patch:
            interrupt_after(patch, point)
            assert go_on() == (130 if point < 12 else 0)
        assert step_of(run) == point
        if point < 12:
            assert names(run) == FILES
            said = capsys.readouterr().out
            assert f"Stopped after step {point} of 12; everything is saved" in said
            assert f"python -m minibert train --resume {run}" in said
            loaded = pretrained.load(run)  # what is exported is what is saved
            assert loaded.parameters.flat.tobytes() == slabs(run)[-1 if "--ema" in OPTIONS[kind] else 0]
        go_on = lambda: resume(run)  # noqa: E731
    assert resume(run) == 0
    assert names(run) == FINISHED
    assert_same_run(run, uninterrupted(kind))


def test_metrics_of_a_resumed_run_have_every_row_once(train, resume, uninterrupted, tmp_path, monkeypatch):
    run = tmp_path / "run"
    for point, go_on in ((4, lambda: train(run, *OPTIONS["pairs"])), (9, lambda: resume(run))):
        with monkeypatch.context() as patch:
            interrupt_after(patch, point)
            assert go_on() == 130
    assert resume(run) == 0
    rows, expected = (read_rows(folder / "metrics.csv") for folder in (run, uninterrupted()))
    assert [{**row, "seconds": 0} for row in rows] == [{**row, "seconds": 0} for row in expected]
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert_same_run(run, uninterrupted())
    asked = [[record["step"] for record in probes.read(folder)[1]] for folder in (run, uninterrupted())]
    assert asked[0] == asked[1]


def test_steps_between_two_rows_are_not_lost_by_an_interruption(train, resume, tmp_path, monkeypatch):
    """With a row every four steps, an interruption after the sixth writes one more; means are since the row before."""
    monkeypatch.setattr(loop, "ROWS", 3)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 6)
        assert train(tmp_path / "run", "--eval-every", 12) == 130
    assert resume(tmp_path / "run") == 0
    assert [row["step"] for row in read_rows(tmp_path / "run" / "metrics.csv")] == [4, 6, 8, 12]


def test_a_complete_run_stays_as_it_is(resume, uninterrupted, tmp_path, capsys):
    shutil.copytree(uninterrupted(), tmp_path / "run")
    assert resume(tmp_path / "run") == 0
    assert "is complete" in capsys.readouterr().out
    assert_same_run(tmp_path / "run", uninterrupted())


def test_a_kill_behind_the_last_step_is_made_up_for(train, resume, uninterrupted, tmp_path):
    """The state is saved; the model that goes with it, the picture and the guesses are not."""
    run = tmp_path / "run"
    shutil.copytree(uninterrupted(), run)
    for name in ("model.safetensors", "guesses.txt", "loss.png"):
        (run / name).unlink()
    assert resume(run) == 0
    assert names(run) == FINISHED
    assert_same_run(run, uninterrupted())


@pytest.mark.parametrize("point", [3, 8])
def test_a_second_interrupt_aborts_and_loses_only_the_steps_since_the_last_save(
        train, resume, uninterrupted, tmp_path, monkeypatch, point):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_after(patch, point, times=2)
        with pytest.raises(KeyboardInterrupt):
            train(run, *OPTIONS["pairs"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert step_of(run) == (6 if point > 6 else 0)
    assert len(read_rows(run / "metrics.csv")) == point - 1  # more than the state knows
    assert resume(run) == 0
    assert_same_run(run, uninterrupted())
    assert [row["step"] for row in read_rows(run / "metrics.csv")] == list(range(1, 13))


def test_an_interrupt_while_saving_lets_it_finish(train, resume, uninterrupted, tmp_path, monkeypatch):
    original, steps = checkpoint.save, []
    with monkeypatch.context() as patch:
        def save(folder, state):
            steps.append(state.progress.step)
            if steps == [0, 6]:
                signal.raise_signal(signal.SIGINT)
            original(folder, state)

        patch.setattr(checkpoint, "save", save)
        assert train(tmp_path / "run", *OPTIONS["pairs"]) == 130
    assert step_of(tmp_path / "run") == 6
    assert resume(tmp_path / "run") == 0
    assert_same_run(tmp_path / "run", uninterrupted())


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT reaches a single process only on POSIX systems")
def test_ctrl_c_from_outside(corpus, tmp_path):
    """As at a terminal: a process of its own, and a signal from another."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "minibert", "train", "--corpus", str(corpus), "--out", str(run), "--layers", "1", "--hidden",
               "32", "--heads", "2", "--max-length", "32", "--vocab-size", "120", "--steps", "1000000", "--eval-every", "5",
               "--threads", "2", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            for _ in range(600):  # until the first rows are written
                if (run / "metrics.csv").exists() or process.poll() is not None:
                    break
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert f"--resume {run}" in out
    assert step_of(run) > 0


def test_a_changed_corpus_is_refused(corpus, train, resume, tmp_path, monkeypatch):
    text = tmp_path / "text.txt"
    shutil.copy(corpus, text)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        assert train(tmp_path / "run", "--corpus", text) == 130
    before = slabs(tmp_path / "run")
    content = text.read_text(encoding="utf-8")
    text.write_text(content.replace("raba", "rabe", 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"text\.txt has changed since the run began.*sha256"):
        resume(tmp_path / "run")
    text.unlink()
    with pytest.raises(FileNotFoundError, match=r"text\.txt"):
        resume(tmp_path / "run")
    assert slabs(tmp_path / "run") == before
    text.write_text(content, encoding="utf-8")
    assert resume(tmp_path / "run") == 0


def test_other_options_are_refused_by_name(resume, uninterrupted):
    with pytest.raises(ValueError, match=r"--no-bias-correction, --batch-size, --no-next-sentence, --pre-ln cannot be given"):
        resume(uninterrupted(), "--no-bias-correction", "--batch-size", 8, "--no-next-sentence", "--pre-ln")
    with pytest.raises(ValueError, match="--out"):
        resume(uninterrupted(), "--out", "elsewhere")
    with pytest.raises(ValueError, match="--overfit-batch"):
        resume(uninterrupted(), "--overfit-batch")


def test_what_is_no_run_is_refused(resume, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run to go on with"):
        resume(tmp_path)
    (tmp_path / checkpoint.FILE).write_bytes(b"something else")
    with pytest.raises(ValueError, match=checkpoint.FILE):
        resume(tmp_path)


def test_a_state_that_was_cut_short_or_is_another_file_is_named(resume, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted(), tmp_path / "run")
    path = tmp_path / "run" / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{checkpoint.FILE}: the file was cut short"):
        resume(tmp_path / "run")
    shutil.copy(tmp_path / "run" / "model.safetensors", path)
    with pytest.raises(ValueError, match=rf"{checkpoint.FILE}: this is no training state of minibert"):
        resume(tmp_path / "run")


# The disk.

def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_from_the_start_is_found_before_the_first_step(train, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    act_after(monkeypatch, 1, lambda: pytest.fail("trained for nothing"))
    with pytest.raises(OSError, match=rf"{checkpoint.FILE} could not be written: .*[Nn]o space"):
        train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["metrics.csv", "training_state.safetensors", "config.json", "vocab.txt", "model.safetensors"])
def test_a_disk_that_fills_up_while_saving(train, resume, uninterrupted, tmp_path, monkeypatch, name):
    """A clear error, the old state whole, and with room on the disk the run goes on as if nothing had been."""
    run = tmp_path / "run"
    replace = os.replace
    with monkeypatch.context() as patch:
        act_after(patch, 12, lambda: patch.setattr(
            os, "replace", lambda old, new: full() if str(new).endswith(name) else replace(old, new)))
        with pytest.raises(OSError, match=rf"{name} could not be written: .*nothing was lost") as error:
            train(run, *OPTIONS["pairs"])
    assert error.value.errno == errno.ENOSPC
    assert step_of(run) == (6 if name in ("metrics.csv", "training_state.safetensors") else 12)
    assert names(run) == FILES  # no half-written files
    assert pretrained.load(run).notes == []
    assert resume(run) == 0
    assert_same_run(run, uninterrupted())


class Killer:
    """Ends the process at the n-th moment at which a file is written, synced or renamed; counts them where n is None."""

    def __init__(self, n=None):
        self.n, self.seen = n, 0
        for name in ("fsync", "replace"):
            setattr(os, name, self.deadly(getattr(os, name)))
        files.open = self.open

    def deadly(self, function):
        def call(*args, **kwargs):
            self.tick()
            result = function(*args, **kwargs)
            self.tick()
            return result
        return call

    def tick(self):
        if self.seen == self.n:
            os._exit(9)
        self.seen += 1

    def open(self, *args, **kwargs):
        file = open(*args, **kwargs)
        killer = self

        class File:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

            def fileno(self):
                return file.fileno()

            def write(self, data):
                killer.tick()
                view = memoryview(data).cast("B")
                file.write(view[: len(view) // 2])  # half of it may have reached the disk
                file.flush()
                killer.tick()
                return file.write(view[len(view) // 2:])

        return File()


def killed_while_saving(folder, state, n):
    """Save ``state`` in a process that is killed at moment ``n``; the number of moments where n is None."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            killer = Killer(n)
            checkpoint.save(folder, state)
            pretrained.save(folder, state.config, state.parameters, state.tokenizer)
            os.write(writing, str(killer.seen).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading, encoding="ascii") as pipe:
        said = pipe.read()
    return int(said) if said else None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be copied")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_at_any_moment_of_saving(train, resume, uninterrupted, tmp_path, monkeypatch):
    older, newer = tmp_path / "older", tmp_path / "newer"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        assert train(older, *OPTIONS["pairs"]) == 130
    shutil.copytree(older, newer)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        assert resume(newer) == 130
    state = checkpoint.load(newer)
    weights = {4: slabs(older), 8: slabs(newer)}

    moments = killed_while_saving(shutil.copytree(older, tmp_path / "dry run"), state, None)
    assert moments > 40
    found = []
    for n in range(moments):
        run = shutil.copytree(older, tmp_path / f"{n}")
        assert killed_while_saving(run, state, n) is None
        step = step_of(run)
        assert slabs(run) == weights[step]  # consistent in itself
        exported = pretrained.load(run).parameters.flat.tobytes()
        assert exported in (weights[4][0], weights[step][0])
        found.append((step, exported == weights[8][0]))
    assert found == sorted(found)  # first the state turns, then the export
    assert found[0] == (4, False)
    assert found[-1] == (8, True)

    for n in (0, found.index((8, False)) - 1, found.index((8, False)), found.index((8, True)) - 1):
        run = tmp_path / f"{n}"
        assert resume(run) == 0
        assert names(run) == FINISHED  # what the kill had left behind is gone
        assert_same_run(run, uninterrupted())


def test_a_kill_in_the_middle_of_a_step(train, resume, uninterrupted, tmp_path, monkeypatch):
    """Between two saves: the run goes on from the last one."""
    class Killed(BaseException):
        pass

    def die():
        raise Killed

    with monkeypatch.context() as patch:
        act_after(patch, 11, die)
        with pytest.raises(Killed):
            train(tmp_path / "run", *OPTIONS["pairs"])
    assert step_of(tmp_path / "run") == 6
    assert resume(tmp_path / "run") == 0
    assert_same_run(tmp_path / "run", uninterrupted())


def test_the_state_file_alone_suffices(train, resume, uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 7)
        assert train(tmp_path / "run", *OPTIONS["pairs"]) == 130
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "run" / checkpoint.FILE, tmp_path / "alone")
    assert resume(tmp_path / "alone") == 0
    assert_same_run(tmp_path / "alone", uninterrupted())


def test_a_signal_handler_of_the_caller_comes_back(train, tmp_path, monkeypatch):
    seen = []
    old = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        ours = signal.getsignal(signal.SIGINT)
        interrupt_after(monkeypatch, 1)
        assert train(tmp_path / "run") == 130
        assert signal.getsignal(signal.SIGINT) is ours
        assert not seen
    finally:
        signal.signal(signal.SIGINT, old)


def test_training_outside_the_main_thread(train, tmp_path):
    """Signals belong to the main thread; elsewhere there is nothing to catch, and training works all the same."""
    import threading

    codes = []
    thread = threading.Thread(target=lambda: codes.append(train(tmp_path / "run", "--steps", 2)))
    thread.start()
    thread.join()
    assert codes == [0]


# What is left of a run that ended somewhere in between.


def test_files_of_a_user_in_a_run_stay(resume, uninterrupted, tmp_path):
    run = shutil.copytree(uninterrupted(), tmp_path / "run")
    for name in (".my-notes.tmp.md", ".loss.77.tmp.png"):
        (run / name).write_text("mine", encoding="utf-8")
    (run / ".model.minibert-0123abcd.tmp.safetensors").write_bytes(b"half")
    assert resume(run) == 0
    assert names(run) == FINISHED | {".my-notes.tmp.md", ".loss.77.tmp.png"}


def test_a_run_of_fine_tuning_is_told(resume, tmp_path):
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="holds a fine-tuning run, which goes on with: minibert finetune --resume"):
        resume(tmp_path)


def test_a_run_that_ended_before_anything_was_saved_says_so_everywhere(train, resume, tmp_path):
    """Neither message sends the user to the other."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.txt").write_text("device: CPU\n", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"exists already; choose another --out, or delete it: a run ended there before"):
        train(run)
    with pytest.raises(FileNotFoundError, match=r"no run to go on with .* \(it ended before anything was saved: begin it anew\)"):
        resume(run)
    (run / "log.txt").rename(run / "notes.txt")
    with pytest.raises(FileExistsError, match=r"exists already; choose another --out$"):
        train(run)
    (run / "notes.txt").unlink()
    assert train(run, "--steps", 2) == 0  # an empty folder will do


def test_a_finished_run_on_a_read_only_disk_says_that_it_is_finished(resume, uninterrupted, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(command, "log_to", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    assert resume(uninterrupted()) == 0
    assert "is complete" in capsys.readouterr().out


STATE = {"settings": {"steps": 12, "corpus": ["x"]}, "config": {}, "vocabulary": SPECIAL, "cased": False,
         "corpus_sha256": "", "progress": {"step": 1, "total": 2}}


@pytest.mark.parametrize(("changes", "said"), [
    ({"config": [1]}, "AttributeError"), ({"config": {"hidden_size": 10**30}}, "hidden_size must be below"),
    ({"progress": {"step": "x"}}, "step must be a whole number"), ({"progress": {"loss_scale": ["x"]}}, "must be numbers"),
    ({"progress": [1]}, "AttributeError"), ({"settings": {"steps": 10**30, "corpus": []}}, "--steps must be at most"),
    ({"settings": {"beauty": 1, "corpus": []}}, "beauty"), ({"vocabulary": None}, "TypeError"),
    ({"vocabulary": [*SPECIAL, 1]}, "AttributeError"), ({"vocabulary": ["a"]}, "its vocabulary has none of the special tokens"),
])
def test_a_state_of_odd_values_is_named(tmp_path, changes, said):
    tensors.write(tmp_path / checkpoint.FILE, {}, {"state": json.dumps(STATE | changes)})
    with pytest.raises(ValueError, match=rf"{checkpoint.FILE}: this is no training state of minibert.*{said}"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("state", ["[" * 10_000, "[]", "{", '{"config": 1, "config": 2}'])
def test_a_state_that_is_no_object_is_named(tmp_path, state):
    tensors.write(tmp_path / checkpoint.FILE, {}, {"state": state})
    with pytest.raises(ValueError, match=rf"{checkpoint.FILE}: this is no training state of minibert"):
        checkpoint.load(tmp_path)


def test_figures_are_read_by_the_names_of_their_columns(uninterrupted, tmp_path):
    path = tmp_path / "metrics.csv"
    head, *lines = (uninterrupted() / "metrics.csv").read_text(encoding="utf-8").splitlines()
    rows = read_rows(uninterrupted() / "metrics.csv")
    turned = [",".join(["note", *reversed(line.split(","))]) for line in (head, *lines)]
    for text in ("\n".join([head, *lines, "", ""]), "\r\n".join([head, "", *lines]), "\ufeff" + "\n".join(turned),
                 "\n".join([f"{head},remark", *(f"{line},{'x' * 200_000}" for line in lines)])):
        path.write_text(text, encoding="utf-8", newline="")
        assert read_rows(path) == rows
    assert read_rows(tmp_path / "nowhere.csv") == []


@pytest.mark.parametrize(("text", "said"), [
    ("", "has no column step, seconds"), ("step,tokens\n1,2\n", "has no column seconds"),
    ("{head},step\n", "has the column step twice"),
    ("{head}\n1,2,3,x,5,6,7,\n", "line 2: these are not the figures of a run .*'x'"),
    ("{head}\n1,2,3,4,5,6,7,\n2,2\n", "line 3: these are not the figures of a run .*seconds, .*: missing"),
    ("{head}\n1,2,3,4,,6,7,\n", "line 2: "), ("{head}\n" + "9" * 5000 + ",2,3,4,5,6,7,\n", "line 2: ")])
def test_what_is_no_table_of_figures_is_named(tmp_path, text, said):
    path = tmp_path / "metrics.csv"
    head = "step,tokens,seconds,learning_rate,gradient_norm,mlm_loss,mlm_accuracy,nsp_loss"
    path.write_text(text.replace("{head}", head), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"metrics\.csv.*{said}"):
        read_rows(path)
