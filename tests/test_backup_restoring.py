"""Restoring: into a new place, over nothing unless told so; cut off or killed at any moment, nothing is lost."""

import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import dying
import pytest
from backing import a_run, bare, filled, rows, state
from commands import CONTEXT
from conftest import mounted
from typer.testing import CliRunner

from stability import backup
from stability.backup import databases, restoring, swap
from stability.backup.keeping import Keep
from stability.backup.plain import ARCHIVE
from stability.cli import app
from stability.schema import ContractError
from stability.workbench.tracking import locked

MOMENTS, SOAKED = 1, 50  # at which each verb is killed


@pytest.fixture
def home(workbench, monkeypatch):
    for name in ("RESTIC_PASSWORD", "RESTIC_REPOSITORY", "STABILITY_BACKUPS"):
        monkeypatch.delenv(name, raising=False)
    filled(workbench.folder)
    lines = workbench.folder / "runs" / "watch" / "service" / "repairs.jsonl"
    lines.write_text('{"action_id": 1}\n')
    return workbench.folder


def public(home):
    """What an archive that is not encrypted has of a workbench."""
    return {name: said for name, said in state(home).items() if not name.startswith("private")}


def test_a_new_place_and_a_fresh_checkout_get_all_of_it(home, tmp_path):
    before = public(home)
    backup.create()
    assert backup.restore(into=tmp_path / "new").aside is None
    assert state(tmp_path / "new") == before
    fresh = bare(tmp_path / "checkout")
    (fresh / "runs").mkdir()
    (fresh / "runs" / ".store.lock").touch()
    assert backup.restore(into=fresh).aside is None
    assert state(fresh) == before
    assert (fresh / "data" / "metrics.yaml").is_file()
    assert not (fresh / swap.JOURNAL).exists()


def test_nothing_is_replaced_unless_told_and_then_it_is_kept(home):
    before = public(home)
    done = backup.create()
    late = a_run(9)
    (home / "runs" / "late.txt").write_text("x")
    (home / "mlflow.db-journal").write_bytes(b"of the old database")
    after = public(home)
    with pytest.raises(ContractError, match=r"with mlflow\.db, runs, mlartifacts, feedback, marks, private.*--replace"):
        backup.restore(into=home)
    assert public(home) == after
    (home / "mlflow.db-journal").write_bytes(b"of the old database")
    told = CliRunner().invoke(app, ["backup", "restore", done.backup.name, "--into", str(home), "--replace"])
    assert told.exit_code == 0, told.exception
    assert public(home) == before
    assert not (home / "mlflow.db-journal").exists(), "beside the restored database it would damage it"
    (aside,) = (home / ".backup").glob("replaced-*")
    assert str(aside) in "".join(told.output.split("\n"))
    assert (aside / "runs" / "late.txt").is_file()
    assert late in {run[0] for run in rows(aside / "mlflow.db")["runs"]}
    backup.create()
    assert aside.is_dir(), "it is its owner's to remove"


def test_a_damaged_backup_leaves_the_place_as_it_was(home, tmp_path):
    done = backup.create()
    path = home / "backups" / done.backup.name / ARCHIVE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = public(home)
    for into in (home, tmp_path / "new"):
        with pytest.raises(ContractError, match="other checksums of"):
            backup.restore(into=into, replace=True)
    assert public(home) == before
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


def test_a_place_that_is_in_use_or_none_is_refused(home, tmp_path):
    backup.create()
    for lock in (home / "runs" / "exp" / ".lock", home / "runs" / "watch" / "service" / "lock"):
        with locked(lock), pytest.raises(ContractError, match="no night and no watch that runs"):
            backup.restore(into=home, replace=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ContractError, match="expected a folder, got a file"):
        backup.restore(into=tmp_path / "file")
    with pytest.raises(ContractError, match="the name of a backup"):
        backup.restore("yesterday", into=tmp_path / "new")


class Cut(BaseException):
    """The power goes."""


def cutting(original, countdown):
    """A function that the power is cut at when the count is down."""

    def counted(*arguments, **options):
        if next(countdown) <= 0:
            raise Cut
        return original(*arguments, **options)

    return counted


def test_a_swap_that_is_cut_at_any_step_is_finished_by_whoever_comes_next(tmp_path, monkeypatch):
    """Every change to the disk in turn is the last one that happens."""
    changes = {"rename": Path, "replace": Path, "unlink": Path, "link": os}
    cut, whole = 0, False
    while not whole:
        place = tmp_path / str(cut) / "place"
        draft, aside = (place / ".backup" / name for name in ("draft", "aside"))
        for folder, word in ((place, "old"), (draft, "new")):
            (folder / "runs").mkdir(parents=True)
            (folder / "runs" / "a").write_text(word)
            (folder / "mlflow.db").write_text(word)
        (place / "mlflow.db-wal").write_text("old")
        (place / "other").write_text("stays")
        (tmp_path / str(cut) / "lent").write_text("old")
        (place / "feedback").symlink_to("../lent")
        (draft / "feedback").write_text("new")
        (draft / "marks").mkdir()
        with monkeypatch.context() as patch:
            countdown = itertools.count(cut, -1)
            for name, owner in changes.items():
                patch.setattr(owner, name, cutting(getattr(owner, name), countdown))
            try:
                swap.swap(draft, place, aside)
                whole = True
            except Cut:
                assert (place / "mlflow.db").is_file(), "a store that is absent for a moment would be made anew"
        swap.finish(place)
        new = (place / "runs" / "a").read_text() == "new"
        assert (place / "mlflow.db").read_text() == ("new" if new else "old"), "all of it or nothing"
        kept = {
            p.name: p.read_text()
            for p in (aside if new else place).rglob("*")
            if p.is_file() and p.name != "other" and (new or ".backup" not in p.parts)
        }
        assert kept == {"a": "old", "mlflow.db": "old", "mlflow.db-wal": "old", "feedback": "old"}
        assert (tmp_path / str(cut) / "lent").read_text() == "old", "what a link leads to is not written"
        assert {p.name for p in place.iterdir()} >= {"mlflow.db", "runs", "other", *(["marks"] if new else [])}
        cut += 1
    assert cut > 6


def planned(place, **changes):
    """A place in which a restore was cut off, with something of its plan changed."""
    for folder in ("elsewhere", "place/.backup/work-1/draft", "place/runs"):
        (place.parent / folder).mkdir(parents=True)
    (place.parent / "elsewhere" / "precious").write_text("x")
    (place / ".backup" / "work-1" / "draft" / "marks").write_text("new")
    plan = {"draft": ".backup/work-1/draft", "aside": ".backup/replaced-1", "names": ["marks"]} | changes
    (place / swap.JOURNAL).write_text(json.dumps(plan))


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ["../../../../elsewhere/precious"]},
        {"names": ["runs/../../elsewhere"]},
        {"names": ["/etc/passwd"]},
        {"names": [".."]},
        {"names": [""]},
        {"names": [7]},
        {"draft": "../elsewhere", "names": ["precious"]},
        {"draft": ".backup/../../elsewhere", "names": ["precious"]},
        {"draft": "/etc", "names": ["passwd"]},
        {"aside": "../elsewhere"},
        {"aside": ".backup"},
        {"draft": ".backup/out", "names": ["precious"]},
    ],
)
def test_a_plan_moves_nothing_but_what_was_restored_here(tmp_path, changes):
    place = tmp_path / "place"
    planned(place, **changes)
    (place / ".backup" / "out").symlink_to(tmp_path / "elsewhere")
    before = state(tmp_path)
    with pytest.raises(ContractError, match="the plan of a restore"):
        swap.finish(place)
    assert state(tmp_path) == before
    assert (place / ".backup" / "work-1" / "draft" / "marks").is_file()


def test_a_folder_that_was_moved_amid_a_restore_is_finished_where_it_is(tmp_path):
    planned(tmp_path / "place")
    (tmp_path / "place").rename(tmp_path / "moved")
    assert swap.finish(tmp_path / "moved")
    assert (tmp_path / "moved" / "marks").read_text() == "new"


def test_what_lies_on_another_disk_is_refused_before_anything_moves(home, tmp_path):
    """Two file systems exchange nothing in one step."""
    backup.create()
    (home / "marks").rename(tmp_path / "marks")
    (home / "marks").mkdir()
    with mounted(home / "marks"):
        (home / "marks" / "mine").write_text("x")
        before = public(home)
        with pytest.raises(ContractError, match="marks: expected a folder on the disk of the workbench's own"):
            backup.restore(into=home, replace=True)
        assert public(home) == before
        assert not (home / swap.JOURNAL).exists()


def test_the_folder_of_work_is_no_link(home, tmp_path):
    backup.create()
    shutil.rmtree(home / ".backup")
    (tmp_path / "elsewhere").mkdir()
    (home / ".backup").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ContractError, match="a folder of the workbench's own, got a link"):
        backup.restore(into=home, replace=True)
    assert not list((tmp_path / "elsewhere").iterdir())


def killed_after(seconds, verb, home, flag, **options):
    """Kill -9 a verb so long after its beginning; whether it had not ended by then."""
    flag.unlink(missing_ok=True)
    process = CONTEXT.Process(target=dying.until_killed, args=(verb, str(home), str(flag), options))
    process.start()
    while not flag.exists() and process.is_alive():
        time.sleep(0.001)
    process.join(seconds)
    early = process.is_alive()
    if early:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert early or process.exitcode == 0
    return early


def length_of(verb, home, flag, **options):
    """Seconds that a verb takes in a process of its own, from its beginning."""
    assert not killed_after(None, verb, home, flag, **options)
    return time.time() - flag.stat().st_mtime


def kill_often(home, tmp_path, moments, seed):
    """Kill creations and restores at random moments; after each, all that was there is there."""
    rng, flag, all_of_them = random.Random(seed), tmp_path / "begun", {"keep": Keep(last=1000)}
    for number in range(60):
        (home / "mlartifacts" / f"file-{number}").write_bytes(rng.randbytes(20_000))
    before, made = public(home), backup.create()
    length = length_of("create", home, flag, **all_of_them)
    kept, early = {made.backup.name}, 0
    for _ in range(moments):
        early += killed_after(rng.uniform(0, 1.2 * length), "create", home, flag, **all_of_them)
        assert public(home) == before
        assert databases.integrity(home / "mlflow.db") == []
        there = backup.backups()
        assert kept <= {one.name for one in there}
        kept = {one.name for one in there}
        for one in there:
            backup.verify(one, deep=False)
    assert backup.create().backup.name == backup.backups()[-1].name
    assert backup.drill(server=False).findings == []
    for path in sorted((home / "backups").iterdir()):
        assert not path.name.startswith((".going", ".2")), "swept"

    (home / "runs" / "late.txt").write_text("x")
    (home / "mlartifacts" / "file-0").write_bytes(b"changed")
    with sqlite3.connect(home / "mlflow.db") as store:
        store.execute("update params set value = 'later'")
    store.close()
    later = public(home)
    length = length_of("restore", home, flag, into=str(tmp_path / "timed"))
    saved = tmp_path / "saved"
    shutil.copytree(home, saved, symlinks=True)
    name = backup.backups()[-1].name
    for _ in range(moments):
        options = {"name": name, "into": str(home), "replace": True}
        early += killed_after(rng.uniform(0, 1.2 * length), "restore", home, flag, **options)
        swap.finish(home)
        now = public(home)
        assert now in (before, later), "all of it or nothing"
        if now == before:
            (aside,) = (home / ".backup").glob("replaced-*")
            old = {path: said.replace(str(aside), "HOME") for path, said in public(aside).items()}
            assert {path: said.replace(str(home), "HOME") for path, said in old.items()} == later, "kept aside"
            shutil.rmtree(home)
            shutil.copytree(saved, home, symlinks=True)
        backup.verify(backup.backups()[-1], deep=False)
    return early


def test_killed_at_random_moments_nothing_is_lost(home, tmp_path):
    assert kill_often(home, tmp_path, MOMENTS, seed=10) >= 1


@pytest.mark.soak
def test_killed_at_many_moments_nothing_is_lost(home, tmp_path, capsys):
    seed = int(os.environ.get("STABILITY_SOAK_SEED") or time.time_ns() % 1_000_000)
    early = kill_often(home, tmp_path, SOAKED, seed)
    with capsys.disabled():
        print(
            f"\nsoak: seed {seed}, {2 * SOAKED} kills of backups and restores, {early} before the end; nothing was lost"
        )
    assert early > SOAKED


def steps_of(verb, home, flag, options, step=None):
    """How many changes a verb makes, or whether it was killed before one of them."""
    process = CONTEXT.Process(target=dying.at_step, args=(verb, str(home), str(flag), step, options))
    process.start()
    process.join()
    assert process.exitcode == (0 if step is None else -signal.SIGKILL)
    return int(flag.read_text()) if step is None else None


def chosen_steps(count, number):
    """So many of the steps, the last ones among them: there names change and old ones go."""
    return sorted({*range(0, count, max(1, count // number)), *range(max(0, count - number // 2), count)})


def kill_at_steps(home, tmp_path, number):
    """Kill a creation that removes an older one, and restores, before steps that change the disk."""
    flag, keep = tmp_path / "steps", {"keep": Keep(last=1, daily=0, weekly=0)}
    backup.create()
    before, killed = public(home), 0
    for step in chosen_steps(steps_of("create", home, flag, keep), number):
        steps_of("create", home, flag, keep, step)
        assert public(home) == before
        there = backup.backups()
        assert there, "the last one goes only once the next is there"
        for one in there:
            backup.verify(one)
        killed += 1
    name = backup.create(keep=keep["keep"]).backup.name
    assert {path.name for path in (home / "backups").iterdir()} == {".gitignore", name}
    assert backup.drill(server=False).findings == []
    new = {"name": name, "into": str(tmp_path / "new")}
    count = steps_of("restore", home, flag, new)
    shutil.rmtree(tmp_path / "new")
    for step in chosen_steps(count, number):
        steps_of("restore", home, flag, new, step)
        if (tmp_path / "new").exists():
            assert public(tmp_path / "new") == before
            shutil.rmtree(tmp_path / "new")
        killed += 1
    backup.restore(name, into=tmp_path / "new")
    assert not list(tmp_path.glob(".new*")), "what the dead left is swept"
    (home / "runs" / "late.txt").write_text("x")
    later, over = public(home), {"name": name, "into": str(home), "replace": True}
    shutil.copytree(home, tmp_path / "saved", symlinks=True)
    count = steps_of("restore", home, flag, over)
    for step in chosen_steps(count, number):
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "saved", home, symlinks=True)
        steps_of("restore", home, flag, over, step)
        swap.finish(home)
        assert public(home) in (before, later), "all of it or nothing"
        aside = list((home / ".backup").glob("replaced-*/runs/late.txt"))
        assert len(aside) == (public(home) == before), "what was there is kept"
        killed += 1
    return killed


def test_killed_at_chosen_steps_nothing_is_lost(home, tmp_path):
    assert kill_at_steps(home, tmp_path, 2) >= 6


@pytest.mark.soak
def test_killed_at_each_step_nothing_is_lost(home, tmp_path, capsys):
    killed = kill_at_steps(home, tmp_path, 10**6)
    with capsys.disabled():
        print(f"\nsoak: killed before each of {killed} changes of the disk; nothing was lost")
    assert killed > SOAKED


def test_what_a_restored_store_says_of_its_home(home, tmp_path):
    """A store of another home keeps addresses that are not below it."""
    with sqlite3.connect(home / "mlflow.db") as store:
        (where,) = store.execute("select artifact_location from experiments where name = 'exp'").fetchone()
        beside = f"{home.as_uri()}-more/mlartifacts"
        store.execute("update experiments set artifact_location = ? where name = 'Default'", (beside,))
        store.execute("update runs set experiment_id = 0")
    store.close()
    assert any(f"artifacts of experiment Default are at {beside}" in said for said in backup.create().manifest.left_out)
    backup.restore(into=tmp_path / "new")
    told = json.dumps(rows(tmp_path / "new" / "mlflow.db")["experiments"])
    assert beside in told
    assert where not in told


@pytest.mark.parametrize("name", [".git", "stability", "Makefile"])
def test_a_backup_with_more_than_state_is_not_restored(tmp_path, name):
    (tmp_path / "runs").mkdir()
    restoring._refuse_strangers(tmp_path)
    (tmp_path / name).mkdir()
    with pytest.raises(ContractError, match=name):
        restoring._refuse_strangers(tmp_path)
