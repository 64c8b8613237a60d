"""Telemetry from a user's own files: CSV, JSON and Parquet, wide and long, near and far, into one panel."""

from __future__ import annotations

__all__ = ["ReadReport", "assemble", "known_options", "progress_bar", "read", "read_with_report"]

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import pandas as pd

from stability.schema import ContractError, base_name, nearest, validate
from stability.telemetry.layout import SHOWN
from stability.telemetry.options import Options
from stability.telemetry.repairs import SERIES, in_words, join
from stability.telemetry.sources import Source, locate
from stability.telemetry.tidy import Reading, read_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadReport:
    """What a reading found in the files and what it repaired by a named policy.

    Parameters
    ----------
    files : DataFrame
        A row per file: file, sha256 (of the bytes as stored), bytes, rows, layout, stamps (how they were understood),
        ambiguous and nonexistent (number of local times placed by policy).
    repairs : DataFrame
        Index (entity, metric), only where there was something; int64 counts of cells: ``duplicates`` (merged away),
        ``out_of_order`` (earlier than the row before in their file), ``infinite`` (made missing).
    """

    files: pd.DataFrame
    repairs: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Number of repaired cells (of local times: rows) by kind, over all files."""
        local = self.files[["ambiguous", "nonexistent"]]
        return {name: int(count) for name, count in pd.concat([self.repairs.sum(), local.sum()]).items()}

    def __str__(self):
        files, rows = len(self.files), int(self.files["rows"].sum())
        said = ", ".join(in_words(self.counts)) or "none"
        return f"{files:,} file{'s' * (files != 1)}, {rows:,} row{'s' * (rows != 1)}; repaired cells: {said}"


def read(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    layout: str = "auto",
    entity: str | None = None,
    timestamp: str | Sequence[str] | None = None,
    metric: str | None = None,
    value: str | None = None,
    series: str | None = None,
    dimensions: Sequence[str] = (),
    columns: Mapping[str, str | None] | None = None,
    scale: Mapping[str, float] | None = None,
    units: bool | Mapping[str, float] = False,
    timezone: str | None = None,
    timestamp_format: str | None = None,
    ambiguous: str = "error",
    nonexistent: str = "error",
    duplicates: str = "error",
    unsorted: str = "sort",
    infinite: str = "error",
    decimal: str = ".",
    thousands: str = "",
    encoding: str | None = None,
    delimiter: str | None = None,
    skip: int | Sequence[int] = 0,
    comment: str | None = None,
    names: Sequence[str] | None = None,
    storage: Mapping[str, object] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Read CSV, JSON and Parquet files, packed or not, into one panel; nothing is repaired but by a policy named here.

    Parameters
    ----------
    source : str, path, or iterable of them
        Paths, globs (``logs/**/*.csv``), or URLs of any kind that fsspec knows (``s3://``, ``https://``, ...).
    layout : {"auto", "wide", "long"}
        Wide has a column a metric; long has a row a value, with the metric's name in a column. For the rule of
        ``"auto"`` see `stability.telemetry.layout.find_roles`.
    entity : str, optional
        Column of the entities, or a template such as ``{job}/{instance}``: its fields are columns, or with `series`
        labels, or of the path ``{stem}``, ``{name}`` and ``{parent}``.
        Default: the column (or label) called ``entity`` or by a usual name, else the file's stem.
    timestamp : str or list of str, optional
        Column of the stamps where its name does not say so, or several whose texts make the stamp (date and time).
    metric, value : str, optional
        Columns of a long table that play these roles, where their names do not say so.
    series : str, optional
        How series are named. ``"labels"``: by labels as Prometheus, Grafana and Datadog write them
        (``cpu{instance="a"}``, ``host:a,env:b``), in the header of a wide table, or in the columns of a long one,
        where every further column is a label too. Or a template of the names, ``"{metric} {entity}"``, each field of
        which is a label. A series that nothing names is of the metric ``value``.
    dimensions : list of str, optional
        Labels (of a long table also columns) that keep series of one metric and entity apart: they go into the
        column's name as ``__<label>_<value>``, as in `read_prometheus`.
    columns : mapping of str to str or None, optional
        Their name of a column (wide) or a metric (long) -> name in the contract; None leaves it out.
    scale : mapping of str to float, optional
        Metric -> factor into the base unit: 0.01 for percent, 0.001 for milliseconds; it holds for all dimensions.
    units : bool or mapping of str to float
        Whether cells hold numbers with their units (``12.3%``, ``1.2 GiB``, ``350 ms``, ``4.5K req/s``), which become
        base units; a mapping adds units of one's own, as factors. One column has units of one kind.
    timezone : str, optional
        IANA zone of stamps without an offset, ``"UTC"`` for instance. Without it such stamps are refused.
    timestamp_format : str, optional
        strptime pattern, or unit of epoch numbers (``"s"``, ``"ms"``, ``"us"``, ``"ns"``). Default: ISO 8601 or
        epoch numbers between 1980 and 2100, whose size tells their unit.
    ambiguous : {"error", "earlier", "later", "infer"}
        What becomes of local times that the end of summer time brings twice; see `cells.to_utc`.
    nonexistent : {"error", "shift_forward"}
        What becomes of local times that the start of summer time skips.
    duplicates : {"error", "first", "last", "mean"}
        What becomes of several values of a metric at one moment. Files that hold different metrics of an entity are
        joined, that is no duplicate.
    unsorted : {"sort", "error"}
        What becomes of rows that are earlier than the row before.
    infinite : {"error", "missing"}
        What becomes of inf.
    decimal, thousands : str
        Decimal sign of CSV (``"."`` or ``","``), and the sign between groups of three digits, if there is one.
    encoding : str, optional
        Of CSV and JSON, ``"latin-1"`` for instance. Default: what the byte order mark says, else UTF-8.
    delimiter : str, optional
        Sign between the cells of CSV. Default: what a first line ``sep=;`` says, else that of comma, semicolon, tab
        and bar of which the header has most.
    skip : int or list of int
        Lines at the top of CSV to leave out: how many, or which, counted from 1.
    comment : str, optional
        What lines of CSV begin with that are comments.
    names : list of str, optional
        Names of the columns of a CSV without a header.
    storage : mapping, optional
        Options of fsspec's file system, such as ``{"endpoint_url": "http://127.0.0.1:9000"}`` or ``{"anon": True}``.
        Credentials come from where the protocol's library looks for them (AWS_ACCESS_KEY_ID and
        AWS_SECRET_ACCESS_KEY, AWS_PROFILE), or as ``${NAME}`` from the environment's variable NAME; a secret written
        out is refused.
    progress : bool
        Show a progress bar, if the standard error is a terminal.

    Returns
    -------
    DataFrame
        The panel: index (entity: str, timestamp: datetime64[us, UTC]), sorted and unique; float64 a metric, NaN where
        nothing was measured.

    Raises
    ------
    ContractError
        With file, row (1 is the first below the header), column, what was expected, what came, and what to do.

    Notes
    -----
    CSV is parsed a piece at a time, so memory holds the numbers that were read, and text only where a column has cells
    that are no plain numbers. See `read_with_report` for what was repaired, and docs/exporters.md for the files of
    Prometheus, Grafana, CloudWatch, Datadog, Zabbix and Windows.
    """
    return read_with_report(
        source,
        storage=storage,
        progress=progress,
        layout=layout,
        entity=entity,
        timestamp=timestamp,
        metric=metric,
        value=value,
        series=series,
        dimensions=dimensions,
        columns=columns,
        scale=scale,
        units=units,
        timezone=timezone,
        timestamp_format=timestamp_format,
        ambiguous=ambiguous,
        nonexistent=nonexistent,
        duplicates=duplicates,
        unsorted=unsorted,
        infinite=infinite,
        decimal=decimal,
        thousands=thousands,
        encoding=encoding,
        delimiter=delimiter,
        skip=skip,
        comment=comment,
        names=names,
    )[0]


def read_with_report(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    storage: Mapping[str, object] | None = None,
    progress: bool = False,
    **options,
) -> tuple[pd.DataFrame, ReadReport]:
    """Read as `read` does, and tell what was found and repaired.

    Parameters
    ----------
    source, storage, progress, **options
        As for `read`.

    Returns
    -------
    panel : DataFrame
    report : ReadReport
    """
    chosen = known_options(options, "read")
    if not isinstance(storage or {}, Mapping):
        expected, remedy = "options of a file system by name", "storage={'key': ..., 'secret': ...}"
        raise ContractError(column="storage", expected=expected, got=type(storage).__name__, remedy=remedy)
    sources = locate(source, **(storage or {}))
    stems = Counter(file.stem for file in sources)
    readings: list[Reading] = []
    errors: list[ContractError] = []
    with progress_bar(sources, progress) as advance:
        for file in sources:
            try:
                readings.append(read_file(file, chosen, shared=stems[file.stem] > 1, advance=advance))
            except ContractError as error:  # the other files are looked at too, so that one round of mending suffices
                errors.append(error)
    if errors:
        raise _together(errors, len(sources))
    return assemble(readings, chosen)


def known_options(options: Mapping[str, object], reader: str) -> Options:
    """Take the options of a reading; one that does not exist is an error that names those that do."""
    known = [field.name for field in fields(Options)]
    for name in options:
        if name not in known:
            expected = f"an option of {reader}"
            raise ContractError(column=name, expected=expected, got="an unknown one", remedy=nearest(name, known))
    return Options(**options)


def assemble(readings: list[Reading], options: Options) -> tuple[pd.DataFrame, ReadReport]:
    """Join what files or a query gave into one panel in base units, and tell what was repaired.

    Parameters
    ----------
    readings : list of tidy.Reading
        At least one.
    options : Options

    Returns
    -------
    panel : DataFrame
    report : ReadReport

    Raises
    ------
    ContractError
        Two readings give one value, or `columns` or `scale` name what none has.
    """
    _refuse_unmet("columns", options.columns, set().union(*(reading.names for reading in readings)))
    panel, merged = join(readings, options)
    _refuse_unmet("scale", options.scale, {*panel.columns, *map(base_name, panel.columns)})
    for name in panel.columns:
        panel[name] *= options.scale.get(name, options.scale.get(base_name(name), 1))
    repairs = pd.concat([*(reading.repairs for reading in readings), merged]).groupby(level=SERIES).sum()
    report = ReadReport(pd.DataFrame([reading.facts for reading in readings]), repairs)
    if any(report.counts.values()):
        log.warning("%s", report)
    label = readings[0].facts["file"] if len(readings) == 1 else None
    return validate(panel, "telemetry", source=label), report


@contextmanager
def progress_bar(sources: list[Source], progress: bool) -> Iterator[Callable[[int], object] | None]:
    """Show how many bytes of all files have been read, if the standard error is a terminal.

    Parameters
    ----------
    sources : list of Source
        What will be read.
    progress : bool
        Whether to show anything at all.

    Yields
    ------
    callable or None
        To be told the number of bytes of each piece.
    """
    if not (progress and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    total = sum(file.system.size(file.path) or 0 for file in sources)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {len(sources):,} files", total=total or None)
        yield lambda size: bar.advance(task, size)


def _together(errors: list[ContractError], total: int) -> ContractError:
    """Tell of all files that could not be read: the first error in full, the others by file."""
    if len(errors) == 1:
        return errors[0]
    others = ", ".join(str(error.file) for error in errors[1 : SHOWN + 1])
    others += f" and {len(errors) - 1 - SHOWN:,} more" * (len(errors) - 1 > SHOWN)
    return ContractError(f"{len(errors)} of {total} files cannot be read; first {errors[0]} The others: {others}")


def _refuse_unmet(option: str, named: Iterable[str], names: Iterable[str]) -> None:
    """Refuse an option that names what no file has."""
    for name in named:
        if name not in names:
            expected, got = "names that some file has", f"{name!r}, which none has"
            raise ContractError(column=option, expected=expected, got=got, remedy=nearest(name, names))
