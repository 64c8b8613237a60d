"""What counts as an event to be found: labelled windows, or fault records turned into intervals."""

from __future__ import annotations

__all__ = ["labelled_intervals"]

from collections.abc import Mapping

import pandas as pd

from stability.schema import empty


def labelled_intervals(tables: Mapping[str, pd.DataFrame], entities: pd.Index) -> pd.DataFrame:
    """Take a benchmark's labelled windows as the truth where there are some, and fault records otherwise.

    A fault is an interval at the entity in which its cause lies from the moment of the cause, because its telemetry may
    change from then on, and at the others from the moment at which they are affected; both until recovery. Where one of
    the moments is unknown the next best is taken.

    Parameters
    ----------
    tables : mapping of DataFrame
        By contract: `windows`, or else `faults`; with neither nothing is labelled.
    entities : Index of str
        Whose events are wanted.

    Returns
    -------
    DataFrame
        Columns entity, start, end (NaT: still open, or unknown) and kind (the failure mode, or ``labelled window``).

    Examples
    --------
    >>> day = pd.Timestamp("2026-01-01", tz="UTC")
    >>> windows = pd.DataFrame({"entity": ["a", "b"], "start": day, "end": day + pd.Timedelta("1h")})
    >>> labelled_intervals({"windows": windows}, pd.Index(["a"]))
      entity                     start                       end             kind
    0      a 2026-01-01 00:00:00+00:00 2026-01-01 01:00:00+00:00  labelled window
    """
    if "windows" in tables:
        truth = tables["windows"].assign(kind="labelled window")
    else:
        faults = tables.get("faults", empty("faults"))
        first = faults["cause_start"].where(faults["entity"] == faults["root_entity"], faults["impact_start"])
        truth = faults[["entity"]].assign(start=first.fillna(faults["impact_start"]).fillna(faults["cause_start"]))
        end = faults["recovered_at"].fillna(faults["cause_end"])
        truth["end"] = end.where(
            ~(end < truth["start"]), truth["start"]
        )  # hit after the cause had ended: at least then
        truth["kind"] = faults["failure_mode"].fillna("unknown")
    known = truth["entity"].isin(entities) & truth["start"].notna()
    return truth.loc[known, ["entity", "start", "end", "kind"]].reset_index(drop=True)
