"""One protocol for every predictor: what is learnt comes before what is judged, and nothing else does."""

import numpy as np
import pandas as pd
import pytest

from stability.prediction import protocol
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
DECLARED = {"rolling": [{"windows": ["3h"], "statistics": ["mean"]}]}
SPLIT = {"horizon": "6h", "test_from": "2026-01-16T00:00:00Z", "recovery": "2h"}


def fleet(entities=6, hours=720, seed=0):
    """Machines whose load rises for six hours before each fault, a fault every two days or so."""
    rng = np.random.default_rng(seed)
    stamps = pd.date_range(START, periods=hours, freq="h", name="timestamp").as_unit("us")
    names = [f"m{k}" for k in range(entities)]
    index = pd.MultiIndex.from_product([names, stamps], names=["entity", "timestamp"])
    load, faults = rng.normal(size=(entities, hours)), []
    for k, name in enumerate(names):
        for at in np.cumsum(rng.integers(24, 72, size=hours // 48)):
            if at < hours:
                load[k, max(at - 6, 0) : at] += 3
                faults.append(
                    {"fault_id": f"{name}-{at}", "entity": name, "impact_start": stamps[at], "failure_mode": "wear"}
                )
    logs = pd.DataFrame({"timestamp": stamps[::5], "entity": "m0", "level": "INFO", "message": "E1"})
    logs.loc[logs["timestamp"] >= pd.Timestamp(SPLIT["test_from"]), "message"] = "E2"
    return {
        "telemetry": pd.DataFrame({"load": load.ravel()}, index),
        "faults": validate(pd.DataFrame(faults), "faults"),
        "logs": logs,
    }


def test_by_time_the_gap_is_learnt_at_last_and_outages_are_not_judged():
    tables = fleet()
    (fold,) = protocol.prepare(tables, DECLARED, **SPLIT)
    stamps = fold.features.index.get_level_values("timestamp")
    first, gap = pd.Timestamp(SPLIT["test_from"]), pd.Timedelta(SPLIT["horizon"])
    assert stamps[fold.split.test].min() == first
    assert stamps[fold.before].max() < first - gap
    assert (fold.before >= fold.split.train | fold.split.calibration).all()
    assert stamps[fold.split.train].max() < stamps[fold.split.calibration].min() - gap
    between = fold.before & ~fold.split.train & ~fold.split.calibration
    assert between.any()
    moments = set(zip(tables["faults"]["entity"], tables["faults"]["impact_start"], strict=True))
    judged = set(fold.features.index[fold.judged()])
    assert not moments & judged
    assert len(judged) < fold.split.test.sum()


def test_what_is_fitted_is_fitted_on_the_training_part_alone():
    declared = DECLARED | {"events": {"windows": ["1D"], "least": 1}}
    (fold,) = protocol.prepare(fleet(), declared, **SPLIT)
    assert "code_E1__count__1D" in fold.features
    assert not any("E2" in name for name in fold.features)
    assert pd.Timestamp(fold.features.attrs["fitted_on"]["until"]) < pd.Timestamp(SPLIT["test_from"])


def test_by_entity_the_same_rows_are_judged_each_by_what_was_learnt_on_others():
    tables = fleet()
    (whole,) = protocol.prepare(tables, DECLARED, **SPLIT)
    folds = protocol.prepare(tables, DECLARED, **SPLIT, protocol="entity", folds=3)
    assert len(folds) == 3
    assert (sum(fold.split.test.astype(int) for fold in folds) == whole.split.test).all()
    entities = whole.features.index.get_level_values("entity")
    for fold in folds:
        own = set(entities[fold.split.test])
        assert own.isdisjoint(entities[fold.before])
        assert own.isdisjoint(fold.features.attrs["fitted_on"]["entities"])


def test_only_some_entities_may_be_asked_for():
    tables = fleet()
    (fold,) = protocol.prepare(tables, DECLARED, **SPLIT, entities=["m1", "m2"])
    assert fold.features.index.unique("entity").tolist() == ["m1", "m2"]
    (whole,) = protocol.prepare(tables, DECLARED, **SPLIT)
    pd.testing.assert_frame_equal(fold.features, whole.features.loc[["m1", "m2"]], check_names=False)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"protocol": "random"}, "entity"),
        ({"entities": ["m99"]}, "m99"),
        ({"test_share": 0.5}, "test_from"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused(wrong, named):
    with pytest.raises(ContractError, match=named):
        protocol.prepare(fleet(), DECLARED, **(SPLIT | wrong))


def test_tables_without_faults_are_refused():
    tables = fleet()
    del tables["faults"]
    with pytest.raises(ContractError, match="faults"):
        protocol.prepare(tables, DECLARED, **SPLIT)
