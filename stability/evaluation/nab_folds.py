"""The NAB score of what was chosen elsewhere: settings and threshold from the other categories of the benchmark."""

from __future__ import annotations

__all__ = ["NabHeldOut", "nab_held_out", "nab_held_out_difference"]

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation.intervals import Estimate, percentile_estimate
from stability.evaluation.nab import NabProfile, nab_steps, profile_of
from stability.evaluation.resampling import resample_counts
from stability.schema import ContractError

REACH = 0.15  # ranks within this share of a rank are averaged, so that no single row decides


class NabHeldOut(NamedTuple):
    """A held-out NAB score and the choices behind it.

    Parameters
    ----------
    estimate : Estimate
        On the scale of `NabScore.value`; interval by drawing files again, the choices being held.
    hits, windows, false_alarm_rows : int
        Of all folds together.
    folds : DataFrame, index group
        `configuration`, `threshold`, `value`, `hits`, `windows`, `false_alarm_rows` of each held-out group.
    flagged : Series of bool, (entity, timestamp)
        The rows at or above their fold's threshold.
    shares : DataFrame, index entity
        `gained` and `most` of each file: what its flagged rows are worth, and what they could be at best.
    """

    estimate: Estimate
    hits: int
    windows: int
    false_alarm_rows: int
    folds: pd.DataFrame
    flagged: pd.Series
    shares: pd.DataFrame


def nab_held_out(
    configurations: Mapping[str, pd.Series],
    windows: pd.DataFrame,
    groups: Mapping[str, str],
    profile: str | NabProfile = "standard",
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> NabHeldOut:
    """Score a detector whose settings and threshold were chosen without the files that they are judged on.

    For each group of files (a category of the benchmark) the configuration and the threshold are those with the best
    raw score on all the other groups. The raw score at a threshold is averaged over the thresholds near to it, by the
    rank of the rows, because a maximum over thousands of thresholds is mostly luck. Hits, misses and false alarms of
    the folds are pooled and scored together.

    Parameters
    ----------
    configurations : mapping of name to Series of float64, (entity, timestamp)
        Scores of one detector under several settings, on the same rows.
    windows : DataFrame
        As in `nab_score`.
    groups : mapping of entity to str
        The group of each file.
    profile : str or NabProfile
        As in `nab_score`.
    resamples, seed
        Of the interval.

    Returns
    -------
    NabHeldOut

    Raises
    ------
    ContractError
        For no configuration, configurations whose rows are not the same, fewer than two groups, a file without one, and
        as `nab_score`.
    """
    weights = profile_of(profile)
    if not configurations:
        raise ContractError(file="configurations", expected="one or more", got="none")
    first, *others = configurations
    for name in others:
        if not configurations[name].index.equals(configurations[first].index):
            expected, got = f"the rows of {first!r} in their order", f"others in {name!r}"
            raise ContractError(file="configurations", expected=expected, got=got)
    found = {name: nab_steps(scores, windows) for name, scores in configurations.items()}
    files = found[first].files
    missing = [entity for entity in files.index if entity not in groups]
    if missing:
        raise ContractError(file="groups", expected="a group for each file", got=f"none for {missing[0]!r}")
    group = np.array([groups[entity] for entity in files.index])
    if len(set(group)) < 2:
        raise ContractError(file="groups", expected="two groups or more", got=f"{len(set(group))}")
    count = files["windows"].to_numpy()
    gained, rows, flagged = np.zeros(len(files)), [], []
    for held in dict.fromkeys(group):
        out = group == held
        name, threshold = _best(found, weights, ~out)
        steps = found[name]
        chosen = out[steps.entity] & (steps.score >= threshold)
        gained += np.bincount(steps.entity[chosen], weights=steps.gains(weights)[chosen], minlength=len(files))
        hits, false = (int((steps.hit[chosen] == sign).sum()) for sign in (1, -1))
        most = (weights.tp + weights.fn) * count[out].sum()
        value = 100 * gained[out].sum() / most if most else np.nan
        rows.append((held, name, threshold, value, hits, int(count[out].sum()), false))
        scores = configurations[name]
        own = scores.index.get_level_values("entity").isin(files.index[out])
        flagged.append(scores[own] >= threshold)
    columns = ["group", "configuration", "threshold", "value", "hits", "windows", "false_alarm_rows"]
    folds = pd.DataFrame(rows, columns=columns).set_index("group")
    shares = pd.DataFrame({"gained": gained, "most": (weights.tp + weights.fn) * count}, index=files.index)
    estimate = _redrawn(shares["gained"], shares["most"], resamples, seed)
    totals = folds[["hits", "windows", "false_alarm_rows"]].sum().astype(int)
    return NabHeldOut(estimate, *totals.tolist(), folds, pd.concat(flagged).sort_index(), shares)


def nab_held_out_difference(
    one: NabHeldOut, other: NabHeldOut, *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Give by how much one held-out score is above another, in the same drawings of the same files.

    Parameters
    ----------
    one, other : NabHeldOut
        Of the same files, by the same profile.
    resamples, confidence, seed
        Of the interval.

    Returns
    -------
    Estimate
        Of the first minus the other, on the scale of `NabScore.value`.

    Raises
    ------
    ContractError
        When the files or what they could be worth are not the same.
    """
    if not one.shares["most"].equals(other.shares["most"]):
        raise ContractError(file="other", expected="the same files and profile", got="others")
    return _redrawn(one.shares["gained"] - other.shares["gained"], one.shares["most"], resamples, seed, confidence)


def _redrawn(gained: pd.Series, most: pd.Series, resamples: int, seed: int, confidence: float = 0.95) -> Estimate:
    drawn = []
    for counts in resample_counts(len(most), resamples, seed):
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn.append(100 * (counts @ gained.to_numpy()) / (counts @ most.to_numpy()))
    return percentile_estimate(float(100 * gained.sum() / most.sum()), np.concatenate(drawn), confidence)


def _best(found: Mapping, weights: NabProfile, training: np.ndarray) -> tuple[str, float]:
    """Configuration and threshold with the best smoothed raw score on the training files."""
    best = (0.0, next(iter(found)), np.inf)
    for name, steps in found.items():
        mine = training[steps.entity]
        totals = np.cumsum(steps.gains(weights)[mine])
        score = steps.score[mine]
        if not len(totals):
            continue
        ranks = np.arange(1, len(totals) + 1)
        low = np.ceil(ranks / (1 + REACH)).astype(int) - 1
        high = np.minimum((ranks * (1 + REACH)).astype(int), len(totals))
        whole = np.append(0.0, np.cumsum(totals))
        smooth = (whole[high] - whole[low]) / (high - low)
        last = np.append(score[1:] != score[:-1], True)  # a threshold takes all rows of its score
        smooth = np.where(last, smooth, -np.inf)
        place = int(smooth.argmax())
        if smooth[place] > best[0]:
            best = (float(smooth[place]), name, float(score[place]))
    return best[1], best[2]
