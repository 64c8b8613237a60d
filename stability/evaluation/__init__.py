"""Every judgement, with its interval."""

from stability.evaluation.events import event_estimates, event_scores
from stability.evaluation.intervals import (
    Estimate,
    NotEnoughEvidence,
    bootstrap_interval,
    percentile_estimate,
    poisson_interval,
    resample_counts,
    resampling_units,
    wilson_interval,
)
from stability.evaluation.matching import Matches, match_events
from stability.evaluation.nab import NAB_PROFILES, NabProfile, NabScore, nab_interval, nab_score
from stability.evaluation.ranking import PrAuc, average_precision, pr_auc
from stability.evaluation.spans import flags_to_intervals, label_rows, observed_spans
from stability.evaluation.vus import find_length, vus_pr, vus_roc, vus_scores

__all__ = [
    "NAB_PROFILES",
    "Estimate",
    "Matches",
    "NabProfile",
    "NabScore",
    "NotEnoughEvidence",
    "PrAuc",
    "average_precision",
    "bootstrap_interval",
    "event_estimates",
    "event_scores",
    "find_length",
    "flags_to_intervals",
    "label_rows",
    "match_events",
    "nab_interval",
    "nab_score",
    "observed_spans",
    "percentile_estimate",
    "poisson_interval",
    "pr_auc",
    "resample_counts",
    "resampling_units",
    "vus_pr",
    "vus_roc",
    "vus_scores",
    "wilson_interval",
]
