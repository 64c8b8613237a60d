"""Fault rules in Prometheus's own form: read, evaluated over panels, measured, mined, exported.

The names below are imported when they are first asked for: the command line takes its verbs from this room, and
`stability --help` is to stay quick.
"""

from importlib import import_module

_HOMES = {
    "Rule": "files",
    "absences": "absence",
    "check_expression": "expressions",
    "check_rules": "checks",
    "evaluate": "evaluation",
    "export": "exporting",
    "firings": "alerts",
    "gain": "mining",
    "literal_of": "tuning",
    "metrics_of": "expressions",
    "mine": "mining",
    "quality": "counting",
    "read_rules": "files",
    "redundancy": "overlap",
    "require_metrics": "checks",
    "run_unit_tests": "unit_tests",
    "score": "scoring",
    "split_history": "counting",
    "tune": "tuning",
}

__all__ = [
    "Rule",
    "absences",
    "check_expression",
    "check_rules",
    "evaluate",
    "export",
    "firings",
    "gain",
    "literal_of",
    "metrics_of",
    "mine",
    "quality",
    "read_rules",
    "redundancy",
    "require_metrics",
    "run_unit_tests",
    "score",
    "split_history",
    "tune",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
