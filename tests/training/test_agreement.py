"""What stands in two places and must agree."""

import shlex
from dataclasses import fields

import pytest

from minibert.commands import train
from minibert.config import PRESETS
from minibert.layers import cross_entropy
from minibert.tasks import examples
from minibert.tasks.batches import micro_batches
from minibert.training import command, course, options
from tests.model.examples import small_config
from tests.training.conftest import arguments
from tests.training.examples import engine, masked_examples


def actions():
    parser = options.argparse.ArgumentParser()
    options.add_arguments(parser)
    return {action.dest: action for action in parser._actions}


def test_ignored_labels():
    assert examples.IGNORE == cross_entropy.IGNORE < 0


def test_every_setting_is_an_option_whose_default_is_said_in_its_help():
    found = actions()
    for field in fields(options.Settings):
        if field.name == "stages":  # what recipes say
            continue
        assert field.name in found
        action = found[field.name]
        assert action.default == options.argparse.SUPPRESS
        if field.default not in (None, ()) and action.nargs != 0:
            shown = " ".join(field.default) if isinstance(field.default, tuple) else field.default
            assert f"(default: {shown})" in action.help, field.name
        assert action.help
    assert options.settings_of(arguments()) == options.Settings()


def test_switches_do_what_their_names_say():
    for name, action in actions().items():
        if name in options.OPTIONS.names and action.nargs == 0:
            [switch] = action.option_strings
            settings = options.settings_of(arguments(switch))
            assert getattr(settings, name) is (not switch.startswith("--no-")) is not getattr(options.Settings(), name)
            with pytest.raises(ValueError, match=rf"so {switch} cannot be given as well"):
                course.alone(options.OPTIONS, arguments(switch))


def test_presets_and_examples():
    found = actions()
    assert tuple(found["preset"].choices) == tuple(PRESETS)
    for name, preset in PRESETS.items():
        assert f"{name} {'/'.join(map(str, preset))}" in found["preset"].help
    lines = [line.split("minibert train")[1] for line in train.EXAMPLES.split("\n") if "minibert train" in line]
    assert len(lines) >= 3
    for line in lines:
        arguments(*shlex.split(line))


def test_a_twelfth_of_the_run_is_what_the_help_says():
    assert command.EVALUATIONS == 12
    assert "a twelfth of the run" in actions()["eval_every"].help


def test_what_rests_without_pairs_is_what_only_pairs_reach():
    """What the model says that rests: these tensors, and no others, get no gradient from masked words."""
    config = small_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    with engine(config) as e:
        e.accumulate(micro_batches(masked_examples(config, pairs=False), 1000))
        unreached = {name for name, g in e.gradients[0].items() if not g.any() and not name.endswith("key.bias")}
        resting = {slot.name for slot in e.parameters.layout.slots.values() for run in e.table(frozenset({"mlm"}))
                   if not run.active and run.start <= slot.start < run.stop}
    assert unreached == resting
