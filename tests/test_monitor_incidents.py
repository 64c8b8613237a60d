"""Incidents whose entry the disk does not take, or that cannot be looked into: people hear of them all the same."""

import contextlib

import pytest
from test_monitor_looks import begun, quiet_then, telling, watched
from watching import journal, record

from stability.monitor.journal import Journal, JournalError
from stability.remediation import read_playbooks

__all__ = ["telling"]
KINDS = ("alarm", "alarm_over", "incident", "look", "acted", "verdict", "incident_over")


@pytest.fixture
def grudging(monkeypatch):
    """Journals that take each entry only when it is told a second time."""
    refused, write = set(), Journal.write

    def grudges(self, lines, *, sure=True):
        for line in lines:
            key = (self.folder, line.get("key"))
            if "key" in line and "grudging" in str(self.folder) and key not in refused:
                refused.add(key)
                raise JournalError(28, "No space left on device", str(self.path))
        write(self, lines, sure=sure)

    monkeypatch.setattr(Journal, "write", grudges)
    return refused


@pytest.mark.parametrize("service", ["shop", None])
def test_what_the_disk_takes_at_the_second_try_is_what_it_takes_at_the_first(
    supervisor, telling, tmp_path, grudging, service
):
    answers, asked = telling
    answers += [(None, None, 0.8), ("web-0", "unknown", 0.8), ("web-0", "cpu_saturation", 0.9)]
    looks = {"settle": 0, "clear": "30s", "service": service}
    told, metrics, rows = quiet_then(supervisor, tmp_path, **looks)
    for one in rows[20:]:
        one.values[0, 0] = 0.5
    watched(told, metrics, rows, tmp_path / "plain")
    number = len(asked)
    asked.clear()
    watch = begun(told, metrics, rows, tmp_path / "grudging")
    for one in rows:
        while watch.moment < one.moment:  # what follows from rows that were taken is told before the next ones are
            with contextlib.suppress(JournalError):
                watch.take(one)
    done = []
    while not done:
        with contextlib.suppress(JournalError):
            done.append(watch.close())
    assert len(asked) == number
    assert len(grudging) > 5
    entries = [journal(tmp_path / name, *KINDS) for name in ("plain", "grudging")]
    assert [one["key"] for one in entries[1]] == [one["key"] for one in entries[0]]
    assert {one["kind"] for one in entries[0]} >= {"alarm", "alarm_over", "incident", "look", "acted", "verdict"}
    for one, other in zip(*entries, strict=True):
        if one["kind"] in ("incident", "look"):
            assert [text for _, text in other["timeline"]] == [text for _, text in one["timeline"]]
            assert all(other[name] == one[name] for name in ("looks", "members", "decided"))
    assert len(supervisor.done) == 2  # once in each
    assert not journal(tmp_path / "grudging", "error")


def cannot_be_looked_into(supervisor, folder, **looks):
    """As `quiet_then`, with a table beside the metrics that is none, for which playbooks ask, too."""
    told, metrics, rows = quiet_then(supervisor, folder, **looks)
    assert any(one.conditions.changed for one in read_playbooks(told.place(told.repair.playbooks)))
    (folder / "logs.parquet").write_bytes(b"no table")
    return told.model_copy(update={"beside": {"logs": str(folder / "logs.parquet")}}), metrics, rows


@pytest.mark.parametrize("service", ["shop", None])
def test_people_are_called_about_what_cannot_be_looked_into(supervisor, tmp_path, service):
    told, metrics, rows = cannot_be_looked_into(supervisor, tmp_path, settle="30s", service=service)
    watched(told, metrics, rows, tmp_path / "state")
    (first,) = journal(tmp_path / "state", "incident")
    assert (tmp_path / "state" / "reports" / first["page"]).is_file()
    assert "could not be looked into: ContractError" in first["answer"]
    assert [one["failure_mode"] for one in first["looks"]] == ["unknown"]
    decided = [line["facts"]["decision"] for line in record(tmp_path / "state") if line["kind"] == "decision"]
    assert [one["kind"] for one in decided[:2]] == ["nothing", "escalate"]
    assert "has not become known within 30s" in decided[1]["because"]
    assert [line for line in record(tmp_path / "state") if line["kind"] in ("told", "not_told")]
    assert supervisor.done == []
    assert {line["what"] for line in journal(tmp_path / "state", "error")} == {"look"}


def test_what_could_not_be_looked_into_at_first_is_known_by_a_later_look(supervisor, tmp_path):
    told, metrics, rows = cannot_be_looked_into(supervisor, tmp_path, settle="5min")
    watch = begun(told, metrics, rows, tmp_path / "state")
    for one in rows:
        watch.take(one)
        if journal(tmp_path / "state", "incident"):
            (tmp_path / "logs.parquet").unlink(missing_ok=True)
    watch.close()
    first, *rest = journal(tmp_path / "state", "incident", "look")[-1]["looks"]
    assert first["failure_mode"] == "unknown"
    assert rest
    assert not any("could not be looked into" in one["answer"] for one in rest)
    assert len(journal(tmp_path / "state", "error")) == 1


def test_a_decision_that_fails_loses_no_incident(supervisor, telling, tmp_path):
    answers, _ = telling
    answers += [("web-0", "cpu_saturation", 0.9)]
    told, metrics, rows = quiet_then(supervisor, tmp_path)
    watch = begun(told, metrics, rows, tmp_path / "state")

    def broken(*_, **__):
        raise ValueError("no decision")

    watch.incidents.repair.decide = broken
    for one in rows[:8]:
        watch.take(one)
    watch.close()
    (line,) = journal(tmp_path / "state", "incident")
    assert (tmp_path / "state" / "reports" / line["page"]).is_file()
    assert journal(tmp_path / "state", "error")[0]["what"] == "decision"
