"""Alarms whose answer is known: faults once each, harmless events, and moments at which nothing was going on."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.localization.alarms import alarms_at, fault_alarms, quiet_alarms
from stability.schema import ContractError

T = pd.Timestamp("2026-01-01", tz="UTC")


def seconds(n: float) -> pd.Timestamp:
    return T + pd.Timedelta(seconds=n)


def faults(**columns) -> pd.DataFrame:
    told = {
        "fault_id": ["f", "f.gate", "g"],
        "entity": ["db", "gate", "web"],
        "root_entity": ["db", "db", "web"],
        "failure_mode": ["disk", "disk", "leak"],
        "cause_start": [seconds(0), seconds(0), seconds(500)],
        "impact_start": [seconds(20), seconds(12), seconds(530)],
        "detected_at": [seconds(25), seconds(18), pd.NaT],
    }
    return pd.DataFrame(told | columns)


def test_records_of_one_fault_are_one_alarm_at_the_first_detection():
    alarms, truth = fault_alarms(faults(), "users", wait="5s")
    assert alarms["start"].tolist() == [seconds(18), seconds(535)]
    assert truth["entity"].tolist() == ["db", "web"]
    assert truth["failure_mode"].tolist() == ["disk", "leak"]
    assert truth["impact_start"].tolist() == [seconds(12), seconds(530)]


def test_the_alarm_does_not_tell_who_was_hit():
    alarms, _ = fault_alarms(faults(), "users")
    assert set(alarms["entity"]) == {"users"}


def test_a_fault_that_nobody_felt_raises_no_alarm():
    alarms, _ = fault_alarms(faults(impact_start=[seconds(20), seconds(12), pd.NaT]), "users")
    assert alarms.index.tolist() == ["f"]
    with pytest.raises(ContractError, match="felt"):
        fault_alarms(faults(impact_start=pd.Series([pd.NaT] * 3).dt.tz_localize("UTC")), "users")


def test_alarms_at_given_moments_are_of_the_contract():
    made = alarms_at(pd.Series([seconds(1)], index=["e"]), "users", "harmless")
    assert made.loc["e", ["entity", "detector"]].tolist() == ["users", "harmless"]
    assert made.loc["e", "start"] == seconds(1)


@given(
    spans=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 120)), max_size=6),
    before=st.integers(1, 60),
    every=st.integers(15, 90),
)
def test_quiet_moments_are_all_seconds_that_have_nothing_near(spans, before, every):
    busy = pd.DataFrame({"start": [seconds(a) for a, _ in spans], "end": [seconds(a + n) for a, n in spans]})
    busy = busy.astype("datetime64[us, UTC]")
    made = quiet_alarms(T, seconds(1000), busy, "users", before=f"{before}s", every=f"{every}s")
    found = [int((at - T).total_seconds()) for at in made["start"]]
    expected, at = [], before  # the slow way: second by second
    while at <= 1000:
        if any(a <= at < a + n + before for a, n in spans):
            at += 1
        else:
            expected.append(at)
            at += every
    assert found == expected
