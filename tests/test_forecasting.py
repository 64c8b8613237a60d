"""Demand foretold: a slow twin, nothing of the future, quantiles that hold."""

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.availability.forecasting import forecast, pinball
from stability.schema import ContractError

BEGIN = pd.Timestamp("2026-03-01", tz="UTC").as_unit("us")
SHORT = {"period": 12.0, "level": 4.0, "smooth": 3.0, "memory": 400.0, "cycles": 2}


def series(values):
    return pd.Series(np.asarray(values, float), index=pd.date_range(BEGIN, periods=len(values), freq="s", unit="us"))


def seasonal(n=3000, seed=0):
    rate = 60 * (1 + 0.35 * np.sin(2 * np.pi * np.arange(n) / 600))
    return series(np.random.default_rng(seed).poisson(rate))


@given(st.lists(st.integers(0, 9) | st.none(), min_size=2, max_size=60), st.integers(1, 9))
def test_what_is_expected_equals_a_twin_that_sees_the_past_alone(values, ahead):
    demand = series([np.nan if v is None else v for v in values])
    found = forecast(demand, float(ahead), **SHORT)["expected"].to_numpy()
    np.testing.assert_allclose(found, naive.foretold(demand.tolist(), ahead, 12, 4, 3, 2), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("period", [None, 600.0])
def test_rows_do_not_see_the_future(period):
    demand = seasonal()
    demand.iloc[700:720] = np.nan
    whole = forecast(demand, 11.0, period=period)
    for rows in (2, 601, 1500, 2999):
        pd.testing.assert_frame_equal(forecast(demand.iloc[:rows], 11.0, period=period), whole.iloc[:rows])


def test_a_quantile_holds_its_share_and_the_season_helps():
    demand = seasonal()
    after = demand.shift(-60).to_numpy()[1500:]
    told, blind = (forecast(demand, 60.0, period=period).iloc[1500:] for period in (600.0, None))
    known = np.isfinite(after)
    for quantile in (0.5, 0.9):
        assert np.mean(after[known] <= told[quantile].to_numpy()[known]) == pytest.approx(quantile, abs=0.04)
        losses = [pinball(after, one[quantile].to_numpy(), quantile) for one in (told, blind)]
        assert losses[0] < 0.8 * losses[1]


def test_too_little_is_known_at_first_and_nothing_is_made_up():
    told = forecast(seasonal(200), 10.0, period=600.0)
    assert told["expected"].notna().all()  # what it was lately
    assert told[0.9].isna().iloc[:69].all()
    assert told[0.9].notna().iloc[69:].all()
    nobody = forecast(series([np.nan] * 100), 5.0)
    assert nobody.isna().all(axis=None)
    idle = forecast(series([0.0] * 100), 5.0)
    assert (idle["expected"] == 0).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ahead": 0.5}, "at least a step, 1 s"),
        ({"ahead": np.inf}, "at least a step"),
        ({"period": 10.0}, "16 s or more"),
        ({"smooth": 0.0}, "seconds above 0"),
        ({"cycles": 0}, "from 1 up"),
        ({"quantiles": [1.0]}, "shares between 0 and 1"),
        ({"demand": series([1, -1])}, "from 0 up"),
        ({"demand": series([1, np.inf])}, "from 0 up"),
        ({"demand": series([1])}, "at least two moments"),
        ({"demand": series([1, 2, 3]).iloc[[0, 2, 1]]}, "regular steps"),
        ({"demand": series([1, 2, 3, 4]).iloc[[0, 1, 3]]}, "00:00:01.*00:00:03"),
        ({"demand": pd.Series([1.0, 2.0])}, "moments of time"),
    ],
)
def test_what_cannot_be_foretold_is_said(changed, said):
    told = {"demand": series(range(30)), "ahead": 5.0, "smooth": 20.0} | changed
    with pytest.raises(ContractError, match=said):
        forecast(told.pop("demand"), told.pop("ahead"), **told)
