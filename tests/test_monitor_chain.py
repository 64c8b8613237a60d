"""The chain of a watch: whatever begins there ends there, and what is broken off or changed meanwhile loses nothing."""

import json
import os
import shutil
import signal
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from commands import stability
from test_monitor_foresight import COLUMN, made_up_data, no_pages, taught, those_of_the_batch
from test_monitor_foresight import watch as predicting
from test_monitor_kill import fork
from watching import START, declaration, fleet, follow, journal, told_once

from stability import detection
from stability.monitor import reports, verbs
from stability.monitor.alerts import Alerts
from stability.monitor.chain import Watch
from stability.monitor.declaration import RulesPart
from stability.monitor.following import Follower
from stability.monitor.ring import Ring, Rows
from stability.rules.files import Rule
from stability.schema import ContractError, home, write_table

__all__ = ["made_up_data", "no_pages"]
SECOND = 1_000_000
STEP = 15 * SECOND
FIRST = START.value // 1000
METRICS = ["queue_depth", "up"]
KINDS = ("alarm", "alarm_over", "firing", "firing_over", "incident")
DOWN = "{alert: Down, expr: 'up == 0', labels: {severity: page}}"
LONG = "{alert: Long, expr: 'queue_depth > 90', labels: {severity: page}}"


def rules(*some):
    return "groups: [{name: g, rules: [" + ", ".join(some) + "]}]\n"


def of_rules(folder, text, **more):
    """A watch of rules alone."""
    told = declaration(folder, detectors=[], **more)
    (folder / "rules.yaml").write_text(text)
    return told


def begun(told, folder, metrics=METRICS):
    watch = Watch(told, metrics, folder=folder)
    if not watch.resumed:
        watch.begin([], FIRST - STEP)
    return watch


def minute(k, up=1.0, queue=1.0):
    """Rows of two entities, of which `a` may be down, or have a long queue."""
    return Rows(FIRST + k * STEP, ("a", "b"), np.array([[queue, up], [1.0, 1.0]]))


# ---- rules that change while they fire -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reloads", "reloads twice and is killed", "starts"])
@pytest.mark.parametrize(
    "text",
    [
        rules(DOWN.replace("up == 0", "up < 1"), LONG),
        rules(LONG),
        rules(DOWN.replace("page", "ticket"), LONG),
        rules(DOWN.replace("page}", "ticket}, keep_firing_for: 1h"), LONG),
        rules(DOWN.replace("up == 0", "avg_over_time(up[1d]) == 0"), LONG),  # which is left out
    ],
    ids=["edited", "removed", "quieter", "quieter and kept firing", "left out"],
)
def test_an_alarm_ends_whose_rule_would_not_end_it_any_more_and_the_next_outage_is_an_incident(tmp_path, text, how):
    told = of_rules(tmp_path, rules(DOWN, LONG), looks={"service": "shop", "clear": "30s"})
    watch = begun(told, tmp_path / "state")
    for k in range(3):
        watch.take(minute(k, up=0.0, queue=99.0))
    assert {one.detector for one in watch.open_alarms} == {"rule:Down", "rule:Long"}
    (tmp_path / "rules.yaml").write_text(text)
    for _ in range(how.count("reloads") + how.count("twice")):
        watch.reload([str(tmp_path / "rules.yaml")])
    if "reloads" not in how:
        watch.close()
    if how != "reloads":
        watch = begun(told, tmp_path / "state")
    step = watch.take(minute(3, queue=99.0))
    assert [(one.detector, one.severity, one.end) for one in step.alarms] == [("rule:Down", "critical", step.moment)]
    assert {one.detector for one in watch.open_alarms} == {"rule:Long"}  # what has not changed goes on
    for k in range(4, 9):
        watch.take(minute(k))
    assert not watch.open_alarms
    (tmp_path / "rules.yaml").write_text(rules(DOWN, LONG))
    watch.reload([str(tmp_path / "rules.yaml")])
    watch.take(minute(9, up=0.0))
    watch.close()
    ends = [key.removeprefix("alarm_over/") for key in told_once(tmp_path / "state", "alarm_over")]
    begins = [key.removeprefix("alarm/") for key in told_once(tmp_path / "state", "alarm")]
    assert len(begins) == 3
    assert set(ends) == {name for name in begins if watch.moment != int(name.rsplit("/", 1)[1])}
    fires, ceased = (told_once(tmp_path / "state", kind) for kind in ("firing", "firing_over"))
    assert {name.removeprefix("firing/") for name in fires} >= {name.removeprefix("firing_over/") for name in ceased}
    assert len(fires) == len(ceased) + 1
    assert len(told_once(tmp_path / "state", "incident")) == 2
    assert len(told_once(tmp_path / "state", "incident_over")) == 1


def test_an_alarm_that_was_never_told_has_no_end(tmp_path):
    told = of_rules(tmp_path, rules(DOWN.replace("page", "ticket")))
    watch = begun(told, tmp_path / "state")
    watch.take(minute(0, up=0.0))
    (tmp_path / "rules.yaml").write_text(rules(DOWN))  # louder: the labels are others, and so is the alert
    watch.reload([str(tmp_path / "rules.yaml")])
    watch.take(minute(1, up=0.0))
    watch.take(minute(2))
    watch.close()
    (begin,), (end,) = journal(tmp_path / "state", "alarm"), journal(tmp_path / "state", "alarm_over")
    assert begin["alarm_id"] == end["alarm_id"]
    assert begin["moment"] == FIRST + STEP


def test_where_rules_are_declared_no_more_or_none_of_that_severity_their_alarms_end(tmp_path):
    told = of_rules(tmp_path, rules(DOWN, LONG))
    one = detection.MeanShift(variant="recursive").fit(fleet(steps=60)[["queue_depth"]]).save(tmp_path / "one.npz")
    part = {"detectors": [{"file": str(one), "threshold": 1e9}]}
    told = told.model_validate(told.model_dump() | part)
    for rest in ({"rules": RulesPart(files=told.rules.files, alarm=["critical"])}, {"rules": None}):
        state = tmp_path / str(len(list(tmp_path.iterdir())))
        watch = begun(told, state)
        watch.take(minute(0, up=0.0))
        watch.close()
        watch = begun(told.model_copy(update=rest), state)
        watch.take(minute(1, up=0.0))
        watch.close()
        assert [line["detector"] for line in journal(state, "alarm_over")] == ["rule:Down"]
        assert not watch.open_alarms


def test_alarms_of_a_detector_end_when_one_of_another_kind_takes_its_post(tmp_path):
    path, history = tmp_path / "one.npz", fleet(steps=60)[["queue_depth"]]
    history = history.rename(lambda at: at - pd.Timedelta("1d"), level="timestamp")
    detection.DETECTORS["difference"]().fit(history).save(path)
    told = declaration(tmp_path, detectors=[{"file": str(path), "threshold": 9.0, "policy": {"merge": 600.0}}])
    watch = begun(told, tmp_path / "state", ["queue_depth"])
    for k in range(3):
        watch.take(Rows(FIRST + k * STEP, ("web-0",), np.array([[2.0 if k < 2 else 900.0]])))
    assert [one.detector for one in watch.open_alarms] == ["difference"]
    detection.DETECTORS["random"]().fit(history).save(path)
    watch.reload([str(path)])
    watch.take(Rows(FIRST + 3 * STEP, ("web-0",), np.array([[900.0]])))
    assert [line["detector"] for line in journal(tmp_path / "state", "alarm_over")] == ["difference"]
    assert not watch.open_alarms
    watch.close()


def test_rules_that_are_left_out_are_told_when_that_changes(tmp_path):
    far, other = LONG.replace("queue_depth > 90", "avg_over_time(up[1d]) > 9"), LONG.replace("queue_depth", "load")
    told = of_rules(tmp_path, rules(DOWN, far))
    watch = begun(told, tmp_path / "state")
    for k in range(9):
        watch.take(minute(k))
        if k == 2:
            (tmp_path / "rules.yaml").write_text(rules(DOWN, other))
        if k == 4:
            (tmp_path / "rules.yaml").write_text(rules(DOWN, LONG))
        if k in (2, 4):
            watch.reload([str(tmp_path / "rules.yaml")])
    watch.close()
    said = [line["rules"] for line in journal(tmp_path / "state", "left_out")]
    assert [list(one) for one in said] == [["Long"], ["Long"], []]
    assert "looks back 1 days" in said[0]["Long"]
    assert "none of its metrics is watched: load" in said[1]["Long"]


# ---- names that are keys ---------------------------------------------------------------------------------------------


def test_two_detectors_of_one_kind_are_refused_before_anything_is_written(tmp_path):
    history, paths = fleet(steps=60), [tmp_path / f"{k}.npz" for k in range(2)]
    for path, metric in zip(paths, ["queue_depth", "up"], strict=True):
        detection.MeanShift(variant="recursive").fit(history[[metric]]).save(path)
    parts = [{"file": str(path), "threshold": 9.0} for path in paths]
    for two in (parts, [parts[0], {"name": "mean_shift_recursive", "learn": "1h"}]):
        with pytest.raises(ContractError, match="each kind of detector once, got 'mean_shift_recursive' twice"):
            Watch(declaration(tmp_path, detectors=two), METRICS, folder=tmp_path / "state")
    detection.MeanShift(variant="windowed").fit(history[["up"]]).save(paths[1])
    watch = begun(declaration(tmp_path, detectors=parts), tmp_path / "state")
    before = watch.sentries
    watch.take(minute(0))
    detection.MeanShift(variant="recursive").fit(history[["up"]]).save(paths[1])
    with pytest.raises(ContractError, match="each kind of detector once"):
        watch.reload([str(paths[1])])
    assert watch.sentries is before
    watch.take(minute(1))
    watch.close()
    (said,) = (tmp_path / "state" / "checkpoints").glob(f"at-{FIRST + STEP:016}/said.json")
    kept = json.loads(said.read_text())
    said.write_text(json.dumps(kept | {"detectors": kept["detectors"][:1] * 2}))  # as it was written when both went
    with pytest.raises(ContractError, match=r"each kind of detector once.*move a state away"):
        Watch(declaration(tmp_path, detectors=parts), METRICS, folder=tmp_path / "state")


def test_one_alert_in_two_files_is_refused_at_the_start_and_on_reload(tmp_path):
    told = of_rules(tmp_path, rules(DOWN))
    (tmp_path / "more.yaml").write_text(rules(DOWN.replace("up", "queue_depth")))
    both = told.model_copy(update={"rules": RulesPart(files=[*told.rules.files, str(tmp_path / "more.yaml")])})
    with pytest.raises(ContractError, match=r"more.yaml.*'Down' again, first in .*rules.yaml, line 1"):
        Watch(both, METRICS, folder=tmp_path / "state")
    (tmp_path / "more.yaml").write_text(rules(LONG))
    watch = begun(both, tmp_path / "state")
    (tmp_path / "more.yaml").write_text(rules(LONG, DOWN))
    with pytest.raises(ContractError, match="each alert's name once"):
        watch.reload([str(tmp_path / "more.yaml")])
    assert [rule.alert for rule in watch.alerts.rules] == ["Down", "Long"]
    watch.close()


def test_another_step_over_a_state_is_refused(tmp_path):
    told = of_rules(tmp_path, rules(DOWN))
    watch = begun(told, tmp_path / "state")
    watch.take(minute(0))
    watch.close()
    with pytest.raises(ContractError, match=r"expected a step of 15 s, got a step of 10 s.*give it another name"):
        Watch(told.model_copy(update={"step": "10s"}), METRICS, folder=tmp_path / "state")


# ---- a step that is broken off ---------------------------------------------------------------------------------------


def test_a_step_that_is_broken_off_is_judged_whole_after_a_start(tmp_path, monkeypatch):
    told = of_rules(tmp_path, rules(DOWN))
    watch, judge = begun(told, tmp_path / "state"), Alerts.step
    watch.take(minute(0))

    def interrupted(self, moment):
        judge(self, moment)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Alerts, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            watch.take(minute(1, up=0.0))
    with pytest.raises(RuntimeError, match="start the watch again"):
        watch.take(minute(2, up=0.0))
    watch.close()
    again = begun(told, tmp_path / "state")
    assert again.moment == FIRST + STEP
    assert [one.detector for one in again.open_alarms] == ["rule:Down"]
    assert again.counts["alarms"] == 1
    again.take(minute(2, up=0.0))
    again.close()
    assert len(told_once(tmp_path / "state", "alarm")) == 1


def test_who_interrupts_the_command_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_picture", lambda panel, alarm: "")
    told = declaration(tmp_path, fleet(entities=2, steps=230), serve=None)
    follow(told, tmp_path / "whole")
    loud = [line["moment"] for line in journal(tmp_path / "whole", "alarm") if line["detector"].startswith("rule:")]
    judge = Alerts.step

    def interrupting(self, moment):
        changed = judge(self, moment)
        if moment == loud[0]:
            os.kill(os.getpid(), signal.SIGINT)
        return changed

    def goes(folder):
        monkeypatch.setattr(Alerts, "step", interrupting)
        follower = Follower(told, folder=folder)
        verbs._follow(follower, once=False, show=False)
        follower.close()
        os._exit(0)

    process = fork(goes, tmp_path / "interrupted")
    process.join()
    assert process.exitcode == 0
    assert max(line["moment"] for line in journal(tmp_path / "interrupted", *KINDS)) == loud[0]  # there it stopped
    follow(told, tmp_path / "interrupted")
    for kind in KINDS:
        assert told_once(tmp_path / "interrupted", kind) == told_once(tmp_path / "whole", kind)


def test_a_detector_that_raises_costs_its_own_scores_and_nothing_else(tmp_path, monkeypatch):
    history = fleet(steps=60)[["queue_depth"]]
    parts = []
    for name in ("difference", "random"):
        path = detection.DETECTORS[name]().fit(history).save(tmp_path / f"{name}.npz")
        parts.append({"file": str(path), "threshold": 1e9})
    told = of_rules(tmp_path, rules(DOWN))
    told = told.model_validate(told.model_dump() | {"detectors": parts})
    watch = begun(told, tmp_path / "state")
    watch.take(minute(0))
    judge = watch.sentries[0].judge

    def broken(moment, *given):
        if moment == FIRST + STEP:
            raise ContractError(expected="a number", got="none")
        if moment == FIRST + 2 * STEP:
            raise ZeroDivisionError("no mean")
        return judge(moment, *given)

    watch.sentries[0].judge = broken
    steps = [watch.take(minute(k, up=float(k > 2))) for k in range(1, 5)]
    assert [np.isnan(step.scores["difference"]).any() for step in steps] == [True, True, False, False]
    assert not any(np.isnan(step.scores["random"]).any() for step in steps)
    assert [one.detector for one in steps[0].alarms] == ["rule:Down"]
    assert not watch.failing
    watch.close()
    (told,) = journal(tmp_path / "state", "detector_failed")
    assert (told["detector"], told["said"]) == ("difference", "ContractError: expected a number, got none.")
    assert watch.counts["errors"] == 1


def test_the_command_says_which_detector_cannot_judge(tmp_path):
    panel = fleet(entities=2, steps=60)
    path = detection.DETECTORS["difference"]().fit(panel[["queue_depth"]]).save(tmp_path / "one.npz")
    declaration(tmp_path, panel)  # all of which the detector has seen already
    spec = {
        "source": {"files": {"path": str(tmp_path / "metrics.csv")}}, "step": "15s", "serve": None,
        "detectors": [{"file": str(path), "threshold": 9.0}],
    }  # fmt: skip
    (tmp_path / "one.yaml").write_text(json.dumps(spec))
    (tmp_path / "data").mkdir()
    shutil.copy(home() / "data" / "metrics.yaml", tmp_path / "data")
    environment = os.environ | {"STABILITY_HOME": str(tmp_path)}
    done = stability(tmp_path, "watch", str(tmp_path / "one.yaml"), "--once", "--plain", **environment)
    assert done.returncode == 1
    assert "difference: ContractError: rows: expected a row after the one before" in done.stderr


def test_whatever_a_rule_raises_keeps_no_other_one_from_firing(monkeypatch):
    wait = pd.Timedelta(0)
    both = [Rule("g", name, f"{name} > 2", wait, wait, {}) for name in "xy"]
    alerts = Alerts(both, Ring(["x", "y"], 9), reach=SECOND)
    vector = alerts.instant.vector
    monkeypatch.setattr(alerts.instant, "vector", lambda expr: vector(expr) if "y" in expr else 1 / 0)
    alerts.instant.ring.add(Rows(0, ("a",), np.array([[3.0, 3.0]])))
    assert [one.rule.alert for one in alerts.step(0)] == ["y"]
    assert alerts.failing == {"x": "ZeroDivisionError: division by zero"}


def test_what_is_gone_through_again_is_counted_though_it_is_not_told_again(tmp_path):
    told = of_rules(tmp_path, rules(DOWN))
    watch = begun(told, tmp_path / "state")  # its checkpoint is that of the begin
    for k in range(5):
        watch.take(minute(k, up=float(k in (0, 3))))
    counts = dict(watch.counts)
    assert (counts["alarms"], counts["firings"], counts["incidents"]) == (2, 2, 2)
    watch.journal.close()  # and is killed
    again = begun(told, tmp_path / "state")
    assert again.counts == counts
    again.take(minute(5, up=0.0))
    assert again.counts == counts | {"steps": 6}
    again.close()
    assert Counter(line["kind"] for line in journal(tmp_path / "state", *KINDS))["alarm"] == 2


# ---- a topology that changes -----------------------------------------------------------------------------------------


def linked(path, *pairs):
    index = pd.MultiIndex.from_tuples(pairs, names=["source", "target"])
    write_table(pd.DataFrame({"kind": "calls"}, index), path, "topology")


def test_a_topology_that_changes_is_used_and_a_broken_one_is_not(tmp_path):
    path, topology = tmp_path / "one.npz", tmp_path / "topology.parquet"
    linked(topology, ("a", "b"))
    panel = fleet(entities=2, steps=200)
    before = panel[["queue_depth"]].rename(lambda at: at - pd.Timedelta("1d"), level="timestamp")
    detection.MeanShift(variant="recursive").fit(before).save(path)
    part = {"file": str(path), "threshold": 9.0, "policy": {"together": 60.0}}
    told = declaration(tmp_path, panel, detectors=[part], topology=str(topology))
    follower = Follower(told, folder=tmp_path / "state")
    list(follower.tick())
    watch, sentry = follower.watch, follower.watch.sentries[0]
    assert watch.incidents.links == {"a": {"b"}, "b": {"a"}}
    linked(topology, ("a", "c"))
    assert follower.reload()
    assert watch.incidents.links == {"a": {"c"}, "c": {"a"}}
    assert watch.sentries[0] is sentry  # what it knows goes on
    assert sentry.desk.near == {"a": {"c": "a calls c"}, "c": {"a": "a calls c"}}
    assert list(watch.topology.index) == [("a", "c")]
    topology.write_bytes(b"no table")
    assert not follower.reload()
    assert "not reloaded" in follower.refused
    assert watch.incidents.links == {"a": {"c"}, "c": {"a"}}
    assert list(watch.topology.index) == [("a", "c")]
    follower.close()


def test_a_predictor_has_the_numbers_of_the_batch_also_beyond_another_topology(workbench, tmp_path):
    topology, panel = tmp_path / "topology.parquet", fleet(entities=2, steps=180)
    linked(topology, ("web-0", "web-1"))
    features, predictor = taught(panel, tmp_path / "features")
    rows = panel.reset_index().sort_values("timestamp", kind="stable")
    cut = rows["timestamp"] < START + pd.Timedelta("38min")
    told = predicting(tmp_path, None, topology=str(topology))
    rows[cut].to_csv(tmp_path / "metrics.csv", index=False)
    follower = Follower(told, folder=tmp_path / "state")
    steps = list(follower.tick())
    linked(topology, ("web-1", "web-2"))
    rows[~cut].to_csv(tmp_path / "metrics.csv", mode="a", header=False, index=False)
    steps += list(follower.tick())
    follower.close()
    assert journal(tmp_path / "state", "reload")[-1]["files"] == [str(topology)]
    assert list(follower.watch.predictor.topology.index) == [("web-1", "web-2")]
    expected = those_of_the_batch(steps, predictor.predict(features.transform({"telemetry": panel})))
    alarms = detection.raise_alarms(expected, 0.9, merge=60.0)
    assert {line["alarm_id"] for line in journal(tmp_path / "state", "alarm") if line["detector"] == COLUMN} == set(
        alarms.index
    )
