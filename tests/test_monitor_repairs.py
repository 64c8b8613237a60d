"""From an alarm to a repair in a watch: causes, priority, what is done, once, also when it is killed meanwhile."""

import json
import os
import random
import time
from collections import Counter

import pandas as pd
import pytest
from test_monitor_kill import fork, killed
from watching import START, declaration, fleet, follow, journal, record, repairing, told_once

from stability.monitor import reports
from stability.monitor.following import Follower
from stability.remediation import read_playbooks
from stability.schema import write_table

ROWS = 270  # steps, of which the first 160 teach
ONCE = {"most": 1}  # what looks again is tried in other tests


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """The one picture that is drawn, for all pages: it costs more than all else on them."""
    draw, pictures = reports._picture, []

    def once(panel, alarm):
        if not pictures:
            pictures.append(draw(panel, alarm))
        return pictures[0]

    monkeypatch.setattr(reports, "_picture", once)
    return pictures


def bursts(rows=ROWS, seed=0):
    """A fleet whose bursts begin when all that teaches is over, for a while."""
    panel = fleet(steps=330, seed=seed)
    return panel[panel.index.get_level_values("timestamp") < START + rows * pd.Timedelta("15s")]


def watched(folder, supervisor, panel, looks=ONCE, **more):
    return declaration(folder, panel, looks=looks, **repairing(folder, supervisor.url, panel, **more))


def test_an_alarm_gets_causes_priority_and_a_rehearsal(tmp_path, supervisor, drawn):
    told = watched(tmp_path, supervisor, bursts(), mode="dry-run")
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
    assert f"data:image/png;base64,{drawn[0]}" in page
    assert "Action priority" in page


def test_a_cause_that_a_change_would_have_is_left_to_people_where_nothing_changed(tmp_path, supervisor):
    panel = bursts()
    stamps = pd.date_range(START - pd.Timedelta("1d"), START + pd.Timedelta("2h"), freq="5min")
    states = pd.DataFrame({"timestamp": stamps, "name": "version", "value": "1.0"})
    own = [states.assign(entity=f"web-{k}") for k in range(4)]
    for k in (1, 3):
        own[k]["value"] = [str(n) for n in range(len(stamps))]
    write_table(pd.concat(own, ignore_index=True), tmp_path / "states.parquet", "states")
    plan = [one.model_dump() for one in read_playbooks() if one.name == "restart-replica"]
    plan[0]["conditions"]["changed"] = {"states": ["version"], "within": 600.0}
    (tmp_path / "playbooks.yaml").write_text(json.dumps({"playbooks": plan}))
    parts = repairing(tmp_path, supervisor.url, panel, mode="dry-run")
    parts["repair"]["playbooks"] = str(tmp_path / "playbooks.yaml")
    told = declaration(tmp_path, panel, beside={"states": str(tmp_path / "states.parquet")}, looks=ONCE, **parts)
    follow(told, tmp_path / "state")
    assert not journal(tmp_path / "state", "error")
    told = [line["decision"] for line in journal(tmp_path / "state", "incident") if line["decision"]]
    assert {one["entity"] for one in told if one["kind"] == "step"} == {"web-1", "web-3"}
    called = [one for one in told if one["kind"] == "escalate" and "version of" in one["because"]]
    assert {one["entity"] for one in called} == {"web-0", "web-2"}
    assert "unchanged" in called[0]["because"]


def test_what_others_may_show_is_waited_for_also_where_nobody_looks_again(tmp_path, supervisor):
    plan = [one.model_dump() for one in read_playbooks() if one.name == "restart-replica"]
    plan[0]["conditions"]["lasts"] = 40.0
    (tmp_path / "playbooks.yaml").write_text(json.dumps({"playbooks": plan}))
    panel = bursts()
    parts = repairing(tmp_path, supervisor.url, panel, mode="dry-run")
    parts["repair"]["playbooks"] = str(tmp_path / "playbooks.yaml")
    follow(declaration(tmp_path, panel, looks=ONCE, **parts), tmp_path / "state")
    assert not journal(tmp_path / "state", "error")
    assert {line["acted"].get("status") for line in journal(tmp_path / "state", "incident")} == {None}
    told = [line["facts"]["decision"] for line in record(tmp_path / "state") if line["kind"] == "decision"]
    waited = {one["alarm_id"]: one["at"] for one in told if "lasts" in one["because"]}
    done = {one["alarm_id"]: one["at"] for one in told if one["kind"] == "step"}
    both = waited.keys() & done.keys()
    assert both
    assert {(pd.Timestamp(done[name]) - pd.Timestamp(waited[name])).total_seconds() for name in both} == {45.0}


def until_it_waits(told, folder, moment):
    """What a process does that is killed when a step was taken."""
    for step in Follower(told, folder=folder).tick():
        if step.moment == moment:
            os._exit(0)


def done_of(folder):
    intents = [line["facts"] for line in record(folder) if line["kind"] == "intent"]
    return [(one["alarm_id"], one["entity"], one["playbook"], one["step"]) for one in intents]


def test_what_waits_for_what_others_may_show_goes_on_waiting_after_a_kill(tmp_path, supervisor):
    told = watched(tmp_path, supervisor, bursts(176, seed=900_624), {})
    follow(told, tmp_path / "lived")
    decisions = [line["facts"]["decision"] for line in record(tmp_path / "lived") if line["kind"] == "decision"]
    waits = [one for one in decisions if one["kind"] == "nothing" and "is not allowed: lasts: " in one["because"]]
    process = fork(until_it_waits, told, tmp_path / "killed", pd.Timestamp(waits[0]["at"]).value // 1000)
    process.join()
    assert process.exitcode == 0
    follow(told, tmp_path / "killed")
    assert not journal(tmp_path / "killed", "error")
    assert done_of(tmp_path / "killed") == done_of(tmp_path / "lived")


def trial(folder, supervisor, kills, seed, latest, rows=330, looks=ONCE):
    """Kill a watch that repairs so many times; each that gets to its end is followed by another. Gives the actions."""
    rng, met, fleets, actions = random.Random(seed), 0, 0, 0
    while met < kills:
        own = folder / str(fleets)
        own.mkdir()
        told = watched(own, supervisor, bursts(rows, seed + fleets), looks)
        follow(told, own / "lived")
        acted = done_of(own / "lived")
        before, done = len(supervisor.done), False
        while not done and met < kills:
            done = killed(told, own / "killed", rng.uniform(0.3, latest))
            met += not done
        follow(told, own / "killed")
        intents = [line["facts"] for line in record(own / "killed") if line["kind"] == "intent"]
        counts = Counter((one["alarm_id"], one["entity"], one["playbook"], one["step"], one["kind"]) for one in intents)
        assert set(counts.values()) <= {1}
        assert len(supervisor.done) - before <= len(intents)  # fewer where it was killed between the two
        lines = record(own / "killed")
        decided = {one["facts"]["decision"]["alarm_id"] for one in lines if one["kind"] == "decision"}
        assert {alarm_id for alarm_id, *_ in acted} <= decided
        # What was perhaps done is judged first, and other repairs wait for that; otherwise the same ones are done.
        torn = any(one["kind"] == "outcome" and one["facts"]["status"] == "perhaps" for one in lines)
        assert torn or done_of(own / "killed") == acted
        for kind in ("alarm", "incident", "verdict"):
            assert told_once(own / "killed", kind) >= told_once(own / "lived", kind) or kind == "verdict"
        fleets, actions = fleets + 1, actions + len(intents)
    return actions


def test_killed_at_random_moments_no_action_is_done_twice(tmp_path, supervisor):
    assert trial(tmp_path, supervisor, 1, seed=0, latest=1.5, rows=210) > 0


@pytest.mark.soak
def test_killed_a_hundred_times_no_action_is_done_twice_and_no_alarm_is_lost(tmp_path, supervisor, capsys):
    seed = int(os.environ.get("STABILITY_SOAK_SEED") or time.time_ns() % 1_000_000)
    actions = trial(tmp_path, supervisor, 100, seed=seed, latest=4.0, looks={})
    assert actions > 0
    with capsys.disabled():
        print(f"\nwatch: killed 100 times while it repaired, {actions} actions, each once (seed {seed})")
