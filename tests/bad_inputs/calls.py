"""Parameters of the package's functions that cannot be, and data from which nothing can be learnt."""

import numpy as np
import pandas as pd
import yaml
from workbenches import CHECKOUT

from bad_inputs.cases import Case
from stability import datasets, decomposition, detection, evaluation, plotting, schema, simulate, telemetry
from stability.evaluation import NotEnoughEvidence

__all__ = ["CALLS"]

CALLS: list[Case] = []
INF, NAN = float("inf"), float("nan")


def add(name, call, *says, error=schema.ContractError, answer=None):
    """A call that meets the input."""
    CALLS.append(Case(f"call-{name}", lambda folder: call, says, error=error, answer=answer))


def panel(values=None, *, entities=("a", "b"), rows=240, step="1min", columns=("load", "errors_total")):
    """Telemetry of a fleet: noise, or one value."""
    times = pd.date_range("2026-01-01", periods=rows, freq=step, tz="UTC", unit="us")
    index = pd.MultiIndex.from_product([entities, times], names=["entity", "timestamp"])
    if values is None:
        values = np.random.default_rng(5).normal(5, 1, (len(index), len(columns)))
    return pd.DataFrame(values, index=index, columns=list(columns), dtype="float64")


def scores(values=None, **kwargs):
    """Scores of one detector."""
    return panel(values, columns=("mean_shift",), **kwargs)["mean_shift"]


def windows(*pairs, entity="a"):
    """Labelled windows, in minutes after the start."""
    at = [(pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(minutes=x) for x in pair) for pair in pairs]
    return pd.DataFrame([(entity, *pair) for pair in at], columns=["entity", "start", "end"])


EMPTY = panel().iloc[:0]
NOTHING = panel(NAN)
FLAT = panel(7.0)
SHORT = panel(rows=2)
NAIVE = panel().set_axis(panel().index.set_levels(panel().index.levels[1].tz_localize(None), level=1))
LABELS = pd.Series(False, index=scores().index)

# The grid and rates.
for kind, step in {
    "zero": 0,
    "negative": "-1min",
    "word": "soon",
    "nan": NAN,
    "inf": INF,
    "none": None,
    "tiny": 1e-9,
    "list": [1],
    "flag": True,
    "huge": 1e300,
}.items():
    add(f"regularize-step-{kind}", lambda s=step: telemetry.regularize(panel(), s), "step", "a length of time")
add("regularize-too-fine", lambda: telemetry.regularize(panel(step="30D"), "1ms"), "a grid of at most", "a longer step")
add("regularize-gaps", lambda: telemetry.regularize(panel(), 60, gaps="held", limit=60), "did you mean 'hold'")
add("regularize-no-limit", lambda: telemetry.regularize(panel(), 60, gaps="hold"), "limit")
add("regularize-limit-alone", lambda: telemetry.regularize(panel(), 60, limit=60), "gaps='hold'")
add("regularize-limit-negative", lambda: telemetry.regularize(panel(), 60, gaps="hold", limit="-5min"), "limit")
add("regularize-metric", lambda: telemetry.regularize(panel(), 60, aggregation={"lod": "max"}), "did you mean 'load'")
add("regularize-how", lambda: telemetry.regularize(panel(), 60, aggregation={"load": "maximum"}), "'load'", "max")
add("regularize-aggregation-text", lambda: telemetry.regularize(panel(), 60, aggregation="max"), "aggregation")
add("regularize-until-naive", lambda: telemetry.regularize(panel(), 60, until="2026-01-01"), "until", "zone")
add("regularize-until-word", lambda: telemetry.regularize(panel(), 60, until="tomorrow"), "until")
add("regularize-naive", lambda: telemetry.regularize(NAIVE, 60), "zone")
add("regularize-list", lambda: telemetry.regularize([1, 2], 60), "a pandas DataFrame")
add("regularize-nothing", lambda: telemetry.regularize(EMPTY, 60), answer=lambda got: got.empty)
add("two-sided-limit", lambda: telemetry.regularize_two_sided(panel(), 60, limit=0), "limit")
add("rate-gap", lambda: telemetry.rate(panel(), max_gap="-1h"), "max_gap")
add("rate-taken", lambda: telemetry.rate(panel(columns=("errors_total", "errors_per_second"))), "errors_per_second")
add("rate-nothing", lambda: telemetry.rate(NOTHING), answer=lambda got: got.isna().all(axis=None))
add("is-counter", lambda: telemetry.is_counter("2 x"), "'2 x'")

# Quality.
add("quality-nothing", lambda: telemetry.quality_report(EMPTY), answer=lambda got: got.empty)
add(
    "quality-all-missing",
    lambda: telemetry.quality_report(NOTHING),
    answer=lambda got: got["not_applicable"].all() and got["coverage"].isna().all(),
)
add(
    "quality-one-row",
    lambda: telemetry.quality_report(panel(rows=1)),
    answer=lambda got: got["interval_seconds"].isna().all(),
)
add("quality-step", lambda: telemetry.quality_report(panel(), step=-5), "step")
add("quality-now", lambda: telemetry.quality_report(panel(), now="2026-01-01"), "now")
add(
    "quality-text",
    lambda: telemetry.quality_report(panel().astype("str").replace(to_replace=r"^4.*", value="x", regex=True)),
    "a number",
)
add("quality-no-frame", lambda: telemetry.quality_report({"x": 1}), "a pandas DataFrame")
add("quality-naive", lambda: telemetry.quality_report(NAIVE), "zone")
add("quality-events-nothing", lambda: telemetry.quality_events(EMPTY), answer=lambda got: got.empty)

# Decomposition.
parts_missing = lambda got: got[["trend", "seasonal", "resid"]].isna().all(axis=None)  # noqa: E731
add("decompose-method", lambda: decomposition.decompose(panel(), method="stll"), "method")
add("decompose-seasonal-even", lambda: decomposition.decompose(panel(), seasonal=8), "seasonal")
add("decompose-seasonal-small", lambda: decomposition.decompose(panel(), seasonal=3), "seasonal")
add("decompose-resolution", lambda: decomposition.decompose(panel(), resolution=1), "resolution")
add("decompose-trend", lambda: decomposition.decompose(panel(), trend=-1.0), "trend")
for kind, periods in {
    "negative": [-60],
    "zero": [0],
    "nan": [NAN],
    "text": ["1h"],
    "too-short": [61],
    "word": "1h",
    "number": 3600,
    "unknown-metric": {"lod": [3600]},
}.items():
    add(
        f"decompose-periods-{kind}",
        lambda p=periods: decomposition.decompose(panel(), periods=p),
        "periods" if kind != "unknown-metric" else "load",
    )
add("decompose-nothing", lambda: decomposition.decompose(EMPTY), answer=lambda got: got.empty)
add("decompose-all-missing", lambda: decomposition.decompose(NOTHING), answer=parts_missing)
add("decompose-short", lambda: decomposition.decompose(SHORT), answer=parts_missing)
add("decompose-inf", lambda: decomposition.decompose(panel(INF)), "a finite number")
add(
    "decompose-flat",
    lambda: decomposition.decompose(FLAT),
    answer=lambda got: np.allclose(got["resid"], 0) and np.allclose(got["trend"], 7),
)
add("periods-flat", lambda: decomposition.find_periods(scores(7.0, entities=("a",))), answer=lambda got: got == [])
add("periods-missing", lambda: decomposition.find_periods(scores(NAN, entities=("a",))), answer=lambda got: got == [])
add("periods-nothing", lambda: decomposition.find_periods(scores().iloc[:0]), answer=lambda got: got == [])
add("periods-many", lambda: decomposition.find_periods(scores()), "one entity", "period_table")
add("periods-list", lambda: decomposition.find_periods([1, 2, 3]), "Series")
for kind, options in {
    "cycles": {"min_cycles": 1},
    "alpha": {"alpha": 2},
    "shortest": {"shortest": -1},
    "longest": {"longest": "1d"},
    "agreement": {"min_agreement": 3},
    "count": {"max_periods": -1},
}.items():
    add(
        f"periods-{kind}",
        lambda o=options: decomposition.find_periods(scores(entities=("a",)), **o),
        next(iter(options)),
    )
add("period-table-setting", lambda: decomposition.period_table(panel(), min_cicles=3), "min_cycles")
for kind, options in {
    "cycles": {"season_cycles": 0},
    "clip": {"clip": NAN},
    "level": {"level_time": -5},
    "resolution": {"resolution": 2},
    "periods": {"periods": [-1]},
}.items():
    add(f"causal-{kind}", lambda o=options: decomposition.CausalDecomposition(**o).fit(panel()), next(iter(options)))
add("causal-unfitted", lambda: decomposition.CausalDecomposition().transform(panel()), "fit")
add("causal-empty", lambda: decomposition.CausalDecomposition().fit(EMPTY), "rows")
add("strength-nothing", lambda: decomposition.strength(schema.empty("components")), answer=lambda got: got.empty)
add("strength-of-telemetry", lambda: decomposition.strength(panel()), "metric")

# Detectors: the whole registry meets the same.
for name, make in detection.DETECTORS.items():
    add(f"{name}-empty", lambda m=make: m().fit(EMPTY), "rows")
    add(f"{name}-unfitted", lambda m=make: m().score(panel()), "fit")
    add(
        f"{name}-unknown-metric",
        lambda m=make: m().fit(panel(columns=("load",))).score(panel(columns=("lod",))),
        "did you mean 'load'",
    )
    add(f"{name}-naive", lambda m=make: m().fit(NAIVE), "zone")
    add(f"{name}-no-frame", lambda m=make: m().fit(None), "a pandas DataFrame")
for variant in ("global", "windowed", "recursive"):
    add(
        f"mean-shift-{variant}-short",
        lambda v=variant: detection.MeanShift(variant=v).fit(SHORT),
        "at least 30",
        "a longer history",
    )
    add(f"mean-shift-{variant}-missing", lambda v=variant: detection.MeanShift(variant=v).fit(NOTHING), "at least 30")
for kind, options in {
    "variant": {"variant": "globl"},
    "forgetting": {"forgetting": 0},
    "warmup": {"warmup": 1},
    "floor": {"floor": -1},
    "window": {"variant": "windowed", "window": 3},
    "forgetting-nan": {"forgetting": NAN},
    "warmup-text": {"warmup": "30"},
    "floor-nan": {"floor": NAN},
}.items():
    add(f"mean-shift-{kind}", lambda o=options: detection.MeanShift(**o), kind.split("-")[0])
add("gaussian-window", lambda: detection.WindowedGaussian(window=0), "window")
add("gaussian-step", lambda: detection.WindowedGaussian(step=-1), "step")
add(
    "gaussian-short",
    lambda: detection.WindowedGaussian().fit(SHORT).score(SHORT.iloc[:1]),
    answer=lambda got: len(got) == 1,
)
add("held-back-folds", lambda: detection.held_back_scores(detection.MeanShift(), panel(), folds=0), "folds")
add("held-back-empty", lambda: detection.held_back_scores(detection.MeanShift(), EMPTY), "rows")
add("k-method", lambda: detection.choose_k(scores(), false_alarms_per_day=1, method="tails"), "did you mean 'tail'")
add("k-negative", lambda: detection.choose_k(scores(), false_alarms_per_day=-1), "false_alarms_per_day")
add("k-nan", lambda: detection.choose_k(scores(), false_alarms_per_day=NAN), "false_alarms_per_day")
add("k-empty", lambda: detection.choose_k(scores().iloc[:0], false_alarms_per_day=1), error=NotEnoughEvidence)
add("k-missing", lambda: detection.choose_k(scores(NAN), false_alarms_per_day=1), error=NotEnoughEvidence)
add("k-short", lambda: detection.choose_k(scores(rows=3), false_alarms_per_day=1), error=NotEnoughEvidence)
add("k-level", lambda: detection.choose_k(scores(), false_alarms_per_day=1, level=2), "level")
add("k-flat", lambda: detection.choose_k(scores(0.0), false_alarms_per_day=0.01), error=NotEnoughEvidence)
add(
    "k-quantile-short",
    lambda: detection.choose_k(scores(rows=100), false_alarms_per_day=0.001, method="quantile"),
    error=NotEnoughEvidence,
)
add("tail-empty", lambda: detection.fit_tail(np.array([])), error=NotEnoughEvidence)
add("tail-negative", lambda: detection.fit_tail(np.array([-1.0, -2.0])), "excesses")
for kind in ("merge", "minimum_duration", "refractory"):
    add(f"alarms-{kind}", lambda k=kind: detection.raise_alarms(scores(), 1.0, **{k: -1}), kind, "seconds")
add("alarms-no-name", lambda: detection.raise_alarms(scores().rename(None), 1.0), "name")
add("alarms-entity", lambda: detection.raise_alarms(scores(), pd.Series({"a": 1.0})), "'b'")
add("alarms-threshold-nan", lambda: detection.raise_alarms(scores(), NAN), "threshold")
add("alarms-threshold-text", lambda: detection.raise_alarms(scores(), "high"), "threshold")
add("alarms-nothing", lambda: detection.raise_alarms(scores(NAN), 1.0), answer=lambda got: got.empty)

# The judge.
add("wilson-none", lambda: evaluation.wilson_interval(0, 0), error=NotEnoughEvidence)
add("wilson-more", lambda: evaluation.wilson_interval(5, 3), "successes")
add("wilson-negative", lambda: evaluation.wilson_interval(-1, 3), "successes")
add("wilson-nan", lambda: evaluation.wilson_interval(NAN, 3), "successes")
add("wilson-confidence", lambda: evaluation.wilson_interval(1, 3, confidence=95), "confidence")
add("poisson-none", lambda: evaluation.poisson_interval(0, 0), error=NotEnoughEvidence)
add("poisson-negative", lambda: evaluation.poisson_interval(-1, 3), "count")
add("poisson-exposure", lambda: evaluation.poisson_interval(1, -3), "exposure")
add("poisson-nan", lambda: evaluation.poisson_interval(1, NAN), "exposure")
add("bootstrap-few", lambda: evaluation.bootstrap_interval(np.mean, np.arange(2.0)), error=NotEnoughEvidence)
add("bootstrap-none", lambda: evaluation.bootstrap_interval(np.mean, np.array([])), error=NotEnoughEvidence)
add("bootstrap-no-sample", lambda: evaluation.bootstrap_interval(np.mean), "samples")
add(
    "bootstrap-lengths",
    lambda: evaluation.bootstrap_interval(np.corrcoef, np.arange(9.0), np.arange(8.0)),
    "one length",
)
add("bootstrap-block", lambda: evaluation.bootstrap_interval(np.mean, np.arange(9.0), block=0), "block")
add(
    "bootstrap-long-block",
    lambda: evaluation.bootstrap_interval(np.mean, np.arange(9.0), block=9),
    error=NotEnoughEvidence,
)
TWO_DAYS = panel(rows=2880, entities=("a",), columns=("load",))
ONE_HOUR = {"unit": "block", "block": "1h"}
HOURLY = windows(*((start, start + 9) for start in range(30, 2880, 120)))
PEAKS = scores(rows=2880, entities=("a",)) > 6
JUDGES = {
    "bootstrap": lambda **k: evaluation.bootstrap_interval(np.mean, np.arange(9.0), **k),
    "events": lambda **k: evaluation.event_estimates(HOURLY, HOURLY, TWO_DAYS, **ONE_HOUR, **k),
    "ranges": lambda **k: evaluation.range_estimates(HOURLY, HOURLY, TWO_DAYS, **ONE_HOUR, **k),
    "ranking": lambda **k: evaluation.pr_auc(PEAKS * 1.0, PEAKS, **ONE_HOUR, **k),
    "calibration": lambda **k: evaluation.calibration_estimates(PEAKS * 1.0, PEAKS, **ONE_HOUR, **k),
    "reliability": lambda **k: evaluation.reliability_curve(PEAKS * 1.0, PEAKS, **ONE_HOUR, **k),
    "compare": lambda **k: evaluation.compare(pd.DataFrame({"old": range(9), "new": range(1, 10)}), "old", **k),
}
for name, judge in JUDGES.items():
    for kind, options, said in (
        ("resamples", {"resamples": 0}, "a whole number from 1 up, got 0"),
        ("resamples-share", {"resamples": 0.5}, "a whole number from 1 up, got 0.5"),
        ("confidence", {"confidence": 95}, "between 0 and 1, got 95"),
        ("confidence-text", {"confidence": "95 %"}, "between 0 and 1, got 95 %"),
        ("seed", {"seed": -1}, "a whole number from 0 up, got -1"),
        ("seed-none", {"seed": None}, "a whole number from 0 up"),  # chance that nobody can repeat
    ):
        add(f"{name}-{kind}", lambda j=judge, o=options: j(**o), kind.split("-")[0], said)
add("bootstrap-missing", lambda: evaluation.bootstrap_interval(np.mean, np.full(9, NAN)), error=NotEnoughEvidence)
add("bootstrap-scalar", lambda: evaluation.bootstrap_interval(np.mean, 5.0), "samples")
add("ranking-negative-only", lambda: evaluation.pr_auc(scores(), LABELS), "both classes", error=NotEnoughEvidence)
add("ranking-positive-only", lambda: evaluation.pr_auc(scores(), ~LABELS), "both classes", error=NotEnoughEvidence)
add("ranking-empty", lambda: evaluation.pr_auc(scores().iloc[:0], LABELS.iloc[:0]), error=NotEnoughEvidence)
add("ranking-index", lambda: evaluation.pr_auc(scores(), LABELS.iloc[1:]), "the index of the scores")
add("ranking-numbers", lambda: evaluation.pr_auc(scores(), LABELS.astype(int)), "True or False")
add("ranking-one-day", lambda: evaluation.pr_auc(scores(), scores() > 5.5), error=NotEnoughEvidence)
add("ranking-unit", lambda: evaluation.pr_auc(scores(), scores() > 5.5, unit="host"), "unit")
add("ranking-block", lambda: evaluation.pr_auc(scores(), scores() > 5.5, unit="block", block="-1h"), "block")
add("precision-shape", lambda: evaluation.average_precision(np.zeros(3), np.zeros(4, bool)), "one for each score")
add("precision-text", lambda: evaluation.average_precision(np.array(["a", "b"]), np.array([True, False])), "scores")
ALARMS = windows((10, 12))
for kind, options in {
    "early": {"early": "-5min"},
    "late": {"late": "soon"},
    "match": {"match": "overlaps"},
    "early-number": {"early": None},
}.items():
    add(
        f"events-{kind}",
        lambda o=options: evaluation.event_scores(ALARMS, windows((11, 20)), panel(), **o),
        kind.split("-")[0],
    )
add(
    "events-entity",
    lambda: evaluation.event_scores(ALARMS, windows((11, 20), entity="z"), panel()),
    "entities that were observed",
    "z",
)
add(
    "events-backwards",
    lambda: evaluation.event_scores(ALARMS, windows((20, 11)), panel()),
    "row 1",
    "not after the end",
)
add("events-column", lambda: evaluation.event_scores(ALARMS.drop(columns="start"), windows((11, 20)), panel()), "start")
add("events-no-time", lambda: evaluation.event_scores(ALARMS, windows((11, 20)), EMPTY), "a longer record")
add("events-one-row", lambda: evaluation.event_scores(ALARMS, windows((11, 20)), panel(rows=1)), "a longer record")
add(
    "events-disorder",
    lambda: evaluation.event_scores(ALARMS, windows((11, 20)), panel().iloc[::-1]),
    "sorted",
    "sort_index",
)
add(
    "events-none",
    lambda: evaluation.event_scores(ALARMS.iloc[:0], windows(), panel()),
    answer=lambda got: np.isnan(got["recall"]) and np.isnan(got["precision"]),
)
add(
    "events-estimates-few",
    lambda: evaluation.event_estimates(ALARMS, windows((11, 20)), panel()),
    error=NotEnoughEvidence,
)
add("nab-no-window", lambda: evaluation.nab_score(scores(), windows()), error=NotEnoughEvidence)
add("nab-profile", lambda: evaluation.nab_score(scores(), windows((100, 120)), "standrd"), "did you mean 'standard'")
add("nab-overlap", lambda: evaluation.nab_score(scores(), windows((100, 120), (110, 130))), "share no row")
add("nab-index", lambda: evaluation.nab_score(pd.Series([1.0, 2.0]), windows()), "entity and timestamp")
add("labels-index", lambda: evaluation.label_rows(pd.RangeIndex(3), windows()), "entity and timestamp")
add("labels-column", lambda: evaluation.label_rows(panel().index, pd.DataFrame({"entity": ["a"]})), "start")
add("flags-numbers", lambda: evaluation.flags_to_intervals(scores()), "True or False")
add("flags-gap", lambda: evaluation.flags_to_intervals(LABELS, max_gap="-5min"), "max_gap")
add("spans-missing", lambda: evaluation.observed_spans(NOTHING), "a longer record")
add("units-unit", lambda: evaluation.resampling_units(panel().index, unit="day"), "unit")

# Names and files of the package's own.
add("dataset-unknown", lambda: datasets.load("smple"), "did you mean 'sample'")
add("dataset-none", lambda: datasets.load(None), "the name of a dataset")
add("dataset-option", lambda: datasets.load("sample", file="x"), "an option of dataset 'sample'")
add("dataset-list", lambda: datasets.load(["sample"]), "the name of a dataset")
add("dataset-fetch-files", lambda: datasets.fetch("files"), "nothing to fetch")
add("dataset-check-unknown", lambda: datasets.check("nap"), "did you mean 'nab'")
add("table-missing", lambda: schema.read_table("gone.parquet"), "gone.parquet", "no file")
add(
    "table-metadata",
    lambda: schema.write_table(panel(), "x.parquet", "telemetry", metadata={"at": pd.Timestamp("2026-01-01")}),
    "JSON",
)
add("table-reserved", lambda: schema.write_table(panel(), "x.parquet", "telemetry", metadata={"table": "x"}), "'table'")
add(
    "table-fitted-on",
    lambda: schema.write_table(panel(), "x.parquet", "telemetry", fitted_on={"entitie": []}),
    "entities",
)
add(
    "table-fitted-naive",
    lambda: schema.write_table(panel(), "x.parquet", "telemetry", fitted_on={"entities": ["a"], "until": "2026-01-01"}),
    "zone",
)
add("table-objects", lambda: schema.write_table(pd.DataFrame({"x": [object()]}), "x.parquet", "other"), "x.parquet")
add(
    "overlap",
    lambda: schema.refuse_overlap({"entities": ["a"], "until": "2027-01-01T00:00:00Z"}, panel()),
    "row 1",
    "test on later rows",
)
add("metric-name", lambda: schema.metric("a b"), "'a b'")
add("coerce-dtype", lambda: schema.coerce_column(pd.Series([1]), "float32"), "float64")
add("plot-nothing", lambda: plotting.plot_quality(EMPTY, telemetry.quality_report(EMPTY)), "at least one sample")
add("plot-entity", lambda: plotting.plot_panel(panel(), entity="c"), "the name of one entity")
add("plot-distribution-metric", lambda: plotting.plot_distribution(panel(), metrics=["lod"]), "did you mean 'load'")
add("plot-distribution-none", lambda: plotting.plot_distribution(NOTHING, metrics=["load"]), "load", "a value of it")
add("plot-metric", lambda: plotting.plot_fleet(panel(), "lod"), "load")

# Scenarios.
SAMPLE = yaml.safe_load((CHECKOUT / "data" / "scenarios" / "sample.yaml").read_text())
CHANGES = {
    "no-name": ({"name": None}, "name"),
    "bad-name": ({"name": "a b"}, "name"),
    "unknown": ({"servces": {}}, "services"),
    "start-naive": ({"start": "2026-01-01"}, "start"),
    "start-word": ({"start": "soon"}, "start"),
    "duration-number": ({"duration": 5}, "duration"),
    "duration-negative": ({"duration": "-1d"}, "duration"),
    "step-zero": ({"step": "0s"}, "step"),
    "step-day": ({"step": "1d"}, "step"),
    "seed-negative": ({"seed": -1}, "seed"),
    "seed-text": ({"seed": "x"}, "seed"),
    "host-memory": ({"hosts": {"cpu-1": {"memory": -1}}}, "expected greater than 0, got -1"),
    "host-gpu": ({"hosts": {"cpu-1": {"gpu": "perhaps"}}}, "expected true or false"),
    "misspelt": ({"duraton": "1d", "duration": None}, "did you mean 'duration'"),
    "services-empty": ({"services": {}}, "services"),
    "services-list": ({"services": []}, "services"),
    "faults-mapping": ({"faults": {"mode": "x"}}, "faults"),
    "fault-unknown": ({"faults": [{"mode": "memory_leek", "entity": "model-1", "start": "1h"}]}, "memory_leak"),
    "fault-late": ({"faults": [{"mode": "memory_leak", "entity": "model-1", "start": "9d"}]}, "entity"),
    "fault-entity": ({"faults": [{"mode": "memory_leak", "entity": "nobody", "start": "1h"}]}, "nobody"),
    "fault-intensity": (
        {"faults": [{"mode": "memory_leak", "entity": "model-1", "start": "1h", "intensity": -1}]},
        "intensity",
    ),
    "random-unknown": ({"random": {"faults": {"memory_leek": 1}}}, "memory_leak"),
    "random-many": ({"random": {"faults": {"memory_leak": 10**9}}}, "memory_leak"),
    "logs-negative": ({"logs": {"per_hour": -1}}, "per_hour"),
    "hosts-list": ({"hosts": ["a"]}, "hosts"),
}
for kind, (change, said) in CHANGES.items():
    add(f"scenario-{kind}", lambda c=change: simulate.simulate({**SAMPLE, **c}), said)
add("scenario-missing", lambda: simulate.simulate("sampl.yaml"), "sampl.yaml", "no file")
add("scenario-folder", lambda: simulate.simulate("/tmp"), "/tmp")
add("scenario-list", lambda: simulate.simulate([]), "scenario", "a YAML file")
add("scenario-none", lambda: simulate.simulate(None), "scenario", "a YAML file")
add("scenario-seed", lambda: simulate.simulate(SAMPLE, seed=-1), "seed")
add("scenario-endless", lambda: simulate.simulate({**SAMPLE, "duration": "100000D"}), "duration", "a longer step")
