"""What is wrong with the rows of files, repaired by a named policy and counted, or refused with the first rows."""

from __future__ import annotations

__all__ = ["REPAIRS", "SERIES", "WORDS", "in_words", "join", "nothing", "repair"]

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stability.schema import ContractError
from stability.telemetry.cells import SHOWN_ROWS
from stability.telemetry.options import Options

KEY = ["entity", "timestamp"]
SERIES = ["entity", "metric"]
REPAIRS = ["duplicates", "out_of_order", "infinite"]
# What a number of cells is called; the text in brackets makes it more than one.
WORDS = {
    "out_of_bounds": "out of bounds",
    "duplicates": "duplicate[s]",
    "out_of_order": "out of order",
    "infinite": "infinite",
    "ambiguous": "ambiguous",
    "nonexistent": "nonexistent",
    "resets": "reset[s]",
    "future": "in the future",
}


def repair(
    tidy: pd.DataFrame, key: Sequence[str], columns: Mapping[str, str], options: Options, label: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply the policies for inf, order and duplicates to the rows of one file.

    Parameters
    ----------
    tidy : DataFrame of shape (n, ...)
        The key as columns, else float64; index 0 is the file's first data row.
    key : sequence of str
        entity, timestamp and, in the long layout, metric.
    columns : mapping of str to str
        Column of `tidy` -> its name in the file, for errors.
    options : Options
        Holds the policies ``infinite``, ``unsorted``, ``duplicates``.
    label : str
        The file's name.

    Returns
    -------
    tidy : DataFrame
        Each key once, no inf.
    repairs : DataFrame
        Index (entity, metric), int64 counts of cells in the columns `REPAIRS`; rows with a count only.

    Raises
    ------
    ContractError
        Something is to be repaired and its policy is ``"error"``.
    """
    key = list(key)
    series = [name for name in key if name != "timestamp"]
    metrics = [name for name in tidy.columns if name not in key]
    values = tidy[metrics].to_numpy()
    infinite = np.isinf(values)
    if infinite.any():
        if options.infinite == "error":
            place = int(np.flatnonzero(infinite.any(axis=0))[0])
            bad = infinite[:, place]
            said = "a finite number", f"{tidy.loc[bad, metrics[place]].iloc[0]:g}", "infinite='missing'"
            _refuse(tidy.index[bad], label, columns[metrics[place]], *said)
        tidy = tidy.assign(**{name: tidy[name].where(~infinite[:, k]) for k, name in enumerate(metrics)})
    early = np.zeros(len(tidy), dtype=bool)
    if not tidy["timestamp"].is_monotonic_increasing:
        early = (tidy.groupby(series, sort=False)["timestamp"].diff() < pd.Timedelta(0)).to_numpy()
        if early.any() and options.unsorted == "error":
            said = "stamps that increase", f"{tidy['timestamp'][early].iloc[0]} after a later one", "unsorted='sort'"
            _refuse(tidy.index[early], label, columns["timestamp"], *said)
    again = tidy.duplicated(key).to_numpy()
    if again.any() and options.duplicates == "error":
        got = f"another one for {', '.join(map(str, tidy.loc[again, key].iloc[0]))}"
        said = f"one row for each {', '.join(key)}", got, "duplicates='first', 'last' or 'mean'"
        _refuse(tidy.index[again], label, columns["timestamp"], *said)
    known = ~np.isnan(values)
    marks = {"duplicates": again[:, None] & known, "out_of_order": early[:, None] & known, "infinite": infinite}
    repairs = _count(tidy[series], metrics, marks)
    if again.any() and options.duplicates == "mean":
        tidy = tidy.groupby(key, sort=False, as_index=False).mean()
    elif again.any():
        tidy = tidy.drop_duplicates(key, keep=options.duplicates)
    return tidy, repairs


def join(readings: Sequence, options: Options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join the panels of files: what they tell of one entity and moment goes into one row.

    Parameters
    ----------
    readings : sequence of tidy.Reading
    options : Options
        The policy ``duplicates`` holds where two files give one metric at one moment; "first" is the file read first.

    Returns
    -------
    panel : DataFrame
        Index (entity, timestamp), sorted, unique.
    repairs : DataFrame
        As from `repair`.

    Raises
    ------
    ContractError
        Two files give a value of one metric at one moment, and the policy is ``"error"``.
    """
    panel = pd.concat([reading.panel for reading in readings]) if len(readings) > 1 else readings[0].panel
    again = panel.index.duplicated(keep=False)
    repairs = nothing()
    if again.any():
        files = np.repeat([reading.facts["file"] for reading in readings], [len(reading.panel) for reading in readings])
        double = panel[again]
        # A metric that one file alone has is no duplicate there: the files complete each other.
        extra = (double.groupby(level=KEY).count() - 1).clip(lower=0)
        if options.duplicates == "error" and (extra > 0).any(axis=None):
            row, place = np.argwhere(extra.to_numpy())[0]
            (entity, moment), name = extra.index[row], extra.columns[place]
            both = files[again][(double.index == (entity, moment)) & double[name].notna()]
            raise ContractError(
                file=" and ".join(dict.fromkeys(both)),
                column=name,
                expected="one value at a moment",
                got=f"several for {entity}, {moment}",
                remedy="duplicates='first', 'last' or 'mean', or leave one file out",
            )
        repairs = _count(extra.index.to_frame()[["entity"]], list(extra.columns), {"duplicates": extra.to_numpy()})
        how = "first" if options.duplicates == "error" else options.duplicates
        panel = pd.concat([panel[~again], double.groupby(level=KEY).agg(how)])
    return panel.sort_index(), repairs


def in_words(counts: Mapping[str, int]) -> list[str]:
    """Say how many there are of what, without what there is none of.

    Examples
    --------
    >>> in_words({"duplicates": 1, "infinite": 0, "resets": 1200})
    ['1 duplicate', '1,200 resets']
    """
    return [
        f"{count:,} {WORDS[name].replace('[s]', 's' if count != 1 else '')}" for name, count in counts.items() if count
    ]


def nothing() -> pd.DataFrame:
    """Give the table of repairs of data that need none."""
    index = pd.MultiIndex.from_arrays([pd.Series(dtype="str"), pd.Series(dtype="str")], names=SERIES)
    return pd.DataFrame(0, index=index, columns=REPAIRS, dtype="int64")


def _count(series: pd.DataFrame, metrics: list[str], marks: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Sum marks of shape (rows, metrics) by entity and metric."""
    counted = {}
    for name, mark in marks.items():
        if mark.any():
            rows, places = np.nonzero(mark)
            # The long layout has the metric among its keys and one column of values.
            kinds = series["metric"].to_numpy()[rows] if "metric" in series else np.asarray(metrics, dtype="O")[places]
            sums = (
                pd.Series(mark[rows, places].astype("int64")).groupby([series["entity"].to_numpy()[rows], kinds]).sum()
            )
            counted[name] = sums.rename_axis(SERIES)
    if not counted:
        return nothing()
    return pd.DataFrame(counted).reindex(columns=REPAIRS).fillna(0).astype("int64")


def _refuse(rows: pd.Index, label: str, column: str, expected: str, got: str, remedy: str) -> None:
    got += f" in the first of {len(rows):,} such rows" if len(rows) > 1 else ""
    shown = [int(row) + 1 for row in rows[:SHOWN_ROWS]]
    raise ContractError(file=label, row=shown, column=column, expected=expected, got=got, remedy=remedy)
