"""The pictures of predictors say what they show: areas, costs, leads and verdicts as the numbers have them."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from stability.evaluation import (
    compare_rankings,
    cost_curve,
    every_pair,
    precision_recall,
    warned_events,
)
from stability.plotting import plot_costs, plot_leads, plot_precision_recall, plot_significance

DAYS = pd.date_range("2026-01-01", periods=60, freq="D", tz="UTC", unit="us")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    names = [f"m{i}" for i in range(12)]
    index = pd.MultiIndex.from_product([names, DAYS], names=["entity", "timestamp"])
    number = np.tile(np.arange(60), 12)
    faults = pd.DataFrame([(n, s) for n in names for s in DAYS[9::10]], columns=["entity", "impact_start"])
    truth = pd.Series((number % 10 >= 6) & (number % 10 < 9), index)
    sharp = pd.Series(np.where(truth, 0.6, 0.1) + 0.3 * rng.random(720), index)
    blunt = pd.Series(np.where(truth & (rng.random(720) < 0.5), 0.6, 0.1) + 0.3 * rng.random(720), index)
    return {"sharp": sharp, "blunt": blunt}, truth, faults


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_precision_and_recall_have_their_area_and_the_base_rate(world):
    said, truth, _ = world
    curves = {name: precision_recall(part, truth) for name, part in said.items()}
    ax = plot_precision_recall(curves, truth.mean(), chosen={"blunt": 0.5})
    area = average_precision_score(truth, said["blunt"])
    assert legend(ax) == ["sharp: area 1.000", f"blunt: area {area:.3f}", "base rate 0.3"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    flagged = said["blunt"] >= 0.5
    assert dots[0].get_xdata()[0] == pytest.approx(flagged[truth].mean())
    assert dots[0].get_ydata()[0] == pytest.approx(truth[flagged].mean())
    assert "recall" in ax.get_xlabel()
    assert "precision" in ax.get_ylabel()


def test_costs_stand_beside_what_knows_nothing(world):
    said, _, faults = world
    costs = {n: cost_curve(p, faults, horizon="3D", miss=10, alarm=1, recovery="0s") for n, p in said.items()}
    ax = plot_costs(costs, chosen={"sharp": 0.6, "blunt": math.inf}, period="ten minutes")
    texts = legend(ax)
    assert f"never warn: {costs['sharp'].never:.3g}" in texts
    assert f"always warn: {costs['sharp'].always:.3g}" in texts
    best = costs["sharp"].curve["cost"].min()
    assert texts[:2] == ["sharp", f"chosen before: {best:.3g}"]
    assert texts[3] == f"chosen before: {costs['blunt'].never:.3g}"  # infinity is to never warn
    assert "warnings per entity and ten minutes" in ax.get_xlabel()


def test_leads_count_what_was_missed(world):
    said, _, faults = world
    table = warned_events(said["sharp"], faults, threshold=0.5, horizon="3D", recovery="0s")
    half = table.assign(lead=table["lead"].where(np.arange(len(table)) % 2 == 0))
    none = table.assign(lead=np.nan)
    ax = plot_leads({"all": table, "half": half, "none": none}, "3D", least_lead="24h")
    assert legend(ax) == [
        "all: 72 of 72, median 3 days",
        "half: 36 of 72, median 3 days",
        "none: 0 of 72",
        "horizon, 3 days",
        "least lead, 1 day",
    ]
    assert [line.get_ydata().max() for line in ax.lines[:3]] == [1.0, 0.5, 0.0]
    assert "lead time (days)" in ax.get_xlabel()
    short = plot_leads({"all": table.assign(lead=table["lead"] / 72)}, "1h")
    assert "lead time (min)" in short.get_xlabel()


def test_every_pair_has_its_cell_and_verdict_in_words(world):
    said, truth, _ = world
    rng = np.random.default_rng(1)
    more = {"blunt": said["blunt"], "like": said["blunt"] + 1e-3 * rng.random(720), "sharp": said["sharp"]}
    pairs = every_pair(compare_rankings, more, labels=truth, resamples=200, permutations=500)
    ax = plot_significance(pairs, measure="PR-AUC")
    assert len(ax.patches) == 3
    text = " ".join(t.get_text() for t in ax.texts)
    assert f"{pairs.loc[('sharp', 'blunt'), 'difference']:+.3f}" in text
    assert "better" in text
    assert "not distinguishable" in text
    assert "Holm over 3" in ax.get_title(loc="left")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["like", "sharp"]
    pairs[["difference", "lo", "hi", "p_holm"]] = math.nan
    pairs["verdict"] = "not enough evidence"
    assert "not enough" in plot_significance(pairs).texts[0].get_text()


def test_the_curve_has_the_area_of_average_precision():
    rng = np.random.default_rng(2)
    scores, labels = rng.integers(0, 9, size=200) / 9, rng.random(200) < 0.2
    scores[:20] = math.nan
    curve = precision_recall(scores, labels)
    area = np.diff(np.append(0.0, curve["recall"])) @ curve["precision"]
    assert area == pytest.approx(average_precision_score(labels, np.where(np.isnan(scores), -1, scores)))
    assert curve.index[-1] == -math.inf
    assert curve["recall"].iloc[-1] == 1.0
