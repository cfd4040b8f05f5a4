"""``train --family textcnn`` and what can be done with its folder."""

import json

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.cli import main
from minibert.finetuning import command as finetuning
from minibert.finetuning import saved
from minibert.layers.batch_norm import RATE
from minibert.model import pretraining
from minibert.parameters import STATISTICS
from minibert.pretrained import families
from minibert.tasks import labelled
from minibert.tasks.batches import Stream, micro_batches, whole
from minibert.tasks.corruption import one_word
from minibert.tasks.examples import IGNORE, Example
from minibert.tasks.segments.phrases import phrases
from minibert.training import command, options
from minibert.workers import Workers
from tests import tiny_model
from tests.training.conftest import arguments
from tests.training.runs import interrupt_after, slabs

SMALL = ("--family textcnn --hidden 16 --max-length 24 --vocab-size 120 --batch-size 8 --held-out 0.1 --steps 12 --eval-every 6 "
         "--learning-rate 0.01 --device cpu").split()


@pytest.fixture
def learn(corpus):
    """``learn(folder, *options)``: a new run of a TextCNN; the exit code."""
    def run(out, *more):
        return command.run(arguments("--corpus", corpus, *SMALL, "--threads", 2, "--out", out, *more))
    return run


@pytest.fixture
def trained(learn, tmp_path):
    assert learn(tmp_path / "run") == 0
    return tmp_path / "run"


def test_a_run_goes_on_where_it_was_interrupted(trained, learn, resume, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        assert learn(tmp_path / "broken") == 130
    assert resume(tmp_path / "broken") == 0
    assert slabs(trained) == slabs(tmp_path / "broken")
    assert (trained / "guesses.txt").read_bytes() == (tmp_path / "broken" / "guesses.txt").read_bytes()
    loaded = pretrained.load(trained)
    assert not loaded.notes
    assert loaded.config.model_type == "textcnn"
    fresh = pretraining.initial_parameters(loaded.config)
    assert all((view != before).any() for (name, view), (_, before) in zip(loaded.parameters.items(), fresh.items()))


def test_batches_are_whole_whatever_the_micro_batches_lanes_and_threads(learn, tmp_path):
    """The statistics of a batch would be others if it were cut: so the bytes would, too."""
    runs = {"plain": ("--lanes", 2), "cut": ("--lanes", 2, "--micro-batch-tokens", 8), "alone": ("--lanes", 2, "--threads", 1)}
    for name, more in runs.items():
        assert learn(tmp_path / name, "--accumulate", 3, *more) == 0
    assert slabs(tmp_path / "plain") == slabs(tmp_path / "cut") == slabs(tmp_path / "alone")


def test_a_step_of_several_batches_moves_the_running_statistics_to_their_mean(trained):
    found = pretrained.load(trained)
    config = found.config.replace(hidden_dropout_prob=0.0)
    model, rng = pretraining.of(config), np.random.default_rng(0)
    examples = [Example(rng.integers(5, config.vocab_size, 9), 9, IGNORE) for _ in range(6)]
    rule = one_word.rule(found.tokenizer)
    masked = [one_word.mask_example(example, rule, (0, 0, i)) for i, example in enumerate(examples)]
    batches = whole(micro_batches, 3)(masked)
    assert [len(batch.ids) for batch in batches] == [3, 3]
    name = "bert.encoder.layer.0.filters.3.BatchNorm.running_mean"
    with Workers(2) as workers:
        engine = command.engine_of(model, found.parameters.astype(np.float64), workers, options.Settings(batch_size=3))
        means = [engine_mean(model, engine.parameters, batch) for batch in batches]
        before = dict(engine.parameters.items())[name].copy()
        engine.train(batches, 1e-3)
        after = dict(engine.parameters.items())[name]
        assert all(not slab.flat.any() for slab in engine.gradients)
        assert not any(view.any() for slab in engine.kept.values() for n, view in slab.items() if n.endswith(STATISTICS))
    np.testing.assert_allclose(after, before + RATE * (np.mean(means, 0) - before), rtol=1e-12)


def engine_mean(model, parameters, batch):
    """The mean of what the first convolution over three tokens makes of a batch."""
    tables = parameters["bert"]["embeddings"]
    x = tables["word_embeddings"]["weight"][batch.ids] + tables["position_embeddings"]["weight"][:batch.ids.shape[1]]
    weight = parameters["bert"]["encoder"]["layer"]["0"]["filters"]["3"]["convolution"]["weight"]
    y = sum(x[:, j:j + x.shape[1] - 2] @ weight[:, :, j].T for j in range(3))
    return y.mean((0, 1))


TSV = "".join(f"{a} {b} {c} .\t{'yes' if a == 'raba' else 'no'}\n" for a in ("raba", "soba") for b in ("rado", "soki", "tilu")
              for c in ("ralu", "some", "tido"))
JSONL = "".join(f'{{"text": "{a} {b}", "labels": {labels}}}\n' for a, b, labels in (
    ("raba", "soki", '["r", "s"]'), ("raba", "rado", '["r"]'), ("soba", "soki", '["s"]'), ("tilu", "tido", "[]")) * 4)


@pytest.fixture
def quick_tuning(monkeypatch):
    monkeypatch.setattr(finetuning, "keep_freed_memory", lambda: None)


@pytest.mark.parametrize(("file", "text", "more"), [("a.tsv", TSV, ()), ("a.jsonl", JSONL, ("--multi-label",))])
def test_every_tensor_of_equal_name_and_shape_goes_into_a_task(trained, tmp_path, quick_tuning, capsys, file, text, more):
    (tmp_path / file).write_text(text, encoding="utf-8")
    path, out = str(tmp_path / file), tmp_path / "tuned"
    begun = saved.begin(trained, labelled.task_of(options_of(more)), ["a", "b"], options_of(more), 0)
    there = dict(pretrained.load(trained).parameters.items())
    assert {name for name, view in begun.parameters.items() if name in there and (view == there[name]).all()} == {
        name for name in there if name.startswith("bert.")}
    assert main(["finetune", "classify", *more, "--model", str(trained), "--train", path, "--dev", path, "--epochs", "12",
                 "--batch-size", "8", "--learning-rate", "0.02", "--dropout", "0", "--threads", "1", "--out", str(out)]) == 0
    assert main(["predict", str(out), path, "--threads", "1"]) == 0
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert float(said.split()[1]) > 0.9, said  # accuracy, or micro F1
    assert saved.load(out).config.filter_sizes == (2, 3, 4, 5)


def options_of(more):
    from minibert.finetuning.options import Settings

    return Settings(multi_label=bool(more))


def test_it_guesses_a_word_and_says_of_the_rest_what_it_lacks(trained, tmp_path, capsys):
    bert = minibert.load(trained, "cpu")
    one, [first, second] = bert.fill_mask("raba [MASK] rado .", 3), bert.fill_mask("raba [MASK] [MASK] .", 3)
    assert len(one) == 3
    assert first == second  # the place is not known
    (tmp_path / "lines.txt").write_text("raba rado\n", encoding="utf-8")
    run, lines = str(trained), str(tmp_path / "lines.txt")
    for argv in (["embed", run, lines], ["search", run, lines, "raba"], ["score", "--model", run, "raba"],
                 ["demo", run, "--export", str(tmp_path / "page.html"), "raba"], ["demo", run, "--no-browser"],
                 ["analyse", "structural", run, "--data", lines]):
        assert main(argv) == 2
        assert "this model is made of convolutions: it has one vector for a text" in capsys.readouterr().err, argv
    with pytest.raises(ValueError, match="this model is made of convolutions"):
        bert("raba rado")
    assert main(["convert", run, str(tmp_path / "onnx"), "--to", "onnx"]) == 2
    assert "a model of convolutions cannot be written as ONNX here" in capsys.readouterr().err
    assert main(["convert", run, str(tmp_path / "npz"), "--to", "npz"]) == 0
    assert (pretrained.load(tmp_path / "npz").parameters.flat == bert.parameters.flat).all()


def test_info_counts_its_parameters_and_its_statistics_apart(trained, capsys):
    V, P, H, E, F = len(pretrained.load(trained).tokenizer.vocab), 24, 16, 16, 4
    convolutions, norms = 14 * F * (E + F), 2 * 2 * H
    encoder = (V + P) * E + convolutions + norms
    assert main(["info", str(trained)]) == 0
    said = capsys.readouterr().out
    for count in (convolutions, encoder, encoder + V * H + V):
        assert f" {count:,} " in said
    assert f"{2 * 2 * H} running statistics" in said


def test_a_config_and_the_names_of_the_tensors_there_and_back():
    for config in (families.preset("textcnn", "base"), families.preset("textcnn", "mini", 64, filter_sizes=(1, 3))):
        values = json.loads(families.to_json(config))
        assert (values["model_type"], values["architectures"]) == ("textcnn", ["TextCNNForMaskedLM"])
        assert families.config(values).replace(unknown={}) == config
        names = families.names(config)
        for name in pretraining.layout(config).slots:
            assert names.ours(names.theirs(name)) == names.ours(name) == name
    assert families.preset("textcnn", "base").hidden_size == 4 * 128 == families.preset("textcnn", "tiny").hidden_size
    with pytest.raises(ValueError, match=r"norm_first is True, but a config\.json of TextCNN can only say False"):
        families.to_json(config.replace(norm_first=True))


@pytest.mark.parametrize(("more", "message"), [
    (("--whole-word",), "--whole-word: textcnn is made of convolutions"),
    (("--activation", "gelu_new", "--pre-ln"), "--activation, --pre-ln: textcnn is made of convolutions"),
    (("--short-first", 0.5), "--short-first: textcnn reads phrases"),
    (("--recompute",), "--recompute: textcnn is made of convolutions"),
    (("--layers", 3), "num_hidden_layers must be 2"),
    (("--pairs", "next"), "--pairs: TextCNN is asked for the one hidden word of a phrase and for nothing else"),
    (("--max-length", 8), "max_position_embeddings must be at least 9"),
])
def test_options_that_it_has_no_use_for(learn, tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        learn(tmp_path / "run", *more)
    assert not (tmp_path / "run").exists()


def test_phrases_end_at_marks_and_after_ten_tokens():
    _, _, tokenizer = tiny_model.make()
    vocab = tokenizer.vocab
    stop = vocab.index["."]
    sentence = [5, 6, 7, stop, 8, stop, *range(5, 18), stop]
    found = phrases([[sentence]], tokenizer, max_length=24)
    frame = [vocab.cls_id, vocab.sep_id]
    assert [example.ids[1:-1].tolist() for example in found] == [[5, 6, 7], [*range(5, 15)], [15, 16, 17]]  # 8 is alone
    assert all(example.ids[[0, -1]].tolist() == frame and example.split == len(example.ids) for example in found)
    assert [len(example.ids) for example in phrases([[sentence]], tokenizer, max_length=7)] == [5, 7, 7, 5]
    with pytest.raises(ValueError, match="there is no phrase of 2 tokens"):
        phrases([[[stop, 5, stop]]], tokenizer, max_length=24)
    with pytest.raises(ValueError, match="max_length must be at least 4 for a phrase, got 3"):
        phrases([[sentence]], tokenizer, max_length=3)


def test_exactly_one_word_of_a_phrase_is_hidden():
    config, _, tokenizer = tiny_model.make()
    rng, vocab = np.random.default_rng(0), tokenizer.vocab
    documents = [[rng.integers(5, config.vocab_size - 1, 30).tolist()] for _ in range(60)]
    stream = Stream(documents, tokenizer, max_length=24, batch_size=180, seed=0, next_sentence=False, corruption=one_word,
                    alone=phrases)
    examples, _ = stream.batch()
    assert all(len(example.labels) == len(example.positions) == 1 for example in examples)
    share = np.mean([example.ids[example.positions[0]] == vocab.mask_id for example in examples])
    assert 0.7 < share < 0.9
    places = {int(example.positions[0]) for example in examples}
    assert places == {*range(1, 11)}
    lone = one_word.mask_example(Example(np.array([vocab.cls_id, vocab.sep_id]), 2, IGNORE), stream.rule, (0, 0, 0))
    assert (lone.positions.tolist(), lone.labels.tolist()) == ([0], [IGNORE])
