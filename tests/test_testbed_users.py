"""The testbed's users write when they are hurt, and a little when nothing is wrong; all as the contract has it."""

import json

import pandas as pd
import pytest

from stability import records
from stability.simulate.phrases import CATEGORIES
from stability.testbed.tally import Counts
from stability.testbed.users import Users

BEGUN = 1_800_000_000
GOOD = {"answered": 30, "wrong": 6}


def lived(seed, seconds, **counts):
    """Messages of users of two replicas that serve 30 requests/s each and see these counts every second."""
    users = Users(seed, BEGUN)
    for second in range(BEGUN, BEGUN + seconds):
        users.lived(second, {name: Counts(**(GOOD | counts)) for name in ("model-a", "model-b")})
    return [json.loads(line) for line in users.sent(BEGUN + 1e6)]


def mean_of(seconds, **counts):
    return sum(len(lived(seed, seconds, **counts)) for seed in range(20)) / 20


@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        ({"answered": 0, "failed": 30, "wrong": 0}, "failed"),
        ({"answered": 30, "slow": 24}, "slow"),
        ({"answered": 30, "wrong": 24}, "wrong_answer"),
    ],
)
def test_a_bad_minute_makes_some_write_what_it_was(counts, kind):
    assert 3 <= mean_of(60, **counts) <= 15
    said = [row["category"] for seed in range(20) for row in lived(seed, 60, **counts)]
    assert 0.6 < said.count(kind) / len(said) < 0.97  # some name another trouble, or anything else


def test_a_quiet_day_has_about_five_messages_of_every_kind():
    assert 3.5 <= mean_of(600) <= 7
    assert {row["category"] for seed in range(20) for row in lived(seed, 600)} == set(CATEGORIES)


def test_hurt_users_write_within_seconds_or_a_minute():
    delays = sorted(
        (pd.Timestamp(row["timestamp"]) - pd.Timestamp(BEGUN, unit="s", tz="UTC")).total_seconds()
        for seed in range(60)
        for row in lived(seed, 1, answered=0, failed=300, wrong=0)
    )
    assert delays[len(delays) // 2] < 15
    assert delays[int(0.9 * len(delays))] < 90


def test_messages_are_handed_out_when_they_are_due_and_once():
    users, whole = Users(1, BEGUN), lived(1, 120, answered=0, failed=30, wrong=0)
    found = []
    for second in range(BEGUN, BEGUN + 1200):
        if second < BEGUN + 120:
            users.lived(second, {name: Counts(failed=30) for name in ("model-a", "model-b")})
        now = [json.loads(line) for line in users.sent(second + 1.0)]
        assert all(pd.Timestamp(row["timestamp"]).timestamp() <= second + 1 for row in now)
        found += now
    assert sorted(row["feedback_id"] for row in found) == sorted(row["feedback_id"] for row in whole)
    assert [row["timestamp"] for row in found] == sorted(row["timestamp"] for row in found)


def test_equal_seeds_equal_messages_and_others_differ():
    assert lived(1, 60, failed=30) == lived(1, 60, failed=30) != lived(2, 60, failed=30)


def test_where_no_replica_is_known_users_name_the_gateway():
    users = Users(1, BEGUN)
    for second in range(BEGUN, BEGUN + 300):
        users.lived(second, {"": Counts(failed=60)})
    rows = [json.loads(line) for line in users.sent(BEGUN + 1e6)]
    assert {row["entity"] for row in rows} == {"gateway", None}
    assert all((row["entity"] is None) == (row["channel"] == "email") for row in rows)


def test_feedback_is_read_as_any_other(tmp_path):
    path = tmp_path / "feedback.jsonl"
    rows = [row for seed in range(3) for row in lived(seed, 120, failed=30)]
    rows = [row | {"feedback_id": f"{k}-{row['feedback_id']}"} for k, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    table = records.read_feedback(path, user="keep", scrub=False)
    assert len(table) == len(rows)
    for row in rows:
        read = table.loc[row["feedback_id"]]
        assert (read["text"], read["channel"], read["user"]) == (row["text"], row["channel"], row["user"])
        assert pd.isna(read["rating"]) if row["rating"] is None else read["rating"] == row["rating"]
        assert read["timestamp"] == pd.Timestamp(row["timestamp"])
    assert any(ord(letter) > 0x3000 for text in table["text"] for letter in text)
