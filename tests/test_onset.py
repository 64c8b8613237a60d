"""Changes are found where they are, against an obvious twin, and in the direction that hurts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shops import AVAILABILITY, LATENCY, shop, slow

from stability.localization import changes
from stability.localization.onset import contrasts, grid_of, noise_scale, rank_share, stretches


def plain_contrast(column, a, b):
    inside = [v for v in column[a:b] if np.isfinite(v)]
    outside = [v for v in [*column[:a], *column[b:]] if np.isfinite(v)]
    if not inside or not outside:
        return np.nan, np.nan
    return np.mean(inside) - np.mean(outside), np.sqrt(1 / len(inside) + 1 / len(outside))


values = st.one_of(st.floats(-100, 100), st.just(np.nan))


@given(arrays(np.float64, st.tuples(st.integers(3, 15), st.integers(1, 3)), elements=values))
def test_contrasts_equal_the_obvious(block):
    parts = stretches(len(block))
    difference, error = contrasts(block, parts)
    for k, (a, b) in enumerate(parts):
        for j in range(block.shape[1]):
            expected = plain_contrast(block[:, j], a, b)
            np.testing.assert_allclose([difference[k, j], error[k, j]], expected, atol=1e-9)


def test_a_long_history_ends_inside_its_change_and_a_short_one_may_hold_its_end():
    assert (stretches(40)[:, 1] == 40).all()
    assert [1, 3] in stretches(5).tolist()
    assert not len(stretches(2))


@pytest.mark.parametrize("rows", [5, 60])
@pytest.mark.parametrize("begin", [2, 3])
def test_the_onset_of_a_step_is_found(rows, begin):
    at = begin if rows == 5 else rows - 12 + begin
    panel = slow(shop(rows, seed=3), "search", 0.05, (at, rows))
    normal = shop(200, seed=1)
    level = normal.groupby(level="entity").median().stack()  # noqa: PD013
    scale = normal.groupby(level="entity").std().stack()  # noqa: PD013
    found = changes(panel, pd.DataFrame({"level": level, "scale": scale}).rename_axis(["entity", "metric"]))
    stamps = panel.loc["front"].index
    assert found.loc[("search", LATENCY), "onset"] == stamps[at]
    assert found.loc[("search", LATENCY), "z"] > 10
    assert found["z"].groupby("entity").max().idxmax() in ("search", "front")


def test_only_the_direction_that_hurts_counts():
    panel = shop(60)
    better = panel.copy()
    late = panel.index.get_level_values("timestamp") >= panel.loc["cart"].index[40]
    better.loc[late, LATENCY] /= 3
    worse = panel.copy()
    worse.loc[late, AVAILABILITY] = 0.8
    assert changes(better).xs(LATENCY, level="metric")["z"].max() < 5
    low = changes(worse).xs(AVAILABILITY, level="metric")
    assert (low["z"] > 5).all()
    assert (low["difference"] < 0).all()


def test_a_panel_without_rows_or_with_gaps_gives_what_it_can():
    empty = shop(5).iloc[:0]
    assert not len(changes(empty))
    gaps = shop(30)
    gaps.loc["cart", LATENCY] = np.nan
    found = changes(gaps)
    assert pd.isna(found.loc[("cart", LATENCY), "z"])
    assert pd.isna(found.loc[("cart", LATENCY), "onset"])
    assert np.isfinite(found.loc[("front", LATENCY), "z"])


def test_a_grid_holds_each_value_at_its_place():
    panel = shop(7).drop(index=[("cart", shop(7).loc["cart"].index[2])])
    grid = grid_of(panel.sample(frac=1, random_state=0).sort_index())
    for (entity, stamp), row in panel.iterrows():
        i, j = grid.stamps.get_loc(stamp), grid.entities.get_loc(entity)
        np.testing.assert_array_equal(grid.values[i, j], row.to_numpy())
    assert np.isnan(grid.values[2, grid.entities.get_loc("cart")]).all()


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20))
def test_rank_share_is_one_over_the_rank(numbers):
    got = rank_share(np.array(numbers))
    expected = [1 / (1 + sum(other > own for other in numbers)) if own > 0 else 0.0 for own in numbers]
    np.testing.assert_allclose(got, expected)


def test_noise_is_not_inflated_by_a_step():
    rng = np.random.default_rng(0)
    calm = rng.normal(0, 1, 4000)
    stepped = calm + np.repeat([0, 50], 2000)
    np.testing.assert_allclose(noise_scale(np.column_stack([calm, stepped])), [1, 1], rtol=0.06)
