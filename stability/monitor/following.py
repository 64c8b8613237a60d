"""Keeping step with a source: ask for what is due, catch up after an outage, and say what was late or skipped."""

from __future__ import annotations

__all__ = ["Follower", "source_of"]

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from stability.monitor.chain import Step, Watch
from stability.monitor.checkpoints import held
from stability.monitor.declaration import Declaration
from stability.monitor.files_source import FilesSource
from stability.monitor.prometheus_source import PrometheusSource
from stability.rules.files import rule_files
from stability.schema import ContractError
from stability.schema.store import written_whole
from stability.telemetry.grid import micros

METRICS = "metrics.txt"
BATCH = 240  # steps after which a follower that catches up looks around: at a signal, at changed files


def source_of(told: Declaration) -> Callable[..., PrometheusSource | FilesSource]:
    """Give the kind of source that a declaration names."""
    if told.source.testbed is not None:
        from stability.monitor.testbed_source import TestbedSource

        return TestbedSource
    return PrometheusSource if told.source.prometheus else FilesSource


class Follower:
    """A watch and its source, driven by a clock.

    Parameters
    ----------
    told : Declaration
    clock : callable, optional
        Gives the time, as `pd.Timestamp.now("UTC")` does.
    folder : Path, optional
        Of the state.
    source : callable, optional
        Of (declaration, metrics): the source, where it is not the declared one.

    Attributes
    ----------
    watch : Watch
    late, skipped, errors : int
        Steps that were judged more than a step after they were due; moments that were given up after an outage longer
        than `catch_up`; questions without an answer.
    trouble : str
        What the source said last, where it did not answer.
    refused : str
        What is wrong with rules or models that have changed on disk and are not used; those of before are.
    """

    def __init__(
        self,
        told: Declaration,
        *,
        clock: Callable[[], pd.Timestamp] | None = None,
        folder: Path | None = None,
        source: Callable[..., PrometheusSource] | None = None,
    ):
        self.told, self.clock = told, clock or (lambda: pd.Timestamp.now("UTC"))
        self.folder = folder or told.folder
        self._held = ExitStack()
        self._held.enter_context(held(self.folder / "lock"))
        self.late = self.skipped = self.errors = self.reloads = 0
        self.trouble = self.refused = ""
        self.watch: Watch | None = None
        self.seconds: list[float] = []
        self._edition = 0  # of the watch's ring
        self._told_of = {"ahead_rows": 0, "late_rows": 0}  # rows that were told of
        self._ignored: set[str] = set()  # columns that were told of
        self._owed: set[str] = set()  # files that have changed, of which nothing was used yet
        known = self.folder / METRICS
        metrics = known.read_text(encoding="utf-8").split() if known.is_file() else None
        self._open = partial(source or source_of(told), told)
        self.source = self._open(metrics)
        if metrics:
            watch = Watch(told, metrics, folder=self.folder, beside=self.source.beside)
            if watch.resumed:
                self._take_up(watch)
            else:
                watch.close()
        self._seen = self._files()

    # ---- the first start ---------------------------------------------------------------------------------------------
    def begin(self) -> bool:
        """Begin, or go on from what there is; False while the source gives nothing yet.

        Raises
        ------
        ContractError, ConnectionError
            When the source refuses what it is asked.
        """
        if self.watch is None:
            try:
                self._begin()
            except OSError:  # such as a full disk: it begins anew, with the history that files gave meanwhile
                if self.watch is None and not self.source.live:
                    self.source = self._open(None)
                raise
        return self.watch is not None

    def _begin(self) -> None:
        told, step = self.told, self.told.step_us
        due = self.source.due(self.clock())
        before = max([0, *(micros(part.learn, "learn") for part in told.detectors if part.learn)])
        is_files = told.source.files is not None
        if is_files and self.source.first() is None:
            if lacking := self.source.lacking():
                self._troubled(lacking)
            return
        self.trouble = ""
        if told.start is not None:
            start = -(-int(pd.Timestamp(told.start).timestamp() * 1e6) // step) * step
            start = max(start, self.source.first()) if is_files else start  # before it nobody was there
        else:
            start = self.source.first() + before // step * step if is_files else due
        if due < start:
            return
        reach = max(before, micros(told.history, "history"))
        since = start - step - reach // step * step
        since = max(since, self.source.first() - step) if is_files else since
        history = list(self.source.read(since, start - step)) if reach else []
        if is_files:
            self.source.forget(start - step)
        if not self.source.metrics:
            list(self.source.read(due - step, due))  # names of the columns
        if not self.source.metrics:
            return
        known = (k for k, rows in enumerate(history) if np.isfinite(rows.values).any())
        first = next(known, len(history))  # before it there was nobody yet
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self.folder / METRICS) as file:
            file.write("\n".join(self.source.metrics).encode())
        watch = Watch(told, self.source.metrics, folder=self.folder, beside=self.source.beside)
        watch.begin(history[first:], start - step)
        self._take_up(watch)

    def _take_up(self, watch: Watch) -> None:
        self.watch = watch
        if self.source.live:
            self.source.known |= dict.fromkeys(watch.ring.entities)
        else:
            self.source.forget(watch.moment)
        watch.note("start", resumed=watch.resumed, from_=watch.moment, metrics=watch.metrics)

    # ---- a tick ------------------------------------------------------------------------------------------------------
    def tick(self) -> Iterator[Step]:
        """Go through every step that is due; a source that does not answer is asked again at the next tick.

        Yields
        ------
        Step
        """
        try:
            if not self.begin():
                return
            yield from self._due()
            if not self.source.live and (lacking := self.source.lacking()):
                raise lacking
            self.trouble = ""
        except ConnectionError as error:
            self._troubled(error)
        except ContractError as error:
            if self.watch is None:
                raise
            self._troubled(error)
        except OSError as error:  # such as a full disk: nothing of the step was taken
            self._troubled(error)

    def _troubled(self, error: Exception) -> None:
        said = str(error) or type(error).__name__
        self.errors += 1
        if said != self.trouble and self.watch is not None:
            try:
                self.watch.note("trouble", said=said)
            except OSError:
                said = f"{said} (and the journal cannot be written)"
        self.trouble = said

    def _due(self) -> Iterator[Step]:
        watch, step = self.watch, self.told.step_us
        while True:
            due = self.source.due(self.clock())
            self._tell_left_out()
            self._skip(due)
            if due <= watch.moment:
                return
            self.reload()
            before = watch.moment
            for rows in islice(self.source.read(watch.moment, min(due, watch.moment + BATCH * step)), BATCH):
                found = watch.take(rows)
                self._let_go()
                self._count(rows.moment)
                self.seconds = [*self.seconds[-999:], found.seconds]
                yield found
            if watch.moment == before:
                return  # the source has nothing of what is due: it is asked again at the next tick

    def _let_go(self) -> None:
        """Give no rows any longer of whom the watch has let go."""
        ring = self.watch.ring
        if self.source.live and ring.edition != self._edition:
            held, self._edition = set(ring.entities), ring.edition
            self.source.known = {name: None for name in self.source.known if name in held}

    def _tell_left_out(self) -> None:
        """Tell of what the source did not give, or too late, since this was asked last."""
        source, late = self.source, "came after their moment had been judged"
        for what, said in (("ahead_rows", f"set aside: {source.ahead}"), ("late_rows", late)):
            if (rows := getattr(source, what)) > self._told_of[what]:
                self.watch.note(what, rows=rows, said=said)
                self._told_of[what] = rows
        if fresh := source.ignored - self._ignored:
            said = "these columns came after the watch had begun, and are left out; another name begins one with them"
            self.watch.note("ignored", columns=sorted(fresh), said=said)
            self._ignored |= fresh
        while source.unread:
            said = source.unread[0][1]
            moments = [moment for moment, why in source.unread if why == said]
            self.watch.note("unread", moments=len(moments), first=moments[0], last=moments[-1], said=said)
            source.unread = [one for one in source.unread if one[1] != said]

    def _count(self, moment: int) -> None:
        """Count a step that came too late to keep up; of files that is not known."""
        if self.source.live:
            behind = self.clock().timestamp() * 1e6 - self.told.delay_us - moment
            self.late += behind > 2 * self.told.step_us

    def _skip(self, due: int) -> None:
        """Give up what is longer ago than `catch_up`, and say so."""
        watch, step = self.watch, self.told.step_us
        most = max(micros(self.told.catch_up, "catch_up") // step, 1)
        missed = (due - watch.moment) // step
        if missed > most and self.source.live:
            until = due - most * step
            moments = (until - watch.moment) // step
            self.skipped += moments
            watch.note("skipped", moments=moments, after=watch.moment, until=until)
            watch.moment = until

    # ---- changes -----------------------------------------------------------------------------------------------------
    def reload(self) -> bool:
        """Read rules and models anew where files have changed; what is wrong with new ones is told, and not used."""
        now = self._files()
        if now == self._seen:
            return False
        self._owed |= {name for name in now.keys() | self._seen.keys() if now.get(name) != self._seen.get(name)}
        self._seen, changed = now, sorted(self._owed)  # what was refused for another file's sake is still new
        try:
            self.watch.reload(changed)
        except Exception as error:  # noqa: BLE001  whatever a broken file raises, the watch goes on with the old one
            said = str(error) if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"
            self.watch.note("reload_refused", files=changed, said=said)
            self.refused = f"not reloaded: {said}"
            return False
        self.refused = ""
        self._owed.clear()
        self.reloads += 1
        self.watch.note("reload", files=changed)
        return True

    def _files(self) -> dict[str, str]:
        """Names of the files that shape the watch, and what tells one state of them from another."""
        told = self.told
        paths: list[Path] = []
        for place in map(told.place, told.rules.files if told.rules else []):
            try:
                paths += rule_files(place)
            except (ContractError, OSError):  # a folder that is just being filled; the watch goes on with what it has
                paths.append(place)
        paths += [told.place(one) for part in told.detectors for one in (part.file, part.accepted) if one]
        paths += [told.place(one) for one in (told.localizer, told.worksheet, told.topology) if one]
        if told.repair:
            place = told.place(told.repair.playbooks)
            paths += sorted(place.glob("*.yaml")) if place.is_dir() else [place]
            paths.append(told.place(told.repair.inventory))
        found = {}
        for path in paths:
            try:
                state = path.stat()
                found[str(path)] = f"{state.st_size} {state.st_mtime_ns} {state.st_ino}"
            except OSError:
                found[str(path)] = "not there"
        if self.watch is not None and self.watch.predictor is not None:
            found["predictor"] = self.watch.predictor.newest()
        return found

    # ---- how it is ----------------------------------------------------------------------------------------------
    @property
    def behind(self) -> float:
        """Seconds between the newest moment that is due by the clock and the last step."""
        return 0.0 if self.watch is None else self._since(self.watch.moment)

    def _since(self, moment: int) -> float:
        return max(0.0, self.clock().timestamp() - (self.told.delay_us + moment) / 1e6)

    @property
    def ill(self) -> str:
        """Why it does not see the present; nothing where it keeps its step, and its source answers."""
        if self.trouble or self.watch is None:
            return self.trouble or "begins"
        patience, behind = 3 * self.told.step_us / 1e6, self.behind
        if not self.source.live:
            newest = self.watch.moment if self.source.newest is None else self.source.newest
            if self._since(newest) > max(patience, 3 * self.told.source.files.every_us / 1e6):
                # Whoever writes the file is gone, or it is old: rows of the past say nothing of now.
                return f"no row for {self._since(newest) + self.told.delay_us / 1e6:.0f} s"
            behind = (newest - self.told.delay_us - self.watch.moment) / 1e6  # what has not come yet is not slowness
        if behind > patience:
            return f"{behind:.0f} s behind"
        watch, failing = self.watch, self.failing
        judges = [*watch.sentries, *([] if watch.predictor is None else [watch.predictor])]
        judges += [] if watch.alerts is None else watch.alerts.rules
        why = failing or ({} if watch.alerts is None else watch.alerts.left_out)
        return f"nothing judges: {next(iter(why.values()))}" if why and len(failing) >= len(judges) else ""

    @property
    def failing(self) -> dict[str, str]:
        """Detectors, the predictor and rules that raised an error in the last step -> which; the others go on."""
        watch = self.watch
        return {} if watch is None else watch.failing | ({} if watch.alerts is None else watch.alerts.failing)

    @property
    def healthy(self) -> bool:
        """Whether it keeps its step, and its source answers."""
        return not self.ill

    def run(
        self, *, until: Callable[[], bool] = lambda: False, after: Callable[[Step | None], object] = lambda _: None
    ) -> None:
        """Tick at every step until told to stop; `after` is called with each step, and with None after each tick."""
        pause = self.told.step_us / 1e6
        while not until():
            begun = time.monotonic()
            for step in self.tick():
                after(step)
                if until():
                    break
            after(None)
            left = pause - (time.monotonic() - begun)
            end = time.monotonic() + max(left, 0.05)
            while not until() and (rest := end - time.monotonic()) > 0:
                time.sleep(min(rest, 0.25))

    def close(self) -> None:
        """Write a checkpoint, and let go of the folder."""
        try:
            if self.watch is not None:
                self.watch.close()
        finally:
            self._held.close()
