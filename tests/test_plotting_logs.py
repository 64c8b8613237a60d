"""The picture of logs says what it shows: which lines, how many at most, and what was known to be wrong."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from stability import plotting, records
from stability.schema import ContractError, validate


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_log_counts_stand_in_rows_with_trouble_above_and_faults_marked():
    stamps = pd.date_range("2026-01-01", periods=200, freq="1min", tz="UTC").as_unit("us")
    rows = [(t, "a", "INFO", f"request {k} done") for k, t in enumerate(stamps)]
    rows += [(t, "a", "ERROR", "pool is full") for t in stamps[90:110] for _ in range(3)]
    rows += [(stamps[50], "b", "WARN", "slow")]
    logs = pd.DataFrame(rows, columns=["timestamp", "entity", "level", "message"])
    templates = records.LogTemplates().fit(logs)
    counts = records.template_counts(logs, "5min", templates)
    faults = pd.DataFrame({"fault_id": ["f"], "entity": ["a"], "impact_start": [stamps[90]]})
    ax = plotting.plot_log_counts(counts, templates.templates_, entity="a", faults=validate(faults, "faults"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["INFO request <num> done", "ERROR pool is full"]
    assert {text.get_text() for text in ax.texts} >= {"5", "15"}, "the greatest counts of a step"
    assert [t.get_text() for t in ax.figure.legends[0].get_texts()] == ["users begin to feel it"]
    ax.figure.canvas.draw()
    with pytest.raises(ContractError, match="there are: a, b"):
        plotting.plot_log_counts(counts, templates.templates_, entity="c")
