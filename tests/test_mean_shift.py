"""Mean shift against slow twins, against pandas, and the choice of k against what then happens."""

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stability.detection import (
    MeanShift,
    Tail,
    alarms_per_day,
    choose_k,
    choose_threshold,
    fit_tail,
    gaussian_alarms_per_day,
    held_back_scores,
    raise_alarms,
)
from stability.detection.mean_shift import VARIANTS
from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError, validate

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def frame(*columns, entity="web-1", freq="5min"):
    stamps = pd.date_range("2026-01-01", periods=len(columns[0]), freq=freq, tz="UTC", unit="us", name="timestamp")
    one = pd.DataFrame({f"metric_{i}": column for i, column in enumerate(columns)}, index=stamps)
    one.attrs["entity"] = entity
    return validate(one, "telemetry")


def noise(rows, seed=0, **shape):
    return frame(np.random.default_rng(seed).normal(size=rows), **shape)


numbers = st.one_of(
    st.just(np.nan), st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 2.0]), st.floats(1e9, 1e9 + 1), st.just(1e12)
)


@every_variant
@settings(max_examples=settings().max_examples // 3)
@given(
    history=st.lists(st.sampled_from([0.0, 1.0, 5.0, np.nan]) | st.floats(-1e3, 1e3), min_size=5, max_size=30),
    later=st.lists(numbers, min_size=1, max_size=30),
    window=st.integers(4, 20),
    forgetting=st.sampled_from([0.5, 0.9, 0.99, 1.0]),
)
def test_scores_equal_the_slow_twins(variant, history, later, window, forgetting):
    history = [1.0, 2.0, 2.0, 4.0, *history]
    data = frame(history + later)
    own = {"windowed": {"window": window}, "recursive": {"forgetting": forgetting}}.get(variant, {})
    detector = MeanShift(variant=variant, warmup=4, **own).fit(data.iloc[: len(history)])
    scores = detector.score(data.iloc[len(history) :])
    slow = naive.mean_shift_scores(history, later, variant, warmup=4, **own)
    # Where a value of 1e12 lies in the past, the mean has 16 digits of 1e12 and the score no more than those.
    largest = np.maximum.accumulate(np.nan_to_num(np.abs([0.0, *later[:-1]]))) + np.nanmax(np.abs(history))
    _, deviation = detector.expected(data.iloc[len(history) :])
    loose = 1e-7 * np.abs(slow) + 1e-6 + 1e-13 * largest / deviation.to_numpy().ravel() * (1 + np.abs(slow))
    assert np.array_equal(np.isnan(scores), np.isnan(slow))
    assert (np.abs(scores.to_numpy() - slow) <= loose)[~np.isnan(slow)].all()


@pytest.mark.parametrize("variant", ["windowed", "recursive"])
def test_moving_means_equal_those_of_pandas(variant):
    data = noise(2_000)
    data.iloc[::7] = np.nan
    mean, deviation = MeanShift(variant=variant, warmup=20).fit(data).expected(data)
    plain = data["metric_0"]
    past = {
        "windowed": plain.rolling(100, min_periods=20),
        "recursive": plain.ewm(alpha=0.01, min_periods=20, ignore_na=True),
    }[variant]
    spread = past.std(ddof=0) if variant == "windowed" else past.std(bias=True)
    np.testing.assert_allclose(mean["metric_0"], past.mean().shift(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(deviation["metric_0"], spread.shift(), rtol=1e-9)


def test_recursion_without_forgetting_ends_at_the_global_mean_and_deviation():
    data = noise(500, seed=1)
    fitted = MeanShift(variant="recursive", forgetting=1.0).fit(data.iloc[:400])
    mean, deviation = fitted.expected(data.iloc[400:401])
    assert mean.iloc[0, 0] == pytest.approx(fitted.mean_.iloc[0, 0], rel=1e-12)
    assert deviation.iloc[0, 0] == pytest.approx(fitted.deviation_.iloc[0, 0], rel=1e-12)


@pytest.mark.parametrize("variant", ["windowed", "recursive"])
def test_going_on_after_the_history_equals_never_having_stopped(variant):
    data = pd.concat([noise(700, seed=2, entity="a"), noise(500, seed=3, entity="b")])
    stamps = data.index.get_level_values("timestamp")
    middle = stamps[400]
    detector = MeanShift(variant=variant).fit(data[stamps < middle])
    through, later = detector.score(data), detector.score(data[stamps >= middle])
    np.testing.assert_allclose(later, through[stamps >= middle], rtol=1e-9)
    assert later.notna().all()
    assert through.groupby(level="entity").apply(lambda s: s.isna().sum()).tolist() == [30, 30]


def test_a_huge_value_leaves_the_window_without_a_trace():
    data = noise(400, seed=4)
    data.iloc[150] = 1e15
    clean = noise(400, seed=4)
    scores, expected = (MeanShift(variant="windowed", window=50).fit(d.iloc[:100]).score(d) for d in (data, clean))
    np.testing.assert_allclose(scores.iloc[201:], expected.iloc[201:], rtol=1e-6)


@every_variant
@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 1000), k=st.floats(0.1, 6))
def test_d_is_positive_exactly_where_the_score_exceeds_k(variant, seed, k):
    data = frame(*np.random.default_rng(seed).normal(5, 2, size=(2, 200)).round(1))
    detector = MeanShift(variant=variant).fit(data.iloc[:100])
    later = data.iloc[100:]
    d, scores = detector.excess(later, k), detector.score_metrics(later)
    assert ((d > 0) == (scores > k)).all(axis=None)
    mean, deviation = detector.expected(later)
    pd.testing.assert_frame_equal(d, (later - mean).abs() - k * deviation, atol=1e-9)


def test_a_constant_history_judges_by_a_share_of_its_level():
    data = frame(np.r_[np.full(50, 200.0), 201.0, 200.0], np.r_[np.zeros(50), 0.5, 0.0])
    scores = MeanShift(variant="global").fit(data.iloc[:50]).score_metrics(data.iloc[50:])
    assert scores["metric_0"].tolist() == [pytest.approx(0.5), 0]  # 1 unit of 1 % of 200
    assert scores["metric_1"].tolist() == [pytest.approx(50), 0]  # 0.5 of 1 % of one unit


def test_a_constant_with_rounding_counts_as_constant():
    data = frame(0.1 * np.array([1, 1 + 1e-15] * 30))
    assert MeanShift(variant="global").fit(data).deviation_.iloc[0, 0] == 0


def test_warmup_counts_values_and_not_rows():
    data = frame(np.where(np.arange(200) % 2, np.nan, np.random.default_rng(0).normal(size=200)))
    judged = MeanShift(variant="recursive", warmup=30).fit(data).score(data).first_valid_index()
    assert data.index.get_loc(judged) == 60


@every_variant
def test_too_short_a_history_is_an_error_that_counts(variant):
    with pytest.raises(ContractError, match=r"at least 30 values .* got at most 29"):
        MeanShift(variant=variant).fit(noise(29))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("variant", "globl"), ("forgetting", 0.0), ("forgetting", 1.1), ("warmup", 1), ("floor", 0.0), ("window", 10)],
)
def test_impossible_settings_are_refused(setting, value):
    with pytest.raises(ContractError, match="warmup" if setting == "window" else setting):
        MeanShift(**{"variant": "windowed", setting: value})


def test_the_samples_k_of_a_tenth_flags_nine_points_in_ten():
    scores = MeanShift(variant="global").fit(noise(1_000)).score(noise(20_000, seed=5))
    assert (scores > 0.1).mean() == pytest.approx(2 * stats.norm.sf(0.1), abs=0.01)


# --- the choice of k ------------------------------------------------------------------------------------------------


def distances(rows, seed=0, freq="1min"):
    return noise(rows, seed, freq=freq)["metric_0"].abs().rename("z")


def autocorrelated(rows, seed=0):
    steps = np.random.default_rng(seed).normal(size=rows)
    series = pd.Series(steps).ewm(alpha=0.05, adjust=False).mean().to_numpy()
    return frame(series / series.std(), freq="1min")["metric_0"].abs().rename("z")


@settings(max_examples=settings().max_examples // 3)
@given(
    scores=st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan]) | st.floats(0, 5), min_size=2, max_size=40),
    thresholds=st.lists(st.floats(-1, 5) | st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=3),
    merge=st.sampled_from([0.0, 300.0, 900.0]),
)
def test_counted_alarms_are_those_that_would_be_raised(scores, thresholds, merge):
    half = len(scores) // 2
    data = pd.concat([frame(scores[:half], entity="a"), frame(scores[half:], entity="b")])["metric_0"].rename("z")
    if data.groupby(level="entity").count().max() < 2:
        return
    rates = alarms_per_day(data, np.array(thresholds), merge=merge)
    counts = np.array([len(raise_alarms(data, k, merge=merge)) for k in thresholds])
    unit = rates[counts > 0] / counts[counts > 0]
    assert (rates[counts == 0] == 0).all()
    assert unit.size == 0 or np.allclose(unit, unit[0])


def test_days_are_those_of_judged_rows():
    scores = distances(1440)
    scores.iloc[720:] = np.nan
    scores.iloc[5], scores.iloc[:5], scores.iloc[6:720] = 9.0, 0.0, 0.0
    assert alarms_per_day(scores, np.array([5.0]))[0] == pytest.approx(2.0)


@pytest.mark.parametrize("merge_rows", [1, 10])
def test_gaussian_rate_is_that_of_gaussian_noise(merge_rows):
    ks = np.array([0.5, 1.0, 2.0, 3.0])
    measured = alarms_per_day(distances(200_000), ks, merge=60.0 * merge_rows)
    expected = gaussian_alarms_per_day(ks, 1440, merge_rows=merge_rows)
    days = 200_000 / 1440
    assert (np.abs(measured - expected) < 4 * np.sqrt(expected / days)).all()


@pytest.mark.parametrize("method", ["gaussian", "quantile", "tail"])
@pytest.mark.parametrize("wanted", [0.5, 2.0])
def test_each_method_keeps_the_budget_on_gaussian_noise(method, wanted):
    k = choose_k(distances(100_000, seed=1), false_alarms_per_day=wanted, method=method)
    days = 200_000 / 1440
    happened = alarms_per_day(distances(200_000, seed=2), np.array([k]))[0]
    assert happened * days == pytest.approx(wanted * days, abs=5 * np.sqrt(wanted * days) + 0.15 * wanted * days)


def test_dependent_rows_are_counted_as_alarms_and_not_one_by_one():
    k = choose_k(autocorrelated(200_000, 1), false_alarms_per_day=1, method="tail")
    happened = alarms_per_day(autocorrelated(400_000, 2), np.array([k]))[0]
    assert 0.6 < happened < 1.6
    # Counting rows instead, as independence would have it, asks for a higher threshold than needed.
    rows = autocorrelated(200_000, 1)
    assert k < np.quantile(rows, 1 - 1 / 1440)


@settings(max_examples=settings().max_examples // 3)
@given(seed=st.integers(0, 10_000), wanted=st.floats(12, 60), merge=st.sampled_from([0.0, 600.0]))
def test_quantile_is_the_lowest_threshold_above_which_the_history_keeps_the_budget(seed, wanted, merge):
    scores = autocorrelated(1_440, seed).round(1)
    k = choose_k(scores, false_alarms_per_day=wanted, method="quantile", merge=merge)
    levels, rows = np.unique(scores), list(zip(range(0, 1_440 * 60, 60), scores, strict=True))
    counts = np.array([len(naive.raise_alarms(rows, level, merge=merge)) for level in levels])
    assert (counts[levels >= k] <= wanted).all()
    most = levels[counts == counts.max()][-1]  # below it, alarms only run together
    assert k == most or (k > most and counts[levels < k][-1] > wanted)


def test_a_tail_that_breaks_the_budget_on_its_own_history_is_not_believed():
    """Peaks of a kind of their own, too few for a tail of theirs: the few that the history shows say more."""
    rng = np.random.default_rng(0)
    values = rng.exponential(size=20_000)
    values[rng.choice(20_000, size=15, replace=False)] = 100 + rng.normal(size=15)
    scores = distances(20_000, seed=0) * 0 + values
    chosen = choose_threshold(scores, false_alarms_per_day=0.2)
    assert chosen.method == "few"
    assert alarms_per_day(scores, np.array([chosen.threshold]))[0] <= 0.2


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
def test_tail_is_found_again(shape):
    drawn = stats.genpareto.rvs(shape, scale=2.0, size=4_000, random_state=1)
    tail = fit_tail(drawn)
    assert tail.shape == pytest.approx(shape, abs=0.06)
    assert tail.scale == pytest.approx(2.0, rel=0.08)
    assert tail.exceeded_with(1e-4) == pytest.approx(stats.genpareto.isf(1e-4, shape, scale=2.0), rel=0.3)


def test_tail_without_shape_is_exponential():
    assert Tail(0.0, 2.0).exceeded_with(0.01) == pytest.approx(Tail(1e-6, 2.0).exceeded_with(0.01), rel=1e-4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"metrics": 0}, "metrics.*from 1 up"),
        ({"metrics": 1.5}, "metrics.*1.5"),
        ({"merge": -60.0}, "merge.*from 0 up"),
    ],
)
def test_a_budget_without_a_metric_or_with_a_negative_merge_is_refused(wrong, said):
    with pytest.raises(ContractError, match=said):
        choose_k(distances(2_000, seed=1), false_alarms_per_day=1, method="gaussian", **wrong)


def test_heavy_tails_need_a_higher_k_than_gauss_says():
    heavy = frame(stats.t.rvs(3, size=50_000, random_state=0), freq="1min")["metric_0"].abs().rename("z")
    gauss, tail = (choose_k(heavy, false_alarms_per_day=0.2, method=m) for m in ("gaussian", "tail"))
    assert tail > 2 * gauss
    fresh = frame(stats.t.rvs(3, size=500_000, random_state=1), freq="1min")["metric_0"].abs().rename("z")
    assert alarms_per_day(fresh, np.array([tail]))[0] == pytest.approx(0.2, abs=0.12)
    assert alarms_per_day(fresh, np.array([gauss]))[0] > 10 * 0.2


def test_more_metrics_need_a_higher_k():
    ks = [choose_k(distances(2_000), false_alarms_per_day=1, method="gaussian", metrics=m) for m in (1, 5, 50)]
    assert ks == sorted(ks)
    rates = [gaussian_alarms_per_day(k, 1440, metrics=m) for k, m in zip(ks, (1, 5, 50), strict=True)]
    assert rates == pytest.approx([1, 1, 1])


def test_a_history_too_short_for_so_rare_an_alarm_says_how_much_would_do():
    day = distances(1440)
    with pytest.raises(NotEnoughEvidence, match=r"at least 10 alarms .* about 10 entity-days of history"):
        choose_k(day, false_alarms_per_day=1, method="quantile")
    with pytest.raises(NotEnoughEvidence, match="peaks above"):
        choose_k(day, false_alarms_per_day=1, method="tail")
    with pytest.raises(NotEnoughEvidence, match=r"at least 0.1 alarms"):
        choose_k(distances(14_400), false_alarms_per_day=0.005, method="tail")
    with pytest.raises(NotEnoughEvidence, match="0 of 1440 rows"):
        choose_k(day * np.nan, false_alarms_per_day=1, method="tail")
    assert choose_k(day, false_alarms_per_day=1, method="gaussian") > 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"method": "gauss"}, "gaussian"), ({"false_alarms_per_day": 0}, "above 0")],
)
def test_impossible_wishes_are_refused(wrong, said):
    with pytest.raises(ContractError, match=said):
        choose_k(distances(2_000), **{"false_alarms_per_day": 1.0, "method": "tail", **wrong})


def test_more_alarms_than_the_sampling_can_have_are_refused():
    with pytest.raises(ContractError, match="the most that this sampling can have"):
        choose_k(distances(2_000), false_alarms_per_day=400, method="gaussian")


def test_scores_held_back_are_of_rows_that_the_detector_has_not_seen():
    history = pd.concat([noise(400, seed=6, entity="a"), noise(300, seed=7, entity="b")])
    detector = MeanShift(variant="global")
    scores = held_back_scores(detector, history)
    assert scores.groupby(level="entity").size().tolist() == [200, 150]
    assert not hasattr(detector, "fitted_on_")
    alone = noise(400, seed=6, entity="a")
    own = MeanShift(variant="global").fit(alone.iloc[:200]).score(alone.iloc[200:])
    pd.testing.assert_series_equal(scores.loc[["a"]], own)
