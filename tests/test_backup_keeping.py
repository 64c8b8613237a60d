"""Which backups stay: by count, day, week and horizon; the newest always."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import staying_backups

from stability.backup.keeping import Keep, horizon, staying
from stability.schema import ContractError

DAY = 86_400.0
COUNTS = st.integers(0, 6)


@given(
    st.lists(st.floats(0, 60 * DAY), max_size=30, unique=True), st.integers(1, 6), COUNTS, COUNTS, st.floats(0.5, 90)
)
def test_as_a_slow_twin_says(moments, last, daily, weekly, days):
    keep, now = Keep(last, daily, weekly, days), 61 * DAY
    stay = staying(moments, keep, now)
    assert stay == staying_backups(moments, keep, now)
    assert not moments or moments.index(max(moments)) in stay
    assert sum(now - moments[k] > days * DAY for k in stay) <= 1, "beyond the horizon there is the newest at most"


def test_a_year_of_nights_leaves_a_week_and_some_weeks():
    begin = dt.datetime(2026, 1, 1, 3, tzinfo=dt.UTC).timestamp()
    there = []
    for night in range(365):
        there.append(begin + night * DAY)
        stay = staying(there, Keep(last=3, daily=7, weekly=5), there[-1])
        there = [moment for k, moment in enumerate(there) if k in stay]
    ages = [(there[-1] - moment) / DAY for moment in there]
    assert ages[-7:] == [6, 5, 4, 3, 2, 1, 0]
    assert 21 <= max(ages) <= 35
    assert len(there) <= 7 + 5


@pytest.mark.parametrize("wrong", [{"last": 0}, {"daily": -1}, {"weekly": 1.5}, {"days": 0}, {"days": float("nan")}])
def test_to_keep_none_is_refused(wrong):
    with pytest.raises(ContractError, match="at least one backup that stays"):
        Keep(**wrong)


def test_the_horizon_is_said():
    assert "40 days later" in horizon(Keep())
