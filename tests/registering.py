"""Small predictors in a registry of a test's own, judged on rows of a made-up fleet."""

import sqlite3

import pandas as pd
from test_packaging import panel

from stability.prediction.registry import PREDICTORS
from stability.workbench import models

DAY = 86_400
FLEET = 12
SPLIT = "rows from 2026-01-04 on"
MODEL = "fault-predictor-made"


def rows(seed=5):
    """Features of later rows, and what came."""
    features, happened = panel(entities=FLEET, count=100, seed=seed)
    return features, happened


def learnt(*columns, kind="logistic", **settings):
    """A predictor that knows some of the columns."""
    features, happened = panel(entities=FLEET, count=100, seed=4)
    return PREDICTORS[kind](**settings).fit(features[list(columns)], happened)


GOOD, WEAK, NOTHING = ("load", "heat"), ("heat",), ("queue",)


def enter(*columns, split=SPLIT, seed=5, options=None, kind="logistic", **more):
    """Register a predictor that knows some of the columns, judged on later rows."""
    model = learnt(*columns, kind=kind)
    features, happened = rows(seed)
    evidence = pd.DataFrame({"outcome": happened, "probability": model.predict(features)}, features.index)
    settings = {"dataset": "made", "horizon": "1D", "split": split, "evidence": evidence, "options": options}
    return models.register(model, features, **settings | more)


def dump(bench):
    """The whole store as text."""
    with sqlite3.connect(bench.folder / "mlflow.db") as store:
        return list(store.iterdump())
