"""Plain files of numbers and tables into frames, with an error that names the row where one is broken."""

from __future__ import annotations

__all__ = ["numbers", "panel", "read_csv", "read_json", "stack"]

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stability.schema import ContractError, validate


def numbers(path: Path, *, separator: str, columns: int) -> np.ndarray:
    r"""Read a file without a header in which every cell is a number.

    Parameters
    ----------
    path : Path
        The file.
    separator : str
        As pandas takes it; `\s+` for blanks.
    columns : int
        How many numbers a row has.

    Returns
    -------
    ndarray of float64, shape (rows, columns)

    Raises
    ------
    ContractError
        Where a row has another number of cells, or a cell that is no number.
    """
    frame = read_csv(path, sep=separator, header=None, dtype="float64", float_precision="round_trip")
    short = frame.isna().any(axis="columns").to_numpy()
    if frame.shape[1] != columns or short.any():
        row = int(np.argmax(short)) + 1 if short.any() else None
        got = "fewer" if short.any() else f"{frame.shape[1]}"
        raise ContractError(file=path, row=row, expected=f"{columns} numbers in each row", got=got, remedy=WHOLE)
    return frame.to_numpy()


def read_csv(path: Path, columns: Sequence[str] = (), **options) -> pd.DataFrame:
    """Read a CSV as `pandas.read_csv` does, with errors of the workbench.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Columns that it must have.
    **options
        Of `pandas.read_csv`.

    Raises
    ------
    ContractError
        For a file that is empty, no text or no table, lacks a column, or has text where a number belongs.
    """
    try:
        frame = pd.read_csv(path, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        said = str(error).strip().splitlines()[0]
        raise ContractError(file=path, expected="a whole table", got=said, remedy=WHOLE) from error
    for column in columns:
        if column not in frame:
            got = ", ".join(map(str, frame.columns[:20]))
            raise ContractError(file=path, column=column, expected="the column", got=f"the columns {got}", remedy=WHOLE)
    return frame


def read_json(path: Path) -> dict:
    """Read a JSON object.

    Raises
    ------
    ContractError
        Where the file holds none.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ContractError(file=path, expected="JSON", got=str(error), remedy=WHOLE) from error
    if not isinstance(read, dict):
        raise ContractError(file=path, expected="a JSON object", got=type(read).__name__, remedy=WHOLE)
    return read


WHOLE = "get the file again, or restore it from its origin"


def panel(values: np.ndarray, columns: Sequence[str], entity: str, stamps: pd.DatetimeIndex) -> pd.DataFrame:
    """Make the telemetry of one entity.

    Parameters
    ----------
    values : ndarray of float64, shape (rows, columns)
        Rows in the order of the stamps.
    columns : sequence of str
        Names of the metrics.
    entity : str
        Whose.
    stamps : DatetimeIndex of length rows
        In UTC.

    Returns
    -------
    DataFrame
        Index (entity, timestamp).
    """
    index = pd.MultiIndex.from_arrays(
        [np.full(len(stamps), entity, dtype=object), stamps], names=["entity", "timestamp"]
    )
    return pd.DataFrame(values, index=index, columns=list(columns))


def stack(pieces: Iterable[Mapping[str, pd.DataFrame]], source: str) -> dict[str, pd.DataFrame]:
    """Put the tables of pieces of a dataset on each other, in contract form.

    Parameters
    ----------
    pieces : iterable of mappings
        Each with the same tables; a key of a contract as index or as columns.
    source : str
        Name for error messages.

    Returns
    -------
    dict of str to DataFrame

    Raises
    ------
    ContractError
        As `schema.validate`.
    """
    pieces = list(pieces)
    tables = {}
    for name in pieces[0]:
        table = pd.concat([piece[name] for piece in pieces])
        keyed = isinstance(table.index, pd.MultiIndex)
        tables[name] = validate(table if keyed else table.reset_index(drop=True), name, source=source)
    return tables
