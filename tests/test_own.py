"""Distance from an entity's own beginning and from what its condition usually gives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rolling import panel

from stability.features import Baseline, Regimes
from stability.schema import ContractError


def plainly(table, span):
    """Row by row."""
    rows = []
    for _, own in table.groupby(level="entity", sort=False):
        stamps = own.index.get_level_values("timestamp")
        for k in range(len(own)):
            first = own[(stamps < stamps[0] + pd.Timedelta(span)) & (stamps <= stamps[k])]
            off = own.iloc[k] - first.mean()
            rows.append(np.column_stack([off, off / first.std().where(first.std() > 0)]).ravel())
    return np.array(rows)


@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 999), span=st.sampled_from(["1min", "30min", "10h"]), gaps=st.sampled_from([0.0, 0.5]))
def test_a_baseline_is_what_is_known_of_the_first_rows(seed, span, gaps):
    table = panel(seed, sizes=(30, 1, 16), gaps=gaps)
    found = Baseline(span).transform(table)
    assert list(found) == ["m0__off__" + span, "m0__z__" + span, "m1__off__" + span, "m1__z__" + span]
    assert found.to_numpy() == pytest.approx(plainly(table, span), rel=1e-7, abs=1e-7, nan_ok=True)
    cut = table.groupby(level="entity", sort=False).head(13)
    pd.testing.assert_frame_equal(Baseline(span).transform(cut), found.loc[cut.index])


@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 999), known=st.integers(0, 60))
def test_a_baseline_goes_on_live(seed, known):
    table = panel(seed, sizes=(70, 60))
    whole = Baseline("2h").transform(table)
    live = Baseline("2h").begin(table.groupby(level="entity", sort=False).head(known))
    for k in range(known, 70):
        rows = table.groupby(level="entity", sort=False).nth(k)
        found = live.update(rows.to_numpy(), rows.index.get_level_values(1), rows.index.get_level_values(0))
        assert found == pytest.approx(whole.loc[rows.index].to_numpy(), rel=1e-9, abs=1e-9, nan_ok=True)


def flights(seed=0, rows=600):
    rng = np.random.default_rng(seed)
    times = pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([["a"], times], names=["entity", "timestamp"])
    height = rng.choice([0.0, 10.0, 35.0], size=rows)
    return pd.DataFrame({"height": height, "heat": 500 - 5 * height + rng.normal(size=rows)}, index)


@pytest.mark.parametrize("jitter", [0.0, 0.01])
def test_what_is_usual_in_a_condition_is_near_zero_and_what_is_not_is_far(jitter):
    table = flights()
    table["height"] += jitter * np.random.default_rng(1).normal(size=len(table))
    regimes = Regimes(["height"], most=3).fit(table.iloc[:400])
    found = regimes.transform(table)["heat__z__regime"]
    assert np.sort(regimes.centres_[:, 0]) == pytest.approx([0, 10, 35], abs=0.1)
    assert abs(found.mean()) < 0.2
    assert found.std() == pytest.approx(1, abs=0.15)
    hot = table.copy()
    hot["heat"] += 10
    assert (regimes.transform(hot)["heat__z__regime"] > 5).all()
    pd.testing.assert_series_equal(regimes.transform(table.iloc[:50])["heat__z__regime"], found.iloc[:50])


def test_a_row_without_a_setting_is_in_no_condition():
    table = flights()
    regimes = Regimes(["height"]).fit(table)
    table.iloc[3, 0] = np.nan
    found = regimes.transform(table)["heat__z__regime"]
    assert found.isna().sum() == 1
    assert np.isnan(found.iloc[3])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ContractError, match="did you mean 'height'"):
        Regimes(["hight"]).fit(flights())
    with pytest.raises(ContractError, match="fit"):
        Regimes(["height"]).transform(flights())
    with pytest.raises(ContractError, match="none"):
        Regimes(["height"]).fit(flights().assign(height=np.nan))
    with pytest.raises(ContractError, match="settings"):
        Regimes([])
    with pytest.raises(ContractError, match="begin"):
        Baseline("1h").update(np.ones((1, 1)), pd.DatetimeIndex(["2026-01-01"], tz="UTC"), pd.Index(["a"]))
