"""The Windowed Gaussian: Numenta's definition, its published score, and the manner of all detectors."""

import json
import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import datasets
from stability.detection.windowed_gaussian import WindowedGaussian, gaussian_tail
from stability.evaluation import nab_score
from stability.schema import ContractError, validate

series = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3)), min_size=1, max_size=60)


def panel(rows=400, seed=0, metrics=2):
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2026-01-01", periods=rows, freq="5min", tz="UTC", unit="us")
    parts = {
        entity: pd.DataFrame({f"metric_{m}": rng.normal(size=rows) for m in range(metrics)}, index=stamps)
        for entity in ("api-1", "db-1")
    }
    return validate(pd.concat(parts, names=["entity", "timestamp"]), "telemetry")


@given(values=series, window=st.integers(1, 20), step=st.integers(1, 20))
def test_equals_the_naive_twin(values, window, step):
    step = min(step, window)
    fast = gaussian_tail(np.array(values), window, step, decimals=None)
    assert fast == pytest.approx(naive.gaussian_tail(values, window, step), abs=1e-6)


@pytest.mark.parametrize("kind", ["random", "constant", "steps", "trend", "large"])
def test_equals_the_naive_twin_on_long_series(kind):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=700)
    values = {
        "random": noise,
        "constant": np.full(700, 0.1),
        "steps": np.repeat([3.0, 3.0, 7.0, 1.0, 1.0, 1.0, 9.0], 100),
        "trend": np.arange(700.0) + noise,
        "large": 1e9 + noise,
    }[kind]
    fast = gaussian_tail(values, window=100, step=10, decimals=None)
    assert fast == pytest.approx(naive.gaussian_tail(values.tolist(), 100, 10), abs=1e-6)


def test_a_missing_value_is_as_if_it_had_never_been_a_row():
    values = np.random.default_rng(2).normal(size=300)
    holed = values.copy()
    holes = np.arange(7, 300, 11)
    holed[holes] = np.nan
    scores = gaussian_tail(holed, 50, 5)
    assert np.isnan(scores[holes]).all()
    np.testing.assert_array_equal(np.delete(scores, holes), gaussian_tail(np.delete(values, holes), 50, 5))


def test_scores_are_tail_probabilities():
    scores = gaussian_tail(np.random.default_rng(3).normal(size=500), 100, 10)
    assert scores[0] == 0
    assert scores[1:].min() >= 0.5
    assert scores.max() <= 1


def test_a_constant_past_has_numentas_smallest_deviation():
    scores = gaussian_tail(np.array([1.0, 1.0, 1.0 + 2e-6]))
    assert scores == pytest.approx([0, 0.5, 0.977249868], abs=1e-8)


def test_the_value_itself_does_not_shape_its_score():
    values = np.array([1.0, 3.0, 2.0, 1e9])
    assert gaussian_tail(values)[-1] == 1.0
    assert gaussian_tail(values[:3]).tolist() == gaussian_tail(values)[:3].tolist()


def test_what_was_fitted_and_what_follows_score_as_one():
    whole = panel()
    early = whole.groupby(level="entity").cumcount() < 250
    detector = WindowedGaussian(window=100, step=10).fit(whole[early])
    at_once = WindowedGaussian(window=100, step=10).fit(whole).score_metrics(whole)
    pd.testing.assert_frame_equal(detector.score_metrics(whole[~early]), at_once[~early])
    # A panel that contains the history starts anew, as a file of the benchmark does.
    pd.testing.assert_frame_equal(detector.score_metrics(whole), at_once)


def test_one_entity_may_go_on_while_another_starts_anew():
    whole = panel()
    early = whole.groupby(level="entity").cumcount() < 250
    detector = WindowedGaussian(window=100, step=10).fit(whole[early])
    mixed = pd.concat([whole[~early].loc[["api-1"]], whole.loc[["db-1"]]])
    at_once = WindowedGaussian(window=100, step=10).fit(whole).score(whole)
    pd.testing.assert_series_equal(detector.score(mixed), at_once.loc[mixed.index])


def test_a_row_scores_as_its_least_probable_metric():
    whole = panel()
    detector = WindowedGaussian().fit(whole)
    pd.testing.assert_series_equal(detector.score(whole), detector.score_metrics(whole).max(axis=1), check_names=False)
    assert detector.score(whole).name == "windowed_gaussian"


def test_the_future_changes_no_score():
    whole = panel()
    detector = WindowedGaussian(window=100, step=10).fit(whole.iloc[:1])
    moment = whole.index.get_level_values("timestamp")[200]
    cut = whole[whole.index.get_level_values("timestamp") <= moment]
    pd.testing.assert_series_equal(detector.score(whole).loc[cut.index], detector.score(cut))


@pytest.mark.parametrize(("window", "step"), [(0, 0), (10, 0), (10, 11), (-1, -1)])
def test_a_step_that_does_not_fit_is_refused(window, step):
    with pytest.raises(ContractError, match="step"):
        WindowedGaussian(window=window, step=step)
    with pytest.raises(ContractError, match="step"):
        gaussian_tail(np.ones(3), window, step)


@pytest.fixture(scope="module")
def benchmark(data_mirror):
    """All 58 files of NAB, rows in their files' order (repeated timestamps included), scored; and the windows."""
    labels = json.loads((data_mirror / "nab/labels/combined_windows.json").read_text())
    parts = {}
    for name in labels:
        file = pd.read_csv(data_mirror / "nab/data" / name, parse_dates=["timestamp"])
        stamps = pd.DatetimeIndex(file["timestamp"]).tz_localize("UTC").as_unit("us")
        parts[name] = pd.DataFrame({"score": gaussian_tail(file["value"].to_numpy(), decimals=None)}, index=stamps)
    scores = pd.concat(parts, names=["entity", "timestamp"])["score"]
    rows = [(name, *(pd.Timestamp(end, tz="UTC") for end in ends)) for name in labels for ends in labels[name]]
    return scores, pd.DataFrame(rows, columns=["entity", "start", "end"])


@pytest.mark.parametrize(
    ("profile", "published"),  # results/final_results.json of numenta/NAB at ea702d7
    [("standard", 39.649523496077585), ("low_fp", 20.86798582474138), ("low_fn", 47.4100271583046)],
)
def test_it_gets_the_published_score(benchmark, profile, published):
    scores, windows = benchmark
    assert len(scores) == 365_558
    assert len(windows) == 116
    result = nab_score(scores.round(12), windows, profile)
    assert result.value == pytest.approx(published, abs=1e-9)
    assert result.threshold == 1.0
    assert result.windows == 116


def test_it_gets_the_published_score_as_a_detector_on_loaded_data(data_mirror):
    """The loader keeps repeated rows apart; it sorts the one file whose clock goes back, which moves nothing here."""
    tables = datasets.load("nab")
    scores = WindowedGaussian().fit(tables["telemetry"]).score(tables["telemetry"])
    assert nab_score(scores, tables["windows"]).value == pytest.approx(39.649523496077585, abs=1e-6)


def test_more_digits_than_the_published_files_hold_only_help(benchmark):
    scores, windows = benchmark
    assert nab_score(scores, windows).value == pytest.approx(40.134874, abs=1e-6)


def test_numentas_null_gets_0(benchmark):
    scores, windows = benchmark
    result = nab_score(scores * 0 + 0.5, windows)  # its detector says 0.5 throughout
    assert (result.value, result.threshold, result.raw) == (0.0, math.inf, -116.0)
