"""Learning beside the word table. The gradients themselves are compared with PyTorch's in ``tests/oracle``."""

import weakref

import numpy as np
import pytest

from minibert.finetuning import models
from minibert.model import joint, pretraining
from minibert.tasks.batches import each, micro_batches
from minibert.tasks.labelled.features import micro_batches as features_cut
from minibert.training import adversarial, course
from minibert.training.adversarial import ADVERSARIES
from minibert.training.course import Course
from minibert.training.engine import Engine
from minibert.workers import Workers
from tests import device
from tests.finetuning.test_engine import features, parameters_for
from tests.finetuning.test_engine import model as fine_tuned
from tests.model.examples import distance, random_parameters, small_config
from tests.training.examples import NO_DROPOUT, engine, gradient, masked_examples

every = pytest.mark.parametrize("kind", ADVERSARIES)


def test_the_options_name_them_all():
    assert course.ADVERSARIES == tuple(ADVERSARIES)


@every
def test_neither_cuts_nor_threads_nor_lanes_change_the_gradient(kind):
    config = small_config(**NO_DROPOUT)
    found = []
    for threads, lanes, tokens in ((1, 1, 10_000), (2, 4, 30), (3, 3, 60)):
        with engine(config, threads, lanes=lanes) as e:
            parts = micro_batches(masked_examples(config), tokens)
            adversarial.of(Course(adversarial=kind), e.model)(e, parts, e._known(parts))
            found.append(gradient(e))
    for other in found[1:]:
        assert distance(other, found[0]) < 1e-10


@every
def test_with_dropout_threads_do_not_change_a_byte(kind):
    config = small_config()
    found = set()
    for threads in (1, 2):
        with engine(config, threads, np.float32, random_parameters(config, dtype=np.float32), lanes=2,
                    adversary=adversarial.of(Course(adversarial=kind), pretraining.of(config))) as e:
            for step in range(2):
                e.train(micro_batches(masked_examples(config, seed=step), 30), 0.01)
            found.add(e.parameters.flat.tobytes())
    assert len(found) == 1


@every
def test_fine_tuning_learns_so_too(kind):
    config = small_config(**NO_DROPOUT)
    with Workers(2) as workers:
        e = Engine(fine_tuned("sequence", config), parameters_for("sequence", config), workers,
                   adversary=adversarial.of(Course(adversarial=kind, adversarial_norm=0.05), fine_tuned("sequence", config)))
        batches = features_cut(features("sequence", config), 40)
        losses = [float(e.train(batches, 0.003)[0].loss) for _ in range(4)]
        assert losses == sorted(losses, reverse=True)


@every
def test_a_device_does_the_same_and_nobody_waits(kind):
    config, found = small_config(**NO_DROPOUT), []
    for xp in (np, device.xp):
        with Workers(1) as workers:
            e = Engine(pretraining.of(config), random_parameters(config, dtype=np.float32).to(xp), workers,
                       adversary=adversarial.of(Course(adversarial=kind), pretraining.of(config)))
            with device.watch() as waits:
                e.train(micro_batches(masked_examples(config), 60), 0.01)
            assert set(waits) <= {"flatnonzero"}
            found.append(e.kept["m"].flat if xp is np else e.kept["m"].flat.get())
    assert distance(found[1], found[0]) < 1e-4


def test_a_divergence_is_of_classes():
    config = small_config()
    for model in (models.of(config, "number", 1), fine_tuned("labels", config), joint.of(config, joint.smaller(config))):
        with pytest.raises(ValueError, match="--adversarial virtual compares guesses among classes"):
            adversarial.of(Course(adversarial="virtual"), model)
        assert adversarial.of(Course(adversarial="fgm"), model) is not None


@pytest.mark.parametrize(("options", "said"), [
    ({"adversarial": "pgd"}, "--adversarial must be one of fgm, fgm-only, virtual"),
    ({"adversarial_norm": 1.0}, "give --adversarial KIND with it"),
    ({"adversarial": "fgm", "adversarial_norm": 0.0}, "--adversarial-norm must be a finite number above 0"),
    ({"adversarial": "fgm", "freeze": 0}, "--freeze leaves it without one")])
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Course(**options)


def test_a_step_in_a_stream_of_micro_batches_is_the_step_of_one_large_batch():
    """They are made when they are asked for, one a worker at a time; the numbers are those of the list, to the last bit."""
    config = small_config(**NO_DROPOUT)
    examples, alive, most = masked_examples(config, lengths=(16, 9, 12, 7) * 16), [], []

    def counted(batch):
        alive.append(weakref.ref(batch.ids))
        most.append(sum(ref() is not None for ref in alive))
        return batch

    found = []
    for cut in (micro_batches(examples, 60), each(counted, micro_batches(examples, 60, streamed=True)),
                micro_batches(examples, 10**6)):
        with engine(config, 2, clip_norm=0.1) as e:
            metrics, norm = e.train(cut, 0.01)
            found.append((e.parameters.flat.copy(), metrics.loss, norm))
    np.testing.assert_array_equal(found[1][0], found[0][0])
    assert found[1][1:] == found[0][1:]
    assert distance(found[2][0], found[0][0]) < 1e-12
    assert max(most) <= 6 < len(micro_batches(examples, 60))
