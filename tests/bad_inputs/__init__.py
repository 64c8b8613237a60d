"""Bad inputs by kind, made from fixed seeds: files, tables, declarations, parameters, and what the error must say."""

from bad_inputs.calls import CALLS
from bad_inputs.cases import Case, tree
from bad_inputs.files import FILES
from bad_inputs.records import RECORDS
from bad_inputs.sources import SOURCES
from bad_inputs.specs import SPECS
from bad_inputs.tables import TABLES

__all__ = ["CASES", "Case", "tree"]

CASES = [*FILES, *TABLES, *SPECS, *CALLS, *RECORDS, *SOURCES]
