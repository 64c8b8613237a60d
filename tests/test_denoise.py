"""Causal filters against their twins, and never a look ahead."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.schema import ContractError, validate
from stability.telemetry import denoise
from stability.telemetry.noise import METHODS

BEGIN = 1_767_225_600  # 2026-01-01 UTC
# Quarters: sums of few of them are exact, so that the twin decides equally where a sample lies on a threshold.
VALUES = st.one_of(st.just(math.nan), st.integers(-400, 400).map(lambda k: k / 4))
SAMPLES = st.lists(
    st.tuples(st.integers(0, 300), VALUES), min_size=1, max_size=40, unique_by=lambda sample: sample[0]
).map(sorted)


def panel_of(fleet, name="load"):
    rows = [(entity, BEGIN + second, value) for entity, samples in fleet.items() for second, value in samples]
    index = pd.MultiIndex.from_arrays(
        [[row[0] for row in rows], pd.to_datetime([row[1] for row in rows], unit="s", utc=True)],
        names=["entity", "timestamp"],
    )
    return validate(pd.DataFrame({name: [row[2] for row in rows]}, index=index, dtype="float64"), "telemetry")


@given(fleet=st.dictionaries(st.sampled_from("abc"), SAMPLES, min_size=1), width=st.sampled_from([1, 7, 60, 1000]))
@pytest.mark.parametrize("method", METHODS)
def test_filters_equal_their_twins(fleet, width, method):
    ours = denoise(panel_of(fleet), method, width=width)
    for entity, samples in fleet.items():
        np.testing.assert_allclose(ours.loc[entity, "load"], naive.denoised(samples, method, width), rtol=1e-9)


@given(samples=SAMPLES, width=st.sampled_from([7, 60]), cut=st.integers(0, 300))
@pytest.mark.parametrize("method", METHODS)
def test_filters_never_see_the_future(samples, width, method, cut):
    panel = panel_of({"a": samples, "b": samples})
    known = panel.index.get_level_values("timestamp") <= pd.Timestamp(BEGIN + cut, unit="s", tz="UTC")
    whole = denoise(panel, method, width=width)
    pd.testing.assert_frame_equal(denoise(panel[known], method, width=width), whole[known], check_exact=True)


def test_a_spike_goes_a_step_stays():
    values = [1.0] * 10 + [50.0] + [1.0] * 9 + [8.0] * 20
    panel = panel_of({"a": [(60 * k, value) for k, value in enumerate(values)]})
    filtered = denoise(panel, width="9min")["load"].to_numpy()
    assert filtered[10] == 1.0
    assert (filtered[:20] == 1.0).all()
    assert (filtered[24:] == 8.0).all()  # the fifth of nine minutes is the majority


def test_time_counts_not_rows():
    dense = [(k, 0.0) for k in range(10)] + [(70, 10.0)]
    panel = panel_of({"a": dense})
    assert denoise(panel, "median", width=60)["load"].iloc[-1] == 10.0
    assert denoise(panel, "mean", width=1e9)["load"].iloc[-1] == pytest.approx(10 / 11, rel=1e-6)


def test_counters_gaps_and_names_stay():
    panel = panel_of({"a": [(0, 1.0), (1, math.nan), (2, 90.0), (3, 1.0)]}, "requests_total").assign(
        load=[1.0, 2, 3, 90]
    )
    filtered = denoise(panel, "median", width=60)
    pd.testing.assert_series_equal(filtered["requests_total"], panel["requests_total"])
    assert list(filtered.columns) == ["requests_total", "load"]
    assert filtered["load"].tolist() == [1.0, 1.5, 2.0, 2.5]
    assert denoise(panel.iloc[:0], width=60).empty


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "hample", "width": 60}, "did you mean 'hampel'"),
        ({"width": 0}, "a length of time"),
        ({"width": "soon"}, "'soon'"),
        ({"width": 60, "deviations": -1}, "a positive number"),
        ({"width": 60, "deviations": "3"}, "a positive number"),
    ],
)
def test_impossible_filters(options, words):
    with pytest.raises(ContractError, match=words):
        denoise(panel_of({"a": [(0, 1.0)]}), **options)
