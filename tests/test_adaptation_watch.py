"""A watch with an accepted policy: the alarms of the batch, over restarts; changed files are read, wrong ones not."""

import json

import pandas as pd
import pytest
import yaml
from watching import declaration, fleet, follow, journal

from stability import detection, telemetry
from stability.monitor import incidents
from stability.monitor.following import Follower
from stability.monitor.sentries import Sentry
from stability.schema import ContractError

NAME = "mean_shift_recursive"
QUEUES = {"intercept": -5.0, "weights": {"queue_depth": 0.5, "http_server_errors_per_second": 1.6}, "loudest": 1e6}


@pytest.fixture(autouse=True, scope="module")
def no_pages():
    """Pages of incidents are not what is told of here, and a picture takes a third of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "write_report", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A function that follows a panel with a policy accepted, each policy once: declaration, steps, follower, state."""
    done = {}

    def with_a(change):
        key = json.dumps(change)
        if key not in done:
            folder = tmp_path_factory.mktemp("followed")
            told = watch(folder, fleet(entities=3, steps=320), change)
            done[key] = (told, *follow(told, folder / "state"), folder / "state")
        return done[key]

    return with_a


def accepted(path, change, detector=NAME):
    path.write_text(yaml.safe_dump({"name": "queues-alone", "detector": detector, "change": change}))
    return path


def watch(folder, panel, change, **more):
    """A declaration whose detector's policy is what somebody accepted."""
    told = declaration(folder, panel, **more)
    file = accepted(folder / "accepted.yaml", change)
    (part,) = told.detectors
    return told.model_copy(update={"detectors": [part.model_copy(update={"accepted": str(file)})]})


def stamp(moment):
    return pd.Timestamp(moment, unit="us", tz="UTC")


def alarms_of(folder):
    lines = journal(folder, "alarm")
    return {line["alarm_id"]: line["suppressed_by"] for line in lines if line["detector"] == NAME}


def batch(panel, told, steps, threshold, **rules):
    (part,) = told.detectors
    rated = telemetry.rate(panel)[part.metrics]
    before = rated.index.get_level_values("timestamp") < stamp(steps[0].moment)
    detector = detection.DETECTORS[part.name]().fit(rated[before])
    rows = rated[~before]
    return detection.raise_alarms(
        detector.score(rows), threshold, score_metrics=detector.score_metrics(rows), **part.policy, **rules
    )


@pytest.mark.parametrize(
    "change",
    [
        {"screen": QUEUES},
        {"times": {"web-1": 3.0}},
        *(pytest.param(one, marks=pytest.mark.soak) for one in ({"times": 1.4}, {"minimum_duration": 60.0})),
    ],
)
def test_alarms_with_an_accepted_policy_are_those_of_the_batch(followed, change):
    told, steps, follower, state = followed(change)
    panel = fleet(entities=3, steps=320)
    rules = detection.read_accepted(told.detectors[0].accepted).rules
    threshold = follower.watch.sentries[0].threshold
    expected = batch(panel, told, steps, threshold, **rules)
    assert alarms_of(state) == expected["suppressed_by"].to_dict()
    assert expected["suppressed_by"].to_dict() != batch(panel, told, steps, threshold)["suppressed_by"].to_dict()
    if "screen" in change:
        assert "queues-alone" in set(expected["suppressed_by"])
        reasons = expected.loc[expected["suppressed_by"] == "queues-alone", "reason"]
        assert reasons.str.contains("like what was discarded").all()


def test_a_watch_that_is_stopped_and_started_anew_silences_the_same(followed, tmp_path):
    *_, whole = followed({"screen": QUEUES})
    rows = fleet(entities=3, steps=320).reset_index().sort_values("timestamp", kind="stable")
    told, last = watch(tmp_path, None, {"screen": QUEUES}), None
    for cut in (200, 260, 320):
        upto = rows[rows["timestamp"] <= rows["timestamp"].min() + pd.Timedelta(seconds=15 * cut)]
        (upto if last is None else upto[upto["timestamp"] > last]).to_csv(
            tmp_path / "metrics.csv", mode="a", header=last is None, index=False
        )
        last = upto["timestamp"].max()
        follow(told, tmp_path / "state")
    assert alarms_of(whole) == alarms_of(tmp_path / "state")
    assert "queues-alone" in alarms_of(whole).values()


def test_a_changed_policy_is_read_and_a_wrong_one_refused(tmp_path):
    rows = fleet(entities=3, steps=320).reset_index().sort_values("timestamp", kind="stable")
    cut = rows["timestamp"] < rows["timestamp"].iloc[len(rows) // 2]
    told = watch(tmp_path, None, {})  # taken back: nothing is changed
    rows[cut].to_csv(tmp_path / "metrics.csv", index=False)
    follower = Follower(told, folder=tmp_path / "state")
    list(follower.tick())
    before = follower.watch.sentries[0]
    assert before.policy.screen is None
    everything = {"intercept": -99.0, "weights": {"queue_depth": 0.0, "http_server_errors_per_second": 0.0}}
    accepted(tmp_path / "accepted.yaml", {"screen": everything | {"loudest": 1e9}})
    rows[~cut].to_csv(tmp_path / "metrics.csv", mode="a", header=False, index=False)
    steps = list(follower.tick())
    after = follower.watch.sentries[0]
    assert follower.reloads == 1
    assert (after.detector, after.base, after.threshold) == (before.detector, before.base, before.threshold)
    fresh = [alarm for step in steps for alarm in step.alarms if alarm.detector == NAME and alarm.end is None]
    assert fresh
    assert "queues-alone" in {alarm.suppressed_by for alarm in fresh}
    assert "" not in {alarm.suppressed_by for alarm in fresh}
    for wrong in ("change: 3\n", "name: [", "name: a\ndetector: other\nchange: {}\n", "\x00"):
        (tmp_path / "accepted.yaml").write_text(wrong)
        assert not follower.reload()
        assert "not reloaded" in follower.refused
        assert follower.watch.sentries[0] is after
    follower.close()


def test_a_policy_of_another_detector_is_refused_at_the_start(tmp_path):
    told = watch(tmp_path, fleet(entities=2, steps=200), {"times": 2.0})
    accepted(tmp_path / "accepted.yaml", {"times": 2.0}, detector="novelty")
    with pytest.raises(ContractError, match="'novelty'"):
        follow(told, tmp_path / "state")
    accepted(tmp_path / "accepted.yaml", {"flagged": 3})
    with pytest.raises(ContractError, match=r"accepted\.yaml, column 'flagged'.*3 of 1.*declared"):
        follow(told, tmp_path / "other")


def test_lower_thresholds_see_their_metrics():
    sentry = Sentry(None, "x", 2.0, {"times": {"a": 0.5, "b": 3.0}})
    assert (sentry.policy.limit("a"), sentry.policy.limit("b")) == (1.0, 6.0)
    assert sentry.policy.limit("c") == 2.0


def test_a_policy_that_is_taken_back_beside_broken_rules_is_so_once_they_are_mended(tmp_path):
    told = watch(tmp_path, fleet(entities=2, steps=200), {"times": 3.0})
    follower = Follower(told, folder=tmp_path / "state")
    list(follower.tick())
    rules = (tmp_path / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text("groups: [")
    accepted(tmp_path / "accepted.yaml", {})
    assert not follower.reload()
    assert follower.watch.sentries[0].policy.times == 3.0
    (tmp_path / "rules.yaml").write_text(rules)
    assert follower.reload()
    assert follower.watch.sentries[0].policy.times == 1.0
    assert not follower.refused
    follower.close()


@pytest.mark.parametrize("before", [{}, {"times": 30.0}])
def test_what_was_accepted_while_nobody_watched_does_not_change_what_was_told(tmp_path, before):
    panel = fleet(entities=3, steps=330)
    told = watch(tmp_path, panel, before, checkpoint_every=10_000)
    follower = Follower(told, folder=tmp_path / "state")
    list(follower.tick())
    first, incidents = alarms_of(tmp_path / "state"), json.dumps(follower.watch.incidents.said(), sort_keys=True)
    went_on = {one.alarm_id for one in follower.watch.open_alarms}
    follower._held.close()  # killed
    accepted(tmp_path / "accepted.yaml", {"times": 30.0} if not before else {})
    for _ in range(2):  # and once more before anything else was written
        again = Follower(told, folder=tmp_path / "state")
        assert again.watch.sentries[0].policy.times == (1.0 if before else 30.0)
        assert alarms_of(tmp_path / "state") == first
        assert json.dumps(again.watch.incidents.said(), sort_keys=True) == incidents
        assert {one.alarm_id for one in again.watch.open_alarms} == went_on
        assert again.watch.checkpoints.newest().moment == again.watch.moment
        again._held.close()
