"""The record at a terminal: what waits is listed, checked and approved, by a real terminal where one is needed."""

import io
import json
import os
import pty
import subprocess
import sys

import pandas as pd
import pytest
from repairing import Supervisor, alarm, causes, repairer, state

from stability.monitor.declaration import FOLDER
from stability.monitor.repairs import APPROVALS
from stability.remediation import Decision, Record, ServiceState
from stability.remediation.__main__ import main
from stability.remediation.approval import KEY
from stability.schema import home

SECRET = "0123456789abcdef" * 2


@pytest.fixture
def waiting(tmp_path):
    """A repairer whose decision waits for a person, as of now."""
    supervisor = Supervisor()
    made = repairer(tmp_path, supervisor.url, mode="approved", key=SECRET.encode())
    now = pd.Timestamp.now("UTC")
    known = ServiceState(now, state().healthy, state().groups, True)
    told = dict(alarm()) | {"start": now}
    decision = made.decide(told, causes(("model-a", "memory_leak", 0.9)), now, known)
    yield made, decision, known, supervisor
    supervisor.close()


def decided(path, *, mode="approved", ago=0.0, valid=900.0):
    """A record with a decision that would do something, so many s old."""
    now = pd.Timestamp.now("UTC").as_unit("us") - pd.Timedelta(seconds=ago)
    decision = Decision.named(alarm_id="a1", at=now, kind="step", because="a leak", entity="model-a", playbook="p")
    record = Record(path)
    record.append("decision", now, decision=decision.facts(), mode=mode, valid=valid)
    return record, decision


def approving(made, decision, folder):
    return ["approve", str(made.record.path), decision.decision_id, "--by", "ann", "--to", str(folder)]


def typed(made, decision, text, folder):
    """Approve at a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stability.remediation", *approving(made, decision, folder)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {KEY: SECRET, "PYTHONPATH": str(home())},
    )
    os.write(ours, text.encode())
    _, said = process.communicate()
    os.close(ours)
    os.close(theirs)
    return process.returncode, said.decode()


@pytest.mark.parametrize("text", ["yes\n", "\n"])
def test_what_is_typed_otherwise_lets_nothing_happen(waiting, tmp_path, monkeypatch, capsys, text):
    made, decision, _, supervisor = waiting
    ours, theirs = pty.openpty()
    monkeypatch.setenv(KEY, SECRET)
    with os.fdopen(ours, "wb", buffering=0) as keys, os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        keys.write(text.encode())
        assert main(approving(made, decision, tmp_path / "approvals")) == 1
    assert "not approved" in capsys.readouterr().err
    assert not (tmp_path / "approvals").exists()
    assert supervisor.asked == []


def test_what_is_typed_at_a_terminal_lets_it_happen_once(waiting, tmp_path):
    made, decision, known, supervisor = waiting
    code, said = typed(made, decision, f"{decision.decision_id[:8]}\n", tmp_path / "approvals")
    assert (code, "restart-replica" in said) == (0, True)
    file = tmp_path / "approvals" / decision.decision_id
    assert file.stat().st_mode & 0o077 == 0
    now = pd.Timestamp.now("UTC")
    seen = ServiceState(now, known.healthy, known.groups, True)
    assert made.act(decision, now, seen, approval=file.read_text()).status == "done"
    assert supervisor.done == ["POST /processes/model-a/restart"]
    assert made.actions()["mode"].tolist() == ["approved"]


def test_what_waits_and_what_was_done_is_listed(waiting, capsys):
    made, decision, _, _ = waiting
    assert main(["list", str(made.record.path)]) == 0
    assert f"waits: {decision.decision_id} memory_leak on model-a" in capsys.readouterr().out
    assert main(["check", str(made.record.path)]) == 0
    assert "1 lines follow" in capsys.readouterr().out


def test_bad_input_is_told(waiting, capsys, monkeypatch, tmp_path):
    made, decision, _, _ = waiting
    path = str(made.record.path)
    monkeypatch.delenv(KEY, raising=False)
    assert main(["approve", path, decision.decision_id]) == 2
    monkeypatch.setenv(KEY, SECRET)
    assert main(["approve", path, decision.decision_id[:-1]]) == 2
    assert main(["list", str(tmp_path / "none")]) == 2
    told = capsys.readouterr().err
    for words in (f"a key in {KEY}", f"did you mean '{decision.decision_id}'", "a record of repairs"):
        assert words in told
    made.record.path.write_bytes(made.record.path.read_bytes().replace(b"model-a", b"model-b"))
    assert main(["check", path]) == 2
    assert "somebody changed it" in capsys.readouterr().err
    assert SECRET not in told


# ---- what is no record, or no longer one ----------------------------------------------------------------------------
@pytest.mark.parametrize("verb", ["check", "list"])
@pytest.mark.parametrize("text", [b"# A page\n\nof text\n", bytes(range(256)), b"", b'{"lines": 1}', b"[" * 100_000])
def test_a_file_that_is_none_is_no_record_and_gets_no_lock_beside_it(tmp_path, capsys, verb, text):
    (tmp_path / "README.md").write_bytes(text)
    assert main([verb, str(tmp_path / "README.md")]) == 2
    assert "expected a record of repairs, got a file without README.md.head beside it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_what_lies_beside_a_record_and_a_folder_are_none(tmp_path, capsys):
    record, _ = decided(tmp_path / "record.jsonl")
    for name, got in (("record.jsonl.head", "without"), ("record.jsonl.lock", "without"), (".", "a folder")):
        assert main(["check", str(tmp_path / name)]) == 2
        assert got in capsys.readouterr().err
    record.path.write_bytes(b"")
    record.head.write_text(json.dumps({"lines": 0, "hash": "0" * 64}))
    assert main(["check", str(record.path)]) == 2
    assert "no line of one" in capsys.readouterr().err


@pytest.mark.parametrize("more", [b"garbage line\nmore\n", b"half a li", b"\n", b"[" * 100_000 + b"\n"])
def test_what_is_added_at_the_end_is_told_and_the_writer_goes_on(tmp_path, capsys, more):
    record, _ = decided(tmp_path / "record.jsonl")
    with record.path.open("ab") as file:
        file.write(more)
    assert main(["check", str(record.path)]) == 2
    assert f"got {len(more):,} bytes after the last line that are none of its lines" in capsys.readouterr().err
    assert main(["list", str(record.path)]) == 0  # after a crash it can still be worked with
    Record(record.path).append("escalated", pd.Timestamp.now("UTC"), alarm_id="a1", why="", evidence={})
    assert main(["check", str(record.path)]) == 0


def test_a_line_that_the_head_does_not_know_is_told(tmp_path, capsys):
    record, _ = decided(tmp_path / "record.jsonl")
    head = record.head.read_bytes()
    record.append("escalated", pd.Timestamp.now("UTC"), alarm_id="a1", why="", evidence={})
    record.head.write_bytes(head)
    assert main(["check", str(record.path)]) == 2
    assert "row 2: expected nothing after the line that record.jsonl.head knows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("intent", {"action_id": "x"}),
        ("outcome", {"action_id": "nobody's"}),
        ("decision", {"decision": {"at": None, "impact_start": None, "options": ["x"]}}),
        ("decision", {"decision": 3}),
        ("told", {"key": ["no key"]}),
    ],
)
def test_facts_that_are_none_of_ours_are_told_with_their_row(tmp_path, capsys, kind, facts):
    record, _ = decided(tmp_path / "record.jsonl")
    record.append(kind, pd.Timestamp.now("UTC"), **facts)
    record.append("escalated", pd.Timestamp.now("UTC"), alarm_id="a1", why="", evidence={})
    for verb in ("check", "list"):
        assert main([verb, str(record.path)]) == 2
        assert f"record.jsonl, row 2: expected the facts of a line '{kind}'" in capsys.readouterr().err


# ---- what waits -----------------------------------------------------------------------------------------------------
def test_nobody_is_asked_about_a_dry_run(tmp_path, capsys, monkeypatch):
    record, decision = decided(tmp_path / "record.jsonl", mode="dry-run")
    assert main(["list", str(record.path)]) == 0
    assert decision.decision_id not in capsys.readouterr().out
    monkeypatch.setenv(KEY, SECRET)
    assert main(["approve", str(record.path), decision.decision_id, "--by", "ann"]) == 2
    assert "decision that waits" in capsys.readouterr().err


def test_what_is_too_old_is_shown_as_that_and_not_approved(tmp_path, capsys, monkeypatch):
    record, decision = decided(tmp_path / "record.jsonl", ago=30 * 86_400)
    assert main(["list", str(record.path)]) == 0
    assert f"expired: {decision.decision_id} a leak (decided 30 days 00:00:0" in capsys.readouterr().out
    monkeypatch.setenv(KEY, SECRET)
    assert main(["approve", str(record.path), decision.decision_id, "--by", "ann"]) == 2
    told = capsys.readouterr().err
    assert "a decision of the last 900 s, got decided 30 days" in told
    assert "the watch decides anew" in told


@pytest.mark.parametrize(("valid", "state"), [(3600.0, "waits"), (1199.0, "expired")])
def test_how_long_a_decision_holds_is_what_those_who_made_it_were_told(tmp_path, capsys, valid, state):
    record, decision = decided(tmp_path / "record.jsonl", ago=1200.0, valid=valid)
    assert main(["list", str(record.path)]) == 0
    assert f"{state}: {decision.decision_id}" in capsys.readouterr().out


@pytest.mark.parametrize("by", ["", "  ", "a" * 101])
def test_a_name_that_is_none_is_refused_before_anybody_types(tmp_path, capsys, monkeypatch, by):
    record, decision = decided(tmp_path / "record.jsonl")
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr("stability.remediation.__main__.ask_on_terminal", None)
    assert main(["approve", str(record.path), decision.decision_id, "--by", by]) == 2
    assert "the name of who approves, in up to 100 characters" in capsys.readouterr().err


@pytest.mark.parametrize("stdin", [None, io.StringIO("yes")])
def test_without_a_terminal_it_is_said_why_nothing_was_approved(tmp_path, capsys, monkeypatch, stdin):
    record, decision = decided(tmp_path / "record.jsonl")
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["approve", str(record.path), decision.decision_id, "--by", "ann"]) == 1
    assert "not approved: standard input is no terminal" in capsys.readouterr().err


def test_the_page_says_what_a_watch_writes_and_reads():
    page = (home() / "docs" / "repair.md").read_text()
    folder = "runs/watch/NAME"
    record, tokens = f"{folder}/repairs.jsonl", f"{folder}/{APPROVALS}"
    assert (home() / FOLDER / "NAME").relative_to(home()).as_posix() == folder
    for command in (f"list {record}", f"check {record}", f"approve {record} DECISION --by ANN --to {tokens}"):
        assert f"python -m stability.remediation {command}\n" in page
