"""Failure modes and effects: a worksheet, ratings from evidence beside it, and what to act on first."""

from stability.fmea.criticality import criticality, item_criticality, mode_criticality
from stability.fmea.detectability import detectability
from stability.fmea.files import default_worksheet, read_worksheet, write_worksheet
from stability.fmea.history import course, earlier, moved
from stability.fmea.incidents import answered_by, first_alarms, impacts_of, incidents_of
from stability.fmea.occurrence import occurrence
from stability.fmea.outlook import next_steps, what_would_change
from stability.fmea.priority import action_priority, order, read_priorities, risk_number
from stability.fmea.rating import confront, contradictions, rated_only, rated_table
from stability.fmea.scales import band, hold, rate, read_scale
from stability.fmea.severity import severity
from stability.fmea.worksheet import check_worksheet

__all__ = [
    "action_priority",
    "answered_by",
    "band",
    "check_worksheet",
    "confront",
    "contradictions",
    "course",
    "criticality",
    "default_worksheet",
    "detectability",
    "earlier",
    "first_alarms",
    "hold",
    "impacts_of",
    "incidents_of",
    "item_criticality",
    "mode_criticality",
    "moved",
    "next_steps",
    "occurrence",
    "order",
    "rate",
    "rated_only",
    "rated_table",
    "read_priorities",
    "read_scale",
    "read_worksheet",
    "risk_number",
    "severity",
    "what_would_change",
    "write_worksheet",
]
