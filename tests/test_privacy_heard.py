"""An erasure and a retention reach what users said: the store, the spool, the quarantine and the addresses."""

import datetime as dt
import json
import os
import sqlite3
from pathlib import Path

import pytest
from commands import stability as run

from stability.feedback.contacts import Contacts
from stability.feedback.store import FeedbackStore
from stability.records import privacy
from stability.records.privacy import KeyStore
from stability.schema import ContractError

ANNA, BEN = "anna@home.example", "ben@home.example"
NOW = dt.datetime.now(dt.UTC)


def row(name, user, text, *, days=0, **more):
    stamp = (NOW - dt.timedelta(days=days)).isoformat()
    return {"feedback_id": name, "timestamp": stamp, "received_at": stamp, "channel": "mail", "user": user,
            "text": text, "category": "other", "urgency": "low", "sure": 1.0, **more}  # fmt: skip


@pytest.fixture
def heard(workbench, monkeypatch):
    """Anna wrote three times, once without her name, once while the store was locked; Ben wrote, and named her."""
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    keys = KeyStore()
    who = keys.pseudonyms([ANNA, BEN])
    store, contacts = FeedbackStore(), Contacts(keys=keys)
    said = [
        row("f1", who[ANNA], "my unhappy words", days=100, answer="dear unhappy"),
        row("f2", None, "more unhappy words"),
        row("f3", who[BEN], f"{ANNA} is right"),
        row("f4", who[BEN], "old words", days=100),
    ]
    store.put_all(said)
    store.drain()
    store.put(row("f5", who[ANNA], "unhappy and waiting"))
    contacts.remember_all(
        [
            ("f1", who[ANNA], "mail", f"mailto:{ANNA}?In-Reply-To=%3C1%40home.example%3E"),
            ("f2", None, "form", "Anna@home.example"),
            ("f3", who[BEN], "mail", BEN),
            ("f4", who[BEN], "mail", BEN),
            ("f5", who[ANNA], "mail", ANNA),
        ]
    )
    store.set_aside("a.mbox, mail 7", "it cannot be read", f"From: {ANNA}\n\nunhappy".encode())
    store.set_aside("a.mbox, mail 8", "it cannot be read", f"From: {BEN}\n\nfine".encode())
    return store, contacts, who


def stability(*arguments):
    return run(Path.cwd(), *arguments, **os.environ)


def everything(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_person_is_erased_from_the_command_line(heard, workbench):
    store, contacts, who = heard
    before = everything(workbench.folder)
    dry = stability("data", "erase", ANNA, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert everything(workbench.folder) == before
    done = stability("data", "erase", ANNA)
    assert done.returncode == 0, done.stderr
    for place in ("runs/feedback/feedback.sqlite: 3 rows", "spool/f5.json: 1 rows", "private/contacts.sqlite: 3 rows"):
        assert place in dry.stdout
        assert place in done.stdout
    left = everything(workbench.folder / "runs") + everything(workbench.folder / "private")
    assert b"unhappy" not in left
    assert ANNA.encode() not in left.lower()
    assert store.drain() == 1
    frame = store.frame().set_index("feedback_id")
    assert frame["text"].to_dict() == {
        "f1": "[erased]", "f2": "[erased]", "f3": "[erased] is right", "f4": "old words", "f5": "[erased]",
    }  # fmt: skip
    assert frame.loc["f1", "answer"] == "[erased]"
    assert frame.loc[["f1", "f2", "f5"], "user"].eq(who[ANNA]).all()
    assert contacts.find("f3") == ("mail", BEN)
    assert len(list(store.quarantine.iterdir())) == 1
    assert privacy.erasures()[0]["rows"] == 8
    assert list(store.folder.rglob("ERASED.json")) == [], "no note is taken for a message"


def test_by_the_pseudonym_alone_what_was_set_aside_is_found_by_the_address(heard, workbench):
    store, _, who = heard
    privacy.erase(who[ANNA])
    assert [path.read_bytes().rpartition(b"\n")[2] for path in store.quarantine.iterdir()] == [b"fine"]
    assert ANNA.encode() not in everything(workbench.folder / "private")


def test_retention_reaches_messages_and_their_addresses(heard):
    store, contacts, _ = heard
    old = store.quarantine / "old"
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    done = stability("data", "expire", "90d", "--tables", "feedback")
    assert "feedback.sqlite: 2 rows" in done.stdout, done.stderr
    assert sorted(store.frame()["feedback_id"]) == ["f2", "f3"]
    assert contacts.find("f4") is None
    assert contacts.find("f3") is not None
    assert not old.exists()
    assert store.waiting() == 1
    privacy.expire("1s", tables=["logs"])
    assert len(store.frame()) == 2
    for path in store.quarantine.iterdir():
        os.utime(path, (1e9, 1e9))
    privacy.expire("1s", tables=["feedback"])
    assert store.frame().empty
    assert store.waiting() == 0
    assert list(store.quarantine.iterdir()) == []


def test_an_erasure_that_cannot_reach_the_store_says_so_and_can_be_repeated(heard, monkeypatch):
    store, contacts, who = heard
    monkeypatch.setattr("stability.records.privacy.heard.WAIT", 0.1)
    locker = sqlite3.connect(store.path, isolation_level=None)
    locker.execute("begin exclusive")
    with pytest.raises(ContractError, match="can be changed"):
        privacy.erase(ANNA)
    locker.execute("rollback")
    locker.close()
    assert KeyStore().find(ANNA) == who[ANNA], "the key goes last"
    privacy.erase(ANNA)
    assert KeyStore().find(ANNA) is None
    assert contacts.find("f1") is None
    assert json.loads((store.spool / "f5.json").read_text())["text"] == "[erased]"
