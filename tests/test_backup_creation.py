"""Creating and drilling backups: online, complete, private, verified before an older one goes; bad input is told."""

import contextlib
import json
import os
import random
import resource
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
import pytest
from backing import ANNA, BEN, SECRET, a_run, bare, empty_repository, filled, rows, state
from conftest import require
from typer.testing import CliRunner
from workbenches import CHECKOUT

from stability import backup
from stability.backup import archive, creation, databases, drills, plain
from stability.backup.keeping import Keep
from stability.backup.plain import ARCHIVE, SUMS
from stability.backup.swap import JOURNAL
from stability.cli import app
from stability.feedback.store import FeedbackStore
from stability.schema import ContractError, read_table
from stability.workbench.nights import PRUNING
from stability.workbench.tracking import locked, read_metrics


@pytest.fixture
def home(workbench, monkeypatch):
    for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_REPOSITORY", "STABILITY_BACKUPS"):
        monkeypatch.delenv(name, raising=False)
    filled(workbench.folder)
    return workbench.folder


def called(*arguments):
    return CliRunner().invoke(app, ["backup", *map(str, arguments)])


def test_a_backup_has_all_that_must_not_be_lost_and_says_what_it_has_not(home):
    done = backup.create()
    assert (done.backup.repository.kind, done.manifest.runs) == ("archive", 2)
    entries = done.manifest.entries
    wanted = {
        "mlflow.db",
        "runs/exp/2026-11-01T02-00-00Z/summary.json",
        "runs/exp/latest",
        "runs/watch/service/repairs.jsonl",
        "feedback/feedback.sqlite",
        "marks/testbed.parquet",
    }
    assert wanted <= entries.keys()
    assert sum(path.endswith("weights.txt") for path in entries) == 2
    assert not any(path.startswith("private") or path.endswith((".lock", "-wal", "-shm")) for path in entries)
    assert done.manifest.rows["feedback/feedback.sqlite"] == {"messages": 2}, "what only its log had yet, too"
    assert done.manifest.rows["mlflow.db"] == databases.counts(home / "mlflow.db")
    assert any("private/" in sentence for sentence in done.manifest.left_out)
    assert not any("outside of the workbench" in sentence for sentence in done.manifest.left_out)
    assert any("git keeps" in sentence for sentence in done.manifest.left_out)
    assert any("same disk" in sentence for sentence in done.warnings)
    folder = home / "backups" / done.backup.name
    assert folder.stat().st_mode & 0o077 == 0, "for its owner alone"
    assert (home / "backups" / ".gitignore").read_text() == "*\n"
    assert not list((home / ".backup").glob("work-*"))


def test_a_drill_restores_reads_a_run_and_measures(home):
    done = backup.create()
    assert backup.drill(server=False).rpo_s == 0.0, "nothing was written since"
    time.sleep(0.01)
    late = a_run(7)
    (home / "runs" / "exp" / "new.txt").write_text("x")
    told = backup.drill(server=False)
    assert (told.findings, told.lost_runs, told.run_read) == ([], 1, done.manifest.sample.run_id)
    assert told.lost_files == 2, "the artifact and the file"
    assert 0 < told.rpo_s <= told.age_s
    assert 0 < told.rto_s < 600
    assert (told.runs, told.files) == (2, len(done.manifest.entries))
    assert backup.create().manifest.sample.run_id == late
    lines = [json.loads(line) for line in (home / "backups" / drills.DRILLS).read_text().splitlines()]
    assert [line["backup"] for line in lines] == [done.backup.name] * 2


def test_a_drill_starts_the_server(home):
    backup.create()
    told = backup.drill()
    assert told.server
    assert told.findings == []
    assert told.run_read


def test_a_drill_finds_what_checksums_cannot(home, monkeypatch):
    """A backup whose files are what its manifest says, but whose databases are not."""
    done = backup.create()

    def less(path):
        with sqlite3.connect(path) as store:
            store.execute("delete from latest_metrics")
            store.execute("delete from params")
        store.close()

    copied, counts = databases.copy_online, databases.counts

    def wrong(source, target):
        copied(source, target)
        if target.name == "mlflow.db":
            wrong.rows = counts(target)
            less(target)

    monkeypatch.setattr(databases, "copy_online", wrong)
    monkeypatch.setattr(databases, "counts", lambda path: wrong.rows if path.name == "mlflow.db" else counts(path))
    backup.create()
    monkeypatch.undo()
    monkeypatch.setenv("STABILITY_HOME", str(home))
    told = backup.drill(server=False)
    assert told.rto_s != told.rto_s, "nothing to recover to in no time"
    assert any(said == "mlflow.db: 2 tables are not as they were: latest_metrics, params" for said in told.findings)
    assert backup.drill(done.backup.name, server=False).findings == []
    assert called("drill", "--client").exit_code == 1


def test_a_drill_finds_damage_and_a_page_that_is_broken(home):
    done = backup.create()
    path = home / "backups" / done.backup.name / ARCHIVE
    path.write_bytes(path.read_bytes()[:-1])
    told = backup.drill(server=False)
    assert "other checksums" in told.findings[0]
    shutil.copy(home / "mlflow.db", home / "broken.db")
    with (home / "broken.db").open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff" * 9_000)
    assert databases.integrity(home / "broken.db")
    assert databases.integrity(home / "mlflow.db") == []


def test_online_while_others_write(home):
    """Two tables are always changed together: in no backup does one know of a change that the other does not."""
    path = home / "feedback" / "pairs.sqlite"
    with sqlite3.connect(path) as store:
        store.executescript("create table a (n integer); create table b (n integer);")
    store.close()
    stop, written = threading.Event(), []

    def write():
        with sqlite3.connect(path, timeout=60) as store:
            while not stop.is_set():
                with store:
                    store.executemany("insert into a values (?)", [(n,) for n in range(50)])
                    store.executemany("insert into b values (?)", [(n,) for n in range(50)])
                written.append(1)
                time.sleep(0.001)
        store.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        copies = []
        for number in range(8):
            while len(written) < 3 * number:
                time.sleep(0.001)
            databases.copy_online(path, home / f"copy-{number}.db")
            copies.append(databases.counts(home / f"copy-{number}.db"))
        done = backup.create()
    finally:
        stop.set()
        thread.join()
    for counts in (*copies, done.manifest.rows["feedback/pairs.sqlite"]):
        assert counts["a"] == counts["b"]
    assert len({counts["a"] for counts in copies}) > 1, "it was being written"
    assert backup.drill(server=False).findings == []


def test_what_leaves_a_spool_for_a_database_meanwhile_is_in_the_backup(home, tmp_path, monkeypatch):
    store = FeedbackStore()
    assert store.put({"feedback_id": "m1", "text": "before"})
    copied = databases.copy_online

    def drained(source, target):
        """The message is stored and leaves the spool just after the database was copied."""
        copied(source, target)
        store.drain()

    monkeypatch.setattr(databases, "copy_online", drained)
    backup.create()
    assert store.waiting() == 0
    backup.restore(into=tmp_path / "new")
    again = FeedbackStore(tmp_path / "new" / "runs" / "feedback")
    again.drain()
    assert list(again.frame()["text"]) == ["before"]


def test_a_database_that_a_writer_holds_is_waited_for_and_then_named(home):
    with sqlite3.connect(home / "mlflow.db", isolation_level=None) as store:
        store.execute("begin exclusive")
        with pytest.raises(ContractError, match=r"mlflow.db: expected a database.*got (a writer has held|database is)"):
            databases.copy_online(home / "mlflow.db", home / "copy.db", patience=0.3)
        store.execute("rollback")
    store.close()
    assert not (home / "copy.db").exists()


def test_what_is_not_read_again_as_it_was_is_no_backup_and_rotates_nothing(home, monkeypatch):
    """The disk takes a byte for another one, after it said that all is written."""
    keep = Keep(last=2, daily=0, weekly=0)
    first = backup.create(keep=keep).backup
    synced = archive.synced

    def lying(path):
        synced(path)
        if path.name == ARCHIVE:
            with path.open("r+b") as file:
                file.seek(path.stat().st_size // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(plain, "synced", lying)
            with pytest.raises(ContractError, match="expected a backup that is whole"):
                backup.create(keep=keep)
    assert backup.backups() == [first]
    assert {path.name for path in (home / "backups").iterdir()} == {".gitignore", first.name}
    second = backup.create(keep=keep)
    assert second.removed == [], "the damaged ones took nobody's place"
    done = backup.create(keep=keep)
    assert done.removed == [first.name]
    assert [b.name for b in backup.backups()] == [second.backup.name, done.backup.name]


def at(monkeypatch, moment):
    """The clock says this."""
    monkeypatch.setattr(creation.time, "time", lambda: moment)


def test_a_clock_that_goes_back_changes_no_order(home, monkeypatch):
    keep, now = Keep(last=2, daily=0, weekly=0), time.time()
    names = []
    for moment in (now, now - 3600, now - 3600):
        with monkeypatch.context() as patch:
            at(patch, moment)
            names.append(backup.create(keep=keep).backup.name)
    assert names == sorted(set(names))
    assert [b.name for b in backup.backups()] == names[1:]
    with monkeypatch.context() as patch:  # years ahead, once: neither followed nor in anybody's place
        at(patch, now + 3e8)
        lost = backup.create(keep=keep).backup.name
    done = [backup.create(keep=keep) for _ in range(2)]
    assert [b.name for b in backup.backups()] == [*(one.backup.name for one in done), lost]
    assert any("from the future" in said and lost in said for said in done[-1].warnings)
    assert backup.drill(server=False).backup == done[-1].backup.name, "the newest is that of now"
    assert backup.drill(lost, server=False).findings == []


def test_the_horizon_is_that_of_every_kind(home, monkeypatch, tmp_path):
    """Whoever changes to restic leaves no plain archives that are kept for ever; nor do damaged manifests stay."""
    require("restic")
    monkeypatch.setenv("RESTIC_CACHE_DIR", str(tmp_path / "cache"))
    now, made = time.time(), []
    for days in (41, 41, 39):
        with monkeypatch.context() as patch:
            at(patch, now - 86_400 * days - len(made))
            made.append(backup.create(kind="archive").backup)
    (home / "backups" / made[0].name / "manifest.json").write_text("{")
    monkeypatch.setenv("RESTIC_PASSWORD", SECRET)
    empty_repository(home / "backups" / "restic")
    assert sorted(backup.create().removed) == sorted(one.name for one in made[:2])
    with monkeypatch.context() as patch:
        at(patch, now + 86_400 * 60)
        done = backup.create(kind="archive")
    assert [one.name for one in backup.backups()] == [done.backup.name]


def test_backups_of_another_workbench_are_left_alone(home, tmp_path, monkeypatch):
    keep = Keep(last=1, daily=0, weekly=0)
    monkeypatch.setenv("STABILITY_BACKUPS", str(tmp_path / "place"))
    first = backup.create(keep=keep).backup
    shutil.copytree(home, tmp_path / "other", symlinks=True)
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other' / 'mlflow.db'}")
    done = backup.create(keep=keep)
    assert first in backup.backups()
    assert any("another workbench" in said and first.name in said for said in done.warnings)
    shutil.rmtree(home)  # it is no more: whoever was restored from it takes care of what it left
    assert set(backup.create(keep=keep).removed) == {first.name, done.backup.name}


@contextlib.contextmanager
def room(size):
    """No file grows beyond so many bytes: what a full disk says at that moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_room_nothing_is_lost_and_the_full_place_is_named(home, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "IN_MEMORY", 1_000_000)
    (home / "runs" / "large").write_bytes(random.Random(0).randbytes(4_000_000))
    (home / "runs" / "watch" / "service" / "repairs.jsonl").write_text('{"action_id": 1}\n')
    first, before = backup.create().backup, state(home)
    told = []
    for size in (50_000, 1_200_000, 2_500_000, 3_900_000):
        with room(size), pytest.raises(ContractError) as full:
            backup.create()
        told.append(str(full.value))
        for into in (tmp_path / "new", home):
            with room(size), pytest.raises(ContractError, match=r"a place that a backup can be restored to.*make room"):
                backup.restore(into=into, replace=True)
    assert "room for a copy of" in told[0]
    assert "mlflow.db" in told[0]
    assert all("runs/large" in said and "room for a copy of" in said for said in told[1:])
    with room(3_900_000), monkeypatch.context() as patch:
        patch.setattr(archive, "IN_MEMORY", 64 << 20)
        with pytest.raises(ContractError, match=r"a place that a backup can be written to.*make room"):
            backup.create()
    assert state(home) == before
    assert [b.name for b in backup.backups()] == [first.name]
    assert {path.name for path in (home / "backups").iterdir()} == {".gitignore", first.name}
    assert {path.name for path in (home / ".backup").iterdir()} == {".gitignore", ".lock"}
    assert not list(tmp_path.glob(".new*"))
    backup.verify(first)


def test_names_of_folders_with_spaces_and_other_scripts(home, tmp_path, monkeypatch):
    """The workbench, the place and the new folder; a backup of each kind of name in it."""
    for name in ("night of 日本 'x'", 'a "quoted" \n line', "-rf", "$(touch evil)", "50%"):
        (home / "runs" / name).mkdir()
        (home / "runs" / name / f"{name}.txt").write_text(name)
    (home / "runs" / "watch" / "service" / "repairs.jsonl").write_text('{"action_id": 1}\n')
    moved = tmp_path / "my wörk ☃ bench"
    home.rename(moved)
    monkeypatch.setenv("STABILITY_HOME", str(moved))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved / 'mlflow.db'}")
    monkeypatch.setenv("STABILITY_BACKUPS", str(tmp_path / "pla ce\n日"))
    before = {name: said for name, said in state(moved).items() if not name.startswith("private")}
    backup.create(kind="archive")
    assert backup.drill(server=False).findings == []
    backup.restore(into=tmp_path / "new 'place' ü")
    assert state(tmp_path / "new 'place' ü") == before


def test_drafts_of_the_dead_are_swept(home):
    first = backup.create().backup
    place = home / "backups"
    (place / f".{first.name}.abc").mkdir()
    (place / f".going-{first.name}").mkdir()
    (home / ".backup" / "work-old").mkdir()
    backup.create()
    assert {p.name for p in place.iterdir()} == {".gitignore", *(b.name for b in backup.backups())}
    assert {p.name for p in (home / ".backup").iterdir()} == {".gitignore", ".lock"}


def test_one_at_a_time_and_not_while_nights_are_removed(home, monkeypatch):
    monkeypatch.setattr(creation, "PATIENCE", 0.1)
    (home / ".backup").mkdir()
    with locked(home / ".backup" / ".lock"), pytest.raises(ContractError, match="one backup or restore at a time"):
        backup.create()
    with locked(home / "runs" / PRUNING), pytest.raises(ContractError, match="no `stability prune` meanwhile"):
        backup.create()


def test_bad_input_is_a_sentence(home, tmp_path, monkeypatch):
    for arguments, said in {
        ("create", "--as", "tape"): "the name of one kind of backup",
        ("create", "--keep-days", "0"): "at least one backup that stays",
        ("drill",): "expected a backup, got none",
        ("restore", "--into", str(tmp_path / "new")): "stability backup create",
        ("verify", "x"): "expected a backup, got none",
        ("create", "--place", str(home / "mlflow.db")): "a folder for backups",
    }.items():
        done = called(*arguments)
        assert said in str(done.exception), arguments
        assert isinstance(done.exception, ContractError)
    assert "No backups in" in called("list").output
    made = called("create")
    assert made.exit_code == 0, made.exception
    assert "2 runs" in made.output
    assert "40 days later" in made.output
    (there,) = backup.backups()
    assert there.name in called("list").output
    assert "is whole" in called("verify").output
    assert "RTO" in called("drill", "--client").output
    assert there.name in str(called("verify", there.name[:-3]).exception), "the nearest name"
    (home / "backups" / there.name / SUMS).unlink()
    assert "a folder with archive.tar.zst, manifest.json" in str(called("verify").exception)
    monkeypatch.setenv("STABILITY_HOME", str(bare(tmp_path / "bare")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "expected the store of runs, got no file" in str(called("create").exception)
    (tmp_path / "bare" / "mlflow.db").write_bytes(b"no database at all, but long enough to be looked at twice" * 9)
    assert "expected a database of SQLite" in str(called("create").exception)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:s3cret@127.0.0.1:1/")
    told = str(called("create").exception)
    assert "a store in SQLite or PostgreSQL" in told
    assert "s3cret" not in told
    (tmp_path / "bare" / JOURNAL).write_text("{")
    assert "the plan of a restore" in str(called("create").exception)


def test_an_empty_store_is_backed_up_and_the_drill_says_that_it_reads_nothing(workbench):
    backup.create(kind="archive")
    told = backup.drill(server=False)
    assert told.findings == ["the store has no finished run that could be read"]


def test_who_was_erased_after_a_backup_is_erased_again_by_a_restore(home, tmp_path):
    store = FeedbackStore()
    for name, user, text in (("m1", ANNA, "my phone is hot"), ("m2", BEN, "all is well")):
        assert store.put({"feedback_id": name, "user": user, "text": text, "timestamp": "2026-11-01T00:00:00+00:00"})
    store.drain()
    assert store.put({"feedback_id": "m3", "user": ANNA, "text": "it is dark"})
    done = backup.create()
    assert done.manifest.erasures == []
    with sqlite3.connect(home / "private" / "pseudonyms.sqlite") as keys:
        keys.execute("insert into erasures values ('2999-01-01T00:00:00+00:00', ?, 1, 1)", (ANNA,))
        keys.execute("insert into erasures values ('2001-01-01T00:00:00+00:00', ?, 1, 1)", ("p-" + "c" * 20,))
    keys.close()
    restored = backup.restore(into=tmp_path / "new")
    assert restored.erased == [ANNA]
    said = b"".join(path.read_bytes() for path in sorted((tmp_path / "new").rglob("feedback.parquet")))
    assert b"thank you" in said
    assert b"my mail is slow" not in said
    told = b"".join(path.read_bytes() for path in sorted((tmp_path / "new" / "runs" / "feedback").rglob("*.*")))
    assert b"all is well" in told
    assert b"[erased]" in told
    assert b"phone is hot" not in told
    assert b"it is dark" not in told
    # The newest backup knows it too, where the workbench is lost.
    assert len(backup.create().manifest.erasures) == 2
    (home / "private" / "pseudonyms.sqlite").unlink()
    assert backup.restore(done.backup.name, into=tmp_path / "again").erased == [ANNA]


def test_the_store_is_the_same_and_its_artifacts_are_found_elsewhere(home, tmp_path):
    ids = {path.parent.parent.parent.name for path in (home / "mlartifacts").rglob("weights.txt")}
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    client.create_registered_model("champion")
    run_id = min(ids)
    client.create_model_version("champion", f"{client.get_run(run_id).info.artifact_uri}/model", run_id)
    before = rows(home / "mlflow.db")
    backup.create()
    new = tmp_path / "with space and ü"
    restored = backup.restore(into=new)
    (home / "mlartifacts").rename(home / "gone")
    there = json.dumps(rows(new / "mlflow.db"), default=str)
    assert there.replace(new.as_uri(), "X") == json.dumps(before, default=str).replace(home.as_uri(), "X")
    assert restored.moved > len(ids)
    elsewhere = mlflow.MlflowClient(f"sqlite:///{new / 'mlflow.db'}")
    (tmp_path / "got").mkdir()
    for run_id in ids:
        got = Path(elsewhere.download_artifacts(run_id, "model/weights.txt", tmp_path / "got"))
        assert "weights of" in got.read_text()
    assert elsewhere.get_model_version("champion", "1").source.startswith(new.as_uri())
    assert str(home) not in json.dumps([v for v in rows(new / "mlflow.db").items() if v[0] != "tags"], default=str)


def test_the_notebook_of_the_week_drills_what_there_is_and_what_it_makes(home, tmp_path, monkeypatch):
    monkeypatch.setattr("matplotlib.rcParams", plt.rcParams.copy())
    (tmp_path / "step").mkdir()
    first = backup.create().backup
    cells = json.loads((CHECKOUT / "notebooks" / "15-backup.ipynb").read_text())["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]).replace("%matplotlib inline", ""), names)
            if cell["metadata"].get("tags") == ["parameters"]:
                names |= {"server": False, "flips": 20, "output": str(tmp_path / "step")}
    plt.close("all")
    told = {name: metric.value for name, metric in read_metrics(tmp_path / "step").items()}
    assert told["backup.flips_found"] == told["backup.flips"] == 20
    assert (told["backup.kept"], told["backup.runs"], told["backup.findings"]) == (2, 2, 0)
    assert told["backup.rpo_s"] == 0.0
    assert told["backup.rto_s"] > 0
    drilled = read_table(tmp_path / "step" / "drills.parquet")
    assert list(drilled["backup"]) == [first.name, backup.backups()[-1].name]
