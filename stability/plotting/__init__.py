"""Every figure: takes frames, returns matplotlib Axes; one palette, units on every axis, time in UTC."""

from stability.plotting.availability import (
    plot_budget_course,
    plot_downtime,
    plot_placement,
    plot_policies,
    plot_replicas,
)
from stability.plotting.decomposition import plot_components, plot_residuals, plot_season, plot_strength
from stability.plotting.detection import (
    plot_alarm,
    plot_band,
    plot_budgets,
    plot_comparison,
    plot_detection,
    plot_false_alarm_rate,
)
from stability.plotting.drift import plot_drift, plot_performance, plot_rounds
from stability.plotting.explanation import plot_contributions, plot_importance
from stability.plotting.faults import mark_faults
from stability.plotting.feedback import plot_experience, plot_messages, plot_noticed
from stability.plotting.fmea import plot_pareto, plot_rating_bounds, plot_rating_course, plot_rating_matrix
from stability.plotting.judgement import plot_differences, plot_lead_times, plot_reliability
from stability.plotting.knowledge import plot_knowledge
from stability.plotting.localization import plot_evidence, plot_onsets, plot_topology
from stability.plotting.logs import plot_log_counts
from stability.plotting.populations import plot_histograms, plot_kinds
from stability.plotting.prediction import plot_costs, plot_leads, plot_precision_recall, plot_significance
from stability.plotting.quality import plot_quality
from stability.plotting.relations import plot_correlation, plot_distribution
from stability.plotting.repair import plot_impact, plot_slots
from stability.plotting.rules import plot_redundancy, plot_rule_leads, plot_rule_scores, plot_tuned
from stability.plotting.series import plot_fleet, plot_panel, plot_series
from stability.plotting.style import COLOURS, PALETTE, style

__all__ = [
    "COLOURS",
    "PALETTE",
    "mark_faults",
    "plot_alarm",
    "plot_band",
    "plot_budget_course",
    "plot_budgets",
    "plot_comparison",
    "plot_components",
    "plot_contributions",
    "plot_correlation",
    "plot_costs",
    "plot_detection",
    "plot_differences",
    "plot_distribution",
    "plot_downtime",
    "plot_drift",
    "plot_evidence",
    "plot_experience",
    "plot_false_alarm_rate",
    "plot_fleet",
    "plot_histograms",
    "plot_impact",
    "plot_importance",
    "plot_kinds",
    "plot_knowledge",
    "plot_lead_times",
    "plot_leads",
    "plot_log_counts",
    "plot_messages",
    "plot_noticed",
    "plot_onsets",
    "plot_panel",
    "plot_pareto",
    "plot_performance",
    "plot_placement",
    "plot_policies",
    "plot_precision_recall",
    "plot_quality",
    "plot_rating_bounds",
    "plot_rating_course",
    "plot_rating_matrix",
    "plot_redundancy",
    "plot_reliability",
    "plot_replicas",
    "plot_residuals",
    "plot_rounds",
    "plot_rule_leads",
    "plot_rule_scores",
    "plot_season",
    "plot_series",
    "plot_significance",
    "plot_slots",
    "plot_strength",
    "plot_topology",
    "plot_tuned",
    "style",
]
