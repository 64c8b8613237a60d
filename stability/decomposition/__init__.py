"""Trend, seasonal, residual: two-sided for looking at the past, causal for judging the next value."""

from stability.decomposition.causal import CausalDecomposition, decompose_causal
from stability.decomposition.periods import find_periods, period_name, period_table
from stability.decomposition.strength import strength
from stability.decomposition.two_sided import decompose

__all__ = [
    "CausalDecomposition",
    "decompose",
    "decompose_causal",
    "find_periods",
    "period_name",
    "period_table",
    "strength",
]
