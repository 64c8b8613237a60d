r"""Population stability: how far the shares of values have moved from those of a reference period.

.. math:: PSI = \sum_i (q_i - p_i) \ln \frac{q_i}{p_i}

over bins that hold about equally many values of the reference, with shares p there and q now: the two relative
entropies of the two histograms, summed. It is 0 where nothing moved and has no upper limit. Half a row is added to each
bin, or one that nobody visits would make it infinite.

The bounds that are usually quoted, 0.1 ("some change") and 0.25 ("a large one"), know neither how many rows there are
nor how much they depend on each other: a hundred rows of one and the same process often pass 0.1, a million rows that
have drifted a little never do. They are told (`usual`) and never decide; `chance` makes a limit with a known rate of
false alarms.

Sources: Kullback (1959), Information Theory and Statistics, section 1.3 (divergence J); Yurdakul and Naranjo (2020),
doi 10.21314/JRMV.2020.227 (its distribution, for independent rows).
"""

from __future__ import annotations

__all__ = ["BINS", "Bins", "psi", "usual"]

from typing import NamedTuple

import numpy as np
import pandas as pd

from stability.evaluation import NotEnoughEvidence

BINS = 10  # as is usual
HALF = 0.5  # of a row, in each bin: Jeffreys' prior
BOUNDS = ((0.1, "small"), (0.25, "moderate"), (np.inf, "large"))


class Bins(NamedTuple):
    """Bins that a reference made.

    Parameters
    ----------
    edges : array of float, shape (k - 1,), or None
        Of numbers: bin i holds what lies above edge i - 1 up to edge i, the last ones reach to infinity.
    values : array of object, or None
        Of what has few values (or is text): each has a bin of its own, and all others share one more.
    """

    edges: np.ndarray | None
    values: np.ndarray | None

    @classmethod
    def learn(cls, reference: np.ndarray | pd.Series, count: int = BINS) -> Bins:
        """Make bins of about equally many values; one of its own for each value where there are at most `count`.

        Raises
        ------
        NotEnoughEvidence
            When all are missing.

        Examples
        --------
        >>> Bins.learn(np.arange(100.0), 4).edges
        array([24.75, 49.5 , 74.25])
        >>> Bins.learn(np.array(["a", "b", "a"])).size
        3
        """
        there = pd.Series(reference).dropna()
        if there.empty:
            raise NotEnoughEvidence("All values of the reference are missing: there is nothing to compare with.")
        own = there.unique()
        if len(own) <= count or not pd.api.types.is_numeric_dtype(there.dtype):
            return cls(None, np.sort(own) if pd.api.types.is_numeric_dtype(there.dtype) else np.asarray(own))
        return cls(np.unique(np.quantile(there, np.arange(1, count) / count)), None)

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.edges if self.values is None else self.values) + 1

    def place(self, values: np.ndarray | pd.Series) -> np.ndarray:
        """Say which bin each value falls into; -1 where it is missing.

        Examples
        --------
        >>> Bins.learn(np.array([1.0, 2.0, 1.0])).place(np.array([2.0, 7.0, np.nan])).tolist()
        [1, 2, -1]
        """
        values = pd.Series(values)
        if self.values is None:
            found = np.searchsorted(self.edges, values.to_numpy(dtype="float64"), side="left")
        else:
            found = pd.Index(self.values).get_indexer(values)
            found = np.where(found < 0, len(self.values), found)
        return np.where(values.isna(), -1, found)


def psi(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Measure how far shares have moved.

    Parameters
    ----------
    reference, current : arrays of float, shape (..., bins)
        Counts.

    Returns
    -------
    array of float64, shape (...)
        NaN where one of the two has no row.

    Examples
    --------
    >>> round(float(psi(np.array([50, 50]), np.array([80, 20]))), 3)
    0.406
    >>> float(psi(np.array([50, 50]), np.array([5, 5])))
    0.0
    """
    parts = [np.asarray(counts, dtype="float64") for counts in (reference, current)]
    rows = [counts.sum(axis=-1, keepdims=True) for counts in parts]
    p, q = ((counts + HALF) / (n + HALF * counts.shape[-1]) for counts, n in zip(parts, rows, strict=True))
    moved = ((q - p) * np.log(q / p)).sum(axis=-1)
    return np.where((rows[0] * rows[1])[..., 0] > 0, moved, np.nan)


def usual(value: float) -> str:
    """Call a PSI what it is usually called, whatever the number of rows.

    Examples
    --------
    >>> usual(0.05), usual(0.2), usual(0.3)
    ('small', 'moderate', 'large')
    """
    return "unknown" if np.isnan(value) else next(name for bound, name in BOUNDS if value < bound)
