"""`stability feedback ...` from a terminal: judged, taken in, listed, routed, in a workbench of its own."""

import json
import os
from pathlib import Path

import pytest
from commands import stability as run

from stability.feedback import model


def stability(*arguments):
    """Run a verb in the environment of the test."""
    return run(Path.cwd(), *map(str, arguments), **os.environ)


@pytest.fixture
def small(workbench, monkeypatch):
    """A model of a few messages: the whole set takes longer to learn than the verbs take to run."""
    from stability.feedback import FeedbackClassifier, read_development

    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    part = read_development().iloc[::24]
    learnt = FeedbackClassifier().fit(part["text"], part["category"], part["urgency"])
    learnt.save(model.model_folder())
    return workbench.folder


def test_a_labelled_set_is_judged(small, tmp_path):
    path = tmp_path / "set.csv"
    rows = [
        '"Call Eleanor Whitcombe",en,other,low,"[[5, 22, ""name""]]"',
        '"the qzxv is slow",en,latency,normal,"[[4, 8, ""name""]]"',
    ]
    path.write_text("text,language,category,urgency,spans\n" + "\n".join(rows) + "\n")
    done = stability("feedback", "evaluate", path)
    assert done.returncode == 0, done.stderr
    assert "feedback.pii_recall " in done.stdout
    assert "row 2, name, [4, 8), 0%" in done.stdout
    assert not {"qzxv", "Whitcombe"} & set(done.stdout.split())
    path.write_text("text,language,category,urgency,spans\nx,en,bills,low,\n")
    refused = stability("feedback", "evaluate", path)
    assert refused.returncode == 2
    assert "row 1, column 'category'" in refused.stderr


def test_messages_are_taken_in_listed_and_routed(small, tmp_path):
    path = tmp_path / "said.jsonl"
    path.write_text('{"text": "I was charged twice, refund me. Eleanor Whitcombe", "user": "e@home.example"}\n')
    assert "1 new, 0 known already, 0 waiting" in stability("feedback", "import", path).stdout
    assert "0 new, 1 known already" in stability("feedback", "import", path).stdout
    listed = json.loads(stability("feedback", "list", "--json").stdout)
    assert [row["text"] for row in listed] == ["I was charged twice, refund me. [name]"]
    assert listed[0]["user"].startswith("p-")
    assert "charged twice" in stability("feedback", "list").stdout
    assert stability("feedback", "list", "--category", "bils").returncode == 2
    assert "1 routed, 0 overdue" in stability("feedback", "route").stdout
    assert stability("feedback", "import", tmp_path / "none").returncode == 2
    path.write_text('{"text": "slow \\u001b[2J again", "user": "f@home.example"}\n')
    stability("feedback", "import", path)
    shown = stability("feedback", "list").stdout
    assert "again" in shown
    assert "\x1b" not in shown  # nobody else moves the cursor of who reads
