"""What is learnt on a fold: from what comes before the test, and set right on rows that were not learnt."""

import pandas as pd
import pytest
from test_protocol import DECLARED, SPLIT, fleet

from stability.prediction import protocol
from stability.prediction.calibrated import Calibrated
from stability.prediction.learning import learn, maker
from stability.schema import ContractError, validate


@pytest.mark.parametrize("name", ["logistic", "xgboost", "hazard", "by_mode"])
def test_what_comes_in_the_test_part_teaches_nothing(name):
    tables, first = fleet(), pd.Timestamp(SPLIT["test_from"])
    make = maker(name, {"trees": 20} if name != "logistic" else {}, SPLIT["horizon"])
    other = {**tables, "faults": tables["faults"][tables["faults"]["impact_start"] < first]}
    more = pd.DataFrame(
        [{"fault_id": "x", "entity": "m0", "impact_start": first + pd.Timedelta("1h"), "failure_mode": "wear"}]
    )
    other["faults"] = pd.concat([other["faults"], validate(more, "faults")])
    (one,), (two,) = (protocol.prepare(own, DECLARED, **SPLIT, record_ends=False) for own in (tables, other))
    a, b = learn(make, one), learn(make, two)
    rows = one.split.test
    pd.testing.assert_series_equal(a.model.predict(one.features, rows=rows), b.model.predict(two.features, rows=rows))
    pd.testing.assert_series_equal(a.validation, b.validation)


def test_the_block_sets_right_what_the_training_part_taught_and_is_learnt_then():
    (fold,) = protocol.prepare(fleet(), DECLARED, **SPLIT)
    make = maker("logistic", {}, SPLIT["horizon"])
    usable = fold.target.usable
    alone = make().fit(fold.features, fold.target.y, rows=fold.split.train & usable)
    block = fold.split.calibration & usable
    right = Calibrated(alone).fit(fold.features, fold.target.y, rows=block)
    found = learn(make, fold)
    pd.testing.assert_series_equal(
        found.validation[fold.features.index[block]], right.predict(fold.features, rows=block)
    )
    right.predictor = make().fit(fold.features, fold.target.y, rows=fold.before & usable)
    pd.testing.assert_series_equal(
        found.model.predict(fold.features, rows=fold.judged()), right.predict(fold.features, rows=fold.judged())
    )
    last = fold.features.index[fold.before].get_level_values("timestamp").max()
    assert pd.Timestamp(found.model.predictor.fitted_on_["until"]) == last


def test_faults_are_foretold_better_than_by_chance_on_the_future_and_on_machines_never_seen():
    tables = fleet()
    for how in ("time", "entity"):
        folds = protocol.prepare(tables, DECLARED, **SPLIT, protocol=how, folds=3)
        make = maker("logistic", {"strength": 1.0}, SPLIT["horizon"])
        said = [learn(make, fold).model.predict(fold.features, rows=fold.judged()) for fold in folds]
        probability = pd.concat(said)
        came = pd.Series(folds[0].target.y, folds[0].features.index)[probability.index]
        assert probability[came].mean() > 3 * probability[~came].mean()


def test_blocks_of_the_past_are_judged_by_what_the_others_taught():
    (fold,) = protocol.prepare(fleet(), DECLARED, **SPLIT, calibration_share=0)
    make = maker("logistic", {}, SPLIT["horizon"])
    found = learn(make, fold, blocks=3)
    moments, train, usable = fold.features.index.get_level_values("timestamp"), fold.split.train, fold.target.usable
    stamps = moments[train].unique().sort_values()
    first = moments < stamps[len(stamps) // 3]
    gap = pd.Timedelta(SPLIT["horizon"])
    rest = train & usable & (moments >= stamps[len(stamps) // 3] + gap)
    alone = make().fit(fold.features, fold.target.y, rows=rest).predict(fold.features, rows=train & first & usable)
    own = found.validation[alone.index]
    assert (own.rank() == alone.rank()).all()
    assert len(found.validation) == (train & fold.features.index.isin(fold.labels.index.droplevel("horizon"))).sum()
    came = pd.Series(fold.target.y, fold.features.index)[found.validation.index]
    assert found.validation.mean() == pytest.approx(came.mean(), abs=0.02)
    whole = make().fit(fold.features, fold.target.y, rows=train & usable)
    said = whole.predict(fold.features, rows=fold.judged())
    pd.testing.assert_series_equal(found.model.predict(fold.features, rows=fold.judged()), found.model.set_right(said))


def test_blocks_beside_a_block_of_its_own_and_a_single_block_are_refused():
    make = maker("logistic", {}, SPLIT["horizon"])
    for share, blocks in ((0.2, 3), (0, 1)):
        (fold,) = protocol.prepare(fleet(), DECLARED, **SPLIT, calibration_share=share)
        with pytest.raises(ContractError, match="blocks"):
            learn(make, fold, blocks=blocks)


def test_predictors_and_settings_that_there_are_not_are_refused():
    with pytest.raises(ContractError, match="xgboost"):
        maker("xgbost", {}, "6h")
    with pytest.raises(ContractError, match="depth"):
        maker("xgboost", {"dept": 3}, "6h")
