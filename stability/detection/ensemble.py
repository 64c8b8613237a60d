"""Several detectors on one scale: each score as a tail probability of history, and their mean."""

from __future__ import annotations

__all__ = ["Ensemble"]

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from stability.detection.calibration import fit_tail
from stability.detection.manner import Detector, Rows
from stability.detection.mean_shift import MeanShift
from stability.detection.novelty import Novelty
from stability.detection.residual import Residual
from stability.detection.subspace import Pca
from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError, one_of

MEMBERS: Mapping[str, Callable[..., Detector]] = MappingProxyType(
    {"novelty": Novelty, "pca": Pca, "residual": Residual, "mean_shift": MeanShift}
)
LEVEL = 0.98  # quantile above which a tail is fitted; Siffert et al. (2017), section 4.1
QUANTILES = 201  # of the scores below it
FEWEST = 30  # excesses under a fitted tail
MOST = 12.0  # largest calibrated score: rarer than once in 1e12 rows says nothing more


class Ensemble(Detector):
    r"""Score a row by the mean, over several detectors, of how rare their scores are in history.

    Each member learns the first part of the history and scores the rest, which is new to it. From these scores its
    scale is made: :math:`-\log_{10} P(S > s)`, by their quantiles, and beyond the 98 % quantile by a generalised Pareto
    tail. So a score of 3 is one row in a thousand, whatever the member and its unit. Then all members learn the whole
    history. A metric's part is the mean of its shares in the members.

    Parameters
    ----------
    members : sequence of str
        Names in `MEMBERS`.
    held_back : float in (0, 1)
        Share of each entity's rows on which the scales are made.
    season : float
        Of the members that look for what repeats, in s; 0 without.

    References
    ----------
    Siffert et al. (2017), doi 10.1145/3097983.3098144 (tails of scores); Aggarwal and Sathe (2015),
    doi 10.1145/2830544.2830549 (why to normalise before averaging).
    """

    name = "ensemble"
    of_the_fleet = True  # the scales are made of the scores of all entities

    def __init__(self, *, members: Sequence[str] = tuple(MEMBERS), held_back: float = 0.5, season: float = 86_400.0):
        if not members:
            raise ContractError(column="members", expected="one or more", got="none")
        for member in members:
            one_of(member, MEMBERS, "member")
        if not 0 < held_back < 1:
            raise ContractError(column="held_back", expected="a share between 0 and 1", got=held_back)
        self.members, self.held_back, self.season = members, held_back, season

    def _member(self, name: str) -> Detector:
        return MEMBERS[name](season=self.season) if name == "novelty" else MEMBERS[name]()

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        early, late = _parted(rows, 1 - self.held_back)
        self._parts = {name: self._member(name) for name in self.members}
        learnt: dict[str, np.ndarray] = {}
        for name, member in self._parts.items():
            member._fit_rows(early, self.metrics_)
            state = {key: kept.copy() for key, kept in member._state.items()}
            scores = member._combine(member._walk(late, member.learnt_, state))
            self.common_[f"{name}.scale"] = _scale(scores)
            member._fit_rows(rows, self.metrics_)
            learnt |= {f"{name}.{key}": kept for key, kept in member.learnt_.items()}
            self.common_ |= {f"{name}.common.{key}": kept for key, kept in member.common_.items()}
        return learnt

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {
            f"{name}.{key}": kept
            for name, member in self._parts.items()
            for key, kept in member._begin(entities, metrics).items()
        }

    def _after(self, rows: Rows, learnt) -> dict[str, np.ndarray]:
        return {f"{name}.{key}": kept for name, m in self._parts.items() for key, kept in m._state.items()}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        total, count = np.zeros(rows.values.shape), np.zeros(len(rows.values))
        for name, member in self._parts.items():
            parts = member._walk(rows, _of(learnt, name), _of(state, name))
            score = _calibrated(member._combine(parts), self.common_[f"{name}.scale"])
            known = ~np.isnan(score)
            shares = np.nan_to_num(parts[known])
            whole = shares.sum(axis=1, keepdims=True)
            there = ~np.isnan(rows.values[known])
            even = there / np.maximum(there.sum(axis=1, keepdims=True), 1)
            with np.errstate(invalid="ignore", divide="ignore"):
                total[known] += score[known, None] * np.where(whole > 0, shares / whole, even)
            count += known
        total[count > 0] /= count[count > 0, None]
        total[(count == 0) | np.isnan(rows.values).all(axis=1)] = np.nan
        total[np.isnan(rows.values)] = np.nan
        return total

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(parts).all(axis=1), np.nan, np.nansum(parts, axis=1))

    def _restore(self, said: dict, arrays: dict[str, np.ndarray]) -> Detector:
        super()._restore(said, arrays)
        self._parts = {name: self._member(name) for name in self.members}
        for name, member in self._parts.items():
            member.metrics_, member.entities_ = self.metrics_, self.entities_
            member.learnt_, member.common_ = _of(self.learnt_, name), _of(self.common_, f"{name}.common")
            member._state, member._last = _of(self._state, name), self._last
        return self


def _of(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}."): kept for key, kept in arrays.items() if key.startswith(f"{name}.")}


def _parted(rows: Rows, share: float) -> tuple[Rows, Rows]:
    """The first share of each entity's rows, and the others; an entity of one row is in the first part alone."""
    sizes = np.diff(rows.starts)
    first = np.maximum(np.ceil(share * sizes).astype(int), 1)
    early = np.concatenate([np.arange(a, a + n) for a, n in zip(rows.starts, first, strict=False)])
    late = np.setdiff1d(np.arange(len(rows.times)), early)
    return tuple(
        Rows(rows.values[part], rows.times[part], np.append(0, np.cumsum(count)), rows.entities)
        for part, count in ((early, first), (late, sizes - first))
    )


def _scale(scores: np.ndarray) -> np.ndarray:
    """Quantiles of the scores, and level, shape and scale of their tail; NaN where there are too few."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return np.full(QUANTILES + 3, np.nan)
    quantiles = np.quantile(known, np.linspace(0, LEVEL, QUANTILES))
    excesses = known[known > quantiles[-1]] - quantiles[-1]
    try:
        if len(excesses) < FEWEST:
            raise NotEnoughEvidence("too few excesses")
        tail = fit_tail(excesses)
    except NotEnoughEvidence:
        spread = quantiles[-1] - quantiles[QUANTILES // 2]
        return np.append(quantiles, [quantiles[-1], 0.0, max(spread / np.log(0.5 / (1 - LEVEL)), 1e-12)])
    return np.append(quantiles, [quantiles[-1], tail.shape, tail.scale])


def _calibrated(scores: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """How rare scores are: minus the decimal logarithm of the share of history's rows that exceed them."""
    quantiles, (level, shape, width) = scale[:QUANTILES], scale[QUANTILES:]
    if np.isnan(level):
        return np.full(len(scores), np.nan)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        below = -np.log10(1 - np.interp(scores, quantiles, np.linspace(0, LEVEL, QUANTILES)))
        excess = np.maximum(scores - level, 0.0) / width
        thin = excess if abs(shape) < 1e-9 else np.log(np.maximum(1 + shape * excess, 0.0)) / shape
        rare = np.where(scores > level, (thin / np.log(10)) - np.log10(1 - LEVEL), below)
    rare = np.where(np.isnan(rare) | (rare > MOST), MOST, rare)
    return np.where(np.isnan(scores), np.nan, rare)
