"""A user's own logs into the contract: text by a pattern, JSON, syslog, the journal, tables; near and far."""

from __future__ import annotations

__all__ = ["LogReport", "read_logs", "read_logs_with_report"]

import datetime as dt
import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from stability.records import forms
from stability.records.assembly import ALIASES, SHOWN, Maker, Tally
from stability.records.documents import find_records, read_rows
from stability.records.journal import export_entries
from stability.records.lines import Opened, opened
from stability.records.mapping import checked
from stability.records.options import COLUMNS, LogOptions
from stability.records.patterns import Pattern, compile_pattern, guess, in_time
from stability.records.stamps import to_iso
from stability.schema import ContractError, nearest, validate
from stability.telemetry.cells import to_utc
from stability.telemetry.files import progress_bar
from stability.telemetry.sources import Source, locate

log = logging.getLogger(__name__)

BLOCK = 50_000  # lines that are Python objects at a time; a block then becomes columns
PROBED = 200  # lines from which a pattern is guessed


@dataclass(frozen=True)
class LogReport:
    """What a reading of logs found.

    Parameters
    ----------
    files : DataFrame
        A row per file: file, sha256 (of the bytes as stored), bytes, lines (of a table or a JSON document: records),
        rows (of the result), form, pattern, stamps (how they were understood), unmatched (lines that are no log line),
        continued (lines that belong to the one before), undecodable (lines with replaced bytes), out_of_order (rows
        earlier than the one before), ambiguous and nonexistent (local times placed by policy).
    """

    files: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of lines by what was done with them, over all files."""
        kinds = ["unmatched", "continued", "undecodable", "out_of_order", "ambiguous", "nonexistent"]
        return {name: int(count) for name, count in self.files[kinds].sum().items()}

    def __str__(self):
        said = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items() if count)
        rows = int(self.files["rows"].sum())
        return f"{len(self.files):,} file(s), {rows:,} log line(s); {said or 'nothing to mend'}"


def read_logs(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    storage: Mapping[str, object] | None = None,
    progress: bool = False,
    **options,
) -> pd.DataFrame:
    """Read log files into the table of logs; what is no log line is refused, kept or dropped by a named policy.

    Parameters
    ----------
    source : str, path, or iterable of them
        Paths, globs or URLs of any kind that fsspec knows, plain or gzip.
    storage : mapping, optional
        Options of fsspec's file system: credentials, endpoints.
    progress : bool
        Show a progress bar, if the standard error is a terminal.
    form : {"auto", "text", "json", "syslog", "journald", "table"}
        ``json`` is an object a line, a list, or a document that holds a list; ``syslog`` is RFC 5424 or 3164;
        ``journald`` is ``journalctl -o export`` or ``-o json``; ``table`` is CSV or Parquet.
    pattern : str, optional
        Of text: see `stability.records.patterns.compile_pattern`. Without it a usual one is guessed, or the text
        refused.
    columns : mapping of str to str or None, optional
        Their field -> ``timestamp``, ``entity``, ``level`` or ``message``; None leaves the field out. Nested JSON keys
        are joined by dots.
    entity, message : str, optional
        A field, or a template of fields: ``"{host}/{app}"``. In `entity` also ``{stem}``, ``{name}`` and ``{parent}``
        of the file. Default: the usual field, else the file's stem; syslog and journal say ``app: message``.
    levels : mapping of str to str, optional
        Their level -> the one to write. Without it levels stay as the source writes them, but numeric severities of
        syslog and the letters of glog become names.
    timezone, timestamp_format, ambiguous, nonexistent
        As for `telemetry.read`.
    year : int or "modified", optional
        For stamps without a year: see `stability.records.stamps.to_iso`.
    multiline : {"traceback", "all", "none"}
        Which lines that match no pattern belong to the line before: those that are indented or part of a traceback,
        all, none.
    unmatched : {"error", "keep", "drop"}
        What becomes of other lines that match no pattern. A kept one has the moment of the line before and no level.
    tolerated : float
        Share of such lines above which a file is refused all the same.
    unsorted : {"sort", "error"}
        What becomes of lines that are earlier than the line before.
    encoding : str
        Of the text.
    undecodable : {"error", "replace"}
        What becomes of bytes that the encoding does not have.
    records : str, optional
        Where in a JSON document the list lies: ``"hits.hits"``.

    Returns
    -------
    DataFrame
        The table `logs`: timestamp (datetime64[us, UTC], ascending), entity, level, message.

    Raises
    ------
    ContractError
        With file and line, what was expected, what came, and what to do.

    Notes
    -----
    A file is read as a stream; beside the result, 50,000 lines are in memory at a time (a table, and a JSON document
    that is no list of lines, are read whole). See `read_logs_with_report` for what was counted.
    """
    return read_logs_with_report(source, storage=storage, progress=progress, **options)[0]


def read_logs_with_report(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    storage: Mapping[str, object] | None = None,
    progress: bool = False,
    **options,
) -> tuple[pd.DataFrame, LogReport]:
    """Read as `read_logs` does, and tell what was found.

    Parameters
    ----------
    source, storage, progress, **options
        As for `read_logs`.

    Returns
    -------
    logs : DataFrame
    report : LogReport
    """
    chosen = checked(options, LogOptions, reader="read_logs")
    pattern = None if chosen.pattern is None else compile_pattern(chosen.pattern)
    sources = locate(source, **(storage or {}))
    with progress_bar(sources, progress) as advance:
        done = [_read_file(file, chosen, pattern, advance) for file in sources]
    seen = set().union(*(names for _, _, names in done))
    for name in chosen.columns:
        if name not in seen:
            expected, got = "names that some file has", f"{name!r}, which none has"
            raise ContractError(column="columns", expected=expected, got=got, remedy=nearest(name, seen))
    table = pd.concat([frame for frame, _, _ in done], ignore_index=True)
    report = LogReport(pd.DataFrame([facts for _, facts, _ in done]))
    if any(report.counts.values()):
        log.info("%s", report)
    table = table.sort_values("timestamp", kind="stable", ignore_index=True)
    return validate(table, "logs", source=sources[0].label if len(sources) == 1 else None), report


def _read_file(source: Source, options: LogOptions, pattern: Pattern | None, advance) -> tuple[pd.DataFrame, dict, set]:
    """Read one file: its rows, a row of the report, and the names of its fields."""
    with opened(source, advance) as file:
        form = options.form if options.form != "auto" else "text" if pattern else forms.detect(file.probe())
        tally = Tally(options)
        parsed, used = _parsed(file, form, pattern, options, tally)
        maker = Maker(source, form, used, options)
        found, blocks = tally.joined(parsed), []
        while True:
            with in_time(source.label, used or Pattern(None, form)):
                rows = list(itertools.islice(found, BLOCK))
            if not rows:
                break
            blocks.append(maker.frame(rows))
        file.drain()
    tally.judge(file.label, form, used)
    if not blocks:
        expected, got = f"at least one log line in the form {form!r}", f"none in {tally.lines:,} lines"
        raise ContractError(file=file.label, expected=expected, got=got, remedy="form=... or pattern=... names another")
    frame = pd.concat(blocks, ignore_index=True)
    frame, stamps, clock, unsorted = _timed(frame, source, used, options)
    facts = {
        "file": file.label,
        "sha256": file.sha256.hexdigest(),
        "bytes": file.size,
        "lines": tally.lines,
        "rows": len(frame),
        "form": form,
        "pattern": used.said if used else "",
        "stamps": stamps,
        "unmatched": tally.unmatched,
        "continued": tally.continued,
        "undecodable": tally.undecodable,
        "out_of_order": unsorted,
        **clock,
    }
    return frame[list(COLUMNS)], facts, maker.seen


def _parsed(file: Opened, form: str, pattern: Pattern | None, options: LogOptions, tally: Tally):
    """Choose the parser of a form; gives (row, fields or None, line) and the pattern that text is read by."""
    if form == "table":
        return _records(enumerate(read_rows(tally.whole(file), file.label), start=1)), None
    if form == "journald" and file.probe().lstrip()[:1] not in (b"{", b"["):
        entries = export_entries(file.stream, file.label)
        return ((row, forms.from_journal(entry), "") for row, entry in entries), None
    if form in ("json", "journald"):
        prepare = forms.from_journal_json if form == "journald" else None
        if options.records is None and _is_lines(file.probe()):
            return forms.parse_json(tally.read(file), prepare), None
        documents = find_records(tally.whole(file), file.label, options.records)
        flat = (forms.flatten(document) for document in documents)
        return _records(enumerate(map(prepare, flat) if prepare else flat, start=1)), None
    lines = tally.read(file)
    if form == "syslog":
        return forms.parse_syslog(lines), None
    if pattern is None:
        head = list(itertools.islice(lines, PROBED))
        pattern = guess([line for _, line in head])
        if pattern is None:
            raise ContractError(
                file=file.label,
                row=head[0][0],
                expected="lines that a usual pattern fits",
                got=repr(head[0][1][:120]),
                remedy="say what a line looks like: pattern='{timestamp} {level} [{entity}] {message}'",
            )
        lines = itertools.chain(head, lines)
    return forms.parse_text(lines, pattern), pattern


def _records(rows: Iterable[tuple[int, dict]]) -> Iterator[tuple[int, dict, str]]:
    return ((row, fields, "") for row, fields in rows)


def _is_lines(probe: bytes) -> bool:
    """Whether a file holds a JSON object a line, and not one document."""
    first, _, rest = probe.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    try:
        document = json.loads(first)
    except (ValueError, RecursionError):
        # Longer than the probe, or begun here and ended below: a document. Anything else is told by its line.
        return first[:1] not in (b"{", b"[") or (bool(rest) and first.strip() not in (b"{", b"["))
    return isinstance(document, dict) and (bool(rest.strip()) or bool(document.keys() & set(ALIASES["timestamp"])))


def _timed(frame: pd.DataFrame, source: Source, pattern: Pattern | None, options: LogOptions):
    """Give the rows their moments in UTC, in order; kept lines take that of the line before."""
    frame.index = pd.Index(frame["row"] - 1)
    known = frame[~frame["unmatched"]]
    form = options.timestamp_format or (pattern.timestamp_format if pattern else None)
    cells = known["timestamp"]
    if cells.isna().any():
        rows = known.loc[cells.isna(), "row"]
        raise ContractError(
            file=source.label,
            row=[int(row) for row in rows[:SHOWN]],
            column="timestamp",
            expected="the moment of each line",
            got="none",
            remedy="columns={their name of it: 'timestamp'}; usual names are " + ", ".join(ALIASES["timestamp"][:6]),
        )
    if form is None:
        modified = _modified(source) if options.year == "modified" else None
        cells = to_iso(cells, year=options.year, modified=modified, file=source.label)
    moments, said, clock = to_utc(
        cells,
        file=source.label,
        column="timestamp",
        timezone=options.timezone,
        form=form,
        ambiguous=options.ambiguous,
        nonexistent=options.nonexistent,
        groups=known["entity"].factorize()[0],
    )
    stamps = pd.Series(moments, index=known.index)
    back = stamps.diff() < pd.Timedelta(0)
    if back.any() and options.unsorted == "error":
        rows = [int(row) for row in known.loc[back, "row"][:SHOWN]]
        expected, got = "lines in the order of time", f"{int(back.sum()):,} that are earlier than the line before"
        raise ContractError(file=source.label, row=rows, expected=expected, got=got, remedy="unsorted='sort'")
    if len(known) < len(frame):
        stamps = stamps[~stamps.index.duplicated()].reindex(frame.index).ffill().bfill()
    frame = frame.assign(timestamp=pd.DatetimeIndex(stamps))
    return frame.reset_index(drop=True), said, clock, int(back.sum())


def _modified(source: Source) -> dt.datetime | None:
    """When a file was changed last, where its file system knows."""
    try:
        moment = source.system.modified(source.path)
    except Exception as error:  # each protocol's library has its own kinds of error
        expected, remedy = "a file whose time of change is known", "year=2026, that of the first line"
        raise ContractError(
            file=source.label, column="year", expected=expected, got=str(error), remedy=remedy
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
