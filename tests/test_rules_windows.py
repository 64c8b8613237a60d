"""Each window by itself: the two stacks, queues and sorted buffers give what plain loops over the window give."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.rules.functions import over_range
from stability.rules.history import Series
from stability.rules.vectors import NAME

SECOND = 1_000_000
NAMES = [
    *("rate", "increase", "delta", "deriv", "predict_linear", "stddev_over_time", "quantile_over_time"),
    *("avg_over_time", "sum_over_time", "min_over_time", "max_over_time", "count_over_time"),
]


def naive(name, samples, start, end, now, argument):
    """A function of one range, from the list of its (time, value), times in seconds; None where it gives nothing."""
    values = [value for _, value in samples]
    if not samples or (len(samples) < 2 and name in ("rate", "increase", "delta", "deriv", "predict_linear")):
        return None
    if name in ("rate", "increase", "delta"):
        return extrapolated(name, samples, start, end)
    if name in ("deriv", "predict_linear"):
        if len(set(values)) == 1:
            return 0.0 if name == "deriv" else values[0]
        line = statistics.linear_regression([t - now for t, _ in samples], values)
        return line.slope if name == "deriv" else line.intercept + line.slope * argument
    if name == "quantile_over_time":
        rank = argument * (len(values) - 1)
        low, ordered = math.floor(rank), sorted(values)
        return ordered[low] + (ordered[min(low + 1, len(values) - 1)] - ordered[low]) * (rank - low)
    simple = {
        "avg": statistics.fmean,
        "sum": math.fsum,
        "min": min,
        "max": max,
        "count": len,
        "stddev": statistics.pstdev,
    }
    return float(simple[name.removesuffix("_over_time")](values))


def extrapolated(name, samples, start, end):
    """Growth of a range as Prometheus's functions.go tells it."""
    growth = samples[-1][1] - samples[0][1]
    if name != "delta":
        growth += sum(a for (_, a), (_, b) in itertools.pairwise(samples) if b < a)
    sampled = samples[-1][0] - samples[0][0]
    distance, before, after = sampled / (len(samples) - 1), samples[0][0] - start, end - samples[-1][0]
    if name != "delta" and growth > 0 and samples[0][1] >= 0:
        before = min(before, sampled * samples[0][1] / growth)
    reach = sampled + sum(gap if gap < 1.1 * distance else distance / 2 for gap in (before, after))
    return growth * reach / sampled / ((end - start) if name == "rate" else 1)


@given(
    gaps=st.lists(st.sampled_from([5, 10, 15, 15, 15, 400]), min_size=1, max_size=60),
    values=st.lists(st.one_of(st.none(), st.integers(-3, 9).map(lambda k: k / 10)), min_size=60, max_size=60),
    length=st.sampled_from([1, 15, 60, 300]),
    offset=st.sampled_from([0, 20]),
    step=st.sampled_from([5, 15, 90]),
)
def test_functions_of_a_range_are_those_of_plain_loops(gaps, values, length, offset, step):
    stamps = np.cumsum(gaps)
    numbers = np.array([np.nan if v is None else v for v in values[: len(stamps)]])
    series = Series(((NAME, "x"),), stamps * SECOND, numbers, np.isnan(numbers))
    times = np.arange(0, stamps[-1] + 60, step)
    for name in NAMES:
        argument = {"quantile_over_time": 0.9, "predict_linear": 120.0}.get(name, 0.0)
        found, present = over_range(name, series, times * SECOND, length * SECOND, offset * SECOND, argument)
        for k, now in enumerate(times):
            start, end = now - offset - length, now - offset
            kept = [(float(t), float(v)) for t, v in zip(stamps, numbers, strict=True) if start <= t <= end and v == v]
            expected = naive(name, kept, start, end, now, argument)
            assert present[k] == (expected is not None), (name, now)
            if expected is not None:
                assert found[k] == pytest.approx(expected, rel=1e-9, abs=1e-9), (name, now)


def regular(values):
    numbers = np.asarray(values, dtype=float)
    times = np.arange(1, len(numbers) + 1, dtype=np.int64) * 15 * SECOND
    return Series(((NAME, "x"),), times, numbers, np.zeros(len(numbers), dtype=bool)), times


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9 + 0.7, 1e-300, -0.8])
def test_what_never_changes_has_itself_as_mean_and_no_slope_or_deviation(value):
    series, times = regular([value] * 500)
    for name, expected in (("avg", value), ("stddev", 0.0), ("min", value), ("max", value)):
        found, present = over_range(f"{name}_over_time", series, times, 3_600 * SECOND, 0)
        assert present.all()
        assert (found == expected).all(), name
    assert (over_range("deriv", series, times, 3_600 * SECOND, 0)[0][1:] == 0).all()
    assert (over_range("predict_linear", series, times, 3_600 * SECOND, 0, 9e5)[0][1:] == value).all()


def test_a_large_value_leaves_nothing_behind():
    series, times = regular([1e300, 0.1, 0.2, 0.3, 0.4] + [0.5] * 20)
    for name, expected in (("sum", 1.0), ("avg", 0.5), ("stddev", 0.0)):
        found, _ = over_range(f"{name}_over_time", series, times, 15 * SECOND, 0)
        assert found[-1] == expected, name


def test_a_range_is_filled_up_to_a_little_more_than_the_distance_of_samples():
    """Of a window that starts in a gap, what lies between 1 and 1.3 distances before its first sample."""
    stamps = np.array([0, 20, 40, 60, 80, 120, 140, 160, 180, 200], dtype=np.int64)
    values = np.array([0.0, 3, 5, 6, 9, 15, 16, 20, 1, 4])
    series = Series(((NAME, "x"),), stamps * SECOND, values, np.zeros(10, dtype=bool))
    times = np.arange(90, 230)
    kept = list(zip(stamps.tolist(), values.tolist(), strict=True))
    for name in ("rate", "increase", "delta"):
        found, present = over_range(name, series, times * SECOND, 60 * SECOND, 0)
        for k, now in enumerate(times.tolist()):
            inside = [(t, v) for t, v in kept if now - 60 <= t <= now]
            assert present[k] == (len(inside) > 1)
            if present[k]:
                assert found[k] == pytest.approx(extrapolated(name, inside, now - 60, now)), (name, now)


def test_special_values_of_unit_tests():
    series, times = regular([1.0, np.nan, np.inf, -np.inf, 2.0])
    window = 15 * SECOND
    sums = over_range("sum_over_time", series, times, window, 0)[0]
    np.testing.assert_array_equal(sums, [1, np.nan, np.nan, np.nan, -np.inf])
    least = over_range("min_over_time", series, times, window, 0)[0]
    np.testing.assert_array_equal(least, [1, 1, np.inf, -np.inf, -np.inf])
    middle = over_range("quantile_over_time", series, times, window, 0, 0.0)[0]
    np.testing.assert_array_equal(middle, [1, np.nan, np.nan, np.nan, -np.inf])  # inf * 0 is NaN there, too
    assert over_range("count_over_time", series, times, window, 0)[0].tolist() == [1, 2, 2, 2, 2]
