"""Where an alarm comes from: evidence of several kinds, a learnt ranker, rules, and three ways not to answer."""

from stability.localization.alarms import alarms_at
from stability.localization.cases import Case, cases, preceded
from stability.localization.diagnosis import Diagnoser
from stability.localization.drills import Drill, drills, profile_of, quiet_windows
from stability.localization.evidence import NOBODY, Usual, evidence, usual_of
from stability.localization.flows import excess, usual_flows
from stability.localization.fusion import RuleOdds, calibrate, operating_point, pool, symptoms
from stability.localization.live import live_pictures
from stability.localization.localizer import ANSWERS, Localizer, rows_of
from stability.localization.modes import UNKNOWN, ModeNamer, symptom_pictures
from stability.localization.onset import changes
from stability.localization.pictures import Moves, picture, usual_moves
from stability.localization.ranker import ConditionalLogit
from stability.localization.surroundings import views_of

__all__ = [
    "ANSWERS",
    "NOBODY",
    "UNKNOWN",
    "Case",
    "ConditionalLogit",
    "Diagnoser",
    "Drill",
    "Localizer",
    "ModeNamer",
    "Moves",
    "RuleOdds",
    "Usual",
    "alarms_at",
    "calibrate",
    "cases",
    "changes",
    "drills",
    "evidence",
    "excess",
    "live_pictures",
    "operating_point",
    "picture",
    "pool",
    "preceded",
    "profile_of",
    "quiet_windows",
    "rows_of",
    "symptom_pictures",
    "symptoms",
    "usual_flows",
    "usual_moves",
    "usual_of",
    "views_of",
]
