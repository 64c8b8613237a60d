"""A watch tells those who wrote that it is over: after a verified verdict, once, beside its steps, not in rehearsal."""

import os
import shutil
import threading
from concurrent.futures import wait

import pandas as pd
import pytest
from commands import stability as run
from watching import declaration, fleet, repairing
from workbenches import CHECKOUT

from stability.feedback.answering import Answered
from stability.feedback.contacts import Contacts
from stability.feedback.delivery import Delivery
from stability.feedback.store import FeedbackStore
from stability.monitor.answers import Answers, tell_verified
from stability.monitor.declaration import FeedbackPart
from stability.monitor.journal import Journal, JournalError
from stability.monitor.step import Step
from stability.schema import ContractError, read_json_lines

NOW = pd.Timestamp.now("UTC").floor("s")
TEXT = "It works again."


def at(minutes):
    return NOW + pd.Timedelta(minutes=minutes)


def said(name, minutes, text="search-1 is down", category="availability"):
    stamp = at(minutes).isoformat()
    return {"feedback_id": name, "timestamp": stamp, "received_at": stamp, "channel": "mail", "text": text,
            "category": category, "urgency": "high", "sure": 1.0, "language": "en"}  # fmt: skip


@pytest.fixture
def incident(workbench, monkeypatch):
    """An incident of a watch, one who wrote of it, one who wrote afterwards; a way to give it a verdict."""
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    folder = workbench.folder / "runs" / "watch" / "fleet"
    journal = Journal(folder / "journal")
    raised = {"entity": "search-1", "detector": "rule:Errors", "metrics": "errors_total", "start": at(-30).isoformat()}
    told = {"alarm_id": "a", "alarm": raised, "members": []}
    journal.once("incident/a", int(at(-30).timestamp() * 1e6), kind="incident", **told)
    store, contacts = FeedbackStore(), Contacts()
    store.put_all([said("f1", -25), said("f2", -1), said("f3", -25, "where is my invoice?", "billing")])
    store.drain()
    for name in ("f1", "f2", "f3"):
        contacts.remember(name, None, "mail", f"mailto:{name}@home.example")

    def judged(verdict, minutes=-10, action="x1"):
        told = {"action_id": action, "alarm_id": "a", "verdict": verdict, "at": at(minutes).isoformat()}
        journal.once(f"verdict/{action}", int(at(minutes).timestamp() * 1e6), kind="verdict", **told)

    return folder, judged


class Post:
    """Keeps the letters that it is given."""

    def __init__(self):
        self.letters = []

    def __call__(self, letter):
        self.letters.append(letter)
        return Delivery("sent", "taken")


def test_who_wrote_before_a_verified_verdict_hears_of_it_once(incident):
    folder, judged = incident
    post = Post()
    assert tell_verified(folder, TEXT, senders={"mail": post}) == []
    judged("not_recovered")
    assert tell_verified(folder, TEXT, senders={"mail": post}) == []
    judged("verified", -5, "x2")
    rehearsed = tell_verified(folder, TEXT, senders={"mail": post}, dry_run=True)
    assert [(one.feedback_id, one.state) for one in rehearsed] == [("f1", "not sent")]
    assert post.letters == []
    assert [one.feedback_id for one in tell_verified(folder, TEXT, senders={"mail": post})] == ["f1"]
    assert tell_verified(folder, TEXT, senders={"mail": post}) == []
    assert [(one.feedback_id, one.text, one.automatic) for one in post.letters] == [("f1", TEXT, True)]


def test_nobody_hears_of_what_is_long_over(incident):
    folder, judged = incident
    judged("verified")
    post = Post()
    assert tell_verified(folder, TEXT, senders={"mail": post}, now=NOW + pd.Timedelta("2d")) == []
    assert post.letters == []


class Watch:
    """Keeps the notes that it is given."""

    def __init__(self):
        self.notes = []

    def note(self, kind, **told):
        self.notes.append((kind, told))


def step(*told):
    return Step(0, told=list(told))


VERIFIED = {"kind": "verdict", "verdict": "verified"}


def test_a_step_does_not_wait_and_what_came_of_it_is_written_down():
    watch, go, calls = Watch(), threading.Event(), []

    def tell():
        calls.append(1)
        go.wait()
        return [Answered("f1", "mail", "sent", ""), Answered("f2", "call", "to call", "")]

    answers = Answers(tell)
    answers.after(watch, step())  # what a killed watch may have left
    answers.after(watch, step(VERIFIED))
    answers.after(watch, step({"kind": "look"}))
    assert watch.notes == []
    go.set()
    answers.close(watch)
    assert len(calls) == 2, "the verdict came while the first look went on"
    assert watch.notes == [("answered", {"messages": ["f1", "f2"], "states": {"sent": 1, "to call": 1}})] * 2


def test_what_fails_is_told_and_tried_again(monkeypatch):
    monkeypatch.setattr("stability.monitor.answers.AGAIN", 0.0)
    watch, results = Watch(), [ContractError(expected="a store", got="a locked one"), []]

    def tell():
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    answers = Answers(tell)
    answers.after(watch, step())
    answers.close(watch)
    assert [kind for kind, _ in watch.notes] == ["answers_failed"]
    assert "expected a store, got a locked one" in watch.notes[0][1]["said"]
    assert results == []


def test_the_command_tells_as_declared_and_in_a_rehearsal_nobody(incident, workbench, tmp_path, supervisor):
    folder, judged = incident
    judged("verified")
    panel = fleet(entities=2, steps=180)
    shutil.copytree(CHECKOUT / "data" / "playbooks", workbench.folder / "data" / "playbooks")
    told = declaration(
        tmp_path, panel, **repairing(tmp_path, supervisor.url, panel, mode="dry-run") | {"worksheet": None}
    )
    told = told.model_copy(update={"feedback": FeedbackPart(fixed=TEXT), "serve": None, "detectors": []})
    (tmp_path / "fleet.yaml").write_text(told.model_dump_json(exclude_none=True, exclude={"name"}))
    done = run(tmp_path, "watch", str(tmp_path / "fleet.yaml"), "--once", "--plain", **os.environ)
    assert done.returncode == 0, done.stderr
    noted = [line for line in lines_of(folder) if line["kind"] == "answered"]
    assert [(line["messages"], line["states"]) for line in noted] == [(["f1"], {"not sent": 1})]
    assert FeedbackStore().frame()["answered_at"].isna().all()


def lines_of(folder):
    return [line for path in sorted((folder / "journal").glob("*.jsonl")) for line in read_json_lines(path)]


def test_the_declaration_says_what_is_told_and_nothing_without_it(tmp_path):
    assert declaration(tmp_path).feedback is None
    with pytest.raises(ValueError, match="expected repair with feedback"):
        declaration(tmp_path, feedback={"fixed": TEXT})
    with pytest.raises(ValueError, match="fixed"):
        FeedbackPart(fixed="")


def test_a_full_disk_stops_no_watch():
    class Full(Watch):
        def note(self, kind, **told):
            raise JournalError(28, "No space left on device")

    results = [ContractError(expected="a store", got="a full disk"), [Answered("f1", "mail", "sent", "")]]
    for result in results:

        def tell(result=result):
            if isinstance(result, Exception):
                raise result
            return result

        answers, watch = Answers(tell), Full()
        answers.after(watch, None)
        wait([answers.going])
        answers.after(watch, None)
        answers.close(watch)
