"""Names of failure modes: the nearest picture, and unknown where none is near."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from shops import LATENCY, START, alarm, shop, slow

from stability.localization import UNKNOWN, ModeNamer, cases, symptom_pictures, usual_of

COLUMNS = ["heat", "wait", "loss"]
CENTRES = {"fan": [4.0, 0.0, 0.0], "queue": [0.0, 4.0, 0.0], "link": [0.0, 2.0, 4.0]}


def pictures(seed, each=8, spread=0.4):
    rng = np.random.default_rng(seed)
    modes = [mode for mode in CENTRES for _ in range(each)]
    return [pd.Series(rng.normal(CENTRES[mode], spread), index=COLUMNS) for mode in modes], modes


@settings(max_examples=20)
@given(st.integers(0, 500))
def test_most_new_cases_of_known_modes_are_named_and_rightly(seed):
    namer = ModeNamer().fit(*pictures(seed))
    seen, modes = pictures(seed + 1)
    said = [namer.name(picture)[0] for picture in seen]
    known = [one == mode for one, mode in zip(said, modes, strict=True) if one != UNKNOWN]
    assert len(known) > len(said) / 2
    assert np.mean(known) > 0.95


def test_a_mode_far_from_all_is_unknown_also_by_a_symptom_never_seen():
    namer = ModeNamer().fit(*pictures(0))
    assert namer.name(pd.Series({"heat": -9.0, "wait": -9.0, "loss": -9.0}))[0] == UNKNOWN
    assert namer.name(pd.Series({"heat": 4.0}))[0] == "fan"
    assert namer.name(pd.Series({"heat": 4.0, "smoke": 20.0}))[0] == UNKNOWN


def test_without_a_labelled_case_every_mode_is_unknown():
    assert ModeNamer().fit([], []).name(pd.Series({"heat": 4.0})) == (UNKNOWN, 0.0)


def test_it_comes_back_from_plain_numbers():
    namer = ModeNamer().fit(*pictures(3))
    again = ModeNamer.from_dict(namer.to_dict())
    for picture in pictures(4)[0]:
        assert again.name(picture) == namer.name(picture)


def test_a_picture_holds_what_moved_and_what_rules_say():
    panel = slow(shop(60, seed=3), "cart", 0.2, (45, 60))
    moment = panel.index.get_level_values(1).max()
    firings = pd.DataFrame({"rule": ["Slow"], "entity": ["cart"], "start": [START], "failure_mode": ["slow"]})
    [case] = cases({"telemetry": panel, "firings": firings}, alarm("a", moment), history="10h")
    rows = pd.DataFrame(index=pd.MultiIndex.from_product([["cart", "store", "gone"], [""]], names=["entity", "metric"]))
    cart, store, gone = symptom_pictures(case, rows, usual_of(shop(100)))
    assert cart[LATENCY] > np.log1p(20)
    assert cart["rule:slow"] == 1
    assert abs(store[LATENCY]) < np.log1p(5)
    assert "rule:slow" not in store
    assert not len(gone)
