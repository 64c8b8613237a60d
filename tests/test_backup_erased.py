"""Who was erased stays erased, whichever backup is restored: what any log or any backup knows is done again."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys

import pandas as pd
import pytest
from backing import ANNA, BEN, SECRET, bare, empty_repository, filled
from conftest import require
from hypothesis import given
from hypothesis import strategies as st

from stability import backup
from stability.adaptation.alarm_labels import AlarmLabels
from stability.backup.erased import all_erasures, erase_again, known_erasures, write_down
from stability.backup.keeping import Keep
from stability.backup.manifest import Told
from stability.feedback.contacts import Contacts
from stability.feedback.store import FeedbackStore
from stability.records import privacy
from stability.records.privacy import KeyStore
from stability.schema import ContractError

MAIL = "anna@home.example"


@pytest.fixture
def home(workbench, monkeypatch, tmp_path):
    for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STABILITY_BACKUPS", str(tmp_path / "place"))
    monkeypatch.setenv("RESTIC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    filled(workbench.folder)
    return workbench.folder


def live_in(monkeypatch, folder):
    """The workbench is another folder from now on."""
    monkeypatch.setenv("STABILITY_HOME", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")


def pseudonyms(erasures):
    return {entry["pseudonym"] for entry in erasures}


@pytest.mark.parametrize("kind", ["archive", "restic"])
def test_no_generation_of_backups_forgets_who_was_erased(home, tmp_path, monkeypatch, kind):
    """Restored, backed up, restored, backed up: the backup of before the erasure is still erased in."""
    if kind == "restic":
        require("restic")
        monkeypatch.setenv("RESTIC_PASSWORD", SECRET)
        empty_repository(tmp_path / "place" / "restic")
    old = backup.create(kind=kind, keep=Keep(last=9)).backup
    privacy.erase(ANNA)
    backup.create(kind=kind, keep=Keep(last=9))
    for number in range(2):
        folder = bare(tmp_path / f"life-{number}")
        backup.restore(into=folder)
        shutil.rmtree(home if number == 0 else tmp_path / f"life-{number - 1}")
        live_in(monkeypatch, folder)
        assert ANNA in pseudonyms(known_erasures(folder)), "its next erasures are added to those of before"
        assert ANNA in pseudonyms(backup.create(kind=kind, keep=Keep(last=9)).manifest.erasures)
    shutil.rmtree(folder / "private")
    restored = backup.restore(old.name, into=tmp_path / "again")
    assert restored.erased == [ANNA]
    assert b"my mail is slow" not in everything(tmp_path / "again")
    assert b"thank you" in everything(tmp_path / "again")


def everything(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_what_any_backup_knows_is_known(home, tmp_path, monkeypatch):
    """Not the newest one alone: two workbenches have used one place, one knows of Anna, the other of Ben."""
    old = backup.create(kind="archive").backup
    shutil.copytree(home, tmp_path / "other", symlinks=True)
    write_down(home, [{"moment": "2026-01-01T00:00:00+00:00", "pseudonym": ANNA}])
    knows = backup.create(kind="archive").backup
    live_in(monkeypatch, tmp_path / "other")
    write_down(tmp_path / "other", [{"moment": "2001-01-01T00:00:00+00:00", "pseudonym": BEN}])
    (knows.repository.place / knows.name).rename(tmp_path / "lent")
    backup.create(kind="archive")
    (tmp_path / "lent").rename(knows.repository.place / knows.name)
    shutil.rmtree(home / "private")
    shutil.rmtree(tmp_path / "other" / "private")
    assert set(backup.restore(old.name, into=tmp_path / "new").erased) == {ANNA, BEN}, "whenever it was"
    # Nothing of it depends on checksums: a damaged manifest is still asked, and one that says nothing is named.
    path = knows.repository.place / knows.name / "manifest.json"
    path.write_text(path.read_text() + " ")
    assert set(backup.restore(old.name, into=tmp_path / "newer").erased) == {ANNA, BEN}
    path.write_text("{")
    restored = backup.restore(old.name, into=tmp_path / "newest")
    assert restored.warnings == [f"{knows.name} does not say who was erased until it was made"]


def test_thousands_of_erasures_are_told_on(home, monkeypatch, tmp_path):
    require("restic")
    monkeypatch.setenv("RESTIC_PASSWORD", SECRET)
    empty_repository(tmp_path / "place" / "restic")
    gone = [{"moment": "2026-01-01T00:00:00+00:00", "pseudonym": f"p-{number:020x}"} for number in range(2500)]
    write_down(home, gone)
    made = backup.create().backup
    assert pseudonyms(made.repository.told()[made.name].erasures) == pseudonyms(gone)
    assert made.repository.told()[made.name].home == str(home)


def test_a_repository_that_cannot_be_asked_is_named(home, tmp_path, monkeypatch):
    require("restic")
    backup.create(kind="archive")
    monkeypatch.setenv("RESTIC_PASSWORD", SECRET)
    empty_repository(tmp_path / "place" / "restic")
    backup.create()
    monkeypatch.setenv("RESTIC_PASSWORD", "another")
    assert any("not known of all" in said for said in backup.create(kind="archive").warnings)
    monkeypatch.delenv("RESTIC_PASSWORD")
    restored = backup.restore(into=tmp_path / "new")
    assert any("was not asked who was erased" in said for said in restored.warnings)


def test_a_log_that_cannot_be_read_stops_a_backup_and_not_a_restore(home, tmp_path):
    backup.create(kind="archive")
    (home / "private" / "pseudonyms.sqlite").write_bytes(b"no database, but long enough to be taken for one" * 30)
    with pytest.raises(ContractError, match="expected the store of pseudonyms' keys"):
        backup.create(kind="archive")
    assert any("pseudonyms' keys" in said for said in backup.restore(into=tmp_path / "new").warnings)


def test_an_erasure_reaches_every_place_where_somebody_spoke(home, tmp_path, monkeypatch):
    """With restic all of it is in the backup: store, spool, quarantine, addresses, labels, keys."""
    require("restic")
    monkeypatch.setenv("RESTIC_PASSWORD", SECRET)
    empty_repository(tmp_path / "place" / "restic")
    (home / "private" / "pseudonyms.sqlite").unlink()
    keys = KeyStore()
    who = keys.pseudonyms([MAIL, "ben"])
    store, contacts = FeedbackStore(), Contacts(keys=keys)
    for name, user, text in (("m1", MAIL, "my phone is hot"), ("m2", "ben", "all is well"), ("m3", MAIL, "it is dark")):
        store.put({"feedback_id": name, "user": who[user], "text": text, "timestamp": "2026-11-01T00:00:00+00:00"})
        if name == "m2":
            store.drain()
    contacts.remember_all([("m1", who[MAIL], "mail", MAIL), ("m2", who["ben"], "form", "ben's door")])
    store.set_aside("a.mbox, mail 7", "it cannot be read", f"From: Anna <{MAIL}>\n\nsad words".encode())
    store.set_aside("a.json, row 1", "it cannot be read", json.dumps({"user": "Ben", "text": "glad words"}).encode())
    (store.spool / "bad").mkdir()
    (store.spool / "bad" / "m9.json").write_text(json.dumps({"user": MAIL.upper(), "text": "torn words"}))
    alarms = pd.DataFrame({"alarm_id": ["a1"], "entity": ["web"], "start": pd.Timestamp("2026-11-01", tz="UTC")})
    alarms = alarms.assign(end=pd.NaT, detector="pca", metrics="x", score=1.0, threshold=0.5).set_index("alarm_id")
    AlarmLabels(keys=keys).label(alarms, "discarded", reason="my own test run", by=MAIL)
    old = backup.create()
    assert {"runs/feedback/alarm_labels.sqlite", "private/contacts.sqlite"} <= old.manifest.entries.keys()

    privacy.erase(MAIL)
    shutil.rmtree(home / "private")
    KeyStore().record("2026-11-02T00:00:00+00:00", who[MAIL], 1, 1)
    restored = backup.restore(old.backup.name, into=bare(tmp_path / "new"))
    assert restored.erased == [who[MAIL]]
    said = everything(tmp_path / "new").lower()
    for gone in (b"phone is hot", b"it is dark", b"sad words", b"torn words", b"my own test run", MAIL.encode()):
        assert gone not in said, gone
    for kept in (b"all is well", b"ben's door", b"glad words", b"discarded"):
        assert kept in said, kept
    live_in(monkeypatch, tmp_path / "new")
    assert KeyStore().find(MAIL) is None
    assert KeyStore().find("ben") == who["ben"]


def test_messages_as_they_came_are_in_no_plain_archive(home, tmp_path):
    store = FeedbackStore()
    assert not any("as they came" in said for said in backup.create(kind="archive").manifest.left_out)
    store.set_aside("a.mbox, mail 7", "it cannot be read", f"From: {MAIL}\n\nsad words".encode())
    (store.spool / "bad").mkdir()
    (store.spool / "bad" / "m9.json").write_text("torn words")
    done = backup.create(kind="archive")
    assert not any("quarantine" in name or "/bad/" in name for name in done.manifest.entries)
    assert sum("as they came" in said for said in done.manifest.left_out) == 2
    backup.restore(into=tmp_path / "new")
    assert b"sad words" not in everything(tmp_path / "new")


def test_the_log_goes_where_the_keys_will_be(home, tmp_path):
    """Over a workbench that has keys: they stay, beside what is known now."""
    old = backup.create(kind="archive").backup
    kept = (home / "private" / "pseudonym.key").read_text()
    newer = [{"moment": "2026-01-01T00:00:00+00:00", "pseudonym": ANNA}]
    write_down(home, newer)
    backup.create(kind="archive")
    shutil.copytree(home, tmp_path / "copy", symlinks=True)
    with sqlite3.connect(tmp_path / "copy" / "private" / "pseudonyms.sqlite") as keys:
        keys.execute("delete from erasures")
    keys.close()
    backup.restore(old.name, into=tmp_path / "copy", replace=True)
    assert known_erasures(tmp_path / "copy") == newer
    assert (tmp_path / "copy" / "private" / "pseudonym.key").read_text() == kept
    log = tmp_path / "fresh" / "private" / "pseudonyms.sqlite"
    backup.restore(old.name, into=tmp_path / "fresh")
    assert (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_look_at_the_log_ends_no_lock_of_this_process(home):
    path = home / "private" / "pseudonyms.sqlite"
    asks = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('begin immediate')"
    with sqlite3.connect(path, isolation_level=None) as held:
        held.execute("begin immediate")
        with pytest.MonkeyPatch.context() as patch:
            connect = sqlite3.connect
            patch.setattr(sqlite3, "connect", lambda *args, **_: connect(*args, timeout=0))
            with pytest.raises(ContractError, match="locked"):
                write_down(home, [{"moment": "2026-01-01T00:00:00+00:00", "pseudonym": ANNA}])
        other = subprocess.run([sys.executable, "-c", asks, str(path)], capture_output=True, text=True, check=False)
    held.close()
    assert "database is locked" in other.stderr


WHO = st.sampled_from([f"p-{digit * 20}" for digit in "0123"] + ["anna", "p-'; drop table erasures"])
ENTRIES = st.lists(st.fixed_dictionaries({"moment": st.sampled_from("abc"), "pseudonym": WHO}), max_size=5)


@given(ENTRIES, st.lists(ENTRIES, max_size=3), st.randoms())
def test_knowledge_only_grows(known, told, rng: random.Random):
    union = all_erasures(known, [Told("/", entries) for entries in told])
    entries = [*known, *(entry for part in told for entry in part)]
    assert pseudonyms(union) == {
        who for who in pseudonyms(entries) if who.startswith("p-") and len(who) == 22 and "'" not in who
    }
    assert len(union) == len(pseudonyms(union))
    rng.shuffle(entries)
    assert pseudonyms(all_erasures(entries, [Told("/", union)])) == pseudonyms(union)


def test_erasing_nobody_changes_nothing(home):
    before = everything(home)
    assert erase_again(home, []) == []
    assert erase_again(home, [{"moment": "x", "pseudonym": "p-" + "c" * 20}]) == []
    assert everything(home) == before
