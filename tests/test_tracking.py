"""The store: one address from everywhere, metrics with intervals, tables that come back."""

import contextlib
import json
import os
import sqlite3

import commands
import mlflow
import numpy as np
import pandas as pd
import pytest

from stability.schema import ContractError, read_metadata
from stability.workbench import tracking


@pytest.fixture
def by_hand(workbench):
    """A run as a notebook opened by hand has it."""
    tracking.connect()
    with mlflow.start_run() as run:
        yield run
    mlflow.set_tracking_uri(None)


def test_address_is_the_same_from_every_folder(workbench, tmp_path):
    code = "from stability.workbench.tracking import store_uri; print(store_uri())"
    said = {
        commands.Begun(folder, "-c", code, **os.environ).communicate()[0]
        for folder in (tmp_path, workbench.folder, "/")
    }
    assert said == {f"sqlite:///{workbench.folder}/mlflow.db\n"}


def test_a_notebook_by_hand_logs_into_the_interactive_experiment(by_hand, workbench):
    found = mlflow.MlflowClient().get_experiment(by_hand.info.experiment_id)
    assert found.name == tracking.INTERACTIVE
    assert found.artifact_location == (workbench.folder / "mlartifacts" / "interactive").as_uri()


def test_metrics_carry_their_intervals(by_hand, tmp_path):
    tracking.log(
        output=tmp_path,
        estimates={"d.f1": (0.5, 0.4, 0.6), "d.none": (np.nan, np.nan, np.nan)},
        counts={"d.alarms": np.int64(3)},
        timings={"d.fit_seconds": 1.25},
    )
    tracking.log(output=tmp_path, counts={"d.more": 1})
    run = mlflow.MlflowClient().get_run(by_hand.info.run_id)
    assert run.data.metrics == {
        "d.f1": 0.5,
        "d.f1.lo": 0.4,
        "d.f1.hi": 0.6,
        "d.alarms": 3,
        "d.fit_seconds": 1.25,
        "d.more": 1,
    }
    assert run.data.tags["not_enough_evidence"] == "d.none"
    kept = json.loads((tmp_path / tracking.METRICS_FILE).read_text())
    assert set(kept) == {"d.f1", "d.alarms", "d.fit_seconds", "d.more"}
    assert tracking.read_metrics(tmp_path)["d.f1"].lo == 0.4


@pytest.mark.parametrize(
    "said",
    [
        {"estimates": {"d.f1": 0.5}},
        {"estimates": {"d.f1": (0.5, 0.6, 0.7)}},
        {"estimates": {"d.f1": (0.5, 0.4, float("nan"))}},
        {"estimates": {"F1": (0.5, 0.4, 0.6)}},
        {"counts": {"d.n": float("inf")}},
        {"counts": {"d.n": 1}, "timings": {"d.n": 1.0}},
    ],
)
def test_metrics_that_would_mislead_are_refused(by_hand, tmp_path, said):
    with pytest.raises(ContractError):
        tracking.log(output=tmp_path, **said)
    assert not mlflow.MlflowClient().get_run(by_hand.info.run_id).data.metrics


def test_a_name_logged_twice_is_refused(by_hand, tmp_path):
    tracking.log(output=tmp_path, counts={"d.n": 1})
    with pytest.raises(ContractError, match="twice"):
        tracking.log(output=tmp_path, counts={"d.n": 1})


@pytest.mark.parametrize("folder", ["", "output"])
def test_tables_of_any_run_come_back(by_hand, tmp_path, folder):
    index = pd.MultiIndex.from_product(
        [["a"], pd.date_range("2026-01-01", periods=3, freq="1min", tz="UTC", unit="us")], names=["entity", "timestamp"]
    )
    scores = pd.DataFrame({"mean_shift": [0.0, np.nan, 2.0]}, index=index)
    output = str(tmp_path / folder) if folder else ""
    fitted = {"entities": ["a"], "until": "2025-12-31T00:00:00+00:00"}
    tracking.log_tables(output, {"scores": scores, "odd": pd.DataFrame({"x": ["y"]})}, fitted_on=fitted)
    pd.testing.assert_frame_equal(tracking.load_table(by_hand.info.run_id, "scores"), scores, check_freq=False)
    assert tracking.load_table(by_hand.info.run_id, "odd").x.tolist() == ["y"]
    if folder:
        assert read_metadata(tmp_path / folder / "scores.parquet")["fitted_on"] == fitted


def test_tables_of_the_contract_are_held_to_it(by_hand, tmp_path):
    with pytest.raises(ContractError):
        tracking.log_tables(tmp_path, {"scores": pd.DataFrame({"x": ["text"]})})
    assert not list(tmp_path.glob("*.parquet"))


def test_many_processes_may_open_a_new_store_together(workbench):
    (workbench.folder / "mlflow.db").unlink()
    code = "from stability.workbench import tracking as t; c = t.open_store(); print(t.experiment_id(c, 'one'))"
    processes = [commands.Begun(workbench.folder, "-c", code, **os.environ) for _ in range(4)]
    ends = [(p.communicate(), p.returncode) for p in processes]
    assert {code for _, code in ends} == {0}, ends
    assert len({out for (out, _), _ in ends}) == 1


def test_a_deleted_experiment_is_said(workbench):
    client = tracking.open_store()
    client.delete_experiment(tracking.experiment_id(client, "gone"))
    with pytest.raises(ContractError, match="restore"):
        tracking.experiment_id(client, "gone")


def test_mlflow_sends_nothing_home():
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.parametrize("cut", ["unversioned", "in the middle"])
def test_a_store_that_was_half_made_is_made_anew_but_never_one_with_runs(workbench, cut):
    file = workbench.folder / "mlflow.db"
    client = tracking.open_store()
    kept = client.create_run(tracking.experiment_id(client, "exp")).info.run_id

    def damage():
        with contextlib.closing(sqlite3.connect(file)) as store:
            store.execute("delete from alembic_version")
            if cut == "in the middle":
                store.execute("drop table registered_model_aliases")
            store.commit()

    def opened():
        code = "from stability.workbench import tracking; print(tracking.open_store().create_experiment('new'))"
        process = commands.Begun(workbench.folder, "-c", code, **os.environ)
        return process, process.communicate()[1]

    damage()
    done, _ = opened()
    assert done.returncode != 0, "a store that holds a run is left to a person"
    with contextlib.closing(sqlite3.connect(file)) as store:
        assert store.execute("select run_uuid from runs").fetchall() == [(kept,)]
        for table in ("tags", "latest_metrics", "runs"):
            store.execute(f"delete from {table}")
        store.commit()
    done, said = opened()
    assert done.returncode == 0, said
    assert "half made" in said
