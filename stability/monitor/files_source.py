"""Files that grow: what has been added since the last look, laid on the grid; what came too late is counted."""

from __future__ import annotations

__all__ = ["FilesSource"]

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stability.monitor.declaration import Declaration
from stability.monitor.ring import Rows, moments_after
from stability.schema import ContractError
from stability.telemetry import read
from stability.telemetry.files import known_options
from stability.telemetry.framing import head_of
from stability.telemetry.grid import micros, stamps_of

KEPT = 100_000  # rows that are set aside at most; what comes beyond is lost until a start
LINES = {".csv", ".tsv", ".jsonl", ".ndjson"}  # of which new lines are read alone; others are read again as a whole

_Told = tuple[int | np.ndarray, np.ndarray]  # stamps of an entity's values in a step, and the values


@dataclass(frozen=True)
class _Place:
    """How far a file has been read.

    Parameters
    ----------
    at : int
        Bytes.
    header : bytes
        What stands above the rows of a table; nothing of others.
    inode : int
        Whose they are: another file may get the name.
    rows : int
        Below the header.
    """

    at: int = 0
    header: bytes = b""
    inode: int = -1
    rows: int = 0


class FilesSource:
    """Rows of files.

    A row stands at the first multiple of the step that is not before it: of each metric the newest value of the step,
    as a Prometheus tells it, in whichever row or file it stands. A moment is complete when a row of `delay` later has
    come. A row that is farther ahead of the clock than `files.ahead` completes nothing, since all others would be late
    then: it is set aside until the clock is there.

    Parameters
    ----------
    told : Declaration
    metrics : sequence of str, optional
        Columns that are known already, of an earlier start.

    Raises
    ------
    ContractError
        Where the reader has no such option, or not with that value.

    Attributes
    ----------
    newest : int or None
        The newest stamp of any row that was not set aside, microseconds since 1970.
    late_rows, ahead_rows : int
        That came after their moment had been given; that were set aside. What is there already when files are looked at
        for the first time is not late: after a start it is what was judged before.
    ignored : set of str
        Columns that came later than the others, and are left out.
    unread : list of (int, str)
        Moments that were passed over: none, since files are not asked again.
    ahead : str
        The newest row that was set aside, in words.
    """

    live = False
    beside = None  # tables beside the metrics: none

    def __init__(self, told: Declaration, metrics: Sequence[str] | None = None):
        self.told, self.part = told, told.source.files
        about_cells = {name: value for name, value in self.part.reader.items() if name not in ("storage", "progress")}
        self._options = known_options(about_cells, "source.files.reader")
        self.metrics = list(metrics) if metrics else []
        self.ignored: set[str] = set()
        self.unread: list[tuple[int, str]] = []
        self.late_rows = self.ahead_rows = 0
        self.ahead = ""
        self._done = np.iinfo(np.int64).min  # moments up to this one have been given
        self._looked = False  # whether all files have been looked at
        self._there = False  # whether any file was there at the last look
        self._places: dict[Path, _Place] = {}
        self._stats: dict[Path, tuple[int, int, int]] = {}
        self._held: dict[int, dict[str, _Told]] = {}  # by moment and entity
        self._aside: dict[tuple[int, str], np.ndarray] = {}  # values by stamp and entity
        self.newest: int | None = None

    def check(self, now: pd.Timestamp) -> None:
        """Look whether there is a file, and whether it can be read.

        Raises
        ------
        ContractError
        """
        self.due(now)
        if lacking := self.lacking():
            raise lacking

    def lacking(self) -> ContractError | None:
        """What is wrong with the files as they were seen last: none is there, or none has rows; None where one has."""
        if self._there and self.newest is None and self.ahead_rows:
            expected, remedy = f"rows up to {self.part.ahead} from now", "set the clock right, or files.ahead higher"
            got = f"only later ones, set aside: {self.ahead}"
            return ContractError(file=self.part.path, expected=expected, got=got, remedy=remedy)
        if not self._there or self.newest is None:
            expected, remedy = "a file with rows", "the path starts at the workbench's folder"
            got = "none with rows" if self._there else "none"
            return ContractError(file=self.part.path, expected=expected, got=got, remedy=remedy)
        return None

    def first(self) -> int | None:
        """The first moment that there is; None where there is none."""
        return min(self._held, default=None)

    def due(self, now: pd.Timestamp) -> int:
        """The newest moment that is complete, in microseconds since 1970."""
        self._look(int(now.timestamp() * 1e6))
        if self.newest is None:
            return self._done
        return (self.newest - self.told.delay_us) // self.told.step_us * self.told.step_us

    def read(self, after: int, until: int) -> Iterator[Rows]:
        """Rows of the moments after one, up to another, in time's order; a moment without rows has none."""
        for moment in moments_after(after, until, self.told.step_us):
            own = self._held.get(moment, {})
            names = tuple(sorted(own))
            values = np.array([own[name][1] for name in names]).reshape(len(names), len(self.metrics))
            yield Rows(moment, names, values)
        self.forget(until)

    def forget(self, until: int) -> None:
        """Let go of what has been given; rows of these moments that come from now on are late."""
        self._done = max(self._done, until)
        self._held = {moment: rows for moment, rows in self._held.items() if moment > until}

    # ---- what is new -------------------------------------------------------------------------------------------------
    def _look(self, now: int) -> None:
        latest = now + micros(self.part.ahead, "ahead")
        # Not sooner: it completes what others have not told yet.
        for stamp, name in sorted(one for one in self._aside if one[0] <= now):
            self._take(name, stamp, self._aside.pop((stamp, name)))
            self._is_there(stamp)
        paths = self._paths()
        self._there = bool(paths)
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # it may be rotated away between the two
                state = path.stat()
                known = (state.st_size, state.st_mtime_ns, state.st_ino)
                if self._stats.get(path) == known:
                    continue
                panel = self._new_lines(path) if path.suffix in LINES else read(path, **self.part.reader)
                self._stats[path] = known
                if panel is not None:
                    self._hold(panel, latest, counts=path.suffix in LINES)
        self._looked = True

    def _paths(self) -> list[Path]:
        pattern = self.told.place(self.part.path)
        try:
            return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
        except (ValueError, IndexError) as error:  # such as "**" in the middle of a name
            expected, remedy = "a pattern of files, such as logs/**/*.csv", "correct source.files.path"
            raise ContractError(file=self.part.path, expected=expected, got=str(error), remedy=remedy) from None

    def _new_lines(self, path: Path) -> pd.DataFrame | None:
        """Read the whole lines that have been added; the last one may be half written."""
        known = self._places.get(path, _Place())
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if state.st_size < known.at or state.st_ino != known.inode:
                known = _Place()  # it began anew, or another one has its name
            file.seek(known.at)
            added = file.read()
        added = added[: added.rfind(b"\n") + 1]
        if not added:
            return None
        header, own = known.header, known.header + added
        if not known.at:
            header, own = b"", added
            if path.suffix in {".csv", ".tsv"}:
                header = head_of(added, self._options)
                if header is None:
                    return None  # no row below the header yet
        rows = self._lines(added) - (0 if known.at else self._lines(header))
        there = _Place(known.at + len(added), header, state.st_ino, known.rows + rows)
        if not rows:  # comments, or nothing at all
            self._places[path] = there
            return None
        with tempfile.TemporaryDirectory() as scratch:
            part = Path(scratch) / path.name
            part.write_bytes(own)
            try:
                panel = read(part, **self.part.reader)
            except ContractError as error:
                raise ContractError(
                    error.problem, file=path, row=_counted(error.row, known.rows), column=error.column,
                    expected=error.expected, got=error.got, remedy=error.remedy,
                ) from None  # fmt: skip
        self._places[path] = there
        return panel

    def _lines(self, content: bytes) -> int:
        """Lines with anything in them, but for comments."""
        mark = self._options.comment
        lines = [line for line in content.split(b"\n") if line.strip()]
        return len(lines) - sum(line.startswith(mark.encode()) for line in lines if mark)

    def _hold(self, panel: pd.DataFrame, latest: int, counts: bool) -> None:
        self.metrics = self.metrics or list(panel.columns)
        self.ignored |= set(panel.columns) - set(self.metrics)
        if panel.empty:
            return
        stamps, step = stamps_of(panel), self.told.step_us
        moments = -(-stamps // step) * step
        values = panel.reindex(columns=self.metrics).to_numpy("float64")
        names = panel.index.get_level_values("entity").astype(str)
        late, ahead = moments <= self._done, stamps > latest
        if counts or not self.ahead_rows:  # a file that was read as a whole holds what was told, too
            self.ahead_rows += int(ahead.sum())
        if counts and self._looked:
            self.late_rows += int(late.sum())
        if ahead.any():
            k = int(np.argmax(np.where(ahead, stamps, 0)))
            self.ahead = f"one of {names[k]} at {pd.Timestamp(int(stamps[k]), unit='us', tz='UTC')}"
            for k in np.flatnonzero(ahead):
                key = int(stamps[k]), names[k]
                if key in self._aside:
                    self._aside[key] = np.where(np.isnan(values[k]), self._aside[key], values[k])
                elif len(self._aside) < KEPT:
                    self._aside[key] = values[k]
        for k in np.flatnonzero(~late & ~ahead):
            self._take(names[k], int(stamps[k]), values[k])
        if not ahead.all():
            self._is_there(int(stamps[~ahead].max()))

    def _take(self, name: str, stamp: int, values: np.ndarray) -> None:
        """Hold a row until its moment is given: beside others of the step, of which it has newer values."""
        moment = -(-stamp // self.told.step_us) * self.told.step_us
        if moment <= self._done:
            return
        own = self._held.setdefault(moment, {})
        if name in own:
            since, before = own[name]
            newer = ~np.isnan(values) & ((since <= stamp) | np.isnan(before))
            own[name] = np.where(newer, stamp, since), np.where(newer, values, before)
        else:
            own[name] = stamp, values

    def _is_there(self, stamp: int) -> None:
        self.newest = stamp if self.newest is None else max(self.newest, stamp)


def _counted(row: int | Sequence[int] | None, before: int) -> int | list[int] | None:
    """Count a row of what was added as one of the whole file."""
    if row is None:
        return None
    return row + before if isinstance(row, int) else [one + before for one in row]
