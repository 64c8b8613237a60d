"""What is in the answers: how far the features have moved, how many answers are wrong, how sure the models are."""

from __future__ import annotations

__all__ = ["Answers", "answers"]

from dataclasses import dataclass

import numpy as np

from stability.simulate.effects import Effects
from stability.simulate.scenario import Scenario
from stability.simulate.streams import autocorrelated
from stability.simulate.topology import any_of, replica_rows

USUAL_WRONG = 0.045  # share of wrong answers of a good model on a good day
USUAL_DRIFT = 0.05  # population stability index that sampling alone gives; 0.1 is called small, 0.25 large
USUAL_MISSING = 0.006  # share of feature values that are missing on a good day
WRONG_BY_DRIFT = 0.28  # wrong answers by a stability index of 1
WRONG_BY_MISSING = 0.6  # and by a feature value that is missing
SURE = 0.86  # mean confidence of a good model
DOUBT_BY_DRIFT, DOUBT_BY_WRONG = 0.10, 0.12  # a model notices strange features more than its own errors


@dataclass
class Answers:
    """Arrays of shape (replicas, samples), NaN where a replica has nothing of the kind.

    `drift` is the population stability index of the features that a store serves or a model gets; `missing` the share
    of a store's feature values that are missing; `wrong` the probability that an answer is wrong, of models and of all
    that call them; `sure` a model's mean confidence.
    """

    drift: np.ndarray
    missing: np.ndarray
    wrong: np.ndarray
    sure: np.ndarray


def answers(scenario: Scenario, seed: int, effects: Effects, share: np.ndarray, down: np.ndarray) -> Answers:
    """Follow features and answers up the calls.

    A store's replicas each hold a part of the features, and a model gets them in the proportion in which it asks; what
    a model answers wrong is wrong for all that call it. None of it costs time: latency and errors do not show it.

    Parameters
    ----------
    scenario : Scenario
        The fleet.
    seed : int
        The seed.
    effects : Effects
        What acts on it.
    share, down : ndarray, shape (replicas, samples)
        Share of its service's requests that a replica gets, and whether it is away.

    Returns
    -------
    Answers
    """
    names, rows = list(scenario.replicas()), replica_rows(scenario)

    def driver(name: str) -> np.ndarray:
        return effects.driver(name)[: len(names)]

    def drawn(purpose: str, memory: float, sigma: float) -> np.ndarray:
        return np.exp(autocorrelated(seed, purpose, names, effects.length, memory=memory, sigma=sigma))

    shift = USUAL_DRIFT * drawn("shift", 0.99, 0.35)
    nulls = np.clip(USUAL_MISSING * drawn("nulls", 0.97, 0.4) + driver("missing"), 0, 1)
    wrong = np.clip(USUAL_WRONG * drawn("hard questions", 0.995, 0.16) + driver("wrong"), 0, 1)
    drift, missing, told, sure = (np.full(down.shape, np.nan) for _ in range(4))
    harmful, absent, moved, answered = {}, {}, {}, {}
    weight = share * ~down
    for name in scenario.order():
        service, here = scenario.services[name], rows[name]
        parts = weight[here] / np.maximum(weight[here].sum(axis=0), 1e-12)
        if service.role == "feature_store":
            drift[here] = shift[here] + driver("drift")[here] + driver("novelty")[here]
            missing[here] = nulls[here]
            harmful[name] = (parts * driver("drift")[here]).sum(axis=0)
            absent[name] = (parts * np.clip(nulls[here] - USUAL_MISSING, 0, None)).sum(axis=0)
            moved[name] = (parts * drift[here]).sum(axis=0)
        passed = _mixed(service.calls, answered)
        if service.role == "model_server":
            harm, gone, move = (_mixed(service.calls, what) for what in (harmful, absent, moved))
            told[here] = any_of(wrong[here], WRONG_BY_DRIFT * harm + WRONG_BY_MISSING * gone + passed)
            drift[here] = 0.5 * shift[here] + move
            worry = DOUBT_BY_DRIFT * drift[here] + DOUBT_BY_WRONG * driver("wrong")[here]
            sure[here] = np.clip(SURE - worry, 0, 1)
        elif answered.keys() & service.calls.keys():
            told[here] = passed
        if not np.isnan(told[here]).any():
            answered[name] = (parts * told[here]).sum(axis=0)
    return Answers(drift, missing, told, sure)


def _mixed(calls: dict[str, float], values: dict[str, np.ndarray]) -> np.ndarray | float:
    """Mean over the services called, weighted by how often they are; 0 where none of them has the value."""
    known = {name: ratio for name, ratio in calls.items() if name in values}
    return sum(ratio * values[name] for name, ratio in known.items()) / sum(known.values()) if known else 0.0
