"""Pictures: what is drawn is the data, axes say their units, faults are marked, peaks survive the drawing."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stability import datasets, decomposition, plotting, telemetry
from stability.plotting.series import envelope
from stability.schema import ContractError


@pytest.fixture(scope="module")
def tables():
    return datasets.load("sample")


@pytest.fixture(autouse=True)
def closed():
    with mpl.rc_context():
        plotting.style()
        yield
    plt.close("all")


def labels(axes):
    return [ax.get_ylabel() for ax in np.ravel(axes)]


def test_series_has_its_unit_its_name_and_its_values(tables):
    values = tables["telemetry"].loc[["chat-1"], "process_resident_memory_bytes"]
    ax = plotting.plot_series(values, faults=tables["faults"])
    assert "bytes" in ax.get_ylabel() or "B" in ax.get_ylabel()
    assert "process_resident_memory_bytes" in ax.get_title(loc="left") + ax.get_title()
    assert "UTC" in ax.get_xlabel()
    drawn = ax.get_lines()[0].get_ydata()
    assert np.nanmax(drawn) == values.max()
    assert np.nanmin(drawn) == values.min()
    assert ax.get_legend() is not None


def test_panel_draws_every_metric_that_the_entity_has(tables):
    panel = tables["telemetry"]
    axes = plotting.plot_panel(panel, entity="chat-1", faults=tables["faults"])
    assert len(axes) == panel.loc["chat-1"].notna().any().sum()
    assert all(labels(axes))
    with pytest.raises(ContractError, match="did you mean 'chat-1'"):
        plotting.plot_panel(panel, entity="chat1")


def test_fleet_has_a_row_an_entity_that_has_the_metric(tables):
    panel = tables["telemetry"]
    axes = plotting.plot_fleet(panel, "http_server_request_duration_seconds_p99")
    known = panel["http_server_request_duration_seconds_p99"].groupby(level="entity").count().gt(0).sum()
    assert len(np.ravel(axes)) == known


@pytest.mark.parametrize("n", [10, 5_000, 100_000])
def test_the_envelope_keeps_the_peaks(n):
    rng = np.random.default_rng(n)
    values = pd.Series(rng.normal(size=n), index=pd.date_range("2026-01-01", periods=n, freq="s", tz="UTC", unit="us"))
    values.iloc[n // 3] = 50.0
    shown = envelope(values, bins=500)
    assert shown.max() == 50.0
    assert shown.min() == values.min()
    assert len(shown) <= max(n, 4 * 500)
    assert shown.index.is_monotonic_increasing


def test_correlation_and_distribution(tables):
    panel = telemetry.rate(tables["telemetry"]).loc["chat-1"].dropna(axis=1, how="all")
    ax = plotting.plot_correlation(panel.corr())
    shown = {t.get_text() for t in ax.get_yticklabels()}
    assert set(panel.columns) == shown
    axes = plotting.plot_distribution(panel.iloc[:, :3])
    assert len(np.ravel(axes)) == 3


def test_components_are_drawn_below_each_other(tables):
    panel = telemetry.rate(tables["telemetry"]).loc[["gateway-1"], ["http_server_requests_per_second"]]
    components = decomposition.decompose(panel, periods=[6 * 3600.0])
    axes = plotting.plot_components(components, faults=tables["faults"])
    assert len(axes) == 4
    assert axes[0].figure._suptitle.get_text() == "http_server_requests_per_second, gateway-1"
    drawn = axes[-1].get_lines()[0].get_ydata()
    assert np.nanmax(drawn) == components["resid"].max()


def test_strengths(tables):
    panel = telemetry.rate(tables["telemetry"])[["http_server_requests_per_second"]].dropna(how="all")
    strengths = decomposition.strength(decomposition.decompose(panel, periods=[6 * 3600.0]))
    axes = plotting.plot_strength(strengths)
    assert len(np.ravel(axes)) == 2
    assert all("strength" in ax.get_xlabel() for ax in np.ravel(axes))
