"""Windows of the week: the clocks of a place, past midnight and over the change to summer time."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stability.remediation.windows import DAYS, Window

CLOCK = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}")


def minutes(clock):
    return int(clock[:2]) * 60 + int(clock[3:])


@given(st.sets(st.sampled_from(DAYS)), CLOCK, CLOCK, st.integers(0, 7 * 1440 - 1))
def test_a_window_holds_exactly_for_its_minutes(days, start, end, minute):
    now = pd.Timestamp("2026-03-02", tz="UTC") + pd.Timedelta(minutes=minute)  # a Monday
    length = (minutes(end) - minutes(start)) % 1440 or 1440
    begins = [DAYS.index(day) * 1440 + minutes(start) for day in days]
    expected = any((minute - begin) % (7 * 1440) < length for begin in begins)
    assert Window(days=sorted(days), start=start, end=end).holds("any", now) == expected


def test_the_clock_is_that_of_the_place_also_over_the_change_to_summer_time():
    night = Window(days=["sat"], start="22:00", end="04:00", zone="Europe/Berlin")
    assert not night.holds("a", pd.Timestamp("2026-03-28 20:59", tz="UTC"))
    assert night.holds("a", pd.Timestamp("2026-03-28 21:00", tz="UTC"))
    assert night.holds("a", pd.Timestamp("2026-03-29 01:59", tz="UTC"))  # 03:59 there, an hour was left out
    assert not night.holds("a", pd.Timestamp("2026-03-29 02:00", tz="UTC"))


def test_it_is_about_the_entities_that_it_names():
    window = Window(start="00:00", end="00:00", entities=["model-*", "gateway"])
    now = pd.Timestamp("2026-03-02", tz="UTC")
    assert [window.holds(name, now) for name in ("model-a", "gateway", "Model-a", "xmodel-a")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "told", [{"start": "24:00"}, {"start": "9:00"}, {"days": ["sunday"]}, {"zone": "Mars/Base"}, {"zone": "../UTC"}]
)
def test_what_is_no_window_is_an_error(told):
    with pytest.raises(ValidationError):
        Window(**({"start": "00:00", "end": "01:00"} | told))
