"""Alarms of a record beside what was said of them, cut into blocks of time that judge each other."""

from __future__ import annotations

__all__ = ["Cases", "cases", "raised"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stability.adaptation.labelled import standing_labels
from stability.adaptation.trails import Trail, trails
from stability.detection import AlarmPolicy, raise_alarms
from stability.detection.rows import check_scores
from stability.schema import ContractError, validate

KINDS = ("confirmed", "discarded")
LOOSER = 3  # thresholds below that in force, of which labels are taken, the most frequent first


@dataclass(frozen=True)
class Cases:
    """Labelled alarms.

    Parameters
    ----------
    trails : tuple of Trail
        By start.
    confirmed : array of bool, shape (n,)
        What was said; those about which people were unsure are no cases.
    policy : array of int64, shape (n,)
        Place in `thresholds` of the one that raised it.
    thresholds : tuple of float or mapping of entity to float
        That in force, then looser ones. An alarm of a looser one stands for what such a policy would tell: it teaches
        and helps to choose, as each is measured by its own threshold, and is not counted when the policy in force is
        judged.
    labels : tuple of int
        Distinct ones that were used, confirmed and discarded.
    unsure, unlabelled : int
        Alarms of the policy in force that are no cases.
    unmatched : int
        Labels of this detector whose alarm is not in the record.
    """

    trails: tuple[Trail, ...]
    confirmed: np.ndarray
    policy: np.ndarray
    thresholds: tuple[float | Mapping[str, float], ...]
    labels: tuple[int, int]
    unsure: int
    unlabelled: int
    unmatched: int

    @property
    def in_force(self) -> np.ndarray:
        """Which the policy in force tells, bool, shape (n,)."""
        return self.policy == 0

    def blocks(self, folds: int) -> np.ndarray:
        """Number of each case's block: neighbours in time, in blocks with as many cases each."""
        return np.arange(len(self.trails)) * folds // max(len(self.trails), 1)

    def outside(self, judged: np.ndarray, purge: float) -> np.ndarray:
        """The cases that may teach what is judged on others: those that lie `purge` seconds and more from all of them.

        Alarms of one moment are about one thing, whatever block they fall into.
        """
        begin, end = (np.array([one.moments[k] for one in self.trails]) for k in (0, -1))
        reach = purge * 1e6
        near = (begin[:, None] <= end[judged] + reach) & (end[:, None] >= begin[judged] - reach)
        return ~judged & ~near.any(axis=1)

    def delays(self, told: list[pd.DataFrame]) -> np.ndarray:
        """Seconds from each case's start to the first alarm told within it; NaN where there is none.

        Parameters
        ----------
        told : list of DataFrame
            Alarms of a changed policy for each of `thresholds`.
        """
        starts = {
            (policy, entity): np.sort(own["start"].dt.as_unit("us").astype("int64").to_numpy())
            for policy, alarms in enumerate(told)
            for entity, own in alarms.groupby("entity")
        }
        delays = np.full(len(self.trails), np.nan)
        for k, (one, policy) in enumerate(zip(self.trails, self.policy, strict=True)):
            own = starts.get((policy, one.entity), np.empty(0, dtype=np.int64))
            at = np.searchsorted(own, one.moments[0])
            if at < len(own) and own[at] <= one.moments[-1]:
                delays[k] = (own[at] - one.moments[0]) / 1e6
        return delays


def cases(
    scores: pd.Series,
    threshold: float | Mapping[str, float],
    labels: pd.DataFrame,
    *,
    score_metrics: pd.DataFrame | None = None,
    topology: pd.DataFrame | None = None,
    **rules: Any,
) -> Cases:
    """Find the alarms that labels speak of, as the policy in force tells them and as looser thresholds did.

    Parameters
    ----------
    scores : Series of float64, (entity, timestamp)
        Of one detector, named after it. They must be of rows that the detector had not learnt: alarms on those that it
        had are other ones.
    threshold : float or mapping of entity to float
        In force.
    labels : DataFrame
        The contract's `alarm_labels`; the newest of an alarm holds, and those of other detectors are passed over. An
        alarm is told by detector, entity and start; one without a label takes the newest of those that begin while it
        goes on, such as that of an alarm which a screen had held back until then.
    score_metrics, topology, **rules
        As for `raise_alarms`: the policy in force without what was accepted of earlier proposals, as a new one takes
        their place. So what they hold back is a case, too, and a label that contests it is heard.

    Returns
    -------
    Cases

    Raises
    ------
    ContractError
        For labels that break their contract, and thresholds that are not above 0.
    """
    scores, told = check_scores(scores), standing_labels(validate(labels, "alarm_labels"))
    told = told[told["detector"] == scores.name]
    policy = AlarmPolicy(threshold, **rules)
    for entity in scores.index.unique("entity"):
        if not policy.limit(entity) > 0:
            remedy, got = "what is learnt is measured in thresholds", f"{policy.limit(entity)} of {entity!r}"
            raise ContractError(column="threshold", expected="above 0", got=got, remedy=remedy)
    said = dict(zip(zip(told["entity"], told["start"], strict=True), told["label"], strict=True))
    more = {"score_metrics": score_metrics, "topology": topology, **rules}
    thresholds = [threshold, *_looser(told, policy)]
    found = []
    for place, one in enumerate(thresholds):
        own = {**more, "times": 1.0} if place else more  # a threshold that a label names is multiplied already
        every = trails(scores, pd.Series(dict(one)) if isinstance(one, Mapping) else one, **own)
        found += [(trail, said.get((trail.entity, trail.start)), place) for trail in every]
    used = {(trail.entity, trail.start) for trail, label, _ in found if label is not None}
    missed = [key not in used for key in zip(told["entity"], told["start"], strict=True)]
    late = told[np.array(missed, dtype=bool)].sort_values("labelled_at")
    for k, (trail, label, place) in enumerate(found):
        within = late[(late["entity"] == trail.entity) & late["start"].between(trail.start, trail.end)]
        if label is None and not place and len(within):
            found[k] = (trail, within["label"].iloc[-1], place)
            used |= set(zip(within["entity"], within["start"], strict=True))
    kept = [case for case in found if case[1] in KINDS]
    kept.sort(key=lambda case: case[0].moments[0])
    return Cases(
        tuple(trail for trail, _, _ in kept),
        np.array([label == "confirmed" for _, label, _ in kept], dtype=bool),
        np.array([place for _, _, place in kept], dtype=np.int64),
        tuple(thresholds),
        tuple(len({(one.entity, one.start) for one, label, _ in kept if label == kind}) for kind in KINDS),
        sum(label == "unsure" for _, label, place in found if not place),
        sum(label is None for _, label, place in found if not place),
        len(said.keys() - used),
    )


def raised(scores: pd.Series, found: Cases, change: Mapping[str, Any], **rules: Any) -> list[pd.DataFrame]:
    """Raise the alarms of a changed policy anew, for each threshold of the cases; those that are told."""
    told = []
    for place, one in enumerate(found.thresholds):
        own = {**rules, **({"times": 1.0} if place else {}), **change}
        alarms = raise_alarms(scores, pd.Series(dict(one)) if isinstance(one, Mapping) else one, **own)
        told.append(alarms[alarms["suppressed_by"] == ""])
    return told


def _looser(told: pd.DataFrame, policy: AlarmPolicy) -> list[float]:
    """Thresholds below that in force at which alarms were labelled."""
    known = told[told["entity"].notna() & told["threshold"].gt(0)]
    limits = known["entity"].map(lambda one: _limit(policy, one)).astype("float64")  # of no label it is text
    below = known[known["threshold"] < 0.999 * limits]
    return [float(one) for one in below["threshold"].value_counts().index[:LOOSER]]


def _limit(policy: AlarmPolicy, entity: str) -> float:
    """The threshold of an entity; 0 where it has none, and no label of it can be looser."""
    known = not isinstance(policy.threshold, Mapping) or entity in policy.threshold
    return policy.limit(entity) if known else 0.0
