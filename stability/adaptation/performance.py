"""Drift of performance: whether a predictor still is as good as it was, once it is known what came.

What came within the horizon of a row is known a horizon later; rows whose horizon is not over are no evidence yet
(`known`). Until then only what the model says can be compared (`drift` of the probabilities' log odds): that shows
that it meets other rows, not that it is wrong about them.

Each window is compared with the reference by four measures. Rows of one stretch of time depend on each other, across
entities too, so blocks of time over all entities are drawn again for intervals, and exchanged between the reference
and the window for p-values: had nothing changed, every exchange would be as likely as what was seen.
"""

from __future__ import annotations

__all__ = ["MEASURES", "VERDICTS", "known", "log_odds", "losses", "performance"]

from collections.abc import Callable

import numpy as np
import pandas as pd

from stability.evaluation import Estimate, NotEnoughEvidence, holm
from stability.evaluation.intervals import estimate_or_nan
from stability.evaluation.pairs import expanded
from stability.evaluation.probabilities import forecasts, surprise
from stability.evaluation.ranking import areas_of, ranked
from stability.evaluation.resampling import MIN_UNITS, block_length, resample_counts
from stability.schema import ContractError

# Name, and whether more is worse.
MEASURES = {"brier": True, "log_loss": True, "calibration_gap": None, "lift": False}
VERDICTS = ("worse", "better", "changed", "not distinguishable", "not enough evidence")
CLIP = 1e-6  # of probabilities in the log loss
COLUMNS = ["probability", "outcome"]


def known(evidence: pd.DataFrame, horizon: str | pd.Timedelta, now: pd.Timestamp) -> pd.DataFrame:
    """Give the rows whose outcome is known: those whose horizon is over.

    Parameters
    ----------
    evidence : DataFrame, index (entity, timestamp)
        `probability` and `outcome`.
    horizon : text or Timedelta
    now : Timestamp

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=4, freq="h", tz="UTC", name="timestamp")
    >>> table = pd.DataFrame({"probability": 0.1, "outcome": False}, index=hours)
    >>> len(known(table, "2h", hours[3]))
    2
    """
    stamps = evidence.index.get_level_values("timestamp")
    return evidence[stamps + pd.Timedelta(horizon) <= now]


def losses(evidence: pd.DataFrame, horizon: str | pd.Timedelta) -> pd.Series:
    """Give squared errors at the moments at which they are known, in their order: what a streaming detector may see.

    Returns
    -------
    Series of float64, index timestamp
        Mean over the rows of the same moment.

    Examples
    --------
    >>> hours = pd.date_range("2026-01-01", periods=2, freq="h", tz="UTC", name="timestamp")
    >>> losses(pd.DataFrame({"probability": [0.5, 0.0], "outcome": [True, False]}, index=hours), "1h").tolist()
    [0.25, 0.0]
    """
    p, y = forecasts(evidence["probability"].to_numpy(), evidence["outcome"].to_numpy())
    stamps = evidence.index.get_level_values("timestamp") + pd.Timedelta(horizon)
    return pd.Series((p - y) ** 2, index=stamps, name="loss").groupby(level=0).mean().rename_axis("timestamp")


def log_odds(probability: pd.Series, *, clip: float = 1e-4) -> pd.Series:
    """Give the log odds of probabilities, whose drift can be seen before anything came or did not.

    Examples
    --------
    >>> log_odds(pd.Series([0.5, 0.9])).round(2).tolist()
    [0.0, 2.2]
    """
    p = probability.clip(clip, 1 - clip)
    return np.log(p / (1 - p)).rename("log_odds")


def performance(
    reference: pd.DataFrame,
    later: pd.DataFrame,
    *,
    window: str | pd.Timedelta | None = None,
    block: str | pd.Timedelta,
    resamples: int = 1000,
    permutations: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare how good a predictor is in later windows with how good it was.

    Parameters
    ----------
    reference, later : DataFrame, index (entity, timestamp)
        `probability` and `outcome` (bool) of rows whose outcome is known, such as `known` gives; the reference must not
        be what the predictor was trained on, or everything that follows is worse.
    window : text or Timedelta, optional
        Length of a window of the later rows; all of them are one without it.
    block : text or Timedelta
        Of time: two horizons or more.
    resamples, permutations : int
        Of the bootstrap and of the exchanges.
    confidence, seed
        As in `evaluation.paired_difference`; verdicts are by Holm's correction over all windows and measures.

    Returns
    -------
    DataFrame, index (window, measure)
        `window` is where it begins. `brier`, `log_loss`, `calibration_gap` (mean probability less the share that came)
        and `lift` (PR-AUC over the base rate: PR-AUC alone moves with the rate of faults), each as `value`, `lo`, `hi`,
        `reference`, `difference`, `difference_lo`, `difference_hi`, `p`, `p_holm`, `verdict`, `rows`, `positives`.

    Raises
    ------
    NotEnoughEvidence
        When the reference has fewer than `MIN_UNITS` blocks or one class, or no later row is there.
    ContractError
        When a probability is none, or the later rows begin before the reference ends.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hours = pd.date_range("2026-01-01", periods=2000, freq="h", tz="UTC", name="timestamp")
    >>> p = pd.Series(rng.uniform(size=2000) ** 2, hours)
    >>> table = pd.DataFrame({"probability": p, "outcome": rng.uniform(size=2000) < p})
    >>> table.loc[hours[1000:], "outcome"] = rng.uniform(size=1000) < 0.3  # it knows nothing any more
    >>> performance(table[:1000], table[1000:], block="10h").droplevel("window")["verdict"].to_dict()
    {'brier': 'worse', 'log_loss': 'worse', 'calibration_gap': 'not distinguishable', 'lift': 'worse'}
    """
    then, now = (_sorted(part) for part in (reference, later))
    if then.empty or now.empty:
        raise NotEnoughEvidence(f"{len(then)} rows of the reference and {len(now)} later ones whose outcome is known.")
    if then["at"].iloc[-1] >= now["at"].iloc[0]:
        expected = f"rows after {then['at'].iloc[-1]}, where the reference ends"
        raise ContractError(file="later", expected=expected, got=str(now["at"].iloc[0]))
    length = block_length(block)
    settings = {"resamples": resamples, "permutations": permutations, "confidence": confidence, "seed": seed}
    units = len(np.unique(then["at"].astype("int64") // length))
    if units < MIN_UNITS or then["outcome"].nunique() < 2:
        raise NotEnoughEvidence(
            f"The reference has {units} blocks of {block} and {int(then['outcome'].sum())} rows of {len(then)} with a "
            f"fault ahead: it needs {MIN_UNITS} blocks and both kinds. Give a longer one."
        )
    begin = now["at"].iloc[0]
    span = pd.Timedelta(window) if window is not None else now["at"].iloc[-1] - begin + pd.Timedelta("1us")
    if span <= pd.Timedelta(0):
        raise ContractError(column="window", expected="a length of time above 0", got=str(window))
    rows = {}
    for number, own in now.groupby((now["at"] - begin) // span):
        rows |= {(begin + number * span, name): row for name, row in _window(then, own, length, settings).items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["window", "measure"])
    table["p_holm"] = holm(table["p"].to_numpy(dtype=float))
    names = table.index.get_level_values("measure")
    table["verdict"] = [
        _verdict(MEASURES[m], row, confidence) for m, row in zip(names, table.itertuples(), strict=True)
    ]
    return table


def _sorted(evidence: pd.DataFrame) -> pd.DataFrame:
    flat = pd.DataFrame({name: evidence[name].to_numpy() for name in COLUMNS})
    flat["at"] = pd.DatetimeIndex(evidence.index.get_level_values("timestamp")).as_unit("us")
    return flat.sort_values("at", kind="stable", ignore_index=True)


def _window(then: pd.DataFrame, own: pd.DataFrame, length: int, settings: dict) -> dict[str, dict]:
    """Each measure of one window beside the reference."""
    both = pd.concat([then, own], ignore_index=True)
    late = np.arange(len(both)) >= len(then)
    _, units = np.unique(2 * (both["at"].astype("int64").to_numpy() // length) + late, return_inverse=True)
    sides = np.unique(np.column_stack([units, late]), axis=0)[:, 1].astype(bool)
    p, y = forecasts(both["probability"].to_numpy(), both["outcome"].to_numpy())
    counted = {"rows": len(own), "positives": int(own["outcome"].sum())}
    return {name: counted | _compared(_measure(name, p, y, units), sides, settings) for name in MEASURES}


def _measure(name: str, p: np.ndarray, y: np.ndarray, units: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What gives a measure from how often each unit is drawn, of counts (resamples, units)."""
    size = int(units.max()) + 1
    rows = np.bincount(units, minlength=size)
    if name == "lift":
        if y.all() or not y.any():
            return lambda counts: np.full(len(counts), np.nan)
        order, positive, last = ranked(p, y.astype(bool))
        came = np.bincount(units, weights=y, minlength=size)
        return lambda counts: areas_of(units[order], positive, last, counts) / (counts @ came / (counts @ rows))
    each = {"brier": (p - y) ** 2, "log_loss": surprise(p, y, CLIP), "calibration_gap": p - y}[name]
    sums = np.bincount(units, weights=each, minlength=size)
    return lambda counts: counts @ sums / (counts @ rows)


def _compared(measure: Callable, late: np.ndarray, settings: dict) -> dict:
    """A measure of the late units beside that of the others: intervals by drawing, p by exchanging."""
    nothing = Estimate(*[np.nan] * 3)
    value, before = (float(measure(side[None, :].astype(np.int64))[0]) for side in (late, ~late))
    few = int(min(late.sum(), (~late).sum()))
    drawn, p = nothing, np.nan
    difference = nothing
    if few >= MIN_UNITS and np.isfinite(value - before):
        share = expanded(settings["confidence"], few)
        own, other = (_drawn(measure, side, settings) for side in (late, ~late))
        drawn, difference = estimate_or_nan(value, own, share), estimate_or_nan(value - before, own - other, share)
        p = _exchanged(measure, late, value - before, settings)
    found = dict(zip(("value", "lo", "hi"), (value, *drawn[1:]), strict=True)) | {"reference": before}
    return found | dict(zip(("difference", "difference_lo", "difference_hi"), difference, strict=True)) | {"p": p}


def _drawn(measure: Callable, side: np.ndarray, settings: dict) -> np.ndarray:
    seed = settings["seed"] + int(side[0])  # the two sides are drawn each by itself
    values = []
    for counts in resample_counts(int(side.sum()), settings["resamples"], seed):
        whole = np.zeros((len(counts), len(side)), dtype=np.int64)
        whole[:, side] = counts
        values.append(_quiet(measure, whole))
    return np.concatenate(values)


def _exchanged(measure: Callable, late: np.ndarray, seen: float, settings: dict) -> float:
    rng = np.random.default_rng(settings["seed"])
    sides = rng.permuted(np.tile(late, (settings["permutations"], 1)), axis=1).astype(np.int64)
    moved = np.abs(_quiet(measure, sides) - _quiet(measure, 1 - sides))
    extreme = int(np.count_nonzero(~(moved < abs(seen) - 1e-12)))
    return (extreme + 1) / (settings["permutations"] + 1)


def _quiet(measure: Callable, counts: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return measure(counts)


def _verdict(more_is_worse: bool | None, row, confidence: float) -> str:
    if np.isnan(row.p):
        return VERDICTS[-1]
    if row.p_holm > 1 - confidence + 1e-12:
        return VERDICTS[3]
    return VERDICTS[2] if more_is_worse is None else VERDICTS[int((row.difference > 0) != more_is_worse)]
