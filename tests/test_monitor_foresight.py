"""A registered predictor in a watch: by its alias, with the numbers of the batch, taken anew after a promotion."""

import numpy as np
import pandas as pd
import pytest
from watching import START, declaration, fleet, follow, journal

from stability import datasets, detection
from stability.features import Features
from stability.monitor import foresight, incidents
from stability.monitor.following import Follower
from stability.prediction.registry import PREDICTORS
from stability.schema import ContractError
from stability.workbench import models
from stability.workbench.provenance import digest

MODEL, COLUMN = "fault-predictor-made", "fault_predictor_made"


@pytest.fixture(autouse=True)
def made_up_data(monkeypatch):
    """A dataset that nobody has to read: its fingerprint is its options'."""
    monkeypatch.setattr(datasets, "fingerprint", lambda name, **options: digest([name, options]))


@pytest.fixture(autouse=True)
def no_pages(monkeypatch):
    """Pages of incidents are not what is told of here, and a picture takes a third of a second."""
    monkeypatch.setattr(incidents, "write_report", lambda *_: None)


def taught(panel, folder, names=("queue_depth__last__now", "queue_depth__mean__2min")):
    """Features and a predictor of the first half hour, registered; gives both."""
    stamps = panel.index.get_level_values("timestamp")
    early = {"telemetry": panel[stamps < START + pd.Timedelta("30min")]}
    features = Features(rolling=[{"windows": ["2min"], "statistics": ["mean", "max"]}]).fit(early)
    if not folder.exists():
        features.save(folder)
    found = features.transform({"telemetry": panel})
    before = (found.index.get_level_values("timestamp") < START + pd.Timedelta("30min")).astype(bool)
    happened = (found["queue_depth__last__now"] > 2.5).to_numpy()
    predictor = PREDICTORS["logistic"]().fit(found.loc[before, list(names)], happened[before])
    said = predictor.predict(found.loc[~before])
    evidence = pd.DataFrame({"outcome": happened[~before], "probability": said}, said.index)
    settings = {"dataset": "made", "horizon": "15min", "split": "later", "evidence": evidence, "name": MODEL}
    models.register(predictor, found.loc[~before], **settings)
    return features, predictor


def watch(folder, panel, **more):
    part = {"model": MODEL, "alias": "challenger", "features": str(folder / "features"), "threshold": 0.9}
    part["policy"] = {"merge": 60.0}
    return declaration(folder, panel, detectors=[], predictor=part, start="2026-01-01T00:30:00Z", **more)


def those_of_the_batch(steps, expected):
    """The batch's probabilities at the steps that the watch has taken, which are its own."""
    live = {
        (entity, pd.Timestamp(step.moment, unit="us", tz="UTC")): value
        for step in steps
        for entity, value in zip(step.entities, step.scores[COLUMN], strict=True)
    }
    expected = expected[expected.index.isin(pd.MultiIndex.from_tuples(live))].rename(COLUMN)
    assert len(expected) == len(live) > 100
    np.testing.assert_allclose(pd.Series(live).reindex(expected.index), expected, rtol=1e-9)
    return expected


def test_probabilities_and_alarms_are_those_of_the_batch(workbench, tmp_path):
    panel = fleet(entities=2, steps=180)
    features, predictor = taught(panel, tmp_path / "features")
    steps, follower = follow(watch(tmp_path, panel, history="2h"), tmp_path / "state")
    assert follower.watch.predictor.version.number == "1"
    found = features.transform({"telemetry": panel})
    expected = those_of_the_batch(steps, predictor.predict(found))
    alarms = detection.raise_alarms(expected, 0.9, merge=60.0)
    mine = {one.alarm_id for step in steps for one in step.alarms if one.detector == COLUMN}
    assert mine == set(alarms.index)
    assert mine


def test_when_somebody_is_let_go_the_others_have_the_numbers_of_the_batch(workbench, tmp_path):
    panel = fleet(entities=3, steps=240)
    names, stamps = (panel.index.get_level_values(level) for level in ("entity", "timestamp"))
    gone = (names == "web-0") & (stamps > START + pd.Timedelta("36min"))
    panel = panel[~gone]
    calm = (names == "web-0") & (stamps > START + pd.Timedelta("31min"))
    panel.loc[calm[~gone], "queue_depth"] = 0.5  # so that nothing of it is open when it goes
    features, predictor = taught(panel, tmp_path / "features")
    steps, follower = follow(watch(tmp_path, panel), tmp_path / "state")
    assert follower.watch.ring.entities == ["web-1", "web-2"]
    assert journal(tmp_path / "state", "let_go")[0]["names"] == ["web-0"]
    assert len(those_of_the_batch(steps, predictor.predict(features.transform({"telemetry": panel})))) > 200


def test_a_promotion_is_taken_up_and_one_that_does_not_fit_is_refused(workbench, tmp_path, monkeypatch):
    monkeypatch.setattr(foresight, "LOOK", 0.0)
    panel = fleet(entities=2, steps=180)
    taught(panel, tmp_path / "features")
    follower = Follower(watch(tmp_path, panel), folder=tmp_path / "state")
    list(follower.tick())
    taught(panel, tmp_path / "features", names=["queue_depth__last__now"])
    assert follower.reload()
    assert follower.watch.predictor.version.number == "2"
    features = Features(rolling=[{"windows": ["9min"], "statistics": ["mean"]}]).fit({"telemetry": panel})
    features.save(tmp_path / "others")
    assert journal(tmp_path / "state", "reload")
    follower.close()
    told = watch(tmp_path, panel)
    part = told.predictor.model_copy(update={"features": str(tmp_path / "none")})
    with pytest.raises(ContractError, match="none"):
        list(Follower(told.model_copy(update={"predictor": part}), folder=tmp_path / "other").tick())
