"""From an alarm to a repair in a watch: causes, priority, what is done, once, also when it is killed meanwhile."""

import random
from collections import Counter

import pytest
from repairing import Supervisor
from test_monitor_kill import killed
from watching import declaration, fleet, follow, journal, record, repairing, told_once


@pytest.fixture
def supervisor():
    server = Supervisor()
    server.processes |= {f"web-{k}": {"port": 0} for k in range(4)}
    yield server
    server.close()


def test_an_alarm_gets_causes_priority_and_a_rehearsal(tmp_path, supervisor):
    panel = fleet(steps=330)
    told = declaration(tmp_path, panel, **repairing(tmp_path, supervisor.url, panel, mode="dry-run"))
    follow(told, tmp_path / "state")
    lines = journal(tmp_path / "state", "incident")
    assert not journal(tmp_path / "state", "error")
    assert {len(line["causes"]) for line in lines} == {5}
    best = Counter(line["causes"][0]["failure_mode"] for line in lines)
    assert best["cpu_saturation"] > 0
    rated = [line for line in lines if line["priority"]]
    assert {line["priority"]["action_priority"] for line in rated} <= {"H", "M", "L"}
    assert rated
    rehearsed = [line for line in lines if line["acted"].get("status") == "dry-run"]
    assert rehearsed
    busy = [line for line in rehearsed if line["causes"][0]["failure_mode"] == "cpu_saturation"]
    assert {line["decision"]["playbook"] for line in busy} == {"restart-replica"}
    assert supervisor.done == []
    page = (tmp_path / "state" / "reports" / busy[0]["page"]).read_text()
    assert "restart-replica" in page
    assert "dry run" in page
    assert "Action priority" in page


def test_killed_at_random_moments_no_action_is_done_twice(tmp_path, supervisor):
    panel = fleet(steps=330)
    told = declaration(tmp_path, panel, **repairing(tmp_path, supervisor.url, panel))
    follow(told, tmp_path / "lived")
    acted = {line["facts"]["alarm_id"] for line in record(tmp_path / "lived") if line["kind"] == "intent"}
    assert acted
    assert journal(tmp_path / "lived", "verdict")
    before, rng, met = len(supervisor.done), random.Random(3), 0
    while met < 4 and not killed(told, tmp_path / "killed", rng.uniform(0.3, 2.5)):
        met += 1
    follow(told, tmp_path / "killed")
    intents = [line["facts"] for line in record(tmp_path / "killed") if line["kind"] == "intent"]
    counts = Counter((one["alarm_id"], one["entity"], one["playbook"], one["step"], one["kind"]) for one in intents)
    assert set(counts.values()) == {1}
    assert len(supervisor.done) - before <= len(intents)  # fewer where it was killed between the two
    assert {one["alarm_id"] for one in intents} == acted
    for kind in ("alarm", "incident", "verdict"):
        assert told_once(tmp_path / "killed", kind) >= told_once(tmp_path / "lived", kind) or kind == "verdict"
