"""What the tests of runs look at, and how they interrupt them."""

import signal

from minibert.analysis import probes
from minibert.training import checkpoint
from minibert.training.loop import Loop

FILES = {"config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors", "training_state.safetensors", "metrics.csv",
         "loss.png", "log.txt", "probes.jsonl"}
FINISHED = FILES | {"guesses.txt"}


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def slabs(folder) -> list[bytes]:
    """Weights and moments, byte for byte."""
    state = checkpoint.load(folder)
    return [slab.flat.tobytes() for slab in (state.parameters, *state.kept.values())]


def step_of(folder) -> int:
    return checkpoint.load(folder).progress.step


def assert_same_run(a, b, vocabulary="vocab.txt"):
    """The same weights, moments, exported files and place in the text."""
    assert slabs(a) == slabs(b)
    for name in ("model.safetensors", "config.json", vocabulary, "guesses.txt"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    assert_same_probes(a, b)
    ours, theirs = (checkpoint.load(folder).progress.__dict__ | {"seconds": None} for folder in (a, b))
    assert ours == theirs


def assert_same_probes(a, b):
    """The same sentences, and the same answers up to the rounding of float32 at every step that ``a`` holds, the last among them.

    A folder put together from several runs, or from the state alone, lacks what had been asked before.
    """
    (head, records), (other_head, others) = (probes.read(folder) for folder in (a, b))
    assert head == other_head
    assert records[-1]["step"] == others[-1]["step"]
    theirs_at = {record["step"]: record for record in others}
    for ours in records:
        for one, two in zip(ours["probes"], theirs_at[ours["step"]]["probes"], strict=True):
            assert abs(one["probability"] - two["probability"]) < 1e-4


def act_after(monkeypatch, step, action):
    """Call ``action`` right after a step of the loop is done; ``monkeypatch.undo`` is the caller's."""
    original = Loop._step

    def stepped(self):
        original(self)
        if self.progress.step == step:
            action()

    monkeypatch.setattr(Loop, "_step", stepped)


def interrupt_after(monkeypatch, step, times=1):
    """Ctrl-C while a step is running."""
    act_after(monkeypatch, step, lambda: [signal.raise_signal(signal.SIGINT) for _ in range(times)])
