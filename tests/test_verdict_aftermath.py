"""What is known of a repair's effect: frames in form, nothing of what comes later."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from aftermaths import ACTED, after, aftermath

from stability.schema import ContractError

KNOWN = aftermath()


def test_until_cuts_every_frame():
    early = KNOWN.until(after(10))
    assert early.now == after(10)
    for frame in (early.telemetry, early.service, early.scores):
        assert frame.index.get_level_values(1).max() == after(10)
    assert len(KNOWN.service) > len(early.service)


def test_frames_without_an_entity_are_the_things_own_and_order_does_not_matter():
    own = KNOWN.scores.loc["model-a"].sample(frac=1, random_state=0)
    known = dataclasses.replace(KNOWN, scores=own)
    pd.testing.assert_frame_equal(known.scores, KNOWN.scores.loc[["model-a"]], check_index_type=False)


def test_other_time_zones_and_empty_frames_are_taken():
    known = dataclasses.replace(KNOWN, acted_at=ACTED.tz_convert("Europe/Berlin"), telemetry=pd.DataFrame())
    assert str(known.acted_at.tz) == "UTC"
    assert known.acted_at == ACTED
    assert known.telemetry.empty
    assert known.until(after(3)).telemetry.empty
    assert dataclasses.replace(KNOWN, impact_start=pd.NaT).impact_start is pd.NaT


TWICE = pd.concat([KNOWN.scores, KNOWN.scores.iloc[:1]])
NAIVE = KNOWN.scores.reset_index()
NAIVE = NAIVE.assign(timestamp=NAIVE["timestamp"].dt.tz_localize(None)).set_index(["entity", "timestamp"])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("acted_at", "yesterday", "a moment in UTC"),
        ("acted_at", pd.NaT, "NaT"),
        ("now", pd.Timestamp("2026-03-01"), "tz_localize"),
        ("telemetry", [1, 2], "a DataFrame"),
        ("telemetry", KNOWN.telemetry.reset_index(), "an index"),
        ("scores", TWICE, "two for"),
        ("scores", NAIVE, "without time zone"),
        ("service", KNOWN.service[["good"]], "good and total"),
        ("service", KNOWN.service.assign(good=1e9), "good <= total"),
        ("service", KNOWN.service.assign(good=-1.0), "good <= total"),
        ("service", KNOWN.service.assign(total=np.inf), "good <= total"),
        ("thresholds", {"shift": float("nan")}, "a number"),
        ("thresholds", {"shift": "high"}, "a number"),
        ("neighbours", "model-b", "a list"),
        ("step", 0, "above 0"),
        ("step", float("inf"), "above 0"),
    ],
)
def test_bad_input_is_refused(field, value, said):
    with pytest.raises(ContractError, match=said):
        dataclasses.replace(KNOWN, **{field: value})
