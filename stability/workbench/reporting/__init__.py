"""The static HTML of a run, its note in MLflow, and its `summary.json`.

A page is one file: style and pictures are inside, there is no script, and nothing is loaded from elsewhere. What a
notebook or a user wrote is escaped or cleaned by an allow-list, never trusted. The same facts give the page, the note
and the summary, so that the three cannot disagree.
"""

from stability.workbench.reporting.cells import report_cells
from stability.workbench.reporting.fitting import PAGE_LIMIT
from stability.workbench.reporting.pages import index_page, note_markdown, notebook_page
from stability.workbench.reporting.summary import (
    MetricSummary,
    StepSummary,
    Summary,
    check_metric,
    read_summary,
    summary,
    write_text_atomic,
)

__all__ = [
    "PAGE_LIMIT",
    "MetricSummary",
    "StepSummary",
    "Summary",
    "check_metric",
    "index_page",
    "note_markdown",
    "notebook_page",
    "read_summary",
    "report_cells",
    "summary",
    "write_text_atomic",
]
