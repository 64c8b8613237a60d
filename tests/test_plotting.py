"""What the pictures say: lines hold the data and their peaks, axes carry units, marks stand where faults are."""

import itertools

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import plotting
from stability.decomposition import decompose, strength
from stability.plotting.series import envelope
from stability.plotting.style import RC, unit_text
from stability.schema import ContractError, empty, validate

START = pd.Timestamp("2026-03-02", tz="UTC")
CPU, MEMORY = "system_cpu_utilization_ratio", "process_resident_memory_bytes"


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def fleet(entities=3, days=3, step=300):
    """A panel of two known metrics and one that no registry knows."""
    seconds = np.arange(0, days * 86_400, step)
    rng = np.random.default_rng(0)
    parts = []
    for number in range(entities):
        stamps = (START + pd.to_timedelta(seconds, unit="s")).as_unit("us").rename("timestamp")
        load = 0.4 + 0.2 * np.sin(2 * np.pi * seconds / 86_400)
        values = {
            CPU: load + 0.02 * rng.normal(size=len(seconds)),
            MEMORY: 8e9 * load,
            "mine": rng.normal(size=len(seconds)),
        }
        one = pd.DataFrame(values, index=stamps)
        one.attrs["entity"] = f"host-{number}"
        parts.append(validate(one, "telemetry"))
    return pd.concat(parts).sort_index()


def one_fault(entity="host-0", **times):
    row = {"fault_id": "f1", "entity": entity, **{name: START + pd.Timedelta(after) for name, after in times.items()}}
    return validate(pd.DataFrame([row]), "faults")


def days(moment):
    return mdates.date2num(moment)


def line_of(ax):
    """Times (days since 1970) and values of the first line."""
    x, y = ax.lines[0].get_data()
    return mdates.date2num(np.asarray(x)), np.asarray(y, dtype=float)


def labels_of(ax):
    return ax.get_xlabel(), ax.get_ylabel()


# --- style -----------------------------------------------------------------------------------------------------------


def test_units_are_words_of_the_registry():
    words = {CPU: "ratio 0-1", MEMORY: "bytes", "mine": "no unit", "gpu_temperature_celsius": "°C"}
    words |= {"system_network_receive_bytes_per_second": "bytes/s", "process_open_fds": "file descriptors"}
    words |= {"http_server_requests_per_second": "requests/s"}
    assert {name: unit_text(name) for name in words} == words


def test_style_sets_what_it_says_and_colours_are_distinct():
    with plt.rc_context():
        plotting.style()
        assert plt.rcParams["figure.dpi"] == 100
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == plotting.COLOURS
    assert len(set(plotting.COLOURS)) == len(plotting.COLOURS)
    assert set(plotting.COLOURS) <= set(plotting.PALETTE.values())
    assert set(RC) <= set(plt.rcParams)


def test_every_picture_has_report_width():
    panel = fleet()
    parts = decompose(panel.loc[["host-0"], [CPU]])
    pictures = [
        plotting.plot_fleet(panel, CPU),
        plotting.plot_panel(panel, entity="host-0"),
        plotting.plot_distribution(panel),
        plotting.plot_components(parts),
        plotting.plot_strength(strength(parts)),
        plotting.plot_residuals({"a": parts["resid"]}, CPU),
    ]
    singles = [
        plotting.plot_series(panel.loc[["host-0"], CPU]),
        plotting.plot_correlation(panel.corr()),
        plotting.plot_season(parts, 86_400),
    ]
    for ax in [*singles, *(axes[0] for axes in pictures)]:
        width, height = ax.figure.get_size_inches()
        assert width == 9
        assert height < 9


# --- the envelope ----------------------------------------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)), min_size=1, max_size=400),
    st.integers(1, 40),
    st.integers(0, 3),
)
def test_the_envelope_keeps_every_extreme(values, bins, jitter):
    rng = np.random.default_rng(jitter)
    seconds = np.cumsum(rng.integers(1, 2 + jitter, len(values)))
    series = pd.Series(values, index=START + pd.to_timedelta(seconds, unit="s"))
    thin = envelope(series, bins)
    known = thin.dropna()
    assert thin.index.is_monotonic_increasing
    assert (series.reindex(known.index) == known).all()
    assert len(known) <= max(2 * bins, len(series))
    if series.notna().any():
        assert known.max() == series.max()
        assert known.min() == series.min()
        edges = np.linspace(seconds[0], seconds[-1] + 1e-6, bins + 1)
        own = (known.index - START).total_seconds()
        for first, last in itertools.pairwise(edges):
            part = series[(seconds >= first) & (seconds < last)].dropna()
            if len(part):
                near = known[(own >= first - 1e-5) & (own < last + 1e-5)]
                assert near.max() >= part.max()
                assert near.min() <= part.min()


def test_a_gap_in_the_rows_breaks_the_line():
    stamps = START + pd.to_timedelta([0, 60, 120, 3600, 3660], unit="s")
    thin = envelope(pd.Series(1.0, index=stamps))
    assert thin.isna().sum() == 1
    assert stamps[2] < thin.index[thin.isna()][0] < stamps[3]


def test_a_spike_among_thousands_of_points_is_in_the_line():
    panel = fleet(1, days=30, step=60)
    spike = panel.index[20_011]
    panel.loc[spike, CPU] = 0.99
    ax = plotting.plot_series(panel[CPU])
    x, y = line_of(ax)
    assert len(y) < 3000
    assert np.nanmax(y) == 0.99
    assert x[np.nanargmax(y)] == pytest.approx(days(spike[1]), abs=1e-6)


def test_a_value_between_missing_ones_is_still_seen():
    panel = fleet(1)
    panel[CPU] = np.nan
    panel.iloc[100, 0] = 0.7
    ax = plotting.plot_series(panel[CPU])
    assert ax.lines[1].get_marker() == "."
    assert np.asarray(ax.lines[1].get_ydata(), dtype=float).tolist() == [0.7]


# --- series, panel, fleet --------------------------------------------------------------------------------------------


def test_a_series_is_its_data_with_unit_and_utc():
    panel = fleet(1, days=1)
    ax = plotting.plot_series(panel[MEMORY])
    x, y = line_of(ax)
    np.testing.assert_array_equal(y, panel[MEMORY])
    np.testing.assert_allclose(x, days(panel.index.get_level_values("timestamp")), atol=1e-6)
    assert labels_of(ax) == ("time (UTC)", "bytes")
    assert f"{MEMORY}, host-0" in (ax.get_title(), ax.get_title(loc="left"))
    ax.figure.canvas.draw()
    assert any("G" in text.get_text() for text in ax.get_yticklabels()), "billions are written with a prefix"


def test_a_series_goes_into_given_axes():
    _, ax = plt.subplots()
    assert plotting.plot_series(fleet(1)[CPU], ax=ax) is ax
    assert len(plt.get_fignums()) == 1


def test_a_panel_has_a_shared_axis_and_a_unit_per_metric():
    panel = fleet(days=2)
    panel.loc["host-1", "mine"] = np.nan
    axes = plotting.plot_panel(panel, entity="host-1")
    assert [ax.get_ylabel() for ax in axes] == ["ratio 0-1", "bytes"], "what the entity does not have is not drawn"
    assert axes[0].get_shared_x_axes().joined(axes[0], axes[1])
    np.testing.assert_array_equal(line_of(axes[0])[1], panel.loc["host-1", CPU])
    chosen = plotting.plot_panel(panel, entity="host-0", metrics=["mine"], columns=1)
    assert [ax.get_ylabel() for ax in chosen] == ["no unit"]
    with pytest.raises(ContractError, match="host-0"):
        plotting.plot_panel(panel, entity="hots-0")
    with pytest.raises(ContractError, match="one entity"):
        plotting.plot_panel(panel)
    with pytest.raises(ContractError, match="mine"):
        plotting.plot_panel(panel, entity="host-0", metrics=["mien"])


def test_a_fleet_has_a_row_per_entity_that_has_the_metric():
    panel = fleet()
    panel.loc["host-1", CPU] = np.nan
    axes = plotting.plot_fleet(panel, CPU)
    assert [ax.get_title(loc="left") or ax.get_title() for ax in axes] == ["host-0", "host-2"]
    assert axes[-1].get_xlabel() == "time (UTC)"
    assert axes[0].figure.get_supylabel() == "ratio 0-1"
    assert axes[0].get_ylim() == axes[1].get_ylim(), "a known metric has one scale"
    own = plotting.plot_fleet(panel.assign(mine=panel["mine"] * (1 + (panel.index.codes[0] == 2) * 9)), "mine")
    assert own[0].get_ylim() != own[-1].get_ylim(), "an unknown column may be anything"
    with pytest.raises(ContractError, match="none"):
        plotting.plot_fleet(panel.loc[["host-1"]], CPU)


def test_a_large_fleet_shows_the_restless_and_says_so():
    panel = fleet(20, days=1)
    row = panel.index.get_locs(["host-13"])[:5]
    panel.iloc[row, panel.columns.get_loc("mine")] = 400.0
    axes = plotting.plot_fleet(panel, "mine", max_rows=4)
    assert len(axes) == 4
    assert "host-13" in [ax.get_title(loc="left") or ax.get_title() for ax in axes]
    assert "4 of 20" in axes[0].figure.get_suptitle()


def test_entities_of_different_years_are_drawn_by_their_age():
    early, late = fleet(1), fleet(1).rename(index={"host-0": "later"}, level="entity")
    late.index = late.index.set_levels(late.index.levels[1] + pd.Timedelta("900D"), level=1)
    axes = plotting.plot_fleet(pd.concat([early, late]), CPU)
    assert "days since" in axes[-1].get_xlabel()
    for ax in axes:
        assert ax.lines[0].get_xdata()[0] == 0
        assert max(ax.lines[0].get_xdata()) < 3


# --- marks -----------------------------------------------------------------------------------------------------------


def test_a_fault_is_a_band_from_cause_to_recovery_and_a_line_at_impact():
    faults = one_fault(cause_start="10h", impact_start="12h", recovered_at="20h", cause_end="18h")
    ax = plotting.plot_series(fleet(1)[CPU], faults=faults)
    (band,) = ax.patches
    assert band.get_x() == pytest.approx(days(START + pd.Timedelta("10h")))
    assert band.get_x() + band.get_width() == pytest.approx(days(START + pd.Timedelta("20h")))
    assert ax.lines[-1].get_xdata()[0] == pytest.approx(days(START + pd.Timedelta("12h")))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "fault, cause to recovery",
        "users begin to feel it",
    ]
    assert band.get_zorder() < ax.lines[0].get_zorder(), "a mark does not hide what it explains"


@pytest.mark.parametrize(
    ("times", "bands", "impacts"),
    [
        ({"cause_start": "10h"}, 1, 0),  # still open: to the end of the picture
        ({"impact_start": "10h"}, 0, 1),
        ({"cause_start": "10h", "cause_end": "11h"}, 1, 0),
        ({"cause_start": "10D", "recovered_at": "11D", "impact_start": "10D"}, 0, 0),  # outside
        ({"cause_start": "-2h", "recovered_at": "2h", "impact_start": "-1h"}, 1, 0),  # begins before the picture
    ],
)
def test_what_is_unknown_or_outside_of_a_fault_is_not_drawn(times, bands, impacts):
    ax = plotting.plot_series(fleet(1)[CPU])
    before, lines = ax.get_xlim(), len(ax.lines)
    handles = plotting.mark_faults(ax, one_fault(**times), "host-0")
    assert (len(ax.patches), len(ax.lines) - lines, len(handles)) == (bands, impacts, bands + impacts)
    assert ax.get_xlim() == before
    for band in ax.patches:
        assert band.get_x() >= before[0] - 1e-9
        assert band.get_x() + band.get_width() <= before[1] + 1e-9


@pytest.mark.parametrize(("count", "height"), [(20, 1.0), (21, 0.15)])
def test_many_impacts_are_short_lines_that_do_not_fence_the_data_in(count, height):
    ax = plotting.plot_series(fleet(1)[CPU])
    lines = len(ax.lines)
    faults = pd.concat([one_fault(impact_start=f"{k + 1}h") for k in range(count)])
    plotting.mark_faults(ax, pd.concat([faults, one_fault(impact_start="10D")]), "host-0")  # one is outside
    assert [line.get_ydata()[1] for line in ax.lines[lines:]] == [height] * count


def test_faults_of_others_are_not_marked_and_windows_are():
    ax = plotting.plot_series(fleet(1)[CPU])
    assert plotting.mark_faults(ax, one_fault("host-9", cause_start="1h", recovered_at="2h"), "host-0") == {}
    windows = pd.DataFrame({"entity": ["host-0", "host-1"], "start": START, "end": START + pd.Timedelta("1h")})
    assert list(plotting.mark_faults(ax, None, "host-0", windows=windows)) == ["labelled window"]
    assert len(ax.patches) == 1
    assert plotting.mark_faults(ax, empty("faults"), "host-0", windows=empty("windows")) == {}


# --- relations -------------------------------------------------------------------------------------------------------


def test_a_correlation_matrix_is_drawn_as_it_is_with_like_beside_like():
    table = pd.DataFrame(np.eye(4), index=list("abcd"), columns=list("abcd"))
    table.loc["a", "c"] = table.loc["c", "a"] = 0.9
    table.loc["b", "d"] = table.loc["d", "b"] = np.nan
    ax = plotting.plot_correlation(table)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == [text.get_text() for text in ax.get_xticklabels()]
    assert abs(names.index("a") - names.index("c")) == 1
    drawn = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(drawn, table.loc[names, names])
    texts = [text.get_text() for text in ax.texts]
    assert sorted(texts) == sorted(["1"] * 4 + [".90"] * 2 + ["0"] * 8)
    assert ax.images[0].get_clim() == (-1, 1)
    with pytest.raises(ContractError, match="square"):
        plotting.plot_correlation(table.loc[["a", "b"]])


def test_a_distribution_counts_every_value():
    panel = fleet()
    panel["flat"] = 1.0
    axes = plotting.plot_distribution(panel)
    assert len(axes) == 3, "a constant has no distribution"
    for ax, name in zip(axes, [CPU, MEMORY, "mine"], strict=True):
        assert sum(bar.get_height() for bar in ax.patches) == len(panel)
        assert ax.get_xlabel() == unit_text(name)
        assert ax.lines[0].get_xdata()[0] == panel[name].median()
        assert ax.get_yscale() == "log"
    with pytest.raises(ContractError, match="more than one value"):
        plotting.plot_distribution(panel[["flat"]])


# --- decomposition ---------------------------------------------------------------------------------------------------


def test_components_are_drawn_below_each_other():
    panel = fleet(1, days=6)
    parts = decompose(panel[[MEMORY]], periods=[3600, 86_400])
    axes = plotting.plot_components(parts, faults=one_fault(cause_start="10h", recovered_at="20h"))
    names = ["observed", "trend", "seasonal_1h", "seasonal_1d", "resid"]
    assert len(axes) == len(names)
    for ax, name in zip(axes, names, strict=True):
        _, y = line_of(ax)
        assert (np.nanmin(y), np.nanmax(y)) == (parts[name].min(), parts[name].max())
        assert ax.get_ylabel() == "bytes"
        assert len(ax.patches) == 1
    assert labels_of(axes[-1])[0] == "time (UTC)"
    lengths = [np.ptp(ax.lines[-1].get_ydata()) for ax in axes]
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-6, err_msg="the grey bars measure the same")
    with pytest.raises(ContractError, match="one metric of one entity"):
        plotting.plot_components(decompose(fleet(2, days=6)[[CPU]]))


def test_a_series_without_season_has_a_panel_that_says_so():
    axes = plotting.plot_components(decompose(fleet(1, days=6)[["mine"]], periods=[]))
    assert len(axes) == 4
    assert np.nanmax(np.abs(line_of(axes[2])[1])) == 0


def test_the_profile_of_a_day_is_the_median_of_days():
    parts = decompose(fleet(1, days=8, step=900)[[CPU]], periods=[86_400])
    ax = plotting.plot_season(parts, 86_400)
    around = (parts["observed"] - parts["trend"]).to_numpy().reshape(8, 96)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(around, axis=0))
    assert ax.lines[0].get_xdata()[0] == pytest.approx(0.125)
    assert labels_of(ax) == ("hours into the cycle (UTC)", "observed - trend (ratio 0-1)")
    assert ax.get_xlim() == (0, 24)
    with pytest.raises(ContractError, match="two cycles"):
        plotting.plot_season(parts, 604_800)


def test_a_week_begins_on_monday():
    parts = decompose(fleet(1, days=21, step=3600)[[CPU]], periods=[86_400])  # START is a Monday
    monday = parts.index.get_level_values("timestamp").weekday == 0
    parts["observed"] = parts["trend"] + 5.0 * monday
    ax = plotting.plot_season(parts, 604_800)
    place, profile = (np.asarray(data) for data in ax.lines[0].get_data())
    assert profile[place < 1].min() > 4
    assert profile[place > 1.1].max() < 1
    assert "Monday" in ax.get_xlabel()


def test_strengths_are_dots_per_metric_or_entity():
    table = pd.DataFrame(
        {"trend": [0.1, 0.2, 0.9, np.nan], "seasonal": [0.5, 0.7, 0.1, np.nan]},
        index=pd.MultiIndex.from_tuples([("a", "x"), ("b", "x"), ("a", "y"), ("b", "z")], names=["entity", "metric"]),
    )
    trend, season = plotting.plot_strength(table)
    assert [text.get_text() for text in trend.get_yticklabels()] == ["y", "x"], "the strongest season on top"
    dots = [line for line in season.lines if line.get_marker() == "o"]
    assert sorted(np.concatenate([line.get_xdata() for line in dots]).tolist()) == [0.1, 0.5, 0.7]
    assert trend.get_xlabel() == season.get_xlabel() == "strength (0-1)"
    entities, _ = plotting.plot_strength(table.xs("x", level="metric", drop_level=False))
    assert [text.get_text() for text in entities.get_yticklabels()] == ["a", "b"]
    with pytest.raises(ContractError, match="strength"):
        plotting.plot_strength(table.loc[[("b", "z")]])


def test_residuals_share_their_scale():
    parts = decompose(fleet(1, days=6)[[MEMORY]], periods=[86_400])
    narrow, wide = parts["resid"], 3 * parts["resid"]
    faults = one_fault(cause_start="10h", recovered_at="20h")
    axes = plotting.plot_residuals({"narrow": narrow, "wide": wide}, MEMORY, entity="host-0", faults=faults)
    first, second, right = axes
    assert first.get_ylim() == second.get_ylim()
    assert np.abs(line_of(second)[1]).max() == np.abs(wide).max()
    assert [len(ax.patches) for ax in axes] == [1, 1, 0]
    sizes, above = right.lines[0].get_data()
    assert above[0] == 1
    assert (np.diff(sizes) >= 0).all()
    assert above[np.searchsorted(sizes, np.median(sizes))] == pytest.approx(0.5, abs=0.01)
    assert right.get_xlabel() == "size x (bytes)"
    flat = parts["resid"] * 0
    assert plotting.plot_residuals({"none": flat}, MEMORY)[0].get_ylim() == (-1, 1)
    with pytest.raises(ContractError, match="at least one"):
        plotting.plot_residuals({}, MEMORY)
