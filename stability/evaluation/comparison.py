"""Comparison: every method beside a baseline on the same cases, corrected for how many comparisons there are.

Each difference has an interval and a p-value (`pairs` says how); several comparisons with one baseline are corrected by
Holm's step-down, which bounds the chance of any false verdict. "Better" and "worse" are said only where the interval
excludes 0 and the corrected p-value is small; else "not distinguishable".
"""

from __future__ import annotations

__all__ = ["compare", "compare_events", "comparison_sentences", "gain_sentence"]

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from stability.evaluation.events import RATES, event_rates, event_sums
from stability.evaluation.intervals import Estimate, NotEnoughEvidence
from stability.evaluation.pairs import holm, paired_difference
from stability.evaluation.resampling import ENOUGH_ENTITIES, resampling_units
from stability.schema import ContractError, nearest

VERDICTS = ("better", "worse", "not distinguishable", "not enough evidence")


def compare(
    scores: pd.DataFrame | Mapping[str, pd.Series],
    baseline: str,
    *,
    higher_is_better: bool = True,
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 5000,
    permutations: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every method's mean score with a baseline's on the same cases.

    Parameters
    ----------
    scores : DataFrame of float, cases x methods
        Or a mapping of method to Series with one common index. A case is whatever has one score: an entity's VUS-PR, an
        event's lead time, a row's squared error. The index says what depends on what: (entity, timestamp) or plain
        timestamps are grouped as `resampling_units` does; a level `entity` beside others (such as the event) groups by
        entity where there are at least `ENOUGH_ENTITIES`; any other row is a unit of its own.
    baseline : str
        One of the methods.
    higher_is_better : bool
        False for errors and delays.
    unit, block
        As in `resampling_units`; "entity" and "block" need those levels.
    resamples, permutations : int
        Of the bootstrap and of the exchanges.
    confidence, seed
        As in `bootstrap_interval`; a p-value counts as small up to 1 - confidence, after Holm.

    Returns
    -------
    DataFrame, index: the methods but for the baseline, in their order
        `value` and `baseline` (means over the cases that both have), `difference` (value - baseline) with `lo` and
        `hi`, `p`, `p_holm`, `verdict` ("better", "worse", "not distinguishable", "not enough evidence"), `units`,
        `cases`, and `left_out`: cases in which one of the two has no score. A method that is silent on hard cases
        gains by that: read `left_out`, or fill such cases with the worst score before.

    Raises
    ------
    ContractError
        For an unknown baseline, fewer than two methods, or indexes that differ.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old = rng.normal(size=12)
    >>> new = old + 0.3 + 0.1 * rng.normal(size=12)
    >>> scores = pd.DataFrame({"old": old, "new": new, "same": rng.permutation(old)})
    >>> compare(scores, "old")[["difference", "lo", "hi", "p_holm", "verdict"]].round(3)
          difference     lo     hi  p_holm              verdict
    new        0.275  0.212  0.335   0.001               better
    same       0.000 -0.751  0.668   1.000  not distinguishable
    """
    if not isinstance(scores, pd.DataFrame):
        require_same_rows(scores)
        scores = pd.DataFrame(dict(scores))
    require_baseline(baseline, list(scores.columns))
    settings = {"resamples": resamples, "permutations": permutations, "confidence": confidence, "seed": seed}
    rows = {}
    for name in scores.columns.drop(baseline):
        try:
            pair = scores[[name, baseline]].astype(float)
        except ValueError as error:
            raise ContractError(column="scores", expected="numbers", got=str(error)) from None
        both = pair.notna().all(axis=1).to_numpy()
        units = _units(pair.index[both], unit, block)
        sums = np.stack(
            [_per_unit(np.column_stack([pair.loc[both, method], np.ones(both.sum())]), units) for method in pair]
        )
        found = _row(sums, lambda s: s[..., 0] / s[..., 1], **settings)
        rows[name] = found | {"cases": int(both.sum()), "left_out": int((~both).sum())}
    return verdict_table(rows, higher_is_better, confidence)


def compare_events(
    alarms: Mapping[str, pd.DataFrame],
    windows: pd.DataFrame,
    observed: pd.DataFrame | pd.Series,
    baseline: str,
    *,
    measure: str = "f1",
    early: str | pd.Timedelta = "0s",
    late: str | pd.Timedelta = "0s",
    match: str = "overlap",
    unit: str = "auto",
    block: str | pd.Timedelta = "1D",
    resamples: int = 5000,
    permutations: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every detector's event scores with a baseline's on the same entities (or days).

    F1, precision and the like are no means over units: they are computed anew from the summed events, alarms and times
    of each resample and of each exchange.

    Parameters
    ----------
    alarms : mapping of detector to DataFrame
        Each as in `event_scores`.
    windows, observed, early, late, match
        As in `event_scores`.
    baseline : str
        One of the detectors.
    measure : {"recall", "precision", "f1", "false_alarms_per_day", "alarmed_share"}
        Which of the rates; of the last two less is better.
    unit, block, resamples, permutations, confidence, seed
        As in `compare`.

    Returns
    -------
    DataFrame
        As `compare`; `cases` are the events. "Not enough evidence" where the measure is undefined, such as precision
        without alarms.

    Raises
    ------
    ContractError
        As `event_scores`, and for an unknown baseline or measure.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=480, freq="h", tz="UTC", unit="us")
    >>> panel = pd.DataFrame({"up": 1.0}, index=stamps)
    >>> windows = pd.DataFrame({"entity": "default", "start": stamps[10::24], "end": stamps[14::24]})
    >>> table = compare_events({"all": windows, "half": windows[::2]}, windows, panel, "half", measure="recall")
    >>> table[["difference", "units", "verdict"]]
         difference  units verdict
    all         0.5     20  better
    """
    if measure not in RATES:
        remedy = nearest(measure, RATES)
        raise ContractError(column="measure", expected="one of " + ", ".join(RATES), got=measure, remedy=remedy)
    require_baseline(baseline, list(alarms))
    judged = {
        name: event_sums(mine, windows, observed, early=early, late=late, match=match, block=block)
        for name, mine in alarms.items()
    }
    index = pd.concat([frame.iloc[:, :0] for frame in judged.values()]).index.unique().sort_values()
    units = _units(index, unit, block)
    sums = {name: _per_unit(frame.reindex(index, fill_value=0.0).to_numpy(), units) for name, frame in judged.items()}
    settings = {"resamples": resamples, "permutations": permutations, "confidence": confidence, "seed": seed}
    rows = {}
    for name in [name for name in sums if name != baseline]:
        pair = np.stack([sums[name], sums[baseline]])
        found = _row(pair, lambda s: event_rates(s)[RATES.index(measure)], **settings)
        rows[name] = found | {"cases": int(judged[name]["events"].sum()), "left_out": 0}
    return verdict_table(rows, measure in ("recall", "precision", "f1"), confidence)


def comparison_sentences(table: pd.DataFrame, baseline: str, measure: str = "score") -> list[str]:
    """Say each row of a comparison in words.

    Parameters
    ----------
    table : DataFrame
        From `compare` or `compare_events`.
    baseline, measure : str
        As they should be called.

    Returns
    -------
    list of str

    Examples
    --------
    >>> scores = pd.DataFrame({"old": np.arange(6.0), "new": np.arange(6.0)[::-1]})
    >>> comparison_sentences(compare(scores, "old"), "old", "VUS-PR")
    ['new is not distinguishable from old by VUS-PR: difference +0 (-3.33 to +3.67), p = 1 after Holm, 6 units.']
    """
    sentences = []
    for name, row in table.iterrows():
        verdict = row["verdict"]
        if verdict == "not enough evidence":
            sentences.append(f"There is not enough evidence to compare {name} with {baseline} by {measure}.")
            continue
        link = "from" if verdict == "not distinguishable" else "than"
        spread = f"{row['difference']:+.3g} ({row['lo']:+.3g} to {row['hi']:+.3g})"
        evidence = f"p = {row['p_holm']:.2g} after Holm, {row['units']} units"
        sentences.append(f"{name} is {verdict} {link} {baseline} by {measure}: difference {spread}, {evidence}.")
    return sentences


def _row(sums: np.ndarray, statistic, **settings) -> dict:
    """Compare two methods by their sums for each unit, shape (2, units, sums)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value, baseline = (float(x) for x in statistic(sums.sum(axis=1)))
    row = {"value": value, "baseline": baseline, "units": sums.shape[1]}
    try:
        found, p = paired_difference(*sums, statistic, **settings)
    except NotEnoughEvidence:
        return row | dict.fromkeys(("difference", "lo", "hi", "p"), math.nan)
    return row | {"difference": found.value, "lo": found.lo, "hi": found.hi, "p": p}


def verdict_table(rows: dict[str, dict], higher_is_better: bool, confidence: float) -> pd.DataFrame:
    """Put comparisons with one baseline into a table, corrected for their number, each with its verdict."""
    columns = ["value", "baseline", "difference", "lo", "hi", "p", "p_holm", "verdict", "units", "cases", "left_out"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[c for c in columns if c not in ("p_holm", "verdict")])
    table["p_holm"] = holm(table["p"].to_numpy(dtype=float))
    better = (table["difference"] > 0) == higher_is_better
    apart = (table["p_holm"] <= 1 - confidence + 1e-12) & ((table["lo"] > 0) | (table["hi"] < 0))
    table["verdict"] = np.select(
        [table["p"].isna(), apart & better, apart], [VERDICTS[3], VERDICTS[0], VERDICTS[1]], VERDICTS[2]
    )
    return table[columns]


def _units(index: pd.Index, unit: str, block) -> np.ndarray:
    if isinstance(index, pd.DatetimeIndex) or {"entity", "timestamp"} <= set(index.names):
        return resampling_units(index, unit, block)
    if "entity" in index.names and unit in ("auto", "entity"):
        codes, entities = pd.factorize(index.get_level_values("entity"))
        if unit == "entity" or len(entities) >= ENOUGH_ENTITIES:
            return codes
    elif unit != "auto":
        got = f"levels named {', '.join(map(str, index.names))}"
        raise ContractError(column="unit", expected=f"an index that tells each case's {unit}", got=got)
    return np.arange(len(index))


def _per_unit(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    sums = np.zeros((int(units.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, units, values)
    return sums


def require_same_rows(scores: Mapping[str, pd.Series]) -> None:
    """Refuse methods that were not judged on the same cases."""
    if not isinstance(scores, Mapping) or not all(isinstance(part, pd.Series) for part in scores.values()):
        raise ContractError(column="scores", expected="a table, or a Series for each method", got=type(scores).__name__)
    first = next(iter(scores.values()), pd.Series(dtype=float)).index
    for name, part in scores.items():
        if not part.index.equals(first):
            remedy = "give all methods the same cases, with NaN where one is silent"
            raise ContractError(
                column=name, expected="the index of the other methods", got=f"{len(part)} cases", remedy=remedy
            )


def require_baseline(baseline: str, names: list) -> None:
    """Refuse a baseline that is none of the methods, and methods that cannot be told apart."""
    if baseline not in names:
        raise ContractError(
            column="baseline", expected="one of the methods", got=baseline, remedy=nearest(baseline, names)
        )
    if len(names) < 2 or len(set(names)) < len(names):
        raise ContractError(
            column="scores", expected="two or more methods of different names", got=", ".join(map(str, names))
        )


def gain_sentence(gains: Mapping[str, Estimate], what: str) -> str:
    """Say which of several additions gain or lose something, by intervals that hold together.

    Parameters
    ----------
    gains : mapping of str to Estimate
        Paired differences, each with an interval at 1 - 0.05 / (how many): together they hold at 95 % (Bonferroni).
    what : str
        What is gained, such as ``"VUS-PR after the prefix"``.

    Returns
    -------
    str

    Examples
    --------
    >>> gain_sentence({"lstm": Estimate(0.1, 0.02, 0.2), "arima": Estimate(0.0, -0.1, 0.1)}, "recall")
    'recall: lstm adds; arima: not distinguishable.'
    """
    said = {
        "adds": [name for name, gain in gains.items() if gain.lo > 0],
        "takes away": [name for name, gain in gains.items() if gain.hi < 0],
    }
    told = [f"{', '.join(names)} {word}" for word, names in said.items() if names]
    rest = [name for name in gains if name not in said["adds"] + said["takes away"]]
    told += [f"{', '.join(rest)}: not distinguishable"] if rest else []
    return f"{what}: {'; '.join(told)}."
