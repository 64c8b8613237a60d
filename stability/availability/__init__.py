"""How much of the time a service is there: failures and repairs, a whole from its parts, what one more would buy."""

from stability.availability.outages import down_by_mode, outages
from stability.availability.repairable import Reliability, reliability
from stability.availability.structure import Structure, one_more, read_structure

__all__ = ["Reliability", "Structure", "down_by_mode", "one_more", "outages", "read_structure", "reliability"]
