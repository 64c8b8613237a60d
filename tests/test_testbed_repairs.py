"""Which repair ends which fault: what lies in a process ends with it, what lies elsewhere is there after a restart."""

import json
import time

import pytest

from stability.schema import ContractError
from stability.testbed import control
from stability.testbed.effects import Effect
from stability.testbed.events import OUTLASTING, Event
from stability.testbed.modes import BENIGN, FAILURE_MODES
from stability.testbed.volume import FILLER

LOOKS = 1.5  # s in which an end would have been seen


def at_work(folder):
    return {(event["mode"], event["entity"]) for event in control.status(folder)["at_work"]}


def until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@pytest.mark.soak  # test_testbed.py has a restart and a rollback, test_game_day.py a restart, in every run
def test_each_fault_ends_by_its_own_repair_and_by_no_other(tmp_path):
    folder, copy = tmp_path / "testbed", tmp_path / "backup"
    control.up(folder)
    try:
        control.ask(folder, "/backup", folder=str(copy))
        for mode, entity in (
            ("disk_full", "model-a"),
            ("stale_features", "feature-store"),
            ("bad_configuration", "model-b"),
            ("slow_dependency", "feature-store"),
            ("connection_pool_exhaustion", "model-b"),
        ):
            control.ask(
                folder, "/inject", {"mode": mode, "entity": entity, "seconds": 300, "grows": 1, "intensity": 0.4}
            )
        debris = folder / "volumes" / "model-a" / FILLER
        until(lambda: debris.exists() and debris.stat().st_size > 20e6)

        # A restart ends what lies in the process, and nothing else; what was written to the disk is still there.
        for name in ("model-a", "feature-store", "model-b"):
            control.ask(folder, f"/processes/{name}/restart")
        time.sleep(LOOKS)
        left = {("disk_full", "model-a"), ("stale_features", "feature-store"), ("bad_configuration", "model-b")}
        assert at_work(folder) == left
        assert debris.stat().st_size > 20e6

        # Nor does what is right for one end another.
        with pytest.raises(ContractError, match="no disk of its own"):
            control.ask(folder, "/processes/feature-store/clean")
        control.ask(folder, "/processes/model-b/clean")
        control.ask(folder, "/processes/model-b/reload")
        time.sleep(LOOKS)
        assert at_work(folder) == left

        assert control.ask(folder, "/processes/model-a/clean")["result"]["bytes"] > 20e6
        until(lambda: at_work(folder) == left - {("disk_full", "model-a")})
        time.sleep(LOOKS)
        assert not debris.exists()  # nobody writes any more
        control.ask(folder, "/processes/model-b/rollback")
        until(lambda: at_work(folder) == {("stale_features", "feature-store")})
        control.ask(folder, "/restore", folder=str(copy))
        until(lambda: not at_work(folder))
        ended = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
        assert {event["ended_by"] for event in ended} == {"repair"}
        assert len(ended) == 5
    finally:
        control.down(folder)


def test_what_ramps_grows_for_so_long_and_then_stays(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    effect = Effect(seconds=160, ramp=True, grows=40, intensity=0.8)
    effect._begun = now[0]
    levels = []
    for now[0] in (100.0, 120.0, 140.0, 250.0):
        levels.append(effect.level())
    assert levels == pytest.approx([0, 0.4, 0.8, 0.8])
    later = Effect(seconds=160, ramp=True, grows=40, intensity=0.8, age=20)  # in a process that was restarted
    later._begun = now[0]
    assert later.level() == pytest.approx(0.4)


def test_what_outlasts_a_restart_is_a_mode_and_ends_within_bounds():
    assert set(OUTLASTING) <= set(FAILURE_MODES | BENIGN)
    with pytest.raises(ValueError, match="grows"):
        Event(mode="disk_full", entity="model-a", seconds=60, grows=0)
