"""How much of the time a service is there, what it takes to keep it so: failures, parts, replicas and their places."""

from stability.availability.capacity import Replica, minutes_over, rate_of, simulate, start_seconds, versus
from stability.availability.forecasting import forecast, pinball
from stability.availability.outages import down_by_mode, outages, share_felt
from stability.availability.placement import Placement, place
from stability.availability.policies import cover, plan, react
from stability.availability.repairable import Reliability, availability_draws, reliability
from stability.availability.structure import Structure, one_more, read_structure

__all__ = [
    "Placement",
    "Reliability",
    "Replica",
    "Structure",
    "availability_draws",
    "cover",
    "down_by_mode",
    "forecast",
    "minutes_over",
    "one_more",
    "outages",
    "pinball",
    "place",
    "plan",
    "rate_of",
    "react",
    "read_structure",
    "reliability",
    "share_felt",
    "simulate",
    "start_seconds",
    "versus",
]
