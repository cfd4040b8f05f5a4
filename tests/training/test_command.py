"""Runs from the command line: what they write, what they say, and what they refuse."""

import csv
import io
import math
import os
import stat
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minibert
from minibert import cli
from minibert.analysis import guesses, probes
from minibert.tasks.batches import Streamed
from minibert.tasks.examples import IGNORE
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import Vocabulary
from minibert.training import checkpoint, loop
from minibert.training.engine import Engine
from minibert.training.loop import NEEDED, read_rows
from tests import tiny_model
from tests.training.conftest import arguments
from tests.training.runs import FILES, FINISHED, assert_same_run, interrupt_after, names, slabs, step_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def run(finished, train):
    """A finished run that tests only read."""
    if not finished.exists():
        assert train(finished) == 0
    return finished


def test_a_run_is_exactly_these_files(run):
    assert names(run) == FINISHED


def test_metrics_are_a_rectangle_with_a_row_for_every_step(run):
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    figures = ["mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"]
    assert header == ["step", "tokens", *NEEDED[1:], *figures, *(f"held_out_{name}" for name in figures)]
    assert {len(row) for row in rows} == {len(header)}
    assert [row[0] for row in rows] == [str(step) for step in range(1, 13)]
    looked = [int(row[0]) for row in rows if row[header.index("held_out_mlm_loss")]]
    assert looked == [6, 12]
    table = read_rows(run / "metrics.csv")
    assert table[-1]["tokens"] - table[2]["tokens"] == pytest.approx(9 * 4 * 28, rel=0.2)
    for row in table:
        assert 0 < row["learning_rate"] <= 1e-3
        assert row["gradient_norm"] > 0
        assert 3 < row["mlm_loss"] < 6
        if row["step"] <= 2:  # short runs of text, without pairs
            assert row["nsp_loss"] is row["nsp_accuracy"] is None
            continue
        assert 0.3 < row["nsp_loss"] < 1.5
        assert 0 <= row["mlm_accuracy"] <= 1
        assert row["nsp_accuracy"] in (0, 0.25, 0.5, 0.75, 1)


def test_the_first_steps_read_short_runs_of_text_and_the_others_pairs(train, tmp_path, monkeypatch):
    seen = []

    def watched(self, batches, lr):
        seen.append(batches)
        return original(self, batches, lr)

    original = Engine.train
    monkeypatch.setattr(Engine, "train", watched)
    assert train(tmp_path / "run", "--short-first", 0.5) == 0
    for batches in seen[:6]:
        assert max(b.ids.shape[1] for b in batches) <= 16
        assert all((b.targets["nsp"] == IGNORE).all() for b in batches)
        assert sum(len(b.ids) for b in batches) == 8  # 4 sequences of 32 tokens, as 8 of 16
    for batches in seen[6:]:
        assert max(b.ids.shape[1] for b in batches) > 16
        assert sum((b.targets["nsp"] != IGNORE).sum() for b in batches) == 4


@pytest.mark.parametrize("shift", [False, True])
def test_short_runs_of_text_train_all_positions_where_they_are_shifted(train, tmp_path, shift):
    """Steps of 16 tokens alone move the first 16 rows of the position table, or all 32."""
    more = ["--shift-positions"] if shift else []
    assert train(tmp_path / "run", "--steps", 10, "--short-first", 0.99, "--eval-every", 100, *more) == 0
    moments = checkpoint.load(tmp_path / "run").kept["m"]["bert"]["embeddings"]["position_embeddings"]["weight"]
    rows = np.abs(moments).sum(1) > 0
    assert rows.tolist() == [True] * 32 if shift else [True] * 16 + [False] * 16


def test_a_row_over_both_kinds_of_steps_means_the_pairs_over_those_that_have_some(train, tmp_path, monkeypatch):
    """An untrained head's loss is near ln 2, however many steps without pairs share its row."""
    monkeypatch.setattr("minibert.training.loop.ROWS", 1)
    assert train(tmp_path / "run", "--short-first", 0.75, "--eval-every", 12) == 0
    (row,) = read_rows(tmp_path / "run" / "metrics.csv")
    assert row["nsp_loss"] == pytest.approx(np.log(2), abs=0.25)


def test_the_log_begins_with_what_decides_the_numbers(run, corpus):
    log = (run / "log.txt").read_text(encoding="utf-8")
    head = "\n".join(log.split("\n")[:2])
    for part in (f"NumPy {np.__version__}", "Python 3", "CPU", "2 workers", "seed 0"):
        assert part in head
    state = checkpoint.load(run)
    assert f"sha256 {state.corpus_sha256[:12]}" in log
    assert "ln V" in log
    assert "step  6" in log
    assert "step 12" in log
    assert "fill-mask" in log


def test_the_guesses_are_of_held_out_sentences(run, corpus):
    text = (run / "guesses.txt").read_text(encoding="utf-8")
    asked = [line for line in text.split("\n") if "[MASK]" in line]
    assert len(asked) == 10
    assert text.count("<-") == len(asked)
    lines = corpus.read_text(encoding="utf-8").split("\n")
    answers = [line.split("<-")[0].strip() for line in text.split("\n") if "<-" in line]
    for sentence, answer in zip(asked, answers):
        assert sentence.strip().replace("[MASK]", answer).replace(".", " .") in lines


def test_the_model_of_a_run_answers(run):
    answer = minibert.load(run, device="cpu").fill_mask("raba rado [MASK] ralu .", top=3)
    assert len(answer) == 3
    assert sum(probability for _, probability in answer) <= 1


@pytest.mark.usefixtures("pictures")
def test_the_picture_opens_and_shows_something(train, tmp_path):
    from matplotlib.image import imread

    assert train(tmp_path / "run", "--steps", 2) == 0
    picture = imread(tmp_path / "run" / "loss.png")
    assert min(picture.shape[:2]) > 500
    assert len(np.unique((picture * 255).astype(np.uint8).reshape(-1, picture.shape[-1]), axis=0)) > 100


def test_a_run_that_exists_is_refused_and_left_alone(run, train):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(FileExistsError, match=r"exists already.*another --out.*--resume"):
        train(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("wrong", [
    ("--corpus", "no-such-file.txt"), ("--vocab", "no-such-vocab.txt"), ("--heads", "5"), ("--threads", "0")])
def test_a_run_that_could_not_begin_leaves_its_name_free(train, tmp_path, wrong):
    with pytest.raises((ValueError, OSError)):
        train(tmp_path / "run", *wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["", "only one line .\n"])
def test_too_little_text_is_an_error(train, tmp_path, text):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"text\.txt"):
        train(tmp_path / "run", "--corpus", tmp_path / "text.txt")
    assert names(tmp_path) == {"text.txt"}


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom the file system refuses something")
def test_an_unwritable_folder_is_named(train, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(PermissionError, match=r"cannot be made.*--out"):
            train(tmp_path / "run")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_made_is_named(train, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match=r"run folder .*run cannot be made: .*--out"):
        train(tmp_path / "file" / "run")


def test_the_held_out_text_is_hidden_alike_whatever_the_rate(train, tmp_path):
    found = []
    for name, rates in (("usual", ()), ("falling", ("--mask-rate", "0.5", "0.3"))):
        train(tmp_path / name, "--learning-rate", "1e-12", *rates)  # learns nothing
        found.append(read_rows(tmp_path / name / "metrics.csv")[-1])
    assert found[1]["held_out_mlm_loss"] == pytest.approx(found[0]["held_out_mlm_loss"], rel=1e-5)
    assert found[1]["mlm_loss"] != pytest.approx(found[0]["mlm_loss"], rel=1e-5)


@pytest.mark.parametrize(("options", "said"), [
    (["--steps", "0"], "--steps must be at least 1, got 0"),
    (["--hidden", "0"], "--hidden must be at least 1, got 0"), (["--layers", "0"], "--layers must be at least 1, got 0"),
    (["--heads", "0"], "--heads must be at least 1, got 0"), (["--intermediate", "0"], "--intermediate must be at least 1"),
    (["--workers", "0"], "workers must be at least 1, got 0"), (["--threads", "0"], "threads must be at least 1, got 0"),
    (["--threads", str(10**30)], "threads must be at most 4,096"), (["--steps", str(10**30)], "--steps must be at most 2,147,"),
    (["--hidden", str(2**28)], "with hidden_size 268,435,456"), (["--minutes", "1e300"], "--minutes must be a number above 0"),
    (["--steps", "5", "--minutes", "5"], "give one of them"),
    (["--learning-rate", "nan"], "--learning-rate"),
    (["--minutes", "inf"], "--minutes"),
    (["--mask-rate", "0"], "--mask-rate must be one or two shares, above 0 and at most 1"),
    (["--mask-rate", "0.3", "0.2", "0.1"], "--mask-rate must be one or two shares"),
    (["--mask-rate", "0.3", "--masking", "spans"], "--mask-rate is for --masking pieces and whole-words, and this one is spans"),
    (["--mask-rate", "0.3", "--family", "electra"], "--mask-rate: "),
    (["--mask-rate", "0.3", "--pairs", "prefix"], "--mask-rate: --pairs prefix asks for the next word everywhere"),
    (["--held-out", "1"], "--held-out must be between 0 and 1"),
    (["--max-length", "4"], "--max-length must be at least 5"),
    (["--seed", "-1"], "--seed"),
])
def test_impossible_settings_are_refused_before_anything_is_made(tmp_path, options, said):
    from minibert.training import command

    with pytest.raises(ValueError, match=said):
        command.run(arguments("--out", tmp_path / "run", *options))
    assert not list(tmp_path.iterdir())


MODES = {
    "packed": ["--no-next-sentence"],
    "whole words": ["--whole-word"],
    "static masks": ["--static-masks", "--dupe-factor", "2"],
    "pre-LN": ["--pre-ln"],
    "cased": ["--cased"],
    "tanh": ["--activation", "gelu_new"],
    "as the reference": ["--no-bias-correction"],
    "no clipping": ["--clip", "0"],
    "another width inside": ["--intermediate", "20"],
    "no dropout": ["--dropout", "0"],
    "short": ["--max-length", "12"],
    "one thread": ["--threads", "1"],
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_trains(train, tmp_path, mode):
    assert train(tmp_path / "run", "--steps", 3, *MODES[mode]) == 0
    assert names(tmp_path / "run") == FINISHED
    last = read_rows(tmp_path / "run" / "metrics.csv")[-1]
    assert math.isfinite(last["held_out_mlm_loss"])
    assert (last["nsp_loss"] is None) == (last["held_out_nsp_loss"] is None) == (mode == "packed")
    state = checkpoint.load(tmp_path / "run")
    assert state.config.norm_first == (mode == "pre-LN")
    assert state.tokenizer.lower_case == (mode != "cased")
    assert state.config.hidden_act == ("gelu_new" if mode == "tanh" else "gelu")
    assert state.config.intermediate_size == (20 if mode == "another width inside" else 128)
    assert state.config.max_position_embeddings == (12 if mode == "short" else 32)
    assert minibert.load(tmp_path / "run", device="cpu").tokenizer.lower_case == (mode != "cased")


def test_a_vocabulary_from_a_file(train, tmp_path):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abdeiklmnoprstuv", *(f"##{c}" for c in "abdeiklmnoprstuv"), "."]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    assert train(tmp_path / "run", "--steps", 2, "--vocab", tmp_path / "vocab.txt") == 0
    assert Vocabulary.load(tmp_path / "run" / "vocab.txt").tokens == Vocabulary(tokens).tokens
    assert checkpoint.load(tmp_path / "run").config.vocab_size == len(tokens)


def standard_input(monkeypatch, corpus):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(corpus.read_bytes())))


def test_a_corpus_from_standard_input_is_that_corpus(train, resume, run, tmp_path, monkeypatch, corpus, capsys):
    standard_input(monkeypatch, corpus)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        assert train(tmp_path / "run", "--corpus", "-") == 130
    assert "< the same text" in capsys.readouterr().out
    standard_input(monkeypatch, corpus)
    assert resume(tmp_path / "run") == 0
    assert_same_run(tmp_path / "run", run)


def test_a_corpus_of_two_documents_has_no_pairs_but_trains(train, tmp_path):
    (tmp_path / "two.txt").write_text("raba rado raki .\nralu rame .\n\nsoba sodo .\nsoki solu .\n", encoding="utf-8")
    assert train(tmp_path / "run", "--corpus", tmp_path / "two.txt", "--steps", 2) == 0
    assert read_rows(tmp_path / "run" / "metrics.csv")[-1]["nsp_loss"] is None


def test_the_seed_decides_everything(train, run, tmp_path):
    assert train(tmp_path / "again") == 0
    assert_same_run(tmp_path / "again", run)
    assert train(tmp_path / "other", "--seed", 1) == 0
    assert slabs(tmp_path / "other") != slabs(run)


def test_accumulation_is_a_larger_batch(train, tmp_path):
    assert train(tmp_path / "a", "--steps", 4, "--accumulate", 3, "--batch-size", 2) == 0
    assert train(tmp_path / "b", "--steps", 4, "--accumulate", 1, "--batch-size", 6) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_the_micro_batches_of_an_accumulated_step_are_never_all_in_memory(train, tmp_path, monkeypatch):
    kinds, original = set(), Engine.train
    monkeypatch.setattr(Engine, "train", lambda self, found, lr: (kinds.add(type(found)), original(self, found, lr))[1])
    assert train(tmp_path / "a", "--steps", 4, "--accumulate", 2, "--short-first", 0.5, "--shift-positions") == 0
    assert kinds == {Streamed}


class Clock:
    """Half a second passes at every look."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 0.5
        return self.now


def test_minutes_fix_the_number_of_steps_once_and_leave_no_trace(train, resume, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "time", Clock())
    monkeypatch.setattr(loop, "WARM_UP_STEPS", 2)
    monkeypatch.setattr(loop, "TIMED_STEPS", 3)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        assert train(tmp_path / "run", "--minutes", 0.2) == 130
    total = checkpoint.load(tmp_path / "run").progress.total
    assert total > 8
    assert f"{total:,} steps fit into 0.2 minutes" in capsys.readouterr().out
    assert step_of(tmp_path / "run") == 8
    assert resume(tmp_path / "run") == 0
    assert checkpoint.load(tmp_path / "run").progress.total == step_of(tmp_path / "run") == total
    monkeypatch.undo()
    train(tmp_path / "by steps", "--steps", total)
    assert_same_run(tmp_path / "run", tmp_path / "by steps")


def test_context_beats_frequency(train, tmp_path):
    """Which words are frequent in a document shows only in the words around: a model that reads no context cannot get here."""
    from minibert.data import corpora, report

    options = ("--no-next-sentence", "--learning-rate", 0.01, "--dropout", 0, "--batch-size", 32, "--steps", 60,
               "--eval-every", 60, "--micro-batch-tokens", 512)
    assert train(tmp_path / "run", *options) == 0
    state = checkpoint.load(tmp_path / "run")
    training, held_out = corpora.split(corpora.read(list(state.settings.corpus)).documents, 0.1, 0)
    ids = [np.array([i for document in part for sentence in document for i in state.tokenizer.ids(sentence)])
           for part in (training, held_out)]
    unigram = report.unigram_loss(*ids, len(state.tokenizer.vocab))
    first, *_, last = read_rows(tmp_path / "run" / "metrics.csv")
    assert first["mlm_loss"] == pytest.approx(math.log(len(state.tokenizer.vocab)), abs=0.2)
    assert last["held_out_mlm_loss"] < unigram - 0.4


def test_overfit_batch_learns_one_batch_by_heart(train, tmp_path, capsys):
    assert train(tmp_path / "run", "--overfit-batch", "--hidden", 64, "--learning-rate", 0.003) == 0
    said = capsys.readouterr().out
    assert "below 0.05" in said
    assert not list(tmp_path.iterdir())


def test_overfit_batch_says_when_it_fails(train, tmp_path, capsys):
    assert train(tmp_path / "run", "--overfit-batch", "--learning-rate", 1e-9, "--no-next-sentence", "--batch-size", 1) == 1
    said = capsys.readouterr()
    assert "still" in said.err
    assert "--learning-rate" in said.err
    assert "next" not in said.out


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(train, resume, tmp_path, monkeypatch):

    original = Engine.add

    def poisoned(self, *of_a_step):
        figures = original(self, *of_a_step)
        return {i: (np.float32("nan"), *rest) for i, (_, *rest) in figures.items()} if self.step == 8 else figures

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "add", poisoned)
        with pytest.raises(FloatingPointError) as error:
            train(tmp_path / "run")
    said = str(error.value)
    for part in ("step 9", "loss is nan", "gradient's norm", "learning rate 0.0003", "training_state.safetensors",
                 "--learning-rate", "--overfit-batch"):
        assert part in said
    assert step_of(tmp_path / "run") == 6
    assert minibert.load(tmp_path / "run", device="cpu").fill_mask("raba [MASK] .")
    assert resume(tmp_path / "run") == 0  # the poison was ours; the state itself is good


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_are_no_longer_finite_are_never_saved(train, tmp_path):
    """The loss of a step is that of the weights before it: only held-out text shows what the last step did."""
    with pytest.raises(FloatingPointError, match=r"step 1\b.*learning rate"):
        train(tmp_path / "run", "--learning-rate", 1e38, "--warmup", 0, "--eval-every", 1)
    state = checkpoint.load(tmp_path / "run")
    assert state.progress.step == 0
    assert np.isfinite(state.parameters.flat).all()


def test_the_files_of_an_interrupted_run(train, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 2)
    assert train(tmp_path / "run") == 130
    assert names(tmp_path / "run") == FILES


CASED = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "MASK", "SEP", *"abcdefgh", ".", "राम", "घर", "गया", "।"]


@pytest.fixture
def cased():
    tokenizer = Tokenizer(Vocabulary(CASED), lower_case=False, strip_accents=False, max_length=24)
    config, parameters, _ = tiny_model.make(vocab_size=len(CASED))
    return minibert.Bert(config, parameters, tokenizer)


def test_held_out_text_that_speaks_of_special_tokens_is_not_asked_about(cased):
    ids = [[cased.tokenizer.ids(text) for text in ("a b [MASK] c d e f g .", "a b [SEP] c d e f g .", "a b c d e f g h .")]]
    assert "[MASK]" in cased.tokenizer.decode(ids[0][0])
    table = guesses.table(cased, ids)
    assert table.count("<-") == 1
    assert table.splitlines()[0].count("[MASK]") == 1
    assert [probe["text"] for probe in probes.choose(cased.tokenizer, ids, 0)] == ["a b c d e f g h."]


def test_sentences_of_any_script_are_asked_about(cased):
    def table(*texts):
        return guesses.table(cased, [[cased.tokenizer.ids(text) for text in texts]])

    hindi = "राम घर गया राम घर गया राम"
    assert table(f"{hindi} ।", "a b c d e f g h").count("<-") == 1  # what ends with a mark is a whole sentence
    assert table(hindi + " घर", "a b c d e f g h").count("<-") == 2  # where nothing does, all are


def test_special_tokens_in_the_corpus_are_words_and_counted(train, tmp_path):
    text = tmp_path / "special.txt"
    text.write_text("\n\n".join("the [SEP] is a word .\nand so is [mask] or ra ba .\n" * 4 for _ in range(30)), encoding="utf-8")
    assert train(tmp_path / "out", "--corpus", text, "--steps", 2) == 0
    line, = (line for line in (tmp_path / "out" / "log.txt").read_text(encoding="utf-8").splitlines() if "[SEP], [MASK]" in line)
    assert line.split()[-4:] == ["120", "read", "as", "words"]
    assert "--layout" in (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")


def test_metrics_are_read_by_the_names_in_their_first_line(tmp_path):
    path = tmp_path / "metrics.csv"
    cells = {**dict.fromkeys(NEEDED, "1"), "step": "3", "tokens": "70", "mlm_loss": "2.5", "nsp_loss": "", "sop_loss": "0.7"}
    names = sorted(cells)  # another order, and a column of something else
    path.write_text(f"{','.join(names)}\n{','.join(cells[name] for name in names)}\n", encoding="utf-8")
    [row] = read_rows(path)
    assert [row[name] for name in ("step", "tokens", "mlm_loss", "nsp_loss", "sop_loss")] == [3, 70, 2.5, None, 0.7]
    path.write_text("step,tokens,mlm_loss\n3,70,2.5\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"metrics.csv has no column seconds, learning_rate, gradient_norm: expected"):
        read_rows(path)


@pytest.mark.parametrize(("options", "message"), [
    (["--dupe-factor", "2"], "give --static-masks with it"), (["--vocab-size", "50", "--vocab", "vocab.txt"], "give one of them"),
    (["--overfit-batch", "--profile"], "give one of them"),
    (["--shift-positions", "--short-first", "0"], "this run has none")])
def test_options_that_would_have_no_effect(options, message, tmp_path, capsys):
    assert cli.main(["train", "--out", str(tmp_path / "run"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
