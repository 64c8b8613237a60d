"""Ensemble: members on the scale of their own quiet rows, as a few lines of pandas say."""

import numpy as np
import pandas as pd
import pytest
from series import panel

from stability.detection import DETECTORS, held_back_scores, load
from stability.detection.ensemble import Ensemble
from stability.schema import ContractError

MEMBERS = ("mean_shift_global", "pca")  # neither remembers rows: blocks of the history need no run-up


def fleet(seed, rows=400):
    rng = np.random.default_rng(seed)
    frames = [
        panel(*rng.normal(scale=spread, size=(3, rows)), entity=name) for name, spread in {"a": 1, "b": 50}.items()
    ]
    return pd.concat(frames)


@pytest.mark.parametrize("folds", [2, 5])
def test_scores_are_the_quadratic_mean_of_doublings_over_what_is_rare(folds):
    history, test = fleet(0), fleet(1)
    test.index = test.index.set_levels(test.index.levels[1] + pd.Timedelta("1D"), level=1)
    squares = []
    for name in MEMBERS:
        rare = held_back_scores(DETECTORS[name](), history, folds=folds).groupby("entity").quantile(0.99)
        scores = DETECTORS[name]().fit(history).score(test)
        squares.append(np.log2(1 + scores / rare.reindex(scores.index.get_level_values("entity")).to_numpy()) ** 2)
    expected = np.sqrt(sum(squares) / len(squares))
    found = Ensemble(members=MEMBERS, level=0.99, folds=folds).fit(history).score(test)
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9)


def test_one_threshold_serves_entities_of_any_scale():
    ensemble = Ensemble().fit(fleet(0, rows=2_000))
    scores = ensemble.score(fleet(1, rows=2_000))
    quiet = scores.groupby("entity").quantile(0.99)
    assert quiet.to_numpy() == pytest.approx(1.0, abs=0.2)


def test_a_fault_in_one_metric_is_blamed_on_it():
    ensemble, frame = Ensemble().fit(fleet(0)), fleet(1)
    frame.iloc[300, 1] += 30
    shares = ensemble.contributions(frame).iloc[300]
    assert shares["m1"] > 0.8
    assert ensemble.score(frame).idxmax() == frame.index[300]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"members": ()}, "members"),
        ({"members": ("pcaa",)}, "pca"),
        ({"folds": 1}, "folds"),
        ({"members": ("pca", "pca")}, "twice"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ContractError, match=said):
        Ensemble(**settings)


def test_entities_of_a_few_rows_stay_within_the_fleet():
    rng = np.random.default_rng(3)
    brief = [panel(*rng.normal(1000, 1, size=(3, rows)), entity=f"z{rows}") for rows in (1, 2, 3)]
    history = pd.concat([fleet(0), *brief])
    whole, alone = Ensemble().fit(history), Ensemble().fit(fleet(0))
    for name in Ensemble().members:
        assert whole.learnt_[f"level.{name}"][:2] == pytest.approx(alone.learnt_[f"level.{name}"])
    assert held_back_scores(Ensemble(), history, folds=2).groupby("entity").size()["z1"] >= 1


def test_many_entities_of_one_row_are_no_live_batch():
    rng = np.random.default_rng(4)
    ones = [panel(*rng.normal(size=(3, 1)), entity=f"o{k}") for k in range(9)]
    long = panel(*rng.normal(1000, 1, size=(3, 40)), entity="a")
    ensemble = Ensemble(members=("pca",)).fit(pd.concat([long, *ones]))
    assert ensemble.learnt_["level.pca"][0] < 10


def test_nets_may_be_members_and_come_back_from_disk(tmp_path):
    ensemble = Ensemble(members=("pca", "lstm", "autoencoder", "arima"), folds=2).fit(fleet(0))
    scores = ensemble.score(fleet(1))
    read = load(ensemble.save(tmp_path / "ensemble.npz"))
    assert read.score(fleet(1)).equals(scores)
    assert scores.notna().mean() > 0.9
