"""Acquisition of metrics: files near and far, databases, Prometheus -> one panel; a regular grid, rates, quality."""

from stability.telemetry.files import ReadReport, read, read_with_report
from stability.telemetry.grid import is_counter, rate, regularize, regularize_two_sided
from stability.telemetry.noise import denoise
from stability.telemetry.prometheus import check_prometheus, read_prometheus
from stability.telemetry.quality import quality_events, quality_report
from stability.telemetry.queries import read_sql, read_sql_with_report

__all__ = [
    "ReadReport",
    "check_prometheus",
    "denoise",
    "is_counter",
    "quality_events",
    "quality_report",
    "rate",
    "read",
    "read_prometheus",
    "read_sql",
    "read_sql_with_report",
    "read_with_report",
    "regularize",
    "regularize_two_sided",
]
