"""What counts as an event to be found."""

import pandas as pd

from stability import schema
from stability.evaluation import labelled_intervals

DAY = pd.Timestamp("2026-01-01", tz="UTC")
HOURS = [DAY + pd.Timedelta(hours=k) for k in range(10)]


def fault(entity, root, cause=None, impact=None, recovered=None, cause_end=None, mode="memory_leak"):
    times = {"cause_start": cause, "impact_start": impact, "recovered_at": recovered, "cause_end": cause_end}
    times = {name: pd.NaT if hour is None else HOURS[hour] for name, hour in times.items()}
    return {"entity": entity, "root_entity": root, "failure_mode": mode, **times}


def intervals(*faults, entities=("a", "b")):
    table = pd.concat([schema.empty("faults"), pd.DataFrame(faults)]) if faults else schema.empty("faults")
    found = labelled_intervals({"faults": table}, pd.Index(entities))
    return [
        (one.entity, HOURS.index(one.start), None if pd.isna(one.end) else HOURS.index(one.end), one.kind)
        for one in found.itertuples()
    ]


def test_a_fault_begins_at_its_cause_where_that_lies_and_at_its_impact_elsewhere():
    times = {"cause": 1, "impact": 3, "recovered": 5}
    assert intervals(fault("a", "a", **times), fault("b", "a", **times)) == [
        ("a", 1, 5, "memory_leak"),
        ("b", 3, 5, "memory_leak"),
    ]


def test_what_is_not_known_is_taken_from_what_is():
    assert intervals(fault("a", "a", impact=3, cause_end=4)) == [("a", 3, 4, "memory_leak")]
    assert intervals(fault("b", "a", cause=2, recovered=4)) == [("b", 2, 4, "memory_leak")]
    assert intervals(fault("a", None, cause=2, impact=3, mode=None)) == [("a", 3, None, "unknown")]
    assert intervals(fault("a", "a")) == []


def test_only_entities_that_are_asked_for_and_nothing_without_records():
    assert intervals(fault("a", "a", cause=1), fault("b", "b", cause=2), entities=("b",)) == [
        ("b", 2, None, "memory_leak")
    ]
    assert labelled_intervals({}, pd.Index(["a"])).empty


def test_labelled_windows_come_before_fault_records():
    windows = pd.DataFrame({"entity": ["a"], "start": [HOURS[0]], "end": [HOURS[1]]})
    faults = pd.DataFrame([fault("a", "a", cause=5)])
    found = labelled_intervals({"windows": windows, "faults": faults}, pd.Index(["a"]))
    assert found[["start", "kind"]].to_numpy().tolist() == [[HOURS[0], "labelled window"]]


def test_who_is_hit_after_the_cause_has_ended_is_labelled_when_it_was_hit():
    assert intervals(fault("b", "a", cause=1, impact=4, cause_end=3)) == [("b", 4, 4, "memory_leak")]
