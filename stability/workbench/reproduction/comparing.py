"""What was recorded beside what was measured again: every metric, within a stated tolerance."""

from __future__ import annotations

__all__ = ["TOLERANCE", "Difference", "compare_tables", "differences"]

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

TOLERANCE = 1e-9  # relative: rounding of sums in another order, and nothing that anyone would call a result
# Two results near zero differ by rounding alone while they are this close.
NEAR_ZERO = 1e-12
ABSENT = "none"
UNEVIDENCED = "not enough evidence"


@dataclass(frozen=True)
class Difference:
    """One metric that is not what it was; None where it was not there, NaN where there was not enough evidence."""

    metric: str
    recorded: float | None
    reproduced: float | None

    def cells(self) -> tuple[str, str, str, str]:
        """Metric, recorded, reproduced and difference, as a table shows them."""
        if self.recorded is None or self.reproduced is None:
            told = "appeared" if self.recorded is None else "vanished"
        else:
            told = f"{self.reproduced - self.recorded:+.3g}"
        return self.metric, _written(self.recorded), _written(self.reproduced), told.replace("+nan", "")


def differences(
    recorded: Mapping[str, float],
    reproduced: Mapping[str, float],
    *,
    timings: Collection[str] = (),
    tolerance: float = TOLERANCE,
) -> list[Difference]:
    """List the metrics that differ.

    Parameters
    ----------
    recorded, reproduced : mapping of str to float
        By name; the ends of an interval have names of their own (`detect.f1.lo`). NaN is "not enough evidence".
    timings : collection of str
        Metrics that are declared as timings: they must be there, and may have any value.
    tolerance : float
        Two values are equal when they differ by no more than this share of the larger one, or, with a tolerance above
        zero, by no more than 1e-12; 0 asks for the same bits.

    Returns
    -------
    list of Difference
        In the order of the names. A metric that vanished or appeared is one.

    Examples
    --------
    >>> [d.metric for d in differences({"a.x": 1.0, "a.t": 2.0}, {"a.x": 1.1, "a.t": 9.0}, timings=["a.t"])]
    ['a.x']
    """
    found = []
    for name in sorted(recorded.keys() | reproduced.keys()):
        before, after = recorded.get(name), reproduced.get(name)
        if before is None or after is None or (name not in timings and not _equal(before, after, tolerance)):
            found.append(Difference(name, before, after))
    return found


def compare_tables(recorded: Mapping[str, str], reproduced: Mapping[str, str]) -> tuple[int, list[str]]:
    """Compare the sha256 of tables.

    Returns
    -------
    int, list of str
        How many have the same bytes, and for each other one what became of it.

    Examples
    --------
    >>> compare_tables({"a.parquet": "1", "b.parquet": "2"}, {"a.parquet": "1", "b.parquet": "3", "c.parquet": "4"})
    (1, ['b.parquet has other bytes', 'c.parquet appeared'])
    """
    same, told = 0, []
    for name in sorted(recorded.keys() | reproduced.keys()):
        if name not in reproduced:
            told.append(f"{name} vanished")
        elif name not in recorded:
            told.append(f"{name} appeared")
        elif recorded[name] != reproduced[name]:
            told.append(f"{name} has other bytes")
        else:
            same += 1
    return same, told


def _equal(before: float, after: float, tolerance: float) -> bool:
    if math.isnan(before) or math.isnan(after):
        return math.isnan(before) and math.isnan(after)
    return math.isclose(before, after, rel_tol=tolerance, abs_tol=min(NEAR_ZERO, tolerance))


def _written(value: float | None) -> str:
    """All digits: two values that differ must look different."""
    if value is None:
        return ABSENT
    return UNEVIDENCED if math.isnan(value) else repr(float(value))
