"""`stability promote`, against a real store of MLflow's: the gate, the record, the way back, and kills in between."""

import json
import sqlite3
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
from registering import DAY, GOOD, MODEL, NOTHING, SPLIT, WEAK, dump, enter, rows

from stability import cli, datasets
from stability.schema import ContractError
from stability.workbench import champions, gate, models, registry, tracking
from stability.workbench.provenance import digest
from stability.workbench.retention import prune


@pytest.fixture(autouse=True)
def made_up_data(monkeypatch):
    """A dataset that nobody has to read: its fingerprint is its options'."""
    monkeypatch.setattr(datasets, "fingerprint", lambda name, **options: digest([name, options]))


def aliases():
    found = tracking.open_store().get_registered_model(MODEL).aliases
    return {alias: str(number) for alias, number in found.items()}


def record(promotion):
    return tracking.open_store().get_run(promotion.run_id)


def test_the_first_one_has_to_beat_the_base_rate(workbench):
    enter(*NOTHING)
    refused = champions.promote(MODEL, by="ann", why="first")
    assert not refused.moved
    assert "base rate" in refused.sentence
    assert record(refused).info.status == "FINISHED"
    assert record(refused).data.tags["stability.verdict"] == "refused"
    assert aliases() == {"challenger": "1"}
    enter(*GOOD)
    done = champions.promote(MODEL, by="ann", why="see sql://me:s3cret@db")
    assert done.moved
    assert (done.version, done.before, done.attempts) == ("2", None, 2)
    assert aliases() == {"champion": "2"}
    run = record(done)
    assert run.info.status == "FINISHED"
    assert run.data.tags["stability.by"] == "ann"
    assert "s3cret" not in "".join(dump(workbench))
    assert run.data.metrics["pr_auc.lo"] == done.table.loc["pr_auc", "lo"] > 0
    pd.testing.assert_frame_equal(tracking.load_table(done.run_id, "comparison").set_index("measure"), done.table)
    version = models.champion(MODEL)
    assert (version.number, version.tags["promotion.run"], version.tags["promotion.by"]) == ("2", done.run_id, "ann")
    with pytest.raises(ContractError, match="another version than the champion"):
        champions.promote(MODEL, version=2)


def test_a_better_one_takes_the_place_and_gives_it_back(workbench):
    enter(*WEAK)
    assert champions.promote(MODEL).moved
    enter(*GOOD)
    rehearsed = dump(workbench)
    would = champions.promote(MODEL, dry_run=True)
    assert dump(workbench) == rehearsed, "a rehearsal writes nothing"
    done = champions.promote(MODEL)
    assert done.moved
    assert would == done._replace(run_id=None, table=would.table)
    assert done.table.loc["pr_auc", "lo"] > 0
    assert aliases() == {"champion": "2", "previous": "1"}
    enter(*WEAK)
    refused = champions.promote(MODEL)
    assert not refused.moved
    assert "not for certain above 0" in refused.sentence
    assert "worse for certain" in refused.sentence
    assert aliases() == {"champion": "2", "previous": "1", "challenger": "3"}
    before = dump(workbench)
    assert champions.undo(MODEL, dry_run=True).version == "1"
    assert dump(workbench) == before
    back = champions.undo(MODEL, why="alarms at night", by="ben")
    assert (back.version, back.before) == ("1", "2")
    assert aliases() == {"champion": "1", "challenger": "3"}
    tags = record(back).data.tags
    assert (tags["stability.verdict"], tags["stability.why"], tags["stability.by"]) == (
        "undone",
        "alarms at night",
        "ben",
    )
    assert models.find(MODEL, version="2").tags["promotion.undone"] == back.run_id
    with pytest.raises(ContractError, match="only version 1"):
        champions.undo(MODEL)
    assert champions.promote(MODEL, version=2).moved, "what was undone may win again"
    assert aliases() == {"champion": "2", "previous": "1", "challenger": "3"}


def test_not_worse_is_for_what_is_not_more_complex_and_needs_a_reason(workbench):
    enter(*GOOD, kind="xgboost")
    assert champions.promote(MODEL).moved
    enter(*GOOD, "queue")
    assert not champions.promote(MODEL).moved or champions.undo(MODEL), (
        "better for certain or not, it begins as challenger"
    )
    with pytest.raises(ContractError, match="reason"):
        champions.promote(MODEL, version=2, gate="not-worse")
    with pytest.raises(ContractError, match="gate"):
        champions.promote(MODEL, version=2, gate="nicer")
    done = champions.promote(MODEL, version=2, gate="not-worse", margin=0.05, why="weights that one can read")
    assert done.moved
    assert record(done).data.tags["stability.gate"] == "not-worse, margin 0.05"
    refused = champions.promote(MODEL, version=1, gate="not-worse", why="back")
    assert not refused.moved
    assert "more complex" in refused.sentence


def test_only_the_same_rows_are_compared(workbench):
    enter(*WEAK)
    champions.promote(MODEL)
    enter(*GOOD, options={"night": 2}, split="rows of the second night", seed=6)
    refused = champions.promote(MODEL)
    assert not refused.moved
    for wanted in ("the data", digest(["made", {}]), "the test part", SPLIT, "add_evidence"):
        assert wanted in refused.sentence
    features, happened = rows(6)
    said = models.load(MODEL).predict(features)
    evidence = pd.DataFrame({"outcome": happened, "probability": said}, features.index)
    night = {"dataset": "made", "split": "rows of the second night", "options": {"night": 2}}
    models.add_evidence(MODEL, evidence.assign(outcome=~happened), **night)
    assert "whose outcome is another" in champions.promote(MODEL, dry_run=True).sentence
    models.add_evidence(MODEL, evidence.iloc[:-3], **night)
    assert "1,197 in common" in champions.promote(MODEL, dry_run=True).sentence
    models.add_evidence(MODEL, evidence, **night)
    assert champions.promote(MODEL).moved
    early = evidence.rename(index=lambda moment: moment - pd.Timedelta("1D"), level="timestamp")
    with pytest.raises(ContractError, match="may have learnt from"):
        models.add_evidence(MODEL, early, version="1", **night)


def test_what_cannot_be_read_is_nobodys_champion(workbench):
    for columns in (WEAK, GOOD):
        enter(*columns)
    champions.promote(MODEL, version=1)
    files = sorted(
        (workbench.folder / "mlartifacts").rglob("data/predictor/predictor.json"), key=lambda p: p.stat().st_mtime
    )
    files[1].write_text(files[1].read_text() + " ")
    with pytest.raises(ContractError, match="sha256"):
        champions.promote(MODEL)
    assert aliases() == {"champion": "1", "challenger": "2"}


def test_evidence_that_was_altered_is_none(workbench):
    made = enter(*GOOD)
    (path,) = (workbench.folder / "mlartifacts").rglob("evidence-*.parquet")
    frame = pd.read_parquet(path)
    frame["probability"] = frame["outcome"].astype(float)
    frame.to_parquet(path)
    with pytest.raises(ContractError, match="no evidence"):
        champions.promote(MODEL, version=made.number)
    path.unlink()
    with pytest.raises(ContractError, match="evidence"):
        champions.promote(MODEL)
    assert "champion" not in aliases()


WRITES = (
    "create_run",
    "log_batch",
    "log_artifact",
    "set_registered_model_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
    "set_terminated",
)


def restore(source, target):
    """Put a store in another's place, also while somebody has it open."""
    with sqlite3.connect(source) as kept, sqlite3.connect(target) as store:
        kept.backup(store)


def found_by_writes(monkeypatch, folder, act):
    """Run something, and keep the store as each of its writes found it: what a process leaves that is killed there."""
    found = []
    with monkeypatch.context() as patch:
        for name in WRITES:
            real = getattr(mlflow.MlflowClient, name)

            def write(self, *arguments, _real=real, **options):
                found.append(folder / f"mlflow.db.{len(found)}")
                restore(folder / "mlflow.db", found[-1])
                return _real(self, *arguments, **options)

            patch.setattr(mlflow.MlflowClient, name, write)
        act()
    return found


@pytest.fixture
def contested(workbench):
    """A store with a champion, the one before, and a better challenger."""
    for columns in (WEAK, GOOD, GOOD):
        enter(*columns)
    for number in "12":
        assert champions.promote(MODEL, version=number).moved
    return workbench


def test_a_kill_between_any_two_writes_can_be_mended(contested, monkeypatch):
    restore(contested.folder / "mlflow.db", contested.folder / "mlflow.db.kept")
    passed = gate.judge(evidence(1.0), evidence(0.3), resamples=200)
    (key,) = registry.evidence_of(models.find(MODEL, "challenger"))
    monkeypatch.setattr(champions, "_judged", lambda *versions, **rule: (key, passed))  # the same each time, and quick
    settled = {"2": {"champion": "2", "previous": "1", "challenger": "3"}, "3": {"champion": "3", "previous": "2"}}
    undone = {"2": settled["2"], "1": {"champion": "1", "challenger": "3"}}
    for act, ends in (
        (lambda: champions.promote(MODEL, why="a trial"), settled),
        (lambda: champions.undo(MODEL), undone),
    ):
        seen = set()
        restore(contested.folder / "mlflow.db.kept", contested.folder / "mlflow.db")
        states = found_by_writes(monkeypatch, contested.folder, act)
        for state in states:
            restore(state, contested.folder / "mlflow.db")
            client = tracking.open_store()
            current = aliases()["champion"]
            assert current in ends, "the old one or the new one, never none"
            if current not in seen:
                models.load(MODEL)  # whose files no write touches
            champions._settle(client, MODEL)  # what the next promotion does first
            assert aliases() == ends[current]
            assert json.loads(client.get_registered_model(MODEL).tags[champions.ORDER])[-1] == current
            runs = client.search_runs([client.get_experiment_by_name("promotions").experiment_id])
            assert not [run for run in runs if run.info.status == "RUNNING"]
            dead = [run for run in runs if run.info.status == "KILLED"]
            assert len(dead) <= 1
            if current == "3":
                assert models.champion(MODEL).tags["promotion.why"] == "a trial"
                assert not dead
            seen.add(current)
        assert seen == set(ends), "killed before and after the write that decides"
        assert len(states) > 5


def test_two_promotions_at_a_time_are_refused(workbench, monkeypatch):
    real = champions.locked
    monkeypatch.setattr(champions, "locked", lambda path, patience: real(path, patience=0.0))
    alone, refused = tracking.locked, pytest.raises(ContractError, match="one promotion at a time")
    with alone(workbench.folder / "runs" / ".promotions.lock"), refused:
        champions.promote(MODEL)


def test_a_champion_that_was_moved_by_hand_counts(workbench):
    enter(*WEAK)
    enter(*GOOD)
    client = tracking.open_store()
    client.set_registered_model_alias(MODEL, "champion", "1")
    client.set_registered_model_tag(MODEL, champions.ORDER, "no list")
    assert champions.promote(MODEL).moved
    assert aliases() == {"champion": "2", "previous": "1"}
    client.set_registered_model_alias(MODEL, "champion", "1")
    with pytest.raises(ContractError, match="only version 1"):
        champions.undo(MODEL)


def test_pruning_keeps_what_a_promoted_model_came_from(workbench):
    client = tracking.open_store()
    night = client.create_experiment("night", artifact_location=(workbench.folder / "mlartifacts" / "night").as_uri())
    made = []
    for columns in (WEAK, GOOD, NOTHING, NOTHING):
        run = client.create_run(night, start_time=1, tags={"stability.run": f"night/{len(made)}"})
        with mlflow.start_run(run_id=run.info.run_id):
            made.append(enter(*columns))
        if len(made) < 3:
            champions.promote(MODEL)
    gone = prune(keep_days=90)
    assert gone.models == [f"{MODEL}/3"], "neither champion, nor the one before, nor the challenger"
    assert gone.runs == [made[2].run_id]
    features, _ = rows()
    for alias in registry.ALIASES:
        models.load(MODEL, alias).predict(features)
    assert champions.undo(MODEL).version == "1"
    mlflow.set_tracking_uri(None)


def call(monkeypatch, capsys, *arguments):
    """What the command line prints, and its exit code."""
    monkeypatch.setattr(sys, "argv", ["stability", "promote", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out + said.err


def test_the_command_tells_why_and_ends_with_its_code(workbench, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    code, said = call(monkeypatch, capsys, MODEL)
    assert (code, "there are none" in said) == (2, True)
    enter(*WEAK)
    code, said = call(monkeypatch, capsys, MODEL, "--dry-run")
    assert (code, "would be the champion, the first one" in said) == (0, True)
    code, said = call(monkeypatch, capsys, MODEL, "--by", "ann", "--why", "it begins")
    assert code == 0
    assert f"{MODEL} 1 is the champion" in said
    assert "base rate" in said
    assert "experiment promotions" in said
    enter(*NOTHING)
    code, said = call(monkeypatch, capsys, MODEL)
    assert (code, "was refused; version 1 stays" in said) == (1, True)
    enter(*GOOD)
    code, said = call(monkeypatch, capsys, MODEL, "--block", "2D")
    assert (code, "is the champion, in place of version 1" in said) == (0, True)
    assert "have decided about 3 versions" in said
    code, said = call(monkeypatch, capsys, MODEL, "--undo", "--dry-run")
    assert (code, "1 would be the champion again" in said) == (0, True)
    code, said = call(monkeypatch, capsys, MODEL, "--undo")
    assert (code, "1 is the champion again, in place of version 3" in said) == (0, True)
    for wrong in (("--gate", "nicer"), ("--version", "9"), ("--undo",), ("--undo", "--version", "1"), ("--block", "x")):
        code, said = call(monkeypatch, capsys, MODEL, *wrong)
        assert code == 2, said
        assert "Traceback" not in said
        assert aliases()["champion"] == "1"


# ---- the gate itself ---------------------------------------------------------------------------------------------
def evidence(strength, seed=0, entities=15, count=60, noise=1):
    """What a predictor of some strength says of rows, and what came."""
    rng = np.random.default_rng(7)
    stamps = pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC", unit="us")
    index = pd.MultiIndex.from_product([[f"e{k}" for k in range(entities)], stamps], names=["entity", "timestamp"])
    real = rng.normal(size=len(index)) - 2
    outcome = rng.random(len(index)) < 1 / (1 + np.exp(-2 * real))
    other = np.random.default_rng(seed).normal(size=len(index)) * noise
    odds = 2 * (strength * real + (1 - strength) * (other - 2))
    return gate.evidence_table(pd.DataFrame({"outcome": outcome, "probability": 1 / (1 + np.exp(-odds))}, index), DAY)


def test_the_gate_takes_what_is_better_and_nothing_else():
    strong, weak, alike = evidence(1.0), evidence(0.3), evidence(0.3, seed=1)
    assert gate.judge(strong, weak).passed
    assert not gate.judge(weak, strong).passed
    assert not gate.judge(weak, weak).passed
    assert not gate.judge(weak, alike).passed
    assert gate.judge(weak, weak, gate="not-worse", margin=0.02, kinds=("logistic", "xgboost")).passed
    assert not gate.judge(weak, strong, gate="not-worse", kinds=("logistic", "xgboost")).passed
    assert not gate.judge(weak, weak, gate="not-worse", kinds=("lstm", "xgboost")).passed
    table = gate.judge(strong, weak).table
    assert table.loc["pr_auc", "difference"] == pytest.approx(
        table.loc["pr_auc", "challenger"] - table.loc["pr_auc", "rival"]
    )
    squares = [((one["probability"] - one["outcome"]) ** 2).mean() for one in (strong, weak)]
    assert table.loc["brier", ["challenger", "rival"]].tolist() == pytest.approx(squares)


def test_a_better_ranking_does_not_pay_for_worse_probabilities():
    strong, weak = evidence(1.0), evidence(0.3)
    shouting = strong.assign(probability=strong["probability"] ** 0.1)
    verdict = gate.judge(shouting, weak)
    assert verdict.table.loc["pr_auc", "lo"] > 0
    assert not verdict.passed
    assert verdict.sentence.endswith("worse for certain.")
    assert not gate.judge(shouting, None).passed


def test_too_few_cases_are_not_enough_evidence():
    one = evidence(1.0, entities=1, count=20)
    verdict = gate.judge(one, None)
    assert not verdict.passed
    assert "not enough evidence" in verdict.sentence
    never = evidence(1.0).assign(outcome=False)
    assert "not enough evidence" in gate.judge(never, never).sentence
    assert gate.measures(never) == {}


def test_evidence_comes_in_any_order_and_form():
    whole = evidence(0.5)
    flat = whole.reset_index().sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(gate.evidence_table(flat, DAY), whole)
    with pytest.raises(ContractError, match="margin"):
        gate.judge(whole, whole, margin=-1)
    assert gate.same_rows(whole, whole) == ""
    assert "in common" in gate.same_rows(whole, whole.iloc[1:])
