"""What an incident is put down to: its causes as the localizer sees them, and how much they matter."""

from __future__ import annotations

__all__ = ["causes_of", "priority_of", "unseen"]

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stability.fmea.priority import action_priority
from stability.localization import Diagnoser, live_pictures
from stability.monitor.beside import told_beside
from stability.remediation.choice import UNKNOWN
from stability.schema import validate

if TYPE_CHECKING:
    from stability.monitor.chain import Watch
    from stability.monitor.incident import Incident

RANKS = 5  # causes that are told
LOOKED = 1_500_000_000  # microseconds before a look that it looks back on, as `live_pictures` does


def causes_of(watch: Watch, localizer: Diagnoser, incident: Incident, moment: int) -> tuple[list[dict[str, Any]], str]:
    """Ask the localizer for the causes of an incident, as things look at a moment.

    Parameters
    ----------
    watch : Watch
    localizer : Diagnoser
        That knows quiet time.
    incident : Incident
    moment : int
        Microseconds since 1970.

    Returns
    -------
    list of dict, str
        Rows of the contract's `causes`, the likeliest first, and what it says as a whole.

    Raises
    ------
    ContractError
        Where a table beside the metrics is none; as `live_pictures`.
    """
    alarm = incident.alarm
    row = {name: alarm[name] for name in ("alarm_id", "entity", "detector", "metrics")}
    start, now = (pd.Timestamp(at, unit="us", tz="UTC") for at in (incident.news, moment))
    alarms = validate(pd.DataFrame([row | {"start": start}]).set_index("alarm_id"), "alarms")
    tables = {"telemetry": watch.ring.panel(moment - max(LOOKED, 40 * watch.told.step_us))}
    if watch.topology is not None:
        tables["topology"] = watch.topology
    if watch.alerts is not None:
        tables["firings"] = watch.alerts.table()
    tables |= told_beside(watch, tables["telemetry"].index.get_level_values("timestamp").min(), now)
    pictures = live_pictures(tables, alarms, localizer.usual_, now=now)
    causes = localizer.diagnose(pictures, first=RANKS)
    return causes.reset_index().to_dict("records"), str(causes.attrs["answers"][alarm["alarm_id"]])


def unseen(incident: Incident, error: Exception) -> tuple[list[dict[str, Any]], str]:
    """What is known of an incident that could not be looked into: that nobody knows what it is.

    Parameters
    ----------
    incident : Incident
    error : Exception
        That the look raised.

    Returns
    -------
    list of dict, str
        As `causes_of`: one cause of an unknown mode, so that people are called as they are about any unknown one.
    """
    alarm = incident.alarm
    cause = {"alarm_id": alarm["alarm_id"], "rank": 1, "entity": alarm["entity"], "metric": None}
    cause |= {"failure_mode": UNKNOWN, "probability": 1.0, "evidence": None}
    return [cause], f"it could not be looked into: {type(error).__name__}: {error}"


def priority_of(watch: Watch, worksheet: pd.DataFrame | None, incident: Incident) -> dict[str, Any] | None:
    """What the worksheet says of the likeliest mode; of a rule's alarm without a cause, of the rule's own mode.

    Parameters
    ----------
    watch : Watch
    worksheet : DataFrame or None
        Modes with their ratings.
    incident : Incident

    Returns
    -------
    dict or None
        None where the mode does not stand in it.
    """
    mode = incident.causes[0]["failure_mode"] if incident.causes else None
    if mode is None and watch.alerts is not None:
        name = incident.alarm["detector"].removeprefix("rule:")
        rule = next((one for one in watch.alerts.rules if one.alert == name), None)
        mode = rule.labels.get("failure_mode") if rule else None
    if worksheet is None or mode not in worksheet.index:
        return None
    row = worksheet.loc[mode]
    rated = [int(row[name]) for name in ("severity", "occurrence", "detection")]
    return {
        "failure_mode": mode,
        **dict(zip(("severity", "occurrence", "detection"), rated, strict=True)),
        "action_priority": str(np.asarray(action_priority(*rated)).item()),
        **{name: str(row[name]) for name in ("effect", "playbook") if name in row and pd.notna(row[name])},
    }
