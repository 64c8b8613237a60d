"""A workbench with something to lose, for the tests of backups; and what of it has to be there again."""

import functools
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from workbenches import CHECKOUT

from stability.schema import write_table
from stability.workbench import tracking

ANNA, BEN = "p-" + "a" * 20, "p-" + "b" * 20
SECRET = "correct-horse-battery"  # protects nothing


def a_run(number, name="exp"):
    """One run with a metric, a parameter and an artifact."""
    client = tracking.open_store()
    run_id = client.create_run(tracking.experiment_id(client, name)).info.run_id
    client.log_metric(run_id, "g.x", number + 0.1)
    client.log_param(run_id, "k", number)
    client.log_text(run_id, f"weights of {number}\n" * 20, "model/weights.txt")
    client.set_terminated(run_id)
    return run_id


FILLED = {}  # number of runs to a workbench that has them, its address and their ids: a copy takes no time


def filled(home, runs=2):
    """Fill a workbench with runs, a night, a watch, feedback, labels and keys; gives the runs' ids."""
    if not (home / "mlflow.db").is_file():  # the store is elsewhere
        return _fill(home, runs)
    if runs not in FILLED:
        ids, kept = _fill(home, runs), tempfile.TemporaryDirectory()
        shutil.copytree(home, f"{kept.name}/home", symlinks=True)
        FILLED[runs] = kept, home.as_uri(), ids
        return ids
    kept, address, ids = FILLED[runs]
    shutil.copytree(f"{kept.name}/home", home, symlinks=True, dirs_exist_ok=True)
    with sqlite3.connect(home / "mlflow.db") as store:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            store.execute(f"update {table} set {column} = replace({column}, ?, ?)", (address, home.as_uri()))
    store.close()
    first, again = sorted((home / "runs" / "exp").glob("2*/steps/a/feedback.parquet"))
    again.unlink()
    os.link(first, again)
    return ids


def _fill(home, runs):
    ids = [a_run(number) for number in range(runs)]
    night = home / "runs" / "exp" / "2026-11-01T02-00-00Z"
    (night / "steps" / "a").mkdir(parents=True)
    (night / "summary.json").write_text('{"status": "finished"}')
    (home / "runs" / "exp" / ".lock").touch()
    (home / "runs" / "exp" / "latest").symlink_to(night.name)
    stamps = pd.date_range("2026-11-01", periods=2, tz="UTC")
    said = pd.DataFrame(
        {"feedback_id": ["1", "2"], "timestamp": stamps, "channel": "form", "user": [ANNA, BEN], "entity": "web"}
    ).assign(text=["my mail is slow", "thank you"], rating=np.nan, category="other", alarm_id="", answer="")
    said["answered_at"] = pd.NaT
    write_table(said, night / "steps" / "a" / "feedback.parquet", "feedback")
    again = home / "runs" / "exp" / "2026-11-02T02-00-00Z" / "steps" / "a"
    again.mkdir(parents=True)
    os.link(night / "steps" / "a" / "feedback.parquet", again / "feedback.parquet")
    watch = home / "runs" / "watch" / "service"
    watch.mkdir(parents=True)
    (watch / "repairs.jsonl").write_text('{"action_id": 1}\n{"action_id": 2}\n{"action_')
    (watch / "lock").touch()
    (home / "feedback").mkdir()
    with sqlite3.connect(home / "feedback" / "feedback.sqlite") as store:
        store.execute("pragma journal_mode = wal")
        store.execute("create table messages (id integer primary key, text text)")
        store.executemany("insert into messages (text) values (?)", [("slow",), ("fine",)])
    store.close()
    (home / "marks").mkdir()
    (home / "marks" / "testbed.parquet").write_bytes(b"PAR1 labels PAR1")
    (home / "private").mkdir(mode=0o700)
    (home / "private" / "pseudonym.key").write_text("k" * 64)
    with sqlite3.connect(home / "private" / "pseudonyms.sqlite") as keys:
        keys.execute("create table subjects (tag text primary key, key blob not null, pseudonym text unique not null)")
        keys.execute("create table erasures (moment text not null, pseudonym text, tables integer, rows integer)")
        keys.executemany("insert into subjects values (?, ?, ?)", [("t1", b"one", ANNA), ("t2", b"two", BEN)])
    keys.close()
    for name in ("pseudonym.key", "pseudonyms.sqlite"):
        (home / "private" / name).chmod(0o600)
    return ids


@functools.cache
def _initialised():
    """A folder with a repository that holds nothing yet."""
    folder = tempfile.TemporaryDirectory()
    command = ["restic", "init", "--no-cache", "--repo", f"{folder.name}/empty"]
    subprocess.run(command, env={**os.environ, "RESTIC_PASSWORD": SECRET}, check=True, capture_output=True)
    return folder


def empty_repository(folder):
    """Lay an empty repository of restic under `SECRET` there."""
    return shutil.copytree(Path(_initialised().name) / "empty", folder)


def bare(folder):
    """A workbench's folder without any state, as a fresh checkout has it."""
    (folder / "data").mkdir(parents=True)
    shutil.copy(CHECKOUT / "data" / "metrics.yaml", folder / "data")
    return folder


def rows(path):
    """All rows of all tables of a database, without what a restore moves."""
    with sqlite3.connect(path) as store:
        names = [name for (name,) in store.execute("select name from sqlite_master where type = 'table' order by name")]
        found = {name: sorted(store.execute(f'select * from "{name}"').fetchall(), key=repr) for name in names}
    store.close()
    return found


def state(home):
    """What a folder holds, as text: contents of files by their hash, of databases by their rows, targets of links."""
    found = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        idle = name.startswith((".backup", "backups", "data", "experiments", "notebooks"))
        if idle or path.name in (".gitignore", "lock") or path.name.endswith((".lock", "-wal", "-shm")):
            continue
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file() and path.read_bytes()[:6] == b"SQLite":
            found[name] = json.dumps(rows(path), default=str).replace(str(home), "HOME")
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
