"""The NAB score: equal to a naive twin, to the benchmark's rules and to known numbers."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability import datasets
from stability.evaluation import (
    NAB_PROFILES,
    NabProfile,
    NotEnoughEvidence,
    nab_interval,
    nab_score,
    resample_counts,
)
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")
every_profile = pytest.mark.parametrize("profile", NAB_PROFILES)


def frames(files):
    """Scores and windows of files [(seconds, scores, windows)], as the workbench has them."""
    names = [f"file-{number:02d}" for number in range(len(files))]
    sizes = [len(seconds) for seconds, _, _ in files]
    index = pd.MultiIndex.from_arrays(
        [np.repeat(names, sizes), moments([second for seconds, _, _ in files for second in seconds])],
        names=["entity", "timestamp"],
    )
    scores = pd.Series([score for _, scores, _ in files for score in scores], index=index, dtype=float)
    starts, ends = ([window[end] for _, _, windows in files for window in windows] for end in (0, 1))
    owners = np.repeat(names, [len(windows) for _, _, windows in files])
    return scores, pd.DataFrame({"entity": owners, "start": moments(starts), "end": moments(ends)})


def moments(seconds):
    return START + pd.to_timedelta(np.array(seconds, dtype="int64"), unit="s")


@st.composite
def corpora(draw, kinds=("random", "ties", "constant", "gappy"), files=(1, 4)):
    """Files of 1 to 70 rows with 0 to 3 windows that share no row; some timestamps between rows, some rows at once."""
    corpus = []
    for _ in range(draw(st.integers(*files))):
        rng = np.random.default_rng(draw(st.integers(0, 10_000)))
        n = draw(st.integers(1, 70))
        seconds = np.cumsum(rng.choice([0, 60, 60, 60, 300], size=n)).tolist()
        kind = draw(st.sampled_from(kinds))
        scores = {
            "random": rng.random(n),
            "ties": rng.integers(0, 4, size=n) / 3,
            "constant": np.full(n, 0.5),
            "gappy": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
        }[kind].tolist()
        cuts = np.sort(rng.choice(np.arange(-60, seconds[-1] + 180, 30), size=6, replace=False)).tolist()
        windows = [(cuts[2 * k], cuts[2 * k + 1]) for k in range(draw(st.integers(0, 3)))]
        corpus.append((seconds, scores, windows))
    return corpus


def hittable(corpus):
    return naive.nab_raw(corpus, math.inf, 1, 1, 1)[2]


@given(corpus=corpora(), profile=st.sampled_from(sorted(NAB_PROFILES)))
def test_equals_the_naive_twin(corpus, profile):
    scores, windows = frames(corpus)
    if not hittable(corpus):
        with pytest.raises(NotEnoughEvidence):
            nab_score(scores, windows, profile)
        return
    result = nab_score(scores, windows, profile)
    value, threshold, *_ = naive.nab_score(corpus, *NAB_PROFILES[profile])
    assert result.value == pytest.approx(value, abs=1e-9)
    at = naive.nab_raw(corpus, result.threshold, *NAB_PROFILES[profile])
    assert (result.raw, result.hits, result.windows, result.false_alarm_rows) == (
        pytest.approx(at[0], abs=1e-9),
        *at[1:],
    )
    # Two thresholds may be equally good up to rounding; where they are not, it is the same one.
    assert result.threshold == threshold or at[0] == pytest.approx(
        naive.nab_raw(corpus, threshold, *NAB_PROFILES[profile])[0], abs=1e-9
    )


@given(corpus=corpora(), threshold=st.floats(-1, 1.5))
def test_a_given_threshold_equals_the_naive_twin(corpus, threshold):
    if hittable(corpus):
        result = nab_score(*frames(corpus), threshold=threshold)
        raw, hits, count, false = naive.nab_raw(corpus, threshold, *NAB_PROFILES["standard"])
        assert (result.hits, result.windows, result.false_alarm_rows) == (hits, count, false)
        assert result.raw == pytest.approx(raw, abs=1e-9)
        assert result.value == pytest.approx(100 * (raw + count) / (2 * count), abs=1e-9)
        assert result.value <= nab_score(*frames(corpus)).value + 1e-9


@given(corpus=corpora(), profile=st.sampled_from(sorted(NAB_PROFILES)))
def test_bounds_and_parts(corpus, profile):
    if hittable(corpus):
        result = nab_score(*frames(corpus), profile)
        assert 0 <= result.value <= 100 + 1e-9
        assert result.files["raw"].sum() == pytest.approx(result.raw)
        assert result.files["hits"].sum() == result.hits
        assert result.files["false_alarm_rows"].sum() == result.false_alarm_rows
        assert result.files["rows"].tolist() == [len(seconds) for seconds, _, _ in corpus]


@given(corpus=corpora(kinds=("random", "ties")), scale=st.sampled_from([1e-6, 3.0, 1e9]))
def test_only_the_order_of_scores_matters(corpus, scale):
    if hittable(corpus):
        scores, windows = frames(corpus)
        assert nab_score(np.exp(scores) * scale, windows).value == pytest.approx(nab_score(scores, windows).value)


@given(corpus=corpora(), seed=st.integers(0, 99))
def test_the_order_of_files_and_windows_does_not_matter(corpus, seed):
    if hittable(corpus):
        scores, windows = frames(corpus)
        names = np.random.default_rng(seed).permutation(scores.index.unique("entity"))
        turned = pd.concat([scores[scores.index.get_level_values("entity") == name] for name in names])
        mixed = nab_score(turned, windows.sample(frac=1, random_state=seed))
        plain = nab_score(scores, windows)
        assert mixed.value == pytest.approx(plain.value)
        pd.testing.assert_frame_equal(mixed.files.sort_index()[["rows", "windows"]], plain.files[["rows", "windows"]])


def one_file(n=100, windows=((50, 59),)):
    """A file of n rows of a minute, all scores 0; windows by rows."""
    scores, frame = frames([([60 * i for i in range(n)], [0.0] * n, [(60 * a, 60 * b) for a, b in windows])])
    return scores, frame


@every_profile
def test_a_perfect_detector_gets_100_and_a_silent_one_0(profile):
    scores, windows = one_file()
    assert nab_score(scores, windows, profile).value == 0
    scores.iloc[50] = 1.0
    assert nab_score(scores, windows, profile).value == pytest.approx(100)


def test_an_earlier_hit_is_worth_more_and_later_ones_nothing():
    values = []
    for row in range(50, 60):
        scores, windows = one_file()
        scores.iloc[row:60] = 1.0
        values.append(nab_score(scores, windows).value)
    assert values == sorted(values, reverse=True)
    # The formula: 50 for not missing it, and half of what the position is worth.
    s = [2 / (1 + math.exp(-5 * (60 - row) / 10)) - 1 for row in range(50, 60)]
    assert values == pytest.approx([50 + 50 * x / s[0] for x in s])


def test_a_false_alarm_costs_more_the_farther_it_is_behind_a_window():
    costs = []
    for row in (20, 60, 61, 65, 90, 99):
        scores, windows = one_file()
        scores.iloc[[50, row]] = 1.0
        costs.append(100 - nab_score(scores, windows, threshold=1.0).value)
    assert costs[0] == pytest.approx(5.5)  # 0.11 / 2
    assert costs[1:] == sorted(costs[1:])
    assert costs[-1] == pytest.approx(5.5)  # more than three windows behind
    assert costs[1] == pytest.approx(-5.5 * (2 / (1 + math.exp(5 / 9)) - 1))


def test_probation_is_neither_rewarded_nor_punished():
    scores, windows = one_file()
    scores.iloc[:15] = 1.0
    assert nab_score(scores, windows, threshold=1.0).false_alarm_rows == 0
    scores.iloc[15] = 1.0
    assert nab_score(scores, windows, threshold=1.0).false_alarm_rows == 1
    long, windows = one_file(10_000, [(5000, 5009)])
    long.iloc[:] = 1.0
    result = nab_score(long, windows, threshold=1.0)
    assert result.files["probation"].tolist() == [750]
    assert result.false_alarm_rows == 10_000 - 750 - 10


def test_a_window_within_the_probation_is_no_window():
    scores, windows = one_file(windows=[(2, 9), (50, 59)])
    assert nab_score(scores, windows).windows == 1
    with pytest.raises(NotEnoughEvidence, match="window"):
        nab_score(scores, windows.iloc[:1])


def test_repeated_and_unsorted_timestamps_count_as_rows():
    scores, windows = one_file()
    scores.iloc[[30, 50]] = 1.0
    stamps = scores.index.get_level_values("timestamp").to_numpy().copy()
    stamps[70:76] = stamps[64:70]  # the clock goes back: six rows come twice, well behind the window
    names = scores.index.get_level_values("entity")
    index = pd.MultiIndex.from_arrays([names, pd.DatetimeIndex(stamps)], names=["entity", "timestamp"])
    turned = pd.Series(scores.to_numpy(), index=index)
    pd.testing.assert_frame_equal(nab_score(turned, windows).files, nab_score(scores, windows).files)


def test_missing_scores_are_never_flagged():
    scores, windows = one_file()
    scores.iloc[:] = np.nan
    assert nab_score(scores, windows).value == 0
    scores.iloc[55] = -3.0
    result = nab_score(scores, windows)
    assert (result.threshold, result.hits, result.false_alarm_rows) == (-3.0, 1, 0)


def test_own_weights_are_a_profile():
    scores, windows = one_file()
    scores.iloc[[20, 50]] = 1.0
    assert nab_score(scores, windows, NabProfile(2.0, 1.0, 0.5)).value == pytest.approx(100 * 2.5 / 3)


def test_what_cannot_be_scored_is_refused():
    scores, windows = one_file()
    with pytest.raises(ContractError, match="standard"):
        nab_score(scores, windows, "standart")
    with pytest.raises(ContractError, match="file-07"):
        nab_score(scores, windows.assign(entity="file-07"))
    with pytest.raises(ContractError, match="share"):
        nab_score(scores, pd.concat([windows, windows]))
    with pytest.raises(ContractError, match="share"):
        nab_score(*one_file(windows=[(50, 59), (59, 65)]))
    with pytest.raises(ContractError, match="columns"):
        nab_score(scores, windows[["entity", "start"]])
    with pytest.raises(NotEnoughEvidence):
        nab_score(scores, windows.iloc[:0])
    with pytest.raises(NotEnoughEvidence):
        nab_interval(scores, windows)  # one file


@settings(max_examples=settings().max_examples // 8)
@given(corpus=corpora(files=(5, 6)), profile=st.sampled_from(sorted(NAB_PROFILES)), seed=st.integers(0, 9))
def test_each_resample_is_a_corpus_of_its_own(corpus, profile, seed):
    """The interval's ends are percentiles of full scores of corpora made by drawing files again."""
    if not hittable(corpus):
        return
    values = []
    for counts in np.concatenate(list(resample_counts(len(corpus), 20, seed))):
        drawn = [file for file, count in zip(corpus, counts, strict=True) for _ in range(count)]
        values.append(nab_score(*frames(drawn), profile).value if hittable(drawn) else np.nan)
    if np.isnan(values).sum() >= 10:
        with pytest.raises(NotEnoughEvidence):
            nab_interval(*frames(corpus), profile, resamples=20, seed=seed)
        return
    estimate = nab_interval(*frames(corpus), profile, resamples=20, seed=seed)
    value = nab_score(*frames(corpus), profile).value
    lo, hi = np.nanquantile(values, [0.025, 0.975])
    assert estimate == pytest.approx((value, min(lo, value), max(hi, value)))


def test_a_fixed_threshold_stays_fixed_in_each_resample():
    rng = np.random.default_rng(4)
    corpus = [([60 * i for i in range(60)], rng.random(60).tolist(), [(1800, 2400)]) for _ in range(6)]
    scores, windows = frames(corpus)
    values = []
    for counts in np.concatenate(list(resample_counts(6, 50, 3))):
        drawn = [file for file, count in zip(corpus, counts, strict=True) for _ in range(count)]
        values.append(nab_score(*frames(drawn), threshold=0.9).value)
    estimate = nab_interval(scores, windows, threshold=0.9, resamples=50, seed=3)
    assert estimate[1:] == pytest.approx(np.quantile(values, [0.025, 0.975]))
    assert estimate.value == pytest.approx(nab_score(scores, windows, threshold=0.9).value)
    assert nab_interval(scores, windows, seed=3) == nab_interval(scores, windows, seed=3)


@pytest.fixture(scope="module")
def cloudwatch(data_mirror):
    """NAB's real AWS CloudWatch files as the workbench loads them, scored by the absolute difference."""
    tables = datasets.load("nab", files=["realAWSCloudwatch/*"])
    values = tables["telemetry"].max(axis=1)  # a file has one metric
    return values.groupby(level="entity").diff().abs(), tables["windows"]


@every_profile
def test_equals_the_naive_twin_on_real_files(cloudwatch, profile):
    scores, windows = cloudwatch
    entities = windows["entity"].unique()[:4]
    scores = scores[scores.index.get_level_values("entity").isin(entities)].round(2)
    scores = scores.groupby(level="entity").head(1500)
    windows = windows[windows["entity"].isin(entities)]
    files = []
    for entity in scores.index.unique("entity"):
        own, mine = scores.loc[entity], windows[windows["entity"] == entity]
        ends = [(int(s.timestamp()), int(e.timestamp())) for s, e in zip(mine["start"], mine["end"], strict=True)]
        files.append(([int(stamp.timestamp()) for stamp in own.index], own.tolist(), ends))
    weights = NAB_PROFILES[profile]
    result = nab_score(scores, windows, profile)
    # The twin takes a second a threshold on real files: some thresholds, and the chosen one among them.
    for threshold in [result.threshold, *np.nanquantile(scores, [0.5, 0.99, 0.999])]:
        raw, hits, count, false = naive.nab_raw(files, threshold, *weights)
        fixed = nab_score(scores, windows, profile, threshold=threshold)
        assert (fixed.hits, fixed.windows, fixed.false_alarm_rows) == (hits, count, false)
        assert fixed.raw == pytest.approx(raw)
        assert fixed.raw <= result.raw + 1e-9


def test_a_part_of_the_corpus_has_its_own_windows_and_threshold(cloudwatch):
    scores, windows = cloudwatch
    result = nab_score(scores, windows)
    assert (len(result.files), result.windows) == (17, 30)
    estimate = nab_interval(scores, windows, resamples=200)
    assert estimate.lo < result.value < estimate.hi
