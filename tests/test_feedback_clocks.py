"""Groups, links, clocks: near-duplicates together, alarms with their messages, nobody forgotten."""

import datetime as dt
import sqlite3

import naive
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from stability.feedback.clocks import APART, SERVICE_TIMES, due, escalate, regroup, route
from stability.feedback.development import read_development
from stability.feedback.grouping import group_messages
from stability.feedback.linking import link_messages
from stability.feedback.store import FeedbackStore, printable
from stability.schema import ContractError

NOW = dt.datetime(2026, 1, 1, 12, 0, tzinfo=dt.UTC)


@pytest.fixture
def store(tmp_path):
    made = FeedbackStore(tmp_path)
    for k, (text, category, urgency) in enumerate(
        [
            ("Search is down again!", "availability", "high"),
            ("search is down again", "availability", "normal"),
            ("please refund my invoice", "billing", "normal"),
            ("add a dark mode", "usability", "low"),
        ]
    ):
        stamp = (NOW + dt.timedelta(minutes=k)).isoformat()
        made.put({"feedback_id": f"f{k}", "timestamp": stamp, "received_at": stamp, "channel": "mail", "text": text,
                  "category": category, "urgency": urgency, "sure": 1.0, "user": None})  # fmt: skip
    made.drain()
    return made


class Outbox:
    def __init__(self, takes=True):
        self.sent, self.takes = [], takes

    def __call__(self, *what, bad=False):
        self.sent.append((*what, bad))
        return self.takes


def test_each_group_is_told_of_once_and_what_was_not_taken_again(store):
    assert route(store, Outbox(takes=False), now=NOW) == 0
    box = Outbox()
    assert route(store, box, now=NOW) == 4
    assert sorted(title for title, _, _ in box.sent) == [
        "Feedback: availability, urgent (2 alike)",
        "Feedback: billing",
        "Feedback: usability",
    ]
    assert [bad for title, _, bad in box.sent if "urgent" in title] == [True]
    assert "answer due 2026-01-01 12:15 UTC" in next(text for title, text, _ in box.sent if "urgent" in title)
    again = Outbox()
    assert route(store, again, now=NOW) == 0
    assert again.sent == []


def test_the_clock_of_each_category_and_urgency(store):
    frame = due(store.frame(), now=NOW + dt.timedelta(minutes=20)).set_index("feedback_id")
    assert frame["overdue"].to_dict() == {"f0": True, "f1": False, "f2": False, "f3": False}
    assert frame.loc["f3", "due"] - frame.loc["f3", "received_at"] == pd.Timedelta(hours=4 * SERVICE_TIMES["usability"])
    with pytest.raises(ContractError, match="hours for each category"):
        due(store.frame(), hours={"billing": 1})


def test_what_is_overdue_is_escalated_once(store):
    box = Outbox()
    assert escalate(store, box, now=NOW) == 0
    later = NOW + dt.timedelta(hours=2)
    assert escalate(store, Outbox(takes=False), now=later) == 0
    assert escalate(store, box, now=later) == 2
    assert escalate(store, box, now=later) == 0
    ((title, text, bad),) = box.sent
    assert title == "Feedback: 2 answers are overdue"
    assert "f0 availability/high" in text
    assert bad


def measured(texts):
    """Vectors of texts: letters in groups of two to four, weighed by how rare they are in the development set."""
    said = read_development()["text"]
    options = {"analyzer": "char_wb", "ngram_range": (2, 4), "n_features": 2**18, "norm": None, "alternate_sign": False}
    letters = HashingVectorizer(**options)
    weigh = TfidfTransformer(sublinear_tf=True).fit(letters.transform(said))
    rows = weigh.transform(letters.transform(texts))
    return [dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)) for row in rows]


def test_groups_are_those_of_the_naive_twin_however_they_come():
    rng = np.random.default_rng(0)
    base = ["search is down", "the invoice is wrong", "answers are slow today", "登录不上了", "很慢很慢"]
    texts = [base[rng.integers(5)] + ["", "!", " again", " please help"][rng.integers(4)] for _ in range(60)]
    stamps = pd.to_datetime("2026-01-01", utc=True) + pd.to_timedelta(rng.uniform(0, 5 * 86400, 60), unit="s")
    frame = pd.DataFrame({"feedback_id": [f"f{k}" for k in range(60)], "timestamp": stamps, "text": texts})
    found = group_messages(frame)
    order = frame["timestamp"].argsort()
    vectors = measured(frame["text"].iloc[order])
    twin = naive.near_duplicates(vectors, [t.timestamp() for t in frame["timestamp"].iloc[order]], 0.55, 86_400)
    assert found.iloc[order].tolist() == [frame["feedback_id"].iloc[order[k]] for k in twin]
    early = frame["timestamp"] < frame["timestamp"].iloc[order[30]]
    first = frame[early].assign(group_id=found[early])
    leaders = first[first["group_id"] == first["feedback_id"]]
    assert group_messages(frame[~early], leaders).equals(found[~early]), "in two parts they are the same"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stability.feedback.grouping.BLOCK", 7)
        assert group_messages(frame).equals(found)
    assert group_messages(frame.head(0)).empty
    assert group_messages(frame.assign(text="")).tolist() == frame["feedback_id"].tolist()
    with pytest.raises(ContractError, match="alike"):
        group_messages(frame, alike=0)


def test_few_messages_of_the_development_set_join_another_one():
    """Each with a copy that lacks a word and has one backwards: it is found, and nobody gets a stranger's answer."""
    rng = np.random.default_rng(0)
    said = read_development().iloc[::2]
    rows = []
    for k, one in enumerate(said.itertuples()):
        words = list(one.text) if one.language == "zh" else one.text.split(" ")
        if len(words) >= 5:
            del words[rng.integers(len(words))]
            place = rng.integers(len(words))
            words[place] = words[place][::-1]
        copy = ("" if one.language == "zh" else " ").join(words) + "!"
        rows += [(f"{k}", k, one.text), (f"{k} again", k, copy)]
    frame = pd.DataFrame(rows, columns=["feedback_id", "truth", "text"]).assign(timestamp=pd.Timestamp(NOW))
    found = group_messages(frame)
    truths = frame["truth"].groupby(found).nunique()
    assert (truths == 1).mean() > 0.98, "but for what several people say in nearly the same words"
    assert (found[1::2].to_numpy() == found[::2].to_numpy()).mean() > 0.9


def linked(text, *, minutes=5, category="availability", entity=None, topology=None, end=None):
    start = pd.Timestamp(NOW)
    alarms = pd.DataFrame({"alarm_id": ["a", "b"], "entity": ["search-1", "mail-1"], "start": [start, start],
                           "end": [end, end], "metrics": ["errors_total", "errors_total"]})  # fmt: skip
    said = pd.DataFrame({"feedback_id": ["f"], "timestamp": [start + pd.Timedelta(minutes=minutes)], "text": [text],
                         "category": [category], "entity": [entity]})  # fmt: skip
    return link_messages(said, alarms, topology).iloc[0]


def test_links_follow_time_text_and_topology():
    named = linked("search-1 gives errors")
    assert (named["alarm_id"], named["entity"]) == ("a", "search-1")
    assert linked("mail gives errors")["alarm_id"] == "b"
    assert linked("x", entity="mail-1")["alarm_id"] == "b"
    calls = pd.DataFrame({"source": ["web-1", "far-1"], "target": ["search-1", "web-9"]})
    upstream = linked("it fails", entity="web-1", topology=calls)
    assert upstream["alarm_id"] == "a", "users of what calls it feel it"
    assert upstream["probability"] < named["probability"]
    assert pd.isna(linked("it fails", entity="far-1", topology=calls)["alarm_id"])
    assert pd.isna(linked("thank you", category="praise")["alarm_id"])
    assert pd.isna(linked("search-1 fails", minutes=-60)["alarm_id"])
    ended = pd.Timestamp(NOW)
    assert pd.isna(linked("search-1 fails", minutes=600, end=ended)["alarm_id"])
    assert linked("search-1 fails", minutes=60, end=ended)["probability"] < named["probability"]
    with pytest.raises(ContractError, match="alarms"):
        link_messages(pd.DataFrame({"feedback_id": [], "timestamp": [], "text": [], "category": []}), pd.DataFrame())


def test_a_locked_store_is_no_reason_to_tell_twice(store):
    box = Outbox()
    route(store, box, now=NOW)
    locker = sqlite3.connect(store.path, isolation_level=None)
    locker.execute("begin exclusive")
    with pytest.raises(sqlite3.OperationalError):
        route(store, box, now=NOW)
    locker.execute("rollback")
    locker.close()
    assert len(box.sent) == 3


def more(store, texts, *, minutes=0, category="billing", first=100):
    stamp = (NOW + dt.timedelta(minutes=minutes)).isoformat()
    names = [f"f{first + k}" for k in range(len(texts))]
    store.put_all(
        [
            {"feedback_id": name, "timestamp": stamp, "received_at": stamp, "channel": "mail", "text": text,
             "category": category, "urgency": "normal", "sure": 1.0, "user": None}
            for name, text in zip(names, texts, strict=True)
        ]
    )  # fmt: skip
    store.drain()
    return names


def test_what_is_new_joins_the_groups_that_there_are(store):
    route(store, Outbox(), now=NOW)
    more(store, ["please refund my invoice!"], minutes=60)
    more(store, ["please refund my invoice"], minutes=26 * 60, first=200)
    box = Outbox()
    assert route(store, box, now=NOW) == 2
    groups = store.frame().set_index("feedback_id")["group_id"]
    assert groups["f100"] == "f2"
    assert groups["f200"] == "f200", "a day later it is about something else"
    assert regroup(store) == 0


def test_many_groups_at_once_are_one_notification(store):
    route(store, Outbox(), now=NOW)
    words = ["printer jam", "yellow submarine", "quarterly export", "voice menu", "login page", "dark mode", "x y z"]
    more(store, words, minutes=9)
    box = Outbox()
    assert len(words) > APART
    assert route(store, box, now=NOW) == len(words)
    ((title, text, _),) = box.sent
    assert title == f"Feedback: billing ({len(words)} in {len(words)} groups)"
    assert all(word in text for word in words)


def test_nobody_writes_into_the_terminal_of_whoever_reads_it(store):
    route(store, Outbox(), now=NOW)
    hostile = "paid\x1b]0;owned\x07 twice\u202e\nf9 by mail, answer due never\x9b2J"
    more(store, [hostile], minutes=9)
    box = Outbox()
    route(store, box, now=NOW)
    escalate(store, box, now=NOW + dt.timedelta(days=9))
    for _, text, _ in box.sent:
        assert all(c.isprintable() for c in text.replace("\n", ""))
        assert "never" not in text.split("\n")[-1] or "f100" in text.split("\n")[-1], "no line is the message's own"
    assert printable(hostile) == "paid\ufffd]0;owned\ufffd twice\ufffd f9 by mail, answer due never\ufffd2J"
