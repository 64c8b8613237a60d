"""What a person on duty sees: how the watch is, what is wrong, what was done about it."""

from __future__ import annotations

__all__ = ["screen"]

from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stability.remediation.approval import plain

if TYPE_CHECKING:
    from stability.monitor.following import Follower

ALARMS = 12  # rows of the table
RULES = 8
STYLES = {"critical": "bold red", "warning": "yellow", "info": "dim"}


def screen(follower: Follower) -> Group:
    """Lay everything out for `rich.live.Live`.

    Parameters
    ----------
    follower : Follower
    """
    watch = follower.watch
    if watch is None:
        return Group(Panel(Text(follower.trouble or "The source gives nothing yet."), title=follower.told.name))
    return Group(_state(follower), _alarms(follower), _firing(follower))


def _state(follower: Follower) -> Panel:
    watch, counts = follower.watch, follower.watch.counts
    at = pd.Timestamp(watch.moment, unit="us", tz="UTC").strftime("%Y-%m-%d %H:%M:%S")
    seconds = follower.seconds[-100:]
    cost = sum(seconds) / len(seconds) if seconds else 0.0
    rules = len(watch.alerts.rules) if watch.alerts is not None else 0
    parts = [
        f"{len(watch.ring.entities):,} entities",
        f"{len(watch.metrics)} metrics",
        f"{len(watch.sentries)} detectors",
    ]
    parts += [f"{rules} rules"] + (
        [f"{watch.predictor.name} {watch.predictor.version.number}"] if watch.predictor else []
    )
    told = {"alarms": counts["alarms"], "suppressed": counts["suppressed"], "firings": counts["firings"]}
    told["looked into"] = counts["incidents"]
    lines = [f"{at} UTC, {follower.behind:.0f} s behind; " + ", ".join(parts)]
    lines += [f"{counts['steps']:,} steps, {cost * 1e3:.0f} ms of the processor each; "]
    lines[-1] += ", ".join(f"{count:,} {name}" for name, count in told.items())
    odd = {"late": follower.late, "skipped": follower.skipped, "late rows": follower.source.late_rows}
    odd |= {"rows ahead of the clock": follower.source.ahead_rows}
    odd |= {"source errors": follower.errors, "errors": counts["errors"]}
    odd |= {"rules that fail": len(watch.alerts.failing) if watch.alerts is not None else 0}
    odd |= {"detectors that fail": len(watch.failing)}
    if told := ", ".join(f"{count:,} {name}" for name, count in odd.items() if count):
        lines.append(told)
    lines += [plain(said) for said in (follower.ill, follower.refused) if said]
    repair = follower.told.repair
    title = f"{follower.told.name}: {'healthy' if follower.healthy else 'NOT HEALTHY'}"
    title += f", repair {repair.mode}" if repair else ""
    return Panel(Text("\n".join(lines)), title=escape(title), border_style="green" if follower.healthy else "red")


def _alarms(follower: Follower) -> Table:
    table = Table("since (UTC)", "entity", "raised by", "score", "likeliest cause", "priority", "repair", expand=True)
    table.title = "Alarms that go on" if follower.watch.open_alarms else "No alarm goes on"
    spoken = [one for one in follower.watch.open_alarms if not one.suppressed_by]
    for one in spoken[:ALARMS]:
        held = follower.watch.incidents.of(one.alarm_id)
        cause = held.causes[0] if held and held.causes else None
        said = (
            ""
            if cause is None
            else f"{cause['failure_mode'] or 'no fault'} {cause['entity'] or ''} {cause['probability']:.0%}"
        )
        done = "" if held is None else _done(held)
        table.add_row(
            pd.Timestamp(one.start, unit="us", tz="UTC").strftime("%m-%d %H:%M:%S"),
            escape(plain(one.entity)),
            escape(one.detector),
            f"{one.score:.3g}",
            escape(plain(said)),
            held.priority.get("action_priority", "") if held else "",
            escape(done),
            style=STYLES.get(one.severity, ""),
        )
    if len(spoken) > ALARMS:
        table.caption = f"and {len(spoken) - ALARMS:,} more"
    return table


def _cause(cause) -> str:
    return f"{cause['failure_mode']} of {cause['entity']}" if isinstance(cause["entity"], str) else "no fault"


def _done(held) -> str:
    if held.verdict:
        return held.verdict["verdict"].replace("_", " ")
    if held.acted:
        return f"{held.acted['status']}: {held.decision.get('playbook') or ''}"
    return held.decision.get("kind", "")


def _firing(follower: Follower) -> Table:
    alerts = follower.watch.alerts
    table = Table("rule", "entity", "since (UTC)", "severity", expand=True)
    firing = sorted(alerts.firing.values(), key=lambda one: -one.start) if alerts is not None else []
    table.title = f"{len(firing):,} rules fire" if firing else "No rule fires"
    for one in firing[:RULES]:
        at = pd.Timestamp(one.start, unit="us", tz="UTC").strftime("%m-%d %H:%M:%S")
        table.add_row(
            escape(one.rule.alert), escape(plain(one.entity) or "all"), at, one.rule.labels.get("severity", "")
        )
    if alerts is not None and alerts.left_out:
        table.caption = f"{len(alerts.left_out)} rules are left out; the journal says why"
    return table
