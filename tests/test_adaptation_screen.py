"""A screen: held back and spoken as its twin says, live and over a record; impossible ones and files are refused."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stability.detection import AlarmPolicy, Desk, Screen, raise_alarms, read_accepted
from stability.detection.screen import CAP
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")
METRICS = ["cpu", "errors_ratio", "queue"]
LEVELS = st.sampled_from([0.0, 0.5, 1.5, 3.0, 9.0, 80.0])
RULES = {"screen": {"intercept": -1.0, "weights": {"cpu": 0.5}}}


def parts_of(values, entities=("a",)):
    stamps = pd.date_range(START, periods=len(values) // len(entities), freq="min", unit="us")
    index = pd.MultiIndex.from_product([entities, stamps], names=["entity", "timestamp"])
    return pd.DataFrame(np.array(values, dtype=float).reshape(len(index), -1), index=index, columns=METRICS)


def a_screen(**more):
    told = {"intercept": -2.0, "weights": {"cpu": 0.3, "queue": 0.8}, "felt": ["errors_*"], "felt_weight": 1.0}
    return Screen("held", **(told | {"loudest": 20.0} | more))


@given(
    values=st.lists(st.tuples(LEVELS, LEVELS, LEVELS), min_size=2, max_size=24).filter(lambda rows: len(rows) % 2 == 0),
    merge=st.sampled_from([0.0, 60.0, 180.0]),
    intercept=st.sampled_from([-6.0, -2.0, 0.5]),
    loudest=st.sampled_from([0.0, 3.0, 100.0]),
)
def test_what_speaks_equals_the_slow_twin_and_grows_row_by_row(values, merge, intercept, loudest):
    parts = parts_of(values, ("a", "b"))
    screen = a_screen(intercept=intercept, loudest=loudest)
    scores = parts.max(axis=1).rename("twin")
    alarms = raise_alarms(scores, 1.0, score_metrics=parts, merge=merge, screen=screen)
    minutes = {
        entity: [(60 * k, row.to_dict()) for k, (_, row) in enumerate(own.droplevel("entity").iterrows())]
        for entity, own in parts.groupby(level="entity")
    }
    seconds = ((alarms["start"] - START) / pd.Timedelta("1s")).astype(int)
    found = sorted(zip(alarms["entity"], seconds, alarms["suppressed_by"] == "", strict=True))
    assert found == sorted(
        (entity, start, spoke)
        for entity, rows in minutes.items()
        for start, spoke in naive.screened(rows, 1.0, merge, vars(screen))
    )
    assert set(alarms["suppressed_by"]) <= {"", "held"}
    desk = Desk(AlarmPolicy(1.0, merge=merge, screen=screen), "twin")
    for moment, own in parts.groupby(level="timestamp"):
        rows = [row[row > 0].to_dict() for _, row in own.iterrows()]
        names = own.index.get_level_values("entity")
        desk.update([moment.value // 1000] * len(own), names, own.max(axis=1), rows)
    live = desk.table()
    pd.testing.assert_series_equal(live["suppressed_by"], alarms["suppressed_by"])


def test_of_two_metrics_that_lead_together_the_unknown_one_counts_whichever_came_first():
    screen = a_screen(intercept=-6.0)
    for parts in ({"queue": 1.5, "errors_ratio": 1.5}, {"errors_ratio": 1.5, "queue": 1.5}):
        assert screen.speaks(1.5, parts, 1.0)
    assert not screen.speaks(1.5, {"queue": 1.5, "errors_ratio": 1.4}, 1.0)


@given(values=st.lists(st.tuples(LEVELS, LEVELS, LEVELS), min_size=3, max_size=20), cut=st.integers(1, 19))
def test_what_was_held_back_or_spoken_live_stays_so(values, cut):
    parts = parts_of(values)
    scores, rules = parts.max(axis=1).rename("x"), {"merge": 120.0, "screen": a_screen()}
    whole = raise_alarms(scores, 1.0, score_metrics=parts, **rules)
    first = raise_alarms(scores.iloc[:cut], 1.0, score_metrics=parts.iloc[:cut], **rules)
    known = whole[whole["start"] <= scores.index[min(cut, len(scores)) - 1][1]]
    assert first["suppressed_by"].to_dict() == known["suppressed_by"].to_dict()


def test_what_is_held_back_stays_in_the_table_and_speaks_when_it_spreads():
    parts = parts_of([[0, 0, 0], [3, 0, 0], [3, 0, 0], [3, 0, 7], [3, 0, 0]])
    alarms = raise_alarms(parts.max(axis=1).rename("x"), 1.0, score_metrics=parts, merge=60, screen=a_screen())
    assert alarms["suppressed_by"].tolist() == ["held", ""]
    assert (alarms["start"] - START).dt.total_seconds().tolist() == [60.0, 180.0]
    assert "like what was discarded" in alarms["reason"].iloc[0]
    assert "after suppression by held" in alarms["reason"].iloc[1]
    assert alarms["severity"].tolist() == ["info", "critical"]


def test_the_unknown_and_the_loud_always_speak():
    screen = a_screen(intercept=-99.0, loudest=10.0, stronger=2.0)
    assert not screen.speaks(19.0, {"cpu": 19.0}, 1.0)
    assert screen.speaks(21.0, {"cpu": 21.0}, 1.0)
    assert screen.speaks(5.0, {"disk": 5.0, "cpu": 4.0}, 1.0)
    assert not screen.speaks(5.0, {"disk": 4.0, "cpu": 5.0}, 1.0)
    assert screen.speaks(5.0, {"cpu": 5.0}, 0.0)  # measured by no threshold
    assert screen.speaks(5.0, {}, 1.0)  # of a detector that names no metric
    assert not Screen("held", -1.0, {"score": 0.1}, loudest=9.0).speaks(5.0, {}, 1.0)


def test_evidence_is_capped_and_felt_by_its_largest():
    screen = a_screen(felt=["errors_*", "queue"])
    assert screen.odds({"cpu": 1e9}, 1.0) == pytest.approx(-2.0 + 0.3 * CAP)
    assert screen.odds({"errors_ratio": 1.0, "queue": 3.0}, 1.0) == pytest.approx(-2.0 + 0.8 * 2 + 1.0 * 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"intercept": math.nan}, {"intercept": "1"}, {"weights": {}}, {"weights": {"cpu": -1.0}}, {"felt": "errors_*"},
        {"weights": {"cpu": math.inf}}, {"felt_weight": -1}, {"loudest": -1.0}, {"stronger": 0.5}, {"felt": [3]},
        {"weights": {"cpu": True}},
    ],
)  # fmt: skip
def test_impossible_screens_are_refused(wrong):
    with pytest.raises(ContractError):
        a_screen(**wrong)


@pytest.mark.parametrize("wrong", [{"times": 0.0}, {"times": math.nan}, {"times": {"a": -1.0}}, {"screen": 3}])
def test_impossible_policies_are_refused(wrong):
    with pytest.raises(ContractError):
        AlarmPolicy(1.0, **wrong)


def test_thresholds_are_multiplied_for_all_or_for_some():
    parts = parts_of([[0, 0, 0], [3, 0, 0]] * 2, ("a", "b"))
    scores = parts.max(axis=1).rename("x")
    assert len(raise_alarms(scores, 2.0)) == 2
    assert raise_alarms(scores, 2.0, times=2.0).empty
    assert raise_alarms(scores, 2.0, times={"a": 2.0, "c": 9.0})["entity"].tolist() == ["b"]
    assert raise_alarms(scores, 4.0, times=0.5)["threshold"].tolist() == [2.0, 2.0]


def policy(folder, text):
    path = folder / "accepted.yaml"
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return path


def test_a_policy_is_read_as_rules(tmp_path):
    change = {"times": {"a": 2.0}, "flagged": 2, "of": 3, "minimum_duration": 5.0} | RULES
    told = {"name": "less", "detector": "x", "change": change, "evidence": {"why": "noise"}}
    read = read_accepted(policy(tmp_path, told), "x")
    rules = read.rules
    assert rules.pop("screen") == Screen("less", -1.0, {"cpu": 0.5})
    assert rules == {"times": {"a": 2.0}, "flagged": 2, "of": 3, "minimum_duration": 5.0}
    assert AlarmPolicy(1.0, **read.rules).limit("a") == 2.0
    assert read_accepted(policy(tmp_path, {"name": "less", "detector": "x", "change": {}})).rules == {}
    with pytest.raises(ContractError, match="'y'"):
        read_accepted(tmp_path / "accepted.yaml", "y")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"chnge": {}}, "chnge"),
        ({"change": {"tims": 2.0}}, "tims"),
        ({"change": {"screen": {"intercept": -1.0, "weights": {"cpu": 1.0}, "weight": 1}}}, "weight"),
        ({"change": {"times": math.nan}}, "times"),
        ({"change": {"times": 0.0}}, "times"),
        ({"change": {"times": "2"}}, "times"),
        ({"change": {"flagged": 3, "of": 2}}, "3 of 2"),
        ({"change": {"flagged": 2}}, "2 of 1"),
        ({"change": {"minimum_duration": math.inf}}, "minimum_duration"),
        ({"change": {"screen": {"intercept": -1.0, "weights": {"cpu": -1.0}}}}, "weights"),
        ({"change": {"screen": {"intercept": math.nan, "weights": {"cpu": 1.0}}}}, "intercept"),
        ({"change": {"screen": {"intercept": -1.0, "weights": {}}}}, "weights"),
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"detector": ""}, "detector"),
        ({"detector": "../x"}, "detector"),
        ({"change": {"times": 1e9}}, "times"),
        ({"change": {"times": {"web-1": -1.0}}}, r"times\.web-1"),
        ({"change": {"of": 10**9}}, "of"),
    ],
)
def test_what_a_policy_cannot_say_is_refused_by_its_key(tmp_path, wrong, said):
    told = {"name": "less", "detector": "x", "change": {}} | wrong
    with pytest.raises(ContractError, match=said):
        AlarmPolicy(1.0, **read_accepted(policy(tmp_path, told)).rules)


@pytest.mark.parametrize(
    "text", ["", "- a\n", "name: [\n", "name: a\nname: b\n", "name: !!python/object:os.system {}\n"]
)
def test_broken_files_are_refused(tmp_path, text):
    with pytest.raises(ContractError, match=r"accepted\.yaml"):
        read_accepted(policy(tmp_path, text))
    with pytest.raises(ContractError, match="no file"):
        read_accepted(tmp_path / "none.yaml")
