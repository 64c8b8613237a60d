"""A model for each failure mode."""

import numpy as np
import pandas as pd
import pytest

from stability.evaluation import average_precision, log_score
from stability.prediction import impact_labels, time_folds
from stability.prediction.by_mode import ByMode, happened_by_mode
from stability.prediction.registry import load
from stability.prediction.trees import GradientBoosting
from stability.prediction.tuning import tune
from stability.schema import ContractError

MODES = ["disk", "fan", "disk fan"]


def parts(count=6000, seed=0):
    """Each part fails when it is old, and the machine is at work; each was replaced some time ago."""
    rng = np.random.default_rng(seed)
    columns = {f"state_replaced_{mode.replace(' ', '_')}__since__90D": rng.random(count) * 90 for mode in MODES}
    columns |= {"load__last__now": rng.random(count), "noise": rng.normal(size=count)}
    stamps = pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    features = pd.DataFrame(columns, index)
    work = features["load__last__now"].to_numpy() > 0.7
    odd = {mode: work & (features.iloc[:, k].to_numpy() > 30 * (k + 1) - 20) for k, mode in enumerate(MODES)}
    happened = pd.DataFrame({mode: own & (rng.random(count) < 0.15) for mode, own in odd.items()}, index)
    true = 1 - np.prod([1 - 0.15 * own for own in odd.values()], axis=0)
    return features, happened, true


def test_what_fails_apart_is_learnt_better_apart():
    features, happened, _ = parts()
    later, then, true = parts(seed=1)
    any_ = then.to_numpy().any(axis=1)
    model = ByMode().fit(features, happened)
    found = model.predict(later)
    plain = GradientBoosting().fit(features, happened.any(axis=1)).predict(later)
    assert average_precision(found, any_) > average_precision(plain, any_) + 0.01
    assert log_score(found.to_numpy(), any_) < log_score(plain.to_numpy(), any_)
    assert np.abs(found - true).mean() < 0.03
    each = model.predict_modes(later)
    assert list(each) == MODES
    assert (1 - (1 - each).prod(axis=1)).to_numpy() == pytest.approx(found.to_numpy())


def test_a_mode_reads_nothing_that_is_called_after_another():
    features, happened, _ = parts(1000)
    model = ByMode().fit(features, happened)
    names = [[features.columns[k] for k in model._columns(mode)] for mode in MODES]
    assert names == [[features.columns[k], "load__last__now", "noise"] for k in range(3)]
    turned = features.assign(**{features.columns[0]: 0.0})
    before, after = model.predict_modes(features), model.predict_modes(turned)
    pd.testing.assert_frame_equal(before[["fan", "disk fan"]], after[["fan", "disk fan"]])
    assert not before["disk"].equals(after["disk"])
    every = ByMode(own=False).fit(features, happened)
    assert every._columns("fan") == [0, 1, 2, 3, 4]


def test_only_rows_of_the_training_part_are_learnt_from_and_a_row_alone_is_as_in_a_batch():
    features, happened, _ = parts(2000)
    taken = np.arange(2000) < 1500
    model = ByMode().fit(features, happened, rows=taken)
    again = ByMode().fit(features, happened ^ ~taken[:, None], rows=taken)
    found = model.predict(features)
    pd.testing.assert_series_equal(found, again.predict(features))
    assert model.base_rate_ == happened[taken].any(axis=1).mean()
    asked = np.arange(2000) == 1700
    assert model.predict(features.iloc[[1700]]).tolist() == model.predict(features, rows=asked).tolist()
    assert model.predict(features, rows=asked).iloc[0] == found.iloc[1700]
    assert model.predict_modes(features, rows=asked).shape == (1, 3)
    assert model.predict_modes(features.iloc[:0]).shape == (0, 3)


def test_it_comes_back_from_disk_as_it_was(tmp_path):
    features, happened, _ = parts(2000)
    happened["fan"] = False  # a mode without a fault so far
    model = ByMode().fit(features, happened)
    again = load(model.save(tmp_path / "kept"))
    pd.testing.assert_frame_equal(again.predict_modes(features), model.predict_modes(features))
    pd.testing.assert_series_equal(again.predict(features), model.predict(features))
    assert again.get_params() == model.get_params()
    assert (again.predict_modes(features)["fan"] == 0).all()
    for path in [tmp_path / "kept" / name for name in ("modes.json", "mode-0/model.skops")]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ContractError):
            load(tmp_path / "kept")
        path.write_bytes(whole)


def test_labels_of_modes_together_are_the_labels():
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2026-01-01", periods=300, freq="h", tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([["a", "b"], stamps], names=["entity", "timestamp"])
    faults = pd.DataFrame(
        {
            "fault_id": [f"f{k}" for k in range(40)],
            "entity": rng.choice(["a", "b"], 40),
            "impact_start": stamps[rng.integers(0, 300, 40)],
            "failure_mode": rng.choice(["disk", "fan"], 40),
        }
    )
    for recovery in ("0s", "3h"):
        found = happened_by_mode(index, faults, "6h", recovery=recovery)
        assert list(found) == ["disk", "fan"]
        labels = impact_labels(index, faults, "6h", recovery=recovery).droplevel("horizon")["impact_within"]
        assert found.any(axis=1)[labels.index].tolist() == labels.tolist()
        assert not found[~index.isin(labels.index)].any(axis=None)
    assert list(happened_by_mode(index, faults, "6h", modes=["fan"])) == ["fan"]


def test_it_may_be_tuned():
    features, happened, _ = parts(1000)
    folds = time_folds(features.index, 2, horizon="1h", lookback="0s")
    found = tune("by_mode", features, happened, folds, trials=2, measure="log_score")
    assert found.value <= found.default
    later = np.arange(1000) >= 990
    fewer = [fold._replace(test=fold.test & ~later) for fold in folds]
    one = tune("by_mode", features, happened, fewer, trials=1)
    assert one.value == tune("by_mode", features, happened | later[:, None], fewer, trials=1).value


def test_what_makes_no_sense_is_refused():
    features, happened, _ = parts(500)
    with pytest.raises(ContractError, match="happened_by_mode"):
        ByMode().fit(features, happened.any(axis=1))
    with pytest.raises(ContractError, match="500 labels"):
        ByMode().fit(features, happened.iloc[:9])
    with pytest.raises(ContractError, match="fault ahead"):
        ByMode().fit(features, happened & False)
    with pytest.raises(ContractError, match="bool"):
        ByMode().fit(features, happened.astype(float))
    with pytest.raises(ContractError, match="fit"):
        ByMode().predict_modes(features)
    with pytest.raises(ContractError, match="modes"):
        happened_by_mode(features.index, pd.DataFrame({"failure_mode": pd.Series([], dtype="str")}), "1h")
