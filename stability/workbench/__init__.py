"""From a declaration to a night that is tracked, told and can be repeated."""

import sys

# jsonschema, which nbformat needs, builds a grammar of international addresses at its import unless it finds none: two
# seconds of processor time of every command, for a format that no schema of a notebook names.
sys.modules.setdefault("rfc3987_syntax", None)
