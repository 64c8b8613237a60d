"""A second look at an alarm before anyone is called: is it like those that people discarded?"""

from __future__ import annotations

__all__ = ["CAP", "RESPONSIBLE", "SCORE", "Screen", "leading"]

import fnmatch
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stability.schema import ContractError

RESPONSIBLE = 0.3  # of the largest part of a metric: what has so much is named, too
CAP = 4.0  # doublings of the threshold, 15 times it: how far a metric is beyond that says nothing more
SCORE = "score"  # stands for the metrics where a detector does not say which are responsible


def leading(parts: Mapping[str, float]) -> list[str]:
    """Metrics with the largest part: one, or several where it is the same, whichever came first.

    Examples
    --------
    >>> leading({"queue": 1.5, "cpu": 0.3, "errors": 1.5})
    ['queue', 'errors']
    """
    most = max(parts.values())
    return [name for name, part in parts.items() if part == most]


@dataclass(frozen=True)
class Screen:
    """What labels have taught of a detector's alarms, as a sum that a person can check.

    While an alarm goes on, each metric has its *evidence*: log2(1 + part / threshold), of its largest part so far, and
    at most `CAP`. An alarm speaks once ``intercept + felt_weight * (largest evidence of those that users feel) + sum of
    weight * evidence`` is 0 or more. As no weight is negative and evidence only grows, what speaks is never silenced by
    what comes later, and an alarm that has been held back speaks as soon as it has grown or spread enough.

    Two things always speak: an alarm that is led by a metric which no labelled alarm was about, since nobody has said
    anything of its kind; and one that is far above what people discarded.

    Parameters
    ----------
    name : str
        Of what was accepted; stands in `suppressed_by`.
    intercept : float
        Log-odds without any evidence, from where an alarm speaks.
    weights : mapping of metric to float
        0 or more; the metrics that it knows.
    felt : sequence of str
        Metrics by which users are hurt; patterns such as ``*_errors_*``.
    felt_weight : float
        0 or more.
    loudest : float
        The highest score among the discarded alarms, in thresholds.
    stronger : float
        What is more than so many times as high as `loudest` always speaks; 1 or more.

    Examples
    --------
    >>> screen = Screen("nightly-batch", -2.0, {"cpu": 0.2, "queue": 1.5}, loudest=4.0)
    >>> screen.speaks(3.0, {"cpu": 3.0}, 1.0), screen.speaks(3.0, {"cpu": 3.0, "queue": 2.0}, 1.0)
    (False, True)
    >>> screen.speaks(3.0, {"disk": 3.0}, 1.0), screen.speaks(9.0, {"cpu": 9.0}, 1.0)
    (True, True)
    """

    name: str
    intercept: float
    weights: Mapping[str, float]
    felt: Sequence[str] = ()
    felt_weight: float = 0.0
    loudest: float = 0.0
    stronger: float = 2.0
    _felt: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)  # who matches, once

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not isinstance(self.name, str) or not self.name:
            raise ContractError(column="name", expected="a name", got=repr(self.name))
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise ContractError(column="weights", expected="a weight for each metric it knows", got=repr(self.weights))
        if isinstance(self.felt, str) or not all(isinstance(one, str) for one in self.felt):
            raise ContractError(column="felt", expected="a list of metrics or patterns", got=repr(self.felt))
        least = {"intercept": -math.inf, "felt_weight": 0.0, "loudest": 0.0, "stronger": 1.0}
        told = {name: getattr(self, name) for name in least} | {f"weights.{m}": w for m, w in self.weights.items()}
        for name, value in told.items():
            number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < (bound := least.get(name, 0.0)):
                wanted = "a number" if name == "intercept" else f"a number from {bound:g} up"
                raise ContractError(column=name, expected=wanted, got=repr(value))

    def speaks(self, score: float, parts: Mapping[str, float], limit: float) -> bool:
        """Say whether an alarm is to be told, by what is known of it so far.

        Parameters
        ----------
        score : float
            Its highest so far.
        parts : mapping of metric to float
            The largest part of each metric so far; those of 0 may be left out.
        limit : float
            The threshold. Where it is not above 0 nothing can be measured by it, and every alarm speaks.
        """
        if not limit > 0 or score > self.stronger * self.loudest * limit:
            return True
        parts = parts or {SCORE: score}
        return any(one not in self.weights for one in leading(parts)) or self.odds(parts, limit) >= 0

    def odds(self, parts: Mapping[str, float], limit: float) -> float:
        """The sum: log-odds that an alarm with such parts is one that people would confirm, from where it speaks."""
        total, hurt = self.intercept, 0.0
        for metric, part in parts.items():
            if (weight := self.weights.get(metric, 0.0)) or self.hurts(metric):
                evidence = min(math.log2(1 + part / limit), CAP)
                total += weight * evidence
                hurt = max(hurt, evidence) if self.hurts(metric) else hurt
        return total + self.felt_weight * hurt

    def hurts(self, metric: str) -> bool:
        """Whether a metric is one by which users are hurt."""
        if metric not in self._felt:
            self._felt[metric] = any(fnmatch.fnmatchcase(metric, one) for one in self.felt)
        return self._felt[metric]
