"""The gate: whether a challenger may take the champion's place, judged on the same rows, row by row.

Two gates. ``better``: the paired 95 % interval of the difference in PR-AUC lies above 0. ``not-worse``: it lies above
-`MARGIN`, for a predictor that is not more complex than the champion. Under both the Brier score must not be worse for
certain: the paired interval of its difference must not lie above 0. Where there is no champion yet, the rival is the
base rate of these very rows: PR-AUC of a constant, and the Brier score of the best one, which only hindsight knows.
"""

from __future__ import annotations

__all__ = ["GATES", "MARGIN", "Verdict", "evidence_table", "judge", "measures", "same_rows"]

from typing import NamedTuple

import pandas as pd

from stability import evaluation
from stability.prediction.registry import PREDICTORS
from stability.schema import ContractError, one_of, validate

GATES = ("better", "not-worse")
MARGIN = 0.02  # PR-AUC that a simpler predictor may cost: a convention, so it is written down with each promotion
RESAMPLES = 2_000
CONFIDENCE = 0.95
DAY = 86_400  # s
FEW_DAYS = 20  # fewer blocks of a day than these would make too wide an interval
# From the simplest on, as the registry has them; a hazard model is boosted trees.
ORDER = {name: place for place, name in enumerate(PREDICTORS)} | {"hazard": list(PREDICTORS).index("xgboost")}
RIVAL = "base rate"


class Verdict(NamedTuple):
    """What the gate says.

    Parameters
    ----------
    passed : bool
        Whether the challenger may take the place.
    sentence : str
        Why, in numbers.
    table : DataFrame
        A row for each measure: `challenger`, `rival`, `difference` (challenger - rival) with `lo` and `hi`, `p`.
    """

    passed: bool
    sentence: str
    table: pd.DataFrame


def evidence_table(evidence: pd.DataFrame, horizon: int, *, source: str = "evidence") -> pd.DataFrame:
    """Bring what a predictor said of the test rows, and what came, into one form.

    Parameters
    ----------
    evidence : DataFrame
        `probability` (NaN is an abstention) and `outcome` (bool), with entity and timestamp, and horizon where there
        is one, as index or columns; other columns are left out.
    horizon : int
        In seconds.
    source : str
        Name for error messages.

    Returns
    -------
    DataFrame, index (entity, timestamp, horizon), sorted
        `outcome` (bool) and `probability` (float64).

    Raises
    ------
    ContractError
        When it breaks the contract of predictions or labels, has no row, or is of another horizon.
    """
    for name in ("outcome", "probability"):
        if name not in evidence:
            there = ", ".join(map(str, evidence.columns))
            raise ContractError(file=source, column=name, expected="a column", got=f"only {there or 'none'}")
    if not len(evidence):
        raise ContractError(file=source, expected="predictions of the test rows", got="none")
    keyed = evidence if "horizon" in [*evidence.columns, *evidence.index.names] else evidence.assign(horizon=horizon)
    kept = keyed[[name for name in keyed.columns if name in ("entity", "timestamp", "horizon")]]
    said = kept.assign(probability=evidence["probability"], model="challenger")
    said = validate(said, "predictions", source=source)
    came = kept.assign(impact_within=evidence["outcome"], time_to_impact=float("nan"), censored=False)
    came = validate(came, "labels", source=source)
    others = sorted(set(said.index.get_level_values("horizon")) - {horizon})
    if others:
        expected, got = f"predictions for a horizon of {horizon} s", f"some for {others[0]} s"
        raise ContractError(file=source, column="horizon", expected=expected, got=got)
    return pd.DataFrame({"outcome": came["impact_within"], "probability": said["probability"]})


def same_rows(challenger: pd.DataFrame, rival: pd.DataFrame) -> str:
    """Say in what two tables of evidence differ, but for the probabilities; empty where in nothing.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=3, freq="D", tz="UTC", unit="us", name="timestamp")
    >>> table = evidence_table(pd.DataFrame({"outcome": False, "probability": 0.1}, index=stamps), 86_400)
    >>> same_rows(table, table), same_rows(table, table.iloc[1:])
    ('', '3 rows of the challenger, 2 of the champion, 2 in common')
    """
    if not challenger.index.equals(rival.index):
        common = len(challenger.index.intersection(rival.index))
        return f"{len(challenger):,} rows of the challenger, {len(rival):,} of the champion, {common:,} in common"
    other = int((challenger["outcome"] != rival["outcome"]).sum())
    return f"{other:,} rows whose outcome is another" if other else ""


def measures(evidence: pd.DataFrame, *, block: str | None = None, resamples: int = 1000) -> dict:
    """Measure how good probabilities are, with intervals.

    Parameters
    ----------
    evidence : DataFrame
        As from `evidence_table`.
    block : str, optional
        Length of the blocks that are drawn again where there are too few entities; by default two horizons, and at
        least a day where there are twenty.
    resamples : int

    Returns
    -------
    dict of str to Estimate
        `pr_auc`, `base_rate`, `brier`, `brier_skill` (against the base rate of these rows), `log_score`. Empty where
        there is not enough evidence.
    """
    settings = {"block": block or _block(evidence), "resamples": resamples}
    said, came = _series(evidence)
    try:
        area = evaluation.pr_auc(said, came, **settings)
        scores = evaluation.calibration_estimates(said, came, **settings)
    except evaluation.NotEnoughEvidence:
        return {}
    found = {"pr_auc": area.average_precision, "base_rate": area.base_rate}
    return found | {name: getattr(scores, name) for name in ("brier", "brier_skill", "log_score")}


def judge(
    challenger: pd.DataFrame,
    rival: pd.DataFrame | None,
    *,
    gate: str = "better",
    margin: float = MARGIN,
    kinds: tuple[str, str] = ("", ""),
    block: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """Judge whether a challenger may take the place of a champion, or the first place.

    Parameters
    ----------
    challenger, rival : DataFrame
        As from `evidence_table`, of the same rows; without a rival it is the base rate.
    gate : {"better", "not-worse"}
    margin : float
        PR-AUC that may be lost under ``not-worse``; at least 0.
    kinds : tuple of str
        Names of the two predictors, such as ``("logistic", "xgboost")``; ``not-worse`` asks for one that is not more
        complex.
    block : str, optional
        As in `measures`.
    resamples, seed : int

    Returns
    -------
    Verdict

    Raises
    ------
    ContractError
        For an unknown gate or a margin below 0.
    """
    one_of(gate, GATES, "gate")
    if not margin >= 0:
        raise ContractError(column="margin", expected="a PR-AUC from 0 up", got=margin)
    if rival is None:
        rival, who, gate = challenger.assign(probability=challenger["outcome"].mean()), RIVAL, "better"
    else:
        who = "the champion"
        if differ := same_rows(challenger, rival):
            return Verdict(False, f"They were not judged on the same rows: {differ}.", pd.DataFrame())
    if gate == "not-worse" and _place(kinds[0]) > _place(kinds[1]):
        said = f"{kinds[0]} is more complex than {kinds[1]}: it has to be better, not only not worse."
        return Verdict(False, said, pd.DataFrame())
    (one, came), (other, _) = _series(challenger), _series(rival)
    settings = {"block": block or _block(challenger), "resamples": resamples, "confidence": CONFIDENCE, "seed": seed}
    try:
        area = evaluation.pr_auc_difference(one, other, came, unit="auto", **settings)
        values = [evaluation.average_precision(said.to_numpy(), came.to_numpy()) for said in (one, other)]
        squares = pd.DataFrame({"challenger": (one.fillna(0) - came) ** 2, "rival": (other.fillna(0) - came) ** 2})
        brier = evaluation.compare(squares, "rival", higher_is_better=False, **settings).loc["challenger"]
    except evaluation.NotEnoughEvidence as error:
        return Verdict(False, f"There is not enough evidence. {error}", pd.DataFrame())
    rows = {
        "pr_auc": [*values, *area.estimate, area.p],
        "brier": [brier[name] for name in ("value", "baseline", "difference", "lo", "hi", "p")],
    }
    columns = ["challenger", "rival", "difference", "lo", "hi", "p"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype("float64").rename_axis("measure")
    bound = -margin if gate == "not-worse" else 0.0
    ranks, harm = table.loc["pr_auc", "lo"] > bound, not table.loc["brier", "lo"] <= 0
    return Verdict(bool(ranks and not harm), _sentence(table, who, bound, ranks, harm), table)


def _sentence(table: pd.DataFrame, who: str, bound: float, ranks: bool, harm: bool) -> str:
    area, brier = table.loc["pr_auc"], table.loc["brier"]
    limit = "0" if bound == 0 else f"{bound:g}"
    first = (
        f"PR-AUC {area['challenger']:.3f} against {area['rival']:.3f} of {who}: difference {area['difference']:+.3f} "
        f"({area['lo']:+.3f} to {area['hi']:+.3f}), {'above' if ranks else 'not for certain above'} {limit}"
    )
    second = (
        f"Brier score {brier['challenger']:.4f} against {brier['rival']:.4f}: {brier['difference']:+.4f} "
        f"({brier['lo']:+.4f} to {brier['hi']:+.4f}), {'worse for certain' if harm else 'not worse for certain'}"
    )
    return f"{first}; {second}."


def _place(kind: str) -> int:
    return ORDER.get(kind, len(ORDER))


def _block(evidence: pd.DataFrame) -> str:
    """Two horizons: neighbours share a fault's labels. At least a day where there are days enough to draw from."""
    stamps = evidence.index.get_level_values("timestamp")
    days = (stamps.max() - stamps.min()).total_seconds() / DAY
    return f"{max(2 * int(evidence.index.get_level_values('horizon')[0]), DAY if days >= FEW_DAYS else 1)}s"


def _series(evidence: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    flat = evidence.droplevel("horizon")
    return flat["probability"], flat["outcome"].astype(bool)
