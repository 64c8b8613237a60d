"""The columns of ticket systems' exports: which is what, how urgent their priorities are, how they write moments."""

from __future__ import annotations

__all__ = ["LAYOUTS", "Layout"]

from collections.abc import Mapping
from dataclasses import dataclass, field

# Severity is that of the FMEA, 1 to 10. A ticket's priority is a guess of it, so the ends stay free.
_RANKS = {1: 9, 2: 7, 3: 5, 4: 3, 5: 2}


@dataclass(frozen=True)
class Layout:
    """One ticket system.

    Parameters
    ----------
    columns : mapping of str to tuple of str
        Column of `faults` -> names that exports give it, API and screen.
    severity : mapping of str to int
        Priority -> severity.
    timestamp_format : tuple of str
        Forms of the moments.
    labels : tuple of str
        Names of the column of labels.
    absent : str, optional
        A column that rows which are no incident have a value in.
    closed : (str, str, str), optional
        Column of a moment that is the recovery where a second column has a value.
    """

    columns: Mapping[str, tuple[str, ...]]
    severity: Mapping[str, int] = field(default_factory=dict)
    timestamp_format: tuple[str, ...] = ("iso",)
    labels: tuple[str, ...] = ()
    absent: str | None = None
    closed: tuple[str, str, str] | None = None


LAYOUTS: dict[str, Layout] = {
    # Screen export: "Export CSV (all fields)"; API: GET /rest/api/2/search.
    "jira": Layout(
        columns={
            "fault_id": ("Issue key", "key"),
            "entity": ("Component/s", "Components", "Component", "fields.components"),
            "detected_at": ("Created", "fields.created"),
            "recovered_at": ("Resolved", "fields.resolutiondate"),
            "severity": ("Priority", "fields.priority.name"),
        },
        severity={
            "Blocker": 9, "Highest": 9, "Critical": 9, "High": 7, "Major": 7, "Medium": 5, "Low": 3, "Minor": 3,
            "Lowest": 2, "Trivial": 2,
        },
        timestamp_format=("iso", "%d/%b/%y %I:%M %p", "%d/%b/%y %H:%M", "%d/%b/%Y %I:%M %p"),
        labels=("Labels", "fields.labels"),
    ),
    # List export with field names (incident.do?CSV), with the labels of the screen, and the Table API.
    "servicenow": Layout(
        columns={
            "fault_id": ("number", "Number", "number.display_value"),
            "entity": (
                "cmdb_ci.display_value", "cmdb_ci", "Configuration item", "business_service.display_value",
                "business_service", "Service", "Business service",
            ),
            "detected_at": ("opened_at.value", "opened_at", "Opened", "sys_created_on", "Created"),
            "recovered_at": ("resolved_at.value", "resolved_at", "Resolved", "closed_at.value", "closed_at", "Closed"),
            "severity": ("priority.display_value", "priority", "Priority"),
        },
        severity={
            **{str(rank): value for rank, value in _RANKS.items()},
            "1 - Critical": 9, "2 - High": 7, "3 - Moderate": 5, "4 - Low": 3, "5 - Planning": 2,
        },
    ),
    # GET /incidents, and the CSV of the analytics.
    "pagerduty": Layout(
        columns={
            "fault_id": ("id", "incident_id", "incident_number", "Incident Number"),
            "entity": ("service.summary", "service_name", "service.id", "Service Name"),
            "detected_at": ("created_at", "created_on"),
            "recovered_at": ("resolved_at", "resolved_on"),
            "severity": ("priority.summary", "priority.name", "priority_name", "urgency"),
        },
        severity={**{f"P{rank}": value for rank, value in _RANKS.items()}, "high": 7, "low": 3},
        closed=("last_status_change_at", "status", "resolved"),
    ),
    # GET /repos/.../issues, and `gh issue list --json`.
    "github": Layout(
        columns={
            "fault_id": ("number",),
            "detected_at": ("created_at", "createdAt"),
            "recovered_at": ("closed_at", "closedAt"),
        },
        severity={
            **{f"P{rank}": value for rank, value in _RANKS.items()},
            "critical": 9, "high": 7, "medium": 5, "low": 3,
        },
        labels=("labels",),
        absent="pull_request.url",
    ),
}  # fmt: skip
