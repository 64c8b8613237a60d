"""Ratings over time: how they moved from night to night, and what a repair or a new rule moved, with its incidents."""

from __future__ import annotations

__all__ = ["course", "earlier", "moved"]

from collections.abc import Callable, Hashable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from stability.fmea.priority import RATINGS
from stability.fmea.rating import confront
from stability.schema import ContractError, read_table

SHOWN = [*RATINGS, "action_priority", "rpn"]
FILE = "ratings.parquet"


def course(
    worksheet: pd.DataFrame,
    moments: Sequence[Hashable],
    evidence: Callable[[Hashable], Mapping[str, pd.DataFrame]],
) -> pd.DataFrame:
    """Rate again and again as the record grows, each time from the ratings that stood before.

    Parameters
    ----------
    worksheet : DataFrame
        As for `confront`.
    moments : sequence of Timestamp or int, rising
        Ends of the nights, or their numbers.
    evidence : callable
        From a moment to the evidence that was known then, as `confront` takes it.

    Returns
    -------
    DataFrame, index (night, failure_mode)
        `severity`, `occurrence`, `detection`, `action_priority`, `rpn` of each night.
    """
    nights, before = {}, None
    for moment in moments:
        before = confront(worksheet, evidence(moment), before=before)
        nights[moment] = before[SHOWN]
    if not nights:
        raise ContractError(column="moments", expected="one or more", got="none")
    return pd.concat(nights, names=["night"])


def earlier(folder: str | PathLike, step: str = "fmea", *, most: int = 30) -> pd.DataFrame:
    """Read the ratings that earlier nights have written.

    Parameters
    ----------
    folder : str or path
        Of one experiment: `runs/nightly`, with a folder a night.
    step : str
        The step's name in these nights.
    most : int
        Nights, the newest.

    Returns
    -------
    DataFrame, index (night, failure_mode)
        As `course` gives it, `night` the name of its folder; nights without this step are left out, and a folder
        without any gives no row.

    Raises
    ------
    ContractError
        For a table that is damaged.
    """
    nights = sorted(p for p in Path(folder).glob(f"*/steps/{step}/{FILE}") if not p.parents[2].is_symlink())
    read = {path.parents[2].name: read_table(path) for path in nights[-most:]}
    for name, table in read.items():
        if missing := {"failure_mode", *SHOWN} - set(table.columns):
            raise ContractError(file=f"{name}/{FILE}", column=missing.pop(), expected="a column", got="none")
    if not read:
        keys = pd.MultiIndex.from_arrays([[], []], names=["night", "failure_mode"])
        return pd.DataFrame(columns=SHOWN, index=keys)
    return pd.concat({name: one.set_index("failure_mode")[SHOWN] for name, one in read.items()}, names=["night"])


def moved(before: pd.DataFrame, after: pd.DataFrame, proof: pd.Series | None = None) -> pd.DataFrame:
    """Compare ratings before and after a repair or a new rule, with the incidents that prove it.

    Parameters
    ----------
    before, after : DataFrame, index failure_mode
        From `confront`, or two nights of `course`.
    proof : Series of str, optional
        Index incident, value failure mode: incidents in which the new rule or repair did what the old did not.

    Returns
    -------
    DataFrame, index failure_mode
        Modes whose rating or priority moved: `severity`, `occurrence`, `detection` and `action_priority` each as
        `<name>_before` and `<name>_after`, `better` (the priority fell, or RPN where it stayed), `incidents`
        (comma-separated), worst first. A move without an incident has '' there: nothing proves it yet.

    Examples
    --------
    >>> was = pd.DataFrame({"severity": [8], "occurrence": [4], "detection": [8], "action_priority": ["H"]},
    ...                    index=pd.Index(["leak"], name="failure_mode")).assign(rpn=256.0)
    >>> now = was.assign(detection=3, action_priority="M", rpn=96.0)
    >>> moved(was, now, pd.Series({"f7": "leak"}))[["action_priority_before", "action_priority_after", "incidents"]].values.tolist()
    [['H', 'M', 'f7']]
    """  # noqa: E501
    both = before.index.intersection(after.index)
    was, now = before.loc[both, SHOWN], after.loc[both, SHOWN]
    same = (was == now) | (was.isna() & now.isna())
    changed = both[~same.all(axis=1)]
    table = was.loc[changed].join(now.loc[changed], lsuffix="_before", rsuffix="_after")
    level = {name: place for place, name in enumerate("LMH")}
    old, new = (table[f"action_priority_{end}"].map(level).astype("float64") for end in ("before", "after"))
    table["better"] = (new < old) | ((new == old) & (table["rpn_after"] < table["rpn_before"]))
    shown = (
        {} if proof is None else {mode: ",".join(map(str, own)) for mode, own in proof.groupby(proof).groups.items()}
    )
    table["incidents"] = [shown.get(mode, "") for mode in table.index]
    return table.sort_values(["rpn_before"], ascending=False)
