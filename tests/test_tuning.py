"""Settings chosen on folds."""

import os
import pickle
import signal

import numpy as np
import pandas as pd
import pytest
from test_hazard import lives

from stability.prediction import entity_folds, time_folds
from stability.prediction.spaces import Dimension
from stability.prediction.tuning import tune
from stability.schema import ContractError

SPACE = [Dimension("right", 0.0, 1.0), Dimension("dull", 1, 50, log=True)]


class Dial:
    """The nearer `right` is to 0.7 and `dull` to 1, the more it knows; remembers what it was given."""

    fits = 0
    seen: list = []  # noqa: RUF012
    stop = None

    def __init__(self, *, right=0.1, dull=10, noise=3.0):
        self.right, self.dull, self.noise = right, dull, noise

    def fit(self, features, happened, *, rows):
        type(self).fits += 1
        type(self).seen.append((self.right, self.dull, int(rows.sum()), float(features["shift"].iloc[0])))
        if Dial.stop is not None and Dial.fits >= Dial.stop[0]:
            Dial.stop[1]()
        return self

    def predict(self, features, *, rows):
        blur = self.noise * (abs(self.right - 0.7) + self.dull / 50)
        said = 1 / (1 + np.exp(-features["truth"] - blur * features["chance"]))
        return said[rows]


@pytest.fixture(autouse=True)
def fresh():
    Dial.fits, Dial.seen, Dial.stop = 0, [], None


def data(days=120, seed=0):
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2026-01-01", periods=days, tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([list("abcd"), stamps], names=["entity", "timestamp"])
    truth = rng.normal(size=len(index))
    features = pd.DataFrame({"truth": truth - 1, "chance": rng.normal(size=len(index)), "shift": 0.0}, index)
    within = np.asarray(stamps[index.codes[1]] < stamps[90])
    folds = time_folds(index, 3, horizon="2D", lookback="0s", within=within)
    return features, rng.random(len(index)) < 1 / (1 + np.exp(1 - truth)), folds, within


def tuned(*parts, **options):
    features, happened, folds, _ = data()
    given = dict(zip(("features", "happened", "folds"), parts, strict=False))
    given = {"features": features, "happened": happened, "folds": folds} | given
    return tune(Dial, **{**given, "space": SPACE, "trials": 16, **options})


def alike(one, two):
    pd.testing.assert_frame_equal(one.table.drop(columns="seconds"), two.table.drop(columns="seconds"))
    assert one.settings == two.settings


@pytest.mark.parametrize("measure", ["average_precision", "log_score"])
def test_it_finds_what_is_better_and_says_by_how_much(measure):
    found = tuned(measure=measure, trials=25)
    better = found.value > found.default if measure == "average_precision" else found.value < found.default
    assert better
    assert abs(found.settings["right"] - 0.7) < 0.4
    assert found.table.loc[0, ["right", "dull"]].tolist() == [0.1, 10]
    names = ["time fold 1 of 3", "time fold 2 of 3", "time fold 3 of 3"]
    whole = found.table[found.table["state"] == "complete"]
    assert whole["value"].to_numpy() == pytest.approx(whole[names].mean(axis=1).to_numpy())
    assert found.spread == pytest.approx(whole.loc[whole["value"] == found.value, names].iloc[0].std())
    assert found.gain == pytest.approx(found.value - found.default)
    assert (found.done + found.pruned, found.failed, found.resumed) == (25, 0, 0)


def test_poor_trials_are_cut_short_and_never_win():
    found = tuned(trials=25)
    assert found.pruned > 0
    pruned = found.table[found.table["state"] == "pruned"]
    assert pruned["time fold 1 of 3"].notna().all()
    assert pruned["time fold 3 of 3"].isna().all()
    assert pruned["value"].isna().all()
    assert Dial.fits == found.table[[f"time fold {k} of 3" for k in (1, 2, 3)]].notna().sum().sum() < 75


def test_never_worse_than_the_defaults():
    space = [Dimension("noise", 0.0, 9.0), Dimension("dull", 1, 50)]
    found = tune(lambda *, noise=0.0, dull=1: Dial(right=0.7, noise=noise, dull=dull), *data()[:3], space=space)
    assert found.value >= found.default
    assert tuned(trials=1).settings == {"right": 0.1, "dull": 10}


def test_equal_seeds_give_equal_trials_and_others_give_others():
    one = tuned()
    alike(one, tuned())
    assert not tuned(seed=1).table["right"].equals(one.table["right"])


@pytest.mark.parametrize("fits", [1, 16, *(pytest.param(fits, marks=pytest.mark.soak) for fits in (5, 29))])
def test_a_search_that_was_stopped_goes_on_as_if_it_never_was(fits, tmp_path):
    whole = tuned()

    def stop():
        raise KeyboardInterrupt

    Dial.fits, Dial.stop = 0, (fits, stop)
    with pytest.raises(KeyboardInterrupt):
        tuned(store=tmp_path)
    Dial.stop = None
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes() + b'{"op_code":5,"worker')  # what a kill may leave of a line
    (tmp_path / f"{kept.name}.lock").symlink_to(kept)
    found = tuned(store=tmp_path)
    alike(found, whole)
    assert found.resumed < 16
    alike(tuned(store=tmp_path), whole)
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


def test_a_killed_process_loses_one_trial_at_most(tmp_path):
    child = os.fork()
    if not child:
        Dial.stop = (17, lambda: os.kill(os.getpid(), signal.SIGKILL))
        tuned(store=tmp_path)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    found = tuned(store=tmp_path)
    assert found.resumed >= 5
    alike(found, tuned())


def test_a_search_that_is_done_is_not_done_again_but_goes_on_with_a_larger_budget(tmp_path):
    tuned(store=tmp_path, trials=6)
    Dial.fits = 0
    assert tuned(store=tmp_path, trials=6).resumed == 6
    assert Dial.fits == 0
    found = tuned(store=tmp_path)
    assert found.resumed == 6
    alike(found, tuned())


def test_what_is_kept_is_text(tmp_path):
    tuned(store=tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes().isascii()
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(kept.read_bytes())
    kept.write_text('{"no": "journal"}\n')
    with pytest.raises(ContractError, match="journal"):
        tuned(store=tmp_path)


def test_only_one_process_at_a_time(tmp_path):
    def again():
        Dial.stop = None
        with pytest.raises(ContractError, match="at work"):
            tuned(store=tmp_path)

    Dial.stop = (2, again)
    tuned(store=tmp_path, trials=2)


def test_time_ends_it_too(tmp_path):
    found = tuned(seconds=0, store=tmp_path)
    assert (found.done, found.settings) == (1, {"right": 0.1, "dull": 10})
    assert len(tuned(seconds=0, store=tmp_path).table) == 1
    alike(tuned(store=tmp_path), tuned())


def test_other_data_settings_or_folds_are_another_search(tmp_path):
    features, happened, folds, _ = data()
    changes = [
        {},
        {"features": features * 2},
        {"happened": ~happened},
        {"folds": folds[:2]},
        {"space": SPACE[:1]},
        {"fixed": {"noise": 1.0}},
        {"measure": "log_score"},
        {"seed": 3},
        {"first": [{"right": 0.5, "dull": 2}]},
    ]
    for count, change in enumerate(changes, start=1):
        assert tuned(store=tmp_path, trials=2, **change).resumed == 0
        assert len(list(tmp_path.iterdir())) == count


def test_rows_outside_of_the_folds_are_never_looked_at(tmp_path):
    features, happened, folds, within = data()
    one = tuned(store=tmp_path, trials=6)
    garbage = np.random.default_rng(9).random(len(happened)) < 0.5
    labels, spoilt = np.where(within, happened, garbage), features.copy()
    spoilt.loc[~within] = 1e9
    alike(one, tuned(spoilt, labels, folds, trials=6))
    assert tuned(spoilt, labels, folds, store=tmp_path, trials=6).resumed == 6
    used = sum(fold.train | fold.test for fold in folds) > 0
    assert not used[~within].any()


def test_real_predictors_do_not_read_labels_outside_of_the_folds():
    features, happened, folds, within = data()
    turned = np.where(within, happened, ~happened)
    one, two = (tune("logistic", features, labels, folds, trials=4) for labels in (happened, turned))
    alike(one, two)


def test_features_may_be_fitted_in_each_fold():
    features, happened, folds, _ = data()
    asked = []

    def fitted(fold):
        asked.append(fold.name)
        return features.assign(shift=float(fold.train.sum()))

    found = tuned(fitted, happened, folds)
    assert asked == [fold.name for fold in folds]
    assert all(shift == rows for _, _, rows, shift in Dial.seen)
    assert len(found.table) == 16


def test_entities_may_be_folded_too():
    features, happened, _, within = data()
    folds = entity_folds(features.index, 2, 0, within=within)
    found = tune("logistic", features, happened, folds, trials=3, measure="log_score")
    assert found.value <= found.default


def test_settings_that_won_before_are_tried_next_and_fixed_ones_stay():
    found = tuned(first=[{"right": 0.7, "dull": 1}], trials=2, fixed={"noise": 5.0})
    assert found.table["right"].tolist() == [0.1, 0.7]
    assert found.settings == {"noise": 5.0, "right": 0.7, "dull": 1}
    for wrong in ({"right": 2.0, "dull": 1}, {"right": 0.5}, {"right": 0.5, "dull": 1, "other": 2}):
        with pytest.raises(ContractError, match="first"):
            tuned(first=[wrong])


def test_settings_that_break_do_not_end_the_search():
    def make(*, right=0.1, dull=10):
        if right > 0.5:
            raise ContractError(column="right", expected="less", got=right)
        return Dial(right=right, dull=dull)

    found = tune(make, *data()[:3], space=SPACE, trials=12)
    assert found.failed > 0
    assert found.done + found.pruned + found.failed == 12
    assert found.settings["right"] <= 0.5
    assert found.table.loc[found.table["state"] == "failed", "error"].str.contains("right").all()
    with pytest.raises(ContractError, match="less"):
        tune(lambda *, right=0.9: make(right=right), *data()[:3], space=SPACE[:1])


def test_a_life_ends_where_the_test_part_begins():
    stamps = pd.date_range("2026-01-01", periods=2000, freq="h", tz="UTC", unit="us", name="timestamp")
    index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    features, time, known, _ = lives()
    features.index = index
    within = time <= 6 * 3600.0
    folds = time_folds(index, [stamps[1000], stamps[1500]], horizon="6h", lookback="0s")
    options = {"fixed": {"edges": ["1h", "2h", "6h"], "trees": 20}, "trials": 2, "space": [Dimension("depth", 2, 7)]}
    one = tune("hazard", features, within, folds, lives=(time, known), horizon="6h", **options)
    assert one.value > 1.1 * within[1000:].mean()
    late = np.arange(2000) >= 1500
    later = tune("hazard", features, within, folds[:1], lives=(np.where(late, 1.0, time), known), **options)
    again = tune("hazard", features, within, folds[:1], lives=(time, known), **options)
    alike(later, again)
    cut = np.flatnonzero(folds[0].train)[-1]
    ahead = (1000 - cut) * 3600.0
    beyond = tune(
        "hazard",
        features,
        within,
        folds[:1],
        lives=(np.where(np.arange(2000) == cut, ahead + 60, time), np.where(np.arange(2000) == cut, ahead + 60, known)),
        **options,
    )
    censored = np.where(np.arange(2000) == cut, np.nan, time), np.where(np.arange(2000) == cut, ahead, known)
    alike(beyond, tune("hazard", features, within, folds[:1], lives=censored, **options))


def test_what_makes_no_sense_is_refused():
    features, happened, folds, _ = data()
    with pytest.raises(ContractError, match="xgboost"):
        tune("xgbost", features, happened, folds)
    with pytest.raises(ContractError, match="none"):
        tune("base_rate", features, happened, folds)
    with pytest.raises(ContractError, match="one fold"):
        tuned(features, happened, [])
    with pytest.raises(ContractError, match="480 rows"):
        tuned(features.iloc[:9], happened, folds)
    with pytest.raises(ContractError, match="9 rows"):
        tuned(features.iloc[:9], happened[:9], folds)
    with pytest.raises(ContractError, match="test part of time fold 2"):
        tuned(features, happened & ~folds[1].test, folds)
    with pytest.raises(ContractError, match="trials"):
        tuned(trials=0)
    with pytest.raises(ContractError, match="measure"):
        tuned(measure="accuracy")
