"""Held-out NAB scores: the files that are judged choose nothing, and the folds add up to the benchmark's own score."""

import numpy as np
import pandas as pd
import pytest

from stability.evaluation import NAB_PROFILES, nab_held_out, nab_held_out_difference, nab_score
from stability.schema import ContractError

STAMPS = pd.date_range("2026-01-01", periods=400, freq="5min", tz="UTC", unit="us")
FILES = [f"{group}/{k}" for group in ("a", "b", "c") for k in range(3)]
GROUPS = {name: name[0] for name in FILES}
INDEX = pd.MultiIndex.from_product([FILES, STAMPS], names=["entity", "timestamp"])


def corpus(seed, skill):
    """Scores that rise in the windows by `skill`, and the windows."""
    rng = np.random.default_rng(seed)
    starts = {name: int(rng.integers(80, 350)) for name in FILES}
    windows = pd.DataFrame([{"entity": n, "start": STAMPS[a], "end": STAMPS[a + 39]} for n, a in starts.items()])
    scores = pd.Series(rng.exponential(size=len(INDEX)), index=INDEX, name="x")
    for name, a in starts.items():
        scores.loc[[(name, STAMPS[a + 5])]] += skill
    return scores, windows


def configurations(seed):
    good, windows = corpus(seed, 8.0)
    return {
        "bad": pd.Series(np.random.default_rng(seed + 1).exponential(size=len(INDEX)), INDEX),
        "good": good,
    }, windows


@pytest.mark.parametrize("profile", NAB_PROFILES)
def test_folds_add_up_to_the_benchmarks_score_at_their_thresholds(profile):
    scores, windows = configurations(0)
    held = nab_held_out(scores, windows, GROUPS, profile)
    weights, raw, hits = NAB_PROFILES[profile], 0.0, 0
    for group, fold in held.folds.iterrows():
        own = INDEX.get_level_values("entity").str.startswith(group)
        score = nab_score(
            scores[fold["configuration"]][own],
            windows[windows["entity"].str.startswith(group)],
            profile,
            threshold=fold["threshold"],
        )
        raw, hits = raw + score.raw, hits + score.hits
        assert score.value == pytest.approx(fold["value"])
        assert score.false_alarm_rows == fold["false_alarm_rows"]
    null = -weights.fn * len(windows)
    assert held.estimate.value == pytest.approx(100 * (raw - null) / (weights.tp * len(windows) - null))
    assert held.hits == hits == held.folds["hits"].sum()
    assert held.estimate.lo < held.estimate.value < held.estimate.hi
    assert held.flagged.index.equals(INDEX)


def test_the_better_configuration_is_chosen_and_the_held_out_score_is_no_better_than_the_best():
    scores, windows = configurations(2)
    held = nab_held_out(scores, windows, GROUPS)
    assert (held.folds["configuration"] == "good").all()
    assert held.estimate.value <= nab_score(scores["good"], windows).value + 1e-9


def test_what_is_judged_chooses_nothing():
    scores, windows = configurations(4)
    before = nab_held_out(scores, windows, GROUPS).folds
    other = {name: column.copy() for name, column in scores.items()}
    mine = INDEX.get_level_values("entity").str.startswith("b")
    for column in other.values():
        column[mine] = np.random.default_rng(9).normal(size=mine.sum())
    after = nab_held_out(other, windows, GROUPS).folds
    kept = ["configuration", "threshold"]
    assert after.loc["b", kept].tolist() == before.loc["b", kept].tolist()
    assert after["threshold"].drop("b").tolist() != before["threshold"].drop("b").tolist()


def test_configurations_must_be_of_the_same_rows():
    scores, windows = configurations(6)
    with pytest.raises(ContractError, match="one or more, got none"):
        nab_held_out({}, windows, GROUPS)
    turned = scores["good"].loc[FILES[::-1]]
    for other in (scores["good"].iloc[1:], turned, scores["good"].rename(index={"c/2": "c/3"}, level="entity")):
        with pytest.raises(ContractError, match="the rows of 'bad' in their order, got others in 'good'"):
            nab_held_out(scores | {"good": other}, windows[:3], GROUPS | {"c/3": "c"})


def test_groups_must_be_there():
    scores, windows = configurations(6)
    with pytest.raises(ContractError, match="none for 'c/0'"):
        nab_held_out(scores, windows, {k: v for k, v in GROUPS.items() if v != "c"})
    with pytest.raises(ContractError, match="two groups"):
        nab_held_out(scores, windows, dict.fromkeys(FILES, "a"))


def test_a_difference_is_of_the_same_drawings_of_files():
    found, windows = configurations(3)
    good, bad = (nab_held_out({name: found[name]}, windows, GROUPS) for name in ("good", "bad"))
    gap = nab_held_out_difference(good, bad, resamples=500)
    assert gap.value == pytest.approx(good.estimate.value - bad.estimate.value)
    assert 0 < gap.lo < gap.value < gap.hi
    assert tuple(nab_held_out_difference(good, good)) == (0.0, 0.0, 0.0)
    drawn = np.random.default_rng(0).integers(0, len(FILES), size=(2000, len(FILES)))
    apart = (good.shares["gained"] - bad.shares["gained"]).to_numpy()[drawn].sum(axis=1)
    plain = 100 * apart / good.shares["most"].to_numpy()[drawn].sum(axis=1)
    assert gap.lo == pytest.approx(np.quantile(plain, 0.025), abs=4)
    with pytest.raises(ContractError, match="same files"):
        nab_held_out_difference(good, nab_held_out({"bad": found["bad"]}, windows.iloc[1:], GROUPS))
