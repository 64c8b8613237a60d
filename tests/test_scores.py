"""Scores of detectors as features: of rows that the detector had not learnt."""

import itertools

import numpy as np
import pandas as pd
import pytest
from test_rolling import panel

from stability import detection
from stability.features import Scores, Season
from stability.schema import ContractError


def rows(count=400):
    return panel(3, sizes=(count, count), gaps=0.0)


@pytest.mark.parametrize("name", ["mean_shift_recursive", "pca", "residual"])
def test_later_rows_get_what_the_detector_says_of_them(name):
    table = rows()
    first = table.groupby(level="entity").cumcount() < 250
    made = Scores(name, parts=True).fit(table[first])
    found = made.transform(table)
    model = detection.DETECTORS[name]().fit(table[first])
    pd.testing.assert_series_equal(found[f"all__{name}__score"][~first], model.score(table[~first]), check_names=False)
    parts = found[[f"{metric}__{name}__score" for metric in table]][~first].set_axis(list(table), axis=1)
    pd.testing.assert_frame_equal(parts, model.score_metrics(table[~first]))
    cut = table.groupby(level="entity").head(320)
    pd.testing.assert_frame_equal(made.transform(cut), found.loc[cut.index])


def test_rows_of_the_training_part_are_scored_by_what_came_before_their_block():
    table = rows(200)
    made = Scores("mean_shift_global", blocks=4).fit(table)
    found = made.transform(table)["all__mean_shift_global__score"]
    times = table.index.get_level_values("timestamp")
    edges = [times.min() + (times.max() - times.min()) * k / 4 for k in range(5)]
    assert found[times <= edges[1]].isna().all()
    for begin, end in itertools.pairwise(edges[1:]):
        block = (times > begin) & (times <= end)
        expected = detection.DETECTORS["mean_shift_global"]().fit(table[times <= begin]).score(table[block])
        pd.testing.assert_series_equal(found[block], expected, check_names=False)


def test_live_goes_on_after_the_training_part():
    table = rows()
    number = table.groupby(level="entity").cumcount()
    made = Scores("mean_shift_recursive", parts=True).fit(table[number < 250])
    whole = made.transform(table)
    made.begin(table[number < 300])
    for k in range(300, 320):
        now = table[number == k]
        entities, stamps = (now.index.get_level_values(level) for level in ("entity", "timestamp"))
        assert made.update(now.to_numpy(), stamps, entities) == pytest.approx(whole.loc[now.index].to_numpy(), rel=1e-9)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ContractError, match="did you mean 'residual'"):
        Scores("residul")
    with pytest.raises(ContractError, match="fit"):
        Scores("pca").transform(rows())
    with pytest.raises(ContractError, match="blocks"):
        Scores("pca", blocks=1)
    assert np.isnan(Scores("difference").fit(rows(40)).transform(rows(40).iloc[:1]).to_numpy()).all()


def day(count=600):
    """A sine of an hour with a step down, two minutes a row."""
    stamps = pd.date_range("2026-01-01", periods=count, freq="2min", tz="UTC", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([["a"], stamps], names=["entity", "timestamp"])
    load = 5 + np.sin(np.arange(count) * 2 * np.pi / 30) + np.random.default_rng(0).normal(scale=0.1, size=count)
    return pd.DataFrame({"load": load}, index)


def test_a_seasonal_residual_knows_the_season_and_the_side():
    table = day()
    table.iloc[500] -= 2
    table.iloc[550] += 2
    made = Season(periods=[3600.0]).fit(table.iloc[:400])
    found = made.transform(table)["load__z__season"]
    assert found.iloc[500] < -8
    assert found.iloc[550] > 8
    calm = found.iloc[400:].drop(found.index[[500, 550]])
    assert calm.abs().max() < 6
    size = detection.DETECTORS["residual"](periods=[3600.0]).fit(table.iloc[:400]).score(table.iloc[400:])
    assert found.iloc[400:].abs().to_numpy() == pytest.approx(size.to_numpy())
    pd.testing.assert_series_equal(made.transform(table.iloc[:450])["load__z__season"], found.iloc[:450])
    periods = Season().fit(table.iloc[:400]).model_.learnt_["periods"].ravel()
    assert periods.tolist() == pytest.approx([3600e6], rel=0.05)


def test_a_seasonal_residual_goes_on_live_also_from_within_the_training_part():
    table = day(460)
    made = Season(periods=[3600.0]).fit(table.iloc[:400])
    whole = made.transform(table)
    made.begin(table.iloc[:390])
    for k in range(390, 460):
        found = made.update(table.to_numpy()[[k]], table.index.get_level_values(1)[[k]], pd.Index(["a"]))
        assert found == pytest.approx(whole.iloc[[k]].to_numpy(), rel=1e-9, nan_ok=True)
