"""The contracts of the workbench's tables: the only place that validates."""

from stability.schema.coercion import coerce_column
from stability.schema.declarations import load_documents, load_yaml, write_yaml
from stability.schema.declared import declared
from stability.schema.errors import ContractError, nearest, one_of, redact
from stability.schema.registry import Metric, base_name, home, metric, metric_registry
from stability.schema.store import (
    FittedOn,
    folder_written_whole,
    read_json_lines,
    read_metadata,
    read_table,
    refuse_overlap,
    write_table,
    written_whole,
)
from stability.schema.tables import TABLES, Table
from stability.schema.unlogged import unlogged
from stability.schema.validation import empty, validate

__all__ = [
    "TABLES",
    "ContractError",
    "FittedOn",
    "Metric",
    "Table",
    "base_name",
    "coerce_column",
    "declared",
    "empty",
    "folder_written_whole",
    "home",
    "load_documents",
    "load_yaml",
    "metric",
    "metric_registry",
    "nearest",
    "one_of",
    "read_json_lines",
    "read_metadata",
    "read_table",
    "redact",
    "refuse_overlap",
    "unlogged",
    "validate",
    "write_table",
    "write_yaml",
    "written_whole",
]
