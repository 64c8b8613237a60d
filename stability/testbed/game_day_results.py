"""What rounds of a game day add up to: how much less users suffer, and what it costs, each with its interval."""

from __future__ import annotations

__all__ = ["by_mode", "compared", "counted", "estimates", "read_rounds", "restricted_means"]

from pathlib import Path

import numpy as np
import pandas as pd

from stability.evaluation import Estimate, NotEnoughEvidence, bootstrap_interval, poisson_interval, wilson_interval
from stability.evaluation.intervals import wider
from stability.evaluation.resampling import ratio_of_sums
from stability.schema import ContractError, read_table
from stability.testbed.game_day import TABLES
from stability.testbed.game_day_measures import COLUMNS

UNKNOWN = Estimate(np.nan, np.nan, np.nan)
TRIAL = ["round", "trial"]
FELT = ("known", "withheld")


def read_rounds(*folders: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of all rounds that were recorded; a round that is in two folders counts once.

    Parameters
    ----------
    *folders : Path
        With a folder `round-<number>` for each round; one that lacks a table has not ended, and is passed over.

    Returns
    -------
    dict
        `slots`, `seconds`, `notes` of all rounds; empty frames where there is none.
    """
    there = {place.name: place for folder in folders for place in Path(folder).glob("round-[0-9]*")}
    rounds = [there[name] for name in sorted(there) if all((there[name] / f"{t}.parquet").is_file() for t in TABLES)]
    if not rounds:
        return {name: pd.DataFrame(columns=list(COLUMNS[name])) for name in TABLES}
    return {
        name: pd.concat([read_table(place / f"{name}.parquet") for place in rounds], ignore_index=True)
        for name in TABLES
    }


def restricted_means(slots: pd.DataFrame, kinds: tuple[str, ...] = FELT) -> pd.DataFrame:
    """Mean time in impact of each arm, restricted to the slot.

    Parameters
    ----------
    slots : DataFrame
        As `game_day_measures.measured` gives it.
    kinds : tuple of str
        Which slots count.

    Returns
    -------
    DataFrame, indexed by arm
        `faults`, `impact_s` (mean s a fault), `censored` (slots at whose end users were still hurt, or had not yet been
        well for 5 s), `failed`, `slow`, `wrong` (requests a fault), `detected_s` (median), `actions`, `unneeded` (in
        all).
    """
    own = slots[slots["kind"].isin(kinds)]
    return own.groupby("arm").agg(
        faults=("trial", "size"),
        impact_s=("impact_s", "mean"),
        censored=("censored", "sum"),
        failed=("failed", "mean"),
        slow=("slow", "mean"),
        wrong=("wrong", "mean"),
        detected_s=("detected_s", "median"),
        actions=("actions", "sum"),
        unneeded=("unneeded", "sum"),
    )


def compared(
    slots: pd.DataFrame, arm: str, other: str, kinds: tuple[str, ...] = FELT, *, seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Ratio of the restricted mean times in impact of two arms, met by the same faults.

    Parameters
    ----------
    slots : DataFrame
        As `measured` gives it.
    arm, other : str
        Of whom, over whom.
    kinds : tuple of str
        Which faults count.
    seed, resamples : int
        Of the bootstrap.

    Returns
    -------
    Estimate
        The interval is a paired bootstrap: faults of all rounds are drawn again, each with what it did to both arms.
        NaN with fewer than five pairs, or where the other arm was never in impact.

    Raises
    ------
    ContractError
        When an arm met the same fault twice.

    Examples
    --------
    >>> rows = [{"round": 1, "trial": k, "arm": a, "kind": "known", "impact_s": s}
    ...         for k in range(5) for a, s in (("workbench", 20.0), ("nobody", 80.0))]
    >>> [round(x, 2) for x in compared(pd.DataFrame(rows), "workbench", "nobody")]
    [0.25, 0.25, 0.25]
    """
    own = slots[slots["kind"].isin(kinds) & slots["arm"].isin([arm, other])]
    if own.duplicated([*TRIAL, "arm"]).any():
        raise ContractError(file="slots", expected="each fault once with each arm", got="one twice")
    pairs = own.set_index([*TRIAL, "arm"])["impact_s"].unstack("arm")  # noqa: PD010, nothing is aggregated
    if not {arm, other} <= set(pairs):
        return UNKNOWN
    pairs = pairs[[arm, other]].dropna()
    if not pairs[other].sum() > 0:
        return UNKNOWN
    try:
        mine, theirs = pairs[arm].to_numpy(), pairs[other].to_numpy()
        return bootstrap_interval(ratio_of_sums, mine, theirs, seed=seed, resamples=resamples, vectorized=True)
    except NotEnoughEvidence:
        return UNKNOWN


def estimates(slots: pd.DataFrame, *, arm: str = "workbench", seed: int = 0) -> dict[str, Estimate]:
    """What is estimated of a game day, by the names under which it is logged, without their group.

    Parameters
    ----------
    slots : DataFrame
        As `measured` gives it.
    arm : str
        Whose repairs are judged.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to Estimate
        `impact_ratio_<other>` over all faults, the withheld ones included, and `impact_ratio_<other>_known` without
        them; `true_cause_top1` over faults of a known mode, where a fault that raised no alarm is a miss (Wilson);
        `unneeded_actions_per_hour` and `unneeded_actions_per_hour_<other>` over all slots of an arm: the farther limit
        on either side of a bootstrap over slots, within which actions repeat, and of Garwood's for independent ones,
        which stands alone below five slots.
    """
    own = slots[slots["arm"] == arm]
    others = [name for name in slots["arm"].unique() if name != arm]
    made = {}
    for other in sorted(others):
        made[f"impact_ratio_{other}"] = compared(slots, arm, other, seed=seed)
        made[f"impact_ratio_{other}_known"] = compared(slots, arm, other, ("known",), seed=seed)
    known = own[own["kind"] == "known"]
    made["true_cause_top1"] = wilson_interval(int((known["rank"] == 1).sum()), len(known)) if len(known) else UNKNOWN
    made["unneeded_actions_per_hour"] = _hourly(own, seed)
    for other in sorted(set(others) - {"nobody"}):
        made[f"unneeded_actions_per_hour_{other}"] = _hourly(slots[slots["arm"] == other], seed)
    return made


def _hourly(slots: pd.DataFrame, seed: int) -> Estimate:
    unneeded, hours = slots["unneeded"].to_numpy(), slots["seconds"].to_numpy() / 3600
    if not hours.sum() > 0:
        return UNKNOWN
    try:
        resampled = bootstrap_interval(ratio_of_sums, unneeded, hours, seed=seed, vectorized=True)
    except NotEnoughEvidence:
        resampled = UNKNOWN
    return wider(resampled, poisson_interval(int(unneeded.sum()), float(hours.sum())))


def counted(slots: pd.DataFrame, *, arm: str = "workbench") -> dict[str, int]:
    """What is counted of a game day, by the names under which it is logged, without their group."""
    own = slots[slots["arm"] == arm]
    made = {
        "rounds": int(slots["round"].nunique()),
        "faults": int((own["kind"] != "look-alike").sum()),
        "look_alikes": int((own["kind"] == "look-alike").sum()),
        "verified": int(own["verified"].sum()),
        "false_verified": int(own["false_verified"].sum()),
    }
    for name in sorted(slots["arm"].unique()):
        theirs, end = slots[slots["arm"] == name], "" if name == arm else f"_{name}"
        if name != "nobody":
            made[f"actions_on_withheld{end}"] = int(theirs.loc[theirs["kind"] == "withheld", "actions"].sum())
            made[f"actions_on_look_alikes{end}"] = int(theirs.loc[theirs["kind"] == "look-alike", "actions"].sum())
    return made


def by_mode(slots: pd.DataFrame) -> pd.DataFrame:
    """Show each mode with each arm: s in impact, when it was noticed, what was done.

    Parameters
    ----------
    slots : DataFrame
        As `measured` gives it.

    Returns
    -------
    DataFrame, indexed by kind, mode and arm
        Means of `impact_s`, `detected_s`, `repaired_s` (s) and `failed`; sums of `actions`, `unneeded`; `top1`, the
        number of slots with the true cause first, and `slots`.
    """
    return (
        slots.assign(top1=slots["rank"] == 1)
        .groupby(["kind", "mode", "arm"])
        .agg(
            slots=("trial", "size"),
            impact_s=("impact_s", "mean"),
            detected_s=("detected_s", "mean"),
            repaired_s=("repaired_s", "mean"),
            failed=("failed", "mean"),
            actions=("actions", "sum"),
            unneeded=("unneeded", "sum"),
            top1=("top1", "sum"),
        )
    )
