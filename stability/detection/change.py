"""Changes that are small and last: cumulative sums, and the probability that a new run has just begun."""

from __future__ import annotations

__all__ = ["ChangePoint", "Cusum"]

import itertools
import math

import numba
import numpy as np

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.detection.subspace import standard
from stability.schema import ContractError


class Cusum(Detector):
    r"""Score a value by the sum of how far the values lately lay on one side of their mean.

    With z in deviations of the history, cut at `clip`,

    .. math:: g_t^\pm = \max(0,\; g_{t-1}^\pm \pm z_t - \kappa)

    and the score is the larger of the two. Small lasting shifts gather, single outliers do not.

    Parameters
    ----------
    reference : {"history", "running"}
        Where the mean comes from: the history for ever (Page's CUSUM), or all values so far, those of the history
        included (Page-Hinkley), which in the end takes a new level for normal. A value moves this mean as far as its
        cut z, so that no outlier carries it away.
    slack : float
        :math:`\kappa`, in deviations: half of the smallest shift that is of interest.
    clip : float
        Largest |z|.
    floor : float
        The smallest deviation, as a share of the history's range.

    References
    ----------
    Page (1954), doi 10.1093/biomet/41.1-2.100; Hinkley (1971), doi 10.1093/biomet/58.3.509.
    """

    def __init__(self, *, reference: str = "history", slack: float = 0.5, clip: float = 5.0, floor: float = 0.01):
        if reference not in ("history", "running"):
            raise ContractError(column="reference", expected="'history' or 'running'", got=repr(reference))
        above_zero(clip=clip, floor=floor)
        if not slack >= 0 or not clip > slack:
            raise ContractError(column="slack", expected="from 0 up to below clip", got=f"{slack} with clip {clip}")
        self.reference, self.slack, self.clip, self.floor = reference, slack, clip, floor

    @property
    def name(self) -> str:
        """Its column in `scores`."""
        return "cusum" if self.reference == "history" else "page_hinkley"

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        found = [standard(rows.values[a:b], self.floor) for a, b in itertools.pairwise(rows.starts)]
        return {"mean": np.array([mean for mean, _ in found]), "scale": np.array([scale for _, scale in found])}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {"sums": np.zeros((entities, metrics, 2)), "seen": np.zeros((entities, metrics, 2))}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        running = self.reference == "running"
        return _cusum(
            rows.values, rows.starts, learnt["mean"], learnt["scale"], running, self.slack, self.clip, *state.values()
        )


class ChangePoint(Detector):
    r"""Score a value by the probability that its run began within the last few values.

    Bayesian online change-point detection: the run length :math:`r_t`, values since the last change, has a posterior
    that is updated with each value; within a run values are Gaussian with unknown mean and variance (a normal-gamma
    prior with the history's mean and deviation). The score is
    :math:`-\log_{10} P(r_t > \text{recent} \mid x_{1..t})`, so that 3 says "a thousand to one"; the first `recent`
    values of an entity are not judged.

    Parameters
    ----------
    recent : int
        Values within which a run is new.
    expected : float
        Mean length of a run, in values: changes come with the constant hazard of its inverse.
    longest : int
        Run lengths that are told apart; what is longer counts as this long.
    clip : float
        Largest |z|: one outlier is no new regime.
    floor : float
        The smallest deviation, as a share of the history's range.

    References
    ----------
    Adams and MacKay (2007), arXiv 0710.3742, algorithm 1; the conjugate update: Murphy (2007), Conjugate Bayesian
    analysis of the Gaussian distribution, section 3.
    """

    name = "change_point"

    def __init__(
        self,
        *,
        recent: int = 5,
        expected: float = 1000.0,
        longest: int = 200,
        clip: float = 8.0,
        floor: float = 0.01,
    ):
        whole(recent=recent, longest=longest)
        above_zero(clip=clip, floor=floor)
        if not recent < longest:
            raise ContractError(column="recent", expected="from 1 up to below longest", got=f"{recent} with {longest}")
        if not expected > 1:
            raise ContractError(column="expected", expected="a length above 1", got=expected)
        self.recent, self.expected, self.longest, self.clip, self.floor = recent, expected, longest, clip, floor

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        found = [standard(rows.values[a:b], self.floor) for a, b in itertools.pairwise(rows.starts)]
        return {"mean": np.array([mean for mean, _ in found]), "scale": np.array([scale for _, scale in found])}

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        runs = np.zeros((entities, metrics, 4, self.longest + 1))  # probability, and the runs' count, mean and squares
        runs[:, :, 0, 0] = 1.0
        return {"runs": runs, "seen": np.zeros((entities, metrics), dtype="int64")}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        table = _student(self.longest)
        return _change(
            rows.values, rows.starts, learnt["mean"], learnt["scale"], 1 / self.expected, self.recent,
            float(self.clip), table, state["runs"], state["seen"],
        )  # fmt: skip


def _student(longest: int) -> np.ndarray:
    """Logarithm of Student's normalising constant for the degrees of freedom of each run length."""
    degrees = 2.0 + np.arange(longest + 1)
    half = [math.lgamma((d + 1) / 2) - math.lgamma(d / 2) for d in degrees]
    return np.array(half) - 0.5 * np.log(degrees * np.pi)


@numba.njit(cache=True)
def _cusum(values, starts, mean, scale, running, slack, clip, sums, seen):
    scores = np.full(values.shape, np.nan)
    for e in range(starts.size - 1):
        for i in range(starts[e], starts[e + 1]):
            for m in range(values.shape[1]):
                x = values[i, m]
                if np.isnan(x):
                    continue
                centre = mean[e, m]
                if running:
                    centre = seen[e, m, 1] if seen[e, m, 0] > 0 else x
                z = min(max((x - centre) / scale[e, m], -clip), clip)
                if running:
                    seen[e, m, 0] += 1
                    seen[e, m, 1] = centre + z * scale[e, m] / seen[e, m, 0]
                sums[e, m, 0] = max(0.0, sums[e, m, 0] + z - slack)
                sums[e, m, 1] = max(0.0, sums[e, m, 1] - z - slack)
                scores[i, m] = max(sums[e, m, 0], sums[e, m, 1])
    return scores


@numba.njit(cache=True)
def _change(values, starts, mean, scale, hazard, recent, clip, table, runs, seen):
    """Posterior of the run length after each value; the prior within a run is worth two values of deviation 1."""
    scores = np.full(values.shape, np.nan)
    last = runs.shape[3] - 1
    for e in range(starts.size - 1):
        for m in range(values.shape[1]):
            p, count, centre, squares = runs[e, m, 0], runs[e, m, 1], runs[e, m, 2], runs[e, m, 3]
            for i in range(starts[e], starts[e + 1]):
                x = values[i, m]
                if np.isnan(x):
                    continue
                z = min(max((x - mean[e, m]) / scale[e, m], -clip), clip)
                fresh, total = 0.0, 0.0
                for r in range(last, -1, -1):  # from the longest, so that each moves to the place of the next
                    if p[r] == 0.0 and r > 0:
                        continue
                    n = count[r]
                    weight = 0.1 + n  # of the prior mean: a tenth of a value
                    middle = n * centre[r] / weight
                    degrees = 2.0 + n
                    spread = (2.0 + squares[r] + 0.1 * n * centre[r] ** 2 / weight) / degrees
                    width = spread * (weight + 1) / weight
                    log = (
                        table[int(n)]
                        - 0.5 * np.log(width)
                        - 0.5 * (degrees + 1) * np.log1p((z - middle) ** 2 / (degrees * width))
                    )
                    likelihood = np.exp(log) * p[r]
                    fresh += hazard * likelihood
                    grown = (1 - hazard) * likelihood
                    total += likelihood
                    to = min(r + 1, last)
                    if to == r:  # the longest stays: its newest neighbour joins it, and it keeps its memory
                        p[r] = grown
                        if n < last:
                            gap = z - centre[r]
                            count[r] = n + 1
                            centre[r] += gap / count[r]
                            squares[r] += gap * (z - centre[r])
                        else:
                            gap = z - centre[r]
                            centre[r] += gap / n
                            squares[r] += gap * (z - centre[r]) - squares[r] / n
                    else:
                        if to == last and p[last] > 0.0:
                            p[last] += grown
                        else:
                            gap = z - centre[r]
                            count[to] = n + 1
                            centre[to] = centre[r] + gap / (n + 1)
                            squares[to] = squares[r] + gap * (z - centre[to])
                            p[to] = grown
                        p[r] = 0.0
                p[0], count[0], centre[0], squares[0] = fresh, 0.0, 0.0, 0.0
                old = 0.0
                if total > 0.0:
                    for r in range(last + 1):
                        p[r] /= total
                        if r > recent:
                            old += p[r]
                else:  # nothing explains it at all: begin again
                    p[:] = 0.0
                    p[0] = 1.0
                seen[e, m] += 1
                if seen[e, m] > recent:  # before, every run is new
                    scores[i, m] = min(max(-np.log10(max(old, 1e-300)), 0.0), 300.0)
    return scores
