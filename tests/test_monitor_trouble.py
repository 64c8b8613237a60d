"""What goes wrong around a watch: disks, rules, models, names and people; nothing is lost, and nothing stops it."""

import os
import random
import signal
import threading
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from test_monitor_kill import fork
from test_monitor_looks import begun, quiet_then, raised, telling, watched
from watching import declaration, fleet, follow, journal, record, told_once

from stability import detection
from stability.monitor import incidents, repairs, reports
from stability.monitor.alerts import Alerts
from stability.monitor.arm import DECLARED, watch_of
from stability.monitor.chain import Watch
from stability.monitor.declaration import DetectorPart, FeltPart, ServicePart, read_watch
from stability.monitor.following import Follower
from stability.monitor.incident import Incident
from stability.monitor.messages import Messenger
from stability.monitor.recalls import remember
from stability.monitor.reports import write_report
from stability.monitor.ring import Ring, Rows
from stability.remediation.decisions import Case, Progress
from stability.rules.files import Rule
from stability.schema import home

__all__ = ["telling"]
SECOND = 1_000_000
KINDS = ("alarm", "alarm_over", "firing", "firing_over", "incident")
NOW = pd.Timestamp("2026-03-01", tz="UTC")


# ---- disks -----------------------------------------------------------------------------------------------------------


def test_what_a_disk_does_not_take_is_told_later_and_once(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_picture", lambda panel, alarm: "")
    told, rng = declaration(tmp_path, fleet(entities=3, steps=230)), random.Random(5)
    _, whole = follow(told, tmp_path / "whole")
    follower, sync, failed = Follower(told, folder=tmp_path / "full"), os.fsync, []

    def full(handle):
        if follower.watch is not None and rng.random() < 0.08:
            failed.append(handle)
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        while follower.watch is None or follower.trouble:
            list(follower.tick())
    assert len(failed) > 10
    follower.close()
    assert follower.watch.counts["steps"] == whole.watch.counts["steps"]
    for kind in KINDS:
        assert told_once(tmp_path / "full", kind) == told_once(tmp_path / "whole", kind)


def test_scores_of_other_columns_begin_anew(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [("web-0", "cpu_saturation", 0.9)]
    told, metrics, rows = quiet_then(supervisor, tmp_path)
    fitted = detection.MeanShift(variant="recursive").fit(fleet(steps=170)[["queue_depth"]])
    part = DetectorPart(file=str(fitted.save(tmp_path / "one.npz")), threshold=1e9)
    told = told.model_copy(update={"detectors": [part]})
    watched(told.model_copy(update={"repair": None}), metrics, rows[:2], tmp_path / "state")
    watched(told, metrics, rows[2:], tmp_path / "state")  # repair is declared, and rules get a column
    assert supervisor.done == ["POST /processes/web-0/restart"]
    assert not journal(tmp_path / "state", "error")


# ---- rules and models ------------------------------------------------------------------------------------------------


def test_a_rule_that_cannot_be_evaluated_keeps_no_other_one_from_firing():
    wait = pd.Timedelta(0)
    twice = Rule("g", "Twice", "x * on(zone) up > 0", wait, wait, {})
    plain = Rule("g", "Plain", "x > 2", wait, wait, {})
    labels = {name: {"entity": name, "zone": "z"} for name in "ab"}
    alerts = Alerts([twice, plain], Ring(["x", "up"], 9), reach=SECOND, labels=labels)
    alerts.instant.ring.add(Rows(0, ("a",), np.array([[1.0, 1.0]])))
    assert [one.rule.alert for one in alerts.step(0)] == ["Twice"]
    alerts.instant.ring.add(Rows(SECOND, ("a", "b"), np.array([[1.0, 1.0], [3.0, 1.0]])))
    assert [one.rule.alert for one in alerts.step(SECOND)] == ["Plain"]
    assert list(alerts.failing) == ["Twice"]
    assert "Twice" in {one.rule.alert for one in alerts.firing.values()}  # as it was
    alerts.instant.ring.add(Rows(2 * SECOND, ("c",), np.array([[9.0, 1.0]])))  # whose labels nobody has told
    for k in (2, 3):
        assert alerts.step(k * SECOND) == []
        assert list(alerts.failing) == ["Twice", "Plain"]


def test_of_files_that_change_together_all_are_taken_or_none_and_that_is_told_until_it_is_mended(tmp_path):
    panel = fleet(entities=2, steps=200)
    before = panel[["queue_depth"]].rename(lambda at: at - pd.Timedelta("1d"), level="timestamp")
    fitted = detection.MeanShift(variant="recursive").fit(before)
    fitted.save(tmp_path / "one.npz")
    told = declaration(tmp_path, panel, detectors=[{"file": str(tmp_path / "one.npz"), "threshold": 9.0}])
    follower = Follower(told, folder=tmp_path / "state", clock=lambda: panel.index[-1][1])
    list(follower.tick())
    rules, sentry = (tmp_path / "rules.yaml").read_text(), follower.watch.sentries[0]
    (tmp_path / "rules.yaml").write_text(rules.replace("Busy", "Crowded"))
    whole = (tmp_path / "one.npz").read_bytes()
    for broken in (b"no archive", whole[: len(whole) // 2], b""):
        (tmp_path / "one.npz").write_bytes(broken)
        assert not follower.reload()
        list(follower.tick())
        assert follower.refused.startswith("not reloaded")
        assert follower.healthy  # it does what it did
        assert {rule.alert for rule in follower.watch.alerts.rules} == {"Busy", "Errors", "Lost"}
        assert follower.watch.sentries[0] is sentry
    (tmp_path / "one.npz").write_bytes(whole)
    assert follower.reload()
    assert follower.refused == ""
    assert {rule.alert for rule in follower.watch.alerts.rules} == {"Crowded", "Errors", "Lost"}
    follower.close()


# ---- names and pages -------------------------------------------------------------------------------------------------


def test_a_name_that_looks_like_a_formula_or_a_number_without_end_gets_a_page(tmp_path):
    for score in (float("inf"), "inf", None):  # JSON tells infinity as a word
        assert "data:image/png;base64," in page(tmp_path, r"$\frac{$", score)


@pytest.mark.parametrize("who", ["web-\u6771\u4eac", "web\x1b[2K"])
def test_a_name_with_letters_that_no_font_has_is_drawn_without_a_word(tmp_path, recwarn, who):
    assert "data:image/png;base64," in page(tmp_path, who)
    assert not recwarn


def page(folder, who, score=9.0):
    """Text of the page of an alarm of somebody."""
    stamps = pd.date_range(NOW, periods=3, freq="15s", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([[who], stamps], names=["entity", "timestamp"])
    panel = pd.DataFrame({"queue_depth": [1.0, 2.0, 3.0]}, index)
    alarm = asdict(raised(who, NOW.value // 1000)) | {"metrics": "queue_depth", "score": score}
    return write_report(folder, Incident(alarm, page="a.html"), panel, [], NOW.value // 1000).read_text()


def test_a_page_that_cannot_be_drawn_loses_no_incident(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no picture")

    monkeypatch.setattr(incidents, "write_report", broken)
    _, follower = follow(declaration(tmp_path, fleet(entities=2, steps=230)), tmp_path / "state")
    assert len(told_once(tmp_path / "state", "incident")) == follower.watch.counts["incidents"] > 0
    assert follower.watch.counts["errors"] > 0


def test_an_incident_of_an_older_watch_is_remembered(tmp_path):
    watch = Watch(declaration(tmp_path, detectors=[]), ["queue_depth", "up"], folder=tmp_path / "state")
    old = asdict(Incident(asdict(raised("a")), page="a.html"))
    for name in ("settles", "worst"):
        del old[name]
    remember(watch.incidents, old)
    assert watch.incidents.held["rule:Slow/a/0"].settles == 0
    watch.journal.close()


def test_of_too_many_incidents_those_that_are_over_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(incidents, "KEPT", 3)
    watch = Watch(declaration(tmp_path, detectors=[]), ["queue_depth", "up"], folder=tmp_path / "state")
    held = watch.incidents.held
    for name in "abc":
        held[name] = Incident(asdict(raised(name)), open=name != "b")
    watch.ring.add(Rows(0, ("d",), np.array([[1.0, 1.0]])))
    watch.incidents._open(raised("d"), 0)
    assert list(held) == ["a", "c", "rule:Slow/d/0"]
    watch.incidents._open(raised("e"), 0)
    assert list(held) == ["c", "rule:Slow/d/0", "rule:Slow/e/0"]
    watch.journal.close()


# ---- repairs ---------------------------------------------------------------------------------------------------------


def test_a_token_that_cannot_be_read_approves_nothing_and_stops_nothing(supervisor, telling, tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_APPROVAL_KEY", "k" * 32)
    answers, _ = telling
    answers += [("web-0", "cpu_saturation", 0.9)]
    told, metrics, rows = quiet_then(supervisor, tmp_path, mode="approved")
    watch = begun(told, metrics, rows, tmp_path / "state")
    (tmp_path / "state" / "approvals").mkdir()
    for k, one in enumerate(rows[:12]):
        watch.take(one)
        for line in journal(tmp_path / "state", "incident"):
            token = tmp_path / "state" / "approvals" / line["decision"]["decision_id"]
            token.write_bytes(b"\xff\xfe" if k % 2 else b"x" * 100_000)
    watch.close()
    assert token.exists()
    assert supervisor.done == []
    assert not journal(tmp_path / "state", "error")


def test_a_repair_that_cannot_be_judged_keeps_no_other_one_waiting(supervisor, telling, tmp_path, monkeypatch):
    watch = begun(*quiet_then(supervisor, tmp_path), tmp_path / "state")
    own, held = watch.incidents.repair, {name: Incident(asdict(raised(name))) for name in "ab"}
    cases = [Case(name, "web-0", "p", 0, f"{name}-step", NOW, NOW, "done") for name in "ab"]

    def judged(case, *_):
        if case.alarm_id == "a":
            raise ValueError("no verdict")
        return Progress("verified", True, checks=("well",))

    monkeypatch.setattr(own, "_aftermath", lambda *_: None)
    monkeypatch.setattr(own.repairer, "open_cases", lambda: cases)
    monkeypatch.setattr(own.repairer, "observe", judged)
    found = own.observe(held, NOW.value // 1000)
    assert next(found) is held["b"]
    assert held["b"].verdict["verdict"] == "verified"
    with pytest.raises(ValueError, match="no verdict"):
        next(found)
    watch.close()


def test_killed_between_a_verdict_and_the_word_of_it_the_word_is_said_afterwards(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [("web-0", "cpu_saturation", 0.9)]
    told, metrics, rows = quiet_then(supervisor, tmp_path)

    def dies(folder):
        watch = begun(told, metrics, rows, folder)
        once = watch.journal.once

        def dying(key, *given, **more):
            if key.startswith("verdict/"):
                os.kill(os.getpid(), signal.SIGKILL)
            return once(key, *given, **more)

        watch.journal.once = dying
        for one in rows:
            watch.take(one)

    fork(dies, tmp_path / "state").join()
    assert [line for line in record(tmp_path / "state") if line["kind"] in ("verdict", "left")]
    assert not journal(tmp_path / "state", "verdict")
    again = begun(told, metrics, rows, tmp_path / "state")
    for one in rows:
        if one.moment > again.moment:
            again.take(one)
    again.close()
    judged = [line["facts"] for line in record(tmp_path / "state") if line["kind"] in ("verdict", "left")]
    said = journal(tmp_path / "state", "verdict")
    assert [one["action_id"] for one in said] == [one["action_id"] for one in judged]
    assert said[0]["checks"] == judged[0]["checks"]
    assert not journal(tmp_path / "state", "error")


def test_who_was_last_seen_a_while_ago_is_not_known_to_serve(supervisor, telling, tmp_path):
    told, metrics, rows = quiet_then(supervisor, tmp_path)
    up = metrics.index("up")
    rows[2].values[1, up], rows[1].values[2, up], rows[1].values[3, up] = np.nan, np.nan, 0.0
    watch = begun(told, metrics, rows, tmp_path / "state")
    for one in rows[:3]:
        watch.take(one)
    assert watch.incidents.repair.state(watch.moment).healthy == {"web-0": True, "web-2": True, "web-3": False}
    watch.close()


def test_a_verdict_looks_at_the_nearest_of_many_neighbours(supervisor, telling, tmp_path):
    watch = begun(*quiet_then(supervisor, tmp_path), tmp_path / "state")
    names = (*(f"host-{k:02}" for k in range(40)), "web-1", "web-2")
    case = Case("a", "web-0", "p", 0, "x", NOW, NOW, "done", names)
    near = watch.incidents.repair._nearest(case)
    assert near[:2] == ("web-1", "web-2")
    assert len(near) == len(set(near)) == 20
    few = Case("a", "web-0", "p", 0, "x", NOW, NOW, "done", names[-5:])
    assert watch.incidents.repair._nearest(few) == names[-5:]
    felt = FeltPart(entity="web-1", above={"latency": 0.25})  # whether users are hurt is what their requests say
    part = ServicePart(entity=["web-0", "web-1"], total="requests", errors="errors", felt=felt)
    watch.told = watch.told.model_copy(update={"service": part})
    assert watch.incidents.repair._nearest(few) == (*names[-5:-2], "web-2")
    assert "web-1" not in watch.incidents.repair._nearest(case)
    watch.close()


def test_a_message_is_sent_once_however_long_it_takes_and_again_where_nobody_took_it():
    sent, through, fails = [], threading.Event(), [True]

    def send(title, text, *, bad):
        sent.append((title, text, bad))
        through.wait()
        if fails:
            raise TimeoutError(fails.pop())
        return True

    messenger = Messenger(send)
    assert not messenger("help", "a leak", bad=True)
    assert not messenger("help", "a leak", bad=True)
    assert sent == [("help", "a leak", True)]
    through.set()
    messenger.workers.submit(int).result()  # it stands behind the message
    assert not messenger("help", "a leak", bad=True)  # nobody took it
    assert messenger("help", "a leak", bad=True)
    assert len(sent) == 2
    messenger.close()


def test_steps_do_not_wait_for_messages(supervisor, telling, tmp_path, monkeypatch):
    answers, _ = telling
    answers += [("web-0", "unknown", 0.8)]
    through = threading.Event()
    monkeypatch.setattr(repairs, "send", lambda *_, **__: through.wait())
    told, metrics, rows = quiet_then(supervisor, tmp_path, settle=0)
    watch = begun(told, metrics, rows, tmp_path / "state")
    for one in rows[:12]:
        watch.take(one)
    kinds = [line["kind"] for line in record(tmp_path / "state")]
    assert "not_told" in kinds
    assert "told" not in kinds
    through.set()
    for one in rows[12:]:
        watch.take(one)
    watch.close()
    assert [line["kind"] for line in record(tmp_path / "state")].count("told") == 1
    assert not journal(tmp_path / "state", "error")


def test_a_game_day_waits_for_answers_as_the_watch_that_ships_does(tmp_path):
    ships = read_watch(home() / DECLARED)
    assert ships.looks.settle_us == 20 * SECOND
    assert watch_of(tmp_path, home() / "data" / "watch" / "testbed", tmp_path).looks == ships.looks
