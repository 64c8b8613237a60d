"""Events, exposure, ranking and intervals: equal to naive twins and to known numbers, within their bounds."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score

from stability.evaluation import (
    Estimate,
    NotEnoughEvidence,
    average_precision,
    bootstrap_interval,
    event_estimates,
    event_scores,
    flags_to_intervals,
    label_rows,
    match_events,
    observed_spans,
    percentile_estimate,
    poisson_interval,
    pr_auc,
    resample_counts,
    resampling_units,
    wilson_interval,
)
from stability.schema import ContractError, empty, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
fewer = settings(max_examples=15)
entities = st.sampled_from(["api-1", "api-2", "db-1"])
intervals = st.lists(
    st.tuples(entities, st.integers(0, 120), st.integers(0, 25)).map(lambda x: (x[0], x[1], x[1] + x[2])), max_size=8
)


def moments(seconds):
    return START + pd.to_timedelta(np.array(seconds, dtype="int64"), unit="s")


def frame(rows):
    """Intervals (entity, start, end) in seconds, as the workbench has them."""
    names, starts, ends = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame({"entity": pd.Series(names, dtype="str"), "start": moments(starts), "end": moments(ends)})


def seconds(stamps):
    return ((stamps - START) // pd.Timedelta("1s")).tolist()


def panel(days=1, names=("api-1",), freq="min"):
    stamps = pd.date_range(START, START + pd.Timedelta(days=days), freq=freq, inclusive="left", unit="us")
    index = pd.MultiIndex.from_product([names, stamps], names=["entity", "timestamp"])
    return pd.DataFrame({"up": 1.0}, index=index)


# --- spans ----------------------------------------------------------------------------------------------------------


@given(
    runs=st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=30),
    border=st.integers(0, 30),
    max_gap=st.sampled_from([None, 1, 4, 9]),
)
def test_intervals_of_flags_equal_the_naive_twin(runs, border, max_gap):
    stamps = np.cumsum([step for step, _ in runs]).tolist()
    names = ["a" if row < border else "b" for row in range(len(runs))]
    rows = list(zip(names, stamps, [flag for _, flag in runs], strict=True))
    index = pd.MultiIndex.from_arrays([names, moments(stamps)], names=["entity", "timestamp"])
    flags = pd.Series([flag for _, flag in runs], index=index)
    found = flags_to_intervals(flags, max_gap=None if max_gap is None else f"{max_gap}s")
    expected = naive.flags_to_intervals(rows, max_gap)
    assert found["entity"].tolist() == [entity for entity, _, _ in expected]
    assert seconds(found["start"]) == [start for _, start, _ in expected]
    assert seconds(found["end"]) == [end for _, _, end in expected]
    assert validate(found, "windows").equals(found)
    # The rows inside the intervals are the flagged ones, where nothing is split.
    if max_gap is None:
        assert label_rows(flags.index, found).tolist() == flags.tolist()


def test_no_flags_no_intervals():
    flags = pd.Series(False, index=panel().index)
    assert flags_to_intervals(flags).empty
    assert flags_to_intervals(flags.iloc[:0]).equals(empty("windows"))
    assert not label_rows(flags.index, empty("windows")).any()


def test_flags_that_are_none_are_refused():
    index = panel().index[:4]
    for flags in ([1.0, 0.0, 1.0, 0.0], pd.array([True, None, False, True], dtype="boolean")):
        with pytest.raises(ContractError, match="True or False"):
            flags_to_intervals(pd.Series(flags, index=index))
    with pytest.raises(ContractError, match="sorted"):
        flags_to_intervals(pd.Series(True, index=index[::-1]))
    mixed = pd.MultiIndex.from_arrays([["a", "b", "a"], index.get_level_values(1)[:3]], names=index.names)
    with pytest.raises(ContractError, match="sorted"):
        flags_to_intervals(pd.Series(True, index=mixed))
    with pytest.raises(ContractError, match="entity and timestamp"):
        flags_to_intervals(pd.Series([True, False]))


def test_windows_of_other_entities_label_nothing():
    windows = frame([("db-1", 0, 600), ("api-1", 60, 120)])
    assert label_rows(panel().index[:4], windows).tolist() == [False, True, True, False]


def test_observed_time_leaves_gaps_and_empty_rows_out():
    whole = panel(days=1, names=("api-1", "db-1"))
    assert observed_spans(whole)["end"].tolist() == [START + pd.Timedelta(days=1)] * 2
    late = whole.index.get_level_values("timestamp") - START
    holed = whole[(late < pd.Timedelta("1h")) | (late >= pd.Timedelta("2h"))]
    spans = observed_spans(holed)
    assert seconds(spans["start"]) == [0, 7200] * 2
    assert seconds(spans["end"]) == [3600, 86400] * 2
    silent = whole.where(((late < pd.Timedelta("1h")) | (late >= pd.Timedelta("2h")))[:, None])
    pd.testing.assert_frame_equal(observed_spans(silent), spans)
    # Two late samples are no gap.
    assert len(observed_spans(whole.drop(whole.index[[100, 101]]))) == 2


def test_a_single_moment_has_no_length():
    with pytest.raises(ContractError, match="step"):
        observed_spans(panel().iloc[:1])
    both = pd.concat([panel().iloc[:10], panel(names=("db-1",)).iloc[:1]])
    assert seconds(observed_spans(both)["end"]) == [600, 60]


# --- events ---------------------------------------------------------------------------------------------------------

tolerances = st.sampled_from([0, 3, 10])
matches = st.sampled_from(["overlap", "start"])


@given(alarms=intervals, events=intervals, early=tolerances, late=tolerances, match=matches)
def test_matching_equals_the_naive_twin(alarms, events, early, late, match):
    found = match_events(frame(alarms), frame(events), early=f"{early}s", late=f"{late}s", match=match)
    delays, true = naive.match_events(alarms, events, early=early, late=late, match=match)
    assert found.events["found"].tolist() == [delay is not None for delay in delays]
    assert found.events["delay"].fillna(-1).tolist() == [-1 if delay is None else delay for delay in delays]
    assert found.alarms["true"].tolist() == true


@given(alarms=intervals, events=intervals, early=tolerances, late=tolerances, match=matches)
def test_scores_equal_the_naive_twin(alarms, events, early, late, match):
    spans = [("api-1", 0, 100), ("api-1", 110, 160), ("api-2", 20, 90), ("db-1", 0, 150)]

    def observed(interval):
        return any(interval[0] == e and interval[1] < end and interval[2] >= start for e, start, end in spans)

    scores = event_scores(frame(alarms), frame(events), frame(spans), early=f"{early}s", late=f"{late}s", match=match)
    judged, mine = ([x for x in part if observed(x)] for part in (events, alarms))
    delays, true = naive.match_events(mine, judged, early=early, late=late, match=match)
    waits = sorted(delay for delay in delays if delay is not None)
    assert scores["unobserved_events"] == len(events) - len(judged)
    assert (scores["events"], scores["found"]) == (len(judged), len(waits))
    assert (scores["alarms"], scores["true_alarms"]) == (len(mine), sum(true))
    assert scores["false_alarms"] == len(mine) - sum(true)
    assert scores["recall"] == pytest.approx(len(waits) / len(judged) if judged else math.nan, nan_ok=True)
    assert scores["precision"] == pytest.approx(sum(true) / len(mine) if mine else math.nan, nan_ok=True)
    both = scores["precision"], scores["recall"]
    expected = math.nan if not judged else 0.0 if not waits else 2 / (1 / both[0] + 1 / both[1])
    assert scores["f1"] == pytest.approx(expected, nan_ok=True)
    for name, share in (("delay_p50", 0.5), ("delay_p90", 0.9)):
        expected = np.quantile(waits, share, method="inverted_cdf") if waits else math.nan
        assert scores[name] == pytest.approx(expected, nan_ok=True)
    wide = [(entity, start - early, end + late) for entity, start, end in judged]
    seen, free, alarmed = naive.seconds_of(spans, wide, mine)
    assert scores["observed_days"] == pytest.approx(seen / 86400)
    rate = scores["false_alarms"] * 86400 / free if free else math.nan
    assert scores["false_alarms_per_day"] == pytest.approx(rate, nan_ok=True)
    assert scores["alarmed_share"] == pytest.approx(alarmed / free if free else math.nan, nan_ok=True)


@given(alarms=intervals, events=intervals, extra=intervals, early=tolerances)
def test_more_alarms_never_find_less(alarms, events, extra, early):
    less = match_events(frame(alarms), frame(events), early=f"{early}s").events
    more = match_events(frame(alarms + extra), frame(events), early=f"{early}s").events
    assert not (less["found"] & ~more["found"]).any()
    assert not (more["delay"] > less["delay"]).any()


@given(alarms=intervals, events=intervals, early=tolerances)
def test_tolerance_never_hurts(alarms, events, early):
    strict = match_events(frame(alarms), frame(events))
    lenient = match_events(frame(alarms), frame(events), early=f"{early}s")
    assert not (strict.events["found"] & ~lenient.events["found"]).any()
    assert not (strict.alarms["true"] & ~lenient.alarms["true"]).any()


@fewer
@given(alarms=intervals, events=intervals, seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(alarms, events, seed):
    spans = frame([(entity, 0, 200) for entity in ("api-1", "api-2", "db-1")])
    plain = event_scores(frame(alarms), frame(events), spans)
    mixed = (part.sample(frac=1, random_state=seed) for part in (frame(alarms), frame(events), spans))
    assert event_scores(*mixed) == pytest.approx(plain, nan_ok=True)


def test_an_alarm_that_never_ends_is_seen_through():
    windows = frame([("api-1", 36000, 39600), ("api-1", 72000, 75600)])
    always = frame([("api-1", 0, 86400)])
    scores = event_scores(always, windows, panel())
    assert (scores["recall"], scores["precision"], scores["alarmed_share"]) == (1, 1, 1)
    scores = event_scores(always, windows, panel(), match="start")
    assert (scores["recall"], scores["precision"]) == (0, 0)
    open_alarm = always.assign(end=pd.NaT)
    assert event_scores(open_alarm, windows, panel()) == event_scores(always, windows, panel())


def test_the_last_row_of_an_alarm_lasts_one_step():
    flags = pd.Series(np.arange(1440) % 10 == 0, index=panel().index)
    scores = event_scores(flags_to_intervals(flags), frame([("api-1", 86_300, 86_340)]), panel())
    assert scores["alarmed_share"] == pytest.approx(0.1, rel=0.01)


def test_suppressed_alarms_were_never_raised():
    alarms = frame([("api-1", 100, 200), ("api-1", 900, 1000)]).assign(
        alarm_id=["one", "two"], detector="mean_shift", suppressed_by=[None, "one"]
    )
    alarms = validate(alarms.set_index("alarm_id"), "alarms")
    found = match_events(alarms, frame([("api-1", 950, 960)]))
    assert not found.events["found"].any()
    assert found.alarms.index.tolist() == ["one"]
    scores = event_scores(alarms, frame([("api-1", 950, 960)]), panel())
    assert (scores["alarms"], scores["recall"]) == (1, 0)


def test_nothing_to_find_and_nothing_raised_is_said_not_scored():
    nothing = event_scores(empty("alarms"), empty("windows"), panel())
    assert nothing["events"] == nothing["alarms"] == 0
    assert all(math.isnan(nothing[name]) for name in ("recall", "precision", "f1", "delay_p50"))
    assert (nothing["false_alarms_per_day"], nothing["observed_days"]) == (0, 1)
    missed = event_scores(empty("alarms"), frame([("api-1", 100, 200)]), panel())
    assert (missed["recall"], missed["f1"]) == (0, 0)
    assert math.isnan(missed["precision"])


def test_bad_intervals_are_refused_with_their_place():
    events = frame([("api-1", 100, 200)])
    with pytest.raises(ContractError, match=r"alarms, column 'end'"):
        match_events(events.drop(columns="end"), events)
    with pytest.raises(ContractError, match=r"windows, column 'entity'"):
        match_events(events, events.drop(columns="entity"))
    with pytest.raises(ContractError, match=r"alarms, row 2: .*not after the end"):
        match_events(frame([("api-1", 1, 2), ("api-1", 200, 100)]), events)
    with pytest.raises(ContractError, match="tolerance"):
        match_events(events, events, early="-5min")
    with pytest.raises(ContractError, match="length of time"):
        match_events(events, events, late="soon")
    with pytest.raises(ContractError, match="match"):
        match_events(events, events, match="touch")
    with pytest.raises(ContractError, match="db-1"):
        event_scores(frame([("db-1", 1, 2)]), events, panel())


def alarmed_fleet(size=12, seed=0):
    """Entities observed for a day, two events each; found with probability .7; and a false alarm at every fourth."""
    rng = np.random.default_rng(seed)
    names = [f"host-{i:02d}" for i in range(size)]
    events = [(name, start, start + 1800) for name in names for start in (20_000, 60_000)]
    alarms = [(name, start + 60 * int(rng.integers(20)), end) for name, start, end in events if rng.random() < 0.7]
    alarms += [(name, 40_000, 40_060) for name in names[::4]]
    return frame(alarms), frame(events), panel(names=names)


def test_estimates_are_the_scores_with_intervals():
    alarms, windows, observed = alarmed_fleet()
    scores = event_scores(alarms, windows, observed)
    estimates = event_estimates(alarms, windows, observed)
    for name, estimate in estimates.items():
        assert estimate.value == pytest.approx(scores[name])
        assert estimate.lo <= estimate.value <= estimate.hi
        assert estimate.lo < estimate.hi
    assert estimates == event_estimates(alarms, windows, observed)
    assert estimates != event_estimates(alarms, windows, observed, seed=1)
    narrow = event_estimates(alarms, windows, observed, confidence=0.5)
    assert all(narrow[name].hi - narrow[name].lo < e.hi - e.lo for name, e in estimates.items())


def test_resampled_sums_are_the_scores_of_resampled_entities():
    """The bootstrap by weights gives what scoring a fleet with repeated entities gives."""
    alarms, windows, observed = alarmed_fleet(size=10)
    names = observed.index.unique("entity")
    f1, delays = [], []
    for counts in np.concatenate(list(resample_counts(10, 25, 5))):
        drawn = []
        for part in (alarms, windows, observed.reset_index()):
            copies = [
                part[part["entity"] == name].assign(entity=f"{name}/{copy}")
                for name, count in zip(names, counts, strict=True)
                for copy in range(count)
            ]
            drawn.append(pd.concat(copies))
        scores = event_scores(*drawn[:2], drawn[2].set_index(["entity", "timestamp"]))
        f1.append(scores["f1"])
        delays.append(scores["delay_p50"])
    estimates = event_estimates(alarms, windows, observed, unit="entity", resamples=25, seed=5)
    assert estimates["f1"][1:] == pytest.approx(np.quantile(f1, [0.025, 0.975]))
    assert estimates["delay_p50"][1:] == pytest.approx(np.quantile(delays, [0.025, 0.975]))


def test_few_entities_are_resampled_by_blocks_of_time():
    observed = panel(days=6)
    windows = frame([("api-1", day * 86400 + 40_000, day * 86400 + 43_600) for day in range(6)])
    alarms = frame([("api-1", day * 86400 + 41_000, day * 86400 + 41_060) for day in range(4)])
    estimates = event_estimates(alarms, windows, observed)
    assert estimates["recall"].value == pytest.approx(4 / 6)
    assert wilson_interval(4, 6).lo >= estimates["recall"].lo
    with pytest.raises(NotEnoughEvidence, match="units"):
        event_estimates(alarms, windows, observed, unit="entity")
    with pytest.raises(NotEnoughEvidence, match="units"):
        event_estimates(alarms, windows, observed, block="2D")
    with pytest.raises(ContractError, match="block"):
        event_estimates(alarms, windows, observed, block="0s")


def test_all_found_is_not_certainty():
    windows = frame([("api-1", day * 86400 + 40_000, day * 86400 + 43_600) for day in range(6)])
    estimates = event_estimates(windows, windows, panel(days=6))
    assert estimates["recall"] == wilson_interval(6, 6)
    assert estimates["precision"] == wilson_interval(6, 6)
    assert estimates["f1"].lo == pytest.approx(wilson_interval(6, 6).lo)
    assert estimates["false_alarms_per_day"].hi == pytest.approx(3.69 / (6 * 82_740 / 86_400), rel=0.01)


def test_what_has_no_cases_has_no_estimate():
    estimates = event_estimates(empty("alarms"), empty("windows"), panel(days=6))
    for name in ("recall", "precision", "f1", "delay_p50", "delay_p90"):
        assert all(math.isnan(x) for x in estimates[name])
    assert estimates["false_alarms_per_day"].value == 0
    silent = event_estimates(empty("alarms"), frame([("api-1", 40_000, 43_600)]), panel(days=6))
    assert silent["f1"].value == 0
    assert silent["f1"].hi > 0.5  # one missed event says little


# --- ranking --------------------------------------------------------------------------------------------------------

rows = st.lists(
    st.tuples(st.one_of(st.integers(0, 4).map(float), st.floats(-1, 1)), st.booleans()), min_size=2, max_size=60
).filter(lambda x: 0 < sum(label for _, label in x) < len(x))


@given(rows=rows)
def test_average_precision_equals_scikit_learn_and_the_twin(rows):
    scores, labels = (np.array(part) for part in zip(*rows, strict=True))
    area = average_precision(scores, labels)
    assert area == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert area == pytest.approx(naive.average_precision(scores.tolist(), labels.tolist()), abs=1e-12)
    assert 0 < area <= 1


@given(rows=rows, seed=st.integers(0, 99))
def test_average_precision_depends_on_the_order_alone(rows, seed):
    scores, labels = (np.array(part) for part in zip(*rows, strict=True))
    scores = scores.round(3)  # further apart than rounding in exp
    mixed = np.random.default_rng(seed).permutation(len(scores))
    assert average_precision(np.exp(scores[mixed]), labels[mixed]) == pytest.approx(average_precision(scores, labels))
    better = np.where(labels, scores + 1, scores)
    assert average_precision(better, labels) >= average_precision(scores, labels) - 1e-12


@given(rows=rows, missing=st.integers(0, 2**60))
def test_an_abstention_ranks_last(rows, missing):
    scores, labels = (np.array(part) for part in zip(*rows, strict=True))
    silent = np.where([missing >> i & 1 for i in range(len(scores))], np.nan, scores)
    lowest = np.where(np.isnan(silent), scores.min() - 1, silent)
    assert average_precision(silent, labels) == average_precision(lowest, labels)
    assert average_precision(silent, labels) == pytest.approx(naive.average_precision(silent.tolist(), labels.tolist()))


def test_a_single_class_cannot_be_ranked():
    for labels in (np.zeros(9, dtype=bool), np.ones(9, dtype=bool)):
        with pytest.raises(NotEnoughEvidence, match="both classes"):
            average_precision(np.arange(9.0), labels)
    with pytest.raises(ContractError, match="True or False"):
        average_precision(np.arange(3.0), np.array([0, 1, 2]))
    with pytest.raises(ContractError, match="one for each score"):
        average_precision(np.arange(3.0), np.array([True, False]))


def test_pr_auc_draws_whole_units():
    rng = np.random.default_rng(2)
    index = panel(names=[f"host-{i}" for i in range(12)], freq="h").index
    labels = pd.Series(rng.random(len(index)) < 0.2, index=index)
    scores = (labels + rng.normal(size=len(index))).round(1)
    result = pr_auc(scores, labels, resamples=30, seed=4)
    assert result.average_precision.value == pytest.approx(average_precision_score(labels, scores))
    assert result.base_rate.value == pytest.approx(labels.mean())
    assert (result.positives, result.rows) == (labels.sum(), len(labels))
    areas, rates = [], []
    for counts in np.concatenate(list(resample_counts(12, 30, 4))):
        weights = np.repeat(counts, 24)
        areas.append(naive.average_precision(scores.tolist(), labels.tolist(), weights.tolist()))
        rates.append(np.average(labels, weights=weights))
    assert result.average_precision[1:] == pytest.approx(np.quantile(areas, [0.025, 0.975]))
    assert result.base_rate[1:] == pytest.approx(np.quantile(rates, [0.025, 0.975]))


def test_pr_auc_of_chance_is_the_base_rate():
    index = panel(days=20, freq="5min").index
    rng = np.random.default_rng(3)
    labels = pd.Series(rng.random(len(index)) < 0.1, index=index)
    result = pr_auc(pd.Series(rng.random(len(index)), index=index), labels)
    assert result.average_precision.lo < result.base_rate.value < result.average_precision.hi
    with pytest.raises(ContractError, match="index"):
        pr_auc(pd.Series(0.0, index=index), labels.iloc[1:])
    with pytest.raises(NotEnoughEvidence, match="units"):
        pr_auc(pd.Series(0.0, index=index), labels, block="10D")


# --- intervals ------------------------------------------------------------------------------------------------------


@given(trials=st.integers(1, 500), share=st.floats(0, 1), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_equals_scipy(trials, share, confidence):
    successes = round(share * trials)
    estimate = wilson_interval(successes, trials, confidence)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert estimate == pytest.approx((successes / trials, expected.low, expected.high), abs=1e-12)
    assert 0 <= estimate.lo <= estimate.value <= estimate.hi <= 1


@given(count=st.integers(0, 60), exposure=st.floats(0.1, 1e4))
def test_poisson_limits_are_exact(count, exposure):
    estimate = poisson_interval(count, exposure)
    # Garwood: at the upper limit so few are seen with probability 2.5 %, at the lower one so many.
    assert stats.poisson.cdf(count, estimate.hi * exposure) == pytest.approx(0.025)
    if count:
        assert stats.poisson.sf(count - 1, estimate.lo * exposure) == pytest.approx(0.025)
    assert estimate.lo <= estimate.value <= estimate.hi


def test_no_cases_no_interval():
    with pytest.raises(NotEnoughEvidence):
        wilson_interval(0, 0)
    with pytest.raises(NotEnoughEvidence):
        poisson_interval(0, 0.0)
    with pytest.raises(NotEnoughEvidence, match="5 units, there are 4"):
        bootstrap_interval(np.mean, np.arange(4.0))
    with pytest.raises(NotEnoughEvidence, match="blocks"):
        bootstrap_interval(np.mean, np.arange(40.0), block=10)
    with pytest.raises(NotEnoughEvidence, match="undefined"):
        bootstrap_interval(lambda x: math.nan, np.arange(9.0))
    with pytest.raises(NotEnoughEvidence):
        percentile_estimate(1.0, np.array([1.0, math.nan]))
    for wrong in ((3, 2), (-1, 2)):
        with pytest.raises(ContractError, match="trials"):
            wilson_interval(*wrong)
    with pytest.raises(ContractError, match="between 0 and 1"):
        wilson_interval(1, 2, confidence=95)
    with pytest.raises(ContractError, match="one length"):
        bootstrap_interval(np.mean, np.arange(9.0), np.arange(8.0))


def test_bootstrap_of_a_mean_agrees_with_scipy():
    sample = np.random.default_rng(5).exponential(size=40)
    mine = bootstrap_interval(np.mean, sample, resamples=5000, seed=1)
    other = stats.bootstrap((sample,), np.mean, n_resamples=5000, method="percentile", rng=2).confidence_interval
    assert mine.value == sample.mean()
    assert mine[1:] == pytest.approx((other.low, other.high), rel=0.03)


def test_pairs_stay_pairs():
    x = np.random.default_rng(6).normal(size=30)
    estimate = bootstrap_interval(lambda a, b: float(np.corrcoef(a, b)[0, 1]), x, 2 * x + 1)
    assert estimate == pytest.approx((1, 1, 1))


def test_blocks_keep_dependence_and_widen_the_interval():
    rng = np.random.default_rng(7)
    walk = np.empty(2000)
    walk[0] = 0
    for i in range(1, 2000):
        walk[i] = 0.95 * walk[i - 1] + rng.normal()
    single = bootstrap_interval(np.mean, walk, resamples=400)
    blocks = bootstrap_interval(np.mean, walk, block=100, resamples=400)
    # The mean of this series has about six times the error of as many independent values.
    assert 3 < (blocks.hi - blocks.lo) / (single.hi - single.lo) < 8


def test_each_resample_of_blocks_is_made_of_runs():
    seen = []
    bootstrap_interval(lambda x: seen.append(x) or 0.0, np.arange(23), block=4, resamples=100)
    for drawn in seen[:-1]:
        assert len(drawn) == 23
        steps = np.diff(drawn)
        assert all((steps[i : i + 3] == 1).all() for i in range(0, 20, 4))
    assert {0, 22} <= set(np.concatenate(seen))


def test_the_interval_holds_the_value():
    assert percentile_estimate(9.0, np.arange(5.0)) == Estimate(9.0, pytest.approx(0.1), 9.0)
    assert percentile_estimate(-9.0, np.arange(5.0)).lo == -9.0


@fewer
@given(units=st.integers(5, 40), resamples=st.integers(1, 50), seed=st.integers(0, 9))
def test_resample_counts_draw_as_many_as_there_are(units, resamples, seed):
    counts = np.concatenate(list(resample_counts(units, resamples, seed)))
    assert counts.shape == (resamples, units)
    assert (counts.sum(axis=1) == units).all()
    assert (counts >= 0).all()


def test_resample_counts_come_in_parts_of_bounded_size():
    parts = [part.shape for part in resample_counts(900_000, 5, 0)]
    assert parts == [(2, 900_000), (2, 900_000), (1, 900_000)]


def test_units_are_entities_or_blocks():
    index = panel(days=2, names=[f"host-{i:02d}" for i in range(10)], freq="6h").index
    assert resampling_units(index).tolist() == np.repeat(range(10), 8).tolist()
    assert resampling_units(index, "block").tolist() == np.repeat(range(20), 4).tolist()
    assert resampling_units(index, "block", "12h").tolist() == np.repeat(range(40), 2).tolist()
    assert resampling_units(index[:8]).tolist() == [0] * 4 + [1] * 4
    with pytest.raises(ContractError, match="unit"):
        resampling_units(index, "day")


def test_wilson_covers_as_often_as_it_says():
    rng = np.random.default_rng(8)
    hits = [wilson_interval(int(k), 30) for k in rng.binomial(30, 0.8, size=1000)]
    assert 0.92 < np.mean([estimate.lo <= 0.8 <= estimate.hi for estimate in hits]) < 0.98
