"""What an expression gives: construct by construct, and at random, as a real Prometheus gives it."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.rules import read_rules
from stability.rules.evaluation import Evaluator, evaluate
from stability.rules.history import History, Series, grid_of, history_of, labels_by_entity
from stability.rules.reference import loaded
from stability.rules.vectors import NAME
from stability.schema import ContractError, home

STEP = 15_000_000  # us between two samples
FIRST = 1_767_225_600_000_000  # 2026-01-01
ROWS = 24
LIMIT = 2.300001  # no value of the panels, and no mean of them, comes near

CONSTRUCTS = [
    *(
        "x",
        "y",
        "req_total",
        "x > 5",
        "5 < x",
        "x > bool 5",
        "x == x",
        "x != y",
        "-x",
        "1 + 1",
        "1 > bool 2",
        "2 ^ 0.5",
    ),
    *("x + y", "x - y", "x * y", "x / y", "x / 0", "x % y", "x ^ 2", "2 ^ y", "-x ^ 2", "x - -y", "(x / y) != 1"),
    *("rate(req_total[1m])", "increase(req_total[2m])", "delta(x[1m])", "deriv(x[3m])", "rate(req_total[20s])"),
    *("predict_linear(x[3m], 600)", "predict_linear(x[3m] offset 1m, 600)", "predict_linear(x[2m], 60 * 60)"),
    *(f"{name}_over_time(x[2m])" for name in ("avg", "min", "max", "sum", "count", "stddev")),
    *(f"quantile_over_time({q}, x[2m])" for q in (0, 0.9, 1, 1.2, -0.1)),
    *("absent(x)", 'absent(y{entity="c"})', 'absent(zz{entity="c",job=~"a"})', 'absent(zz{a="1",a="2"})'),
    *('absent_over_time(y{entity="c"}[5m])', 'absent((y{entity="c"}))', 'absent(y{entity="c"} > 2)', "absent(sum(zz))"),
    *("x offset 1m", "rate(req_total[1m] offset 30s)", "x - x offset 1m", "sum_over_time(x[1m] offset 2m)"),
    *("sum(x)", "sum by (entity) (x)", "avg without (entity) (x)", "min(x)", "max(x)", "count(x)", "stddev(x)"),
    *("quantile(0.3, x)", "quantile(2, x)", "count(x > 5)", "max by (foo) (x)", "sum by () (x)", "sum(zz)"),
    *("x and y", "x or y", "x unless y", "x > 5 and y > 2", "x and on() y", "x or on() y", "x unless on() (y > 3)"),
    *("x > on(entity) y", "x > ignoring(foo) y", "x > bool on(entity) y", "x * on(entity) group_left y"),
    *(
        "x - on() group_left() sum(x)",
        "sum(x) < on() group_right() x",
        "sum(x) / count(x)",
        "x / on() group_left max(x)",
    ),
    *('{__name__=~"x|y"}', '{__name__=~"x|y"} > 3', 'sum by (__name__) ({__name__=~"x|y"})', 'x{entity!~"a|b"}'),
    *('x{entity=~"a.*"}', 'x{foo=""}', 'x{entity!="a"}', "x or zz", "x > y or y > x", "count(y / y)", "max(y / y)"),
    *("avg(y / y)", "quantile(0.9, y / y)", "min(y / y > 0)", "sum(x) > 10 unless on() absent(y)", "zz / x"),
]


def panel():
    """Three hosts with gaps, a metric that one of them lacks, a counter that restarts."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range(pd.Timestamp(FIRST, unit="us", tz="UTC"), periods=200, freq="15s")
    index = pd.MultiIndex.from_product([["a", "b", "c"], stamps], names=["entity", "timestamp"])
    made = pd.DataFrame(
        {
            "x": rng.normal(5, 2, 600).round(2),
            "y": rng.integers(0, 5, 600).astype(float),
            "req_total": rng.integers(0, 50, 600).cumsum().astype(float),
        },
        index=index,
    )
    made.iloc[50:80, 0] = np.nan
    made.iloc[220:225, 0] = np.nan
    made.iloc[300:, 1] = np.nan
    made.iloc[430:440, 2] = np.nan
    made.iloc[100:200, 2] -= made.iloc[100, 2]
    return made


@pytest.fixture(scope="module")
def known(require):
    """A Prometheus that holds the panel, and our evaluator of the same."""
    require("prometheus")
    history = history_of(panel())
    times = grid_of(panel(), 7)
    with loaded(history) as reference:
        yield reference, Evaluator(history, times), times


def agree(ours, theirs):
    """Equal series and values; sums may differ in the last digits."""
    assert list(ours.columns) == list(theirs.columns)
    assert list(ours.columns.names) == list(theirs.columns.names)
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("expr", CONSTRUCTS)
def test_every_construct_is_what_prometheus_makes_of_it(known, expr):
    reference, evaluator, times = known
    ours = evaluator.vector(expr).frame(times)
    agree(ours, reference.vector(expr, times).frame(times))
    if "zz" not in expr and expr != "rate(req_total[20s])":
        assert ours.shape[1] or "absent" in expr, "compares nothing"


@pytest.mark.parametrize(
    "expr",
    ["x > on() y", "x * on() y", '{__name__=~"x|y"} * 2', "x + on(foo) group_left y", 'rate({__name__=~"x|y"}[1m])'],
)
def test_what_prometheus_refuses_is_refused(known, expr):
    reference, evaluator, times = known
    with pytest.raises(ContractError):
        reference.vector(expr, times)
    with pytest.raises(ContractError, match=r"several with|two with"):
        evaluator.vector(expr)


numbers = st.integers(-8, 24).map(lambda k: k / 4)
samples = st.lists(st.one_of(numbers, numbers, numbers, st.none()), min_size=ROWS, max_size=ROWS)
counts = st.lists(st.one_of(st.integers(0, 9), st.none()), min_size=ROWS, max_size=ROWS)


def expressions():
    """Random expressions of the subset; M and N are metrics, C is a counter."""
    names = st.sampled_from(["M", "N", 'M{entity="a"}', 'N{entity!="a"}', "C", "M offset 30s", "N offset 1m"])
    ranges = st.sampled_from(["M[1m]", "N[2m]", "C[1m]", "C[45s] offset 15s", "M[10s]"])
    over = st.sampled_from(["rate", "increase", "delta", "min_over_time", "max_over_time", "sum_over_time"])
    more = st.sampled_from(["avg_over_time", "stddev_over_time", "count_over_time", "deriv", "absent_over_time"])
    functions = st.builds(lambda f, r: f"{f}({r})", st.one_of(over, more), ranges)
    leaves = st.one_of(names, functions, names.map(lambda name: f"absent({name})"))

    def grown(inner):
        by = st.sampled_from(["", "by (entity) ", "without (entity) ", "by (case) "])
        totals = st.sampled_from(["sum", "avg", "min", "max", "count", "stddev"])
        matching = st.sampled_from(["", "on(entity) ", "on(case) ", "ignoring(entity) "])
        sided = st.sampled_from(["", "", "group_left ", "group_right "])
        return st.one_of(
            st.builds(lambda f, b, e: f"{f} {b}({e})", totals, by, inner),
            st.builds(lambda e, o: f"({e} {o} {LIMIT})", inner, st.sampled_from([">", "<", ">=", "!= bool", "< bool"])),
            st.builds(lambda e, o: f"(2 {o} {e})", inner, st.sampled_from(["*", "-", "/"])),
            st.builds(
                lambda a, o, m, g, b: f"({a} {o} {m}{g if m else ''}{b})",
                inner,
                st.sampled_from(["+", "-", "*", "/"]),
                matching,
                sided,
                inner,
            ),
            st.builds(
                lambda a, o, m, b: f"({a} {o} {m}{b})", inner, st.sampled_from(["and", "or", "unless"]), matching, inner
            ),
            inner.map(lambda e: f"absent({e})"),
        )

    return st.recursive(leaves, grown, max_leaves=4)


case_numbers = itertools.count()


@settings(database=None)
@given(a=samples, b=samples, c=counts, expr=expressions(), step=st.sampled_from([15, 10, 40]))
def test_any_expression_over_any_panel_is_what_prometheus_makes_of_it(known, a, b, c, expr, step):
    reference, _, _ = known
    case = f"case{next(case_numbers)}"
    history = History(list(made_up(case, a, b, c)), entities=labels_by_entity(["a", "b"], None))
    reference.feed(history.series)
    for name in "MNC":
        expr = expr.replace(f"{name}{{", f'{name}{{case="{case}",')
        for after in " [)":
            expr = expr.replace(f"{name}{after}", f'{name}{{case="{case}"}}{after}')
        expr = f'{name}{{case="{case}"}}' if expr == name else expr
    times = FIRST + np.arange(0, ROWS * 15 + 100, step, dtype=np.int64) * 1_000_000
    try:
        theirs = reference.vector(expr, times).frame(times)
    except ContractError:
        with pytest.raises(ContractError):
            Evaluator(history, times).vector(expr)
        return
    agree(Evaluator(history, times).vector(expr).frame(times), theirs)


def made_up(case, a, b, c):
    """Two entities' series: M and N of the first, M and C of the second; None is a staleness marker."""
    times = FIRST + np.arange(ROWS, dtype=np.int64) * STEP
    growing = np.cumsum([0 if k is None else k for k in c]) % 40.0  # restarts now and then
    count = [None if k is None else float(v) for k, v in zip(c, growing, strict=True)]
    for entity, name, values in (("a", "M", a), ("a", "N", b), ("b", "M", b), ("b", "C", count), ("b", "N", a[::-1])):
        numbers = np.array([np.nan if v is None else v for v in values])
        labels = tuple(sorted({NAME: name, "entity": entity, "case": case}.items()))
        yield Series(labels, times, numbers, np.isnan(numbers))


@pytest.fixture(scope="module")
def recording(require):
    """Twenty minutes of the recorded testbed, with a fault in it, in a Prometheus and in our evaluator."""
    require("prometheus")
    whole = pd.read_parquet(home() / "data" / "testbed" / "1" / "telemetry.parquet")
    whole = whole if isinstance(whole.index, pd.MultiIndex) else whole.set_index(["entity", "timestamp"])
    stamps = whole.index.get_level_values("timestamp")
    part = whole[stamps < stamps.min() + pd.Timedelta("20min")]
    times, history = grid_of(part, 5), history_of(part)
    with loaded(history) as reference:
        yield reference, Evaluator(history, times), times


def test_the_rules_that_ship_are_what_prometheus_makes_of_them_on_a_recording(recording):
    reference, evaluator, times = recording
    something = 0
    for rule in read_rules(home() / "data" / "rules"):
        ours = evaluator.vector(rule.expr)
        agree(ours.frame(times), reference.vector(rule.expr, times).frame(times))
        something += bool(ours.present.any())
    assert something > 10, "most rules saw nothing: what is compared?"


def test_nothing_of_the_future_is_seen():
    whole = panel()
    stamps = whole.index.get_level_values("timestamp")
    until = stamps.min() + pd.Timedelta("20min")
    for expr in CONSTRUCTS:
        full, part = (evaluate(expr, one, step=15) for one in (whole, whole[stamps <= until]))
        early = full[full.index <= until].dropna(axis=1, how="all")
        pd.testing.assert_frame_equal(early, part.dropna(axis=1, how="all")[early.columns], check_column_type=False)


def test_a_value_serves_for_the_lookback_and_not_beyond():
    index = pd.MultiIndex.from_arrays(
        [["a"] * 2 + ["b"], pd.to_datetime(["2026-01-01T00:00Z", "2026-01-01T00:20Z", "2026-01-01T00:20Z"])],
        names=["entity", "timestamp"],
    )
    table = pd.DataFrame({"up": [1.0, 1.0, 1.0]}, index=index)
    seen = evaluate("up", table, step=60)
    assert seen[("up", "a")].notna().to_list() == [True] * 6 + [False] * 14 + [True]
    assert evaluate("up", table, step=60, lookback="1min")[("up", "a")].notna().sum() == 3


def test_labels_come_from_a_template_or_a_mapping():
    table = panel().rename(index={"a": "web/a", "b": "web/b", "c": "db/c"}, level="entity").sort_index()
    by_template = evaluate('sum by (job) (x{instance!="c"})', table, labels="{job}/{instance}")
    assert by_template.columns.to_list() == [("web",)]
    mapping = {"web/a": {"pod": "1"}, "web/b": {"pod": "2"}, "db/c": {"pod": "3", "zone": "z"}}
    assert evaluate('x{zone="z"}', table, labels=mapping).columns.to_list() == [("x", "3", "z")]
    with pytest.raises(ContractError, match="of the form"):
        evaluate("x", panel(), labels="{job}/{instance}")
    with pytest.raises(ContractError, match="did you mean 'web/aa'"):
        evaluate("x", table, labels={"db/c": {"a": "1"}, "web/aa": {}})


def test_a_single_entity_needs_no_name():
    one = panel().loc["a"]
    assert evaluate("count(x)", one).iloc[:, 0].sum() == one["x"].notna().sum()


def test_too_many_evaluations_are_refused():
    with pytest.raises(ContractError, match="evaluations"):
        evaluate("x", panel(), step=0.0001)
    with pytest.raises(ContractError, match="instant vector"):
        evaluate("x[5m]", panel())
    assert evaluate("x", panel().iloc[:0]).empty
