"""The quality report: every symptom found where it was planted, none where it was not, and the picture of it."""

import matplotlib.pyplot as plt
import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.dates import date2num

from stability.plotting.quality import plot_quality
from stability.schema import ContractError, validate
from stability.telemetry import quality_events, quality_report, read_with_report

BEGIN = pd.Timestamp("2026-01-01", tz="UTC")
LATER = pd.Timestamp("2027-01-01", tz="UTC")
CPU, FREE, REQUESTS = "system_cpu_utilization_ratio", "system_memory_available_bytes", "http_server_requests_total"


def healthy(size=600, seed=0, shift=0):
    """One entity, a minute apart, with nothing wrong."""
    rng = np.random.default_rng(seed)
    stamps = BEGIN + pd.to_timedelta(np.arange(size) * 60 + shift, unit="s")
    columns = {
        CPU: np.clip(rng.normal(0.4, 0.05, size), 0, 1),
        FREE: rng.normal(5e9, 1e8, size),
        REQUESTS: np.cumsum(rng.poisson(20, size)).astype("float64"),
    }
    return pd.DataFrame(columns, index=pd.DatetimeIndex(stamps, name="timestamp"))


def fleet(**entities):
    return validate(pd.concat(entities, names=["entity"]), "telemetry")


def problem(panel, entity="a", metric=CPU, **options):
    return quality_report(panel, now=LATER, **options).loc[(entity, metric), "problems"]


def planted(change, metric=CPU):
    """The report's row and the events of one entity in which something was changed."""
    frame = healthy()
    change(frame)
    panel = fleet(a=frame)
    events = quality_events(panel)
    return quality_report(panel, now=LATER).loc[("a", metric)], events[events["metric"] == metric]


def test_nothing_is_said_about_healthy_data():
    report = quality_report(fleet(**{f"e{k}": healthy(seed=k) for k in range(8)}), now=LATER)
    assert (report["problems"] == "").all()
    assert (report["coverage"] == 1).all()
    assert report["interval_seconds"].eq(60).all()
    assert report["jitter_seconds"].eq(0).all()
    assert report["phase_seconds"].abs().lt(1e-9).all()
    assert quality_events(fleet(a=healthy())).empty


@settings(max_examples=settings().max_examples // 3)
@given(lost=st.sets(st.integers(0, 39), max_size=39), as_rows=st.booleans())
def test_coverage_equals_its_twin(lost, as_rows):
    kept = sorted(set(range(40)) - lost)
    column = pd.Series(1.0, index=BEGIN + pd.to_timedelta(np.arange(40) * 60, unit="s"))
    other = pd.Series(np.arange(40.0), index=column.index)
    frame = pd.DataFrame({"load": column.iloc[kept], "other": other})
    if not as_rows:
        frame = frame.iloc[kept][["load"]]
    row = quality_report(frame, "1min", now=LATER).loc[("default", "load")]
    begin, end = (0, 39) if as_rows else (kept[0], kept[-1])
    points, missing = naive.missing_steps([60 * k for k in kept], 60, 60 * begin, 60 * end)
    assert row["coverage"] == pytest.approx(1 - len(missing) / len(points), abs=1e-12)
    flags = [point in missing for point in points]
    assert row["gaps"] == sum(flag and not before for flag, before in zip(flags, [False, *flags], strict=False))
    events = quality_events(frame, "1min")
    assert events.loc[(events["kind"] == "gap") & (events["metric"] == "load"), "samples"].sum() == len(missing)


def test_a_gap_has_its_place_and_length():
    def cut(frame):
        frame.loc[frame.index[100:150], CPU] = np.nan

    row, events = planted(cut)
    assert row["problems"] == "8.3% missing in 1 gap, longest 51.0 min"
    assert row["longest_gap_seconds"] == 51 * 60
    event = events.iloc[0]
    assert (event["kind"], event["samples"]) == ("gap", 50)
    assert event["start"] == BEGIN + pd.Timedelta("99min")
    assert event["end"] == BEGIN + pd.Timedelta("150min")


def test_a_metric_that_dies_or_comes_late_is_a_gap_and_one_that_never_was_is_not():
    frame = healthy().assign(absent=np.nan)
    frame.loc[frame.index[:60], FREE] = np.nan
    frame.loc[frame.index[300:], CPU] = np.nan
    report = quality_report(fleet(a=frame), now=LATER).loc["a"]
    assert report.loc[CPU, "coverage"] == pytest.approx(0.5)
    assert report.loc[FREE, "coverage"] == pytest.approx(0.9)
    assert report.loc["absent", "not_applicable"]
    assert report.loc["absent", "problems"] == ""
    assert np.isnan(report.loc["absent", "coverage"])
    assert not report.loc[[CPU, FREE, REQUESTS], "not_applicable"].any()


def test_stuck_sensor():
    def stick(frame):
        frame.iloc[200:240, 0] = 0.4321
        frame.iloc[300:360, 0] = 0.0  # rests, longer

    row, events = planted(stick)
    assert row["problems"] == "stuck? 40 samples, longest 39.0 min"
    assert row["constant_share"] == pytest.approx(60 / 600)
    assert events[["kind", "samples"]].to_numpy().tolist() == [["stuck", 40]]
    assert events["start"].iloc[0] == BEGIN + pd.Timedelta("200min")
    assert events["end"].iloc[0] == BEGIN + pd.Timedelta("239min")


def test_what_rests_by_nature_is_not_stuck():
    idle, full, few = healthy(), healthy(), healthy()
    idle.iloc[200:300, 0] = 0.0
    full.iloc[200:300, 0] = 1.0
    few[CPU] = np.repeat(np.arange(20) / 20, 30)  # changes every half an hour
    flat = healthy()
    flat.iloc[200:500, 2] = flat.iloc[200, 2]  # a counter without traffic
    flat.iloc[500:, 2] = flat.iloc[500:, 2].to_numpy()
    report = quality_report(fleet(idle=idle, full=full, few=few, flat=flat), now=LATER)
    assert (report["stuck"] == 0).all()
    assert not report["problems"].str.contains("stuck").any()


def test_constant_throughout():
    panel = fleet(a=healthy().assign(load=45.0, errors=0.0))
    assert problem(panel, metric="load") == "constant at 45"
    assert problem(panel, metric="errors") == ""


@settings(max_examples=settings().max_examples // 3)
@given(values=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=60))
def test_longest_run_equals_its_twin(values):
    stamps = BEGIN + pd.to_timedelta(np.arange(len(values)) * 60, unit="s")
    row = quality_report(pd.DataFrame({"load": values}, index=stamps), now=LATER).iloc[0]
    assert row["constant_share"] == pytest.approx(naive.longest_run(values) / len(values))


def test_out_of_bounds():
    def break_bounds(frame):
        frame.iloc[[10, 11, 12, 400], 0] = [1.2, 1.3, -0.1, 1.2]
        frame.iloc[20, 0] = 1 + 1e-12  # a rounding error is none

    row, events = planted(break_bounds)
    assert row["out_of_bounds"] == 4
    assert row["problems"] == "4 out of bounds"
    assert events["samples"].tolist() == [3, 1]


def test_resets():
    def restart(frame):
        frame.iloc[50:60, 2] = frame.iloc[50, 2]  # a standstill is none
        frame.iloc[100:, 2] -= frame.iloc[100, 2]
        frame.iloc[300:, 2] -= frame.iloc[300, 2]

    row, events = planted(restart, REQUESTS)
    assert row["resets"] == 2
    assert events["kind"].tolist() == ["reset", "reset"]
    assert events["end"].tolist() == [BEGIN + pd.Timedelta("100min"), BEGIN + pd.Timedelta("300min")]


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        (CPU, (40.0, 5.0), "percent for ratio?"),
        ("http_server_request_duration_seconds_p99", (250.0, 30.0), "milliseconds for seconds?"),
        ("http_server_request_duration_seconds_p99", (0.25, 0.03), ""),
        ("process_resident_memory_bytes", (500.0, 10.0), "kibibytes or megabytes for bytes?"),
        ("process_resident_memory_bytes", (5e8, 1e7), ""),
        ("gpu_sm_clock_hertz", (1400.0, 50.0), "megahertz for hertz?"),
        ("system_temperature_celsius", (310.0, 2.0), "kelvin for degrees Celsius?"),
        ("system_temperature_celsius", (70.0, 2.0), ""),
        ("something_of_mine", (40.0, 5.0), ""),
    ],
)
def test_units(metric, values, said):
    draws = np.random.default_rng(0).normal(*values, 600)
    panel = fleet(a=pd.DataFrame({metric: draws}, index=healthy().index))
    assert quality_report(panel, now=LATER)["suspected_unit"].tolist() == [said]


def test_an_entity_in_another_unit_than_its_fleet():
    frames = {f"e{k}": healthy(seed=k)[[FREE]] for k in range(9)}
    frames["e3"] = frames["e3"] / 1024
    frames["e5"] = frames["e5"] * 7  # larger, but by no factor between units
    said = quality_report(fleet(**frames), now=LATER)["suspected_unit"].droplevel("metric")
    assert said[said != ""].to_dict() == {"e3": "about 1/1,000 of the fleet's level?"}


def test_clocks():
    frames = {f"e{k}": healthy(seed=k)[[CPU]] for k in range(10)}
    frames["e1"] = healthy(seed=1, shift=17)[[CPU]]
    frames["e2"] = healthy(seed=2, shift=600)[[CPU]]
    frames["e3"] = healthy(seed=3)[[CPU]].iloc[:500]
    report = quality_report(fleet(**frames), now=BEGIN + pd.Timedelta("604min")).droplevel("metric")
    assert report.loc["e1", "phase_seconds"] == pytest.approx(17)
    assert report["problems"][report["problems"] != ""].to_dict() == {
        "e1": "clock? stamps lie 17 s off the grid, unlike the fleet's",
        "e2": "5 in the future; ends 10.0 min ahead of the fleet",
        "e3": "ends 1.7 h before the fleet",
    }
    assert report["end_offset_seconds"].loc[["e1", "e2", "e3"]].tolist() == [17, 600, -6000]


def test_series_of_different_years_are_no_fleet_with_broken_clocks():
    frames = {f"e{k}": healthy(seed=k).shift(freq=pd.Timedelta(days=100 * k)) for k in range(6)}
    assert (quality_report(fleet(**frames), now=LATER + pd.Timedelta(days=999))["problems"] == "").all()


def test_jitter():
    frame = healthy()
    shift = np.random.default_rng(0).uniform(0, 25, len(frame))
    frame.index = frame.index + pd.to_timedelta(shift, unit="s").as_unit("us")
    row = quality_report(frame, now=LATER).loc[("default", CPU)]
    assert row["problems"].startswith("jitter")
    assert row["jitter_seconds"] == pytest.approx(np.diff(shift).std(), rel=1e-3)


def test_raw_frames_are_judged_instead_of_refused():
    frame = healthy()
    frame.iloc[5, 0] = np.inf
    raw = pd.concat([frame.iloc[[0, 2, 1]], frame.iloc[3:], frame.iloc[[7, 7]]])
    row = quality_report(raw, now=LATER).loc[("default", CPU)]
    assert (row["duplicates"], row["out_of_order"], row["infinite"]) == (2, 2, 1)
    pd.testing.assert_series_equal(
        quality_report(pd.concat({"a": raw}, names=["entity"]), now=LATER).loc[("a", CPU)], row, check_names=False
    )
    columns = raw.rename_axis("timestamp").reset_index()
    without_names = pd.concat({"default": raw}).rename_axis([None, None])
    for frame in (columns, columns.assign(entity="default"), without_names):
        pd.testing.assert_series_equal(quality_report(frame, now=LATER).loc[("default", CPU)], row)
    with pytest.raises(ContractError, match="expected a number"):
        quality_report(healthy().assign(load="high"))


def test_what_the_reading_repaired_is_counted_in(tmp_path):
    path = tmp_path / "a.csv"
    rows = ["00:00,1", "00:02,3", "00:01,2", "00:02,5", "00:03,inf"]
    path.write_text("timestamp,load\n" + "".join(f"2026-01-01T{row.replace(',', 'Z,')}\n" for row in rows))
    panel, read = read_with_report(path, duplicates="last", infinite="missing")
    row = quality_report(panel, read=read, now=LATER).iloc[0]
    assert (row["duplicates"], row["out_of_order"], row["infinite"]) == (1, 1, 1)
    assert "1 duplicate; 1 out of order; 1 infinite" in row["problems"]
    assert quality_report(panel, now=LATER).iloc[0]["duplicates"] == 0


def test_the_present_needs_a_zone():
    with pytest.raises(ContractError, match="a moment with its zone"):
        quality_report(healthy(), now="2026-01-01")


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_hardly_any_data(rows):
    report = quality_report(fleet(a=healthy().iloc[:rows]) if rows else fleet(a=healthy()).iloc[:0], now=LATER)
    assert len(report) == (3 if rows else 0)
    assert (report["problems"] == "").all()
    assert report["samples"].eq(rows).all()
    assert "problems" in report.columns
    if rows == 1:
        assert report["coverage"].isna().all()


# --- the picture ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sick():
    frames = {f"e{k}": healthy(seed=k) for k in range(4)}
    frames["e1"].iloc[100:400, 0] = np.nan
    frames["e2"].iloc[200:260, 1] = 4.2e9
    frames["e2"].iloc[300:, 2] -= frames["e2"].iloc[300, 2]
    frames["e3"] = frames["e3"].iloc[:300]
    yield fleet(**frames)
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_picture_of_series(sick):
    ax = plot_quality(sick, quality_report(sick, now=LATER))
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == [f"e{k} {name}" for k in range(4) for name in (CPU, FREE, REQUESTS)]
    covered = ax.collections[0].get_array()
    shares = covered.mean(axis=1)
    assert shares[0] == pytest.approx(1)
    assert shares[3] == pytest.approx(0.5, abs=0.005)  # e1's gap, bin by bin
    assert covered.mask[9:12].mean() == pytest.approx(0.5, abs=0.01)  # e3 ends halfway: grey, not missing
    assert not covered.mask[:9].any()
    assert "50.0% missing in 1 gap, longest 5.0 h" in texts(ax)
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {
        "stuck?",
        "counter reset",
        "not recorded",
    }
    assert ax.get_xlabel() == "time (UTC)"
    assert ax.get_title(loc="left").startswith("95.8% of the expected samples")


def test_marks_stand_where_the_events_are(sick):
    ax = plot_quality(sick)
    line = next(line for line in ax.lines if line.get_label() == "counter reset")
    before = (BEGIN + pd.Timedelta("299min")).tz_localize(None)
    assert line.get_xydata().tolist() == [[pytest.approx(date2num(before.to_numpy())), 8.5]]


def test_picture_of_entities_says_what_it_leaves_out(sick):
    report = quality_report(sick, now=LATER)
    ax = plot_quality(sick, report, max_rows=2)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    counts = {entity: sum(map(bool, said)) for entity, said in report["problems"].groupby(level="entity")}
    assert set(labels) < {"e1", "e2", "e3"}
    assert len(labels) == 2
    assert counts[labels[0]] >= counts[labels[1]]
    assert "2 of 4 entities, worst first" in ax.get_title(loc="left")


def test_picture_of_one_entity_names_metrics_only(sick):
    ax = plot_quality(sick.loc[["e0"]])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [CPU, FREE, REQUESTS]
    assert ax.get_legend() is None


def test_picture_by_a_given_step(sick):
    ax = plot_quality(sick.loc[["e0"]], step="30s")
    assert ax.get_title(loc="left").startswith("50.0%")
    assert ax.collections[0].get_array().mean() == pytest.approx(0.5, abs=0.01)


def test_picture_of_a_frame_without_entities_and_of_one_moment():
    frame = healthy()[[CPU]]
    frame.iloc[300:] = np.nan
    assert plot_quality(frame).collections[0].get_array().mean() == pytest.approx(0.5, abs=0.01)
    assert [tick.get_text() for tick in plot_quality(frame.iloc[:1]).get_yticklabels()] == [CPU]
    plt.close("all")


def test_picture_on_given_axes_and_of_nothing(sick):
    _, ax = plt.subplots()
    assert plot_quality(sick, ax=ax) is ax
    with pytest.raises(ContractError, match="at least one sample"):
        plot_quality(sick * np.nan)
