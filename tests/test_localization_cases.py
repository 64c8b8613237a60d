"""Cases hold what was known at the alarm's moment, and never the future."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shops import START, alarm, shop, topology

from stability.localization import cases, preceded
from stability.schema import ContractError, validate

PANEL = shop(40)


def everything(moment):
    """Each table with one row before the moment and one after it."""
    times = [moment - pd.Timedelta("1min"), moment + pd.Timedelta("1min")]
    states = validate(pd.DataFrame({"timestamp": times, "entity": "cart", "name": "version", "value": "2"}), "states")
    logs = validate(pd.DataFrame({"timestamp": times, "entity": "cart", "level": "error", "message": "no"}), "logs")
    feedback = pd.DataFrame({"timestamp": times, "entity": "cart", "text": "slow"})
    firings = pd.DataFrame({"rule": "Slow", "entity": "cart", "start": times, "end": [times[1], pd.NaT]})
    points = pd.MultiIndex.from_product([["cart"], times], names=["entity", "timestamp"])
    scores = pd.DataFrame({"detector": [1.0, 2.0]}, index=points)
    predictions = pd.DataFrame({"probability": [0.1, 0.9]}, index=points)
    known = {"states": states, "logs": logs, "feedback": feedback, "firings": firings, "scores": scores}
    return {"telemetry": PANEL, "topology": topology(), "predictions": predictions, **known}


@given(st.integers(2, 38), st.integers(1, 60))
def test_nothing_of_a_case_is_later_than_its_moment(row, minutes):
    moment = START + row * pd.Timedelta("5min")
    [case] = cases(everything(moment), alarm("a", moment), history=f"{minutes}min")
    for kind in ("telemetry", "scores", "predictions"):
        stamps = case.tables[kind].index.get_level_values("timestamp")
        assert (stamps <= moment).all()
        assert (stamps > moment - pd.Timedelta(minutes=minutes)).all()
    for kind in ("states", "logs", "feedback"):
        assert (case.tables[kind]["timestamp"] <= moment).all()
    assert len(case.tables["firings"]) <= 1
    assert case.tables["firings"]["end"].isna().all()  # it ended later, which nobody knew


def test_a_later_moment_can_be_given_and_must_be_there_for_each_alarm():
    alarms = alarm("a", START + pd.Timedelta("50min"))
    later = pd.Series({"a": START + pd.Timedelta("70min")})
    [case] = cases({"telemetry": PANEL}, alarms, history="20min", known_until=later)
    assert case.at == later["a"]
    assert len(case.telemetry.loc["front"]) == 4
    with pytest.raises(ContractError, match="a moment for each alarm"):
        cases({"telemetry": PANEL}, alarms, known_until=pd.Series({"b": START}))


def test_candidates_are_the_entities_that_were_seen_unless_others_are_given():
    alarms = alarm("a", START + pd.Timedelta("50min"))
    [case] = cases({"telemetry": PANEL}, alarms, among={"a": ["front", "cart"]})
    assert case.candidates.get_level_values("entity").tolist() == ["cart", "front"]
    own = pd.MultiIndex.from_tuples([("cart", "service_requests")])
    [case] = cases({"telemetry": PANEL}, alarms, candidates=own)
    assert case.candidates.equals(own)
    with pytest.raises(ContractError, match="an index of"):
        cases({"telemetry": PANEL}, alarms, candidates=pd.Index(["cart"]))


def test_normal_time_is_put_right_before_a_short_case():
    alarms = alarm("a", START + pd.Timedelta("500min"))
    [case] = cases({"telemetry": shop(120)}, alarms, history="25min")
    longer = preceded(case, PANEL).telemetry.loc["front"].index
    assert len(longer) == 5 + 40
    assert (longer[1:] - longer[:-1] == pd.Timedelta("5min")).all()


def test_a_missing_table_is_no_table():
    [case] = cases({}, alarm("a", START))
    assert case.topology is None
    assert case.get("logs") is None
    assert not len(case.telemetry)
    assert case.candidates.tolist() == [("front", "")]
