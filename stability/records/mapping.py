"""From a tool's rows to a contract's columns: names, categories and moments translated by what a user says."""

from __future__ import annotations

__all__ = ["TableOptions", "checked", "raw_rows", "translate"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import pandas as pd

from stability.records.documents import as_text, read_frame
from stability.schema import TABLES, ContractError, nearest
from stability.telemetry.cells import EPOCH_UNITS, checked_zone, to_utc
from stability.telemetry.database import label_of
from stability.telemetry.sql import query_table

SHOWN = 5  # offending rows that an error lists

#: What an option's annotation begins with -> the type that its value must have, and how to say so.
TYPES = {"str": (str, "a text"), "bool": (bool, "true or false"), "Mapping": (Mapping, "a mapping")}


@dataclass(frozen=True)
class TableOptions:
    """How a table is to be read; the same for faults, topology, feedback and states.

    Parameters
    ----------
    form : {"auto", "csv", "json", "parquet"}
        What the files are.
    records : str, optional
        Where in a JSON document the list lies, by dots.
    query, params : str and mapping, optional
        Of a database; the source is then its address, as for `telemetry.sql.query_table`.
    columns : mapping of str to str, list of str or None
        Their column -> the contract's (or several of them); None leaves it out. Nested JSON keys are joined by dots.
    values : mapping of str to mapping
        Column of the contract -> their value -> ours, such as ``{"severity": {"P1": 9}}``.
    defaults : mapping of str to value
        Column of the contract -> what stands there where they have nothing.
    where : mapping of str to value or list
        Their column -> the values that a row must have one of to be read.
    timezone, ambiguous, nonexistent
        As for `telemetry.read`.
    timestamp_format : str, list of str, or mapping of str to them
        Form of the moments, of all columns or a column of the contract: strptime patterns, units of epoch numbers or
        ``"iso"``; of several, the first that reads a cell.
    """

    form: str = "auto"
    records: str | None = None
    query: str | None = None
    params: Mapping[str, object] | None = None
    columns: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict)
    values: Mapping[str, Mapping] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    where: Mapping[str, object] = field(default_factory=dict)
    timezone: str | None = None
    ambiguous: str = "error"
    nonexistent: str = "error"
    timestamp_format: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None


def checked(options: Mapping, kind: type = TableOptions, *, reader: str):
    """Make options of what a user wrote.

    Parameters
    ----------
    options : mapping
        Names and values.
    kind : type
        The dataclass of the reader's options.
    reader : str
        Name of the reader, for the error.

    Raises
    ------
    ContractError
        For an option that there is not, and one that is no mapping where it must be.
    """
    known = [f.name for f in fields(kind)]
    for name in options:
        if name not in known:
            expected = f"an option of {reader}"
            raise ContractError(column=name, expected=expected, got="an unknown one", remedy=nearest(str(name), known))
    refuse_types(options, kind)
    for name, known_values in (options.get("values") or {}).items():
        if not isinstance(known_values, Mapping):
            expected = "a mapping of their values to ours"
            raise ContractError(column=f"values of {name}", expected=expected, got=repr(known_values))
    return kind(**{name: value for name, value in options.items() if value is not None})


def refuse_types(options: Mapping, kind: type) -> None:
    """Refuse an option of another type than its dataclass declares, and a time zone that there is not.

    Raises
    ------
    ContractError
        Naming the option.
    """
    for declared in fields(kind):
        value = options.get(declared.name)
        type_, expected = TYPES.get(str(declared.type).removesuffix(" | None").partition("[")[0], (object, ""))
        if value is not None and not isinstance(value, type_):
            raise ContractError(column=declared.name, expected=expected, got=repr(value))
    if options.get("timezone") is not None:
        checked_zone(options["timezone"])


def raw_rows(source, options: TableOptions, storage: Mapping | None = None) -> tuple[pd.DataFrame, str, int]:
    """Read the rows of files or of a query as text.

    Returns
    -------
    frame : DataFrame of str
        Under their names; index from 0.
    label : str
        The source's name in messages.
    filtered : int
        Rows that `where` left out.
    """
    if options.query is not None:
        frame = query_table(str(source), options.query, options.params, timezone=options.timezone or "UTC")
        label = label_of(source)
        if frame.empty:
            raise ContractError(file=label, expected="at least one row of the query", got="none")
        frame = as_text(frame, label).astype("str")
    else:
        frame, label = read_frame(source, form=options.form, records=options.records, storage=dict(storage or {}))
    rows = len(frame)
    for name, wanted in options.where.items():
        _refuse_unknown(name, frame, "where", label)
        one_of = list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]
        frame = frame[frame[name].isin([_text(value) for value in one_of])]
    if frame.empty:
        raise ContractError(file=label, column="where", expected="rows that have these values", got=f"none of {rows:,}")
    return frame, label, rows - len(frame)


def translate(
    frame: pd.DataFrame,
    table: str,
    options: TableOptions,
    *,
    label: str,
    usual: Mapping[str, Sequence[str]] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Bring raw rows under the contract's names, with its categories and its moments.

    Parameters
    ----------
    frame : DataFrame of str
        As `raw_rows` gives it.
    table : str
        The contract.
    options : TableOptions
    label : str
        The source's name in messages.
    usual : mapping of str to sequence of str, optional
        Column of the contract -> names that it usually has; the first one that has a value in a row is taken.

    Returns
    -------
    done : DataFrame
        Index as in `frame`; moments are datetimes, everything else is text.
    dropped : list of str
        Their columns that became none of ours. Without `options.columns` and `usual` they are kept, under their names,
        so that validation refuses a misspelt one.

    Raises
    ------
    ContractError
        For names, values and moments that cannot be understood.
    """
    contract = TABLES[table].columns
    _refuse_forms(options.timestamp_format, contract, table)
    chosen: dict[str, list[str]] = {}
    for theirs, ours in options.columns.items():
        _refuse_unknown(theirs, frame, "columns", label)
        for name in [] if ours is None else ours if isinstance(ours, list | tuple) else [ours]:
            if str(name) not in contract:
                remedy = nearest(str(name), contract)
                raise ContractError(column="columns", expected=f"a column of {table}", got=repr(name), remedy=remedy)
            chosen.setdefault(name, []).append(theirs)
    left_out = {theirs for theirs, ours in options.columns.items() if ours is None}
    for ours in contract:
        own = [ours] if ours in frame and ours not in options.columns else []
        names = [name for name in (usual or {}).get(ours, ()) if name in frame and name not in left_out]
        chosen.setdefault(ours, own + names)
    done = pd.DataFrame(index=frame.index)
    for ours, theirs in chosen.items():
        if theirs:
            done[ours] = frame[theirs].bfill(axis="columns").iloc[:, 0].astype("str")
    used = {name for names in chosen.values() for name in names} | left_out
    rest = [name for name in frame if name not in used]
    if not (options.columns or usual):
        done = done.join(frame[rest])
        rest = []
    for ours, value in options.defaults.items():
        if ours not in contract:
            remedy = nearest(str(ours), contract)
            raise ContractError(column="defaults", expected=f"a column of {table}", got=repr(ours), remedy=remedy)
        done[ours] = done[ours].fillna(_text(value)) if ours in done else pd.Series(_text(value), index=done.index)
    for ours, known in options.values.items():
        if ours not in contract:
            remedy = nearest(str(ours), contract)
            raise ContractError(column="values", expected=f"a column of {table}", got=repr(ours), remedy=remedy)
        if ours in done:
            done[ours] = _categories(done[ours], known, number=str(contract[ours].dtype.type) == "float64", label=label)
    for ours, declared in contract.items():
        if ours in done and isinstance(declared.dtype.type, pd.DatetimeTZDtype):
            done[ours] = _moments(done[ours], options, ours, label)
    return done, rest


def _refuse_forms(forms: object, contract: Mapping, table: str) -> None:
    for ours in forms if isinstance(forms, Mapping) else ():
        if ours not in contract:
            expected, remedy = f"a column of {table}", nearest(str(ours), contract)
            raise ContractError(column="timestamp_format", expected=expected, got=repr(ours), remedy=remedy)
    for form in forms.values() if isinstance(forms, Mapping) else [forms]:
        listed = form if isinstance(form, list | tuple) else [form]
        if not all(one is None or isinstance(one, str) for one in listed):
            raise ContractError(column="timestamp_format", expected="a text, or a list of texts", got=repr(form))


def _refuse_unknown(name: str, frame: pd.DataFrame, option: str, label: str) -> None:
    if name not in frame:
        remedy = nearest(str(name), frame.columns)
        raise ContractError(file=label, column=option, expected="a column that is there", got=repr(name), remedy=remedy)


def _text(value: object) -> str:
    """Write a value as a cell holds it: YAML's 1 and true are '1' and 'true'."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _categories(cells: pd.Series, known: Mapping, *, number: bool, label: str) -> pd.Series:
    """Translate cells; what is in no mapping stays, unless a number is wanted and it is none."""
    exact = {_text(theirs).strip(): None if ours is None else _text(ours) for theirs, ours in known.items()}
    folded = {theirs.casefold(): ours for theirs, ours in exact.items()}

    def translated(cell: str):
        return exact.get(cell.strip(), folded.get(cell.strip().casefold(), cell))

    done = cells.map(translated, na_action="ignore").astype("str")
    if number:
        bad = done[done.notna() & pd.to_numeric(done, errors="coerce").isna()]
        if len(bad):
            raise ContractError(
                file=label,
                row=_rows(bad.index),
                column=str(cells.name),
                expected=f"a number, or one of {', '.join(map(repr, exact))}",
                got=repr(bad.iloc[0]),
                remedy=f"values={{{cells.name!r}: {{{bad.iloc[0]!r}: ...}}}}",
            )
    return done


def _moments(cells: pd.Series, options: TableOptions, column: str, label: str) -> pd.Series:
    """Read the moments of a column, each cell by the first form that fits."""
    forms = options.timestamp_format
    forms = forms.get(column) if isinstance(forms, Mapping) else forms
    forms = [forms] if forms is None or isinstance(forms, str) else list(forms)
    known = cells.dropna()
    done = pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]")
    while len(known):
        form = forms.pop(0) if forms else None
        form = None if form == "iso" else form
        fits = known if not forms else known[_fits(known, form)]
        if len(fits):
            where = {"file": label, "column": column, "timezone": options.timezone}
            policies = {"ambiguous": options.ambiguous, "nonexistent": options.nonexistent}
            moments, _, _ = to_utc(fits, form=form, **where, **policies)
            done.loc[fits.index] = pd.Series(moments, index=fits.index)
        known = known.drop(fits.index)
    return done


def _fits(cells: pd.Series, form: str | None) -> pd.Series:
    if form in EPOCH_UNITS:
        return cells.str.fullmatch(r"[+-]?\d+(?:\.\d*)?")
    return pd.to_datetime(cells, format=form or "ISO8601", utc=True, errors="coerce").notna()


def _rows(index: pd.Index) -> list[int] | int:
    rows = [int(row) + 1 for row in index[:SHOWN]]
    return rows[0] if len(rows) == 1 else rows
