"""Which rules fire together, and which cannot fire at all."""

import numpy as np
import pandas as pd
import pytest
import ruled

from stability.rules import firings, redundancy
from stability.rules.expressions import parse
from stability.rules.overlap import lacking_metrics, repeated

PANEL = ruled.telemetry()
RULES = [
    ruled.rule("Leak", "memory_bytes > 80"),
    ruled.rule("Grows", "memory_bytes > 50"),
    ruled.rule("Never", "memory_bytes > 1000"),
    ruled.rule("System", "max(memory_bytes) > 80"),
]
FIRED = firings(RULES, PANEL)


def naive(one: str, other: str) -> float:
    """Jaccard index by sets of (entity, second)."""
    cells = []
    for name in (one, other):
        own = FIRED[FIRED["rule"] == name]
        last = PANEL.index.get_level_values("timestamp").max() + pd.Timedelta("1s")
        cells.append({
            (row.entity, stamp)
            for row in own.itertuples()
            for stamp in pd.date_range(row.start, last if pd.isna(row.end) else row.end, freq="s", inclusive="left")
        })  # fmt: skip
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def test_the_index_is_that_of_sets():
    alike = redundancy(RULES, FIRED, PANEL)
    for one in ("Leak", "Grows", "System"):
        for other in ("Leak", "Grows", "System"):
            assert alike.loc[one, other] == pytest.approx(naive(one, other))
    assert alike.loc["Leak", "System"] == 0  # the same times, but no entity
    assert alike["Never"].isna().all()
    assert np.allclose(alike, alike.T, equal_nan=True)


def test_of_two_that_say_the_same_the_better_one_stays():
    alike = pd.DataFrame([[1, 0.9, 0.1], [0.9, 1, 0.1], [0.1, 0.1, 1]], index=list("xyz"), columns=list("xyz"))
    assert repeated(alike, pd.Series({"x": 0.5, "y": 0.9, "z": 1.0}))["repeats"].tolist() == ["y", "", ""]
    assert repeated(alike, pd.Series({"x": 0.5, "y": 0.5, "z": 1.0}))["repeats"].tolist() == ["", "x", ""]
    assert repeated(alike, pd.Series({"x": 0.5, "y": 0.5, "z": 1.0}), 0.95)["repeats"].tolist() == ["", "", ""]
    assert repeated(alike, pd.Series(dtype=float))["nearest"].tolist() == ["y", "x", "x"]


@pytest.mark.parametrize(
    ("expr", "lacking"),
    [
        ("a > 1", ()),
        ("x > 1", ("x",)),
        ("a > 1 or x > 1", ()),
        ("x > 1 or y > 1", ("x", "y")),
        ("a > 1 and x > 1", ("x",)),
        ("a > 1 unless x > 1", ()),
        ("x > 1 unless a > 1", ("x",)),
        ("sum by (job) (rate(x[5m])) / a > 1", ("x",)),
        ("(a or x) / (b or x) > 2", ()),
        ("-x > 1", ("x",)),
        ("absent(a)", ()),
        ("absent(x) or absent(a) or absent(y)", ("x", "y")),
        ("absent(x or a)", ()),
        ('{__name__="vllm:y"} > 1', ("vllm:y",)),
    ],
)
def test_which_metrics_keep_a_rule_from_firing(expr, lacking):
    assert lacking_metrics(parse(expr), {"a", "b"}) == lacking
