"""The record at a terminal: what waits is listed, checked and approved, by a real terminal where one is needed."""

import os
import pty
import subprocess
import sys

import pandas as pd
import pytest
from repairing import Supervisor, alarm, causes, repairer, state

from stability.remediation import ServiceState
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
