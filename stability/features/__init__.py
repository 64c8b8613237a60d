"""What was known at time t, never later: features of metrics, logs and fault records."""

from stability.features.assembly import Features
from stability.features.due import Due
from stability.features.events import Events, events_of
from stability.features.novelty import NewLines
from stability.features.own import Baseline, Regimes, Values
from stability.features.rolling import STATISTICS, Rolling
from stability.features.scores import Scores
from stability.features.season import Season
from stability.features.states import States
from stability.features.surroundings import Calendar, Neighbours

__all__ = [
    "STATISTICS",
    "Baseline",
    "Calendar",
    "Due",
    "Events",
    "Features",
    "Neighbours",
    "NewLines",
    "Regimes",
    "Rolling",
    "Scores",
    "Season",
    "States",
    "Values",
    "events_of",
]
