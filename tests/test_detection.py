"""The manner that every registered detector keeps, whatever it computes."""

import copy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.detection import DETECTORS
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
HISTORY, ROWS = 300, 420
KINDS = ("random", "seasonal", "constant", "gappy", "tiny", "steps")
every_detector = pytest.mark.parametrize("name", DETECTORS)
few = settings(max_examples=8, deadline=None)


def values(kind, seed, rows=ROWS):
    """One metric of one entity."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=rows)
    made = {
        "random": noise * 3 + 100,
        "seasonal": 10 * np.sin(np.arange(rows) / 12) + noise,
        "constant": np.full(rows, 0.1),
        "gappy": np.where(rng.random(rows) < 0.4, np.nan, noise),
        "tiny": noise * 1e-12,
        "steps": np.repeat(rng.integers(0, 3, size=rows // 20 + 1), 20)[:rows].astype(float),
    }
    return made[kind]


def panel(kinds, seed, rows=ROWS):
    """Two entities; the second begins an hour later and is shorter."""
    parts = {}
    for number, entity in enumerate(["api-1", "db-1"]):
        length = rows - 40 * number
        stamps = pd.date_range(START + pd.Timedelta(hours=number), periods=length, freq="5min", unit="us")
        columns = {f"metric_{m}": values(kind, seed + 17 * m + number, length) for m, kind in enumerate(kinds)}
        parts[entity] = pd.DataFrame(columns, index=stamps)
    return validate(pd.concat(parts, names=["entity", "timestamp"]), "telemetry")


def split(frame, rows=HISTORY):
    """The first rows of each entity, and the rest."""
    early = frame.groupby(level="entity").cumcount() < rows
    return frame[early], frame[~early]


def cut(frame, moment):
    return frame[frame.index.get_level_values("timestamp") <= moment]


panels = st.builds(panel, st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), st.integers(0, 1000))


@every_detector
@few
@given(frame=panels)
def test_scores_are_numbers_on_the_panels_index(name, frame):
    history, later = split(frame)
    detector = DETECTORS[name]()
    assert detector.fit(history) is detector
    scores = detector.score(later)
    assert isinstance(scores, pd.Series)
    assert scores.dtype == "float64"
    assert scores.name == name
    assert scores.index.equals(later.index)
    assert not np.isinf(scores).any()
    assert validate(scores, "scores")[name].equals(scores)


@every_detector
@few
@given(frame=panels)
def test_a_rows_score_is_the_highest_of_its_metrics(name, frame):
    history, later = split(frame)
    detector = DETECTORS[name]().fit(history)
    by_metric = detector.score_metrics(later)
    assert list(by_metric.columns) == list(later.columns)
    pd.testing.assert_series_equal(by_metric.max(axis=1), detector.score(later), check_names=False)


@every_detector
@few
@given(frame=panels, until=st.integers(0, ROWS - 1), with_history=st.booleans())
def test_the_future_changes_no_score(name, frame, until, with_history):
    history, later = split(frame)
    detector = DETECTORS[name]().fit(history)
    judged = frame if with_history else later
    moment = START + until * pd.Timedelta("5min")
    whole, prefix = cut(detector.score(judged), moment), detector.score(cut(judged, moment))
    pd.testing.assert_series_equal(whole, prefix, check_exact=True)


@every_detector
@few
@given(frame=panels, until=st.integers(HISTORY + 20, ROWS - 1))
def test_another_future_changes_no_score_either(name, frame, until):
    history, later = split(frame)
    detector = DETECTORS[name]().fit(history)
    moment = START + until * pd.Timedelta("5min")
    other = later.copy()
    other.loc[other.index.get_level_values("timestamp") > moment] = 1e6
    pd.testing.assert_series_equal(cut(detector.score(later), moment), cut(detector.score(other), moment))


@every_detector
@few
@given(frame=panels)
def test_entities_do_not_touch_each_other(name, frame):
    history, later = split(frame)
    together = DETECTORS[name]().fit(history).score(later)
    for entity in ("api-1", "db-1"):
        own_history, own = (f[f.index.get_level_values("entity") == entity] for f in (history, later))
        alone = DETECTORS[name]().fit(own_history).score(own)
        pd.testing.assert_series_equal(together.loc[[entity]], alone)


@every_detector
def test_columns_may_come_in_another_order_or_be_absent(name):
    history, later = split(panel(["random", "seasonal", "steps"], 1))
    detector = DETECTORS[name]().fit(history)
    by_metric = detector.score_metrics(later)
    turned = detector.score_metrics(later[["metric_2", "metric_0"]])
    pd.testing.assert_frame_equal(turned, by_metric[["metric_2", "metric_0"]])


@every_detector
def test_missing_values_are_not_judged_and_hide_nothing_else(name):
    history, later = split(panel(["random", "random"], 2))
    detector = DETECTORS[name]().fit(history)
    holed = later.copy()
    holed.iloc[10] = np.nan
    holed.iloc[20, 0] = np.nan
    by_metric = detector.score_metrics(holed)
    assert np.isnan(detector.score(holed).iloc[10])
    assert np.isnan(by_metric.iloc[20, 0])
    assert by_metric.iloc[20, 1] == pytest.approx(detector.score_metrics(later).iloc[20, 1], rel=0.2)
    assert detector.score(holed).drop(holed.index[[10, 11, 20, 21]]).notna().all()


@every_detector
def test_a_metric_that_is_never_there_is_never_judged(name):
    frame = panel(["random", "random"], 3)
    frame["metric_1"] = np.nan
    history, later = split(frame)
    detector = DETECTORS[name]().fit(history)
    assert detector.score_metrics(later)["metric_1"].isna().all()
    assert detector.score(later).notna().all()


@pytest.mark.parametrize("name", [n for n in DETECTORS if n != "random"])
@pytest.mark.parametrize("kind", ["random", "constant", "tiny"])
def test_a_spike_far_outside_scores_highest(name, kind):
    history, later = split(panel([kind], 4))
    spiked = later.copy()
    spiked.iloc[50] += 1e3
    scores = DETECTORS[name]().fit(history).score(spiked)
    around = scores.iloc[50:52].max()  # the way back is as large a step as the way out
    assert around == scores.loc[["api-1"]].max()
    assert scores.iloc[50] > scores.loc[["api-1"]].drop(scores.index[50:52]).max()


@every_detector
def test_judging_leaves_the_detector_and_its_input_as_they_were(name):
    history, later = split(panel(["random", "gappy"], 5))
    before = copy.deepcopy((history, later))
    detector = DETECTORS[name]().fit(history)
    first = detector.score(later)
    detector.score(history)
    pd.testing.assert_series_equal(detector.score(later), first)
    pd.testing.assert_frame_equal(history, before[0])
    pd.testing.assert_frame_equal(later, before[1])


@every_detector
def test_fitting_again_forgets_the_first_history(name):
    first, other = panel(["random"], 6), panel(["seasonal"], 7)
    twice = DETECTORS[name]().fit(split(first)[0]).fit(split(other)[0])
    once = DETECTORS[name]().fit(split(other)[0])
    later = split(other)[1]
    pd.testing.assert_series_equal(twice.score(later), once.score(later))


@every_detector
def test_a_detector_says_what_shaped_it(name):
    history, _ = split(panel(["random"], 8))
    fitted = DETECTORS[name]().fit(history).fitted_on_
    assert fitted["entities"] == ["api-1", "db-1"]
    assert pd.Timestamp(fitted["until"]) == history.index.get_level_values("timestamp").max()


@every_detector
def test_no_history_no_judgement(name):
    frame = panel(["random"], 9)
    with pytest.raises(ContractError, match="fit"):
        DETECTORS[name]().score(frame)
    with pytest.raises(ContractError, match="history"):
        DETECTORS[name]().fit(frame.iloc[:0])


@every_detector
def test_a_metric_unknown_to_the_history_is_refused(name):
    history, later = split(panel(["random"], 10))
    with pytest.raises(ContractError, match="metric_0"):
        DETECTORS[name]().fit(history).score(later.rename(columns={"metric_0": "metric_O"}))


@every_detector
def test_an_entity_without_history_raises_nothing_wild(name):
    history, later = split(panel(["random", "constant"], 11))
    newcomer = later.rename(index={"api-1": "new-1"}, level="entity").sort_index()
    scores = DETECTORS[name]().fit(history).score(newcomer)
    assert not np.isinf(scores).any()
    assert scores.loc["db-1"].notna().all()


@every_detector
def test_no_rows_no_scores(name):
    history, later = split(panel(["random"], 12))
    assert DETECTORS[name]().fit(history).score(later.iloc[:0]).empty


@every_detector
def test_a_single_entity_frame_needs_no_entity_level(name):
    stamps = pd.date_range(START, periods=ROWS, freq="5min", unit="us", name="timestamp")
    frame = pd.DataFrame({"cpu_ratio": values("random", 13)}, index=stamps)
    scores = DETECTORS[name]().fit(frame.iloc[:HISTORY]).score(frame.iloc[HISTORY:])
    assert scores.index.equals(validate(frame.iloc[HISTORY:], "telemetry").index)


def test_names_fit_the_tables():
    for name in DETECTORS:
        row = pd.DataFrame({"entity": ["api-1"], "timestamp": [START], name: [1.0]})
        assert list(validate(row, "scores").columns) == [name]
