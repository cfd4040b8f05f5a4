"""What the time to a loss is made of, on runs whose figures are known."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
pytest.importorskip("benchmarks", reason="the benchmarks run from the checkout")

from benchmarks import time_to_loss
from benchmarks.time_to_loss import CANDIDATES, Candidate, table
from minibert.training.loop import NEEDED, write_rows
from minibert.training.options import Settings

NONE = ["--recipe", "none"]
WHERE = {"cpu": "a processor", "threads": 1, "cores": 2, "memory": "1 GiB", "system": "Linux", "date": "2026-11-29",
         "python": "3", "blas": "a library"}


def record(candidate, seed, losses, cpu, load=0.0, **more):
    options, share = CANDIDATES[candidate]
    end = round(1200 * share)
    return {"candidate": candidate, "options": [*options], "share": share, "seed": seed, "steps": 1200, "threads": 1,
            "looks": [[end * (i + 1) // len(losses), loss] for i, loss in enumerate(losses)], "cpu_seconds": cpu,
            "seconds": 2 * cpu, "beside": load, "where": WHERE, **more}


def keyed(*found):
    return {(one["candidate"], one["seed"]): one for one in found}


def cells(text, name):
    [row] = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_target_of_a_seed_is_where_its_plain_run_ends_and_a_run_counts_up_to_the_first_look_that_sees_it():
    text = table(keyed(record("plain", 0, [6, 5, 4.2], 120), record("plain", 1, [6, 5, 4.0], 120),
                       record("muon", 0, [5, 4.1, 3.9], 150), record("muon", 1, [5, 4.0, 3.8], 150)))
    assert cells(text, "plain")[5:] == ["-", "1,200 ± 0", "120 ± 0", "1.00 ± 0.00", "1.00 ± 0.00"]
    assert cells(text, "muon") == ["muon", "2", "1,200", "3.850 ± 0.071", "-0.250 ± 0.071", "-", "800 ± 0", "100 ± 0",
                                   "1.20 ± 0.00", "1.20 ± 0.00"]


def test_a_shorter_run_counts_by_its_own_steps():
    text = table(keyed(record("plain", 0, [6, 4], 120), record("muon, half", 0, [5, 3.9], 75, pairs_right=0.625)))
    assert cells(text, "muon, half")[2:] == ["600", "3.900", "-0.100", "62.5%", "600", "75", "1.60", "1.60"]


def test_who_does_not_get_there_has_no_time_and_a_busy_machine_no_clock():
    text = table(keyed(record("plain", 0, [6, 4], 120, load=3.0), record("muon", 0, [5, 4.5], 75)))
    assert cells(text, "muon")[6:] == ["0 of 1 get there", "-", "-", "-"]
    assert cells(text, "plain")[-1] == "-"
    assert "The clock has no say" in text


def test_all_are_asked_what_the_plain_run_is_asked(monkeypatch):
    monkeypatch.setattr(time_to_loss, "HELD_OUT", lambda settings, *of: (settings, *of))
    easier = Settings(seed=3, micro_batch_tokens=64, next_sentence=False, mask_rate=(0.4,), batch_size=32)
    assert time_to_loss.asked(easier, "model", "text") == (Settings(seed=3, micro_batch_tokens=64), "model", "text")


def test_what_is_kept_is_not_measured_again_until_its_options_change(tmp_path, monkeypatch, capsys):
    trained = []

    def minibert(arguments):
        out = Path(arguments[arguments.index("--out") + 1])
        trained.append(arguments[1:arguments.index("--steps")])
        out.mkdir()
        write_rows(out / "metrics.csv", [{**dict.fromkeys(NEEDED, 1.0), "step": step, "held_out_mlm_loss": loss}
                                         for step, loss in ((1, None), (2, 5.5), (4, 4.5))])
        return 0

    monkeypatch.setattr(time_to_loss, "minibert", minibert)
    monkeypatch.setattr(time_to_loss, "table", lambda runs: sorted(runs))  # these runs take no time
    options = ["muon", "--seeds", "2", "--steps", "4", "--records", str(tmp_path / "records.jsonl")]
    for _ in range(2):
        assert time_to_loss.main(options) == 0
        assert trained == [NONE, [*NONE, *CANDIDATES["muon"].options]] * 2  # by turns, seed by seed
    [first, *_] = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert first["looks"] == [[2, 5.5], [4, 4.5]]
    monkeypatch.setitem(CANDIDATES, "muon", Candidate(("--optimiser", "muon")))
    assert time_to_loss.main(options) == 0
    assert trained[4:] == [[*NONE, "--optimiser", "muon"]] * 2
    assert "plain, seed 0: 4.500 nats" in capsys.readouterr().out
