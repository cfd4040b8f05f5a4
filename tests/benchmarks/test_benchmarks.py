"""The benchmarks measure what they say. How fast anything is, is not tested."""

import io
import json
import math
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
pytest.importorskip("benchmarks", reason="the benchmarks run from the checkout")

from benchmarks import analyses, common, inference, link, loading, scaling, scoring, train_step  # noqa: E402
from minibert import backend, batched, pretrained  # noqa: E402
from minibert.api import Bert  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.model.pretraining import inputs  # noqa: E402
from minibert.parameters import Parameters  # noqa: E402
from tests import tiny_model, world_model  # noqa: E402


def test_turns_alternate_and_each_round_begins_with_another():
    class Fake:
        def __init__(self, name):
            self.name = name

        def turn(self, kind):
            assert kind == 1
            order.append(self.name)
            return float(len(order))

    order = []
    seconds = common.alternate({name: Fake(name) for name in "abc"}, rounds=3, warmup=1, kind=1)
    assert "".join(order[3:]) == "abcbcacab"
    assert all(len(turns) == 3 for turns in seconds.values())
    assert seconds["a"][0] == 4  # the warm-up does not count


def test_a_turn_is_of_the_kind_that_was_asked_for(monkeypatch, capsys):
    done = []
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n0\n1\nend\n"))
    common.serve(lambda: done.append("first"), lambda: done.append("second"))
    assert done == ["second", "first", "second"]
    before, *turns, peak = capsys.readouterr().out.splitlines()
    assert int(before) <= int(peak)
    seconds, cpu, cpu_in_all = map(float, turns[-1].split())
    assert seconds >= 0
    assert 0 <= cpu <= cpu_in_all


def test_the_peak_is_of_the_process_itself_and_not_of_the_one_that_started_it():
    size = 300 * 2**20
    held = bytearray(size)
    done = subprocess.run([sys.executable, "-c", "from benchmarks import common; print(common.own_peak())"], cwd=ROOT,
                          capture_output=True, text=True, encoding="utf-8", check=True)
    del held
    peak = int(done.stdout)
    assert peak == 0 if sys.platform == "win32" else 0 < peak < size // 2


@pytest.mark.parametrize(("model", "format"), [("tiny", "npz"), ("roberta:tiny", "safetensors, 4 shards")])
def test_what_is_loaded_is_a_whole_model(tmp_path, model, format):
    loading.make(tmp_path, model, format)
    loaded = pretrained.load(tmp_path, tokenizer=loading._any_tokenizer(tmp_path))
    assert loaded.notes == []
    assert loading.bound(tmp_path) > 1.2 * loaded.parameters.flat.nbytes


def test_the_floor_makes_exactly_the_products_of_a_step():
    """Every product of two matrices in a micro-batch's forward and backward is one of the floor's, and none is left out."""
    case = train_step.Case("tiny", 600, 4, 16)
    done = []

    class Watched(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            inputs = [np.asarray(x) if isinstance(x, Watched) else x for x in inputs]
            if ufunc is np.matmul and min(x.ndim for x in inputs) > 1:
                (*batch, m, k), n = inputs[0].shape, inputs[1].shape[-1]
                done.append(2 * math.prod(batch) * m * k * n)
            options["out"] = tuple(np.asarray(o) for o in options["out"]) if options.get("out") else None
            result = getattr(ufunc, method)(*inputs, **{k: v for k, v in options.items() if v is not None})
            return result.view(Watched) if isinstance(result, np.ndarray) else result

    backend.register(Watched, np)
    config = train_step.configuration(case).replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    layout = pretraining.layout(config)
    p, g = (Parameters(layout, np.zeros(layout.size, np.float32).view(Watched)) for _ in range(2))
    (batch,) = train_step.micro_batches(case, *train_step.data(case), size=64)
    _, cache = pretraining.forward(inputs(batch, np), p.tree, config)
    pretraining.backward(pretraining.Output(mlm_loss=1.0), cache, p.tree, g.tree)
    H = config.hidden_size
    pairs = case.batch * (2 * H * H + 2 * H * 2)  # pooler and next-sentence head are computed, but there is nothing to learn
    assert sum(done) == sum(product.flops for product in train_step.products(case, 64)) + pairs


def test_micro_batches_hold_the_tokens_of_the_whole():
    case = train_step.Case("tiny", 600, 6, 16)
    ids, types, positions, labels = train_step.data(case)
    parts = train_step.micro_batches(case, ids, types, positions, labels, size=32)
    assert np.array_equal(np.concatenate([b.ids for b in parts]), ids)
    assert np.array_equal(np.concatenate([b.targets["mlm"] for b in parts]), labels)
    assert np.array_equal(np.concatenate([b.ids.reshape(-1)[b.positions] for b in parts]), ids.reshape(-1)[positions])


@pytest.mark.parametrize("power", [-1, 0, 1, 2])
def test_the_exponent_of_a_power_is_found(power):
    values = [2, 4, 8, 16]
    assert scaling.exponent(values, [3.0 * v**power for v in values]) == pytest.approx(power)


@pytest.mark.slow
def test_a_command_prints_a_table_and_writes_its_figures(tmp_path):
    figures = tmp_path / "a.json"
    command = [sys.executable, "-m", "benchmarks.train_step", "tiny", "--alone", "--rounds", "1", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True)
    assert "of roofline" in done.stdout
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert {"date", "cpu", "threads", "numpy"} <= set(found["machine"])
    assert found["results"][0]["seconds"].keys() == {"minibert", "floor"}


def test_an_unknown_case_is_refused():
    command = [sys.executable, "-m", "benchmarks.train_step", "tinny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert "unknown case tinny" in done.stderr


@pytest.mark.parametrize("competitor", [c for c in inference.COMPETITORS if not c.endswith("+keep")])
def test_every_way_to_vectors_computes_the_same(competitor):
    for package in inference.COMPETITORS[competitor]:
        pytest.importorskip(package)
    bert = Bert(*tiny_model.make())
    rows = inference.rows_of(bert, ["the exception raises", "an exception.", "the"])
    expected = [bert([row]).last_hidden_state[0].mean(0) for row in rows]
    np.testing.assert_allclose(inference.vectors_by(competitor, bert, 1)(rows), expected, atol=1e-5)


def test_every_way_of_scoring_computes_the_same():
    bert = Bert(*tiny_model.make())
    given = [bert.tokenizer.encode(text) for text in ("the exception raises", "an exception.")]
    whole, one = (scoring.minibert_turn(c, "scores", bert, given, 1)() for c in scoring.COMPETITORS["scores"][:2])
    np.testing.assert_allclose([x for score in whole for x in score.log_probs], one, rtol=1e-5)
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    for competitor in scoring.COMPETITORS["scores"][2:]:
        np.testing.assert_allclose(scoring.transformers_turn(competitor, "scores", bert, given)(), one, rtol=1e-5)
    sorted_, in_order = (scoring.minibert_turn(c, "states", bert, given, 1)() for c in scoring.COMPETITORS["states"][:2])
    for c in scoring.COMPETITORS["states"][2:]:
        for i, states in enumerate(scoring.transformers_turn(c, "states", bert, given)()):
            for layer, h in enumerate(states):
                for ours in (sorted_.hidden_states[layer][i], in_order[0].hidden_states[layer][i]):
                    np.testing.assert_allclose(ours[:len(h)], h.numpy(), atol=1e-5)


def test_a_slow_link_that_cannot_be_made_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(link.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="on Linux, as root, with ip and tc"), link.of(1e6):
        pass


def test_a_clock_gives_no_verdict_beside_others(monkeypatch):
    for busy, starts in ((0.24, "Other processes kept 0.24 cores"),
                         (1.5, "No verdict by the clock: other processes kept 1.5 cores"),
                         (None, "No verdict by the clock: what other processes did is unknown")):
        monkeypatch.setattr(common.Watch, "others", lambda watch, busy=busy: busy)
        assert common.Watch().verdict().startswith(starts)


@pytest.mark.parametrize(("all_cores", "own", "others"), [(30.0, 15.0, 1.5), (15.0, 15.0, 0.0), (14.9, 15.0, 0.0)])
def test_what_others_do_is_what_this_process_and_its_children_do_not(all_cores, own, others, monkeypatch):
    def counted(busy, mine, clock):
        monkeypatch.setattr(common, "_busy", lambda: busy)
        monkeypatch.setattr(common, "processor_seconds", lambda: mine)
        monkeypatch.setattr(common.time, "monotonic", lambda: clock)

    counted(100.0, 10.0, 1000.0)
    watch = common.Watch()
    counted(100.0 + all_cores, 10.0 + own, 1010.0)
    assert watch.others() == others
    monkeypatch.undo()
    if sys.platform != "linux":
        assert common.Watch().others() is None


@pytest.mark.parametrize("child", [False, True])
def test_what_this_process_does_is_counted_as_its_own_and_of_all_cores(child):
    own, busy = common.processor_seconds(), common._busy()
    if child:
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    else:
        while common.processor_seconds() < own + 0.3:
            pass
    if sys.platform != "win32" or not child:  # where a process does not count what it has started
        assert common.processor_seconds() - own > 0.25
    assert busy is None if sys.platform != "linux" else common._busy() - busy > 0.2


def test_what_is_collected_passes_through_the_model_as_what_is_only_read(monkeypatch):
    """The same batches, once each, and the maps are kept in both or in none."""
    passes, answer = [], batched.answer
    monkeypatch.setattr(analyses.world_model, "load", lambda *_: world_model.make())
    monkeypatch.setattr(batched, "answer", lambda bert, some, attentions: passes.append(
        ([one.ids for one in some], attentions)) or answer(bert, some, attentions=attentions))
    options = Namespace(model=None, data=None, sentences=30, threads=1)
    for name, alone in analyses.PASSES.items():
        found = []
        for one in (name, alone):
            passes.clear()
            analyses.way(one, options)()
            found.append(list(passes))
        assert found[0] == found[1]
        assert sum(len(ids) for ids, _ in found[0]) == 30
        assert {maps for _, maps in found[0]} == {name == "attention"}


def test_an_unknown_analysis_is_refused_before_any_is_measured(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["analyses", "trees", "tress"])
    monkeypatch.setattr(common, "Rival", None)
    with pytest.raises(ValueError, match="there is no analysis 'tress'"):
        analyses.main()
