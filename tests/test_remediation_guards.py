"""Guards: each of them is tried to be got past, by other names, other clocks, other processes and other states."""

import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest
from repairing import ALL, GROUPS, NOW, OPEN, alarm, at, causes, forked, inventory, repairer, state

from stability.remediation import Decision, Guards, Record, Repairer, ServiceState, grant, read_guards, read_playbooks
from stability.remediation.doing import intent
from stability.remediation.guards import refusals, stopped
from stability.schema import ContractError, home

LEAK = ("model-a", "memory_leak", 0.9)
KEY = b"k" * 32


def guards(**more):
    return OPEN.model_copy(update=more)


def decided(made, *rows, name="a1", seconds=0.0, **more):
    return made.decide(alarm(name), causes(*(rows or [LEAK]), name=name), at(seconds), state(seconds, **more))


def acted(made, *rows, name="a1", seconds=0.0, **more):
    decision = decided(made, *rows, name=name, seconds=seconds, **more)
    return made.act(decision, at(seconds), state(seconds, **more))


def close(made, seconds, verdict="inconclusive"):
    for case in made.open_cases():
        made.record.append("verdict", at(seconds), action_id=case.action_id, verdict=verdict, checks=[])


def said(outcome):
    return {refusal.guard for refusal in outcome.refusals}


def why(decision):
    return {refusal.guard for refusal in decision.options[0].refusals} if decision.options else set()


# ---- the stop file ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["file", "folder", "link to nowhere", "below a file"])
def test_whatever_lies_where_the_stop_file_is_stops_everything(tmp_path, supervisor, kind):
    stop = tmp_path / "STOP"
    if kind == "below a file":
        (tmp_path / "a-file").write_text("")
        stop = tmp_path / "a-file" / "STOP"
    made = repairer(tmp_path, supervisor.url, guards(stop_file=str(tmp_path / "STOP")))
    decision = decided(made)
    made.guards = guards(stop_file=str(stop))
    if kind == "file":
        stop.touch()
    elif kind == "folder":
        stop.mkdir()
    elif kind == "link to nowhere":
        stop.symlink_to(tmp_path / "nowhere")
    assert said(made.act(decision, NOW, state())) == {"stop_file"}
    assert "stop_file" in why(decided(made, name="a2"))
    assert supervisor.asked == []


def test_a_stop_file_in_the_home_folder_is_where_people_touch_it(tmp_path, supervisor, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made = repairer(tmp_path, supervisor.url, guards(stop_file="~/STOP"))
    decision = decided(made)
    (tmp_path / "STOP").touch()
    assert said(made.act(decision, NOW, state())) == {"stop_file"}
    assert supervisor.asked == []


def test_a_stop_between_the_last_look_and_the_action_stops_it(tmp_path, supervisor, monkeypatch):
    stop = tmp_path / "STOP"
    made = repairer(tmp_path, supervisor.url, guards(stop_file=str(stop)))
    decision, append = decided(made), made.record.append

    def slow(*args, **facts):
        entry = append(*args, **facts)
        if entry.kind == "intent":
            stop.touch()
        return entry

    monkeypatch.setattr(made.record, "append", slow)
    outcome = made.act(decision, NOW, state())
    assert outcome.status == "failed"
    assert "stopped before it began" in outcome.detail
    assert supervisor.asked == []


def test_the_stop_file_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not Guards().stop_file.startswith("/")
    there = home() / Guards().stop_file
    assert (stopped(Guards()) is not None) == os.path.lexists(there)


# ---- who lets it happen -------------------------------------------------------------------------------------------
def test_nothing_is_done_in_a_dry_run_not_even_with_an_approval(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, mode="dry-run", key=KEY)
    decision = decided(made)
    outcome = made.act(decision, NOW, state(), approval=grant(decision, KEY, NOW, by="ann"))
    assert outcome.status == "dry-run"
    assert supervisor.asked == []
    assert made.actions()["mode"].tolist() == ["dry-run"]
    assert made.act(decision, NOW, state()).status == "dry-run"
    assert len(made.actions()) == 1
    assert made.open_cases() == []
    assert Repairer(read_playbooks(), inventory(supervisor.url), Record(tmp_path / "other.jsonl")).mode == "dry-run"


def test_nothing_is_done_without_approval_and_each_holds_once(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, guards(cool_down=0, touched=0), mode="approved", key=KEY)
    first = decided(made)
    assert made.act(first, NOW, state()).status == "needs_approval"
    other = decided(made, ("model-b", "memory_leak", 0.9), name="a2")
    for token in (
        grant(other, KEY, NOW, by="ann"),
        grant(first, b"j" * 32, NOW, by="eve"),
        grant(first, KEY, at(-1000), by="ann"),
        grant(first, KEY, NOW, by="ann")[:-2],
        grant(first, KEY, NOW, by="ann").replace(".", ".x"),
        "x.y",
        "",
        None,
    ):
        outcome = made.act(first, NOW, state(), approval=token)
        assert outcome.status in ("refused", "needs_approval")
    assert supervisor.asked == []
    token = grant(first, KEY, NOW, by="ann")
    assert made.act(first, NOW, state(), approval=token).status == "done"
    assert made.act(first, NOW, state(), approval=token).status == "refused"
    assert len(supervisor.asked) == 1
    assert made.history.real()[0][1].facts["by"] == "ann"
    assert token not in made.record.path.read_text()


def test_an_approval_that_was_used_in_another_process_does_not_hold_again(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, mode="approved", key=KEY)
    decision = decided(made)
    token = grant(decision, KEY, NOW, by="ann")
    other = repairer(tmp_path, supervisor.url, mode="approved", key=KEY)
    assert other.act(decision, NOW, state(), approval=token).status == "done"
    assert made.act(decision, NOW, state(), approval=token).status == "refused"
    # Nor does the guard against repetition alone keep it: the approval itself is used up.
    assert list(made.history.used.values()) == [made.history.real()[0][0]]


def test_without_a_key_no_token_from_outside_holds(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, mode="approved")
    decision = decided(made)
    for key in (b"\0" * 32, b"k" * 32):
        outcome = made.act(decision, NOW, state(), approval=grant(decision, key, NOW, by="eve"))
        assert said(outcome) == {"approval"}
    with pytest.raises(ContractError, match="at least 32 bytes"):
        grant(decision, b"", NOW, by="eve")
    assert supervisor.asked == []


def test_a_decision_that_was_changed_after_it_was_made_is_an_error(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, mode="approved", key=KEY)
    decision = decided(made)
    token = grant(decision, KEY, NOW, by="ann")
    plan = decision.plan | {"action": "scale_out"}
    for changed in ({"entity": "model-b"}, {"playbook": "restart-alone"}, {"plan": plan}, {"kind": "rollback"}):
        with pytest.raises(ContractError, match="changed since"):
            made.act(dataclasses.replace(decision, **changed), NOW, state(), approval=token)
    forged = dataclasses.replace(decision, plan=plan)
    told = {n: getattr(forged, n) for n in type(forged).__dataclass_fields__ if n != "decision_id"}
    with pytest.raises(ContractError, match="decide again"):  # the right name for what it says, and no such playbook
        made.act(type(forged).named(**told), NOW, state(), approval=token)
    assert supervisor.asked == []


def test_high_risk_acts_by_itself_in_a_change_window_only(tmp_path, supervisor):
    window = {"start": "11:00", "end": "13:00"}
    risky = [p.model_copy(update={"risk": p.risk.model_copy(update={"level": "high"})}) for p in read_playbooks()]

    def made(name, **more):
        told = read_guards({"stop_file": "/nonexistent-folder/STOP"} | more)
        return Repairer(risky, inventory(supervisor.url), Record(tmp_path / name), told, mode="automatic")

    for name, told in {
        "1": {},
        "2": {"automatic_risk": "high"},
        "3": {"automatic_risk": "high", "change": [window | {"days": ["mon"]}]},  # it is a Sunday
        "4": {"automatic_risk": "high", "change": [window | {"entities": ["model-b"]}]},
        "5": {"change": [window]},
    }.items():
        assert acted(made(name, **told)).status == "needs_approval"
    assert supervisor.asked == []
    assert acted(made("6", automatic_risk="high", change=[window])).status == "done"


# ---- how often ------------------------------------------------------------------------------------------------------
def test_an_entity_rests_whatever_the_alarm_the_playbook_or_the_clock(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, guards(cool_down=300, touched=0))
    assert acted(made).status == "done"
    close(made, 10)
    longer = made.playbooks["restart-replica"].model_copy(update={"cool_down": 600.0})
    made.playbooks["restart-replica"] = longer
    for seconds in (20, 299, 599):
        assert why(decided(made, name=f"b{seconds}", seconds=seconds)) == {"cool_down"}
    other = ("model-a", "disk_full", 0.9)
    assert why(decided(made, other, name="c", seconds=299)) == {"cool_down"}
    assert why(decided(made, name="d", seconds=-3000)) == {"cool_down"}  # a clock that was set back
    assert decided(made, other, name="e", seconds=301).acts
    assert acted(made, name="f", seconds=602).status == "done"


def test_a_decision_from_before_another_ones_action_is_judged_when_it_is_done(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, guards(cool_down=300, touched=0, at_once=9))
    early, late = decided(made), decided(made, name="a2")
    assert late.acts
    assert made.act(early, at(1), state(1)).status == "done"
    close(made, 2)
    assert said(made.act(late, at(3), state(3))) == {"cool_down"}
    assert len(supervisor.done) == 1


def test_actions_within_any_hour_are_counted_for_all_and_for_all_processes(tmp_path, supervisor):
    told = guards(per_hour=3, cool_down=0, touched=0)
    for k, (entity, mode) in enumerate(
        [("model-a", "memory_leak"), ("model-b", "disk_full"), ("gateway", "cpu_saturation")]
    ):
        made = repairer(tmp_path, supervisor.url, told)  # another process each time
        supervisor.status = 500 if k == 1 else 200  # one that failed counts
        assert acted(made, (entity, mode, 0.9), name=f"a{k}", seconds=1200 * k).status in ("done", "failed")
        close(made, 1200 * k + 1)
    last = ("feature-store", "slow_dependency", 0.9)
    assert why(decided(made, last, name="b", seconds=3599)) == {"per_hour"}
    assert decided(made, last, name="c", seconds=3601).acts
    none = repairer(tmp_path, supervisor.url, guards(per_hour=0))
    assert "per_hour" in why(decided(none, last, name="d", seconds=90_000))


def test_one_repair_at_a_time_until_its_verdict(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, guards(touched=0, group_share=1, cool_down=0))
    assert acted(made).status == "done"
    assert why(decided(made, ("gateway", "cpu_saturation", 0.9), name="a2", seconds=50)) == {"at_once"}
    assert "under_repair" in why(decided(made, name="a3", seconds=900))
    assert "waits for its verdict" in decided(made, seconds=900).because  # nor the same alarm
    close(made, 901)
    assert decided(made, ("gateway", "cpu_saturation", 0.9), name="a2", seconds=902).acts


# ---- whom -----------------------------------------------------------------------------------------------------------
def test_no_more_than_a_share_of_a_group_is_touched(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, guards(touched=300, cool_down=0, at_once=9))
    assert acted(made).status == "done"
    close(made, 2)
    other = ("model-b", "disk_full", 0.9)
    assert why(decided(made, other, name="a2", seconds=200)) == {"group_share"}
    assert why(decided(made, other, name="a3", seconds=-100)) == {"group_share"}
    assert decided(made, other, name="a4", seconds=301).acts
    three = {"replicas": ("model-a", "model-b", "gateway")}
    none = repairer(tmp_path, supervisor.url, guards(group_share=0.0, touched=0))
    assert decided(none, other, name="a5", seconds=400, groups=three).acts  # one always may


@pytest.mark.parametrize("of", [("model-a", "gateway"), ("model-a", "model-b")])
def test_the_last_healthy_replica_is_never_taken_away(tmp_path, supervisor, of):
    down = ("model-b",) if "model-b" in of else ()  # not healthy, or nothing is known of it
    made = repairer(tmp_path, supervisor.url)
    assert "last_healthy" in why(decided(made, of=of, down=down))
    healthy = decided(made, name="a2")
    outcome = made.act(healthy, at(1), state(1, of=of, down=down))  # it fell ill after the decision
    assert said(outcome) == {"last_healthy"}
    assert supervisor.asked == []


def test_who_is_being_restarted_or_was_taken_out_does_not_count_as_healthy(tmp_path, supervisor):
    told = guards(at_once=9, group_share=1, cool_down=0, touched=0)
    made = repairer(tmp_path, supervisor.url, told)
    assert acted(made, ("model-b", "network_loss", 0.9)).status == "done"  # it answers, and gets no requests
    close(made, 5)
    assert why(decided(made, name="a2", seconds=3000)) == {"last_healthy"}
    made.taken_back(next(iter(made.history.actions)), at(3001), by="ann")  # until somebody says so
    assert decided(made, name="a3", seconds=3002).acts
    other = repairer(tmp_path / "other", supervisor.url, told)
    begun = intent(decided(other, ("model-b", "memory_leak", 0.9)), other.playbooks["restart-replica"], state())
    other.record.append("intent", NOW, **begun, mode="automatic", approval=None)  # somebody is at it
    assert "last_healthy" in why(decided(other, name="a2", seconds=1))


def test_what_was_seen_before_an_action_does_not_show_who_serves_after_it(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, guards(at_once=9, group_share=1, cool_down=0, touched=0))
    assert acted(made, ("model-b", "memory_leak", 0.9), seconds=10).status == "done"
    close(made, 11)
    before = made.decide(alarm("a2"), causes(LEAK, name="a2"), at(12), state(9))
    assert why(before) == {"last_healthy"}
    assert decided(made, name="a3", seconds=13).acts


@pytest.mark.parametrize(
    ("action", "interrupts", "allowed"),
    [
        ("roll_back_model", True, False),
        ("roll_back_model", False, True),
        ("scale_out", False, False),
        ("fail_over", True, True),
        ("shed_load", True, True),
    ],
)
def test_a_way_back_that_interrupts_takes_away_no_last_replica(tmp_path, supervisor, action, interrupts, allowed):
    made = repairer(tmp_path, supervisor.url)
    playbook = made.playbooks["restart-replica"]
    step = playbook.steps[0].model_copy(update={"action": action, "interrupts": interrupts, "rollback": "undo"})
    playbook = playbook.model_copy(update={"steps": [step]})
    told = {"alarm_id": "a1", "at": NOW, "because": "back", "entity": "model-a", "playbook": playbook.name}
    back = Decision.named(kind="rollback", plan=step.model_dump(mode="json"), **told)
    found = refusals(made.guards, back, playbook, state(down=("model-b",)), made.history, NOW)
    assert [one.guard for one in found] == ([] if allowed else ["last_healthy"])
    assert not refusals(made.guards, back, playbook, state(), made.history, NOW)


def test_nobody_hides_in_two_groups_or_twice_in_one():
    with pytest.raises(ContractError, match="one group at most"):
        state(groups={"zone": ("model-a", "gateway"), "replicas": ("model-a", "model-b")})
    assert state(groups={"replicas": ("model-a", "model-a", "model-b")}).group("model-b") == ("model-a", "model-b")


def test_a_group_that_nobody_tells_of_does_not_make_a_replica_stand_alone(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url)
    decision = decided(made)
    assert said(made.act(decision, at(1), state(1, groups={}))) == {"last_healthy"}
    # What stands alone is restarted by a playbook only that says whom this hurts.
    assert made.act(decided(made, ("gateway", "cpu_saturation", 0.9), name="a2"), NOW, state()).status == "done"


def test_what_is_known_has_to_be_fresh_and_from_no_later_time(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url)
    decision = decided(made)
    for seconds in (-16, 1):
        old = ServiceState(at(seconds), dict.fromkeys(ALL, True), GROUPS, True)
        assert said(made.act(decision, NOW, old)) == {"stale"}
    assert said(made.act(decision, at(901), state(901))) == {"expired"}
    assert said(made.act(decision, at(-1), state(-1))) == {"expired"}
    assert made.act(decision, NOW, ServiceState(at(-14), dict.fromkeys(ALL, True), GROUPS, True)).status == "done"


def test_only_a_plain_yes_is_healthy(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url)
    for k, said_of in enumerate((float("nan"), None, "yes", 1, np.bool_(False))):
        known = ServiceState(NOW, {"model-a": True, "model-b": said_of}, GROUPS, float("nan"))
        decision = made.decide(alarm(f"a{k}"), causes(LEAK, name=f"a{k}"), NOW, known)
        assert "last_healthy" in why(decision)
        assert known.impact is None
    known = ServiceState(NOW, {"model-a": True, "model-b": np.bool_(True)}, GROUPS, np.bool_(True))
    assert made.decide(alarm("b"), causes(LEAK, name="b"), NOW, known).acts
    assert known.impact is True


def test_an_entity_that_is_left_to_people_is_left_to_people(tmp_path, supervisor):
    window = {"start": "23:00", "end": "12:30", "entities": ["model-*"]}  # past midnight, until half past twelve
    made = repairer(
        tmp_path, supervisor.url, read_guards({"stop_file": "/nonexistent-folder/S", "hands_off": [window]})
    )
    assert why(decided(made)) == {"hands_off"}
    assert decided(made, ("gateway", "cpu_saturation", 0.9), name="a2").acts
    assert decided(made, name="a3", seconds=1800).acts


def test_what_is_not_in_the_inventory_is_never_touched(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url)
    evil = "model-a/../../stop"
    decision = made.decide(alarm(), causes((evil, "disk_full", 0.9)), NOW, state(of=(*ALL, evil)))
    assert why(decision) == {"inventory"}
    loose = made.inventory.model_validate(
        {"entities": [{"match": ["*"], "controls": [{"control": "testbed", "supervisor": supervisor.url}]}]}
    )
    made.inventory = loose
    decision = made.decide(alarm("a2"), causes((evil, "disk_full", 0.9), name="a2"), NOW, state())
    outcome = made.act(decision, NOW, state())
    assert outcome.status == "failed"
    assert "no name of a process" in outcome.detail
    assert supervisor.asked == []


def test_nothing_is_done_twice_under_whatever_name(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url, guards(cool_down=0, touched=0))
    decision = decided(made)
    later = dataclasses.replace(decision, at=at(1))
    told = {n: getattr(later, n) for n in type(later).__dataclass_fields__ if n != "decision_id"}
    later = type(later).named(**told)
    assert later.decision_id != decision.decision_id
    assert made.act(decision, at(1), state(1)).status == "done"
    close(made, 2)
    assert said(made.act(decision, at(3), state(3))) == {"once"}
    assert said(made.act(later, at(3), state(3))) == {"once"}
    assert why(decided(made, seconds=800)) == {"once"}
    assert len(supervisor.done) == 1


# ---- two processes at once ------------------------------------------------------------------------------------------
def race(talk, folder, url, decision):
    """What each of them does."""
    made = repairer(folder, url)
    talk.send("ready")
    talk.recv()
    talk.send(made.act(Decision.of(json.loads(decision)), at(1), state(1)).status)


@pytest.mark.parametrize("same", [True, False])
def test_of_processes_that_race_one_acts(tmp_path, supervisor, same):
    supervisor.delay = 0.3
    made = repairer(tmp_path, supervisor.url)
    first = decided(made)
    second = first if same else decided(made, ("model-b", "memory_leak", 0.9), name="a2")
    assert second.acts
    racers = [forked(race, tmp_path, supervisor.url, json.dumps(one.facts())) for one in (first, second)]
    assert [talk.recv() for _, talk in racers] == ["ready", "ready"]
    for _, talk in racers:
        talk.send("go")
    assert sorted(talk.recv() for _, talk in racers) == ["done", "refused"]
    assert len(supervisor.done) == 1
    assert len(made.actions()) == 1


# ---- bad input ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"cooldown": 1}, "did you mean 'cool_down'"),
        ({"per_hour": -1}, "greater than or equal to 0"),
        ({"per_hour": 2.5}, "a whole number"),
        ({"group_share": 1.5}, "less than or equal to 1"),
        ({"cool_down": float("nan")}, "finite"),
        ({"hands_off": [{"start": "9:00", "end": "10:00"}]}, "hands_off.0.start"),
        ({"hands_off": [{"start": "09:00", "end": "10:00", "zone": "Mars"}]}, "IANA"),
        ({"hands_off": [{"start": "09:00", "end": "10:00", "entity": ["x"]}]}, "did you mean 'entities'"),
        ({"automatic_risk": "none"}, "automatic_risk"),
        ({"stop_file": ""}, "text that is at least 1 long, got ''"),
        ({"per_hour": None}, "got nothing"),
        ({"cooldown": 1}, "expected a known key, got 'cooldown'"),
        ({"hands_off": [{"start": "09:00"}]}, r"'hands_off\.0\.end': expected the key, got nothing"),
        ({"hands_off": ["nights"]}, "expected a mapping, got 'nights'. Remedy: its keys are days"),
    ],
)
def test_guards_that_say_nothing_clear_are_an_error(tmp_path, told, words):
    file = tmp_path / "guards.yaml"
    file.write_text(json.dumps(told).replace("NaN", ".nan"))
    with pytest.raises(ContractError, match=words):
        read_guards(file)
    with pytest.raises(ContractError, match=words):
        read_guards(told)


@pytest.mark.parametrize(("text", "got"), [("", "nothing"), ("- a", r"\['a'\]")])
def test_guards_that_are_no_mapping_are_told_as_that(tmp_path, text, got):
    (tmp_path / "guards.yaml").write_text(text)
    with pytest.raises(ContractError, match=rf"guards\.yaml: expected a mapping, got {got}\. Remedy: its keys are"):
        read_guards(tmp_path / "guards.yaml")


def test_a_moment_without_a_zone_and_an_alarm_without_a_name_are_errors(tmp_path, supervisor):
    made = repairer(tmp_path, supervisor.url)
    with pytest.raises(ContractError, match="zone"):
        made.decide(alarm(), causes(LEAK), pd.Timestamp("2026-03-01"), state())
    with pytest.raises(ContractError, match="the name of the alarm"):
        made.decide({"start": NOW}, causes(LEAK), NOW, state())
    with pytest.raises(ContractError, match="automatic"):
        repairer(tmp_path, supervisor.url, mode="automatik")
