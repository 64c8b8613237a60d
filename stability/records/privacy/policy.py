"""What of a user's tables is read at all: fields that are named, rows that are young enough, no name, no secret."""

from __future__ import annotations

__all__ = ["PrivacyReport", "apply_policy", "cutoff", "length_of_time", "policy_of"]

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import pandas as pd

from stability.records.privacy.pseudonyms import KeyStore, normal
from stability.records.privacy.scrubbing import scrub_column
from stability.schema import TABLES, ContractError, nearest, validate

log = logging.getLogger(__name__)

#: Columns that hold free text, which is what an erasure takes away.
TEXTS = ("message", "text", "answer", "reason")
#: The moment by which a row is old: the last that it knows.
AGES = {
    "telemetry": ("timestamp",), "states": ("timestamp",), "logs": ("timestamp",), "windows": ("end",),
    "feedback": ("timestamp", "answered_at"), "alarm_labels": ("labelled_at",),
    "faults": ("cause_start", "impact_start", "detected_at", "diagnosed_at", "cause_end", "recovered_at"),
}  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """The mapping `privacy` of a dataset's options.

    Parameters
    ----------
    pseudonyms : mapping of str to list of str
        Table -> columns (of the key too) whose values become pseudonyms.
    allow : mapping of str to list of str
        Table -> columns that are read; others are left out and counted. A table that is not named is read whole.
    scrub : list of str
        Tables whose texts are scrubbed.
    retain : str or mapping of str to str, optional
        How long rows are kept, ``"90d"``, for all tables with moments or by table. Counted from midnight (UTC) of
        `as_of`, so that two readings on one day are alike.
    as_of : str, optional
        The day that counts as today; default: today.
    """

    pseudonyms: Mapping[str, list[str]] = field(default_factory=dict)
    allow: Mapping[str, list[str]] = field(default_factory=dict)
    scrub: list[str] = field(default_factory=list)
    retain: str | Mapping[str, str] | None = None
    as_of: str | None = None


@dataclass
class PrivacyReport:
    """What a policy did, in numbers.

    Parameters
    ----------
    pseudonyms : int
        Different names that became pseudonyms.
    dropped : dict of str to int
        ``table.column`` that was left out -> values in it.
    expired : dict of str to int
        Table -> rows that were too old.
    scrubbed : dict of str to int
        ``table.column`` -> texts in which something was taken out.
    """

    pseudonyms: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)
    scrubbed: dict[str, int] = field(default_factory=dict)

    def __str__(self):
        parts = [f"{self.pseudonyms:,} pseudonyms"]
        for what in ("dropped", "expired", "scrubbed"):
            counts = getattr(self, what)
            parts.append(f"{what}: {', '.join(f'{n:,} in {name}' for name, n in counts.items()) or 'nothing'}")
        return "; ".join(parts)


def policy_of(options: Mapping | None) -> Policy:
    """Check what a user wrote under `privacy`.

    Raises
    ------
    ContractError
        For a name that there is not, and a length of time that is none.
    """
    if not isinstance(options or {}, Mapping):
        raise ContractError(column="privacy", expected="a mapping of its options", got=repr(options))
    options = {name: value for name, value in (options or {}).items() if value is not None}
    known = [f.name for f in fields(Policy)]
    for name in options:
        if name not in known:
            remedy = nearest(str(name), known)
            raise ContractError(column="privacy", expected="an option of privacy", got=repr(name), remedy=remedy)
    for name in ("pseudonyms", "allow"):
        for table, columns in _mapping(options.get(name, {}), name).items():
            contract = _table(table, name)
            for column in _listed(columns, f"{name}.{table}", "columns"):
                if column not in contract.columns and contract.extra is None:
                    remedy = nearest(str(column), contract.columns)
                    raise ContractError(
                        column=f"privacy.{name}.{table}", expected="a column of it", got=repr(column), remedy=remedy
                    )
        options[name] = {t: _listed(c, f"{name}.{t}", "columns") for t, c in options.get(name, {}).items()}
    options["scrub"] = _listed(options.get("scrub", []), "scrub", "tables")
    if not isinstance(options.get("as_of", ""), str | dt.date):
        raise ContractError(column="privacy.as_of", expected="a day, 2026-01-31", got=repr(options["as_of"]))
    for table in options["scrub"]:
        if not set(_table(table, "scrub").columns) & set(TEXTS):
            expected = f"a table with texts ({', '.join(t for t in TABLES if set(TABLES[t].columns) & set(TEXTS))})"
            raise ContractError(column="privacy.scrub", expected=expected, got=repr(table))
    retain = options.get("retain")
    for table, length in retain.items() if isinstance(retain, Mapping) else [("", retain)]:
        if table and _table(table, "retain") and table not in AGES:
            raise ContractError(column="privacy.retain", expected="a table with moments", got=repr(table))
        if length is not None:
            length_of_time(length)
    return Policy(**options)


def _mapping(value: object, name: str) -> Mapping:
    if not isinstance(value, Mapping):
        expected = "a mapping of tables to columns"
        raise ContractError(column=f"privacy.{name}", expected=expected, got=repr(value))
    return value


def _listed(value: object, option: str, what: str) -> list:
    """One name as a list of one; what is no list of names is refused."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise ContractError(column=f"privacy.{option}", expected=f"a list of {what}", got=repr(value))
    return list(listed)


def _table(name: object, option: str):
    if name not in TABLES:
        remedy = nearest(str(name), TABLES)
        raise ContractError(column=f"privacy.{option}", expected="a table", got=repr(name), remedy=remedy)
    return TABLES[name]


def length_of_time(text: object) -> pd.Timedelta:
    """Read how long something is kept.

    Raises
    ------
    ContractError
        For what is no length of time above zero.

    Examples
    --------
    >>> length_of_time("90d")
    Timedelta('90 days 00:00:00')
    """
    try:
        # Without a unit it would be nanoseconds.
        length = pd.Timedelta(text) if isinstance(text, str) and not text.strip(" +-").isdigit() else pd.NaT
    except ValueError:
        length = pd.NaT
    if pd.isna(length) or length <= pd.Timedelta(0):
        raise ContractError(column="retain", expected="a length of time such as '90d' or '12h'", got=repr(text))
    return length


def cutoff(policy: Policy, table: str) -> pd.Timestamp | None:
    """Give the moment before which rows of a table are too old; None where everything is kept."""
    length = policy.retain.get(table) if isinstance(policy.retain, Mapping) else policy.retain
    if length is None or table not in AGES:
        return None
    try:
        today = pd.Timestamp(policy.as_of or dt.datetime.now(dt.UTC))
    except (ValueError, TypeError):
        raise ContractError(
            column="privacy.as_of", expected="a day such as 2026-11-24", got=repr(policy.as_of)
        ) from None
    today = today.tz_localize("UTC") if today.tzinfo is None else today.tz_convert("UTC")
    return today.normalize() - length_of_time(length)


def apply_policy(
    tables: Mapping[str, pd.DataFrame], policy: Policy, *, store: KeyStore | None = None
) -> tuple[dict[str, pd.DataFrame], PrivacyReport]:
    """Apply a policy to tables of the contract.

    Parameters
    ----------
    tables : mapping of str to DataFrame
    policy : Policy
    store : KeyStore, optional
        Default: the workbench's own.

    Returns
    -------
    tables : dict of str to DataFrame
        In contract form.
    report : PrivacyReport

    Raises
    ------
    ContractError
        When a column is left out that a table cannot be without, and when nothing of telemetry is left.
    """
    report, known = PrivacyReport(), {}
    flat = {name: _young(_allowed(table, name, policy, report), name, policy, report) for name, table in tables.items()}
    for name, columns in policy.pseudonyms.items():
        for column in (c for c in columns if name in flat and c in flat[name]):
            cells = flat[name][column].map(str, na_action="ignore")  # a number is told as a text that it becomes
            known |= (store or KeyStore()).pseudonyms(cells.dropna().unique())
            flat[name][column] = cells.map(known, na_action="ignore").astype("str")
    report.pseudonyms = len({normal(value) for value in known})
    names = {value: pseudonym for value, pseudonym in known.items() if value != pseudonym}
    for name in policy.scrub:
        for column in (c for c in TEXTS if name in flat and c in flat[name]):
            before = flat[name][column]
            flat[name][column] = scrub_column(before, names)
            report.scrubbed[f"{name}.{column}"] = int((before.fillna("") != flat[name][column].fillna("")).sum())
    log.info("privacy: %s", report)
    return {name: validate(frame, name, source=f"the table {name}") for name, frame in flat.items()}, report


def _allowed(table: pd.DataFrame, name: str, policy: Policy, report: PrivacyReport) -> pd.DataFrame:
    contract = TABLES[name]
    frame = table.reset_index(drop=not contract.key)
    wanted = policy.allow.get(name)
    for option in ("pseudonyms", "allow"):
        for column in getattr(policy, option).get(name, ()):
            # A misspelt metric would be left out without a word, a misspelt name kept as it is.
            if column not in contract.columns and column not in frame:
                where, remedy = f"privacy.{option}.{name}", nearest(column, frame.columns)
                raise ContractError(column=where, expected="a column that is there", got=repr(column), remedy=remedy)
    if wanted is None:
        return frame
    left_out = [column for column in frame if column not in wanted and column not in contract.key]
    for column in left_out:
        declared = contract.columns.get(column)
        if declared is not None and not declared.nullable:
            raise ContractError(
                column=f"privacy.allow.{name}",
                expected=f"the column {column!r}, which the table cannot be without",
                got=f"only {', '.join(map(str, wanted))}",
                remedy=f"name it, and give it a pseudonym if it must not be read: pseudonyms: {{{name}: [{column}]}}",
            )
        if (count := int(frame[column].notna().sum())) or declared is None:
            report.dropped[f"{name}.{column}"] = count
    return frame.drop(columns=left_out)


def _young(frame: pd.DataFrame, name: str, policy: Policy, report: PrivacyReport) -> pd.DataFrame:
    limit = cutoff(policy, name)
    if limit is None:
        return frame
    ages = [column for column in AGES[name] if column in frame]
    old = (frame[ages].max(axis="columns") < limit).fillna(False) if ages else pd.Series(False, index=frame.index)
    if old.any():
        report.expired[name] = int(old.sum())
    if len(frame) and old.all() and name == "telemetry":
        got = f"{len(frame):,} rows, all of them older"
        raise ContractError(
            column="privacy.retain", expected=f"telemetry after {limit}", got=got, remedy="a longer time, or as_of: ..."
        )
    return frame[~old].reset_index(drop=True)
