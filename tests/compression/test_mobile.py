"""MobileBERT's transfer: which layer learns when, what of the teacher it is compared with, and a run that goes on bit for bit."""

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.compression import distil, mobile, options, students
from minibert.layers import feature_map
from minibert.model import pretraining
from minibert.model.model import Inputs
from minibert.pretrained import families, tensors
from minibert.tasks.batches import Batch, Position
from minibert.training.course import Course
from minibert.training.engine import Engine
from minibert.training.loop import Stage, Task, read_rows
from minibert.training.options import Settings
from minibert.training.start import config_of
from minibert.workers import Workers
from tests import tiny_model
from tests.compression.conftest import resume
from tests.model.examples import random_inputs, random_parameters, small_config
from tests.training.runs import interrupt_after

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
STATE = ("parameters", "m", "v")


def test_known_answers():
    """The student's two numbers are 0 and 2, the teacher's 1 and 5: the same direction, means 1 and 3, variances 1 and 4."""
    x, t, real = np.array([[[0.0, 2.0], [9.0, 9.0]]]), np.array([[[1.0, 5.0], [3.0, 1.0]]]), np.array([[[1], [0]]])
    for part, value in (("normalised", 0.0), ("means", 4.0), ("variances", 3.0)):
        weights = {**dict.fromkeys(("normalised", "means", "variances"), 0.0), part: 1.0}
        assert feature_map.forward(x, (t, real), **weights)[0] == pytest.approx(value, abs=1e-11)
        assert feature_map.forward(x, (t, None), 10, **weights)[0] >= value / 10
    assert feature_map.forward(x, (-t, real), 1, 1.0, 0.0, 0.0)[0] == pytest.approx(4.0)


def student(teacher_layers=4, layers=2):
    """A model that is taught, its teacher's configuration, and parameters of both."""
    of_teacher = small_config(num_hidden_layers=teacher_layers, **NO_DROPOUT)
    config = small_config(num_hidden_layers=layers, norm="no_norm", bottleneck_size=6, num_attention_heads=3, ffn_count=2,
                          attention_reads="shared", **NO_DROPOUT)
    of_teacher = of_teacher.replace(num_attention_heads=3)
    parameters, others = random_parameters(config), random_parameters(of_teacher)
    return mobile.of(pretraining.of(config), of_teacher, 0.5), of_teacher, parameters, others


def batch():
    x = random_inputs(small_config())
    return Batch(x.ids, x.token_type_ids, x.attention_mask == 1, {"mlm": x.labels, "nsp": np.zeros(len(x.ids), np.int64)},
                 np.sort(x.positions))


def test_stages_follow_one_another():
    whole, *_ = student()
    task = Task(lambda at: ([1], Position(0, at.index + 1)), lambda examples: [batch()])
    first, second, last = whole.staged([Stage([task], 0.0), Stage([task])], Course(learning_rate=0.1, schedule="constant"))
    assert (first.share, second.share, last.share) == (0.25, 0.25, 0.5)
    assert first.course.schedule == second.course.schedule == "plateau"
    assert last.course.schedule == "constant"
    assert last.tasks == [task]
    [asked] = second.tasks[0].cut([1])
    assert {*asked.targets} == {"feature_map_1", "attention_1"}
    counts = whole.counts([asked])
    assert {name for name, count in counts.items() if count} == {*asked.targets}
    assert counts["attention_1"] == 3 * counts["feature_map_1"] == 3 * asked.tokens
    assert {name for name, count in whole.counts([batch()]).items() if count} == {"mlm", "nsp", "soft"}
    assert len(mobile.of(whole.alone, student()[1], 1.0).staged([Stage([task])], Course(learning_rate=0.1))) == 2


def test_what_is_compared_with_what():
    whole, *_ = student(teacher_layers=4, layers=2)
    assert whole.asked == {"soft": "mlm", "feature_map_0": "hidden_states.2", "attention_0": "attentions.1",
                           "feature_map_1": "hidden_states.4", "attention_1": "attentions.3"}
    with pytest.raises(ValueError, match="heads are compared as they are, so num_attention_heads must be 3"):
        mobile.of(pretraining.of(small_config(num_attention_heads=2)), student()[1], 0.5)
    pruned = student()[1].replace(heads_of_layers=((0,), (1,), (0, 2), (0,)))
    with pytest.raises(ValueError, match="some heads are gone from the teacher or the student"):
        mobile.of(whole.alone, pruned, 0.5)


@pytest.mark.parametrize("layer", [0, 1])
def test_one_layer_learns_and_those_below_follow(layer):
    """Weights and moments: of the layer at three times the rate, of those below at 0.3 times, of all else not at all."""
    whole, _, parameters, of_teacher = student()
    task = Task(lambda at: ([1], at), lambda examples: [batch()])
    stage = whole.staged([Stage([task])], Course(learning_rate=0.1))[layer]
    before = dict(parameters.items())
    moved = {}

    def step(engine):
        engine.train(stage.tasks[0].cut([1]), 0.01)
        moved.update({name: view.any() for name, view in engine.kept["m"].items()})

    after = dict(trained(whole, parameters, of_teacher, step).items())
    for name, view in after.items():
        learns = any(name.startswith(f"bert.encoder.layer.{i}.") for i in range(layer + 1))
        assert (view.tobytes() != before[name].tobytes()) == learns or name.endswith("key.bias"), name
        assert moved[name] == learns or name.endswith("key.bias"), name
    bias = "bert.encoder.layer.{}.output.bottleneck.dense.bias"  # the first step of Adam is as long as the rate
    for i, times in [(layer, 3.0), *((i, 0.3) for i in range(layer))]:
        np.testing.assert_allclose(np.abs(after[bias.format(i)] - before[bias.format(i)]), 0.01 * times, rtol=1e-3)


def trained(whole, parameters, of_teacher, act):
    """The parameters after ``act`` has had the engine."""
    copy = parameters.zeros_like()
    copy.flat[...] = parameters.flat
    teacher_model = pretraining.of(student()[1])
    with Workers(1) as workers:
        engine = Engine(whole, copy, workers, clip_norm=None, teacher=whole.answers(teacher_model, of_teacher))
        act(engine)
    return copy


def test_nothing_above_the_layer_is_computed():
    whole, _, parameters, of_teacher = student()
    [asked] = whole.staged([Stage([Task(None, lambda examples: [batch()])])], Course(learning_rate=0.1))[0].tasks[0].cut([1])
    x = Inputs(asked.ids, asked.token_type_ids, asked.attention_mask, asked.targets, asked.positions)
    targets = whole.answers(pretraining.of(student()[1]), of_teacher)(x)
    out, _ = whole.forward(x._replace(targets={**x.targets, **targets}), parameters.tree)
    assert len(out.bert.attentions) == 1
    answers = distil.answers(pretraining.of(student()[1]), of_teacher, whole.asked)(x)
    for name, (there, _) in targets.items():  # what the whole teacher says
        np.testing.assert_array_equal(there, answers[name][0])


def same(a, b):
    with tensors.opened(a / "training_state.safetensors") as one, tensors.opened(b / "training_state.safetensors") as other:
        for name in STATE:
            np.testing.assert_array_equal(one[name], other[name])
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    rows, others = ([{**row, "seconds": 0} for row in read_rows(place / "metrics.csv")] for place in (a, b))
    assert rows == others


def test_a_run_goes_on_across_its_stages(words, teacher, tmp_path, monkeypatch):
    """Interrupted within the transfer and where it ends, it is the uninterrupted one, bit for bit."""
    options = ("--steps", 10, "--transfer", 0.8, "--eval-every", 5)
    assert words("mobile", tmp_path / "whole", *options) == 0
    for step in (3, 8):
        with monkeypatch.context() as patch:
            interrupt_after(patch, step)
            assert words("mobile", tmp_path / f"run-{step}", *options) == 130
        assert resume(tmp_path / f"run-{step}") == 0
        same(tmp_path / "whole", tmp_path / f"run-{step}")
    rows = read_rows(tmp_path / "whole" / "metrics.csv")
    assert [next(i for i in range(4) if row[f"feature_map_{i}_loss"] is not None) for row in rows[:8]] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(row["mlm_loss"] is None for row in rows[:8])
    assert all(row["mlm_loss"] is not None for row in rows[8:])
    small = minibert.load(tmp_path / "whole", device="cpu")
    assert (small.config.model_type, small.config.num_hidden_layers, small.config.block) == ("mobilebert", 4, "mobile")
    assert len(small.fill_mask("a [MASK] b")) > 1


def test_embeddings_and_heads_rest_while_layers_learn(words, teacher, tmp_path):
    assert words("mobile", tmp_path / "out", "--transfer", 1, "--layers", 2) == 0
    there = dict(pretrained.load(teacher, layout=pretraining.layout).parameters.items())
    for name, view in pretrained.load(tmp_path / "out", layout=pretraining.layout).parameters.items():
        assert name.startswith("bert.encoder.") or view.tobytes() == there[name].tobytes(), name


@pytest.mark.parametrize(("argv", "said"), [
    (("--train", "FILE"), "--train: a teacher's layers are compared on texts"), (("--minutes", 1), "--minutes: the layers learn"),
    (("--adversarial", "fgm"), "--adversarial: it follows the gradient"), (("--freeze", 0), "--freeze: which layers learn"),
    (("--dropout", 0.1), "the recipe mobile compares where heads look"), (("--transfer", 0), "--transfer must be a share"),
    (("--soft", 1), "--soft: only the recipe distil has")])
def test_what_cannot_be_is_refused(argv, said, words, tmp_path):
    with pytest.raises(ValueError, match=said):
        words("mobile", tmp_path / "out", *argv)
    with pytest.raises(ValueError, match="--student: only the recipe distil or mobile has"):
        words("theseus", tmp_path / "out", "--student", tmp_path)


def test_the_teacher_of_the_paper_and_its_student():
    """Blocks twice as wide inside, and a quarter as wide; whatever is no block begins as the teacher's."""
    config = config_of(Settings(family="mobilebert", preset="mini", inverted=True, vocab_size=50))
    published = families.preset("mobilebert", "teacher")
    assert (config.bottleneck_size, config.intermediate_size) == (2 * config.hidden_size, 8 * config.hidden_size)
    assert (published.bottleneck_size, published.intermediate_size) == (2 * published.hidden_size, 8 * published.hidden_size)
    for key in ("norm", "attention_reads", "ffn_count", "hidden_act", "word_window", "long_decoder"):
        assert getattr(config, key) == getattr(published, key), key
    assert config.model_type == "minibert"
    small = mobile.config_of(options.Settings(recipe="mobile", teacher="DIR"), config, 4)
    expected = families.preset("mobilebert", "mini", **{key: getattr(small, key) for key in (
        "vocab_size", "max_position_embeddings", "initializer_range", "pooler", "attention_probs_dropout_prob")})
    assert small == expected
    _, fresh = students.begun(pretraining.layout(small), pretraining.initial_parameters(config), range(4), 0.02, 0)
    assert all(name.startswith("bert.encoder.layer.") for name in fresh)
    with pytest.raises(ValueError, match="--inverted is for a family with bottlenecks"):
        config_of(Settings(inverted=True))


def test_a_student_of_other_heads_is_refused(words, tmp_path):
    config, _, tokenizer = tiny_model.make(hidden_size=24, num_attention_heads=2, num_hidden_layers=2)
    pretrained.save(tmp_path / "student", config, pretraining.initial_parameters(config, seed=4), tokenizer)
    with pytest.raises(ValueError, match="num_attention_heads must be 3, as the teacher's, got 2"):
        words("mobile", tmp_path / "out", "--student", tmp_path / "student")
