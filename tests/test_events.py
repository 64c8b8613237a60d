"""What happened lately: counted plainly, without the future."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_rolling import panel

from stability.features import Events, events_of
from stability.records import LogTemplates
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")


def happened(seed=0, count=60, entities=("web-0", "web-1", "web-2", "elsewhere")):
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, 15_000, size=count))
    return pd.DataFrame(
        {
            "entity": rng.choice(entities, size=count),
            "timestamp": (START + pd.to_timedelta(seconds, unit="s")).as_unit("us"),
            "name": rng.choice(["error", "restart", "rare"], p=[0.6, 0.35, 0.05], size=count),
        }
    )


def plainly(events, index, kinds, windows, since):
    told = [
        (name if name in kinds else "other", entity, moment.value)
        for name, entity, moment in zip(events["name"], events["entity"], events["timestamp"], strict=True)
    ]
    most, lengths = pd.Timedelta(since).value, [pd.Timedelta(window).value for window in windows]
    rows = []
    for entity, moment in zip(index.get_level_values(0), index.get_level_values(1).as_unit("ns").asi8, strict=True):
        row = []
        for kind in kinds:
            for length in lengths:
                near = [who for name, who, at in told if name == kind and moment - length < at <= moment]
                row += [near.count(entity), len(near)]
        for kind in kinds:
            before = [at for name, who, at in told if name == kind and who == entity and at <= moment]
            row.append(min([moment - max(before), most] if before else [most]) / 1e9)
        rows.append(row)
    return np.array(rows, dtype=float)


@given(seed=st.integers(0, 999))
def test_counts_and_times_since_are_those_of_plain_counting(seed):
    events, index = happened(seed), panel(seed, sizes=(30, 3, 20)).index
    made = Events(["5min", "1h"], since="90min", least=8).fit(events)
    assert made.kinds_[-1] == "other"
    found = made.transform(events, index)
    wanted = plainly(events, index, made.kinds_, ["5min", "1h"], "90min")
    assert found.to_numpy() == pytest.approx(wanted)
    assert list(found) == made.names()


def test_what_happens_later_changes_nothing_and_at_the_moment_itself_counts():
    events, index = happened(), panel().index
    made = Events(["1h"], since="2h", least=1).fit(events)
    whole = made.transform(events, index)
    for moment in index.get_level_values("timestamp")[[5, 30, 50]]:
        rows = index.get_level_values("timestamp") <= moment
        until = made.transform(events[events["timestamp"] <= moment], index[rows])
        pd.testing.assert_frame_equal(until, whole[rows])
    now = pd.DataFrame({"entity": ["web-0"], "timestamp": [index[5][1]], "name": ["error"]})
    row = made.transform(now, index[[5]]).iloc[0]
    assert (row["error__count__1h"], row["error__since__2h"]) == (1, 0)


def test_kinds_are_learnt_from_the_history_alone():
    events = happened()
    made = Events(["1h"], least=1).fit(events)
    later = pd.DataFrame({"entity": ["web-0"], "timestamp": [START], "name": ["never seen"]})
    found = made.transform(later, pd.MultiIndex.from_tuples([("web-0", START)], names=["entity", "timestamp"]))
    assert found["other__count__1h"].tolist() == [1.0]
    assert found.filter(like="error__count").to_numpy().sum() == 0


def test_records_of_all_kinds_become_events():
    logs = pd.DataFrame(
        {
            "timestamp": [START + pd.Timedelta(minutes=k) for k in range(6)],
            "entity": "web-1",
            "level": ["ERROR", "INFO"] * 3,
            "message": ["no route to 10.0.0.1", "served 12 requests"] * 3,
        }
    )
    states = pd.DataFrame({"timestamp": [START], "entity": "web-1", "name": "replaced", "value": "comp1"})
    faults = pd.DataFrame(
        {
            "entity": ["web-1"],
            "impact_start": [START + pd.Timedelta("1h")],
            "recovered_at": [START + pd.Timedelta("2h")],
            "failure_mode": ["memory leak"],
        }
    )
    found = events_of({"logs": logs, "states": states, "faults": faults})
    assert found["timestamp"].is_monotonic_increasing
    assert found["name"].value_counts().to_dict() == {
        "log_error": 3, "log_info": 3, "state_replaced": 1, "state_replaced_comp1": 1,
        "fault_memory_leak": 1, "fault": 1, "recovered": 1,
    }  # fmt: skip
    by_template = events_of({"logs": logs}, LogTemplates().fit(logs))
    assert by_template["name"].nunique() == 2
    assert by_template["name"].str.fullmatch(r"log_\w+").all()
    assert events_of({}).empty


def test_a_part_of_the_logs_gives_its_own_events_and_no_secret_is_a_kind():
    messages = ["E42", "ghp_" + "aB3dE6gH9jK2mN5pQ8sT", "no route to 10.0.0.1", "E42"]
    stamps = [START + pd.Timedelta(minutes=k) for k in range(4)]
    logs = pd.DataFrame({"timestamp": stamps, "entity": list("abcd"), "level": "INFO", "message": messages})
    found = events_of({"logs": logs.iloc[2:]}, LogTemplates().fit(logs))
    assert found["timestamp"].notna().all()
    assert found["entity"].tolist() == ["c", "d", "d"]
    assert [name for name in events_of({"logs": logs})["name"] if name.startswith("code_")] == ["code_E42"] * 2


def test_the_end_of_a_fault_that_nobody_felt_is_no_event():
    faults = pd.DataFrame({"entity": ["a", "b"], "impact_start": [START, pd.NaT], "failure_mode": ["leak", "leak"]})
    faults["recovered_at"] = [START + pd.Timedelta("1h"), START + pd.Timedelta("2h")]
    found = events_of({"faults": faults})
    assert found.loc[found["name"] == "recovered", "entity"].tolist() == ["a"]


def test_what_a_fault_was_is_known_once_it_was_found_out():
    faults = pd.DataFrame({"entity": ["a", "a"], "impact_start": [START, START], "failure_mode": ["leak", None]})
    faults["diagnosed_at"] = [START + pd.Timedelta("1h"), pd.NaT]
    faults["recovered_at"] = pd.Series([pd.NaT, pd.NaT], dtype="datetime64[us, UTC]")
    found = events_of({"faults": faults})
    assert found["name"].tolist() == ["fault", "fault", "fault_leak"]
    assert ((found["timestamp"] - START) / pd.Timedelta("1h")).tolist() == [0, 0, 1]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ContractError, match="fit"):
        Events(["1h"]).transform(happened(), panel().index)
    with pytest.raises(ContractError, match="length of time"):
        Events(["1h"], since="long ago")
    with pytest.raises(ContractError, match="name"):
        Events(["1h"]).fit(happened().drop(columns="name"))
    assert Events(["1h"]).fit(happened()).transform(happened(), panel().index[:0]).shape[0] == 0


def test_only_kinds_that_are_wanted_are_events_and_times_since_may_stand_alone():
    index = pd.MultiIndex.from_product(
        [["a"], pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC", unit="us")], names=["entity", "timestamp"]
    )
    happened = pd.DataFrame({"entity": "a", "timestamp": index.get_level_values(1)[:2], "name": ["code_1", "fault"]})
    found = Events([], since="1D", least=1, kinds=["code_*"]).fit(happened).transform(happened, index)
    assert found.columns.tolist() == ["code_1__since__1D", "other__since__1D"]
    assert found["code_1__since__1D"].tolist() == [0.0, 3600.0, 7200.0]
    assert (found["other__since__1D"] == 86400.0).all()
    live = Events([], since="1D", least=1, kinds=["code_*"]).fit(happened).begin(happened)
    assert live.update(index.get_level_values(1), index.get_level_values(0)).tolist() == found.to_numpy().tolist()
