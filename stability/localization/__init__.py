"""Where an alarm comes from: evidence of several kinds, a learnt ranker, rules, and three ways not to answer."""

from stability.localization.cases import Case, cases, preceded
from stability.localization.drills import Drill, drills, profile_of, quiet_windows
from stability.localization.evidence import NOBODY, Usual, evidence, usual_of
from stability.localization.flows import excess, usual_flows
from stability.localization.fusion import RuleOdds, calibrate, operating_point, pool, symptoms
from stability.localization.localizer import ANSWERS, Localizer, rows_of
from stability.localization.modes import UNKNOWN, ModeNamer, symptom_pictures
from stability.localization.onset import changes
from stability.localization.ranker import ConditionalLogit
from stability.localization.surroundings import views_of

__all__ = [
    "ANSWERS",
    "NOBODY",
    "UNKNOWN",
    "Case",
    "ConditionalLogit",
    "Drill",
    "Localizer",
    "ModeNamer",
    "RuleOdds",
    "Usual",
    "calibrate",
    "cases",
    "changes",
    "drills",
    "evidence",
    "excess",
    "operating_point",
    "pool",
    "preceded",
    "profile_of",
    "quiet_windows",
    "rows_of",
    "symptom_pictures",
    "symptoms",
    "usual_flows",
    "usual_of",
    "views_of",
]
