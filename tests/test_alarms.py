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


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=40, deadline=None)
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


def test_severity_follows_the_score_and_silence():
    alarms = raise_alarms(minutes(2, 0, 7, 0, 0, 0, 2), 2.0 - 1e-9, critical=3.0, refractory=60)
    assert alarms["severity"].tolist() == ["warning", "critical", "warning"]
    assert raise_alarms(minutes(2, 0, 2), 1.0, refractory=600)["severity"].tolist() == ["warning", "info"]


@settings(max_examples=60, deadline=None)
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
    scores = pd.concat([minutes(*values, entity="api"), minutes(*values[half:], *values[:half], entity="web")])
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
    [{"merge": -1.0}, {"minimum_duration": np.nan}, {"refractory": -0.1}, {"clear": 0}, {"flagged": 2}, {"mege": 3}],
)
def test_impossible_times_are_refused(wrong):
    with pytest.raises(ContractError, match=next(iter(wrong))):
        raise_alarms(minutes(1.0), 1.0, **wrong)


def test_scores_without_a_name_are_refused():
    with pytest.raises(ContractError, match="named after its detector"):
        raise_alarms(minutes(1.0, name=None), 1.0)


@settings(max_examples=60, deadline=None)
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
