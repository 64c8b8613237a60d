"""Service levels: what users were promised, how much of the error budget is left, how fast it burns."""

from stability.slo.budget import (
    WORKBOOK,
    BurnWindow,
    allowed_badness,
    apdex,
    budget_course,
    burn_alerts,
    burn_rates,
    levels,
    slices,
)
from stability.slo.objectives import Objective, Query, read_objectives

__all__ = [
    "WORKBOOK",
    "BurnWindow",
    "Objective",
    "Query",
    "allowed_badness",
    "apdex",
    "budget_course",
    "burn_alerts",
    "burn_rates",
    "levels",
    "read_objectives",
    "slices",
]
