"""One table, read and understood: a row per entity and moment, repaired by the named policies or refused."""

from __future__ import annotations

__all__ = ["Reading", "read_file", "understand"]

import hashlib
import logging
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from stability.schema import ContractError, coerce_column
from stability.telemetry.cells import SHOWN_ROWS, to_numbers, to_utc
from stability.telemetry.layout import Options, Roles, metric_names
from stability.telemetry.repairs import repair
from stability.telemetry.sources import Source, fetch
from stability.telemetry.tables import read_bytes

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
    raw, content = fetch(file, advance)
    frame, roles = read_bytes(content, file.label, options)
    facts = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    return understand(frame, roles, file, options, shared=shared, facts=facts)


def understand(
    frame: pd.DataFrame, roles: Roles, file: Source, options: Options, *, shared: bool = False, facts: dict
) -> Reading:
    """Turn the raw table of one file, or of one query, into a wide panel.

    Parameters
    ----------
    frame : DataFrame
        The columns that play a role, as they came; index 0 is the first data row.
    roles : Roles
    file : Source
        Where the table comes from: its name in errors, and the name of its entity where no column tells it.
    options : Options
    shared : bool
        Whether another file has the same stem, so that it cannot tell the entity.
    facts : dict
        What is known of the bytes: sha256, bytes.

    Returns
    -------
    Reading

    Raises
    ------
    ContractError
        With the file, and the row and column where there is one.
    """
    rows, names = len(frame), set(roles.header)
    key = {"entity": _entities(frame, roles, options, file, shared)}
    if roles.layout == "long":
        kinds = coerce_column(frame[roles.metric], "str", source=file.label, nullable=False).str.strip()
        names |= set(kinds.unique())
        kinds = kinds.map(metric_names(kinds.unique(), options, file=file.label)).dropna()
        if kinds.empty:
            expected, got = "at least one metric", "none that columns={...: None} does not leave out"
            raise ContractError(file=file.label, expected=expected, got=got)
        frame = frame.loc[kinds.index]
        key = {"entity": key["entity"].loc[kinds.index], "metric": kinds}
        cells = {"value": roles.value}
    else:
        cells = {new: name for name, new in metric_names(roles.metrics, options, file=file.label).items()}
    stamps, said, clock = to_utc(
        frame[roles.timestamp],
        file=file.label,
        column=roles.timestamp,
        timezone=options.timezone,
        form=options.timestamp_format,
        ambiguous=options.ambiguous,
        nonexistent=options.nonexistent,
        groups=frame.groupby(list(key.values()), sort=False).ngroup().to_numpy(),
    )
    numbers = {
        new: to_numbers(frame[name], file=file.label, column=name, decimal=options.decimal)
        for new, name in cells.items()
    }
    tidy = pd.DataFrame({**key, "timestamp": stamps, **numbers}, index=frame.index)
    tidy, repairs = repair(tidy, [*key, "timestamp"], {**cells, "timestamp": roles.timestamp}, options, file.label)
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
    known = {"stem": file.stem, "name": PurePosixPath(file.path).name, "parent": file.parent}
    try:  # the bare fields only: str.format would also follow attributes, and pad to a thousand million blanks
        parts = list(string.Formatter().parse(template))
        named = [(name, how, conversion) for _, name, how, conversion in parts if name is not None]
        wrong = [name for name, how, conversion in named if name not in known or how or conversion]
    except ValueError:
        wrong = [template]
    if wrong:
        expected = "a template of {stem}, {name} and {parent}"
        raise ContractError(column="entity", expected=expected, got=repr(template), remedy="entity='{parent}/{stem}'")
    name = template.format(**known)
    return pd.Series(name, index=frame.index, dtype="str")
