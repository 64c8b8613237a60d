"""The chain, live: metrics at their step, alarms, causes, priority, repair; `stability watch` follows a declaration.

The names below are imported when they are first asked for: the command line takes its verb from this room, and
`stability --help` is to stay quick.
"""

from importlib import import_module

_HOMES = {
    "Declaration": "declaration",
    "Follower": "following",
    "Watch": "chain",
    "read_watch": "declaration",
}

__all__ = ["Declaration", "Follower", "Watch", "read_watch"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
