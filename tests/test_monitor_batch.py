"""A watch gives the numbers of the batch on the same data: scores, firings of rules, alarms."""

import numpy as np
import pandas as pd
import pytest
from watching import declaration, fleet, follow

from stability import detection, rules, telemetry
from stability.monitor import incidents


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    panel = fleet()
    told = declaration(folder, panel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "write_report", lambda *_: None)  # a picture takes a third of a second
        steps, follower = follow(told, folder / "state")
    return panel, told, steps, follower


def stamp(moment):
    return pd.Timestamp(moment, unit="us", tz="UTC")


def batch(panel, told, steps):
    part, start = told.detectors[0], stamp(steps[0].moment)
    rated = telemetry.rate(panel)[part.metrics]
    before = rated.index.get_level_values("timestamp") < start
    detector = detection.DETECTORS[part.name]().fit(rated[before])
    return detector, rated[~before]


def test_scores_are_those_of_the_batch(watched):
    panel, told, steps, _ = watched
    detector, rows = batch(panel, told, steps)
    live = {
        (e, stamp(s.moment)): v
        for s in steps
        for e, v in zip(s.entities, s.scores["mean_shift_recursive"], strict=True)
    }
    expected = detector.score(rows)
    assert len(live) == len(expected) > 500
    np.testing.assert_allclose(pd.Series(live).reindex(expected.index), expected, rtol=1e-9, atol=0)


def test_alarms_are_those_of_the_batch(watched):
    panel, told, steps, follower = watched
    detector, rows = batch(panel, told, steps)
    limit = follower.watch.sentries[0].threshold
    parts, policy = detector.score_metrics(rows), told.detectors[0].policy
    expected = detection.raise_alarms(detector.score(rows), limit, score_metrics=parts, **policy)
    last_words = [a for s in steps for a in s.alarms if a.detector == "mean_shift_recursive"]
    told_of = {alarm.alarm_id: alarm for alarm in last_words}
    assert set(told_of) == set(expected.index)
    assert (expected["suppressed_by"] != "").any()
    for name, alarm in expected.iterrows():
        live = told_of[name]
        assert (live.start, live.suppressed_by) == (alarm["start"].value // 1000, alarm["suppressed_by"])
        if live.end is not None:
            assert stamp(live.end) == alarm["end"]
            assert live.score == pytest.approx(alarm["score"], rel=1e-9)
            assert live.metrics == alarm["metrics"]


def test_firings_are_those_of_the_batch(watched):
    panel, told, steps, _ = watched
    read = rules.read_rules(told.rules.files[0])
    seen = panel[panel.index.get_level_values("timestamp") <= stamp(steps[-1].moment)]
    expected = rules.firings(read, seen, step="15s")
    expected = expected[expected["start"] >= stamp(steps[0].moment)]
    firing = {f.key: f for s in steps for f in s.firings}
    live = {(f.rule.alert, f.entity, stamp(f.start)): f for f in firing.values()}
    assert {(r.rule, r.entity, r.start) for r in expected.itertuples()} == set(live)
    assert set(expected["rule"]) == {"Busy", "Errors", "Lost"}
    for row in expected.itertuples():
        one = live[row.rule, row.entity, row.start]
        assert one.value == pytest.approx(row.value, rel=1e-9)
        assert stamp(one.pending_since) == row.pending_since
        assert pd.isna(row.end) if one.end is None else stamp(one.end) == row.end
