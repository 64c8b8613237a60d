"""From labels on alarms to changes of the alarm policy, each backtested on alarms that it was not learnt from."""

from __future__ import annotations

__all__ = ["FAMILIES", "NotEnough", "Proposal", "propose"]

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stability.adaptation.backtest import Backtest, Candidate, judge, select
from stability.adaptation.cases import Cases, cases, raised
from stability.adaptation.labelled import ALARM, current_labels
from stability.adaptation.screening import Table, learn_screen, material, speaking
from stability.detection import Screen
from stability.detection.rows import check_scores
from stability.schema import ContractError, one_of

FAMILIES = ("threshold", "persistence", "screen")
TIMES = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0)
ROWS = ((2, 3), (3, 5), (5, 8))  # flagged of the last so many
STEPS = (3, 5, 10, 20)  # rows that an alarm must last
RIDGES = (1.0, 3.0, 10.0)
CUTS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # log-odds from which an alarm is told
BUSY = 3  # entities with the most discarded alarms, which may get a threshold of their own
MIN_DISCARDED = 5  # fewer say nothing of a share: of 4 that all fall silent up to half may stay in the long run
MIN_CONFIRMED = 10  # with none of 10 lost up to a quarter may be in the long run


@dataclass(frozen=True)
class NotEnough:
    """There are too few labels to propose anything.

    Parameters
    ----------
    detector : str
    confirmed, discarded, unmatched : int
        Labels that there are, and those whose alarm is not in the record.
    """

    detector: str
    confirmed: int
    discarded: int
    unmatched: int

    def __str__(self) -> str:
        """What is missing."""
        lacking = {"discarded": MIN_DISCARDED - self.discarded, "confirmed": MIN_CONFIRMED - self.confirmed}
        more = " and ".join(f"{count} {kind}" for kind, count in lacking.items() if count > 0)
        return (
            f"not enough evidence: {self.confirmed} confirmed and {self.discarded} discarded alarms of "
            f"{self.detector}, {self.unmatched} labels of alarms that are not in the record; label {more} more"
        )


@dataclass(frozen=True)
class Proposal:
    """A change of a detector's alarm policy.

    Parameters
    ----------
    detector : str
    family : str
        Of `FAMILIES`.
    change : mapping or None
        As in an accepted policy's file; None where no change keeps the real alarms and silences false ones.
    backtest : Backtest
        On blocks of time, each judged by what was chosen and learnt on the others.
    labels : mapping
        How many of each kind, and `sha256` of them.
    """

    detector: str
    family: str
    change: dict[str, Any] | None
    backtest: Backtest
    labels: dict[str, Any]

    def __str__(self) -> str:
        """What it would do."""
        b = self.backtest
        if self.change is None:
            return f"{self.family}: no change keeps the real alarms and silences false ones"
        return (
            f"{self.family}: false alarms {b.false_before} -> {b.false_after} (ratio {b.ratio.value:.2f}, "
            f"{b.ratio.lo:.2f} to {b.ratio.hi:.2f}), {b.lost} of {b.confirmed} real ones lost (at most "
            f"{b.lost_share.hi:.0%}), told {b.delay.value:.1f} s later in the mean"
        )


def propose(
    scores: pd.Series,
    threshold: float | Mapping[str, float],
    labels: pd.DataFrame,
    *,
    score_metrics: pd.DataFrame | None = None,
    topology: pd.DataFrame | None = None,
    felt: Sequence[str] = (),
    families: Sequence[str] = FAMILIES,
    folds: int = 5,
    margin: float = 0.05,
    wanted: float = 0.5,
    purge: float = 60.0,
    seed: int = 0,
    **rules: Any,
) -> list[Proposal] | NotEnough:
    """Propose changes of the alarm policy of one detector.

    Parameters
    ----------
    scores, threshold, labels, score_metrics, topology, **rules
        As for `cases`: the policy in force without what was accepted before, on rows that the detector had not learnt.
    felt : sequence of str
        Metrics by which users are hurt, as in `Screen`.
    families : sequence of str
        What may be changed: ``threshold`` (of all entities, or of one), ``persistence`` (how many rows must be flagged,
        how long), ``screen`` (what an alarm looks like).
    folds : int
        Blocks of time, with as many labelled alarms each.
    margin : float
        Share of the confirmed alarms that a change may lose where it is chosen.
    wanted : float
        Share of the false alarms that may stay; among changes that reach it the one that delays least is taken.
    purge : float
        Seconds around a block in which nothing is learnt for it.
    seed : int

    Returns
    -------
    list of Proposal, or NotEnough
        One a family; in front what leaves the smallest share of false alarms in its backtest while it loses no more
        than `margin`, and of equal ones what delays least. A backtest that was the best of three looks a little better
        than it is.

    Raises
    ------
    ContractError
        For an unknown family, fewer than two folds, and as `cases`.

    Notes
    -----
    Labels speak of alarms that were raised. What a lower threshold would raise, and what nobody labelled, they cannot
    judge: no change here makes a detector more sensitive.
    """
    for name in families:
        one_of(name, FAMILIES, "family")
    if not isinstance(folds, int) or folds < 2:
        raise ContractError(column="folds", expected="a whole number from 2 up", got=repr(folds))
    more = {"score_metrics": score_metrics, "topology": topology, **rules}
    scores = check_scores(scores)
    found = cases(scores, threshold, labels, **more)
    real, n = found.confirmed, len(found.trails)
    confirmed, discarded = found.labels
    if discarded < MIN_DISCARDED or confirmed < MIN_CONFIRMED or not (found.in_force & ~real).any():
        return NotEnough(str(scores.name), confirmed, discarded, found.unmatched)
    table = material(found.trails, felt) if "screen" in families else None
    block = found.blocks(folds)
    judged = [*(block == k for k in range(folds)), np.zeros(n, dtype=bool)]  # in the end all teach
    taught = [found.outside(own, purge) for own in judged]
    busy = [_busy(found, learning) for learning in taught]  # whom labels of other blocks name, and nobody else
    fixed = [one for one in _fixed(scores, found, sorted(set().union(*busy)), more) if one.family in families]
    held = {name: np.zeros(n) for name in families}
    chosen: dict[str, dict[str, Any] | None] = {}
    for own, learning, known in zip(judged, taught, busy, strict=True):
        learnt = _Screens(table, found, learning, block, purge, felt) if table is not None else None
        for name in families:
            options = learnt.candidates if name == "screen" else _open_to(fixed, name, known)
            best = select(options, real, learning, learning & found.in_force, margin=margin, wanted=wanted)
            pick = None if best is None else options[best]
            if not own.any():
                chosen[name] = None if pick is None else learnt.change(pick) if pick.family == "screen" else pick.change
            elif pick is not None:
                held[name][own] = (learnt.delays(pick) if pick.family == "screen" else pick.delays)[own]
    counts = {"confirmed": confirmed, "discarded": discarded, "unsure": found.unsure}
    counts |= {"unlabelled": found.unlabelled, "unmatched": found.unmatched, "sha256": digest(labels, scores.name)}
    force, detector = found.in_force, str(scores.name)
    told = {name: judge(held[name][force], real[force], folds, seed) for name in families}
    return sorted(
        (Proposal(detector, name, chosen[name], told[name], counts) for name in families),
        key=lambda one: (one.change is None, one.backtest.lost_share.value > margin, one.backtest.ratio.value,
                         one.backtest.delay.value),
    )  # fmt: skip


def digest(labels: pd.DataFrame, detector: str) -> str:
    """The sha256 of what holds of a detector's alarms: who else has these labels comes to the same proposal."""
    told = current_labels(labels)
    told = told[told["detector"] == detector].sort_values(list(ALARM))
    lines = [f"{row.entity}\t{row.start.isoformat()}\t{row.label}" for row in told.itertuples()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _busy(found: Cases, learning: np.ndarray) -> list[str]:
    """Name the entities with the most discarded alarms among some cases."""
    names = pd.Series([one.entity for one in found.trails], dtype="str")[~found.confirmed & learning]
    return list(names.value_counts().index[:BUSY])


def _open_to(fixed: Sequence[Candidate], family: str, busy: Sequence[str]) -> list[Candidate]:
    """Choose the changes of a family, those of one entity only where it is a busy one."""
    own = [one.change.get("times") for one in fixed]
    free = [not isinstance(times, dict) or times.keys() <= set(busy) for times in own]
    return [one for one, may in zip(fixed, free, strict=True) if may and one.family == family]


def _fixed(scores: pd.Series, found: Cases, busy: Sequence[str], more: Mapping[str, Any]) -> Iterator[Candidate]:
    """Changes that have nothing to learn: what each does to every case, by raising the alarms anew."""
    busy = busy if scores.index.unique("entity").size > 1 else []
    step = float(np.median(np.diff(scores.index.get_level_values("timestamp").unique().as_unit("us").asi8))) / 1e6
    changes = [("threshold", {"times": factor}) for factor in TIMES]
    changes += [("threshold", {"times": {name: factor}}) for name in busy for factor in TIMES]
    changes += [("persistence", {"flagged": flagged, "of": of}) for flagged, of in ROWS]
    changes += [("persistence", {"minimum_duration": rows * step}) for rows in STEPS]
    own = {**more, "score_metrics": None}
    for family, change in changes:
        yield Candidate(family, change, found.delays(raised(scores, found, change, **own)))


class _Screens:
    """Screens that some cases teach, and what each does to every case: to those by what the other blocks taught."""

    def __init__(
        self, table: Table, found: Cases, learning: np.ndarray, block: np.ndarray, purge: float, felt: Sequence[str]
    ) -> None:
        self.table, self.real, self.learning, self.felt = table, found.confirmed, learning, tuple(felt)
        self.share = sum(found.labels) / len(found.trails)
        self.cuts = np.array(CUTS)
        self.candidates: list[Candidate] = []
        for ridge in RIDGES:
            told = np.zeros((len(CUTS), len(block)))
            for k in np.unique(block[learning]):
                inner = learning & found.outside(learning & (block == k), purge)
                if both(self.real[inner]):
                    told[:, block == k] = speaking(table, self._learn(inner, ridge), self.cuts)[:, block == k]
            change = {"ridge": ridge}
            self.candidates += [
                Candidate("screen", change | {"cut": cut}, own) for cut, own in zip(CUTS, told, strict=True)
            ]

    def _learn(self, rows: np.ndarray, ridge: float) -> Screen:
        labels = self.share * rows.sum()
        return learn_screen(self.table, self.real, rows, name="screen", ridge=ridge, felt=self.felt, labels=labels)

    def delays(self, pick: Candidate) -> np.ndarray:
        """What the screen does that all of the cases teach."""
        screen = self._learn(self.learning, pick.change["ridge"])
        return speaking(self.table, screen, np.array([pick.change["cut"]]))[0]

    def change(self, pick: Candidate) -> dict[str, Any]:
        """The screen that all of the cases teach, as in a file."""
        screen = self._learn(self.learning, pick.change["ridge"])
        told = {"intercept": screen.intercept - pick.change["cut"], "weights": dict(screen.weights)}
        told |= {"felt": list(screen.felt), "felt_weight": screen.felt_weight}
        return {"screen": told | {"loudest": screen.loudest, "stronger": screen.stronger}}


def both(confirmed: np.ndarray) -> bool:
    """Whether there are alarms of both kinds."""
    return bool(confirmed.any() and not confirmed.all())
