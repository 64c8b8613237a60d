"""A run executed again from what it recorded, and compared with what it measured."""

from stability.workbench.reproduction.comparing import TOLERANCE, Difference, differences
from stability.workbench.reproduction.recorded import CannotReproduceError
from stability.workbench.reproduction.repeating import Result, reproduce
from stability.workbench.reproduction.telling import show

__all__ = ["TOLERANCE", "CannotReproduceError", "Difference", "Result", "differences", "reproduce", "show"]
