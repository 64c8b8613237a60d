"""Whether the responsible metrics are named: hit rates on parts whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series import START, panel

from stability.evaluation import responsible_hits
from stability.schema import ContractError


def fault(roots, at=5, entity="web-1", name="f1"):
    moment = START + pd.Timedelta(minutes=at)
    row = {"fault_id": name, "entity": entity, "root_entity": entity, "impact_start": moment, "root_metrics": roots}
    return pd.DataFrame([row]).set_index("fault_id")


def window(start, end, entity="web-1"):
    minutes = [START + pd.Timedelta(minutes=m) for m in (start, end)]
    return pd.DataFrame({"entity": [entity], "start": minutes[:1], "end": minutes[1:]})


def test_only_the_rows_of_the_event_count():
    parts = panel(np.r_[np.full(5, 9.0), np.zeros(5)], np.r_[np.zeros(5), np.full(5, 1.0)])
    hits = responsible_hits(parts, fault("m1"), window(5, 9))
    assert hits.loc["f1"].to_dict() == {"metrics": 1, "hit_100": 1, "chance_100": 0.5, "hit_150": 1, "chance_150": 0.5}
    assert responsible_hits(parts, fault("m0"), window(5, 9)).loc["f1", "hit_100"] == 0


def test_an_event_within_anothers_window_lasts_to_its_end():
    parts = panel(np.arange(10.0), np.full(10, 6.0))
    assert responsible_hits(parts, fault("m0", at=2), window(0, 9)).loc["f1", "hit_100"] == 0  # mean of 2..9 is 5.5
    assert responsible_hits(parts, fault("m0", at=6), window(0, 9)).loc["f1", "hit_100"] == 1


def test_what_is_not_labelled_is_left_out():
    parts = panel(np.ones(10))
    assert responsible_hits(parts, fault("m0", at=9), window(1, 5)).empty
    assert responsible_hits(parts, fault("m0"), window(1, 9, entity="other")).empty
    assert responsible_hits(parts, fault(None), window(1, 9)).empty


@given(st.integers(2, 8), st.data())
def test_a_detector_that_says_nothing_gets_what_chance_does(metrics, data):
    parts = panel(*np.zeros((metrics, 10)))
    roots = data.draw(st.lists(st.sampled_from(list(parts.columns)), min_size=1, unique=True))
    hits = responsible_hits(parts, fault(",".join(roots)), window(0, 9)).loc["f1"]
    assert hits["hit_100"] == pytest.approx(hits["chance_100"])
    assert hits["hit_150"] == pytest.approx(hits["chance_150"])


def test_roots_count_once_however_they_are_written():
    parts = panel(np.ones(10), np.full(10, 2.0), np.zeros(10))
    hits = responsible_hits(parts, fault("m1,m0"), window(0, 9))
    for written in ("m1, m0", " m1 ,m0,m1"):
        pd.testing.assert_frame_equal(responsible_hits(parts, fault(written), window(0, 9)), hits)


def test_a_single_entity_needs_no_name():
    parts = panel(np.ones(10), np.full(10, 2.0))
    hits = responsible_hits(parts.loc["web-1"], fault("m1", entity="default"), window(0, 9, entity="default"))
    assert hits.loc["f1", "hit_100"] == 1


def test_wrong_questions_are_refused():
    parts = panel(np.ones(10))
    with pytest.raises(ContractError, match="shares"):
        responsible_hits(parts, fault("m0"), window(0, 9), shares=[0.5])
    with pytest.raises(ContractError, match="m7"):
        responsible_hits(parts, fault("m7"), window(0, 9))
