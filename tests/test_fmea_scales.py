"""Scales: a value earns the band that it lies in, and evidence moves a rating no further than it must."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.fmea import band, hold, rate, read_scale
from stability.schema import ContractError

SCALES = ["occurrence", "detection", "severity_budget", "severity_users", "severity_feedback"]
ratings = st.integers(1, 10)


@pytest.mark.parametrize("scale", SCALES)
def test_a_value_lies_in_the_band_of_its_rating(scale):
    for value in np.concatenate([np.geomspace(1e-8, 50, 200), read_scale(scale).to_numpy()]):
        low, high = band(scale, int(rate(scale, [value])[0]))
        assert low <= value < high


@pytest.mark.parametrize("scale", SCALES)
def test_ratings_go_one_way(scale):
    told = rate(scale, np.linspace(0, 30, 5000))
    steps = np.diff(told)
    assert (steps <= 0).all() if scale == "detection" else (steps >= 0).all()


def test_danger_is_never_measured():
    for scale in SCALES[2:]:
        assert np.nanmax(rate(scale, [1e9])) <= 8
    assert rate("occurrence", [0.0]) == 2  # nothing seen is not eliminated
    assert rate("detection", [1.0]) == 2


def test_unknown_stays_unknown_and_negative_is_refused():
    assert np.isnan(rate("occurrence", [np.nan])).all()
    with pytest.raises(ContractError, match="from 0 up"):
        rate("occurrence", [-1e-9])
    with pytest.raises(ContractError, match="did you mean 'occurrence'"):
        rate("occurence", [1.0])


@given(ratings, ratings, ratings)
def test_a_rating_moves_only_when_a_bound_contradicts_it(said, one, other):
    lo, hi = min(one, other), max(one, other)
    now = hold([said], [lo], [hi])[0]
    assert lo <= now <= hi
    assert now == said if lo <= said <= hi else abs(now - said) == min(abs(said - lo), abs(said - hi))
    assert hold([now], [lo], [hi])[0] == now  # a second look changes nothing


def test_without_evidence_what_was_written_stands_and_without_both_nothing():
    nan = np.nan
    assert hold([5.0], [nan], [nan]).tolist() == [5]
    assert np.isnan(hold([nan], [nan], [nan])).all()
    assert hold([nan], [2], [7]).tolist() == [7]
    with pytest.raises(ContractError, match="not above"):
        hold([5], [7], [2])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("occurrence,2,1,x\n", "from 0 up"),
        ("occurrence,2,0,x\noccurrence,2,1,x\n", "all rise or all fall"),
        ("occurrence,2,0,x\noccurrence,3,0,x\n", "all rise or all fall"),
        ("occurrence,2,0,x\noccurrence,11,1,x\n", "from 1 to 10"),
        ("occurrence,2,0,x\noccurrence,4,1,x\n", "without one left out"),
        ("occurrence,4,0,x\noccurrence,2,1,x\n", "without one left out"),
        ("occurrence,2,0,x\noccurrence,3,,x\n", "from 0 up"),
        ("occurrence,2,zero,x\n", "a CSV with scale"),
    ],
)
def test_a_broken_scale_is_refused(tmp_path, rows, said):
    path = tmp_path / "scales.csv"
    path.write_text(f"# mine\nscale,rating,at_least,meaning\n{rows}")
    with pytest.raises(ContractError, match=said):
        read_scale("occurrence", path)
