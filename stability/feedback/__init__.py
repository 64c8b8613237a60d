"""What users say: intake, scrubbing, classification, routing, answers.

The names below are imported when they are first asked for: the command line takes its verbs from this room, and
`stability --help` is to stay quick.
"""

from importlib import import_module

_HOMES = {
    "FeedbackClassifier": "classification",
    "Intake": "intake",
    "held_out_predictions": "evaluation",
    "judge": "evaluation",
    "read_development": "development",
    "read_labelled": "evaluation",
}

__all__ = ["FeedbackClassifier", "Intake", "held_out_predictions", "judge", "read_development", "read_labelled"]


def __getattr__(name: str):
    """Import a name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Names that there are, for completion in a notebook."""
    return sorted(__all__)
