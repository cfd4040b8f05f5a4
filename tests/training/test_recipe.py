"""Recipes: what a file may say, in which sizes it runs, and that each that comes with the package does run."""

from pathlib import Path

import pytest

from minibert import pretrained
from minibert.model import bert
from minibert.pretrained import folder
from minibert.tasks import batches
from minibert.training import checkpoint, command, recipe, scale
from minibert.training.adamw import learning_rate
from minibert.training.loop import read_rows
from minibert.training.options import PUBLISHED, RECIPES, settings_of
from minibert.training.stages import parts
from tests.training.conftest import SMALL, arguments
from tests.training.runs import assert_same_run, interrupt_after, slabs

ROOT = Path(__file__).parents[2]
TWO = """
[options]
learning_rate = 0.001
[[stage]]
steps = 6
max_length = 16
[[stage.task]]
weight = 2
pairs = "next"
[[stage.task]]
next_sentence = false
whole_word = true
[[stage]]
steps = 6
"""
ASKED = {"bert": ("mlm", "nsp"), "roberta": ("mlm",), "albert": ("mlm", "nsp"), "electra": ("mlm", "replaced"),
         "ernie-2.0": ("mlm", "capitalisation", "token_document", "reorder", "distance"),
         "structbert": ("mlm", "three_ways", "trigrams"), "nvidia": ("mlm", "nsp"), "fast": ("mlm", "nsp")}
OWN = """
[[stage]]
steps = 8
learning_rate = 0.004
warmup = 0.5
[[stage]]
steps = 4
learning_rate = 0.001
warmup = 0.0
"""


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def asked(*argv):
    """The settings and the lines of a command line."""
    return scale.told(arguments(*argv))


def test_the_recipes_are_the_files_of_the_package():
    assert sorted(RECIPES) == sorted(path.stem for path in recipe.FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_in_its_own_sizes_is_as_it_is_written(name):
    found = recipe.read(name)
    assert all((found.title, found.source, found.figures, found.preset))
    settings, _ = asked("--recipe", name)
    assert (settings.preset, settings.steps, settings.batch_size, settings.max_length) == ("tiny", 7500, 16, 64)
    _, sizes = scale._sizes(found, {}), scale._sizes(found, {})[0]
    published, _ = asked("--recipe", name, "--preset", sizes.preset, "--steps", sizes.steps, "--batch-size", sizes.batch_size,
                         "--max-length", sizes.max_length)
    total = sum(stage["steps"] for stage in found.stages)
    for stage, part in zip(found.stages, parts(published), strict=True):
        assert part.share * published.steps == pytest.approx(stage["steps"], abs=1e-6)
        assert {task.max_length for task in part.tasks} == {stage["max_length"]}
        assert {task.batch_size for task in part.tasks} == {stage["batch_size"]}
        rates = stage.get("learning_rate"), part.course and part.course.learning_rate
        assert rates[0] == rates[1]
    assert published.learning_rate == found.options.get("learning_rate", published.learning_rate)
    assert sum(part.share for part in parts(published)) == pytest.approx(1)
    assert total == published.steps


def test_the_fast_recipe_is_as_it_is_written_and_its_batches_go_together():
    settings, lines = asked("--recipe", "fast")
    assert not [line for line in lines if line.startswith("learning rates:")]
    assert (settings.mask_rate, settings.optimiser, settings.preset) == ((0.4,), "muon", "tiny")
    assert [[task.next_sentence for task in part.tasks] for part in parts(settings)] == [[False], [False], [True]]
    for batch in (settings.batch_size, 8):
        settings, _ = asked("--recipe", "fast", "--batch-size", batch)
        assert [task.batch_size for part in parts(settings) for task in part.tasks] == [4 * batch, batch, batch]


def test_a_run_of_which_nothing_is_said_is_fast():
    for said in ((), ("--steps", 1650, "--lanes", 2), ("--minutes", 5, "--seed", 1)):
        assert asked(*said)[0].recipe == "fast"
        assert asked(*said) == asked("--recipe", "fast", *said)


@pytest.mark.parametrize("said", [
    ("--recipe", "none"), ("--corpus", "x"), ("--vocab-size", 100), ("--preset", "mini"), ("--family", "albert"), ("--init", "x"),
    ("--batch-size", 8), ("--short-first", 0.1), ("--pairs", "order"), ("--no-next-sentence",), ("--optimiser", "lamb"),
    ("--learning-rate", 0.1)])
def test_whoever_says_more_has_the_defaults_of_the_options(said):
    settings, lines = asked(*said)
    assert (settings.recipe, settings.stages) == (None, ())
    other = said[0] in ("--recipe", "--corpus", "--vocab-size", "--preset", "--family", "--init")
    assert lines == ([] if other else [f"No recipe, as {said[0]} is given: all else is as the options' defaults say"])
    assert settings == settings_of(arguments(*said if said[0] != "--recipe" else ()))


def test_a_profile_takes_a_few_steps_and_not_the_recipes(corpus, monkeypatch):
    counts = []
    monkeypatch.setattr(command, "profiled", lambda *of: counts.append(of[-1]))
    for more in ((), ("--steps", 3)):
        command.run(arguments("--recipe", "fast", "--corpus", corpus, *SMALL, "--vocab-size", 120, "--profile", *more))
    assert counts == [None, 3]


def test_what_the_command_line_says_is_looked_at_with_the_recipe(tmp_path):
    schedule = written(tmp_path, "[options]\nschedule = 'polynomial'\n")
    assert asked("--recipe", schedule, "--power", 2)[0].power == 2
    with pytest.raises(FileNotFoundError, match="there is no file "):
        asked("--recipe", "")


def test_the_steps_of_so_many_minutes_are_not_known_yet():
    settings, lines = asked("--minutes", 5)
    assert "this run:      tiny, as many steps as fit into 5 minutes, each of 32 sequences of up to 64 tokens" in lines
    assert settings.learning_rate == 4e-3
    assert "learning rates: as for 1,650 steps, whatever fits into the time" in lines


@pytest.mark.parametrize("name", ["fast", "bert"])
def test_a_run_of_no_steps_is_refused_by_any_recipe(name):
    with pytest.raises(ValueError, match="--steps must be at least 1, got 0"):
        asked("--recipe", name, "--steps", 0)


def test_sizes_change_lengths_batches_and_rates_in_proportion():
    settings, lines = asked("--recipe", "bert", "--preset", "mini", "--steps", 2000, "--batch-size", 64, "--max-length", 128)
    short, long = parts(settings)
    assert [task.max_length for task in (*short.tasks, *long.tasks)] == [32, 128]
    assert [task.batch_size for task in (*short.tasks, *long.tasks)] == [64, 64]
    assert (short.share, long.share) == (0.9, 0.1)
    expected = 1e-4 * (64 * 128 / (256 * 512)) ** 0.5 * (1_000_000 / 2000) ** 0.5 * 768 / 256
    assert settings.learning_rate == pytest.approx(expected, rel=5e-3)
    assert settings.warmup == 0.01  # a share of the steps, whatever their number
    assert "learning rates: times 0.25 for tokens a step · 22.4 for steps · 3 for width" in lines


def test_tasks_that_an_option_makes_alike_are_one(tmp_path):
    text = "[[stage]]\nsteps = 5\n[[stage.task]]\nweight = 3\nnext_sentence = false\n[[stage.task]]\npairs = 'next'\n"
    settings, lines = asked("--recipe", written(tmp_path, text))
    assert [len(part.tasks) for part in parts(settings)] == [2]
    settings, lines = asked("--recipe", written(tmp_path, text), "--no-next-sentence")
    assert [list(part.weights) for part in parts(settings)] == [[4]]
    assert not [line for line in lines if "pairs" in line]


def test_an_option_goes_before_the_recipe(tmp_path):
    settings, _ = asked("--recipe", "bert", "--learning-rate", 3e-4, "--dropout", 0.2, "--pairs", "order")
    assert (settings.learning_rate, settings.dropout, settings.pairs) == (3e-4, 0.2, "order")
    settings, _ = asked("--recipe", "bert", "--no-next-sentence", "--minutes", 2)
    assert (settings.next_sentence, settings.pairs, settings.steps, settings.minutes) == (False, None, None, 2)
    settings, _ = asked("--recipe", "bert", "--optimiser", "adafactor")
    assert settings.bias_correction, "what the recipe says of Adam's moments is of Adam"
    settings, _ = asked("--recipe", written(tmp_path, OWN), "--learning-rate", 0.002)
    assert [part.course.learning_rate for part in parts(settings)] == [0.002, 0.0005]
    settings, _ = asked("--recipe", written(tmp_path, TWO), "--steps", 120)
    assert settings.steps == 120
    assert [part.share for part in parts(settings)] == [0.5, 0.5]


@pytest.mark.parametrize(("text", "more", "message"), [
    ("[options]\nlerning_rate = 1", (), r"mine\.toml, \[options\]: 'lerning_rate' is nothing that can be said here"),
    ("[recipes]\ntitle = 'x'", (), r"mine\.toml: 'recipes' is nothing that can be said here; what can: options, recipe, stage"),
    ("[[stage]]\nmax_length = 8", (), r"mine\.toml, stage 1: how long it is must be said once, as steps or .*, got neither"),
    ("[[stage]]\nsteps = 8\nshare = 0.5", (), "stage 1: how long it is must be said once.*, got steps and share"),
    ("[[stage]]\nsteps = 0", (), "stage 1: steps must be a whole number above 0, got 0"),
    ("[[stage]]\nsteps = 1.5", (), r"stage 1: steps must be a whole number above 0, got 1\.5"),
    ("[[stage]]\nshare = 0.5", (), r"the shares of the stages must add up to 1, got 0\.5"),
    ("[[stage]]\nsteps = 5\n[[stage]]\nshare = 0.5", (), "every stage must say how long it is .*: with steps are stages 1 of 2"),
    ("[[stage]]\nsteps = 5\n[[stage]]\nsteps = 5\nlearning_rate = 1e-3", (), "with learning_rate are stages 2 of 2"),
    ("[[stage]]\nsteps = 5\nwarmup = 0.2", (), "stage 1: warmup is of a schedule of its own, which needs a learning_rate"),
    ("[[stage]]\nsteps = 5\n[[stage.task]]\nweight = 0", (), "stage 1, task 1: weight must be a number above 0, got 0"),
    ("[[stage]]\nsteps = 5\n[[stage.task]]\nweight = nan", (), "stage 1, task 1: weight must be a number above 0, got nan"),
    ("[[stage]]\nsteps = 5\n[[stage.task]]\nvocab_size = 9", (), "task 1: 'vocab_size' is nothing that can be said here"),
    ("[[stage]]\nsteps = 5\n[stage.task]\nweight = 1", (), "stage 1: task must be tables, each under a line with two brackets"),
    ("[[stage]]\nsteps = 5\npairs = 'both'", (), "stage 1: argument --pairs: invalid choice: 'both'"),
    ("[[stage]]\nsteps = 5\nmax_length = 'long'", (), "stage 1: argument --max-length: invalid int value: 'long'"),
    ("[[stage]]\nsteps = 5\nmax_length = 4", (), r"mine\.toml, stage 1: --max-length must be at least 5.*, got 4"),
    ("[[stage]]\nsteps = 5\nwhole_word = 1", (), "stage 1: whole_word must be true or false, got 1"),
    ("[[stage]]\nsteps = 5\nrecompute = true", (), "stage 1: 'recompute' is nothing that can be said here"),
    ("[options]\nshort_first = 0.1\n[[stage]]\nsteps = 5", (), "short_first asks for a stage, and this recipe has its own"),
    ("[options]\nseed = -1", (), r"mine\.toml, \[options\]: --seed must be a whole number from 0"),
    ("[options", (), r"mine\.toml: this is no TOML: "),
    ("recipe = 5", (), r"mine\.toml, \[recipe\] must be a table, got 5"),
    ("stage = 5", (), r"mine\.toml: stage must be tables, each under a line with two brackets, got 5"),
    (TWO, ("--short-first", 0.1), "--short-first asks for a stage, and the recipe has its own: leave it out"),
    (TWO + "pairs = 'order'\n", ("--pairs", "next"), "--pairs: its stages differ in that: leave it out, or write a recipe"),
])
def test_what_no_recipe_can_say_is_told_with_file_and_table(tmp_path, text, more, message):
    with pytest.raises(ValueError, match=message) as raised:
        asked("--recipe", written(tmp_path, text), *more)
    assert "\n" not in str(raised.value)


def test_an_option_may_be_several_numbers(tmp_path):
    settings, lines = asked("--recipe", written(tmp_path, "[options]\nmask_rate = [0.3, 0.15]\n"))
    assert settings.mask_rate == (0.3, 0.15)
    assert "options: mask_rate 0.3 0.15" in lines


def test_what_no_model_answers_is_refused_before_anything_is_made(train, tmp_path):
    both = TWO + "pairs = 'order'\n"
    with pytest.raises(ValueError, match=r"one head answers pairs next and pairs order, .*, or for order-apart"):
        train(tmp_path / "run", "--recipe", written(tmp_path, both))
    with pytest.raises(ValueError, match="--pairs: a model of RoBERTa has no head that judges pairs"):
        train(tmp_path / "run", "--recipe", written(tmp_path, TWO), "--family", "roberta")
    assert not (tmp_path / "run").exists()


def test_next_and_order_in_one_recipe_have_a_head_each(train, tmp_path):
    both = "[[stage]]\nsteps = 6\n[[stage.task]]\npairs = 'next'\n[[stage.task]]\npairs = 'order-apart'\n"
    assert train(tmp_path / "run", "--recipe", written(tmp_path, both), "--steps", 6) == 0
    found = dict(checkpoint.load(tmp_path / "run").parameters.items())
    assert found["cls.seq_relationship.weight"].shape == found["cls.order.weight"].shape
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    asked_for = [(row["nsp_loss"] is not None, row["order_loss"] is not None) for row in rows]
    assert {*asked_for} == {(True, False), (False, True)}
    assert {*folder.read_further(tmp_path / "run")} == {"cls.order.weight", "cls.order.bias"}


def test_the_combined_step_is_one_backward_pass(train, tmp_path, monkeypatch):
    """Three terms of the loss, and the body is walked back once a micro-batch."""
    walked, cut = [], []
    backward, whole = bert.backward, batches.micro_batches
    monkeypatch.setattr(bert, "backward", lambda *args, **options: (walked.append(1), backward(*args, **options))[1])
    monkeypatch.setattr(batches, "micro_batches", lambda *args, **options: (cut.append(len(x := whole(*args, **options))), x)[1])
    assert train(tmp_path / "run", "--pairs", "three-ways", "--words", "trigrams", "--short-first", 0) == 0
    assert len(walked) == sum(cut[-12:])
    row = read_rows(tmp_path / "run" / "metrics.csv")[-1]
    assert None not in (row["mlm_loss"], row["three_ways_loss"], row["trigrams_loss"])


def test_the_recipe_of_the_readme(train, tmp_path):
    [text] = (ROOT / "README.md").read_text(encoding="utf-8").split("```toml")[1:]
    assert train(tmp_path / "run", "--recipe", written(tmp_path, text.split("```")[0]), "--steps", 8) == 0
    first, last = parts(checkpoint.load(tmp_path / "run").settings)
    assert (first.share, last.share, last.weights) == (0.75, 0.25, [1.0, 2.0])


def test_a_recipe_that_there_is_not():
    with pytest.raises(FileNotFoundError, match="there is no file bart, and the recipes that come with minibert are bert, r"):
        asked("--recipe", "bart")


def test_a_description_trains_nothing(tmp_path, capsys):
    assert command.run(arguments("--recipe", written(tmp_path, TWO), "--describe", "--out", tmp_path / "run")) == 0
    said = capsys.readouterr().out
    assert "stage 1: 6 steps, max_length 16\n  67% of its steps: pairs next\n  33% of its steps: next_sentence False" in said
    assert not (tmp_path / "run").exists()
    assert command.run(arguments("--describe")) == 0
    assert "Recipe Fast" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--describe shows what a recipe would do, and this run has none: give --recipe"):
        command.run(arguments("--describe", "--recipe", "none"))


def test_a_stage_with_a_rate_of_its_own_has_a_warm_up_and_a_decay_of_its_own(train, tmp_path):
    assert train(tmp_path / "run", "--recipe", written(tmp_path, OWN), "--learning-rate", 0.004) == 0
    rows = [line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()]
    rates = [float(row[rows[0].index("learning_rate")]) for row in rows[1:]]
    assert rates == pytest.approx([learning_rate(i, 0.004, 4, 8) for i in range(1, 9)]
                                  + [learning_rate(i, 0.001, 0, 4) for i in range(1, 5)], rel=1e-5)


@pytest.mark.parametrize("text", [TWO, OWN], ids=["tasks", "schedules"])
@pytest.mark.parametrize("points", [(2,), (6,), (8,), (9, 11)], ids=str)
def test_a_run_of_several_stages_and_tasks_goes_on_bit_for_bit(text, points, train, resume, tmp_path, monkeypatch):
    more = ("--recipe", written(tmp_path, text), "--learning-rate", 0.004)
    assert train(tmp_path / "straight", *more) == 0
    go_on = lambda: train(tmp_path / "broken", *more)  # noqa: E731 - the first time
    for point in points:
        with monkeypatch.context() as patch:
            interrupt_after(patch, point)
            assert go_on() == 130
        go_on = lambda: resume(tmp_path / "broken")  # noqa: E731
    assert go_on() == 0
    assert_same_run(tmp_path / "broken", tmp_path / "straight")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_the_package_runs_and_goes_on(name, corpus, resume, tmp_path, monkeypatch):
    small, vocabulary = SMALL[:SMALL.index("--learning-rate")], 300 if name == "roberta" else 150

    def go(out):
        return command.run(arguments("--recipe", name, "--corpus", corpus, *small, "--vocab-size", vocabulary, "--steps", 10,
                                     "--out", out))
    assert go(tmp_path / "straight") == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 7)
        assert go(tmp_path / "broken") == 130
    assert resume(tmp_path / "broken") == 0
    assert slabs(tmp_path / "broken") == slabs(tmp_path / "straight")
    for place in ("generator", "discriminator") if name == "electra" else ("",):
        ours, theirs = (pretrained.load(tmp_path / run / place) for run in ("broken", "straight"))
        assert ours.parameters.flat.tobytes() == theirs.parameters.flat.tobytes()
        assert not [note for note in ours.notes if not note.startswith("heads.safetensors holds heads of pre-training")]
    row = read_rows(tmp_path / "straight" / "metrics.csv")[-1]
    asked = {name[len("held_out_"):-len("_loss")] for name, value in row.items()
             if name.startswith("held_out_") and name.endswith("_loss") and value is not None}
    assert asked == {*ASKED[name]}
