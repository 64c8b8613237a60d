"""Bounds of a share of faults: exact ones, which hold as often as they say also where few faults were seen."""

from __future__ import annotations

__all__ = ["exact_interval"]

from scipy import special

from stability.evaluation.intervals import Estimate, NotEnoughEvidence, require_share
from stability.schema import ContractError

DIGITS = 12  # of an end: one of one is surely a twentieth, where a band begins, and rounding must not decide on it


def exact_interval(successes: float, trials: float, confidence: float = 0.9) -> Estimate:
    r"""Bound a proportion of independent trials by Clopper's and Pearson's interval.

    .. math:: B^{-1}_{(1-c)/2}(x, n - x + 1), \quad B^{-1}_{(1+c)/2}(x + 1, n - x)

    A rating moves by one end alone, so that each end has to hold as often as it says. Wilson's ends do so only on
    average: of one success of one its lower end of 95 % is .27, which a share of .2 passes in 20 of 100 cases.

    Parameters
    ----------
    successes, trials : float
        Counts; 0 <= successes <= trials. A success in part counts as a fraction.
    confidence : float in (0, 1)
        Of the two-sided interval; at .9 each end is a one-sided bound of 95 % or more.

    Returns
    -------
    Estimate
        The proportion and its interval, without unit.

    Raises
    ------
    NotEnoughEvidence
        Without trials.
    ContractError
        When the counts are no counts of successes among trials.

    References
    ----------
    Clopper and Pearson (1934), doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> [round(x, 3) for x in exact_interval(1, 1)], [round(x, 3) for x in exact_interval(3, 3)]
    ([1.0, 0.05, 1.0], [1.0, 0.368, 1.0])
    """
    tail = (1 - require_share(confidence)) / 2
    if not 0 <= successes <= trials:
        raise ContractError(column="successes", expected="between 0 and the trials", got=f"{successes} of {trials}")
    if trials == 0:
        raise NotEnoughEvidence("A proportion needs at least one trial; there was none.")
    share, missed = successes / trials, trials - successes
    lo = round(float(special.betaincinv(successes, missed + 1, tail)), DIGITS) if successes else 0.0
    hi = round(float(special.betaincinv(successes + 1, missed, 1 - tail)), DIGITS) if missed else 1.0
    return Estimate(share, min(lo, share), max(hi, share))
