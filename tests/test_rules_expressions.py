"""What an expression may hold, and what it needs."""

import pytest

from stability.rules.expressions import (
    DEEPEST,
    LONGEST,
    check_expression,
    guards_of,
    metrics_of,
    parse,
    selector_key,
    selectors_of,
    written,
)
from stability.rules.history import History, Series
from stability.rules.vectors import NAME
from stability.schema import ContractError

OUTSIDE = {
    "topk(3, up)": "topk: 'topk(3, up)'",
    "count_values('v', up)": "count_values",
    "max_over_time(rate(up[5m])[1h:1m])": r"a subquery: 'rate\(up\[5m\]\)\[1h:1m\]'",
    "up @ 1609746000": "the @ modifier",
    "rate(up[5m] @ end())": "the @ modifier",
    "up offset -5m": "looks into the future: 'up offset -5m'",
    "rate(up[5m] offset -1m)": "looks into the future",
    "histogram_quantile(0.9, up)": r"histogram_quantile\(\): 'histogram_quantile\(0.9, up\)'",
    "rat(up[5m])": "unknown function",
    "time() - up > 3": r"time\(\)",
    "vector(1)": r"vector\(\)",
    "label_replace(up, 'a', '$1', 'b', '.*')": "label_replace",
    "up atan2 up": "atan2: 'up atan2 up'",
    "up + fill(0) up": r"fill\(\)",
    'up{a="1" or b="2"}': "'or' between matchers",
    "'text'": "a text",
    "up ==": "expected PromQL",
    "": "expected PromQL",
    "1 == 2": "BOOL",
    "up[5x]": "expected PromQL",
    "rate(up[300])": "durations with their units",
    "up offset 300": "durations with their units",
    'up{job=~"(?<n>a)"}': "a named group",
    'up{"job"="a"}': "Prometheus 2 reads",
    '{"up", job="a"}': "Prometheus 2 reads",
    'sum by ("job") (up)': "Prometheus 2 reads",
}


@pytest.mark.parametrize("expr", OUTSIDE)
def test_what_is_outside_of_the_subset_is_named_and_quoted(expr):
    with pytest.raises(ContractError, match=OUTSIDE[expr].replace("(3, up)", r"\(3, up\)")):
        check_expression(expr)


def test_the_file_and_line_of_a_rule_are_named():
    with pytest.raises(ContractError, match=r"^a\.yaml, row 7: expected an expression of the subset, got topk"):
        check_expression("topk(3, up) > 1", file="a.yaml", row=7)
    with pytest.raises(ContractError, match="did you mean 'max_over_time'"):
        check_expression("mad_over_time(up[5m])")


def test_length_and_depth_are_bounded():
    check_expression("(" * (DEEPEST - 1) + "up" + ")" * (DEEPEST - 1))
    for deep in (
        "(" * DEEPEST + "up" + ")" * DEEPEST,
        "-" * 3_000 + "up",
        "up + " * 700 + "up",
        "sum(" * 700 + "up" + ")" * 700,
    ):
        with pytest.raises(ContractError, match="levels"):
            check_expression(deep)
    with pytest.raises(ContractError, match="characters"):
        check_expression("up > 1" + " " * LONGEST)


def test_what_a_rule_needs():
    expr = 'rate(a_total[5m]) / on(job) b{x="1"} > 2 and {__name__="c"} or {__name__=~"d.*"} or absent(e) or a_total'
    assert metrics_of(expr) == ["a_total", "b", "c", "e"]
    assert metrics_of(expr, guarded=False) == ["a_total", "b", "c"]
    assert guards_of(expr) == ["e"]
    assert [written(node) for node in selectors_of("a offset 5m > a and a{b='1'}")] == ["a offset 5m", 'a{b="1"}']


def test_a_text_is_a_text_wherever_it_stands():
    check_expression("up{job='a', b=~\"(x|,'y')\"} # {\"it's\"} a comment")
    first, second = parse("up{a='1\",b=\"2'}"), parse("up{a='1',b='2'}")
    assert selector_key(first) != selector_key(second)


def test_text_of_a_node_reads_well():
    assert written(parse('sum by (a) (rate(x{b="{}"}[5m])) > bool 1')) == 'sum by (a)(rate(x{b="{}"}[5m])) > bool 1'


def found(selector, **labels):
    series = Series(tuple(sorted({NAME: "up", **labels}.items())), *([[]] * 3))
    return bool(History([series]).select(parse(selector)))


def test_matchers_are_anchored_and_a_missing_label_is_empty():
    assert found('up{job="web"}', job="web")
    assert not found('up{job=~"we"}', job="web")
    assert found('up{job=~"we.|x"}', job="web")
    assert found('up{job!~"we"}', job="web")
    assert found('up{zone=""}', job="web")
    assert found('up{zone!="a"}', job="web")
    assert not found('up{zone=~".+"}', job="web")
    assert found('{job=~"w.*",job!="x"}', job="web")
    assert found('up{job=~"(?i)WEB"}', job="web")


def test_a_pattern_that_explodes_elsewhere_takes_no_time():
    assert not found('up{job=~"(a+)+b"}', job="a" * 50_000)
