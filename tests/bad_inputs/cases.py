"""What one bad input is, and the good file that most of them are made from."""

import gzip
import io
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stability.schema import ContractError

__all__ = ["ROWS", "Case", "good_rows", "parquet", "seeded", "text", "tree", "zipped"]

ROWS = 24


@dataclass(frozen=True)
class Case:
    """One bad input.

    Parameters
    ----------
    name : str
        Kind and variant, distinct.
    prepare : callable
        Folder -> the call that meets the input; it writes the input, and nothing else may be written afterwards.
    says : tuple of str
        What the error's text must contain: the file, the row, the column, the remedy.
    repaired : mapping or None
        For an input that a named policy repairs: what the report must have counted; no error then.
    error : type
        The error.
    answer : callable or None
        For an input that has an answer which says that nothing can be known: whether the result is that answer.
    """

    name: str
    prepare: Callable[[Path], Callable[[], object]]
    says: tuple[str, ...] = ()
    repaired: Mapping[str, int] | None = None
    error: type[Exception] = ContractError
    answer: Callable[[object], bool] | None = None


def seeded(name: str) -> random.Random:
    """A generator of its own for each kind, so that a new kind changes no other."""
    return random.Random(name)


def good_rows(count: int = ROWS, step: str = "1min") -> list[list[str]]:
    """Rows of a file in order: time, host, two metrics."""
    times = pd.date_range("2026-01-01", periods=count, freq=step, tz="UTC")
    return [
        [f"{at:%Y-%m-%dT%H:%M:%SZ}", "web-1", f"{0.25 + k / 100:.2f}", str(10**6 + 17 * k)]
        for k, at in enumerate(times)
    ]


HEADER = ["timestamp", "host", "cpu_ratio", "memory_bytes"]


def text(rows: list[list[str]] | None = None, header: list[str] | None = None, separator: str = ",") -> bytes:
    """A CSV file of rows."""
    lines = [HEADER if header is None else header, *(good_rows() if rows is None else rows)]
    return "".join(separator.join(line) + "\n" for line in lines).encode()


def zipped(content: bytes) -> bytes:
    """The same as gzip, the same bytes at each run."""
    return gzip.compress(content, mtime=0)


def parquet(frame: pd.DataFrame | None = None) -> bytes:
    """A Parquet file of another tool's making: no metadata of the workbench."""
    if frame is None:
        frame = pd.read_csv(io.BytesIO(text())).assign(timestamp=lambda f: pd.to_datetime(f["timestamp"], utc=True))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def tree(folder):
    """Every file below a folder, with its size and time of change."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            facts = os.lstat(os.path.join(root, name))  # noqa: PTH118  links that lead nowhere are counted too
            found[os.path.join(root, name)] = (facts.st_size, facts.st_mtime_ns)  # noqa: PTH118
    return found
