"""Messages to people: over a real server, once in a while, and again where nobody took them."""

import json

import pytest
from repairing import NOW, Supervisor, at

from stability.remediation.history import History
from stability.remediation.record import Record
from stability.remediation.telling import tell
from stability.workbench import notification


@pytest.fixture
def supervisor(monkeypatch):
    made = Supervisor()
    monkeypatch.setenv(notification.ADDRESSES, f"json://{made.url.removeprefix('http://')}/s3cret")
    yield made
    made.close()


def say(record, key="a", seconds=0, **more):
    history = History().read(record.entries())
    return tell(record, history, notification.send, key, "title", "text", at(seconds), quiet=100, **more)


def test_the_same_is_said_once_until_it_has_been_quiet_also_after_a_restart(tmp_path, supervisor):
    path = tmp_path / "record.jsonl"
    said = [say(Record(path), seconds=seconds) for seconds in (0, 1, 99, 101, 150, -50)]
    assert said == [True, False, False, True, False, True]
    assert say(Record(path), key="b", bad=True)
    sent = [json.loads(body) for body in supervisor.bodies]
    assert [one["type"] for one in sent] == ["success"] * 3 + ["failure"]
    assert sent[0]["message"] == "text"


def test_what_was_not_taken_is_kept_without_its_address(tmp_path, supervisor, monkeypatch):
    monkeypatch.setattr(notification, "PAUSE", 0.01)
    supervisor.status = 500
    record = Record(tmp_path / "record.jsonl")
    assert not say(record)
    history = History().read(record.entries())
    at_first, facts = history.untold["a"]
    assert (at_first, facts["title"], facts["text"], facts["bad"]) == (NOW, "title", "text", False)
    assert b"s3cret" not in record.path.read_bytes()
    supervisor.status = 200
    assert say(record, seconds=1)
    assert History().read(record.entries()).untold == {}


def test_without_an_address_nothing_is_said_or_kept(tmp_path):
    record = Record(tmp_path / "record.jsonl")
    assert not tell(record, History(), None, "a", "title", "text", NOW)
    assert record.entries() == []
