"""Proxies: a feature that knows the answer is named, one that does not is not, and ties count half."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from stability.prediction import TargetProxyWarning, proxy_screen
from stability.schema import ContractError


def table(seed=0, rows=2000):
    rng = np.random.default_rng(seed)
    y = rng.random(rows) < 0.05
    noise = pd.DataFrame(rng.normal(size=(rows, 5)), columns=[f"noise_{k}" for k in range(5)])
    return noise, y


@given(
    cells=st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, np.nan, np.inf]), st.booleans()), min_size=2, max_size=40)
)
def test_auc_is_that_of_scikit_learn_ties_and_gaps_included(cells):
    values, y = (np.array(part) for part in zip(*cells, strict=True))
    if y.all() or not y.any():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TargetProxyWarning)
        row = proxy_screen(pd.DataFrame({"x": values}), y).loc["x"]
    there = ~np.isnan(values)
    assert row["rows"] == there.sum()
    assert row["auc_of_missing"] == pytest.approx(roc_auc_score(y, ~there), abs=1e-12)
    if y[there].any() and not y[there].all():
        assert row["auc"] == pytest.approx(roc_auc_score(y[there], pd.Series(values[there]).rank()), abs=1e-12)
    else:
        assert np.isnan(row["auc"])


def test_noise_is_not_named():
    features, y = table()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = proxy_screen(features, y)
    assert not found["proxy"].any()
    away = (found["auc"] - 0.5).abs().tolist()
    assert away == sorted(away, reverse=True)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_leak_is_named_in_either_direction(sign):
    features, y = table()
    features.insert(2, "mode_flag", sign * y + 0.001 * features["noise_0"])
    with pytest.warns(TargetProxyWarning, match=rf"^mode_flag \(AUC {'1' if sign > 0 else '0'}\.000\) alone answers"):
        found = proxy_screen(features, pd.Series(y))
    assert found.index[0] == "mode_flag"
    assert found["proxy"].tolist() == [True] + [False] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        proxy_screen(features, y, limit=1.0)


def test_missingness_that_knows_is_named():
    features, y = table()
    features["sensor"] = features["noise_0"].where(~y)
    with pytest.warns(TargetProxyWarning, match=r"sensor \(missing: 1.000\)"):
        found = proxy_screen(features, y)
    assert found.index[0] == "sensor"
    assert np.isnan(found.loc["sensor", "auc"])
    assert found.loc["sensor", ["auc_of_missing", "rows"]].tolist() == [1.0, (~y).sum()]


def test_constant_and_empty_features_are_fine():
    features, y = table()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = proxy_screen(features.assign(one=1.0, none=np.nan), y)
    assert found.loc["one", ["auc", "auc_of_missing", "rows"]].tolist() == [0.5, 0.5, len(y)]
    assert np.isnan(found.loc["none", "auc"])
    assert found.loc["none", ["auc_of_missing", "rows"]].tolist() == [0.5, 0]
    assert not found["proxy"].any()
    assert proxy_screen(features[[]], y).empty


def test_a_handful_of_rows_proves_nothing():
    y = np.repeat([True, False], [4, 100])
    features = pd.DataFrame({"x": y.astype(float), "flag": y})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = proxy_screen(features, y)
    assert found["auc"].tolist() == [1.0, 1.0]
    assert not found["proxy"].any()


def test_many_proxies_are_counted():
    _, y = table()
    features = pd.DataFrame({f"leak_{k:02d}": y for k in range(12)})
    with pytest.warns(TargetProxyWarning, match=r"leak_09 \(AUC 1.000\) and 2 more alone answer"):
        proxy_screen(features, y)


def test_what_makes_no_sense_is_refused():
    features, y = table(rows=100)
    with pytest.raises(ContractError, match="rows of both classes, got 0 positive of 100 rows"):
        proxy_screen(features, np.zeros(100, dtype=bool))
    with pytest.raises(ContractError, match="100 labels"):
        proxy_screen(features, y[1:])
    with pytest.raises(ContractError, match="True or False"):
        proxy_screen(features, np.where(y, 1.0, np.nan))
    with pytest.raises(ContractError, match="the index of the features"):
        proxy_screen(features, pd.Series(y, index=np.arange(100) + 1))
    with pytest.raises(ContractError, match="'site': expected numbers"):
        proxy_screen(features.assign(site="a"), y)
    with pytest.raises(ContractError, match=r"from 0\.5 to 1"):
        proxy_screen(features, y, limit=98)
