"""Drift of data and of performance: hand-worked indices, rates of false alarms, what is found, and bad input."""

import functools

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from stability.adaptation.chance import block_of, memory
from stability.adaptation.drift import FLEET, drift, drift_of_series, state_columns
from stability.adaptation.performance import known, log_odds, losses, performance
from stability.adaptation.population import Bins, psi, usual
from stability.adaptation.seasonal import Seasonal
from stability.adaptation.streaming import DETECTORS, Channel, PsiWindow, changes, flags
from stability.adaptation.streams import KINDS, judge_streams, stream
from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError

DAY = 200.0  # s, in these tests


def stamps(rows, begin="2026-01-01", freq="s"):
    return pd.date_range(begin, periods=rows, freq=freq, tz="UTC", unit="us", name="timestamp")


def null_panel(kind, entities, rows, seed=0):
    """So many histories without drift, an entity each, each for itself."""
    rng = np.random.default_rng(seed)
    remembered = {"independent": 0.0, "autocorrelated": 0.8, "seasonal": 0.5}[kind]
    noise = rng.normal(size=(entities, rows + 200))
    values = lfilter([np.sqrt(1 - remembered**2)], [1, -remembered], noise, axis=1)[:, 200:]
    if kind == "seasonal":  # the level and the spread have a day
        phase = 2 * np.pi * np.arange(rows) / DAY
        values = 2 * np.sin(phase) + values * (1 + 0.5 * np.cos(phase))
    names = [f"e{k:03d}" for k in range(entities)]
    index = pd.MultiIndex.from_product([names, stamps(rows)], names=["entity", "timestamp"])
    return pd.DataFrame({"load": values.ravel()}, index=index)


def cut(panel, first, last=None):
    at = panel.index.get_level_values("timestamp")
    moments = at.unique().sort_values()
    then = panel[at < moments[first]]
    return then, panel[at >= moments[first]] if last is None else panel[(at >= moments[first]) & (at < moments[last])]


# ---- the index -------------------------------------------------------------------------------------------------------
def test_the_index_is_what_a_hand_gets():
    many = 1e9  # so that half a row counts for nothing
    by_hand = 0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5)
    assert psi(many * np.array([0.5, 0.5]), many * np.array([0.8, 0.2])) == pytest.approx(by_hand, rel=1e-6)
    assert psi(np.array([10, 0]), np.array([0, 10])) == pytest.approx(2 * (10 / 11) * np.log(21))
    assert np.isnan(psi(np.array([0, 0]), np.array([1, 1])))
    assert [usual(x) for x in (0.0, 0.0999, 0.1, 0.25, np.nan)] == ["small", "small", "moderate", "large", "unknown"]


@given(
    reference=st.lists(st.floats(-5, 5) | st.integers(0, 3).map(float), min_size=1, max_size=60),
    current=st.lists(st.floats(-9, 9) | st.integers(0, 3).map(float) | st.just(np.nan), min_size=1, max_size=40),
    bins=st.integers(2, 8),
)
def test_the_index_is_that_of_its_twin(reference, current, bins):
    own = Bins.learn(np.array(reference), bins)
    counts = []
    for part in (reference, current):
        place = own.place(np.array(part))
        counts.append(np.bincount(place[place >= 0], minlength=own.size))
    expected = naive.stability_index(reference, current, bins)
    assert float(psi(*counts)) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
    assert float(psi(counts[0], counts[0])) == 0
    assert np.isnan(expected) or expected >= 0


def test_text_and_few_values_have_bins_of_their_own():
    own = Bins.learn(pd.Series(["a", "b", None, "a"], dtype=object))
    assert own.place(pd.Series(["b", "c", None], dtype=object)).tolist() == [1, 2, -1]
    few = Bins.learn(np.array([0.0, 1.0, 1.0]))
    assert few.place(np.array([1.0, 0.5, np.nan])).tolist() == [1, 2, -1]
    with pytest.raises(NotEnoughEvidence, match="missing"):
        Bins.learn(np.array([np.nan, np.nan]))


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_memory_is_that_of_the_process(phi):
    rng = np.random.default_rng(1)
    values = lfilter([1], [1, -phi], rng.normal(size=40_000))
    assert memory(values) == pytest.approx((1 + phi) / (1 - phi), rel=0.15)
    holes = np.where(rng.uniform(size=len(values)) < 0.02, np.nan, values)
    assert memory(holes) == pytest.approx((1 + phi) / (1 - phi), rel=0.2)


def test_what_never_ends_to_depend_is_no_evidence():
    assert np.isinf(memory(np.arange(500.0)))
    with pytest.raises(NotEnoughEvidence, match="longer reference"):
        block_of(np.inf, 500)


# ---- rates of false alarms -------------------------------------------------------------------------------------------
@functools.cache
def nulls(kind, histories):
    then, now = cut(null_panel(kind, histories, 2400, seed=3), 2000)
    return drift(then, now, season=DAY if kind == "seasonal" else None, resamples=200)


@pytest.mark.parametrize("histories", [60, pytest.param(250, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["independent", "autocorrelated", "seasonal"])
def test_false_alarms_come_as_often_as_was_said(kind, histories):
    """Of histories without drift, at most as many pass as a rate of 5 % lets pass in 9,999 of 10,000 tests."""
    table = nulls(kind, histories).xs("values", level="kind").drop(FLEET, level="entity")
    enough = table[table["verdict"] != "not enough evidence"]
    assert len(enough) > 0.8 * histories
    for level in (0.05, 0.01):
        most = stats.binom.isf(1e-4, len(enough), level)
        assert (enough["p"] <= level).sum() <= most
    assert ((enough["psi"] > enough["threshold"]) == (enough["p"] <= 0.05)).all()
    assert (enough["p"] < 0.5).mean() > 0.2  # a limit that nothing reaches would be none
    assert not (nulls(kind, histories)["verdict"] == "drift").any()


def test_the_usual_bounds_call_chance_drift():
    """What the calibrated limit is for: of short presents that remember, half the histories pass the usual 0.1."""
    then, now = cut(null_panel("autocorrelated", 40, 2400, seed=3), 2000, 2150)
    table = drift(then, now, resamples=200).drop(FLEET, level="entity")
    assert (table["usual"] != "small").mean() > 0.4
    assert (table["psi"] > table["threshold"]).mean() < 0.2


def test_a_shift_is_found_and_a_night_is_compared_with_nights():
    panel = null_panel("seasonal", 5, 2500, seed=4)
    then, night = cut(panel, 2000, 2100)  # half a day
    assert (drift(then, night, resamples=200)["psi"].drop(FLEET, level="entity") > 0.25).all()
    like = drift(then, night, season=DAY, resamples=200)
    assert not (like["verdict"] == "drift").any()
    moved = drift(then, cut(panel + 1.5, 2000)[1], season=DAY, resamples=200)
    assert (moved["verdict"] == "drift").all()
    assert FLEET in moved.index.get_level_values("entity")


def test_a_spread_alone_is_drift():
    then, now = cut(null_panel("independent", 1, 3000), 2500)
    assert drift(then, now * 2)["verdict"].tolist() == ["drift"]


def test_a_table_says_what_is_missing_new_vanished_and_constant():
    rng = np.random.default_rng(0)
    panel = pd.DataFrame(rng.normal(size=(3000, 3)), index=stamps(3000), columns=["gone", "born", "holes"])
    panel["up"], panel["same"], panel["never"] = 1.0, 2.0, np.nan
    panel.loc[panel.index[:2000], "born"] = np.nan
    panel.loc[panel.index[2500:], ["gone"]] = np.nan
    panel.loc[panel.index[2500::2], "holes"] = np.nan
    panel.loc[panel.index[::97], "holes"] = np.nan
    panel.loc[panel.index[-5:], "up"] = 0.0
    then, now = panel[:2000], panel[2500:]
    table = drift(then, now).droplevel("entity")
    verdicts = table["verdict"].to_dict()
    assert verdicts == {
        ("gone", "values"): "vanished",
        ("born", "values"): "new",
        ("holes", "values"): "no drift seen",
        ("holes", "missing"): "drift",
        ("up", "values"): "new values",
        ("same", "values"): "no drift seen",
    }
    assert table.loc[("up", "values"), "why"].startswith("1.0% of the rows")
    assert table["p_holm"].notna().sum() == 2
    assert table.loc[("holes", "missing"), "p_holm"] == pytest.approx(2 * table.loc[("holes", "missing"), "p"], rel=0.5)


def test_states_drift_too():
    rng = np.random.default_rng(0)
    when = stamps(3000)
    told = pd.DataFrame({"timestamp": when, "entity": "a", "name": "mode"})
    told["value"] = np.where(rng.uniform(size=3000) < np.where(np.arange(3000) < 2400, 0.2, 0.6), "busy", "idle")
    index = pd.MultiIndex.from_product([["a", "b"], when], names=["entity", "timestamp"])
    columns = state_columns(told, index)
    assert columns.loc["a", "mode"].tolist() == told["value"].tolist()
    assert columns.loc["b", "mode"].isna().all()
    table = drift(*cut(columns, 2400))
    assert table.loc[("a", "mode", "values"), "verdict"] == "drift"
    calm = drift(*cut(columns[columns.index.get_level_values("timestamp") < when[2400]], 2000))
    assert calm["verdict"].tolist() == ["no drift seen"]


def test_what_cannot_be_compared_is_said():
    panel = null_panel("independent", 2, 600)
    then, now = cut(panel, 400)
    with pytest.raises(ContractError, match="rows after the reference's last one"):
        drift(panel, now)
    with pytest.raises(NotEnoughEvidence, match="no rows"):
        drift(then, now[:0])
    with pytest.raises(NotEnoughEvidence, match="No entity"):
        drift(then.loc[["e000"]], now.loc[["e001"]])
    with pytest.raises(ContractError, match="share between 0 and 1"):
        drift(then, now, level=1.5)
    short = drift(then.groupby("entity").head(20), now)
    assert (short["verdict"] == "not enough evidence").all()
    with pytest.raises(NotEnoughEvidence, match="Every value is missing"):
        drift(then * np.nan, now * np.nan)
    few = drift(then, now, season=300.0)
    assert few["why"].str.contains("holds 1.3 seasons").all()
    constant = [pd.Series(np.ones(100))]
    with pytest.raises(NotEnoughEvidence, match="one value only"):
        drift_of_series(constant, constant, step=1.0)
    with pytest.raises(NotEnoughEvidence, match="present has 3 rows"):
        drift_of_series([pd.Series(np.arange(500) % 7.0)], [pd.Series(np.ones(3))], step=1.0)


def test_later_rows_change_nothing_of_earlier_windows():
    panel = null_panel("autocorrelated", 2, 3000)
    first = drift(*cut(panel, 2000, 2500))
    again = drift(*cut(panel[panel.index.get_level_values("timestamp") < stamps(3000)[2500]], 2000))
    pd.testing.assert_frame_equal(first, again)


def test_a_seasons_own_rows_are_judged_by_the_others():
    times = np.arange(1000.0)
    values = np.sin(times * 2 * np.pi / DAY)
    values[400:600] += 5  # one day of five is another
    own = Seasonal(DAY).learn(times, values)
    assert np.median(own.residuals_[400:600]) > 10
    assert np.abs(own.apply(times[:200], values[:200])).max() < 5
    with pytest.raises(NotEnoughEvidence, match="needs 4"):
        Seasonal(600.0).learn(times, values)


# ---- row by row ------------------------------------------------------------------------------------------------------
ASKED = [(name, {}) for name in ("adwin", "kswin", "page_hinkley", "psi")]


@pytest.mark.parametrize(("name", "own"), ASKED)
@pytest.mark.parametrize("kind", ["level", "spread"])
def test_a_prefix_says_what_the_whole_says_of_it(name, own, kind):
    drawn = stream("abrupt", reference=2000, later=2400, seed=2)
    channel = Channel(kind, thin=10).learn(drawn.reference)
    seeded = own | ({"seed": 0} if name == "kswin" else {})
    whole = changes(drawn.later, channel, name, seeded)
    assert len(whole)
    for rows in (700, 1205, 1900):
        early = changes(drawn.later[:rows], channel, name, seeded)
        assert early.tolist() == [at for at in whole if at <= drawn.later.index[rows // 10 * 10 - 1]]


def test_missing_rows_are_no_news():
    drawn = stream("abrupt", reference=1500, later=2000, seed=2)
    channel = Channel(thin=5).learn(drawn.reference)
    holes = drawn.later.copy()
    holes[::2] = np.nan
    assert np.isnan(channel.of(pd.Series(np.nan, drawn.later.index))).all()
    assert not flags(np.full(50, np.nan), DETECTORS["adwin"]()).any()
    assert abs(changes(holes, channel)[0] - drawn.change) < pd.Timedelta("10min")


def test_a_channel_says_what_it_lacks():
    series = pd.Series(1.0, stamps(500))
    with pytest.raises(NotEnoughEvidence, match="does not vary"):
        Channel().learn(series)
    with pytest.raises(NotEnoughEvidence, match="does not vary"):
        Channel().learn(series * np.nan)
    with pytest.raises(NotEnoughEvidence):
        Channel().learn(pd.Series(np.arange(500.0), series.index))  # remembers for ever
    with pytest.raises(ContractError, match="learn"):
        Channel().of(series)
    with pytest.raises(ContractError, match="detector"):
        changes(series, Channel(), "adwim")


def test_windows_pass_their_limit_as_seldom_as_was_said():
    rng = np.random.default_rng(0)
    window = PsiWindow(rng.normal(size=2000), width=20, level=0.02)
    passed = int(flags(rng.normal(size=40_000), window).sum())
    assert passed <= stats.binom.isf(1e-4, 2000, 0.02)
    assert passed > 0


def of(detector, kind="level", **settings):
    def ask(drawn):
        return changes(drawn.later, Channel(kind, **settings).learn(drawn.reference), detector)

    return ask


@functools.cache
def judged():
    asked = {"raw": of("adwin", thin=1), "adwin": of("adwin"), "psi": of("psi"), "seasonal": of("adwin", season=600.0)}
    return judge_streams(asked | {"spread": of("adwin", "spread")}, draws=5, reference=4800, later=4000)


def test_what_remembers_fools_a_detector_that_sees_every_row():
    table = judged()["false"]
    assert table["raw", "autocorrelated"] > 10
    assert table["raw", "seasonal"] > 10
    for kind in ("stable", "autocorrelated", "seasonal"):
        rows = judged().loc["seasonal", :].loc[kind]
        assert rows["false_lo"] <= 1.0  # in 10,000 rows
        assert rows["unable"] == 0
    assert judged().loc[("psi", "seasonal"), "unable"] == 5  # without a season it says so


def test_each_change_is_found_by_the_channel_that_it_shows_in():
    found = judged()["found"]
    assert found["adwin", "abrupt"] == found["psi", "abrupt"] == found["adwin", "gradual"] == 1
    assert found["spread", "variance"] == 1 > found["adwin", "variance"]
    assert found["seasonal", "seasonal abrupt"] == 1
    late = judged()["delay"]
    assert 0 < late["adwin", "abrupt"] < late["adwin", "gradual"]
    assert set(judged().index.get_level_values("stream")) == set(KINDS)


# ---- performance -----------------------------------------------------------------------------------------------------
def evidence(rows, seed=0, begin="2026-01-01", *, knows=1.0, raised=0.0, remembers=10):
    """Probabilities that are true, of faults that last `remembers` rows; less so where it knows less."""
    rng = np.random.default_rng(seed)
    true = np.repeat(rng.beta(0.5, 1.5, size=-(-rows // remembers)), remembers)[:rows]
    came = np.repeat(rng.uniform(size=-(-rows // remembers)), remembers)[:rows] < np.clip(true + raised, 0, 1)
    said = np.where(np.repeat(rng.uniform(size=-(-rows // remembers)), remembers)[:rows] < knows, true, true.mean())
    return pd.DataFrame({"probability": said, "outcome": came}, index=stamps(rows, begin, "min"))


def test_rows_are_known_when_their_horizon_is_over():
    table = evidence(100)
    assert len(known(table, "10min", table.index[50])) == 41
    moved = losses(table, "10min")
    assert moved.index[0] == table.index[10]
    assert moved.iloc[0] == (table["probability"].iloc[0] - table["outcome"].iloc[0]) ** 2
    assert log_odds(pd.Series([0.0, 1.0])).abs().max() < 10


@pytest.mark.parametrize("histories", [15, pytest.param(60, marks=pytest.mark.soak)])
def test_a_predictor_that_stays_as_good_is_seldom_called_worse(histories):
    """At a risk of 5 % that any of its four measures differs: of 60 at most 11 that do, but for 1 in 10,000."""
    called = 0
    for seed in range(histories):
        table = evidence(3000, seed)
        found = performance(table[:2000], table[2000:], block="30min", resamples=50, permutations=300, seed=seed)
        called += found["verdict"].isin(["worse", "better", "changed"]).any()
    assert called <= stats.binom.isf(1e-4, histories, 0.05)


def test_each_measure_sees_what_it_is_for():
    good = evidence(4000)
    later = "2026-02-01"
    blind = performance(good, evidence(4000, 1, later, knows=0.0), block="30min")
    assert blind["verdict"].droplevel("window").to_dict() == {
        "brier": "worse",
        "log_loss": "worse",
        "calibration_gap": "not distinguishable",
        "lift": "worse",
    }
    shifted = performance(good, evidence(4000, 1, later, raised=0.2), block="30min").droplevel("window")
    assert shifted.loc["calibration_gap", "verdict"] == "changed"
    assert shifted.loc["calibration_gap", "difference_hi"] < -0.05
    assert (blind["lo"] <= blind["value"]).all()
    assert (blind["value"] <= blind["hi"]).all()
    back = performance(evidence(4000, 1, knows=0.0), evidence(4000, 0, later), block="30min").droplevel("window")
    assert back.loc["brier", "verdict"] == "better"


def test_windows_are_those_of_the_later_rows_and_few_rows_are_no_evidence():
    table = evidence(4000)
    found = performance(table[:2000], table[2000:], window="1000min", block="30min", permutations=200, resamples=50)
    begins = found.index.get_level_values("window").unique()
    assert begins.tolist() == [table.index[2000], table.index[3000]]
    alone = performance(table[:2000], table[2000:3000], block="30min", permutations=200, resamples=50)
    pd.testing.assert_series_equal(
        alone["value"].reset_index(drop=True), found["value"].iloc[:4].reset_index(drop=True)
    )
    short = performance(table[:2000], table[2000:2040], block="30min")
    assert (short["verdict"] == "not enough evidence").all()
    quiet = table[2000:].assign(outcome=False)
    assert performance(table[:2000], quiet, block="30min")["verdict"].iloc[3] == "not enough evidence"
    with pytest.raises(NotEnoughEvidence, match="both kinds"):
        performance(table[:2000].assign(outcome=False), table[2000:], block="30min")
    with pytest.raises(NotEnoughEvidence, match="blocks"):
        performance(table[:60], table[2000:], block="30min")
    with pytest.raises(NotEnoughEvidence, match="0 later"):
        performance(table[:2000], table[:0], block="30min")
    with pytest.raises(ContractError, match="reference ends"):
        performance(table[:2000], table[1000:], block="30min")
