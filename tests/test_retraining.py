"""Training again: rows whose fault a repair averted, what naive training does to a model, and what is proposed."""

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repairing import Supervisor, aftermath, alarm, at, causes, repairer, state

from stability.adaptation.averted import HOW, averted, repairs, taught
from stability.adaptation.performance import performance
from stability.adaptation.retraining import RECOMMENDATIONS, propose, training_rows
from stability.adaptation.unlearning import HORIZON, STEP, fleet, gains, rounds, touched, unlearnt
from stability.evaluation import average_precision
from stability.prediction import horizon_target, impact_labels
from stability.prediction.learning import learn, maker
from stability.prediction.protocol import prepare
from stability.schema import ContractError, validate

BEGIN = pd.Timestamp("2026-01-01", tz="UTC")


def moments(steps):
    return BEGIN.as_unit("us") + pd.to_timedelta(np.asarray(steps, dtype="int64"), unit="min").as_unit("us")


def grid(entities, steps):
    return pd.MultiIndex.from_product([entities, moments(range(steps))], names=["entity", "timestamp"])


# ---- what a repair may have averted ----------------------------------------------------------------------------------
@given(
    data=st.lists(st.tuples(st.sampled_from("ab"), st.integers(-3, 40), st.integers(0, 6)), max_size=8),
    horizon=st.integers(1, 12),
)
def test_rows_are_marked_as_their_twin_marks_them(data, horizon):
    index = grid(["a", "b", "c"], 40)
    whole = [(name, start, start + long) for name, start, long in data]
    done = pd.DataFrame(whole, columns=["entity", "start", "end"])
    done["start"], done["end"] = moments(done["start"]), moments(done["end"])
    found = averted(index, done, f"{horizon}min")
    rows = [(name, step) for name in "abc" for step in range(40)]
    expected = [np.nan if x is None else x for x in naive.averted_share(rows, whole, horizon)]
    assert found.to_numpy() == pytest.approx(np.array(expected), nan_ok=True)
    assert found.index is index


def test_each_way_makes_of_an_averted_fault_what_it_says():
    index = grid(["a", "b"], 10)
    done = pd.DataFrame({"entity": "a", "start": moments([5]), "end": moments([5])})
    happened = np.zeros(20, dtype=bool)
    happened[3] = happened[15] = True  # what came is known, whoever repaired
    told = {
        how: taught(index, happened, done, "4min", how=how, probability=pd.Series(1.0, index), held_out=["b"])
        for how in HOW
    }
    unsure = [1, 2, 4, 5]
    assert {own.averted for own in told.values()} == {len(unsure)}
    assert np.flatnonzero(~told["drop"].rows).tolist() == unsure
    assert np.flatnonzero(told["positive"].labels).tolist() == [*sorted([*unsure, 3]), 15]
    assert told["negative"].rows.all()
    assert (told["negative"].labels == happened).all()
    assert np.flatnonzero(told["held_out"].rows).tolist() == [0, *range(10, 20)]  # a's first: its horizon ends before
    assert told["expected"].labels[5]  # all of its horizon follows the repair, of which the model was sure
    assert not told["expected"].labels[1]  # nothing of it does
    never = taught(index, happened, done, "4min", how="expected", probability=pd.Series(0.0, index))
    assert (never.labels == happened).all()


def test_what_a_model_believed_is_drawn_as_often():
    index = grid([f"m{k}" for k in range(400)], 5)
    done = pd.DataFrame(
        {"entity": [f"m{k}" for k in range(400)], "start": moments([4] * 400), "end": moments([4] * 400)}
    )
    own = taught(index, np.zeros(2000, bool), done, "4min", how="expected", probability=pd.Series(0.6, index))
    share = own.labels.reshape(400, 5).mean(axis=0)
    assert share == pytest.approx([0, 0.15, 0.3, 0.45, 0.6], abs=0.09)


def test_within_a_long_repair_counts_what_was_believed_when_it_began():
    index = grid(["a"], 12)
    done = pd.DataFrame({"entity": "a", "start": moments([3, 9]), "end": moments([6, 9])})
    said = pd.Series(0.0, index)
    said.iloc[3] = 1.0  # sure of the fault when the repair began; of the signs nothing is left while it goes on
    own = taught(index, np.zeros(12, bool), done, "1min", how="expected", probability=said)
    assert np.flatnonzero(own.labels).tolist() == [3, 4, 5, 6]


def test_a_way_says_what_it_needs():
    index = grid(["a"], 10)
    done = pd.DataFrame({"entity": "a", "start": moments([5]), "end": moments([5])})
    nothing = np.zeros(10, dtype=bool)
    with pytest.raises(ContractError, match="how='drop'"):
        taught(index, nothing, done, "4min")
    with pytest.raises(ContractError, match="nobody repairs"):
        taught(index, nothing, done, "4min", how="held_out", held_out=["x"])
    with pytest.raises(ContractError, match="did you mean 'drop'"):
        taught(index, nothing, done, "4min", how="dropp")
    assert taught(index, nothing, done[:0], "4min").rows.all()  # nobody repaired: nothing is needed


@pytest.fixture
def supervisor():
    made = Supervisor()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("mode", "well", "marked"), [("automatic", True, 46), ("automatic", False, 0), ("dry-run", True, 0)]
)
def test_the_watchs_own_record_says_which_rows(tmp_path, supervisor, mode, well, marked):
    """A real repairer: a repair that helped marks 45 s before it and its own row; one in vain or rehearsed, none."""
    made = repairer(tmp_path, supervisor.url, mode=mode)
    decision = made.decide(alarm(), causes(("model-a", "memory_leak", 0.9)), at(0), state())
    made.act(decision, at(0), state())
    for case in made.open_cases():
        made.observe(case, aftermath(case, 650, well=well), case.acted_at + (at(650) - at(0)))
    actions = made.actions()
    assert len(actions) >= 1
    stamps = pd.date_range(at(-300), at(60), freq="s")
    index = pd.MultiIndex.from_product([["gateway", "model-a"], stamps], names=["entity", "timestamp"])
    own = repairs(actions[actions["step"].str.endswith("restart")])
    shares = averted(index, own, "45s")
    assert shares.loc["model-a"].notna().sum() == pytest.approx(marked, abs=2)  # the action takes a moment
    assert shares.loc["gateway"].isna().all()
    edges = validate(pd.DataFrame({"source": ["gateway"], "target": ["model-a"], "kind": ["calls"]}), "topology")
    upward = averted(index, repairs(actions[actions["step"].str.endswith("restart")], edges), "45s")
    assert upward.loc["gateway"].notna().sum() == shares.loc["model-a"].notna().sum()


# ---- rounds ----------------------------------------------------------------------------------------------------------
def test_the_simulations_labels_are_those_of_the_contract():
    own = fleet(12, 600, seed=1)
    said = pd.Series(np.random.default_rng(0).uniform(size=len(own.features)), own.features.index)
    after = touched(own, said, 0.97)
    assert len(after.faults) < own.episodes["fault"].sum()
    faults = after.faults.assign(fault_id=[f"f{k}" for k in range(len(after.faults))])
    index = after.features.index
    labels = impact_labels(index, faults, HORIZON * STEP)
    target = horizon_target(labels, index, HORIZON * STEP, record_end=index.get_level_values("timestamp").max())
    assert (target.usable == after.usable).all()
    assert (target.y == after.happened).all()


def test_a_repair_ends_the_signs_and_the_fault_and_nothing_else():
    own = fleet(20, 800, seed=2)
    nobody = touched(own, pd.Series(0.0, own.features.index), np.inf)
    pd.testing.assert_frame_equal(nobody.features, own.features)
    assert len(nobody.faults) == own.episodes["fault"].sum()
    assert nobody.done.empty
    sure = own.episodes[own.episodes["fault"] & (own.episodes["mode"] == "plain")].iloc[0]
    key = (f"m{sure['entity']:03d}", own.begin + (int(sure["start"]) + 5) * STEP)
    said = pd.Series(0.0, own.features.index)
    said[key] = 1.0
    after = touched(own, said, 0.5)
    assert len(after.done) == len(nobody.faults) - len(after.faults) == 1
    before, changed = nobody.features["plain"], after.features["plain"] != nobody.features["plain"]
    ends = own.begin + int(sure["end"]) * STEP
    assert changed.sum() == sure["end"] - sure["start"] - 5
    assert (before[changed] > after.features["plain"][changed]).all()
    assert changed[changed].index.get_level_values("timestamp").max() < ends
    spared = touched(own, said, 0.5, held_out=[int(sure["entity"])])
    assert spared.done.empty


def test_training_on_ones_own_repairs_unlearns_and_the_default_does_not():
    """The effect itself, on four fleets: the first model trained again at its word loses; what is believed does not."""
    make = maker("xgboost", {"trees": 25, "rate": 0.3}, "15min")
    ways = ["negative", "expected"]
    played = rounds(make, ways, count=1, window=1, seeds=range(4), entities=40, steps=800)
    after = played.pivot_table(index=["seed", "round"], columns="way", values="pr_auc")
    first, second = after.xs(0, level="round"), after.xs(1, level="round")
    assert (first["negative"] == first["expected"]).all()
    assert (second["negative"] < 0.75 * first["negative"]).all()
    assert second["expected"].mean() > second["negative"].mean() + 0.5 * (first - second)["negative"].mean()
    whole = pd.concat([played, played.assign(seed=played["seed"] + 4)])  # fewer than five fleets are no evidence
    assert gains(played)["verdict"].tolist() == ["not enough evidence"]
    assert unlearnt(played).isna().all(axis=None)
    lost = unlearnt(whole)
    assert lost.loc["negative", "value"] == pytest.approx((1 - second["negative"] / first["negative"]).mean())
    assert lost.loc["expected", "hi"] < lost.loc["negative", "lo"]
    assert gains(whole).loc["expected", "verdict"] == "better"
    assert played.loc[played["round"] == 1, "averted"].gt(0).all()


def test_where_nobody_repairs_all_ways_are_one():
    make = maker("logistic", {}, "15min")
    played = rounds(make, ["negative", "drop", "expected"], count=1, threshold=2.0, seeds=[0], entities=15, steps=500)
    assert played.groupby("round")["pr_auc"].nunique().tolist() == [1, 1]
    assert (played["repairs"].dropna() == 0).all()


# ---- proposals -------------------------------------------------------------------------------------------------------
def world(steps=2400, *, turns=None, seed=0, share=0.04):
    """Three entities; a gauge rises before each fault, and from step `turns` on another one does."""
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c"]
    values = rng.normal(size=(3, steps, 2))
    rows = []
    for k, name in enumerate(names):
        for step in np.flatnonzero(rng.uniform(size=steps // 40) < share * 20) * 40 + 25:
            gauge = int(turns is not None and step >= turns)
            values[k, step - 10 : step, gauge] += np.linspace(1, 4, 10)
            rows.append({"fault_id": f"{name}{step}", "entity": name, "impact_start": moments([step])[0]})
    faults = pd.DataFrame(rows, columns=["fault_id", "entity", "impact_start"])
    faults["recovered_at"] = faults["impact_start"] + pd.Timedelta("5min")
    panel = pd.DataFrame(values.reshape(-1, 2), grid(names, steps), columns=["first", "second"])
    return {"telemetry": validate(panel, "telemetry"), "faults": validate(faults, "faults")}


def prepared(tables, share):
    return prepare(tables, {"values": True}, horizon="10min", test_share=share, calibration_share=0)[0]


MAKE = maker("logistic", {}, "10min")


def in_use(tables, share=0.6):
    """What a model that learnt the beginning says of the rest."""
    fold = prepared(tables, share)
    return learn(MAKE, fold, blocks=2).model.predict(fold.features, rows=fold.judged())


def test_in_a_world_that_turned_training_again_is_proposed():
    tables = world(turns=1000)
    said = in_use(tables)
    told = propose(prepared(tables, 0.3), said, MAKE, block="40min")
    assert told.recommendation == "retrain"
    assert told.gain.loc["pr_auc", "lo"] > 0
    assert "beyond chance" in told.sentence
    assert set(told.choices.index) == {"all", "recent", "weighted"}
    assert told.choices.loc["recent", "rows"] < told.choices.loc["all", "rows"]
    assert told.chosen == told.choices["pr_auc"].idxmax()
    assert told.evidence["probability"].between(0, 1).all()
    judged = average_precision(told.evidence["champion"].to_numpy(), told.evidence["outcome"].to_numpy())
    assert told.gain.loc["pr_auc", "champion"] == pytest.approx(judged)


def test_in_the_same_world_one_waits_and_one_that_became_worse_is_not_distinguishable():
    tables = world()
    fold, said = prepared(tables, 0.3), in_use(tables)
    unknown = pd.DataFrame({"verdict": ["not enough evidence"] * 4})
    told = propose(fold, said, MAKE, block="40min", decayed=unknown)
    assert told.recommendation == "wait"
    assert told.reasons == ["performance: not enough evidence in any window"]
    assert told.sentence.startswith("Nothing shows that the model in use became worse")
    outcome = pd.Series(fold.target.y, fold.features.index)
    rng = np.random.default_rng(0)
    good = pd.DataFrame({"probability": 0.9 * outcome + 0.05, "outcome": outcome})[fold.split.train][:1500]
    bad = pd.DataFrame({"probability": said, "outcome": outcome[said.index]})
    bad["probability"] = rng.permutation(bad["probability"])
    at_hand = good.index.get_level_values("timestamp").max()
    late = bad[bad.index.get_level_values("timestamp") > at_hand]
    decayed = performance(good.loc[["a"]], late.loc[["b"]], block="40min", permutations=500)
    assert (decayed["verdict"] == "worse").any()
    told = propose(fold, said, MAKE, block="40min", decayed=decayed)
    assert told.recommendation == "not distinguishable"
    assert any("worse from" in reason for reason in told.reasons)


def test_a_worse_challenger_and_too_little_are_no_reason():
    tables = world(turns=1700)
    fold = prepared(tables, 0.2)
    later = pd.Series(fold.target.y, fold.features.index)[fold.split.test].astype(float)
    assert propose(fold, later, MAKE, block="40min").recommendation == "wait"  # the champion knows everything
    calm = world()
    calm["faults"] = calm["faults"].iloc[:1]
    told = propose(prepared(calm, 0.3), later, MAKE, block="40min")
    assert told.recommendation == RECOMMENDATIONS[3]
    assert told.sentence.startswith("Not enough evidence.")
    with pytest.raises(ContractError, match="calibration_share=0"):
        propose(prepare(tables, {"values": True}, horizon="10min", test_share=0.3)[0], later, MAKE, block="40min")


def test_averted_rows_judge_nobody():
    tables = world()
    fold, said = prepared(tables, 0.3), in_use(tables)
    whole = propose(fold, said, MAKE, block="40min").evidence
    one = whole.index[~whole["outcome"].to_numpy()][50]
    done = pd.DataFrame({"entity": [one[0]], "start": [one[1]], "end": [one[1]]})
    less = propose(fold, said, MAKE, block="40min", done=done, how="drop").evidence
    gone = whole.index.difference(less.index)
    assert one in gone
    assert set(gone.get_level_values("entity")) == {one[0]}
    assert not whole.loc[gone, "outcome"].any()
    assert len(gone) <= 11


def test_averted_rows_rank_no_choice_of_rows():
    tables = world()
    fold, said = prepared(tables, 0.3), in_use(tables)
    stamps = fold.features.index.get_level_values("timestamp")
    last = stamps[fold.split.train].max() - pd.to_timedelta([5, 45, 85], unit="min")
    done = pd.DataFrame({"entity": "a", "start": last, "end": last})
    told = [propose(fold, said, MAKE, block="40min", done=done, how=how) for how in ("positive", "drop")]
    assert told[0].choices["averted"].min() > 0
    assert told[0].choices["pr_auc"].tolist() == told[1].choices["pr_auc"].tolist()


def test_a_choice_of_rows_is_what_it_says():
    stamps = pd.DatetimeIndex(grid(["a", "b"], 1000).get_level_values("timestamp"))
    past = np.asarray(stamps < stamps[800])
    assert (training_rows(stamps, past, "all", None) == past).all()
    recent = training_rows(stamps, past, "recent", 0.25)
    assert recent.sum() == 400
    assert stamps[recent].min() == stamps[600]
    weighted = training_rows(stamps, past, "weighted", 0.5, seed=1)
    assert not (weighted & ~past).any()
    old, young = weighted[past & (stamps < stamps[200])].mean(), weighted[past & (stamps >= stamps[600])].mean()
    assert old == pytest.approx(0.3, abs=0.06)
    assert young == pytest.approx(0.84, abs=0.06)
    with pytest.raises(ContractError, match="share of the past"):
        training_rows(stamps, past, "recent", 0.0)
