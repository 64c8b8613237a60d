"""Incidents: one row a cause, its first alarm, what it cost, and whether a repair ended it in time."""

import numpy as np
import pandas as pd
import pytest

from stability.fmea import answered_by, first_alarms, impacts_of, incidents_of, severity
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")


def at(*seconds):
    return [pd.NaT if one is None else START + pd.Timedelta(one, unit="s") for one in seconds]


def faults(**columns):
    """Three records of two causes: a leak that the gateway felt, too, and a crash."""
    table = {
        "fault_id": ["f1", "f1.gateway", "f2"],
        "entity": ["a", "gateway", "b"],
        "cause_start": at(100, 100, 300),
        "impact_start": at(120, 115, None),
        "detected_at": at(130, 118, 310),
        "diagnosed_at": at(None, 140, 312),
        "cause_end": at(150, 150, 350),
        "recovered_at": at(155, 160, 350),
        "failure_mode": ["leak", "leak", "crash"],
        "root_entity": ["a", "a", None],
        "root_metrics": None,
        "severity": 5.0,
        "source": "mine",
    }
    return validate(pd.DataFrame(table | columns), "faults")


INCIDENTS = incidents_of(faults())


def test_a_cause_is_one_incident_whoever_felt_it():
    assert INCIDENTS.index.tolist() == ["f1", "f2"]
    leak, crash = INCIDENTS.loc["f1"], INCIDENTS.loc["f2"]
    assert (leak["entity"], leak["entities"], crash["entity"]) == ("a", 2, "b")
    told = [leak[name] for name in ("impact_start", "detected_at", "cause_end", "recovered_at", "end")]
    assert told == at(115, 118, 150, 160, 160)
    assert pd.isna(crash["impact_start"])


def test_records_that_say_nothing_are_left_out():
    assert incidents_of(faults(failure_mode=["leak", "leak", None])).index.tolist() == ["f1"]
    empty = incidents_of(faults().iloc[:0])
    assert empty.empty
    assert impacts_of(empty).empty


def alarms(*seconds, **columns):
    table = {"start": at(*seconds), "failure_mode": "leak", "entity": "a"} | columns
    return pd.DataFrame(table)


def test_the_first_alarm_within_counts():
    found = first_alarms(INCIDENTS, alarms(90, 140, 110, 500))
    assert found["f1"] == at(110)[0]
    assert pd.isna(found["f2"])  # one that was on before, or comes too late, is none of it


def test_late_alarms_belong_to_the_incident_for_as_long_as_asked():
    assert pd.isna(first_alarms(INCIDENTS, alarms(355))["f2"])
    assert first_alarms(INCIDENTS, alarms(355), late="5s")["f2"] == at(355)[0]


def test_named_alarms_are_right_in_mode_and_entity():
    other = alarms(105, 110, 115, 120, failure_mode=["crash", "leak", "leak", "leak"], entity=["a", "b", "", "a"])
    assert first_alarms(INCIDENTS, other, named=True)["f1"] == at(115)[0]
    assert first_alarms(INCIDENTS, other)["f1"] == at(105)[0]
    with pytest.raises(ContractError, match="failure_mode"):
        first_alarms(INCIDENTS, other.drop(columns="failure_mode"), named=True)


def test_suppressed_alarms_told_nobody():
    assert first_alarms(INCIDENTS, alarms(105, 130, suppressed_by=["x", None]))["f1"] == at(130)[0]


def service(good, seconds=400):
    stamps = pd.DatetimeIndex(at(*range(seconds)), name="timestamp")
    return pd.DataFrame({"good": np.asarray(good, dtype="float64"), "total": 10.0}, index=stamps)


def test_cost_is_what_was_lost_during_the_impact():
    good = np.full(400, 10.0)
    good[115:161] = 5.0  # half of the requests of 46 s
    good[320:330] = 0.0  # within an incident that nobody is said to have felt
    told = impacts_of(INCIDENTS, service(good), objective=0.9, period="400s")
    assert told.loc["f1", ["bad", "requests", "users"]].tolist() == [230, 460, 0.5]
    assert told.loc["f1", "budget"] == pytest.approx(230 / (0.1 * 4000))
    assert told.loc["f2", ["bad", "users", "budget", "seconds"]].tolist() == [0, 0, 0, 0]


def test_what_is_always_bad_is_not_the_incidents():
    assert impacts_of(INCIDENTS, service(np.full(400, 9.0)), objective=0.9).loc["f1", "bad"] == pytest.approx(0)


def test_a_longer_period_has_a_larger_budget_and_entities_add_up():
    good = np.where((np.arange(400) >= 115) & (np.arange(400) <= 160), 0.0, 10.0)
    one, two = (impacts_of(INCIDENTS, service(good), period=p).loc["f1", "budget"] for p in ("400s", "800s"))
    assert one == pytest.approx(2 * two)
    both = pd.concat({name: service(good) for name in ("eu", "us")}, names=["entity"])
    assert impacts_of(INCIDENTS, both, period="400s").loc["f1", "budget"] == pytest.approx(one)


def test_without_requests_an_incident_is_an_outage():
    told = impacts_of(INCIDENTS, objective=0.9, period="1000s")
    assert told["budget"].tolist() == pytest.approx([45 / 100, 40 / 100])  # the crash from its detection on
    assert told["users"].isna().all()


def test_an_incident_that_is_not_over_costs_more_every_second():
    good = np.full(400, 10.0)
    good[300:] = 0.0
    still = incidents_of(
        faults(impact_start=at(120, 115, 300), cause_end=at(150, 150, None), recovered_at=at(155, 160, None))
    )
    assert pd.isna(still.loc["f2", "recovered_at"])
    told = impacts_of(still, service(good), objective=0.9, period="400s").loc["f2"]
    assert told[["bad", "users", "seconds"]].tolist() == [1000, 1, 99]  # to the record's end, and not to its detection
    unknown = impacts_of(still, objective=0.9, period="1000s").loc["f2"]
    assert unknown[["budget", "seconds"]].isna().all()  # without a record of the service nobody knows
    rated = severity(impacts_of(still), still["failure_mode"]).loc["crash"]
    assert rated["severity_hi":].isna().all()
    assert rated["felt"] == 1


def test_an_incident_is_over_when_all_that_were_hurt_are_well():
    half = faults(recovered_at=at(155, None, 350))  # the gateway still suffers
    told = incidents_of(half).loc["f1"]
    assert pd.isna(told["recovered_at"])
    assert told["end"] == at(155)[0]
    unhurt = faults(recovered_at=at(155, None, 350), impact_start=at(120, None, None))
    assert incidents_of(unhurt).loc["f1", "recovered_at"] == at(155)[0]


def test_a_cause_that_ended_is_the_end_where_nobody_says_when_users_were_well():
    told = incidents_of(faults(recovered_at=at(None, None, None)))
    assert impacts_of(told, objective=0.9, period="1000s").loc["f1", "seconds"] == 35  # from 115 to 150
    before = incidents_of(faults(recovered_at=at(None, None, None), cause_end=at(110, 110, 350)))
    assert np.isnan(impacts_of(before).loc["f1", "seconds"])  # over before anybody felt it: of later it says nothing


def test_counts_that_are_none_are_no_service():
    with pytest.raises(ContractError, match="12 of 10"):
        impacts_of(INCIDENTS, service(np.full(400, 12.0)))
    with pytest.raises(ContractError, match="two moments"):
        impacts_of(INCIDENTS, service(np.full(1, 10.0), seconds=1))


def test_complaints_are_counted_within_the_impact():
    when = pd.Series(at(110, 116, 160, 161, 320))
    told = impacts_of(INCIDENTS, service(np.full(400, 10.0)), complaints=when)
    assert told["complaints"].tolist() == [2, 0]
    assert impacts_of(INCIDENTS, service(np.full(400, 10.0)))["complaints"].isna().all()


def test_bad_input_is_named():
    with pytest.raises(ContractError, match="objective"):
        impacts_of(INCIDENTS, objective=1.0)
    with pytest.raises(ContractError, match="good and total"):
        impacts_of(INCIDENTS, service(np.zeros(400)).drop(columns="good"))
    with pytest.raises(ContractError, match="requests"):
        impacts_of(INCIDENTS, service(np.zeros(400)) * 0)


def actions(**columns):
    table = {
        "action_id": ["x1"], "alarm_id": None, "entity": ["a"], "playbook": "restart-replica", "step": "restart",
        "mode": "automatic", "start": at(120), "end": at(125), "verdict": "verified",
    }  # fmt: skip
    return validate(pd.DataFrame(table | columns), "actions")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, True),
        ({"verdict": "not_recovered"}, False),
        ({"verdict": "inconclusive"}, None),
        ({"verdict": None}, None),
        ({"mode": "dry-run"}, False),
        ({"entity": ["b"]}, False),
        ({"start": at(90), "end": at(95)}, False),
        ({"end": at(131)}, False),
        ({"end": at(None)}, False),
    ],
)
def test_only_a_verified_action_in_time_is_an_answer(columns, said):
    told = answered_by(INCIDENTS, actions(**columns), within="30s")
    assert told["f1"] is said
    assert told["f2"] is False


def test_in_time_counts_from_the_moment_that_it_was_found_where_that_is_given():
    found = pd.Series(at(118, None), index=["f1", "f2"])
    late = actions(end=at(145))
    assert answered_by(INCIDENTS, late, within="30s")["f1"] is False  # the cause began at 100
    told = answered_by(INCIDENTS, late, within="30s", found_at=found)
    assert told["f1"] is True
    assert told["f2"] is None  # nobody found it: nothing says how long an answer took
    assert answered_by(INCIDENTS, actions(end=at(149)), within="30s", found_at=found)["f1"] is False
    with pytest.raises(ContractError, match="none for f2"):
        answered_by(INCIDENTS, late, within="30s", found_at=found.iloc[:1])
