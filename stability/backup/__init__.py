"""What the workbench must not lose: created while it works, verified, restored elsewhere, and drilled every week.

The names below are imported when they are first asked for: the command line takes its verbs from this room, and
`stability --help` is to stay quick.
"""

from importlib import import_module

_HOMES = {
    "Created": "creation",
    "Drill": "drills",
    "Keep": "keeping",
    "Manifest": "manifest",
    "Restored": "restoring",
    "backups": "places",
    "create": "creation",
    "drill": "drills",
    "finish": "swap",
    "horizon": "keeping",
    "restore": "restoring",
    "verify": "places",
}

__all__ = [
    "Created",
    "Drill",
    "Keep",
    "Manifest",
    "Restored",
    "backups",
    "create",
    "drill",
    "finish",
    "horizon",
    "restore",
    "verify",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
