"""The manner that every registered detector keeps, whatever it computes."""

import copy
import re
from inspect import signature

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workbenches import CHECKOUT

from stability.detection import DETECTORS, load
from stability.detection.learned import NetDetector
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
HISTORY, ROWS = 340, 460  # the longest window of a detector is 330 values
LIVE = 60  # rows that come one by one
KINDS = ("random", "seasonal", "constant", "gappy", "tiny", "steps")
JOINT = {
    "pca",
    "isolation_forest",
    "ensemble",
    "lstm",
    "autoencoder",
    "autoencoder_convolutional",
}  # a metric's part depends on the row's other metrics
every_detector = pytest.mark.parametrize("name", DETECTORS)
few = settings(max_examples=settings().max_examples // 8)  # each fits a detector: 3 here, 62 in a soak


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


def made(name, **settings):
    """A detector that learns little: a net for an epoch, a forest of few trees; the manner is the same."""
    brief = {
        key: low for key, low in {"epochs": 1, "trees": 20}.items() if key in signature(DETECTORS[name]).parameters
    }
    return DETECTORS[name](**brief, **settings)


panels = st.builds(panel, st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), st.integers(0, 1000))


@every_detector
@few
@given(frame=panels)
def test_scores_are_numbers_on_the_panels_index(name, frame):
    history, later = split(frame)
    detector = made(name)
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
def test_a_rows_score_is_made_of_its_parts(name, frame):
    history, later = split(frame)
    detector = made(name).fit(history)
    by_metric, score = detector.score_metrics(later), detector.score(later)
    assert list(by_metric.columns) == list(later.columns)
    assert by_metric.notna().any(axis=1).equals(score.notna())
    assert ((by_metric.max(axis=1) <= score * (1 + 1e-9) + 1e-12) | score.isna()).all()
    assert ((by_metric.sum(axis=1) >= score * (1 - 1e-9) - 1e-12) | score.isna()).all()


@every_detector
@few
@given(frame=panels, until=st.integers(0, ROWS - 1), with_history=st.booleans())
def test_the_future_changes_no_score(name, frame, until, with_history):
    history, later = split(frame)
    detector = made(name).fit(history)
    judged = frame if with_history else later
    moment = START + until * pd.Timedelta("5min")
    whole, prefix = cut(detector.score(judged), moment), detector.score(cut(judged, moment))
    # A product of matrices may round its last bits by the size of a batch; that is no future.
    rounding = {"rtol": 1e-12, "atol": 0.0} if isinstance(detector, NetDetector) else {"check_exact": True}
    pd.testing.assert_series_equal(whole, prefix, **rounding)


@every_detector
@few
@given(frame=panels, until=st.integers(HISTORY + 20, ROWS - 1))
def test_another_future_changes_no_score_either(name, frame, until):
    history, later = split(frame)
    detector = made(name).fit(history)
    moment = START + until * pd.Timedelta("5min")
    other = later.copy()
    other.loc[other.index.get_level_values("timestamp") > moment] = 1e6
    pd.testing.assert_series_equal(cut(detector.score(later), moment), cut(detector.score(other), moment))


@every_detector
@few
@given(frame=panels)
def test_rows_that_come_live_get_the_numbers_of_the_panel(name, frame):
    history, later = split(frame)
    later = split(later, LIVE)[0]
    detector = made(name).fit(history)
    scores, parts = detector.score(later), detector.score_metrics(later)[detector.metrics_]
    values, entities = later[detector.metrics_].to_numpy(), later.index.get_level_values("entity")
    times = later.index.get_level_values("timestamp").tz_localize(None).to_numpy().astype("datetime64[us]")
    live_scores, live_parts = np.zeros(scores.shape), np.zeros(parts.shape)
    in_order = np.argsort(times, kind="stable")
    for rows in np.split(in_order, np.flatnonzero(np.diff(times[in_order])) + 1):
        said = detector.update(values[rows], times[rows], entities[rows])
        live_scores[rows], live_parts[rows] = said.score, said.parts
    np.testing.assert_allclose(live_scores, scores, rtol=detector.tolerance, atol=1e-12)
    np.testing.assert_allclose(live_parts, parts, rtol=detector.tolerance, atol=1e-12)
    pd.testing.assert_series_equal(detector.score(later), scores, check_exact=True)


@every_detector
def test_a_detector_goes_on_from_disk_where_it_was(name, tmp_path):
    history, later = split(panel(["random", "gappy", "seasonal"], 14))
    detector = made(name).fit(history)
    rows = later.xs("api-1", level="entity")
    one = pd.Index(["api-1"])

    def live(judge, part):
        return [
            judge.update(values[None], np.array([at.tz_localize(None)], "datetime64[us]"), one).score[0]
            for at, values in zip(part.index, part.to_numpy(), strict=True)
        ]

    live(detector, rows.iloc[:30])
    fresh = made(name).fit(history)
    assert fresh.live_state() is None
    fresh.resume_live({key: kept.copy() for key, kept in detector.live_state().items()})
    again = load(detector.save(tmp_path / "detector.npz"))
    assert again.get_params() == detector.get_params()
    assert again.fitted_on_ == detector.fitted_on_
    pd.testing.assert_series_equal(again.score(later), detector.score(later), check_exact=True)
    expected = pytest.approx(live(detector, rows.iloc[30:60]), nan_ok=True)
    assert live(again, rows.iloc[30:60]) == expected
    assert live(fresh, rows.iloc[30:60]) == expected


@every_detector
@few
@given(frame=panels)
def test_contributions_are_shares(name, frame):
    history, later = split(frame)
    detector = made(name).fit(history)
    shares = detector.contributions(later)
    assert (shares.fillna(0) >= 0).to_numpy().all()
    total = shares.sum(axis=1)[detector.score(later) > 0]
    assert total.to_numpy() == pytest.approx(np.ones(len(total)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v, t, e: (v[:, :1], t, e), "values"),
        (lambda v, t, e: (np.full_like(v, np.inf), t, e), "infinite"),
        (lambda v, t, e: (v, t - 10**12, e), "after the one before"),
        (lambda v, t, e: (v, t, pd.Index(["db-1", "db-1"])), "two of db-1"),
    ],
)
def test_live_rows_that_cannot_be_are_refused(change, said):
    history, later = split(panel(["random", "random"], 15))
    detector = DETECTORS["difference"]().fit(history)
    first = later.groupby(level="entity").head(1)
    times = first.index.get_level_values("timestamp").asi8
    given = change(first.to_numpy(), times, first.index.get_level_values("entity"))
    with pytest.raises(ContractError, match=said):
        detector.update(*given)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"])
def test_a_file_that_is_no_detector_is_refused(tmp_path, content):
    path = tmp_path / "detector.npz"
    with pytest.raises(ContractError, match="no file"):
        load(path)
    path.write_bytes(content)
    with pytest.raises(ContractError, match="save"):
        load(path)


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "detector.npz"
    np.savez(path, said=np.array([{"detector": "random"}], dtype=object))
    with pytest.raises(ContractError, match="save"):
        load(path)


@pytest.mark.parametrize("name", [n for n in DETECTORS if not DETECTORS[n]().of_the_fleet])
@few
@given(frame=panels)
def test_entities_do_not_touch_each_other(name, frame):
    history, later = split(frame)
    together = made(name).fit(history).score(later)
    for entity in ("api-1", "db-1"):
        own_history, own = (f[f.index.get_level_values("entity") == entity] for f in (history, later))
        alone = made(name).fit(own_history).score(own)
        pd.testing.assert_series_equal(together.loc[[entity]], alone)


@every_detector
def test_columns_may_come_in_another_order_or_be_absent(name):
    history, later = split(panel(["random", "seasonal", "steps"], 1))
    detector = made(name).fit(history)
    by_metric = detector.score_metrics(later)
    turned = ["metric_2", "metric_0", "metric_1"]
    pd.testing.assert_frame_equal(detector.score_metrics(later[turned]), by_metric[turned])
    fewer = detector.score_metrics(later[turned[:2]])
    assert list(fewer.columns) == turned[:2]
    if name in JOINT:
        assert fewer.notna().to_numpy().all()
    else:
        pd.testing.assert_frame_equal(fewer, by_metric[turned[:2]])


@every_detector
def test_missing_values_are_not_judged_and_hide_nothing_else(name):
    history, later = split(panel(["random", "random"], 2))
    detector = made(name).fit(history)
    holed = later.copy()
    holed.iloc[10] = np.nan
    holed.iloc[20, 0] = np.nan
    by_metric = detector.score_metrics(holed)
    assert np.isnan(detector.score(holed).iloc[10])
    assert np.isnan(by_metric.iloc[20, 0])
    if name not in JOINT:
        assert by_metric.iloc[20, 1] == pytest.approx(detector.score_metrics(later).iloc[20, 1], rel=0.2, abs=0.1)
    assert detector.score(holed).drop(holed.index[[10, 11, 20, 21]]).notna().all()


@every_detector
def test_a_metric_that_is_never_there_is_never_judged(name):
    frame = panel(["random", "random"], 3)
    frame["metric_1"] = np.nan
    history, later = split(frame)
    detector = made(name).fit(history)
    assert detector.score_metrics(later)["metric_1"].isna().all()
    assert detector.score(later).notna().all()
    shown = later.assign(metric_1=4e9)  # an exporter that was switched on: no history says what is usual
    assert detector.score_metrics(shown)["metric_1"].isna().all()
    pd.testing.assert_series_equal(detector.score(shown), detector.score(later))
    first = shown.groupby(level="entity", sort=False).head(1)
    live = detector.update(first.to_numpy(), first.index.get_level_values("timestamp"))
    assert live.score == pytest.approx(detector.score(later).loc[first.index].to_numpy(), rel=detector.tolerance)


@pytest.mark.parametrize("name", [n for n in DETECTORS if n != "random"])
@pytest.mark.parametrize("kind", ["random", "constant", "tiny"])
def test_what_was_never_seen_scores_highest(name, kind):
    history, later = split(panel([kind], 4))
    broken = later.copy()
    broken.iloc[50:62, 0] += 1e3 * np.array([1.0, 2.0] * 6)
    scores = made(name).fit(history).score(broken).loc[["api-1"]]
    broke = scores.iloc[50:92]  # the longest of the short windows is 30 values, and the way back is as large a step
    if name == "isolation_forest":  # outside of history is where its extremes are, and rest is never cut
        assert broke.max() >= scores.iloc[:50].quantile(0.9)
    else:
        assert broke.max() == scores.max()
        assert broke.max() > scores.iloc[:50].max()


@every_detector
def test_judging_leaves_the_detector_and_its_input_as_they_were(name):
    history, later = split(panel(["random", "gappy"], 5))
    before = copy.deepcopy((history, later))
    detector = made(name).fit(history)
    first = detector.score(later)
    detector.score(history)
    pd.testing.assert_series_equal(detector.score(later), first)
    pd.testing.assert_frame_equal(history, before[0])
    pd.testing.assert_frame_equal(later, before[1])


@every_detector
def test_fitting_again_forgets_the_first_history(name):
    first, other = panel(["random"], 6), panel(["seasonal"], 7)
    twice = made(name).fit(split(first)[0]).fit(split(other)[0])
    once = made(name).fit(split(other)[0])
    later = split(other)[1]
    pd.testing.assert_series_equal(twice.score(later), once.score(later))


@every_detector
def test_a_detector_says_what_shaped_it(name):
    history, _ = split(panel(["random"], 8))
    fitted = made(name).fit(history).fitted_on_
    assert fitted["entities"] == ["api-1", "db-1"]
    assert pd.Timestamp(fitted["until"]) == history.index.get_level_values("timestamp").max()


@every_detector
def test_no_history_no_judgement(name):
    frame = panel(["random"], 9)
    with pytest.raises(ContractError, match="fit"):
        made(name).score(frame)
    with pytest.raises(ContractError, match="history"):
        made(name).fit(frame.iloc[:0])


@every_detector
def test_a_metric_unknown_to_the_history_is_refused(name):
    history, later = split(panel(["random"], 10))
    with pytest.raises(ContractError, match="metric_0"):
        made(name).fit(history).score(later.rename(columns={"metric_0": "metric_O"}))


@every_detector
def test_an_entity_without_history_raises_nothing_wild(name):
    history, later = split(panel(["random", "constant"], 11))
    newcomer = later.rename(index={"api-1": "new-1"}, level="entity").sort_index()
    scores = made(name).fit(history).score(newcomer)
    assert not np.isinf(scores).any()
    assert scores.loc["db-1"].notna().all()


@every_detector
def test_no_rows_no_scores(name):
    history, later = split(panel(["random"], 12))
    assert made(name).fit(history).score(later.iloc[:0]).empty


@every_detector
def test_a_single_entity_frame_needs_no_entity_level(name):
    stamps = pd.date_range(START, periods=ROWS, freq="5min", unit="us", name="timestamp")
    frame = pd.DataFrame({"cpu_ratio": values("random", 13)}, index=stamps)
    scores = made(name).fit(frame.iloc[:HISTORY]).score(frame.iloc[HISTORY:])
    assert scores.index.equals(validate(frame.iloc[HISTORY:], "telemetry").index)


def test_the_example_of_the_contributors_page_keeps_the_manner(monkeypatch, tmp_path):
    """Its code is run as it stands there, and put through the tests above."""
    page = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    module, line = re.findall(r"```python\n# stability/detection/.+?\n(.+?)```", page, flags=re.DOTALL)
    made = {}
    exec(module, made)
    name, kind = re.fullmatch(r'"(\w+)": (\w+),\n', line).groups()
    monkeypatch.setitem(DETECTORS, name, made[kind])
    tests = [
        test for key, test in globals().items() if key.startswith("test_") and "name" in signature(test).parameters
    ]
    assert len(tests) >= 15
    for test in tests:
        more = {"tmp_path": tmp_path, "kind": "random"}
        test(name=name, **{key: more[key] for key in more if key in signature(test).parameters})


def test_names_fit_the_tables():
    for name in DETECTORS:
        row = pd.DataFrame({"entity": ["api-1"], "timestamp": [START], name: [1.0]})
        assert list(validate(row, "scores").columns) == [name]


def test_live_moments_may_have_a_time_zone_and_a_refused_row_leaves_no_trace():
    history, later = split(panel(["random"], 14))
    detector = DETECTORS["pca"]().fit(history)
    first = later.groupby(level="entity").head(1)
    stamps, names = first.index.get_level_values("timestamp"), first.index.get_level_values("entity")
    live = detector.update(first.to_numpy(), stamps, names)
    assert live.score == pytest.approx(detector.score(first).to_numpy())
    with pytest.raises(ContractError, match="finite"):
        detector.update(np.array([[np.inf]]), stamps[:1], pd.Index(["ghost"]))
    with pytest.raises(ContractError, match="moment"):
        detector.update(np.array([[1.0]]), np.array([0.5]), pd.Index(["ghost"]))
    assert "ghost" not in detector._live["entities"]


def test_settings_of_numpy_are_kept_and_a_file_with_others_is_refused(tmp_path):
    path = DETECTORS["novelty"](known=np.int64(3)).fit(panel(["random"], 0)).save(tmp_path / "novelty.npz")
    assert load(path).known == 3
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    arrays["said"] = np.array(str(arrays["said"]).replace('"known"', '"unknown"'))
    np.savez(path, **arrays)
    with pytest.raises(ContractError, match="save"):
        load(path)


@pytest.mark.parametrize("setting", ["floor", "clip", "smooth", "seed", "window", "memory", "known", "warmup", "rows"])
@pytest.mark.parametrize("wrong", [-1, np.nan, "x", 1.5])
def test_settings_that_cannot_work_are_refused_at_once(setting, wrong):
    having = [make for make in DETECTORS.values() if setting in signature(make).parameters]
    assert having
    fractions = {"floor", "clip"}
    for make in having:
        if wrong == 1.5 and setting in fractions:
            continue
        if setting == "seed" and make is DETECTORS["random"]:
            continue
        with pytest.raises(ContractError, match=setting):
            make(**{setting: wrong})
