"""A watch is killed at random moments: no alarm is lost, none is told twice, and all numbers stay the same."""

import multiprocessing
import os
import random
import signal
import time

import pytest
from watching import declaration, fleet, follow, journal, told_once

from stability.monitor import reports
from stability.monitor.following import Follower

KINDS = ("alarm", "alarm_over", "firing", "firing_over", "incident")


def keep_step(told, folder):
    """What the killed process does."""
    follower = Follower(told, folder=folder)
    for _ in follower.tick():
        time.sleep(0.002)
    follower.close()
    os._exit(0)


def fork(what, *given):
    """Do it in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=what, args=given)
    process.start()
    return process


def killed(told, folder, seconds):
    """Run it for so long and kill it; whether it was done before."""
    process = fork(keep_step, told, folder)
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def trial(folder, kills, seed, **more):
    """Kill so many times; every time that it was done, another fleet is watched. Gives how often it was killed."""
    rng, met, fleets = random.Random(seed), 0, 0
    while met < kills:
        own = folder / str(fleets)
        own.mkdir()
        told = declaration(own, fleet(steps=330, seed=seed + fleets), **more)
        follow(told, own / "lived")
        expected = {kind: told_once(own / "lived", kind) for kind in KINDS}
        assert expected["alarm"]
        assert expected["firing_over"]
        done = False
        while not done and met < kills:
            done = killed(told, own / "killed", rng.uniform(0.0, 0.8))
            met += not done
        follow(told, own / "killed")
        assert {kind: told_once(own / "killed", kind) for kind in KINDS} == expected
        lines = [
            {entry["key"]: entry for entry in journal(own / name, "alarm", "alarm_over", "firing", "firing_over")}
            for name in ("lived", "killed")
        ]
        assert lines[0] == lines[1]
        fleets += 1
    return met


def test_a_few_kills_lose_nothing_and_repeat_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_picture", lambda panel, alarm: "")  # most of the time, of which a kill sees no part
    assert trial(tmp_path, 5, seed=1) >= 5


@pytest.mark.soak
def test_a_hundred_kills_lose_nothing_and_repeat_nothing(tmp_path, capsys):
    seed = int(os.environ.get("STABILITY_SOAK_SEED") or time.time_ns() % 1_000_000)
    met = trial(tmp_path, 100, seed=seed)
    with capsys.disabled():
        print(f"\nwatch: killed {met} times, nothing lost, nothing twice (seed {seed})")
