"""Lines that nobody has seen before, or not for long."""

import numpy as np
import pandas as pd
import pytest

from stability.features import Features, NewLines
from stability.features import novelty as module
from stability.records import LogTemplates
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")


def lines(*told):
    """Lines of (minute, message)."""
    stamps = [START + pd.Timedelta(minutes=minute) for minute, _ in told]
    messages = [message for _, message in told]
    return pd.DataFrame({"timestamp": stamps, "entity": "a", "level": "INFO", "message": messages}).astype(
        {"timestamp": "datetime64[us, UTC]"}
    )


def minutes(events):
    return ((events["timestamp"] - START) / pd.Timedelta("1min")).tolist()


HISTORY = lines((0, "user 1 in"), (5, "disk is full"), (30, "quota is gone"), (38, "quota is gone"), (50, "user 2 in"))
LATER = lines((51, "new release up"), (55, "new release up"), (58, "user 3 in"), (70, "new release up"), (71, "E1"))


def test_a_template_is_new_for_a_while_and_known_then():
    new = NewLines("10min").fit(HISTORY, LogTemplates().fit(HISTORY)).begin()
    assert minutes(new.take(HISTORY)) == [30, 38]  # at the begin everything would be
    assert minutes(new.take(LATER)) == [51, 55, 71]
    assert minutes(new.take(lines((72, "E1"), (85, "E1")))) == [72]
    assert minutes(new.begin().take(pd.concat([HISTORY, LATER]))) == [30, 38, 51, 55, 71]


def test_what_comes_later_changes_nothing_and_pieces_are_the_whole():
    rng = np.random.default_rng(0)
    words = ["up", "down", "left", "gone", "full"]
    told = [(k, " ".join(rng.choice(words, size=rng.integers(1, 4)))) for k in range(200)]
    history, later = lines(*told[:50]), lines(*told[50:])
    new = NewLines("7min").fit(history, LogTemplates(most=2).fit(history))
    whole = minutes(new.begin().take(pd.concat([history, later])))
    assert minutes(new.begin().take(later)) == [m for m in whole if m >= 50]
    for cut in (1, 40, 111):
        new.begin()
        first = minutes(new.take(later.iloc[:cut]))
        assert first + minutes(new.take(later.iloc[cut:])) == [m for m in whole if m >= 50]


def test_without_end_of_new_templates_all_further_are_new(monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    new = NewLines("1min").fit(HISTORY, LogTemplates().fit(HISTORY)).begin()
    odd = lines((60, "x"), (61, "y"), (62, "z"), (90, "x"), (91, "z"))
    assert minutes(new.take(odd)) == [60, 61, 62, 91]
    assert len(new._young.templates_) == 2


def test_new_lines_are_a_kind_of_event_with_features_however_rare():
    stamps = pd.date_range(START, periods=90, freq="1min", name="timestamp").as_unit("us")
    index = pd.MultiIndex.from_product([["a", "b"], stamps], names=["entity", "timestamp"])
    telemetry = pd.DataFrame({"load": 1.0}, index)
    declared = {"events": {"windows": ["10min"], "since": "1h"}, "templates": {}, "novelty": "10min"}
    train = telemetry[index.get_level_values("timestamp") <= stamps[50]]
    features = Features(**declared).fit({"telemetry": train, "logs": HISTORY})
    found = features.transform({"telemetry": telemetry, "logs": pd.concat([HISTORY, LATER])})
    counts = found["log_new__count__10min"]
    assert counts.loc["a"].iloc[[29, 30, 39, 40, 51, 60, 62, 75]].tolist() == [0, 1, 2, 1, 1, 2, 1, 1]
    assert (counts.loc["b"] == 0).all()
    assert found["log_new__count_of_all__10min"].loc["b"].iloc[51] == 1


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ContractError, match="templates and events"):
        Features(novelty="1D")
    with pytest.raises(ContractError, match="length of time"):
        NewLines("soon")
    with pytest.raises(ContractError, match="fit"):
        NewLines("1D").begin()
    silent = lines((60, None), (61, None))
    new = NewLines("1min").fit(HISTORY, LogTemplates().fit(HISTORY)).begin()
    assert minutes(new.take(silent)) == [60, 61]
    assert new.take(silent.iloc[:0]).empty
