"""The testbed's service level: seconds judged by what was concluded up to them; impact and recovery of a cause."""

import json
import math

import naive
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.testbed.service_level import ServiceLevel, bad_seconds, impact, read_load

START = 1_800_000_000
EPOCH = pd.Timestamp(START, unit="s", tz="UTC")
COUNTS = ("answered", "failed", "slow", "wrong")


def row(second, replica, counts):
    return {"second": second, "replica": replica, **dict(zip(COUNTS, counts, strict=True))}


def at(seconds):
    return EPOCH + pd.Timedelta(seconds=seconds)


def seconds_of(moments):
    return tuple(None if pd.isna(moment) else round((moment - EPOCH).total_seconds(), 3) for moment in moments)


@st.composite
def seconds_of_counts(draw):
    answered = draw(st.integers(0, 12))
    slow, wrong = draw(st.integers(0, answered)), draw(st.integers(0, answered))
    return answered, draw(st.sampled_from([0, 0, 0, 1, 5])), slow, wrong


levels = st.builds(
    ServiceLevel,
    slow=st.sampled_from([0.1, 0.5]),
    failed=st.sampled_from([0.02, 0.2]),
    wrong=st.sampled_from([0.3, 0.6]),
    window=st.integers(1, 5),
    wrong_window=st.integers(1, 15),
    minimum=st.sampled_from([1, 20]),
)
gone = st.none()  # a replica that had nothing in a second has no line in it


@given(st.lists(st.tuples(seconds_of_counts(), st.one_of(gone, seconds_of_counts())), min_size=1, max_size=25), levels)
def test_bad_seconds_are_those_of_the_plain_loop(drawn, level):
    rows = [row(START + k, "all", counts) for k, (counts, _) in enumerate(drawn)]
    rows += [row(START + k, "model-a", counts) for k, (_, counts) in enumerate(drawn) if counts]
    rows += [row(START, "", (0, 3, 0, 0))]
    table = bad_seconds(pd.DataFrame(rows), level)
    told = level.model_dump()
    for entity, place in (("gateway", 0), ("model-a", 1)):
        counts = [both[place] or (0, 0, 0, 0) for both in drawn]
        if entity not in table.index.get_level_values(0):
            assert not any(both[1] for both in drawn)
            continue
        found = table.loc[entity]
        expected = naive.level_broken(counts, **told)
        assert [tuple(said) for said in found[["failed", "slow", "wrong"]].to_numpy().tolist()] == expected
        assert found["bad"].tolist() == [any(said) for said in expected]
        assert found.index.tolist() == [at(k) for k in range(len(drawn))]


@given(st.lists(seconds_of_counts(), min_size=2, max_size=25), levels, st.data())
def test_a_second_is_judged_by_nothing_that_comes_after_it(drawn, level, data):
    rows = pd.DataFrame([row(START + k, "all", counts) for k, counts in enumerate(drawn)])
    upto = data.draw(st.integers(1, len(drawn)))
    whole, part = bad_seconds(rows, level), bad_seconds(rows.iloc[:upto], level)
    pd.testing.assert_frame_equal(whole.iloc[:upto], part)


moments = st.floats(-3, 40, allow_nan=False).map(lambda seconds: round(seconds, 3))


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.lists(st.integers(1, 8), min_size=1), moments, moments)
def test_impact_and_recovery_are_those_of_the_plain_loop(flags, lengths, one, other):
    bad = [flag for flag, length in zip(flags, lengths * len(flags), strict=False) for _ in range(length)]
    begin, end = sorted((one, other))
    index = pd.MultiIndex.from_product([["gateway"], [at(k) for k in range(len(bad))]], names=["entity", "timestamp"])
    found = impact(pd.DataFrame({"bad": bad}, index=index), at(begin), at(end))
    assert seconds_of(found) == naive.felt(bad, begin, end)


@pytest.mark.parametrize(
    ("bad", "begin", "end", "expected"),
    [
        ([], 3, 10, (None, 10)),
        ([(5, 12)], 3, 10, (5, 12)),
        ([(5, 12)], 5.4, 10.5, (5.4, 12)),  # the second in which it begins is its own
        ([(2, 12)], 3, 10, (None, 12)),  # bad before: not this one's
        ([(2, 5), (7, 9)], 3, 10, (7, 10)),  # bad before, and then by itself
        ([(5, 6)], 3, 10, (None, 10)),  # a single second
        ([(13, 16)], 3, 10, (13, 16)),  # late, but near enough
        ([(17, 19)], 3, 10, (None, 10)),  # too late to be its effect
        ([(5, 12), (14, 16)], 3, 10, (5, 16)),  # up for two seconds is not recovered
        ([(5, 30)], 3, 10, (5, None)),
        ([(5, 26)], 3, 10, (5, None)),  # the record ends too early to know
        ([(5, 25)], 3, 10, (5, 25)),
    ],
)
def test_impacts(bad, begin, end, expected):
    flags = [any(first <= k < last for first, last in bad) for k in range(30)]
    index = pd.MultiIndex.from_product([["model-a"], [at(k) for k in range(30)]], names=["entity", "timestamp"])
    found = impact(pd.DataFrame({"bad": flags}, index=index), at(begin), at(end), "model-a")
    assert seconds_of(found) == expected


def test_an_entity_that_was_never_asked_is_unknown():
    table = bad_seconds(pd.DataFrame([row(START, "all", (30, 0, 0, 0))]), ServiceLevel())
    assert all(pd.isna(moment) for moment in impact(table, at(0), at(1), "model-b"))


def test_a_log_that_was_cut_off_is_read_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "load.jsonl"
    whole = json.dumps(row(START, "all", (30, 1, 0, 0)) | {"p50": None, "lag": 0.001}) + "\n"
    path.write_text(whole + whole[:20])
    log = read_load(path)
    assert log[["second", "answered", "failed"]].to_numpy().tolist() == [[START, 30, 1]]
    assert math.isnan(log["p50"][0])
    path.write_text("")
    assert bad_seconds(read_load(path), ServiceLevel()).empty
