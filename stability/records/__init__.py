"""Acquisition of logs, fault records, topology and feedback from a user's own files and from ticket exports."""

from stability.records.faults import RecordReport, read_faults, read_faults_with_report, read_tickets
from stability.records.feedback import read_feedback, read_states, read_windows
from stability.records.logs import LogReport, read_logs, read_logs_with_report
from stability.records.templates import LogTemplates, template_counts
from stability.records.topology import read_topology

__all__ = [
    "LogReport",
    "LogTemplates",
    "RecordReport",
    "read_faults",
    "read_faults_with_report",
    "read_feedback",
    "read_logs",
    "read_logs_with_report",
    "read_states",
    "read_tickets",
    "read_topology",
    "read_windows",
    "template_counts",
]
