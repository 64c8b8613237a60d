"""Acquisition of logs, fault records, topology and feedback from a user's own files and from ticket exports."""

from stability.records.logs import LogReport, read_logs, read_logs_with_report
from stability.records.templates import LogTemplates, template_counts

__all__ = ["LogReport", "LogTemplates", "read_logs", "read_logs_with_report", "template_counts"]
