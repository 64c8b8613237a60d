"""`stability feedback label`, `labels`, ... from a terminal: single, in bulk, and what is wrong told in a sentence."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import stability as run

from stability.adaptation.alarm_labels import AlarmLabels
from stability.adaptation.drafts import withdraw
from stability.adaptation.recorded import read_recorded
from stability.backup.contents import contents
from stability.detection import raise_alarms, read_accepted
from stability.feedback.incidents import read_alarms
from stability.records.privacy import erase, is_pseudonym
from stability.rules import firings, literal_of, read_rules
from stability.schema import empty, validate, write_table
from stability.telemetry import read

BEGIN = pd.Timestamp("2026-01-01T12:00", tz="UTC")


def stability(*arguments):
    """Run a verb in the environment of the test."""
    return run(Path.cwd(), "feedback", *map(str, arguments), **os.environ)


@pytest.fixture
def night(workbench, tmp_path, monkeypatch):
    """A table of twelve alarms: of two detectors, on three entities, a minute apart."""
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    rows = [
        {"alarm_id": f"{who}/web-{k % 3}/{k}", "entity": f"web-{k % 3}", "start": BEGIN + pd.Timedelta(minutes=k),
         "end": BEGIN + pd.Timedelta(minutes=k), "detector": who, "metrics": "load", "score": 5.0, "threshold": 4.0}
        for who in ("novelty", "random") for k in range(6)
    ]  # fmt: skip
    return write_table(validate(pd.DataFrame(rows), "alarms"), tmp_path / "alarms.parquet", "alarms")


def test_one_alarm_and_many_are_labelled_and_listed(night):
    one = stability("label", night, "novelty/web-1/1", "--confirmed", "--reason", "pager rang", "--by", "anna")
    assert one.returncode == 0, one.stderr
    assert "1 of 12 alarms: 1 by novelty\n  novelty/web-1/1\n1 labelled confirmed, 0 were so already" in one.stdout
    many = stability(
        "label", night, "--detector", "random", "--between", "2026-01-01T12:02", "2026-01-01T12:04", "--discarded"
    )
    assert "3 of 12 alarms: 3 by random" in many.stdout
    assert "3 labelled discarded" in many.stdout
    assert (
        "0 labelled discarded, 3 were so already"
        in stability(
            "label", night, "--detector", "random", "--between", "2026-01-01T12:02", "2026-01-01T12:04", "--discarded"
        ).stdout
    )
    dry = stability("label", night, "--all", "--unsure", "--dry-run")
    assert "12 of 12 alarms: 6 by novelty, 6 by random" in dry.stdout
    assert "and 2 more\nNothing was labelled." in dry.stdout
    listed = stability("labels", night)
    assert "12:01:00 novelty/web-1/1 confirmed: pager rang" in listed.stdout
    assert "4 of 12 alarms labelled: 1 confirmed, 3 discarded, 0 unsure" in listed.stdout
    alone = json.loads(stability("labels", "--json").stdout)
    assert sorted(row["label"] for row in alone) == ["confirmed", *["discarded"] * 3]
    night.unlink()
    assert "4 alarms labelled: 1 confirmed, 3 discarded, 0 unsure" in stability("labels", "--limit", "1").stdout


def test_labels_travel_as_a_file(night, tmp_path):
    stability("label", night, "--entity", "web-0", "--discarded")
    assert "4 labels in" in stability("labels", "--export", tmp_path / "all.csv").stdout
    assert "0 new, 4 known already" in stability("labels", "--import", tmp_path / "all.csv").stdout
    labels = AlarmLabels()
    labels.path.unlink()
    assert "4 new, 0 known already" in stability("labels", "--import", tmp_path / "all.csv").stdout
    assert labels.current()["label"].tolist() == ["discarded"] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["novelty/web-1/11", "--confirmed"], "did you mean 'novelty/web-1/1'"),
        (["novelty/web-1/1", "--confirmed", "--discarded"], "got --confirmed and --discarded"),
        (["novelty/web-1/1"], "one of --confirmed or --discarded or --unsure, got none"),
        (["--confirmed"], "names of alarms, or what they have in common"),
        (["--all", "--entity", "web-1", "--confirmed"], "more than one of these"),
        (["--entity", "web-9", "--confirmed"], "the name of one entity, got 'web-9'"),
        (["--between", "noon", "one", "--confirmed"], "a moment, 2026-01-31T12:00Z, got 'noon'"),
        (["--between", "2027-01-01", "2027-01-02", "--confirmed"], "alarms that match, got none of 12"),
        (["--all", "--confirmed", "--reason", "x" * 3000], "at most 2,000 characters, got 3,000"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_labels_nothing(night, arguments, said):
    done = stability("label", night, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert AlarmLabels().frame().empty


def test_a_file_without_alarms_is_refused(night, tmp_path):
    nothing = write_table(empty("alarms"), tmp_path / "none.parquet", "alarms")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "head.csv").write_text("alarm_id,entity,start,detector\n")
    for path, said in (
        (nothing, "an alarm at least, got none"),
        (tmp_path / "empty.csv", "a CSV file in UTF-8 with a header"),
        (tmp_path / "head.csv", "an alarm at least, got none"),
        (tmp_path / "gone.parquet", "a table, a record, or the folder of a watch"),
    ):
        for verb in (["label", path, "--all", "--confirmed"], ["labels", path]):
            done = stability(*verb)
            assert done.returncode == 2, verb
            assert said in done.stderr
    assert stability("labels", "--import", tmp_path / "head.csv").returncode == 2


@pytest.fixture
def step(workbench, tmp_path, monkeypatch):
    """A step of detection: 24 long and high alarms that were worth it, 24 of one row that were not, in turn."""
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    stamps = pd.date_range(BEGIN, periods=48 * 30, freq="min", unit="us")
    index = pd.MultiIndex.from_product([["web-1"], stamps], names=["entity", "timestamp"])
    values = np.random.default_rng(0).uniform(0, 1, len(index))
    for k in range(48):
        values[30 * k + 5 : 30 * k + (6 if k % 2 else 11)] = 5.0 if k % 2 else 20.0
    scores = pd.DataFrame({"novelty": values}, index=index)
    alarms = raise_alarms(scores["novelty"], 4.0, merge=120.0)
    folder = tmp_path / "detect"
    write_table(scores, folder / "scores.parquet", "scores")
    limits = pd.DataFrame({"detector": ["novelty", "random"], "threshold": [4.0, 9.0]})
    write_table(limits, folder / "thresholds.parquet", "other")
    cells = [
        {
            "cell_type": "code",
            "source": "detector = 'novelty'\npolicy = {'merge': 600.0}",
            "metadata": {"tags": ["parameters"]},
        },
        {"cell_type": "code", "source": "policy = {'merge': 120.0}", "metadata": {"tags": ["injected-parameters"]}},
    ]
    (folder / "notebook.ipynb").write_text(json.dumps({"cells": cells}))
    return folder, alarms


def test_a_proposal_is_shown_accepted_and_taken_back(step, workbench):
    folder, alarms = step
    few = stability("propose", folder)
    assert (few.returncode, "label 5 discarded and 10 confirmed more" in few.stdout) == (1, True), few.stderr
    assert "0 proposals wait" in stability("propose").stdout
    long = alarms["end"] > alarms["start"]
    AlarmLabels().label(alarms[long], "confirmed")
    AlarmLabels().label(alarms[~long], "discarded")
    shown = stability("propose", folder)
    assert shown.returncode == 0, shown.stderr
    assert ": false alarms 24 -> 0" in shown.stdout
    assert "real ones lost 0 of 24" in shown.stdout
    names = [path.stem for path in (workbench.folder / "runs" / "feedback" / "proposals").glob("*.yaml")]
    name = next(one for one in names if one.startswith("threshold-novelty-"))
    assert all(one in stability("propose").stdout for one in names)
    refused = stability("accept", f"{name}0", "--why", "they sleep")
    assert (refused.returncode, f"did you mean '{name}'" in refused.stderr) == (2, True)
    assert stability("accept", name, "--why", " ").returncode == 2
    assert not (workbench.folder / "policies").exists(), "nothing changes by itself"
    said = "they sleep, anna says; call +44 20 7946 0958, password=hunter2hunter2"
    done = stability("accept", name, "--why", said, "--by", "anna")
    assert done.returncode == 0, done.stderr
    path = workbench.folder / "policies" / "novelty.yaml"
    told = read_accepted(path, "novelty")
    assert told.rules["times"] > 1
    assert is_pseudonym(told.evidence["accepted_by"])
    assert "anna" not in path.read_text()
    assert told.evidence["why"].startswith(f"they sleep, {told.evidence['accepted_by']} says; call [phone], password=[")
    assert told.evidence["backtest"]["false_after"] == 0
    silent = raise_alarms(pd.read_parquet(folder / "scores.parquet")["novelty"], 4.0, merge=120.0, **told.rules)
    assert set(silent["start"]) == set(alarms.loc[long, "start"])
    assert "policies/novelty.yaml" in contents(workbench.folder, encrypted=False).paths
    assert stability("withdraw", "novelty", "--why", "a miss").returncode == 2
    back = stability("withdraw", name, "--why", "a miss")
    assert back.returncode == 0, back.stderr
    assert read_accepted(path).rules == {}
    assert read_accepted(path).evidence["withdrawn_why"] == "a miss"
    assert f"{name} (novelty): withdrawn" in stability("propose").stdout
    again = stability("withdraw", name, "--why", "a miss")
    assert (again.returncode, "one that was taken back" in again.stderr) == (2, True)
    (workbench.folder / "policies" / "broken.yaml").write_text("[")  # of nobody, hence in nobody's way
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert erase("anna", dry_run=True).changed == [("policies/novelty.yaml", 1)]
    assert "they sleep" in path.read_text()
    erase("anna")
    forgot = read_accepted(path, "novelty").evidence
    assert (forgot["why"], forgot["withdrawn_why"]) == ("[erased]", "a miss")
    assert forgot["accepted_by"] == told.evidence["accepted_by"]
    assert [line for line in path.read_text().splitlines() if line.startswith("#")] == head


def test_a_policy_in_a_file_of_any_name_is_taken_back_where_it_is(workbench, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    folder = workbench.folder / "policies"
    folder.mkdir()
    for file, name in (("mine", "louder"), ("novelty", "longer")):
        (folder / f"{file}.yaml").write_text(f"name: {name}\ndetector: novelty\nchange: {{times: 2.0}}\n")
    assert withdraw("louder", why="a miss") == folder / "mine.yaml"
    assert read_accepted(folder / "mine.yaml").rules == {}
    assert read_accepted(folder / "novelty.yaml").rules == {"times": 2.0}


def test_a_night_with_an_accepted_policy_is_proposed_upon_from_the_threshold_before_it(step):
    folder, _ = step
    told = json.loads((folder / "notebook.ipynb").read_text())
    told["cells"][1]["source"] += "\naccepted = 'policies/novelty.yaml'"
    (folder / "notebook.ipynb").write_text(json.dumps(told))
    scores = pd.read_parquet(folder / "scores.parquet")["novelty"]
    loud = raise_alarms(scores, 4.0, merge=120.0, times={"web-1": 2.0})
    write_table(loud, folder / "alarms.parquet", "alarms")
    recorded = read_recorded(folder)
    assert (recorded.threshold, recorded.rules) == (4.0, {"merge": 120.0})


def test_a_step_that_is_none_is_a_sentence(step, tmp_path):
    folder, _ = step
    for arguments, said in (
        ([tmp_path / "none"], "the executed notebook of a step"),
        ([folder, "--detector", "novelti"], "did you mean 'novelty'"),
    ):
        done = stability("propose", *arguments)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    (folder / "notebook.ipynb").write_text(
        '{"cells": [{"source": "x = open(1)", "metadata": {"tags": ["parameters"]}}]}'
    )
    assert stability("propose", folder).returncode == 2, "nothing is evaluated"


def test_rules_are_proposed_from_labels_on_their_firings_and_written(workbench, tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    stamps = pd.date_range(BEGIN, periods=40 * 30, freq="min", unit="us")
    depth = np.random.default_rng(0).uniform(0.5, 2, len(stamps))
    for k in range(40):
        depth[30 * k + 10 : 30 * k + 18] = 6.0 if k % 2 else 20.0
    pd.DataFrame({"timestamp": stamps, "entity": "web", "queue_depth": depth}).to_csv(tmp_path / "own.csv", index=False)
    told = "groups:\n- name: g\n  rules:\n  - {alert: Busy, expr: queue_depth > 5}\n"
    (tmp_path / "rules.yaml").write_text(told)
    command = ["propose-rules", tmp_path / "rules.yaml", tmp_path / "own.csv"]
    nothing = stability(*command)
    assert (nothing.returncode, "None of 1 rules has labels" in nothing.stdout) == (1, True), nothing.stderr
    fired = firings(read_rules(tmp_path / "rules.yaml"), read(tmp_path / "own.csv"))
    write_table(fired, tmp_path / "firings.parquet", "other")
    names = read_alarms(tmp_path / "firings.parquet").sort_values("start")["alarm_id"].tolist()
    assert stability("label", tmp_path / "firings.parquet", *names[::2], "--confirmed").returncode == 0
    assert stability("label", tmp_path / "firings.parquet", *names[1::2], "--discarded").returncode == 0
    done = stability(*command, "--output", tmp_path / "better.yaml")
    assert done.returncode == 0, done.stderr
    assert "Busy: rule: false alarms 20 -> 0" in done.stdout
    (busy,) = read_rules(tmp_path / "better.yaml")
    assert 6 < literal_of(busy.expr) < 20
    assert (tmp_path / "rules.yaml").read_text() == told
