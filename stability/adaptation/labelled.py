"""Alarms beside what was said of them: chosen by what they have in common, with the label that holds."""

from __future__ import annotations

__all__ = ["ALARM", "TAKEN_BACK", "chosen_alarms", "current_labels", "labelled", "standing_labels"]

from collections.abc import Sequence

import pandas as pd

from stability.feedback.incidents import alarms_of
from stability.schema import ContractError, one_of

ALARM = ("detector", "entity", "start")  # whose newest label holds
TAKEN_BACK = "taken back"  # the reason of an `unsure` that undoes the first label: the alarm waits for one again


def current_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Give the label that holds of each alarm: the newest of the same detector, entity and start.

    Parameters
    ----------
    labels : DataFrame
        The contract's `alarm_labels`; of two of the same moment the later row is the newer.

    Returns
    -------
    DataFrame
        A row an alarm.

    Examples
    --------
    >>> from stability.schema import validate
    >>> said = pd.DataFrame({"label_id": ["a", "b"], "entity": "web-1", "start": pd.Timestamp("2026-01-01T00:00Z"),
    ...     "detector": "mean_shift", "label": ["confirmed", "discarded"], "labelled_by": "p-0123456789abcdef0123",
    ...     "labelled_at": pd.to_datetime(["2026-01-02T00:00Z", "2026-01-02T00:01Z"])})
    >>> current_labels(validate(said, "alarm_labels"))["label"].to_dict()
    {'b': 'discarded'}
    """
    return labels.sort_values("labelled_at", kind="stable").drop_duplicates(list(ALARM), keep="last")


def standing_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Give `current_labels` without those that were taken back: `unsure` ones, whatever words others have as reason."""
    known = current_labels(labels)
    return known[(known["label"] != "unsure") | (known["reason"] != TAKEN_BACK)]


def labelled(alarms: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Put the label that holds, its reason and its moment beside each alarm.

    Parameters
    ----------
    alarms : DataFrame
        As `feedback.incidents.read_alarms` gives them, the contract's alarms, or firings of rules.
    labels : DataFrame
        The contract's `alarm_labels`.

    Returns
    -------
    DataFrame
        `alarm_id`, `entity`, `start`, `end`, `detector`, `metrics`, `score`, `threshold`, and `label`, `reason`,
        `labelled_at`, missing where nobody said anything, or took it back; a row an alarm, counted from 0.
    """
    told = alarms_of(alarms).drop_duplicates("alarm_id")
    known = standing_labels(labels)[[*ALARM, "label", "reason", "labelled_at"]]
    # Where a rule adds entities up there is none: a key like others, and merge takes two missing ones for equal.
    told["entity"] = told["entity"].replace("", None)
    left, right = (frame.astype({"detector": "str", "entity": "str"}) for frame in (told, known))
    return left.merge(right, "left", list(ALARM)).reset_index(drop=True)


def chosen_alarms(
    alarms: pd.DataFrame,
    names: Sequence[str] = (),
    *,
    entity: str | None = None,
    detector: str | None = None,
    between: tuple[str, str] | None = None,
) -> pd.DataFrame:
    """Choose alarms by name, or by what they have in common.

    Parameters
    ----------
    alarms : DataFrame
        As for `labelled`.
    names : sequence of str
        Of alarms; all without any.
    entity, detector : str, optional
        Only of these.
    between : (str, str), optional
        Only what begins within these moments (ISO 8601; UTC where they tell no zone), both inclusive.

    Returns
    -------
    DataFrame
        In the form that `read_alarms` gives, a row an alarm.

    Raises
    ------
    ContractError
        For names that there are not, with the nearest; and moments that are none.

    Examples
    --------
    >>> alarms = pd.DataFrame({"alarm_id": ["a", "b"], "entity": ["web-1", "db-1"], "detector": "mean_shift",
    ...     "start": pd.to_datetime(["2026-01-01T00:00Z", "2026-01-02T00:00Z"])})
    >>> chosen_alarms(alarms, between=("2026-01-01T12:00", "2026-01-03"))["alarm_id"].tolist()
    ['b']
    """
    told = alarms_of(alarms).drop_duplicates("alarm_id")  # an incident has a row for each entity; the first is its own
    known = set(told["alarm_id"])
    for name in names:
        one_of(name, known, "alarm")
    wanted = told["alarm_id"].isin(set(names)) if names else pd.Series(True, index=told.index)
    for column, value in (("entity", entity), ("detector", detector)):
        if value is not None:
            wanted &= told[column] == one_of(value, told[column].dropna().unique().tolist(), column)
    if between is not None:
        first, last = (_moment(value) for value in between)
        if last < first:
            raise ContractError(column="between", expected=f"a moment from {first} on", got=str(last))
        wanted &= told["start"].between(first, last)
    return told[wanted].reset_index(drop=True)


def _moment(value: str) -> pd.Timestamp:
    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError):
        stamp = pd.NaT
    if pd.isna(stamp):
        raise ContractError(column="between", expected="a moment, 2026-01-31T12:00Z", got=repr(value))
    return stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")
