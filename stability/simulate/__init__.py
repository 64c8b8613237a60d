"""A fleet with a topology, seasons, logs, users and faults, from a scenario file: the ground truth is known."""

import importlib

__all__ = ["BENIGN", "FAILURE_MODES", "Scenario", "broken", "implant", "read_scenario", "simulate", "write"]

_OF = {  # loaded when asked for: whoever only wants words for users needs no tables
    "BENIGN": "modes",
    "FAILURE_MODES": "modes",
    "Scenario": "scenario",
    "broken": "faults",
    "implant": "implants",
    "read_scenario": "reading",
    "simulate": "tables",
    "write": "tables",
}


def __getattr__(name: str) -> object:
    if name not in _OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_OF[name]}"), name)
