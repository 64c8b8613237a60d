"""`stability status`: what ran last, how it ended, what runs now; for a person, a script and a dead-man's switch."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stability.schema import ContractError, home, nearest
from stability.workbench.nights import Night, is_running, names, read_nights

__all__ = ["Status", "parse_age", "print_status", "statuses"]

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}  # seconds
AGE = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d)\Z")
DONE = ("finished", "skipped")
COLOUR = {
    "finished": "green",
    "failed": "bold red",
    "interrupted": "bold red",
    "running": "yellow",
    "never": "dim",
}


@dataclass(frozen=True)
class Status:
    """Where an experiment stands.

    Parameters
    ----------
    name : str
        Of the experiment.
    verdict : {"finished", "failed", "interrupted", "running", "never"}
        Of its last night.
    started, ended : str or None
        Of that night, ISO 8601 in UTC; `ended` is None while it runs.
    finished : str or None
        When a night last ended well.
    done, steps : int
        Of that night.
    failed : dict
        Error by step.
    running, waiting : list of str
        Steps of a night that runs now.
    page : str
        Where its page is, or will be.
    """

    name: str
    verdict: str = "never"
    started: str | None = None
    ended: str | None = None
    finished: str | None = None
    done: int = 0
    steps: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    page: str = ""


def parse_age(text: str) -> dt.timedelta:
    """Read a time span such as 90m, 26h or 7d.

    Raises
    ------
    ContractError
        For anything else.

    Examples
    --------
    >>> parse_age("26h"), parse_age("1.5d")
    (datetime.timedelta(days=1, seconds=7200), datetime.timedelta(days=1, seconds=43200))
    """
    found = AGE.match(text.strip())
    if not found:
        raise ContractError(column="--within", expected="a number and a unit (s, m, h, d), such as 26h", got=repr(text))
    try:
        return dt.timedelta(seconds=float(found[1]) * UNITS[found[2]])
    except OverflowError:
        raise ContractError(column="--within", expected="a time span of less than a million days", got=text) from None


def statuses(name: str | None = None) -> list[Status]:
    """Where each experiment that has ever run stands, or the one named.

    Raises
    ------
    ContractError
        For a name that has neither run nor a declaration.
    """
    runs = home() / "runs"
    known = names(runs)
    if name is not None and name not in known:
        declared = sorted({path.stem for path in (home() / "experiments").rglob("*.yaml")})
        if name not in declared:
            there = sorted({*known, *declared})
            raise ContractError(expected="the name of an experiment", got=repr(name), remedy=nearest(name, there))
        return [Status(name)]
    return [_status(each, runs / each) for each in ([name] if name is not None else known)]


def _status(name: str, runs: Path) -> Status:
    busy, nights = is_running(runs), read_nights(runs)
    if not nights:
        return Status(name, "running" if busy else "never")
    last = nights[-1]
    # A night that has just begun has written nothing yet; one whose record says so is not the one that holds the lock.
    active = busy and (not last.summary or last.run.get("status") == "running")
    good = [night for night in nights if night.verdict == "finished" and not (night is last and active)]
    states = last.states
    return Status(
        name=name,
        verdict="running" if active else last.verdict,
        started=_text(last.started),
        ended=None if active else _text(last.ended),
        finished=_text(good[-1].ended) if good else None,
        done=sum(state in DONE for state in states.values()),
        steps=len(states),
        failed={key: str(last.steps[key].get("error")) for key in _failed(last, active=active)},
        running=[key for key, state in states.items() if active and state == "running"],
        waiting=[key for key, state in states.items() if active and state == "waiting"],
        page=str(last.folder / "index.html"),
    )


def _failed(night: Night, *, active: bool) -> list[str]:
    told = night.states if active else {key: step["status"] for key, step in night.steps.items()}
    return [key for key, state in told.items() if state == "failed"]


def _text(when: dt.datetime | None) -> str | None:
    return when.isoformat(timespec="seconds") if when else None


def print_status(name: str | None, within: str | None, *, as_json: bool) -> int:
    """Print where experiments stand; give 1 when `within` is set and no night has ended well for so long, else 0."""
    span = parse_age(within) if within else None
    found, now = statuses(name), dt.datetime.now(dt.UTC)
    ages = [now - dt.datetime.fromisoformat(each.finished) for each in found if each.finished]
    late = span is not None and not any(age <= span for age in ages)
    if as_json:
        print(json.dumps({"late": late, "experiments": [asdict(each) for each in found]}, indent=2))
    else:
        _print_table(found, now)
        if late:
            what = name or "any experiment"
            print(f"No night of {what} has finished within {within}.")
    return int(late)


def _print_table(found: list[Status], now: dt.datetime) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not found:
        console.print("Nothing has run yet: stability run experiments/nightly.yaml")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("experiment", "last night", "steps", "began (UTC)", "finished well (UTC)"):
        table.add_column(column, overflow="fold")
    for each in found:
        colour = COLOUR[each.verdict]
        table.add_row(
            escape(each.name),
            f"[{colour}]{each.verdict}[/]",
            f"{each.done} of {each.steps}" if each.steps else "",
            _ago(each.started, now).partition(",")[0],
            _ago(each.finished, now) if each.finished else "never",
        )
    console.print(table)
    for each in found:
        lines: Mapping[str, Any] = {
            **{f"failed   {key}": error for key, error in each.failed.items()},
            **{f"running  {key}": "" for key in each.running},
        }
        if lines or each.waiting:
            console.print(f"\n[bold]{escape(each.name)}[/]  {escape(each.page)}", soft_wrap=True, highlight=False)
        for said, error in lines.items():
            console.print(f"  {escape(said)}  {escape(error)}".rstrip(), soft_wrap=True, highlight=False)
        if each.waiting:
            console.print(f"  next     {escape(', '.join(each.waiting))}", soft_wrap=True, highlight=False)


def _ago(when: str | None, now: dt.datetime) -> str:
    """A moment with its age, in the largest unit that fits.

    >>> _ago("2026-11-23T02:00:00+00:00", dt.datetime(2026, 11, 24, 4, 0, tzinfo=dt.UTC))
    '2026-11-23 02:00, 26 h ago'
    """
    if when is None:
        return ""
    moment = dt.datetime.fromisoformat(when)
    seconds = max(0.0, (now - moment).total_seconds())
    unit, size = ("d", 86400) if seconds >= 3 * 86400 else ("h", 3600) if seconds >= 7200 else ("min", 60)
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}, {seconds // size:.0f} {unit} ago"
