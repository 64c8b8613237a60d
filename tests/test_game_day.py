"""A game day: its rounds, its arms and what is measured of it, on tables made up; a slot on the service."""

import dataclasses
import json
import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import matplotlib.pyplot as plt
import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workbenches import CHECKOUT

from stability import datasets, schema
from stability.evaluation import poisson_interval
from stability.monitor import lesson
from stability.monitor.arm import Workbench, watch_of, workbench_at
from stability.monitor.testbed_source import QUERIES
from stability.rules import read_rules
from stability.schema import ContractError
from stability.testbed import game_day_learning, game_day_slot
from stability.testbed.game_day import ARMS, WITHHELD, GameDay, played, round_slots
from stability.testbed.game_day_arms import Alarms, Nobody, RestartAlways, restarter
from stability.testbed.game_day_measures import REMEDIES, episodes, measured, needed
from stability.testbed.game_day_results import by_mode, compared, counted, estimates, read_rounds, restricted_means
from stability.testbed.game_day_round import arm_of, next_round
from stability.testbed.game_day_slot import carried_out
from stability.testbed.game_day_slot import seconds as seconds_of
from stability.testbed.modes import BENIGN, FAILURE_MODES
from stability.testbed.schedule import HEADLINE
from stability.testbed.service_level import ServiceLevel
from stability.workbench import tracking

RULES = read_rules(schema.home() / "data" / "rules" / "testbed.yaml")
NOW = pd.Timestamp("2026-03-01 12:00", tz="UTC").as_unit("us")


# ---- rounds --------------------------------------------------------------------------------------------------------
@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_a_round_has_every_headline_mode_and_its_slots_differ_in_their_arm_alone(seed, number):
    slots = round_slots(GameDay(seed=seed), number)
    assert [slot.place for slot in slots] == list(range(len(slots)))
    trials = {}
    for slot in slots:
        trials.setdefault(slot.trial, []).append(slot)
    assert [slot.trial for slot in slots] == sorted(slot.trial for slot in slots)  # one after the other
    modes = {own[0].mode: own for own in trials.values()}
    assert set(HEADLINE) <= set(modes)
    assert len(set(modes) & set(WITHHELD)) == 1
    assert len(set(modes) & set(BENIGN)) == 2
    for mode, own in modes.items():
        arms = [slot.arm for slot in own]
        assert sorted(arms) == sorted(ARMS if mode in FAILURE_MODES else ARMS[1:])
        assert len({dataclasses.replace(slot, arm="", place=0) for slot in own}) == 1
        assert own[0].entity in (FAILURE_MODES | BENIGN)[mode].on
        assert 0 < own[0].at < own[0].at + own[0].grows < own[0].seconds


def test_withheld_modes_and_look_alikes_take_turns():
    rounds = [round_slots(GameDay(seed=4), number) for number in range(1, 7)]
    withheld = [next(slot.mode for slot in slots if slot.kind == "withheld") for slots in rounds]
    assert {withheld[0], withheld[1]} == set(WITHHELD) == {withheld[2], withheld[3]}
    seen = [mode for slots in rounds for mode in {slot.mode for slot in slots if slot.kind == "look-alike"}]
    assert sorted(seen) == sorted(BENIGN)


def test_orders_are_drawn_anew():
    orders = {tuple(slot.mode for slot in round_slots(GameDay(seed=seed), 1)) for seed in range(8)}
    arms = {tuple(slot.arm for slot in round_slots(GameDay(seed=seed), 1)[:2]) for seed in range(30)}
    assert len(orders) == 8
    assert len(arms) > 3


def test_what_cannot_be_is_refused():
    with pytest.raises(ContractError, match="from 1"):
        round_slots(GameDay(), 0)
    with pytest.raises(ContractError, match=r"restart_always.*somebody"):
        round_slots(GameDay(arms=("nobody", "somebody")), 1)
    with pytest.raises(ValueError, match="slot_seconds"):
        GameDay(slot_seconds=1e6)


def tables_of(slot, note="action"):
    row = dataclasses.asdict(slot) | {"cause_start": slot.at, "cause_end": np.nan, "began": NOW}
    told = {"round": slot.round, "place": slot.place}
    counts = {"answered": 60, "failed": 0, "slow": 0, "wrong": 6, "bad": False}
    notes = pd.DataFrame(
        [told | {"second": 30.0, "what": note, "entity": slot.entity, "failure_mode": None} | LEFT_OUT]
    )
    return {
        "slots": pd.DataFrame([row]),
        "seconds": pd.DataFrame([told | {"second": s} | counts for s in range(int(slot.seconds))]),
        "notes": notes,
    }


LEFT_OUT = {"verb": "restart", "rank": 0, "probability": np.nan, "end": np.nan, "alarm_id": "", "text": ""}


def test_a_round_that_was_killed_goes_on_with_the_slot_that_is_missing(tmp_path):
    slots = round_slots(GameDay(seed=1), 1)[:4]
    done = []

    class Killed(BaseException):
        pass

    def carry_out(slot):
        if len(done) == 2 and not (tmp_path / "again").exists():
            (tmp_path / "again").touch()
            raise Killed
        done.append(slot.place)
        return tables_of(slot)

    with pytest.raises(Killed):
        played(slots, tmp_path / "round", carry_out, lambda _: None)
    (tmp_path / "round" / f".{slots[2].name}.part").mkdir()  # what a kill may leave
    tables = played(slots, tmp_path / "round", carry_out, lambda _: None)
    assert done == [0, 1, 2, 3]
    assert tables["slots"]["place"].tolist() == [0, 1, 2, 3]
    again = played(slots, tmp_path / "round", carry_out, lambda _: None)
    assert done == [0, 1, 2, 3]
    pd.testing.assert_frame_equal(again["seconds"], tables["seconds"])
    with pytest.raises(ContractError, match="remove this one"):
        played(
            [dataclasses.replace(slot, variant=slot.variant + 1) for slot in slots],
            tmp_path / "round",
            carry_out,
            print,
        )


# ---- arms ----------------------------------------------------------------------------------------------------------
def panel_of(latency):
    stamps = pd.date_range(end=NOW, periods=len(latency), freq="s")
    index = pd.MultiIndex.from_product([["feature-store"], stamps], names=["entity", "timestamp"])
    busy = np.arange(len(latency)) * 0.05
    return pd.DataFrame(
        {"http_server_request_duration_seconds_p50": latency, "process_cpu_seconds_total": busy}, index=index
    )


def test_an_alarm_is_told_once_and_nobody_acts():
    slow = panel_of([0.01] * 40 + [0.09] * 20)
    arm = Nobody(Alarms(RULES))
    told = [note for k in range(38, 50) for note in arm.step(NOW - pd.Timedelta(seconds=59 - k), slow)]
    told = [note for note in told if note.failure_mode != "telemetry_loss"]  # most metrics are not in this panel
    assert [(note.what, note.entity, note.failure_mode) for note in told] == [
        ("alarm", "feature-store", "slow_dependency")
    ]
    assert told[0].at == NOW - pd.Timedelta(seconds=59 - 43)  # three seconds after it became slow
    assert arm.close() == []
    with pytest.raises(ContractError, match="severity page"):
        Alarms([rule for rule in RULES if rule.labels["severity"] != "page"])


def test_whatever_alarms_is_restarted_and_then_left_alone_for_a_while():
    slow = panel_of([0.01] * 20 + [0.09] * 40)
    restarted = []
    arm = RestartAlways(Alarms(RULES), restarted.append, cool_down=10)
    notes = []
    for k in range(20, 60):
        notes += arm.step(NOW - pd.Timedelta(seconds=59 - k), slow)
        for *_, done in arm.under_way.values():
            done.result()
    notes += arm.close()
    actions = [note for note in notes if note.what == "action"]
    assert restarted == ["feature-store"] * 4
    assert [(note.entity, note.verb) for note in actions] == [("feature-store", "restart")] * 4
    gaps = np.diff([note.at.timestamp() for note in actions])
    assert (gaps >= 10).all()
    assert (gaps <= 12).all()


def test_a_restart_that_fails_is_said():
    def fail(entity):
        raise ContractError(f"{entity} does not come back")

    arm = RestartAlways(Alarms(RULES), fail)
    arm.step(NOW, panel_of([0.01] * 20 + [0.09] * 40))
    assert "does not come back" in arm.close()[0].text


# ---- measures ------------------------------------------------------------------------------------------------------
@settings(max_examples=8)
@given(st.lists(st.booleans(), max_size=60), st.floats(0, 70))
def test_episodes_are_those_of_the_plain_loop(bad, begin):
    assert episodes(np.array(bad, dtype=bool), begin) == naive.impact_episodes(bad, begin)


def made_up(bad, notes=(), **other):
    slot = dataclasses.replace(
        next(s for s in round_slots(GameDay(seed=1), 1) if s.mode == "memory_leak"),
        entity="model-a", arm="workbench", seconds=float(len(bad)), **other,
    )  # fmt: skip
    tables = tables_of(slot)
    tables["slots"] = tables["slots"].assign(cause_start=10.5, cause_end=np.nan)
    tables["seconds"] = tables["seconds"].assign(bad=bad, failed=np.where(bad, 5, 0))
    empty = {"entity": None, "failure_mode": None} | LEFT_OUT | {"verb": None}
    own = [{"round": slot.round, "place": slot.place} | empty | note for note in notes]
    tables["notes"] = pd.DataFrame(own, columns=tables["notes"].columns)
    return tables


def cause(second, rank, entity, mode):
    return {"second": second, "what": "cause", "rank": rank, "entity": entity, "failure_mode": mode}


def action(second, entity, verb="restart"):
    return {"second": second, "what": "action", "entity": entity, "verb": verb}


def verdict(second, verb, entity="model-a"):
    return {"second": second, "what": "verdict", "entity": entity, "verb": verb}


def test_a_slot_in_numbers():
    bad = np.zeros(100, dtype=bool)
    bad[3:6] = True  # before the cause: nobody's
    bad[30:50] = True
    bad[55] = bad[70] = True  # the first goes on with what was, the second is alone
    bad[54] = True
    notes = [
        {"second": 5.0, "what": "alarm"},
        {"second": 25.5, "what": "alarm", "entity": "model-a"},
        cause(26.0, 1, "model-b", "memory_leak"),
        cause(28.0, 1, "model-a", "memory_leak"),
        cause(28.0, 2, "model-b", "memory_leak"),
        action(28.5, "model-a"),
        cause(60.0, 1, "gateway", "cpu_saturation"),
        action(61.0, "gateway"),
        verdict(40.0, "inconclusive"),
        verdict(80.0, "verified"),
    ]
    [row] = measured(**made_up(bad, notes)).to_dict("records")
    assert (row["impact_s"], row["recovery_s"], row["censored"], row["failed"]) == (26.0, 26.0, False, 22 * 5 + 5)
    assert (row["detected_s"], row["ahead_s"], row["rank"], row["answer"]) == (15.0, 4.5, 1.0, "memory_leak")
    assert (row["actions"], row["unneeded"], row["verdict"]) == (2, 1, "verified")
    assert (row["verified"], row["false_verified"]) == (1, 0)


@pytest.mark.parametrize(
    ("notes", "false"),
    [
        ([action(28, "model-a"), verdict(35, "verified")], 1),  # users are still hurt
        ([action(28, "model-a"), verdict(60, "verified")], 0),
        ([action(28, "model-b"), verdict(60, "verified", "model-b")], 1),  # not what was broken
        ([action(28, "model-a", "roll_back_model"), verdict(60, "verified")], 1),
        ([verdict(60, "verified")], 1),  # of nothing
        ([action(28, "model-a"), verdict(60, "not_recovered")], 0),
    ],
)
def test_a_verdict_is_false_when_users_are_hurt_or_the_repair_was_none(notes, false):
    bad = np.zeros(100, dtype=bool)
    bad[30:50] = True
    assert measured(**made_up(bad, notes))["false_verified"].item() == false


def test_what_is_not_felt_not_noticed_or_outlasts_the_slot():
    quiet = measured(**made_up(np.zeros(60, dtype=bool))).iloc[0]
    assert quiet["impact_s"] == 0
    assert np.isnan([quiet["recovery_s"], quiet["detected_s"], quiet["rank"]]).all()
    assert quiet["verdict"] is None
    felt = measured(**made_up(np.arange(60) >= 40)).iloc[0]
    assert (felt["impact_s"], felt["censored"]) == (20.0, True)


def test_every_mode_says_what_ends_it_and_a_look_alike_needs_nothing():
    assert set(REMEDIES) == set(FAILURE_MODES)
    leak = {"mode": "disk_full", "entity": "model-a", "kind": "known", "cause_start": 20.0, "cause_end": np.nan}
    cases = [("restart", False), ("clean_disk", True), ("fail_over", True)]
    assert [needed({"second": 30.0, "entity": "model-a", "verb": verb}, leak) for verb, _ in cases] == [
        fine for _, fine in cases
    ]
    twin = leak | {"mode": "backup", "kind": "look-alike"}
    assert not needed({"second": 30.0, "entity": "model-a", "verb": "clean_disk"}, twin)


def test_tables_that_lack_something_are_refused():
    tables = made_up(np.zeros(20, dtype=bool))
    with pytest.raises(ContractError, match=r"notes.*verb"):
        measured(**tables | {"notes": tables["notes"].drop(columns="verb")})
    with pytest.raises(ContractError, match="seconds of slot"):
        measured(**tables | {"seconds": tables["seconds"].iloc[:0]})


# ---- results -------------------------------------------------------------------------------------------------------
def many(rng, rounds=3, share=0.3):
    rows = []
    for number in range(1, rounds + 1):
        for trial in range(8):
            kind = "look-alike" if trial == 7 else "withheld" if trial == 6 else "known"
            theirs = float(rng.integers(0, 120)) if trial < 7 else 0.0
            for arm, factor in (("workbench", share), ("nobody", 1.0), ("restart_always", 0.6)):
                row = {
                    "round": number,
                    "trial": trial,
                    "place": len(rows),
                    "arm": arm,
                    "kind": kind,
                    "mode": str(trial),
                }
                row |= {"entity": "model-a", "seconds": 180.0, "impact_s": theirs * factor * rng.uniform(0.8, 1.2)}
                row |= {"rank": 1.0 if trial % 3 else np.nan, "actions": 1, "unneeded": int(arm != "workbench")}
                row |= {"verified": 1, "false_verified": 0, "censored": False, "detected_s": 9.0, "repaired_s": 20.0}
                rows.append(row | dict.fromkeys(("failed", "slow", "wrong"), 3))
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_ratios_are_those_of_the_plain_loop(seed):
    slots = many(np.random.default_rng(seed))
    for kinds in (("known",), ("known", "withheld")):
        found = compared(slots, "workbench", "nobody", kinds, seed=seed, resamples=50)
        plain = naive.impact_ratio(slots, "workbench", "nobody", kinds)
        assert found.value == pytest.approx(plain, nan_ok=True)
        assert found.lo <= found.value <= found.hi


def test_estimates_have_their_intervals_and_counts_their_arms():
    slots = many(np.random.default_rng(0))
    found = estimates(slots)
    assert found["impact_ratio_nobody"].hi < 0.5
    assert found["impact_ratio_restart_always"].hi < 0.9
    assert found["true_cause_top1"].value == pytest.approx(4 / 6)
    assert found["unneeded_actions_per_hour"].value == 0
    assert found["unneeded_actions_per_hour_restart_always"].value == pytest.approx(20)
    assert all(e.lo <= e.value <= e.hi for e in found.values())
    counts = counted(slots)
    assert counts["rounds"] == 3
    assert counts["faults"] == 21
    assert counts["actions_on_withheld"] == counts["actions_on_look_alikes_restart_always"] == 3
    means = restricted_means(slots)
    assert means.loc["nobody", "faults"] == 21
    assert len(by_mode(slots)) == 8 * 3


def test_unneeded_actions_repeat_within_a_slot_and_their_interval_knows_it():
    rng, hours, true, held = np.random.default_rng(0), 40 * 180 / 3600, 0.25 * 6 * 20, []
    slots = many(rng, rounds=5)
    slots = slots[slots["arm"] == "workbench"]
    for _ in range(200):
        slots = slots.assign(unneeded=np.where(rng.random(40) < 0.25, rng.poisson(6, 40), 0))
        told, alone = estimates(slots)["unneeded_actions_per_hour"], poisson_interval(slots["unneeded"].sum(), hours)
        assert told.value == pytest.approx(alone.value)
        assert told.lo <= alone.lo
        assert told.hi >= alone.hi
        held.append((told.lo <= true <= told.hi, alone.lo <= true <= alone.hi))
    told, alone = np.mean(held, axis=0)
    assert told > 0.85  # it says .95, and forty slots are few
    assert alone < 0.7


def test_few_slots_have_the_interval_of_independent_actions():
    slots = many(np.random.default_rng(0), rounds=1)
    few = slots[(slots["arm"] == "workbench") & (slots["trial"] < 4)].assign(unneeded=1)
    told = estimates(few)["unneeded_actions_per_hour"]
    assert tuple(told) == pytest.approx(tuple(poisson_interval(4, 4 * 180 / 3600)))
    assert np.isnan(estimates(few.assign(seconds=0.0))["unneeded_actions_per_hour"].value)


def test_too_few_faults_are_not_enough_evidence_and_a_fault_twice_is_refused():
    slots = many(np.random.default_rng(0), rounds=1)
    few = slots[slots["trial"] < 3]
    assert np.isnan(compared(few, "workbench", "nobody").value)
    assert np.isnan(compared(slots, "workbench", "somebody").value)
    assert np.isnan(compared(slots.assign(impact_s=0.0), "workbench", "nobody").value)
    with pytest.raises(ContractError, match="each fault once"):
        compared(pd.concat([slots, slots]), "workbench", "nobody")


def test_rounds_add_up(tmp_path):
    assert read_rounds(tmp_path)["slots"].empty
    for number in (1, 2):
        slot = dataclasses.replace(round_slots(GameDay(seed=1), 1)[0], round=number)
        for name, table in tables_of(slot).items():
            schema.write_table(table, tmp_path / f"round-{number:03d}" / f"{name}.parquet", "other")
    tables = read_rounds(tmp_path)
    assert measured(**tables)["round"].tolist() == [1, 2]


def test_seconds_of_a_slot_are_those_of_the_log_and_silence_is_not_good():
    line = {"replica": "all", "answered": 30, "failed": 0, "slow": 0, "wrong": 3}
    log = pd.DataFrame([line | {"second": 100 + k, "failed": 5 * (k > 4)} for k in range(8)])
    found = seconds_of(log, ServiceLevel(), 102.0, 8)
    assert found["second"].tolist() == list(range(8))
    assert found["answered"].tolist() == [30] * 6 + [0, 0]
    assert found["bad"].tolist()[:6] == [False] * 3 + [True] * 3


# ---- the chain -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The first piece of recording 1, and what is learnt from its half: tables, folder of the lesson, looks."""
    tables = datasets.load("testbed", recordings=[1])
    stamps = tables["telemetry"].index.get_level_values("timestamp")
    end = stamps.min() + pd.Timedelta(seconds=PIECE)
    early = {"telemetry": tables["telemetry"][stamps < end], "topology": tables["topology"]}
    for name, at in (("faults", "cause_start"), ("benign", "start"), ("states", "timestamp")):
        early[name] = tables[name][tables[name][at] < end]
    for name in ("logs", "feedback"):
        early[name] = tables[name][tables[name]["timestamp"] < end]
    folder = tmp_path_factory.mktemp("lesson")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(game_day_learning, "LOOKS", (0.0, 4.0))
        return early, folder, lesson.taught(folder, early)


@pytest.fixture
def supervisor(monkeypatch):
    """A server that notes what it is asked for; gives its address and the notes. Pages are drawn in other tests."""
    monkeypatch.setattr("stability.monitor.reports._picture", lambda panel, alarm: "")
    asked = []

    class Supervisor(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Supervisor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def met(recorded, supervisor, tmp_path, fault, seconds, before=100):
    """Let the watch meet a recorded fault, whose course it cannot change; gives what it noted."""
    tables, learnt, _ = recorded
    begun = fault["cause_start"].ceil("s")
    watch = watch_of(tmp_path / "none", learnt, tmp_path, start=begun.isoformat())
    control = {"control": "testbed", "supervisor": supervisor[0]}
    (tmp_path / "inventory.json").write_text(json.dumps({"entities": [{"match": ["*"], "controls": [control]}]}))
    watch = watch.model_copy(update={"repair": watch.repair.model_copy(update={"clock": "rows"})})

    def beside(first, last):
        near = {n: tables[n][(tables[n]["timestamp"] >= first) & (tables[n]["timestamp"] < last)] for n in TOLD}
        return {"topology": tables["topology"], **near}

    def answered(first, last):  # nobody counted
        index = tables["telemetry"].loc[(slice(None), slice(first, last)), :].index
        return pd.DataFrame(np.nan, index=index, columns=list(QUERIES))

    arm = Workbench(watch, tmp_path / "watch", read=answered, beside=beside)
    stamps, notes = tables["telemetry"].index.get_level_values("timestamp"), []
    near = tables["telemetry"][(stamps > begun - pd.Timedelta(seconds=before))]
    stamps = near.index.get_level_values("timestamp")
    for now in pd.date_range(begun, periods=seconds, freq="s"):
        notes += arm.step(now, near[stamps <= now])
        acted = [note.at for note in notes if note.what == "action"]
        if acted and (now - acted[0]).total_seconds() >= AFTERWARDS:
            break
    assert not arm.follower.trouble
    assert arm.follower.watch.counts["errors"] == 0
    notes += arm.close()
    return notes, arm.history


AFTERWARDS = 3  # s that are watched after an action: the next look is due within
PIECE = 1620  # s of a recording: all of its first piece, and enough of the second to tell them apart
TOLD = ("states", "logs", "feedback")


def test_the_chain_restarts_the_replica_that_leaks_and_calls_nothing_verified_at_once(recorded, supervisor, tmp_path):
    faults = recorded[0]["faults"]
    own = faults[(faults["failure_mode"] == "memory_leak") & (faults["root_entity"] == faults["entity"])]
    fault = own[own["impact_start"].notna()].iloc[0]
    notes, history = met(recorded, supervisor, tmp_path, fault, 35)
    acted = [note for note in notes if note.what == "action"]
    assert supervisor[1] == [f"/processes/{fault['root_entity']}/restart"]
    assert [(note.entity, note.verb, note.failure_mode) for note in acted] == [
        (fault["root_entity"], "restart", "memory_leak")
    ]
    whats = [note.what for note in notes]
    assert whats.index("alarm") < whats.index("cause") < whats.index("decision") < whats.index("action")
    assert "verified" not in [note.verb for note in notes]  # it went on, and nobody knows what users saw
    assert [action.facts["mode"] for _, action in history.real()] == ["automatic"]


def test_the_chain_leaves_a_harmless_event_alone(recorded, supervisor, tmp_path):
    event = recorded[0]["benign"].query("kind == 'model_release'").iloc[0]
    notes, _ = met(recorded, supervisor, tmp_path, {"cause_start": event["start"]}, 20)
    assert supervisor[1] == []
    assert "action" not in [note.what for note in notes]


def test_looks_to_learn_from_know_what_was_going_on(recorded):
    tables, _, (diagnoser, looks) = recorded
    assert set(diagnoser.signatures_.modes_) == set(looks["failure_mode"].dropna())
    for look in looks.itertuples():
        plain = None
        for fault in tables["faults"].sort_values("cause_start").itertuples():
            if fault.cause_start <= look.start <= fault.cause_end + pd.Timedelta(seconds=10):
                plain = fault.root_entity, fault.failure_mode
        assert plain == ((look.entity, look.failure_mode) if isinstance(look.entity, str) else None)


# ---- the notebook --------------------------------------------------------------------------------------------------
def round_made_up(folder, number):
    slots = round_slots(GameDay(seed=2, look_alikes=1), number)
    whole = [tables_of(slot) for slot in slots]
    for slot, tables in zip(slots, whole, strict=True):
        hurt = {"nobody": 120, "restart_always": 40, "workbench": 10}[slot.arm] * (slot.kind != "look-alike")
        tables["seconds"]["bad"] = (tables["seconds"]["second"] - 30).between(0, hurt - 1)
        if slot.arm == "nobody":
            tables["notes"] = tables["notes"].iloc[:0]
    for name in ("slots", "seconds", "notes"):
        table = pd.concat([tables[name] for tables in whole], ignore_index=True)
        schema.write_table(table, folder / f"round-{number:03d}" / f"{name}.parquet", "other")


@pytest.mark.parametrize("rounds", [0, 2])
def test_the_notebook_shows_recorded_rounds_and_logs_none_of_their_numbers(workbench, monkeypatch, capsys, rounds):
    monkeypatch.setattr("matplotlib.rcParams", plt.rcParams.copy())
    home = schema.home()
    shutil.copytree(CHECKOUT / "data" / "rules", home / "data" / "rules")
    for number in range(1, rounds + 1):
        round_made_up(home / "data" / "game-day", number)
    output = home / "step"
    output.mkdir()
    cells = json.loads((CHECKOUT / "notebooks" / "13-repair.ipynb").read_text())["cells"]
    names, said = {}, []
    monkeypatch.setattr(
        "IPython.display.display", lambda *things: said.extend(str(getattr(t, "data", t)) for t in things)
    )
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        exec("".join(cell["source"]).replace("%matplotlib inline", ""), names)
        names |= {"output": str(output)} if cell["metadata"].get("tags") == ["parameters"] else {}
    plt.close("all")
    assert set(tracking.read_metrics(output)) == {"gameday.rounds_recorded_before"}
    text = " ".join(said)
    assert "nothing is logged as measured" in text
    if rounds:
        assert names["pooled"][0]["impact_ratio_nobody"].value == pytest.approx(10 / 120)
        assert "round 2: 2026-03-01 12:00 to 12:00 UTC, recorded" in text
        assert names["number"] == 3
    else:
        assert "No round has been recorded yet" in text


def test_a_round_that_lacks_a_table_is_the_next_one(tmp_path):
    round_made_up(tmp_path / "a", 1)
    round_made_up(tmp_path / "b", 2)
    assert next_round(tmp_path / "a", tmp_path / "b") == 3
    (tmp_path / "b" / "round-002" / "notes.parquet").unlink()
    assert next_round(tmp_path / "a", tmp_path / "b") == 2
    assert set(read_rounds(tmp_path / "a", tmp_path / "b")["slots"]["round"]) == {1}


# ---- the real service ----------------------------------------------------------------------------------------------
#: Promises that a machine full of other work keeps, too.
LAX = ServiceLevel(slow=0.9, failed=0.5, wrong=0.9)


@pytest.mark.soak
def test_a_slot_on_the_service(tmp_path, monkeypatch):
    """Up, under load, settled, broken, met by restarts, undone, down; the tables are whole."""
    monkeypatch.setattr(game_day_slot, "WARM_UP", 3.0)
    monkeypatch.setattr(game_day_slot, "LONGER", 120.0)
    day = GameDay(
        slot_seconds=25, settle_seconds=5, modes=("slow_dependency",), arms=("restart_always",), service_level=LAX
    )
    slot = dataclasses.replace(round_slots(day, 1)[0], mode="slow_dependency", entity="feature-store", kind="known")
    slot = dataclasses.replace(slot, at=2.0, seconds=25.0, grows=1.0, intensity=1.0)
    slow = [rule for rule in RULES if rule.alert == "TestbedFeatureStoreSlow"]
    home = tmp_path / "testbed"

    def arm_of(slot, home):
        return RestartAlways(Alarms(slow), restarter(home))

    tables = carried_out(slot, day, home, arm_of, others=1.0, say=lambda _: None)
    assert not home.exists()
    [row] = measured(**tables).to_dict("records")
    assert len(tables["seconds"]) == 25
    assert tables["seconds"]["answered"].sum() > 0
    actions = tables["notes"][tables["notes"]["what"] == "action"]
    assert set(actions["entity"]) == {"feature-store"}
    assert row["detected_s"] > 0
    assert 0 < row["repaired_s"] < 23  # by the restart, and not by the end of the slot
    assert row["unneeded"] == 0


@pytest.mark.soak
@pytest.mark.parametrize("mode", [mode for mode in FAILURE_MODES if mode not in HEADLINE])
def test_the_chain_meets_every_other_mode(tmp_path, mode):
    """What it calls verified is, and what nobody has taught it is left alone."""
    day = GameDay(arms=("workbench",))
    kind = "withheld" if mode in WITHHELD else "known"
    entity = FAILURE_MODES[mode].on[0]
    slot = dataclasses.replace(round_slots(day, 1)[0], mode=mode, entity=entity, kind=kind, at=10.0, seconds=180.0)
    arm = partial(arm_of, rules=RULES, chain=workbench_at(schema.home() / "data" / "watch" / "testbed"))
    [row] = measured(**carried_out(slot, day, tmp_path / "testbed", arm, say=print)).to_dict("records")
    print(row)
    assert row["false_verified"] == 0
    if kind == "withheld":
        assert row["actions"] == 0
