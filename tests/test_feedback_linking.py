"""Links of messages to alarms: read from whoever raised them, written once, and what severity makes of them."""

import math

import numpy as np
import pandas as pd
import pytest

from stability import fmea
from stability.feedback.incidents import read_alarms, read_verdicts
from stability.feedback.linking import link_messages, link_store, linked_complaints
from stability.feedback.store import FeedbackStore
from stability.monitor.journal import Journal
from stability.remediation.record import Record
from stability.schema import ContractError, write_table

BEGIN = pd.Timestamp("2026-01-01T12:00", tz="UTC")


def at(minutes):
    return BEGIN + pd.Timedelta(minutes=minutes)


def alarms(*rows):
    frame = pd.DataFrame(rows, columns=["alarm_id", "entity", "start", "end"])
    return frame.assign(metrics="http_server_errors_total", detector="rule", end=pd.to_datetime(frame["end"], utc=True))


def said(name, minutes, text="it is down", category="availability", entity=None):
    row = {"feedback_id": name, "timestamp": at(minutes), "text": text, "category": category, "entity": entity}
    return pd.DataFrame([row])


@pytest.fixture
def store(tmp_path):
    made = FeedbackStore(tmp_path / "store")
    for name, minutes, text, category in (
        ("f1", 5, "web-1 is down", "availability"),
        ("f2", 6, "i want a refund", "billing"),
        ("f3", 7, "web-1 gives errors", "availability"),
    ):
        stamp = at(minutes).isoformat()
        made.put({"feedback_id": name, "timestamp": stamp, "received_at": stamp, "channel": "mail", "text": text,
                  "category": category, "urgency": "normal", "sure": 1.0})  # fmt: skip
    return made


def test_links_are_written_once_and_go_when_their_alarm_does_not_fit_any_longer(store):
    written = link_store(store, alarms(("a", "web-1", at(0), None)))
    assert written.loc[written["alarm_id"].notna(), "feedback_id"].tolist() == ["f1", "f3"]
    frame = store.frame().set_index("feedback_id")
    assert frame["alarm_id"].fillna("").tolist() == ["a", "", "a"]
    assert (frame.loc[["f1", "f3"], "alarm_probability"] > 0.9).all()
    assert link_store(store, alarms(("a", "web-1", at(0), None))).empty
    moved = link_store(store, alarms(("a", "web-1", at(6.5), None), ("b", "mail-1", at(0), None)))
    assert set(moved["feedback_id"]) <= {"f1", "f2", "f3"}
    gone = link_store(store, alarms(("a", "mail-1", at(-500), at(-490))))
    assert gone["alarm_id"].isna().all()
    assert store.frame()["alarm_id"].isna().all()


def test_a_link_to_another_alarm_stays_unless_one_is_likelier(store):
    store.drain()
    store.update("f1", alarm_id="old", alarm_probability=0.6)
    store.update("f3", alarm_id="old", alarm_probability=0.999)
    link_store(store, alarms(("new", "web-1", at(0), None)))
    assert store.frame().set_index("feedback_id")["alarm_id"].fillna("").tolist() == ["new", "", "old"]


def test_an_incident_of_several_entities_is_one_candidate():
    one = alarms(("a", "web-1", at(0), None))
    both = alarms(("a", "web-1", at(0), None), ("a", "db-1", at(0), None))
    for entity in ("web-1", "db-1"):
        message = said("f", 3, text=f"{entity} is down")
        linked = link_messages(message, both).iloc[0]
        assert (linked["alarm_id"], linked["entity"]) == ("a", entity)
    alone = link_messages(said("f", 3, text="web-1 is down"), one).iloc[0]
    together = link_messages(said("f", 3, text="web-1 is down"), both).iloc[0]
    assert alone["probability"] == together["probability"]


def test_habits_of_writing_set_how_late_a_message_may_come():
    raised = alarms(("a", "web-1", at(0), at(1)))
    late = said("f", 20, text="it was down")
    assert link_messages(late, raised).iloc[0]["alarm_id"] == "a"
    assert pd.isna(link_messages(late, raised, after=60.0).iloc[0]["alarm_id"])
    early = said("f", -4, text="web-1 is down")
    assert link_messages(early, raised).iloc[0]["alarm_id"] == "a"
    assert pd.isna(link_messages(early, raised, before=60.0).iloc[0]["alarm_id"])
    for wrong in ({"after": 0.0}, {"before": -1.0}, {"after": math.nan}):
        with pytest.raises(ContractError, match="more than 0 s"):
            link_messages(late, raised, **wrong)


def test_complaints_by_their_links_are_what_severity_takes():
    incidents = pd.DataFrame({"start": [at(0), at(60)], "impact_start": [at(0), at(60)], "detected_at": [at(1), at(61)],
                              "recovered_at": [at(5), at(65)], "end": [at(5), at(65)]}, index=["i1", "i2"])  # fmt: skip
    stamps = pd.date_range(BEGIN, at(120), freq="min", name="timestamp")
    bad = (stamps < at(6)) | ((stamps >= at(60)) & (stamps < at(66)))
    service = pd.DataFrame({"good": np.where(bad, 500.0, 1000.0), "total": 1000.0}, index=stamps)
    feedback = pd.DataFrame(
        {"feedback_id": [f"f{k}" for k in range(40)], "category": ["availability"] * 39 + ["praise"]}
    )
    links = feedback[["feedback_id"]].assign(alarm_id="x1", probability=0.9)
    counted = linked_complaints(feedback, links, incidents.index, of={"x1": "i1"})
    assert counted.round(6).tolist() == [35.1, 0.0]
    assert linked_complaints(feedback, links, incidents.index).tolist() == [0.0, 0.0], "alarms of no incident"
    impacts = fmea.impacts_of(incidents, service, objective=0.5).assign(complaints=counted)
    rated = fmea.severity(impacts, pd.Series(["crash", "leak"], index=incidents.index))
    assert rated.loc["crash", "complaints"] == pytest.approx(35.1 / 6)
    assert rated.loc["crash", "severity"] >= rated.loc["leak", "severity"]
    assert rated.loc["crash", "complaints_lo"] > rated.loc["leak", "complaints_hi"]


def test_alarms_of_a_night_and_firings_of_its_rules(tmp_path):
    table = alarms(("a", "web-1", at(0), at(2)), ("b", "web-1", at(1), None)).assign(suppressed_by=[None, "a"])
    path = write_table(table.set_index("alarm_id"), tmp_path / "alarms.parquet", "alarms")
    found = read_alarms(path)
    assert found["alarm_id"].tolist() == ["a"]
    assert found["start"].iloc[0] == at(0)
    fired = pd.DataFrame({"rule": ["HighErrors"], "entity": ["web-1"], "start": [at(0)], "end": [pd.NaT], "value": 1.0})
    fired["end"] = pd.to_datetime(fired["end"], utc=True)
    other = read_alarms(write_table(fired, tmp_path / "firings.parquet", "other"))
    assert other[["entity", "metrics", "detector"]].iloc[0].tolist() == ["web-1", "HighErrors", "rule:HighErrors"]
    table.to_csv(tmp_path / "alarms.csv", index=False)
    pd.testing.assert_frame_equal(read_alarms(tmp_path / "alarms.csv"), found, check_dtype=False)


def microseconds(minutes):
    return int(at(minutes).timestamp() * 1e6)


def test_a_watch_tells_its_incidents_with_all_their_entities(tmp_path):
    journal = Journal(tmp_path / "watch" / "journal")
    raised = {"entity": "web-1", "detector": "rule:Errors", "metrics": "errors_total", "suppressed_by": ""}
    one = raised | {"alarm_id": "a", "start": at(0), "end": None}
    journal.once("alarm/a", microseconds(0), kind="alarm", **one)
    assert read_alarms(tmp_path / "watch")["alarm_id"].tolist() == ["a"], "alarms alone"
    inside = raised | {"start": microseconds(0), "end": None}
    journal.once("incident/a", microseconds(0), kind="incident", alarm_id="a", alarm=inside, members=[])
    journal.once("look/a/1", microseconds(1), kind="look", alarm_id="a", alarm=inside, members=["db-1", "web-1"])
    journal.once("over/a", microseconds(9), kind="incident_over", alarm_id="a", end=at(9).isoformat())
    journal.once("alarm/b", microseconds(3), kind="alarm", **one | {"alarm_id": "b", "entity": "db-1"})
    found = read_alarms(tmp_path / "watch")
    assert found[["alarm_id", "entity"]].to_numpy().tolist() == [["a", "web-1"], ["a", "db-1"]]
    assert (found["start"] == at(0)).all()
    assert (found["end"] == at(9)).all()


def test_the_last_thing_that_a_watch_did_has_the_verdict_or_none(tmp_path):
    journal = Journal(tmp_path / "watch" / "journal")

    def acted(action, alarm, minutes, touched=True):
        told = {"action_id": action, "alarm_id": alarm, "touched": touched, "ended": at(minutes).isoformat()}
        journal.once(f"acted/{action}", microseconds(minutes), kind="acted", **told)

    def judged(action, alarm, minutes, verdict):
        told = {"action_id": action, "alarm_id": alarm, "verdict": verdict, "at": at(minutes).isoformat()}
        journal.once(f"verdict/{action}", microseconds(minutes), kind="verdict", **told)

    acted("x1", "a", 1)
    judged("x1", "a", 3, "not_recovered")
    acted("x2", "a", 4)
    acted("x3", "b", 4, touched=False)
    acted("x4", "c", 4)
    judged("x4", "c", 6, "verified")
    found = read_verdicts(tmp_path / "watch").set_index("alarm_id")
    assert found["verdict"].to_dict() == {"a": "pending", "c": "verified"}
    judged("x2", "a", 9, "verified")
    found = read_verdicts(tmp_path / "watch").set_index("alarm_id")
    assert found["verdict"].to_dict() == {"a": "verified", "c": "verified"}
    assert found.loc["a", "at"] == at(9)


def test_a_repair_record_tells_verdicts_by_its_intents(tmp_path):
    record = Record(tmp_path / "repairs.jsonl")
    for name, alarm, verdict in (("x1", "a", "verified"), ("x2", "b", "inconclusive"), ("x3", "c", None)):
        record.append("intent", at(1), action_id=name, alarm_id=alarm, kind="step")
        if verdict:
            record.append("verdict", at(3), action_id=name, verdict=verdict, checks=[])
    record.append("rehearsal", at(5), action_id="x4", alarm_id="a", kind="step")
    found = read_verdicts(record.path).set_index("alarm_id")
    assert found["verdict"].to_dict() == {"a": "verified", "b": "inconclusive", "c": "pending"}
    record.append("intent", at(6), action_id="x5", alarm_id="a", kind="step")
    assert read_verdicts(record.path).set_index("alarm_id").loc["a", "verdict"] == "pending"
    with record.path.open("ab") as file:
        file.write(b'{"kind": "verdict", "facts": {"action_id": "x5", "verd')
    assert read_verdicts(record.path).set_index("alarm_id").loc["a", "verdict"] == "pending", "a line that is cut"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("none", None, "a table, a record"),
        ("empty", "", "the folder of a watch"),
        ("a.csv", "alarm_id,start\na,2026-01-01\n", "entity"),
        ("b.csv", "alarm_id,entity,start\na,web,soon\n", "moments"),
        ("c.csv", "", "a CSV file"),
        ("d.jsonl", "{]\n", "a line of JSON"),
        ("e.parquet", "no", "e.parquet"),
    ],
)
def test_what_holds_no_alarms_is_refused(tmp_path, name, content, what):
    if name == "empty":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ContractError, match=what):
        read_alarms(tmp_path / name)
