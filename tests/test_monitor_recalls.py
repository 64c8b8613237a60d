"""A watch that was killed and started again decides, does, judges and tells what it would have without that."""

import os
import re
import socket

import numpy as np
import pandas as pd
import pytest
from repairing import Supervisor
from test_monitor_kill import fork
from watching import START, declaration, fleet, journal, record, repairing

from stability.monitor import incidents, repairs
from stability.monitor.following import Follower
from stability.monitor.journal import Journal
from stability.monitor.repairs import Repairs
from stability.remediation import read_playbooks, repairer
from stability.remediation.approval import grant
from stability.remediation.decisions import Decision
from stability.schema import write_yaml

STEP = pd.Timedelta("15s")
BEGINS, LAST = 172, 212  # steps: queues of web-1 grow, and the end
SERVICE = {"total": "http_server_requests_total", "errors": "http_server_errors_total"}
KEY = "k" * 40


@pytest.fixture(autouse=True)
def no_pages(monkeypatch):
    monkeypatch.setattr(incidents, "write_report", lambda *given: None)


@pytest.fixture(scope="module")
def hands():
    server = Supervisor()
    server.processes |= {f"web-{k}": {"port": 0} for k in range(4)}
    yield server
    server.close()


def step_of(at):
    """Which step a moment is."""
    moment = pd.Timestamp(at, unit="us", tz="UTC") if isinstance(at, int) else pd.Timestamp(at)
    return (moment - START) // STEP


def panel(rows=LAST, ends=10**9):
    """Three that are as they were a hundred steps before, and one of them is busy for a while."""
    parts = {}
    for name, own in fleet(steps=rows).groupby(level="entity"):
        if name == "web-3":
            continue
        part = own.droplevel("entity").copy()
        k = ((part.index - START) // STEP).to_numpy()
        for metric in part.columns:
            values = part[metric].to_numpy(copy=True)
            for at in range(160, rows):
                grown = values[at - 1] + values[at - 100] - values[at - 101]
                values[at] = grown if metric.endswith("total") else values[at - 100]
            part[metric] = values
        part["up"], ill = 1.0, (k >= BEGINS) & (k < ends) & (name == "web-1")
        part.loc[ill, "queue_depth"] += 12
        part["http_server_errors_total"] = np.cumsum(ill).astype(float)
        parts[name] = part
    return pd.concat(parts, names=["entity", "timestamp"])


def watched(folder, hands, rows=LAST, ends=10**9, clock="rows", mode="automatic", lasts=0.0, risk="low", **more):
    """A watch that repairs, and writes no checkpoint on its way: all since the first one is gone through again."""
    folder.mkdir(exist_ok=True)
    plan = [one.model_dump(mode="json") for one in read_playbooks() if one.name == "restart-replica"]
    plan[0]["conditions"]["lasts"], plan[0]["risk"]["level"] = lasts, risk
    write_yaml(folder / "playbooks.yaml", {"playbooks": plan})
    parts = repairing(folder, hands.url, panel(rows, ends), mode=mode)
    parts["repair"] |= {"clock": clock, "playbooks": str(folder / "playbooks.yaml")}
    return declaration(folder, panel(rows, ends), **(parts | {"checkpoint_every": 1000, "looks": {"agree": 2}} | more))


def walk(told, folder, stop=None, each=None):
    """Follow it to its end, or be killed after a step; actions end in the step in which they begin."""
    follower = Follower(told, folder=folder)
    for step in follower.tick():
        for one in list(follower.watch.incidents.repair.under_way.values()):
            one.done.exception()
        if each is not None:
            each(follower.watch, step_of(step.moment))
        if stop is not None and step_of(step.moment) >= stop:
            os._exit(0)
    assert not follower.trouble
    follower.close()


def killed(*given):
    process = fork(walk, *given)
    process.join()
    assert process.exitcode == 0


def said(folder):
    """What was decided, done, judged and told, in the order of steps."""
    lines = []
    for line in record(folder):
        facts, at = line["facts"], step_of(line["at"])
        if line["kind"] == "decision":
            one = facts["decision"]
            because = re.sub(r"-?\d[\d.e-]* s ago", "a moment ago", one["because"])  # by the clock of the machine
            lines.append((at, "decision", one["alarm_id"], one["kind"], because))
        elif line["kind"] == "intent":
            lines.append((at, "intent", facts["alarm_id"], facts["playbook"]))
        elif line["kind"] in ("verdict", "left"):
            lines.append((at, "verdict", facts["verdict"], *facts["checks"]))
        elif line["kind"] in ("told", "not_told", "escalated"):
            lines.append((at, line["kind"], facts.get("title")))
    for line in journal(folder, "incident", "look", "acted", "verdict", "error"):
        what = [line.get(name) for name in ("alarm_id", "status", "verdict")] if line["kind"] == "acted" else []
        looks = [(one["at"], one["failure_mode"]) for one in line.get("looks", [])]
        lines.append((step_of(line["moment"]), line["kind"], line.get("key"), *what, *looks))
    return sorted(lines, key=str)


def steps_of(folder, kind):
    return [step_of(line["at"]) for line in record(folder) if line["kind"] == kind]


@pytest.fixture(scope="module")
def lived(tmp_path_factory, hands):
    """A watch that nobody kills."""
    folder = tmp_path_factory.mktemp("lived")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "write_report", lambda *given: None)
        walk(watched(folder, hands), folder / "state")
    return folder / "state"


def test_whenever_it_is_killed_it_does_and_says_what_it_would_have(lived, hands, tmp_path):
    (acted,), judged = steps_of(lived, "intent"), steps_of(lived, "verdict")
    assert BEGINS < acted < judged[0] < LAST - 2
    for stop in (judged[0] - 3, judged[0] + 2):
        told = watched(tmp_path / str(stop), hands)
        killed(told, tmp_path / str(stop) / "state", stop)
        walk(told, tmp_path / str(stop) / "state")
        assert said(tmp_path / str(stop) / "state") == said(lived), stop


def test_killed_before_a_word_of_an_action_is_written_it_finds_its_end(lived, hands, tmp_path):
    told = watched(tmp_path, hands)

    def until_then():
        once = Journal.once
        Journal.once = lambda self, key, *given, **more: (
            os._exit(0) if key.startswith("acted/") else once(self, key, *given, **more)
        )
        walk(told, tmp_path / "state")

    process = fork(until_then)
    process.join()
    assert process.exitcode == 0
    assert not journal(tmp_path / "state", "acted")
    walk(told, tmp_path / "state")
    assert [one[2:] for one in said(tmp_path / "state") if one[1] == "acted"] == [
        one[2:] for one in said(lived) if one[1] == "acted"
    ]
    assert steps_of(tmp_path / "state", "intent") == steps_of(lived, "intent")


def test_what_another_host_began_has_an_end_as_well(hands, tmp_path, monkeypatch):
    told = watched(tmp_path, hands)

    def until_then():
        repairer.carry_out = lambda *given: os._exit(0)
        walk(told, tmp_path / "state")

    process = fork(until_then)
    process.join()
    assert process.exitcode == 0
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    seen = {}
    walk(told, tmp_path / "state", None, lambda watch, at: seen.update({at: [*watch.incidents.held.values()]}))
    assert [line["status"] for line in journal(tmp_path / "state", "acted")] == ["perhaps"]
    assert {one.acted["status"] for one in seen[LAST - 1] if one.acted} == {"perhaps"}


# ---- where the clock is not that of the rows ------------------------------------------------------------------------
@pytest.fixture
def back_at(monkeypatch):
    """A clock that is where the rows are, but for a watch that was away: it finds rows that are older."""
    times = [START]

    def now(self, moment):
        return max(pd.Timestamp(moment, unit="us", tz="UTC"), times[0]).as_unit("us")

    monkeypatch.setattr(Repairs, "now", now)
    return lambda step: times.__setitem__(0, START + step * STEP)


def test_nobody_judges_by_rows_that_are_still_to_come(hands, tmp_path, back_at):
    told = watched(tmp_path, hands, ends=BEGINS + 6, clock="wall", service=SERVICE | {"entity": ["web-0", "web-1"]})
    walk(told, tmp_path / "lived")
    (acted,) = steps_of(tmp_path / "lived", "intent")
    killed(told, tmp_path / "killed", acted + 3)
    back_at(acted + 20)
    walk(told, tmp_path / "killed")
    ends = [[line[2:] for line in said(tmp_path / one) if line[1] == "verdict"] for one in ("lived", "killed")]
    assert ends[0] == ends[1] != []
    assert not steps_of(tmp_path / "killed", "escalated")


def test_what_was_too_old_to_act_upon_is_asked_again_when_rows_are_fresh(hands, tmp_path, back_at):
    told = watched(tmp_path, hands, rows=BEGINS + 40, clock="wall")
    killed(told, tmp_path / "state", BEGINS - 1)
    back_at(BEGINS + 30)
    walk(told, tmp_path / "state")
    assert any("stale" in line[4] for line in said(tmp_path / "state") if line[1] == "decision")
    assert steps_of(tmp_path / "state", "intent") == [BEGINS + 30]


@pytest.mark.parametrize(
    ("mode", "risk", "lasts", "clock"),
    [("approved", "low", 40.0, "rows"), ("approved", "low", 0.0, "wall"), ("automatic", "high", 0.0, "rows")],
)
def test_what_a_person_approves_is_done_though_it_was_killed(
    hands, tmp_path, monkeypatch, back_at, mode, risk, lasts, clock
):
    monkeypatch.setenv("STABILITY_APPROVAL_KEY", KEY)
    told = watched(tmp_path, hands, mode=mode, risk=risk, lasts=lasts, clock=clock, looks={"most": 1})

    def approve(watch, at):
        if at == BEGINS + 18:
            lines = [line["facts"]["decision"] for line in record(watch.folder) if line["kind"] == "decision"]
            decision = Decision.of(next(one for one in lines if one["kind"] == "step"))
            (watch.folder / repairs.APPROVALS).mkdir()
            token = grant(decision, KEY.encode(), decision.at, by="me", seconds=3600)
            (watch.folder / repairs.APPROVALS / decision.decision_id).write_text(token)

    killed(told, tmp_path / "state", BEGINS + 13)
    back_at(BEGINS + 13)
    walk(told, tmp_path / "state", None, approve)
    assert len(steps_of(tmp_path / "state", "intent")) == 1
