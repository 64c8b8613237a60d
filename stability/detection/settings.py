"""Checks of what detectors are set to, so that what cannot work is refused before anything is learnt."""

from __future__ import annotations

__all__ = ["above_zero", "whole"]

import numbers

from stability.schema import ContractError


def above_zero(**settings: float) -> None:
    """Refuse what is no finite number above 0, by its name."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
            raise ContractError(column=name, expected="a number above 0", got=value)


def whole(least: int = 1, **settings: int) -> None:
    """Refuse what is no whole number from `least` up, by its name."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise ContractError(column=name, expected=f"a whole number from {least} up", got=value)
