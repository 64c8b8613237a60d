"""Where tuning looks for settings: few dimensions for each predictor, in plain data, each with its reason."""

from __future__ import annotations

__all__ = ["SPACES", "Dimension", "checked_space"]

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from stability.schema import ContractError, nearest


class Dimension(NamedTuple):
    """What one setting may be: a range, or one of a few values.

    Parameters
    ----------
    name : str
        Of the predictor's setting.
    low, high : int or float
        Ends of a range, both possible; of whole numbers where both ends are whole numbers.
    log : bool
        Whether equal ratios, not equal differences, are equally probable.
    choices : sequence of str, int, float or bool
        Instead of a range.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Sequence[Any] = ()

    def holds(self, value: Any) -> bool:
        """Say whether a value is one of it."""
        if self.choices:
            return value in self.choices
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self.whole or isinstance(value, int))

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


# Trees of a forest and rows that boosted trees draw are not tuned: more trees of a forest are never worse, and 0.8 of
# the rows is near the best wherever faults are rare.
_BOOSTED = (
    Dimension("trees", 100, 800, log=True),  # with the rate: many small steps or few large ones
    Dimension("rate", 0.01, 0.2, log=True),
    Dimension("depth", 2, 7),  # how many features act together; few faults carry few
    Dimension("leaf", 1.0, 50.0, log=True),  # how many faults have to agree
    Dimension("features", 0.1, 1.0),  # alike features share the work when each tree sees some of them
    Dimension("ridge", 0.1, 100.0, log=True),
)
_SEQUENCE = (
    Dimension("window", choices=(4, 8, 12, 24, 48)),  # how far back a course matters
    Dimension("hidden", choices=(16, 32, 64)),
    Dimension("rate", 5e-4, 1e-2, log=True),
)

SPACES: Mapping[str, tuple[Dimension, ...]] = MappingProxyType(
    {
        "base_rate": (),
        "time_since": (Dimension("parts", 4, 100, log=True),),
        "logistic": (Dimension("strength", 1e-5, 10.0, log=True),),
        "radius_neighbours": (Dimension("prior", 0.1, 100.0, log=True),),  # the radius is its own choice already
        "random_forest": (
            Dimension("leaf", 1, 60, log=True),  # the smoothness of what it says
            Dimension("features", 0.03, 0.8, log=True),  # how unlike its trees are
        ),
        "gradient_boosting": (
            Dimension("trees", 100, 800, log=True),
            Dimension("rate", 0.01, 0.2, log=True),
            Dimension("leaves", 4, 63, log=True),
            Dimension("leaf", 5, 200, log=True),
            Dimension("ridge", 0.1, 100.0, log=True),
            Dimension("features", 0.1, 1.0),
        ),
        "by_mode": (  # each mode has few faults: small trees, and large leaves
            Dimension("trees", 40, 300, log=True),
            Dimension("rate", 0.02, 0.1, log=True),
            Dimension("leaves", 3, 10),
            Dimension("leaf", 20, 400, log=True),
        ),
        "xgboost": _BOOSTED,
        "hazard": _BOOSTED,
        "lstm": _SEQUENCE,
        "convolution": _SEQUENCE,
        "pooled": (Dimension("how", choices=("ranks", "stacked", "log_odds")),),
    }
)
"""Dimensions by the name of the predictor; none where there is nothing to choose. Each range holds the default."""


def checked_space(make: Callable[..., Any], space: Sequence[Dimension], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Check that a space fits what makes a predictor, and give the default of each dimension.

    Parameters
    ----------
    make : callable
        A class of predictors, or a function with named settings that have defaults.
    space : sequence of Dimension
    fixed : mapping
        Settings that are not tuned; each has to be one of `make`.

    Returns
    -------
    dict
        Name to default.

    Raises
    ------
    ContractError
        When the space is empty or has a name twice, a setting is none of `make`, is fixed and tuned at once, or has a
        default outside of its dimension.

    Examples
    --------
    >>> from stability.prediction.floors import Logistic
    >>> checked_space(Logistic, [Dimension("strength", 0.001, 1.0, log=True)], {})
    {'strength': 0.01}
    """
    known = {name: one.default for name, one in inspect.signature(make).parameters.items()}
    names = [one.name for one in space]
    if not names:
        remedy = "give space=[Dimension(...)], or take the default settings"
        raise ContractError(file="space", expected="settings to tune", got="none", remedy=remedy)
    for name in [*names, *fixed]:
        if name not in known:
            remedy = nearest(name, list(known))
            raise ContractError(file="space", column=name, expected="a setting", got="none of that name", remedy=remedy)
        if [*names, *fixed].count(name) > 1:
            raise ContractError(file="space", column=name, expected="a setting once", got="the same name twice")
    for one in space:
        default, sound = known[one.name], bool(one.choices) or (one.low is not None and one.low < one.high)
        if not sound or (one.log and not one.low > 0):
            raise ContractError(file="space", column=one.name, expected="a range or choices", got=str(one))
        if not one.holds(default):
            expected, remedy = f"a default inside of {one}", "widen the range: the defaults are tried first"
            raise ContractError(file="space", column=one.name, expected=expected, got=default, remedy=remedy)
    return {name: known[name] for name in names}
