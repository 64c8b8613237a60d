"""Labels of alarms: the newest holds, kept at once and for good, private, erased with their person, backed up."""

import json
import os
import signal
import sqlite3
import stat
import time

import naive
import pandas as pd
import pytest
from commands import Begun
from hypothesis import given
from hypothesis import strategies as st

from stability import backup
from stability.adaptation.alarm_labels import AlarmLabels
from stability.adaptation.labelled import chosen_alarms, current_labels, labelled
from stability.feedback.incidents import read_alarms
from stability.feedback.store import FeedbackStore
from stability.monitor.journal import Journal
from stability.records import privacy
from stability.schema import ContractError, empty, validate, write_table

BEGIN = pd.Timestamp("2026-01-01T12:00", tz="UTC")
ANNA = "Annabel Whitcombe"


def at(minutes):
    return BEGIN + pd.Timedelta(minutes=minutes)


def alarms(count=3, detector="novelty"):
    rows = [
        {"alarm_id": f"{detector}/web-{k}/{k}", "entity": f"web-{k}", "start": at(k), "end": at(k + 5),
         "detector": detector, "metrics": "errors_total,load", "score": 5.0 + k, "threshold": 4.0}
        for k in range(count)
    ]  # fmt: skip
    return validate(pd.DataFrame(rows), "alarms")


@pytest.fixture
def labels(workbench, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    return AlarmLabels()


def everything(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_the_newest_label_holds_and_what_holds_is_not_said_again(labels, tmp_path):
    path = write_table(alarms(), tmp_path / "alarms.parquet", "alarms")
    told = read_alarms(path)
    first = labels.label(told, "confirmed", names=["novelty/web-1/1"], reason="pager rang", by="anna")
    assert first[["entity", "start", "end", "detector", "metrics", "score", "threshold", "label"]].iloc[0].tolist() == [
        "web-1", at(1), at(6), "novelty", "errors_total,load", 6.0, 4.0, "confirmed",
    ]  # fmt: skip
    assert labels.label(told, "confirmed", names=["novelty/web-1/1"], reason="pager rang", by="anna").empty
    assert len(labels.label(told, "discarded", by="anna")) == 3
    path.unlink()  # the night is pruned
    holds = AlarmLabels().current()
    assert holds["label"].tolist() == ["discarded"] * 3
    assert holds["score"].tolist() == [5.0, 6.0, 7.0]
    assert len(labels.frame()) == 4
    beside = labelled(alarms(4), labels.frame())
    assert beside["label"].fillna("").tolist() == ["discarded"] * 3 + [""]


def test_a_label_of_an_alarm_that_is_not_there_is_refused(labels):
    with pytest.raises(ContractError, match="did you mean 'novelty/web-1/1'"):
        labels.label(alarms(), "confirmed", names=["novelty/web-0/0", "novelty/web-1/11"])
    with pytest.raises(ContractError, match="did you mean 'discarded'"):
        labels.label(alarms(), "discard")
    with pytest.raises(ContractError, match="at most 2,000 characters"):
        labels.label(alarms(), "confirmed", reason="x" * 2001)
    with pytest.raises(ContractError, match="'detector'"):
        labels.label(alarms().assign(detector=None), "confirmed")
    assert labels.label(alarms(), "confirmed", names=[]).empty
    assert labels.frame().empty


def test_alarms_are_chosen_by_what_they_have_in_common():
    both = pd.concat([alarms(), alarms(2, "random")])
    assert len(chosen_alarms(both, detector="random")) == 2
    assert chosen_alarms(both, entity="web-1", detector="novelty")["alarm_id"].tolist() == ["novelty/web-1/1"]
    within = chosen_alarms(both, between=(str(at(1)), "2026-01-01 12:02"))
    assert within["entity"].tolist() == ["web-1", "web-2", "web-1"]
    for asked, said in (
        ({"entity": "web-11"}, "did you mean 'web-1'"),
        ({"between": ("soon", "later")}, "a moment, 2026"),
        ({"between": ("2026-02-01", "2026-01-01")}, "a moment from 2026-02-01"),
    ):
        with pytest.raises(ContractError, match=said):
            chosen_alarms(both, **asked)


def test_firings_csv_files_and_watches_are_labelled_too(labels, tmp_path):
    fired = pd.DataFrame({"rule": ["Errors", "All"], "entity": ["web-1", ""], "start": [at(0), at(1)], "value": 1.0})
    told = read_alarms(write_table(fired.assign(end=at(3)), tmp_path / "firings.parquet", "other"))
    assert len(labels.label(told, "discarded")) == 2
    assert labels.label(told, "discarded").empty
    assert labels.current()["entity"].isna().tolist() == [False, True]
    assert labelled(told, labels.frame())["label"].tolist() == ["discarded"] * 2
    alarms().reset_index().to_csv(tmp_path / "alarms.csv", index=False)
    assert labels.label(read_alarms(tmp_path / "alarms.csv"), "confirmed")["score"].tolist() == [5.0, 6.0, 7.0]
    journal = Journal(tmp_path / "watch" / "journal")
    alarm = {
        "entity": "db-1",
        "detector": "rule:E",
        "metrics": "m",
        "score": 2.5,
        "threshold": 1.0,
        "start": str(at(9)),
    }
    told = {"alarm_id": "a", "alarm": alarm, "members": ["web-1", "db-1"]}
    journal.once("incident/a", int(at(9).timestamp() * 1e6), kind="incident", **told)
    said = labels.label(read_alarms(tmp_path / "watch"), "unsure")
    assert said[["entity", "score"]].to_numpy().tolist() == [["db-1", 2.5]], (
        "an incident is one alarm, not one a member"
    )


def test_undo_is_a_newer_label(labels):
    nothing = labelled(alarms(), labels.frame())
    assert labels.restore(nothing).empty
    labels.label(alarms(2), "confirmed", reason="pager rang")
    before = labelled(alarms(), labels.frame())
    labels.label(alarms(), "discarded")
    assert len(labels.restore(before)) == 3
    held = ["alarm_id", "label", "reason"]
    pd.testing.assert_frame_equal(labelled(alarms(), labels.frame())[held], before[held])
    assert labels.current()["label"].tolist() == ["confirmed", "confirmed", "unsure"]
    assert len(labels.restore(nothing)) == 2
    assert labelled(alarms(), labels.frame())["label"].isna().all(), "they wait for labels again"
    assert len(labels.frame()) == 10, "nothing is taken out"


def test_a_reason_in_the_words_of_an_undo_is_a_reason(labels):
    assert len(labels.label(alarms(1), "confirmed", reason="taken back")) == 1
    assert labelled(alarms(1), labels.frame())["label"].tolist() == ["confirmed"]


def test_what_is_said_last_holds_though_the_clock_was_set_back(labels, tmp_path):
    labels.label(alarms(1), "confirmed")
    ahead = labels.frame().reset_index().assign(label="discarded", label_id="x")
    ahead["labelled_at"] = pd.Timestamp.now("UTC") + pd.Timedelta("2min")
    write_table(ahead, tmp_path / "x.parquet", "alarm_labels")
    labels.import_(tmp_path / "x.parquet")
    labels.label(alarms(1), "unsure")
    assert labels.current()["label"].tolist() == ["unsure"]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([None, "e"]), st.integers(0, 1), st.integers(0, 2)), max_size=8
    )
)
def test_current_labels_are_those_of_the_naive_twin(rows):
    said = [
        {"label_id": f"l{k}", "detector": d, "entity": e, "start": at(s), "label": "unsure", "labelled_by": "p",
         "labelled_at": at(t)}
        for k, (d, e, s, t) in enumerate(rows)
    ]  # fmt: skip
    frame = validate(pd.DataFrame(said), "alarm_labels") if said else empty("alarm_labels")
    assert set(current_labels(frame).index) == naive.newest_labels(said)


def test_nobody_else_reads_them_and_no_name_stands_in_them(labels, workbench):
    reason = f"{ANNA} saw it, call +44 20 7946 0958 or mail anna@home.example"
    labels.label(alarms(), "confirmed", reason=reason, by=ANNA)
    row = labels.frame().iloc[0]
    assert privacy.is_pseudonym(row["labelled_by"])
    assert row["reason"] == "[name] saw it, call [phone] or mail [email]"
    kept = everything(workbench.folder).lower()
    assert not any(word in kept for word in (b"whitcombe", b"7946", b"home.example"))
    assert stat.S_IMODE(labels.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(labels.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(FeedbackStore(workbench.folder / "other").folder.stat().st_mode) == 0o700, "whoever makes it"
    labels.label(alarms(), "unsure", reason="\0 a half \ud800", by="a half \udc80")
    assert labels.current()["reason"].iloc[0] == "a half ?"


def test_a_person_is_erased_and_old_labels_expire(labels, workbench):
    labels.label(alarms(1), "confirmed", reason="unhappy words", by=ANNA)
    labels.label(alarms(2), "discarded", reason=f"{ANNA} was wrong", by="ben")
    assert privacy.erase(ANNA, dry_run=True).changed == [("runs/feedback/alarm_labels.sqlite", 1)]
    assert b"unhappy" in everything(workbench.folder)
    assert privacy.erase(ANNA).changed == [("runs/feedback/alarm_labels.sqlite", 1)]
    assert b"unhappy" not in everything(workbench.folder)
    frame = labels.frame()
    assert frame["label"].tolist() == ["confirmed", "discarded", "discarded"], "numbers stay"
    assert frame["reason"].str.contains("words").sum() == 0
    labels.label(alarms(3), "confirmed", by=ANNA)
    assert labels.frame()["labelled_by"].iloc[-1] != frame["labelled_by"].iloc[0], "nobody can tell that these are one"
    privacy.expire("1s", tables=["feedback"])
    assert len(labels.frame()) == 6
    time.sleep(1.1)
    assert privacy.expire("1s", tables=["alarm_labels"]).changed == [("runs/feedback/alarm_labels.sqlite", 6)]
    assert labels.frame().empty


def test_labels_are_in_a_backup_and_an_erasure_outlives_it(labels, workbench, tmp_path):
    labels.label(alarms(2), "discarded", reason="unhappy words", by=ANNA)
    done = backup.create(kind="archive")
    assert done.manifest.rows["runs/feedback/alarm_labels.sqlite"] == {"alarm_labels": 2}
    time.sleep(1.1)  # moments of erasures are whole seconds
    gone = privacy.erase(ANNA)
    restored = backup.restore(into=tmp_path / "new")
    assert restored.erased == [gone.pseudonym]
    there = AlarmLabels(tmp_path / "new" / "runs" / "feedback")
    assert there.current()["label"].tolist() == ["discarded"] * 2
    assert there.current()["reason"].tolist() == ["[erased]"] * 2


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_labels_made_elsewhere_come_in_once(labels, tmp_path, name):
    labels.label(alarms(), "confirmed", reason="a, b", by=ANNA)
    assert labels.export(tmp_path / name) == 3
    other = AlarmLabels(tmp_path / "other")
    assert other.import_(tmp_path / name) == {"new": 3, "known": 0}
    assert other.import_(tmp_path / name) == {"new": 0, "known": 3}
    pd.testing.assert_frame_equal(other.frame().sort_index(), labels.frame().sort_index())


def test_labels_of_a_file_are_checked_before_one_is_kept(labels, tmp_path):
    path = tmp_path / "labels.csv"
    head = "entity,start,detector,label,reason,labelled_by,labelled_at\n"

    def refused(text):
        path.write_text(text)
        with pytest.raises(ContractError) as caught:
            labels.import_(path)
        return str(caught.value)

    good = f"web-1,2026-01-01T12:00Z,novelty,discarded,{ANNA} says so,{ANNA},2026-01-02T00:00Z\n"
    assert "one of confirmed, discarded, unsure, got 'false'" in refused(head + good.replace("discarded", "false"))
    assert "a moment that has been, got 2999" in refused(head + good.replace("2026-01-02", "2999-01-02"))
    assert "'labelled_by'" in refused(head.replace("labelled_by", "who") + good)
    assert "a CSV file" in refused("")
    with pytest.raises(ContractError, match=r"labels\.txt"):
        labels.export(tmp_path / "labels.txt")
    with pytest.raises(ContractError, match="no file"):
        labels.import_(tmp_path / "none.csv")
    assert labels.frame().empty
    path.write_text(head + good)
    assert labels.import_(path) == {"new": 1, "known": 0}
    assert labels.import_(path) == {"new": 0, "known": 1}
    row = labels.frame().iloc[0]
    assert row["reason"] == "[name] says so"
    labels.export(path)
    assert "discarded as this store has it" in refused(path.read_text().replace("discarded", "confirmed"))


WRITER = """
import sys
import pandas as pd
from stability.adaptation.alarm_labels import AlarmLabels
labels = AlarmLabels(sys.argv[1])
start = pd.Timestamp("2026-01-01T12:00Z")
with open(sys.argv[4], "w") as said:
    for k in range(int(sys.argv[3])):
        one = {"alarm_id": ["a"], "entity": [f"{sys.argv[2]}-{k}"], "start": [start], "detector": ["novelty"]}
        labels.label(pd.DataFrame(one), "discarded", by=sys.argv[2])
        print(k, file=said, flush=True)
"""


def test_two_writers_wait_for_each_other_and_a_killed_one_loses_no_label(labels, tmp_path):
    def writer(who, count):
        (tmp_path / who).touch()
        return Begun(tmp_path, "-c", WRITER, str(labels.folder), who, str(count), str(tmp_path / who), **os.environ)

    def said(who):
        return len((tmp_path / who).read_text().split("\n")) - 1

    steady, doomed = writer("steady", 20), writer("doomed", 100_000)
    while not said("steady") or not said("doomed"):
        assert doomed.poll() is None, doomed.communicate()
        time.sleep(0.01)
    assert (steady.communicate(), steady.returncode) == (("", ""), 0)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    last = said("doomed") - 1
    there = set(labels.frame()["entity"])
    assert {f"steady-{k}" for k in range(20)} | {f"doomed-{k}" for k in range(last + 1)} <= there
    assert len(there) <= 20 + last + 2, "and no label but the one that was being written"
    with sqlite3.connect(labels.path) as store:
        assert json.dumps(store.execute("pragma integrity_check").fetchall()) == '[["ok"]]'
    store.close()
