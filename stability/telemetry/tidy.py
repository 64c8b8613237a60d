"""One table, read and understood: a row per entity and moment, repaired by the named policies or refused."""

from __future__ import annotations

__all__ = ["Reading", "read_file", "understand"]

import logging
import string
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from stability.schema import ContractError, coerce_column, nearest
from stability.telemetry.cells import SHOWN_ROWS, to_numbers, to_utc
from stability.telemetry.layout import Roles, metric_names
from stability.telemetry.options import Options
from stability.telemetry.repairs import repair
from stability.telemetry.series import named_columns, named_rows
from stability.telemetry.sources import Source
from stability.telemetry.tables import read_table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What one file gave.

    Parameters
    ----------
    panel : DataFrame
        Index (entity, timestamp), unique, in the file's order; float64 a metric.
    facts : dict
        A row of `files.ReadReport.files`.
    repairs : DataFrame
        As `files.ReadReport.repairs`.
    names : set of str
        All columns and, in the long layout, all metrics of the file, under its own names.
    """

    panel: pd.DataFrame
    facts: dict
    repairs: pd.DataFrame
    names: set[str]


def read_file(
    file: Source, options: Options, *, shared: bool = False, advance: Callable[[int], object] | None = None
) -> Reading:
    """Read one file into a wide panel.

    Parameters
    ----------
    file : Source
    options : Options
    shared : bool
        Whether another file has the same stem, so that it cannot tell the entity.
    advance : callable, optional
        Told the number of bytes read.

    Returns
    -------
    Reading

    Raises
    ------
    ContractError
        With the file, and the row and column where there is one.
    """
    return understand(*read_table(file, options, advance), file, options, shared=shared)


def understand(
    frame: pd.DataFrame, roles: Roles, facts: dict, file: Source, options: Options, *, shared: bool = False
) -> Reading:
    """Turn the raw table of one file, or of one query, into a wide panel.

    Parameters
    ----------
    frame : DataFrame
        The columns that play a role, as they came; index 0 is the first data row. It is emptied.
    roles : Roles
    facts : dict
        What is known of the bytes: sha256, bytes.
    file : Source
        Where the table comes from: its name in errors, and the name of its entity where no column tells it.
    options : Options
    shared : bool
        Whether another file has the same stem, so that it cannot tell the entity.

    Returns
    -------
    Reading

    Raises
    ------
    ContractError
        With the file, and the row and column where there is one.
    """
    rows, names = len(frame), set(roles.header)
    labelled = bool(roles.labels) or options.series is not None
    cells: dict[str, str] = {}
    parts: list[tuple[str, dict[str, str]]] = []  # of a header that names series: entity, {metric: column}
    if roles.in_header:
        series, found = named_columns(roles, options, file)
        key, parts, names = {}, _by_entity(series), names | found
    elif labelled:
        entity, metric, found = named_rows(frame, roles, options, file)
        key, names = {"entity": entity} | ({} if metric is None else {"metric": metric}), names | found
    else:
        key = {"entity": _entities(frame, roles, options, file, shared)}
    if roles.layout == "long":
        if not labelled:
            kinds = coerce_column(frame[roles.metric], "str", source=file.label, nullable=False).str.strip()
            names |= set(kinds.unique())
            key["metric"] = kinds.map(metric_names(kinds.unique(), options, file=file.label))
        kept = key["metric"].dropna().index
        if kept.empty:
            expected, got = "at least one metric", "none that columns={...: None} does not leave out"
            raise ContractError(file=file.label, expected=expected, got=got)
        if len(kept) < rows:
            frame, key = frame.loc[kept], {name: cells.loc[kept] for name, cells in key.items()}
        cells = {"value": roles.value}
    elif not roles.in_header:
        cells = {new: name for name, new in metric_names(roles.metrics, options, file=file.label).items()}
    groups = frame.groupby(list(key.values()), sort=False).ngroup().to_numpy() if key else None
    stamps, said, clock = to_utc(
        _stamps(frame, roles),
        file=file.label,
        column=roles.timestamp,
        timezone=options.timezone,
        form=options.timestamp_format,
        ambiguous=options.ambiguous,
        nonexistent=options.nonexistent,
        groups=groups,
    )
    pieces = []
    for who, columns in parts or [("", cells)]:
        numbers = {
            new: to_numbers(
                frame.pop(name),  # each is used once, and may be let go
                file=file.label,
                column=name,
                decimal=options.decimal,
                thousands=options.thousands,
                units=options.units,
            )
            for new, name in columns.items()
        }
        of = {"entity": pd.Series(who, index=frame.index, dtype="str")} if parts else key
        tidy = pd.DataFrame({**of, "timestamp": stamps, **numbers}, index=frame.index)
        del numbers
        if parts:
            tidy = tidy.dropna(how="all", subset=list(columns))  # series joined by time: not each has each moment
        pieces.append(repair(tidy, [*of, "timestamp"], {**columns, "timestamp": roles.timestamp}, options, file.label))
    tidy = pd.concat([tidy for tidy, _ in pieces]) if len(pieces) > 1 else pieces[0][0]
    if parts and tidy.empty:
        raise ContractError(file=file.label, expected="at least one value", got="empty cells alone")
    repairs = pd.concat([found for _, found in pieces]) if len(pieces) > 1 else pieces[0][1]
    if roles.layout == "wide":
        panel = tidy.set_index(["entity", "timestamp"])
    else:
        order = list(dict.fromkeys(tidy["metric"]))
        panel = tidy.pivot(index=["entity", "timestamp"], columns="metric", values="value")[order]  # noqa: PD010 - keys are unique
    facts = {
        "file": file.label,
        **facts,
        "rows": rows,
        "layout": roles.layout,
        "stamps": said,
        **clock,
    }
    log.info("%s: %d rows, %s layout, %s", file.label, rows, roles.layout, said)
    return Reading(panel.rename_axis(columns=None), facts, repairs, names)


def _stamps(frame: pd.DataFrame, roles: Roles) -> pd.Series:
    """The stamps' cells; of several columns, their texts with a blank between."""
    if len(roles.stamps) == 1:
        return frame[roles.stamps[0]]
    texts = [frame[name].astype("str").str.strip() for name in roles.stamps]
    return texts[0].str.cat(texts[1:], sep=" ")


def _by_entity(series: list[tuple[str, str, str]]) -> list[tuple[str, dict[str, str]]]:
    """Gather the columns of each entity."""
    found: dict[str, dict[str, str]] = {}
    for column, entity, metric in series:
        found.setdefault(entity, {})[metric] = column
    return list(found.items())


def _entities(frame: pd.DataFrame, roles: Roles, options: Options, file: Source, shared: bool) -> pd.Series:
    """Name the entity of each row: from its column, else from the file's path."""
    if roles.entity is not None:
        texts = coerce_column(frame[roles.entity], "str", source=file.label, nullable=False).str.strip()
        empty = texts.index[texts == ""]
        if len(empty):
            raise ContractError(
                file=file.label,
                row=[int(row) + 1 for row in empty[:SHOWN_ROWS]],
                column=roles.entity,
                expected="an entity's name",
                got="an empty cell",
                remedy="complete the row or remove it",
            )
        return texts
    if options.entity is None and shared:
        raise ContractError(
            file=file.label,
            expected="files of different names, which name the entities where no column does",
            got=f"several called {file.stem!r}",
            remedy="entity='{parent}/{stem}' for an entity a folder, entity='{stem}' where they belong together",
        )
    template = options.entity or "{stem}"
    known = {"stem": file.stem, "name": file.name, "parent": file.parent}
    try:  # the bare fields only: str.format would also follow attributes, and pad to a thousand million blanks
        parts = list(string.Formatter().parse(template))
        named = [(name, how, conversion) for _, name, how, conversion in parts if name is not None]
        wrong = [name for name, how, conversion in named if name not in known or how or conversion]
    except ValueError:
        wrong = [template]
    if wrong:
        expected = "a template of {stem}, {name} and {parent}, or of columns"
        remedy = f"entity='{{parent}}/{{stem}}'; columns: {nearest(str(wrong[0]), roles.header)}"
        raise ContractError(column="entity", expected=expected, got=repr(template), remedy=remedy)
    name = template.format(**known)
    return pd.Series(name, index=frame.index, dtype="str")
