"""Second looks: an open incident is diagnosed again, decided anew where the answer changed; actions hold up nothing."""

import os
import signal
import threading
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_monitor_kill import fork
from watching import declaration, fleet, journal, record, repairing, told_once

from stability.localization import Diagnoser
from stability.monitor import repairs, reports
from stability.monitor.chain import Watch
from stability.monitor.declaration import LooksPart, ServicePart
from stability.monitor.incident import Incident
from stability.monitor.looks import joined, named, news, plan, settled
from stability.monitor.ring import Rows
from stability.monitor.sentries import Raised
from stability.telemetry.grid import micros

SECOND = 1_000_000
QUIET, STEPS = 170, 30  # rows that teach, and rows that are watched


def raised(entity, at=0, detector="rule:Slow", severity="critical"):
    return Raised(f"{detector}/{entity}/{at}", entity, at, None, detector, "", 1.0, 1.0, severity, "slow", "")


def incident(entity="users", name="i", start=0):
    return Incident({"alarm_id": name, "entity": entity}, news=start)


# ---- which, and when -------------------------------------------------------------------------------------------------


def test_alarms_of_rules_are_one_incident_of_a_service():
    looks = LooksPart(service="users")
    calls = joined([raised("a"), raised("b", severity="warning"), raised("c", detector="novelty")], {}, looks, {})
    assert [(one.entity, one.detector, one.severity) for one in calls.opened] == [("users", "rules", "critical")]
    held = {"i": incident(), "old": incident(name="old")}
    held["old"].open = False
    calls = joined([raised("b"), raised("c", detector="novelty")], held, looks, {})
    assert (calls.opened, dict(calls.joins)) == ([], {"i": ["rule:Slow of b"]})
    assert joined([raised("c", detector="novelty")], held, looks, {}).joins == {}


def test_an_alarm_is_news_to_incidents_of_its_entity_and_of_linked_ones():
    held = {name: incident(name, name) for name in ("a", "b", "c")}
    calls = joined([raised("b")], held, LooksPart(), {"a": {"b"}, "b": {"a"}})
    assert [one.entity for one in calls.opened] == ["b"]
    assert set(calls.joins) == {"a", "b"}


def test_looks_follow_news_and_what_begins_together_is_one_moment():
    looks, one = LooksPart(after=["10s", "2s"], apart="5s"), incident(start=100 * SECOND)
    plan(one, 100 * SECOND, looks, now=False)
    assert one.due == [102 * SECOND, 110 * SECOND]
    assert not news(one, 104 * SECOND, looks)
    assert news(one, 105 * SECOND, looks)
    plan(one, 105 * SECOND, looks)
    assert (one.news, one.due) == (105 * SECOND, [105 * SECOND, 107 * SECOND, 115 * SECOND])


@given(st.lists(st.sampled_from([("a", "x"), ("a", "y"), (None, None)]), max_size=8), st.integers(1, 4))
def test_looks_agree_when_the_last_ones_say_the_same(said, agree):
    one = incident()
    one.looks = [{"entity": entity, "failure_mode": mode} for entity, mode in said]
    plain = list(said[-1]) if len(said) >= agree and len(set(said[-agree:])) == 1 else None
    assert named(one, agree) == plain


def looked(*said, hurt=None, severity="warning"):
    """An incident whose looks said so, a second apart; pairs of entity and mode."""
    one = incident()
    for k, (entity, mode) in enumerate(said):
        at = pd.Timestamp(k * SECOND, unit="us", tz="UTC").isoformat()
        told = {"at": at, "entity": entity, "failure_mode": mode, "severity": severity}
        one.looks.append(told | {"hurt": hurt[k] if hurt else None})
    return one


NONE, STRANGE, OTHER, KNOWN = (None, None), ("a", "unknown"), ("b", "unknown"), ("a", "cpu_saturation")


@pytest.mark.parametrize(
    ("said", "since"),
    [
        ([KNOWN], None),
        ([STRANGE, KNOWN], None),
        ([STRANGE, NONE], None),  # nobody is called about no fault
        ([STRANGE], 0),
        ([NONE, NONE, STRANGE], 2),  # what looked like nothing was not unknown
        ([STRANGE, NONE, OTHER], 0),  # but it stays so while it comes and goes, and whoever it is
        ([STRANGE, KNOWN, STRANGE], 0),  # one look is no agreement
        ([STRANGE, KNOWN, KNOWN, STRANGE], 3),
    ],
)
def test_what_is_not_known_is_waited_for_since_it_was_first_found(said, since):
    looks, one = LooksPart(settle="20s", agree=2), looked(*said)
    until, why = settled(one, (len(said) - 1) * SECOND, looks)
    assert until == (0 if since is None else (since + 20) * SECOND)
    assert bool(why) == (since is not None)
    if since is not None:
        assert f"00:00:{since + 20}" in why
        assert settled(one, (since + 20) * SECOND - 1, looks)[0]
        assert settled(one, (since + 20) * SECOND, looks) == (0, "it has not become known within 20s")


def test_what_gets_worse_is_not_waited_for():
    looks = LooksPart(settle="20s")
    assert "users are hurt" in settled(looked(STRANGE, STRANGE, hurt=[False, True]), SECOND, looks)[1]
    for hurt in ([True, True], [None, True], [False, False], [False, None]):
        assert settled(looked(STRANGE, STRANGE, hurt=hurt), SECOND, looks)[0]
    one = looked(STRANGE, STRANGE)
    one.looks[1]["severity"] = "critical"
    until, why = settled(one, SECOND, looks)
    assert (until, "critical" in why) == (0, True)
    one.looks[0]["severity"] = "critical"
    assert settled(one, SECOND, looks)[0]
    assert settled(looked(STRANGE), 0, LooksPart(settle=0))[0] == 0


@pytest.mark.parametrize(
    ("said", "agree", "calls"),
    [
        ([NONE, NONE], 2, True),
        ([KNOWN, NONE, NONE], 2, True),
        ([NONE, KNOWN, NONE], 2, True),  # nobody was agreed upon
        ([NONE, NONE, KNOWN], 2, True),
        ([NONE, KNOWN, KNOWN], 2, False),
        ([NONE, KNOWN], 1, False),
        ([], 1, False),
    ],
)
def test_people_are_called_when_users_are_hurt_and_nobody_knows_why(said, agree, calls):
    looks, one = LooksPart(hurts="1min", agree=agree), looked(*said)
    assert settled(one, 900 * SECOND, looks) == (0, "")  # users are not hurt
    one.hurt = 10 * SECOND
    until, why = settled(one, 70 * SECOND - 1, looks)
    assert until == (70 * SECOND if calls else 0)
    assert ("00:01:10" in why) == calls
    until, why = settled(one, 70 * SECOND, looks)
    assert (until, "since 00:00:10" in why) == (0, calls)
    assert bool(settled(one, 10 * SECOND, LooksPart(hurts=0, agree=agree))[1]) == calls


# ---- in a watch ------------------------------------------------------------------------------------------------------


@pytest.fixture
def telling(monkeypatch):
    """A localizer that answers what a list says, look by look: its last answer goes on. Other tests draw pictures."""
    answers, asked = [], []

    def diagnose(self, pictures, first=5):
        (name,) = pictures
        entity, mode, p = answers[min(len(asked), len(answers) - 1)]
        asked.append(name)
        rows = [(name, 1, entity, None, mode, p, "{}"), (name, 2, None, None, None, 1 - p, "{}")]
        columns = ["alarm_id", "rank", "entity", "metric", "failure_mode", "probability", "evidence"]
        causes = pd.DataFrame(rows, columns=columns).set_index(["alarm_id", "rank"])
        causes.attrs["answers"] = {name: "said"}
        return causes

    monkeypatch.setattr(Diagnoser, "diagnose", diagnose)
    monkeypatch.setattr(reports, "_picture", lambda panel, alarm: "")
    return answers, asked


def quiet_then(supervisor, folder, mode="automatic", clock="rows", **looks):
    """A watch of quiet entities, and rows in which one queue is long from the third on: what its rule alarms for."""
    rng = np.random.default_rng(0)
    panel = fleet(steps=QUIET)
    parts = repairing(folder, supervisor.url, panel, mode=mode)
    parts["repair"] |= {"clock": clock}
    parts["repair"]["guards"] |= {"stale": 1e12}
    told = declaration(folder, detectors=[], looks={"service": "shop", "after": ["30s", "1min"], **looks}, **parts)
    first = int(pd.Timestamp("2026-01-02", tz="UTC").timestamp()) * SECOND
    rows = []
    for k in range(STEPS):
        values = np.column_stack([rng.gamma(2, 0.5, 4), np.full(4, 30.0 * k), np.zeros(4), np.ones(4)])
        values[0, 0] = 30.0 if k >= 3 else values[0, 0]
        rows.append(Rows(first + 15 * SECOND * k, tuple(f"web-{n}" for n in range(4)), values))
    return told, list(panel.columns), rows


def begun(told, metrics, rows, folder):
    watch = Watch(told, metrics, folder=folder)
    if not watch.resumed:
        watch.begin([], rows[0].moment - 1)
    return watch


def watched(told, metrics, rows, folder, pause=0.0):
    watch = begun(told, metrics, rows, folder)
    for one in rows:
        watch.take(one)
        time.sleep(pause)
    watch.close()
    return watch


def test_an_answer_that_changes_is_decided_anew_and_the_same_one_is_not(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [(None, None, 0.8), ("web-0", "unknown", 0.8), ("web-0", "cpu_saturation", 0.9)]
    watched(*quiet_then(supervisor, tmp_path, most=9, settle=0), tmp_path / "state")
    lines = journal(tmp_path / "state", "incident", "look")
    assert not journal(tmp_path / "state", "error")
    decided = [line["decision"]["kind"] for line in lines if line["decided"]]
    assert decided[:3] == ["nothing", "escalate", "step"]
    assert "step" not in decided[3:]
    assert supervisor.done == ["POST /processes/web-0/restart"]
    looks = lines[-1]["looks"]
    assert [one["failure_mode"] for one in looks][:3] == [None, "unknown", "cpu_saturation"]
    (acted,) = journal(tmp_path / "state", "acted")
    assert (acted["status"], acted["entity"]) == ("done", "web-0")
    page = (tmp_path / "state" / "reports" / lines[0]["page"]).read_text()
    assert "How the answer changed" in page
    assert "cpu_saturation of web-0" in page


def decisions(folder):
    return [line["facts"]["decision"] for line in record(folder) if line["kind"] == "decision"]


def test_nobody_is_called_about_what_becomes_known_seconds_later(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [("web-0", "unknown", 0.8), ("web-0", "cpu_saturation", 0.9)]
    watched(*quiet_then(supervisor, tmp_path, settle="1min"), tmp_path / "state")
    first, then = decisions(tmp_path / "state")[:2]
    assert (first["kind"], then["kind"]) == ("nothing", "step")
    assert "people are called at 00:02:15 if it does not" in first["because"]
    assert supervisor.done == ["POST /processes/web-0/restart"]
    titles = [line["facts"].get("title", "") for line in record(tmp_path / "state")]
    assert not [title for title in titles if "not known" in title]
    assert not journal(tmp_path / "state", "error")


@pytest.mark.parametrize("who", ["one", "now this, now that"])
def test_people_are_called_when_it_has_not_become_known_in_time(supervisor, telling, tmp_path, who):
    answers, asked = telling
    answers += [(f"web-{k % (1 if who == 'one' else 2)}", "unknown", 0.8) for k in range(9)]
    told, *rest = quiet_then(supervisor, tmp_path, settle="50s", agree=2, after=["15s"], most=2)
    watched(told, *rest, tmp_path / "state")
    *before, last = decisions(tmp_path / "state")
    assert {one["kind"] for one in before} <= {"nothing"}
    assert last["kind"] == "escalate"
    assert "has not become known within 50s" in last["because"]
    begun = pd.Timestamp(journal(tmp_path / "state", "incident")[0]["moment"], unit="us", tz="UTC")
    assert pd.Timestamp(last["at"]) - begun == pd.Timedelta("60s")  # the first step that is not before
    assert len(asked) == 3  # one more than the most, for it
    titles = [line["facts"].get("title", "") for line in record(tmp_path / "state") if line["kind"] == "told"]
    assert [title for title in titles if "not known" in title]
    assert not journal(tmp_path / "state", "error")


def hurting(rows, *spans, unknown=()):
    """Rows in which users are hurt in some spans, and nobody tells of it at some others."""
    for k, one in enumerate(rows):
        one.values[3, 2] = 9.0 if any(first <= k < end for first, end in spans) else 0.0
        one.values[3, 2] = np.nan if k in unknown else one.values[3, 2]
    return rows


def users_hurt(supervisor, folder, **looks):
    """As `quiet_then`, where errors of web-3 are what users feel."""
    told, metrics, rows = quiet_then(supervisor, folder, hurts="1min", after=["30s"], most=3, **looks)
    felt = {"entity": "web-3", "above": {"http_server_errors_total": 5.0}}
    counted = {"entity": "web-3", "total": "http_server_requests_total", "errors": "http_server_errors_total"}
    return told.model_copy(update={"service": ServicePart(**counted, felt=felt)}), metrics, rows


def calls(folder):
    told = [line["facts"] for line in record(folder) if line["kind"] in ("told", "not_told")]
    return [one for one in told if "nobody knows why" in one["title"]]


def test_an_alarm_that_is_no_fault_calls_people_once_while_users_are_hurt(supervisor, telling, tmp_path, monkeypatch):
    answers, _ = telling
    answers += [(None, None, 0.8)]
    sent = []
    monkeypatch.setattr(repairs, "send", lambda title, text, *, bad: sent.append((title, text, bad)) or True)
    told, metrics, rows = users_hurt(supervisor, tmp_path)
    # 45 s of hurt call nobody; what begins 6 rows later does, and what nobody tells meanwhile changes nothing of it
    watched(told, metrics, hurting(rows, (4, 8), (11, 20), (22, 30), unknown=[13]), tmp_path / "state")
    first, *rest = [one for one in decisions(tmp_path / "state") if one["kind"] == "escalate"]
    assert not rest
    assert pd.Timestamp(first["at"]) == pd.Timestamp(rows[15].moment, unit="us", tz="UTC")
    assert first["because"].startswith("users are hurt since 00:02:45, which is 1min or more, and nobody knows why")
    (call,) = [text for title, text, bad in sent if bad]
    assert "users: http_server_errors_total is 9, and 5 is the most that is promised" in call
    assert call.count("look: 00:0") > 1
    assert ": nobody, 80%" in call
    assert supervisor.done == []
    assert len(calls(tmp_path / "state")) == 1
    assert not journal(tmp_path / "state", "error")


def test_nobody_is_called_while_users_are_served(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [(None, None, 0.8)]
    told, metrics, rows = users_hurt(supervisor, tmp_path)
    watched(told, metrics, hurting(rows, (4, 8), (9, 13), (14, 18)), tmp_path / "state")
    assert {one["kind"] for one in decisions(tmp_path / "state")} == {"nothing"}
    assert not calls(tmp_path / "state")


def test_what_one_look_names_is_not_repaired_when_people_are_called(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [(None, None, 0.8), ("web-0", "cpu_saturation", 0.9)] * 9
    told, metrics, rows = users_hurt(supervisor, tmp_path, agree=2)
    watched(told, metrics, hurting(rows, (4, 30)), tmp_path / "state")
    assert [one["kind"] for one in decisions(tmp_path / "state")] == ["escalate"]
    assert supervisor.done == []
    assert len(calls(tmp_path / "state")) == 1
    assert not journal(tmp_path / "state", "error")


def test_killed_around_a_call_people_are_called_once(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [(None, None, 0.8)]
    told, metrics, rows = users_hurt(supervisor, tmp_path)
    hurting(rows, (4, 30))

    def dies(folder, at):
        watch = begun(told, metrics, rows, folder)
        for one in rows[:at]:
            if one.moment > watch.moment:
                watch.take(one)
        os.kill(os.getpid(), signal.SIGKILL)

    for at in (8, 9, 14):
        fork(dies, tmp_path / "state", at).join()
    watched(told, metrics, [one for one in rows if one.moment > rows[13].moment], tmp_path / "state")
    assert len(calls(tmp_path / "state")) == 1
    assert [one["kind"] for one in decisions(tmp_path / "state")].count("escalate") == 1
    assert told_once(tmp_path / "state", "incident", "look")
    assert not journal(tmp_path / "state", "error")


def test_looks_are_bounded_and_have_to_agree(supervisor, telling, tmp_path):
    answers, asked = telling
    answers += [(f"web-{k % 2}", "cpu_saturation", 0.9) for k in range(9)]
    told, *rest = quiet_then(supervisor, tmp_path, most=4, agree=2, after=["15s", "30s", "45s", "1min", "75s", "90s"])
    watched(told, *rest, tmp_path / "state")
    assert len(asked) == 4
    assert supervisor.done == []
    assert not journal(tmp_path / "state", "error")


def test_while_an_action_is_done_steps_keep_their_rhythm_and_nothing_else_is_decided(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [("web-0", "cpu_saturation", 0.9), ("web-1", "cpu_saturation", 0.9)]
    told, metrics, rows = quiet_then(supervisor, tmp_path, clock="wall", after=["15s", "30s", "45s"])
    watch = begun(told, metrics, rows, tmp_path / "state")
    repairer, through = watch.incidents.repair.repairer, threading.Event()
    act, seen = repairer.act, []
    repairer.act = lambda *given, **more: (through.wait(), act(*given, **more))[1]
    for one in rows:
        watch.take(one)
        seen += [incident.acted.get("status") for incident in watch.incidents.held.values()]
    assert set(seen) == {"running"}  # it is still being done when all the rows are through
    assert not journal(tmp_path / "state", "acted")
    through.set()
    watch.close()
    (acted,) = journal(tmp_path / "state", "acted")
    assert acted["status"] == "done"
    assert supervisor.done == ["POST /processes/web-0/restart"]
    assert not journal(tmp_path / "state", "error")


def test_killed_while_an_action_is_done_it_is_perhaps_done_and_not_repeated(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [("web-0", "cpu_saturation", 0.9)]
    supervisor.delay = 3.0
    told, metrics, rows = quiet_then(supervisor, tmp_path, clock="wall")
    process = fork(watched, told, metrics, rows, tmp_path / "state", 0.05)
    end = time.monotonic() + 60
    while not supervisor.done and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    again = begun(told, metrics, rows, tmp_path / "state")
    for one in rows:
        if one.moment > again.moment:
            again.take(one)
    again.close()
    assert supervisor.done == ["POST /processes/web-0/restart"]
    lines = record(tmp_path / "state")
    assert [line["facts"]["status"] for line in lines if line["kind"] == "outcome"] == ["perhaps"]
    assert Counter(line["kind"] for line in lines)["intent"] == 1
    assert told_once(tmp_path / "state", "incident", "look", "acted", "verdict")
    (acted,) = journal(tmp_path / "state", "acted")
    assert acted["status"] == "perhaps"


def test_killed_before_an_action_began_it_is_done_afterwards(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [("web-0", "cpu_saturation", 0.9)]
    told, metrics, rows = quiet_then(supervisor, tmp_path, clock="wall")

    def stuck(folder):
        watch = begun(told, metrics, rows, folder)
        watch.incidents.repair.repairer.act = lambda *_, **__: threading.Event().wait()
        for one in rows[:8]:
            watch.take(one)
        os.kill(os.getpid(), signal.SIGKILL)

    fork(stuck, tmp_path / "state").join()
    assert supervisor.done == []
    again = begun(told, metrics, rows, tmp_path / "state")
    for one in rows[8:]:
        again.take(one)
    again.close()
    assert supervisor.done == ["POST /processes/web-0/restart"]


def test_an_incident_of_a_service_is_over_after_a_while_of_silence(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [(None, None, 0.9)]
    told, metrics, rows = quiet_then(supervisor, tmp_path, clear="30s")
    for one in rows[8:]:
        one.values[0, 0] = 0.5
    watched(told, metrics, rows, tmp_path / "state")
    (over,) = journal(tmp_path / "state", "incident_over")
    (ceased,) = journal(tmp_path / "state", "firing_over")
    late = over["moment"] - ceased["moment"]
    assert 30 * SECOND <= late <= 60 * SECOND
    assert micros(told.looks.clear, "clear") == 30 * SECOND
