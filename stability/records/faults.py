"""A user's fault records and tickets into the table of faults: from files, documents and databases."""

from __future__ import annotations

__all__ = ["RecordReport", "read_faults", "read_faults_with_report", "read_tickets"]

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import pandas as pd

from stability.records.checks import known_entities, one_a_component, overlapping, refuse_backwards, unique
from stability.records.layouts import LAYOUTS, Layout
from stability.records.mapping import SHOWN, TableOptions, checked, raw_rows, translate
from stability.schema import ContractError, nearest, validate

log = logging.getLogger(__name__)

#: What a label may begin with that names the entity or the failure mode.
LABELS = {
    "entity": ("entity:", "service:", "component:", "host:"),
    "failure_mode": ("failure_mode:", "failure-mode:", "mode:", "cause:"),
    "severity": ("severity:", "priority:"),
}


@dataclass(frozen=True)
class FaultOptions(TableOptions):
    """As `TableOptions`, and what is particular to fault records; see `read_faults`."""

    layout: str | None = None
    labels: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    duplicates: str = "error"
    overlaps: str = "keep"
    unknown: str = "error"


@dataclass(frozen=True)
class RecordReport:
    """What a reading of records found.

    Parameters
    ----------
    rows : int
        Records of the result.
    counts : dict of str to int
        filtered (by `where`, and what is no incident), duplicates (left out), unknown (records of entities that
        telemetry does not have), overlaps (records that begin while an earlier one of the same entity and failure
        mode is open).
    dropped : list of str
        Columns of the source that became none of the contract.
    """

    rows: int
    counts: dict[str, int]
    dropped: list[str]

    def __str__(self):
        said = ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count) or "nothing to mend"
        return f"{self.rows:,} record(s); {said}; {len(self.dropped)} column(s) not used"


def read_faults(
    source: str | Iterable[str],
    *,
    entities: Iterable[str] | None = None,
    storage: Mapping[str, object] | None = None,
    **options,
) -> pd.DataFrame:
    """Read fault records into the table of faults.

    Parameters
    ----------
    source : str, path, or iterable of them
        CSV, JSON or Parquet, near or far; with `query` the address of a database.
    entities : iterable of str, optional
        Names that telemetry knows; records of others are dealt with by `unknown`.
    storage : mapping, optional
        Options of fsspec's file system.
    form, records, query, params, columns, values, defaults, where, timezone, ambiguous, nonexistent, timestamp_format
        As for `stability.records.mapping.TableOptions`. Columns that already have the contract's names need no entry.
    layout : {"jira", "servicenow", "pagerduty", "github"}, optional
        Of a ticket system's export; see `read_tickets`.
    labels : mapping of str to str or list, optional
        Column of the contract -> what a label begins with that holds it: ``{"entity": "service:"}``.
    duplicates : {"error", "first", "last"}
        What becomes of several records with one ``fault_id``.
    overlaps : {"keep", "merge", "error"}
        What becomes of a record that begins while an earlier one of the same entity and failure mode is open:
        ``"merge"`` joins them into the earlier one.
    unknown : {"error", "keep", "drop"}
        What becomes of records of entities that telemetry does not know.

    Returns
    -------
    DataFrame
        The table `faults`. A record without a ``fault_id`` is called after its file and row.

    Raises
    ------
    ContractError
        With file, row and column, what was expected, what came, and what to do.
    """
    return read_faults_with_report(source, entities=entities, storage=storage, **options)[0]


def read_tickets(
    source: str | Iterable[str],
    layout: str,
    *,
    entities: Iterable[str] | None = None,
    storage: Mapping[str, object] | None = None,
    **options,
) -> pd.DataFrame:
    """Read a ticket system's export into the table of faults.

    A ticket knows when somebody noticed (``detected_at``) and when it was resolved (``recovered_at``), its priority
    becomes a severity, its component or service the entity. When users began to feel it, it does not know: where that
    is taken to be the same, say so with ``columns={"Created": ["detected_at", "impact_start"]}``.

    Parameters
    ----------
    source, entities, storage, **options
        As for `read_faults`. A ticket of several components becomes a record of each, ``KEY`` and ``KEY.<entity>``.
    layout : {"jira", "servicenow", "pagerduty", "github"}
        Whose export it is, CSV or JSON.

    Returns
    -------
    DataFrame
        The table `faults`.

    Raises
    ------
    ContractError
        As `read_faults`, and for a ticket that was resolved before it was opened.
    """
    return read_faults_with_report(source, entities=entities, storage=storage, layout=layout, **options)[0]


def read_faults_with_report(
    source: str | Iterable[str],
    *,
    entities: Iterable[str] | None = None,
    storage: Mapping[str, object] | None = None,
    **options,
) -> tuple[pd.DataFrame, RecordReport]:
    """Read as `read_faults` does, and tell what was found.

    Parameters
    ----------
    source, entities, storage, **options
        As for `read_faults`.

    Returns
    -------
    faults : DataFrame
    report : RecordReport
    """
    chosen = checked(options, FaultOptions, reader="read_faults")
    for name, known in {
        "duplicates": ("error", "first", "last"),
        "overlaps": ("keep", "merge", "error"),
        "unknown": ("error", "keep", "drop"),
        "layout": (None, *LAYOUTS),
    }.items():
        if getattr(chosen, name) not in known:
            remedy, got = nearest(str(getattr(chosen, name)), filter(None, known)), repr(getattr(chosen, name))
            raise ContractError(column=name, expected="one that there is", got=got, remedy=remedy)
    for name, begins in chosen.labels.items():
        if not all(isinstance(begin, str) for begin in (begins if isinstance(begins, list | tuple) else [begins])):
            raise ContractError(column="labels", expected=f"what a label of {name!r} begins with", got=repr(begins))
    layout = LAYOUTS.get(chosen.layout)
    raw, label, filtered = raw_rows(source, chosen, storage)
    if layout:
        raw, chosen = _of_system(raw, layout, chosen)
        filtered += raw.attrs.pop("left_out")
    done, dropped = translate(raw, "faults", chosen, label=label, usual=layout.columns if layout else None)
    done = _labelled(done, raw, layout, chosen, label)
    done = _identified(done, label)
    if "entity" not in done or done["entity"].isna().any():
        _refuse_without_entity(done, raw, label)
    counts = {"filtered": filtered}
    done, counts["duplicates"] = unique(done, chosen.duplicates, label)
    done = one_a_component(done) if layout else done
    done, counts["unknown"] = known_entities(done, entities, chosen.unknown, label)
    if layout and {"detected_at", "recovered_at"} <= set(done):
        refuse_backwards(done, label)
    done, counts["overlaps"] = overlapping(done, chosen.overlaps, label)
    if "source" not in done and layout:
        done["source"] = chosen.layout
    report = RecordReport(len(done), counts, dropped)
    log.info("%s: %s", label, report)
    return validate(done.reset_index(drop=True), "faults", source=label), report


def _of_system(raw: pd.DataFrame, layout: Layout, options: FaultOptions) -> tuple[pd.DataFrame, FaultOptions]:
    """Apply what is particular to a ticket system; what the user says goes first."""
    rows = len(raw)
    if layout.absent in raw:
        raw = raw[raw[layout.absent].isna()].drop(columns=layout.absent)
    if layout.closed and set(layout.closed[:2]) <= set(raw):
        moment, state, value = layout.closed
        raw = raw.assign(resolved_at=raw.get("resolved_at", pd.Series(index=raw.index, dtype="str")))
        at = raw[moment].where(raw[state].str.lower() == value)
        raw["resolved_at"] = raw["resolved_at"].fillna(at)
    severity = {**layout.severity, **options.values.get("severity", {})}
    options = replace(
        options,
        values={**options.values, **({"severity": severity} if severity else {})},
        timestamp_format=options.timestamp_format or layout.timestamp_format,
    )
    raw = raw.copy()
    raw.attrs["left_out"] = rows - len(raw)
    return raw, options


def _labelled(done: pd.DataFrame, raw: pd.DataFrame, layout: Layout | None, options: FaultOptions, label: str):
    """Take from labels what no column says: service:web-1, mode:memory_leak."""
    wanted = dict(LABELS) if layout and layout.labels else {}
    for name, begins in options.labels.items():
        wanted[name] = (begins,) if isinstance(begins, str) else tuple(begins)
    places = [name for name in (layout.labels if layout else ("labels", "Labels", "tags")) if name in raw]
    if options.labels and not places:
        expected = "a column of labels"
        raise ContractError(file=label, column="labels", expected=expected, got=f"only {', '.join(raw)}")
    if not places:
        return done
    cells = raw[places].bfill(axis="columns").iloc[:, 0].astype("str")
    for ours, begins in wanted.items():
        found = cells.map(lambda cell, begins=begins: _from_labels(cell, begins), na_action="ignore").astype("str")
        if ours == "severity" and options.values.get("severity") and found.notna().any():
            ranks = {str(k).casefold(): str(v) for k, v in options.values["severity"].items()}
            found = found.map(lambda cell, ranks=ranks: ranks.get(cell.casefold(), cell), na_action="ignore").astype(
                "str"
            )
        if found.notna().any():
            done[ours] = done[ours].fillna(found) if ours in done else found
    return done


def _from_labels(cell: str, begins: Sequence[str]) -> str | None:
    for word in cell.split(","):
        for begin in begins:
            if word.strip().lower().startswith(begin.lower()):
                return word.strip()[len(begin) :].strip() or None
    return None


def _identified(done: pd.DataFrame, label: str) -> pd.DataFrame:
    """Call records without a name after their file and row."""
    stem = PurePosixPath(label.split(" and ")[0]).name.split(".")[0]
    own = pd.Series([f"{stem}-{row + 1}" for row in done.index], index=done.index, dtype="str")
    done["fault_id"] = done["fault_id"].fillna(own) if "fault_id" in done else own
    return done


def _refuse_without_entity(done: pd.DataFrame, raw: pd.DataFrame, label: str) -> None:
    missing = done.index if "entity" not in done else done.index[done["entity"].isna()]
    raise ContractError(
        file=label,
        row=[int(row) + 1 for row in missing[:SHOWN]],
        column="entity",
        expected="what the record is about",
        got="nothing",
        remedy="columns={'their column': 'entity'}, labels={'entity': 'service:'}, or defaults={'entity': 'web-1'};"
        f" there are the columns {', '.join(list(raw)[:30])}",
    )
