"""Every judgement, with its interval."""

from stability.evaluation.ablation import ablate, mean_share
from stability.evaluation.affiliation import affiliated_events, affiliation_estimates
from stability.evaluation.budgets import BudgetEstimates, BudgetThreshold, budget_estimates, budget_threshold
from stability.evaluation.calibration import Calibration, calibration_estimates, reliability_curve
from stability.evaluation.comparison import compare, compare_events, comparison_sentences, gain_sentence
from stability.evaluation.costs import (
    CheapestThreshold,
    CostCurve,
    CostEstimate,
    cheapest_threshold,
    cost_curve,
    cost_estimate,
)
from stability.evaluation.events import event_estimates, event_scores, event_sums
from stability.evaluation.intervals import (
    Estimate,
    NotEnoughEvidence,
    exact_interval,
    percentile_estimate,
    poisson_interval,
    wilson_interval,
)
from stability.evaluation.lead_time import LeadTimes, lead_estimates, lead_times
from stability.evaluation.localization import (
    LocalizationScores,
    chance_top,
    expected_hits,
    localization_scores,
    log_score_gain,
    specificity,
    top_difference,
    true_ranks,
)
from stability.evaluation.matching import Matches, match_events, predicted_alarms
from stability.evaluation.nab import NAB_PROFILES, NabProfile, NabScore, nab_interval, nab_score
from stability.evaluation.nab_folds import NabHeldOut, nab_held_out, nab_held_out_difference
from stability.evaluation.pairs import Difference, holm, paired_difference
from stability.evaluation.probabilities import BrierParts, brier_parts, brier_score, log_score
from stability.evaluation.ranges import range_estimates, range_scores
from stability.evaluation.ranking import PrAuc, average_precision, pr_auc, precision_recall
from stability.evaluation.remaining import nasa_score, remaining_difference, remaining_estimates
from stability.evaluation.resampling import bootstrap_interval, resample_counts, resampling_units
from stability.evaluation.responsible import responsible_hits
from stability.evaluation.rivals import (
    Recommendation,
    compare_rankings,
    every_pair,
    pr_auc_difference,
    recommend,
)
from stability.evaluation.spans import flags_to_intervals, label_rows, observed_spans
from stability.evaluation.truth import labelled_intervals
from stability.evaluation.vus import find_length, vus_difference, vus_interval, vus_pr, vus_roc, vus_scores
from stability.evaluation.warned import warned_events, warnings_at

__all__ = [
    "NAB_PROFILES",
    "BrierParts",
    "BudgetEstimates",
    "BudgetThreshold",
    "Calibration",
    "CheapestThreshold",
    "CostCurve",
    "CostEstimate",
    "Difference",
    "Estimate",
    "LeadTimes",
    "LocalizationScores",
    "Matches",
    "NabHeldOut",
    "NabProfile",
    "NabScore",
    "NotEnoughEvidence",
    "PrAuc",
    "Recommendation",
    "ablate",
    "affiliated_events",
    "affiliation_estimates",
    "average_precision",
    "bootstrap_interval",
    "brier_parts",
    "brier_score",
    "budget_estimates",
    "budget_threshold",
    "calibration_estimates",
    "chance_top",
    "cheapest_threshold",
    "compare",
    "compare_events",
    "compare_rankings",
    "comparison_sentences",
    "cost_curve",
    "cost_estimate",
    "event_estimates",
    "event_scores",
    "event_sums",
    "every_pair",
    "exact_interval",
    "expected_hits",
    "find_length",
    "flags_to_intervals",
    "gain_sentence",
    "holm",
    "label_rows",
    "labelled_intervals",
    "lead_estimates",
    "lead_times",
    "localization_scores",
    "log_score",
    "log_score_gain",
    "match_events",
    "mean_share",
    "nab_held_out",
    "nab_held_out_difference",
    "nab_interval",
    "nab_score",
    "nasa_score",
    "observed_spans",
    "paired_difference",
    "percentile_estimate",
    "poisson_interval",
    "pr_auc",
    "pr_auc_difference",
    "precision_recall",
    "predicted_alarms",
    "range_estimates",
    "range_scores",
    "recommend",
    "reliability_curve",
    "remaining_difference",
    "remaining_estimates",
    "resample_counts",
    "resampling_units",
    "responsible_hits",
    "specificity",
    "top_difference",
    "true_ranks",
    "vus_difference",
    "vus_interval",
    "vus_pr",
    "vus_roc",
    "vus_scores",
    "warned_events",
    "warnings_at",
    "wilson_interval",
]
