"""The watch as an arm of a game day: what `stability watch` does, on a testbed of its own, told as notes."""

from __future__ import annotations

__all__ = ["Workbench", "watch_of", "workbench_at"]

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from stability.monitor.declaration import Declaration, read_watch
from stability.monitor.following import Follower
from stability.monitor.lesson import DETECTOR, LOCALIZER, THRESHOLD
from stability.monitor.testbed_source import ASKED, QUERIES, Read, TestbedSource
from stability.remediation.history import History
from stability.remediation.inventory import Inventory
from stability.schema import home
from stability.schema.store import written_whole
from stability.testbed.game_day_arms import Note

DECLARED = "experiments/watch/testbed.yaml"
FIRST = 5  # causes of a look that are noted
Beside = Callable[[pd.Timestamp, pd.Timestamp], Mapping[str, pd.DataFrame]]


def watch_of(
    testbed: Path, lesson: Path, folder: Path, *, backup: Path | None = None, mode: str = "automatic", **more: Any
) -> Declaration:
    """Declare the watch of a testbed in another folder than the usual one: as `DECLARED`, apart from what is said here.

    Parameters
    ----------
    testbed : Path
        Folder of the testbed.
    lesson : Path
        What `lesson.taught` wrote.
    folder : Path
        Gets the inventory.
    backup : Path, optional
        Of the service's own data.
    mode : {'dry-run', 'approved', 'automatic'}
    **more
        Parts of the declaration.
    """
    told = read_watch(home() / DECLARED)
    control = {"control": "testbed", "folder": str(testbed), "backup": str(backup) if backup else None}
    inventory = Inventory.model_validate({"entities": [{"match": list(ASKED), "controls": [control]}]})
    with written_whole(folder / "inventory.json") as file:  # JSON is YAML
        file.write(json.dumps(inventory.model_dump(mode="json", exclude_none=True)).encode())
    (detector,) = told.detectors
    limit = float((lesson / THRESHOLD).read_text(encoding="utf-8"))
    parts = {
        "source": {"testbed": {"folder": str(testbed)}},
        "delay": "0s",
        "detectors": [detector.model_dump() | {"file": str(lesson / DETECTOR), "threshold": limit}],
        "localizer": str(lesson / LOCALIZER),
        "repair": told.repair.model_dump() | {"mode": mode, "inventory": str(folder / "inventory.json")},
        "serve": None,
        "name": "arm",
    }
    return Declaration(**(told.model_dump() | parts | more))


def workbench_at(lesson: Path) -> Callable[[Path, Path], Workbench]:
    """Give what makes the arm of a testbed in a folder, with its backup: as `game_day_round.play_round` takes it."""

    def make(testbed: Path, backup: Path) -> Workbench:
        folder = testbed / "watch"
        folder.mkdir()
        return Workbench(watch_of(testbed, lesson, folder, backup=backup), folder)

    return make


class Workbench:
    """A watch that is driven second by second, and tells in notes what it saw and did.

    Parameters
    ----------
    told : Declaration
        Of the testbed.
    folder : Path
        Of its state.
    read : callable, optional
        Of (first, last): counters of answers, where the testbed's own scraper is not asked.
    beside : callable, optional
        Of (first, last): tables beside the metrics, where the testbed's own files are not read.
    """

    def __init__(
        self, told: Declaration, folder: Path, *, read: Read | None = None, beside: Beside | None = None
    ) -> None:
        self.now, self.panel, self.answered = pd.Timestamp(0, tz="UTC"), pd.DataFrame(), read

        def source(declared: Declaration, metrics: list[str] | None) -> TestbedSource:
            own = TestbedSource(declared, metrics, read=self._read)
            own.beside = beside or own.beside
            self.answered = self.answered or own.answered
            return own

        self.follower = Follower(told, clock=lambda: self.now, folder=folder, source=source)
        self.modes: dict[str, str] = {}

    def _read(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        stamps = self.panel.index.get_level_values("timestamp")
        seen = self.panel[(stamps >= first) & (stamps <= last)]
        return seen.join(self.answered(first, last)) if len(seen) else seen.reindex(columns=[*seen.columns, *QUERIES])

    def step(self, now: pd.Timestamp, panel: pd.DataFrame) -> list[Note]:
        """Go through all seconds up to now that have not been watched yet."""
        self.now, self.panel = now, panel
        return [note for step in self.follower.tick() for note in self._notes(step.told)]

    def close(self) -> list[Note]:
        """Wait for what is under way, and end the watch."""
        self.follower.close()
        watch = self.follower.watch
        return [] if watch is None else self._notes(watch.journal.taken())

    @property
    def history(self) -> History:
        """What its repairer has decided and done."""
        return self.follower.watch.incidents.repair.repairer.history

    def _notes(self, told: list[dict[str, Any]]) -> list[Note]:
        notes: list[Note] = []
        for one in told:
            at = pd.Timestamp(one["moment"], unit="us", tz="UTC")
            if one["kind"] == "alarm" and one["detector"].startswith("rule:"):
                notes.append(self._alarm(at, one))
            elif one["kind"] in ("incident", "look"):
                notes += self._looked(at, one)
            elif one["kind"] == "acted" and one["status"] != "needs_approval":
                verb = one["action"] if one["of"] == "step" else f"undo {one['action']}"
                said = {"end": _stamp(one["ended"]), "text": f"{one['status']}: {one['detail']}"}
                mode, what = self.modes.get(one["alarm_id"]), "action" if one["touched"] else "refused"
                notes.append(
                    Note(_stamp(one["begun"]), what, one["entity"], mode, verb, alarm_id=one["alarm_id"], **said)
                )
            elif one["kind"] == "verdict":
                text = "; ".join(one["checks"])
                notes.append(
                    Note(at, "verdict", one["entity"], None, one["verdict"], alarm_id=one["alarm_id"], text=text)
                )
        return notes

    def _alarm(self, at: pd.Timestamp, one: dict[str, Any]) -> Note:
        name = one["detector"].removeprefix("rule:")
        rule = next(rule for rule in self.follower.watch.alerts.rules if rule.alert == name)
        begun = _stamp(one["start"])
        told = {"alarm_id": f"{name}/{one['entity']}/{begun:%H%M%S}", "text": name}
        return Note(at, "alarm", one["entity"], rule.labels.get("failure_mode"), **told)

    def _looked(self, at: pd.Timestamp, one: dict[str, Any]) -> list[Note]:
        name = one["alarm_id"]
        notes = [
            Note(at, "cause", _text(c["entity"]), _text(c["failure_mode"]), None, k, c["probability"], alarm_id=name)
            for k, c in enumerate(one["causes"][:FIRST], start=1)
        ]
        if one["decided"]:
            self.modes[name] = notes[0].failure_mode
            said = {"verb": one["decision"]["kind"], "text": one["decision"]["because"], "alarm_id": name}
            notes.append(Note(at, "decision", one["decision"]["entity"], notes[0].failure_mode, **said))
        return notes


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _stamp(text: str) -> pd.Timestamp:
    return pd.Timestamp(text).as_unit("us")
