"""The scoreboard: a page that goes on where it stopped, and the model of the world that it stands on."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from minibert import cli, pretrained
from minibert.analysis import analyses, scoreboard, subject, world_model
from minibert.analysis.scoreboard import Plan
from minibert.model import pretraining
from minibert.text import Tokenizer, Vocabulary
from minibert.training import command
from minibert.world.printed import printed
from tests import tiny_model
from tests import world_model as tiny

WORLD = tiny.world()
NAMES = ("contextual", "calibration")


def untrained(seed=0):
    bert = tiny.make(seed, hidden_size=12, num_attention_heads=3)
    bert.folder = f"runs/tiny{seed}"
    return bert


@pytest.fixture
def asked(monkeypatch):
    """Which analyses were run, of which models, on a world whose models are not trained."""
    runs, run = [], analyses.run
    monkeypatch.setattr(world_model, "load", lambda size, seed, steps=None: untrained(seed))
    monkeypatch.setattr(subject, "QUICK", 150)
    monkeypatch.setattr(analyses, "run", lambda name, of: runs.append((name, str(of.bert.folder), of.seed)) or run(name, of))
    return runs


def test_a_page_goes_on_where_it_stopped(asked, tmp_path, monkeypatch):
    page = tmp_path / "S.md"
    plan = Plan(seeds=2, quick=True, names=NAMES)
    with pytest.raises(KeyboardInterrupt):
        scoreboard.measure(plan, page, told=lambda unit, record: (_ for _ in ()).throw(KeyboardInterrupt))
    assert asked == [("contextual", "runs/tiny0", 0)]
    assert "not measured yet" in page.read_text(encoding="utf-8")
    assert "(1 of 2 seeds)" in page.read_text(encoding="utf-8")
    told = []
    scoreboard.measure(plan, page, told=lambda unit, record: told.append(unit))
    assert asked[1:] == [("calibration", "runs/tiny0", 0), ("contextual", "runs/tiny1", 1), ("calibration", "runs/tiny1", 1)]
    assert len(told) == 3
    scoreboard.measure(plan, page)
    assert len(asked) == 4
    text = page.read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if "**contextual**" in line]
    assert line.count("not measured yet") == 1  # on a real model
    records = scoreboard.read(page.with_suffix(".jsonl"))
    assert [(record["name"], record["seed"]) for record in records] == [(name, seed) for seed in (0, 1) for name in NAMES]
    first = [record["lines"][0][1] for record in records[::2]]
    assert f"{np.mean(first):.3f} ± {np.std(first, ddof=1):.3f}" in text
    assert f"| {records[0]['verdict']} |" in text or "1 of 2" in text

    monkeypatch.setattr(scoreboard.inspect, "getsource", lambda module: module.__name__)
    scoreboard.measure(plan, page)
    assert len(asked) == 8  # the source of both is another one
    assert len(scoreboard.read(page.with_suffix(".jsonl"))) == 4


def test_a_real_model_without_a_head_gives_way_to_the_one_that_comes_along(asked, tmp_path, monkeypatch):
    bert = untrained(5)
    encoder = tmp_path / "encoders" / "model"
    pretrained.save(encoder, bert.config, bert.parameters, bert.tokenizer,
                    without=[name for name, _ in bert.parameters.items() if name.startswith("cls.")])
    pretrained.save(tmp_path / "bundled", bert.config, bert.parameters, bert.tokenizer)
    monkeypatch.setattr(pretrained, "bundled", lambda: tmp_path / "bundled")
    (tmp_path / "gold.conllu").write_text("".join(printed(WORLD.language, i, document).conllu for i, document in
                                                  enumerate(WORLD.documents(3000))), encoding="utf-8")
    plan = Plan(real=str(encoder), data=str(tmp_path / "gold.conllu"), seeds=1, quick=True, names=NAMES)
    scoreboard.measure(plan, tmp_path / "S.md")
    records = {(r["name"], r["side"]): r for r in scoreboard.read(tmp_path / "S.jsonl")}
    assert [records[name, "real"]["bundled"] for name in NAMES] == [False, True]
    assert records["contextual", "real"]["model"] == "encoders/model (2 layers, 12 numbers, 3 heads)"
    text = (tmp_path / "S.md").read_text(encoding="utf-8")
    assert "the model that comes with minibert" in text
    assert str(tmp_path) not in text

    for half in ({"data": None}, {"sequences": "x"}, {"sequence_data": "x"}):
        with pytest.raises(ValueError, match="go together"):
            scoreboard.measure(plan._replace(**half), tmp_path / "S.md")


def test_a_model_of_what_is_no_prose_is_asked_what_english_plays_no_part_in(asked, tmp_path):
    words, rng = [*"CNOS()=.", "Cl", ">>"], np.random.default_rng(0)
    config, _, _ = tiny_model.make(vocab_size=len(words) + 5, num_hidden_layers=2, max_position_embeddings=20)
    pretrained.save(tmp_path / "reactions", config, pretraining.initial_parameters(config, 0),
                    Tokenizer(Vocabulary([*command.SPECIAL, *words]), lower_case=False, max_length=20, cut="Cl|>>|."))
    (tmp_path / "lines.txt").write_text("".join(f"{''.join(rng.choice(words, 9))}\n" for _ in range(60)), encoding="utf-8")
    plan = Plan(seeds=1, quick=True, names=("contextual", "replaced"))
    scoreboard.measure(plan, tmp_path / "S.md")
    before = scoreboard.read(tmp_path / "S.jsonl")
    assert [unit for unit in scoreboard.units(plan) if unit.side != "world"] == []
    plan = plan._replace(sequences=str(tmp_path / "reactions"), sequence_data=str(tmp_path / "lines.txt"))
    scoreboard.measure(plan, tmp_path / "S.md")
    assert asked[2:] == [("replaced", str(tmp_path / "reactions"), 0)]
    *known, record = scoreboard.read(tmp_path / "S.jsonl")
    assert known == before  # their keys are what they were
    assert (record["side"], record["real"], record["text"], record["sentences"]) == ("sequences", "reactions", "lines.txt", 60)
    text = (tmp_path / "S.md").read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if "**replaced**" in line]
    assert f"not measured yet; sequences: {record['lines'][0][0]}: {record['lines'][0][1]:.3f}" in line
    assert line.endswith(f"| sequences: {record['verdict']} |")
    assert f"| sequences: {record['lines'][0][0]} | " in text
    [line] = [line for line in text.splitlines() if line.startswith("| 27 | **scoreboard**")]
    assert line.endswith(f"sequences: {record['verdict']}: 1, not measured: {len(scoreboard.NO_ENGLISH) - 1} |")


def test_the_last_row_counts_the_verdicts():
    verdicts = {"spans": ["agrees"] * 2, "trees": ["agrees", "contradicts"], "flow": ["agrees"],
                "deletion": ["cannot show at this size"]}
    key = {"side": "world", "bundled": False, "model": "m", "data": "d", "sentences": 1, "lines": []}
    records = [{**key, "name": name, "verdict": verdict} for name, said in verdicts.items() for verdict in said]
    records.append({**key, "name": "gates", "side": "real", "verdict": "contradicts"})
    [line] = [line for line in scoreboard.markdown(records, Plan()).splitlines() if line.startswith("| 27 |")]
    rest = len(analyses.NAMES) - 4
    assert line.endswith(f"| agrees: 2, cannot show at this size: 1, seeds differ: 1, not measured: {rest} | "
                         f"contradicts: 1, not measured: {rest + 3} |")


def test_what_cannot_be_measured_says_why(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "QUICK", 5)
    scoreboard.measure(Plan(seeds=1, quick=True, names=["contextual"]), tmp_path / "S.md")
    assert "not measured: the world of 201 words has 5 different sentences" in (tmp_path / "S.md").read_text(encoding="utf-8")
    key = '{"name": "trees", "side": "world", "seed": 0, "quick": true, "source": "x"'
    for damaged in ('{"name": "trees"', "", "[]", key + "}", key.replace('"trees"', "[1]") + ', "refused": "no"}',
                    key + ', "bundled": false, "verdict": "agrees", "lines": [["a", 1]]}'):
        (tmp_path / "T.jsonl").write_text(f"{(tmp_path / 'S.jsonl').read_text(encoding='utf-8')}{damaged}\n", encoding="utf-8")
        with pytest.raises(ValueError, match=r"T\.jsonl, line 2: this is no record of a scoreboard; delete the line"):
            scoreboard.read(tmp_path / "T.jsonl")


def test_the_model_of_the_world_is_trained_once_and_kept(tmp_path, monkeypatch, capsys):
    runs = []

    def run(args):
        runs.append(args)
        print("training")
        if len(runs) == 1:
            return 130  # Ctrl-C
        folder = world_model.folder_of("small", 3)
        pretrained.save(folder, *(getattr(untrained(3), part) for part in ("config", "parameters", "tokenizer")))
        (folder / command.GUESSES).write_text("", encoding="utf-8")
        return 0

    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path))
    monkeypatch.setattr(command, "run", run)
    with pytest.raises(KeyboardInterrupt):
        world_model.load("small", 3)
    assert (runs[0].corpus, runs[0].steps, runs[0].seed, runs[0].next_sentence) == (["world-small"], 3000, 3, False)
    folder = world_model.folder_of("small", 3)
    (folder / command.checkpoint.FILE).write_text("", encoding="utf-8")
    assert subject.world_of(world_model.load("small", 3)).words == WORLD.words
    assert runs[1].resume == str(folder) == str(tmp_path / folder.name)
    world_model.load("small", 3)
    assert len(runs) == 2
    assert world_model.folder_of("small", 3, 10).name == "world-small-10-3"
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="small or full, got 'large'"):
        world_model.load("large")

    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=rf"cannot be used: .*model\.safetensors.*; delete {re.escape(str(folder))}, and"):
        world_model.load("small", 3)


def test_a_cache_that_cannot_be_used(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"cannot be made: .*; name another folder with MINIBERT_CACHE"):
        world_model.load()
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path))
    world_model.folder_of("small", 0).mkdir()
    (world_model.folder_of("small", 0) / command.checkpoint.LOG).write_text("", encoding="utf-8")
    with pytest.raises(FileExistsError, match="another run is training it now, or one was killed; wait for it, or delete"):
        world_model.load()


def test_the_command(asked, tmp_path, monkeypatch, capsys):
    out = str(tmp_path / "out")
    assert cli.main(["analyse", "contextual", "--quick", "--out", out]) == 0
    shown = capsys.readouterr().out
    assert "verdict: " in shown
    assert shown.startswith("contextual (quick): ")
    assert (tmp_path / "out" / "contextual.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((tmp_path / "out" / "contextual.json").read_text(encoding="utf-8"))
    assert written["result"]["sentences"] <= 150
    assert cli.main(["analyse", "--list"]) == 0
    assert " 6  trees in single heads" in capsys.readouterr().out
    monkeypatch.setattr(analyses, "NAMES", NAMES)
    assert cli.main(["analyse", "--all", "--quick", "--out", out]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{name} " in shown for name in NAMES)


def test_the_command_tells_of_each_run(tmp_path, monkeypatch, capsys):
    def measure(plan, page, told, progress):
        assert plan.reads == {"sequences": ("rxnfp", "reactions.txt")}
        records = {"refused": "no heads"}, {"verdict": "agrees", "seconds": 2}
        for unit, record in zip(progress(scoreboard.units(plan)[:2]), records):
            told(unit, record)

    monkeypatch.setattr(scoreboard, "measure", measure)
    assert cli.main(["analyse", "--scoreboard", "--sequences", "rxnfp", "--sequence-data", "reactions.txt", "--out",
                     str(tmp_path / "S.md")]) == 0
    shown = capsys.readouterr().out
    assert "spans, world, seed 0: not measured: no heads\n" in shown
    assert "seed 0: agrees (2 s)\n" in shown


def test_where_the_results_cannot_go_is_said_before_the_work(asked, tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for arguments, out, message in [(["contextual"], "file", "file is a file; expected a folder"),
                                    (["contextual"], "file/below", "file is a file; expected a folder"),
                                    (["--scoreboard"], ".", "is a folder; expected a name for the page"),
                                    (["--scoreboard"], "S.jsonl", "is the name of the records; expected a name for the page"),
                                    (["--scoreboard"], "none/S.md", "there is no folder")]:
        assert cli.main(["analyse", *arguments, "--quick", "--out", str(tmp_path / out)]) == 2
        assert message in capsys.readouterr().err
    assert not asked


def test_ctrl_c_shows_what_was_done(asked, tmp_path, monkeypatch, capsys):
    run = analyses.run
    monkeypatch.setattr(analyses, "NAMES", NAMES)
    monkeypatch.setattr(analyses, "run", lambda name, of: (_ for _ in ()).throw(KeyboardInterrupt) if asked else run(name, of))
    assert cli.main(["analyse", "--all", "--quick", "--out", str(tmp_path)]) == 130
    assert "\ncontextual     " in capsys.readouterr().out
    assert (tmp_path / "contextual.json").is_file()


def test_what_a_real_model_cannot_read_is_said_before_anything_is_measured(asked, tmp_path, monkeypatch):
    bert = untrained(5)
    pretrained.save(tmp_path / "real", bert.config, bert.parameters, bert.tokenizer)
    plan = Plan(real=str(tmp_path / "real"), data=str(tmp_path / "none"), seeds=1, quick=True, names=NAMES)
    with pytest.raises(FileNotFoundError):
        scoreboard.measure(plan, tmp_path / "S.md")
    assert not asked
    (tmp_path / "some").write_text("the cat sleeps .\n" * 5, encoding="utf-8")
    monkeypatch.setattr(pretrained, "bundled", lambda: (_ for _ in ()).throw(ValueError("it reads none of it")))
    scoreboard.measure(plan._replace(data=str(tmp_path / "some"), names=["contextual"]), tmp_path / "S.md")
    records = {record["side"]: record for record in scoreboard.read(tmp_path / "S.jsonl")}
    assert "some has 1 different sentences of two words or more that the model can read" in records["real"]["refused"]


def test_what_compares_two_trainings_takes_a_second_one(asked, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(world_model, "load", lambda size, seed, steps: loaded.append((seed, steps)) or untrained(seed))
    assert cli.main(["analyse", "similarity", "--quick", "--steps", "9", "--seed", "4", "--out", str(tmp_path)]) == 0
    assert loaded == [(4, 9), (5, 9)]


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "one of them"), (["trees", "--list"], "one of them"), (["--all", "a", "b"], "--all takes no NAME"),
    (["trees", "--real", "x"], "--real goes with --scoreboard"), (["trees", "--sequences", "x"], "go with --scoreboard"),
    (["trees", "--seed", "-1"], "--seed must be at least 0"),
    (["trees", "--steps", "0"], "--steps must be at least 1"), (["trees", "x", "--steps", "9"], "x is trained: leave one"),
    (["--scoreboard", "--seed", "3"], "leave --seed and --other out"),
    (["trees", "--data", "x.conllu"], "name one"), (["tress"], "there is no analysis 'tress'"),
])
def test_arguments_that_do_not_go_together(arguments, message, capsys):
    assert cli.main(["analyse", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_page_that_is_kept_was_written_from_what_was_measured():
    """Of every record the page has the analysis and its numbers, and it names no folder of the machine."""
    folder = Path(__file__).parents[2] / "docs"
    page = (folder / "SCOREBOARD.md").read_text(encoding="utf-8")
    records = scoreboard.read(folder / "SCOREBOARD.jsonl")
    assert {record["side"] for record in records} >= {"world", "real"}
    groups = {}
    for record in records:
        groups.setdefault((record["name"], record["side"]), []).append(record)
    for (name, side), some in groups.items():
        assert f"## {name}\n" in page
        for line in scoreboard._lines([record for record in some if "lines" in record]):
            assert f"| {side}: {scoreboard._cell(line[0])} | {' | '.join(map(scoreboard._cell, line[1:]))} |" in page
    assert "/tmp" not in page
    assert "/home" not in page
