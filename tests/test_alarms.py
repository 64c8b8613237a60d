"""From scores to alarms: against a slow twin, and each rule by itself."""

import datetime as dt

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from series import panel

from stability.detection import (
    AlarmPolicy,
    Desk,
    QuietHours,
    alarm_contributions,
    announced,
    episodes,
    incidents,
    raise_alarms,
)
from stability.schema import ContractError, empty, validate

START = pd.Timestamp("2026-01-01", tz="UTC")


def series(seconds, scores, entity="web-1", name="mean_shift"):
    stamps = START + pd.to_timedelta(list(seconds), unit="s")
    index = pd.MultiIndex.from_arrays([[entity] * len(stamps), stamps.as_unit("us")], names=["entity", "timestamp"])
    return pd.Series(np.array(scores, dtype=float), index=index, name=name)


def minutes(*scores, **more):
    return series(range(0, 60 * len(scores), 60), scores, **more)


def spans(alarms):
    """Start and end in seconds, peak, suppressed or not, in the order of starts."""
    alarms = alarms.sort_values("start")
    second = pd.Timedelta(seconds=1)
    return [
        (int((a.start - START) / second), int((a.end - START) / second), a.score, bool(a.suppressed_by))
        for a in alarms.itertuples()
    ]


@settings(max_examples=settings().max_examples // 2)
@given(
    gaps=st.lists(st.sampled_from([60, 60, 60, 120, 600]), min_size=1, max_size=40),
    data=st.data(),
    merge=st.sampled_from([0.0, 60.0, 120.0, 180.0, 600.0]),
    minimum_duration=st.sampled_from([0.0, 60.0, 150.0]),
    refractory=st.sampled_from([0.0, 60.0, 300.0]),
)
def test_alarms_equal_the_slow_twins(gaps, data, merge, minimum_duration, refractory):
    count = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan]), min_size=len(gaps), max_size=len(gaps))
    seconds, values = np.cumsum(gaps).tolist(), data.draw(count)
    policy = {"merge": merge, "minimum_duration": minimum_duration, "refractory": refractory}
    alarms = raise_alarms(series(seconds, values), 1.5, **policy)
    assert spans(alarms) == naive.raise_alarms(list(zip(seconds, values, strict=True)), 1.5, **policy)
    pd.testing.assert_frame_equal(validate(alarms, "alarms"), alarms)


@settings(max_examples=settings().max_examples // 3)
@given(
    values=st.lists(st.sampled_from([0.0, 2.0, 3.0]), min_size=3, max_size=30),
    cut=st.integers(1, 30),
    minimum_duration=st.sampled_from([0.0, 60.0, 120.0]),
)
def test_what_was_raised_live_stays_raised(values, cut, minimum_duration):
    policy = {"minimum_duration": minimum_duration, "merge": 120.0, "refractory": 60.0}
    whole, live = (raise_alarms(minutes(*part), 1.0, **policy) for part in (values, values[:cut]))
    known = whole[whole["start"] <= START + pd.Timedelta(minutes=min(cut, len(values)) - 1)]
    assert live.index.tolist() == known.index.tolist()
    assert live["suppressed_by"].tolist() == known["suppressed_by"].tolist()


def test_a_score_at_the_threshold_raises_nothing():
    assert raise_alarms(minutes(1.0, 1.0), 1.0).empty
    assert len(raise_alarms(minutes(1.0, 1.0 + 1e-12), 1.0)) == 1


def test_nothing_flagged_gives_an_empty_table_of_the_contract():
    pd.testing.assert_frame_equal(raise_alarms(minutes(0, np.nan), 1.0), empty("alarms"))
    pd.testing.assert_frame_equal(raise_alarms(minutes(0, 2, 0), 1.0, minimum_duration=60), empty("alarms"))


def test_an_alarm_starts_when_it_is_raised_and_not_when_it_began():
    alarms = raise_alarms(minutes(0, 2, 2, 2, 0), 1.0, minimum_duration=120)
    assert spans(alarms) == [(180, 180, 2.0, False)]


def test_a_hole_in_the_scores_parts_alarms_unless_merged():
    scores = minutes(2, np.nan, 2)
    assert len(raise_alarms(scores, 1.0)) == 2
    assert len(raise_alarms(scores, 1.0, merge=120)) == 1


def test_a_silenced_alarm_names_the_one_that_silences_it():
    alarms = raise_alarms(minutes(2, 0, 2, 0, 2, 0, 0, 0, 2), 1.0, refractory=240)
    first = alarms.index[0]
    assert alarms["suppressed_by"].tolist() == ["", first, first, ""]


def test_entities_do_not_touch_each_other():
    scores = pd.concat([minutes(0, 2, entity="a"), minutes(2, 0, entity="b")])
    alarms = raise_alarms(scores, 1.0, merge=1e6, refractory=1e6)
    assert alarms["entity"].tolist() == ["a", "b"]
    assert (alarms["suppressed_by"] == "").all()


def test_each_entity_may_have_its_own_threshold():
    scores = pd.concat([minutes(0, 2, entity="a"), minutes(2, 0, entity="b")])
    alarms = raise_alarms(scores, pd.Series({"a": 1.0, "b": 3.0}))
    assert alarms[["entity", "threshold"]].to_numpy().tolist() == [["a", 1.0]]
    with pytest.raises(ContractError, match="none for 'b'"):
        raise_alarms(scores, pd.Series({"a": 1.0}))


def test_metrics_are_named_by_their_largest_part():
    scores = minutes(0, 3, 5, 0)
    by_metric = pd.DataFrame({"low": 1.0, "later": [0, 0, 5, 0], "first": [0, 3, 2, 0]}, index=scores.index)
    assert raise_alarms(scores, 2.0, score_metrics=by_metric)["metrics"].tolist() == ["later,first"]


def test_n_of_m_rows_raise():
    scores = minutes(2, 0, 0, 2, 0, 2, 0, 2, 2, 0)
    assert spans(raise_alarms(scores, 1.0, flagged=3, of=5, merge=120)) == [(420, 480, 2.0, False)]
    assert "in 3 of the last 5 rows" in raise_alarms(scores, 1.0, flagged=3, of=5, merge=120)["reason"].iloc[0]
    assert raise_alarms(scores, 1.0, flagged=5, of=5).empty


def test_hysteresis_holds_an_alarm_open_and_opens_none():
    scores = minutes(1.5, 3, 1.5, 1.5, 0.5, 1.5, 3)
    assert spans(raise_alarms(scores, 2.0, clear=0.5)) == [(60, 180, 3.0, False), (360, 360, 3.0, False)]


def test_a_stronger_one_is_not_kept_quiet():
    scores = minutes(2, 0, 2.5, 0, 9, 0)
    alarms = raise_alarms(scores, 1.0, refractory=600, stronger=2.0)
    assert (alarms["suppressed_by"] == "").tolist() == [True, False, True]
    assert "after the last alarm of web-1" in alarms["reason"].iloc[1]


def test_what_is_suppressed_speaks_when_it_grows_or_the_silence_is_over():
    grows = minutes(*[0] * 5, 10, *[0] * 5, *[5] * 3, *[1000] * 300, 0)
    alarms = raise_alarms(grows, 3.0, refractory=600, stronger=2.0)
    assert spans(alarms) == [(300, 300, 10, False), (660, 840, 1000, True), (840, 18780, 1000, False)]
    assert alarms["suppressed_by"].tolist() == ["", alarms.index[0], ""]
    assert alarms["reason"].iloc[2] == f"still above 3 after suppression by {alarms.index[0]}; highest 1e+03"
    lasts = raise_alarms(minutes(10, 0, *[5] * 12, 0), 3.0, refractory=600)
    assert spans(lasts) == [(0, 0, 10, False), (120, 660, 5, True), (660, 780, 5, False)]


def test_what_lasts_becomes_the_new_normal_and_more_than_that_is_news():
    scores = minutes(0, *[3] * 20, 5, 3, 3, 0, 3, 0)
    alarms = raise_alarms(scores, 1.0, new_normal=600)
    assert spans(alarms) == [(60, 660, 3.0, False), (1260, 1260, 5.0, False), (1500, 1500, 3.0, False)]
    assert "new normal" in alarms["reason"].iloc[0]


def test_quiet_hours_suppress_and_what_goes_on_speaks_afterwards():
    quiet = QuietHours(dt.time(22), dt.time(0, 5), "UTC")
    alarms = raise_alarms(minutes(*[2] * 10, 0, 2), 1.0, quiet=[quiet])
    assert alarms["suppressed_by"].tolist() == ["quiet hours", "", ""]
    assert alarms["start"].dt.minute.tolist() == [0, 5, 11]
    assert "quiet hours 22:00-00:05 UTC" in alarms["reason"].iloc[0]
    lower = raise_alarms(minutes(4, *[2] * 9), 3.0, clear=0.5, quiet=[quiet])
    assert lower["reason"].iloc[1] == "still above 1.5 after quiet hours; highest 4"


def test_quiet_hours_over_midnight_belong_to_the_day_on_which_they_begin():
    friday = QuietHours(dt.time(22), dt.time(6), "Asia/Shanghai", days=[4])
    moments = pd.to_datetime(
        ["2026-01-02 21:59", "2026-01-02 22:00", "2026-01-03 05:59", "2026-01-03 06:00", "2026-01-03 23:00"]
    ).tz_localize("Asia/Shanghai")
    held = [friday.holds(round(moment.timestamp() * 1e6)) for moment in moments]
    assert held == [False, True, True, False, False]


CALLS = validate(
    pd.DataFrame({"source": ["web", "web"], "target": ["api", "shop"], "kind": ["calls", "calls"]}), "topology"
)


def test_connected_entities_are_one_incident_and_the_first_speaks():
    scores = pd.concat(
        [minutes(0, 2, 2, 0, entity="api"), minutes(0, 0, 2, 0, entity="web"), minutes(0, 0, 2, 0, entity="alone")]
    )
    alarms = raise_alarms(scores, 1.0, topology=CALLS, together=60)
    by = alarms.reset_index().set_index("entity")["suppressed_by"]
    assert by["api"] == by["alone"] == ""
    assert by["web"].startswith("mean_shift/api/")
    assert "web calls api" in alarms["reason"][alarms["entity"] == "web"].iloc[0]
    found = incidents(alarms)
    assert sorted(found["entities"]) == ["alone", "api,web"]
    assert incidents(empty("alarms")).empty


CHAIN = pd.DataFrame({"source": ["gw", "api"], "target": ["api", "db"], "kind": ["calls", "calls"]})


def chained(gw, api, db):
    return pd.concat([minutes(*values, entity=name) for name, values in {"gw": gw, "api": api, "db": db}.items()])


def test_an_incident_reaches_over_entities_that_it_has_silenced():
    scores = chained([0, 0, 0, 0, 2, 0], [0, 0, 0, 2, 0, 0], [0, 0, 2, 0, 0, 0])
    alarms = raise_alarms(scores, 1.0, topology=CHAIN, together=300).reset_index().set_index("entity")
    root = alarms.loc["db", "alarm_id"]
    assert alarms["suppressed_by"].to_dict() == {"db": "", "api": root, "gw": root}
    assert "of the incident of db: gw calls api" in alarms.loc["gw", "reason"]
    assert incidents(alarms.reset_index().set_index("alarm_id"))["entities"].tolist() == ["db,api,gw"]


def test_one_of_an_incident_speaks_when_it_grows_or_the_first_is_over():
    grows = raise_alarms(
        chained([0] * 8, [0, 2, 2, 9, 9, 2, 2, 0], [3] * 7 + [0]), 1.0, topology=CHAIN, together=60, stronger=2.0
    )
    assert spans(grows[grows["entity"] == "api"]) == [(60, 180, 9, True), (180, 360, 9, False)]
    over = raise_alarms(chained([0] * 8, [0, *[2] * 6, 0], [2, 2, *[0] * 6]), 1.0, topology=CHAIN, together=120)
    assert spans(over[over["entity"] == "api"]) == [(60, 240, 2, True), (240, 360, 2, False)]
    calm_between = chained([0, 0, *[2] * 8], [0, 2, 2, *[0] * 7], [3] * 10)
    alarms = raise_alarms(calm_between, 1.0, topology=CHAIN, together=60)
    assert alarms["entity"][alarms["suppressed_by"] == ""].tolist() == ["db"]


def test_together_needs_a_topology():
    with pytest.raises(ContractError, match="give `topology`"):
        raise_alarms(minutes(2), 1.0, together=60)


def test_rows_without_a_score_end_a_live_alarm():
    desk = Desk(AlarmPolicy(1.0, merge=120), "novelty")
    for minute, score in enumerate([2.0, np.nan, np.nan, np.nan]):
        desk.update([minute * 60_000_000], ["web-1"], [score])
        assert desk.table()["end"].isna().tolist() == [minute < 3]
    assert desk.table()["end"].tolist() == [pd.Timestamp(0, tz="UTC")]


def test_live_rows_have_a_score_each():
    desk = Desk(AlarmPolicy(1.0), "novelty")
    with pytest.raises(ContractError, match="a score each"):
        desk.update([0, 1], ["web-1", "web-2"], [2.0])
    with pytest.raises(ContractError, match="a score each"):
        desk.update([0], ["web-1"], [2.0], [])
    assert desk.table().empty


def test_severity_follows_the_score_and_silence():
    alarms = raise_alarms(minutes(2, 0, 7, 0, 0, 0, 2), 2.0 - 1e-9, critical=3.0, refractory=60)
    assert alarms["severity"].tolist() == ["warning", "critical", "warning"]
    assert raise_alarms(minutes(2, 0, 2), 1.0, refractory=600)["severity"].tolist() == ["warning", "info"]


@settings(max_examples=settings().max_examples // 3)
@given(
    values=st.lists(st.sampled_from([0.0, 0.8, 2.0, 3.0, 9.0, np.nan]), min_size=2, max_size=60),
    rules=st.fixed_dictionaries(
        {},
        optional={
            "merge": st.sampled_from([60.0, 180.0]),
            "flagged": st.just(2),
            "of": st.sampled_from([2, 4]),
            "clear": st.just(0.5),
            "refractory": st.just(240.0),
            "stronger": st.just(2.0),
            "new_normal": st.sampled_from([120.0, 300.0]),
            "together": st.just(120.0),
            "quiet": st.just((QuietHours(dt.time(0, 10), dt.time(0, 20)),)),
        },
    ),
)
def test_rows_that_come_live_raise_the_same_alarms(values, rules):
    rules = rules | ({"of": max(rules.get("of", 2), 2)} if "flagged" in rules else {})
    half = len(values) // 2
    each = {"api": values, "web": values[half:] + values[:half], "shop": values[::-1]}
    scores = pd.concat([minutes(*own, entity=name) for name, own in each.items()]).sort_index()
    batch = raise_alarms(scores, 1.0, topology=CALLS, **rules)
    desk = Desk(AlarmPolicy(1.0, **rules), "mean_shift", CALLS)
    live = []
    for moment, rows in scores.groupby(level="timestamp"):
        entities = rows.index.get_level_values("entity")
        live += desk.update([round(moment.timestamp() * 1e6)] * len(rows), entities, rows)
    desk.close()
    pd.testing.assert_frame_equal(desk.table(), batch)
    assert sorted(live) == sorted(batch.index[batch["suppressed_by"] == ""])


def test_ids_tell_detector_entity_and_start_and_do_not_change():
    scores = pd.concat([minutes(0, 2, 0, 2, entity="a"), minutes(2, 0, entity="b")])
    alarms = raise_alarms(scores, 1.0)
    assert alarms.index[0] == "mean_shift/a/2026-01-01T00:01:00+00:00"
    assert alarms.index.is_unique
    pd.testing.assert_frame_equal(alarms, raise_alarms(scores.sample(frac=1, random_state=0), 1.0))


def test_episodes_number_the_runs():
    assert episodes(minutes(2, 2, 0, 2, np.nan, 2), 1.0).tolist() == [0, 0, 1, 2]
    assert episodes(minutes(2, 2, 0, 2, np.nan, 2), 1.0, merge=120).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"merge": -1.0},
        {"minimum_duration": np.nan},
        {"refractory": -0.1},
        {"together": "60"},
        {"clear": 0},
        {"flagged": 2},
        {"flagged": 1.5, "of": 2.5},
        {"quiet": QuietHours(dt.time(22), dt.time(6))},
        {"quiet": ["22:00-06:00"]},
        {"mege": 3},
    ],
)
def test_impossible_times_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        raise_alarms(minutes(1.0), 1.0, **wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"zone": "Mars/X"}, "zone"),
        ({"zone": "../etc"}, "zone"),
        ({"zone": None}, "zone"),
        ({"end": dt.time(22)}, "end"),
        ({"begin": "22:00"}, "begin"),
        ({"days": [7]}, "days"),
        ({"days": 4}, "days"),
    ],
)
def test_impossible_quiet_hours_are_refused(wrong, named):
    with pytest.raises(ContractError, match=named):
        QuietHours(**{"begin": dt.time(22), "end": dt.time(6)} | wrong)


@pytest.mark.parametrize("wrong", [np.nan, "high", None, True, {"web-1": np.nan}])
def test_impossible_thresholds_are_refused(wrong):
    with pytest.raises(ContractError, match="threshold"):
        AlarmPolicy(wrong)


@pytest.mark.parametrize("numbers", [[np.nan], [1.0, 2.0], ["high"]])
def test_an_entity_has_one_threshold(numbers):
    limits = pd.Series(numbers, index=["web-1"] * len(numbers))
    for call in (raise_alarms, episodes):
        with pytest.raises(ContractError, match=r"threshold.*'web-1'"):
            call(minutes(2.0), limits)


def test_scores_without_a_name_are_refused():
    with pytest.raises(ContractError, match="named after its detector"):
        raise_alarms(minutes(1.0, name=None), 1.0)


@settings(max_examples=settings().max_examples // 3)
@given(
    values=st.lists(st.sampled_from([0.0, 1.0, 1.5, 2.0, 5.0, np.nan]), min_size=1, max_size=40),
    rows=st.integers(0, 6),
    stronger=st.sampled_from([1.0, 1.4, 3.0]),
)
def test_what_is_announced_equals_the_slow_twin(values, rows, stronger):
    scores = pd.concat([minutes(*values, entity="a"), minutes(*values[::-1], entity="b")])
    twin = [*naive.announced(values, rows, stronger), *naive.announced(values[::-1], rows, stronger)]
    assert announced(scores, rows, stronger).tolist() == twin
    by_entity = announced(scores, pd.Series({"b": 0, "a": rows}), stronger)
    assert by_entity.loc["a"].tolist() == twin[: len(values)]


@pytest.mark.parametrize("wrong", [{"rows": -1, "stronger": 1.0}, {"rows": 3, "stronger": 0.5}])
def test_impossible_announcements_are_refused(wrong):
    with pytest.raises(ContractError, match=r"rows|stronger"):
        announced(minutes(1.0), **wrong)


def test_contributions_are_shares_of_the_alarms_rows_and_values_at_their_height():
    score_metrics = panel([0, 0, 4, 6, 0.0], [0, 1, 2, 0, 9.0])
    measured = panel([10, 11, 12, 13, 14.0], [20, 21, 22, 23, 24.0])
    alarms = raise_alarms(pd.Series([0, 0, 6, 6, 0.0], score_metrics.index, name="pca"), 5.0)
    found = alarm_contributions(alarms, score_metrics, measured, expected=measured - 1).droplevel("alarm_id")
    assert found["share"].to_dict() == pytest.approx({"m0": 10 / 12, "m1": 2 / 12})
    assert found["value"].to_dict() == {"m0": 13, "m1": 22}
    assert found["expected"].to_dict() == {"m0": 12, "m1": 21}
    assert alarm_contributions(alarms.iloc[:0], score_metrics, measured).empty


def test_a_single_entity_needs_no_name():
    stamps = pd.date_range(START, periods=3, freq="min", unit="us")
    parts = pd.DataFrame({"cpu": [0.0, 6.0, 0.0], "queue": [0.0, 2.0, 0.0]}, index=stamps)
    alarms = raise_alarms(parts.sum(axis=1).rename("pca"), 5.0, score_metrics=parts)
    assert alarms["metrics"].tolist() == ["cpu,queue"]
    found = alarm_contributions(alarms, parts, parts * 10, expected=parts).droplevel("alarm_id")
    assert found[["share", "value", "expected"]].to_numpy().tolist() == [[0.75, 60, 6], [0.25, 20, 2]]


def test_parts_of_other_rows_are_refused():
    scores = minutes(0, 3, 0)
    parts = pd.DataFrame({"cpu": 1.0}, index=scores.index)
    with pytest.raises(ContractError, match=r"none of web-1 at 2026-01-01T00:02"):
        raise_alarms(scores, 2.0, score_metrics=parts.iloc[:2])
    other = parts.rename(index={"web-1": "web-2"}, level="entity")
    with pytest.raises(ContractError, match="rows of 'web-1'"):
        alarm_contributions(raise_alarms(scores, 2.0), other, other)
