"""What an entity is and how it is set, as it was last known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rolling import panel

from stability.features import States
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")


def table(seed, count=60):
    rng = np.random.default_rng(seed)
    stamps = START + pd.to_timedelta(np.sort(rng.integers(0, 8000, size=count)), unit="s")
    found = pd.DataFrame({"timestamp": stamps.as_unit("us"), "entity": rng.choice(["web-0", "web-2"], size=count)})
    found["name"] = rng.choice(["age", "mode", "other"], size=count)
    found["value"] = np.where(found["name"] == "age", rng.integers(0, 9, size=count).astype(str), "b c")
    found.loc[rng.random(count) < 0.5, "value"] = found["value"].where(found["name"] == "age", "a")
    return found


def plainly(states, index, values):
    rows = []
    for entity, moment in index:
        row = []
        for name, told in values.items():
            own = states[(states["entity"] == entity) & (states["name"] == name) & (states["timestamp"] <= moment)]
            last = own["value"].iloc[-1] if len(own) else None
            known = [float(last == one) for one in told] or [float(last or "nan")]
            row += known if last is not None else [np.nan] * len(known)
        rows.append(row)
    return np.array(rows, dtype=float)


@settings(max_examples=settings().max_examples // 4)
@given(seed=st.integers(0, 999))
def test_values_are_those_that_were_set_last_in_batch_and_live(seed):
    states, index = table(seed), panel(seed, sizes=(20, 3, 15)).index
    made = States(["age", "mode"]).fit(states)
    assert made.names() == ["age__state__now", "mode_a__state__now", "mode_b_c__state__now"]
    found = made.transform(states, index)
    assert found.to_numpy() == pytest.approx(plainly(states, index, made.values_), nan_ok=True)
    assert list(found) == made.names()
    order = index[index.get_level_values(1).argsort(kind="stable")]
    made.begin(states.iloc[:0])
    told = START - pd.Timedelta("1s")
    for entity, moment in order:
        made.add(states[(states["timestamp"] > told) & (states["timestamp"] <= moment)])
        told = max(told, moment)
        live = made.update(pd.DatetimeIndex([moment]), pd.Index([entity]))
        assert live == pytest.approx(found.loc[[(entity, moment)]].to_numpy(), nan_ok=True)
        made.tidy(int(moment.value // 1000))
    assert max(len(moments) for moments, _ in made._set.values()) == 1


def test_what_is_set_later_changes_nothing():
    states, index = table(1), panel(1).index
    made = States(["age", "mode"]).fit(states)
    whole = made.transform(states, index)
    for moment in index.get_level_values(1)[[5, 30, 50]]:
        rows = index.get_level_values(1) <= moment
        until = made.transform(states[states["timestamp"] <= moment], index[rows])
        pd.testing.assert_frame_equal(until, whole[rows])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ContractError, match="names of states"):
        States([])
    with pytest.raises(ContractError, match="age, mode"):
        States(["colour"]).fit(table(0))
    many = pd.DataFrame({"timestamp": START, "entity": "a", "name": "id", "value": [f"x{k}" for k in range(30)]})
    with pytest.raises(ContractError, match="up to 20"):
        States(["id"]).fit(many)
    with pytest.raises(ContractError, match="fit"):
        States(["age"]).transform(table(0), panel().index)
    with pytest.raises(ContractError, match="begin"):
        States(["age"]).fit(table(0)).update(pd.DatetimeIndex([START]), pd.Index(["a"]))
