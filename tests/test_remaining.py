"""Remaining life: what is left, health indices, features that do not look ahead, the model, to disk and back."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import datasets
from stability.features import Regimes
from stability.prediction import HealthIndices, LifeFeatures, RemainingLife, remaining_life
from stability.schema import ContractError

START, DAY = pd.Timestamp("2000-01-01", tz="UTC"), pd.Timedelta("1D")
FEW = {"mean": ("5D", "20D"), "slope": ("10D",), "ewma": (("5D", "10D"),)}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # several wait for each other where the machine is busy


def fleet(engines=12, seed=0, noise=0.3):
    """Engines that wear out: two sensors tell of it, how much depends on the condition; one stands still in one."""
    rng = np.random.default_rng(seed)
    parts, faults = [], []
    for k in range(engines):
        lived = int(rng.integers(60, 120))
        left = np.arange(lived, 0, -1) - 1.0
        low = rng.random(lived) < 0.5
        wear = np.exp(-left / 25)
        values = {
            "load_ratio": np.where(low, 0.2, 0.8),
            "fan_hertz": np.where(low, 50, 80) + np.where(low, 4, 1) * wear + noise * rng.normal(size=lived),
            "outlet_celsius": np.where(low, 300, 500) - 3 * wear + noise * rng.normal(size=lived),
            "valve_ratio": np.where(low, 1.0, 1.0 + 0.1 * rng.normal(size=lived)),
        }
        index = pd.MultiIndex.from_product(
            [[f"engine-{k:02d}"], pd.date_range(START, periods=lived, tz="UTC").as_unit("us")],
            names=["entity", "timestamp"],
        )
        parts.append(pd.DataFrame(values, index))
        faults.append({"entity": f"engine-{k:02d}", "impact_start": index[-1][1]})
    return pd.concat(parts), pd.DataFrame(faults).rename_axis("fault_id")


@pytest.fixture(scope="module")
def learnt():
    panel, faults = fleet()
    life = remaining_life(panel.index, faults)
    shape = LifeFeatures(["load_ratio"], sensors=FEW, indices=FEW, cap="80D").fit(panel, life)
    return panel, life, shape, shape.transform(panel)


# ---- what is left --------------------------------------------------------------------------------------------------
@given(st.data())
def test_life_is_the_time_to_the_next_impact(data):
    moments = st.lists(st.integers(0, 40), max_size=4)
    told = {name: data.draw(moments) for name in "ab"}
    index = pd.MultiIndex.from_product([list("ab"), START + np.arange(30) * DAY], names=["entity", "timestamp"])
    rows = [{"entity": name, "impact_start": START + at * DAY} for name in told for at in told[name]]
    table = pd.DataFrame([*rows, {"entity": "a", "impact_start": pd.NaT}])
    table["impact_start"] = pd.to_datetime(table["impact_start"], utc=True)
    found = remaining_life(index, table)
    for (name, stamp), life in found.items():
        left = [START + at * DAY - stamp for at in told[name] if START + at * DAY >= stamp]
        assert life == min(left).total_seconds() if left else math.isnan(life)


def test_life_of_cmapss_is_that_of_its_own_table(data_mirror):
    tables = datasets.load("cmapss", subsets="FD001")
    found = remaining_life(tables["telemetry"].index, tables["faults"]) / DAY.total_seconds()
    assert (found == tables["rul"]["cycles"]).all()


# ---- health --------------------------------------------------------------------------------------------------------
def test_an_index_is_a_regression_in_each_condition_by_itself(learnt):
    panel, life, *_ = learnt
    regimes = Regimes(["load_ratio"]).fit(panel)
    found = HealthIndices(regimes, cap="80D", decays=["10D"], ridge=1e-9).fit(panel, life).transform(panel)
    assert list(found) == ["wear", "wear_10D"]
    wanted = 1 - np.minimum(life.to_numpy() / 86400, 80) / 80
    for level in (0.2, 0.8):
        rows = (panel["load_ratio"] == level).to_numpy()
        own = panel[rows][["fan_hertz", "outlet_celsius", "valve_ratio"]].to_numpy()
        own = np.column_stack([own, np.ones(len(own))])
        plain = own @ np.linalg.lstsq(own, wanted[rows], rcond=None)[0]
        np.testing.assert_allclose(found["wear"][rows], plain, atol=1e-6)


def test_an_index_tells_of_wear_on_engines_that_were_not_there(learnt):
    _, _, shape, _ = learnt
    other, faults = fleet(6, seed=9)
    left = remaining_life(other.index, faults).to_numpy() / 86400
    found = shape.health(other)["wear_15D"].to_numpy()
    assert np.corrcoef(found, np.exp(-left / 15))[0, 1] > 0.85


def test_a_condition_is_unknown_where_its_setting_is(learnt):
    panel, _, shape, _ = learnt
    dark = panel.assign(load_ratio=panel["load_ratio"].where(np.arange(len(panel)) != 3))
    found = shape.health(dark)
    assert found.iloc[3].isna().all()
    assert found.drop(found.index[3]).notna().all().all()


# ---- features ------------------------------------------------------------------------------------------------------
def test_features_do_not_change_with_what_follows(learnt):
    panel, _, shape, whole = learnt
    place = panel.groupby(level="entity").cumcount().to_numpy()
    for until in (0, 1, 7, 40):
        early = place <= until
        pd.testing.assert_frame_equal(shape.transform(panel[early]), whole[early], check_exact=False, rtol=1e-9)


def test_features_of_an_entity_do_not_depend_on_others(learnt):
    panel, _, shape, whole = learnt
    one = panel.loc[["engine-03"]]
    pd.testing.assert_frame_equal(shape.transform(one), whole.loc[["engine-03"]], rtol=1e-9)


def test_names_say_what_a_feature_is(learnt):
    panel, _, shape, whole = learnt
    assert "fan_hertz__z__regime__mean__20D" in whole
    assert "wear_15D__ewma__5D__off__10D" in whole
    assert whole.columns.is_unique
    assert whole.attrs["fitted_on"] == shape.fitted_on_
    age = whole["age__last__now"].to_numpy() / 86400
    assert (age == panel.groupby(level="entity").cumcount()).all()
    bare = LifeFeatures(["load_ratio"], sensors=FEW, indices={}).fit(*learnt[:2]).transform(panel)
    assert not [name for name in bare if name.startswith("wear")]


def test_features_refuse_what_does_not_fit(learnt):
    panel, life, *_ = learnt
    with pytest.raises(ContractError, match="rows of the panel"):
        LifeFeatures(["load_ratio"]).fit(panel, life[1:])
    with pytest.raises(ContractError, match="failure is known"):
        LifeFeatures(["load_ratio"]).fit(panel, life * np.nan)
    with pytest.raises(ContractError, match="load_rati"):
        LifeFeatures(["load_rati"]).fit(panel, life)
    with pytest.raises(ContractError, match="mean"):
        LifeFeatures(["load_ratio"], sensors={"men": ("5D",)})
    with pytest.raises(ContractError, match="learnt nothing"):
        LifeFeatures(["load_ratio"]).transform(panel)


# ---- the model -----------------------------------------------------------------------------------------------------
def small(**settings):
    return RemainingLife(**{"cap": "80D", "trees": 40, "depth": 3, "rate": 0.15, "leaf": 5, "members": 2, **settings})


def test_the_model_foretells_lives_that_were_not_there(learnt):
    _, life, shape, features = learnt
    other, faults = fleet(8, seed=5)
    left = np.minimum(remaining_life(other.index, faults).to_numpy() / 86400, 80)
    found = small().fit(features, life).predict(shape.transform(other)) / 86400
    error = np.sqrt(np.mean((found - left) ** 2))
    assert error < 0.6 * np.std(left)
    assert found.between(0, 80).all()


def test_only_rows_of_known_life_that_were_asked_for_are_learnt_from(learnt):
    _, life, _, features = learnt
    rows = np.arange(len(features)) % 2 == 0
    plain = small().fit(features[rows], life[rows]).predict(features)
    masked = small().fit(features, life.where(rows, 0.0), rows=rows).predict(features)
    censored = small().fit(features, life.where(rows)).predict(features)
    assert (plain == masked).all()
    assert (plain == censored).all()


def test_members_differ_and_their_mean_is_said(learnt):
    _, life, _, features = learnt
    each = [small(members=1, seed=k).fit(features, life).predict(features) for k in (0, 1)]
    assert (each[0] != each[1]).any()
    both = small(members=2).fit(features, life).predict(features)
    inside = both.between(0.01 * 80 * 86400, 0.99 * 80 * 86400)  # where nothing was cut
    np.testing.assert_allclose(both[inside], ((each[0] + each[1]) / 2)[inside], rtol=0.02)
    assert (small().fit(features, life).predict(features) == both).all()


def test_saved_and_loaded_it_says_the_same(learnt, tmp_path):
    _, life, _, features = learnt
    model = small().fit(features, life)
    folder = model.save(tmp_path / "model")
    back = RemainingLife.load(folder)
    assert (back.predict(features[features.columns[::-1]]) == model.predict(features)).all()
    assert back.fitted_on_ == model.fitted_on_
    assert {path.suffix for path in folder.iterdir()} == {".json"}
    with pytest.raises(ContractError, match="not there yet"):
        model.save(folder)


@pytest.mark.parametrize("harm", ["empty", "text", "settings", "model"])
def test_a_harmed_folder_is_refused(learnt, tmp_path, harm):
    _, life, _, features = learnt
    folder = small().fit(features, life).save(tmp_path / "model")
    said = json.loads((folder / "remaining.json").read_text())
    {
        "empty": lambda: (folder / "remaining.json").unlink(),
        "text": lambda: (folder / "remaining.json").write_text("no json"),
        "settings": lambda: (folder / "remaining.json").write_text(json.dumps(said | {"settings": {"root": 1}})),
        "model": lambda: (folder / "model_1.json").write_bytes(b"{"),
    }[harm]()
    with pytest.raises(ContractError, match=r"RemainingLife\.save"):
        RemainingLife.load(folder)


def test_the_model_refuses_what_does_not_fit(learnt):
    _, life, _, features = learnt
    with pytest.raises(ContractError, match="learnt nothing"):
        small().predict(features)
    with pytest.raises(ContractError, match="failure is known"):
        small().fit(features, life * np.nan)
    with pytest.raises(ContractError, match="from 0 up"):
        small().fit(features, life - 86400)
    with pytest.raises(ContractError, match="lives"):
        small().fit(features, life[1:])
    with pytest.raises(ContractError, match="infinite"):
        small().fit(features.assign(age__last__now=np.inf), life)
    model = small(trees=2).fit(features, life)
    with pytest.raises(ContractError, match="age__last__now"):
        model.predict(features.drop(columns="age__last__now"))
