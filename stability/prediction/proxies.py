"""Proxies of the target: single features that know the answer by themselves."""

from __future__ import annotations

__all__ = ["TargetProxyWarning", "proxy_screen"]

import warnings

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from stability.schema import ContractError

LIMIT = 0.98  # no honest single measurement ranks faults that well; a flag that was set afterwards does
LEAST = 5  # of each class: with four and four, one feature of noise in 35 parts them without an error
SHOWN = 10  # names in a warning


class TargetProxyWarning(UserWarning):
    """A single feature answers the question: it leaks the label, or the question is one that nobody has to ask."""


def proxy_screen(features: pd.DataFrame, y: pd.Series | np.ndarray, *, limit: float = LIMIT) -> pd.DataFrame:
    """Ask of each feature alone how well it ranks the positive rows above the others, and warn of those that know.

    Flags of the failure that is to be predicted, the repair's own counter, or a reading of the hour of failure rank
    nearly without an error. Missingness may tell as much as a value: a sensor that only faulty machines have.

    Parameters
    ----------
    features : DataFrame, rows x features
        Numbers or flags; NaN is missing. Give the training rows only.
    y : Series or array of bool or 0/1, shape (rows,)
        The label. A Series has the index of the features.
    limit : float in [0.5, 1]
        An AUC above it, or below 1 - limit, marks a proxy, where there are at least `LEAST` rows of each class.

    Returns
    -------
    DataFrame, index feature
        - `auc` : of the values, over the rows that have one; ties count half. NaN where these are of one class;
        - `auc_of_missing` : of the flag "missing", over all rows; 0.5 where nothing or everything is missing;
        - `rows` : int, rows with a value;
        - `proxy` : bool.

        Sorted by the AUC that is farther from 0.5, on either side; the farthest first.

    Raises
    ------
    ContractError
        When a feature is no number, the lengths or indexes differ, or the rows are of a single class.

    Warns
    -----
    TargetProxyWarning
        With the names of the proxies and their AUC.

    References
    ----------
    AUC as the statistic of Mann and Whitney: Hanley and McNeil (1982), doi 10.1148/radiology.143.1.7063747. Leakage:
    Kaufman et al. (2012), doi 10.1145/2382577.2382579.

    Examples
    --------
    >>> features = pd.DataFrame({"load": [1.0, 2.0, 2.0, 3.0], "heat": [2.0, 1.0, None, None]})
    >>> proxy_screen(features, [False, False, True, True])[["auc", "auc_of_missing"]]
             auc  auc_of_missing
    feature
    heat     NaN             1.0
    load   0.875             0.5
    """
    positive = _flags(features, y)
    if not 0.5 <= limit <= 1:
        raise ContractError(column="limit", expected="an AUC from 0.5 to 1", got=limit)
    found = []
    for place, name in enumerate(features.columns):
        values = _numbers(features.iloc[:, place], name)
        there = ~np.isnan(values)
        auc, enough = _auc(values[there], positive[there])
        missing, _ = _auc((~there).astype(float), positive)
        known = [auc] * enough + [missing] * (_smaller(positive) >= LEAST)
        proxy = any(abs(one - 0.5) > limit - 0.5 for one in known)
        found.append((name, auc, missing, int(there.sum()), proxy))
    table = pd.DataFrame(found, columns=["feature", "auc", "auc_of_missing", "rows", "proxy"]).set_index("feature")
    table = table.astype({"auc": "float64", "auc_of_missing": "float64", "rows": "int64", "proxy": "bool"})
    away = (table[["auc", "auc_of_missing"]] - 0.5).abs().max(axis=1)
    table = table.iloc[np.argsort(-away.to_numpy(), kind="stable")]
    _warn(table[table["proxy"]], limit)
    return table


def _warn(proxies: pd.DataFrame, limit: float) -> None:
    if proxies.empty:
        return
    named = []
    for name, row in proxies.head(SHOWN).iterrows():
        of_value = abs(row["auc"] - 0.5) > limit - 0.5
        named.append(f"{name} (AUC {row['auc']:.3f})" if of_value else f"{name} (missing: {row['auc_of_missing']:.3f})")
    more = f" and {len(proxies) - SHOWN} more" * (len(proxies) > SHOWN)
    verb = "answers" if len(proxies) == 1 else "answer"
    text = (
        f"{', '.join(named)}{more} alone {verb} the question, beyond an AUC of {limit:g}. Remedy: find out when the "
        "value becomes known; drop it if that is after the moment of prediction, else ask a harder question."
    )
    warnings.warn(text, TargetProxyWarning, stacklevel=3)


def _smaller(positive: np.ndarray) -> int:
    count = int(positive.sum())
    return min(count, len(positive) - count)


def _auc(values: np.ndarray, positive: np.ndarray) -> tuple[float, bool]:
    """Give the share of pairs in which the positive row is higher, ties half, and whether there are rows enough."""
    ones = int(positive.sum())
    pairs = ones * (len(values) - ones)
    if not pairs:
        return np.nan, False
    above = rankdata(values)[positive].sum() - ones * (ones + 1) / 2
    return float(above / pairs), _smaller(positive) >= LEAST


def _flags(features: pd.DataFrame, y) -> np.ndarray:
    if isinstance(y, pd.Series) and not y.index.equals(features.index):
        remedy = "align them: y.reindex(features.index)"
        raise ContractError(column="y", expected="the index of the features", got="another", remedy=remedy)
    flags = np.asarray(y)
    if flags.shape != (len(features),):
        raise ContractError(column="y", expected=f"{len(features):,} labels", got=f"shape {flags.shape}")
    known = flags.dtype.kind in "biuf" and np.isin(flags, (0, 1)).all()
    if not known:
        got = f"dtype {flags.dtype}"
        raise ContractError(column="y", expected="True or False, 1 or 0", got=got, remedy="drop rows without a label")
    flags = flags.astype(bool)
    if not flags.any() or flags.all():
        got = f"{int(flags.sum()):,} positive of {len(flags):,} rows"
        raise ContractError(column="y", expected="rows of both classes", got=got, remedy="give a longer record")
    return flags


def _numbers(column: pd.Series, name: object) -> np.ndarray:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        remedy = "encode the category, or drop the column"
        raise ContractError(column=str(name), expected="numbers", got=f"dtype {column.dtype}", remedy=remedy)
    return column.to_numpy(dtype="float64", na_value=np.nan)
