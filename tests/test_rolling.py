"""Statistics over windows: pandas' numbers, no future, and live what was computed in batch."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.features import STATISTICS, Rolling
from stability.schema import ContractError

EVERY = [*STATISTICS, "q05", "q50", "q90"]
WINDOWS = ["3min", "20min", "2h"]


def panel(seed=0, sizes=(70, 1, 40), gaps=0.1, metrics=2):
    """Rows at uneven moments, with gaps, steps and a stretch that stands still."""
    rng = np.random.default_rng(seed)
    frames = []
    for e, size in enumerate(sizes):
        seconds = np.cumsum(rng.integers(1, 400, size=size))
        stamps = pd.DatetimeIndex(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(seconds, unit="s")).as_unit(
            "us"
        )
        index = pd.MultiIndex.from_product([[f"web-{e}"], stamps], names=["entity", "timestamp"])
        values = rng.normal(size=(size, metrics)) + 10 * (np.arange(size)[:, None] > size / 2)
        values[size // 4 : size // 3] = 5.0
        values[rng.random(values.shape) < gaps] = np.nan
        frames.append(pd.DataFrame(values, index, columns=[f"m{k}" for k in range(metrics)]))
    return pd.concat(frames)


def by_pandas(table, window, statistic):
    """What pandas says, entity by entity."""
    parts = []
    for _, own in table.groupby(level="entity", sort=False):
        flat = own.droplevel("entity")
        rolled = flat.rolling(window)
        if statistic.startswith("q"):
            found = rolled.quantile(int(statistic[1:]) / 100)
        elif statistic == "ewma":
            found = pd.DataFrame(
                {name: flat[name].ewm(halflife=pd.Timedelta(window), times=flat.index).mean() for name in flat}
            )
        elif statistic == "slope":
            found = pd.DataFrame({name: line(flat[name], window) for name in flat}, flat.index)
        else:
            found = getattr(rolled, statistic)()
        parts.append(found.set_axis(own.index))
    return pd.concat(parts)


def line(values, window):
    seconds, known = values.index.as_unit("us").asi8 / 1e6, values.notna().to_numpy()
    found = []
    for moment in seconds:
        own = (seconds > moment - pd.Timedelta(window).total_seconds()) & (seconds <= moment) & known
        found.append(np.polyfit(seconds[own] - moment, values.to_numpy()[own], 1)[0] if own.sum() > 1 else np.nan)
    return found


@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 999), gaps=st.sampled_from([0.0, 0.1, 0.7]))
def test_numbers_are_those_of_pandas(seed, gaps):
    table = panel(seed, sizes=(50, 1, 20), gaps=gaps)
    ours = Rolling(WINDOWS, EVERY).transform(table)
    assert ours.index.equals(table.index)
    for window in WINDOWS:
        for statistic in EVERY:
            theirs = by_pandas(table, window, statistic)
            for metric in table:
                mine = ours[f"{metric}__{statistic}__{window}"].to_numpy()
                assert mine == pytest.approx(theirs[metric].to_numpy(), rel=1e-7, abs=1e-7, nan_ok=True), statistic


@pytest.mark.parametrize("statistic", EVERY)
def test_what_comes_later_changes_nothing(statistic):
    table = panel(1)
    whole = Rolling(WINDOWS, [statistic]).transform(table)
    for size in (1, 17, 52):
        cut = table.groupby(level="entity", sort=False).head(size)
        found = Rolling(WINDOWS, [statistic]).transform(cut)
        assert np.array_equal(found, whole.loc[cut.index], equal_nan=True)


@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 999), known=st.integers(0, 40))
def test_live_gives_the_numbers_of_the_panel(seed, known):
    table = panel(seed, sizes=(50, 40))
    rolling = Rolling(WINDOWS, EVERY)
    whole = rolling.transform(table)
    history = table.groupby(level="entity", sort=False).head(known)
    rolling.begin(history)
    for k in range(known, 50):
        rows = table.groupby(level="entity", sort=False).nth(k)
        found = rolling.update(rows.to_numpy(), rows.index.get_level_values(1), rows.index.get_level_values(0))
        assert found == pytest.approx(whole.loc[rows.index].to_numpy(), rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_great_value_leaves_no_trace_once_it_has_left():
    table = panel(2, sizes=(300,), gaps=0.0)
    table.iloc[50] = 1e12
    found = Rolling(["20min"], ["mean", "std", "slope"]).transform(table)
    after = table.index[table.index.get_level_values(1) > table.index[50][1] + pd.Timedelta("20min")]
    calm = Rolling(["20min"], ["mean", "std", "slope"]).transform(table.loc[after])
    past = after[after.get_level_values(1) > after[0][1] + pd.Timedelta("20min")]
    assert found.loc[past].to_numpy() == pytest.approx(calm.loc[past].to_numpy(), rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_constant_has_no_deviation_at_all():
    table = panel(3, gaps=0.0)
    table[:] = 0.1
    rolling = Rolling(WINDOWS, ["std", "slope", "mean"])
    found = rolling.transform(table)
    assert (found.filter(like="__std__").fillna(0) == 0).all(axis=None)
    assert (found.filter(like="__slope__").fillna(0) == 0).all(axis=None)
    assert (found.filter(like="__mean__") == 0.1).all(axis=None)


def test_parts_are_the_whole_in_pieces():
    table = panel(4, sizes=(30, 5, 60, 2))
    rolling = Rolling(["20min"], ["mean"])
    parts = list(rolling.transform_parts(table, memory=8 * 2 * 40))
    assert [part.index.unique("entity").tolist() for part in parts] == [["web-0", "web-1"], ["web-2"], ["web-3"]]
    pd.testing.assert_frame_equal(pd.concat(parts), rolling.transform(table))


def test_a_new_entity_starts_anew_and_more_rows_than_expected_are_held():
    rolling = Rolling(["1h"], ["count", "ewma"]).begin(panel(sizes=(1,)))
    start = pd.Timestamp("2026-02-01", tz="UTC")
    for k in range(200):
        stamp = pd.DatetimeIndex([start + pd.Timedelta(seconds=k)])
        found = rolling.update(np.ones((1, 2)), stamp, pd.Index(["new"]))
    assert found[0].tolist() == [200, 1, 200, 1]


def test_an_empty_panel_has_features_without_rows():
    table = panel().iloc[:0]
    assert Rolling(["1h"], EVERY).transform(table).shape == (0, 2 * len(EVERY))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ContractError, match="did you mean 'mean'"):
        Rolling(["1h"], ["men"])
    for window in ("1", "soon", "-1h", "1 h; drop", ""):
        with pytest.raises(ContractError, match="length of time"):
            Rolling([window])
    with pytest.raises(ContractError, match="a window"):
        Rolling([])
    rolling = Rolling(["1h"], ["mean"])
    now = pd.DatetimeIndex(["2026-03-01"], tz="UTC")
    with pytest.raises(ContractError, match="begin"):
        rolling.update(np.ones((1, 2)), now, pd.Index(["web-0"]))
    rolling.begin(panel())
    with pytest.raises(ContractError, match="finite"):
        rolling.update(np.full((1, 2), np.inf), now, pd.Index(["web-0"]))
    with pytest.raises(ContractError, match=r"values \(1, 2\)"):
        rolling.update(np.ones((1, 3)), now, pd.Index(["web-0"]))
    with pytest.raises(ContractError, match="two of web-0"):
        rolling.update(np.ones((2, 2)), now.append(now), pd.Index(["web-0", "web-0"]))
    rolling.update(np.ones((1, 2)), now, pd.Index(["web-0"]))
    with pytest.raises(ContractError, match="after the one before"):
        rolling.update(np.ones((1, 2)), now, pd.Index(["web-0"]))
