"""Several detectors on one scale: each score in units of what its entity's quiet rows rarely exceed, and their mean."""

from __future__ import annotations

__all__ = ["MEMBERS", "Ensemble"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np

from stability.detection.arima import Arima
from stability.detection.autoencoder import Autoencoder
from stability.detection.baselines import Difference
from stability.detection.lstm import Lstm
from stability.detection.manner import LARGEST, Detector
from stability.detection.mean_shift import MeanShift
from stability.detection.novelty import Novelty
from stability.detection.residual import Residual, SeasonalDifference
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.detection.subspace import Pca
from stability.schema import ContractError, one_of

MEMBERS: Mapping[str, Callable[..., Detector]] = MappingProxyType(
    {
        "pca": Pca,
        "mean_shift_global": partial(MeanShift, variant="global"),
        "mean_shift_windowed": partial(MeanShift, variant="windowed"),
        "mean_shift_recursive": partial(MeanShift, variant="recursive"),
        "difference": Difference,
        "seasonal_difference": SeasonalDifference,
        "residual": Residual,
        "novelty": Novelty,
        "arima": Arima,
        "lstm": Lstm,
        "autoencoder": partial(Autoencoder, kind="dense"),
        "autoencoder_convolutional": partial(Autoencoder, kind="convolutional"),
    }
)
"""What may be a member."""
SEASONAL = ("novelty", "seasonal_difference", "arima")


class Ensemble(Detector):
    r"""Score a row by the quadratic mean of several detectors' scores, each on its own scale.

    A scale is learnt for each member and entity: the history is cut into `folds` blocks, a block is scored by a member
    that has learnt the others, and :math:`l`, the quantile `level` of all these scores, is what quiet rows rarely
    exceed. The score of a row is

    .. math:: \sqrt{\tfrac{1}{n} \sum_j \log_2(1 + s_j / l_j)^2},

    so that 1 is where such a row begins, whatever the member and its unit, and each doubling adds 1. Then all members
    learn the whole history. By default they compare with the entity's history (``pca``), its last minutes
    (``mean_shift_recursive``) and its last row (``difference``): what is slow shows in the first, what drifts anyway
    is quiet in the others.

    Parameters
    ----------
    members : sequence of str
        Names in `MEMBERS`.
    level : float in (0, 1)
        The quantile.
    folds : int
        Blocks of the history, from 2 up.
    season : float
        Of the members that look for what repeats, in s.

    References
    ----------
    Aggarwal and Sathe (2015), doi 10.1145/2830544.2830549 (why to normalise before averaging); Zimek, Campello and
    Sander (2014), doi 10.1145/2594473.2594476, section 3 (of members that differ).
    """

    name = "ensemble"

    def __init__(
        self,
        *,
        members: Sequence[str] = ("pca", "mean_shift_recursive", "difference"),
        level: float = 0.99,
        folds: int = 4,
        season: float = 86_400.0,
    ):
        if not members or len(set(members)) < len(members):
            raise ContractError(column="members", expected="one or more, none twice", got=str(tuple(members)))
        for member in members:
            one_of(member, MEMBERS, "member")
        if not 0 < level < 1:
            raise ContractError(column="level", expected="a share between 0 and 1", got=level)
        whole(2, folds=folds)
        above_zero(season=season)
        self.members, self.level, self.folds, self.season = members, level, folds, season

    @property
    def own(self) -> tuple[str, ...]:
        """What says nothing of an entity without history, as the members have it."""
        return tuple(f"{name}.{key}" for name in self.members for key in self._member(name).own)

    def _member(self, name: str) -> Detector:
        return MEMBERS[name](season=self.season) if name in SEASONAL else MEMBERS[name]()

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        self._parts = {name: self._member(name) for name in self.members}
        learnt: dict[str, np.ndarray] = {}
        for name, member in self._parts.items():
            learnt[f"level.{name}"] = self._levels(member, rows)
            member._fit_rows(rows, self.metrics_)
            learnt |= {f"{name}.{key}": kept for key, kept in member.learnt_.items()}
            self.common_ |= {f"{name}.{key}": kept for key, kept in member.common_.items()}
        return learnt

    def _levels(self, member: Detector, rows: Rows) -> np.ndarray:
        """What each entity's scores rarely exceed where they are new to the member; 1 where nothing tells."""
        scores = np.full(len(rows.values), np.nan)
        sizes = np.diff(rows.starts)
        blocks = np.concatenate([np.arange(n) * self.folds // n if n > 1 else [-1] for n in sizes])
        for k in np.unique(blocks[blocks >= 0]):
            held = blocks == k
            member._fit_rows(_part(rows, ~held), self.metrics_)
            part = _part(rows, held)
            learnt = member._learnt_of(rows.entities.get_indexer(part.entities))
            anew = member._begin(len(part.entities), rows.values.shape[1])
            scores[held] = member._combine(member._walk(part, learnt, anew))
        own = (scores[a:b][~np.isnan(scores[a:b])] for a, b in zip(rows.starts[:-1], rows.starts[1:], strict=True))
        found = np.array([np.quantile(part, self.level) if len(part) else 0.0 for part in own])
        return np.where(found > 0, found, 1.0)

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {
            f"{name}.{key}": kept
            for name, member in self._parts.items()
            for key, kept in member._begin(entities, metrics).items()
        }

    def _after(self, rows: Rows, learnt) -> dict[str, np.ndarray]:
        return {f"{name}.{key}": kept for name, m in self._parts.items() for key, kept in m._state.items()}

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        total, count = np.zeros(rows.values.shape), np.zeros((len(rows.values), 1))
        there = ~np.isnan(rows.values)
        even = there / np.maximum(there.sum(axis=1, keepdims=True), 1)
        for name, member in self._parts.items():
            parts = member._walk(rows, _of(learnt, name), _of(state, name))
            level = np.repeat(learnt[f"level.{name}"], np.diff(rows.starts))
            score = np.clip(member._combine(parts), 0.0, LARGEST)
            square = np.log2(1 + score / level)[:, None] ** 2
            total += np.nan_to_num(square) * _shares(parts, even)
            count += ~np.isnan(square)
        score = np.sqrt(total.sum(axis=1, keepdims=True) / np.maximum(count, 1))
        parts = total / np.maximum(count, 1) / np.where(score > 0, score, 1.0)
        return np.where(there & (count > 0), parts, np.nan)

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(parts).all(axis=1), np.nan, np.nansum(parts, axis=1))

    def _restore(self, said: dict, arrays: dict[str, np.ndarray]) -> Detector:
        super()._restore(said, arrays)
        self._parts = {name: self._member(name) for name in self.members}
        for name, member in self._parts.items():
            member.metrics_, member.entities_ = self.metrics_, self.entities_
            member.learnt_, member.common_ = _of(self.learnt_, name), _of(self.common_, name)
            member._state, member._last = _of(self._state, name), self._last
            member._build()
        return self


def _of(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}."): kept for key, kept in arrays.items() if key.startswith(f"{name}.")}


def _shares(parts: np.ndarray, even: np.ndarray) -> np.ndarray:
    """Each part's share of its row, at any size; `even` where there is nothing to share."""
    largest = np.nanmax(parts, axis=1, keepdims=True, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.nan_to_num(parts / largest)
        return np.where(largest > 0, shares / shares.sum(axis=1, keepdims=True), even)


def _part(rows: Rows, kept: np.ndarray) -> Rows:
    """Some of the rows, and the entities that have any of them."""
    counts = np.add.reduceat(kept, rows.starts[:-1], dtype="int64")
    starts = np.append(0, np.cumsum(counts[counts > 0]))
    return Rows(rows.values[kept], rows.times[kept], starts, rows.entities[counts > 0])
