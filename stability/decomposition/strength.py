"""How strong trend and season are, as shares of what they would have to explain."""

from __future__ import annotations

__all__ = ["strength"]

import pandas as pd

from stability.schema import validate

ROUNDING = 1e-12  # of the largest value: a smaller deviation is what rounding leaves of a constant


def strength(components: pd.DataFrame) -> pd.DataFrame:
    """Strength of trend and season of each series: 1 - Var(R) / Var(T + R), and the same with S, at least 0.

    0 says that the component explains nothing beside the residual, 1 that nothing is left beside the component.

    Parameters
    ----------
    components : DataFrame
        A table of components: index (entity, timestamp, metric).

    Returns
    -------
    DataFrame
        Index (entity, metric); columns `trend`, `seasonal`, `seasonal_<period>` for each period (all float64 in
        [0, 1]; NaN where there is no evidence: fewer than three values, a constant series, a period that the series
        does not have) and `rows` (int64), the values that it stands on.

    References
    ----------
    Wang, Smith and Hyndman (2006), Characteristic-based clustering for time series data, Data Mining and Knowledge
    Discovery 13, 335-364, doi 10.1007/s10618-005-0039-x; in the form of Hyndman and Athanasopoulos (2021),
    Forecasting: Principles and Practice, 3rd ed., section 4.3.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="1h", tz="UTC", unit="us")
    >>> parts = pd.DataFrame({"entity": "a", "timestamp": stamps, "metric": "x", "trend": [0.0, 3.0, 6.0, 9.0],
    ...                       "seasonal": 0.0, "resid": [1.0, -1.0, -1.0, 1.0]})
    >>> parts["observed"] = parts["trend"] + parts["resid"]
    >>> strength(parts.set_index(["entity", "timestamp", "metric"]))[["trend", "seasonal", "rows"]].round(3)
                   trend  seasonal  rows
    entity metric
    a      x       0.918       0.0     4
    """
    components = validate(components, "components")
    known = components[components["resid"].notna()]
    names = ["trend", *(name for name in components if name.startswith("seasonal"))]
    sums = known[names].add(known["resid"], axis=0).assign(resid=known["resid"])
    grouped = sums.groupby(level=["entity", "metric"], sort=True)
    rows = grouped["resid"].size()
    variance = grouped.var(ddof=0)
    explained = 1 - variance[names].rdiv(1).mul(variance["resid"], axis=0)
    enough = rows >= 3
    dust = (ROUNDING * known["observed"].abs().groupby(level=["entity", "metric"], sort=True).max()) ** 2
    shares = explained.where(variance[names].gt(dust, axis=0)).clip(lower=0).where(enough)
    everyone = pd.MultiIndex.from_frame(
        components.index.to_frame(index=False)[["entity", "metric"]].drop_duplicates()
    ).sort_values()
    return shares.assign(rows=rows).reindex(everyone).fillna({"rows": 0}).astype({"rows": "int64"})
