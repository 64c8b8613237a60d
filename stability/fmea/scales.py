"""From a measured number to a rating and back: the bands of each scale, which are data."""

from __future__ import annotations

__all__ = ["band", "hold", "rate", "read_scale"]

from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stability.schema import ContractError, home, one_of

FILE = Path("data") / "fmea" / "scales.csv"


def read_scale(scale: str, path: str | PathLike | None = None) -> pd.Series:
    """Read the bands of a scale.

    Parameters
    ----------
    scale : {'occurrence', 'detection', 'severity_budget', 'severity_users', 'severity_feedback'}
        In the file that ships; in units that its comments name.
    path : str or path, optional
        CSV with scale, rating, at_least, meaning.

    Returns
    -------
    Series of float64, index rating
        The value from which on the rating holds, rising.

    Raises
    ------
    ContractError
        For an unknown scale, a rating outside of 1 to 10, a scale that does not begin at 0, or whose ratings neither
        rise nor fall throughout, or leave one out.
    """
    file = home() / FILE if path is None else Path(path)
    scales = _read(file, file.stat().st_mtime_ns if file.is_file() else 0)
    return scales[one_of(scale, list(scales), "scale")]


@cache
def _read(file: Path, _changed: int) -> dict[str, pd.Series]:
    try:
        rows = pd.read_csv(file, comment="#", dtype={"rating": "int64", "at_least": "float64"})
        found = {name: own.set_index("rating")["at_least"] for name, own in rows.groupby("scale", sort=False)}
    except (OSError, ValueError, KeyError) as error:
        raise ContractError(
            file=file, expected="a CSV with scale, rating, at_least, meaning", got=str(error)
        ) from error
    for name, one in found.items():
        if one.index.min() < 1 or one.index.max() > 10:
            raise ContractError(file=file, column=name, expected="ratings from 1 to 10", got=str(list(one.index)))
        steps, levels = np.diff(one.to_numpy()), np.diff(one.index)
        if one.iloc[0] != 0 or not (steps > 0).all() or not ((levels == 1).all() or (levels == -1).all()):
            expected = "bands from 0 up, whose ratings all rise or all fall, without one left out"
            raise ContractError(file=file, column=name, expected=expected, got=str(one.to_dict()))
    return found


def rate(scale: str, values: ArrayLike) -> np.ndarray:
    """Give the rating of each value.

    Parameters
    ----------
    scale : str
        As for `read_scale`.
    values : array-like of float
        0 or more, in the scale's unit; NaN where unknown.

    Returns
    -------
    array of float64
        Ratings; NaN where unknown.

    Examples
    --------
    >>> rate("occurrence", [0.0, 0.03, 5.0]).tolist(), rate("detection", [0.95, 0.1]).tolist()
    ([2.0, 8.0, 10.0], [3.0, 9.0])
    """
    numbers, bands = np.asarray(values, dtype="float64"), read_scale(scale)
    if (numbers < 0).any():
        raise ContractError(column=scale, expected="values from 0 up", got=f"{np.nanmin(numbers):g}")
    places = np.searchsorted(bands.to_numpy(), numbers, side="right") - 1  # NaN sorts last, and is taken out below
    return np.where(np.isnan(numbers), np.nan, bands.index.to_numpy(dtype="float64")[places])


def band(scale: str, rating: int) -> tuple[float, float]:
    """Give the values that earn a rating: from the first number up to below the second.

    A rating that the scale does not have (occurrence 1, severity 9) earns the empty band beyond its end.

    Examples
    --------
    >>> band("occurrence", 8), band("detection", 2), band("occurrence", 1)
    ((0.02, 0.05), (0.98, inf), (0.0, 0.0))
    """
    bands = read_scale(scale)
    if rating not in bands.index:
        rising = bands.index[-1] > bands.index[0]
        return (0.0, 0.0) if (rating < bands.index.min()) == rising else (float("inf"), float("inf"))
    place = bands.index.get_loc(rating)
    return float(bands.iloc[place]), float(bands.iloc[place + 1]) if place + 1 < len(bands) else float("inf")


def hold(authored: ArrayLike, lo: ArrayLike, hi: ArrayLike) -> np.ndarray:
    """Move a rating only where evidence contradicts it, and only as far as its bound.

    A rating within the bounds stays; one below the lower bound rises to it, one above the upper bound falls to it. So a
    rating changes when a bound crosses a band and never before, and a second look at the same evidence changes nothing.
    Without an authored rating the upper bound stands: what is not known is taken to be bad.

    Parameters
    ----------
    authored, lo, hi : array-like of float64
        Ratings; NaN where unknown.

    Returns
    -------
    array of float64

    Examples
    --------
    >>> hold([4, 4, 4, float("nan")], [3, 6, 1, 2], [5, 8, 2, 7]).tolist()
    [4.0, 6.0, 2.0, 7.0]
    """
    said, low, high = (np.asarray(one, dtype="float64") for one in (authored, lo, hi))
    if (low > high).any():
        raise ContractError(column="lo", expected="a lower bound not above the upper one", got="one above it")
    moved = np.fmin(np.fmax(said, low), high)  # fmin and fmax pass over what is unknown
    return np.where(np.isnan(said), high, moved)
