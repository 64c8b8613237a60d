"""The notebook of failure modes, on records of one's own: which answer is in time, and what an unknown cost is."""

import json
import shutil

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from workbenches import CHECKOUT

from stability.schema import write_table

START = pd.Timestamp("2026-01-01", tz="UTC")
TIMES = ("cause_start", "impact_start", "detected_at", "cause_end", "recovered_at")
OWN = {"rules": "", "worksheet": "", "service": "", "judged_share": 1.0, "planned": False, "day_seconds": 1000.0}


def at(seconds):
    return pd.NaT if seconds is None else START + pd.Timedelta(seconds, unit="s")


@pytest.fixture
def play(workbench, monkeypatch):
    """Run the notebook's cells on faults of `a`, each given by its seconds in `TIMES`; gives names and words."""
    monkeypatch.setattr("matplotlib.rcParams", plt.rcParams.copy())
    said = []
    monkeypatch.setattr(
        "IPython.display.display", lambda *things: said.extend(str(getattr(one, "data", one)) for one in things)
    )
    shutil.copytree(CHECKOUT / "data" / "fmea", workbench.folder / "data" / "fmea")
    cells = json.loads((CHECKOUT / "notebooks" / "12-fmea.ipynb").read_text())["cells"]
    cells = [cell for cell in cells if cell["cell_type"] == "code"]

    def played(*faults, until="", **changed):
        stamps = pd.date_range(START, periods=100, freq="100s")
        pd.DataFrame({"timestamp": stamps, "entity": "a", "load": 1.0}).to_csv(
            workbench.folder / "own.csv", index=False
        )
        table = pd.DataFrame([dict(zip(TIMES, map(at, one), strict=True)) for one in faults])
        table = table.assign(
            fault_id=[f"f{n}" for n in range(len(faults))], entity="a", failure_mode="crash", source="me"
        )
        table = table.assign(diagnosed_at=pd.NaT, root_entity=None, root_metrics=None, severity=5.0)
        write_table(table, workbench.folder / "faults.parquet", "faults")
        told = {"dataset": "files", "options": {"path": "own.csv", "faults": "faults.parquet"}} | OWN | changed
        names = {}
        for cell in cells[:-1]:
            exec("".join(cell["source"]).replace("%matplotlib inline", ""), names)
            names |= told if cell["metadata"].get("tags") == ["parameters"] else {}
            if until in names:
                break
        plt.close("all")
        return names, " ".join(said)

    yield played
    plt.close("all")


def repaired(folder, *spans):
    """Write repairs of `a` that were verified, each given by begin and end in seconds."""
    table = pd.DataFrame([{"start": at(begin), "end": at(end)} for begin, end in spans])
    table = table.assign(action_id=[f"x{n}" for n in range(len(spans))], alarm_id=None, entity="a", mode="automatic")
    table = table.assign(playbook="restart-replica", step="restart", verdict="verified")
    write_table(table, folder / "repairs.parquet", "actions")


def test_an_answer_is_in_time_from_when_it_was_found_as_the_page_says(play, workbench):
    early, late, never = (0, 250, 300, 340, 350), (1000, 1250, 1300, 1390, 1400), (2000, 2005, None, 2030, 2040)
    repaired(workbench.folder, (320, 340), (1320, 1390), (2010, 2030))
    names, said = play(early, late, never, actions="repairs.parquet", answer_seconds=60.0)
    assert names["answered"].tolist() == [True, False, None]
    assert "a repair that was verified has ended within 60 s of the moment that it was found" in said


def test_repairs_have_a_service_day_where_nothing_else_is_said(play, workbench):
    repaired(workbench.folder, (320, 1290))
    names, said = play((0, 250, 300, 1290, 1300), actions="repairs.parquet")
    assert names["answered"].tolist() == [True]
    assert "within 1000 s of the moment that it was found" in said


def test_without_repairs_users_are_well_again_in_time_from_the_alarms_that_are_judged(play, workbench):
    """The record says that a person noticed late; the alarms of a step before came at once, or not at all."""
    alarms = {
        "alarm_id": ["x"],
        "entity": ["a"],
        "start": [at(10)],
        "end": [at(60)],
        "score": 1.0,
        "severity": "warning",
    }
    alarms = pd.DataFrame(alarms).assign(metric=None, detector="mine", failure_mode=None, suppressed_by=None)
    folder = workbench.folder / "detect"
    folder.mkdir()
    write_table(alarms, folder / "alarms.parquet", "other")
    faults = ((0, 20, 95, 98, 100), (1000, 1020, 1095, 1098, 1100))
    names, _ = play(*faults, until="hurting", inputs={"detect": str(folder)}, answer_seconds=60.0)
    assert names["answered"].tolist() == [False, None]
    names, said = play(*faults, answer_seconds=60.0)
    assert names["answered"].tolist() == [True, True]
    assert "users are well again within 60 s of the moment that it was found" in said


def test_an_incident_of_unknown_cost_was_felt(play):
    over, open_still = (0, 20, 30, 40, 50), (1000, 1020, 1030, None, None)
    names, _ = play(over, open_still, until="of_items")
    assert names["impacts"]["seconds"].isna().tolist() == [False, True]
    assert names["critical"].loc[("a", "crash"), "hurts"] == 1.0
