"""The loop alone, and what pre-training and fine-tuning have in common through it."""

import json

import numpy as np
import pytest

from minibert import pretrained
from minibert.pretrained import tensors
from minibert.tasks.batches import micro_batches
from minibert.training import checkpoint, command, loop
from minibert.training.adamw import AdamW, learning_rate
from minibert.training.checkpoint import FILE
from minibert.training.course import Course
from minibert.training.loop import Loop, Progress, Stage, Task, draw, read_rows
from tests.training.conftest import arguments
from tests.training.examples import engine, masked_examples
from tests.training.runs import interrupt_after, slabs


class Counted:
    """A task that notes from where it was read, two examples at a time."""

    def __init__(self, config, seed):
        self.examples, self.read = masked_examples(config, seed=seed), []

    def task(self):
        return Task(self.batch, lambda examples: micro_batches(examples, 1000))

    def batch(self, position):
        self.read.append(tuple(position[:2]))
        epoch, index = position[:2]
        return self.examples[index:index + 2], type(position)(epoch, index + 2)


def run(e, stages, tmp_path, looks=None, **options):
    """A run of six steps; its loop. ``looks``: what the looks find, one after another."""
    course = Course(learning_rate=1e-3, micro_batch_tokens=1000, **options)
    found = iter(looks or [])
    kept = []
    the_loop = Loop(e, stages, course, Progress(total=6), tmp_path / "metrics.csv", every=lambda total: 1 if looks else total,
                    look=lambda: {"held_out_loss": next(found, 9.0)},
                    worth=(lambda look: -look["held_out_loss"]) if looks else None,
                    keep=lambda: kept.append(the_loop.progress.step), save=lambda progress: None, line=lambda loop: "",
                    say=lambda line: None)
    assert the_loop.run()
    return the_loop, kept


def test_stages_follow_one_another_and_each_begins_at_its_beginning(tmp_path):
    with engine() as e:
        first, second = (Counted(e.config, seed) for seed in (0, 1))
        run(e, [Stage([first.task()], 1 / 3), Stage([second.task()])], tmp_path)
    assert first.read == [(0, 0), (0, 2)]
    assert second.read == [(0, 0), (0, 2), (0, 4), (0, 6)]


def test_a_stage_draws_its_tasks_by_their_weights_and_each_keeps_its_place(tmp_path):
    with engine() as e:
        tasks = [Counted(e.config, seed) for seed in (0, 1)]
        run(e, [Stage([task.task() for task in tasks], weights=(1, 2))], tmp_path)
    assert sum(len(task.read) for task in tasks) == 6
    for task in tasks:
        assert task.read == [(0, 2 * i) for i in range(len(task.read))]
    drawn = np.array([draw((1, 2), 0, step) for step in range(3000)])
    assert abs(drawn.mean() - 2 / 3) < 0.03
    assert drawn.tolist() == [draw((1, 2), 0, step) for step in range(3000)]


def test_a_task_of_two_stages_goes_on_in_its_text(tmp_path):
    with engine() as e:
        both, other = (Counted(e.config, seed) for seed in (0, 1))
        task = both.task()
        run(e, [Stage([task], 1 / 3), Stage([other.task(), task], weights=(1, 1))], tmp_path)
    assert both.read == [(0, 2 * i) for i in range(len(both.read))]
    assert len(both.read) > 2
    assert other.read == [(0, 2 * i) for i in range(len(other.read))]


def test_a_task_is_told_what_share_of_the_run_is_done(tmp_path):
    told = []
    with engine() as e:
        task = Counted(e.config, 0).task()
        run(e, [Stage([task], 1 / 3), Stage([task._replace(at=told.append)])], tmp_path)
    assert told == [2 / 6, 3 / 6, 4 / 6, 5 / 6]


def test_a_schedule_of_its_own_begins_anew_and_so_does_the_count_of_adam(tmp_path):
    with engine() as e:
        task = Counted(e.config, 0).task()
        own = [Course(learning_rate=rate, warmup=warmup) for rate, warmup in ((1e-2, 0.5), (1e-3, 0.0))]
        done, _ = run(e, [Stage([task], 2 / 3, course=own[0]), Stage([task], course=own[1])], tmp_path)
        assert (e.step, e.origin) == (6, 4)
        expected = [learning_rate(i, 1e-2, 2, 4) for i in (1, 2, 3, 4)] + [learning_rate(i, 1e-3, 0, 2) for i in (1, 2)]
        assert [done.learning_rate(step) for step in range(1, 7)] == expected


def test_full_moments_that_are_corrected_as_new_ones_move_weights_by_a_third():
    """(1 / (1 - β₁)) / √(1 / (1 - β₂)) = 10 / √1000, as at the beginning of NVIDIA's second phase."""
    moved = []
    for restarts in (False, True):
        with engine(clip_norm=None, optimiser=AdamW(weight_decay=0.0)) as e:
            e.step = 10**6
            e.kept["m"].flat[:], e.kept["v"].flat[:] = 1e-2, 1e-4
            if restarts:
                e.restart()
            before = e.parameters.flat.copy()
            e.apply(1e-3)
            moved.append(before - e.parameters.flat)
    np.testing.assert_allclose(moved[1] / moved[0], 10 / 1000**0.5, rtol=1e-3)


def test_the_best_is_kept_and_patience_ends_a_run(tmp_path):
    with engine() as e:
        one = [Stage([Counted(e.config, 0).task()])]
        done, kept = run(e, one, tmp_path, [5.0, 3.0, 4.0, 2.0, 6.0, 7.0])
        assert (kept, done.progress.step, done.progress.best_step, done.progress.best) == ([1, 2, 4], 6, 4, -2.0)
        done, kept = run(e, one, tmp_path, [5.0, 3.0, 4.0, 4.5], patience=2)
    assert (kept, done.progress.step, done.progress.waited) == ([1, 2], 4, 2)


def test_a_look_that_is_not_finite_ends_a_run_before_it_is_saved(tmp_path):
    with engine() as e, pytest.raises(FloatingPointError, match="after step 2: held_out_loss is nan"):
        run(e, [Stage([Counted(e.config, 0).task()])], tmp_path, [5.0, float("nan")])


def test_freezing_and_rates_by_layer_are_for_pretraining_too(train, tmp_path):
    two = ("--layers", 2, "--steps", 4, "--eval-every", 4)
    assert train(tmp_path / "begun", *two, "--steps", 1, "--learning-rate", 1e-30) == 0
    assert train(tmp_path / "frozen", *two, "--freeze", 1) == 0
    assert train(tmp_path / "all", *two) == 0
    assert train(tmp_path / "decayed", *two, "--layer-decay", 1e-6) == 0
    start, frozen, free, decayed = (dict(pretrained.load(tmp_path / name).parameters.items())
                                    for name in ("begun", "frozen", "all", "decayed"))
    for name in ("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.output.dense.weight"):
        np.testing.assert_array_equal(frozen[name], start[name])
        assert np.abs(decayed[name] - start[name]).max() < 1e-3 * np.abs(free[name] - start[name]).max()
    learns = "bert.encoder.layer.1.output.dense.weight"
    assert not np.array_equal(frozen[learns], start[learns])
    with pytest.raises(ValueError, match="freeze must be from 0"):
        train(tmp_path / "too much", *two, "--freeze", 3)
    assert not (tmp_path / "too much").exists()


def test_the_best_look_of_a_pretraining_is_its_model(train, tmp_path, monkeypatch, capsys):
    losses = iter([3.0, 2.0, 4.0, 5.0])
    monkeypatch.setattr(command, "_worth", lambda look: -next(losses))
    best = []
    save = command.folder.save
    monkeypatch.setattr(command.folder, "save", lambda out, config, parameters, *rest, **more: (
        best.append(parameters.flat.copy()), save(out, config, parameters, *rest, **more)))
    assert train(tmp_path / "run", "--eval-every", 3, "--keep-best") == 0
    np.testing.assert_array_equal(pretrained.load(tmp_path / "run").parameters.flat, best[-1])
    assert len(best) == 3  # at the start, and at two looks
    assert checkpoint.load(tmp_path / "run").progress.best_step == 6
    assert "On held-out text, after step 6:" in capsys.readouterr().out


def test_a_pretraining_that_gets_no_better_ends_early_and_is_complete(train, resume, tmp_path, monkeypatch, capsys):
    losses = iter([3.0, 4.0, 5.0])
    monkeypatch.setattr(command, "_worth", lambda look: -next(losses))
    assert train(tmp_path / "run", "--eval-every", 3, "--patience", 1) == 0
    assert "6 steps of 12, for 1 looks were not better" in capsys.readouterr().out
    assert resume(tmp_path / "run") == 0
    assert "is complete" in capsys.readouterr().out


def test_with_as_many_lanes_the_bytes_are_the_same_for_any_number_of_threads(train, resume, tmp_path, monkeypatch):
    for threads in (1, 2):
        assert train(tmp_path / f"{threads}", "--lanes", 3, "--threads", threads) == 0
    assert slabs(tmp_path / "1") == slabs(tmp_path / "2")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 5)
        assert train(tmp_path / "other", "--lanes", 3, "--threads", 1) == 130
    assert resume(tmp_path / "other", "--threads", 4) == 0  # the number of lanes is the run's
    assert slabs(tmp_path / "other") == slabs(tmp_path / "1")


def test_a_state_from_before_stages_goes_on(train, tmp_path, monkeypatch):
    assert train(tmp_path / "straight", "--lanes", 2) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        assert train(tmp_path / "old", "--lanes", 2) == 130
    path = tmp_path / "old" / FILE
    with tensors.opened(path) as file:
        state, arrays = json.loads(file.metadata["state"]), {name: np.array(file[name]) for name in ("parameters", "m", "v")}
    now, settings = state["progress"], state["settings"]
    (epoch, index, _), = now["positions"]
    state["progress"] = {name: now[name] for name in ("step", "total", "tokens", "seconds", "loss_scale")} | {
        "epoch": epoch, "index": index}
    state["settings"] = {name: value for name, value in settings.items()
                         if name not in ("lanes", "freeze", "layer_decay", "patience", "keep_best")}
    tensors.write(path, arrays, {"state": json.dumps(state)})
    assert command.run(arguments("--resume", tmp_path / "old", "--threads", 2, "--device", "cpu")) == 0
    assert slabs(tmp_path / "old") == slabs(tmp_path / "straight")
    assert [row["step"] for row in read_rows(tmp_path / "old" / "metrics.csv")] == list(range(1, 13))


def test_names_of_figures():
    assert loop.FIGURE.fullmatch("held_out_mlm_loss")
    assert loop.FIGURE.fullmatch("dev_f1")
    assert loop.FIGURE.fullmatch("loss")
    assert not loop.FIGURE.fullmatch("note")
