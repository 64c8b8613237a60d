"""What an entity looks like at an alarm: levels of metrics, neighbours, lines, states, messages and rules."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.localization.cases import Case
from stability.localization.pictures import (
    ABSENT,
    GONE,
    HIGHER,
    LOWER,
    MUCH,
    USUAL,
    Moves,
    album_of,
    harm,
    log_odds,
    loudness,
    picture,
    usual_moves,
)
from stability.schema import ContractError, validate

T = pd.Timestamp("2026-01-01", tz="UTC")
LATENCY, SPACE = "http_server_request_duration_seconds_p99", "system_filesystem_utilization_ratio"
ROWS = 400


def panel(**changes) -> pd.DataFrame:
    """A gateway that calls two replicas, both with a disk; changes are entity/metric -> function of values."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range(T, periods=ROWS, freq="1s")
    parts = []
    for entity in ("gateway", "model-a", "model-b"):
        own = pd.DataFrame({LATENCY: 0.1 + 0.01 * rng.standard_normal(ROWS), "timestamp": stamps, "entity": entity})
        own[SPACE] = np.nan if entity == "gateway" else 0.2 + 0.001 * rng.standard_normal(ROWS)
        parts.append(own)
    made = validate(pd.concat(parts), "telemetry")
    for place, change in changes.items():
        entity, name = place.split("/")
        made.loc[[entity], name] = change(made.loc[[entity], name].to_numpy().copy())
    return made


def case_of(telemetry: pd.DataFrame, at: int = ROWS - 1, **tables) -> Case:
    calls = pd.MultiIndex.from_tuples([("gateway", "model-a"), ("gateway", "model-b")], names=["source", "target"])
    who = pd.MultiIndex.from_product([["gateway", "model-a", "model-b"], [""]], names=["entity", "metric"])
    held = {"telemetry": telemetry, "topology": pd.DataFrame({"kind": "calls"}, index=calls), **tables}
    return Case("x", "gateway", (), T + pd.Timedelta(seconds=at), who, held)


@pytest.fixture(scope="module")
def usual():
    return usual_moves(panel(), [T + pd.Timedelta(seconds=s) for s in range(150, 390, 6)])


def late(value):
    def change(values):
        values[-8:] = value
        return values

    return change


def test_nothing_moves_in_quiet_time(usual):
    own = picture(case_of(panel()), usual)
    assert loudness(own) <= 1  # one in fifty moves of quiet time is above the unit
    assert (own.loc["gateway", f"change.{SPACE}"], own.loc["model-a", f"change.{SPACE}"]) == (ABSENT, USUAL)


@pytest.mark.parametrize(("value", "level"), [(0.9, MUCH), (0.1, LOWER), (np.nan, USUAL)])
def test_levels_of_a_metric(usual, value, level):
    own = picture(case_of(panel(**{f"model-a/{SPACE}": late(value)})), usual)
    assert own.loc["model-a", f"change.{SPACE}"] == level  # without new values the last ones count for a while
    assert own.loc["model-b", f"change.{SPACE}"] == USUAL


def test_a_metric_without_values_for_long_is_gone(usual):
    def change(values):
        values[-40:] = np.nan
        return values

    assert picture(case_of(panel(**{f"model-a/{SPACE}": change})), usual).loc["model-a", f"change.{SPACE}"] == GONE


def test_a_move_differs_from_before_and_from_usual(usual):
    """After a fault that has ended a metric is back: it differs from what was before, and nothing is wrong."""

    def change(values):
        values[-100:-50] = 0.9
        return values

    assert picture(case_of(panel(**{f"model-a/{SPACE}": change})), usual).loc["model-a", f"change.{SPACE}"] == USUAL


def test_neighbours_show_the_clearest_of_them(usual):
    own = picture(case_of(panel(**{f"model-a/{LATENCY}": late(2.0)})), usual)
    assert own.loc["gateway", f"topology.called:{LATENCY}"] == MUCH
    assert own.loc["model-b", f"topology.peers:{LATENCY}"] == MUCH
    assert own.loc["model-a", f"topology.peers:{LATENCY}"] == USUAL
    assert own.loc["model-a", f"topology.called:{LATENCY}"] == ABSENT


def test_lines_are_of_who_writes_them_and_of_whom_they_name(usual):
    at = T + pd.Timedelta(seconds=ROWS - 5)
    logs = pd.DataFrame({"timestamp": at, "entity": ["gateway", "model-b"], "level": "ERROR",
                         "message": ["model-a: answered 500 (7 times)", "model-a and gateway are gone"]})  # fmt: skip
    own = picture(case_of(panel(), logs=logs), usual)
    assert own.loc["model-a", "logs.about it: <entity>: answered <num> (<num> times)"] == HIGHER
    assert own.loc["gateway", "logs.writes: <entity>: answered <num> (<num> times)"] == HIGHER
    assert "logs.about it: <entity> and <entity> are gone" not in own  # it names two


def test_states_count_when_their_value_changed_lately(usual):
    at = [T + pd.Timedelta(seconds=s) for s in (0, 0, ROWS - 20, ROWS - 20)]
    states = pd.DataFrame({"timestamp": at, "entity": ["model-a", "model-b"] * 2, "name": "version",
                           "value": ["1", "1", "2", "1"]})  # fmt: skip
    own = picture(case_of(panel(), states=states), usual)
    assert own["state.version"].tolist() == [USUAL, HIGHER, USUAL]


def test_later_looks_keep_what_was_before_the_alarm(usual):
    """60 s after a ramp has begun a window that moves along would take the fault itself for what was before."""

    def change(values):
        values[-75:] = 0.9
        return values

    telemetry = panel(**{f"model-a/{SPACE}": change})
    alarmed = T + pd.Timedelta(seconds=ROWS - 40)
    own = picture(case_of(telemetry), usual, alarmed)
    assert own.loc["model-a", f"change.{SPACE}"] == MUCH


def test_harm_is_what_users_feel():
    one = pd.DataFrame(
        {
            "change.service_latency_seconds_p99": [MUCH],
            "change.model_prediction_quality_ratio": [HIGHER],
            "change.process_open_fds": [MUCH],
            "change.http_server_errors_per_second": [HIGHER],
        }
    )
    assert harm(one) == 2


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5), max_size=4), min_size=1, max_size=4))
def test_an_album_holds_every_picture(drawn):
    pictures = {f"case{i}": pd.DataFrame({n: [v, USUAL] for n, v in own.items()}, index=["x", "y"], dtype="int8")
                for i, own in enumerate(drawn)}  # fmt: skip
    album = album_of(pictures)
    for i, (name, one) in enumerate(pictures.items()):
        rows = album.levels[album.case == i]
        assert album.cases[i] == name
        assert list(album.entity[album.case == i]) == ["x", "y"]
        for k, symptom in enumerate(album.symptoms):
            expected = one[symptom].tolist() if symptom in one else [USUAL, USUAL]
            assert rows[:, k].tolist() == expected


def scores_and_chances(climbs: str | None = None) -> dict[str, pd.DataFrame]:
    """A detector's score of each entity, and its predicted probability; both climb for one of them at the end."""
    rng = np.random.default_rng(3)
    made = []
    for entity in ("gateway", "model-a", "model-b"):
        own = pd.DataFrame({"novelty": 1 + 0.1 * rng.random(ROWS), "probability": 0.02 + 0.01 * rng.random(ROWS)})
        if entity == climbs:
            own.iloc[-8:] = [4.0, 0.8]
        made.append(own.assign(entity=entity, timestamp=pd.date_range(T, periods=ROWS, freq="1s"), horizon=45))
    table = pd.concat(made)
    chances = validate(table.drop(columns="novelty").assign(model="m"), "predictions")
    return {"detector": table.set_index(["entity", "timestamp"])[["novelty"]], "prediction": chances}


def test_scores_and_probabilities_that_climb_are_symptoms():
    moments = [T + pd.Timedelta(seconds=s) for s in range(150, 390, 6)]
    usual = usual_moves(panel(), moments, scores_and_chances())
    late = scores_and_chances("model-a")
    one = picture(case_of(panel(), scores=late["detector"], predictions=late["prediction"]), usual)
    for name in ("detector.novelty", "prediction.impact_within_45s"):
        assert one[name].to_dict() == {"gateway": USUAL, "model-a": MUCH, "model-b": USUAL}


def test_where_they_are_not_known_they_say_nothing():
    moments = [T + pd.Timedelta(seconds=s) for s in range(150, 390, 6)]
    with_them = usual_moves(panel(), moments, scores_and_chances())
    pd.testing.assert_frame_equal(
        picture(case_of(panel()), with_them), picture(case_of(panel()), usual_moves(panel(), moments))
    )
    with pytest.raises(ContractError, match="detector"):
        usual_moves(panel(), moments, {"detectors": scores_and_chances()["detector"]})


def test_certain_predictions_have_finite_log_odds():
    chances = scores_and_chances()["prediction"].assign(probability=lambda own: own["probability"].round())
    assert np.isfinite(log_odds(chances)).all(axis=None)


def test_moves_come_back_from_plain_data():
    usual = usual_moves(panel(), [T + pd.Timedelta(seconds=s) for s in range(150, 390, 6)], scores_and_chances())
    again = Moves.from_dict(json.loads(json.dumps(usual.to_dict(), allow_nan=False)))
    for one, other in ((usual, again), *((usual.beside[k], again.beside[k]) for k in usual.beside)):
        pd.testing.assert_frame_equal(one.level, other.level, check_names=False)
        pd.testing.assert_frame_equal(one.unit, other.unit, check_names=False)
    assert set(again.beside) == {"detector", "prediction"}
