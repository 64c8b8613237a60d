"""What a watch writes, where the disk is full or has lost something: nothing half, nothing twice, and it goes on."""

import contextlib
import json
import os
import random
import resource
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from test_monitor_looks import raised
from watching import declaration, fleet, follow, told_once

from stability.monitor import reports
from stability.monitor.checkpoints import Checkpoints
from stability.monitor.following import Follower
from stability.monitor.incident import Incident
from stability.monitor.journal import Journal
from stability.monitor.reports import write_report
from stability.monitor.ring import Rows
from stability.monitor.rowlog import RowLog
from stability.schema import read_json_lines

SECOND = 1_000_000
KINDS = ("alarm", "alarm_over", "firing", "firing_over", "incident")
NOTHING = fleet(entities=1, steps=60).iloc[:0]


@contextlib.contextmanager
def full(size):
    """No file can grow beyond so many bytes: the kernel refuses it in the midst of a write, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def rows(k):
    return Rows(15 * SECOND * k, ("a", "b"), np.arange(4, dtype=float).reshape(2, 2) + 10 * k)


# ---- rows and journal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, 30])
def test_rows_that_found_no_room_are_not_there_and_later_ones_are(tmp_path, room):
    log = RowLog(tmp_path, ["x", "y"])
    log.append(rows(0))
    (path,) = tmp_path.iterdir()
    size = path.stat().st_size
    for limit in (size + room, room, 0):
        with full(limit), pytest.raises(OSError, match="File too large"):
            log.append(rows(1))
    assert [one.stat().st_size for one in sorted(tmp_path.iterdir())] == [size, 0]
    log.append(rows(1))
    log.append(rows(2))
    log.close()
    found = list(RowLog(tmp_path, ["x", "y"]).read(0))
    assert [one.moment for one in found] == [rows(k).moment for k in range(3)]
    for k, one in enumerate(found):
        np.testing.assert_array_equal(one.values, rows(k).values)


def test_a_journal_that_found_no_room_holds_each_entry_once(tmp_path):
    journal = Journal(tmp_path)
    journal.once("alarm/1", 1, text="x" * 50)
    size = journal.path.stat().st_size
    for room in (0, 1, 40):
        with full(size + room), pytest.raises(OSError, match="File too large"):
            journal.once("alarm/2", 2, text="y" * 50)
        assert journal.path.stat().st_size == size
    assert journal.once("alarm/2", 2, text="y" * 50)
    assert not journal.once("alarm/2", 2, text="y" * 50)
    journal.once("alarm/3", 3)
    journal.close()
    assert [line["key"] for line in read_json_lines(journal.path)] == ["alarm/1", "alarm/2", "alarm/3"]


def test_a_journal_that_cannot_begin_its_next_file_holds_each_entry_once(tmp_path):
    journal = Journal(tmp_path, largest=50)
    journal.once("alarm/1", 1, text="x" * 50)
    (tmp_path / "events-00000002.jsonl").mkdir()  # the next file cannot be made
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            journal.once("alarm/2", 2)
    (tmp_path / "events-00000002.jsonl").rmdir()
    assert journal.once("alarm/2", 2)
    journal.close()
    told = [line["key"] for path in sorted(tmp_path.iterdir()) for line in read_json_lines(path)]
    assert told == ["alarm/1", "alarm/2"]


def test_a_journal_that_somebody_emptied_goes_on_with_whole_entries(tmp_path):
    journal = Journal(tmp_path)
    journal.once("alarm/1", 1, text="x" * 500)
    os.truncate(journal.path, 0)
    journal.once("alarm/2", 2)
    size = journal.path.stat().st_size
    with full(size + 10), pytest.raises(OSError, match="File too large"):
        journal.once("alarm/3", 3)
    assert journal.path.stat().st_size == size
    journal.close()


def test_a_watch_whose_disk_is_full_time_and_again_tells_what_another_one_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_picture", lambda panel, alarm: "")
    told, rng = declaration(tmp_path, fleet(entities=3, steps=230)), random.Random(3)
    steps, whole = follow(told, tmp_path / "whole")
    follower, troubles, scores = Follower(told, folder=tmp_path / "full"), 0, {}
    assert follower.begin()
    while troubles == 0 or follower.trouble:
        held = [path.stat().st_size for path in (tmp_path / "full").rglob("*") if path.is_file()]
        with full(max(held) + rng.randrange(rng.choice([100, 300, 4_000]))):
            scores |= {step.moment: step.scores for step in follower.tick()}
        troubles += bool(follower.trouble)
    assert troubles > 10
    follower.close()
    assert follower.watch.counts["steps"] == whole.watch.counts["steps"]
    for kind in KINDS:
        assert told_once(tmp_path / "full", kind) == told_once(tmp_path / "whole", kind)
    assert told_once(tmp_path / "full", "alarm")
    assert len(scores) > 20
    for step in steps:  # of the one that found no room on the way nobody hears but the journal
        for name, expected in step.scores.items() if step.moment in scores else ():
            np.testing.assert_array_equal(scores[step.moment][name], expected)


def test_a_watch_that_could_not_begin_begins_with_all_that_was_before(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_picture", lambda panel, alarm: "")
    told = declaration(tmp_path, fleet(entities=2, steps=200))
    follow(told, tmp_path / "whole")
    follower = Follower(told, folder=tmp_path / "late")
    (tmp_path / "late" / "detectors").touch()  # what was learnt finds no place
    for _ in range(2):
        assert list(follower.tick()) == []
        assert "File exists" in follower.trouble
    (tmp_path / "late" / "detectors").unlink()
    assert list(follower.tick())
    follower.close()
    for kind in KINDS:
        assert told_once(tmp_path / "late", kind) == told_once(tmp_path / "whole", kind)


# ---- pages -----------------------------------------------------------------------------------------------------------


def test_of_too_many_pages_the_newest_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "PAGES", 3)
    for k in range(6):
        incident = Incident(asdict(raised("web-0", k * SECOND)), page=f"{9 - k}.html")
        path = write_report(tmp_path, incident, NOTHING, [], k * SECOND)
        os.utime(path, (k, k))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4.html", "5.html", "6.html"]


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_all_of_a_checkpoint_is_on_the_disk_before_it_is_there(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def noted(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").resolve())
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    Checkpoints(tmp_path).write(1, {}, lambda folder: np.savez(folder / "a.npz", x=np.arange(3)))
    names = [path.name for path in synced]
    assert "a.npz" in names
    assert names.index("a.npz") < names.index(tmp_path.name)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_checkpoint_of_which_an_array_is_damaged_gives_way_to_the_one_before(tmp_path, damage, monkeypatch):
    monkeypatch.setattr(reports, "_picture", lambda panel, alarm: "")
    told = declaration(tmp_path, fleet(entities=3, steps=230))
    _, before = follow(told, tmp_path / "state")
    older, newest = sorted((tmp_path / "state" / "checkpoints").iterdir())
    for path in newest.glob("*.npz"):
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 255
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "flipped": content}[damage])
    points = Checkpoints(tmp_path / "state" / "checkpoints")
    assert points.newest().folder == older
    again = Follower(told, folder=tmp_path / "state")
    assert again.watch.moment == before.watch.moment
    for mine, theirs in zip(again.watch.sentries, before.watch.sentries, strict=True):
        assert json.dumps(mine.said()) == json.dumps(theirs.said())
        for key, kept in mine.detector.live_state().items():
            np.testing.assert_array_equal(kept, theirs.detector.live_state()[key])
    for kind in KINDS:
        told_once(tmp_path / "state", kind)
    again.close()
